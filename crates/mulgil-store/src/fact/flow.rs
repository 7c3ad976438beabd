//! The facts of flows: ticks, walks, and their steps.

use std::collections::BTreeMap;

use mulgil_core::{
    diagnostic::Diagnostic,
    interval::{Instant, Interval},
    name::Instance,
    project::Fingerprint,
    run::{RunState, Trigger},
    state::Failing,
    tick::Tick,
    walk::StepProgress,
};
use serde::{Deserialize, Serialize};

/// Ticks of a schedule have come, and what becomes of each is decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ticked {
    /// Whose schedule: the name of a flow's instance or of a node.
    pub owner: String,
    /// The schedule as it is written, with its zone; an edited one is another.
    pub schedule: String,
    /// The ticks, oldest first.
    pub ticks: Vec<Tick>,
}

impl Ticked {
    /// The first and the last moment of its ticks; nothing where it has none.
    pub(crate) fn span(&self) -> Option<(Instant, Instant)> {
        let first = self.ticks.iter().map(|tick| tick.scheduled_at).min()?;
        let last = self.ticks.iter().map(|tick| tick.scheduled_at).max()?;
        Some((first, last))
    }
}

/// A walk over a flow began. The number of this fact is its place in line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowBegan {
    /// Its run.
    pub run: i64,
    /// The flow.
    pub flow: String,
    /// What started it.
    pub trigger: Trigger,
    /// The tick that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_at: Option<Instant>,
    /// The interval that it is for; all of time for a flow without any.
    pub interval: Interval,
    /// The definition that it goes by to its end.
    pub version: Fingerprint,
    /// That definition, where the ledger did not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<serde_json::Value>,
    /// Its parameters.
    pub params: BTreeMap<String, serde_json::Value>,
    /// The backfill that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backfill: Option<i64>,
}

/// A definition that walks go by, recorded anew because the walk that brought it is forgotten.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowDefined {
    /// Its fingerprint, by which the walks name it.
    pub version: Fingerprint,
    /// It.
    pub definition: serde_json::Value,
}

/// Attempts of steps of one walk began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepsBegan {
    /// The run.
    pub run: i64,
    /// The flow.
    pub flow: String,
    /// The interval of the walk.
    pub interval: Interval,
    /// Which.
    pub steps: Vec<StepBegan>,
}

/// An attempt of a step began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepBegan {
    /// The step.
    pub step: String,
    /// Its task run.
    pub task_run: i64,
    /// The attempt.
    pub attempt: i64,
    /// How far the step is with it.
    pub progress: StepProgress,
}

/// Attempts of steps of one walk ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepsEnded {
    /// The run.
    pub run: i64,
    /// The flow.
    pub flow: String,
    /// The interval of the walk.
    pub interval: Interval,
    /// Which.
    pub steps: Vec<StepEnded>,
}

/// An attempt of a step ended, or a step ended without one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepEnded {
    /// The step.
    pub step: String,
    /// The attempt; none for a step that is passed over, which has a task run of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<i64>,
    /// The task run of a step that is passed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_run: Option<i64>,
    /// How the attempt ended, or the step.
    pub state: RunState,
    /// Rows that it told of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Diagnostic>,
    /// What it gave.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub output: serde_json::Value,
    /// How far the step is.
    pub progress: StepProgress,
}

/// A person had an ended walk begun again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowReopened {
    /// Its run.
    pub run: i64,
    /// The flow.
    pub flow: String,
    /// Who.
    pub by: String,
    /// The steps that wait again, and how each stands; what they gave is forgotten.
    pub steps: Vec<StepWaits>,
}

/// A step that waits again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepWaits {
    /// The step.
    pub step: String,
    /// How it stands.
    pub progress: StepProgress,
}

/// A walk over a flow ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowEnded {
    /// Its run.
    pub run: i64,
    /// The flow's instance.
    pub instance: Instance,
    /// The interval that it was for.
    pub interval: Interval,
    /// How it ended.
    pub state: RunState,
    /// What of the interval is known since: filled by a success, failing otherwise. Nothing where the
    /// flow has no intervals.
    pub leaves: Leaves,
}

/// What a walk leaves of its interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Leaves {
    /// Nothing is kept of it.
    Nothing,
    /// It is filled.
    Filled {
        /// When the walk began: a tick after it was not made up for.
        made_at: Instant,
        /// The number of the fact by which the walk began: what was asked for before it is done.
        claim_seq: i64,
    },
    /// It failed.
    Failing(Failing),
    /// Somebody, or its time, ended the walk: what was asked for before it began is not asked for any more, and
    /// what the clock wants waits as after a failure.
    Cancelled {
        /// The number of the fact by which the walk began.
        claim_seq: i64,
        /// Until when it waits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failing: Option<Failing>,
    },
}
