//! `mulgil status`: how every node stands; or those that are named, range by range.

use std::collections::BTreeMap;

use mulgil_core::{
    data_test::Verdict,
    interval::{Instant, Interval},
    interval_text::{self, format_instant},
    name::{Instance, Relation},
    plan::Forecast,
    project::{DataTest, Node, Project},
    why::{Status, statuses},
};
use mulgil_store::TableSize;
use serde_json::{Value, json};

use crate::{
    cli::{self, Global},
    command::{
        Outcome, nodes,
        plan::{range_json, reason_text},
    },
    say,
    wire::{self, View},
};

pub(crate) async fn status(global: &Global, flags: &cli::Status) -> Outcome {
    let opened = wire::open(global)?;
    opened.warnings.iter().for_each(say::fault);
    let selection = opened.select(&flags.select, None)?;
    // What is named is shown range by range; to leave out something is not to name the rest.
    let with_ranges = !flags.select.chosen().is_empty();
    let view = opened.view().await?;
    let forecast = Forecast::new(&opened.project, &view.state, view.now);
    let instances = forecast
        .instances()
        .iter()
        .filter(|instance| selection.ranges.contains_key(instance));
    let sizes = nodes::sizes(&view).await?;
    let rows: Vec<Row> = instances
        .filter_map(|instance| Row::of(&forecast, &sizes, instance))
        .collect();
    let gone = gone(&opened.project, &view, &rows).await?;
    if flags.json {
        let rows: Vec<Value> = rows
            .iter()
            .map(|row| row.as_json(&opened.project, with_ranges))
            .collect();
        say::json(
            &json!({ "project": opened.project.name, "environment": opened.project.environment,
            "now": format_instant(view.now, &opened.project.zone), "nodes": rows, "gone": gone.iter().map(Gone::as_json).collect::<Vec<_>>() }),
        );
        return Ok(0);
    }
    if with_ranges {
        for row in &rows {
            say::print(&row.ranges_text());
        }
    } else {
        say::print(&overview(&rows));
    }
    for file in &gone {
        say::print(&format!(
            "gone: {} of {} ({}); the rows that were read from it stay",
            file.file, file.source, file.range
        ));
    }
    Ok(0)
}

/// One instance and how its ranges stand.
struct Row<'a> {
    instance: Instance,
    node: &'a Node,
    parts: Vec<(Interval, Status, u64)>,
    failed_tests: Vec<String>,
    /// Intervals that are filled and held since the table went back.
    rolled_back: u64,
    /// Its newest version and the one that readers see, where data tests keep the newest from them.
    waits: Option<(Option<i64>, Option<i64>)>,
    filled_at: Option<Instant>,
    /// The bytes of its table; those of all keys together.
    bytes: Option<u64>,
}

/// A file that was read once and is not there now.
struct Gone {
    source: String,
    file: String,
    range: String,
}

impl<'a> Row<'a> {
    fn of(forecast: &Forecast<'a>, sizes: &BTreeMap<Relation, TableSize>, instance: &Instance) -> Option<Self> {
        let node = forecast.node(&instance.node)?;
        let known = statuses(forecast, instance);
        let state = forecast.state.nodes.get(instance);
        let tests = forecast
            .state
            .nodes
            .get(&Instance::of(node.name.clone()))
            .map(|state| &state.tests);
        let failed = |test: &&DataTest| {
            tests
                .and_then(|tests| tests.get(&test.name))
                .is_some_and(|last| test.judge(last.failures) != Verdict::Passed)
        };
        Some(Self {
            instance: instance.clone(),
            node,
            parts: known
                .iter()
                .map(|(range, status)| (range, status.clone(), node.grid.count(range)))
                .collect(),
            rolled_back: forecast.terms(instance).map_or(0, |terms| {
                let back = terms.filled.intersect(&terms.rolled_back.keys());
                back.iter().map(|range| node.grid.count(range)).sum()
            }),
            waits: forecast.waits_for_tests(node).then(|| {
                let table = forecast.state.tables.get(&node.relation);
                (
                    table.and_then(|table| table.version),
                    table.and_then(|table| table.published),
                )
            }),
            failed_tests: node.tests.iter().filter(failed).map(|test| test.name.clone()).collect(),
            filled_at: state.and_then(|state| state.made_at.iter().map(|(_, at)| *at).max()),
            bytes: nodes::bytes_of(sizes, node),
        })
    }

    /// How many intervals stand how, in the order of the first of each: `363 fresh, 2 stale (source)`.
    fn summary(&self) -> String {
        let mut sums: Vec<(String, u64)> = Vec::new();
        for (_, status, count) in &self.parts {
            let word = self.word(status);
            match sums.iter_mut().find(|(known, _)| *known == word) {
                Some((_, sum)) => *sum += count,
                None => sums.push((word, *count)),
            }
        }
        if sums.is_empty() {
            return "nothing wanted yet".to_owned();
        }
        let is_cut = self.node.grid.is_cut();
        let one = |(word, sum): &(String, u64)| {
            if is_cut {
                format!("{} {word}", say::thousands(*sum))
            } else {
                word.clone()
            }
        };
        let mut text = sums.iter().map(one).collect::<Vec<_>>().join(", ");
        if !self.failed_tests.is_empty() {
            text = format!("{text}; failed: {}", self.failed_tests.join(", "));
        }
        text
    }

    fn word(&self, status: &Status) -> String {
        match status {
            Status::Stale { reason } => format!("stale ({})", reason.kind()),
            Status::Untested | Status::Held { .. } => status_text(status, self.waits.is_some()),
            other => other.as_str().to_owned(),
        }
    }

    fn filled(&self) -> String {
        let is_filled = |status: &Status| match status {
            Status::Missing | Status::Waiting { .. } | Status::NotExpected | Status::Waived => false,
            Status::Running | Status::Held { .. } | Status::Failed => false,
            Status::Stale { .. } | Status::Untested | Status::Provisional | Status::Fresh | Status::Sealed => true,
        };
        let filled: u64 = self
            .parts
            .iter()
            .filter(|(_, status, _)| is_filled(status))
            .map(|(.., count)| count)
            .sum();
        let all: u64 = self.parts.iter().map(|(.., count)| count).sum();
        let filled = filled + self.rolled_back;
        format!("{}/{}", say::thousands(filled), say::thousands(all))
    }

    fn at(&self) -> String {
        self.filled_at
            .map_or_else(|| "-".to_owned(), |at| say::moment(at, &self.node.grid.zone))
    }

    fn ranges_text(&self) -> String {
        let rows: Vec<Vec<String>> = self
            .parts
            .iter()
            .map(|(range, status, count)| {
                vec![
                    interval_text::format(*range, &self.node.grid),
                    count.to_string(),
                    status_text(status, self.waits.is_some()),
                ]
            })
            .collect();
        let mut text = format!(
            "{}\n{}",
            self.instance,
            say::table(&["interval", "count", "status"], &rows, &[1])
        );
        for test in &self.failed_tests {
            text = format!("{text}\nfailed: {test}");
        }
        if let Some((newest, published)) = self.waits {
            text = format!("{text}\n{}", waiting_text(newest, published));
        }
        text
    }

    fn as_json(&self, project: &Project, with_ranges: bool) -> Value {
        let mut counts = serde_json::Map::new();
        for (_, status, count) in &self.parts {
            let sum = counts.get(status.as_str()).and_then(Value::as_u64).unwrap_or(0);
            counts.insert(status.as_str().to_owned(), json!(sum + count));
        }
        let mut out = json!({
            "node": self.instance.to_string(),
            "relation": self.node.relation.to_string(),
            "counts": counts,
            "failed_tests": self.failed_tests,
            "filled_at": self.filled_at.map(|at| format_instant(at, &self.node.grid.zone)),
            "bytes": self.bytes,
        });
        if let Some((newest, published)) = self.waits {
            out["waits_for_tests"] = json!({ "version": newest, "published": published });
        }
        if with_ranges {
            let ranges = self.parts.iter().map(|(range, status, count)| {
                json!({ "interval": range_json(project, &self.instance, *range, *count), "status": status })
            });
            out["ranges"] = ranges.collect();
        }
        out
    }
}

impl Gone {
    fn as_json(&self) -> Value {
        json!({ "source": self.source, "file": self.file, "interval": self.range })
    }
}

/// `version 7 waits for its data tests; readers see version 6`.
pub(crate) fn waiting_text(newest: Option<i64>, published: Option<i64>) -> String {
    let newest = newest.map_or_else(|| "its newest version".to_owned(), |newest| format!("version {newest}"));
    let seen = published.map_or_else(
        || "readers see nothing of the table yet".to_owned(),
        |published| format!("readers see version {published}"),
    );
    format!("{newest} waits for its data tests; {seen}")
}

/// A status in words; `waits`, where data tests keep the newest version from readers.
pub(crate) fn status_text(status: &Status, waits: bool) -> String {
    match status {
        Status::Untested if waits => "waiting: tests".to_owned(),
        Status::Held {
            rolled_back_to: Some(to),
        } => format!("held: rolled back to version {to}"),
        Status::Waiting { on } => format!("waiting for {on}"),
        Status::Stale { reason } => format!("stale; {}", reason_text(reason)),
        other => other.as_str().to_owned(),
    }
}

fn overview(rows: &[Row<'_>]) -> String {
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let size = row.bytes.map_or_else(|| "-".to_owned(), say::size);
            vec![row.instance.to_string(), row.filled(), row.summary(), row.at(), size]
        })
        .collect();
    say::table(&["node", "filled", "status", "last filled", "size"], &cells, &[1, 4])
}

/// The files that were read once and are not there now, each once.
async fn gone(project: &Project, view: &View, rows: &[Row<'_>]) -> Result<Vec<Gone>, crate::command::Faults> {
    let mut out: Vec<Gone> = Vec::new();
    for source in &project.sources {
        let Some(state) = view
            .state
            .sources
            .get(&source.name)
            .filter(|state| !state.gone.is_empty())
        else {
            continue;
        };
        let reads = |row: &&Row<'_>| row.node.inputs.iter().any(|input| *input.from.name() == source.name);
        if !rows.iter().any(|row| reads(&row)) {
            continue;
        }
        for (file, range) in view.store.files_gone(&source.name).await? {
            if state.gone.overlaps(range) {
                let range = interval_text::format(range, &source.grid);
                out.push(Gone {
                    source: source.name.to_string(),
                    file: file.display().to_string(),
                    range,
                });
            }
        }
    }
    Ok(out)
}
