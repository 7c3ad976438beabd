//! The events of a run, as they follow from its facts: the same whenever they are read.

use std::collections::BTreeMap;

use mulgil_core::{
    flow::name,
    interval::{Instant, Interval},
    name::Instance,
    run::{RunState, TaskKind},
};
use mulgil_server::{Event, Happened, RunEnd};
use mulgil_store::fact::{Fact, StepEnded};

/// What one event says of an attempt that began.
#[derive(Clone)]
struct Began {
    instance: Instance,
    range: Interval,
    kind: TaskKind,
}

/// The events of a run; `ended` is how it ended, where it has.
pub(crate) fn of(facts: &[(i64, Instant, Fact)], ended: Option<(Instant, RunState)>) -> Vec<Event> {
    let mut began: BTreeMap<i64, Began> = BTreeMap::new();
    let mut told: Vec<(Instant, Happened)> = Vec::new();
    let mut end = RunEnd {
        state: RunState::Success,
        exit: 0,
        intervals: 0,
        rows: 0,
        tests_passed: 0,
        tests_failed: 0,
        stopped: None,
    };
    for (_, at, fact) in facts {
        for what in happened(fact, &mut began, &mut end) {
            told.push((*at, what));
        }
    }
    if let Some((at, state)) = ended {
        end.state = state;
        end.exit = u8::from(!matches!(state, RunState::Success | RunState::Skipped));
        told.push((at, Happened::Ended(end)));
    }
    let numbered = told.into_iter().zip(1..);
    numbered.map(|((at, what), seq)| Event { seq, at, what }).collect()
}

fn happened(fact: &Fact, began: &mut BTreeMap<i64, Began>, end: &mut RunEnd) -> Vec<Happened> {
    match fact {
        Fact::Claimed(claimed) => {
            let known = Began {
                instance: claimed.instance.clone(),
                range: claimed.range,
                kind: claimed.kind,
            };
            vec![start(claimed.attempt, known, began)]
        }
        Fact::StepsBegan(steps) => {
            let of = |step: &str| Instance::of(name::told_step(&steps.flow, step).as_str().into());
            let begins = steps.steps.iter().map(|step| {
                let known = Began {
                    instance: of(&step.step),
                    range: steps.interval,
                    kind: TaskKind::Step,
                };
                start(step.attempt, known, began)
            });
            begins.collect()
        }
        Fact::Filled(filled) => {
            let rows: u64 = filled.rows();
            end.intervals += filled.intervals.len() as u64;
            end.rows += rows;
            finish(filled.attempt, filled.intervals.len() as u64, rows, began)
        }
        Fact::Tested(tested) => {
            let failed = tested.results.iter().filter(|result| result.failures > 0).count() as u64;
            end.tests_failed += failed;
            end.tests_passed += tested.results.len() as u64 - failed;
            finish(tested.attempt, tested.results.len() as u64, 0, began)
        }
        Fact::Failed(failed) => match (began.get(&failed.attempt), &failed.fault) {
            (Some(known), Some(fault)) => vec![Happened::Failed {
                attempt: failed.attempt,
                instance: known.instance.clone(),
                range: failed.range,
                kind: known.kind,
                fault: fault.clone(),
            }],
            _ => Vec::new(),
        },
        Fact::StepsEnded(steps) => steps
            .steps
            .iter()
            .flat_map(|step| step_ended(step, began, end))
            .collect(),
        Fact::FlowCancelled { by, .. } => vec![Happened::Said {
            text: format!("cancelled by {by}"),
        }],
        Fact::FlowReopened(reopened) => vec![Happened::Said {
            text: format!("begun again by {}", reopened.by),
        }],
        Fact::RunBegan(_)
        | Fact::RunEnded { .. }
        | Fact::FlowBegan(_)
        | Fact::FlowDefined(_)
        | Fact::FlowEnded(_)
        | Fact::SourceChanged(_)
        | Fact::Published(_)
        | Fact::RolledBack(_)
        | Fact::TargetChanged(_)
        | Fact::TargetVanished(_)
        | Fact::Dropped(_)
        | Fact::SequenceRaised { .. }
        | Fact::Crashed { .. }
        | Fact::Waived { .. }
        | Fact::BackfillMade(_)
        | Fact::BackfillAsked(_)
        | Fact::BackfillPaused(_)
        | Fact::BackfillResumed { .. }
        | Fact::BackfillCancelled(_)
        | Fact::Ticked(_) => Vec::new(),
    }
}

fn start(attempt: i64, known: Began, began: &mut BTreeMap<i64, Began>) -> Happened {
    began.insert(attempt, known.clone());
    Happened::Started {
        attempt,
        instance: known.instance,
        range: known.range,
        kind: known.kind,
    }
}

fn finish(attempt: i64, done: u64, rows: u64, began: &BTreeMap<i64, Began>) -> Vec<Happened> {
    let finished = began.get(&attempt).map(|known| Happened::Finished {
        attempt,
        instance: known.instance.clone(),
        range: known.range,
        kind: known.kind,
        done,
        rows,
    });
    finished.into_iter().collect()
}

fn step_ended(step: &StepEnded, began: &BTreeMap<i64, Began>, end: &mut RunEnd) -> Vec<Happened> {
    let Some(attempt) = step.attempt else {
        return vec![Happened::Said {
            text: format!("{}: {}", step.step, step.state.as_str()),
        }];
    };
    let rows = step.rows.unwrap_or(0);
    end.rows += rows;
    match (&step.fault, began.get(&attempt)) {
        (Some(fault), Some(known)) => vec![Happened::Failed {
            attempt,
            instance: known.instance.clone(),
            range: known.range,
            kind: known.kind,
            fault: fault.clone(),
        }],
        _ => finish(attempt, 1, rows, began),
    }
}
