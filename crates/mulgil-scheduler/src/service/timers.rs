//! Every schedule with its next tick, the earliest on top. It never reads a clock.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use mulgil_core::{interval::Instant, project::Missed, schedule::Schedule, tick};
use mulgil_store::{DecidedTicks, ScheduleKey};

/// What keeps a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The name of a flow's instance or of a node, as ticks are kept of it.
    pub(crate) name: String,
    /// When.
    pub(crate) schedule: Schedule,
    /// What is done with ticks that nobody was there for.
    pub(crate) missed: Missed,
}

impl Owner {
    fn key(&self) -> ScheduleKey {
        ScheduleKey {
            owner: self.name.clone(),
            schedule: self.schedule.to_string(),
        }
    }
}

/// The timers of all schedules.
#[derive(Debug)]
pub(crate) struct Timers {
    owners: Vec<Owner>,
    /// The newest tick of each that was decided.
    decided: Vec<Instant>,
    next: BinaryHeap<Reverse<(Instant, usize)>>,
}

impl Timers {
    /// The timers of schedules, which go on after the newest tick that was decided of each; and what is to
    /// be recorded of those that nobody kept time for before.
    pub(crate) fn new(
        owners: Vec<Owner>,
        newest: &BTreeMap<ScheduleKey, Instant>,
        now: Instant,
    ) -> (Self, Vec<DecidedTicks>) {
        let mut first = Vec::new();
        let mut decided = Vec::with_capacity(owners.len());
        for owner in &owners {
            let of = owner.key();
            if let Some(at) = newest.get(&of) {
                decided.push(*at);
                continue;
            }
            let seen = tick::first_seen(&owner.schedule, now);
            decided.push(seen.scheduled_at);
            first.push(DecidedTicks { of, ticks: vec![seen] });
        }
        let next = owners.iter().zip(&decided).enumerate();
        let next = next.filter_map(|(index, (owner, at))| Some(Reverse((owner.schedule.next_tick(*at)?, index))));
        let timers = Self {
            next: next.collect(),
            owners,
            decided,
        };
        (timers, first)
    }

    /// When the next tick is.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.next.peek().map(|Reverse((at, _))| *at)
    }

    /// The ticks that have come, of at most `limit` schedules, with what becomes of each. They are taken as
    /// decided: where they cannot be recorded, the timers are made anew from the ledger.
    pub(crate) fn come(&mut self, now: Instant, limit: usize) -> Vec<Came> {
        let mut came = Vec::new();
        while came.len() < limit
            && let Some(Reverse((at, index))) = self.next.peek().copied()
            && at <= now
        {
            self.next.pop();
            let owner = &self.owners[index];
            let ticks = tick::come(&owner.schedule, owner.missed, self.decided[index], now);
            if let Some(last) = ticks.last() {
                self.decided[index] = last.scheduled_at;
                let of = owner.key();
                came.push(Came {
                    owner: index,
                    decided: DecidedTicks { of, ticks },
                });
            }
            let next = owner.schedule.next_tick(self.decided[index]);
            self.next.extend(next.map(|at| Reverse((at, index))));
        }
        came
    }

    /// An owner by its place.
    pub(crate) fn owner(&self, index: usize) -> &Owner {
        &self.owners[index]
    }
}

/// Ticks of one schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Came {
    /// The place of its owner.
    pub(crate) owner: usize,
    /// What is to be recorded.
    pub(crate) decided: DecidedTicks,
}
