//! What a person sees of dbt's commands: a line for each node and each data test, and a count at the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Instant as Moment,
};

use mulgil_core::{
    data_test::Verdict,
    diagnostic::{Diagnostic, Severity},
    interval::{Instant, Interval},
    name::{Instance, NodeName},
    plan::Step,
    port::TestOutcome,
    project::{Materialization, Project, Upstream},
    run::TaskKind,
    select::choose::Chosen,
};
use mulgil_scheduler::{FailedAttempt, RunSummary, Watch};

use super::{resource, word};
use crate::{
    command::plan::{range_text, waiting_text},
    say,
    wire::{self, Opened},
};

/// Rows of a failed data test that are shown.
const SHOWN_ROWS: usize = 3;

/// Says how a run goes, line by line.
pub(super) struct Told {
    project: Arc<Project>,
    /// Nodes and data tests that are chosen.
    total: usize,
    so_far: Mutex<SoFar>,
}

#[derive(Default)]
struct SoFar {
    /// In which place each node or data test came.
    places: BTreeMap<String, usize>,
    began: BTreeMap<i64, Moment>,
}

impl Told {
    pub(super) fn new(project: Arc<Project>, chosen: &Chosen) -> Self {
        Self {
            project,
            total: chosen.ranges.len() + chosen.tests.len(),
            so_far: Mutex::default(),
        }
    }

    /// `3 of 12`: a node that is filled in several commits keeps its place.
    fn place(&self, of: &str) -> String {
        let mut so_far = self.so_far.lock().unwrap_or_else(PoisonError::into_inner);
        let next = so_far.places.len() + 1;
        let place = *so_far.places.entry(of.to_owned()).or_insert(next);
        format!("{place} of {}", self.total.max(place))
    }

    fn took(&self, attempt: i64) -> String {
        let mut so_far = self.so_far.lock().unwrap_or_else(PoisonError::into_inner);
        let began = so_far.began.remove(&attempt);
        began.map_or_else(String::new, |began| {
            format!(" in {:.2} s", began.elapsed().as_secs_f64())
        })
    }

    fn what(&self, instance: &Instance, range: Interval) -> String {
        let kind = self
            .project
            .node(&instance.node)
            .map_or("node", |node| word(resource(node)));
        format!("{kind} {instance}{}", range_text(&self.project, instance, range))
    }
}

impl Watch for Told {
    fn planned(&self, _: &[Step]) {}

    fn started(&self, attempt: i64, _: &Instance, _: Interval, _: TaskKind) {
        let mut so_far = self.so_far.lock().unwrap_or_else(PoisonError::into_inner);
        so_far.began.insert(attempt, Moment::now());
    }

    fn rows(&self, _: i64, _: u64) {}

    fn finished(&self, attempt: i64, instance: &Instance, range: Interval, kind: TaskKind, _: u64, rows: u64) {
        let took = self.took(attempt);
        match kind {
            TaskKind::Fill => {
                let node = self.project.node(&instance.node);
                // A view has no rows of its own.
                let is_view = node.is_some_and(|node| node.materialization == Materialization::View);
                let made = if is_view {
                    "view".to_owned()
                } else {
                    say::count(rows, "row")
                };
                let place = self.place(&instance.to_string());
                say::talk(&format!("{place} OK {}: {made}{took}", self.what(instance, range)));
            }
            // Each data test has a line of its own.
            TaskKind::Test | TaskKind::Step => {}
        }
    }

    fn narrowed(&self, attempt: i64, _: &Instance, _: Interval, _: &Diagnostic) {
        self.took(attempt);
    }

    fn failed(&self, attempt: i64, failed: &FailedAttempt) {
        let took = self.took(attempt);
        let instance = &failed.instance;
        let (place, what) = match failed.kind {
            TaskKind::Fill => (self.place(&instance.to_string()), self.what(instance, failed.range)),
            TaskKind::Test | TaskKind::Step => (
                self.place(&format!("tests of {instance}")),
                format!("data tests of {instance}"),
            ),
        };
        say::talk(&format!("{place} ERROR {what}: {}{took}", failed.fault.code));
    }

    fn tested(&self, node: &NodeName, outcome: &TestOutcome, verdict: Verdict) {
        let place = self.place(&format!("{node} {}", outcome.name));
        let word = match verdict {
            Verdict::Passed => "PASS".to_owned(),
            Verdict::Warned => format!("WARN {}", outcome.failures),
            Verdict::Failed => format!("FAIL {}", outcome.failures),
        };
        say::talk(&format!("{place} {word} test {}", outcome.name));
    }
}

/// How everything that was chosen ended.
#[derive(Default)]
struct Tally {
    pass: usize,
    warn: usize,
    error: usize,
    skip: usize,
}

/// Says what went wrong and how much; gives the exit code.
pub(super) fn end(opened: &Opened, summary: &RunSummary, chosen: &Chosen, began: Instant) -> u8 {
    tell_faults(opened, summary);
    let tally = tally(opened, summary, chosen);
    say::talk(&format!(
        "\nDone in {}. PASS={} WARN={} ERROR={} SKIP={} TOTAL={}",
        say::span(began, wire::now()),
        tally.pass,
        tally.warn,
        tally.error,
        tally.skip,
        tally.pass + tally.warn + tally.error + tally.skip,
    ));
    if summary.interrupted {
        return wire::INTERRUPTED;
    }
    let is_well = tally.error == 0 && tally.skip == 0 && summary.stopped.is_none() && summary.unseen.is_empty();
    u8::from(!is_well)
}

fn tell_faults(opened: &Opened, summary: &RunSummary) {
    summary.unseen.iter().for_each(say::fault);
    for failed in &summary.failed {
        let range = range_text(&opened.project, &failed.instance, failed.range);
        say::talk(&format!("\n{}{range} failed:", failed.instance));
        say::fault(&failed.fault);
    }
    for (node, outcome, severity) in &summary.failed_tests {
        let word = match severity {
            Severity::Error => "failed",
            Severity::Warning => "warns",
        };
        let rows = say::count(outcome.failures, "row");
        say::talk(&format!("\nthe data test {} of {node} {word}: {rows}", outcome.name));
        for row in outcome.sample.iter().take(SHOWN_ROWS) {
            say::talk(&format!("  {row}"));
        }
    }
    if let Some(fault) = &summary.stopped
        && !summary.failed.iter().any(|failed| failed.fault == *fault)
    {
        say::talk("");
        say::fault(fault);
    }
}

fn tally(opened: &Opened, summary: &RunSummary, chosen: &Chosen) -> Tally {
    let mut tally = Tally::default();
    for instance in chosen.ranges.keys() {
        tally.add_node(opened, summary, chosen, instance);
    }
    for (node, test) in &chosen.tests {
        tally.add_test(summary, node, test);
    }
    tally
}

impl Tally {
    fn add_node(&mut self, opened: &Opened, summary: &RunSummary, chosen: &Chosen, instance: &Instance) {
        let mut failed = summary.failed.iter().filter(|failed| failed.kind == TaskKind::Fill);
        // What is due only if something that was not selected changes is not left undone.
        let mut left = summary.upstream_failed.iter().filter(|step| !step.if_changed);
        let is_left = left.any(|step| step.instance == *instance);
        let has_begun = summary.filled.iter().any(|(filled, ..)| filled == instance);
        let was_cut_off = !has_begun && (summary.stopped.is_some() || summary.interrupted);
        let waiting = summary.waiting.iter().find(|waiting| waiting.instance == *instance);
        if failed.any(|failed| failed.instance == *instance) {
            self.error += 1;
            return;
        }
        match waiting {
            Some(waiting) if has_no_failure(summary) => {
                say::talk(&format!("ERROR {}", waiting_text(&opened.project, waiting)));
                self.error += 1;
            }
            Some(_) => self.skip(&instance.to_string()),
            None if is_left && has_no_failure(summary) => {
                let missing = not_chosen(&opened.project, chosen, &instance.node);
                say::talk(&format!(
                    "ERROR {instance}: what it reads was never filled: {}; select that too, with `+{instance}`",
                    missing.join(", ")
                ));
                self.error += 1;
            }
            None if is_left || was_cut_off => self.skip(&instance.to_string()),
            None => self.pass += 1,
        }
    }

    fn add_test(&mut self, summary: &RunSummary, node: &NodeName, test: &str) {
        let is_this = |of: &NodeName, name: &str| of == node && name == test;
        let mut failed = summary.failed_tests.iter();
        let severity = failed.find(|(of, outcome, _)| is_this(of, &outcome.name));
        let has_passed = summary.passed_tests.iter().any(|(of, name)| is_this(of, name));
        let mut not_run = summary.failed.iter().filter(|failed| failed.kind == TaskKind::Test);
        match severity {
            Some((.., Severity::Error)) => self.error += 1,
            Some((.., Severity::Warning)) => self.warn += 1,
            None if has_passed => self.pass += 1,
            None if not_run.any(|failed| failed.instance.node == *node) => self.error += 1,
            None => self.skip(&format!("test {test}")),
        }
    }

    fn skip(&mut self, what: &str) {
        say::talk(&format!("SKIP {what}"));
        self.skip += 1;
    }
}

/// What a node reads, however far above, and what is not chosen.
fn not_chosen(project: &Project, chosen: &Chosen, name: &NodeName) -> Vec<String> {
    let mut found = BTreeSet::new();
    let mut left = vec![name];
    let mut seen = BTreeSet::new();
    while let Some(node) = left.pop().and_then(|name| project.node(name)) {
        for read in &node.reads {
            match read {
                Upstream::Node(upstream) if !chosen.has_node(upstream) => {
                    found.insert(upstream.to_string());
                }
                Upstream::Node(upstream) if seen.insert(upstream) => left.push(upstream),
                Upstream::Node(_) | Upstream::Source(_) => {}
            }
        }
    }
    found.into_iter().collect()
}

fn has_no_failure(summary: &RunSummary) -> bool {
    let mut tests = summary.failed_tests.iter();
    summary.failed.is_empty()
        && summary.stopped.is_none()
        && !tests.any(|(_, _, severity)| *severity == Severity::Error)
}
