//! What one attempt does, self-contained: all that crosses to a worker, a process or a pod.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{
    grid::{Grid, Zone},
    interval::Interval,
    name::{Instance, Key, Relation},
    project::{CodeFp, DataTest, Incremental, Materialization, Source},
    publish::ReadVersion,
};

/// The version of [`TaskSpec`]'s form; a worker refuses one that it does not know.
pub const TASK_SPEC_VERSION: u32 = 1;

/// One attempt of one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// [`TASK_SPEC_VERSION`].
    pub version: u32,
    /// The claim under which it works.
    pub claim: Claim,
    /// What to do.
    pub work: Work,
}

/// What a claim gives: who writes, and its place in line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The attempt.
    pub attempt: i64,
    /// The fencing number: only the newest claim of a relation may write.
    pub epoch: i64,
    /// The growing sequence number of the ledger; the version of the commit's app transaction.
    pub seq: i64,
    /// `<project>/<environment>`: whose ledger. The app id of the commit's app transaction is
    /// `mulgil/<project>/<environment>`.
    pub ledger: String,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[expect(clippy::large_enum_variant, reason = "nearly all work is a fill")]
pub enum Work {
    /// Fill intervals of a table, replace it as a whole, or set a view's text.
    Fill(FillSpec),
    /// Run data tests.
    Test(TestSpec),
}

/// A fill of one unbroken range of one instance, in one commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FillSpec {
    /// What is filled.
    pub instance: Instance,
    /// Where.
    pub relation: Relation,
    /// How its rows are kept.
    pub materialization: Materialization,
    /// How its time is cut.
    pub grid: Grid,
    /// The column that says when a row happened, in the output.
    pub event_time: Option<String>,
    /// How the rows are taken in, where the table keeps what it has.
    #[serde(default)]
    pub incremental: Option<Incremental>,
    /// The unbroken range that is filled; [`Interval::WHOLE`] without a grid.
    pub range: Interval,
    /// The queries whose rows together are the range's rows, in order of time. One, or one per
    /// interval for SQL that must be run so. Each one's range is unbroken; together they tile `range`.
    pub queries: Vec<FillQuery>,
    /// What the intervals are made with, recorded in the commit.
    pub fingerprint: CodeFp,
    /// Whether all that the table has is replaced, of every key and outside `range` too: then its
    /// columns and partitions may change.
    pub replaces_all: bool,
    /// Whether all may be replaced where the rest of the table does not fit what this fill makes: what
    /// that removes is made anew by the fills that follow.
    pub may_replace_all: bool,
    /// What is run before and after it.
    #[serde(default)]
    pub hooks: Hooks,
}

/// What is run around a fill, in order. It is no part of what the rows are made with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hooks {
    /// Before the query.
    pub before: Vec<ScriptSpec>,
    /// After the commit. A fill is done when the last of them is.
    pub after: Vec<ScriptSpec>,
}

/// SQL that is run for what it does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScriptSpec {
    /// One or more statements.
    pub sql: String,
    /// What the names in it mean.
    pub bindings: Vec<Binding>,
    /// The zone of the session.
    pub zone: Zone,
    /// The schema of names that are written without one and that no binding has.
    pub schema: String,
    /// The attempt on whose behalf it runs, so that what it commits is not taken for somebody else's;
    /// none for what stands around a whole run.
    #[serde(default)]
    pub claim: Option<Claim>,
}

/// One query of a fill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FillQuery {
    /// The part of the fill's range that it makes.
    pub range: Interval,
    /// The rendered SQL. It names its inputs as `bindings` do.
    pub sql: String,
    /// What the names in it mean.
    pub bindings: Vec<Binding>,
}

/// One name that a query may use, and what it reads there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Binding {
    /// The name's schema part as written in the SQL (`raw` in `"raw"."flights"`), if any.
    pub schema: Option<String>,
    /// The name.
    pub name: String,
    /// What it reads.
    pub reads: Reads,
}

impl Binding {
    /// Whether it reads a source, wherever that is behind it.
    pub fn reads_source(&self) -> bool {
        match &self.reads {
            Reads::Source { .. } => true,
            Reads::Table { .. } | Reads::Seed { .. } => false,
            Reads::Query { bindings, .. } => bindings.iter().any(Self::reads_source),
        }
    }
}

/// What a bound name reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Reads {
    /// A table of the warehouse.
    Table {
        /// Where it lies.
        relation: Relation,
        /// How its time is cut; partitions are pruned by it.
        grid: Grid,
        /// Its event-time column; with a scope, only rows inside are read.
        event_time: Option<String>,
        /// The time that is read; all where absent.
        scope: Option<Interval>,
        /// The key values that are read; all where a column is absent.
        key: Key,
        /// At which version.
        #[serde(default, skip_serializing_if = "ReadVersion::is_newest")]
        version: ReadVersion,
    },
    /// A source's files.
    Source {
        /// The source.
        source: Source,
        /// Its columns, as the ledger fixed them.
        columns: Vec<Column>,
        /// The time that is read; all where absent. Files are chosen by their names, or rows by
        /// the event time in a single file.
        scope: Option<Interval>,
        /// The files in that scope, as they were observed.
        files: Vec<FileSeen>,
    },
    /// A seed's file; no ledger fixes its columns, each load infers them.
    Seed {
        /// How it is read.
        source: Source,
        /// It.
        file: FileSeen,
    },
    /// A view or an ephemeral model: its SQL, in terms of further bindings.
    Query {
        /// The rendered SQL.
        sql: String,
        /// What the names in it mean.
        bindings: Vec<Binding>,
    },
}

/// A file as it was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSeen {
    /// Its path from the project folder, or its URL.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// The modification time in nanoseconds since 1970, for a cheap comparison.
    pub modified_ns: i64,
    /// The hash of its bytes, 32 hex digits; in an object store, of the tag that the store gives them.
    pub content: String,
    /// The interval that its name gives it; none for a single file.
    pub interval: Option<Interval>,
}

/// A column of a table or a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type in Arrow's words, as `arrow::datatypes::DataType` prints and parses it:
    /// `Int64`, `Utf8`, `Timestamp(Microsecond, Some("UTC"))`. A nested type of a source is in the words of
    /// `columns:`, which are read back too: `array<struct<key text, value bigint>>`.
    pub data_type: String,
}

/// Data tests of one node, over the whole table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestSpec {
    /// The node.
    pub instance: Instance,
    /// Where its rows lie.
    pub relation: Relation,
    /// The zone of the session.
    pub zone: Zone,
    /// The tests that are due.
    pub tests: Vec<BoundTest>,
}

/// A data test with its query: rows that the query returns are failures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoundTest {
    /// The test.
    pub test: DataTest,
    /// SQL that returns the rows that break it.
    pub sql: String,
    /// What a row that breaks it meets, in terms of the node's columns, where each row does so by
    /// itself. Tests that have it can be asked together.
    #[serde(default)]
    pub row_breaks_if: Option<String>,
    /// What the names in it mean; the node's own first, where `row_breaks_if` is.
    pub bindings: Vec<Binding>,
}
