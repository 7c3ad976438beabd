//! What our sessions plan otherwise than DataFusion does by itself: where its plans would give
//! other rows than SQL means, or would do far more work than they have to.

mod pushdown;
#[cfg(test)]
mod tests;

use std::{any::Any, sync::Arc};

use datafusion::{
    execution::SessionStateBuilder,
    physical_optimizer::{PhysicalOptimizerRule, filter_pushdown::FilterPushdown, optimizer::PhysicalOptimizer},
};

use self::pushdown::NamedOnce;

/// Gives a session that is being made our physical rules.
pub(crate) fn with_rules(builder: SessionStateBuilder) -> SessionStateBuilder {
    let rules = PhysicalOptimizer::new().rules;
    builder.with_physical_optimizer_rules(rules.into_iter().map(ours).collect())
}

/// What stands in the place of one of the engine's rules.
fn ours(rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>) -> Arc<dyn PhysicalOptimizerRule + Send + Sync> {
    if (rule.as_ref() as &dyn Any).is::<FilterPushdown>() {
        Arc::new(NamedOnce::around(rule))
    } else {
        rule
    }
}
