//! What our sessions plan otherwise than DataFusion does by itself: where its plans would give
//! other rows than SQL means, or would do far more work than they have to.

mod arithmetic;
mod beneath;
mod comparison;
pub(crate) mod correlated;
mod lateral;
pub(crate) mod memory;
mod pushdown;
mod series;
mod single;
pub(crate) mod statistics;
mod sum;
#[cfg(test)]
mod tests;
mod varying;

use std::{any::Any, iter, sync::Arc};

use datafusion::{
    common::Result,
    execution::{FunctionRegistry as _, SessionState, SessionStateBuilder},
    logical_expr::LogicalPlan,
    physical_optimizer::{PhysicalOptimizerRule, filter_pushdown::FilterPushdown, optimizer::PhysicalOptimizer},
};

use self::{
    arithmetic::CheckedArithmetic, comparison::NamedComparison, pushdown::NamedOnce, sum::CheckedSum,
    varying::ForgetConstants,
};

/// Gives a session that is being made our physical rules.
pub(crate) fn with_rules(builder: SessionStateBuilder) -> SessionStateBuilder {
    let rules = PhysicalOptimizer::new().rules;
    let first: Arc<dyn PhysicalOptimizerRule + Send + Sync> = Arc::new(ForgetConstants);
    builder.with_physical_optimizer_rules(iter::once(first).chain(rules.into_iter().map(ours)).collect())
}

/// A plan in which sub-queries stand where the engine has no join for them, in words that it has joins for.
pub(crate) fn joinable(plan: LogicalPlan) -> Result<LogicalPlan> {
    correlated::check(&plan)?;
    let plan = lateral::unnested(plan)?
        .transform_data(single::aggregated)?
        .transform_data(beneath::projected)?;
    if plan.transformed {
        return plan.data.recompute_schema();
    }
    Ok(plan.data)
}

/// Gives a session our functions and rewrites.
pub(crate) fn register(state: &mut SessionState) -> Result<()> {
    let engines = state.udaf("sum")?;
    state.register_udaf(Arc::new(CheckedSum::over(engines).into()))?;
    series::register(state)?;
    state.register_function_rewrite(Arc::new(NamedComparison))?;
    state.register_function_rewrite(Arc::new(CheckedArithmetic))
}

/// What stands in the place of one of the engine's rules.
fn ours(rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>) -> Arc<dyn PhysicalOptimizerRule + Send + Sync> {
    if (rule.as_ref() as &dyn Any).is::<FilterPushdown>() {
        Arc::new(NamedOnce::around(rule))
    } else {
        rule
    }
}
