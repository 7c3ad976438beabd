//! An attempt: how it ended and why, what it said, what it asked, what it gave.

use maud::{Markup, html};
use mulgil_core::run::RunState;

use crate::{
    address,
    frame::{Head, Section, page},
    number,
    part::{fault, fix, link, log, mark, sql},
    text::{attempt as words, run as shared, state},
    time::{self, Clock},
    view::{
        Frame, Link, Mark,
        attempt::{Attempt, Log},
    },
};

/// Letters of an output that a page shows.
const OUTPUT_SHOWN: usize = 64 * 1024;

/// An attempt.
pub fn attempt(frame: &Frame, view: &Attempt) -> String {
    let language = frame.look.language;
    let body = html! {
        (header(frame, view))
        @if view.sql.is_some() || view.output.is_some() {
            nav .tabs aria-label=(words::PARTS.of(language)) {
                a href="#log-part" { (words::LOG.of(language)) }
                @if view.sql.is_some() { a href="#sql-part" { (words::SQL.of(language)) } }
                @if view.output.is_some() { a href="#output-part" { (words::OUTPUT.of(language)) } }
            }
        }
        section .part #log-part { h2 { (words::LOG.of(language)) } (log::log(&view.log, &frame.clock())) }
        @if let Some(sql) = &view.sql {
            section .part #sql-part { h2 { (words::SQL.of(language)) } (sql::sql(sql, language)) }
        }
        @if let Some(output) = &view.output {
            section .part #output-part {
                h2 { (words::OUTPUT.of(language)) }
                pre .output tabindex="0" { (link::free(output, OUTPUT_SHOWN)) }
            }
        }
    };
    page(frame, &head(frame, view), &body)
}

/// Lines of a log alone, as the script of the page asks for them.
pub fn log_lines(frame: &Frame, log: &Log) -> String {
    log::lines(log, &frame.clock()).into_string()
}

fn head(frame: &Frame, view: &Attempt) -> Head {
    let number = shared::attempt_number(view.number, frame.look.language);
    let title = format!("{} · {number}", link::cut(&view.task.text, link::NAME_SHOWN));
    let trail = vec![
        view.run.clone(),
        Link {
            text: title.clone(),
            href: None,
        },
    ];
    Head {
        section: Some(Section::Runs),
        title,
        trail,
    }
}

fn header(frame: &Frame, view: &Attempt) -> Markup {
    let (language, clock) = (frame.look.language, frame.clock());
    let number = shared::attempt_number(view.number, language);
    let stands = state::run_state(view.state).of(language);
    html! {
        section #attempt-head data-live data-say={ (number) ": " (stands) } data-moving[!view.state.is_terminal()] {
            div .page-head {
                h1 { (link::name(&view.task.text)) @if let Some(interval) = &view.interval { span .at-interval { (link::name(&interval.name)) } } }
                (mark::state(view.state, language))
                @if view.tries.len() > 1 { (tries(view, &clock)) } @else { span .muted { (number) } }
            }
            @if let Some(why) = &view.fault { (fault::fault(why, language)) }
            @if let Some(at) = view.retry_at {
                p .note { (mark::shape(Mark::Retrying)) " " (words::RETRY.of(language)) ": " (clock.moment(at)) " · " (clock.distance(at)) }
            }
            (facts(frame, view, &clock))
        }
    }
}

fn tries(view: &Attempt, clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    html! {
        nav .tries aria-label=(words::ATTEMPTS.of(language)) {
            @for (number, state, href) in &view.tries {
                a href=(if address::is_local(href) { href } else { "" }) aria-current=[(*number == view.number).then_some("page")]
                    title=(state::run_state(*state).of(language)) {
                    (mark::shape(Mark::Run(*state))) (shared::attempt_number(number, language))
                }
            }
        }
    }
}

fn facts(frame: &Frame, view: &Attempt, clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    let took = view
        .ended_at
        .unwrap_or(clock.now)
        .0
        .saturating_sub(view.started_at.0)
        .max(0) as u64;
    let kind = view.step.map_or_else(
        || state::task_kind(view.kind).of(language),
        |step| state::step_kind(step, language),
    );
    html! {
        dl .facts .two {
            dt { (shared::TASK.of(language)) } dd { (link::link(&view.task)) " " span .muted { (kind) } }
            dt { (words::RUN.of(language)) }
            dd { (link::link(&view.run)) @if let Some(flow) = &view.flow { " · " (link::link(flow)) } }
            @if let Some(interval) = &view.interval {
                dt { (shared::INTERVAL.of(language)) }
                dd {
                    b { (link::name(&interval.name)) } " " span .muted { (clock.window(interval.range, &frame.zone)) }
                    @if let Some(why) = view.why.as_deref().filter(|href| address::is_local(href)) {
                        " " a href=(why) { (crate::text::frame::WHY.of(language)) }
                    }
                }
            }
            dt { (shared::STARTED.of(language)) } dd { (clock.moment(view.started_at)) }
            dt { (shared::TOOK.of(language)) }
            dd { (time::took(std::time::Duration::from_micros(took), language)) @if let Some(ended) = view.ended_at { " → " (clock.time_of_day(ended)) } }
            @if let Some(exit) = &view.exit { dt { (words::EXIT.of(language)) } dd { (link::code(exit)) } }
            @if let Some(rows) = view.rows { dt { (shared::ROWS.of(language)) } dd { (number::count(rows)) } }
            @if let Some(bytes) = view.memory_bytes { dt { (words::MEMORY.of(language)) } dd { (number::bytes(bytes)) } }
            @if let Some(version) = view.version { dt { (words::VERSION.of(language)) } dd { (version) } }
        }
        @if !view.commands.is_empty() {
            details .commands open[view.state == RunState::Failed] {
                summary { (shared::COMMANDS.of(language)) }
                @for command in &view.commands { p { (fix::fix(command, language)) } }
            }
        }
    }
}
