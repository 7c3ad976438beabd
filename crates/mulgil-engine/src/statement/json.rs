//! Reading of JSON text, in the words of PostgreSQL, Redshift, BigQuery, DuckDB and Spark. Text that is no
//! JSON, and a path that leads nowhere, give NULL.

use std::sync::Arc;

use datafusion::{
    logical_expr::ScalarUDF,
    sql::sqlparser::ast::{BinaryOperator, Expr},
};
use datafusion_functions_json::udfs;
use mulgil_core::port::Fault;

use super::{ast, parse::unsupported};
use crate::fault::Author;

/// What is at a path, as JSON text.
const GET: &str = "json_get_json";
/// What is at a path, as text: a string without its quotes.
const GET_TEXT: &str = "json_as_text";

/// The functions that all of it is written with.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        udfs::json_get_json_udf(),
        udfs::json_as_text_udf(),
        udfs::json_get_str_udf(),
        udfs::json_get_int_udf(),
        udfs::json_get_float_udf(),
        udfs::json_get_bool_udf(),
        udfs::json_get_array_udf(),
        udfs::json_length_udf(),
        udfs::json_object_keys_udf(),
        udfs::json_contains_udf(),
    ]
}

/// `doc -> 'a'`, `doc ->> 0`, `doc #>> '{a,b}'`, `doc ? 'a'`.
pub(super) fn operator(left: &Expr, op: &BinaryOperator, right: &Expr, author: &Author) -> Result<Option<Expr>, Fault> {
    let (name, path) = match op {
        BinaryOperator::Arrow => (GET, step(right, author)?),
        BinaryOperator::LongArrow => (GET_TEXT, step(right, author)?),
        BinaryOperator::HashArrow => (GET, listed(right, author)?),
        BinaryOperator::HashLongArrow => (GET_TEXT, listed(right, author)?),
        BinaryOperator::Question => ("json_contains", vec![right.clone()]),
        _ => return Ok(None),
    };
    Ok(Some(at(name, left, path)))
}

/// A function of another database that reads JSON.
pub(super) fn function(name: &str, args: &[&Expr], author: &Author) -> Result<Option<Expr>, Fault> {
    let read = match (name, args) {
        ("json_extract" | "json_query", [doc, way]) => at(GET, doc, path(way, author)?),
        ("json_extract_string" | "get_json_object", [doc, way]) => at(GET_TEXT, doc, path(way, author)?),
        ("json_value" | "json_extract_scalar", [doc, way]) => scalar(doc, &path(way, author)?),
        ("json_extract_path", [doc, way @ ..]) => at(GET, doc, steps(way, author)?),
        ("json_extract_path_text", [doc, way @ ..]) => at(GET_TEXT, doc, steps(way, author)?),
        ("json_extract_array_element_text", [doc, place]) => at(GET_TEXT, doc, vec![(*place).clone()]),
        ("json_array_length", [doc]) => at("json_length", doc, Vec::new()),
        ("json_array_length", [doc, way]) => at("json_length", doc, path(way, author)?),
        ("json_keys", [doc]) => at("json_object_keys", doc, Vec::new()),
        ("json_keys", [doc, way]) => at("json_object_keys", doc, path(way, author)?),
        _ => return Ok(None),
    };
    Ok(Some(read))
}

fn at(name: &str, doc: &Expr, path: Vec<Expr>) -> Expr {
    let doc = std::iter::once(doc.clone());
    ast::call(name, doc.chain(path).collect())
}

/// The text of a string, number or truth value; NULL for what has parts.
fn scalar(doc: &Expr, path: &[Expr]) -> Expr {
    let first = ast::call("left", vec![at(GET, doc, path.to_vec()), ast::number(1)]);
    let has_parts = Expr::InList {
        expr: Box::new(first),
        list: vec![ast::text("{"), ast::text("[")],
        negated: false,
    };
    let text = at(GET_TEXT, doc, path.to_vec());
    ast::nested(ast::case(vec![(has_parts, ast::null())], text))
}

/// What stands right of an arrow: a key, a place, or in DuckDB's words a path.
fn step(right: &Expr, author: &Author) -> Result<Vec<Expr>, Fault> {
    match ast::written(right) {
        Some(text) if text.starts_with('$') => path(right, author),
        _ => Ok(vec![right.clone()]),
    }
}

/// Keys and places one by one, places perhaps as text.
fn steps(way: &[&Expr], author: &Author) -> Result<Vec<Expr>, Fault> {
    match way {
        [only] => step(only, author),
        _ => Ok(way.iter().map(|step| (*step).clone()).collect()),
    }
}

/// PostgreSQL's `{a,0,b}`.
fn listed(right: &Expr, author: &Author) -> Result<Vec<Expr>, Fault> {
    let inner = ast::written(right).and_then(|text| text.strip_prefix('{')?.strip_suffix('}'));
    let inner = inner.ok_or_else(|| unsupported("a path of JSON that is not written out", author))?;
    Ok(inner
        .split(',')
        .map(|part| key_or_place(part.trim().trim_matches('"')))
        .collect())
}

/// `$.a[0]."b c"['d']`, or with a slash `/a/0`.
fn path(way: &Expr, author: &Author) -> Result<Vec<Expr>, Fault> {
    let steps = match ast::written(way) {
        Some(text) => parse(text),
        None if matches!(way, Expr::Value(_)) => Some(vec![way.clone()]),
        None => None,
    };
    steps.ok_or_else(|| unsupported("a path of JSON with wildcards, or that is not written out", author))
}

fn parse(text: &str) -> Option<Vec<Expr>> {
    if let Some(pointer) = text.strip_prefix('/') {
        return Some(pointer.split('/').map(key_or_place).collect());
    }
    let Some(mut rest) = text.strip_prefix('$') else {
        return Some(vec![ast::text(text)]);
    };
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let (step, after) = if let Some(inner) = rest.strip_prefix("[") {
            let (inner, after) = inner.split_once(']')?;
            let quoted = inner
                .strip_prefix(['\'', '"'])
                .and_then(|key| key.strip_suffix(['\'', '"']));
            let step = match quoted {
                Some(key) => ast::text(key),
                None => ast::number(inner.trim().parse().ok().filter(|place| *place >= 0)?),
            };
            (step, after)
        } else if let Some(quoted) = rest.strip_prefix(".\"") {
            let (key, after) = quoted.split_once('"')?;
            (ast::text(key), after)
        } else {
            let key = rest.strip_prefix('.')?;
            let end = key.find(['.', '[']).unwrap_or(key.len());
            let (key, after) = key.split_at(end);
            if key.is_empty() || key.contains('*') {
                return None;
            }
            (ast::text(key), after)
        };
        steps.push(step);
        rest = after;
    }
    Some(steps)
}

fn key_or_place(part: &str) -> Expr {
    match part.parse() {
        Ok(place) if place >= 0 => ast::number(place),
        _ => ast::text(part),
    }
}
