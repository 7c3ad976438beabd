//! The server's side: launching attempts, finding them again, waiting for them, stopping them.
//!
//! Waiting is a connection to the supervisor: it says how the attempt ended, and the kernel closes it if
//! the supervisor dies. Nothing polls. The connection's other end is made before the supervisor knows of
//! the attempt, so there is no moment in which an attempt could run and not be found.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, Read as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixListener,
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    port::Fault,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
    process::{Child, Command},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use crate::{
    clock,
    exit::{self, Exit, Why},
    files, folder, kin, log, process,
    spec::{Order, Program, State, Task, VERSION},
    supervise::{HELLO, Limits, WORD},
};

/// An exit record is shorter than this: a result, faults and a little more.
const MAX_RECORD_BYTES: u64 = 1 << 20;

/// How long we wait for a supervisor's first word before we take it to be there all the same.
const GREETING_PATIENCE: Duration = Duration::from_secs(5);

/// A supervisor that ended before it took the attempt is replaced this often.
const LAUNCH_TRIES: usize = 3;

/// Starts supervisors and keeps those that can be used again.
#[derive(Clone, Debug)]
pub struct Launcher {
    shared: Arc<Shared>,
}

/// How many supervisors there are, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LauncherLimits {
    /// Attempts at once; a further launch waits for a place.
    pub live: usize,
    /// Supervisors, with or without a warm Python, that wait for their next task.
    pub idle: usize,
    /// How long one waits before it ends by itself.
    pub idle_for: Duration,
    /// Tasks that one runs before it is replaced.
    pub tasks: u32,
}

impl Default for LauncherLimits {
    fn default() -> Self {
        Self {
            live: 1000,
            idle: 8,
            idle_for: Duration::from_mins(1),
            tasks: 1000,
        }
    }
}

#[derive(Debug)]
struct Shared {
    program: PathBuf,
    limits: LauncherLimits,
    places: Arc<Semaphore>,
    /// Those that wait, by what they are warm for; the one that was used last is at the end.
    idle: Mutex<VecDeque<(String, Host)>>,
}

/// A supervisor of ours.
#[derive(Debug)]
struct Host {
    orders: std::os::unix::net::UnixStream,
    /// Its end is noted by the runtime when this is dropped; it is not killed.
    process: Child,
}

/// An attempt that runs.
#[derive(Debug)]
pub struct Running {
    dir: PathBuf,
    connection: BufReader<UnixStream>,
    /// What was read of the record so far.
    line: Vec<u8>,
    ended: Option<Exit>,
    lease: Option<Lease>,
    /// Said at its launch: secrets that are too short to be masked.
    pub warnings: Vec<Diagnostic>,
}

/// A supervisor while it runs an attempt of ours.
#[derive(Debug)]
struct Lease {
    shared: Arc<Shared>,
    key: String,
    host: Host,
    _place: OwnedSemaphorePermit,
}

/// What was found of an attempt.
#[derive(Debug)]
pub enum Adopted {
    /// It runs.
    Running(Box<Running>),
    /// It has ended.
    Ended(Box<Exit>),
    /// Its supervisor is gone without a word. What was left of it was killed, and a record says so.
    Lost(Box<Exit>),
}

impl Launcher {
    /// `program` is this program: it is started with [`crate::supervise_if_asked`]'s word. `/proc/self/exe`
    /// is the running one even after another was installed in its place.
    pub fn new(program: impl Into<PathBuf>, limits: LauncherLimits) -> Self {
        Self {
            shared: Arc::new(Shared {
                program: program.into(),
                limits,
                places: Arc::new(Semaphore::new(limits.live.min(Semaphore::MAX_PERMITS))),
                idle: Mutex::default(),
            }),
        }
    }

    /// Starts a supervisor ahead, so that the first task does not wait for it.
    ///
    /// # Errors
    /// A supervisor that cannot be started (MG5203).
    pub fn prepare(&self) -> Result<(), Fault> {
        let host = self.shared.start()?;
        self.shared.put_back(String::new(), host);
        Ok(())
    }

    /// Gives an attempt to a supervisor. When it returns, the attempt goes on whatever becomes of this process,
    /// and also when this is given up half-way: then [`adopt`] tells whether it began.
    /// `dir` is the attempt's folder, which is made; no other attempt may have been there.
    ///
    /// # Errors
    /// A folder that cannot be written to (MG5202), a supervisor that cannot be started (MG5203). Then
    /// nothing was begun. What goes wrong later is in the [`Exit`].
    pub async fn launch(&self, dir: &Path, task: Task) -> Result<Running, Fault> {
        let warnings = crate::mask::too_short(&task.secrets);
        let place = Arc::clone(&self.shared.places)
            .acquire_owned()
            .await
            .map_err(|_| bug("the places are closed"))?;
        let key = match &task.program {
            Program::Python(step) if step.is_warm => step.worker_key(&task.environment),
            Program::Python(_) | Program::Command { .. } => String::new(),
        };
        let unusable = |error: io::Error| folder::fault(dir, "cannot be written to", &error);
        folder::create(dir).map_err(unusable)?;
        let dir = dir.canonicalize().map_err(unusable)?;
        if [folder::STATE, folder::EXIT].iter().any(|name| dir.join(name).exists()) {
            return Err(unusable(io::Error::other("another attempt was there before")));
        }
        let order = Order {
            version: VERSION,
            dir: dir.clone(),
            token: token().map_err(unusable)?,
            task,
        };
        let order = serde_json::to_vec(&order).map_err(|error| bug(&error.to_string()))?;
        for _ in 0..LAUNCH_TRIES {
            let host = self.shared.take(&key)?;
            if let Some(connection) = give(&dir, &host, &order).await? {
                let lease = Lease {
                    shared: Arc::clone(&self.shared),
                    key,
                    host,
                    _place: place,
                };
                return Ok(Running::new(dir, connection, Some(lease), warnings));
            }
        }
        Err(no_supervisor("it ended before it took the task"))
    }
}

impl Shared {
    /// One that waits, or a new one.
    fn take(&self, key: &str) -> Result<Host, Fault> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that waited too long have ended.
        idle.retain_mut(|(_, host)| !host.has_ended());
        // One that is warm for nothing can become warm for anything.
        let fits = |wanted: &str| idle.iter().rposition(|(key, _)| key == wanted);
        let found = fits(key).or_else(|| fits("")).and_then(|at| idle.remove(at));
        drop(idle);
        found.map_or_else(|| self.start(), |(_, host)| Ok(host))
    }

    fn put_back(&self, key: String, host: Host) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push_back((key, host));
        // The one that waited longest is given up; it ends when its orders do.
        while idle.len() > self.limits.idle {
            idle.pop_front();
        }
    }

    fn start(&self) -> Result<Host, Fault> {
        let failed = |error: io::Error| no_supervisor(&error.to_string());
        let (orders, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
        let limits = Limits {
            idle: self.limits.idle_for,
            tasks: self.limits.tasks,
        };
        let process = Command::new(&self.program)
            .arg(WORD)
            .args(limits.args())
            .env_clear()
            .current_dir("/")
            .stdin(OwnedFd::from(theirs))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .kill_on_drop(false)
            .spawn()
            .map_err(failed)?;
        Ok(Host { orders, process })
    }
}

/// Hands an order over. None when the supervisor ended before it took it: nothing was begun then.
async fn give(dir: &Path, host: &Host, order: &[u8]) -> Result<Option<BufReader<UnixStream>>, Fault> {
    let unusable = |error: io::Error| folder::fault(dir, "cannot be written to", &error);
    let opened = File::open(dir).map_err(unusable)?;
    let address = folder::control_address(&opened);
    if let Err(error) = fs::remove_file(dir.join(folder::CONTROL))
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(unusable(error));
    }
    let listener = UnixListener::bind(&address).map_err(unusable)?;
    let connection = UnixStream::connect(&address).await.map_err(unusable)?;
    let order = process::in_memory(order).map_err(unusable)?;
    if files::send(host.orders.as_fd(), &[order.as_fd(), listener.as_fd()]).is_err() {
        return Ok(None);
    }
    // From here on the supervisor alone holds the listening end, so that it closes with it.
    drop(listener);
    let mut connection = BufReader::new(connection);
    Ok(is_there(&mut connection).await.then_some(connection))
}

/// Whether a supervisor has the attempt. One that says nothing for a while is stopped or starved, but there:
/// only the end of the connection tells that it is gone.
async fn is_there(connection: &mut BufReader<UnixStream>) -> bool {
    let greeting = tokio::time::timeout(GREETING_PATIENCE, connection.fill_buf()).await;
    greeting.is_err() || matches!(greeting, Ok(Ok(bytes)) if !bytes.is_empty())
}

/// Finds an attempt that another process launched, or this one before it was restarted.
///
/// # Errors
/// A folder or an exit record that cannot be read (MG5202, MG5204), or processes that cannot be killed.
pub async fn adopt(dir: &Path) -> Result<Adopted, Fault> {
    if let Some(connection) = connect(dir).await {
        let dir = dir.to_path_buf();
        return Ok(Adopted::Running(Box::new(Running::new(
            dir,
            connection,
            None,
            Vec::new(),
        ))));
    }
    let dir = dir.to_path_buf();
    let ended = tokio::task::spawn_blocking(move || conclude(&dir)).await;
    ended.map_err(|error| bug(&error.to_string()))?
}

async fn connect(dir: &Path) -> Option<BufReader<UnixStream>> {
    let opened = File::open(dir).ok()?;
    let mut connection = BufReader::new(UnixStream::connect(folder::control_address(&opened)).await.ok()?);
    is_there(&mut connection).await.then_some(connection)
}

/// What a folder says whose supervisor is gone; a lost attempt is ended here.
fn conclude(dir: &Path) -> Result<Adopted, Fault> {
    if let Some(exit) = exit::read(dir)? {
        return Ok(match exit.why {
            Why::Lost => Adopted::Lost(Box::new(exit)),
            Why::Exited
            | Why::Timeout
            | Why::Cancelled
            | Why::OutOfMemory
            | Why::CouldNotStart
            | Why::WorkerCrashed
            | Why::Abandoned => Adopted::Ended(Box::new(exit)),
        });
    }
    let unreadable = |error: io::Error| folder::fault(dir, "cannot be read", &error);
    let state = folder::read(dir, folder::STATE).map_err(unreadable)?;
    // Half a state was never written: it is put in place whole. Without one nothing was begun.
    let state: Option<State> = state.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let (killed_count, is_stuck) = state.as_ref().map_or((0, false), kin::kill_orphans);
    if is_stuck {
        let message = format!("processes of the attempt in {} cannot be killed", dir.display());
        return Err(Box::new(
            Diagnostic::error(codes::TASK_LOST, message)
                .with_remedy(
                    "they wait for a disk or a network drive that does not answer: mend that; it is tried again",
                )
                .with_retry(Retry::Later),
        ));
    }
    let exit = Exit::lost(state.as_ref(), killed_count);
    keep_lost(dir, state.as_ref(), &exit).map_err(|error| folder::fault(dir, "cannot be written to", &error))?;
    Ok(Adopted::Lost(Box::new(exit)))
}

fn keep_lost(dir: &Path, state: Option<&State>, exit: &Exit) -> io::Result<()> {
    folder::create(dir)?;
    if let Some(state) = state {
        log::recover(
            dir,
            state.tail_bytes,
            "the supervisor of this task was killed; what was left of the task was killed too",
            exit.ended_at,
        )?;
    }
    let (file, staged) = folder::stage(dir, folder::EXIT, &serde_json::to_vec(exit)?)?;
    file.sync_all()?;
    folder::unstage(dir, &staged, folder::EXIT)?;
    let _ = fs::remove_file(dir.join(folder::CONTROL));
    let _ = fs::remove_file(dir.join(folder::EVENTS_PIPE));
    Ok(())
}

impl Running {
    fn new(dir: PathBuf, connection: BufReader<UnixStream>, lease: Option<Lease>, warnings: Vec<Diagnostic>) -> Self {
        Self {
            dir,
            connection,
            line: Vec::new(),
            ended: None,
            lease,
            warnings,
        }
    }

    /// The attempt's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Waits until it has ended and its record is safe. May be given up and asked again, and gives the same
    /// when asked after the end.
    ///
    /// # Errors
    /// As [`adopt`], if the supervisor dies without a word.
    pub async fn wait(&mut self) -> Result<Exit, Fault> {
        while self.ended.is_none() {
            if self.told().await {
                if let Some(lease) = self.lease.take() {
                    lease.end();
                }
                break;
            }
            match adopt(&self.dir).await? {
                Adopted::Ended(exit) | Adopted::Lost(exit) => self.ended = Some(*exit),
                Adopted::Running(again) => {
                    self.connection = again.connection;
                    self.line.clear();
                }
            }
        }
        self.ended.clone().ok_or_else(|| bug("an end without a record"))
    }

    /// Asks it to end: SIGTERM now, SIGKILL after the grace, its whole tree. A later call can only hasten that.
    /// Nothing happens where it has ended.
    pub async fn stop(&mut self, grace: Duration) {
        let request = format!("stop {}\n", grace.as_millis());
        // A connection that is gone has nobody to ask; waiting tells how it ended.
        let _ = self.connection.get_mut().write_all(request.as_bytes()).await;
    }

    /// Reads the record; false when the connection ended without one.
    async fn told(&mut self) -> bool {
        // A greeting is passed over: it may come late. What was read before this was given up is in the line.
        let is_greeting = matches!(self.connection.fill_buf().await, Ok(bytes) if bytes.starts_with(HELLO.as_bytes()));
        if is_greeting && self.line.is_empty() {
            self.connection.consume(HELLO.len());
        }
        let room = MAX_RECORD_BYTES.saturating_sub(self.line.len() as u64);
        let mut limited = (&mut self.connection).take(room);
        let read = limited.read_until(b'\n', &mut self.line).await;
        self.ended = read.ok().and_then(|_| serde_json::from_slice(&self.line).ok());
        self.ended.is_some()
    }
}

impl Host {
    fn has_ended(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(Some(_)))
    }
}

impl Lease {
    fn end(mut self) {
        // One that could not keep the record, or ran its last task, is on its way out; then the next order
        // finds it gone and takes another.
        if !self.host.has_ended() {
            self.shared.put_back(self.key, self.host);
        }
    }
}

impl Exit {
    fn lost(state: Option<&State>, killed_count: u32) -> Self {
        let now = clock::now();
        Self {
            version: VERSION,
            attempt: state.map(|state| state.attempt.clone()).unwrap_or_default(),
            epoch: state.map_or(0, |state| state.epoch),
            why: Why::Lost,
            code: None,
            signal: None,
            started_at: state.map_or(now, |state| state.started_at),
            ended_at: now,
            peak_memory_bytes: None,
            user_us: 0,
            system_us: 0,
            output_bytes: 0,
            left_out_bytes: 0,
            killed_count,
            result: None,
            error: None,
            faults: Vec::new(),
        }
    }
}

/// A random word, by which the processes of an attempt are known.
fn token() -> io::Result<String> {
    let mut bytes = [0; 12];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn no_supervisor(why: &str) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::NO_SUPERVISOR,
            format!("no supervisor for the task could be started: {why}"),
        )
        .with_remedy("look at the machine's limits of processes and open files, and at its memory")
        .with_retry(Retry::Later),
    )
}

fn bug(what: &str) -> Fault {
    Box::new(Diagnostic::error(codes::BUG, what.to_owned()))
}
