//! Between instants and the civil time of a zone, as SQL's types have it: naive timestamps and
//! dates. It knows neither tables nor SQL.

use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, DateTime},
    tz::{AmbiguousOffset, Offset},
};
use mulgil_core::{grid::Zone, interval::Instant};

const US_PER_SECOND: i64 = 1_000_000;
const US_PER_HOUR: i64 = 3_600 * US_PER_SECOND;
const US_PER_DAY: i64 = 24 * US_PER_HOUR;
const NANOSECOND: SignedDuration = SignedDuration::from_nanos(1);

/// Turns naive timestamps and dates of one zone into instants. A repeated time is that of the first
/// pass, a skipped one the moment of the skip: so later civil times are never earlier instants.
/// Remembers the offset that it last used, so that a column in rough order of time costs nothing.
pub(crate) struct Naive<'a> {
    zone: &'a Zone,
    /// Naive microseconds `[start, end)` over which the offset is known to hold.
    known: (i64, i64),
    offset_us: i64,
}

impl<'a> Naive<'a> {
    /// For a zone.
    pub(crate) fn new(zone: &'a Zone) -> Self {
        Self {
            zone,
            known: (0, 0),
            offset_us: 0,
        }
    }

    /// The instant of a naive timestamp, both in microseconds; nothing beyond the years of a calendar.
    pub(crate) fn instant(&mut self, naive_us: i64) -> Option<i64> {
        if naive_us >= self.known.0 && naive_us < self.known.1 {
            return Some(naive_us - self.offset_us);
        }
        let tz = self.zone.tz();
        let civil = civil(naive_us)?;
        let at = match tz.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } => {
                self.remember(naive_us, offset);
                offset.to_timestamp(civil).ok()?
            }
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(civil).ok()?,
            AmbiguousOffset::Gap { before, .. } => {
                let after_it = before.to_timestamp(civil).ok()?;
                tz.preceding(after_it.checked_add(NANOSECOND).ok()?).next()?.timestamp()
            }
        };
        Some(at.as_microsecond())
    }

    /// The first instant of a date, given in days since 1970, in microseconds.
    pub(crate) fn start_of_date(&mut self, days: i32) -> Option<i64> {
        self.instant(i64::from(days).checked_mul(US_PER_DAY)?)
    }

    /// Keeps an offset for the civil hour around a value, if it holds throughout: zones change it
    /// at most once in an hour, so its two ends and its middle tell.
    fn remember(&mut self, naive_us: i64, offset: Offset) {
        let start = naive_us - naive_us.rem_euclid(US_PER_HOUR);
        let holds = [
            start,
            start + US_PER_HOUR / 2 - 1,
            start + US_PER_HOUR / 2,
            start + US_PER_HOUR - 1,
        ]
        .into_iter()
        .all(|naive| {
            civil(naive).is_some_and(|civil| {
                self.zone.tz().to_ambiguous_timestamp(civil).offset() == AmbiguousOffset::Unambiguous { offset }
            })
        });
        if holds {
            self.known = (start, start + US_PER_HOUR);
            self.offset_us = i64::from(offset.seconds()) * US_PER_SECOND;
        }
    }
}

/// The date in which an instant lies, in days since 1970.
pub(crate) fn date_of(zone: &Zone, at: Instant) -> i32 {
    days(zone.tz().to_datetime(at.to_timestamp()).date())
}

/// The first naive timestamp, in microseconds, whose instant is not before `at`.
pub(crate) fn first_naive_from(zone: &Zone, at: Instant) -> i64 {
    let at = at.to_timestamp();
    let civil = zone.tz().to_datetime(at);
    let bound = || -> Option<DateTime> {
        let transition = zone.tz().preceding(at.checked_add(NANOSECOND).ok()?).next()?;
        let before = zone
            .tz()
            .to_offset(transition.timestamp().checked_sub(NANOSECOND).ok()?);
        let old_clock = before.to_datetime(transition.timestamp());
        let new_clock = transition.offset().to_datetime(transition.timestamp());
        // Skipped times stand for the moment of the skip, repeated ones for their first pass.
        let in_second_pass = civil < old_clock;
        let at_the_skip = old_clock < new_clock && transition.timestamp() == at;
        (in_second_pass || at_the_skip).then_some(old_clock)
    };
    micros(bound().unwrap_or(civil))
}

/// The first date, in days since 1970, whose first instant is not before `at`.
pub(crate) fn first_date_from(zone: &Zone, at: Instant) -> i32 {
    let date = date_of(zone, at);
    match Naive::new(zone).start_of_date(date) {
        Some(start) if start < at.0 => date + 1,
        Some(_) | None => date,
    }
}

fn civil(naive_us: i64) -> Option<DateTime> {
    let at = Timestamp::from_microsecond(naive_us).ok()?;
    Some(Offset::UTC.to_datetime(at))
}

fn micros(civil: DateTime) -> i64 {
    Offset::UTC
        .to_timestamp(civil)
        .map_or(i64::MAX, Timestamp::as_microsecond)
}

fn days(date: Date) -> i32 {
    micros(date.to_datetime(jiff::civil::Time::midnight())).div_euclid(US_PER_DAY) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> Zone {
        Zone::named(name).unwrap()
    }

    fn at(text: &str) -> Instant {
        Instant::from_timestamp(text.parse().unwrap())
    }

    fn naive(text: &str) -> i64 {
        micros(text.parse().unwrap())
    }

    #[test]
    fn a_repeated_hour_is_its_first_pass_and_a_skipped_one_the_moment_of_the_skip() {
        let zone = zone("America/New_York");
        let mut times = Naive::new(&zone);
        for (civil, instant) in [
            ("2013-11-03T00:59:59", "2013-11-03T04:59:59Z"),
            ("2013-11-03T01:30:00", "2013-11-03T05:30:00Z"),
            ("2013-11-03T02:00:00", "2013-11-03T07:00:00Z"),
            ("2013-03-10T02:30:00", "2013-03-10T07:00:00Z"),
            ("2013-03-10T03:00:00", "2013-03-10T07:00:00Z"),
        ] {
            assert_eq!(times.instant(naive(civil)), Some(at(instant).0), "{civil}");
        }
    }

    #[test]
    fn naive_bounds_agree_with_the_instants_that_naive_times_have() {
        for name in [
            "America/New_York",
            "Asia/Kolkata",
            "Australia/Lord_Howe",
            "America/Sao_Paulo",
            "Pacific/Apia",
        ] {
            let zone = zone(name);
            let mut times = Naive::new(&zone);
            for bound in (0..24 * 400).map(|half| Instant(at("2011-10-01T00:00:00Z").0 + half * 1_800_000_000)) {
                let first = first_naive_from(&zone, bound);
                assert!(times.instant(first).unwrap() >= bound.0, "{name} {bound:?}");
                assert!(times.instant(first - 1).unwrap() < bound.0, "{name} {bound:?}");
            }
        }
    }

    #[test]
    fn dates_begin_at_their_first_instant() {
        let zone = zone("America/Sao_Paulo");
        let mut times = Naive::new(&zone);
        let day = date_of(&zone, at("2017-10-15T12:00:00Z"));
        assert_eq!(times.start_of_date(day), Some(at("2017-10-15T03:00:00Z").0));
        assert_eq!(first_date_from(&zone, at("2017-10-15T03:00:00Z")), day);
        assert_eq!(first_date_from(&zone, at("2017-10-15T03:00:00.000001Z")), day + 1);
    }
}
