//! A small project made by hand, and short ways to say what happens to it.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use mulgil_core::{
    data_test::Thresholds,
    diagnostic::{Place, Severity},
    grid::{Cut, Grid, Unit, Zone},
    interval::{Instant, Interval, RangeSet},
    location::{Location, StoreOptions},
    mapping::Mapping,
    name::{Instance, Key, NodeName, Relation},
    port::{Author, Commit, CommitTag, Fault, FillOutcome, Filled, SourceSeen, TableLog, Touched},
    project::{
        Batch, CodeFp, DataTest, FileFormat, FilePattern, Fingerprint, Input, KeyColumn, Materialization, Missed, Node,
        Project, Publish, Source, TestKind, Upstream,
    },
    run::{TaskKind, Trigger},
    task::{Claim, Column, FileSeen, FillSpec, Hooks},
};
use mulgil_store::{ClaimRequest, EndedStep, LedgerPlace, NewRun, Recorded, StepStart, StepsTurn, Store};

use crate::postgres::Server;

pub(crate) const LEDGER: &str = "shop/dev";
/// The id of every table.
pub(crate) const TABLE: &str = "0f1e";
const DAY_US: i64 = 86_400_000_000;

/// The `n`-th day from 2026-01-01, UTC.
pub(crate) fn day(n: i64) -> Interval {
    days(n, n + 1)
}

/// Days `from..to` from 2026-01-01, UTC.
pub(crate) fn days(from: i64, to: i64) -> Interval {
    let epoch = 1_767_225_600_000_000;
    Interval {
        start: Instant(epoch + from * DAY_US),
        end: Instant(epoch + to * DAY_US),
    }
}

/// The `n`-th hour from 2026-01-01, UTC.
pub(crate) fn hour(n: i64) -> Interval {
    let start = days(0, 1).start.0 + n * DAY_US / 24;
    Interval {
        start: Instant(start),
        end: Instant(start + DAY_US / 24),
    }
}

/// Minute `n` of the story that a test tells.
pub(crate) fn minute(n: i64) -> Instant {
    Instant(days(100, 101).start.0 + n * 60_000_000)
}

pub(crate) fn set(ranges: impl IntoIterator<Item = Interval>) -> RangeSet {
    ranges.into_iter().collect()
}

pub(crate) fn instance(text: &str) -> Instance {
    Instance::parse(text).expect("an instance")
}

pub(crate) fn by(unit: Unit) -> Grid {
    Grid {
        cut: Cut::Unit(unit),
        zone: Zone::UTC,
        begin: None,
        end: None,
    }
}

pub(crate) fn node(name: &str, grid: Grid, reads: &[(&str, Mapping)]) -> Node {
    let input = |(from, mapping): &(&str, Mapping)| Input {
        from: if from.contains('.') {
            Upstream::Source((*from).into())
        } else {
            Upstream::Node((*from).into())
        },
        mapping: *mapping,
        shared_keys: Vec::new(),
    };
    Node {
        name: name.into(),
        materialization: if grid.is_cut() {
            Materialization::Interval
        } else {
            Materialization::Table
        },
        relation: Relation {
            schema: "dev_shop".to_owned(),
            name: name.to_owned(),
        },
        grid,
        event_time: Some("event_at".to_owned()),
        incremental: None,
        keys: Vec::new(),
        reads: reads.iter().map(|read| input(read).from).collect(),
        inputs: reads.iter().map(input).collect(),
        fingerprint: code(1),
        batch: Batch::Unbounded,
        schedule: None,
        missed: Missed::All,
        lookback: 0,
        settle_us: 0,
        partial: false,
        tests: Vec::new(),
        publish: Publish::AtOnce,
        tags: Vec::new(),
        description: None,
        columns: BTreeMap::new(),
        owner: None,
        file: PathBuf::from(format!("models/{name}.sql")),
    }
}

pub(crate) fn with_countries(mut node: Node) -> Node {
    node.keys = vec![KeyColumn {
        name: "country".to_owned(),
        values: vec!["kr".to_owned(), "jp".to_owned()],
    }];
    for input in &mut node.inputs {
        input.shared_keys = vec!["country".to_owned()];
    }
    node
}

pub(crate) fn with_test(mut node: Node, name: &str, severity: Severity) -> Node {
    node.tests.push(DataTest {
        name: name.to_owned(),
        kind: TestKind::NotNull {
            column: "id".to_owned(),
        },
        severity,
        thresholds: Thresholds::default(),
        fingerprint: Fingerprint::of_text(name),
        place: Place::file("models/schema.yml"),
    });
    node
}

pub(crate) fn source(name: &str, files: FilePattern) -> Source {
    let grid = match &files {
        FilePattern::Single(_) => Grid::whole(Zone::UTC),
        FilePattern::PerInterval { unit, .. } => by(*unit),
    };
    Source {
        name: name.into(),
        files,
        store: StoreOptions::default(),
        format: FileFormat::JsonLines,
        grid,
        event_time: Some("event_at".to_owned()),
        zone: Zone::UTC,
        columns: BTreeMap::new(),
        description: None,
        place: Place::file("mulgil.yml"),
    }
}

/// `raw.events` (a file a day) and `raw.weather` (one file) → `flights`, `weather` (days) →
/// `windows` (3 days), `months`, `total` (a table that is restated), `sales` (by country) →
/// `report` (by country), `both` (reads all countries).
pub(crate) fn shop() -> Project {
    let window = Mapping::Window {
        count: 3,
        unit: Unit::Day,
    };
    let keyed_reader = with_countries(node("report", by(Unit::Day), &[("sales", Mapping::Overlap)]));
    Project {
        name: "shop".to_owned(),
        environment: "dev".to_owned(),
        zone: Zone::UTC,
        schema: "dev_shop".to_owned(),
        root: PathBuf::from("/project"),
        warehouse: Location::Folder(PathBuf::from("/project/warehouse")),
        nodes: vec![
            node("flights", by(Unit::Day), &[("raw.events", Mapping::Overlap)]),
            node("weather", by(Unit::Day), &[("raw.weather", Mapping::Overlap)]),
            node(
                "windows",
                by(Unit::Day),
                &[("flights", window), ("weather", Mapping::Overlap)],
            ),
            node("months", by(Unit::Month), &[("flights", Mapping::Overlap)]),
            node(
                "total",
                Grid::whole(Zone::UTC),
                &[("months", Mapping::Whole { restates: true })],
            ),
            node(
                "loose",
                by(Unit::Day),
                &[("flights", Mapping::Whole { restates: false })],
            ),
            with_test(
                with_countries(node("sales", by(Unit::Day), &[("flights", Mapping::Overlap)])),
                "not_null_sales_id",
                Severity::Error,
            ),
            keyed_reader,
            node("both", by(Unit::Day), &[("sales", Mapping::Overlap)]),
        ],
        sources: vec![
            source(
                "raw.events",
                FilePattern::PerInterval {
                    template: "data/{YYYYMMDD}.json".to_owned(),
                    unit: Unit::Day,
                },
            ),
            source("raw.weather", FilePattern::Single("data/weather.json".into())),
        ],
        flows: Vec::new(),
        webhooks: BTreeMap::new(),
    }
}

pub(crate) fn code(n: u128) -> CodeFp {
    CodeFp {
        code: Fingerprint(n),
        schema: Fingerprint(0),
    }
}

/// An interval whose rows hash to `content`.
pub(crate) fn filled(interval: Interval, content: u128) -> Filled {
    Filled {
        interval,
        rows: 10,
        content: Fingerprint(content),
    }
}

pub(crate) fn columns() -> Vec<Column> {
    vec![Column {
        name: "id".to_owned(),
        data_type: "Int64".to_owned(),
    }]
}

/// Whether this module is the one that is compiled for a ledger on a server.
pub(crate) fn is_on_server() -> bool {
    module_path!().contains("::with_postgres::")
}

/// A ledger of its own that need not survive a power loss.
pub(crate) async fn scratch() -> Store {
    if is_on_server() {
        Store::open(&fresh_schema(), LEDGER)
            .await
            .expect("a ledger on a server")
    } else {
        Store::scratch(&LedgerPlace::folder("/nowhere", "dev"), LEDGER)
            .await
            .expect("a scratch ledger")
    }
}

/// A schema of the shared server that nobody has used.
pub(crate) fn fresh_schema() -> LedgerPlace {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let schema = format!("s{}_{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
    LedgerPlace::postgres(&Server::shared().url(&schema), LEDGER).expect("a place")
}

pub(crate) async fn begin(store: &Store, manual: Vec<(Instance, RangeSet)>) -> i64 {
    let new = NewRun {
        trigger: Trigger::Manual,
        selector: String::new(),
        manual,
        again: Vec::new(),
        named: Vec::new(),
        backfill: None,
    };
    store.begin_run(new, minute(0)).await.expect("a run").id
}

pub(crate) fn request(project: &Project, run: i64, of: &Instance, range: Interval) -> ClaimRequest {
    let node = project.node(&of.node).expect("a node");
    ClaimRequest {
        run,
        instance: of.clone(),
        relation: node.relation.clone(),
        range,
        kind: TaskKind::Fill,
        reason: serde_json::json!({"kind": "missing"}),
        fingerprint: node.fingerprint,
    }
}

pub(crate) fn spec(project: &Project, of: &Instance, range: Interval) -> FillSpec {
    let node = project.node(&of.node).expect("a node");
    FillSpec {
        instance: of.clone(),
        relation: node.relation.clone(),
        materialization: node.materialization,
        grid: node.grid.clone(),
        event_time: node.event_time.clone(),
        incremental: None,
        range,
        queries: Vec::new(),
        fingerprint: node.fingerprint,
        replaces_all: false,
        may_replace_all: false,
        hooks: Hooks::default(),
    }
}

/// The intervals of a range by the node's grid, each with the same content.
pub(crate) fn tiles(project: &Project, of: &Instance, range: Interval, content: u128) -> Vec<Filled> {
    let node = project.node(&of.node).expect("a node");
    if !node.grid.is_cut() {
        return vec![filled(range, content)];
    }
    let mut tiles = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let interval = node.grid.interval_at(at);
        tiles.push(filled(interval, content));
        at = interval.end;
    }
    tiles
}

pub(crate) async fn record(
    store: &Store,
    project: &Project,
    claim: &Claim,
    of: &str,
    range: Interval,
    (content, version): (u128, i64),
    at: i64,
) -> Recorded {
    let of = instance(of);
    let outcome = FillOutcome {
        version: Some(version),
        table_id: Some(TABLE.to_owned()),
        intervals: tiles(project, &of, range, content),
        written: 0,
        columns: columns(),
        replaced_all: false,
        growth: mulgil_core::port::Growth::default(),
    };
    let spec = spec(project, &of, range);
    store
        .record_fill(project, claim, &spec, &outcome, minute(at))
        .await
        .expect("recorded")
}

pub(crate) async fn claim(store: &Store, project: &Project, of: &str, range: Interval, at: i64) -> Claim {
    let request = request(project, 1, &instance(of), range);
    store.claim(request, minute(at)).await.expect("claimed")
}

/// The version of a node's table up to which every commit is recorded.
pub(crate) async fn recorded_version(store: &Store, node: &Node) -> Option<i64> {
    let known = store.known_tables().await.expect("the known tables");
    known.get(&node.relation).and_then(|table| table.version)
}

/// A claim and its fill: the next version of the table.
pub(crate) async fn fill(
    store: &Store,
    project: &Project,
    of: &str,
    range: Interval,
    content: u128,
    at: i64,
) -> Recorded {
    let node = project.node(&instance(of).node).expect("a node");
    let version = recorded_version(store, node).await.map_or(0, |version| version + 1);
    let claim = claim(store, project, of, range, at).await;
    record(store, project, &claim, of, range, (content, version), at).await
}

pub(crate) fn file(n: i64, content: &str) -> FileSeen {
    FileSeen {
        path: PathBuf::from(format!("data/day-{n:03}.json")),
        size: 100,
        modified_ns: 1,
        content: content.to_owned(),
        interval: Some(day(n)),
    }
}

pub(crate) fn seen(files: impl IntoIterator<Item = FileSeen>) -> SourceSeen {
    SourceSeen {
        files: files.into_iter().collect(),
        columns: columns(),
        hours: Vec::new(),
        read_as: None,
    }
}

pub(crate) fn log_of(version: i64, commits: Vec<Commit>) -> TableLog {
    let seqs = commits.iter().filter_map(|commit| match &commit.author {
        Author::Ours(tag) => Some(tag.seq),
        Author::Restored(tag) => Some(tag.seq),
        Author::Foreign => None,
    });
    TableLog {
        table_id: TABLE.to_owned(),
        version,
        highest_seq: seqs.max().unwrap_or(0),
        commits,
        gap: false,
        bytes: 1000,
        files: 10,
    }
}

pub(crate) fn foreign(version: i64, at: Instant, touched: &[(&str, Interval)]) -> Commit {
    let touched = touched.iter().map(|(key, at)| Touched {
        instance_key: Key(key
            .split_once('=')
            .map(|(column, value)| (column.to_owned(), value.to_owned()))
            .into_iter()
            .collect()),
        at: *at,
    });
    Commit {
        version,
        committed_at_us: at.0,
        author: Author::Foreign,
        touched: touched.collect(),
    }
}

pub(crate) fn ours(version: i64, claim: &Claim, of: &str, range: Interval, intervals: Vec<Filled>) -> Commit {
    let of = instance(of);
    Commit {
        version,
        committed_at_us: minute(1).0,
        touched: vec![Touched {
            instance_key: of.key.clone(),
            at: range,
        }],
        author: Author::Ours(CommitTag {
            ledger: claim.ledger.clone(),
            seq: claim.seq,
            attempt: claim.attempt,
            instance: of,
            range,
            fingerprint: code(1),
            intervals,
            replaces_all: false,
            total: None,
            then_hooks: false,
        }),
    }
}

/// What is stale and due of an instance, by cause, as one line each.
pub(crate) async fn stale(store: &Store, project: &Project, of: &str) -> Vec<String> {
    let state = store.load_state(project).await.expect("a state");
    let Some(node) = state.nodes.get(&instance(of)) else {
        return Vec::new();
    };
    node.dirty
        .iter()
        .map(|(cause, ranges)| format!("{cause:?} {}", in_days(ranges)))
        .collect()
}

/// Ranges as days from 2026-01-01: `3..5, 9..10`.
pub(crate) fn in_days(ranges: &RangeSet) -> String {
    let number = |at: Instant| match at {
        Instant::MIN => "-inf".to_owned(),
        Instant::MAX => "inf".to_owned(),
        at => ((at.0 - days(0, 1).start.0) / DAY_US).to_string(),
    };
    let texts: Vec<String> = ranges
        .iter()
        .map(|range| format!("{}..{}", number(range.start), number(range.end)))
        .collect();
    texts.join(", ")
}

pub(crate) async fn filled_days(store: &Store, project: &Project, of: &str) -> String {
    let state = store.load_state(project).await.expect("a state");
    in_days(
        &state
            .nodes
            .get(&instance(of))
            .map(|node| node.filled.keys())
            .unwrap_or_default(),
    )
}

pub(crate) fn name(text: &str) -> NodeName {
    text.into()
}

/// Begins and ends of steps, each by itself.
pub(crate) trait Steps {
    async fn begin_steps(
        &self,
        run: i64,
        flow: &str,
        interval: Interval,
        starts: Vec<StepStart>,
        now: Instant,
    ) -> Result<Vec<(i64, i64)>, Fault>;

    async fn end_steps(
        &self,
        run: i64,
        flow: &str,
        interval: Interval,
        ended: Vec<EndedStep>,
        now: Instant,
    ) -> Result<Vec<i64>, Fault>;
}

impl Steps for Store {
    async fn begin_steps(
        &self,
        run: i64,
        flow: &str,
        interval: Interval,
        starts: Vec<StepStart>,
        now: Instant,
    ) -> Result<Vec<(i64, i64)>, Fault> {
        let turn = StepsTurn {
            run,
            flow: flow.to_owned(),
            interval,
            ended: Vec::new(),
            starts,
        };
        Ok(self.take_steps(vec![turn], now).await?.remove(0).claims)
    }

    async fn end_steps(
        &self,
        run: i64,
        flow: &str,
        interval: Interval,
        ended: Vec<EndedStep>,
        now: Instant,
    ) -> Result<Vec<i64>, Fault> {
        let turn = StepsTurn {
            run,
            flow: flow.to_owned(),
            interval,
            ended,
            starts: Vec::new(),
        };
        Ok(self.take_steps(vec![turn], now).await?.remove(0).fenced)
    }
}
