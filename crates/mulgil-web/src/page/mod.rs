//! The pages: a view model in, a whole page out.

mod confirm;
mod lists;
mod table;
mod table_heat;
mod table_size;
mod today;
mod trouble;
mod why;
mod why_check;

pub use self::{
    confirm::confirm,
    lists::{flows, runs, tables},
    table::table,
    today::today,
    trouble::trouble,
    why::why,
};
