//! What a zone's clock shows: the stretches of time over which it keeps one offset, the first
//! instant at which it shows a time of day, and the civil calendar as arithmetic on day numbers.
//!
//! Two kinds of number meet here. An [`Instant`] is a point of time; a *wall* is what the clock on
//! the wall shows then, in microseconds since it showed 1970-01-01T00:00. A wall may be shown twice
//! or never. Everything saturates at the ends of `i64` instead of failing; outside the years that
//! the zone database knows, the offset of its nearest end holds.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::{
    civil::DateTime,
    tz::{Offset, TimeZone},
};

use crate::{
    grid::Zone,
    interval::{Instant, Interval},
};

/// One second in microseconds.
pub(crate) const SECOND: i64 = 1_000_000;
/// One minute in microseconds.
pub(crate) const MINUTE: i64 = 60 * SECOND;
/// One hour in microseconds.
pub(crate) const HOUR: i64 = 60 * MINUTE;
/// One civil day in microseconds.
pub(crate) const DAY: i64 = 24 * HOUR;

/// No offset from UTC is larger.
const LARGEST_OFFSET: i64 = 26 * HOUR;

/// A stretch of time over which a zone keeps one offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// The transition that begins it, or [`Instant::MIN`].
    pub(crate) start: Instant,
    /// The transition that ends it, or [`Instant::MAX`].
    pub(crate) end: Instant,
    /// What the clock shows more than UTC, in microseconds.
    pub(crate) offset: i64,
}

impl Stretch {
    /// The wall at an instant of the stretch.
    pub(crate) fn wall(self, at: Instant) -> i64 {
        at.0.saturating_add(self.offset)
    }

    /// The instant at which the clock would show the wall, if it kept this offset for ever.
    pub(crate) fn instant(self, wall: i64) -> Instant {
        Instant(wall.saturating_sub(self.offset))
    }

    /// The first wall that it does not reach.
    pub(crate) fn wall_end(self) -> i64 {
        self.wall(self.end)
    }

    /// The newest full hour of the clock at an instant of the stretch, or the stretch's own start.
    pub(crate) fn hour_floor(self, at: Instant) -> Instant {
        self.start.max(Instant(at.0.saturating_sub(self.past_hour(at))))
    }

    /// The first full hour of the clock after an instant of the stretch, or the stretch's end.
    pub(crate) fn hour_after(self, at: Instant) -> Instant {
        self.end.min(Instant(at.0.saturating_add(HOUR - self.past_hour(at))))
    }

    /// How far the clock is past a full hour; unlike the wall itself it never saturates.
    fn past_hour(self, at: Instant) -> i64 {
        (at.0.rem_euclid(HOUR) + self.offset).rem_euclid(HOUR)
    }

    /// How many instants strictly inside `range` are a full hour in this stretch, or its start.
    pub(crate) fn hours_within(self, range: Interval) -> u64 {
        let (low, high) = (range.start.max(self.start), range.end.min(self.end));
        if low >= high {
            return 0;
        }
        // Full hours from just after `low` to just before `high`.
        let hours = self.wall(high).saturating_sub(1).div_euclid(HOUR) - self.wall(low).div_euclid(HOUR);
        let own_start = self.start > range.start;
        hours.unsigned_abs() + u64::from(own_start)
    }
}

/// The civil time that a wall shows, cut to the second; the nearest one that jiff can say.
pub(crate) fn civil_of(wall: i64) -> DateTime {
    // A wall is a civil time counted as if it were UTC.
    let seconds = Instant(wall.div_euclid(SECOND).saturating_mul(SECOND));
    Offset::UTC.to_datetime(seconds.to_timestamp())
}

/// The wall that shows a civil time.
pub(crate) fn wall_of(civil: DateTime) -> i64 {
    Offset::UTC
        .to_timestamp(civil)
        .map_or(i64::MAX, |timestamp| Instant::from_timestamp(timestamp).0)
}

/// The stretches of a zone from the beginning of time on, far enough that later ones are rarely
/// asked for; those are looked up in the zone database each time.
#[derive(Clone, Debug)]
pub(crate) struct Stretches(Arc<[Stretch]>);

/// 2100-01-01: the last listed stretch holds it.
const LISTED_TO: Instant = Instant(4_102_444_800 * SECOND);

impl Stretches {
    /// Lists a zone's stretches, once for each name.
    pub(crate) fn of(tz: &TimeZone) -> Self {
        static LISTED: Mutex<BTreeMap<String, Stretches>> = Mutex::new(BTreeMap::new());
        let name = tz.iana_name().unwrap_or_default().to_owned();
        let mut listed = LISTED.lock().unwrap_or_else(PoisonError::into_inner);
        listed.entry(name).or_insert_with(|| Self::list(tz)).clone()
    }

    fn list(tz: &TimeZone) -> Self {
        let after = |last: &Stretch| (last.end <= LISTED_TO).then(|| look_up(tz, last.end));
        Self(std::iter::successors(Some(look_up(tz, Instant::MIN)), after).collect())
    }

    fn at(&self, at: Instant) -> Option<Stretch> {
        let index = self.0.partition_point(|stretch| stretch.end <= at);
        self.0.get(index).copied()
    }
}

/// Reads the clock of a zone.
impl Zone {
    /// The stretch that holds the instant; the last one for [`Instant::MAX`].
    pub(crate) fn stretch_at(&self, at: Instant) -> Stretch {
        let at = at.min(Instant(i64::MAX - 1));
        match self.stretches() {
            Some(stretches) => stretches.at(at).unwrap_or_else(|| look_up(self.tz(), at)),
            None => Stretch {
                start: Instant::MIN,
                end: Instant::MAX,
                offset: 0,
            },
        }
    }

    /// The stretches in order, from the one that holds the instant.
    pub(crate) fn stretches_from(&self, at: Instant) -> impl Iterator<Item = Stretch> + '_ {
        std::iter::successors(Some(self.stretch_at(at)), |last| {
            (last.end < Instant::MAX).then(|| self.stretch_at(last.end))
        })
    }

    /// The stretches in reversed order, from the one that holds the instant.
    pub(crate) fn stretches_back(&self, at: Instant) -> impl Iterator<Item = Stretch> + '_ {
        std::iter::successors(Some(self.stretch_at(at)), |last| {
            (last.start > Instant::MIN).then(|| self.stretch_at(Instant(last.start.0 - 1)))
        })
    }

    /// The highest wall that the clock has shown up to the instant: where it was set back, that is
    /// what it showed before.
    pub(crate) fn highest_wall(&self, at: Instant) -> i64 {
        let mut highest = i64::MIN;
        for stretch in self.stretches_back(at) {
            highest = highest.max(if stretch.end > at {
                stretch.wall(at)
            } else {
                stretch.wall_end().saturating_sub(1)
            });
            // What ended longer ago than any two offsets differ showed less than the clock does now.
            if at.0.saturating_sub(stretch.start.0) > 2 * LARGEST_OFFSET {
                break;
            }
        }
        highest
    }

    /// The first instant at which the clock shows `wall` or more: the earlier of two, and the end
    /// of the gap for what is never shown.
    pub(crate) fn first_reaching(&self, wall: i64) -> Instant {
        self.walker(wall).first_reaching(wall)
    }

    /// The same, quickly where the wall lies deep inside a stretch at hand.
    pub(crate) fn first_reaching_near(&self, near: Stretch, wall: i64) -> Instant {
        // Stretches before this one never showed more.
        let settled = near.wall(near.start).saturating_add(2 * LARGEST_OFFSET);
        if settled < wall && wall < near.wall_end() {
            near.instant(wall)
        } else {
            self.first_reaching(wall)
        }
    }

    /// A [`Walker`] for walls from `wall` on.
    pub(crate) fn walker(&self, wall: i64) -> Walker<'_> {
        // Before this instant the clock showed less than `wall`, whatever its offset was.
        let from = Instant(wall.saturating_sub(LARGEST_OFFSET));
        Walker {
            zone: self,
            current: self.stretch_at(from),
        }
    }

    /// The instants at which the clock shows a wall: none, one, or several where it was set back.
    pub(crate) fn showing(&self, wall: i64) -> Vec<Instant> {
        let from = Instant(wall.saturating_sub(LARGEST_OFFSET));
        let to = Instant(wall.saturating_add(LARGEST_OFFSET));
        self.stretches_from(from)
            .take_while(|stretch| stretch.start <= to)
            .filter(|stretch| stretch.wall(stretch.start) <= wall && wall < stretch.wall_end())
            .map(|stretch| stretch.instant(wall))
            .collect()
    }
}

/// Finds first instants for walls that only grow, without looking at any stretch twice.
#[derive(Clone, Debug)]
pub(crate) struct Walker<'zone> {
    zone: &'zone Zone,
    current: Stretch,
}

impl Walker<'_> {
    /// The first instant at which the clock shows `wall` or more.
    pub(crate) fn first_reaching(&mut self, wall: i64) -> Instant {
        match wall {
            i64::MIN => return Instant::MIN,
            i64::MAX => return Instant::MAX,
            _ => {}
        }
        while self.current.wall_end() <= wall {
            if self.current.end == Instant::MAX {
                return Instant::MAX;
            }
            self.current = self.zone.stretch_at(self.current.end);
        }
        self.current.start.max(self.current.instant(wall))
    }
}

/// A span of the civil calendar that begins at midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    /// A date.
    Day,
    /// Monday to Sunday.
    Week,
    /// A calendar month.
    Month,
    /// A calendar year.
    Year,
}

impl Span {
    /// The number of the span in which a wall lies; the next span has the next number.
    pub(crate) fn index_of(self, wall: i64) -> i64 {
        let day = wall.div_euclid(DAY);
        match self {
            Self::Day => day,
            // Day 0 was a Thursday.
            Self::Week => (day + 3).div_euclid(7),
            Self::Month => month_of(day),
            Self::Year => month_of(day).div_euclid(12),
        }
    }

    /// The wall at which the span of that number begins.
    pub(crate) fn start_of(self, index: i64) -> i64 {
        let day = match self {
            Self::Day => index,
            Self::Week => index.saturating_mul(7).saturating_sub(3),
            Self::Month => first_day_of(index),
            Self::Year => first_day_of(index.saturating_mul(12)),
        };
        day.saturating_mul(DAY)
    }
}

/// The month in which a day (since 1970-01-01) lies, in months since January of the year 0.
pub(crate) fn month_of(day: i64) -> i64 {
    let day = day + DAYS_TO_1970;
    // The estimate by the mean length of a year is off by one at most.
    let mut year = (day * 400).div_euclid(146_097);
    while days_before_year(year) > day {
        year -= 1;
    }
    while days_before_year(year + 1) <= day {
        year += 1;
    }
    let of_year = day - days_before_year(year);
    let month = (1..12)
        .take_while(|month| days_before_month(year, *month) <= of_year)
        .count();
    year * 12 + month as i64
}

/// The first day (since 1970-01-01) of a month (since January of the year 0).
pub(crate) fn first_day_of(month: i64) -> i64 {
    let (year, month) = (month.div_euclid(12), month.rem_euclid(12));
    days_before_year(year) + days_before_month(year, month) - DAYS_TO_1970
}

const DAYS_TO_1970: i64 = 719_528;

/// Days from the first of the year 0 to the first of a year.
fn days_before_year(year: i64) -> i64 {
    let leap_years = (year + 3).div_euclid(4) - (year + 99).div_euclid(100) + (year + 399).div_euclid(400);
    year * 365 + leap_years
}

/// Days from the first of a year to the first of its month, which counts from 0.
fn days_before_month(year: i64, month: i64) -> i64 {
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    BEFORE[month.rem_euclid(12) as usize] + i64::from(leap && month > 1)
}

/// The stretch that holds the instant, by the zone database.
fn look_up(tz: &TimeZone, at: Instant) -> Stretch {
    Stretch {
        start: change_at_or_before(tz, at).unwrap_or(Instant::MIN),
        end: change_after(tz, at).unwrap_or(Instant::MAX),
        offset: offset_at(tz, at),
    }
}

fn offset_at(tz: &TimeZone, at: Instant) -> i64 {
    i64::from(tz.to_offset(at.to_timestamp()).seconds()) * SECOND
}

/// The first instant after `at` at which the offset becomes another.
fn change_after(tz: &TimeZone, at: Instant) -> Option<Instant> {
    let offset = tz.to_offset(at.to_timestamp());
    tz.following(at.to_timestamp())
        .find(|change| tz.to_offset(change.timestamp()) != offset)
        .map(|change| Instant::from_timestamp(change.timestamp()))
}

/// The last instant at or before `at` at which the offset became another.
fn change_at_or_before(tz: &TimeZone, at: Instant) -> Option<Instant> {
    let just_after = Instant(at.0.saturating_add(1)).to_timestamp();
    let mut change = tz
        .preceding(just_after)
        .map(|change| Instant::from_timestamp(change.timestamp()))
        .find(|change| offset_at(tz, Instant(change.0 - 1)) != offset_at(tz, *change))?;
    // Where the rules that hold for ever take over from the list of past changes, the search
    // backwards may step over the last listed one.
    while let Some(next) = change_after(tz, change).filter(|next| *next <= at) {
        change = next;
    }
    Some(change)
}
