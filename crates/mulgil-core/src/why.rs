//! How each interval stands, and why: the same predicates as the plan's, for one instance.

use serde::{Deserialize, Serialize};

use crate::{
    due::{self, Reason},
    interval::{Interval, RangeMap, RangeSet},
    mapping::Mapping,
    name::{Instance, NodeName},
    plan::Forecast,
    project::{CodeFp, Input, Node, Upstream},
    state::{Failing, NodeState},
};

/// How an interval stands. Where several hold, the first in this order is shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "status")]
pub enum Status {
    /// Being filled.
    Running,
    /// Failed too often in the same way, or its table went back to an earlier version; held until
    /// something changes or a person names it.
    Held {
        /// The version to which the table went back, where that holds it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rolled_back_to: Option<i64>,
    },
    /// The last try failed.
    Failed,
    /// Due, but something that it reads is not there.
    Waiting {
        /// What is not there.
        on: NodeName,
    },
    /// Wanted and never filled.
    Missing,
    /// Filled, and no longer right.
    Stale {
        /// Why.
        reason: Reason,
    },
    /// Filled; its data tests have not passed, so nobody reads it yet.
    Untested,
    /// Filled, and its time to settle is not over.
    Provisional,
    /// Filled and right.
    Fresh,
    /// Filled, right, and settled.
    Sealed,
    /// Given up, with a name and a reason.
    Waived,
    /// Outside what is wanted.
    NotExpected,
}

impl Status {
    /// The word for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Held { .. } => "held",
            Self::Failed => "failed",
            Self::Waiting { .. } => "waiting",
            Self::Missing => "missing",
            Self::Stale { .. } => "stale",
            Self::Untested => "untested",
            Self::Provisional => "provisional",
            Self::Fresh => "fresh",
            Self::Sealed => "sealed",
            Self::Waived => "waived",
            Self::NotExpected => "not expected",
        }
    }
}

/// Why one range of one instance stands as it does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// Whose.
    pub instance: Instance,
    /// Which.
    pub range: Interval,
    /// How it stands, part by part.
    pub status: Vec<(Interval, Status)>,
    /// What a run would do in it, part by part; `true`: only if an upstream's rows change.
    pub due: Vec<(Interval, Reason, bool)>,
    /// What the parts that are filled were made with.
    pub filled: Vec<(Interval, CodeFp)>,
    /// What they would be made with today.
    pub fingerprint: CodeFp,
    /// What it reads, and whether that is there.
    pub inputs: Vec<InputWhy>,
    /// Failures since it was last filled.
    pub failing: Vec<(Interval, Failing)>,
}

/// One input of a range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputWhy {
    /// What is read.
    pub from: Instance,
    /// Whether it is a source.
    pub is_source: bool,
    /// Which time of it; absent where it is read as it stands, or nothing is needed.
    pub needs: Option<Interval>,
    /// What of that is not there.
    pub absent: RangeSet,
    /// What of that is due again.
    pub due: RangeSet,
    /// What of that had files once and has none now.
    pub gone: RangeSet,
}

/// How every interval of an instance stands, over its wanted time and all that it has facts for.
pub fn statuses(forecast: &Forecast<'_>, instance: &Instance) -> RangeMap<Status> {
    let mut out = RangeMap::new();
    let (Some(node), Some(terms)) = (forecast.node(&instance.node), forecast.terms(instance)) else {
        return out;
    };
    let none = NodeState::default();
    let state = forecast.state.nodes.get(instance).unwrap_or(&none);
    let mut mark = |set: &RangeSet, status: Status| set.iter().for_each(|range| out.insert(range, status.clone()));

    // From the weakest to the strongest: a later one replaces an earlier one.
    let settled = node.grid.is_cut() && node.settle_us > 0;
    mark(&terms.filled, if settled { Status::Sealed } else { Status::Fresh });
    mark(&due::provisional(node, state, forecast.now), Status::Provisional);
    mark(&state.waived, Status::Waived);
    if due::has_blocking_tests(node) {
        mark(&state.untested.intersect(&terms.filled), Status::Untested);
    }
    for (source, ranges) in gone(forecast, node) {
        let reason = Reason::Source { source };
        mark(&ranges.intersect(&terms.filled), Status::Stale { reason });
    }
    for (range, reason) in terms.stale.iter() {
        mark(&range.into(), Status::Stale { reason: reason.clone() });
    }
    mark(&terms.wanted.subtract(&terms.filled), Status::Missing);
    for (on, ranges) in &terms.waiting {
        mark(&ranges.subtract(&terms.filled), Status::Waiting { on: on.clone() });
    }
    mark(
        &state
            .failing
            .keys_where(|failing| failing.rolled_back_to.is_none() && failing.code_fp == node.fingerprint),
        Status::Failed,
    );
    let failed = |failing: &Failing| failing.rolled_back_to.is_none() && due::is_held(node, failing);
    mark(&state.failing.keys_where(failed), Status::Held { rolled_back_to: None });
    for (range, to) in terms.rolled_back.iter() {
        // What nobody wants yet is held too, and not worth a word.
        let told = RangeSet::from(range).intersect(&terms.wanted.union(&terms.filled));
        let status = Status::Held {
            rolled_back_to: Some(*to),
        };
        mark(&told, status);
    }
    mark(&terms.in_flight, Status::Running);
    out
}

/// The intervals of a node whose source's files were there once and are gone, by source. They are
/// stale and not due: there is nothing to fill them with, so their rows stay.
fn gone(forecast: &Forecast<'_>, node: &Node) -> Vec<(NodeName, RangeSet)> {
    let sources = node.inputs.iter().filter_map(|input| match &input.from {
        Upstream::Source(name) => Some((input, name)),
        Upstream::Node(_) => None,
    });
    sources
        .filter_map(|(input, name)| {
            let source = forecast.project.source(name)?;
            let gone = &forecast.state.sources.get(name)?.gone;
            let touched = gone
                .iter()
                .filter_map(|range| input.mapping.touches(&node.grid, &source.grid, range));
            Some((name.clone(), touched.collect()))
        })
        .collect()
}

/// Why a range of an instance stands as it does. The range lies on the node's grid.
pub fn why(forecast: &Forecast<'_>, instance: &Instance, range: Interval) -> Option<Why> {
    let node = forecast.node(&instance.node)?;
    let terms = forecast.terms(instance)?;
    let none = NodeState::default();
    let state = forecast.state.nodes.get(instance).unwrap_or(&none);
    let known = statuses(forecast, instance);
    let mut status: Vec<(Interval, Status)> = known
        .within(range)
        .map(|(part, status)| (part, status.clone()))
        .collect();
    let unexpected = RangeSet::from(range).subtract(&known.keys());
    status.extend(unexpected.iter().map(|part| (part, Status::NotExpected)));
    status.sort_by_key(|(part, _)| part.start);
    Some(Why {
        instance: instance.clone(),
        range,
        status,
        due: terms
            .due
            .within(range)
            .map(|(part, (reason, maybe))| (part, reason.clone(), *maybe))
            .collect(),
        filled: state.filled.within(range).map(|(part, fp)| (part, *fp)).collect(),
        fingerprint: node.fingerprint,
        inputs: inputs(forecast, node, instance, range),
        failing: state
            .failing
            .within(range)
            .map(|(part, failing)| (part, *failing))
            .collect(),
    })
}

fn inputs(forecast: &Forecast<'_>, node: &Node, instance: &Instance, range: Interval) -> Vec<InputWhy> {
    let inputs = node.inputs.iter();
    inputs
        .flat_map(|input| self::input(forecast, node, instance, input, range))
        .collect()
}

/// What a range reads of one input: of a node with keys each instance that it reads.
pub(crate) fn input(
    forecast: &Forecast<'_>,
    node: &Node,
    instance: &Instance,
    input: &Input,
    range: Interval,
) -> Vec<InputWhy> {
    match &input.from {
        Upstream::Source(name) => {
            let Some(source) = forecast.project.source(name) else {
                return Vec::new();
            };
            let needs = needed(node, input.mapping, &source.grid, range);
            let state = forecast.state.sources.get(name);
            let absent = needs.map_or_else(RangeSet::new, |needs| {
                RangeSet::from(needs).subtract(&state.map(|state| state.available.clone()).unwrap_or_default())
            });
            let gone = needs
                .zip(state)
                .map_or_else(RangeSet::new, |(needs, state)| state.gone.within(needs));
            vec![InputWhy {
                from: Instance::of(name.clone()),
                is_source: true,
                needs,
                absent,
                due: RangeSet::new(),
                gone,
            }]
        }
        Upstream::Node(name) => {
            let Some(upstream) = forecast.node(name) else {
                return Vec::new();
            };
            let needs = needed(node, input.mapping, &upstream.grid, range);
            let read = forecast.read_instances(instance, input);
            read.filter_map(|read| {
                let terms = forecast.terms(read)?;
                let over = needs.unwrap_or(Interval::WHOLE);
                Some(InputWhy {
                    from: read.clone(),
                    is_source: false,
                    needs,
                    absent: needs.map_or_else(RangeSet::new, |needs| RangeSet::from(needs).subtract(&terms.readable)),
                    due: terms.due.keys().within(over),
                    gone: RangeSet::new(),
                })
            })
            .collect()
        }
    }
}

fn needed(node: &Node, mapping: Mapping, upstream: &crate::grid::Grid, range: Interval) -> Option<Interval> {
    match mapping {
        Mapping::Whole { .. } => None,
        Mapping::Overlap | Mapping::Window { .. } => mapping.needs(&node.grid, upstream, range),
    }
}
