//! `mulgil dbt ls`: lists what is selected, for people and for programs.

use std::{collections::BTreeSet, path::Path};

use mulgil_core::{
    name::NodeName,
    project::{DataTest, Materialization, Node, Project, Source, Upstream},
};
use serde_json::{Map, Value, json};

use super::{is_asked, resource, word};
use crate::{
    cli::{
        Global,
        dbt::{ListAs, Ls, Resource},
    },
    command::Outcome,
    say, wire,
};

/// One thing of the list, as JSON; the keys are dbt's.
type Item = Map<String, Value>;

pub(crate) fn ls(global: &Global, flags: &Ls) -> Outcome {
    let opened = wire::open_as(global, &flags.aim)?;
    let project = opened.project.as_ref();
    let chosen = super::chosen(&opened, &flags.choice)?;
    let nodes: BTreeSet<&NodeName> = chosen.ranges.keys().map(|instance| &instance.node).collect();
    let mut items: Vec<Item> = Vec::new();
    for node in &project.nodes {
        if nodes.contains(&node.name) && is_asked(&flags.resource_type, resource(node)) {
            items.push(of_node(project, node));
        }
        let tests = node.tests.iter();
        let chosen_tests = tests.filter(|test| chosen.tests.contains(&(node.name.clone(), test.name.clone())));
        if is_asked(&flags.resource_type, Resource::Test) {
            items.extend(chosen_tests.map(|test| of_test(project, node, test)));
        }
    }
    if flags.choice.select.is_empty() && is_asked(&flags.resource_type, Resource::Source) {
        items.extend(project.sources.iter().map(|source| of_source(project, source)));
    }
    items.sort_by_key(|item| text(item, "unique_id"));
    if items.is_empty() {
        say::talk("nothing is selected");
    }
    let lines: Vec<String> = items.into_iter().map(|item| line(item, flags)).collect();
    if !lines.is_empty() {
        say::print(&lines.join("\n"));
    }
    Ok(0)
}

fn line(mut item: Item, flags: &Ls) -> String {
    let selector = item.remove("selector").unwrap_or_default();
    match flags.output {
        ListAs::Selector => selector.as_str().unwrap_or_default().to_owned(),
        ListAs::Name => text(&item, "name"),
        ListAs::Path => text(&item, "original_file_path"),
        ListAs::Json => {
            if !flags.output_keys.is_empty() {
                item.retain(|key, _| flags.output_keys.contains(key));
            }
            Value::Object(item).to_string()
        }
    }
}

fn text(item: &Item, key: &str) -> String {
    item.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn of_node(project: &Project, node: &Node) -> Item {
    let kind = word(resource(node));
    let reads: Vec<String> = node.reads.iter().map(|read| upstream_id(project, read)).collect();
    object(json!({
        "selector": dotted(project, &node.file, node.name.as_str()),
        "unique_id": unique_id(project, kind, node.name.as_str()),
        "resource_type": kind,
        "name": node.name,
        "package_name": project.name,
        "alias": node.relation.name,
        "original_file_path": node.file,
        "tags": node.tags,
        "depends_on": {"nodes": reads},
        "config": {
            "enabled": true,
            "materialized": materialized(node.materialization),
            "tags": node.tags,
        },
    }))
}

fn of_test(project: &Project, node: &Node, test: &DataTest) -> Item {
    let looked_at = std::iter::once(&node.name).chain(test.kind.looks_into());
    let reads: Vec<String> = looked_at
        .map(|name| upstream_id(project, &Upstream::Node(name.clone())))
        .collect();
    object(json!({
        "selector": dotted(project, &test.place.file, &test.name),
        "unique_id": unique_id(project, "test", &test.name),
        "resource_type": "test",
        "name": test.name,
        "package_name": project.name,
        "original_file_path": test.place.file,
        "depends_on": {"nodes": reads},
        "config": {"enabled": true, "materialized": "test", "severity": test.severity},
    }))
}

fn of_source(project: &Project, source: &Source) -> Item {
    let (group, table) = source.name.as_str().split_once('.').unwrap_or_default();
    object(json!({
        "selector": format!("source:{}.{}", project.name, source.name),
        "unique_id": unique_id(project, "source", source.name.as_str()),
        "resource_type": "source",
        "name": table,
        "source_name": group,
        "package_name": project.name,
        "original_file_path": source.place.file,
    }))
}

fn object(value: Value) -> Item {
    match value {
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

fn unique_id(project: &Project, kind: &str, name: &str) -> String {
    format!("{kind}.{}.{name}", project.name)
}

fn upstream_id(project: &Project, upstream: &Upstream) -> String {
    let kind = match upstream {
        Upstream::Node(name) => project.node(name).map_or("model", |node| word(resource(node))),
        Upstream::Source(_) => "source",
    };
    unique_id(project, kind, upstream.name().as_str())
}

/// The project, the folders below `models` or `seeds`, and the name, with dots between.
fn dotted(project: &Project, file: &Path, name: &str) -> String {
    let folders = file.parent().unwrap_or(Path::new("")).iter().skip(1);
    let folders = folders.filter_map(|part| part.to_str());
    let parts: Vec<&str> = std::iter::once(project.name.as_str())
        .chain(folders)
        .chain([name])
        .collect();
    parts.join(".")
}

fn materialized(materialization: Materialization) -> &'static str {
    match materialization {
        Materialization::Table => "table",
        Materialization::View => "view",
        Materialization::Interval | Materialization::Incremental => "incremental",
        Materialization::Snapshot => "snapshot",
        Materialization::Seed => "seed",
    }
}
