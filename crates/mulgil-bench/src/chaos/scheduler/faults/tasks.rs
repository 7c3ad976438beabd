//! Tasks that do not want to end, print without end, eat memory, and outlive their server.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use mulgil_core::{
    codes,
    run::{RunState, TaskRun},
};
use serde_json::json;

use super::RECOVERY;
use crate::{
    chaos::scheduler::{
        journal::{self, Moment},
        machine, processes, project,
        world::World,
    },
    wait,
};

/// Memory that a server may have while a task floods its log, in kilobytes.
const MEMORY_KB: u64 = 600_000;

/// Bytes that the log of one attempt may have: the 100 MB that are kept of it, and as much again for the times
/// of its lines.
const LOG_BYTES: u64 = 200_000_000;

pub(super) fn term(world: &mut World) -> Result<()> {
    /// The grace of 30 s, and something for a slow machine.
    const PATIENCE: Duration = Duration::from_secs(50);
    /// Processes that the step has planted when all are there.
    const PLANTED: usize = 5;
    let cancelled = world.fire_now("tree")?.context("the trigger was not taken")?;
    let late = world.fire_now("late")?.context("the trigger was not taken")?;
    let folder = world.places.folder.clone();
    let of_run = |run: i64| processes::with_variable(&folder, &format!("MULGIL_RUN_ID={run}"));
    let planted = || Ok((of_run(cancelled).len() >= PLANTED).then_some(()));
    wait::until(RECOVERY, Duration::from_millis(50), planted)?;
    let count = of_run(cancelled).len();
    ensure!(count >= PLANTED, "only {count} processes were planted");
    world.fire_some(3);
    let (status, answer) = world.door().verb(&json!({"verb": "cancel_run", "run": cancelled}))?;
    world.expect(status == 200, || {
        format!("the run could not be cancelled: {status} {answer}")
    });
    let began = Instant::now();
    for (run, wanted) in [(cancelled, RunState::Cancelled), (late, RunState::Failed)] {
        let ended = world.over(run, PATIENCE)?;
        world.note(format!("run {run} over after {:.1} s", began.elapsed().as_secs_f64()));
        let state = ended.as_ref().map(|(run, _)| run.state);
        world.expect(state == Some(wanted), || {
            format!("run {run} is {state:?} after {PATIENCE:?}, not {wanted:?}")
        });
        let left = of_run(run);
        world.expect(left.is_empty(), || {
            format!("left of run {run}, which is over: {left:?}")
        });
        if wanted == RunState::Failed {
            let code = ended.and_then(|(_, tasks)| code_of(&tasks));
            world.expect(code == Some(codes::TASK_TIMEOUT.0), || {
                format!("a task out of time ended with {code:?}")
            });
        }
    }
    Ok(())
}

pub(super) fn flood(world: &mut World) -> Result<()> {
    const PATIENCE: Duration = Duration::from_mins(3);
    let run = world.fire_now("flood")?.context("the trigger was not taken")?;
    world.fire_some(3);
    let began = Instant::now();
    let ended = world.over(run, PATIENCE)?;
    let took = began.elapsed();
    world.note(format!("a gigabyte of log in {:.1} s", took.as_secs_f64()));
    let state = ended.as_ref().map(|(run, _)| run.state);
    world.expect(state == Some(RunState::Success), || {
        format!("the run that floods its log is {state:?} after {took:?}")
    });
    if let Some(attempt) = ended.and_then(|(_, tasks)| tasks.first()?.attempts.first().map(|attempt| attempt.id)) {
        let bytes = crate::place::bytes_of(&world.places.attempt(attempt))?;
        world.note(format!("{bytes} bytes of it kept"));
        if bytes >= LOG_BYTES {
            // What is kept of a broken round must not fill the machine.
            fs::remove_file(world.places.attempt(attempt).join("log"))?;
        }
        world.expect(bytes < LOG_BYTES, || format!("{bytes} bytes of one log are kept"));
    }
    let peak = processes::status(world.server()?.pid, "VmHWM").unwrap_or(0);
    world.expect(peak < MEMORY_KB, || {
        format!("the server had {peak} KB while a task flooded its log")
    });
    Ok(())
}

pub(super) fn memory(world: &mut World) -> Result<()> {
    world.fire_some(3);
    let run = world.fire_now("killed")?.context("the trigger was not taken")?;
    let ended = world.over(run, RECOVERY)?;
    let state = ended.as_ref().map(|(run, _)| run.state);
    world.expect(state == Some(RunState::Failed), || {
        format!("a run whose task was killed is {state:?}")
    });
    let code = ended.and_then(|(_, tasks)| code_of(&tasks));
    let known = [codes::TASK_SIGNALLED.0, codes::TASK_OUT_OF_MEMORY.0];
    world.expect(code.is_some_and(|code| known.contains(&code)), || {
        format!("a task that was killed for its memory ended with {code:?}")
    });
    Ok(())
}

pub(super) fn adopt(world: &mut World) -> Result<()> {
    let run = world.fire_now("fan")?.context("the trigger was not taken")?;
    let begun = |world: &World| -> Result<BTreeSet<u32>> {
        let entries = journal::read(&world.places.journal)?;
        let own = entries
            .into_iter()
            .filter(|entry| entry.run == run && entry.moment == Moment::Begin);
        Ok(own.map(|entry| entry.pid).collect())
    };
    // The server is killed while its tasks begin, or when all of them run.
    let enough = if world.random.below(3) == 0 {
        world.random.below(project::FAN as u64) as usize
    } else {
        project::FAN
    };
    let enough_begun = || Ok((begun(world)?.len() >= enough).then_some(()));
    wait::until(RECOVERY, Duration::from_millis(20), enough_begun)?;
    world.note(format!("killed with {} tasks", begun(world)?.len()));
    for _ in 0..=world.random.below(2) {
        world.kill()?;
        world.pass(0, 1500);
        world.start()?;
        world.pass(0, 1000);
    }
    let is_whole = enough == project::FAN;
    let before = begun(world)?;
    fs::write(&world.places.go, "")?;
    let ended = world.over(run, Duration::from_mins(1))?;
    let (state, tasks) = ended.map_or((None, Vec::new()), |(run, tasks)| (Some(run.state), tasks));
    world.expect(state == Some(RunState::Success), || {
        format!("the run with many tasks is {state:?}")
    });
    if is_whole {
        let again: Vec<String> = tasks
            .iter()
            .filter(|task| task.attempts.len() != 1)
            .map(|task| format!("{} has {} attempts", task.instance, task.attempts.len()))
            .collect();
        world.expect(again.is_empty(), || again.join(", "));
        let after = begun(world)?;
        world.expect(after == before && after.len() == project::FAN, || {
            format!(
                "{} processes began the tasks, {} after the kill",
                before.len(),
                after.len()
            )
        });
    }
    Ok(())
}

/// The code of the first fault of a run's attempts.
fn code_of(tasks: &[TaskRun]) -> Option<u16> {
    let mut faults = tasks
        .iter()
        .flat_map(|task| &task.attempts)
        .filter_map(|attempt| attempt.fault.as_ref());
    faults.next().map(|fault| fault.code.0)
}

/// A control group with little memory for the task that eats it, where one can be made; it is removed with
/// [`remove_group`].
pub(crate) fn make_group(seed: u64) -> Result<Option<PathBuf>> {
    const BYTES: &str = "67108864";
    let Some(parent) = machine::memory_groups() else {
        return Ok(None);
    };
    let group = parent.join(format!("mulgil-chaos-{}-{seed}", std::process::id()));
    fs::create_dir(&group)?;
    fs::write(group.join("memory.limit_in_bytes"), BYTES)?;
    Ok(Some(group))
}

/// Removes a control group once nobody is in it.
pub(crate) fn remove_group(group: &Path) -> Result<()> {
    let remove = || Ok(fs::remove_dir(group).ok());
    match wait::until(Duration::from_secs(5), Duration::from_millis(100), remove)? {
        Some(()) => Ok(()),
        None => fs::remove_dir(group).with_context(|| group.display().to_string()),
    }
}
