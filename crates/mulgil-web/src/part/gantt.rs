//! When what ran: a table of tasks with a bar for each, so that what the bars show can be read as well.
//!
//! Bars are drawn in hundredths of the time that is shown, so they take whatever width there is.

use maud::{Markup, Render, html};
use mulgil_core::{grid::Zone, interval::Instant, run::TaskKind};

use crate::{
    address,
    part::{link, mark},
    text::{run as words, state},
    time::{self, Clock},
    view::{
        Mark,
        run::{Run, Task, Try},
    },
};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Distances of ticks.
const STEPS: [i64; 24] = [
    SECOND / 10,
    SECOND / 2,
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
    15 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
    28 * DAY,
    364 * DAY,
];
/// Ticks that have room.
const TICKS: i64 = 6;
/// How wide the axis is at least, in pixels, beside the names of the tasks; the style keeps to it.
const ROOMY: i64 = 420;
/// How wide it is at least on a small screen; on a phone it stands below the names.
const TIGHT: i64 = 280;
/// How wide a letter of a label is at most, in tenths of a pixel.
const LETTER: i64 = 65;
/// What stays free between two labels, in tenths of a pixel.
const FREE: i64 = 80;

/// The tasks of a run over time.
pub fn gantt(run: &Run, clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    let scale = Scale::of(run, clock.now);
    html! {
        (definitions(&scale, run, clock))
        div .scroll data-moving[!run.state.is_terminal()] {
            table .gantt aria-label=(words::TIMES.of(language)) {
                thead { tr {
                    th scope="col" { (words::TASK.of(language)) }
                    th .num scope="col" { (words::WAITED.of(language)) }
                    th .num scope="col" { (words::RAN.of(language)) }
                    th .bars { (axis(&scale, clock)) }
                } }
                tbody { @for task in &run.tasks { (row(task, &scale, clock)) } }
            }
        }
        p .note {
            (words::times_in(&time::abbreviation(scale.start, clock.zone), language))
            " · " (words::LEGEND_WAIT.of(language))
            @if !run.state.is_terminal() { " · " (words::LEGEND_NOW.of(language)) }
        }
    }
}

/// The time that is shown.
#[derive(Debug)]
struct Scale {
    start: Instant,
    end: Instant,
}

impl Scale {
    fn of(run: &Run, now: Instant) -> Self {
        let began = run.tasks.iter().flat_map(|task| {
            task.ready_at
                .into_iter()
                .chain(task.attempts.iter().map(|one| one.started_at))
        });
        let start = began.chain([run.started_at]).min().unwrap_or(run.started_at);
        let ended = run
            .tasks
            .iter()
            .flat_map(|task| &task.attempts)
            .map(|one| one.ended_at.unwrap_or(now));
        let end = ended.chain([run.ended_at.unwrap_or(now)]).max().unwrap_or(now);
        Self {
            start,
            end: end.max(Instant(start.0.saturating_add(SECOND / 10))),
        }
    }

    /// How far from the left a moment is.
    fn at(&self, at: Instant) -> Part {
        let part = i128::from(at.0.clamp(self.start.0, self.end.0)) - i128::from(self.start.0);
        Part((part * 10_000 / (i128::from(self.end.0) - i128::from(self.start.0)).max(1)) as i64)
    }

    /// How far ticks are from each other.
    fn step(&self) -> i64 {
        let span = self.end.0.saturating_sub(self.start.0);
        STEPS
            .into_iter()
            .find(|step| span / step <= TICKS)
            .unwrap_or(STEPS[STEPS.len() - 1])
    }

    /// Moments of the clock that people count by, in their zone.
    fn ticks(&self, zone: &Zone) -> Vec<Instant> {
        let step = self.step();
        // Ticks stand on the zone's own hours and midnights. Where its offset changes in between, they do so
        // again from there on.
        let next = |after: i64| {
            let local = (after + shift(after, zone)).div_euclid(step) * step + step;
            local - shift(local - shift(after, zone), zone)
        };
        let mut ticks = Vec::new();
        let mut at = next(self.start.0.saturating_sub(1));
        while at <= self.end.0 && ticks.len() < 4 * TICKS as usize {
            ticks.push(Instant(at));
            at = next(at).max(at + 1);
        }
        ticks
    }

    /// The ticks that are written where the axis is so many pixels wide: each, each second, each third …, so many
    /// that no two touch.
    fn labels(&self, width: i64, zone: &Zone) -> Vec<Label> {
        let ticks = self.ticks(zone);
        let room = width * 10;
        (1..=ticks.len())
            .map(|each| self.labels_of(each, &ticks, room, zone))
            .find(|labels| {
                let spans: Vec<_> = labels.iter().map(|label| label.span(room)).collect();
                spans.windows(2).all(|two| two[0].1 + FREE <= two[1].0)
            })
            .unwrap_or_default()
    }

    /// Each so-many-th tick, on the rounder moments: of half hours those that are hours.
    fn labels_of(&self, each: usize, ticks: &[Instant], room: i64, zone: &Zone) -> Vec<Label> {
        let step = self.step();
        let place = |tick: &Instant| (tick.0 + shift(tick.0, zone)).div_euclid(step);
        let first = ticks
            .iter()
            .position(|tick| place(tick).rem_euclid(each as i64) == 0)
            .unwrap_or(0);
        let mut before = None;
        let chosen = ticks.iter().skip(first).step_by(each);
        chosen
            .map(|&tick| {
                let text = self.label(tick, before.replace(tick), zone);
                Label::new(self.at(tick), text, room)
            })
            .collect()
    }

    /// How a tick is written: as much as tells it from its neighbours.
    fn label(&self, tick: Instant, before: Option<Instant>, zone: &Zone) -> String {
        let step = self.end.0.saturating_sub(self.start.0) / TICKS;
        let (here, day) = (
            time::civil(tick, zone),
            before.map(|before| time::civil(before, zone).date()),
        );
        let format = match step {
            _ if here.hour() == 0 && here.minute() == 0 && step > HOUR => "%m-%d",
            ..SECOND => "%H:%M:%S%.1f",
            SECOND..MINUTE => "%H:%M:%S",
            _ if day.is_some_and(|day| day != here.date()) => "%m-%d %H:%M",
            _ => "%H:%M",
        };
        here.strftime(format).to_string()
    }
}

/// What is to be added to a moment for the zone's clock.
fn shift(at: i64, zone: &Zone) -> i64 {
    i64::from(zone.tz().to_offset(Instant(at).to_timestamp()).seconds()) * SECOND
}

/// A written tick.
struct Label {
    at: Part,
    text: String,
    /// Which end of the text stands at the tick.
    anchor: &'static str,
}

impl Label {
    /// In the middle of its tick, but not beyond the axis.
    fn new(at: Part, text: String, room: i64) -> Self {
        let mut label = Self {
            at,
            text,
            anchor: "middle",
        };
        let (from, to) = label.span(room);
        if from < 0 {
            label.anchor = "start";
        } else if to > room {
            label.anchor = "end";
        }
        label
    }

    /// Where it begins and ends, where the axis has so much room; all in tenths of a pixel.
    fn span(&self, room: i64) -> (i64, i64) {
        let (at, width) = (self.at.0 * room / 10_000, self.text.len() as i64 * LETTER);
        let from = match self.anchor {
            "start" => at,
            "end" => at - width,
            _ => at - width / 2,
        };
        (from, from + width)
    }
}

/// A part of the width in hundredths of a hundredth.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Part(i64);

impl Part {
    /// How far the other one is; never nothing, so that what was short is seen.
    fn to(self, end: Self) -> Self {
        Self((end.0 - self.0).max(30))
    }
}

impl Render for Part {
    fn render_to(&self, to: &mut String) {
        to.push_str(&format!("{}.{:02}%", self.0 / 100, self.0 % 100));
    }
}

/// What the rows share: hatching, the lines of the ticks, the line of now.
fn definitions(scale: &Scale, run: &Run, clock: &Clock<'_>) -> Markup {
    html! {
        svg .defs width="0" height="0" aria-hidden="true" {
            defs {
                pattern #hatch width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                    rect .hatch width="1.5" height="5" {}
                }
                symbol #ticks {
                    @for tick in scale.ticks(clock.zone) {
                        line .tick x1=(scale.at(tick)) x2=(scale.at(tick)) y1="0" y2="100%" {}
                    }
                    @if !run.state.is_terminal() {
                        line .now x1=(scale.at(clock.now)) x2=(scale.at(clock.now)) y1="0" y2="100%" {}
                    }
                }
            }
        }
    }
}

fn axis(scale: &Scale, clock: &Clock<'_>) -> Markup {
    html! {
        svg .axis width="100%" height="20" aria-hidden="true" {
            @for (class, width) in [("roomy", ROOMY), ("tight", TIGHT)] {
                g class=(class) { @for label in scale.labels(width, clock.zone) {
                    text x=(label.at) y="14" text-anchor=(label.anchor) { (label.text) }
                } }
            }
        }
    }
}

fn row(task: &Task, scale: &Scale, clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    html! {
        tr {
            th scope="row" { div .task {
                (mark::cell(task.mark, language))
                span .task-name { (link::to(task.href.as_deref(), &link::name(&task.name))) }
                @if let Some(interval) = &task.interval { span .at-interval { (link::name(&interval.name)) } }
                // A table is filled and tested under the same name.
                @if task.kind == TaskKind::Test { span .at-interval { (state::task_kind(task.kind).of(language)) } }
            } }
            td .num { @if let Some(waited) = waited(task, clock.now) { (time::took(waited, language)) } }
            td .num {
                @for (at, one) in task.attempts.iter().enumerate() {
                    @if at > 0 { " + " }
                    (link::to(Some(&one.href), &html! { (time::took(ran(one, clock.now), language)) }))
                }
            }
            td .bars { svg width="100%" height="24" aria-hidden="true" {
                use href="#ticks" width="100%" height="24" {}
                (bars(task, scale, clock))
            } }
        }
    }
}

fn bars(task: &Task, scale: &Scale, clock: &Clock<'_>) -> Markup {
    html! {
        @for (from, to) in waits(task, clock.now) {
            @let (from, to) = (scale.at(from), scale.at(to));
            rect .waited x=(from) y="8" width=(from.to(to)) height="8" fill="url(#hatch)" {}
        }
        @for (at, one) in task.attempts.iter().enumerate() { (bar(at, one, scale, clock)) }
    }
}

/// When it waited: from when it could have begun, or its last try ended, to its next one.
fn waits(task: &Task, now: Instant) -> Vec<(Instant, Instant)> {
    let (mut waits, mut since) = (Vec::new(), task.ready_at);
    for one in &task.attempts {
        waits.extend(since.map(|since| (since, one.started_at)));
        since = one.ended_at;
    }
    if !is_over(task) {
        waits.extend(since.map(|since| (since, now)));
    }
    waits.retain(|(from, to)| from < to);
    waits
}

fn bar(at: usize, one: &Try, scale: &Scale, clock: &Clock<'_>) -> Markup {
    let language = clock.language;
    let (from, to) = (scale.at(one.started_at), scale.at(one.ended_at.unwrap_or(clock.now)));
    let shape = html! {
        rect .bar .(mark::class(Mark::Run(one.state))) x=(from) y="5" width=(from.to(to)) height="14" rx="2" {
            title {
                (words::attempt_number(at + 1, language)) " · " (state::run_state(one.state).of(language)) " · "
                (clock.text(one.started_at)) " · " (time::took(ran(one, clock.now), language))
            }
        }
    };
    html! {
        @if address::is_local(&one.href) { a href=(one.href) tabindex="-1" { (shape) } } @else { (shape) }
    }
}

fn is_over(task: &Task) -> bool {
    match task.mark {
        Mark::Run(state) => state.is_terminal() || task.attempts.last().is_some_and(|one| one.ended_at.is_none()),
        Mark::Retrying | Mark::Waiting => false,
        Mark::Missing | Mark::Stale | Mark::Held | Mark::Provisional | Mark::Waived | Mark::NotExpected => true,
    }
}

fn waited(task: &Task, now: Instant) -> Option<std::time::Duration> {
    let began = task.attempts.first().map(|one| one.started_at);
    if began.is_none() && is_over(task) {
        return None;
    }
    Some(span(task.ready_at?, began.unwrap_or(now)))
}

fn ran(one: &Try, now: Instant) -> std::time::Duration {
    span(one.started_at, one.ended_at.unwrap_or(now))
}

fn span(from: Instant, to: Instant) -> std::time::Duration {
    std::time::Duration::from_micros(to.0.saturating_sub(from.0).max(0) as u64)
}

#[cfg(test)]
mod tests {
    use mulgil_core::{grid::Zone, interval::Instant};

    use super::{FREE, SECOND, Scale, TIGHT};

    /// With room for each tick.
    const ENDLESS: i64 = 10_000;

    fn labels(zone: &str, start: &str, end: &str) -> String {
        labels_in(ENDLESS, zone, start, end)
    }

    fn labels_in(width: i64, zone: &str, start: &str, end: &str) -> String {
        let at = |text: &str| Instant::from_timestamp(text.parse().unwrap());
        let scale = Scale {
            start: at(start),
            end: at(end),
        };
        let labels = scale.labels(width, &Zone::named(zone).unwrap());
        labels.into_iter().map(|label| label.text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_small_screen_has_fewer_labels() {
        let told = |start, end| labels_in(TIGHT, "Asia/Seoul", start, end);
        assert_eq!(
            told("2026-11-20T20:00:00Z", "2026-11-20T20:03:10Z"),
            "05:00:00 05:01:00 05:02:00 05:03:00"
        );
        assert_eq!(
            told("2026-11-20T20:00:00Z", "2026-11-20T20:00:03Z"),
            "05:00:00.0 05:00:01.5 05:00:03.0"
        );
        assert_eq!(
            told("2026-11-20T14:20:00Z", "2026-11-20T15:40:00Z"),
            "23:30 11-21 00:00 00:30"
        );
    }

    #[test]
    fn labels_never_touch() {
        let zone = Zone::named("America/New_York").unwrap();
        for width in [TIGHT, super::ROOMY] {
            for (place, span) in (0..400_u32).map(|place| (place, 1.06_f64.powi(place as i32))) {
                let start = 1_793_500_000 * SECOND + i64::from(place) * 7_654_321;
                let scale = Scale {
                    start: Instant(start),
                    end: Instant(start + (span * 100_000.0) as i64),
                };
                let spans: Vec<_> = scale
                    .labels(width, &zone)
                    .iter()
                    .map(|label| label.span(width * 10))
                    .collect();
                let has_ticks = !scale.ticks(&zone).is_empty();
                assert_eq!(spans.is_empty(), !has_ticks, "{scale:?}");
                assert!(spans.windows(2).all(|two| two[0].1 + FREE <= two[1].0), "{spans:?}");
                assert!(
                    spans.iter().all(|&(from, to)| from >= 0 && to <= width * 10),
                    "{spans:?}"
                );
            }
        }
    }

    #[test]
    fn ticks_stand_where_people_look_for_them() {
        let told = |start, end| labels("Asia/Seoul", start, end);
        assert_eq!(
            told("2026-11-20T20:00:00Z", "2026-11-20T20:00:03Z"),
            "05:00:00.0 05:00:00.5 05:00:01.0 05:00:01.5 05:00:02.0 05:00:02.5 05:00:03.0"
        );
        assert_eq!(
            told("2026-11-20T20:00:07Z", "2026-11-20T20:01:00Z"),
            "05:00:10 05:00:20 05:00:30 05:00:40 05:00:50 05:01:00"
        );
        assert_eq!(
            told("2026-11-20T14:20:00Z", "2026-11-20T15:40:00Z"),
            "23:30 23:45 11-21 00:00 00:15 00:30"
        );
        assert_eq!(
            told("2026-11-20T14:20:00Z", "2026-11-21T20:00:00Z"),
            "11-21 06:00 12:00 18:00 11-22"
        );
        assert_eq!(
            told("2026-11-01T00:00:00Z", "2026-11-05T00:00:00Z"),
            "11-02 11-03 11-04 11-05"
        );
    }

    /// In New York the clock went back from 02:00 to 01:00 on that day: ticks stand on its hours before and after.
    #[test]
    fn ticks_follow_a_clock_that_is_set() {
        assert_eq!(
            labels("America/New_York", "2026-11-01T02:30:00Z", "2026-11-01T18:00:00Z"),
            "11-01 03:00 06:00 09:00 12:00"
        );
    }

    #[test]
    fn what_took_no_time_has_a_scale() {
        assert!(!labels("UTC", "2026-11-01T02:30:00Z", "2026-11-01T02:30:00.1Z").is_empty());
    }
}
