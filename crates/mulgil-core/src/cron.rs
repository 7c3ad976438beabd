//! A cron: five fields, in civil time of a zone.
//!
//! `fields.rs` reads the fields, `matches.rs` searches matching civil times, `words.rs` says them; what a zone makes of them is
//! decided here. An hour field without `*` and without a step names *fixed* times: one that the clock skips
//! fires when the gap ends, one that it shows twice fires the first time. Any other hour field fires
//! whenever the clock shows a matching time, in both passes of a repeated hour.

mod fields;
mod matches;
mod words;

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use self::matches::Matches;
use crate::{
    clock::SECOND,
    grid::{Unit, Zone},
    interval::Instant,
};

/// A cron expression that parsed, kept as it was written. Equal where it is written equally.
#[derive(Clone)]
pub struct Cron {
    text: Arc<str>,
    matches: Matches,
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
        let (matches, fields) = fields::read(text)?;
        let hours = if fields[1].contains(['*', '/']) {
            Hours::Wildcard
        } else {
            Hours::Fixed
        };
        let cron = Self {
            text: text.into(),
            matches,
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

    /// As a person would say it: `every day at 05:00`. Nothing where no short sentence says it.
    pub fn in_words(&self) -> Option<String> {
        words::of(&self.text)
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
        // A set of one number is one bit.
        let Matches { minutes, hours, .. } = self.matches;
        match unit {
            Unit::Hour => minutes.is_power_of_two(),
            Unit::Day => minutes.is_power_of_two() && hours.is_power_of_two(),
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
        let from = if inclusive { wall } else { wall.saturating_add(1) };
        self.matches.first_from(from, LATEST)
    }

    /// The last matching wall at or before `wall`.
    fn civil_back_from(&self, wall: i64) -> Option<i64> {
        if wall < EARLIEST {
            return None;
        }
        self.matches.last_to(wall.min(LATEST), EARLIEST)
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
