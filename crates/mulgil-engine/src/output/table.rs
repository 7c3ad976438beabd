//! A table for eyes: columns as wide as their first rows ask, numbers to the right. Widths are
//! those of a terminal, where a Korean syllable takes two cells. A later value that is wider
//! pushes its row to the right rather than being cut.

use datafusion::arrow::{array::RecordBatch, datatypes::SchemaRef};
use mulgil_core::{grid::Zone, port::Fault};
use unicode_width::UnicodeWidthStr;

use super::value::{self, Form};

/// Bytes of cells after which nothing more is measured.
const MEASURED_BYTES: usize = 8 << 20;

/// Writes a table.
pub(super) struct TableWriter {
    columns: Vec<Column>,
    zone: Zone,
    /// Rows that are measured before the first one is written; none once it is.
    waiting: Option<Vec<Vec<String>>>,
    waiting_bytes: usize,
    measured_rows: usize,
}

struct Column {
    name: String,
    is_number: bool,
    width: usize,
}

impl TableWriter {
    /// Of a schema.
    pub(super) fn new(schema: &SchemaRef, zone: Zone, measured_rows: usize) -> Self {
        let columns = schema
            .fields()
            .iter()
            .map(|field| {
                let name = on_one_line(field.name());
                Column {
                    width: name.width(),
                    name,
                    is_number: field.data_type().is_numeric(),
                }
            })
            .collect();
        Self {
            columns,
            zone,
            waiting: Some(Vec::new()),
            waiting_bytes: 0,
            measured_rows,
        }
    }

    /// Takes a row.
    pub(super) fn row(&mut self, batch: &RecordBatch, row: usize, out: &mut String) -> Result<(), Fault> {
        let cells = batch
            .columns()
            .iter()
            .map(|column| {
                let mut cell = String::new();
                let form = value::append(&mut cell, column, row, &self.zone)?;
                Ok(shown(cell, form))
            })
            .collect::<Result<Vec<_>, Fault>>()?;
        let Some(waiting) = &mut self.waiting else {
            write_cells(out, &self.columns, &cells);
            return Ok(());
        };
        for (column, cell) in self.columns.iter_mut().zip(&cells) {
            column.width = column.width.max(cell.width());
        }
        self.waiting_bytes += cells.iter().map(String::len).sum::<usize>();
        waiting.push(cells);
        if waiting.len() == self.measured_rows || self.waiting_bytes >= MEASURED_BYTES {
            self.finish(out);
        }
        Ok(())
    }

    /// Writes what still waits.
    pub(super) fn finish(&mut self, out: &mut String) {
        let Some(rows) = self.waiting.take() else { return };
        let names: Vec<String> = self.columns.iter().map(|column| column.name.clone()).collect();
        write_cells(out, &self.columns, &names);
        for (index, column) in self.columns.iter().enumerate() {
            out.push_str(if index == 0 { "─" } else { "─┼─" });
            out.push_str(&"─".repeat(column.width));
        }
        out.push_str("─\n");
        for cells in rows {
            write_cells(out, &self.columns, &cells);
        }
    }
}

fn write_cells(out: &mut String, columns: &[Column], cells: &[String]) {
    let start = out.len();
    for (index, (column, cell)) in columns.iter().zip(cells).enumerate() {
        out.push_str(if index == 0 { " " } else { " │ " });
        let padding = " ".repeat(column.width.saturating_sub(cell.width()));
        if column.is_number {
            out.push_str(&padding);
            out.push_str(cell);
        } else {
            out.push_str(cell);
            out.push_str(&padding);
        }
    }
    out.truncate(start + out[start..].trim_end_matches(' ').len());
    out.push('\n');
}

/// A value as a cell: NULL has a word, and the text of that spelling is told from it by quotes.
fn shown(cell: String, form: Form) -> String {
    match form {
        Form::Null => "NULL".to_owned(),
        Form::Text if cell == "NULL" => "\"NULL\"".to_owned(),
        Form::Text | Form::Nested => on_one_line(&cell),
        Form::Number | Form::NotFinite | Form::Boolean => cell,
    }
}

/// Line ends, tabs and other control characters as escapes, so that a cell stays a cell.
fn on_one_line(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if character.is_control() {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}
