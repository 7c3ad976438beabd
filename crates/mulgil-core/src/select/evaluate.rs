//! From terms to sets: instances with ranges, joined, cut and taken away.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    graph::{Graph, Vertex},
    matching, nearest,
    parse::{Method, Part, Reach, Term},
};
use crate::{
    codes,
    diagnostic::{Diagnostic, Severity},
    interval::{Interval, RangeSet},
    interval_text,
    name::{Instance, Key},
    project::Node,
};

/// What is selected of each instance; no set is empty.
pub(super) type Ranges = BTreeMap<Instance, RangeSet>;

/// What a part, or a term of one, selects.
#[derive(Default)]
pub(super) struct Found {
    pub(super) ranges: Ranges,
    /// The instances that were written by name.
    pub(super) named: BTreeSet<Instance>,
    /// Why it is nothing, where it is.
    pub(super) nothing: Option<Diagnostic>,
}

impl Found {
    fn nothing(why: Diagnostic) -> Self {
        Self {
            nothing: Some(Diagnostic {
                severity: Severity::Warning,
                ..why
            }),
            ..Self::default()
        }
    }
}

/// What all terms of a part select. `interval` is for parts that write none of their own.
pub(super) fn part(graph: &Graph<'_>, part: &Part, interval: Option<&str>) -> Result<Found, Diagnostic> {
    let has_own = part.terms.iter().any(|term| term.interval.is_some());
    let interval = interval.filter(|_| !has_own);
    let mut out: Option<Found> = None;
    for one in &part.terms {
        let found = term(graph, one, one.interval.as_deref().or(interval))?;
        if found.nothing.is_some() {
            return Ok(found);
        }
        out = Some(match out {
            None => found,
            Some(mut before) => {
                before.ranges = intersect(&before.ranges, &found.ranges);
                before.named.extend(found.named);
                before
            }
        });
    }
    let mut found = out.unwrap_or_default();
    if found.ranges.is_empty() {
        let what = format!("`{}` matches nothing: nothing is in all of its parts", part.text);
        let why = Diagnostic::warning(codes::NOT_FOUND, what)
            .with_remedy("a comma takes what both sides select; a space takes what either does");
        return Ok(Found::nothing(why));
    }
    found.named.retain(|instance| found.ranges.contains_key(instance));
    Ok(found)
}

/// What either selects.
pub(super) fn unite(into: &mut Ranges, other: Ranges) {
    for (instance, ranges) in other {
        let own = into.entry(instance).or_default();
        *own = own.union(&ranges);
    }
}

/// What the first selects and the second does not.
pub(super) fn take_away(from: &mut Ranges, other: &Ranges) {
    for (instance, ranges) in other {
        if let Some(own) = from.get_mut(instance) {
            *own = own.subtract(ranges);
        }
    }
    from.retain(|_, ranges| !ranges.is_empty());
}

fn intersect(one: &Ranges, other: &Ranges) -> Ranges {
    let both = one.iter().filter_map(|(instance, ranges)| {
        let ranges = ranges.intersect(other.get(instance)?);
        (!ranges.is_empty()).then(|| (instance.clone(), ranges))
    });
    both.collect()
}

fn term(graph: &Graph<'_>, term: &Term, interval: Option<&str>) -> Result<Found, Diagnostic> {
    let start = matching::matched(graph, term);
    if start.is_empty() && !is_all(term) {
        let why = matching::nothing(graph.project, term);
        return match why.severity {
            Severity::Error => Err(why),
            Severity::Warning => Ok(Found::nothing(why)),
        };
    }
    let start = with_key(graph, term, start)?;
    let reached = graph.reach(&start, term.reach);
    let instances: Vec<(&Instance, &Node)> = reached.iter().filter_map(|vertex| graph.instance(*vertex)).collect();
    if instances.is_empty() && !is_all(term) {
        return Ok(Found::nothing(only_sources(term)));
    }
    if let Some(interval) = interval {
        check_has_intervals(graph, &start, interval)?;
    }
    let mut found = Found::default();
    for (instance, node) in instances {
        let range = match interval {
            Some(interval) if node.grid.is_cut() => interval_text::parse(interval, &node.grid)?,
            Some(_) | None => Interval::WHOLE,
        };
        found.ranges.insert(instance.clone(), RangeSet::from(range));
    }
    let start = start.iter().filter_map(|vertex| graph.instance(*vertex));
    let named = start.filter(|(_, node)| matching::is_name_of(graph.project, node, term));
    found.named = named.map(|(instance, _)| instance.clone()).collect();
    Ok(found)
}

/// `*` is all there is, also where that is nothing.
fn is_all(term: &Term) -> bool {
    term.method == Method::Name && term.value == "*"
}

/// A single node that has no intervals cannot have one named; beside others it is taken whole.
fn check_has_intervals(graph: &Graph<'_>, start: &BTreeSet<Vertex>, interval: &str) -> Result<(), Diagnostic> {
    let nodes = start.iter().filter_map(|vertex| graph.instance(*vertex));
    let nodes: BTreeMap<_, &Node> = nodes.map(|(_, node)| (&node.name, node)).collect();
    match nodes.into_values().collect::<Vec<_>>().as_slice() {
        [node] if !node.grid.is_cut() => Err(Diagnostic::error(
            codes::BAD_INTERVAL,
            format!(
                "`{}` is not filled by intervals, so `{interval}` cannot be named",
                node.name
            ),
        )
        .with_remedy(format!("write `{}` alone", node.name))),
        _ => Ok(()),
    }
}

fn only_sources(term: &Term) -> Diagnostic {
    let nothing = |why: &str| Diagnostic::warning(codes::NOT_FOUND, format!("`{}` selects nothing: {why}", term.text));
    let word = match term.method {
        Method::ResourceType => "resource_type",
        Method::Name | Method::Tag | Method::Path | Method::File | Method::Materialized => "source",
        Method::Source | Method::Owner | Method::Package => "source",
    };
    match term.reach {
        Reach::Steps { down: 0, .. } => nothing("a source is observed, not filled")
            .with_remedy(format!("write `{word}:{}+` for what reads it", term.value)),
        Reach::Steps { .. } | Reach::Around => {
            nothing("no node reads it").with_remedy("a model reads a source by `source('group', 'table')`")
        }
    }
}

/// Keeps the instances with a term's key values.
fn with_key(graph: &Graph<'_>, term: &Term, start: BTreeSet<Vertex>) -> Result<BTreeSet<Vertex>, Diagnostic> {
    if term.key.is_empty() {
        return Ok(start);
    }
    let nodes: BTreeMap<_, &Node> = start
        .iter()
        .filter_map(|vertex| graph.instance(*vertex))
        .map(|(_, node)| (&node.name, node))
        .collect();
    if let [node] = nodes.values().collect::<Vec<_>>().as_slice() {
        check_key(node, &term.key)?;
    }
    let fits = |vertex: &Vertex| {
        graph
            .instance(*vertex)
            .is_some_and(|(instance, _)| has_key(instance, &term.key))
    };
    let kept: BTreeSet<Vertex> = start.into_iter().filter(fits).collect();
    if kept.is_empty() {
        let what = format!("nothing that `{}` names has the key `{}`", term.text, term.key);
        return Err(Diagnostic::error(codes::UNKNOWN_KEY_VALUE, what).with_remedy("`mulgil status` lists all keys"));
    }
    Ok(kept)
}

/// Whether an instance has these values.
pub(super) fn has_key(instance: &Instance, key: &Key) -> bool {
    let mut asked = key.0.iter();
    asked.all(|(column, value)| instance.key.0.get(column) == Some(value))
}

/// That a node has these key columns, and each the value.
pub(super) fn check_key(node: &Node, key: &Key) -> Result<(), Diagnostic> {
    for (column, value) in &key.0 {
        let Some(own) = node.keys.iter().find(|own| own.name == *column) else {
            return Err(no_column(node, column));
        };
        if !own.values.contains(value) {
            let near = nearest(value, own.values.iter().map(String::as_str));
            let hint = near
                .map(|near| format!("did you mean `{column}={near}`? "))
                .unwrap_or_default();
            return Err(Diagnostic::error(
                codes::UNKNOWN_KEY_VALUE,
                format!("`{}` has no `{column}={value}`", node.name),
            )
            .with_remedy(format!("{hint}its values are {}", own.values.join(", "))));
        }
    }
    Ok(())
}

fn no_column(node: &Node, column: &str) -> Diagnostic {
    let names: Vec<&str> = node.keys.iter().map(|key| key.name.as_str()).collect();
    let has = if names.is_empty() {
        "has no keys".to_owned()
    } else {
        format!("has the keys {}", names.join(", "))
    };
    Diagnostic::error(
        codes::UNKNOWN_KEY_VALUE,
        format!("`{}` has no key `{column}`: it {has}", node.name),
    )
    .with_remedy(format!("write `{}`", node.name))
}
