//! What must hold after every night, whatever happened in it. Each invariant is one function over the record
//! of a round; it gives the rows that break it.

mod leads;
mod limits;

use std::collections::{BTreeMap, BTreeSet};

use mulgil_core::{
    flow::{Flow, OnLost},
    interval::Instant,
    run::{RunState, TaskKind, TaskRun},
    tick::Fate,
    walk::{MAX_CRASHES, Stage},
};
use mulgil_store::fact::Fact;
use serde::{Deserialize, Serialize};

use super::{
    journal::{Entry, Moment},
    record::{Record, Table, Walk},
};

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Invariant {
    /// Ticks and their runs.
    I1,
    /// Acknowledged triggers.
    I2,
    /// Runs and their steps.
    I3,
    /// Attempts of a step.
    I4,
    /// Attempts as they ran.
    I5,
    /// Order.
    I6,
    /// Limits.
    I7,
    /// Facts and what is derived.
    I8,
    /// Tables.
    I9,
    /// Processes.
    I10,
    /// The ledger's file.
    I11,
    /// Liveness.
    I12,
    /// The lead.
    I13,
    /// What the fault itself expects of the server.
    Fault,
}

impl Invariant {
    /// What holds, in one sentence.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::I1 => "every tick of a schedule is decided once, none ahead of its time, and starts one run at most",
            Self::I2 => "every acknowledged trigger has its run, and no trigger has two",
            Self::I3 => "a run is over exactly when every one of its steps is",
            Self::I4 => "the attempts of a step are numbered without a gap, and nothing follows one that succeeded",
            Self::I5 => "an attempt runs in one process, no two of one step run at once, and a success really ran",
            Self::I6 => "no step begins before what it needs has ended",
            Self::I7 => "slots, pools and active runs never exceed their limits",
            Self::I8 => "all that is derived is what the facts say",
            Self::I9 => "every table holds what its files and its runs say, each row once",
            Self::I10 => "no process is left, and none has ended without notice",
            Self::I11 => "the ledger's file is whole",
            Self::I12 => "whatever is not over moves again within a minute, and ends",
            Self::I13 => "one server acts at a time: once one has begun, nothing goes on that another one began",
            Self::Fault => "the server stands its fault as it promises",
        }
    }
}

/// An invariant that does not hold, with the rows that show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Breach {
    /// Which.
    pub(crate) invariant: Invariant,
    /// Why, row by row.
    pub(crate) rows: Vec<String>,
}

/// One that is checked over a record.
type Check = fn(&Record) -> Vec<String>;

/// The invariants that are checked over the record of any round.
const CHECKS: [(Invariant, Check); 13] = [
    (Invariant::I1, ticks_start_one_run),
    (Invariant::I2, acknowledged_is_recorded),
    (Invariant::I3, runs_end_with_their_steps),
    (Invariant::I4, attempts_follow_each_other),
    (Invariant::I5, attempts_never_overlap),
    (Invariant::I6, needs_come_first),
    (Invariant::I7, limits::are_kept),
    (Invariant::I8, facts_say_all),
    (Invariant::I9, tables_are_right),
    (Invariant::I10, nobody_is_left),
    (Invariant::I11, ledger_is_whole),
    (Invariant::I12, all_moves),
    (Invariant::I13, leads::one_acts),
];

/// Every invariant that a record breaks.
pub(crate) fn check(record: &Record) -> Vec<Breach> {
    let broken = CHECKS.iter().map(|(invariant, check)| Breach {
        invariant: *invariant,
        rows: check(record),
    });
    broken.filter(|breach| !breach.rows.is_empty()).collect()
}

fn ticks_start_one_run(record: &Record) -> Vec<String> {
    let mut rows = Vec::new();
    let mut runs: BTreeMap<(&str, Instant, Instant), i64> = BTreeMap::new();
    for walk in &record.walks {
        let Some(at) = walk.scheduled_at else { continue };
        if let Some(other) = runs.insert((&walk.flow, at, walk.interval.start), walk.run) {
            rows.push(format!("{} at {at:?}: runs {other} and {}", walk.flow, walk.run));
        }
    }
    for (_, at, fact) in &record.facts {
        let Fact::Ticked(ticked) = fact else { continue };
        let ahead = ticked.ticks.iter().filter(|tick| tick.scheduled_at > *at);
        rows.extend(ahead.map(|tick| format!("{} ticked {:?} at {at:?}", ticked.owner, tick.scheduled_at)));
    }
    let mut schedules: BTreeMap<(&str, &str), Vec<_>> = BTreeMap::new();
    for tick in &record.ticks {
        schedules
            .entry((&tick.of.owner, &tick.of.schedule))
            .or_default()
            .push(tick);
    }
    for ((owner, _), ticks) in schedules {
        let flow = record.flows.values().find(|flow| flow.instance().to_string() == owner);
        let schedule = flow.and_then(|flow| flow.schedule.as_ref());
        for pair in ticks.windows(2) {
            let [before, after] = pair else { continue };
            let next = schedule.and_then(|schedule| schedule.next_tick(before.tick.scheduled_at));
            if schedule.is_some() && next != Some(after.tick.first_at) {
                let (from, to) = (before.tick.scheduled_at, after.tick.first_at);
                rows.push(format!("{owner}: no row for ticks between {from:?} and {to:?}"));
            }
        }
        let is_cut = flow.is_some_and(|flow| flow.grid.is_cut());
        let mut started = BTreeSet::new();
        // The newest may have come while the last server ended.
        for row in ticks.iter().rev().skip(1) {
            let at = row.tick.scheduled_at;
            match (row.tick.fate, row.run) {
                (Fate::Runs, None) if !is_cut && flow.is_some() => rows.push(format!("{owner} at {at:?}: no run")),
                (Fate::Runs, Some(run)) if !is_cut && !started.insert(run) => {
                    rows.push(format!("{owner} at {at:?}: run {run} is another tick's"));
                }
                (Fate::Coalesced { into }, _) if !ticks.iter().any(|other| other.tick.scheduled_at == into) => {
                    rows.push(format!(
                        "{owner} at {at:?}: is said to be made up for by {into:?}, which is not there"
                    ));
                }
                // The intervals that were due before anybody kept time are run for the newest tick there was.
                (Fate::Missed | Fate::Before, Some(run)) if !is_cut => {
                    rows.push(format!("{owner} at {at:?}: missed, but run {run}"));
                }
                _ => {}
            }
        }
    }
    rows
}

fn acknowledged_is_recorded(record: &Record) -> Vec<String> {
    let mut rows = Vec::new();
    let mut by_mark: BTreeMap<&str, Vec<&Walk>> = BTreeMap::new();
    for walk in &record.walks {
        if let Some(mark) = walk.mark.as_deref() {
            by_mark.entry(mark).or_default().push(walk);
        }
    }
    for asked in &record.asked {
        let runs = by_mark.get(asked.mark.as_str()).map_or(&[][..], Vec::as_slice);
        if runs.len() > 1 {
            let runs: Vec<i64> = runs.iter().map(|walk| walk.run).collect();
            rows.push(format!(
                "trigger {} of {} has the runs {runs:?}",
                asked.mark, asked.flow
            ));
        }
    }
    for ack in &record.acks {
        let runs = by_mark.get(ack.asked.mark.as_str()).map_or(&[][..], Vec::as_slice);
        let is_there = runs
            .iter()
            .any(|walk| walk.run == ack.run && walk.flow == ack.asked.flow);
        if !is_there {
            let (mark, flow, run) = (&ack.asked.mark, &ack.asked.flow, ack.run);
            rows.push(format!(
                "trigger {mark} of {flow} was answered with run {run}, which the ledger does not have so"
            ));
        }
    }
    rows
}

fn runs_end_with_their_steps(record: &Record) -> Vec<String> {
    let mut rows = Vec::new();
    for (run, tasks) in &record.runs {
        let open: Vec<String> = tasks
            .iter()
            .filter(|task| !task.state.is_terminal())
            .map(|task| format!("{} is {}", task.instance, task.state.as_str()))
            .collect();
        if run.state.is_terminal() && !open.is_empty() {
            rows.push(format!(
                "run {} is {}, but {}",
                run.id,
                run.state.as_str(),
                open.join(", ")
            ));
        }
        if run.state.is_terminal() != run.ended_at.is_some() {
            rows.push(format!(
                "run {} is {}, and ended at {:?}",
                run.id,
                run.state.as_str(),
                run.ended_at
            ));
        }
        let Some(flow) = walk_of(record, run.id).and_then(|walk| record.flow_of(walk)) else {
            continue;
        };
        let ended: BTreeSet<String> = tasks
            .iter()
            .filter(|task| task.state.is_terminal())
            .map(|task| task.instance.to_string())
            .collect();
        let missing: Vec<&str> = flow
            .steps
            .iter()
            .map(|step| step.name.as_str())
            .filter(|step| !ended.contains(&instance(flow, step)))
            .collect();
        // A tick that found no room has a run without steps.
        let is_passed_over = tasks.is_empty() && run.state != RunState::Success;
        match (run.state.is_terminal(), missing.is_empty()) {
            (true, false) if !is_passed_over => {
                rows.push(format!(
                    "run {} is {}, but never ended {missing:?}",
                    run.id,
                    run.state.as_str()
                ));
            }
            (false, true) => rows.push(format!(
                "run {} is {}, but all its steps ended",
                run.id,
                run.state.as_str()
            )),
            _ => {}
        }
    }
    rows
}

fn attempts_follow_each_other(record: &Record) -> Vec<String> {
    let mut rows = Vec::new();
    for (run, tasks) in &record.runs {
        let flow = walk_of(record, run.id).and_then(|walk| record.flow_of(walk));
        for task in tasks.iter().filter(|task| task.kind == TaskKind::Step) {
            let step = flow.and_then(|flow| flow.step(task.instance.to_string().rsplit_once('/')?.1));
            rows.extend(wrong_attempts(task).map(|why| format!("run {} {}: {why}", run.id, task.instance)));
            let count = |state| task.attempts.iter().filter(|attempt| attempt.state == state).count();
            let (failed, crashed) = (count(RunState::Failed), count(RunState::Crashed));
            if let Some(step) = step {
                let lost_at_most = if step.on_lost == OnLost::Fail {
                    1
                } else {
                    MAX_CRASHES as usize
                };
                if failed > step.retry.max as usize + 1 || crashed > lost_at_most {
                    rows.push(format!(
                        "run {} {}: {failed} attempts failed and {crashed} were lost",
                        run.id, task.instance
                    ));
                }
            }
        }
    }
    let mut numbers: BTreeMap<i64, u32> = BTreeMap::new();
    let mut before: BTreeMap<(i64, &str), u32> = BTreeMap::new();
    for (_, _, fact) in &record.facts {
        let Fact::StepsBegan(began) = fact else { continue };
        for step in &began.steps {
            let earlier = before.entry((began.run, &step.step)).or_default();
            let told = step.progress.failures + step.progress.crashes;
            if told != *earlier {
                rows.push(format!(
                    "run {} {}: attempt {} begins after {told} others, and {earlier} began",
                    began.run, step.step, step.attempt
                ));
            }
            *earlier += 1;
            if numbers.insert(step.attempt, *earlier).is_some() {
                rows.push(format!("attempt {} began twice", step.attempt));
            }
        }
    }
    for entry in &record.journal {
        match numbers.get(&entry.attempt) {
            Some(number) if *number == entry.number => {}
            Some(number) => rows.push(format!(
                "attempt {} of {} was told to be try {}, and is {number}",
                entry.attempt, entry.step, entry.number
            )),
            None => rows.push(format!(
                "attempt {} of {} ran, and was never claimed",
                entry.attempt, entry.step
            )),
        }
    }
    rows
}

/// What is wrong with the attempts of one step.
fn wrong_attempts(task: &TaskRun) -> impl Iterator<Item = String> + '_ {
    task.attempts.windows(2).filter_map(|pair| {
        let [before, after] = pair else { return None };
        let may = matches!(before.state, RunState::Failed | RunState::Crashed) && before.id < after.id;
        (!may).then(|| {
            format!(
                "attempt {} follows {}, which is {}",
                after.id,
                before.id,
                before.state.as_str()
            )
        })
    })
}

fn attempts_never_overlap(record: &Record) -> Vec<String> {
    let mut rows = Vec::new();
    for entry in record.journal.iter().filter(|entry| entry.moment == Moment::Overlap) {
        rows.push(format!(
            "run {} {}: attempt {} began while an earlier one lived",
            entry.run, entry.step, entry.attempt
        ));
    }
    let spans = spans(&record.journal);
    let mut by_attempt: BTreeMap<i64, Vec<&Span>> = BTreeMap::new();
    for span in &spans {
        by_attempt.entry(span.begun.attempt).or_default().push(span);
    }
    for (attempt, own) in &by_attempt {
        if own.len() > 1 {
            let pids: Vec<u32> = own.iter().map(|span| span.begun.pid).collect();
            rows.push(format!(
                "attempt {attempt} of {} ran in the processes {pids:?}",
                own[0].begun.step
            ));
        }
    }
    let mut by_step: BTreeMap<(i64, &str), Vec<&Span>> = BTreeMap::new();
    for span in &spans {
        by_step
            .entry((span.begun.run, &span.begun.step))
            .or_default()
            .push(span);
    }
    for ((run, step), mut own) in by_step {
        own.sort_by_key(|span| span.begun.at_ns);
        for pair in own.windows(2) {
            let [before, after] = pair else { continue };
            if before.ended_ns.is_some_and(|ended| ended > after.begun.at_ns) {
                let (one, other) = (before.begun.attempt, after.begun.attempt);
                rows.push(format!("run {run} {step}: attempts {one} and {other} ran at once"));
            }
        }
    }
    // Steps that keep the journal are those that ever wrote into it.
    let keeps: BTreeSet<&str> = record.journal.iter().map(|entry| entry.step.as_str()).collect();
    for (run, tasks) in &record.runs {
        let Some(walk) = walk_of(record, run.id) else { continue };
        for task in tasks {
            let name = task.instance.to_string();
            let step = name.rsplit_once('/').map_or("", |(_, step)| step);
            if !keeps.contains(format!("{}.{step}", walk.flow).as_str()) {
                continue;
            }
            for attempt in task
                .attempts
                .iter()
                .filter(|attempt| attempt.state == RunState::Success)
            {
                let ran = by_attempt.get(&attempt.id);
                if !ran.is_some_and(|own| own.iter().any(|span| span.ended_ns.is_some())) {
                    rows.push(format!(
                        "run {} {name}: attempt {} succeeded without having run to its end",
                        run.id, attempt.id
                    ));
                }
            }
        }
    }
    rows
}

fn needs_come_first(record: &Record) -> Vec<String> {
    let mut rows = Vec::new();
    let mut ended: BTreeSet<(i64, &str)> = BTreeSet::new();
    for (seq, _, fact) in &record.facts {
        match fact {
            Fact::StepsEnded(steps) => {
                let over = steps
                    .steps
                    .iter()
                    .filter(|step| matches!(step.progress.stage, Stage::Ended { .. }));
                ended.extend(over.map(|step| (steps.run, step.step.as_str())));
            }
            Fact::StepsBegan(began) => {
                let Some(flow) = walk_of(record, began.run).and_then(|walk| record.flow_of(walk)) else {
                    continue;
                };
                for step in began.steps.iter().filter_map(|begun| flow.step(&begun.step)) {
                    let early = flow
                        .waits_for(step)
                        .filter(|need| !ended.contains(&(began.run, need.name.as_str())));
                    rows.extend(early.map(|need| {
                        format!(
                            "fact {seq}: run {} {} began before {} had ended",
                            began.run, step.name, need.name
                        )
                    }));
                }
            }
            _ => {}
        }
    }
    let spans = spans(&record.journal);
    for span in &spans {
        let Some(flow) = walk_of(record, span.begun.run).and_then(|walk| record.flow_of(walk)) else {
            continue;
        };
        let Some(step) = flow.step(span.begun.name()) else {
            continue;
        };
        let needs: BTreeSet<&str> = flow.waits_for(step).map(|need| need.name.as_str()).collect();
        let late = spans.iter().filter(|other| {
            other.begun.run == span.begun.run
                && needs.contains(other.begun.name())
                && other.ended_ns.is_some_and(|ended| ended > span.begun.at_ns)
        });
        rows.extend(late.map(|other| {
            format!(
                "run {}: {} ran before {} had ended",
                span.begun.run, span.begun.step, other.begun.step
            )
        }));
    }
    rows
}

fn facts_say_all(record: &Record) -> Vec<String> {
    let (derived, rebuilt): (BTreeSet<&String>, BTreeSet<&String>) =
        (record.derived.iter().collect(), record.rebuilt.iter().collect());
    let gone = derived
        .difference(&rebuilt)
        .map(|row| format!("only in the ledger: {row}"));
    let new = rebuilt
        .difference(&derived)
        .map(|row| format!("only by the facts: {row}"));
    gone.chain(new).collect()
}

fn tables_are_right(record: &Record) -> Vec<String> {
    record.tables.iter().flat_map(wrong_rows).collect()
}

fn wrong_rows(table: &Table) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &table.found {
        *counts.entry(row).or_default() += 1;
    }
    let mut rows = Vec::new();
    for row in &table.expected {
        if !counts.contains_key(row.as_str()) {
            rows.push(format!("{} does not hold `{row}`", table.name));
        }
    }
    for (row, count) in counts {
        let may = table.expected.iter().chain(&table.allowed).any(|known| known == row);
        if !may {
            rows.push(format!("{} holds `{row}`, which nothing says", table.name));
        } else if count > 1 {
            rows.push(format!("{} holds `{row}` {count} times", table.name));
        }
    }
    rows
}

fn nobody_is_left(record: &Record) -> Vec<String> {
    let left = record.left.iter();
    left.map(|process| format!("process {} ({}): {}", process.pid, process.state, process.words))
        .collect()
}

fn ledger_is_whole(record: &Record) -> Vec<String> {
    record.damage.clone()
}

fn all_moves(record: &Record) -> Vec<String> {
    let mut rows = record.stuck.clone();
    let open = record.runs.iter().filter(|(run, _)| !run.state.is_terminal());
    rows.extend(open.map(|(run, _)| format!("run {} ({}) is still {}", run.id, run.selector, run.state.as_str())));
    rows
}

/// One process of a task, from its first line to its last.
struct Span<'a> {
    begun: &'a Entry,
    /// When it ended; nothing where it was ended.
    ended_ns: Option<i64>,
}

fn spans(journal: &[Entry]) -> Vec<Span<'_>> {
    let ends: BTreeMap<(i64, u32), i64> = journal
        .iter()
        .filter(|entry| entry.moment == Moment::End)
        .map(|entry| ((entry.attempt, entry.pid), entry.at_ns))
        .collect();
    let begun = journal.iter().filter(|entry| entry.moment == Moment::Begin);
    begun
        .map(|entry| Span {
            begun: entry,
            ended_ns: ends.get(&(entry.attempt, entry.pid)).copied(),
        })
        .collect()
}

fn walk_of(record: &Record, run: i64) -> Option<&Walk> {
    record.walks.iter().find(|walk| walk.run == run)
}

fn instance(flow: &Flow, step: &str) -> String {
    format!("{}/{step}", flow.instance())
}

#[cfg(test)]
mod tests;
