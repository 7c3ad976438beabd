//! The pages: a view model in, a whole page out.

mod lists;
mod trouble;

pub use self::{
    lists::{flows, runs, tables},
    trouble::trouble,
};
