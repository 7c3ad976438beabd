//! A query's rows as bytes: a table for eyes, CSV, or JSON. Streams: holds a batch, and for a table
//! the first [`MEASURED_ROWS`] rows, never a whole result.
//!
//! In all three a TIMESTAMPTZ is RFC 3339 with the offset of the given zone, a TIMESTAMP the same
//! without an offset, and a DATE `YYYY-MM-DD`. Years outside 0000 to 9999 are `+010000` or `-000001`.

mod table;
mod value;

#[cfg(test)]
mod tests;

use datafusion::{
    arrow::{
        array::RecordBatch,
        datatypes::{FieldRef, SchemaRef},
    },
    execution::SendableRecordBatchStream,
};
use futures::TryStreamExt;
use mulgil_core::{
    grid::Zone,
    port::{ByteSink, Fault, Format, QueryLimits, QueryOutcome},
};

use self::{table::TableWriter, value::Form};
use crate::fault::{self, Author};

/// Bytes gathered before they are handed to the sink.
const CHUNK_BYTES: usize = 64 * 1024;

/// Rows from which a table takes the widths of its columns.
const MEASURED_ROWS: usize = 1_000;

/// Writes the rows of a stream to a sink.
///
/// In JSON, numbers are printed with all their digits, nested values are nested, and NaN and the
/// infinities, which JSON has not, are null. CSV is quoted as RFC 4180 has it and its lines end
/// with LF; NULL is the empty field and the empty text is `""`. In a table, NULL is `NULL` and the text of that spelling stands in quotes; how many rows
/// there were is for the caller to say.
pub(crate) async fn write(
    mut stream: SendableRecordBatchStream,
    zone: &Zone,
    format: Format,
    limits: QueryLimits,
    sink: &mut dyn ByteSink,
) -> Result<QueryOutcome, Fault> {
    let mut writer = Writer::new(&stream.schema(), zone, format);
    let mut out = String::new();
    let mut outcome = QueryOutcome {
        rows: 0,
        truncated: false,
    };
    writer.start(&mut out);
    while let Some(batch) = stream
        .try_next()
        .await
        .map_err(|error| fault::sql(&error, &Author::Typed))?
    {
        let room = limits.max_rows.map_or(u64::MAX, |most| most - outcome.rows);
        let rows = room.min(batch.num_rows() as u64);
        for row in 0..rows as usize {
            writer.row(&batch, row, &mut out)?;
            if out.len() >= CHUNK_BYTES {
                sink.write(out.as_bytes()).await?;
                out.clear();
            }
        }
        outcome.rows += rows;
        if rows < batch.num_rows() as u64 {
            outcome.truncated = true;
            break;
        }
    }
    writer.finish(&mut out);
    if !out.is_empty() {
        sink.write(out.as_bytes()).await?;
    }
    Ok(outcome)
}

/// What writes one format.
enum Writer {
    Table(TableWriter),
    Csv {
        fields: Vec<FieldRef>,
        zone: Zone,
        cell: String,
    },
    Json {
        keys: Vec<String>,
        zone: Zone,
        rows: u64,
    },
}

impl Writer {
    fn new(schema: &SchemaRef, zone: &Zone, format: Format) -> Self {
        let zone = zone.clone();
        match format {
            Format::Table => Self::Table(TableWriter::new(schema, zone, MEASURED_ROWS)),
            Format::Csv => Self::Csv {
                fields: schema.fields().iter().cloned().collect(),
                zone,
                cell: String::new(),
            },
            Format::Json => Self::Json {
                keys: distinct_keys(schema),
                zone,
                rows: 0,
            },
        }
    }

    /// What stands before the first row.
    fn start(&mut self, out: &mut String) {
        match self {
            Self::Table(_) => {}
            Self::Csv { fields, .. } => {
                for (index, field) in fields.iter().enumerate() {
                    delimit(out, index);
                    csv_text(out, field.name());
                }
                out.push('\n');
            }
            Self::Json { .. } => out.push('['),
        }
    }

    fn row(&mut self, batch: &RecordBatch, row: usize, out: &mut String) -> Result<(), Fault> {
        match self {
            Self::Table(table) => table.row(batch, row, out)?,
            Self::Csv { zone, cell, .. } => {
                for (index, column) in batch.columns().iter().enumerate() {
                    delimit(out, index);
                    cell.clear();
                    match value::append(cell, column, row, zone)? {
                        Form::Null => {}
                        Form::Number | Form::Boolean | Form::NotFinite | Form::Text | Form::Nested => {
                            csv_text(out, cell);
                        }
                    }
                }
                out.push('\n');
            }
            Self::Json { keys, zone, rows } => {
                out.push_str(if *rows == 0 { "\n" } else { ",\n" });
                *rows += 1;
                for (index, (key, column)) in keys.iter().zip(batch.columns()).enumerate() {
                    out.push_str(if index == 0 { "{" } else { "," });
                    out.push_str(key);
                    out.push(':');
                    value::append_json(out, column, row, zone)?;
                }
                out.push_str(if keys.is_empty() { "{}" } else { "}" });
            }
        }
        Ok(())
    }

    /// What stands after the last row.
    fn finish(&mut self, out: &mut String) {
        match self {
            Self::Table(table) => table.finish(out),
            Self::Csv { .. } => {}
            Self::Json { rows: 0, .. } => out.push_str("]\n"),
            Self::Json { .. } => out.push_str("\n]\n"),
        }
    }
}

/// The columns' names as JSON keys; of columns of one name, the later ones are numbered.
fn distinct_keys(schema: &SchemaRef) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let mut name = field.name().clone();
        let mut number = 1;
        while names.contains(&name) {
            number += 1;
            name = format!("{}_{number}", field.name());
        }
        names.push(name);
    }
    names.iter().map(|name| value::quoted(name)).collect()
}

fn delimit(out: &mut String, index: usize) {
    if index > 0 {
        out.push(',');
    }
}

/// A field that is not NULL; in quotes where it has to be, and the empty text always.
fn csv_text(out: &mut String, text: &str) {
    if !text.is_empty() && !text.contains([',', '"', '\r', '\n']) {
        out.push_str(text);
        return;
    }
    out.push('"');
    for (index, part) in text.split('"').enumerate() {
        if index > 0 {
            out.push_str("\"\"");
        }
        out.push_str(part);
    }
    out.push('"');
}
