//! On random projects: operators of the graph are what walking edge by edge gives, and spaces, commas and
//! `--exclude` are the algebra of sets.

use std::collections::{BTreeMap, BTreeSet};

use mulgil_core::{
    interval::{Interval, RangeSet},
    name::Instance,
    project::{Node, Project, Upstream},
    select::select,
    timeline::Timeline,
};
use proptest::prelude::*;

const NODES: usize = 8;

/// A node in small numbers: what it reads of those before it, its tag, and whether it has keys.
type Shape = (Vec<usize>, u8, bool);

fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    let shape = (prop::collection::vec(0..NODES, 0..3), 0_u8..3, any::<bool>());
    prop::collection::vec(shape, 1..=NODES)
}

fn project(shapes: &[Shape]) -> Project {
    let mut text = String::from("begin 2026-01-01\nsource raw\n");
    for (index, (reads, tag, is_keyed)) in shapes.iter().enumerate() {
        let upstream = |read: &usize| {
            if *read < index {
                format!("n{read}")
            } else {
                "raw".to_owned()
            }
        };
        let reads: BTreeSet<String> = reads.iter().map(upstream).collect();
        let reads: Vec<String> = reads.into_iter().collect();
        let reads = if reads.is_empty() {
            String::new()
        } else {
            format!("reads {}", reads.join(", "))
        };
        let keys = if *is_keyed { "keys country=kr|jp" } else { "" };
        text.push_str(&format!("model n{index} by day {keys} {reads} tags t{tag}\n"));
    }
    Timeline::parse(&text).project
}

type Ranges = BTreeMap<Instance, RangeSet>;

/// What is selected; what finds nothing is nothing.
fn ranges(project: &Project, selectors: &[&str], exclude: &[&str]) -> Ranges {
    let texts = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    select(project, &texts(selectors), &texts(exclude), None)
        .map(|selection| selection.ranges)
        .unwrap_or_default()
}

fn instances(project: &Project, selector: &str) -> BTreeSet<Instance> {
    ranges(project, &[selector], &[]).into_keys().collect()
}

/// The instances that one instance reads, edge by edge.
fn upstream(project: &Project, reader: &Instance) -> BTreeSet<Instance> {
    let node = project.node(&reader.node).expect("a node of the project");
    let inputs = node
        .inputs
        .iter()
        .filter(|input| matches!(input.from, Upstream::Node(_)));
    inputs.flat_map(|input| project.read_instances(reader, input)).collect()
}

/// What lies at most so many steps away, by asking every instance at every step.
fn walked(project: &Project, start: &BTreeSet<Instance>, steps: usize, is_up: bool) -> BTreeSet<Instance> {
    let all: Vec<Instance> = project.nodes.iter().flat_map(Node::instances).collect();
    let mut reached = start.clone();
    for _ in 0..steps {
        let near = |one: &&Instance| {
            reached.iter().any(|other| {
                let (reader, read) = if is_up { (other, *one) } else { (*one, other) };
                upstream(project, reader).contains(read)
            })
        };
        let beyond: Vec<Instance> = all.iter().filter(near).cloned().collect();
        reached.extend(beyond);
    }
    reached
}

/// A term with what it can be made of.
fn term() -> impl Strategy<Value = String> {
    let what = prop_oneof![
        3 => (0..NODES).prop_map(|index| format!("n{index}*")),
        2 => (0_u8..3).prop_map(|tag| format!("tag:t{tag}*")),
        1 => Just("source:r*".to_owned()),
        1 => Just("*".to_owned()),
    ];
    let interval = prop_oneof![2 => Just(""), 1 => Just("@2026-01"), 1 => Just("@2026-01-20..2026-03")];
    let up = prop_oneof![Just(""), Just("+"), Just("1+"), Just("2+")];
    let down = prop_oneof![Just(""), Just("+"), Just("+1"), Just("+2")];
    (up, what, down, interval).prop_map(|(up, what, down, interval)| format!("{up}{what}{down}{interval}"))
}

fn joined(one: &Ranges, other: &Ranges, how: impl Fn(&RangeSet, &RangeSet) -> RangeSet) -> Ranges {
    let nothing = RangeSet::new();
    let all: BTreeSet<&Instance> = one.keys().chain(other.keys()).collect();
    let of = |ranges: &Ranges, instance| ranges.get(instance).unwrap_or(&nothing).clone();
    all.into_iter()
        .map(|instance| (instance.clone(), how(&of(one, instance), &of(other, instance))))
        .filter(|(_, ranges)| !ranges.is_empty())
        .collect()
}

proptest! {
    #[test]
    fn operators_reach_what_walking_reaches(shapes in shapes(), at in 0..NODES, up in 0_usize..4, down in 0_usize..4) {
        let project = project(&shapes);
        let name = format!("n{}", at % shapes.len());
        let start = instances(&project, &name);
        let (above, below) = (walked(&project, &start, NODES, true), walked(&project, &start, NODES, false));
        prop_assert_eq!(instances(&project, &format!("+{name}")), above.clone());
        prop_assert_eq!(instances(&project, &format!("{name}+")), below.clone());
        prop_assert_eq!(instances(&project, &format!("+{name}+")), &above | &below);
        prop_assert_eq!(instances(&project, &format!("@{name}")), walked(&project, &below, NODES, true));
        let near = &walked(&project, &start, up, true) | &walked(&project, &start, down, false);
        prop_assert_eq!(instances(&project, &format!("{up}+{name}+{down}")), near);
    }

    #[test]
    fn spaces_commas_and_exclude_are_set_algebra(shapes in shapes(), one in term(), other in term(), third in term()) {
        let project = project(&shapes);
        let of = |term: &str| ranges(&project, &[term], &[]);
        let (a, b, c) = (of(&one), of(&other), of(&third));
        let union = joined(&a, &b, RangeSet::union);
        let both = joined(&a, &b, RangeSet::intersect);
        prop_assert_eq!(&ranges(&project, &[&one, &other], &[]), &union);
        prop_assert_eq!(&of(&format!("{one} {other}")), &union);
        prop_assert_eq!(&of(&format!("{one},{other}")), &both);
        // What is to be left out has to be there: a slip would leave it in.
        if !b.is_empty() {
            prop_assert_eq!(ranges(&project, &[&one], &[&other]), joined(&a, &b, RangeSet::subtract));
        }
        if !c.is_empty() {
            prop_assert_eq!(ranges(&project, &[&one, &other], &[&third]), joined(&union, &c, RangeSet::subtract));
        }
        prop_assert_eq!(of(&format!("{one},{other} {third}")), joined(&both, &c, RangeSet::union));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[n0-9+@:,.*?\\[\\]= a-z/]{0,16}") {
        let project = project(&[(vec![0], 0, true), (vec![0], 1, true)]);
        if let Ok(selection) = select(&project, &[text], &[], None) {
            prop_assert!(selection.ranges.values().all(|ranges| !ranges.is_empty()));
            prop_assert!(selection.named.iter().all(|instance| selection.ranges.contains_key(instance)));
        }
    }
}

#[test]
fn all_is_all_of_time() {
    let project = project(&[(Vec::new(), 0, false)]);
    let all = ranges(&project, &[], &[]);
    assert_eq!(all.values().collect::<Vec<_>>(), [&RangeSet::from(Interval::WHOLE)]);
}
