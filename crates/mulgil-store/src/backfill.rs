//! Backfills: made, asked for slice by slice, held back, ended. Every change is one request, so that after
//! any crash each interval of one is left, or asked for and so due.

use mulgil_core::{
    backfill::{Backfill, BackfillState, Change, Part, Ranges, Terms},
    codes,
    diagnostic::{Diagnostic, Retry},
    flow::name,
    grid::Grid,
    interval::{Instant, Interval, RangeSet},
    name::Instance,
    port::Fault,
};

use crate::{
    Store, apply, apply_backfill,
    error::Error,
    fact::{BackfillAsked, BackfillCancelled, BackfillMade, BackfillPaused, BackfillTakes, Fact},
    sql::{self, Conn},
    text,
};

/// A backfill that is to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct NewBackfill {
    /// What was said of it.
    pub terms: Terms,
    /// What is to be filled, with how its time is cut: each instance after what it reads.
    pub takes: Vec<(Instance, Grid, RangeSet)>,
}

/// A backfill that was made.
#[derive(Clone, Debug, PartialEq)]
pub struct MadeBackfill {
    /// It.
    pub backfill: Backfill,
    /// Intervals that were named and left out, because other backfills have them.
    pub left_out: u64,
    /// The numbers of those.
    pub others: Vec<i64>,
}

/// What a backfill would take, if it were made now.
#[derive(Clone, Debug, PartialEq)]
pub struct BackfillPreview {
    /// What it would fill; `mulgil_core::backfill::preview` says in which order.
    pub parts: Vec<Part>,
    /// Intervals that were named and are left out, because other backfills have them.
    pub left_out: u64,
    /// The numbers of those.
    pub others: Vec<i64>,
}

impl Store {
    /// What a backfill of these would take, in the order of its instances.
    pub async fn preview_backfill(&self, takes: Vec<(Instance, Grid, RangeSet)>) -> Result<BackfillPreview, Fault> {
        self.read(move |conn| Box::pin(async move { Ok(free(takes, &active(conn).await?)) }))
            .await
    }

    /// Makes a backfill of what no other one has that goes on. Nothing of it is due yet.
    ///
    /// # Errors
    /// `BAD_BACKFILL` for numbers that cannot be, `EMPTY_BACKFILL` where nothing remains to be filled.
    pub async fn make_backfill(&self, new: NewBackfill, now: Instant) -> Result<MadeBackfill, Fault> {
        new.terms.check().map_err(Box::new)?;
        self.write(move |conn| {
            Box::pin(async move {
                let BackfillPreview {
                    parts,
                    left_out,
                    others,
                } = free(new.takes, &active(&mut *conn).await?);
                if parts.is_empty() {
                    return Err(empty(left_out, &others).into());
                }
                let (backfill,): (i64,) = sql::query_as("select coalesce(max(id), 0) + 1 from backfill")
                    .fetch_one(&mut *conn)
                    .await?;
                let takes = |part: Part| BackfillTakes {
                    instance: part.instance,
                    grid: part.grid,
                    ranges: part.all,
                };
                let made = BackfillMade {
                    backfill,
                    terms: new.terms,
                    parts: parts.into_iter().map(takes).collect(),
                };
                apply::record(&mut *conn, &Fact::BackfillMade(made), now).await?;
                Ok(MadeBackfill {
                    backfill: known(conn, backfill).await?,
                    left_out,
                    others,
                })
            })
        })
        .await
    }

    /// Asks for a slice of a backfill: it is not left any more, and due.
    ///
    /// # Errors
    /// `BACKFILL_NOT_OPEN` when it is over or held back, or the slice is not left any more.
    pub async fn ask_backfill(&self, backfill: i64, slice: Ranges, now: Instant) -> Result<(), Fault> {
        self.write(move |conn| {
            Box::pin(async move {
                check_slice(&mut *conn, backfill, &slice).await?;
                let asked = BackfillAsked {
                    backfill,
                    ranges: slice,
                };
                apply::record(conn, &Fact::BackfillAsked(asked), now).await?;
                Ok(())
            })
        })
        .await
    }

    /// Holds a backfill back, lets it go on, or ends it; gives how it stands then, and the runs of flows that
    /// are to be ended with it. What was done already changes nothing.
    ///
    /// # Errors
    /// `NOT_FOUND` where there is none of that number, `BACKFILL_NOT_OPEN` where it is over.
    pub async fn change_backfill(
        &self,
        backfill: i64,
        change: Change,
        by: &str,
        now: Instant,
    ) -> Result<(Backfill, Vec<i64>), Fault> {
        let by = by.to_owned();
        self.write(move |conn| {
            Box::pin(async move {
                let before = known(&mut *conn, backfill).await?;
                let (fact, runs) = match (change, before.state) {
                    (_, BackfillState::Cancelled | BackfillState::Done) => return Err(over(&before).into()),
                    (Change::Pause, BackfillState::Paused) | (Change::Resume, BackfillState::Open) => {
                        return Ok((before, Vec::new()));
                    }
                    (Change::Pause, BackfillState::Open) => {
                        let given_back = not_live(&mut *conn, &before, |part| part.open.keys()).await?;
                        let paused = BackfillPaused {
                            backfill,
                            by,
                            given_back,
                        };
                        (Fact::BackfillPaused(paused), Vec::new())
                    }
                    (Change::Resume, BackfillState::Paused) => (Fact::BackfillResumed { backfill, by }, Vec::new()),
                    (Change::Cancel, BackfillState::Open | BackfillState::Paused) => {
                        // What failed of a node is still asked for, so that it is tried again.
                        let asked = |part: &Part| part.open.keys().union(&part.failed);
                        let withdrawn = not_live(&mut *conn, &before, asked).await?;
                        let runs = runs_of(&mut *conn, backfill).await?;
                        let cancelled = BackfillCancelled {
                            backfill,
                            by,
                            withdrawn,
                            runs: runs.clone(),
                        };
                        (Fact::BackfillCancelled(cancelled), runs)
                    }
                };
                apply::record(&mut *conn, &fact, now).await?;
                Ok((known(conn, backfill).await?, runs))
            })
        })
        .await
    }

    /// A backfill; nothing where there is none of that number.
    pub async fn backfill(&self, backfill: i64) -> Result<Option<Backfill>, Fault> {
        self.read(move |conn| Box::pin(async move { load(conn, backfill).await }))
            .await
    }

    /// The newest backfills, newest first.
    pub async fn backfills(&self, limit: u32) -> Result<Vec<Backfill>, Fault> {
        self.read(move |conn| {
            Box::pin(async move {
                let rows: Vec<Row> = sql::query_as(
                    "select id, terms, state, seq, made_at, ended_at from backfill order by id desc limit $1",
                )
                .bind(i64::from(limit))
                .fetch_all(&mut *conn)
                .await?;
                read(conn, rows).await
            })
        })
        .await
    }

    /// The backfills of which something is left or open, oldest first.
    pub async fn open_backfills(&self) -> Result<Vec<Backfill>, Fault> {
        self.read(|conn| Box::pin(async move { active(conn).await })).await
    }
}

/// Whether a slice may be asked for.
pub(crate) async fn check_slice(conn: &mut Conn, backfill: i64, slice: &Ranges) -> Result<(), Error> {
    let known = known(conn, backfill).await?;
    let is_left = |(instance, ranges): &(Instance, RangeSet)| {
        let part = known.part(instance);
        part.is_some_and(|part| part.left.is_superset(ranges))
    };
    match known.state {
        BackfillState::Open if slice.iter().all(is_left) => Ok(()),
        BackfillState::Open => Err(Diagnostic::error(
            codes::BACKFILL_NOT_OPEN,
            format!("a part of backfill {backfill} that was to begin has begun already"),
        )
        .with_remedy("nothing: what is left of it is looked at again")
        .with_retry(Retry::Later)
        .into()),
        BackfillState::Paused => Err(Diagnostic::error(
            codes::BACKFILL_NOT_OPEN,
            format!("backfill {backfill} is held back: nothing more of it begins"),
        )
        .with_remedy(format!("let it go on: `mulgil backfill resume {backfill}`"))
        .into()),
        BackfillState::Cancelled | BackfillState::Done => Err(over(&known).into()),
    }
}

type Row = (i64, String, String, i64, i64, Option<i64>);

async fn read(conn: &mut Conn, rows: Vec<Row>) -> Result<Vec<Backfill>, Error> {
    let mut backfills = Vec::with_capacity(rows.len());
    for (id, terms, state, seq, made_at, ended_at) in rows {
        backfills.push(Backfill {
            id,
            terms: serde_json::from_str(&terms)?,
            state: BackfillState::parse(&state)
                .ok_or_else(|| Error::damaged(format!("the state of backfill {id} cannot be read")))?,
            seq,
            made_at: Instant(made_at),
            ended_at: ended_at.map(Instant),
            parts: apply_backfill::parts(&mut *conn, id).await?,
        });
    }
    Ok(backfills)
}

async fn load(conn: &mut Conn, backfill: i64) -> Result<Option<Backfill>, Error> {
    let rows: Vec<Row> = sql::query_as("select id, terms, state, seq, made_at, ended_at from backfill where id = $1")
        .bind(backfill)
        .fetch_all(&mut *conn)
        .await?;
    Ok(read(conn, rows).await?.pop())
}

async fn known(conn: &mut Conn, backfill: i64) -> Result<Backfill, Error> {
    load(conn, backfill).await?.ok_or_else(|| {
        Diagnostic::error(codes::NOT_FOUND, format!("there is no backfill {backfill}"))
            .with_remedy("`mulgil backfill ls` shows them all")
            .into()
    })
}

async fn active(conn: &mut Conn) -> Result<Vec<Backfill>, Error> {
    let rows: Vec<Row> = sql::query_as(
        "select id, terms, state, seq, made_at, ended_at from backfill where ended_at is null order by id",
    )
    .fetch_all(&mut *conn)
    .await?;
    read(conn, rows).await
}

/// What of the named intervals no backfill has.
fn free(takes: Vec<(Instance, Grid, RangeSet)>, active: &[Backfill]) -> BackfillPreview {
    let (mut parts, mut left_out, mut others): (Vec<Part>, u64, Vec<i64>) = (Vec::new(), 0, Vec::new());
    for (instance, grid, ranges) in takes {
        let mut ranges: RangeSet = ranges.iter().filter_map(|range| grid.snap_in(range)).collect();
        // Named twice is named once.
        if let Some(known) = parts.iter().find(|part| part.instance == instance) {
            ranges = ranges.subtract(&known.all);
        }
        for other in active {
            let taken = other.part(&instance).map(Part::taken).unwrap_or_default();
            let both = ranges.intersect(&taken);
            if !both.is_empty() {
                // Where the grid was another one then, an interval of which a part is taken is taken.
                let both: RangeSet = both.iter().map(|range| grid.snap_out(range)).collect();
                left_out += both.iter().map(|range| grid.count(range)).sum::<u64>();
                others.push(other.id);
                ranges = ranges.subtract(&both);
            }
        }
        match parts.iter_mut().find(|part| part.instance == instance) {
            Some(known) => known.add(&ranges),
            None if ranges.is_empty() => {}
            None => parts.push(Part::new(instance, grid, &ranges)),
        }
    }
    others.sort_unstable();
    others.dedup();
    BackfillPreview {
        parts,
        left_out,
        others,
    }
}

/// Of each instance what nobody is busy with.
async fn not_live(
    conn: &mut Conn,
    backfill: &Backfill,
    of: impl Fn(&Part) -> RangeSet + Send,
) -> Result<Ranges, Error> {
    let mut idle = Vec::new();
    for part in &backfill.parts {
        let ranges = of(part);
        if ranges.is_empty() {
            continue;
        }
        let ranges = ranges.subtract(&live(&mut *conn, &part.instance).await?);
        if !ranges.is_empty() {
            idle.push((part.instance.clone(), ranges));
        }
    }
    Ok(idle)
}

/// What runs of a flow, or attempts to fill a table, are busy with.
async fn live(conn: &mut Conn, instance: &Instance) -> Result<RangeSet, Error> {
    let rows: Vec<(i64, i64)> = match name::flow_in(instance.node.as_str()) {
        Some(flow) => {
            sql::query_as("select start_at, end_at from flow_run where flow = $1 and ended_at is null")
                .bind(flow)
                .fetch_all(conn)
                .await?
        }
        None => {
            sql::query_as(
                "select t.start_at, t.end_at from attempt a join task_run t on t.id = a.task_run
                 where a.state = 'running' and t.kind = 'fill' and t.instance = $1",
            )
            .bind(text::of_instance(instance))
            .fetch_all(conn)
            .await?
        }
    };
    let range = |(start, end)| Interval::new(Instant(start), Instant(end));
    Ok(rows.into_iter().filter_map(range).collect())
}

/// The runs of flows that a backfill began and that go on.
async fn runs_of(conn: &mut Conn, backfill: i64) -> Result<Vec<i64>, Error> {
    let rows: Vec<(i64,)> =
        sql::query_as("select run from flow_run where backfill = $1 and ended_at is null order by run")
            .bind(backfill)
            .fetch_all(conn)
            .await?;
    Ok(rows.into_iter().map(|(run,)| run).collect())
}

fn over(backfill: &Backfill) -> Diagnostic {
    let how = match backfill.state {
        BackfillState::Cancelled => "was cancelled",
        BackfillState::Open | BackfillState::Paused | BackfillState::Done => "is done",
    };
    Diagnostic::error(codes::BACKFILL_NOT_OPEN, format!("backfill {} {how}", backfill.id))
        .with_remedy("`mulgil backfill ls` shows those that go on; make another one for what is still to be filled")
}

fn empty(left_out: u64, others: &[i64]) -> Diagnostic {
    if left_out == 0 {
        return Diagnostic::error(
            codes::EMPTY_BACKFILL,
            "nothing to fill: no interval that is over is in that range",
        )
        .with_remedy("name another range or other nodes; `mulgil backfill … --dry-run` shows what would be filled");
    }
    let numbers: Vec<String> = others.iter().map(i64::to_string).collect();
    let numbers = numbers.join(", ");
    Diagnostic::error(
        codes::EMPTY_BACKFILL,
        format!("nothing to fill: all {left_out} intervals are in backfill {numbers} already"),
    )
    .with_remedy("wait for it, or end it: `mulgil backfill ls`, `mulgil backfill cancel NUMBER`")
}
