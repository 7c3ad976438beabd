//! The ledger as its callers see it: one suite for a file and for a server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(clippy::wildcard_imports, reason = "the shared words of the tests")]
#![allow(
    clippy::duplicate_mod,
    dead_code,
    reason = "the suite is compiled for either kind of ledger, and each uses some of the words"
)]

mod postgres;
mod proxy;

/// The suite on a ledger in a file.
#[path = "suite.rs"]
mod on_file;

/// The suite on a ledger of a server; `support::scratch` asks in which module it stands.
#[path = "suite.rs"]
mod with_postgres;

#[path = "copies.rs"]
mod copies_with_postgres;
mod golden;
#[path = "leads.rs"]
mod leads_with_postgres;
mod opening;
#[path = "server.rs"]
mod server_with_postgres;
