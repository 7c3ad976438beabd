//! Grids tile the line.

use jiff::{Timestamp, civil::Date};
use mulgil_core::{
    grid::{Cut, Grid, Unit, Zone},
    interval::{Instant, Interval},
};
use proptest::prelude::*;

use crate::{CRONS, UNITS, ZONES, at, crons, range, units, zone};

fn years() -> Interval {
    range("1987-01-01T00:00:00Z", "2040-01-01T00:00:00Z")
}

fn local(zone: &Zone, at: Instant) -> jiff::Zoned {
    at.to_timestamp().to_zoned(zone.tz().clone())
}

/// What a unit's cut is, told by jiff alone: the hour's or date's first instant, or a change of offset.
fn is_cut_by_definition(unit: Unit, zone: &Zone, at: Instant) -> bool {
    let (now, before) = (local(zone, at), local(zone, Instant(at.0 - 1)));
    let new_date = now.date() > before.date();
    match unit {
        Unit::Hour => (now.minute(), now.second()) == (0, 0) || now.offset() != before.offset(),
        Unit::Day => new_date,
        Unit::Week => new_date && week(now.date()) != week(before.date()),
        Unit::Month => new_date && (now.year(), now.month()) != (before.year(), before.month()),
        Unit::Year => new_date && now.year() != before.year(),
    }
}

fn week(date: Date) -> (i16, i8) {
    (date.iso_week_date().year(), date.iso_week_date().week())
}

#[test]
fn every_unit_tiles_fifty_years_of_every_zone() {
    for name in ZONES {
        for unit in UNITS {
            let grid = units(unit, name);
            let years = grid.snap_out(years());
            let mut end = years.start;
            let mut count = 0;
            for interval in grid.intervals(years) {
                assert_eq!(interval.start, end, "{name} {unit:?}: a gap or an overlap");
                assert!(interval.start < interval.end, "{name} {unit:?}: {interval:?} is empty");
                count += 1;
                end = interval.end;
                if unit != Unit::Hour || count % 97 == 0 {
                    assert!(
                        is_cut_by_definition(unit, &grid.zone, interval.start),
                        "{name} {unit:?} {interval:?}"
                    );
                }
            }
            assert_eq!(end, years.end, "{name} {unit:?}");
            assert_eq!(grid.count(years), count, "{name} {unit:?}");
        }
    }
}

#[test]
fn crons_tile_two_years_of_every_zone() {
    for name in ZONES {
        for cron in CRONS.into_iter().filter(|cron| !cron.starts_with('*')) {
            let grid = crons(cron, name);
            let years = grid.snap_out(range("2011-01-01T00:00:00Z", "2013-01-01T00:00:00Z"));
            let mut end = years.start;
            for interval in grid.intervals(years) {
                assert_eq!(interval.start, end, "{name} {cron}: a gap or an overlap");
                assert!(interval.start < interval.end, "{name} {cron}: {interval:?} is empty");
                assert_eq!(grid.floor(interval.end), interval.end, "{name} {cron}");
                assert_eq!(grid.prev_cut(interval.end), interval.start, "{name} {cron}");
                end = interval.end;
            }
            assert_eq!(end, years.end, "{name} {cron}");
        }
    }
}

fn any_grid() -> impl Strategy<Value = Grid> {
    let unit = (prop::sample::select(&UNITS[..]), prop::sample::select(&ZONES[..]));
    let cron = (prop::sample::select(&CRONS[..]), prop::sample::select(&ZONES[..]));
    prop_oneof![
        3 => unit.prop_map(|(unit, zone)| units(unit, zone)),
        1 => cron.prop_map(|(cron, zone)| crons(cron, zone)),
    ]
}

/// Instants near the changes of a clock, and any other.
fn any_instant() -> impl Strategy<Value = Instant> {
    let changes: Vec<i64> = ZONES
        .iter()
        .flat_map(|name| {
            let zone = zone(name);
            let start: Timestamp = "1987-01-01T00:00:00Z".parse().expect("an instant");
            zone.tz()
                .following(start)
                .map(|change| change.timestamp().as_microsecond())
                .take_while(|change| *change < years().end.0)
                .collect::<Vec<_>>()
        })
        .collect();
    let near = (prop::sample::select(changes), -7_200_000_000..7_200_000_000i64).prop_map(|(at, by)| at + by);
    let exact = (prop::sample::select(vec![-3600i64, -1800, 0, 1800, 3600]), near.clone())
        .prop_map(|(by, near)| near.div_euclid(1_800_000_000) * 1_800_000_000 + by * 1_000_000);
    prop_oneof![near, exact, years().start.0..years().end.0].prop_map(Instant)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn moves_between_cuts_agree(grid in any_grid(), at in any_instant()) {
        let interval = grid.interval_at(at);
        prop_assert!(interval.contains_instant(at));
        prop_assert_eq!(grid.floor(at), interval.start);
        prop_assert_eq!(grid.next_cut(at), interval.end);
        prop_assert_eq!(grid.is_cut_at(at), at == interval.start);
        prop_assert!(grid.is_cut_at(interval.start) && grid.is_cut_at(interval.end));
        prop_assert_eq!(grid.prev_cut(interval.end), interval.start);
        prop_assert_eq!(grid.next_cut(interval.start), interval.end);
        prop_assert_eq!(grid.snap_out(interval), interval);
        prop_assert_eq!(grid.snap_in(interval), Some(interval));
        prop_assert_eq!(grid.count(interval), 1);
        if let Cut::Unit(unit) = grid.cut {
            prop_assert!(is_cut_by_definition(unit, &grid.zone, interval.start));
            // No cut is missed inside: looked for at each quarter of an hour of short intervals.
            if matches!(unit, Unit::Hour | Unit::Day) {
                let mut inside = interval.start.0 + 1;
                while inside < interval.end.0 {
                    let quarter = Instant(inside.div_euclid(900_000_000) * 900_000_000);
                    if interval.start < quarter {
                        prop_assert!(!is_cut_by_definition(unit, &grid.zone, quarter), "{:?}", quarter);
                    }
                    inside += 900_000_000;
                }
            }
        }
    }

    #[test]
    fn counting_and_stepping_agree_with_walking(grid in any_grid(), at in any_instant(), steps in 0u32..60) {
        let end = grid.floor(at);
        let mut cut = end;
        for _ in 0..steps {
            cut = grid.prev_cut(cut);
        }
        prop_assert_eq!(grid.back(at, steps), cut);
        prop_assert_eq!(grid.ahead(cut, steps), end);
        if let Some(walked) = Interval::new(cut, end) {
            prop_assert_eq!(grid.count(walked), u64::from(steps));
            let intervals: Vec<_> = grid.intervals(walked).collect();
            prop_assert_eq!(intervals.len() as u32, steps);
            prop_assert_eq!(intervals.iter().map(|interval| interval.start).collect::<Vec<_>>(), grid.cuts(walked));
        }
    }

    #[test]
    fn the_ends_of_time_are_safe(grid in any_grid(), text in any::<i64>()) {
        let at = Instant(text);
        prop_assert!(grid.floor(at) <= at && (grid.next_cut(at) > at || at == Instant::MAX));
        prop_assert!(grid.prev_cut(at) < at || at == Instant::MIN);
        prop_assert!(grid.interval_at(at).start < grid.interval_at(at).end);
        prop_assert!(grid.back(at, 3) <= grid.ahead(at, 3));
    }
}

#[test]
fn the_ends_of_time_are_cuts_of_every_grid() {
    let mut grids: Vec<Grid> = UNITS
        .iter()
        .flat_map(|unit| ZONES.map(|name| units(*unit, name)))
        .collect();
    grids.extend(CRONS.map(|cron| crons(cron, "America/New_York")));
    grids.push(Grid::whole(Zone::UTC));
    for grid in grids {
        for edge in [Instant::MIN, Instant::MAX] {
            assert!(grid.is_cut_at(edge), "{grid:?}");
            assert_eq!(grid.floor(edge), edge, "{grid:?}");
            assert_eq!(grid.ceil(edge), edge, "{grid:?}");
        }
        assert_eq!(grid.snap_out(Interval::WHOLE), Interval::WHOLE);
        assert_eq!(grid.next_cut(Instant::MAX), Instant::MAX, "{grid:?}");
        assert_eq!(grid.prev_cut(Instant::MIN), Instant::MIN, "{grid:?}");
        assert_eq!(grid.back(Instant::MIN, 9), Instant::MIN, "{grid:?}");
        assert_eq!(grid.ahead(Instant::MAX, 9), Instant::MAX, "{grid:?}");
        let last = grid.interval_at(Instant::MAX);
        assert_eq!(last.end, Instant::MAX, "{grid:?}");
        assert_eq!(grid.interval_at(Instant::MIN).start, Instant::MIN, "{grid:?}");
        assert_eq!(grid.prev_cut(Instant::MAX), last.start, "{grid:?}");
    }
}

#[test]
fn what_is_not_cut_is_one_interval() {
    let whole = Grid::whole(zone("Asia/Seoul"));
    let now = at("2026-01-01T00:00:00Z");
    assert_eq!(whole.interval_at(now), Interval::WHOLE);
    assert_eq!((whole.floor(now), whole.next_cut(now)), (Instant::MIN, Instant::MAX));
    assert_eq!(whole.count(Interval::WHOLE), 1);
    assert_eq!(whole.intervals(Interval::WHOLE).collect::<Vec<_>>(), [Interval::WHOLE]);
    assert!(!whole.is_cut_at(now));
    assert_eq!(
        whole.snap_out(range("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")),
        Interval::WHOLE
    );
}

fn lengths(unit: Unit, name: &str, start: &str, end: &str) -> Vec<i64> {
    units(unit, name)
        .intervals(range(start, end))
        .map(|interval| (interval.end.0 - interval.start.0) / 60_000_000)
        .collect()
}

#[test]
fn days_have_23_and_25_hours_in_new_york() {
    let day = units(Unit::Day, "America/New_York");
    let hour = units(Unit::Hour, "America/New_York");
    let spring = day.interval_at(at("2013-03-10T12:00:00Z"));
    let autumn = day.interval_at(at("2013-11-03T12:00:00Z"));
    assert_eq!(spring, range("2013-03-10T05:00:00Z", "2013-03-11T04:00:00Z"));
    assert_eq!((hour.count(spring), hour.count(autumn)), (23, 25));
}

#[test]
fn half_an_hour_is_an_interval_on_lord_howe() {
    // The clock goes back from 02:00 to 01:30, and forward from 02:00 to 02:30.
    let back = lengths(
        Unit::Hour,
        "Australia/Lord_Howe",
        "2013-04-06T14:00:00Z",
        "2013-04-06T16:30:00Z",
    );
    assert_eq!(back, [60, 30, 60]);
    let forward = lengths(
        Unit::Hour,
        "Australia/Lord_Howe",
        "2013-10-05T14:30:00Z",
        "2013-10-05T17:00:00Z",
    );
    assert_eq!(forward, [60, 30, 60]);
}

#[test]
fn half_hour_zones_cut_on_their_own_clock() {
    let kolkata = units(Unit::Hour, "Asia/Kolkata");
    assert_eq!(kolkata.floor(at("2013-03-10T05:00:00Z")), at("2013-03-10T04:30:00Z"));
    let kathmandu = units(Unit::Hour, "Asia/Kathmandu");
    assert_eq!(kathmandu.floor(at("2013-03-10T05:00:00Z")), at("2013-03-10T04:15:00Z"));
}

#[test]
fn a_skipped_date_has_no_interval() {
    let apia = units(Unit::Day, "Pacific/Apia");
    let around = range("2011-12-29T10:00:00Z", "2011-12-31T10:00:00Z");
    let days: Vec<Interval> = apia.intervals(around).collect();
    assert_eq!(
        days.iter()
            .map(|day| local(&apia.zone, day.start).day())
            .collect::<Vec<_>>(),
        [29, 31]
    );
    assert_eq!(apia.count(around), 2);
    assert_eq!(apia.back(at("2012-01-01T00:00:00Z"), 2), days[0].start);
}

#[test]
fn a_date_begins_at_one_where_midnight_was_skipped() {
    let day = units(Unit::Day, "America/Sao_Paulo").interval_at(at("2013-10-20T12:00:00Z"));
    assert_eq!(day, range("2013-10-20T03:00:00Z", "2013-10-21T02:00:00Z"));
}

#[test]
fn a_date_begins_once_where_midnight_is_repeated() {
    // At 00:01 on Sunday the clock went back to 23:01 on Saturday.
    let day = units(Unit::Day, "America/St_Johns");
    let sunday = day.interval_at(at("2010-11-07T12:00:00Z"));
    assert_eq!(sunday.start, at("2010-11-07T02:30:00Z"));
    assert_eq!(day.interval_at(at("2010-11-07T02:31:30Z")), sunday);
    assert_eq!(day.prev_cut(sunday.start), at("2010-11-06T02:30:00Z"));
}

#[test]
fn counting_fourteen_years_of_hours_walks_no_hour() {
    // 120,000 hours; ten thousand counts of them would take minutes if each hour were visited.
    let hours = units(Unit::Hour, "America/New_York");
    let years = range("2013-01-01T05:00:00Z", "2026-09-09T05:00:00Z");
    for _ in 0..1_000 {
        assert_eq!(hours.count(years), 119_976);
    }
}
