//! The pages: view-model structs in, HTML out. Server-rendered, with real addresses; they can be read
//! without a script.
//!
//! It never opens a ledger, never sees the engine or HTTP, and never asks for the time: what a page tells is
//! an argument. A page is a function of [`page`] over a view model of [`view`]; it is put together from
//! [`part`]s, in the words of [`text`], inside of the [`frame`].

pub mod address;
pub mod ansi;
pub mod asset;
pub mod frame;
pub mod graph;
pub mod look;
pub mod number;
pub mod page;
pub mod part;
pub mod text;
pub mod time;
pub mod view;
