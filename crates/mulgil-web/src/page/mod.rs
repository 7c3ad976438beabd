//! The pages: a view model in, a whole page out.

mod lists;
mod table;
mod table_heat;
mod table_size;
mod today;
mod trouble;

pub use self::{
    lists::{flows, runs, tables},
    table::table,
    today::today,
    trouble::trouble,
};
