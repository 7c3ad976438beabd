//! The lists: flows, runs, tables.

use maud::{Markup, html};
use mulgil_core::run::RunState;

use crate::{
    address,
    frame::{Head, Section, page},
    look::Language,
    number,
    part::{fix, link, mark, paging, search},
    text::{Text, frame as shared, list as words, state},
    time::{self, Clock},
    view::{
        Frame, Mark, Named,
        list::{FlowRow, Flows, RunRow, Runs, TableRow, Tables},
    },
};

/// Letters of a description that a list shows.
const DESCRIPTION_SHOWN: usize = 140;

/// States by which runs can be chosen.
const CHOICES: [RunState; 5] = [
    RunState::Running,
    RunState::Failed,
    RunState::Crashed,
    RunState::Success,
    RunState::Cancelled,
];

/// All flows.
pub fn flows(frame: &Frame, view: &Flows) -> String {
    let language = frame.look.language;
    let clock = frame.clock();
    let body = html! {
        (list_head(shared::FLOWS, address::FLOWS, &view.search, words::SEARCH_FLOWS, language))
        @if view.rows.is_empty() {
            (nothing(&view.search, words::FLOWS_EMPTY, "mulgil flows ls", language))
        } @else {
            div .scroll #flows data-live { table .list .cards .flows {
                thead { tr {
                    th scope="col" { (words::NAME.of(language)) }
                    th scope="col" { (words::LAST_RUN.of(language)) }
                    th .wide scope="col" { (words::SCHEDULE.of(language)) }
                    th scope="col" { (words::NEXT.of(language)) }
                } }
                tbody { @for row in &view.rows { (flow_row(row, &clock)) } }
            } }
        }
        (paging::by_name(&view.paging, language))
    };
    page(frame, &Head::of(Section::Flows, frame), &body)
}

/// All runs, newest first.
pub fn runs(frame: &Frame, view: &Runs) -> String {
    let language = frame.look.language;
    let clock = frame.clock();
    let body = html! {
        div .page-head { h1 { (shared::RUNS.of(language)) } (choice(view.only, language)) }
        @if !view.rows.is_empty() {
            div .scroll #runs data-live { table .list .cards .runs {
                thead { tr {
                    th scope="col" { (words::RUN.of(language)) }
                    th scope="col" { (words::STATE.of(language)) }
                    th scope="col" { (words::WHAT.of(language)) }
                    th scope="col" { (words::INTERVAL.of(language)) }
                    th .wide scope="col" { (words::TRIGGER.of(language)) }
                    th scope="col" { (words::BEGAN.of(language)) }
                    th .num scope="col" { (words::TOOK.of(language)) }
                } }
                tbody { @for row in &view.rows { (run_row(row, &clock)) } }
            } }
        } @else if view.only.is_some() {
            div .empty { p { (words::RUNS_NONE_OF_STATE.of(language)) } p { a href=(address::RUNS) { (shared::SHOW_ALL.of(language)) } } }
        } @else {
            (nothing("", words::RUNS_EMPTY, "mulgil run", language))
        }
        (paging::by_time(&view.paging, language))
    };
    page(frame, &Head::of(Section::Runs, frame), &body)
}

/// All tables.
pub fn tables(frame: &Frame, view: &Tables) -> String {
    let language = frame.look.language;
    let body = html! {
        (list_head(shared::TABLES, address::TABLES, &view.search, words::SEARCH_TABLES, language))
        @if view.rows.is_empty() {
            (nothing(&view.search, words::TABLES_EMPTY, "mulgil nodes ls", language))
        } @else {
            div .scroll #tables data-live { table .list .cards .tables {
                thead { tr {
                    th scope="col" { (words::NAME.of(language)) }
                    th scope="col" { (words::INTERVALS.of(language)) }
                    th .wide scope="col" { (words::KIND.of(language)) }
                    th .num scope="col" { (words::SIZE.of(language)) }
                } }
                tbody { @for row in &view.rows { (table_row(row, language)) } }
            } }
        }
        (paging::by_name(&view.paging, language))
    };
    page(frame, &Head::of(Section::Tables, frame), &body)
}

/// An interval's name, with its ends where a pointer rests; nothing where all of time is one.
pub(super) fn interval(interval: Option<&Named>) -> Markup {
    html! { @if let Some(interval) = interval { span .interval { (link::name(&interval.name)) } } }
}

fn list_head(title: Text, action: &str, searched: &str, hint: Text, language: Language) -> Markup {
    html! {
        div .page-head {
            h1 { (title.of(language)) }
            div .end { (search::search(action, searched, hint.of(language), language)) }
        }
    }
}

fn nothing(searched: &str, what: Text, command: &str, language: Language) -> Markup {
    html! {
        div .empty {
            @if searched.is_empty() {
                p { (what.of(language)) }
                p { (fix::command(command, language)) }
            } @else {
                p { bdi { (words::not_found(&link::cut(searched, link::NAME_SHOWN), language)) } }
            }
        }
    }
}

fn flow_row(row: &FlowRow, clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    html! {
        tr {
            th scope="row" { (link::link(&row.name)) }
            td data-of=(words::LAST_RUN.of(language)) {
                @match &row.last {
                    Some((id, state, at)) => {
                        a .plain href=(address::run(*id)) { (mark::state(*state, language)) }
                        " " span .muted { (clock.minute(*at)) }
                    }
                    None => span .muted { (words::NEVER.of(language)) }
                }
            }
            td .wide {
                @match &row.schedule {
                    Some(schedule) => (link::code(schedule)),
                    None => span .muted { (words::NO_SCHEDULE.of(language)) }
                }
            }
            @match row.next_at {
                Some(at) => td data-of=(words::NEXT.of(language)) { (clock.minute(at)) },
                None => td {},
            }
        }
    }
}

fn run_row(row: &RunRow, clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    html! {
        tr {
            th scope="row" { a href=(address::run(row.id)) { "#" (row.id) } }
            td { (mark::state(row.state, language)) }
            td { @if row.what.text.is_empty() { span .muted { (words::EVERYTHING.of(language)) } } @else { (link::link(&row.what)) } }
            td { (interval(row.interval.as_ref())) }
            td .wide { (state::trigger(row.trigger).of(language)) }
            td { (clock.minute(row.started_at)) }
            td .num { (time::took(row.took, language)) }
        }
    }
}

fn table_row(row: &TableRow, language: Language) -> Markup {
    // A table that is filled as a whole has one interval: its mark says all.
    let is_whole = row.counts.len() <= 1 && row.counts.iter().all(|(_, count)| *count <= 1);
    html! {
        tr {
            th scope="row" {
                (link::link(&row.name))
                @if let Some(description) = &row.description {
                    p .muted { (link::free(description, DESCRIPTION_SHOWN)) }
                }
            }
            td {
                @if is_whole { (mark::interval_badge(row.mark, language)) } @else { (counts(row, language)) }
            }
            td .wide { (state::node_kind(row.kind, language)) }
            td .num { @if let Some(bytes) = row.bytes { (number::bytes(bytes)) } }
        }
    }
}

/// The worst first, as it decides whether anybody looks further.
fn counts(row: &TableRow, language: Language) -> Markup {
    let mut counts: Vec<(Mark, u64)> = row.counts.clone();
    counts.sort_by_key(|(mark, _)| *mark != row.mark);
    mark::counts(&counts, language)
}

fn choice(only: Option<RunState>, language: Language) -> Markup {
    html! {
        nav .filter aria-label=(words::BY_STATE.of(language)) {
            a href=(address::RUNS) aria-current=[only.is_none().then_some("true")] { (words::ANY_STATE.of(language)) }
            @for state in CHOICES {
                a href=(address::with(address::RUNS, "state", state.as_str())) aria-current=[(only == Some(state)).then_some("true")] {
                    (crate::text::state::run_state(state).of(language))
                }
            }
        }
    }
}
