//! Dates and timestamps as files write them, and the dates that belong to an interval.

use mulgil_core::{grid::Zone, interval::Interval};

use super::fault::Misfit;
use crate::zone;

/// Microseconds of a civil day.
const DAY_US: i64 = 86_400_000_000;

/// A date with a time, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Civil {
    /// Microseconds since 1970-01-01T00:00:00 on the clock that it was written by.
    pub clock_us: i64,
    /// How far that clock is ahead of UTC, in microseconds, where it was written too.
    pub offset_us: Option<i64>,
}

/// Days since 1970-01-01 of `YYYY-MM-DD`.
pub(super) fn parse_date(text: &str) -> Option<i32> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    days(number(&bytes[..4])?, number(&bytes[5..7])?, number(&bytes[8..])?)
}

/// `YYYY-MM-DD`, `T` or a space, `HH:MM[:SS[.fraction]]`, then nothing, `Z` or an offset; a date
/// alone is its midnight. Fractions beyond the microsecond are cut.
pub(super) fn parse_timestamp(text: &str) -> Option<Civil> {
    let date = parse_date(text.get(..10)?)?;
    let midnight = i64::from(date) * DAY_US;
    let rest = &text.as_bytes()[10..];
    let Some((b'T' | b't' | b' ', rest)) = rest.split_first() else {
        return rest.is_empty().then_some(Civil {
            clock_us: midnight,
            offset_us: None,
        });
    };
    let (time_us, rest) = parse_time(rest)?;
    Some(Civil {
        clock_us: midnight + time_us,
        offset_us: parse_offset(rest).ok()?,
    })
}

/// The dates whose first instant lies in an interval, as days `[from, until)`.
pub(super) fn days_starting_in(interval: Interval, zone: &Zone) -> (i32, i32) {
    (
        zone::first_date_from(zone, interval.start),
        zone::first_date_from(zone, interval.end),
    )
}

/// The dates that share an instant with an interval, as days `[from, until)`.
pub(super) fn days_touching(interval: Interval, zone: &Zone) -> (i32, i32) {
    (
        zone::date_of(zone, interval.start),
        zone::first_date_from(zone, interval.end),
    )
}

/// An interval with both ends.
pub(super) fn show_interval(interval: Interval, zone: &Zone) -> String {
    format!(
        "{} to {}",
        zone::moment_text(interval.start, zone),
        zone::moment_text(interval.end, zone)
    )
}

/// Days since 1970-01-01 of a date of the Gregorian calendar; nothing when there is no such date.
fn days(year: i32, month: i32, day: i32) -> Option<i32> {
    const BEFORE_MONTH: [i32; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    const LENGTH: [i32; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let index = usize::try_from(month - 1).ok().filter(|index| *index < 12)?;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = LENGTH[index] + i32::from(is_leap && month == 2);
    if !(1..=length).contains(&day) {
        return None;
    }
    let past = year - 1;
    let leap_days = past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400);
    let since_year_one = past * 365 + leap_days + BEFORE_MONTH[index] + i32::from(is_leap && month > 2) + day - 1;
    Some(since_year_one - 719_162)
}

/// A number of digits alone.
fn number(digits: &[u8]) -> Option<i32> {
    digits.iter().try_fold(0, |sum, digit| {
        digit.is_ascii_digit().then(|| sum * 10 + i32::from(digit - b'0'))
    })
}

/// `HH:MM[:SS[.fraction]]` in microseconds, and what follows it.
fn parse_time(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (hour, rest) = two_digits(bytes, 23)?;
    let (minute, mut rest) = two_digits(rest.strip_prefix(b":")?, 59)?;
    let mut time_us = (hour * 60 + minute) * 60_000_000;
    if let Some(after) = rest.strip_prefix(b":") {
        let (second, after) = two_digits(after, 59)?;
        time_us += second * 1_000_000;
        rest = after;
        if let Some(fraction) = after.strip_prefix(b".") {
            let count = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=9).contains(&count) {
                return None;
            }
            let kept = count.min(6);
            time_us += i64::from(number(&fraction[..kept])?) * 10_i64.pow(6 - kept as u32);
            rest = &fraction[count..];
        }
    }
    Some((time_us, rest))
}

/// Nothing, `Z`, `±HH`, `±HHMM` or `±HH:MM`, in microseconds.
fn parse_offset(bytes: &[u8]) -> Result<Option<i64>, Misfit> {
    let bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
    let (sign, rest) = match bytes.split_first() {
        None => return Ok(None),
        Some((b'Z' | b'z', [])) => return Ok(Some(0)),
        Some((b'+', rest)) => (1, rest),
        Some((b'-', rest)) => (-1, rest),
        Some(_) => return Err(Misfit),
    };
    let (hours, rest) = two_digits(rest, 25).ok_or(Misfit)?;
    let rest = rest.strip_prefix(b":").unwrap_or(rest);
    let (minutes, rest) = match rest {
        [] => (0, rest),
        _ => two_digits(rest, 59).ok_or(Misfit)?,
    };
    if rest.is_empty() {
        Ok(Some(sign * (hours * 60 + minutes) * 60_000_000))
    } else {
        Err(Misfit)
    }
}

fn two_digits(bytes: &[u8], most: i32) -> Option<(i64, &[u8])> {
    let value = number(bytes.get(..2)?).filter(|value| *value <= most)?;
    Some((i64::from(value), &bytes[2..]))
}
