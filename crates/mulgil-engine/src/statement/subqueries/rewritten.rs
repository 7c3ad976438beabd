//! What IN, EXISTS, ANY and ALL are written as, with the sub-query's rows counted, or asked for by an EXISTS.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, Query, SelectItem, SetExpr, TableAlias, TableAliasColumnDef, Value,
    visit_expressions,
};
use mulgil_core::{codes, diagnostic::Diagnostic, port::Fault};

use crate::{
    hidden,
    statement::{ast, rows},
};

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
pub(super) fn is_in(value: &Expr, subquery: &Query, negated: bool) -> Result<Expr, Fault> {
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
pub(super) enum Rows {
    Any,
    All,
}

/// `x > any (sub-query)` and `x > all (sub-query)` with their three values: the least or the greatest of the
/// values decides.
pub(super) fn compared(value: &Expr, op: &BinaryOperator, subquery: &Query, of: Rows) -> Result<Expr, Fault> {
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
        Rows::All => ast::not(holds),
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
pub(super) fn exists(subquery: &Query, some: bool) -> Result<Expr, Fault> {
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
    !contains(value, |part| match part {
        Expr::Identifier(_) | Expr::Subquery(_) => true,
        Expr::CompoundIdentifier(parts) => parts.first().is_none_or(|part| names.contains(&hidden::folded(part))),
        _ => false,
    })
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
pub(super) fn none_could_be(value: &Expr, subquery: &Query) -> Result<Expr, Fault> {
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
pub(super) fn row_is_in(row: &[Expr], subquery: &Query, negated: bool) -> Result<Expr, Fault> {
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

/// That something is not done, and what to write instead.
pub(super) fn not_in_this_form(what: &str, remedy: &str) -> Fault {
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
    !has_query(expr) && !contains(expr, |part| matches!(part, Expr::Function(_)))
}

/// Whether an expression has a query inside.
pub(super) fn has_query(expr: &Expr) -> bool {
    contains(expr, |part| {
        matches!(part, Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. })
    })
}

fn contains(expr: &Expr, is_meant: impl Fn(&Expr) -> bool) -> bool {
    let found = visit_expressions(expr, |part: &Expr| {
        if is_meant(part) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    found.is_break()
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

/// An expression without the parentheses around it.
pub(super) fn without_parentheses(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => without_parentheses(inner),
        other => other,
    }
}
