//! Tables that went back to an earlier version: what they hold then is what the fills up to that version
//! had recorded. Read from the facts, so that it can be told however often the table went back before.

use std::collections::{BTreeMap, BTreeSet};

use mulgil_core::{
    due::has_blocking_tests,
    interval::{Instant, Interval, RangeSet},
    name::{Instance, Relation},
    port::{Fault, Filled, RestoreTag},
    project::Node,
    task::Column,
};

use crate::{
    Store, apply,
    chunk::{self, Cover},
    error::Error,
    fact::{Fact, FillRecord, ForeignCommit, IntervalRow, Mark, Restored, RolledBack, Undone},
    fill::filled_in,
    readers::Readers,
    sql::{self, Conn},
    text,
};

impl Store {
    /// The next number: that of a commit that is made before its record. Right only for who holds the
    /// data folder's lock and records nothing else before that commit.
    pub async fn next_seq(&self) -> Result<i64, Fault> {
        self.read(|conn| {
            Box::pin(async move {
                let (seq,): (i64,) = sql::query_as("select coalesce(max(seq), 0) + 1 from fact")
                    .fetch_one(conn)
                    .await?;
                Ok(seq)
            })
        })
        .await
    }
}

/// Something that made a version of a table.
struct Event {
    version: i64,
    seq: i64,
    at: Instant,
    what: What,
}

#[expect(clippy::large_enum_variant, reason = "nearly every version is a fill's")]
enum What {
    Filled(FillRecord),
    /// To which version.
    RolledBack(i64),
}

/// A part of an instance as a fill has made it.
struct Piece<'a> {
    ranges: RangeSet,
    record: &'a FillRecord,
    at: Instant,
}

/// Records that a commit of ours took a node's table back to an earlier version, and whom that touches.
/// Gives the instances that have other ranges to fill now.
pub(crate) async fn record(
    conn: &mut Conn,
    node: &Node,
    readers: &BTreeMap<Instance, Readers>,
    version: i64,
    tag: &RestoreTag,
    now: Instant,
) -> Result<Vec<Instance>, Error> {
    let events = events(&mut *conn, &node.relation).await?;
    let pieces = pieces_at(&events, tag.to);
    let columns = columns_at(&events, tag.to);
    let mut touched: BTreeSet<Instance> = filled_in(&mut *conn, &node.relation).await?.into_iter().collect();
    touched.extend(pieces.keys().cloned());
    let (mut undone, mut marks) = (Vec::new(), Vec::new());
    for instance in touched {
        let wanted = pieces.get(&instance).map(Vec::as_slice).unwrap_or_default();
        let (one, changes) = undo(&mut *conn, instance, wanted).await?;
        if one.lost.is_empty() && one.restored.is_empty() {
            continue;
        }
        if let Some(readers) = readers.get(&one.instance) {
            let place = undone.len() as u32;
            let changes: Vec<(u32, Interval)> = changes.iter().map(|range| (place, range)).collect();
            marks.extend(readers.marks(&mut *conn, &changes).await?);
        }
        undone.push(one);
    }
    let dirtied = marks.iter().map(|mark: &Mark| mark.instance.clone());
    let dirtied: Vec<Instance> = dirtied
        .chain(undone.iter().map(|one: &Undone| one.instance.clone()))
        .collect();
    let fact = RolledBack {
        relation: node.relation.clone(),
        node: node.name.clone(),
        claim_seq: tag.seq,
        version,
        to: tag.to,
        fingerprint: tag.fingerprint,
        untested: has_blocking_tests(node),
        columns,
        instances: node.instances(),
        undone,
        marks,
    };
    apply::record(conn, &Fact::RolledBack(fact), now).await?;
    Ok(dirtied)
}

/// Whether a commit that took a table back is recorded, and was not forgotten since because the table was
/// gone.
pub(crate) async fn is_recorded(conn: &mut Conn, relation: &Relation, claim_seq: i64) -> Result<bool, Error> {
    let row: Option<(i64,)> = sql::query_as(
        "select b.seq from rollback b join relation r on r.relation = b.relation
         where b.relation = $1 and b.claim_seq = $2 and b.seq > r.gone_seq limit 1",
    )
    .bind(text::of_relation(relation))
    .bind(claim_seq)
    .fetch_optional(conn)
    .await?;
    Ok(row.is_some())
}

/// What has made the versions of the table that lies there now, newest version first.
async fn events(conn: &mut Conn, relation: &Relation) -> Result<Vec<Event>, Error> {
    let name = text::of_relation(relation);
    let since = since(&mut *conn, relation).await?;
    let rows: Vec<(i64, i64, String)> = sql::query_as(
        "select f.seq, f.at, f.payload from fill l join fact f on f.seq = l.seq
         where l.relation = $1 and l.seq > $2",
    )
    .bind(&name)
    .bind(since)
    .fetch_all(&mut *conn)
    .await?;
    let mut events = Vec::with_capacity(rows.len());
    for (seq, at, payload) in rows {
        if let Fact::Filled(record) = serde_json::from_str(&payload)?
            && let Some(version) = record.version
        {
            events.push(Event {
                version,
                seq,
                at: Instant(at),
                what: What::Filled(record),
            });
        }
    }
    let rows: Vec<(i64, i64, i64, i64)> =
        sql::query_as("select seq, at, version, to_version from rollback where relation = $1 and seq > $2")
            .bind(&name)
            .bind(since)
            .fetch_all(conn)
            .await?;
    events.extend(rows.into_iter().map(|(seq, at, version, to)| Event {
        version,
        seq,
        at: Instant(at),
        what: What::RolledBack(to),
    }));
    events.sort_by_key(|event| std::cmp::Reverse((event.version, event.seq)));
    Ok(events)
}

/// The fact since which the table is the one that lies there: it was gone before, or another.
async fn since(conn: &mut Conn, relation: &Relation) -> Result<i64, Error> {
    let gone: Option<(i64,)> = sql::query_as("select gone_seq from relation where relation = $1")
        .bind(text::of_relation(relation))
        .fetch_optional(&mut *conn)
        .await?;
    let gone = gone.map_or(0, |(seq,)| seq);
    let rows: Vec<(i64, String)> =
        sql::query_as("select seq, payload from fact where kind = 'target_changed' and seq > $1 order by seq desc")
            .bind(gone)
            .fetch_all(conn)
            .await?;
    for (seq, payload) in rows {
        if let Fact::TargetChanged(changed) = serde_json::from_str(&payload)?
            && changed.relation == *relation
            && changed.commits.iter().any(ForeignCommit::is_another_table)
        {
            return Ok(seq);
        }
    }
    Ok(gone)
}

/// The fills that had made what a version held, newest first: a version that went back holds what the one
/// held to which it went.
fn fills_at(events: &[Event], version: i64) -> impl Iterator<Item = (&FillRecord, Instant)> {
    let mut below = version;
    let mut floor = i64::MIN;
    events.iter().filter_map(move |event| {
        if event.version > below || event.version < floor {
            return None;
        }
        match &event.what {
            What::RolledBack(to) => {
                below = *to;
                None
            }
            What::Filled(record) => {
                if record.replaces_all {
                    // The parts of one commit have one version.
                    floor = event.version;
                }
                Some((record, event.at))
            }
        }
    })
}

/// What each instance held at a version, by the fills that had made it.
fn pieces_at(events: &[Event], version: i64) -> BTreeMap<Instance, Vec<Piece<'_>>> {
    let mut pieces: BTreeMap<Instance, Vec<Piece<'_>>> = BTreeMap::new();
    let mut taken: BTreeMap<Instance, RangeSet> = BTreeMap::new();
    for (record, at) in fills_at(events, version) {
        let taken = taken.entry(record.instance.clone()).or_default();
        let ranges = RangeSet::from(record.range).subtract(taken);
        taken.insert(record.range);
        if !ranges.is_empty() {
            let piece = Piece { ranges, record, at };
            pieces.entry(record.instance.clone()).or_default().push(piece);
        }
    }
    pieces
}

/// The columns that readers saw at a version, as far as a fill has told them.
fn columns_at(events: &[Event], version: i64) -> Option<Vec<Column>> {
    fills_at(events, version).find_map(|(record, _)| record.columns.clone())
}

/// What one instance loses and gets back, and the ranges in which its rows are others then.
async fn undo(conn: &mut Conn, instance: Instance, wanted: &[Piece<'_>]) -> Result<(Undone, RangeSet), Error> {
    let name = text::of_instance(&instance);
    let covers: Vec<Cover> = chunk::read(&mut *conn, &name, Interval::WHOLE).await?;
    let filled: RangeSet = covers.iter().map(|cover| cover.range).collect();
    let had: RangeSet = wanted.iter().flat_map(|piece| piece.ranges.iter()).collect();
    let lost = filled.subtract(&had);
    let mut changed = lost.clone();
    let mut restored = Vec::new();
    for piece in wanted {
        let is_same = |cover: &&Cover| cover.claim_seq == piece.record.claim_seq;
        let stays: RangeSet = covers.iter().filter(is_same).map(|cover| cover.range).collect();
        for range in piece.ranges.subtract(&stays).iter() {
            let one = restored_of(piece, range);
            changed.extend(changes(&mut *conn, &name, &filled, &one).await?.iter());
            restored.push(one);
        }
    }
    let undone = Undone {
        instance,
        lost,
        restored,
    };
    Ok((undone, changed))
}

fn restored_of(piece: &Piece<'_>, range: Interval) -> Restored {
    let inside = |row: &&IntervalRow| range.contains(Filled::from(**row).interval);
    Restored {
        range,
        fingerprint: piece.record.fingerprint,
        claim_seq: piece.record.claim_seq,
        made_at: piece.record.made_at,
        filled_at: piece.at,
        intervals: piece.record.intervals.iter().filter(inside).copied().collect(),
    }
}

/// The intervals that do not hold what they held before.
async fn changes(conn: &mut Conn, instance: &str, filled: &RangeSet, restored: &Restored) -> Result<RangeSet, Error> {
    let before: Vec<Filled> = chunk::read(conn, instance, restored.range).await?;
    let after = restored.intervals.iter().map(|row| Filled::from(*row));
    let is_other = |after: &Filled| !(filled.covers(after.interval) && before.contains(after));
    Ok(after.filter(is_other).map(|after| after.interval).collect())
}
