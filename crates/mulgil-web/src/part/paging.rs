//! Links through a list of which a page shows a part.

use maud::{Markup, html};

use crate::{
    look::Language,
    text::{Text, frame as words},
    view::Paging,
};

/// Through what is ordered by time: the newer one left, the older one right.
pub fn by_time(paging: &Paging, language: Language) -> Markup {
    through(paging, words::NEWER, words::OLDER, language)
}

/// Through what is ordered by name, or counts up.
pub fn by_name(paging: &Paging, language: Language) -> Markup {
    through(paging, words::PREVIOUS, words::NEXT, language)
}

fn through(paging: &Paging, newer: Text, older: Text, language: Language) -> Markup {
    if paging.newer.is_none() && paging.older.is_none() {
        return html! {};
    }
    html! {
        nav .paging aria-label=(words::PAGES.of(language)) {
            @if let Some(href) = &paging.newer { a href=(href) rel="prev" { "← " (newer.of(language)) } } @else { span {} }
            @if let Some(href) = &paging.older { a href=(href) rel="next" { (older.of(language)) " →" } }
        }
    }
}
