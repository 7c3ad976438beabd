//! The ledger as its callers see it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(clippy::wildcard_imports, reason = "the shared words of the tests")]

mod adoption;
mod attempts;
mod fills;
mod flows;
mod golden;
mod history;
mod opening;
mod reading;
mod sources;
mod support;
mod tests_of_data;
mod writing;
