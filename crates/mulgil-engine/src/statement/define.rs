//! What makes schemas, tables and views. Data of a table that is made anew is replaced in one commit:
//! readers see what was there or what is there, never a gap.

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::{
    arrow::datatypes::{Field, Fields},
    common::{DataFusionError, TableReference},
    sql::sqlparser::{
        ast::{
            self as sql, CastKind, ColumnDef, ColumnOption, CommentDef, CreateTable, CreateView, Expr,
            HiveDistributionStyle, ObjectName, Query, SchemaName, Statement,
        },
        dialect::GenericDialect,
        parser::Parser,
        tokenizer::{Token, Tokenizer},
    },
};
use deltalake::{
    kernel::{Action, MetadataExt, StructType, engine::arrow_conversion::TryIntoKernel, new_metadata},
    protocol::{DeltaOperation, SaveMode},
};
use mulgil_core::{
    name::{Instance, NodeName, Relation},
    port::{Fault, StatementOutcome},
    task::Reads,
};

use super::{
    ast,
    change::refused,
    context::Context,
    done,
    insert::{self, placed_all},
    refusals::{circle, exists, no_column, of_project, other_count},
    write::{Again, Change, Written, broken},
};
use crate::{
    catalog::{self, StoredView},
    commit,
    fault::{self, Author},
    hidden,
    materialize::shape::{Existing, Shape},
    names::Meaning,
    session::Ready,
};

/// The key of a column's comment in its metadata.
const COMMENT: &str = "comment";

/// Makes a schema.
pub(super) async fn create_schema(
    context: &Context<'_>,
    name: &SchemaName,
    if_not_exists: bool,
) -> Result<StatementOutcome, Fault> {
    let SchemaName::Simple(name) = name else {
        return Err(refused("AUTHORIZATION"));
    };
    // Checked as the name of a table is.
    let relation = context.relation(name)?;
    if name.0.len() > 1 {
        return Err(refused("a schema in a schema"));
    }
    let schema = relation.name;
    if context.has_schema(&schema)? {
        return if if_not_exists {
            Ok(done(format!("the schema `{schema}` is there already")))
        } else {
            Err(exists(
                &format!("the schema `{schema}`"),
                "write `create schema if not exists`",
            ))
        };
    }
    catalog::create_schema(context.warehouse(), &schema, None).await?;
    Ok(done(format!("made the schema `{schema}`")))
}

/// Makes a table, empty or of a query.
pub(super) async fn create_table(context: &Context<'_>, create: CreateTable) -> Result<StatementOutcome, Fault> {
    refuse_parts(&create)?;
    let relation = context.relation(&create.name)?;
    if let Some(said) = place_for(context, &create.name, create.or_replace, create.if_not_exists)? {
        return Ok(said);
    }
    context.needs_schema(&relation.schema)?;
    let partition_by = partition_columns(&create)?;
    let comment = create.comment.as_ref().map(|comment| match comment {
        CommentDef::WithEq(text) | CommentDef::WithoutEq(text) => text.clone(),
    });
    let (columns, ready) = match create.query {
        Some(query) if create.columns.is_empty() => {
            let (columns, ready) = of_query(context, *query, &relation).await?;
            (columns, Some(ready))
        }
        Some(_) => return Err(refused("a list of columns before AS")),
        None => (declared(context, &create.columns, &relation).await?, None),
    };
    for name in &partition_by {
        if columns.find(name).is_none() {
            return Err(no_column(name, &relation.to_string(), &columns));
        }
    }
    if partition_by.len() >= columns.len() {
        return Err(refused("a table of partition columns alone"));
    }
    let written = Written::create(context.warehouse(), &relation, columns, partition_by).await?;
    let metadata = metadata(&written, comment)?;
    let version = replace(context, &written, metadata, ready).await?;
    let rows = version.0;
    Ok(done(format!(
        "made the table `{relation}`{}",
        if rows > 0 {
            format!(" of {rows} rows")
        } else {
            String::new()
        }
    )))
}

/// Replaces all that a table has, or makes it. Gives its rows and its version.
pub(super) async fn replace(
    context: &Context<'_>,
    written: &Written,
    metadata: Vec<Action>,
    ready: Option<Ready>,
) -> Result<(u64, Option<u64>), Fault> {
    let change = Change {
        written,
        files: written.files()?,
        numbered: None,
        again: Again::Refused,
        replaces_all: true,
        metadata,
    };
    let operation = DeltaOperation::Write {
        mode: SaveMode::Overwrite,
        partition_by: Some(written.partition_by.clone()),
        predicate: None,
    };
    let (counts, version) = change
        .carry_out(context.warehouse(), ready, operation, context.properties())
        .await?;
    Ok((counts.inserted, version))
}

/// Whether a table can be made under a name; what to say where it is there and may stay.
fn place_for(
    context: &Context<'_>,
    name: &ObjectName,
    or_replace: bool,
    if_not_exists: bool,
) -> Result<Option<StatementOutcome>, Fault> {
    match context.meaning(name) {
        None => Ok(None),
        Some(Meaning::Stored(_)) if or_replace => Ok(None),
        Some(_) if if_not_exists => Ok(Some(done(format!("`{name}` is there already")))),
        Some(Meaning::Bound(_)) if or_replace => Err(of_project(name)),
        Some(Meaning::View(_)) => Err(exists(
            &format!("the view `{name}`"),
            "drop it first, or choose another name",
        )),
        Some(Meaning::Stored(_) | Meaning::Bound(_)) => Err(exists(
            &format!("`{name}`"),
            "choose another name, or write `create or replace table`, or `if not exists`",
        )),
    }
}

fn refuse_parts(create: &CreateTable) -> Result<(), Fault> {
    let parts = [
        (create.temporary, "CREATE TEMPORARY TABLE"),
        (create.external || create.location.is_some(), "CREATE EXTERNAL TABLE"),
        (create.like.is_some() || create.clone.is_some(), "LIKE or CLONE"),
        (!create.constraints.is_empty(), "a constraint of a table"),
    ];
    if let Some((_, what)) = parts.iter().find(|(is_there, _)| *is_there) {
        return Err(refused(what));
    }
    let mut rest = create.clone();
    rest.or_replace = false;
    rest.if_not_exists = false;
    rest.columns = Vec::new();
    rest.query = None;
    rest.comment = None;
    rest.partition_by = None;
    rest.hive_distribution = HiveDistributionStyle::NONE;
    let skeleton = Parser::parse_sql(&GenericDialect {}, "CREATE TABLE t (a INT)").unwrap_or_default();
    let Some(Statement::CreateTable(mut skeleton)) = skeleton.into_iter().next() else {
        return Err(broken("a plain table does not parse"));
    };
    skeleton.name = rest.name.clone();
    skeleton.columns = Vec::new();
    // Their forms differ between a plain table and one of a query, and say nothing.
    skeleton.hive_formats = rest.hive_formats.clone();
    skeleton.table_options = match &rest.table_options {
        sql::CreateTableOptions::None => sql::CreateTableOptions::None,
        other => return Err(refused(&format!("`{other}` in CREATE TABLE"))),
    };
    if rest == skeleton {
        Ok(())
    } else {
        Err(refused("a part of this CREATE TABLE"))
    }
}

fn partition_columns(create: &CreateTable) -> Result<Vec<String>, Fault> {
    let mut names = match &create.hive_distribution {
        HiveDistributionStyle::NONE => Vec::new(),
        HiveDistributionStyle::PARTITIONED { columns } => {
            columns.iter().map(|column| hidden::folded(&column.name)).collect()
        }
        HiveDistributionStyle::SKEWED { .. } => return Err(refused("this distribution of a table")),
    };
    match create.partition_by.as_deref() {
        None => {}
        Some(Expr::Identifier(name)) => names.push(hidden::folded(name)),
        Some(Expr::Nested(inner)) => match inner.as_ref() {
            Expr::Identifier(name) => names.push(hidden::folded(name)),
            _ => return Err(refused("partitioning by an expression")),
        },
        Some(Expr::Tuple(all)) => {
            for one in all {
                match one {
                    Expr::Identifier(name) => names.push(hidden::folded(name)),
                    _ => return Err(refused("partitioning by an expression")),
                }
            }
        }
        Some(_) => return Err(refused("partitioning by an expression")),
    }
    Ok(names)
}

/// The columns of a query as a table keeps them, and the query ready to be run.
async fn of_query(context: &Context<'_>, query: Query, relation: &Relation) -> Result<(Fields, Ready), Fault> {
    let kept = Mutex::new(Fields::empty());
    let shape = |plan: datafusion::logical_expr::LogicalPlan| {
        let columns = stored(plan.schema().as_arrow(), relation).map_err(|fault| DataFusionError::External(fault))?;
        *kept.lock().unwrap_or_else(PoisonError::into_inner) = columns.clone();
        placed_all(plan, &columns)
    };
    let ready = insert::plan(context, query, shape).await?;
    let columns = kept.into_inner().unwrap_or_else(PoisonError::into_inner);
    if columns.is_empty() {
        return Err(insert::no_columns());
    }
    Ok((columns, ready))
}

/// Columns in the types that a table keeps.
pub(super) fn stored(schema: &datafusion::arrow::datatypes::Schema, relation: &Relation) -> Result<Fields, Fault> {
    let instance = Instance::of(NodeName::new(&relation.name));
    Ok(Shape::fit(schema, Existing::None, &instance)?.table)
}

/// The columns that a CREATE TABLE declares.
pub(super) async fn declared(
    context: &Context<'_>,
    columns: &[ColumnDef],
    relation: &Relation,
) -> Result<Fields, Fault> {
    if columns.is_empty() {
        return Err(refused("a table without columns"));
    }
    let items = columns.iter().map(|column| sql::SelectItem::ExprWithAlias {
        expr: cast_to(ast::null(), &column.data_type),
        alias: ast::quoted(&hidden::folded(&column.name)),
    });
    let query = ast::select_items(None, items.collect(), Vec::new(), None)?;
    let plan = context.plan(Statement::Query(Box::new(query))).await?.plan;
    let fields = stored(&plan.schema(), relation)?;
    fields
        .iter()
        .zip(columns)
        .map(|(field, column)| with_options(field, column))
        .collect()
}

fn with_options(field: &Field, column: &ColumnDef) -> Result<Arc<Field>, Fault> {
    let mut field = field.clone();
    for option in &column.options {
        field = match &option.option {
            ColumnOption::Null => field,
            ColumnOption::NotNull => field.with_nullable(false),
            ColumnOption::Comment(text) => commented(&field, Some(text)),
            other => return Err(refused(&format!("`{other}` of a column"))),
        };
    }
    Ok(Arc::new(field))
}

pub(super) fn commented(field: &Field, text: Option<&str>) -> Field {
    let mut metadata = field.metadata().clone();
    match text {
        Some(text) => metadata.insert(COMMENT.to_owned(), text.to_owned()),
        None => metadata.remove(COMMENT),
    };
    field.clone().with_metadata(metadata)
}

pub(super) fn cast_to(expr: Expr, data_type: &sql::DataType) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(expr),
        data_type: data_type.clone(),
        array: false,
        format: None,
    }
}

/// The actions that give a table its columns, partitions and comment. One that is there keeps its id.
pub(super) fn metadata(written: &Written, comment: Option<String>) -> Result<Vec<Action>, Fault> {
    let to_fault = |error: deltalake::kernel::Error| broken(&error.to_string());
    let schema: Result<StructType, _> =
        (&datafusion::arrow::datatypes::Schema::new(written.columns.clone())).try_into_kernel();
    let schema = schema.map_err(|error| broken(&error.to_string()))?;
    let properties = [("delta.enableExpiredLogCleanup", "false".to_owned())];
    let mut made = new_metadata(&schema, written.partition_by.clone(), properties).map_err(to_fault)?;
    let mut actions = Vec::new();
    match &written.table {
        None => actions.push(Action::Protocol(commit::protocol(None, &schema)?)),
        Some(table) => {
            let state = table
                .snapshot()
                .map_err(|error| fault::delta(&error, &written.folder))?;
            made = made
                .with_table_id(state.metadata().id().to_owned())
                .map_err(|error| broken(&error.to_string()))?;
            if commit::needs_naive_times(&schema) && !commit::needs_naive_times(&state.schema()) {
                let raised = commit::protocol(Some(state.protocol()), &schema)?;
                actions.push(Action::Protocol(raised));
            }
        }
    }
    if let Some(comment) = comment {
        made = made
            .with_description(comment)
            .map_err(|error| broken(&error.to_string()))?;
    }
    actions.push(Action::Metadata(made));
    Ok(actions)
}

/// Makes or replaces a view.
pub(super) async fn create_view(
    context: &Context<'_>,
    create: CreateView,
    text: &str,
) -> Result<StatementOutcome, Fault> {
    let parts = [
        (create.materialized, "CREATE MATERIALIZED VIEW"),
        (create.temporary, "CREATE TEMPORARY VIEW"),
        (
            create.secure || create.or_alter || create.copy_grants,
            "this kind of CREATE VIEW",
        ),
        (
            create.to.is_some() || create.params.is_some(),
            "this kind of CREATE VIEW",
        ),
        (!create.cluster_by.is_empty(), "CLUSTER BY"),
        (
            !matches!(create.options, sql::CreateTableOptions::None),
            "an option of CREATE VIEW",
        ),
    ];
    if let Some((_, what)) = parts.iter().find(|(is_there, _)| *is_there) {
        return Err(refused(what));
    }
    let relation = context.relation(&create.name)?;
    match context.meaning(&create.name) {
        None => {}
        Some(Meaning::View(_)) if create.or_replace => {}
        Some(_) if create.if_not_exists => return Ok(done(format!("`{}` is there already", create.name))),
        Some(Meaning::Bound(_)) => return Err(of_project(&create.name)),
        Some(Meaning::Stored(_)) => return Err(exists(&format!("`{relation}`, a table,"), "choose another name")),
        Some(Meaning::View(_)) => {
            return Err(exists(
                &format!("`{relation}`"),
                "choose another name, or write `create or replace view`",
            ));
        }
    }
    context.needs_schema(&relation.schema)?;
    let statement = Statement::Query(create.query.clone());
    let reads = read_by(context, &statement)?;
    if let Some(way) = context.catalog()?.circle(&relation, &reads) {
        return Err(circle(&way));
    }
    let planned = context.plan(statement).await?;
    let has = planned.plan.schema().fields().len();
    if !create.columns.is_empty() && create.columns.len() != has {
        return Err(other_count(create.columns.len(), has));
    }
    let columns: Vec<String> = create.columns.iter().map(|column| column.name.to_string()).collect();
    let sql = match (columns.is_empty(), after_as(text)) {
        (true, Some(typed)) => typed,
        (true, None) => create.query.to_string(),
        (false, _) => format!(
            "select * from ({}) as {} ({})",
            create.query,
            ast::quoted(&relation.name),
            columns.join(", ")
        ),
    };
    let view = StoredView {
        sql,
        reads,
        comment: create.comment,
    };
    catalog::put_view(context.warehouse(), &relation, &view).await?;
    Ok(done(format!("made the view `{relation}`")))
}

/// What stands after the first AS of a text that is in no parentheses.
fn after_as(text: &str) -> Option<String> {
    let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location().ok()?;
    let mut depth = 0;
    let end = tokens.iter().find_map(|token| {
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            Token::Word(word) if depth == 0 && word.quote_style.is_none() && word.value.eq_ignore_ascii_case("as") => {
                return Some(token.span.end);
            }
            _ => {}
        }
        None
    })?;
    let (line, column) = (end.line as usize, end.column as usize);
    let mut lines = text.lines().skip(line - 1);
    let first: String = lines.next()?.chars().skip(column - 1).collect();
    let rest: Vec<&str> = std::iter::once(first.as_str()).chain(lines).collect();
    Some(rest.join("\n").trim().to_owned())
}

/// The relations that a query reads by itself.
fn read_by(context: &Context<'_>, statement: &Statement) -> Result<Vec<Relation>, Fault> {
    let references = context.sessions().references(statement, &Author::Typed)?;
    let mut reads = Vec::new();
    for reference in references {
        if let Some(relation) = relation_of(context, &reference)
            && !reads.contains(&relation)
        {
            reads.push(relation);
        }
    }
    Ok(reads)
}

fn relation_of(context: &Context<'_>, reference: &TableReference) -> Option<Relation> {
    let mut parts: Vec<sql::Ident> = reference.schema().into_iter().map(ast::quoted).collect();
    let table = crate::past::without_time(reference.table());
    parts.push(ast::quoted(&table));
    let name = ObjectName::from(parts);
    match context.meaning(&name)? {
        Meaning::Bound(Reads::Table { relation, .. }) | Meaning::Stored(relation) => Some(relation.clone()),
        Meaning::View(_) => context.relation(&name).ok(),
        Meaning::Bound(Reads::Source { .. } | Reads::Seed { .. } | Reads::Query { .. }) => None,
    }
}
