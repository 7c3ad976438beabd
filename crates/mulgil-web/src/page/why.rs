//! Why an interval stands as it does: how it stands, the one thing that helps, then every predicate of the
//! scheduler in the order in which it asks them.

use maud::{Markup, html};

use super::why_check::{answer, question};
use crate::{
    address,
    frame::{Head, Section, page},
    look::Language,
    number,
    part::{fix, link, mark},
    text::{run as of_run, state as states, why as words},
    time::Clock,
    view::{
        Frame, Link, Verdict,
        why::{Fill, Row, Why},
    },
};

/// Parts of the interval whose standing is told one by one.
const PARTS_SHOWN: usize = 20;
/// Letters of an answer.
const ANSWER_SHOWN: usize = 600;

/// The page.
pub fn why(frame: &Frame, view: &Why) -> String {
    let language = frame.look.language;
    let clock = frame.clock();
    let target = format!("{}@{}", view.node.text, view.interval.name);
    let body = html! {
        div #why data-live {
            div .page-head {
                h1 { (link::link(&view.node)) span .muted { "@" } (link::name(&view.interval.name)) }
                span .muted { (clock.window(view.interval.range, &view.zone)) }
                @if view.count > 1 { span .muted { (words::count(view.count, language)) } }
            }
            (beside(view, &clock))
            (standing(view, &clock))
            @if let Some(help) = &view.fix {
                div .helps { h2 { (words::HELPS.of(language)) } (fix::fix(help, language)) }
            }
            section .part {
                h2 { (words::CHECKS.of(language)) }
                ol .checks { @for row in &view.checks { (check(row, view, &clock)) } }
            }
            @if !view.fills.is_empty() { (fills(&view.fills, &clock)) }
            section .part .same { h2 { (words::COMMAND.of(language)) } (fix::command(&view.command, language)) }
        }
    };
    let mut head = Head::below(Section::Tables, target);
    if let Some(end) = head.trail.last_mut() {
        end.text = format!("@{}", view.interval.name);
    }
    head.trail.insert(0, view.node.clone());
    page(frame, &head, &body)
}

fn beside(view: &Why, clock: &Clock<'_>) -> Markup {
    let way = |to: &Option<Link>, name: crate::text::Text, rel: &str, before: &str, after: &str| {
        html! { @if let Some(to) = to { @if let Some(href) = to.href.as_deref().filter(|href| address::is_local(href)) {
            a href=(href) rel=(rel) title=(name.of(clock.language)) { (before) (link::name(&to.text)) (after) }
        } } }
    };
    html! {
        @if view.before.is_some() || view.after.is_some() {
            nav .beside {
                (way(&view.before, words::BEFORE, "prev", "← ", ""))
                (way(&view.after, words::AFTER, "next", "", " →"))
            }
        }
    }
}

fn standing(view: &Why, clock: &Clock<'_>) -> Markup {
    let is_whole = view.status.len() == 1;
    html! {
        ul .standings {
            @for (part, status, mark) in view.status.iter().take(PARTS_SHOWN) {
                li .standing-part {
                    (mark::shape(*mark))
                    span .standing-word { (link::free(&states::status(status, clock.language), 300)) }
                    @if !is_whole { span .muted { (link::name(&part.name)) } }
                }
            }
        }
    }
}

fn check(row: &Row, view: &Why, clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    html! {
        li class={ "check is-" (mark::verdict_class(row.verdict)) } {
            span .check-verdict { (mark::verdict(row.verdict, language)) }
            div {
                h3 { (question(&row.check).of(language)) }
                @for line in answer(&row.check, &view.zone, clock) {
                    p { (link::free(&line, ANSWER_SHOWN)) }
                }
                @if row.since.is_some() || !row.links.is_empty() {
                    p .check-more .muted {
                        @if let Some(at) = row.since { span { (words::SINCE.of(language)) " " (clock.moment(at)) } }
                        @for to in row.links.iter().take(12) { span { (place(to, language)) } }
                    }
                }
                @if let Some(help) = row.fix.as_ref().filter(|_| row.verdict != Verdict::Good) {
                    p { (fix::fix(help, language)) }
                }
            }
        }
    }
}

/// Where to look further. A run has a number for its name, which says nothing without the word.
fn place(to: &Link, language: Language) -> Markup {
    let run = to.text.parse::<i64>().ok();
    match run.filter(|run| to.href.as_deref() == Some(&address::run(*run))) {
        Some(run) => link::to(to.href.as_deref(), &html! { (of_run::named(run, language)) }),
        None => link::link(to),
    }
}

fn fills(fills: &[Fill], clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    html! {
        section .part {
            h2 { (words::FILLS.of(language)) }
            div .scroll { table .list .fills {
                thead { tr {
                    th scope="col" { (words::AT.of(language)) }
                    th scope="col" { (words::RUN.of(language)) }
                    th scope="col" { (words::WITH.of(language)) }
                    th .num scope="col" { (words::ROWS.of(language)) }
                    th .wide .num scope="col" { (words::VERSION.of(language)) }
                } }
                tbody { @for fill in fills { tr {
                    td { (clock.moment(fill.at)) }
                    td { @match &fill.run { Some(run) => (place(run, clock.language)), None => span .muted { (words::ADOPTED.of(language)) } } }
                    td { (link::name(&fill.with)) }
                    td .num { @if let Some(rows) = fill.rows { (number::count(rows)) } }
                    td .wide .num { @if let Some(version) = fill.version { (version) } }
                } } }
            } }
        }
    }
}
