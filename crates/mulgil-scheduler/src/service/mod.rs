//! The service: it keeps time, begins walks over flows, hands their steps over, and records what came of
//! them. One loop owns all that changes; what lasts runs beside it and comes back as an event.
//!
//! Nothing follows from what is not in the ledger: a step starts when its claim is recorded, and what it
//! needs has ended when that is. Where the ledger cannot be written, the loop gives up what it has in its
//! head and begins again from the ledger, as after a crash.

mod live_walk;
mod local;
mod port;
mod timers;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use mulgil_core::{
    backoff::BackOff,
    codes, crash,
    diagnostic::{Diagnostic, Retry},
    flow::{Class, DueRun, Flow, OnFull},
    interval::{Instant, Interval},
    port::Fault,
    project::Fingerprint,
    run::{RunState, Trigger},
    slots::{self, Candidate, Free},
    state::NodeState,
    walk::{Lost, Stage},
};
use mulgil_store::{Begun, EndedStep, NewWalk, StepStart, Store};
use serde_json::Value as Json;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{JoinError, JoinSet},
};

pub use self::local::{LocalExecutor, RunsModels};
pub use self::port::{Begins, Executor, Happening, StepAttempt, StepEnd, Stop, Witness};
use self::{
    live_walk::{LiveAttempt, LiveWalk},
    timers::{Owner, Timers},
};

/// The loop goes round at least so often, so that a clock that was set is seen, and its heart is heard.
const SAFETY_NET: Duration = Duration::from_secs(1);

/// Schedules whose ticks are taken in one turn.
const MAX_OWNERS_A_TURN: usize = 1_000;

/// Asks that wait to be answered.
pub const MAX_ASKS: usize = 256;

/// The pauses after the ledger could not be written.
const LEDGER_BACK_OFF: BackOff = BackOff {
    base_us: 250_000,
    cap_us: 10_000_000,
    factor: 2,
};

/// Gives the time, now.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// Everything that a service works with.
pub struct Service {
    /// The ledger.
    pub store: Arc<Store>,
    /// The flows that are declared, by name.
    pub flows: BTreeMap<String, Arc<Flow>>,
    /// Who does the steps.
    pub executor: Arc<dyn Executor>,
    /// Who is told what happens.
    pub witness: Arc<dyn Witness>,
    /// Its bounds.
    pub limits: ServiceLimits,
    /// The time, now.
    pub clock: Clock,
    /// Where the loop says that it lives.
    pub pulse: Arc<Pulse>,
}

/// What the loop says of itself while it runs.
#[derive(Debug, Default)]
pub struct Pulse {
    beat_us: AtomicI64,
    is_resting: AtomicBool,
}

impl Pulse {
    /// When the loop last went round; none before it began.
    pub fn beat_at(&self) -> Option<Instant> {
        Some(Instant(self.beat_us.load(Ordering::Relaxed))).filter(|at| at.0 != 0)
    }

    /// Whether it waits for something to happen.
    pub fn is_resting(&self) -> bool {
        self.is_resting.load(Ordering::SeqCst)
    }

    fn beat(&self, now: Instant) {
        self.beat_us.store(now.0, Ordering::Relaxed);
    }

    fn rest(&self, is_resting: bool) {
        self.is_resting.store(is_resting, Ordering::SeqCst);
    }
}

/// What bounds a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceLimits {
    /// Steps that may be live at once.
    pub slots: usize,
    /// Slots of pools, by name.
    pub pools: BTreeMap<String, usize>,
}

/// What a service is asked while it runs.
#[derive(Debug)]
pub enum Ask {
    /// To begin a walk now.
    Start {
        /// Over which flow.
        flow: String,
        /// For which interval; all of time for a flow without any.
        interval: Interval,
        /// With which parameters, as the flow has typed them.
        params: BTreeMap<String, Json>,
        /// Told the run.
        answer: oneshot::Sender<Result<i64, Fault>>,
    },
    /// To look at a flow again: somebody asked for intervals of it.
    Look {
        /// Which.
        flow: String,
    },
    /// To end a walk.
    Cancel {
        /// Its run.
        run: i64,
        /// Who wants it.
        by: String,
        /// Told when it is recorded.
        answer: oneshot::Sender<Result<(), Fault>>,
    },
    /// To begin nothing more, and to end when all that goes on has.
    Drain,
}

/// What the loop has in its head; all of it can be made anew from the ledger.
struct Mind {
    timers: Timers,
    walks: BTreeMap<i64, LiveWalk>,
    /// Flows of which a walk may be due to begin.
    flagged: BTreeSet<String>,
    /// Walks whose steps are to be looked at.
    touched: BTreeSet<i64>,
    /// When to look again although nothing happened.
    wake_at: Option<Instant>,
    work: JoinSet<(i64, String, StepEnd)>,
    is_draining: bool,
}

/// An attempt that ended: its run, its step, and how.
type Done = Result<(i64, String, StepEnd), JoinError>;

/// Why the loop goes round.
enum Woken {
    Asked(Ask),
    Ended(Done),
    Timer,
}

impl Service {
    /// Keeps going until it is told to drain and has, or until something fails that beginning again does
    /// not mend.
    ///
    /// # Errors
    /// A fault of the ledger that does not pass by itself, and any bug of ours.
    pub async fn run(self, mut asks: mpsc::Receiver<Ask>) -> Result<(), Fault> {
        let mut failures = 0;
        let mut is_draining = false;
        loop {
            let ended = match self.recover(is_draining).await {
                Ok(mut mind) => {
                    let ended = self.turns(&mut mind, &mut asks, &mut failures).await;
                    is_draining = mind.is_draining;
                    mind.work.shutdown().await;
                    ended
                }
                Err(fault) => Err(fault),
            };
            let Err(fault) = ended else {
                return Ok(());
            };
            let passes = fault.retry == Retry::Later && fault.code.0 / 1000 == 5;
            if !passes {
                return Err(fault);
            }
            failures += 1;
            self.witness.saw(&Happening::LedgerFailed { fault });
            let pause = LEDGER_BACK_OFF.pause_us(failures, Fingerprint::of_text("ledger"));
            self.pulse.rest(true);
            tokio::time::sleep(Duration::from_micros(pause.unsigned_abs())).await;
            self.pulse.rest(false);
        }
    }

    /// What the ledger says is going on. Attempts that outlive a server are taken up again; what of them
    /// is lost is recorded as crashed.
    async fn recover(&self, is_draining: bool) -> Result<Mind, Fault> {
        let now = self.now();
        let (timers, first) = Timers::new(self.owners(), &self.store.newest_ticks().await?, now);
        if !first.is_empty() {
            self.store.tick(first, now).await?;
        }
        let mut mind = Mind {
            timers,
            walks: BTreeMap::new(),
            flagged: self.flows.keys().cloned().collect(),
            touched: BTreeSet::new(),
            wake_at: None,
            work: JoinSet::new(),
            is_draining,
        };
        for open in self.store.open_walks().await? {
            let run = open.walk.run;
            let live = open.live.clone();
            let mut walk = LiveWalk::of(open);
            let mut lost = Vec::new();
            for step in live {
                let attempt = StepAttempt {
                    run,
                    attempt: step.attempt,
                    epoch: step.epoch,
                    started_at: step.started_at,
                };
                let (stop, stopped) = watch::channel(walk.walk.is_cancelled);
                match self.executor.adopt(&attempt, Stop(stopped)) {
                    Some(end) => {
                        let (epoch, attempt) = (step.epoch, step.attempt);
                        walk.attempts
                            .insert(step.step.clone(), LiveAttempt { attempt, epoch, stop });
                        mind.work.spawn(async move { (run, step.step, end.await) });
                    }
                    None => lost.push((step.step, step.attempt, step.epoch)),
                }
            }
            mind.touched.insert(run);
            self.lose(&mut walk, lost, now).await?;
            mind.walks.insert(run, walk);
        }
        Ok(mind)
    }

    /// Records that attempts are lost: nobody knows how they ended.
    async fn lose(&self, walk: &mut LiveWalk, lost: Vec<(String, i64, i64)>, now: Instant) -> Result<(), Fault> {
        let ends = lost.into_iter().map(|(step, attempt, epoch)| {
            let end = StepEnd::lost();
            (step, Some((attempt, epoch)), end)
        });
        let ends: Vec<_> = ends.collect();
        self.record_ends(walk, ends, now).await
    }

    fn owners(&self) -> Vec<Owner> {
        let owner = |flow: &Arc<Flow>| {
            Some(Owner {
                name: flow.instance().to_string(),
                schedule: flow.schedule.clone()?,
                missed: flow.missed,
            })
        };
        self.flows.values().filter_map(owner).collect()
    }

    async fn turns(&self, mind: &mut Mind, asks: &mut mpsc::Receiver<Ask>, failures: &mut u32) -> Result<(), Fault> {
        loop {
            let now = self.now();
            self.pulse.beat(now);
            mind.wake_at = None;
            if !mind.is_draining {
                self.tick(mind, now).await?;
                self.begin(mind, now).await?;
            }
            self.advance(mind, now).await?;
            *failures = 0;
            if mind.is_draining && mind.work.is_empty() {
                return Ok(());
            }
            // What was begun or ended in this turn may let more begin at once.
            if !mind.touched.is_empty() || (!mind.flagged.is_empty() && !mind.is_draining) {
                continue;
            }
            let pause = self.pause(mind, now);
            self.pulse.rest(true);
            let woken = tokio::select! {
                biased;
                Some(ask) = asks.recv() => Woken::Asked(ask),
                Some(done) = mind.work.join_next() => Woken::Ended(done),
                () = tokio::time::sleep(pause) => Woken::Timer,
            };
            self.pulse.rest(false);
            match woken {
                Woken::Asked(ask) => self.answer(mind, ask).await?,
                Woken::Ended(done) => {
                    let mut all = vec![done];
                    while let Some(done) = mind.work.try_join_next() {
                        all.push(done);
                    }
                    self.ended(mind, all).await?;
                }
                // Steps that wait for their time are looked at again.
                Woken::Timer => mind.touched = mind.walks.keys().copied().collect(),
            }
        }
    }

    /// How long nothing is to do, if nothing happens.
    fn pause(&self, mind: &Mind, now: Instant) -> Duration {
        let tick = mind.timers.next().filter(|_| !mind.is_draining);
        let at = tick.into_iter().chain(mind.wake_at).min();
        let micros = at.map_or(i64::MAX, |at| at.0.saturating_sub(now.0)).max(0);
        Duration::from_micros(micros.unsigned_abs()).min(SAFETY_NET)
    }

    /// Records the ticks that have come.
    async fn tick(&self, mind: &mut Mind, now: Instant) -> Result<(), Fault> {
        loop {
            let came = mind.timers.come(now, MAX_OWNERS_A_TURN);
            if came.is_empty() {
                return Ok(());
            }
            let decided = came.iter().map(|came| came.decided.clone()).collect();
            self.store.tick(decided, now).await?;
            crash::point("ticked");
            for came in &came {
                let owner = &mind.timers.owner(came.owner).name;
                self.witness.saw(&Happening::Ticked {
                    owner: owner.clone(),
                    ticks: came.decided.ticks.clone(),
                });
                mind.flagged.extend(owner.strip_prefix("flow:").map(str::to_owned));
            }
        }
    }

    /// Begins the walks that are due.
    async fn begin(&self, mind: &mut Mind, now: Instant) -> Result<(), Fault> {
        let flagged: Vec<Arc<Flow>> = std::mem::take(&mut mind.flagged)
            .iter()
            .filter_map(|name| self.flows.get(name).cloned())
            .collect();
        for flow in flagged {
            if flow.grid.is_cut() {
                self.begin_intervals(mind, &flow, now).await?;
            } else if flow.schedule.is_some() {
                self.begin_ticks(mind, &flow, now).await?;
            }
        }
        Ok(())
    }

    /// The intervals of a flow that are due, as far as there may be more active runs.
    async fn begin_intervals(&self, mind: &mut Mind, flow: &Arc<Flow>, now: Instant) -> Result<(), Fault> {
        let free = self.free_runs(mind, flow);
        if free == 0 {
            return Ok(());
        }
        let states = self.store.flow_states(std::slice::from_ref(flow.as_ref())).await?;
        let state = states.get(&flow.instance()).cloned().unwrap_or_else(NodeState::default);
        let active = self.store.active_intervals(&flow.name).await?;
        let tick = flow.schedule.as_ref().and_then(|schedule| schedule.last_tick(now));
        for DueRun { interval, class } in flow.due(&state, &active, now, free) {
            let (trigger, scheduled_at) = match class {
                Class::Scheduled => (Trigger::Schedule, tick),
                Class::Healing => (Trigger::Schedule, None),
                Class::Interactive => (Trigger::Manual, None),
                Class::Backfill => (Trigger::Backfill, None),
            };
            let begins = Begins {
                flow: Arc::clone(flow),
                trigger,
                class,
                scheduled_at,
                interval,
                params: unasked_params(flow),
            };
            self.begin_walk(mind, begins, now).await?;
        }
        Ok(())
    }

    /// The ticks of a flow without intervals whose runs have not begun.
    async fn begin_ticks(&self, mind: &mut Mind, flow: &Arc<Flow>, now: Instant) -> Result<(), Fault> {
        let free = self.free_runs(mind, flow);
        let limit = match flow.on_full {
            OnFull::Queue => free,
            OnFull::Skip | OnFull::CancelOld | OnFull::Fail => free + MAX_PASSED_OVER,
        };
        if limit == 0 {
            return Ok(());
        }
        let ticks = self
            .store
            .open_ticks(&flow.name, u32::try_from(limit).unwrap_or(u32::MAX))
            .await?;
        for (index, at) in ticks.into_iter().enumerate() {
            let begins = Begins {
                flow: Arc::clone(flow),
                trigger: Trigger::Schedule,
                class: Class::Scheduled,
                scheduled_at: Some(at),
                interval: Interval::WHOLE,
                params: unasked_params(flow),
            };
            if index < free {
                self.begin_walk(mind, begins, now).await?;
                continue;
            }
            match flow.on_full {
                OnFull::Queue => return Ok(()),
                OnFull::Skip => self.pass_over(mind, begins, RunState::Skipped, now).await?,
                OnFull::Fail => self.pass_over(mind, begins, RunState::Failed, now).await?,
                OnFull::CancelOld => {
                    let oldest = mind.walks.iter().find(|(_, walk)| walk.flow.name == flow.name);
                    if let Some(run) = oldest.map(|(run, _)| *run) {
                        self.cancel(mind, run, "on_full: cancel_old").await?;
                    }
                    self.begin_walk(mind, begins, now).await?;
                }
            }
        }
        Ok(())
    }

    fn free_runs(&self, mind: &Mind, flow: &Flow) -> usize {
        let active = mind.walks.values().filter(|walk| walk.flow.name == flow.name).count();
        (flow.max_active as usize).saturating_sub(active)
    }

    /// A run that does nothing, so that its tick has a row that says why.
    async fn pass_over(&self, mind: &mut Mind, begins: Begins, state: RunState, now: Instant) -> Result<(), Fault> {
        if let Some(run) = self.begin_walk(mind, begins, now).await?
            && let Some(walk) = mind.walks.remove(&run)
        {
            mind.touched.remove(&run);
            self.end_walk(mind, run, &walk, state, now).await?;
        }
        Ok(())
    }

    async fn begin_walk(&self, mind: &mut Mind, begins: Begins, now: Instant) -> Result<Option<i64>, Fault> {
        let new = NewWalk {
            flow: begins.flow.as_ref().clone(),
            trigger: begins.trigger,
            scheduled_at: begins.scheduled_at,
            interval: begins.interval,
            params: begins.params.clone(),
        };
        let run = match self.store.begin_walk(new, now).await? {
            Begun::Run(run) => run,
            Begun::Active(_) | Begun::Ran(_) => return Ok(None),
        };
        crash::point("flow_began");
        self.witness.saw(&Happening::RunBegan {
            run,
            flow: begins.flow.name.clone(),
            scheduled_at: begins.scheduled_at,
            interval: begins.interval,
        });
        mind.walks.insert(run, LiveWalk::begun_as(run, begins, now));
        mind.touched.insert(run);
        Ok(Some(run))
    }

    /// Ends what is passed over, starts what may start, and ends walks that are at their end.
    async fn advance(&self, mind: &mut Mind, now: Instant) -> Result<(), Fault> {
        let touched = std::mem::take(&mut mind.touched);
        let mut waits = false;
        for run in touched {
            let Some(mut walk) = mind.walks.remove(&run) else {
                continue;
            };
            let is_over = self.advance_walk(mind, &mut walk, now).await?;
            if let Some(state) = is_over {
                self.end_walk(mind, run, &walk, state, now).await?;
                mind.flagged.insert(walk.flow.name.clone());
            } else {
                waits |= !walk.waiting.is_empty();
                mind.walks.insert(run, walk);
            }
        }
        if waits || mind.walks.values().any(|walk| !walk.waiting.is_empty()) {
            self.hand_over(mind, now).await?;
        }
        Ok(())
    }

    /// Looks at one walk: gives how it ended, if it has.
    async fn advance_walk(
        &self,
        mind: &mut Mind,
        walk: &mut LiveWalk,
        now: Instant,
    ) -> Result<Option<RunState>, Fault> {
        if let Some(ends_by) = walk.ends_by() {
            if ends_by <= now && !walk.walk.is_cancelled {
                self.store.cancel_walk(walk.walk.run, "timeout", now).await?;
                walk.cancel();
            } else if ends_by > now {
                mind.wake_at = Some(mind.wake_at.map_or(ends_by, |at| at.min(ends_by)));
            }
        }
        loop {
            let next = walk.next(now);
            if !next.end.is_empty() {
                let ends = next
                    .end
                    .into_iter()
                    .map(|(step, state)| (step, None, StepEnd::passed_over(state)));
                let ends: Vec<_> = ends.collect();
                self.record_ends(walk, ends, now).await?;
                continue;
            }
            if let Some(at) = next.wake_at {
                mind.wake_at = Some(mind.wake_at.map_or(at, |earlier| earlier.min(at)));
            }
            if next.result.is_some() {
                return Ok(next.result);
            }
            walk.wait_for_slots(next.start, now);
            return Ok(None);
        }
    }

    /// Gives slots to steps that wait for them.
    async fn hand_over(&self, mind: &mut Mind, now: Instant) -> Result<(), Fault> {
        let free = self.free(mind);
        if free.slots == 0 || mind.is_draining {
            return Ok(());
        }
        let mut chosen: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        {
            let mut busy: BTreeMap<&str, usize> = BTreeMap::new();
            let mut waiting = Vec::new();
            let mut named = Vec::new();
            for (run, walk) in &mind.walks {
                *busy.entry(&walk.flow.name).or_default() += walk.attempts.len();
                for (step, since) in walk.first_waiting(&free) {
                    waiting.push(Candidate {
                        flow: &walk.flow.name,
                        class: walk.class,
                        priority: step.priority,
                        since,
                        pool: step.pool.as_deref(),
                    });
                    named.push((*run, &step.name));
                }
            }
            for index in slots::choose(&waiting, free, &busy, now) {
                let (run, step) = named[index];
                chosen.entry(run).or_default().push(step.clone());
            }
        }
        for (run, steps) in chosen {
            let Some(mut walk) = mind.walks.remove(&run) else {
                continue;
            };
            self.start(mind, &mut walk, steps, now).await?;
            mind.walks.insert(run, walk);
        }
        Ok(())
    }

    /// The free slots: those that no live attempt has.
    fn free(&self, mind: &Mind) -> Free {
        let mut free = Free {
            slots: self.limits.slots,
            pools: self.limits.pools.clone(),
        };
        for walk in mind.walks.values() {
            free.slots = free.slots.saturating_sub(walk.attempts.len());
            for step in walk.attempts.keys().filter_map(|step| walk.flow.step(step)) {
                if let Some(left) = step.pool.as_ref().and_then(|pool| free.pools.get_mut(pool)) {
                    *left = left.saturating_sub(1);
                }
            }
        }
        free
    }

    /// Claims attempts of steps of one walk and starts them. A step whose `when` says no is passed over.
    async fn start(&self, mind: &mut Mind, walk: &mut LiveWalk, steps: Vec<String>, now: Instant) -> Result<(), Fault> {
        let (mut starts, mut works, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
        for name in steps {
            walk.waiting.remove(&name);
            let Some(step) = walk.flow.step(&name) else {
                continue;
            };
            let context = walk.context(step);
            let work = match self.executor.render(&walk.flow, step, &context).await {
                Ok(None) => {
                    skipped.push((name, None, StepEnd::passed_over(RunState::Skipped)));
                    continue;
                }
                Ok(Some(work)) => Ok(work),
                Err(fault) => Err(fault),
            };
            starts.push(StepStart {
                progress: walk.begun(&name, now),
                step: name.clone(),
            });
            works.push((name, work, context));
        }
        if !skipped.is_empty() {
            self.record_ends(walk, skipped, now).await?;
            mind.touched.insert(walk.walk.run);
        }
        if starts.is_empty() {
            return Ok(());
        }
        let (run, interval) = (walk.walk.run, walk.walk.interval);
        let claims = self
            .store
            .begin_steps(run, &walk.flow.name, interval, starts, now)
            .await?;
        crash::point("step_claimed");
        for ((name, work, context), (attempt, epoch)) in works.into_iter().zip(claims) {
            walk.walk.began(&name, now);
            self.witness.saw(&Happening::StepBegan {
                run,
                step: name.clone(),
                attempt,
            });
            let (stop, stopped) = watch::channel(false);
            walk.attempts.insert(name.clone(), LiveAttempt { attempt, epoch, stop });
            let timeout = walk.flow.step(&name).and_then(|step| step.timeout_us);
            let attempt = StepAttempt {
                run,
                attempt,
                epoch,
                started_at: now,
            };
            let executor = Arc::clone(&self.executor);
            mind.work.spawn(async move {
                let end = match work {
                    Ok(work) => executor.perform(work, context, attempt, timeout, Stop(stopped)).await,
                    Err(fault) => StepEnd::failed(fault),
                };
                (run, name, end)
            });
        }
        Ok(())
    }

    /// Records attempts that ended; those of one walk together.
    async fn ended(&self, mind: &mut Mind, all: Vec<Done>) -> Result<(), Fault> {
        let now = self.now();
        let mut ended: BTreeMap<i64, Vec<_>> = BTreeMap::new();
        for one in all {
            let (run, step, end) = one.map_err(|error| bug(&format!("a step's task panicked: {error}")))?;
            let walk = mind.walks.get_mut(&run);
            if let Some(live) = walk.and_then(|walk| walk.attempts.remove(&step)) {
                ended
                    .entry(run)
                    .or_default()
                    .push((step, Some((live.attempt, live.epoch)), end));
            }
        }
        for (run, ends) in ended {
            if let Some(mut walk) = mind.walks.remove(&run) {
                self.record_ends(&mut walk, ends, now).await?;
                mind.touched.insert(run);
                mind.walks.insert(run, walk);
            }
        }
        Ok(())
    }

    /// Records how attempts of a walk ended and what is passed over, then knows it.
    async fn record_ends(
        &self,
        walk: &mut LiveWalk,
        ends: Vec<(String, Option<(i64, i64)>, StepEnd)>,
        now: Instant,
    ) -> Result<(), Fault> {
        if ends.is_empty() {
            return Ok(());
        }
        let mut next = walk.walk.only(ends.iter().map(|(step, ..)| step.as_str()));
        let mut records = Vec::with_capacity(ends.len());
        for (name, attempt, end) in &ends {
            let step = walk.flow.step(name);
            match (end.state, step) {
                (RunState::Failed, Some(step)) => {
                    let retry = end.fault.as_ref().map_or(Retry::Later, |fault| fault.retry);
                    next.lose(step, Lost::Failed { retry }, now);
                }
                (RunState::Crashed, Some(step)) => {
                    next.lose(step, Lost::Crashed, now);
                }
                (state, _) => next.end(name, state),
            }
            records.push(EndedStep {
                step: name.clone(),
                attempt: *attempt,
                state: end.state,
                rows: end.rows,
                fault: end.fault.as_deref().cloned(),
                output: end.output.clone(),
                progress: next.progress(name),
            });
        }
        let run = walk.walk.run;
        let fenced = self
            .store
            .end_steps(run, &walk.flow.name, walk.walk.interval, records, now)
            .await?;
        crash::point("step_ended");
        for (name, attempt, end) in ends {
            if attempt.is_some_and(|(attempt, _)| fenced.contains(&attempt)) {
                continue;
            }
            let progress = next.progress(&name);
            self.witness.saw(&Happening::StepEnded {
                run,
                step: name.clone(),
                attempt: attempt.map(|(attempt, _)| attempt),
                state: end.state,
                fault: end.fault.clone(),
                next_try_at: match progress.stage {
                    Stage::Retrying { at } => Some(at),
                    Stage::Waiting | Stage::Running | Stage::Ended { .. } => None,
                },
            });
            walk.walk.steps.insert(name.clone(), progress);
            walk.waiting.remove(&name);
            if !end.output.is_null() {
                walk.outputs.insert(name.clone(), end.output);
            }
            walk.rows.extend(end.rows.map(|rows| (name.clone(), rows)));
            walk.faults.extend(end.fault.map(|fault| (name, fault)));
        }
        Ok(())
    }

    async fn end_walk(
        &self,
        mind: &mut Mind,
        run: i64,
        walk: &LiveWalk,
        state: RunState,
        now: Instant,
    ) -> Result<(), Fault> {
        let flow = &walk.flow;
        let next_tick = flow.schedule.as_ref().and_then(|schedule| schedule.next_tick(now));
        let before = self.store.state_before(&flow.name, run).await?;
        self.store
            .end_walk(run, flow, state, next_tick.unwrap_or(Instant::MAX), now)
            .await?;
        crash::point("flow_ended");
        mind.touched.remove(&run);
        self.witness.saw(&Happening::RunEnded {
            run,
            flow: Arc::clone(flow),
            scheduled_at: walk.scheduled_at,
            started_at: walk.started_at,
            interval: walk.walk.interval,
            state,
            before,
            faults: walk
                .faults
                .iter()
                .map(|(step, fault)| (step.clone(), fault.clone()))
                .collect(),
        });
        Ok(())
    }

    async fn answer(&self, mind: &mut Mind, ask: Ask) -> Result<(), Fault> {
        let now = self.now();
        match ask {
            Ask::Drain => mind.is_draining = true,
            Ask::Look { flow } => {
                mind.flagged.insert(flow);
            }
            Ask::Cancel { run, answer, by } => {
                let told = if mind.walks.contains_key(&run) {
                    self.cancel(mind, run, &by).await
                } else {
                    Err(not_active(run))
                };
                // Whoever asked may be gone.
                let _ = answer.send(told);
            }
            Ask::Start {
                flow,
                interval,
                params,
                answer,
            } => {
                let told = self.start_now(mind, &flow, interval, params, now).await;
                let _ = answer.send(told);
            }
        }
        Ok(())
    }

    async fn start_now(
        &self,
        mind: &mut Mind,
        flow: &str,
        interval: Interval,
        params: BTreeMap<String, Json>,
        now: Instant,
    ) -> Result<i64, Fault> {
        let Some(flow) = self.flows.get(flow) else {
            return Err(not_found(flow));
        };
        if mind.is_draining {
            return Err(draining());
        }
        let begins = Begins {
            flow: Arc::clone(flow),
            trigger: Trigger::Manual,
            class: Class::Interactive,
            scheduled_at: None,
            interval,
            params,
        };
        self.begin_walk(mind, begins, now)
            .await?
            .ok_or_else(|| busy(&flow.name))
    }

    /// Records that a walk is to end, then stops what is live of it.
    async fn cancel(&self, mind: &mut Mind, run: i64, by: &str) -> Result<(), Fault> {
        self.store.cancel_walk(run, by, self.now()).await?;
        if let Some(walk) = mind.walks.get_mut(&run) {
            walk.cancel();
            mind.touched.insert(run);
        }
        Ok(())
    }

    fn now(&self) -> Instant {
        (self.clock)()
    }
}

/// The parameters of a run that nobody gives any; a flow with a schedule has a default for each.
fn unasked_params(flow: &Flow) -> BTreeMap<String, Json> {
    flow.params(&BTreeMap::new()).unwrap_or_default()
}

/// Ticks beyond the free runs that one turn passes over.
const MAX_PASSED_OVER: usize = 100;

fn not_found(flow: &str) -> Fault {
    Box::new(
        Diagnostic::error(codes::NOT_FOUND, format!("there is no flow `{flow}`"))
            .with_remedy("`mulgil flows ls` shows the flows of this project"),
    )
}

fn not_active(run: i64) -> Fault {
    Box::new(
        Diagnostic::error(codes::RUN_NOT_ACTIVE, format!("run {run} is over, or there is none"))
            .with_remedy("`mulgil runs ls` shows the newest runs and how they stand"),
    )
}

fn busy(flow: &str) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::CLAIM_HELD,
            format!("another run of the flow `{flow}` is busy with that interval"),
        )
        .with_remedy("wait until it has ended, or end it: `mulgil runs ls`, `mulgil runs cancel RUN`")
        .with_retry(Retry::Later),
    )
}

fn draining() -> Fault {
    Box::new(
        Diagnostic::error(codes::DATA_HELD, "the server is about to stop, and begins nothing more")
            .with_remedy("try again when it has started anew")
            .with_retry(Retry::Later),
    )
}

fn bug(message: &str) -> Fault {
    Box::new(
        Diagnostic::error(codes::BUG, message.to_owned())
            .with_remedy("please report it with the output of `mulgil runs ls`"),
    )
}
