//! A server of Mulgil over a project that was made for it, and what its ledger says.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use mulgil_core::run::{Run, RunState, TaskRun};
use mulgil_store::{LedgerPlace, Store};
use serde_json::json;

use crate::{
    chaos::scheduler::{
        processes,
        record::told,
        server::{Door, Server, Start},
    },
    place,
};

/// Whose facts the ledger holds.
const LEDGER: &str = "bench/dev";

/// Steps at once: what `mulgil serve` has by itself.
const SLOTS: usize = 16;

/// Steps at once where many small ones are to be done.
const MANY_SLOTS: usize = 64;

/// How long a server may take to end.
const DRAIN: Duration = Duration::from_mins(1);

/// How long one run may take.
const RUN: Duration = Duration::from_mins(5);

/// How often is looked whether a run has ended.
const LOOK: Duration = Duration::from_millis(10);

/// A project in a folder of its own, empty but for what is written.
pub(crate) struct Project {
    /// Where.
    pub(crate) folder: PathBuf,
    /// Where its ledger is.
    pub(crate) place: LedgerPlace,
    slots: usize,
}

impl Project {
    /// Makes one, with these flows by name, and its ledger in a file or in a database.
    pub(crate) fn new(name: &str, flows: &[(String, String)], ledger: Option<&str>) -> Result<Self> {
        let folder = place::empty(&format!("orchestrator-{name}"))?;
        let ledger_line = ledger.map_or_else(String::new, |url| format!("ledger: \"{url}\"\n"));
        let place = match ledger {
            Some(url) => LedgerPlace::postgres(url, LEDGER).map_err(told)?,
            None => LedgerPlace::folder(folder.join(".mulgil"), "dev"),
        };
        let files = flows.iter().map(|(path, text)| (path.as_str(), text.clone()));
        place::write_all(&folder, files)?;
        place::write_all(&folder, [("mulgil.yml", format!("name: bench\n{ledger_line}"))])?;
        Ok(Self {
            folder,
            place,
            slots: SLOTS,
        })
    }

    /// The same, of whose steps many may run at once.
    pub(crate) fn wide(mut self) -> Self {
        self.slots = MANY_SLOTS;
        self
    }

    /// Starts its server without waiting for it.
    pub(crate) fn spawn(&self) -> Result<Server> {
        Server::spawn(&place::program()?, &self.folder, self.slots, &Start::default())
    }

    /// The other end of its server.
    pub(crate) fn door(&self) -> Door {
        Door::of(&self.folder)
    }

    /// What its server said last.
    pub(crate) fn last_words(&self) -> String {
        let said = std::fs::read_to_string(self.folder.with_extension("log")).unwrap_or_default();
        let lines: Vec<&str> = said.trim().lines().collect();
        lines[lines.len().saturating_sub(3)..].join(" | ")
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        processes::sweep(&self.folder);
        // A folder that stays is emptied by the next run.
        let _ = place::remove(&self.folder);
        let _ = std::fs::remove_file(self.folder.with_extension("log"));
    }
}

/// A project with its server, which is ready.
pub(crate) struct Session {
    project: Project,
    server: Server,
    store: Store,
    runtime: tokio::runtime::Runtime,
}

/// A run that succeeded in all its tasks.
pub(crate) struct Ran {
    /// As recorded.
    pub(crate) run: Run,
    /// Its tasks, each with one attempt.
    pub(crate) tasks: Vec<TaskRun>,
    /// From the request to the end of the run, as the client sees it, in seconds.
    pub(crate) wall: f64,
}

impl Session {
    /// Starts the server and waits until it is ready.
    pub(crate) fn start(project: Project) -> Result<Self> {
        let mut server = project.spawn()?;
        let is_ready = server.ready(&project.folder)?;
        ensure!(is_ready, "the server ended at once: {}", project.last_words());
        Self::of(project, server)
    }

    /// Starts the server of a project that has a ledger already, and waits for nothing.
    pub(crate) fn begin(project: Project) -> Result<Self> {
        let server = project.spawn()?;
        Self::of(project, server)
    }

    fn of(project: Project, server: Server) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let store = runtime.block_on(open(&project.place))?.context("there is no ledger")?;
        Ok(Self {
            project,
            server,
            store,
            runtime,
        })
    }

    /// Its project.
    pub(crate) fn project(&self) -> &Project {
        &self.project
    }

    /// The number of the server's process.
    pub(crate) fn pid(&self) -> u32 {
        self.server.pid
    }

    /// Its ledger is asked.
    pub(crate) fn ask<T>(&self, question: impl AsyncFnOnce(&Store) -> Result<T>) -> Result<T> {
        self.runtime.block_on(question(&self.store))
    }

    /// Triggers a flow and waits for its end; all its tasks must succeed at the first try.
    pub(crate) fn run(&self, flow: &str, tasks: usize) -> Result<Ran> {
        let began = Instant::now();
        let (status, answer) = self.project.door().verb(&json!({ "verb": "run", "flow": flow }))?;
        let number = answer["run"].as_i64().or_else(|| answer["what"]["run"].as_i64());
        let number = number.with_context(|| format!("{status}: {answer}"))?;
        loop {
            let newest = self.ask(async |store| store.runs(4).await.map_err(told))?;
            if newest.iter().any(|run| run.id == number && run.ended_at.is_some()) {
                break;
            }
            if began.elapsed() > RUN {
                let done = self.of_run(number)?.1;
                let done = done.iter().filter(|task| task.state == RunState::Success).count();
                bail!("`{flow}` has done {done} of {tasks} tasks in {} s", RUN.as_secs());
            }
            std::thread::sleep(LOOK);
        }
        let wall = began.elapsed().as_secs_f64();
        let (run, found) = self.of_run(number)?;
        let is_whole = |task: &TaskRun| task.state == RunState::Success && task.attempts.len() == 1;
        ensure!(
            run.state == RunState::Success && found.len() == tasks && found.iter().all(is_whole),
            "`{flow}` did {} tasks and is {}",
            found.len(),
            run.state.as_str()
        );
        Ok(Ran {
            run,
            tasks: found,
            wall,
        })
    }

    fn of_run(&self, number: i64) -> Result<(Run, Vec<TaskRun>)> {
        self.ask(async |store| store.run(number).await.map_err(told))?
            .context("the run is gone")
    }

    /// Ends the server as a service manager does.
    pub(crate) fn end(self) -> Result<()> {
        self.runtime.block_on(self.store.close());
        let code = self.server.end(DRAIN)?;
        ensure!(
            code == Some(0),
            "the server ended with {code:?}: {}",
            self.project.last_words()
        );
        Ok(())
    }
}

impl Ran {
    /// Seconds from its begin to its end, as recorded.
    pub(crate) fn seconds(&self) -> f64 {
        let ended_at = self.run.ended_at.unwrap_or(self.run.started_at);
        (ended_at.0 - self.run.started_at.0) as f64 / 1e6
    }

    /// Milliseconds for each of its tasks.
    pub(crate) fn ms_a_task(&self) -> f64 {
        self.seconds() * 1e3 / self.tasks.len() as f64
    }

    /// Of a chain: milliseconds from the start of each task to the start of the next, as recorded. The task itself
    /// is in it, and all that is written between its end and the next start.
    pub(crate) fn hand_overs(&self) -> Vec<f64> {
        let attempts = self.tasks.iter().flat_map(|task| &task.attempts);
        let mut starts: Vec<i64> = attempts.map(|attempt| attempt.started_at.0).collect();
        starts.sort_unstable();
        starts.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e3).collect()
    }
}

/// A ledger for reading; nothing where it is not made yet.
pub(crate) async fn open(place: &LedgerPlace) -> Result<Option<Store>> {
    Store::open_read_only(place, LEDGER).await.map_err(told)
}

/// The sum of a line of a file of `/proc` over all processes of a folder, in MiB, and how many these are.
pub(crate) fn memory(folder: &Path, name: &str, file: &str) -> (f64, usize) {
    let all = processes::of_folder(folder);
    let kib = |process: &processes::Process| {
        let text = std::fs::read_to_string(format!("/proc/{}/{file}", process.pid)).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (all.iter().map(kib).sum::<f64>() / 1024.0, all.len())
}
