//! What needs a person now: what is held, what failed, what was never filled, tests that do not pass, backfills that
//! are held back.

use mulgil_core::{
    backfill::BackfillState,
    data_test::Verdict,
    flow::Flow,
    interval::{Interval, RangeMap},
    interval_text,
    name::Instance,
    plan::Forecast,
    project::Node,
    run::{Run, RunState},
    state::{Failing, HELD_AFTER_FAILURES},
    why::{Status, statuses},
};
use serde_json::{Value, json};

use crate::{
    command::Faults,
    say,
    wire::{Opened, View},
};

/// Runs among which the newest of each flow is looked for.
const RUNS: u32 = 1000;

/// Ranges of one node that are told one by one.
const MAX_RANGES: usize = 3;

/// One thing.
pub(super) struct Attention {
    pub(super) what: String,
    pub(super) fix: String,
}

impl Attention {
    fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            fix: fix.into(),
        }
    }

    pub(super) fn as_json(&self) -> Value {
        json!({ "what": self.what, "do": self.fix })
    }
}

/// What is worst first: held and failed, then tests, then what is missing.
pub(super) async fn all(opened: &Opened, view: &View) -> Result<Vec<Attention>, Faults> {
    let forecast = Forecast::new(&opened.project, &view.state, view.now);
    let mut all = Vec::new();
    for instance in forecast.instances() {
        if let Some(node) = forecast.node(&instance.node) {
            all.extend(broken(&forecast, node, instance));
        }
    }
    let runs = view.store.runs(RUNS).await?;
    for flow in &opened.project.flows {
        all.extend(flow_failures(flow, view));
        all.extend(last_run(flow, &runs));
    }
    for node in &opened.project.nodes {
        all.extend(failed_tests(view, node));
    }
    all.extend(missing(&forecast));
    for backfill in view.store.open_backfills().await? {
        if backfill.state == BackfillState::Paused {
            let what = format!("backfill {} ({}) is held back", backfill.id, backfill.terms.selector);
            all.push(Attention::new(
                what,
                format!("`mulgil backfill resume {0}` or `cancel {0}`", backfill.id),
            ));
        }
    }
    if !opened.warnings.is_empty() {
        let what = format!(
            "the project has {}",
            say::count(opened.warnings.len() as u64, "warning")
        );
        all.push(Attention::new(what, "`mulgil check`"));
    }
    Ok(all)
}

/// What is held or failed of a node, range by range.
fn broken(forecast: &Forecast<'_>, node: &Node, instance: &Instance) -> Vec<Attention> {
    let known = statuses(forecast, instance);
    let mut found = Vec::new();
    for (range, status) in known.iter() {
        let word = match status {
            Status::Held {
                rolled_back_to: Some(to),
            } => format!("is held: its table went back to version {to}"),
            Status::Held { rolled_back_to: None } => "is held: it failed again and again".to_owned(),
            Status::Failed => "failed when it was last tried".to_owned(),
            Status::Running
            | Status::Waiting { .. }
            | Status::Missing
            | Status::Stale { .. }
            | Status::Untested
            | Status::Provisional
            | Status::Fresh
            | Status::Sealed
            | Status::Waived
            | Status::NotExpected => continue,
        };
        let name = named(node, instance, range);
        found.push(Attention::new(
            format!("`{name}` {word}"),
            format!("`mulgil why {name}`"),
        ));
    }
    let more = found.len().saturating_sub(MAX_RANGES);
    found.truncate(MAX_RANGES);
    if more > 0 {
        let what = format!(
            "`{instance}` has {} that are held or failed",
            say::count(more as u64, "further range")
        );
        found.push(Attention::new(what, format!("`mulgil status {instance}`")));
    }
    found
}

/// What was wanted and never filled, of all nodes in one line.
fn missing(forecast: &Forecast<'_>) -> Option<Attention> {
    let told: Vec<String> = forecast
        .instances()
        .iter()
        .filter_map(|instance| {
            let node = forecast.node(&instance.node)?;
            let known = statuses(forecast, instance);
            let missing = known.iter().filter(|(_, status)| is_missing(status));
            let count: u64 = missing.map(|(range, _)| node.grid.count(range)).sum();
            match (count, node.grid.is_cut()) {
                (0, _) => None,
                (_, false) => Some(format!("`{instance}`")),
                (_, true) => Some(format!("`{instance}` ({})", say::count(count, "interval"))),
            }
        })
        .collect();
    if told.is_empty() {
        return None;
    }
    Some(Attention::new(
        format!("wanted and never filled: {}", told.join(", ")),
        "`mulgil plan` says why; a server fills them when it can, `mulgil run` at once",
    ))
}

fn is_missing(status: &Status) -> bool {
    match status {
        Status::Missing | Status::Waiting { .. } => true,
        Status::Running
        | Status::Held { .. }
        | Status::Failed
        | Status::Stale { .. }
        | Status::Untested
        | Status::Provisional
        | Status::Fresh
        | Status::Sealed
        | Status::Waived
        | Status::NotExpected => false,
    }
}

/// The name of a range on the command line.
fn named(node: &Node, instance: &Instance, range: Interval) -> String {
    if node.grid.is_cut() {
        format!("{instance}@{}", interval_text::format(range, &node.grid))
    } else {
        instance.to_string()
    }
}

fn failed_tests(view: &View, node: &Node) -> Vec<Attention> {
    let last = view
        .state
        .nodes
        .get(&Instance::of(node.name.clone()))
        .map(|state| &state.tests);
    let failed = node.tests.iter().filter(|test| {
        let last = last.and_then(|last| last.get(&test.name));
        last.is_some_and(|last| test.judge(last.failures) == Verdict::Failed)
    });
    failed
        .map(|test| {
            Attention::new(
                format!("the data test `{}` fails", test.name),
                format!("`mulgil nodes show {}`", node.name),
            )
        })
        .collect()
}

/// The intervals of a flow that failed since they last succeeded.
fn flow_failures(flow: &Flow, view: &View) -> Vec<Attention> {
    let failing = view.state.nodes.get(&flow.instance()).map(|state| &state.failing);
    let told = failing.into_iter().flat_map(RangeMap::iter).map(|(range, failing): (Interval, &Failing)| {
        let how = if failing.equal_count >= HELD_AFTER_FAILURES { "is held: it failed again and again" } else { "failed" };
        let interval = interval_text::format(range, &flow.grid);
        let fix = format!("`mulgil runs ls`, `mulgil logs RUN`; then `mulgil runs retry RUN` or `mulgil run flow:{} --interval {interval}`", flow.name);
        Attention::new(format!("`flow:{}@{interval}` {how}", flow.name), fix)
    });
    told.collect()
}

/// The newest run of a flow without intervals, where it went wrong: none of its intervals tells it.
fn last_run(flow: &Flow, runs: &[Run]) -> Option<Attention> {
    if flow.grid.is_cut() {
        return None;
    }
    let selector = mulgil_core::flow::name::of_flow(&flow.name);
    let newest = runs.iter().find(|run| run.selector == selector)?;
    match newest.state {
        RunState::Failed | RunState::Crashed => {
            let what = format!(
                "run {} of `{selector}`, its newest, {}",
                newest.id,
                newest.state.as_str()
            );
            let fix = format!("`mulgil logs {0}`; then `mulgil runs retry {0}`", newest.id);
            Some(Attention::new(what, fix))
        }
        RunState::Planned
        | RunState::Queued
        | RunState::Running
        | RunState::Waiting
        | RunState::Success
        | RunState::Cancelled
        | RunState::Skipped
        | RunState::UpstreamFailed => None,
    }
}
