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
                say::print(&flow.lines().join("\n"));
            }
        }
    }
    Ok(0)
}
