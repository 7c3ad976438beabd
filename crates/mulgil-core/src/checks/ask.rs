//! The questions, asked: each by the function that the decision itself is made with.

use super::{Check, Context};
use crate::{
    decide::{self, Limits, Scope},
    due::{self, Reason},
    flow::Flow,
    grid::{Cut, Grid},
    interval::{Instant, Interval, RangeMap, RangeSet},
    name::Instance,
    plan::{Forecast, Terms, ready_of},
    project::{Input, Node, Upstream},
    schedule::Schedule,
    state::{Cause, Failing, NodeState},
    why::{self, InputWhy},
};

/// What the scheduler asks of a range of an instance, in its order. The range lies on the node's grid. Nothing of
/// an instance that the project does not have.
pub fn checks(forecast: &Forecast<'_>, instance: &Instance, range: Interval, context: &Context) -> Vec<Check> {
    let (Some(node), Some(terms)) = (forecast.node(&instance.node), forecast.terms(instance)) else {
        return Vec::new();
    };
    let none = NodeState::default();
    let state = forecast.state.nodes.get(instance).unwrap_or(&none);
    let now = forecast.now;
    let mut checks = vec![named(&node.grid, range), wanted(node, &terms.wanted, state, range, now)];
    checks.extend(tick(context));
    checks.extend(waived(state, range));
    checks.extend(made(&terms.filled, &terms.stale, range, context));
    checks.extend(in_flight(
        state.live.within(range).map(|(part, live)| (part, Some(live.attempt))),
        context,
    ));
    for input in &node.inputs {
        checks.extend(inputs(forecast, node, instance, input, range));
    }
    checks.extend(failing(node, state, range));
    checks.extend(tested(forecast, node, state, range));
    checks.extend(table_taken(forecast, node, terms, range));
    checks.extend(slots(context));
    checks.extend(server(context));
    checks
}

/// The same of an interval of a flow. `active` is what its runs are busy with.
pub fn flow_checks(
    flow: &Flow,
    state: &NodeState,
    active: &RangeSet,
    range: Interval,
    now: Instant,
    context: &Context,
) -> Vec<Check> {
    let node = flow.as_node();
    let wanted_of_it = flow.wanted(state, now);
    let stale = due::stale(&node, state, &wanted_of_it, false, now);
    let filled = state.filled.keys();
    let busy = active.within(range);
    let busy = busy.iter().map(|part| (part, None)).collect::<Vec<_>>();
    let mut checks = vec![
        named(&flow.grid, range),
        wanted(&node, &wanted_of_it, state, range, now),
    ];
    checks.extend(tick(context));
    checks.extend(waived(state, range));
    checks.extend(made(&filled, &stale, range, context));
    checks.extend(in_flight(busy.into_iter(), context));
    // What a person asks for is run whatever failed before.
    if !asked(&node, state, now).covers(range) {
        checks.extend(failing(&node, state, range));
    }
    checks.push(Check::Room {
        of: "max_active".to_owned(),
        used: context.active_runs,
        limit: u64::from(flow.max_active),
    });
    checks.extend(slots(context));
    checks.extend(server(context));
    checks
}

fn named(grid: &Grid, range: Interval) -> Check {
    Check::Named {
        unit: match &grid.cut {
            Cut::Whole => "whole".to_owned(),
            Cut::Unit(unit) => unit.as_str().to_owned(),
            Cut::Cron(cron) => cron.as_str().to_owned(),
        },
        begin: grid.begin,
        end: grid.end,
        is_named: !grid.is_cut() || grid.extent().contains(range),
    }
}

fn wanted(node: &Node, wanted: &RangeSet, state: &NodeState, range: Interval, now: Instant) -> Check {
    let is_over = range.end <= now;
    let asked = asked(node, state, now).union(wanted).union(&state.waived);
    let schedule = node.schedule.as_ref();
    let by_clock = (!is_over && node.grid.is_cut() && schedule.is_none()).then_some(range.end);
    Check::Wanted {
        schedule: schedule.map(Schedule::to_string),
        last_tick: schedule.and_then(|schedule| schedule.last_tick(now)),
        next_tick: schedule.map_or(by_clock, |schedule| schedule.next_tick(now)),
        is_wanted: asked.covers(range),
    }
}

/// What a person asked for.
fn asked(node: &Node, state: &NodeState, now: Instant) -> RangeSet {
    let of = |cause: &Cause| state.dirty.get(cause).cloned().unwrap_or_default();
    let asked = of(&Cause::Manual).union(&of(&Cause::Again));
    asked.intersect(&due::nameable(node, now))
}

fn tick(context: &Context) -> Option<Check> {
    context.tick.map(|(tick, run)| Check::Tick {
        scheduled_at: tick.scheduled_at,
        fate: tick.fate,
        run,
    })
}

fn waived(state: &NodeState, range: Interval) -> Option<Check> {
    let ranges = state.waived.within(range).subtract(&state.filled.keys());
    (!ranges.is_empty()).then_some(Check::Waived { ranges })
}

/// Whether it is filled, and still right.
fn made(filled: &RangeSet, stale: &RangeMap<Reason>, range: Interval, context: &Context) -> [Check; 2] {
    let (at, rows) = context.fill.map_or((None, None), |(at, rows)| (Some(at), rows));
    let filled = Check::Filled {
        filled: filled.within(range),
        missing: RangeSet::from(range).subtract(filled),
        at,
        rows,
    };
    let stale = stale.within(range).map(|(part, reason)| (part, reason.clone()));
    [filled, Check::Right { stale: stale.collect() }]
}

fn in_flight(live: impl Iterator<Item = (Interval, Option<i64>)>, context: &Context) -> Option<Check> {
    let live: Vec<_> = live.collect();
    let attempt = live.first()?.1;
    Some(Check::InFlight {
        ranges: live.into_iter().map(|(range, _)| range).collect(),
        attempt,
        run: context.run,
    })
}

/// What is read of one input, and whether that is there: as the forecast and the decision ask it.
fn inputs(forecast: &Forecast<'_>, node: &Node, instance: &Instance, input: &Input, range: Interval) -> Vec<Check> {
    let whole = RangeSet::from(range);
    let limits = Limits::new(usize::MAX, Scope::All, Instant::MAX);
    let is_ready = decide::ready_now(forecast, &limits, node, instance, input, whole.clone()).covers(range)
        && forecast.ready(node, instance, input, &whole).covers(range);
    let told = why::input(forecast, node, instance, input, range);
    let mut checks: Vec<Check> = told
        .into_iter()
        .map(|told| evidence(forecast, node, input, range, told))
        .collect();
    let is_told = checks.iter().any(|check| check.says(forecast.now).keeps());
    if is_ready && is_told {
        checks.iter_mut().for_each(clear);
    }
    if !is_ready
        && !is_told
        && let Some(Check::Input { absent, needs, .. }) = checks.first_mut()
    {
        *absent = RangeSet::from(needs.unwrap_or(Interval::WHOLE));
    }
    checks
}

/// What keeps one thing that is read from being there.
fn evidence(forecast: &Forecast<'_>, node: &Node, input: &Input, range: Interval, told: InputWhy) -> Check {
    let InputWhy {
        from,
        is_source,
        needs,
        mut absent,
        mut due,
        gone,
    } = told;
    let over = needs.unwrap_or(Interval::WHOLE);
    let mut waits_for_tests = false;
    match &input.from {
        Upstream::Source(name) => {
            let source = forecast.project.source(name);
            let there = forecast.state.sources.get(name).map(|state| state.available.clone());
            let ready = source.map(|source| {
                ready_of(
                    node,
                    input,
                    &source.grid,
                    &there.unwrap_or_default(),
                    &RangeSet::from(range),
                )
            });
            if !ready.is_some_and(|ready| ready.covers(range)) && absent.is_empty() {
                absent = RangeSet::from(over);
            }
        }
        Upstream::Node(name) => {
            if let (Some(upstream), Some(terms)) = (forecast.node(name), forecast.terms(&from)) {
                let withheld = terms.held.subtract(&terms.rolled_back.keys()).within(over);
                absent = absent.union(&withheld);
                if needs.is_none() && terms.readable.is_empty() {
                    absent = RangeSet::whole();
                }
                due = due.union(&terms.in_flight.within(over)).subtract(&absent);
                waits_for_tests = (input.takes_all(&node.grid) && forecast.waits_for_tests(upstream))
                    || (input.is_read_as_it_stands(&node.grid) && has_tests_to_come(forecast, upstream));
            }
        }
    }
    Check::Input {
        from,
        is_source,
        needs,
        absent,
        due,
        gone,
        waits_for_tests,
    }
}

/// Nothing of it keeps the reader.
fn clear(check: &mut Check) {
    if let Check::Input {
        absent,
        due,
        waits_for_tests,
        ..
    } = check
    {
        (*absent, *due, *waits_for_tests) = (RangeSet::new(), RangeSet::new(), false);
    }
}

fn has_tests_to_come(forecast: &Forecast<'_>, upstream: &Node) -> bool {
    let limits = Limits::new(usize::MAX, Scope::All, Instant::MAX);
    decide::has_tests_to_come(forecast, &limits, upstream)
}

fn failing(node: &Node, state: &NodeState, range: Interval) -> Vec<Check> {
    let told = |(range, failing): (Interval, &Failing)| match failing.rolled_back_to {
        Some(to) if due::is_held(node, failing) => Some(Check::RolledBack { range, to }),
        Some(_) => None,
        None => {
            // Another definition is tried as if nothing had failed.
            let now = if failing.code_fp == node.fingerprint {
                *failing
            } else {
                failing.released()?
            };
            Some(Check::Failing {
                range,
                code: now.code,
                count: now.equal_count,
                failed_at: now.failed_at,
                next_try_at: now.next_try_at,
                retry: now.retry,
                is_held: due::is_held(node, failing),
            })
        }
    };
    state.failing.within(range).filter_map(told).collect()
}

/// Nothing where there are no rows to test, or nobody has tested any.
fn tested(forecast: &Forecast<'_>, node: &Node, state: &NodeState, range: Interval) -> Option<Check> {
    if node.tests.is_empty() || !state.filled.keys().overlaps(range) {
        return None;
    }
    let none = NodeState::default();
    let results = forecast
        .state
        .nodes
        .get(&Instance::of(node.name.clone()))
        .unwrap_or(&none);
    let failed = due::failed_tests(node, results);
    let untested = if due::has_blocking_tests(node) {
        state.untested.within(range)
    } else {
        RangeSet::new()
    };
    let is_known = node.tests.iter().any(|test| results.tests.contains_key(&test.name));
    if !is_known && untested.is_empty() {
        return None;
    }
    Some(Check::Tested {
        failed: failed.into_iter().map(|test| test.name.clone()).collect(),
        untested,
    })
}

/// One attempt writes a table at a time, whatever it writes there.
fn table_taken(forecast: &Forecast<'_>, node: &Node, terms: &Terms, range: Interval) -> Option<Check> {
    let is_busy = decide::busy_relations(forecast).contains(&node.relation);
    (is_busy && !terms.in_flight.overlaps(range)).then(|| Check::Room {
        of: node.relation.to_string(),
        used: 1,
        limit: 1,
    })
}

fn slots(context: &Context) -> Option<Check> {
    context.slots.map(|(used, limit)| Check::Room {
        of: "slots".to_owned(),
        used,
        limit,
    })
}

fn server(context: &Context) -> Option<Check> {
    context.heartbeat.map(|heartbeat_at| Check::Server { heartbeat_at })
}
