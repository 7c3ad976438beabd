//! What crons fire, told by hand around the changes of clocks, and what is refused.

use jiff::{civil::date, tz::Offset};
use mulgil_core::{
    cron::Cron,
    interval::{Instant, Interval},
};
use proptest::prelude::*;

use crate::{CRONS, ZONES, at, range, zone};

/// The firings in a window, as the zone's clock shows them.
fn firings(cron: &str, name: &str, window: Interval) -> Vec<String> {
    let (cron, zone) = (Cron::parse(cron).expect("a cron"), zone(name));
    let mut firings = Vec::new();
    let mut last = Instant(window.start.0 - 1);
    while let Some(firing) = cron.next_after(&zone, last).filter(|firing| *firing < window.end) {
        assert_eq!(cron.last_at_or_before(&zone, firing), Some(firing), "{cron}");
        assert_ne!(
            cron.last_at_or_before(&zone, Instant(firing.0 - 1)),
            Some(firing),
            "{cron}"
        );
        let shown = firing.to_timestamp().to_zoned(zone.tz().clone());
        firings.push(shown.strftime("%d %H:%M %:z").to_string());
        last = firing;
    }
    firings
}

/// 02:00 to 03:00 does not exist on the 10th.
fn new_york_spring() -> Interval {
    range("2013-03-09T05:00:00Z", "2013-03-12T04:00:00Z")
}

/// 01:00 to 02:00 comes twice on the 3rd.
fn new_york_autumn() -> Interval {
    range("2013-11-02T04:00:00Z", "2013-11-05T05:00:00Z")
}

#[test]
fn a_fixed_time_that_does_not_exist_fires_when_the_gap_ends() {
    assert_eq!(
        firings("30 2 * * *", "America/New_York", new_york_spring()),
        ["09 02:30 -05:00", "10 03:00 -04:00", "11 02:30 -04:00"]
    );
    // Two fixed hours are fixed too, although croner takes a list for a wildcard.
    assert_eq!(
        firings("0 2,14 * * *", "America/New_York", new_york_spring()),
        [
            "09 02:00 -05:00",
            "09 14:00 -05:00",
            "10 03:00 -04:00",
            "10 14:00 -04:00",
            "11 02:00 -04:00",
            "11 14:00 -04:00"
        ]
    );
    // All that the gap swallowed is one firing.
    let gap = range("2013-03-10T06:30:00Z", "2013-03-10T08:00:00Z");
    assert_eq!(firings("*/15 2 * * *", "America/New_York", gap), ["10 03:00 -04:00"]);
    assert_eq!(
        firings("30 2,3 * * *", "America/New_York", gap),
        ["10 03:00 -04:00", "10 03:30 -04:00"]
    );
}

#[test]
fn a_fixed_time_that_comes_twice_fires_the_first_time() {
    assert_eq!(
        firings("30 1 * * *", "America/New_York", new_york_autumn()),
        ["02 01:30 -04:00", "03 01:30 -04:00", "04 01:30 -05:00"]
    );
    assert_eq!(
        firings(
            "0 1-3 * * *",
            "America/New_York",
            range("2013-11-03T04:00:00Z", "2013-11-04T05:00:00Z")
        ),
        ["03 01:00 -04:00", "03 02:00 -05:00", "03 03:00 -05:00"]
    );
}

#[test]
fn wildcard_and_step_hours_fire_in_both_passes_and_not_in_the_gap() {
    let autumn = range("2013-11-03T04:00:00Z", "2013-11-03T08:00:00Z");
    assert_eq!(
        firings("0 * * * *", "America/New_York", autumn),
        [
            "03 00:00 -04:00",
            "03 01:00 -04:00",
            "03 01:00 -05:00",
            "03 02:00 -05:00"
        ]
    );
    assert_eq!(
        firings("30 1-23/2 * * *", "America/New_York", autumn),
        ["03 01:30 -04:00", "03 01:30 -05:00"]
    );
    let spring = range("2013-03-10T05:00:00Z", "2013-03-10T09:00:00Z");
    assert_eq!(
        firings("30 * * * *", "America/New_York", spring),
        [
            "10 00:30 -05:00",
            "10 01:30 -05:00",
            "10 03:30 -04:00",
            "10 04:30 -04:00"
        ]
    );
}

#[test]
fn half_an_hour_is_repeated_on_lord_howe() {
    let back = range("2013-04-06T14:00:00Z", "2013-04-06T17:00:00Z");
    assert_eq!(
        firings("45 * * * *", "Australia/Lord_Howe", back),
        ["07 01:45 +11:00", "07 01:45 +10:30", "07 02:45 +10:30"]
    );
    assert_eq!(firings("45 1 * * *", "Australia/Lord_Howe", back), ["07 01:45 +11:00"]);
    let forward = range("2013-10-05T14:00:00Z", "2013-10-05T17:00:00Z");
    assert_eq!(
        firings("10 2 * * *", "Australia/Lord_Howe", forward),
        ["06 02:30 +11:00"]
    );
}

#[test]
fn midnight_on_a_day_that_begins_at_one_fires_at_one() {
    assert_eq!(
        firings(
            "0 0 * * *",
            "America/Sao_Paulo",
            range("2013-10-19T12:00:00Z", "2013-10-22T00:00:00Z")
        ),
        ["20 01:00 -02:00", "21 00:00 -02:00"]
    );
}

#[test]
fn a_skipped_date_fires_once_with_the_next() {
    // The 30th did not exist: what was due at its midnight is due when the 31st begins, as that is.
    assert_eq!(
        firings(
            "0 0 * * *",
            "Pacific/Apia",
            range("2011-12-29T00:00:00Z", "2012-01-01T00:00:00Z")
        ),
        ["29 00:00 -10:00", "31 00:00 +14:00", "01 00:00 +14:00"]
    );
}

#[test]
fn names_lists_and_marks_are_understood() {
    let march = range("2013-03-01T00:00:00Z", "2013-04-01T00:00:00Z");
    let days = |cron: &str| {
        let firings = firings(cron, "UTC", march);
        firings
            .iter()
            .map(|firing| firing[..2].to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(days("0 0 * * mon"), "04 11 18 25");
    assert_eq!(days("0 0 * MAR SAT-SUN"), "02 03 09 10 16 17 23 24 30 31");
    assert_eq!(days("0 0 * * 6-7"), days("0 0 * * SAT,SUN"));
    assert_eq!(days("0 0 */10 * *"), "01 11 21 31");
    assert_eq!(days("0 0 5-20/5,28 3 ?"), "05 10 15 20 28");
    assert_eq!(days("0 0 L * *"), "31");
    assert_eq!(days("0 0 15W * *"), "15");
    assert_eq!(days("0 0 * * FRI#2"), "08");
    assert_eq!(days("0 0 * * FRIL"), "29");
    // Both a day of the month and of the week: either, as crons always did.
    assert_eq!(days("0 0 5 * MON"), "04 05 11 18 25");
    assert_eq!(days("@weekly"), "03 10 17 24 31");
    assert_eq!(days("@monthly"), "01");
}

#[test]
fn a_rare_cron_is_found_and_what_it_was_written_as_is_kept() {
    let leap = Cron::parse("  0 6 29 FEB * ").expect("a cron");
    assert_eq!(leap.as_str(), "0 6 29 FEB *");
    let seoul = zone("Asia/Seoul");
    let now = at("2026-01-01T00:00:00Z");
    assert_eq!(leap.next_after(&seoul, now), Some(at("2028-02-28T21:00:00Z")));
    assert_eq!(leap.last_at_or_before(&seoul, now), Some(at("2024-02-28T21:00:00Z")));
    let json = serde_json::to_string(&leap).expect("JSON");
    assert_eq!(json, "\"0 6 29 FEB *\"");
    assert_eq!(serde_json::from_str::<Cron>(&json).expect("a cron"), leap);
    assert!(serde_json::from_str::<Cron>("\"0 6 30 FEB *\"").is_err());
}

#[test]
fn the_ends_of_time_are_safe() {
    for cron in CRONS.map(|cron| Cron::parse(cron).expect("a cron")) {
        for name in ZONES {
            let zone = zone(name);
            assert_eq!(cron.next_after(&zone, Instant::MAX), None);
            assert_eq!(cron.last_at_or_before(&zone, Instant::MIN), None);
            assert!(cron.next_after(&zone, Instant::MIN).is_some());
            assert!(cron.last_at_or_before(&zone, Instant::MAX).is_some());
        }
    }
}

#[test]
fn a_fault_names_its_field_and_says_why() {
    let faults = [
        "",
        "0 5 * *",
        "0 0 5 * * *",
        "@often",
        "60 5 * * *",
        "x 5 * * *",
        "0 24 * * *",
        "0 5 0 * *",
        "0 5 * 13 *",
        "0 5 * JANUARY *",
        "0 5 * * MONDAY",
        "0 5 * * 8",
        "0 5-3 * * *",
        "0 5/2 * * *",
        "0 */0 * * *",
        "*/90 5 * * *",
        "0 1,,2 * * *",
        "0 L * * *",
        "0 5 * * FRI#6",
        "0 5 40W * *",
        "0 5 * * *,1",
        "0 5 30 FEB *",
        "0 5 31 4,6 *",
        "0 -5 * * *",
    ];
    let said: Vec<String> = faults
        .iter()
        .map(|fault| match Cron::parse(fault) {
            Ok(_) => format!("{fault:14} is a cron"),
            Err(error) => format!("{fault:14} {error}"),
        })
        .collect();
    insta::assert_snapshot!(said.join("\n"));
}

/// One item of a field's list, with numbers from `low` to `high` and some names and marks.
fn any_item(low: u32, high: u32, words: &'static [&'static str]) -> BoxedStrategy<String> {
    let range = (low..=high, low..=high).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b)));
    let items = prop_oneof![
        (low..=high).prop_map(|value| value.to_string()),
        range.clone(),
        (1..=high).prop_map(|step| format!("*/{step}")),
        (range, 1..=high).prop_map(|(range, step)| format!("{range}/{step}")),
    ];
    if words.is_empty() {
        return items.boxed();
    }
    prop_oneof![3 => items, 1 => prop::sample::select(words).prop_map(str::to_owned)].boxed()
}

fn any_field(low: u32, high: u32, words: &'static [&'static str]) -> impl Strategy<Value = String> {
    let list = prop::collection::vec(any_item(low, high, words), 1..3).prop_map(|items| items.join(","));
    prop_oneof![1 => Just("*".to_owned()), 3 => list]
}

fn any_day() -> impl Strategy<Value = String> {
    let marked = any_field(1, 31, &["L", "l", "LW", "15W", "1w", "30W", "31W"]);
    prop_oneof![4 => marked, 1 => Just("?".to_owned()), 1 => prop::sample::select(vec!["L", "29", "30", "31", "31W"]).prop_map(str::to_owned)]
}

fn any_weekday() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &[
        "SUN",
        "mon",
        "Sat",
        "FRI#2",
        "1#5",
        "7#1",
        "MONL",
        "5l",
        "7L",
        "0#L",
        "SAT-SUN",
        "SUN-SUN",
        "MON-FRI/2",
    ];
    prop_oneof![4 => any_field(0, 7, WORDS), 1 => Just("?".to_owned())]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// What our check lets through, croner reads; a date that never comes is the one fault left.
    #[test]
    fn every_cron_of_the_grammar_is_read(
        minute in any_field(0, 59, &[]),
        hour in any_field(0, 23, &[]),
        day in any_day(),
        month in any_field(1, 12, &["JAN", "feb", "Nov", "JAN-MAR", "OCT-DEC/2"]),
        weekday in any_weekday(),
    ) {
        let text = format!("{minute} {hour} {day} {month} {weekday}");
        if let Err(error) = Cron::parse(&text) {
            prop_assert!(error.to_string().contains("never fires"), "{}", error);
        }
    }

    /// Where the clock is never changed, our search finds what croner finds, the other reader of such crons.
    #[test]
    fn every_cron_fires_when_croner_says(
        minute in any_field(0, 59, &[]),
        hour in any_field(0, 23, &[]),
        day in any_day(),
        month in any_field(1, 12, &["JAN", "feb", "Nov", "JAN-MAR", "OCT-DEC/2"]),
        weekday in any_weekday(),
        at in -62_135_510_400_000_000..95_617_583_999_000_000i64,
    ) {
        let text = format!("{minute} {hour} {day} {month} {weekday}");
        let other: croner::Cron = text.parse().expect("croner reads it");
        let (utc, from) = (zone("UTC"), Instant(at));
        let civil = |at: Instant| Offset::UTC.to_datetime(at.to_timestamp());
        let Ok(cron) = Cron::parse(&text) else {
            let first = civil(Instant(-62_135_510_400_000_000));
            prop_assert!(other.find_next_occurrence(&first, true).is_err(), "{} fires", text);
            return Ok(());
        };
        let next = other.find_next_occurrence(&civil(from), false).ok();
        let next = next.filter(|next| next.year() < 5000);
        prop_assert_eq!(cron.next_after(&utc, from).map(civil), next, "{} after {:?}", text, from);
        let last = other.find_previous_occurrence(&civil(from), true).ok();
        let last = last.filter(|last| *last >= date(1, 1, 2).at(0, 0, 0, 0));
        prop_assert_eq!(cron.last_at_or_before(&utc, from).map(civil), last, "{} before {:?}", text, from);
    }

    #[test]
    fn next_and_last_are_neighbours(
        cron in prop::sample::select(&CRONS[..]),
        name in prop::sample::select(&ZONES[..]),
        at in 536_457_600_000_000..2_208_988_800_000_000i64,
    ) {
        let (cron, zone, at) = (Cron::parse(cron).expect("a cron"), zone(name), Instant(at));
        let last = cron.last_at_or_before(&zone, at).expect("a firing before");
        let next = cron.next_after(&zone, at).expect("a firing after");
        prop_assert!(last <= at && at < next);
        prop_assert_eq!(cron.next_after(&zone, last), Some(next));
        prop_assert_eq!(cron.last_at_or_before(&zone, Instant(next.0 - 1)), Some(last));
        prop_assert_eq!(cron.last_at_or_before(&zone, next), Some(next));
    }
}
