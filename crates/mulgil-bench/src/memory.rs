//! What does not fit into memory: a join, a sort and a grouping of ten times as much as they may have,
//! a spill that reaches its cap, a query that would never end, and exports of many rows.

use std::{
    fmt::Write as _,
    fs::File,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    measure::{self, Watched},
    peers::{self, THREADS},
    place,
    report::{self, Row, row},
    tpc,
};

/// Rows of each table.
const ROWS: u64 = 20_000_000;
/// Bytes of a row of `big` in memory: three numbers, a text of 480 letters and where it begins.
const BIG_ROW: u64 = 508;
/// The memory of everything here.
const MEMORY: &str = "memory: 1GB\n";
/// A cap that the sort cannot keep to.
const CAP: &str = "spill: 1GB\n";
/// Bytes of spill at which a program is ended.
const MOST_SPILLED: u64 = 14 << 30;
/// How often the spill folder is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Seconds that the query without end may take.
const TIMEOUT: u64 = 2;

/// What is asked of the big tables. Only the first rows are printed, but none of them is known before
/// all rows were taken in.
const SHOWS: [(&str, &str); 3] = [
    ("sort by a key in no order", "select * from big order by key"),
    (
        "group by a key that comes once",
        "select key, count(*) as rows, max(payload) as payload from big group by key",
    ),
    (
        "join with a table of a sixth of its size on a key in no order",
        "select count(*) as rows, max(big.payload || other.name) as last from big join other on big.key = other.key",
    ),
];

/// A query that no machine finishes.
const ENDLESS: &str = "select count(*) from narrow a join narrow b on a.id < b.id";

/// Measures everything and writes docs/bench/memory; with another count of rows it only prints.
pub(crate) fn bench(rows: Option<&str>) -> Result<()> {
    let count = rows.map_or(Ok(ROWS), str::parse)?;
    let data = peers::tables(count, &["big", "other", "narrow"])?;
    let project = tpc::project("memory", &data, &settings(""))?;
    let mut report = Report::default();
    let gb = count * BIG_ROW / 1_000_000_000;
    for (what, sql) in SHOWS {
        report.show(&project, &format!("{what}: {gb} GB, with 1 GB of memory"), sql)?;
    }
    report.endless(&project)?;
    for format in ["csv", "json"] {
        report.export(&project, count, format)?;
    }
    report.cap(&project)?;
    place::remove(&project)?;
    // Ten gigabytes are nothing to leave behind.
    place::remove(&data)?;
    report::write_whole(rows.is_none(), "memory", &report.rows, &report.notes()?)
}

fn settings(more: &str) -> String {
    format!("{MEMORY}threads: {THREADS}\n{more}")
}

#[derive(Default)]
struct Report {
    rows: Vec<Row>,
    /// What was said where something did not end well, on purpose or not.
    said: Vec<(String, String)>,
}

impl Report {
    fn show(&mut self, project: &Path, work: &str, sql: &str) -> Result<()> {
        let (watched, spilled) = spilling(project, sql)?;
        println!("{work}: {:?}, {} MiB spilled", watched.taken, spilled >> 20);
        let is_done = watched.status.success();
        let only_done = |figure: f64| is_done.then_some(figure);
        let mut row = |metric, unit, figure| self.rows.push(row(work, metric, unit, "", figure, vec![]));
        row("time", "s", only_done(watched.taken.seconds));
        row("peak memory", "MiB", only_done(watched.taken.peak_mib));
        row("spilled at once", "MiB", only_done(spilled as f64 / f64::from(1 << 20)));
        if !is_done {
            self.failed(work, &watched);
        }
        Ok(())
    }

    /// Ended by its timeout, with the code that says so.
    fn endless(&mut self, project: &Path) -> Result<()> {
        let mut command = place::mulgil(project)?;
        command.args(["query", ENDLESS, "--timeout", &TIMEOUT.to_string()]);
        let watched = measure::watch(command.stdout(Stdio::null()))?;
        let work = format!("a query without end, with `--timeout {TIMEOUT}`");
        let is_ended = watched.status.code().is_some_and(|code| code != 0) && watched.said.contains("MG5105");
        let seconds = is_ended.then_some(watched.taken.seconds);
        let goal = format!("<= {}", TIMEOUT as f64 + 0.5);
        self.rows.push(row(&work, "time", "s", &goal, seconds, vec![]));
        let peak = is_ended.then_some(watched.taken.peak_mib);
        self.rows.push(row(&work, "peak memory", "MiB", "", peak, vec![]));
        self.failed(&work, &watched);
        Ok(())
    }

    fn export(&mut self, project: &Path, count: u64, format: &str) -> Result<()> {
        let file = project.join("export");
        let mut command = place::mulgil(project)?;
        command.args(["query", "select * from narrow", "-o", format, "--timeout", "600"]);
        let watched = measure::watch(command.stdout(File::create(&file)?))?;
        let work = format!(
            "export of {} million rows as {}",
            count / 1_000_000,
            format.to_uppercase()
        );
        let is_done = watched.status.success();
        let bytes = file.metadata()?.len();
        std::fs::remove_file(&file)?;
        let only_done = |figure: f64| is_done.then_some(figure);
        let taken = watched.taken;
        let per_second = bytes as f64 / 1e6 / taken.seconds;
        let peak = only_done(taken.peak_mib);
        self.rows.push(row(&work, "peak memory", "MiB", "<= 300", peak, vec![]));
        self.rows
            .push(row(&work, "time", "s", "", only_done(taken.seconds), vec![]));
        self.rows
            .push(row(&work, "written", "MB/s", "", only_done(per_second), vec![]));
        if !is_done {
            self.failed(&work, &watched);
        }
        Ok(())
    }

    /// The sort again, with less room on disk than it needs: it must end with the code of that, and say
    /// which limit it was.
    fn cap(&mut self, project: &Path) -> Result<()> {
        let manifest = project.join("mulgil.yml");
        let text = std::fs::read_to_string(&manifest)?;
        std::fs::write(&manifest, text.replace(MEMORY, &format!("{MEMORY}{CAP}")))?;
        let (_, sql) = SHOWS[0];
        let (watched, spilled) = spilling(project, sql)?;
        let work = format!("the sort with `{}`: it must end, and say why", CAP.trim());
        let is_told = watched.said.contains("MG5") && watched.said.contains("spill");
        let seconds = (!watched.status.success() && is_told).then_some(watched.taken.seconds);
        self.rows.push(row(&work, "time", "s", "", seconds, vec![]));
        let spilled = seconds.map(|_| spilled as f64 / f64::from(1 << 20));
        self.rows
            .push(row(&work, "spilled at once", "MiB", "<= 1024", spilled, vec![]));
        self.failed(&work, &watched);
        Ok(())
    }

    fn failed(&mut self, work: &str, watched: &Watched) {
        let said = format!("{}\nended with {}", watched.said.trim(), watched.status);
        self.said.push((work.to_owned(), said));
    }

    fn notes(&self) -> Result<String> {
        let mut text = String::from(
            "The tables are made from row numbers, so they are the same everywhere. `big` has 508 bytes a row in memory, of \
             which few remain in its Parquet file. A query prints its first five rows only, which none of these knows \
             before it took in all rows. Peak memory is the largest resident set of the process; what is spilled at once, the \
             largest size that the project's spill folder was seen to have.\n",
        );
        for (work, said) in &self.said {
            write!(text, "\nWhat was said to: {work}\n\n```text\n{said}\n```\n")?;
        }
        Ok(text)
    }
}

/// Runs a query over the big tables, and the largest size that the project's spill folder had meanwhile.
/// What spills without bound is ended before it fills the disk for everybody.
fn spilling(project: &Path, sql: &str) -> Result<(Watched, u64)> {
    let (folder, mut largest, mut looked) = (project.join(".mulgil/spill"), 0, Instant::now());
    let is_fine = || {
        if looked.elapsed() >= LOOK {
            // A file may go while its folder is being read: then the next look counts.
            largest = largest.max(place::bytes_of(&folder).unwrap_or(0));
            looked = Instant::now();
        }
        largest < MOST_SPILLED
    };
    let mut command = place::mulgil(project)?;
    command
        .args(["query", sql, "-o", "csv", "--limit", "5"])
        .stdout(Stdio::null());
    let mut watched = measure::watch_while(&mut command, is_fine)?;
    if largest >= MOST_SPILLED {
        watched.said = format!("ended from outside: it spilled {} MiB", largest >> 20);
        place::remove(&folder)?;
    }
    Ok((watched, largest))
}
