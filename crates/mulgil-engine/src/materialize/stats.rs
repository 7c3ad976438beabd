//! Delta's statistics of a data file, taken from its Parquet footer: rows, NULLs, least and greatest
//! values. What a footer does not know exactly is left out: a missing bound costs time, a wrong one rows.

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, BooleanArray},
        compute::{cast, max, max_string, min, min_string, sum},
        datatypes::{
            DataType, Date32Type, Decimal128Type, Field, Int64Type, SchemaRef, TimestampMicrosecondType, UInt64Type,
        },
    },
    parquet::{arrow::arrow_reader::statistics::StatisticsConverter, file::metadata::ParquetMetaData},
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::zone::date_text;

/// Columns that have statistics, whatever their type; Delta's own default.
const COLUMNS: usize = 32;
/// Text longer than this has no bounds.
const TEXT_BYTES: usize = 64;
/// Digits up to which a decimal is a JSON number without loss.
const EXACT_DIGITS: u8 = 15;

/// The statistics of a closed file, as the JSON text that an `add` action carries.
pub(crate) fn of(metadata: &ParquetMetaData, schema: &SchemaRef) -> String {
    let (mut least, mut greatest, mut nulls) = (Map::new(), Map::new(), Map::new());
    let fields = schema.fields().iter().enumerate();
    for (_, field) in fields.filter(|(place, field)| *place < COLUMNS || is_time(field)) {
        let Some(column) = column(metadata, schema, field) else {
            continue;
        };
        nulls.insert(field.name().clone(), json!(column.null_count));
        if let Some((from, to)) = column.bounds {
            least.insert(field.name().clone(), from);
            greatest.insert(field.name().clone(), to);
        }
    }
    json!({
        "numRecords": metadata.file_metadata().num_rows(),
        "minValues": least,
        "maxValues": greatest,
        "nullCount": nulls,
    })
    .to_string()
}

/// Whether it is a time: fills and scopes tell files apart by `_interval`, which stands last, and by
/// the event time, so times have bounds wherever they stand.
fn is_time(field: &Field) -> bool {
    matches!(field.data_type(), DataType::Timestamp(..) | DataType::Date32)
}

struct ColumnStats {
    null_count: u64,
    bounds: Option<(Value, Value)>,
}

fn column(metadata: &ParquetMetaData, schema: &SchemaRef, field: &Field) -> Option<ColumnStats> {
    if field.data_type().is_nested() {
        return None;
    }
    let groups = metadata.row_groups();
    let converter = StatisticsConverter::try_new(field.name(), schema, metadata.file_metadata().schema_descr()).ok()?;
    let null_counts = converter.row_group_null_counts(groups).ok()?;
    if null_counts.null_count() > 0 {
        return None;
    }
    let least = converter.row_group_mins(groups).ok()?;
    let greatest = converter.row_group_maxes(groups).ok()?;
    let is_exact = |flags: BooleanArray| flags.iter().all(|flag| flag == Some(true));
    let exact = is_exact(converter.row_group_is_min_value_exact(groups).ok()?)
        && is_exact(converter.row_group_is_max_value_exact(groups).ok()?);
    Some(ColumnStats {
        null_count: sum::<UInt64Type>(&null_counts).unwrap_or_default(),
        bounds: exact.then(|| bounds(&least, &greatest)).flatten(),
    })
}

/// The bounds over all row groups; nothing unless each has them.
fn bounds(least: &ArrayRef, greatest: &ArrayRef) -> Option<(Value, Value)> {
    if least.null_count() > 0 || greatest.null_count() > 0 {
        return None;
    }
    match least.data_type() {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            let (least, greatest) = (
                cast(least, &DataType::Int64).ok()?,
                cast(greatest, &DataType::Int64).ok()?,
            );
            Some((
                json!(min(least.as_primitive::<Int64Type>())?),
                json!(max(greatest.as_primitive::<Int64Type>())?),
            ))
        }
        DataType::Date32 => Some((
            json!(plain(date_text(min(least.as_primitive::<Date32Type>())?))?),
            json!(plain(date_text(max(greatest.as_primitive::<Date32Type>())?))?),
        )),
        DataType::Timestamp(_, zone) => {
            let text = |us: i64| time_text(us, zone.is_some());
            Some((
                json!(text(min(least.as_primitive::<TimestampMicrosecondType>())?)?),
                json!(text(max(greatest.as_primitive::<TimestampMicrosecondType>())?)?),
            ))
        }
        DataType::Decimal128(digits, scale) if *digits <= EXACT_DIGITS => {
            let number = |value: i128| json!(value as f64 / 10_f64.powi(i32::from(*scale)));
            Some((
                number(min(least.as_primitive::<Decimal128Type>())?),
                number(max(greatest.as_primitive::<Decimal128Type>())?),
            ))
        }
        DataType::Utf8 => {
            let (least, greatest) = (
                min_string(least.as_string::<i32>())?,
                max_string(greatest.as_string::<i32>())?,
            );
            (least.len() <= TEXT_BYTES && greatest.len() <= TEXT_BYTES).then(|| (json!(least), json!(greatest)))
        }
        // Floats have none: a footer passes over NaN, which SQL holds greater than all.
        _ => None,
    }
}

fn time_text(us: i64, is_instant: bool) -> Option<String> {
    let at = Timestamp::from_microsecond(us).ok()?;
    let text = at.strftime("%Y-%m-%dT%H:%M:%S%.6f").to_string();
    plain(if is_instant { text + "Z" } else { text })
}

/// A date or a time, if its year has four digits: others are not read alike everywhere.
fn plain(text: String) -> Option<String> {
    (!text.starts_with(['+', '-'])).then_some(text)
}
