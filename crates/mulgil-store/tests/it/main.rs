//! The ledger as its callers see it.

mod adoption;
mod attempts;
mod fills;
mod golden;
mod history;
mod opening;
mod reading;
mod sources;
mod support;
mod tests_of_data;
mod writing;
