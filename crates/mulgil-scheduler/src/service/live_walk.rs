//! A walk while it goes on: what the ledger knows of it, and what is being done.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mulgil_core::{
    backfill::Terms,
    flow::{By, Class, Flow, Late, Step, StepContext, StepOutcome},
    interval::{Instant, Interval},
    port::Fault,
    run::Trigger,
    slots::Free,
    walk::{Front, Next, StepProgress, Walk},
};
use mulgil_store::{EndedStep, OpenWalk};
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
    /// Where the walk is to be looked at.
    front: Front,
    pub(crate) outputs: BTreeMap<String, Json>,
    /// Rows that steps told of, in this server's time.
    pub(crate) rows: BTreeMap<String, u64>,
    /// Live attempts by step.
    pub(crate) attempts: BTreeMap<String, LiveAttempt>,
    /// Steps that may start and wait for a slot.
    pub(crate) waiting: Waiting,
    /// The pools of its steps.
    pub(crate) pools: BTreeSet<String>,
    /// Whether it was told that its deadline has passed, in this server's time.
    pub(crate) is_late: bool,
    /// Why steps failed, in this server's time.
    pub(crate) faults: BTreeMap<String, Fault>,
    /// What has ended and is not recorded yet.
    pub(crate) unsaid: Vec<EndedStep>,
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
        let mut walk = Self::new(open.walk, begun, open.started_at);
        (walk.outputs, walk.reopened_at) = (open.outputs, open.reopened_at);
        walk
    }

    /// A walk that begins.
    pub(crate) fn begun_as(run: i64, begins: Begins, now: Instant) -> Self {
        Self::new(Walk::new(run, begins.interval), begins, now)
    }

    fn new(walk: Walk, begins: Begins, started_at: Instant) -> Self {
        Self {
            front: Front::new(&begins.flow, &walk),
            pools: begins.flow.steps.iter().filter_map(|step| step.pool.clone()).collect(),
            flow: begins.flow,
            class: begins.class,
            scheduled_at: begins.scheduled_at,
            started_at,
            reopened_at: None,
            params: begins.params,
            backfill: begins.backfill,
            walk,
            outputs: BTreeMap::new(),
            rows: BTreeMap::new(),
            attempts: BTreeMap::new(),
            waiting: Waiting::default(),
            is_late: false,
            faults: BTreeMap::new(),
            unsaid: Vec::new(),
        }
    }

    /// Begins nothing more of it, and stops what is live.
    pub(crate) fn cancel(&mut self) {
        self.walk.is_cancelled = true;
        self.waiting = Waiting::default();
        self.front.look_at_all();
        for (name, live) in &self.attempts {
            if self.step(name).is_none_or(|step| !step.is_finally) {
                // An attempt that has just ended hears nothing.
                let _ = live.stop.send(true);
            }
        }
    }

    /// A step by its name.
    pub(crate) fn step(&self, name: &str) -> Option<&Step> {
        self.front.step(&self.flow, name)
    }

    /// A step stands otherwise now, as it is recorded.
    pub(crate) fn put(&mut self, step: &str, progress: StepProgress) {
        self.front.changed(&self.flow, step, progress.stage);
        if let Some(place) = self.front.place(step) {
            self.waiting.remove(group_of(&self.flow.steps[place]), place);
        }
        self.walk.steps.insert(step.to_owned(), progress);
    }

    /// An attempt of a step began.
    pub(crate) fn began(&mut self, step: &str, now: Instant) {
        let progress = self.begun(step, now);
        self.put(step, progress);
    }

    /// Those of the waiting steps that could be chosen: of each pool and priority no more than there are
    /// free slots.
    pub(crate) fn first_waiting(&self, free: &Free) -> impl Iterator<Item = (&Step, Instant)> {
        let first = self.waiting.first(free.slots);
        first.map(|(place, since)| (&self.flow.steps[place], since))
    }

    /// Its interval, where its flow has them.
    pub(crate) fn interval(&self) -> Option<Interval> {
        self.flow.grid.is_cut().then_some(self.walk.interval)
    }

    /// What is next of it. What may start waits for slots from now on.
    pub(crate) fn next(&mut self, now: Instant) -> Next {
        let next = self.walk.next_at(&self.flow, &mut self.front, now);
        for place in next.start.iter().filter_map(|step| self.front.place(step)) {
            self.waiting.add(group_of(&self.flow.steps[place]), place, now);
        }
        next
    }

    /// When the whole has to be over, where the flow says so.
    pub(crate) fn ends_by(&self) -> Option<Instant> {
        let timeout = self.flow.timeout_us?;
        let from = self.reopened_at.unwrap_or(self.started_at);
        Some(Instant(from.0.saturating_add(timeout)))
    }

    /// By when it has to be done, and what happens then; nothing while the time does not count yet.
    pub(crate) fn deadline(&self) -> Option<(Instant, Late)> {
        let deadline = self.flow.deadline.as_ref()?;
        let steps = self.walk.steps.values();
        let began_at = steps.filter_map(|step| step.began_at).min();
        let due_at = match (self.reopened_at, &deadline.by) {
            // What was begun again has its time from then on.
            (Some(again), By::Within { .. }) => {
                let again = |at: Instant| at.max(again);
                deadline.due_at(
                    self.scheduled_at.map(again),
                    again(self.started_at),
                    began_at.map(again),
                )
            }
            // Its day may be over: who begins it again knows that.
            (Some(_), By::Clock { .. }) => None,
            (None, _) => deadline.due_at(self.scheduled_at, self.started_at, began_at),
        };
        Some((due_at?, deadline.then))
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
        let earlier = self.front.before(&self.flow, step).into_iter();
        let outcome = |name: &str| {
            let outcome = StepOutcome {
                state: self.walk.ended(name)?,
                rows: self.rows.get(name).copied(),
                output: self.outputs.get(name).cloned().unwrap_or_default(),
            };
            Some((name.to_owned(), outcome))
        };
        StepContext {
            run_id: self.walk.run.to_string(),
            scheduled_at: self.scheduled_at,
            started_at: self.started_at,
            interval: self.interval(),
            params: self.params.clone(),
            steps: earlier.filter_map(outcome).collect(),
            attempt: progress.next_attempt(),
            idempotency_id: self.idempotency_id(step),
        }
    }

    /// The same for every try of a step in this run, and for nothing else.
    fn idempotency_id(&self, step: &Step) -> String {
        StepContext::idempotency_id(&self.flow.name, &step.name, self.walk.run, self.walk.interval)
    }
}

/// A pool and a priority: among those that have both in common the flow's order decides.
type Group<'a> = (Option<&'a str>, i32);

fn group_of(step: &Step) -> Group<'_> {
    (step.pool.as_deref(), step.priority)
}

/// Steps that wait for slots, by their places in the flow, and since when.
#[derive(Debug, Default)]
pub(crate) struct Waiting(BTreeMap<(Option<String>, i32), BTreeMap<usize, Instant>>);

impl Waiting {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that wait already go on waiting.
    fn add(&mut self, (pool, priority): Group<'_>, place: usize, now: Instant) {
        let group = self.0.entry((pool.map(str::to_owned), priority)).or_default();
        group.entry(place).or_insert(now);
    }

    fn remove(&mut self, (pool, priority): Group<'_>, place: usize) {
        let group = (pool.map(str::to_owned), priority);
        if let Some(places) = self.0.get_mut(&group) {
            places.remove(&place);
            if places.is_empty() {
                self.0.remove(&group);
            }
        }
    }

    /// The first of each group.
    fn first(&self, of_each: usize) -> impl Iterator<Item = (usize, Instant)> {
        let places = self.0.values().flat_map(move |places| places.iter().take(of_each));
        places.map(|(place, since)| (*place, *since))
    }
}
