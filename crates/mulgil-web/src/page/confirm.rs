//! Before something is changed: exactly what is going to be done, and a button that does that and nothing else.
//!
//! What a person fills in and what is done are two forms. The first asks for this page again; only the second,
//! which carries the values that this page told of, changes anything.

use maud::{Markup, html};

use crate::{
    address,
    frame::{Head, Section, page},
    look::Language,
    part::{fault, fix, link},
    text::{Text, form as words, frame as shared},
    view::{
        Frame,
        form::{Confirm, Deed, Field, FieldKind, Label, PREVIEW_SHOWN},
    },
};

/// Names of a list that the page shows.
const NAMES_SHOWN: usize = 60;

/// The page.
pub fn confirm(frame: &Frame, view: &Confirm) -> String {
    let language = frame.look.language;
    let (section, title) = title(&view.deed, language);
    let body = html! {
        div .page-head { h1 { bdi { (link::cut(&title, 200)) } } }
        (fault::faults(&view.faults, language))
        @if !view.fields.is_empty() { (asked(view, language)) }
        // Where a value is wrong nobody knows whether there is something to do, and the command is as wrong.
        @if !is_refused(view) || !is_nothing(&view.deed) {
            section .part .deed {
                h2 { (words::GOING_TO.of(language)) }
                (deed(&view.deed, language))
            }
        }
        (done(frame, view))
        @if !is_refused(view) {
            section .part .same { h2 { (words::COMMAND.of(language)) } (fix::command(&view.command, language)) }
        }
    };
    let mut head = Head::below(section, title);
    if view.back.href.is_some() {
        head.trail.insert(0, view.back.clone());
    }
    page(frame, &head, &body)
}

/// Whether something stands against it.
fn is_refused(view: &Confirm) -> bool {
    !view.faults.is_empty() || view.fields.iter().any(|field| field.fault.is_some())
}

fn is_nothing(deed: &Deed) -> bool {
    matches!(deed, Deed::Backfill { count: 0, .. })
}

fn title(deed: &Deed, language: Language) -> (Section, String) {
    match deed {
        Deed::Run { flow, .. } => (Section::Flows, words::run(flow, language)),
        Deed::Cancel { run, .. } => (Section::Runs, words::cancel(*run, language)),
        Deed::Backfill { node, .. } => (Section::Tables, words::backfill(node, language)),
    }
}

/// The form that only asks again.
fn asked(view: &Confirm, language: Language) -> Markup {
    html! {
        form .fields method="get" action=(view.action) {
            @for (place, field) in view.fields.iter().enumerate() { (entry(place, field, language)) }
            div .field-end {
                button type="submit" { (words::PREVIEW.of(language)) }
                span .muted { (words::PREVIEW_FIRST.of(language)) }
            }
        }
    }
}

fn entry(place: usize, field: &Field, language: Language) -> Markup {
    let id = format!("field-{place}");
    let fault_id = format!("{id}-fault");
    let example = matches!(field.label, Label::From | Label::To).then_some(words::INTERVAL_EXAMPLE);
    let described = field.fault.is_some().then_some(&fault_id);
    let choice = |values: Vec<(&str, &str)>| {
        html! {
            select #(id) name=(field.name) aria-describedby=[described] aria-invalid=[described.map(|_| "true")] {
                @for (value, told) in values { option value=(value) selected[value == field.value] { (told) } }
            }
        }
    };
    html! {
        div .field {
            label for=(id) { bdi { (link::cut(&words::label(&field.label, language), 80)) } }
            @match &field.kind {
                FieldKind::Text | FieldKind::Number => input #(id) type="text" name=(field.name) value=(field.value) maxlength="1000" placeholder=[example]
                    inputmode=[matches!(field.kind, FieldKind::Number).then_some("decimal")] autocomplete="off" spellcheck="false"
                    aria-describedby=[described] aria-invalid=[described.map(|_| "true")];,
                FieldKind::Flag => (choice(vec![("true", words::YES.of(language)), ("false", words::NO.of(language))])),
                FieldKind::Choice(values) => (choice(values.iter().map(|value| (value.as_str(), value.as_str())).collect())),
                FieldKind::Only => (choice(["missing", "failed", "stale", "all"].map(|word| (word, words::only(word, language))).to_vec())),
            }
            @if let Some(told) = &field.fault { p .field-fault #(fault_id) { (link::free(told, 400)) } }
        }
    }
}

fn deed(deed: &Deed, language: Language) -> Markup {
    match deed {
        Deed::Run { interval, steps, .. } => html! {
            @if let Some(interval) = interval { p { bdi { (words::for_interval(&link::cut(&interval.name, 120), language)) } } }
            (names(words::STEPS, steps, true, language))
        },
        Deed::Cancel { live, rest, .. } => html! {
            @if live.is_empty() { p { (words::NOTHING_LIVE.of(language)) } } @else { (names(words::LIVE, live, false, language)) }
            @if *rest > 0 { p { (words::not_begun(*rest, language)) } }
        },
        Deed::Backfill {
            count,
            ranges,
            intervals,
            filled,
            readers,
            ..
        } => html! {
            @if *count == 0 { p { (words::NOTHING.of(language)) } } @else {
                p .deed-count { (shared::intervals(*count, language)) }
                @if *filled > 0 { p { (words::filled(*filled, language)) } }
                (names(words::RANGES, ranges, false, language))
                (intervals_named(intervals, *count, language))
                (names(words::READERS, readers, false, language))
            }
        },
    }
}

fn intervals_named(intervals: &[String], count: u64, language: Language) -> Markup {
    let shown = &intervals[..intervals.len().min(PREVIEW_SHOWN)];
    let rest = count.saturating_sub(shown.len() as u64);
    html! {
        @if !shown.is_empty() {
            h3 { (words::INTERVALS.of(language)) }
            ul .named { @for name in shown { li { (link::name(name)) } } }
            @if rest > 0 { p .rest .muted { (shared::and_more(rest, language)) } }
        }
    }
}

fn names(what: Text, names: &[String], is_ordered: bool, language: Language) -> Markup {
    let shown = &names[..names.len().min(NAMES_SHOWN)];
    let rest = (names.len() - shown.len()) as u64;
    let items = html! { @for name in shown { li { (link::name(name)) } } };
    html! {
        @if !names.is_empty() {
            h3 { (what.of(language)) }
            @if is_ordered { ol .named .ordered { (items) } } @else { ul .named { (items) } }
            @if rest > 0 { p .rest .muted { (shared::and_more(rest, language)) } }
        }
    }
}

/// The form that does it; none while something stands against it.
fn done(frame: &Frame, view: &Confirm) -> Markup {
    let language = frame.look.language;
    let button = match &view.deed {
        Deed::Run { steps, .. } => words::do_run(steps.len() as u64, language),
        Deed::Cancel { .. } => words::DO_CANCEL.of(language).to_owned(),
        Deed::Backfill { count, .. } => words::do_backfill(*count, language),
    };
    html! {
        form .do method="post" action=(view.action) {
            input type="hidden" name="token" value=(frame.token);
            @for (name, value) in &view.hidden { input type="hidden" name=(name) value=(value); }
            // A value that was told of is sent even where nobody hid it.
            @for field in view.fields.iter().filter(|field| !view.hidden.iter().any(|(name, _)| *name == field.name)) {
                input type="hidden" name=(field.name) value=(field.value);
            }
            @if !is_refused(view) && !is_nothing(&view.deed) { button .main type="submit" { (button) } }
            @if let Some(href) = view.back.href.as_deref().filter(|href| address::is_local(href)) {
                a href=(href) { (words::BACK.of(language)) }
            }
        }
    }
}
