//! One run: its graph, its times, its list, its events.

use mulgil_core::{
    diagnostic::Diagnostic,
    due::Reason,
    interval::Instant,
    run::{RunState, TaskKind, Trigger},
};

use super::{Fix, Link, Mark, Named, Paging};

/// Tasks that a page shows.
pub const TASKS_SHOWN: usize = 200;
/// Events that a page shows.
pub const EVENTS_SHOWN: usize = 100;
/// Nodes that a graph draws.
pub const GRAPH_NODES_SHOWN: usize = 150;

/// The page.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its number.
    pub id: i64,
    /// Its flow; nothing for a run of models.
    pub flow: Option<Link>,
    /// What was selected, as typed; empty for all.
    pub selector: String,
    /// What started it.
    pub trigger: Trigger,
    /// The tick that it is for.
    pub scheduled_at: Option<Instant>,
    /// The backfill that asked for it.
    pub backfill: Option<i64>,
    /// Its interval.
    pub interval: Option<Named>,
    /// How it stands.
    pub state: RunState,
    /// When it began.
    pub started_at: Instant,
    /// When it ended.
    pub ended_at: Option<Instant>,
    /// Why it failed: the first fault, with the task in which it arose.
    pub fault: Option<(Link, Box<Diagnostic>)>,
    /// Its parameters, as JSON.
    pub params: Vec<(String, String)>,
    /// The fingerprint of the definition that it goes by.
    pub version: Option<String>,
    /// Which part of the page is shown.
    pub tab: Tab,
    /// Tasks by state.
    pub counts: Vec<(Mark, u64)>,
    /// Its tasks in the order of their beginning, at most [`TASKS_SHOWN`]; what never began comes last.
    pub tasks: Vec<Task>,
    /// Where they go on.
    pub tasks_paging: Paging,
    /// What happened, oldest first; only for that tab.
    pub events: Vec<Event>,
    /// Where they go on.
    pub events_paging: Paging,
    /// The form that cancels it, while it goes on.
    pub cancel_href: Option<String>,
    /// What can be typed now: cancel, retry, logs.
    pub commands: Vec<Fix>,
}

/// The parts of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tab {
    /// Who waits for whom.
    Graph,
    /// When what ran.
    Gantt,
    /// One line a task.
    List,
    /// What happened.
    Events,
}

/// One task.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its number; nothing where it never began.
    pub id: Option<i64>,
    /// A step's name, or `reads_daily`.
    pub name: String,
    /// What it does.
    pub kind: TaskKind,
    /// The word of a step's kind.
    pub step: Option<&'static str>,
    /// Its interval, where it has one.
    pub interval: Option<Named>,
    /// Why it runs, where a plan says so.
    pub reason: Option<Reason>,
    /// How it stands.
    pub mark: Mark,
    /// Since when it could have begun.
    pub ready_at: Option<Instant>,
    /// Its tries, oldest first.
    pub attempts: Vec<Try>,
    /// The rows that it wrote.
    pub rows: Option<u64>,
    /// Why it failed, or does not begin.
    pub fault: Option<Box<Diagnostic>>,
    /// Its page: the newest try.
    pub href: Option<String>,
    /// The places in [`Run::tasks`] of what it waits for.
    pub needs: Vec<usize>,
}

/// One try of a task.
#[derive(Clone, Debug)]
pub struct Try {
    /// How it stands.
    pub state: RunState,
    /// When it began.
    pub started_at: Instant,
    /// When it ended.
    pub ended_at: Option<Instant>,
    /// Its page.
    pub href: String,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// The number of its fact.
    pub seq: i64,
    /// When.
    pub at: Instant,
    /// What; a word of the ledger: `run_began`, `claimed`, `filled`.
    pub kind: String,
    /// To what.
    pub subject: Option<Link>,
    /// More of it, as text.
    pub detail: String,
}
