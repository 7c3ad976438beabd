//! What a run is asked and what it gives; [`Runner::run`] is a run from its first look to its last record.

use std::sync::Arc;

use mulgil_core::{
    codes, crash,
    data_test::Verdict,
    decide::{Limits, Scope, Tasks, decide},
    diagnostic::{Diagnostic, Severity},
    interval::{Instant, Interval, RangeSet},
    name::{Instance, NodeName},
    plan::{Forecast, Held, Step, Waiting},
    port::{Engine, Fault, RestoreTag, TestOutcome},
    project::{Materialization, Node, Project},
    run::{RunState, TaskKind, Trigger},
    task::ScriptSpec,
};
use mulgil_project::{Compiler, RunFacts, RunResult};
use mulgil_store::{NewRun, RelationEntry, Store};

use crate::{
    live_run::{LiveRun, leave},
    log,
    look::{Known, gather, record},
};

/// Everything that a run works with.
pub struct Runner {
    /// What is declared.
    pub project: Arc<Project>,
    /// Its SQL.
    pub compiler: Compiler,
    /// Its ledger. The caller holds the lock on its folder.
    pub store: Arc<Store>,
    /// Its warehouse.
    pub engine: Arc<dyn Engine>,
    /// Attempts that may be live at once.
    pub parallel: usize,
    /// The time, now. Read at each turn of the loop and nowhere else.
    pub clock: fn() -> Instant,
}

/// What a run is asked to do.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// What started it.
    pub trigger: Trigger,
    /// What was selected, as it was typed.
    pub selector: String,
    /// What it may touch.
    pub scope: Scope,
    /// Ranges that are due because a person named them.
    pub manual: Vec<(Instance, RangeSet)>,
    /// Ranges that are due because the run takes them, right or not; what their tables keep is kept.
    pub again: Vec<(Instance, RangeSet)>,
    /// Instances that a person named: what is held of them is let go.
    pub named: Vec<Instance>,
    /// What is done of it.
    pub tasks: Tasks,
    /// What a failure does to the rest.
    pub on_failure: OnFailure,
    /// The backfill of which `manual` is a slice.
    pub backfill: Option<i64>,
}

impl RunRequest {
    /// Fills what is due of the whole project and runs its data tests.
    pub fn of_all(trigger: Trigger) -> Self {
        Self {
            trigger,
            selector: String::new(),
            scope: Scope::All,
            manual: Vec::new(),
            again: Vec::new(),
            named: Vec::new(),
            tasks: Tasks::FillsAndTests,
            on_failure: OnFailure::GoOn,
            backfill: None,
        }
    }
}

/// What a run does after something of it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// All that does not depend on it.
    #[default]
    GoOn,
    /// Nothing more begins.
    Stop,
}

/// How a run ended.
#[derive(Clone, Debug, Default)]
pub struct RunSummary {
    /// Its number; none when nothing was to do.
    pub run: Option<i64>,
    /// Intervals and rows that were filled, by instance, in the order of their first fill.
    pub filled: Vec<(Instance, u64, u64)>,
    /// Sources that could not be looked at; what reads them was left as it is.
    pub unseen: Vec<Diagnostic>,
    /// Attempts that failed.
    pub failed: Vec<FailedAttempt>,
    /// Data tests that did not hold, with whether they block.
    pub failed_tests: Vec<(NodeName, TestOutcome, Severity)>,
    /// Data tests that held.
    pub passed_tests: Vec<(NodeName, String)>,
    /// Steps that could not start because something before them failed.
    pub upstream_failed: Vec<Step>,
    /// What waits for something that is not there.
    pub waiting: Vec<Waiting>,
    /// What is due and was not tried, because it failed too often in the same way.
    pub held: Vec<Held>,
    /// Data tests that failed in an earlier run and still keep rows from readers.
    pub blocking: Vec<(NodeName, String)>,
    /// A fault that ended the run before its end: a full disk, a bug of ours.
    pub stopped: Option<Diagnostic>,
    /// Whether a person ended it.
    pub interrupted: bool,
}

/// An attempt that failed, and will not be tried in smaller parts.
#[derive(Clone, Debug)]
pub struct FailedAttempt {
    /// Of what.
    pub instance: Instance,
    /// Over which time; all of it for data tests.
    pub range: Interval,
    /// A fill, or data tests that could not be run.
    pub kind: TaskKind,
    /// Why.
    pub fault: Diagnostic,
}

impl RunSummary {
    /// Whether everything that was asked for is done.
    pub fn is_success(&self) -> bool {
        let blocking = self
            .failed_tests
            .iter()
            .any(|(_, _, severity)| *severity == Severity::Error);
        let is_left =
            !self.unseen.is_empty() || !self.failed.is_empty() || !self.held.is_empty() || !self.blocking.is_empty();
        !is_left && !blocking && self.stopped.is_none() && !self.interrupted
    }

    /// How each node and each data test ended, in dbt's words.
    pub fn results(&self) -> Vec<RunResult> {
        let of = |node: &NodeName, status| RunResult {
            node: node.clone(),
            test: None,
            status,
            message: None,
            failures: None,
        };
        let failed = |node: &NodeName| self.failed.iter().any(|failed| failed.instance.node == *node);
        let filled = self.filled.iter().map(|(instance, ..)| &instance.node);
        let mut results: Vec<RunResult> = Vec::new();
        for node in filled.filter(|node| !failed(node)) {
            if !results.iter().any(|result| result.node == *node) {
                results.push(of(node, "success"));
            }
        }
        results.extend(self.failed.iter().map(|failed| RunResult {
            message: Some(failed.fault.message.clone()),
            ..of(&failed.instance.node, "error")
        }));
        results.extend(
            self.upstream_failed
                .iter()
                .filter(|step| !step.if_changed)
                .map(|step| of(&step.instance.node, "skipped")),
        );
        results.extend(self.passed_tests.iter().map(|(node, test)| RunResult {
            test: Some(test.clone()),
            failures: Some(0),
            ..of(node, "pass")
        }));
        results.extend(self.failed_tests.iter().map(|(node, outcome, severity)| RunResult {
            test: Some(outcome.name.clone()),
            failures: Some(outcome.failures),
            ..of(
                node,
                match severity {
                    Severity::Error => "fail",
                    Severity::Warning => "warn",
                },
            )
        }));
        results
    }

    fn state(&self) -> RunState {
        match (self.interrupted, self.is_success()) {
            (true, _) => RunState::Cancelled,
            (false, true) => RunState::Success,
            (false, false) => RunState::Failed,
        }
    }

    /// What had failed was tried again and is done: it is no failure of the run.
    pub(crate) fn recovered(&mut self, kind: TaskKind, instance: &Instance, range: Interval) {
        let is_done = |failed: &FailedAttempt| {
            failed.kind == kind && failed.instance == *instance && range.contains(failed.range)
        };
        self.failed.retain(|failed| !is_done(failed));
    }

    pub(crate) fn add(&mut self, instance: &Instance, intervals: u64, rows: u64) {
        match self.filled.iter_mut().find(|(filled, ..)| filled == instance) {
            Some((_, have, have_rows)) => {
                *have += intervals;
                *have_rows += rows;
            }
            None => self.filled.push((instance.clone(), intervals, rows)),
        }
    }
}

/// Told what happens, for people who look on. Calls return at once.
pub trait Watch: Send + Sync {
    /// The steps that the run began with.
    fn planned(&self, steps: &[Step]);
    /// An attempt began.
    fn started(&self, attempt: i64, instance: &Instance, range: Interval, kind: TaskKind);
    /// Rows that an attempt wrote so far.
    fn rows(&self, attempt: i64, rows: u64);
    /// An attempt ended well, with the intervals and rows that it filled, or the tests that it ran.
    fn finished(&self, attempt: i64, instance: &Instance, range: Interval, kind: TaskKind, done: u64, rows: u64);
    /// An attempt failed by some of its rows; its range is tried in smaller parts.
    fn narrowed(&self, attempt: i64, instance: &Instance, range: Interval, fault: &Diagnostic);
    /// An attempt failed.
    fn failed(&self, attempt: i64, failed: &FailedAttempt);
    /// The run is in the ledger.
    fn began(&self, _run: i64) {}
    /// A data test ran.
    fn tested(&self, _node: &NodeName, _outcome: &TestOutcome, _verdict: Verdict) {}
}

impl Runner {
    /// Makes the ledger agree with the world: attempts of dead processes are crashed, commits that
    /// were not recorded are adopted, changes of sources are recorded.
    /// Gives the faults of sources that could not be looked at.
    pub async fn catch_up(&self) -> Result<Vec<Diagnostic>, Fault> {
        self.store.crash_live((self.clock)()).await?;
        let known = Known::load(&self.project, &self.store).await?;
        let seen = gather(&self.project, self.engine.as_ref(), &known).await?;
        record(&self.project, &self.store, &seen.news, (self.clock)()).await?;
        self.store.publish_tested(&self.project, (self.clock)()).await?;
        Ok(seen.faults)
    }

    /// Removes the tables and views that the project no longer declares; gives what they were.
    pub async fn prune(&self) -> Result<Vec<RelationEntry>, Fault> {
        let undeclared = self.store.undeclared(&self.project).await?;
        for entry in &undeclared {
            if entry.kind != Materialization::View {
                self.engine.drop_table(&entry.relation).await?;
            }
            crash::point("dropped");
            self.store.drop_relation(&entry.relation, (self.clock)()).await?;
        }
        Ok(undeclared)
    }

    /// Takes a node's table back to an earlier version, records it and holds the node. Gives the version of
    /// the commit that does it; nothing where the table is at that version already.
    ///
    /// # Errors
    /// Where it has no such version, or files of it are gone.
    pub async fn roll_back(&self, node: &Node, to: i64) -> Result<Option<i64>, Fault> {
        self.catch_up().await?;
        let log = self.engine.commits_after(&node.relation, None).await?;
        let newest = log.map(|log| log.version).ok_or_else(|| no_versions(node))?;
        if to == newest {
            return Ok(None);
        }
        if !(0..newest).contains(&to) {
            return Err(unknown_version(node, to, newest));
        }
        let tag = RestoreTag {
            ledger: self.store.ledger().to_owned(),
            seq: self.store.next_seq().await?,
            node: node.name.clone(),
            to,
            fingerprint: node.fingerprint,
        };
        let version = self.engine.restore(&node.relation, &tag).await?;
        crash::point("restored");
        // What is recorded of it is read from the table's log, as after a crash at this moment.
        self.catch_up().await?;
        Ok(Some(version))
    }

    /// Runs what stands before or behind a run.
    async fn around_run(&self, hooks: Result<Vec<ScriptSpec>, Fault>) -> Result<(), Fault> {
        let run = async {
            for hook in hooks? {
                self.engine.script(&hook).await?;
            }
            Ok(())
        };
        let ran: Result<(), Fault> = run.await;
        ran.map_err(|fault| log::masked_fault(&fault, &self.compiler.secrets()))
    }

    /// Fills what is due in the scope and runs its data tests, until nothing more can start.
    /// `interrupt` resolves when a person wants it to stop.
    pub async fn run(
        &self,
        request: &RunRequest,
        watch: Arc<dyn Watch>,
        interrupt: impl Future<Output = ()>,
    ) -> Result<RunSummary, Fault> {
        let unseen = self.catch_up().await?;
        let started_at = (self.clock)();
        let limits = Limits {
            tasks: request.tasks.clone(),
            ..Limits::new(self.parallel, request.scope.clone(), started_at)
        };
        if request.manual.is_empty() && request.again.is_empty() && request.named.is_empty() {
            let state = self.store.load_state(&self.project).await?;
            let forecast = Forecast::new(&self.project, &state, started_at);
            if decide(&forecast, &limits).actions.is_empty() {
                let mut summary = RunSummary {
                    unseen,
                    ..RunSummary::default()
                };
                leave(self, &state, &limits, &mut summary);
                return Ok(summary);
            }
        }
        let new = NewRun {
            trigger: request.trigger,
            selector: request.selector.clone(),
            manual: request.manual.clone(),
            again: request.again.clone(),
            named: request.named.clone(),
            backfill: request.backfill,
        };
        let run = self.store.begin_run(new, started_at).await?.id;
        watch.began(run);
        let compiler = self.compiler.for_run(RunFacts {
            started_at,
            invocation_id: run.to_string(),
        });
        let mut live = LiveRun::new(self, watch, run, limits, compiler.clone(), unseen).await?;
        live.on_failure = request.on_failure;
        let seen = self.store.sources_seen().await?;
        let summary = match self.around_run(compiler.run_start(&seen)).await {
            Ok(()) => {
                let mut summary = live.finish(interrupt).await?;
                if summary.stopped.is_none() && !summary.interrupted {
                    let ended = self.around_run(compiler.run_end(&summary.results(), &seen)).await;
                    summary.stopped = ended.err().map(|fault| *fault);
                }
                summary
            }
            Err(fault) => live.refused(*fault),
        };
        self.store.end_run(run, summary.state(), (self.clock)()).await?;
        Ok(summary)
    }
}

fn no_versions(node: &Node) -> Fault {
    let name = &node.name;
    Box::new(
        Diagnostic::error(
            codes::NO_VERSIONS,
            format!("the table of `{name}` is not there: there is no version to go back to"),
        )
        .with_remedy(format!("fill it: `mulgil run {name}`")),
    )
}

fn unknown_version(node: &Node, to: i64, newest: i64) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::UNKNOWN_VERSION,
            format!(
                "the table `{}` has no version {to}: its newest is {newest}",
                node.relation
            ),
        )
        .with_remedy(format!("`mulgil rollback {} --list` shows its versions", node.name)),
    )
}
