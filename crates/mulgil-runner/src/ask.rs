//! Short questions to other programs: which version they are, how a folder stands. Bounded in time and in
//! bytes; whoever does not answer is killed.

use std::{collections::BTreeMap, io::Read as _, path::Path, process::Stdio, time::Duration};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    port::Fault,
};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use crate::process::{self, Start};

/// Bytes of an answer that are read.
const MAX_ANSWER: u64 = 1 << 20;

/// What a program answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Whether it ended with 0.
    pub is_success: bool,
    /// What it wrote to its standard output; what is no text is replaced.
    pub text: String,
}

/// Starts a program without input, and gives what it said when it has ended.
///
/// # Errors
/// A coded MG4 fault: it is not there, cannot be started, or did not end in time.
pub async fn ask(
    argv: &[&str],
    environment: &BTreeMap<String, String>,
    directory: &Path,
    within: Duration,
) -> Result<Said, Fault> {
    let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
    let mut child = process::start(Start {
        argv: &argv,
        environment,
        directory,
        stdin: Stdio::null(),
        stdout: Stdio::piped(),
        stderr: Stdio::null(),
    })?;
    let group = Pid::from_raw(child.id().cast_signed());
    let answered = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        if let Some(out) = child.stdout.take() {
            out.take(MAX_ANSWER).read_to_end(&mut bytes)?;
        }
        let status = child.wait()?;
        std::io::Result::Ok(Said {
            is_success: status.success(),
            text: String::from_utf8_lossy(&bytes).into_owned(),
        })
    });
    let why = match tokio::time::timeout(within, answered).await {
        Ok(Ok(Ok(said))) => return Ok(said),
        Ok(Ok(Err(error))) => error.to_string(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => {
            // It has a group of its own, and whoever reads its answer ends with it.
            let _ = killpg(group, Signal::SIGKILL);
            format!("it did not answer in {} s", within.as_secs())
        }
    };
    let name = argv.first().map_or("", String::as_str);
    Err(Box::new(
        Diagnostic::error(codes::TASK_NOT_STARTED, format!("`{name}` cannot be asked: {why}"))
            .with_remedy("start it by hand, and look at what it says")
            .with_retry(Retry::Later),
    ))
}
