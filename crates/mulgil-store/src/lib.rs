//! The ledger: what happened, and what is derived of it.
//!
//! One SQLite file per environment, or one schema of a PostgreSQL database, holds facts, which are only added until an old
//! run goes with all that tells of it, and everything that is derived of them in the same transaction: what is filled, with what, what became stale and why,
//! what failed, runs and attempts, files seen, tables. [`Store::rebuild`] makes all of it anew from
//! the facts. Data is committed first and recorded here afterwards; where the two differ, the table
//! is right and [`Store::adopt`] makes the ledger agree.
//!
//! It never decides what is due, never reads a source or a table, and never asks for the time.

#![allow(
    clippy::unnecessary_box_returns,
    reason = "a fault is a boxed diagnostic in every crate, because it is rare and large"
)]

mod adopt;
mod apply;
mod apply_backfill;
mod apply_flow;
mod attempt;
mod backfill;
mod chunk;
mod connect;
mod copy;
mod counted;
mod document;
mod error;
mod evidence;
pub mod fact;
mod fill;
mod flow;
mod lead;
mod lease;
mod line;
mod load;
mod lock;
mod log_walk;
mod news;
pub mod page;
mod place;
mod pool;
mod postgres;
mod publish;
mod read;
mod readers;
mod rebuild;
mod reopen;
mod retention;
mod rollback;
mod source;
mod sql;
mod steps;
mod store;
mod text;
mod tick;
mod value;
mod writer;

pub use adopt::Adopted;
pub use attempt::{ClaimRequest, Failure, NewRun};
pub use backfill::{BackfillPreview, MadeBackfill, NewBackfill};
pub use copy::{CopiedTable, CopyReport};
pub use counted::counted;
pub use evidence::{Evidence, FillFact};
pub use fill::Recorded;
pub use flow::{Begun, NewWalk, OpenStep, OpenWalk};
pub use lead::{Beat, Candidate, LEAD, Lead, LeadTimes, Led};
pub use lease::{Fence, Lease, LeaseState};
pub use lock::{DataLock, Holder};
pub use news::News;
pub use place::{LedgerPlace, PostgresPlace};
pub use publish::Versions;
pub use read::{KnownTable, LOG_LINE_BYTES_LIMIT, LOG_LINES_LIMIT, LastTest, LogLine, RelationEntry, TableSize};
pub use reopen::PastWalk;
pub use retention::Forgotten;
pub use steps::{EndedStep, StepStart, StepsTaken, StepsTurn};
pub use store::{Store, schema};
pub use tick::{DecidedTicks, ScheduleKey, TickRow};
