//! A search over a list: a form that works without a script.

use maud::{Markup, html};

use crate::{look::Language, text::frame as words};

/// A field that narrows the list at an address.
pub fn search(action: &str, value: &str, hint: &str, language: Language) -> Markup {
    html! {
        form .search role="search" method="get" action=(action) {
            input type="search" name="q" value=(value) placeholder=(hint) aria-label=(hint) maxlength="200";
            button type="submit" { (words::SEARCH.of(language)) }
            @if !value.is_empty() { a href=(action) { (words::SHOW_ALL.of(language)) } }
        }
    }
}
