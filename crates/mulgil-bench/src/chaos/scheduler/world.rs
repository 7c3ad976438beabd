//! The world of one round: a project, a server on each of its machines, triggers that are sent to it, and what was
//! seen.

mod machines;

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use mulgil_core::run::{Run, TaskRun};
use mulgil_store::Store;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{
    checker::{Breach, Invariant},
    journal, machine,
    processes::{self, Process},
    project::{self, MACHINES, Places},
    record::{LEDGER, Ledger, told},
    server::{Door, Server, Start},
};
use crate::{postgres::Postgres, synthetic::Random, wait};

/// Steps that may be live at once, where a fault does not ask for more.
pub(crate) const SLOTS: usize = 6;

/// How long nothing may move while something is open.
const STILL: Duration = Duration::from_mins(1);

/// How long a server may take to end what goes on.
const DRAIN: Duration = Duration::from_mins(1);

/// How long the supervisors of a server that has ended may take to end themselves.
const AFTERWARDS: Duration = Duration::from_secs(10);

/// Numbers of the generator that are passed over: the first ones of small seeds are much alike.
const FIRST_NUMBERS: u32 = 64;

/// How often the last server is started again, where something came while it ended.
const LAST_SERVERS: usize = 3;

/// What was measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// How long each server took until it was ready.
    pub(crate) ready: Vec<Duration>,
    /// The most memory that a server had, in kilobytes.
    pub(crate) peak_kb: u64,
    /// The most files that a server had open while nothing went on.
    pub(crate) open_files: usize,
}

/// The world of one round.
pub(crate) struct World {
    /// What follows from the seed.
    pub(crate) random: Random,
    /// Where its things lie.
    pub(crate) places: Places,
    /// The kind of its ledger.
    pub(crate) ledger: Ledger,
    /// How many steps may be live at once.
    pub(crate) slots: usize,
    /// What did not hold so far.
    pub(crate) breaches: Vec<Breach>,
    /// What happened, in words.
    pub(crate) notes: Vec<String>,
    /// What did not move.
    pub(crate) stuck: Vec<String>,
    /// What was measured.
    pub(crate) figures: Figures,
    postgres: Option<Postgres>,
    /// The machine where it is.
    here: usize,
    servers: [Option<Server>; MACHINES.len()],
    is_faked: [bool; MACHINES.len()],
    asking: Vec<JoinHandle<Result<()>>>,
    marks: u64,
    runtime: tokio::runtime::Runtime,
}

impl World {
    /// A world in a folder, in which the program lies already; with its ledger in a PostgreSQL, if it has one.
    pub(crate) fn new(folder: &Path, seed: u64, slots: usize, postgres: Option<Postgres>) -> Result<Self> {
        let mut random = Random::new(seed);
        for _ in 0..FIRST_NUMBERS {
            random.below(2);
        }
        Ok(Self {
            random,
            places: Places::on(folder, 0),
            ledger: postgres.as_ref().map_or(Ledger::File, |postgres| Ledger::Postgres {
                url: format!("{}&schema=night", postgres.url()),
            }),
            slots,
            breaches: Vec::new(),
            notes: Vec::new(),
            stuck: Vec::new(),
            figures: Figures::default(),
            postgres,
            here: 0,
            servers: [None, None],
            is_faked: [false; MACHINES.len()],
            asking: Vec::new(),
            marks: 0,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
        })
    }

    /// The other end of the server, whichever it is.
    pub(crate) fn door(&self) -> Door {
        Door::of(&self.places.project)
    }

    /// Waits for something.
    pub(crate) fn wait<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.block_on(what)
    }

    /// Notes something for whoever reads of the round.
    pub(crate) fn note(&mut self, what: impl Into<String>) {
        self.notes.push(what.into());
    }

    /// Something that the fault expects; where it is not so, the row says what was.
    pub(crate) fn expect(&mut self, is_so: bool, row: impl FnOnce() -> String) {
        if !is_so {
            self.breaches.push(Breach {
                invariant: Invariant::Fault,
                rows: vec![row()],
            });
        }
    }

    /// Lets some time pass.
    pub(crate) fn pass(&mut self, from_ms: u64, to_ms: u64) {
        let drawn = from_ms + self.random.below(to_ms - from_ms + 1);
        std::thread::sleep(Duration::from_millis(drawn));
    }

    /// The PostgreSQL that its ledger lies in.
    pub(crate) fn postgres(&mut self) -> Result<&mut Postgres> {
        self.postgres.as_mut().context("its ledger is a file")
    }

    /// From here on servers and commands of this machine have the time that [`Self::set_clock`] says.
    pub(crate) fn fake_time(&mut self) -> Result<()> {
        self.is_faked[self.here] = true;
        self.set_clock(0)
    }

    /// Sets their clock so many seconds ahead of the real one, or behind it.
    pub(crate) fn set_clock(&self, seconds: i64) -> Result<()> {
        let path = self.places.clock();
        let half = path.with_extension("half");
        fs::write(&half, format!("{seconds:+}\n"))?;
        Ok(fs::rename(half, path)?)
    }

    fn variables(&self) -> Vec<(String, String)> {
        let library = machine::faketime().filter(|_| self.is_faked[self.here]);
        library.map_or_else(Vec::new, |library| {
            let file = self.places.clock();
            [
                ("LD_PRELOAD", library.display().to_string()),
                ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
                ("FAKETIME_NO_CACHE", "1".to_owned()),
                ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
                ("DONT_FAKE_MONOTONIC", "1".to_owned()),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec()
        })
    }

    /// Starts a server and waits until it is ready.
    ///
    /// # Errors
    /// Where it ends instead, or takes too long.
    pub(crate) fn start(&mut self) -> Result<()> {
        let is_ready = self.start_as(Start::default())?;
        ensure!(is_ready, "a server ended before it was ready: {}", self.last_words());
        Ok(())
    }

    /// Starts a server in some way; gives false where it ended before it was ready.
    pub(crate) fn start_as(&mut self, mut start: Start) -> Result<bool> {
        start.variables.extend(self.variables());
        let Places { program, project, .. } = &self.places;
        let mut server = Server::spawn(program, project, self.slots, &start)?;
        let is_ready = server.ready(project)?;
        if is_ready {
            self.figures.ready.push(server.ready_after);
        }
        self.servers[self.here] = Some(server);
        Ok(is_ready)
    }

    /// The server that runs, or ran last.
    pub(crate) fn server(&mut self) -> Result<&mut Server> {
        self.servers[self.here].as_mut().context("no server was started")
    }

    /// Kills the server, if one runs.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.look_at_server();
        self.servers[self.here].take().map_or(Ok(()), Server::kill)
    }

    /// Ends the server as a service manager does; gives its exit code.
    pub(crate) fn end(&mut self) -> Result<Option<i32>> {
        self.look_at_server();
        let server = self.servers[self.here].take().context("no server runs")?;
        server.end(DRAIN).with_context(|| self.last_words())
    }

    /// Ends the server, and expects that it ends well.
    pub(crate) fn end_well(&mut self) -> Result<()> {
        let code = self.end()?;
        let words = self.last_words();
        self.expect(code == Some(0), || {
            format!("a server that was told to end ended with {code:?}: {words}")
        });
        Ok(())
    }

    fn look_at_server(&mut self) {
        if let Some(pid) = self.servers[self.here].as_ref().map(|server| server.pid) {
            let peak = processes::status(pid, "VmHWM").unwrap_or(0);
            self.figures.peak_kb = self.figures.peak_kb.max(peak);
        }
    }

    /// All that servers of this machine said.
    pub(crate) fn said(&self) -> String {
        let said = fs::read(self.places.project.with_extension("log")).unwrap_or_default();
        String::from_utf8_lossy(&said).into_owned()
    }

    /// The last lines of it.
    pub(crate) fn last_words(&self) -> String {
        const LINES: usize = 12;
        let said = self.said();
        let lines: Vec<&str> = said.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }

    /// Sends a trigger beside all else; what comes of it is in the files of triggers.
    pub(crate) fn fire(&mut self, flow: &str) {
        let (mark, door, folder) = self.next_mark(flow);
        let flow = flow.to_owned();
        self.asking
            .push(std::thread::spawn(move || send(&door, &folder, &mark, &flow).map(drop)));
    }

    /// Sends triggers of the flows that need nothing but a machine.
    pub(crate) fn fire_some(&mut self, most: u64) {
        for _ in 0..=self.random.below(most) {
            let flow = if self.random.below(3) == 0 { "narrow" } else { "chain" };
            self.fire(flow);
            self.pass(0, 150);
        }
    }

    /// Sends a trigger and waits for its answer; the run, where it was acknowledged.
    pub(crate) fn fire_now(&mut self, flow: &str) -> Result<Option<i64>> {
        let (mark, door, folder) = self.next_mark(flow);
        send(&door, &folder, &mark, flow)
    }

    fn next_mark(&mut self, flow: &str) -> (String, Door, std::path::PathBuf) {
        self.marks += 1;
        (
            format!("{flow}-{}", self.marks),
            self.door(),
            self.places.folder.clone(),
        )
    }

    /// Waits for the answers to all triggers.
    pub(crate) fn answered(&mut self) -> Result<()> {
        for asking in self.asking.drain(..) {
            let answered = asking.join();
            answered.map_err(|_| anyhow::anyhow!("a trigger panicked"))??;
        }
        Ok(())
    }

    /// A run as the ledger has it, once it is over; nothing where it is not in time.
    pub(crate) fn over(&self, run: i64, patience: Duration) -> Result<Option<(Run, Vec<TaskRun>)>> {
        let over = || Ok(self.run(run)?.filter(|(run, _)| run.state.is_terminal()));
        wait::until(patience, Duration::from_millis(200), over)
    }

    /// A run as the ledger has it.
    pub(crate) fn run(&self, run: i64) -> Result<Option<(Run, Vec<TaskRun>)>> {
        self.read(async |store| Ok(store.run(run).await?))
    }

    /// How many runs there are of a flow.
    pub(crate) fn count_runs(&self, flow: &str) -> Result<usize> {
        let selector = format!("flow:{flow}");
        let runs = self.read(async |store| Ok(store.runs(u32::MAX >> 1).await?))?;
        Ok(runs.iter().filter(|run| run.selector == selector).count())
    }

    fn read<T>(&self, what: impl AsyncFnOnce(&Store) -> Result<T, mulgil_core::port::Fault>) -> Result<T> {
        let place = self.ledger.place(&self.places.project)?;
        self.wait(async {
            let store = Store::open_read_only(&place, LEDGER).await.map_err(told)?;
            let store = store.context("there is no ledger")?;
            let read = what(&store).await.map_err(told);
            store.close().await;
            read
        })
    }

    /// The flows that are open, as `run flow: steps`, and something that changes whenever anything moves.
    fn open(&self) -> Result<(Vec<String>, usize)> {
        let walks = self.read(async |store| Ok(store.open_walks().await?))?;
        let lines: Vec<String> = walks
            .iter()
            .map(|walk| {
                let steps = walk.walk.steps.iter();
                let steps = steps.map(|(name, progress)| format!("{name} {:?}", progress.stage));
                let steps = steps.collect::<Vec<_>>().join(", ");
                format!("run {} of {}: {steps}", walk.walk.run, walk.flow.name)
            })
            .collect();
        Ok((lines, journal::read(&self.places.journal)?.len()))
    }

    /// Lets a last healthy server come to rest, then ends it.
    pub(crate) fn rest(&mut self) -> Result<()> {
        self.answered()?;
        self.end_others()?;
        for _ in 0..LAST_SERVERS {
            let is_there = match self.servers[self.here].as_mut() {
                Some(server) => server.has_ended()?.is_none(),
                None => false,
            };
            if !is_there {
                self.start()?;
            }
            if !self.settle()? {
                self.kill()?;
                break;
            }
            self.look_for_zombies()?;
            self.end_well()?;
            if self.open()?.0.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Waits until no walk is open; gives false, and keeps what is open, where nothing moves for too long.
    fn settle(&mut self) -> Result<bool> {
        let mut last = self.open()?;
        let mut moved = Instant::now();
        while !last.0.is_empty() {
            std::thread::sleep(Duration::from_millis(250));
            let now = self.open()?;
            if now != last {
                (last, moved) = (now, Instant::now());
            } else if moved.elapsed() > STILL {
                self.stuck = last.0;
                let words = self.last_words();
                self.note(format!("the last server said: {words}"));
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn look_for_zombies(&mut self) -> Result<()> {
        let pid = self.server()?.pid;
        let before = processes::zombies_of(pid);
        if !before.is_empty() {
            std::thread::sleep(Duration::from_secs(2));
        }
        let after = processes::zombies_of(pid);
        let stayed: Vec<String> = before
            .iter()
            .filter(|process| after.contains(process))
            .map(|process| format!("process {} ended, and the server took no note", process.pid))
            .collect();
        if !stayed.is_empty() {
            self.breaches.push(Breach {
                invariant: Invariant::I10,
                rows: stayed,
            });
        }
        self.figures.open_files = self.figures.open_files.max(processes::open_files(pid));
        Ok(())
    }

    /// What of the round is left when its servers have ended.
    pub(crate) fn left(&self) -> Vec<Process> {
        let began = Instant::now();
        loop {
            let left = processes::of_folder(&self.places.folder);
            if left.is_empty() || began.elapsed() > AFTERWARDS {
                return left;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Signals the server.
    pub(crate) fn signal(&mut self, signal: Signal) -> Result<()> {
        self.server()?.signal(signal);
        Ok(())
    }

    /// Runs a command of the program to its end.
    pub(crate) fn command(&self, words: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.places.program);
        command
            .args(words)
            .current_dir(&self.places.project)
            .env_clear()
            .envs(self.variables())
            .stdin(Stdio::null());
        for name in ["PATH", "HOME", "LANG"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        Ok(command.output()?)
    }

    /// The rows of a query, without their header; nothing where it fails.
    pub(crate) fn query(&self, sql: &str) -> Result<Option<Vec<String>>> {
        let output = self.command(&["query", sql, "-o", "csv"])?;
        let text = String::from_utf8(output.stdout)?;
        Ok(output
            .status
            .success()
            .then(|| text.lines().skip(1).map(str::to_owned).collect()))
    }

    /// A file of the source comes late, or changes.
    pub(crate) fn change_a_file(&mut self) -> Result<()> {
        let day = 1 + self.random.below(project::DAYS + 2);
        let rows = 1 + self.random.below(80);
        project::write_day(&self.places, day, rows)
    }
}

/// Sends one trigger. What was acknowledged is on disk before anybody hears of it.
fn send(door: &Door, folder: &Path, mark: &str, flow: &str) -> Result<Option<i64>> {
    append(&folder.join("asked.csv"), &format!("{mark},{flow}\n"))?;
    let verb = json!({"verb": "run", "flow": flow, "params": {"mark": mark}});
    // No answer, or a refusal: nothing was promised.
    let Ok((200, answer)) = door.verb(&verb) else {
        return Ok(None);
    };
    let at_ns = journal::boottime_ns()?;
    let run = number_of(&answer).with_context(|| format!("an answer without a run: {answer}"))?;
    append(&folder.join("acks.csv"), &format!("{mark},{flow},{run},{at_ns}\n"))?;
    Ok(Some(run))
}

/// The run in the answer to a trigger.
fn number_of(answer: &Value) -> Option<i64> {
    answer["run"].as_i64().or_else(|| answer["what"]["run"].as_i64())
}

fn append(path: &Path, line: &str) -> Result<()> {
    let mut file = File::options().create(true).append(true).open(path)?;
    file.write_all(line.as_bytes())?;
    Ok(file.sync_data()?)
}
