//! The port that the program implements: all that a server can be asked, and nothing of how it is done.

use std::{pin::Pin, time::Duration};

use async_trait::async_trait;
use futures::Stream;
use mulgil_core::{diagnostic::Diagnostic, interval::Instant, port::Fault};
use serde::{Deserialize, Serialize};

use crate::{
    event::{Answer, Event},
    metrics::Metric,
    verb::{Target, Verb},
};

/// Events, in order; it ends after [`Happened::Ended`](crate::Happened::Ended). A fault ends it too.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<Event, Fault>> + Send>>;

/// What a server is for: implemented by the program over its scheduler and its ledger.
#[async_trait]
pub trait Control: Send + Sync + 'static {
    /// How things are, now. Asked at most once a second, whoever asks; an answer that takes longer than
    /// [`Limits::health`](crate::Limits::health) counts as an unhealthy database.
    async fn health(&self) -> HealthFacts;

    /// The measurements of everything but the server itself.
    async fn metrics(&self) -> Vec<Metric>;

    /// Does a verb, or queues what lasts and says what to follow. It is not ended when who asked hangs
    /// up, and the same request that comes again over a new connection does not reach it twice. What it
    /// answers is recorded: a promise that a crash does not take back.
    async fn perform(&self, verb: Verb) -> Result<Answer, Refusal>;

    /// The events of a run or a backfill from a number on: first those that were, then those that come.
    /// A fault with [`NOT_FOUND`](mulgil_core::codes::NOT_FOUND) where there is no such thing.
    async fn follow(&self, target: Target, from: u64) -> Result<EventStream, Fault>;

    /// Bytes of an attempt's log from a place on. Where there are none yet and the attempt is live, it
    /// waits up to `wait` for some.
    async fn log_tail(&self, attempt: i64, from: u64, wait: Duration) -> Result<LogChunk, Fault>;
}

/// Why a verb was not done: at least one fault, all that are known at once. The first one's code gives
/// the exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The first.
    pub fault: Fault,
    /// The others.
    pub others: Vec<Diagnostic>,
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self {
            fault,
            others: Vec::new(),
        }
    }
}

impl From<Diagnostic> for Refusal {
    fn from(fault: Diagnostic) -> Self {
        Self::from(Box::new(fault))
    }
}

impl Refusal {
    /// All of them, in order.
    pub fn into_all(self) -> Vec<Diagnostic> {
        std::iter::once(*self.fault).chain(self.others).collect()
    }
}

/// What the health of a server is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthFacts {
    /// How the ledger takes a write.
    pub database: Database,
    /// Migrations that are not done yet.
    pub migrations_pending: u32,
    /// The number of the ledger's schema.
    pub schema: u32,
    /// When the scheduler last went through its loop; none before it began.
    pub heartbeat_at: Option<Instant>,
    /// Bytes that are free where the data folder lies; the less of it and the warehouse.
    pub disk_free_bytes: u64,
    /// All bytes there.
    pub disk_total_bytes: u64,
    /// Files that can still be made there.
    pub disk_free_files: u64,
    /// All that there can be; 0 where nobody counts them.
    pub disk_total_files: u64,
    /// Who does the work.
    pub workers: Workers,
    /// By how much the last tick came too late.
    pub schedule_lag: Duration,
    /// How long the oldest of what is queued has waited.
    pub oldest_queued: Option<Duration>,
    /// Bytes of the ledger's write-ahead log; zero where it has none.
    pub wal_bytes: u64,
    /// Whether the program itself takes nothing new, or is about to stop.
    pub draining: bool,
}

/// How the ledger takes a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// It does.
    Answers {
        /// After this time.
        after: Duration,
    },
    /// It does not.
    Fails {
        /// Why.
        fault: Fault,
    },
}

/// Who does the work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workers {
    /// Workers that are heard of.
    pub alive: u32,
    /// Workers that were lost with work in their hands.
    pub lost: u32,
}

/// Some of an attempt's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogChunk {
    /// The place of its first byte.
    pub from: u64,
    /// The place after its last byte: where the next one begins.
    pub next: u64,
    /// What was said: whole lines, but for one that is longer than a chunk.
    pub text: String,
    /// Whether nothing will follow.
    pub ended: bool,
}
