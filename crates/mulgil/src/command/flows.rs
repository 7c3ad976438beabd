//! `mulgil flows ls` and `mulgil flows show`: what the flows of the project are.

use mulgil_core::flow::Flow;
use serde_json::json;

use crate::{
    cli::{self, Global},
    command::Outcome,
    say, serving, wire,
};

pub(crate) fn flows(global: &Global, command: &cli::Flows) -> Outcome {
    let opened = wire::open(global)?;
    opened.warnings.iter().for_each(say::fault);
    match command {
        cli::Flows::Ls { json } if *json => {
            let all: Vec<_> = opened.project.flows.iter().map(Flow::view).collect();
            say::json(&json!({ "project": opened.project.name, "flows": all }));
        }
        cli::Flows::Ls { .. } if opened.project.flows.is_empty() => {
            say::talk("no flows: a file such as `flows/daily.yml` declares one");
        }
        cli::Flows::Ls { .. } => {
            let rows: Vec<Vec<String>> = opened.project.flows.iter().map(|flow| flow.row().to_vec()).collect();
            say::print(&say::table(&Flow::COLUMNS, &rows, &[3]));
        }
        cli::Flows::Show { flow, json } => {
            let flow = serving::flow(&opened, flow)?;
            if *json {
                say::json(&flow.view());
            } else {
                say::print(&lines(flow).join("\n"));
            }
        }
    }
    Ok(0)
}

/// The flow for people, with the next time that it comes: in the zone in which its days are cut, so that a
/// schedule which was written in another is seen.
fn lines(flow: &Flow) -> Vec<String> {
    let mut lines = flow.lines();
    let now = wire::now();
    let next = flow.next_tick(now);
    let place = lines.iter().position(|line| line.starts_with("  schedule:"));
    if let (Some(next), Some(place)) = (next, place) {
        let zone = &flow.grid.zone;
        let late = flow.comes_late(now).map_or_else(String::new, |(_, due_at)| {
            format!(", too late: its run has to be done by {}", say::moment(due_at, zone))
        });
        lines.insert(place + 1, format!("  next: {} ({zone}){late}", say::moment(next, zone)));
    }
    lines
}
