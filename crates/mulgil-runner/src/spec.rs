//! What a supervisor is told about one attempt: self-contained and versioned.
//!
//! It crosses in memory (a file without a name), never through the disk: the environment and the values to
//! mask are secrets. What a later adoption needs is in `state.json` and holds none.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

/// The version of [`Order`] and of the records in an attempt's folder.
pub(crate) const VERSION: u32 = 1;

/// One attempt of an external task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// The attempt, as the ledger names it.
    pub attempt: String,
    /// The fencing epoch of its claim.
    pub epoch: i64,
    /// What is run.
    pub program: Program,
    /// The complete environment but for `MULGIL_EVENTS` and `MULGIL_TOKEN`, which the launcher adds.
    /// See [`crate::TaskInput::environment`].
    pub environment: BTreeMap<String, String>,
    /// The working directory.
    pub directory: PathBuf,
    /// What the task reads on its standard input. See [`crate::TaskInput::stdin`].
    pub stdin: String,
    /// After this long it is ended; never where absent.
    pub timeout: Option<Duration>,
    /// How long a task may tidy up between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// How much of its log is kept.
    pub log: LogLimits,
    /// Values that must not appear in log or events.
    pub secrets: Vec<String>,
    /// Bytes of memory that its tree may use, where the machine lets us limit it.
    pub memory_bytes: Option<u64>,
    /// Processes that its tree may have at once, where the machine lets us limit it.
    pub process_count: Option<u64>,
    /// It is ended where this is not renewed any more; never where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifeline: Option<crate::Lifeline>,
}

/// What is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Program {
    /// A program of the machine with its arguments. No shell looks at them.
    Command {
        /// The program and its arguments. A name without a slash is looked up in the task's `PATH`.
        argv: Vec<String>,
    },
    /// A Python script or function, run by our SDK.
    Python(crate::python::PythonStep),
}

/// How much of a log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLimits {
    /// Bytes from its beginning.
    pub head_bytes: u64,
    /// Bytes before its end.
    pub tail_bytes: u64,
}

impl Default for LogLimits {
    /// 100 MB: the first 50 and the last 50.
    fn default() -> Self {
        Self {
            head_bytes: 50_000_000,
            tail_bytes: 50_000_000,
        }
    }
}

/// What the launcher sends to a supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// [`VERSION`].
    pub(crate) version: u32,
    /// The attempt's folder.
    pub(crate) dir: PathBuf,
    /// A random word by which the processes of this attempt are known.
    pub(crate) token: String,
    /// The attempt.
    pub(crate) task: Task,
}

/// What is written for whoever adopts: how to find the tree when the supervisor is gone.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    /// [`VERSION`].
    pub(crate) version: u32,
    /// The attempt.
    pub(crate) attempt: String,
    /// Its epoch.
    pub(crate) epoch: i64,
    /// The random word of the attempt, which its processes carry in their environment.
    pub(crate) token: String,
    /// The boot of the machine: after another one nothing is left of it.
    pub(crate) boot: String,
    /// The supervisor, which leads the session of the tree.
    pub(crate) supervisor: u32,
    /// When the supervisor started, in ticks since boot: tells it from a later process of the same number.
    pub(crate) supervisor_started: u64,
    /// Control groups that hold the tree, or may.
    pub(crate) groups: Vec<PathBuf>,
    /// Bytes of the log's end that are kept.
    pub(crate) tail_bytes: u64,
    /// When it began, in microseconds.
    pub(crate) started_at: mulgil_core::interval::Instant,
}
