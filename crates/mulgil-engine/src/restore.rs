//! Older versions of a table: opening one that readers still see, and going back to one by a new commit.
//! Only files that the newest version does not name can be gone, so only they are looked for.

use std::collections::HashSet;

use deltalake::{
    ObjectStoreError,
    kernel::{EagerSnapshot, Transaction, transaction::CommitProperties},
    logstore::LogStoreRef,
};
use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    name::Relation,
    port::{Fault, RestoreTag},
};
use object_store::ObjectStoreExt;
use serde_json::json;

use crate::{
    fault,
    materialize::target::{TAG, app_id},
    past, table,
    warehouse::Warehouse,
};

/// A table's files at a version, all of which are there.
///
/// # Errors
/// `VERSION_GONE` where the log does not reach back to it, or files of it were removed.
pub(crate) async fn open_at(warehouse: &Warehouse, relation: &Relation, version: i64) -> Result<EagerSnapshot, Fault> {
    let newest = table::open(warehouse, relation, None).await?;
    if newest.version() as i64 == version {
        return Ok(newest);
    }
    let older = older(warehouse, relation, version, &newest).await?;
    check_files(warehouse, relation, version, &newest, &older).await?;
    Ok(older)
}

/// Takes a table back to the version that a tag names; gives the version of the commit that does it.
///
/// # Errors
/// `VERSION_GONE` where that version is not whole any more; `TABLE_CHANGED` where somebody else commits at
/// the same moment.
pub(crate) async fn restore(warehouse: &Warehouse, relation: &Relation, tag: &RestoreTag) -> Result<i64, Fault> {
    let Some(table) = warehouse.open(relation).await? else {
        return Err(table::not_filled(relation));
    };
    let newest = table::open(warehouse, relation, None).await?;
    let target = older(warehouse, relation, tag.to, &newest).await?;
    check_files(warehouse, relation, tag.to, &newest, &target).await?;
    let properties = CommitProperties::default()
        .with_max_retries(0)
        .with_application_transaction(Transaction::new(app_id(&tag.ledger), tag.seq))
        .with_metadata([(TAG.to_owned(), json!(tag))])
        .with_create_checkpoint(false)
        .with_cleanup_expired_logs(Some(false));
    let (table, _) = table
        .restore()
        .with_version_to_restore(target.version())
        .with_commit_properties(properties)
        .await
        .map_err(|error| fault::delta(&error, &warehouse.folder(relation)))?;
    let state = table.snapshot();
    let state = state.map_err(|error| fault::delta(&error, &warehouse.folder(relation)))?;
    Ok(state.version() as i64)
}

async fn older(
    warehouse: &Warehouse,
    relation: &Relation,
    version: i64,
    newest: &EagerSnapshot,
) -> Result<EagerSnapshot, Fault> {
    let number = u64::try_from(version)
        .ok()
        .filter(|version| *version < newest.version());
    match number {
        Some(number) => {
            let log_store: LogStoreRef = warehouse.log_store(relation)?;
            let older = EagerSnapshot::try_new(log_store.as_ref(), Some(number)).await;
            older.map_err(|error| {
                if fault::is_of_disk(&error) {
                    fault::delta(&error, &warehouse.folder(relation))
                } else {
                    past::gone(relation, version)
                }
            })
        }
        None => Err(past::gone(relation, version)),
    }
}

/// Looks for the files of an older version that the newest one has let go.
async fn check_files(
    warehouse: &Warehouse,
    relation: &Relation,
    version: i64,
    newest: &EagerSnapshot,
    older: &EagerSnapshot,
) -> Result<(), Fault> {
    let kept: HashSet<_> = newest.log_data().iter().map(|file| file.object_store_path()).collect();
    let log_store: LogStoreRef = warehouse.log_store(relation)?;
    let store = log_store.object_store(None);
    let let_go: Vec<_> = older.log_data().iter().map(|file| file.object_store_path()).collect();
    for path in let_go.into_iter().filter(|path| !kept.contains(path)) {
        match store.head(&path).await {
            Ok(_) => {}
            Err(ObjectStoreError::NotFound { .. }) => {
                return Err(gone(relation, version, &format!("its file {path} was removed")));
            }
            Err(error) => {
                let error = deltalake::DeltaTableError::from(error);
                return Err(fault::delta(&error, &warehouse.folder(relation)));
            }
        }
    }
    Ok(())
}

fn gone(relation: &Relation, version: i64, why: &str) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::VERSION_GONE,
            format!("version {version} of the table `{relation}` is not there any more: {why}"),
        )
        .with_remedy("read or go back to another version: `mulgil rollback NODE --list` shows them; or fill the table again: `mulgil run NODE --full`")
        .with_retry(Retry::AfterHumanFix),
    )
}
