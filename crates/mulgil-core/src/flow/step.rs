//! One step of a flow: what it does, after what, and how it is tried again.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{
    backoff::BackOff,
    diagnostic::Place,
    name::NodeName,
    project::{Fingerprint, Upstream},
};

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its name, unique in the flow.
    pub name: String,
    /// What it is, in its owner's words.
    pub description: Option<String>,
    /// What it does.
    pub kind: StepKind,
    /// The steps that are terminal before it is decided; by name, each once. Empty for one of `finally`,
    /// which waits for all that are not.
    #[serde(default)]
    pub needs: Vec<String>,
    /// A template that gives true or false: whether it runs, asked once `run_if` says that it would.
    pub when: Option<Template>,
    /// How its needs must have ended.
    pub run_if: RunIf,
    /// How it is tried again.
    pub retry: Retry,
    /// How long an attempt may take, in microseconds.
    pub timeout_us: Option<i64>,
    /// How long all attempts and the pauses between may take together, in microseconds.
    pub total_timeout_us: Option<i64>,
    /// Whether its failure leaves the run a success.
    pub allow_failure: bool,
    /// Whether it runs after all others, however they ended.
    pub is_finally: bool,
    /// The pool whose slots it takes, beside the flow's own.
    pub pool: Option<String>,
    /// Who goes first where slots are few: the larger. 0 unless set.
    pub priority: i32,
    /// What becomes of it when its worker is lost.
    pub on_lost: OnLost,
    /// Values of its own, which stand before the flow's parameters of the same name. Texts in them are
    /// templates; one that is a single expression gives that expression's value.
    #[serde(default)]
    pub params: BTreeMap<String, Json>,
    /// Environment variables of its process.
    #[serde(default)]
    pub env: BTreeMap<String, Template>,
    /// What its SQL names by `ref` and `source`: for people, nothing waits for it.
    #[serde(default)]
    pub reads: Vec<Upstream>,
    /// Where it is declared.
    pub place: Place,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum StepKind {
    /// Runs statements in the warehouse.
    Sql {
        /// Them.
        script: Template,
        /// The hash of the text without its comments and layout.
        content: Fingerprint,
    },
    /// Fills what is due of the models that selectors name, then runs their tests.
    Models {
        /// As on the command line.
        select: Vec<String>,
        /// What is left out.
        #[serde(default)]
        exclude: Vec<String>,
        /// Whether all of it is filled, due or not.
        #[serde(default)]
        full: bool,
        /// What the selectors name today; no part of the definition.
        #[serde(default)]
        selected: Vec<NodeName>,
    },
    /// Starts a program.
    Command {
        /// Which.
        program: Program,
        /// The folder it works in, from the project folder; that folder itself where absent.
        cwd: Option<Template>,
    },
    /// Runs Python.
    Python {
        /// What of it.
        entry: Entry,
        /// The interpreter: a path or a name; chosen by the program where absent.
        interpreter: Option<String>,
        /// Words behind the script's name; empty for a function.
        #[serde(default)]
        args: Vec<Template>,
        /// The folder it works in, from the project folder; that folder itself where absent.
        cwd: Option<Template>,
        /// Whether a process that is kept may do it.
        warm: bool,
        /// The hash of the file's bytes; none for a module that does not lie in the project.
        content: Option<Fingerprint>,
    },
}

impl Step {
    /// A step that says nothing but what it does.
    pub fn new(name: impl Into<String>, kind: StepKind, place: Place) -> Self {
        Self {
            name: name.into(),
            description: None,
            kind,
            needs: Vec::new(),
            when: None,
            run_if: RunIf::default(),
            retry: Retry::default(),
            timeout_us: None,
            total_timeout_us: None,
            allow_failure: false,
            is_finally: false,
            pool: None,
            priority: 0,
            on_lost: OnLost::default(),
            params: BTreeMap::new(),
            env: BTreeMap::new(),
            reads: Vec::new(),
            place,
        }
    }
}

impl StepKind {
    /// The key that says it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Sql { .. } => "sql",
            Self::Models { .. } => "models",
            Self::Command { .. } => "command",
            Self::Python { .. } => "python",
        }
    }
}

/// Text that is rendered for a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// As it is written.
    pub text: String,
    /// Where its first letter stands: in the flow's file, or in a file of its own.
    pub place: Place,
}

/// A program and its words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// A program and its words, each a template; no shell reads them.
    Words(Vec<Template>),
    /// A text for `sh -c`.
    Shell(Template),
}

/// What of Python a step runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// A file, from the project folder.
    Script(PathBuf),
    /// A function of a module: `tasks.load:main`.
    Function {
        /// The module, with dots.
        module: String,
        /// The function.
        function: String,
    },
}

/// How the steps that one waits for must have ended; decided when all are terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunIf {
    /// None failed, and at least one was not skipped; a failure that is allowed is none.
    #[default]
    Success,
    /// However they ended.
    Always,
    /// At least one failed.
    Failed,
    /// At least one succeeded.
    AnySuccess,
}

/// What becomes of a step whose worker is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLost {
    /// It is tried again, beside its own retries.
    #[default]
    Retry,
    /// It has failed: it runs at most once.
    Fail,
}

/// How a step is tried again after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// How many times after the first attempt.
    pub max: u32,
    /// The longest pause before the first of them, in microseconds.
    pub delay_us: i64,
    /// What no pause is longer than, in microseconds.
    pub cap_us: i64,
    /// By how much the pause grows each time; 1 keeps it.
    pub factor: u32,
}

/// The longest pause that nobody asked for otherwise: an hour.
const USUAL_CAP_US: i64 = 3_600_000_000;
/// The first pause that nobody asked for otherwise: ten seconds.
const USUAL_DELAY_US: i64 = 10_000_000;

impl Default for Retry {
    fn default() -> Self {
        Self {
            max: 0,
            delay_us: USUAL_DELAY_US,
            cap_us: USUAL_CAP_US,
            factor: 2,
        }
    }
}

impl Retry {
    /// Its pauses.
    pub fn back_off(&self) -> BackOff {
        BackOff {
            base_us: self.delay_us,
            cap_us: self.cap_us,
            factor: self.factor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000;

    #[test]
    fn pauses_grow_up_to_the_cap() {
        let retry = Retry {
            max: 7,
            delay_us: 5 * MINUTE,
            cap_us: 60 * MINUTE,
            factor: 2,
        };
        let longest: Vec<i64> = (1..=6)
            .map(|failures| retry.back_off().longest_us(failures) / MINUTE)
            .collect();
        assert_eq!(longest, [5, 10, 20, 40, 60, 60]);
        assert_eq!(retry.back_off().longest_us(u32::MAX), 60 * MINUTE);
        let steady = Retry { factor: 1, ..retry };
        assert_eq!(steady.back_off().longest_us(9), 5 * MINUTE);
    }

    #[test]
    fn a_pause_is_drawn_from_all_that_it_may_be() {
        let retry = Retry {
            delay_us: 10 * MINUTE,
            ..Retry::default()
        };
        let pause = |seed: u64| {
            retry
                .back_off()
                .pause_us(1, Fingerprint::of([seed.to_le_bytes().as_slice()]))
        };
        let pauses: Vec<i64> = (0..1_000).map(pause).collect();
        assert!(pauses.iter().all(|pause| (0..=10 * MINUTE).contains(pause)));
        let below = pauses.iter().filter(|pause| **pause < 5 * MINUTE).count();
        assert!((400..600).contains(&below), "{below} of 1000 lie in the first half");
    }
}
