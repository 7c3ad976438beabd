//! Small questions that are asked of SQL expressions.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, ObjectNamePart,
    SelectItem, Visit, visit_expressions,
};

/// Whether an expression stands over a name of a table, so that it cannot mean the other side.
pub(crate) fn is_qualified(expr: &Expr) -> bool {
    let mut qualified = true;
    let _ = visit_expressions(expr, |part: &Expr| {
        if matches!(part, Expr::Identifier(_)) {
            qualified = false;
        }
        ControlFlow::<()>::Continue(())
    });
    qualified
}

/// Whether any expression in a part of a query, however deep, is such a one.
pub(crate) fn any_expression(part: &impl Visit, test: impl Fn(&Expr) -> bool) -> bool {
    visit_expressions(part, |expr: &Expr| {
        if test(expr) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
    .is_break()
}

/// Whether a function of this name, in small letters, makes one value of many rows.
pub(crate) fn is_aggregate(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "any_value",
        "array_agg",
        "avg",
        "corr",
        "count",
        "first_value",
        "group_concat",
        "grouping",
        "json_agg",
        "last_value",
        "listagg",
        "max",
        "mean",
        "median",
        "min",
        "mode",
        "nth_value",
        "string_agg",
        "sum",
    ];
    const PREFIXES: &[&str] = &[
        "approx_",
        "bit_",
        "bool_",
        "covar",
        "every",
        "percentile_",
        "quantile_",
        "regr_",
        "stddev",
        "var_",
        "variance",
    ];
    NAMES.contains(&name) || name == "var" || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The parts of a condition that all have to hold.
pub(crate) fn conjuncts(condition: &Expr) -> Vec<&Expr> {
    match condition {
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => {
            let mut parts = conjuncts(left);
            parts.extend(conjuncts(right));
            parts
        }
        Expr::Nested(inner) => conjuncts(inner),
        other => vec![other],
    }
}

/// What a function is called with; nothing for an argument that is not an expression.
pub(crate) fn arguments(function: &Function) -> Vec<Option<&Expr>> {
    match &function.args {
        FunctionArguments::List(list) => list
            .args
            .iter()
            .map(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                _ => None,
            })
            .collect(),
        FunctionArguments::None | FunctionArguments::Subquery(_) => Vec::new(),
    }
}

/// In small letters and without its schema.
pub(crate) fn function_name(function: &Function) -> String {
    last_part(&function.name).unwrap_or_default().to_lowercase()
}

/// What an item of a SELECT computes; nothing for a `*`.
pub(crate) fn item_expr(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        SelectItem::ExprWithAliases { .. } | SelectItem::QualifiedWildcard(..) | SelectItem::Wildcard(_) => None,
    }
}

/// What the column of an item of a SELECT is called, as far as the text says.
pub(crate) fn output_name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(folded(name)),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last().map(folded),
        SelectItem::UnnamedExpr(_)
        | SelectItem::ExprWithAliases { .. }
        | SelectItem::QualifiedWildcard(..)
        | SelectItem::Wildcard(_) => None,
    }
}

/// A table's name without its schema.
pub(crate) fn last_part(name: &ObjectName) -> Option<String> {
    name.0.last().and_then(ObjectNamePart::as_ident).map(folded)
}

/// A name without regard to case. Two names that differ in case alone are taken for one here; that
/// can only let a column pass for the event time whose own name is the same.
pub(crate) fn folded(name: &Ident) -> String {
    name.value.to_lowercase()
}
