//! A query's rows as bytes: a table for eyes, CSV, JSON, a Parquet file or an Excel workbook. Streams:
//! holds a batch, for a table the rows that are measured, for Parquet a row group, never a whole
//! result.
//!
//! In all that is text a TIMESTAMPTZ is RFC 3339 with the offset of the given zone, a TIMESTAMP the same
//! without an offset, and a DATE `YYYY-MM-DD`. Years outside 0000 to 9999 are `+010000` or `-000001`.

mod parquet;
mod table;
mod value;
mod xlsx;

#[cfg(test)]
mod tests;

use std::{collections::HashSet, path::PathBuf};

use datafusion::{
    arrow::{array::RecordBatch, datatypes::SchemaRef},
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

/// How a result is written.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    /// Where its instants are shown.
    pub(crate) zone: Zone,
    /// As what.
    pub(crate) format: Format,
    /// How much of it.
    pub(crate) limits: QueryLimits,
    /// A folder for what has to be written twice.
    pub(crate) scratch: PathBuf,
}

impl Output {
    /// Writes the rows of a stream to a sink.
    ///
    /// In JSON, numbers are printed with all their digits, nested values are nested, and NaN and the
    /// infinities, which JSON has not, are null. CSV is quoted as RFC 4180 has it and its lines end
    /// with LF; NULL is the empty field and the empty text is `""`. In a table, NULL is `NULL` and
    /// the text of that spelling stands in quotes; how many rows there were is for the caller to say.
    pub(crate) async fn write(
        &self,
        stream: SendableRecordBatchStream,
        sink: &mut dyn ByteSink,
    ) -> Result<QueryOutcome, Fault> {
        let mut rows = Rows::new(stream, self.limits);
        match self.format {
            Format::Table => write_text(Writer::table(&rows.schema(), &self.zone), &mut rows, sink).await?,
            Format::Csv => write_text(Writer::csv(&self.zone), &mut rows, sink).await?,
            Format::Json => {
                write_text(
                    Writer::json(&rows.schema(), &self.zone, Between::Commas),
                    &mut rows,
                    sink,
                )
                .await?;
            }
            Format::JsonLines => {
                write_text(
                    Writer::json(&rows.schema(), &self.zone, Between::Lines),
                    &mut rows,
                    sink,
                )
                .await?;
            }
            Format::Parquet => parquet::write(&mut rows, sink).await?,
            Format::Xlsx => xlsx::write(&mut rows, &self.zone, &self.scratch, sink).await?,
        }
        Ok(rows.outcome)
    }
}

/// The rows of a stream, up to a limit.
struct Rows {
    stream: SendableRecordBatchStream,
    most: Option<u64>,
    outcome: QueryOutcome,
}

impl Rows {
    fn new(stream: SendableRecordBatchStream, limits: QueryLimits) -> Self {
        Self {
            stream,
            most: limits.max_rows,
            outcome: QueryOutcome {
                rows: 0,
                truncated: false,
            },
        }
    }

    fn schema(&self) -> SchemaRef {
        self.stream.schema()
    }

    /// The next rows that are within the limit.
    async fn next(&mut self) -> Result<Option<RecordBatch>, Fault> {
        if self.outcome.truncated {
            return Ok(None);
        }
        let next = self.stream.try_next().await;
        let Some(batch) = next.map_err(|error| fault::sql(&error, &Author::Typed))? else {
            return Ok(None);
        };
        let room = self.most.map_or(u64::MAX, |most| most - self.outcome.rows);
        let rows = room.min(batch.num_rows() as u64);
        self.outcome.rows += rows;
        self.outcome.truncated = rows < batch.num_rows() as u64;
        Ok(Some(batch.slice(0, rows as usize)))
    }
}

async fn write_text(mut writer: Writer, rows: &mut Rows, sink: &mut dyn ByteSink) -> Result<(), Fault> {
    let mut out = String::new();
    writer.start(&rows.schema(), &mut out);
    while let Some(batch) = rows.next().await? {
        for row in 0..batch.num_rows() {
            writer.row(&batch, row, &mut out)?;
            if out.len() >= CHUNK_BYTES {
                sink.write(out.as_bytes()).await?;
                out.clear();
            }
        }
    }
    writer.finish(&mut out);
    if !out.is_empty() {
        sink.write(out.as_bytes()).await?;
    }
    Ok(())
}

/// What writes one format of text.
enum Writer {
    Table(TableWriter),
    Csv {
        zone: Zone,
        cell: String,
    },
    Json {
        keys: Vec<String>,
        zone: Zone,
        rows: u64,
        between: Between,
    },
}

/// What stands between objects.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Between {
    /// They are one array.
    Commas,
    /// Each is a line.
    Lines,
}

impl Writer {
    fn table(schema: &SchemaRef, zone: &Zone) -> Self {
        Self::Table(TableWriter::new(schema, zone.clone(), MEASURED_ROWS))
    }

    fn csv(zone: &Zone) -> Self {
        Self::Csv {
            zone: zone.clone(),
            cell: String::new(),
        }
    }

    fn json(schema: &SchemaRef, zone: &Zone, between: Between) -> Self {
        Self::Json {
            keys: distinct_names(schema).iter().map(|name| value::quoted(name)).collect(),
            zone: zone.clone(),
            rows: 0,
            between,
        }
    }

    /// What stands before the first row.
    fn start(&self, schema: &SchemaRef, out: &mut String) {
        match self {
            Self::Table(_) => {}
            Self::Csv { .. } => {
                for (index, field) in schema.fields().iter().enumerate() {
                    delimit(out, index);
                    csv_text(out, field.name());
                }
                out.push('\n');
            }
            Self::Json {
                between: Between::Commas,
                ..
            } => out.push('['),
            Self::Json {
                between: Between::Lines,
                ..
            } => {}
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
            Self::Json {
                keys,
                zone,
                rows,
                between,
            } => {
                out.push_str(match (*between, *rows) {
                    (Between::Commas, 0) => "\n",
                    (Between::Commas, _) => ",\n",
                    (Between::Lines, _) => "",
                });
                *rows += 1;
                for (index, (key, column)) in keys.iter().zip(batch.columns()).enumerate() {
                    out.push_str(if index == 0 { "{" } else { "," });
                    out.push_str(key);
                    out.push(':');
                    value::append_json(out, column, row, zone)?;
                }
                out.push_str(if keys.is_empty() { "{}" } else { "}" });
                if *between == Between::Lines {
                    out.push('\n');
                }
            }
        }
        Ok(())
    }

    /// What stands after the last row.
    fn finish(&mut self, out: &mut String) {
        match self {
            Self::Table(table) => table.finish(out),
            Self::Csv { .. } => {}
            Self::Json {
                between: Between::Lines,
                ..
            } => {}
            Self::Json { rows: 0, .. } => out.push_str("]\n"),
            Self::Json { .. } => out.push_str("\n]\n"),
        }
    }
}

/// The columns' names; of columns of one name, the later ones are numbered.
fn distinct_names(schema: &SchemaRef) -> Vec<String> {
    let mut taken = HashSet::new();
    let mut names = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let mut name = field.name().clone();
        let mut number = 1;
        while !taken.insert(name.clone()) {
            number += 1;
            name = format!("{}_{number}", field.name());
        }
        names.push(name);
    }
    names
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
