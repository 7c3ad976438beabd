//! The service over a real ledger, with steps that a test makes up and a clock that it turns.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod backfills;
mod loops;
mod retries;
mod simulation;
mod world;
