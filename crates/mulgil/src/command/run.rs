//! `mulgil run`: fills what is due, then runs the data tests of what it filled.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mulgil_core::{
    codes,
    decide::Scope,
    diagnostic::{Diagnostic, Severity},
    due, flow,
    interval::RangeSet,
    name::{Instance, NodeName, Relation},
    port::Maintained,
    project::Materialization,
    publish::is_after_tests,
    run::{TaskKind, Trigger},
    select::Selection,
};
use mulgil_scheduler::{RunRequest, RunSummary, Runner};
use mulgil_store::Versions;

use crate::{
    cli::{self, Global},
    command::{Faults, Outcome, handed, plan::range_text},
    progress::Talk,
    say, serving,
    wire::{self, Opened},
};

pub(crate) async fn run(global: &Global, flags: &cli::Run) -> Outcome {
    let opened = wire::open(global)?;
    opened.warnings.iter().for_each(say::fault);
    if let Some(flow) = flow_named(&flags.select)? {
        return run_flow(&opened, &flow, flags).await;
    }
    if !flags.params.is_empty() {
        return Err(no_params().into());
    }
    let selection = opened.select(&flags.select, flags.interval.as_deref())?;
    if let Some(outcome) = handed::over(&opened, &handed::models(flags)).await? {
        return Ok(outcome);
    }
    let manual = if flags.full {
        nameable(&opened, &selection)
    } else {
        Vec::new()
    };
    let selector = selector(&flags.select, flags.interval.as_deref(), flags.full);
    let request = RunRequest {
        selector,
        scope: scope(&selection, flags.select.is_narrow()),
        manual,
        named: selection.named.iter().cloned().collect(),
        ..RunRequest::of_all(Trigger::Manual)
    };
    perform(
        &opened,
        request,
        flags.parallel,
        if flags.prune { After::Prune } else { After::Nothing },
    )
    .await
}

/// What was asked, as a run remembers it.
pub(crate) fn selector(select: &cli::Select, interval: Option<&str>, is_full: bool) -> String {
    let mut words = vec![select.text()];
    words.extend(interval.map(|interval| format!("--interval {interval}")));
    words.extend(is_full.then(|| "--full".to_owned()));
    words.join(" ").trim().to_owned()
}

/// The flow that is named instead of nodes.
///
/// # Errors
/// Where it does not stand alone, or has an interval behind it.
pub(crate) fn flow_named(select: &cli::Select) -> Result<Option<String>, Diagnostic> {
    let chosen = select.chosen();
    let mut all = chosen.iter().chain(&select.exclude);
    let Some(name) = all.find_map(|one| flow::name::flow_in(one)) else {
        return Ok(None);
    };
    let (name, interval) = name.split_once('@').map_or((name, None), |(name, at)| (name, Some(at)));
    if chosen.len() + select.exclude.len() > 1 {
        let message = format!("`flow:{name}` stands beside other selectors, and a flow is run by itself");
        return Err(Diagnostic::error(codes::USAGE, message).with_remedy(format!(
            "name it alone, and the nodes by another command: `flow:{name}`"
        )));
    }
    if let Some(interval) = interval {
        let message = format!("`flow:{name}@{interval}`: the intervals of a flow are named apart from it");
        return Err(Diagnostic::error(codes::USAGE, message).with_remedy(format!(
            "write `mulgil run flow:{name} --interval {interval}`, or for several \
             `mulgil backfill flow:{name} --from … --to …`"
        )));
    }
    Ok(Some(name.to_owned()))
}

/// Parameters as they were typed: `name=value`.
pub(crate) fn params(pairs: &[String]) -> Result<BTreeMap<String, serde_json::Value>, Diagnostic> {
    let mut given = BTreeMap::new();
    for pair in pairs {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(
                Diagnostic::error(codes::USAGE, format!("`--param {pair}` gives no value"))
                    .with_remedy("write `--param name=value`"),
            );
        };
        given.insert(name.to_owned(), serde_json::Value::String(value.to_owned()));
    }
    Ok(given)
}

/// Parameters were given, and no flow.
pub(crate) fn no_params() -> Diagnostic {
    Diagnostic::error(codes::USAGE, "models have no parameters; flows do")
        .with_remedy("name a flow: `mulgil run flow:NAME --param country=kr`; or a variable: `--var name=value`")
}

/// `mulgil run flow:NAME`: by the server, or here where there is none.
async fn run_flow(opened: &Opened, name: &str, flags: &cli::Run) -> Outcome {
    let flow = serving::flow(opened, name)?;
    let given = params(&flags.params)?;
    let params = flow.params(&given).map_err(Faults)?;
    let interval = serving::interval(flow, flags.interval.as_deref())?;
    if let Some(outcome) = handed::over(opened, &handed::flow(name, given, flags)).await? {
        return Ok(outcome);
    }
    let asked = serving::FlowAsked {
        flow: flow.clone(),
        intervals: vec![interval],
        params,
        is_quiet: false,
    };
    serving::run_flow(opened, &asked, flags.parallel).await
}

/// What follows a run that ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Nothing,
    /// What is no longer declared is dropped.
    Prune,
}

/// Runs a request with a progress display, and says how it ended.
pub(crate) async fn perform(opened: &Opened, request: RunRequest, parallel: Option<usize>, after: After) -> Outcome {
    let command = match request.trigger {
        Trigger::Manual => "mulgil run",
        Trigger::Backfill => "mulgil backfill",
        Trigger::Schedule => "mulgil serve",
    };
    let (runner, right) = opened.runner(command, parallel).await?;
    let talk = Arc::new(Talk::new(Arc::clone(&opened.project)));
    let began = wire::now();
    let summary = runner.run(&request, talk.clone(), wire::interrupt()).await;
    talk.clear();
    let summary = summary?;
    tell(opened, &summary, began);
    tell_waiting(opened, &summary, &runner.store.versions().await?);
    if after == After::Prune && summary.is_success() {
        for entry in runner.prune().await? {
            say::talk(&format!(
                "  dropped {} {}",
                super::plan::kind_of(entry.kind),
                entry.relation
            ));
        }
    }
    if !summary.interrupted && summary.stopped.is_none() {
        maintain(opened, &runner, &summary).await;
    }
    right.give_back().await;
    exit(summary)
}

/// Does what the tables that were filled need: nobody writes them now. What cannot be done is said, and
/// is not the run's failure.
async fn maintain(opened: &Opened, runner: &Runner, summary: &RunSummary) {
    let mut relations: Vec<&Relation> = summary
        .filled
        .iter()
        .filter_map(|(instance, ..)| opened.project.node(&instance.node))
        // Versions that readers still see must stay, however old they are.
        .filter(|node| node.materialization != Materialization::View && !is_after_tests(node))
        .map(|node| &node.relation)
        .collect();
    relations.sort();
    relations.dedup();
    for relation in relations {
        match runner.engine.maintain(relation, wire::now()).await {
            Ok(Maintained {
                small_files: 0,
                removed_files: 0,
                ..
            }) => {}
            Ok(done) => say::talk(&format!(
                "  {relation}: {} small files became {}, {} old files removed",
                done.small_files, done.large_files, done.removed_files
            )),
            Err(fault) => say::fault(&Diagnostic {
                severity: Severity::Warning,
                ..*fault
            }),
        }
    }
}

/// The whole project, or what was selected.
pub(crate) fn scope(selection: &Selection, is_narrow: bool) -> Scope {
    if is_narrow || selection.has_interval {
        Scope::Only(selection.ranges.clone())
    } else {
        Scope::All
    }
}

/// Every selected interval that is over: what `--full` and `backfill` make due.
pub(crate) fn nameable(opened: &Opened, selection: &Selection) -> Vec<(Instance, RangeSet)> {
    let now = wire::now();
    let ranges = selection.ranges.iter().filter_map(|(instance, ranges)| {
        let node = opened.project.node(&instance.node)?;
        if selection.has_interval && node.incremental.is_some() {
            // A day of it cannot be named, and all of it was not meant.
            say::talk(&format!(
                "{instance} keeps what it has: it takes in what is new when what it reads changes"
            ));
            return None;
        }
        let inside = due::nameable(node, now).intersect(ranges);
        (!inside.is_empty()).then(|| (instance.clone(), inside))
    });
    ranges.collect()
}

fn tell(opened: &Opened, summary: &RunSummary, began: mulgil_core::interval::Instant) {
    for fault in &summary.unseen {
        say::fault(fault);
    }
    for (node, outcome, severity) in &summary.failed_tests {
        let word = match severity {
            Severity::Error => "FAILED",
            Severity::Warning => "warning:",
        };
        say::talk(&format!(
            "  {word} {} on {node}: {}",
            outcome.name,
            say::count(outcome.failures, "row")
        ));
        for row in outcome.sample.iter().take(3) {
            say::talk(&format!("      {row}"));
        }
    }
    for failed in &summary.failed {
        let instance = &failed.instance;
        let what = match failed.kind {
            TaskKind::Fill => format!(
                "{instance}{} failed",
                range_text(&opened.project, instance, failed.range)
            ),
            TaskKind::Test => format!("the data tests of {instance} could not be run"),
            TaskKind::Step => instance.to_string(),
        };
        say::talk(&format!("\n{what}:"));
        say::fault(&failed.fault);
    }
    if !summary.failed.is_empty() || !summary.failed_tests.is_empty() {
        for step in &summary.upstream_failed {
            let range = range_text(&opened.project, &step.instance, step.range);
            say::talk(&format!(
                "  not filled: {}{range} (something before it failed)",
                step.instance
            ));
        }
    }
    for waiting in &summary.waiting {
        say::talk(&format!("  {}", super::plan::waiting_text(&opened.project, waiting)));
    }
    for (node, test) in &summary.blocking {
        say::talk(&format!("  {}", super::plan::blocking_text(node, test)));
    }
    for held in &summary.held {
        say::talk(&format!("  {}", super::plan::held_text(&opened.project, held)));
    }
    let Some(run) = summary.run else {
        let is_blocked = !summary.waiting.is_empty() || !summary.is_success();
        say::talk(if is_blocked {
            "nothing can be filled now"
        } else {
            "nothing is due"
        });
        return;
    };
    let intervals = summary.filled.iter().map(|(_, intervals, _)| intervals).sum();
    let rows = summary.filled.iter().map(|(.., rows)| rows).sum();
    let tests = (summary.passed_tests.len() + summary.failed_tests.len()) as u64;
    let tested = if tests > 0 {
        format!(", {} of {tests} data tests passed", summary.passed_tests.len())
    } else {
        String::new()
    };
    let word = match (summary.interrupted, summary.is_success()) {
        (true, _) => "interrupted",
        (false, true) => "done",
        (false, false) => "failed",
    };
    say::talk(&format!(
        "run {run} {word}: {}, {} in {}{tested}",
        say::count(intervals, "interval"),
        say::count(rows, "row"),
        say::span(began, wire::now()),
    ));
}

/// Which of the tables that it filled or tested keep their newest version from readers.
fn tell_waiting(opened: &Opened, summary: &RunSummary, versions: &BTreeMap<Relation, Versions>) {
    let filled = summary.filled.iter().map(|(instance, ..)| &instance.node);
    let failed = summary.failed_tests.iter().map(|(node, ..)| node);
    let blocking = summary.blocking.iter().map(|(node, _)| node);
    let touched: BTreeSet<&NodeName> = filled.chain(failed).chain(blocking).collect();
    for node in touched.into_iter().filter_map(|name| opened.project.node(name)) {
        let known = versions.get(&node.relation).copied().unwrap_or_default();
        if is_after_tests(node) && known.newest != known.published {
            let text = super::status::waiting_text(known.newest, known.published);
            say::talk(&format!("  {}: {text}; `mulgil nodes show {}`", node.name, node.name));
        }
    }
}

/// A run that reached its end with failures ends with 1 whatever their codes; one that was stopped
/// by MG5 or MG9 with 6 or 70; an interrupted one with 130.
fn exit(summary: RunSummary) -> Outcome {
    if summary.interrupted {
        return Ok(wire::INTERRUPTED);
    }
    if summary.is_success() {
        return Ok(0);
    }
    match summary.stopped {
        Some(fault) if matches!(fault.code.0 / 1000, 5 | 9) => {
            let told = summary.failed.iter().any(|failed| failed.fault == fault);
            if told {
                Ok(fault.code.exit())
            } else {
                Err(Faults::from(fault))
            }
        }
        Some(fault) => Err(Faults::from(fault)),
        None => Ok(1),
    }
}
