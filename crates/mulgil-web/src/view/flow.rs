//! A flow's runs by interval: steps × runs, newest right.

use std::time::Duration;

use mulgil_core::{flow::By, interval::Instant, run::RunState};

use super::{Fix, Link, Mark, Named, Paging};

/// Runs that a page of the grid shows.
pub const RUNS_SHOWN: usize = 25;
/// Rows that it shows; a flow with more steps says so.
pub const ROWS_SHOWN: usize = 200;

/// The page.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Its name.
    pub name: String,
    /// What it is for, as it was written.
    pub description: Option<String>,
    /// The file that declares it.
    pub path: String,
    /// Whom to ask.
    pub owner: Option<String>,
    /// The schedule as written, with its zone, where it has one.
    pub schedule: Option<Schedule>,
    /// Its intervals: `day`, `hour`; nothing for a flow without.
    pub unit: Option<String>,
    /// Whether the grid is by interval or by start.
    pub order: Order,
    /// Only runs of this state.
    pub only: Option<RunState>,
    /// The runs, oldest first, so that the newest stands right.
    pub columns: Vec<Column>,
    /// The steps, in the order in which they come.
    pub rows: Vec<Row>,
    /// Steps that are not shown.
    pub more_rows: u64,
    /// To older and newer runs.
    pub paging: Paging,
    /// Intervals that are wanted and were never filled, in words, and the command that fills them.
    pub holes: Option<(String, u64, Fix)>,
    /// The form that runs it; nothing where no server can.
    pub run_href: Option<String>,
}

/// When it comes.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// `0 5 * * *`.
    pub cron: String,
    /// `Asia/Seoul`.
    pub zone: String,
    /// The next ticks, soonest first, at most five.
    pub next: Vec<Instant>,
    /// The newest tick that came, and what became of it.
    pub last: Option<(Instant, TickFate)>,
    /// Within which time after its tick it has to be over.
    pub deadline: Option<By>,
    /// Whether the next tick comes after its run has to be over.
    pub comes_late: bool,
}

/// What became of a tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TickFate {
    /// It has a run.
    Ran(i64),
    /// It is going to have one.
    Queued,
    /// It was missed and left out, with the reason as the ledger has it.
    Missed(String),
}

/// By what columns stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The newest interval right.
    Interval,
    /// The newest start right.
    Start,
}

/// One run; or an interval that has none.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its interval, where the flow has them.
    pub interval: Option<Named>,
    /// Its run; nothing for a hole.
    pub run: Option<i64>,
    /// How it stands.
    pub mark: Mark,
    /// When it began.
    pub started_at: Option<Instant>,
    /// How long it took, or takes so far.
    pub took: Option<Duration>,
}

/// One step, or a table that one fills.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it is called, with its page where it has one.
    pub name: Link,
    /// The word of its kind: `sql`, `models`, `python`, `command`, `table`.
    pub kind: &'static str,
    /// 0 for a step, 1 for a table of it.
    pub depth: u8,
    /// One for each column.
    pub cells: Vec<Option<Cell>>,
}

/// One step in one run.
#[derive(Clone, Debug)]
pub struct Cell {
    /// How it stands.
    pub mark: Mark,
    /// Its tries.
    pub attempts: u32,
    /// How long it took, over all tries.
    pub took: Option<Duration>,
    /// Its page: the newest attempt, or why there is none.
    pub href: Option<String>,
}
