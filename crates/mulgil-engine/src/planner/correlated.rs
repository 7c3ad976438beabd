//! Sub-queries that ask for the row outside, and that the engine's joins would answer wrongly. NOT IN can be
//! written as something else; the others are refused.

use datafusion::{
    common::{
        DataFusionError, Result,
        tree_node::{TreeNode as _, TreeNodeRecursion},
    },
    logical_expr::{Expr, FetchType, Limit, LogicalPlan, SkipType},
};
use mulgil_core::{codes, diagnostic::Diagnostic};

/// Whether a plan has a NOT IN whose sub-query asks for the row outside: the planner's join for it loses
/// rows.
pub(crate) fn has_not_in(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let _ = plan.apply_with_subqueries(|node| {
        for expr in node.expressions() {
            let _ = expr.apply(|expr| {
                if let Expr::InSubquery(inside) = expr {
                    found |= inside.negated && !inside.subquery.outer_ref_columns.is_empty();
                }
                Ok(TreeNodeRecursion::Continue)
            });
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

/// An error where a plan has such a sub-query that is refused.
pub(super) fn check(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Subquery(lateral) = node
            && !lateral.outer_ref_columns.is_empty()
        {
            check_windows(&lateral.subquery)?;
        }
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                check_expr(expr)?;
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(())
}

fn check_expr(expr: &Expr) -> Result<()> {
    let (subquery, is_value) = match expr {
        Expr::ScalarSubquery(subquery) => (subquery, true),
        Expr::Exists(exists) => (&exists.subquery, false),
        Expr::InSubquery(is_in) => (&is_in.subquery, false),
        Expr::SetComparison(comparison) => (&comparison.subquery, false),
        _ => return Ok(()),
    };
    if subquery.outer_ref_columns.is_empty() {
        return Ok(());
    }
    check_windows(&subquery.subquery)?;
    let shape = Shape::of(&subquery.subquery)?;
    if is_value && shape.aggregates_all && shape.filters_above {
        return refused(
            "HAVING in a sub-query in the place of a value that asks for the row outside",
            "write `case when … end` around the aggregate",
        );
    }
    if !is_value && shape.aggregates_all {
        return refused(
            "EXISTS, IN, ANY or ALL over an aggregate that asks for the row outside",
            "compare with the aggregate itself: `x = (select count(*) …)`",
        );
    }
    let is_exists = matches!(expr, Expr::Exists(_));
    if !is_value && (shape.skips || shape.limits && !is_exists) {
        return refused(
            "LIMIT or OFFSET in EXISTS, IN, ANY or ALL that asks for the row outside",
            "number the rows in a sub-query of `from`, and ask for the row outside above it",
        );
    }
    Ok(())
}

/// Rows would be numbered before those of the row outside are chosen.
fn check_windows(plan: &LogicalPlan) -> Result<()> {
    let asks_below = |node: &LogicalPlan| node.exists(|below| Ok(below.contains_outer_reference()));
    let is_wrong = plan.exists(|node| Ok(matches!(node, LogicalPlan::Window(_)) && asks_below(node)?))?;
    if is_wrong {
        return refused(
            "a window function in a sub-query that asks for the row outside",
            "number the rows in a sub-query of `from`, and ask for the row outside above it",
        );
    }
    Ok(())
}

/// What a sub-query does with its rows at last.
#[derive(Default)]
struct Shape {
    /// It makes one row of all.
    aggregates_all: bool,
    /// It filters what it has aggregated.
    filters_above: bool,
    skips: bool,
    limits: bool,
}

impl Shape {
    fn of(plan: &LogicalPlan) -> Result<Self> {
        let mut shape = Self::default();
        let mut next = plan;
        loop {
            next = match next {
                LogicalPlan::Projection(projection) => &projection.input,
                LogicalPlan::SubqueryAlias(alias) => &alias.input,
                LogicalPlan::Sort(sort) => &sort.input,
                LogicalPlan::Limit(limit) => {
                    shape.skips |= skips(limit)?;
                    shape.limits = true;
                    &limit.input
                }
                LogicalPlan::Filter(filter) => {
                    shape.filters_above = true;
                    &filter.input
                }
                LogicalPlan::Aggregate(aggregate) => {
                    shape.aggregates_all = aggregate.group_expr.is_empty();
                    return Ok(shape);
                }
                _ => return Ok(shape),
            };
        }
    }
}

/// Whether a limit leaves out first rows, or all.
fn skips(limit: &Limit) -> Result<bool> {
    let skips = !matches!(limit.get_skip_type()?, SkipType::Literal(0));
    let has_rows = matches!(limit.get_fetch_type()?, FetchType::Literal(None | Some(1..)));
    Ok(skips || !has_rows)
}

fn refused(what: &str, remedy: &str) -> Result<()> {
    let fault = Diagnostic::error(codes::UNSUPPORTED_SQL, format!("{what} is not done here")).with_remedy(remedy);
    Err(DataFusionError::External(Box::new(fault)))
}
