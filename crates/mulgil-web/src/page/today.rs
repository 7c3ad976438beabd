//! Today & health: what is wrong, what ran, how the server is. What is right takes one line.

use maud::{Markup, PreEscaped, html};
use mulgil_core::run::RunState;

use crate::{
    address,
    frame::{Head, Section, page},
    part::{fault, fix, link, mark},
    text::{frame as shared, state as states, today as words},
    time::{self, Clock},
    view::{
        Frame, Mark,
        today::{FlowDay, Light, LightKind, RunMark, Today, Trouble, TroubleCause, TroubleKind, Troubles},
    },
};

/// The page.
pub fn today(frame: &Frame, view: &Today) -> String {
    let language = frame.look.language;
    let clock = frame.clock();
    let (tables, right) = view.tables;
    let body = html! {
        div #now data-live {
            div .page-head {
                h1 .unseen { (words::TITLE.of(language)) }
                (summary(view, frame.faults == 0, &clock))
                span .end .muted { (clock.minute(frame.now)) }
            }
            @for troubles in &view.troubles { (kind(troubles, &clock)) }
            @if tables == 0 && view.flows.is_empty() {
                div .empty { p { (words::EMPTY.of(language)) } p { (fix::command("mulgil demo", language)) } }
            } @else {
                p .standing { a href=(address::TABLES) { (words::tables(tables, right, language)) } }
            }
            @if !view.flows.is_empty() { (last_day(view, &clock)) }
            (server(&view.lights, &clock))
        }
    };
    page(frame, &Head::of(Section::Today, frame), &body)
}

/// How many of each kind, each a way down the page.
fn summary(view: &Today, is_loaded: bool, clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    html! {
        ul .summary {
            @for troubles in &view.troubles {
                li { a href={ "#" (id(troubles.kind)) } {
                    (shape(troubles.kind)) (words::kind(troubles.kind).of(language))
                    " " b { (crate::number::count(troubles.count)) }
                } }
            }
            @if view.troubles.is_empty() && view.tables.0 > 0 && is_loaded { li { (words::ALL_WELL.of(language)) } }
        }
    }
}

fn kind(troubles: &Troubles, clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    let rest = troubles.count.saturating_sub(troubles.rows.len() as u64);
    html! {
        section .part .trouble-kind #(id(troubles.kind)) {
            h2 { (shape(troubles.kind)) (words::kind(troubles.kind).of(language))
                span .muted { (crate::number::count(troubles.count)) } }
            ul { @for trouble in &troubles.rows { (row(trouble, clock)) } }
            @if rest > 0 { p .muted .rest { (shared::and_more(rest, language)) } }
        }
    }
}

fn row(trouble: &Trouble, clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    html! {
        li .trouble {
            div .trouble-name {
                (link::to(Some(&trouble.href), &link::name(&trouble.name)))
                @if !trouble.intervals.is_empty() {
                    p .muted {
                        (link::name(&trouble.intervals))
                        @if trouble.count > 1 { " · " (shared::intervals(trouble.count, language)) }
                    }
                }
            }
            div .trouble-cause { (cause(&trouble.cause, clock)) }
            div .trouble-since .muted { @if let Some(since) = trouble.since {
                (PreEscaped(words::since(&clock.minute(since).into_string(), language)))
            } }
            div .trouble-acts {
                @if let Some(why) = &trouble.why { (link::to(Some(why), &html! { (shared::WHY.of(language)) })) }
                @if let Some(fix) = &trouble.fix { (fix::here(fix, language)) }
            }
            @if let Some(fix) = &trouble.fix { div .trouble-fix { (fix::command(&fix.command, language)) } }
        }
    }
}

fn cause(cause: &TroubleCause, clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    let told = match cause {
        TroubleCause::Fault { place, fault: found } => {
            return html! {
                @if let Some(place) = place { b { (link::name(place)) } " " }
                (fault::line(found))
            };
        }
        TroubleCause::Test { test, failures } => {
            words::test_failed(&link::cut(test, link::NAME_SHOWN), *failures, language)
        }
        TroubleCause::Deadline { due_at, began_at } => {
            let began = began_at.map(|at| clock.time_of_day_text(at));
            words::deadline(&clock.text(*due_at), began.as_deref(), language)
        }
        TroubleCause::ComesLate { next_at, due_at } => {
            words::comes_late(&clock.text(*next_at), &clock.text(*due_at), language)
        }
        TroubleCause::NotBegun { scheduled_at } => words::not_begun(&clock.text(*scheduled_at), language),
        TroubleCause::CanBeFilled => words::CAN_BE_FILLED.of(language).to_owned(),
        TroubleCause::Stale(reason) => states::reason(reason, language),
        TroubleCause::WaitsFor(node) => words::waits_for(node.as_str(), language),
    };
    link::free(&told, 400)
}

fn last_day(view: &Today, clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    html! {
        section .part {
            h2 { (words::LAST_DAY.of(language)) }
            table .list .days {
                thead .unseen { tr {
                    th scope="col" { (words::FLOW.of(language)) }
                    th scope="col" { (words::RUNS.of(language)) }
                    th scope="col" { (words::NEXT.of(language)) }
                } }
                tbody { @for flow in &view.flows { (day(flow, clock)) } }
            }
            @if view.more_flows > 0 {
                p .rest { a href=(address::FLOWS) { (shared::and_more(view.more_flows, language)) } }
            }
        }
    }
}

fn day(flow: &FlowDay, clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    let count = (flow.runs.len() as u64).saturating_add(flow.more);
    let label = words::strip(&link::cut(&flow.name, link::NAME_SHOWN), count, language);
    html! {
        tr {
            th scope="row" { a href=(address::flow(&flow.name)) { (link::name(&flow.name)) } }
            td {
                @if count == 0 { span .muted { (words::NO_RUNS.of(language)) } }
                @else {
                    span .strip role="group" aria-label=(label) data-cells="along" {
                        @if flow.more > 0 { span .muted { "+" (flow.more) } }
                        @for run in &flow.runs { (strip_cell(run, clock)) }
                    }
                }
            }
            td .num .muted { @if let Some(at) = flow.next_at {
                span .wide { (words::NEXT.of(language)) " " } (clock.minute(at))
            } }
        }
    }
}

fn strip_cell(run: &RunMark, clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    let state = states::run_state(run.state).of(language);
    let name = if run.interval.is_empty() {
        format!("#{}", run.run)
    } else {
        link::cut(&run.interval, 60).into_owned()
    };
    let took = run.ended_at.map(|end| (end.0 - run.started_at.0).max(0)).map(|micros| {
        format!(
            ", {}",
            time::took(std::time::Duration::from_micros(micros.unsigned_abs()), language)
        )
    });
    html! {
        a class={ "c " (mark::class(Mark::Run(run.state))) } href=(address::run(run.run))
            aria-label={ (name) ", " (state) (took.unwrap_or_default()) } {}
    }
}

fn server(lights: &[Light], clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    html! {
        section .part #server {
            h2 { (words::SERVER.of(language)) }
            ul .lights { @for light in lights { (lit(light, clock)) } }
            @for light in lights {
                @match &light.what {
                    LightKind::Ledger(Err(found)) => (fault::fault(found, language)),
                    LightKind::Project(faults) => (fault::faults(&faults[..faults.len().min(5)], language)),
                    LightKind::Ledger(Ok(_)) | LightKind::Scheduler(_) | LightKind::Disk { .. } | LightKind::Lag(_)
                    | LightKind::Slots { .. } | LightKind::Draining => {}
                }
            }
        }
    }
}

fn lit(light: &Light, clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    let (name, told) = match &light.what {
        LightKind::Scheduler(age) => (words::SCHEDULER, words::scheduler(*age, language)),
        LightKind::Ledger(Ok(took)) => (words::LEDGER, words::answers(&time::took(*took, language), language)),
        LightKind::Ledger(Err(found)) => (words::LEDGER, found.code.to_string()),
        LightKind::Disk {
            free_bytes,
            total_bytes,
        } => (words::DISK, words::disk(*free_bytes, *total_bytes, language)),
        LightKind::Lag(lag) => (words::LAG, time::took(*lag, language)),
        LightKind::Slots { used, of } => (words::SLOTS, words::slots(*used, *of, language)),
        LightKind::Draining => (words::DRAINING, words::DRAINING_TOLD.of(language).to_owned()),
        LightKind::Project(faults) => (words::PROJECT, words::project_faults(faults.len() as u64, language)),
    };
    html! {
        li {
            span .light-name { (name.of(language)) }
            (mark::verdict(light.verdict, language))
            span .muted { (told) }
        }
    }
}

/// By what a kind is shown: the shape that its rows would have in a grid.
fn shape(kind: TroubleKind) -> Markup {
    match kind {
        TroubleKind::Failed => mark::shape(Mark::Run(RunState::Failed)),
        TroubleKind::Late => html! { i .c .late aria-hidden="true" {} },
        TroubleKind::Missing => mark::shape(Mark::Missing),
        TroubleKind::Stale => mark::shape(Mark::Stale),
        TroubleKind::Waiting => mark::shape(Mark::Waiting),
    }
}

fn id(kind: TroubleKind) -> &'static str {
    match kind {
        TroubleKind::Failed => "failed",
        TroubleKind::Late => "late",
        TroubleKind::Missing => "missing",
        TroubleKind::Stale => "stale",
        TroubleKind::Waiting => "waiting",
    }
}
