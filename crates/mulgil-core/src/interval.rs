//! Instants, half-open intervals, and sets and maps of them: the algebra that `due` is written in.
//!
//! A set of time is a sorted list of ranges, never a row or a loop per interval: ten years of
//! hours without a hole are one range. Nothing here asks a grid; snapping, counting and printing
//! live in [`crate::grid`].

use std::fmt;

use serde::{Deserialize, Serialize};

/// A moment, in microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Instant(pub i64);

impl Instant {
    /// Before everything: the start of [`Interval::WHOLE`].
    pub const MIN: Self = Self(i64::MIN);
    /// After everything: the end of [`Interval::WHOLE`].
    pub const MAX: Self = Self(i64::MAX);

    /// The moment of a [`jiff::Timestamp`], cut to the microsecond.
    pub fn from_timestamp(timestamp: jiff::Timestamp) -> Self {
        Self(timestamp.as_microsecond())
    }

    /// As a [`jiff::Timestamp`]; what lies outside its years -9999 to 9999 becomes its nearest end.
    pub fn to_timestamp(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        })
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MIN => f.write_str("-inf"),
            Self::MAX => f.write_str("+inf"),
            other => write!(f, "{}", other.to_timestamp()),
        }
    }
}

/// A half-open span of time `[start, end)`; `start < end` always.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Interval {
    /// The first instant inside.
    pub start: Instant,
    /// The first instant after.
    pub end: Instant,
}

impl Interval {
    /// All of time: the one interval of a node without a grid.
    pub const WHOLE: Self = Self {
        start: Instant::MIN,
        end: Instant::MAX,
    };

    /// `[start, end)`, or nothing when that is empty or reversed.
    pub fn new(start: Instant, end: Instant) -> Option<Self> {
        (start < end).then_some(Self { start, end })
    }

    /// The part that both hold.
    pub fn intersect(self, other: Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }

    /// Whether they share an instant.
    pub fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Whether `other` lies wholly inside.
    pub fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Whether the instant lies inside.
    pub fn contains_instant(self, at: Instant) -> bool {
        self.start <= at && at < self.end
    }
}

impl fmt::Debug for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}..{:?}", self.start, self.end)
    }
}

/// A set of instants: sorted ranges that neither overlap nor touch.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RangeSet(Vec<Interval>);

impl RangeSet {
    /// The empty set.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// All of time.
    pub fn whole() -> Self {
        Self(vec![Interval::WHOLE])
    }

    /// The ranges, in order.
    pub fn ranges(&self) -> &[Interval] {
        &self.0
    }

    /// The ranges, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Interval> + '_ {
        self.0.iter().copied()
    }

    /// Whether nothing is inside.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// From the first start to the last end, or nothing when empty.
    pub fn span(&self) -> Option<Interval> {
        Some(Interval {
            start: self.0.first()?.start,
            end: self.0.last()?.end,
        })
    }

    /// The range that holds the instant.
    pub fn range_at(&self, at: Instant) -> Option<Interval> {
        let index = self.0.partition_point(|range| range.end <= at);
        self.0.get(index).copied().filter(|range| range.contains_instant(at))
    }

    /// Whether the whole interval is inside.
    pub fn covers(&self, interval: Interval) -> bool {
        self.range_at(interval.start)
            .is_some_and(|range| range.end >= interval.end)
    }

    /// Whether any instant of the interval is inside.
    pub fn overlaps(&self, interval: Interval) -> bool {
        let index = self.0.partition_point(|range| range.end <= interval.start);
        self.0.get(index).is_some_and(|range| range.start < interval.end)
    }

    /// Whether every instant of `other` is inside.
    pub fn is_superset(&self, other: &Self) -> bool {
        other.iter().all(|range| self.covers(range))
    }

    /// Adds an interval.
    pub fn insert(&mut self, interval: Interval) {
        if self.0.last().is_none_or(|last| last.end < interval.start) {
            return self.0.push(interval);
        }
        let from = self.0.partition_point(|range| range.end < interval.start);
        let to = self.0.partition_point(|range| range.start <= interval.end);
        let mut merged = interval;
        if from < to {
            merged.start = merged.start.min(self.0[from].start);
            merged.end = merged.end.max(self.0[to - 1].end);
        }
        self.0.splice(from..to, [merged]);
    }

    /// Removes an interval.
    pub fn remove(&mut self, interval: Interval) {
        let from = self.0.partition_point(|range| range.end <= interval.start);
        let to = self.0.partition_point(|range| range.start < interval.end);
        if from >= to {
            return;
        }
        let left = Interval::new(self.0[from].start, interval.start);
        let right = Interval::new(interval.end, self.0[to - 1].end);
        self.0.splice(from..to, left.into_iter().chain(right));
    }

    /// What either holds.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let (mut a, mut b) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut out: Vec<Interval> = Vec::with_capacity(self.0.len() + other.0.len());
        loop {
            let next = match (a.peek(), b.peek()) {
                (Some(x), Some(y)) if x.start <= y.start => a.next(),
                (_, Some(_)) => b.next(),
                (Some(_), None) => a.next(),
                (None, None) => return Self(out),
            };
            let Some(&next) = next else { return Self(out) };
            match out.last_mut() {
                Some(last) if last.end >= next.start => last.end = last.end.max(next.end),
                _ => out.push(next),
            }
        }
    }

    /// What both hold.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        let (mut i, mut j, mut out) = (0, 0, Vec::new());
        while let (Some(&a), Some(&b)) = (self.0.get(i), other.0.get(j)) {
            out.extend(a.intersect(b));
            if a.end <= b.end {
                i += 1;
            } else {
                j += 1;
            }
        }
        Self(out)
    }

    /// What this holds and the other does not.
    #[must_use]
    pub fn subtract(&self, other: &Self) -> Self {
        let (mut j, mut out) = (0, Vec::new());
        for &range in &self.0 {
            let mut rest = range;
            while other.0.get(j).is_some_and(|cut| cut.end <= rest.start) {
                j += 1;
            }
            let mut k = j;
            let mut open = true;
            while let Some(&cut) = other.0.get(k).filter(|cut| cut.start < rest.end) {
                out.extend(Interval::new(rest.start, cut.start));
                let Some(left) = Interval::new(cut.end, rest.end) else {
                    open = false;
                    break;
                };
                rest = left;
                k += 1;
            }
            if open {
                out.push(rest);
            }
        }
        Self(out)
    }

    /// The part inside one interval.
    #[must_use]
    pub fn within(&self, interval: Interval) -> Self {
        let from = self.0.partition_point(|range| range.end <= interval.start);
        let to = self.0.partition_point(|range| range.start < interval.end);
        Self(
            self.0[from..to.max(from)]
                .iter()
                .filter_map(|range| range.intersect(interval))
                .collect(),
        )
    }
}

impl From<Interval> for RangeSet {
    fn from(interval: Interval) -> Self {
        Self(vec![interval])
    }
}

impl FromIterator<Interval> for RangeSet {
    fn from_iter<T: IntoIterator<Item = Interval>>(iter: T) -> Self {
        let mut set = Self::new();
        set.extend(iter);
        set
    }
}

impl Extend<Interval> for RangeSet {
    fn extend<T: IntoIterator<Item = Interval>>(&mut self, iter: T) {
        for interval in iter {
            self.insert(interval);
        }
    }
}

impl fmt::Debug for RangeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&self.0).finish()
    }
}

/// A value for each instant of a set: sorted ranges that do not overlap; where two touch, their
/// values differ.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RangeMap<V>(Vec<(Interval, V)>);

impl<V> Default for RangeMap<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V: Clone + PartialEq> RangeMap<V> {
    /// The empty map.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The ranges and their values, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Interval, &V)> {
        self.0.iter().map(|(range, value)| (*range, value))
    }

    /// Whether nothing has a value.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value at an instant, with the range over which it holds.
    pub fn get(&self, at: Instant) -> Option<(Interval, &V)> {
        let index = self.0.partition_point(|(range, _)| range.end <= at);
        self.0
            .get(index)
            .filter(|(range, _)| range.contains_instant(at))
            .map(|(range, value)| (*range, value))
    }

    /// Where there is a value.
    pub fn keys(&self) -> RangeSet {
        self.iter().map(|(range, _)| range).collect()
    }

    /// Where the value passes the test.
    pub fn keys_where(&self, mut test: impl FnMut(&V) -> bool) -> RangeSet {
        self.iter()
            .filter(|(_, value)| test(value))
            .map(|(range, _)| range)
            .collect()
    }

    /// The entries that overlap an interval, cut to it.
    pub fn within(&self, interval: Interval) -> impl Iterator<Item = (Interval, &V)> {
        let from = self.0.partition_point(|(range, _)| range.end <= interval.start);
        self.0[from..]
            .iter()
            .map_while(move |(range, value)| range.intersect(interval).map(|part| (part, value)))
    }

    /// Sets the value over an interval, replacing what was there.
    pub fn insert(&mut self, interval: Interval, value: V) {
        if self.0.last().is_none_or(|(last, _)| last.end < interval.start) {
            return self.0.push((interval, value));
        }
        self.remove(interval);
        let at = self.0.partition_point(|(range, _)| range.end <= interval.start);
        let mut merged = interval;
        let (mut from, mut to) = (at, at);
        if at > 0 && self.0[at - 1].0.end == interval.start && self.0[at - 1].1 == value {
            merged.start = self.0[at - 1].0.start;
            from = at - 1;
        }
        if self
            .0
            .get(at)
            .is_some_and(|(range, next)| range.start == interval.end && *next == value)
        {
            merged.end = self.0[at].0.end;
            to = at + 1;
        }
        self.0.splice(from..to, [(merged, value)]);
    }

    /// Takes the values away over an interval.
    pub fn remove(&mut self, interval: Interval) {
        let from = self.0.partition_point(|(range, _)| range.end <= interval.start);
        let to = self.0.partition_point(|(range, _)| range.start < interval.end);
        if from >= to {
            return;
        }
        let left = Interval::new(self.0[from].0.start, interval.start).map(|part| (part, self.0[from].1.clone()));
        let right = Interval::new(interval.end, self.0[to - 1].0.end).map(|part| (part, self.0[to - 1].1.clone()));
        self.0.splice(from..to, left.into_iter().chain(right));
    }
}

impl<V: Clone + PartialEq> FromIterator<(Interval, V)> for RangeMap<V> {
    fn from_iter<T: IntoIterator<Item = (Interval, V)>>(iter: T) -> Self {
        let mut map = Self::new();
        for (interval, value) in iter {
            map.insert(interval, value);
        }
        map
    }
}

impl<V: fmt::Debug> fmt::Debug for RangeMap<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.0.iter().map(|(range, value)| (range, value)))
            .finish()
    }
}
