//! What an attempt's log says: why it began, the SQL that it ran, how it ended.

use mulgil_core::{
    interval_text,
    port::{Fault, FillOutcome, TestOutcome},
    project::Node,
    task::Work,
};

use crate::perform::Task;

/// Queries of one attempt whose SQL is logged; the others differ by their interval alone.
const MAX_QUERIES: usize = 1;

/// Why it began, and its SQL.
pub(crate) fn began(node: &Node, task: &Task) -> Vec<String> {
    let mut lines: Vec<String> = task
        .reasons
        .iter()
        .map(|(range, reason)| format!("due: {} {}", interval_text::format(*range, &node.grid), reason.kind()))
        .collect();
    match &task.work {
        Work::Fill(spec) => {
            for query in spec.queries.iter().take(MAX_QUERIES) {
                lines.extend(query.sql.lines().map(|line| format!("sql: {line}")));
            }
            if spec.queries.len() > MAX_QUERIES {
                lines.push(format!(
                    "sql: {} more queries, one for each batch",
                    spec.queries.len() - MAX_QUERIES
                ));
            }
        }
        Work::Test(spec) => lines.extend(spec.tests.iter().map(|test| format!("test: {}", test.test.name))),
    }
    lines
}

/// What was filled.
pub(crate) fn filled(outcome: &FillOutcome) -> Vec<String> {
    let rows: u64 = outcome.intervals.iter().map(|filled| filled.rows).sum();
    let version = outcome
        .version
        .map_or_else(String::new, |version| format!(" in version {version}"));
    vec![format!(
        "filled: intervals {}, rows {rows}{version}",
        outcome.intervals.len()
    )]
}

/// How each test ended, with a sample of the rows that break it.
pub(crate) fn tested(outcomes: &[TestOutcome]) -> Vec<String> {
    let mut lines = Vec::new();
    for outcome in outcomes {
        let word = if outcome.failures == 0 {
            "passed".to_owned()
        } else {
            format!("failed: {} rows", outcome.failures)
        };
        lines.push(format!("test {}: {word}", outcome.name));
        lines.extend(outcome.sample.iter().map(|row| format!("  {row}")));
    }
    lines
}

/// What went wrong.
pub(crate) fn failed(fault: &Fault) -> Vec<String> {
    fault.to_string().lines().map(str::to_owned).collect()
}
