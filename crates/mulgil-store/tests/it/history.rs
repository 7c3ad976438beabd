//! Random histories: what was derived step by step is what a rebuild from the facts derives.

use std::collections::BTreeMap;

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    interval::{Interval, RangeSet},
    name::{Instance, NodeName},
    port::{Author, Commit, FillOutcome, RestoreTag, TestOutcome},
    project::{Project, Publish},
    run::{RunState, TaskKind},
    state::Cause,
    task::{BoundTest, Claim, TestSpec},
};
use mulgil_store::{ClaimRequest, Failure, Store};
use proptest::prelude::*;

use super::support::*;

const TARGETS: [&str; 9] = [
    "flights",
    "weather",
    "windows",
    "months",
    "total",
    "sales[country=kr]",
    "sales[country=jp]",
    "report[country=kr]",
    "both",
];

/// One thing that happens; the numbers choose to whom, where and with what.
#[derive(Clone, Copy, Debug)]
struct Event {
    kind: u8,
    target: usize,
    from: i64,
    length: i64,
    content: u128,
}

fn event() -> impl Strategy<Value = Event> {
    (0..20_u8, 0..TARGETS.len(), 0..12_i64, 1..6_i64, 0..3_u128).prop_map(|(kind, target, from, length, content)| {
        Event {
            kind,
            target,
            from,
            length,
            content,
        }
    })
}

/// The ledger beside what a simpler book-keeping knows of it.
struct World {
    store: Store,
    project: Project,
    now: i64,
    open: Option<(Claim, String, Interval)>,
    versions: BTreeMap<String, i64>,
    files: BTreeMap<i64, u128>,
    held: BTreeMap<(Instance, Interval), u128>,
    /// The table's own id, and the first version that it is known by.
    tables: BTreeMap<String, (String, i64)>,
    /// What was filled in the table that lies there; the ledger keeps what was filled in one before it.
    own: BTreeMap<Instance, RangeSet>,
    /// What a node's instances had filled at each version of its table, and what was in it.
    past: BTreeMap<(String, i64), Past>,
}

#[derive(Clone, Default)]
struct Past {
    filled: BTreeMap<Instance, RangeSet>,
    held: BTreeMap<(Instance, Interval), u128>,
}

impl World {
    async fn new() -> Self {
        let store = scratch().await;
        begin(&store, Vec::new()).await;
        Self {
            store,
            project: {
                let mut project = shop();
                project.nodes[6].publish = Publish::AfterTests;
                project
            },
            now: 1,
            open: None,
            versions: BTreeMap::new(),
            files: BTreeMap::new(),
            held: BTreeMap::new(),
            tables: BTreeMap::new(),
            own: BTreeMap::new(),
            past: BTreeMap::new(),
        }
    }

    /// Notes what a node's instances hold at the version that was just made.
    async fn note(&mut self, of: &str) {
        let node = instance(of).node;
        let version = self.versions[node.as_str()];
        let filled = self.filled(&node).await.into_iter().map(|(of, filled)| {
            let own = self.own.get(&of).map(|own| filled.intersect(own));
            (of, own.unwrap_or_default())
        });
        let past = Past {
            filled: filled.filter(|(_, filled)| !filled.is_empty()).collect(),
            held: self.held.clone(),
        };
        self.past.insert((node.to_string(), version), past);
    }

    async fn filled(&self, node: &NodeName) -> BTreeMap<Instance, RangeSet> {
        let state = self.store.load_state(&self.project).await.unwrap();
        let of_node = state.nodes.into_iter().filter(|(of, _)| of.node == *node);
        let filled = of_node.map(|(of, state)| (of, state.filled.keys()));
        filled.filter(|(_, ranges)| !ranges.is_empty()).collect()
    }

    fn range(&self, event: Event) -> (String, Interval) {
        let of = TARGETS[event.target];
        let grid = &self.project.node(&instance(of).node).unwrap().grid;
        let range = grid.snap_out(days(event.from, event.from + event.length));
        (of.to_owned(), range)
    }

    fn next_version(&mut self, of: &str) -> i64 {
        let version = self.versions.entry(instance(of).node.to_string()).or_insert(-1);
        *version += 1;
        *version
    }

    async fn take(&mut self, event: Event) -> (Claim, String, Interval) {
        if let Some(open) = self.open.take() {
            return open;
        }
        let (of, range) = self.range(event);
        (claim(&self.store, &self.project, &of, range, self.now).await, of, range)
    }

    async fn happen(&mut self, event: Event) {
        self.now += 1;
        match event.kind {
            0 => {
                let (of, range) = self.range(event);
                begin(&self.store, vec![(instance(&of), range.into())]).await;
            }
            1 if self.open.is_none() => self.open = Some(self.take(event).await),
            2..=5 => self.fill(event).await,
            6 => self.fail(event).await,
            7 => self.test(event).await,
            8 => self.change_files(event).await,
            9 => self.change_weather(event).await,
            10 => self.adopt_foreign(event).await,
            11 => self.adopt_ours(event).await,
            12 => self.vanish(event).await,
            13 => self.move_table(event).await,
            14 => self.drop_table(event).await,
            15 | 16 => self.roll_back(event).await,
            17 => {
                let sales = &mut self.project.nodes[6];
                sales.publish = [Publish::AtOnce, Publish::AfterTests][event.length as usize % 2];
            }
            18 => {
                let now = minute(self.now);
                self.store.publish_tested(&self.project, now).await.unwrap();
                let again = self.store.publish_tested(&self.project, now).await.unwrap();
                assert_eq!(again, Vec::new(), "once is enough");
            }
            _ => {
                let (of, range) = self.range(event);
                self.store
                    .waive(&instance(&of), &range.into(), "mina", "lost", minute(self.now))
                    .await
                    .unwrap();
                self.store.crash_live(minute(self.now)).await.unwrap();
                self.open = None;
            }
        }
    }

    async fn fill(&mut self, event: Event) {
        let (claim, of, range) = self.take(event).await;
        let version = self.next_version(&of);
        // Who fills commits into the table that lies there.
        let fresh = (TABLE.to_owned(), 0);
        let (table_id, _) = self.tables.entry(instance(&of).node.to_string()).or_insert(fresh);
        let outcome = FillOutcome {
            version: Some(version),
            table_id: Some(table_id.clone()),
            intervals: tiles(&self.project, &instance(&of), range, event.content),
            written: 0,
            columns: columns(),
            replaced_all: event.length == 5,
            growth: mulgil_core::port::Growth::default(),
        };
        let mut changed = RangeSet::new();
        for filled in &outcome.intervals {
            if self.held.insert((instance(&of), filled.interval), event.content) != Some(event.content) {
                changed.insert(filled.interval);
            }
        }
        let spec = spec(&self.project, &instance(&of), range);
        let recorded = self
            .store
            .record_fill(&self.project, &claim, &spec, &outcome, minute(self.now))
            .await
            .unwrap();
        assert_eq!(recorded.changed, changed);
        self.own.entry(instance(&of)).or_default().insert(range);
        self.note(&of).await;
    }

    /// A table goes back to one of its versions: what is filled then is what was filled at that version.
    async fn roll_back(&mut self, event: Event) {
        let of = TARGETS[event.target];
        let node = self.project.node(&instance(of).node).unwrap().clone();
        let newest = self.versions.get(node.name.as_str()).copied().unwrap_or(-1);
        let first = self.tables.get(node.name.as_str()).map_or(0, |(_, first)| *first);
        if self.open.is_some() || newest <= first {
            return;
        }
        let to = first + event.from % (newest - first);
        let before = self.filled(&node.name).await;
        let tag = RestoreTag {
            ledger: LEDGER.to_owned(),
            seq: self.store.next_seq().await.unwrap(),
            node: node.name.clone(),
            to,
            fingerprint: node.fingerprint,
        };
        let version = self.next_version(of);
        let commit = Commit {
            version,
            committed_at_us: minute(self.now).0,
            touched: Vec::new(),
            author: Author::Restored(tag.clone()),
        };
        let mut log = log_of(version, vec![commit]);
        if let Some((id, _)) = self.tables.get(node.name.as_str()) {
            log.table_id.clone_from(id);
        }
        self.adopt(of, &log).await;
        let past = self.past[&(node.name.to_string(), to)].clone();
        let after = self.filled(&node.name).await;
        assert_eq!(after, past.filled, "{of} at version {to}");
        self.held.retain(|(of, interval), _| {
            let filled = |state: &BTreeMap<Instance, RangeSet>| state.get(of).is_some_and(|set| set.covers(*interval));
            of.node != node.name || filled(&after) || !filled(&before)
        });
        for (of, filled) in &after {
            let inside = past
                .held
                .iter()
                .filter(|((one, at), _)| one == of && filled.covers(*at));
            self.held.extend(inside.map(|(of, content)| (of.clone(), *content)));
        }
        self.own.retain(|of, _| of.node != node.name);
        self.own.extend(after.clone());
        let state = self.store.load_state(&self.project).await.unwrap();
        for instance in node.instances() {
            let held = mulgil_core::due::rolled_back(&node, &state.nodes[&instance]);
            assert!(
                held.iter().all(|(range, at)| range == Interval::WHOLE && *at == to),
                "{instance}"
            );
        }
        self.note(of).await;
    }

    async fn fail(&mut self, event: Event) {
        let (claim, _, range) = self.take(event).await;
        let code = [codes::BAD_QUERY, codes::BUG][event.length as usize % 2];
        let fault = Diagnostic::error(code, "it broke").with_retry(Retry::Later);
        let how = [Failure::Counted, Failure::Narrowed, Failure::Crashed][event.content as usize % 3];
        self.store
            .record_failure(&claim, range, &fault, how, code_of(event), minute(self.now))
            .await
            .unwrap();
    }

    async fn test(&mut self, event: Event) {
        let sales = self.project.node(&name("sales")).unwrap();
        let request = ClaimRequest {
            kind: TaskKind::Test,
            ..request(&self.project, 1, &instance("sales"), Interval::WHOLE)
        };
        let claim = self.store.claim(request, minute(self.now)).await.unwrap();
        let spec = TestSpec {
            instance: instance("sales"),
            relation: sales.relation.clone(),
            zone: sales.grid.zone.clone(),
            tests: vec![BoundTest {
                row_breaks_if: None,
                test: sales.tests[0].clone(),
                sql: String::new(),
                bindings: Vec::new(),
            }],
        };
        let outcome = TestOutcome {
            name: sales.tests[0].name.clone(),
            failures: event.content as u64,
            sample: Vec::new(),
        };
        self.store
            .record_tests(&self.project, &claim, &spec, &[outcome], minute(self.now))
            .await
            .unwrap();
    }

    async fn change_files(&mut self, event: Event) {
        for n in event.from..event.from + event.length {
            if event.content == 2 && n % 2 == 0 {
                self.files.remove(&n);
            } else {
                self.files.insert(n, event.content);
            }
        }
        let seen = seen(self.files.iter().map(|(n, content)| file(*n, &content.to_string())));
        let source = self.project.source(&name("raw.events")).unwrap();
        self.store
            .record_source(&self.project, source, &seen, minute(self.now))
            .await
            .unwrap();
        assert_eq!(self.store.sources_seen().await.unwrap()[&source.name], seen);
    }

    async fn change_weather(&mut self, event: Event) {
        let mut single = file(0, &format!("{event:?}"));
        single.interval = None;
        let mut look = seen((event.length < 5).then_some(single));
        if event.length < 5 {
            look.hours = (event.from * 10..event.from * 10 + 40)
                .map(|n| filled(hour(n), event.content))
                .collect();
        }
        let source = self.project.source(&name("raw.weather")).unwrap();
        self.store
            .record_source(&self.project, source, &look, minute(self.now))
            .await
            .unwrap();
    }

    async fn adopt_foreign(&mut self, event: Event) {
        let (of, range) = self.range(event);
        let version = self.next_version(&of);
        let committed_at = minute(self.now - event.length);
        let mut log = log_of(version, vec![foreign(version, committed_at, &[("", range)])]);
        if event.content == 2 && event.length == 1 {
            log.table_id = format!("{}", event.from);
        }
        self.adopt(&of, &log).await;
        self.note(&of).await;
    }

    async fn adopt_ours(&mut self, event: Event) {
        let (claim, of, range) = self.take(event).await;
        if event.length > 2 {
            self.store.crash_live(minute(self.now)).await.unwrap();
        }
        let version = self.next_version(&of);
        let intervals = tiles(&self.project, &instance(&of), range, event.content);
        for filled in &intervals {
            self.held.insert((instance(&of), filled.interval), event.content);
        }
        let mut commit = ours(version, &claim, &of, range, intervals);
        if let Author::Ours(tag) = &mut commit.author {
            tag.replaces_all = event.length == 5;
        }
        let mut log = log_of(version, vec![commit]);
        log.highest_seq += event.from;
        self.adopt(&of, &log).await;
        self.own.entry(instance(&of)).or_default().insert(range);
        self.note(&of).await;
    }

    async fn adopt(&mut self, of: &str, log: &mulgil_core::port::TableLog) {
        let node = self.project.node(&instance(of).node).unwrap();
        let fresh = (log.table_id.clone(), 0);
        let known = self.tables.entry(node.name.to_string()).or_insert(fresh);
        if known.0 != log.table_id {
            // Of what was recorded of another table nothing counts.
            *known = (log.table_id.clone(), log.version + 1);
            self.own.retain(|of, _| of.node != node.name);
        }
        self.store
            .adopt(&self.project, node, Some(log), minute(self.now))
            .await
            .unwrap();
        let facts = self.store.facts().await.unwrap().len();
        self.store
            .adopt(&self.project, node, Some(log), minute(self.now))
            .await
            .unwrap();
        assert_eq!(self.store.facts().await.unwrap().len(), facts, "the same log twice");
    }

    async fn vanish(&mut self, event: Event) {
        let of = TARGETS[event.target];
        let node = self.project.node(&instance(of).node).unwrap();
        self.store
            .adopt(&self.project, node, None, minute(self.now))
            .await
            .unwrap();
        self.versions.remove(node.name.as_str());
        self.tables.remove(node.name.as_str());
        self.own.retain(|of, _| of.node != node.name);
    }

    /// A person has the table removed.
    async fn drop_table(&mut self, event: Event) {
        let of = TARGETS[event.target];
        let node = self.project.node(&instance(of).node).unwrap();
        let relation = node.relation.clone();
        self.store.drop_relation(&relation, minute(self.now)).await.unwrap();
        self.versions.remove(node.name.as_str());
        self.tables.remove(node.name.as_str());
        self.own.retain(|of, _| of.node != node.name);
        let catalog = self.store.catalog().await.unwrap();
        assert!(catalog.iter().all(|entry| entry.relation != relation));
    }

    /// The model gets another table, which is not there yet, or gets its old one back.
    async fn move_table(&mut self, event: Event) {
        let name = instance(TARGETS[event.target]).node;
        let node = self.project.nodes.iter_mut().find(|node| node.name == name).unwrap();
        node.relation.name = format!("{name}_{}", event.content);
        if !self.store.moved(&self.project).await.unwrap().contains(&name) {
            return;
        }
        self.vanish(event).await;
        assert!(!self.store.moved(&self.project).await.unwrap().contains(&name));
        self.open = None;
        self.store.crash_live(minute(self.now)).await.unwrap();
    }

    async fn check(&self) {
        let state = self.store.load_state(&self.project).await.unwrap();
        for (of, node) in &state.nodes {
            let filled = node.filled.keys();
            assert_eq!(filled, node.made_at.keys(), "{of}");
            assert!(filled.is_superset(&node.untested), "{of}");
            for (cause, ranges) in node.dirty.iter().filter(|(cause, _)| **cause != Cause::Manual) {
                assert!(
                    filled.is_superset(ranges),
                    "{of}: {cause:?} {} in {}",
                    in_days(ranges),
                    in_days(&filled)
                );
            }
            for range in filled.iter() {
                let contents = self.store.contents(of, range).await.unwrap();
                let known: RangeSet = contents.iter().map(|content| content.interval).collect();
                assert!(known.covers(range), "{of}: contents of {range:?}");
                for content in contents {
                    assert_eq!(self.held[&(of.clone(), content.interval)], content.content.0, "{of}");
                }
            }
        }
        let (run, tasks) = self.store.run(1).await.unwrap().unwrap();
        let live = tasks
            .iter()
            .flat_map(|task| &task.attempts)
            .filter(|attempt| attempt.state == RunState::Running);
        assert_eq!(live.count(), usize::from(self.open.is_some()), "{run:?}");
        let before = self.store.derived().await.unwrap();
        self.store.rebuild().await.unwrap();
        assert_eq!(self.store.derived().await.unwrap(), before);
        assert_eq!(self.store.load_state(&self.project).await.unwrap(), state);
    }
}

fn code_of(event: Event) -> mulgil_core::project::CodeFp {
    code(event.content % 2)
}

/// Fewer on a server, to which every statement is a message there and back.
fn cases() -> u32 {
    if is_on_server() { 8 } else { 96 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn what_is_derived_step_by_step_is_what_a_rebuild_derives(events in prop::collection::vec(event(), 1..50)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for event in events {
                world.happen(event).await;
            }
            world.check().await;
        });
    }
}
