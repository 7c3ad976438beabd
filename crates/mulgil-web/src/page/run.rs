//! A run: how it stands and why, and its tasks as a graph, over time, as a list, with what happened.

use maud::{Markup, html};

use crate::{
    address,
    frame::{Head, Section, page},
    look::Language,
    number,
    part::{fault, fix, gantt, graph, link, mark, paging},
    text::{run as words, state},
    time::{self, Clock},
    view::{
        Frame, Mark,
        run::{Event, Run, Tab, Task, Try},
    },
};

/// Letters of a parameter's value and of an event's detail that a page shows.
const VALUE_SHOWN: usize = 400;

/// A run.
pub fn run(frame: &Frame, view: &Run) -> String {
    let language = frame.look.language;
    let body = html! {
        (header(frame, view))
        nav .tabs aria-label=(words::TABS.of(language)) {
            @for tab in [Tab::Graph, Tab::Gantt, Tab::List, Tab::Events] {
                a href={ "?tab=" (word(tab)) } aria-current=[(tab == view.tab).then_some("page")] { (words::tab(tab).of(language)) }
            }
        }
        section #tab data-live { (shown(view, &frame.clock())) }
    };
    page(
        frame,
        &Head::below(Section::Runs, words::name(view.id, language)),
        &body,
    )
}

/// How a part is called in the address.
pub const fn word(tab: Tab) -> &'static str {
    match tab {
        Tab::Graph => "graph",
        Tab::Gantt => "gantt",
        Tab::List => "list",
        Tab::Events => "events",
    }
}

fn header(frame: &Frame, view: &Run) -> Markup {
    let (language, clock) = (frame.look.language, frame.clock());
    let name = words::name(view.id, language);
    let stands = state::run_state(view.state).of(language);
    html! {
        section #run-head data-live data-say={ (name) ": " (stands) } data-moving[!view.state.is_terminal()] {
            div .page-head {
                h1 { @if let Some(flow) = &view.flow { (link::name(&flow.text)) " · " } (name) }
                (mark::state(view.state, language))
                @if let Some(href) = view.cancel_href.as_deref().filter(|href| address::is_local(href)) {
                    a .button .end href=(href) { (words::CANCEL.of(language)) }
                }
            }
            @if let Some((task, why)) = &view.fault {
                p .fault-of { (link::link(task)) }
                (fault::fault(why, language))
            }
            (facts(frame, view, &clock))
        }
    }
}

fn facts(frame: &Frame, view: &Run, clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    let took = span(view.started_at, view.ended_at.unwrap_or(clock.now));
    html! {
        dl .facts .two {
            @if let Some(flow) = &view.flow { dt { (words::FLOW.of(language)) } dd { (link::link(flow)) } }
            @else {
                dt { (words::SELECTED.of(language)) }
                dd { @if view.selector.is_empty() { (words::EVERYTHING.of(language)) } @else { (link::code(&view.selector)) } }
            }
            @if let Some(interval) = &view.interval {
                dt { (words::INTERVAL.of(language)) }
                dd { b { (link::name(&interval.name)) } " " span .muted { (clock.window(interval.range, &frame.zone)) } }
            }
            @if view.counts.iter().any(|(_, count)| *count > 0) {
                dt { (words::TASK.of(language)) }
                dd { ul .counts { @for (mark, count) in view.counts.iter().filter(|(_, count)| *count > 0) {
                    li { (mark::badge(*mark, language)) " " b { (number::count(*count)) } }
                } } }
            }
            dt { (words::TRIGGER.of(language)) }
            dd {
                (state::trigger(view.trigger).of(language))
                @if let Some(backfill) = view.backfill { " " (backfill) }
                @if let Some(tick) = view.scheduled_at { " · " (words::TICK.of(language)) " " (clock.minute(tick)) }
            }
            dt { (words::STARTED.of(language)) } dd { (clock.moment(view.started_at)) }
            dt { (words::TOOK.of(language)) }
            dd { (time::took(took, language)) @if let Some(ended) = view.ended_at { " → " (clock.time_of_day(ended)) } }
            @if !view.params.is_empty() {
                dt { (words::PARAMS.of(language)) }
                dd { @for (name, value) in &view.params { span .pair { (link::code(name)) " " (link::free(value, VALUE_SHOWN)) } } }
            }
            @if let Some(version) = &view.version { dt { (words::VERSION.of(language)) } dd { (link::code(version)) } }
        }
        @if !view.commands.is_empty() {
            details .commands {
                summary { (words::COMMANDS.of(language)) }
                @for command in &view.commands { p { (fix::fix(command, language)) } }
            }
        }
    }
}

fn shown(view: &Run, clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    let is_empty = view.tasks.is_empty() && view.tab != Tab::Events;
    html! {
        @if is_empty {
            div .empty { p {
                @if view.state.is_terminal() { (words::NO_TASKS_EVER.of(language)) } @else { (words::NO_TASKS.of(language)) }
            } }
        } @else {
            @match view.tab {
                Tab::Graph => (graph::graph(&view.tasks, language)),
                Tab::Gantt => (gantt::gantt(view, clock)),
                Tab::List => (list(&view.tasks, clock)),
                Tab::Events => (events(&view.events, clock)),
            }
        }
        @match view.tab {
            Tab::Graph | Tab::Gantt | Tab::List => (paging::by_name(&view.tasks_paging, language)),
            Tab::Events => (paging::by_name(&view.events_paging, language)),
        }
    }
}

fn list(tasks: &[Task], clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    html! {
        div .scroll { table .list .tasks {
            thead { tr {
                th scope="col" { (words::TASK.of(language)) }
                th scope="col" { (words::STATE.of(language)) }
                th .wide scope="col" { (words::STARTED.of(language)) }
                th .num scope="col" { (words::TOOK.of(language)) }
                th .wide .num scope="col" { (words::ATTEMPTS.of(language)) }
                th .wide .num scope="col" { (words::ROWS.of(language)) }
                th .wide scope="col" { (words::REASON.of(language)) }
            } }
            tbody { @for task in tasks { (task_row(task, clock)) } }
        } }
    }
}

fn task_row(task: &Task, clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    html! {
        tr {
            th scope="row" {
                (link::to(task.href.as_deref(), &link::name(&task.name)))
                @if let Some(interval) = &task.interval { span .at-interval { (link::name(&interval.name)) } }
                span .muted { " " (kind(task, language)) }
                @if let Some(why) = &task.fault { div .why { (fault::line(why)) } }
            }
            td { (mark::badge(task.mark, language)) }
            td .wide { @if let Some(first) = task.attempts.first() { (clock.time_of_day(first.started_at)) } }
            td .num { @if let Some(last) = task.attempts.last() { (time::took(ran(last, clock), language)) } }
            td .wide .num {
                @if task.attempts.len() > 1 {
                    @for (at, one) in task.attempts.iter().enumerate() {
                        " " (link::to(Some(&one.href), &html! { (mark::shape(Mark::Run(one.state))) " " (at + 1) }))
                    }
                } @else if !task.attempts.is_empty() { "1" }
            }
            td .wide .num { @if let Some(rows) = task.rows { (number::count(rows)) } }
            td .wide .muted { @if let Some(reason) = &task.reason { bdi { (state::reason(reason, language)) } } }
        }
    }
}

fn kind(task: &Task, language: Language) -> &'static str {
    task.step.map_or_else(
        || state::task_kind(task.kind).of(language),
        |step| state::step_kind(step, language),
    )
}

fn events(events: &[Event], clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    html! {
        @if events.is_empty() {
            div .empty { p { (words::NO_EVENTS.of(language)) } }
        } @else {
            div .scroll { table .list .events {
                thead { tr {
                    th scope="col" { (words::WHEN.of(language)) }
                    th scope="col" { (words::WHAT.of(language)) }
                    th scope="col" { (words::SUBJECT.of(language)) }
                    th scope="col" { (words::DETAIL.of(language)) }
                } }
                tbody { @for event in events { tr id={ "e" (event.seq) } {
                    td { (clock.precise(event.at)) }
                    td { (link::code(&event.kind)) }
                    td { @if let Some(subject) = &event.subject { (link::link(subject)) } }
                    td { (link::free(&event.detail, VALUE_SHOWN)) }
                } } }
            } }
        }
    }
}

fn ran(one: &Try, clock: &Clock<'_>) -> std::time::Duration {
    span(one.started_at, one.ended_at.unwrap_or(clock.now))
}

fn span(from: mulgil_core::interval::Instant, to: mulgil_core::interval::Instant) -> std::time::Duration {
    std::time::Duration::from_micros(to.0.saturating_sub(from.0).max(0) as u64)
}
