//! Scheduler, worker and HTTP in one process: what `serve` starts, and what runs a flow where no server is.

mod control;
mod events;
mod models;
mod notices;
mod onlooker;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Severity},
    flow::Flow,
    interval::Instant,
    port::Fault,
};
use mulgil_runner::{Launcher, LauncherLimits, PythonSdk};
use mulgil_scheduler::{
    Runner,
    service::{Ask, Clock, LocalExecutor, MAX_ASKS, Pulse, Service, ServiceLimits, Witness},
};
use mulgil_server::{Config, Limits};
use tokio::sync::{Mutex, mpsc, watch};

pub(crate) use self::control::{flow, interval};
use self::{
    control::Program,
    models::{Models, Watchman},
    notices::Notices,
    onlooker::{Changes, Onlooker},
};
use crate::{
    cli,
    command::Outcome,
    say,
    wire::{self, Opened},
};

/// Steps that may be live at once, when nobody says.
const DEFAULT_SLOTS: usize = 16;

/// How long notices may go on when the server ends.
const LAST_NOTICES: Duration = Duration::from_secs(10);

/// A program that nobody names runs Python steps.
const PYTHON: &str = "python3";

/// A scheduler that is put together and not started.
pub(crate) struct Scheduler {
    pub(crate) service: Service,
    pub(crate) asks: mpsc::Sender<Ask>,
    inbox: mpsc::Receiver<Ask>,
    pulse: Arc<Pulse>,
}

impl Scheduler {
    /// Puts a scheduler together over these flows.
    pub(crate) fn new(
        opened: &Opened,
        runner: &Arc<Runner>,
        models: Arc<Models>,
        flows: Vec<Flow>,
        slots: usize,
        witness: Arc<dyn Witness>,
    ) -> Result<Self, Fault> {
        let (asks, inbox) = mpsc::channel(MAX_ASKS);
        let pulse: Arc<Pulse> = Arc::default();
        let sdk = PythonSdk::install(opened.data_dir())?;
        let executor = LocalExecutor {
            compiler: runner.compiler.clone(),
            store: Arc::clone(&runner.store),
            engine: Arc::clone(&runner.engine),
            models,
            launcher: Launcher::new("/proc/self/exe", LauncherLimits::default()),
            attempts: opened.attempts_dir(),
            sdk: sdk.dir,
            python: PYTHON.to_owned(),
            root: whole(&opened.project.root),
            environment: wire::environment(),
        };
        let clock: Clock = Arc::new(wire::now);
        let service = Service {
            store: Arc::clone(&runner.store),
            flows: flows
                .into_iter()
                .map(|flow| (flow.name.clone(), Arc::new(flow)))
                .collect(),
            executor: Arc::new(executor),
            witness,
            limits: ServiceLimits {
                slots,
                pools: BTreeMap::new(),
            },
            clock,
            pulse: Arc::clone(&pulse),
        };
        Ok(Self {
            service,
            asks,
            inbox,
            pulse,
        })
    }

    /// Starts it; what it returns is its end.
    pub(crate) fn start(self) -> (mpsc::Sender<Ask>, tokio::task::JoinHandle<Result<(), Fault>>) {
        let Self {
            service, asks, inbox, ..
        } = self;
        let ends = tokio::spawn(service.run(inbox));
        (asks, ends)
    }
}

/// `mulgil serve`: keeps time and serves until it is told to end.
pub(crate) async fn serve(opened: &Opened, flags: &cli::Serve) -> Outcome {
    let listener = mulgil_server::bind(SocketAddr::from(([127, 0, 0, 1], flags.port))).await?;
    let address = listener
        .local_addr()
        .map_err(|error| Diagnostic::error(codes::LISTEN_FAILED, format!("the address cannot be read: {error}")))?;
    let (runner, lock) = opened.runner("mulgil serve", flags.parallel).await?;
    let runner = Arc::new(runner);
    for fault in runner.catch_up().await? {
        say::fault(&fault);
    }
    let changes = Changes::default();
    let notices = Notices::new(opened, address.port())?;
    let turn = Arc::new(Mutex::new(()));
    let (stop, stopping) = watch::channel(false);
    let models = Arc::new(Models::new(Arc::clone(&runner), Arc::clone(&turn), changes.clone()));
    let onlooker = Arc::new(Onlooker::new(opened, changes.clone(), Some(notices.clone())));
    let scheduler = Scheduler::new(
        opened,
        &runner,
        Arc::clone(&models),
        opened.project.flows.clone(),
        flags.slots.unwrap_or(DEFAULT_SLOTS).max(1),
        Arc::clone(&onlooker) as Arc<dyn Witness>,
    )?;
    let pulse = Arc::clone(&scheduler.pulse);
    let (asks, mut ends) = scheduler.start();
    let watchman = Watchman::start(Arc::clone(&models), stopping.clone());
    let control = Arc::new(Program {
        opened: opened.clone(),
        runner: Arc::clone(&runner),
        models,
        asks: asks.clone(),
        pulse,
        changes,
        onlooker: Arc::clone(&onlooker),
        notices: notices.clone(),
        stopping: stopping.clone(),
    });
    let config = Config {
        data_dir: opened.data_dir().to_owned(),
        environment: opened.project.environment.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        clock: wire::now,
        limits: Limits::default(),
    };
    say::talk(&format!(
        "serving {} ({}) at http://{address}; Ctrl-C ends it when what goes on has ended",
        opened.project.name, opened.project.environment
    ));
    let mut told = stopping.clone();
    let mut server = tokio::spawn(mulgil_server::serve(listener, control, config, async move {
        // Whoever could tell is gone where this fails.
        let _ = told.wait_for(|stop| *stop).await;
    }));
    let early = tokio::select! {
        () = wire::interrupt() => None,
        ended = &mut ends => Some(joined(ended)),
        ended = &mut server => Some(joined(ended).map(drop)),
    };
    // Nothing more begins; what goes on ends.
    let _ = stop.send(true);
    let _ = asks.send(Ask::Drain).await;
    let scheduled = match early {
        Some(ended) => ended,
        None => joined(ends.await),
    };
    watchman.ended().await;
    if !server.is_finished() {
        joined(server.await)?;
    }
    let left = notices.finish(LAST_NOTICES).await;
    if left > 0 {
        say::talk(&format!("{} could not be delivered", say::count(left as u64, "notice")));
    }
    drop(lock);
    scheduled?;
    Ok(0)
}

/// What a task gave; a panic in it is a bug of ours.
fn joined<T>(ended: Result<Result<T, Fault>, tokio::task::JoinError>) -> Result<T, Fault> {
    ended.unwrap_or_else(|error| {
        Err(Box::new(Diagnostic::error(
            codes::BUG,
            format!("a part of the server panicked: {error}"),
        )))
    })
}

/// A flow that is run by hand where no server is: only its steps, without its schedule.
pub(crate) async fn run_flow(opened: &Opened, asked: &FlowAsked, parallel: Option<usize>) -> Outcome {
    let (runner, lock) = opened.runner("mulgil run", parallel).await?;
    let runner = Arc::new(runner);
    for fault in runner.catch_up().await? {
        say::fault(&fault);
    }
    let changes = Changes::default();
    let turn = Arc::new(Mutex::new(()));
    let models = Arc::new(Models::new(Arc::clone(&runner), turn, changes.clone()));
    let onlooker = Arc::new(Onlooker::new(opened, changes.clone(), None));
    let mut flow = asked.flow.clone();
    flow.schedule = None;
    let witness = Arc::clone(&onlooker) as Arc<dyn Witness>;
    let scheduler = Scheduler::new(opened, &runner, models, vec![flow], DEFAULT_SLOTS, witness)?;
    let (asks, ends) = scheduler.start();
    let mut exit = 0;
    let mut interrupt = Box::pin(wire::interrupt());
    for interval in &asked.intervals {
        let run = control::start(&asks, &asked.flow.name, *interval, asked.params.clone()).await?;
        let ended = tokio::select! {
            ended = onlooker.ended(run) => ended,
            () = &mut interrupt => {
                control::cancel(&asks, run, "Ctrl-C").await?;
                onlooker.ended(run).await;
                exit = wire::INTERRUPTED;
                break;
            }
        };
        if !ended.is_success() {
            exit = 1;
        }
    }
    let _ = asks.send(Ask::Drain).await;
    joined(ends.await)?;
    drop(lock);
    Ok(exit)
}

/// A flow that somebody wants to be run now.
pub(crate) struct FlowAsked {
    pub(crate) flow: Flow,
    /// For which intervals; all of time for a flow without any.
    pub(crate) intervals: Vec<mulgil_core::interval::Interval>,
    pub(crate) params: BTreeMap<String, serde_json::Value>,
}

/// A folder's whole path: processes are started elsewhere.
fn whole(folder: &Path) -> PathBuf {
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

/// A fault that is said and ends nothing.
fn warn(fault: &Diagnostic) {
    say::fault(&Diagnostic {
        severity: Severity::Warning,
        ..fault.clone()
    });
}

/// The moment as notices and events have it.
fn timestamp(at: Instant) -> jiff::Timestamp {
    at.to_timestamp()
}
