//! SHOW and DESCRIBE as queries over what is known of tables: their names, columns, versions and
//! statistics. No data file is read.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::ast::{
    Ident, ObjectName, ShowCreateObject, ShowStatementFilter, ShowStatementFilterPosition, ShowStatementOptions,
    Statement,
};
use mulgil_core::{interval::Instant, port::Fault, task::Reads};
use serde_json::Value;

use super::{
    ast,
    change::refused,
    context::Context,
    write::{Written, broken},
};
use crate::{log, names::Meaning};

/// What only reads, as a query that DataFusion plans.
pub(super) async fn as_query(context: &Context<'_>, statement: Statement) -> Result<Statement, Fault> {
    let sql = match statement {
        Statement::ShowTables { show_options, .. } => tables("'BASE TABLE', 'VIEW'", &show_options)?,
        Statement::ShowViews { show_options, .. } => tables("'VIEW'", &show_options)?,
        Statement::ShowSchemas { .. } => {
            "select schema_name from information_schema.schemata where schema_name <> 'information_schema' order by 1"
                .to_owned()
        }
        Statement::ShowCreate { obj_type, obj_name } => create(context, &obj_type, &obj_name).await?,
        Statement::ShowVariable { variable } => match about(&variable) {
            Some((What::History, name)) => history(context, &name).await?,
            Some((What::Stats, name)) => stats(context, &name).await?,
            None => return Ok(Statement::ShowVariable { variable }),
        },
        other => return Ok(other),
    };
    Ok(Statement::Query(Box::new(ast::parsed(&sql)?)))
}

fn tables(kinds: &str, options: &ShowStatementOptions) -> Result<String, Fault> {
    let mut filters = vec![
        format!("table_type in ({kinds})"),
        "table_schema <> 'information_schema'".to_owned(),
    ];
    if let Some(within) = &options.show_in {
        let schema = within.parent_name.as_ref().map(folded).unwrap_or_default();
        filters.push(format!("table_schema = {}", text(&schema)));
    }
    match &options.filter_position {
        None => {}
        Some(ShowStatementFilterPosition::Infix(filter) | ShowStatementFilterPosition::Suffix(filter)) => {
            filters.push(match filter {
                ShowStatementFilter::Like(pattern) | ShowStatementFilter::NoKeyword(pattern) => {
                    format!("table_name like {}", text(pattern))
                }
                ShowStatementFilter::ILike(pattern) => format!("table_name ilike {}", text(pattern)),
                ShowStatementFilter::Where(condition) => condition.to_string(),
            });
        }
    }
    if options.starts_with.is_some() || options.limit.is_some() || options.limit_from.is_some() {
        return Err(refused("STARTS WITH or LIMIT in SHOW"));
    }
    Ok(format!(
        "select table_schema, table_name, table_type from information_schema.tables where {} order by 1, 2",
        filters.join(" and ")
    ))
}

/// What is told of a table.
enum What {
    History,
    Stats,
}

/// `history for t` and `stats for t`.
fn about(words: &[Ident]) -> Option<(What, ObjectName)> {
    let [what, preposition, name @ ..] = words else {
        return None;
    };
    let is = |word: &Ident, text: &str| word.quote_style.is_none() && word.value.eq_ignore_ascii_case(text);
    if !is(preposition, "for") || name.is_empty() {
        return None;
    }
    let parts = name
        .iter()
        .filter(|part| part.value != ".")
        .cloned()
        .collect::<Vec<_>>();
    let name = ObjectName::from(parts);
    if is(what, "history") {
        Some((What::History, name))
    } else if is(what, "stats") {
        Some((What::Stats, name))
    } else {
        None
    }
}

async fn history(context: &Context<'_>, name: &ObjectName) -> Result<String, Fault> {
    let changed = context.changed(name)?;
    let entries = log::history(context.warehouse(), &changed.relation).await?;
    let rows = entries.into_iter().map(|entry| {
        let at = Instant(entry.committed_at_us).to_timestamp();
        format!(
            "({}, to_timestamp({}), {}, {})",
            entry.version,
            text(&at.to_string()),
            text(&entry.operation),
            entry.filled.as_deref().map_or("null".to_owned(), text)
        )
    });
    Ok(rows_as(
        rows.collect(),
        "version, committed_at, operation, filled",
        "0, now(), '', ''",
        "version desc",
    ))
}

/// What the files of a table say of one column.
#[derive(Default)]
struct Told {
    nulls: u64,
    is_counted: bool,
    least: Option<Value>,
    greatest: Option<Value>,
}

async fn stats(context: &Context<'_>, name: &ObjectName) -> Result<String, Fault> {
    let changed = context.changed(name)?;
    let written = Written::open(context.warehouse(), &changed.relation)
        .await?
        .ok_or_else(|| crate::table::not_filled(&changed.relation))?;
    let files = written.files()?;
    let rows: Option<usize> = files.iter().map(deltalake::kernel::LogicalFileView::num_records).sum();
    let mut told: BTreeMap<&str, Told> = BTreeMap::new();
    let parsed: Vec<Value> = files
        .iter()
        .filter_map(|file| serde_json::from_str(&file.stats()?).ok())
        .collect();
    for field in &written.columns {
        let column = told.entry(field.name()).or_default();
        column.is_counted = parsed.len() == files.len();
        for stats in &parsed {
            let of = |what: &str| stats.get(what).and_then(|all| all.get(field.name()));
            match of("nullCount").and_then(Value::as_u64) {
                Some(nulls) => column.nulls += nulls,
                None => column.is_counted = false,
            }
            column.least = extreme(column.least.take(), of("minValues"), std::cmp::Ordering::Less);
            column.greatest = extreme(column.greatest.take(), of("maxValues"), std::cmp::Ordering::Greater);
        }
    }
    let shown = |value: &Option<Value>| match value {
        Some(Value::String(value)) => text(value),
        Some(value) => text(&value.to_string()),
        None => "null".to_owned(),
    };
    let rows_text = rows.map_or("null".to_owned(), |rows| rows.to_string());
    let lines = written.columns.iter().filter_map(|field| {
        let told = told.get(field.name().as_str())?;
        let nulls = if told.is_counted {
            told.nulls.to_string()
        } else {
            "null".to_owned()
        };
        Some(format!(
            "({}, {}, {rows_text}, {nulls}, {}, {})",
            text(field.name()),
            text(&field.data_type().to_string()),
            shown(&told.least),
            shown(&told.greatest)
        ))
    });
    Ok(rows_as(
        lines.collect(),
        "column_name, data_type, row_count, null_count, min_value, max_value",
        "'', '', 0, 0, '', ''",
        "",
    ))
}

/// The one of two values that lies further in a direction.
fn extreme(known: Option<Value>, other: Option<&Value>, direction: std::cmp::Ordering) -> Option<Value> {
    let Some(other) = other else {
        return known;
    };
    let Some(known) = known else {
        return Some(other.clone());
    };
    let order = match (&known, other) {
        (Value::Number(known), Value::Number(other)) => other
            .as_f64()
            .zip(known.as_f64())
            .and_then(|(other, known)| other.partial_cmp(&known)),
        (Value::String(known), Value::String(other)) => Some(other.cmp(known)),
        _ => None,
    };
    Some(if order == Some(direction) { other.clone() } else { known })
}

/// How a table or view could be made again.
async fn create(context: &Context<'_>, kind: &ShowCreateObject, name: &ObjectName) -> Result<String, Fault> {
    let sql = match context.meaning(name) {
        Some(Meaning::View(view)) => format!("create view {name} as {}", view.sql),
        Some(Meaning::Bound(Reads::Query { sql, .. })) => format!("create view {name} as {sql}"),
        Some(Meaning::Stored(_) | Meaning::Bound(_)) => {
            if !matches!(kind, ShowCreateObject::Table) {
                return Err(refused(&format!("SHOW CREATE {kind}")));
            }
            let changed = context.changed(name)?;
            let written = Written::open(context.warehouse(), &changed.relation)
                .await?
                .ok_or_else(|| broken("a table that is not there"))?;
            create_table(name, &written)
        }
        None => return Err(context.nothing(name)),
    };
    Ok(format!("select {} as create_statement", text(&sql)))
}

fn create_table(name: &ObjectName, written: &Written) -> String {
    let columns: Vec<String> = written
        .columns
        .iter()
        .map(|field| {
            let not_null = if field.is_nullable() { "" } else { " not null" };
            let data_type = super::insert::sql_type(field.data_type())
                .map_or_else(|| field.data_type().to_string(), |data_type| data_type.to_string());
            format!("  {} {}{not_null}", ast::quoted(field.name()), data_type.to_lowercase())
        })
        .collect();
    let partitions = if written.partition_by.is_empty() {
        String::new()
    } else {
        let names: Vec<String> = written
            .partition_by
            .iter()
            .map(|name| ast::quoted(name).to_string())
            .collect();
        format!("\npartition by ({})", names.join(", "))
    };
    format!("create table {name} (\n{}\n){partitions}", columns.join(",\n"))
}

/// Rows as a query; one of no rows where there are none.
fn rows_as(rows: Vec<String>, columns: &str, none: &str, order: &str) -> String {
    let order = if order.is_empty() {
        String::new()
    } else {
        format!(" order by {order}")
    };
    if rows.is_empty() {
        return format!("select * from (values ({none})) as t ({columns}) where false");
    }
    format!("select * from (values {}) as t ({columns}){order}", rows.join(", "))
}

fn folded(name: &ObjectName) -> String {
    let parts = name.0.iter().filter_map(|part| part.as_ident());
    parts.map(crate::hidden::folded).collect::<Vec<_>>().join(".")
}

/// A text as a literal.
fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}
