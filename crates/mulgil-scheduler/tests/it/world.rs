//! A ledger, a clock that the test turns, and steps that take as long and end as the test says. Time is
//! tokio's, paused: it goes on only in [`World::pass`], by small steps, each when all has come to rest.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use mulgil_core::{
    codes,
    cron::Cron,
    diagnostic::{Diagnostic, Place, Retry},
    flow::{Flow, ModelsSpec, Step, StepContext, StepKind, StepWork, Template},
    grid::{Cut, Grid, Unit, Zone},
    interval::Instant,
    port::Fault,
    project::{Fingerprint, Missed},
    run::RunState,
    schedule::Schedule,
};
use mulgil_scheduler::service::{
    Ask, Clock, Executor, Happening, MAX_ASKS, Pulse, Service, ServiceLimits, StepAttempt, StepEnd, Stop, Witness,
};
use mulgil_store::{LedgerPlace, Store};
use serde_json::json;
use tokio::{sync::mpsc, task::JoinHandle};

/// 2026-03-01T00:00:00Z.
const BEGIN_US: i64 = 1_772_323_200_000_000;
pub(crate) const HOUR_US: i64 = 3_600_000_000;

/// How a step goes: how long it takes, and how it ends.
pub(crate) type Script = Arc<dyn Fn(&str, &StepContext, StepAttempt) -> (Duration, Ending) + Send + Sync>;

/// How a step ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Success,
    /// And may be tried again.
    Failure,
    /// And would fail again.
    Fatal,
    Lost,
}

/// Everything that outlives a server.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) store: Arc<Store>,
    pub(crate) seen: Arc<Seen>,
    pulse: Arc<Mutex<Option<Arc<Pulse>>>>,
    /// Keeps tokio from turning its clock by itself.
    _still: Arc<std::sync::mpsc::Sender<()>>,
    began: tokio::time::Instant,
    /// What the clock on the wall shows more than time has passed, in microseconds.
    skew: Arc<AtomicI64>,
}

/// What happened, as a looker-on saw it, and who is at work.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) happenings: Mutex<Vec<(Instant, Happening)>>,
    pub(crate) live: AtomicI64,
    pub(crate) most_live: AtomicI64,
}

/// A server that goes on.
pub(crate) struct Server {
    pub(crate) asks: mpsc::Sender<Ask>,
    pub(crate) ends: JoinHandle<Result<(), Fault>>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let store = Store::scratch(&LedgerPlace::folder("/nowhere", "dev"), "shop/dev")
            .await
            .unwrap();
        let (still, ends) = std::sync::mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || ends.recv().is_ok());
        Self {
            store: Arc::new(store),
            seen: Arc::default(),
            pulse: Arc::default(),
            _still: Arc::new(still),
            began: tokio::time::Instant::now(),
            skew: Arc::default(),
        }
    }

    pub(crate) fn now(&self) -> Instant {
        let passed = self.began.elapsed().as_micros() as i64;
        Instant(BEGIN_US + passed + self.skew.load(Ordering::SeqCst))
    }

    /// Turns the clock on the wall.
    pub(crate) fn skew(&self, micros: i64) {
        self.skew.fetch_add(micros, Ordering::SeqCst);
    }

    pub(crate) fn server(&self, flows: &[Flow], slots: usize, script: Script) -> Server {
        let (asks, mut inbox) = mpsc::channel(MAX_ASKS);
        let world = self.clone();
        let clock: Clock = Arc::new(move || world.now());
        let hands = Hands {
            script,
            seen: Arc::clone(&self.seen),
        };
        let pulse: Arc<Pulse> = Arc::default();
        let service = Service {
            store: Arc::clone(&self.store),
            flows: flows
                .iter()
                .map(|flow| (flow.name.clone(), Arc::new(flow.clone())))
                .collect(),
            executor: Arc::new(hands),
            witness: Arc::new(Onlooker {
                seen: Arc::clone(&self.seen),
                clock: Arc::clone(&clock),
            }),
            limits: ServiceLimits {
                slots,
                pools: BTreeMap::from([("narrow".to_owned(), 1)]),
            },
            clock,
            pulse: Arc::clone(&pulse),
        };
        *self.pulse.lock().unwrap() = Some(pulse);
        // A server is a task, so that a test can kill it.
        let ends = tokio::spawn(async move { service.run(&mut inbox).await });
        Server { asks, ends }
    }

    /// Lets time pass, by steps of a second.
    pub(crate) async fn pass(&self, duration: Duration) {
        let end = tokio::time::Instant::now() + duration;
        while tokio::time::Instant::now() < end {
            self.settle().await;
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        self.settle().await;
    }

    /// Waits until the server, if one lives, waits itself.
    async fn settle(&self) {
        loop {
            // Everybody who was woken has a turn, and passes on what they have.
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            let pulse = self.pulse.lock().unwrap().clone();
            if pulse.is_none_or(|pulse| pulse.is_resting()) {
                return;
            }
            // It waits for the ledger, whose threads know nothing of the test's time.
            tokio::task::spawn_blocking(std::thread::yield_now).await.unwrap();
        }
    }

    /// How the runs of a flow ended, or stand: oldest first.
    pub(crate) async fn runs(&self, flow: &str) -> Vec<RunState> {
        let mut runs = self.store.runs(10_000).await.unwrap();
        runs.retain(|run| run.selector == format!("flow:{flow}"));
        runs.reverse();
        runs.into_iter().map(|run| run.state).collect()
    }
}

impl Server {
    /// As `kill -9` does.
    pub(crate) async fn kill(self, world: &World) {
        self.ends.abort();
        assert!(self.ends.await.unwrap_err().is_cancelled());
        *world.pulse.lock().unwrap() = None;
        world.seen.live.store(0, Ordering::SeqCst);
    }

    /// Ends when all that goes on has.
    pub(crate) async fn drain(self, world: &World) {
        self.asks.send(Ask::Drain).await.unwrap();
        while !self.ends.is_finished() {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            if world
                .pulse
                .lock()
                .unwrap()
                .as_ref()
                .is_some_and(|pulse| pulse.is_resting())
            {
                tokio::time::advance(Duration::from_secs(1)).await;
            }
            tokio::task::spawn_blocking(std::thread::yield_now).await.unwrap();
        }
        *world.pulse.lock().unwrap() = None;
        self.ends.await.unwrap().unwrap();
    }
}

struct Hands {
    script: Script,
    seen: Arc<Seen>,
}

#[async_trait]
impl Executor for Hands {
    async fn render(&self, _flow: &Flow, step: &Step, context: &StepContext) -> Result<Option<StepWork>, Fault> {
        if step.when.as_ref().is_some_and(|when| when.text == "false") {
            return Ok(None);
        }
        Ok(Some(StepWork::Models(ModelsSpec {
            select: vec![step.name.clone()],
            exclude: Vec::new(),
            full: false,
            interval: context.interval,
        })))
    }

    async fn perform(
        &self,
        work: StepWork,
        context: StepContext,
        attempt: StepAttempt,
        timeout_us: Option<i64>,
        mut stop: Stop,
    ) -> StepEnd {
        let StepWork::Models(models) = work else {
            panic!("it renders models alone");
        };
        let (takes, ending) = (self.script)(&models.select[0], &context, attempt);
        let live = self.seen.live.fetch_add(1, Ordering::SeqCst) + 1;
        self.seen.most_live.fetch_max(live, Ordering::SeqCst);
        let timeout = timeout_us.map_or(Duration::MAX, |micros| Duration::from_micros(micros.unsigned_abs()));
        let end = tokio::select! {
            () = tokio::time::sleep(takes.min(timeout)) => {
                if takes > timeout {
                    StepEnd::timed_out(timeout_us.unwrap())
                } else {
                    match ending {
                        Ending::Success => StepEnd::success(json!({"step": models.select[0]}), Some(1)),
                        Ending::Failure => StepEnd::failed(broken(Retry::Later)),
                        Ending::Fatal => StepEnd::failed(broken(Retry::Never)),
                        Ending::Lost => StepEnd::lost(),
                    }
                }
            }
            () = stop.asked() => StepEnd::cancelled(),
        };
        self.seen.live.fetch_sub(1, Ordering::SeqCst);
        end
    }

    fn adopt(&self, _attempt: &StepAttempt, _stop: Stop) -> Option<Pin<Box<dyn Future<Output = StepEnd> + Send>>> {
        None
    }
}

fn broken(retry: Retry) -> Fault {
    Box::new(Diagnostic::error(codes::SQL_FAILED, "it broke").with_retry(retry))
}

struct Onlooker {
    seen: Arc<Seen>,
    clock: Clock,
}

impl Witness for Onlooker {
    fn saw(&self, what: &Happening) {
        let at = (self.clock)();
        self.seen.happenings.lock().unwrap().push((at, what.clone()));
    }
}

/// Steps that always succeed, after so many milliseconds.
pub(crate) fn succeed(millis: u64) -> Script {
    Arc::new(move |_, _, _| (Duration::from_millis(millis), Ending::Success))
}

pub(crate) fn step(name: &str, needs: &[&str]) -> Step {
    let place = Place::file("flows/test.yml");
    let script = Template {
        text: String::new(),
        place: place.clone(),
    };
    let content = Fingerprint::default();
    Step {
        needs: needs.iter().map(|need| (*need).to_owned()).collect(),
        ..Step::new(name, StepKind::Sql { script, content }, place)
    }
}

pub(crate) fn flow(name: &str, cron: &str, steps: Vec<Step>) -> Flow {
    Flow {
        schedule: (!cron.is_empty()).then(|| Schedule {
            cron: Cron::parse(cron).unwrap(),
            zone: Zone::UTC,
        }),
        fingerprint: Fingerprint::of_text(&format!("{name} {steps:?}")),
        steps,
        ..Flow::new(name, "flows/test.yml")
    }
}

/// By hours, from the beginning of the test's time on.
pub(crate) fn hourly(mut flow: Flow) -> Flow {
    flow.grid = Grid {
        cut: Cut::Unit(Unit::Hour),
        zone: Zone::UTC,
        begin: Some(Instant(BEGIN_US)),
        end: None,
    };
    flow.missed = Missed::All;
    flow
}
