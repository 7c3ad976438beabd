//! What an attempt's log says: why it began, the SQL that it ran, how it ended.

use mulgil_core::{
    data_test::{Verdict, judge},
    diagnostic::Diagnostic,
    interval_text,
    port::{Fault, FillOutcome, TestOutcome},
    project::{DataTest, Node},
    task::Work,
};

use crate::perform::Task;

/// Queries of one attempt whose SQL is logged; the others differ by their interval alone.
const MAX_QUERIES: usize = 1;
/// Bytes from which on a value is masked: a shorter one would be found in too many other words.
const MIN_SECRET_BYTES: usize = 4;
/// What is written in its place.
const MASK: &str = "***";

/// Why it began, and its SQL.
pub(crate) fn began(node: &Node, task: &Task, secrets: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = task
        .reasons
        .iter()
        .map(|(range, reason)| format!("due: {} {}", interval_text::format(*range, &node.grid), reason.kind()))
        .collect();
    match &task.work {
        Work::Fill(spec) => {
            for query in spec.queries.iter().take(MAX_QUERIES) {
                let sql = masked(&query.sql, secrets);
                lines.extend(sql.lines().map(|line| format!("sql: {line}")));
            }
            for (word, hooks) in [("pre-hook", &spec.hooks.before), ("post-hook", &spec.hooks.after)] {
                for hook in hooks {
                    let sql = masked(&hook.sql, secrets);
                    lines.extend(sql.lines().map(|line| format!("{word}: {line}")));
                }
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
    let version = outcome
        .version
        .map_or_else(String::new, |version| format!(" in version {version}"));
    vec![format!(
        "filled: intervals {}, rows {}{version}",
        outcome.intervals.len(),
        outcome.written
    )]
}

/// How each test ended, with a sample of the rows that break it.
pub(crate) fn tested(declared: &[DataTest], outcomes: &[TestOutcome]) -> Vec<String> {
    let mut lines = Vec::new();
    for outcome in outcomes {
        let word = match (judge(declared, &outcome.name, outcome.failures), outcome.failures) {
            (Verdict::Passed, 0) => "passed".to_owned(),
            (Verdict::Passed, rows) => format!("passed: {rows} rows"),
            (Verdict::Warned, rows) => format!("warned: {rows} rows"),
            (Verdict::Failed, rows) => format!("failed: {rows} rows"),
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

/// The fault without the values that are kept out of logs and of the ledger: an engine that cannot
/// run some SQL often repeats it.
pub(crate) fn masked_fault(fault: &Fault, secrets: &[String]) -> Fault {
    let related = fault.related.iter();
    Box::new(Diagnostic {
        message: masked(&fault.message, secrets),
        remedy: fault.remedy.as_ref().map(|remedy| masked(remedy, secrets)),
        related: related
            .map(|(place, what)| (place.clone(), masked(what, secrets)))
            .collect(),
        ..(**fault).clone()
    })
}

/// A text with each secret masked, the longest first, as one may hold another.
pub fn masked(text: &str, secrets: &[String]) -> String {
    let mut secrets: Vec<&str> = secrets.iter().map(|secret| secret.trim()).collect();
    secrets.retain(|secret| secret.len() >= MIN_SECRET_BYTES);
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets
        .into_iter()
        .fold(text.to_owned(), |text, secret| text.replace(secret, MASK))
}

#[cfg(test)]
mod tests {
    use mulgil_core::codes;

    use super::*;

    fn secrets(all: &[&str]) -> Vec<String> {
        all.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        let secrets = secrets(&["hunter", "hunter22", "line\nline\n"]);
        assert_eq!(masked("'hunter22' or hunter", &secrets), "'***' or ***");
        assert_eq!(masked("'line\nline'", &secrets), "'***'");
        assert_eq!(masked("nothing of it", &secrets), "nothing of it");
    }

    #[test]
    fn what_is_too_short_to_be_one_is_left() {
        assert_eq!(
            masked("select 1 as a", &secrets(&["1", "", "  a ", "sel"])),
            "select 1 as a"
        );
        assert_eq!(masked("select 1 as a", &secrets(&["sele"])), "***ct 1 as a");
    }

    #[test]
    fn a_fault_is_masked_in_all_its_words() {
        let fault = Diagnostic::error(codes::SQL_INVALID, "`hunter22` is no column")
            .with_related(
                mulgil_core::diagnostic::Place::file("models/a.sql"),
                "where `hunter22` is",
            )
            .with_remedy("write `hunter2` for `hunter22`");
        let shown = masked_fault(&Box::new(fault), &secrets(&["hunter22"])).to_string();
        assert!(!shown.contains("hunter22"), "{shown}");
        assert_eq!(shown.matches(MASK).count(), 3, "{shown}");
    }
}
