//! What follows from the facts of flows, as `apply.rs` does it for those of tables.

use std::collections::BTreeMap;

use mulgil_core::{
    flow::name,
    interval::{Instant, Interval},
    run::RunState,
    state::Cause,
    tick::{Fate, Tick},
    walk::{Stage, StepProgress},
};
use serde_json::Value as Json;
use sqlx::AssertSqlSafe;

use crate::{
    apply::{end_attempt, end_run},
    apply_backfill,
    chunk::{self, Cover},
    document,
    error::Error,
    fact::{
        FlowBegan, FlowDefined, FlowEnded, FlowReopened, Leaves, StepEnded, StepWaits, StepsBegan, StepsEnded, Ticked,
    },
    sql::{self, Conn},
    text,
};

/// Rows that one statement writes at most. Statements are prepared by their texts, so there must be few of them.
pub(crate) const ROWS: usize = 64;

pub(crate) async fn tick(conn: &mut Conn, seq: i64, at: Instant, ticked: &Ticked) -> Result<(), Error> {
    ticks(conn, at, std::iter::once((seq, ticked))).await
}

/// Ticks, each schedule's with the number of its fact. A tick that was decided once is decided: whoever comes with
/// it again changes nothing.
pub(crate) async fn ticks(
    conn: &mut Conn,
    at: Instant,
    ticked: impl Iterator<Item = (i64, &Ticked)>,
) -> Result<(), Error> {
    let each = ticked.flat_map(|(seq, of)| of.ticks.iter().map(move |tick| (seq, of, tick)));
    let each: Vec<(i64, &Ticked, &Tick)> = each.collect();
    for ticks in each.chunks(ROWS) {
        let rows = rows(2, ticks.len(), 7, |at| {
            format!(
                "(${}, ${}, ${}, ${}, ${}, ${}, $1, ${})",
                at,
                at + 1,
                at + 2,
                at + 3,
                at + 4,
                at + 5,
                at + 6
            )
        });
        let insert = format!(
            "insert into tick (owner, schedule, scheduled_at, first_at, fate, into_at, decided_at, seq) values {rows}
             on conflict (owner, schedule, scheduled_at) do nothing"
        );
        let mut query = sql::query(AssertSqlSafe(insert)).bind(at.0);
        for (seq, of, tick) in ticks {
            let into = match tick.fate {
                Fate::Coalesced { into } => Some(into.0),
                Fate::Runs | Fate::Missed | Fate::Before => None,
            };
            query = query.bind(of.owner.as_str()).bind(of.schedule.as_str());
            query = query.bind(tick.scheduled_at.0).bind(tick.first_at.0);
            query = query.bind(tick.fate.as_str()).bind(into).bind(*seq);
        }
        query.execute(&mut *conn).await?;
    }
    Ok(())
}

pub(crate) async fn begin(conn: &mut Conn, seq: i64, at: Instant, began: &FlowBegan) -> Result<(), Error> {
    let owner = name::of_flow(&began.flow);
    sql::query("insert into run (id, \"trigger\", selector, state, started_at) values ($1, $2, $3, $4, $5)")
        .bind(began.run)
        .bind(serde_json::to_string(&began.trigger)?)
        .bind(&owner)
        .bind(RunState::Running.as_str())
        .bind(at.0)
        .execute(&mut *conn)
        .await?;
    if let Some(definition) = &began.definition {
        sql::query(
            "insert into flow_version (fingerprint, definition, seq) values ($1, $2, $3)
             on conflict (fingerprint) do nothing",
        )
        .bind(began.version.to_string())
        .bind(definition.to_string())
        .bind(seq)
        .execute(&mut *conn)
        .await?;
    }
    sql::query(
        "insert into flow_run (run, flow, scheduled_at, start_at, end_at, version, params, seq, backfill)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(began.run)
    .bind(&began.flow)
    .bind(began.scheduled_at.map(|at| at.0))
    .bind(began.interval.start.0)
    .bind(began.interval.end.0)
    .bind(began.version.to_string())
    .bind(serde_json::to_string(&began.params)?)
    .bind(seq)
    .bind(began.backfill)
    .execute(&mut *conn)
    .await?;
    if let Some(scheduled_at) = began.scheduled_at {
        sql::query("update tick set run = $3 where owner = $1 and scheduled_at = $2 and fate = 'runs' and run is null")
            .bind(&owner)
            .bind(scheduled_at.0)
            .bind(began.run)
            .execute(conn)
            .await?;
    }
    Ok(())
}

/// The definition is held by this fact from here on.
pub(crate) async fn define(conn: &mut Conn, seq: i64, defined: &FlowDefined) -> Result<(), Error> {
    sql::query(
        "insert into flow_version (fingerprint, definition, seq) values ($1, $2, $3)
         on conflict (fingerprint) do update set seq = excluded.seq",
    )
    .bind(defined.version.to_string())
    .bind(defined.definition.to_string())
    .bind(seq)
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn begin_steps(conn: &mut Conn, seq: i64, at: Instant, began: &StepsBegan) -> Result<(), Error> {
    for steps in began.steps.chunks(ROWS) {
        let instances: Vec<String> = steps
            .iter()
            .map(|step| name::of_step(&began.flow, &step.step))
            .collect();
        let task_runs = steps.iter().zip(&instances);
        let task_runs = task_runs.map(|(step, instance)| (step.task_run, instance.as_str(), RunState::Running));
        put_task_runs(&mut *conn, began.run, began.interval, task_runs.collect()).await?;
        let rows = rows(3, steps.len(), 4, |at| {
            format!("(${}, ${}, ${}, $1, ${}, $2)", at, at + 1, at + 2, at + 3)
        });
        let insert = format!("insert into attempt (id, task_run, relation, seq, state, started_at) values {rows}");
        let mut query = sql::query(AssertSqlSafe(insert)).bind(seq).bind(at.0);
        for (step, instance) in steps.iter().zip(&instances) {
            query = query.bind(step.attempt).bind(step.task_run);
            query = query.bind(instance.as_str()).bind(RunState::Running.as_str());
        }
        query.execute(&mut *conn).await?;
        let progress = steps.iter().map(|step| (step.step.as_str(), &step.progress, None));
        put_steps(&mut *conn, began.run, progress.collect()).await?;
    }
    Ok(())
}

pub(crate) async fn end_steps(conn: &mut Conn, at: Instant, ended: &StepsEnded) -> Result<(), Error> {
    for steps in ended.steps.chunks(ROWS) {
        let mut passed_over = Vec::new();
        let mut plain: BTreeMap<&'static str, Vec<i64>> = BTreeMap::new();
        for step in steps {
            match (step.attempt, step.task_run) {
                (Some(attempt), _) if step.fault.is_none() && step.rows.is_none() && !is_retrying(step) => {
                    plain.entry(step.state.as_str()).or_default().push(attempt);
                }
                (Some(attempt), _) => end_step(&mut *conn, at, attempt, step).await?,
                (None, Some(task_run)) => passed_over.push((task_run, name::of_step(&ended.flow, &step.step), step)),
                (None, None) => return Err(Error::damaged("a step that was passed over has no task run")),
            }
        }
        for (state, attempts) in plain {
            end_attempts(&mut *conn, &attempts, state, at).await?;
        }
        let task_runs = passed_over
            .iter()
            .map(|(id, instance, step)| (*id, instance.as_str(), step.state));
        put_task_runs(&mut *conn, ended.run, ended.interval, task_runs.collect()).await?;
        let progress = steps.iter().map(|step| {
            let output = (!step.output.is_null()).then_some(&step.output);
            (step.step.as_str(), &step.progress, output)
        });
        put_steps(&mut *conn, ended.run, progress.collect()).await?;
    }
    Ok(())
}

/// Whether another attempt follows.
fn is_retrying(step: &StepEnded) -> bool {
    matches!(step.progress.stage, Stage::Retrying { .. })
}

/// Attempts of which there is nothing to say but how they ended.
async fn end_attempts(conn: &mut Conn, attempts: &[i64], state: &'static str, at: Instant) -> Result<(), Error> {
    let list = rows(3, attempts.len(), 1, |at| format!("${at}"));
    let update = format!("update attempt set state = $1, ended_at = $2, fault = null where id in ({list})");
    let mut query = sql::query(AssertSqlSafe(update)).bind(state).bind(at.0);
    for attempt in attempts {
        query = query.bind(*attempt);
    }
    query.execute(&mut *conn).await?;
    let list = rows(2, attempts.len(), 1, |at| format!("${at}"));
    let update =
        format!("update task_run set state = $1 where id in (select task_run from attempt where id in ({list}))");
    let mut query = sql::query(AssertSqlSafe(update)).bind(state);
    for attempt in attempts {
        query = query.bind(*attempt);
    }
    query.execute(conn).await?;
    Ok(())
}

async fn end_step(conn: &mut Conn, at: Instant, attempt: i64, step: &StepEnded) -> Result<(), Error> {
    let fault = step.fault.as_ref().map(serde_json::to_string).transpose()?;
    end_attempt(&mut *conn, attempt, step.state, at, fault).await?;
    if let Some(rows) = step.rows {
        sql::query("update attempt set rows = $2 where id = $1")
            .bind(attempt)
            .bind(rows.cast_signed())
            .execute(&mut *conn)
            .await?;
    }
    // The task run goes on where another attempt follows.
    if is_retrying(step) {
        sql::query("update task_run set state = $2 where id = (select task_run from attempt where id = $1)")
            .bind(attempt)
            .bind(RunState::Waiting.as_str())
            .execute(conn)
            .await?;
    }
    Ok(())
}

pub(crate) async fn cancel(conn: &mut Conn, run: i64) -> Result<(), Error> {
    sql::query("update flow_run set is_cancelled = 1 where run = $1")
        .bind(run)
        .execute(conn)
        .await?;
    Ok(())
}

/// The run goes on, and what waits again of it has given nothing.
pub(crate) async fn reopen(conn: &mut Conn, at: Instant, reopened: &FlowReopened) -> Result<(), Error> {
    sql::query("update run set state = $2, ended_at = null where id = $1")
        .bind(reopened.run)
        .bind(RunState::Running.as_str())
        .execute(&mut *conn)
        .await?;
    sql::query("update flow_run set ended_at = null, is_cancelled = 0, reopened_at = $2 where run = $1")
        .bind(reopened.run)
        .bind(at.0)
        .execute(&mut *conn)
        .await?;
    for steps in reopened.steps.chunks(ROWS) {
        let progress = steps.iter().map(|waits| (waits.step.as_str(), &waits.progress, None));
        put_steps(&mut *conn, reopened.run, progress.collect()).await?;
    }
    for StepWaits { step, .. } in &reopened.steps {
        sql::query("update task_run set state = $3 where run = $1 and instance = $2")
            .bind(reopened.run)
            .bind(name::of_step(&reopened.flow, step))
            .bind(RunState::Waiting.as_str())
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

pub(crate) async fn end(conn: &mut Conn, seq: i64, at: Instant, ended: &FlowEnded) -> Result<(), Error> {
    end_run(&mut *conn, ended.run, ended.state, at).await?;
    sql::query("update flow_run set ended_at = $2 where run = $1")
        .bind(ended.run)
        .bind(at.0)
        .execute(&mut *conn)
        .await?;
    let instance = text::of_instance(&ended.instance);
    match &ended.leaves {
        Leaves::Nothing => Ok(()),
        Leaves::Filled { made_at, claim_seq } => {
            let cover = Cover {
                range: ended.interval,
                made_with: mulgil_core::project::CodeFp::default(),
                claim_seq: *claim_seq,
                made_at: *made_at,
                filled_at: at,
            };
            chunk::replace(&mut *conn, &instance, ended.interval, &[cover]).await?;
            document::change(&mut *conn, &instance, |document| {
                document.fill(seq, *claim_seq, ended.interval, false);
            })
            .await?;
            apply_backfill::filled(conn, at, &instance, ended.interval, *claim_seq).await
        }
        Leaves::Failing(failing) => {
            document::change(&mut *conn, &instance, |document| {
                document.failing.insert(ended.interval, *failing);
                // What a person asked for was tried; that it failed is told, and trying again is asked again.
                document.unask(&Cause::Manual, ended.interval, i64::MAX);
            })
            .await?;
            apply_backfill::failed(conn, at, &instance, ended.interval, i64::MAX).await
        }
        Leaves::Cancelled { claim_seq, failing } => {
            document::change(&mut *conn, &instance, |document| {
                if let Some(failing) = failing {
                    document.failing.insert(ended.interval, *failing);
                }
                document.unask(&Cause::Manual, ended.interval, *claim_seq);
            })
            .await?;
            apply_backfill::failed(conn, at, &instance, ended.interval, *claim_seq).await
        }
    }
}

/// Rows of one statement, so many, each of so many values and written by `row`, which is told the number of its
/// first value; that of the first row is `first`.
pub(crate) fn rows(first: usize, count: usize, values: usize, row: impl Fn(usize) -> String) -> String {
    let rows: Vec<String> = (0..count).map(|index| row(first + index * values)).collect();
    rows.join(", ")
}

async fn put_task_runs(
    conn: &mut Conn,
    run: i64,
    interval: Interval,
    task_runs: Vec<(i64, &str, RunState)>,
) -> Result<(), Error> {
    if task_runs.is_empty() {
        return Ok(());
    }
    let rows = rows(3, task_runs.len(), 4, |at| {
        format!(
            "(${}, $1, ${}, 'step', $2, ${}, '{{}}', ${})",
            at,
            at + 1,
            at + 2,
            at + 3
        )
    });
    let insert = format!(
        "insert into task_run (id, run, instance, kind, start_at, end_at, reason, state) values {rows}
         on conflict (id) do update set state = excluded.state"
    );
    let mut query = sql::query(AssertSqlSafe(insert)).bind(run).bind(interval.start.0);
    for (id, instance, state) in task_runs {
        query = query.bind(id).bind(instance).bind(interval.end.0).bind(state.as_str());
    }
    query.execute(conn).await?;
    Ok(())
}

async fn put_steps(conn: &mut Conn, run: i64, steps: Vec<(&str, &StepProgress, Option<&Json>)>) -> Result<(), Error> {
    let rows = rows(2, steps.len(), 3, |at| {
        format!("($1, ${}, ${}, ${})", at, at + 1, at + 2)
    });
    let upsert = format!(
        "insert into flow_step (run, step, progress, output) values {rows}
         on conflict (run, step) do update set progress = excluded.progress, output = excluded.output"
    );
    let mut query = sql::query(AssertSqlSafe(upsert)).bind(run);
    for (step, progress, output) in steps {
        query = query
            .bind(step)
            .bind(serde_json::to_string(progress)?)
            .bind(output.map(Json::to_string));
    }
    query.execute(conn).await?;
    Ok(())
}
