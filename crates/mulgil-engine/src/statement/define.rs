//! What makes, alters and drops schemas, tables and views. Data of a table that is made anew is replaced
//! in one commit: readers see what was there or what is there, never a gap.

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::{
    arrow::datatypes::{Field, Fields},
    common::{DataFusionError, TableReference},
    sql::sqlparser::{
        ast::{
            self as sql, AlterColumnOperation, AlterTable, AlterTableOperation, CastKind, ColumnDef, ColumnOption,
            CommentDef, CommentObject, CreateTable, CreateView, Expr, HiveDistributionStyle, ObjectName, ObjectType,
            Query, RenameTableNameKind, SchemaName, Statement, Truncate,
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
    codes,
    diagnostic::Diagnostic,
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
    write::{Again, Change, Written, broken},
};
use crate::{
    catalog::{self, StoredView},
    commit::{self, Commit},
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
            return Err(no_column(name, &relation, &columns));
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
async fn replace(
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
fn stored(schema: &datafusion::arrow::datatypes::Schema, relation: &Relation) -> Result<Fields, Fault> {
    let instance = Instance::of(NodeName::new(&relation.name));
    Ok(Shape::fit(schema, Existing::None, &instance)?.table)
}

/// The columns that a CREATE TABLE declares.
async fn declared(context: &Context<'_>, columns: &[ColumnDef], relation: &Relation) -> Result<Fields, Fault> {
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

fn commented(field: &Field, text: Option<&str>) -> Field {
    let mut metadata = field.metadata().clone();
    match text {
        Some(text) => metadata.insert(COMMENT.to_owned(), text.to_owned()),
        None => metadata.remove(COMMENT),
    };
    field.clone().with_metadata(metadata)
}

fn cast_to(expr: Expr, data_type: &sql::DataType) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(expr),
        data_type: data_type.clone(),
        array: false,
        format: None,
    }
}

/// The actions that give a table its columns, partitions and comment. One that is there keeps its id.
fn metadata(written: &Written, comment: Option<String>) -> Result<Vec<Action>, Fault> {
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
        Some(Meaning::View(_) | Meaning::Stored(_)) => {
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
    context.plan(statement).await?;
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

/// Alters a table that a person made.
pub(super) async fn alter_table(context: &Context<'_>, alter: AlterTable) -> Result<StatementOutcome, Fault> {
    let changed = match context.meaning(&alter.name) {
        Some(Meaning::Bound(_)) => return Err(of_project(&alter.name)),
        None if alter.if_exists => return Ok(done(format!("there is no `{}`", alter.name))),
        Some(Meaning::Stored(_) | Meaning::View(_)) | None => context.changed(&alter.name)?,
    };
    let relation = changed.relation;
    let [operation] = <[AlterTableOperation; 1]>::try_from(alter.operations)
        .map_err(|_| refused("more than one change in an ALTER TABLE"))?;
    let written = Written::open(context.warehouse(), &relation)
        .await?
        .ok_or_else(|| crate::table::not_filled(&relation))?;
    match operation {
        AlterTableOperation::RenameTable {
            table_name: RenameTableNameKind::To(name) | RenameTableNameKind::As(name),
        } => rename(context, &relation, &name),
        AlterTableOperation::AddColumn {
            column_def,
            if_not_exists,
            column_position: None,
            ..
        } => add_column(context, written, &column_def, if_not_exists).await,
        AlterTableOperation::RenameColumn {
            old_column_name,
            new_column_name,
        } => {
            let (old, new) = (hidden::folded(&old_column_name), hidden::folded(&new_column_name));
            rename_column(context, written, &old, &new).await
        }
        AlterTableOperation::DropColumn {
            column_names,
            if_exists,
            ..
        } => {
            let names: Vec<String> = column_names.iter().map(hidden::folded).collect();
            drop_columns(context, written, &names, if_exists).await
        }
        AlterTableOperation::AlterColumn { column_name, op } => {
            alter_column(context, written, &hidden::folded(&column_name), op).await
        }
        other => Err(refused(&format!("`{other}` in ALTER TABLE"))),
    }
}

fn rename(context: &Context<'_>, relation: &Relation, name: &ObjectName) -> Result<StatementOutcome, Fault> {
    let mut to = context.relation(name)?;
    if name.0.len() == 1 {
        to.schema = relation.schema.clone();
    }
    let renamed = ObjectName::from(vec![ast::quoted(&to.schema), ast::quoted(&to.name)]);
    if context.meaning(&renamed).is_some() {
        return Err(exists(&format!("`{to}`"), "choose another name"));
    }
    context.needs_schema(&to.schema)?;
    refuse_if_read(context, relation)?;
    context.warehouse().rename_table(relation, &to)?;
    Ok(done(format!("`{relation}` is `{to}` now")))
}

async fn add_column(
    context: &Context<'_>,
    mut written: Written,
    column: &ColumnDef,
    if_not_exists: bool,
) -> Result<StatementOutcome, Fault> {
    let fields = declared(context, std::slice::from_ref(column), &written.relation).await?;
    let field = fields.first().ok_or_else(insert::no_columns)?;
    let name = field.name();
    let has = |known: &Arc<Field>| known.name().eq_ignore_ascii_case(name);
    if written.columns.iter().any(has) {
        return if if_not_exists {
            Ok(done(format!("the column `{name}` is there already")))
        } else {
            Err(exists(&format!("the column `{name}`"), "choose another name"))
        };
    }
    if !field.is_nullable() {
        return Err(refused(
            "a new column that is NOT NULL: the rows that are there have no value for it;",
        ));
    }
    written.columns = written.columns.iter().chain([field]).cloned().collect();
    let operation = DeltaOperation::AddColumn { fields: Vec::new() };
    commit_metadata(context, &written, None, operation).await?;
    Ok(done(format!(
        "`{}` has the column `{name}`; it is NULL in all rows",
        written.relation
    )))
}

/// Commits a table's columns and comment alone.
async fn commit_metadata(
    context: &Context<'_>,
    written: &Written,
    comment: Option<String>,
    operation: DeltaOperation,
) -> Result<(), Fault> {
    let comment = comment.or_else(|| {
        let state = written.table.as_ref()?.snapshot().ok()?;
        state.metadata().description().map(str::to_owned)
    });
    let commit = Commit {
        actions: keeping_properties(written, metadata(written, comment)?)?,
        operation,
        properties: context.properties(),
    };
    commit
        .make(&written.log_store, written.table.as_ref(), &written.folder)
        .await?;
    Ok(())
}

/// The same metadata with the properties that the table has.
fn keeping_properties(written: &Written, actions: Vec<Action>) -> Result<Vec<Action>, Fault> {
    let Some(table) = &written.table else {
        return Ok(actions);
    };
    let state = table
        .snapshot()
        .map_err(|error| fault::delta(&error, &written.folder))?;
    let properties = state.metadata().configuration().clone();
    actions
        .into_iter()
        .map(|action| match action {
            Action::Metadata(metadata) => {
                let metadata = properties.iter().try_fold(metadata, |metadata, (name, value)| {
                    metadata.add_config_key(name.clone(), value.clone())
                });
                Ok(Action::Metadata(metadata.map_err(|error| broken(&error.to_string()))?))
            }
            other => Ok(other),
        })
        .collect()
}

async fn rename_column(
    context: &Context<'_>,
    written: Written,
    old: &str,
    new: &str,
) -> Result<StatementOutcome, Fault> {
    if written.columns.find(old).is_none() {
        return Err(no_column(old, &written.relation, &written.columns));
    }
    if written
        .columns
        .iter()
        .any(|field| field.name().eq_ignore_ascii_case(new) && field.name() != old)
    {
        return Err(exists(&format!("the column `{new}`"), "choose another name"));
    }
    let columns: Vec<(Expr, Arc<Field>)> = written
        .columns
        .iter()
        .map(|field| {
            let name = if field.name() == old { new } else { field.name() };
            let renamed = Arc::new(field.as_ref().clone().with_name(name));
            (Expr::Identifier(ast::quoted(field.name())), renamed)
        })
        .collect();
    let partition_by = written
        .partition_by
        .iter()
        .map(|name| if name == old { new.to_owned() } else { name.clone() });
    let partition_by = partition_by.collect();
    let relation = written.relation.clone();
    rewrite(context, written, columns, partition_by).await?;
    Ok(done(format!("the column `{old}` of `{relation}` is `{new}` now")))
}

async fn drop_columns(
    context: &Context<'_>,
    written: Written,
    names: &[String],
    if_exists: bool,
) -> Result<StatementOutcome, Fault> {
    for name in names {
        if written.partition_by.contains(name) {
            return Err(refused("dropping a column by which the table is partitioned"));
        }
        if written.columns.find(name).is_none() && !if_exists {
            return Err(no_column(name, &written.relation, &written.columns));
        }
    }
    let columns: Vec<(Expr, Arc<Field>)> = written
        .columns
        .iter()
        .filter(|field| !names.contains(field.name()))
        .map(|field| (Expr::Identifier(ast::quoted(field.name())), Arc::clone(field)))
        .collect();
    if columns.len() == written.columns.len() {
        return Ok(done("there is no such column"));
    }
    if columns.len() <= written.partition_by.len() {
        return Err(refused("dropping the last column of a table"));
    }
    let (relation, partition_by) = (written.relation.clone(), written.partition_by.clone());
    rewrite(context, written, columns, partition_by).await?;
    Ok(done(format!("`{relation}` has no `{}` any more", names.join("`, `"))))
}

async fn alter_column(
    context: &Context<'_>,
    mut written: Written,
    name: &str,
    operation: AlterColumnOperation,
) -> Result<StatementOutcome, Fault> {
    let Some((place, field)) = written.columns.find(name) else {
        return Err(no_column(name, &written.relation, &written.columns));
    };
    let relation = written.relation.clone();
    let as_is = |field: &Arc<Field>| (Expr::Identifier(ast::quoted(field.name())), Arc::clone(field));
    let mut columns: Vec<(Expr, Arc<Field>)> = written.columns.iter().map(as_is).collect();
    match operation {
        AlterColumnOperation::DropNotNull => {
            let loose = Arc::new(field.as_ref().clone().with_nullable(true));
            let mut fields: Vec<Arc<Field>> = written.columns.iter().cloned().collect();
            fields[place] = loose;
            written.columns = fields.into();
            let operation = DeltaOperation::AddColumn { fields: Vec::new() };
            commit_metadata(context, &written, None, operation).await?;
            return Ok(done(format!("`{name}` of `{relation}` may be NULL")));
        }
        AlterColumnOperation::SetNotNull => {
            columns[place].1 = Arc::new(field.as_ref().clone().with_nullable(false));
        }
        AlterColumnOperation::SetDataType { data_type, using, .. } => {
            let value = using.unwrap_or_else(|| Expr::Identifier(ast::quoted(name)));
            let query = ast::select_items(
                None,
                vec![sql::SelectItem::ExprWithAlias {
                    expr: cast_to(ast::null(), &data_type),
                    alias: ast::quoted(name),
                }],
                Vec::new(),
                None,
            )?;
            let plan = context.plan(Statement::Query(Box::new(query))).await?.plan;
            let stored = stored(&plan.schema(), &relation)?;
            let kept = stored.first().ok_or_else(insert::no_columns)?;
            let other = field.as_ref().clone().with_data_type(kept.data_type().clone());
            columns[place] = (cast_to(value, &data_type), Arc::new(other));
        }
        other => return Err(refused(&format!("`{other}` in ALTER COLUMN"))),
    }
    let partition_by = written.partition_by.clone();
    rewrite(context, written, columns, partition_by).await?;
    Ok(done(format!("altered `{name}` of `{relation}`")))
}

/// Writes a table once more with other columns, in one commit.
async fn rewrite(
    context: &Context<'_>,
    written: Written,
    columns: Vec<(Expr, Arc<Field>)>,
    partition_by: Vec<String>,
) -> Result<(), Fault> {
    let items = columns.iter().map(|(expr, field)| sql::SelectItem::ExprWithAlias {
        expr: expr.clone(),
        alias: ast::quoted(field.name()),
    });
    let name = ObjectName::from(vec![
        ast::quoted(&written.relation.schema),
        ast::quoted(&written.relation.name),
    ]);
    let query = ast::select_items(None, items.collect(), vec![ast::alone(ast::table(name)?)], None)?;
    let fields: Fields = columns.into_iter().map(|(_, field)| field).collect();
    let shown = fields.clone();
    let ready = insert::plan(context, query, move |plan| placed_all(plan, &shown)).await?;
    let state = written.table.as_ref().and_then(|table| table.snapshot().ok());
    let comment = state.and_then(|state| state.metadata().description().map(str::to_owned));
    let rewritten = Written {
        columns: fields,
        partition_by,
        ..written
    };
    let actions = keeping_properties(&rewritten, metadata(&rewritten, comment)?)?;
    replace(context, &rewritten, actions, Some(ready)).await?;
    Ok(())
}

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
    let mut dropped = Vec::new();
    for name in names {
        match kind {
            ObjectType::Table | ObjectType::View => match (context.meaning(name), kind) {
                (None, _) if if_exists => {}
                (None, _) => return Err(context.nothing(name)),
                (Some(Meaning::Bound(_)), _) => return Err(of_project(name)),
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
                (Some(Meaning::Stored(_)), _) => return Err(other_kind(name, "a table", "drop table")),
                (Some(Meaning::View(_)), _) => return Err(other_kind(name, "a view", "drop view")),
            },
            ObjectType::Schema => dropped.extend(drop_schema(context, name, if_exists, cascade).await?),
            other => return Err(refused(&format!("DROP {other}"))),
        }
    }
    Ok(match dropped.as_slice() {
        [] => done("there was nothing to drop"),
        names => done(format!("dropped {}", names.join(", "))),
    })
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

fn refuse_if_read(context: &Context<'_>, relation: &Relation) -> Result<(), Fault> {
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

/// Sets or removes a comment.
pub(super) async fn comment(
    context: &Context<'_>,
    kind: CommentObject,
    name: &ObjectName,
    text: Option<String>,
) -> Result<StatementOutcome, Fault> {
    let (table, column) = match kind {
        CommentObject::Table => (name.clone(), None),
        CommentObject::View => return comment_view(context, name, text).await,
        CommentObject::Column => {
            let mut parts = name.0.clone();
            let column = parts.pop().and_then(|part| part.as_ident().map(hidden::folded));
            (ObjectName(parts), column)
        }
        other => return Err(refused(&format!("COMMENT ON {other}"))),
    };
    let changed = context.changed(&table)?;
    let mut written = Written::open(context.warehouse(), &changed.relation)
        .await?
        .ok_or_else(|| crate::table::not_filled(&changed.relation))?;
    let operation = DeltaOperation::SetTableProperties {
        properties: std::collections::HashMap::new(),
    };
    match column {
        None => commit_metadata(context, &written, Some(text.unwrap_or_default()), operation).await?,
        Some(column) => {
            if written.columns.find(&column).is_none() {
                return Err(no_column(&column, &changed.relation, &written.columns));
            }
            let fields = written.columns.iter().map(|field| {
                if *field.name() == column {
                    Arc::new(commented(field, text.as_deref()))
                } else {
                    Arc::clone(field)
                }
            });
            written.columns = fields.collect();
            commit_metadata(context, &written, None, operation).await?;
        }
    }
    Ok(done(format!("`{name}` has its comment")))
}

async fn comment_view(
    context: &Context<'_>,
    name: &ObjectName,
    text: Option<String>,
) -> Result<StatementOutcome, Fault> {
    let Some(Meaning::View(view)) = context.meaning(name) else {
        return Err(context.nothing(name));
    };
    let view = StoredView {
        comment: text,
        ..view.clone()
    };
    catalog::put_view(context.warehouse(), &context.relation(name)?, &view).await?;
    Ok(done(format!("`{name}` has its comment")))
}

fn of_project(name: &ObjectName) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::NOT_CHANGEABLE,
            format!("`{name}` is made by the project, which would make it again"),
        )
        .with_remedy("change its file in the project; `mulgil run --prune` drops what the project no longer declares"),
    )
}

fn exists(what: &str, remedy: &str) -> Fault {
    Box::new(
        Diagnostic::error(codes::RELATION_EXISTS, format!("{what} is there already")).with_remedy(remedy.to_owned()),
    )
}

fn still_read(message: &str) -> Fault {
    Box::new(
        Diagnostic::error(codes::STILL_READ, message.to_owned())
            .with_remedy("write `cascade` at the end to drop them too, or drop them first"),
    )
}

fn other_kind(name: &ObjectName, is: &str, verb: &str) -> Fault {
    Box::new(
        Diagnostic::error(codes::NOT_CHANGEABLE, format!("`{name}` is {is}"))
            .with_remedy(format!("write `{verb} {name}`")),
    )
}

pub(super) fn no_schema(schema: &str) -> Fault {
    Box::new(
        Diagnostic::error(codes::BAD_QUERY, format!("there is no schema `{schema}`"))
            .with_remedy(format!("make it first: `create schema {schema}`")),
    )
}

fn no_column(name: &str, relation: &Relation, columns: &Fields) -> Fault {
    let known = columns.iter().map(|field| field.name().as_str());
    let remedy = match fault::nearest(name, known.clone()) {
        Some(near) => format!("write `{near}`"),
        None => format!("its columns are: {}", known.collect::<Vec<_>>().join(", ")),
    };
    Box::new(Diagnostic::error(codes::BAD_QUERY, format!("`{relation}` has no column `{name}`")).with_remedy(remedy))
}

fn circle(way: &[Relation]) -> Fault {
    let names: Vec<String> = way.iter().map(Relation::to_string).collect();
    Box::new(
        Diagnostic::error(
            codes::BAD_QUERY,
            format!("the view would read itself: {}", names.join(" → ")),
        )
        .with_remedy("take one of the steps out"),
    )
}
