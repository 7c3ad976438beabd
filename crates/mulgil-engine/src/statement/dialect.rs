//! What people mean who come from PostgreSQL, Redshift, BigQuery or DuckDB, in words that the planner
//! understands as they do. What it would take for something else, and give wrong rows, is refused.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, ExactNumberInfo, Expr, Function, JoinConstraint, JoinOperator, LimitClause,
    NamedWindowDefinition, NamedWindowExpr, OrderByExpr, OrderByKind, Query, Select, SelectFlavor, SelectItem, SetExpr,
    SetOperator, SetQuantifier, Statement, TableFactor, TableWithJoins, TimezoneInfo, UnaryOperator, Value,
    ValueWithSpan, VisitMut, VisitorMut, WildcardAdditionalOptions, WindowSpec, WindowType,
};
use mulgil_core::port::Fault;

use super::{ast, column_names, functions, json, parse::unsupported, pivot, precedence, rows};
use crate::fault::Author;

/// Digits of a second that a table keeps.
const MICROSECONDS: u64 = 6;

/// Puts a statement into the planner's words.
pub(super) fn translate(statement: &mut Statement, author: &Author) -> Result<(), Fault> {
    if let (Statement::Query(query), Author::Typed) = (&mut *statement, author) {
        column_names::of_result(&mut query.body);
    }
    let mut translator = Translator { author };
    match statement.visit(&mut translator) {
        ControlFlow::Break(fault) => Err(fault),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Translator<'a> {
    author: &'a Author,
}

impl Translator<'_> {
    fn refuse<T>(&self, what: &str) -> ControlFlow<Fault, T> {
        ControlFlow::Break(unsupported(what, self.author))
    }
}

impl VisitorMut for Translator<'_> {
    type Break = Fault;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Fault> {
        if let SetExpr::SetOperation {
            op: SetOperator::Except | SetOperator::Intersect | SetOperator::Minus,
            set_quantifier: SetQuantifier::All | SetQuantifier::AllByName,
            ..
        } = query.body.as_ref()
        {
            return self.refuse("EXCEPT ALL and INTERSECT ALL");
        }
        if let SetExpr::SetOperation { op, .. } = query.body.as_mut()
            && *op == SetOperator::Minus
        {
            *op = SetOperator::Except;
        }
        limit_by_fetch(query);
        order_by_all(query);
        order_by_names(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Fault> {
        if select.from.iter().any(joins_in_full_by_name) {
            return self.refuse("FULL JOIN with USING or NATURAL");
        }
        if select.flavor == SelectFlavor::FromFirstNoSelect {
            select.flavor = SelectFlavor::Standard;
            select.projection = vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())];
        }
        let windows = select.named_window.clone();
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                spell_windows_out(expr, &windows);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Fault> {
        match pivot::written_out(factor, self.author) {
            Err(fault) => ControlFlow::Break(fault),
            Ok(()) => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Fault> {
        precedence::mend(expr);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Fault> {
        match expr {
            Expr::AtTimeZone { timestamp, time_zone } => {
                let args = vec![timestamp.as_ref().clone(), time_zone.as_ref().clone()];
                *expr = ast::call(crate::meaning::AT_ZONE, args);
            }
            Expr::SimilarTo { .. } => return self.refuse("SIMILAR TO"),
            Expr::BinaryOp {
                left,
                op: BinaryOperator::BitwiseXor,
                right,
            } => *expr = ast::call("power", vec![left.as_ref().clone(), right.as_ref().clone()]),
            Expr::BinaryOp { left, op, right } => match rows::compared(left, op, right) {
                Some(better) => *expr = better,
                None => match json::operator(left, op, right, self.author) {
                    Err(fault) => return ControlFlow::Break(fault),
                    Ok(None) => {}
                    Ok(Some(better)) => *expr = better,
                },
            },
            Expr::InList {
                expr: value,
                list,
                negated,
            } => {
                if let Some(better) = rows::in_list(value, list, *negated) {
                    *expr = better;
                }
            }
            Expr::Between {
                expr: value,
                negated,
                low,
                high,
            } => {
                if let Some(better) = rows::between(value, *negated, low, high) {
                    *expr = better;
                }
            }
            Expr::Value(ValueWithSpan {
                value: Value::Number(number, _),
                ..
            }) => {
                if let Some(exact) = exact(number) {
                    *expr = exact;
                }
            }
            Expr::TypedString(typed) => in_microseconds(&mut typed.data_type),
            Expr::Cast {
                expr: value, data_type, ..
            } => {
                in_microseconds(data_type);
                as_written(value, data_type);
            }
            Expr::Function(function) => match functions::in_our_words(function, self.author) {
                Err(fault) => return ControlFlow::Break(fault),
                Ok(None) => {}
                Ok(Some(better)) => *expr = better,
            },
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// `FETCH FIRST n ROWS ONLY` is a LIMIT.
fn limit_by_fetch(query: &mut Query) {
    let Some(fetch) = &query.fetch else {
        return;
    };
    if fetch.with_ties || fetch.percent {
        return;
    }
    let limit = Some(fetch.quantity.clone().unwrap_or_else(|| ast::number(1)));
    match &mut query.limit_clause {
        None => {
            query.limit_clause = Some(LimitClause::LimitOffset {
                limit,
                offset: None,
                limit_by: Vec::new(),
            });
        }
        Some(LimitClause::LimitOffset { limit: known, .. }) if known.is_none() => *known = limit,
        Some(_) => return,
    }
    query.fetch = None;
}

/// `order by all` names every column of the result, from left to right.
fn order_by_all(query: &mut Query) {
    let (SetExpr::Select(select), Some(order_by)) = (query.body.as_ref(), &mut query.order_by) else {
        return;
    };
    let OrderByKind::Expressions(orders) = &mut order_by.kind else {
        return;
    };
    let is_all = |expr: &Expr| matches!(expr, Expr::Identifier(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("all"));
    let is_one = |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
    if let [all] = orders.as_slice()
        && is_all(&all.expr)
        && select.projection.iter().all(is_one)
    {
        let all = all.clone();
        let columns = (1..).take(select.projection.len()).map(|place| OrderByExpr {
            expr: ast::number(place),
            ..all.clone()
        });
        *orders = columns.collect();
    }
}

/// `order by 2` of a query that groups names the column instead of repeating its expression, which the
/// planner would look for among the groups.
fn order_by_names(query: &mut Query) {
    let (SetExpr::Select(select), Some(order_by)) = (query.body.as_mut(), &mut query.order_by) else {
        return;
    };
    let OrderByKind::Expressions(orders) = &mut order_by.kind else {
        return;
    };
    let is_plain = |item: &SelectItem| !matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
    if select.projection.iter().any(is_plain) {
        return;
    }
    for order in orders {
        let same = select.projection.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if select.distinct.is_some() && *expr == order.expr => {
                Some(alias)
            }
            _ => None,
        });
        if let Some(alias) = same {
            order.expr = Expr::Identifier(alias.clone());
            continue;
        }
        let Expr::Value(ValueWithSpan {
            value: Value::Number(place, _),
            ..
        }) = &order.expr
        else {
            continue;
        };
        let item = place.parse::<usize>().ok().and_then(|place| place.checked_sub(1));
        let Some(item) = item.and_then(|place| select.projection.get_mut(place)) else {
            continue;
        };
        if let SelectItem::UnnamedExpr(expr) = item
            && !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_))
        {
            let alias = column_names::as_written(expr);
            order.expr = Expr::Identifier(alias.clone());
            *item = SelectItem::ExprWithAlias {
                expr: expr.clone(),
                alias,
            };
        }
    }
}

/// The planner takes the left side's column alone, which is NULL for rows of the right side.
fn joins_in_full_by_name(table: &TableWithJoins) -> bool {
    table.joins.iter().any(|join| {
        matches!(
            &join.join_operator,
            JoinOperator::FullOuter(JoinConstraint::Using(_) | JoinConstraint::Natural)
        )
    })
}

/// Writes a window that extends a named one out: the planner would forget the named one.
fn spell_windows_out(expr: &mut Expr, windows: &[NamedWindowDefinition]) {
    struct Speller<'a>(&'a [NamedWindowDefinition]);
    impl VisitorMut for Speller<'_> {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::Function(Function {
                over: Some(WindowType::WindowSpec(spec)),
                ..
            }) = expr
            {
                extend(spec, self.0);
            }
            ControlFlow::Continue(())
        }
    }
    let _ = expr.visit(&mut Speller(windows));
}

fn extend(spec: &mut WindowSpec, windows: &[NamedWindowDefinition]) {
    let mut steps = 0;
    while let Some(name) = spec.window_name.take() {
        let named = windows.iter().find(|NamedWindowDefinition(known, _)| *known == name);
        steps += 1;
        match named {
            Some(NamedWindowDefinition(_, NamedWindowExpr::WindowSpec(base))) if steps <= windows.len() => {
                if spec.partition_by.is_empty() {
                    spec.partition_by = base.partition_by.clone();
                }
                if spec.order_by.is_empty() {
                    spec.order_by = base.order_by.clone();
                }
                spec.window_name = base.window_name.clone();
            }
            Some(NamedWindowDefinition(_, NamedWindowExpr::NamedWindow(other))) if steps <= windows.len() => {
                spec.window_name = Some(other.clone());
            }
            Some(_) | None => {
                spec.window_name = Some(name);
                return;
            }
        }
    }
}

/// Timestamps have microseconds, as tables keep them; nanoseconds would end in 2262.
fn in_microseconds(data_type: &mut DataType) {
    match data_type {
        DataType::Timestamp(precision @ None, _) => *precision = Some(MICROSECONDS),
        DataType::Datetime(None) => {
            *data_type = DataType::Timestamp(Some(MICROSECONDS), TimezoneInfo::None);
        }
        _ => {}
    }
}

/// `cast(1.005 as decimal(10, 2))` means the digits that are written, not the nearest binary fraction.
fn as_written(value: &mut Box<Expr>, data_type: &DataType) {
    let is_decimal = matches!(
        data_type,
        DataType::Decimal(ExactNumberInfo::PrecisionAndScale(..))
            | DataType::Numeric(ExactNumberInfo::PrecisionAndScale(..))
            | DataType::Dec(ExactNumberInfo::PrecisionAndScale(..))
    );
    if is_decimal && let Some(digits) = digits(value) {
        **value = Expr::value(Value::SingleQuotedString(digits));
    }
}

/// A number with more digits before its point than bigint and double keep, as the decimal that it is.
fn exact(number: &str) -> Option<Expr> {
    /// Digits that a double keeps, whichever they are.
    const OF_DOUBLE: usize = 15;
    /// The least number beyond bigint; itself it may have a sign before it that makes it a bigint.
    const BEYOND: u128 = 1 << 63;
    const MOST: usize = 38;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let digits = whole.len() + fraction.len();
    // What a double cuts off behind the point is meant as one: as a decimal it would cut quotients, too.
    let is_exact_already = if number.contains('.') {
        whole.len() <= OF_DOUBLE
    } else {
        whole.is_empty() || whole.parse::<u128>().is_ok_and(|number| number <= BEYOND)
    };
    if is_exact_already || digits > MOST {
        return None;
    }
    let data_type = DataType::Decimal(ExactNumberInfo::PrecisionAndScale(
        digits as u64,
        i64::try_from(fraction.len()).ok()?,
    ));
    Some(ast::cast(ast::text(number), data_type))
}

/// The digits of a number with a fraction, with its sign.
fn digits(value: &Expr) -> Option<String> {
    match value {
        Expr::Value(ValueWithSpan {
            value: Value::Number(number, _),
            ..
        }) if number.contains('.') && !number.contains(['e', 'E']) => Some(number.clone()),
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => Some(format!("-{}", digits(expr)?)),
        Expr::Nested(inner) => digits(inner),
        _ => None,
    }
}
