//! The exit record: how an attempt ended, and what is said about it.

use std::path::Path;

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    interval::Instant,
    port::Fault,
    run::RunState,
};
use serde::{Deserialize, Serialize};

use crate::{folder, protocol::TaskError, spec::VERSION};

/// How an attempt ended. It is durable before anybody is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exit {
    /// The version of the record.
    pub version: u32,
    /// The attempt.
    pub attempt: String,
    /// The epoch of its claim.
    pub epoch: i64,
    /// Why it ended.
    pub why: Why,
    /// The exit code, where there is one.
    pub code: Option<i32>,
    /// The signal that ended it, where one did.
    pub signal: Option<i32>,
    /// When it began.
    pub started_at: Instant,
    /// When its first process had ended.
    pub ended_at: Instant,
    /// The most memory that one of its processes held, in bytes, where it could be seen.
    pub peak_memory_bytes: Option<u64>,
    /// Processor time of its own, in microseconds.
    pub user_us: u64,
    /// Processor time of the kernel on its behalf, in microseconds.
    pub system_us: u64,
    /// Bytes of output that it wrote.
    pub output_bytes: u64,
    /// Bytes of output that the log leaves out.
    pub left_out_bytes: u64,
    /// Processes that were left when the first had ended, and were killed.
    pub killed_count: u32,
    /// The step's output: the last `result` that it gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<serde_json::Value>,
    /// What the task itself said about its failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TaskError>,
    /// What was wrong besides: events that could not be read, a log that could not be written.
    /// At most [`MAX_FAULTS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Diagnostic>,
}

/// Why an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// By itself, with a code or by a signal that we did not send.
    Exited,
    /// It took too long.
    Timeout,
    /// It was asked to stop.
    Cancelled,
    /// It was killed for memory, as its control group counted.
    OutOfMemory,
    /// Its program could not be started; `faults` says why.
    CouldNotStart,
    /// The warm worker that it ran on died.
    WorkerCrashed,
    /// Nobody renewed the right to run it.
    Abandoned,
    /// Its supervisor was killed. Written by whoever found that out, after killing what was left.
    Lost,
}

/// Faults that one exit record holds.
pub(crate) const MAX_FAULTS: usize = 16;

impl Exit {
    /// The state that the attempt has by it. Lost and crashed ones do not use up retries.
    pub fn state(&self) -> RunState {
        match self.why {
            Why::Exited if self.code == Some(0) => RunState::Success,
            Why::Exited | Why::Timeout | Why::OutOfMemory | Why::CouldNotStart => RunState::Failed,
            Why::Cancelled => RunState::Cancelled,
            Why::WorkerCrashed | Why::Abandoned | Why::Lost => RunState::Crashed,
        }
    }

    /// What to say about it; nothing for a success.
    pub fn fault(&self) -> Option<Diagnostic> {
        Some(match self.why {
            Why::Exited => match (self.code, self.signal) {
                (Some(0), _) => return None,
                (_, Some(signal)) => signalled(signal),
                (code, None) => self.failed(code.unwrap_or(-1)),
            },
            Why::Timeout => Diagnostic::error(codes::TASK_TIMEOUT, format!("the task was ended after {}: that is its timeout", self.lasted()))
                .with_remedy("find out what it waits for in its log, or raise `timeout`"),
            Why::Cancelled => Diagnostic::error(codes::TASK_CANCELLED, format!("the task was stopped after {}", self.lasted()))
                .with_remedy("nothing, if that was wanted; else run it again"),
            Why::OutOfMemory => Diagnostic::error(codes::TASK_OUT_OF_MEMORY, format!("the task was killed for memory{}", self.peak()))
                .with_remedy("let it need less, or raise its `memory`")
                .with_retry(Retry::AfterHumanFix),
            Why::CouldNotStart => self.faults.first().cloned().unwrap_or_else(|| {
                Diagnostic::error(codes::TASK_NOT_STARTED, "the task's program could not be started")
            }),
            Why::WorkerCrashed => Diagnostic::error(codes::WORKER_CRASHED, "the Python worker died while it ran this task")
                .with_remedy("nothing: it is tried again on another worker; if it repeats, write `warm: false` at the step")
                .with_retry(Retry::Later),
            Why::Abandoned => Diagnostic::error(codes::TASK_ABANDONED, "the server that started the task did not renew its right to run it, so the task was ended before another server may start it again")
                .with_remedy("nothing: it is tried again; look at whether the server was stopped or could not reach the ledger's database")
                .with_retry(Retry::Later),
            Why::Lost => Diagnostic::error(codes::TASK_LOST, "the process that supervised the task was killed, so nobody knows how it would have ended; what was left of it was killed")
                .with_remedy("nothing: it is tried again; if it repeats, look in the system's log for who kills processes")
                .with_retry(Retry::Later),
        })
    }

    fn failed(&self, code: i32) -> Diagnostic {
        match &self.error {
            Some(error) => error.diagnostic(code),
            None => Diagnostic::error(codes::TASK_FAILED, format!("the task ended with exit code {code}"))
                .with_remedy("its log says why; `mulgil logs` shows it")
                .with_retry(Retry::Later),
        }
    }

    fn lasted(&self) -> String {
        format!("{:.1} s", (self.ended_at.0 - self.started_at.0) as f64 / 1e6)
    }

    fn peak(&self) -> String {
        self.peak_memory_bytes
            .map_or_else(String::new, |bytes| format!(", at {} MB", bytes / 1_000_000))
    }
}

fn signalled(signal: i32) -> Diagnostic {
    let name = nix::sys::signal::Signal::try_from(signal).map_or("an unknown signal", nix::sys::signal::Signal::as_str);
    Diagnostic::error(
        codes::TASK_SIGNALLED,
        format!("the task was ended by signal {signal} ({name}), which Mulgil did not send"),
    )
    .with_remedy("its log may say why: a crash of the program, or somebody who killed it")
    .with_retry(Retry::Later)
}

/// The record of an attempt's folder; none where it has not ended.
///
/// # Errors
/// `EXIT_RECORD` where it cannot be read.
pub fn read(dir: &Path) -> Result<Option<Exit>, Fault> {
    let bytes = folder::read(dir, folder::EXIT).map_err(|error| folder::fault(dir, "cannot be read", &error))?;
    bytes.map(|bytes| parse(dir, &bytes)).transpose()
}

fn parse(dir: &Path, bytes: &[u8]) -> Result<Exit, Fault> {
    let damaged = |why: String| {
        let message = format!("the exit record in {} cannot be read: {why}", dir.display());
        Box::new(Diagnostic::error(codes::EXIT_RECORD, message).with_remedy(
            "use the version of Mulgil that wrote it; if it is damaged, remove it: the attempt counts as lost then",
        ))
    };
    let exit: Exit = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    match exit.version {
        VERSION => Ok(exit),
        other => Err(damaged(format!(
            "it has version {other}, and this Mulgil knows {VERSION}"
        ))),
    }
}
