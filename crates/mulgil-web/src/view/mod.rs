//! What pages are made of: plain values, filled by the program, turned into HTML by [`page`](crate::page).
//!
//! Names of files, SQL, logs and messages of faults are people's own text and stay as they are; everything
//! else is a value that the page says in the reader's language.

pub mod attempt;
pub mod flow;
pub mod form;
pub mod list;
pub mod run;
pub mod table;
pub mod today;
pub mod why;

use std::time::Duration;

use mulgil_core::{
    interval::{Instant, Interval},
    run::RunState,
};

use crate::look::Look;

/// What stands around every page.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The project's name.
    pub project: String,
    /// The environment.
    pub environment: String,
    /// How its reader wants pages.
    pub look: Look,
    /// The project's own zone, in which times are shown where the reader chose no other.
    pub zone: mulgil_core::grid::Zone,
    /// The moment of which the page tells.
    pub now: Instant,
    /// The address that was asked for: its path and query.
    pub address: String,
    /// How the server is.
    pub health: Verdict,
    /// Faults of the project in its folder, where it cannot be loaded and an older one is shown.
    pub faults: u64,
    /// Queries to the ledger that the page took.
    pub queries: u32,
    /// How long making its values took.
    pub took: Duration,
    /// Which state of all that pages tell of it shows at least: a stream that begins at another has missed a change.
    pub serial: u64,
    /// Of what the page wants to hear: `run:42`, `flow:daily`, `table:reads_daily`, `today`.
    pub topics: Vec<String>,
    /// What a form that changes something has to send back.
    pub token: String,
}

/// How good something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Worth a look.
    Warning,
    /// Broken.
    Bad,
    /// Nobody can say.
    Unknown,
}

/// Something that has a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// What is written.
    pub text: String,
    /// Where it leads; nothing where there is no page.
    pub href: Option<String>,
}

/// An interval of a node or a flow, with how it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// `2026-11-20`, `2026-11-20T05`, `all`; what stands behind the `@` of the command line.
    pub name: String,
    /// Its ends.
    pub range: Interval,
}

/// How something that may not have begun stands: a cell, a step, a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It has a run.
    Run(RunState),
    /// It failed and is going to be tried again.
    Retrying,
    /// Wanted, and there is nothing.
    Missing,
    /// Filled, and no longer right.
    Stale,
    /// Due, but something that it reads is not there.
    Waiting,
    /// Held until something changes.
    Held,
    /// Filled; it may still change, or its tests have not passed.
    Provisional,
    /// Given up with a reason.
    Waived,
    /// Not due yet, or outside of what is wanted.
    NotExpected,
}

/// Where a list goes on; each is a whole address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paging {
    /// To what is newer.
    pub newer: Option<String>,
    /// To what is older.
    pub older: Option<String>,
}

/// A command of the command line that helps, and where pages have the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// What to type.
    pub command: String,
    /// Where the same is done or seen, where pages have it.
    pub here: Option<Here>,
}

/// Where pages have what a command does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Here {
    /// The address of a form that does it.
    Form(String),
    /// The address of a page that shows it.
    Page(String),
}
