//! A plan, carried out to its end on random projects and histories: it empties itself, it never
//! starts what is not ready, and it never fills more than was due.

use std::collections::BTreeMap;

use mulgil_core::{
    checks::{Check, Context, checks},
    decide::{Action, Limits, Scope, decide},
    grid::{Cut, Grid, Unit, Zone},
    interval::{Instant, Interval, RangeSet},
    mapping::Mapping,
    name::{Instance, NodeName},
    plan::{Forecast, StepAction, plan},
    project::{Input, Node, Project, Upstream},
    state::{Cause, Failing, Live, State, TestState},
    timeline::Timeline,
};
use proptest::prelude::*;

const ZONES: [&str; 4] = ["UTC", "America/New_York", "Asia/Kolkata", "Asia/Seoul"];
const SLOTS: usize = 3;

/// A node of a random project, in small numbers.
#[derive(Clone, Debug)]
struct Shape {
    unit: Option<Unit>,
    zone: usize,
    /// Which nodes before it are read, each with how.
    reads: Vec<(usize, u8)>,
    lookback: u32,
    tested: bool,
    keyed: bool,
    /// Days from the first of March that are filled with today's code, and with another.
    filled: (u8, u8),
    old: (u8, u8),
    dirty: Option<u8>,
}

fn shape() -> impl Strategy<Value = Shape> {
    let unit = prop_oneof![
        2 => Just(None),
        4 => Just(Some(Unit::Day)),
        1 => Just(Some(Unit::Hour)),
        1 => Just(Some(Unit::Week)),
        1 => Just(Some(Unit::Month)),
    ];
    let reads = prop::collection::vec((0_usize..6, 0_u8..4), 0..3);
    let days = || (0_u8..30, 0_u8..30);
    (
        unit,
        0..ZONES.len(),
        reads,
        0_u32..3,
        any::<bool>(),
        any::<bool>(),
        days(),
        days(),
        prop::option::of(0_u8..30),
    )
        .prop_map(
            |(unit, zone, reads, lookback, tested, keyed, filled, old, dirty)| Shape {
                unit,
                zone,
                reads,
                lookback,
                tested,
                keyed,
                filled,
                old,
                dirty,
            },
        )
}

const DAY_US: i64 = 86_400_000_000;

fn march() -> Instant {
    Instant::from_timestamp("2026-03-01T00:00:00Z".parse().expect("a timestamp"))
}

fn cut(grid: &Grid, at: Instant) -> Instant {
    grid.floor(at)
}

/// The range of a grid over some days of March, if there is one.
fn days(grid: &Grid, (from, to): (u8, u8)) -> Option<Interval> {
    if !grid.is_cut() {
        return (from < to).then_some(Interval::WHOLE);
    }
    let at = |day: u8| cut(grid, Instant(march().0 + i64::from(day) * DAY_US));
    Interval::new(at(from), at(to))?.intersect(grid.extent())
}

fn project(shapes: &[Shape]) -> (Project, State, Instant) {
    let text: String = (0..shapes.len()).map(|index| format!("model n{index}\n")).collect();
    let mut timeline = Timeline::parse(&format!("{text}now 2026-04-02T12:00:00Z"));
    for (index, shape) in shapes.iter().enumerate() {
        let zone = Zone::named(ZONES[shape.zone]).expect("a zone");
        let mut grid = Grid {
            cut: shape.unit.map_or(Cut::Whole, Cut::Unit),
            zone,
            begin: None,
            end: None,
        };
        if grid.is_cut() {
            grid.begin = Some(cut(&grid, march()));
        }
        let inputs = shape.reads.iter().filter(|(of, _)| *of < index);
        let inputs = inputs
            .map(|(of, how)| input(&grid, &timeline.project.nodes[*of], *how))
            .collect::<Vec<_>>();
        let node = &mut timeline.project.nodes[index];
        node.grid = grid;
        node.inputs = inputs;
        node.lookback = shape.lookback;
        if shape.tested {
            node.tests = Timeline::parse(&format!("model n{index} test t{index}")).project.nodes[0]
                .tests
                .clone();
        }
        if shape.keyed {
            node.keys = Timeline::parse("model m keys country=kr|jp").project.nodes[0]
                .keys
                .clone();
        }
    }
    share_keys(&mut timeline.project);
    let mut state = State::default();
    for (node, shape) in timeline.project.nodes.iter().zip(shapes) {
        for instance in node.instances() {
            history(node, shape, &instance, &mut state);
        }
    }
    (timeline.project, state, timeline.now)
}

fn input(reader: &Grid, upstream: &Node, how: u8) -> Input {
    let mapping = match (reader.is_cut(), upstream.grid.is_cut(), how) {
        (false, ..) => Mapping::Whole { restates: true },
        (true, false, 0) => Mapping::Whole { restates: true },
        (true, false, _) | (true, true, 1) => Mapping::Whole { restates: false },
        (true, true, 2) => Mapping::Window {
            count: 7,
            unit: Unit::Day,
        },
        (true, true, _) => Mapping::Overlap,
    };
    Input {
        from: Upstream::Node(upstream.name.clone()),
        mapping,
        shared_keys: Vec::new(),
    }
}

fn share_keys(project: &mut Project) {
    let keyed: Vec<NodeName> = project
        .nodes
        .iter()
        .filter(|node| !node.keys.is_empty())
        .map(|node| node.name.clone())
        .collect();
    for node in project.nodes.iter_mut().filter(|node| !node.keys.is_empty()) {
        for input in &mut node.inputs {
            if keyed.contains(input.from.name()) {
                input.shared_keys = vec!["country".to_owned()];
            }
        }
    }
}

fn history(node: &Node, shape: &Shape, instance: &Instance, state: &mut State) {
    let own = state.nodes.entry(instance.clone()).or_default();
    let filled_at = Instant(march().0 + 20 * DAY_US);
    for (range, old) in [(shape.old, true), (shape.filled, false)] {
        let Some(range) = days(&node.grid, range) else { continue };
        let mut fp = node.fingerprint;
        fp.code.0 += u128::from(old);
        own.filled.insert(range, fp);
        own.made_at.insert(range, filled_at);
        own.fill_seq += 1;
        own.untested.insert(range);
    }
    if let Some(dirty) = shape.dirty.and_then(|day| days(&node.grid, (day, day + 1))) {
        let inside = own.filled.keys().within(dirty);
        if !inside.is_empty() {
            own.dirty.insert(Cause::Target, inside);
        }
    }
}

/// What the store does with facts, in memory.
struct Ledger<'a> {
    project: &'a Project,
    state: State,
    now: Instant,
    seq: i64,
}

impl Ledger<'_> {
    fn fill(&mut self, instance: &Instance, range: Interval, changes: bool) {
        let node = self.project.node(&instance.node).expect("a node of the project");
        self.seq += 1;
        let own = self.state.nodes.entry(instance.clone()).or_default();
        let before = own.filled.keys();
        own.filled.insert(range, node.fingerprint);
        own.made_at.insert(range, self.now);
        own.fill_seq = self.seq;
        own.untested.insert(range);
        own.dirty.values_mut().for_each(|set| set.remove(range));
        own.dirty.retain(|_, set| !set.is_empty());
        let fresh = RangeSet::from(range).subtract(&before);
        let changed = if changes { RangeSet::from(range) } else { fresh };
        for reader in &self.project.nodes {
            let inputs = reader.inputs.iter().filter(|input| *input.from.name() == node.name);
            for input in inputs.filter(|input| input.mapping != (Mapping::Whole { restates: false })) {
                for own in reader.instances() {
                    if !self.project.read_instances(&own, input).contains(instance) {
                        continue;
                    }
                    let state = self.state.nodes.entry(own).or_default();
                    for part in changed.iter() {
                        let Some(touched) = input.mapping.touches(&reader.grid, &node.grid, part) else {
                            continue;
                        };
                        let marked = state.filled.keys().within(touched);
                        if !marked.is_empty() {
                            state
                                .dirty
                                .entry(Cause::Upstream(node.name.clone()))
                                .or_default()
                                .extend(marked.iter());
                        }
                    }
                }
            }
        }
    }

    fn test(&mut self, name: &NodeName, tests: &[String]) {
        let node = self.project.node(name).expect("a node of the project");
        let seq = node
            .instances()
            .iter()
            .filter_map(|own| self.state.nodes.get(own))
            .map(|own| own.fill_seq)
            .max();
        for own in node.instances() {
            self.state.nodes.entry(own).or_default().untested = RangeSet::new();
        }
        let state = self.state.nodes.entry(Instance::of(name.clone())).or_default();
        for test in node.tests.iter().filter(|test| tests.contains(&test.name)) {
            let result = TestState {
                fingerprint: test.fingerprint,
                failures: 0,
                fill_seq: seq.unwrap_or(0),
            };
            state.tests.insert(test.name.clone(), result);
        }
    }
}

/// Carries a plan out, as the scheduler does; gives what was filled, how often.
fn execute(project: &Project, state: State, now: Instant, mut changes: impl FnMut() -> bool) -> (State, u64) {
    let mut ledger = Ledger {
        project,
        state,
        now,
        seq: 1_000,
    };
    let limits = Limits::new(SLOTS, Scope::All, now);
    let mut fills = 0;
    for _turn in 0..10_000 {
        let actions = {
            let forecast = Forecast::new(project, &ledger.state, now);
            let actions = decide(&forecast, &limits).actions;
            check(&forecast, &actions);
            actions
        };
        if actions.is_empty() {
            return (ledger.state, fills);
        }
        for action in actions {
            match action {
                Action::Fill { instance, range, .. } => {
                    fills += 1;
                    ledger.fill(&instance, range, changes());
                }
                Action::Test { node, tests } => ledger.test(&node, &tests),
            }
        }
    }
    panic!("the plan does not come to an end");
}

/// What must hold of everything that starts.
fn check(forecast: &Forecast<'_>, actions: &[Action]) {
    assert!(actions.len() <= SLOTS);
    let mut relations = BTreeMap::new();
    for action in actions {
        let Action::Fill { instance, range, .. } = action else {
            continue;
        };
        let node = forecast.node(&instance.node).expect("a node of the project");
        *relations.entry(node.relation.clone()).or_insert(0) += 1;
        let terms = forecast.terms(instance).expect("terms of an instance");
        assert!(terms.due.keys().covers(*range), "{instance} {range:?} is not due");
        assert_eq!(
            node.grid.snap_out(*range),
            *range,
            "{instance} {range:?} does not lie on its grid"
        );
        for input in &node.inputs {
            let upstream = forecast.node(input.from.name()).expect("a node of the project");
            for read in forecast.read_instances(instance, input) {
                let there = &forecast.terms(read).expect("terms of an instance").readable;
                if node.grid.is_cut() && !matches!(input.mapping, Mapping::Whole { .. }) {
                    let needs = input.mapping.needs(&node.grid, &upstream.grid, *range);
                    assert!(
                        needs.is_none_or(|needs| there.covers(needs)),
                        "{instance} {range:?} is not ready"
                    );
                }
            }
        }
    }
    assert!(
        relations.values().all(|count| *count == 1),
        "two attempts write one relation"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_is_empty_after_its_own_execution(
        shapes in prop::collection::vec(shape(), 1..6),
        changes in prop::collection::vec(any::<bool>(), 64),
    ) {
        let (project, state, now) = project(&shapes);
        let before = plan(&project, &state, now);
        let mut turn = 0;
        let (after, fills) = execute(&project, state, now, || { turn += 1; changes[turn % changes.len()] });
        let left = plan(&project, &after, now);
        prop_assert_eq!(&left.steps, &Vec::new());
        prop_assert!(fills == 0 || !before.steps.is_empty());
        let (again, none) = execute(&project, after.clone(), now, || true);
        prop_assert_eq!(none, 0);
        prop_assert_eq!(again, after);
    }

    #[test]
    fn without_changes_nothing_more_than_the_sure_steps_is_filled(shapes in prop::collection::vec(shape(), 1..6)) {
        let (project, state, now) = project(&shapes);
        let before = plan(&project, &state, now);
        let count = |instance: &Instance, sure: bool| -> RangeSet {
            before.steps.iter().filter(|step| step.instance == *instance && step.action == StepAction::Fill && step.if_changed != sure).map(|step| step.range).collect()
        };
        let instances: Vec<Instance> = project.nodes.iter().flat_map(Node::instances).collect();
        let (after, _) = execute(&project, state, now, || false);
        for instance in instances {
            let filled_now = after.nodes.get(&instance).map(|own| own.made_at.keys_where(|at| *at == now)).unwrap_or_default();
            prop_assert!(count(&instance, true).union(&count(&instance, false)).is_superset(&filled_now));
            prop_assert!(filled_now.is_superset(&count(&instance, true)), "{} was due and not filled", instance);
        }
    }

    #[test]
    fn what_is_told_of_an_interval_is_what_is_decided(
        shapes in prop::collection::vec(shape(), 1..6),
        events in prop::collection::vec((0_usize..6, 0_u8..32, 0_u8..4), 0..6),
    ) {
        let (project, mut state, now) = project(&shapes);
        for event in events {
            happen(&project, &mut state, now, event);
        }
        let forecast = Forecast::new(&project, &state, now);
        let actions = decide(&forecast, &Limits::new(usize::MAX, Scope::All, Instant::MAX)).actions;
        for instance in forecast.instances() {
            let node = project.node(&instance.node).expect("a node of the project");
            for day in 0..33 {
                let interval = node.grid.interval_at(Instant(march().0 + day * DAY_US));
                agree(&forecast, &actions, instance, node, interval)?;
            }
        }
    }
}

/// One thing that may have happened to a day of a node.
fn happen(project: &Project, state: &mut State, now: Instant, (index, day, what): (usize, u8, u8)) {
    let Some(node) = project.nodes.get(index) else { return };
    let Some(instance) = node.instances().into_iter().next() else {
        return;
    };
    let range = node.grid.interval_at(Instant(march().0 + i64::from(day) * DAY_US));
    let own = state.nodes.entry(instance).or_default();
    match what {
        0 => own.live.insert(range, Live { attempt: 1, epoch: 1 }),
        1 => own
            .failing
            .insert(range, Failing::rolled_back(3, node.fingerprint, now)),
        2 => own.failing.insert(
            range,
            Failing {
                rolled_back_to: None,
                ..Failing::rolled_back(3, node.fingerprint, now)
            },
        ),
        _ => own.dirty.entry(Cause::Manual).or_default().insert(range),
    }
}

/// What nothing keeps is right or begins; what is due and does not begin has something that keeps it; what
/// begins is kept by nothing that it reads.
fn agree(
    forecast: &Forecast<'_>,
    actions: &[Action],
    instance: &Instance,
    node: &Node,
    interval: Interval,
) -> Result<(), TestCaseError> {
    let told = checks(forecast, instance, interval, &Context::default());
    let keeps = told.iter().any(|check| check.says(forecast.now).keeps());
    let terms = forecast.terms(instance).expect("terms of a node of the project");
    let fills = || {
        actions.iter().filter_map(|action| match action {
            Action::Fill { instance, range, .. } => Some((instance, *range)),
            Action::Test { .. } => None,
        })
    };
    let begins = fills().any(|(of, range)| of == instance && range.overlaps(interval));
    let relation = |of: &Instance| forecast.node(&of.node).map(|node| &node.relation);
    // Where another range of its table begins, it comes after that.
    let is_next = fills().any(|(of, _)| relation(of) == Some(&node.relation));
    let is_right = terms.filled.covers(interval) && !terms.stale.keys().overlaps(interval);
    prop_assert!(
        keeps || is_right || begins || is_next,
        "{instance} {interval:?}: nothing keeps it: {told:?}"
    );
    let sure = terms.due.keys_where(|(_, if_changed)| !if_changed);
    let waits = terms.waiting.iter().any(|(_, ranges)| ranges.overlaps(interval));
    let is_due = sure.overlaps(interval) || waits || terms.held.overlaps(interval);
    prop_assert!(
        !is_due || begins || is_next || keeps,
        "{instance} {interval:?}: nobody says why: {told:?}"
    );
    let inputs = told
        .iter()
        .filter(|check| matches!(check, Check::Input { .. } | Check::InFlight { .. }));
    let is_kept = inputs.clone().any(|check| check.says(forecast.now).keeps());
    prop_assert!(
        !begins || !is_kept,
        "{instance} {interval:?}: it begins although {told:?}"
    );
    Ok(())
}
