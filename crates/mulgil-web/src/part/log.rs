//! Some of a log: its lines as text that can be read, found and copied, and links to what comes before and
//! after. Each line is named by the place of its first byte, which never changes.

use maud::{Markup, html};

use crate::{
    address, ansi,
    look::Language,
    text::{attempt as words, frame as shared, run as of_run},
    time::{self, Clock},
    view::attempt::{Line, Log, Search},
};

/// A log with what can be done with it.
pub fn log(log: &Log, clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    let shows_end = log.search.is_none() && log.next >= log.bytes;
    html! {
        (tools(log, clock))
        @if log.search.is_none() && log.from > 0 {
            p .log-link { a href={ "?before=" (log.from) "#log-part" } data-earlier { (words::EARLIER.of(language)) } }
        }
        @if log.lines.is_empty() { (empty(log, language)) }
        div #log .log data-log data-href=(log.href) data-next=(log.next) data-ended=(u8::from(log.has_ended))
            data-tail=(u8::from(shows_end && !log.has_ended)) role="log" aria-live="off" tabindex="0" aria-label=(words::LOG.of(language)) {
            (lines(log, clock))
        }
        (after(log, language))
    }
}

/// The lines alone.
pub fn lines(log: &Log, clock: &Clock<'_>) -> Markup {
    html! { @for one in &log.lines { (line(one, log, clock)) } }
}

fn tools(log: &Log, clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    let searched = log.search.as_ref().map_or("", |search| search.text.as_str());
    html! {
        div .log-tools {
            form .search role="search" method="get" action="#log-part" {
                input type="search" name="q" value=(searched) placeholder=(words::SEARCH.of(language)) aria-label=(words::SEARCH.of(language)) maxlength="200";
                button type="submit" { (shared::SEARCH.of(language)) }
                @if log.search.is_some() { a href="?#log-part" { (words::ALL_LINES.of(language)) } }
            }
            span #log-status .muted data-live {
                @match &log.search {
                    Some(_) => (words::hits(log.lines.len(), language)),
                    None => {
                        @if log.bytes > 0 { (words::shown(log.from, log.next, log.bytes, language)) }
                        @if !log.has_ended && log.bytes > 0 { " · " (words::STILL_WRITTEN.of(language)) }
                    }
                }
                @if let Some(at) = log.lines.iter().find_map(|line| line.at) {
                    " · " (of_run::times_in(&time::abbreviation(at, clock.zone), language))
                }
            }
            span .log-buttons {
                button .needs-script type="button" data-wrap aria-pressed="false" aria-controls="log" { (words::WRAP.of(language)) }
                button .needs-script type="button" data-copy-of="log" data-copied=(shared::COPIED.of(language)) { (words::COPY.of(language)) }
                @if log.bytes > 0 && address::is_local(&log.href) { a .button href=(log.href) download { (words::DOWNLOAD.of(language)) } }
            }
        }
    }
}

/// What it means that there is nothing to see.
fn empty(log: &Log, language: Language) -> Markup {
    let says = match (&log.search, log.bytes, log.has_ended) {
        (Some(_), _, _) => words::NO_HITS,
        (None, 0, false) => words::WAITS,
        (None, 0, true) => words::NO_OUTPUT,
        (None, _, _) => words::NOTHING_HERE,
    };
    html! { div #log-empty .empty data-live data-log-empty { p { (says.of(language)) } } }
}

fn after(log: &Log, language: Language) -> Markup {
    html! {
        @match &log.search {
            Some(Search { text, next: Some(next) }) => p .log-link {
                a href={ (address::with("?", "q", text).replacen("?&", "?", 1)) "&from=" (next) "#log-part" } { (words::SEARCH_ON.of(language)) }
            },
            Some(Search { next: None, .. }) => {},
            None => @if log.next < log.bytes { p .log-link {
                a href={ "?from=" (log.next) "#log-part" } { (words::LATER.of(language)) }
                " · " a href="?#log-part" { (words::TO_END.of(language)) }
            } },
        }
    }
}

fn line(line: &Line, log: &Log, clock: &Clock<'_>) -> Markup {
    let at = line.at.map_or_else(
        || "#".to_owned(),
        |at| time::civil(at, clock.zone).strftime("%H:%M:%S").to_string(),
    );
    html! {
        div .line .is-error[line.is_error] id={ "b" (line.at_byte) } {
            // What says nothing needs no address.
            @if line.text.trim().is_empty() { span .line-at { (at) } }
            @else { a .line-at href={ "?from=" (line.at_byte) "#b" (line.at_byte) } { (at) } }
            bdi { (ansi::line(&line.text)) }
            @if line.cut_bytes > 0 && address::is_local(&log.href) {
                a .line-cut href=(log.href) download { (words::line_cut(line.cut_bytes, clock.language)) }
            }
        }
    }
}
