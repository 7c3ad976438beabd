//! Columns that are taken for constants and are none. The engine remembers which columns have one
//! value in all rows, so that it needs not sort by them. But a side of an outer join that is filled
//! with NULL has then two values, and in a union each branch may have one of its own. Where that is
//! so, a node is put between that says nothing of them and passes everything on.

use std::{fmt, sync::Arc};

use datafusion::{
    common::{
        JoinType, Result, Statistics,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult as _, TreeNode as _, TreeNodeRecursion},
    },
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, PhysicalExpr, PhysicalSortExpr, equivalence::AcrossPartitions},
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ChildStats, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SortOrderPushdownResult,
        StatisticsArgs,
        execution_plan::CardinalityEffect,
        filter_pushdown::{ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation},
        joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec, SymmetricHashJoinExec},
        projection::ProjectionExec,
        replace_children_if_necessary,
        union::UnionExec,
    },
};

/// Puts a node between, wherever constants would be believed that are none.
#[derive(Debug)]
pub(crate) struct ForgetConstants;

impl PhysicalOptimizerRule for ForgetConstants {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(forget).data()
    }

    fn name(&self) -> &'static str {
        "forget_constants"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn forget(plan: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    if plan.is::<UnionExec>() {
        return Ok(
            if constants(&plan).any(|across| across == AcrossPartitions::Heterogeneous) {
                Transformed::yes(VaryingExec::over(plan))
            } else {
                Transformed::no(plan)
            },
        );
    }
    let Some(filled) = join_type(plan.as_ref()).map(filled_with_null) else {
        return Ok(Transformed::no(plan));
    };
    let mut changed = false;
    let children = plan.children().into_iter().zip(filled).map(|(child, filled)| {
        if filled && constants(child).next().is_some() {
            changed = true;
            VaryingExec::over(Arc::clone(child))
        } else {
            Arc::clone(child)
        }
    });
    let children = children.collect();
    Ok(if changed {
        Transformed::yes(replace_children_if_necessary(plan, children)?)
    } else {
        Transformed::no(plan)
    })
}

fn constants(plan: &Arc<dyn ExecutionPlan>) -> impl Iterator<Item = AcrossPartitions> {
    let constants = plan.properties().equivalence_properties().constants();
    constants.into_iter().map(|constant| constant.across_partitions)
}

fn join_type(plan: &dyn ExecutionPlan) -> Option<JoinType> {
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        Some(*join.join_type())
    } else if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        Some(*join.join_type())
    } else if let Some(join) = plan.downcast_ref::<SortMergeJoinExec>() {
        Some(join.join_type())
    } else {
        let join = plan.downcast_ref::<SymmetricHashJoinExec>()?;
        Some(*join.join_type())
    }
}

/// Whether the rows of the left and of the right side are filled with NULL.
fn filled_with_null(join_type: JoinType) -> [bool; 2] {
    match join_type {
        JoinType::Left => [false, true],
        JoinType::Right => [true, false],
        JoinType::Full => [true, true],
        JoinType::Inner
        | JoinType::LeftSemi
        | JoinType::RightSemi
        | JoinType::LeftAnti
        | JoinType::RightAnti
        | JoinType::LeftMark
        | JoinType::RightMark => [false, false],
    }
}

/// Passes on all of its input, of which it knows neither constants nor an order.
#[derive(Debug)]
struct VaryingExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl VaryingExec {
    fn over(input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        let varying = EquivalenceProperties::new(input.schema());
        let properties = PlanProperties::clone(input.properties()).with_eq_properties(varying);
        Arc::new(Self {
            input,
            properties: Arc::new(properties),
        })
    }
}

impl DisplayAs for VaryingExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VaryingExec")
    }
}

impl ExecutionPlan for VaryingExec {
    fn name(&self) -> &'static str {
        "VaryingExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    // A sort that is asked for must not go below, where it would be left out for a constant's sake.
    fn maintains_input_order(&self) -> Vec<bool> {
        vec![false]
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
        Ok(Self::over(children.swap_remove(0)))
    }

    fn execute(&self, partition: usize, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, task)
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        Ok(Arc::clone(&inputs[0]))
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn try_swapping_with_projection(&self, projection: &ProjectionExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let swapped = self.input.try_swapping_with_projection(projection)?;
        Ok(swapped.map(Self::over))
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

    fn try_pushdown_sort(&self, order: &[PhysicalSortExpr]) -> Result<SortOrderPushdownResult<Arc<dyn ExecutionPlan>>> {
        Ok(self.input.try_pushdown_sort(order)?.map(Self::over))
    }
}
