//! The loop around the pure decision: look, decide, claim, perform, record.
//!
//! It never decides by itself: what is due is `mulgil_core::plan`, what may start is
//! `mulgil_core::decide`. It never keeps facts by itself: they are in the store before anything
//! follows from them.

mod backfill;
mod live_run;
mod log;
mod look;
mod perform;
mod run;
pub mod service;

pub use backfill::{BackfillTurn, backfill_turn};
pub use log::masked;
pub use look::{Known, News, Seen, gather, record};
pub use run::{FailedAttempt, OnFailure, RunRequest, RunSummary, Runner, Watch};
