//! What is left after a round: all that the checker looks at, as plain values.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context as _, Result, anyhow};
use mulgil_core::{
    diagnostic::Diagnostic,
    flow::Flow,
    interval::{Instant, Interval},
    project::Fingerprint,
    run::{Run, TaskRun},
};
use mulgil_store::{
    LedgerPlace, Store, TickRow,
    fact::{Fact, FlowBegan},
};
use sqlx::{ConnectOptions as _, Connection as _, Row as _, sqlite::SqliteConnectOptions};

use super::{
    journal::{self, Entry},
    processes::Process,
    project::{MACHINES, Places},
};

/// A walk over a flow, as the ledger says that it began.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    /// Its run.
    pub(crate) run: i64,
    /// Its flow.
    pub(crate) flow: String,
    /// The tick that it is for.
    pub(crate) scheduled_at: Option<Instant>,
    /// Its interval.
    pub(crate) interval: Interval,
    /// What a trigger of ours called itself.
    pub(crate) mark: Option<String>,
    /// The definition that it goes by.
    pub(crate) version: Fingerprint,
}

/// A trigger that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// What it called itself.
    pub(crate) mark: String,
    /// For which flow.
    pub(crate) flow: String,
}

/// A trigger that was answered with the number of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ack {
    /// What it was.
    pub(crate) asked: Asked,
    /// The run.
    pub(crate) run: i64,
    /// When the answer was there, in nanoseconds since the machine started.
    pub(crate) at_ns: i64,
}

/// A table as it is, and as it has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// Its name.
    pub(crate) name: &'static str,
    /// Rows that have to be there, each once.
    pub(crate) expected: Vec<String>,
    /// Rows that may be there besides, each once.
    pub(crate) allowed: Vec<String>,
    /// Rows that are there.
    pub(crate) found: Vec<String>,
}

/// All that is left after a round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    /// Every run with its task runs, oldest first.
    pub(crate) runs: Vec<(Run, Vec<TaskRun>)>,
    /// The walks over flows, oldest first.
    pub(crate) walks: Vec<Walk>,
    /// The definitions that walks went by.
    pub(crate) flows: BTreeMap<Fingerprint, Flow>,
    /// The facts, oldest first.
    pub(crate) facts: Vec<(i64, Instant, Fact)>,
    /// Every tick that was decided, oldest first.
    pub(crate) ticks: Vec<TickRow>,
    /// What tasks wrote.
    pub(crate) journal: Vec<Entry>,
    /// The attempts that have a folder on each machine: its server began them.
    pub(crate) attempts: [BTreeSet<i64>; MACHINES.len()],
    /// Triggers that were sent.
    pub(crate) asked: Vec<Asked>,
    /// Triggers that were answered with a run.
    pub(crate) acks: Vec<Ack>,
    /// All that is derived in the ledger, and the same made anew from its facts.
    pub(crate) derived: Vec<String>,
    /// What the facts say.
    pub(crate) rebuilt: Vec<String>,
    /// What the ledger's own check says; nothing where it is whole.
    pub(crate) damage: Vec<String>,
    /// The tables.
    pub(crate) tables: Vec<Table>,
    /// Processes that belong to the round after its last server has ended.
    pub(crate) left: Vec<Process>,
    /// What did not move for a minute.
    pub(crate) stuck: Vec<String>,
    /// How many steps might be live at once.
    pub(crate) slots: usize,
}

impl Record {
    /// The definition of a walk.
    pub(crate) fn flow_of(&self, walk: &Walk) -> Option<&Flow> {
        self.flows.get(&walk.version)
    }
}

/// The kind of ledger that a world has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ledger {
    /// One file of the data folder.
    File,
    /// A schema of a PostgreSQL of the round's own.
    Postgres {
        /// The schema and its database.
        url: String,
    },
}

impl Ledger {
    /// Where the ledger of a project lies.
    pub(crate) fn place(&self, project: &Path) -> Result<LedgerPlace> {
        Ok(match self {
            Self::File => LedgerPlace::folder(project.join(".mulgil"), "dev"),
            Self::Postgres { url } => LedgerPlace::postgres(url, LEDGER).map_err(told)?,
        })
    }
}

/// Whose facts a ledger of a round holds.
pub(crate) const LEDGER: &str = "night/dev";

/// Reads the ledger through what everybody reads it with; and its file, if it is one, by SQLite's own checks.
pub(crate) async fn read_ledger(ledger: &Ledger, project: &Path, record: &mut Record) -> Result<()> {
    let place = ledger.place(project)?;
    let store = Store::open_read_only(&place, LEDGER).await.map_err(told)?;
    let store = store.context("there is no ledger")?;
    for run in store.runs(u32::MAX >> 1).await.map_err(told)?.into_iter().rev() {
        record.runs.extend(store.run(run.id).await.map_err(told)?);
    }
    record.ticks = store.ticks(None, u32::MAX >> 1).await.map_err(told)?;
    record.ticks.reverse();
    record.facts = store.facts().await.map_err(told)?;
    record.derived = store.derived().await.map_err(told)?;
    store.close().await;
    let copy = Store::scratch(&place, LEDGER).await.map_err(told)?;
    copy.rebuild().await.map_err(told)?;
    record.rebuilt = copy.derived().await.map_err(told)?;
    copy.close().await;
    for (_, _, fact) in &record.facts {
        if let Fact::FlowBegan(began) = fact {
            if let Some(definition) = &began.definition {
                record
                    .flows
                    .insert(began.version, serde_json::from_value(definition.clone())?);
            }
            record.walks.push(walk(began));
        }
    }
    if let Some(file) = place.file() {
        record.damage = damage(&file).await?;
    }
    Ok(())
}

/// Reads what triggers and tasks wrote.
pub(crate) fn read_folder(places: &Places, record: &mut Record) -> Result<()> {
    record.journal = journal::read(&places.journal)?;
    for (machine, attempts) in record.attempts.iter_mut().enumerate() {
        let folders = fs::read_dir(Places::on(&places.folder, machine).attempts())
            .into_iter()
            .flatten();
        for folder in folders {
            attempts.extend(folder?.file_name().to_str().and_then(|name| name.parse::<i64>().ok()));
        }
    }
    record.asked = lines(&places.folder.join("asked.csv"))?
        .into_iter()
        .map(|words| {
            let [mark, flow] = words.try_into().map_err(|_| anyhow!("a line of asked.csv"))?;
            Ok(Asked { mark, flow })
        })
        .collect::<Result<_>>()?;
    record.acks = lines(&places.folder.join("acks.csv"))?
        .into_iter()
        .map(|words| {
            let [mark, flow, run, at_ns] = words.try_into().map_err(|_| anyhow!("a line of acks.csv"))?;
            Ok(Ack {
                asked: Asked { mark, flow },
                run: run.parse()?,
                at_ns: at_ns.parse()?,
            })
        })
        .collect::<Result<_>>()?;
    Ok(())
}

fn lines(path: &Path) -> Result<Vec<Vec<String>>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error.into()),
    };
    Ok(text
        .lines()
        .map(|line| line.split(',').map(str::to_owned).collect())
        .collect())
}

fn walk(began: &FlowBegan) -> Walk {
    Walk {
        run: began.run,
        flow: began.flow.clone(),
        scheduled_at: began.scheduled_at,
        interval: began.interval,
        mark: began
            .params
            .get("mark")
            .and_then(|mark| mark.as_str())
            .map(str::to_owned),
        version: began.version,
    }
}

/// What SQLite finds wrong with a file. No public read of the ledger asks for that, so it is asked here.
async fn damage(file: &Path) -> Result<Vec<String>> {
    let mut conn = SqliteConnectOptions::new().filename(file).connect().await?;
    let mut found = Vec::new();
    for row in sqlx::query("pragma integrity_check").fetch_all(&mut conn).await? {
        let line: String = row.try_get(0)?;
        if line != "ok" {
            found.push(line);
        }
    }
    for row in sqlx::query("pragma foreign_key_check").fetch_all(&mut conn).await? {
        let table: String = row.try_get(0)?;
        found.push(format!("a row of {table} names what is not there"));
    }
    conn.close().await?;
    Ok(found)
}

/// A fault of the ledger as an error of ours.
pub(crate) fn told(fault: Box<Diagnostic>) -> anyhow::Error {
    anyhow!("the ledger cannot be read: {fault}")
}
