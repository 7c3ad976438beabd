//! `mulgil nodes ls` and `mulgil nodes show`: what the project's tables and views are.

use std::collections::BTreeMap;

use mulgil_core::{
    data_test::Verdict,
    grid::Cut,
    interval::Interval,
    interval_text::format_instant,
    location::Location,
    name::Relation,
    plan::Forecast,
    project::{DataTest, Materialization, Node, Project, Publish},
    select,
};
use mulgil_store::{LastTest, TableSize, Versions};
use serde_json::{Value, json};

use crate::{
    cli::{self, Global},
    command::{Faults, Outcome, plan::kind_of, status::waiting_text},
    say, sql_type,
    wire::{self, Opened, View},
};

/// Rows of a failing test that are shown.
const SHOWN_ROWS: usize = 3;

pub(crate) async fn nodes(global: &Global, command: &cli::Nodes) -> Outcome {
    let opened = wire::open(global)?;
    opened.warnings.iter().for_each(say::fault);
    match command {
        cli::Nodes::Ls { json } => list(&opened, *json).await,
        cli::Nodes::Show { node, json } => show(&opened, select::node(&opened.project, node)?, *json).await,
    }
}

async fn list(opened: &Opened, as_json: bool) -> Outcome {
    let view = opened.view().await?;
    let sizes = sizes(&view).await?;
    let mut rows = Vec::new();
    let mut all = Vec::new();
    for node in &opened.project.nodes {
        let (count, bytes) = (rows_of(&view, node).await?, bytes_of(&sizes, node));
        if as_json {
            all.push(json!({
                "node": node.name.as_str(), "kind": kind(node), "materialization": node.materialization,
                "relation": node.relation.to_string(), "interval": cut(node),
                "schedule": node.schedule.as_ref().map(|schedule| schedule.cron.to_string()),
                "rows": count, "bytes": bytes,
            }));
        } else {
            rows.push(vec![
                node.name.to_string(),
                described(node),
                node.relation.to_string(),
                schedule(node),
                count.map_or_else(|| "-".to_owned(), say::thousands),
                bytes.map_or_else(|| "-".to_owned(), say::size),
            ]);
        }
    }
    if as_json {
        say::json(&json!({ "project": opened.project.name, "nodes": all }));
    } else {
        let header = ["node", "kind", "relation", "schedule", "rows", "size"];
        say::print(&say::table(&header, &rows, &[4, 5]));
    }
    Ok(0)
}

/// All that is told of one node.
struct Shown<'a> {
    project: &'a Project,
    node: &'a Node,
    folder: Option<Location>,
    versions: Versions,
    waits: bool,
    rows: Option<u64>,
    bytes: Option<u64>,
    /// Name, type, description.
    columns: Vec<(String, String, Option<String>)>,
    tests: Vec<(&'a DataTest, Option<LastTest>)>,
}

async fn show(opened: &Opened, node: &Node, as_json: bool) -> Outcome {
    let view = opened.view().await?;
    let forecast = Forecast::new(&opened.project, &view.state, view.now);
    let project = &*opened.project;
    let is_view = node.materialization == Materialization::View;
    let folder = project.warehouse.join(&node.relation.schema).join(&node.relation.name);
    let shown = Shown {
        project,
        node,
        folder: (!is_view).then_some(folder),
        versions: view.store.versions().await?.remove(&node.relation).unwrap_or_default(),
        waits: forecast.waits_for_tests(node),
        rows: rows_of(&view, node).await?,
        bytes: bytes_of(&sizes(&view).await?, node),
        columns: columns(&view, node).await?,
        tests: tests(&view, node).await?,
    };
    if as_json {
        say::json(&shown.as_json());
    } else {
        say::print(&shown.as_text());
    }
    Ok(0)
}

/// How large the tables are.
pub(crate) async fn sizes(view: &View) -> Result<BTreeMap<Relation, TableSize>, Faults> {
    let sizes = view.store.table_sizes().await?.into_iter();
    Ok(sizes.map(|size| (size.relation.clone(), size)).collect())
}

/// The bytes of a node's table; nothing for a view, and where nothing is filled.
pub(crate) fn bytes_of(sizes: &BTreeMap<Relation, TableSize>, node: &Node) -> Option<u64> {
    let size = sizes.get(&node.relation)?;
    size.version.filter(|_| size.bytes > 0).map(|_| size.bytes)
}

/// The rows of all that is filled; nothing for a view, and where nothing is filled.
async fn rows_of(view: &View, node: &Node) -> Result<Option<u64>, Faults> {
    if node.materialization == Materialization::View {
        return Ok(None);
    }
    let mut rows = None;
    for instance in node.instances() {
        let contents = view.store.contents(&instance, Interval::WHOLE).await?;
        let sum = contents.iter().map(|filled| filled.rows).reduce(|sum, rows| sum + rows);
        rows = sum.map(|sum| sum + rows.unwrap_or(0)).or(rows);
    }
    Ok(rows)
}

/// Those that the table has, with what the project says of them; before the first fill only the latter.
async fn columns(view: &View, node: &Node) -> Result<Vec<(String, String, Option<String>)>, Faults> {
    let catalog = view.store.catalog().await?;
    let known = catalog.into_iter().find(|entry| entry.relation == node.relation);
    let known = known.map(|entry| entry.columns).unwrap_or_default();
    let described = |name: &String| node.columns.get(name).cloned();
    let mut columns: Vec<_> = known
        .into_iter()
        .map(|column| {
            let description = described(&column.name);
            (column.name, sql_type::of_arrow(&column.data_type), description)
        })
        .collect();
    for (name, description) in &node.columns {
        if !columns.iter().any(|(known, ..)| known == name) {
            columns.push((name.clone(), String::new(), Some(description.clone())));
        }
    }
    Ok(columns)
}

async fn tests<'a>(view: &View, node: &'a Node) -> Result<Vec<(&'a DataTest, Option<LastTest>)>, Faults> {
    let mut last = view.store.last_tests(&node.name).await?;
    last.retain(|last| {
        let mut declared = node.tests.iter();
        declared.any(|test| test.name == last.name && test.fingerprint == last.fingerprint)
    });
    let of = |test: &DataTest| last.iter().find(|last| last.name == test.name).cloned();
    Ok(node.tests.iter().map(|test| (test, of(test))).collect())
}

impl Shown<'_> {
    fn as_text(&self) -> String {
        let node = self.node;
        let mut lines = vec![node.name.to_string()];
        lines.extend(node.description.as_ref().map(|text| format!("  {}", text.trim())));
        let mut say = |what: &str, text: String| lines.push(format!("  {what:<10} {text}"));
        say("kind", described(node));
        say("file", node.file.display().to_string());
        say("relation", node.relation.to_string());
        if let Some(folder) = &self.folder {
            say("folder", folder.to_string());
        }
        say("schedule", schedule(node));
        if let Some(owner) = &node.owner {
            say("owner", owner.clone());
        }
        if !node.tags.is_empty() {
            say("tags", node.tags.join(", "));
        }
        if let Some(rows) = self.rows {
            let bytes = self
                .bytes
                .map_or_else(String::new, |bytes| format!(", {}", say::size(bytes)));
            say("holds", format!("{}{bytes}", say::count(rows, "row")));
        }
        if let Some(newest) = self.versions.newest {
            say("version", self.version_text(newest));
        }
        say("reads", listed(node.reads.iter().map(|read| read.name().to_string())));
        say("read by", listed(self.readers()));
        lines.extend(self.columns_text());
        lines.extend(self.tests_text());
        lines.join("\n")
    }

    fn version_text(&self, newest: i64) -> String {
        let publishes = match self.node.publish {
            Publish::AtOnce => "",
            Publish::AfterTests => ", published after its data tests",
        };
        if !self.waits {
            return format!("{newest}{publishes}");
        }
        let since = self.versions.waits_since.map_or_else(String::new, |at| {
            format!(" (it waits since {})", say::moment(at, &self.node.grid.zone))
        });
        format!("{}{since}", waiting_text(Some(newest), self.versions.published))
    }

    fn readers(&self) -> impl Iterator<Item = String> {
        let reads = |node: &&Node| node.reads.iter().any(|read| *read.name() == self.node.name);
        self.project
            .nodes
            .iter()
            .filter(reads)
            .map(|node| node.name.to_string())
    }

    fn columns_text(&self) -> Vec<String> {
        if self.columns.is_empty() {
            return Vec::new();
        }
        let cell = |(name, data_type, description): &(String, String, Option<String>)| {
            let description = description.clone().unwrap_or_default();
            vec![format!("    {name}"), data_type.clone(), description]
        };
        let rows: Vec<Vec<String>> = self.columns.iter().map(cell).collect();
        let table = say::table(&["  columns", "", ""], &rows, &[]);
        table.lines().map(str::to_owned).collect()
    }

    fn tests_text(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.tests.is_empty() {
            lines.push("  data tests".to_owned());
        }
        for (test, last) in &self.tests {
            let Some(last) = last else {
                lines.push(format!("    {}: did not run yet", test.name));
                continue;
            };
            let at = say::moment(last.at, &self.node.grid.zone);
            let told = verdict(test, last);
            let rows = match last.failures {
                0 => String::new(),
                failures => format!(": {}", say::count(failures, "row")),
            };
            lines.push(format!("    {}: {told} at {at}{rows}", test.name));
            lines.extend(last.sample.iter().take(SHOWN_ROWS).map(|row| format!("      {row}")));
        }
        lines
    }

    fn as_json(&self) -> Value {
        let node = self.node;
        let at = |at| format_instant(at, &node.grid.zone);
        let tests = self.tests.iter().map(|(test, last)| {
            json!({
                "name": test.name, "severity": test.severity,
                "result": last.as_ref().map(|last| verdict(test, last)),
                "failures": last.as_ref().map(|last| last.failures),
                "sample": last.as_ref().map(|last| last.sample.clone()),
                "at": last.as_ref().map(|last| at(last.at)),
            })
        });
        let columns = self.columns.iter().map(|(name, data_type, description)| {
            json!({ "name": name, "type": (!data_type.is_empty()).then_some(data_type), "description": description })
        });
        json!({
            "node": node.name.as_str(), "kind": kind(node), "materialization": node.materialization,
            "description": node.description, "owner": node.owner, "tags": node.tags,
            "file": node.file, "relation": node.relation.to_string(), "folder": self.folder.as_ref().map(ToString::to_string),
            "interval": cut(node), "schedule": node.schedule.as_ref().map(|schedule| schedule.cron.to_string()),
            "rows": self.rows, "bytes": self.bytes,
            "version": self.versions.newest, "published": self.versions.published, "publish": node.publish,
            "waits_for_tests": self.waits, "waits_since": self.versions.waits_since.filter(|_| self.waits).map(at),
            "reads": node.reads.iter().map(|read| read.name().as_str()).collect::<Vec<_>>(),
            "read_by": self.readers().collect::<Vec<_>>(),
            "columns": columns.collect::<Vec<_>>(), "tests": tests.collect::<Vec<_>>(),
        })
    }
}

/// In one word how a test ended.
fn verdict(test: &DataTest, last: &LastTest) -> &'static str {
    match test.judge(last.failures) {
        Verdict::Passed => "passed",
        Verdict::Warned => "warned",
        Verdict::Failed => "failed",
    }
}

fn kind(node: &Node) -> &'static str {
    match node.materialization {
        Materialization::Seed => "seed",
        Materialization::Snapshot => "snapshot",
        Materialization::View | Materialization::Table | Materialization::Interval | Materialization::Incremental => {
            kind_of(node.materialization)
        }
    }
}

/// `table by day`, `table by day, for each country`.
fn described(node: &Node) -> String {
    let by = cut(node).map_or_else(String::new, |cut| format!(" by {cut}"));
    let how = match node.materialization {
        Materialization::Incremental => ", incremental",
        Materialization::View
        | Materialization::Table
        | Materialization::Interval
        | Materialization::Snapshot
        | Materialization::Seed => "",
    };
    let keys: Vec<&str> = node.keys.iter().map(|key| key.name.as_str()).collect();
    let keys = if keys.is_empty() {
        String::new()
    } else {
        format!(", for each {}", keys.join(" and "))
    };
    format!("{}{by}{how}{keys}", kind(node))
}

/// How the node's time is cut; nothing where it is not.
fn cut(node: &Node) -> Option<String> {
    match &node.grid.cut {
        Cut::Whole => None,
        Cut::Unit(unit) => Some(unit.as_str().to_owned()),
        Cut::Cron(cron) => Some(format!("cron '{cron}'")),
    }
}

fn schedule(node: &Node) -> String {
    node.schedule.as_ref().map_or_else(
        || "-".to_owned(),
        |schedule| format!("{} ({})", schedule.cron, schedule.zone),
    )
}

fn listed(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}
