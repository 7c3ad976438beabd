//! The terms of `due = ((wanted − filled) ∪ stale) ∩ ready − in_flight`, each a function of one
//! node: what the plan, the decision and the explanation are all made of.
//!
//! Everything here answers with sets of time; nothing loops over intervals.

use serde::{Deserialize, Serialize};

use crate::{
    data_test::Verdict,
    diagnostic::Severity,
    interval::{Instant, Interval, RangeMap, RangeSet},
    name::NodeName,
    project::{CodeFp, DataTest, Materialization, Node},
    state::{Cause, Failing, HELD_AFTER_FAILURES, NodeState},
};

/// Why a range is due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Reason {
    /// It was never filled.
    Missing,
    /// The node's SQL or configuration is another than it was filled with.
    Code,
    /// The declared columns of a source that it reads are others.
    Schema,
    /// The rows of an upstream changed, or may change by what is due there.
    Upstream {
        /// Which.
        node: NodeName,
    },
    /// The files of a source changed.
    Source {
        /// Which.
        source: NodeName,
    },
    /// Somebody else wrote into the table.
    Target,
    /// The table went back to an earlier version, over a newer fill.
    Rollback,
    /// The hooks that belong to it have not run to their end.
    Hooks,
    /// It is among the newest intervals that are filled again at each tick.
    Lookback,
    /// It is not sealed yet and its source may have changed.
    Settle,
    /// Its schedule ticked.
    Tick,
    /// A person's run takes all that it selects.
    Again,
    /// A person asked for it.
    Manual,
}

impl Reason {
    /// The word for it, as `plan --json` has it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Code => "code",
            Self::Schema => "schema",
            Self::Upstream { .. } => "upstream",
            Self::Source { .. } => "source",
            Self::Target => "target",
            Self::Rollback => "rollback",
            Self::Hooks => "hooks",
            Self::Lookback => "lookback",
            Self::Settle => "settle",
            Self::Tick => "tick",
            Self::Again => "again",
            Self::Manual => "manual",
        }
    }
}

impl From<&Cause> for Reason {
    fn from(cause: &Cause) -> Self {
        match cause {
            Cause::Upstream(node) => Self::Upstream { node: node.clone() },
            Cause::Source(source) => Self::Source { source: source.clone() },
            Cause::Target => Self::Target,
            Cause::Rollback => Self::Rollback,
            Cause::Hooks => Self::Hooks,
            Cause::Again => Self::Again,
            Cause::Manual => Self::Manual,
        }
    }
}

/// The moment that decides what is wanted: the last tick of the node's schedule; without one, now.
/// Nothing before the first tick.
pub fn horizon(node: &Node, now: Instant) -> Option<Instant> {
    match &node.schedule {
        Some(schedule) => schedule.last_tick(now),
        None => Some(now),
    }
}

/// `wanted`: from the grid's begin to the last interval that ended by the last tick, without what is
/// waived. Without a grid: all of time, once there was a tick.
pub fn wanted(node: &Node, state: &NodeState, now: Instant) -> RangeSet {
    let Some(horizon) = horizon(node, now) else {
        return RangeSet::new();
    };
    if !node.grid.is_cut() {
        return RangeSet::whole();
    }
    let closed = if node.partial && !node.grid.is_cut_at(horizon) {
        node.grid.next_cut(horizon)
    } else {
        node.grid.floor(horizon)
    };
    let extent = node.grid.extent();
    match Interval::new(extent.start, closed.min(extent.end)) {
        Some(range) => RangeSet::from(range).subtract(&state.waived),
        None => RangeSet::new(),
    }
}

/// `stale`: what is filled and no longer right, with the first reason that holds in the order of
/// [`Reason`]. `observed` says that every source under the node is watched file by file, so that
/// settling needs no blind refill.
pub fn stale(node: &Node, state: &NodeState, wanted: &RangeSet, observed: bool, now: Instant) -> RangeMap<Reason> {
    let mut out = RangeMap::new();
    let mut mark = |set: &RangeSet, reason: &Reason| {
        for range in set.iter() {
            out.insert(range, reason.clone());
        }
    };
    // From the weakest reason to the strongest: a later one replaces an earlier one.
    let is_view = node.materialization == Materialization::View;
    let filled = state.filled.keys();
    if let Some(asked) = state.dirty.get(&Cause::Manual) {
        mark(&asked.intersect(&nameable(node, now)), &Reason::Manual);
    }
    if let Some(again) = state.dirty.get(&Cause::Again) {
        mark(&again.intersect(&nameable(node, now)), &Reason::Again);
    }
    let expected = wanted.intersect(&filled);
    if let Some(unfinished) = state.dirty.get(&Cause::Hooks) {
        mark(&unfinished.intersect(&expected), &Reason::Hooks);
    }
    if !is_view {
        mark(&ticked(node, state, &expected, now), &Reason::Tick);
        mark(
            &unsettled(node, state, wanted, &expected, observed, now),
            &Reason::Settle,
        );
        // An open interval that is filled again is not looked back at: its tick came.
        let again = if node.lookback > 0 {
            Reason::Lookback
        } else {
            Reason::Tick
        };
        mark(&looked_back(node, state, wanted, &expected, now), &again);
        let changed = |cause: &&Cause| !matches!(cause, Cause::Manual | Cause::Again | Cause::Hooks);
        for cause in state.dirty.keys().rev().filter(changed) {
            mark(&state.dirty[cause].intersect(&expected), &Reason::from(cause));
        }
    }
    let other_schema = |fp: &CodeFp| fp.schema != node.fingerprint.schema;
    let other_code = |fp: &CodeFp| fp.code != node.fingerprint.code;
    if !is_view && state.filled.iter().any(|(_, fp)| other_schema(fp)) {
        mark(
            &state.filled.keys_where(other_schema).intersect(&expected),
            &Reason::Schema,
        );
    }
    if state.filled.iter().any(|(_, fp)| other_code(fp)) {
        mark(&state.filled.keys_where(other_code).intersect(&expected), &Reason::Code);
    }
    out
}

/// What a person may name: every interval inside the extent that is over, scheduled or not.
pub fn nameable(node: &Node, now: Instant) -> RangeSet {
    if !node.grid.is_cut() {
        return RangeSet::whole();
    }
    let extent = node.grid.extent();
    let over = if node.partial {
        node.grid.next_cut(now)
    } else {
        node.grid.floor(now)
    };
    Interval::new(extent.start, over.min(extent.end))
        .map(RangeSet::from)
        .unwrap_or_default()
}

/// What readers may read: filled, and not waiting for a data test that blocks.
pub fn readable(node: &Node, state: &NodeState) -> RangeSet {
    let filled = state.filled.keys();
    if state.untested.is_empty() || !has_blocking_tests(node) {
        filled
    } else {
        filled.subtract(&state.untested)
    }
}

/// Whether a failed data test of the node keeps rows from its readers.
pub fn has_blocking_tests(node: &Node) -> bool {
    node.tests.iter().any(|test| test.severity == Severity::Error)
}

/// The data tests that failed when they last ran and that keep rows from readers. `state` is that of
/// the node's instance without a key.
pub fn failed_tests<'a>(node: &'a Node, state: &NodeState) -> Vec<&'a DataTest> {
    let has_failed = |test: &&DataTest| {
        let last = state.tests.get(&test.name);
        last.is_some_and(|last| test.judge(last.failures) == Verdict::Failed && last.fingerprint == test.fingerprint)
    };
    let blocking = node.tests.iter().filter(|test| test.severity == Severity::Error);
    blocking.filter(has_failed).collect()
}

/// The data tests that are due: never run, edited, or older than the newest fill of what they look at.
/// `state` is that of the node's instance without a key.
pub fn due_tests<'a>(node: &'a Node, state: &NodeState, newest: impl Fn(&DataTest) -> i64) -> Vec<&'a DataTest> {
    let is_due = |test: &&DataTest| {
        state
            .tests
            .get(&test.name)
            .is_none_or(|last| last.fingerprint != test.fingerprint || last.fill_seq < newest(test))
    };
    node.tests.iter().filter(is_due).collect()
}

/// What is due but failed too often with the same code and the same inputs.
pub fn held(node: &Node, state: &NodeState) -> RangeSet {
    state.failing.keys_where(|failing| is_held(node, failing))
}

/// What is held because a person took the table back to an earlier version, and to which.
pub fn rolled_back(node: &Node, state: &NodeState) -> RangeMap<i64> {
    let held = state.failing.iter().filter(|(_, failing)| is_held(node, failing));
    held.filter_map(|(range, failing)| Some((range, failing.rolled_back_to?)))
        .collect()
}

/// Whether a failure holds its range until somebody names it or something changes.
pub fn is_held(node: &Node, failing: &Failing) -> bool {
    failing.equal_count >= HELD_AFTER_FAILURES && failing.code_fp == node.fingerprint
}

/// What is filled and not sealed at `now`.
pub fn provisional(node: &Node, state: &NodeState, now: Instant) -> RangeSet {
    let filled = state.filled.keys();
    if !node.grid.is_cut() {
        return RangeSet::new();
    }
    let sealed_before = Instant(now.0.saturating_sub(node.settle_us));
    // An interval is sealed when its end + settle has come: when its end lies at or before that moment.
    match Interval::new(node.grid.floor(sealed_before), Instant::MAX) {
        Some(open) if node.settle_us > 0 || node.partial => filled.within(open),
        _ => RangeSet::new(),
    }
}

/// The tick of rule 8: the schedule's last one; without a schedule, the end of the newest wanted interval.
fn tick(node: &Node, wanted: &RangeSet, now: Instant) -> Option<Instant> {
    match &node.schedule {
        Some(schedule) => schedule.last_tick(now),
        None => wanted.span().map(|span| span.end),
    }
}

fn filled_before(state: &NodeState, candidates: &RangeSet, tick: Instant) -> RangeSet {
    state.made_at.keys_where(|at| *at < tick).intersect(candidates)
}

fn looked_back(node: &Node, state: &NodeState, wanted: &RangeSet, expected: &RangeSet, now: Instant) -> RangeSet {
    if (node.lookback == 0 && !node.partial) || !node.grid.is_cut() {
        return RangeSet::new();
    }
    let (Some(span), Some(tick)) = (wanted.span(), tick(node, wanted, now)) else {
        return RangeSet::new();
    };
    let newest = node.grid.prev_cut(span.end);
    let reach = Interval::new(node.grid.back(newest, node.lookback), span.end);
    let mut again = reach.map_or_else(RangeSet::new, |reach| expected.within(reach));
    if node.partial {
        again.extend(filled_open(node, state).intersect(expected).iter());
    }
    filled_before(state, &again, tick)
}

/// The intervals that were not over when they were filled, however long ago that is.
fn filled_open(node: &Node, state: &NodeState) -> RangeSet {
    let open = |(range, at): (Interval, &Instant)| {
        let open = Interval::new(node.grid.floor(*at), Instant::MAX)?;
        range.intersect(open)
    };
    state.made_at.iter().filter_map(open).collect()
}

fn unsettled(
    node: &Node,
    state: &NodeState,
    wanted: &RangeSet,
    expected: &RangeSet,
    observed: bool,
    now: Instant,
) -> RangeSet {
    if node.settle_us == 0 || observed || !node.grid.is_cut() {
        return RangeSet::new();
    }
    let Some(tick) = tick(node, wanted, now) else {
        return RangeSet::new();
    };
    let open = Interval::new(
        node.grid.floor(Instant(tick.0.saturating_sub(node.settle_us))),
        Instant::MAX,
    );
    open.map(|open| filled_before(state, &expected.within(open), tick))
        .unwrap_or_default()
}

/// A node without a grid is made again at each tick of its schedule.
fn ticked(node: &Node, state: &NodeState, expected: &RangeSet, now: Instant) -> RangeSet {
    match &node.schedule {
        Some(schedule) if !node.grid.is_cut() => schedule
            .last_tick(now)
            .map(|tick| filled_before(state, expected, tick))
            .unwrap_or_default(),
        _ => RangeSet::new(),
    }
}
