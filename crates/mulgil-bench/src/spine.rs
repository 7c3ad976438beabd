//! The year of flights, and the sizes that real teams have.

use std::{collections::BTreeMap, fs, process::Command};

use anyhow::Result;
use mulgil_core::{
    decide::{Limits, Scope, decide},
    interval::Instant,
    plan::Forecast,
    project::Project,
    state::State,
};
use mulgil_project::LoadOptions;

use crate::{
    measure::{self, Taken},
    peers::Peers,
    place::{self, Span},
    report::{self, Row, row},
    synthetic,
};

const RUNS: usize = 5;

/// Measures everything and writes docs/bench/spine.
pub(crate) fn bench() -> Result<()> {
    let mut rows = Vec::new();
    year(&mut rows)?;
    decisions(&mut rows);
    loading(&mut rows)?;
    let version = measure::median(20, || measure::run(Command::new(place::program()?).arg("--version")))?;
    rows.push(row("--version", "time", "ms", "<= 20", version.seconds * 1e3, vec![]));
    let notes = fs::read_to_string(place::repository().join("docs/bench/spine-notes.md")).unwrap_or_default();
    report::write("spine", &rows, &notes)
}

/// The year from nothing, beside DuckDB; then what a quiet day asks.
fn year(rows: &mut Vec<Row>) -> Result<()> {
    let mut last = place::example(Span::Year)?;
    let ours = measure::median(3, || {
        last = place::example(Span::Year)?;
        measure::run(place::mulgil(last.path())?.args(["run"]))
    })?;
    let peer = measure::median(3, duckdb)?;
    rows.push(row(
        "the year from nothing: 7 tables, 365 days, data tests",
        "time",
        "s",
        "<= 10",
        ours.seconds,
        vec![("DuckDB, same tables once", peer.seconds)],
    ));
    rows.push(row(
        "the year from nothing: 7 tables, 365 days, data tests",
        "peak memory",
        "MiB",
        "",
        ours.peak_mib,
        vec![("DuckDB, same tables once", peer.peak_mib)],
    ));
    let project = last.path();
    let plan = measure::median(RUNS, || measure::run(place::mulgil(project)?.arg("plan")))?;
    rows.push(row(
        "plan when nothing is due",
        "time",
        "ms",
        "<= 150",
        plan.seconds * 1e3,
        vec![],
    ));
    let nothing = measure::median(RUNS, || measure::run(place::mulgil(project)?.arg("run")))?;
    rows.push(row(
        "run when nothing is due",
        "time",
        "ms",
        "",
        nothing.seconds * 1e3,
        vec![],
    ));
    let file = project.join("data/flights/flights_20130613.csv.gz");
    let mut turn = 0;
    let day = measure::median(RUNS, || {
        turn += 1;
        restate(&file, turn)?;
        measure::run(place::mulgil(project)?.arg("run"))
    })?;
    rows.push(row(
        "one changed day, with its 28 windows and its month",
        "time",
        "s",
        "<= 1",
        day.seconds,
        vec![],
    ));
    let query = "select carrier, sum(flights) from delays_monthly group by 1 order by 2 desc";
    let query = measure::median(RUNS, || measure::run(place::mulgil(project)?.args(["query", query])))?;
    rows.push(row(
        "a small query, from start to exit",
        "time",
        "ms",
        "",
        query.seconds * 1e3,
        vec![],
    ));
    Ok(())
}

/// The same tables, once, by DuckDB, with the same number of threads.
fn duckdb() -> Result<Taken> {
    let folder = place::example(Span::Year)?;
    let script = "import duckdb; duckdb.connect('warehouse.duckdb').execute(open('expected/peer.sql').read())";
    measure::run(
        Peers::Duckdb
            .program("python")?
            .args(["-c", script])
            .current_dir(folder.path()),
    )
}

/// Changes one delay in a day's file, so that its rows are others each time.
fn restate(file: &std::path::Path, turn: u32) -> Result<()> {
    let script = "import gzip, sys\n\
        path, turn = sys.argv[1], sys.argv[2]\n\
        lines = gzip.open(path, 'rt').read().split('\\n')\n\
        names = lines[0].split(',')\n\
        fields = lines[1].split(',')\n\
        fields[names.index('dep_delay')] = turn\n\
        lines[1] = ','.join(fields)\n\
        open(path, 'wb').write(gzip.compress('\\n'.join(lines).encode(), mtime=0))\n";
    measure::run(
        Peers::Duckdb
            .program("python")?
            .args(["-c", script])
            .arg(file)
            .arg(turn.to_string()),
    )
    .map(|_| ())
}

fn decisions(rows: &mut Vec<Row>) {
    for (work, (project, state, now)) in [
        ("1,000 nodes × 3 years of days, 5 % holes", synthetic::days(1_000, 3)),
        ("1 node × 120,000 hours, 5 % holes", synthetic::hours(120_000)),
    ] {
        let (plan, start) = decided(&project, &state, now);
        rows.push(row(
            &format!("decide over {work}"),
            "time",
            "ms",
            "<= 5",
            start * 1e3,
            vec![],
        ));
        let under = format!("the forecast under it, over {work}");
        rows.push(row(&under, "time", "ms", "", plan * 1e3, vec![]));
    }
}

fn decided(project: &Project, state: &State, now: Instant) -> (f64, f64) {
    let limits = Limits::new(8, Scope::All, now);
    let plan = measure::median_call(11, || Forecast::new(project, state, now));
    let forecast = Forecast::new(project, state, now);
    let start = measure::median_call(11, || decide(&forecast, &limits));
    (plan, start)
}

fn loading(rows: &mut Vec<Row>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    synthetic::models(folder.path(), 2_000)?;
    let options = LoadOptions {
        environment: "dev".to_owned(),
        vars: BTreeMap::new(),
        env: BTreeMap::new(),
        ..LoadOptions::default()
    };
    let loaded = mulgil_project::load(folder.path(), &options);
    anyhow::ensure!(
        loaded.project.is_some_and(|project| project.nodes.len() == 2_000),
        "the models do not load: {:?}",
        loaded.diagnostics.first()
    );
    let seconds = measure::median_call(RUNS, || mulgil_project::load(folder.path(), &options));
    rows.push(row("loading 2,000 models", "time", "s", "<= 1", seconds, vec![]));
    Ok(())
}
