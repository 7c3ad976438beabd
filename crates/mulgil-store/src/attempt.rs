//! Runs and attempts: who may write what, and how it ended when nothing was made.

use mulgil_core::{
    backoff::BackOff,
    codes,
    diagnostic::{Diagnostic, Retry},
    interval::{Instant, Interval, RangeSet},
    name::{Instance, Relation},
    port::Fault,
    project::{CodeFp, Fingerprint},
    run::{Run, RunState, TaskKind, Trigger},
    state::Failing,
    task::Claim,
};

use crate::{
    Store, apply, document,
    error::Error,
    fact::{Claimed, Fact, Failed, RunBegan},
    sql::{self, Conn},
    text,
};

/// The pauses after equal failures of a range: from half a minute to an hour.
const BACK_OFF: BackOff = BackOff {
    base_us: 30 * 1_000_000,
    cap_us: 3_600 * 1_000_000,
    factor: 2,
};

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// By what it had to do; the range waits, and is held after equal ones.
    Counted,
    /// By some of its rows; the range is tried in parts, and what fails then counts.
    Narrowed,
    /// By the death of who did it.
    Crashed,
}

/// A run that is about to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRun {
    /// What starts it.
    pub trigger: Trigger,
    /// What was selected, as typed; empty for all.
    pub selector: String,
    /// Ranges that a person asked for: they are stale from here on, fresh or not before.
    pub manual: Vec<(Instance, RangeSet)>,
    /// Ranges that a person's run takes, fresh or not before; what their tables keep is kept.
    pub again: Vec<(Instance, RangeSet)>,
    /// Instances that a person named: what is held of them is let go.
    pub named: Vec<Instance>,
    /// The backfill of which `manual` is a slice.
    pub backfill: Option<i64>,
}

/// What an attempt is to work on.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimRequest {
    /// For which run.
    pub run: i64,
    /// Whose range.
    pub instance: Instance,
    /// What it writes, or tests.
    pub relation: Relation,
    /// Which range.
    pub range: Interval,
    /// To fill it or to test it.
    pub kind: TaskKind,
    /// Why, as `plan` says it.
    pub reason: serde_json::Value,
    /// With what it is to be made.
    pub fingerprint: CodeFp,
}

impl Store {
    /// Begins a run. The slice of a backfill is asked for by it: it is not left of that any more.
    ///
    /// # Errors
    /// `BACKFILL_NOT_OPEN` when the backfill is over or held back, or the slice is not left any more.
    pub async fn begin_run(&self, new: NewRun, now: Instant) -> Result<Run, Fault> {
        self.write(move |conn| {
            Box::pin(async move {
                if let Some(backfill) = new.backfill {
                    crate::backfill::check_slice(&mut *conn, backfill, &new.manual).await?;
                }
                let (run,): (i64,) = sql::query_as("select coalesce(max(id), 0) + 1 from run")
                    .fetch_one(&mut *conn)
                    .await?;
                let began = RunBegan {
                    run,
                    trigger: new.trigger,
                    selector: new.selector.clone(),
                    manual: new.manual,
                    again: new.again,
                    named: new.named,
                    backfill: new.backfill,
                };
                apply::record(conn, &Fact::RunBegan(began), now).await?;
                Ok(Run {
                    id: run,
                    trigger: new.trigger,
                    selector: new.selector,
                    state: RunState::Running,
                    started_at: now,
                    ended_at: None,
                })
            })
        })
        .await
    }

    /// Ends a run.
    pub async fn end_run(&self, run: i64, state: RunState, now: Instant) -> Result<(), Fault> {
        self.write(move |conn| {
            Box::pin(async move {
                apply::record(conn, &Fact::RunEnded { run, state }, now).await?;
                Ok(())
            })
        })
        .await
    }

    /// Takes a range for an attempt. A run that comes back to a range goes on with its task run.
    ///
    /// # Errors
    /// `CLAIM_HELD` when another attempt is writing the table, naming that one.
    pub async fn claim(&self, request: ClaimRequest, now: Instant) -> Result<Claim, Fault> {
        let ledger = self.ledger().to_owned();
        self.write(move |conn| {
            Box::pin(async move {
                if request.kind == TaskKind::Fill {
                    refuse_second(&mut *conn, &request.relation).await?;
                }
                let claimed = Claimed {
                    run: request.run,
                    task_run: task_run(&mut *conn, &request).await?,
                    attempt: next_attempt(&mut *conn).await?,
                    instance: request.instance,
                    relation: request.relation,
                    range: request.range,
                    kind: request.kind,
                    reason: request.reason,
                    fingerprint: request.fingerprint,
                };
                let attempt = claimed.attempt;
                let seq = apply::record(conn, &Fact::Claimed(claimed), now).await?;
                Ok(Claim {
                    attempt,
                    epoch: seq,
                    seq,
                    ledger,
                })
            })
        })
        .await
    }

    /// Records that an attempt failed. Equal failures in a row are counted for the range, with a
    /// pause that doubles; a crash is not the work's fault and is not counted, nor is a test's.
    ///
    /// # Errors
    /// `CLAIM_STALE` when the attempt is not live any more or has another epoch.
    pub async fn record_failure(
        &self,
        claim: &Claim,
        range: Interval,
        fault: &Diagnostic,
        how: Failure,
        fingerprint: CodeFp,
        now: Instant,
    ) -> Result<(), Fault> {
        let (claim, fault) = (claim.clone(), fault.clone());
        self.write(move |conn| {
            Box::pin(async move {
                let live = live(&mut *conn, &claim).await?;
                let counts = how == Failure::Counted && live.kind == TaskKind::Fill;
                let failing = if counts {
                    Some(failing(&mut *conn, &live, range, &fault, fingerprint, now).await?)
                } else {
                    None
                };
                let failed = Failed {
                    attempt: claim.attempt,
                    instance: live.instance,
                    range,
                    fault: Some(fault),
                    state: match how {
                        Failure::Counted | Failure::Narrowed => RunState::Failed,
                        Failure::Crashed => RunState::Crashed,
                    },
                    failing,
                };
                apply::record(conn, &Fact::Failed(failed), now).await?;
                Ok(())
            })
        })
        .await
    }

    /// Records that a person ended an attempt.
    ///
    /// # Errors
    /// `CLAIM_STALE` when the attempt is not live any more or has another epoch.
    pub async fn record_cancelled(&self, claim: &Claim, now: Instant) -> Result<(), Fault> {
        let claim = claim.clone();
        self.write(move |conn| {
            Box::pin(async move {
                let live = live(&mut *conn, &claim).await?;
                let failed = Failed {
                    attempt: claim.attempt,
                    instance: live.instance,
                    range: live.range,
                    fault: None,
                    state: RunState::Cancelled,
                    failing: None,
                };
                apply::record(conn, &Fact::Failed(failed), now).await?;
                Ok(())
            })
        })
        .await
    }

    /// Whether any attempt is said to be live.
    pub async fn has_live(&self) -> Result<bool, Fault> {
        self.read(|conn| {
            Box::pin(async move {
                let live: bool = sql::query_scalar(
                    "select exists (select 1 from attempt a join task_run t on t.id = a.task_run
                                    where a.state = 'running' and t.kind <> 'step')",
                )
                .fetch_one(conn)
                .await?;
                Ok(live)
            })
        })
        .await
    }

    /// Ends all that is still live, but walks over flows, which the next server goes on with. Right only
    /// for who holds the data folder's lock and has started nothing yet: then whatever is live belongs to a
    /// process that is gone.
    pub async fn crash_live(&self, now: Instant) -> Result<u64, Fault> {
        self.write(move |conn| {
            Box::pin(async move {
                let attempts = ids(
                    &mut *conn,
                    "select a.id from attempt a join task_run t on t.id = a.task_run
                     where a.state = 'running' and t.kind <> 'step' order by a.id",
                )
                .await?;
                let task_runs = ids(
                    &mut *conn,
                    "select id from task_run
                     where state in ('planned', 'queued', 'running', 'waiting') and kind <> 'step' order by id",
                )
                .await?;
                let runs = ids(
                    &mut *conn,
                    "select id from run where ended_at is null and not exists (select 1 from flow_run where flow_run.run = run.id)
                     order by id",
                )
                .await?;
                let count = attempts.len() as u64;
                if !(attempts.is_empty() && task_runs.is_empty() && runs.is_empty()) {
                    let crashed = Fact::Crashed {
                        attempts,
                        task_runs,
                        runs,
                    };
                    apply::record(conn, &crashed, now).await?;
                }
                Ok(count)
            })
        })
        .await
    }

    /// Gives up wanted intervals, with a name and a reason, until somebody asks for them.
    pub async fn waive(
        &self,
        instance: &Instance,
        ranges: &RangeSet,
        by: &str,
        reason: &str,
        now: Instant,
    ) -> Result<(), Fault> {
        let waived = Fact::Waived {
            instance: instance.clone(),
            ranges: ranges.clone(),
            by: by.to_owned(),
            reason: reason.to_owned(),
        };
        self.write(move |conn| {
            Box::pin(async move {
                apply::record(conn, &waived, now).await?;
                Ok(())
            })
        })
        .await
    }
}

/// A live attempt.
pub(crate) struct LiveAttempt {
    run: i64,
    instance: Instance,
    range: Interval,
    kind: TaskKind,
    /// When it was claimed.
    pub(crate) started_at: Instant,
}

type LiveRow = (String, i64, i64, i64, String, i64, i64, String);

/// The attempt of a claim, if it may still record anything.
pub(crate) async fn live(conn: &mut Conn, claim: &Claim) -> Result<LiveAttempt, Error> {
    let row: Option<LiveRow> = sql::query_as(
        "select a.state, a.seq, a.started_at, t.run, t.instance, t.start_at, t.end_at, t.kind
         from attempt a join task_run t on t.id = a.task_run where a.id = $1",
    )
    .bind(claim.attempt)
    .fetch_optional(conn)
    .await?;
    let Some((state, seq, started_at, run, instance, start, end, kind)) = row else {
        return Err(stale(claim, "the ledger does not know it").into());
    };
    if state != RunState::Running.as_str() {
        return Err(stale(claim, &format!("it is {state} already")).into());
    }
    if seq != claim.epoch {
        return Err(stale(claim, &format!("its epoch is {seq}, not {}", claim.epoch)).into());
    }
    Ok(LiveAttempt {
        run,
        instance: text::instance(&instance).ok_or_else(|| Error::damaged("a task run's instance cannot be read"))?,
        range: Interval::new(Instant(start), Instant(end))
            .ok_or_else(|| Error::damaged("a task run's range is empty"))?,
        kind: text::kind(&kind).ok_or_else(|| Error::damaged("a task run's kind cannot be read"))?,
        started_at: Instant(started_at),
    })
}

/// When the claim of a commit was made; nothing where it is another ledger's.
pub(crate) async fn claimed_at(conn: &mut Conn, attempt: i64, claim_seq: i64) -> Result<Option<Instant>, Error> {
    let row: Option<(i64,)> = sql::query_as("select started_at from attempt where id = $1 and seq = $2")
        .bind(attempt)
        .bind(claim_seq)
        .fetch_optional(conn)
        .await?;
    Ok(row.map(|(at,)| Instant(at)))
}

fn stale(claim: &Claim, why: &str) -> Diagnostic {
    Diagnostic::error(
        codes::CLAIM_STALE,
        format!("attempt {} may not record anything any more: {why}", claim.attempt),
    )
    .with_remedy(
        "nothing: what the table holds of it is adopted at the next start, and the range is filled again if need be",
    )
    .with_retry(Retry::Later)
}

async fn refuse_second(conn: &mut Conn, relation: &Relation) -> Result<(), Error> {
    let holder: Option<(i64, i64, i64)> = sql::query_as(
        "select a.id, a.started_at, t.run from attempt a join task_run t on t.id = a.task_run
         where a.relation = $1 and a.state = 'running' and t.kind = 'fill'",
    )
    .bind(text::of_relation(relation))
    .fetch_optional(conn)
    .await?;
    let Some((attempt, since, run)) = holder else {
        return Ok(());
    };
    let message = format!(
        "table `{relation}` is being written by attempt {attempt} of run {run} since {:?}",
        Instant(since)
    );
    let refusal = Diagnostic::error(codes::CLAIM_HELD, message)
        .with_remedy(format!(
            "wait until attempt {attempt} has ended; `mulgil runs show {run}` says how far it is"
        ))
        .with_retry(Retry::Later);
    Err(refusal.into())
}

/// The run's task run of that range, if it is not done, else a new one.
async fn task_run(conn: &mut Conn, request: &ClaimRequest) -> Result<i64, Error> {
    let (id,): (i64,) = sql::query_as(
        "select coalesce(
             (select max(id) from task_run
              where run = $1 and instance = $2 and kind = $3 and start_at = $4 and end_at = $5
                and state not in ('success', 'cancelled', 'skipped')),
             (select coalesce(max(id), 0) + 1 from task_run))",
    )
    .bind(request.run)
    .bind(text::of_instance(&request.instance))
    .bind(text::of_kind(request.kind))
    .bind(request.range.start.0)
    .bind(request.range.end.0)
    .fetch_one(conn)
    .await?;
    Ok(id)
}

/// Above those of adopted commits too, which may come from a ledger that was lost.
impl Store {
    /// The newest number of an attempt that the ledger knows of; 0 where there is none.
    ///
    /// # Errors
    /// A coded MG5 fault of the database.
    pub async fn last_attempt(&self) -> Result<i64, Fault> {
        let next = self.read(|conn| Box::pin(async move { next_attempt(conn).await }));
        Ok(next.await? - 1)
    }
}

pub(crate) async fn next_attempt(conn: &mut Conn) -> Result<i64, Error> {
    let (id,): (i64,) = sql::query_as(
        "select coalesce(max(id), 0) + 1 from
         (select max(id) as id from attempt union all select max(attempt) as id from fill) as given",
    )
    .fetch_one(conn)
    .await?;
    Ok(id)
}

async fn failing(
    conn: &mut Conn,
    live: &LiveAttempt,
    range: Interval,
    fault: &Diagnostic,
    code_fp: CodeFp,
    now: Instant,
) -> Result<Failing, Error> {
    let known = document::load(conn, &text::of_instance(&live.instance)).await?.failing;
    let equal = known
        .within(range)
        .filter(|(_, failing)| failing.code == fault.code && failing.code_fp == code_fp)
        .map(|(_, failing)| failing.equal_count)
        .max()
        .unwrap_or(0);
    let equal_count = equal.saturating_add(1);
    let seed = Fingerprint::of([
        live.run.to_le_bytes().as_slice(),
        text::of_instance(&live.instance).as_bytes(),
        range.start.0.to_le_bytes().as_slice(),
        equal_count.to_le_bytes().as_slice(),
    ]);
    Ok(Failing {
        equal_count,
        code: fault.code,
        failed_at: now,
        next_try_at: Instant(now.0.saturating_add(BACK_OFF.pause_us(equal_count, seed))),
        retry: fault.retry,
        code_fp,
        rolled_back_to: None,
    })
}

/// What of an instance is being filled.
pub(crate) async fn running(conn: &mut Conn, instance: &str) -> Result<RangeSet, Error> {
    let rows: Vec<(i64, i64)> = sql::query_as(
        "select t.start_at, t.end_at from attempt a join task_run t on t.id = a.task_run
         where a.state = 'running' and t.kind = 'fill' and t.instance = $1",
    )
    .bind(instance)
    .fetch_all(conn)
    .await?;
    let range = |(start, end)| Interval::new(Instant(start), Instant(end));
    Ok(rows.into_iter().filter_map(range).collect())
}

async fn ids(conn: &mut Conn, sql: &'static str) -> Result<Vec<i64>, Error> {
    let rows: Vec<(i64,)> = sql::query_as(sql).fetch_all(conn).await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}
