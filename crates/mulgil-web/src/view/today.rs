//! Today & health: what is wrong, what ran, how the server is.

use std::time::Duration;

use mulgil_core::{diagnostic::Diagnostic, due::Reason, interval::Instant, name::NodeName, run::RunState};

use super::{Fix, Mark, Verdict};

/// Rows that one kind of trouble shows.
pub const TROUBLES_SHOWN: usize = 8;
/// Flows whose last day is shown.
pub const FLOWS_SHOWN: usize = 30;

/// The page.
#[derive(Clone, Debug)]
pub struct Today {
    /// What is wrong, the worst first; a kind without rows is left out.
    pub troubles: Vec<Troubles>,
    /// The last 24 hours by flow; those with trouble first, then by name.
    pub flows: Vec<FlowDay>,
    /// Flows that are not shown.
    pub more_flows: u64,
    /// Tables in all, and how many of them are as they should be.
    pub tables: (u64, u64),
    /// How the server is.
    pub lights: Vec<Light>,
}

/// One kind of trouble.
#[derive(Clone, Debug)]
pub struct Troubles {
    /// Which.
    pub kind: TroubleKind,
    /// How many there are.
    pub count: u64,
    /// The first of them, at most [`TROUBLES_SHOWN`].
    pub rows: Vec<Trouble>,
}

/// What can be wrong, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TroubleKind {
    /// A run, a table's interval or a data test failed.
    Failed,
    /// A deadline has passed, or a schedule did not come in time.
    Late,
    /// Wanted, and never filled.
    Missing,
    /// Filled, and no longer right.
    Stale,
    /// Due, and something that it reads is not there.
    Waiting,
}

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// A table, or a flow.
    pub name: String,
    /// Its page.
    pub href: String,
    /// Its intervals in words, `2026-11-18..2026-11-20`; empty where it has none.
    pub intervals: String,
    /// How many intervals.
    pub count: u64,
    /// Why.
    pub cause: TroubleCause,
    /// Since when.
    pub since: Option<Instant>,
    /// The page that says why in full.
    pub why: Option<String>,
    /// The command that helps.
    pub fix: Option<Fix>,
}

/// Why, in one line.
#[derive(Clone, Debug)]
pub enum TroubleCause {
    /// A fault, with the step or table in which it arose.
    Fault {
        /// Where.
        place: Option<String>,
        /// What.
        fault: Box<Diagnostic>,
    },
    /// A data test found rows.
    Test {
        /// Its name.
        test: String,
        /// The rows that broke it.
        failures: u64,
    },
    /// It should have ended by then.
    Deadline {
        /// When it had to be over.
        due_at: Instant,
        /// When it began; not at all where nothing.
        began_at: Option<Instant>,
    },
    /// A schedule that comes after the time by which its run has to be done.
    ComesLate {
        /// When it comes next.
        next_at: Instant,
        /// By when that run has to be done.
        due_at: Instant,
    },
    /// A schedule whose tick is not run yet.
    NotBegun {
        /// When it was due.
        scheduled_at: Instant,
    },
    /// Never filled, and all that it reads is there.
    CanBeFilled,
    /// No longer right.
    Stale(Reason),
    /// Something that it reads is not there.
    WaitsFor(NodeName),
}

/// The last day of a flow.
#[derive(Clone, Debug)]
pub struct FlowDay {
    /// Its name.
    pub name: String,
    /// Its runs of the last 24 hours, oldest first, at most 48.
    pub runs: Vec<RunMark>,
    /// Runs of that time that are not shown.
    pub more: u64,
    /// When its schedule comes next.
    pub next_at: Option<Instant>,
}

/// A run as a mark.
#[derive(Clone, Debug)]
pub struct RunMark {
    /// Its number.
    pub run: i64,
    /// Its interval; empty where it has none.
    pub interval: String,
    /// How it stands.
    pub state: RunState,
    /// When it began.
    pub started_at: Instant,
    /// When it ended.
    pub ended_at: Option<Instant>,
}

/// One thing about the server.
#[derive(Clone, Debug)]
pub struct Light {
    /// What.
    pub what: LightKind,
    /// How it is.
    pub verdict: Verdict,
}

/// What can be said about the server.
#[derive(Clone, Debug)]
pub enum LightKind {
    /// The scheduler's last heartbeat, by its age.
    Scheduler(Option<Duration>),
    /// How the ledger answers.
    Ledger(Result<Duration, Box<Diagnostic>>),
    /// Free and all bytes of the fuller disk.
    Disk {
        /// Free.
        free_bytes: u64,
        /// All.
        total_bytes: u64,
    },
    /// By how much the last tick came too late.
    Lag(Duration),
    /// Attempts that go on now, and how many may.
    Slots {
        /// Going on.
        used: u64,
        /// Allowed.
        of: u64,
    },
    /// The server takes nothing new.
    Draining,
    /// The project on disk has faults; the one that was loaded before goes on.
    Project(Vec<Diagnostic>),
}

/// A mark beside a word, for legends.
#[derive(Clone, Copy, Debug)]
pub struct Legend {
    /// The mark.
    pub mark: Mark,
    /// How many there are.
    pub count: u64,
}
