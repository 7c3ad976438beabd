//! Servers that are killed, stopped and told to end, and supervisors that are killed.

use std::{collections::BTreeSet, time::Duration};

use anyhow::Result;
use nix::sys::signal::Signal;

use super::{ready_again, tasks};
use crate::chaos::scheduler::{
    journal::{self, Entry, Moment},
    processes,
    server::Start,
    world::World,
};

/// How long a server is stopped: longer than the lease of 30 s.
pub(super) const STOPPED: Duration = Duration::from_secs(35);

/// Where a server may kill itself: those that a service passes. `ticked` waits for a minute to be full.
const POINTS: [&str; 9] = [
    "flow_began",
    "step_claimed",
    "step_ended",
    "flow_ended",
    "claimed",
    "recorded",
    "committed",
    "files_written",
    "ticked",
];

pub(super) fn kill(world: &mut World) -> Result<()> {
    let times = 1 + world.random.below(4);
    world.note(format!("{times} kills"));
    for _ in 0..times {
        world.fire_some(5);
        world.pass(0, 3000);
        world.kill()?;
        world.start()?;
    }
    Ok(())
}

pub(super) fn point(world: &mut World) -> Result<()> {
    /// Numbered writes that a server surely makes.
    const WRITES: u64 = 250;
    for _ in 0..=world.random.below(3) {
        let place = if world.random.below(2) == 0 {
            format!("write:{}", 1 + world.random.below(WRITES))
        } else {
            let name = POINTS[world.random.below(POINTS.len() as u64) as usize];
            format!(
                "{name}:{}",
                1 + world.random.below(if name == "ticked" { 1 } else { 6 })
            )
        };
        let patience = if place.starts_with("ticked") { 63 } else { 8 };
        world.kill()?;
        world.change_a_file()?;
        let start = Start {
            variables: vec![("MULGIL_CRASH_TEST".to_owned(), place.clone())],
            ..Start::default()
        };
        let mut is_dead = !world.start_as(start)?;
        if !is_dead {
            world.fire_some(5);
            is_dead = world.server()?.wait(Duration::from_secs(patience))?.is_some();
        }
        world.note(format!("{place}{}", if is_dead { "" } else { " (not passed)" }));
        world.kill()?;
        world.start()?;
    }
    Ok(())
}

pub(super) fn stop(world: &mut World, lasts: Duration) -> Result<()> {
    world.fire_some(4);
    world.pass(0, 800);
    let pid = world.server()?.pid;
    world.signal(Signal::SIGSTOP)?;
    world.fire_some(2);
    std::thread::sleep(lasts);
    world.signal(Signal::SIGCONT)?;
    ready_again(world, "after it was stopped")?;
    let now = world.server()?.pid;
    world.expect(now == pid && processes::is_alive(pid), || {
        format!("the server {pid} did not go on after it was stopped for {lasts:?}")
    });
    Ok(())
}

pub(super) fn drain(world: &mut World) -> Result<()> {
    world.fire_some(5);
    world.fire_some(5);
    world.pass(200, 1200);
    world.answered()?;
    let is_live = |entry: &Entry| entry.moment == Moment::Begin && processes::is_alive(entry.pid);
    let live: Vec<Entry> = journal::read(&world.places.journal)?
        .into_iter()
        .filter(is_live)
        .collect();
    world.end_well()?;
    let entries = journal::read(&world.places.journal)?;
    let ended: BTreeSet<i64> = entries
        .iter()
        .filter(|entry| entry.moment == Moment::End)
        .map(|entry| entry.attempt)
        .collect();
    let cut: Vec<String> = live
        .iter()
        .filter(|entry| !ended.contains(&entry.attempt))
        .map(|entry| format!("attempt {} of {}", entry.attempt, entry.step))
        .collect();
    world.expect(cut.is_empty(), || format!("the server ended before {}", cut.join(", ")));
    world.start()
}

pub(super) fn lost(world: &mut World) -> Result<()> {
    for _ in 0..=world.random.below(3) {
        world.fire_some(4);
        world.pass(100, 900);
        let supervisors: Vec<u32> = processes::of_folder(&world.places.folder)
            .into_iter()
            .filter(|process| process.words.contains("__supervise"))
            .map(|process| process.pid)
            .collect();
        for pid in supervisors {
            if world.random.below(2) == 0 {
                processes::signal(pid, Signal::SIGKILL);
            }
        }
        if world.random.below(3) == 0 {
            world.kill()?;
            world.start()?;
        }
    }
    Ok(())
}

pub(super) fn mixed(world: &mut World) -> Result<()> {
    for _ in 0..2 + world.random.below(2) {
        let drawn = world.random.below(6);
        let (name, done) = match drawn {
            0 => ("kill", kill(world)),
            1 => ("point", point(world)),
            2 => ("drain", drain(world)),
            3 => ("lost", lost(world)),
            4 => ("memory", tasks::memory(world)),
            _ => ("stop", stop(world, Duration::from_secs(3))),
        };
        world.note(name);
        done?;
    }
    Ok(())
}
