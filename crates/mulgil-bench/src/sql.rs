//! What SQL costs: TPC-H's queries beside DuckDB, many small tables beside dbt, rows written, and what a
//! commit costs in a table of many files.

use std::{fmt::Write as _, fs, path::Path, process::Stdio};

use anyhow::{Context as _, Result, ensure};
use jiff::civil::{Date, date};
use serde_json::Value;

use crate::{
    measure::{self, Taken},
    peers::{self, Duckdb, Peers, THREADS},
    place,
    report::{self, Row, row},
    tpc::{self, Suite},
};

/// Of so many runs of a query the fastest counts.
const RUNS: usize = 3;

/// The parts, each of which may be measured by itself.
pub(crate) const PARTS: [&str; 4] = ["tpch", "small", "write", "commit"];

/// Measures the parts that are named, else all, and writes docs/bench/sql; of some of them alone it only
/// prints.
pub(crate) fn bench(parts: &[&str]) -> Result<()> {
    for part in parts {
        ensure!(PARTS.contains(part), "`{part}` is none of {}", PARTS.join(", "));
    }
    let is_wanted = |part: &str| parts.is_empty() || parts.contains(&part);
    let (mut rows, mut notes) = (Vec::new(), String::new());
    if is_wanted("tpch") {
        tpch(&mut rows, &mut notes)?;
    }
    if is_wanted("small") {
        small(&mut rows)?;
    }
    if is_wanted("write") {
        write(&mut rows)?;
    }
    if is_wanted("commit") {
        commit(&mut rows)?;
    }
    notes.push_str(NOTES);
    report::write_whole(parts.is_empty(), "sql", &rows, &notes)
}

const NOTES: &str = "\
TPC-H's tables come from `tpchgen-cli` as Parquet; models copy them into tables of ours, DuckDB reads the files. Ours is \
the time of a whole process for each query, from start to exit; DuckDB's is one process that answers all of them. Start is \
`select 1`; planning is `explain` of the query without the start; what is left is taken for execution.

The small tables are models of a dbt project, each with a test, in one folder that both read; both begin without a \
database, a ledger or parsed files. Rows are written from a Parquet file of five columns; the times are those of \
processes. A table of so many files is one by day with a row a day; its next day is one more commit, which `runs show` \
times from claim to record, and the clock from start to exit.
";

/// One query's figures, in seconds.
struct Query {
    number: usize,
    ours: f64,
    /// Of which until the plan stood.
    planned: f64,
    theirs: f64,
}

impl Query {
    fn ratio(&self) -> f64 {
        self.ours / self.theirs
    }
}

fn tpch(rows: &mut Vec<Row>, notes: &mut String) -> Result<()> {
    let data = Suite::H.data("1")?;
    let project = tpc::project("tpch-1", &data, &format!("threads: {THREADS}\n"))?;
    let mut duckdb = Duckdb::over(&data)?;
    let floor = tpc::best(&project, "select 1", 10)?.seconds;
    let mut queries = Vec::new();
    for (number, sql) in Suite::H.queries()? {
        let taken = Query {
            number,
            ours: tpc::best(&project, &sql, RUNS)?.seconds,
            planned: tpc::best(&project, &format!("explain {sql}"), RUNS)?.seconds,
            theirs: duckdb.best(&sql, RUNS)?,
        };
        println!("TPC-H {number}: {:.3} s, DuckDB {:.3} s", taken.ours, taken.theirs);
        queries.push(taken);
    }
    place::remove(&project)?;
    tpch_rows(rows, &queries, floor);
    tpch_notes(notes, &queries)
}

fn tpch_rows(rows: &mut Vec<Row>, queries: &[Query], floor: f64) {
    let mean = |of: &dyn Fn(&Query) -> f64| {
        let sum: f64 = queries.iter().map(|query| of(query).max(1e-4).ln()).sum();
        (sum / queries.len() as f64).exp()
    };
    let peer = "DuckDB";
    let work = "TPC-H SF 1, 22 queries, geometric mean";
    let theirs = mean(&|query| query.theirs) * 1e3;
    rows.push(row(
        work,
        "time",
        "ms",
        "",
        mean(&|query| query.ours) * 1e3,
        vec![(peer, theirs)],
    ));
    let without_start = mean(&|query| query.ours - floor) * 1e3;
    rows.push(row(
        work,
        "time without the start",
        "ms",
        "",
        without_start,
        vec![(peer, theirs)],
    ));
    let work = "TPC-H SF 1, 22 queries, one after the other";
    let sum = |of: &dyn Fn(&Query) -> f64| queries.iter().map(of).sum::<f64>();
    let theirs = sum(&|query| query.theirs);
    rows.push(row(
        work,
        "time",
        "s",
        "",
        sum(&|query| query.ours),
        vec![(peer, theirs)],
    ));
    rows.push(row(work, "of it start", "s", "", floor * queries.len() as f64, vec![]));
    let planning = sum(&|query| query.planned - floor);
    rows.push(row(work, "of it planning", "s", "", planning, vec![]));
    let execution = sum(&|query| query.ours - query.planned);
    rows.push(row(work, "of it execution", "s", "", execution, vec![]));
    let mut slowest: Vec<&Query> = queries.iter().collect();
    slowest.sort_by(|a, b| b.ratio().total_cmp(&a.ratio()));
    for query in slowest.into_iter().take(3) {
        let work = format!("TPC-H SF 1, query {}, one of the three slowest", query.number);
        let peers = vec![(peer, query.theirs * 1e3)];
        rows.push(row(&work, "time", "ms", "", query.ours * 1e3, peers));
    }
    rows.push(row(
        "`select 1`, from start to exit",
        "time",
        "ms",
        "",
        floor * 1e3,
        vec![],
    ));
}

fn tpch_notes(notes: &mut String, queries: &[Query]) -> Result<()> {
    notes.push_str("| query | Mulgil | of it until planned | DuckDB | ratio |\n|---:|---:|---:|---:|---:|\n");
    for query in queries {
        writeln!(
            notes,
            "| {} | {:.0} ms | {:.0} ms | {:.0} ms | {:.2} |",
            query.number,
            query.ours * 1e3,
            query.planned * 1e3,
            query.theirs * 1e3,
            query.ratio()
        )?;
    }
    notes.push('\n');
    Ok(())
}

const SMALL_TABLES: usize = 200;

/// One folder, read by both.
fn small(rows: &mut Vec<Row>) -> Result<()> {
    let project = place::empty("project-small")?;
    place::write_all(
        &project,
        small_project().iter().map(|(path, text)| (path.as_str(), text.clone())),
    )?;
    let ours = measure::median(RUNS, || {
        place::remove(&project.join("warehouse"))?;
        place::remove(&project.join(".mulgil"))?;
        measure::run(place::mulgil(&project)?.arg("run"))
    })?;
    let theirs = measure::median(RUNS, || {
        place::remove(&project.join("target"))?;
        let database = project.join("small.duckdb");
        if database.exists() {
            fs::remove_file(database)?;
        }
        let mut dbt = Peers::Dbt.program("dbt")?;
        dbt.args(["--quiet", "build", "--profiles-dir", "."])
            .current_dir(&project);
        measure::run(&mut dbt)
    })?;
    place::remove(&project)?;
    let work = format!("{SMALL_TABLES} small tables and {SMALL_TABLES} tests, from nothing");
    let peer = "dbt-core 1.11.16 with dbt-duckdb 1.11.1";
    rows.push(row(
        &work,
        "time",
        "s",
        "<= 1",
        ours.seconds,
        vec![(peer, theirs.seconds)],
    ));
    rows.push(row(
        &work,
        "peak memory",
        "MiB",
        "",
        ours.peak_mib,
        vec![(peer, theirs.peak_mib)],
    ));
    Ok(())
}

fn small_project() -> Vec<(String, String)> {
    let mut files = vec![
        (
            "dbt_project.yml".to_owned(),
            "name: small\nversion: 1.0.0\nconfig-version: 2\nprofile: small\nflags:\n  send_anonymous_usage_stats: false\n\
             models:\n  small:\n    +materialized: table\n"
                .to_owned(),
        ),
        (
            "profiles.yml".to_owned(),
            format!(
                "small:\n  target: dev\n  outputs:\n    dev:\n      type: duckdb\n      path: small.duckdb\n      \
                 schema: main\n      threads: {THREADS}\n"
            ),
        ),
    ];
    let mut properties = String::from("version: 2\nmodels:\n");
    for index in 0..SMALL_TABLES {
        let sql = match index % 4 {
            0 => format!("select {index} as id, 'table {index}' as name, 1.5 as amount\n"),
            _ => format!(
                "select id + 1 as id, name, amount from {{{{ ref('m{}') }}}}\n",
                index - 1
            ),
        };
        files.push((format!("models/m{index}.sql"), sql));
        properties.push_str(&format!(
            "  - name: m{index}\n    columns:\n      - name: id\n        data_tests: [not_null]\n"
        ));
    }
    files.push(("models/schema.yml".to_owned(), properties));
    files
}

const WRITTEN_ROWS: u64 = 5_000_000;

fn write(rows: &mut Vec<Row>) -> Result<()> {
    let data = peers::tables(WRITTEN_ROWS, &["narrow"])?;
    let source = data.join("narrow.parquet");
    // Filled once to have the project; what is measured is the fill from nothing.
    let project = tpc::project("write", &data, &format!("threads: {THREADS}\n"))?;
    let ours = measure::median(RUNS, || {
        place::remove(&project.join("warehouse"))?;
        place::remove(&project.join(".mulgil"))?;
        measure::run(place::mulgil(&project)?.arg("run"))
    })?;
    let written = place::bytes_of(&project.join("warehouse"))?;
    place::remove(&project)?;
    let duckdb = written_by("duckdb", &source)?;
    let deltalake = written_by("deltalake", &source)?;
    let work = format!(
        "a table of {} million rows from a Parquet file",
        WRITTEN_ROWS / 1_000_000
    );
    let peers = |of: &dyn Fn(&(Taken, u64)) -> f64| {
        vec![
            ("DuckDB COPY to Parquet", of(&duckdb)),
            ("deltalake 1.6.6 fed by DuckDB", of(&deltalake)),
        ]
    };
    let ours = (ours, written);
    let seconds = |taken: &(Taken, u64)| taken.0.seconds;
    let speed = |taken: &(Taken, u64)| WRITTEN_ROWS as f64 / 1e6 / taken.0.seconds;
    let throughput = |taken: &(Taken, u64)| taken.1 as f64 / 1e6 / taken.0.seconds;
    let peak = |taken: &(Taken, u64)| taken.0.peak_mib;
    rows.push(row(&work, "time", "s", "", seconds(&ours), peers(&seconds)));
    rows.push(row(&work, "rows", "million/s", "", speed(&ours), peers(&speed)));
    rows.push(row(&work, "written", "MB/s", "", throughput(&ours), peers(&throughput)));
    rows.push(row(&work, "peak memory", "MiB", "", peak(&ours), peers(&peak)));
    Ok(())
}

/// What it took, and the bytes that came of it.
fn written_by(what: &str, source: &Path) -> Result<(Taken, u64)> {
    let mut bytes = 0;
    let taken = measure::median(RUNS, || {
        let folder = place::empty("written")?;
        let mut script = Peers::Duckdb.script("write.py")?;
        script
            .args([what, &THREADS.to_string()])
            .arg(source)
            .arg(folder.join("table"));
        let taken = measure::run(&mut script);
        bytes = place::bytes_of(&folder)?;
        place::remove(&folder)?;
        taken
    })?;
    Ok((taken, bytes))
}

/// Days of the tables whose next commit is measured: one file each.
const FILES: [i32; 3] = [10, 1_000, 10_000];
/// Commits of which the one in the middle counts.
const COMMITS: i32 = 7;
const BEGIN: Date = date(1999, 1, 1);

/// What the next interval of a table costs.
struct Commit {
    /// From claim to record, in seconds.
    attempt: f64,
    /// From start to exit.
    process: f64,
}

fn commit(rows: &mut Vec<Row>) -> Result<()> {
    let mut first: Option<Commit> = None;
    for files in FILES {
        let commit = next_day_of(files)?;
        let work = format!("one more day of a table of {files} files");
        let ratio = |of: fn(&Commit) -> f64| first.as_ref().map(|first| of(&commit) / of(first));
        let (attempt, process) = (ratio(|commit| commit.attempt), ratio(|commit| commit.process));
        rows.push(row(
            &work,
            "from claim to record",
            "ms",
            "",
            commit.attempt * 1e3,
            vec![],
        ));
        rows.push(row(&work, "from start to exit", "ms", "", commit.process * 1e3, vec![]));
        if let (Some(attempt), Some(process)) = (attempt, process) {
            let goal = if files == FILES[2] { "<= 1.5" } else { "" };
            let metric = "from claim to record, of that at 10 files";
            rows.push(row(&work, metric, "times", goal, attempt, vec![]));
            rows.push(row(
                &work,
                "from start to exit, of that at 10 files",
                "times",
                "",
                process,
                vec![],
            ));
        }
        first.get_or_insert(commit);
    }
    Ok(())
}

fn next_day_of(files: i32) -> Result<Commit> {
    let project = place::empty("project-commit")?;
    let day = |number: i32| BEGIN.saturating_add(jiff::Span::new().days(number));
    let mut csv = String::from("day,value\n");
    for number in 0..files + COMMITS {
        writeln!(csv, "{},{number}", day(number))?;
    }
    let manifest = format!(
        "name: days\nthreads: {THREADS}\nsources:\n  raw:\n    days: {{files: days.csv, event_time: day, columns: {{day: \
         date}}}}\n"
    );
    place::write_all(&project, [("days.csv", csv), ("mulgil.yml", manifest)])?;
    let wanted = |days: i32| {
        let sql = format!(
            "{{{{ config(interval='day', event_time='day', begin='{BEGIN}', end='{}') }}}}\n\
             select day, value from {{{{ source('raw', 'days') }}}}\n",
            day(days)
        );
        place::write_all(&project, [("models/daily.sql", sql)])
    };
    wanted(files)?;
    measure::run(place::mulgil(&project)?.arg("run"))?;
    let (mut attempts, mut processes) = (Vec::new(), Vec::new());
    for more in 1..=COMMITS {
        wanted(files + more)?;
        processes.push(measure::run(place::mulgil(&project)?.arg("run"))?.seconds);
        attempts.push(last_attempt(&project)?);
    }
    place::remove(&project)?;
    Ok(Commit {
        attempt: middle(attempts),
        process: middle(processes),
    })
}

/// Seconds of the one attempt of the newest run, from claim to record.
fn last_attempt(project: &Path) -> Result<f64> {
    let output = place::mulgil(project)?
        .args(["runs", "show", "--json"])
        .stderr(Stdio::inherit())
        .output()?;
    let run: Value = serde_json::from_slice(&output.stdout)?;
    let attempt = &run["task_runs"][0]["attempts"][0];
    ensure!(
        run["task_runs"].as_array().is_some_and(|tasks| tasks.len() == 1),
        "not one fill: {run}"
    );
    let at = |key: &str| -> Result<jiff::Timestamp> {
        let text = attempt[key].as_str().with_context(|| format!("no {key} in {run}"))?;
        Ok(text.parse()?)
    };
    Ok((at("ended_at")? - at("started_at")?).total(jiff::Unit::Second)?)
}

fn middle(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
