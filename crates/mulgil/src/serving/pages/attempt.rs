//! One try of one task: how it ended, what it said, what it asked. At most four queries: the task, its tries, and
//! what of its log and its SQL lies in the ledger.

use std::path::{Path, PathBuf};

use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    flow::{Flow, name},
    interval::{Instant, Interval},
    name::Instance,
    project::Project,
    run::{RunState, TaskKind},
    walk::Stage,
};
use mulgil_runner::{Exit, Why};
use mulgil_server::{LogQuery, NoPage, Page};
use mulgil_store::{
    Store,
    page::{TaskHead, TriedAttempt, TriesShown},
};
use mulgil_web::view::{
    Fix, Link, Named,
    attempt::{self as view, Log},
};

use super::{
    counted, log,
    names::{attempt_href, flow_link, named, run_href, run_link, table_link, target, why_href},
    picture::Picture,
    sql,
};
use crate::wire::Opened;

/// Tries that a page names.
const TRIES_SHOWN: usize = 50;
/// Bytes of an output that a page shows.
const OUTPUT_BYTES_SHOWN: usize = 64 * 1024;

/// One try of one task.
#[expect(clippy::too_many_arguments, reason = "what a page is made of, and which")]
pub(super) async fn attempt(
    opened: &Opened,
    store: &Store,
    _: &Picture,
    _: Instant,
    run: i64,
    task: i64,
    number: u32,
    query: LogQuery,
) -> Page<view::Attempt> {
    let making = async {
        let head = store
            .task_head(run, task)
            .await?
            .ok_or_else(|| no_attempt(run, task, number))?;
        let project = &opened.project;
        let today = head.flow.as_deref().and_then(|flow| project.flow(flow));
        // The definition of today is at hand.
        let other = head
            .version
            .filter(|version| today.is_none_or(|flow| flow.fingerprint != *version));
        let mut tries = store.tries(task, number, other, TRIES_SHOWN).await?;
        let mut tried = tries.asked.take().ok_or_else(|| no_attempt(run, task, number))?;
        let past = tried.definition.take();
        let flow = past.as_ref().or(today);
        let place = Place {
            run,
            task,
            number,
            dir: opened.attempts_dir().join(tried.id.to_string()),
        };
        let log = log::shown(store, &place, &tried, &query).await?;
        let of = sql::Of {
            opened,
            head: &head,
            tried: &tried,
            flow,
            place: &place,
        };
        let sql = sql::sql(store, &of).await?;
        let exit = exit(&place.dir).await;
        let view = assembled(project, flow, &head, &tries, tried, &place, exit, sql, log);
        let topics = vec![format!("run:{run}")];
        Ok((view, topics))
    };
    counted(Box::pin(making)).await
}

/// Which try, and where it has its folder.
pub(super) struct Place {
    /// Its run.
    pub(super) run: i64,
    /// Its task.
    pub(super) task: i64,
    /// Which of the task's tries, from 1.
    pub(super) number: u32,
    /// Its folder, where it has one.
    pub(super) dir: PathBuf,
}

/// There is no such try.
pub(super) fn no_attempt(run: i64, task: i64, number: u32) -> NoPage {
    let message = format!("run {run} has no attempt {number} of task {task}");
    let fault = Diagnostic::error(codes::NOT_FOUND, message).with_remedy(format!(
        "`mulgil runs show {run}` lists its attempts; old runs are forgotten after a while"
    ));
    NoPage::NotFound {
        fault: Box::new(fault),
        near: vec![run_link(run)],
    }
}

/// The exit record; nothing where there is none, and where it cannot be read its log still can.
async fn exit(dir: &Path) -> Option<Exit> {
    let dir = dir.to_owned();
    let read = tokio::task::spawn_blocking(move || mulgil_runner::read_exit(&dir)).await;
    read.ok()?.ok()?
}

#[expect(clippy::too_many_arguments, reason = "all that a page is made of")]
fn assembled(
    project: &Project,
    flow: Option<&Flow>,
    head: &TaskHead,
    tries: &TriesShown,
    tried: TriedAttempt,
    place: &Place,
    exit: Option<Exit>,
    sql: Option<view::Sql>,
    log: Log,
) -> view::Attempt {
    let is_newest = place.number == tries.count;
    let step = step_of(head);
    let instance = Instance::parse(&head.instance).filter(|_| step.is_none());
    let range = interval(project, flow, head, instance.as_ref());
    let output = head
        .output
        .as_ref()
        .filter(|_| is_newest && tried.state == RunState::Success);
    view::Attempt {
        id: tried.id,
        number: place.number,
        tries: tries
            .tries
            .iter()
            .map(|(number, state)| (*number, *state, attempt_href(place.run, place.task, *number)))
            .collect(),
        run: run_link(place.run),
        flow: head.flow.as_deref().map(flow_link),
        task: match (&instance, step) {
            (Some(instance), _) => table_link(instance),
            (None, step) => Link {
                text: step.unwrap_or(&head.instance).to_owned(),
                href: Some(format!("{}?tab=list", run_href(place.run))),
            },
        },
        kind: head.kind,
        step: step.and_then(|step| flow?.step(step)).map(|step| step.kind.word()),
        why: instance
            .as_ref()
            .filter(|_| head.kind == TaskKind::Fill)
            .map(|of| why(project, of, head.range)),
        interval: range,
        state: tried.state,
        started_at: tried.started_at,
        ended_at: tried.ended_at,
        retry_at: head
            .progress
            .as_ref()
            .filter(|_| is_newest)
            .and_then(|progress| match progress.stage {
                Stage::Retrying { at } => Some(at),
                Stage::Waiting | Stage::Running | Stage::Ended { .. } => None,
            }),
        exit: exit.as_ref().map(ended),
        memory_bytes: exit.as_ref().and_then(|exit| exit.peak_memory_bytes),
        rows: tried.rows,
        version: tried.version,
        output: output.map(capped),
        sql,
        log,
        commands: commands(head, &tried, place),
        fault: tried.fault.map(Box::new),
    }
}

/// The step that a task does; nothing where it fills or tests a table.
pub(super) fn step_of(head: &TaskHead) -> Option<&str> {
    if head.kind != TaskKind::Step {
        return None;
    }
    let prefix = name::of_step(head.flow.as_deref().unwrap_or_default(), "");
    Some(head.instance.strip_prefix(&prefix).unwrap_or(&head.instance))
}

/// The interval of a task: that of its run for a step, its own range for a table.
fn interval(project: &Project, flow: Option<&Flow>, head: &TaskHead, of: Option<&Instance>) -> Option<Named> {
    if let Some(of) = of {
        let node = project
            .node(&of.node)
            .filter(|node| head.kind == TaskKind::Fill && node.grid.is_cut())?;
        return Some(named(head.range, &node.grid));
    }
    let range = head.interval.filter(|range| *range != Interval::WHOLE)?;
    Some(named(range, &flow?.grid))
}

fn why(project: &Project, of: &Instance, range: Interval) -> String {
    match project.node(&of.node).filter(|node| node.grid.is_cut()) {
        Some(node) => why_href(&target(of, node.grid.interval_at(range.start), &node.grid)),
        None => why_href(&format!("{of}@all")),
    }
}

/// How a process ended.
fn ended(exit: &Exit) -> String {
    let how = match (exit.code, exit.signal) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => String::new(),
    };
    let why = match exit.why {
        Why::Exited => "",
        Why::Timeout => "timeout",
        Why::Cancelled => "stopped",
        Why::OutOfMemory => "out of memory",
        Why::CouldNotStart => "could not be started",
        Why::WorkerCrashed => "its worker died",
        Why::Abandoned => "abandoned",
        Why::Lost => "its supervisor was killed",
    };
    let said = [why, how.as_str()].into_iter().filter(|word| !word.is_empty());
    said.collect::<Vec<_>>().join(", ")
}

/// An output as people read it, cut where it is long.
fn capped(output: &serde_json::Value) -> String {
    let mut text = serde_json::to_string_pretty(output).unwrap_or_default();
    if text.len() > OUTPUT_BYTES_SHOWN {
        text.truncate(text.floor_char_boundary(OUTPUT_BYTES_SHOWN));
        text.push('…');
    }
    text
}

fn commands(head: &TaskHead, tried: &TriedAttempt, place: &Place) -> Vec<Fix> {
    let fix = |command: String| Fix { command, here: None };
    let mut commands = Vec::new();
    let is_over = tried.state.is_terminal();
    if is_over {
        commands.push(fix(format!("mulgil logs {} --attempt {}", place.run, tried.id)));
    } else {
        commands.push(fix(format!(
            "mulgil logs {} --attempt {} --follow",
            place.run, tried.id
        )));
    }
    let has_failed = matches!(
        head.run_state,
        RunState::Failed | RunState::Crashed | RunState::Cancelled | RunState::UpstreamFailed
    );
    if has_failed && head.flow.is_some() {
        commands.push(fix(format!("mulgil runs retry {}", place.run)));
    }
    commands
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_output_is_cut_where_it_is_long() {
        assert_eq!(capped(&json!({"rows": 3})), "{\n  \"rows\": 3\n}");
        let long = capped(&json!("한".repeat(OUTPUT_BYTES_SHOWN)));
        assert!(long.len() <= OUTPUT_BYTES_SHOWN + 3 && long.ends_with('…'));
    }
}
