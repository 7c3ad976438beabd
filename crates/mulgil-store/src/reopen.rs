//! Runs of flows that a person has done again.

use std::collections::BTreeMap;

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    flow::Flow,
    interval::{Instant, Interval},
    port::Fault,
    run::RunState,
};
use serde_json::Value as Json;

use crate::{
    OpenWalk, Store, apply,
    error::Error,
    fact::{Fact, FlowReopened, StepWaits},
    flow::{active, open_walks, progress},
    sql::{self, Conn},
};

/// A walk as it began, whatever came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct PastWalk {
    /// The definition that it went by.
    pub flow: Flow,
    /// Its interval.
    pub interval: Interval,
    /// Its parameters.
    pub params: BTreeMap<String, Json>,
    /// How it ended, or stands.
    pub state: RunState,
}

impl Store {
    /// Begins an ended walk again, by its own definition: what of it is not done waits again, with a fresh
    /// count of tries, and the rest keeps what it gave. Gives it as it stands then.
    ///
    /// # Errors
    /// `NOT_FOUND` where there is no such run; `RUN_NOT_RETRIED` when it goes on, has nothing left to do, or
    /// is none of a flow; `CLAIM_HELD` when another run is busy with its interval.
    pub async fn reopen_walk(&self, run: i64, by: &str, now: Instant) -> Result<OpenWalk, Fault> {
        let by = by.to_owned();
        self.write(move |conn| {
            Box::pin(async move {
                let past = named(&mut *conn, run).await?;
                may_reopen(run, past.state)?;
                if let Some(other) = active(&mut *conn, &past.flow, past.interval).await? {
                    return Err(Diagnostic::error(
                        codes::CLAIM_HELD,
                        format!("run {other} is busy with the interval of run {run}"),
                    )
                    .with_remedy(format!(
                        "wait until it has ended, or end it: `mulgil runs cancel {other}`"
                    ))
                    .with_retry(Retry::Later)
                    .into());
                }
                let (mut walk, _) = progress(&mut *conn, run, past.interval).await?;
                let steps = walk.reopen(&past.flow);
                let waits = |step: String| StepWaits {
                    progress: walk.progress(&step),
                    step,
                };
                let reopened = FlowReopened {
                    run,
                    flow: past.flow.name.clone(),
                    by,
                    steps: steps.into_iter().map(waits).collect(),
                };
                apply::record(&mut *conn, &Fact::FlowReopened(reopened), now).await?;
                let open = open_walks(conn, Some(run)).await?.pop();
                open.ok_or_else(|| Error::damaged(format!("run {run} was begun again and does not go on")))
            })
        })
        .await
    }

    /// A walk as it began, whatever came of it.
    ///
    /// # Errors
    /// `NOT_FOUND` where there is no such run, `RUN_NOT_RETRIED` where it is none of a flow.
    pub async fn past_walk(&self, run: i64) -> Result<PastWalk, Fault> {
        self.read(move |conn| Box::pin(async move { named(conn, run).await }))
            .await
    }
}

/// A walk as it began; nothing where the run is none, or none of a flow.
async fn past(conn: &mut Conn, run: i64) -> Result<Option<PastWalk>, Error> {
    let row: Option<(i64, i64, String, String, String)> = sql::query_as(
        "select f.start_at, f.end_at, f.params, v.definition, r.state
         from flow_run f join run r on r.id = f.run join flow_version v on v.fingerprint = f.version where f.run = $1",
    )
    .bind(run)
    .fetch_optional(conn)
    .await?;
    let Some((start, end, params, definition, state)) = row else {
        return Ok(None);
    };
    Ok(Some(PastWalk {
        flow: serde_json::from_str(&definition)?,
        interval: Interval::new(Instant(start), Instant(end))
            .ok_or_else(|| Error::damaged(format!("the interval of run {run} is empty")))?,
        params: serde_json::from_str(&params)?,
        state: RunState::parse(&state)
            .ok_or_else(|| Error::damaged(format!("the state of run {run} cannot be read")))?,
    }))
}

/// As [`past`], for a run that a person named.
async fn named(conn: &mut Conn, run: i64) -> Result<PastWalk, Error> {
    if let Some(past) = past(&mut *conn, run).await? {
        return Ok(past);
    }
    let row: Option<(i64,)> = sql::query_as("select id from run where id = $1")
        .bind(run)
        .fetch_optional(conn)
        .await?;
    Err(match row {
        Some(_) => not_again(
            format!("run {run} filled models: it has no steps that could be done again"),
            "`mulgil run` fills what is still due of them",
        ),
        None => Diagnostic::error(codes::NOT_FOUND, format!("there is no run {run}"))
            .with_remedy("`mulgil runs ls` shows the newest runs"),
    }
    .into())
}

fn may_reopen(run: i64, state: RunState) -> Result<(), Error> {
    let fault = match state {
        RunState::Failed | RunState::Crashed | RunState::Cancelled | RunState::UpstreamFailed => return Ok(()),
        RunState::Success | RunState::Skipped => not_again(
            format!("run {run} is {}: nothing of it is left to do", state.as_str()),
            &format!("`mulgil runs retry {run} --all` does all of it again, as a new run"),
        ),
        RunState::Planned | RunState::Queued | RunState::Running | RunState::Waiting => not_again(
            format!("run {run} goes on"),
            &format!("wait until it has ended, or end it: `mulgil runs cancel {run}`"),
        ),
    };
    Err(fault.into())
}

fn not_again(message: String, remedy: &str) -> Diagnostic {
    Diagnostic::error(codes::RUN_NOT_RETRIED, message).with_remedy(remedy)
}
