//! What people mean who come from PostgreSQL, Redshift, BigQuery or DuckDB, in words that the planner
//! understands as they do. What it would take for something else, and give wrong rows, is refused.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, ExactNumberInfo, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Ident, JoinConstraint, JoinOperator, LimitClause, NamedWindowDefinition, NamedWindowExpr,
    ObjectName, OrderByKind, Query, Select, SelectItem, SetExpr, SetOperator, SetQuantifier, Statement, TableWithJoins,
    TimezoneInfo, UnaryOperator, Value, ValueWithSpan, VisitMut, VisitorMut, WindowSpec, WindowType,
};
use mulgil_core::port::Fault;

use super::{ast, parse::unsupported};
use crate::fault::Author;

/// Digits of a second that a table keeps.
const MICROSECONDS: u64 = 6;

/// Puts a statement into the planner's words.
pub(super) fn translate(statement: &mut Statement, author: &Author) -> Result<(), Fault> {
    let mut translator = Translator { author };
    match statement.visit(&mut translator) {
        ControlFlow::Break(fault) => Err(fault),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Gives each expression of a select list a name of its own: the planner takes two for one where they
/// differ only in their types.
pub(crate) fn name_all(statement: &mut Statement) {
    struct Namer;
    impl VisitorMut for Namer {
        type Break = ();

        fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
            let mut known: Vec<String> = select.projection.iter().filter_map(name_of).collect();
            for item in &mut select.projection {
                let SelectItem::UnnamedExpr(expr) = item else {
                    continue;
                };
                let plain = name_of_expr(expr);
                let is_first = known.iter().filter(|name| **name == plain).count() <= 1;
                let is_column = matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
                if is_first && is_column {
                    continue;
                }
                let name = free_name(&plain, &known);
                known.push(name.clone());
                *item = SelectItem::ExprWithAlias {
                    expr: expr.clone(),
                    alias: ast::quoted(&name),
                };
            }
            ControlFlow::Continue(())
        }
    }
    let _ = statement.visit(&mut Namer);
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
        other => other.to_string().to_lowercase(),
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
        order_by_names(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Fault> {
        if select.from.iter().any(joins_in_full_by_name) {
            return self.refuse("FULL JOIN with USING or NATURAL");
        }
        let windows = select.named_window.clone();
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                spell_windows_out(expr, &windows);
            }
        }
        if let Some(condition) = &mut select.selection {
            exact_not_in(condition);
        }
        if let Some(condition) = &mut select.having {
            exact_not_in(condition);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Fault> {
        match expr {
            Expr::SimilarTo { .. } => return self.refuse("SIMILAR TO"),
            Expr::BinaryOp {
                left,
                op: BinaryOperator::BitwiseXor,
                right,
            } => *expr = call("power", vec![left.as_ref().clone(), right.as_ref().clone()]),
            Expr::TypedString(typed) => in_microseconds(&mut typed.data_type),
            Expr::Cast {
                expr: value, data_type, ..
            } => {
                in_microseconds(data_type);
                as_written(value, data_type);
            }
            Expr::Function(function) => {
                if let Some(better) = function_in_our_words(function) {
                    *expr = better;
                }
            }
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
            let alias = ast::quoted(&expr.to_string().to_lowercase());
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

/// `x not in (sub-query)` inside of a larger condition. There the planner only knows whether there is a
/// row with x, so that a NULL on either side would count as "not there". The same as one question:
/// whether no row is equal to x or could be.
fn exact_not_in(condition: &mut Expr) {
    match condition {
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => {
            exact_not_in(left);
            exact_not_in(right);
        }
        Expr::Nested(inner) => exact_not_in(inner),
        Expr::InSubquery { .. } => {}
        other => {
            let _ = other.visit(&mut NotIn);
        }
    }
}

struct NotIn;

impl VisitorMut for NotIn {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr: inner,
        } = expr
            && let Expr::InSubquery {
                expr: value,
                subquery,
                negated: false,
            } = without_parentheses(inner)
        {
            *expr = Expr::InSubquery {
                expr: value.clone(),
                subquery: subquery.clone(),
                negated: true,
            };
        }
        if let Expr::InSubquery {
            expr: value,
            subquery,
            negated: true,
        } = expr
            && let Ok(exists) = none_could_be(value, subquery)
        {
            *expr = exists;
        }
        ControlFlow::Continue(())
    }
}

fn without_parentheses(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => without_parentheses(inner),
        other => other,
    }
}

/// `not exists (select 1 from (sub-query) as s (v) where v = x or v is null or x is null)`.
fn none_could_be(value: &Expr, subquery: &Query) -> Result<Expr, Fault> {
    const ROWS: &str = "@in";
    const COLUMN: &str = "@value";
    let mut alias = ast::named(ROWS);
    alias.columns = vec![datafusion::sql::sqlparser::ast::TableAliasColumnDef {
        name: ast::quoted(COLUMN),
        data_type: None,
    }];
    let column = ast::column(ROWS, COLUMN);
    let value = Expr::Nested(Box::new(value.clone()));
    let or = |left: Expr, right: Expr| Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::Or,
        right: Box::new(right),
    };
    let could_be = or(
        or(ast::equal(column.clone(), value.clone()), ast::is_missing(column)),
        ast::is_missing(value),
    );
    let from = ast::alone(ast::derived(subquery.clone(), alias));
    let query = ast::select(None, vec![ast::number(1)], vec![from], Some(could_be))?;
    Ok(Expr::Exists {
        subquery: Box::new(query),
        negated: true,
    })
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

/// A function of another database, as an expression of ours.
fn function_in_our_words(function: &Function) -> Option<Expr> {
    let [name] = function.name.0.as_slice() else {
        return None;
    };
    let name = name.as_ident()?;
    let FunctionArguments::List(list) = &function.args else {
        return None;
    };
    if function.over.is_some() || function.filter.is_some() || list.duplicate_treatment.is_some() {
        return None;
    }
    let args: Vec<&Expr> = list
        .args
        .iter()
        .map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        })
        .collect::<Option<_>>()?;
    let name = name.value.to_lowercase();
    match (name.as_str(), args.as_slice()) {
        ("to_char", [value, format]) => {
            let pattern = pattern_of(text(format)?)?;
            Some(call("to_char", vec![(*value).clone(), string(&pattern)]))
        }
        ("strftime", [value, format]) => match (text(value), text(format)) {
            // SQLite and older DuckDB write the format first.
            (Some(first), None) if first.contains('%') => {
                Some(call("to_char", vec![(*format).clone(), (*value).clone()]))
            }
            _ => Some(call("to_char", vec![(*value).clone(), (*format).clone()])),
        },
        ("sign", [value]) => Some(call("signum", vec![(*value).clone()])),
        ("dateadd" | "date_add" | "timestampadd" | "timestamp_add", [unit, count, value]) => {
            Some(added(&unit_of(unit)?, count, value))
        }
        ("datediff" | "date_diff" | "timestampdiff" | "timestamp_diff", [first, second, third]) => {
            // BigQuery writes the unit last, and the later moment first.
            match unit_of(first) {
                Some(unit) => Some(difference(&unit, second, third)),
                None => Some(difference(&unit_of(third)?, second, first)),
            }
        }
        ("datediff", [later, earlier]) => Some(difference("day", earlier, later)),
        ("add_months", [value, months]) => Some(added("month", months, value)),
        ("date_add" | "timestamp_add" | "date_sub" | "timestamp_sub", [value, interval @ Expr::Interval(_)]) => {
            let op = if name.ends_with("sub") {
                BinaryOperator::Minus
            } else {
                BinaryOperator::Plus
            };
            Some(Expr::Nested(Box::new(binary(
                (*value).clone(),
                op,
                (*interval).clone(),
            ))))
        }
        ("last_day", [value]) => last_day(value),
        ("ifnull", [value, other]) => Some(call("coalesce", vec![(*value).clone(), (*other).clone()])),
        ("len", [value]) => Some(call("length", vec![(*value).clone()])),
        ("countif" | "count_if", [condition]) => {
            let counted = ast::case(vec![((*condition).clone(), ast::number(1))], ast::null());
            Some(call("count", vec![counted]))
        }
        ("if" | "iff", [condition, yes, no]) => {
            Some(ast::case(vec![((*condition).clone(), (*yes).clone())], (*no).clone()))
        }
        ("safe_divide", [dividend, divisor]) => {
            let divisor = call("nullif", vec![(*divisor).clone(), ast::number(0)]);
            let dividend = cast((*dividend).clone(), DataType::Double(ExactNumberInfo::None));
            Some(Expr::Nested(Box::new(binary(
                dividend,
                BinaryOperator::Divide,
                divisor,
            ))))
        }
        ("getdate" | "current_datetime" | "sysdate", []) => Some(call("now", Vec::new())),
        _ => None,
    }
}

fn call(name: &str, args: Vec<Expr>) -> Expr {
    let args = args
        .into_iter()
        .map(|expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)))
        .collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(datafusion::sql::sqlparser::ast::FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(expr),
        data_type,
        array: false,
        format: None,
    }
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp {
        left: Box::new(left),
        op,
        right: Box::new(right),
    }
}

fn string(text: &str) -> Expr {
    Expr::value(Value::SingleQuotedString(text.to_owned()))
}

fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(ValueWithSpan {
            value: Value::SingleQuotedString(text),
            ..
        }) => Some(text),
        _ => None,
    }
}

/// The unit that a word or a text names.
fn unit_of(expr: &Expr) -> Option<String> {
    let word = match expr {
        Expr::Identifier(name) if name.quote_style.is_none() => name.value.to_lowercase(),
        other => text(other)?.to_lowercase(),
    };
    let unit = match word.trim_end_matches('s') {
        "year" | "yy" | "yyyy" | "yr" => "year",
        "quarter" | "qq" | "qtr" => "quarter",
        "month" | "mm" | "mon" => "month",
        "week" | "ww" | "wk" => "week",
        "day" | "dd" | "d" => "day",
        "hour" | "hh" | "hr" => "hour",
        "minute" | "mi" | "min" => "minute",
        "second" | "sec" => "second",
        "millisecond" => "millisecond",
        _ => return None,
    };
    Some(unit.to_owned())
}

/// A moment and a number of units: an interval is a constant here, so it is added by its own function.
fn added(unit: &str, count: &Expr, value: &Expr) -> Expr {
    call(
        crate::meaning::ADD_UNITS,
        vec![string(unit), count.clone(), value.clone()],
    )
}

/// How many borders of a unit lie between two moments.
fn difference(unit: &str, earlier: &Expr, later: &Expr) -> Expr {
    call(
        crate::meaning::COUNT_UNITS,
        vec![string(unit), earlier.clone(), later.clone()],
    )
}

fn last_day(value: &Expr) -> Option<Expr> {
    let first = call("date_trunc", vec![string("month"), value.clone()]);
    let next = added("month", &ast::number(1), &first);
    let last = added("day", &ast::negative(1), &next);
    Some(cast(last, DataType::Date))
}

/// PostgreSQL's letters of a date as those of `strftime`; nothing where it has some already.
fn pattern_of(format: &str) -> Option<String> {
    const LETTERS: &[(&str, &str)] = &[
        ("YYYY", "%Y"),
        ("yyyy", "%Y"),
        ("HH24", "%H"),
        ("hh24", "%H"),
        ("HH12", "%I"),
        ("hh12", "%I"),
        ("Month", "%B"),
        ("MONTH", "%B"),
        ("IYYY", "%G"),
        ("DDD", "%j"),
        ("Mon", "%b"),
        ("Day", "%A"),
        ("YY", "%y"),
        ("MM", "%m"),
        ("mm", "%m"),
        ("DD", "%d"),
        ("dd", "%d"),
        ("HH", "%I"),
        ("MI", "%M"),
        ("mi", "%M"),
        ("SS", "%S"),
        ("ss", "%S"),
        ("MS", "%3f"),
        ("US", "%6f"),
        ("AM", "%p"),
        ("PM", "%p"),
        ("Dy", "%a"),
        ("IW", "%V"),
        ("ID", "%u"),
    ];
    if format.contains('%') {
        return None;
    }
    let mut out = String::new();
    let mut rest = format;
    while let Some(letter) = rest.chars().next() {
        if let Some((word, pattern)) = LETTERS.iter().find(|(word, _)| rest.starts_with(word)) {
            out.push_str(pattern);
            rest = &rest[word.len()..];
        } else if let Some((quoted, after)) = rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
            out.push_str(quoted);
            rest = after;
        } else {
            // Letters that mean something there and nothing here are left to the engine, which refuses
            // nothing; so the whole format is.
            if letter.is_ascii_alphabetic() && letter != 'T' && letter != 'Z' {
                return None;
            }
            out.push(letter);
            rest = &rest[letter.len_utf8()..];
        }
    }
    Some(out)
}
