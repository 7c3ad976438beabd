//! The pages over a store that has grown: how long the first byte takes, what goes over the wire, how many
//! queries a page asks, and when a browser has it.

mod reader;
mod store;

use std::{
    collections::BTreeMap,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use self::reader::{Looked, Reader};
use crate::{
    chaos::scheduler::{
        processes::cpu_seconds,
        server::{Door, Server, Start},
    },
    peers::{Peers, done},
    place,
    report::{self, Row, row},
};

/// How often each page is asked for.
const LOOKS: usize = 200;

/// How often before that, without counting.
const WARM: usize = 20;

/// How often a browser loads each page.
const LOADS: usize = 20;

/// What is said of a browser's loads.
const LOADED: &str = "DOMContentLoaded in Chromium, median";

const DRAWN: &str = "drawn in Chromium, median";

/// What the server answers with two letters: what a browser needs for any page at all.
const FLOOR: &str = "/healthz";

/// A server is at rest when it uses no more than this of processors between two looks.
const REST_CPU_SECONDS: f64 = 0.1;
const REST_LOOK: Duration = Duration::from_secs(2);

/// How long it may take to come to rest.
const PATIENCE: Duration = Duration::from_mins(2);

/// Steps at once of the server, which has none to do.
const SLOTS: usize = 16;

/// How long it may take to end.
const DRAIN: Duration = Duration::from_secs(30);

/// The pages that are asked for, and where each is.
fn places(run: i64, task: i64) -> Vec<(&'static str, String)> {
    let day = store::day();
    vec![
        ("today", "/".to_owned()),
        ("a flow with 10,000 runs", "/flows/hourly".to_owned()),
        ("a run", format!("/runs/{run}")),
        ("a run's times", format!("/runs/{run}?tab=gantt")),
        (
            "a log of 1,000,000 lines",
            format!("/runs/{}/tasks/{}/attempts/1", run + 1, task),
        ),
        (
            "its search",
            format!("/runs/{}/tasks/{}/attempts/1?q=999999", run + 1, task),
        ),
        ("a table of 365 days", format!("/tables/{}", store::table(250))),
        ("a table of 100,000 hours", "/tables/hours".to_owned()),
        ("why", format!("/why/{}@{day}", store::table(250))),
        ("the tables", "/tables".to_owned()),
        ("the runs", "/runs".to_owned()),
    ]
}

/// Measures all pages, and Airflow's grid beside the one of a flow; writes docs/bench/pages.
pub(crate) fn bench(words: &[&str]) -> Result<()> {
    for word in words {
        ensure!(
            ["mulgil", "airflow"].contains(word),
            "`{word}` is none of mulgil, airflow"
        );
    }
    let folder = place::kept(store::NAME, store::make)?;
    let mut server = Server::spawn(&place::program()?, &folder, SLOTS, &Start::default())?;
    ensure!(server.ready(&folder)?, "the server ended at once");
    let door = Door::of(&folder);
    rest(server.pid)?;
    let presence = door.presence().context("the server does not say where it is")?;
    let address = presence["address"].as_str().context("no address")?.to_owned();
    let (run, task) = store::newest(&folder)?;
    let places = places(run, task);
    let mut rows = Vec::new();
    let loads = in_browser(&address, &places)?;
    let airflow = (words.is_empty() || words.contains(&"airflow")).then(airflow_grid);
    let (airflow, note) = match airflow {
        Some(Ok(found)) => (Some(found), String::new()),
        Some(Err(error)) => {
            eprintln!("Airflow's grid: {error:#}");
            (None, "\n\nAirflow's grid was not measured this time.\n".to_owned())
        }
        None => (None, String::new()),
    };
    for (name, path) in &places {
        let looked = look(&address, path)?;
        rows.extend(rows_of(
            name,
            &looked,
            loads.get(path.as_str()).copied(),
            airflow.as_ref(),
        ));
    }
    server.end(DRAIN)?;
    rows.push(row(
        "no page: two letters",
        LOADED,
        "ms",
        "",
        loads.get(FLOOR).map(|load| load.ready),
        Vec::new(),
    ));
    let peer = Peers::Airflow.version()?;
    report::write_whole_beside(words.is_empty(), "pages", &peer, &rows, &format!("{NOTES}{note}"))
}

const NOTES: &str = "One server over a ledger in SQLite: 500 tables of 365 days, one of 100,000 hours, a flow \
with 10,000 runs of 20 steps (200,000 attempts), and a step that printed 1,000,000 lines; all of it was made by \
the program itself. Each page is asked for 200 times over one connection, after 20 that do not count, as a browser \
asks: compressed. The first byte is that of the answer. Queries are what the page itself says, counted where \
statements are sent. The server has come to rest before. Chromium loads all pages 20 \
times in turn, with an empty cache of pages and a warm one of assets; \
`DOMContentLoaded` is from the start of the navigation, and a page is drawn in the frame after its load. Airflow's \
page of a DAG with as many runs of 20 tasks (rows of its database, copied from a run of its own; paused, and left \
alone for 20 seconds) is loaded five times. It draws 11 runs where ours draws 25; its time is until the cells of \
its grid are drawn, its bytes are the answers without the files that a browser keeps.";

/// The figures of one page.
fn rows_of(name: &str, looked: &Looked, load: Option<Load>, airflow: Option<&Airflow>) -> Vec<Row> {
    let is_grid = name.starts_with("a flow");
    let beside = |value: fn(&Airflow) -> f64| -> Vec<(String, f64)> {
        let found = airflow.filter(|_| is_grid);
        found
            .map(|airflow| {
                (
                    format!("Airflow, {} of {} runs drawn", airflow.shown, airflow.runs),
                    value(airflow),
                )
            })
            .into_iter()
            .collect()
    };
    let mut rows = vec![
        row(name, "first byte, p50", "ms", "", looked.p50, Vec::new()),
        row(name, "first byte, p95", "ms", "<= 30", looked.p95, Vec::new()),
        row(name, "queries", "queries", "<= 4", looked.queries, Vec::new()),
        row(name, "over the wire", "KB", "<= 60", looked.bytes / 1_000.0, Vec::new()),
        row(name, LOADED, "ms", "<= 100", load.map(|load| load.ready), Vec::new()),
        row(name, DRAWN, "ms", "", load.map(|load| load.drawn), Vec::new()),
    ];
    rows[3].peers = beside(|airflow| airflow.bytes / 1_000.0);
    rows[5].peers = beside(|airflow| airflow.drawn);
    rows
}

/// Waits until a server that has just begun has done what it does then.
fn rest(pid: u32) -> Result<()> {
    let began = Instant::now();
    let mut before = cpu_seconds(pid)?;
    loop {
        std::thread::sleep(REST_LOOK);
        let used = cpu_seconds(pid)? - before;
        if used <= REST_CPU_SECONDS {
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "the server does not come to rest");
        before += used;
    }
}

fn look(address: &str, path: &str) -> Result<Looked> {
    let mut reader = Reader::connect(address)?;
    for _ in 0..WARM {
        reader.get(path)?;
    }
    let answers = (0..LOOKS).map(|_| reader.get(path)).collect::<Result<Vec<_>>>()?;
    Looked::of(&answers).with_context(|| path.to_owned())
}

/// When a browser has a page, in milliseconds: the medians of its loads.
#[derive(Clone, Copy)]
struct Load {
    /// All of it is parsed and its scripts have run.
    ready: f64,
    /// All of it is drawn.
    drawn: f64,
}

/// When a browser has each page, by path.
fn in_browser(address: &str, places: &[(&str, String)]) -> Result<BTreeMap<String, Load>> {
    let mut script = Peers::Browser.script("browser_load.py")?;
    script.arg(format!("http://{address}")).arg(LOADS.to_string());
    script.args(places.iter().map(|(_, path)| path.as_str()).chain([FLOOR]));
    let found = answer(&mut script)?;
    let loads = found.as_object().context("no loads")?;
    Ok(loads
        .iter()
        .filter_map(|(path, value)| {
            let (ready, drawn) = (value[0].as_f64()?, value[1].as_f64()?);
            Some((path.clone(), Load { ready, drawn }))
        })
        .collect())
}

/// The grid of Airflow's page of a DAG.
struct Airflow {
    runs: u64,
    /// Of the runs, those that its grid draws.
    shown: u64,
    bytes: f64,
    drawn: f64,
}

fn airflow_grid() -> Result<Airflow> {
    let folder = place::empty("pages-airflow")?;
    let found = (|| {
        let mut script = Peers::Airflow.script("airflow_grid.py")?;
        let browser = Peers::Browser.program("python")?;
        script.arg(&folder).arg(browser.get_program());
        answer(&mut script)
    })();
    let _ = crate::chaos::scheduler::processes::sweep(&folder);
    place::remove(&folder)?;
    let found = found?;
    Ok(Airflow {
        runs: found["runs"].as_u64().context("no runs")?,
        shown: found["shown"].as_u64().context("none shown")?,
        bytes: found["bytes"].as_f64().context("no bytes")?,
        drawn: found["drawn"].as_f64().context("never drawn")?,
    })
}

/// What a script says in its last line, as JSON.
fn answer(script: &mut Command) -> Result<Value> {
    let output = script.output().with_context(|| format!("{script:?}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "{script:?} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let last = said.lines().last().context("it said nothing")?;
    Ok(serde_json::from_str(last)?)
}

/// Types a command in a project's folder.
pub(super) fn mulgil(folder: &Path, words: &[&str]) -> Result<()> {
    done(
        Command::new(place::program()?)
            .args(words)
            .current_dir(folder)
            .stdin(std::process::Stdio::null()),
    )
}
