//! The steps of flows on this machine: SQL and models in the engine, commands and Python under supervisors
//! that outlive the server.

use std::{
    collections::BTreeMap,
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use mulgil_core::{
    flow::{Entry, Flow, ModelsSpec, ProcessSpec, PythonSpec, Step, StepContext, StepWork, name},
    port::{Fault, SharedEngine},
    run::RunState,
    task::{Binding, ScriptSpec},
};
use mulgil_project::Compiler;
use mulgil_runner::{
    Adopted, Event, Exit, Launcher, Lifeline, LogLimits, Program, PythonStep, Running, Task, TaskInput, TaskInterval,
    adopt, read_events,
};
use mulgil_store::Store;
use serde_json::{Map, Value as Json};

use super::port::{Executor, StepAttempt, StepEnd, Stop};

/// How long a task may tidy up after it was asked to stop.
const GRACE: Duration = Duration::from_secs(30);

/// Runs the models of a step; the program has what a run needs.
#[async_trait]
pub trait RunsModels: Send + Sync {
    /// Fills what is due of them and runs their data tests. Ends soon after `stop` asks.
    async fn run_models(&self, models: &ModelsSpec, run: i64, stop: Stop) -> StepEnd;
}

/// Does steps on this machine.
pub struct LocalExecutor {
    /// The project's templates.
    pub compiler: Compiler,
    /// The ledger: what it knows of sources is rendered, what steps say is logged there.
    pub store: Arc<Store>,
    /// The warehouse.
    pub engine: SharedEngine,
    /// Who runs models.
    pub models: Arc<dyn RunsModels>,
    /// Who starts processes.
    pub launcher: Launcher,
    /// Where attempts have their folders.
    pub attempts: PathBuf,
    /// Where our Python SDK lies.
    pub sdk: PathBuf,
    /// The Python of steps that name none.
    pub python: String,
    /// The project folder.
    pub root: PathBuf,
    /// The server's environment; tasks inherit little of it.
    pub environment: BTreeMap<String, String>,
    /// Where the right to run tasks can pass to another machine: what says that it is held here.
    pub lifeline: Option<Lifeline>,
}

#[async_trait]
impl Executor for LocalExecutor {
    async fn render(&self, flow: &Flow, step: &Step, context: &StepContext) -> Result<Option<StepWork>, Fault> {
        if !self.compiler.render_when(flow, step, context)? {
            return Ok(None);
        }
        // What is known of sources, their files among it, is only read for what reads them.
        let work = self.compiler.render_step(flow, step, context, &BTreeMap::new())?;
        let reads_source =
            matches!(&work, StepWork::Script(script) if script.bindings.iter().any(Binding::reads_source));
        if !reads_source {
            return Ok(Some(work));
        }
        let seen = self.store.sources_seen().await?;
        self.compiler.render_step(flow, step, context, &seen).map(Some)
    }

    async fn perform(
        &self,
        work: StepWork,
        _context: StepContext,
        attempt: StepAttempt,
        timeout_us: Option<i64>,
        mut stop: Stop,
    ) -> StepEnd {
        match work {
            StepWork::Script(script) => {
                let mut asked = stop.clone();
                tokio::select! {
                    biased;
                    () = asked.asked() => StepEnd::cancelled(),
                    end = within(timeout_us, self.script(&script)) => end,
                }
            }
            // Models end by themselves when they are asked to, so that nothing of them stays live.
            StepWork::Models(models) => {
                within_or_stop(timeout_us, &mut stop, |stop| {
                    self.models.run_models(&models, attempt.run, stop)
                })
                .await
            }
            StepWork::Process(process) => {
                let task = self.command(process, attempt, timeout_us);
                self.launched(task, attempt, stop).await
            }
            StepWork::Python(python) => {
                let task = self.python(python, attempt, timeout_us);
                self.launched(task, attempt, stop).await
            }
        }
    }

    fn adopt(&self, attempt: &StepAttempt, stop: Stop) -> Option<Pin<Box<dyn Future<Output = StepEnd> + Send>>> {
        let dir = self.dir(attempt);
        if !dir.is_dir() {
            return None;
        }
        Some(Box::pin(async move {
            match adopt(&dir).await {
                Ok(Adopted::Running(running)) => ended(*running, &dir, stop).await,
                Ok(Adopted::Ended(exit) | Adopted::Lost(exit)) => end_of(*exit, &dir),
                Err(fault) => crashed(fault),
            }
        }))
    }
}

impl LocalExecutor {
    /// The folder of an attempt.
    pub fn dir(&self, attempt: &StepAttempt) -> PathBuf {
        self.attempts.join(attempt.attempt.to_string())
    }

    async fn script(&self, script: &ScriptSpec) -> StepEnd {
        match self.engine.script(script).await {
            Ok(()) => StepEnd::success(Json::Null, None),
            Err(fault) => StepEnd::failed(fault),
        }
    }

    async fn launched(&self, task: Result<Task, Fault>, attempt: StepAttempt, stop: Stop) -> StepEnd {
        let dir = self.dir(&attempt);
        let launched = match task {
            Ok(task) => self.launcher.launch(&dir, task).await,
            Err(fault) => return StepEnd::failed(fault),
        };
        match launched {
            Ok(running) => ended(running, &dir, stop).await,
            // Nothing was begun: it is not the step's fault.
            Err(fault) => crashed(fault),
        }
    }

    fn command(&self, process: ProcessSpec, attempt: StepAttempt, timeout_us: Option<i64>) -> Result<Task, Fault> {
        let ProcessSpec { argv, env, cwd, input } = process;
        self.task(Program::Command { argv }, &env, &cwd, &input, attempt, timeout_us)
    }

    fn python(&self, python: PythonSpec, attempt: StepAttempt, timeout_us: Option<i64>) -> Result<Task, Fault> {
        let target = match &python.entry {
            Entry::Script(path) => path.to_string_lossy().into_owned(),
            Entry::Function { module, function } => format!("{module}:{function}"),
        };
        let step = PythonStep {
            interpreter: python.interpreter.unwrap_or_else(|| self.python.clone()),
            sdk: self.sdk.clone(),
            target,
            args: python.args,
            is_warm: python.warm,
        };
        let program = Program::Python(step);
        self.task(program, &python.env, &python.cwd, &python.input, attempt, timeout_us)
    }

    fn task(
        &self,
        program: Program,
        env: &BTreeMap<String, String>,
        cwd: &Path,
        input: &Json,
        attempt: StepAttempt,
        timeout_us: Option<i64>,
    ) -> Result<Task, Fault> {
        let told = task_input(input, attempt);
        Ok(Task {
            attempt: attempt.attempt.to_string(),
            epoch: attempt.epoch,
            program,
            environment: told.environment(&self.environment, env),
            directory: self.root.join(cwd),
            stdin: stdin(&told, input),
            timeout: timeout_us.map(|micros| Duration::from_micros(micros.unsigned_abs())),
            grace: GRACE,
            log: LogLimits::default(),
            secrets: self.compiler.secrets(),
            memory_bytes: None,
            process_count: None,
            lifeline: self.lifeline.clone(),
        })
    }
}

/// The object that a task reads: what every task is told, and what else the flow has for it.
fn stdin(told: &TaskInput, input: &Json) -> String {
    let mut object = match serde_json::to_value(told) {
        Ok(Json::Object(object)) => object,
        _ => Map::new(),
    };
    for key in ["flow", "scheduled_at", "started_at", "timezone", "steps"] {
        object.insert(key.to_owned(), input[key].clone());
    }
    object.insert("try".to_owned(), input["attempt"].clone());
    let mut text = Json::Object(object).to_string();
    text.push('\n');
    text
}

/// What every task is told, of what was rendered for it.
fn task_input(input: &Json, attempt: StepAttempt) -> TaskInput {
    let text = |key: &str| input[key].as_str().unwrap_or_default().to_owned();
    let interval = input["interval"].as_object().map(|interval| TaskInterval {
        start: interval["start"].as_str().unwrap_or_default().to_owned(),
        end: interval["end"].as_str().unwrap_or_default().to_owned(),
    });
    let no_steps = Map::new();
    let steps = input["steps"].as_object().unwrap_or(&no_steps);
    let outputs = steps
        .iter()
        .filter_map(|(name, told)| Some((name.clone(), told.get("output")?.clone())));
    TaskInput {
        run: text("run_id"),
        step: name::told_step(&text("flow"), &text("step")),
        attempt: attempt.attempt.to_string(),
        idempotency_id: text("idempotency_id"),
        interval,
        params: input["params"].as_object().cloned().unwrap_or_default(),
        outputs: outputs.collect(),
    }
}

/// Waits for a process; asks it to end where that is wanted.
async fn ended(mut running: Running, dir: &Path, mut stop: Stop) -> StepEnd {
    let exit = tokio::select! {
        exit = running.wait() => exit,
        () = stop.asked() => {
            running.stop(GRACE).await;
            running.wait().await
        }
    };
    match exit {
        Ok(exit) => end_of(exit, dir),
        Err(fault) => crashed(fault),
    }
}

fn end_of(exit: Exit, dir: &Path) -> StepEnd {
    let rows = read_events(dir, 0).ok().and_then(|page| {
        let counts = page.events.into_iter().filter_map(|record| match record.event {
            Some(Event::Rows { count, .. }) => Some(count),
            _ => None,
        });
        counts.reduce(u64::saturating_add)
    });
    StepEnd {
        state: exit.state(),
        rows,
        fault: exit.fault().map(Box::new),
        output: exit.result.unwrap_or(Json::Null),
    }
}

fn crashed(fault: Fault) -> StepEnd {
    StepEnd {
        state: RunState::Crashed,
        rows: None,
        output: Json::Null,
        fault: Some(fault),
    }
}

/// Gives up what takes longer than it may.
async fn within(timeout_us: Option<i64>, work: impl Future<Output = StepEnd>) -> StepEnd {
    let Some(micros) = timeout_us else {
        return work.await;
    };
    let timeout = Duration::from_micros(micros.unsigned_abs());
    tokio::time::timeout(timeout, work)
        .await
        .unwrap_or_else(|_| StepEnd::timed_out(micros))
}

/// Asks what takes longer than it may to stop, and waits until it has.
async fn within_or_stop<F: Future<Output = StepEnd>>(
    timeout_us: Option<i64>,
    stop: &mut Stop,
    work: impl FnOnce(Stop) -> F,
) -> StepEnd {
    let Some(micros) = timeout_us else {
        return work(stop.clone()).await;
    };
    let (ask, asked) = tokio::sync::watch::channel(false);
    let mut working = Box::pin(work(Stop(asked)));
    let timeout = Duration::from_micros(micros.unsigned_abs());
    let is_late = tokio::select! {
        end = &mut working => return end,
        () = stop.asked() => false,
        () = tokio::time::sleep(timeout) => true,
    };
    // Whoever works has the other end.
    let _ = ask.send(true);
    let end = working.await;
    match end.state {
        RunState::Cancelled if is_late => StepEnd::timed_out(micros),
        _ => end,
    }
}
