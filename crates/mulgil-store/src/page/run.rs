//! One run: how it stands, its tasks with their tries, what happened.

use std::collections::BTreeMap;

use mulgil_core::{
    diagnostic::Diagnostic,
    flow::Flow,
    interval::{Instant, Interval},
    port::Fault,
    project::Fingerprint,
    run::{RunState, TaskKind},
};
use serde_json::Value as Json;

use super::{HeadRow, RunHead, head, head_columns, state_of};
use crate::{Store, error::Error, fact::Fact, rebuild, sql, text};

/// Tries of one task that a page of tasks has, the newest ones.
const TRIES_OF_A_TASK: i64 = 20;

/// A run, as its page has it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunPage {
    /// What lists have of it.
    pub head: RunHead,
    /// Its parameters; empty for a run of models.
    pub params: BTreeMap<String, Json>,
    /// The fingerprint of the definition that it goes by.
    pub version: Option<Fingerprint>,
    /// The backfill that asked for it.
    pub backfill: Option<i64>,
    /// Whether a person ended it.
    pub is_cancelled: bool,
    /// When a person had it begun again.
    pub reopened_at: Option<Instant>,
}

/// A task of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRow {
    /// Its number.
    pub id: i64,
    /// Its instance as it is written: `sales[country=kr]`, `flow:daily/load`.
    pub instance: String,
    /// What it does.
    pub kind: TaskKind,
    /// Its range.
    pub range: Interval,
    /// Why, as `plan` says it.
    pub reason: Json,
    /// How it stands.
    pub state: RunState,
    /// Its newest tries, oldest first.
    pub tries: Vec<TryRow>,
}

/// A try of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct TryRow {
    /// Its number in the ledger.
    pub id: i64,
    /// Which of the task's tries it is, from 1.
    pub number: u32,
    /// How it stands.
    pub state: RunState,
    /// When it began.
    pub started_at: Instant,
    /// When it ended.
    pub ended_at: Option<Instant>,
    /// Rows that it wrote.
    pub rows: Option<u64>,
    /// Why it failed.
    pub fault: Option<Diagnostic>,
}

/// Some tasks of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskPage {
    /// Them, in the order of their beginning.
    pub tasks: Vec<TaskRow>,
    /// Whether there are more behind them.
    pub has_more: bool,
    /// The first task that failed or was lost, where it is none of these.
    pub first_failed: Option<TaskRow>,
}

/// How many tasks of a run stand how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskCounts {
    /// By state.
    pub by_state: BTreeMap<RunState, u64>,
    /// The instances of all of them, where that was asked for.
    pub instances: Vec<String>,
}

type RunTuple = (
    i64,
    String,
    String,
    String,
    i64,
    Option<i64>,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
);

type TaskTuple = (
    i64,
    String,
    String,
    i64,
    i64,
    String,
    String,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<String>,
);

impl Store {
    /// A run, as its page has it.
    pub async fn run_page(&self, run: i64) -> Result<Option<RunPage>, Fault> {
        self.read(move |conn| {
            Box::pin(async move {
                let row: Option<RunTuple> = sql::query_as(concat!(
                    "select ",
                    head_columns!(),
                    ", f.params, f.version, f.backfill, f.is_cancelled, f.reopened_at
                     from run r left join flow_run f on f.run = r.id where r.id = $1"
                ))
                .bind(run)
                .fetch_optional(conn)
                .await?;
                let Some(row) = row else { return Ok(None) };
                let columns: HeadRow = (row.0, row.1, row.2, row.3, row.4, row.5, row.6, row.7, row.8, row.9);
                Ok(Some(RunPage {
                    head: head(columns)?,
                    params: row
                        .10
                        .as_deref()
                        .map(serde_json::from_str)
                        .transpose()?
                        .unwrap_or_default(),
                    version: row.11.as_deref().and_then(Fingerprint::parse),
                    backfill: row.12,
                    is_cancelled: row.13 == Some(1),
                    reopened_at: row.14.map(Instant),
                }))
            })
        })
        .await
    }

    /// The definition of a flow that runs went by.
    pub async fn flow_version(&self, version: Fingerprint) -> Result<Option<Flow>, Fault> {
        self.read(move |conn| {
            Box::pin(async move {
                let row: Option<(String,)> =
                    sql::query_as("select definition from flow_version where fingerprint = $1")
                        .bind(version.to_string())
                        .fetch_optional(conn)
                        .await?;
                Ok(row.map(|(definition,)| serde_json::from_str(&definition)).transpose()?)
            })
        })
        .await
    }

    /// Tasks of a run with numbers above `after`, with their tries. With them comes the first task that failed,
    /// where `with_failed` asks for it.
    pub async fn tasks_after(&self, run: i64, after: i64, limit: usize, with_failed: bool) -> Result<TaskPage, Fault> {
        self.read(move |conn| {
            Box::pin(async move {
                let found: Vec<TaskTuple> = sql::query_as(
                    "with page as (
                         select id from (select id from task_run where run = $1 and id > $2 order by id limit $3) p
                         union
                         select id from (
                             select id from task_run where $5 = 1 and run = $1 and state in ('failed', 'crashed')
                             order by id limit 1
                         ) f
                     ),
                     tries as (
                         select a.task_run, a.id, a.state, a.started_at, a.ended_at, a.rows, a.fault,
                             row_number() over (partition by a.task_run order by a.id) as number,
                             count(*) over (partition by a.task_run) as total
                         from attempt a where a.task_run in (select id from page)
                     )
                     select t.id, t.instance, t.kind, t.start_at, t.end_at, t.reason, t.state,
                         a.id, a.number, a.state, a.started_at, a.ended_at, a.rows, a.fault
                     from task_run t left join tries a on a.task_run = t.id and a.number > a.total - $4
                     where t.id in (select id from page) order by t.id, a.number",
                )
                .bind(run)
                .bind(after)
                .bind(limit as i64 + 1)
                .bind(TRIES_OF_A_TASK)
                .bind(i64::from(with_failed))
                .fetch_all(conn)
                .await?;
                Ok(task_page(tasks(found)?, after, limit))
            })
        })
        .await
    }

    /// How many tasks of a run stand how; with the names of all of them where `with_instances` asks for those.
    pub async fn task_counts(&self, run: i64, with_instances: bool) -> Result<TaskCounts, Fault> {
        self.read(move |conn| {
            Box::pin(async move {
                let select = if with_instances {
                    "select state, cast(1 as bigint), instance from task_run where run = $1"
                } else {
                    "select state, count(*), '' from task_run where run = $1 group by state"
                };
                let rows: Vec<(String, i64, String)> = sql::query_as(select).bind(run).fetch_all(conn).await?;
                let mut counts = TaskCounts::default();
                for (state, count, instance) in rows {
                    *counts.by_state.entry(state_of(&state)?).or_default() += count.cast_unsigned();
                    if with_instances {
                        counts.instances.push(instance);
                    }
                }
                Ok(counts)
            })
        })
        .await
    }

    /// The facts of a run with numbers above `after`, oldest first, with their numbers and times.
    pub async fn facts_after(&self, run: i64, after: i64, limit: usize) -> Result<Vec<(i64, Instant, Fact)>, Fault> {
        self.read(move |conn| {
            Box::pin(async move {
                let rows: Vec<(i64, i64, String)> = sql::query_as(
                    "select seq, at, payload from fact where run = $1 and seq > $2 order by seq limit $3",
                )
                .bind(run)
                .bind(after)
                .bind(limit as i64)
                .fetch_all(conn)
                .await?;
                rebuild::parsed(rows)
            })
        })
        .await
    }
}

/// The tasks of rows that have one try each, or none.
fn tasks(rows: Vec<TaskTuple>) -> Result<Vec<TaskRow>, Error> {
    let mut tasks: Vec<TaskRow> = Vec::new();
    for (id, instance, kind, start, end, reason, state, attempt, number, tried, began, ended, rows, fault) in rows {
        if tasks.last().is_none_or(|last| last.id != id) {
            tasks.push(TaskRow {
                id,
                instance,
                kind: text::kind(&kind).ok_or_else(|| Error::damaged("a task run's kind cannot be read"))?,
                range: Interval {
                    start: Instant(start),
                    end: Instant(end),
                },
                reason: serde_json::from_str(&reason)?,
                state: state_of(&state)?,
                tries: Vec::new(),
            });
        }
        if let (Some(task), Some(attempt), Some(number), Some(tried), Some(began)) =
            (tasks.last_mut(), attempt, number, tried, began)
        {
            task.tries.push(TryRow {
                id: attempt,
                number: u32::try_from(number).unwrap_or(u32::MAX),
                state: state_of(&tried)?,
                started_at: Instant(began),
                ended_at: ended.map(Instant),
                rows: rows.map(i64::cast_unsigned),
                fault: fault.as_deref().map(serde_json::from_str).transpose()?,
            });
        }
    }
    Ok(tasks)
}

/// What was asked for, apart from the first failed task and from the one that says that there are more.
fn task_page(tasks: Vec<TaskRow>, after: i64, limit: usize) -> TaskPage {
    let is_failed = |task: &TaskRow| matches!(task.state, RunState::Failed | RunState::Crashed);
    let (before, mut page): (Vec<TaskRow>, Vec<TaskRow>) = tasks.into_iter().partition(|task| task.id <= after);
    let mut behind = page.split_off(page.len().min(limit));
    let has_more = !behind.is_empty();
    let first_failed = match (before.into_iter().next(), page.iter().any(is_failed)) {
        (Some(failed), _) => Some(failed),
        (None, true) => None,
        (None, false) => behind.pop().filter(is_failed),
    };
    TaskPage {
        tasks: page,
        has_more,
        first_failed,
    }
}
