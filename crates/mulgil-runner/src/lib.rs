//! Tasks outside of the program: commands and Python.
//!
//! Each task runs under a *supervisor*, a small process of the same binary that outlives the server. It
//! writes the task's log masked and bounded, takes its events, kills its whole tree at the end, and leaves
//! a durable exit record. The server's side starts supervisors, finds them again after a restart, waits
//! for them and stops them. What a task is given and what it may say is the [`protocol`].
//!
//! This crate never decides what runs, and never records anything but in the folder of an attempt.
//! It is for Linux: it needs `/proc`, child subreapers and memory files.

pub mod protocol;

mod ask;
mod clock;
mod exit;
mod files;
mod folder;
mod kin;
mod lifeline;
mod log;
mod mask;
mod process;
mod python;
mod retention;
mod server;
mod spec;
mod supervise;

pub use ask::{Said, ask};
pub use exit::{Exit, Why, read as read_exit};
pub use lifeline::Lifeline;
pub use log::{
    LogLine, LogPage, LogPlace, LogSlice, LogStream, PlacedLine, SliceBounds, log_path, read_log, read_slice,
    search_log,
};
pub use mask::too_short;
pub use protocol::{Event, EventRecord, EventsPage, TaskInput, TaskInterval, read_events};
pub use python::{PythonSdk, PythonStep, python_version};
pub use retention::{forget_attempts, set_aside};
pub use server::{Adopted, Launcher, LauncherLimits, Running, adopt};
pub use spec::{LogLimits, Program, Task};
pub use supervise::supervise_if_asked;
