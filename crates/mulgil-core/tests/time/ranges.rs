//! Sets and maps of ranges against the plainest model: one value for each of a few instants.

use mulgil_core::interval::{Instant, Interval, RangeMap, RangeSet};
use proptest::prelude::*;

const LINE: i64 = 24;

type Bits = [bool; LINE as usize];
type Values = [Option<u8>; LINE as usize];

fn any_range() -> impl Strategy<Value = Interval> {
    (0..LINE, 1..=LINE / 2).prop_map(|(start, length)| Interval {
        start: Instant(start),
        end: Instant((start + length).min(LINE)),
    })
}

fn cells(range: Interval) -> std::ops::Range<usize> {
    range.start.0 as usize..range.end.0 as usize
}

/// Inserts and removals in any order; the set and its model.
fn any_set() -> impl Strategy<Value = (RangeSet, Bits)> {
    prop::collection::vec((any::<bool>(), any_range()), 0..12).prop_map(|changes| {
        let (mut set, mut bits) = (RangeSet::new(), Bits::default());
        for (insert, range) in changes {
            if insert {
                set.insert(range);
            } else {
                set.remove(range);
            }
            bits[cells(range)].fill(insert);
        }
        (set, bits)
    })
}

fn bits(set: &RangeSet) -> Bits {
    let mut bits = Bits::default();
    set.iter().for_each(|range| bits[cells(range)].fill(true));
    bits
}

fn zip(a: &Bits, b: &Bits, both: impl Fn(bool, bool) -> bool) -> Bits {
    std::array::from_fn(|cell| both(a[cell], b[cell]))
}

/// Sorted, not empty, not touching: so that equal sets are equal values.
fn is_canonical(set: &RangeSet) -> bool {
    set.iter().all(|range| range.start < range.end) && set.ranges().windows(2).all(|pair| pair[0].end < pair[1].start)
}

fn any_map() -> impl Strategy<Value = (RangeMap<u8>, Values)> {
    prop::collection::vec((prop::option::weighted(0.8, 0u8..3), any_range()), 0..12).prop_map(|changes| {
        let (mut map, mut values) = (RangeMap::new(), Values::default());
        for (value, range) in changes {
            match value {
                Some(value) => map.insert(range, value),
                None => map.remove(range),
            }
            values[cells(range)].fill(value);
        }
        (map, values)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn sets_do_as_bits_do((a, a_bits) in any_set(), (b, b_bits) in any_set(), range in any_range()) {
        prop_assert_eq!(bits(&a), a_bits);
        for (set, expected) in [
            (a.clone(), a_bits),
            (a.union(&b), zip(&a_bits, &b_bits, |a, b| a || b)),
            (a.intersect(&b), zip(&a_bits, &b_bits, |a, b| a && b)),
            (a.subtract(&b), zip(&a_bits, &b_bits, |a, b| a && !b)),
            (a.within(range), zip(&a_bits, &bits(&range.into()), |a, b| a && b)),
        ] {
            prop_assert!(is_canonical(&set), "{:?}", set);
            prop_assert_eq!(bits(&set), expected);
        }
        prop_assert_eq!(a.covers(range), a_bits[cells(range)].iter().all(|bit| *bit));
        prop_assert_eq!(a.overlaps(range), a_bits[cells(range)].iter().any(|bit| *bit));
        prop_assert_eq!(a.is_superset(&b), zip(&a_bits, &b_bits, |a, b| b && !a) == Bits::default());
        prop_assert_eq!(a.is_empty(), a_bits == Bits::default());
        prop_assert_eq!(a == b, a_bits == b_bits);
        for at in 0..LINE {
            let found = a.range_at(Instant(at));
            prop_assert_eq!(found.is_some(), a_bits[at as usize]);
            prop_assert!(found.is_none_or(|range| a.ranges().contains(&range)));
        }
        let ends = a_bits.iter().position(|bit| *bit).zip(a_bits.iter().rposition(|bit| *bit));
        let span = ends.map(|(first, last)| Interval { start: Instant(first as i64), end: Instant(last as i64 + 1) });
        prop_assert_eq!(a.span(), span);
        prop_assert_eq!(a.iter().rev().collect::<RangeSet>(), a);
    }

    #[test]
    fn sets_at_the_ends_of_time_do_not_overflow(start in any::<i64>(), end in any::<i64>()) {
        let set = RangeSet::whole();
        let Some(hole) = Interval::new(Instant(start), Instant(end)) else { return Ok(()) };
        let rest = set.subtract(&hole.into());
        prop_assert!(!rest.overlaps(hole));
        prop_assert_eq!(rest.union(&hole.into()), set);
    }

    #[test]
    fn maps_do_as_cells_do((map, values) in any_map(), range in any_range()) {
        for at in 0..LINE {
            let found = map.get(Instant(at));
            prop_assert_eq!(found.map(|(_, value)| *value), values[at as usize]);
            prop_assert!(found.is_none_or(|(range, _)| range.contains_instant(Instant(at))));
        }
        let entries: Vec<(Interval, u8)> = map.iter().map(|(range, value)| (range, *value)).collect();
        for pair in entries.windows(2) {
            let apart = pair[0].0.end < pair[1].0.start;
            let meets_another = pair[0].0.end == pair[1].0.start && pair[0].1 != pair[1].1;
            prop_assert!(apart || meets_another, "{:?}", map);
        }
        prop_assert_eq!(bits(&map.keys()), values.map(|value| value.is_some()));
        prop_assert_eq!(bits(&map.keys_where(|value| *value == 1)), values.map(|value| value == Some(1)));
        let mut inside = Values::default();
        for (part, value) in map.within(range) {
            prop_assert!(range.contains(part));
            inside[cells(part)].fill(Some(*value));
        }
        let expected: Values = std::array::from_fn(|cell| values[cell].filter(|_| cells(range).contains(&cell)));
        prop_assert_eq!(inside, expected);
        prop_assert_eq!(map.is_empty(), values == Values::default());
        prop_assert_eq!(entries.into_iter().rev().collect::<RangeMap<u8>>(), map);
    }
}

#[test]
fn intervals_are_half_open() {
    let interval = |start, end| Interval::new(Instant(start), Instant(end));
    let one = interval(1, 3).expect("an interval");
    let next = interval(3, 5).expect("an interval");
    assert_eq!((interval(3, 3), interval(4, 3)), (None, None));
    assert!(!one.overlaps(next) && one.intersect(next).is_none());
    assert!(one.contains_instant(Instant(1)) && !one.contains_instant(Instant(3)));
    assert!(Interval::WHOLE.contains(one) && !one.contains(Interval::WHOLE));
    assert_eq!(format!("{:?}", Interval::WHOLE), "-inf..+inf");
}
