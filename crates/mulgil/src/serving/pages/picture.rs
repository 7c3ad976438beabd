//! The picture: the project and what the ledger says of it, as pages need them.
//!
//! It holds ranges alone, so that its size and the time of a refresh follow from how many tables there are and
//! how often they change their looks, not from how many intervals they have.

use std::{collections::BTreeMap, sync::Arc};

use mulgil_core::{
    diagnostic::Diagnostic,
    interval::{Instant, RangeSet},
    name::{Instance, NodeName, Relation},
    plan::Forecast,
    port::Fault,
    project::{Node, Project},
    state::{NodeState, State},
};
use mulgil_server::HealthFacts;
use mulgil_store::{RelationEntry, TableSize};
use mulgil_web::view::Mark;

use super::{names::gravity, standing::Standing};

/// Topics of one moment.
pub(super) type Topics = Arc<[String]>;

/// All that pages are made of and that changes seldom enough to be kept.
#[derive(Clone)]
pub(super) struct Picture {
    /// What is declared.
    pub(super) project: Arc<Project>,
    /// The moment for which it was made.
    pub(super) now: Instant,
    /// Another number after each change of what pages tell of.
    pub(super) serial: u64,
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
