//! INSERT: the rows of a query or of VALUES, in the types of the table's columns. With ON CONFLICT it
//! is a merge by the columns named there; no table keeps keys of its own.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, Fields},
    common::{DataFusionError, ScalarValue},
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, lit},
    sql::sqlparser::{
        ast::{
            self as sql, CastKind, ConflictTarget, Insert, OnConflictAction, OnInsert, Query, SetExpr, Statement,
            TableAliasColumnDef, TableObject, With,
        },
        dialect::GenericDialect,
        parser::Parser,
    },
};
use deltalake::protocol::{DeltaOperation, SaveMode};
use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    port::{Fault, StatementOutcome},
};

use super::{
    ast,
    change::{self, EXCLUDED, REPEAT, Target, Upsert, refused},
    context::{self, Changed, Context},
    write::{Again, Change, INSERT, Written, broken},
};
use crate::{
    hidden,
    session::{Ready, Scope},
    table,
};

/// Carries out an INSERT.
pub(super) async fn insert(
    context: &Context<'_>,
    mut insert: Insert,
    with: Option<With>,
) -> Result<StatementOutcome, Fault> {
    refuse_parts(&insert)?;
    let TableObject::TableName(name) = &insert.table else {
        return Err(refused("INSERT into a function"));
    };
    let changed = context.changed(name)?;
    changed.takes_rows()?;
    let mut source = insert.source.take().ok_or_else(|| refused("INSERT without rows"))?;
    source.with = match (with, source.with.take()) {
        (Some(_), Some(_)) => return Err(refused("WITH both before INSERT and after it")),
        (one, other) => one.or(other),
    };
    match insert.on.take() {
        None => add_rows(context, &changed, &insert, *source).await,
        Some(OnInsert::OnConflict(conflict)) if !insert.overwrite => {
            let Some(ConflictTarget::Columns(keys)) = conflict.conflict_target else {
                return Err(no_key());
            };
            let keys = keys.iter().map(hidden::folded).collect();
            upsert(context, &changed, &insert, *source, keys, conflict.action).await
        }
        Some(_) => Err(refused("ON DUPLICATE KEY")),
    }
}

fn refuse_parts(insert: &Insert) -> Result<(), Fault> {
    let parts = [
        (insert.or.is_some() || insert.ignore, "OR or IGNORE in INSERT"),
        (insert.replace_into, "REPLACE INTO"),
        (!insert.assignments.is_empty(), "SET in INSERT"),
        (
            insert.partitioned.is_some() || !insert.after_columns.is_empty(),
            "PARTITION in INSERT",
        ),
        (insert.returning.is_some() || insert.output.is_some(), "RETURNING"),
        (insert.priority.is_some(), "a priority of INSERT"),
        (insert.insert_alias.is_some(), "an alias of the rows of INSERT"),
        (
            insert.settings.is_some() || insert.format_clause.is_some(),
            "SETTINGS or FORMAT",
        ),
        (
            insert.multi_table_insert_type.is_some() || !insert.multi_table_into_clauses.is_empty(),
            "INSERT into more than one table",
        ),
        (!insert.optimizer_hints.is_empty(), "a hint"),
    ];
    match parts.iter().find(|(is_there, _)| *is_there) {
        Some((_, what)) => Err(refused(what)),
        None => Ok(()),
    }
}

async fn add_rows(
    context: &Context<'_>,
    changed: &Changed,
    insert: &Insert,
    source: Query,
) -> Result<StatementOutcome, Fault> {
    let how = |columns: &Fields| {
        let names = named(insert, changed, columns)?;
        let source = typed_values(source.clone(), &names, columns)?;
        Ok((names, source))
    };
    add(context, changed, insert.overwrite, &how).await
}

/// Adds the rows of a query, whose columns have these names in the table.
pub(super) async fn add_named(
    context: &Context<'_>,
    changed: &Changed,
    names: &[String],
    source: Query,
) -> Result<StatementOutcome, Fault> {
    let how = |_: &Fields| Ok((names.to_vec(), source.clone()));
    add(context, changed, false, &how).await
}

/// Which columns get values, and the rows that have them.
type How<'a> = dyn Fn(&Fields) -> Result<(Vec<String>, Query), Fault> + Sync + 'a;

async fn add(
    context: &Context<'_>,
    changed: &Changed,
    overwrites: bool,
    how: &How<'_>,
) -> Result<StatementOutcome, Fault> {
    let mode = if overwrites {
        SaveMode::Overwrite
    } else {
        SaveMode::Append
    };
    let mut tries = 0;
    loop {
        tries += 1;
        let written = open(context, changed).await?;
        let (names, source) = how(&written.columns)?;
        let columns = written.columns.clone();
        let ready = plan(context, source, move |plan| placed(plan, &names, &columns)).await?;
        let files = if overwrites { written.files()? } else { Vec::new() };
        let operation = DeltaOperation::Write {
            mode,
            partition_by: Some(written.partition_by.clone()),
            predicate: None,
        };
        let change = Change {
            written: &written,
            files,
            numbered: None,
            again: Again::Refused,
            replaces_all: overwrites,
            metadata: Vec::new(),
        };
        let done = change
            .carry_out(context.warehouse(), Some(ready), operation, context.properties())
            .await;
        match done {
            Err(fault) if fault.code == codes::TABLE_CHANGED && tries < context::MAX_TRIES => {}
            Err(fault) => return Err(fault),
            Ok((counts, version)) => return Ok(context::outcome(&changed.relation, counts, version)),
        }
    }
}

async fn upsert(
    context: &Context<'_>,
    changed: &Changed,
    insert: &Insert,
    source: Query,
    keys: Vec<String>,
    action: OnConflictAction,
) -> Result<StatementOutcome, Fault> {
    let written = open(context, changed).await?;
    let alias = match &insert.table_alias {
        Some(alias) => hidden::folded(&alias.alias),
        None => changed.relation.name.clone(),
    };
    let columns = named(insert, changed, &written.columns)?;
    for key in &keys {
        if !columns.contains(key) {
            return Err(key_is_not_given(key, &changed.relation.name));
        }
    }
    let source = typed_values(source, &columns, &written.columns)?;
    let source = numbered_rows(source, &keys, &columns)?;
    let update = match action {
        OnConflictAction::DoNothing => None,
        OnConflictAction::DoUpdate(update) => Some((update.assignments, update.selection)),
    };
    let build = |target: &Target<'_>| {
        let upsert = Upsert {
            source: source.clone(),
            keys: keys.clone(),
            columns: columns.clone(),
            update: update.clone(),
        };
        change::upsert(upsert, target).map(Some)
    };
    let operation = context::merge_operation(&format!("conflict on {}", keys.join(", ")));
    context.change(changed, &alias, Again::Refused, operation, &build).await
}

/// The rows that come, each with its place among those of its key.
fn numbered_rows(source: Query, keys: &[String], columns: &[String]) -> Result<sql::TableFactor, Fault> {
    let keys: Vec<String> = keys.iter().map(|key| ast::quoted(key).to_string()).collect();
    let mut query = ast::parsed(&format!(
        "SELECT *, row_number() OVER (PARTITION BY {}) AS \"{REPEAT}\" FROM t",
        keys.join(", ")
    ))?;
    let alias = sql::TableAlias {
        columns: columns
            .iter()
            .map(|name| TableAliasColumnDef {
                name: ast::quoted(name),
                data_type: None,
            })
            .collect(),
        ..ast::named(EXCLUDED)
    };
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.from = vec![ast::alone(ast::derived(source, alias))];
    }
    Ok(ast::derived(query, ast::named(EXCLUDED)))
}

async fn open(context: &Context<'_>, changed: &Changed) -> Result<Written, Fault> {
    let written = Written::open(context.warehouse(), &changed.relation).await?;
    written.ok_or_else(|| table::not_filled(&changed.relation))
}

/// Plans the rows that come, at the newest versions of what they are made of.
pub(super) async fn plan(
    context: &Context<'_>,
    query: Query,
    shape: impl FnOnce(LogicalPlan) -> Result<LogicalPlan, DataFusionError>,
) -> Result<Ready, Fault> {
    let scope = Scope {
        snapshots: Arc::default(),
        ..context.scope().clone()
    };
    let statement = Statement::Query(Box::new(query));
    context
        .sessions()
        .plan_shaped(statement, &scope, &context.author(), shape)
        .await
}

/// The columns that get values, in the order of the values.
fn named(insert: &Insert, changed: &Changed, columns: &Fields) -> Result<Vec<String>, Fault> {
    if insert.columns.is_empty() {
        return Ok(columns.iter().map(|field| field.name().clone()).collect());
    }
    let target = Target {
        alias: changed.relation.name.clone(),
        columns,
        fixed: Vec::new(),
    };
    let mut names = Vec::new();
    for name in &insert.columns {
        let column = change::column_of(name, &target)?;
        if names.contains(&column) {
            return Err(Box::new(
                Diagnostic::error(codes::BAD_QUERY, format!("the column `{column}` is named twice"))
                    .with_remedy("name it once"),
            ));
        }
        names.push(column);
    }
    Ok(names)
}

/// Gives each value of VALUES the type of its column: rows beside it may have it as another one.
fn typed_values(mut source: Query, names: &[String], columns: &Fields) -> Result<Query, Fault> {
    let types: Vec<Option<sql::DataType>> = names
        .iter()
        .map(|name| columns.find(name).and_then(|(_, field)| sql_type(field.data_type())))
        .collect();
    if let SetExpr::Values(values) = source.body.as_mut() {
        for row in &mut values.rows {
            if row.content.len() != names.len() {
                return Err(change::count_differs(names.len(), row.content.len()));
            }
            for (value, data_type) in row.content.iter_mut().zip(&types) {
                let given = change::default_is_null(value.clone());
                *value = match data_type {
                    Some(data_type) => sql::Expr::Cast {
                        kind: CastKind::Cast,
                        expr: Box::new(given),
                        data_type: data_type.clone(),
                        array: false,
                        format: None,
                    },
                    None => given,
                };
            }
        }
    }
    Ok(source)
}

/// The SQL type of a column, for those that have one word for it.
pub(super) fn sql_type(data_type: &DataType) -> Option<sql::DataType> {
    let text = match data_type {
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INT".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::Float32 => "REAL".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Date32 => "DATE".to_owned(),
        DataType::Timestamp(_, None) => "TIMESTAMP".to_owned(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE".to_owned(),
        DataType::Decimal128(digits, scale) => format!("DECIMAL({digits}, {scale})"),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => "VARCHAR".to_owned(),
        _ => return None,
    };
    let mut parser = Parser::new(&GenericDialect {}).try_with_sql(&text).ok()?;
    parser.parse_data_type().ok()
}

/// Rows that come, with a value or NULL for each column of the table.
fn placed(plan: LogicalPlan, names: &[String], columns: &Fields) -> Result<LogicalPlan, DataFusionError> {
    let given = plan.schema().columns();
    if given.len() != names.len() {
        let fault = change::count_differs(names.len(), given.len());
        return Err(DataFusionError::External(fault));
    }
    let leading = [
        lit(ScalarValue::UInt64(None)).alias("@row"),
        lit(INSERT).alias("@action"),
    ];
    let values = columns.iter().map(|field| {
        let place = names.iter().position(|name| name == field.name());
        let value = match place {
            Some(place) => Expr::Column(given[place].clone()),
            None => lit(ScalarValue::Null),
        };
        cast(value, field.data_type().clone()).alias(field.name())
    });
    LogicalPlanBuilder::from(plan)
        .project(leading.into_iter().chain(values))?
        .build()
}

/// The same for a table that is made of a query: all columns, in the query's order.
pub(super) fn placed_all(plan: LogicalPlan, columns: &Fields) -> Result<LogicalPlan, DataFusionError> {
    let names: Vec<String> = columns.iter().map(|field| field.name().clone()).collect();
    placed(plan, &names, columns)
}

fn no_key() -> Fault {
    Box::new(
        Diagnostic::error(
            codes::BAD_QUERY,
            "ON CONFLICT does not say by which columns rows are the same",
        )
        .with_remedy("name them: `on conflict (id) do update set …`"),
    )
}

fn key_is_not_given(key: &str, table: &str) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::BAD_QUERY,
            format!("ON CONFLICT names `{key}`, for which no value comes into `{table}`"),
        )
        .with_remedy("name columns that the INSERT gives values for"),
    )
}

/// That a query has no columns, which cannot be.
pub(super) fn no_columns() -> Fault {
    broken("a query has no columns")
}
