//! IN and EXISTS with a sub-query where the planner would refuse them, or would take "nobody knows" for
//! "no". As values, below NOT and CASE, they are written with counts, which are exact; NOT IN that asks for
//! the row outside becomes a NOT EXISTS. Everywhere else the planner's own joins are exact.

use std::ops::ControlFlow;

use datafusion::{
    common::tree_node::{TreeNode as _, TreeNodeRecursion},
    logical_expr::{Expr as PlannedExpr, LogicalPlan},
    sql::sqlparser::ast::{
        BinaryOperator, Expr, GroupByExpr, JoinConstraint, JoinOperator, Query, Select, SelectItem, SetExpr, Statement,
        TableAlias, TableAliasColumnDef, UnaryOperator, Value, VisitMut, VisitorMut, visit_expressions,
        visit_expressions_mut,
    },
};
use mulgil_core::{codes, diagnostic::Diagnostic, port::Fault};

use super::{ast, rows};
use crate::hidden;

/// What becomes of NOT IN where nothing but AND is above it.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum NotIn {
    /// It stays: the planner's join is exact where the sub-query does not ask for the row outside.
    Joined,
    /// It becomes a NOT EXISTS.
    Asked,
}

/// Whether a plan has a NOT IN whose sub-query asks for the row outside: the planner's join for it loses
/// rows.
pub(crate) fn has_correlated_not_in(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let _ = plan.apply_with_subqueries(|node| {
        for expr in node.expressions() {
            let _ = expr.apply(|expr| {
                if let PlannedExpr::InSubquery(inside) = expr {
                    found |= inside.negated && !inside.subquery.outer_ref_columns.is_empty();
                }
                Ok(TreeNodeRecursion::Continue)
            });
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
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
    name_left_sides(select);
    for item in &mut select.projection {
        match item {
            SelectItem::ExprWithAlias { expr, .. } => as_value(expr, Exists::Counted)?,
            SelectItem::UnnamedExpr(expr) => {
                let written = expr.clone();
                as_value(expr, Exists::Counted)?;
                if *expr != written {
                    *item = SelectItem::ExprWithAlias {
                        expr: expr.clone(),
                        alias: ast::quoted(&written.to_string().to_lowercase()),
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

/// Names the table of what is compared with sub-queries, where a query reads only one: inside of the
/// sub-query a bare name could be taken for one of its own columns.
fn name_left_sides(select: &mut Select) {
    let [table] = select.from.as_slice() else {
        return;
    };
    let Some(name) = ast::called(&table.relation).filter(|_| table.joins.is_empty()) else {
        return;
    };
    let aliases = select.projection.iter().filter_map(|item| match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(hidden::folded(alias)),
        _ => None,
    });
    let mut namer = LeftSides {
        name,
        aliases: aliases.collect(),
        depth: 0,
    };
    let _ = select.visit(&mut namer);
}

struct LeftSides {
    name: String,
    /// What `group by` and `having` may mean instead of a column.
    aliases: Vec<String>,
    depth: usize,
}

impl VisitorMut for LeftSides {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::InSubquery { expr: value, .. } if self.depth == 0 && !has_query(value) => {
                let _ = visit_expressions_mut(value, |part: &mut Expr| {
                    if let Expr::Identifier(column) = part
                        && !self.aliases.contains(&hidden::folded(column))
                    {
                        *part = Expr::CompoundIdentifier(vec![ast::quoted(&self.name), column.clone()]);
                    }
                    ControlFlow::<()>::Continue(())
                });
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn has_query(expr: &Expr) -> bool {
    let found = visit_expressions(expr, |expr: &Expr| match expr {
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
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
            } if self.exists == Exists::Counted => match right.as_ref() {
                Expr::Subquery(query) => compared(left, compare_op, query, Rows::Any),
                _ => return ControlFlow::Continue(()),
            },
            Expr::AllOp {
                left,
                compare_op,
                right,
            } if self.exists == Exists::Counted => match right.as_ref() {
                Expr::Subquery(query) => compared(left, compare_op, query, Rows::All),
                _ => return ControlFlow::Continue(()),
            },
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

fn without_parentheses(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => without_parentheses(inner),
        other => other,
    }
}

/// Whether the one thing that a sub-query gives is a column as it is.
fn asks_for_a_column(subquery: &Query) -> bool {
    let SetExpr::Select(select) = subquery.body.as_ref() else {
        return false;
    };
    match select.projection.as_slice() {
        [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] => {
            matches!(
                without_parentheses(expr),
                Expr::Identifier(_) | Expr::CompoundIdentifier(_)
            )
        }
        _ => false,
    }
}

/// The rows of the sub-query, and their one column.
const ROWS: &str = "@in";
const COLUMN: &str = "@value";

/// `x in (sub-query)` with its three values: there is a row of x; else, where x is NULL and there are
/// rows, or one of the rows is NULL, nobody knows; else no.
fn is_in(value: &Expr, subquery: &Query, negated: bool) -> Result<Expr, Fault> {
    let value = ast::nested(value.clone());
    let equal = rows_where(subquery, &value, &|column| ast::equal(column, value.clone()))?;
    let missing = rows_where(subquery, &value, &ast::is_missing)?;
    let is_missing = Some(ast::is_missing(value.clone()));
    let no_value = ast::and(is_missing, Some(exists(subquery, true)?));
    let whens = [
        Some((none_or_some(equal, true), truth(!negated))),
        no_value.map(|unknown| (unknown, ast::null())),
        Some((none_or_some(missing, true), ast::null())),
    ];
    let case = ast::case(whens.into_iter().flatten().collect(), truth(negated));
    Ok(ast::nested(case))
}

/// Of which rows a comparison has to hold.
#[derive(Clone, Copy, PartialEq)]
enum Rows {
    Any,
    All,
}

/// `x > any (sub-query)` and `x > all (sub-query)` with their three values: the least or the greatest of the
/// values decides.
fn compared(value: &Expr, op: &BinaryOperator, subquery: &Query, of: Rows) -> Result<Expr, Fault> {
    let value = ast::nested(value.clone());
    let with = |aggregate: &str| -> Result<Expr, Fault> {
        let bound = aggregate_of(subquery, aggregate)?;
        Ok(ast::nested(ast::binary(value.clone(), op.clone(), bound)))
    };
    let holds = match (op, of) {
        (BinaryOperator::Eq, Rows::Any) => return is_in(&value, subquery, false),
        (BinaryOperator::NotEq, Rows::All) => return is_in(&value, subquery, true),
        (BinaryOperator::Gt | BinaryOperator::GtEq, Rows::Any)
        | (BinaryOperator::Lt | BinaryOperator::LtEq, Rows::All) => with("min")?,
        (BinaryOperator::Gt | BinaryOperator::GtEq, Rows::All)
        | (BinaryOperator::Lt | BinaryOperator::LtEq, Rows::Any) => with("max")?,
        (BinaryOperator::Eq, Rows::All) => ast::nested(ast::both(with("min")?, with("max")?)),
        (BinaryOperator::NotEq, Rows::Any) => ast::nested(ast::or(with("min")?, with("max")?)),
        _ => {
            return Err(not_in_this_form(
                "ANY and ALL with another operator than a comparison",
                "compare by `=`, `<>`, `<`, `<=`, `>` or `>=`",
            ));
        }
    };
    let rows = ast::nested(exists(subquery, false)?);
    let has_null = ast::binary(
        count_of(subquery)?,
        BinaryOperator::Gt,
        aggregate_of(subquery, "count")?,
    );
    let unknown = ast::or(ast::is_missing(value.clone()), has_null);
    let decided = match of {
        Rows::Any => holds,
        Rows::All => Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr: Box::new(holds),
        },
    };
    let whens = vec![
        (rows, truth(of == Rows::All)),
        (decided, truth(of == Rows::Any)),
        (unknown, ast::null()),
    ];
    Ok(ast::nested(ast::case(whens, truth(of == Rows::All))))
}

/// An aggregate of the one column of a sub-query.
fn aggregate_of(subquery: &Query, name: &str) -> Result<Expr, Fault> {
    let of_column = |columns: &[Expr]| ast::call(name, columns.to_vec());
    let query = if let Some(query) = in_place(subquery, Some(1), of_column, |_| None) {
        query
    } else {
        let from = ast::alone(ast::derived(subquery.clone(), one_column()));
        ast::select(None, vec![of_column(&[ast::column(ROWS, COLUMN)])], vec![from], None)?
    };
    Ok(ast::nested(Expr::Subquery(Box::new(query))))
}

/// How many rows of a sub-query fulfil a condition on its one column and a value from outside.
fn rows_where(subquery: &Query, value: &Expr, condition: &dyn Fn(Expr) -> Expr) -> Result<Expr, Fault> {
    // The planner's join is by a column of the sub-query.
    let counting = (asks_for_a_column(subquery) && means_the_same_in(subquery, value))
        .then(|| counting(subquery, Some(1), |columns| columns.first().cloned().map(condition)))
        .flatten();
    match counting {
        Some(counting) => Ok(counting),
        None => count(subquery, Some(condition(ast::column(ROWS, COLUMN)))),
    }
}

/// Whether a sub-query has rows, or has none.
fn exists(subquery: &Query, some: bool) -> Result<Expr, Fault> {
    Ok(none_or_some(count_of(subquery)?, some))
}

/// How many rows a sub-query has.
fn count_of(subquery: &Query) -> Result<Expr, Fault> {
    match counting(subquery, None, |_| None) {
        Some(counting) => Ok(counting),
        None => count(subquery, None),
    }
}

/// Whether an expression from outside names no column that a table of the sub-query could have.
fn means_the_same_in(subquery: &Query, value: &Expr) -> bool {
    let SetExpr::Select(select) = subquery.body.as_ref() else {
        return false;
    };
    let tables = select.from.iter().flat_map(|table| {
        let joined = table.joins.iter().map(|join| &join.relation);
        std::iter::once(&table.relation).chain(joined)
    });
    let names: Option<Vec<String>> = tables.map(ast::called).collect();
    let Some(names) = names else {
        return false;
    };
    let captured = visit_expressions(value, |expr: &Expr| match expr {
        Expr::Identifier(_) | Expr::Subquery(_) => ControlFlow::Break(()),
        Expr::CompoundIdentifier(parts) if parts.first().is_none_or(|part| names.contains(&hidden::folded(part))) => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    captured.is_continue()
}

/// How many rows of a sub-query fulfil a condition on its one column.
fn count(subquery: &Query, condition: Option<Expr>) -> Result<Expr, Fault> {
    let alias = if condition.is_some() {
        one_column()
    } else {
        ast::named(ROWS)
    };
    let from = ast::alone(ast::derived(subquery.clone(), alias));
    let query = ast::select(None, vec![ast::count_of_rows()], vec![from], condition)?;
    Ok(Expr::Subquery(Box::new(query)))
}

/// A name for the rows of a sub-query and for their one column.
fn one_column() -> TableAlias {
    let mut alias = ast::named(ROWS);
    alias.columns = vec![TableAliasColumnDef {
        name: ast::quoted(COLUMN),
        data_type: None,
    }];
    alias
}

/// `not exists` a row that is equal or could be: what NOT IN asks where only whether it holds matters.
fn none_could_be(value: &Expr, subquery: &Query) -> Result<Expr, Fault> {
    let value = ast::nested(value.clone());
    let could_be = |columns: &[Expr]| {
        let column = columns.first()?;
        let unknown = ast::or(ast::is_missing(column.clone()), ast::is_missing(value.clone()));
        Some(ast::or(ast::equal(column.clone(), value.clone()), unknown))
    };
    let asked = means_the_same_in(subquery, &value)
        .then(|| in_place(subquery, Some(1), |_| ast::number(1), could_be))
        .flatten();
    let Some(query) = asked else {
        return Err(not_in_this_form(
            "NOT IN with a sub-query that asks for the row outside",
            "write `not exists (…)`, or name the table of the left side: `t.k not in (select …)`",
        ));
    };
    Ok(Expr::Exists {
        subquery: Box::new(query),
        negated: true,
    })
}

/// `(a, b) in (select x, y …)` where only whether it holds matters: there is a row that is equal. NOT IN: there
/// is none that is equal or could be.
fn row_is_in(row: &[Expr], subquery: &Query, negated: bool) -> Result<Expr, Fault> {
    let query = asked_of_rows(row, subquery, |equal| {
        if negated {
            ast::or(equal.clone(), ast::is_missing(equal))
        } else {
            equal
        }
    })?;
    Ok(Expr::Exists {
        subquery: Box::new(query),
        negated,
    })
}

/// The sub-query with a condition on whether its columns equal a row.
fn asked_of_rows(row: &[Expr], subquery: &Query, condition: impl FnOnce(Expr) -> Expr) -> Result<Query, Fault> {
    let means_the_same = row.iter().all(|value| means_the_same_in(subquery, value));
    let equal = |columns: &[Expr]| Some(condition(ast::nested(rows::equal(columns, row)?)));
    means_the_same
        .then(|| in_place(subquery, Some(row.len()), |_| ast::number(1), equal))
        .flatten()
        .ok_or_else(|| {
            not_in_this_form(
                "`(a, b) in (select …)`",
                "name the tables of the left side: `(t.a, t.b) in (select x, y from …)`, or write `exists (…)`",
            )
        })
}

fn not_in_this_form(what: &str, remedy: &str) -> Fault {
    let message = format!("{what} is not done here in this form");
    Box::new(Diagnostic::error(codes::UNSUPPORTED_SQL, message).with_remedy(remedy))
}

/// The sub-query itself, counting its rows: the planner understands that it asks for the row outside, as
/// it would not in the place of a table.
fn counting(subquery: &Query, columns: Option<usize>, condition: impl FnOnce(&[Expr]) -> Option<Expr>) -> Option<Expr> {
    let query = in_place(subquery, columns, |_| ast::count_of_rows(), condition)?;
    Some(Expr::Subquery(Box::new(query)))
}

/// The sub-query itself with something else to say of each row, and one more condition on its columns, which
/// have to be so many. Nothing where it does more than to find rows.
fn in_place(
    subquery: &Query,
    columns: Option<usize>,
    item: impl FnOnce(&[Expr]) -> Expr,
    condition: impl FnOnce(&[Expr]) -> Option<Expr>,
) -> Option<Query> {
    let Query {
        with: None,
        body,
        limit_clause: None,
        fetch: None,
        ..
    } = subquery
    else {
        return None;
    };
    let SetExpr::Select(select) = body.as_ref() else {
        return None;
    };
    let values = select.projection.iter().map(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } if is_of_one_row(expr) => {
            Some(ast::nested(expr.clone()))
        }
        SelectItem::Wildcard(_) if columns.is_none() => Some(ast::null()),
        _ => None,
    });
    let values: Vec<Expr> = values.collect::<Option<_>>()?;
    if columns.is_some_and(|columns| columns != values.len()) {
        return None;
    }
    let is_grouped =
        !matches!(&select.group_by, GroupByExpr::Expressions(keys, more) if keys.is_empty() && more.is_empty());
    let does_more = [
        select.distinct.is_some(),
        is_grouped,
        select.having.is_some(),
        select.qualify.is_some(),
        select.top.is_some(),
    ];
    if does_more.contains(&true) {
        return None;
    }
    let mut select = select.as_ref().clone();
    select.projection = vec![SelectItem::UnnamedExpr(item(&values))];
    select.selection = ast::and(select.selection, condition(&values));
    let mut query = subquery.clone();
    query.body = Box::new(SetExpr::Select(Box::new(select)));
    query.order_by = None;
    Some(query)
}

/// Whether an expression has no function, which could be an aggregate, and no query.
fn is_of_one_row(expr: &Expr) -> bool {
    let other = visit_expressions(expr, |expr: &Expr| match expr {
        Expr::Function(_) | Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    other.is_continue()
}

fn none_or_some(count: Expr, some: bool) -> Expr {
    let none = ast::number(0);
    ast::nested(if some {
        ast::greater(count, none)
    } else {
        ast::equal(count, none)
    })
}

fn truth(value: bool) -> Expr {
    Expr::value(Value::Boolean(value))
}
