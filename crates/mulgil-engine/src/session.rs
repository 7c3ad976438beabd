//! One session per query: its zone, its names, and the memory that all sessions share. Only queries
//! pass; whatever would define or change something is refused before it is planned.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::ErrorKind,
    sync::Arc,
};

use async_trait::async_trait;
use datafusion::{
    catalog::{CatalogProvider, CatalogProviderList, MemoryCatalogProviderList, SchemaProvider, TableProvider},
    common::{DataFusionError, TableReference},
    datasource::ViewTable,
    execution::{
        FunctionRegistry, SendableRecordBatchStream, SessionState, SessionStateBuilder, TaskContext,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::FairSpillPool,
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    logical_expr::{LogicalPlan, ScalarUDF, TableType},
    physical_plan::{ExecutionPlan, execute_stream},
    prelude::{SQLOptions, SessionConfig},
    sql::{
        parser::{DFParser, Statement as DfStatement},
        sqlparser::ast::{ObjectName, SetExpr, Statement},
    },
};
use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    grid::Zone,
    name::NodeName,
    port::{EngineConfig, Fault, SourceSeen},
    task::{Binding, Reads},
};

use crate::{
    fault::{self, Author},
    hidden::{self, TimePartition},
    source,
    table::{self, Snapshots},
    trunc::{DateTrunc, LocalCasts},
    warehouse::Warehouse,
};

/// The one catalog of a session.
const CATALOG: &str = "mulgil";
/// The schema of names that are written without one.
const UNNAMED_SCHEMA: &str = "main";
/// Views that may read views; a project's own check finds circles long before.
const MAX_VIEW_DEPTH: usize = 64;

/// What all sessions share.
pub(crate) struct Sessions {
    base: SessionState,
    warehouse: Arc<Warehouse>,
}

/// A query, planned in its session.
struct Planned {
    state: SessionState,
    plan: LogicalPlan,
}

/// A query, ready to be run.
pub(crate) struct Ready {
    /// How.
    pub(crate) plan: Arc<dyn ExecutionPlan>,
    /// Where.
    pub(crate) task: Arc<TaskContext>,
}

impl Ready {
    /// Runs it; all of its rows in one stream.
    pub(crate) fn rows(self, author: &Author) -> Result<SendableRecordBatchStream, Fault> {
        execute_stream(self.plan, self.task).map_err(|error| fault::sql(&error, author))
    }
}

impl Sessions {
    /// Makes the pool, the spill folder and the functions that all sessions share.
    pub(crate) fn new(config: &EngineConfig, warehouse: Arc<Warehouse>) -> Result<Self, Fault> {
        let runtime = runtime(config)?;
        let mut base = SessionStateBuilder::new()
            .with_config(session_config(config))
            .with_runtime_env(runtime)
            .with_default_features()
            .build();
        let engines = base
            .udf("date_trunc")
            .map_err(|error| fault::sql(&error, &Author::Typed))?;
        base.register_udf(Arc::new(ScalarUDF::from(DateTrunc::over(engines))))
            .and_then(|_| base.register_function_rewrite(Arc::new(LocalCasts)))
            .map_err(|error| fault::sql(&error, &Author::Typed))?;
        Ok(Self { base, warehouse })
    }

    /// Plans one query over the names that it may use, at the versions that its task reads.
    pub(crate) async fn plan(
        self: &Arc<Self>,
        sql: &str,
        bindings: &[Binding],
        zone: &Zone,
        snapshots: &Arc<Snapshots>,
        author: &Author,
    ) -> Result<Ready, Fault> {
        let planned = self.plan_at_depth(sql, bindings, zone, snapshots, author, 0).await?;
        let plan = planned.state.create_physical_plan(&planned.plan).await;
        Ok(Ready {
            plan: plan.map_err(|error| fault::sql(&error, author))?,
            task: planned.state.task_ctx(),
        })
    }

    async fn plan_at_depth(
        self: &Arc<Self>,
        sql: &str,
        bindings: &[Binding],
        zone: &Zone,
        snapshots: &Arc<Snapshots>,
        author: &Author,
        depth: usize,
    ) -> Result<Planned, Fault> {
        let to_fault = |error: DataFusionError| fault::sql(&error, author);
        let mut statement = one_query(sql, author)?;
        let shows_hidden = hidden::is_mentioned(sql);
        if shows_hidden {
            hidden::write_out_wildcards(&mut statement, &|name| hidden_of(bindings, name))?;
        }
        let names = Arc::new(Names {
            sessions: Arc::clone(self),
            snapshots: Arc::clone(snapshots),
            zone: zone.clone(),
            shows_hidden,
            depth,
        });
        let state = self.session(bindings, names);
        check_names(&state, &statement, bindings, author)?;
        let plan = state.statement_to_plan(statement).await.map_err(to_fault)?;
        SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false)
            .verify_plan(&plan)
            .map_err(|_| not_a_query(author))?;
        Ok(Planned { state, plan })
    }

    /// A session in a zone that knows these names and no others.
    fn session(&self, bindings: &[Binding], names: Arc<Names>) -> SessionState {
        let mut schemas: BTreeMap<String, BTreeMap<String, Binding>> =
            BTreeMap::from([(UNNAMED_SCHEMA.to_owned(), BTreeMap::new())]);
        for binding in bindings {
            let schema = binding.schema.clone().unwrap_or_else(|| UNNAMED_SCHEMA.to_owned());
            schemas
                .entry(schema)
                .or_default()
                .insert(binding.name.clone(), binding.clone());
        }
        let catalog = BoundCatalog(
            schemas
                .into_iter()
                .map(|(schema, bindings)| {
                    let names = Arc::clone(&names);
                    (schema, Arc::new(BoundSchema { bindings, names }))
                })
                .collect(),
        );
        let catalogs = MemoryCatalogProviderList::new();
        catalogs.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
        let mut config = self.base.config().clone();
        config.options_mut().execution.time_zone = Some(names.zone.name().to_owned());
        let mut state = SessionStateBuilder::new_from_existing(self.base.clone())
            .with_config(config)
            .with_catalog_list(Arc::new(catalogs))
            .build();
        // What `now()` says in all of the query.
        state.mark_start_execution();
        state
    }

    /// The pool and the spill folder that all sessions share.
    pub(crate) fn base(&self) -> &SessionState {
        &self.base
    }
}

/// Spills into the project's data folder; where that is not to be written, into the machine's folder
/// for temporary files, so that a project that may only be read can be queried.
fn runtime(config: &EngineConfig) -> Result<Arc<RuntimeEnv>, Fault> {
    let usable = std::fs::create_dir_all(&config.spill_dir).and_then(|()| tempfile::tempfile_in(&config.spill_dir));
    let mode = match usable {
        Ok(_) => DiskManagerMode::Directories(vec![config.spill_dir.clone()]),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied
            ) =>
        {
            DiskManagerMode::OsTmpDirectory
        }
        Err(error) => return Err(fault::io(&error, &config.spill_dir)),
    };
    let disk = DiskManagerBuilder::default()
        .with_mode(mode)
        .with_max_temp_directory_size(config.spill_bytes);
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(config.memory_bytes as usize)))
        .with_disk_manager_builder(disk)
        .build_arc()
        .map_err(|error| fault::sql(&error, &Author::Typed))
}

fn session_config(config: &EngineConfig) -> SessionConfig {
    let mut session = SessionConfig::new()
        .with_target_partitions(config.partitions.max(1))
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(CATALOG, UNNAMED_SCHEMA)
        .with_information_schema(true);
    session.options_mut().sql_parser.collect_spans = true;
    session
}

/// Parses SQL that must be one statement, and one that only reads.
fn one_query(sql: &str, author: &Author) -> Result<DfStatement, Fault> {
    let mut statements = DFParser::parse_sql(sql).map_err(|error| fault::sql(&error, author))?;
    match (statements.pop_front(), statements.is_empty()) {
        (Some(statement), true) if reads_only(&statement) => Ok(statement),
        (Some(_), true) => Err(not_a_query(author)),
        (None, _) => Err(Box::new(
            Diagnostic::error(code_of(author), "there is no SQL to run").with_remedy("write a query: `select …`"),
        )),
        (Some(_), false) => Err(Box::new(
            Diagnostic::error(
                code_of(author),
                "there is more than one statement where one query may stand",
            )
            .with_remedy("keep one query; a `;` is only allowed at its end"),
        )),
    }
}

fn reads_only(statement: &DfStatement) -> bool {
    match statement {
        DfStatement::Statement(statement) => match &**statement {
            Statement::Query(query) => body_reads_only(&query.body),
            // What it explains is looked at in its plan.
            Statement::Explain { .. }
            | Statement::ExplainTable { .. }
            | Statement::ShowTables { .. }
            | Statement::ShowColumns { .. }
            | Statement::ShowVariable { .. }
            | Statement::ShowFunctions { .. } => true,
            _ => false,
        },
        DfStatement::Explain(explain) => reads_only(&explain.statement),
        DfStatement::CreateExternalTable(_) | DfStatement::CopyTo(_) | DfStatement::Reset(_) => false,
    }
}

/// Whether a query only reads: a `with` may also stand before what writes.
fn body_reads_only(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(_) | SetExpr::Values(_) | SetExpr::Table(_) => true,
        SetExpr::Query(query) => body_reads_only(&query.body),
        SetExpr::SetOperation { left, right, .. } => body_reads_only(left) && body_reads_only(right),
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => false,
    }
}

fn code_of(author: &Author) -> mulgil_core::diagnostic::Code {
    match author {
        Author::Typed => codes::BAD_QUERY,
        Author::Node(_) => codes::SQL_INVALID,
    }
}

fn not_a_query(author: &Author) -> Fault {
    let (code, message) = match author {
        Author::Typed => {
            let message = "only queries run here: this statement would define or change something";
            (codes::BAD_QUERY, message.to_owned())
        }
        Author::Node(name) => {
            let message = format!("the SQL of `{name}` is no query: it would define or change something");
            (codes::NOT_A_QUERY, message)
        }
    };
    Box::new(
        Diagnostic::error(code, message)
            .with_remedy("write a `select`; what tables hold is changed by their models alone"),
    )
}

/// Finds names that mean nothing here, before the planner stumbles over them.
fn check_names(
    state: &SessionState,
    statement: &DfStatement,
    bindings: &[Binding],
    author: &Author,
) -> Result<(), Fault> {
    let references = state
        .resolve_table_references(statement)
        .map_err(|error| fault::sql(&error, author))?;
    for reference in references {
        if is_known(state, &reference) {
            continue;
        }
        let written = reference.to_string();
        let known: BTreeSet<String> = bindings.iter().map(full_name).collect();
        let near = fault::nearest(&written, known.iter().map(String::as_str))
            .or_else(|| fault::nearest(reference.table(), known.iter().map(String::as_str)));
        let remedy = match near {
            Some(near) => format!("write `{near}`"),
            None if known.is_empty() => "nothing has a name here yet: run the project first".to_owned(),
            None => "name a model, seed or source of the project; `mulgil status` lists them".to_owned(),
        };
        let (code, whose) = match author {
            Author::Typed => (codes::BAD_QUERY, "the query".to_owned()),
            Author::Node(name) => (codes::UNKNOWN_RELATION, format!("the SQL of `{name}`")),
        };
        return Err(Box::new(
            Diagnostic::error(code, format!("{whose} reads `{written}`, which is nothing here")).with_remedy(remedy),
        ));
    }
    Ok(())
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

fn full_name(binding: &Binding) -> String {
    match &binding.schema {
        Some(schema) => format!("{schema}.{}", binding.name),
        None => binding.name.clone(),
    }
}

/// The hidden columns of the table that a name in the SQL means.
fn hidden_of(bindings: &[Binding], name: &ObjectName) -> &'static [&'static str] {
    let parts: Vec<String> = name
        .0
        .iter()
        .filter_map(|part| part.as_ident())
        .map(hidden::folded)
        .collect();
    let (schema, table) = match parts.as_slice() {
        [table] => (None, table),
        [.., schema, table] => (Some(schema), table),
        [] => return &[],
    };
    bindings
        .iter()
        .find(|binding| binding.schema.as_ref() == schema && binding.name == *table)
        .map_or(&[], |binding| match &binding.reads {
            Reads::Table { grid, .. } => TimePartition::of(grid).hidden(),
            Reads::Source { .. } | Reads::Seed { .. } | Reads::Query { .. } => &[],
        })
}

/// What every name of a session needs to become a table.
struct Names {
    sessions: Arc<Sessions>,
    snapshots: Arc<Snapshots>,
    zone: Zone,
    shows_hidden: bool,
    depth: usize,
}

impl Names {
    async fn open(&self, name: &str, reads: &Reads) -> Result<Arc<dyn TableProvider>, Fault> {
        let warehouse = &self.sessions.warehouse;
        match reads {
            Reads::Table {
                relation,
                grid,
                event_time,
                scope,
                key,
                version,
            } => {
                let read = table::Read {
                    relation,
                    grid,
                    event_time: event_time.as_deref(),
                    scope: *scope,
                    key,
                    version: *version,
                };
                table::provider(warehouse, &self.snapshots, &read, self.shows_hidden, &self.zone).await
            }
            Reads::Source { source, columns, .. } if columns.is_empty() => Err(not_looked_at(&source.name)),
            Reads::Source {
                source,
                columns,
                scope,
                files,
            } => {
                let provider = source::provider(warehouse.root(), source, columns, *scope, files)?;
                table::in_zone(provider, &self.zone)
            }
            Reads::Seed { source, file } => {
                let seen = source::observe(warehouse.root(), source, &SourceSeen::default()).await?;
                let files = std::slice::from_ref(file);
                let provider = source::provider(warehouse.root(), source, &seen.columns, None, files)?;
                table::in_zone(provider, &self.zone)
            }
            Reads::Query { sql, bindings } => self.open_view(name, sql, bindings).await,
        }
    }

    async fn open_view(&self, name: &str, sql: &str, bindings: &[Binding]) -> Result<Arc<dyn TableProvider>, Fault> {
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
        let planned =
            Box::pin(
                self.sessions
                    .plan_at_depth(sql, bindings, &self.zone, &self.snapshots, &author, self.depth + 1),
            )
            .await?;
        Ok(Arc::new(ViewTable::new(planned.plan, Some(sql.to_owned()))))
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
    bindings: BTreeMap<String, Binding>,
    names: Arc<Names>,
}

impl fmt::Debug for BoundSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.bindings.keys()).finish()
    }
}

#[async_trait]
impl SchemaProvider for BoundSchema {
    fn table_names(&self) -> Vec<String> {
        self.bindings.keys().cloned().collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let Some(binding) = self.bindings.get(name) else {
            return Ok(None);
        };
        match self.names.open(&full_name(binding), &binding.reads).await {
            Ok(provider) => Ok(Some(provider)),
            Err(fault) => Err(DataFusionError::External(fault)),
        }
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>, DataFusionError> {
        Ok(self.bindings.get(name).map(|binding| match &binding.reads {
            Reads::Table { .. } | Reads::Source { .. } | Reads::Seed { .. } => TableType::Base,
            Reads::Query { .. } => TableType::View,
        }))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.bindings.contains_key(name)
    }
}
