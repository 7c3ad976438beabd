//! Between instants and the civil time of a zone, as SQL's types have it: naive timestamps and
//! dates, and all of them as text. It knows neither tables nor SQL.

use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, DateTime},
    tz::{AmbiguousOffset, Offset, TimeZone},
};
use mulgil_core::{grid::Zone, interval::Instant};

const US_PER_SECOND: i64 = 1_000_000;
const US_PER_DAY: i64 = 86_400 * US_PER_SECOND;
/// The calendar, its weekdays included, repeats itself every 400 years.
const NS_PER_CYCLE: i128 = 146_097 * 1_000 * US_PER_DAY as i128;
const YEARS_PER_CYCLE: i128 = 400;
/// The cycles since 1970 that lie well within the years that `jiff` knows, all with four digits.
const KNOWN_CYCLES: std::ops::Range<i128> = -4..20;
const NANOSECOND: SignedDuration = SignedDuration::from_nanos(1);

/// Turns naive timestamps and dates of one zone into instants. A repeated time is that of the first
/// pass, a skipped one the moment of the skip: so later civil times are never earlier instants.
/// Remembers the span in which the offset last found holds, so that a file's worth of times asks the
/// zone once or twice.
#[derive(Clone, Debug)]
pub(crate) struct CivilClock {
    tz: TimeZone,
    /// Naive microseconds `[from, until)` over which the offset is known to hold.
    from_us: i64,
    until_us: i64,
    offset_us: i64,
}

impl CivilClock {
    /// The clock of a zone.
    pub(crate) fn new(zone: &Zone) -> Self {
        Self {
            tz: zone.tz().clone(),
            from_us: 0,
            until_us: 0,
            offset_us: 0,
        }
    }

    /// The instant of a naive timestamp, both in microseconds; nothing beyond what 64 bits hold.
    pub(crate) fn instant_us(&mut self, naive_us: i64) -> Option<i64> {
        if self.from_us <= naive_us && naive_us < self.until_us {
            return naive_us.checked_sub(self.offset_us);
        }
        self.look_up(naive_us)
    }

    /// The first instant of a date, given in days since 1970, in microseconds.
    pub(crate) fn day_us(&mut self, days: i32) -> Option<i64> {
        self.instant_us(i64::from(days).checked_mul(US_PER_DAY)?)
    }

    fn look_up(&mut self, naive_us: i64) -> Option<i64> {
        let (shown, cycles) = in_known_years(i128::from(naive_us) * 1_000);
        let civil = Offset::UTC.to_datetime(shown);
        let at = match self.tz.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
                offset.to_timestamp(civil).ok()?
            }
            AmbiguousOffset::Gap { before, .. } => {
                let after_it = before.to_timestamp(civil).ok()?;
                let mut skips = self.tz.preceding(after_it.checked_add(NANOSECOND).ok()?);
                skips.next()?.timestamp()
            }
        };
        if cycles == 0 {
            self.remember(at);
        }
        i64::try_from(i128::from(at.as_microsecond()) + cycles * NS_PER_CYCLE / 1_000).ok()
    }

    /// Keeps the civil times around an instant that have its offset. Just after a change and just
    /// before the next one a time may be shown twice or not at all; such times are not among them.
    fn remember(&mut self, at: Timestamp) {
        let offset = offset_us(&self.tz, at);
        let before = self.tz.preceding(at + NANOSECOND).next();
        let after = self.tz.following(at).next();
        self.from_us = before.map_or(i64::MIN, |change| {
            let earlier = offset_us(&self.tz, change.timestamp() - NANOSECOND);
            change.timestamp().as_microsecond() + offset.max(earlier)
        });
        self.until_us = after.map_or(i64::MAX, |change| {
            let later = offset_us(&self.tz, change.timestamp());
            change.timestamp().as_microsecond() + offset.min(later)
        });
        self.offset_us = offset;
    }
}

/// The date in which an instant lies, in days since 1970; beyond the calendar the least or the
/// greatest date.
pub(crate) fn date_of(zone: &Zone, at: Instant) -> i32 {
    match Timestamp::from_microsecond(at.0) {
        Ok(known) => days(zone.tz().to_datetime(known).date()),
        Err(_) if at.0 < 0 => i32::MIN,
        Err(_) => i32::MAX,
    }
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

/// The first date, in days since 1970, whose first instant is not before `at`; beyond the calendar
/// the least or the greatest date.
pub(crate) fn first_date_from(zone: &Zone, at: Instant) -> i32 {
    match date_of(zone, at) {
        end @ (i32::MIN | i32::MAX) => end,
        date => match CivilClock::new(zone).day_us(date) {
            Some(start) if start >= at.0 => date,
            Some(_) | None => date.saturating_add(1),
        },
    }
}

/// A date, given in days since 1970, as ISO 8601 has it: years outside 0000 to 9999 have a sign and six
/// digits or more.
pub(crate) fn date_text(days: impl Into<i64>) -> String {
    let midnight = i128::from(days.into()) * 1_000 * i128::from(US_PER_DAY);
    in_its_year(midnight, |at| Offset::UTC.to_datetime(at).date().to_string())
}

/// A naive timestamp, in nanoseconds, likewise.
pub(crate) fn naive_text(naive_ns: i128) -> String {
    in_its_year(naive_ns, |at| Offset::UTC.to_datetime(at).to_string())
}

/// An instant, likewise, with the offset of the zone.
pub(crate) fn moment_text(at: Instant, zone: &Zone) -> String {
    instant_text(i128::from(at.0) * 1_000, zone)
}

/// An instant, in nanoseconds since 1970, likewise, with the offset of the zone.
pub(crate) fn instant_text(ns: i128, zone: &Zone) -> String {
    in_its_year(ns, |at| at.display_with_offset(zone.tz().to_offset(at)).to_string())
}

/// What the clocks of a zone show at an instant, both in nanoseconds since 1970.
pub(crate) fn civil_ns(ns: i128, zone: &Zone) -> i128 {
    let (at, _) = in_known_years(ns);
    ns + i128::from(zone.tz().to_offset(at).seconds()) * 1_000_000_000
}

/// The text of a time that `jiff` may not know: that of the same time in a year that it knows, with
/// the other year in place of its first four letters.
fn in_its_year(ns: i128, text: impl Fn(Timestamp) -> String) -> String {
    let (at, cycles) = in_known_years(ns);
    let text = text(at);
    let (year, rest) = text.split_at(4);
    match year.parse::<i128>().unwrap_or_default() + cycles * YEARS_PER_CYCLE {
        year @ 0..=9_999 => format!("{year:04}{rest}"),
        year => format!("{year:+07}{rest}"),
    }
}

/// The same time in the years that `jiff` knows, and how many cycles later it really is.
fn in_known_years(ns: i128) -> (Timestamp, i128) {
    let cycle = ns.div_euclid(NS_PER_CYCLE);
    let known = cycle.clamp(KNOWN_CYCLES.start, KNOWN_CYCLES.end - 1);
    let at = Timestamp::from_nanosecond(ns - (cycle - known) * NS_PER_CYCLE);
    (at.unwrap_or(Timestamp::UNIX_EPOCH), cycle - known)
}

fn offset_us(tz: &TimeZone, at: Timestamp) -> i64 {
    i64::from(tz.to_offset(at).seconds()) * US_PER_SECOND
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
        let mut clock = CivilClock::new(&zone);
        for (civil, instant) in [
            ("2013-11-03T00:59:59", "2013-11-03T04:59:59Z"),
            ("2013-11-03T01:30:00", "2013-11-03T05:30:00Z"),
            ("2013-11-03T02:00:00", "2013-11-03T07:00:00Z"),
            ("2013-03-10T02:30:00", "2013-03-10T07:00:00Z"),
            ("2013-03-10T03:00:00", "2013-03-10T07:00:00Z"),
        ] {
            assert_eq!(clock.instant_us(naive(civil)), Some(at(instant).0), "{civil}");
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
            let mut clock = CivilClock::new(&zone);
            for bound in (0..24 * 400).map(|half| Instant(at("2011-10-01T00:00:00Z").0 + half * 1_800_000_000)) {
                let first = first_naive_from(&zone, bound);
                assert!(clock.instant_us(first).unwrap() >= bound.0, "{name} {bound:?}");
                assert!(clock.instant_us(first - 1).unwrap() < bound.0, "{name} {bound:?}");
            }
        }
    }

    #[test]
    fn dates_begin_at_their_first_instant() {
        let zone = zone("America/Sao_Paulo");
        let mut clock = CivilClock::new(&zone);
        let day = date_of(&zone, at("2017-10-15T12:00:00Z"));
        assert_eq!(clock.day_us(day), Some(at("2017-10-15T03:00:00Z").0));
        assert_eq!(first_date_from(&zone, at("2017-10-15T03:00:00Z")), day);
        assert_eq!(first_date_from(&zone, at("2017-10-15T03:00:00.000001Z")), day + 1);
    }
}
