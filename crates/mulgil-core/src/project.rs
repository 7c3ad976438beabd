//! Everything declared, resolved and fingerprinted: the value that `plan` reads. Immutable, and
//! free of files, templates and SQL text beyond what explains it.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    data_test::Thresholds,
    diagnostic::{Place, Severity},
    flow::{Flow, Webhook},
    grid::{Grid, Unit, Zone},
    location::{Location, StoreOptions},
    mapping::Mapping,
    name::{Instance, Key, NodeName, Relation},
    schedule::Schedule,
};

/// A content hash: BLAKE3, cut to 128 bits, written as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Fingerprint(pub u128);

impl Fingerprint {
    /// The hash of parts, each preceded by its length so that no two lists give the same bytes.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(u128::from_be_bytes(bytes))
    }

    /// The hash of one text.
    pub fn of_text(text: &str) -> Self {
        Self::of([text.as_bytes()])
    }

    /// Its first 8 digits, for people.
    pub fn short(self) -> String {
        self.to_string()[..8].to_owned()
    }

    /// Reads 32 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 32)
            .then(|| u128::from_str_radix(text, 16).ok().map(Self))
            .flatten()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.short())
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("a fingerprint has 32 hex digits"))
    }
}

/// What an interval was made with: the code, and the declared shape of what it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct CodeFp {
    /// The canonical syntax tree of the SQL, with the configuration that affects data.
    pub code: Fingerprint,
    /// The declared columns and format of the sources that it reads.
    pub schema: Fingerprint,
}

/// How a node's rows are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Materialization {
    /// A table replaced as a whole.
    Table,
    /// A query with a name; nothing is stored.
    View,
    /// A table filled by intervals.
    Interval,
    /// A table that keeps its rows and takes in those of each fill.
    Incremental,
    /// An incremental table that tells how rows were at each time, and is never made anew.
    Snapshot,
    /// A table loaded from a CSV file of the project.
    Seed,
}

/// How an incremental table takes in the rows of a fill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incremental {
    /// What becomes of the rows that are there.
    pub strategy: Strategy,
    /// What happens where the query's columns are not the table's.
    pub on_schema_change: SchemaChange,
    /// `true`: it is made anew at each fill; `false`: never because somebody asks.
    #[serde(default)]
    pub full_refresh: Option<bool>,
    /// For a snapshot, the columns that name a thing: each has one current row at most, and none is NULL.
    #[serde(default)]
    pub names_things: Vec<String>,
}

/// What becomes of the rows of an incremental table when a fill brings others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Strategy {
    /// They stay, and the fill's rows are added.
    Append,
    /// A row of the fill takes the place of the one with the same values in these columns. Two rows
    /// of one fill may not have the same; NULL is the same as nothing.
    Merge {
        /// The columns.
        unique_key: Vec<String>,
    },
    /// The rows of the fill take the place of all that have the same values in these columns.
    DeleteInsert {
        /// The columns.
        unique_key: Vec<String>,
    },
}

impl Strategy {
    /// The columns by which rows are the same; none where all stay.
    pub fn unique_key(&self) -> &[String] {
        match self {
            Self::Append => &[],
            Self::Merge { unique_key } | Self::DeleteInsert { unique_key } => unique_key,
        }
    }
}

/// What happens where the columns of an incremental model's query are not those of its table
/// (`on_schema_change`, in dbt's words).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemaChange {
    /// New columns are left out; a missing one is a fault.
    #[default]
    Ignore,
    /// Any difference is a fault.
    Fail,
    /// New columns are added; a missing one is NULL.
    AppendNewColumns,
    /// New columns are added, missing ones are removed from the table.
    SyncAllColumns,
}

/// How many neighbouring intervals one query may fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Batch {
    /// As many as are due side by side.
    Unbounded,
    /// At most that many.
    AtMost(u32),
}

/// What a node reads from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Upstream {
    /// Another node of the project.
    Node(NodeName),
    /// A source.
    Source(NodeName),
}

impl Upstream {
    /// The name of either.
    pub fn name(&self) -> &NodeName {
        match self {
            Self::Node(name) | Self::Source(name) => name,
        }
    }
}

/// One thing that a node reads; views and ephemeral models between are already looked through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// From what.
    pub from: Upstream,
    /// How much of it.
    pub mapping: Mapping,
    /// The key columns that both share: the reader reads its own key of it. Other keys are all read.
    #[serde(default)]
    pub shared_keys: Vec<String>,
}

impl Input {
    /// Whether a reader with this grid takes the upstream as it stands at that moment, and not the
    /// part that belongs to one of its intervals.
    pub fn is_read_as_it_stands(&self, reader: &Grid) -> bool {
        !reader.is_cut() || matches!(self.mapping, Mapping::Whole { .. })
    }

    /// Whether a reader with this grid takes the upstream as it stands, and is made again when any of it
    /// changes.
    pub fn takes_all(&self, reader: &Grid) -> bool {
        self.is_read_as_it_stands(reader) && self.mapping.restates()
    }

    /// Whether an instance of the reader reads one of the upstream: both have the same value in the
    /// key columns that both have.
    pub(crate) fn shares_key(&self, reader: &Instance, upstream: &Instance) -> bool {
        let mut shared = self.shared_keys.iter();
        shared.all(|column| upstream.key.0.get(column) == reader.key.0.get(column))
    }
}

/// A key column and its values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyColumn {
    /// The column.
    pub name: String,
    /// Its values, in the order declared.
    pub values: Vec<String>,
}

/// What is done with the ticks that nobody was there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// Only the newest is made up for.
    Latest,
    /// All are.
    All,
    /// None is.
    None,
}

/// When readers see a new version of a node's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Publish {
    /// As soon as it is committed.
    #[default]
    AtOnce,
    /// When its data tests have passed; until then they see the version before.
    AfterTests,
}

impl Publish {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    fn is_at_once(&self) -> bool {
        *self == Self::AtOnce
    }
}

/// What a data test asserts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum TestKind {
    /// No row has NULL in the column.
    NotNull {
        /// The column.
        column: String,
    },
    /// No two rows have the same value in the column.
    Unique {
        /// The column.
        column: String,
    },
    /// The column holds only these.
    AcceptedValues {
        /// The column.
        column: String,
        /// What it may hold.
        values: Vec<String>,
        /// Whether the values are text to compare with (else literals as written).
        quote: bool,
    },
    /// Each value of the column is in another node's column.
    Relationships {
        /// The column.
        column: String,
        /// The node referred to.
        to: NodeName,
        /// Its column.
        field: String,
    },
    /// A query that the project writes itself returns no row.
    Query {
        /// The other nodes that it looks into.
        reads: Vec<NodeName>,
    },
}

impl TestKind {
    /// The column that it looks at; none for a query.
    pub fn column(&self) -> Option<&str> {
        match self {
            Self::NotNull { column }
            | Self::Unique { column }
            | Self::AcceptedValues { column, .. }
            | Self::Relationships { column, .. } => Some(column),
            Self::Query { .. } => None,
        }
    }

    /// The other nodes that it looks into: they are filled before it runs.
    pub fn looks_into(&self) -> &[NodeName] {
        match self {
            Self::Relationships { to, .. } => std::slice::from_ref(to),
            Self::Query { reads } => reads,
            Self::NotNull { .. } | Self::Unique { .. } | Self::AcceptedValues { .. } => &[],
        }
    }
}

/// A data test of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataTest {
    /// Its name, unique in the project: `not_null_flights_carrier`.
    pub name: String,
    /// What it asserts.
    pub kind: TestKind,
    /// Whether a failure keeps new intervals from readers.
    pub severity: Severity,
    /// How many rows may break it.
    #[serde(default, skip_serializing_if = "Thresholds::is_default")]
    pub thresholds: Thresholds,
    /// The hash of what it asserts.
    pub fingerprint: Fingerprint,
    /// Where it is declared.
    pub place: Place,
}

/// Whatever has facts: a model that is not ephemeral, or a seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// How its rows are kept.
    pub materialization: Materialization,
    /// Where they lie.
    pub relation: Relation,
    /// How its time is cut.
    pub grid: Grid,
    /// The column that says when a row happened.
    pub event_time: Option<String>,
    /// How it takes in rows, where it is incremental.
    #[serde(default)]
    pub incremental: Option<Incremental>,
    /// Its key columns; empty for most.
    #[serde(default)]
    pub keys: Vec<KeyColumn>,
    /// What its SQL names, views as themselves: what selectors follow.
    #[serde(default)]
    pub reads: Vec<Upstream>,
    /// What it reads.
    pub inputs: Vec<Input>,
    /// What its intervals are made with today.
    pub fingerprint: CodeFp,
    /// How many neighbouring intervals one query fills.
    pub batch: Batch,
    /// Its own schedule; without one every moment is a tick.
    pub schedule: Option<Schedule>,
    /// What is done with missed ticks.
    pub missed: Missed,
    /// How many intervals before the newest are filled again at a tick.
    pub lookback: u32,
    /// For how long after its end an interval is provisional, in microseconds.
    pub settle_us: i64,
    /// Whether the open interval is filled too.
    pub partial: bool,
    /// Its data tests.
    pub tests: Vec<DataTest>,
    /// When readers see a new version of its table.
    #[serde(default, skip_serializing_if = "Publish::is_at_once")]
    pub publish: Publish,
    /// Labels for selectors.
    #[serde(default)]
    pub tags: Vec<String>,
    /// What it is, in its owner's words.
    pub description: Option<String>,
    /// Descriptions of columns.
    #[serde(default)]
    pub columns: BTreeMap<String, String>,
    /// Whom to ask.
    pub owner: Option<String>,
    /// Its file, from the project folder.
    pub file: PathBuf,
}

impl Node {
    /// Every instance: one for each combination of key values, in the order declared.
    pub fn instances(&self) -> Vec<Instance> {
        keys(&self.keys)
            .into_iter()
            .map(|key| Instance {
                node: self.name.clone(),
                key,
            })
            .collect()
    }
}

/// The keys that columns make together, the last column changing first; the empty one without
/// columns.
pub fn keys(columns: &[KeyColumn]) -> Vec<Key> {
    let mut keys = vec![Key::default()];
    for column in columns {
        keys = keys
            .iter()
            .flat_map(|key| {
                column.values.iter().map(|value| {
                    let mut key = key.clone();
                    key.0.insert(column.name.clone(), value.clone());
                    key
                })
            })
            .collect();
    }
    keys
}

/// The format of a source's files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "format")]
pub enum FileFormat {
    /// Comma-separated text with a header line; a name that ends in `.gz` is unpacked.
    Csv {
        /// Between fields.
        delimiter: char,
        /// Words that mean NULL, besides the empty field.
        null_words: Vec<String>,
    },
    /// CSV as dbt reads its seeds: a field without letters is NULL, in quotes too; so is `null` in a
    /// column that is not text.
    DbtSeed {
        /// Between fields.
        delimiter: char,
    },
    /// One JSON object per line; a name that ends in `.gz` is unpacked.
    JsonLines,
    /// Parquet.
    Parquet,
}

/// Where a source's files are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilePattern {
    /// One file, which holds all of time: its path from the project folder, or its URL.
    Single(PathBuf),
    /// One file per interval: literal text and date fields, as written (`data/x_{YYYYMMDD}.csv`).
    PerInterval {
        /// The template as written, from the project folder or with the URL of a bucket before it.
        template: String,
        /// The unit that its finest date field cuts.
        unit: Unit,
    },
}

/// An observed node: files outside the warehouse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// `group.table`.
    pub name: NodeName,
    /// Where the files are.
    pub files: FilePattern,
    /// How the object store that they lie in is reached, as far as the source says it.
    #[serde(default, skip_serializing_if = "StoreOptions::says_nothing")]
    pub store: StoreOptions,
    /// Their format.
    #[serde(flatten)]
    pub format: FileFormat,
    /// The unit of the file names, or whole for a single file.
    pub grid: Grid,
    /// The column that says when a row happened.
    pub event_time: Option<String>,
    /// The zone of event times without one.
    pub zone: Zone,
    /// Types that are given, in the words of SQL; the others are inferred once.
    pub columns: BTreeMap<String, String>,
    /// What it is.
    pub description: Option<String>,
    /// Where it is declared.
    pub place: Place,
}

/// A project, loaded. Nodes and sources stand in an order in which each follows what it reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Its name.
    pub name: String,
    /// The environment it is loaded for.
    pub environment: String,
    /// Its zone.
    pub zone: Zone,
    /// The schema of nodes that name none, prefix included.
    pub schema: String,
    /// The folder it was read from.
    pub root: PathBuf,
    /// Where its tables lie.
    pub warehouse: Location,
    /// Its nodes, upstream first.
    pub nodes: Vec<Node>,
    /// Its sources.
    pub sources: Vec<Source>,
    /// Its flows, by name.
    #[serde(default)]
    pub flows: Vec<Flow>,
    /// Whom flows can tell, by name: `notifications: {webhook: …}`. Never written down: it holds secrets.
    #[serde(skip)]
    pub webhooks: BTreeMap<String, Webhook>,
}

impl Project {
    /// The node of that name.
    pub fn node(&self, name: &NodeName) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == *name)
    }

    /// The flow of that name.
    pub fn flow(&self, name: &str) -> Option<&Flow> {
        self.flows.iter().find(|flow| flow.name == name)
    }

    /// The flow that owns a node's schedule: one with a schedule that selects it.
    pub fn flow_of(&self, name: &NodeName) -> Option<&Flow> {
        let owns = |flow: &&Flow| flow.schedule.is_some() && flow.selected().any(|own| own == name);
        self.flows.iter().find(owns)
    }

    /// The source of that name.
    pub fn source(&self, name: &NodeName) -> Option<&Source> {
        self.sources.iter().find(|source| source.name == *name)
    }

    /// The instances of an input that one instance of the reader reads: its own key where both
    /// have the key column, all values otherwise.
    pub fn read_instances(&self, reader: &Instance, input: &Input) -> Vec<Instance> {
        match &input.from {
            Upstream::Source(name) => vec![Instance::of(name.clone())],
            Upstream::Node(name) => self
                .node(name)
                .map(Node::instances)
                .unwrap_or_default()
                .into_iter()
                .filter(|upstream| input.shares_key(reader, upstream))
                .collect(),
        }
    }
}
