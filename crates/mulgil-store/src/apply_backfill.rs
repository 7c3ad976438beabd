//! What follows from facts for backfills, as `apply.rs` does it for tables.

use mulgil_core::{
    backfill::{BackfillState, Part, Ranges},
    interval::{Instant, Interval, RangeSet},
    state::Cause,
};

use crate::{
    apply_flow, document,
    error::Error,
    fact::{BackfillAsked, BackfillCancelled, BackfillMade, BackfillPaused},
    sql::{self, Conn},
    text,
};

pub(crate) async fn made(conn: &mut Conn, seq: i64, at: Instant, made: &BackfillMade) -> Result<(), Error> {
    sql::query("insert into backfill (id, terms, state, seq, made_at) values ($1, $2, $3, $4, $5)")
        .bind(made.backfill)
        .bind(serde_json::to_string(&made.terms)?)
        .bind(BackfillState::Open.as_str())
        .bind(seq)
        .bind(at.0)
        .execute(&mut *conn)
        .await?;
    for (place, takes) in made.parts.iter().enumerate() {
        let part = Part::new(takes.instance.clone(), takes.grid.clone(), &takes.ranges);
        sql::query("insert into backfill_part (backfill, instance, place, document) values ($1, $2, $3, $4)")
            .bind(made.backfill)
            .bind(text::of_instance(&takes.instance))
            .bind(i64::try_from(place).unwrap_or(i64::MAX))
            .bind(serde_json::to_string(&part)?)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

/// A slice is due from here on.
pub(crate) async fn asked(conn: &mut Conn, seq: i64, asked: &BackfillAsked) -> Result<(), Error> {
    for (instance, ranges) in &asked.ranges {
        document::change(&mut *conn, &text::of_instance(instance), |document| {
            document.ask(seq, Cause::Manual, ranges);
        })
        .await?;
    }
    take(conn, seq, asked.backfill, &asked.ranges).await
}

/// A slice left what was not asked for yet.
pub(crate) async fn take(conn: &mut Conn, seq: i64, backfill: i64, slice: &Ranges) -> Result<(), Error> {
    for (instance, ranges) in slice {
        if let Some(mut part) = load(&mut *conn, backfill, &text::of_instance(instance)).await? {
            part.ask(seq, ranges);
            put(&mut *conn, backfill, &part).await?;
        }
    }
    Ok(())
}

pub(crate) async fn paused(conn: &mut Conn, paused: &BackfillPaused) -> Result<(), Error> {
    for (instance, ranges) in &paused.given_back {
        let name = text::of_instance(instance);
        unask(&mut *conn, paused.backfill, &name, ranges).await?;
        if let Some(mut part) = load(&mut *conn, paused.backfill, &name).await? {
            part.give_back(ranges);
            put(&mut *conn, paused.backfill, &part).await?;
        }
    }
    set_state(conn, paused.backfill, BackfillState::Paused).await
}

pub(crate) async fn resumed(conn: &mut Conn, backfill: i64) -> Result<(), Error> {
    set_state(conn, backfill, BackfillState::Open).await
}

pub(crate) async fn cancelled(conn: &mut Conn, at: Instant, cancelled: &BackfillCancelled) -> Result<(), Error> {
    for (instance, ranges) in &cancelled.withdrawn {
        unask(&mut *conn, cancelled.backfill, &text::of_instance(instance), ranges).await?;
    }
    let withdrawn = |part: &Part| {
        let of = cancelled.withdrawn.iter().find(|(name, _)| *name == part.instance);
        of.map(|(_, ranges)| ranges.clone()).unwrap_or_default()
    };
    for mut part in parts(&mut *conn, cancelled.backfill).await? {
        let ranges = withdrawn(&part);
        part.withdraw(&ranges);
        put(&mut *conn, cancelled.backfill, &part).await?;
    }
    for run in &cancelled.runs {
        apply_flow::cancel(&mut *conn, *run).await?;
    }
    set_state(&mut *conn, cancelled.backfill, BackfillState::Cancelled).await?;
    settle(conn, at, cancelled.backfill).await
}

/// A range of an instance was filled under a claim.
pub(crate) async fn filled(
    conn: &mut Conn,
    at: Instant,
    instance: &str,
    range: Interval,
    claim_seq: i64,
) -> Result<(), Error> {
    change(conn, at, instance, |part, made_seq| {
        part.fill(range, claim_seq, made_seq);
    })
    .await
}

/// What was asked for before that fact was tried, and is not filled.
pub(crate) async fn failed(
    conn: &mut Conn,
    at: Instant,
    instance: &str,
    range: Interval,
    asked_before: i64,
) -> Result<(), Error> {
    change(conn, at, instance, |part, _| part.fail(range, asked_before)).await
}

/// Changes what the backfills that are not over have of an instance. Most ledgers have none.
async fn change(
    conn: &mut Conn,
    at: Instant,
    instance: &str,
    how: impl Fn(&mut Part, i64) + Send,
) -> Result<(), Error> {
    let rows: Vec<(i64, i64, String)> = sql::query_as(
        "select b.id, b.seq, p.document from backfill b join backfill_part p on p.backfill = b.id
         where b.ended_at is null and p.instance = $1 order by b.id",
    )
    .bind(instance)
    .fetch_all(&mut *conn)
    .await?;
    for (backfill, made_seq, document) in rows {
        let before: Part = serde_json::from_str(&document)?;
        let mut part = before.clone();
        how(&mut part, made_seq);
        if part != before {
            put(&mut *conn, backfill, &part).await?;
            settle(&mut *conn, at, backfill).await?;
        }
    }
    Ok(())
}

/// A backfill of which nothing is left or open has ended.
async fn settle(conn: &mut Conn, at: Instant, backfill: i64) -> Result<(), Error> {
    sql::query(
        "update backfill set ended_at = $2, state = case when state = 'cancelled' then state else 'done' end
         where id = $1 and ended_at is null
             and not exists (select 1 from backfill_part p where p.backfill = $1 and p.is_over = 0)",
    )
    .bind(backfill)
    .bind(at.0)
    .execute(conn)
    .await?;
    Ok(())
}

async fn set_state(conn: &mut Conn, backfill: i64, state: BackfillState) -> Result<(), Error> {
    sql::query("update backfill set state = $2 where id = $1")
        .bind(backfill)
        .bind(state.as_str())
        .execute(conn)
        .await?;
    Ok(())
}

/// Takes back what a backfill asked for. What another one asks for too is still asked for.
async fn unask(conn: &mut Conn, backfill: i64, instance: &str, ranges: &RangeSet) -> Result<(), Error> {
    let rows: Vec<(String,)> = sql::query_as(
        "select p.document from backfill b join backfill_part p on p.backfill = b.id
         where b.ended_at is null and b.id <> $1 and p.instance = $2 order by b.id",
    )
    .bind(backfill)
    .bind(instance)
    .fetch_all(&mut *conn)
    .await?;
    let mut ranges = ranges.clone();
    for (document,) in rows {
        let other: Part = serde_json::from_str(&document)?;
        ranges = ranges.subtract(&other.open.keys());
    }
    document::change(conn, instance, |document| {
        for range in ranges.iter() {
            document.unask(&Cause::Manual, range, i64::MAX);
        }
    })
    .await
}

/// What a backfill has of an instance.
async fn load(conn: &mut Conn, backfill: i64, instance: &str) -> Result<Option<Part>, Error> {
    let row: Option<(String,)> =
        sql::query_as("select document from backfill_part where backfill = $1 and instance = $2")
            .bind(backfill)
            .bind(instance)
            .fetch_optional(conn)
            .await?;
    row.map(|(document,)| Ok(serde_json::from_str(&document)?)).transpose()
}

/// All that a backfill has, in its order.
pub(crate) async fn parts(conn: &mut Conn, backfill: i64) -> Result<Vec<Part>, Error> {
    let rows: Vec<(String,)> = sql::query_as("select document from backfill_part where backfill = $1 order by place")
        .bind(backfill)
        .fetch_all(conn)
        .await?;
    rows.iter().map(|(text,)| Ok(serde_json::from_str(text)?)).collect()
}

async fn put(conn: &mut Conn, backfill: i64, part: &Part) -> Result<(), Error> {
    sql::query("update backfill_part set document = $3, is_over = $4 where backfill = $1 and instance = $2")
        .bind(backfill)
        .bind(text::of_instance(&part.instance))
        .bind(serde_json::to_string(part)?)
        .bind(i64::from(part.is_over()))
        .execute(conn)
        .await?;
    Ok(())
}
