//! `mulgil why flow:NAME@INTERVAL`: how an interval of a flow stands, by the same questions as for a table.

use mulgil_core::{
    checks::{Context, flow_checks},
    codes,
    diagnostic::Diagnostic,
    flow::Flow,
    interval::{Interval, RangeSet},
    interval_text::{self, format_instant},
    run::RunState,
    state::NodeState,
    why::Status,
};
use serde_json::json;

use crate::{
    command::{
        Outcome,
        status::status_text,
        why::span,
        why_checks::{self, Subject},
    },
    say, serving,
    wire::Opened,
};

/// Runs that are told, newest first.
const MAX_RUNS: u32 = 5;

pub(super) async fn why(opened: &Opened, target: &str, as_json: bool) -> Outcome {
    let (name, interval) = target
        .split_once('@')
        .map_or((target, None), |(name, at)| (name, Some(at)));
    let flow = serving::flow(opened, name)?;
    let range = interval_of(flow, interval)?;
    let view = opened.view().await?;
    let instance = flow.instance();
    let state = view
        .store
        .flow_states([flow])
        .await?
        .remove(&instance)
        .unwrap_or_default();
    let active = view.store.active_intervals().await?.remove(name).unwrap_or_default();
    let runs = view.store.runs_of_interval(name, range, MAX_RUNS).await?;
    let tick = view
        .store
        .ticks(Some(instance.node.as_str()), 1)
        .await?
        .into_iter()
        .next();
    let done = runs.iter().find(|run| run.state == RunState::Success);
    let context = Context {
        tick: tick.map(|row| (row.tick, row.run)),
        fill: done.and_then(|run| Some((run.ended_at?, None))),
        run: runs.iter().find(|run| run.ended_at.is_none()).map(|run| run.run),
        active_runs: active.iter().map(|range| flow.grid.count(range)).sum(),
        heartbeat: why_checks::is_nobody_there(opened).then_some(None),
        ..Context::default()
    };
    let subject = Subject {
        project: &opened.project,
        instance: &instance,
        range,
        grid: &flow.grid,
        now: view.now,
    };
    let asked = flow_checks(flow, &state, &active, range, view.now, &context);
    let parts = parts(flow, &state, &active, range, view.now);
    let zone = &flow.grid.zone;
    if as_json {
        let of = |range: Interval| interval_text::format(range, &flow.grid);
        let mut told = json!({
            "flow": name, "interval": of(range),
            "status": parts.iter().map(|(part, status)| json!({ "interval": of(*part), "is": status })).collect::<Vec<_>>(),
            "runs": runs.iter().map(|run| json!({ "run": run.run, "state": run.state, "interval": of(run.interval),
                "started_at": format_instant(run.started_at, zone),
                "ended_at": run.ended_at.map(|at| format_instant(at, zone)) })).collect::<Vec<_>>(),
        });
        why_checks::add_json(&mut told, &asked, subject);
        say::json(&told);
        return Ok(0);
    }
    let mut lines: Vec<String> = parts
        .iter()
        .map(|(part, status)| headline(flow, *part, status))
        .collect();
    if lines.is_empty() {
        lines.push(instance.to_string());
    }
    lines.extend(span(&flow.grid, range));
    lines.extend(runs.iter().map(|run| {
        let began = say::moment(run.started_at, zone);
        format!("  run {}: {}, began {began}", run.run, run.state.as_str())
    }));
    lines.extend(why_checks::lines(&asked, subject));
    say::print(&lines.join("\n"));
    Ok(0)
}

fn headline(flow: &Flow, part: Interval, status: &Status) -> String {
    let name = interval_text::format(part, &flow.grid);
    format!("flow:{}@{name}: {}", flow.name, status_text(status, false))
}

/// How a range stands, part by part; nothing of a flow without intervals.
fn parts(
    flow: &Flow,
    state: &NodeState,
    active: &RangeSet,
    range: Interval,
    now: mulgil_core::interval::Instant,
) -> Vec<(Interval, Status)> {
    if !flow.grid.is_cut() {
        return Vec::new();
    }
    let known = flow.statuses(state, active, now);
    let mut parts: Vec<_> = known
        .within(range)
        .map(|(part, status)| (part, status.clone()))
        .collect();
    let unknown = RangeSet::from(range).subtract(&known.keys());
    parts.extend(unknown.iter().map(|part| (part, Status::NotExpected)));
    parts.sort_by_key(|(part, _)| part.start);
    parts
}

fn interval_of(flow: &Flow, text: Option<&str>) -> Result<Interval, Diagnostic> {
    match text {
        Some(text) => interval_text::parse(text, &flow.grid),
        None if !flow.grid.is_cut() => Ok(Interval::WHOLE),
        None => Err(Diagnostic::error(
            codes::BAD_INTERVAL,
            format!("the flow `{}` is run by intervals; name one", flow.name),
        )
        .with_remedy(format!("write `mulgil why flow:{}@2026-03-10`", flow.name))),
    }
}
