//! Limits: over the facts, as the ledger gave slots away, and over the journal, as tasks really ran.

use std::collections::{BTreeMap, BTreeSet};

use mulgil_core::run::Trigger;
use mulgil_store::fact::Fact;

use super::{Span, spans, walk_of};
use crate::chaos::scheduler::record::Record;

pub(super) fn are_kept(record: &Record) -> Vec<String> {
    let mut rows = Vec::new();
    let mut live: BTreeMap<i64, (String, Option<String>)> = BTreeMap::new();
    let mut active: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
    for (seq, _, fact) in &record.facts {
        match fact {
            Fact::FlowBegan(began) if began.trigger == Trigger::Schedule => {
                let own = active.entry(&began.flow).or_default();
                own.insert(began.run);
                let most = record
                    .flows
                    .get(&began.version)
                    .map_or(u32::MAX, |flow| flow.max_active);
                if own.len() > most as usize {
                    rows.push(format!(
                        "fact {seq}: {} has the active runs {own:?}, and {most} may be",
                        began.flow
                    ));
                }
            }
            Fact::FlowEnded(ended) => {
                for own in active.values_mut() {
                    own.remove(&ended.run);
                }
            }
            Fact::StepsBegan(began) => {
                let flow = walk_of(record, began.run).and_then(|walk| record.flow_of(walk));
                for step in &began.steps {
                    let pool = flow
                        .and_then(|flow| flow.step(&step.step))
                        .and_then(|step| step.pool.clone());
                    live.insert(step.attempt, (format!("run {} {}", began.run, step.step), pool));
                }
                if live.len() > record.slots {
                    rows.push(format!(
                        "fact {seq}: {} steps are live on {} slots",
                        live.len(),
                        record.slots
                    ));
                }
                rows.extend(
                    crowded(live.values().map(|(name, pool)| (name.as_str(), pool.as_deref())))
                        .map(|(pool, names)| format!("fact {seq}: the pool {pool} holds {}", names.join(" and "))),
                );
            }
            Fact::StepsEnded(ended) => {
                for attempt in ended.steps.iter().filter_map(|step| step.attempt) {
                    live.remove(&attempt);
                }
            }
            _ => {}
        }
    }
    // The same, as it really ran.
    let spans = spans(&record.journal);
    for span in &spans {
        let at = span.begun.at_ns;
        let running: Vec<&Span> = spans
            .iter()
            .filter(|other| other.begun.at_ns <= at && other.ended_ns.is_some_and(|ended| ended > at))
            .collect();
        if running.len() > record.slots {
            rows.push(format!("{} tasks ran at once on {} slots", running.len(), record.slots));
        }
        let pools = running.iter().map(|span| {
            let flow = walk_of(record, span.begun.run).and_then(|walk| record.flow_of(walk));
            let step = flow.and_then(|flow| flow.step(span.begun.name()));
            (span.begun.step.as_str(), step.and_then(|step| step.pool.as_deref()))
        });
        rows.extend(
            crowded(pools).map(|(pool, names)| format!("in the pool {pool} {} ran at once", names.join(" and "))),
        );
    }
    rows
}

/// The pools that more than one are in: a pool of which nobody says how many it has takes one.
fn crowded<'a>(
    live: impl Iterator<Item = (&'a str, Option<&'a str>)>,
) -> impl Iterator<Item = (&'a str, Vec<&'a str>)> {
    let mut pools: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, pool) in live {
        if let Some(pool) = pool {
            pools.entry(pool).or_default().push(name);
        }
    }
    pools.into_iter().filter(|(_, names)| names.len() > 1)
}
