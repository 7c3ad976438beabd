//! Lists: flows, tables, runs. And an address at which there is nothing.

use std::time::Duration;

use mulgil_core::{
    diagnostic::Diagnostic,
    interval::Instant,
    run::{RunState, Trigger},
};

use super::{Link, Mark, Named, Paging};

/// Rows of a list on one page.
pub const ROWS_SHOWN: usize = 100;

/// All flows.
#[derive(Clone, Debug)]
pub struct Flows {
    /// What the names have to contain.
    pub search: String,
    /// The flows, by name.
    pub rows: Vec<FlowRow>,
    /// To the next names.
    pub paging: Paging,
}

/// A flow.
#[derive(Clone, Debug)]
pub struct FlowRow {
    /// Its name and page.
    pub name: Link,
    /// Its schedule as written.
    pub schedule: Option<String>,
    /// When it comes next.
    pub next_at: Option<Instant>,
    /// Its newest run.
    pub last: Option<(i64, RunState, Instant)>,
}

/// All tables.
#[derive(Clone, Debug)]
pub struct Tables {
    /// What names, columns or descriptions have to contain.
    pub search: String,
    /// The tables, by name.
    pub rows: Vec<TableRow>,
    /// To the next names.
    pub paging: Paging,
}

/// A table.
#[derive(Clone, Debug)]
pub struct TableRow {
    /// Its name and page.
    pub name: Link,
    /// `model`, `seed`, `snapshot`, `source`.
    pub kind: &'static str,
    /// What it is, its first line.
    pub description: Option<String>,
    /// Its worst mark.
    pub mark: Mark,
    /// How many intervals stand how.
    pub counts: Vec<(Mark, u64)>,
    /// Bytes.
    pub bytes: Option<u64>,
}

/// All runs.
#[derive(Clone, Debug)]
pub struct Runs {
    /// Only those of this state.
    pub only: Option<RunState>,
    /// The runs, newest first.
    pub rows: Vec<RunRow>,
    /// To older and newer ones.
    pub paging: Paging,
}

/// A run.
#[derive(Clone, Debug)]
pub struct RunRow {
    /// Its number.
    pub id: i64,
    /// Its flow, or what was selected.
    pub what: Link,
    /// Its interval.
    pub interval: Option<Named>,
    /// What started it.
    pub trigger: Trigger,
    /// How it stands.
    pub state: RunState,
    /// When it began.
    pub started_at: Instant,
    /// How long it took, or takes so far.
    pub took: Duration,
}

/// Something that cannot be shown: no such address, a ledger that does not answer.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// Why.
    pub faults: Vec<Diagnostic>,
    /// Names that are close to what was asked for.
    pub near: Vec<Link>,
}
