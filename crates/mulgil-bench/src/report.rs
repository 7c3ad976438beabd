//! What a benchmark found: `docs/bench/NAME.json` and a readable table beside it, misses included.

use std::{fmt::Write as _, fs, process::Command};

use anyhow::{Result, bail};
use serde_json::{Map, Value, json};

use crate::{peers::Peers, place};

/// One figure.
pub(crate) struct Row {
    /// What was done.
    pub(crate) work: String,
    /// What was measured: `time`, `peak memory`.
    pub(crate) metric: &'static str,
    /// In what: `s`, `ms`, `MiB`.
    pub(crate) unit: &'static str,
    /// `<= 5`, `>= 5`, or empty.
    pub(crate) goal: String,
    /// Ours; nothing where it failed.
    pub(crate) mulgil: Option<f64>,
    /// Others, on the same work in the same run.
    pub(crate) peers: Vec<(String, f64)>,
}

impl Row {
    /// Whether the goal is met; a row without a goal is.
    fn is_met(&self) -> Result<bool> {
        match self.goal.split_once(' ') {
            None if self.goal.is_empty() => Ok(true),
            Some(("<=", bound)) => {
                let bound = bound.parse::<f64>()?;
                Ok(self.mulgil.is_some_and(|ours| ours <= bound))
            }
            Some((">=", bound)) => {
                let bound = bound.parse::<f64>()?;
                Ok(self.mulgil.is_some_and(|ours| ours >= bound))
            }
            _ => bail!("a goal is written `<= 5` or `>= 5`, not `{}`", self.goal),
        }
    }
}

/// A row from its parts.
pub(crate) fn row(
    work: &str,
    metric: &'static str,
    unit: &'static str,
    goal: &str,
    mulgil: impl Into<Option<f64>>,
    peers: Vec<(&str, f64)>,
) -> Row {
    Row {
        work: work.to_owned(),
        metric,
        unit,
        goal: goal.to_owned(),
        mulgil: mulgil.into(),
        peers: peers
            .into_iter()
            .map(|(peer, value)| (peer.to_owned(), value))
            .collect(),
    }
}

/// Writes both files and prints the table; of a part of what belongs into them it only prints.
pub(crate) fn write_whole(is_whole: bool, name: &str, rows: &[Row], notes: &str) -> Result<()> {
    write_of(is_whole, name, &versions(), rows, notes)
}

/// As [`write_whole`], where other programs than DuckDB are beside us: `Airflow 3.3.2, …`.
pub(crate) fn write_whole_beside(is_whole: bool, name: &str, peers: &str, rows: &[Row], notes: &str) -> Result<()> {
    write_of(is_whole, name, &format!("{}, {peers}", version()), rows, notes)
}

/// Writes both files and prints the table.
pub(crate) fn write(name: &str, rows: &[Row], notes: &str) -> Result<()> {
    write_of(true, name, &versions(), rows, notes)
}

fn write_of(is_whole: bool, name: &str, versions: &str, rows: &[Row], notes: &str) -> Result<()> {
    let table = table(name, versions, rows, notes)?;
    if !is_whole {
        println!("{table}");
        return Ok(());
    }
    let json_rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            let peers: Map<String, Value> = row
                .peers
                .iter()
                .map(|(peer, value)| (peer.clone(), json!(rounded(*value))))
                .collect();
            json!({ "work": row.work, "metric": row.metric, "unit": row.unit, "goal": row.goal,
                "mulgil": row.mulgil.map(rounded), "peers": peers })
        })
        .collect();
    let whole = json!({ "date": date(), "machine": machine(), "versions": versions, "rows": json_rows });
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

/// The readable table, with its head and what is to be said of it.
fn table(name: &str, versions: &str, rows: &[Row], notes: &str) -> Result<String> {
    let mut table = format!("# Benchmark: {name}\n\n{}, {}, {versions}.\n\n", date(), machine());
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
                let ratio = row.mulgil.filter(|_| *value != 0.0);
                let ratio = ratio.map(|ours| format!(" (ratio {:.2})", ours / value));
                let value = format!("{} {}", rounded(*value), row.unit);
                format!("{peer} {}{}", value.trim(), ratio.unwrap_or_default())
            })
            .collect();
        let goal = format!("{} {}", row.goal, row.unit);
        let goal = if row.goal.is_empty() { "" } else { goal.trim() };
        let ours = match row.mulgil {
            Some(ours) => format!("{} {}", rounded(ours), row.unit).trim().to_owned(),
            None => "**failed**".to_owned(),
        };
        writeln!(
            table,
            "| {} | {} | {ours} | {goal} | {met} | {} |",
            row.work,
            row.metric,
            peers.join("; ")
        )?;
    }
    write!(table, "\n{}\n", notes.trim())?;
    Ok(table)
}

/// Three significant digits are what such a measurement is worth.
fn rounded(value: f64) -> f64 {
    if value == 0.0 {
        return 0.0;
    }
    let scale = 10_f64.powi(2 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}

/// Today.
pub(crate) fn date() -> String {
    jiff::Zoned::now().date().to_string()
}

/// What it ran on.
pub(crate) fn machine() -> String {
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

/// Ours.
fn version() -> String {
    let program = place::program().and_then(|program| said(Command::new(program).arg("--version")));
    let mulgil = program.unwrap_or_else(|_| "mulgil".to_owned());
    mulgil.replacen("mulgil", "Mulgil", 1)
}

/// Ours, and that of the peer that is beside us wherever SQL is asked.
pub(crate) fn versions() -> String {
    let script = "import duckdb; print(duckdb.__version__)";
    let duckdb = Peers::Duckdb
        .program("python")
        .and_then(|mut python| said(python.args(["-c", script])));
    format!("{}, DuckDB {}", version(), duckdb.as_deref().unwrap_or("not installed"))
}

fn said(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    if !output.status.success() {
        bail!("{command:?} ended with {}", output.status);
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
