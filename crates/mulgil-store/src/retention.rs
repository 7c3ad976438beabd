//! What is not kept for ever: the lines that attempts said, and runs of flows with the ticks that started them.
//! What is filled, failing or asked for is kept, with the facts from which it follows; so are runs of models.
//!
//! What goes goes with its facts, in requests that are small and leave a whole ledger each: what is derived is at
//! every moment what a rebuild derives.

mod remove;
mod stays;

use std::{collections::BTreeSet, sync::Arc};

use mulgil_core::{crash, interval::Instant, port::Fault};

use self::stays::{Bundle, Link, Stays};
use crate::{
    Store,
    error::Error,
    sql::{self, Conn},
};

/// Attempts whose lines are removed in one request, so that nobody waits long for the writer.
const ATTEMPTS_AT_ONCE: i64 = 200;
/// Runs and facts of ticks that are looked at, and forgotten, in one request. More go together only where one fact
/// tells of all their ticks.
const RUNS_AT_ONCE: usize = 50;

/// What was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Runs of flows.
    pub runs: u64,
    /// Ticks; those that were told together count as one.
    pub ticks: u64,
}

/// What is looked through for what can go, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queue {
    /// Ended runs of flows.
    Runs,
    /// Facts of ticks: what is left of them has no run, or one that stays.
    Ticks,
}

/// A place in a queue: a time, and the number of what stands there.
type Place = (i64, i64);

/// What may go.
#[derive(Debug)]
struct Rules {
    before: Instant,
    with_intervals: BTreeSet<String>,
}

impl Store {
    /// Removes the lines of attempts that ended before a moment; gives of how many attempts.
    ///
    /// # Errors
    /// A coded MG5 fault; what was removed until then stays removed.
    pub async fn forget_logs(&self, before: Instant) -> Result<u64, Fault> {
        let mut forgotten = 0;
        loop {
            let count = self.forget_some(before).await?;
            forgotten += count;
            if count < ATTEMPTS_AT_ONCE.unsigned_abs() {
                return Ok(forgotten);
            }
        }
    }

    /// Forgets runs of flows that ended before a moment, with their attempts, the lines of those, and the ticks that
    /// started them; then ticks that were decided before it and have no run. `with_intervals` names the flows that
    /// have intervals today: what waits of their ticks waits for nothing.
    ///
    /// These stay: what of each flow is among its newest runs, and its newest success; what an open backfill asked
    /// for; the newest tick of every schedule with its runs; ticks that wait for their run; what has the highest
    /// number of its kind, so that none is given twice; and of what one fact tells, all or nothing.
    ///
    /// # Errors
    /// A coded MG5 fault; what was forgotten until then stays forgotten.
    pub async fn forget_runs(
        &self,
        before: Instant,
        with_intervals: BTreeSet<String>,
        now: Instant,
    ) -> Result<Forgotten, Fault> {
        let rules = Arc::new(Rules { before, with_intervals });
        let mut forgotten = Forgotten::default();
        for queue in [Queue::Runs, Queue::Ticks] {
            let mut after = Some((i64::MIN, i64::MIN));
            while let Some(place) = after {
                let rules = Arc::clone(&rules);
                let batch = self
                    .write(move |conn| Box::pin(async move { forget_batch(conn, &rules, queue, place, now).await }));
                let (gone, next) = batch.await?;
                crash::point("forgotten");
                forgotten.runs += gone.runs;
                forgotten.ticks += gone.ticks;
                after = next;
            }
        }
        self.write(|conn| Box::pin(async move { remove::unneeded_definitions(conn).await }))
            .await?;
        Ok(forgotten)
    }

    async fn forget_some(&self, before: Instant) -> Result<u64, Fault> {
        self.write(move |conn| {
            Box::pin(async move {
                let attempts: Vec<(i64,)> = sql::query_as(
                    "select distinct attempt_log.attempt from attempt_log
                     join attempt on attempt.id = attempt_log.attempt
                     where attempt.ended_at < $1 order by 1 limit $2",
                )
                .bind(before.0)
                .bind(ATTEMPTS_AT_ONCE)
                .fetch_all(&mut *conn)
                .await?;
                for (attempt,) in &attempts {
                    sql::query("delete from attempt_log where attempt = $1")
                        .bind(*attempt)
                        .execute(&mut *conn)
                        .await?;
                }
                Ok(attempts.len() as u64)
            })
        })
        .await
    }
}

/// Forgets what can go of the next in a queue; gives what went, and where to go on if there may be more.
async fn forget_batch(
    conn: &mut Conn,
    rules: &Rules,
    queue: Queue,
    after: Place,
    now: Instant,
) -> Result<(Forgotten, Option<Place>), Error> {
    let candidates = queue.next(&mut *conn, rules.before, after).await?;
    let mut next = candidates.last().copied();
    if candidates.len() < RUNS_AT_ONCE {
        next = None;
    }
    let mut stays = Stays::load(&mut *conn, rules).await?;
    let mut gone = Bundle::default();
    for candidate in candidates {
        let link = match queue {
            Queue::Runs => Link::Run(candidate.1),
            Queue::Ticks => Link::Ticked(candidate.1),
        };
        if gone.has(link) {
            continue;
        }
        gone.extend(stays.bundle(&mut *conn, link).await?);
        if gone.len() >= RUNS_AT_ONCE {
            next = Some(candidate);
            break;
        }
    }
    let forgotten = remove::bundle(conn, &gone, now).await?;
    Ok((forgotten, next))
}

impl Queue {
    /// The next in line after a place.
    async fn next(self, conn: &mut Conn, before: Instant, after: Place) -> Result<Vec<Place>, Error> {
        let select = match self {
            Self::Runs => {
                "select ended_at, run from flow_run where ended_at < $1 and (ended_at, run) > ($2, $3)
                 order by ended_at, run limit $4"
            }
            Self::Ticks => {
                "select decided_at, seq from tick where decided_at < $1 and (decided_at, seq) > ($2, $3)
                 group by decided_at, seq order by decided_at, seq limit $4"
            }
        };
        let next: Vec<Place> = sql::query_as(select)
            .bind(before.0)
            .bind(after.0)
            .bind(after.1)
            .bind(RUNS_AT_ONCE as i64)
            .fetch_all(conn)
            .await?;
        Ok(next)
    }
}
