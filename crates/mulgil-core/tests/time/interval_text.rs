//! Intervals as people write them.

use mulgil_core::{
    codes::BAD_INTERVAL,
    grid::{Grid, Unit, Zone},
    interval::{Instant, Interval},
    interval_text::{format, format_instant, format_length, parse},
};
use proptest::prelude::*;

use crate::{CRONS, UNITS, ZONES, at, crons, range, units, zone};

fn read(text: &str, grid: &Grid) -> Interval {
    match parse(text, grid) {
        Ok(interval) => interval,
        Err(fault) => panic!("{fault}"),
    }
}

fn refuse(text: &str, grid: &Grid) -> String {
    match parse(text, grid) {
        Ok(interval) => panic!("`{text}` is {interval:?}"),
        Err(fault) => {
            assert_eq!(fault.code, BAD_INTERVAL);
            assert!(fault.remedy.is_some(), "{fault}");
            fault.to_string()
        }
    }
}

fn new_york(unit: Unit) -> Grid {
    units(unit, "America/New_York")
}

#[test]
fn dates_months_and_years_are_those_of_the_zone() {
    let day = new_york(Unit::Day);
    assert_eq!(
        read("2013-03-10", &day),
        range("2013-03-10T05:00:00Z", "2013-03-11T04:00:00Z")
    );
    assert_eq!(
        read("2013-03", &day),
        range("2013-03-01T05:00:00Z", "2013-04-01T04:00:00Z")
    );
    assert_eq!(
        read("2013", &day),
        range("2013-01-01T05:00:00Z", "2014-01-01T05:00:00Z")
    );
    assert_eq!(
        read("2013-W10", &day),
        range("2013-03-04T05:00:00Z", "2013-03-11T04:00:00Z")
    );
    assert_eq!(
        read("2013-03-10..2013-03-14", &day),
        range("2013-03-10T05:00:00Z", "2013-03-14T04:00:00Z")
    );
    assert_eq!(
        read("2013-02..2013-03-10", &day),
        range("2013-02-01T05:00:00Z", "2013-03-10T05:00:00Z")
    );
    assert_eq!(read("2013-03-10T00:00:00-05:00", &day), read("2013-03-10", &day));
    assert_eq!(
        read("2013-03-10T05:00:00Z..2013-03-12", &day),
        read("2013-03-10..2013-03-12", &day)
    );
    assert_eq!(read("2013..", &day).end, Instant::MAX);
    assert_eq!(
        read("..2013", &day),
        Interval {
            start: Instant::MIN,
            end: read("2013", &day).start
        }
    );
    assert_eq!(read("all", &day), Interval::WHOLE);
}

#[test]
fn an_hour_that_comes_twice_is_named_with_its_offset() {
    let hour = new_york(Unit::Hour);
    assert_eq!(
        read("2013-11-03T01-04:00", &hour),
        range("2013-11-03T05:00:00Z", "2013-11-03T06:00:00Z")
    );
    assert_eq!(
        read("2013-11-03T01-05:00", &hour),
        range("2013-11-03T06:00:00Z", "2013-11-03T07:00:00Z")
    );
    assert_eq!(
        read("2013-11-03T00", &hour),
        range("2013-11-03T04:00:00Z", "2013-11-03T05:00:00Z")
    );
    assert_eq!(read("2013-11-03T06Z", &hour), read("2013-11-03T01-05:00", &hour));
    assert_eq!(hour.count(read("2013-11-03", &hour)), 25);
    let howe = units(Unit::Hour, "Australia/Lord_Howe");
    let half = read("2013-04-07T01:30:00+10:30", &howe);
    assert_eq!(half, range("2013-04-06T15:00:00Z", "2013-04-06T15:30:00Z"));
}

#[test]
fn faults_say_what_where_why_and_what_to_do() {
    let (hour, day, week, month) = (Unit::Hour, Unit::Day, Unit::Week, Unit::Month);
    let faults = [
        refuse("2013-11-03T01", &new_york(hour)),
        refuse("2013-03-10T02", &new_york(hour)),
        refuse("2013-03-10T01:30:00-05:00", &new_york(hour)),
        refuse("2011-12-30", &units(day, "Pacific/Apia")),
        refuse("2013-03-10T05-04:00", &new_york(day)),
        refuse("2013-03-10", &new_york(month)),
        refuse("2013-03", &new_york(week)),
        refuse("2013-03-10", &crons("0 5 * * *", "America/New_York")),
        refuse("2013-03-14..2013-03-10", &new_york(day)),
        refuse("2013-03-10", &Grid::whole(Zone::UTC)),
        refuse("yesterday", &new_york(day)),
    ];
    insta::assert_snapshot!(faults.join("\n\n"));
}

#[test]
fn what_is_not_a_date_is_refused() {
    for text in [
        "",
        "..x",
        "13",
        "2013-",
        "2013-3",
        "2013-13",
        "2013-02-29",
        "2013-W54",
        "2013-W00",
        "2013-03-10T",
        "2013-03T01",
        "2013-03-10T24",
        "2013-03-10T1",
        "2013-03-10T01:60",
        "2013-03-10T01:00:60",
        "2013-03-10T01:00:00.",
        "2013-03-10T01:00:00.1234567",
        "2013-03-10T01-",
        "2013-03-10T01-4",
        "2013-03-10T01Zulu",
        "2013-03-10 01:00",
        "2013-03-10-01",
        "+2013",
        "２０１３",
        "2013-03-1٣",
        "2013...2014",
        "All",
    ] {
        refuse(text, &new_york(Unit::Hour));
    }
}

#[test]
fn the_shortest_name_is_printed() {
    let day = new_york(Unit::Day);
    for text in [
        "2013-03-10",
        "2013-03",
        "2013",
        "2013-03-10..2013-03-14",
        "2013-03-04..2013-03-11",
        "2013-05-31..",
    ] {
        assert_eq!(format(read(text, &day), &day), text);
    }
    let hour = new_york(Unit::Hour);
    for text in [
        "2013-11-03T01-04:00",
        "2013-11-03",
        "2013-11-03T01-05:00..2013-11-04",
        "2013-02",
    ] {
        assert_eq!(format(read(text, &hour), &hour), text);
    }
    assert_eq!(
        format(read("2013-W10", &new_york(Unit::Week)), &new_york(Unit::Week)),
        "2013-W10"
    );
    assert_eq!(
        format(read("2013-02..2013-05", &day), &new_york(Unit::Month)),
        "2013-02..2013-05"
    );
    assert_eq!(
        format(read("2013-W01..2013-W03", &day), &new_york(Unit::Week)),
        "2013-W01..2013-W03"
    );
    assert_eq!(format(read("2012..2014", &day), &new_york(Unit::Year)), "2012..2014");
    let five = crons("30 5 * * *", "America/New_York");
    let one = five.interval_at(at("2013-03-10T12:00:00Z"));
    assert_eq!(format(one, &five), "2013-03-10T05:30:00-04:00");
    assert_eq!(format(Interval::WHOLE, &Grid::whole(Zone::UTC)), "all");
    let howe = units(Unit::Hour, "Australia/Lord_Howe");
    let half = howe.interval_at(at("2013-04-06T15:10:00Z"));
    assert_eq!(format(half, &howe), "2013-04-07T01:30:00+10:30");
    // A date that begins at one is still a date.
    let sao_paulo = units(Unit::Day, "America/Sao_Paulo");
    assert_eq!(
        format(sao_paulo.interval_at(at("2013-10-20T12:00:00Z")), &sao_paulo),
        "2013-10-20"
    );
}

#[test]
fn instants_and_lengths_are_printed_exactly() {
    let new_york = zone("America/New_York");
    assert_eq!(
        format_instant(at("2013-03-10T05:00:00Z"), &new_york),
        "2013-03-10T00:00:00-05:00"
    );
    assert_eq!(
        format_instant(at("2013-07-01T00:00:00.25Z"), &new_york),
        "2013-06-30T20:00:00.25-04:00"
    );
    assert_eq!(
        format_instant(at("2013-07-01T00:00:00Z"), &Zone::UTC),
        "2013-07-01T00:00:00+00:00"
    );
    assert_eq!(
        format_instant(at("1900-01-01T00:00:00Z"), &zone("Asia/Seoul")),
        "1900-01-01T08:27:52+08:27:52"
    );
    assert_eq!(format_instant(Instant::MIN, &new_york), "-infinity");
    assert_eq!(format_instant(Instant::MAX, &new_york), "infinity");
    let length = |text: &str| format_length(read(text, &units(Unit::Day, "America/New_York")));
    assert_eq!(
        (length("2013-03-10"), length("2013-11-03")),
        ("23 h".to_owned(), "25 h".to_owned())
    );
    assert_eq!(
        format_length(range("2013-01-01T00:00:00Z", "2013-01-01T23:30:00Z")),
        "23 h 30 min"
    );
    assert_eq!(
        format_length(range("2013-01-01T00:00:00Z", "2013-01-01T00:00:01.000002Z")),
        "1 s 2 µs"
    );
    assert_eq!(format_length(Interval::WHOLE), "for ever");
}

fn any_grid() -> impl Strategy<Value = Grid> {
    let unit = (prop::sample::select(&UNITS[..]), prop::sample::select(&ZONES[..]));
    let cron = (prop::sample::select(&CRONS[..]), prop::sample::select(&ZONES[..]));
    prop_oneof![
        3 => unit.prop_map(|(unit, zone)| units(unit, zone)),
        1 => cron.prop_map(|(cron, zone)| crons(cron, zone)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(768))]

    #[test]
    fn what_is_printed_is_read_back(
        grid in any_grid(),
        at in at("1987-01-01T00:00:00Z").0..at("2040-01-01T00:00:00Z").0,
        more in prop_oneof![Just(0u32), 1..40u32],
    ) {
        let first = grid.interval_at(Instant(at));
        let interval = Interval { start: first.start, end: grid.ahead(first.end, more) };
        let text = format(interval, &grid);
        match parse(&text, &grid) {
            Ok(back) => prop_assert_eq!(back, interval, "{}", text),
            Err(fault) => prop_assert!(false, "{}", fault),
        }
        if more == 0 {
            prop_assert!(!text.contains(".."), "{}", text);
        }
        let printed = format_instant(Instant(at), &grid.zone);
        prop_assert_eq!(printed.parse::<jiff::Timestamp>().ok().map(Instant::from_timestamp), Some(Instant(at)));
    }

    #[test]
    fn no_text_panics(text in "[0-9TWZ:.+-]{0,24}", grid in any_grid()) {
        if let Ok(interval) = parse(&text, &grid) {
            prop_assert!(interval.start < interval.end);
            prop_assert!(grid.is_cut_at(interval.start) && grid.is_cut_at(interval.end));
        }
    }
}
