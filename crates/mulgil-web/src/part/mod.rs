//! What pages are put together from.

pub mod fault;
pub mod fix;
pub mod gantt;
pub mod graph;
pub mod grid;
pub mod keys;
pub mod link;
pub mod log;
pub mod mark;
pub mod paging;
pub mod search;
pub mod sql;
