//! Ticks: what became of each. A tick that was decided once stays decided.

use std::collections::{BTreeMap, BTreeSet};

use mulgil_core::{
    flow::name,
    interval::Instant,
    port::Fault,
    tick::{Fate, Tick},
};

use sqlx::AssertSqlSafe;

use crate::{
    Store, apply,
    apply_flow::{self, ROWS, rows},
    error::Error,
    fact::{Fact, Ticked},
    sql::{self, Conn},
};

/// A schedule, as ticks are kept of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScheduleKey {
    /// Whose: the name of a flow's instance or of a node.
    pub owner: String,
    /// As it is written, with its zone.
    pub schedule: String,
}

/// Ticks of one schedule of which it is decided what becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecidedTicks {
    /// Of which.
    pub of: ScheduleKey,
    /// The ticks, oldest first.
    pub ticks: Vec<Tick>,
}

/// A tick as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TickRow {
    /// Of which schedule.
    pub of: ScheduleKey,
    /// It, and what becomes of it.
    pub tick: Tick,
    /// When that was decided.
    pub decided_at: Instant,
    /// The run that it started; of a flow with intervals, the first of them.
    pub run: Option<i64>,
}

impl Store {
    /// Records what becomes of ticks. Those that are not after the newest one of their schedule were decided
    /// before, and stay as they are, be they known or forgotten.
    pub async fn tick(&self, decided: Vec<DecidedTicks>, now: Instant) -> Result<(), Fault> {
        self.write(move |conn| {
            Box::pin(async move {
                let mut newest = newest_of(&mut *conn, decided.iter().map(|decided| &decided.of)).await?;
                let mut ticked = Vec::with_capacity(decided.len());
                for DecidedTicks { of, mut ticks } in decided {
                    if let Some(at) = newest.get(&of) {
                        ticks.retain(|tick| tick.scheduled_at > *at);
                    }
                    let Some(last) = ticks.iter().map(|tick| tick.scheduled_at).max() else {
                        continue;
                    };
                    newest.insert(of.clone(), last);
                    let ScheduleKey { owner, schedule } = of;
                    ticked.push(Ticked { owner, schedule, ticks });
                }
                for ticked in ticked.chunks(ROWS) {
                    record(&mut *conn, ticked, now).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// The newest decided tick of every schedule that ever ticked.
    pub async fn newest_ticks(&self) -> Result<BTreeMap<ScheduleKey, Instant>, Fault> {
        self.read(|conn| {
            Box::pin(async move {
                let rows: Vec<(String, String, i64)> =
                    sql::query_as("select owner, schedule, max(scheduled_at) from tick group by owner, schedule")
                        .fetch_all(conn)
                        .await?;
                let newest = |(owner, schedule, at)| (ScheduleKey { owner, schedule }, Instant(at));
                Ok(rows.into_iter().map(newest).collect())
            })
        })
        .await
    }

    /// The newest ticks, newest first: of one owner, or of all.
    pub async fn ticks(&self, owner: Option<&str>, limit: u32) -> Result<Vec<TickRow>, Fault> {
        let owner = owner.map(str::to_owned);
        self.read(move |conn| {
            Box::pin(async move {
                type Row = (String, String, i64, i64, String, Option<i64>, i64, Option<i64>);
                let rows: Vec<Row> = sql::query_as(
                    "select owner, schedule, scheduled_at, first_at, fate, into_at, decided_at, run from tick
                     where $1 is null or owner = $1 order by scheduled_at desc, owner limit $2",
                )
                .bind(owner)
                .bind(i64::from(limit))
                .fetch_all(conn)
                .await?;
                rows.into_iter()
                    .map(|(owner, schedule, at, first, fate, into, decided, run)| {
                        let fate = Fate::parse(&fate, into.map(Instant))
                            .ok_or_else(|| Error::damaged("what became of a tick cannot be read"))?;
                        Ok(TickRow {
                            of: ScheduleKey { owner, schedule },
                            tick: Tick {
                                scheduled_at: Instant(at),
                                first_at: Instant(first),
                                fate,
                            },
                            decided_at: Instant(decided),
                            run,
                        })
                    })
                    .collect()
            })
        })
        .await
    }

    /// The ticks of flows without intervals whose runs have not begun, oldest first; of each flow at most its
    /// limit. Flows without any are not there.
    pub async fn open_ticks(&self, limits: Vec<(String, u32)>) -> Result<BTreeMap<String, Vec<Instant>>, Fault> {
        self.read(move |conn| {
            Box::pin(async move {
                let mut open = BTreeMap::new();
                let owners = if limits.len() > MANY_FLOWS {
                    Some(open_owners(&mut *conn).await?)
                } else {
                    None
                };
                for (flow, limit) in limits {
                    let owner = name::of_flow(&flow);
                    if owners.as_ref().is_some_and(|owners| !owners.contains(&owner)) {
                        continue;
                    }
                    let rows: Vec<(i64,)> = sql::query_as(
                        "select scheduled_at from tick where owner = $1 and fate = 'runs' and run is null
                         order by scheduled_at limit $2",
                    )
                    .bind(owner)
                    .bind(i64::from(limit))
                    .fetch_all(&mut *conn)
                    .await?;
                    if !rows.is_empty() {
                        open.insert(flow, rows.into_iter().map(|(at,)| Instant(at)).collect());
                    }
                }
                Ok(open)
            })
        })
        .await
    }
}

/// Records what became of ticks, a fact for each schedule. Where many schedules tick at once, or are seen for the
/// first time, a few statements say it of all.
async fn record(conn: &mut Conn, ticked: &[Ticked], now: Instant) -> Result<(), Error> {
    let facts: Vec<Fact> = ticked.iter().cloned().map(Fact::Ticked).collect();
    if let [one] = facts.as_slice() {
        return apply::record(conn, one, now).await.map(drop);
    }
    let (last,): (i64,) = sql::query_as("select coalesce(max(seq), 0) from fact")
        .fetch_one(&mut *conn)
        .await?;
    let rows = rows(2, facts.len(), 3, |at| {
        format!("(${}, $1, ${}, ${})", at, at + 1, at + 2)
    });
    let insert = format!("insert into fact (seq, at, kind, payload) values {rows}");
    let mut query = sql::query(AssertSqlSafe(insert)).bind(now.0);
    for (seq, fact) in (last + 1..).zip(&facts) {
        query = query.bind(seq).bind(fact.kind()).bind(serde_json::to_string(fact)?);
    }
    query.execute(&mut *conn).await?;
    apply_flow::ticks(conn, now, (last + 1..).zip(ticked)).await
}

/// The newest decided ticks of some schedules; those that never ticked are not there.
async fn newest_of(
    conn: &mut Conn,
    schedules: impl Iterator<Item = &ScheduleKey> + Send,
) -> Result<BTreeMap<ScheduleKey, Instant>, Error> {
    let schedules: Vec<&ScheduleKey> = schedules.collect();
    let mut newest = BTreeMap::new();
    for schedules in schedules.chunks(ROWS) {
        let list = rows(1, schedules.len(), 2, |at| format!("(${}, ${})", at, at + 1));
        let select = format!(
            "with k (owner, schedule) as (values {list})
             select k.owner, k.schedule,
                 (select max(t.scheduled_at) from tick t where t.owner = k.owner and t.schedule = k.schedule)
             from k"
        );
        let mut query = sql::query_as::<(String, String, Option<i64>)>(AssertSqlSafe(select));
        for of in schedules {
            query = query.bind(of.owner.as_str()).bind(of.schedule.as_str());
        }
        let found = query.fetch_all(&mut *conn).await?.into_iter();
        newest.extend(found.filter_map(|(owner, schedule, at)| Some((ScheduleKey { owner, schedule }, Instant(at?)))));
    }
    Ok(newest)
}

/// Of more flows than these it is asked first which have open ticks at all: of a hundred thousand few have any.
const MANY_FLOWS: usize = 1_000;

async fn open_owners(conn: &mut Conn) -> Result<BTreeSet<String>, Error> {
    let owners: Vec<(String,)> = sql::query_as("select distinct owner from tick where fate = 'runs' and run is null")
        .fetch_all(conn)
        .await?;
    Ok(owners.into_iter().map(|(owner,)| owner).collect())
}
