//! Processes of one round, found in `/proc` by its folder: a round has the program under test, its journal
//! and its working folders there, so that whatever belongs to it names the folder somewhere.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// A process as it is shown when it should not be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its number.
    pub(crate) pid: u32,
    /// Its state, as one letter; `Z` has ended and nobody took note of it.
    pub(crate) state: char,
    /// Its words.
    pub(crate) words: String,
}

/// The processes that belong to a folder, this one and its own relatives upwards aside.
pub(crate) fn of_folder(folder: &Path) -> Vec<Process> {
    let own = lineage();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| !own.contains(pid))
        .filter(|pid| belongs(*pid, folder))
        .filter_map(look)
        .collect()
}

/// Those processes of a folder that have a variable with a value, as `NAME=VALUE`.
pub(crate) fn with_variable(folder: &Path, variable: &str) -> Vec<Process> {
    let has = |process: &Process| {
        let bytes = fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        bytes.split(|byte| *byte == 0).any(|own| own == variable.as_bytes())
    };
    of_folder(folder).into_iter().filter(has).collect()
}

/// Children of a process that have ended and of which it took no note.
pub(crate) fn zombies_of(parent: u32) -> Vec<Process> {
    let text = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    let children = text.split_whitespace().filter_map(|pid| pid.parse().ok());
    children
        .filter_map(look)
        .filter(|process| process.state == 'Z')
        .collect()
}

/// Sends a signal; that nobody is there any more is no failure.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid as i32), signal);
}

/// Kills all that belongs to a folder, until nothing is left or it would not go.
pub(crate) fn sweep(folder: &Path) -> Vec<Process> {
    const LOOKS: u32 = 50;
    for _ in 0..LOOKS {
        let left = of_folder(folder);
        if left.is_empty() {
            return left;
        }
        for process in &left {
            signal(process.pid, Signal::SIGKILL);
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    of_folder(folder)
}

/// What the kernel says of a process in `status`, in kilobytes or as a number: `VmHWM`, `VmRSS`, `Threads`.
pub(crate) fn status(pid: u32, name: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The files that a process has open.
pub(crate) fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Whether a process lives: one that has ended and waits to be noted does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    look(pid).is_some_and(|process| process.state != 'Z')
}

fn look(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let state = stat.rsplit_once(") ")?.1.chars().next()?;
    let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = String::from_utf8_lossy(&words).replace('\0', " ").trim_end().to_owned();
    Some(Process { pid, state, words })
}

fn belongs(pid: u32, folder: &Path) -> bool {
    let name = folder.as_os_str().as_encoded_bytes();
    let holds = |file: &str| {
        let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        bytes.windows(name.len()).any(|part| part == name)
    };
    let lies_in = |link: PathBuf| fs::read_link(link).is_ok_and(|target| target.starts_with(folder));
    let files = || {
        let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).any(lies_in)
    };
    lies_in(format!("/proc/{pid}/exe").into())
        || lies_in(format!("/proc/{pid}/cwd").into())
        || holds("cmdline")
        || holds("environ")
        || files()
}

/// This process and those that started it.
fn lineage() -> Vec<u32> {
    let mut found = vec![std::process::id()];
    while let Some(parent) = found.last().and_then(|pid| parent_of(*pid)).filter(|pid| *pid > 0) {
        found.push(parent);
    }
    found
}

/// Seconds of processors that a process has used.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    const TICKS: f64 = 100.0;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, after) = stat.rsplit_once(") ").context("a line of /proc")?;
    let fields = after.split(' ').skip(11).take(2).map(str::parse::<f64>);
    Ok(fields.sum::<Result<f64, _>>()? / TICKS)
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn who_belongs_to_a_folder_is_found_and_ended_however_it_hides() {
        let folder = tempfile::tempdir().unwrap();
        // By its folder, by a variable, and by an open file.
        let hides =
            "sleep 600 & (cd /; exec env -i OWN=\"$PWD/x\" sleep 601) & (cd /; exec env -i sleep 602 <own) & wait";
        fs::write(folder.path().join("own"), "").unwrap();
        let mut shell = Command::new("sh")
            .args([
                "-c",
                &hides
                    .replace("$PWD", &folder.path().display().to_string())
                    .replace("<own", &format!("<{}/own", folder.path().display())),
            ])
            .current_dir(folder.path())
            .spawn()
            .unwrap();
        let sleepers = |found: &[Process]| {
            found
                .iter()
                .filter(|process| process.words.starts_with("sleep 60"))
                .count()
        };
        while sleepers(&of_folder(folder.path())) < 3 {
            assert_eq!(shell.try_wait().unwrap(), None);
            std::thread::yield_now();
        }
        assert_eq!(
            with_variable(folder.path(), &format!("OWN={}/x", folder.path().display())).len(),
            1
        );
        // Whoever was started here is noted here.
        let left = std::thread::scope(|scope| {
            let noted = scope.spawn(|| shell.wait().unwrap());
            let left = sweep(folder.path());
            assert!(!noted.join().unwrap().success());
            left
        });
        assert_eq!(left, []);
    }
}
