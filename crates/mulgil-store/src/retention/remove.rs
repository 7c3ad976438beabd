//! Takes runs and ticks out of the ledger, with their facts.

use std::collections::BTreeMap;

use mulgil_core::{interval::Instant, project::Fingerprint};
use sqlx::AssertSqlSafe;

use super::{Forgotten, stays::Bundle};
use crate::{
    apply,
    apply_flow::{ROWS, rows},
    error::Error,
    fact::{Fact, FlowDefined, Leaves, Ticked},
    sql::{self, Conn},
};

/// What is derived of runs; what is found by another table goes before that.
const OF_RUNS: &[(&str, &str)] = &[
    (
        "delete from attempt_log where attempt in (
             select a.id from attempt a join task_run t on t.id = a.task_run where t.run in (",
        "))",
    ),
    (
        "delete from attempt where task_run in (select id from task_run where run in (",
        "))",
    ),
    ("delete from task_run where run in (", ")"),
    ("delete from flow_step where run in (", ")"),
    ("delete from flow_run where run in (", ")"),
    ("delete from run where id in (", ")"),
    (
        "delete from fact where kind in ('flow_began', 'steps_began', 'steps_ended', 'flow_cancelled', 'flow_reopened')
         and run in (",
        ")",
    ),
];

/// Removes all of a bundle.
pub(super) async fn bundle(conn: &mut Conn, gone: &Bundle, now: Instant) -> Result<Forgotten, Error> {
    let runs: Vec<i64> = gone.runs.keys().copied().collect();
    for runs in runs.chunks(ROWS) {
        for (before, after) in OF_RUNS {
            on_list(&mut *conn, before, runs, after).await?;
        }
        ends(&mut *conn, runs).await?;
    }
    let mut ticks = 0;
    for (seq, ticked) in &gone.ticked {
        ticks += fact_of_ticks(&mut *conn, *seq, ticked).await?;
    }
    let mut began: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for run in gone.runs.values() {
        began.entry(&run.version).or_default().push(run.seq);
    }
    for (version, began) in began {
        definition(&mut *conn, version, &began, now).await?;
    }
    Ok(Forgotten {
        runs: runs.len() as u64,
        ticks,
    })
}

/// Removes definitions by which no run goes any more and which have a fact of their own. The newest fact stays, so
/// that its number is not given again: then its definition goes another time.
pub(super) async fn unneeded_definitions(conn: &mut Conn) -> Result<(), Error> {
    let rows: Vec<(String, i64)> = sql::query_as(
        "select fingerprint, seq from flow_version
         where not exists (select 1 from flow_run f where f.version = fingerprint)
             and seq < (select max(fact.seq) from fact)",
    )
    .fetch_all(&mut *conn)
    .await?;
    for (version, seq) in rows {
        sql::query("delete from fact where seq = $1 and kind = 'flow_defined'")
            .bind(seq)
            .execute(&mut *conn)
            .await?;
        forget_definition(&mut *conn, &version).await?;
    }
    Ok(())
}

/// Removes the facts by which runs ended, but for those that say what is known of an interval since.
async fn ends(conn: &mut Conn, runs: &[i64]) -> Result<(), Error> {
    let list = rows(1, runs.len(), 1, |at| format!("${at}"));
    let select = format!("select seq, payload from fact where kind = 'flow_ended' and run in ({list})");
    let mut query = sql::query_as::<(i64, String)>(AssertSqlSafe(select));
    for run in runs {
        query = query.bind(*run);
    }
    let mut over = Vec::new();
    for (seq, payload) in query.fetch_all(&mut *conn).await? {
        let Fact::FlowEnded(ended) = serde_json::from_str(&payload)? else {
            return Err(Error::damaged(format!("fact {seq} is not the end of a run")));
        };
        match ended.leaves {
            Leaves::Nothing => over.push(seq),
            Leaves::Filled { .. } | Leaves::Failing(_) | Leaves::Cancelled { .. } => {}
        }
    }
    for over in over.chunks(ROWS) {
        on_list(&mut *conn, "delete from fact where seq in (", over, ")").await?;
    }
    Ok(())
}

/// Removes a fact and the ticks that it tells of; gives how many these were.
async fn fact_of_ticks(conn: &mut Conn, seq: i64, ticked: &Ticked) -> Result<u64, Error> {
    sql::query("delete from fact where seq = $1")
        .bind(seq)
        .execute(&mut *conn)
        .await?;
    let Some((first, last)) = ticked.span() else {
        return Ok(0);
    };
    let removed = sql::query(
        "delete from tick
         where owner = $1 and schedule = $2 and scheduled_at >= $3 and scheduled_at <= $4 and seq = $5",
    )
    .bind(ticked.owner.as_str())
    .bind(ticked.schedule.as_str())
    .bind(first.0)
    .bind(last.0)
    .bind(seq)
    .execute(conn)
    .await?;
    Ok(removed.rows_affected())
}

/// A definition whose fact may be among those that went, by which runs began: it is recorded anew where another
/// run goes by it, and goes with them otherwise.
async fn definition(conn: &mut Conn, version: &str, began: &[i64], now: Instant) -> Result<(), Error> {
    let row: Option<(String, i64)> = sql::query_as("select definition, seq from flow_version where fingerprint = $1")
        .bind(version)
        .fetch_optional(&mut *conn)
        .await?;
    let Some((definition, _)) = row.filter(|(_, seq)| began.contains(seq)) else {
        return Ok(());
    };
    let other: Option<(i64,)> = sql::query_as("select run from flow_run where version = $1 limit 1")
        .bind(version)
        .fetch_optional(&mut *conn)
        .await?;
    if other.is_none() {
        return forget_definition(conn, version).await;
    }
    let defined = FlowDefined {
        version: Fingerprint::parse(version)
            .ok_or_else(|| Error::damaged("the fingerprint of a definition cannot be read"))?,
        definition: serde_json::from_str(&definition)?,
    };
    apply::record(conn, &Fact::FlowDefined(defined), now).await?;
    Ok(())
}

async fn forget_definition(conn: &mut Conn, version: &str) -> Result<(), Error> {
    sql::query("delete from flow_version where fingerprint = $1")
        .bind(version)
        .execute(conn)
        .await?;
    Ok(())
}

/// Carries out a statement with a list of numbers in it.
async fn on_list(conn: &mut Conn, before: &str, numbers: &[i64], after: &str) -> Result<(), Error> {
    let list = rows(1, numbers.len(), 1, |at| format!("${at}"));
    let mut query = sql::query(AssertSqlSafe(format!("{before}{list}{after}")));
    for number in numbers {
        query = query.bind(*number);
    }
    query.execute(conn).await?;
    Ok(())
}
