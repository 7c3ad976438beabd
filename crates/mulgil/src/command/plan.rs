//! `mulgil plan`: what is due, and why. Takes no lock and writes nothing.

use mulgil_core::{
    due::Reason,
    interval::{Instant, Interval, RangeSet},
    interval_text::{self, format_instant},
    name::{Instance, NodeName},
    plan::{Forecast, Held, Plan, Step, StepAction, Waiting},
    project::Project,
    select::Selection,
    state::HELD_AFTER_FAILURES,
};
use serde_json::{Value, json};

use crate::{
    cli::{self, Global},
    command::Outcome,
    say, wire,
};

pub(crate) async fn plan(global: &Global, flags: &cli::Plan) -> Outcome {
    let opened = wire::open(global)?;
    opened.warnings.iter().for_each(say::fault);
    let selection = opened.select(&flags.select, None)?;
    let view = opened.view().await?;
    let forecast = Forecast::new(&opened.project, &view.state, view.now);
    let mut plan = forecast.plan();
    narrow(&mut plan, &selection, &opened.project);
    let undeclared = view.store.undeclared(&opened.project).await?;
    if flags.json {
        let undeclared: Vec<Value> = undeclared
            .iter()
            .map(|entry| json!({ "relation": entry.relation.to_string(), "kind": entry.kind }))
            .collect();
        say::json(&as_json(&plan, &opened.project, undeclared));
        return Ok(0);
    }
    say::print(&as_text(&plan, &opened.project));
    for (node, test) in forecast.failed_tests() {
        say::print(&blocking_text(&node.name, &test.name));
    }
    for entry in undeclared {
        say::print(&format!(
            "no longer declared: {} {}; `mulgil run --prune` drops it",
            kind_of(entry.kind),
            entry.relation
        ));
    }
    Ok(0)
}

/// The plan for people: one line per step, then what waits and what is held.
pub(crate) fn as_text(plan: &Plan, project: &Project) -> String {
    let mut out = Vec::new();
    if plan.steps.is_empty() {
        out.push("nothing is due".to_owned());
    } else {
        let rows: Vec<Vec<String>> = plan.steps.iter().map(|step| row(step, project)).collect();
        out.push(say::table(&["node", "interval", "count", "reason"], &rows, &[2]));
        let (mut sure, mut maybe) = (0, 0);
        for step in plan.steps.iter().filter(|step| step.action == StepAction::Fill) {
            *(if step.if_changed { &mut maybe } else { &mut sure }) += step.count;
        }
        let perhaps = if maybe > 0 {
            format!(", {} more if what they read changes", say::thousands(maybe))
        } else {
            String::new()
        };
        out.push(format!(
            "\n{} due{perhaps}; `mulgil run` fills what is due",
            say::count(sure, "interval")
        ));
    }
    for waiting in &plan.waiting {
        out.push(waiting_text(project, waiting));
    }
    for held in &plan.held {
        out.push(held_text(project, held));
    }
    out.join("\n")
}

/// What is said of a data test that keeps rows from readers.
pub(crate) fn blocking_text(node: &NodeName, test: &str) -> String {
    format!("the data test {test} of {node} failed: its rows are kept from those who read it")
}

/// What is said of a range that waits for something that is not there.
pub(crate) fn waiting_text(project: &Project, waiting: &Waiting) -> String {
    let range = range_text(project, &waiting.instance, waiting.range);
    format!("waiting: {}{range} for {}", waiting.instance, waiting.on)
}

/// What is said of a held range.
pub(crate) fn held_text(project: &Project, held: &Held) -> String {
    let range = range_text(project, &held.instance, held.range);
    if let Some(to) = held.rolled_back_to {
        let instance = &held.instance;
        return format!("held: {instance}{range}, rolled back to version {to}; `mulgil run {instance}` fills it again");
    }
    format!(
        "held after {HELD_AFTER_FAILURES} equal failures: {}{range}; `mulgil run {}` tries it again",
        held.instance, held.instance
    )
}

/// What a reason says to people.
pub(crate) fn reason_text(reason: &Reason) -> String {
    match reason {
        Reason::Missing => "missing: never filled".to_owned(),
        Reason::Code => "code: the model changed".to_owned(),
        Reason::Schema => "schema: a source's declared columns changed".to_owned(),
        Reason::Upstream { node } => format!("upstream: {node} changed"),
        Reason::Source { source } => format!("source: {source} changed"),
        Reason::Target => "target: somebody else wrote into the table".to_owned(),
        Reason::Rollback => "rollback: the table went back to an earlier version".to_owned(),
        Reason::Hooks => "hooks: its hooks did not run to their end".to_owned(),
        Reason::Lookback => "lookback: filled again at each tick".to_owned(),
        Reason::Settle => "settle: not sealed yet".to_owned(),
        Reason::Tick => "tick: its schedule came due".to_owned(),
        Reason::Again => "again: a run took all that it selects".to_owned(),
        Reason::Manual => "manual: a person asked for it".to_owned(),
    }
}

/// `@2013-03-10` for a node with a grid, nothing for one without.
pub(crate) fn range_text(project: &Project, instance: &Instance, range: Interval) -> String {
    match project.node(&instance.node) {
        Some(node) if node.grid.is_cut() => format!("@{}", interval_text::format(range, &node.grid)),
        _ => String::new(),
    }
}

/// An interval as JSON, in the node's zone; null without a grid.
pub(crate) fn range_json(project: &Project, instance: &Instance, range: Interval, count: u64) -> Value {
    let Some(node) = project.node(&instance.node).filter(|node| node.grid.is_cut()) else {
        return Value::Null;
    };
    json!({
        "start": format_instant(range.start, &node.grid.zone),
        "end": format_instant(range.end, &node.grid.zone),
        "count": count,
    })
}

fn row(step: &Step, project: &Project) -> Vec<String> {
    let (name, range) = match &step.action {
        StepAction::Fill => (
            step.instance.to_string(),
            range_text(project, &step.instance, step.range),
        ),
        StepAction::Test { tests } => {
            return vec![
                format!("tests of {}", step.instance),
                String::new(),
                tests.len().to_string(),
                format!("due: {}", tests.join(", ")),
            ];
        }
    };
    let reason = if step.if_changed {
        match &step.reason {
            Reason::Upstream { node } => format!("upstream: only if {node} changes"),
            other => reason_text(other),
        }
    } else {
        reason_text(&step.reason)
    };
    vec![
        name,
        range.trim_start_matches('@').to_owned(),
        step.count.to_string(),
        reason,
    ]
}

fn as_json(plan: &Plan, project: &Project, undeclared: Vec<Value>) -> Value {
    let now: Instant = plan.now;
    let steps: Vec<Value> = plan
        .steps
        .iter()
        .map(|step| {
            let mut one = json!({
                "node": step.instance.to_string(),
                "interval": range_json(project, &step.instance, step.range, step.count),
                "reason": step.reason,
                "after": step.after.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "if_changed": step.if_changed,
            });
            if let StepAction::Test { tests } = &step.action {
                one["tests"] = json!(tests);
            }
            one
        })
        .collect();
    let range = |instance: &Instance, range| {
        let count = project.node(&instance.node).map_or(1, |node| node.grid.count(range));
        range_json(project, instance, range, count)
    };
    let waiting: Vec<Value> = plan
        .waiting
        .iter()
        .map(|waiting| {
            let (of, on) = (waiting.instance.to_string(), waiting.on.as_str());
            json!({ "node": of, "interval": range(&waiting.instance, waiting.range), "on": on })
        })
        .collect();
    let held: Vec<Value> = plan
        .held
        .iter()
        .map(|held| {
            let of = held.instance.to_string();
            json!({ "node": of, "interval": range(&held.instance, held.range), "rolled_back_to": held.rolled_back_to })
        })
        .collect();
    json!({
        "project": plan.project,
        "now": format_instant(now, &project.zone),
        "steps": steps,
        "waiting": waiting,
        "held": held,
        "undeclared": undeclared,
    })
}

/// Cuts a plan to what was selected, as a run with the same selectors is cut.
fn narrow(plan: &mut Plan, selection: &Selection, project: &Project) {
    let inside = |instance: &Instance, range: Interval| match selection.ranges.get(instance) {
        Some(ranges) => ranges.within(range),
        // Data tests are of a node with all its keys.
        None if instance.key.is_empty() && selection.ranges.keys().any(|one| one.node == instance.node) => {
            RangeSet::from(range)
        }
        None => RangeSet::new(),
    };
    let steps = std::mem::take(&mut plan.steps).into_iter().flat_map(|step| {
        let count = |range: Interval| match project.node(&step.instance.node) {
            Some(node) if range != step.range => node.grid.count(range),
            Some(_) | None => step.count,
        };
        let parts = inside(&step.instance, step.range);
        let steps = parts.iter().map(|range| Step {
            range,
            count: count(range),
            ..step.clone()
        });
        steps.collect::<Vec<_>>()
    });
    plan.steps = steps.collect();
    plan.waiting
        .retain(|waiting| !inside(&waiting.instance, waiting.range).is_empty());
    plan.held.retain(|held| !inside(&held.instance, held.range).is_empty());
}

/// How a person calls it.
pub(crate) fn kind_of(kind: mulgil_core::project::Materialization) -> &'static str {
    match kind {
        mulgil_core::project::Materialization::View => "view",
        mulgil_core::project::Materialization::Table
        | mulgil_core::project::Materialization::Interval
        | mulgil_core::project::Materialization::Incremental
        | mulgil_core::project::Materialization::Snapshot
        | mulgil_core::project::Materialization::Seed => "table",
    }
}
