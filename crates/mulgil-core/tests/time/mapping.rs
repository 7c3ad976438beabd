//! What a reader needs of an upstream, and what a change of the upstream touches.

use mulgil_core::{
    grid::{Grid, Unit, Zone},
    interval::{Instant, Interval, RangeSet},
    mapping::Mapping,
};
use proptest::prelude::*;

use crate::{CRONS, UNITS, ZONES, at, crons, range, set, units};

const LAST_28_DAYS: Mapping = Mapping::Window {
    count: 28,
    unit: Unit::Day,
};
const LAST_7_DAYS: Mapping = Mapping::Window {
    count: 7,
    unit: Unit::Day,
};
const AS_IT_IS: Mapping = Mapping::Whole { restates: false };

/// The days of New York from 2013 to 2014.
fn days_of_2013() -> Grid {
    Grid {
        begin: Some(at("2013-01-01T05:00:00Z")),
        end: Some(at("2014-01-01T05:00:00Z")),
        ..units(Unit::Day, "America/New_York")
    }
}

fn new_york(unit: Unit) -> Grid {
    units(unit, "America/New_York")
}

fn day(date: &str) -> Interval {
    let noon = at(&format!("{date}T17:00:00Z"));
    new_york(Unit::Day).interval_at(noon)
}

fn days(first: &str, last: &str) -> Interval {
    Interval {
        start: day(first).start,
        end: day(last).end,
    }
}

#[test]
fn the_same_cuts_map_to_themselves_inside_both_extents() {
    let (reader, upstream) = (days_of_2013(), days_of_2013());
    let one = day("2013-03-10");
    assert_eq!(Mapping::Overlap.needs(&reader, &upstream, one), Some(one));
    assert_eq!(Mapping::Overlap.touches(&reader, &upstream, one), Some(one));
    assert_eq!(Mapping::Overlap.reads(&reader, one), Some(one));
    assert_eq!(Mapping::Overlap.needs(&reader, &upstream, day("2012-12-31")), None);
    assert_eq!(Mapping::Overlap.touches(&reader, &upstream, day("2014-01-01")), None);
    let edge = days("2012-12-30", "2013-01-02");
    assert_eq!(
        Mapping::Overlap.touches(&reader, &upstream, edge),
        Some(days("2013-01-01", "2013-01-02"))
    );
}

#[test]
fn finer_is_all_inside_and_coarser_the_one_around() {
    let (day_grid, month) = (new_york(Unit::Day), new_york(Unit::Month));
    let march = days("2013-03-01", "2013-03-31");
    let tenth = day("2013-03-10");
    assert_eq!(Mapping::Overlap.needs(&month, &day_grid, march), Some(march));
    assert_eq!(Mapping::Overlap.touches(&month, &day_grid, tenth), Some(march));
    assert_eq!(Mapping::Overlap.needs(&day_grid, &month, tenth), Some(march));
    assert_eq!(Mapping::Overlap.touches(&day_grid, &month, march), Some(march));
    // What is read of the month is the day alone.
    assert_eq!(Mapping::Overlap.reads(&day_grid, tenth), Some(tenth));
}

#[test]
fn a_day_of_another_zone_lies_over_two() {
    let seoul = units(Unit::Day, "Asia/Seoul");
    let tenth = day("2013-03-10");
    let needed = Mapping::Overlap
        .needs(&new_york(Unit::Day), &seoul, tenth)
        .expect("some days");
    assert_eq!(needed, range("2013-03-09T15:00:00Z", "2013-03-11T15:00:00Z"));
}

#[test]
fn a_window_ends_with_the_readers_own_interval() {
    let (reader, upstream) = (new_york(Unit::Day), new_york(Unit::Day));
    let tenth = day("2013-03-10");
    assert_eq!(
        LAST_7_DAYS.reads(&reader, tenth),
        Some(days("2013-03-04", "2013-03-10"))
    );
    assert_eq!(
        LAST_7_DAYS.needs(&reader, &upstream, tenth),
        Some(days("2013-03-04", "2013-03-10"))
    );
    // Several of them together: from the first one's window to the last one's.
    let two = days("2013-03-10", "2013-03-11");
    assert_eq!(LAST_7_DAYS.reads(&reader, two), Some(days("2013-03-04", "2013-03-11")));
    // A reader by month reads the end of its month, one by hour whole days up to its own.
    let march = days("2013-03-01", "2013-03-31");
    assert_eq!(
        LAST_7_DAYS.reads(&new_york(Unit::Month), march),
        Some(days("2013-03-25", "2013-03-31"))
    );
    let hour = range("2013-03-10T17:00:00Z", "2013-03-10T18:00:00Z");
    assert_eq!(
        LAST_7_DAYS.reads(&new_york(Unit::Hour), hour),
        Some(days("2013-03-04", "2013-03-10"))
    );
}

#[test]
fn one_changed_day_touches_28_windows_clipped_by_the_end() {
    let (reader, upstream) = (days_of_2013(), days_of_2013());
    let touched = |date: &str| {
        let touched = LAST_28_DAYS.touches(&reader, &upstream, day(date)).expect("some days");
        (touched, reader.count(touched))
    };
    assert_eq!(touched("2013-03-10"), (days("2013-03-10", "2013-04-06"), 28));
    assert_eq!(touched("2013-12-04"), (days("2013-12-04", "2013-12-31"), 28));
    assert_eq!(touched("2013-12-05"), (days("2013-12-05", "2013-12-31"), 27));
    assert_eq!(touched("2013-12-31"), (day("2013-12-31"), 1));
}

#[test]
fn a_window_before_the_upstream_began_is_ready_and_empty() {
    let (reader, upstream) = (new_york(Unit::Day), days_of_2013());
    assert_eq!(
        LAST_7_DAYS.needs(&reader, &upstream, day("2013-01-02")),
        Some(days("2013-01-01", "2013-01-02"))
    );
    assert_eq!(LAST_7_DAYS.needs(&reader, &upstream, day("2012-12-31")), None);
    let candidates = set(&[days("2012-12-30", "2013-01-10")]);
    let filled = set(&[days("2013-01-01", "2013-01-03")]);
    let ready = LAST_7_DAYS.ready(&reader, &upstream, &filled, &candidates);
    assert_eq!(ready, set(&[days("2012-12-30", "2013-01-03")]));
}

#[test]
fn a_hole_keeps_the_windows_that_hold_it_waiting() {
    let (reader, upstream) = (days_of_2013(), days_of_2013());
    let all = set(&[reader.extent()]);
    let mut filled = all.clone();
    filled.remove(day("2013-02-01"));
    let ready = LAST_7_DAYS.ready(&reader, &upstream, &filled, &all);
    assert_eq!(all.subtract(&ready), set(&[days("2013-02-01", "2013-02-07")]));
    let ready = Mapping::Overlap.ready(&reader, &upstream, &filled, &all);
    assert_eq!(ready, filled);
    let months = new_york(Unit::Month);
    let ready = Mapping::Overlap.ready(&months, &upstream, &filled, &all);
    assert_eq!(all.subtract(&ready), set(&[days("2013-02-01", "2013-02-28")]));
}

#[test]
fn a_single_file_is_needed_whole_but_touches_only_what_changed_in_it() {
    let (reader, file) = (days_of_2013(), Grid::whole(Zone::UTC));
    let tenth = day("2013-03-10");
    assert_eq!(Mapping::Overlap.needs(&reader, &file, tenth), Some(Interval::WHOLE));
    assert_eq!(Mapping::Overlap.reads(&reader, tenth), Some(tenth));
    let hours = range("2013-03-10T17:00:00Z", "2013-03-10T19:00:00Z");
    assert_eq!(Mapping::Overlap.touches(&reader, &file, hours), Some(tenth));
    assert_eq!(
        LAST_7_DAYS.touches(&reader, &file, hours),
        Some(days("2013-03-10", "2013-03-16"))
    );
    assert_eq!(
        Mapping::Overlap.touches(&reader, &file, Interval::WHOLE),
        Some(reader.extent())
    );
    let candidates = set(&[tenth]);
    assert_eq!(
        Mapping::Overlap.ready(&reader, &file, &RangeSet::whole(), &candidates),
        candidates
    );
    assert_eq!(
        Mapping::Overlap.ready(&reader, &file, &RangeSet::new(), &candidates),
        RangeSet::new()
    );
}

#[test]
fn a_reader_that_is_not_cut_reads_all() {
    let (reader, upstream) = (Grid::whole(Zone::UTC), days_of_2013());
    for mapping in [Mapping::Overlap, LAST_7_DAYS, AS_IT_IS] {
        assert_eq!(
            mapping.needs(&reader, &upstream, Interval::WHOLE),
            Some(upstream.extent())
        );
        assert_eq!(mapping.reads(&reader, Interval::WHOLE), None);
        assert_eq!(
            mapping.touches(&reader, &upstream, day("2013-03-10")),
            Some(Interval::WHOLE)
        );
        assert_eq!(mapping.touches(&reader, &upstream, day("2014-03-10")), None);
        let half = set(&[days("2013-01-01", "2013-06-30")]);
        assert_eq!(
            mapping.ready(&reader, &upstream, &half, &RangeSet::whole()),
            RangeSet::new()
        );
        let all = set(&[upstream.extent()]);
        assert_eq!(
            mapping.ready(&reader, &upstream, &all, &RangeSet::whole()),
            RangeSet::whole()
        );
    }
}

#[test]
fn what_is_read_as_it_is_touches_everything_and_restates_where_it_says_so() {
    let (reader, upstream) = (days_of_2013(), days_of_2013());
    assert_eq!(
        AS_IT_IS.needs(&reader, &upstream, day("2013-03-10")),
        Some(upstream.extent())
    );
    assert_eq!(
        AS_IT_IS.touches(&reader, &upstream, day("2013-03-10")),
        Some(reader.extent())
    );
    assert_eq!(AS_IT_IS.reads(&reader, day("2013-03-10")), None);
    assert!(!AS_IT_IS.restates());
    assert!(Mapping::Whole { restates: true }.restates() && Mapping::Overlap.restates() && LAST_7_DAYS.restates());
}

#[test]
fn a_window_of_nothing_needs_and_touches_nothing() {
    let nothing = Mapping::Window {
        count: 0,
        unit: Unit::Day,
    };
    let grid = days_of_2013();
    assert_eq!(nothing.needs(&grid, &grid, day("2013-03-10")), None);
    assert_eq!(nothing.touches(&grid, &grid, day("2013-03-10")), None);
}

#[test]
fn the_ends_of_time_are_safe() {
    for unit in UNITS {
        let (reader, upstream) = (units(unit, "Asia/Seoul"), new_york(Unit::Day));
        for mapping in [Mapping::Overlap, LAST_28_DAYS, AS_IT_IS] {
            assert_eq!(
                mapping.touches(&reader, &upstream, Interval::WHOLE),
                Some(Interval::WHOLE)
            );
            assert_eq!(
                mapping.needs(&reader, &upstream, Interval::WHOLE),
                Some(Interval::WHOLE)
            );
            let candidates = RangeSet::whole();
            assert!(
                mapping
                    .ready(&reader, &upstream, &RangeSet::new(), &candidates)
                    .is_empty()
            );
        }
    }
}

fn any_grid() -> impl Strategy<Value = Grid> {
    let unit = (prop::sample::select(&UNITS[..4]), prop::sample::select(&ZONES[..]));
    let cron = (prop::sample::select(&CRONS[..]), prop::sample::select(&ZONES[..]));
    prop_oneof![
        4 => unit.prop_map(|(unit, zone)| units(unit, zone)),
        1 => cron.prop_map(|(cron, zone)| crons(cron, zone)),
    ]
}

/// The same with a begin and an end in 2011 and 2012, sometimes.
fn any_extent() -> impl Strategy<Value = Grid> {
    let begin = prop::option::of(at("2011-03-01T00:00:00Z").0..at("2011-12-31T00:00:00Z").0);
    let end = prop::option::of(at("2012-01-01T00:00:00Z").0..at("2012-10-01T00:00:00Z").0);
    (any_grid(), begin, end).prop_map(|(grid, begin, end)| Grid {
        begin: begin.map(|begin| grid.floor(Instant(begin))),
        end: end.map(|end| grid.ceil(Instant(end))),
        ..grid
    })
}

fn any_mapping() -> impl Strategy<Value = Mapping> {
    let window = (1u32..40, prop::sample::select(&UNITS[..4]));
    prop_oneof![
        2 => Just(Mapping::Overlap),
        3 => window.prop_map(|(count, unit)| Mapping::Window { count, unit }),
        1 => Just(AS_IT_IS),
    ]
}

fn any_range() -> impl Strategy<Value = Interval> {
    let start = at("2011-01-01T00:00:00Z").0..at("2012-12-31T00:00:00Z").0;
    let length = prop_oneof![1..7_200_000_000i64, 1..700_000_000_000i64, 1..9_000_000_000_000i64];
    (start, length).prop_map(|(start, length)| Interval {
        start: Instant(start),
        end: Instant(start + length),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(768))]

    /// An interval of the reader needs some of what changed exactly where it lies in what that touches.
    #[test]
    fn needs_and_touches_are_two_views_of_one_relation(
        mapping in any_mapping(),
        reader in any_extent(),
        upstream in any_extent(),
        changed in any_range(),
        near in -40i64..40,
        anywhere in any_range(),
    ) {
        let changed = if reader.same_cuts(&upstream) { upstream.snap_out(changed) } else { changed };
        let touched = mapping.touches(&reader, &upstream, changed);
        let mut probes = vec![anywhere.start, changed.start, changed.end, Instant(changed.end.0 + near * 86_400_000_000)];
        if let Some(touched) = touched {
            prop_assert!(reader.is_cut_at(touched.start) && reader.is_cut_at(touched.end));
            probes.extend([touched.start, touched.end, reader.prev_cut(touched.start), reader.prev_cut(touched.end)]);
        }
        for probe in probes {
            let interval = reader.interval_at(probe);
            if !reader.extent().contains(interval) {
                continue;
            }
            let needs = mapping.needs(&reader, &upstream, interval);
            let needs_changed = needs.is_some_and(|needs| needs.overlaps(changed));
            let is_touched = touched.is_some_and(|touched| touched.contains(interval));
            prop_assert_eq!(needs_changed, is_touched, "{:?} needs {:?} of {:?}, touched {:?}", interval, needs, changed, touched);
        }
    }

    /// Ready is what needs nothing that is missing.
    #[test]
    fn ready_is_what_needs_only_what_is_filled(
        mapping in any_mapping(),
        reader in any_extent(),
        upstream in any_extent(),
        filled in prop::collection::vec(any_range(), 0..5),
        probes in prop::collection::vec(any_range(), 1..6),
    ) {
        let filled: RangeSet = filled.into_iter().map(|range| upstream.snap_out(range)).collect();
        let intervals: Vec<Interval> = probes.iter().map(|probe| reader.interval_at(probe.start)).collect();
        let candidates: RangeSet = intervals.iter().filter_map(|interval| interval.intersect(reader.extent())).collect();
        let ready = mapping.ready(&reader, &upstream, &filled, &candidates);
        for interval in intervals.into_iter().filter(|interval| candidates.covers(*interval)) {
            let needs = mapping.needs(&reader, &upstream, interval);
            prop_assert_eq!(ready.covers(interval), needs.is_none_or(|needs| filled.covers(needs)), "{:?}", interval);
            prop_assert_eq!(ready.covers(interval), ready.overlaps(interval));
        }
    }
}
