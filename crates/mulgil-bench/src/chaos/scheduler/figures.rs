//! What rounds found, as a line each, as a table, and as files of the repository.

use std::{collections::BTreeMap, fmt::Write as _, fs, time::Duration};

use anyhow::Result;
use serde_json::{Value, json};

use super::{faults::Fault, round::Outcome};
use crate::place;

/// Rows of one breach that a line shows.
const SHOWN: usize = 8;

/// Whether a round broke anything, or could not be done.
pub(crate) fn is_broken(outcome: &Outcome) -> bool {
    outcome.error.is_some() || !outcome.breaches.is_empty()
}

/// The outcome of a round that gave none.
pub(crate) fn unfinished(fault: Fault, seed: u64, took: Duration, said: &str) -> Outcome {
    Outcome {
        seed,
        fault: fault.name().to_owned(),
        runs: 0,
        acks: 0,
        attempts: 0,
        lost: 0,
        tasks: 0,
        took_ms: took.as_millis() as u64,
        ready_ms: Vec::new(),
        peak_kb: 0,
        open_files: 0,
        notes: Vec::new(),
        breaches: Vec::new(),
        error: Some(format!("the round gave no outcome: {said}")),
    }
}

/// A round in one line; with more below it where something broke.
pub(crate) fn line(outcome: &Outcome) -> String {
    let Outcome {
        seed,
        fault,
        runs,
        acks,
        attempts,
        lost,
        ..
    } = outcome;
    let took = outcome.took_ms as f64 / 1e3;
    let word = if is_broken(outcome) { "BROKEN" } else { "ok" };
    let notes = outcome.notes.join("; ");
    let mut text = format!(
        "seed {seed} {fault}: {word}, {runs} runs, {acks} acknowledged, {attempts} attempts ({lost} lost), {took:.1} s; {notes}"
    );
    for breach in &outcome.breaches {
        let _ = write!(text, "\n  {:?}: {}", breach.invariant, breach.invariant.sentence());
        for row in breach.rows.iter().take(SHOWN) {
            let _ = write!(text, "\n    {}", row.replace('\n', "\n    "));
        }
        if breach.rows.len() > SHOWN {
            let _ = write!(text, "\n    and {} more", breach.rows.len() - SHOWN);
        }
    }
    if let Some(error) = &outcome.error {
        let _ = write!(text, "\n  {}", error.replace('\n', "\n  "));
    }
    if is_broken(outcome) {
        let _ = write!(
            text,
            "\n  again: cargo xtask chaos scheduler --only {fault} --seed {seed}"
        );
    }
    text
}

/// All rounds, by fault.
pub(crate) fn table(outcomes: &[Outcome], not_run: &[String], took: Duration) -> String {
    let mut by_fault: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        by_fault.entry(&outcome.fault).or_default().push(outcome);
    }
    let mut text = String::from(
        "\n| fault | rounds | broken | runs | acknowledged | attempts | lost | ready again, median and longest | most memory |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    let mut row = |name: &str, own: &[&Outcome]| {
        let sum = |of: fn(&Outcome) -> usize| own.iter().map(|outcome| of(outcome)).sum::<usize>();
        let broken = own.iter().filter(|outcome| is_broken(outcome)).count();
        let (median, longest) = ready(own);
        let peak = own.iter().map(|outcome| outcome.peak_kb).max().unwrap_or(0) / 1000;
        let _ = writeln!(
            text,
            "| {name} | {} | {broken} | {} | {} | {} | {} | {median} ms, {longest} ms | {peak} MB |",
            own.len(),
            sum(|outcome| outcome.runs),
            sum(|outcome| outcome.acks),
            sum(|outcome| outcome.attempts),
            sum(|outcome| outcome.lost),
        );
    };
    for (fault, own) in &by_fault {
        row(fault, own);
    }
    row("all", &outcomes.iter().collect::<Vec<_>>());
    let _ = writeln!(text, "\n{} rounds in {} s", outcomes.len(), took.as_secs());
    for fault in not_run {
        let _ = writeln!(text, "not run on this machine: {fault}");
    }
    text
}

/// The median and the longest time until a server was ready, in milliseconds.
fn ready(outcomes: &[&Outcome]) -> (u64, u64) {
    let mut all: Vec<u64> = outcomes
        .iter()
        .flat_map(|outcome| outcome.ready_ms.iter().copied())
        .collect();
    all.sort_unstable();
    (
        all.get(all.len() / 2).copied().unwrap_or(0),
        all.last().copied().unwrap_or(0),
    )
}

/// Writes the figures to `docs/chaos`.
pub(crate) fn write(outcomes: &[Outcome], not_run: &[String], took: Duration) -> Result<()> {
    let folder = place::repository().join("docs/chaos");
    fs::create_dir_all(&folder)?;
    let date = jiff::Zoned::now().date();
    // Rows of breaches name places of this machine; the seed gives them again.
    let broken = |outcome: &Outcome| {
        outcome
            .breaches
            .iter()
            .map(|breach| breach.invariant)
            .collect::<Vec<_>>()
    };
    let seeds: Vec<Value> = outcomes
        .iter()
        .map(|outcome| {
            json!({"seed": outcome.seed, "fault": outcome.fault, "runs": outcome.runs, "acks": outcome.acks,
                "attempts": outcome.attempts, "lost": outcome.lost, "took_ms": outcome.took_ms,
                "ready_ms": outcome.ready_ms, "peak_kb": outcome.peak_kb, "open_files": outcome.open_files,
                "is_ok": !is_broken(outcome), "broken": broken(outcome)})
        })
        .collect();
    let all = json!({"date": date.to_string(), "took_s": took.as_secs(), "not_run": not_run, "rounds": seeds});
    fs::write(
        folder.join("scheduler.json"),
        serde_json::to_string_pretty(&all)? + "\n",
    )?;
    let text = format!(
        "# Chaos: scheduler\n\n{date}. Each round breaks a running server by its seed and holds the ledger, the tables and \
         the processes against the invariants of `mulgil-bench/src/chaos/scheduler/checker.rs`. A round is done again \
         by `cargo xtask chaos scheduler --only FAULT --seed N`.\n{}",
        table(outcomes, not_run, took)
    );
    Ok(fs::write(folder.join("scheduler.md"), text)?)
}
