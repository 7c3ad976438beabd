//! A PostgreSQL that is killed or hangs, and servers that are killed on one.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{kills, ready_again};
use crate::chaos::scheduler::{processes, world::World};

/// After so long without its ledger a server says so.
const NOTICED: Duration = Duration::from_secs(4);

pub(super) fn killed(world: &mut World) -> Result<()> {
    for _ in 0..2 + world.random.below(2) {
        world.fire_some(5);
        world.pass(0, 1500);
        let how = ["stop", "kill"][world.random.below(2) as usize];
        let lasts = Duration::from_millis(world.random.below(5000));
        without_database(world, how, "start", lasts)?;
    }
    ready_again(world, "after PostgreSQL was back")
}

pub(super) fn hung(world: &mut World) -> Result<()> {
    /// For how many milliseconds: shorter than the patience with one answer; longer than that; than a lead may go
    /// without being renewed; than its lease.
    const LASTS: [(u64, u64); 4] = [(500, 10_000), (15_000, 19_000), (21_000, 28_000), (31_000, 40_000)];
    // Its tasks run until the end, if they are not lost.
    world.fire("fan");
    for _ in 0..=world.random.below(2) {
        world.fire_some(5);
        world.pass(0, 1500);
        let (from, to) = LASTS[world.random.below(LASTS.len() as u64) as usize];
        let lasts = Duration::from_millis(from + world.random.below(to - from));
        without_database(world, "pause", "resume", lasts)?;
        ready_again(world, "after PostgreSQL went on")?;
    }
    Ok(fs::write(&world.places.go, "")?)
}

pub(super) fn server_kill(world: &mut World) -> Result<()> {
    let (name, done) = match world.random.below(4) {
        0 => ("kill", kills::kill(world)),
        1 => ("point", kills::point(world)),
        2 => ("drain", kills::drain(world)),
        _ => ("lost", kills::lost(world)),
    };
    world.note(name);
    done
}

/// Takes the database away for a while, under load. The server stays, and says that it does not work.
fn without_database(world: &mut World, down: &str, up: &str, lasts: Duration) -> Result<()> {
    let pid = world.server()?.pid;
    world.postgres()?.tell(down)?;
    let began = Instant::now();
    world.note(format!("{down} for {:.1} s", lasts.as_secs_f64()));
    world.fire_some(3);
    if lasts > NOTICED {
        thread::sleep(NOTICED.saturating_sub(began.elapsed()));
        let door = world.door();
        let readiness = door.get("/readyz").map(|(status, _)| status);
        world.expect(matches!(readiness, Ok(503)), || {
            format!("without its ledger it says {readiness:?} to /readyz")
        });
        let liveness = door.get("/livez").map(|(status, _)| status);
        world.expect(matches!(liveness, Ok(200)), || {
            format!("without its ledger it says {liveness:?} to /livez")
        });
    }
    thread::sleep(lasts.saturating_sub(began.elapsed()));
    world.postgres()?.tell(up)?;
    let is_there = processes::is_alive(pid) && world.server()?.has_ended()?.is_none();
    let words = world.last_words();
    world.expect(is_there, || format!("the server ended with its database: {words}"));
    if !is_there {
        world.kill()?;
        world.start()?;
    }
    Ok(())
}
