//! Incremental tables: what is there stays, and the rows of a fill come to it. With a unique key they
//! take the place of the rows that have the same: files that hold such a row are written once more
//! without it, all others are left alone. One commit, as everywhere.

use std::sync::Arc;

use datafusion::arrow::{
    array::{BooleanArray, RecordBatch},
    compute::{filter_record_batch, not},
    datatypes::Fields,
};
use deltalake::kernel::LogicalFileView;
use futures::StreamExt;
use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    port::{Author as CommitAuthor, Commit, Fault, FillOutcome, RowSum},
    project::Incremental,
};

use super::{
    Fill, broke, file,
    keys::Keys,
    parts::PartSink,
    stamp::Slots,
    target::{Replaces, Target, Touched},
    work::Work,
};
use crate::{
    content::{Content, RowHasher},
    fault,
    hidden::TimePartition,
    log,
};

/// Takes in the rows of the spec's queries; or makes the table of them, where it is to be made anew.
pub(super) async fn fill(fill: &Fill<'_>) -> Result<FillOutcome, Fault> {
    let spec = fill.spec;
    let replaces = if spec.replaces_all {
        Replaces::All
    } else {
        Replaces::Keys
    };
    let target = Target::open(fill.warehouse, spec, fill.claim, TimePartition::None, replaces).await?;
    fill.run(target, Slots::whole(&spec.instance)).await
}

/// How the spec's table takes rows in.
pub(super) fn how<'a>(fill: &Fill<'a>) -> Result<&'a Incremental, Fault> {
    fill.spec
        .incremental
        .as_ref()
        .ok_or_else(|| broke("an incremental fill does not say how rows are taken in"))
}

/// Writes the files that hold rows whose place is taken once more, without those rows. Gives the
/// content that is gone.
pub(super) async fn take_out(
    fill: &Fill<'_>,
    target: &Target,
    touched: &mut Touched,
    work: &Work,
    sink: &PartSink,
) -> Result<Content, Fault> {
    let mut gone = Content::default();
    let hasher = RowHasher::new(&work.file)?;
    let (place, lost_columns) = (work.places.of_slots()[0], work.shape.loses_columns);
    for file in target.files()? {
        let is_taken = match &work.keys {
            Some(keys) if !keys.is_empty() => holds_taken(fill, target, &file, keys).await?,
            Some(_) | None => false,
        };
        if !is_taken && !lost_columns {
            continue;
        }
        let mut rows = file::rows(fill, target, &file, &work.file, None).await?;
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(|error| fault::sql(&error, &fill.author))?;
            let batch = batch
                .with_schema(Arc::clone(&work.file))
                .map_err(|error| broke(&error.to_string()))?;
            let (stays, goes) = parted(&batch, work.keys.as_ref())?;
            gone.add(hasher.content(&goes)?);
            if stays.num_rows() > 0 {
                sink.write(place, stays).await?;
            }
        }
        touched.cut.push(file);
    }
    Ok(gone)
}

/// The rows that stay, and those whose place is taken.
fn parted(rows: &RecordBatch, keys: Option<&Keys>) -> Result<(RecordBatch, RecordBatch), Fault> {
    let taken = match keys {
        Some(keys) => keys.taken(&keys.project(rows)?)?,
        None => BooleanArray::from(vec![false; rows.num_rows()]),
    };
    let filtered = |mask: &BooleanArray| filter_record_batch(rows, mask).map_err(|error| broke(&error.to_string()));
    let stays = not(&taken).map_err(|error| broke(&error.to_string()))?;
    Ok((filtered(&stays)?, filtered(&taken)?))
}

/// Whether a file holds any row whose place is taken; reads its key columns alone.
async fn holds_taken(fill: &Fill<'_>, target: &Target, file: &LogicalFileView, keys: &Keys) -> Result<bool, Fault> {
    let mut rows = file::rows(fill, target, file, keys.schema(), None).await?;
    while let Some(batch) = rows.next().await {
        let batch = batch.map_err(|error| fault::sql(&error, &fill.author))?;
        if keys.taken(&batch)?.true_count() > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The content of all rows of the fill's key before it: as the last commit of ours tells, or counted
/// anew where another's came after it, or where the columns change.
pub(super) async fn before(fill: &Fill<'_>, target: &Target, work: &Work) -> Result<Content, Fault> {
    if target.is_replaced() || target.table().is_none() {
        return Ok(Content::default());
    }
    if !work.shape.changes_columns
        && let Some(told) = last_told(fill, target).await?
    {
        return Ok(Content::from(told));
    }
    let mut content = Content::default();
    let hasher = RowHasher::new(&work.file)?;
    for file in target.files()? {
        let mut rows = file::rows(fill, target, &file, &work.file, None).await?;
        while let Some(batch) = rows.next().await {
            content.add(hasher.content(&batch.map_err(|error| fault::sql(&error, &fill.author))?)?);
        }
    }
    Ok(content)
}

/// Versions that are looked through for the newest commit that changed rows.
const LOOKED_BACK: i64 = 8;

/// What the newest commit that changed rows says that the table holds, if it is ours and of the same
/// instance.
async fn last_told(fill: &Fill<'_>, target: &Target) -> Result<Option<RowSum>, Fault> {
    let Some((version, _)) = target.present()? else {
        return Ok(None);
    };
    let log = log::commits_after(fill.warehouse, &fill.spec.relation, Some(version - LOOKED_BACK)).await?;
    let commits = log.map(|log| log.commits).unwrap_or_default();
    // Maintenance changes none.
    let is_maintenance = |commit: &Commit| commit.author == CommitAuthor::Foreign && commit.touched.is_empty();
    let newest = commits.into_iter().rev().find(|commit| !is_maintenance(commit));
    Ok(match newest.map(|commit| commit.author) {
        Some(CommitAuthor::Ours(tag)) if tag.instance == fill.spec.instance => tag.total,
        Some(CommitAuthor::Ours(_) | CommitAuthor::Restored(_) | CommitAuthor::Foreign) | None => None,
    })
}

/// That the query's columns are not the table's, where no rule says what to do then.
pub(super) fn columns_changed(fill: &Fill<'_>, new: &Fields, missing: &[String]) -> Fault {
    let listed = |names: &[String]| format!("`{}`", names.join("`, `"));
    let mut what = Vec::new();
    if !new.is_empty() {
        let new: Vec<String> = new.iter().map(|field| field.name().clone()).collect();
        what.push(format!("gives {}, which its table does not have", listed(&new)));
    }
    if !missing.is_empty() {
        what.push(format!("does not give {}, which its table has", listed(missing)));
    }
    let (instance, node) = (&fill.spec.instance, &fill.spec.instance.node);
    Box::new(
        Diagnostic::error(
            codes::COLUMNS_CHANGED,
            format!("the SQL of `{instance}` {}", what.join(" and ")),
        )
        .with_remedy(format!(
            "write `on_schema_change='append_new_columns'` or `'sync_all_columns'`, or make the table anew: `mulgil run {node} --full`"
        )),
    )
}
