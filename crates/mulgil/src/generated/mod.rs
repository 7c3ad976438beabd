//! Written by `cargo xtask gen`.

pub(crate) mod error_pages;
