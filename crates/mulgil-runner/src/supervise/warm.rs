//! A warm Python: a process that has started and imported our SDK, and forks itself for each task.
//!
//! A fork costs a millisecond where a start costs twenty, and gives each task a process of its own: what
//! it leaves behind in memory, and its crash, hurt no other.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
};

use mulgil_core::{codes, diagnostic::Diagnostic, port::Fault};
use nix::{
    sys::{
        signal::Signal,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

use crate::{
    files, kin, process,
    python::{self, PythonStep},
    spec::Task,
};

/// Bytes of a worker's last words that are kept.
const MAX_WORDS_BYTES: u64 = 4096;

/// A warm Python.
pub(crate) struct Warm {
    channel: UnixStream,
    heard: Vec<u8>,
    pid: u32,
    words: File,
    /// Tasks that it has taken.
    taken_count: u32,
}

/// What a warm Python is asked to do.
#[derive(Serialize)]
struct Request<'a> {
    target: &'a str,
    args: &'a [String],
    environment: &'a BTreeMap<String, String>,
    directory: &'a Path,
}

/// What it says.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    Forked(u32),
    Ended {
        code: Option<i32>,
        signal: Option<i32>,
        peak_bytes: u64,
        user_us: u64,
        system_us: u64,
    },
}

/// What happened to a task that runs on it.
pub(crate) enum News {
    Forked(u32),
    Ended {
        code: Option<i32>,
        signal: Option<i32>,
        peak_bytes: u64,
        user_us: u64,
        system_us: u64,
    },
    /// The worker itself ended.
    Gone,
}

impl Warm {
    /// Starts one, with the environment of the step but for what belongs to one attempt.
    pub(crate) fn start(step: &PythonStep, task: &Task) -> Result<Self, Fault> {
        let environment = python::environment_of_worker(&task.environment);
        step.check(&environment, &task.directory)?;
        let failed = |error: io::Error| -> Fault {
            Box::new(Diagnostic::error(
                codes::WORKER_CRASHED,
                format!("no Python worker can be started: {error}"),
            ))
        };
        let (channel, theirs) = UnixStream::pair().map_err(failed)?;
        channel.set_nonblocking(true).map_err(failed)?;
        let words = File::from(process::in_memory(b"").map_err(failed)?);
        let child = process::start(process::Start {
            argv: &[
                step.interpreter.clone(),
                step.sdk.to_string_lossy().into_owned(),
                "--worker".to_owned(),
            ],
            environment: &environment,
            directory: &task.directory,
            stdin: OwnedFd::from(theirs).into(),
            stdout: words.try_clone().map_err(failed)?.into(),
            stderr: words.try_clone().map_err(failed)?.into(),
        })?;
        Ok(Self {
            channel,
            heard: Vec::new(),
            pid: child.id(),
            words,
            taken_count: 0,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it has ended while it had nothing to do.
    pub(crate) fn has_ended(&self) -> bool {
        let status = waitpid(Pid::from_raw(self.pid as i32), Some(WaitPidFlag::WNOHANG));
        status != Ok(WaitStatus::StillAlive)
    }

    /// Whether it ever worked.
    pub(crate) fn has_worked(&self) -> bool {
        self.taken_count > 0
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }

    /// Asks it to fork for a task that gets these files as its standard ones.
    pub(crate) fn fork(
        &mut self,
        step: &PythonStep,
        environment: &BTreeMap<String, String>,
        directory: &Path,
        standard: &[OwnedFd; 3],
    ) -> Result<(), Fault> {
        let request = Request {
            target: &step.target,
            args: &step.args,
            environment,
            directory,
        };
        let failed = |error: io::Error| -> Fault {
            Box::new(Diagnostic::error(
                codes::WORKER_CRASHED,
                format!("the Python worker takes no task: {error}"),
            ))
        };
        let request = serde_json::to_vec(&request).map_err(|error| failed(error.into()))?;
        let request = process::in_memory(&request).map_err(failed)?;
        let all = [
            standard[0].as_fd(),
            standard[1].as_fd(),
            standard[2].as_fd(),
            request.as_fd(),
        ];
        match files::send(self.channel.as_fd(), &all) {
            // It died meanwhile, and its last words say why: they are told as for one that dies later.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            sent => sent.map_err(failed),
        }
    }

    /// What it said since it was last asked.
    pub(crate) fn hear(&mut self) -> Vec<News> {
        let mut bytes = [0; 1024];
        let is_gone = loop {
            match self.channel.read(&mut bytes) {
                Ok(0) => break true,
                Ok(count) => self.heard.extend_from_slice(&bytes[..count]),
                Err(error) => break error.kind() != io::ErrorKind::WouldBlock,
            }
        };
        let whole = memchr::memrchr(b'\n', &self.heard).map_or(0, |at| at + 1);
        let lines: Vec<u8> = self.heard.drain(..whole).collect();
        let mut news: Vec<News> = lines.split(|byte| *byte == b'\n').filter_map(read).collect();
        self.taken_count += news.iter().filter(|news| matches!(news, News::Forked(_))).count() as u32;
        news.extend(is_gone.then_some(News::Gone));
        news
    }

    /// What it wrote to its own standard error before it ended.
    pub(crate) fn last_words(&mut self) -> String {
        let length = self.words.metadata().map_or(0, |meta| meta.len());
        let mut bytes = Vec::new();
        let _ = self.words.seek(SeekFrom::Start(length.saturating_sub(MAX_WORDS_BYTES)));
        let _ = self.words.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Warm {
    fn drop(&mut self) {
        // It is a child of ours that was not taken note of, so the number is still its own.
        if kin::children().contains(&self.pid) {
            kin::signal(self.pid, Signal::SIGKILL);
        }
    }
}

fn read(line: &[u8]) -> Option<News> {
    Some(match serde_json::from_slice(line).ok()? {
        Said::Forked(pid) => News::Forked(pid),
        Said::Ended {
            code,
            signal,
            peak_bytes,
            user_us,
            system_us,
        } => News::Ended {
            code,
            signal,
            peak_bytes,
            user_us,
            system_us,
        },
    })
}
