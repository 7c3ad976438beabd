//! PIVOT and UNPIVOT as the queries that they stand for.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    ExcludeSelectItem, Expr, ExprWithAlias, Function, GroupByExpr, Ident, NullInclusion, ObjectName, PivotValueSource,
    Query, SelectItem, SetExpr, SetOperator, SetQuantifier, TableFactor, Value, ValueWithSpan,
    WildcardAdditionalOptions, visit_expressions,
};
use mulgil_core::port::Fault;

use super::{ast, parse::unsupported};
use crate::fault::Author;

/// Writes a PIVOT or UNPIVOT as a query in the place of a table.
pub(super) fn written_out(factor: &mut TableFactor, author: &Author) -> Result<(), Fault> {
    let query = match factor {
        TableFactor::Pivot { .. } => pivot(factor, author)?,
        TableFactor::Unpivot { .. } => unpivot(factor, author)?,
        _ => return Ok(()),
    };
    let (TableFactor::Pivot { table, alias, .. } | TableFactor::Unpivot { table, alias, .. }) = factor else {
        return Ok(());
    };
    let alias = alias
        .take()
        .or_else(|| ast::called(table).map(|name| ast::named(&name)));
    *factor = TableFactor::Derived {
        lateral: false,
        subquery: Box::new(query),
        alias,
        sample: None,
    };
    Ok(())
}

/// One aggregate for each value, over the rows that have it; grouped by every column that is not named.
fn pivot(factor: &TableFactor, author: &Author) -> Result<Query, Fault> {
    let TableFactor::Pivot {
        table,
        aggregate_functions,
        value_column,
        value_source,
        default_on_null,
        ..
    } = factor
    else {
        return Err(unsupported("this PIVOT", author));
    };
    let [column] = value_column.as_slice() else {
        return Err(unsupported("PIVOT over more than one column", author));
    };
    let PivotValueSource::List(values) = value_source else {
        return Err(unsupported("PIVOT without a list of values", author));
    };
    let mut named = columns_of(column);
    let mut items = Vec::new();
    for value in values {
        for aggregate in aggregate_functions {
            let Expr::Function(function) = &aggregate.expr else {
                return Err(unsupported("a PIVOT of something that is no aggregate", author));
            };
            named.extend(columns_of(&aggregate.expr));
            let counted = counted(function.clone(), column, &value.expr);
            let name = match (aggregate_functions.len(), &aggregate.alias) {
                (1, None) => value_name(value),
                (_, Some(alias)) => format!("{}_{}", value_name(value), alias.value),
                (_, None) => format!("{}_{}", value_name(value), aggregate.expr.to_string().to_lowercase()),
            };
            items.push(SelectItem::ExprWithAlias {
                expr: match default_on_null {
                    Some(default) => ast::call("coalesce", vec![counted, default.clone()]),
                    None => counted,
                },
                alias: ast::quoted(&name),
            });
        }
    }
    items.insert(0, all_but(named));
    let mut query = ast::select_items(None, items, vec![ast::alone(table.as_ref().clone())], None)?;
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.group_by = GroupByExpr::All(Vec::new());
    }
    Ok(query)
}

/// The aggregate over the rows with a value.
fn counted(mut function: Function, column: &Expr, value: &Expr) -> Expr {
    let is_it = if is_null(value) {
        ast::is_missing(column.clone())
    } else {
        ast::equal(column.clone(), value.clone())
    };
    let filter = function.filter.take().map(|filter| *filter);
    function.filter = ast::and(filter, Some(is_it)).map(Box::new);
    Expr::Function(function)
}

/// One row for each of the columns that are named, with its name and its value.
fn unpivot(factor: &TableFactor, author: &Author) -> Result<Query, Fault> {
    let TableFactor::Unpivot {
        table,
        value: Expr::Identifier(value),
        name,
        columns,
        null_inclusion,
        ..
    } = factor
    else {
        return Err(unsupported("UNPIVOT into more than one column", author));
    };
    if columns.iter().any(|column| columns_of(&column.expr).len() != 1) {
        return Err(unsupported("UNPIVOT of what is no column", author));
    }
    let named: Vec<Ident> = columns.iter().flat_map(|column| columns_of(&column.expr)).collect();
    let mut parts = columns.iter().map(|column| {
        let items = vec![
            all_but(named.clone()),
            SelectItem::ExprWithAlias {
                expr: Expr::value(Value::SingleQuotedString(value_name(column))),
                alias: name.clone(),
            },
            SelectItem::ExprWithAlias {
                expr: column.expr.clone(),
                alias: value.clone(),
            },
        ];
        let is_there = match null_inclusion {
            Some(NullInclusion::IncludeNulls) => None,
            Some(NullInclusion::ExcludeNulls) | None => Some(ast::is_there(column.expr.clone())),
        };
        ast::select_items(None, items, vec![ast::alone(table.as_ref().clone())], is_there)
    });
    let first = parts
        .next()
        .ok_or_else(|| unsupported("UNPIVOT of no column", author))??;
    parts.try_fold(first, |mut all, part| {
        all.body = Box::new(SetExpr::SetOperation {
            op: SetOperator::Union,
            set_quantifier: SetQuantifier::All,
            left: all.body,
            right: part?.body,
        });
        Ok(all)
    })
}

/// The columns that an expression names, each once.
fn columns_of(expr: &Expr) -> Vec<Ident> {
    let mut columns: Vec<Ident> = Vec::new();
    let _ = visit_expressions(expr, |expr: &Expr| {
        let column = match expr {
            Expr::Identifier(column) => Some(column),
            Expr::CompoundIdentifier(parts) => parts.last(),
            _ => None,
        };
        if let Some(column) = column
            && !columns.contains(column)
        {
            columns.push(column.clone());
        }
        ControlFlow::<()>::Continue(())
    });
    columns
}

/// `* exclude (…)`.
fn all_but(columns: Vec<Ident>) -> SelectItem {
    let mut once: Vec<Ident> = Vec::new();
    for column in columns {
        if !once.contains(&column) {
            once.push(column);
        }
    }
    SelectItem::Wildcard(WildcardAdditionalOptions {
        opt_exclude: Some(ExcludeSelectItem::Multiple(
            once.into_iter().map(|column| ObjectName::from(vec![column])).collect(),
        )),
        ..WildcardAdditionalOptions::default()
    })
}

/// What a value's column is called: its alias, or how it is written.
fn value_name(value: &ExprWithAlias) -> String {
    if let Some(alias) = &value.alias {
        return alias.value.clone();
    }
    match &value.expr {
        Expr::Value(ValueWithSpan {
            value: Value::SingleQuotedString(text),
            ..
        }) => text.clone(),
        other => columns_of(other)
            .pop()
            .map_or_else(|| other.to_string(), |column| column.value),
    }
}

fn is_null(value: &Expr) -> bool {
    matches!(value, Expr::Value(ValueWithSpan { value: Value::Null, .. }))
}
