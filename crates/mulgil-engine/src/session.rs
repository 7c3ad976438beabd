//! One session per query: its zone, its names, and the memory that all sessions share. Only queries
//! are planned here; what defines or changes something is carried out by `statement`.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    sync::{Arc, Mutex, PoisonError},
};

use datafusion::{
    catalog::{CatalogProvider, CatalogProviderList, MemoryCatalogProviderList, TableProvider},
    common::{DataFusionError, TableReference},
    execution::{
        FunctionRegistry, SendableRecordBatchStream, SessionState, SessionStateBuilder, TaskContext,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::FairSpillPool,
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    logical_expr::{LogicalPlan, ScalarUDF},
    physical_plan::{ExecutionPlan, execute_stream},
    prelude::{SQLOptions, SessionConfig},
    sql::{parser::Statement as DfStatement, sqlparser::ast::Statement},
};
use mulgil_core::{
    grid::Zone,
    port::{EngineConfig, Fault},
    task::Binding,
};

use crate::{
    catalog::Catalog,
    fault::{self, Author},
    hidden,
    meaning::{self, IntervalProducts, Meaning},
    names::{self, CATALOG, Names, UNNAMED_SCHEMA},
    planner::{
        self, correlated,
        memory::{self, Limits},
    },
    statement::{
        column_names, json, parse,
        subqueries::{self, NotIn},
    },
    store::Store,
    table::Snapshots,
    trunc::{DateTrunc, LocalCasts},
    warehouse::Warehouse,
};

/// Zones of which a session is kept ready.
const ZONES_KEPT: usize = 16;

/// What all sessions share.
pub(crate) struct Sessions {
    base: SessionState,
    /// The same in the zones that were asked for.
    zoned: Mutex<BTreeMap<String, Arc<SessionState>>>,
    warehouse: Arc<Warehouse>,
    limits: Limits,
}

/// What a query may see.
#[derive(Clone)]
pub(crate) struct Scope {
    /// What the project says its names mean.
    pub(crate) bindings: Arc<[Binding]>,
    /// What else lies in the warehouse; for what a person typed.
    pub(crate) catalog: Option<Arc<Catalog>>,
    /// The session's zone.
    pub(crate) zone: Zone,
    /// The versions at which tables are read.
    pub(crate) snapshots: Arc<Snapshots>,
    /// The rows of the table that a statement changes.
    pub(crate) target: Option<Arc<dyn TableProvider>>,
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
        if let Store::Remote(store) = warehouse.store() {
            runtime.register_object_store(&store.bucket_url()?, warehouse.store().objects());
        }
        let builder = SessionStateBuilder::new()
            .with_config(session_config(config))
            .with_runtime_env(runtime)
            .with_default_features();
        let mut base = planner::with_rules(builder).build();
        let engines = base
            .udf("date_trunc")
            .map_err(|error| fault::sql(&error, &Author::Typed))?;
        base.register_udf(Arc::new(ScalarUDF::from(DateTrunc::over(engines))))
            .and_then(|_| base.register_function_rewrite(Arc::new(LocalCasts)))
            .and_then(|()| base.register_function_rewrite(Arc::new(Meaning)))
            .and_then(|()| planner::register(&mut base))
            .and_then(|()| base.register_expr_planner(Arc::new(IntervalProducts)))
            .map_err(|error| fault::sql(&error, &Author::Typed))?;
        for function in meaning::functions().into_iter().chain(json::functions()) {
            base.register_udf(function)
                .map_err(|error| fault::sql(&error, &Author::Typed))?;
        }
        let limits = Limits {
            memory: config.memory_bytes,
            spill: config.spill_bytes,
        };
        Ok(Self {
            base,
            zoned: Mutex::default(),
            warehouse,
            limits,
        })
    }

    /// The same sessions for what did not fit into memory.
    pub(crate) fn frugal(&self) -> Arc<Self> {
        Arc::new(Self {
            base: memory::frugal(&self.base, self.limits),
            zoned: Mutex::default(),
            warehouse: Arc::clone(&self.warehouse),
            limits: self.limits,
        })
    }

    /// What queries may use.
    pub(crate) fn limits(&self) -> Limits {
        self.limits
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
        let scope = Scope {
            bindings: bindings.into(),
            catalog: None,
            zone: zone.clone(),
            snapshots: Arc::clone(snapshots),
            target: None,
        };
        self.plan_query(parse::one_query(sql, author)?, &scope, author).await
    }

    /// Plans a query that was parsed.
    pub(crate) async fn plan_query(
        self: &Arc<Self>,
        statement: Statement,
        scope: &Scope,
        author: &Author,
    ) -> Result<Ready, Fault> {
        let planned = Box::pin(self.plan_at_depth(statement, scope, author, 0)).await?;
        let plan = planned.state.create_physical_plan(&planned.plan).await;
        Ok(Ready {
            plan: plan.map_err(|error| fault::sql(&error, author))?,
            task: planned.state.task_ctx(),
        })
    }

    /// Plans a query whose rows are brought into a form before they are run.
    pub(crate) async fn plan_shaped(
        self: &Arc<Self>,
        statement: Statement,
        scope: &Scope,
        author: &Author,
        shape: impl FnOnce(LogicalPlan) -> Result<LogicalPlan, DataFusionError>,
    ) -> Result<Ready, Fault> {
        let to_fault = |error: DataFusionError| fault::sql(&error, author);
        let Planned { state, plan } = Box::pin(self.plan_at_depth(statement, scope, author, 0)).await?;
        let plan = shape(plan).map_err(to_fault)?;
        let plan = state.create_physical_plan(&plan).await.map_err(to_fault)?;
        Ok(Ready {
            plan,
            task: state.task_ctx(),
        })
    }

    /// Plans the query of a view.
    pub(crate) async fn plan_view(
        self: &Arc<Self>,
        sql: &str,
        scope: &Scope,
        author: &Author,
        depth: usize,
    ) -> Result<LogicalPlan, Fault> {
        let statement = parse::one_query(sql, author)?;
        Ok(Box::pin(self.plan_at_depth(statement, scope, author, depth))
            .await?
            .plan)
    }

    /// The tables and views that a query names by itself.
    pub(crate) fn references(&self, statement: &Statement, author: &Author) -> Result<Vec<TableReference>, Fault> {
        let statement = DfStatement::Statement(Box::new(statement.clone()));
        self.base
            .resolve_table_references(&statement)
            .map_err(|error| fault::sql(&error, author))
    }

    async fn plan_at_depth(
        self: &Arc<Self>,
        statement: Statement,
        scope: &Scope,
        author: &Author,
        depth: usize,
    ) -> Result<Planned, Fault> {
        let meanings = names::meanings(&scope.bindings, scope.catalog.as_deref());
        let shows_hidden = hidden::is_mentioned(&statement.to_string());
        let mut statement = DfStatement::Statement(Box::new(statement));
        if shows_hidden {
            hidden::write_out_wildcards(&mut statement, &|name| names::hidden_of(&meanings, name))?;
        }
        let names = Arc::new(Names {
            sessions: Arc::clone(self),
            snapshots: Arc::clone(&scope.snapshots),
            zone: scope.zone.clone(),
            shows_hidden,
            depth,
            catalog: scope.catalog.clone(),
            bindings: Arc::clone(&scope.bindings),
            target: scope.target.clone(),
        });
        let state = self.session(names::bound(meanings.clone(), &names), &scope.zone);
        names::check(&state, &statement, &meanings, author)?;
        let plan = logical_plan(&state, &statement, author).await?;
        SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false)
            .verify_plan(&plan)
            .map_err(|_| parse::not_a_query(author))?;
        Ok(Planned { state, plan })
    }

    /// A session in a zone that knows the names of a catalog and no others.
    fn session(&self, catalog: Arc<dyn CatalogProvider>, zone: &Zone) -> SessionState {
        let catalogs = MemoryCatalogProviderList::new();
        catalogs.register_catalog(CATALOG.to_owned(), catalog);
        let mut state = self.in_zone(zone).as_ref().clone();
        state.register_catalog_list(Arc::new(catalogs));
        // What `now()` says in all of the query.
        state.mark_start_execution();
        state
    }

    /// A session in a zone that knows no names. It is kept: making one registers every function anew, which
    /// takes longer than planning a small query.
    fn in_zone(&self, zone: &Zone) -> Arc<SessionState> {
        let mut zoned = self.zoned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = zoned.get(zone.name()) {
            return Arc::clone(state);
        }
        let mut config = self.base.config().clone();
        config.options_mut().execution.time_zone = Some(zone.name().to_owned());
        let state = SessionStateBuilder::new_from_existing(self.base.clone())
            .with_config(config)
            .with_catalog_list(Arc::new(MemoryCatalogProviderList::new()))
            .build();
        let state = Arc::new(state);
        if zoned.len() >= ZONES_KEPT {
            zoned.clear();
        }
        zoned.insert(zone.name().to_owned(), Arc::clone(&state));
        state
    }

    /// The pool and the spill folder that all sessions share.
    pub(crate) fn base(&self) -> &SessionState {
        &self.base
    }

    /// Where the tables lie.
    pub(crate) fn warehouse(&self) -> &Arc<Warehouse> {
        &self.warehouse
    }
}

/// Plans a statement whose sub-queries mean what SQL says.
async fn logical_plan(state: &SessionState, statement: &DfStatement, author: &Author) -> Result<LogicalPlan, Fault> {
    let plan = named_plan(state, exact(statement, NotIn::Joined)?, author).await?;
    let plan = if correlated::has_not_in(&plan) {
        named_plan(state, exact(statement, NotIn::Asked)?, author).await?
    } else {
        plan
    };
    planner::joinable(plan).map_err(|error| fault::sql(&error, author))
}

fn exact(statement: &DfStatement, not_in: NotIn) -> Result<DfStatement, Fault> {
    let mut statement = statement.clone();
    if let DfStatement::Statement(statement) = &mut statement {
        subqueries::make_exact(statement, not_in)?;
    }
    Ok(statement)
}

/// Plans a statement as it is; where two of its expressions would have one name, each gets one of its own.
async fn named_plan(state: &SessionState, mut statement: DfStatement, author: &Author) -> Result<LogicalPlan, Fault> {
    let plan = match state.statement_to_plan(statement.clone()).await {
        Err(error) if is_about_names(&error) => {
            if let DfStatement::Statement(statement) = &mut statement {
                column_names::each_its_own(statement);
            }
            state.statement_to_plan(statement).await
        }
        planned => planned,
    };
    plan.map_err(|error| fault::sql(&error, author))
}

/// Whether a query failed because the planner takes two of its expressions for one.
fn is_about_names(error: &DataFusionError) -> bool {
    error.to_string().contains("require unique expression names")
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
    // What a condition leaves out is not decoded in the other columns.
    session.options_mut().execution.parquet.pushdown_filters = true;
    memory::compress_spills(&mut session);
    session
}
