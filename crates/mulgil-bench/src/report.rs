//! What a benchmark found: `docs/bench/NAME.json` and a readable table beside it, misses included.

use std::{fmt::Write as _, fs};

use anyhow::{Result, bail};
use serde_json::{Map, Value, json};

use crate::place;

/// One figure.
pub(crate) struct Row {
    /// What was done.
    pub(crate) work: &'static str,
    /// What was measured: `time`, `peak memory`.
    pub(crate) metric: &'static str,
    /// In what: `s`, `ms`, `MiB`.
    pub(crate) unit: &'static str,
    /// `<= 5`, or empty.
    pub(crate) goal: &'static str,
    /// Ours.
    pub(crate) mulgil: f64,
    /// Others, on the same work in the same run.
    pub(crate) peers: Vec<(&'static str, f64)>,
}

impl Row {
    /// Whether the goal is met; a row without a goal is.
    fn is_met(&self) -> Result<bool> {
        match self.goal.split_once(' ') {
            None if self.goal.is_empty() => Ok(true),
            Some(("<=", bound)) => Ok(self.mulgil <= bound.parse::<f64>()?),
            _ => bail!("a goal is written `<= 5`, not `{}`", self.goal),
        }
    }
}

/// Writes both files and prints the table.
pub(crate) fn write(name: &str, rows: &[Row], notes: &str) -> Result<()> {
    let date = jiff::Zoned::now().date().to_string();
    let (machine, versions) = (machine(), versions());
    let json_rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            let peers: Map<String, Value> = row
                .peers
                .iter()
                .map(|(peer, value)| ((*peer).to_owned(), json!(rounded(*value))))
                .collect();
            json!({ "work": row.work, "metric": row.metric, "unit": row.unit, "goal": row.goal,
                "mulgil": rounded(row.mulgil), "peers": peers })
        })
        .collect();
    let whole = json!({ "date": date, "machine": machine, "versions": versions, "rows": json_rows });
    let mut table = format!("# Benchmark: {name}\n\n{date}, {machine}, {versions}.\n\n");
    table.push_str("| work | metric | Mulgil | goal | met | peer |\n|---|---|---:|---|---|---|\n");
    for row in rows {
        let met = match (row.goal.is_empty(), row.is_met()?) {
            (true, _) => "",
            (false, true) => "yes",
            (false, false) => "**no**",
        };
        let peers: Vec<String> = row
            .peers
            .iter()
            .map(|(peer, value)| {
                format!(
                    "{peer} {} {} (ratio {:.2})",
                    rounded(*value),
                    row.unit,
                    row.mulgil / value
                )
            })
            .collect();
        let goal = if row.goal.is_empty() {
            String::new()
        } else {
            format!("{} {}", row.goal, row.unit)
        };
        writeln!(
            table,
            "| {} | {} | {} {} | {goal} | {met} | {} |",
            row.work,
            row.metric,
            rounded(row.mulgil),
            row.unit,
            peers.join("; ")
        )?;
    }
    write!(table, "\n{}\n", notes.trim())?;
    let folder = place::repository().join("docs/bench");
    fs::create_dir_all(&folder)?;
    fs::write(
        folder.join(format!("{name}.json")),
        serde_json::to_string_pretty(&whole)? + "\n",
    )?;
    fs::write(folder.join(format!("{name}.md")), &table)?;
    println!("{table}");
    Ok(())
}

/// Three significant digits are what such a measurement is worth.
fn rounded(value: f64) -> f64 {
    if value == 0.0 {
        return 0.0;
    }
    let scale = 10_f64.powi(2 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}

fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("unknown processor");
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: u64 = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    format!(
        "{cores} cores of {}, {} GiB",
        model.trim_start_matches([' ', '\t', ':']).trim(),
        kib / 1_048_576
    )
}

fn versions() -> String {
    let duckdb = std::process::Command::new(place::python())
        .args(["-c", "import duckdb; print(duckdb.__version__)"])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .map_or_else(
            || "DuckDB not installed".to_owned(),
            |output| format!("DuckDB {}", String::from_utf8_lossy(&output.stdout).trim()),
        );
    format!("Mulgil {}, {duckdb}", env!("CARGO_PKG_VERSION"))
}
