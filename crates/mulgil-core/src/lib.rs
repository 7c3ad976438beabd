//! What Mulgil means, without any I/O: names, intervals, grids, the graph, and the one idea:
//! `due = ((wanted − filled) ∪ stale) ∩ ready − in_flight`.

pub mod backfill;
pub mod backoff;
pub mod checks;
mod clock;
pub mod codes;
pub mod crash;
pub mod cron;
pub mod data_test;
pub mod decide;
pub mod diagnostic;
pub mod due;
pub mod environment;
pub mod flow;
pub mod grid;
pub mod interval;
pub mod interval_text;
pub mod location;
pub mod mapping;
pub mod name;
pub mod plan;
pub mod port;
pub mod project;
pub mod publish;
pub mod run;
pub mod schedule;
pub mod select;
pub mod slots;
pub mod state;
pub mod statements;
pub mod task;
pub mod tick;
pub mod timeline;
pub mod walk;
pub mod why;
