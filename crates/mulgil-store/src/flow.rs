//! Ticks, and walks over flows: what came of each, and how far each step is. Every change is one request,
//! so that a walk is never half recorded; what was recorded is where the next server goes on.

use std::collections::BTreeMap;

use mulgil_core::{
    backfill::Terms,
    codes,
    diagnostic::{Code, Diagnostic, Retry},
    flow::{Flow, name},
    interval::{Instant, Interval, RangeSet},
    name::Instance,
    port::Fault,
    project::Fingerprint,
    run::{RunState, Trigger},
    state::{Failing, HELD_AFTER_FAILURES, NodeState},
    walk::Walk,
};
use serde_json::Value as Json;

use crate::{
    Store, apply, document,
    error::Error,
    fact::{Fact, FlowBegan, FlowEnded, Leaves},
    load,
    sql::{self, Conn},
    text,
};

/// A walk that is to begin.
#[derive(Clone, Debug, PartialEq)]
pub struct NewWalk {
    /// Over which flow; the walk goes by this definition to its end.
    pub flow: Flow,
    /// What starts it.
    pub trigger: Trigger,
    /// The tick that it is for.
    pub scheduled_at: Option<Instant>,
    /// The interval that it is for; [`Interval::WHOLE`] for a flow without any.
    pub interval: Interval,
    /// Its parameters, as [`Flow`] gave them.
    pub params: BTreeMap<String, Json>,
    /// The backfill that asked for it.
    pub backfill: Option<i64>,
}

/// What became of a walk that was to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It began, as this run.
    Run(i64),
    /// Another run of the flow is busy with the interval.
    Active(i64),
    /// The tick has had its run already.
    Ran(i64),
}

/// A walk that has not ended.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenWalk {
    /// The definition that it goes by.
    pub flow: Flow,
    /// What started it.
    pub trigger: Trigger,
    /// The tick that it is for.
    pub scheduled_at: Option<Instant>,
    /// When it began.
    pub started_at: Instant,
    /// The number of the fact by which it began.
    pub seq: i64,
    /// Its parameters.
    pub params: BTreeMap<String, Json>,
    /// How far it is.
    pub walk: Walk,
    /// What its steps gave.
    pub outputs: BTreeMap<String, Json>,
    /// Attempts that were live when it was last written.
    pub live: Vec<OpenStep>,
    /// The backfill that asked for it, with what was said of that.
    pub backfill: Option<(i64, Terms)>,
    /// When a person had it begun again.
    pub reopened_at: Option<Instant>,
}

/// An attempt that the ledger says is live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenStep {
    /// Its step.
    pub step: String,
    /// Its number.
    pub attempt: i64,
    /// Its fencing number.
    pub epoch: i64,
    /// Since when.
    pub started_at: Instant,
}

impl Store {
    /// Begins a walk, unless its tick had one or another is busy with its interval.
    pub async fn begin_walk(&self, new: NewWalk, now: Instant) -> Result<Begun, Fault> {
        self.write(move |conn| {
            Box::pin(async move {
                if let Some(begun) = already(&mut *conn, &new).await? {
                    return Ok(begun);
                }
                let (run,): (i64,) = sql::query_as("select coalesce(max(id), 0) + 1 from run")
                    .fetch_one(&mut *conn)
                    .await?;
                let version = new.flow.fingerprint;
                let known = is_known(&mut *conn, version).await?;
                let began = FlowBegan {
                    run,
                    flow: new.flow.name.clone(),
                    trigger: new.trigger,
                    scheduled_at: new.scheduled_at,
                    interval: new.interval,
                    version,
                    definition: if known {
                        None
                    } else {
                        Some(serde_json::to_value(&new.flow)?)
                    },
                    params: new.params,
                    backfill: new.backfill,
                };
                apply::record(conn, &Fact::FlowBegan(began), now).await?;
                Ok(Begun::Run(run))
            })
        })
        .await
    }

    /// Records that a person ended a walk; it ends when its attempts have. Nothing where it is over.
    pub async fn cancel_walk(&self, run: i64, by: &str, now: Instant) -> Result<bool, Fault> {
        let by = by.to_owned();
        self.write(move |conn| {
            Box::pin(async move {
                let row: Option<(i64,)> =
                    sql::query_as("select run from flow_run where run = $1 and ended_at is null and is_cancelled = 0")
                        .bind(run)
                        .fetch_optional(&mut *conn)
                        .await?;
                if row.is_some() {
                    apply::record(conn, &Fact::FlowCancelled { run, by }, now).await?;
                }
                Ok(row.is_some())
            })
        })
        .await
    }

    /// Ends a walk. `next_try_at` is when a failed interval may be tried again by itself.
    ///
    /// # Errors
    /// `CLAIM_STALE` when the walk has ended.
    pub async fn end_walk(
        &self,
        run: i64,
        flow: &Flow,
        state: RunState,
        next_try_at: Instant,
        now: Instant,
    ) -> Result<(), Fault> {
        let (instance, is_cut) = (flow.instance(), flow.grid.is_cut());
        self.write(move |conn| {
            Box::pin(async move {
                let (interval, claim_seq, made_at) = open(&mut *conn, run).await?;
                let leaves = match state {
                    RunState::Success if is_cut => Leaves::Filled { made_at, claim_seq },
                    RunState::Failed | RunState::Crashed if is_cut => {
                        let failing = Ended {
                            at: now,
                            next_try_at,
                            code: codes::RUN_FAILED,
                        };
                        Leaves::Failing(failing.once_more(&mut *conn, &instance, interval).await?)
                    }
                    RunState::Cancelled if is_cut => {
                        let failing = Ended {
                            at: now,
                            next_try_at,
                            code: codes::TASK_CANCELLED,
                        };
                        let failing = failing.once_more(&mut *conn, &instance, interval).await?;
                        Leaves::Cancelled {
                            claim_seq,
                            failing: Some(failing),
                        }
                    }
                    _ => Leaves::Nothing,
                };
                let ended = FlowEnded {
                    run,
                    instance,
                    interval,
                    state,
                    leaves,
                };
                apply::record(conn, &Fact::FlowEnded(ended), now).await?;
                Ok(())
            })
        })
        .await
    }

    /// What is known of the intervals of flows, by their instances.
    pub async fn flow_states<'a>(
        &self,
        flows: impl IntoIterator<Item = &'a Flow>,
    ) -> Result<BTreeMap<Instance, NodeState>, Fault> {
        let instances: Vec<Instance> = flows.into_iter().map(Flow::instance).collect();
        self.read(move |conn| Box::pin(async move { load::instances(conn, instances).await }))
            .await
    }

    /// What runs of flows are busy with, by the names of the flows; those that are busy with nothing are not there.
    pub async fn active_intervals(&self) -> Result<BTreeMap<String, RangeSet>, Fault> {
        self.read(move |conn| {
            Box::pin(async move {
                let rows: Vec<(String, i64, i64)> =
                    sql::query_as("select flow, start_at, end_at from flow_run where ended_at is null")
                        .fetch_all(conn)
                        .await?;
                let mut active: BTreeMap<String, RangeSet> = BTreeMap::new();
                for (flow, start, end) in rows {
                    let busy = active.entry(flow).or_default();
                    if let Some(range) = Interval::new(Instant(start), Instant(end)) {
                        busy.insert(range);
                    }
                }
                Ok(active)
            })
        })
        .await
    }

    /// The walks that have not ended, oldest first.
    pub async fn open_walks(&self) -> Result<Vec<OpenWalk>, Fault> {
        self.read(|conn| Box::pin(async move { open_walks(conn, None).await }))
            .await
    }

    /// How the newest ended run of a flow before this one ended; nothing where there is none.
    pub async fn state_before(&self, flow: &str, run: i64) -> Result<Option<RunState>, Fault> {
        let flow = flow.to_owned();
        self.read(move |conn| {
            Box::pin(async move {
                let row: Option<(String,)> = sql::query_as(
                    "select r.state from flow_run f join run r on r.id = f.run
                     where f.flow = $1 and f.run < $2 and f.ended_at is not null order by f.run desc limit 1",
                )
                .bind(flow)
                .bind(run)
                .fetch_optional(conn)
                .await?;
                Ok(row.and_then(|(state,)| RunState::parse(&state)))
            })
        })
        .await
    }
}

/// What keeps a walk from beginning.
async fn already(conn: &mut Conn, new: &NewWalk) -> Result<Option<Begun>, Error> {
    if let Some(scheduled_at) = new.scheduled_at {
        let ran: Option<(i64,)> =
            sql::query_as("select run from flow_run where flow = $1 and scheduled_at = $2 and start_at = $3")
                .bind(&new.flow.name)
                .bind(scheduled_at.0)
                .bind(new.interval.start.0)
                .fetch_optional(&mut *conn)
                .await?;
        if let Some((run,)) = ran {
            return Ok(Some(Begun::Ran(run)));
        }
    }
    Ok(active(conn, &new.flow, new.interval).await?.map(Begun::Active))
}

async fn is_known(conn: &mut Conn, version: Fingerprint) -> Result<bool, Error> {
    let row: Option<(String,)> = sql::query_as("select fingerprint from flow_version where fingerprint = $1")
        .bind(version.to_string())
        .fetch_optional(conn)
        .await?;
    Ok(row.is_some())
}

/// The interval of a walk that has not ended, the number of the fact by which it began, and when.
pub(crate) async fn open(conn: &mut Conn, run: i64) -> Result<(Interval, i64, Instant), Error> {
    let row: Option<(i64, i64, i64, i64)> = sql::query_as(
        "select f.start_at, f.end_at, f.seq, r.started_at from flow_run f join run r on r.id = f.run
         where f.run = $1 and f.ended_at is null",
    )
    .bind(run)
    .fetch_optional(conn)
    .await?;
    let Some((start, end, seq, at)) = row else {
        let message = format!("run {run} may not record anything any more: it has ended");
        return Err(Diagnostic::error(codes::CLAIM_STALE, message)
            .with_remedy("nothing: what it did was recorded before")
            .with_retry(Retry::Later)
            .into());
    };
    let interval = Interval::new(Instant(start), Instant(end))
        .ok_or_else(|| Error::damaged(format!("the interval of run {run} is empty")))?;
    Ok((interval, seq, Instant(at)))
}

/// A walk that ended without filling its interval.
struct Ended {
    at: Instant,
    next_try_at: Instant,
    code: Code,
}

impl Ended {
    /// What is known of the interval since: as often as before, and once more.
    async fn once_more(&self, conn: &mut Conn, of: &Instance, interval: Interval) -> Result<Failing, Error> {
        let known = document::load(conn, &text::of_instance(of)).await?.failing;
        let counted = known.within(interval).map(|(_, failing)| failing.equal_count).max();
        Ok(Failing {
            equal_count: counted.unwrap_or(0).saturating_add(1).min(HELD_AFTER_FAILURES),
            code: self.code,
            failed_at: self.at,
            next_try_at: self.next_try_at,
            retry: Retry::Later,
            code_fp: mulgil_core::project::CodeFp::default(),
            rolled_back_to: None,
        })
    }
}

type OpenRow = (
    i64,
    String,
    Option<i64>,
    i64,
    i64,
    i64,
    i64,
    i64,
    String,
    String,
    Option<i64>,
    Option<String>,
    Option<i64>,
);

/// Of one run, or of all that have not ended.
pub(crate) async fn open_walks(conn: &mut Conn, only: Option<i64>) -> Result<Vec<OpenWalk>, Error> {
    let rows: Vec<OpenRow> = sql::query_as(
        "select f.run, r.\"trigger\", f.scheduled_at, f.start_at, f.end_at, f.is_cancelled, f.seq, r.started_at,
                f.params, v.definition, f.backfill, b.terms, f.reopened_at
         from flow_run f join run r on r.id = f.run join flow_version v on v.fingerprint = f.version
             left join backfill b on b.id = f.backfill
         where f.ended_at is null and ($1 is null or f.run = $1) order by f.run",
    )
    .bind(only)
    .fetch_all(&mut *conn)
    .await?;
    let mut walks = Vec::with_capacity(rows.len());
    for row in rows {
        let (run, trigger, scheduled_at, start, end, is_cancelled, seq, at, params, definition, asking, terms, again) =
            row;
        let interval = Interval::new(Instant(start), Instant(end))
            .ok_or_else(|| Error::damaged(format!("the interval of run {run} is empty")))?;
        let (mut walk, outputs) = progress(&mut *conn, run, interval).await?;
        walk.is_cancelled = is_cancelled != 0;
        let flow: Flow = serde_json::from_str(&definition)?;
        let terms = terms.as_deref().map(serde_json::from_str).transpose()?;
        walks.push(OpenWalk {
            live: live_steps(&mut *conn, run, &flow.name).await?,
            flow,
            trigger: serde_json::from_str(&trigger)?,
            scheduled_at: scheduled_at.map(Instant),
            started_at: Instant(at),
            seq,
            params: serde_json::from_str(&params)?,
            walk,
            outputs,
            backfill: asking.zip(terms),
            reopened_at: again.map(Instant),
        });
    }
    Ok(walks)
}

/// How far the steps of a run are, and what they gave.
pub(crate) async fn progress(
    conn: &mut Conn,
    run: i64,
    interval: Interval,
) -> Result<(Walk, BTreeMap<String, Json>), Error> {
    let mut walk = Walk::new(run, interval);
    let mut outputs = BTreeMap::new();
    let steps: Vec<(String, String, Option<String>)> =
        sql::query_as("select step, progress, output from flow_step where run = $1")
            .bind(run)
            .fetch_all(conn)
            .await?;
    for (step, progress, output) in steps {
        if let Some(output) = output {
            outputs.insert(step.clone(), serde_json::from_str(&output)?);
        }
        walk.steps.insert(step, serde_json::from_str(&progress)?);
    }
    Ok((walk, outputs))
}

/// The run that is busy with an interval of a flow that has them.
pub(crate) async fn active(conn: &mut Conn, flow: &Flow, interval: Interval) -> Result<Option<i64>, Error> {
    if !flow.grid.is_cut() {
        return Ok(None);
    }
    let active: Option<(i64,)> = sql::query_as(
        "select run from flow_run where flow = $1 and start_at < $3 and end_at > $2 and ended_at is null",
    )
    .bind(&flow.name)
    .bind(interval.start.0)
    .bind(interval.end.0)
    .fetch_optional(conn)
    .await?;
    Ok(active.map(|(run,)| run))
}

async fn live_steps(conn: &mut Conn, run: i64, flow: &str) -> Result<Vec<OpenStep>, Error> {
    let rows: Vec<(String, i64, i64, i64)> = sql::query_as(
        "select t.instance, a.id, a.seq, a.started_at from attempt a join task_run t on t.id = a.task_run
         where t.run = $1 and t.kind = 'step' and a.state = 'running' order by a.id",
    )
    .bind(run)
    .fetch_all(conn)
    .await?;
    let prefix = name::of_step(flow, "");
    let step = |(instance, attempt, epoch, at): (String, i64, i64, i64)| OpenStep {
        step: instance.strip_prefix(&prefix).unwrap_or(&instance).to_owned(),
        attempt,
        epoch,
        started_at: Instant(at),
    };
    Ok(rows.into_iter().map(step).collect())
}
