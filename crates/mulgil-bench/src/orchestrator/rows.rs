//! The table: which figures stand beside each other, and what is to be said of them.

use super::{MULGIL, PEERS, found::Found};
use crate::report::Row;

/// A row, before it has figures.
struct Line {
    part: &'static str,
    work: &'static str,
    metric: &'static str,
    unit: &'static str,
    goal: &'static str,
    figure: &'static str,
    /// What stands there of a peer that has no such figure, and how that differs.
    instead: Option<(&'static str, &'static str)>,
}

const CHAIN: &str = "40 tasks one after the other, in process";
const PROCESS: &str = "40 tasks one after the other, a Python process each";
const WARM: &str = "40 tasks one after the other, on a warm Python process";
const THOUSAND: &str = "1,000 independent tasks in one run";
const TEN_THOUSAND: &str = "10,000 independent tasks in one run";
const THOUSAND_IN_POSTGRES: &str = "1,000 independent tasks in one run, ledger in PostgreSQL";
const TEN_THOUSAND_IN_POSTGRES: &str = "10,000 independent tasks in one run, ledger in PostgreSQL";
const FAN: &str = "a source, 100 tasks, a join";
const WIDE_FAN: &str = "a source, 1,000 tasks, a join";
const CRONS: &str = "1,000 crons of one minute, two marks";
const SCHEDULES: &str = "100,000 schedules";

const fn line(
    part: &'static str,
    work: &'static str,
    metric: &'static str,
    unit: &'static str,
    goal: &'static str,
    figure: &'static str,
) -> Line {
    Line {
        part,
        work,
        metric,
        unit,
        goal,
        figure,
        instead: None,
    }
}

impl Line {
    const fn or(mut self, figure: &'static str, how: &'static str) -> Self {
        self.instead = Some((figure, how));
        self
    }
}

const LINES: [Line; 38] = [
    line("chain", CHAIN, "time a task", "ms", "", "chain.in-process").or("chain.process", "a process each"),
    line(
        "chain",
        CHAIN,
        "start of a task to start of the next, p50",
        "ms",
        "<= 5",
        "chain.in-process.hand-over.p50",
    ),
    line(
        "chain",
        CHAIN,
        "start of a task to start of the next, p99",
        "ms",
        "<= 25",
        "chain.in-process.hand-over.p99",
    ),
    line("chain", PROCESS, "time a task", "ms", "", "chain.process"),
    line("chain", WARM, "time a task", "ms", "", "chain.warm"),
    line("many", THOUSAND, "as recorded", "tasks/s", ">= 5000", "many.1000").or("many.100", "100 tasks"),
    line(
        "many",
        THOUSAND,
        "as the client sees it",
        "tasks/s",
        "",
        "many.1000.wall",
    ),
    line("many", TEN_THOUSAND, "as recorded", "tasks/s", ">= 5000", "many.10000"),
    line(
        "many",
        TEN_THOUSAND,
        "as the client sees it",
        "tasks/s",
        "",
        "many.10000.wall",
    ),
    line(
        "many",
        THOUSAND_IN_POSTGRES,
        "as recorded",
        "tasks/s",
        ">= 1000",
        "many-postgres.1000",
    ),
    line(
        "many",
        THOUSAND_IN_POSTGRES,
        "as the client sees it",
        "tasks/s",
        "",
        "many-postgres.1000.wall",
    ),
    line(
        "many",
        TEN_THOUSAND_IN_POSTGRES,
        "as recorded",
        "tasks/s",
        ">= 1000",
        "many-postgres.10000",
    ),
    line(
        "many",
        TEN_THOUSAND_IN_POSTGRES,
        "as the client sees it",
        "tasks/s",
        "",
        "many-postgres.10000.wall",
    ),
    line("fan", FAN, "time a task", "ms", "", "fan.100"),
    line("fan", WIDE_FAN, "time a task", "ms", "", "fan.1000"),
    line(
        "fan",
        WIDE_FAN,
        "time a task, of that with 100",
        "times",
        "<= 1.2",
        "fan.ratio",
    ),
    line(
        "start",
        "a server starts, from nothing",
        "until healthy",
        "s",
        "<= 1",
        "start",
    ),
    line(
        "start",
        "a server starts again",
        "until healthy",
        "s",
        "<= 1",
        "start.again",
    ),
    line(
        "start",
        "a server that was idle for 30 s",
        "resident memory",
        "MiB",
        "<= 150",
        "idle.rss",
    ),
    line(
        "start",
        "a server that was idle for 30 s",
        "memory, what is shared counted once",
        "MiB",
        "",
        "idle.pss",
    ),
    line(
        "start",
        "a server that was idle for 30 s",
        "processes",
        "",
        "",
        "idle.processes",
    ),
    line("cron", CRONS, "runs that are missing", "", "<= 0", "cron.missing"),
    line("cron", CRONS, "runs that came twice", "", "<= 0", "cron.twice"),
    line("cron", CRONS, "start after due, p50", "ms", "", "cron.p50"),
    line("cron", CRONS, "start after due, p95", "ms", "", "cron.p95"),
    line("cron", CRONS, "start after due, p99", "ms", "", "cron.p99"),
    line("cron", CRONS, "start after due, max", "ms", "", "cron.max"),
    line("cron", CRONS, "end after due, p50", "ms", "", "cron.end.p50"),
    line("cron", CRONS, "end after due, p95", "ms", "", "cron.end.p95"),
    line("cron", CRONS, "end after due, p99", "ms", "", "cron.end.p99"),
    line("cron", CRONS, "end after due, max", "ms", "", "cron.end.max"),
    line(
        "schedules",
        SCHEDULES,
        "from start to the first tick decided",
        "s",
        "<= 3",
        "schedules.first-tick",
    ),
    line(
        "schedules",
        SCHEDULES,
        "from start to ready",
        "s",
        "",
        "schedules.ready",
    ),
    line(
        "schedules",
        SCHEDULES,
        "`flows ls`, which loads them",
        "s",
        "",
        "schedules.load",
    ),
    line(
        "schedules",
        SCHEDULES,
        "first start of all, to ready",
        "s",
        "",
        "schedules.first-ready",
    ),
    line(
        "schedules",
        SCHEDULES,
        "first start of all, to all kept",
        "s",
        "",
        "schedules.first-kept",
    ),
    line(
        "schedules",
        SCHEDULES,
        "processor while idle",
        "%",
        "<= 2",
        "schedules.cpu",
    ),
    line(
        "schedules",
        SCHEDULES,
        "resident memory while idle",
        "MiB",
        "",
        "schedules.rss",
    ),
];

/// The rows of some parts.
pub(crate) fn of(parts: &[&str], found: &Found) -> Vec<Row> {
    let lines = LINES.iter().filter(|line| parts.contains(&line.part));
    lines.map(|line| row(line, found)).collect()
}

fn row(line: &Line, found: &Found) -> Row {
    let peers = PEERS.iter().filter_map(|peer| {
        let (name, title) = (peer.name(), peer.title());
        if let Some(value) = figure(found, name, line.figure) {
            let count = found.of(name, "cron.count").filter(|_| line.part == "cron");
            let title = count.map_or_else(|| title.to_owned(), |count| format!("{title}, {count} crons"));
            return Some((title, value));
        }
        let (instead, how) = line.instead?;
        Some((format!("{title}, {how}"), found.of(name, instead)?))
    });
    Row {
        work: line.work.to_owned(),
        metric: line.metric,
        unit: line.unit,
        goal: line.goal.to_owned(),
        mulgil: figure(found, MULGIL, line.figure),
        peers: peers.collect(),
    }
}

/// A figure that was measured, or follows from some.
fn figure(found: &Found, program: &str, name: &str) -> Option<f64> {
    match name {
        "fan.ratio" => Some(found.of(program, "fan.1000")? / found.of(program, "fan.100")?),
        _ => found.of(program, name),
    }
}

/// What is to be said below the table.
pub(crate) fn notes(found: &Found) -> String {
    let mut notes = NOTES.to_owned();
    if !found.notes.is_empty() {
        notes.push_str("\nWhat did not work in this run:\n\n");
        for note in &found.notes {
            notes.push_str(&format!("- {}\n", note.replace('\n', " ")));
        }
    }
    notes
}

const NOTES: &str = "\
All run one after the other on this machine, each as it comes: its ledger in SQLite, its own number of tasks at \
once. Every run was checked to have succeeded in all its tasks.

Mulgil: a flow that a client triggers on a running server; time is from the begin of the run to its end, as \
recorded. In process is a step `sql: select 1`; a Python process and a warm one are a step of an empty Python \
function with `warm: false` and `warm: true`. From the start of a task to the start of the next goes the task itself, \
and a commit that is synced to the disk: it is the hand-over seen from its dear side. Chains and fans are the middle \
of three runs after one that does not count. PostgreSQL is on the same machine and syncs each commit.

Airflow: `airflow standalone` with LocalExecutor, tasks are empty `@task`s, time is from start to end of the run in \
its database. It has no tasks in process. It is given 100 independent tasks, a fan of 100, and 20 crons, about what \
it can start within a minute. Servers of peers are started once. Prefect: `prefect server start`, and flows of empty \
`@task`s in a process beside it; the second run of a chain counts; the warm process is its `ProcessPoolTaskRunner` \
with one worker, which starts with the flow. Crons are deployments of one `serve`, which starts a process for each \
run. Dagster: empty ops with `execute_in_process` and an instance in a folder; a process each is `execute_job`, \
which takes the multiprocess executor. Its server is `dagster dev`, which starts a process for each run. Prefect and \
Dagster are given 5 crons.

Start after due is from the minute mark to the start of the task as recorded. Mulgil takes the time of a start when \
it decides on it, before that is written: the end of such a task is as good a witness, and stands beside it. Of the \
100,000 schedules one ticks each minute and the others once a year; the start that is measured comes after a minute \
in which nobody was there.
";
