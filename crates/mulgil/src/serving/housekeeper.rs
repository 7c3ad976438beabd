//! Removes what is not kept for ever: logs, and runs of flows with their ticks, that are older than the project keeps
//! them.

use std::{sync::Arc, time::Duration};

use mulgil_core::{codes, diagnostic::Diagnostic, interval::Instant, port::Fault};
use mulgil_runner::forget_attempts;
use mulgil_store::Forgotten;
use tokio::sync::watch;

use super::{Parts, warn};
use crate::{say, wire};

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_hours(1);

/// Looks now and then until it is told to end.
pub(super) async fn keep_house(parts: Arc<Parts>, mut ending: watch::Receiver<bool>) {
    loop {
        let now = wire::now();
        match tidy_logs(&parts, ago(now, parts.opened.keep_logs_us())).await {
            Ok(0) => {}
            Ok(count) => say::talk(&format!("removed the logs of {}", say::count(count, "old attempt"))),
            Err(fault) => warn(&fault),
        }
        match tidy_runs(&parts, ago(now, parts.opened.keep_runs_us()), now).await {
            Ok(Forgotten { runs: 0, ticks: 0 }) => {}
            Ok(Forgotten { runs, ticks }) => say::talk(&format!(
                "forgot {} and {}",
                say::count(runs, "old run"),
                say::count(ticks, "old tick")
            )),
            Err(fault) => warn(&fault),
        }
        tokio::select! {
            // Whoever could tell is gone where this fails.
            _ = ending.wait_for(|end| *end) => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

fn ago(now: Instant, kept_us: i64) -> Instant {
    Instant(now.0.saturating_sub(kept_us))
}

/// The folders of attempts go by their own age: some of a run that is forgotten may stay until then.
async fn tidy_logs(parts: &Parts, before: Instant) -> Result<u64, Fault> {
    let lines = parts.runner.store.forget_logs(before).await?;
    let dir = parts.opened.attempts_dir();
    let told = dir.display().to_string();
    let folders = tokio::task::spawn_blocking(move || forget_attempts(&dir, before)).await;
    let failed = |error: &dyn std::fmt::Display| {
        Box::new(
            Diagnostic::error(
                codes::DISK_FAILED,
                format!("old logs in {told} cannot be removed: {error}"),
            )
            .with_remedy("look at who owns them; it is tried again in an hour"),
        )
    };
    let folders = folders
        .map_err(|error| failed(&error))?
        .map_err(|error| failed(&error))?;
    Ok(lines.max(folders))
}

async fn tidy_runs(parts: &Parts, before: Instant, now: Instant) -> Result<Forgotten, Fault> {
    let with_intervals = parts.flows.values().filter(|flow| flow.grid.is_cut());
    let with_intervals = with_intervals.map(|flow| flow.name.clone()).collect();
    parts.runner.store.forget_runs(before, with_intervals, now).await
}
