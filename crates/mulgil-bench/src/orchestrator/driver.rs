//! A peer, driven by its script in `peers/`: what it tells is kept, and nothing of it is left behind.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{ChildStdout, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::found::Found;
use crate::{chaos::scheduler::processes, peers::Peers, place};

/// No peer takes longer; one that would is ended, and what it told by then counts.
const PATIENCE: Duration = Duration::from_mins(12);

/// How many crons a peer is given: more than it can start in a minute would only measure the queue.
fn crons(peer: Peers) -> usize {
    match peer {
        Peers::Airflow => 20,
        _ => 5,
    }
}

/// Has a peer do the parts that it can; what fails is a note.
pub(crate) fn run(peer: Peers, parts: &[&str], found: &mut Found) {
    let folder = match place::empty(&format!("orchestrator-{}", peer.name())) {
        Ok(folder) => folder,
        Err(error) => return found.note(format!("{}: {error:#}", peer.title())),
    };
    if let Err(error) = drive(peer, parts, &folder, found) {
        found.note(format!("{}: {error:#}", peer.title()));
    }
    for process in processes::sweep(&folder) {
        found.note(format!("{}: `{}` would not end", peer.title(), process.words));
    }
    if let Err(error) = place::remove(&folder) {
        found.note(format!("{}: {error:#}", peer.title()));
    }
}

fn drive(peer: Peers, parts: &[&str], folder: &Path, found: &mut Found) -> Result<()> {
    let log = folder.with_extension("log");
    let mut driver = peer
        .script(&format!("{}_run.py", peer.name()))?
        .arg(folder)
        .arg(crons(peer).to_string())
        .args(parts)
        .current_dir(folder)
        // What it leaves among temporary files goes with the folder.
        .env("TMPDIR", folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(File::create(&log)?)
        .process_group(0)
        .spawn()?;
    // Held open to the end: where this program is gone before that, the driver ends all that it started.
    let _held = driver.stdin.take();
    let lines = lines(driver.stdout.take().context("stdout is piped")?);
    let end = Instant::now() + PATIENCE;
    loop {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => keep(peer, &line, found),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                // Its servers are swept by their folder.
                driver.kill()?;
                driver.wait()?;
                bail!("it was ended after {} minutes", PATIENCE.as_secs() / 60);
            }
        }
    }
    let status = driver.wait()?;
    if !status.success() {
        let said = fs::read_to_string(&log).unwrap_or_default();
        bail!("{status}: {}", said.trim().lines().next_back().unwrap_or_default());
    }
    Ok(())
}

/// Lines as they come; whoever holds the other end of the pipe may outlive the driver.
fn lines(stdout: ChildStdout) -> mpsc::Receiver<String> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
    });
    told
}

fn keep(peer: Peers, line: &str, found: &mut Found) {
    // What a library prints is no line of ours.
    let Ok(told) = serde_json::from_str::<Value>(line) else {
        return;
    };
    if let (Some(figure), Some(value)) = (told["figure"].as_str(), told["value"].as_f64()) {
        found.tell(peer.name(), figure, value);
    }
    if let Some(note) = told["note"].as_str() {
        found.note(format!("{}: {note}", peer.title()));
    }
}
