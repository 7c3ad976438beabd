//! Which intervals of a flow are due: the same terms as for a node (`core/due.rs`), because a flow is to
//! them a node without upstreams whose rows are what its runs have done.

use super::{Flow, name};
use crate::{
    due,
    interval::{Instant, Interval, RangeMap, RangeSet},
    name::{Instance, NodeName, Relation},
    project::{Batch, CodeFp, Materialization, Node, Publish},
    state::{Cause, NodeState},
    why::Status,
};

/// An interval for which a run of the flow may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueRun {
    /// Which.
    pub interval: Interval,
    /// Who waits for it.
    pub class: Class,
}

/// Who waits for a run: what is chosen first where not all can begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A person at this moment.
    Interactive,
    /// The clock.
    Scheduled,
    /// A person, for intervals of the past.
    Backfill,
    /// A hole that was left.
    Healing,
}

impl Flow {
    /// The flow as the ledger knows it: what has an interval set of its own.
    pub fn instance(&self) -> Instance {
        Instance::of(NodeName::new(name::of_flow(&self.name)))
    }

    /// When its schedule comes next; never again after the tick that wants its last interval.
    pub fn next_tick(&self, now: Instant) -> Option<Instant> {
        let schedule = self.schedule.as_ref()?;
        let is_over = |end: Instant| schedule.last_tick(now).is_some_and(|last| last >= end);
        match self.grid.end.filter(|_| self.grid.is_cut()) {
            Some(end) if is_over(end) => None,
            _ => schedule.next_tick(now),
        }
    }

    /// Its next ticks, the first one first.
    pub fn next_ticks(&self, now: Instant) -> impl Iterator<Item = Instant> {
        std::iter::successors(self.next_tick(now), |tick| self.next_tick(*tick))
    }

    /// The intervals that are due, those first that should begin first, at most `limit`. None for a flow
    /// without intervals: its ticks are its runs. `active` is what runs are busy with. `turn` are intervals
    /// that a person asked for, in the order in which they come; those that it does not name come after
    /// them, oldest first.
    pub fn due(
        &self,
        state: &NodeState,
        active: &RangeSet,
        turn: &[Interval],
        now: Instant,
        limit: usize,
    ) -> Vec<DueRun> {
        if !self.grid.is_cut() {
            return Vec::new();
        }
        let node = self.as_node();
        let wanted = self.wanted(state, now);
        let asked = state.dirty.get(&Cause::Manual).cloned().unwrap_or_default();
        let missing = wanted.subtract(&state.filled.keys());
        // What is asked for is stale, and told apart from what the clock makes due.
        let stale = due::stale(&node, state, &wanted, false, now).keys().subtract(&asked);
        let waits = state.failing.keys_where(|failing| failing.next_try_at > now);
        let barred = due::held(&node, state).union(&waits).union(active);
        let by_clock = missing.union(&stale).subtract(&asked).subtract(&barred);
        let newest = self.newest(&wanted);
        let scheduled = newest.map_or_else(RangeSet::new, |newest| by_clock.within(newest));
        let holes = by_clock.subtract(&scheduled);
        let asked = asked.intersect(&due::nameable(&node, now)).subtract(active);
        let of_class = |set: &RangeSet, class: Class| {
            let all = set.iter().flat_map(|range| self.grid.intervals(range).take(limit));
            all.take(limit)
                .map(|interval| DueRun { interval, class })
                .collect::<Vec<_>>()
        };
        let turn = turn.iter().filter(|interval| asked.covers(**interval));
        let in_turn: Vec<Interval> = turn.copied().take(limit).collect();
        let others = asked.subtract(&in_turn.iter().copied().collect());
        let mut runs = of_class(&scheduled, Class::Scheduled);
        runs.extend(in_turn.into_iter().map(|interval| DueRun {
            interval,
            class: Class::Backfill,
        }));
        runs.extend(of_class(&others, Class::Backfill));
        runs.extend(of_class(&holes, Class::Healing));
        runs.truncate(limit);
        runs
    }

    /// How its intervals stand, by the same terms; nothing of a flow without. `active` is what runs are busy with.
    pub fn statuses(&self, state: &NodeState, active: &RangeSet, now: Instant) -> RangeMap<Status> {
        let mut out = RangeMap::new();
        if !self.grid.is_cut() {
            return out;
        }
        let (node, filled) = (self.as_node(), state.filled.keys());
        let wanted = self.wanted(state, now);
        let mut mark = |set: &RangeSet, status: &Status| set.iter().for_each(|range| out.insert(range, status.clone()));
        // From the weakest to the strongest: a later one replaces an earlier one.
        mark(&filled, &Status::Fresh);
        mark(&state.waived, &Status::Waived);
        for (range, reason) in due::stale(&node, state, &wanted, false, now).iter() {
            mark(&range.into(), &Status::Stale { reason: reason.clone() });
        }
        mark(&wanted.subtract(&filled), &Status::Missing);
        mark(&state.failing.keys(), &Status::Failed);
        mark(&due::held(&node, state), &Status::Held { rolled_back_to: None });
        mark(active, &Status::Running);
        out
    }

    /// What its schedule asks for. Nothing is wanted of a flow that a person starts.
    pub fn wanted(&self, state: &NodeState, now: Instant) -> RangeSet {
        match self.schedule {
            Some(_) if self.grid.is_cut() => due::wanted(&self.as_node(), state, now),
            Some(_) | None => RangeSet::new(),
        }
    }

    /// The newest interval that is wanted, with those that are looked back at.
    fn newest(&self, wanted: &RangeSet) -> Option<Interval> {
        let span = wanted.span()?;
        let newest = self.grid.prev_cut(span.end);
        Interval::new(self.grid.back(newest, self.lookback), span.end)
    }

    /// The flow as a node whose code never changes: what a run did is not undone by editing the file.
    pub fn as_node(&self) -> Node {
        let instance = self.instance();
        Node {
            relation: Relation {
                schema: String::new(),
                name: instance.node.as_str().to_owned(),
            },
            name: instance.node,
            materialization: Materialization::Interval,
            grid: self.grid.clone(),
            event_time: None,
            incremental: None,
            keys: Vec::new(),
            reads: Vec::new(),
            inputs: Vec::new(),
            fingerprint: CodeFp::default(),
            batch: Batch::AtMost(1),
            schedule: self.schedule.clone(),
            missed: self.missed,
            lookback: self.lookback,
            settle_us: 0,
            partial: self.partial,
            tests: Vec::new(),
            publish: Publish::AtOnce,
            tags: self.tags.clone(),
            description: self.description.clone(),
            columns: std::collections::BTreeMap::new(),
            owner: self.owner.clone(),
            file: self.file.clone(),
        }
    }
}
