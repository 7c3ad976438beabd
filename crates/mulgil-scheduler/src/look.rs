//! Looking at the world before deciding: sources' files, and tables that somebody else wrote.
//!
//! Looking and recording are two steps, so that a reading command can look and keep what it saw to
//! itself.

use std::collections::{BTreeMap, BTreeSet};

use mulgil_core::{
    diagnostic::Diagnostic,
    interval::Instant,
    name::{NodeName, Relation},
    port::{Engine, Fault, SourceSeen, TableLog},
    project::{Materialization, Node, Project, Source, Upstream},
};
use mulgil_store::{KnownTable, Store};

/// What the ledger knows of the world.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// What is recorded of each table's log.
    pub tables: BTreeMap<Relation, KnownTable>,
    /// The nodes whose filled intervals lie in another table than today's.
    pub moved: BTreeSet<NodeName>,
    /// Sources as they were seen.
    pub sources: BTreeMap<NodeName, SourceSeen>,
}

impl Known {
    /// What a ledger knows of a project's world.
    pub async fn load(project: &Project, store: &Store) -> Result<Self, Fault> {
        Ok(Self {
            tables: store.known_tables().await?,
            moved: store.moved(project).await?,
            sources: store.sources_seen().await?,
        })
    }
}

/// Something that the ledger does not know yet.
#[derive(Clone, Debug)]
pub enum News<'a> {
    /// A table has other commits, is gone, or is not the one that was filled.
    Table {
        /// Whose table.
        node: &'a Node,
        /// Its log; none when there is no table.
        log: Option<TableLog>,
    },
    /// A source's files came, changed or went.
    Source {
        /// Which.
        source: &'a Source,
        /// As it is now.
        seen: SourceSeen,
    },
}

/// What a look found.
#[derive(Clone, Debug, Default)]
pub struct Seen<'a> {
    /// What the ledger does not know yet.
    pub news: Vec<News<'a>>,
    /// Sources that could not be looked at. What is known of them stays, and only what reads them waits.
    pub faults: Vec<Diagnostic>,
}

/// What changed outside since the ledger was written. Reads only.
///
/// # Errors
/// When the machine fails; a source whose files are bad is among what was seen.
pub async fn gather<'a>(project: &'a Project, engine: &dyn Engine, known: &Known) -> Result<Seen<'a>, Fault> {
    let (mut news, mut faults) = (Vec::new(), Vec::new());
    for node in tables(project) {
        let has_moved = known.moved.contains(&node.name);
        let table = known.tables.get(&node.relation).cloned().unwrap_or_default();
        let mut log = engine.commits_after(&node.relation, table.version).await?;
        let is_other = has_moved || log.as_ref().is_some_and(|log| table.is_other(log));
        if is_other && table.version.is_some() {
            // Of a table that was not this node's, every commit counts.
            log = engine.commits_after(&node.relation, None).await?;
        }
        let is_new = match &log {
            Some(log) => table.version != Some(log.version) || log.gap,
            None => table.version.is_some(),
        };
        if is_new || is_other {
            news.push(News::Table { node, log });
        }
    }
    let read = sources_read(project);
    let nothing = SourceSeen::default();
    for source in project.sources.iter().filter(|source| read.contains(&source.name)) {
        let before = known.sources.get(&source.name);
        match engine.observe(source, before.unwrap_or(&nothing)).await {
            Ok(seen) if before == Some(&seen) => {}
            Ok(seen) => news.push(News::Source { source, seen }),
            // A source's own fault, of its place or of its data, and nobody else's.
            Err(fault) if matches!(fault.code.0 / 1000, 2 | 3) => faults.push(*fault),
            Err(fault) => return Err(fault),
        }
    }
    Ok(Seen { news, faults })
}

/// Records what was gathered: commits of ours are adopted, what others changed makes intervals stale.
pub async fn record(project: &Project, store: &Store, news: &[News<'_>], now: Instant) -> Result<(), Fault> {
    let mut tables = Vec::new();
    let mut sources = Vec::new();
    for one in news {
        match one {
            News::Table { node, log } => tables.push((*node, log.as_ref())),
            News::Source { source, seen } => sources.push((*source, seen)),
        }
    }
    // All tables together: what a commit has read may be another table's news.
    store.adopt_all(project, &tables, now).await?;
    for (source, seen) in sources {
        store.record_source(project, source, seen, now).await?;
    }
    Ok(())
}

fn tables(project: &Project) -> impl Iterator<Item = &Node> {
    project
        .nodes
        .iter()
        .filter(|node| node.materialization != Materialization::View)
}

/// The sources that any node reads; nobody needs the others to be there.
fn sources_read(project: &Project) -> BTreeSet<&NodeName> {
    let inputs = project.nodes.iter().flat_map(|node| &node.inputs);
    inputs
        .filter_map(|input| match &input.from {
            Upstream::Source(name) => Some(name),
            Upstream::Node(_) => None,
        })
        .collect()
}
