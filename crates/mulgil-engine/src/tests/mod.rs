//! Fills, reads, histories and losses of power on real tables in temporary folders.

mod faults;
mod fills;
mod history;
mod incremental;
mod power;
mod reads;
mod slt;
mod statements;
mod versions;

use std::{
    path::PathBuf,
    sync::atomic::{AtomicI64, Ordering},
};

use async_trait::async_trait;
use mulgil_core::{
    environment::Environment,
    grid::{Cut, Grid, Unit, Zone},
    interval::{Instant, Interval},
    location::Location,
    name::{Instance, Key, NodeName, Relation},
    port::{
        ByteSink, Engine as _, EngineConfig, Fault, FillOutcome, Format, Progress, QueryLimits, SessionSpec, SqlSession,
    },
    project::{CodeFp, Materialization},
    publish::ReadVersion,
    task::{Binding, Claim, FillQuery, FillSpec, Hooks, Reads, ScriptSpec},
};
use tempfile::TempDir;

use crate::{
    EmbeddedEngine,
    store::{Disk, OsDisk},
};

/// The ledger of the tests.
const LEDGER: &str = "shop/dev";

/// An engine over a folder of its own.
pub(crate) struct World {
    dir: TempDir,
    engine: EmbeddedEngine,
    seq: AtomicI64,
}

/// The bounds of the tests' queries.
const LIMITS: QueryLimits = QueryLimits {
    timeout_ms: 60_000,
    max_rows: None,
};

struct NoProgress;

impl Progress for NoProgress {
    fn rows(&self, _rows: u64) {}
}

#[derive(Default)]
struct Bytes(Vec<u8>);

#[async_trait]
impl ByteSink for Bytes {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

pub(crate) fn config(dir: &TempDir) -> EngineConfig {
    EngineConfig {
        root: dir.path().to_owned(),
        warehouse: Location::Folder(dir.path().join("warehouse")),
        environment: Environment::default(),
        memory_bytes: 256 << 20,
        spill_dir: dir.path().join("spill"),
        spill_bytes: 1 << 30,
        partitions: 2,
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::over(dir, Box::new(OsDisk))
    }

    fn over(dir: TempDir, disk: Box<dyn Disk>) -> Self {
        let engine = EmbeddedEngine::on_disk(config(&dir), disk).unwrap();
        Self::of(dir, engine)
    }

    /// Its folder, with the tables in it.
    pub(crate) fn into_dir(self) -> TempDir {
        self.dir
    }

    pub(crate) fn of(dir: TempDir, engine: EmbeddedEngine) -> Self {
        Self {
            dir,
            engine,
            seq: AtomicI64::new(0),
        }
    }

    fn claim(&self) -> Claim {
        let seq = self.seq.fetch_add(1, Ordering::SeqCst) + 1;
        Claim {
            attempt: seq,
            epoch: seq,
            seq,
            ledger: LEDGER.to_owned(),
        }
    }

    fn session(&self, zone: &str, bindings: Vec<Binding>) -> Box<dyn SqlSession> {
        self.engine.session(&SessionSpec {
            bindings,
            zone: Zone::named(zone).unwrap(),
            schema: "shop".to_owned(),
            as_of: None,
        })
    }

    pub(crate) async fn fill(&self, spec: &FillSpec) -> Result<FillOutcome, Fault> {
        self.engine.fill(spec, &self.claim(), &NoProgress).await
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.dir.path().join("warehouse/shop").join(name)
    }

    /// A query's result as CSV lines, header first.
    pub(crate) async fn lines(&self, zone: &str, bindings: Vec<Binding>, sql: &str) -> Result<Vec<String>, Fault> {
        let mut session = self.session(zone, bindings);
        let mut sink = Bytes::default();
        session.run(sql, Format::Csv, LIMITS, &mut sink).await?;
        let text = String::from_utf8(sink.0).unwrap();
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// The rows of a query over one table by days of New York.
    async fn rows(&self, sql: &str) -> Vec<String> {
        let lines = self
            .lines("America/New_York", vec![days_table(None)], sql)
            .await
            .unwrap();
        lines[1..].to_vec()
    }
}

fn relation(name: &str) -> Relation {
    Relation {
        schema: "shop".to_owned(),
        name: name.to_owned(),
    }
}

fn at(text: &str) -> Instant {
    Instant::from_timestamp(text.parse().unwrap())
}

fn grid(unit: Unit, zone: &str) -> Grid {
    Grid {
        cut: Cut::Unit(unit),
        zone: Zone::named(zone).unwrap(),
        begin: None,
        end: None,
    }
}

/// Days of New York, as civil dates, the last one excluded.
fn days(from: &str, to: &str) -> Interval {
    let zone = Zone::named("America/New_York").unwrap();
    let start = |date: &str| {
        let date: jiff::civil::Date = date.parse().unwrap();
        Instant::from_timestamp(date.to_zoned(zone.tz().clone()).unwrap().timestamp())
    };
    Interval::new(start(from), start(to)).unwrap()
}

pub(crate) fn binding(name: &str, grid: Grid, event_time: Option<&str>, scope: Option<Interval>, key: Key) -> Binding {
    Binding {
        schema: None,
        name: name.to_owned(),
        reads: Reads::Table {
            relation: relation(name),
            grid,
            event_time: event_time.map(str::to_owned),
            scope,
            key,
            version: ReadVersion::Newest,
        },
    }
}

/// The table `t` by days of New York.
fn days_table(scope: Option<Interval>) -> Binding {
    binding(
        "t",
        grid(Unit::Day, "America/New_York"),
        Some("at"),
        scope,
        Key::default(),
    )
}

/// A fill of the table `t` by days of New York.
fn fill_days(range: Interval, sql: &str) -> FillSpec {
    FillSpec {
        instance: Instance::of(NodeName::new("t")),
        relation: relation("t"),
        materialization: Materialization::Interval,
        grid: grid(Unit::Day, "America/New_York"),
        event_time: Some("at".to_owned()),
        incremental: None,
        range,
        queries: vec![FillQuery {
            range,
            sql: sql.to_owned(),
            bindings: Vec::new(),
        }],
        fingerprint: CodeFp::default(),
        replaces_all: false,
        may_replace_all: false,
        hooks: Hooks::default(),
    }
}

/// A fill of a table without a grid.
pub(crate) fn fill_table(name: &str, sql: &str, bindings: Vec<Binding>) -> FillSpec {
    FillSpec {
        instance: Instance::of(NodeName::new(name)),
        relation: relation(name),
        materialization: Materialization::Table,
        grid: Grid::whole(Zone::UTC),
        event_time: None,
        incremental: None,
        range: Interval::WHOLE,
        queries: vec![FillQuery {
            range: Interval::WHOLE,
            sql: sql.to_owned(),
            bindings,
        }],
        fingerprint: CodeFp::default(),
        replaces_all: true,
        may_replace_all: false,
        hooks: Hooks::default(),
    }
}

/// SQL that gives one row per hour `[from, to)` in UTC, counted from 0 in `n`.
fn hours_sql(range: Interval) -> String {
    format!(
        "select to_timestamp_micros(u)::timestamptz as at, (u - {start}) / 3600000000 as n \
         from (select unnest(range({start}, {end}, 3600000000)) as u)",
        start = range.start.0,
        end = range.end.0
    )
}
