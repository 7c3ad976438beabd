//! A flow's runs, by interval and by start, and how their steps stand.

use mulgil_core::{
    flow::name,
    interval::Instant,
    port::Fault,
    run::RunState,
    tick::{Fate, Tick},
};
use sqlx::AssertSqlSafe;

use super::{HeadRow, RunHead, head, head_columns, state_of};
use crate::{ScheduleKey, Store, TickRow, apply_flow::rows, error::Error, sql};

/// Runs, or intervals, that are looked at for those of a state before a page says where to go on.
const LOOKED: usize = 1_000;
/// Runs whose cells one statement reads; fewer are filled up, so that there are few such statements.
const RUNS_AT_ONCE: usize = 25;
/// Steps that one statement names; fewer are filled up.
const STEPS_AT_ONCE: usize = 200;
/// Cells that one statement reads where it names no steps.
const MOST_CELLS: i64 = 10_000;

/// By what a flow's runs are put in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowOrder {
    /// By the beginning of their interval; of several runs of one the newest.
    Interval,
    /// By their number.
    Start,
}

/// From where on, and in which direction. A place is the number of a run, or the start of an interval in
/// microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toward {
    /// What is before this place, the newest first.
    Older(i64),
    /// What is behind this place, the oldest first.
    Newer(i64),
}

/// Some of a flow's runs.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowRuns {
    /// Them, in the direction that was asked for.
    pub runs: Vec<RunHead>,
    /// Where they go on in that direction; none where there are no more.
    pub next: Option<i64>,
}

/// Which cells.
#[derive(Clone, Copy, Debug)]
pub enum CellsOf<'a> {
    /// Those of all steps.
    All,
    /// Those of these steps; at most 200.
    Steps(&'a [&'a str]),
}

/// A step in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellRow {
    /// The run.
    pub run: i64,
    /// Its task run.
    pub task_run: i64,
    /// The step.
    pub step: String,
    /// How it stands.
    pub state: RunState,
    /// Its attempts.
    pub attempts: u32,
    /// How long all of them took together, in microseconds; until now of one that goes on.
    pub took_us: i64,
}

impl Store {
    /// Runs of a flow, of a state or all, at most `limit` of them. Where few have the state, the answer may hold
    /// fewer and still say where to go on.
    pub async fn flow_runs(
        &self,
        flow: &str,
        order: FlowOrder,
        only: Option<RunState>,
        toward: Toward,
        limit: usize,
    ) -> Result<FlowRuns, Fault> {
        let flow = flow.to_owned();
        let (place, select) = match (order, toward) {
            (FlowOrder::Start, Toward::Older(place)) => (place, BY_START_OLDER),
            (FlowOrder::Start, Toward::Newer(place)) => (place, BY_START_NEWER),
            (FlowOrder::Interval, Toward::Older(place)) => (place, BY_INTERVAL_OLDER),
            (FlowOrder::Interval, Toward::Newer(place)) => (place, BY_INTERVAL_NEWER),
        };
        // One more says that there are more.
        let looked_at = if only.is_some() { LOOKED.max(limit) } else { limit } + 1;
        self.read(move |conn| {
            Box::pin(async move {
                let found: Vec<HeadRow> = sql::query_as(select)
                    .bind(flow)
                    .bind(place)
                    .bind(looked_at as i64)
                    .fetch_all(conn)
                    .await?;
                let mut runs: Vec<RunHead> = found.into_iter().map(head).collect::<Result<_, _>>()?;
                let place_of = |run: &RunHead| match order {
                    FlowOrder::Start => run.id,
                    FlowOrder::Interval => run.interval.map_or(run.id, |interval| interval.start.0),
                };
                // The last one that was looked at is the one more, wherever there are more.
                let mut next = (runs.len() == looked_at).then(|| runs.pop()).flatten();
                next = next.and_then(|_| runs.last().cloned());
                if let Some(state) = only {
                    runs.retain(|run| run.state == state);
                }
                if runs.len() > limit {
                    runs.truncate(limit);
                    next = runs.last().cloned();
                }
                Ok(FlowRuns {
                    next: next.as_ref().map(place_of),
                    runs,
                })
            })
        })
        .await
    }

    /// How the steps of some runs of a flow stand; at most 25 runs.
    pub async fn flow_cells(
        &self,
        flow: &str,
        runs: &[i64],
        of: CellsOf<'_>,
        now: Instant,
    ) -> Result<Vec<CellRow>, Fault> {
        let Some(first) = runs.first() else {
            return Ok(Vec::new());
        };
        let mut runs = runs.to_vec();
        runs.resize(RUNS_AT_ONCE, *first);
        let steps: Vec<String> = match of {
            CellsOf::All => Vec::new(),
            CellsOf::Steps([]) => return Ok(Vec::new()),
            CellsOf::Steps(steps) => (0..STEPS_AT_ONCE)
                .map(|at| name::of_step(flow, steps.get(at).unwrap_or(&steps[0])))
                .collect(),
        };
        let prefix = name::of_step(flow, "");
        let select = cells_of(!steps.is_empty());
        self.read(move |conn| {
            Box::pin(async move {
                let mut query = sql::query_as(AssertSqlSafe(select)).bind(now.0);
                for run in runs {
                    query = query.bind(run);
                }
                for step in steps {
                    query = query.bind(step);
                }
                let rows: Vec<(i64, i64, String, String, i64, i64)> = query.fetch_all(conn).await?;
                let cell = |(run, task_run, instance, state, attempts, took_us): (_, _, String, String, i64, _)| {
                    Ok(CellRow {
                        run,
                        task_run,
                        step: instance.strip_prefix(&prefix).unwrap_or(&instance).to_owned(),
                        state: state_of(&state)?,
                        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
                        took_us,
                    })
                };
                rows.into_iter().map(cell).collect()
            })
        })
        .await
    }

    /// The newest tick of a schedule.
    pub async fn newest_tick(&self, of: ScheduleKey) -> Result<Option<TickRow>, Fault> {
        self.read(move |conn| {
            Box::pin(async move {
                let row: Option<TickTuple> = sql::query_as(
                    "select scheduled_at, first_at, fate, into_at, decided_at, run from tick
                     where owner = $1 and schedule = $2 order by scheduled_at desc limit 1",
                )
                .bind(&of.owner)
                .bind(&of.schedule)
                .fetch_optional(conn)
                .await?;
                let Some((scheduled_at, first_at, fate, into, decided_at, run)) = row else {
                    return Ok(None);
                };
                let fate = Fate::parse(&fate, into.map(Instant))
                    .ok_or_else(|| Error::damaged("what became of a tick cannot be read"))?;
                Ok(Some(TickRow {
                    of,
                    tick: Tick {
                        scheduled_at: Instant(scheduled_at),
                        first_at: Instant(first_at),
                        fate,
                    },
                    decided_at: Instant(decided_at),
                    run,
                }))
            })
        })
        .await
    }
}

const BY_START_OLDER: &str = concat!(
    "select ",
    head_columns!(),
    " from flow_run f join run r on r.id = f.run where f.flow = $1 and f.run < $2 order by f.run desc limit $3"
);

const BY_START_NEWER: &str = concat!(
    "select ",
    head_columns!(),
    " from flow_run f join run r on r.id = f.run where f.flow = $1 and f.run > $2 order by f.run limit $3"
);

/// One step into the index for each interval, however many runs an interval has.
const BY_INTERVAL_OLDER: &str = concat!(
    "with recursive place (start_at, depth) as (
         select (select max(start_at) from flow_run where flow = $1 and start_at < $2), cast(1 as bigint)
         union all
         select (select max(o.start_at) from flow_run o where o.flow = $1 and o.start_at < p.start_at), p.depth + 1
         from place p where p.start_at is not null and p.depth < $3
     ),
     newest as (
         select (select max(o.run) from flow_run o where o.flow = $1 and o.start_at = p.start_at) as run
         from place p where p.start_at is not null
     )
     select ",
    head_columns!(),
    " from newest n join flow_run f on f.run = n.run join run r on r.id = n.run order by f.start_at desc"
);

const BY_INTERVAL_NEWER: &str = concat!(
    "with recursive place (start_at, depth) as (
         select (select min(start_at) from flow_run where flow = $1 and start_at > $2), cast(1 as bigint)
         union all
         select (select min(o.start_at) from flow_run o where o.flow = $1 and o.start_at > p.start_at), p.depth + 1
         from place p where p.start_at is not null and p.depth < $3
     ),
     newest as (
         select (select max(o.run) from flow_run o where o.flow = $1 and o.start_at = p.start_at) as run
         from place p where p.start_at is not null
     )
     select ",
    head_columns!(),
    " from newest n join flow_run f on f.run = n.run join run r on r.id = n.run order by f.start_at"
);

/// Reads the cells of so many runs: of all their steps, or of those that are named.
fn cells_of(names_steps: bool) -> String {
    let runs = rows(2, RUNS_AT_ONCE, 1, |at| format!("${at}"));
    let steps = rows(2 + RUNS_AT_ONCE, STEPS_AT_ONCE, 1, |at| format!("${at}"));
    let named = if names_steps {
        format!("and t.instance in ({steps})")
    } else {
        String::new()
    };
    format!(
        "select t.run, t.id, t.instance, t.state, count(a.id),
                cast(coalesce(sum(coalesce(a.ended_at, $1) - a.started_at), 0) as bigint)
         from task_run t left join attempt a on a.task_run = t.id
         where t.run in ({runs}) and t.kind = 'step' {named}
         group by t.id, t.run, t.instance, t.state order by t.run desc, t.id limit {MOST_CELLS}"
    )
}

/// One row of ticks.
type TickTuple = (i64, i64, String, Option<i64>, i64, Option<i64>);
