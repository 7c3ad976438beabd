//! A run's tasks and who waits for whom, as a picture and as text.
//!
//! Where a node stands follows from the tasks alone, never from their states, so that the picture stays where it
//! is while the run goes on.

use maud::{Markup, html};
use mulgil_core::run::RunState;

use crate::{
    address,
    graph::{self, Layout, NODE_HEIGHT, Route},
    look::Language,
    part::{link, mark},
    text::{run as words, state},
    view::{
        Mark,
        run::{GRAPH_NODES_SHOWN, Task},
    },
};

/// Room around the picture, so that rings of focus are not cut.
const MARGIN: i32 = 4;
/// Where a node's text begins.
const TEXT_AT: i32 = 30;
/// The narrowest node.
const NARROWEST: i32 = 112;
/// The widest text of a node; longer ones are cut.
const WIDEST_TEXT: i32 = 190;

/// The picture of some tasks.
pub fn graph(tasks: &[Task], language: Language) -> Markup {
    let drawn = chosen(tasks);
    let mut place = vec![None; tasks.len()];
    for (at, &task) in drawn.iter().enumerate() {
        place[task] = Some(at);
    }
    let labels: Vec<_> = drawn.iter().map(|&task| Label::of(&tasks[task], language)).collect();
    let widths: Vec<_> = labels.iter().map(Label::width).collect();
    let edges: Vec<_> = (drawn.iter().enumerate())
        .flat_map(|(at, &task)| tasks[task].needs.iter().map(move |&need| (need, at)))
        .filter_map(|(need, at)| Some((place.get(need).copied()??, at)))
        .collect();
    let layout = graph::layout(&widths, &edges);
    html! {
        @if drawn.len() < tasks.len() { p .note { (words::not_drawn(drawn.len(), tasks.len(), language)) } }
        div .graph-box tabindex="0" role="region" aria-label=(words::GRAPH.of(language)) {
            (picture(tasks, &drawn, &labels, &layout, language))
        }
        details .twin {
            summary { (words::AS_TEXT.of(language)) }
            (as_text(tasks, language))
        }
    }
}

/// Which tasks are drawn: where there are too many, those that failed or go on, then from the first on.
fn chosen(tasks: &[Task]) -> Vec<usize> {
    let is_telling = |task: &Task| mark::is_wrong(task.mark) || task.mark == Mark::Run(RunState::Running);
    let mut chosen: Vec<_> = (0..tasks.len()).collect();
    chosen.sort_by_key(|&at| !is_telling(&tasks[at]));
    chosen.truncate(GRAPH_NODES_SHOWN);
    chosen.sort_unstable();
    chosen
}

/// What stands in a node.
struct Label {
    name: String,
    below: String,
}

impl Label {
    /// The second line may change with the state and has no say in the width.
    fn of(task: &Task, language: Language) -> Self {
        let below = match &task.interval {
            Some(interval) => interval.name.clone(),
            None => task.step.map_or_else(
                || state::task_kind(task.kind).of(language).to_owned(),
                |kind| state::step_kind(kind, language).to_owned(),
            ),
        };
        let below = format!("{below} · {}", state::mark(task.mark).of(language));
        Self { name: fitting(&task.name, WIDEST_TEXT), below: fitting(&below, WIDEST_TEXT) }
    }

    fn width(&self) -> i32 {
        let text = width_of(&self.name).max(width_of(&self.below) * 11 / 13).min(WIDEST_TEXT);
        (TEXT_AT + text + 12).max(NARROWEST)
    }
}

fn picture(tasks: &[Task], drawn: &[usize], labels: &[Label], layout: &Layout, language: Language) -> Markup {
    let (width, height) = (layout.width + 2 * MARGIN, layout.height + 2 * MARGIN);
    let view = format!("{} {} {width} {height}", -MARGIN, -MARGIN);
    html! {
        svg .graph width=(width) height=(height) viewBox=(view) role="group" aria-label=(words::GRAPH.of(language)) {
            g .edges aria-hidden="true" { @for route in &layout.edges { path d=(path(route)) {} } }
            @for ((&at, label), spot) in drawn.iter().zip(labels).zip(&layout.nodes) {
                @let task = &tasks[at];
                @let name = format!("{}, {}", link::cut(&task.name, link::NAME_SHOWN), label.below);
                @let inside = node(task, label, spot.width);
                @let to = format!("translate({} {})", spot.x, spot.y);
                @match task.href.as_deref().filter(|href| address::is_local(href)) {
                    Some(href) => a .node .(mark::class(task.mark)) id={ "n-" (at) } href=(href) transform=(to) aria-label=(name) { (inside) },
                    None => g .node .(mark::class(task.mark)) id={ "n-" (at) } transform=(to) role="img" aria-label=(name) { (inside) },
                }
            }
        }
    }
}

fn node(task: &Task, label: &Label, width: i32) -> Markup {
    html! {
        title { (link::cut(&task.name, link::NAME_SHOWN)) " · " (label.below) }
        rect .frame width=(width) height=(NODE_HEIGHT) rx="6" {}
        foreignObject x="9" y="13" width="14" height="14" { (mark::shape(task.mark)) }
        text .name x=(TEXT_AT) y="17" { (label.name) }
        text .below x=(TEXT_AT) y="32" { (label.below) }
    }
}

/// Level through ranks, bent between them.
fn path(route: &Route) -> String {
    use std::fmt::Write as _;
    let Some(&(x, y)) = route.points.first() else { return String::new() };
    let mut path = format!("M{x} {y}");
    let mut before = (x, y);
    for (at, &(x, y)) in route.points.iter().enumerate().skip(1) {
        // Writing to a text cannot fail.
        let _ = if at % 2 == 1 || y == before.1 {
            if x == before.0 { Ok(()) } else { write!(path, "H{x}") }
        } else {
            let middle = i32::midpoint(before.0, x);
            write!(path, "C{middle} {} {middle} {y} {x} {y}", before.1)
        };
        before = (x, y);
    }
    path
}

/// Each task, and below it what it waits for.
fn as_text(tasks: &[Task], language: Language) -> Markup {
    html! {
        ol .graph-text {
            @for task in tasks {
                li {
                    (link::to(task.href.as_deref(), &link::name(&task.name)))
                    @if let Some(interval) = &task.interval { " @" (link::name(&interval.name)) }
                    " " (mark::badge(task.mark, language))
                    @if !task.needs.is_empty() {
                        ul aria-label=(words::WAITS_FOR.of(language)) {
                            @for need in task.needs.iter().filter_map(|&need| tasks.get(need)) {
                                li { "← " (link::name(&need.name)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// About how wide a text is at 13 pixels; letters of East Asia are twice as wide as others.
fn width_of(text: &str) -> i32 {
    text.chars().map(width_of_letter).sum::<i32>() / 10
}

fn width_of_letter(letter: char) -> i32 {
    match letter {
        'i' | 'j' | 'l' | 't' | 'f' | 'r' | '.' | ',' | ':' | '\'' | ' ' => 45,
        'm' | 'w' | 'A'..='Z' | '@' | '%' => 95,
        '\u{1100}'..='\u{11ff}' | '\u{2e80}'..='\u{d7ff}' | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ff60}' | '\u{1f000}'.. => 132,
        _ => 75,
    }
}

/// A text's first letters that fit.
fn fitting(text: &str, width: i32) -> String {
    let mut left = width * 10;
    for (at, letter) in text.char_indices() {
        left -= width_of_letter(letter);
        if left < 0 {
            let kept: String = text[..at].chars().collect();
            let mut kept = kept.trim_end().to_owned();
            kept.pop();
            return kept + "…";
        }
    }
    text.to_owned()
}
