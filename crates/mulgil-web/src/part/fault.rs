//! A fault as the command line tells it: what, where, why, what to do, and the command that explains its code.

use maud::{Markup, html};
use mulgil_core::diagnostic::{Diagnostic, Place, Severity};

use crate::{
    look::Language,
    part::{fix, link},
    text::frame as words,
};

/// Letters of a message that a page shows.
const MESSAGE_SHOWN: usize = 2_000;
/// Letters of a message that a line of a list shows.
const LINE_SHOWN: usize = 240;
/// Further places that a page names.
const PLACES_SHOWN: usize = 12;

/// The whole fault.
pub fn fault(diagnostic: &Diagnostic, language: Language) -> Markup {
    html! {
        section class={ "fault " (tone(diagnostic.severity)) } {
            p .fault-what { code .fault-code { (diagnostic.code) } " " (link::free(&diagnostic.message, MESSAGE_SHOWN)) }
            @if diagnostic.place.is_some() || !diagnostic.related.is_empty() {
                dl .fault-more {
                    dt { (words::WHERE.of(language)) }
                    dd {
                        @if let Some(place) = &diagnostic.place { p { (written(place)) } }
                        @for (place, what) in diagnostic.related.iter().take(PLACES_SHOWN) {
                            p { (written(place)) " " (link::free(what, LINE_SHOWN)) }
                        }
                    }
                }
            }
            @if let Some(remedy) = &diagnostic.remedy {
                dl .fault-more { dt { (words::DO.of(language)) } dd { (link::free(remedy, MESSAGE_SHOWN)) } }
            }
            dl .fault-more .fault-explain {
                dt { (words::EXPLAIN.of(language)) }
                dd { (fix::command(&format!("mulgil explain {}", diagnostic.code), language)) }
            }
        }
    }
}

/// All of several faults.
pub fn faults(diagnostics: &[Diagnostic], language: Language) -> Markup {
    html! { @for diagnostic in diagnostics { (fault(diagnostic, language)) } }
}

/// A fault in one line: its code and what it says.
pub fn line(diagnostic: &Diagnostic) -> Markup {
    html! {
        span .fault-line { (link::free(&diagnostic.message, LINE_SHOWN)) " " code .muted { (diagnostic.code) } }
    }
}

fn tone(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "is-error",
        Severity::Warning => "is-warning",
    }
}

fn written(place: &Place) -> Markup {
    link::code(&place.to_string())
}

#[cfg(test)]
mod tests {
    use mulgil_core::diagnostic::{Code, Diagnostic, Place};

    use super::fault;
    use crate::look::Language;

    #[test]
    fn a_fault_says_what_where_and_what_to_do() {
        let told = Diagnostic::error(Code(1104), "model `a` refers to `b<c>`, which is not in this project")
            .at(Place::at("models/a.sql", 3, 19))
            .with_related(Place::file("models/b.sql"), "looks like it")
            .with_remedy("write `ref('bc')`");
        insta::assert_snapshot!(fault(&told, Language::Korean).into_string().replace("><", ">\n<"));
    }
}
