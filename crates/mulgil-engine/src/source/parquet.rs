//! Rows of Parquet files: the same columns by name, cast to the types that the source has where
//! nothing is lost by it.

use std::{fs::File, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray},
        compute::{CastOptions, cast_with_options, filter_record_batch},
        datatypes::{DataType, Date32Type, SchemaRef, TimeUnit, TimestampMicrosecondType},
        error::ArrowError,
    },
    parquet::arrow::{
        ProjectionMask,
        arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
    },
};
use mulgil_core::{grid::Zone, port::Fault};

use super::{
    event::{EventKind, Verdict},
    fault::{ColumnSpec, Origin, RowPlace},
    reader::{BATCH_ROWS, Wanted, bug},
    types::{kept_type, widens},
};
use crate::zone::CivilClock;

/// The rows of a Parquet file.
pub(super) struct ParquetRows {
    reader: ParquetRecordBatchReader,
    origin: Origin,
    wanted: Wanted,
    /// Rows before the current batch.
    rows_before: u64,
}

/// The columns of a Parquet file, in the types that we keep.
pub(super) fn schema_of(file: File, origin: &Origin) -> Result<SchemaRef, Fault> {
    let builder = open(file, origin)?;
    Ok(builder.schema().clone())
}

impl ParquetRows {
    /// Opens a file and finds its columns.
    pub(super) fn open(file: File, origin: Origin, wanted: Wanted) -> Result<Self, Fault> {
        let builder = open(file, &origin)?;
        let schema = builder.schema().clone();
        for name in &wanted.all {
            if schema.column_with_name(name).is_none() {
                let has: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
                return Err(origin.missing_column(name, &has, wanted.declared.contains(name)));
            }
        }
        let checked = wanted.event_column.iter().filter(|_| wanted.check.is_some());
        let mut roots = Vec::new();
        for column in wanted.columns.iter().chain(checked) {
            let Some((index, field)) = schema.column_with_name(&column.name) else {
                continue;
            };
            check_type(&origin, column, field.data_type())?;
            roots.push(index);
        }
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let reader = builder
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS)
            .build()
            .map_err(|error| damaged(&origin, &error.to_string()))?;
        Ok(Self {
            reader,
            origin,
            wanted,
            rows_before: 0,
        })
    }

    /// The next rows; nothing at the end.
    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>, Fault> {
        let Some(batch) = self.reader.next() else {
            return Ok(None);
        };
        let batch = batch.map_err(|error| damaged(&self.origin, &error.to_string()))?;
        let columns = self
            .wanted
            .columns
            .iter()
            .map(|column| self.column(&batch, column))
            .collect::<Result<Vec<_>, Fault>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let kept = RecordBatch::try_new_with_options(self.wanted.schema.clone(), columns, &options)
            .map_err(|error| bug(&error.to_string()))?;
        let kept = match self.passed(&batch)? {
            None => kept,
            Some(mask) => filter_record_batch(&kept, &mask).map_err(|error| bug(&error.to_string()))?,
        };
        self.rows_before += batch.num_rows() as u64;
        Ok(Some(kept))
    }

    /// A column in the source's type.
    fn column(&self, batch: &RecordBatch, column: &ColumnSpec) -> Result<ArrayRef, Fault> {
        let array = batch
            .column_by_name(&column.name)
            .ok_or_else(|| bug(&format!("column `{}` was not read", column.name)))?;
        convert(array, &column.data_type, column.civil_zone.as_ref()).map_err(|error| {
            self.origin.broken_file(
                None,
                format!(
                    "a value of column `{}` among the rows from {} does not fit its type: {error}",
                    column.name,
                    self.rows_before + 1
                ),
                "write the file again with the column's type",
            )
        })
    }

    /// Which rows are read; nothing where all are. A row that must be and cannot is a fault.
    fn passed(&self, batch: &RecordBatch) -> Result<Option<BooleanArray>, Fault> {
        let (Some(check), Some(column)) = (&self.wanted.check, &self.wanted.event_column) else {
            return Ok(None);
        };
        let array = self.column(batch, column)?;
        let mut mask = Vec::with_capacity(array.len());
        for (index, value) in event_values(&array, check.event.kind).enumerate() {
            let verdict = value.map_or(Verdict::Outside, |value| check.verdict(value));
            match verdict {
                Verdict::Take => mask.push(true),
                Verdict::Pass => mask.push(false),
                Verdict::Outside => {
                    let row = RowPlace::Number(self.rows_before + index as u64 + 1);
                    return Err(check.fault(&self.origin, row, value, None));
                }
            }
        }
        Ok(Some(mask.into()))
    }
}

/// The values of an event-time column in its own unit.
pub(super) fn event_values(array: &ArrayRef, kind: EventKind) -> Box<dyn Iterator<Item = Option<i64>> + '_> {
    match kind {
        EventKind::Instant => Box::new(array.as_primitive::<TimestampMicrosecondType>().iter()),
        EventKind::Date => Box::new(
            array
                .as_primitive::<Date32Type>()
                .iter()
                .map(|days| days.map(i64::from)),
        ),
    }
}

fn open(file: File, origin: &Origin) -> Result<ParquetRecordBatchReaderBuilder<File>, Fault> {
    ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| damaged(origin, &error.to_string()))
}

fn damaged(origin: &Origin, why: &str) -> Fault {
    origin.broken_file(
        None,
        format!("the file is no whole Parquet file: {why}"),
        "write it again, or wait until it is written",
    )
}

/// Whether the file's type of a column can become the source's without loss.
fn check_type(origin: &Origin, column: &ColumnSpec, found: &DataType) -> Result<(), Fault> {
    let kept = kept_type(found);
    let is_civil_event = column.civil_zone.is_some()
        && matches!(kept, DataType::Timestamp(_, None))
        && matches!(column.data_type, DataType::Timestamp(_, Some(_)));
    if *found == DataType::Null || is_civil_event || widens(&kept, &column.data_type) {
        Ok(())
    } else {
        Err(origin.type_changed(&column.name, found, &column.data_type))
    }
}

/// An array in another type; naive times become instants by the zone's clock.
fn convert(array: &ArrayRef, to: &DataType, civil_zone: Option<&Zone>) -> Result<ArrayRef, ArrowError> {
    let strict = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    let (DataType::Timestamp(_, None), DataType::Timestamp(_, Some(_)), Some(zone)) =
        (array.data_type(), to, civil_zone)
    else {
        return cast_with_options(array, to, &strict);
    };
    let civil = cast_with_options(array, &DataType::Timestamp(TimeUnit::Microsecond, None), &strict)?;
    let mut clock = CivilClock::new(zone);
    let instants: TimestampMicrosecondArray = civil
        .as_primitive::<TimestampMicrosecondType>()
        .iter()
        .map(|value| value.and_then(|value| clock.instant_us(value)))
        .collect();
    Ok(Arc::new(instants.with_data_type(to.clone())))
}
