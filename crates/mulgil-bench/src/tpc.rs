//! TPC-H and TPC-DS: their tables as a project, their queries, and whether the answers are DuckDB's.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    answers::{self, Answer, Nearness},
    chaos::spine,
    measure,
    peers::{self, Duckdb, Peers, THREADS},
    place, report,
};

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suite {
    /// 8 tables, 22 queries.
    H,
    /// 24 tables, 99 queries.
    Ds,
}

/// Sizes at which answers are compared.
const SCALES: [&str; 2] = ["0.01", "0.1"];
/// After so many seconds a query counts as failed.
const PATIENCE: &str = "120";

impl Suite {
    fn name(self) -> &'static str {
        match self {
            Self::H => "tpch",
            Self::Ds => "tpcds",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::H => "TPC-H",
            Self::Ds => "TPC-DS",
        }
    }

    /// Its tables at a scale, as Parquet files.
    pub(crate) fn data(self, scale: &str) -> Result<PathBuf> {
        place::kept(&format!("{}-{scale}", self.name()), |folder| match self {
            Self::H => peers::done(
                Peers::Duckdb
                    .program("tpchgen-cli")?
                    .args(["parquet", "--quiet", "-s", scale, "-o"])
                    .arg(folder),
            ),
            Self::Ds => peers::done(Peers::Tpc.script("tpc.py")?.args(["data", "tpcds", scale]).arg(folder)),
        })
    }

    /// Its queries, in order; they come with DuckDB's package and are no part of this repository.
    pub(crate) fn queries(self) -> Result<Vec<(usize, String)>> {
        let folder = place::kept(&format!("{}-queries", self.name()), |folder| {
            peers::done(Peers::Tpc.script("tpc.py")?.args(["queries", self.name()]).arg(folder))
        })?;
        (1..)
            .map(|number| (number, folder.join(format!("{number}.sql"))))
            .take_while(|(_, file)| file.exists())
            .map(|(number, file)| Ok((number, fs::read_to_string(file)?)))
            .collect()
    }
}

/// A project in the scratch folder whose models copy every Parquet file of a folder, filled.
pub(crate) fn project(name: &str, data: &Path, settings: &str) -> Result<PathBuf> {
    let project = place::empty(&format!("project-{name}"))?;
    let mut manifest = format!("name: bench\n{settings}models: {{+materialized: table}}\nsources:\n  raw:\n");
    let mut files = Vec::new();
    for table in tables(data)? {
        let file = data.join(format!("{table}.parquet"));
        writeln!(manifest, "    {table}: {{files: {}}}", file.display())?;
        let sql = format!("select * from {{{{ source('raw', '{table}') }}}}\n");
        files.push((format!("models/{table}.sql"), sql));
    }
    files.push(("mulgil.yml".to_owned(), manifest));
    place::write_all(&project, files.iter().map(|(path, text)| (path.as_str(), text.clone())))?;
    spine::finish(&project)?;
    Ok(project)
}

/// The names of the Parquet files of a folder.
fn tables(data: &Path) -> Result<Vec<String>> {
    let mut tables = Vec::new();
    for entry in fs::read_dir(data)? {
        let name = entry?
            .file_name()
            .into_string()
            .ok()
            .context("a file's name is no text")?;
        tables.extend(name.strip_suffix(".parquet").map(str::to_owned));
    }
    tables.sort();
    ensure!(!tables.is_empty(), "no Parquet file in {}", data.display());
    Ok(tables)
}

/// `mulgil query` with SQL on its standard input, which is only read there.
pub(crate) fn query(project: &Path, sql_file: &Path) -> Result<Command> {
    let mut command = place::mulgil(project)?;
    command
        .args(["query", "-", "-o", "csv", "--timeout", PATIENCE])
        .stdin(fs::File::open(sql_file)?);
    Ok(command)
}

/// What became of one query.
struct Outcome {
    verdict: Verdict,
    rows: usize,
    seconds: f64,
    duckdb_seconds: f64,
}

enum Verdict {
    /// All rows, in order.
    Equal,
    /// All rows; where rows have one sort key, their order is another.
    EqualUpToTies,
    /// All rows, but numbers with fewer decimal places.
    FewerPlaces,
    Differs(String),
    Failed(String),
}

impl Verdict {
    fn is_good(&self) -> bool {
        match self {
            Self::Equal | Self::EqualUpToTies | Self::FewerPlaces => true,
            Self::Differs(_) | Self::Failed(_) => false,
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Equal => "equal".to_owned(),
            Self::EqualUpToTies => "equal; rows that sort alike in another order".to_owned(),
            Self::FewerPlaces => "equal to 4 decimal places".to_owned(),
            Self::Differs(how) => format!("**differs**: {how}"),
            Self::Failed(why) => format!("**failed**: {why}"),
        }
    }
}

/// Compares all queries at [`SCALES`] and writes docs/bench/tpch or tpcds; at scales that are named it
/// only prints. Fails where an answer differs.
pub(crate) fn compare(suite: Suite, scales: &[&str]) -> Result<()> {
    let queries = suite.queries()?;
    let mut text = head(suite, queries.len())?;
    let mut bad = 0;
    for scale in if scales.is_empty() { &SCALES[..] } else { scales } {
        bad += compare_at(suite, scale, &queries, &mut text)?;
    }
    writeln!(text, "\n{}", notes(bad))?;
    if scales.is_empty() {
        spine::write_figures(&format!("{}.md", suite.name()), &text)?;
    } else {
        println!("{text}");
    }
    ensure!(bad == 0, "{bad} answers differ or are missing");
    Ok(())
}

/// Adds a table of all verdicts at one scale; how many of them are bad.
fn compare_at(suite: Suite, scale: &str, queries: &[(usize, String)], text: &mut String) -> Result<usize> {
    let data = suite.data(scale)?;
    let settings = format!("threads: {THREADS}\n");
    let project = project(&format!("{}-{scale}", suite.name()), &data, &settings)?;
    let mut duckdb = Duckdb::over(&data)?;
    writeln!(
        text,
        "\n## Scale {scale}\n\n| query | verdict | rows | Mulgil | DuckDB |\n|---:|---|---:|---:|---:|"
    )?;
    let (mut good, mut with_rows) = (0, 0);
    for (number, sql) in queries {
        let outcome = outcome(&project, &mut duckdb, sql)?;
        let words = outcome.verdict.words();
        println!("{} at {scale}, query {number}: {words}", suite.title());
        writeln!(
            text,
            "| {number} | {words} | {} | {:.0} ms | {:.0} ms |",
            outcome.rows,
            outcome.seconds * 1e3,
            outcome.duckdb_seconds * 1e3
        )?;
        good += usize::from(outcome.verdict.is_good());
        with_rows += usize::from(outcome.rows > 0);
    }
    place::remove(&project)?;
    let sum = format!(
        "{good} of {} queries at scale {scale} give DuckDB's answer, which has rows in {with_rows}",
        queries.len()
    );
    println!("{sum}");
    writeln!(text, "\n{sum}.")?;
    Ok(queries.len() - good)
}

fn head(suite: Suite, queries: usize) -> Result<String> {
    ensure!(queries > 0, "no queries");
    Ok(format!(
        "# {}: answers beside DuckDB's\n\n{}, {}, {}.\n\nModels copy the Parquet files into tables; each of the {queries} \
         queries runs over them by `mulgil query`, and over the files by DuckDB with {THREADS} threads. Rows are \
         compared one by one, in order, numbers to 1e-6 of their size; a query whose LIMIT cuts between rows that sort \
         alike is compared again without it. NULLs sort in DuckDB as in PostgreSQL. Mulgil's time is a process from \
         start to exit, DuckDB's that of the query alone: they are here to be watched, not to be compared.\n",
        suite.title(),
        report::date(),
        report::machine(),
        report::versions(),
    ))
}

fn notes(bad: usize) -> String {
    let places = "\"Equal to 4 decimal places\": `avg` of a DECIMAL and `/` of two give a DECIMAL with four more places \
                  than their argument; DuckDB gives a DOUBLE.";
    match bad {
        0 => places.to_owned(),
        bad => format!("{bad} answers differ or are missing.\n\n{places}"),
    }
}

fn outcome(project: &Path, duckdb: &mut Duckdb, sql: &str) -> Result<Outcome> {
    let began = std::time::Instant::now();
    let theirs = duckdb.rows(sql)?;
    let duckdb_seconds = began.elapsed().as_secs_f64();
    let (ours, seconds) = ask(project, sql)?;
    let verdict = match ours {
        Ok(ours) => judge(project, duckdb, sql, &ours, &theirs)?,
        Err(why) => Verdict::Failed(why),
    };
    Ok(Outcome {
        verdict,
        rows: theirs.len(),
        seconds,
        duckdb_seconds,
    })
}

/// Our answer, or the first line of what was wrong; and how long it took.
fn ask(project: &Path, sql: &str) -> Result<(Result<Answer, String>, f64)> {
    let file = project.join("query.sql");
    fs::write(&file, sql)?;
    let began = std::time::Instant::now();
    let output = query(project, &file)?.stderr(Stdio::piped()).output()?;
    let seconds = began.elapsed().as_secs_f64();
    let answer = if output.status.success() {
        Ok(Answer::from_csv(&String::from_utf8(output.stdout)?)?)
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(said.lines().next().unwrap_or_default().to_owned())
    };
    Ok((answer, seconds))
}

fn judge(project: &Path, duckdb: &mut Duckdb, sql: &str, ours: &Answer, theirs: &[answers::Cells]) -> Result<Verdict> {
    match answers::in_order(&ours.rows, theirs) {
        Nearness::Same => return Ok(Verdict::Equal),
        Nearness::FewerPlaces => return Ok(Verdict::FewerPlaces),
        Nearness::Apart => {}
    }
    let differs = || Verdict::Differs(answers::first_difference(&ours.rows, theirs));
    // Of rows that sort alike either program may take any, so only the keys have to be in order.
    let keys = answers::sort_columns(sql, &ours.columns);
    let by_key = answers::in_order(&answers::only(&ours.rows, &keys), &answers::only(theirs, &keys));
    if by_key == Nearness::Apart {
        return Ok(differs());
    }
    let nearness = match answers::without_limit(sql) {
        None => answers::as_sets(&ours.rows, theirs),
        Some(whole) => match ask(project, whole)?.0 {
            Ok(ours) => answers::as_sets(&ours.rows, &duckdb.rows(whole)?),
            Err(why) => return Ok(Verdict::Failed(format!("without its LIMIT: {why}"))),
        },
    };
    Ok(match nearness {
        Nearness::Same => Verdict::EqualUpToTies,
        Nearness::FewerPlaces => Verdict::FewerPlaces,
        Nearness::Apart => differs(),
    })
}

/// The time of the fastest of so many runs of a query.
pub(crate) fn best(project: &Path, sql: &str, runs: usize) -> Result<measure::Taken> {
    let file = project.join("query.sql");
    fs::write(&file, sql)?;
    measure::best(runs, || measure::run(&mut query(project, &file)?))
}
