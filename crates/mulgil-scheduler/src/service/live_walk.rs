//! A walk while it goes on: what the ledger knows of it, and what is being done.

use std::{collections::BTreeMap, sync::Arc};

use mulgil_core::{
    backfill::Terms,
    flow::{After, Class, Flow, Late, Step, StepContext, StepOutcome},
    interval::{Instant, Interval},
    port::Fault,
    project::Fingerprint,
    run::Trigger,
    slots::Free,
    walk::{Next, StepProgress, Walk},
};
use mulgil_store::OpenWalk;
use serde_json::Value as Json;
use tokio::sync::watch;

use super::port::Begins;

/// A walk and its live attempts.
#[derive(Debug)]
pub(crate) struct LiveWalk {
    pub(crate) flow: Arc<Flow>,
    pub(crate) class: Class,
    pub(crate) scheduled_at: Option<Instant>,
    pub(crate) started_at: Instant,
    /// When a person had it begun again: from then on its time counts.
    pub(crate) reopened_at: Option<Instant>,
    pub(crate) params: BTreeMap<String, Json>,
    /// The backfill that asked for it, with what was said of that.
    pub(crate) backfill: Option<(i64, Terms)>,
    pub(crate) walk: Walk,
    pub(crate) outputs: BTreeMap<String, Json>,
    /// Rows that steps told of, in this server's time.
    pub(crate) rows: BTreeMap<String, u64>,
    /// Live attempts by step.
    pub(crate) attempts: BTreeMap<String, LiveAttempt>,
    /// Since when steps that may start wait for a slot.
    pub(crate) waiting: BTreeMap<String, Instant>,
    /// Whether it was told that its deadline has passed, in this server's time.
    pub(crate) is_late: bool,
    /// Why steps failed, in this server's time.
    pub(crate) faults: BTreeMap<String, Fault>,
}

/// A live attempt of a step.
#[derive(Debug)]
pub(crate) struct LiveAttempt {
    pub(crate) attempt: i64,
    pub(crate) epoch: i64,
    /// Tells it to stop.
    pub(crate) stop: watch::Sender<bool>,
}

impl LiveWalk {
    /// A walk as the ledger has it.
    pub(crate) fn of(open: OpenWalk) -> Self {
        let class = match open.trigger {
            // Somebody waits for what they had begun again, whatever began it first.
            _ if open.reopened_at.is_some() => Class::Interactive,
            Trigger::Manual => Class::Interactive,
            Trigger::Schedule => Class::Scheduled,
            Trigger::Backfill => Class::Backfill,
        };
        let begun = Begins {
            flow: Arc::new(open.flow),
            trigger: open.trigger,
            class,
            scheduled_at: open.scheduled_at,
            interval: open.walk.interval,
            params: open.params,
            backfill: open.backfill.filter(|_| open.reopened_at.is_none()),
        };
        let mut walk = Self::begun_as(open.walk.run, begun, open.started_at);
        (walk.walk, walk.outputs, walk.reopened_at) = (open.walk, open.outputs, open.reopened_at);
        walk
    }

    /// A walk that begins.
    pub(crate) fn begun_as(run: i64, begins: Begins, now: Instant) -> Self {
        Self {
            flow: begins.flow,
            class: begins.class,
            scheduled_at: begins.scheduled_at,
            started_at: now,
            reopened_at: None,
            params: begins.params,
            backfill: begins.backfill,
            walk: Walk::new(run, begins.interval),
            outputs: BTreeMap::new(),
            rows: BTreeMap::new(),
            attempts: BTreeMap::new(),
            waiting: BTreeMap::new(),
            is_late: false,
            faults: BTreeMap::new(),
        }
    }

    /// Begins nothing more of it, and stops what is live.
    pub(crate) fn cancel(&mut self) {
        self.walk.is_cancelled = true;
        self.waiting.clear();
        for (name, live) in &self.attempts {
            if self.flow.step(name).is_none_or(|step| !step.is_finally) {
                // An attempt that has just ended hears nothing.
                let _ = live.stop.send(true);
            }
        }
    }

    /// Steps wait for slots, since now where they did not before.
    pub(crate) fn wait_for_slots(&mut self, steps: Vec<String>, now: Instant) {
        let mut before = std::mem::take(&mut self.waiting);
        for step in steps {
            let since = before.remove(&step).unwrap_or(now);
            self.waiting.insert(step, since);
        }
    }

    /// Those of the waiting steps that could be chosen: of each pool and priority no more than there are
    /// free slots.
    pub(crate) fn first_waiting(&self, free: &Free) -> Vec<(&Step, Instant)> {
        let mut taken: BTreeMap<(Option<&str>, i32), usize> = BTreeMap::new();
        let mut first = Vec::new();
        for (name, since) in &self.waiting {
            if let Some(step) = self.flow.step(name) {
                let count = taken.entry((step.pool.as_deref(), step.priority)).or_default();
                *count += 1;
                if *count <= free.slots {
                    first.push((step, *since));
                }
            }
        }
        first
    }

    /// Its interval, where its flow has them.
    pub(crate) fn interval(&self) -> Option<Interval> {
        self.flow.grid.is_cut().then_some(self.walk.interval)
    }

    /// What is next of it.
    pub(crate) fn next(&self, now: Instant) -> Next {
        self.walk.next(&self.flow, now)
    }

    /// When the whole has to be over, where the flow says so.
    pub(crate) fn ends_by(&self) -> Option<Instant> {
        let timeout = self.flow.timeout_us?;
        let from = self.reopened_at.unwrap_or(self.started_at);
        Some(Instant(from.0.saturating_add(timeout)))
    }

    /// By when it has to be done, and what happens then; nothing while the time does not count yet.
    pub(crate) fn deadline(&self) -> Option<(Instant, Late)> {
        let deadline = self.flow.deadline?;
        let from = match deadline.after {
            After::Scheduled => self.scheduled_at.unwrap_or(self.started_at),
            After::Queued => self.started_at,
            After::Started => self.walk.steps.values().filter_map(|step| step.began_at).min()?,
        };
        let from = self.reopened_at.map_or(from, |again| again.max(from));
        Some((Instant(from.0.saturating_add(deadline.within_us)), deadline.then))
    }

    /// How far a step is once an attempt of it has begun.
    pub(crate) fn begun(&self, step: &str, now: Instant) -> StepProgress {
        let mut walk = self.walk.only([step]);
        walk.began(step, now);
        walk.progress(step)
    }

    /// What the templates of a step are told.
    pub(crate) fn context(&self, step: &Step) -> StepContext {
        let progress = self.walk.progress(&step.name);
        let outcome = |(name, progress): (&String, &StepProgress)| {
            let outcome = StepOutcome {
                state: progress.stage.ended()?,
                rows: self.rows.get(name).copied(),
                output: self.outputs.get(name).cloned().unwrap_or_default(),
            };
            Some((name.clone(), outcome))
        };
        StepContext {
            run_id: self.walk.run.to_string(),
            scheduled_at: self.scheduled_at,
            started_at: self.started_at,
            interval: self.interval(),
            params: self.params.clone(),
            steps: self.walk.steps.iter().filter_map(outcome).collect(),
            attempt: progress.next_attempt(),
            idempotency_id: self.idempotency_id(step),
        }
    }

    /// The same for every try of a step in this run, and for nothing else.
    fn idempotency_id(&self, step: &Step) -> String {
        let Walk { run, interval, .. } = &self.walk;
        Fingerprint::of([
            self.flow.name.as_bytes(),
            step.name.as_bytes(),
            run.to_le_bytes().as_slice(),
            interval.start.0.to_le_bytes().as_slice(),
            interval.end.0.to_le_bytes().as_slice(),
        ])
        .to_string()
    }
}
