//! What the names in a query mean: the catalog that one session gives to the planner. Each name
//! becomes a table when SQL first uses it, at the version that the whole statement reads.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::ControlFlow,
    sync::Arc,
};

use async_trait::async_trait;
use datafusion::{
    catalog::{CatalogProvider, SchemaProvider, TableProvider},
    common::{DataFusionError, TableReference},
    datasource::ViewTable,
    execution::SessionState,
    logical_expr::TableType,
    sql::{
        parser::Statement as DfStatement,
        sqlparser::ast::{ObjectName, Spanned as _, visit_relations},
    },
};
use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place, Retry},
    grid::{Grid, Zone},
    name::{Key, NodeName, Relation},
    port::{Fault, SourceSeen},
    publish::ReadVersion,
    task::{Binding, Reads},
};

use crate::{
    catalog::{Catalog, StoredView},
    fault::{self, Author},
    hidden::{self, TimePartition},
    past::{self, At},
    session::{Scope, Sessions},
    source,
    table::{self, Snapshots},
};

/// The one catalog of a session.
pub(crate) const CATALOG: &str = "mulgil";
/// The schema of names that are written without one.
pub(crate) const UNNAMED_SCHEMA: &str = "main";
/// The rows of the table that a statement changes, each with its number.
pub(crate) const TARGET: &str = "@target";
/// Views that may read views; a project's own check finds circles long before.
const MAX_VIEW_DEPTH: usize = 64;

/// What a name means.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every name is a project's")]
pub(crate) enum Meaning {
    /// What a project says.
    Bound(Reads),
    /// A table that lies in the warehouse, of no project.
    Stored(Relation),
    /// A view that a person made.
    View(StoredView),
}

/// All names of a scope, by schema.
pub(crate) type Meanings = BTreeMap<String, BTreeMap<String, Meaning>>;

/// What every name of a session needs to become a table.
pub(crate) struct Names {
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) zone: Zone,
    pub(crate) shows_hidden: bool,
    pub(crate) depth: usize,
    /// What else lies in the warehouse, which views may name.
    pub(crate) catalog: Option<Arc<Catalog>>,
    /// The bindings that a view of a person is read with.
    pub(crate) bindings: Arc<[Binding]>,
    /// The rows that a statement changes.
    pub(crate) target: Option<Arc<dyn TableProvider>>,
}

/// The names of a scope: what the project binds stands before what merely lies there.
pub(crate) fn meanings(bindings: &[Binding], catalog: Option<&Catalog>) -> Meanings {
    let mut all = Meanings::from([(UNNAMED_SCHEMA.to_owned(), BTreeMap::new())]);
    for binding in bindings {
        let schema = binding.schema.clone().unwrap_or_else(|| UNNAMED_SCHEMA.to_owned());
        let meaning = Meaning::Bound(binding.reads.clone());
        all.entry(schema).or_default().insert(binding.name.clone(), meaning);
    }
    let Some(catalog) = catalog else {
        return all;
    };
    for schema in catalog.schemas() {
        let names = all.entry(schema.to_owned()).or_default();
        for (name, meaning) in catalog.of(schema) {
            names.entry(name.to_owned()).or_insert(meaning);
        }
    }
    for (name, meaning) in catalog.of(catalog.default_schema()) {
        if let Some(unnamed) = all.get_mut(UNNAMED_SCHEMA) {
            unnamed.entry(name.to_owned()).or_insert(meaning);
        }
    }
    all
}

/// The catalog of one session.
pub(crate) fn bound(meanings: Meanings, names: &Arc<Names>) -> Arc<dyn CatalogProvider> {
    let schemas: BTreeMap<String, Arc<BoundSchema>> = meanings
        .iter()
        .map(|(schema, meanings_of)| {
            let listed = listed(schema, meanings_of, &meanings);
            let names = Arc::clone(names);
            let bound = BoundSchema {
                meanings: meanings_of.clone(),
                listed,
                names,
            };
            (schema.clone(), Arc::new(bound))
        })
        .collect();
    Arc::new(BoundCatalog(schemas))
}

/// The names that a schema lists: what also stands in a schema of its own is listed there alone.
fn listed(schema: &str, names: &BTreeMap<String, Meaning>, all: &Meanings) -> Vec<String> {
    let elsewhere = |name: &str| {
        let mut others = all.iter().filter(|(other, _)| other.as_str() != UNNAMED_SCHEMA);
        others.any(|(_, names)| names.contains_key(name))
    };
    names
        .keys()
        .filter(|name| schema != UNNAMED_SCHEMA || !elsewhere(name))
        .cloned()
        .collect()
}

/// Finds names that mean nothing here, before the planner stumbles over them.
pub(crate) fn check(
    state: &SessionState,
    statement: &DfStatement,
    meanings: &Meanings,
    author: &Author,
) -> Result<(), Fault> {
    let references = state
        .resolve_table_references(statement)
        .map_err(|error| fault::sql(&error, author))?;
    for reference in references {
        if !is_known(state, &reference) {
            let written = past::without_time(&reference.to_string());
            let (code, whose) = match author {
                Author::Typed => (codes::BAD_QUERY, "the query".to_owned()),
                Author::Node(name) => (codes::UNKNOWN_RELATION, format!("the SQL of `{name}`")),
            };
            let mut fault = Diagnostic::error(code, format!("{whose} reads `{written}`, which is nothing here"))
                .with_remedy(remedy_of(&written, meanings));
            fault.place = place_of(statement, &reference).filter(|_| matches!(author, Author::Typed));
            return Err(Box::new(fault));
        }
    }
    Ok(())
}

/// Where a statement first names a table.
fn place_of(statement: &DfStatement, reference: &TableReference) -> Option<Place> {
    let DfStatement::Statement(statement) = statement else {
        return None;
    };
    let found = visit_relations(statement.as_ref(), |name: &ObjectName| {
        let table = name.0.last().and_then(|part| part.as_ident()).map(hidden::folded);
        match table {
            Some(table) if table == reference.table() => ControlFlow::Break(name.span().start),
            Some(_) | None => ControlFlow::Continue(()),
        }
    });
    let at = found.break_value().filter(|at| at.line > 0)?;
    Some(fault::typed_place(at.line, at.column))
}

/// What to do about a name that means nothing.
pub(crate) fn remedy_of(written: &str, meanings: &Meanings) -> String {
    let known: BTreeSet<String> = meanings
        .iter()
        .flat_map(|(schema, names)| names.keys().map(move |name| full_name(schema, name)))
        .collect();
    let last = written.rsplit('.').next().unwrap_or(written);
    let near = fault::nearest(written, known.iter().map(String::as_str))
        .or_else(|| fault::nearest(last, known.iter().map(String::as_str)));
    match near {
        Some(near) => format!("write `{near}`"),
        None if known.is_empty() => "nothing has a name here yet: run the project first".to_owned(),
        None => "name a model, seed or source of the project; `mulgil status` lists them".to_owned(),
    }
}

fn is_known(state: &SessionState, reference: &TableReference) -> bool {
    let resolved = reference.clone().resolve(CATALOG, UNNAMED_SCHEMA);
    let is_function = reference.schema().is_none() && state.table_functions().contains_key(reference.table());
    if &*resolved.schema == "information_schema" || is_function {
        return true;
    }
    state
        .catalog_list()
        .catalog(&resolved.catalog)
        .and_then(|catalog| catalog.schema(&resolved.schema))
        .is_some_and(|schema| schema.table_exist(&resolved.table))
}

/// A name as people write it.
fn full_name(schema: &str, name: &str) -> String {
    if schema == UNNAMED_SCHEMA {
        name.to_owned()
    } else {
        format!("{schema}.{name}")
    }
}

/// The hidden columns of the table that a name in the SQL means.
pub(crate) fn hidden_of(meanings: &Meanings, name: &ObjectName) -> &'static [&'static str] {
    let parts: Vec<String> = name
        .0
        .iter()
        .filter_map(|part| part.as_ident())
        .map(hidden::folded)
        .collect();
    let (schema, table) = match parts.as_slice() {
        [table] => (UNNAMED_SCHEMA, table),
        [.., schema, table] => (schema.as_str(), table),
        [] => return &[],
    };
    let table = past::without_time(table);
    let meaning = meanings.get(schema).and_then(|names| names.get(&table));
    match meaning {
        Some(Meaning::Bound(Reads::Table { grid, .. })) => TimePartition::of(grid).hidden(),
        Some(
            Meaning::Bound(Reads::Source { .. } | Reads::Seed { .. } | Reads::Query { .. })
            | Meaning::Stored(_)
            | Meaning::View(_),
        )
        | None => &[],
    }
}

impl Names {
    async fn open(&self, name: &str, meaning: &Meaning, at: At) -> Result<Arc<dyn TableProvider>, Fault> {
        match meaning {
            Meaning::Bound(Reads::Table { .. }) | Meaning::Stored(_) => {}
            Meaning::Bound(_) | Meaning::View(_) if at == At::Newest => {}
            Meaning::Bound(_) | Meaning::View(_) => return Err(past::no_past(name)),
        }
        match meaning {
            Meaning::Bound(reads) => self.open_bound(name, reads, at).await,
            Meaning::Stored(relation) => {
                let read = table::Read {
                    relation,
                    grid: &Grid::whole(Zone::UTC),
                    event_time: None,
                    scope: None,
                    key: &Key::default(),
                    at,
                };
                self.table(&read).await
            }
            Meaning::View(view) => {
                self.open_view(name, &view.sql, &self.bindings, self.catalog.as_ref())
                    .await
            }
        }
    }

    async fn table(&self, read: &table::Read<'_>) -> Result<Arc<dyn TableProvider>, Fault> {
        let warehouse = self.sessions.warehouse();
        table::provider(warehouse, &self.snapshots, read, self.shows_hidden, &self.zone).await
    }

    /// At which state a table of the project is read: where nothing says otherwise, that which readers see.
    fn seen_at(&self, relation: &Relation, version: ReadVersion, at: At) -> Result<At, Fault> {
        match (at, self.snapshots.past()) {
            (At::Newest, None) => match version {
                ReadVersion::Newest => Ok(At::Newest),
                ReadVersion::Published(version) => Ok(At::Version(version)),
                ReadVersion::Nothing => Err(table::not_published(relation)),
            },
            (At::Newest | At::Version(_) | At::Time(_), _) => Ok(at),
        }
    }

    async fn open_bound(&self, name: &str, reads: &Reads, at: At) -> Result<Arc<dyn TableProvider>, Fault> {
        let warehouse = self.sessions.warehouse();
        match reads {
            Reads::Table {
                relation,
                grid,
                event_time,
                scope,
                key,
                version,
            } => {
                let at = self.seen_at(relation, *version, at)?;
                let read = table::Read {
                    relation,
                    grid,
                    event_time: event_time.as_deref(),
                    scope: *scope,
                    key,
                    at,
                };
                self.table(&read).await
            }
            Reads::Source { source, columns, .. } if columns.is_empty() => Err(not_looked_at(&source.name)),
            Reads::Source {
                source,
                columns,
                scope,
                files,
            } => {
                let provider = source::provider(&warehouse.files(source)?, source, columns, *scope, files)?;
                table::in_zone(provider, &self.zone)
            }
            Reads::Seed { source, file } => {
                let place = warehouse.files(source)?;
                let seen = source::observe(&place, source, &SourceSeen::default()).await?;
                let files = std::slice::from_ref(file);
                let provider = source::provider(&place, source, &seen.columns, None, files)?;
                table::in_zone(provider, &self.zone)
            }
            Reads::Query { sql, bindings } => self.open_view(name, sql, &Arc::from(bindings.as_slice()), None).await,
        }
    }

    async fn open_view(
        &self,
        name: &str,
        sql: &str,
        bindings: &Arc<[Binding]>,
        catalog: Option<&Arc<Catalog>>,
    ) -> Result<Arc<dyn TableProvider>, Fault> {
        if self.depth >= MAX_VIEW_DEPTH {
            return Err(Box::new(
                Diagnostic::error(
                    codes::SQL_INVALID,
                    format!("views are nested more than {MAX_VIEW_DEPTH} deep at `{name}`"),
                )
                .with_remedy("make one of the views between a table"),
            ));
        }
        let author = Author::Node(name.to_owned());
        let scope = Scope {
            bindings: Arc::clone(bindings),
            catalog: catalog.cloned(),
            zone: self.zone.clone(),
            snapshots: Arc::clone(&self.snapshots),
            target: None,
        };
        let planned = Box::pin(self.sessions.plan_view(sql, &scope, &author, self.depth + 1)).await?;
        Ok(Arc::new(ViewTable::new(planned, Some(sql.to_owned()))))
    }
}

fn not_looked_at(source: &NodeName) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::NOT_FILLED_YET,
            format!("the source `{source}` was not looked at yet: what columns it has is not known"),
        )
        .with_remedy("run the project once: `mulgil run`")
        .with_retry(Retry::AfterHumanFix),
    )
}

/// The catalog of one session.
#[derive(Debug)]
struct BoundCatalog(BTreeMap<String, Arc<BoundSchema>>);

impl CatalogProvider for BoundCatalog {
    fn schema_names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        self.0
            .get(name)
            .map(|schema| Arc::clone(schema) as Arc<dyn SchemaProvider>)
    }
}

/// The names of one schema; each becomes a table when SQL first uses it.
struct BoundSchema {
    meanings: BTreeMap<String, Meaning>,
    listed: Vec<String>,
    names: Arc<Names>,
}

impl fmt::Debug for BoundSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.meanings.keys()).finish()
    }
}

#[async_trait]
impl SchemaProvider for BoundSchema {
    fn table_names(&self) -> Vec<String> {
        self.listed.clone()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        if name == TARGET {
            return Ok(self.names.target.clone());
        }
        let (name, at) = past::split(name, &self.names.zone).map_err(|fault| DataFusionError::External(fault))?;
        let Some(meaning) = self.meanings.get(name) else {
            return Ok(None);
        };
        match self.names.open(name, meaning, at).await {
            Ok(provider) => Ok(Some(provider)),
            Err(fault) => Err(DataFusionError::External(fault)),
        }
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>, DataFusionError> {
        Ok(self.meanings.get(name).map(|meaning| match meaning {
            Meaning::Bound(Reads::Table { .. } | Reads::Source { .. } | Reads::Seed { .. }) | Meaning::Stored(_) => {
                TableType::Base
            }
            Meaning::Bound(Reads::Query { .. }) | Meaning::View(_) => TableType::View,
        }))
    }

    fn table_exist(&self, name: &str) -> bool {
        let known = past::without_time(name);
        name == TARGET && self.names.target.is_some() || self.meanings.contains_key(known.as_str())
    }
}
