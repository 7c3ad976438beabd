//! States as shape, colour and word. A cell is shape and colour for grids, whose word is its label; a badge has
//! all three beside each other.

use maud::{Markup, html};
use mulgil_core::run::RunState;

use crate::{
    look::Language,
    text::{Text, state as words},
    view::{Mark, Verdict},
};

/// The class of a mark's shape: `<i class="c ok">`.
pub const fn class(mark: Mark) -> &'static str {
    match mark {
        Mark::Run(RunState::Planned) => "plan",
        Mark::Run(RunState::Queued) => "queue",
        Mark::Run(RunState::Running) => "run",
        Mark::Run(RunState::Waiting) => "pause",
        Mark::Run(RunState::Success) => "ok",
        Mark::Run(RunState::Failed) => "fail",
        Mark::Run(RunState::Crashed) => "crash",
        Mark::Run(RunState::Cancelled) => "cancel",
        Mark::Run(RunState::Skipped) => "skip",
        Mark::Run(RunState::UpstreamFailed) => "up",
        Mark::Retrying => "retry",
        Mark::Missing => "miss",
        Mark::Stale => "stale",
        Mark::Waiting => "wait",
        Mark::Held => "held",
        Mark::Provisional => "prov",
        Mark::Waived => "waive",
        Mark::NotExpected => "none",
    }
}

/// The class of a verdict's shape: `<i class="v good">`.
pub const fn verdict_class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "good",
        Verdict::Warning => "warn",
        Verdict::Bad => "bad",
        Verdict::Unknown => "unknown",
    }
}

/// Whether somebody has to look: a word is coloured only then.
pub const fn is_wrong(mark: Mark) -> bool {
    match mark {
        Mark::Run(RunState::Failed | RunState::Crashed | RunState::UpstreamFailed)
        | Mark::Retrying
        | Mark::Missing
        | Mark::Stale
        | Mark::Held => true,
        Mark::Run(
            RunState::Planned
            | RunState::Queued
            | RunState::Running
            | RunState::Waiting
            | RunState::Success
            | RunState::Cancelled
            | RunState::Skipped,
        )
        | Mark::Waiting
        | Mark::Provisional
        | Mark::Waived
        | Mark::NotExpected => false,
    }
}

/// A shape without a word, for places where the word stands beside it or in the label of what holds it.
pub fn shape(mark: Mark) -> Markup {
    html! { i class={ "c " (class(mark)) } aria-hidden="true" {} }
}

/// A shape alone, with its word as label.
pub fn cell(mark: Mark, language: Language) -> Markup {
    let word = words::mark(mark).of(language);
    html! { i class={ "c " (class(mark)) } role="img" aria-label=(word) title=(word) {} }
}

/// Shape and word of how a task or a run stands.
pub fn badge(mark: Mark, language: Language) -> Markup {
    with_word(mark, words::mark(mark), language)
}

/// Shape and word of how an interval stands: done means filled.
pub fn interval_badge(mark: Mark, language: Language) -> Markup {
    with_word(mark, words::interval_mark(mark), language)
}

/// Shape and word of a state.
pub fn state(state: RunState, language: Language) -> Markup {
    badge(Mark::Run(state), language)
}

/// How many stand how: shape, word and number of each that there is.
pub fn counts(counts: &[(Mark, u64)], language: Language) -> Markup {
    html! {
        ul .counts {
            @for (mark, count) in counts.iter().filter(|(_, count)| *count > 0) {
                li { (interval_badge(*mark, language)) " " b { (crate::number::count(*count)) } }
            }
        }
    }
}

/// How good something is: shape and word.
pub fn verdict(verdict: Verdict, language: Language) -> Markup {
    html! {
        span class={ "badge v-" (verdict_class(verdict)) } {
            i class={ "v " (verdict_class(verdict)) } aria-hidden="true" {} (words::verdict(verdict).of(language))
        }
    }
}

/// How good something is: the shape, with what it is about as its label.
pub fn dot(verdict: Verdict, what: &str, language: Language) -> Markup {
    let word = words::verdict(verdict).of(language);
    html! {
        i class={ "v " (verdict_class(verdict)) } aria-hidden="true" {}
        span .health-word { span .unseen { (what) ": " } (word) }
    }
}

fn with_word(mark: Mark, word: Text, language: Language) -> Markup {
    let tone = if is_wrong(mark) { class(mark) } else { "calm" };
    html! { span class={ "badge is-" (tone) } { (shape(mark)) (word.of(language)) } }
}
