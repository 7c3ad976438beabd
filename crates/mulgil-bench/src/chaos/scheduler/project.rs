//! The project of a round: models over files, and flows of every kind of step, whose tasks are this
//! program.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use jiff::{RoundMode, Timestamp, TimestampRound, ToSpan as _, Unit};

use super::{
    machine,
    record::Ledger,
    task::{JOURNAL, SEED},
};
use crate::{place, synthetic::Random};

/// Days of files that there are from the start.
pub(crate) const DAYS: u64 = 4;

/// Steps of the flow `fan` that run at once.
pub(crate) const FAN: usize = 20;

/// Hours before a round that the flow `hours` begins, and how many of them there are.
const HOURS: (i64, i64) = (6, 8);

/// How long the step that never ends by itself may take, in seconds.
pub(crate) const TREE_TIMEOUT_S: u64 = 2;

/// Bytes that the step `flood` prints.
pub(crate) const FLOOD_BYTES: u64 = 1_000_000_000;

/// The project folders of the machines of a round.
pub(crate) const MACHINES: [&str; 2] = ["project", "second"];

/// Where things of a round lie.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// All of the round.
    pub(crate) folder: PathBuf,
    /// The project, on one machine.
    pub(crate) project: PathBuf,
    /// The program under test.
    pub(crate) program: PathBuf,
    /// What tasks write.
    pub(crate) journal: PathBuf,
    /// Once it is there, the steps of `fan` end.
    pub(crate) go: PathBuf,
}

impl Places {
    /// The places below the folder of a round, as a machine has them.
    pub(crate) fn on(folder: &Path, machine: usize) -> Self {
        Self {
            folder: folder.to_owned(),
            project: folder.join(MACHINES[machine]),
            program: folder.join("bin/mulgil"),
            journal: folder.join("journal.csv"),
            go: folder.join("go"),
        }
    }

    /// The file of a day of the source.
    pub(crate) fn day(&self, day: u64) -> PathBuf {
        self.project.join(format!("data/2026-01-{day:02}.csv"))
    }

    /// What the clock of the machine is, where it is set.
    pub(crate) fn clock(&self) -> PathBuf {
        self.project.with_extension("clock")
    }

    /// Where attempts of the machine have their folders.
    pub(crate) fn attempts(&self) -> PathBuf {
        self.project.join(".mulgil/attempts/dev")
    }

    /// Where an attempt has its folder.
    pub(crate) fn attempt(&self, attempt: i64) -> PathBuf {
        self.attempts().join(attempt.to_string())
    }
}

/// Writes the project. `group` is a control group that the step `killed/eats` joins, where there is one.
pub(crate) fn write(places: &Places, ledger: &Ledger, seed: u64, group: Option<&Path>) -> Result<()> {
    let flows = flows(places, seed, group)?;
    let mut files: Vec<(&str, String)> = vec![
        ("mulgil.yml", SETTINGS.to_owned() + &settings(places, ledger)),
        ("models/events.sql", EVENTS.to_owned()),
        ("models/daily.sql", DAILY.to_owned()),
        ("models/totals.sql", TOTALS.to_owned()),
        ("tasks/side.py", SIDE.to_owned()),
        ("tasks/tree.sh", TREE.to_owned()),
    ];
    files.extend(flows);
    place::write_all(&places.project, files)?;
    fs::create_dir_all(places.project.join("data"))?;
    let mut random = Random::new(seed);
    for day in 1..=DAYS {
        write_day(places, day, 1 + random.below(50))?;
    }
    Ok(())
}

/// Writes the file of a day with so many rows, at once.
pub(crate) fn write_day(places: &Places, day: u64, rows: u64) -> Result<()> {
    let mut text = String::from("at,amount\n");
    for row in 0..rows {
        writeln!(
            text,
            "2026-01-{day:02}T{:02}:{:02}:00Z,{}",
            row % 24,
            row % 60,
            row + day
        )?;
    }
    let path = places.day(day);
    let half = path.with_extension("half");
    fs::write(&half, text)?;
    Ok(fs::rename(half, path)?)
}

/// What the table `daily` has to hold: of each file its day, its rows, and the sum of its amounts.
pub(crate) fn expected_days(places: &Places) -> Result<BTreeMap<String, (u64, u64)>> {
    let mut days = BTreeMap::new();
    for entry in fs::read_dir(places.project.join("data"))? {
        let path = entry?.path();
        let day = path
            .file_stem()
            .and_then(|name| name.to_str())
            .context("a file without a day")?;
        let text = fs::read_to_string(&path)?;
        let amounts = text.lines().skip(1).map(|line| {
            let amount = line.split_once(',').map_or("", |(_, amount)| amount);
            amount.parse::<u64>().with_context(|| line.to_owned())
        });
        let amounts: Vec<u64> = amounts.collect::<Result<_>>()?;
        days.insert(day.to_owned(), (amounts.len() as u64, amounts.iter().sum()));
    }
    Ok(days)
}

const SETTINGS: &str = "\
name: night
sources:
  raw:
    events:
      files: \"data/{YYYY}-{MM}-{DD}.csv\"
      event_time: at
      columns: {at: timestamptz, amount: bigint}
";

/// Where another machine can reach the ledger, it reaches the tables too.
fn settings(places: &Places, ledger: &Ledger) -> String {
    match ledger {
        Ledger::File => String::new(),
        Ledger::Postgres { url } => {
            let warehouse = places.folder.join("warehouse");
            format!("ledger: \"{url}\"\nwarehouse: \"{}\"\n", warehouse.display())
        }
    }
}

const EVENTS: &str = "\
{{ config(interval='day', event_time='at', begin='2026-01-01', end='2026-01-29') }}
select at, amount from {{ source('raw', 'events') }}
";

const DAILY: &str = "\
{{ config(interval='day', event_time='day_at', begin='2026-01-01', end='2026-01-29') }}
select date_trunc('day', at) as day_at, count(*) as n, sum(amount) as total from {{ ref('events') }} group by 1
";

const TOTALS: &str = "select count(*) as days, sum(total) as total from {{ ref('daily') }}\n";

/// A step in Python that keeps the journal as the others do.
const SIDE: &str = r#"import os, sys, time

def said(moment):
    own = [os.environ["MULGIL_RUN_ID"], os.environ["MULGIL_STEP"], os.environ["MULGIL_ATTEMPT"], sys.argv[1]]
    line = ",".join(own + [str(os.getpid()), str(time.clock_gettime_ns(time.CLOCK_BOOTTIME)), moment]) + "\n"
    file = os.open(os.environ["CHAOS_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)

said("begin")
time.sleep(0.2)
said("end")
"#;

/// A step that does all it can to leave processes behind.
const TREE: &str = r#"trap '' TERM
setsid sh -c 'trap "" TERM; while :; do sleep 1; done' &
( ( trap '' TERM HUP; cd /; while :; do sleep 1; done ) & )
setsid sh -c '( trap "" TERM; exec setsid sleep 3600 ) &'
nohup sleep 3600 >/dev/null 2>&1 &
echo planted
while :; do sleep 1; done
"#;

/// Of the flows that are started by hand all day: no start is refused because others go on.
const AT_ONCE: &str = "max_active: 1000\n";

/// The flows' files. A step's task is told how often it was tried, so that it can fail and then not.
fn flows(places: &Places, seed: u64, group: Option<&Path>) -> Result<Vec<(&'static str, String)>> {
    let own = std::env::current_exe()?.display().to_string();
    let env = format!(
        "env: {{{JOURNAL}: \"{}\", {SEED}: \"{seed}\"}}",
        places.journal.display()
    );
    let work = |from: u64, to: u64, fails: u64| {
        format!("command: [\"{own}\", task, work, \"{from}\", \"{to}\", \"{fails}\", \"{{{{ run.attempt }}}}\"], {env}")
    };
    let wait = format!(
        "command: [\"{own}\", task, wait, \"{}\", \"{{{{ run.attempt }}}}\"], {env}",
        places.go.display()
    );
    let eats = group.map_or_else(
        || "kill -KILL $$".to_owned(),
        |group| format!("echo $$ > {}/cgroup.procs; exec tail /dev/zero", group.display()),
    );
    let side = if machine::has_python() {
        format!("python: tasks/side.py, args: [\"{{{{ run.attempt }}}}\"], {env}")
    } else {
        work(200, 200, 0)
    };
    // Short lines cost most: each has its time beside it.
    let line = if seed.is_multiple_of(2) {
        ""
    } else {
        "a line of a log that nobody reads"
    };
    let hour = Timestamp::now().round(TimestampRound::new().smallest(Unit::Hour).mode(RoundMode::Floor))?;
    let begin = hour - HOURS.0.hours();
    let end = begin + HOURS.1.hours();
    let mut fan = String::from("params: {mark: {type: string, default: none}}\nsteps:\n");
    for number in 0..FAN {
        writeln!(fan, "  s{number}: {{{wait}}}")?;
    }
    Ok(vec![
        (
            "flows/minutely.yml",
            format!(
                "schedule: \"* * * * *\"\nsteps:\n  first: {{{}}}\n  second: {{needs: [first], {}}}\n",
                work(20, 300, 0),
                work(20, 300, 0)
            ),
        ),
        (
            "flows/never.yml",
            format!(
                "schedule: \"* * * * *\"\nmissed: none\nmax_active: 2\nsteps:\n  only: {{{}}}\n",
                work(20, 300, 0)
            ),
        ),
        (
            "flows/hours.yml",
            format!(
                "schedule: \"0 * * * *\"\ninterval: hour\nbegin: \"{begin}\"\nend: \"{end}\"\nmax_active: 2\nsteps:\n  \
                 mark: {{sql: \"create table if not exists night.hours (at timestamp); \
                 delete from night.hours where at = :interval_start; \
                 insert into night.hours values (:interval_start)\", retry: {{max: 7, delay: 1s}}}}\n  \
                 totals: {{models: totals, needs: [mark], retry: {{max: 3, delay: 1s}}}}\n  \
                 after: {{needs: [totals], {}}}\n",
                work(20, 500, 0)
            ),
        ),
        (
            "flows/chain.yml",
            format!(
                "{AT_ONCE}params: {{mark: {{type: string, default: none}}}}\nsteps:\n  \
                 fetch: {{{}, retry: {{max: 3, delay: 1s}}}}\n  \
                 side: {{{side}, needs: [fetch], timeout: 1m}}\n  \
                 count: {{sql: \"create table if not exists night.marks (mark text); \
                 delete from night.marks where mark = :mark; insert into night.marks values (:mark)\", \
                 needs: [fetch], retry: {{max: 7, delay: 1s}}}}\n  \
                 once: {{{}, needs: [fetch], on_lost: fail, allow_failure: true}}\n  \
                 last: {{{}, needs: [side, count, once], timeout: 1m}}\nfinally:\n  tidy: {{{}}}\n",
                work(20, 600, 40),
                work(20, 600, 10),
                work(20, 600, 0),
                work(10, 100, 0),
            ),
        ),
        (
            "flows/narrow.yml",
            format!(
                "{AT_ONCE}params: {{mark: {{type: string, default: none}}}}\nsteps:\n  \
                 one: {{{work}, pool: narrow}}\n  two: {{{work}, pool: narrow, priority: 5}}\n  \
                 three: {{{work}, pool: narrow, needs: [one]}}\n  wide: {{{work}}}\n",
                work = work(100, 500, 0)
            ),
        ),
        ("flows/fan.yml", fan),
        (
            "flows/tree.yml",
            "params: {mark: {type: string, default: none}}\nsteps:\n  forks: {command: [sh, tasks/tree.sh]}\n"
                .to_owned(),
        ),
        (
            "flows/late.yml",
            format!(
                "params: {{mark: {{type: string, default: none}}}}\nsteps:\n  \
                 forks: {{command: [sh, tasks/tree.sh], timeout: {TREE_TIMEOUT_S}s}}\n"
            ),
        ),
        (
            "flows/flood.yml",
            format!(
                "params: {{mark: {{type: string, default: none}}}}\nsteps:\n  \
                 prints: {{command: \"yes '{line}' | head -c {FLOOD_BYTES}\"}}\n"
            ),
        ),
        (
            "flows/killed.yml",
            format!("params: {{mark: {{type: string, default: none}}}}\nsteps:\n  eats: {{command: \"{eats}\"}}\n"),
        ),
    ])
}
