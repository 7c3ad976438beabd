//! What gives tables other columns, names and comments.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{Field, Fields, Schema},
    sql::sqlparser::ast::{
        self as sql, AlterColumnOperation, AlterTable, AlterTableOperation, ColumnDef, CommentObject, Expr, ObjectName,
        RenameTableNameKind, Statement,
    },
};
use deltalake::{
    kernel::{Action, MetadataExt},
    protocol::DeltaOperation,
};
use mulgil_core::{
    name::Relation,
    port::{Fault, StatementOutcome},
};

use super::{
    ast,
    change::refused,
    context::Context,
    define::{cast_to, commented, declared, metadata, replace, stored},
    done,
    insert::{self, placed_all},
    refusals::{exists, no_column, of_project},
    remove::{refuse_if_named, refuse_if_read},
    write::{Written, broken},
};
use crate::{
    catalog::{self, StoredView},
    commit::Commit,
    fault, hidden,
    names::Meaning,
};

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
        return Err(no_column(old, &written.relation.to_string(), &written.columns));
    }
    if written
        .columns
        .iter()
        .any(|field| field.name().eq_ignore_ascii_case(new) && field.name() != old)
    {
        return Err(exists(&format!("the column `{new}`"), "choose another name"));
    }
    refuse_if_named(context, &written.relation, old)?;
    let columns: Vec<(Expr, Arc<Field>)> = written
        .columns
        .iter()
        .map(|field| {
            let name = if field.name() == old { new } else { field.name() };
            let renamed = Arc::new(field.as_ref().clone().with_name(name));
            (Expr::Identifier(ast::quoted(field.name())), renamed)
        })
        .collect();
    let fields: Vec<Arc<Field>> = columns.iter().map(|(_, field)| Arc::clone(field)).collect();
    stored(&Schema::new(fields), &written.relation)?;
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
        match written.columns.find(name) {
            Some(_) => refuse_if_named(context, &written.relation, name)?,
            None if if_exists => {}
            None => return Err(no_column(name, &written.relation.to_string(), &written.columns)),
        }
    }
    let columns: Vec<(Expr, Arc<Field>)> = written
        .columns
        .iter()
        .filter(|field| !names.contains(field.name()))
        .map(as_is)
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
        return Err(no_column(name, &written.relation.to_string(), &written.columns));
    };
    let relation = written.relation.clone();
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

/// A column that stays, with its value.
fn as_is(field: &Arc<Field>) -> (Expr, Arc<Field>) {
    (Expr::Identifier(ast::quoted(field.name())), Arc::clone(field))
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
                return Err(no_column(&column, &changed.relation.to_string(), &written.columns));
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
