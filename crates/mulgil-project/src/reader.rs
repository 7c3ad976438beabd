//! What the names in a model's SQL mean for one reading of it: which part of time, of which tables
//! and files.

use std::collections::{BTreeMap, BTreeSet};

use mulgil_core::{
    grid::Grid,
    interval::Interval,
    mapping::Mapping,
    name::{Key, NodeName},
    port::SourceSeen,
    project::{Source, Upstream},
    publish::ReadVersion,
    task::{Binding, FileSeen, Reads},
};

use crate::{
    catalog::{Base, Catalog, Model},
    template::{Mention, UNSCOPED},
};

/// The files of each source, as they were last seen.
pub(crate) type Seen = BTreeMap<NodeName, SourceSeen>;

/// One reading of the catalog: who reads, for which part of time.
pub(crate) struct Reader<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) model: &'a Model,
    pub(crate) key: &'a Key,
    /// Absent: everything is read.
    pub(crate) range: Option<Interval>,
    pub(crate) seen: &'a Seen,
}

impl Reader<'_> {
    /// What the names among the mentions mean. `via` is the name by which the reader's own SQL
    /// reaches them, where these are a view's.
    pub(crate) fn bindings(&self, mentions: &[Mention], via: Option<&NodeName>, unscoped: bool) -> Vec<Binding> {
        let mut told = BTreeSet::new();
        let mut bindings = Vec::new();
        for mention in mentions {
            let binding = match mention {
                Mention::Ref {
                    name, unscoped: own, ..
                } => self.reference(name, via, unscoped, *own),
                Mention::Source {
                    group,
                    table,
                    unscoped: own,
                } => self.source(group, table, via, unscoped, *own),
                Mention::This if via.is_none() => Some(self.this()),
                Mention::This
                | Mention::Config(_)
                | Mention::Key(_)
                | Mention::Interval(_)
                | Mention::Param(_)
                | Mention::Step(_)
                | Mention::MissingVar(_)
                | Mention::MissingEnvVar(_) => None,
            };
            bindings.extend(binding.filter(|binding| told.insert((binding.schema.clone(), binding.name.clone()))));
        }
        bindings
    }

    fn reference(&self, name: &str, via: Option<&NodeName>, unscoped: bool, own: bool) -> Option<Binding> {
        let upstream = self.catalog.model(&NodeName::new(name))?;
        let via = via.unwrap_or(&upstream.name);
        Some(Binding {
            schema: own.then(|| UNSCOPED.to_owned()),
            name: name.to_owned(),
            reads: self.node(upstream, Some(via), unscoped || own),
        })
    }

    pub(crate) fn node(&self, upstream: &Model, via: Option<&NodeName>, unscoped: bool) -> Reads {
        if upstream.config.kind.is_query() {
            let via = via.unwrap_or(&upstream.name);
            return Reads::Query {
                sql: upstream.first.rendered.sql.clone(),
                bindings: self.bindings(&upstream.first.rendered.mentions, Some(via), unscoped),
            };
        }
        let base = Base {
            from: Upstream::Node(upstream.name.clone()),
            unscoped,
            via: via.unwrap_or(&upstream.name).clone(),
        };
        let has_time = upstream.grid.is_cut() || upstream.config.event_time.is_some();
        Reads::Table {
            relation: upstream.relation.clone(),
            grid: upstream.grid.clone(),
            event_time: upstream.config.event_time.clone(),
            scope: self
                .scope(&base, has_time)
                .map(|scope| around(&upstream.grid, &self.model.grid, scope)),
            key: self.shared_key(upstream),
            version: ReadVersion::Newest,
        }
    }

    fn source(&self, group: &str, table: &str, via: Option<&NodeName>, unscoped: bool, own: bool) -> Option<Binding> {
        let name = NodeName::new(format!("{group}.{table}"));
        let source = self.catalog.sources.get(&name)?;
        let from = Upstream::Source(name.clone());
        let has_time = self.catalog.has_intervals(&from);
        let base = Base {
            from,
            unscoped: unscoped || own,
            via: via.unwrap_or(&name).clone(),
        };
        // Files are chosen that overlap it; it says exactly which time is meant, so that rows of a
        // file with a longer interval can be told apart by their event time.
        let scope = self.scope(&base, has_time);
        let mut binding = source_binding(source, scope, self.seen);
        if own {
            binding.schema = Some(UNSCOPED.to_owned());
            binding.name = name.to_string();
        }
        Some(binding)
    }

    /// The time that is read of something that has times; nothing for all of it.
    fn scope(&self, base: &Base, has_time: bool) -> Option<Interval> {
        let range = self
            .range
            .filter(|_| has_time && !base.unscoped && self.model.grid.is_cut())?;
        // A table without a grid but with an event time is read as a whole by the plan, and
        // filtered like the others by the query.
        let mapping = match self.catalog.mapping(&self.model.config, base) {
            Mapping::Whole { .. } => Mapping::Overlap,
            mapping @ (Mapping::Overlap | Mapping::Window { .. }) => mapping,
        };
        mapping.reads(&self.model.grid, range)
    }

    fn shared_key(&self, upstream: &Model) -> Key {
        Key(self
            .key
            .0
            .iter()
            .filter(|(column, _)| upstream.config.keys.iter().any(|key| key.name == **column))
            .map(|(column, value)| (column.clone(), value.clone()))
            .collect())
    }

    fn this(&self) -> Binding {
        let relation = self.model.relation.clone();
        Binding {
            schema: Some(relation.schema.clone()),
            name: relation.name.clone(),
            reads: Reads::Table {
                relation,
                grid: self.model.grid.clone(),
                event_time: self.model.config.event_time.clone(),
                scope: None,
                key: self.key.clone(),
                version: ReadVersion::Newest,
            },
        }
    }
}

/// What is read of an upstream with longer intervals: the ones around.
fn around(upstream: &Grid, reader: &Grid, scope: Interval) -> Interval {
    if !is_coarser(upstream, reader, scope) {
        return scope;
    }
    upstream.snap_out(scope)
}

fn is_coarser(upstream: &Grid, reader: &Grid, scope: Interval) -> bool {
    if !upstream.is_cut() || upstream.same_cuts(reader) {
        return false;
    }
    let own = reader.interval_at(scope.start);
    let other = upstream.interval_at(scope.start);
    other != own && other.contains(own)
}

pub(crate) fn source_binding(source: &Source, scope: Option<Interval>, seen: &Seen) -> Binding {
    let (group, table) = source
        .name
        .as_str()
        .split_once('.')
        .unwrap_or(("", source.name.as_str()));
    let seen = seen.get(&source.name);
    let in_scope = |file: &&FileSeen| match (file.interval, scope) {
        (Some(interval), Some(scope)) => interval.overlaps(scope),
        (None, _) | (_, None) => true,
    };
    Binding {
        schema: Some(group.to_owned()),
        name: table.to_owned(),
        reads: Reads::Source {
            source: source.clone(),
            columns: seen.map(|seen| seen.columns.clone()).unwrap_or_default(),
            scope,
            files: seen
                .map(|seen| seen.files.iter().filter(in_scope).cloned().collect())
                .unwrap_or_default(),
        },
    }
}
