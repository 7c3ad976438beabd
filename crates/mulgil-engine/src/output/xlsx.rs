//! A result as an Excel workbook with one sheet. A thread of its own writes the rows to a file beside
//! the spilled ones as they come, and then packs that file into the workbook: memory holds a row.
//!
//! What Excel would show as another value is text: numbers of more than fifteen digits, dates before
//! 1900, NaN and the infinities. Instants stand there as the clock of the zone shows them.

mod cell;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use datafusion::arrow::{array::RecordBatch, datatypes::SchemaRef};
use mulgil_core::{
    codes,
    diagnostic::{Code, Diagnostic},
    grid::Zone,
    port::{ByteSink, Fault},
};
use rust_xlsxwriter::{Workbook, Worksheet, XlsxError};
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
};
use unicode_width::UnicodeWidthStr;

use self::cell::{Cell, Styles};
use super::{CHUNK_BYTES, MEASURED_ROWS, Rows};
use crate::fault;

/// Rows of a sheet, its header among them.
const MOST_ROWS: u32 = 1_048_576;
/// Columns of a sheet.
const MOST_COLUMNS: usize = 16_384;
/// Characters of a cell, as UTF-16 counts them.
const MOST_CHARACTERS: usize = 32_767;
/// Cells between which a column's width may be.
const WIDTHS: std::ops::RangeInclusive<usize> = 6..=60;
/// Batches of rows, and pieces of the workbook, that may wait.
const WAITING: usize = 2;

/// Writes all rows as one workbook.
pub(super) async fn write(rows: &mut Rows, zone: &Zone, scratch: &Path, sink: &mut dyn ByteSink) -> Result<(), Fault> {
    let scratch = usable(scratch);
    let mut sheet = Sheet::new(&rows.schema(), zone, &scratch)?;
    let (batches, mut waiting) = mpsc::channel::<RecordBatch>(WAITING);
    let (pieces, mut packed) = mpsc::channel(WAITING);
    let mut work = JoinSet::new();
    work.spawn_blocking(move || {
        while let Some(batch) = waiting.blocking_recv() {
            sheet.take(&batch)?;
        }
        sheet.pack(Pieces {
            sender: pieces,
            gathered: Vec::new(),
        })
    });
    while let Some(batch) = rows.next().await? {
        // Who takes nothing any more has failed, and says why below.
        if batches.send(batch).await.is_err() {
            break;
        }
    }
    drop(batches);
    while let Some(bytes) = packed.recv().await {
        sink.write(&bytes).await?;
    }
    match work.join_next().await {
        Some(Ok(outcome)) => outcome,
        Some(Err(error)) => Err(broken(error, &scratch)),
        None => Ok(()),
    }
}

/// The folder, or the machine's own where that one cannot be written.
fn usable(scratch: &Path) -> PathBuf {
    match tempfile::tempfile_in(scratch) {
        Ok(_) => scratch.to_owned(),
        Err(_) => std::env::temp_dir(),
    }
}

/// A workbook whose rows are being written.
struct Sheet {
    workbook: Workbook,
    names: Vec<String>,
    widths: Vec<usize>,
    styles: Styles,
    zone: Zone,
    scratch: PathBuf,
    /// The next row's index; the header is row 0.
    next: u32,
}

impl Sheet {
    fn new(schema: &SchemaRef, zone: &Zone, scratch: &Path) -> Result<Self, Fault> {
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        if names.len() > MOST_COLUMNS {
            return Err(too_wide(names.len()));
        }
        let mut sheet = Self {
            workbook: Workbook::new(),
            widths: names.iter().map(|name| name.width()).collect(),
            names,
            styles: Styles::of(schema),
            zone: zone.clone(),
            scratch: scratch.to_owned(),
            next: 1,
        };
        sheet.begin().map_err(|error| sheet.unwritable(error))?;
        for column in 0..sheet.names.len() {
            let name = sheet.names[column].clone();
            sheet.check_length(0, column, &name)?;
            sheet
                .put_header(column, &name)
                .map_err(|error| sheet.unwritable(error))?;
        }
        Ok(sheet)
    }

    fn begin(&mut self) -> Result<(), XlsxError> {
        self.workbook.set_tempdir(&self.scratch)?;
        let sheet = self.workbook.add_worksheet_with_constant_memory()?;
        sheet.set_name("query")?;
        sheet.set_freeze_panes(1, 0)?;
        Ok(())
    }

    fn worksheet(&mut self) -> Result<&mut Worksheet, XlsxError> {
        self.workbook.worksheet_from_index(0)
    }

    fn put_header(&mut self, column: usize, name: &str) -> Result<(), XlsxError> {
        let header = self.styles.header.clone();
        self.worksheet()?
            .write_string_with_format(0, column as u16, name, &header)?;
        Ok(())
    }

    /// Writes the rows of a batch.
    fn take(&mut self, batch: &RecordBatch) -> Result<(), Fault> {
        for row in 0..batch.num_rows() {
            if self.next == MOST_ROWS {
                return Err(too_long());
            }
            for (column, values) in batch.columns().iter().enumerate() {
                let cell = Cell::of(values, row, &self.zone)?;
                if let Cell::Text(text) = &cell {
                    self.check_length(self.next, column, text)?;
                }
                if (self.next as usize) <= MEASURED_ROWS {
                    self.widths[column] = self.widths[column].max(cell.width());
                }
                self.put(column, &cell).map_err(|error| self.unwritable(error))?;
            }
            self.next += 1;
        }
        Ok(())
    }

    fn put(&mut self, column: usize, cell: &Cell) -> Result<(), XlsxError> {
        let (row, column) = (self.next, column as u16);
        let sheet = self.workbook.worksheet_from_index(0)?;
        match cell {
            Cell::Empty => {}
            Cell::Boolean(value) => {
                sheet.write_boolean(row, column, *value)?;
            }
            Cell::Text(text) => {
                sheet.write_string(row, column, text)?;
            }
            Cell::Number { value, shown } => {
                match self.styles.of_column(column, *shown) {
                    Some(style) => sheet.write_number_with_format(row, column, *value, style)?,
                    None => sheet.write_number(row, column, *value)?,
                };
            }
        }
        Ok(())
    }

    fn check_length(&self, row: u32, column: usize, text: &str) -> Result<(), Fault> {
        // No character is fewer bytes than it is units of UTF-16.
        if text.len() <= MOST_CHARACTERS {
            return Ok(());
        }
        match text.encode_utf16().count() {
            0..=MOST_CHARACTERS => Ok(()),
            units => Err(too_much_text(row, &self.names[column], units)),
        }
    }

    /// Packs the workbook.
    fn pack(mut self, mut pieces: Pieces) -> Result<(), Fault> {
        self.set_widths()
            .and_then(|()| self.workbook.save_to_writer(&mut pieces))
            .map_err(|error| self.unwritable(error))?;
        pieces.flush().map_err(|error| fault::io(&error, &self.scratch))
    }

    fn set_widths(&mut self) -> Result<(), XlsxError> {
        for (column, width) in self.widths.clone().into_iter().enumerate() {
            let width = (width + 2).clamp(*WIDTHS.start(), *WIDTHS.end());
            self.worksheet()?.set_column_width(column as u16, width as f64)?;
        }
        Ok(())
    }

    fn unwritable(&self, error: XlsxError) -> Fault {
        match error {
            XlsxError::IoError(error) | XlsxError::TempFileError(_, error) => fault::io(&error, &self.scratch),
            XlsxError::ZipError(error) => limit(
                format!("the result cannot be packed as an Excel workbook: {error}"),
                "ask for fewer rows or columns, or write CSV or Parquet (`-o csv`, `-o parquet`)",
                codes::EXCEL_LIMIT,
            ),
            other => limit(
                format!("the result cannot be written as an Excel workbook: {other}"),
                "write it as CSV meanwhile (`-o csv`), and please report this with the query",
                codes::BUG,
            ),
        }
    }
}

/// The bytes of a workbook, on their way out of its thread.
struct Pieces {
    sender: mpsc::Sender<Vec<u8>>,
    gathered: Vec<u8>,
}

impl Pieces {
    fn send(&mut self) -> io::Result<()> {
        let piece = std::mem::take(&mut self.gathered);
        let sent = self.sender.blocking_send(piece);
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= CHUNK_BYTES {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() { Ok(()) } else { self.send() }
    }
}

/// The library ends its thread where the file of the rows cannot be written.
fn broken(error: JoinError, scratch: &Path) -> Fault {
    let what = match error.try_into_panic() {
        Ok(panic) => panic.downcast_ref::<String>().cloned().unwrap_or_default(),
        Err(error) => error.to_string(),
    };
    let kind = if what.contains("StorageFull") {
        io::ErrorKind::StorageFull
    } else {
        io::ErrorKind::Other
    };
    fault::io(&io::Error::new(kind, what), scratch)
}

fn too_wide(columns: usize) -> Fault {
    limit(
        format!("the result has {columns} columns, and a sheet of Excel has {MOST_COLUMNS} at most"),
        "name fewer columns, or write CSV or Parquet (`-o csv`, `-o parquet`)",
        codes::EXCEL_LIMIT,
    )
}

fn too_long() -> Fault {
    let most = MOST_ROWS - 1;
    limit(
        format!("the result has more than {most} rows, and a sheet of Excel has {MOST_ROWS} with its header"),
        &format!("sum it up, take a part of it (`--limit {most}`), or write CSV or Parquet (`-o csv`, `-o parquet`)"),
        codes::EXCEL_LIMIT,
    )
}

fn too_much_text(row: u32, column: &str, characters: usize) -> Fault {
    let place = match row {
        0 => "the name of a column".to_owned(),
        row => format!("row {row} of `{column}`"),
    };
    limit(
        format!("{place} has {characters} characters, and a cell of Excel holds {MOST_CHARACTERS} at most"),
        "cut it (`left(column, 32767)`), leave the column out, or write CSV or Parquet (`-o csv`, `-o parquet`)",
        codes::EXCEL_LIMIT,
    )
}

fn limit(message: String, remedy: &str, code: Code) -> Fault {
    Box::new(Diagnostic::error(code, message).with_remedy(remedy))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Int64Array};

    use super::*;

    #[test]
    fn a_sheet_ends_where_excel_ends() {
        let numbers = Arc::new(Int64Array::from_iter_values(0..2)) as ArrayRef;
        let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
        let mut sheet = Sheet::new(&batch.schema(), &Zone::UTC, &std::env::temp_dir()).unwrap();
        sheet.next = MOST_ROWS - 2;
        sheet.take(&batch).unwrap();
        let fault = sheet.take(&batch).unwrap_err();
        assert_eq!(fault.code, codes::EXCEL_LIMIT);
        assert!(fault.message.contains("1048575 rows"), "{}", fault.message);
    }

    #[test]
    fn a_full_disk_is_told_from_other_ends_of_the_thread() {
        let scratch = Path::new("scratch");
        let panicked = |what: &'static str| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let ended = runtime.block_on(async {
                tokio::task::spawn_blocking(move || std::panic::resume_unwind(Box::new(what.to_owned()))).await
            });
            broken(ended.unwrap_err(), scratch).code
        };
        assert_eq!(
            panicked("Couldn't write: Os { code: 28, kind: StorageFull }"),
            codes::DISK_FULL
        );
        assert_eq!(panicked("Couldn't write: Os { code: 5 }"), codes::DISK_FAILED);
    }
}
