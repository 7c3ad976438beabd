//! OPTIMIZE and VACUUM: small files of a table become large ones, and files that no version within the
//! time of grace names are removed. Neither changes a row, and readers of versions within that time
//! find all they need.

use std::sync::Arc;

use chrono::Duration;
use datafusion::sql::sqlparser::ast::ObjectName;
use deltalake::operations::{optimize::OptimizeType, vacuum::VacuumMode};
use mulgil_core::{
    name::Relation,
    port::{Fault, StatementOutcome},
};

use super::{context::Context, done, parse::Vacuum};
use crate::{commit, fault, session::Sessions};

/// Bytes that a file has after small ones were put together.
const FILE_BYTES: u64 = 256 << 20;
/// Hours for which the files of old versions stay, when nobody says: a week.
pub(crate) const RETAIN_HOURS: u64 = 7 * 24;

/// What was put together.
pub(crate) struct Compacted {
    /// Files before.
    pub(crate) removed: u64,
    /// Files in their place.
    pub(crate) added: u64,
}

/// Puts small files of a table together.
pub(super) async fn optimize(context: &Context<'_>, name: &ObjectName) -> Result<StatementOutcome, Fault> {
    let changed = context.changed(name)?;
    let compacted = compact(context.sessions(), &changed.relation).await?;
    Ok(done(match compacted {
        Some(Compacted { removed, added }) if removed > 0 => {
            format!("`{}` has {added} files in place of {removed}", changed.relation)
        }
        Some(_) | None => format!("`{}` has no small files to put together", changed.relation),
    }))
}

/// Removes files that only old versions of a table name.
pub(super) async fn vacuum(context: &Context<'_>, vacuum: &Vacuum) -> Result<StatementOutcome, Fault> {
    context.may_write().await?;
    let changed = context.changed(&vacuum.name)?;
    let hours = vacuum.retain_hours.unwrap_or(RETAIN_HOURS);
    let removed = remove_old(context.sessions(), &changed.relation, hours, vacuum.is_dry).await?;
    let (files, relation) = (removed.len(), &changed.relation);
    Ok(done(if vacuum.is_dry {
        format!("`{relation}` has {files} files that a vacuum would remove")
    } else {
        format!("removed {files} files of `{relation}` that no version of the last {hours} hours has")
    }))
}

/// Puts small files of a table together; nothing where there is no table.
pub(crate) async fn compact(sessions: &Arc<Sessions>, relation: &Relation) -> Result<Option<Compacted>, Fault> {
    let warehouse = sessions.warehouse();
    let Some(table) = warehouse.open(relation).await? else {
        return Ok(None);
    };
    let folder = warehouse.folder(relation);
    let to_fault = |error| fault::delta(&error, &folder);
    let builder = table
        .optimize()
        .with_type(OptimizeType::Compact)
        .with_target_size(std::num::NonZeroU64::new(FILE_BYTES).unwrap_or(std::num::NonZeroU64::MIN))
        .with_max_concurrent_tasks(1)
        .with_commit_properties(commit::alone())
        .with_session_state(Arc::new(sessions.base().clone()));
    let (_, metrics) = builder.await.map_err(to_fault)?;
    Ok(Some(Compacted {
        removed: metrics.num_files_removed,
        added: metrics.num_files_added,
    }))
}

/// Removes the files of a table that no version of the last hours names. Gives their names.
pub(crate) async fn remove_old(
    sessions: &Arc<Sessions>,
    relation: &Relation,
    hours: u64,
    is_dry: bool,
) -> Result<Vec<String>, Fault> {
    let warehouse = sessions.warehouse();
    let Some(table) = warehouse.open(relation).await? else {
        return Ok(Vec::new());
    };
    let folder = warehouse.folder(relation);
    let to_fault = |error| fault::delta(&error, &folder);
    let hours = i64::try_from(hours).unwrap_or(i64::MAX / 3_600_000);
    let builder = table
        .vacuum()
        .with_retention_period(Duration::hours(hours))
        .with_enforce_retention_duration(false)
        .with_mode(VacuumMode::Full)
        .with_dry_run(is_dry)
        .with_commit_properties(commit::alone());
    let (_, metrics) = builder.await.map_err(to_fault)?;
    Ok(metrics.files_deleted)
}
