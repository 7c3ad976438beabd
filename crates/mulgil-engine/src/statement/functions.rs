//! Functions of PostgreSQL, Redshift, BigQuery, Snowflake, DuckDB and Spark that the engine knows by another
//! name, or that are an expression of what it knows. Those that mean different things in two of them are
//! left out: `dayofweek`, `date_format`, `hash`.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, ExactNumberInfo, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArgumentList, FunctionArguments, Ident, ObjectName, TimezoneInfo,
};
use mulgil_core::port::Fault;

use super::{ast, json, parse::unsupported};
use crate::fault::Author;

/// Functions that are the engine's by another name, aggregates among them.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("approx_count_distinct", "approx_distinct"),
    ("booland_agg", "bool_and"),
    ("boolor_agg", "bool_or"),
    ("ceiling", "ceil"),
    ("collect_list", "array_agg"),
    ("every", "bool_and"),
    ("generate_uuid", "uuid"),
    ("list_max", "array_max"),
    ("list_min", "array_min"),
    ("logical_and", "bool_and"),
    ("logical_or", "bool_or"),
    ("regexp_contains", "regexp_like"),
    ("sign", "signum"),
    ("startswith", "starts_with"),
    ("timestamp_micros", "to_timestamp_micros"),
    ("timestamp_millis", "to_timestamp_millis"),
    ("timestamp_seconds", "to_timestamp_seconds"),
    ("variance", "var_samp"),
];

/// Functions that are a part of a moment.
const PARTS: &[(&str, &str)] = &[
    ("year", "year"),
    ("quarter", "quarter"),
    ("month", "month"),
    ("day", "day"),
    ("dayofmonth", "day"),
    ("dayofyear", "doy"),
    ("hour", "hour"),
    ("minute", "minute"),
    ("weekofyear", "week"),
    ("epoch", "epoch"),
];

/// A function of another database, as an expression of ours.
pub(super) fn in_our_words(function: &Function, author: &Author) -> Result<Option<Expr>, Fault> {
    if let Some(same) = renamed(function).or_else(|| joined_text(function)) {
        return Ok(Some(Expr::Function(same)));
    }
    let Some((name, args)) = plain_call(function) else {
        return Ok(None);
    };
    if let ("to_char", [_, format]) = (name.as_str(), args.as_slice())
        && let Some(written) = ast::written(format)
        && !written.contains('%')
        && pattern_of(written).is_none()
    {
        return Err(unsupported(&format!("the format '{written}' of to_char"), author));
    }
    if let Some(read) = json::function(&name, &args, author)? {
        return Ok(Some(read));
    }
    Ok(of_moments(&name, &args).or_else(|| of_values(&name, &args)))
}

/// The same function by the engine's name.
fn renamed(function: &Function) -> Option<Function> {
    let name = word(function)?;
    let (_, ours) = OTHER_NAMES.iter().find(|(theirs, _)| *theirs == name)?;
    let mut function = function.clone();
    function.name = ObjectName::from(vec![Ident::new(*ours)]);
    Some(function)
}

/// `listagg(x, ',') within group (order by x)`, and `group_concat(x)`.
fn joined_text(function: &Function) -> Option<Function> {
    let separator = match word(function)?.as_str() {
        "listagg" => "",
        "group_concat" => ",",
        _ => return None,
    };
    let mut function = function.clone();
    function.name = ObjectName::from(vec![Ident::new("string_agg")]);
    let FunctionArguments::List(FunctionArgumentList { args, clauses, .. }) = &mut function.args else {
        return None;
    };
    if args.len() == 1 {
        args.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(ast::text(separator))));
    }
    let order = std::mem::take(&mut function.within_group);
    if !order.is_empty() {
        clauses.push(FunctionArgumentClause::OrderBy(order));
    }
    Some(function)
}

fn word(function: &Function) -> Option<String> {
    match function.name.0.as_slice() {
        [name] => name.as_ident().map(|name| name.value.to_lowercase()),
        _ => None,
    }
}

/// The name and the arguments of a call of one word, without anything else.
fn plain_call(function: &Function) -> Option<(String, Vec<&Expr>)> {
    let name = word(function)?;
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
    Some((name, args))
}

/// What is asked of dates and timestamps.
fn of_moments(name: &str, args: &[&Expr]) -> Option<Expr> {
    if let ([value], Some((_, part))) = (args, PARTS.iter().find(|(theirs, _)| *theirs == name)) {
        return Some(ast::call("date_part", vec![ast::text(part), (*value).clone()]));
    }
    let as_text = |value: &Expr, pattern: &str| Some(ast::call("to_char", vec![value.clone(), ast::text(pattern)]));
    match (name, args) {
        ("to_char", [value, format]) => as_text(value, &pattern_of(ast::written(format)?)?),
        ("strftime", [value, format]) => match (ast::written(value), ast::written(format)) {
            // SQLite and older DuckDB write the format first.
            (Some(first), None) if first.contains('%') => as_text(format, first),
            _ => Some(ast::call("to_char", vec![(*value).clone(), (*format).clone()])),
        },
        ("format_date" | "format_timestamp" | "format_datetime", [format, value]) => {
            as_text(value, ast::written(format)?)
        }
        ("dayname", [value]) => as_text(value, "%A"),
        ("monthname", [value]) => as_text(value, "%B"),
        ("to_date", [value, format]) => {
            let pattern = ast::text(&pattern_of(ast::written(format)?)?);
            Some(ast::call("to_date", vec![(*value).clone(), pattern]))
        }
        ("parse_date", [format, value]) => Some(ast::call("to_date", vec![(*value).clone(), (*format).clone()])),
        ("to_timestamp", [value, format]) => Some(moment(value, &ast::text(&pattern_of(ast::written(format)?)?))),
        ("parse_timestamp" | "parse_datetime", [format, value]) => Some(moment(value, format)),
        ("date", [value]) => Some(ast::cast((*value).clone(), DataType::Date)),
        ("date", [year, month, day]) => Some(ast::call(
            "make_date",
            vec![(*year).clone(), (*month).clone(), (*day).clone()],
        )),
        ("second", [value]) => {
            let seconds = ast::call("date_part", vec![ast::text("second"), (*value).clone()]);
            Some(ast::cast(ast::call("floor", vec![seconds]), DataType::BigInt(None)))
        }
        ("strptime", [value, format]) => Some(moment(value, format)),
        ("make_timestamp", [year, month, day, hour, minute, second]) => {
            let date = vec![(*year).clone(), (*month).clone(), (*day).clone()];
            let midnight = ast::cast(
                ast::call("make_date", date),
                DataType::Timestamp(Some(6), TimezoneInfo::None),
            );
            let micros = ast::binary(
                ast::nested((*second).clone()),
                BinaryOperator::Multiply,
                ast::number(1_000_000),
            );
            let clock = [("hour", (*hour).clone()), ("minute", (*minute).clone())];
            let of_clock = clock
                .iter()
                .fold(midnight, |moment, (unit, count)| added(unit, count, &moment));
            Some(added(
                "microsecond",
                &ast::cast(micros, DataType::BigInt(None)),
                &of_clock,
            ))
        }
        ("unix_seconds", [value]) => {
            let seconds = ast::call("date_part", vec![ast::text("epoch"), (*value).clone()]);
            Some(ast::cast(ast::call("floor", vec![seconds]), DataType::BigInt(None)))
        }
        // BigQuery writes the unit last.
        ("date_trunc" | "timestamp_trunc" | "datetime_trunc", [value, unit @ Expr::Identifier(_)])
            if ast::written(value).is_none() =>
        {
            Some(ast::call(
                "date_trunc",
                vec![ast::text(&unit_of(unit)?), (*value).clone()],
            ))
        }
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
            Some(ast::nested(ast::binary((*value).clone(), op, (*interval).clone())))
        }
        ("last_day", [value]) => Some(last_day(value)),
        ("getdate" | "current_datetime" | "sysdate", []) => Some(ast::call("now", Vec::new())),
        _ => None,
    }
}

/// What is asked of any other values.
fn of_values(name: &str, args: &[&Expr]) -> Option<Expr> {
    match (name, args) {
        ("mod", [value, divisor]) => Some(ast::nested(rest(value, divisor))),
        ("div", [value, divisor]) => {
            let whole = ast::binary(
                ast::nested((*value).clone()),
                BinaryOperator::Minus,
                ast::nested(rest(value, divisor)),
            );
            Some(ast::nested(ast::binary(
                ast::nested(whole),
                BinaryOperator::Divide,
                ast::nested((*divisor).clone()),
            )))
        }
        ("zeroifnull", [value]) => Some(ast::call("coalesce", vec![(*value).clone(), ast::number(0)])),
        ("nullifzero", [value]) => Some(ast::call("nullif", vec![(*value).clone(), ast::number(0)])),
        ("ifnull" | "isnull", [value, other]) => Some(ast::call("coalesce", vec![(*value).clone(), (*other).clone()])),
        ("isnull", [value]) => Some(ast::nested(ast::is_missing((*value).clone()))),
        ("equal_null", [left, right]) => Some(same(left, right)),
        ("len", [value]) => Some(ast::call("length", vec![(*value).clone()])),
        ("charindex" | "locate", [part, whole]) => Some(ast::call("strpos", vec![(*whole).clone(), (*part).clone()])),
        ("split" | "str_split" | "string_split", [value, separator]) => Some(ast::call(
            "string_to_array",
            vec![(*value).clone(), (*separator).clone()],
        )),
        ("sha2", [value, bits]) => {
            let hash = match bits.to_string().as_str() {
                "224" => "sha224",
                "0" | "256" => "sha256",
                "384" => "sha384",
                "512" => "sha512",
                _ => return None,
            };
            let hash = ast::call(hash, vec![(*value).clone()]);
            Some(ast::call("encode", vec![hash, ast::text("hex")]))
        }
        ("regexp_extract" | "regexp_substr", [value, pattern]) if !ast::written(pattern)?.contains('(') => {
            Some(group(value, pattern, ast::number(1)))
        }
        ("regexp_extract", [value, pattern, place]) => match place.to_string().as_str() {
            "0" => Some(group(
                value,
                &ast::text(&format!("({})", ast::written(pattern)?)),
                ast::number(1),
            )),
            _ => Some(group(value, pattern, (*place).clone())),
        },
        ("countif" | "count_if", [condition]) => {
            let counted = ast::case(vec![((*condition).clone(), ast::number(1))], ast::null());
            Some(ast::call("count", vec![counted]))
        }
        ("if" | "iff", [condition, yes, no]) => {
            Some(ast::case(vec![((*condition).clone(), (*yes).clone())], (*no).clone()))
        }
        ("decode", [value, pairs @ ..]) if pairs.len() > 1 => Some(decoded(value, pairs)),
        ("safe_divide", [dividend, divisor]) => {
            let divisor = ast::call("nullif", vec![(*divisor).clone(), ast::number(0)]);
            let dividend = ast::cast((*dividend).clone(), DataType::Double(ExactNumberInfo::None));
            Some(ast::nested(ast::binary(dividend, BinaryOperator::Divide, divisor)))
        }
        _ => None,
    }
}

fn rest(value: &Expr, divisor: &Expr) -> Expr {
    ast::binary(
        ast::nested(value.clone()),
        BinaryOperator::Modulo,
        ast::nested(divisor.clone()),
    )
}

/// Whether two are equal, NULL to NULL too.
fn same(left: &Expr, right: &Expr) -> Expr {
    ast::nested(Expr::IsNotDistinctFrom(
        Box::new(ast::nested(left.clone())),
        Box::new(ast::nested(right.clone())),
    ))
}

/// Redshift's `decode(value, search, result, …, default)`.
fn decoded(value: &Expr, pairs: &[&Expr]) -> Expr {
    let (pairs, default) = pairs.as_chunks::<2>();
    let whens = pairs
        .iter()
        .map(|[search, result]| (same(value, search), (*result).clone()));
    ast::case(
        whens.collect(),
        default.first().map_or_else(ast::null, |default| (*default).clone()),
    )
}

/// What a group of a regular expression has met.
fn group(value: &Expr, pattern: &Expr, place: Expr) -> Expr {
    let met = ast::call("regexp_match", vec![value.clone(), pattern.clone()]);
    ast::call("array_element", vec![met, place])
}

/// A timestamp that is read by a format.
fn moment(value: &Expr, format: &Expr) -> Expr {
    let (value, format) = match ast::written(format) {
        Some(pattern) => readable(value, pattern),
        None => (value.clone(), format.clone()),
    };
    let read = ast::call("to_timestamp_micros", vec![value, format]);
    ast::cast(read, DataType::Timestamp(Some(6), TimezoneInfo::None))
}

/// A text and its format as the engine reads all of it.
fn readable(value: &Expr, pattern: &str) -> (Expr, Expr) {
    // `%f` is a fraction of a second here and a count of nanoseconds there.
    let pattern = pattern.replace(".%f", "%.f").replace("%f", "%6f");
    let has = |letters: &[&str]| letters.iter().any(|letter| pattern.contains(letter));
    if !has(&["%H", "%I"]) || has(&["%M", "%R", "%T"]) {
        return (value.clone(), ast::text(&pattern));
    }
    // An hour without minutes would be passed over.
    let value = ast::binary(
        ast::nested(value.clone()),
        BinaryOperator::StringConcat,
        ast::text(" 00"),
    );
    (ast::nested(value), ast::text(&format!("{pattern} %M")))
}

/// The unit that a word or a text names.
fn unit_of(expr: &Expr) -> Option<String> {
    let word = match expr {
        Expr::Identifier(name) if name.quote_style.is_none() => name.value.to_lowercase(),
        other => ast::written(other)?.to_lowercase(),
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
        "microsecond" => "microsecond",
        _ => return None,
    };
    Some(unit.to_owned())
}

/// A moment and a number of units: an interval is a constant here, so it is added by its own function.
fn added(unit: &str, count: &Expr, value: &Expr) -> Expr {
    ast::call(
        crate::meaning::ADD_UNITS,
        vec![ast::text(unit), count.clone(), value.clone()],
    )
}

/// How many borders of a unit lie between two moments.
fn difference(unit: &str, earlier: &Expr, later: &Expr) -> Expr {
    ast::call(
        crate::meaning::COUNT_UNITS,
        vec![ast::text(unit), earlier.clone(), later.clone()],
    )
}

fn last_day(value: &Expr) -> Expr {
    let first = ast::call("date_trunc", vec![ast::text("month"), value.clone()]);
    let next = added("month", &ast::number(1), &first);
    let last = added("day", &ast::negative(1), &next);
    ast::cast(last, DataType::Date)
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
