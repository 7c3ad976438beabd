//! A command to type, with a button that copies it where there is a script, and a way to do it on a page.

use maud::{Markup, html};

use crate::{
    address,
    look::Language,
    part::link,
    text::frame as words,
    view::{Fix, Here},
};

/// Letters of a command that a page shows.
const COMMAND_SHOWN: usize = 400;

/// A command, and where pages have the same.
pub fn fix(fix: &Fix, language: Language) -> Markup {
    html! {
        span .fix { (command(&fix.command, language)) (here(fix, language)) }
    }
}

/// The button that leads to where pages have what a command does.
pub fn here(fix: &Fix, language: Language) -> Markup {
    let to = fix.here.as_ref().map(|here| match here {
        Here::Form(href) => (href, words::OPEN_FORM),
        Here::Page(href) => (href, words::OPEN_PAGE),
    });
    html! {
        @if let Some((href, words)) = to.filter(|(href, _)| address::is_local(href)) {
            a .button href=(href) { (words.of(language)) }
        }
    }
}

/// A command that is broken into lines between its words, and not behind the hyphens of a flag or a date.
fn words_of(command: &str) -> Markup {
    html! {
        @for (place, word) in command.split(' ').enumerate() {
            @if place > 0 { " " }
            @if word.contains('-') { span { (word) } } @else { (word) }
        }
    }
}

/// A command.
pub fn command(text: &str, language: Language) -> Markup {
    html! {
        span .command {
            code { bdi { (words_of(&link::cut(text, COMMAND_SHOWN))) } }
            // What was cut cannot be copied whole, so it is not offered.
            @if text.chars().count() <= COMMAND_SHOWN {
                button .copy .needs-script type="button" data-copy=(text) data-copied=(words::COPIED.of(language)) { (words::COPY.of(language)) }
            }
        }
    }
}
