//! One try of one task: how it ended, what it said, what it asked.

use mulgil_core::{
    diagnostic::Diagnostic,
    interval::Instant,
    run::{RunState, TaskKind},
};

use super::{Fix, Link, Named};

/// Lines of a log that a page shows.
pub const LINES_SHOWN: usize = 500;
/// Bytes of a log that a page reads.
pub const LOG_BYTES_SHOWN: usize = 128 * 1024;
/// Bytes of one line that a page shows; the whole one is in the download.
pub const LINE_BYTES_SHOWN: usize = 2_000;
/// Lines that a search gives.
pub const HITS_SHOWN: usize = 200;
/// Bytes of a log that one search reads; it goes on from there on request.
pub const SEARCH_BYTES: u64 = 256 * 1024 * 1024;

/// The page.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Its own number in the ledger.
    pub id: i64,
    /// Which try of the task: 1 is the first.
    pub number: u32,
    /// All tries of the task: number, state and page.
    pub tries: Vec<(u32, RunState, String)>,
    /// Its run.
    pub run: Link,
    /// Its flow.
    pub flow: Option<Link>,
    /// The step, or the table with its page.
    pub task: Link,
    /// What it does.
    pub kind: TaskKind,
    /// The word of a step's kind.
    pub step: Option<&'static str>,
    /// Its interval.
    pub interval: Option<Named>,
    /// The page that says why, for a table's interval.
    pub why: Option<String>,
    /// How it stands.
    pub state: RunState,
    /// When it began.
    pub started_at: Instant,
    /// When it ended.
    pub ended_at: Option<Instant>,
    /// Why it failed.
    pub fault: Option<Box<Diagnostic>>,
    /// When it is tried again, where it is.
    pub retry_at: Option<Instant>,
    /// How its process ended: an exit code or a signal, as the supervisor says it.
    pub exit: Option<String>,
    /// The most memory that it took, in bytes.
    pub memory_bytes: Option<u64>,
    /// Rows written.
    pub rows: Option<u64>,
    /// The version of the table that it committed.
    pub version: Option<i64>,
    /// What it gave, as JSON.
    pub output: Option<String>,
    /// What it asked the database.
    pub sql: Option<Sql>,
    /// What it said.
    pub log: Log,
    /// What can be typed now.
    pub commands: Vec<Fix>,
}

/// SQL, as a person wrote it and as it was asked.
#[derive(Clone, Debug)]
pub struct Sql {
    /// The person's file.
    pub source: Option<Source>,
    /// What it became; nothing where it cannot be rendered any more.
    pub rendered: Option<String>,
    /// The line and column of the fault in the rendered text, from 1.
    pub rendered_at: Option<(u32, u32)>,
}

/// A file.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its path inside the project.
    pub path: String,
    /// Its text.
    pub text: String,
    /// The line and column of the fault, from 1.
    pub at: Option<(u32, u32)>,
    /// Whether the file has changed since the attempt.
    pub has_changed: bool,
}

/// Some of a log.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// The address of this log, without its query: `…/log`.
    pub href: String,
    /// Its lines, oldest first.
    pub lines: Vec<Line>,
    /// Where what is shown begins, in bytes.
    pub from: u64,
    /// Where it ends, and what comes next begins.
    pub next: u64,
    /// All bytes of it, as far as it was written.
    pub bytes: u64,
    /// Whether nothing will follow.
    pub has_ended: bool,
    /// What was looked for.
    pub search: Option<Search>,
}

/// One line of a log.
#[derive(Clone, Debug)]
pub struct Line {
    /// The place of its first byte: its permanent name, `#b1234`.
    pub at_byte: u64,
    /// When it was said.
    pub at: Option<Instant>,
    /// Whether it came on standard error, or says that something went wrong.
    pub is_error: bool,
    /// The line, with the sequences of ANSI in it; at most [`LINE_BYTES_SHOWN`].
    pub text: String,
    /// Bytes that are not shown.
    pub cut_bytes: u64,
}

/// What was looked for in a log. [`Log::lines`] are the lines that have it.
#[derive(Clone, Debug)]
pub struct Search {
    /// The words.
    pub text: String,
    /// Where the search ended before the end of the log; it goes on from there.
    pub next: Option<u64>,
}
