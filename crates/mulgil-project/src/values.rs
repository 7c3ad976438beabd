//! Words in configuration: spans of time, instants, zones, crons, windows, keys, names.

use jiff::{
    Timestamp,
    civil::{Date, DateTime},
};
use mulgil_core::{
    codes,
    cron::Cron,
    diagnostic::{Diagnostic, Place},
    grid::{Unit, Zone},
    interval::Instant,
};
use serde_json::Value as Json;

use crate::text;

/// Reads a span of time such as `3d` or `12 hours`, in microseconds. A day is 24 hours.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
    let count: i64 = text[..digits].parse().ok()?;
    let seconds = match text[digits..].trim() {
        "s" | "second" | "seconds" => 1,
        "m" | "min" | "minute" | "minutes" => 60,
        "h" | "hour" | "hours" => 3600,
        "d" | "day" | "days" => 86_400,
        "w" | "week" | "weeks" => 604_800,
        _ => return None,
    };
    count.checked_mul(seconds)?.checked_mul(1_000_000)
}

/// Reads `2022-01-01`, `2022-01-01 05:00`, with or without an offset; without one in the zone.
pub(crate) fn parse_instant(text: &str, zone: &Zone) -> Option<Instant> {
    let text = text.trim();
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(Instant::from_timestamp(timestamp));
    }
    let civil = text
        .parse::<DateTime>()
        .ok()
        .or_else(|| text.parse::<Date>().ok().map(|date| date.at(0, 0, 0, 0)))?;
    let timestamp = zone.tz().to_ambiguous_timestamp(civil).compatible().ok()?;
    Some(Instant::from_timestamp(timestamp))
}

/// A zone of that name, or what is wrong with the name.
pub(crate) fn parse_zone(name: &str, place: &Place) -> Result<Zone, Diagnostic> {
    Zone::named(name).ok_or_else(|| {
        let known: Vec<String> = jiff::tz::TimeZoneDatabase::bundled()
            .available()
            .map(|name| name.as_str().to_owned())
            .collect();
        let remedy = text::nearest(name, known.iter().map(String::as_str)).map_or_else(
            || "write a name of the IANA database, such as `Asia/Seoul` or `UTC`".to_owned(),
            |near| format!("write `{near}`"),
        );
        Diagnostic::error(codes::UNKNOWN_ZONE, format!("there is no time zone `{name}`"))
            .at(place.clone())
            .with_remedy(remedy)
    })
}

/// A cron, or what is wrong with it.
pub(crate) fn parse_cron(text: &str, place: &Place) -> Result<Cron, Diagnostic> {
    Cron::parse(text).map_err(|error| {
        Diagnostic::error(codes::BAD_CRON, format!("`{text}` is not a cron: {error}"))
            .at(place.clone())
            .with_remedy(
                "write five fields: minute, hour, day of month, month, day of week; `0 5 * * *` is 05:00 every day",
            )
    })
}

/// Bytes that a name may have: with a prefix it still is a folder's name, and a warehouse takes it.
pub(crate) const MAX_NAME_BYTES: usize = 63;

/// The fault of a project whose name is none.
pub(crate) fn bad_project_name(name: &str, place: &Place) -> Option<Diagnostic> {
    let why = bad_name(name)?;
    let fault = Diagnostic::error(codes::BAD_NAME, format!("the project cannot be named `{name}`: {why}"));
    let remedy = "use letters, digits and `_`, beginning with a letter";
    Some(fault.at(place.clone()).with_remedy(remedy))
}

/// Why a name cannot be the name of a model, table or schema.
pub(crate) fn bad_name(name: &str) -> Option<&'static str> {
    const RESERVED: &[&str] = &["system", "information_schema", "this", "interval"];
    if !text::is_name(name) {
        return Some("a name has letters of the Latin alphabet, digits and `_`, and begins with a letter");
    }
    if name.len() > MAX_NAME_BYTES {
        return Some("it is longer than 63 letters");
    }
    if name.starts_with('_') {
        return Some("names that begin with `_` are the program's own");
    }
    if RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
        return Some("the program uses it");
    }
    None
}

/// The values of a key column, or why they cannot be.
pub(crate) fn key_values(name: &str, values: &Json) -> Result<Vec<String>, &'static str> {
    if bad_name(name).is_some() {
        return Err("is no name for a column");
    }
    let values = match values {
        Json::Array(values) => values,
        Json::String(_) => return Err("is given by a query, but a list is needed here"),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => return Err("needs a list of values"),
    };
    let mut texts: Vec<String> = Vec::with_capacity(values.len());
    for value in values {
        let text = match value {
            Json::String(text) => text.clone(),
            Json::Number(number) => number.to_string(),
            Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => return Err("has a value that is no text"),
        };
        // These letters would make `sales[country=kr,city=seoul]` ambiguous.
        if text.is_empty() || text.contains(['[', ']', ',', '=', '/', '\n']) || text.trim() != text {
            return Err("has a value that is empty or holds one of `[ ] , = /`");
        }
        if texts.contains(&text) {
            return Err("has the same value twice");
        }
        texts.push(text);
    }
    if texts.is_empty() {
        return Err("has no values");
    }
    Ok(texts)
}

/// Reads `last 7 days`.
pub(crate) fn parse_window(text: &str) -> Option<(u32, Unit)> {
    let mut words = text.split_whitespace();
    if words.next()? != "last" {
        return None;
    }
    let count: u32 = words.next()?.parse().ok()?;
    let word = words.next()?;
    let unit = word.strip_suffix('s').unwrap_or(word).parse().ok()?;
    (count > 0 && words.next().is_none()).then_some((count, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time_are_read() {
        assert_eq!(parse_duration("3d"), Some(3 * 86_400_000_000));
        assert_eq!(parse_duration("12 hours"), Some(12 * 3_600_000_000));
        assert_eq!(parse_duration("3 fortnights"), None);
        assert_eq!(parse_duration("d"), None);
        assert_eq!(parse_duration("99999999999999999w"), None);
    }

    #[test]
    fn windows_are_read() {
        assert_eq!(parse_window("last 7 days"), Some((7, Unit::Day)));
        assert_eq!(parse_window("last 1 month"), Some((1, Unit::Month)));
        assert_eq!(parse_window("last 0 days"), None);
        assert_eq!(parse_window("7 days"), None);
        assert_eq!(parse_window("last 7 days ago"), None);
    }

    #[test]
    fn a_time_without_an_offset_is_in_the_zone() {
        let seoul = Zone::named("Asia/Seoul").expect("is in the database");
        let utc = |text: &str| Instant::from_timestamp(text.parse().expect("is a timestamp"));
        assert_eq!(parse_instant("2022-01-01", &seoul), Some(utc("2021-12-31T15:00:00Z")));
        assert_eq!(
            parse_instant("2022-01-01 05:00", &seoul),
            Some(utc("2021-12-31T20:00:00Z"))
        );
        assert_eq!(
            parse_instant("2022-01-01T05:00:00Z", &seoul),
            Some(utc("2022-01-01T05:00:00Z"))
        );
        assert_eq!(parse_instant("tomorrow", &seoul), None);
    }
}
