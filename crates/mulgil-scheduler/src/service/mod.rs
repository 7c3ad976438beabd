//! The service: it keeps time, begins walks over flows, hands their steps over, and records what came of
//! them. One loop owns all that changes; what lasts runs beside it and comes back as an event.
//!
//! Nothing follows from what is not in the ledger: a step starts when its claim is recorded, and what it
//! needs has ended when that is. Where the ledger cannot be written, the loop gives up what it has in its
//! head and begins again from the ledger, as after a crash.

mod advance;
mod backfills;
mod begin;
mod live_walk;
mod local;
mod port;
mod retry;
mod timers;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use mulgil_core::{
    backfill::{Backfill, Change},
    backoff::BackOff,
    codes,
    diagnostic::{Diagnostic, Retry},
    flow::Flow,
    interval::{Instant, Interval},
    port::Fault,
    project::Fingerprint,
};
use mulgil_store::{MadeBackfill, NewBackfill, Store};
use serde_json::Value as Json;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};

pub use self::local::{LocalExecutor, RunsModels};
pub use self::port::{Begins, Executor, Happening, StepAttempt, StepEnd, Stop, Witness};
use self::{
    advance::lose,
    live_walk::{LiveAttempt, LiveWalk},
    timers::{Owner, Timers},
};

/// The loop goes round at least so often, so that a clock that was set is seen, and its heart is heard.
const SAFETY_NET: Duration = Duration::from_secs(1);

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

    /// The loop, or whoever waits in its place, lives.
    pub fn beat(&self, now: Instant) {
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
    /// To do a run again.
    Retry {
        /// Its run.
        run: i64,
        /// What of it.
        what: Retried,
        /// Who wants it.
        by: String,
        /// Told the run that does it, when it is recorded.
        answer: oneshot::Sender<Result<i64, Fault>>,
    },
    /// To make a backfill.
    Backfill {
        /// Of what.
        new: NewBackfill,
        /// Told it when it is recorded.
        answer: oneshot::Sender<Result<MadeBackfill, Fault>>,
    },
    /// To hold a backfill back, to let it go on, or to end it.
    ChangeBackfill {
        /// Its number.
        backfill: i64,
        /// What is done to it.
        change: Change,
        /// Who wants it.
        by: String,
        /// Told how it stands when that is recorded.
        answer: oneshot::Sender<Result<Backfill, Fault>>,
    },
    /// To begin nothing more, and to end when all that goes on has.
    Drain,
}

/// What of a run is done again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retried {
    /// What failed, and what did not begin because of it: the same run goes on, by its own definition.
    Unfinished,
    /// All of it, clean, by a new run that goes by the definition of this one.
    All,
    /// All of it, clean, by a new run that goes by the newest definition.
    Latest,
}

/// What the loop has in its head; all of it can be made anew from the ledger.
struct Mind {
    timers: Timers,
    walks: BTreeMap<i64, LiveWalk>,
    /// Flows of which a walk may be due to begin.
    flagged: BTreeSet<String>,
    /// Flows that are flagged at a moment.
    later: BTreeMap<String, Instant>,
    /// Walks whose steps are to be looked at.
    touched: BTreeSet<i64>,
    /// When to look again although nothing happened.
    wake_at: Option<Instant>,
    work: JoinSet<(i64, String, StepEnd)>,
    is_draining: bool,
}

impl Mind {
    /// Flags the flows whose moment has come.
    fn flag_later(&mut self, now: Instant) {
        let come = self.later.extract_if(.., |_, at| *at <= now);
        self.flagged.extend(come.map(|(flow, _)| flow));
    }
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
    /// A fault of the ledger that does not pass by itself, any bug of ours, and `LEASE_LOST` where another
    /// process has the ledger: then nothing more may be recorded, and what goes on is given up.
    pub async fn run(self, asks: &mut mpsc::Receiver<Ask>) -> Result<(), Fault> {
        let mut failures = 0;
        let mut is_draining = false;
        let mut asked = None;
        loop {
            let ended = match self.recover(is_draining).await {
                Ok(mut mind) => {
                    let ended = self.turns(&mut mind, &mut asked, asks, &mut failures).await;
                    is_draining = mind.is_draining;
                    mind.work.shutdown().await;
                    ended
                }
                Err(fault) => Err(fault),
            };
            let Err(fault) = ended else {
                return Ok(());
            };
            if !passes(&fault) {
                return Err(fault);
            }
            failures += 1;
            self.witness.saw(&Happening::LedgerFailed { fault });
            let pause = LEDGER_BACK_OFF.pause_us(failures, Fingerprint::of_text("ledger"));
            let pause = Duration::from_micros(pause.unsigned_abs());
            self.pulse.rest(true);
            // Whoever asks for something now wants to know now: it is tried again at once.
            match asked {
                None => match timeout(pause, asks.recv()).await {
                    Ok(Some(ask)) => asked = Some(ask),
                    // Nobody can ask any more.
                    Ok(None) => sleep(pause).await,
                    Err(_) => {}
                },
                Some(_) => sleep(pause).await,
            }
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
            later: BTreeMap::new(),
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
                    None => lost.push(step),
                }
            }
            mind.touched.insert(run);
            for step in lost {
                lose(&mut walk, step, now);
            }
            mind.walks.insert(run, walk);
        }
        Ok(mind)
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

    /// Goes round until it has drained; `asked` is what was asked while the ledger could not be written.
    async fn turns(
        &self,
        mind: &mut Mind,
        asked: &mut Option<Ask>,
        asks: &mut mpsc::Receiver<Ask>,
        failures: &mut u32,
    ) -> Result<(), Fault> {
        loop {
            let now = self.now();
            self.pulse.beat(now);
            if let Some(ask) = asked.take() {
                self.answer(mind, ask).await?;
            }
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
            let pause = pause(mind, now);
            self.pulse.rest(true);
            let woken = tokio::select! {
                biased;
                Some(ask) = asks.recv() => Woken::Asked(ask),
                Some(done) = mind.work.join_next() => Woken::Ended(done),
                () = sleep(pause) => Woken::Timer,
            };
            self.pulse.rest(false);
            match woken {
                Woken::Asked(ask) => self.answer(mind, ask).await?,
                Woken::Ended(done) => {
                    let mut all = vec![done];
                    while let Some(done) = mind.work.try_join_next() {
                        all.push(done);
                    }
                    self.ended(mind, all)?;
                }
                // Steps that wait for their time are looked at again.
                Woken::Timer => mind.touched = mind.walks.keys().copied().collect(),
            }
        }
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
            Ask::Retry { run, what, by, answer } => {
                let _ = answer.send(self.retry(mind, run, what, &by, now).await);
            }
            Ask::Backfill { new, answer } => {
                let _ = answer.send(self.make_backfill(mind, new, now).await);
            }
            Ask::ChangeBackfill {
                backfill,
                change,
                by,
                answer,
            } => {
                let _ = answer.send(self.change_backfill(mind, backfill, change, &by).await);
            }
        }
        Ok(())
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

/// Whether a fault of the ledger is waited for: what passes by itself, and a disk that takes nothing until a
/// person makes room. Not a lead that was lost: what went on is another's now.
fn passes(fault: &Diagnostic) -> bool {
    let is_of_ledger = fault.code.0 / 1000 == 5;
    match fault.code {
        codes::LEASE_LOST => false,
        codes::DISK_FULL | codes::READ_ONLY => true,
        _ => fault.retry == Retry::Later && is_of_ledger,
    }
}

/// How long nothing is to do, if nothing happens.
fn pause(mind: &Mind, now: Instant) -> Duration {
    let tick = mind.timers.next().into_iter().chain(mind.later.values().copied());
    let tick = tick.filter(|_| !mind.is_draining);
    let at = tick.chain(mind.wake_at).min();
    let micros = at.map_or(i64::MAX, |at| at.0.saturating_sub(now.0)).max(0);
    Duration::from_micros(micros.unsigned_abs()).min(SAFETY_NET)
}

/// The earlier of both moments to look again.
fn sooner(wake_at: &mut Option<Instant>, at: Instant) {
    *wake_at = Some(wake_at.map_or(at, |earlier| earlier.min(at)));
}

/// What is asked of the ledger together is committed together. Waits for all also where one fails, so that
/// nothing is still being written when the mind is made anew.
async fn all<T>(asked: impl IntoIterator<Item = impl Future<Output = Result<T, Fault>>>) -> Result<Vec<T>, Fault> {
    join_all(asked).await.into_iter().collect()
}

fn not_active(run: i64) -> Fault {
    Box::new(
        Diagnostic::error(codes::RUN_NOT_ACTIVE, format!("run {run} is over, or there is none"))
            .with_remedy("`mulgil runs ls` shows the newest runs and how they stand"),
    )
}
