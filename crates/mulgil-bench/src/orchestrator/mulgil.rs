//! What Mulgil does of each part.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use mulgil_store::fact::Fact;

use super::{
    MULGIL,
    found::Found,
    schedules,
    session::{self, Project, Session},
};
use crate::{
    chaos::scheduler::record::told,
    postgres::{Postgres, Settings},
};

/// Tasks of a chain.
const TASKS: usize = 40;

/// Measured runs of a chain, after one that is not: their middle counts, and all of their hand-overs.
const RUNS: usize = 3;

/// Independent tasks of one run.
const MANY: [usize; 2] = [1_000, 10_000];

/// Steps between a source and a join.
const FAN: [usize; 2] = [100, 1_000];

/// Starts of a server, of which the middle counts.
const STARTS: usize = 5;

/// How long nothing is asked of a server before its memory is read.
pub(crate) const IDLE: Duration = Duration::from_secs(30);

/// Flows that run each minute.
const CRONS: usize = 1_000;

/// Minute marks that are looked at, and how long the runs of the last may take.
const MARKS: i64 = 2;
const AFTER_LAST_MARK: Duration = Duration::from_secs(55);

/// Measures the parts that are named; what fails is a note.
pub(crate) fn measure(parts: &[&str], found: &mut Found) {
    for part in parts {
        let done = match *part {
            "chain" => chain(found),
            "many" => many(found),
            "fan" => fan(found),
            "start" => start(found),
            "cron" => cron(found),
            _ => schedules::measure(found),
        };
        if let Err(error) = done {
            found.note(format!("Mulgil, {part}: {error:#}"));
        }
    }
}

/// A flow's file.
pub(crate) fn flow(name: &str, text: String) -> (String, String) {
    (format!("flows/{name}.yml"), text)
}

fn chained(step: &str) -> String {
    let mut text = String::from("steps:\n");
    for index in 0..TASKS {
        let needs = index
            .checked_sub(1)
            .map_or_else(String::new, |before| format!(", needs: [s{before}]"));
        let _ = writeln!(text, "  s{index}: {{{step}{needs}}}");
    }
    text
}

fn independent(count: usize) -> String {
    let mut text = String::from("steps:\n");
    for index in 0..count {
        let _ = writeln!(text, "  s{index}: {{sql: select 1}}");
    }
    text
}

fn fanned(count: usize) -> String {
    let mut text = String::from("steps:\n  source: {sql: select 1}\n");
    let mut all = Vec::new();
    for index in 0..count {
        let _ = writeln!(text, "  s{index}: {{sql: select 1, needs: [source]}}");
        all.push(format!("s{index}"));
    }
    let _ = writeln!(text, "  join: {{sql: select 1, needs: [{}]}}", all.join(", "));
    text
}

/// The Python that runs the steps: itself, and not what looks it up at each start.
fn python() -> Result<String> {
    let named = std::env::var_os("MULGIL_BENCH_PYTHON").unwrap_or_else(|| "python3".into());
    let output = Command::new(named)
        .args(["-c", "import sys; print(sys.executable)"])
        .output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn chain(found: &mut Found) -> Result<()> {
    let python = python()?;
    let function = |warm: bool| {
        chained(&format!(
            "python: \"tasks.nothing:nothing\", interpreter: \"{python}\", warm: {warm}"
        ))
    };
    let files = [
        flow("in-process", chained("sql: select 1")),
        flow("process", function(false)),
        flow("warm", function(true)),
        ("tasks/nothing.py".to_owned(), "def nothing():\n    pass\n".to_owned()),
    ];
    let session = Session::start(Project::new("chain", &files, None)?)?;
    for flow in ["in-process", "process", "warm"] {
        session.run(flow, TASKS)?;
        let mut hand_overs = Vec::new();
        let mut times = Vec::new();
        for _ in 0..RUNS {
            let ran = session.run(flow, TASKS)?;
            hand_overs.extend(ran.hand_overs());
            times.push(ran.ms_a_task());
        }
        found.tell(MULGIL, &format!("chain.{flow}"), middle(times));
        found.tell_parts(MULGIL, &format!("chain.{flow}.hand-over"), hand_overs);
    }
    session.end()
}

fn many(found: &mut Found) -> Result<()> {
    many_in("many", None, "many", found)?;
    let scratch = tempfile::Builder::new().prefix("mulgil-bench-").tempdir()?;
    match Postgres::start(scratch.path().join("postgres"), Settings::Durable) {
        Ok(postgres) => many_in("many-postgres", Some(&postgres.url()), "many-postgres", found),
        Err(error) => {
            found.note(format!("Mulgil, many, with a ledger in PostgreSQL: {error:#}"));
            Ok(())
        }
    }
}

fn many_in(name: &str, ledger: Option<&str>, figure: &str, found: &mut Found) -> Result<()> {
    let files = MANY.map(|count| flow(&format!("many_{count}"), independent(count)));
    let session = Session::start(Project::new(name, &files, ledger)?.wide())?;
    for count in MANY {
        let ran = session.run(&format!("many_{count}"), count)?;
        found.tell(MULGIL, &format!("{figure}.{count}"), count as f64 / ran.seconds());
        found.tell(MULGIL, &format!("{figure}.{count}.wall"), count as f64 / ran.wall);
    }
    session.end()
}

fn fan(found: &mut Found) -> Result<()> {
    let files = FAN.map(|count| flow(&format!("fan_{count}"), fanned(count)));
    let session = Session::start(Project::new("fan", &files, None)?)?;
    session.run("fan_100", FAN[0] + 2)?;
    for count in FAN {
        let times = (0..RUNS).map(|_| Ok(session.run(&format!("fan_{count}"), count + 2)?.ms_a_task()));
        let times = times.collect::<Result<Vec<f64>>>()?;
        found.tell(MULGIL, &format!("fan.{count}"), middle(times));
    }
    session.end()
}

fn start(found: &mut Found) -> Result<()> {
    let files = [flow("one", "steps:\n  one: {sql: select 1}\n".to_owned())];
    let mut anew = Vec::new();
    for _ in 0..STARTS {
        let project = Project::new("start", &files, None)?;
        anew.push(seconds_to_ready(&project)?);
    }
    found.tell(MULGIL, "start", middle(anew));
    let project = Project::new("start", &files, None)?;
    seconds_to_ready(&project)?;
    let again = (0..STARTS)
        .map(|_| seconds_to_ready(&project))
        .collect::<Result<Vec<f64>>>()?;
    found.tell(MULGIL, "start.again", middle(again));
    let session = Session::start(Project::new("idle", &files, None)?)?;
    sleep(IDLE);
    tell_memory("idle", &session, found);
    session.end()
}

/// The memory of a server and all that it started.
pub(crate) fn tell_memory(figure: &str, session: &Session, found: &mut Found) {
    let (resident, processes) = session::memory(&session.project().folder, "VmRSS", "status");
    let (shared, _) = session::memory(&session.project().folder, "Pss", "smaps_rollup");
    found.tell(MULGIL, &format!("{figure}.rss"), resident);
    found.tell(MULGIL, &format!("{figure}.pss"), shared);
    found.tell(MULGIL, &format!("{figure}.processes"), processes as f64);
}

/// From the start of a server until it is ready; then it is ended.
fn seconds_to_ready(project: &Project) -> Result<f64> {
    let began = Instant::now();
    let server = project.spawn()?;
    wait_until_ready(project, began, Duration::from_mins(1))?;
    let seconds = began.elapsed().as_secs_f64();
    server.end(Duration::from_mins(1))?;
    Ok(seconds)
}

/// Looks often, so that the looks do not count.
pub(crate) fn wait_until_ready(project: &Project, began: Instant, patience: Duration) -> Result<()> {
    while !project.door().is_ready() {
        ensure!(
            began.elapsed() < patience,
            "the server is not ready: {}",
            project.last_words()
        );
        sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// The next minute that is so many seconds away at least.
pub(crate) fn minute_after(seconds: i64) -> i64 {
    let now = Timestamp::now().as_second() + seconds;
    (now / 60 + 1) * 60
}

/// Sleeps until a second since 1970.
pub(crate) fn sleep_until(second: i64) {
    let left = second * 1000 - Timestamp::now().as_millisecond();
    sleep(Duration::from_millis(left.max(0).unsigned_abs()));
}

/// When a run of a cron was due, and what became of it; moments are microseconds.
struct Fired {
    flow: String,
    due: i64,
    started: Option<i64>,
    ended: Option<i64>,
}

fn cron(found: &mut Found) -> Result<()> {
    let text = "schedule: \"* * * * *\"\nsteps:\n  one: {sql: select 1}\n";
    let files: Vec<_> = (0..CRONS)
        .map(|index| flow(&format!("cron_{index}"), text.to_owned()))
        .collect();
    let session = Session::start(Project::new("cron", &files, None)?)?;
    let first = minute_after(5);
    let marks: Vec<i64> = (0..MARKS).map(|index| (first + 60 * index) * 1_000_000).collect();
    sleep_until(first + 60 * (MARKS - 1));
    sleep(AFTER_LAST_MARK);
    let facts = session.ask(async |store| store.facts().await.map_err(told))?;
    let mut fired: BTreeMap<i64, Fired> = BTreeMap::new();
    for (_, at, fact) in facts {
        match fact {
            Fact::FlowBegan(began) => {
                let due = began.scheduled_at.context("a run without a tick")?.0;
                if marks.contains(&due) {
                    let flow = began.flow;
                    fired.insert(
                        began.run,
                        Fired {
                            flow,
                            due,
                            started: None,
                            ended: None,
                        },
                    );
                }
            }
            Fact::StepsBegan(began) => {
                fired.entry(began.run).and_modify(|one| one.started = Some(at.0));
            }
            Fact::StepsEnded(ended) => {
                fired.entry(ended.run).and_modify(|one| one.ended = Some(at.0));
            }
            _ => {}
        }
    }
    let fired: Vec<Fired> = fired.into_values().filter(|one| one.started.is_some()).collect();
    let distinct: BTreeSet<(&str, i64)> = fired.iter().map(|one| (one.flow.as_str(), one.due)).collect();
    found.tell(MULGIL, "cron.count", CRONS as f64);
    found.tell(MULGIL, "cron.missing", (CRONS * marks.len() - distinct.len()) as f64);
    found.tell(MULGIL, "cron.twice", (fired.len() - distinct.len()) as f64);
    let late = |of: fn(&Fired) -> Option<i64>| {
        let ms = |one: &Fired| Some((of(one)? - one.due) as f64 / 1e3);
        fired.iter().filter_map(ms).collect::<Vec<f64>>()
    };
    found.tell_parts(MULGIL, "cron", late(|one| one.started));
    found.tell_parts(MULGIL, "cron.end", late(|one| one.ended));
    session.end()
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
