//! A backfill: intervals that a person asks for, a slice at a time. Pure: it is told what happened, and
//! says which slice is next.
//!
//! An interval of it is left (not asked for yet), open (asked for, and so due), filled, failed, or
//! withdrawn, and only one of these at a time. A backfill is over when nothing of it is left or open.

use std::{cmp::Reverse, collections::BTreeMap, iter::Peekable};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{
    codes,
    diagnostic::Diagnostic,
    flow::name,
    grid::Grid,
    interval::{Instant, Interval, RangeMap, RangeSet},
    name::Instance,
};

/// Intervals that are open at once where nobody says how many.
pub const DEFAULT_PARALLEL: u32 = 16;

/// Intervals that may be open at once at most.
pub const MAX_PARALLEL: u32 = 10_000;

/// Percent of the slots that backfills may hold together where nobody says how many.
pub const DEFAULT_SHARE: u8 = 50;

/// What a person said of a backfill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// What was selected, as typed.
    pub selector: String,
    /// Who made it.
    pub by: String,
    /// In which order it goes.
    pub order: Order,
    /// Intervals that may be open at once, from 1 to [`MAX_PARALLEL`].
    pub parallel: u32,
    /// Percent of all slots, from 1 to 100, that live attempts of backfills may hold together when one of
    /// this backfill begins; at least one slot.
    pub share: u8,
    /// Parameters of its runs of flows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Json>,
}

impl Terms {
    /// Those of a backfill of which only its words and its maker are known.
    pub fn new(selector: impl Into<String>, by: impl Into<String>) -> Self {
        Self {
            selector: selector.into(),
            by: by.into(),
            order: Order::default(),
            parallel: DEFAULT_PARALLEL,
            share: DEFAULT_SHARE,
            params: BTreeMap::new(),
        }
    }

    /// The slots of so many that live attempts of backfills may hold together when one of it begins.
    pub fn share_of(&self, slots: usize) -> usize {
        (slots.saturating_mul(usize::from(self.share)) / 100).max(1)
    }

    /// Whether its numbers can be.
    ///
    /// # Errors
    /// `BAD_BACKFILL`, which says what they may be.
    pub fn check(&self) -> Result<(), Diagnostic> {
        if !(1..=100).contains(&self.share) {
            return Err(Diagnostic::error(
                codes::BAD_BACKFILL,
                format!("a backfill cannot have {} percent of the slots", self.share),
            )
            .with_remedy("write a share from 1 to 100; leave it away for 50"));
        }
        if !(1..=MAX_PARALLEL).contains(&self.parallel) {
            return Err(Diagnostic::error(
                codes::BAD_BACKFILL,
                format!("a backfill cannot have {} intervals open at once", self.parallel),
            )
            .with_remedy(format!(
                "write a number from 1 to {MAX_PARALLEL}; leave it away for {DEFAULT_PARALLEL}"
            )));
        }
        Ok(())
    }
}

/// In which order a backfill goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// As time goes: what ends first is first.
    #[default]
    OldestFirst,
    /// Against time: what begins last is first.
    NewestFirst,
}

impl Order {
    /// The intervals of a grid that a set touches, in this order.
    pub fn intervals<'a>(self, grid: &'a Grid, set: &RangeSet) -> Box<dyn Iterator<Item = Interval> + 'a> {
        let ranges = set.ranges().to_vec();
        match self {
            Self::OldestFirst => Box::new(ranges.into_iter().flat_map(|range| grid.intervals(range))),
            Self::NewestFirst => Box::new(ranges.into_iter().rev().flat_map(|range| backwards(grid, range))),
        }
    }

    /// What is first of two; of equals the one whose place is first, so that what is read goes before its
    /// readers.
    fn key(self, interval: Interval, place: usize) -> (Reverse<Instant>, Instant, usize) {
        match self {
            Self::OldestFirst => (Reverse(Instant::MIN), interval.end, place),
            Self::NewestFirst => (Reverse(interval.start), Instant::MIN, place),
        }
    }
}

fn backwards(grid: &Grid, range: Interval) -> impl Iterator<Item = Interval> + '_ {
    let mut end = grid.ceil(range.end);
    std::iter::from_fn(move || {
        let interval = Interval::new(grid.prev_cut(end), end).filter(|_| end > range.start)?;
        end = interval.start;
        Some(interval)
    })
}

/// How a backfill stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackfillState {
    /// It goes on.
    Open,
    /// A person holds it back: nothing more of it is asked for.
    Paused,
    /// A person ended it.
    Cancelled,
    /// All that it named was filled or failed.
    Done,
}

impl BackfillState {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Paused => "paused",
            Self::Cancelled => "cancelled",
            Self::Done => "done",
        }
    }

    /// Reads what [`Self::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Open, Self::Paused, Self::Cancelled, Self::Done]
            .into_iter()
            .find(|state| state.as_str() == text)
    }

    /// Whether a person can still hold it back, or end it.
    pub fn is_active(self) -> bool {
        match self {
            Self::Open | Self::Paused => true,
            Self::Cancelled | Self::Done => false,
        }
    }
}

/// What a person does to a backfill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Nothing more of it begins; what is live ends.
    Pause,
    /// It goes on.
    Resume,
    /// It is over; its live runs of flows are ended too.
    Cancel,
}

/// A backfill as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Backfill {
    /// Its number, growing.
    pub id: i64,
    /// What was said of it.
    pub terms: Terms,
    /// How it stands.
    pub state: BackfillState,
    /// The number of the fact that made it.
    pub seq: i64,
    /// When it was made.
    pub made_at: Instant,
    /// When nothing of it was left or open any more.
    pub ended_at: Option<Instant>,
    /// Its instances, each after what it reads.
    pub parts: Vec<Part>,
}

/// What a backfill has of one instance. Its sets lie on the cuts of its grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Which: of a node or of a flow.
    pub instance: Instance,
    /// How its time was cut when the backfill was made.
    pub grid: Grid,
    /// All that was named.
    pub all: RangeSet,
    /// What was not asked for yet.
    pub left: RangeSet,
    /// What was asked for and is neither filled nor failed, by the number of the fact that asked.
    #[serde(default, skip_serializing_if = "RangeMap::is_empty")]
    pub open: RangeMap<i64>,
    /// What was filled since.
    #[serde(default, skip_serializing_if = "RangeSet::is_empty")]
    pub filled: RangeSet,
    /// What was tried since, and is not filled.
    #[serde(default, skip_serializing_if = "RangeSet::is_empty")]
    pub failed: RangeSet,
}

/// Whose intervals are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Those of nodes.
    Models,
    /// Those of flows.
    Flows,
}

impl Of {
    /// Whether an instance is meant.
    pub fn means(self, instance: &Instance) -> bool {
        let is_flow = name::flow_in(instance.node.as_str()).is_some();
        match self {
            Self::Models => !is_flow,
            Self::Flows => is_flow,
        }
    }
}

/// How many intervals of a backfill stand how, counted by the grids that it was made with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// All that were named.
    pub total: u64,
    /// Not asked for yet.
    pub left: u64,
    /// Asked for, and neither filled nor failed.
    pub open: u64,
    /// Filled since.
    pub filled: u64,
    /// Tried, and not filled.
    pub failed: u64,
    /// What is none of these: a person ended the backfill before.
    pub withdrawn: u64,
}

/// Ranges by instance.
pub type Ranges = Vec<(Instance, RangeSet)>;

impl Backfill {
    /// How far it is.
    pub fn progress(&self) -> Progress {
        let mut sum = Progress::default();
        for part in &self.parts {
            let count = |set: &RangeSet| set.iter().map(|range| part.grid.count(range)).sum::<u64>();
            sum.total += count(&part.all);
            sum.left += count(&part.left);
            sum.open += count(&part.open.keys());
            sum.filled += count(&part.filled);
            sum.failed += count(&part.failed);
        }
        let told = sum.left + sum.open + sum.filled + sum.failed;
        sum.withdrawn = sum.total.saturating_sub(told);
        sum
    }

    /// The next intervals to ask for, at most `most`, of the instances that are meant; none where it is
    /// held back or nothing is left.
    pub fn next_slice(&self, most: usize, meant: impl Fn(&Instance) -> bool) -> Ranges {
        if self.state != BackfillState::Open {
            return Vec::new();
        }
        let mut slice: BTreeMap<usize, RangeSet> = BTreeMap::new();
        for (place, interval) in in_turn(&self.parts, self.terms.order, meant).take(most) {
            slice.entry(place).or_default().insert(interval);
        }
        let named = |(place, ranges): (usize, RangeSet)| (self.parts[place].instance.clone(), ranges);
        slice.into_iter().map(named).collect()
    }

    /// How many more intervals may be open of those that are meant, where they may be `most` at most.
    pub fn room(&self, most: u32, meant: impl Fn(&Instance) -> bool) -> usize {
        let parts = self.parts.iter().filter(|part| meant(&part.instance));
        let open: u64 = parts
            .flat_map(|part| part.open.iter().map(|(range, _)| part.grid.count(range)))
            .sum();
        let most = u64::from(self.terms.parallel.min(most));
        usize::try_from(most.saturating_sub(open)).unwrap_or(usize::MAX)
    }

    /// What it has of an instance.
    pub fn part(&self, instance: &Instance) -> Option<&Part> {
        self.parts.iter().find(|part| part.instance == *instance)
    }
}

/// What is left of all parts that are meant, interval by interval.
fn in_turn(parts: &[Part], order: Order, meant: impl Fn(&Instance) -> bool) -> impl Iterator<Item = (usize, Interval)> {
    type Line<'a> = (usize, Peekable<Box<dyn Iterator<Item = Interval> + 'a>>);
    let places = parts.iter().enumerate().filter(|(_, part)| meant(&part.instance));
    let mut lines: Vec<Line<'_>> = places
        .map(|(place, part)| (place, order.intervals(&part.grid, &part.left).peekable()))
        .collect();
    std::iter::from_fn(move || {
        let heads = lines
            .iter_mut()
            .filter_map(|line| Some((order.key(*line.1.peek()?, line.0), line)));
        let (_, (place, line)) = heads.min_by_key(|(key, _)| *key)?;
        Some((*place, line.next()?))
    })
}

/// The ranges that a backfill would fill, about in the order in which it would, with the intervals in each.
pub fn preview(parts: &[Part], order: Order) -> Vec<(Instance, Interval, u64)> {
    let mut ranges: Vec<_> = parts
        .iter()
        .enumerate()
        .flat_map(|(place, part)| {
            part.left
                .iter()
                .map(move |range| (order.key(range, place), part, range))
        })
        .collect();
    ranges.sort_by_key(|(key, ..)| *key);
    let told = |(_, part, range): (_, &Part, Interval)| (part.instance.clone(), range, part.grid.count(range));
    ranges.into_iter().map(told).collect()
}

impl Part {
    /// Nothing of it was asked for yet. Of a range that does not lie on the grid's cuts, the whole
    /// intervals inside are taken.
    pub fn new(instance: Instance, grid: Grid, ranges: &RangeSet) -> Self {
        let all: RangeSet = ranges.iter().filter_map(|range| grid.snap_in(range)).collect();
        Self {
            instance,
            grid,
            left: all.clone(),
            all,
            open: RangeMap::new(),
            filled: RangeSet::new(),
            failed: RangeSet::new(),
        }
    }

    /// More is named, of which nothing was asked for.
    pub fn add(&mut self, ranges: &RangeSet) {
        let more: RangeSet = ranges.iter().filter_map(|range| self.grid.snap_in(range)).collect();
        self.left = self.left.union(&more.subtract(&self.all));
        self.all = self.all.union(&more);
    }

    /// Whether nothing of it is left or open.
    pub fn is_over(&self) -> bool {
        self.left.is_empty() && self.open.is_empty()
    }

    /// What another backfill may not take.
    pub fn taken(&self) -> RangeSet {
        self.left.union(&self.open.keys())
    }

    /// A fact asked for ranges; what is not left is passed over.
    pub fn ask(&mut self, seq: i64, ranges: &RangeSet) {
        let asked = self.left.intersect(ranges);
        self.left = self.left.subtract(&asked);
        for range in asked.iter() {
            self.open.insert(range, seq);
        }
    }

    /// A range was filled under a claim. That does for what was asked for before the claim, and for what
    /// was left when `made_seq`, which made the backfill, was before it.
    pub fn fill(&mut self, range: Interval, claim_seq: i64, made_seq: i64) {
        if made_seq > claim_seq {
            return;
        }
        let entries = self.open.within(range).filter(|(_, asked)| **asked <= claim_seq);
        let mut done: RangeSet = entries.map(|(range, _)| range).collect();
        done = done.union(&self.left.within(range)).union(&self.failed.within(range));
        self.left = self.left.subtract(&done);
        self.failed = self.failed.subtract(&done);
        self.close(&done);
        self.filled = self.filled.union(&done);
    }

    /// What was asked for before that fact was tried over a range, and is not filled.
    pub fn fail(&mut self, range: Interval, asked_before: i64) {
        let entries = self.open.within(range).filter(|(_, asked)| **asked <= asked_before);
        let tried: RangeSet = entries.map(|(range, _)| range).collect();
        self.close(&tried);
        self.failed = self.failed.union(&tried);
    }

    /// What was asked for is not asked for any more: it is left again.
    pub fn give_back(&mut self, ranges: &RangeSet) {
        let back = self.open.keys().intersect(ranges);
        self.close(&back);
        self.left = self.left.union(&back);
    }

    /// Nothing more of it is asked for, and these ranges are not any more.
    pub fn withdraw(&mut self, ranges: &RangeSet) {
        self.left = RangeSet::new();
        self.close(ranges);
    }

    fn close(&mut self, ranges: &RangeSet) {
        for range in ranges.iter() {
            self.open.remove(range);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
mod tests;
