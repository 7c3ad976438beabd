//! The embedded engine: DataFusion over Delta tables in a local folder, behind core's `Engine`.
//! It fills tables, runs queries and data tests, looks at sources and reads tables' histories. It
//! knows no ledger, no schedule and no clock: what is due, when and why is decided elsewhere.

mod data_test;
mod fault;
mod hidden;
mod log;
mod materialize;
mod output;
mod session;
mod source;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod trunc;
mod warehouse;
mod zone;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use datafusion::physical_plan::execute_stream;
use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    name::Relation,
    port::{
        ByteSink, Engine, EngineConfig, Fault, FillOutcome, Progress, QueryOutcome, QuerySpec, SourceSeen, TableLog,
        TestOutcome,
    },
    project::Source,
    task::{Claim, FillSpec, TestSpec},
};

use crate::{
    fault::Author,
    session::Sessions,
    store::{Disk, OsDisk},
    warehouse::Warehouse,
};

/// The engine in this process. Cheap to share; all that it runs shares its memory bound.
pub struct EmbeddedEngine {
    warehouse: Arc<Warehouse>,
    sessions: Arc<Sessions>,
}

impl EmbeddedEngine {
    /// Over a warehouse folder, which is created with its first table.
    ///
    /// # Errors
    /// When the folder for what is spilled cannot be made.
    pub fn new(config: EngineConfig) -> Result<Self, Fault> {
        Self::on_disk(&config, Box::new(OsDisk))
    }

    fn on_disk(config: &EngineConfig, disk: Box<dyn Disk>) -> Result<Self, Fault> {
        let warehouse = Arc::new(Warehouse::new(config, disk)?);
        Ok(Self {
            sessions: Arc::new(Sessions::new(config, Arc::clone(&warehouse))?),
            warehouse,
        })
    }

    async fn run_query(&self, spec: &QuerySpec, sink: &mut dyn ByteSink) -> Result<QueryOutcome, Fault> {
        let author = Author::Typed;
        let to_fault = |error| fault::sql(&error, &author);
        let planned = self
            .sessions
            .plan(&spec.sql, &spec.bindings, &spec.zone, &Arc::default(), &author)
            .await?;
        let plan = planned
            .state
            .create_physical_plan(&planned.plan)
            .await
            .map_err(to_fault)?;
        let rows = execute_stream(plan, planned.state.task_ctx()).map_err(to_fault)?;
        output::write(rows, &spec.zone, spec.format, spec.limits, sink).await
    }
}

#[async_trait]
impl Engine for EmbeddedEngine {
    async fn fill(&self, spec: &FillSpec, claim: &Claim, progress: &dyn Progress) -> Result<FillOutcome, Fault> {
        materialize::fill(&self.sessions, &self.warehouse, spec, claim, progress).await
    }

    async fn test(&self, spec: &TestSpec) -> Result<Vec<TestOutcome>, Fault> {
        data_test::run(&self.sessions, spec).await
    }

    async fn query(&self, spec: &QuerySpec, sink: &mut dyn ByteSink) -> Result<QueryOutcome, Fault> {
        let limit = Duration::from_millis(spec.limits.timeout_ms);
        match tokio::time::timeout(limit, self.run_query(spec, sink)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(too_slow(spec.limits.timeout_ms)),
        }
    }

    async fn observe(&self, source: &Source, known: &SourceSeen) -> Result<SourceSeen, Fault> {
        source::observe(self.warehouse.root(), source, known).await
    }

    async fn commits_after(&self, relation: &Relation, version: Option<i64>) -> Result<Option<TableLog>, Fault> {
        log::commits_after(&self.warehouse, relation, version).await
    }
}

fn too_slow(timeout_ms: u64) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::QUERY_TIMEOUT,
            format!("the query was ended after {timeout_ms} ms, its limit"),
        )
        .with_remedy("ask for less: a filter on the event time, fewer columns; or allow it more time"),
    )
}
