//! One round, in a process of its own: a project, a server, its fault, rest, and the check. Whoever started it
//! ends what is left of it and removes its folder.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result, bail, ensure};
use mulgil_core::run::RunState;
use serde::{Deserialize, Serialize};

use super::{
    checker::{self, Breach, Invariant},
    faults::{self, Fault},
    journal::Moment,
    machine::Need,
    project,
    record::{self, Ledger, Record, Table},
    world::World,
};
use crate::postgres::{Postgres, Settings};

/// What a round found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Its seed.
    pub(crate) seed: u64,
    /// Its fault.
    pub(crate) fault: String,
    /// Runs of flows in the ledger.
    pub(crate) runs: usize,
    /// Triggers that were acknowledged.
    pub(crate) acks: usize,
    /// Attempts in the ledger.
    pub(crate) attempts: usize,
    /// Attempts that were recorded as lost.
    pub(crate) lost: usize,
    /// Processes that ran tasks.
    pub(crate) tasks: usize,
    /// How long it took, in milliseconds.
    pub(crate) took_ms: u64,
    /// How long each server took until it was ready, in milliseconds.
    pub(crate) ready_ms: Vec<u64>,
    /// The most memory that a server had, in kilobytes.
    pub(crate) peak_kb: u64,
    /// The most files that a server had open at rest.
    pub(crate) open_files: usize,
    /// What happened, in words.
    pub(crate) notes: Vec<String>,
    /// What did not hold.
    pub(crate) breaches: Vec<Breach>,
    /// Why it could not go on to its end; nothing where it did.
    pub(crate) error: Option<String>,
}

/// Does the round of a fault and a seed in a folder that is there, with the program in it.
pub(crate) fn run(folder: &Path, fault: Fault, seed: u64) -> Result<Outcome> {
    let began = Instant::now();
    let group = if fault == Fault::Memory {
        faults::make_group(seed)?
    } else {
        None
    };
    let postgres = fault.needs().contains(&Need::Postgres).then(|| {
        // Beside the folder: what is left of the round is looked for in there.
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        Postgres::start(folder.with_file_name(format!("postgres-{name}")), Settings::Small)
    });
    let mut world = World::new(folder, seed, fault.slots(), postgres.transpose()?)?;
    project::write(&world.places, &world.ledger, seed, group.as_deref())?;
    let mut record = Record {
        slots: world.slots,
        ..Record::default()
    };
    let done = night(&mut world, fault, &mut record);
    if let Some(group) = group {
        faults::remove_group(&group)?;
    }
    let error = done
        .err()
        .map(|error| format!("{error:#}\nthe server said: {}", world.last_words()));
    if error.is_none() {
        world.breaches.extend(checker::check(&record));
    }
    if error.is_some() || !world.breaches.is_empty() {
        keep_small_file_systems(&world)?;
        keep_database(&mut world, &record)?;
    }
    let attempts = || {
        record
            .runs
            .iter()
            .flat_map(|(_, tasks)| tasks)
            .flat_map(|task| &task.attempts)
    };
    Ok(Outcome {
        seed,
        fault: fault.name().to_owned(),
        runs: record.walks.len(),
        acks: record.acks.len(),
        attempts: attempts().count(),
        lost: attempts().filter(|attempt| attempt.state == RunState::Crashed).count(),
        tasks: record
            .journal
            .iter()
            .filter(|entry| entry.moment == Moment::Begin)
            .count(),
        took_ms: began.elapsed().as_millis() as u64,
        ready_ms: world
            .figures
            .ready
            .iter()
            .map(|ready| ready.as_millis() as u64)
            .collect(),
        peak_kb: world.figures.peak_kb,
        open_files: world.figures.open_files,
        notes: world.notes,
        breaches: world.breaches,
        error,
    })
}

fn night(world: &mut World, fault: Fault, record: &mut Record) -> Result<()> {
    fault.prepare(world)?;
    world.start()?;
    world.fire_some(4);
    world.change_a_file()?;
    fault.inject(world)?;
    world.rest()?;
    record.left = world.left();
    record.stuck = std::mem::take(&mut world.stuck);
    record::read_folder(&world.places, record)?;
    world.wait(record::read_ledger(&world.ledger, &world.places.project, record))?;
    fill_the_rest(world)?;
    record.tables = tables(world, record)?;
    Ok(())
}

/// What no server was there for any more is filled; after it nothing is due.
fn fill_the_rest(world: &mut World) -> Result<()> {
    let output = world.command(&["run"])?;
    ensure!(
        output.status.success(),
        "the last `mulgil run` ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let plan = world.command(&["plan", "--json"])?;
    let plan: serde_json::Value = serde_json::from_slice(&plan.stdout).context("`mulgil plan` gives no plan")?;
    let due = plan["steps"].as_array().context("a plan without steps")?;
    if !due.is_empty() {
        world.breaches.push(Breach {
            invariant: Invariant::I9,
            rows: due.iter().map(|step| format!("still due: {step}")).collect(),
        });
    }
    Ok(())
}

/// Every table as it is, beside what files and runs say.
fn tables(world: &World, record: &Record) -> Result<Vec<Table>> {
    let days = project::expected_days(&world.places)?;
    let total: u64 = days.values().map(|(_, total)| total).sum();
    let of_days = |rows: Vec<String>| rows.iter().map(|row| short_day(row)).collect();
    let daily = world.query("select day_at, n, total from daily")?;
    let totals = world.query("select days, total from totals")?;
    let hours = world.query("select date_trunc('second', at) as at from night.hours")?;
    let marks = world.query("select mark from night.marks")?;
    let hour = |walk: &&record::Walk| {
        walk.interval
            .start
            .to_timestamp()
            .strftime("%Y-%m-%dT%H:%M:%S")
            .to_string()
    };
    let with = |flow: &str, step: &str, is_success: bool| -> Vec<&record::Walk> {
        let ended = |walk: &&record::Walk| {
            walk.flow == flow && (!is_success || succeeded(record, walk.run, &format!("flow:{flow}/{step}")))
        };
        record.walks.iter().filter(ended).collect()
    };
    let mark = |walk: &&record::Walk| walk.mark.clone().unwrap_or_default();
    Ok(vec![
        Table {
            name: "daily",
            expected: days
                .iter()
                .map(|(day, (rows, total))| format!("{day},{rows},{total}"))
                .collect(),
            allowed: Vec::new(),
            found: of_days(daily.context("`daily` cannot be read")?),
        },
        Table {
            name: "totals",
            expected: vec![format!("{},{total}", days.len())],
            allowed: Vec::new(),
            found: totals.context("`totals` cannot be read")?,
        },
        Table {
            name: "night.hours",
            expected: with("hours", "mark", true).iter().map(hour).collect(),
            allowed: with("hours", "mark", false).iter().map(hour).collect(),
            found: hours
                .unwrap_or_default()
                .iter()
                .map(|row| row.chars().take(19).collect())
                .collect(),
        },
        Table {
            name: "night.marks",
            expected: with("chain", "count", true).iter().map(mark).collect(),
            allowed: with("chain", "count", false).iter().map(mark).collect(),
            found: marks.unwrap_or_default(),
        },
    ])
}

/// Whether a step of a run succeeded.
fn succeeded(record: &Record, run: i64, instance: &str) -> bool {
    let tasks = record
        .runs
        .iter()
        .filter(|(other, _)| other.id == run)
        .flat_map(|(_, tasks)| tasks);
    let mut own = tasks.filter(|task| task.instance.to_string() == instance);
    own.any(|task| task.state == RunState::Success)
}

/// A row of `daily` with the date of its day alone.
fn short_day(row: &str) -> String {
    let (day, rest) = row.split_once(',').unwrap_or((row, ""));
    format!("{},{rest}", day.chars().take(10).collect::<String>())
}

/// A database goes with the round too; what it said is kept, and the facts that could still be read.
fn keep_database(world: &mut World, record: &Record) -> Result<()> {
    if matches!(world.ledger, Ledger::Postgres { .. }) {
        let folder = world.places.folder.clone();
        fs::copy(world.postgres()?.log(), folder.join("postgres.log"))?;
        let facts = record
            .facts
            .iter()
            .map(|(seq, at, fact)| format!("{seq} {at:?} {fact:?}\n"));
        fs::write(folder.join("facts.txt"), facts.collect::<String>())?;
    }
    Ok(())
}

/// A small file system goes with the round; what lies on it is copied for whoever looks at the folder later.
fn keep_small_file_systems(world: &World) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let own = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .map(PathBuf::from);
    for mounted in own.filter(|place| place.starts_with(&world.places.project)) {
        let name = mounted
            .file_name()
            .and_then(|name| name.to_str())
            .context("a mount without a name")?;
        let status = std::process::Command::new("cp")
            .arg("-a")
            .arg(&mounted)
            .arg(
                world
                    .places
                    .folder
                    .join(format!("mounted-{}", name.trim_start_matches('.'))),
            )
            .status()?;
        if !status.success() {
            bail!("{} could not be copied", mounted.display());
        }
    }
    Ok(())
}
