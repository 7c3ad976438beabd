//! What a table's log knows of its columns, told to the planner. The reader of Delta tables looks at
//! the bounds of a column only where a filter names it, so that a join on it cannot be estimated and
//! its hash table is made of the wrong side. Here the bounds and the NULLs of whole numbers and times
//! are added. They are estimates: no rule that could change a result believes them.

use std::{cmp::Ordering, fmt, sync::Arc};

use async_trait::async_trait;
use datafusion::{
    arrow::{
        array::{ArrayRef, AsArray as _},
        compute::sum,
        datatypes::{DataType, SchemaRef, UInt64Type},
    },
    catalog::{Session, TableProvider},
    common::{
        Column, ColumnStatistics, Result, ScalarValue, Statistics, config::ConfigOptions, stats::Precision,
        tree_node::TreeNodeRecursion,
    },
    datasource::TableType,
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{Expr, TableProviderFilterPushDown},
    physical_expr::PhysicalExpr,
    physical_optimizer::pruning::PruningStatistics as _,
    physical_plan::{
        ChildStats, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, StatisticsArgs,
        execution_plan::CardinalityEffect,
        filter_pushdown::{ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation},
    },
};
use deltalake::{delta_datafusion::DeltaScanNext, kernel::EagerSnapshot};

/// Files above which a log is not asked: the answer would cost more than the estimate saves.
const MOST_FILES: usize = 20_000;

/// A table whose scans know the bounds of their columns.
#[derive(Debug)]
pub(crate) struct KnownTable {
    scan: DeltaScanNext,
    snapshot: Arc<EagerSnapshot>,
}

impl KnownTable {
    /// Over a scan of a table and what its log holds.
    pub(crate) fn new(scan: DeltaScanNext, snapshot: Arc<EagerSnapshot>) -> Self {
        Self { scan, snapshot }
    }

    /// What is known of some columns; nothing where it would take long.
    fn known(&self, schema: &SchemaRef) -> Vec<ColumnStatistics> {
        if self.snapshot.log_data().num_files() > MOST_FILES {
            return Statistics::unknown_column(schema);
        }
        let fields = schema.fields().iter();
        fields
            .map(|field| match field.data_type() {
                DataType::Int8
                | DataType::Int16
                | DataType::Int32
                | DataType::Int64
                | DataType::Date32
                | DataType::Timestamp(..) => self.known_of(field.name(), field.data_type()),
                _ => ColumnStatistics::new_unknown(),
            })
            .collect()
    }

    fn known_of(&self, name: &str, data_type: &DataType) -> ColumnStatistics {
        let (log, column) = (self.snapshot.log_data(), Column::from_name(name));
        let bound = |bounds: Option<ArrayRef>, beyond: Ordering| {
            let bound = bounds.and_then(|bounds| outermost(&bounds, beyond));
            let bound = bound.and_then(|bound| bound.cast_to(data_type).ok());
            bound.map_or(Precision::Absent, Precision::Inexact)
        };
        let nulls = log.null_counts(&column).filter(|nulls| nulls.null_count() == 0);
        let nulls = nulls.and_then(|nulls| sum(nulls.as_primitive_opt::<UInt64Type>()?));
        ColumnStatistics {
            min_value: bound(log.min_values(&column), Ordering::Less),
            max_value: bound(log.max_values(&column), Ordering::Greater),
            null_count: nulls.map_or(Precision::Absent, |nulls| Precision::Inexact(nulls as usize)),
            ..ColumnStatistics::new_unknown()
        }
    }
}

/// The value of an array that no other is beyond, of those that are known.
fn outermost(bounds: &ArrayRef, beyond: Ordering) -> Option<ScalarValue> {
    let all = (0..bounds.len()).filter_map(|file| ScalarValue::try_from_array(bounds, file).ok());
    all.filter(|bound| !bound.is_null()).reduce(|outermost, bound| {
        let is_beyond = bound.partial_cmp(&outermost) == Some(beyond);
        if is_beyond { bound } else { outermost }
    })
}

#[async_trait]
impl TableProvider for KnownTable {
    fn schema(&self) -> SchemaRef {
        self.scan.schema()
    }

    fn table_type(&self) -> TableType {
        self.scan.table_type()
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = self.scan.scan(session, projection, filters, limit).await?;
        let known: Arc<[ColumnStatistics]> = self.known(&input.schema()).into();
        Ok(Arc::new(KnownExec { input, known }))
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let pushed = self.scan.supports_filters_pushdown(filters)?;
        // The table takes a condition that is NULL for one that it has answered; so the rows are always
        // asked again, and one without columns is not its business at all.
        let cautious = |(filter, pushed): (&&Expr, TableProviderFilterPushDown)| match pushed {
            _ if filter.column_refs().is_empty() => TableProviderFilterPushDown::Unsupported,
            TableProviderFilterPushDown::Exact => TableProviderFilterPushDown::Inexact,
            other => other,
        };
        Ok(filters.iter().zip(pushed).map(cautious).collect())
    }
}

/// Passes on all of its input, of whose columns it knows more.
#[derive(Debug)]
struct KnownExec {
    input: Arc<dyn ExecutionPlan>,
    known: Arc<[ColumnStatistics]>,
}

impl KnownExec {
    fn over(&self, input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        Arc::new(Self {
            input,
            known: Arc::clone(&self.known),
        })
    }
}

/// What the scan says, and where it says nothing what the log does.
fn filled_in(said: ColumnStatistics, known: &ColumnStatistics) -> ColumnStatistics {
    fn or<T: fmt::Debug + Clone + PartialEq + Eq + PartialOrd>(
        said: Precision<T>,
        known: &Precision<T>,
    ) -> Precision<T> {
        match said {
            Precision::Absent => known.clone(),
            Precision::Exact(_) | Precision::Inexact(_) => said,
        }
    }
    ColumnStatistics {
        min_value: or(said.min_value, &known.min_value),
        max_value: or(said.max_value, &known.max_value),
        null_count: or(said.null_count, &known.null_count),
        ..said
    }
}

impl DisplayAs for KnownExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KnownExec")
    }
}

impl ExecutionPlan for KnownExec {
    fn name(&self) -> &'static str {
        "KnownExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self.over(children.swap_remove(0)))
    }

    fn repartitioned(&self, partitions: usize, config: &ConfigOptions) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let input = self.input.repartitioned(partitions, config)?;
        Ok(input.map(|input| self.over(input)))
    }

    fn execute(&self, partition: usize, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, task)
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::clone(&inputs[0]);
        if statistics.column_statistics.len() == self.known.len() {
            let said = std::mem::take(&mut statistics.column_statistics);
            let columns = said.into_iter().zip(self.known.iter());
            statistics.column_statistics = columns.map(|(said, known)| filled_in(said, known)).collect();
        }
        Ok(Arc::new(statistics))
    }

    /// A scan that reads no file, because only rows are counted, says that limits may go through it, and
    /// forgets them.
    fn supports_limit_pushdown(&self) -> bool {
        self.input.supports_limit_pushdown() && !self.input.children().is_empty()
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        self.input.with_fetch(limit).map(|input| self.over(input))
    }

    fn fetch(&self) -> Option<usize> {
        self.input.fetch()
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        FilterDescription::from_children(filters, &self.children())
    }

    fn handle_child_pushdown_result(
        &self,
        _: FilterPushdownPhase,
        result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        Ok(FilterPushdownPropagation::if_all(result))
    }
}
