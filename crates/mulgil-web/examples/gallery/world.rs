//! What all pages of the gallery share: a project, a moment, names that nobody would wish for.

use std::{sync::LazyLock, time::Duration};

use mulgil_core::{
    diagnostic::{Code, Diagnostic, Place},
    grid::Zone,
    interval::{Instant, Interval},
};
use mulgil_web::{
    look::Look,
    view::{Fix, Frame, Here, Link, Named, Verdict},
};

/// A page of the gallery.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// What it shows; the name of its file.
    pub(crate) name: String,
    /// Its address.
    pub(crate) address: String,
    /// The page.
    pub(crate) html: String,
}

/// A page at an address, made with a frame of its own.
pub(crate) fn shown(name: &str, address: &str, look: &Look, page: impl FnOnce(&Frame) -> String) -> Shown {
    Shown {
        name: name.to_owned(),
        address: address.to_owned(),
        html: page(&frame(address, look)),
    }
}

/// What stands around a page.
pub(crate) fn frame(address: &str, look: &Look) -> Frame {
    Frame {
        project: "shop".into(),
        environment: "prod".into(),
        look: look.clone(),
        zone: seoul(),
        now: now(),
        address: address.into(),
        health: Verdict::Good,
        faults: 0,
        queries: 3,
        took: Duration::from_millis(8),
        serial: 7,
        topics: vec!["today".into()],
        token: "d2hhdCBpcyBhIHRva2Vu".into(),
    }
}

/// 2026-11-21 07:01:12 in Seoul.
pub(crate) fn now() -> Instant {
    at("2026-11-20T22:01:12Z")
}

/// The zone of the project.
pub(crate) fn seoul() -> Zone {
    // Read once: a zone brings all its changes of clocks with it.
    static SEOUL: LazyLock<Zone> = LazyLock::new(|| Zone::named("Asia/Seoul").unwrap_or(Zone::UTC));
    SEOUL.clone()
}

/// A moment.
pub(crate) fn at(text: &str) -> Instant {
    Instant::from_timestamp(text.parse().unwrap_or(jiff::Timestamp::UNIX_EPOCH))
}

/// So many minutes before now.
pub(crate) fn ago(minutes: i64) -> Instant {
    Instant(now().0 - minutes * 60_000_000)
}

/// The day in Seoul that lies so many days before 2026-11-21.
pub(crate) fn day(before: i64) -> Named {
    let today = jiff::civil::date(2026, 11, 21);
    let date = today.saturating_sub(jiff::Span::new().days(before));
    let start = |date: jiff::civil::Date| {
        date.to_zoned(seoul().tz().clone())
            .map_or(Instant(0), |zoned| Instant::from_timestamp(zoned.timestamp()))
    };
    let next = date.saturating_add(jiff::Span::new().days(1));
    Named {
        name: date.to_string(),
        range: Interval::new(start(date), start(next)).unwrap_or(Interval::WHOLE),
    }
}

/// A link.
pub(crate) fn link(text: &str, href: impl Into<String>) -> Link {
    Link {
        text: text.into(),
        href: Some(href.into()),
    }
}

/// A command, and a form.
pub(crate) fn fix(command: &str, href: Option<&str>) -> Fix {
    Fix {
        command: command.into(),
        here: href.map(|href| Here::Form(href.to_owned())),
    }
}

/// A connection that cannot be reached.
pub(crate) fn refused() -> Diagnostic {
    Diagnostic::error(
        Code(2003),
        "cannot reach connection `pg_main` (10.0.3.7:5432): connection refused, tried 3 times over 12 s",
    )
    .at(Place::at("mulgil.yml", 14, 11))
    .with_remedy(
        "see whether the database runs and lets this machine in, then `mulgil run reads_daily --interval 2026-11-20`",
    )
}

/// Names full of markup, of text that runs from right to left, and of far too many letters.
pub(crate) fn hostile() -> [String; 4] {
    [
        "\"><script>alert('1')</script><img src=x onerror=alert(2)>".to_owned(),
        "\u{202e}שלום <b>עולם</b> مرحبا\u{202c}/../?x=1&y=%00#z".to_owned(),
        "가나다라마바사아자차카타파하".repeat(720),
        format!("{}{}", "a_column_without_an_end_".repeat(415), "'`${x}{{ y }}"),
    ]
}
