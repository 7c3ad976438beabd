//! IN, EXISTS, ANY and ALL with a sub-query where the planner would refuse them, or would take "nobody knows"
//! for "no". As values, below NOT and CASE, they are written with counts, which are exact; NOT IN that asks for
//! the row outside becomes a NOT EXISTS. Everywhere else the planner's own joins are exact.

mod left_sides;
mod rewritten;

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, JoinConstraint, JoinOperator, Query, Select, SelectItem, Statement,
    UnaryOperator, VisitMut, VisitorMut,
};
use mulgil_core::port::Fault;

use self::rewritten::{Rows, compared, exists, is_in, none_could_be, not_in_this_form, row_is_in, without_parentheses};
use super::{column_names, rows};

/// What becomes of NOT IN where nothing but AND is above it.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum NotIn {
    /// It stays: the planner's join is exact where the sub-query does not ask for the row outside.
    Joined,
    /// It becomes a NOT EXISTS.
    Asked,
}

/// Rewrites the sub-queries of a statement where the planner has no exact answer of its own.
pub(crate) fn make_exact(statement: &mut Statement, not_in: NotIn) -> Result<(), Fault> {
    match statement.visit(&mut Rewriter { not_in }) {
        ControlFlow::Break(fault) => Err(fault),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Rewriter {
    not_in: NotIn,
}

impl VisitorMut for Rewriter {
    type Break = Fault;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Fault> {
        match rewrite(select, self.not_in) {
            Err(fault) => ControlFlow::Break(fault),
            Ok(()) => ControlFlow::Continue(()),
        }
    }
}

fn rewrite(select: &mut Select, not_in: NotIn) -> Result<(), Fault> {
    left_sides::name(select);
    for item in &mut select.projection {
        match item {
            SelectItem::ExprWithAlias { expr, .. } => as_value(expr, Exists::Counted)?,
            SelectItem::UnnamedExpr(expr) => {
                let written = expr.clone();
                as_value(expr, Exists::Counted)?;
                if *expr != written {
                    *item = SelectItem::ExprWithAlias {
                        expr: expr.clone(),
                        alias: column_names::as_written(&written),
                    };
                }
            }
            _ => {}
        }
    }
    if let GroupByExpr::Expressions(keys, _) = &mut select.group_by {
        keys.iter_mut().try_for_each(|key| as_value(key, Exists::Counted))?;
    }
    let joined = select.from.iter_mut().flat_map(|table| &mut table.joins);
    let on = joined.filter_map(|join| join_condition(&mut join.join_operator));
    let conditions = [&mut select.selection, &mut select.having, &mut select.qualify];
    on.chain(conditions.into_iter().flatten())
        .try_for_each(|condition| as_condition(condition, true, not_in))
}

fn join_condition(operator: &mut JoinOperator) -> Option<&mut Expr> {
    match operator {
        JoinOperator::Join(JoinConstraint::On(condition))
        | JoinOperator::Inner(JoinConstraint::On(condition))
        | JoinOperator::Left(JoinConstraint::On(condition))
        | JoinOperator::LeftOuter(JoinConstraint::On(condition))
        | JoinOperator::Right(JoinConstraint::On(condition))
        | JoinOperator::RightOuter(JoinConstraint::On(condition))
        | JoinOperator::FullOuter(JoinConstraint::On(condition)) => Some(condition),
        _ => None,
    }
}

/// A condition of which only matters whether it holds. There the planner's joins are exact for IN and
/// EXISTS, and where nothing but AND is above it, for NOT IN.
fn as_condition(condition: &mut Expr, only_and_above: bool, not_in: NotIn) -> Result<(), Fault> {
    match condition {
        Expr::Nested(inner) => as_condition(inner, only_and_above, not_in),
        Expr::BinaryOp {
            left,
            op: op @ (BinaryOperator::And | BinaryOperator::Or),
            right,
        } => {
            let only_and = only_and_above && *op == BinaryOperator::And;
            as_condition(left, only_and, not_in)?;
            as_condition(right, only_and, not_in)
        }
        Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr,
        } if let Expr::InSubquery {
            expr: value,
            subquery,
            negated,
        } = without_parentheses(expr) =>
        {
            *condition = Expr::InSubquery {
                expr: value.clone(),
                subquery: subquery.clone(),
                negated: !negated,
            };
            as_condition(condition, only_and_above, not_in)
        }
        Expr::InSubquery {
            expr,
            subquery,
            negated,
        } if let Some(row) = rows::values(expr) => {
            *condition = row_is_in(row, subquery, *negated)?;
            Ok(())
        }
        Expr::InSubquery {
            expr,
            subquery,
            negated: true,
        } if only_and_above && not_in == NotIn::Asked => {
            *condition = none_could_be(expr, subquery)?;
            Ok(())
        }
        Expr::InSubquery { expr, negated, .. } if only_and_above || !*negated => as_value(expr, Exists::Joined),
        other => as_value(other, Exists::Joined),
    }
}

/// What becomes of EXISTS.
#[derive(Clone, Copy, PartialEq)]
enum Exists {
    /// It stays: the planner joins, and the answer is exact.
    Joined,
    /// It becomes a count: the planner knows no join there.
    Counted,
}

/// An expression whose value matters, NULL among the values.
fn as_value(expr: &mut Expr, exists: Exists) -> Result<(), Fault> {
    match expr.visit(&mut Values { exists, depth: 0 }) {
        ControlFlow::Break(fault) => Err(fault),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Values {
    exists: Exists,
    /// How many queries the visitor is in: those inside have clauses of their own.
    depth: usize,
}

impl VisitorMut for Values {
    type Break = Fault;

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Fault> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Fault> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Fault> {
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        let better = match expr {
            Expr::InSubquery {
                expr: value,
                subquery,
                negated,
            } => match rows::values(value) {
                Some(_) => Err(not_in_this_form(
                    "`(a, b) in (select …)` as a value",
                    "ask for it in `where`, or write `exists (…)`",
                )),
                None => is_in(value, subquery, *negated),
            },
            Expr::Exists { subquery, negated } if self.exists == Exists::Counted => exists(subquery, !*negated),
            Expr::AnyOp {
                left,
                compare_op,
                right,
                ..
            } if self.exists == Exists::Counted => {
                let Expr::Subquery(query) = right.as_ref() else {
                    return ControlFlow::Continue(());
                };
                compared(left, compare_op, query, Rows::Any)
            }
            Expr::AllOp {
                left,
                compare_op,
                right,
            } if self.exists == Exists::Counted => {
                let Expr::Subquery(query) = right.as_ref() else {
                    return ControlFlow::Continue(());
                };
                compared(left, compare_op, query, Rows::All)
            }
            _ => return ControlFlow::Continue(()),
        };
        match better {
            Ok(better) => {
                *expr = better;
                ControlFlow::Continue(())
            }
            Err(fault) => ControlFlow::Break(fault),
        }
    }
}
