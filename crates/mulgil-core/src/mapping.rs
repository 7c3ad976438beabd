//! From an upstream's time to a reader's and back.
//!
//! `needs` and `touches` are two views of one relation: an interval of the reader needs some of a
//! changed range exactly where it lies in what the change touches. `ready` follows from `touches`.

use serde::{Deserialize, Serialize};

use crate::{
    grid::{Cut, Grid, Unit},
    interval::{Interval, RangeSet},
};

/// How much of an upstream one interval of the reader reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mapping {
    /// What lies over the same time: finer, all inside; coarser, the one around.
    Overlap,
    /// A window of `count` units that ends with the reader's own interval: `last 7 days`.
    Window {
        /// How many.
        count: u32,
        /// Of what, in the reader's zone.
        unit: Unit,
    },
    /// All of it, as it is.
    Whole {
        /// Whether a change of the upstream makes the reader stale (`restate_on`).
        restates: bool,
    },
}

impl Mapping {
    /// Whether a change of the upstream makes the reader stale at all.
    pub fn restates(self) -> bool {
        match self {
            Self::Overlap | Self::Window { .. } => true,
            Self::Whole { restates } => restates,
        }
    }

    /// The upstream's time that must be filled before an interval of the reader, or a range of
    /// them, is ready: whole intervals of the upstream, inside its extent. Nothing where the
    /// upstream has nothing to fill, which counts as ready and empty.
    ///
    /// For a range it is the smallest one that holds what each interval needs. Where the upstream
    /// has no end, a reader that reads all of it needs time that has not come: leave that out by
    /// counting what is not wanted yet as filled.
    pub fn needs(self, reader: &Grid, upstream: &Grid, interval: Interval) -> Option<Interval> {
        let read = match self {
            Self::Overlap => interval,
            Self::Window { count, unit } if reader.is_cut() => window(reader, count, unit, interval)?,
            Self::Window { .. } | Self::Whole { .. } => Interval::WHOLE,
        };
        let whole = if self == Self::Overlap && reader.same_cuts(upstream) {
            read
        } else {
            upstream.snap_out(read)
        };
        whole.intersect(upstream.extent())
    }

    /// The time whose rows are read for an interval of the reader, or a range of them: to the
    /// instant, whatever the upstream's cuts. Nothing means all of it.
    pub fn reads(self, reader: &Grid, interval: Interval) -> Option<Interval> {
        match self {
            Self::Overlap if reader.is_cut() => Some(interval),
            Self::Window { count, unit } if reader.is_cut() => window(reader, count, unit, interval),
            Self::Overlap | Self::Window { .. } | Self::Whole { .. } => None,
        }
    }

    /// The range of the reader whose intervals need some of a range of the upstream: whole
    /// intervals, inside the reader's extent.
    ///
    /// In an upstream that is not cut, such as a single file, a change of some hours touches only
    /// what lies over them, although each interval needs the file as a whole.
    pub fn touches(self, reader: &Grid, upstream: &Grid, changed: Interval) -> Option<Interval> {
        let changed = changed.intersect(upstream.extent())?;
        if !reader.is_cut() {
            return Some(reader.extent());
        }
        if self == Self::Overlap && reader.same_cuts(upstream) {
            return changed.intersect(reader.extent());
        }
        let changed = if upstream.is_cut() {
            upstream.snap_out(changed)
        } else {
            changed
        };
        let touched = match self {
            Self::Overlap => reader.snap_out(changed),
            Self::Window { count, unit } => readers_of(reader, count, unit, changed)?,
            Self::Whole { .. } => Interval::WHOLE,
        };
        touched.intersect(reader.extent())
    }

    /// The part of `candidates`, whole intervals of the reader, whose needs all lie in `filled`.
    pub fn ready(self, reader: &Grid, upstream: &Grid, filled: &RangeSet, candidates: &RangeSet) -> RangeSet {
        let holes = RangeSet::from(upstream.extent()).subtract(filled);
        if holes.is_empty() || candidates.is_empty() {
            return candidates.clone();
        }
        if !upstream.is_cut() {
            return RangeSet::new();
        }
        if self == Self::Overlap && reader.same_cuts(upstream) {
            return candidates.subtract(&holes);
        }
        let waiting: RangeSet = holes
            .iter()
            .filter_map(|hole| self.touches(reader, upstream, hole))
            .collect();
        candidates.subtract(&waiting)
    }
}

/// From the start of the first interval's window to the end of the last one's.
fn window(reader: &Grid, count: u32, unit: Unit, range: Interval) -> Option<Interval> {
    let units = units(reader, unit);
    let first_end = units.ceil(reader.next_cut(range.start));
    Interval::new(units.back(first_end, count), units.ceil(range.end))
}

/// The intervals whose windows overlap a range. With `end` an interval's end, its window is
/// `[ceil(end) − count, ceil(end))` in units. It ends after `changed.start` where `end` is after
/// the last unit's cut there. It starts before `changed.end` where `ceil(end)` comes before the
/// first cut there and `count` more.
fn readers_of(reader: &Grid, count: u32, unit: Unit, changed: Interval) -> Option<Interval> {
    let units = units(reader, unit);
    let start = reader.floor(units.floor(changed.start));
    let end = reader.floor(units.ahead(changed.end, count.checked_sub(1)?));
    Interval::new(start, end)
}

fn units(reader: &Grid, unit: Unit) -> Grid {
    Grid {
        cut: Cut::Unit(unit),
        zone: reader.zone.clone(),
        begin: None,
        end: None,
    }
}
