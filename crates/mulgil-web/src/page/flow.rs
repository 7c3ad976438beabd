//! A flow: when it comes, what is missing, and its runs as a grid of steps by intervals.

use maud::{Markup, html};
use mulgil_core::run::RunState;

use crate::{
    address,
    frame::{Head, Section, page},
    look::Language,
    part::{fix, grid, link, mark, paging},
    text::{flow as words, run as of_run, state},
    time::{self, Clock},
    view::{
        Fix, Frame, Mark,
        flow::{Column, Flow, Order, Schedule, TickFate},
    },
};

/// Letters of a description that the page shows.
const DESCRIPTION_SHOWN: usize = 600;
/// Steps that a run in the list for small screens names.
const STEPS_NAMED: usize = 3;

/// A flow.
pub fn flow(frame: &Frame, view: &Flow) -> String {
    let (language, clock) = (frame.look.language, frame.clock());
    let body = html! {
        div .page-head {
            h1 { (link::name(&view.name)) }
            @if let Some(href) = view.run_href.as_deref().filter(|href| address::is_local(href)) {
                a .button .end href=(href) { (words::RUN.of(language)) }
            }
        }
        @if let Some(description) = &view.description { p .lead { (link::free(description, DESCRIPTION_SHOWN)) } }
        section #flow-facts data-live {
            @if let Some(holes) = &view.holes { (missing(holes, language)) }
            (facts(view, &clock))
        }
        (choices(view, language))
        section #flow-grid data-live data-moving[view.columns.iter().any(|column| column.mark == Mark::Run(RunState::Running))] {
            @if view.columns.is_empty() { (nothing(view, language)) } @else {
                (grid::grid(view, &clock))
                (latest(view, &clock))
                @if view.more_rows > 0 { p .note { (words::more_rows(view.more_rows, language)) } }
                (legend(view, language))
            }
        }
        (paging::by_time(&view.paging, language))
    };
    page(frame, &Head::below(Section::Flows, view.name.clone()), &body)
}

fn missing((ranges, count, fix): &(String, u64, Fix), language: Language) -> Markup {
    html! {
        div .holes {
            p { (mark::shape(Mark::Missing)) " " (words::holes(*count, language)) " " b { (link::free(ranges, 400)) } }
            (fix::fix(fix, language))
        }
    }
}

fn facts(view: &Flow, clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    html! {
        dl .facts .two {
            dt { (words::SCHEDULE.of(language)) }
            dd { @match &view.schedule {
                Some(schedule) => { (link::code(&schedule.cron)) " " span .muted { (link::name(&schedule.zone)) } },
                None => span .muted { (words::NO_SCHEDULE.of(language)) },
            } }
            @if let Some(schedule) = &view.schedule { (ticks(schedule, clock)) }
            @if let Some(unit) = &view.unit { dt { (words::UNIT.of(language)) } dd { (words::unit(unit, language)) } }
            dt { (words::FILE.of(language)) } dd { (link::code(&view.path)) }
            @if let Some(owner) = &view.owner { dt { (words::OWNER.of(language)) } dd { (link::name(owner)) } }
        }
    }
}

fn ticks(schedule: &Schedule, clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    html! {
        dt { (words::NEXT.of(language)) }
        dd {
            @match schedule.next.split_first() {
                None => span .muted { (words::NO_NEXT.of(language)) },
                Some((first, [])) => { (clock.minute(*first)) " · " (clock.distance(*first)) },
                Some((first, others)) => details .ticks {
                    summary { (clock.minute(*first)) " · " (clock.distance(*first)) }
                    ul { @for at in others { li { (clock.minute(*at)) } } }
                },
            }
        }
        @if let Some((at, fate)) = &schedule.last {
            dt { (words::LAST.of(language)) }
            dd {
                (clock.minute(*at)) " · "
                @match fate {
                    TickFate::Ran(run) => a href=(address::run(*run)) { (of_run::name(*run, language)) },
                    TickFate::Queued => (words::TICK_QUEUED.of(language)),
                    TickFate::Missed(reason) => span .v-warn { (words::tick_missed(language)) " " (link::free(reason, 240)) },
                }
            }
        }
        @if let Some(by) = &schedule.deadline {
            dt { (words::DEADLINE.of(language)) }
            dd {
                (words::deadline(by, language))
                @if schedule.comes_late { " " span .bad { "(" (words::COMES_LATE.of(language)) ")" } }
            }
        }
    }
}

/// The order and the state that are chosen stand in the address.
fn choices(view: &Flow, language: Language) -> Markup {
    let flow = address::flow(&view.name);
    let href = |order: Order, only: Option<RunState>| {
        let href = match order {
            Order::Interval => flow.clone(),
            Order::Start => address::with(&flow, "order", "start"),
        };
        only.map_or(href.clone(), |only| address::with(&href, "state", only.as_str()))
    };
    html! {
        div .choices {
            @if view.unit.is_some() {
                nav .filter aria-label=(words::ORDER.of(language)) {
                    @for order in [Order::Interval, Order::Start] {
                        a href=(href(order, view.only)) aria-current=[(order == view.order).then_some("true")] { (words::order(order).of(language)) }
                    }
                }
            }
            nav .filter aria-label=(words::ONLY.of(language)) {
                a href=(href(view.order, None)) aria-current=[view.only.is_none().then_some("true")] { (words::ALL.of(language)) }
                @for only in words::STATES {
                    a href=(href(view.order, Some(only))) aria-current=[(view.only == Some(only)).then_some("true")] { (state::run_state(only).of(language)) }
                }
            }
        }
    }
}

fn nothing(view: &Flow, language: Language) -> Markup {
    html! {
        div .empty {
            @if view.only.is_some() {
                p { (words::NO_SUCH_RUNS.of(language)) }
            } @else {
                p { (words::NO_RUNS.of(language)) }
                p { (fix::command(&format!("mulgil run flow:{}", view.name), language)) }
            }
        }
    }
}

/// The runs as a list, newest first, where the grid has no room.
fn latest(view: &Flow, clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    html! {
        ol .latest aria-label=(words::LATEST.of(language)) {
            @for (at, column) in view.columns.iter().enumerate().rev() {
                li {
                    (mark::badge(column.mark, language))
                    (link::to(column.run.map(address::run).as_deref(), &html! { bdi { (grid::name(column, clock)) } }))
                    span .muted { @if let Some(took) = column.took { (time::took(took, language)) } }
                    (broken(view, at, column))
                }
            }
        }
    }
}

/// The steps of a run that somebody has to look at.
fn broken(view: &Flow, at: usize, column: &Column) -> Markup {
    let steps = view
        .rows
        .iter()
        .filter_map(|row| Some((row, row.cells.get(at)?.as_ref()?)));
    let wrong: Vec<_> = steps
        .filter(|(row, cell)| row.depth == 0 && mark::is_wrong(cell.mark))
        .take(STEPS_NAMED)
        .collect();
    html! {
        @if !wrong.is_empty() && column.run.is_some() {
            ul { @for (row, cell) in wrong {
                li { (mark::shape(cell.mark)) " " (link::to(cell.href.as_deref(), &link::name(&row.name.text))) }
            } }
        }
    }
}

/// The marks that are on the page, and what else it draws.
fn legend(view: &Flow, language: Language) -> Markup {
    let cells = || view.rows.iter().flat_map(|row| row.cells.iter().flatten());
    let mut marks: Vec<Mark> = Vec::new();
    for mark in cells()
        .map(|cell| cell.mark)
        .chain(view.columns.iter().map(|column| column.mark))
    {
        if !marks.contains(&mark) {
            marks.push(mark);
        }
    }
    marks.sort_by_key(|mark| mark::class(*mark));
    html! {
        ul .legend aria-label=(words::LEGEND.of(language)) {
            @for mark in marks { li { (mark::shape(mark)) " " (state::mark(mark).of(language)) } }
            @if cells().any(|cell| cell.attempts > 1) { li .muted { (words::LEGEND_ATTEMPTS.of(language)) } }
            li .muted { (words::LEGEND_BARS.of(language)) }
        }
    }
}
