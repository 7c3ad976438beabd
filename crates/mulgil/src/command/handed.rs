//! Verbs that a running server does: handed over to it, and followed to their end.

use std::collections::BTreeMap;

use mulgil_core::interval::Interval;
use mulgil_server::{Answer, Answered, Happened, Run, Select, Target, Verb, client::Client};
use serde_json::Value as Json;

use crate::{
    cli,
    command::{Faults, Outcome},
    say,
    wire::{self, Opened},
};

/// `mulgil run` of models.
pub(crate) fn models(flags: &cli::Run) -> Verb {
    Verb::Run(Run {
        select: Select {
            chosen: flags.select.chosen(),
            exclude: flags.select.exclude.clone(),
        },
        interval: flags.interval.clone(),
        full: flags.full,
        prune: flags.prune,
        ..Run::default()
    })
}

/// `mulgil run` of a flow.
pub(crate) fn flow(name: &str, params: BTreeMap<String, Json>, flags: &cli::Run) -> Verb {
    Verb::Run(Run {
        flow: Some(name.to_owned()),
        params,
        interval: flags.interval.clone(),
        ..Run::default()
    })
}

/// Has the server of the environment do a verb and follows it; nothing where no server runs.
pub(crate) async fn over(opened: &Opened, verb: &Verb) -> Result<Option<u8>, Faults> {
    let version = env!("CARGO_PKG_VERSION");
    let Some(client) = Client::find(opened.data_dir(), &opened.project.environment, version).await? else {
        return Ok(None);
    };
    let answer = client.send(verb).await.map_err(|refusal| Faults(refusal.into_all()))?;
    tell(&answer);
    let Some(target) = answer.follow else {
        return Ok(Some(0));
    };
    follow(&client, target).await.map(Some)
}

fn tell(answer: &Answer) {
    answer.warnings.iter().for_each(say::fault);
    match &answer.what {
        Answered::NothingDue {} => say::talk("nothing is due"),
        Answered::RunQueued { run } => say::talk(&format!("run {run}, in the server; Ctrl-C leaves it running")),
        Answered::RunCancelled { run, .. } => say::talk(&format!("run {run} is told to end")),
        Answered::Backfill(_) | Answered::Backfills { .. } | Answered::Preview { .. } | Answered::Approved { .. } => {}
    }
}

async fn follow(client: &Client, target: Target) -> Outcome {
    let mut events = client.follow(target, 0);
    let mut interrupt = Box::pin(wire::interrupt());
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = &mut interrupt => return Ok(wire::INTERRUPTED),
        };
        let Some(event) = event else {
            return Ok(0);
        };
        match event?.what {
            Happened::Ended(end) => {
                end.stopped.iter().for_each(say::fault);
                let rows = say::count(end.rows, "row");
                say::talk(&format!("{} ({rows})", end.state.as_str()));
                return Ok(end.exit);
            }
            Happened::Finished {
                instance, range, rows, ..
            } => {
                say::talk(&format!(
                    "  {instance}{}  {}",
                    over_range(range),
                    say::count(rows, "row")
                ));
            }
            Happened::Failed {
                instance, range, fault, ..
            }
            | Happened::Narrowed {
                instance, range, fault, ..
            } => {
                say::talk(&format!("  {instance}{} failed", over_range(range)));
                say::fault(&fault);
            }
            Happened::Said { text } => say::talk(&format!("  {text}")),
            Happened::Fault { fault } | Happened::Broken { fault } => say::fault(&fault),
            Happened::Draining {} => say::talk("the server ends; the run goes on when it is back"),
            Happened::Planned { .. }
            | Happened::State { .. }
            | Happened::Started { .. }
            | Happened::Progress { .. }
            | Happened::Log { .. } => {}
        }
    }
}

fn over_range(range: Interval) -> String {
    if range == Interval::WHOLE {
        String::new()
    } else {
        format!(" {range:?}")
    }
}

/// `mulgil runs cancel`.
pub(crate) async fn cancel(opened: &Opened, run: i64) -> Outcome {
    match over(opened, &Verb::CancelRun { run }).await? {
        // That it ended because it was told to is no failure of the command.
        Some(code) if code == wire::INTERRUPTED => Ok(code),
        Some(_) => Ok(0),
        None => Err(mulgil_core::diagnostic::Diagnostic::error(
            mulgil_core::codes::RUN_NOT_ACTIVE,
            format!("run {run} does not go on: no server runs here"),
        )
        .with_remedy("`mulgil runs ls` shows how the newest runs stand; end a `mulgil run` with Ctrl-C")
        .into()),
    }
}
