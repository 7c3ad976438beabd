//! Random histories of flows, of which the old is forgotten: what is left is whole, and nothing of it is another.

use std::collections::{BTreeMap, BTreeSet};

use mulgil_core::{
    backfill::{Backfill, Change, Terms},
    flow::Flow,
    grid::Unit,
    interval::{Instant, Interval, RangeSet},
    run::{Run, RunState, TaskRun},
    state::NodeState,
    tick::{Fate, Tick},
};
use mulgil_store::{NewBackfill, ScheduleKey, Store, fact::Fact};
use proptest::prelude::*;

use super::{
    retention::{
        RUNS_KEPT, begun_by, daily, decided, ended, forget, open_ticks, rebuilds, state_of_sales, stepped, tick, whole,
    },
    support::*,
};

/// One thing that happens; the numbers choose to what and how.
#[derive(Clone, Copy, Debug)]
struct Event {
    kind: u8,
    count: i64,
    choice: usize,
}

fn event() -> impl Strategy<Value = Event> {
    (0..13_u8, 1..6_i64, 0..60_usize).prop_map(|(kind, count, choice)| Event { kind, count, choice })
}

struct World {
    store: Store,
    now: i64,
    edition: u32,
    schedule: usize,
    /// The first day that no backfill has taken.
    day: i64,
    /// Runs of backfills.
    asked: Vec<(i64, i64)>,
}

/// What is told of the ledger to whoever asks.
#[derive(Debug)]
struct Told {
    runs: BTreeMap<i64, (Run, Vec<TaskRun>)>,
    facts: BTreeMap<i64, Vec<(i64, Instant, Fact)>>,
    open: BTreeMap<String, Vec<Instant>>,
    ticks: BTreeMap<ScheduleKey, Vec<Tick>>,
    newest: BTreeMap<ScheduleKey, Instant>,
    state: Option<NodeState>,
    backfills: Vec<Backfill>,
    derived: BTreeSet<String>,
}

impl World {
    async fn new() -> Self {
        let store = scratch().await;
        begin(&store, Vec::new()).await;
        Self {
            store,
            now: 1,
            edition: 1,
            schedule: 1,
            day: 200,
            asked: Vec::new(),
        }
    }

    fn schedule(&self) -> String {
        format!("*/{} * * * * UTC", self.schedule)
    }

    fn how(event: Event) -> RunState {
        [
            RunState::Success,
            RunState::Failed,
            RunState::Cancelled,
            RunState::Skipped,
        ][event.choice % 4]
    }

    /// A run from its beginning to its end, or not quite.
    async fn walk(&mut self, event: Event, flow: &Flow, at: Option<Instant>, interval: Interval, of: Option<i64>) {
        let Some(run) = begun_by(&self.store, flow, at, interval, of, self.now).await else {
            return;
        };
        self.asked.extend(of.map(|of| (run, of)));
        self.now += 1;
        if event.count % 2 == 0 {
            stepped(&self.store, run, flow, interval, Self::how(event), self.now).await;
        }
        if event.count == 3 {
            self.store.cancel_walk(run, "mina", minute(self.now)).await.unwrap();
        }
        if event.choice != 7 {
            ended(&self.store, run, flow, Self::how(event), self.now).await;
        }
    }

    async fn ticked(&mut self, flow: &Flow, fates: &[Fate]) -> Vec<Instant> {
        let mut ticks = Vec::new();
        for fate in fates {
            self.now += 1;
            ticks.push(tick(minute(self.now), *fate));
        }
        let owner = flow.instance().to_string();
        decided(&self.store, &owner, &self.schedule(), ticks.clone(), self.now).await;
        ticks.into_iter().map(|tick| tick.scheduled_at).collect()
    }

    async fn happen(&mut self, event: Event) {
        self.now += 1;
        let (whole, daily, count) = (whole(self.edition), daily(self.edition), event.count as usize);
        match event.kind {
            0..=2 => {
                for _ in 0..event.count {
                    let ticks = self.ticked(&whole, &[Fate::Runs]).await;
                    self.walk(event, &whole, Some(ticks[0]), Interval::WHOLE, None).await;
                }
            }
            3 => {
                // A night is made up for: some of its ticks have their runs, the others wait.
                let ticks = self.ticked(&whole, &vec![Fate::Runs; count + 1]).await;
                for at in &ticks[..count] {
                    self.walk(event, &whole, Some(*at), Interval::WHOLE, None).await;
                }
                if event.choice > 20 {
                    self.walk(event, &whole, Some(ticks[count]), Interval::WHOLE, None)
                        .await;
                }
            }
            4 => {
                let into = minute(self.now + event.count + 1);
                let mut fates = vec![Fate::Coalesced { into }; count];
                fates.push(Fate::Runs);
                let ticks = self.ticked(&whole, &fates).await;
                self.walk(event, &whole, Some(ticks[count]), Interval::WHOLE, None)
                    .await;
            }
            5 | 6 => {
                let ticks = self.ticked(&daily, &[Fate::Runs]).await;
                for n in 0..event.count - 1 {
                    let interval = day(event.choice as i64 + n);
                    self.walk(event, &daily, Some(ticks[0]), interval, None).await;
                }
            }
            7 => {
                for n in 0..event.count {
                    self.walk(event, &daily, None, day(event.choice as i64 + 2 * n), None)
                        .await;
                }
            }
            8 => self.edition = 1 + (event.choice % 3) as u32,
            9 => self.schedule = 1 + event.choice % 3,
            10 => self.reopen(event).await,
            11 => self.backfill(event, &daily).await,
            _ => {
                let before = self.now - 2 * event.choice as i64;
                self.forget(before).await;
            }
        }
    }

    async fn reopen(&mut self, event: Event) {
        let runs = self.store.runs(1_000).await.unwrap();
        let failed: Vec<&Run> = runs
            .iter()
            .filter(|run| run.selector.starts_with("flow:") && run.ended_at.is_some() && run.state == RunState::Failed)
            .collect();
        let Some(run) = failed.get(event.choice % failed.len().max(1)) else {
            return;
        };
        // Another may be busy with its interval.
        let Ok(open) = self.store.reopen_walk(run.id, "mina", minute(self.now)).await else {
            return;
        };
        if event.count > 2 {
            stepped(
                &self.store,
                run.id,
                &open.flow,
                open.walk.interval,
                Self::how(event),
                self.now,
            )
            .await;
        }
        if event.count > 1 {
            ended(&self.store, run.id, &open.flow, Self::how(event), self.now).await;
        }
    }

    async fn backfill(&mut self, event: Event, daily: &Flow) {
        let range = days(self.day, self.day + event.count);
        self.day += event.count;
        let new = NewBackfill {
            terms: Terms::new("flow:sales", "mina"),
            takes: vec![(daily.instance(), by(Unit::Day), range.into())],
        };
        let made = self.store.make_backfill(new, minute(self.now)).await.unwrap();
        let id = made.backfill.id;
        let slice = vec![(daily.instance(), RangeSet::from(range))];
        self.store.ask_backfill(id, slice, minute(self.now)).await.unwrap();
        let done = if event.choice.is_multiple_of(2) {
            event.count
        } else {
            event.count - 1
        };
        for n in 0..done {
            self.walk(event, daily, None, day(self.day - event.count + n), Some(id))
                .await;
        }
        if event.choice > 50 {
            let change = Change::Cancel;
            // It may be over.
            let _ = self.store.change_backfill(id, change, "mina", minute(self.now)).await;
        }
    }

    async fn told(&self) -> Told {
        let store = &self.store;
        let (mut runs, mut facts) = (BTreeMap::new(), BTreeMap::new());
        for run in store.runs(10_000).await.unwrap() {
            facts.insert(run.id, store.run_facts(run.id).await.unwrap());
            runs.insert(run.id, store.run(run.id).await.unwrap().unwrap());
        }
        let mut ticks: BTreeMap<ScheduleKey, Vec<Tick>> = BTreeMap::new();
        for row in store.ticks(None, 10_000).await.unwrap() {
            ticks.entry(row.of).or_default().push(row.tick);
        }
        Told {
            runs,
            facts,
            open: open_ticks(store).await,
            ticks,
            newest: store.newest_ticks().await.unwrap(),
            state: state_of_sales(store).await,
            backfills: store.backfills(1_000).await.unwrap(),
            derived: store.derived().await.unwrap().into_iter().collect(),
        }
    }

    /// The runs that have to stay, as people are told of it.
    fn stays(&self, told: &Told, before: Instant) -> BTreeSet<i64> {
        let mut stays = BTreeSet::new();
        let mut of_flow: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
        for (run, _) in told.runs.values().rev() {
            of_flow.entry(&run.selector).or_default().push(run);
            let is_open = |(one, backfill): &(i64, i64)| {
                let known = told.backfills.iter().find(|known| known.id == *backfill).unwrap();
                *one == run.id && known.ended_at.is_none()
            };
            if run.ended_at.is_none_or(|at| at >= before) || self.asked.iter().any(is_open) {
                stays.insert(run.id);
            }
        }
        for runs in of_flow.values() {
            stays.extend(runs.iter().take(RUNS_KEPT).map(|run| run.id));
            let success = runs.iter().find(|run| run.state == RunState::Success);
            stays.extend(success.map(|run| run.id));
        }
        let of_models = told.runs.values().filter(|(run, _)| !run.selector.starts_with("flow:"));
        stays.extend(of_models.map(|(run, _)| run.id));
        stays.extend(told.runs.keys().last());
        stays
    }

    /// Forgets, and looks at what is left.
    async fn forget(&mut self, before: i64) {
        let was = self.told().await;
        let (last_attempt, seqs) = (self.store.last_attempt().await.unwrap(), self.seqs().await);
        let forgotten = forget(&self.store, before, self.now).await;
        let is = self.told().await;
        let gone: Vec<i64> = was
            .runs
            .keys()
            .filter(|run| !is.runs.contains_key(run))
            .copied()
            .collect();
        assert_eq!(forgotten.runs, gone.len() as u64);
        let stays = self.stays(&was, minute(before));
        assert!(gone.iter().all(|run| !stays.contains(run)), "{gone:?} of {stays:?}");
        for (run, told) in &is.runs {
            assert_eq!(was.runs[run], *told);
            assert_eq!(was.facts[run], is.facts[run]);
            if told.0.selector.starts_with("flow:") {
                self.store.past_walk(*run).await.unwrap();
            }
        }
        assert_eq!(is.open, was.open, "none waits that did not, and each that waited does");
        assert_eq!(is.newest, was.newest);
        assert_eq!(is.state, was.state);
        assert_eq!(is.backfills, was.backfills);
        let is_new = |line: &&String| !was.derived.contains(*line) && !line.starts_with("flow_version ");
        assert_eq!(is.derived.iter().find(is_new), None);
        assert_eq!(self.store.last_attempt().await.unwrap(), last_attempt);
        assert!(self.seqs().await.last() >= seqs.last(), "no number is given twice");
        rebuilds(&self.store).await;
        assert_eq!(open_ticks(&self.store).await, was.open);
        self.come_again(&was, &is).await;
        let reader = &self.store;
        let next = begin(reader, Vec::new()).await;
        assert!(was.runs.keys().all(|run| *run < next));
        reader.end_run(next, RunState::Success, minute(self.now)).await.unwrap();
    }

    /// Ticks that were decided are decided, whoever comes with them.
    async fn come_again(&self, was: &Told, is: &Told) {
        let facts = self.store.facts().await.unwrap().len();
        for (of, ticks) in &was.ticks {
            for tick in ticks.iter().filter(|tick| !is.ticks[of].contains(tick)) {
                decided(&self.store, &of.owner, &of.schedule, vec![*tick], self.now).await;
            }
        }
        assert_eq!(self.store.facts().await.unwrap().len(), facts);
    }

    async fn seqs(&self) -> Vec<i64> {
        let facts = self.store.facts().await.unwrap();
        facts.into_iter().map(|(seq, ..)| seq).collect()
    }
}

/// Fewer on a server, to which every statement is a message there and back.
fn cases() -> u32 {
    if is_on_server() { 4 } else { 16 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn whatever_happened_before_what_is_left_is_whole(events in prop::collection::vec(event(), 1..50)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for event in events {
                world.happen(event).await;
            }
            let now = world.now;
            world.forget(now - 30).await;
            world.forget(now + 1).await;
        });
    }
}
