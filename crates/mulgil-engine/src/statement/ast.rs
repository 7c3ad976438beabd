//! Pieces of SQL as syntax trees. Statements that change rows become queries made of these and of
//! the person's own expressions, which keep their places in the text.

use datafusion::sql::sqlparser::{
    ast::{
        CaseWhen, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
        FunctionArguments, Ident, Join, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Query, SelectItem,
        SetExpr, Statement, TableAlias, TableFactor, TableWithJoins, UnaryOperator, Value, ValueWithSpan, With,
        helpers::attached_token::AttachedToken,
    },
    dialect::GenericDialect,
    parser::Parser,
};
use mulgil_core::port::Fault;

use super::write::broken;
use crate::{hidden, names::TARGET};

/// A name in quotes.
pub(super) fn quoted(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

/// A column of something.
pub(super) fn column(of: &str, name: &str) -> Expr {
    Expr::CompoundIdentifier(vec![quoted(of), quoted(name)])
}

/// A whole number.
pub(super) fn number(value: i64) -> Expr {
    Expr::value(Value::Number(value.to_string(), false))
}

/// A function of some values.
pub(super) fn call(name: &str, args: Vec<Expr>) -> Expr {
    function(name, args.into_iter().map(FunctionArgExpr::Expr))
}

/// `count(*)`.
pub(super) fn count_of_rows() -> Expr {
    function("count", std::iter::once(FunctionArgExpr::Wildcard))
}

fn function(name: &str, args: impl Iterator<Item = FunctionArgExpr>) -> Expr {
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.map(FunctionArg::Unnamed).collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// Text.
pub(super) fn text(value: &str) -> Expr {
    Expr::value(Value::SingleQuotedString(value.to_owned()))
}

/// The text that an expression is, where it is written out.
pub(super) fn written(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(ValueWithSpan {
            value: Value::SingleQuotedString(text),
            ..
        }) => Some(text),
        _ => None,
    }
}

/// In parentheses.
pub(super) fn nested(expr: Expr) -> Expr {
    Expr::Nested(Box::new(expr))
}

/// Its opposite.
pub(super) fn not(expr: Expr) -> Expr {
    Expr::UnaryOp {
        op: UnaryOperator::Not,
        expr: Box::new(nested(expr)),
    }
}

/// Nothing.
pub(super) fn null() -> Expr {
    Expr::value(Value::Null)
}

/// Both, where there are two.
pub(super) fn and(left: Option<Expr>, right: Option<Expr>) -> Option<Expr> {
    match (left, right) {
        (Some(left), Some(right)) => Some(Expr::BinaryOp {
            left: Box::new(nested(left)),
            op: datafusion::sql::sqlparser::ast::BinaryOperator::And,
            right: Box::new(nested(right)),
        }),
        (one, other) => one.or(other),
    }
}

/// A value as another type.
pub(super) fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(expr),
        data_type,
        array: false,
        format: None,
    }
}

/// Whether something is there.
pub(super) fn is_there(expr: Expr) -> Expr {
    Expr::IsNotNull(Box::new(expr))
}

/// Whether something is missing.
pub(super) fn is_missing(expr: Expr) -> Expr {
    Expr::IsNull(Box::new(expr))
}

/// The result of the first condition that holds.
pub(super) fn case(whens: Vec<(Expr, Expr)>, otherwise: Expr) -> Expr {
    if whens.is_empty() {
        return otherwise;
    }
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: whens
            .into_iter()
            .map(|(condition, result)| CaseWhen { condition, result })
            .collect(),
        else_result: Some(Box::new(otherwise)),
    }
}

/// The rows of the table that a statement changes, under a name.
pub(super) fn target(alias: &str) -> Result<TableFactor, Fault> {
    let mut factor = one_table()?;
    if let TableFactor::Table {
        name, alias: as_name, ..
    } = &mut factor
    {
        *name = ObjectName(vec![ObjectNamePart::Identifier(quoted(TARGET))]);
        *as_name = Some(named(alias));
    }
    Ok(factor)
}

/// A table by its name.
pub(super) fn table(of: ObjectName) -> Result<TableFactor, Fault> {
    let mut factor = one_table()?;
    if let TableFactor::Table { name, .. } = &mut factor {
        *name = of;
    }
    Ok(factor)
}

/// A query in the place of a table.
pub(super) fn derived(query: Query, alias: TableAlias) -> TableFactor {
    TableFactor::Derived {
        lateral: false,
        subquery: Box::new(query),
        alias: Some(alias),
        sample: None,
    }
}

/// A name for a table.
pub(super) fn named(name: &str) -> TableAlias {
    TableAlias {
        explicit: true,
        name: quoted(name),
        columns: Vec::new(),
        at: None,
    }
}

/// A table without joins.
pub(super) fn alone(relation: TableFactor) -> TableWithJoins {
    TableWithJoins {
        relation,
        joins: Vec::new(),
    }
}

/// One table joined to another.
pub(super) fn joined(
    left: TableFactor,
    right: TableFactor,
    on: Expr,
    kind: fn(JoinConstraint) -> JoinOperator,
) -> TableWithJoins {
    TableWithJoins {
        relation: left,
        joins: vec![Join {
            relation: right,
            global: false,
            join_operator: kind(JoinConstraint::On(on)),
        }],
    }
}

/// A query of some expressions, each under the name of its place.
pub(super) fn select(
    with: Option<With>,
    columns: Vec<Expr>,
    from: Vec<TableWithJoins>,
    selection: Option<Expr>,
) -> Result<Query, Fault> {
    let items = columns
        .into_iter()
        .enumerate()
        .map(|(place, expr)| SelectItem::ExprWithAlias {
            expr,
            alias: quoted(&format!("@{place}")),
        });
    select_items(with, items.collect(), from, selection)
}

/// A query of some items.
pub(super) fn select_items(
    with: Option<With>,
    items: Vec<SelectItem>,
    from: Vec<TableWithJoins>,
    selection: Option<Expr>,
) -> Result<Query, Fault> {
    let mut query = parsed("SELECT 1")?;
    query.with = with;
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.projection = items;
        select.from = from;
        select.selection = selection;
    }
    Ok(query)
}

/// A query that is written in this program.
pub(super) fn parsed(sql: &str) -> Result<Query, Fault> {
    let statement = Parser::parse_sql(&GenericDialect {}, sql)
        .ok()
        .and_then(|mut statements| statements.pop());
    match statement {
        Some(Statement::Query(query)) => Ok(*query),
        Some(_) | None => Err(broken(&format!("`{sql}` is no query"))),
    }
}

fn one_table() -> Result<TableFactor, Fault> {
    let query = parsed("SELECT 1 FROM t")?;
    match *query.body {
        SetExpr::Select(select) => select.from.into_iter().next().map(|table| table.relation),
        _ => None,
    }
    .ok_or_else(|| broken("a query has no table"))
}

/// What a table is called in its statement: its alias, or the last part of its name.
pub(super) fn called(factor: &TableFactor) -> Option<String> {
    match factor {
        TableFactor::Table { name, alias, .. } => alias
            .as_ref()
            .map(|alias| hidden::folded(&alias.name))
            .or_else(|| name.0.last()?.as_ident().map(hidden::folded)),
        TableFactor::Derived { alias, .. }
        | TableFactor::NestedJoin { alias, .. }
        | TableFactor::UNNEST { alias, .. } => alias.as_ref().map(|alias| hidden::folded(&alias.name)),
        _ => None,
    }
}

/// Whether two are equal.
pub(super) fn equal(left: Expr, right: Expr) -> Expr {
    binary(left, datafusion::sql::sqlparser::ast::BinaryOperator::Eq, right)
}

/// Whether two hold.
pub(super) fn both(left: Expr, right: Expr) -> Expr {
    binary(left, datafusion::sql::sqlparser::ast::BinaryOperator::And, right)
}

/// Whether one of two holds.
pub(super) fn or(left: Expr, right: Expr) -> Expr {
    binary(left, datafusion::sql::sqlparser::ast::BinaryOperator::Or, right)
}

/// Whether one is greater.
pub(super) fn greater(left: Expr, right: Expr) -> Expr {
    binary(left, datafusion::sql::sqlparser::ast::BinaryOperator::Gt, right)
}

/// Two with an operator between them.
pub(super) fn binary(left: Expr, op: datafusion::sql::sqlparser::ast::BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp {
        left: Box::new(left),
        op,
        right: Box::new(right),
    }
}

/// A query that asks for all rows of the target to go.
pub(super) fn every_row(alias: &str) -> Result<Query, Fault> {
    let columns = vec![column(alias, super::numbered::ROW), number(super::write::DELETE)];
    select(None, columns, vec![alone(target(alias)?)], None)
}

/// A whole number below zero.
pub(super) fn negative(value: i64) -> Expr {
    Expr::UnaryOp {
        op: datafusion::sql::sqlparser::ast::UnaryOperator::Minus,
        expr: Box::new(number(value)),
    }
}
