//! Verbs that a running server does: handed over to it, and followed to their end.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use mulgil_core::{codes, diagnostic::Diagnostic, interval::Interval, interval_text, name::Instance, run::TaskKind};
use mulgil_server::{
    Answer, Answered, BackfillRow, BackfillState, Definitions, Happened, Retried, Run, Select, Target, Verb,
    client::Client,
};
use mulgil_store::DataLock;
use serde_json::Value as Json;

use crate::{
    cli,
    command::{Faults, Outcome, runs},
    say, serving,
    wire::{self, Opened},
};

/// The pause before a server that begins is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// The pause before a backfill that goes on is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// How long nothing is said of waiting for it.
const SILENT_FOR: Duration = Duration::from_secs(3);

/// How long a server may take to begin, or one that ends to be gone.
const BEGINS_WITHIN: Duration = Duration::from_secs(15);

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
    let Some((client, answer)) = answered(opened, verb).await? else {
        return Ok(None);
    };
    tell(&answer);
    let Some(target) = answer.follow else {
        return Ok(Some(0));
    };
    follow(opened, &client, target).await.map(Some)
}

/// What the server answers. One that begins, or begins anew, is waited for.
async fn answered(opened: &Opened, verb: &Verb) -> Result<Option<(Client, Answer)>, Faults> {
    let (data_dir, environment) = (opened.data_dir(), &opened.project.environment);
    let began = Instant::now();
    let mut is_told = false;
    loop {
        let comes_back = if let Some(client) = Client::find(data_dir, environment, env!("CARGO_PKG_VERSION")).await? {
            let refusal = match client.send(verb).await {
                Ok(answer) => return Ok(Some((client, answer))),
                Err(refusal) => refusal,
            };
            match refusal.fault.code {
                codes::PROJECT_CHANGED => true,
                // Nothing was asked of it, and the next one may be there already.
                codes::SERVER_STOPPING | codes::SERVER_GONE if began.elapsed() < BEGINS_WITHIN => true,
                _ => return Err(Faults(refusal.into_all())),
            }
        } else {
            let holder = DataLock::holder(data_dir, environment);
            let is_server = holder.is_some_and(|holder| holder.command == serving::SERVE);
            is_server && DataLock::is_held(data_dir, environment) && began.elapsed() < BEGINS_WITHIN
        };
        if !comes_back {
            return Ok(None);
        }
        if !is_told && began.elapsed() > SILENT_FOR {
            say::talk("waiting for the server, which loads the project anew");
            is_told = true;
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// `mulgil backfill` by the server: waits until it is over, where nobody says that it is not to. Ctrl-C leaves it
/// running.
pub(crate) async fn backfill(opened: &Opened, verb: &Verb, detach: bool) -> Result<Option<u8>, Faults> {
    let Some((_, answer)) = answered(opened, verb).await? else {
        return Ok(None);
    };
    let Answered::Backfill(row) = &answer.what else {
        tell(&answer);
        return Ok(Some(0));
    };
    if detach || row.state != BackfillState::Running {
        tell(&answer);
        return Ok(Some(exit_of(row.state)));
    }
    answer.warnings.iter().for_each(say::fault);
    let count = say::count(row.intervals, "interval");
    say::talk(&format!(
        "backfill {}: {count}, in the server; Ctrl-C leaves it running",
        row.backfill
    ));
    let over = over_of(opened, row.backfill);
    tokio::select! {
        row = over => {
            let row = row?;
            tell_backfill(&row);
            Ok(Some(exit_of(row.state)))
        }
        () = wire::interrupt() => Ok(Some(wire::INTERRUPTED)),
    }
}

/// A backfill, once it does not go on any more.
async fn over_of(opened: &Opened, backfill: i64) -> Result<BackfillRow, Faults> {
    // The ledger says how far it is, also while the server begins anew.
    let Some(store) = opened.ledger_to_read().await? else {
        return std::future::pending().await;
    };
    loop {
        let row = store.backfill(backfill).await?;
        let row = row.map(|row| BackfillRow::from(&row));
        if let Some(row) = row.filter(|row| row.state != BackfillState::Running) {
            store.close().await;
            return Ok(row);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn exit_of(state: BackfillState) -> u8 {
    match state {
        BackfillState::Running | BackfillState::Paused | BackfillState::Done => 0,
        BackfillState::Failed | BackfillState::Cancelled => 1,
    }
}

fn tell(answer: &Answer) {
    answer.warnings.iter().for_each(say::fault);
    match &answer.what {
        Answered::NothingDue {} => say::talk("nothing is due"),
        Answered::RunQueued { run } => say::talk(&format!("run {run}, in the server; Ctrl-C leaves it running")),
        Answered::RunCancelled { run, .. } => say::talk(&format!("run {run} is told to end")),
        Answered::Backfill(row) => tell_backfill(row),
        Answered::Backfills { .. } | Answered::Preview { .. } | Answered::Approved { .. } => {}
    }
}

/// How a backfill stands, in a line.
pub(crate) fn tell_backfill(row: &BackfillRow) {
    let BackfillRow { backfill, .. } = row;
    let how = match row.state {
        BackfillState::Running => "goes on",
        BackfillState::Paused => "is held back",
        BackfillState::Done => "is done",
        BackfillState::Failed => "is over, and some of it failed",
        BackfillState::Cancelled => "is ended",
    };
    say::talk(&format!(
        "backfill {backfill} {how}: {} of {} filled; `mulgil backfill ls` shows how far it is",
        row.filled,
        say::count(row.intervals, "interval")
    ));
}

async fn follow(opened: &Opened, client: &Client, target: Target) -> Outcome {
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
                instance,
                range,
                kind,
                done,
                rows,
                ..
            } => say::talk(&match kind {
                TaskKind::Test => format!("  tested {instance}  {}", say::count(done, "test")),
                TaskKind::Fill | TaskKind::Step => {
                    let named = named(opened, &instance, range);
                    format!("  {named}  {}", say::count(rows, "row"))
                }
            }),
            Happened::Failed {
                instance, range, fault, ..
            }
            | Happened::Narrowed {
                instance, range, fault, ..
            } => {
                say::talk(&format!("  {} failed", named(opened, &instance, range)));
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

/// `reads_daily@2026-03-01..2026-03-08`.
fn named(opened: &Opened, instance: &Instance, range: Interval) -> String {
    match opened.project.node(&instance.node) {
        Some(node) if range != Interval::WHOLE => {
            format!("{instance}@{}", interval_text::format(range, &node.grid))
        }
        _ => instance.to_string(),
    }
}

/// `mulgil runs retry`: by the server, or here where there is none.
pub(crate) async fn retry(opened: &Opened, run: i64, all: bool, latest: bool) -> Outcome {
    let what = if all { Retried::All } else { Retried::Unfinished };
    let definitions = if latest { Definitions::Latest } else { Definitions::Same };
    let verb = Verb::RetryRun { run, what, definitions };
    if let Some(code) = over(opened, &verb).await? {
        return Ok(code);
    }
    let store = opened.ledger_to_read().await?;
    let (known, _) = runs::find(store.as_ref(), Some(run)).await?;
    if !known.state.is_terminal() {
        return Err(left_behind(run, "done again").into());
    }
    serving::retry(opened, run, serving::retried(what, definitions)).await
}

/// `mulgil runs cancel`.
pub(crate) async fn cancel(opened: &Opened, run: i64) -> Outcome {
    match over(opened, &Verb::CancelRun { run }).await? {
        // That it ended because it was told to is no failure of the command.
        Some(code) if code == wire::INTERRUPTED => Ok(code),
        Some(_) => Ok(0),
        None => {
            let store = opened.ledger_to_read().await?;
            let (known, _) = runs::find(store.as_ref(), Some(run)).await?;
            if !known.state.is_terminal() {
                return Err(left_behind(run, "ended").into());
            }
            let message = format!("run {run} is over: {}", known.state.as_str());
            Err(Diagnostic::error(codes::RUN_NOT_ACTIVE, message)
                .with_remedy("`mulgil runs ls` shows how the newest runs stand")
                .into())
        }
    }
}

/// A run that no server here goes on with: one that was killed left it, or a command goes on with it.
fn left_behind(run: i64, what: &str) -> Diagnostic {
    Diagnostic::error(
        codes::RUN_NOT_ACTIVE,
        format!("run {run} has not ended, and cannot be {what}: no server runs here"),
    )
    .with_remedy(
        "where a server that was killed left it, start `mulgil serve`: it takes the run up; where a `mulgil run` goes \
         on with it, press Ctrl-C there",
    )
}
