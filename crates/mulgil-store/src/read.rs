//! What people ask the ledger: runs and their logs, which relations there are.

use std::collections::{BTreeMap, BTreeSet};

use mulgil_core::{
    interval::{Instant, Interval},
    name::{NodeName, Relation},
    port::{Fault, TableLog},
    project::{Fingerprint, Materialization, Project},
    run::{Attempt, Run, RunState, TaskRun},
    task::Column,
};

use crate::{
    Store,
    error::Error,
    fact::Fact,
    rebuild,
    sql::{self, Conn},
    text,
};

/// Lines that an attempt's log keeps; what comes after is counted out by one last line.
pub const LOG_LINES_LIMIT: i64 = 20_000;
/// Bytes of one log line; the rest is cut off.
pub const LOG_LINE_BYTES_LIMIT: usize = 16 * 1024;

/// Facts among which the latest moment is looked for.
const LATEST_FACTS: i64 = 10_000;

/// One line of an attempt's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was written.
    pub at: Instant,
    /// The line, without its end.
    pub text: String,
}

/// A table or view that the ledger knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationEntry {
    /// Where it lies.
    pub relation: Relation,
    /// Whose it is.
    pub node: NodeName,
    /// How its rows are kept.
    pub kind: Materialization,
    /// Its columns; empty where only its log was read.
    pub columns: Vec<Column>,
    /// Its newest recorded version; none for a view and for a table that is gone.
    pub version: Option<i64>,
}

/// How a data test ended when it last ran.
#[derive(Clone, Debug, PartialEq)]
pub struct LastTest {
    /// Its name.
    pub name: String,
    /// What was asserted then.
    pub fingerprint: Fingerprint,
    /// The rows that broke it.
    pub failures: u64,
    /// A few of them.
    pub sample: Vec<serde_json::Value>,
    /// When.
    pub at: Instant,
}

/// How large a table is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSize {
    /// Where it lies.
    pub relation: Relation,
    /// Its newest recorded version.
    pub version: Option<i64>,
    /// Bytes, when its log was last read.
    pub bytes: u64,
    /// Files, when its log was last read.
    pub files: u64,
}

/// What of a table's log is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct KnownTable {
    /// The version up to which every commit is recorded; none where the table is not there.
    pub version: Option<i64>,
    /// The table's own id, as far as it is known.
    pub id: Option<String>,
}

impl KnownTable {
    /// Whether a log is that of another table, which lies where this one was.
    pub fn is_other(&self, log: &TableLog) -> bool {
        self.id.as_ref().is_some_and(|id| *id != log.table_id)
    }
}

impl Store {
    /// The newest runs, newest first.
    pub async fn runs(&self, limit: u32) -> Result<Vec<Run>, Fault> {
        self.read(move |conn| {
            Box::pin(async move {
                let rows: Vec<RunRow> = sql::query_as(
                    "select id, \"trigger\", selector, state, started_at, ended_at from run order by id desc limit $1",
                )
                .bind(limit)
                .fetch_all(conn)
                .await?;
                rows.into_iter().map(run).collect()
            })
        })
        .await
    }

    /// A run with its task runs and their attempts, in the order of their beginning.
    pub async fn run(&self, id: i64) -> Result<Option<(Run, Vec<TaskRun>)>, Fault> {
        self.read(move |conn| {
            Box::pin(async move {
                let row: Option<RunRow> = sql::query_as(
                    "select id, \"trigger\", selector, state, started_at, ended_at from run where id = $1",
                )
                .bind(id)
                .fetch_optional(&mut *conn)
                .await?;
                match row {
                    Some(row) => Ok(Some((run(row)?, task_runs(conn, id).await?))),
                    None => Ok(None),
                }
            })
        })
        .await
    }

    /// The facts of a run, oldest first, with their numbers and times; nothing where nothing of it began.
    pub async fn run_facts(&self, run: i64) -> Result<Vec<(i64, Instant, Fact)>, Fault> {
        self.read(move |conn| {
            Box::pin(async move {
                let rows: Vec<(i64,)> = sql::query_as(
                    "select seq from flow_run where run = $1
                     union all select a.seq from attempt a join task_run t on t.id = a.task_run where t.run = $1
                     order by 1 limit 1",
                )
                .bind(run)
                .fetch_all(&mut *conn)
                .await?;
                let Some((first,)) = rows.first() else {
                    return Ok(Vec::new());
                };
                let rows: Vec<(i64, i64, String)> =
                    sql::query_as("select seq, at, payload from fact where run = $1 and seq >= $2 order by seq")
                        .bind(run)
                        .bind(*first)
                        .fetch_all(conn)
                        .await?;
                rebuild::parsed(rows)
            })
        })
        .await
    }

    /// Whether an attempt is live.
    pub async fn is_live(&self, attempt: i64) -> Result<bool, Fault> {
        self.read(move |conn| {
            Box::pin(async move {
                let row: Option<(i64,)> = sql::query_as("select id from attempt where id = $1 and state = 'running'")
                    .bind(attempt)
                    .fetch_optional(conn)
                    .await?;
                Ok(row.is_some())
            })
        })
        .await
    }

    /// The lines of an attempt, oldest first.
    pub async fn log(&self, attempt: i64) -> Result<Vec<LogLine>, Fault> {
        self.read(move |conn| {
            Box::pin(async move {
                let rows: Vec<(i64, String)> =
                    sql::query_as("select at, text from attempt_log where attempt = $1 order by line")
                        .bind(attempt)
                        .fetch_all(conn)
                        .await?;
                let line = |(at, text)| LogLine { at: Instant(at), text };
                Ok(rows.into_iter().map(line).collect())
            })
        })
        .await
    }

    /// Adds lines to an attempt's log, up to [`LOG_LINES_LIMIT`].
    pub async fn append_log(&self, attempt: i64, lines: Vec<String>, now: Instant) -> Result<(), Fault> {
        self.write(move |conn| Box::pin(async move { append_log(conn, attempt, lines, now).await }))
            .await
    }

    /// Every relation that was ever filled, by name.
    pub async fn catalog(&self) -> Result<Vec<RelationEntry>, Fault> {
        self.read(|conn| Box::pin(async move { catalog(conn).await })).await
    }

    /// The relations of the catalog that no node of the project declares.
    pub async fn undeclared(&self, project: &Project) -> Result<Vec<RelationEntry>, Fault> {
        let mut entries = self.catalog().await?;
        entries.retain(|entry| !project.nodes.iter().any(|node| node.relation == entry.relation));
        Ok(entries)
    }

    /// How the data tests of a node ended when they last ran, by name; those that are not declared any
    /// more among them.
    pub async fn last_tests(&self, node: &NodeName) -> Result<Vec<LastTest>, Fault> {
        let node = node.clone();
        self.read(move |conn| {
            Box::pin(async move {
                let rows: Vec<(String, String, i64, String, i64)> = sql::query_as(
                    "select name, fingerprint, failures, sample, tested_at from test where node = $1 order by name",
                )
                .bind(node.as_str())
                .fetch_all(conn)
                .await?;
                let last = |(name, fingerprint, failures, sample, at): (_, String, i64, String, _)| {
                    Ok(LastTest {
                        name,
                        fingerprint: Fingerprint::parse(&fingerprint)
                            .ok_or_else(|| Error::damaged("a test's fingerprint cannot be read"))?,
                        failures: failures.cast_unsigned(),
                        sample: serde_json::from_str(&sample)?,
                        at: Instant(at),
                    })
                };
                rows.into_iter().map(last).collect()
            })
        })
        .await
    }

    /// How large each table is.
    pub async fn table_sizes(&self) -> Result<Vec<TableSize>, Fault> {
        self.read(|conn| {
            Box::pin(async move {
                let rows: Vec<(String, String, Option<i64>, i64, i64)> = sql::query_as(
                    "select schema_name, name, version, bytes, files from relation where dropped = 0
                     order by schema_name, name",
                )
                .fetch_all(conn)
                .await?;
                let size = |(schema, name, version, bytes, files): (_, _, _, i64, i64)| TableSize {
                    relation: Relation { schema, name },
                    version,
                    bytes: bytes.cast_unsigned(),
                    files: files.cast_unsigned(),
                };
                Ok(rows.into_iter().map(size).collect())
            })
        })
        .await
    }

    /// The nodes whose filled intervals lie in another table than the one that they are declared
    /// with today.
    pub async fn moved(&self, project: &Project) -> Result<BTreeSet<NodeName>, Fault> {
        let tables: BTreeMap<NodeName, String> = project
            .nodes
            .iter()
            .map(|node| (node.name.clone(), text::of_relation(&node.relation)))
            .collect();
        self.read(move |conn| {
            Box::pin(async move {
                let rows: Vec<(String, String)> =
                    sql::query_as("select instance, relation from node where relation is not null")
                        .fetch_all(conn)
                        .await?;
                let moved = |(instance, relation): (String, String)| {
                    let name = text::instance(&instance)?.node;
                    (*tables.get(&name)? != relation).then_some(name)
                };
                Ok(rows.into_iter().filter_map(moved).collect())
            })
        })
        .await
    }

    /// The latest moment at which anything was recorded; nothing where nothing was. After a clock was set back
    /// later facts have earlier times, so more than the last one is looked at.
    pub async fn newest_record(&self) -> Result<Option<Instant>, Fault> {
        self.read(|conn| {
            Box::pin(async move {
                let (newest,): (Option<i64>,) =
                    sql::query_as("select max(f.at) from (select at from fact order by seq desc limit $1) f")
                        .bind(LATEST_FACTS)
                        .fetch_one(conn)
                        .await?;
                Ok(newest.map(Instant))
            })
        })
        .await
    }

    /// What is recorded of every table's log.
    pub async fn known_tables(&self) -> Result<BTreeMap<Relation, KnownTable>, Fault> {
        self.read(|conn| {
            Box::pin(async move {
                let rows: Vec<(String, String, Option<i64>, Option<String>)> =
                    sql::query_as("select schema_name, name, version, table_id from relation")
                        .fetch_all(conn)
                        .await?;
                let known = |(schema, name, version, id)| (Relation { schema, name }, KnownTable { version, id });
                Ok(rows.into_iter().map(known).collect())
            })
        })
        .await
    }
}

type RunRow = (i64, String, String, String, i64, Option<i64>);

fn run((id, trigger, selector, state, started_at, ended_at): RunRow) -> Result<Run, Error> {
    Ok(Run {
        id,
        trigger: serde_json::from_str(&trigger)?,
        selector,
        state: run_state(&state)?,
        started_at: Instant(started_at),
        ended_at: ended_at.map(Instant),
    })
}

fn run_state(text: &str) -> Result<RunState, Error> {
    RunState::parse(text).ok_or_else(|| Error::damaged(format!("`{text}` is not a state")))
}

type AttemptRow = (
    i64,
    i64,
    String,
    i64,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<String>,
);

async fn task_runs(conn: &mut Conn, run: i64) -> Result<Vec<TaskRun>, Error> {
    let rows: Vec<AttemptRow> = sql::query_as(
        "select a.task_run, a.id, a.state, a.started_at, a.ended_at, a.rows, a.version, a.fault
         from attempt a join task_run t on t.id = a.task_run where t.run = $1 order by a.id",
    )
    .bind(run)
    .fetch_all(&mut *conn)
    .await?;
    let mut attempts: BTreeMap<i64, Vec<Attempt>> = BTreeMap::new();
    for (task_run, id, state, started_at, ended_at, rows, version, fault) in rows {
        attempts.entry(task_run).or_default().push(Attempt {
            id,
            state: run_state(&state)?,
            started_at: Instant(started_at),
            ended_at: ended_at.map(Instant),
            rows: rows.map(i64::cast_unsigned),
            version,
            fault: fault.as_deref().map(serde_json::from_str).transpose()?,
        });
    }
    let rows: Vec<(i64, String, String, i64, i64, String, String)> = sql::query_as(
        "select id, instance, kind, start_at, end_at, reason, state from task_run where run = $1 order by id",
    )
    .bind(run)
    .fetch_all(conn)
    .await?;
    let mut task_runs = Vec::with_capacity(rows.len());
    for (id, instance, kind, start, end, reason, state) in rows {
        task_runs.push(TaskRun {
            id,
            run,
            instance: text::instance(&instance).ok_or_else(|| Error::damaged("an instance's name cannot be read"))?,
            kind: text::kind(&kind).ok_or_else(|| Error::damaged("a task run's kind cannot be read"))?,
            range: Interval {
                start: Instant(start),
                end: Instant(end),
            },
            reason: serde_json::from_str(&reason)?,
            state: run_state(&state)?,
            attempts: attempts.remove(&id).unwrap_or_default(),
        });
    }
    Ok(task_runs)
}

async fn append_log(conn: &mut Conn, attempt: i64, lines: Vec<String>, now: Instant) -> Result<(), Error> {
    let (mut line,): (i64,) = sql::query_as("select coalesce(max(line), 0) from attempt_log where attempt = $1")
        .bind(attempt)
        .fetch_one(&mut *conn)
        .await?;
    for mut text in lines {
        line += 1;
        if line > LOG_LINES_LIMIT {
            return Ok(());
        }
        if line == LOG_LINES_LIMIT {
            text = format!("the log ends here: it has reached its {LOG_LINES_LIMIT} lines");
        }
        text.truncate(text.floor_char_boundary(LOG_LINE_BYTES_LIMIT));
        if text.contains('\0') {
            // PostgreSQL keeps no text with a zero in it.
            text = text.replace('\0', "\u{fffd}");
        }
        sql::query("insert into attempt_log (attempt, line, at, text) values ($1, $2, $3, $4)")
            .bind(attempt)
            .bind(line)
            .bind(now.0)
            .bind(text)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

async fn catalog(conn: &mut Conn) -> Result<Vec<RelationEntry>, Error> {
    let rows: Vec<(String, String, String, String, String, Option<i64>)> = sql::query_as(
        "select schema_name, name, node, kind, columns, version from relation where dropped = 0
         order by schema_name, name",
    )
    .fetch_all(conn)
    .await?;
    let entry = |(schema, name, node, kind, columns, version): (_, _, String, String, String, _)| {
        Ok(RelationEntry {
            relation: Relation { schema, name },
            node: NodeName::new(node),
            kind: serde_json::from_str(&kind)?,
            columns: serde_json::from_str(&columns)?,
            version,
        })
    };
    rows.into_iter().map(entry).collect()
}
