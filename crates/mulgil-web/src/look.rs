//! How a reader wants pages: language, theme, zone. Parsed from the request once, at the edge.

use mulgil_core::grid::Zone;

/// How a reader wants pages.
#[derive(Clone, Debug)]
pub struct Look {
    /// In which language.
    pub language: Language,
    /// In which colours.
    pub theme: Theme,
    /// In which zone times are shown; nothing for the project's own.
    pub zone: Option<Zone>,
}

/// The languages of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// 한국어.
    Korean,
    /// English.
    English,
}

/// The colours of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// As the reader's machine has it.
    Auto,
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}
