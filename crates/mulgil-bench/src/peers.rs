//! The programs that Mulgil is measured beside: Python packages in environments of their own, made once
//! in the scratch folder and made again when their list of packages changes.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::place;

/// Threads that DuckDB and Mulgil may use: the same.
pub(crate) const THREADS: usize = 2;

/// An environment; each has a list of packages of its name in `peers/`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peers {
    /// DuckDB, deltalake, and the generator of TPC-H's tables.
    Duckdb,
    /// The last DuckDB that has TPC-H and TPC-DS as packages.
    Tpc,
    /// dbt on DuckDB.
    Dbt,
    /// Apache Airflow.
    Airflow,
    /// Prefect with its server.
    Prefect,
    /// Dagster with its web server.
    Dagster,
    /// What drives a browser.
    Browser,
}

impl Peers {
    /// The name of its list and of its scripts.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Duckdb => "duckdb",
            Self::Tpc => "tpc",
            Self::Dbt => "dbt",
            Self::Airflow => "airflow",
            Self::Prefect => "prefect",
            Self::Dagster => "dagster",
            Self::Browser => "browser",
        }
    }

    /// As it is called in tables.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Duckdb | Self::Tpc => "DuckDB",
            Self::Dbt => "dbt",
            Self::Airflow => "Airflow",
            Self::Prefect => "Prefect",
            Self::Dagster => "Dagster",
            Self::Browser => "Chromium",
        }
    }

    /// As it is called in tables, with the version of the first package of its list.
    pub(crate) fn version(self) -> Result<String> {
        let list = fs::read_to_string(ours().join(format!("{}.txt", self.name())))?;
        let first = list.lines().next().and_then(|line| line.split_once("=="));
        let (_, version) = first.with_context(|| format!("{} is not pinned", self.name()))?;
        Ok(format!("{} {version}", self.title()))
    }

    /// A program of the environment, such as `python`.
    pub(crate) fn program(self, program: &str) -> Result<Command> {
        Ok(Command::new(self.folder()?.join("bin").join(program)))
    }

    /// Python with one of our scripts in `peers/`.
    pub(crate) fn script(self, script: &str) -> Result<Command> {
        let mut command = self.program("python")?;
        command.arg(ours().join(script));
        Ok(command)
    }

    /// The environment's folder, made where it is missing or out of date.
    fn folder(self) -> Result<PathBuf> {
        let list = ours().join(format!("{}.txt", self.name()));
        let wanted = fs::read_to_string(&list).with_context(|| list.display().to_string())?;
        let folder = place::scratch()?.join(format!("python-{}", self.name()));
        let stamp = folder.join("packages.txt");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(folder);
        }
        eprintln!(
            "installing {} into {}",
            wanted.trim().replace('\n', ", "),
            folder.display()
        );
        let base = std::env::var("MULGIL_BENCH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        done(Command::new(base).args(["-m", "venv", "--clear"]).arg(&folder))?;
        done(
            Command::new(folder.join("bin/python"))
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
                .args(["--only-binary", ":all:", "-r"])
                .arg(&list),
        )?;
        // Written last: an installation that was cut off is not taken for a whole one.
        fs::write(&stamp, wanted)?;
        Ok(folder)
    }
}

fn ours() -> PathBuf {
    place::repository().join("crates/mulgil-bench/peers")
}

/// A folder of Parquet files with tables made from row numbers, of so many rows each: those of
/// `peers/tables.py` that are named.
pub(crate) fn tables(rows: u64, names: &[&str]) -> Result<PathBuf> {
    place::kept(&format!("{}-{rows}", names.join("-")), |folder| {
        let mut script = Peers::Duckdb.script("tables.py")?;
        done(script.arg(rows.to_string()).arg(folder).args(names))
    })
}

/// Runs a program to its end; it must succeed. What it prints is ours.
pub(crate) fn done(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

/// DuckDB in a process of its own, over a folder of Parquet files; it ends when this goes.
pub(crate) struct Duckdb {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What DuckDB said to one query.
struct Answer {
    /// How long each run took.
    seconds: Vec<f64>,
    /// Its rows as text; none when they were not asked for.
    rows: Vec<Vec<Option<String>>>,
}

impl Duckdb {
    /// Over all Parquet files of a folder, each a table by its name.
    pub(crate) fn over(folder: &Path) -> Result<Self> {
        let mut child = Peers::Duckdb
            .script("ask.py")?
            .arg(THREADS.to_string())
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let questions = child.stdin.take().context("no way to ask")?;
        let answers = BufReader::new(child.stdout.take().context("no way to hear")?);
        Ok(Self {
            child,
            questions,
            answers,
        })
    }

    /// The rows of a query.
    pub(crate) fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        Ok(self.ask(sql, 1, true)?.rows)
    }

    /// The time of the fastest of so many runs.
    pub(crate) fn best(&mut self, sql: &str, runs: usize) -> Result<f64> {
        let seconds = self.ask(sql, runs, false)?.seconds;
        seconds.into_iter().min_by(f64::total_cmp).context("no run at all")
    }

    fn ask(&mut self, sql: &str, runs: usize, rows: bool) -> Result<Answer> {
        writeln!(self.questions, "{}", json!({ "sql": sql, "runs": runs, "rows": rows }))?;
        self.questions.flush()?;
        let mut line = String::new();
        ensure!(self.answers.read_line(&mut line)? > 0, "DuckDB has gone");
        let said: Value = serde_json::from_str(&line)?;
        if let Some(error) = said["error"].as_str() {
            bail!("DuckDB: {error}");
        }
        let seconds = said["seconds"].as_array().context("no seconds")?;
        let rows = said["rows"].as_array().context("no rows")?;
        Ok(Answer {
            seconds: seconds.iter().filter_map(Value::as_f64).collect(),
            rows: rows.iter().map(cells).collect(),
        })
    }
}

fn cells(row: &Value) -> Vec<Option<String>> {
    let cells = row.as_array().map(Vec::as_slice).unwrap_or_default();
    cells.iter().map(|cell| cell.as_str().map(str::to_owned)).collect()
}

impl Drop for Duckdb {
    fn drop(&mut self) {
        // It only reads; when it has gone already there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
