//! One try of one task, and what it said into the ledger.
//!
//! The lines that attempts say into the ledger have places in bytes, as those of a file have: the places are those
//! in the text that a download gives, in which each line is written as `TIME log TEXT` ([`ledger_text`]).

use std::{collections::BTreeMap, fmt::Write as _};

use mulgil_core::{
    diagnostic::Diagnostic,
    flow::{Flow, name},
    interval::{Instant, Interval},
    port::Fault,
    project::{CodeFp, Fingerprint},
    run::{RunState, TaskKind},
    walk::StepProgress,
};
use serde_json::Value as Json;

use super::state_of;
use crate::{LogLine, Store, error::Error, fact::Fact, sql, text};

/// Bytes of a line's time.
pub const STAMP_BYTES: u64 = 27;
/// Bytes that a line of the download has beside its text: its time, ` log `, and its end.
pub const LOG_LINE_COST: u64 = STAMP_BYTES + 6;
// The statements below have it as a number.
const _: () = assert!(LOG_LINE_COST == 33);

/// A task of a run, as the page of its tries has it.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskHead {
    /// How its run stands.
    pub run_state: RunState,
    /// When its run began.
    pub run_started_at: Instant,
    /// Its run's flow.
    pub flow: Option<String>,
    /// Its run's interval.
    pub interval: Option<Interval>,
    /// The tick that its run is for.
    pub scheduled_at: Option<Instant>,
    /// The definition that its run goes by.
    pub version: Option<Fingerprint>,
    /// Its run's parameters.
    pub params: BTreeMap<String, Json>,
    /// Its instance as it is written.
    pub instance: String,
    /// What it does.
    pub kind: TaskKind,
    /// Its range.
    pub range: Interval,
    /// How far its step is; none of what is no step.
    pub progress: Option<StepProgress>,
    /// What its step gave.
    pub output: Option<Json>,
}

/// The tries of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct TriesShown {
    /// The newest ones, and the one that was asked for: oldest first.
    pub tries: Vec<(u32, RunState)>,
    /// How many there are.
    pub count: u32,
    /// The one that was asked for; none where there is no such one.
    pub asked: Option<TriedAttempt>,
}

/// A try of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct TriedAttempt {
    /// Its number in the ledger.
    pub id: i64,
    /// How it stands.
    pub state: RunState,
    /// When it began.
    pub started_at: Instant,
    /// When it ended.
    pub ended_at: Option<Instant>,
    /// Rows that it wrote.
    pub rows: Option<u64>,
    /// The version of the table that it committed.
    pub version: Option<i64>,
    /// Why it failed.
    pub fault: Option<Diagnostic>,
    /// With what it was to fill; none of a step.
    pub fingerprint: Option<CodeFp>,
    /// The definition that was asked for beside it.
    pub definition: Option<Flow>,
}

/// How a step of a run stands, and what it gave.
#[derive(Clone, Debug, PartialEq)]
pub struct StepRow {
    /// How far it is.
    pub progress: StepProgress,
    /// What it gave.
    pub output: Json,
    /// Rows that its newest try told of.
    pub rows: Option<u64>,
}

/// From where lines are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFrom {
    /// From this byte on.
    Byte(u64),
    /// The last ones that end before this byte.
    Before(u64),
}

/// One line in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerLine {
    /// The place of its first byte.
    pub from: u64,
    /// The place behind its end.
    pub next: u64,
    /// When it was said.
    pub at: Instant,
    /// Its first letters, as many as were asked for.
    pub text: String,
    /// Bytes of its whole text.
    pub bytes: u64,
}

/// Some lines in the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerLog {
    /// Them, oldest first.
    pub lines: Vec<LedgerLine>,
    /// All bytes.
    pub bytes: u64,
}

/// Lines as a download has them; their places in bytes are those of this text.
pub fn ledger_text(lines: &[LogLine]) -> String {
    let mut out = String::new();
    for line in lines {
        // It is a text: nothing can fail.
        let _ = writeln!(out, "{:.6} log {}", line.at.to_timestamp(), line.text);
    }
    out
}

/// Reads lines with their places. A log of the ledger has at most some thousand lines: how many bytes each 256 of them
/// have is summed up, and only the lines around the place are looked at one by one. All bytes are told where no line
/// is.
macro_rules! lines {
    ($($part:literal),*) => {
        concat!(
            "with c as (
                 select (line - 1) / 256 as chunk, sum(octet_length(text) + 33) as bytes
                 from attempt_log where attempt = $1 group by (line - 1) / 256
             ),
             s as (select chunk, bytes, cast(sum(bytes) over (order by chunk) as bigint) as ends from c), ",
            $($part,)*
            " select cast(a.total as bigint), cast(f.bytes as bigint), cast(f.ends as bigint), f.at, f.text
             from (select coalesce(max(ends), 0) as total from s) a left join found f on 1 = 1 order by f.line"
        )
    };
}

const LINES_FROM: &str = lines!(
    "k as (select min(chunk) as first from s where ends > $2), ",
    "e as (
         select l.line, l.at, octet_length(l.text) as bytes, substr(l.text, 1, cast($4 as integer)) as text,
             coalesce((select s.ends - s.bytes from s where s.chunk = k.first), 0)
             + sum(octet_length(l.text) + 33) over (order by l.line rows unbounded preceding) as ends
         from k join attempt_log l on l.attempt = $1 and l.line > k.first * 256 and l.line <= (k.first + 3) * 256
     ), ",
    "found as (select * from e where ends > $2 order by line limit $3)"
);

const LINES_BEFORE: &str = lines!(
    "k as (select max(chunk) - 2 as first from s where ends - bytes < $2), ",
    "e as (
         select l.line, l.at, octet_length(l.text) as bytes, substr(l.text, 1, cast($4 as integer)) as text,
             coalesce((select s.ends - s.bytes from s where s.chunk = k.first), 0)
             + sum(octet_length(l.text) + 33) over (order by l.line rows unbounded preceding) as ends
         from k join attempt_log l on l.attempt = $1 and l.line > k.first * 256 and l.line <= (k.first + 3) * 256
     ), ",
    "found as (select * from e where ends <= $2 order by line desc limit $3)"
);

/// A chunk may hold lines before the place that have the words, so that many more are looked at.
const LINES_WITH: &str = lines!(
    "k as (select min(chunk) as first from s where ends > $2),
     hit as (
         select l.line, l.at, l.text, (l.line - 1) / 256 as chunk from k join attempt_log l
             on l.attempt = $1 and l.line > k.first * 256 and replace(lower(l.text), $5, '') <> lower(l.text)
         order by l.line limit $3 + 256
     ),
     e as (
         select h.line, h.at, octet_length(h.text) as bytes, substr(h.text, 1, cast($4 as integer)) as text,
             (select s.ends - s.bytes from s where s.chunk = h.chunk)
             + (select sum(octet_length(i.text) + 33) from attempt_log i
                where i.attempt = $1 and i.line > h.chunk * 256 and i.line <= h.line) as ends
         from hit h
     ),
     found as (select * from e where ends > $2 order by line limit $3)"
);

impl Store {
    /// A task of a run; none where the run has no such one.
    pub async fn task_head(&self, run: i64, task: i64) -> Result<Option<TaskHead>, Fault> {
        // What a step is called behind `flow:NAME/`.
        let before = name::of_step("", "").len() as i64;
        self.read(move |conn| {
            Box::pin(async move {
                let row: Option<HeadTuple> = sql::query_as(
                    "select r.state, r.started_at, f.flow, f.start_at, f.end_at, f.scheduled_at, f.version, f.params,
                         t.instance, t.kind, t.start_at, t.end_at, s.progress, s.output
                     from task_run t join run r on r.id = t.run left join flow_run f on f.run = t.run
                         left join flow_step s on s.run = t.run and t.kind = 'step'
                             and s.step = substr(t.instance, cast(length(f.flow) + $3 + 1 as integer))
                     where t.id = $2 and t.run = $1",
                )
                .bind(run)
                .bind(task)
                .bind(before)
                .fetch_optional(conn)
                .await?;
                row.map(task_head).transpose()
            })
        })
        .await
    }

    /// The tries of a task: the newest `limit`, and the one of this number, with all that is known of it. With it
    /// comes a definition, where `version` names one.
    pub async fn tries(
        &self,
        task: i64,
        number: u32,
        version: Option<Fingerprint>,
        limit: usize,
    ) -> Result<TriesShown, Fault> {
        self.read(move |conn| {
            Box::pin(async move {
                let rows: Vec<TryTuple> = sql::query_as(
                    "with tries as (
                         select id, state, started_at, ended_at, rows, version, fault, seq,
                             row_number() over (order by id) as number, count(*) over () as total
                         from attempt where task_run = $1
                     )
                     select t.number, t.total, t.id, t.state, t.started_at, t.ended_at, t.rows, t.version,
                         case when t.number = $2 then t.fault end,
                         case when t.number = $2 then
                             (select k.payload from fact k where k.seq = t.seq and k.kind = 'claimed') end,
                         case when t.number = $2 then
                             (select v.definition from flow_version v where v.fingerprint = $4) end
                     from tries t where t.number = $2 or t.number > t.total - $3 order by t.number",
                )
                .bind(task)
                .bind(i64::from(number))
                .bind(limit as i64)
                .bind(version.map(|version| version.to_string()))
                .fetch_all(conn)
                .await?;
                tries_shown(rows, number)
            })
        })
        .await
    }

    /// The number in the ledger of a try of a task of a run.
    pub async fn attempt_of(&self, run: i64, task: i64, number: u32) -> Result<Option<i64>, Fault> {
        self.read(move |conn| {
            Box::pin(async move {
                let row: Option<(i64,)> = sql::query_as(
                    "select a.id from task_run t join attempt a on a.task_run = t.id
                     where t.id = $2 and t.run = $1 order by a.id limit 1 offset $3",
                )
                .bind(run)
                .bind(task)
                .bind(i64::from(number) - 1)
                .fetch_optional(conn)
                .await?;
                Ok(row.map(|(id,)| id))
            })
        })
        .await
    }

    /// How each step of a run stands, and what it gave.
    pub async fn steps_of(&self, run: i64) -> Result<BTreeMap<String, StepRow>, Fault> {
        self.read(move |conn| {
            Box::pin(async move {
                let rows: Vec<(String, String, Option<String>, Option<i64>)> = sql::query_as(
                    "select s.step, s.progress, s.output,
                         (select a.rows from task_run t join attempt a on a.task_run = t.id
                          where t.run = s.run and t.instance = 'flow:' || f.flow || '/' || s.step
                          order by a.id desc limit 1)
                     from flow_step s join flow_run f on f.run = s.run where s.run = $1",
                )
                .bind(run)
                .fetch_all(conn)
                .await?;
                let step = |(step, progress, output, rows): (_, String, Option<String>, Option<i64>)| {
                    let row = StepRow {
                        progress: serde_json::from_str(&progress)?,
                        output: output
                            .as_deref()
                            .map(serde_json::from_str)
                            .transpose()?
                            .unwrap_or(Json::Null),
                        rows: rows.map(i64::cast_unsigned),
                    };
                    Ok((step, row))
                };
                rows.into_iter().map(step).collect()
            })
        })
        .await
    }

    /// Lines that an attempt said into the ledger, at most `limit`, each with its first `letters`.
    pub async fn ledger_log(
        &self,
        attempt: i64,
        from: LogFrom,
        limit: usize,
        letters: usize,
    ) -> Result<LedgerLog, Fault> {
        let (place, select) = match from {
            LogFrom::Byte(place) => (place, LINES_FROM),
            LogFrom::Before(place) => (place, LINES_BEFORE),
        };
        self.read(move |conn| {
            Box::pin(async move {
                let rows: Vec<LineTuple> = sql::query_as(select)
                    .bind(attempt)
                    .bind(i64::try_from(place).unwrap_or(i64::MAX))
                    .bind(limit as i64)
                    .bind(letters as i64)
                    .fetch_all(conn)
                    .await?;
                Ok(ledger_log(rows))
            })
        })
        .await
    }

    /// Lines that an attempt said into the ledger from a byte on and that hold these words, in whatever case.
    pub async fn ledger_search(
        &self,
        attempt: i64,
        from: u64,
        words: &str,
        limit: usize,
        letters: usize,
    ) -> Result<LedgerLog, Fault> {
        let words = words.to_ascii_lowercase();
        self.read(move |conn| {
            Box::pin(async move {
                let rows: Vec<LineTuple> = sql::query_as(LINES_WITH)
                    .bind(attempt)
                    .bind(i64::try_from(from).unwrap_or(i64::MAX))
                    .bind(limit as i64)
                    .bind(letters as i64)
                    .bind(words)
                    .fetch_all(conn)
                    .await?;
                Ok(ledger_log(rows))
            })
        })
        .await
    }

    /// The lines of an attempt's log that begin so, without that beginning.
    pub async fn lines_behind(&self, attempt: i64, beginning: &str, limit: usize) -> Result<Vec<String>, Fault> {
        let beginning = beginning.to_owned();
        self.read(move |conn| {
            Box::pin(async move {
                let rows: Vec<(String,)> = sql::query_as(
                    "select substr(text, cast(length($2) + 1 as integer)) from attempt_log
                     where attempt = $1 and substr(text, 1, cast(length($2) as integer)) = $2 order by line limit $3",
                )
                .bind(attempt)
                .bind(beginning)
                .bind(limit as i64)
                .fetch_all(conn)
                .await?;
                Ok(rows.into_iter().map(|(text,)| text).collect())
            })
        })
        .await
    }
}

type HeadTuple = (
    String,
    i64,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<String>,
    String,
    String,
    i64,
    i64,
    Option<String>,
    Option<String>,
);

type LineTuple = (i64, Option<i64>, Option<i64>, Option<i64>, Option<String>);

type TryTuple = (
    i64,
    i64,
    i64,
    String,
    i64,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<String>,
    Option<String>,
);

fn task_head(
    (state, started_at, flow, from, to, scheduled_at, version, params, instance, kind, start, end, progress, output): HeadTuple,
) -> Result<TaskHead, Error> {
    let range = |start, end| Interval {
        start: Instant(start),
        end: Instant(end),
    };
    Ok(TaskHead {
        run_state: state_of(&state)?,
        run_started_at: Instant(started_at),
        flow,
        interval: from.zip(to).map(|(from, to)| range(from, to)),
        scheduled_at: scheduled_at.map(Instant),
        version: version.as_deref().and_then(Fingerprint::parse),
        params: params
            .as_deref()
            .map(serde_json::from_str)
            .transpose()?
            .unwrap_or_default(),
        instance,
        kind: text::kind(&kind).ok_or_else(|| Error::damaged("a task run's kind cannot be read"))?,
        range: range(start, end),
        progress: progress.as_deref().map(serde_json::from_str).transpose()?,
        output: output.as_deref().map(serde_json::from_str).transpose()?,
    })
}

fn tries_shown(rows: Vec<TryTuple>, asked: u32) -> Result<TriesShown, Error> {
    let mut shown = TriesShown {
        tries: Vec::with_capacity(rows.len()),
        count: 0,
        asked: None,
    };
    for (number, total, id, state, started_at, ended_at, rows, version, fault, claim, definition) in rows {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let state = state_of(&state)?;
        shown.count = u32::try_from(total).unwrap_or(u32::MAX);
        shown.tries.push((number, state));
        if number != asked {
            continue;
        }
        let fingerprint = match claim.as_deref().map(serde_json::from_str).transpose()? {
            Some(Fact::Claimed(claimed)) => Some(claimed.fingerprint),
            _ => None,
        };
        shown.asked = Some(TriedAttempt {
            id,
            state,
            started_at: Instant(started_at),
            ended_at: ended_at.map(Instant),
            rows: rows.map(i64::cast_unsigned),
            version,
            fault: fault.as_deref().map(serde_json::from_str).transpose()?,
            fingerprint,
            definition: definition.as_deref().map(serde_json::from_str).transpose()?,
        });
    }
    Ok(shown)
}

fn ledger_log(rows: Vec<LineTuple>) -> LedgerLog {
    let mut log = LedgerLog::default();
    for (total, bytes, ends, at, text) in rows {
        log.bytes = total.cast_unsigned();
        let (Some(bytes), Some(ends), Some(at), Some(text)) = (bytes, ends, at, text) else {
            continue;
        };
        let (bytes, next) = (bytes.cast_unsigned(), ends.cast_unsigned());
        log.lines.push(LedgerLine {
            from: next.saturating_sub(bytes + LOG_LINE_COST),
            next,
            at: Instant(at),
            text,
            bytes,
        });
    }
    log
}
