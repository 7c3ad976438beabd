//! A person's view: the real program, on real folders.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests start the program and may panic"
)]

mod ab_test;
mod bucket;
mod changes;
mod crashes;
mod dbt;
mod events;
mod failures;
mod faults;
mod flights;
mod flows;
mod harness;
mod hooks;
mod incremental;
mod keys;
mod kills;
mod look;
mod nodes;
mod object_store;
mod outputs;
mod prune;
mod publish;
mod races;
mod rollback;
mod seeds;
mod selectors;
mod snapshots;
mod sql;
mod wrong;
