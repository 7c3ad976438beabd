//! What people ask the ledger: runs, logs, what filled an interval, why it is stale, which
//! relations there are.

use std::{collections::BTreeMap, path::PathBuf};

use mulgil_core::{
    interval::{Instant, Interval, RangeSet},
    name::{Instance, NodeName, Relation},
    port::{Fault, Filled},
    project::{CodeFp, Fingerprint, Materialization, Project},
    run::{Attempt, Run, RunState, TaskKind, TaskRun},
    state::Cause,
    task::Column,
};
use serde_json::{Value, json};
use sqlx::SqliteConnection;

use crate::{
    Store,
    apply::kind_text,
    chunk::{self, Cover},
    document,
    error::Error,
    fact::{Fact, Mark, Was},
    source, text,
};

/// Fills and pieces of evidence that are told of one interval; the newest.
const TOLD_LIMIT: usize = 100;
/// Lines that an attempt's log keeps; what comes after is counted out by one last line.
pub const LOG_LINES_LIMIT: i64 = 20_000;
/// Bytes of one log line; the rest is cut off.
pub const LOG_LINE_BYTES_LIMIT: usize = 16 * 1024;

/// Why filled intervals are stale, as it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// Because of what.
    pub cause: Cause,
    /// Which part of the interval that was asked for.
    pub range: Interval,
    /// When it was found.
    pub at: Instant,
    /// Both sides of the difference. Upstream: `{upstream, interval, old: {rows, content} | null,
    /// new: {rows, content}, attempt}`. Source: `{file, interval, old, new, gone}` with content
    /// hashes. Target: `{kind, version, …}`. Manual: `{run, selector}`.
    pub detail: Value,
}

/// A fill that an interval had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FillFact {
    /// All that was filled together.
    pub range: Interval,
    /// By which attempt.
    pub attempt: i64,
    /// Of which run; none where the attempt is another ledger's.
    pub run: Option<i64>,
    /// Rows over the interval that was asked for.
    pub rows: u64,
    /// Their hash: the interval's own, or that of the intervals' one by one.
    pub content: Fingerprint,
    /// When.
    pub filled_at: Instant,
    /// The version that it committed.
    pub version: Option<i64>,
    /// With what.
    pub fingerprint: CodeFp,
    /// Whether the table's log showed it to us.
    pub adopted: bool,
}

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

/// How large a table is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableState {
    /// Where it lies.
    pub relation: Relation,
    /// Its newest recorded version.
    pub version: Option<i64>,
    /// Bytes, when its log was last read.
    pub bytes: u64,
    /// Files, when its log was last read.
    pub files: u64,
}

impl Store {
    /// The newest runs, newest first.
    pub async fn runs(&self, limit: u32) -> Result<Vec<Run>, Fault> {
        self.read(move |conn| {
            Box::pin(async move {
                let rows: Vec<RunRow> = sqlx::query_as(
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
                let row: Option<RunRow> = sqlx::query_as(
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

    /// What made parts of an interval stale, newest first; among it what is not due, because its
    /// source's file is gone. For a source: the files that are gone.
    pub async fn evidence(&self, instance: &Instance, interval: Interval) -> Result<Vec<Evidence>, Fault> {
        let instance = instance.clone();
        self.read(move |conn| Box::pin(async move { evidence(conn, &instance, interval).await }))
            .await
    }

    /// The fills that an interval had, newest first.
    pub async fn fills(&self, instance: &Instance, interval: Interval) -> Result<Vec<FillFact>, Fault> {
        let instance = text::of_instance(instance);
        self.read(move |conn| Box::pin(async move { fills(conn, &instance, interval).await }))
            .await
    }

    /// What the filled intervals that overlap an interval hold.
    pub async fn contents(&self, instance: &Instance, interval: Interval) -> Result<Vec<Filled>, Fault> {
        let instance = text::of_instance(instance);
        self.read(move |conn| {
            Box::pin(async move {
                let cover: Vec<Cover> = chunk::read(&mut *conn, &instance, interval).await?;
                let filled: RangeSet = cover.into_iter().map(|cover| cover.range).collect();
                let mut contents: Vec<Filled> = chunk::read(conn, &instance, interval).await?;
                contents.retain(|content| filled.covers(content.interval));
                Ok(contents)
            })
        })
        .await
    }

    /// The lines of an attempt, oldest first.
    pub async fn log(&self, attempt: i64) -> Result<Vec<LogLine>, Fault> {
        self.read(move |conn| {
            Box::pin(async move {
                let rows: Vec<(i64, String)> =
                    sqlx::query_as("select at, text from attempt_log where attempt = $1 order by line")
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

    /// How large each table is.
    pub async fn table_states(&self) -> Result<Vec<TableState>, Fault> {
        self.read(|conn| {
            Box::pin(async move {
                let rows: Vec<(String, String, Option<i64>, i64, i64)> = sqlx::query_as(
                    "select schema_name, name, version, bytes, files from relation order by schema_name, name",
                )
                .fetch_all(conn)
                .await?;
                let state = |(schema, name, version, bytes, files): (_, _, _, i64, i64)| TableState {
                    relation: Relation { schema, name },
                    version,
                    bytes: bytes.cast_unsigned(),
                    files: files.cast_unsigned(),
                };
                Ok(rows.into_iter().map(state).collect())
            })
        })
        .await
    }

    /// The version of a table up to which every commit is recorded.
    pub async fn recorded_version(&self, relation: &Relation) -> Result<Option<i64>, Fault> {
        let relation = text::of_relation(relation);
        self.read(move |conn| {
            Box::pin(async move {
                let row: Option<(Option<i64>,)> = sqlx::query_as("select version from relation where relation = $1")
                    .bind(relation)
                    .fetch_optional(conn)
                    .await?;
                Ok(row.and_then(|(version,)| version))
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

async fn task_runs(conn: &mut SqliteConnection, run: i64) -> Result<Vec<TaskRun>, Error> {
    let rows: Vec<AttemptRow> = sqlx::query_as(
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
    let rows: Vec<(i64, String, String, i64, i64, String, String)> = sqlx::query_as(
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
            kind: kind_of(&kind),
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

/// Reads what [`kind_text`] writes.
pub(crate) fn kind_of(text: &str) -> TaskKind {
    if text == kind_text(TaskKind::Test) {
        TaskKind::Test
    } else {
        TaskKind::Fill
    }
}

async fn fact(conn: &mut SqliteConnection, seq: i64) -> Result<(Instant, Fact), Error> {
    let row: Option<(i64, String)> = sqlx::query_as("select at, payload from fact where seq = $1")
        .bind(seq)
        .fetch_optional(conn)
        .await?;
    let (at, payload) = row.ok_or_else(|| Error::damaged(format!("fact {seq} is missing")))?;
    Ok((Instant(at), serde_json::from_str(&payload)?))
}

async fn fills(conn: &mut SqliteConnection, instance: &str, interval: Interval) -> Result<Vec<FillFact>, Error> {
    let rows: Vec<(i64, Option<i64>)> = sqlx::query_as(
        "select f.seq, t.run from fill f
         left join attempt a on a.id = f.attempt and a.seq = f.claim_seq
         left join task_run t on t.id = a.task_run
         where f.instance = $1 and f.start_at < $3 and f.end_at > $2 order by f.seq desc limit $4",
    )
    .bind(instance)
    .bind(interval.start.0)
    .bind(interval.end.0)
    .bind(TOLD_LIMIT as i64)
    .fetch_all(&mut *conn)
    .await?;
    let mut fills = Vec::with_capacity(rows.len());
    for (seq, run) in rows {
        let (filled_at, Fact::Filled(record)) = fact(&mut *conn, seq).await? else {
            return Err(Error::damaged(format!("fact {seq} is not a fill")));
        };
        let inside = record.intervals.iter().map(|row| Filled::from(*row));
        let inside: Vec<Filled> = inside.filter(|filled| filled.interval.overlaps(interval)).collect();
        fills.push(FillFact {
            range: record.range,
            attempt: record.attempt,
            run,
            rows: inside.iter().map(|filled| filled.rows).sum(),
            content: content_of(&inside),
            filled_at,
            version: record.version,
            fingerprint: record.fingerprint,
            adopted: record.adopted,
        });
    }
    Ok(fills)
}

fn content_of(intervals: &[Filled]) -> Fingerprint {
    match intervals {
        [one] => one.content,
        many => {
            let contents: Vec<[u8; 16]> = many.iter().map(|filled| filled.content.0.to_be_bytes()).collect();
            Fingerprint::of(contents.iter().map(<[u8; 16]>::as_slice))
        }
    }
}

async fn evidence(
    conn: &mut SqliteConnection,
    instance: &Instance,
    interval: Interval,
) -> Result<Vec<Evidence>, Error> {
    if let Some(known) = source::load(&mut *conn, &instance.node).await? {
        return Ok(known.losses(&instance.node, interval));
    }
    let stale = document::load(&mut *conn, &text::of_instance(instance)).await?.stale;
    let mut told = Vec::new();
    for stale in stale.iter().rev().filter(|stale| stale.ranges.overlaps(interval)) {
        let (at, fact) = fact(&mut *conn, stale.seq).await?;
        let inside = stale.ranges.within(interval);
        for (range, detail) in details(&fact, instance, &stale.cause, stale.due, &inside) {
            told.push(Evidence {
                cause: stale.cause.clone(),
                range,
                at,
                detail,
            });
        }
        if told.len() >= TOLD_LIMIT {
            break;
        }
    }
    if told.iter().any(|evidence| evidence.detail["gone"] == true) {
        drop_returned(conn, &mut told).await?;
    }
    told.truncate(TOLD_LIMIT);
    Ok(told)
}

/// A file that has come back is no loss any more.
async fn drop_returned(conn: &mut SqliteConnection, told: &mut Vec<Evidence>) -> Result<(), Error> {
    let known = source::load_all(conn).await?;
    told.retain(|evidence| {
        let (Cause::Source(name), true) = (&evidence.cause, evidence.detail["gone"] == true) else {
            return true;
        };
        let file = evidence.detail["file"].as_str().map(PathBuf::from);
        file.zip(known.get(name))
            .is_none_or(|(file, known)| known.is_gone(&file))
    });
    Ok(())
}

/// What a fact says about the stale ranges of one instance, one change at a time.
fn details(fact: &Fact, instance: &Instance, cause: &Cause, due: bool, stale: &RangeSet) -> Vec<(Interval, Value)> {
    match fact {
        Fact::RunBegan(run) => {
            let detail = json!({"run": run.run, "trigger": run.trigger, "selector": run.selector});
            stale.iter().map(|range| (range, detail.clone())).collect()
        }
        Fact::Filled(record) => reasons(&record.marks, instance, stale, |place| {
            let filled = Filled::from(*record.intervals.get(place as usize)?);
            let was = record.changed.iter().find(|(changed, _)| *changed == place)?.1;
            let old = was.map(|Was(rows, content)| json!({"rows": rows, "content": content}));
            Some(json!({
                "upstream": record.instance.to_string(),
                "interval": filled.interval,
                "old": old,
                "new": {"rows": filled.rows, "content": filled.content},
                "attempt": record.attempt,
            }))
        }),
        Fact::SourceChanged(changed) => {
            let marks = if due { &changed.marks } else { &changed.left };
            reasons(marks, instance, stale, |place| {
                let change = changed.changes.get(place as usize)?;
                Some(json!({
                    "file": change.file, "interval": change.over, "old": change.old, "new": change.new, "gone": !due,
                }))
            })
        }
        Fact::TargetChanged(changed) => {
            let marks = if *cause == Cause::Target {
                &changed.marks
            } else {
                &changed.read_by
            };
            reasons(marks, instance, stale, |place| {
                serde_json::to_value(changed.commits.get(place as usize)?).ok()
            })
        }
        // These make nothing stale.
        Fact::RunEnded { .. }
        | Fact::Claimed(_)
        | Fact::Failed(_)
        | Fact::Tested(_)
        | Fact::TargetVanished(_)
        | Fact::SequenceRaised { .. }
        | Fact::Crashed { .. }
        | Fact::Waived { .. } => Vec::new(),
    }
}

fn reasons(
    marks: &[Mark],
    instance: &Instance,
    stale: &RangeSet,
    detail: impl Fn(u32) -> Option<Value>,
) -> Vec<(Interval, Value)> {
    let mine = marks.iter().filter(|mark| mark.instance == *instance);
    let touching = mine.flat_map(|mark| &mark.because).filter_map(|(place, touched)| {
        let range = stale.within(*touched).span()?;
        Some((range, detail(*place)?))
    });
    touching.take(TOLD_LIMIT).collect()
}

async fn append_log(conn: &mut SqliteConnection, attempt: i64, lines: Vec<String>, now: Instant) -> Result<(), Error> {
    let (mut line,): (i64,) = sqlx::query_as("select coalesce(max(line), 0) from attempt_log where attempt = $1")
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
        sqlx::query("insert into attempt_log (attempt, line, at, text) values ($1, $2, $3, $4)")
            .bind(attempt)
            .bind(line)
            .bind(now.0)
            .bind(text)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

async fn catalog(conn: &mut SqliteConnection) -> Result<Vec<RelationEntry>, Error> {
    let rows: Vec<(String, String, String, String, String, Option<i64>)> = sqlx::query_as(
        "select schema_name, name, node, kind, columns, version from relation order by schema_name, name",
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
