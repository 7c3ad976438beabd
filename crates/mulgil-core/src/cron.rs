//! A cron: five fields, in civil time of a zone.
//!
//! croner reads the fields and searches matching civil times; what a zone makes of them is decided
//! here. An hour field without `*` and without a step names *fixed* times: one that the clock skips
//! fires when the gap ends, one that it shows twice fires the first time. Any other hour field fires
//! whenever the clock shows a matching time, in both passes of a repeated hour.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    clock::{SECOND, civil_of, wall_of},
    grid::{Unit, Zone},
    interval::Instant,
};

/// A cron expression that parsed, kept as it was written. Equal where it is written equally.
#[derive(Clone)]
pub struct Cron {
    text: Arc<str>,
    pattern: Arc<croner::Cron>,
    hours: Hours,
}

/// Why a text is no cron: one sentence that names the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CronError(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hours {
    Fixed,
    Wildcard,
}

impl Cron {
    /// Reads five fields (minute, hour, day of month, month, day of week) or one of `@hourly`,
    /// `@daily`, `@weekly`, `@monthly` and `@yearly`.
    ///
    /// # Errors
    /// Names the field that is wrong and says why; a cron that never fires is an error too.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let text = text.trim();
        let fields = split(text)?;
        for (field, written) in FIELDS.iter().zip(&fields) {
            field.check(written)?;
        }
        let pattern = fields
            .join(" ")
            .parse::<croner::Cron>()
            .map_err(|error| CronError(format!("the cron `{text}` cannot be read: {error}")))?;
        let hours = if fields[1].contains(['*', '/']) {
            Hours::Wildcard
        } else {
            Hours::Fixed
        };
        let cron = Self {
            text: text.into(),
            pattern: Arc::new(pattern),
            hours,
        };
        if cron.civil_from(EARLIEST, true).is_none() {
            return Err(CronError(format!(
                "the cron `{text}` never fires: no month in {} has a day {}",
                fields[3], fields[2]
            )));
        }
        Ok(cron)
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first firing after an instant; none after the year 4999.
    pub fn next_after(&self, zone: &Zone, after: Instant) -> Option<Instant> {
        match self.hours {
            Hours::Fixed => {
                let next = self.civil_from(zone.highest_wall(after), false)?;
                Some(zone.first_reaching(next)).filter(|firing| *firing < Instant::MAX)
            }
            Hours::Wildcard => self.next_in_stretches(zone, after),
        }
    }

    /// The last firing at or before an instant; none before the year 1.
    pub fn last_at_or_before(&self, zone: &Zone, at: Instant) -> Option<Instant> {
        match self.hours {
            Hours::Fixed => {
                let last = self.civil_back_from(zone.highest_wall(at))?;
                Some(zone.first_reaching(last)).filter(|firing| *firing > Instant::MIN)
            }
            Hours::Wildcard => self.last_in_stretches(zone, at),
        }
    }

    /// Whether it fires at one time of an hour or of a day only, so that no hour or date of its
    /// zone's clock has two firings. Nothing is said of longer units.
    pub(crate) fn fires_once_per(&self, unit: Unit) -> bool {
        let is_single = |field: &croner::CronComponent| field.values().len() == 1;
        match unit {
            Unit::Hour => is_single(&self.pattern.pattern.minutes),
            Unit::Day => is_single(&self.pattern.pattern.minutes) && is_single(&self.pattern.pattern.hours),
            Unit::Week | Unit::Month | Unit::Year => false,
        }
    }

    fn next_in_stretches(&self, zone: &Zone, after: Instant) -> Option<Instant> {
        for stretch in zone.stretches_from(after) {
            let next = if stretch.start > after {
                self.civil_from(stretch.wall(stretch.start), true)?
            } else {
                self.civil_from(stretch.wall(after), false)?
            };
            if next < stretch.wall_end() {
                return Some(stretch.instant(next)).filter(|firing| *firing < Instant::MAX);
            }
        }
        None
    }

    fn last_in_stretches(&self, zone: &Zone, at: Instant) -> Option<Instant> {
        // Nothing fires later, and the search ends at the first stretch in which something fires.
        let at = at.min(Instant(LATEST));
        for stretch in zone.stretches_back(at) {
            let wall = if stretch.end > at {
                stretch.wall(at)
            } else {
                stretch.wall_end().saturating_sub(1)
            };
            let last = self.civil_back_from(wall)?;
            if stretch.start == Instant::MIN || last >= stretch.wall(stretch.start) {
                return Some(stretch.instant(last)).filter(|firing| *firing > Instant::MIN);
            }
        }
        None
    }

    /// The first matching wall after `wall`, or at it.
    fn civil_from(&self, wall: i64, inclusive: bool) -> Option<i64> {
        if wall > LATEST {
            return None;
        }
        let (wall, inclusive) = if wall < EARLIEST {
            (EARLIEST, true)
        } else {
            (wall, inclusive)
        };
        // A wall between two seconds is treated as the second before it, which is why it is never
        // asked inclusively.
        let from = civil_of(wall);
        let found = self.pattern.find_next_occurrence(&from, inclusive).ok()?;
        Some(wall_of(found)).filter(|found| *found <= LATEST)
    }

    /// The last matching wall at or before `wall`.
    fn civil_back_from(&self, wall: i64) -> Option<i64> {
        if wall < EARLIEST {
            return None;
        }
        let from = civil_of(wall.min(LATEST));
        let found = self.pattern.find_previous_occurrence(&from, true).ok()?;
        Some(wall_of(found)).filter(|found| *found >= EARLIEST)
    }
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Cron {}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Cron {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Cron {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// The first wall that is searched: 0001-01-02T00:00.
const EARLIEST: i64 = -62_135_510_400 * SECOND;
/// The last wall that is searched: 4999-12-31T23:59:59.
const LATEST: i64 = 95_617_583_999 * SECOND;

/// What one of the five fields may hold.
struct Field {
    name: &'static str,
    low: u32,
    high: u32,
    names: &'static [&'static str],
    /// The number of the first name.
    first: u32,
    marks: Marks,
}

/// Which of `L`, `W` and `#` a field knows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Marks {
    None,
    DayOfMonth,
    DayOfWeek,
}

const MONTHS: &[&str] = &[
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const FIELDS: [Field; 5] = [
    Field {
        name: "minute",
        low: 0,
        high: 59,
        names: &[],
        first: 0,
        marks: Marks::None,
    },
    Field {
        name: "hour",
        low: 0,
        high: 23,
        names: &[],
        first: 0,
        marks: Marks::None,
    },
    Field {
        name: "day of month",
        low: 1,
        high: 31,
        names: &[],
        first: 0,
        marks: Marks::DayOfMonth,
    },
    Field {
        name: "month",
        low: 1,
        high: 12,
        names: MONTHS,
        first: 1,
        marks: Marks::None,
    },
    Field {
        name: "day of week",
        low: 0,
        high: 7,
        names: WEEKDAYS,
        first: 0,
        marks: Marks::DayOfWeek,
    },
];

fn split(text: &str) -> Result<Vec<&str>, CronError> {
    if text.starts_with('@') {
        let known = match text.to_ascii_lowercase().as_str() {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            "@weekly" => "0 0 * * SUN",
            "@monthly" => "0 0 1 * *",
            "@yearly" | "@annually" => "0 0 1 1 *",
            _ => {
                return Err(CronError(format!(
                    "`{text}` is not known; there are @hourly, @daily, @weekly, @monthly and @yearly"
                )));
            }
        };
        return Ok(known.split(' ').collect());
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() == FIELDS.len() {
        return Ok(fields);
    }
    let seconds = if fields.len() > FIELDS.len() {
        "; there is none for seconds or years"
    } else {
        ""
    };
    Err(CronError(format!(
        "a cron has five fields (minute, hour, day of month, month, day of week), and `{text}` has {}{seconds}",
        fields.len()
    )))
}

impl Field {
    fn check(&self, written: &str) -> Result<(), CronError> {
        let is_list = written.contains(',');
        written.split(',').try_for_each(|item| {
            let checked = if is_list && matches!(item, "*" | "?") {
                Err(format!("`{item}` means all and cannot be one of a list"))
            } else {
                self.check_item(item)
            };
            checked.map_err(|why| CronError(format!("the {} field `{written}` is wrong: {why}", self.name)))
        })
    }

    fn check_item(&self, item: &str) -> Result<(), String> {
        if item.is_empty() {
            return Err("it has an empty place in its list".to_owned());
        }
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (item, None),
        };
        if let Some(step) = step {
            self.check_step(range, step)?;
        }
        if range == "*" || (range == "?" && self.marks != Marks::None) {
            return Ok(());
        }
        if step.is_none() && self.is_marked(range)? {
            return Ok(());
        }
        let Some((from, to)) = range.split_once('-') else {
            return self.value(range).map(drop);
        };
        if from.is_empty() || to.is_empty() {
            return Err(format!("`{range}` lacks one side of its range"));
        }
        let (low, high) = (self.value(from)?, self.value(to)?);
        // Sunday ends a week as well as it begins one.
        let high = if to.eq_ignore_ascii_case("SUN") { 7 } else { high };
        if low > high {
            return Err(format!("the range `{range}` runs backwards"));
        }
        Ok(())
    }

    fn check_step(&self, range: &str, step: &str) -> Result<(), String> {
        let count: u32 = step.parse().map_err(|_| format!("`{step}` is not a step"))?;
        if count == 0 || count > self.high {
            return Err(format!(
                "a step of {step} does not fit between {} and {}",
                self.low, self.high
            ));
        }
        if range != "*" && !range.contains('-') {
            return Err(format!(
                "a step needs a range before it; write `{range}-{}/{step}` or `*/{step}`",
                self.high
            ));
        }
        Ok(())
    }

    /// Whether it is a form with `L`, `W` or `#` that this field knows.
    fn is_marked(&self, item: &str) -> Result<bool, String> {
        let upper = item.to_ascii_uppercase();
        match self.marks {
            Marks::None => Ok(false),
            Marks::DayOfMonth if upper == "L" || upper == "LW" => Ok(true),
            Marks::DayOfMonth => match upper.strip_suffix('W') {
                Some(day) => self.value(day).map(|_| true),
                None => Ok(false),
            },
            Marks::DayOfWeek => {
                if let Some((day, nth)) = upper.split_once('#') {
                    if !matches!(nth, "1" | "2" | "3" | "4" | "5" | "L") {
                        return Err(format!("`#{nth}` is not one of #1 to #5 and #L"));
                    }
                    return self.value(day).map(|_| true);
                }
                match upper.strip_suffix('L') {
                    Some(day) if !day.is_empty() => self.value(day).map(|_| true),
                    Some(_) | None => Ok(false),
                }
            }
        }
    }

    fn value(&self, written: &str) -> Result<u32, String> {
        if let Some(index) = self.names.iter().position(|name| name.eq_ignore_ascii_case(written)) {
            return Ok(self.first + index as u32);
        }
        let named = match self.names {
            [] => String::new(),
            [first, .., last] => format!(" or a name from {first} to {last}"),
            [only] => format!(" or {only}"),
        };
        let wanted = format!("a number from {} to {}{named}", self.low, self.high);
        match written.parse::<u32>() {
            Ok(value) if (self.low..=self.high).contains(&value) => Ok(value),
            Ok(_) | Err(_) => Err(format!("`{written}` is not {wanted}")),
        }
    }
}
