//! A step for a run: what rendering is told, and the work that comes of it, self-contained.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::step::Entry;
use crate::{
    interval::{Instant, Interval},
    project::Fingerprint,
    run::RunState,
    task::ScriptSpec,
};

/// What the templates of a step are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepContext {
    /// The run.
    pub run_id: String,
    /// When the run was due; none for one that somebody started.
    pub scheduled_at: Option<Instant>,
    /// When the run started.
    pub started_at: Instant,
    /// The interval, where the flow has them.
    pub interval: Option<Interval>,
    /// The parameters, as [`super::Flow::params`] gave them.
    pub params: BTreeMap<String, Json>,
    /// How earlier steps ended, by name.
    pub steps: BTreeMap<String, StepOutcome>,
    /// Which try it is, from 1.
    pub attempt: u32,
    /// What is the same for every try of this step in this run and interval, and for nothing else.
    pub idempotency_id: String,
}

impl StepContext {
    /// What is the same for every try of a step in a run and an interval, and for nothing else.
    pub fn idempotency_id(flow: &str, step: &str, run: i64, interval: Interval) -> String {
        Fingerprint::of([
            flow.as_bytes(),
            step.as_bytes(),
            run.to_le_bytes().as_slice(),
            interval.start.0.to_le_bytes().as_slice(),
            interval.end.0.to_le_bytes().as_slice(),
        ])
        .to_string()
    }
}

/// How a step ended, as later ones see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepOutcome {
    /// How: a terminal state.
    pub state: RunState,
    /// Rows that it wrote, where it counts them.
    pub rows: Option<u64>,
    /// What it gave as its result; null where it gave none.
    #[serde(default)]
    pub output: Json,
}

/// What one attempt of a step does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum StepWork {
    /// Statements for the engine; its claim is none.
    Script(ScriptSpec),
    /// Models to fill.
    Models(ModelsSpec),
    /// A program to start.
    Process(ProcessSpec),
    /// Python to run.
    Python(PythonSpec),
}

/// Models to fill: `run SELECT --exclude EXCLUDE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelsSpec {
    /// As on the command line, rendered.
    pub select: Vec<String>,
    /// What is left out, rendered.
    pub exclude: Vec<String>,
    /// Whether all of it is filled, due or not.
    pub full: bool,
    /// The interval of the run; models are narrowed to it by who runs them, or are not.
    pub interval: Option<Interval>,
}

/// A program to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// The program and its words.
    pub argv: Vec<String>,
    /// Variables that are set beside those that the process inherits.
    pub env: BTreeMap<String, String>,
    /// The folder it works in, from the project folder.
    pub cwd: PathBuf,
    /// The one object that it is given on its standard input.
    pub input: Json,
}

/// Python to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PythonSpec {
    /// What of it.
    pub entry: Entry,
    /// The interpreter; chosen by who runs it where absent.
    pub interpreter: Option<String>,
    /// Words behind the script's name.
    pub args: Vec<String>,
    /// Whether a process that is kept may do it.
    pub warm: bool,
    /// Variables that are set beside those that the process inherits.
    pub env: BTreeMap<String, String>,
    /// The folder it works in, from the project folder.
    pub cwd: PathBuf,
    /// The one object that it is given.
    pub input: Json,
}
