//! What the service asks of those who do the work and of those who look on.

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc};

use async_trait::async_trait;
use mulgil_core::{
    backfill::Terms,
    codes,
    diagnostic::{Diagnostic, Retry},
    flow::{Class, Flow, Step, StepContext, StepWork},
    interval::{Instant, Interval},
    port::Fault,
    run::{RunState, Trigger},
    tick::Tick,
};
use serde_json::Value as Json;
use tokio::sync::watch;

/// Does the steps of walks.
#[async_trait]
pub trait Executor: Send + Sync {
    /// The work of a step for a run; nothing where its `when` says that it is passed over.
    ///
    /// # Errors
    /// Where a template fails: then the attempt does.
    async fn render(&self, flow: &Flow, step: &Step, context: &StepContext) -> Result<Option<StepWork>, Fault>;

    /// Does one attempt, until it ends, its time is over (`timeout_us`, in microseconds), or it is told to
    /// stop. What it says of its end is durable by then, where it outlives the server.
    async fn perform(
        &self,
        work: StepWork,
        context: StepContext,
        attempt: StepAttempt,
        timeout_us: Option<i64>,
        stop: Stop,
    ) -> StepEnd;

    /// Takes up an attempt that a server before this one had begun; nothing where it died with it.
    fn adopt(&self, attempt: &StepAttempt, stop: Stop) -> Option<Pin<Box<dyn Future<Output = StepEnd> + Send>>>;
}

/// Which attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepAttempt {
    /// Its run.
    pub run: i64,
    /// Its number.
    pub attempt: i64,
    /// Its fencing number.
    pub epoch: i64,
    /// When it began.
    pub started_at: Instant,
}

/// Tells an attempt to stop.
#[derive(Clone, Debug)]
pub struct Stop(pub(crate) watch::Receiver<bool>);

impl Stop {
    /// Returns when the attempt is to stop; never where it is not.
    pub async fn asked(&mut self) {
        if self.0.wait_for(|stop| *stop).await.is_err() {
            // Nobody can ask any more.
            std::future::pending::<()>().await;
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub struct StepEnd {
    /// Success, failed, crashed or cancelled; or how a step ends without an attempt.
    pub state: RunState,
    /// Rows that it told of.
    pub rows: Option<u64>,
    /// What it gave; null for nothing.
    pub output: Json,
    /// Why it failed.
    pub fault: Option<Fault>,
}

impl StepEnd {
    /// It did what it had to.
    pub fn success(output: Json, rows: Option<u64>) -> Self {
        Self {
            state: RunState::Success,
            rows,
            output,
            fault: None,
        }
    }

    /// It failed by its own fault.
    pub fn failed(fault: Fault) -> Self {
        Self {
            state: RunState::Failed,
            rows: None,
            output: Json::Null,
            fault: Some(fault),
        }
    }

    /// It was told to stop, and did.
    pub fn cancelled() -> Self {
        Self {
            state: RunState::Cancelled,
            rows: None,
            output: Json::Null,
            fault: None,
        }
    }

    /// Nobody knows how it ended.
    pub fn lost() -> Self {
        let fault = Diagnostic::error(
            codes::STEP_LOST,
            "the server ended while the step ran, and the step with it",
        )
        .with_remedy("nothing: it is tried again; where it must not run twice, write `on_lost: fail`")
        .with_retry(Retry::Later);
        Self {
            state: RunState::Crashed,
            rows: None,
            output: Json::Null,
            fault: Some(Box::new(fault)),
        }
    }

    /// It took longer than it may.
    pub fn timed_out(timeout_us: i64) -> Self {
        let seconds = timeout_us as f64 / 1_000_000.0;
        let fault = Diagnostic::error(
            codes::TASK_TIMEOUT,
            format!("the step was ended after {seconds} s: that is its timeout"),
        )
        .with_remedy("make it faster, or raise `timeout`")
        .with_retry(Retry::Later);
        Self::failed(Box::new(fault))
    }

    /// A step that has no attempt.
    pub(crate) fn passed_over(state: RunState) -> Self {
        Self {
            state,
            rows: None,
            output: Json::Null,
            fault: None,
        }
    }
}

/// A walk that is to begin.
#[derive(Clone, Debug, PartialEq)]
pub struct Begins {
    /// Over which flow.
    pub flow: Arc<Flow>,
    /// What starts it.
    pub trigger: Trigger,
    /// Who waits for it.
    pub class: Class,
    /// The tick that it is for.
    pub scheduled_at: Option<Instant>,
    /// Its interval; all of time for a flow without any.
    pub interval: Interval,
    /// Its parameters.
    pub params: BTreeMap<String, Json>,
    /// The backfill that asked for it, with what was said of that.
    pub backfill: Option<(i64, Terms)>,
}

/// Told what happens, after it is recorded. Calls return at once.
pub trait Witness: Send + Sync {
    /// Something happened.
    fn saw(&self, what: &Happening);
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    /// Ticks of a schedule came.
    Ticked {
        /// Whose: the name of a flow's instance or of a node.
        owner: String,
        /// They, oldest first.
        ticks: Vec<Tick>,
    },
    /// A walk began.
    RunBegan {
        /// Its run.
        run: i64,
        /// The flow.
        flow: String,
        /// The tick that it is for.
        scheduled_at: Option<Instant>,
        /// Its interval.
        interval: Interval,
    },
    /// An attempt of a step began.
    StepBegan {
        /// The run.
        run: i64,
        /// The step.
        step: String,
        /// The attempt.
        attempt: i64,
    },
    /// An attempt of a step ended, or a step without one.
    StepEnded {
        /// The run.
        run: i64,
        /// The step.
        step: String,
        /// The attempt.
        attempt: Option<i64>,
        /// How.
        state: RunState,
        /// Why it failed.
        fault: Option<Fault>,
        /// When it is tried again.
        next_try_at: Option<Instant>,
    },
    /// A walk is not done by its deadline.
    Late {
        /// Its run.
        run: i64,
        /// The flow, as it was when the walk began.
        flow: Arc<Flow>,
        /// The tick that it is for.
        scheduled_at: Option<Instant>,
        /// When it began.
        started_at: Instant,
        /// Its interval.
        interval: Interval,
    },
    /// A walk ended.
    RunEnded {
        /// Its run.
        run: i64,
        /// The flow, as it was when the walk began.
        flow: Arc<Flow>,
        /// The tick that it was for.
        scheduled_at: Option<Instant>,
        /// When it began.
        started_at: Instant,
        /// Its interval.
        interval: Interval,
        /// How it ended.
        state: RunState,
        /// How the flow's run before it ended.
        before: Option<RunState>,
        /// Why steps failed, as far as this server saw it.
        faults: BTreeMap<String, Fault>,
    },
    /// The ledger could not be written; the service begins again from it after a pause.
    LedgerFailed {
        /// Why.
        fault: Fault,
    },
}
