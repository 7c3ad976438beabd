//! What cannot be shown: no such address, a ledger that does not answer.

use maud::html;

use crate::{
    address,
    frame::{Head, page},
    part::{fault, link},
    text::list as words,
    view::{Frame, list::Trouble},
};

/// Names that are close, at most.
const NEAR_SHOWN: usize = 10;

/// The page.
pub fn trouble(frame: &Frame, view: &Trouble) -> String {
    let language = frame.look.language;
    let head = Head {
        section: None,
        title: words::TROUBLE.of(language).to_owned(),
        trail: Vec::new(),
    };
    let body = html! {
        div .page-head { h1 { (words::TROUBLE.of(language)) } }
        (fault::faults(&view.faults, language))
        @if !view.near.is_empty() {
            section .part {
                h2 { (words::NEAR.of(language)) }
                ul .near { @for near in view.near.iter().take(NEAR_SHOWN) { li { (link::link(near)) } } }
            }
        }
        p .part { a href=(address::TODAY) { (words::TO_TODAY.of(language)) } }
    };
    page(frame, &head, &body)
}
