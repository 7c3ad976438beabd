//! One step of a flow: what it does, after what, and how it is tried again.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{
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
    /// The longest that the pause after the `failures`-th failure (from 1) may be, in microseconds.
    pub fn longest_pause_us(&self, failures: u32) -> i64 {
        let times = i64::from(self.factor).saturating_pow(failures.saturating_sub(1));
        self.delay_us.saturating_mul(times).clamp(0, self.cap_us.max(0))
    }

    /// The pause after the `failures`-th failure (from 1), in microseconds: anything up to the longest,
    /// so that many that failed together do not come back together. The same seed gives the same pause.
    pub fn pause_us(&self, failures: u32, seed: u64) -> i64 {
        let longest = self.longest_pause_us(failures).unsigned_abs();
        let drawn = mixed(seed ^ u64::from(failures).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let scaled = (u128::from(drawn) * (u128::from(longest) + 1)) >> 64;
        i64::try_from(scaled).unwrap_or(i64::MAX)
    }
}

/// Bits that look random and follow from a number (the finisher of SplitMix64).
fn mixed(seed: u64) -> u64 {
    let mut bits = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
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
            .map(|failures| retry.longest_pause_us(failures) / MINUTE)
            .collect();
        assert_eq!(longest, [5, 10, 20, 40, 60, 60]);
        assert_eq!(retry.longest_pause_us(u32::MAX), 60 * MINUTE);
        let steady = Retry { factor: 1, ..retry };
        assert_eq!(steady.longest_pause_us(9), 5 * MINUTE);
    }

    #[test]
    fn a_pause_is_drawn_from_all_that_it_may_be() {
        let retry = Retry {
            delay_us: 10 * MINUTE,
            ..Retry::default()
        };
        let pauses: Vec<i64> = (0..1_000).map(|seed| retry.pause_us(1, seed)).collect();
        assert!(pauses.iter().all(|pause| (0..=10 * MINUTE).contains(pause)));
        let below = pauses.iter().filter(|pause| **pause < 5 * MINUTE).count();
        assert!((400..600).contains(&below), "{below} of 1000 lie in the first half");
        assert_eq!(retry.pause_us(2, 7), retry.pause_us(2, 7));
        assert_ne!(retry.pause_us(2, 7), retry.pause_us(2, 8));
        let none = Retry { delay_us: 0, ..retry };
        assert_eq!(none.pause_us(3, 1), 0);
    }
}
