//! The pages: a view model in, a whole page out.

mod attempt;
mod flow;
mod lists;
mod run;
mod trouble;

pub use self::{
    attempt::{attempt, log_lines},
    flow::flow,
    lists::{flows, runs, tables},
    run::{run, word},
    trouble::trouble,
};
