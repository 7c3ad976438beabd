//! `mulgil rollback NODE --to VERSION`: a table holds again what an earlier version held, and nothing fills
//! it by itself until something changes.

use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    interval::Instant,
    interval_text::{self, format_instant},
    plan::Forecast,
    port::{Author, Commit, TableLog},
    project::{Materialization, Node},
    select,
};
use mulgil_store::{Store, Versions};
use serde_json::{Value, json};

use crate::{
    cli::{self, Global},
    command::{Faults, Outcome},
    say,
    wire::{self, Opened},
};

pub(crate) async fn rollback(global: &Global, flags: &cli::Rollback) -> Outcome {
    let opened = wire::open(global)?;
    opened.warnings.iter().for_each(say::fault);
    let node = select::node(&opened.project, &flags.node)?;
    if flags.node != node.name.as_str() {
        return Err(a_part(node, &flags.node).into());
    }
    if node.materialization == Materialization::View {
        return Err(is_view(node).into());
    }
    match flags.to {
        Some(to) => go_back(&opened, node, to).await,
        None => list(&opened, node, flags.json).await,
    }
}

async fn go_back(opened: &Opened, node: &Node, to: i64) -> Outcome {
    let (runner, right) = opened.runner("mulgil rollback", None).await?;
    let version = runner.roll_back(node, to).await?;
    let Some(version) = version else {
        say::talk(&format!(
            "{} is at version {to} already; nothing was changed",
            node.name
        ));
        return Ok(0);
    };
    let summary = summary(opened, &runner.store, node).await?;
    right.give_back().await;
    let name = &node.name;
    say::talk(&format!(
        "{name} holds again what version {to} held, as version {version}: {summary}"
    ));
    say::talk(&format!(
        "it is held until its code or an input changes, or you name it: `mulgil run {name}`"
    ));
    if !node.tests.is_empty() {
        say::talk("its data tests are due; the next `mulgil run` runs them");
    }
    Ok(0)
}

/// `28 of 31 intervals are filled`, over all keys.
async fn summary(opened: &Opened, store: &Store, node: &Node) -> Result<String, Faults> {
    let state = store.load_state(&opened.project).await?;
    let forecast = Forecast::new(&opened.project, &state, wire::now());
    let (mut filled, mut wanted) = (0, 0);
    for instance in node.instances() {
        let Some(terms) = forecast.terms(&instance) else {
            continue;
        };
        let all = terms.wanted.union(&terms.filled);
        wanted += all.iter().map(|range| node.grid.count(range)).sum::<u64>();
        filled += terms.filled.iter().map(|range| node.grid.count(range)).sum::<u64>();
    }
    let verb = if filled == 1 { "is" } else { "are" };
    Ok(format!(
        "{} of {} {verb} filled",
        say::thousands(filled),
        say::count(wanted, "interval")
    ))
}

async fn list(opened: &Opened, node: &Node, as_json: bool) -> Outcome {
    let log = opened.engine()?.commits_after(&node.relation, None).await?;
    let Some(log) = log else {
        return Err(never_filled(node).into());
    };
    let versions = match opened.ledger_to_read().await? {
        Some(store) => store.versions().await?.remove(&node.relation).unwrap_or_default(),
        None => Versions::default(),
    };
    if as_json {
        let all: Vec<Value> = log.commits.iter().rev().map(|commit| row_json(node, commit)).collect();
        say::json(&json!({
            "node": node.name.as_str(), "relation": node.relation.to_string(), "version": log.version,
            "published": versions.published, "versions": all,
        }));
        return Ok(0);
    }
    let rows: Vec<Vec<String>> = log
        .commits
        .iter()
        .rev()
        .map(|commit| row(opened, node, &log, versions, commit))
        .collect();
    say::print(&say::table(&["version", "when", "who", "rows", ""], &rows, &[0, 3]));
    if log.gap {
        say::talk("older versions are not in the table's log any more");
    }
    Ok(0)
}

fn row(opened: &Opened, node: &Node, log: &TableLog, versions: Versions, commit: &Commit) -> Vec<String> {
    let at = Instant(commit.committed_at_us);
    let mut notes = Vec::new();
    if commit.version == log.version {
        notes.push("newest");
    }
    if Some(commit.version) == versions.published && versions.published != Some(log.version) {
        notes.push("what readers see");
    }
    vec![
        commit.version.to_string(),
        say::moment(at, &opened.project.zone),
        who(node, commit),
        rows(commit).map_or_else(|| "-".to_owned(), say::thousands),
        notes.join(", "),
    ]
}

/// Who made a version, and of what.
fn who(node: &Node, commit: &Commit) -> String {
    match &commit.author {
        Author::Ours(tag) if node.grid.is_cut() => {
            let range = interval_text::format(tag.range, &node.grid);
            format!("fill of {}@{range}", tag.instance)
        }
        Author::Ours(tag) => format!("fill of {}", tag.instance),
        Author::Restored(tag) => format!("rollback to version {}", tag.to),
        Author::Foreign => "somebody else".to_owned(),
    }
}

/// The rows that a fill made; of an incremental table all that it held then.
fn rows(commit: &Commit) -> Option<u64> {
    match &commit.author {
        Author::Ours(tag) => {
            let made = || tag.intervals.iter().map(|filled| filled.rows).sum();
            Some(tag.total.map_or_else(made, |total| total.rows))
        }
        Author::Restored(_) | Author::Foreign => None,
    }
}

fn row_json(node: &Node, commit: &Commit) -> Value {
    let kind = match &commit.author {
        Author::Ours(_) => "fill",
        Author::Restored(_) => "rollback",
        Author::Foreign => "foreign",
    };
    json!({
        "version": commit.version,
        "at": format_instant(Instant(commit.committed_at_us), &node.grid.zone),
        "kind": kind,
        "who": who(node, commit),
        "rows": rows(commit),
    })
}

fn a_part(node: &Node, typed: &str) -> Diagnostic {
    Diagnostic::error(
        codes::USAGE,
        format!("`{typed}` is a part of a table, and a table goes back as a whole"),
    )
    .with_remedy(format!("write `mulgil rollback {} --to VERSION`", node.name))
}

fn is_view(node: &Node) -> Diagnostic {
    Diagnostic::error(
        codes::NO_VERSIONS,
        format!("`{}` is a view: it stores nothing, so it has no versions", node.name),
    )
    .with_remedy("roll back the tables that it reads, or take its file back with your version control")
}

fn never_filled(node: &Node) -> Diagnostic {
    let name = &node.name;
    Diagnostic::error(
        codes::NO_VERSIONS,
        format!("the table of `{name}` is not there: it has no versions"),
    )
    .with_remedy(format!("fill it: `mulgil run {name}`"))
}
