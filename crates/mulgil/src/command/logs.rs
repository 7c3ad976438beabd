//! `mulgil logs`: what a run's attempts said.

use mulgil_core::{codes, diagnostic::Diagnostic};
use mulgil_runner::read_log;

use crate::{
    cli::{self, Global},
    command::{Outcome, runs},
    say, wire,
};

pub(crate) async fn logs(global: &Global, flags: &cli::Logs) -> Outcome {
    let opened = wire::open(global)?;
    let store = opened.ledger_to_read().await?;
    let (_, tasks) = runs::find(store.as_ref(), flags.run).await?;
    let Some(store) = store else { return Ok(0) };
    for task in &tasks {
        for attempt in task
            .attempts
            .iter()
            .filter(|attempt| flags.attempt.is_none_or(|asked| asked == attempt.id))
        {
            let said = |at, text: &str| {
                let at = say::moment(at, &opened.project.zone);
                say::print(&format!("{at} {} attempt {}: {text}", task.instance, attempt.id));
            };
            for line in store.log(attempt.id).await? {
                said(line.at, &line.text);
            }
            // What a process said lies in the attempt's folder.
            let mut from = 0;
            loop {
                let page = read_log(&opened.attempts_dir().join(attempt.id.to_string()), from).map_err(|error| {
                    Diagnostic::error(codes::DISK_FAILED, format!("the log cannot be read: {error}"))
                })?;
                page.lines.iter().for_each(|line| said(line.at, &line.text));
                if page.next == from {
                    break;
                }
                from = page.next;
            }
        }
    }
    Ok(0)
}
