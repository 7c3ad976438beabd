//! Which points of the graph a term names by itself, and what is said when there is none. A name, tag,
//! owner, source or package that does not exist is an error, for it is a slip of the pen; a pattern, a
//! path or a kind of thing may just find nothing, which is a warning.

use std::{collections::BTreeSet, path::Path};

use super::{
    glob::{fits, fits_path, is_pattern},
    graph::{Graph, Vertex},
    nearest,
    parse::{Method, Term},
};
use crate::{
    codes,
    diagnostic::{Diagnostic, Severity},
    project::{Materialization, Node, Project},
};

/// The points that a term names, its key not looked at.
pub(super) fn matched(graph: &Graph<'_>, term: &Term) -> BTreeSet<Vertex> {
    let nodes = graph.nodes().filter(|(node, _)| names_node(graph.project, node, term));
    let nodes = nodes.flat_map(|(_, vertices)| vertices);
    let sources = graph
        .sources()
        .filter(|(source, _)| names_source(graph.project, source.name.as_str(), term));
    nodes.chain(sources.map(|(_, vertex)| vertex)).collect()
}

/// Whether a term is a node's own name, with or without its folders.
pub(super) fn is_name_of(project: &Project, node: &Node, term: &Term) -> bool {
    let full = full_name(project, node);
    let short = &full[1..];
    term.method == Method::Name
        && [node.name.as_str(), &full.join("."), &short.join(".")].contains(&term.value.as_str())
}

/// What is said of a term that names nothing.
pub(super) fn nothing(project: &Project, term: &Term) -> Diagnostic {
    let (value, text) = (term.value.as_str(), term.text.as_str());
    if is_pattern(value) {
        return Diagnostic::warning(codes::NOT_FOUND, format!("`{text}` matches nothing"))
            .with_remedy(pattern_remedy(term));
    }
    let (word, what, otherwise) = match term.method {
        Method::Name => return no_name(project, value),
        Method::Tag => (
            "tag",
            format!("no node has the tag `{value}`"),
            "give a model `tags=['…']` in its config",
        ),
        Method::Owner => (
            "owner",
            format!("no node has the owner `{value}`"),
            "give a model an `owner` in its config",
        ),
        Method::Source => (
            "source",
            format!("there is no source `{value}` in this project"),
            "sources stand in mulgil.yml under `sources:`",
        ),
        Method::Package => (
            "package",
            format!("there is no package `{value}`: this project is `{}`", project.name),
            "write `package:this`",
        ),
        Method::Path => (
            "path",
            format!("no node has its file at `{value}`"),
            "a path starts at the project folder: `models/staging`",
        ),
        Method::File => (
            "file",
            format!("no node has a file `{value}`"),
            "write the file's name, with or without its ending",
        ),
        Method::Materialized | Method::ResourceType => (
            "",
            format!("`{text}` matches nothing"),
            "leave it away: this project has none of that kind",
        ),
    };
    let remedy = match nearest(value, known(project, term.method)) {
        Some(near) => format!("did you mean `{word}:{near}`?"),
        None => otherwise.to_owned(),
    };
    Diagnostic {
        severity: severity(term.method),
        ..Diagnostic::error(codes::NOT_FOUND, what).with_remedy(remedy)
    }
}

/// How bad it is that a value which is no pattern names nothing.
fn severity(method: Method) -> Severity {
    match method {
        Method::Name | Method::Tag | Method::Owner | Method::Source | Method::Package => Severity::Error,
        Method::Path | Method::File | Method::Materialized | Method::ResourceType => Severity::Warning,
    }
}

/// What a value of a method may have been meant as.
fn known(project: &Project, method: Method) -> Vec<&str> {
    let nodes = project.nodes.iter();
    match method {
        Method::Tag => nodes.flat_map(|node| &node.tags).map(String::as_str).collect(),
        Method::Owner => nodes.filter_map(|node| node.owner.as_deref()).collect(),
        Method::Source => {
            let names = project.sources.iter().map(|source| source.name.as_str());
            let groups = names.clone().filter_map(|name| name.split_once('.'));
            names.chain(groups.map(|(group, _)| group)).collect()
        }
        Method::Package => vec![&project.name],
        Method::Path => {
            let paths = nodes.flat_map(|node| node.file.ancestors()).filter_map(Path::to_str);
            paths.filter(|path| !path.is_empty()).collect()
        }
        Method::File => nodes.filter_map(file_name).collect(),
        Method::Name | Method::Materialized | Method::ResourceType => Vec::new(),
    }
}

/// That there is no node of that name.
pub(super) fn no_name(project: &Project, name: &str) -> Diagnostic {
    if project.sources.iter().any(|source| source.name.as_str() == name) {
        return Diagnostic::error(
            codes::NOT_FOUND,
            format!("`{name}` is a source: it is observed, not filled"),
        )
        .with_remedy(format!("write `source:{name}+` for what reads it"));
    }
    let full: Vec<Vec<&str>> = project.nodes.iter().map(|node| full_name(project, node)).collect();
    // Each name by itself, and each folder with the folders above it.
    let folders = full
        .iter()
        .flat_map(|full| (2..full.len()).map(|length| full[1..length].join(".")));
    let names = project.nodes.iter().map(|node| node.name.to_string());
    let known: BTreeSet<String> = names.chain(folders).collect();
    let remedy = match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`? `mulgil status` lists all"),
        None => "`mulgil status` lists all nodes".to_owned(),
    };
    Diagnostic::error(codes::NOT_FOUND, format!("there is no node `{name}` in this project")).with_remedy(remedy)
}

fn names_node(project: &Project, node: &Node, term: &Term) -> bool {
    let value = term.value.as_str();
    match term.method {
        // Who writes a node's name means that node, and not a folder or a project that is called the same.
        Method::Name if has_node(project, value) => node.name.as_str() == value,
        Method::Name => fits_name(value, &full_name(project, node)),
        Method::Tag => node.tags.iter().any(|tag| fits(value, tag)),
        Method::Path => fits_file(value, project, node),
        Method::File => {
            let stem = node.file.file_stem().and_then(|stem| stem.to_str());
            file_name(node).into_iter().chain(stem).any(|name| fits(value, name))
        }
        Method::Materialized => materializations(node.materialization)
            .iter()
            .any(|word| fits(value, word)),
        Method::ResourceType => fits(value, resource_type(node)),
        Method::Source => false,
        Method::Owner => node.owner.as_ref().is_some_and(|owner| fits(value, owner)),
        Method::Package => is_package(value, project),
    }
}

/// A source is named by its group, by its group and table, or with the project before them.
fn names_source(project: &Project, name: &str, term: &Term) -> bool {
    match term.method {
        Method::Source => {
            let own: Vec<&str> = name.splitn(2, '.').collect();
            let asked: Vec<&str> = term.value.split('.').collect();
            let (package, asked) = match asked.as_slice() {
                [package, rest @ ..] if rest.len() == 2 => (*package, rest),
                all => ("this", all),
            };
            let pairs = asked.iter().zip(&own);
            is_package(package, project)
                && asked.len() <= own.len()
                && pairs.into_iter().all(|(one, own)| fits(one, own))
        }
        Method::ResourceType => fits(&term.value, "source"),
        Method::Name | Method::Tag | Method::Path | Method::File => false,
        Method::Materialized | Method::Owner | Method::Package => false,
    }
}

fn has_node(project: &Project, name: &str) -> bool {
    project.nodes.iter().any(|node| node.name.as_str() == name)
}

/// As dbt reads a name: the last part alone, or parts from the front, with or without the project. From
/// the first part with a pattern in it the rest is compared as one text.
fn fits_name(asked: &str, full: &[&str]) -> bool {
    let last = full.last().copied().unwrap_or_default();
    fits(asked, last) || fits_from_front(asked, full) || fits_from_front(asked, &full[1..])
}

fn fits_from_front(asked: &str, full: &[&str]) -> bool {
    let asked: Vec<&str> = asked.split('.').collect();
    let full: Vec<&str> = full.iter().flat_map(|part| part.split('.')).collect();
    if asked.len() > full.len() {
        return false;
    }
    let plain = asked.iter().position(|part| is_pattern(part)).unwrap_or(asked.len());
    asked[..plain] == full[..plain]
        && (plain == asked.len() || fits(&asked[plain..].join("."), &full[plain..].join(".")))
}

/// The project, the folders below `models` or `seeds`, and the name.
fn full_name<'a>(project: &'a Project, node: &'a Node) -> Vec<&'a str> {
    let folder = node.file.parent().unwrap_or(Path::new(""));
    let folders = folder.iter().skip(1).filter_map(|part| part.to_str());
    std::iter::once(project.name.as_str())
        .chain(folders)
        .chain([node.name.as_str()])
        .collect()
}

fn fits_file(asked: &str, project: &Project, node: &Node) -> bool {
    let below = Path::new(asked).strip_prefix(&project.root).unwrap_or(Path::new(asked));
    // Parts of `./models//staging/` that say nothing are left out.
    let asked: Vec<&str> = below
        .iter()
        .filter_map(|part| part.to_str())
        .filter(|part| *part != ".")
        .collect();
    let path: Vec<&str> = node.file.iter().filter_map(|part| part.to_str()).collect();
    fits_path(&asked, &path)
}

fn file_name(node: &Node) -> Option<&str> {
    node.file.file_name()?.to_str()
}

fn is_package(asked: &str, project: &Project) -> bool {
    asked == "this" || fits(asked, &project.name)
}

fn materializations(materialization: Materialization) -> &'static [&'static str] {
    match materialization {
        Materialization::Table => &["table"],
        Materialization::View => &["view"],
        Materialization::Interval => &["incremental", "interval"],
        Materialization::Incremental => &["incremental"],
        Materialization::Snapshot => &["snapshot"],
        Materialization::Seed => &["seed"],
    }
}

fn resource_type(node: &Node) -> &'static str {
    match node.materialization {
        Materialization::Seed => "seed",
        Materialization::Snapshot => "snapshot",
        Materialization::Table | Materialization::View | Materialization::Interval | Materialization::Incremental => {
            "model"
        }
    }
}

fn pattern_remedy(term: &Term) -> String {
    if term.method == Method::Name && term.value.ends_with(']') {
        return "a key is written `name[column=value]`".to_owned();
    }
    "`mulgil status` lists all nodes; quote a pattern so that the shell leaves it as it is".to_owned()
}
