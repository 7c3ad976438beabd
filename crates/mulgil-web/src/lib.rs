//! The pages: view-model structs in, HTML out. Server-rendered, with real addresses; they can be read
//! without a script.
//!
//! It never opens a ledger, never sees the engine or HTTP, and never asks for the time: what a page tells is
//! an argument.

pub mod ansi;
pub mod graph;
pub mod look;
pub mod view;
