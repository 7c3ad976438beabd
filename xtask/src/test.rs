//! `cargo xtask test`: every check and test that this machine can run, each step with its time, and
//! what was not run by name. A failing step does not keep the others from running.

use std::{
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    browser, chaos, generate, postgres, python,
    shell::{Shell, cargo, is_ci, target_dir},
    tidy,
};

/// Nights in which a server is broken; the long run is `cargo xtask chaos scheduler`.
const CHAOS_SEEDS: u64 = 10;
/// The first of them: ten nights that are short.
const FIRST_CHAOS_SEED: u64 = 11;

/// What the tests came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    passed: u64,
    failed: u64,
    skipped: u64,
}

/// What runs tests, each with a summary line of its own form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runner {
    /// One summary at its end.
    Nextest,
    /// One summary for each test program.
    CargoTest,
}

struct Step {
    name: &'static str,
    took: Duration,
    result: Result<()>,
}

/// Runs all steps. The last line printed has the form of cargo-nextest's summary, whichever runner
/// was used and however it ended.
pub(crate) fn run() -> ExitCode {
    let started = Instant::now();
    let mut totals = Totals::default();
    let mut not_run = Vec::new();
    let interpreter = python::prepare(&target_dir())
        .map_err(|error| not_run.push(format!("tests named `{}`, figures: {error:#}", python::TESTS)))
        .ok();
    let database = postgres::prepare(&target_dir())
        .map_err(|error| not_run.push(format!("tests named `{}`: {error:#}", postgres::TESTS)))
        .ok();
    let chromium = browser::prepare()
        .map_err(|error| not_run.push(format!("pages: {error:#}")))
        .ok();
    let mut steps = vec![
        step("fmt", || cargo().args(["fmt", "--all", "--check"]).run()),
        step("clippy", clippy),
        step("tidy", tidy::run),
        step("gen", || generate::run(generate::Mode::Check)),
    ];
    let interpreter = interpreter.as_deref();
    steps.extend(interpreter.map(|interpreter| step("figures", || figures(interpreter))));
    let needs = [
        (python::TESTS, python::VARIABLE, interpreter),
        (postgres::TESTS, postgres::VARIABLE, database.as_deref()),
    ];
    steps.push(step("tests", || tests(&needs, &mut totals)));
    let doc_tests = || {
        count(
            Runner::CargoTest,
            cargo().args(["test", "--workspace", "--doc"]),
            &mut totals,
        )
    };
    steps.push(step("doc tests", doc_tests));
    // The tests have built the program.
    let built = target_dir().join("debug");
    let program = built.join("mulgil");
    steps.push(step("chaos", || {
        chaos::seeds(&program, FIRST_CHAOS_SEED, CHAOS_SEEDS, database.as_deref())
    }));
    steps.extend(
        interpreter
            .zip(chromium.as_deref())
            .map(|(interpreter, chromium)| step("pages", || browser::pages(interpreter, chromium, &built))),
    );
    report(&steps, &not_run, totals, started.elapsed());
    let is_incomplete = is_ci() && !not_run.is_empty();
    if is_incomplete || steps.iter().any(|step| step.result.is_err()) {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn step(name: &'static str, work: impl FnOnce() -> Result<()>) -> Step {
    eprintln!("== {name}");
    let started = Instant::now();
    let result = work();
    Step {
        name,
        took: started.elapsed(),
        result,
    }
}

fn clippy() -> Result<()> {
    let targets = ["clippy", "--workspace", "--all-targets", "--quiet"];
    cargo().args(targets).args(["--", "-D", "warnings"]).run()
}

/// The committed figures of the example are those that DuckDB computes from its raw files.
fn figures(interpreter: &Path) -> Result<()> {
    let check = ["examples/flights/expected/figures.py", "--check"];
    Shell::new(interpreter).args(check).run()
}

/// A part of the names of tests, the variable in which they find what they need, and where that is; none
/// where it cannot be had.
type Need<'a> = (&'a str, &'a str, Option<&'a Path>);

/// All tests but the doc tests and those whose need is not met, by cargo-nextest where it is installed.
fn tests(needs: &[Need<'_>], totals: &mut Totals) -> Result<()> {
    let runner = if cargo().args(["nextest", "--version"]).succeeds() {
        Runner::Nextest
    } else {
        Runner::CargoTest
    };
    let mut command = match runner {
        Runner::Nextest => cargo().args(["nextest", "run", "--workspace", "--no-fail-fast", "--no-tests", "pass"]),
        Runner::CargoTest => cargo().args(["test", "--workspace", "--all-targets", "--no-fail-fast"]),
    };
    for (_, variable, place) in needs {
        if let Some(place) = place {
            command = command.env(variable, place);
        }
    }
    let unmet: Vec<&str> = needs
        .iter()
        .filter(|(.., place)| place.is_none())
        .map(|(tests, ..)| *tests)
        .collect();
    count(runner, command.args(without(runner, &unmet)), totals)
}

/// Leaves out the tests that have one of the words in their names.
fn without(runner: Runner, words: &[&str]) -> Vec<String> {
    if words.is_empty() {
        return Vec::new();
    }
    match runner {
        Runner::Nextest => {
            let named: Vec<String> = words.iter().map(|word| format!("test({word})")).collect();
            vec!["-E".to_owned(), format!("not ({})", named.join(" or "))]
        }
        Runner::CargoTest => std::iter::once("--".to_owned())
            .chain(words.iter().flat_map(|word| ["--skip".to_owned(), (*word).to_owned()]))
            .collect(),
    }
}

fn count(runner: Runner, command: Shell, totals: &mut Totals) -> Result<()> {
    command.watch(|line| {
        if let Some(found) = summary(runner, line) {
            totals.passed += found.passed;
            totals.failed += found.failed;
            totals.skipped += found.skipped;
        }
    })
}

/// The figures of a runner's summary line; nothing for any other line, such as the summary of a test
/// program that cargo-nextest shows because its one test failed.
fn summary(runner: Runner, line: &str) -> Option<Totals> {
    let line = line.trim_start();
    let figures = match runner {
        Runner::Nextest => line.strip_prefix("Summary [")?.split_once(" run: ")?.1,
        Runner::CargoTest => line.strip_prefix("test result: ")?.split_once(". ")?.1,
    };
    let mut totals = Totals::default();
    for figure in figures.split([',', ';']) {
        let mut words = figure.split_whitespace();
        let Some(number) = words.next().and_then(|word| word.parse::<u64>().ok()) else {
            continue;
        };
        match words.next() {
            Some("passed") => totals.passed += number,
            Some("failed" | "timed" | "exec") => totals.failed += number,
            Some("skipped" | "ignored") => totals.skipped += number,
            _ => {}
        }
    }
    Some(totals)
}

fn report(steps: &[Step], not_run: &[String], totals: Totals, took: Duration) {
    eprintln!();
    for step in steps {
        let result = match &step.result {
            Ok(()) => "ok".to_owned(),
            Err(error) => format!("FAILED: {error:#}"),
        };
        eprintln!("{:<10} {:>8.1} s  {result}", step.name, step.took.as_secs_f64());
    }
    for part in not_run {
        let verdict = if is_ci() {
            "FAILED, for CI=true leaves nothing out: "
        } else {
            ""
        };
        eprintln!("{verdict}not run: {part}");
    }
    eprintln!("{}", last_line(totals, took));
}

fn last_line(totals: Totals, took: Duration) -> String {
    let Totals {
        passed,
        failed,
        skipped,
    } = totals;
    let failures = if failed == 0 {
        String::new()
    } else {
        format!(" {failed} failed,")
    };
    format!(
        "     Summary [{:>8.3}s] {} tests run: {passed} passed,{failures} {skipped} skipped",
        took.as_secs_f64(),
        passed + failed
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_whose_need_is_not_met_are_left_out() {
        assert!(without(Runner::Nextest, &[]).is_empty());
        assert_eq!(
            without(Runner::Nextest, &["a", "b"]),
            ["-E", "not (test(a) or test(b))"]
        );
        assert_eq!(
            without(Runner::CargoTest, &["a", "b"]),
            ["--", "--skip", "a", "--skip", "b"]
        );
    }

    #[test]
    fn reads_the_summaries_of_both_runners() {
        let of = |passed, failed, skipped| {
            Some(Totals {
                passed,
                failed,
                skipped,
            })
        };
        assert_eq!(
            summary(
                Runner::Nextest,
                "     Summary [   0.005s] 2 tests run: 2 passed, 0 skipped"
            ),
            of(2, 0, 0)
        );
        assert_eq!(
            summary(
                Runner::Nextest,
                "     Summary [  61.2s] 9 tests run: 5 passed (1 slow), 3 failed, 1 timed out, 4 skipped"
            ),
            of(5, 4, 4)
        );
        let program = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.00s";
        assert_eq!(summary(Runner::CargoTest, program), of(3, 0, 1));
        assert_eq!(summary(Runner::Nextest, program), None, "a failed test's own");
        assert_eq!(summary(Runner::CargoTest, "test grid::tests::summary ... ok"), None);
    }

    #[test]
    fn ends_with_a_line_that_it_can_read_itself() {
        let totals = Totals {
            passed: 12,
            failed: 1,
            skipped: 2,
        };
        let line = last_line(totals, Duration::from_millis(90_500));
        assert_eq!(summary(Runner::Nextest, &line), Some(totals));
    }
}
