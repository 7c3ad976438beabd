//! `mulgil logs`: what a run's attempts said.

use std::{collections::BTreeMap, time::Duration};

use mulgil_core::{codes, diagnostic::Diagnostic, interval::Instant, run::TaskRun};
use mulgil_runner::read_log;
use mulgil_store::Store;

use crate::{
    cli::{self, Global},
    command::{Faults, Outcome, runs},
    say,
    wire::{self, Opened},
};

/// How often what goes on is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(300);

pub(crate) async fn logs(global: &Global, flags: &cli::Logs) -> Outcome {
    let opened = wire::open(global)?;
    let store = opened.ledger_to_read().await?;
    let (mut run, mut tasks) = runs::find(store.as_ref(), flags.run).await?;
    let Some(store) = store else { return Ok(0) };
    let is_there = |attempt| {
        tasks
            .iter()
            .any(|task| task.attempts.iter().any(|one| one.id == attempt))
    };
    if let Some(attempt) = flags.attempt.filter(|attempt| !flags.follow && !is_there(*attempt)) {
        return Err(
            Diagnostic::error(codes::NOT_FOUND, format!("run {} has no attempt {attempt}", run.id))
                .with_remedy(format!("`mulgil runs show {}` lists its attempts", run.id))
                .into(),
        );
    }
    let mut reader = Reader {
        opened: &opened,
        store: &store,
        only: flags.attempt,
        told: BTreeMap::new(),
    };
    let mut interrupt = Box::pin(wire::interrupt());
    loop {
        // What was said before the end is there when the end is.
        let is_over = run.state.is_terminal();
        reader.tell(&tasks).await?;
        if is_over || !flags.follow {
            return Ok(0);
        }
        tokio::select! {
            () = &mut interrupt => return Ok(wire::INTERRUPTED),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        (run, tasks) = runs::find(Some(&store), Some(run.id)).await?;
    }
}

/// Prints what was not printed yet.
struct Reader<'a> {
    opened: &'a Opened,
    store: &'a Store,
    only: Option<i64>,
    /// How far each attempt was told.
    told: BTreeMap<i64, Told>,
}

/// How far an attempt was told.
#[derive(Clone, Copy, Default)]
struct Told {
    /// Lines of the ledger.
    lines: usize,
    /// Bytes of the log in its folder.
    bytes: u64,
}

impl Reader<'_> {
    async fn tell(&mut self, tasks: &[TaskRun]) -> Result<(), Faults> {
        for task in tasks {
            for attempt in &task.attempts {
                if self.only.is_none_or(|asked| asked == attempt.id) {
                    self.tell_attempt(task, attempt.id).await?;
                }
            }
        }
        Ok(())
    }

    async fn tell_attempt(&mut self, task: &TaskRun, attempt: i64) -> Result<(), Faults> {
        let mut told = self.told.get(&attempt).copied().unwrap_or_default();
        let said = |at: Instant, text: &str| {
            let at = say::moment(at, &self.opened.project.zone);
            say::print(&format!("{at} {} attempt {attempt}: {text}", task.instance));
        };
        for line in self.store.log(attempt).await?.into_iter().skip(told.lines) {
            said(line.at, &line.text);
            told.lines += 1;
        }
        // What a process said lies in the attempt's folder.
        let dir = self.opened.attempts_dir().join(attempt.to_string());
        loop {
            let page = read_log(&dir, told.bytes)
                .map_err(|error| Diagnostic::error(codes::DISK_FAILED, format!("the log cannot be read: {error}")))?;
            page.lines.iter().for_each(|line| said(line.at, &line.text));
            if page.next == told.bytes {
                break;
            }
            told.bytes = page.next;
        }
        self.told.insert(attempt, told);
        Ok(())
    }
}
