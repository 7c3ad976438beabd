//! Whatever happens in whatever order, each interval is asked for once, and never too many are open.

use proptest::prelude::*;

use super::*;
use crate::grid::{Cut, Unit, Zone};

const HOUR_US: i64 = 3_600_000_000;
/// 2026-03-20T00:00:00Z: the clocks of Europe change nine days later.
const BEGIN_US: i64 = 1_773_964_800_000_000;

fn grid(unit: Unit, zone: &str) -> Grid {
    Grid {
        cut: Cut::Unit(unit),
        zone: Zone::named(zone).unwrap(),
        begin: None,
        end: None,
    }
}

fn span(from_hour: i64, to_hour: i64) -> Interval {
    Interval {
        start: Instant(BEGIN_US + from_hour * HOUR_US),
        end: Instant(BEGIN_US + to_hour * HOUR_US),
    }
}

fn part(name: &str, unit: Unit, ranges: &[Interval]) -> Part {
    let ranges: RangeSet = ranges.iter().copied().collect();
    Part::new(Instance::of(name.into()), grid(unit, "UTC"), &ranges)
}

fn backfill(parts: Vec<Part>, order: Order, parallel: u32) -> Backfill {
    Backfill {
        id: 1,
        terms: Terms {
            order,
            parallel,
            ..Terms::new("sales", "mina")
        },
        state: BackfillState::Open,
        seq: 1,
        made_at: Instant(0),
        ended_at: None,
        parts,
    }
}

fn hours_of(slice: &Ranges) -> Vec<(String, Vec<(i64, i64)>)> {
    let hour = |at: Instant| (at.0 - BEGIN_US) / HOUR_US;
    let told = |(instance, ranges): &(Instance, RangeSet)| {
        let ranges = ranges.iter().map(|range| (hour(range.start), hour(range.end)));
        (instance.to_string(), ranges.collect())
    };
    slice.iter().map(told).collect()
}

fn ask(backfill: &mut Backfill, seq: i64, slice: &Ranges) {
    for (instance, ranges) in slice {
        let part = backfill.parts.iter_mut().find(|part| part.instance == *instance);
        part.unwrap().ask(seq, ranges);
    }
}

#[test]
fn the_order_is_that_of_time_or_against_it_and_what_is_read_goes_before_its_readers() {
    let parts = || {
        vec![
            part("hours", Unit::Hour, &[span(0, 72)]),
            part("days", Unit::Day, &[span(0, 72)]),
        ]
    };
    let all = |_: &Instance| true;
    let mut oldest = backfill(parts(), Order::OldestFirst, 24);
    let first = oldest.next_slice(oldest.room(MAX_PARALLEL, all), all);
    assert_eq!(hours_of(&first), [("hours".to_owned(), vec![(0, 24)])]);
    ask(&mut oldest, 2, &first);
    assert_eq!(oldest.room(MAX_PARALLEL, all), 0);
    oldest.parts[0].fill(span(0, 2), 3, 1);
    let next = oldest.next_slice(oldest.room(MAX_PARALLEL, all), all);
    let expected = [("hours".to_owned(), vec![(24, 25)]), ("days".to_owned(), vec![(0, 24)])];
    assert_eq!(hours_of(&next), expected);

    let newest = backfill(parts(), Order::NewestFirst, 25);
    let first = newest.next_slice(newest.room(MAX_PARALLEL, all), all);
    let expected = [
        ("hours".to_owned(), vec![(48, 72)]),
        ("days".to_owned(), vec![(48, 72)]),
    ];
    assert_eq!(hours_of(&first), expected);
    let models = |instance: &Instance| Of::Models.means(instance);
    assert_eq!(newest.next_slice(25, |instance| !models(instance)), []);
}

#[test]
fn an_instance_without_intervals_is_one_interval_in_either_order() {
    for order in [Order::OldestFirst, Order::NewestFirst] {
        let whole = Part::new(
            Instance::of("report".into()),
            Grid::whole(Zone::UTC),
            &RangeSet::whole(),
        );
        let backfill = backfill(vec![whole], order, 4);
        assert_eq!(backfill.progress().total, 1);
        let slice = backfill.next_slice(4, |_| true);
        assert_eq!(slice, [(Instance::of("report".into()), RangeSet::whole())]);
    }
}

#[test]
fn what_was_begun_before_it_was_asked_for_does_not_count() {
    let mut part = part("hours", Unit::Hour, &[span(0, 3)]);
    part.ask(5, &span(0, 1).into());
    part.fill(span(0, 1), 4, 1);
    assert_eq!(part.open.keys(), span(0, 1).into());
    part.fill(span(0, 1), 6, 1);
    assert_eq!(part.filled, span(0, 1).into());
    // What the clock filled in the meantime is not asked for again.
    part.fill(span(1, 2), 3, 1);
    assert_eq!(part.left, span(2, 3).into());
    // What failed, and was filled by itself later, is filled.
    part.ask(7, &span(2, 3).into());
    part.fail(span(2, 3), i64::MAX);
    assert!(part.is_over());
    part.fill(span(2, 3), 9, 1);
    assert_eq!((part.failed, part.filled), (RangeSet::new(), span(0, 3).into()));
}

#[test]
fn numbers_that_cannot_be_are_refused() {
    for (share, parallel) in [(0, 1), (101, 1), (1, 0), (100, MAX_PARALLEL + 1)] {
        let terms = Terms {
            parallel,
            share,
            ..Terms::new("*", "mina")
        };
        let fault = terms.check().unwrap_err();
        assert_eq!(fault.code, codes::BAD_BACKFILL);
        assert!(fault.remedy.is_some(), "{fault:?}");
    }
    Terms::new("*", "mina").check().unwrap();
}

/// What happens next: with a slice that was asked for, or with an open interval of it.
#[derive(Clone, Copy, Debug)]
enum Event {
    Ask,
    Fill(usize),
    Fail(usize),
    Pause,
    Resume,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => Just(Event::Ask),
        4 => any::<usize>().prop_map(Event::Fill),
        1 => any::<usize>().prop_map(Event::Fail),
        1 => Just(Event::Pause),
        1 => Just(Event::Resume),
    ]
}

fn some_part(index: usize) -> impl Strategy<Value = Part> {
    let units = prop_oneof![Just(Unit::Hour), Just(Unit::Day), Just(Unit::Week)];
    let zones = prop_oneof![Just("UTC"), Just("Europe/Berlin"), Just("Asia/Seoul")];
    let ranges = prop::collection::vec((0_i64..400, 1_i64..120), 1..4);
    (units, zones, ranges).prop_map(move |(unit, zone, ranges)| {
        let grid = grid(unit, zone);
        let snapped = |(from, long): (i64, i64)| grid.snap_out(span(from, from + long));
        let ranges: RangeSet = ranges.into_iter().map(snapped).collect();
        Part::new(Instance::of(format!("n{index}").as_str().into()), grid.clone(), &ranges)
    })
}

fn some_parts() -> impl Strategy<Value = Vec<Part>> {
    (some_part(0), some_part(1), some_part(2), 1_usize..4).prop_map(|(a, b, c, count)| {
        let mut parts = vec![a, b, c];
        parts.truncate(count);
        parts
    })
}

/// The open intervals, one by one.
fn open(backfill: &Backfill) -> Vec<(usize, Interval)> {
    let parts = backfill.parts.iter().enumerate();
    parts
        .flat_map(|(place, part)| {
            let intervals = Order::OldestFirst.intervals(&part.grid, &part.open.keys());
            intervals.map(move |interval| (place, interval)).collect::<Vec<_>>()
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_interval_is_asked_for_once_and_never_are_too_many_open(
        parts in some_parts(),
        newest_first in any::<bool>(),
        parallel in 1_u32..40,
        events in prop::collection::vec(event(), 0..200),
    ) {
        let order = if newest_first { Order::NewestFirst } else { Order::OldestFirst };
        let mut it = backfill(parts, order, parallel);
        let total = it.progress().total;
        let mut asked: BTreeMap<(usize, Interval), i64> = BTreeMap::new();
        let mut given_back = 0;
        let mut seq = 1;
        let last = std::iter::once(Event::Resume).chain([Event::Ask, Event::Fill(0)].into_iter().cycle());
        for event in events.into_iter().chain(last) {
            seq += 1;
            match event {
                Event::Ask => {
                    let slice = it.next_slice(it.room(MAX_PARALLEL, |_| true), |_| true);
                    for (instance, ranges) in &slice {
                        let (place, part) =
                            it.parts.iter().enumerate().find(|(_, part)| part.instance == *instance).unwrap();
                        for interval in order.intervals(&part.grid, ranges) {
                            *asked.entry((place, interval)).or_default() += 1;
                        }
                    }
                    ask(&mut it, seq, &slice);
                }
                Event::Fill(n) | Event::Fail(n) => {
                    let open = open(&it);
                    if let Some((place, interval)) = open.get(n % open.len().max(1)) {
                        match event {
                            Event::Fill(_) => it.parts[*place].fill(*interval, seq, 1),
                            _ => it.parts[*place].fail(*interval, i64::MAX),
                        }
                    }
                }
                Event::Pause => {
                    it.state = BackfillState::Paused;
                    for (place, interval) in open(&it) {
                        *asked.get_mut(&(place, interval)).unwrap() -= 1;
                        it.parts[place].give_back(&interval.into());
                        given_back += 1;
                    }
                    prop_assert!(it.next_slice(9, |_| true).is_empty());
                }
                Event::Resume => it.state = BackfillState::Open,
            }
            let progress = it.progress();
            prop_assert!(progress.open <= u64::from(parallel), "{progress:?}");
            prop_assert_eq!(progress.left + progress.open + progress.filled + progress.failed, total);
            prop_assert_eq!(progress.total, total);
            if it.parts.iter().all(Part::is_over) {
                break;
            }
        }
        prop_assert_eq!(asked.len() as u64, total, "given back {}", given_back);
        prop_assert!(asked.values().all(|times| *times == 1));
    }
}

/// Whoever asks in order and waits for nothing gets the intervals in order, and all of them.
#[test]
fn slices_follow_one_another_in_order() {
    for order in [Order::OldestFirst, Order::NewestFirst] {
        let mut it = backfill(
            vec![
                part("hours", Unit::Hour, &[span(0, 30), span(48, 60)]),
                part("days", Unit::Day, &[span(0, 48)]),
            ],
            order,
            7,
        );
        let mut told = Vec::new();
        for seq in 2.. {
            let slice = it.next_slice(7, |_| true);
            if slice.is_empty() {
                break;
            }
            for (instance, ranges) in &slice {
                let (place, part) = it
                    .parts
                    .iter()
                    .enumerate()
                    .find(|(_, part)| part.instance == *instance)
                    .unwrap();
                told.extend(
                    order
                        .intervals(&part.grid, ranges)
                        .map(|one| (seq, order.key(one, place))),
                );
            }
            ask(&mut it, seq, &slice);
        }
        assert_eq!(told.len(), 44);
        let in_order = |pair: &[(i64, _)]| pair[0].0 == pair[1].0 || pair[0].1 < pair[1].1;
        let mut by_key = told.clone();
        by_key.sort_by_key(|(seq, key)| (*seq, *key));
        assert!(by_key.windows(2).all(in_order), "{by_key:?}");
    }
}
