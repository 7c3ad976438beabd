//! Moments and spans as a page writes them. Every moment is shown in the reader's zone and says which one it
//! is; what a machine reads is UTC.

use std::time::Duration;

use jiff::civil::DateTime;
use maud::{Markup, html};
use mulgil_core::{
    grid::Zone,
    interval::{Instant, Interval},
};

use crate::{
    look::Language,
    text::time::{self as words, Unit},
};

/// By what moments are told: the reader's language and zone, and the moment of which the page tells.
#[derive(Clone, Copy, Debug)]
pub struct Clock<'a> {
    /// In which language.
    pub language: Language,
    /// In which zone.
    pub zone: &'a Zone,
    /// What is told of; "ago" counts from here.
    pub now: Instant,
}

impl Clock<'_> {
    /// `2026-11-21 07:01:12 KST`; in UTC it is its title.
    pub fn moment(&self, at: Instant) -> Markup {
        element(at, &self.written(at, Detail::Second))
    }

    /// `2026-11-21 07:01:12.034 KST`, where much happens within a second.
    pub fn precise(&self, at: Instant) -> Markup {
        element(at, &self.written(at, Detail::Millisecond))
    }

    /// `2026-11-21 07:01 KST`, where seconds say nothing.
    pub fn minute(&self, at: Instant) -> Markup {
        element(at, &self.written(at, Detail::Minute))
    }

    /// `07:01:12 KST`, where the day is plain.
    pub fn time_of_day(&self, at: Instant) -> Markup {
        element(at, &self.written(at, Detail::TimeOfDay))
    }

    /// `3분 전`; the moment itself is its title.
    pub fn relative(&self, at: Instant) -> Markup {
        let Some(utc) = utc(at) else {
            return html! { (self.distance(at)) };
        };
        html! { time datetime=(utc) title=(self.written(at, Detail::Second)) { (self.distance(at)) } }
    }

    /// What [`Self::moment`] shows, as text.
    pub fn text(&self, at: Instant) -> String {
        self.written(at, Detail::Second)
    }

    /// What [`Self::time_of_day`] shows, as text.
    pub fn time_of_day_text(&self, at: Instant) -> String {
        self.written(at, Detail::TimeOfDay)
    }

    /// The ends of an interval in the zone in which it is cut: `2026-11-20 00:00 → 2026-11-21 00:00 KST`. An
    /// interval is a business date, so the reader's own zone does not move it.
    pub fn window(&self, range: Interval, cut_in: &Zone) -> String {
        let edge = |at: Instant, is_last: bool| match at {
            Instant::MIN | Instant::MAX => "…".to_owned(),
            at if is_last => format!(
                "{} {}",
                civil(at, cut_in).strftime("%Y-%m-%d %H:%M"),
                abbreviation(at, cut_in)
            ),
            at => civil(at, cut_in).strftime("%Y-%m-%d %H:%M").to_string(),
        };
        format!("{} → {}", edge(range.start, false), edge(range.end, true))
    }

    /// How far a moment is: `3분 전`, `in 2 h`.
    pub fn distance(&self, at: Instant) -> String {
        let micros = self.now.0.saturating_sub(at.0);
        let span = Duration::from_micros(micros.unsigned_abs());
        if span < Duration::from_secs(1) {
            return words::just_now(self.language).to_owned();
        }
        let span = rough(span, self.language);
        if micros > 0 {
            words::ago(&span, self.language)
        } else {
            words::ahead(&span, self.language)
        }
    }

    fn written(&self, at: Instant, detail: Detail) -> String {
        if matches!(at, Instant::MIN | Instant::MAX) {
            return "…".to_owned();
        }
        let format = match detail {
            Detail::Millisecond => "%Y-%m-%d %H:%M:%S%.3f",
            Detail::Second => "%Y-%m-%d %H:%M:%S",
            Detail::Minute => "%Y-%m-%d %H:%M",
            Detail::TimeOfDay => "%H:%M:%S",
        };
        format!(
            "{} {}",
            civil(at, self.zone).strftime(format),
            abbreviation(at, self.zone)
        )
    }
}

/// How much of a moment is shown.
#[derive(Clone, Copy)]
enum Detail {
    Millisecond,
    Second,
    Minute,
    TimeOfDay,
}

/// How long something took, to about three digits: `8 ms`, `12.4초`, `3분 20초`, `2시간 5분`.
pub fn took(span: Duration, language: Language) -> String {
    let seconds = span.as_secs();
    if span < Duration::from_secs(1) {
        return format!("{} ms", span.as_millis());
    }
    if seconds < 60 {
        // Tenths, cut and not rounded: 59.97 s is not a minute yet.
        let tenths = span.as_millis() / 100;
        return words::span(format_args!("{}.{}", tenths / 10, tenths % 10), Unit::Second, language);
    }
    let (unit, lesser, each) = steps(seconds);
    let (whole, rest) = (seconds / each.0, seconds % each.0 / each.1);
    let whole = words::span(whole, unit, language);
    if rest == 0 {
        whole
    } else {
        format!("{whole} {}", words::span(rest, lesser, language))
    }
}

/// The civil time of a moment in a zone.
pub fn civil(at: Instant, zone: &Zone) -> DateTime {
    zone.tz().to_datetime(at.to_timestamp())
}

/// How a zone is called at a moment: `KST`, `EDT`, `+05:45`.
pub fn abbreviation(at: Instant, zone: &Zone) -> String {
    let info = zone.tz().to_offset_info(at.to_timestamp());
    let known = info.abbreviation();
    // Zones without a name of their own have digits in its place, in several forms.
    if known.starts_with(|first: char| first.is_ascii_alphabetic()) {
        known.to_owned()
    } else {
        offset(info.offset().seconds())
    }
}

/// `+09:00`.
pub fn offset_of(at: Instant, zone: &Zone) -> String {
    offset(zone.tz().to_offset(at.to_timestamp()).seconds())
}

fn offset(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.unsigned_abs() / 60;
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

/// How long ago it was would make each answer differ from the last, so the title is the moment in UTC.
fn element(at: Instant, shown: &str) -> Markup {
    html! { @if let Some(utc) = utc(at) { time datetime=(utc) title=(utc) { (shown) } } @else { (shown) } }
}

fn utc(at: Instant) -> Option<String> {
    (!matches!(at, Instant::MIN | Instant::MAX))
        .then(|| civil(at, &Zone::UTC).strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// One unit is enough for what is far away.
fn rough(span: Duration, language: Language) -> String {
    let seconds = span.as_secs();
    if seconds < 60 {
        return words::span(seconds, Unit::Second, language);
    }
    let (unit, _, each) = steps(seconds);
    words::span(seconds / each.0, unit, language)
}

/// The unit of a span of at least a minute and the one below, and the seconds of each.
fn steps(seconds: u64) -> (Unit, Unit, (u64, u64)) {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    if seconds < HOUR {
        (Unit::Minute, Unit::Second, (MINUTE, 1))
    } else if seconds < DAY {
        (Unit::Hour, Unit::Minute, (HOUR, MINUTE))
    } else {
        (Unit::Day, Unit::Hour, (DAY, HOUR))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mulgil_core::{
        grid::Zone,
        interval::{Instant, Interval},
    };

    use super::{Clock, took};
    use crate::look::Language;

    fn at(text: &str) -> Instant {
        Instant::from_timestamp(text.parse().unwrap())
    }

    fn clock(language: Language, zone: &Zone) -> Clock<'_> {
        let now = at("2026-11-20T22:03:30Z");
        Clock { language, zone, now }
    }

    #[test]
    fn a_moment_is_told_in_the_readers_zone_and_names_it() {
        let told = |zone: &str| {
            let zone = Zone::named(zone).unwrap();
            clock(Language::English, &zone).text(at("2026-11-20T22:00:00Z"))
        };
        assert_eq!(told("Asia/Seoul"), "2026-11-21 07:00:00 KST");
        assert_eq!(told("UTC"), "2026-11-20 22:00:00 UTC");
        assert_eq!(told("Asia/Kathmandu"), "2026-11-21 03:45:00 +05:45");
        assert_eq!(told("America/Sao_Paulo"), "2026-11-20 19:00:00 -03:00");
        assert_eq!(told("America/New_York"), "2026-11-20 17:00:00 EST");
    }

    #[test]
    fn what_happens_within_a_second_is_told_apart() {
        let zone = Zone::named("Asia/Seoul").unwrap();
        let told = clock(Language::English, &zone)
            .precise(at("2026-11-20T22:00:00.034567Z"))
            .into_string();
        assert!(told.contains(">2026-11-21 07:00:00.034 KST<"), "{told}");
    }

    #[test]
    fn machines_read_utc() {
        let zone = Zone::named("Asia/Seoul").unwrap();
        let clock = clock(Language::Korean, &zone);
        assert_eq!(
            clock.minute(at("2026-11-20T22:00:00Z")).into_string(),
            r#"<time datetime="2026-11-20T22:00:00Z" title="2026-11-20T22:00:00Z">2026-11-21 07:00 KST</time>"#
        );
        assert_eq!(clock.moment(Instant::MAX).into_string(), "…");
    }

    #[test]
    fn a_window_stays_in_the_zone_in_which_it_is_cut() {
        let seoul = Zone::named("Asia/Seoul").unwrap();
        let clock = Clock {
            language: Language::English,
            zone: &Zone::UTC,
            now: at("2026-11-21T00:00:00Z"),
        };
        let range = Interval::new(at("2026-11-19T15:00:00Z"), at("2026-11-20T15:00:00Z")).unwrap();
        assert_eq!(clock.window(range, &seoul), "2026-11-20 00:00 → 2026-11-21 00:00 KST");
        assert_eq!(clock.window(Interval::WHOLE, &seoul), "… → …");
    }

    #[test]
    fn spans_are_short() {
        let written = |millis: u64| took(Duration::from_millis(millis), Language::Korean);
        assert_eq!(written(8), "8 ms");
        assert_eq!(written(12_440), "12.4초");
        assert_eq!(written(59_990), "59.9초");
        assert_eq!(written(60_000), "1분");
        assert_eq!(written(200_000), "3분 20초");
        assert_eq!(written(7_500_000), "2시간 5분");
        assert_eq!(took(Duration::from_hours(25), Language::English), "1 d 1 h");
    }

    #[test]
    fn what_is_to_come_is_not_ago() {
        let clock = Clock {
            language: Language::English,
            zone: &Zone::UTC,
            now: at("2026-11-21T00:00:00Z"),
        };
        assert_eq!(clock.distance(at("2026-11-20T21:00:00Z")), "3 h ago");
        assert_eq!(clock.distance(at("2026-11-21T00:05:00Z")), "in 5 min");
        assert_eq!(clock.distance(at("2026-11-21T00:00:00Z")), "just now");
    }
}
