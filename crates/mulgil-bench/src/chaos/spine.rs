//! Kills: at every durable write, and at random moments with `kill -9`. After each the next run must
//! finish, and every table must equal the one of an undisturbed run.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    ops::Range,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    place::{self, Span},
    synthetic::Random,
};

/// What is asked of a chaos run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// How many rounds, each with its own seed.
    pub(crate) rounds: u64,
    seed: u64,
    /// Replays the one round of that seed.
    pub(crate) only_seed: Option<u64>,
}

impl Options {
    /// Reads `--rounds N --seed N --only-seed N`.
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self {
            rounds: 100,
            seed: 1,
            only_seed: None,
        };
        for pair in words.chunks(2) {
            let [name, value] = pair else {
                bail!("`{}` needs a number", pair[0])
            };
            let value: u64 = value.parse().with_context(|| format!("`{name} {value}`"))?;
            match *name {
                "--rounds" => options.rounds = value,
                "--seed" => options.seed = value,
                "--only-seed" => options.only_seed = Some(value),
                other => bail!("`{other}` is not known; write --rounds, --seed or --only-seed"),
            }
        }
        Ok(options)
    }

    /// The seed of each round.
    pub(crate) fn seeds(&self) -> Range<u64> {
        self.seed..self.seed + self.rounds
    }
}

const TABLES: [&str; 6] = [
    "flights",
    "weather",
    "flights_weather",
    "delays_daily",
    "delays_monthly",
    "delays_28d",
];

/// Rows of every table, in one order.
pub(crate) type Tables = BTreeMap<&'static str, String>;

/// The chaos of the spine: a kill at every write, at every named point, and at random moments.
pub(crate) fn chaos(options: Options) -> Result<()> {
    let began = Instant::now();
    let undisturbed = place::example(Span::Month)?;
    let took = Instant::now();
    finish(undisturbed.path())?;
    let usual = took.elapsed();
    let expected = tables(undisturbed.path())?;
    if let Some(seed) = options.only_seed {
        return random_round(seed, usual, &expected).map(|what| println!("seed {seed}: {what}; all tables equal"));
    }
    let writes = count_writes()?;
    for write in 1..=writes {
        killed_at(&format!("write:{write}"), &expected)
            .with_context(|| format!("kill at write {write} of {writes}"))?;
    }
    println!("a kill at each of {writes} writes: all tables equal");
    for point in ["claimed", "files_written", "committed", "recorded"] {
        for passing in 1..=4 {
            killed_at(&format!("{point}:{passing}"), &expected)
                .with_context(|| format!("kill at {point}, passing {passing}"))?;
        }
    }
    println!("a kill at the first four passings of each named point: all tables equal");
    let mut kills = 0;
    for seed in options.seeds() {
        let what = random_round(seed, usual, &expected)
            .with_context(|| format!("replay with: cargo xtask chaos spine --only-seed {seed}"))?;
        kills += u64::from(what.contains("killed"));
    }
    println!(
        "{} rounds of kill -9 at random moments ({kills} hit a live run): all tables equal",
        options.rounds
    );
    write_figures("chaos-spine.md", &figures(writes, options, kills, began.elapsed())?)
}

/// How many durable writes an undisturbed run makes; what runs side by side makes it vary by a few.
fn count_writes() -> Result<u64> {
    let project = place::example(Span::Month)?;
    let output = place::mulgil(project.path())?
        .arg("run")
        .env("MULGIL_CRASH_TEST", "count")
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("writes: "));
    line.context("the program did not count its writes")?
        .parse()
        .context("a number of writes")
}

fn killed_at(place: &str, expected: &Tables) -> Result<()> {
    let project = place::example(Span::Month)?;
    let status = run(project.path(), Some(place))?;
    // A point that the run never passed leaves it whole: then this says nothing but does no harm.
    ensure!(
        status.success() || status.code().is_none(),
        "the run ended with {status} instead of being killed"
    );
    check(project.path(), expected)
}

fn random_round(seed: u64, usual: Duration, expected: &Tables) -> Result<&'static str> {
    let mut random = Random::new(seed);
    let project = place::example(Span::Month)?;
    let mut what = "ended before the kill";
    // Up to three kills in a row: the second hits a run that is mending what the first left.
    for _ in 0..=random.below(3) {
        let after = Duration::from_micros(random.below(usual.as_micros() as u64));
        let mut child = place::mulgil(project.path())?
            .arg("run")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        std::thread::sleep(after);
        if child.try_wait()?.is_none() {
            child.kill()?;
            what = "killed";
        }
        child.wait()?;
    }
    check(project.path(), expected)?;
    Ok(what)
}

/// After a kill: the next run finishes, nothing is due after it, every table is as undisturbed, no
/// process is left.
pub(crate) fn check(project: &Path, expected: &Tables) -> Result<()> {
    finish(project)?;
    let plan = place::mulgil(project)?.args(["plan", "--json"]).output()?;
    let plan: serde_json::Value = serde_json::from_slice(&plan.stdout)?;
    ensure!(
        plan["steps"].as_array().is_some_and(Vec::is_empty),
        "something is due after the run: {plan}"
    );
    let found = tables(project)?;
    for (table, rows) in expected {
        ensure!(
            found.get(table) == Some(rows),
            "table {table} differs from the undisturbed one"
        );
    }
    let left = Command::new("pgrep")
        .args(["-f", &project.display().to_string()])
        .output();
    ensure!(
        left.is_err() || left.is_ok_and(|found| found.stdout.is_empty()),
        "a process is left"
    );
    Ok(())
}

/// A run that must end well.
pub(crate) fn finish(project: &Path) -> Result<()> {
    let output = place::mulgil(project)?.arg("run").output()?;
    ensure!(
        output.status.success(),
        "the run ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn run(project: &Path, kill: Option<&str>) -> Result<std::process::ExitStatus> {
    let mut command = place::mulgil(project)?;
    command.arg("run").stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(kill) = kill {
        command.env("MULGIL_CRASH_TEST", kill);
    }
    Ok(command.status()?)
}

/// The rows of every table.
pub(crate) fn tables(project: &Path) -> Result<Tables> {
    let mut out = Tables::new();
    for table in TABLES {
        let sql = format!("select * from {table}");
        let output = place::mulgil(project)?.args(["query", &sql, "-o", "csv"]).output()?;
        ensure!(
            output.status.success(),
            "{sql}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8(output.stdout)?;
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        out.insert(table, lines.join("\n"));
    }
    Ok(out)
}

fn figures(writes: u64, options: Options, kills: u64, took: Duration) -> Result<String> {
    let mut text = String::from("# Chaos: spine\n\n");
    writeln!(
        text,
        "{}; January of the flights, {} tables.\n",
        jiff::Zoned::now().date(),
        TABLES.len()
    )?;
    writeln!(
        text,
        "- a kill at each of {writes} durable writes: the next run finished, every table equal, nothing due after it"
    )?;
    writeln!(
        text,
        "- a kill at the first four passings of `claimed`, `files_written`, `committed`, `recorded`: likewise"
    )?;
    writeln!(
        text,
        "- {} rounds of `kill -9` at random moments, seeds {:?}, {kills} of them on a live run: likewise",
        options.rounds,
        options.seeds(),
    )?;
    writeln!(
        text,
        "- {} s in all; a round is replayed by `cargo xtask chaos spine --only-seed SEED`",
        took.as_secs()
    )?;
    Ok(text)
}

/// Writes what a long run found to docs/bench.
pub(crate) fn write_figures(file: &str, text: &str) -> Result<()> {
    let folder = place::repository().join("docs/bench");
    fs::create_dir_all(&folder)?;
    Ok(fs::write(folder.join(file), text)?)
}
