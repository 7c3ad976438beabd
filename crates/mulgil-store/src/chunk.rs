//! What is kept per interval: sorted entries, packed, some hundred to a row.
//!
//! A node of 120,000 hours has a few hundred rows here, and filling one hour rewrites one of them.
//! The entries of an instance never overlap. Nothing here knows what the entries mean.

use mulgil_core::{
    interval::{Instant, Interval},
    port::Filled,
    project::{CodeFp, Fingerprint},
};

use crate::{
    error::Error,
    sql::{self, Conn},
};

/// Entries in one row at most.
pub(crate) const ENTRIES_IN_ROW: usize = 256;

/// A packed entry.
pub(crate) trait Entry: Clone + Send + Sync {
    /// Bytes of one.
    const BYTES: usize;
    /// `select entries` of an instance (`$1`) from the row around `$2` to the one that starts at `$3`,
    /// so that neighbours share rows whether time is filled forwards or backwards.
    const SELECT: &'static str;
    /// Deletes the same rows.
    const DELETE: &'static str;
    /// Inserts a row: instance, start, entries.
    const INSERT: &'static str;

    /// Where it holds.
    fn interval(&self) -> Interval;
    /// What is left of it when a range is taken away.
    fn outside(self, range: Interval) -> [Option<Self>; 2];
    /// Appends its bytes.
    fn pack(&self, out: &mut Vec<u8>);
    /// Reads [`Self::BYTES`] bytes.
    fn unpack(bytes: &[u8]) -> Option<Self>;
}

/// A filled range: with what, under which claim, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cover {
    /// Where.
    pub(crate) range: Interval,
    /// With what.
    pub(crate) made_with: CodeFp,
    /// The number of its claim.
    pub(crate) claim_seq: i64,
    /// When its inputs were read at the earliest.
    pub(crate) made_at: Instant,
    /// When that was recorded: its inputs were read before.
    pub(crate) filled_at: Instant,
}

macro_rules! chunk_sql {
    ($table:literal) => {
        const SELECT: &'static str = concat!(
            "select entries from ",
            $table,
            " where instance = $1 and start_at <= $3 and start_at >= coalesce((select max(start_at) from ",
            $table,
            " where instance = $1 and start_at <= $2), $2) order by start_at"
        );
        const DELETE: &'static str = concat!(
            "delete from ",
            $table,
            " where instance = $1 and start_at <= $3 and start_at >= coalesce((select max(start_at) from ",
            $table,
            " where instance = $1 and start_at <= $2), $2)"
        );
        const INSERT: &'static str = concat!(
            "insert into ",
            $table,
            " (instance, start_at, entries) values ($1, $2, $3)"
        );
    };
}

impl Entry for Cover {
    const BYTES: usize = 72;
    chunk_sql!("cover");

    fn interval(&self) -> Interval {
        self.range
    }

    fn outside(self, range: Interval) -> [Option<Self>; 2] {
        let part = |from, to| Interval::new(from, to).map(|range| Self { range, ..self });
        if self.range.overlaps(range) {
            [part(self.range.start, range.start), part(range.end, self.range.end)]
        } else {
            [Some(self), None]
        }
    }

    fn pack(&self, out: &mut Vec<u8>) {
        out.extend(self.range.start.0.to_le_bytes());
        out.extend(self.range.end.0.to_le_bytes());
        out.extend(self.made_with.code.0.to_le_bytes());
        out.extend(self.made_with.schema.0.to_le_bytes());
        out.extend(self.claim_seq.to_le_bytes());
        out.extend(self.made_at.0.to_le_bytes());
        out.extend(self.filled_at.0.to_le_bytes());
    }

    fn unpack(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            range: interval(bytes)?,
            made_with: CodeFp {
                code: fingerprint(bytes, 16)?,
                schema: fingerprint(bytes, 32)?,
            },
            claim_seq: number(bytes, 48)?,
            made_at: Instant(number(bytes, 56)?),
            filled_at: Instant(number(bytes, 64)?),
        })
    }
}

impl Entry for Filled {
    const BYTES: usize = 40;
    chunk_sql!("content");

    fn interval(&self) -> Interval {
        self.interval
    }

    /// An interval's content is known as a whole or not at all.
    fn outside(self, range: Interval) -> [Option<Self>; 2] {
        [(!self.interval.overlaps(range)).then_some(self), None]
    }

    fn pack(&self, out: &mut Vec<u8>) {
        out.extend(self.interval.start.0.to_le_bytes());
        out.extend(self.interval.end.0.to_le_bytes());
        out.extend(self.rows.to_le_bytes());
        out.extend(self.content.0.to_le_bytes());
    }

    fn unpack(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            interval: interval(bytes)?,
            rows: number(bytes, 16)?.cast_unsigned(),
            content: fingerprint(bytes, 24)?,
        })
    }
}

/// The entries of an instance that overlap a range, whole, in order.
pub(crate) async fn read<E: Entry>(conn: &mut Conn, instance: &str, range: Interval) -> Result<Vec<E>, Error> {
    let mut entries = around::<E>(conn, instance, range).await?;
    entries.retain(|entry| entry.interval().overlaps(range));
    Ok(entries)
}

/// Puts entries, in order and all inside the range, in the place of what was there.
pub(crate) async fn replace<E: Entry>(
    conn: &mut Conn,
    instance: &str,
    range: Interval,
    new: &[E],
) -> Result<(), Error> {
    let old = around::<E>(conn, instance, range).await?;
    let is_new = old.is_empty();
    let mut kept: Vec<E> = old
        .into_iter()
        .flat_map(|entry| entry.outside(range))
        .flatten()
        .collect();
    let at = kept.partition_point(|entry| entry.interval().start < range.start);
    kept.splice(at..at, new.iter().cloned());
    if !is_new {
        sql::query(E::DELETE)
            .bind(instance)
            .bind(range.start.0)
            .bind(range.end.0)
            .execute(&mut *conn)
            .await?;
    }
    // Rows of equal length: a row that has grown too long is halved, not left with a crumb beside it.
    let rows = kept.len().div_ceil(ENTRIES_IN_ROW).max(1);
    for row in kept.chunks(kept.len().div_ceil(rows).max(1)) {
        sql::query(E::INSERT)
            .bind(instance)
            .bind(row[0].interval().start.0)
            .bind(pack(row))
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

/// One row's bytes.
pub(crate) fn pack<E: Entry>(entries: &[E]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * E::BYTES);
    for entry in entries {
        entry.pack(&mut bytes);
    }
    bytes
}

/// The entries of one row's bytes.
pub(crate) fn unpack<E: Entry>(bytes: &[u8]) -> Result<Vec<E>, Error> {
    bytes
        .chunks(E::BYTES)
        .map(|entry| E::unpack(entry).ok_or_else(|| Error::damaged("a row of packed intervals is cut short")))
        .collect()
}

/// The entries of all rows that may touch a range: from the row that starts at or before it.
async fn around<E: Entry>(conn: &mut Conn, instance: &str, range: Interval) -> Result<Vec<E>, Error> {
    let rows: Vec<(Vec<u8>,)> = sql::query_as(E::SELECT)
        .bind(instance)
        .bind(range.start.0)
        .bind(range.end.0)
        .fetch_all(conn)
        .await?;
    let mut entries = Vec::new();
    for (bytes,) in rows {
        entries.extend(unpack::<E>(&bytes)?);
    }
    Ok(entries)
}

fn number(bytes: &[u8], at: usize) -> Option<i64> {
    Some(i64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn fingerprint(bytes: &[u8], at: usize) -> Option<Fingerprint> {
    Some(Fingerprint(u128::from_le_bytes(
        bytes.get(at..at + 16)?.try_into().ok()?,
    )))
}

fn interval(bytes: &[u8]) -> Option<Interval> {
    Interval::new(Instant(number(bytes, 0)?), Instant(number(bytes, 8)?))
}
