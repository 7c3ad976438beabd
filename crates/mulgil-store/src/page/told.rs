//! What pages tell of one thing: how a table grew, whose an attempt is, which runs an interval of a flow had.

use mulgil_core::{
    interval::{Instant, Interval},
    name::Relation,
    port::{Fault, Growth},
    run::RunState,
};
use serde::Deserialize;

use super::FlowRunRow;
use crate::{Store, error::Error, sql, text};

/// Runs of a flow among which those of one interval are looked for.
const RUNS_LOOKED_AT: i64 = 2_000;

/// What one fill added to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grown {
    /// When.
    pub at: Instant,
    /// By how much; not known of one that was adopted.
    pub by: Option<Growth>,
}

/// Of a fill's fact what its table grew by.
#[derive(Deserialize)]
struct FilledFact {
    filled: FillGrowth,
}

#[derive(Deserialize)]
struct FillGrowth {
    growth: Option<Growth>,
}

impl Store {
    /// The newest fills of a table with what each added to its size, newest first.
    pub async fn growth_of(&self, relation: &Relation, limit: u32) -> Result<Vec<Grown>, Fault> {
        let relation = text::of_relation(relation);
        self.read(move |conn| {
            Box::pin(async move {
                let rows: Vec<(i64, String)> = sql::query_as(
                    "select told.at, told.payload from fill f join fact told on told.seq = f.seq
                     where f.relation = $1 order by f.claim_seq desc limit $2",
                )
                .bind(relation)
                .bind(i64::from(limit))
                .fetch_all(conn)
                .await?;
                let grown = |(at, payload): (i64, String)| {
                    let fact: FilledFact = serde_json::from_str(&payload)?;
                    Ok(Grown {
                        at: Instant(at),
                        by: fact.filled.growth,
                    })
                };
                rows.into_iter().map(grown).collect()
            })
        })
        .await
    }

    /// The run of an attempt.
    pub async fn run_of_attempt(&self, attempt: i64) -> Result<Option<i64>, Fault> {
        self.read(move |conn| {
            Box::pin(async move {
                let row: Option<(i64,)> =
                    sql::query_as("select t.run from attempt a join task_run t on t.id = a.task_run where a.id = $1")
                        .bind(attempt)
                        .fetch_optional(conn)
                        .await?;
                Ok(row.map(|(run,)| run))
            })
        })
        .await
    }

    /// The newest runs of an interval of a flow, newest first, as far as they are among the newest of the flow.
    pub async fn runs_of_interval(&self, flow: &str, interval: Interval, limit: u32) -> Result<Vec<FlowRunRow>, Fault> {
        let flow = flow.to_owned();
        self.read(move |conn| {
            Box::pin(async move {
                type Row = (i64, i64, i64, Option<i64>, String, i64, Option<i64>);
                let rows: Vec<Row> = sql::query_as(
                    "select f.run, f.start_at, f.end_at, f.scheduled_at, r.state, r.started_at, r.ended_at
                     from (select * from flow_run where flow = $1 order by run desc limit $2) f
                     join run r on r.id = f.run
                     where f.start_at < $4 and f.end_at > $3 order by f.run desc limit $5",
                )
                .bind(flow.as_str())
                .bind(RUNS_LOOKED_AT)
                .bind(interval.start.0)
                .bind(interval.end.0)
                .bind(i64::from(limit))
                .fetch_all(conn)
                .await?;
                rows.into_iter()
                    .map(|(run, start, end, scheduled_at, state, started_at, ended_at)| {
                        Ok(FlowRunRow {
                            run,
                            flow: flow.clone(),
                            interval: Interval::new(Instant(start), Instant(end)).unwrap_or(Interval::WHOLE),
                            scheduled_at: scheduled_at.map(Instant),
                            state: RunState::parse(&state).ok_or_else(|| Error::damaged("a run has no state"))?,
                            started_at: Instant(started_at),
                            ended_at: ended_at.map(Instant),
                        })
                    })
                    .collect()
            })
        })
        .await
    }
}
