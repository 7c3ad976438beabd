//! The pages: a view model in, a whole page out.

mod attempt;
mod confirm;
mod flow;
mod lists;
mod run;
mod table;
mod table_heat;
mod table_size;
mod today;
mod trouble;
mod why;
mod why_check;

pub use self::{
    attempt::{attempt, log_lines},
    confirm::confirm,
    flow::flow,
    lists::{flows, runs, tables},
    run::{run, word},
    table::table,
    today::today,
    trouble::trouble,
    why::why,
};
