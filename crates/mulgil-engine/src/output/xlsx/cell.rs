//! One value as Excel has it: a number with the form in which it is shown, a truth value, or text.

use std::collections::HashMap;

use datafusion::arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::cast,
    datatypes::{
        DataType, Date32Type, Date64Type, SchemaRef, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
        Time64NanosecondType, TimeUnit,
    },
};
use mulgil_core::{grid::Zone, port::Fault};
use rust_xlsxwriter::Format;
use unicode_width::UnicodeWidthStr;

use crate::{
    output::value::{self, Form},
    zone::civil_ns,
};

const NS_PER_SECOND: i64 = 1_000_000_000;
const NS_PER_DAY: i128 = 86_400 * NS_PER_SECOND as i128;
/// Significant digits of a number that Excel keeps.
const DIGITS: usize = 15;
/// Days since 1970 of 1900-01-01, the first that Excel has, and of the end of 9999, its last.
const DAYS: std::ops::Range<i64> = -25_567..2_932_897;
/// Days since 1970 of 1900-03-01: Excel counts a 29th of February before it that never was.
const AFTER_THE_GAP: i64 = -25_508;
/// Excel's number of 1970-01-01.
const EPOCH: i64 = 25_569;

/// A cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    /// NULL.
    Empty,
    /// A truth value.
    Boolean(bool),
    /// A number, and dates and times, which are numbers to Excel.
    Number {
        /// It.
        value: f64,
        /// As what it is shown.
        shown: Shown,
    },
    /// Anything else.
    Text(String),
}

/// As what a number is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// As Excel shows numbers.
    Plain,
    /// With the digits that its column's type has behind the point.
    Digits,
    /// A date.
    Date,
    /// A date with a time, to the second.
    DateTime,
    /// A date with a time, to the millisecond.
    DateTimeMillis,
    /// A time, to the second.
    Time,
    /// A time, to the millisecond.
    TimeMillis,
}

impl Shown {
    /// Cells of a terminal that it fills, where that does not depend on the value.
    fn width(self) -> Option<usize> {
        match self {
            Self::Plain | Self::Digits => None,
            Self::Date => Some(10),
            Self::DateTime => Some(19),
            Self::DateTimeMillis => Some(23),
            Self::Time => Some(8),
            Self::TimeMillis => Some(12),
        }
    }
}

impl Cell {
    /// Of a value.
    pub(super) fn of(array: &ArrayRef, row: usize, zone: &Zone) -> Result<Self, Fault> {
        if array.is_null(row) {
            return Ok(Self::Empty);
        }
        let dated = match array.data_type() {
            DataType::Boolean => return Ok(Self::Boolean(array.as_boolean().value(row))),
            DataType::Date32 => date(i64::from(array.as_primitive::<Date32Type>().value(row))),
            DataType::Date64 => date(array.as_primitive::<Date64Type>().value(row).div_euclid(86_400_000)),
            DataType::Timestamp(unit, tz) => {
                let ns = value::timestamp_ns(array, row, *unit);
                date_time(if tz.is_some() { civil_ns(ns, zone) } else { ns })
            }
            DataType::Time32(unit) | DataType::Time64(unit) => time(time_ns(array, row, *unit)),
            DataType::Dictionary(_, values) => return Self::encoded(array, row, values, zone),
            DataType::RunEndEncoded(_, values) => return Self::encoded(array, row, values.data_type(), zone),
            _ => None,
        };
        match dated {
            Some(cell) => Ok(cell),
            None => Self::of_text(array, row, zone),
        }
    }

    /// A value of an array that stores its values once; undone for this row alone.
    fn encoded(array: &ArrayRef, row: usize, values: &DataType, zone: &Zone) -> Result<Self, Fault> {
        let plain = cast(&array.slice(row, 1), values).map_err(|error| value::unprintable(array, &error))?;
        Self::of(&plain, 0, zone)
    }

    /// Of a value's text, which all formats share.
    fn of_text(array: &ArrayRef, row: usize, zone: &Zone) -> Result<Self, Fault> {
        let mut text = String::new();
        let is_float = array.data_type().is_floating();
        Ok(match value::append(&mut text, array, row, zone)? {
            Form::Null => Self::Empty,
            Form::Number if is_float || significant_digits(&text) <= DIGITS => match text.parse() {
                Ok(value) => Self::Number {
                    value,
                    shown: if is_float { Shown::Plain } else { Shown::Digits },
                },
                Err(_) => Self::Text(text),
            },
            Form::Number | Form::NotFinite | Form::Boolean | Form::Text | Form::Nested => Self::Text(text),
        })
    }

    /// About how many cells of a terminal it fills.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Boolean(_) => 5,
            Self::Number { value, shown } => shown.width().unwrap_or_else(|| value.to_string().len()),
            Self::Text(text) => text.lines().map(UnicodeWidthStr::width).max().unwrap_or_default(),
        }
    }
}

fn date(days: i64) -> Option<Cell> {
    let value = day_number(days)?;
    Some(Cell::Number {
        value,
        shown: Shown::Date,
    })
}

fn date_time(civil_ns: i128) -> Option<Cell> {
    let days = i64::try_from(civil_ns.div_euclid(NS_PER_DAY)).ok()?;
    let ns = civil_ns.rem_euclid(NS_PER_DAY) as i64;
    let is_whole = ns % NS_PER_SECOND == 0;
    Some(Cell::Number {
        value: day_number(days)? + part_of_day(ns),
        shown: if is_whole {
            Shown::DateTime
        } else {
            Shown::DateTimeMillis
        },
    })
}

fn time(ns: i64) -> Option<Cell> {
    let is_whole = ns % NS_PER_SECOND == 0;
    Some(Cell::Number {
        value: part_of_day(ns),
        shown: if is_whole { Shown::Time } else { Shown::TimeMillis },
    })
}

/// Excel's number of a day; none where it has none.
fn day_number(days: i64) -> Option<f64> {
    let number = EPOCH + days - i64::from(days < AFTER_THE_GAP);
    DAYS.contains(&days).then_some(number as f64)
}

fn part_of_day(ns: i64) -> f64 {
    ns as f64 / NS_PER_DAY as f64
}

fn time_ns(array: &ArrayRef, row: usize, unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => i64::from(array.as_primitive::<Time32SecondType>().value(row)) * NS_PER_SECOND,
        TimeUnit::Millisecond => i64::from(array.as_primitive::<Time32MillisecondType>().value(row)) * 1_000_000,
        TimeUnit::Microsecond => array.as_primitive::<Time64MicrosecondType>().value(row) * 1_000,
        TimeUnit::Nanosecond => array.as_primitive::<Time64NanosecondType>().value(row),
    }
}

/// Digits between the first and the last that is not zero.
fn significant_digits(number: &str) -> usize {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    digits.trim_matches('0').len()
}

/// How numbers are shown.
pub(super) struct Styles {
    /// The first row.
    pub(super) header: Format,
    dates: HashMap<&'static str, Format>,
    /// By column, for those whose types fix the digits behind the point.
    digits: Vec<Option<Format>>,
}

impl Styles {
    /// For the columns of a result.
    pub(super) fn of(schema: &SchemaRef) -> Self {
        let styles = [DATE, DATE_TIME, DATE_TIME_MILLIS, TIME, TIME_MILLIS];
        Self {
            header: Format::new().set_bold(),
            dates: styles.map(|style| (style, Format::new().set_num_format(style))).into(),
            digits: schema.fields().iter().map(|field| digits(field.data_type())).collect(),
        }
    }

    /// Of a number in a column.
    pub(super) fn of_column(&self, column: u16, shown: Shown) -> Option<&Format> {
        match shown {
            Shown::Plain => None,
            Shown::Digits => self.digits.get(usize::from(column))?.as_ref(),
            Shown::Date => self.dates.get(DATE),
            Shown::DateTime => self.dates.get(DATE_TIME),
            Shown::DateTimeMillis => self.dates.get(DATE_TIME_MILLIS),
            Shown::Time => self.dates.get(TIME),
            Shown::TimeMillis => self.dates.get(TIME_MILLIS),
        }
    }
}

const DATE: &str = "yyyy-mm-dd";
const DATE_TIME: &str = "yyyy-mm-dd hh:mm:ss";
const DATE_TIME_MILLIS: &str = "yyyy-mm-dd hh:mm:ss.000";
const TIME: &str = "hh:mm:ss";
const TIME_MILLIS: &str = "hh:mm:ss.000";

/// Whole numbers and decimals are shown whole: Excel itself would write long ones as powers of ten.
fn digits(data_type: &DataType) -> Option<Format> {
    let scale = match data_type {
        DataType::Dictionary(_, values) => return digits(values),
        DataType::RunEndEncoded(_, values) => return digits(values.data_type()),
        other if other.is_integer() => 0,
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => (*scale).clamp(0, 30) as usize,
        _ => return None,
    };
    let style = if scale == 0 {
        "0".to_owned()
    } else {
        format!("0.{}", "0".repeat(scale))
    };
    Some(Format::new().set_num_format(style))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_the_numbers_that_excel_gives_them() {
        for (days, number) in [
            (-25_568, None),
            (-25_567, Some(1.0)),
            (-25_509, Some(59.0)),
            (-25_508, Some(61.0)),
            (0, Some(25_569.0)),
            (2_932_896, Some(2_958_465.0)),
            (2_932_897, None),
        ] {
            assert_eq!(day_number(days), number, "{days}");
        }
    }

    #[test]
    fn digits_are_counted_from_the_first_to_the_last_that_counts() {
        for (text, count) in [
            ("0", 0),
            ("-12.50", 3),
            ("0.000123", 3),
            ("1000000000000000000", 1),
            ("9007199254740993", 16),
        ] {
            assert_eq!(significant_digits(text), count, "{text}");
        }
    }
}
