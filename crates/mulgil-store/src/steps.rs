//! Attempts of steps: what of a walk begins and what has ended is recorded together, so that a step that ends and
//! those that begin because of it are one commit.

use std::collections::BTreeMap;

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    flow::name,
    interval::{Instant, Interval},
    port::Fault,
    run::RunState,
    walk::StepProgress,
};
use serde_json::Value as Json;
use sqlx::AssertSqlSafe;

use crate::{
    Store, apply,
    apply_flow::{ROWS, rows},
    error::Error,
    fact::{Fact, StepBegan, StepEnded, StepsBegan, StepsEnded},
    flow::open,
    sql::{self, Conn},
};

/// An attempt of a step that is to begin.
#[derive(Clone, Debug, PartialEq)]
pub struct StepStart {
    /// The step.
    pub step: String,
    /// How far the step is with it.
    pub progress: StepProgress,
}

/// An attempt of a step that ended, or a step that is passed over.
#[derive(Clone, Debug, PartialEq)]
pub struct EndedStep {
    /// The step.
    pub step: String,
    /// Its attempt, and the epoch of that; none for a step that is passed over.
    pub attempt: Option<(i64, i64)>,
    /// How the attempt ended, or the step.
    pub state: RunState,
    /// Rows that it told of.
    pub rows: Option<u64>,
    /// Why it failed.
    pub fault: Option<Diagnostic>,
    /// What it gave; null for nothing.
    pub output: Json,
    /// How far the step is.
    pub progress: StepProgress,
}

/// What of a walk is recorded together.
#[derive(Clone, Debug, PartialEq)]
pub struct StepsTurn {
    /// The run.
    pub run: i64,
    /// Its flow.
    pub flow: String,
    /// Its interval.
    pub interval: Interval,
    /// What has ended.
    pub ended: Vec<EndedStep>,
    /// What begins, partly because of it.
    pub starts: Vec<StepStart>,
}

/// What was recorded of a walk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepsTaken {
    /// The number and the epoch of each attempt that begins, in order.
    pub claims: Vec<(i64, i64)>,
    /// Attempts that may not say anything any more: of their ends nothing is recorded.
    pub fenced: Vec<i64>,
}

impl Store {
    /// Records how attempts of walks ended and what is passed over, and claims attempts that begin then: all that
    /// ends first, because what begins may have its slot from a step of another walk. Gives what was recorded of
    /// each walk, in order.
    ///
    /// # Errors
    /// `CLAIM_STALE` when a walk has ended, or when something is to begin and an attempt of its walk that ended may
    /// not say so any more; `CLAIM_HELD` when an attempt of a step is live already. Then nothing is recorded.
    pub async fn take_steps(&self, turns: Vec<StepsTurn>, now: Instant) -> Result<Vec<StepsTaken>, Fault> {
        self.write(move |conn| Box::pin(async move { take(conn, turns, now).await }))
            .await
    }
}

async fn take(conn: &mut Conn, turns: Vec<StepsTurn>, now: Instant) -> Result<Vec<StepsTaken>, Error> {
    let mut begins = Vec::with_capacity(turns.len());
    for StepsTurn {
        run,
        flow,
        interval,
        ended,
        starts,
    } in turns
    {
        open(&mut *conn, run).await?;
        let fenced = end(&mut *conn, run, &flow, interval, ended, now).await?;
        if !fenced.is_empty() && !starts.is_empty() {
            return Err(not_live(run, &fenced));
        }
        begins.push((run, flow, interval, starts, fenced));
    }
    let mut taken = Vec::with_capacity(begins.len());
    for (run, flow, interval, starts, fenced) in begins {
        let claims = begin(&mut *conn, run, &flow, interval, starts, now).await?;
        taken.push(StepsTaken { claims, fenced });
    }
    Ok(taken)
}

/// Claims attempts.
async fn begin(
    conn: &mut Conn,
    run: i64,
    flow: &str,
    interval: Interval,
    starts: Vec<StepStart>,
    now: Instant,
) -> Result<Vec<(i64, i64)>, Error> {
    if starts.is_empty() {
        return Ok(Vec::new());
    }
    let mut task_run = next(&mut *conn, "select coalesce(max(id), 0) + 1 from task_run").await?;
    let mut attempt = crate::attempt::next_attempt(&mut *conn).await?;
    let mut steps = Vec::with_capacity(starts.len());
    let instances: Vec<String> = starts.iter().map(|start| name::of_step(flow, &start.step)).collect();
    let known = known_steps(&mut *conn, run, &instances).await?;
    for (start, instance) in starts.into_iter().zip(&instances) {
        let known = known.get(instance);
        if known.is_some_and(|known| known.live > 0) {
            return Err(is_live_already(run, &start.step));
        }
        let known = known.map(|known| known.task_run);
        steps.push(StepBegan {
            task_run: known.unwrap_or(task_run),
            step: start.step,
            attempt,
            progress: start.progress,
        });
        task_run += i64::from(known.is_none());
        attempt += 1;
    }
    let attempts: Vec<i64> = steps.iter().map(|step| step.attempt).collect();
    let began = StepsBegan {
        run,
        flow: flow.to_owned(),
        interval,
        steps,
    };
    let seq = apply::record(conn, &Fact::StepsBegan(began), now).await?;
    Ok(attempts.into_iter().map(|attempt| (attempt, seq)).collect())
}

/// Records ends; gives the attempts that may not say anything any more.
async fn end(
    conn: &mut Conn,
    run: i64,
    flow: &str,
    interval: Interval,
    ended: Vec<EndedStep>,
    now: Instant,
) -> Result<Vec<i64>, Error> {
    if ended.is_empty() {
        return Ok(Vec::new());
    }
    let mut task_run = next(&mut *conn, "select coalesce(max(id), 0) + 1 from task_run").await?;
    let (mut steps, mut fenced) = (Vec::with_capacity(ended.len()), Vec::new());
    let attempts: Vec<i64> = ended.iter().filter_map(|end| Some(end.attempt?.0)).collect();
    let live = live_epochs(&mut *conn, &attempts).await?;
    let passed_over = ended.iter().filter(|end| end.attempt.is_none());
    let passed_over: Vec<String> = passed_over.map(|end| name::of_step(flow, &end.step)).collect();
    let known = known_steps(&mut *conn, run, &passed_over).await?;
    for end in ended {
        if let Some((attempt, epoch)) = end.attempt
            && live.get(&attempt) != Some(&epoch)
        {
            fenced.push(attempt);
            continue;
        }
        let mut own = None;
        if end.attempt.is_none() {
            let known = known.get(&name::of_step(flow, &end.step)).map(|known| known.task_run);
            own = Some(known.unwrap_or(task_run));
            task_run += i64::from(known.is_none());
        }
        steps.push(StepEnded {
            step: end.step,
            attempt: end.attempt.map(|(attempt, _)| attempt),
            task_run: own,
            state: end.state,
            rows: end.rows,
            fault: end.fault,
            output: end.output,
            progress: end.progress,
        });
    }
    if !steps.is_empty() {
        let ended = StepsEnded {
            run,
            flow: flow.to_owned(),
            interval,
            steps,
        };
        apply::record(conn, &Fact::StepsEnded(ended), now).await?;
    }
    Ok(fenced)
}

/// The epochs of those of the attempts that are live.
async fn live_epochs(conn: &mut Conn, attempts: &[i64]) -> Result<BTreeMap<i64, i64>, Error> {
    let mut live = BTreeMap::new();
    for attempts in attempts.chunks(ROWS) {
        let list = rows(1, attempts.len(), 1, |at| format!("${at}"));
        let select = format!("select id, seq from attempt where state = 'running' and id in ({list})");
        let mut query = sql::query_as::<(i64, i64)>(AssertSqlSafe(select));
        for attempt in attempts {
            query = query.bind(*attempt);
        }
        live.extend(query.fetch_all(&mut *conn).await?);
    }
    Ok(live)
}

/// What there is of a step in a run.
struct KnownStep {
    task_run: i64,
    /// Its live attempts.
    live: i64,
}

/// Those of the steps that had an attempt in a run, or were passed over, by their instances.
async fn known_steps(conn: &mut Conn, run: i64, instances: &[String]) -> Result<BTreeMap<String, KnownStep>, Error> {
    let mut known = BTreeMap::new();
    for instances in instances.chunks(ROWS) {
        let list = rows(2, instances.len(), 1, |at| format!("${at}"));
        let select = format!(
            "select t.instance, t.id, (select count(*) from attempt a where a.task_run = t.id and a.state = 'running')
             from task_run t where t.run = $1 and t.instance in ({list})"
        );
        let mut query = sql::query_as::<(String, i64, i64)>(AssertSqlSafe(select)).bind(run);
        for instance in instances {
            query = query.bind(instance);
        }
        let rows = query.fetch_all(&mut *conn).await?.into_iter();
        known.extend(rows.map(|(instance, task_run, live)| (instance, KnownStep { task_run, live })));
    }
    Ok(known)
}

/// One attempt of a step at a time.
fn is_live_already(run: i64, step: &str) -> Error {
    let message = format!("an attempt of the step `{step}` of run {run} is live");
    Diagnostic::error(codes::CLAIM_HELD, message)
        .with_remedy("nothing: the server reads again how the run stands")
        .with_retry(Retry::Later)
        .into()
}

/// Somebody else has taken the work over.
fn not_live(run: i64, attempts: &[i64]) -> Error {
    let message = format!("attempts of run {run} that ended are not live any more: {attempts:?}");
    Diagnostic::error(codes::CLAIM_STALE, message)
        .with_remedy("nothing: the server reads again how the run stands")
        .with_retry(Retry::Later)
        .into()
}

async fn next(conn: &mut Conn, sql: &'static str) -> Result<i64, Error> {
    let (id,): (i64,) = sql::query_as(sql).fetch_one(conn).await?;
    Ok(id)
}
