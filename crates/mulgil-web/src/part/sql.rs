//! SQL with numbered lines, and the place of the fault in it.

use maud::{Markup, html};

use crate::{
    look::Language,
    part::link,
    text::attempt as words,
    view::attempt::{Source, Sql},
};

/// Lines of a text that a page shows.
const LINES_SHOWN: usize = 1_000;
/// Letters of a line that a page shows.
const LINE_SHOWN: usize = 2_000;
/// Lines before the fault that are shown of a text that is longer.
const LINES_BEFORE: usize = 200;

/// What was asked, beside what a person wrote.
pub fn sql(sql: &Sql, language: Language) -> Markup {
    html! {
        div .sql {
            @if let Some(source) = &sql.source { (source_text(source, language)) }
            section {
                h3 { (words::RENDERED.of(language)) }
                @match &sql.rendered {
                    Some(rendered) => (numbered(rendered, sql.rendered_at, "q", language)),
                    None => p .muted { (words::NOT_RENDERED.of(language)) },
                }
            }
        }
    }
}

fn source_text(source: &Source, language: Language) -> Markup {
    html! {
        section {
            h3 { (link::code(&source.path)) }
            @if source.has_changed { p .note { (words::SOURCE_CHANGED.of(language)) } }
            (numbered(&source.text, source.at, "s", language))
        }
    }
}

/// A text with a number before each line; each can be linked to.
fn numbered(text: &str, at: Option<(u32, u32)>, prefix: &str, language: Language) -> Markup {
    let fault = at.map(|(line, _)| line as usize);
    let all = text.lines().count();
    let first = match fault {
        Some(line) if line > LINES_SHOWN => line.min(all).saturating_sub(LINES_BEFORE),
        Some(_) | None => 0,
    };
    html! {
        div .code tabindex="0" role="region" aria-label=(words::SQL.of(language)) {
            @for (number, line) in text.lines().enumerate().skip(first).take(LINES_SHOWN) {
                @let number = number + 1;
                @let column = at.filter(|_| fault == Some(number)).map(|(_, column)| column as usize);
                div .code-line .has-fault[column.is_some()] id={ (prefix) (number) } {
                    // What says nothing needs no address.
                    @if line.trim().is_empty() { span .code-at { (number) } }
                    @else { a .code-at href={ "#" (prefix) (number) } { (number) } }
                    bdi { @match column { Some(column) => (marked(line, column, language)), None => (link::cut(line, LINE_SHOWN)) } }
                }
            }
            @if all > first + LINES_SHOWN { p .muted { (words::lines_cut(all - first - LINES_SHOWN, language)) } }
        }
    }
}

/// A line with the word at that column marked.
fn marked(line: &str, column: usize, language: Language) -> Markup {
    let start = line
        .char_indices()
        .nth(column.saturating_sub(1))
        .map_or(line.len(), |(at, _)| at);
    let (before, rest) = line.split_at(start);
    let word = rest
        .find(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .unwrap_or(rest.len());
    let word = if word == 0 {
        rest.chars().next().map_or(0, char::len_utf8)
    } else {
        word
    };
    let (word, after) = rest.split_at(word);
    html! {
        (link::cut(before, LINE_SHOWN))
        mark title=(words::FAULT_HERE.of(language)) { (if word.is_empty() { " " } else { word }) }
        (link::cut(after, LINE_SHOWN))
    }
}

#[cfg(test)]
mod tests {
    use super::numbered;
    use crate::look::Language;

    #[test]
    fn the_word_at_the_fault_is_marked() {
        let html = numbered(
            "select a,\n  <orderz> 값1 from x",
            Some((2, 12)),
            "q",
            Language::English,
        )
        .into_string();
        assert!(
            html.contains("<bdi>  &lt;orderz&gt; <mark") && html.contains("값1</mark> from x</bdi>"),
            "{html}"
        );
    }

    #[test]
    fn a_fault_past_the_end_and_a_long_text_do_no_harm() {
        for at in [(1, 0), (1, 99), (7, 7), (u32::MAX, u32::MAX)] {
            assert!(
                numbered("가나", Some(at), "q", Language::Korean)
                    .into_string()
                    .contains("가")
            );
        }
        let long = "x\n".repeat(100_000);
        let html = numbered(&long, Some((50_000, 1)), "q", Language::English).into_string();
        assert!(html.contains("id=\"q50000\"") && html.len() < 200_000);
    }
}
