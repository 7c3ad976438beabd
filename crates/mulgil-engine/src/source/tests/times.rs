//! Times as files write them, and the zone's clock against the zone database.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use mulgil_core::grid::Zone;
use proptest::prelude::*;

use super::{
    super::time::{Civil, days_starting_in, days_touching, parse_date, parse_timestamp},
    interval,
};
use crate::zone::{CivilClock, date_text};

fn civil(text: &str) -> Option<(i64, Option<i64>)> {
    parse_timestamp(text).map(|Civil { clock_us, offset_us }| (clock_us, offset_us))
}

#[test]
fn dates() {
    assert_eq!(parse_date("1970-01-01"), Some(0));
    assert_eq!(parse_date("1969-12-31"), Some(-1));
    assert_eq!(parse_date("2000-02-29"), Some(11_016));
    for text in [
        "1900-02-29",
        "2013-13-01",
        "2013-00-10",
        "2013-01-32",
        "2013-1-01",
        "20130101",
        "2013/01/01",
        "+013-01-01",
        "",
    ] {
        assert_eq!(parse_date(text), None, "{text}");
    }
}

#[test]
fn timestamps() {
    const HOUR: i64 = 3_600_000_000;
    assert_eq!(civil("1970-01-01"), Some((0, None)));
    assert_eq!(civil("1970-01-01 01:00"), Some((HOUR, None)));
    assert_eq!(civil("1970-01-01T01:00:00.5"), Some((HOUR + 500_000, None)));
    assert_eq!(civil("1970-01-01T01:00:00.123456789Z"), Some((HOUR + 123_456, Some(0))));
    assert_eq!(civil("1970-01-01t01:00z"), Some((HOUR, Some(0))));
    assert_eq!(civil("1970-01-01 01:00:00 +09"), Some((HOUR, Some(9 * HOUR))));
    assert_eq!(civil("1970-01-01 01:00:00-0330"), Some((HOUR, Some(-7 * HOUR / 2))));
    assert_eq!(civil("1970-01-01 01:00:00+05:30"), Some((HOUR, Some(11 * HOUR / 2))));
    for text in [
        "1970-01-01T",
        "1970-01-01T1:00",
        "1970-01-01T24:00:00",
        "1970-01-01T01:60",
        "1970-01-01T01:00:60",
        "1970-01-01T01:00:00.",
        "1970-01-01T01:00:00.1234567890",
        "1970-01-01X01:00",
        "1970-01-01T01:00:00+",
        "1970-01-01T01:00:00 UTC",
        "1970-01-01T01:00:00+9",
        "1970-01-01 길",
    ] {
        assert_eq!(civil(text), None, "{text}");
    }
}

#[test]
fn days_of_an_interval() {
    let seoul = Zone::named("Asia/Seoul").unwrap();
    let day = interval("2013-03-09T15:00:00Z", "2013-03-10T15:00:00Z");
    let shown = |(from, until)| (date_text(from), date_text(until));
    assert_eq!(
        shown(days_starting_in(day, &seoul)),
        ("2013-03-10".to_owned(), "2013-03-11".to_owned())
    );
    assert_eq!(
        shown(days_touching(day, &seoul)),
        ("2013-03-10".to_owned(), "2013-03-11".to_owned())
    );
    let hour = interval("2013-03-10T02:00:00Z", "2013-03-10T03:00:00Z");
    let (from, until) = days_starting_in(hour, &seoul);
    assert_eq!(from, until);
    assert_eq!(
        shown(days_touching(hour, &seoul)),
        ("2013-03-10".to_owned(), "2013-03-11".to_owned())
    );
}

proptest! {
    #[test]
    fn dates_are_those_of_the_calendar(days in -719_162_i32..2_932_896) {
        prop_assert_eq!(parse_date(&date_text(days)), Some(days));
    }

    /// A clock that has answered other questions before gives the answer of a fresh look.
    #[test]
    fn the_clock_agrees_with_the_zone_database(
        zone in prop::sample::select(vec![
            "UTC", "America/New_York", "Asia/Seoul", "Australia/Lord_Howe", "Asia/Kolkata", "America/Sao_Paulo",
            "Africa/Casablanca", "Pacific/Apia",
        ]),
        // Around the changes of 2011 and 2013, to the half hour, and anywhere else.
        steps in prop::collection::vec(
            prop_oneof![
                (0_i64..40_000).prop_map(|step| 1_290_000_000 + step * 1_800),
                -2_000_000_000_i64..4_000_000_000,
            ],
            1..40,
        ),
    ) {
        let zone = Zone::named(zone).unwrap();
        let mut clock = CivilClock::new(&zone);
        for seconds in steps {
            let shown = TimeZone::UTC.to_datetime(Timestamp::from_second(seconds).unwrap());
            let at = zone.tz().to_ambiguous_zoned(shown).compatible().unwrap().timestamp();
            let is_skipped = zone.tz().to_datetime(at) != shown;
            let skips = zone.tz().preceding(at + SignedDuration::from_nanos(1));
            let expected = skips.map(|skip| skip.timestamp()).find(|_| is_skipped).unwrap_or(at).as_microsecond();
            prop_assert_eq!(clock.instant_us(seconds * 1_000_000), Some(expected), "{}", shown);
        }
    }
}
