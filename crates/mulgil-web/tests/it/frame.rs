//! Frames around pages: every look.

use std::time::Duration;

use mulgil_core::grid::Zone;
use mulgil_web::{
    look::{Language, Look, Theme},
    view::{Frame, Verdict},
};

use crate::pages::flow::NOW;

/// Korean, as its machine has it, in the project's zone.
pub(crate) fn korean() -> Frame {
    of(Language::Korean, Theme::Auto, None)
}

/// All of them that differ.
pub(crate) fn looks() -> impl Iterator<Item = Frame> {
    [
        (Language::Korean, Theme::Light, None),
        (Language::English, Theme::Dark, Zone::named("America/New_York")),
    ]
    .into_iter()
    .map(|(language, theme, zone)| of(language, theme, zone))
}

fn of(language: Language, theme: Theme, zone: Option<Zone>) -> Frame {
    Frame {
        project: "shop".into(),
        environment: "prod".into(),
        look: Look { language, theme, zone },
        zone: Zone::named("Asia/Seoul").unwrap_or(Zone::UTC),
        now: NOW,
        address: "/flows/daily_sales".into(),
        health: Verdict::Good,
        queries: 3,
        took: Duration::from_millis(8),
        topics: vec!["flow:daily_sales".into()],
        token: "token".into(),
    }
}
