//! Disks that are full, read-only, or say that they could not write.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use super::{Fault, ready_again};
use crate::{
    chaos::scheduler::{journal, processes, server::Start, world::World},
    wait,
};

pub(super) fn full(world: &mut World, fault: Fault) -> Result<()> {
    let target = mounted(world).context("nothing is mounted")?;
    world.fire_some(4);
    world.pass(0, 1000);
    fill(&target, fault)?;
    let pid = world.server()?.pid;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        world.fire_some(2);
        world.pass(200, 700);
    }
    let is_alive = processes::is_alive(pid) && world.server()?.has_ended()?.is_none();
    let words = world.last_words();
    world.expect(is_alive, || format!("the server ended on a full disk: {words}"));
    world.expect(!words.contains("panicked"), || {
        format!("the server panicked on a full disk: {words}")
    });
    let readiness = world
        .door()
        .get("/readyz")
        .map(|(status, body)| format!("{status} {body}"));
    let readiness = readiness.unwrap_or_else(|error| error.to_string());
    if target.ends_with(".mulgil") {
        world.expect(!readiness.starts_with("200"), || {
            format!("with a full data folder it says {readiness}")
        });
    }
    world.note(format!("while full: {readiness}"));
    let grown = if fault == Fault::InodesFull {
        "remount,nr_inodes=100000"
    } else {
        "remount,size=512m"
    };
    remount(&target, grown)?;
    let _ = fs::remove_dir_all(target.join("ballast"));
    if is_alive {
        ready_again(world, "after the disk had room again")?;
    } else {
        world.start()?;
    }
    Ok(())
}

/// Takes all the room that there is, or all the files.
fn fill(target: &Path, fault: Fault) -> Result<()> {
    let ballast = target.join("ballast");
    if fs::create_dir_all(&ballast).is_err() {
        return Ok(());
    }
    if fault == Fault::InodesFull {
        for number in 0..1_000_000 {
            if fs::write(ballast.join(number.to_string()), "").is_err() {
                return Ok(());
            }
        }
    }
    for size in [1 << 20, 1 << 16, 1 << 12] {
        for number in 0.. {
            let file = ballast.join(format!("{size}-{number}"));
            if fs::write(&file, vec![1; size]).is_err() {
                let _ = fs::remove_file(&file);
                break;
            }
        }
    }
    Ok(())
}

pub(super) fn read_only(world: &mut World) -> Result<()> {
    let target = mounted(world).context("nothing is mounted")?;
    let is_ledger = target.ends_with(".mulgil");
    world.fire_some(3);
    world.pass(0, 600);
    if is_ledger {
        // A disk cannot become read-only under an open ledger.
        world.answered()?;
        world.kill()?;
    }
    let lock = || Ok(remount(&target, "remount,ro").ok());
    let locked = wait::until(Duration::from_secs(10), Duration::from_millis(100), lock)?;
    if locked.is_none() {
        world.note("it was never free of writers, so it stayed as it was");
        return Ok(());
    }
    if is_ledger {
        let is_ready = world.start_as(Start::default())?;
        world.expect(!is_ready, || {
            "a server began on a ledger that it cannot write".to_owned()
        });
        let code = world
            .server()?
            .wait(Duration::from_secs(1))?
            .and_then(|status| status.code());
        let words = world.last_words();
        world.expect(code == Some(6), || {
            format!("the server ended with {code:?}, not with 6: {words}")
        });
        world.note(
            words
                .lines()
                .find(|line| line.starts_with("error["))
                .unwrap_or_default()
                .to_owned(),
        );
        remount(&target, "remount,rw")?;
        return world.start();
    }
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        world.fire_some(2);
        world.pass(200, 600);
    }
    remount(&target, "remount,rw")?;
    ready_again(world, "after the disk could be written again")
}

pub(super) fn fsync(world: &mut World) -> Result<()> {
    world.answered()?;
    world.kill()?;
    let after = 2 + world.random.below(40);
    let told = world.places.folder.join("strace");
    world.note(format!("from the {after}th fsync of each thread on"));
    let before = [
        "strace",
        "-f",
        "-qq",
        "-y",
        "-ttt",
        "-e",
        "trace=fsync,fdatasync",
        "-e",
        &format!("inject=fsync,fdatasync:error=EIO:when={after}+"),
        "-o",
        &told.display().to_string(),
    ]
    .map(str::to_owned)
    .to_vec();
    let start = Start {
        before,
        ..Start::default()
    };
    if world.start_as(start)? {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(8) && world.server()?.has_ended()?.is_none() {
            world.fire_some(2);
            world.pass(50, 400);
        }
    }
    let ended = world.server()?.has_ended()?;
    world.note(ended.map_or_else(
        || "the server went on".to_owned(),
        |status| format!("the server ended: {status}"),
    ));
    let words = world.last_words();
    world.expect(!words.contains("panicked"), || format!("the server panicked: {words}"));
    world.kill()?;
    world.answered()?;
    let refused = refused_after(world, &told)?;
    world.expect(refused.is_empty(), || refused.join("; "));
    world.start()
}

/// What was acknowledged although the ledger's disk had said no.
fn refused_after(world: &World, told: &Path) -> Result<Vec<String>> {
    /// An answer may be on its way while the disk fails behind it.
    const ON_ITS_WAY_NS: i64 = 500_000_000;
    let text = fs::read_to_string(told)?;
    let failed = text
        .lines()
        .filter(|line| line.contains("dev.db") && line.contains("(INJECTED)"))
        .find_map(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    let Some(failed) = failed else { return Ok(Vec::new()) };
    let wall = jiff::Timestamp::now().as_microsecond() as f64 / 1e6;
    let failed_ns = journal::boottime_ns()? - ((wall - failed) * 1e9) as i64;
    let acks = fs::read_to_string(world.places.folder.join("acks.csv")).unwrap_or_default();
    let late = acks.lines().filter(|line| {
        let at = line.rsplit(',').next().and_then(|at| at.parse::<i64>().ok());
        at.is_some_and(|at| at > failed_ns + ON_ITS_WAY_NS)
    });
    Ok(late
        .map(|line| format!("acknowledged after the ledger's fsync had failed: {line}"))
        .collect())
}

/// The folder that has a file system of its own.
fn mounted(world: &World) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mut places = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .map(PathBuf::from);
    places.find(|place| place.starts_with(&world.places.project))
}

/// Puts a small file system over a folder; it goes with the namespace that the round runs in.
pub(super) fn mount(world: &World, target: &str, options: &str) -> Result<()> {
    let folder = world.places.project.join(target);
    fs::create_dir_all(&folder)?;
    let status = Command::new("mount")
        .args(["-t", "tmpfs", "-o", options, "tmpfs"])
        .arg(&folder)
        .status()?;
    ensure!(status.success(), "a file system could not be mounted over {target}");
    Ok(())
}

fn remount(folder: &Path, options: &str) -> Result<()> {
    let output = Command::new("mount").args(["-o", options]).arg(folder).output()?;
    ensure!(
        output.status.success(),
        "{options}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
