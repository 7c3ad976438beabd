//! The picture: the project and what the ledger says of it, as pages need them, kept fresh in memory. Who makes
//! a page takes an [`Arc`] of it and waits for nobody.
//!
//! It holds ranges alone, so that its size and the time of a refresh follow from how many tables there are and
//! how often they change their looks, not from how many intervals they have.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use mulgil_core::{
    checks::{Check, Context, checks},
    diagnostic::Diagnostic,
    flow::name,
    interval::{Instant, Interval, RangeMap, RangeSet},
    name::{Instance, NodeName, Relation},
    plan::Forecast,
    port::Fault,
    project::{Node, Project},
    state::{NodeState, State},
    why::{Status, statuses},
};
use mulgil_server::{Control as _, HealthFacts};
use mulgil_store::{News, RelationEntry, Store, TableSize};
use mulgil_web::view::Mark;
use tokio::sync::{broadcast, watch};

use super::{
    health::verdict,
    names::{self, gravity},
};
use crate::{serving::control::Program, wire};

/// The pause between two refreshes, however much happens.
const AT_MOST_EVERY: Duration = Duration::from_millis(500);
/// How often it is refreshed where nothing is heard: the clock goes on, and other servers write.
const AT_LEAST_EVERY: Duration = Duration::from_secs(5);
/// Messages that one who listens may be behind.
const MESSAGES_KEPT: usize = 256;

/// Topics of one moment.
pub(super) type Topics = Arc<[String]>;

/// All that pages are made of and that changes seldom enough to be kept.
#[derive(Clone)]
pub(super) struct Picture {
    /// What is declared.
    pub(super) project: Arc<Project>,
    /// The moment for which it was made.
    pub(super) now: Instant,
    /// The newest fact in it.
    pub(super) seq: i64,
    /// The ledger, as decisions read it.
    pub(super) state: Arc<State>,
    /// The same of flows, by their instances.
    pub(super) flows: Arc<BTreeMap<Instance, NodeState>>,
    /// What runs of flows are busy with, by flow.
    pub(super) active: Arc<BTreeMap<String, RangeSet>>,
    /// Attempts that are live.
    pub(super) live: u64,
    /// How everything stands: instances of nodes, sources, and flows with intervals as `flow:NAME`.
    pub(super) standings: BTreeMap<Instance, Arc<Standing>>,
    /// Who reads a node or a source.
    pub(super) readers: Arc<BTreeMap<NodeName, Vec<NodeName>>>,
    /// What the tables are and how large.
    pub(super) catalog: Arc<Catalog>,
    /// How the server is; nothing before the first look.
    pub(super) health: Option<Arc<HealthFacts>>,
    /// What is wrong with the project in its folder, where it cannot be loaded and this older one goes on.
    pub(super) project_faults: Arc<[Diagnostic]>,
    /// Why the ledger could not be read when it was looked at last.
    pub(super) fault: Option<Fault>,
}

/// How one instance stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Standing {
    /// Every interval, as ranges.
    pub(super) statuses: RangeMap<Status>,
    /// How many intervals stand how, the gravest first.
    pub(super) counts: Vec<(Mark, u64)>,
    /// The gravest of them.
    pub(super) worst: Mark,
    /// What the first interval that was never filled reads, and that has to be filled before.
    pub(super) waits_on: Option<NodeName>,
}

/// What the ledger knows of tables.
#[derive(Clone, Debug, Default)]
pub(super) struct Catalog {
    /// By where they lie.
    pub(super) relations: BTreeMap<Relation, RelationEntry>,
    /// How large they are.
    pub(super) sizes: BTreeMap<Relation, TableSize>,
}

impl Picture {
    /// How an instance stands.
    pub(super) fn standing(&self, instance: &Instance) -> Option<&Standing> {
        self.standings.get(instance).map(AsRef::as_ref)
    }

    /// The gravest mark of a node over all its instances, of a source, or of a flow.
    pub(super) fn worst(&self, name: &NodeName) -> Mark {
        let marks = self.of_node(name).map(|(_, standing)| standing.worst);
        marks.max_by_key(|mark| gravity(*mark)).unwrap_or(Mark::NotExpected)
    }

    /// How many intervals of a node stand how, over all its instances, the gravest first.
    pub(super) fn counts(&self, name: &NodeName) -> Vec<(Mark, u64)> {
        let mut counts: Vec<(Mark, u64)> = Vec::new();
        for (mark, count) in self.of_node(name).flat_map(|(_, standing)| &standing.counts) {
            match counts.iter_mut().find(|(known, _)| known == mark) {
                Some((_, sum)) => *sum += count,
                None => counts.push((*mark, *count)),
            }
        }
        counts.sort_by_key(|(mark, _)| std::cmp::Reverse(gravity(*mark)));
        counts
    }

    /// The instances of a node, each with how it stands.
    pub(super) fn of_node(&self, name: &NodeName) -> impl Iterator<Item = (&Instance, &Standing)> {
        let from = Instance::of(name.clone());
        let own = self.standings.range(from..).take_while(move |(of, _)| of.node == *name);
        own.map(|(of, standing)| (of, standing.as_ref()))
    }

    /// The forecast at a moment: the scheduler's own, made anew.
    pub(super) fn forecast(&self, now: Instant) -> Forecast<'_> {
        Forecast::new(&self.project, &self.state, now)
    }

    /// The node of that name.
    pub(super) fn node(&self, name: &str) -> Option<&Node> {
        self.project.node(&NodeName::new(name))
    }
}

/// A picture that is kept, and who is told of its changes.
pub(super) struct Gallery {
    picture: watch::Receiver<Arc<Picture>>,
    told: broadcast::Sender<Topics>,
    painter: tokio::task::JoinHandle<()>,
}

impl Gallery {
    /// Makes the first picture, and keeps it fresh until this is dropped.
    pub(super) async fn open(program: Arc<Program>) -> Self {
        let project = &program.opened.project;
        let mut painter = Painter {
            picture: Picture {
                project: Arc::clone(project),
                now: wire::now(),
                seq: 0,
                state: Arc::default(),
                flows: Arc::default(),
                active: Arc::default(),
                live: 0,
                standings: BTreeMap::new(),
                readers: Arc::new(readers(project)),
                catalog: Arc::default(),
                health: None,
                project_faults: Arc::default(),
                fault: None,
            },
            is_loaded: false,
            is_catalog_old: true,
            program,
        };
        painter.refresh(Why::Clock).await;
        let (told, _) = broadcast::channel(MESSAGES_KEPT);
        let (shown, picture) = watch::channel(Arc::new(painter.picture.clone()));
        let painter = tokio::spawn(painter.keep(shown, told.clone()));
        Self { picture, told, painter }
    }

    /// The newest.
    pub(super) fn look(&self) -> Arc<Picture> {
        Arc::clone(&self.picture.borrow())
    }

    /// To hear of what changes.
    pub(super) fn listen(&self) -> broadcast::Receiver<Topics> {
        self.told.subscribe()
    }
}

impl Drop for Gallery {
    fn drop(&mut self) {
        self.painter.abort();
    }
}

/// Why it is looked at again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// Something was recorded.
    Told,
    /// Time has passed.
    Clock,
}

/// Who keeps it.
struct Painter {
    program: Arc<Program>,
    picture: Picture,
    is_loaded: bool,
    is_catalog_old: bool,
}

impl Painter {
    async fn keep(mut self, shown: watch::Sender<Arc<Picture>>, told: broadcast::Sender<Topics>) {
        let mut changes = self.program.changes.watch();
        let mut next_look = tokio::time::Instant::now() + AT_LEAST_EVERY;
        loop {
            let why = tokio::select! {
                // The sender lives as long as the program.
                _ = changes.changed() => Why::Told,
                () = tokio::time::sleep_until(next_look) => Why::Clock,
            };
            changes.mark_unchanged();
            let topics = self.refresh(why).await;
            shown.send_replace(Arc::new(self.picture.clone()));
            if !topics.is_empty() {
                // Nobody may be listening.
                let _ = told.send(topics.into_iter().collect());
            }
            if why == Why::Clock {
                next_look = tokio::time::Instant::now() + AT_LEAST_EVERY;
            }
            tokio::time::sleep(AT_MOST_EVERY).await;
        }
    }

    /// Looks again, and gives what is another than before.
    async fn refresh(&mut self, why: Why) -> BTreeSet<String> {
        let mut topics = BTreeSet::new();
        match self.read(why).await {
            Ok(news) => {
                self.picture.fault = None;
                topics.extend(news.runs.iter().map(|run| format!("run:{run}")));
                topics.extend(news.instances.iter().map(topic));
            }
            Err(fault) => self.picture.fault = Some(fault),
        }
        self.picture.now = wire::now();
        topics.extend(self.paint().await);
        if why == Why::Clock && self.look_at_health().await {
            topics.insert("health".to_owned());
        }
        let faults = self.program.reload.as_ref().map(|reload| reload.faults());
        let faults = faults.unwrap_or_default();
        if faults != self.picture.project_faults {
            self.picture.project_faults = faults;
            topics.insert("health".to_owned());
        }
        if !topics.is_empty() {
            topics.insert("today".to_owned());
        }
        topics
    }

    /// Reads what has changed in the ledger.
    async fn read(&mut self, why: Why) -> Result<News, Fault> {
        let store = Arc::clone(&self.program.runner.store);
        let mut news = store.news_after(self.picture.seq).await?;
        let has_news = news.newest > self.picture.seq;
        if !self.is_loaded || news.is_of_all {
            self.read_all(&store).await?;
            news.runs.clear();
        } else if has_news {
            self.read_some(&store, &news.instances).await?;
        }
        self.is_catalog_old |= has_news;
        if self.is_catalog_old && (why == Why::Clock || self.is_worth_a_catalog()) {
            let (relations, sizes) = (store.catalog().await?, store.table_sizes().await?);
            let relations = relations.into_iter().map(|entry| (entry.relation.clone(), entry));
            let sizes = sizes.into_iter().map(|size| (size.relation.clone(), size));
            let catalog = Catalog {
                relations: relations.collect(),
                sizes: sizes.collect(),
            };
            news.instances.extend(self.told_anew(&catalog));
            self.picture.catalog = Arc::new(catalog);
            self.is_catalog_old = false;
        }
        if has_news || !self.is_loaded {
            self.picture.live = store.live_attempts().await?;
            self.picture.active = Arc::new(store.active_intervals().await?);
        }
        self.picture.seq = news.newest;
        self.is_loaded = true;
        Ok(news)
    }

    async fn read_all(&mut self, store: &Store) -> Result<(), Fault> {
        let project = &self.program.opened.project;
        self.picture.state = Arc::new(store.load_state(project).await?);
        self.picture.flows = Arc::new(store.flow_states(&project.flows).await?);
        Ok(())
    }

    async fn read_some(&mut self, store: &Store, told: &BTreeSet<Instance>) -> Result<(), Fault> {
        let project = &self.program.opened.project;
        let flows: Vec<_> = told.iter().filter_map(flow_of).collect();
        let flows: Vec<_> = flows.into_iter().filter_map(|flow| project.flow(flow)).collect();
        if !flows.is_empty() {
            let states = store.flow_states(flows.iter().copied()).await?;
            Arc::make_mut(&mut self.picture.flows).extend(states);
        }
        let nodes = told.iter().filter(|instance| flow_of(instance).is_none());
        // Data tests stand at the instance without a key.
        let nodes: BTreeSet<Instance> = nodes
            .flat_map(|instance| [instance.clone(), Instance::of(instance.node.clone())])
            .collect();
        if nodes.is_empty() {
            return Ok(());
        }
        let nodes: Vec<Instance> = nodes.into_iter().collect();
        let state = Arc::make_mut(&mut self.picture.state);
        store.refresh(project, state, &nodes).await
    }

    /// The nodes whose tables have other columns or another size than was known.
    fn told_anew(&self, catalog: &Catalog) -> Vec<Instance> {
        let known = &self.picture.catalog;
        let is_other = |relation: &Relation| {
            known.relations.get(relation) != catalog.relations.get(relation)
                || known.sizes.get(relation) != catalog.sizes.get(relation)
        };
        let nodes = self.picture.project.nodes.iter();
        let others = nodes.filter(|node| is_other(&node.relation));
        others.map(|node| Instance::of(node.name.clone())).collect()
    }

    /// Columns and sizes change with versions; they are read again where one is another.
    fn is_worth_a_catalog(&self) -> bool {
        let sizes = &self.picture.catalog.sizes;
        let tables = &self.picture.state.tables;
        tables.len() != self.picture.catalog.relations.len()
            || tables.iter().any(|(relation, table)| {
                let known = sizes.get(relation).and_then(|size| size.version);
                table.is_there && table.version != known
            })
    }

    /// Works out how everything stands; gives the topics of what stands otherwise than before.
    async fn paint(&mut self) -> Vec<String> {
        let picture = self.picture.clone();
        let standings = tokio::task::spawn_blocking(move || standings(&picture)).await;
        // Where it panicked, the picture stays as it was and is tried again.
        let Ok(standings) = standings else { return Vec::new() };
        let before = std::mem::replace(&mut self.picture.standings, standings);
        let is_other = |(instance, standing): &(&Instance, &Arc<Standing>)| {
            before.get(*instance).is_none_or(|known| !Arc::ptr_eq(known, standing))
        };
        let others = self.picture.standings.iter().filter(is_other);
        others.map(|(instance, _)| topic(instance)).collect()
    }

    /// True where the server is better or worse than before.
    async fn look_at_health(&mut self) -> bool {
        let facts = self.program.health().await;
        let of = |facts: &HealthFacts| verdict(facts, self.picture.now);
        let is_other = self.picture.health.as_deref().map(of) != Some(of(&facts));
        self.picture.health = Some(Arc::new(facts));
        is_other
    }
}

fn flow_of(instance: &Instance) -> Option<&str> {
    name::flow_in(instance.node.as_str())
}

fn topic(instance: &Instance) -> String {
    match flow_of(instance) {
        Some(flow) => format!("flow:{flow}"),
        None => format!("table:{}", instance.node),
    }
}

fn readers(project: &Project) -> BTreeMap<NodeName, Vec<NodeName>> {
    let mut readers: BTreeMap<NodeName, Vec<NodeName>> = BTreeMap::new();
    for node in &project.nodes {
        for read in &node.reads {
            readers.entry(read.name().clone()).or_default().push(node.name.clone());
        }
    }
    readers
}

/// How everything stands. What stands as before is the same value, so that it is seen at once.
fn standings(picture: &Picture) -> BTreeMap<Instance, Arc<Standing>> {
    let project = &*picture.project;
    let forecast = picture.forecast(picture.now);
    let mut all = BTreeMap::new();
    let mut put = |instance: Instance,
                   statuses: RangeMap<Status>,
                   waits_on: Option<NodeName>,
                   count: &dyn Fn(Interval) -> u64| {
        let known = picture.standings.get(&instance);
        let is_same = |known: &&Arc<Standing>| known.statuses == statuses && known.waits_on == waits_on;
        let standing = match known.filter(is_same) {
            Some(known) => Arc::clone(known),
            None => Arc::new(Standing {
                waits_on,
                ..Standing::of(statuses, count)
            }),
        };
        all.insert(instance, standing);
    };
    for instance in forecast.instances() {
        if let Some(node) = forecast.node(&instance.node) {
            let statuses = statuses(&forecast, instance);
            let waits_on = waits_on(&forecast, node, instance, &statuses);
            put(instance.clone(), statuses, waits_on, &|range| node.grid.count(range));
        }
    }
    for source in &project.sources {
        if let Some(state) = picture.state.sources.get(&source.name) {
            let there = state.available.iter().map(|range| (range, Status::Fresh));
            let gone = state.gone.iter().map(|range| (range, Status::Missing));
            let files = there.chain(gone).collect();
            put(Instance::of(source.name.clone()), files, None, &|range| {
                source.grid.count(range)
            });
        }
    }
    let (unknown, idle) = (NodeState::default(), RangeSet::new());
    for flow in project.flows.iter().filter(|flow| flow.grid.is_cut()) {
        let instance = flow.instance();
        let state = picture.flows.get(&instance).unwrap_or(&unknown);
        let active = picture.active.get(&flow.name).unwrap_or(&idle);
        let statuses = flow.statuses(state, active, picture.now);
        put(instance, statuses, None, &|range| flow.grid.count(range));
    }
    all
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            statuses: RangeMap::new(),
            counts: Vec::new(),
            worst: Mark::NotExpected,
            waits_on: None,
        }
    }
}

impl Standing {
    /// What follows from the ranges.
    pub(super) fn of(statuses: RangeMap<Status>, count: &dyn Fn(Interval) -> u64) -> Self {
        let mut counts: Vec<(Mark, u64)> = Vec::new();
        for (range, status) in statuses.iter() {
            let mark = names::mark(status);
            match counts.iter_mut().find(|(known, _)| *known == mark) {
                Some((_, sum)) => *sum += count(range),
                None => counts.push((mark, count(range))),
            }
        }
        counts.sort_by_key(|(mark, _)| std::cmp::Reverse(gravity(*mark)));
        let worst = counts.first().map_or(Mark::NotExpected, |(mark, _)| *mark);
        Self {
            statuses,
            counts,
            worst,
            waits_on: None,
        }
    }
}

/// What the first interval of an instance that was never filled reads, and that has to be filled before: as the
/// scheduler asks it.
fn waits_on(
    forecast: &Forecast<'_>,
    node: &Node,
    instance: &Instance,
    statuses: &RangeMap<Status>,
) -> Option<NodeName> {
    let (range, _) = statuses.iter().find(|(_, status)| **status == Status::Missing)?;
    let first = if node.grid.is_cut() {
        node.grid.interval_at(range.start)
    } else {
        range
    };
    let asked = checks(forecast, instance, first, &Context::default());
    let mut kept_by = asked.into_iter().filter(|check| check.says(forecast.now).keeps());
    kept_by.find_map(|check| {
        if let Check::Input { from, .. } = check {
            Some(from.node)
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use mulgil_core::{project::CodeFp, timeline::Timeline};

    use super::*;

    /// Tables by day over a year, one of which has as many pieces as it has hours.
    fn picture(tables: usize, hours: i64) -> Picture {
        let mut text = "begin 2026-01-01\nmodel hours by hour\n".to_owned();
        for n in 0..tables {
            let reads = if n == 0 {
                String::new()
            } else {
                format!(" reads t{}", n / 2)
            };
            let _ = writeln!(text, "model t{n} by day{}", if n < 2 { "" } else { &reads });
            let _ = writeln!(text, "filled t{n} 2026-01-01..2026-12-31");
        }
        let Timeline {
            project,
            mut state,
            now,
            ..
        } = Timeline::parse(&format!("{text}now 2027-01-01T00:00Z"));
        let own = state.nodes.entry(Instance::of("hours".into())).or_default();
        for hour in 0..hours {
            let start = Instant(now.0 - (hours - hour) * 3_600_000_000);
            let Some(range) = Interval::new(start, Instant(start.0 + 3_600_000_000)) else {
                continue;
            };
            // Each was filled by itself, and every thousandth is not there.
            if hour % 1_000 != 0 {
                own.filled.insert(range, CodeFp::default());
                own.made_at.insert(range, start);
            }
        }
        Picture {
            readers: Arc::new(readers(&project)),
            project: Arc::new(project),
            now,
            seq: 1,
            state: Arc::new(state),
            flows: Arc::default(),
            active: Arc::default(),
            live: 0,
            standings: BTreeMap::new(),
            catalog: Arc::default(),
            health: None,
            project_faults: Arc::default(),
            fault: None,
        }
    }

    #[test]
    fn what_stands_as_before_is_the_same_value() {
        let mut picture = picture(20, 2_000);
        picture.standings = standings(&picture);
        let days = picture.standing(&Instance::of("t3".into())).unwrap();
        assert_eq!(
            days.counts,
            [
                (Mark::Missing, 1),
                (Mark::Run(mulgil_core::run::RunState::Success), 364)
            ]
        );
        assert_eq!(picture.worst(&"t3".into()), Mark::Missing);
        let readers: Vec<&str> = picture.readers[&NodeName::new("t1")]
            .iter()
            .map(NodeName::as_str)
            .collect();
        assert_eq!(readers, ["t2", "t3"]);
        // An hour later the table by hours wants one more, and the others are as they were.
        picture.now = Instant(picture.now.0 + 3_600_000_000);
        let later = standings(&picture);
        let same = |name: &str| {
            let instance = Instance::of(name.into());
            Arc::ptr_eq(&picture.standings[&instance], &later[&instance])
        };
        assert!(same("t3") && !same("hours"));
    }

    #[test]
    fn five_hundred_tables_and_a_hundred_thousand_hours_are_worked_out_in_no_time() {
        let mut picture = picture(500, 100_000);
        let began = std::time::Instant::now();
        picture.standings = standings(&picture);
        let first = began.elapsed();
        let began = std::time::Instant::now();
        let again = standings(&picture);
        let second = began.elapsed();
        assert_eq!(again.len(), 501);
        let pieces: usize = again.values().map(|standing| standing.statuses.iter().count()).sum();
        // Ranges and not intervals: a table of a year is a handful, whatever it was filled by.
        assert!(pieces < 2_000, "{pieces} pieces");
        // Without optimization and beside other work; tens of milliseconds are what it takes in a server.
        assert!(second < Duration::from_secs(5), "{first:?}, then {second:?}");
        println!("worked out in {first:?}, again in {second:?}");
    }
}
