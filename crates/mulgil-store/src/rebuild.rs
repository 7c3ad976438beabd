//! Everything derived, made anew from the facts.

use mulgil_core::{interval::Instant, port::Fault};
use sqlx::AssertSqlSafe;

use crate::{
    Store, apply,
    error::Error,
    fact::Fact,
    sql::{self, Conn},
};

/// Facts that are held in memory at once.
const BATCH: i64 = 256;

/// The tables that `apply` fills.
const DERIVED: &[&str] = &[
    "run",
    "task_run",
    "attempt",
    "relation",
    "node",
    "cover",
    "content",
    "fill",
    "rollback",
    "test",
    "source",
    "source_file",
    "tick",
    "flow_version",
    "flow_run",
    "flow_step",
    "backfill",
    "backfill_part",
];

impl Store {
    /// Empties all that is derived and applies every fact again, in one transaction.
    pub async fn rebuild(&self) -> Result<(), Fault> {
        self.write(|conn| Box::pin(async move { rebuild(conn).await })).await
    }

    /// Every row that is derived, as text, in order: to compare a ledger with its rebuild.
    pub async fn derived(&self) -> Result<Vec<String>, Fault> {
        self.read(|conn| Box::pin(async move { derived(conn).await })).await
    }

    /// Every fact, with its number and time, oldest first.
    pub async fn facts(&self) -> Result<Vec<(i64, Instant, Fact)>, Fault> {
        self.read(|conn| Box::pin(async move { facts_after(conn, 0, i64::MAX).await }))
            .await
    }
}

async fn rebuild(conn: &mut Conn) -> Result<(), Error> {
    for table in DERIVED {
        sql::query(AssertSqlSafe(format!("delete from {table}")))
            .execute(&mut *conn)
            .await?;
    }
    let mut last = 0;
    loop {
        let facts = facts_after(&mut *conn, last, BATCH).await?;
        if facts.is_empty() {
            return Ok(());
        }
        for (seq, at, fact) in facts {
            apply::apply(&mut *conn, seq, at, &fact).await?;
            last = seq;
        }
    }
}

pub(crate) async fn facts_after(conn: &mut Conn, seq: i64, limit: i64) -> Result<Vec<(i64, Instant, Fact)>, Error> {
    let rows: Vec<(i64, i64, String)> =
        sql::query_as("select seq, at, payload from fact where seq > $1 order by seq limit $2")
            .bind(seq)
            .bind(limit)
            .fetch_all(conn)
            .await?;
    parsed(rows)
}

/// Facts as their rows (number, time, payload) tell them.
pub(crate) fn parsed(rows: Vec<(i64, i64, String)>) -> Result<Vec<(i64, Instant, Fact)>, Error> {
    let parsed = rows
        .into_iter()
        .map(|(seq, at, payload)| Ok((seq, Instant(at), serde_json::from_str(&payload)?)));
    parsed.collect()
}

async fn derived(conn: &mut Conn) -> Result<Vec<String>, Error> {
    let mut lines = Vec::new();
    for table in DERIVED {
        let rows = sql::query(AssertSqlSafe(format!("select * from {table}")))
            .fetch_named(&mut *conn)
            .await?;
        let from = lines.len();
        for row in rows {
            let mut line = (*table).to_owned();
            for (column, value) in row {
                line.extend([" ", &column, "=", &value.to_string()]);
            }
            lines.push(line);
        }
        lines[from..].sort_unstable();
    }
    Ok(lines)
}
