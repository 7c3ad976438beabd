//! One value as text, the same in every format, and as JSON.

use std::fmt::Write as _;

use datafusion::arrow::{
    array::{Array, ArrayRef, AsArray, FixedSizeListArray, GenericListArray, MapArray, OffsetSizeTrait, StructArray},
    compute::cast,
    datatypes::{
        DataType, Date32Type, Date64Type, Float16Type, Float32Type, Float64Type, Int32Type, Int64Type, TimeUnit,
        TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    },
    util::display::{ArrayFormatter, FormatOptions},
};
use mulgil_core::{codes, diagnostic::Diagnostic, grid::Zone, port::Fault};

use crate::zone;

/// What a value's text is, for whoever has to quote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Nothing; no text was written.
    Null,
    /// Digits that are JSON too.
    Number,
    /// A number that JSON has not: `NaN`, `inf`.
    NotFinite,
    /// `true` or `false`.
    Boolean,
    /// Anything in words, dates and times among them.
    Text,
    /// JSON already.
    Nested,
}

/// Appends a value's text.
pub(super) fn append(out: &mut String, array: &ArrayRef, row: usize, zone: &Zone) -> Result<Form, Fault> {
    if array.is_null(row) {
        return Ok(Form::Null);
    }
    Ok(match array.data_type() {
        DataType::Null => Form::Null,
        DataType::Boolean => {
            out.push_str(if array.as_boolean().value(row) { "true" } else { "false" });
            Form::Boolean
        }
        DataType::Utf8 => text(out, array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => text(out, array.as_string::<i64>().value(row)),
        DataType::Utf8View => text(out, array.as_string_view().value(row)),
        DataType::Binary => hex(out, array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => hex(out, array.as_binary::<i64>().value(row)),
        DataType::BinaryView => hex(out, array.as_binary_view().value(row)),
        DataType::FixedSizeBinary(_) => hex(out, array.as_fixed_size_binary().value(row)),
        DataType::Float16 => float(out, f64::from(array.as_primitive::<Float16Type>().value(row))),
        DataType::Float32 => short_float(out, array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => float(out, array.as_primitive::<Float64Type>().value(row)),
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>().value(row);
            text(out, &zone::date_text(days))
        }
        DataType::Date64 => {
            let days = array.as_primitive::<Date64Type>().value(row).div_euclid(86_400_000);
            text(out, &zone::date_text(days))
        }
        DataType::Timestamp(unit, tz) => timestamp(out, timestamp_ns(array, row, *unit), tz.as_ref().map(|_| zone)),
        DataType::Int32 => integer(out, i64::from(array.as_primitive::<Int32Type>().value(row))),
        DataType::Int64 => integer(out, array.as_primitive::<Int64Type>().value(row)),
        DataType::Dictionary(_, values) => encoded(out, array, row, values, zone)?,
        DataType::RunEndEncoded(_, values) => encoded(out, array, row, values.data_type(), zone)?,
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(_, _)
        | DataType::Struct(_)
        | DataType::Map(_, _) => {
            append_json(out, array, row, zone)?;
            Form::Nested
        }
        other if other.is_numeric() => displayed(out, array, row, Form::Number)?,
        _ => displayed(out, array, row, Form::Text)?,
    })
}

/// Appends a value as JSON.
pub(super) fn append_json(out: &mut String, array: &ArrayRef, row: usize, zone: &Zone) -> Result<(), Fault> {
    if array.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    match array.data_type() {
        DataType::List(_) => json_list(out, array.as_list::<i32>(), row, zone),
        DataType::LargeList(_) => json_list(out, array.as_list::<i64>(), row, zone),
        DataType::FixedSizeList(_, _) => json_fixed_list(out, array.as_fixed_size_list(), row, zone),
        DataType::Struct(_) => json_struct(out, array.as_struct(), row, zone),
        DataType::Map(_, _) => json_map(out, array.as_map(), row, zone),
        _ => {
            let start = out.len();
            match append(out, array, row, zone)? {
                Form::Number | Form::Boolean | Form::Nested => {}
                Form::Null | Form::NotFinite => {
                    out.truncate(start);
                    out.push_str("null");
                }
                Form::Text => {
                    let text = quoted(&out[start..]);
                    out.truncate(start);
                    out.push_str(&text);
                }
            }
            Ok(())
        }
    }
}

/// Text as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn text(out: &mut String, text: &str) -> Form {
    out.push_str(text);
    Form::Text
}

fn integer(out: &mut String, value: i64) -> Form {
    let _ = write!(out, "{value}");
    Form::Number
}

/// A value of an array that stores its values once; undone for this row alone.
fn encoded(out: &mut String, array: &ArrayRef, row: usize, values: &DataType, zone: &Zone) -> Result<Form, Fault> {
    let plain = cast(&array.slice(row, 1), values).map_err(|error| unprintable(array, &error))?;
    append(out, &plain, 0, zone)
}

fn hex(out: &mut String, bytes: &[u8]) -> Form {
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
    Form::Text
}

/// The shortest digits that give the same number back.
fn float(out: &mut String, value: f64) -> Form {
    let _ = write!(out, "{value:?}");
    form_of(value.is_finite())
}

fn short_float(out: &mut String, value: f32) -> Form {
    let _ = write!(out, "{value:?}");
    form_of(value.is_finite())
}

fn form_of(is_finite: bool) -> Form {
    if is_finite { Form::Number } else { Form::NotFinite }
}

/// With a zone, an instant with its offset there; without one, a civil time.
fn timestamp(out: &mut String, ns: i128, zone: Option<&Zone>) -> Form {
    let shown = zone.map_or_else(|| zone::naive_text(ns), |zone| zone::instant_text(ns, zone));
    text(out, &shown)
}

/// A timestamp in nanoseconds since 1970.
pub(super) fn timestamp_ns(array: &ArrayRef, row: usize, unit: TimeUnit) -> i128 {
    let (value, scale) = match unit {
        TimeUnit::Second => (array.as_primitive::<TimestampSecondType>().value(row), 1_000_000_000),
        TimeUnit::Millisecond => (array.as_primitive::<TimestampMillisecondType>().value(row), 1_000_000),
        TimeUnit::Microsecond => (array.as_primitive::<TimestampMicrosecondType>().value(row), 1_000),
        TimeUnit::Nanosecond => (array.as_primitive::<TimestampNanosecondType>().value(row), 1),
    };
    i128::from(value) * scale
}

/// What Arrow prints: whole numbers, decimals, times of day, spans.
fn displayed(out: &mut String, array: &ArrayRef, row: usize, form: Form) -> Result<Form, Fault> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(array, &options).map_err(|error| unprintable(array, &error))?;
    write!(out, "{}", formatter.value(row)).map_err(|error| unprintable(array, &error))?;
    Ok(form)
}

/// That a value has no text.
pub(super) fn unprintable(array: &ArrayRef, error: &dyn std::fmt::Display) -> Fault {
    Diagnostic::error(
        codes::BUG,
        format!("a value of type {} cannot be printed: {error}", array.data_type()),
    )
    .with_remedy("cast the column to text in the query, and please report it")
    .into()
}

fn json_list<O: OffsetSizeTrait>(
    out: &mut String,
    array: &GenericListArray<O>,
    row: usize,
    zone: &Zone,
) -> Result<(), Fault> {
    json_items(out, &array.value(row), zone)
}

fn json_fixed_list(out: &mut String, array: &FixedSizeListArray, row: usize, zone: &Zone) -> Result<(), Fault> {
    json_items(out, &array.value(row), zone)
}

fn json_items(out: &mut String, items: &ArrayRef, zone: &Zone) -> Result<(), Fault> {
    out.push('[');
    for index in 0..items.len() {
        if index > 0 {
            out.push(',');
        }
        append_json(out, items, index, zone)?;
    }
    out.push(']');
    Ok(())
}

fn json_struct(out: &mut String, array: &StructArray, row: usize, zone: &Zone) -> Result<(), Fault> {
    out.push('{');
    for (index, (field, column)) in array.fields().iter().zip(array.columns()).enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(&quoted(field.name()));
        out.push(':');
        append_json(out, column, row, zone)?;
    }
    out.push('}');
    Ok(())
}

/// A map is an object; keys that are no text are their text.
fn json_map(out: &mut String, array: &MapArray, row: usize, zone: &Zone) -> Result<(), Fault> {
    let entries = array.value(row);
    let (keys, values) = (entries.column(0), entries.column(1));
    out.push('{');
    for index in 0..entries.len() {
        if index > 0 {
            out.push(',');
        }
        let mut key = String::new();
        append(&mut key, keys, index, zone)?;
        out.push_str(&quoted(&key));
        out.push(':');
        append_json(out, values, index, zone)?;
    }
    out.push('}');
    Ok(())
}
