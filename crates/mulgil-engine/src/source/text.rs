//! Rows of text files: fields find their columns by name, each value its type, each row its
//! interval.

use std::collections::HashMap;

use datafusion::arrow::{array::RecordBatch, datatypes::DataType};
use mulgil_core::port::Fault;

use super::{
    cell::{BatchBuilder, Cell, ColumnBuilder},
    csv::{CsvFile, Nulls, Record},
    event::{EventCheck, Verdict},
    fault::{ColumnSpec, Misfit, Origin, RowPlace, Spot},
    files::Input,
    json::{JsonFile, Object},
    reader::{BATCH_ROWS, Wanted, bug},
};

/// Bytes of a file that a batch is made of at most, rows that were passed over among them, and one
/// record more.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// The rows of a CSV file.
pub(super) struct CsvRows {
    csv: CsvFile,
    table: Table,
    /// The field of each column that comes out.
    fields: Vec<usize>,
    /// The field of the event time, where it is checked.
    event_field: usize,
}

/// The rows of a file of JSON lines.
pub(super) struct JsonRows {
    json: JsonFile,
    table: Table,
    /// The column of each key; the event time has the one after the last.
    by_key: HashMap<String, Vec<usize>>,
    /// The entry of each column in the current object.
    entries: Vec<Option<usize>>,
}

/// What both grow.
struct Table {
    origin: Origin,
    wanted: Wanted,
    batch: BatchBuilder,
    batch_bytes: usize,
    scratch: String,
}

impl CsvRows {
    /// Opens a file and finds its columns.
    pub(super) fn open(file: Input, origin: Origin, delimiter: u8, nulls: Nulls, wanted: Wanted) -> Result<Self, Fault> {
        let csv = CsvFile::open(file, origin.clone(), delimiter, nulls)?;
        for name in &wanted.all {
            if !csv.header.contains(name) {
                return Err(origin.missing_column(name, &csv.header, wanted.declared.contains(name)));
            }
        }
        let field_of = |name: &str| csv.header.iter().position(|header| header == name).unwrap_or_default();
        let fields = wanted.columns.iter().map(|column| field_of(&column.name)).collect();
        let event_field = wanted.event_column.as_ref().map_or(0, |column| field_of(&column.name));
        Ok(Self {
            table: Table::new(origin, wanted)?,
            csv,
            fields,
            event_field,
        })
    }

    /// The next rows, which may be none; nothing at the end.
    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>, Fault> {
        while !self.table.is_full() {
            let Some(record) = self.csv.next()? else {
                return self.table.finish_last();
            };
            self.table.add_record(&record, &self.fields, self.event_field)?;
        }
        self.table.finish().map(Some)
    }
}

impl JsonRows {
    /// Opens a file.
    pub(super) fn open(file: Input, origin: Origin, wanted: Wanted) -> Result<Self, Fault> {
        let mut by_key: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, column) in wanted.columns.iter().chain(&wanted.event_column).enumerate() {
            by_key.entry(column.name.clone()).or_default().push(index);
        }
        Ok(Self {
            json: JsonFile::open(file, origin.clone())?,
            entries: vec![None; wanted.columns.len() + 1],
            table: Table::new(origin, wanted)?,
            by_key,
        })
    }

    /// The next rows, which may be none; nothing at the end.
    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>, Fault> {
        while !self.table.is_full() {
            let Some(object) = self.json.next()? else {
                return self.table.finish_last();
            };
            self.entries.fill(None);
            for (entry, (key, _)) in object.entries.iter().enumerate() {
                for column in self.by_key.get(&**key).into_iter().flatten() {
                    self.entries[*column] = Some(entry);
                }
            }
            self.table.add_object(&object, &self.entries)?;
        }
        self.table.finish().map(Some)
    }
}

impl Table {
    fn new(origin: Origin, wanted: Wanted) -> Result<Self, Fault> {
        let columns = wanted
            .columns
            .iter()
            .map(|column| {
                ColumnBuilder::new(&column.data_type, column.civil_zone.as_ref())
                    .ok_or_else(|| origin.type_changed(&column.name, &DataType::Utf8, &column.data_type))
            })
            .collect::<Result<Vec<_>, Fault>>()?;
        Ok(Self {
            batch: BatchBuilder::new(wanted.schema.clone(), columns),
            origin,
            wanted,
            batch_bytes: 0,
            scratch: String::new(),
        })
    }

    fn is_full(&self) -> bool {
        self.batch.rows >= BATCH_ROWS || self.batch_bytes >= BATCH_BYTES
    }

    /// The rows so far. Where all were passed over they are none, which is not the end: whoever
    /// waits learns that the file is being read, and may turn away.
    fn finish(&mut self) -> Result<RecordBatch, Fault> {
        self.batch_bytes = 0;
        self.batch.finish().map_err(|error| bug(&error.to_string()))
    }

    /// The rows before the end of the file; nothing when there are none.
    fn finish_last(&mut self) -> Result<Option<RecordBatch>, Fault> {
        (self.batch.rows > 0).then(|| self.finish()).transpose()
    }

    fn add_record(&mut self, record: &Record<'_>, fields: &[usize], event_field: usize) -> Result<(), Fault> {
        self.batch_bytes += record.bytes();
        if let (Some(check), Some(column)) = (&mut self.wanted.check, &self.wanted.event_column) {
            let cell = record.cell(event_field, false, &mut self.scratch);
            let spot = || record.spot(event_field);
            if !is_wanted(check, &self.origin, column, cell, spot)? {
                return Ok(());
            }
        }
        for ((builder, column), field) in self.batch.columns.iter_mut().zip(&self.wanted.columns).zip(fields) {
            let cell = record.cell(*field, builder.is_text(), &mut self.scratch);
            if column.takes_for_code(text_of(cell)) || builder.append(cell) == Err(Misfit) {
                return Err(self.origin.misfit(record.spot(*field), column, text_of(cell)));
            }
        }
        self.batch.rows += 1;
        Ok(())
    }

    fn add_object(&mut self, object: &Object<'_>, entries: &[Option<usize>]) -> Result<(), Fault> {
        self.batch_bytes += object.bytes();
        let (columns, event_entry) = entries.split_at(self.wanted.columns.len());
        let event_entry = event_entry.first().copied().flatten();
        if let (Some(check), Some(column)) = (&mut self.wanted.check, &self.wanted.event_column) {
            let spot = || event_entry.map_or_else(|| object.start(), |entry| object.spot(entry));
            let cell = match event_entry {
                None => Ok(Cell::Null),
                Some(entry) => object.cell(entry, &mut self.scratch),
            };
            let cell = cell.map_err(|Misfit| self.origin.misfit(spot(), column, ""))?;
            if !is_wanted(check, &self.origin, column, cell, spot)? {
                return Ok(());
            }
        }
        for ((builder, column), entry) in self.batch.columns.iter_mut().zip(&self.wanted.columns).zip(columns) {
            let cell = match entry {
                None => Ok(Cell::Null),
                Some(entry) => object.cell(*entry, &mut self.scratch),
            };
            if cell.and_then(|cell| builder.append(cell)) == Err(Misfit) {
                let entry = entry.unwrap_or_default();
                return Err(self.origin.misfit(object.spot(entry), column, object.entries[entry].1));
            }
        }
        self.batch.rows += 1;
        Ok(())
    }
}

/// Whether a row with that event time is read; a row that must be and cannot is a fault.
fn is_wanted(
    check: &mut EventCheck,
    origin: &Origin,
    column: &ColumnSpec,
    cell: Cell<'_>,
    spot: impl Fn() -> Spot,
) -> Result<bool, Fault> {
    let value = check
        .value(cell)
        .map_err(|Misfit| origin.misfit(spot(), column, text_of(cell)))?;
    let verdict = value.map_or(Verdict::Outside, |value| check.verdict(value));
    match verdict {
        Verdict::Take => Ok(true),
        Verdict::Pass => Ok(false),
        Verdict::Outside => Err(check.fault(origin, RowPlace::Text(spot()), value, Some(text_of(cell)))),
    }
}

fn text_of(cell: Cell<'_>) -> &str {
    match cell {
        Cell::Null => "",
        Cell::Text(text) | Cell::Plain(text) => text,
    }
}
