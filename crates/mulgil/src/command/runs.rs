//! `mulgil runs`: what ran, and ending what does.

use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    interval_text::format_instant,
    run::{Run, TaskKind, TaskRun},
};
use mulgil_store::Store;
use serde_json::json;

use crate::{
    cli::{Global, Runs},
    command::{Faults, Outcome, handed, plan::range_text},
    say,
    wire::{self, Opened},
};

pub(crate) async fn runs(global: &Global, command: &Runs) -> Outcome {
    let opened = wire::open(global)?;
    let store = opened.ledger_to_read().await?;
    match command {
        Runs::Cancel { run } => return handed::cancel(&opened, *run).await,
        Runs::Retry { run, all, latest } => return handed::retry(&opened, *run, *all, *latest).await,
        Runs::Ls { limit, json } => {
            // One more than is shown says whether there are more.
            let mut runs = match store {
                Some(store) => store.runs(limit.saturating_add(1)).await?,
                None => Vec::new(),
            };
            let has_more = runs.len() > *limit as usize;
            runs.truncate(*limit as usize);
            if *json {
                say::json(&json!(
                    runs.iter().map(|run| run_json(&opened, run)).collect::<Vec<_>>()
                ));
            } else if runs.is_empty() {
                say::talk("nothing ran yet; `mulgil run` fills what is due");
            } else {
                let rows: Vec<Vec<String>> = runs.iter().map(|run| run_row(&opened, run)).collect();
                say::print(&say::table(&["run", "state", "started", "took", "what"], &rows, &[0]));
                if has_more {
                    say::talk(&format!("the newest {limit}; `--limit N` shows more"));
                }
            }
        }
        Runs::Show { run, json } => {
            let (run, tasks) = find(store.as_ref(), *run).await?;
            if *json {
                let mut out = run_json(&opened, &run);
                out["task_runs"] = tasks.iter().map(|task| task_json(&opened, task)).collect();
                say::json(&out);
            } else {
                say::print(&shown(&opened, &run, &tasks));
            }
        }
    }
    Ok(0)
}

/// A run by its number, or the newest.
pub(crate) async fn find(store: Option<&Store>, id: Option<i64>) -> Result<(Run, Vec<TaskRun>), Faults> {
    let missing = |what: String| {
        Faults::from(Diagnostic::error(codes::NOT_FOUND, what).with_remedy("`mulgil runs ls` lists the runs"))
    };
    let Some(store) = store else {
        return Err(missing("nothing ran yet".to_owned()));
    };
    let id = match id {
        Some(id) => id,
        None => store
            .runs(1)
            .await?
            .first()
            .map(|run| run.id)
            .ok_or_else(|| missing("nothing ran yet".to_owned()))?,
    };
    store
        .run(id)
        .await?
        .ok_or_else(|| missing(format!("there is no run {id}")))
}

fn run_row(opened: &Opened, run: &Run) -> Vec<String> {
    let took = run
        .ended_at
        .map_or_else(|| "-".to_owned(), |ended| say::span(run.started_at, ended));
    let started = say::moment(run.started_at, &opened.project.zone);
    vec![
        run.id.to_string(),
        run.state.as_str().to_owned(),
        started,
        took,
        what(run),
    ]
}

fn what(run: &Run) -> String {
    let verb = match run.trigger {
        mulgil_core::run::Trigger::Manual => "run",
        mulgil_core::run::Trigger::Backfill => "backfill",
        mulgil_core::run::Trigger::Schedule => "schedule",
    };
    // What one of dbt's commands asked is written as it was typed.
    if run.selector.starts_with("dbt ") {
        return run.selector.clone();
    }
    format!("{verb} {}", run.selector).trim().to_owned()
}

fn shown(opened: &Opened, run: &Run, tasks: &[TaskRun]) -> String {
    let mut out = vec![
        say::table(
            &["run", "state", "started", "took", "what"],
            &[run_row(opened, run)],
            &[0],
        ),
        String::new(),
    ];
    let mut rows = Vec::new();
    for task in tasks {
        for attempt in &task.attempts {
            let rows_written = attempt.rows.map_or_else(|| "-".to_owned(), say::thousands);
            let took = attempt
                .ended_at
                .map_or_else(|| "-".to_owned(), |ended| say::span(attempt.started_at, ended));
            let note = attempt
                .fault
                .as_ref()
                .map_or_else(String::new, |fault| format!("{}: {}", fault.code, fault.message));
            rows.push(vec![
                attempt.id.to_string(),
                task_name(opened, task),
                attempt.state.as_str().to_owned(),
                rows_written,
                took,
                note,
            ]);
        }
    }
    out.push(say::table(
        &["attempt", "what", "state", "rows", "took", "fault"],
        &rows,
        &[0, 3],
    ));
    out.join("\n")
}

fn task_name(opened: &Opened, task: &TaskRun) -> String {
    match task.kind {
        TaskKind::Fill => format!(
            "{}{}",
            task.instance,
            range_text(&opened.project, &task.instance, task.range)
        ),
        TaskKind::Test => format!("tests of {}", task.instance),
        TaskKind::Step => step_name(task),
    }
}

/// A step without the flow's name, which the run has said.
fn step_name(task: &TaskRun) -> String {
    let name = task.instance.to_string();
    name.rsplit_once('/').map_or(name.clone(), |(_, step)| step.to_owned())
}

fn run_json(opened: &Opened, run: &Run) -> serde_json::Value {
    let at = |at| format_instant(at, &opened.project.zone);
    json!({ "run": run.id, "state": run.state, "trigger": run.trigger, "selector": run.selector,
        "started_at": at(run.started_at), "ended_at": run.ended_at.map(at) })
}

fn task_json(opened: &Opened, task: &TaskRun) -> serde_json::Value {
    let at = |at| format_instant(at, &opened.project.zone);
    let attempts: Vec<_> = task
        .attempts
        .iter()
        .map(|attempt| {
            json!({ "attempt": attempt.id, "state": attempt.state, "started_at": at(attempt.started_at),
                "ended_at": attempt.ended_at.map(at), "rows": attempt.rows, "version": attempt.version, "fault": attempt.fault })
        })
        .collect();
    let interval = match task.kind {
        TaskKind::Fill => {
            let count = opened
                .project
                .node(&task.instance.node)
                .map_or(1, |node| node.grid.count(task.range));
            crate::command::plan::range_json(&opened.project, &task.instance, task.range, count)
        }
        TaskKind::Test | TaskKind::Step => serde_json::Value::Null,
    };
    json!({ "task_run": task.id, "node": task.instance.to_string(), "kind": task.kind, "interval": interval,
        "reason": task.reason, "state": task.state, "attempts": attempts })
}
