//! Filters are pushed down by the names of columns. Where a node gives two columns of one name, as
//! a join of two tables with a `k` does, a filter on the one would be taken for a filter on the
//! other, and whole files with the rows that are asked for would be left out. So while the engine
//! pushes filters, such a node stands behind a gate that lets only those filters through whose
//! columns have names of their own.

use std::{collections::HashMap, fmt, sync::Arc};

use datafusion::{
    arrow::datatypes::Schema,
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult as _, TreeNode as _, TreeNodeRecursion},
    },
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::PhysicalExpr,
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        filter_pushdown::{
            ChildFilterDescription, ChildPushdownResult, FilterDescription, FilterPushdownPhase,
            FilterPushdownPropagation,
        },
    },
};

/// A rule that pushes filters, kept from mistaking one column for another of the same name.
#[derive(Debug)]
pub(crate) struct NamedOnce {
    rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>,
}

impl NamedOnce {
    /// Around the engine's rule.
    pub(crate) fn around(rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>) -> Self {
        Self { rule }
    }
}

impl PhysicalOptimizerRule for NamedOnce {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let gated = plan.transform_up(gate)?;
        let pushed = self.rule.optimize(gated.data, config)?;
        if gated.transformed {
            pushed.transform_up(ungate).data()
        } else {
            Ok(pushed)
        }
    }

    fn name(&self) -> &str {
        self.rule.name()
    }

    fn schema_check(&self) -> bool {
        self.rule.schema_check()
    }
}

fn gate(plan: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let schema = plan.schema();
    let unambiguous = unambiguous(&schema);
    Ok(if unambiguous.len() == schema.fields().len() {
        Transformed::no(plan)
    } else {
        Transformed::yes(Arc::new(Gate {
            input: plan,
            unambiguous,
        }))
    })
}

fn ungate(plan: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    Ok(match plan.downcast_ref::<Gate>() {
        Some(gate) => Transformed::yes(Arc::clone(&gate.input)),
        None => Transformed::no(plan),
    })
}

/// The columns whose names no other column has.
fn unambiguous(schema: &Schema) -> Vec<usize> {
    let mut times: HashMap<&str, usize> = HashMap::with_capacity(schema.fields().len());
    for field in schema.fields() {
        *times.entry(field.name()).or_default() += 1;
    }
    let columns = schema.fields().iter().enumerate();
    columns
        .filter(|(_, field)| times[field.name().as_str()] == 1)
        .map(|(column, _)| column)
        .collect()
}

/// What a node stands behind while filters are pushed; it is in no plan that runs.
#[derive(Debug)]
struct Gate {
    input: Arc<dyn ExecutionPlan>,
    /// The columns whose names no other has.
    unambiguous: Vec<usize>,
}

impl DisplayAs for Gate {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

impl ExecutionPlan for Gate {
    fn name(&self) -> &'static str {
        "Gate"
    }

    // Those of the node itself, so that what stands above it needs not be computed anew.
    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
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
        Ok(Arc::new(Self {
            input: children.swap_remove(0),
            unambiguous: self.unambiguous.clone(),
        }))
    }

    fn execute(&self, partition: usize, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, task)
    }

    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        let unambiguous = self.unambiguous.iter().copied().collect();
        let child = ChildFilterDescription::from_child_with_allowed_indices(&parent_filters, unambiguous, &self.input)?;
        Ok(FilterDescription::new().with_child(child))
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
