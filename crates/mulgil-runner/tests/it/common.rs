//! What the tests share: a folder, a launcher, tasks, and gates at which tasks and tests meet.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use mulgil_runner::{Exit, Launcher, LauncherLimits, LogLimits, Program, Running, Task, read_log};
use nix::{sys::stat::Mode, unistd::mkfifo};

/// A folder of attempts and what launches them.
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) launcher: Launcher,
}

/// The program that is started as a supervisor: the example beside this test.
pub(crate) fn program() -> PathBuf {
    let test = std::env::current_exe().expect("this test");
    let built = test.ancestors().nth(2).expect("the folder of what was built");
    built.join("examples").join("supervisor")
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            launcher: Launcher::new(program(), LauncherLimits::default()),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) async fn launch(&self, task: Task) -> Running {
        let dir = self.path(&task.attempt);
        self.launcher.launch(&dir, task).await.expect("a launch")
    }

    pub(crate) async fn run(&self, task: Task) -> Exit {
        self.launch(task).await.wait().await.expect("an end")
    }

    /// The log of an attempt, as `stream text`.
    pub(crate) fn log(&self, attempt: &str) -> Vec<String> {
        log_of(&self.path(attempt))
    }

    /// A place where a task tells something to the test, by writing to the path.
    pub(crate) fn gate(&self, name: &str) -> Gate {
        let path = self.path(name);
        mkfifo(&path, Mode::from_bits_truncate(0o600)).expect("a pipe");
        Gate { path }
    }
}

pub(crate) fn log_of(dir: &Path) -> Vec<String> {
    let page = read_log(dir, 0).expect("a log");
    page.lines
        .into_iter()
        .map(|line| format!("{} {}", line.stream.name(), line.text))
        .collect()
}

/// A pipe at which one waits for the other.
pub(crate) struct Gate {
    path: PathBuf,
}

impl Gate {
    /// Waits for a task to write there, and gives what it wrote.
    pub(crate) async fn read(&self) -> String {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || fs::read_to_string(path));
        read.await.expect("a reader").expect("a pipe").trim().to_owned()
    }

    /// Lets a task that reads there go on.
    pub(crate) async fn open(&self) {
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || fs::write(path, "go\n"));
        written.await.expect("a writer").expect("a pipe");
    }

    pub(crate) fn path(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }
}

/// A shell's task; `$0` and so on are not used. Its environment has `PATH` and what is given.
pub(crate) fn shell(attempt: &str, script: &str, variables: &[(&str, String)]) -> Task {
    let argv = ["sh", "-c", script].map(str::to_owned).to_vec();
    task(attempt, Program::Command { argv }, variables)
}

pub(crate) fn task(attempt: &str, program: Program, variables: &[(&str, String)]) -> Task {
    let mut environment = BTreeMap::from([("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())]);
    environment.extend(
        variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone())),
    );
    Task {
        attempt: attempt.to_owned(),
        epoch: 7,
        program,
        environment,
        directory: std::env::temp_dir(),
        stdin: String::new(),
        timeout: None,
        grace: Duration::from_secs(10),
        log: LogLimits::default(),
        secrets: Vec::new(),
        memory_bytes: None,
        process_count: None,
        lifeline: None,
    }
}

/// Whether a process does anything any more.
pub(crate) fn is_alive(pid: &str) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    !stat
        .rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with('Z') || rest.starts_with('X'))
}

/// The supervisor of an attempt.
pub(crate) fn supervisor(dir: &Path) -> u32 {
    let text = fs::read_to_string(dir.join("state.json")).expect("a state");
    let state: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    state["supervisor"]
        .as_u64()
        .and_then(|pid| pid.try_into().ok())
        .expect("a number")
}

pub(crate) fn kill_hard(pid: u32) {
    let pid = nix::unistd::Pid::from_raw(pid.try_into().expect("a number"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("a process");
}
