//! Runs, task runs, attempts: their states and what is recorded of them.

use serde::{Deserialize, Serialize};

use crate::{
    diagnostic::Diagnostic,
    interval::{Instant, Interval},
    name::Instance,
};

/// The state of a run, a task run or an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// In the plan.
    Planned,
    /// Ready, waiting for a slot.
    Queued,
    /// Being done.
    Running,
    /// Waiting for something else than a slot.
    Waiting,
    /// Done.
    Success,
    /// The work itself failed.
    Failed,
    /// What it ran on failed: a lost process, a killed machine.
    Crashed,
    /// A person ended it.
    Cancelled,
    /// Not wanted this time.
    Skipped,
    /// Something before it failed.
    UpstreamFailed,
}

impl RunState {
    /// As it is stored and printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Crashed => "crashed",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
            Self::UpstreamFailed => "upstream_failed",
        }
    }

    /// Reads what [`Self::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Planned,
            Self::Queued,
            Self::Running,
            Self::Waiting,
            Self::Success,
            Self::Failed,
            Self::Crashed,
            Self::Cancelled,
            Self::Skipped,
            Self::UpstreamFailed,
        ]
        .into_iter()
        .find(|state| state.as_str() == text)
    }

    /// Whether it is over.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Planned | Self::Queued | Self::Running | Self::Waiting => false,
            Self::Success | Self::Failed | Self::Crashed | Self::Cancelled | Self::Skipped | Self::UpstreamFailed => {
                true
            }
        }
    }
}

/// What started a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// `mulgil run`.
    Manual,
    /// `mulgil backfill`.
    Backfill,
    /// A schedule ticked.
    Schedule,
}

/// One walk over the project.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its number, growing.
    pub id: i64,
    /// What started it.
    pub trigger: Trigger,
    /// What was selected, as typed; empty for all.
    pub selector: String,
    /// How it stands.
    pub state: RunState,
    /// When it began.
    pub started_at: Instant,
    /// When it ended.
    pub ended_at: Option<Instant>,
}

/// One batch of one node: one unbroken range, one claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskRun {
    /// Its number, growing.
    pub id: i64,
    /// Of which run.
    pub run: i64,
    /// What is filled, or tested.
    pub instance: Instance,
    /// `fill` or `test`.
    pub kind: TaskKind,
    /// Which range.
    pub range: Interval,
    /// Why, as `plan` says it: `{kind, …}`.
    pub reason: serde_json::Value,
    /// How it stands.
    pub state: RunState,
    /// Its tries, oldest first.
    pub attempts: Vec<Attempt>,
}

/// What a task run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// Fills a range.
    Fill,
    /// Runs data tests.
    Test,
    /// Does a step of a flow.
    Step,
}

/// One try.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its number, growing over the whole ledger.
    pub id: i64,
    /// How it stands.
    pub state: RunState,
    /// When it began.
    pub started_at: Instant,
    /// When it ended.
    pub ended_at: Option<Instant>,
    /// Rows written.
    pub rows: Option<u64>,
    /// The version that it committed.
    pub version: Option<i64>,
    /// Why it failed.
    pub fault: Option<Diagnostic>,
}
