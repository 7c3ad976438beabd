//! What happened in a run, as its facts tell it. Pure.

use std::collections::BTreeMap;

use mulgil_core::{interval::Instant, name::Instance, run::RunState};
use mulgil_store::fact::{Fact, Failed, StepEnded};
use mulgil_web::view::{Link, run::Event};

use super::names::{attempt_href, table_link};
use crate::say;

/// Steps of one fact that are told one by one; a flow may begin ten thousand at once.
const STEPS_TOLD: usize = 50;

/// Facts as events, in their order.
pub(super) fn events(facts: &[(i64, Instant, Fact)]) -> Vec<Event> {
    let mut events = Vec::new();
    let mut begun = Begun::default();
    for (seq, at, fact) in facts {
        let told = told(fact, &mut begun);
        events.extend(told.into_iter().map(|(subject, detail)| Event {
            seq: *seq,
            at: *at,
            kind: fact.kind().to_owned(),
            subject,
            detail,
        }));
    }
    events
}

/// What attempts began among these facts.
#[derive(Default)]
struct Begun {
    /// The pages of those of steps.
    pages: BTreeMap<i64, String>,
    /// The tables of those that fill.
    tables: BTreeMap<i64, Instance>,
}

type What = (Option<Link>, String);

fn told(fact: &Fact, begun: &mut Begun) -> Vec<What> {
    let table = |instance: &Instance| Some(table_link(instance));
    match fact {
        Fact::RunBegan(began) => vec![(None, began.selector.clone())],
        Fact::RunEnded { state, .. } => vec![(None, state.as_str().to_owned())],
        Fact::Claimed(claimed) => {
            begun.tables.insert(claimed.attempt, claimed.instance.clone());
            vec![(table(&claimed.instance), format!("attempt {}", claimed.attempt))]
        }
        Fact::Filled(filled) => vec![(
            table(&filled.instance),
            format!(
                "{}, {}",
                say::count(filled.intervals.len() as u64, "interval"),
                say::count(filled.rows(), "row")
            ),
        )],
        Fact::Failed(failed) => vec![(table(&failed.instance), why(failed))],
        Fact::Tested(tested) => {
            let broken = tested.results.iter().filter(|result| result.failures > 0).count();
            let all = say::count(tested.results.len() as u64, "test");
            let subject = begun.tables.get(&tested.attempt).and_then(table);
            vec![(
                subject,
                match broken {
                    0 => format!("{all} passed"),
                    broken => format!("{broken} of {all} failed"),
                },
            )]
        }
        Fact::FlowBegan(began) => {
            let params: Vec<String> = began
                .params
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            vec![(None, params.join(", "))]
        }
        Fact::StepsBegan(began) => capped(
            began.steps.len(),
            began.steps.iter().map(|step| {
                let number = step.progress.next_attempt();
                let href = attempt_href(began.run, step.task_run, number);
                begun.pages.insert(step.attempt, href.clone());
                (link(&step.step, Some(href)), format!("attempt {number}"))
            }),
        ),
        Fact::StepsEnded(ended) => capped(
            ended.steps.len(),
            ended.steps.iter().map(|step| {
                let href = step.attempt.and_then(|attempt| begun.pages.get(&attempt).cloned());
                (link(&step.step, href), how(step))
            }),
        ),
        Fact::FlowCancelled { by, .. } => vec![(None, by.clone())],
        Fact::FlowEnded(ended) => vec![(None, ended.state.as_str().to_owned())],
        Fact::FlowReopened(reopened) => vec![(None, format!("{}: {} steps", reopened.by, reopened.steps.len()))],
        // None of these tells of one run.
        Fact::SourceChanged(_)
        | Fact::Published(_)
        | Fact::RolledBack(_)
        | Fact::TargetChanged(_)
        | Fact::TargetVanished(_)
        | Fact::Dropped(_)
        | Fact::SequenceRaised { .. }
        | Fact::Crashed { .. }
        | Fact::Waived { .. }
        | Fact::Ticked(_)
        | Fact::FlowDefined(_)
        | Fact::BackfillMade(_)
        | Fact::BackfillAsked(_)
        | Fact::BackfillPaused(_)
        | Fact::BackfillResumed { .. }
        | Fact::BackfillCancelled(_) => vec![(None, String::new())],
    }
}

fn link(text: &str, href: Option<String>) -> Option<Link> {
    Some(Link {
        text: text.to_owned(),
        href,
    })
}

/// The first of many, and how many more there are.
fn capped(count: usize, each: impl Iterator<Item = What>) -> Vec<What> {
    let mut told: Vec<What> = each.take(STEPS_TOLD).collect();
    if count > STEPS_TOLD {
        told.push((None, format!("+ {}", count - STEPS_TOLD)));
    }
    told
}

fn how(step: &StepEnded) -> String {
    let mut text = step.state.as_str().to_owned();
    if let Some(rows) = step.rows.filter(|_| step.state == RunState::Success) {
        text.push_str(&format!(", {rows} rows"));
    }
    if let Some(fault) = &step.fault {
        text.push_str(&format!(": {} {}", fault.code, fault.message));
    }
    text
}

fn why(failed: &Failed) -> String {
    match &failed.fault {
        Some(fault) => format!("{} {}", fault.code, fault.message),
        None => RunState::Cancelled.as_str().to_owned(),
    }
}
