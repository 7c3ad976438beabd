//! A table: what it is, what it holds, which of its intervals are there.

use mulgil_core::{interval::Instant, why::Status};

use super::{Fix, Link, Mark, Named, Paging};

/// Columns that a page shows.
pub const COLUMNS_SHOWN: usize = 500;
/// Ranges in words that a page shows.
pub const RANGES_SHOWN: usize = 60;
/// Cells of the heat-map that a page shows.
pub const CELLS_SHOWN: usize = 1_500;
/// Tables upstream and downstream that a page shows, each.
pub const NEIGHBOURS_SHOWN: usize = 60;
/// Rows of a sample.
pub const SAMPLE_ROWS: usize = 20;
/// Columns of a sample.
pub const SAMPLE_COLUMNS: usize = 40;

/// The page.
#[derive(Clone, Debug)]
pub struct Table {
    /// The node.
    pub name: String,
    /// An instance of a node with keys: `country=kr`.
    pub keys: Option<String>,
    /// The other instances, with their pages and how each stands, at most 60.
    pub instances: Vec<(Link, Mark)>,
    /// `model`, `seed`, `snapshot`, `source`; as in the project.
    pub kind: &'static str,
    /// `table`, `view`, `incremental`…; nothing for a source.
    pub materialization: Option<&'static str>,
    /// `shop.reads_daily`.
    pub relation: Option<String>,
    /// Its file.
    pub path: Option<String>,
    /// What it is, as it was written.
    pub description: Option<String>,
    /// Whom to ask.
    pub owner: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its grid: `day`, its zone, and since when.
    pub grid: Option<Grid>,
    /// When it is filled by itself, as written; or the flows that fill it.
    pub schedule: Option<String>,
    /// The next tick.
    pub next_at: Option<Instant>,
    /// Its columns, at most [`COLUMNS_SHOWN`].
    pub columns: Vec<Column>,
    /// Columns that are not shown.
    pub more_columns: u64,
    /// What it reads.
    pub upstream: Vec<(Link, Mark)>,
    /// Who reads it.
    pub downstream: Vec<(Link, Mark)>,
    /// Its data tests.
    pub tests: Vec<Test>,
    /// How large it is: rows where they are known, bytes, files, and its newest version.
    pub size: Option<Size>,
    /// Its size over time, oldest first, at most 120 points.
    pub sizes: Vec<(Instant, u64)>,
    /// The first rows; nothing where nobody asked for them.
    pub sample: Option<Sample>,
    /// The address of this page with a sample.
    pub sample_href: Option<String>,
    /// Its intervals.
    pub heat: Heat,
    /// The form that fills intervals anew.
    pub backfill_href: Option<String>,
}

/// How time is cut.
#[derive(Clone, Debug)]
pub struct Grid {
    /// `day`, `hour`, `month`, or a cron.
    pub unit: String,
    /// The zone in which it is cut.
    pub zone: String,
    /// The first interval.
    pub begin: String,
}

/// A column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as SQL writes it.
    pub kind: String,
    /// What it is, as it was written.
    pub description: Option<String>,
    /// The names of the data tests that ask about it.
    pub tests: Vec<String>,
}

/// A data test.
#[derive(Clone, Debug)]
pub struct Test {
    /// Its name.
    pub name: String,
    /// How it last ended: the rows that broke it, and when; nothing where it never ran.
    pub last: Option<(u64, Instant)>,
    /// Whether what it asks has changed since.
    pub has_changed: bool,
    /// Whether broken rows only warn.
    pub warns: bool,
    /// A few of the rows, as JSON.
    pub sample: Vec<String>,
}

/// How large a table is.
#[derive(Clone, Debug)]
pub struct Size {
    /// Rows, where they are known.
    pub rows: Option<u64>,
    /// Bytes on disk.
    pub bytes: u64,
    /// Files.
    pub files: u64,
    /// The version that readers see.
    pub version: Option<i64>,
    /// When it last changed.
    pub changed_at: Option<Instant>,
}

/// A few rows.
#[derive(Clone, Debug)]
pub enum Sample {
    /// They are there.
    Rows {
        /// The columns.
        columns: Vec<String>,
        /// The values as text; `None` is NULL.
        rows: Vec<Vec<Option<String>>>,
        /// Columns that are not shown.
        more_columns: u64,
    },
    /// They cannot be read.
    Fault(Box<mulgil_core::diagnostic::Diagnostic>),
}

/// The intervals of a table: a picture of one page of them, and all that is not right in words.
#[derive(Clone, Debug)]
pub struct Heat {
    /// How the cells are laid out.
    pub shape: Shape,
    /// One page of cells, oldest first, at most [`CELLS_SHOWN`].
    pub cells: Vec<HeatCell>,
    /// To older and newer pages of cells.
    pub paging: Paging,
    /// How many intervals stand how, over all of time.
    pub counts: Vec<(Mark, u64)>,
    /// Unbroken ranges, newest first, the ones that need somebody before all others; at most [`RANGES_SHOWN`].
    pub ranges: Vec<Range>,
    /// Ranges that are not shown.
    pub more_ranges: u64,
}

/// How cells are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Weeks from left to right, seven days each: a calendar.
    Days,
    /// A row a day, a column an hour of it.
    Hours,
    /// A row a year, a column a month, quarter or whatever it is cut into.
    Years,
    /// One after the other.
    Line,
    /// All of time is one interval.
    Whole,
}

/// One interval.
#[derive(Clone, Debug)]
pub struct HeatCell {
    /// Which.
    pub interval: Named,
    /// How it stands.
    pub mark: Mark,
    /// In which row of the picture, from 0.
    pub row: u32,
    /// In which column of it, from 0.
    pub column: u32,
    /// Its Why page.
    pub href: String,
}

/// Neighbouring intervals that stand alike.
#[derive(Clone, Debug)]
pub struct Range {
    /// `2026-11-03..2026-11-06`, or one interval.
    pub name: String,
    /// How many intervals.
    pub count: u64,
    /// How they stand.
    pub status: Status,
    /// As a mark.
    pub mark: Mark,
    /// The Why page of the first.
    pub href: String,
    /// The command that helps, where one is needed.
    pub fix: Option<Fix>,
}
