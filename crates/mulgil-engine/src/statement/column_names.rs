//! The names of columns that a query gives none. The planner would name them in its own words.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Ident, Select, SelectItem, SetExpr, Statement, VisitMut, VisitorMut};

use super::ast;

/// The words in which an expression is written, in small letters, as a name.
pub(super) fn as_written(expr: &Expr) -> Ident {
    ast::quoted(&expr.to_string().to_lowercase())
}

/// Names the columns of a result as they are written. Of several queries the first names the columns of all.
pub(super) fn of_result(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => name_items(select, |expr, _| is_named_by_planner(expr)),
        SetExpr::SetOperation { left, .. } => of_result(left),
        SetExpr::Query(query) => of_result(&mut query.body),
        _ => {}
    }
}

/// Columns keep their names, and what is several columns cannot have one.
fn is_named_by_planner(expr: &Expr) -> bool {
    match expr {
        Expr::CompoundFieldAccess { .. } => true,
        Expr::Function(function) => function.name.to_string().eq_ignore_ascii_case("unnest"),
        other => is_column(other),
    }
}

/// Gives each expression of a select list a name of its own: the planner takes two for one where they
/// differ only in their types.
pub(crate) fn each_its_own(statement: &mut Statement) {
    struct Namer;
    impl VisitorMut for Namer {
        type Break = ();

        fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
            name_items(select, |expr, known| {
                let plain = name_of_expr(expr);
                is_column(expr) && known.iter().filter(|name| **name == plain).count() <= 1
            });
            ControlFlow::Continue(())
        }
    }
    let _ = statement.visit(&mut Namer);
}

/// Names what has no name, but for what is left as it is. It is told which names there are.
fn name_items(select: &mut Select, is_left: impl Fn(&Expr, &[String]) -> bool) {
    let mut known: Vec<String> = select.projection.iter().filter_map(name_of).collect();
    for item in &mut select.projection {
        let SelectItem::UnnamedExpr(expr) = item else {
            continue;
        };
        if is_left(expr, &known) {
            continue;
        }
        let name = free_name(&name_of_expr(expr), &known);
        *item = SelectItem::ExprWithAlias {
            expr: expr.clone(),
            alias: ast::quoted(&name),
        };
        known.push(name);
    }
}

fn is_column(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
}

fn name_of(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(expr) => Some(name_of_expr(expr)),
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
        _ => None,
    }
}

fn name_of_expr(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(name) => name.value.clone(),
        Expr::CompoundIdentifier(parts) => parts.last().map(|part| part.value.clone()).unwrap_or_default(),
        other => as_written(other).value,
    }
}

fn free_name(plain: &str, known: &[String]) -> String {
    let is_free = |name: &String| !known.contains(name);
    let numbered = (1..).map(|number| format!("{plain}_{number}"));
    std::iter::once(plain.to_owned())
        .filter(|name| known.iter().filter(|known| *known == name).count() <= 1)
        .chain(numbered.filter(|name| is_free(name)))
        .next()
        .unwrap_or_default()
}
