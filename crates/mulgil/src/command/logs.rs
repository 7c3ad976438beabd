//! `mulgil logs`: what a run's attempts said.

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
            for line in store.log(attempt.id).await? {
                let at = say::moment(line.at, &opened.project.zone);
                say::print(&format!("{at} {} attempt {}: {}", task.instance, attempt.id, line.text));
            }
        }
    }
    Ok(0)
}
