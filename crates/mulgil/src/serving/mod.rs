//! Scheduler, worker and HTTP in one process: what `serve` starts, and what runs a flow where no server is.

mod backfills;
mod control;
mod events;
mod housekeeper;
mod models;
mod notices;
mod onlooker;
mod pages;
mod reload;
mod terms;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
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
use mulgil_runner::{Launcher, LauncherLimits, Lifeline, PythonSdk};
use mulgil_scheduler::{
    Runner,
    service::{Ask, LocalExecutor, MAX_ASKS, Pulse, Retried, RunsModels, Service, ServiceLimits, Witness},
};
use mulgil_server::{Config, Limits};
use mulgil_store::DataLock;
use tokio::sync::{mpsc, watch};

use self::{
    control::Program,
    models::Models,
    notices::Notices,
    onlooker::{Changes, Onlooker},
    pages::Pages,
};
pub(crate) use self::{
    control::{flow, interval, retried},
    reload::Reload,
};
use crate::{
    cli,
    command::{Faults, Outcome},
    right::Right,
    say,
    wire::{self, Opened},
};

/// Steps that may be live at once, when nobody says.
const DEFAULT_SLOTS: usize = 16;

/// How long notices may go on when the server ends.
const LAST_NOTICES: Duration = Duration::from_secs(10);

/// The command as the lock on the data folder names it.
pub(crate) const SERVE: &str = "mulgil serve";

/// A program that nobody names runs Python steps.
pub(crate) const PYTHON: &str = "python3";

/// What a scheduler is made of; a new one begins with every term in which this process leads.
struct Parts {
    opened: Opened,
    runner: Arc<Runner>,
    models: Arc<Models>,
    flows: BTreeMap<String, Arc<Flow>>,
    slots: usize,
    witness: Arc<dyn Witness>,
    pulse: Arc<Pulse>,
    lifeline: Option<Lifeline>,
}

impl Parts {
    async fn service(&self) -> Result<Service, Fault> {
        let Self { opened, runner, .. } = self;
        make_way(opened, runner.store.last_attempt().await?)?;
        let sdk = PythonSdk::install(opened.data_dir())?;
        let executor = LocalExecutor {
            compiler: runner.compiler.clone(),
            store: Arc::clone(&runner.store),
            engine: Arc::clone(&runner.engine),
            models: Arc::clone(&self.models) as Arc<dyn RunsModels>,
            launcher: Launcher::new("/proc/self/exe", LauncherLimits::default()),
            attempts: opened.attempts_dir(),
            sdk: sdk.dir,
            python: PYTHON.to_owned(),
            root: whole(&opened.project.root),
            environment: wire::environment(),
            lifeline: self.lifeline.clone(),
        };
        Ok(Service {
            store: Arc::clone(&runner.store),
            flows: self.flows.clone(),
            executor: Arc::new(executor),
            witness: Arc::clone(&self.witness),
            limits: ServiceLimits {
                slots: self.slots,
                pools: opened.pools(),
            },
            clock: Arc::new(wire::now),
            pulse: Arc::clone(&self.pulse),
        })
    }
}

/// The ledger gives numbers anew that it does not know of: it was made again, or taken from a backup. What has
/// them is kept under other names.
fn make_way(opened: &Opened, last: i64) -> Result<(), Fault> {
    let dir = opened.attempts_dir();
    match mulgil_runner::set_aside(&dir, last) {
        Ok(0) => Ok(()),
        Ok(count) => {
            say::talk(&format!(
                "the ledger knows nothing of {} in {}: set aside",
                say::count(count, "attempt"),
                dir.display()
            ));
            Ok(())
        }
        Err(error) => Err(Box::new(
            Diagnostic::error(
                codes::DISK_FAILED,
                format!("folders of attempts in {} cannot be renamed: {error}", dir.display()),
            )
            .with_remedy("look at who owns them, and start again"),
        )),
    }
}

/// Where the server listens.
pub(crate) struct Listener(std::net::TcpListener);

/// Listens on this machine; 0 takes a free port.
pub(crate) async fn listen(port: u16) -> Result<Listener, Fault> {
    let listener = mulgil_server::bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    listener.into_std().map(Listener).map_err(unusable)
}

impl Listener {
    /// Where it listens, as a browser is told.
    pub(crate) fn url(&self) -> Result<String, Fault> {
        let address = self.0.local_addr().map_err(unusable)?;
        Ok(format!("http://{address}/"))
    }

    /// The same port once more.
    pub(crate) fn again(&self) -> Result<Self, Fault> {
        self.0.try_clone().map(Self).map_err(unusable)
    }
}

fn unusable(error: std::io::Error) -> Fault {
    Box::new(Diagnostic::error(
        codes::LISTEN_FAILED,
        format!("the port cannot be listened to: {error}"),
    ))
}

/// Why a server ended.
pub(crate) enum Ended<T> {
    /// It was told to.
    Told(T),
    /// Its scheduler or its HTTP has ended.
    ByItself,
}

/// A server that begins anew whenever its project changes.
pub(crate) struct Anew {
    /// What it and whoever looks at the files tell each other.
    pub(crate) reload: Arc<Reload>,
    /// How long what goes on by itself may last when it ends: after that programs go on and are found again,
    /// and what ran inside of it is tried again.
    pub(crate) patience: Duration,
}

/// Keeps time and serves until it is told to end, and what goes on has ended.
pub(crate) async fn serve<T>(
    opened: &Opened,
    flags: &cli::Serve,
    listener: Listener,
    lock: Arc<DataLock>,
    anew: Option<Anew>,
    told: impl Future<Output = T>,
) -> Result<Ended<T>, Faults> {
    let listener = tokio::net::TcpListener::from_std(listener.0).map_err(unusable)?;
    let address = listener.local_addr().map_err(unusable)?;
    let (runner, right) = opened.runner_in_waiting(SERVE, lock, flags.parallel).await?;
    let runner = Arc::new(runner);
    let changes = Changes::default();
    let notices = Notices::new(opened, address.port())?;
    let (stop, stopping) = watch::channel(false);
    let models = Arc::new(Models::new(Arc::clone(&runner), changes.clone()));
    let onlooker = Arc::new(Onlooker::new(opened, changes.clone(), Some(notices.clone())));
    let pulse: Arc<Pulse> = Arc::default();
    let parts = Parts {
        opened: opened.clone(),
        runner: Arc::clone(&runner),
        models: Arc::clone(&models),
        flows: by_name(opened.project.flows.clone()),
        slots: flags.slots.unwrap_or(DEFAULT_SLOTS).max(1),
        witness: Arc::clone(&onlooker) as Arc<dyn Witness>,
        pulse: Arc::clone(&pulse),
        lifeline: right.lifeline().cloned(),
    };
    let (asks, inbox) = mpsc::channel(MAX_ASKS);
    let mut ends = tokio::spawn(terms::keep(Arc::new(parts), right, inbox, stopping.clone()));
    let control = Arc::new(Program {
        opened: opened.clone(),
        runner,
        models,
        asks: asks.clone(),
        pulse,
        changes,
        onlooker,
        notices: notices.clone(),
        stopping: stopping.clone(),
        loaded: opened.stamp(),
        reload: anew.as_ref().map(|anew| Arc::clone(&anew.reload)),
    });
    let config = Config {
        data_dir: opened.data_dir().to_owned(),
        environment: opened.project.environment.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        clock: wire::now,
        limits: Limits::default(),
    };
    if anew.as_ref().is_some_and(|anew| anew.reload.is_anew()) {
        say::talk("the project changed: served as it is now");
    } else {
        say::talk(&format!(
            "serving {} ({}) at http://{address}; Ctrl-C ends it when what goes on has ended",
            opened.project.name, opened.project.environment
        ));
    }
    let slots = flags.slots.unwrap_or(DEFAULT_SLOTS).max(1);
    let pages = Pages::start(Arc::clone(&control), slots).await;
    let mut drained = stopping.clone();
    let mut server = tokio::spawn(mulgil_server::serve(
        listener,
        control,
        Some(Arc::new(pages)),
        config,
        async move {
            // Whoever could tell is gone where this fails.
            let _ = drained.wait_for(|stop| *stop).await;
        },
    ));
    let (early, why) = tokio::select! {
        told = told => (None, Ended::Told(told)),
        ended = &mut ends => (Some(joined(ended)), Ended::ByItself),
        ended = &mut server => (Some(joined(ended).map(drop)), Ended::ByItself),
    };
    // Nothing more begins; what goes on ends.
    let _ = stop.send(true);
    let _ = asks.send(Ask::Drain).await;
    let scheduled = match early {
        Some(ended) => ended,
        None => drained_within(&mut ends, anew.map(|anew| anew.patience)).await,
    };
    if !server.is_finished() {
        joined(server.await)?;
    }
    let left = notices.finish(LAST_NOTICES).await;
    if left > 0 {
        say::talk(&format!("{} could not be delivered", say::count(left as u64, "notice")));
    }
    scheduled?;
    Ok(why)
}

async fn drained_within(
    ends: &mut tokio::task::JoinHandle<Result<(), Fault>>,
    patience: Option<Duration>,
) -> Result<(), Fault> {
    let Some(patience) = patience else {
        return joined(ends.await);
    };
    if let Ok(ended) = tokio::time::timeout(patience, &mut *ends).await {
        return joined(ended);
    }
    ends.abort();
    // It is gone when this returns, and with it the lock on the data folder.
    let _ = ends.await;
    Ok(())
}

fn by_name(flows: Vec<Flow>) -> BTreeMap<String, Arc<Flow>> {
    flows
        .into_iter()
        .map(|flow| (flow.name.clone(), Arc::new(flow)))
        .collect()
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

/// A scheduler for as long as a command lasts, where no server is: it does what is asked, and no tick comes.
struct Here {
    asks: mpsc::Sender<Ask>,
    ends: tokio::task::JoinHandle<Result<(), Fault>>,
    onlooker: Arc<Onlooker>,
    right: Right,
    interrupt: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Here {
    async fn start(opened: &Opened, command: &str, parallel: Option<usize>, is_quiet: bool) -> Result<Self, Faults> {
        let (runner, right) = opened.runner(command, parallel).await?;
        let runner = Arc::new(runner);
        for fault in runner.catch_up().await? {
            say::fault(&fault);
        }
        let changes = Changes::default();
        let models = Arc::new(Models::new(Arc::clone(&runner), changes.clone()));
        let onlooker = Onlooker::new(opened, changes, None);
        let onlooker = Arc::new(if is_quiet { onlooker.quiet() } else { onlooker });
        let mut flows = opened.project.flows.clone();
        for flow in &mut flows {
            flow.schedule = None;
        }
        let parts = Parts {
            opened: opened.clone(),
            runner,
            models,
            flows: by_name(flows),
            slots: DEFAULT_SLOTS,
            witness: Arc::clone(&onlooker) as Arc<dyn Witness>,
            pulse: Arc::default(),
            lifeline: right.lifeline().cloned(),
        };
        let service = parts.service().await?;
        let (asks, mut inbox) = mpsc::channel(MAX_ASKS);
        Ok(Self {
            asks,
            ends: tokio::spawn(async move { service.run(&mut inbox).await }),
            onlooker,
            right,
            interrupt: Box::pin(wire::interrupt()),
        })
    }

    /// Waits for the end of a run, which Ctrl-C brings about; gives the exit code.
    async fn follow(&mut self, run: i64) -> Result<u8, Faults> {
        tokio::select! {
            ended = self.onlooker.ended(run) => Ok(u8::from(!ended.is_success())),
            () = &mut self.interrupt => {
                control::cancel(&self.asks, run, "Ctrl-C").await?;
                self.onlooker.ended(run).await;
                Ok(wire::INTERRUPTED)
            }
        }
    }

    async fn end(self) -> Result<(), Faults> {
        let _ = self.asks.send(Ask::Drain).await;
        joined(self.ends.await)?;
        self.right.give_back().await;
        Ok(())
    }
}

/// Runs a flow by hand where no server is, interval after interval.
pub(crate) async fn run_flow(opened: &Opened, asked: &FlowAsked, parallel: Option<usize>) -> Outcome {
    let mut here = Here::start(opened, "mulgil run", parallel, asked.is_quiet).await?;
    let mut exit = 0;
    for interval in &asked.intervals {
        let run = control::start(&here.asks, &asked.flow.name, *interval, asked.params.clone()).await?;
        match here.follow(run).await? {
            wire::INTERRUPTED => {
                exit = wire::INTERRUPTED;
                break;
            }
            code => exit = exit.max(code),
        }
    }
    here.end().await?;
    Ok(exit)
}

/// Does a run of a flow again where no server is.
pub(crate) async fn retry(opened: &Opened, run: i64, what: Retried) -> Outcome {
    let mut here = Here::start(opened, "mulgil runs retry", None, false).await?;
    let again = match control::retry(&here.asks, run, what, "mulgil runs retry").await {
        Ok(again) => again,
        Err(fault) => {
            here.end().await?;
            return Err(fault.into());
        }
    };
    let exit = here.follow(again).await?;
    here.end().await?;
    Ok(exit)
}

/// A flow that somebody wants to be run now.
pub(crate) struct FlowAsked {
    pub(crate) flow: Flow,
    /// For which intervals; all of time for a flow without any.
    pub(crate) intervals: Vec<mulgil_core::interval::Interval>,
    pub(crate) params: BTreeMap<String, serde_json::Value>,
    /// Whether nothing is said of how it goes.
    pub(crate) is_quiet: bool,
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
