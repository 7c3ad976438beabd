//! A person's view: the real program, on real folders.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests start the program and may panic"
)]

mod ab_test;
mod bucket;
mod changes;
mod completions;
mod crashes;
mod dbt;
mod demo;
mod doctor;
mod events;
mod explain;
mod failures;
mod faults;
mod flights;
mod flows;
mod handover;
mod harness;
mod hooks;
mod incremental;
mod init;
mod keys;
mod kills;
mod leads;
mod look;
mod man;
mod nodes;
mod object_store;
mod outputs;
mod pages;
#[allow(dead_code, reason = "the tests of the ledger use more of it")]
#[path = "../../../mulgil-store/tests/it/postgres.rs"]
mod postgres;
mod prune;
mod publish;
mod races;
mod reload;
mod rollback;
mod seeds;
mod selectors;
mod server;
mod snapshots;
mod sql;
mod wrong;
