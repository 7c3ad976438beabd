//! What takes away: rows, tables, views and schemas.

use datafusion::sql::sqlparser::{
    ast::{ObjectName, ObjectType, Truncate},
    dialect::GenericDialect,
    tokenizer::{Token, Tokenizer},
};
use deltalake::protocol::DeltaOperation;
use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    name::Relation,
    port::{Fault, StatementOutcome},
};

use super::{
    change::refused,
    context::Context,
    done,
    refusals::{no_schema, of_project, other_kind, still_read},
    write::Again,
};
use crate::{catalog, names::Meaning};

/// Takes all rows out of tables.
pub(super) async fn truncate(context: &Context<'_>, truncate: Truncate) -> Result<StatementOutcome, Fault> {
    let is_plain = truncate.partitions.is_none() && truncate.on_cluster.is_none() && truncate.cascade.is_none();
    if !is_plain {
        return Err(refused("a part of this TRUNCATE"));
    }
    let [target] = truncate.table_names.as_slice() else {
        return Err(refused("TRUNCATE of more than one table"));
    };
    if context.meaning(&target.name).is_none() && truncate.if_exists {
        return Ok(done(format!("there is no `{}`", target.name)));
    }
    let changed = context.changed(&target.name)?;
    let operation = DeltaOperation::Delete { predicate: None };
    let build = |_: &super::change::Target<'_>| Ok(None);
    context
        .change(&changed, &changed.relation.name, Again::Allowed, operation, &build)
        .await
}

/// Drops tables, views or schemas.
pub(super) async fn drop(
    context: &Context<'_>,
    kind: ObjectType,
    if_exists: bool,
    names: &[ObjectName],
    cascade: bool,
) -> Result<StatementOutcome, Fault> {
    // Nothing goes unless all of them may.
    for name in names {
        may_drop(context, kind, if_exists, name)?;
    }
    let mut dropped = Vec::new();
    for name in names {
        match kind {
            ObjectType::Table | ObjectType::View => match (context.meaning(name), kind) {
                (Some(Meaning::Stored(relation)), ObjectType::Table) => {
                    dropped.extend(drop_readers(context, relation, cascade).await?);
                    context.warehouse().drop_table(relation).await?;
                    dropped.push(relation.to_string());
                }
                (Some(Meaning::View(_)), ObjectType::View) => {
                    let relation = context.relation(name)?;
                    dropped.extend(drop_readers(context, &relation, cascade).await?);
                    catalog::drop_view(context.warehouse(), &relation).await?;
                    dropped.push(relation.to_string());
                }
                (None | Some(_), _) => {}
            },
            _ => dropped.extend(drop_schema(context, name, if_exists, cascade).await?),
        }
    }
    Ok(match dropped.as_slice() {
        [] => done("there was nothing to drop"),
        names => done(format!("dropped {}", names.join(", "))),
    })
}

/// Whether something is there to be dropped in that way.
fn may_drop(context: &Context<'_>, kind: ObjectType, if_exists: bool, name: &ObjectName) -> Result<(), Fault> {
    match kind {
        ObjectType::Schema => return Ok(()),
        ObjectType::Table | ObjectType::View => {}
        other => return Err(refused(&format!("DROP {other}"))),
    }
    match (context.meaning(name), kind) {
        (None, _) if if_exists => Ok(()),
        (None, _) => Err(context.nothing(name)),
        (Some(Meaning::Bound(_)), _) => Err(of_project(name)),
        (Some(Meaning::Stored(_)), ObjectType::View) => Err(other_kind(name, "a table", "drop table")),
        (Some(Meaning::View(_)), ObjectType::Table) => Err(other_kind(name, "a view", "drop view")),
        (Some(_), _) => Ok(()),
    }
}

async fn drop_schema(
    context: &Context<'_>,
    name: &ObjectName,
    if_exists: bool,
    cascade: bool,
) -> Result<Vec<String>, Fault> {
    let schema = context.relation(name)?.name;
    let catalog = context.catalog()?;
    if !context.has_schema(&schema)? {
        return if if_exists {
            Ok(Vec::new())
        } else {
            Err(no_schema(&schema))
        };
    }
    if context.is_of_project(&schema) || catalog.default_schema() == schema {
        return Err(Box::new(
            Diagnostic::error(
                codes::NOT_CHANGEABLE,
                format!("the project keeps its tables in `{schema}`"),
            )
            .with_remedy("drop the tables that you made in it one by one"),
        ));
    }
    let inside: Vec<(Relation, Meaning)> = catalog
        .of(&schema)
        .map(|(name, meaning)| {
            let relation = Relation {
                schema: schema.clone(),
                name: name.to_owned(),
            };
            (relation, meaning)
        })
        .collect();
    if !inside.is_empty() && !cascade {
        let names: Vec<String> = inside.iter().map(|(relation, _)| relation.to_string()).collect();
        return Err(still_read(&format!(
            "the schema `{schema}` is not empty: {}",
            names.join(", ")
        )));
    }
    let mut dropped = Vec::new();
    for (relation, meaning) in inside {
        dropped.extend(drop_readers(context, &relation, true).await?);
        match meaning {
            Meaning::View(_) => catalog::drop_view(context.warehouse(), &relation).await?,
            Meaning::Stored(_) | Meaning::Bound(_) => context.warehouse().drop_table(&relation).await?,
        }
        dropped.push(relation.to_string());
    }
    catalog::drop_schema(context.warehouse(), &schema).await?;
    dropped.push(schema);
    Ok(dropped)
}

/// Drops the views that read a relation, and those that read them, if they may go.
async fn drop_readers(context: &Context<'_>, relation: &Relation, cascade: bool) -> Result<Vec<String>, Fault> {
    if !cascade {
        refuse_if_read(context, relation)?;
        return Ok(Vec::new());
    }
    let mut dropped = Vec::new();
    let mut rest = context.catalog()?.readers(relation);
    while let Some(reader) = rest.pop() {
        rest.extend(context.catalog()?.readers(&reader));
        catalog::drop_view(context.warehouse(), &reader).await?;
        dropped.push(reader.to_string());
    }
    Ok(dropped)
}

/// Refuses to take a column away that a view names.
pub(super) fn refuse_if_named(context: &Context<'_>, relation: &Relation, column: &str) -> Result<(), Fault> {
    let catalog = context.catalog()?;
    let names_it = |reader: &Relation| {
        let tokens = catalog
            .view(reader)
            .map(|view| Tokenizer::new(&GenericDialect {}, &view.sql).tokenize());
        tokens.and_then(Result::ok).is_some_and(|tokens| {
            let is_it = |token: &Token| matches!(token, Token::Word(word) if word.value.eq_ignore_ascii_case(column));
            tokens.iter().any(is_it)
        })
    };
    let readers: Vec<String> = catalog
        .readers(relation)
        .iter()
        .filter(|reader| names_it(reader))
        .map(Relation::to_string)
        .collect();
    if readers.is_empty() {
        return Ok(());
    }
    Err(Box::new(
        Diagnostic::error(
            codes::STILL_READ,
            format!("`{column}` is named by the views {}", readers.join(", ")),
        )
        .with_remedy("make the views anew without it first: `create or replace view …`"),
    ))
}

pub(super) fn refuse_if_read(context: &Context<'_>, relation: &Relation) -> Result<(), Fault> {
    let readers = context.catalog()?.readers(relation);
    if readers.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = readers.iter().map(Relation::to_string).collect();
    Err(still_read(&format!(
        "`{relation}` is read by the views {}",
        names.join(", ")
    )))
}
