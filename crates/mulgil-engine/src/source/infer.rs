//! The columns of a source: what a first look at a sample of its files shows, and what is declared.

use datafusion::arrow::datatypes::DataType;
use mulgil_core::{
    diagnostic::Place,
    port::Fault,
    project::{FileFormat, Source},
    task::{Column, FileSeen},
};

use super::{
    csv::{CsvFile, Nulls},
    fault::{self, Origin},
    files::Files,
    json::JsonFile,
    parquet::schema_of,
    reader::{SourceShape, ascii},
    types::{Seen, declared_type, instant_type, kept_type, widens},
};

/// Files that a first look opens at most: the first, the last and some between.
const SAMPLE_FILES: usize = 32;

/// Rows that a first look reads at most, over all its files.
const SAMPLE_ROWS: usize = 100_000;

/// What a look found of one column.
#[derive(Clone, Debug, PartialEq)]
enum Found {
    /// In text, values so.
    Text(Seen),
    /// A type.
    Typed(DataType),
}

/// The columns of a source whose files are there: the known ones, or else what a look finds; with
/// the declared types in their place.
pub(super) fn columns(
    place: &Files,
    source: &Source,
    files: &[FileSeen],
    known: &[Column],
) -> Result<Vec<Column>, Fault> {
    let mut columns = if known.is_empty() {
        look(place, source, files)?
    } else {
        known.to_vec()
    };
    for (name, words) in &source.columns {
        let declared = declared_type(words).ok_or_else(|| {
            fault::declaration(
                source,
                format!("`{words}` of column `{name}` in source `{}` is no type", source.name),
                "use text, smallint, integer, bigint, real, double, boolean, date, timestamp, timestamptz or \
                 decimal(p,s)",
            )
        })?;
        let data_type = at_event_time(source, name, declared).to_string();
        match columns.iter_mut().find(|column| column.name == *name) {
            Some(column) => column.data_type = data_type,
            None => columns.push(Column {
                name: name.clone(),
                data_type,
            }),
        }
    }
    // Says what is wrong with the event time now, not at the first read.
    if !columns.is_empty() {
        SourceShape::new(place, source, &columns).map_err(|fault| looked_for(fault, files))?;
    }
    Ok(columns)
}

/// What is wrong with the columns is wrong with the files as well as with what is declared of them.
fn looked_for(fault: Fault, files: &[FileSeen]) -> Fault {
    match files.first() {
        Some(file) => fault
            .with_related(Place::file(&file.path), "where its columns were looked for")
            .into(),
        None => fault,
    }
}

/// Looks at a sample. A broken file says nothing here, as long as another one can be read: the
/// interval that it belongs to will say what is wrong.
fn look(place: &Files, source: &Source, files: &[FileSeen]) -> Result<Vec<Column>, Fault> {
    let picked = spread(files.len(), SAMPLE_FILES);
    let rows = SAMPLE_ROWS / picked.len().max(1);
    let mut columns: Option<Vec<(String, Found)>> = None;
    let mut first_fault = None;
    for file in picked.into_iter().map(|index| &files[index]) {
        let origin = Origin::new(source, &file.path);
        match look_at(place, source, origin.clone(), rows) {
            Ok(found) => {
                check_declared(source, &origin, &found)?;
                columns = Some(match columns {
                    None => found,
                    Some(columns) => join(source, &origin, columns, found)?,
                });
            }
            Err(fault) => {
                first_fault.get_or_insert(fault);
            }
        }
    }
    let Some(columns) = columns else {
        return first_fault.map_or(Ok(Vec::new()), Err);
    };
    Ok(columns
        .into_iter()
        .map(|(name, found)| {
            let data_type = match found {
                Found::Text(seen) => seen.data_type(),
                Found::Typed(data_type) => data_type,
            };
            Column {
                data_type: at_event_time(source, &name, data_type).to_string(),
                name,
            }
        })
        .collect())
}

/// A sample of one file.
fn look_at(place: &Files, source: &Source, origin: Origin, rows: usize) -> Result<Vec<(String, Found)>, Fault> {
    let (file, _) = place.open(&origin)?;
    match &source.format {
        FileFormat::Csv { delimiter, null_words } => {
            let nulls = Nulls::Words(null_words.clone());
            let csv = CsvFile::open(file, origin, ascii(source, *delimiter)?, nulls)?;
            look_at_csv(source, csv, rows)
        }
        FileFormat::DbtSeed { delimiter } => {
            let csv = CsvFile::open(file, origin, ascii(source, *delimiter)?, Nulls::AsDbt)?;
            look_at_csv(source, csv, rows)
        }
        FileFormat::JsonLines => look_at_json(source, &mut JsonFile::open(file, origin)?, rows),
        FileFormat::Parquet => {
            let schema = schema_of(file, &origin)?;
            let field = |field: &datafusion::arrow::datatypes::FieldRef| {
                (field.name().clone(), Found::Typed(kept_type(field.data_type())))
            };
            Ok(schema.fields().iter().map(field).collect())
        }
    }
}

fn look_at_csv(source: &Source, mut csv: CsvFile, rows: usize) -> Result<Vec<(String, Found)>, Fault> {
    let mut seen: Vec<(Seen, And)> = csv
        .header
        .iter()
        .map(|name| (Seen::default(), and(source, name)))
        .collect();
    let mut scratch = String::new();
    for _ in 0..rows {
        let Some(record) = csv.next()? else { break };
        for (index, (seen, and)) in seen.iter_mut().enumerate() {
            *seen = and(*seen, Seen::of(record.cell(index, false, &mut scratch)));
        }
    }
    let found = seen.into_iter().map(|(seen, _)| Found::Text(seen));
    Ok(csv.header.into_iter().zip(found).collect())
}

fn look_at_json(source: &Source, json: &mut JsonFile, rows: usize) -> Result<Vec<(String, Found)>, Fault> {
    let mut columns: Vec<(String, Seen)> = Vec::new();
    let mut scratch = String::new();
    for _ in 0..rows {
        let Some(object) = json.next()? else { break };
        for (index, (key, _)) in object.entries.iter().enumerate() {
            let value = object.cell(index, &mut scratch).map_or(Seen::Text, Seen::of);
            // Keys mostly stand in the same order, so the column is mostly at the same place.
            let at = match columns.get(index) {
                Some((name, _)) if name == key => Some(index),
                _ => columns.iter().position(|(name, _)| name == key),
            };
            match at {
                Some(at) => columns[at].1 = and(source, key)(columns[at].1, value),
                None => columns.push((key.clone().into_owned(), value)),
            }
        }
    }
    Ok(columns
        .into_iter()
        .map(|(name, seen)| (name, Found::Text(seen)))
        .collect())
}

/// A declared column must be in every file that has columns; the keys of JSON objects may be
/// absent, which is NULL.
fn check_declared(source: &Source, origin: &Origin, found: &[(String, Found)]) -> Result<(), Fault> {
    if source.format == FileFormat::JsonLines {
        return Ok(());
    }
    match source.columns.keys().find(|name| !has(found, name)) {
        None => Ok(()),
        Some(name) => {
            let names: Vec<String> = found.iter().map(|(name, _)| name.clone()).collect();
            Err(origin.missing_column(name, &names, true))
        }
    }
}

/// What two files have in common: the columns of both, or, for JSON, of either.
fn join(
    source: &Source,
    origin: &Origin,
    mut columns: Vec<(String, Found)>,
    found: Vec<(String, Found)>,
) -> Result<Vec<(String, Found)>, Fault> {
    if source.format != FileFormat::JsonLines {
        columns.retain(|(name, _)| has(&found, name));
    }
    for (name, other) in found {
        match columns.iter_mut().find(|(column, _)| *column == name) {
            Some((_, column)) => *column = common(source, origin, &name, column.clone(), other)?,
            None if source.format == FileFormat::JsonLines => columns.push((name, other)),
            None => {}
        }
    }
    Ok(columns)
}

fn common(source: &Source, origin: &Origin, name: &str, a: Found, b: Found) -> Result<Found, Fault> {
    match (a, b) {
        (Found::Text(a), Found::Text(b)) => Ok(Found::Text(and(source, name)(a, b))),
        (Found::Typed(a), Found::Typed(b)) => {
            if widens(&b, &a) {
                Ok(Found::Typed(a))
            } else if widens(&a, &b) {
                Ok(Found::Typed(b))
            } else {
                Err(origin.type_changed(name, &b, &a))
            }
        }
        (a, _) => Ok(a),
    }
}

fn has(columns: &[(String, Found)], name: &str) -> bool {
    columns.iter().any(|(column, _)| column == name)
}

/// What two values of a column have in common.
type And = fn(Seen, Seen) -> Seen;

fn and(source: &Source, name: &str) -> And {
    if source.event_time.as_deref() == Some(name) {
        Seen::and_event_time
    } else {
        Seen::and
    }
}

/// An event time is an instant for whoever reads it, also where files write it without an offset.
fn at_event_time(source: &Source, name: &str, data_type: DataType) -> DataType {
    match data_type {
        DataType::Timestamp(_, None) if source.event_time.as_deref() == Some(name) => instant_type(),
        other => other,
    }
}

/// At most `most` of `count` places, evenly, with the first and the last.
fn spread(count: usize, most: usize) -> Vec<usize> {
    if count <= most {
        return (0..count).collect();
    }
    (0..most).map(|index| index * (count - 1) / (most - 1)).collect()
}
