//! `mulgil check`: everything that is wrong with the project, at once.

use serde_json::json;

use crate::{
    cli::{Global, Json},
    command::Outcome,
    say, wire,
};

pub(crate) fn check(global: &Global, flags: Json) -> Outcome {
    let opened = match wire::open(global) {
        Ok(opened) => opened,
        Err(faults) if flags.json => {
            say::json(&json!({ "ok": false, "diagnostics": faults.0 }));
            return Ok(faults.0.first().map_or(3, |fault| fault.code.exit()));
        }
        Err(faults) => return Err(faults),
    };
    let project = &opened.project;
    if flags.json {
        let (nodes, sources, flows) = (project.nodes.len(), project.sources.len(), project.flows.len());
        let (ok, diagnostics) = (true, &opened.warnings);
        say::json(&json!({ "ok": ok, "nodes": nodes, "sources": sources, "flows": flows, "diagnostics": diagnostics }));
        return Ok(0);
    }
    opened.warnings.iter().for_each(say::fault);
    let tests: u64 = project.nodes.iter().map(|node| node.tests.len() as u64).sum();
    say::print(&format!(
        "ok: {} ({}): {}, {}, {}{}",
        project.name,
        project.environment,
        say::count(project.nodes.len() as u64, "node"),
        say::count(project.sources.len() as u64, "source"),
        say::count(tests, "data test"),
        // Of a project without flows nothing is said of them.
        match project.flows.len() as u64 {
            0 => String::new(),
            flows => format!(", {}", say::count(flows, "flow")),
        },
    ));
    Ok(0)
}
