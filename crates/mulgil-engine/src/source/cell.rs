//! From the text of one value to one slot of an Arrow column.

use std::sync::Arc;

use datafusion::arrow::{
    array::{
        ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder, Float64Builder, Int16Builder,
        Int32Builder, Int64Builder, RecordBatch, RecordBatchOptions, StringBuilder, TimestampMicrosecondBuilder,
    },
    datatypes::{DataType, SchemaRef, TimeUnit},
    error::ArrowError,
};
use mulgil_core::grid::Zone;

use super::{
    fault::Misfit,
    nested::{ListBuilder, StructBuilder},
    time,
};
use crate::zone::CivilClock;

/// One value as it stands in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cell<'a> {
    /// NULL.
    Null,
    /// What the format says is text: a JSON string.
    Text(&'a str),
    /// What may be of any type: a CSV field, a JSON number.
    Plain(&'a str),
}

/// One column that grows.
#[derive(Debug)]
pub(super) enum ColumnBuilder {
    /// `smallint`.
    Int16(Int16Builder),
    /// `integer`.
    Int32(Int32Builder),
    /// `bigint`.
    Int64(Int64Builder),
    /// `real`.
    Float32(Float32Builder),
    /// `double`.
    Float64(Float64Builder),
    /// `boolean`.
    Boolean(BooleanBuilder),
    /// `date`.
    Date(Date32Builder),
    /// `decimal(precision, scale)`.
    Decimal {
        /// Its values, times ten to the power of the scale.
        values: Decimal128Builder,
        /// Digits in all.
        precision: u8,
        /// Digits after the point.
        scale: u8,
    },
    /// `timestamp`.
    Civil(TimestampMicrosecondBuilder),
    /// `timestamptz`; with a clock, a time without an offset is the clock's.
    Instant {
        /// Microseconds since 1970.
        values: TimestampMicrosecondBuilder,
        /// The clock of the source's zone, for its event time.
        clock: Option<CivilClock>,
    },
    /// `text`.
    Text(StringBuilder),
    /// `struct<…>`.
    Struct(Box<StructBuilder>),
    /// `array<…>`.
    List(Box<ListBuilder>),
}

impl ColumnBuilder {
    /// A column of that type; `civil_zone` is where times without an offset are read, if they may
    /// stand in a `timestamptz`. Nothing for a type that no text file can have.
    pub(super) fn new(data_type: &DataType, civil_zone: Option<&Zone>) -> Option<Self> {
        Some(match data_type {
            DataType::Int16 => Self::Int16(Int16Builder::new()),
            DataType::Int32 => Self::Int32(Int32Builder::new()),
            DataType::Int64 => Self::Int64(Int64Builder::new()),
            DataType::Float32 => Self::Float32(Float32Builder::new()),
            DataType::Float64 => Self::Float64(Float64Builder::new()),
            DataType::Boolean => Self::Boolean(BooleanBuilder::new()),
            DataType::Date32 => Self::Date(Date32Builder::new()),
            DataType::Decimal128(precision, scale) => Self::Decimal {
                values: Decimal128Builder::new().with_data_type(data_type.clone()),
                precision: *precision,
                scale: u8::try_from(*scale).ok()?,
            },
            DataType::Timestamp(TimeUnit::Microsecond, None) => Self::Civil(TimestampMicrosecondBuilder::new()),
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => Self::Instant {
                values: TimestampMicrosecondBuilder::new().with_data_type(data_type.clone()),
                clock: civil_zone.map(CivilClock::new),
            },
            DataType::Utf8 => Self::Text(StringBuilder::new()),
            DataType::Struct(fields) => Self::Struct(Box::new(StructBuilder::new(fields)?)),
            DataType::List(element) => Self::List(Box::new(ListBuilder::new(element)?)),
            _ => return None,
        })
    }

    /// Whether a quoted empty field is a value of it.
    pub(super) fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    /// Adds a value without parts, or says that it is none of the type.
    pub(super) fn append(&mut self, cell: Cell<'_>) -> Result<(), Misfit> {
        let text = match cell {
            Cell::Null => {
                self.append_null();
                return Ok(());
            }
            Cell::Text(_) if !self.takes_text() => return Err(Misfit),
            Cell::Text(text) | Cell::Plain(text) => text,
        };
        match self {
            Self::Int16(values) => values.append_value(text.parse().map_err(|_| Misfit)?),
            Self::Int32(values) => values.append_value(text.parse().map_err(|_| Misfit)?),
            Self::Int64(values) => values.append_value(text.parse().map_err(|_| Misfit)?),
            Self::Float32(values) => values.append_value(text.parse().map_err(|_| Misfit)?),
            Self::Float64(values) => values.append_value(text.parse().map_err(|_| Misfit)?),
            Self::Boolean(values) => values.append_value(parse_boolean(text).ok_or(Misfit)?),
            Self::Date(values) => values.append_value(time::parse_date(text).ok_or(Misfit)?),
            Self::Decimal {
                values,
                precision,
                scale,
            } => values.append_value(parse_decimal(text, *precision, *scale).ok_or(Misfit)?),
            Self::Civil(values) => {
                let civil = time::parse_timestamp(text).ok_or(Misfit)?;
                if civil.offset_us.is_some() {
                    return Err(Misfit);
                }
                values.append_value(civil.clock_us);
            }
            Self::Instant { values, clock } => values.append_value(parse_instant(text, clock.as_mut()).ok_or(Misfit)?),
            Self::Text(values) => values.append_value(text),
            Self::Struct(_) | Self::List(_) => return Err(Misfit),
        }
        Ok(())
    }

    /// The column so far; the builder starts anew.
    pub(super) fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Int16(values) => Arc::new(values.finish()),
            Self::Int32(values) => Arc::new(values.finish()),
            Self::Int64(values) => Arc::new(values.finish()),
            Self::Float32(values) => Arc::new(values.finish()),
            Self::Float64(values) => Arc::new(values.finish()),
            Self::Boolean(values) => Arc::new(values.finish()),
            Self::Date(values) => Arc::new(values.finish()),
            Self::Decimal { values, .. } => Arc::new(values.finish()),
            Self::Civil(values) | Self::Instant { values, .. } => Arc::new(values.finish()),
            Self::Text(values) => Arc::new(values.finish()),
            Self::Struct(objects) => objects.finish(),
            Self::List(arrays) => arrays.finish(),
        }
    }

    /// Adds NULL.
    pub(super) fn append_null(&mut self) {
        match self {
            Self::Int16(values) => values.append_null(),
            Self::Int32(values) => values.append_null(),
            Self::Int64(values) => values.append_null(),
            Self::Float32(values) => values.append_null(),
            Self::Float64(values) => values.append_null(),
            Self::Boolean(values) => values.append_null(),
            Self::Date(values) => values.append_null(),
            Self::Decimal { values, .. } => values.append_null(),
            Self::Civil(values) | Self::Instant { values, .. } => values.append_null(),
            Self::Text(values) => values.append_null(),
            Self::Struct(objects) => objects.append_null(),
            Self::List(arrays) => arrays.append_null(),
        }
    }

    /// Whether a JSON string may stand for a value of it: JSON has no dates, but it has numbers.
    fn takes_text(&self) -> bool {
        match self {
            Self::Date(_) | Self::Civil(_) | Self::Instant { .. } | Self::Text(_) => true,
            Self::Int16(_)
            | Self::Int32(_)
            | Self::Int64(_)
            | Self::Float32(_)
            | Self::Float64(_)
            | Self::Boolean(_)
            | Self::Decimal { .. }
            | Self::Struct(_)
            | Self::List(_) => false,
        }
    }
}

/// The columns of a batch that grows row by row.
#[derive(Debug)]
pub(super) struct BatchBuilder {
    schema: SchemaRef,
    /// The columns, in the order of the schema.
    pub columns: Vec<ColumnBuilder>,
    /// Rows so far.
    pub rows: usize,
}

impl BatchBuilder {
    /// Of a schema, with a builder for each of its columns.
    pub(super) fn new(schema: SchemaRef, columns: Vec<ColumnBuilder>) -> Self {
        Self {
            schema,
            columns,
            rows: 0,
        }
    }

    /// The rows so far; the next batch starts.
    pub(super) fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        let columns = self.columns.iter_mut().map(ColumnBuilder::finish).collect();
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
    }
}

/// An instant in microseconds; a time without an offset needs the clock that shows it.
pub(super) fn parse_instant(text: &str, clock: Option<&mut CivilClock>) -> Option<i64> {
    let civil = time::parse_timestamp(text)?;
    match civil.offset_us {
        Some(offset) => Some(civil.clock_us - offset),
        None => clock?.instant_us(civil.clock_us),
    }
}

fn parse_boolean(text: &str) -> Option<bool> {
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    if is("true") || is("t") || is("1") {
        Some(true)
    } else if is("false") || is("f") || is("0") {
        Some(false)
    } else {
        None
    }
}

/// A decimal number times ten to the power of the scale; nothing when digits would be lost.
fn parse_decimal(text: &str, precision: u8, scale: u8) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let fraction = if fraction.len() > usize::from(scale) {
        fraction.trim_end_matches('0')
    } else {
        fraction
    };
    let missing = usize::from(scale).checked_sub(fraction.len())?;
    let zeros = std::iter::repeat_n(b'0', missing);
    let value = whole
        .bytes()
        .chain(fraction.bytes())
        .chain(zeros)
        .try_fold(0_i128, |sum, byte| {
            let digit = byte.is_ascii_digit().then(|| i128::from(byte - b'0'))?;
            sum.checked_mul(10)?.checked_add(digit)
        })?;
    (value < 10_i128.pow(u32::from(precision))).then_some(if negative { -value } else { value })
}
