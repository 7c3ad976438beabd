//! Data tests that the project writes as queries: files under `tests/`, and uses of its own test
//! macros. Each is rendered and resolved like a model that nothing reads.

use std::{collections::BTreeSet, path::PathBuf};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place},
    grid::{Grid, Zone},
    name::{NodeName, Relation},
    project::{DataTest, Fingerprint, TestKind, Upstream},
};
use serde_json::Value as Json;

use crate::{
    catalog::{Catalog, Model},
    check,
    config::{self, Kind, Layer, Setting},
    dialect::no_effect,
    mentions::{self, Known},
    rendering::Rendering,
    sql,
    template::{Facts, Templates},
};

/// What test queries are looked at with.
#[derive(Clone, Copy)]
pub(crate) struct Queries<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) known: &'a Known,
    pub(crate) templates: &'a Templates,
}

impl Queries<'_> {
    /// A test's query, resolved; nothing where it is broken, which is told. `place` is where it is
    /// declared, for a text that is in no file.
    pub(crate) fn query(
        &self,
        name: &str,
        file: PathBuf,
        place: Option<&Place>,
        faults: &mut Vec<Diagnostic>,
    ) -> Option<Model> {
        let mut found = Vec::new();
        let query = self.resolved(name, file, &mut found);
        let is_broken = !found.is_empty();
        faults.extend(found.into_iter().map(|fault| match place {
            Some(declared) if fault.place.as_ref().is_none_or(is_inline) => fault.at(declared.clone()),
            _ => fault,
        }));
        query.filter(|query| !is_broken && !query.reads_broken)
    }

    fn resolved(&self, name: &str, file: PathBuf, faults: &mut Vec<Diagnostic>) -> Option<Model> {
        let facts = Facts::sentinels(name, false);
        let rendered = self
            .templates
            .render(&file, &facts)
            .map_err(|fault| faults.push(fault))
            .ok()?;
        let mut query = unresolved(name, file, Rendering::plain(facts, rendered));
        let (reads, reads_broken) = mentions::resolve_one(&query, self.catalog, self.known, self.templates, faults);
        query.reads = reads;
        query.reads_broken = reads_broken;
        query.bases = self.catalog.bases_of(&query);
        faults.extend(check::sql_of(&query, self.templates));
        Some(query)
    }

    /// The nodes whose rows a query looks at, upstream first; ephemeral models are looked through.
    pub(crate) fn nodes(&self, query: &Model) -> Vec<NodeName> {
        let direct = query.reads.iter().map(|read| &read.from);
        let through = query.bases.iter().map(|base| &base.from);
        let indexes: BTreeSet<usize> = direct
            .chain(through)
            .filter_map(|from| match from {
                Upstream::Node(name) => self.catalog.by_name.get(name).copied(),
                Upstream::Source(_) => None,
            })
            .filter(|index| self.catalog.models[*index].config.kind != Kind::Ephemeral)
            .collect();
        indexes
            .into_iter()
            .map(|index| self.catalog.models[index].name.clone())
            .collect()
    }

    /// The node that a test of a file belongs to: the last one that it looks at, since then all of
    /// them are filled. Nothing, with a warning, where it looks at none.
    pub(crate) fn owner(&self, query: &Model, faults: &mut Vec<Diagnostic>) -> Option<(NodeName, Vec<NodeName>)> {
        let mut nodes = self.nodes(query);
        // What a view reads is looked at through the view.
        let direct = |name: &NodeName| {
            let mut reads = query.reads.iter();
            reads.any(|read| matches!(&read.from, Upstream::Node(own) if own == name))
        };
        if nodes.iter().any(direct) && !self.reads_ephemeral(query) {
            nodes.retain(direct);
        }
        let owner = nodes.pop();
        if owner.is_none() {
            let fault = no_effect(&format!(
                "the data test `{}`, which looks at no model and no seed,",
                query.name
            ));
            faults.push(
                fault
                    .at(Place::file(&query.file))
                    .with_remedy("test a model that reads the same"),
            );
        }
        Some((owner?, nodes))
    }

    fn reads_ephemeral(&self, query: &Model) -> bool {
        query.reads.iter().any(|read| match &read.from {
            Upstream::Node(name) => self
                .catalog
                .model(name)
                .is_some_and(|model| model.config.kind == Kind::Ephemeral),
            Upstream::Source(_) => false,
        })
    }
}

/// The test as it is declared, with what its query asserts.
pub(crate) fn asserting(test: DataTest, query: &Model, reads: Vec<NodeName>) -> DataTest {
    let canonical = sql::canonical(&query.first.rendered.sql);
    let parts = [test.fingerprint.to_string(), canonical];
    DataTest {
        kind: TestKind::Query { reads },
        fingerprint: Fingerprint::of(parts.iter().map(String::as_bytes)),
        ..test
    }
}

/// The name under which the text of a declared test is kept among the files.
pub(crate) fn inline(place: &Place, name: &str) -> PathBuf {
    PathBuf::from(format!("{}#{name}", place.file.display()))
}

fn is_inline(place: &Place) -> bool {
    place.file.to_string_lossy().contains('#')
}

/// A text that is rendered and resolved like a model, and that nothing reads.
pub(crate) fn unresolved(name: &str, file: PathBuf, first: Rendering) -> Model {
    let ephemeral = Setting {
        value: Json::from("ephemeral"),
        place: Place::file(&file),
    };
    let layer = Layer::from([("materialized".to_owned(), ephemeral)]);
    Model {
        name: NodeName::new(name),
        noun: "data test",
        config: config::model(&layer, &Zone::UTC, &Layer::new(), &mut Vec::new()),
        relation: Relation {
            schema: "__test".to_owned(),
            name: name.to_owned(),
        },
        grid: Grid::whole(Zone::UTC),
        file,
        first,
        others: Vec::new(),
        branches: None,
        reads: Vec::new(),
        hook_reads: Vec::new(),
        bases: Vec::new(),
        reads_broken: false,
        seed: None,
    }
}

/// A fault of a test's own text, where there is no better place.
pub(crate) fn at_declaration(fault: Diagnostic, place: &Place) -> Diagnostic {
    let fault = fault.at(place.clone());
    Diagnostic {
        code: codes::BAD_DATA_TEST,
        ..fault
    }
}
