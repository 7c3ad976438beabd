//! The embedded engine: DataFusion over Delta tables in a folder or a bucket, behind core's `Engine`.
//! It fills tables, runs queries and data tests, looks at sources and reads tables' histories. It
//! knows no ledger, no schedule and no clock: what is due, when and why is decided elsewhere.

mod catalog;
mod commit;
mod content;
mod cpu;
mod data_test;
mod fault;
mod hidden;
mod log;
mod materialize;
mod meaning;
mod names;
mod output;
mod past;
mod planner;
mod restore;
mod session;
mod source;
mod statement;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod trunc;
mod warehouse;
mod zone;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    interval::Instant,
    name::Relation,
    port::{
        ByteSink, Engine, EngineConfig, Fault, FillOutcome, Maintained, Progress, RestoreTag, ScriptStatement,
        SessionSpec, SourceSeen, SqlSession, TableLog, TestOutcome,
    },
    project::Source,
    task::{Claim, FillSpec, ScriptSpec, TestSpec},
};
use tokio::sync::{OnceCell, mpsc, watch};

use crate::{
    cpu::Cpu,
    fault::Author,
    planner::memory,
    session::Sessions,
    store::{Disk, OsDisk},
    warehouse::Warehouse,
};

/// The engine in this process, on threads of its own. All that it runs shares its memory bound.
pub struct EmbeddedEngine {
    inner: Arc<Inner>,
    cpu: Arc<Cpu>,
}

struct Inner {
    config: EngineConfig,
    warehouse: Arc<Warehouse>,
    /// Made when SQL is first run: who only looks writes nothing to disk.
    sessions: OnceCell<Arc<Sessions>>,
}

impl EmbeddedEngine {
    /// Over a warehouse: a folder, which is created with its first table, or a place in a bucket.
    ///
    /// # Errors
    /// When its threads cannot be started, or there are no credentials for the bucket.
    pub fn new(config: EngineConfig) -> Result<Self, Fault> {
        Self::on_disk(config, Box::new(OsDisk))
    }

    /// Tries out what tables need of the object store that they lie in, and leaves nothing there; of a folder
    /// nothing is tried.
    ///
    /// # Errors
    /// A coded MG2 fault, as the first fill would meet it.
    pub async fn try_out(&self) -> Result<(), Fault> {
        let inner = Arc::clone(&self.inner);
        self.cpu.run(async move { inner.warehouse.try_out().await }).await
    }

    fn on_disk(config: EngineConfig, disk: Box<dyn Disk>) -> Result<Self, Fault> {
        Ok(Self {
            cpu: Arc::new(Cpu::new(config.partitions)?),
            inner: Arc::new(Inner {
                warehouse: Arc::new(Warehouse::new(&config, disk)?),
                sessions: OnceCell::new(),
                config,
            }),
        })
    }
}

impl Inner {
    async fn sessions(&self) -> Result<&Arc<Sessions>, Fault> {
        let make = || async { Sessions::new(&self.config, Arc::clone(&self.warehouse)).map(Arc::new) };
        self.sessions.get_or_try_init(make).await
    }
}

#[async_trait]
impl Engine for EmbeddedEngine {
    async fn fill(&self, spec: &FillSpec, claim: &Claim, progress: &dyn Progress) -> Result<FillOutcome, Fault> {
        let (inner, spec, claim) = (Arc::clone(&self.inner), spec.clone(), claim.clone());
        let (told, mut rows) = watch::channel(0);
        let work = self.cpu.run(async move {
            let sessions = inner.sessions().await?;
            materialize::fill(sessions, &inner.warehouse, &spec, &claim, &RowsTold(told)).await
        });
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                outcome = &mut work => return outcome,
                Ok(()) = rows.changed() => progress.rows(*rows.borrow_and_update()),
            }
        }
    }

    async fn test(&self, spec: &TestSpec) -> Result<Vec<TestOutcome>, Fault> {
        let (inner, spec) = (Arc::clone(&self.inner), spec.clone());
        let work = async move {
            let sessions = inner.sessions().await?;
            match data_test::run(sessions, &spec).await {
                Err(fault) if memory::is_short(&fault) => {
                    let outcome = data_test::run(&sessions.frugal(), &spec).await;
                    outcome.map_err(|fault| sessions.limits().named(fault))
                }
                outcome => outcome,
            }
        };
        self.cpu.run(work).await
    }

    fn statements(&self, script: &str) -> Result<Vec<ScriptStatement>, Fault> {
        let parsed = statement::parse::statements(script, &Author::Typed)?;
        Ok(parsed
            .into_iter()
            .map(|parsed| ScriptStatement {
                only_reads: parsed.only_reads(),
                sql: parsed.text,
            })
            .collect())
    }

    fn session(&self, spec: &SessionSpec) -> Box<dyn SqlSession> {
        Box::new(statement::Session::new(
            Arc::clone(&self.inner),
            Arc::clone(&self.cpu),
            spec.clone(),
        ))
    }

    async fn script(&self, spec: &ScriptSpec) -> Result<(), Fault> {
        let (inner, spec) = (Arc::clone(&self.inner), spec.clone());
        self.cpu
            .run(async move { Box::pin(statement::script(&inner, &spec)).await })
            .await
    }

    async fn observe(&self, source: &Source, known: &SourceSeen) -> Result<SourceSeen, Fault> {
        let (inner, source, known) = (Arc::clone(&self.inner), source.clone(), known.clone());
        let work = async move {
            {
                let files = inner.warehouse.files(&source)?;
                source::observe(&files, &source, &known).await
            }
        };
        self.cpu.run(work).await
    }

    async fn commits_after(&self, relation: &Relation, version: Option<i64>) -> Result<Option<TableLog>, Fault> {
        let (inner, relation) = (Arc::clone(&self.inner), relation.clone());
        let work = async move { log::commits_after(&inner.warehouse, &relation, version).await };
        self.cpu.run(work).await
    }

    async fn maintain(&self, relation: &Relation, now: Instant) -> Result<Maintained, Fault> {
        let (inner, relation) = (Arc::clone(&self.inner), relation.clone());
        let work = async move { statement::maintain::maintain(inner.sessions().await?, &relation, now).await };
        self.cpu.run(work).await
    }

    async fn restore(&self, relation: &Relation, tag: &RestoreTag) -> Result<i64, Fault> {
        let (inner, relation, tag) = (Arc::clone(&self.inner), relation.clone(), tag.clone());
        let work = async move { restore::restore(&inner.warehouse, &relation, &tag).await };
        self.cpu.run(work).await
    }

    async fn drop_table(&self, relation: &Relation) -> Result<(), Fault> {
        let (inner, relation) = (Arc::clone(&self.inner), relation.clone());
        let work = async move { inner.warehouse.drop_table(&relation).await };
        self.cpu.run(work).await
    }
}

/// Rows so far, told across threads; who listens takes the newest.
struct RowsTold(watch::Sender<u64>);

impl Progress for RowsTold {
    fn rows(&self, rows: u64) {
        // Nobody listens any more when the fill was given up.
        let _ = self.0.send(rows);
    }
}

/// A result's bytes, passed across threads.
struct Pieces(mpsc::Sender<Vec<u8>>);

#[async_trait]
impl ByteSink for Pieces {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let sent = self.0.send(bytes.to_vec()).await;
        sent.map_err(|_| Box::new(Diagnostic::error(codes::BUG, "the reader of the result is gone")))
    }
}

fn too_slow(limit: Duration) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::QUERY_TIMEOUT,
            format!("the query was ended after {} ms, its limit", limit.as_millis()),
        )
        .with_remedy("ask for less: a filter on the event time, fewer columns; or allow it more time"),
    )
}
