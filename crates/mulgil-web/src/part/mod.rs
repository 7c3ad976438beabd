//! What pages are put together from.

pub mod fault;
pub mod fix;
pub mod link;
pub mod mark;
pub mod paging;
pub mod search;
