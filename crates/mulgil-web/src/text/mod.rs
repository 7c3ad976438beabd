//! The words of the pages in the reader's language. A text has both languages or does not compile; a sentence
//! with values is a function that matches [`Language`] without a rest.

pub mod form;
pub mod attempt;
pub mod flow;
pub mod frame;
pub mod keys;
pub mod list;
pub mod run;
pub mod state;
pub mod table;
pub mod time;
pub mod today;
pub mod why;

use crate::look::Language;

/// A text in every language of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    /// 한국어.
    pub ko: &'static str,
    /// English.
    pub en: &'static str,
}

impl Text {
    /// In that language.
    pub const fn of(self, language: Language) -> &'static str {
        match language {
            Language::Korean => self.ko,
            Language::English => self.en,
        }
    }
}

/// Shorthand to write a [`Text`]: Korean first.
pub const fn text(ko: &'static str, en: &'static str) -> Text {
    Text { ko, en }
}

/// `1 run`, `2 runs`: English says how many by the noun, Korean does not.
pub fn plural(count: u64, one: &str, many: &str) -> String {
    let noun = if count == 1 { one } else { many };
    format!("{} {noun}", crate::number::count(count))
}
