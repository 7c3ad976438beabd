//! What a person names: `sales`, `sales[country=kr]`, `sales@2013-03`, `+sales`, `tag:daily,sales+`. The
//! language is dbt's, with keys and intervals. It is read (`parse`), matched with the project
//! (`matching`), carried along the graph (`graph`) and joined as sets (`evaluate`).

pub mod choose;
mod evaluate;
mod glob;
mod graph;
mod matching;
pub mod parse;

use std::collections::{BTreeMap, BTreeSet};

use self::{
    evaluate::Ranges,
    graph::Graph,
    parse::{Method, Part},
};
use crate::{
    codes,
    diagnostic::{Diagnostic, Severity},
    interval::{Interval, RangeSet},
    interval_text,
    name::{Instance, NodeName},
    project::{Node, Project},
};

/// What is selected: instances, each with the range that was named or all of its time.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Selection {
    /// By instance.
    pub ranges: BTreeMap<Instance, RangeSet>,
    /// The instances that were written by name, not reached through `+`, a tag or a pattern.
    pub named: BTreeSet<Instance>,
    /// Whether any interval was written.
    pub has_interval: bool,
    /// What was written and selects nothing, while something else does.
    pub warnings: Vec<Diagnostic>,
}

/// Reads selectors; each adds to the selection, and each of `exclude` takes away from it. Without
/// selectors all is selected. `interval` narrows every selected node that has a grid, where the selector
/// has none of its own. Names that do not exist are coded faults with the nearest right one; so is a
/// selection that finds nothing at all.
pub fn select(
    project: &Project,
    selectors: &[String],
    exclude: &[String],
    interval: Option<&str>,
) -> Result<Selection, Diagnostic> {
    let chosen = match selectors {
        [] => parse::parse("*")?,
        some => parts(some)?,
    };
    let left_out = parts(exclude)?;
    check_no_tests(&chosen)?;
    check_no_tests(&left_out)?;
    let graph = Graph::new(project);
    let mut selection = Selection {
        has_interval: interval.is_some() || chosen.iter().chain(&left_out).any(has_interval),
        ..Selection::default()
    };
    for part in &chosen {
        let found = evaluate::part(&graph, part, interval)?;
        selection.named.extend(found.named);
        selection.warnings.extend(found.nothing);
        evaluate::unite(&mut selection.ranges, found.ranges);
    }
    if selection.ranges.is_empty() && !selection.warnings.is_empty() {
        let first = selection.warnings.swap_remove(0);
        return Err(Diagnostic {
            severity: Severity::Error,
            ..first
        });
    }
    leave_out(&graph, &left_out, &mut selection)?;
    Ok(selection)
}

/// Reads `NODE[key=value]@INTERVAL` for one instance, as `why` takes it.
pub fn one(project: &Project, text: &str) -> Result<(Instance, Interval), Diagnostic> {
    let (name, interval) = parse::split_interval(text);
    let node = node(project, name)?;
    let instances = instances(node, name)?;
    let [instance] = instances.as_slice() else {
        let shown: Vec<String> = instances.iter().take(3).map(ToString::to_string).collect();
        return Err(Diagnostic::error(
            codes::BAD_SELECTOR,
            format!("`{name}` has {} keys; name one", instances.len()),
        )
        .with_remedy(format!("write one of them: {}", shown.join(", "))));
    };
    let range = match interval {
        Some(interval) => interval_text::parse(interval, &node.grid)?,
        None if !node.grid.is_cut() => Interval::WHOLE,
        None => {
            return Err(Diagnostic::error(
                codes::BAD_INTERVAL,
                format!("`{name}` is filled by intervals; name one"),
            )
            .with_remedy(format!(
                "write `{name}@2013-03-10`, or a range: `{name}@A..B` (B is not inside)"
            )));
        }
    };
    Ok((instance.clone(), range))
}

/// Whether a name fits a pattern as a whole: `*` is any text, `?` one letter, `[ab]` one of these.
pub fn fits_pattern(pattern: &str, name: &str) -> bool {
    glob::fits(pattern, name)
}

/// The nearest of some names, if any is near enough to be a slip of the pen.
pub fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |name: &str| strsim::damerau_levenshtein(&wrong.to_lowercase(), &name.to_lowercase());
    let near = names.into_iter().map(|name| (distance(name), name)).min()?;
    (near.0 <= 1 + wrong.chars().count() / 4).then_some(near.1)
}

/// The node that a person named; the part from `[` on is its key.
pub fn node<'a>(project: &'a Project, text: &str) -> Result<&'a Node, Diagnostic> {
    let name = text.split_once('[').map_or(text, |(name, _)| name);
    let node = project.node(&NodeName::new(name));
    node.ok_or_else(|| matching::no_name(project, name))
}

fn parts(selectors: &[String]) -> Result<Vec<Part>, Diagnostic> {
    let mut out = Vec::new();
    for selector in selectors {
        out.extend(parse::parse(selector)?);
    }
    Ok(out)
}

fn has_interval(part: &Part) -> bool {
    part.terms.iter().any(|term| term.interval.is_some())
}

/// Data tests run with what they test: to select them would fill their tables.
fn check_no_tests(parts: &[Part]) -> Result<(), Diagnostic> {
    let terms = parts.iter().flat_map(|part| &part.terms);
    let is_tests = |method, value: &str| method == Method::ResourceType && value == "test";
    match terms.into_iter().find(|term| is_tests(term.method, &term.value)) {
        None => Ok(()),
        Some(term) => Err(Diagnostic::error(
            codes::BAD_SELECTOR,
            format!("`{}` selects no tables: data tests run with what they test", term.text),
        )
        .with_remedy("name what they test; a test of `severity: warn` stops nothing")),
    }
}

fn leave_out(graph: &Graph<'_>, parts: &[Part], selection: &mut Selection) -> Result<(), Diagnostic> {
    let mut gone = Ranges::new();
    for part in parts {
        let found = evaluate::part(graph, part, None)?;
        // What is left out by mistake would be filled.
        if let Some(nothing) = found.nothing.into_iter().next() {
            return Err(Diagnostic {
                severity: Severity::Error,
                ..nothing
            });
        }
        evaluate::unite(&mut gone, found.ranges);
    }
    let had_any = !selection.ranges.is_empty();
    evaluate::take_away(&mut selection.ranges, &gone);
    selection
        .named
        .retain(|instance| selection.ranges.contains_key(instance));
    if had_any && selection.ranges.is_empty() {
        let nothing = Diagnostic::warning(
            codes::NOT_FOUND,
            "all that was selected is excluded, so nothing is left",
        );
        selection
            .warnings
            .push(nothing.with_remedy("write less behind `--exclude`"));
    }
    Ok(())
}

/// The instances that a name with or without a key stands for.
fn instances(node: &Node, text: &str) -> Result<Vec<Instance>, Diagnostic> {
    let asked = Instance::parse(text).ok_or_else(|| {
        Diagnostic::error(codes::BAD_SELECTOR, format!("`{text}` cannot be read"))
            .with_remedy(format!("a key is written `{}[column=value]`", node.name))
    })?;
    evaluate::check_key(node, &asked.key)?;
    let all = node.instances().into_iter();
    Ok(all.filter(|instance| evaluate::has_key(instance, &asked.key)).collect())
}
