//! A run while it goes on: each turn decides, starts what may start, waits, and records what ended.

use std::{collections::BTreeMap, sync::Arc};

use mulgil_core::{
    codes, crash,
    data_test::{Verdict, judge},
    decide::{Action, Limits, Tasks, decide},
    diagnostic::{Diagnostic, Severity},
    interval::{Instant, Interval, RangeSet},
    name::{Instance, NodeName},
    plan::{Forecast, Step, StepAction},
    port::{Fault, FillOutcome, Progress, SourceSeen, TestOutcome},
    project::{CodeFp, Node},
    publish::is_after_tests,
    run::TaskKind,
    state::State,
    task::{Claim, FillSpec, TaskSpec, TestSpec, Work},
};
use mulgil_project::Compiler;
use mulgil_store::{ClaimRequest, Failure};
use tokio::task::{Id, JoinError, JoinSet};

use crate::{
    log,
    perform::{Outcome, Task, perform, task_spec},
    run::{FailedAttempt, OnFailure, RunSummary, Runner, Watch},
};

/// A run and all that its turns change.
pub(crate) struct LiveRun<'a> {
    runner: &'a Runner,
    watch: Arc<dyn Watch>,
    run: i64,
    compiler: Compiler,
    /// Sources as they were when the run began.
    seen: BTreeMap<NodeName, SourceSeen>,
    limits: Limits,
    state: State,
    summary: RunSummary,
    /// What a failure does to the rest.
    pub(crate) on_failure: OnFailure,
    tasks: JoinSet<Result<Outcome, Fault>>,
    /// What the tasks are.
    attempts: BTreeMap<Id, (Attempt, Arc<TaskSpec>)>,
}

/// What is about to start.
struct Starting {
    instance: Instance,
    range: Interval,
    kind: TaskKind,
    task: Result<Task, Fault>,
}

/// What was claimed, and by whom.
struct Attempt {
    claim: Claim,
    instance: Instance,
    range: Interval,
    kind: TaskKind,
    fingerprint: CodeFp,
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

impl<'a> LiveRun<'a> {
    /// A run that is in the ledger and of which nothing has started.
    pub(crate) async fn new(
        runner: &'a Runner,
        watch: Arc<dyn Watch>,
        run: i64,
        limits: Limits,
        compiler: Compiler,
        unseen: Vec<Diagnostic>,
    ) -> Result<Self, Fault> {
        Ok(Self {
            runner,
            watch,
            run,
            compiler,
            seen: runner.store.sources_seen().await?,
            state: runner.store.load_state(&runner.project).await?,
            limits,
            summary: RunSummary {
                run: Some(run),
                unseen,
                ..RunSummary::default()
            },
            on_failure: OnFailure::GoOn,
            tasks: JoinSet::new(),
            attempts: BTreeMap::new(),
        })
    }

    /// Goes on until nothing more can start, a person interrupts, or the machine fails. Whatever ends
    /// it, nothing of it stays live.
    pub(crate) async fn finish(mut self, interrupt: impl Future<Output = ()>) -> Result<RunSummary, Fault> {
        let ended = self.turns(interrupt).await;
        self.stop().await?;
        if let Err(fault) = ended {
            self.summary.stopped = Some(*fault);
        }
        leave(self.runner, &self.state, &self.limits, &mut self.summary);
        Ok(self.summary)
    }

    /// The run of which nothing may start, and why.
    pub(crate) fn refused(mut self, fault: Diagnostic) -> RunSummary {
        self.summary.stopped = Some(fault);
        leave(self.runner, &self.state, &self.limits, &mut self.summary);
        self.summary
    }

    async fn turns(&mut self, interrupt: impl Future<Output = ()>) -> Result<(), Fault> {
        tokio::pin!(interrupt);
        self.watch.planned(&self.planned());
        loop {
            let now = self.now();
            let (starting, wake_at) = if self.begins_no_more() {
                (Vec::new(), None)
            } else {
                self.decided(now)
            };
            let is_idle = starting.is_empty() && self.tasks.is_empty() && wake_at.is_none();
            for one in starting {
                self.start(one).await?;
            }
            if is_idle {
                return Ok(());
            }
            if self.tasks.is_empty() && wake_at.is_none() {
                continue;
            }
            tokio::select! {
                biased;
                () = &mut interrupt => {
                    self.summary.interrupted = true;
                    return Ok(());
                }
                Some(joined) = self.tasks.join_next_with_id() => self.joined(joined).await?,
                () = pause(now, wake_at), if wake_at.is_some() => {}
            }
        }
    }

    fn begins_no_more(&self) -> bool {
        let mut tests = self.summary.failed_tests.iter();
        let has_failed = !self.summary.failed.is_empty() || tests.any(|(_, _, severity)| *severity == Severity::Error);
        match self.on_failure {
            OnFailure::GoOn => false,
            OnFailure::Stop => has_failed,
        }
    }

    /// The steps of the scope, for a progress display.
    fn planned(&self) -> Vec<Step> {
        let plan = Forecast::new(&self.runner.project, &self.state, self.now()).plan();
        plan.steps
            .into_iter()
            .filter(|step| self.limits.scope.of(&step.instance).is_some())
            .collect()
    }

    /// What may start now, compiled, and when to look again; what cannot be compiled comes as its fault.
    fn decided(&mut self, now: Instant) -> (Vec<Starting>, Option<Instant>) {
        let live = self.attempts.values();
        let tests = live.filter(|(attempt, _)| attempt.kind == TaskKind::Test);
        self.limits.testing = tests.map(|(attempt, _)| attempt.instance.node.clone()).collect();
        if self.limits.tasks == Tasks::Fills {
            // Nobody waits for data tests, but where they decide which version is seen.
            for (instance, state) in &mut self.state.nodes {
                let node = self.runner.project.node(&instance.node);
                if !node.is_some_and(is_after_tests) {
                    state.untested = RangeSet::new();
                }
            }
        }
        let forecast = Forecast::new(&self.runner.project, &self.state, now);
        let decision = decide(&forecast, &self.limits);
        let compile = |action: Action| {
            let (instance, range, kind) = match &action {
                Action::Fill { instance, range, .. } => (instance.clone(), *range, TaskKind::Fill),
                Action::Test { node, .. } => (Instance::of(node.clone()), Interval::WHOLE, TaskKind::Test),
            };
            Starting {
                instance,
                range,
                kind,
                task: Task::compile(action, &forecast, &self.limits.scope, &self.compiler, &self.seen),
            }
        };
        (decision.actions.into_iter().map(compile).collect(), decision.wake_at)
    }

    /// Claims and starts; what could not be compiled is claimed too, so that its failure is recorded.
    async fn start(&mut self, starting: Starting) -> Result<(), Fault> {
        let Starting {
            instance,
            range,
            kind,
            task,
        } = starting;
        let (runner, now) = (self.runner, self.now());
        let node = runner
            .project
            .node(&instance.node)
            .ok_or_else(|| bug("a task's node is not in the project"))?;
        if kind == TaskKind::Test {
            // A test holds no table, so nothing else keeps it from being started a second time.
            self.limits.untestable.insert(node.name.clone());
        }
        let reasons = task.as_ref().map(|task| task.reasons.clone()).unwrap_or_default();
        let request = ClaimRequest {
            run: self.run,
            instance: instance.clone(),
            relation: node.relation.clone(),
            range,
            kind,
            reason: serde_json::to_value(&reasons).unwrap_or_default(),
            fingerprint: node.fingerprint,
        };
        let claim = runner.store.claim(request, now).await?;
        crash::point("claimed");
        self.watch.started(claim.attempt, &instance, range, kind);
        let attempt = Attempt {
            claim: claim.clone(),
            instance: instance.clone(),
            range,
            kind,
            fingerprint: node.fingerprint,
        };
        match task {
            Ok(task) => {
                let log = log::began(node, &task, &runner.compiler.secrets());
                runner.store.append_log(claim.attempt, log, now).await?;
                self.spawn(attempt, task_spec(claim, task.work));
            }
            Err(fault) => {
                let how = self.how_it_failed(&attempt, &fault);
                self.failed(&attempt, &fault, how).await?;
            }
        }
        runner
            .store
            .refresh(&runner.project, &mut self.state, &[instance])
            .await
    }

    fn spawn(&mut self, attempt: Attempt, spec: Arc<TaskSpec>) {
        let (engine, mine) = (Arc::clone(&self.runner.engine), Arc::clone(&spec));
        let rows = AttemptRows {
            attempt: attempt.claim.attempt,
            watch: Arc::clone(&self.watch),
        };
        let handle = self
            .tasks
            .spawn(async move { perform(engine.as_ref(), &mine, &rows).await });
        self.attempts.insert(handle.id(), (attempt, spec));
    }

    /// Records how an attempt ended.
    ///
    /// # Errors
    /// When the record cannot be made, and when the machine failed the attempt: nothing else would do
    /// better then.
    async fn joined(&mut self, joined: Result<(Id, Result<Outcome, Fault>), JoinError>) -> Result<(), Fault> {
        let (id, outcome) = match joined {
            Ok((id, outcome)) => (id, outcome),
            Err(error) => (error.id(), Err(bug(&format!("a task panicked: {error}")))),
        };
        let (attempt, spec) = self
            .attempts
            .remove(&id)
            .ok_or_else(|| bug("a task ended that was not started"))?;
        let touched = match (outcome, &spec.work) {
            (Ok(Outcome::Filled(filled)), Work::Fill(fill)) => self.filled(&attempt, fill, &filled).await?,
            (Ok(Outcome::HookFailed(filled, fault)), Work::Fill(fill)) => {
                self.hook_failed(&attempt, fill, filled.as_ref(), fault).await?
            }
            (Ok(Outcome::Tested(outcomes)), Work::Test(test)) => self.tested(&attempt, test, outcomes).await?,
            (Ok(_), _) => return Err(bug("a task gave what its work cannot give")),
            (Err(fault), _) => {
                let how = self.how_it_failed(&attempt, &fault);
                self.failed(&attempt, &fault, how).await?;
                stop_at_machine(fault)?;
                vec![attempt.instance]
            }
        };
        let runner = self.runner;
        runner.store.refresh(&runner.project, &mut self.state, &touched).await
    }

    /// Gives the instances whose state is another now.
    async fn filled(
        &mut self,
        attempt: &Attempt,
        fill: &FillSpec,
        filled: &FillOutcome,
    ) -> Result<Vec<Instance>, Fault> {
        let (store, now) = (&self.runner.store, self.now());
        let recorded = store
            .record_fill(&self.runner.project, &attempt.claim, fill, filled, now)
            .await?;
        crash::point("recorded");
        store
            .append_log(attempt.claim.attempt, log::filled(filled), now)
            .await?;
        let intervals = filled.intervals.len() as u64;
        self.finished(attempt, intervals, filled.written);
        self.summary.add(&attempt.instance, intervals, filled.written);
        self.summary.recovered(attempt.kind, &attempt.instance, attempt.range);
        let mut touched = recorded.dirtied;
        touched.push(attempt.instance.clone());
        Ok(touched)
    }

    /// Records that a hook failed, with the rows that are there nevertheless. Gives the instances whose
    /// state is another now.
    async fn hook_failed(
        &mut self,
        attempt: &Attempt,
        fill: &FillSpec,
        filled: Option<&FillOutcome>,
        fault: Fault,
    ) -> Result<Vec<Instance>, Fault> {
        let (store, now) = (&self.runner.store, self.now());
        let mut touched = vec![attempt.instance.clone()];
        if let Some(filled) = filled {
            let recorded = store
                .record_unfinished_fill(&self.runner.project, &attempt.claim, fill, filled, now)
                .await?;
            store
                .append_log(attempt.claim.attempt, log::filled(filled), now)
                .await?;
            touched.extend(recorded.dirtied);
        }
        // Smaller commits would not make the hook succeed.
        self.failed(attempt, &fault, Failure::Counted).await?;
        stop_at_machine(fault)?;
        Ok(touched)
    }

    /// Gives the instances whose state is another now.
    async fn tested(
        &mut self,
        attempt: &Attempt,
        test: &TestSpec,
        outcomes: Vec<TestOutcome>,
    ) -> Result<Vec<Instance>, Fault> {
        let (store, now) = (&self.runner.store, self.now());
        store
            .record_tests(&self.runner.project, &attempt.claim, test, &outcomes, now)
            .await?;
        let node = self.runner.project.node(&attempt.instance.node);
        let tests = node.map(|node| node.tests.as_slice()).unwrap_or_default();
        store
            .append_log(attempt.claim.attempt, log::tested(tests, &outcomes), now)
            .await?;
        self.limits.untestable.remove(&attempt.instance.node);
        self.summary.recovered(attempt.kind, &attempt.instance, attempt.range);
        self.finished(attempt, outcomes.len() as u64, 0);
        for outcome in outcomes {
            let name = attempt.instance.node.clone();
            if let Tasks::Tests(asked) = &mut self.limits.tasks
                && let Some(left) = asked.get_mut(&name)
            {
                left.remove(&outcome.name);
            }
            let verdict = judge(tests, &outcome.name, outcome.failures);
            self.watch.tested(&name, &outcome, verdict);
            match verdict {
                Verdict::Passed => self.summary.passed_tests.push((name, outcome.name)),
                Verdict::Warned => self.summary.failed_tests.push((name, outcome, Severity::Warning)),
                Verdict::Failed => self.summary.failed_tests.push((name, outcome, Severity::Error)),
            }
        }
        let mut touched = node.map(Node::instances).unwrap_or_default();
        touched.push(attempt.instance.clone());
        Ok(touched)
    }

    fn finished(&self, attempt: &Attempt, done: u64, rows: u64) {
        let number = attempt.claim.attempt;
        self.watch
            .finished(number, &attempt.instance, attempt.range, attempt.kind, done, rows);
    }

    /// Whether smaller commits may do without the rows that made it fail.
    fn how_it_failed(&mut self, attempt: &Attempt, fault: &Fault) -> Failure {
        // Data tests are over the whole table; a part of it would answer another question.
        let node = self.runner.project.node(&attempt.instance.node);
        let narrows = |node: &Node| self.limits.narrow(node, &attempt.instance, attempt.range, fault.code);
        if attempt.kind == TaskKind::Fill && node.is_some_and(narrows) {
            Failure::Narrowed
        } else {
            Failure::Counted
        }
    }

    /// Records a failure, with what it says in the attempt's log.
    async fn failed(&mut self, attempt: &Attempt, fault: &Fault, how: Failure) -> Result<(), Fault> {
        let Attempt {
            claim,
            instance,
            range,
            kind,
            fingerprint,
        } = attempt;
        let (runner, now) = (self.runner, self.now());
        let fault = &log::masked_fault(fault, &runner.compiler.secrets());
        runner.store.append_log(claim.attempt, log::failed(fault), now).await?;
        runner
            .store
            .record_failure(claim, *range, fault, how, *fingerprint, now)
            .await?;
        if how == Failure::Narrowed {
            self.watch.narrowed(claim.attempt, instance, *range, fault);
        } else {
            let failed = FailedAttempt {
                instance: instance.clone(),
                range: *range,
                kind: *kind,
                fault: (**fault).clone(),
            };
            self.watch.failed(claim.attempt, &failed);
            self.summary.failed.push(failed);
        }
        Ok(())
    }

    /// Stops what is live; nothing of it is committed unless it was already.
    async fn stop(&mut self) -> Result<(), Fault> {
        self.tasks.shutdown().await;
        for (attempt, _) in std::mem::take(&mut self.attempts).into_values() {
            self.runner.store.record_cancelled(&attempt.claim, self.now()).await?;
        }
        Ok(())
    }

    fn now(&self) -> Instant {
        (self.runner.clock)()
    }
}

/// What is left undone, and why.
pub(crate) fn leave(runner: &Runner, state: &State, limits: &Limits, summary: &mut RunSummary) {
    let forecast = Forecast::new(&runner.project, state, (runner.clock)());
    let plan = forecast.plan();
    let in_scope =
        |instance: &Instance, range: Interval| limits.scope.of(instance).is_some_and(|scope| scope.overlaps(range));
    let itself_failed = |step: &Step| {
        let mut fills = summary.failed.iter().filter(|failed| failed.kind == TaskKind::Fill);
        fills.any(|failed| failed.instance == step.instance && failed.range.overlaps(step.range))
    };
    summary.upstream_failed = plan
        .steps
        .into_iter()
        .filter(|step| step.action == StepAction::Fill && in_scope(&step.instance, step.range) && !itself_failed(step))
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
        .filter(|_| limits.tasks == Tasks::FillsAndTests)
        .filter(|(node, test)| limits.scope.has_node(&node.name) && !told.contains(&(&node.name, &test.name)))
        .map(|(node, test)| (node.name.clone(), test.name.clone()))
        .collect();
    summary.held = plan
        .held
        .into_iter()
        .filter(|held| in_scope(&held.instance, held.range))
        .collect();
}

/// Until the moment at which a failed range may be tried again.
async fn pause(now: Instant, until: Option<Instant>) {
    let micros = until.map_or(0, |until| until.0.saturating_sub(now.0)).max(0);
    tokio::time::sleep(std::time::Duration::from_micros(micros.unsigned_abs())).await;
}

/// Nothing else would do better on a machine that fails, or where we are wrong ourselves.
fn stop_at_machine(fault: Fault) -> Result<(), Fault> {
    if matches!(fault.code.0 / 1000, 5 | 9) {
        return Err(fault);
    }
    Ok(())
}

fn bug(message: &str) -> Fault {
    Box::new(
        Diagnostic::error(codes::BUG, message.to_owned())
            .with_remedy("please report it with the output of `mulgil runs show` for this run"),
    )
}
