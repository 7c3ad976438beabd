//! Rows of Parquet files: the same columns by name, cast to the types that the source has where
//! nothing is lost by it.

use std::{error::Error, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray},
        compute::{CastOptions, cast_with_options, filter_record_batch},
        datatypes::{DataType, Date32Type, SchemaRef, TimeUnit, TimestampMicrosecondType},
        error::ArrowError,
    },
    parquet::{
        arrow::{
            ParquetRecordBatchStreamBuilder, ProjectionMask,
            arrow_reader::{ArrowReaderBuilder, ParquetRecordBatchReaderBuilder},
        },
        errors::ParquetError,
    },
};
use mulgil_core::{codes, grid::Zone, port::Fault};

use super::{
    event::{EventKind, Verdict},
    fault::{ColumnSpec, Origin, RowPlace},
    files::Input,
    object::ObjectRows,
    reader::{BATCH_ROWS, Wanted, bug},
    types::{kept_type, widens},
};
use crate::{fault::hidden_inside, zone::CivilClock};

/// The rows of a Parquet file.
pub(super) struct ParquetRows {
    reader: Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>,
    origin: Origin,
    wanted: Wanted,
    /// Rows before the current batch.
    rows_before: u64,
}

/// The columns of a Parquet file, in the types that we keep.
pub(super) fn schema_of(file: Input, origin: &Origin) -> Result<SchemaRef, Fault> {
    let schema = match file {
        Input::File(file) => ParquetRecordBatchReaderBuilder::try_new(file).map(|builder| builder.schema().clone()),
        Input::Object(object) => {
            let runtime = object.runtime().clone();
            let builder = runtime.block_on(ParquetRecordBatchStreamBuilder::new(object));
            builder.map(|builder| builder.schema().clone())
        }
    };
    schema.map_err(|error| damaged(origin, &error))
}

impl ParquetRows {
    /// Opens a file and finds its columns.
    pub(super) fn open(file: Input, origin: Origin, wanted: Wanted) -> Result<Self, Fault> {
        let to_fault = |error: ParquetError| damaged(&origin, &error);
        let reader: Box<dyn Iterator<Item = _> + Send> = match file {
            Input::File(file) => {
                let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(to_fault)?;
                let builder = Self::pick(builder, &origin, &wanted)?;
                Box::new(builder.build().map_err(to_fault)?)
            }
            Input::Object(object) => {
                let runtime = object.runtime().clone();
                let builder = runtime.block_on(ParquetRecordBatchStreamBuilder::new(object));
                let builder = Self::pick(builder.map_err(to_fault)?, &origin, &wanted)?;
                let rows = builder.build().map_err(to_fault)?;
                Box::new(ObjectRows { rows, runtime })
            }
        };
        Ok(Self {
            reader,
            origin,
            wanted,
            rows_before: 0,
        })
    }

    /// Picks the columns that are read, after a look at whether they are what they should be.
    fn pick<T>(
        builder: ArrowReaderBuilder<T>,
        origin: &Origin,
        wanted: &Wanted,
    ) -> Result<ArrowReaderBuilder<T>, Fault> {
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
            check_type(origin, column, field.data_type())?;
            roots.push(index);
        }
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        Ok(builder.with_projection(mask).with_batch_size(BATCH_ROWS))
    }

    /// The next rows; nothing at the end.
    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>, Fault> {
        let Some(batch) = self.reader.next() else {
            return Ok(None);
        };
        let batch = batch.map_err(|error| damaged(&self.origin, &error))?;
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

/// A file that cannot be read as it should, unless its store has failed.
fn damaged(origin: &Origin, why: &(dyn Error + 'static)) -> Fault {
    if let Some(fault) = hidden_inside(why).filter(|fault| fault.code != codes::DISK_FAILED) {
        return fault;
    }
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
