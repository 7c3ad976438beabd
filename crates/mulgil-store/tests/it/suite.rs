//! What holds of a ledger wherever it lies. It is compiled twice: see `main.rs`.

pub(crate) mod support;

mod adoption;
mod attempts;
mod backfills;
mod fills;
mod flows;
mod forgetting;
mod history;
mod leases;
mod news;
mod pages;
mod reading;
mod retention;
mod retries;
mod sources;
mod tests_of_data;
mod upgrades;
mod writing;
