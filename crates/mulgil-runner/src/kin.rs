//! Who belongs to an attempt: finding its processes, keeping them together, ending them all.
//!
//! Three nets, since none holds everything. A *child subreaper* gets every orphan of its tree, so killing
//! children until there are none ends any tree, however it forked. A *control group* holds the tree in one
//! place and is killed at once; it is made where the machine lets us. When the supervisor itself is gone,
//! the processes are found by group, by session, and by a random word in their environment.
//!
//! A process is never killed by a number alone: children cannot be replaced before their parent took note
//! of their end, and any other process is compared by the time of its start.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant as Clock},
};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use crate::spec::State;

/// How long we try to kill what is left, before we say that it cannot be done.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// A process shows no environment while it becomes another program; longer than this it has none.
const EXEC_PATIENCE: Duration = Duration::from_millis(250);

/// So often nobody must be found before we believe it: a look is not of one moment, and who forks while
/// we look may be passed over.
const CALM_LOOKS: u32 = 3;

/// The parent of the kernel's own threads.
const KERNEL_THREADS: u32 = 2;

/// Where the kernel's control groups are.
const GROUP_MOUNTS: &str = "/proc/self/mountinfo";

/// What `/proc/<pid>/stat` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) pid: u32,
    pub(crate) is_zombie: bool,
    parent: u32,
    session: u32,
    /// In ticks since boot.
    pub(crate) started: u64,
}

/// What is known of a process now.
pub(crate) fn stat(pid: u32) -> Option<Stat> {
    parse_stat(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(pid: u32, text: &str) -> Option<Stat> {
    // The name may hold spaces and brackets, so the fields are counted from its last one.
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    Some(Stat {
        pid,
        is_zombie: matches!(*fields.first()?, "Z" | "X"),
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

/// The word that is another one after each start of the machine.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// The processes that this one has to take note of.
pub(crate) fn children() -> Vec<u32> {
    let own = std::process::id();
    match fs::read_to_string(format!("/proc/self/task/{own}/children")) {
        Ok(text) => text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect(),
        // Kernels without that file.
        Err(_) => everybody()
            .filter(|stat| stat.parent == own)
            .map(|stat| stat.pid)
            .collect(),
    }
}

/// A process and all that descend from it, as far as they still hang together.
pub(crate) fn descendants(of: u32) -> Vec<u32> {
    let all: Vec<Stat> = everybody().collect();
    let mut found = vec![of];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(all.iter().filter(|stat| stat.parent == parent).map(|stat| stat.pid));
        next += 1;
    }
    found
}

fn everybody() -> impl Iterator<Item = Stat> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| stat(entry.file_name().to_str()?.parse().ok()?))
}

/// Sends a signal; that nobody is there any more is no failure.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid as i32), signal);
}

/// Kills every child of this process but `spared`, and the orphans that come to it by that, until none is
/// left. Gives how many there were, and whether some would not go.
pub(crate) fn kill_children(spared: Option<u32>) -> (u32, bool) {
    let began = Clock::now();
    let mut killed = std::collections::BTreeSet::new();
    loop {
        let left: Vec<u32> = children().into_iter().filter(|pid| Some(*pid) != spared).collect();
        if left.is_empty() {
            return (killed.len() as u32, false);
        }
        for pid in left {
            killed.insert(pid);
            // Of one that has ended already only the note is missing; it takes a signal as nothing.
            signal(pid, Signal::SIGKILL);
            let flags = WaitPidFlag::WNOHANG;
            let _: Result<WaitStatus, _> = waitpid(Pid::from_raw(pid as i32), Some(flags));
        }
        if began.elapsed() > KILL_PATIENCE {
            return (killed.len() as u32, true);
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Kills what a dead supervisor left behind. Gives how many there were, and whether some would not go.
pub(crate) fn kill_orphans(state: &State) -> (u32, bool) {
    if state.boot != boot_id() {
        return (0, false);
    }
    let (began, mut calm_since) = (Clock::now(), Clock::now());
    let (mut calm_count, mut killed) = (0, std::collections::BTreeSet::new());
    loop {
        let orphans = orphans(state);
        if orphans.found.is_empty() {
            calm_count += 1;
            let is_decided = orphans.undecided.is_empty() || calm_since.elapsed() > EXEC_PATIENCE;
            if calm_count >= CALM_LOOKS && is_decided {
                state.groups.iter().for_each(|group| remove_group(group));
                return (killed.len() as u32, false);
            }
        } else {
            (calm_count, calm_since) = (0, Clock::now());
            state.groups.iter().for_each(|group| kill_group(group));
        }
        for orphan in orphans.found {
            // It is looked at again at the last moment, so that a successor of that number is not hit.
            if stat(orphan.pid).is_some_and(|now| now.started == orphan.started) {
                killed.insert(orphan.pid);
                signal(orphan.pid, Signal::SIGKILL);
            }
        }
        if began.elapsed() > KILL_PATIENCE {
            return (killed.len() as u32, true);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What was seen of the living processes of an attempt whose supervisor is dead.
struct Orphans {
    found: Vec<Stat>,
    /// Those that showed no environment: they have none, or are just becoming another program.
    undecided: Vec<u32>,
}

fn orphans(state: &State) -> Orphans {
    let supervisor = stat(state.supervisor);
    // While a member of a session lives, its number goes to nobody else; if somebody else has it, none lives.
    let session_is_ours = supervisor.is_none_or(|now| now.started == state.supervisor_started);
    let grouped: Vec<u32> = state.groups.iter().flat_map(|group| members(group)).collect();
    let marker = format!("MULGIL_TOKEN={}", state.token);
    let own = std::process::id();
    let (mut found, mut undecided) = (Vec::new(), Vec::new());
    for stat in everybody() {
        let is_candidate = !stat.is_zombie && stat.pid != own && stat.started >= state.supervisor_started;
        if !is_candidate || stat.parent == KERNEL_THREADS {
            continue;
        }
        // What cannot be read belongs to another user.
        let variables = fs::read(format!("/proc/{}/environ", stat.pid));
        let is_marked = variables.as_ref().is_ok_and(|variables| holds(variables, &marker));
        if is_marked || grouped.contains(&stat.pid) || session_is_ours && stat.session == state.supervisor {
            found.push(stat);
        } else if variables.is_ok_and(|variables| variables.is_empty()) {
            undecided.push(stat.pid);
        }
    }
    Orphans { found, undecided }
}

fn holds(variables: &[u8], marker: &str) -> bool {
    variables
        .split(|byte| *byte == 0)
        .any(|variable| variable == marker.as_bytes())
}

/// Folders in which groups can be made, of this process: one of version 2, and the limits of version 1.
pub(crate) struct GroupRoots {
    unified: Option<PathBuf>,
    freezer: Option<PathBuf>,
    memory: Option<PathBuf>,
    pids: Option<PathBuf>,
}

/// The control groups of one attempt.
pub(crate) struct Groups {
    /// Their folders, whether made or not yet.
    pub(crate) paths: Vec<PathBuf>,
    is_made: bool,
}

impl GroupRoots {
    /// Looks where this process stands.
    pub(crate) fn find() -> Self {
        let mounts = fs::read_to_string(GROUP_MOUNTS).unwrap_or_default();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self {
            unified: place(&mounts, &own, None),
            freezer: place(&mounts, &own, Some("freezer")),
            memory: place(&mounts, &own, Some("memory")),
            pids: place(&mounts, &own, Some("pids")),
        }
    }

    /// The groups that an attempt is to have: one to kill it, and those of the limits that it has.
    pub(crate) fn groups(&self, token: &str, has_memory: bool, has_processes: bool) -> Groups {
        let limits = [(&self.memory, has_memory), (&self.pids, has_processes)];
        let wanted = limits
            .into_iter()
            .filter(|(_, is_wanted)| *is_wanted)
            .filter_map(|(root, _)| root.as_ref());
        let first = self.unified.as_ref().or(self.freezer.as_ref());
        Groups {
            paths: first
                .into_iter()
                .chain(wanted)
                .map(|root| root.join(format!("mulgil-{token}")))
                .collect(),
            is_made: false,
        }
    }
}

/// The folder of this process in the hierarchy of a controller, or in that of version 2.
fn place(mounts: &str, own: &str, controller: Option<&str>) -> Option<PathBuf> {
    let mount = mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut kind = right.split(' ');
        let is_it = match (kind.next()?, controller) {
            ("cgroup2", None) => true,
            ("cgroup", Some(controller)) => kind.nth(1)?.split(',').any(|option| option == controller),
            _ => false,
        };
        let fields: Vec<&str> = left.split(' ').collect();
        is_it.then(|| Some((*fields.get(3)?, *fields.get(4)?)))?
    });
    let (root, point) = mount?;
    let path = own.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let is_it = controller.map_or(controllers.is_empty(), |name| {
            controllers.split(',').any(|one| one == name)
        });
        is_it.then_some(path)
    })?;
    let below = path.strip_prefix(root).unwrap_or(path).trim_start_matches('/');
    Some(Path::new(point).join(below))
}

impl Groups {
    /// Makes them, sets their limits, and moves these processes there. What the machine refuses is left out.
    pub(crate) fn take(&mut self, pids: &[u32], memory_bytes: Option<u64>, process_count: Option<u64>) {
        self.paths.retain(|path| fs::create_dir(path).is_ok());
        self.is_made = true;
        for path in &self.paths {
            let set = |name: &str, value: Option<u64>| {
                if let Some(value) = value.filter(|_| path.join(name).exists()) {
                    let _ = fs::write(path.join(name), value.to_string());
                }
            };
            set("memory.max", memory_bytes);
            set("memory.limit_in_bytes", memory_bytes);
            set("pids.max", process_count);
            for pid in pids {
                let _ = fs::write(path.join("cgroup.procs"), pid.to_string());
            }
        }
    }

    /// Whether they were made, as far as the machine let us.
    pub(crate) fn is_made(&self) -> bool {
        self.is_made
    }

    /// Whether something in them was killed for memory.
    pub(crate) fn ran_out_of_memory(&self) -> bool {
        let counts = |name: &str| {
            let text = self
                .paths
                .iter()
                .find_map(|path| fs::read_to_string(path.join(name)).ok());
            text.is_some_and(|text| count_of(&text, "oom_kill").is_some_and(|count| count > 0))
        };
        self.is_made && (counts("memory.events") || counts("memory.oom_control"))
    }

    /// The most memory that they held together, where it is counted.
    pub(crate) fn peak_memory_bytes(&self) -> Option<u64> {
        let names = ["memory.peak", "memory.max_usage_in_bytes"];
        let mut files = self.paths.iter().flat_map(|path| names.map(|name| path.join(name)));
        files.find_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok())
    }

    /// Kills all that is in them.
    pub(crate) fn kill(&self) {
        if self.is_made {
            self.paths.iter().for_each(|path| kill_group(path));
        }
    }

    /// Removes them.
    pub(crate) fn remove(&self) {
        if self.is_made {
            self.paths.iter().for_each(|path| remove_group(path));
        }
    }
}

/// Kills of the whole machine for want of memory, so far.
pub(crate) fn machine_oom_kills() -> u64 {
    fs::read_to_string("/proc/vmstat")
        .ok()
        .and_then(|text| count_of(&text, "oom_kill"))
        .unwrap_or(0)
}

fn count_of(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// The most memory that a living process held, in bytes.
pub(crate) fn peak_of(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim()
        .trim_end_matches("kB")
        .trim()
        .parse::<u64>()
        .ok()
        .map(|kilobytes| kilobytes * 1024)
}

fn members(group: &Path) -> Vec<u32> {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn kill_group(group: &Path) {
    if fs::write(group.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    // Version 1: nothing can fork while it is frozen. What is frozen dies when it thaws.
    let _ = fs::write(group.join("freezer.state"), "FROZEN");
    for pid in members(group) {
        signal(pid, Signal::SIGKILL);
    }
    let _ = fs::write(group.join("freezer.state"), "THAWED");
}

fn remove_group(group: &Path) {
    // The last of its members may need a moment to be gone.
    for _ in 0..50 {
        match fs::remove_dir(group) {
            Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                std::thread::sleep(Duration::from_millis(1));
            }
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let text = "7 (a) b) (c) S 3 7 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 9999 1 1";
        let stat = parse_stat(7, text).expect("a stat");
        assert_eq!(
            (stat.parent, stat.session, stat.started, stat.is_zombie),
            (3, 5, 9999, false)
        );
    }

    #[test]
    fn a_process_of_the_same_number_that_started_otherwise_is_not_ours() {
        #[expect(clippy::disallowed_methods, reason = "a real process of another session")]
        let mut child = std::process::Command::new("setsid")
            .args(["sleep", "1000"])
            .spawn()
            .expect("setsid");
        let leader = loop {
            if let Some(stat) = stat(child.id()).filter(|stat| stat.session == child.id()) {
                break stat;
            }
            std::thread::yield_now();
        };
        let state = |started| State {
            version: 1,
            attempt: String::new(),
            epoch: 0,
            token: "no-such-token".to_owned(),
            boot: boot_id(),
            supervisor: leader.pid,
            supervisor_started: started,
            groups: Vec::new(),
            tail_bytes: 0,
            started_at: mulgil_core::interval::Instant(0),
        };
        let found = |started| {
            orphans(&state(started))
                .found
                .iter()
                .map(|stat| stat.pid)
                .collect::<Vec<_>>()
        };
        assert_eq!(found(leader.started), [leader.pid]);
        assert!(found(leader.started - 1).is_empty() && found(leader.started + 1).is_empty());
        let other_boot = State {
            boot: "another".to_owned(),
            ..state(leader.started)
        };
        assert_eq!(kill_orphans(&other_boot), (0, false));
        assert!(stat(leader.pid).is_some_and(|stat| !stat.is_zombie));
        signal(leader.pid, Signal::SIGKILL);
        child.wait().expect("its end");
    }

    #[test]
    fn groups_are_found_in_both_versions() {
        let mounts = "30 23 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                      31 23 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let own = "4:memory:/a/b\n0::/c\n";
        assert_eq!(
            place(mounts, own, None),
            Some(PathBuf::from("/sys/fs/cgroup/unified/c"))
        );
        assert_eq!(
            place(mounts, own, Some("memory")),
            Some(PathBuf::from("/sys/fs/cgroup/memory/a/b"))
        );
        assert_eq!(place(mounts, own, Some("pids")), None);
    }
}
