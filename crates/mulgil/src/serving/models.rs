//! Models beside flows: the steps that fill them, runs that a person asks for, and the watchman who fills
//! what is due by itself. One run at a time has its turn; each fills several tables at once.

use std::{
    sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use mulgil_core::{
    codes,
    data_test::Verdict,
    decide::Scope,
    diagnostic::{Diagnostic, Retry},
    flow::ModelsSpec,
    interval::{Instant, Interval, RangeSet},
    name::{Instance, NodeName},
    plan::Step,
    port::{Fault, TestOutcome},
    project::Node,
    run::{TaskKind, Trigger},
    select::{self, Selection},
};
use mulgil_scheduler::{
    FailedAttempt, RunRequest, RunSummary, Runner, Watch,
    service::{RunsModels, StepEnd, Stop},
};
use serde_json::json;
use tokio::sync::{Mutex, Notify, oneshot, watch};

use super::{onlooker::Changes, warn};
use crate::{say, wire};

/// How often sources are looked at, so that files that came are found.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Runs models, one run after the other.
pub(crate) struct Models {
    runner: Arc<Runner>,
    turn: Mutex<()>,
    changes: Changes,
    /// The run whose turn it is.
    current: Arc<StdMutex<Option<Current>>>,
}

/// A run that goes on.
struct Current {
    run: i64,
    /// The backfill that it is a part of.
    backfill: Option<i64>,
    cancel: Arc<Notify>,
}

impl Models {
    pub(crate) fn new(runner: Arc<Runner>, changes: Changes) -> Self {
        Self {
            runner,
            turn: Mutex::new(()),
            changes,
            current: Arc::default(),
        }
    }

    /// Told whenever anything of them is recorded.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.watch()
    }

    /// Runs a request when it is its turn. `began` is told the run's number, if anything is to do.
    pub(crate) async fn run(
        &self,
        request: &RunRequest,
        began: Option<oneshot::Sender<i64>>,
        interrupt: impl Future<Output = ()>,
    ) -> Result<RunSummary, Fault> {
        let _turn = self.turn.lock().await;
        let cancel = Arc::new(Notify::new());
        let watch = Arc::new(Teller {
            changes: self.changes.clone(),
            began: StdMutex::new(began),
            current: Arc::clone(&self.current),
            backfill: request.backfill,
            cancel: Arc::clone(&cancel),
        });
        let interrupt = async {
            tokio::select! {
                () = interrupt => {}
                () = cancel.notified() => {}
            }
        };
        let summary = self.runner.run(request, watch, interrupt).await;
        *locked(&self.current) = None;
        self.changes.tell();
        summary
    }

    /// Ends a run; false where it is not one of models that goes on.
    ///
    /// # Errors
    /// `RUN_NOT_ACTIVE` for one of a backfill, which would begin the next at once.
    pub(crate) fn cancel(&self, run: i64) -> Result<bool, Fault> {
        let current = locked(&self.current);
        let Some(current) = current.as_ref().filter(|current| current.run == run) else {
            return Ok(false);
        };
        if let Some(backfill) = current.backfill {
            let what = format!("run {run} is a part of backfill {backfill}, which would begin it anew");
            return Err(Box::new(
                Diagnostic::error(codes::RUN_NOT_ACTIVE, what)
                    .with_remedy(format!("end the backfill: `mulgil backfill cancel {backfill}`")),
            ));
        }
        current.cancel.notify_one();
        Ok(true)
    }

    /// The instances that no flow with a schedule owns: the watchman's.
    fn own(&self) -> Scope {
        let project = &self.runner.project;
        let is_owned = |node: &Node| project.flow_of(&node.name).is_some();
        if !project.nodes.iter().any(is_owned) {
            return Scope::All;
        }
        let nodes = project.nodes.iter().filter(|node| !is_owned(node));
        let instances = nodes.flat_map(Node::instances);
        Scope::Only(instances.map(|instance| (instance, RangeSet::whole())).collect())
    }
}

#[async_trait]
impl RunsModels for Models {
    async fn run_models(&self, models: &ModelsSpec, run: i64, mut stop: Stop) -> StepEnd {
        // It is started by what started the run that it is a step of.
        let request = match self.runner.store.run_page(run).await {
            Ok(page) => {
                let trigger = page.map_or(Trigger::Schedule, |page| page.head.trigger);
                request(&self.runner, models, run, trigger)
            }
            Err(fault) => Err(*fault),
        };
        let request = match request {
            Ok(request) => request,
            Err(fault) => return StepEnd::failed(Box::new(fault)),
        };
        let ended = self.run(&request, None, async { stop.asked().await }).await;
        match ended {
            Ok(summary) => end_of(summary),
            Err(fault) => StepEnd::failed(fault),
        }
    }
}

/// The run of a step: what is due of its models, narrowed to the interval of the flow where they have one.
fn request(runner: &Runner, models: &ModelsSpec, run: i64, trigger: Trigger) -> Result<RunRequest, Diagnostic> {
    let selection = select::select(&runner.project, &models.select, &models.exclude, None)?;
    let Selection { mut ranges, .. } = selection;
    let selector = format!("{} (step of run {run})", models.select.join(" "));
    if let Some(interval) = models.interval {
        for (instance, range) in &mut ranges {
            let node = runner.project.node(&instance.node);
            if node.is_some_and(|node| node.grid.is_cut() && node.grid.snap_out(interval) == interval) {
                *range = range.within(interval);
            }
        }
    }
    let manual = if models.full {
        ranges
            .iter()
            .map(|(instance, ranges)| (instance.clone(), ranges.clone()))
            .collect()
    } else {
        Vec::new()
    };
    Ok(RunRequest {
        selector,
        manual,
        scope: Scope::Only(ranges),
        ..RunRequest::of_all(trigger)
    })
}

fn end_of(summary: RunSummary) -> StepEnd {
    let rows: u64 = summary.filled.iter().map(|(_, _, rows)| rows).sum();
    let intervals: u64 = summary.filled.iter().map(|(_, intervals, _)| intervals).sum();
    let output = json!({ "run": summary.run, "intervals": intervals, "rows": rows });
    if summary.interrupted {
        return StepEnd::cancelled();
    }
    if summary.is_success() {
        return StepEnd::success(output, Some(rows));
    }
    let first = summary
        .stopped
        .clone()
        .or_else(|| Some(summary.failed.first()?.fault.clone()));
    let fault = first.unwrap_or_else(|| {
        let what = match summary.failed_tests.first() {
            Some((node, test, _)) => format!("the data test `{}` of `{node}` failed", test.name),
            None => "not all of it could be filled".to_owned(),
        };
        Diagnostic::error(codes::RUN_FAILED, what)
            .with_remedy("`mulgil runs ls` shows the run of its models, `mulgil status` what is left")
            .with_retry(Retry::Later)
    });
    StepEnd {
        output,
        rows: Some(rows),
        ..StepEnd::failed(Box::new(fault))
    }
}

/// Fills what is due of the models that no flow owns: at each tick of a schedule, and when files came.
pub(crate) struct Watchman {
    ends: tokio::task::JoinHandle<()>,
}

impl Watchman {
    pub(crate) fn start(models: Arc<Models>, stopping: watch::Receiver<bool>) -> Self {
        let ends = tokio::spawn(keep_filled(models, stopping));
        Self { ends }
    }

    /// Waits until what he does has ended.
    pub(crate) async fn ended(self) {
        if let Err(error) = self.ends.await {
            say::talk(&format!("the watchman panicked: {error}"));
        }
    }
}

async fn keep_filled(models: Arc<Models>, mut stopping: watch::Receiver<bool>) {
    let scope = models.own();
    let request = RunRequest {
        scope: scope.clone(),
        ..RunRequest::of_all(Trigger::Schedule)
    };
    while !*stopping.borrow() {
        let mut stop = stopping.clone();
        let interrupt = async move {
            // Whoever could tell is gone where this fails.
            let _ = stop.wait_for(|stop| *stop).await;
        };
        match models.run(&request, None, interrupt).await {
            Ok(summary) => tell(&summary),
            Err(fault) => warn(&fault),
        }
        let next = next_tick(&models, wire::now());
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => {}
            () = tokio::time::sleep(next.min(LOOK_EVERY)) => {}
        }
    }
}

/// How long it is to the next tick of a node that the watchman fills.
fn next_tick(models: &Models, now: Instant) -> Duration {
    let nodes = models.runner.project.nodes.iter();
    let ticks = nodes.filter_map(|node| node.schedule.as_ref()?.next_tick(now));
    let micros = ticks.min().map_or(i64::MAX, |at| at.0.saturating_sub(now.0)).max(0);
    Duration::from_micros(micros.unsigned_abs())
}

fn tell(summary: &RunSummary) {
    let Some(run) = summary.run else { return };
    let rows: u64 = summary.filled.iter().map(|(_, _, rows)| rows).sum();
    let how = if summary.is_success() {
        "filled"
    } else {
        "failed in part; filled"
    };
    let tables = say::count(summary.filled.len() as u64, "table");
    say::talk(&format!("run {run}: {how} {tables}, {}", say::count(rows, "row")));
    for failed in &summary.failed {
        say::talk(&format!(
            "run {run}: {}: {}: {}",
            failed.instance, failed.fault.code, failed.fault.message
        ));
    }
    summary.stopped.iter().for_each(warn);
}

/// Tells that something changed.
struct Teller {
    changes: Changes,
    began: StdMutex<Option<oneshot::Sender<i64>>>,
    current: Arc<StdMutex<Option<Current>>>,
    backfill: Option<i64>,
    cancel: Arc<Notify>,
}

fn locked<T>(of: &StdMutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch for Teller {
    fn planned(&self, _: &[Step]) {}

    fn began(&self, run: i64) {
        *locked(&self.current) = Some(Current {
            run,
            backfill: self.backfill,
            cancel: Arc::clone(&self.cancel),
        });
        let began = locked(&self.began).take();
        if let Some(began) = began {
            // Who asked may be gone.
            let _ = began.send(run);
        }
        self.changes.tell();
    }

    fn started(&self, _: i64, _: &Instance, _: Interval, _: TaskKind) {
        self.changes.tell();
    }

    fn rows(&self, _: i64, _: u64) {}

    fn finished(&self, _: i64, _: &Instance, _: Interval, _: TaskKind, _: u64, _: u64) {
        self.changes.tell();
    }

    fn narrowed(&self, _: i64, _: &Instance, _: Interval, _: &Diagnostic) {
        self.changes.tell();
    }

    fn failed(&self, _: i64, _: &FailedAttempt) {
        self.changes.tell();
    }

    fn tested(&self, _: &NodeName, _: &TestOutcome, _: Verdict) {
        self.changes.tell();
    }
}
