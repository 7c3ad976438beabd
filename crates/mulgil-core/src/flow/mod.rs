//! A flow as it is declared: a trigger and an order of steps. Pure values: nothing here reads a file,
//! renders a template or knows what ran. It owns no grid of the models that it selects.

mod deadline;
mod due;
pub mod name;
mod params;
mod step;
mod view;
mod work;

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

pub use self::{
    deadline::{After, By, Deadline},
    due::{Class, DueRun},
    step::{Entry, OnLost, Program, Retry, RunIf, Step, StepKind, Template},
    work::{ModelsSpec, ProcessSpec, PythonSpec, StepContext, StepOutcome, StepWork},
};
use crate::{
    diagnostic::Place,
    grid::{Grid, Zone},
    name::NodeName,
    project::{Fingerprint, Missed},
    schedule::Schedule,
};

/// One file of `flows/`, resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Its name: the file's, or what the file says; unique in the project.
    pub name: String,
    /// What it is, in its owner's words.
    pub description: Option<String>,
    /// Whom to ask.
    pub owner: Option<String>,
    /// Labels.
    #[serde(default)]
    pub tags: Vec<String>,
    /// When it starts by itself; without one it is started by hand.
    pub schedule: Option<Schedule>,
    /// What is done with missed ticks.
    pub missed: Missed,
    /// How the time of its steps is cut; whole for a flow without an interval.
    pub grid: Grid,
    /// How many intervals before the newest are run again at a tick.
    pub lookback: u32,
    /// Whether the open interval is run too.
    pub partial: bool,
    /// What a start may be given, by name.
    #[serde(default)]
    pub params: Vec<Param>,
    /// How many of its runs may be active at once; at least 1.
    pub max_active: u32,
    /// What becomes of a run that finds them all taken.
    pub on_full: OnFull,
    /// How long a run may take, in microseconds.
    pub timeout_us: Option<i64>,
    /// By when a run has to be done.
    pub deadline: Option<Deadline>,
    /// Who is told.
    #[serde(default)]
    pub notify: Notify,
    /// Its steps: each after all that it needs, those of `finally` last; by name where that leaves a choice.
    pub steps: Vec<Step>,
    /// The version of the definition: the hash of all that it says, scripts included. Order of keys
    /// and of steps, comments and layout of the file do not count.
    pub fingerprint: Fingerprint,
    /// Its file, from the project folder.
    pub file: PathBuf,
    /// Where it begins.
    pub place: Place,
}

impl Flow {
    /// A flow that says nothing but its name: started by hand, without intervals and without steps.
    pub fn new(name: impl Into<String>, file: impl Into<PathBuf>) -> Self {
        let file = file.into();
        Self {
            name: name.into(),
            description: None,
            owner: None,
            tags: Vec::new(),
            schedule: None,
            missed: Missed::Latest,
            grid: Grid::whole(Zone::UTC),
            lookback: 0,
            partial: false,
            params: Vec::new(),
            max_active: 1,
            on_full: OnFull::default(),
            timeout_us: None,
            deadline: None,
            notify: Notify::default(),
            steps: Vec::new(),
            fingerprint: Fingerprint::default(),
            place: Place::file(&file),
            file,
        }
    }

    /// The step of that name.
    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// The step as a node of the project, which has facts: `flow.step`.
    pub fn node_of(&self, step: &Step) -> NodeName {
        NodeName::new(name::told_step(&self.name, &step.name))
    }

    /// The models that its steps select, step by step.
    pub fn selected(&self) -> impl Iterator<Item = &NodeName> {
        self.steps.iter().flat_map(|step| match &step.kind {
            StepKind::Models { selected, .. } => selected.as_slice(),
            StepKind::Sql { .. } | StepKind::Command { .. } | StepKind::Python { .. } => &[],
        })
    }

    /// The steps that one waits for directly: its needs; for one of `finally` all that are not.
    pub fn waits_for<'a>(&'a self, step: &'a Step) -> impl Iterator<Item = &'a Step> {
        self.steps.iter().filter(move |other| {
            if step.is_finally {
                !other.is_finally
            } else {
                step.needs.contains(&other.name)
            }
        })
    }
}

/// A value that a start of the flow may be given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Param {
    /// Its name, as templates say it: `params.country`.
    pub name: String,
    /// Of what type.
    #[serde(rename = "type")]
    pub kind: ParamType,
    /// What it is where none is given; none means that it has to be given, or is null.
    pub default: Option<Json>,
    /// Whether a start without it is refused.
    pub required: bool,
    /// The only values that it may have; any where empty.
    #[serde(default)]
    pub allowed: Vec<Json>,
    /// What it is.
    pub description: Option<String>,
    /// Where it is declared.
    pub place: Place,
}

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParamType {
    /// Text.
    String,
    /// A whole number of 64 bits.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A date, kept as the text `2026-01-31`.
    Date,
    /// A moment, kept as a text in RFC 3339 with its offset.
    Timestamp,
    /// A list.
    List,
    /// A mapping.
    Object,
}

/// What becomes of a run when as many as may be are active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFull {
    /// It waits.
    #[default]
    Queue,
    /// It is skipped.
    Skip,
    /// The oldest active one is cancelled for it.
    CancelOld,
    /// It fails.
    Fail,
}

/// What happens to a run that is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Late {
    /// Those of `on_failure` are told, and the run goes on.
    #[default]
    Notify,
    /// They are told, and the run is cancelled.
    Cancel,
}

/// Who is told how a run ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notify {
    /// When it failed or is late.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_failure: Vec<Channel>,
    /// When it succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_success: Vec<Channel>,
    /// When it succeeded and the one before had failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_recovery: Vec<Channel>,
}

/// A way to tell somebody; declared under `notifications:` in `mulgil.yml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "name")]
pub enum Channel {
    /// `webhook:NAME`: a key of [`crate::project::Project::webhooks`].
    Webhook(String),
}

/// A URL that is called with one JSON object. Its parts may be secrets: it is neither printed nor written
/// down.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where to.
    pub url: String,
    /// Where it is declared.
    pub place: Place,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
