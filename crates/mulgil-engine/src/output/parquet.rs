//! A result as one Parquet file of standard types alone, so that every reader takes it: nested values
//! stay nested, instants are UTC, and what Parquet has no type for becomes its text. Holds the row
//! group that is being written.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use datafusion::{
    arrow::{
        array::RecordBatch,
        compute::{can_cast_types, cast},
        datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit},
    },
    parquet::{
        arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
        basic::{Compression, ZstdLevel},
        errors::ParquetError,
        file::properties::{EnabledStatistics, WriterProperties},
    },
};
use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    port::{ByteSink, Fault},
};

use super::{CHUNK_BYTES, Rows, distinct_names};

/// Rows after which a row group is ended.
const GROUP_ROWS: usize = 1 << 20;

/// Bytes in memory after which a row group is ended.
const GROUP_BYTES: usize = 64 << 20;

/// Writes all rows as one file.
pub(super) async fn write(rows: &mut Rows, sink: &mut dyn ByteSink) -> Result<(), Fault> {
    let schema = stored_schema(&rows.schema())?;
    let written = Written::default();
    let options = ArrowWriterOptions::new()
        .with_properties(properties())
        .with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(written.clone(), Arc::clone(&schema), options)
        .map_err(|error| unwritable(&error))?;
    while let Some(batch) = rows.next().await? {
        let batch = stored(&batch, &schema)?;
        writer.write(&batch).map_err(|error| unwritable(&error))?;
        if writer.memory_size() >= GROUP_BYTES {
            writer.flush().map_err(|error| unwritable(&error))?;
        }
        written.hand_over(sink).await?;
    }
    writer.close().map_err(|error| unwritable(&error))?;
    written.hand_over(sink).await
}

fn properties() -> WriterProperties {
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_created_by("mulgil".to_owned())
        .build()
}

/// The columns as they are stored: each name once, each type one that Parquet has.
fn stored_schema(schema: &SchemaRef) -> Result<SchemaRef, Fault> {
    let fields = schema.fields().iter().zip(distinct_names(schema)).map(|(field, name)| {
        let data_type = stored_type(field.data_type())
            .filter(|stored| stored == field.data_type() || can_cast_types(field.data_type(), stored))
            .ok_or_else(|| no_type(field))?;
        Ok(Field::new(name, data_type, true))
    });
    Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<_>, Fault>>()?)))
}

/// The type that Parquet stores values of a type with; none where it has none.
fn stored_type(data_type: &DataType) -> Option<DataType> {
    let item = |field: &FieldRef| stored_field(field).map(Arc::new);
    Some(match data_type {
        DataType::Null | DataType::Duration(_) | DataType::Interval(_) => DataType::Utf8,
        DataType::Float16 => DataType::Float32,
        DataType::Date64 => DataType::Date32,
        DataType::Time32(TimeUnit::Second) => DataType::Time32(TimeUnit::Millisecond),
        DataType::Timestamp(TimeUnit::Second, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone.clone()),
        DataType::Dictionary(_, values) => stored_type(values)?,
        DataType::RunEndEncoded(_, values) => stored_type(values.data_type())?,
        DataType::List(field) | DataType::ListView(field) => DataType::List(item(field)?),
        DataType::LargeList(field) | DataType::LargeListView(field) => DataType::LargeList(item(field)?),
        DataType::FixedSizeList(field, length) => DataType::FixedSizeList(item(field)?, *length),
        DataType::Struct(fields) if fields.is_empty() => return None,
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(stored_field).collect::<Option<_>>()?),
        DataType::Map(entries, sorted) => DataType::Map(item(entries)?, *sorted),
        DataType::Union(_, _) => return None,
        other => other.clone(),
    })
}

fn stored_field(field: &FieldRef) -> Option<Field> {
    let data_type = stored_type(field.data_type())?;
    Some(Field::new(field.name(), data_type, field.is_nullable()))
}

/// Rows as they are stored.
fn stored(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, Fault> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        if column.data_type() == field.data_type() {
            return Ok(Arc::clone(column));
        }
        cast(column, field.data_type()).map_err(|error| unwritable(&error.into()))
    });
    let columns = columns.collect::<Result<Vec<_>, Fault>>()?;
    let options = datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(|error| unwritable(&error.into()))
}

/// What the encoder wrote and nobody has taken yet.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    async fn hand_over(&self, sink: &mut dyn ByteSink) -> Result<(), Fault> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for piece in bytes.chunks(CHUNK_BYTES) {
            sink.write(piece).await?;
        }
        Ok(())
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn no_type(field: &Field) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::OUTPUT_TYPE,
            format!(
                "Parquet has no type for the column `{}`, which is {}",
                field.name(),
                field.data_type()
            ),
        )
        .with_remedy(format!(
            "leave the column out, or write it as text: `cast({} as varchar)`",
            field.name()
        )),
    )
}

fn unwritable(error: &ParquetError) -> Fault {
    Box::new(
        Diagnostic::error(codes::BUG, format!("the result cannot be encoded as Parquet: {error}"))
            .with_remedy("write it as CSV meanwhile (`-o csv`), and please report this with the query"),
    )
}
