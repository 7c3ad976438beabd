//! From models that were read to the nodes of a project: in order, cut by time, and with what they are made from.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mulgil_core::{
    diagnostic::{Diagnostic, Place},
    grid::Grid,
    interval::Instant,
    project::{Batch, DataTest, Materialization, Node, Upstream},
};

use super::Assembly;
use crate::{batching, catalog::Model, check, config::Kind, fingerprint::Canonical, graph};

impl Assembly<'_> {
    /// Puts upstream first, and looks through views.
    pub(super) fn sort(&mut self, faults: &mut Vec<Diagnostic>) {
        let dependencies: Vec<Vec<usize>> = self
            .catalog
            .models
            .iter()
            .map(|model| {
                let reads = model.reads.iter().map(|read| &read.from);
                let indexes: BTreeSet<usize> = reads
                    .chain(&model.hook_reads)
                    .filter_map(|from| match from {
                        Upstream::Node(name) => self.catalog.by_name.get(name).copied(),
                        Upstream::Source(_) => None,
                    })
                    .collect();
                indexes.into_iter().collect()
            })
            .collect();
        let order = graph::order(&dependencies);
        for circle in &order.circles {
            faults.push(check::cycle_fault(&self.catalog, &self.templates, circle));
        }
        let mut unsorted: Vec<Option<Model>> = std::mem::take(&mut self.catalog.models).into_iter().map(Some).collect();
        self.catalog.by_name = HashMap::with_capacity(order.sorted.len());
        for index in order.sorted {
            let Some(mut model) = unsorted[index].take() else {
                continue;
            };
            model.bases = self.catalog.bases_of(&model);
            model.reads_broken |= model.reads.iter().any(|read| match &read.from {
                Upstream::Node(name) => self.catalog.model(name).is_some_and(|upstream| upstream.reads_broken),
                Upstream::Source(_) => false,
            });
            self.catalog
                .by_name
                .insert(model.name.clone(), self.catalog.models.len());
            self.catalog.models.push(model);
        }
        self.known
            .broken
            .extend(unsorted.into_iter().flatten().map(|model| model.name));
    }

    /// Gives each model by interval its `begin` and `end`, upstream first.
    pub(super) fn cut_time(&mut self, faults: &mut Vec<Diagnostic>) {
        for index in 0..self.catalog.models.len() {
            let model = &self.catalog.models[index];
            check::reading(model, &self.catalog, faults);
            if model.config.kind != Kind::Interval {
                continue;
            }
            let begin = model.config.begin.as_ref().map(|(begin, _)| *begin);
            let end = model.config.end.as_ref().map(|(end, _)| *end);
            let (latest, earliest) = self.extent_of_inputs(model);
            let grid = Grid {
                begin: begin.or_else(|| latest.map(|begin| model.grid.floor(begin))),
                end: end.or_else(|| earliest.map(|end| model.grid.ceil(end))),
                ..model.grid.clone()
            };
            check::grid(model, &grid, faults);
            self.catalog.models[index].grid = grid;
        }
    }

    /// The latest begin and the earliest end among the inputs by interval.
    fn extent_of_inputs(&self, model: &Model) -> (Option<Instant>, Option<Instant>) {
        let upstreams = || {
            model
                .bases
                .iter()
                .filter(|base| !base.unscoped)
                .filter_map(|base| match &base.from {
                    Upstream::Node(name) => self.catalog.model(name),
                    Upstream::Source(_) => None,
                })
        };
        (
            upstreams().filter_map(|upstream| upstream.grid.begin).max(),
            upstreams().filter_map(|upstream| upstream.grid.end).min(),
        )
    }

    pub(super) fn nodes(&mut self, faults: &mut Vec<Diagnostic>) -> Vec<Node> {
        let mut canonical = Canonical::default();
        let mut test_names: BTreeMap<String, Place> = BTreeMap::new();
        let mut nodes = Vec::with_capacity(self.catalog.models.len());
        let batches = batching::batches(&self.catalog);
        for (model, batch) in self.catalog.models.iter().zip(batches) {
            let fingerprint = canonical.fingerprint(model, &self.catalog);
            let group = match model.config.kind {
                Kind::Seed => &mut self.properties.seeds,
                Kind::Snapshot => &mut self.properties.snapshots,
                Kind::Table | Kind::View | Kind::Ephemeral | Kind::Interval | Kind::Incremental => {
                    &mut self.properties.models
                }
            };
            let described = group.remove(model.name.as_str());
            let (tests, columns) = described.map(|one| (one.tests, one.columns)).unwrap_or_default();
            let own = self.own_tests.remove(&model.name).unwrap_or_default();
            let tests: Vec<DataTest> = tests.into_iter().map(|test| test.declared).chain(own).collect();
            check::tests(
                &tests,
                model,
                &self.known,
                &mut test_names,
                self.manifest.dialect,
                faults,
            );
            let materialization = match model.config.kind {
                Kind::Table => Materialization::Table,
                Kind::View => Materialization::View,
                Kind::Interval => Materialization::Interval,
                Kind::Incremental => Materialization::Incremental,
                Kind::Snapshot => Materialization::Snapshot,
                Kind::Seed => Materialization::Seed,
                Kind::Ephemeral => continue,
            };
            nodes.push(Node {
                reads: self.catalog.reads_of(model),
                inputs: self.catalog.inputs_of(model),
                fingerprint,
                batch,
                ..node(model, materialization, tests, columns)
            });
        }
        nodes
    }
}

/// What a node has straight from its configuration.
fn node(
    model: &Model,
    materialization: Materialization,
    tests: Vec<DataTest>,
    columns: BTreeMap<String, String>,
) -> Node {
    let config = &model.config;
    Node {
        name: model.name.clone(),
        materialization,
        relation: model.relation.clone(),
        grid: model.grid.clone(),
        event_time: config.event_time.clone(),
        incremental: config.incremental.clone(),
        keys: config.keys.clone(),
        reads: Vec::new(),
        inputs: Vec::new(),
        fingerprint: mulgil_core::project::CodeFp::default(),
        batch: Batch::AtMost(1),
        schedule: config.schedule.as_ref().map(|(schedule, _)| schedule.clone()),
        missed: config.missed,
        lookback: config.lookback,
        settle_us: config.settle_us,
        partial: config.partial,
        tests,
        publish: config.publish,
        tags: config.tags.clone(),
        description: config.description.clone(),
        columns,
        owner: config.owner.clone(),
        file: model.file.clone(),
    }
}
