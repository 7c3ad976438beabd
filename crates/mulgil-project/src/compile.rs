//! The queries of a loaded project: SQL rendered for an interval, with what its names mean. Pure:
//! the files that a source has are told, nothing is looked at.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    grid::{Grid, Unit},
    interval::Interval,
    mapping::Mapping,
    name::{Instance, Key, NodeName},
    port::{Fault, SourceSeen},
    project::{Batch, DataTest, FileFormat, FilePattern, Source, TestKind, Upstream},
    task::{Binding, BoundTest, FileSeen, FillQuery, Reads},
};

use crate::{
    catalog::{Base, Catalog, Model, SeedFile},
    config::Kind,
    sql::{self, Names, Scoping},
    template::{Facts, Mention, Rendered, RunFacts, Templates, UNSCOPED},
};

/// Renders the queries of a project. Cheap to clone, and shared between threads.
#[derive(Clone)]
pub struct Compiler {
    inner: Arc<Inner>,
    run: Option<RunFacts>,
}

/// What a compiler holds.
pub(crate) struct Inner {
    pub(crate) templates: Templates,
    pub(crate) catalog: Catalog,
    pub(crate) batches: HashMap<NodeName, Batch>,
}

impl fmt::Debug for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiler").finish_non_exhaustive()
    }
}

/// The files of each source, as they were last seen.
type Seen = BTreeMap<NodeName, SourceSeen>;

impl Compiler {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        Self { inner, run: None }
    }

    /// The same compiler for one run: `run_started_at` and `invocation_id` have values then.
    #[must_use]
    pub fn for_run(&self, run: RunFacts) -> Self {
        Self {
            inner: self.inner.clone(),
            run: Some(run),
        }
    }

    /// The queries of a fill, in the order of time: one for the whole range, or one for each batch
    /// of intervals that may be filled together. `seen` is what the ledger knows of sources.
    pub fn fill_queries(
        &self,
        instance: &Instance,
        range: Interval,
        is_incremental: bool,
        seen: &Seen,
    ) -> Result<Vec<FillQuery>, Fault> {
        let model = self.model(&instance.node)?;
        if let Some(seed) = &model.seed {
            return Ok(vec![seed_query(model, seed, range)]);
        }
        self.parts(model, range)
            .into_iter()
            .map(|part| {
                let rendered = self.render(model, &instance.key, part, is_incremental)?;
                let reader = Reader {
                    catalog: &self.inner.catalog,
                    model,
                    key: &instance.key,
                    range: Some(part),
                    seen,
                };
                Ok(FillQuery {
                    range: part,
                    bindings: reader.bindings(&rendered.mentions, None, false),
                    sql: rendered.sql,
                })
            })
            .collect()
    }

    /// What the names in a person's query mean: every node that exists by its name and by
    /// `schema.name`, and every source as `"group"."table"`.
    pub fn query_bindings(&self, exists: &dyn Fn(&NodeName) -> bool, seen: &Seen) -> Vec<Binding> {
        let catalog = &self.inner.catalog;
        let mut bindings = Vec::new();
        let stored = catalog.models.iter().filter(|model| model.config.kind != Kind::Ephemeral);
        for model in stored.filter(|model| exists(&model.name)) {
            let reads = self.whole(model, seen);
            bindings.push(Binding {
                schema: Some(model.relation.schema.clone()),
                name: model.relation.name.clone(),
                reads: reads.clone(),
            });
            bindings.push(Binding {
                schema: None,
                name: model.name.to_string(),
                reads,
            });
        }
        bindings.extend(catalog.sources.values().map(|source| source_binding(source, None, seen)));
        bindings
    }

    /// A data test's query, over the whole relation: the rows that it returns are failures.
    pub fn bound_test(&self, node: &NodeName, test: &DataTest) -> Result<BoundTest, Fault> {
        let model = self.model(node)?;
        let seen = Seen::new();
        let mut bindings = vec![Binding {
            schema: None,
            name: node.to_string(),
            reads: self.whole(model, &seen),
        }];
        if let TestKind::Relationships { to, .. } = &test.kind
            && to != node
        {
            bindings.push(Binding {
                schema: None,
                name: to.to_string(),
                reads: self.whole(self.model(to)?, &seen),
            });
        }
        Ok(BoundTest {
            test: test.clone(),
            sql: test_sql(node, &test.kind),
            bindings,
        })
    }

    /// A model's SQL as it was written.
    pub fn written(&self, node: &NodeName) -> Result<String, Fault> {
        let model = self.model(node)?;
        Ok(self.inner.templates.source(&model.file).unwrap_or_default())
    }

    /// A model's SQL as it is rendered for a range, as on a table that has rows already.
    pub fn rendered(&self, instance: &Instance, range: Interval) -> Result<String, Fault> {
        let model = self.model(&instance.node)?;
        if let Some(seed) = &model.seed {
            return Ok(seed_query(model, seed, range).sql);
        }
        let is_incremental = model.config.kind == Kind::Interval;
        Ok(self.render(model, &instance.key, range, is_incremental)?.sql)
    }

    fn model(&self, name: &NodeName) -> Result<&Model, Fault> {
        self.inner.catalog.model(name).ok_or_else(|| {
            Box::new(
                Diagnostic::error(codes::NOT_FOUND, format!("the project has no model or seed `{name}`"))
                    .with_remedy("look at `mulgil nodes ls` for the names"),
            )
        })
    }

    /// The range in parts that one query each may fill.
    fn parts(&self, model: &Model, range: Interval) -> Vec<Interval> {
        match self.inner.batches.get(&model.name) {
            Some(Batch::AtMost(count)) if model.grid.is_cut() => {
                let intervals: Vec<Interval> = model.grid.intervals(range).collect();
                intervals
                    .chunks((*count).max(1) as usize)
                    .map(|chunk| Interval {
                        start: chunk[0].start,
                        end: chunk[chunk.len() - 1].end,
                    })
                    .collect()
            }
            Some(Batch::AtMost(_) | Batch::Unbounded) | None => vec![range],
        }
    }

    fn render(&self, model: &Model, key: &Key, range: Interval, is_incremental: bool) -> Result<Rendered, Fault> {
        let facts = Facts {
            model: model.name.to_string(),
            this: format!("\"{}\".\"{}\"", model.relation.schema, model.relation.name),
            zone: model.grid.zone.clone(),
            interval: range,
            is_incremental: is_incremental && model.config.kind == Kind::Interval,
            key: Some(key.clone()),
            run: self.run.clone(),
            sentinels: false,
        };
        self.inner.templates.render(&model.file, &facts).map_err(Box::new)
    }

    /// A relation as a whole: a table without a scope, a view as its query.
    fn whole(&self, model: &Model, seen: &Seen) -> Reads {
        let reader = Reader {
            catalog: &self.inner.catalog,
            model,
            key: &Key::default(),
            range: None,
            seen,
        };
        reader.node(model, None, true)
    }
}

/// One reading of the catalog: who reads, for which part of time.
struct Reader<'a> {
    catalog: &'a Catalog,
    model: &'a Model,
    key: &'a Key,
    /// Absent: everything is read.
    range: Option<Interval>,
    seen: &'a Seen,
}

impl Reader<'_> {
    /// What the names among the mentions mean. `via` is the name by which the reader's own SQL
    /// reaches them, where these are a view's.
    fn bindings(&self, mentions: &[Mention], via: Option<&NodeName>, unscoped: bool) -> Vec<Binding> {
        let mut told = BTreeSet::new();
        let mut bindings = Vec::new();
        for mention in mentions {
            let binding = match mention {
                Mention::Ref { name, unscoped: own, .. } => self.reference(name, via, unscoped, *own),
                Mention::Source { group, table, unscoped: own } => self.source(group, table, via, unscoped, *own),
                Mention::This if via.is_none() => Some(self.this()),
                Mention::This
                | Mention::Config(_)
                | Mention::Key(_)
                | Mention::Interval(_)
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

    fn node(&self, upstream: &Model, via: Option<&NodeName>, unscoped: bool) -> Reads {
        if upstream.config.kind.is_query() {
            let via = via.unwrap_or(&upstream.name);
            return Reads::Query {
                sql: upstream.first.sql.clone(),
                bindings: self.bindings(&upstream.first.mentions, Some(via), unscoped),
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
            scope: self.scope(&base, has_time).map(|scope| around(&upstream.grid, &self.model.grid, scope)),
            key: self.shared_key(upstream),
        }
    }

    fn source(
        &self,
        group: &str,
        table: &str,
        via: Option<&NodeName>,
        unscoped: bool,
        own: bool,
    ) -> Option<Binding> {
        let name = NodeName::new(format!("{group}.{table}"));
        let source = self.catalog.sources.get(&name)?;
        let from = Upstream::Source(name.clone());
        let has_time = self.catalog.has_intervals(&from);
        let base = Base {
            from,
            unscoped: unscoped || own,
            via: via.unwrap_or(&name).clone(),
        };
        let scope = self.scope(&base, has_time).map(|scope| around(&source.grid, &self.model.grid, scope));
        let mut binding = source_binding(source, scope, self.seen);
        if own {
            binding.schema = Some(UNSCOPED.to_owned());
            binding.name = name.to_string();
        }
        Some(binding)
    }

    /// The time that is read of something that has times; nothing for all of it.
    fn scope(&self, base: &Base, has_time: bool) -> Option<Interval> {
        let range = self.range.filter(|_| has_time && !base.unscoped && self.model.grid.is_cut())?;
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

fn source_binding(source: &Source, scope: Option<Interval>, seen: &Seen) -> Binding {
    let (group, table) = source.name.as_str().split_once('.').unwrap_or(("", source.name.as_str()));
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
            files: seen.map(|seen| seen.files.iter().filter(in_scope).cloned().collect()).unwrap_or_default(),
        },
    }
}

/// A seed is filled from its file, which is read as a source of that one file.
fn seed_query(model: &Model, seed: &SeedFile, range: Interval) -> FillQuery {
    let source = Source {
        name: model.name.clone(),
        files: FilePattern::Single(model.file.clone()),
        format: FileFormat::Csv {
            delimiter: ',',
            null_words: Vec::new(),
        },
        grid: Grid::whole(model.grid.zone.clone()),
        event_time: None,
        zone: model.config.zone.clone(),
        columns: BTreeMap::new(),
        description: None,
        place: mulgil_core::diagnostic::Place::file(&model.file),
    };
    FillQuery {
        range,
        sql: format!("select * from \"{}\"", model.name),
        bindings: vec![Binding {
            schema: None,
            name: model.name.to_string(),
            reads: Reads::Source {
                source,
                columns: Vec::new(),
                scope: None,
                files: vec![FileSeen {
                    path: model.file.clone(),
                    size: seed.size,
                    modified_ns: seed.modified_ns,
                    content: seed.content.to_string(),
                    interval: None,
                }],
            },
        }],
    }
}

fn test_sql(node: &NodeName, kind: &TestKind) -> String {
    match kind {
        TestKind::NotNull { column } => {
            let column = quoted(column);
            format!("select * from \"{node}\" where {column} is null")
        }
        TestKind::Unique { column } => {
            let column = quoted(column);
            format!(
                "select {column}, count(*) as row_count from \"{node}\" where {column} is not null group by {column} having count(*) > 1"
            )
        }
        TestKind::AcceptedValues { column, values, quote } => {
            let column = quoted(column);
            let values: Vec<String> = values
                .iter()
                .map(|value| if *quote { format!("'{}'", value.replace('\'', "''")) } else { value.clone() })
                .collect();
            format!(
                "select {column}, count(*) as row_count from \"{node}\" where {column} not in ({}) group by {column}",
                values.join(", ")
            )
        }
        TestKind::Relationships { column, to, field } => {
            let (column, field) = (quoted(column), quoted(field));
            format!(
                "select child.* from \"{node}\" as child left join (select distinct {field} as parent_key from \"{to}\") as parent \
                 on child.{column} = parent.parent_key where child.{column} is not null and parent.parent_key is null"
            )
        }
    }
}

fn quoted(column: &str) -> String {
    format!("\"{}\"", column.replace('"', "\"\""))
}

/// How many neighbouring intervals one query of each model may fill, in the catalog's order.
pub(crate) fn batches(catalog: &Catalog) -> Vec<Batch> {
    catalog.models.iter().map(|model| batch(model, catalog)).collect()
}

fn batch(model: &Model, catalog: &Catalog) -> Batch {
    let names_time = model.mentions(|mention| matches!(mention, Mention::Interval(_)));
    match model.config.kind {
        Kind::Table | Kind::View | Kind::Ephemeral | Kind::Seed => Batch::AtMost(1),
        Kind::Interval if names_time => Batch::AtMost(1),
        Kind::Interval => match model.config.batch {
            Some(count) => Batch::AtMost(count),
            None if infers_many(model, catalog) => Batch::Unbounded,
            None => Batch::AtMost(1),
        },
    }
}

fn infers_many(model: &Model, catalog: &Catalog) -> bool {
    if model.mentions(|mention| *mention == Mention::This) {
        return false;
    }
    let unit = match &model.grid.cut {
        mulgil_core::grid::Cut::Unit(unit) => Some(*unit),
        mulgil_core::grid::Cut::Whole | mulgil_core::grid::Cut::Cron(_) => None,
    };
    model.renderings().all(|(_, rendered)| {
        let names = names(model, catalog, &rendered.mentions, None, false);
        sql::parse(&rendered.sql)
            .is_ok_and(|query| sql::fills_many(&query, &names, model.config.event_time.as_deref(), unit))
    })
}

fn names(reader: &Model, catalog: &Catalog, mentions: &[Mention], via: Option<&NodeName>, unscoped: bool) -> Names {
    let mut names = Names::new();
    for mention in mentions {
        match mention {
            Mention::Ref { name, unscoped: own, .. } => {
                let Some(upstream) = catalog.model(&NodeName::new(name)) else {
                    continue;
                };
                let schema = own.then(|| UNSCOPED.to_owned());
                let scoping = scoping_of_model(reader, catalog, upstream, via, unscoped || *own);
                names.insert((schema, name.clone()), scoping);
            }
            Mention::Source { group, table, unscoped: own } => {
                let name = NodeName::new(format!("{group}.{table}"));
                let base = Base {
                    via: via.unwrap_or(&name).clone(),
                    from: Upstream::Source(name.clone()),
                    unscoped: unscoped || *own,
                };
                let scoping = scoping_of_source(reader, catalog, &base);
                let key = if *own {
                    (Some(UNSCOPED.to_owned()), name.to_string())
                } else {
                    (Some(group.clone()), table.clone())
                };
                names.insert(key, scoping);
            }
            Mention::Config(_)
            | Mention::This
            | Mention::Key(_)
            | Mention::Interval(_)
            | Mention::MissingVar(_)
            | Mention::MissingEnvVar(_) => {}
        }
    }
    names
}

fn scoping_of_model(
    reader: &Model,
    catalog: &Catalog,
    upstream: &Model,
    via: Option<&NodeName>,
    unscoped: bool,
) -> Scoping {
    let via = via.unwrap_or(&upstream.name);
    if upstream.config.kind.is_query() {
        let names = names(reader, catalog, &upstream.first.mentions, Some(via), unscoped);
        return match sql::parse(&upstream.first.sql) {
            Ok(query) => Scoping::Query(Box::new(query), names),
            Err(_) => Scoping::Mixed,
        };
    }
    let base = Base {
        from: Upstream::Node(upstream.name.clone()),
        unscoped,
        via: via.clone(),
    };
    let event_time = upstream.config.event_time.clone();
    match catalog.mapping(&reader.config, &base) {
        Mapping::Whole { .. } if unscoped || event_time.is_none() => Scoping::Static,
        // Read as a whole by the plan, and filtered by its event time in the query.
        Mapping::Whole { .. } => Scoping::Interval { event_time },
        Mapping::Overlap if nests(&upstream.grid, &reader.grid) => Scoping::Interval { event_time },
        Mapping::Overlap | Mapping::Window { .. } => Scoping::Mixed,
    }
}

fn scoping_of_source(reader: &Model, catalog: &Catalog, base: &Base) -> Scoping {
    let Some(source) = catalog.sources.get(base.from.name()) else {
        return Scoping::Mixed;
    };
    match catalog.mapping(&reader.config, base) {
        Mapping::Whole { .. } => Scoping::Static,
        Mapping::Overlap if !source.grid.is_cut() || nests(&source.grid, &reader.grid) => Scoping::Interval {
            event_time: source.event_time.clone(),
        },
        Mapping::Overlap | Mapping::Window { .. } => Scoping::Mixed,
    }
}

/// Whether each interval of the upstream lies inside one of the reader.
fn nests(upstream: &Grid, reader: &Grid) -> bool {
    use mulgil_core::grid::Cut;
    if upstream.same_cuts(reader) {
        return true;
    }
    match (&upstream.cut, &reader.cut) {
        (Cut::Unit(Unit::Week), _) => false,
        (Cut::Unit(inner), Cut::Unit(outer)) => inner < outer && upstream.zone == reader.zone,
        (Cut::Whole | Cut::Cron(_), _) | (_, Cut::Whole | Cut::Cron(_)) => false,
    }
}
