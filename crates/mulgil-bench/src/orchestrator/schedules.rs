//! A hundred thousand schedules in one project: how long a server needs until it keeps time, and what it
//! costs to wait.

use std::{
    process::Stdio,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use mulgil_store::Store;

use super::{
    MULGIL,
    found::Found,
    mulgil::{self, flow},
    session::{self, Project, Session},
};
use crate::{chaos::scheduler::processes::cpu_seconds, measure, place};

/// Schedules; one of them ticks each minute, the others hardly ever.
const SCHEDULES: usize = 100_000;

/// Files in one folder.
const FOLDER: usize = 1_000;

/// How long a server may take.
const PATIENCE: Duration = Duration::from_mins(3);

/// How long a server may rest from its start before its idleness is measured.
const REST: Duration = Duration::from_secs(5);

/// Measures loading, the first start, a start that ticks at once, and idleness.
pub(crate) fn measure(found: &mut Found) -> Result<()> {
    let project = Project::new("schedules", &files(), None)?;
    let loaded = measure::run(
        place::mulgil(&project.folder)?
            .args(["flows", "ls"])
            .stdin(Stdio::null()),
    )?;
    found.tell(MULGIL, "schedules.load", loaded.seconds);

    let began = Instant::now();
    let server = project.spawn()?;
    mulgil::wait_until_ready(&project, began, PATIENCE)?;
    found.tell(MULGIL, "schedules.first-ready", began.elapsed().as_secs_f64());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(kept(&project, began, SCHEDULES))?;
    found.tell(MULGIL, "schedules.first-kept", began.elapsed().as_secs_f64());
    server.end(PATIENCE)?;

    // A tick has come while nobody was there: it is decided as soon as the server keeps time.
    let mark = mulgil::minute_after(0);
    mulgil::sleep_until(mark + 1);
    let began = Instant::now();
    let session = Session::begin(project)?;
    session.ask(async |store| ticked(store, mark * 1_000_000, began).await)?;
    found.tell(MULGIL, "schedules.first-tick", began.elapsed().as_secs_f64());
    mulgil::wait_until_ready(session.project(), began, PATIENCE)?;
    found.tell(MULGIL, "schedules.ready", began.elapsed().as_secs_f64());
    sleep(REST);
    let before = cpu_seconds(session.pid())?;
    let began = Instant::now();
    sleep(mulgil::IDLE);
    let used = cpu_seconds(session.pid())? - before;
    found.tell(MULGIL, "schedules.cpu", 100.0 * used / began.elapsed().as_secs_f64());
    mulgil::tell_memory("schedules", &session, found);
    session.end()
}

fn files() -> Vec<(String, String)> {
    let text = |index: usize| {
        // Each minute of the year has its own; of one a year few come in the minutes that this takes.
        let minute = index * 5;
        let (day, hour) = (minute / 1440, minute / 60 % 24);
        let cron = match index {
            0 => "* * * * *".to_owned(),
            _ => format!("{} {hour} {} {} *", minute % 60, 1 + day % 28, 1 + day / 28 % 12),
        };
        format!("schedule: \"{cron}\"\nsteps:\n  one: {{sql: select 1}}\n")
    };
    let name = |index: usize| format!("{}/f{index}", index / FOLDER);
    (0..SCHEDULES).map(|index| flow(&name(index), text(index))).collect()
}

/// Waits until so many schedules have a newest tick.
async fn kept(project: &Project, began: Instant, count: usize) -> Result<()> {
    loop {
        if let Some(store) = session::open(&project.place).await? {
            let newest = store.newest_ticks().await;
            store.close().await;
            if newest.is_ok_and(|newest| newest.len() >= count) {
                return Ok(());
            }
        }
        ensure!(
            began.elapsed() < PATIENCE,
            "the schedules are not kept: {}",
            project.last_words()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until the tick of a moment is decided.
async fn ticked(store: &Store, at: i64, began: Instant) -> Result<()> {
    loop {
        let newest = store.ticks(Some("flow:f0"), 4).await.unwrap_or_default();
        if newest.iter().any(|row| row.tick.scheduled_at.0 >= at) {
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "no tick was decided");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
