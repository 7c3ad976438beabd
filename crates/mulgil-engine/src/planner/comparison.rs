//! `x > all (select x from t)` where the query around reads the same `t`: the engine compares the
//! two by their names, which are one, and so compares a column with itself. A name of its own for
//! what the inner query gives keeps them apart.

use std::sync::Arc;

use datafusion::{
    common::{Column, DFSchema, Result, config::ConfigOptions, tree_node::Transformed},
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, expr_rewriter::FunctionRewrite},
};

/// The name of an inner query's values; none that is typed is like it.
const COMPARED: &str = "@compared";

/// Gives what is compared with a name that nothing around has.
#[derive(Debug)]
pub(crate) struct NamedComparison;

impl FunctionRewrite for NamedComparison {
    fn name(&self) -> &'static str {
        "named_comparison"
    }

    fn rewrite(&self, expr: Expr, _schema: &DFSchema, _config: &ConfigOptions) -> Result<Transformed<Expr>> {
        let Expr::SetComparison(mut comparison) = expr else {
            return Ok(Transformed::no(expr));
        };
        let inner = LogicalPlan::clone(&comparison.subquery.subquery);
        let value = Expr::Column(Column::from(inner.schema().qualified_field(0)));
        let named = LogicalPlanBuilder::from(inner).project([value.alias(COMPARED)])?;
        comparison.subquery.subquery = Arc::new(named.build()?);
        Ok(Transformed::yes(Expr::SetComparison(comparison)))
    }
}
