//! One run: from its first look to the point where nothing of its scope can be started any more.

use std::{collections::BTreeMap, sync::Arc};

use mulgil_core::{
    codes, crash,
    decide::{Action, Limits, Scope, decide},
    diagnostic::{Diagnostic, Severity},
    interval::{Instant, Interval, RangeSet},
    name::{Instance, NodeName},
    plan::{Forecast, Held, Step, StepAction, Waiting},
    port::{Engine, Fault, Progress, SourceSeen, TestOutcome},
    project::{CodeFp, Node, Project},
    run::{RunState, TaskKind, Trigger},
    state::State,
    task::{Claim, TaskSpec, Work},
};
use mulgil_project::{Compiler, RunFacts};
use mulgil_store::{ClaimRequest, Failure, NewRun, Store};
use tokio::task::{Id, JoinSet};

use crate::{
    log,
    look::{Known, gather, record},
    perform::{Outcome, Task, perform, task_spec},
};

/// Everything that a run works with.
pub struct Runner {
    /// What is declared.
    pub project: Arc<Project>,
    /// Its SQL.
    pub compiler: Compiler,
    /// Its ledger. The caller holds the lock on its folder.
    pub store: Store,
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
    /// Instances that a person named: what is held of them is let go.
    pub named: Vec<Instance>,
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
    pub failed: Vec<(Instance, Interval, Diagnostic)>,
    /// Data tests that did not hold, with whether they block.
    pub failed_tests: Vec<(NodeName, TestOutcome, Severity)>,
    /// Data tests that held.
    pub passed_tests: u64,
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

    fn state(&self) -> RunState {
        match (self.interrupted, self.is_success()) {
            (true, _) => RunState::Cancelled,
            (false, true) => RunState::Success,
            (false, false) => RunState::Failed,
        }
    }

    fn add(&mut self, instance: &Instance, intervals: u64, rows: u64) {
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
    fn failed(&self, attempt: i64, instance: &Instance, range: Interval, fault: &Diagnostic);
}

/// Rows of one attempt, passed on.
struct AttemptRows {
    attempt: i64,
    watch: Arc<dyn Watch>,
}

impl Progress for AttemptRows {
    fn rows(&self, rows: u64) {
        self.watch.rows(self.attempt, rows);
    }
}

/// What is about to start.
struct Starting {
    instance: Instance,
    range: Interval,
    kind: TaskKind,
    task: Result<Task, Fault>,
}

/// What is live in this process.
#[derive(Default)]
struct Tasks {
    set: JoinSet<Result<Outcome, Fault>>,
    live: BTreeMap<Id, (Arc<TaskSpec>, Interval)>,
}

impl Tasks {
    /// How many run data tests.
    fn testing(&self) -> usize {
        let tests = self
            .live
            .values()
            .filter(|(spec, _)| matches!(spec.work, Work::Test(_)));
        tests.count()
    }
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
        Ok(seen.faults)
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
        let new = NewRun {
            trigger: request.trigger,
            selector: request.selector.clone(),
            manual: request.manual.clone(),
            named: request.named.clone(),
        };
        let mut state = self.store.load_state(&self.project).await?;
        let mut limits = Limits::new(self.parallel, request.scope.clone(), started_at);
        if request.manual.is_empty() && request.named.is_empty() && self.nothing_to_do(&state, &limits) {
            let mut summary = RunSummary {
                unseen,
                ..RunSummary::default()
            };
            self.leave(&state, &limits, &mut summary);
            return Ok(summary);
        }
        let run = self.store.begin_run(new, started_at).await?.id;
        state = self.store.load_state(&self.project).await?;
        let mut summary = RunSummary {
            run: Some(run),
            unseen,
            ..RunSummary::default()
        };
        let mut tasks = Tasks::default();
        let done = self
            .turns(run, &mut limits, &mut state, &mut summary, &mut tasks, watch, interrupt)
            .await;
        // Whatever ended the run, nothing of it stays live.
        self.stop(&mut tasks).await?;
        if let Err(fault) = done {
            summary.stopped = Some(*fault);
        }
        self.leave(&state, &limits, &mut summary);
        self.store.end_run(run, summary.state(), (self.clock)()).await?;
        Ok(summary)
    }

    fn nothing_to_do(&self, state: &State, limits: &Limits) -> bool {
        let forecast = Forecast::new(&self.project, state, limits.failed_since);
        decide(&forecast, limits).actions.is_empty()
    }

    #[expect(clippy::too_many_arguments, reason = "the loop's own state, named one by one")]
    async fn turns(
        &self,
        run: i64,
        limits: &mut Limits,
        state: &mut State,
        summary: &mut RunSummary,
        tasks: &mut Tasks,
        watch: Arc<dyn Watch>,
        interrupt: impl Future<Output = ()>,
    ) -> Result<(), Fault> {
        let seen = self.store.sources_seen().await?;
        let facts = RunFacts {
            started_at: limits.failed_since,
            invocation_id: run.to_string(),
        };
        let compiler = self.compiler.for_run(facts);
        tokio::pin!(interrupt);
        watch.planned(&self.planned(state, limits));
        loop {
            let now = (self.clock)();
            limits.testing = tasks.testing();
            let (starting, wake_at) = self.decided(state, limits, &compiler, &seen, now);
            let is_idle = starting.is_empty() && tasks.live.is_empty() && wake_at.is_none();
            for one in starting {
                self.start(run, one, limits, state, summary, &watch, tasks).await?;
            }
            if is_idle {
                return Ok(());
            }
            if tasks.live.is_empty() && wake_at.is_none() {
                continue;
            }
            tokio::select! {
                biased;
                () = &mut interrupt => {
                    summary.interrupted = true;
                    return Ok(());
                }
                Some(joined) = tasks.set.join_next_with_id() => {
                    self.joined(joined, limits, state, summary, &watch, tasks).await?;
                }
                () = pause(now, wake_at), if wake_at.is_some() => {}
            }
        }
    }

    /// The steps of the scope, for a progress display.
    fn planned(&self, state: &State, limits: &Limits) -> Vec<Step> {
        let plan = Forecast::new(&self.project, state, (self.clock)()).plan();
        plan.steps
            .into_iter()
            .filter(|step| limits.scope.of(&step.instance).is_some())
            .collect()
    }

    /// What may start now, compiled; what cannot be compiled comes as its fault.
    fn decided(
        &self,
        state: &State,
        limits: &Limits,
        compiler: &Compiler,
        seen: &BTreeMap<NodeName, SourceSeen>,
        now: Instant,
    ) -> (Vec<Starting>, Option<Instant>) {
        let forecast = Forecast::new(&self.project, state, now);
        let decision = decide(&forecast, limits);
        let compile = |action: Action| {
            let (instance, range, kind) = match &action {
                Action::Fill { instance, range, .. } => (instance.clone(), *range, TaskKind::Fill),
                Action::Test { node, .. } => (Instance::of(node.clone()), Interval::WHOLE, TaskKind::Test),
            };
            Starting {
                instance,
                range,
                kind,
                task: Task::compile(action, &forecast, &limits.scope, compiler, seen),
            }
        };
        (decision.actions.into_iter().map(compile).collect(), decision.wake_at)
    }

    #[expect(clippy::too_many_arguments, reason = "the loop's own state, named one by one")]
    async fn start(
        &self,
        run: i64,
        starting: Starting,
        limits: &mut Limits,
        state: &mut State,
        summary: &mut RunSummary,
        watch: &Arc<dyn Watch>,
        tasks: &mut Tasks,
    ) -> Result<(), Fault> {
        let Starting {
            instance,
            range,
            kind,
            task,
        } = starting;
        let now = (self.clock)();
        let node = self
            .project
            .node(&instance.node)
            .ok_or_else(|| bug("a task's node is not in the project"))?;
        if kind == TaskKind::Test {
            // A test holds no table, so nothing else keeps it from being started a second time.
            limits.untestable.insert(node.name.clone());
        }
        let reasons = task.as_ref().map(|task| task.reasons.clone()).unwrap_or_default();
        let request = ClaimRequest {
            run,
            instance: instance.clone(),
            relation: node.relation.clone(),
            range,
            kind,
            reason: serde_json::to_value(&reasons).unwrap_or_default(),
            fingerprint: node.fingerprint,
        };
        let claim = self.store.claim(request, now).await?;
        crash::point("claimed");
        watch.started(claim.attempt, &instance, range, kind);
        match task {
            Ok(task) => {
                self.store
                    .append_log(claim.attempt, log::began(node, &task, &self.compiler.secrets()), now)
                    .await?;
                let spec = task_spec(claim, task.work);
                let (engine, mine) = (Arc::clone(&self.engine), Arc::clone(&spec));
                let rows = AttemptRows {
                    attempt: spec.claim.attempt,
                    watch: Arc::clone(watch),
                };
                let handle = tasks
                    .set
                    .spawn(async move { perform(engine.as_ref(), &mine, &rows).await });
                tasks.live.insert(handle.id(), (spec, range));
            }
            Err(fault) => {
                self.failed(
                    &claim,
                    &instance,
                    range,
                    node.fingerprint,
                    &fault,
                    limits,
                    summary,
                    watch,
                )
                .await?;
            }
        }
        self.store.refresh(&self.project, state, &[instance]).await
    }

    /// Records a failure, with what it says in the attempt's log.
    #[expect(clippy::too_many_arguments, reason = "one failure, with everyone who hears of it")]
    async fn failed(
        &self,
        claim: &Claim,
        instance: &Instance,
        range: Interval,
        fingerprint: CodeFp,
        fault: &Fault,
        limits: &mut Limits,
        summary: &mut RunSummary,
        watch: &Arc<dyn Watch>,
    ) -> Result<(), Fault> {
        let now = (self.clock)();
        let node = self.project.node(&instance.node);
        let how = match node {
            Some(node) if limits.narrow(node, instance, range, fault.code) => Failure::Narrowed,
            Some(_) | None => Failure::Counted,
        };
        let fault = &log::masked_fault(fault, &self.compiler.secrets());
        self.store.append_log(claim.attempt, log::failed(fault), now).await?;
        self.store
            .record_failure(claim, range, fault, how, fingerprint, now)
            .await?;
        if how == Failure::Narrowed {
            watch.narrowed(claim.attempt, instance, range, fault);
        } else {
            watch.failed(claim.attempt, instance, range, fault);
            summary.failed.push((instance.clone(), range, (**fault).clone()));
        }
        Ok(())
    }

    async fn joined(
        &self,
        joined: Result<(Id, Result<Outcome, Fault>), tokio::task::JoinError>,
        limits: &mut Limits,
        state: &mut State,
        summary: &mut RunSummary,
        watch: &Arc<dyn Watch>,
        tasks: &mut Tasks,
    ) -> Result<(), Fault> {
        let (id, outcome) = match joined {
            Ok((id, outcome)) => (id, outcome),
            Err(error) => (error.id(), Err(bug(&format!("a task panicked: {error}")))),
        };
        let (spec, range) = tasks
            .live
            .remove(&id)
            .ok_or_else(|| bug("a task ended that was not started"))?;
        let instance = match &spec.work {
            Work::Fill(fill) => fill.instance.clone(),
            Work::Test(test) => test.instance.clone(),
        };
        let mut touched = vec![instance.clone()];
        match (outcome, &spec.work) {
            (Ok(Outcome::Filled(filled)), Work::Fill(fill)) => {
                let recorded = self
                    .store
                    .record_fill(&self.project, &spec.claim, fill, &filled, (self.clock)())
                    .await?;
                crash::point("recorded");
                touched.extend(recorded.dirtied);
                let intervals = filled.intervals.len() as u64;
                let rows = filled.intervals.iter().map(|filled| filled.rows).sum();
                self.store
                    .append_log(spec.claim.attempt, log::filled(&filled), (self.clock)())
                    .await?;
                watch.finished(spec.claim.attempt, &instance, range, TaskKind::Fill, intervals, rows);
                summary.add(&instance, intervals, rows);
            }
            (Ok(Outcome::Tested(outcomes)), Work::Test(test)) => {
                self.store
                    .record_tests(&self.project, &spec.claim, test, &outcomes, (self.clock)())
                    .await?;
                self.store
                    .append_log(spec.claim.attempt, log::tested(&outcomes), (self.clock)())
                    .await?;
                limits.untestable.remove(&instance.node);
                touched = self
                    .project
                    .node(&instance.node)
                    .map(Node::instances)
                    .unwrap_or_default();
                touched.push(instance.clone());
                watch.finished(
                    spec.claim.attempt,
                    &instance,
                    range,
                    TaskKind::Test,
                    outcomes.len() as u64,
                    0,
                );
                self.tested(&instance.node, outcomes, summary);
            }
            (Ok(_), _) => return Err(bug("a task gave what its work cannot give")),
            (Err(fault), work) => {
                let fingerprint = match work {
                    Work::Fill(fill) => fill.fingerprint,
                    Work::Test(_) => CodeFp::default(),
                };
                self.failed(
                    &spec.claim,
                    &instance,
                    range,
                    fingerprint,
                    &fault,
                    limits,
                    summary,
                    watch,
                )
                .await?;
                let stops = matches!(fault.code.0 / 1000, 5 | 9);
                if stops {
                    return Err(fault);
                }
            }
        }
        self.store.refresh(&self.project, state, &touched).await
    }

    fn tested(&self, node: &NodeName, outcomes: Vec<TestOutcome>, summary: &mut RunSummary) {
        let tests = self
            .project
            .node(node)
            .map(|node| node.tests.as_slice())
            .unwrap_or_default();
        for outcome in outcomes {
            let severity = tests
                .iter()
                .find(|test| test.name == outcome.name)
                .map_or(Severity::Error, |test| test.severity);
            if outcome.failures == 0 {
                summary.passed_tests += 1;
            } else {
                summary.failed_tests.push((node.clone(), outcome, severity));
            }
        }
    }

    /// Stops what is live; nothing of it is committed unless it was already.
    async fn stop(&self, tasks: &mut Tasks) -> Result<(), Fault> {
        tasks.set.shutdown().await;
        for (spec, _) in std::mem::take(&mut tasks.live).into_values() {
            self.store.record_cancelled(&spec.claim, (self.clock)()).await?;
        }
        Ok(())
    }

    /// What is left undone, and why.
    fn leave(&self, state: &State, limits: &Limits, summary: &mut RunSummary) {
        let forecast = Forecast::new(&self.project, state, (self.clock)());
        let plan = forecast.plan();
        let in_scope =
            |instance: &Instance, range: Interval| limits.scope.of(instance).is_some_and(|scope| scope.overlaps(range));
        let failed: Vec<_> = summary
            .failed
            .iter()
            .map(|(instance, range, _)| (instance.clone(), *range))
            .collect();
        let itself_failed = |step: &Step| {
            failed
                .iter()
                .any(|(instance, range)| *instance == step.instance && range.overlaps(step.range))
        };
        summary.upstream_failed = plan
            .steps
            .into_iter()
            .filter(|step| {
                step.action == StepAction::Fill && in_scope(&step.instance, step.range) && !itself_failed(step)
            })
            .collect();
        summary.waiting = plan
            .waiting
            .into_iter()
            .filter(|waiting| in_scope(&waiting.instance, waiting.range))
            .collect();
        let told: Vec<_> = summary
            .failed_tests
            .iter()
            .map(|(node, test, _)| (node, &test.name))
            .collect();
        summary.blocking = forecast
            .failed_tests()
            .filter(|(node, test)| limits.scope.has_node(&node.name) && !told.contains(&(&node.name, &test.name)))
            .map(|(node, test)| (node.name.clone(), test.name.clone()))
            .collect();
        summary.held = plan
            .held
            .into_iter()
            .filter(|held| in_scope(&held.instance, held.range))
            .collect();
    }
}

/// Until the moment at which a failed range may be tried again.
async fn pause(now: Instant, until: Option<Instant>) {
    let micros = until.map_or(0, |until| until.0.saturating_sub(now.0)).max(0);
    tokio::time::sleep(std::time::Duration::from_micros(micros.unsigned_abs())).await;
}

fn bug(message: &str) -> Fault {
    Box::new(
        Diagnostic::error(codes::BUG, message.to_owned())
            .with_remedy("please report it with the output of `mulgil runs show` for this run"),
    )
}
