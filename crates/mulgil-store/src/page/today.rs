//! The last day at a glance: runs of flows, ticks that wait for theirs, and what failed. Each answer is one
//! bounded look at what is newest, whatever the ledger holds.

use std::collections::BTreeMap;

use mulgil_core::{
    diagnostic::Diagnostic,
    flow::name,
    interval::{Instant, Interval},
    name::Instance,
    port::Fault,
    run::{RunState, TaskKind},
};

use crate::{Store, error::Error, sql, text};

/// Runs that go on and are looked at, the newest.
const OPEN_RUNS_LOOKED_AT: i64 = 1_000;
/// Attempts among which those that failed are looked for.
const ATTEMPTS_LOOKED_AT: i64 = 2_000;
/// Failed attempts that are told.
const FAILED_TOLD: i64 = 200;

/// A run of a flow, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRunRow {
    /// Its number.
    pub run: i64,
    /// The flow.
    pub flow: String,
    /// Its interval; all of time for a flow without any.
    pub interval: Interval,
    /// The tick that it is for.
    pub scheduled_at: Option<Instant>,
    /// How it stands.
    pub state: RunState,
    /// When it began.
    pub started_at: Instant,
    /// When it ended.
    pub ended_at: Option<Instant>,
}

/// A run of a flow as it is read.
type RunRow = (i64, String, i64, i64, Option<i64>, String, i64, Option<i64>);

fn run_row((run, flow, start, end, scheduled_at, state, started_at, ended_at): RunRow) -> Result<FlowRunRow, Error> {
    Ok(FlowRunRow {
        run,
        flow,
        interval: Interval::new(Instant(start), Instant(end)).unwrap_or(Interval::WHOLE),
        scheduled_at: scheduled_at.map(Instant),
        state: RunState::parse(&state).ok_or_else(|| Error::damaged("a run has no state"))?,
        started_at: Instant(started_at),
        ended_at: ended_at.map(Instant),
    })
}

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq)]
pub struct FailedRow {
    /// Its number.
    pub attempt: i64,
    /// Which try of its task run it was, from 1 on.
    pub try_number: u32,
    /// Its task run.
    pub task: i64,
    /// Its run.
    pub run: i64,
    /// Whose: of a step the flow's, of which `step` is a part.
    pub instance: Instance,
    /// The step, where it is one.
    pub step: Option<String>,
    /// What it did.
    pub kind: TaskKind,
    /// Its range.
    pub range: Interval,
    /// When it ended.
    pub ended_at: Instant,
    /// Why.
    pub fault: Diagnostic,
}

/// Ticks of a flow whose runs have not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenTicks {
    /// The oldest.
    pub first_at: Instant,
    /// How many.
    pub count: u64,
}

impl Store {
    /// The newest run of each flow, and those that go on, newest first.
    pub async fn newest_flow_runs(&self) -> Result<Vec<FlowRunRow>, Fault> {
        self.read(move |conn| {
            Box::pin(async move {
                // From name to name by the index, however many runs each has.
                let rows: Vec<RunRow> = sql::query_as(
                    "with recursive names (flow) as (
                        select min(flow) from flow_run
                        union all
                        select (select min(f.flow) from flow_run f where f.flow > names.flow)
                        from names where names.flow is not null
                     ), wanted (run) as (
                        select (select max(f.run) from flow_run f where f.flow = names.flow) from names
                        union
                        select open.run from (
                            select run from flow_run where ended_at is null order by run desc limit $1
                        ) open
                     )
                     select f.run, f.flow, f.start_at, f.end_at, f.scheduled_at, r.state, r.started_at, r.ended_at
                     from wanted join flow_run f on f.run = wanted.run join run r on r.id = f.run
                     order by f.run desc",
                )
                .bind(OPEN_RUNS_LOOKED_AT)
                .fetch_all(conn)
                .await?;
                rows.into_iter().map(run_row).collect()
            })
        })
        .await
    }

    /// What ran of some flows since a moment: of each the newest runs, newest first, and how many there were.
    pub async fn flow_days(
        &self,
        flows: &[&str],
        since: Instant,
        shown: usize,
    ) -> Result<BTreeMap<String, (Vec<FlowRunRow>, u64)>, Fault> {
        if flows.is_empty() {
            return Ok(BTreeMap::new());
        }
        let flows: Vec<String> = flows.iter().map(|flow| (*flow).to_owned()).collect();
        self.read(move |conn| {
            Box::pin(async move {
                type Row = (String, i64, i64, i64, Option<i64>, String, i64, Option<i64>, i64);
                let names: Vec<String> = (0..flows.len()).map(|at| format!("(${})", at + 3)).collect();
                let text = format!(
                    "with names (flow) as (values {}), last (run) as (
                        select coalesce((select id from run where started_at < $1 order by id desc limit 1), 0)
                     ), counts (flow, many) as materialized (
                        select names.flow, (
                            select count(*) from flow_run f where f.flow = names.flow and f.run > last.run
                        ) from names cross join last
                     )
                     select f.flow, f.run, f.start_at, f.end_at, f.scheduled_at, r.state, r.started_at, r.ended_at,
                        counts.many
                     from counts join flow_run f on f.flow = counts.flow and f.run in (
                        select n.run from flow_run n where n.flow = counts.flow order by n.run desc limit $2
                     ) join run r on r.id = f.run
                     where r.started_at >= $1 or r.ended_at is null
                     order by f.run desc",
                    names.join(", ")
                );
                let mut query = sql::query_as(sqlx::AssertSqlSafe(text))
                    .bind(since.0)
                    .bind(i64::try_from(shown).unwrap_or(i64::MAX));
                for flow in &flows {
                    query = query.bind(flow);
                }
                let rows: Vec<Row> = query.fetch_all(conn).await?;
                let mut days: BTreeMap<String, (Vec<FlowRunRow>, u64)> = BTreeMap::new();
                for (flow, run, start, end, scheduled_at, state, started_at, ended_at, many) in rows {
                    let row = run_row((run, flow.clone(), start, end, scheduled_at, state, started_at, ended_at))?;
                    let (day, count) = days.entry(flow).or_default();
                    day.push(row);
                    *count = many.max(0).unsigned_abs();
                }
                Ok(days)
            })
        })
        .await
    }

    /// The newest attempts that failed, newest first.
    pub async fn newest_failed(&self) -> Result<Vec<FailedRow>, Fault> {
        self.read(move |conn| {
            Box::pin(async move {
                type Row = (i64, i64, i64, String, String, i64, i64, i64, String, i64);
                let rows: Vec<Row> = sql::query_as(
                    "select a.id, t.id, t.run, t.instance, t.kind, t.start_at, t.end_at, a.ended_at, a.fault,
                        (select count(*) from attempt b where b.task_run = a.task_run and b.id <= a.id)
                     from (select id, task_run, state, ended_at, fault from attempt order by id desc limit $1) a
                     join task_run t on t.id = a.task_run
                     where a.state in ('failed', 'crashed') and a.fault is not null and a.ended_at is not null
                     order by a.id desc limit $2",
                )
                .bind(ATTEMPTS_LOOKED_AT)
                .bind(FAILED_TOLD)
                .fetch_all(conn)
                .await?;
                rows.into_iter()
                    .map(
                        |(attempt, task, run, instance, kind, start, end, ended_at, fault, number)| {
                            let (instance, step) = instance_of(&instance)?;
                            Ok(FailedRow {
                                attempt,
                                try_number: u32::try_from(number).unwrap_or(u32::MAX),
                                task,
                                run,
                                instance,
                                step,
                                kind: text::kind(&kind)
                                    .ok_or_else(|| Error::damaged(format!("`{kind}` is no kind of task")))?,
                                range: Interval::new(Instant(start), Instant(end)).unwrap_or(Interval::WHOLE),
                                ended_at: Instant(ended_at),
                                fault: serde_json::from_str(&fault)?,
                            })
                        },
                    )
                    .collect()
            })
        })
        .await
    }

    /// How many attempts are live: steps, fills and tests.
    pub async fn live_attempts(&self) -> Result<u64, Fault> {
        self.read(move |conn| {
            Box::pin(async move {
                let live: i64 = sql::query_scalar("select count(*) from attempt where state = 'running'")
                    .fetch_one(conn)
                    .await?;
                Ok(live.max(0).unsigned_abs())
            })
        })
        .await
    }

    /// Ticks whose runs have not begun, by the name of their flow.
    pub async fn ticks_without_runs(&self) -> Result<BTreeMap<String, OpenTicks>, Fault> {
        self.read(move |conn| {
            Box::pin(async move {
                let rows: Vec<(String, i64, i64)> = sql::query_as(
                    "select owner, min(scheduled_at), count(*) from tick where fate = 'runs' and run is null
                     group by owner",
                )
                .fetch_all(conn)
                .await?;
                let open = rows.into_iter().filter_map(|(owner, first, count)| {
                    let open = OpenTicks {
                        first_at: Instant(first),
                        count: count.max(0).unsigned_abs(),
                    };
                    Some((name::flow_in(&owner)?.to_owned(), open))
                });
                Ok(open.collect())
            })
        })
        .await
    }
}

/// The flow and the step of a step's task run; else whose it is.
fn instance_of(told: &str) -> Result<(Instance, Option<String>), Error> {
    let step = name::flow_in(told).and_then(|rest| rest.split_once('/'));
    match step {
        Some((flow, step)) => Ok((Instance::of(name::of_flow(flow).as_str().into()), Some(step.to_owned()))),
        None => Ok((text::known_instance(told)?, None)),
    }
}
