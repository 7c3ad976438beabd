//! What follows from the facts of flows, as `apply.rs` does it for those of tables.

use mulgil_core::{
    flow::name,
    interval::Instant,
    run::RunState,
    state::Cause,
    tick::Fate,
    walk::{Stage, StepProgress},
};
use serde_json::Value as Json;

use crate::{
    apply::{end_attempt, end_run},
    apply_backfill,
    chunk::{self, Cover},
    document,
    error::Error,
    fact::{FlowBegan, FlowEnded, FlowReopened, Leaves, StepEnded, StepWaits, StepsBegan, StepsEnded, Ticked},
    sql::{self, Conn},
    text,
};

/// A tick that was decided once is decided: whoever comes with it again changes nothing.
pub(crate) async fn tick(conn: &mut Conn, at: Instant, ticked: &Ticked) -> Result<(), Error> {
    for tick in &ticked.ticks {
        let into = match tick.fate {
            Fate::Coalesced { into } => Some(into.0),
            Fate::Runs | Fate::Missed | Fate::Before => None,
        };
        sql::query(
            "insert into tick (owner, schedule, scheduled_at, first_at, fate, into_at, decided_at)
             values ($1, $2, $3, $4, $5, $6, $7) on conflict (owner, schedule, scheduled_at) do nothing",
        )
        .bind(&ticked.owner)
        .bind(&ticked.schedule)
        .bind(tick.scheduled_at.0)
        .bind(tick.first_at.0)
        .bind(tick.fate.as_str())
        .bind(into)
        .bind(at.0)
        .execute(&mut *conn)
        .await?;
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
            "insert into flow_version (fingerprint, definition) values ($1, $2) on conflict (fingerprint) do nothing",
        )
        .bind(began.version.to_string())
        .bind(definition.to_string())
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
        sql::query("update tick set run = $3 where owner = $1 and scheduled_at = $2 and run is null")
            .bind(&owner)
            .bind(scheduled_at.0)
            .bind(began.run)
            .execute(conn)
            .await?;
    }
    Ok(())
}

pub(crate) async fn begin_steps(conn: &mut Conn, seq: i64, at: Instant, began: &StepsBegan) -> Result<(), Error> {
    for step in &began.steps {
        let instance = name::of_step(&began.flow, &step.step);
        put_task_run(
            &mut *conn,
            began.run,
            step.task_run,
            &instance,
            began.interval,
            RunState::Running,
        )
        .await?;
        sql::query(
            "insert into attempt (id, task_run, relation, seq, state, started_at) values ($1, $2, $3, $4, $5, $6)",
        )
        .bind(step.attempt)
        .bind(step.task_run)
        .bind(&instance)
        .bind(seq)
        .bind(RunState::Running.as_str())
        .bind(at.0)
        .execute(&mut *conn)
        .await?;
        put_step(&mut *conn, began.run, &step.step, &step.progress, None).await?;
    }
    Ok(())
}

pub(crate) async fn end_steps(conn: &mut Conn, at: Instant, ended: &StepsEnded) -> Result<(), Error> {
    for step in &ended.steps {
        if let Some(attempt) = step.attempt {
            end_step(&mut *conn, at, attempt, step).await?;
        } else {
            let instance = name::of_step(&ended.flow, &step.step);
            let task_run = step
                .task_run
                .ok_or_else(|| Error::damaged("a step that was passed over has no task run"))?;
            put_task_run(&mut *conn, ended.run, task_run, &instance, ended.interval, step.state).await?;
        }
        let output = (!step.output.is_null()).then_some(&step.output);
        put_step(&mut *conn, ended.run, &step.step, &step.progress, output).await?;
    }
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
    if matches!(step.progress.stage, Stage::Retrying { .. }) {
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
    for StepWaits { step, progress } in &reopened.steps {
        put_step(&mut *conn, reopened.run, step, progress, None).await?;
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

async fn put_task_run(
    conn: &mut Conn,
    run: i64,
    id: i64,
    instance: &str,
    interval: mulgil_core::interval::Interval,
    state: RunState,
) -> Result<(), Error> {
    sql::query(
        "insert into task_run (id, run, instance, kind, start_at, end_at, reason, state)
         values ($1, $2, $3, 'step', $4, $5, '{}', $6)
         on conflict (id) do update set state = excluded.state",
    )
    .bind(id)
    .bind(run)
    .bind(instance)
    .bind(interval.start.0)
    .bind(interval.end.0)
    .bind(state.as_str())
    .execute(conn)
    .await?;
    Ok(())
}

async fn put_step(
    conn: &mut Conn,
    run: i64,
    step: &str,
    progress: &StepProgress,
    output: Option<&Json>,
) -> Result<(), Error> {
    sql::query(
        "insert into flow_step (run, step, progress, output) values ($1, $2, $3, $4)
         on conflict (run, step) do update set progress = excluded.progress, output = excluded.output",
    )
    .bind(run)
    .bind(step)
    .bind(serde_json::to_string(progress)?)
    .bind(output.map(Json::to_string))
    .execute(conn)
    .await?;
    Ok(())
}
