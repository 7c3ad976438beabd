//! What of the forecast may start now: the scheduler, without a clock, a store or anything that waits.
//!
//! The loop around it waits for an event, reads the state, asks here, writes facts, performs actions.
//! An action is idempotent by (instance, range, attempt), so a crash in between is only a repeat.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    codes,
    diagnostic::{Code, Retry},
    due::Reason,
    interval::{Instant, Interval, RangeMap, RangeSet},
    name::{Instance, NodeName, Relation},
    plan::{Forecast, Terms, ready_of},
    project::{Input, Node, Upstream},
    publish,
};

/// Intervals that one commit fills at most: a crash loses no more work than that.
pub const MAX_INTERVALS_PER_COMMIT: usize = 400;

/// Commits of one instance that a run narrows after they failed by their rows. What still fails then
/// fails as a whole.
pub const MAX_NARROWED: usize = 64;

/// What bounds a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Attempts that may be live at once.
    pub parallel: usize,
    /// What may be touched.
    pub scope: Scope,
    /// The start of the run that asks: what failed since is not tried again in it, unless its
    /// failure said later.
    pub failed_since: Instant,
    /// Nodes whose data tests are being run, or could not be run in this run.
    pub untestable: BTreeSet<NodeName>,
    /// The nodes whose data tests run now, each by one attempt; fills are counted in the state.
    pub testing: BTreeSet<NodeName>,
    /// What is done of what may be touched.
    pub tasks: Tasks,
    /// Where commits of this run failed by their rows: smaller ones may do without the bad rows.
    pub narrowed: BTreeMap<Instance, Narrowed>,
}

/// The parts of an instance that are filled in smaller commits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Narrowed {
    /// Intervals of one commit at most.
    most: RangeMap<usize>,
    failures: usize,
}

impl Limits {
    /// Those of a run that begins.
    pub fn new(parallel: usize, scope: Scope, failed_since: Instant) -> Self {
        Self {
            parallel,
            scope,
            failed_since,
            untestable: BTreeSet::new(),
            testing: BTreeSet::new(),
            tasks: Tasks::default(),
            narrowed: BTreeMap::new(),
        }
    }

    /// Halves the commits of a range that failed, if the failure may lie in some of its rows alone.
    /// Where it says no, the whole range has failed.
    pub fn narrow(&mut self, node: &Node, instance: &Instance, range: Interval, failure: Code) -> bool {
        let count = intervals_up_to(node, range, MAX_INTERVALS_PER_COMMIT);
        if count < 2 || !codes::is_of_rows(failure) {
            return false;
        }
        let narrowed = self.narrowed.entry(instance.clone()).or_default();
        narrowed.failures += 1;
        if narrowed.failures > MAX_NARROWED {
            return false;
        }
        narrowed.most.insert(range, count / 2);
        true
    }
}

/// What a run does.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Tasks {
    /// Fills what is due, and runs the data tests that are; readers wait for those that block.
    #[default]
    FillsAndTests,
    /// Fills what is due; no data test is run or waited for.
    Fills,
    /// Runs these data tests, due or not, and fills nothing.
    Tests(BTreeMap<NodeName, BTreeSet<String>>),
}

impl Tasks {
    fn fills(&self) -> bool {
        match self {
            Self::FillsAndTests | Self::Fills => true,
            Self::Tests(_) => false,
        }
    }
}

/// What a run may touch: all of it, or some instances, each with a range.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Scope {
    /// The whole project.
    #[default]
    All,
    /// These alone.
    Only(BTreeMap<Instance, RangeSet>),
}

impl Scope {
    /// What of an instance is inside; nothing where it is not selected.
    pub fn of(&self, instance: &Instance) -> Option<RangeSet> {
        match self {
            Self::All => Some(RangeSet::whole()),
            Self::Only(some) => some.get(instance).cloned(),
        }
    }

    /// The part of an instance's ranges that is inside.
    fn limit(&self, instance: &Instance, ranges: RangeSet) -> RangeSet {
        match self {
            Self::All => ranges,
            Self::Only(some) => some
                .get(instance)
                .map_or_else(RangeSet::new, |inside| ranges.intersect(inside)),
        }
    }

    /// Whether any instance of the node is inside.
    pub fn has_node(&self, name: &NodeName) -> bool {
        match self {
            Self::All => true,
            Self::Only(some) => some.keys().any(|instance| instance.node == *name),
        }
    }
}

/// One thing to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Fill one unbroken range of one instance.
    Fill {
        /// Whose.
        instance: Instance,
        /// Which.
        range: Interval,
        /// Why, part by part.
        reasons: Vec<(Interval, Reason)>,
    },
    /// Run data tests of a node.
    Test {
        /// Whose.
        node: NodeName,
        /// Their names.
        tests: Vec<String>,
    },
}

/// What may start now, and when to ask again if nothing happens before.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Decision {
    /// To start, most upstream first.
    pub actions: Vec<Action>,
    /// The moment at which a failed range may be tried again.
    pub wake_at: Option<Instant>,
}

/// What may start now under the limits. At most one attempt writes a relation; an interval starts
/// when all that it reads is filled and nothing of that is due again; a node's data tests start
/// when nothing of the node is left to fill.
pub fn decide(forecast: &Forecast<'_>, limits: &Limits) -> Decision {
    let mut decision = Decision::default();
    let mut busy = busy_relations(forecast);
    let live = live_count(forecast) + limits.testing.len();
    let mut capacity = limits.parallel.saturating_sub(live);
    for instance in forecast.instances() {
        if capacity == 0 {
            // Whatever else could start has to wait for what is live, and then it is asked again.
            break;
        }
        let (Some(node), Some(terms)) = (forecast.node(&instance.node), forecast.terms(instance)) else {
            continue;
        };
        if publish::is_after_tests(node) && limits.testing.contains(&node.name) {
            // What the tests say is said of the version that they look at.
            continue;
        }
        let startable = startable(forecast, limits, node, instance, terms, &mut decision.wake_at);
        let Some(first) = startable.ranges().first() else {
            continue;
        };
        if !busy.insert(node.relation.clone()) {
            continue;
        }
        capacity -= 1;
        let range = Interval {
            start: first.start,
            end: commit_end(forecast, limits, node, instance, *first),
        };
        let reasons = terms
            .due
            .within(range)
            .map(|(part, (reason, _))| (part, reason.clone()))
            .collect();
        decision.actions.push(Action::Fill {
            instance: instance.clone(),
            range,
            reasons,
        });
    }
    let nodes = forecast.project.nodes.iter();
    let due: Vec<TestsToStart> = nodes
        .filter_map(|node| tests_to_start(forecast, limits, node, &busy))
        .collect();
    let idle = decision.actions.is_empty() && decision.wake_at.is_none() && live == 0;
    let (free, waiting): (Vec<_>, Vec<_>) = due.into_iter().partition(|tests| tests.is_free);
    // Where nothing else can start, what is left cannot be filled: the tests that others wait for first.
    let left = waiting.into_iter().filter(|_| idle).take(usize::from(free.is_empty()));
    for TestsToStart { node, tests, .. } in free.into_iter().chain(left).take(capacity) {
        decision.actions.push(Action::Test { node, tests });
    }
    decision
}

/// The data tests of a node that are due.
struct TestsToStart {
    node: NodeName,
    tests: Vec<String>,
    /// Whether nothing that they look at is still to be filled.
    is_free: bool,
}

/// What of an instance is due for sure, in scope, not failed in this run, and ready as things stand.
fn startable(
    forecast: &Forecast<'_>,
    limits: &Limits,
    node: &Node,
    instance: &Instance,
    terms: &Terms,
    wake_at: &mut Option<Instant>,
) -> RangeSet {
    if terms.due.is_empty() || !limits.tasks.fills() {
        return RangeSet::new();
    }
    let sure = terms.due.keys_where(|(_, if_changed)| !if_changed);
    let mut candidates = limits.scope.limit(instance, sure);
    if let Some(state) = forecast.state.nodes.get(instance) {
        for (range, failing) in state
            .failing
            .iter()
            .filter(|(_, failing)| failing.failed_at >= limits.failed_since)
        {
            let later = failing.retry == Retry::Later;
            if later && candidates.overlaps(range) && failing.next_try_at > forecast.now {
                *wake_at = Some(wake_at.map_or(failing.next_try_at, |at| at.min(failing.next_try_at)));
            }
            if !later || failing.next_try_at > forecast.now {
                candidates.remove(range);
            }
        }
    }
    for input in &node.inputs {
        if candidates.is_empty() {
            break;
        }
        candidates = ready_now(forecast, limits, node, instance, input, candidates);
    }
    candidates
}

/// `ready`, as things stand: filled, and not due again nor being filled.
pub(crate) fn ready_now(
    forecast: &Forecast<'_>,
    limits: &Limits,
    node: &Node,
    instance: &Instance,
    input: &Input,
    mut candidates: RangeSet,
) -> RangeSet {
    let Upstream::Node(name) = &input.from else {
        return candidates;
    };
    let Some(upstream) = forecast.node(name) else {
        return RangeSet::new();
    };
    if input.takes_all(&node.grid) && forecast.waits_for_tests(upstream) {
        return RangeSet::new();
    }
    for read in forecast.read_instances(instance, input) {
        let Some(terms) = forecast.terms(read) else {
            return RangeSet::new();
        };
        let pending = limits.scope.limit(read, terms.due.keys()).union(&terms.in_flight);
        if input.is_read_as_it_stands(&node.grid)
            && (!pending.is_empty() || has_tests_to_come(forecast, limits, upstream))
        {
            return RangeSet::new();
        }
        candidates = ready_of(
            node,
            input,
            &upstream.grid,
            &terms.readable.subtract(&pending),
            &candidates,
        );
    }
    candidates
}

/// Whether data tests of a node that block are still to run in this run.
pub(crate) fn has_tests_to_come(forecast: &Forecast<'_>, limits: &Limits, node: &Node) -> bool {
    limits.tasks == Tasks::FillsAndTests
        && limits.scope.has_node(&node.name)
        && crate::due::has_blocking_tests(node)
        && node
            .instances()
            .first()
            .and_then(|first| forecast.terms(first))
            .is_some_and(|terms| !terms.tests.is_empty())
}

fn tests_to_start(
    forecast: &Forecast<'_>,
    limits: &Limits,
    node: &Node,
    busy: &BTreeSet<Relation>,
) -> Option<TestsToStart> {
    let is_out = !limits.scope.has_node(&node.name) || limits.untestable.contains(&node.name);
    if node.tests.is_empty() || is_out || busy.contains(&node.relation) {
        return None;
    }
    let tests = match &limits.tasks {
        Tasks::FillsAndTests => forecast.terms(node.instances().first()?)?.tests.clone(),
        Tasks::Fills => return None,
        Tasks::Tests(asked) => asked.get(&node.name)?.iter().cloned().collect(),
    };
    if tests.is_empty() {
        return None;
    }
    let left = |instance: &Instance| {
        forecast.terms(instance).is_some_and(|terms| {
            let to_come = terms.due.keys().union(&terms.stale.keys());
            !terms.in_flight.is_empty() || !limits.scope.limit(instance, to_come).is_empty()
        })
    };
    let looked_at = looked_at(forecast, node);
    let mut instances = looked_at.iter().flat_map(|node| node.instances());
    Some(TestsToStart {
        node: node.name.clone(),
        tests,
        is_free: !limits.tasks.fills() || !instances.any(|instance| left(&instance)),
    })
}

/// The nodes whose rows a node's data tests may see, however far above: all of them are filled first.
fn looked_at<'f>(forecast: &Forecast<'f>, node: &'f Node) -> Vec<&'f Node> {
    let mut seen: BTreeSet<&NodeName> = BTreeSet::from([&node.name]);
    let into = node.tests.iter().flat_map(|test| test.kind.looks_into());
    let mut nodes = vec![node];
    for other in into.filter_map(|name| forecast.node(name)) {
        if seen.insert(&other.name) {
            nodes.push(other);
        }
    }
    let mut next = 0;
    while let Some(node) = nodes.get(next).copied() {
        next += 1;
        for input in &node.inputs {
            if let Upstream::Node(name) = &input.from
                && let Some(upstream) = forecast.node(name)
                && seen.insert(&upstream.name)
            {
                nodes.push(upstream);
            }
        }
    }
    nodes
}

pub(crate) fn busy_relations(forecast: &Forecast<'_>) -> BTreeSet<Relation> {
    let live = forecast.state.nodes.iter().filter(|(_, state)| !state.live.is_empty());
    live.filter_map(|(instance, _)| forecast.node(&instance.node))
        .map(|node| node.relation.clone())
        .collect()
}

fn live_count(forecast: &Forecast<'_>) -> usize {
    forecast
        .state
        .nodes
        .values()
        .map(|state| state.live.iter().count())
        .sum()
}

/// The end of what one commit takes of a range. What failed before is tried apart from the rest.
fn commit_end(forecast: &Forecast<'_>, limits: &Limits, node: &Node, instance: &Instance, range: Interval) -> Instant {
    if !node.grid.is_cut() {
        return range.end;
    }
    let narrowed = limits
        .narrowed
        .get(instance)
        .and_then(|narrowed| narrowed.most.get(range.start));
    let (within, most) = match narrowed {
        Some((narrowed, most)) => (range.intersect(narrowed).unwrap_or(range), *most),
        None => (range, MAX_INTERVALS_PER_COMMIT),
    };
    let failing = forecast.state.nodes.get(instance).map(|state| &state.failing);
    let failed_before = failing.and_then(|failing| failing.within(within).next().map(|(failed, _)| failed));
    let within = match failed_before {
        Some(failed) if failed.start > within.start => Interval {
            start: within.start,
            end: failed.start,
        },
        Some(failed) => failed,
        None => within,
    };
    cut_after(node, within, most)
}

/// The end of at most so many intervals of a range.
fn cut_after(node: &Node, range: Interval, most: usize) -> Instant {
    cuts(node, range).nth(most).unwrap_or(range.end)
}

/// How many intervals a range has, counted no further than asked.
fn intervals_up_to(node: &Node, range: Interval, most: usize) -> usize {
    if node.grid.is_cut() {
        cuts(node, range).take(most).count()
    } else {
        1
    }
}

/// The starts of a range's intervals.
fn cuts(node: &Node, range: Interval) -> impl Iterator<Item = Instant> {
    std::iter::successors(Some(range.start), |cut| Some(node.grid.next_cut(*cut)))
        .take_while(move |cut| *cut < range.end)
}
