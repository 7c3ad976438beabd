//! What holds of flows, runs and attempts alone, and how their parts look.

use std::io::Write as _;

use mulgil_web::{
    asset,
    look::{Language, Look, Theme},
    page,
    view::{Frame, run::Tab},
};

use crate::pages::{attempt, flow, run, world};

/// What a page may be over the wire.
const PAGE_BYTES: usize = 60 * 1024;
/// What all scripts may be.
const SCRIPT_BYTES: usize = 12 * 1024;
/// What all styles may be.
const STYLE_BYTES: usize = 14 * 1024;

fn gzipped(text: &[u8]) -> usize {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).expect("memory takes bytes");
    encoder.finish().expect("memory takes bytes").len()
}

fn korean() -> Frame {
    world::frame(
        "/runs/1022",
        &Look {
            language: Language::Korean,
            theme: Theme::Auto,
            zone: None,
        },
    )
}

/// A title in each cell would take what is left of the room of a page.
#[test]
fn the_largest_grid_leads_from_each_cell_to_its_attempt_without_a_script() {
    let frame = korean();
    let view = flow::largest();
    let html = page::flow(&frame, &view);
    assert_eq!(html.matches("<td>").count(), view.rows.len() * view.columns.len());
    let led: Vec<_> = html
        .split("<td><a class=\"c ")
        .skip(1)
        .filter_map(|cell| cell.split('"').nth(2))
        .collect();
    let cells = view.rows.iter().flat_map(|row| row.cells.iter().flatten());
    let meant: Vec<_> = cells.filter_map(|cell| cell.href.as_deref()).collect();
    assert_eq!(led, meant);
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

#[test]
fn a_log_says_why_it_is_empty() {
    let frame = korean();
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
    let frame = korean();
    let view = attempt::running();
    let lines = page::log_lines(&frame, &view.log);
    assert!(page::attempt(&frame, &view).contains(&lines));
    assert_eq!(lines.matches("<div class=\"line").count(), view.log.lines.len());
}

#[test]
fn a_graph_stays_where_it_is_while_its_run_goes_on() {
    let frame = korean();
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
    let frame = korean();
    let html = page::run(&frame, &run::failed(Tab::List));
    let place = |what: &str| html.find(what).unwrap_or_else(|| panic!("no {what}"));
    assert!(place("connection refused") < place("시작한 것") && place("시작한 것") < place("class=\"tabs\""));
    insta::assert_snapshot!(lines(part(&html, "<nav class=\"tabs\"", "</section>")));
}

#[test]
fn the_picture_of_times() {
    let html = page::run(&korean(), &run::running(Tab::Gantt));
    insta::assert_snapshot!(lines(part(&html, "<svg class=\"defs\"", "</table>")));
}

#[test]
fn the_picture_of_times_tells_a_test_from_the_fill_before_it() {
    let html = page::run(&korean(), &run::models(Tab::Gantt));
    let named = |what: &str| format!("<bdi>stg_users_10</bdi></a></span><span class=\"at-interval\">{what}</span>");
    assert!(html.contains(&named("<bdi>2026-11-20</bdi>")) && html.contains(&named("데이터 테스트")));
}

#[test]
fn the_grid_of_a_flow() {
    let html = page::flow(&korean(), &flow::daily());
    insta::assert_snapshot!(lines(part(&html, "<thead>", "</tr><tr data-took")));
}

fn part<'a>(html: &'a str, from: &str, to: &str) -> &'a str {
    let start = html.find(from).expect("it is on the page");
    &html[start..start + html[start..].find(to).unwrap_or(2_000)]
}

/// One element a line, so that a snapshot shows what changed.
fn lines(html: &str) -> String {
    html.replace("><", ">\n<")
}
