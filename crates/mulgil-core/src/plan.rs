//! The forecast to the fixpoint: what is due now, and what will be due through it.
//!
//! One value with four readers: `mulgil plan` prints it, the scheduler runs it, the API returns it,
//! the page draws it. Pure: the ledger's [`State`] and the time are arguments.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::{
    diagnostic::Severity,
    due::{self, Reason},
    interval::{Instant, Interval, RangeMap, RangeSet},
    mapping::Mapping,
    name::{Instance, NodeName},
    project::{DataTest, Input, Materialization, Node, Project, Upstream},
    publish,
    state::{NodeState, SourceState, State},
};

/// What is due, as steps, with what is due but cannot be done now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The project's name.
    pub project: String,
    /// The moment that it was made for.
    pub now: Instant,
    /// One step per instance, reason and unbroken range, upstream first, then by time.
    pub steps: Vec<Step>,
    /// Ranges that would be due, but something that they read is not there.
    pub waiting: Vec<Waiting>,
    /// Ranges that are due and held after equal failures.
    pub held: Vec<Held>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What is filled, or tested.
    pub instance: Instance,
    /// What is done.
    pub action: StepAction,
    /// Which range; [`Interval::WHOLE`] without a grid.
    pub range: Interval,
    /// How many intervals that is.
    pub count: u64,
    /// Why.
    pub reason: Reason,
    /// The upstream instances whose steps come first.
    pub after: Vec<Instance>,
    /// Whether it is due only if an upstream's rows turn out to be others.
    pub if_changed: bool,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum StepAction {
    /// Fills the range.
    Fill,
    /// Runs these data tests; nothing is to be filled.
    Test {
        /// Their names.
        tests: Vec<String>,
    },
}

/// A range that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Whose.
    pub instance: Instance,
    /// Which.
    pub range: Interval,
    /// For what.
    pub on: NodeName,
}

/// A range that is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Whose.
    pub instance: Instance,
    /// Which.
    pub range: Interval,
    /// The version to which a person took the table back, where that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back_to: Option<i64>,
}

/// The terms of one instance, and what follows for the others.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// What the grid and the schedule ask for.
    pub wanted: RangeSet,
    /// What is filled.
    pub filled: RangeSet,
    /// What readers may read now.
    pub readable: RangeSet,
    /// Why filled intervals are not right any more.
    pub stale: RangeMap<Reason>,
    /// What is being filled now.
    pub in_flight: RangeSet,
    /// Due by itself and not ready, by the input that it waits for.
    pub waiting: Vec<(NodeName, RangeSet)>,
    /// Due and held after failures, or since the table went back.
    pub held: RangeSet,
    /// What is held since the table went back to an earlier version, whose rows readers may read.
    pub rolled_back: RangeMap<i64>,
    /// What a run will fill, with the reason; `true`: only if an upstream's rows change.
    pub due: RangeMap<(Reason, bool)>,
    /// The data tests that are due, on the instance without a key alone.
    pub tests: Vec<String>,
}

/// The terms of every instance, in the project's order: what a plan is read from.
#[derive(Clone, Debug)]
pub struct Forecast<'a> {
    /// The project.
    pub project: &'a Project,
    /// The ledger.
    pub state: &'a State,
    /// The moment.
    pub now: Instant,
    order: Vec<Instance>,
    terms: HashMap<Instance, Terms>,
    nodes: HashMap<&'a NodeName, &'a Node>,
    instances: HashMap<&'a NodeName, Vec<Instance>>,
}

/// What is due at `now`, and what will be due through it.
pub fn plan(project: &Project, state: &State, now: Instant) -> Plan {
    Forecast::new(project, state, now).plan()
}

impl<'a> Forecast<'a> {
    /// Works out the terms of every instance, upstream first.
    pub fn new(project: &'a Project, state: &'a State, now: Instant) -> Self {
        let mut forecast = Self {
            project,
            state,
            now,
            order: Vec::new(),
            terms: HashMap::new(),
            nodes: project.nodes.iter().map(|node| (&node.name, node)).collect(),
            instances: project
                .nodes
                .iter()
                .map(|node| (&node.name, node.instances()))
                .collect(),
        };
        let mut observed = BTreeSet::new();
        for node in &project.nodes {
            if is_observed(node, &observed) {
                observed.insert(&node.name);
            }
            for instance in forecast.instances[&node.name].clone() {
                let terms = forecast.terms_of(node, &instance, observed.contains(&node.name));
                forecast.order.push(instance.clone());
                forecast.terms.insert(instance, terms);
            }
            forecast.add_tests(node);
        }
        forecast
    }

    /// The terms of an instance of the project.
    pub fn terms(&self, instance: &Instance) -> Option<&Terms> {
        self.terms.get(instance)
    }

    /// Every instance, upstream first.
    pub fn instances(&self) -> &[Instance] {
        &self.order
    }

    /// The node of an instance of the project.
    pub fn node(&self, name: &NodeName) -> Option<&'a Node> {
        self.nodes.get(name).copied()
    }

    /// The instances of an input that one instance of the reader reads.
    pub fn read_instances<'f>(&'f self, reader: &'f Instance, input: &'f Input) -> impl Iterator<Item = &'f Instance> {
        let all = match &input.from {
            Upstream::Node(name) => self.instances.get(name).map_or(&[][..], Vec::as_slice),
            Upstream::Source(_) => &[],
        };
        all.iter().filter(|upstream| input.shares_key(reader, upstream))
    }

    /// The plan that the terms make.
    pub fn plan(&self) -> Plan {
        let (mut steps, mut waiting, mut held) = (Vec::new(), Vec::new(), Vec::new());
        for instance in &self.order {
            let (Some(terms), Some(node)) = (self.terms.get(instance), self.node(&instance.node)) else {
                continue;
            };
            let after = if terms.due.is_empty() {
                Vec::new()
            } else {
                self.after(node, instance)
            };
            for (range, (reason, if_changed)) in terms.due.iter() {
                steps.push(Step {
                    instance: instance.clone(),
                    action: StepAction::Fill,
                    range,
                    count: node.grid.count(range),
                    reason: reason.clone(),
                    after: after.clone(),
                    if_changed: *if_changed,
                });
            }
            for (on, ranges) in &terms.waiting {
                waiting.extend(ranges.iter().map(|range| Waiting {
                    instance: instance.clone(),
                    range,
                    on: on.clone(),
                }));
            }
            held.extend(terms.held.iter().flat_map(|range| held_of(instance, terms, range)));
        }
        for node in &self.project.nodes {
            steps.extend(self.test_step(node));
        }
        Plan {
            project: self.project.name.clone(),
            now: self.now,
            steps,
            waiting,
            held,
        }
    }

    fn node_state(&self, instance: &Instance) -> &'a NodeState {
        static NONE: std::sync::LazyLock<NodeState> = std::sync::LazyLock::new(NodeState::default);
        self.state.nodes.get(instance).unwrap_or(&NONE)
    }

    /// Whether a table is there of which readers see nothing, because none of it has passed its tests yet.
    fn shows_nothing(&self, node: &Node) -> bool {
        let table = self.state.tables.get(&node.relation);
        publish::is_after_tests(node) && table.is_some_and(|table| table.is_there && table.published.is_none())
    }

    /// Whether readers of a node see an older version than the newest, because data tests have not passed.
    /// Who takes the table as it stands waits then: that the rows are others is told only once.
    pub fn waits_for_tests(&self, node: &Node) -> bool {
        let table = self.state.tables.get(&node.relation);
        let is_behind = table.is_some_and(|table| table.published != table.version);
        let mut instances = self.instances.get(&node.name).into_iter().flatten();
        publish::is_after_tests(node)
            && is_behind
            && instances.any(|instance| !self.node_state(instance).untested.is_empty())
    }

    fn source_state(&self, name: &NodeName) -> &'a SourceState {
        static NONE: std::sync::LazyLock<SourceState> = std::sync::LazyLock::new(SourceState::default);
        self.state.sources.get(name).unwrap_or(&NONE)
    }

    fn terms_of(&self, node: &Node, instance: &Instance, observed: bool) -> Terms {
        let state = self.node_state(instance);
        let wanted = due::wanted(node, state, self.now);
        let filled = state.filled.keys();
        let stale = due::stale(node, state, &wanted, observed, self.now);
        let missing = wanted.subtract(&filled);
        let in_flight = state.live.keys();
        let held = due::held(node, state);

        // ((wanted − filled) ∪ stale) − in_flight, as reasons; missing is the strongest.
        let mut own = RangeMap::new();
        for (range, reason) in stale.iter() {
            own.insert(range, (reason.clone(), false));
        }
        for range in missing.iter() {
            own.insert(range, (Reason::Missing, false));
        }
        self.add_changes_to_come(node, instance, &wanted, &mut own);
        for range in in_flight.iter() {
            own.remove(range);
        }

        // ∩ ready, input by input, so that what waits can name what it waits for.
        let mut candidates = own.keys();
        let mut waiting = Vec::new();
        for input in &node.inputs {
            let ready = self.ready(node, instance, input, &candidates);
            let blocked = candidates.subtract(&ready);
            if !blocked.is_empty() {
                candidates = ready;
                waiting.push((input.from.name().clone(), blocked));
            }
        }
        let held = held.intersect(&candidates);
        let rolled_back = due::rolled_back(node, state);
        let due = restrict(&own, &candidates.subtract(&held));
        // What would be due only through an upstream's change is not said to wait for anything.
        let sure = own.keys_where(|(_, if_changed)| !if_changed);
        for (_, ranges) in &mut waiting {
            *ranges = ranges.intersect(&sure);
        }
        waiting.retain(|(_, ranges)| !ranges.is_empty());
        let readable = if self.shows_nothing(node) {
            RangeSet::new()
        } else {
            due::readable(node, state)
        };
        Terms {
            wanted,
            filled,
            readable,
            stale,
            in_flight,
            waiting,
            held,
            rolled_back,
            due,
            tests: Vec::new(),
        }
    }

    /// What upstream steps will or may change in filled intervals of this instance.
    fn add_changes_to_come(
        &self,
        node: &Node,
        instance: &Instance,
        wanted: &RangeSet,
        own: &mut RangeMap<(Reason, bool)>,
    ) {
        if node.materialization == Materialization::View {
            return;
        }
        let taken = own.keys();
        let expected = wanted
            .intersect(&self.node_state(instance).filled.keys())
            .subtract(&taken);
        if expected.is_empty() {
            return;
        }
        for input in &node.inputs {
            let Upstream::Node(upstream) = &input.from else {
                continue;
            };
            let Some(upstream_node) = self.node(upstream) else {
                continue;
            };
            if input.mapping == (Mapping::Whole { restates: false }) {
                continue;
            }
            let reason = Reason::Upstream { node: upstream.clone() };
            let (mut certain, mut possible) = (RangeSet::new(), RangeSet::new());
            for terms in self
                .read_instances(instance, input)
                .filter_map(|read| self.terms.get(read))
            {
                for (range, (due, if_changed)) in terms.due.iter() {
                    let changes = match due {
                        Reason::Missing if !if_changed => &mut certain,
                        _ => &mut possible,
                    };
                    changes.extend(input.mapping.touches(&node.grid, &upstream_node.grid, range));
                }
            }
            // A certain change outweighs a possible one, and the first possible one the others.
            for part in possible.intersect(&expected).subtract(&own.keys()).iter() {
                own.insert(part, (reason.clone(), true));
            }
            for part in certain.intersect(&expected).iter() {
                own.insert(part, (reason.clone(), false));
            }
        }
    }

    /// `ready`, looking ahead: the part of the candidates whose reads from one input are filled or will be.
    pub(crate) fn ready(&self, node: &Node, instance: &Instance, input: &Input, candidates: &RangeSet) -> RangeSet {
        match &input.from {
            Upstream::Source(name) => {
                let Some(source) = self.project.source(name) else {
                    return RangeSet::new();
                };
                let available = &self.source_state(name).available;
                ready_of(node, input, &source.grid, available, candidates)
            }
            Upstream::Node(name) => {
                let Some(upstream) = self.node(name) else {
                    return RangeSet::new();
                };
                let tests_may_pass = !self.tests_due(upstream).is_empty();
                if input.takes_all(&node.grid) && !tests_may_pass && self.waits_for_tests(upstream) {
                    return RangeSet::new();
                }
                let mut ready = candidates.clone();
                for read in self.read_instances(instance, input) {
                    let Some(terms) = self.terms.get(read) else {
                        return RangeSet::new();
                    };
                    let mut there = terms.readable.union(&terms.due.keys());
                    if tests_may_pass {
                        there = there.union(&self.node_state(read).untested);
                    }
                    let withheld = terms.held.subtract(&terms.rolled_back.keys());
                    let there = there.subtract(&withheld);
                    ready = ready_of(node, input, &upstream.grid, &there, &ready);
                    if !node.grid.is_cut() && !withheld.is_empty() {
                        return RangeSet::new();
                    }
                }
                ready
            }
        }
    }

    fn tests_due(&self, node: &'a Node) -> Vec<String> {
        let state = self.node_state(&Instance::of(node.name.clone()));
        let newest = self.newest_rows(node);
        if node.tests.is_empty() || newest == 0 {
            return Vec::new();
        }
        let newest_of = |test: &DataTest| {
            let others = test.kind.looks_into().iter().filter_map(|name| self.node(name));
            others.map(|other| self.newest_rows(other)).fold(newest, i64::max)
        };
        let due = due::due_tests(node, state, newest_of);
        let due = if due.is_empty() && self.waits_for_nothing(node, state) {
            // The test that failed is not declared any more: those that are say what may be read.
            node.tests
                .iter()
                .filter(|test| test.severity == Severity::Error)
                .collect()
        } else {
            due
        };
        due.into_iter().map(|test| test.name.clone()).collect()
    }

    /// Whether rows are kept from readers although no data test of today has failed.
    fn waits_for_nothing(&self, node: &Node, state: &NodeState) -> bool {
        let mut instances = self.instances.get(&node.name).into_iter().flatten();
        instances.any(|instance| !self.node_state(instance).untested.is_empty())
            && due::failed_tests(node, state).is_empty()
    }

    /// The newest fill that has put rows where a node shows them: its own; for a view also those of what
    /// it looks at.
    fn newest_rows(&self, node: &Node) -> i64 {
        let own = self.instances.get(&node.name).into_iter().flatten();
        let own = own
            .map(|instance| self.node_state(instance).fill_seq)
            .max()
            .unwrap_or(0);
        if node.materialization != Materialization::View || own == 0 {
            return own;
        }
        let inputs = node.inputs.iter().filter_map(|input| match &input.from {
            Upstream::Node(name) => self.node(name),
            Upstream::Source(_) => None,
        });
        inputs.map(|input| self.newest_rows(input)).fold(own, i64::max)
    }

    /// The data tests that failed when they last ran, and that keep rows from readers.
    pub fn failed_tests(&self) -> impl Iterator<Item = (&'a Node, &'a DataTest)> {
        self.project.nodes.iter().flat_map(|node| {
            let state = self.node_state(&Instance::of(node.name.clone()));
            due::failed_tests(node, state).into_iter().map(move |test| (node, test))
        })
    }

    fn add_tests(&mut self, node: &'a Node) {
        let tests = self.tests_due(node);
        if let Some(terms) = self.instances[&node.name]
            .first()
            .and_then(|first| self.terms.get_mut(first))
        {
            terms.tests = tests;
        }
    }

    /// The step of data tests that are due although nothing of the node is: after an edit, or after a
    /// run that ended between the fill and the tests.
    fn test_step(&self, node: &Node) -> Option<Step> {
        let instances = &self.instances[&node.name];
        let fills = instances
            .iter()
            .any(|instance| self.terms.get(instance).is_some_and(|terms| !terms.due.is_empty()));
        let tests = instances
            .first()
            .and_then(|first| self.terms.get(first))
            .map(|terms| terms.tests.clone())?;
        (!fills && !tests.is_empty()).then(|| Step {
            instance: Instance::of(node.name.clone()),
            action: StepAction::Test { tests },
            range: Interval::WHOLE,
            count: 1,
            reason: Reason::Code,
            after: Vec::new(),
            if_changed: false,
        })
    }

    fn after(&self, node: &Node, instance: &Instance) -> Vec<Instance> {
        let mut after = BTreeSet::new();
        for input in &node.inputs {
            after.extend(
                self.read_instances(instance, input)
                    .filter(|read| self.terms.get(read).is_some_and(|terms| !terms.due.is_empty()))
                    .cloned(),
            );
        }
        after.into_iter().collect()
    }
}

/// A held range, parted where some of it is held for another reason.
fn held_of(instance: &Instance, terms: &Terms, range: Interval) -> Vec<Held> {
    let held = |range, rolled_back_to| Held {
        instance: instance.clone(),
        range,
        rolled_back_to,
    };
    let back = terms.rolled_back.within(range);
    let mut parts: Vec<Held> = back.map(|(part, to)| held(part, Some(*to))).collect();
    let failed = RangeSet::from(range).subtract(&terms.rolled_back.keys());
    parts.extend(failed.iter().map(|part| held(part, None)));
    parts.sort_by_key(|part| part.range.start);
    parts
}

/// The part of the candidates whose reads lie inside `there`. A reader without a grid, and a view,
/// take an upstream that is cut as it stands, once something is in it.
pub(crate) fn ready_of(
    node: &Node,
    input: &Input,
    upstream: &crate::grid::Grid,
    there: &RangeSet,
    candidates: &RangeSet,
) -> RangeSet {
    if input.is_read_as_it_stands(&node.grid) {
        return if there.is_empty() {
            RangeSet::new()
        } else {
            candidates.clone()
        };
    }
    input.mapping.ready(&node.grid, upstream, there, candidates)
}

/// Whether every source under a node is watched file by file; `observed` holds the nodes before it.
fn is_observed(node: &Node, observed: &BTreeSet<&NodeName>) -> bool {
    // A seed is a file of the project, and its fingerprint follows it.
    let is_watched = node.materialization == Materialization::Seed || !node.inputs.is_empty();
    is_watched
        && node.inputs.iter().all(|input| match &input.from {
            Upstream::Source(_) => true,
            Upstream::Node(name) => observed.contains(name),
        })
}

fn restrict<V: Clone + PartialEq>(map: &RangeMap<V>, to: &RangeSet) -> RangeMap<V> {
    to.iter()
        .flat_map(|range| {
            map.within(range)
                .map(|(part, value)| (part, value.clone()))
                .collect::<Vec<_>>()
        })
        .collect()
}
