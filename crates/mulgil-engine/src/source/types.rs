//! Column types: what a first look infers from text, and which type can become which without loss.

use datafusion::arrow::datatypes::{DataType, TimeUnit};

use super::{
    cell::Cell,
    time,
    words::{instant_type, short_words},
};

/// What a column wants to see, after "is not"; `takes_civil` says that times need no offset.
pub(super) fn expected_words(data_type: &DataType, takes_civil: bool) -> String {
    match data_type {
        DataType::Int16 => "a whole number of 16 bits".to_owned(),
        DataType::Int32 => "a whole number of 32 bits".to_owned(),
        DataType::Int64 => "a whole number of 64 bits".to_owned(),
        DataType::Float32 | DataType::Float64 => "a number".to_owned(),
        DataType::Boolean => "true or false".to_owned(),
        DataType::Date32 => "a date (YYYY-MM-DD)".to_owned(),
        DataType::Timestamp(_, Some(_)) if takes_civil => "a timestamp (YYYY-MM-DDTHH:MM:SS)".to_owned(),
        DataType::Timestamp(_, None) => "a timestamp without an offset (YYYY-MM-DDTHH:MM:SS)".to_owned(),
        DataType::Timestamp(_, Some(_)) => "a timestamp with Z or an offset (YYYY-MM-DDTHH:MM:SSZ)".to_owned(),
        DataType::Decimal128(precision, scale) => {
            format!("a decimal number of at most {precision} digits, {scale} of them after the point")
        }
        DataType::Utf8 => "valid text".to_owned(),
        DataType::List(_) => "an array".to_owned(),
        DataType::Struct(_) => "an object".to_owned(),
        other => format!("a value of type {}", short_words(other)),
    }
}

/// What the values of a column have in common, as far as they were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Seen {
    /// Only NULL.
    #[default]
    Nothing,
    /// `true` and `false`.
    Boolean,
    /// Whole numbers of 64 bits, without leading zeros.
    Integer,
    /// Numbers.
    Number,
    /// `YYYY-MM-DD`.
    Date,
    /// Dates with a time and no offset.
    Timestamp,
    /// Dates with a time and an offset.
    Instant,
    /// Anything else.
    Text,
}

impl Seen {
    /// What one value is.
    pub(super) fn of(cell: Cell<'_>) -> Self {
        match cell {
            Cell::Null => Self::Nothing,
            Cell::Text(text) => Self::of_time(text),
            Cell::Plain(text) => Self::of_plain(text),
        }
    }

    /// What both have in common.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, seen) | (seen, Self::Nothing) => seen,
            (a, b) if a == b => a,
            (Self::Integer, Self::Number) | (Self::Number, Self::Integer) => Self::Number,
            (Self::Date, Self::Timestamp) | (Self::Timestamp, Self::Date) => Self::Timestamp,
            _ => Self::Text,
        }
    }

    /// What both have in common in an event-time column, where a zone makes instants of all times.
    pub(super) fn and_event_time(self, other: Self) -> Self {
        let is_time = |seen| matches!(seen, Self::Date | Self::Timestamp | Self::Instant);
        if self != other && is_time(self) && is_time(other) {
            Self::Instant
        } else {
            self.and(other)
        }
    }

    /// The type of a column whose values are so.
    pub(super) fn data_type(self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Integer => DataType::Int64,
            Self::Number => DataType::Float64,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Instant => instant_type(),
            Self::Nothing | Self::Text => DataType::Utf8,
        }
    }

    fn of_plain(text: &str) -> Self {
        if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
            return Self::Boolean;
        }
        let digits = text.strip_prefix('-').unwrap_or(text);
        let Some(first) = digits.bytes().next() else {
            return Self::Text;
        };
        if !first.is_ascii_digit() && first != b'.' {
            return Self::Text;
        }
        if digits.bytes().all(|byte| byte.is_ascii_digit()) {
            // More digits than fit mean a code too.
            let is_number = !is_code(text) && text.parse::<i64>().is_ok();
            return if is_number { Self::Integer } else { Self::Text };
        }
        if !is_code(text) && text.parse::<f64>().is_ok_and(f64::is_finite) {
            return Self::Number;
        }
        Self::of_time(text)
    }

    fn of_time(text: &str) -> Self {
        if time::parse_date(text).is_some() {
            return Self::Date;
        }
        match time::parse_timestamp(text) {
            Some(civil) if civil.offset_us.is_some() => Self::Instant,
            Some(_) => Self::Timestamp,
            None => Self::Text,
        }
    }
}

/// Whether digits begin as those of a code do (a postcode, a flight) and numbers do not: with a zero
/// before another digit.
pub(super) fn is_code(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    matches!(digits.as_bytes(), [b'0', next, ..] if next.is_ascii_digit())
}

/// The type that we keep a Parquet column in: encodings are undone, times are in microseconds.
pub(super) fn kept_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => kept_type(values),
        DataType::RunEndEncoded(_, values) => kept_type(values.data_type()),
        DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(_, Some(_)) => instant_type(),
        DataType::Date64 => DataType::Date32,
        DataType::Float16 => DataType::Float32,
        other => other.clone(),
    }
}

/// Whether every value of one kept type is also a value of the other.
pub(super) fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType::{Date32, Decimal128, Float32, Float64, Timestamp, Utf8};
    if from == to || matches!((from, to), (Float32, Float64) | (Date32, Timestamp(_, None))) {
        return true;
    }
    match (from, to) {
        (_, Utf8) => from.is_numeric() || matches!(from, DataType::Boolean | Date32),
        (Decimal128(p, s), Decimal128(q, t)) => {
            t >= s && i16::from(*q) - i16::from(*t) >= i16::from(*p) - i16::from(*s)
        }
        _ => match (integer_bits(from), integer_bits(to)) {
            (Some(bits), Some(wide)) => bits <= wide,
            (Some(bits), None) => match to {
                Float64 => bits <= 53,
                Float32 => bits <= 24,
                Decimal128(q, t) => i16::from(*q) - i16::from(*t) >= 19,
                _ => false,
            },
            (None, _) => false,
        },
    }
}

/// The bits of a signed type that holds every value.
fn integer_bits(data_type: &DataType) -> Option<u32> {
    Some(match data_type {
        DataType::Int8 => 8,
        DataType::UInt8 => 9,
        DataType::Int16 => 16,
        DataType::UInt16 => 17,
        DataType::Int32 => 32,
        DataType::UInt32 => 33,
        DataType::Int64 => 64,
        _ => return None,
    })
}
