//! Which runs of flows and which ticks can go, and what goes with them. A run goes with the ticks that started it,
//! or they would look as if they still waited for one; a tick goes with all that its fact tells.

use std::collections::{BTreeMap, BTreeSet};

use mulgil_core::{flow::name, interval::Instant, tick::Fate};

use super::Rules;
use crate::{
    error::Error,
    fact::{Fact, Ticked},
    sql::{self, Conn},
};

/// Runs of each flow that stay, the newest ones.
const RUNS_KEPT: i64 = 10;

/// What goes together with what it is linked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Link {
    /// A run of a flow.
    Run(i64),
    /// A fact of ticks, by its number.
    Ticked(i64),
}

/// What goes.
#[derive(Debug, Default)]
pub(super) struct Bundle {
    pub(super) runs: BTreeMap<i64, GoneRun>,
    /// Facts of ticks, by their numbers.
    pub(super) ticked: BTreeMap<i64, Ticked>,
}

/// A run that goes.
#[derive(Debug)]
pub(super) struct GoneRun {
    /// The fingerprint of its definition, as it is stored.
    pub(super) version: String,
    /// The fact by which it began.
    pub(super) seq: i64,
}

/// What stays, as far as it was asked about in one request.
pub(super) struct Stays<'r> {
    rules: &'r Rules,
    newest_fact: i64,
    /// Runs that have the highest number of anything.
    highest: BTreeSet<i64>,
    flows: BTreeMap<String, FlowStays>,
    /// The newest tick of each schedule, by owner.
    newest_ticks: BTreeMap<String, BTreeMap<String, Instant>>,
    /// What was found to stay, for itself or because of what it is linked to.
    found: BTreeSet<Link>,
}

/// What stays of a flow.
#[derive(Clone, Copy, Debug)]
struct FlowStays {
    /// The oldest of its newest runs.
    from: i64,
    success: Option<i64>,
}

impl Bundle {
    /// Runs and facts of ticks.
    pub(super) fn len(&self) -> usize {
        self.runs.len() + self.ticked.len()
    }

    pub(super) fn has(&self, link: Link) -> bool {
        match link {
            Link::Run(run) => self.runs.contains_key(&run),
            Link::Ticked(seq) => self.ticked.contains_key(&seq),
        }
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.runs.extend(other.runs);
        self.ticked.extend(other.ticked);
    }
}

impl<'r> Stays<'r> {
    pub(super) async fn load(conn: &mut Conn, rules: &'r Rules) -> Result<Self, Error> {
        let newest: Option<(i64, Option<i64>)> = sql::query_as("select seq, run from fact order by seq desc limit 1")
            .fetch_optional(&mut *conn)
            .await?;
        let mut highest: BTreeSet<i64> = newest.iter().filter_map(|(_, run)| *run).collect();
        for select in [
            "select id from run order by id desc limit 1",
            "select run from task_run order by id desc limit 1",
            "select t.run from attempt a join task_run t on t.id = a.task_run order by a.id desc limit 1",
        ] {
            let run: Option<(i64,)> = sql::query_as(select).fetch_optional(&mut *conn).await?;
            highest.extend(run.map(|(run,)| run));
        }
        Ok(Self {
            rules,
            newest_fact: newest.map_or(0, |(seq, _)| seq),
            highest,
            flows: BTreeMap::new(),
            newest_ticks: BTreeMap::new(),
            found: BTreeSet::new(),
        })
    }

    /// All that goes where this goes; nothing where any of it stays.
    pub(super) async fn bundle(&mut self, conn: &mut Conn, link: Link) -> Result<Bundle, Error> {
        let (mut bundle, mut linked) = (Bundle::default(), vec![link]);
        while let Some(link) = linked.pop() {
            if bundle.has(link) {
                continue;
            }
            let goes = !self.found.contains(&link)
                && match link {
                    Link::Run(run) => match self.run(&mut *conn, run, &mut linked).await? {
                        Some(gone) => bundle.runs.insert(run, gone).is_none(),
                        None => false,
                    },
                    Link::Ticked(seq) => match self.ticked(&mut *conn, seq, &mut linked).await? {
                        Some(ticked) => bundle.ticked.insert(seq, ticked).is_none(),
                        None => false,
                    },
                };
            if !goes {
                self.found.insert(link);
                self.found.extend(bundle.runs.keys().map(|run| Link::Run(*run)));
                self.found.extend(bundle.ticked.keys().map(|seq| Link::Ticked(*seq)));
                return Ok(Bundle::default());
            }
        }
        Ok(bundle)
    }

    /// A run that does not stay for itself; adds what it is linked to.
    async fn run(&mut self, conn: &mut Conn, run: i64, linked: &mut Vec<Link>) -> Result<Option<GoneRun>, Error> {
        type Row = (String, Option<i64>, String, i64, Option<i64>, i64, i64);
        let row: Option<Row> = sql::query_as(
            "select f.flow, f.scheduled_at, f.version, f.seq, f.ended_at,
                 (select count(*) from backfill b where b.id = f.backfill and b.ended_at is null),
                 (select count(*) from task_run t where t.run = f.run and t.kind <> 'step')
             from flow_run f where f.run = $1",
        )
        .bind(run)
        .fetch_optional(&mut *conn)
        .await?;
        let Some((flow, scheduled_at, version, seq, ended_at, open_backfills, fills)) = row else {
            return Ok(None);
        };
        let is_over = ended_at.is_some_and(|at| at < self.rules.before.0);
        if !is_over || open_backfills > 0 || fills > 0 || self.highest.contains(&run) {
            return Ok(None);
        }
        let kept = self.flow(&mut *conn, &flow).await?;
        if run >= kept.from || kept.success == Some(run) {
            return Ok(None);
        }
        if let Some(at) = scheduled_at {
            // A tick that could still come up: that it had its run is known by its run.
            let newest = self.newest_ticks(&mut *conn, &name::of_flow(&flow)).await?;
            if newest.values().any(|newest| newest.0 == at) {
                return Ok(None);
            }
        }
        let ticks: Vec<(i64,)> = sql::query_as("select seq from tick where run = $1")
            .bind(run)
            .fetch_all(conn)
            .await?;
        linked.extend(ticks.into_iter().map(|(seq,)| Link::Ticked(seq)));
        Ok(Some(GoneRun { version, seq }))
    }

    /// Ticks of one fact, if none of them stays for itself; adds what they are linked to.
    async fn ticked(&mut self, conn: &mut Conn, seq: i64, linked: &mut Vec<Link>) -> Result<Option<Ticked>, Error> {
        let row: Option<(i64, String)> = sql::query_as("select at, payload from fact where seq = $1")
            .bind(seq)
            .fetch_optional(&mut *conn)
            .await?;
        let Some((at, payload)) = row.filter(|(at, _)| *at < self.rules.before.0 && seq < self.newest_fact) else {
            return Ok(None);
        };
        let Fact::Ticked(ticked) = serde_json::from_str(&payload)? else {
            return Err(Error::damaged(format!("fact {seq} of {at} tells of no ticks")));
        };
        let Some((first, last)) = ticked.span() else {
            return Ok(Some(ticked));
        };
        let newest = self.newest_ticks(&mut *conn, &ticked.owner).await?;
        if newest.get(&ticked.schedule).is_none_or(|newest| *newest <= last) {
            return Ok(None);
        }
        let rows: Vec<(String, Option<i64>)> = sql::query_as(
            "select fate, run from tick
             where owner = $1 and schedule = $2 and scheduled_at >= $3 and scheduled_at <= $4 and seq = $5",
        )
        .bind(ticked.owner.as_str())
        .bind(ticked.schedule.as_str())
        .bind(first.0)
        .bind(last.0)
        .bind(seq)
        .fetch_all(conn)
        .await?;
        for (fate, run) in rows {
            match run {
                Some(run) => linked.push(Link::Run(run)),
                None if fate == Fate::Runs.as_str() && self.waits(&ticked.owner) => return Ok(None),
                None => {}
            }
        }
        Ok(Some(ticked))
    }

    /// Whether a tick without a run waits for one. Those of flows with intervals and of models only say that
    /// something may be due.
    fn waits(&self, owner: &str) -> bool {
        name::flow_in(owner).is_some_and(|flow| !self.rules.with_intervals.contains(flow))
    }

    async fn flow(&mut self, conn: &mut Conn, flow: &str) -> Result<FlowStays, Error> {
        if let Some(known) = self.flows.get(flow) {
            return Ok(*known);
        }
        let from: Option<(i64,)> =
            sql::query_as("select run from flow_run where flow = $1 order by run desc limit 1 offset $2")
                .bind(flow)
                .bind(RUNS_KEPT - 1)
                .fetch_optional(&mut *conn)
                .await?;
        let success: Option<(i64,)> = sql::query_as(
            "select f.run from flow_run f join run r on r.id = f.run
             where f.flow = $1 and r.state = 'success' order by f.run desc limit 1",
        )
        .bind(flow)
        .fetch_optional(conn)
        .await?;
        let stays = FlowStays {
            // All stay where there are fewer.
            from: from.map_or(i64::MIN, |(run,)| run),
            success: success.map(|(run,)| run),
        };
        self.flows.insert(flow.to_owned(), stays);
        Ok(stays)
    }

    async fn newest_ticks(&mut self, conn: &mut Conn, owner: &str) -> Result<&BTreeMap<String, Instant>, Error> {
        if !self.newest_ticks.contains_key(owner) {
            let newest = newest_ticks(conn, owner).await?;
            self.newest_ticks.insert(owner.to_owned(), newest);
        }
        Ok(&self.newest_ticks[owner])
    }
}

/// The newest tick of each schedule of an owner. Schedules are found one after the other: each may have as many
/// ticks as a year has minutes.
async fn newest_ticks(conn: &mut Conn, owner: &str) -> Result<BTreeMap<String, Instant>, Error> {
    let rows: Vec<(String, i64)> = sql::query_as(
        "with recursive s (schedule) as (
             select min(schedule) from tick where owner = $1
             union all
             select (select min(t.schedule) from tick t where t.owner = $1 and t.schedule > s.schedule)
             from s where s.schedule is not null
         )
         select s.schedule, (select max(t.scheduled_at) from tick t where t.owner = $1 and t.schedule = s.schedule)
         from s where s.schedule is not null",
    )
    .bind(owner)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|(schedule, at)| (schedule, Instant(at))).collect())
}
