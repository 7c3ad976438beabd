//! How a node's time is cut: into hours, days, weeks, months, years or by a cron, in a time zone.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    cron::Cron,
    interval::{Instant, Interval},
};

/// A time zone of the bundled IANA database, named.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone(jiff::tz::TimeZone);

impl Zone {
    /// UTC.
    pub const UTC: Self = Self(jiff::tz::TimeZone::UTC);

    /// The zone of that IANA name, any letter case; nothing when there is none.
    pub fn named(name: &str) -> Option<Self> {
        jiff::tz::TimeZoneDatabase::bundled().get(name).ok().map(Self)
    }

    /// Its IANA name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The zone as jiff knows it.
    pub fn tz(&self) -> &jiff::tz::TimeZone {
        &self.0
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Zone {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::named(&name).ok_or_else(|| serde::de::Error::custom(format!("no time zone `{name}`")))
    }
}

/// A calendar unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// By the clock of the zone; a repeated hour is two intervals.
    Hour,
    /// From the first instant of a civil date to the first of the next.
    Day,
    /// From Monday to Monday.
    Week,
    /// Calendar month.
    Month,
    /// Calendar year.
    Year,
}

impl Unit {
    /// As it is written in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }
}

impl FromStr for Unit {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text {
            "hour" => Self::Hour,
            "day" => Self::Day,
            "week" => Self::Week,
            "month" => Self::Month,
            "year" => Self::Year,
            _ => return Err(()),
        })
    }
}

/// Where the cuts fall.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// Nowhere: one interval, [`Interval::WHOLE`].
    Whole,
    /// At each calendar unit.
    Unit(Unit),
    /// At each firing of a cron.
    Cron(Cron),
}

/// A node's grid: its cut in its zone, from `begin` to `end`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grid {
    /// Where the cuts fall.
    pub cut: Cut,
    /// The zone they are taken in.
    pub zone: Zone,
    /// The first instant wanted; on a cut. Absent: nothing is wanted before the first upstream's.
    pub begin: Option<Instant>,
    /// The first instant no longer wanted; on a cut. Absent: for ever.
    pub end: Option<Instant>,
}

impl Grid {
    /// The grid of a node that is not cut.
    pub fn whole(zone: Zone) -> Self {
        Self {
            cut: Cut::Whole,
            zone,
            begin: None,
            end: None,
        }
    }

    /// Whether time is cut at all.
    pub fn is_cut(&self) -> bool {
        self.cut != Cut::Whole
    }

    /// Whether two grids have the same cuts, whatever their `begin` and `end`.
    pub fn same_cuts(&self, other: &Self) -> bool {
        self.cut == other.cut && (!self.is_cut() || self.zone == other.zone)
    }

    /// From `begin` to `end`; all of time for what is not cut.
    pub fn extent(&self) -> Interval {
        Interval {
            start: self.begin.unwrap_or(Instant::MIN),
            end: self.end.unwrap_or(Instant::MAX),
        }
    }
}
