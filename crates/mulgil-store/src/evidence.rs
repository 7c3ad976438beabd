//! Why: what made an interval stale, what filled it, and what it holds.

use std::path::Path;

use mulgil_core::{
    interval::{Instant, Interval, RangeSet},
    name::Instance,
    port::{Fault, Filled},
    project::{CodeFp, Fingerprint},
    state::Cause,
};
use serde_json::{Value, json};

use crate::{
    Store,
    chunk::{self, Cover},
    document,
    error::Error,
    fact::{Fact, FillRecord, Mark, Outdated, Was},
    source,
    sql::{self, Conn},
    text,
};

/// Fills and pieces of evidence that are told of one interval; the newest.
const TOLD_LIMIT: usize = 100;

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
    /// new: {rows, content}, attempt}`, or `{kind: newer, upstream}` where it was filled anew before
    /// this was known of. Source: `{file, interval, old, new, gone}` with content
    /// hashes. Target: `{kind: commit | gap | older, version, …}`, and so for an upstream whose rows
    /// were somebody else's when they were read. Manual: `{run, trigger, selector}`.
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

impl Store {
    /// What made parts of an interval stale, newest first; among it what is not due, because its
    /// source's file is gone. For a source: the files that are gone.
    pub async fn evidence(&self, instance: &Instance, interval: Interval) -> Result<Vec<Evidence>, Fault> {
        let instance = instance.clone();
        self.read(move |conn| Box::pin(async move { evidence(conn, &instance, interval).await }))
            .await
    }

    /// The fills that an interval had, newest first.
    pub async fn fills(&self, instance: &Instance, interval: Interval) -> Result<Vec<FillFact>, Fault> {
        self.newest_fills(instance, interval, TOLD_LIMIT).await
    }

    /// The newest of them, so many.
    pub async fn newest_fills(
        &self,
        instance: &Instance,
        interval: Interval,
        limit: usize,
    ) -> Result<Vec<FillFact>, Fault> {
        let instance = text::of_instance(instance);
        self.read(move |conn| Box::pin(async move { fills(conn, &instance, interval, limit).await }))
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
}

async fn fact(conn: &mut Conn, seq: i64) -> Result<(Instant, Fact), Error> {
    let row: Option<(i64, String)> = sql::query_as("select at, payload from fact where seq = $1")
        .bind(seq)
        .fetch_optional(conn)
        .await?;
    let (at, payload) = row.ok_or_else(|| Error::damaged(format!("fact {seq} is missing")))?;
    Ok((Instant(at), serde_json::from_str(&payload)?))
}

async fn fills(conn: &mut Conn, instance: &str, interval: Interval, limit: usize) -> Result<Vec<FillFact>, Error> {
    let rows: Vec<(i64, Option<i64>, i64, String)> = sql::query_as(
        "select f.seq, t.run, told.at, told.payload from fill f
         join fact told on told.seq = f.seq
         left join attempt a on a.id = f.attempt and a.seq = f.claim_seq
         left join task_run t on t.id = a.task_run
         where f.instance = $1 and f.start_at < $3 and f.end_at > $2 order by f.seq desc limit $4",
    )
    .bind(instance)
    .bind(interval.start.0)
    .bind(interval.end.0)
    .bind(limit as i64)
    .fetch_all(&mut *conn)
    .await?;
    let mut fills = Vec::with_capacity(rows.len());
    for (seq, run, filled_at, payload) in rows {
        let Fact::Filled(record) = serde_json::from_str(&payload)? else {
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
            filled_at: Instant(filled_at),
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

async fn evidence(conn: &mut Conn, instance: &Instance, interval: Interval) -> Result<Vec<Evidence>, Error> {
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
async fn drop_returned(conn: &mut Conn, told: &mut Vec<Evidence>) -> Result<(), Error> {
    let known = source::load_all(conn).await?;
    told.retain(|evidence| {
        let (Cause::Source(name), true) = (&evidence.cause, evidence.detail["gone"] == true) else {
            return true;
        };
        let file = evidence.detail["file"].as_str().map(Path::new);
        file.zip(known.get(name))
            .is_none_or(|(file, known)| known.is_gone(file))
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
        Fact::BackfillAsked(asked) => {
            let detail = json!({"backfill": asked.backfill});
            stale.iter().map(|range| (range, detail.clone())).collect()
        }
        Fact::Filled(record) if record.instance == *instance && *cause == Cause::Hooks => {
            let detail = json!({"attempt": record.attempt, "adopted": record.adopted});
            stale.iter().map(|range| (range, detail.clone())).collect()
        }
        Fact::Filled(record) if record.instance == *instance => newer(record, cause, stale),
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
        Fact::RolledBack(back) => {
            let detail = json!({
                "kind": "rollback", "upstream": back.node.as_str(), "version": back.version, "to": back.to,
            });
            if *cause == Cause::Rollback {
                return stale.iter().map(|range| (range, detail.clone())).collect();
            }
            reasons(&back.marks, instance, stale, |_| Some(detail.clone()))
        }
        // These make nothing stale.
        Fact::RunEnded { .. }
        | Fact::Claimed(_)
        | Fact::Failed(_)
        | Fact::Tested(_)
        | Fact::Published(_)
        | Fact::TargetVanished(_)
        | Fact::Dropped(_)
        | Fact::SequenceRaised { .. }
        | Fact::Crashed { .. }
        | Fact::Waived { .. }
        | Fact::Ticked(_)
        | Fact::FlowBegan(_)
        | Fact::FlowDefined(_)
        | Fact::StepsBegan(_)
        | Fact::StepsEnded(_)
        | Fact::FlowCancelled { .. }
        | Fact::FlowEnded(_)
        | Fact::FlowReopened(_)
        | Fact::BackfillMade(_)
        | Fact::BackfillPaused(_)
        | Fact::BackfillResumed { .. }
        | Fact::BackfillCancelled(_) => Vec::new(),
    }
}

/// A fill that was adopted is told by what it had read and is another by now.
fn newer(record: &FillRecord, cause: &Cause, stale: &RangeSet) -> Vec<(Interval, Value)> {
    let by = |outdated: &&Outdated| *cause == Cause::Upstream(outdated.upstream.node.clone());
    let told = record.outdated.iter().filter(by).flat_map(|outdated| {
        let detail = json!({"kind": "newer", "upstream": outdated.upstream.to_string()});
        let ranges = outdated.ranges.intersect(stale);
        ranges.iter().map(|range| (range, detail.clone())).collect::<Vec<_>>()
    });
    told.take(TOLD_LIMIT).collect()
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
