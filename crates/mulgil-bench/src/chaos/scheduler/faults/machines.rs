//! Two machines on one ledger: the lead passes from one to the other, and never do both lead.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use nix::sys::signal::Signal;

use super::{RECOVERY, kills::STOPPED};
use crate::{
    chaos::scheduler::{processes, world::World},
    wait,
};

/// How far one of two clocks is ahead, in seconds.
const AHEAD_S: i64 = 90;

/// What is left at least of a lease of 30 s that is renewed every 5, for a slow machine.
const LEASE_LEFT: Duration = Duration::from_secs(20);

/// Who gives its lead back, or starts again where it had it, makes nobody wait for the lease.
const AT_ONCE: Duration = Duration::from_secs(15);

pub(super) fn two(world: &mut World) -> Result<()> {
    start_second(world)?;
    for _ in 0..=world.random.below(2) {
        let leader = world.go_to_leader()?;
        world.fire_some(5);
        world.pass(0, 2500);
        if world.random.below(2) == 0 {
            killed(world, leader)?;
        } else {
            stopped(world, leader)?;
        }
    }
    Ok(())
}

pub(super) fn prepare_skewed(world: &mut World) -> Result<()> {
    world.add_machine()?;
    world.go_to(1);
    world.fake_time()?;
    world.set_clock(AHEAD_S)?;
    world.go_to(0);
    Ok(())
}

pub(super) fn skewed(world: &mut World) -> Result<()> {
    start_second(world)?;
    for _ in 0..3 + world.random.below(3) {
        let leader = world.go_to_leader()?;
        world.fire_some(4);
        world.pass(500, 4000);
        if world.random.below(3) == 0 {
            killed(world, leader)?;
            continue;
        }
        let still = world.leader()?;
        world.expect(still == Some(leader), || {
            format!("the lead of machine {leader}, which is well, passed on to {still:?}")
        });
        world.end_well()?;
        let took = world.led_by(other(leader))?;
        world.expect(took < AT_ONCE, || {
            format!("a lead that was given back passed on after {took:?}")
        });
        world.note(format!("handed over in {:.1} s", took.as_secs_f64()));
        world.go_to(leader);
        world.start()?;
    }
    Ok(())
}

fn start_second(world: &mut World) -> Result<()> {
    let leader = world.go_to_leader()?;
    world.go_to(other(leader));
    world.start()
}

/// The server that leads is killed: the other follows when its lease is over, or itself at once.
fn killed(world: &mut World, leader: usize) -> Result<()> {
    let began = Instant::now();
    world.kill()?;
    if world.random.below(2) == 0 {
        world.start()?;
        world.led_by(leader)?;
        let took = began.elapsed();
        world.note(format!("killed, and led again after {:.1} s", took.as_secs_f64()));
        world.expect(took < AT_ONCE, || {
            format!("a server that was killed leads again only after {took:?}")
        });
        return Ok(());
    }
    world.led_by(other(leader))?;
    let took = began.elapsed();
    world.note(format!("killed, and followed after {:.1} s", took.as_secs_f64()));
    world.expect(took > LEASE_LEFT, || format!("a lease of 30 s was over after {took:?}"));
    world.fire_some(3);
    world.go_to(leader);
    world.start()
}

/// The server that leads is stopped for longer than its lease, with tasks that do not end. The other follows, and
/// when it goes on it does nothing more.
fn stopped(world: &mut World, leader: usize) -> Result<()> {
    world.fire("fan");
    world.pass(0, 1500);
    let pid = world.server()?.pid;
    let lost = lost_leads(world);
    let began = Instant::now();
    world.signal(Signal::SIGSTOP)?;
    world.fire_some(2);
    world.led_by(other(leader))?;
    let took = began.elapsed();
    world.note(format!("stopped, and followed after {:.1} s", took.as_secs_f64()));
    world.expect(took > LEASE_LEFT, || format!("a lease of 30 s was over after {took:?}"));
    world.fire_some(3);
    world.pass(0, 8000);
    thread::sleep(STOPPED.saturating_sub(began.elapsed()));
    world.go_to(leader);
    // These wait for it when it goes on.
    world.fire_some(3);
    world.signal(Signal::SIGCONT)?;
    let says_so = || Ok((lost_leads(world) > lost).then_some(()));
    wait::until(RECOVERY, Duration::from_millis(100), says_so)?;
    let words = world.last_words();
    world.expect(lost_leads(world) > lost, || {
        format!("a server that was stopped for longer than its lease does not say so: {words}")
    });
    let is_alive = processes::is_alive(pid) && world.server()?.has_ended()?.is_none();
    world.expect(is_alive, || format!("the server {pid} did not go on: {words}"));
    let taken = world.fire_now("chain")?;
    let leads = world.leader()?;
    world.expect(taken.is_none() && leads == Some(other(leader)), || {
        format!("machine {leader} takes the trigger {taken:?}, and machine {leads:?} leads")
    });
    Ok(fs::write(&world.places.go, "")?)
}

/// How often the server of this machine said that it lost its lead.
fn lost_leads(world: &World) -> usize {
    world.said().matches("MG5223").count()
}

fn other(machine: usize) -> usize {
    1 - machine
}
