//! What cannot be shown.

use mulgil_core::diagnostic::{Code, Diagnostic};
use mulgil_web::{address, look::Look, page, view::list::Trouble};

use super::world::{Shown, hostile, link, refused, shown};

pub(crate) fn pages(look: &Look) -> Vec<Shown> {
    let near = Trouble {
        faults: vec![
            Diagnostic::error(Code(9), "there is no table `read_daily`")
                .with_remedy("`mulgil nodes ls` lists all of them"),
        ],
        near: vec![
            link("reads_daily", address::table("reads_daily")),
            link("reads_weekly", address::table("reads_weekly")),
        ],
    };
    let hostile = Trouble {
        faults: hostile()
            .into_iter()
            .map(|text| {
                refused().with_remedy(text.clone()).with_related(
                    refused()
                        .place
                        .unwrap_or_else(|| mulgil_core::diagnostic::Place::file(&text)),
                    text,
                )
            })
            .collect(),
        near: Vec::new(),
    };
    vec![
        shown("trouble", "/tables/read_daily", look, |frame| {
            page::trouble(frame, &near)
        }),
        shown("trouble-hostile", "/tables/hostile", look, |frame| {
            page::trouble(frame, &hostile)
        }),
    ]
}
