//! What a person names: `sales`, `sales[country=kr]`, `sales@2013-03`, `+sales`, `sales+`, `tag:daily`.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    codes,
    diagnostic::Diagnostic,
    interval::{Interval, RangeSet},
    interval_text,
    name::{Instance, NodeName},
    project::{Node, Project, Upstream},
};

/// What is selected: instances, each with the range that was named or all of its time.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Selection {
    /// By instance.
    pub ranges: BTreeMap<Instance, RangeSet>,
    /// The instances that were written by name, not reached through `+` or a tag.
    pub named: BTreeSet<Instance>,
    /// Whether any interval was written.
    pub has_interval: bool,
}

/// Reads selectors; each adds to the selection. `interval` narrows every selected node that has a
/// grid. Everything that is wrong with one of them is a coded fault with the nearest right name.
pub fn select(project: &Project, selectors: &[String], interval: Option<&str>) -> Result<Selection, Diagnostic> {
    let mut selection = Selection::default();
    let everything = [String::from("*")];
    let selectors = if selectors.is_empty() {
        &everything[..]
    } else {
        selectors
    };
    for selector in selectors {
        add(project, selector, interval, &mut selection)?;
    }
    Ok(selection)
}

/// Reads `NODE[key=value]@INTERVAL` for one instance, as `why` takes it.
pub fn one(project: &Project, text: &str) -> Result<(Instance, Interval), Diagnostic> {
    let (name, interval) = match text.split_once('@') {
        Some((name, interval)) => (name, Some(interval)),
        None => (text, None),
    };
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

/// The nearest of some names, if any is near enough to be a slip of the pen.
pub fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |name: &str| strsim::damerau_levenshtein(&wrong.to_lowercase(), &name.to_lowercase());
    let near = names.into_iter().map(|name| (distance(name), name)).min()?;
    (near.0 <= 1 + wrong.chars().count() / 4).then_some(near.1)
}

/// The node that a person named; the part from `[` on is its key.
pub fn node<'a>(project: &'a Project, text: &str) -> Result<&'a Node, Diagnostic> {
    let name = text.split_once('[').map_or(text, |(name, _)| name);
    project.node(&NodeName::new(name)).ok_or_else(|| {
        let names = project.nodes.iter().map(|node| node.name.as_str());
        let remedy = match nearest(name, names) {
            Some(near) => format!("did you mean `{near}`? `mulgil status` lists all"),
            None => "`mulgil status` lists all nodes".to_owned(),
        };
        let what = if project.source(&NodeName::new(name)).is_some() {
            format!("`{name}` is a source: it is observed, not filled")
        } else {
            format!("there is no node `{name}` in this project")
        };
        Diagnostic::error(codes::NOT_FOUND, what).with_remedy(remedy)
    })
}

fn add(project: &Project, selector: &str, interval: Option<&str>, selection: &mut Selection) -> Result<(), Diagnostic> {
    let (text, own_interval) = match selector.split_once('@') {
        Some((text, interval)) => (text, Some(interval)),
        None => (selector, None),
    };
    let upstream = text.starts_with('+');
    let downstream = text.ends_with('+');
    let text = text.trim_matches('+');
    let start: Vec<Instance> = match text.strip_prefix("tag:") {
        _ if text == "*" => project.nodes.iter().flat_map(Node::instances).collect(),
        Some(tag) => tagged(project, tag)?,
        None => {
            let found = instances(node(project, text)?, text)?;
            selection.named.extend(found.iter().cloned());
            found
        }
    };
    let mut reached: BTreeSet<Instance> = start.into_iter().collect();
    let names: BTreeSet<NodeName> = reached.iter().map(|instance| instance.node.clone()).collect();
    if upstream {
        reached.extend(reach(project, &names, Direction::Up));
    }
    if downstream {
        reached.extend(reach(project, &names, Direction::Down));
    }
    let interval = own_interval.or(interval);
    selection.has_interval |= interval.is_some();
    for instance in reached {
        let range = match (interval, project.node(&instance.node)) {
            (Some(interval), Some(node)) if node.grid.is_cut() => interval_text::parse(interval, &node.grid)?,
            (Some(_), Some(node)) if names.len() == 1 && names.contains(&node.name) => {
                return Err(Diagnostic::error(
                    codes::BAD_INTERVAL,
                    format!("`{}` is not filled by intervals, so none can be named", node.name),
                )
                .with_remedy(format!("write `{}` alone", node.name)));
            }
            _ => Interval::WHOLE,
        };
        selection.ranges.entry(instance).or_default().insert(range);
    }
    Ok(())
}

fn tagged(project: &Project, tag: &str) -> Result<Vec<Instance>, Diagnostic> {
    let has = |node: &&Node| node.tags.iter().any(|own| own == tag);
    let found: Vec<Instance> = project.nodes.iter().filter(has).flat_map(Node::instances).collect();
    if found.is_empty() {
        let tags = project
            .nodes
            .iter()
            .flat_map(|node| node.tags.iter().map(String::as_str));
        let remedy = match nearest(tag, tags) {
            Some(near) => format!("did you mean `tag:{near}`?"),
            None => "give a model `tags=['…']` in its config".to_owned(),
        };
        return Err(Diagnostic::error(codes::NOT_FOUND, format!("no node has the tag `{tag}`")).with_remedy(remedy));
    }
    Ok(found)
}

/// The instances that a name with or without a key stands for.
fn instances(node: &Node, text: &str) -> Result<Vec<Instance>, Diagnostic> {
    let bad = || {
        Diagnostic::error(codes::BAD_SELECTOR, format!("`{text}` cannot be read"))
            .with_remedy(format!("a key is written `{}[column=value]`", node.name))
    };
    let asked = Instance::parse(text).ok_or_else(bad)?;
    for (column, value) in &asked.key.0 {
        let Some(own) = node.keys.iter().find(|own| own.name == *column) else {
            let names = node
                .keys
                .iter()
                .map(|key| key.name.as_str())
                .collect::<Vec<_>>()
                .join(", ");
            let has = if names.is_empty() {
                "has no keys".to_owned()
            } else {
                format!("has the keys {names}")
            };
            return Err(Diagnostic::error(
                codes::UNKNOWN_KEY_VALUE,
                format!("`{}` has no key `{column}`: it {has}", node.name),
            )
            .with_remedy(format!("write `{}`", node.name)));
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
    let fits = |instance: &Instance| {
        asked
            .key
            .0
            .iter()
            .all(|(column, value)| instance.key.0.get(column) == Some(value))
    };
    Ok(node.instances().into_iter().filter(fits).collect())
}

#[derive(Clone, Copy)]
enum Direction {
    Up,
    Down,
}

fn reach(project: &Project, from: &BTreeSet<NodeName>, direction: Direction) -> Vec<Instance> {
    let mut reached = from.clone();
    let reads = |node: &Node, names: &BTreeSet<NodeName>| {
        node.inputs
            .iter()
            .any(|input| matches!(&input.from, Upstream::Node(name) if names.contains(name)))
    };
    match direction {
        // Nodes stand upstream first, so one pass in each direction reaches everything.
        Direction::Down => {
            for node in &project.nodes {
                if reads(node, &reached) {
                    reached.insert(node.name.clone());
                }
            }
        }
        Direction::Up => {
            for node in project.nodes.iter().rev() {
                if reached.contains(&node.name) {
                    let inputs = node.inputs.iter().filter_map(|input| match &input.from {
                        Upstream::Node(name) => Some(name.clone()),
                        Upstream::Source(_) => None,
                    });
                    reached.extend(inputs.collect::<Vec<_>>());
                }
            }
        }
    }
    project
        .nodes
        .iter()
        .filter(|node| reached.contains(&node.name))
        .flat_map(Node::instances)
        .collect()
}
