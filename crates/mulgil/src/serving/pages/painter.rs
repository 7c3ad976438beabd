//! Who keeps the picture fresh in memory, and tells what changes. Who makes a page takes an [`Arc`] of it and waits
//! for nobody.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use mulgil_core::{
    flow::name,
    name::{Instance, NodeName, Relation},
    port::Fault,
    project::Project,
};
use mulgil_server::{Control as _, HEALTH_TOPIC, HealthFacts};
use mulgil_store::{News, Store};
use tokio::sync::{broadcast, watch};

use super::{
    health::verdict,
    picture::{Catalog, Picture, Topics},
    standing::{Standing, standings},
};
use crate::{serving::control::Program, wire};

/// The pause between two refreshes, however much happens.
const AT_MOST_EVERY: Duration = Duration::from_millis(500);
/// How often it is refreshed where nothing is heard: the clock goes on, and other servers write.
const AT_LEAST_EVERY: Duration = Duration::from_secs(5);
/// Messages that one who listens may be behind.
const MESSAGES_KEPT: usize = 256;

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
                serial: 0,
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
            topics.insert(HEALTH_TOPIC.to_owned());
        }
        let faults = self.program.reload.as_ref().map(|reload| reload.faults());
        let faults = faults.unwrap_or_default();
        if faults != self.picture.project_faults {
            self.picture.project_faults = faults;
            topics.insert(HEALTH_TOPIC.to_owned());
        }
        if !topics.is_empty() {
            topics.insert("today".to_owned());
            self.picture.serial += 1;
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

#[cfg(test)]
mod tests {
    use mulgil_core::timeline::Timeline;

    use super::*;

    #[test]
    fn who_reads_a_table_is_known_by_the_table() {
        let text = "begin 2026-01-01\nmodel t1 by day\nmodel t2 by day reads t1\nmodel t3 by day reads t1\nnow 2026-01-02T00:00Z";
        let readers = readers(&Timeline::parse(text).project);
        let of_first: Vec<&str> = readers[&NodeName::new("t1")].iter().map(NodeName::as_str).collect();
        assert_eq!(of_first, ["t2", "t3"]);
        assert_eq!(readers.len(), 1);
    }
}
