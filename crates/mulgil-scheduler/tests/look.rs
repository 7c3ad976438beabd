//! Looking at tables: what the ledger makes of logs that say more, or less, than it knows. The
//! warehouse is a map of logs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use mulgil_core::{
    interval::{Instant, Interval},
    interval_text,
    name::{Instance, Relation},
    plan,
    port::{
        Author, Commit, CommitTag, Engine, Fault, FillOutcome, Filled, Maintained, Progress, RestoreTag,
        ScriptStatement, SessionSpec, SourceSeen, SqlSession, TableLog, TestOutcome, Touched,
    },
    project::{Fingerprint, Project, Source},
    run::{TaskKind, Trigger},
    task::{Claim, FillSpec, Hooks, ScriptSpec, TestSpec},
    timeline::Timeline,
};
use mulgil_scheduler::{Known, gather, record};
use mulgil_store::{ClaimRequest, LedgerPlace, NewRun, Store};

const LEDGER: &str = "shop/dev";

/// Logs of tables by relation; nothing else of an engine is asked.
#[derive(Default)]
struct Logs(Mutex<BTreeMap<Relation, TableLog>>);

impl Logs {
    fn id(&self, relation: &Relation) -> String {
        self.0.lock().unwrap()[relation].table_id.clone()
    }

    fn set_id(&self, relation: &Relation, id: &str) {
        let mut logs = self.0.lock().unwrap();
        logs.get_mut(relation).unwrap().table_id = id.to_owned();
    }

    fn commit(&self, relation: &Relation, author: Author, at: Instant, touched: Interval) -> i64 {
        let mut logs = self.0.lock().unwrap();
        let log = logs.entry(relation.clone()).or_insert_with(|| TableLog {
            version: -1,
            table_id: relation.to_string(),
            ..TableLog::default()
        });
        log.version += 1;
        if let Author::Ours(tag) = &author {
            log.highest_seq = log.highest_seq.max(tag.seq);
        }
        log.commits.push(Commit {
            version: log.version,
            committed_at_us: at.0,
            author,
            touched: vec![Touched {
                instance_key: mulgil_core::name::Key::default(),
                at: touched,
            }],
        });
        log.version
    }
}

#[async_trait]
impl Engine for Logs {
    async fn fill(&self, _: &FillSpec, _: &Claim, _: &dyn Progress) -> Result<FillOutcome, Fault> {
        unreachable!("nothing is filled here")
    }

    async fn test(&self, _: &TestSpec) -> Result<Vec<TestOutcome>, Fault> {
        unreachable!("nothing is tested here")
    }

    fn statements(&self, _: &str) -> Result<Vec<ScriptStatement>, Fault> {
        unreachable!("nothing is typed here")
    }

    fn session(&self, _: &SessionSpec) -> Box<dyn SqlSession> {
        unreachable!("nothing is typed here")
    }

    async fn script(&self, _: &ScriptSpec) -> Result<(), Fault> {
        unreachable!("no script is run here")
    }

    async fn observe(&self, _: &Source, _: &SourceSeen) -> Result<SourceSeen, Fault> {
        Ok(SourceSeen::default())
    }

    async fn commits_after(&self, relation: &Relation, version: Option<i64>) -> Result<Option<TableLog>, Fault> {
        let mut log = self.0.lock().unwrap().get(relation).cloned();
        if let (Some(log), Some(version)) = (&mut log, version) {
            log.commits.retain(|commit| commit.version > version);
        }
        Ok(log)
    }

    async fn maintain(&self, _: &Relation, _: Instant) -> Result<Maintained, Fault> {
        unreachable!("nothing is maintained here")
    }

    async fn restore(&self, _relation: &Relation, _tag: &RestoreTag) -> Result<i64, Fault> {
        unreachable!("nothing is taken back in these tests")
    }

    async fn drop_table(&self, _: &Relation) -> Result<(), Fault> {
        unreachable!("nothing is dropped here")
    }
}

/// A project with its ledger and its warehouse, and a clock that a test turns.
struct World {
    project: Project,
    store: Store,
    logs: Arc<Logs>,
    minute: i64,
}

impl World {
    async fn new(text: &str) -> Self {
        let timeline = Timeline::parse(&format!("begin 2026-11-01\n{text}\nnow 2026-11-11T00:00Z"));
        let mut world = Self {
            project: timeline.project,
            store: ledger().await,
            logs: Arc::default(),
            minute: 0,
        };
        world.begin().await;
        world
    }

    /// The ledger is lost; a new one begins.
    async fn lose_ledger(&mut self) {
        self.store = ledger().await;
    }

    fn now(&self) -> Instant {
        let start = Instant::from_timestamp("2026-11-11T00:00:00Z".parse().unwrap());
        Instant(start.0 + self.minute * 60_000_000)
    }

    async fn begin(&mut self) {
        let new = NewRun {
            trigger: Trigger::Manual,
            selector: String::new(),
            manual: Vec::new(),
            again: Vec::new(),
            named: Vec::new(),
            backfill: None,
        };
        self.store.begin_run(new, self.now()).await.unwrap();
    }

    fn node(&self, of: &str) -> &mulgil_core::project::Node {
        self.project.node(&Instance::parse(of).unwrap().node).unwrap()
    }

    async fn claim(&mut self, of: &str, range: &str) -> (Claim, FillSpec) {
        self.minute += 1;
        let instance = Instance::parse(of).unwrap();
        let node = self.node(of).clone();
        let range = interval_text::parse(range, &node.grid).unwrap();
        let request = ClaimRequest {
            run: 1,
            instance: instance.clone(),
            relation: node.relation.clone(),
            range,
            kind: TaskKind::Fill,
            reason: serde_json::Value::Null,
            fingerprint: node.fingerprint,
        };
        let spec = FillSpec {
            instance,
            relation: node.relation,
            materialization: node.materialization,
            grid: node.grid,
            event_time: node.event_time,
            incremental: None,
            range,
            queries: Vec::new(),
            fingerprint: node.fingerprint,
            replaces_all: false,
            may_replace_all: false,
            hooks: Hooks::default(),
        };
        (self.store.claim(request, self.now()).await.unwrap(), spec)
    }

    /// Into the table, not into the ledger.
    fn commit(&mut self, claim: &Claim, spec: &FillSpec, content: u128) -> FillOutcome {
        self.minute += 1;
        let filled = |interval| Filled {
            interval,
            rows: 1,
            content: Fingerprint(content),
        };
        let intervals: Vec<Filled> = spec.grid.intervals(spec.range).map(filled).collect();
        let tag = CommitTag {
            ledger: LEDGER.to_owned(),
            seq: claim.seq,
            attempt: claim.attempt,
            instance: spec.instance.clone(),
            range: spec.range,
            fingerprint: spec.fingerprint,
            intervals: intervals.clone(),
            replaces_all: spec.replaces_all,
            total: None,
            then_hooks: false,
        };
        let version = self
            .logs
            .commit(&spec.relation, Author::Ours(tag), self.now(), spec.range);
        FillOutcome {
            version: Some(version),
            table_id: Some(self.logs.id(&spec.relation)),
            intervals,
            written: 0,
            columns: Vec::new(),
            replaced_all: false,
            growth: mulgil_core::port::Growth::default(),
        }
    }

    async fn fill(&mut self, of: &str, range: &str, content: u128) {
        let (claim, spec) = self.claim(of, range).await;
        let outcome = self.commit(&claim, &spec, content);
        self.minute += 1;
        let now = self.now();
        self.store
            .record_fill(&self.project, &claim, &spec, &outcome, now)
            .await
            .unwrap();
    }

    /// Looks and records; how many tables had news.
    async fn look(&mut self) -> usize {
        self.minute += 1;
        let known = Known::load(&self.project, &self.store).await.unwrap();
        let seen = gather(&self.project, self.logs.as_ref(), &known).await.unwrap();
        record(&self.project, &self.store, &seen.news, self.now())
            .await
            .unwrap();
        seen.news.len()
    }

    /// What is due now, as `plan` says it.
    async fn told(&self) -> String {
        let timeline = Timeline::parse("now 2026-11-11T00:00Z");
        let state = self.store.load_state(&self.project).await.unwrap();
        let lines = plan::plan(&self.project, &state, timeline.now)
            .steps
            .into_iter()
            .map(|step| {
                let grid = &self.node(&step.instance.to_string()).grid;
                format!(
                    "{} {} {}\n",
                    step.instance,
                    interval_text::format(step.range, grid),
                    step.reason.kind()
                )
            });
        lines.collect()
    }

    /// Gives a model's table another name.
    fn rename(&mut self, of: &str, name: &str) {
        let node = self
            .project
            .nodes
            .iter_mut()
            .find(|node| node.name.as_str() == of)
            .unwrap();
        node.relation.name = name.to_owned();
    }
}

async fn ledger() -> Store {
    Store::scratch(&LedgerPlace::folder("/nowhere", "dev"), LEDGER)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_model_that_gets_another_table_is_filled_again_there_and_found_again_in_the_old_one() {
    let mut world = World::new("model m by day").await;
    world.fill("m", "2026-11-01..2026-11-11", 1).await;
    assert_eq!((world.look().await, world.told().await.as_str()), (0, ""));

    world.rename("m", "elsewhere");
    assert_eq!(world.look().await, 1);
    assert_eq!(world.told().await, "m 2026-11-01..2026-11-11 missing\n");
    assert_eq!(world.look().await, 0);
    world.fill("m", "2026-11-01..2026-11-04", 1).await;

    world.rename("m", "m");
    assert_eq!(world.look().await, 1);
    assert_eq!(world.told().await, "", "all of it lies in the old table");

    world.rename("m", "elsewhere");
    world.look().await;
    assert_eq!(world.told().await, "m 2026-11-04..2026-11-11 missing\n");
    assert_eq!(world.look().await, 0);
}

#[tokio::test]
async fn a_table_that_was_away_for_a_while_comes_back_with_its_rows() {
    let mut world = World::new("model m by day").await;
    world.fill("m", "2026-11-01..2026-11-06", 1).await;
    world.fill("m", "2026-11-06..2026-11-11", 1).await;
    let away = std::mem::take(&mut *world.logs.0.lock().unwrap());
    world.look().await;
    assert_eq!(world.told().await, "m 2026-11-01..2026-11-11 missing\n");
    *world.logs.0.lock().unwrap() = away;
    world.look().await;
    assert_eq!(world.told().await, "");
    assert_eq!(world.look().await, 0);
}

#[tokio::test]
async fn a_reader_that_is_older_than_what_it_reads_is_stale_when_both_are_adopted() {
    let mut world = World::new("model a by day\nmodel b by day reads a\nmodel c by day reads b").await;
    for of in ["a", "b", "c"] {
        world.fill(of, "2026-11-01..2026-11-11", 1).await;
    }
    world.fill("a", "2026-11-04..2026-11-06", 2).await;
    world.lose_ledger().await;
    world.look().await;
    let told = "b 2026-11-04..2026-11-06 upstream\nc 2026-11-04..2026-11-06 upstream\n";
    assert_eq!(world.told().await, told);
    let evidence = world
        .store
        .evidence(&Instance::parse("b").unwrap(), Interval::WHOLE)
        .await
        .unwrap();
    let detail = serde_json::json!({"kind": "newer", "upstream": "a"});
    assert_eq!(evidence.iter().map(|one| &one.detail).collect::<Vec<_>>(), [&detail]);
    assert_eq!(world.look().await, 0);
}

#[tokio::test]
async fn a_fill_that_came_to_light_after_its_upstream_changed_is_stale() {
    let mut world = World::new("model a by day\nmodel b by day reads a").await;
    world.fill("a", "2026-11-01..2026-11-11", 1).await;
    let (claim, spec) = world.claim("b", "2026-11-01..2026-11-11").await;
    world.commit(&claim, &spec, 1);
    world.store.crash_live(world.now()).await.unwrap();
    world.fill("a", "2026-11-04", 2).await;
    world.look().await;
    assert_eq!(world.told().await, "b 2026-11-04 upstream\n");
}

#[tokio::test]
async fn who_read_what_somebody_else_wrote_is_stale_though_it_was_not_recorded() {
    let mut world = World::new("model a by day\nmodel b by day reads a").await;
    world.fill("a", "2026-11-01..2026-11-11", 1).await;
    let (claim, spec) = world.claim("b", "2026-11-01..2026-11-11").await;
    let day = interval_text::parse("2026-11-04", &spec.grid).unwrap();
    let at = world.now();
    world.logs.commit(&world.node("a").relation, Author::Foreign, at, day);
    world.commit(&claim, &spec, 1);
    world.store.crash_live(world.now()).await.unwrap();
    world.look().await;
    assert_eq!(world.told().await, "a 2026-11-04 target\nb 2026-11-04 upstream\n");
    world.begin().await;
    world.fill("a", "2026-11-04", 1).await;
    assert_eq!(world.told().await, "b 2026-11-04 upstream\n");
}

#[tokio::test]
async fn numbers_are_raised_above_every_table_before_anything_is_adopted() {
    let mut world = World::new("model a by day\nmodel b by day reads a").await;
    for content in 1..30 {
        world.fill("a", "2026-11-01..2026-11-11", content).await;
        world.fill("b", "2026-11-01..2026-11-11", content).await;
    }
    world.lose_ledger().await;
    world.look().await;
    let facts = world.store.facts().await.unwrap();
    let kinds: Vec<&str> = facts.iter().map(|(_, _, fact)| fact.kind()).collect();
    assert_eq!(kinds[..4], ["sequence_raised", "sequence_raised", "filled", "filled"]);
    assert_eq!(world.told().await, "");
}

#[tokio::test]
async fn another_table_in_the_place_of_ours_is_noticed_whatever_its_version() {
    for commits in [1, 2, 3] {
        let mut world = World::new("model a by day\nmodel b by day reads a").await;
        world.fill("a", "2026-11-01..2026-11-06", 1).await;
        world.fill("a", "2026-11-06..2026-11-11", 1).await;
        world.fill("b", "2026-11-01..2026-11-11", 1).await;
        let relation = world.node("a").relation.clone();
        world.logs.0.lock().unwrap().remove(&relation);
        for _ in 0..commits {
            let at = world.now();
            world.logs.commit(&relation, Author::Foreign, at, Interval::WHOLE);
        }
        world.logs.set_id(&relation, "another");
        assert_eq!(world.look().await, 1);
        let told = "a 2026-11-01..2026-11-11 target\nb 2026-11-01..2026-11-11 upstream\n";
        assert_eq!(world.told().await, told, "after {commits}");
        assert_eq!(world.look().await, 0);
    }
}
