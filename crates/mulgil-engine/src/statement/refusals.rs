//! Why a definition is refused, and what to do.

use datafusion::{arrow::datatypes::Fields, sql::sqlparser::ast::ObjectName};
use mulgil_core::{codes, diagnostic::Diagnostic, name::Relation, port::Fault};

use crate::fault;

/// A table or view of the project, which a statement may not define.
pub(super) fn of_project(name: &ObjectName) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::NOT_CHANGEABLE,
            format!("`{name}` is made by the project, which would make it again"),
        )
        .with_remedy("change its file in the project; `mulgil run --prune` drops what the project no longer declares"),
    )
}

/// Something of that name is there.
pub(super) fn exists(what: &str, remedy: &str) -> Fault {
    Box::new(
        Diagnostic::error(codes::RELATION_EXISTS, format!("{what} is there already")).with_remedy(remedy.to_owned()),
    )
}

/// A view reads it.
pub(super) fn still_read(message: &str) -> Fault {
    Box::new(
        Diagnostic::error(codes::STILL_READ, message.to_owned())
            .with_remedy("write `cascade` at the end to drop them too, or drop them first"),
    )
}

/// It is there, but something else.
pub(super) fn other_kind(name: &ObjectName, is: &str, verb: &str) -> Fault {
    Box::new(
        Diagnostic::error(codes::NOT_CHANGEABLE, format!("`{name}` is {is}"))
            .with_remedy(format!("write `{verb} {name}`")),
    )
}

/// A schema that is not there.
pub(super) fn no_schema(schema: &str) -> Fault {
    Box::new(
        Diagnostic::error(codes::BAD_QUERY, format!("there is no schema `{schema}`"))
            .with_remedy(format!("make it first: `create schema {schema}`")),
    )
}

/// A column that is not there.
pub(super) fn no_column(name: &str, table: &str, columns: &Fields) -> Fault {
    let known = columns.iter().map(|field| field.name().as_str());
    let remedy = match fault::nearest(name, known.clone()) {
        Some(near) => format!("write `{near}`"),
        None => format!("its columns are: {}", known.collect::<Vec<_>>().join(", ")),
    };
    Box::new(
        Diagnostic::error(codes::BAD_QUERY, format!("there is no column `{name}` in `{table}`")).with_remedy(remedy),
    )
}

/// A view that names more or fewer columns than its query has.
pub(super) fn other_count(named: usize, has: usize) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::BAD_QUERY,
            format!("the VIEW names {named} columns and its query has {has}"),
        )
        .with_remedy("name each column of the query once, or none"),
    )
}

/// A view that would read itself.
pub(super) fn circle(way: &[Relation]) -> Fault {
    let names: Vec<String> = way.iter().map(Relation::to_string).collect();
    Box::new(
        Diagnostic::error(
            codes::BAD_QUERY,
            format!("the view would read itself: {}", names.join(" → ")),
        )
        .with_remedy("take one of the steps out"),
    )
}
