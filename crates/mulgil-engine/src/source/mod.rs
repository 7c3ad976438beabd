//! Sources: files outside the warehouse. Looks at them ([`observe`]) and reads them ([`provider`]).
//!
//! What is read is exactly what was seen: a file that changed in between is a fault, and so is a
//! row that cannot be taken apart, a value that does not fit its column, and a row that does not
//! belong to the interval of its file. Nothing is guessed, passed over or made NULL in silence.
//! A column that a file has and the source has not is left alone.

mod cell;
mod csv;
mod event;
mod fault;
mod files;
mod infer;
mod json;
mod look;
mod object;
mod parquet;
mod reader;
mod scan;
mod template;
mod text;
mod time;
mod types;
mod window;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use mulgil_core::{
    interval::Interval,
    port::{Fault, SourceSeen},
    project::Source,
    task::{Column, FileSeen},
};

pub(crate) use files::Files;

/// A source as a table: `columns` as the ledger fixed them, `files` as they were seen. With a
/// `scope`, the rows of a single file with an event time are cut to it; files of intervals were
/// chosen by their names.
pub(crate) fn provider(
    place: &Files,
    source: &Source,
    columns: &[Column],
    scope: Option<Interval>,
    files: &[FileSeen],
) -> Result<Arc<dyn TableProvider>, Fault> {
    let shape = reader::SourceShape::new(place, source, columns)?;
    Ok(Arc::new(scan::SourceTable::new(shape, scope, files)))
}

/// Looks at a source's files. What is as in `known` is not read again; columns are inferred when
/// `known` has none or was read in another way, and types that are declared always count.
pub(crate) async fn observe(place: &Files, source: &Source, known: &SourceSeen) -> Result<SourceSeen, Fault> {
    let (place, source, known) = (place.clone(), source.clone(), known.clone());
    tokio::task::spawn_blocking(move || look::look(&place, &source, &known))
        .await
        .map_err(|error| reader::bug(&error.to_string()))?
}
