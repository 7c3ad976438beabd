//! Flows, runs and attempts: that pages stay small, that nothing of a person's text becomes markup, and how their
//! parts look.

use std::{collections::HashSet, io::Write as _};

use mulgil_web::{asset, page, view::Frame, view::run::Tab};

use crate::{
    frame,
    pages::{attempt, flow, run},
};

const TABS: [Tab; 4] = [Tab::Graph, Tab::Gantt, Tab::List, Tab::Events];

/// What a page may be over the wire.
const PAGE_BYTES: usize = 60 * 1024;
/// What all scripts may be.
const SCRIPT_BYTES: usize = 12 * 1024;
/// What all styles may be.
const STYLE_BYTES: usize = 14 * 1024;

fn gzipped(text: &[u8]) -> usize {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap().len()
}

/// Every page of ours, by name.
fn all(frame: &Frame) -> Vec<(String, String)> {
    let mut pages = Vec::new();
    for (name, view) in [
        ("daily", flow::daily()),
        ("new", flow::new()),
        ("hostile", flow::hostile()),
        ("largest", flow::largest()),
    ] {
        pages.push((format!("flow {name}"), page::flow(frame, &view)));
    }
    for tab in TABS {
        for (name, view) in [
            ("failed", run::failed(tab)),
            ("running", run::running(tab)),
            ("models", run::models(tab)),
            ("hostile", run::hostile(tab)),
        ] {
            pages.push((format!("run {name} {}", page::word(tab)), page::run(frame, &view)));
        }
    }
    for (name, view) in [
        ("failed", attempt::failed()),
        ("running", attempt::running()),
        ("retrying", attempt::retrying()),
        ("silent", attempt::silent(false)),
        ("without output", attempt::silent(true)),
        ("searched", attempt::searched()),
        ("hostile", attempt::hostile()),
    ] {
        pages.push((format!("attempt {name}"), page::attempt(frame, &view)));
    }
    pages
}

fn everywhere() -> impl Iterator<Item = (String, String)> {
    frame::looks().flat_map(|frame| all(&frame))
}

#[test]
fn every_page_is_small_over_the_wire() {
    for (name, html) in everywhere() {
        let bytes = gzipped(html.as_bytes());
        assert!(bytes <= PAGE_BYTES, "{name}: {bytes} bytes of {}", html.len());
    }
}

/// A title in each cell would take what is left of the room of a page.
#[test]
fn the_largest_grid_leads_from_each_cell_to_its_attempt_without_a_script() {
    let frame = frame::korean();
    let view = flow::largest();
    let html = page::flow(&frame, &view);
    assert_eq!(html.matches("<td>").count(), view.rows.len() * view.columns.len());
    for cell in view.rows.iter().flat_map(|row| row.cells.iter().flatten()) {
        let href = cell.href.as_deref().unwrap();
        assert!(html.contains(&format!("\" href=\"{href}\">")), "{href}");
    }
    let bytes = gzipped(html.as_bytes());
    assert!(bytes <= PAGE_BYTES * 3 / 4, "{bytes} bytes");
}

#[test]
fn scripts_and_styles_are_small() {
    let of = |ending: &str| {
        let assets = asset::all().iter().filter(|asset| asset.name.ends_with(ending));
        assets.map(|asset| gzipped(asset.bytes)).sum::<usize>()
    };
    assert!(of(".js") <= SCRIPT_BYTES, "{} bytes", of(".js"));
    assert!(of(".css") <= STYLE_BYTES, "{} bytes", of(".css"));
}

/// Scripts, handlers and styles stand in files alone, every address is one of this server, and what people wrote
/// stays text.
#[test]
fn nothing_of_a_text_becomes_markup() {
    for (name, html) in everywhere() {
        assert_eq!(html.matches("<script").count(), 1, "{name}");
        for tag in html
            .split('<')
            .skip(1)
            .filter_map(|rest| rest.split_once('>').map(|(tag, _)| tag))
        {
            let outside: String = tag.split('"').step_by(2).collect();
            for forbidden in [" on", " style=", " srcdoc="] {
                assert!(!outside.contains(forbidden), "{name}: <{tag}>");
            }
            for address in ["href", "src", "action", "data-href"]
                .iter()
                .filter_map(|name| value(tag, name))
            {
                let is_ours = address.is_empty()
                    || address.starts_with(['?', '#'])
                    || (address.starts_with('/') && !address.starts_with("//"));
                assert!(
                    is_ours || name.contains("hostile") && tag.contains("data-log "),
                    "{name}: {address}"
                );
            }
        }
    }
}

#[test]
fn what_is_named_twice_is_one_thing() {
    for (name, html) in everywhere() {
        let mut seen = HashSet::new();
        for id in html.split('<').filter_map(|tag| value(tag.split('>').next()?, "id")) {
            assert!(seen.insert(id.to_owned()) || name == "attempt hostile", "{name}: {id}");
        }
        for (at, _) in html.match_indices(" data-live") {
            let tag = &html[html[..at].rfind('<').unwrap()..html[at..].find('>').unwrap() + at];
            assert!(value(tag, "id").is_some(), "{name}: {tag}");
        }
    }
}

/// Elements are closed in the order in which they were opened.
#[test]
fn pages_are_well_formed() {
    const EMPTY: [&str; 6] = ["meta", "link", "input", "br", "img", "hr"];
    for (name, html) in everywhere() {
        let mut open: Vec<&str> = Vec::new();
        for tag in html.split('<').skip(1).filter_map(|rest| rest.split('>').next()) {
            let word = tag.split([' ', '/']).find(|word| !word.is_empty()).unwrap_or("");
            if tag.starts_with('/') {
                assert_eq!(open.pop(), Some(word), "{name}: </{word}>");
            } else if !tag.starts_with('!') && !EMPTY.contains(&word) {
                open.push(word);
            }
        }
        assert!(open.is_empty(), "{name}: {open:?}");
    }
}

#[test]
fn a_log_says_why_it_is_empty() {
    let frame = frame::korean();
    let waits = page::attempt(&frame, &attempt::silent(false));
    assert!(waits.contains("첫 줄을 기다리고 있습니다") && waits.contains("data-tail=\"1\""));
    let ended = page::attempt(&frame, &attempt::silent(true));
    assert!(ended.contains("출력이 없습니다") && ended.contains("data-tail=\"0\""));
    let searched = page::attempt(&frame, &attempt::searched());
    assert!(
        searched.contains("?q=WARNING%20%26%20%22cost%22&amp;from=268435456#log-part"),
        "{searched}"
    );
}

#[test]
fn lines_alone_are_the_lines_of_the_page() {
    let frame = frame::korean();
    let view = attempt::running();
    let lines = page::log_lines(&frame, &view.log);
    assert!(page::attempt(&frame, &view).contains(&lines));
    assert_eq!(lines.matches("<div class=\"line").count(), view.log.lines.len());
}

#[test]
fn a_graph_stays_where_it_is_while_its_run_goes_on() {
    let frame = frame::korean();
    let places = |html: &str| -> Vec<String> {
        html.split(" transform=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next().map(str::to_owned))
            .collect()
    };
    let mut later = run::running(Tab::Graph);
    let before = places(&page::run(&frame, &later));
    for task in &mut later.tasks {
        task.mark = mulgil_web::view::Mark::Run(mulgil_core::run::RunState::UpstreamFailed);
    }
    assert_eq!(before, places(&page::run(&frame, &later)));
    assert_eq!(before.len(), later.tasks.len());
}

#[test]
fn a_run_is_told_reason_first() {
    let frame = frame::korean();
    let html = page::run(&frame, &run::failed(Tab::List));
    let place = |what: &str| html.find(what).unwrap_or_else(|| panic!("no {what}"));
    assert!(place("connection refused") < place("시작한 것") && place("시작한 것") < place("class=\"tabs\""));
    insta::assert_snapshot!(lines(part(&html, "<nav class=\"tabs\"", "</section>")));
}

#[test]
fn the_picture_of_times() {
    let html = page::run(&frame::korean(), &run::running(Tab::Gantt));
    insta::assert_snapshot!(lines(part(&html, "<svg class=\"defs\"", "</table>")));
}

#[test]
fn the_grid_of_a_flow() {
    let html = page::flow(&frame::korean(), &flow::daily());
    insta::assert_snapshot!(lines(part(&html, "<thead>", "</tr><tr data-took")));
}

fn part<'a>(html: &'a str, from: &str, to: &str) -> &'a str {
    let start = html.find(from).unwrap();
    &html[start..start + html[start..].find(to).unwrap_or(2_000)]
}

/// One element a line, so that a snapshot shows what changed.
fn lines(html: &str) -> String {
    html.replace("><", ">\n<")
}

fn value<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let start = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    tag[start..].split('"').next()
}
