//! What the light side asks of the heavy side. No Arrow type crosses here.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    diagnostic::Diagnostic,
    environment::Environment,
    grid::Zone,
    interval::{Instant, Interval, RangeSet},
    location::Location,
    name::{Instance, NodeName, Relation},
    project::{CodeFp, Fingerprint, Source},
    task::{Binding, Claim, Column, FileSeen, FillSpec, ScriptSpec, TestSpec},
};

/// A coded failure; boxed because it is rare and large.
pub type Fault = Box<Diagnostic>;

/// Where the bytes of a query's result go.
#[async_trait]
pub trait ByteSink: Send {
    /// Takes the next bytes; slow readers hold the query back.
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Fault>;
}

/// The warehouse: runs SQL, keeps tables.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Makes the rows of a fill and commits them with the claim's sequence number as the app
    /// transaction. Data is durable when it returns. Refuses when the table already records that
    /// number or a higher one (fenced).
    async fn fill(&self, spec: &FillSpec, claim: &Claim, progress: &dyn Progress) -> Result<FillOutcome, Fault>;

    /// Runs data tests; a test that cannot be run is a fault, one that fails is an outcome.
    async fn test(&self, spec: &TestSpec) -> Result<Vec<TestOutcome>, Fault>;

    /// The statements of a script, in order. What does not parse is a fault before anything runs.
    fn statements(&self, script: &str) -> Result<Vec<ScriptStatement>, Fault>;

    /// Begins to run statements one after another.
    fn session(&self, spec: &SessionSpec) -> Box<dyn SqlSession>;

    /// Runs statements, one after the other; what one has done is durable when the next begins, and
    /// stays where a later one fails.
    async fn script(&self, spec: &ScriptSpec) -> Result<(), Fault>;

    /// Looks at a source's files. What is as in `known` is not read again.
    async fn observe(&self, source: &Source, known: &SourceSeen) -> Result<SourceSeen, Fault>;

    /// The commits of a table after a version (all where absent), oldest first; nothing when there
    /// is no table.
    async fn commits_after(&self, relation: &Relation, version: Option<i64>) -> Result<Option<TableLog>, Fault>;

    /// Puts small files of a table together where they are many, and removes files that only versions
    /// older than the time of grace have. Changes no row. Not beside a fill of the table.
    async fn maintain(&self, relation: &Relation, now: Instant) -> Result<Maintained, Fault>;

    /// Takes a table back to the version that a tag names, by one new commit that carries the tag and its
    /// number as the app transaction; gives that commit's version. It holds all or nothing of the older
    /// version, columns among it.
    async fn restore(&self, relation: &Relation, tag: &RestoreTag) -> Result<i64, Fault>;

    /// Removes a table with all its versions; nothing where there is none. Who reads it at that moment
    /// may fail.
    async fn drop_table(&self, relation: &Relation) -> Result<(), Fault>;
}

/// What the maintenance of a table did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintained {
    /// Small files that were put together.
    pub small_files: u64,
    /// Files in their place.
    pub large_files: u64,
    /// Files that were removed because only old versions had them.
    pub removed_files: u64,
}

/// Told how far a fill is; called often, must return at once.
pub trait Progress: Send + Sync {
    /// Rows written so far in this fill.
    fn rows(&self, rows: u64);
}

/// What a fill made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FillOutcome {
    /// The table's version after the commit; none for a view.
    pub version: Option<i64>,
    /// The table's own id; none for a view.
    pub table_id: Option<String>,
    /// Each interval of the range with its rows and content, in order; one entry without a grid: what
    /// all of the table holds now.
    pub intervals: Vec<Filled>,
    /// Rows that the queries gave.
    pub written: u64,
    /// The columns that readers see.
    pub columns: Vec<Column>,
    /// Whether all that the table had was replaced, outside the fill's range too.
    pub replaced_all: bool,
    /// What the commit added to the table's size.
    pub growth: Growth,
}

/// By how much a commit made a table larger, or smaller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Growth {
    /// Bytes of data files.
    pub bytes: i64,
    /// Data files.
    pub files: i64,
}

/// One filled interval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filled {
    /// Which.
    pub interval: Interval,
    /// Its rows.
    pub rows: u64,
    /// The order-independent hash of its rows and their columns.
    pub content: Fingerprint,
}

/// How a data test ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestOutcome {
    /// The test's name.
    pub name: String,
    /// Rows that break it.
    pub failures: u64,
    /// A few of them, as JSON objects.
    pub sample: Vec<serde_json::Value>,
}

/// Statements that are run one after another: queries, and what changes or defines tables.
#[async_trait]
pub trait SqlSession: Send {
    /// Lets the statements that follow name these.
    fn bind(&mut self, bindings: Vec<Binding>);

    /// Runs one statement; the rows of a query go to the sink. Each statement that writes commits by
    /// itself; between `begin` and `commit` queries read one version of each table.
    async fn run(
        &mut self,
        sql: &str,
        format: Format,
        limits: QueryLimits,
        sink: &mut dyn ByteSink,
    ) -> Result<StatementOutcome, Fault>;
}

/// One statement of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptStatement {
    /// Its text, after as many line breaks and blanks as the script has before it: places in it are
    /// places in the script.
    pub sql: String,
    /// Whether it only reads. What does not, must not run beside another writer of the environment.
    pub only_reads: bool,
}

/// What the statements of a session may name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionSpec {
    /// Every relation of the project, by its node's name and by `schema.name`. What else lies in the
    /// warehouse is found there.
    pub bindings: Vec<Binding>,
    /// The session's zone.
    pub zone: Zone,
    /// Where names lie that are written without a schema and that no binding has.
    pub schema: String,
    /// The moment at which tables are read; now where absent. Then nothing may be written.
    pub as_of: Option<Instant>,
}

/// What a statement did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum StatementOutcome {
    /// It gave rows.
    Rows(QueryOutcome),
    /// It changed rows of a table.
    Changed {
        /// Which table.
        relation: Relation,
        /// Rows that came.
        inserted: u64,
        /// Rows with other values.
        updated: u64,
        /// Rows that went.
        deleted: u64,
        /// The table's version with them; none where no row changed.
        version: Option<u64>,
    },
    /// It did something else.
    Done {
        /// What, in a sentence without a full stop.
        said: String,
    },
}

/// How a result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For eyes; columns as wide as their first rows ask.
    Table,
    /// RFC 4180 with a header line; NULL is the empty field.
    Csv,
    /// One array of objects.
    Json,
    /// One object a line.
    JsonLines,
    /// One Parquet file, its columns of the result's own types.
    Parquet,
    /// One Excel workbook with one sheet.
    Xlsx,
}

impl Format {
    /// Whether its bytes are for programs alone: no text, nothing for a terminal.
    pub fn is_binary(self) -> bool {
        match self {
            Self::Table | Self::Csv | Self::Json | Self::JsonLines => false,
            Self::Parquet | Self::Xlsx => true,
        }
    }
}

/// Bounds of one query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryLimits {
    /// Milliseconds after which it is ended.
    pub timeout_ms: u64,
    /// Rows after which the output ends; none for no bound.
    pub max_rows: Option<u64>,
}

/// What a query gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryOutcome {
    /// Rows written.
    pub rows: u64,
    /// Whether `max_rows` cut it.
    pub truncated: bool,
}

/// A source as it was seen: what the ledger keeps and hands back as `known`.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SourceSeen {
    /// Its files now, by interval and path.
    pub files: Vec<FileSeen>,
    /// Its columns: inferred at the first look that found a file, then fixed for as long as it is
    /// `read_as` it was.
    pub columns: Vec<Column>,
    /// For a single file with an event time: its rows' content by UTC hour, in order, for hours
    /// that have rows. Rows with a NULL event time are a fault.
    pub hours: Vec<Filled>,
    /// What `columns` and `hours` were found with: format, event time and zone of the declaration.
    #[serde(default)]
    pub read_as: Option<Fingerprint>,
}

impl SourceSeen {
    /// Where there are files: the union of the intervals in their names, or all of time for a
    /// single file that is there.
    pub fn available(&self) -> RangeSet {
        self.files
            .iter()
            .map(|file| file.interval.unwrap_or(Interval::WHOLE))
            .collect()
    }
}

/// A table's history, as far as asked.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TableLog {
    /// The table's own id, which it keeps for as long as it lives.
    pub table_id: String,
    /// Its newest version.
    pub version: i64,
    /// The highest sequence number that any of the ledger's claims left in it.
    pub highest_seq: i64,
    /// The commits asked for, oldest first.
    pub commits: Vec<Commit>,
    /// Whether the log no longer reaches back to the version asked for; then what is missing
    /// counts as a foreign commit over all of it.
    pub gap: bool,
    /// Bytes and files of the newest version.
    pub bytes: u64,
    /// Files of the newest version.
    pub files: u64,
}

/// One commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Its version.
    pub version: i64,
    /// When, in microseconds since 1970.
    pub committed_at_us: i64,
    /// Who.
    pub author: Author,
    /// The partitions whose rows it may have changed, as ranges of time by the values of
    /// `_interval`; [`Interval::WHOLE`] where it cannot tell. Empty for maintenance.
    pub touched: Vec<Touched>,
}

/// A range that a commit touched, of one instance's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// Whose.
    pub instance_key: crate::name::Key,
    /// The starts of the intervals; the ledger widens them to the grid's intervals. WHOLE: all.
    pub at: Interval,
}

/// Who wrote a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Author {
    /// A claim of this ledger, or of an earlier one of the same project and environment.
    Ours(CommitTag),
    /// A person, by this ledger or an earlier one: the table went back to an earlier version.
    Restored(RestoreTag),
    /// Anybody else.
    Foreign,
}

/// What our commits that take a table back say of themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreTag {
    /// Whose ledger: `<project>/<environment>`.
    pub ledger: String,
    /// The commit's sequence number.
    pub seq: i64,
    /// Whose table.
    pub node: NodeName,
    /// The version that it holds again.
    #[serde(rename = "restores")]
    pub to: i64,
    /// The node's code at that time: until it is another, nothing is filled by itself.
    pub fingerprint: CodeFp,
}

/// What our commits say of themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitTag {
    /// Whose ledger: `<project>/<environment>`.
    pub ledger: String,
    /// The claim's sequence number.
    pub seq: i64,
    /// The attempt.
    pub attempt: i64,
    /// What was filled.
    pub instance: Instance,
    /// The range.
    pub range: Interval,
    /// With what.
    pub fingerprint: CodeFp,
    /// What was made.
    pub intervals: Vec<Filled>,
    /// Whether the commit removed all else that the table held.
    #[serde(default)]
    pub replaces_all: bool,
    /// What an incremental table holds of the instance after the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<RowSum>,
    /// Whether hooks were still to run after it. Who finds it unrecorded cannot know whether they did.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub then_hooks: bool,
}

/// Rows, counted and added up, so that others can be added and taken away without looking at them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowSum {
    /// How many.
    pub rows: u64,
    /// The sum of their hashes.
    pub sum: Fingerprint,
}

/// The places and limits that an embedded engine works with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    /// The project folder: relative paths of sources start here.
    pub root: PathBuf,
    /// Where the tables lie.
    pub warehouse: Location,
    /// Where credentials of object stores are found.
    pub environment: Environment,
    /// Bytes that queries together may hold before they spill.
    pub memory_bytes: u64,
    /// Where they spill.
    pub spill_dir: PathBuf,
    /// Bytes that may be spilled.
    pub spill_bytes: u64,
    /// Threads that one query may use.
    pub partitions: usize,
}

/// An engine behind the port.
pub type SharedEngine = Arc<dyn Engine>;
