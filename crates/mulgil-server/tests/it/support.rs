//! A server with a small program behind it, and ways to talk to it byte by byte.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place},
    interval::Instant,
    port::Fault,
    run::RunState,
};
use mulgil_server::{
    Answer, Answered, Config, Control, Database, Drained, Event, EventStream, Happened, HealthFacts, Limits, LogChunk,
    Refusal, RunEnd, Target, Verb, Workers,
    metrics::{self, Metric},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{Notify, Semaphore, oneshot},
    task::JoinHandle,
};

/// Longer than anything here takes; a test that waits this long has failed.
pub(crate) const FOREVER: Duration = Duration::from_secs(20);

/// The time, standing still.
pub(crate) const NOW: Instant = Instant(1_795_170_000_000_000);

/// The version of every server here.
pub(crate) const VERSION: &str = "0.1.0";

/// The program behind a server.
pub(crate) struct Memory {
    pub(crate) health: Mutex<HealthFacts>,
    pub(crate) looks: AtomicUsize,
    pub(crate) performed: Mutex<Vec<Verb>>,
    /// Each verb takes one before it is done.
    pub(crate) gate: Semaphore,
    /// Told when a verb has begun, and when one was done.
    pub(crate) begun: Semaphore,
    pub(crate) done: Semaphore,
    /// Told when a stream was let go.
    pub(crate) let_go: Arc<Semaphore>,
    runs: Mutex<BTreeMap<i64, Vec<Event>>>,
    grown: Notify,
    pub(crate) log: Mutex<String>,
}

impl Memory {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            health: Mutex::new(well()),
            looks: AtomicUsize::new(0),
            performed: Mutex::default(),
            gate: Semaphore::new(1000),
            begun: Semaphore::new(0),
            done: Semaphore::new(0),
            let_go: Arc::new(Semaphore::new(0)),
            runs: Mutex::default(),
            grown: Notify::new(),
            log: Mutex::default(),
        })
    }

    /// One whose verbs wait for the gate.
    pub(crate) fn gated() -> Arc<Self> {
        let memory = Self::new();
        memory.gate.forget_permits(1000);
        memory
    }

    pub(crate) fn happens(&self, run: i64, what: Happened) {
        let mut runs = self.runs.lock().unwrap();
        let events = runs.entry(run).or_default();
        let seq = events.len() as u64 + 1;
        events.push(Event { seq, at: NOW, what });
        drop(runs);
        self.grown.notify_waiters();
    }

    pub(crate) fn says(&self, run: i64, text: &str) {
        self.happens(run, Happened::Said { text: text.to_owned() });
    }

    pub(crate) fn performed(&self) -> Vec<Verb> {
        self.performed.lock().unwrap().clone()
    }

    fn event(&self, run: i64, seq: u64) -> Option<Event> {
        let runs = self.runs.lock().unwrap();
        runs.get(&run)?.get(usize::try_from(seq - 1).unwrap()).cloned()
    }

    async fn wait_for(&self, run: i64, seq: u64) -> Event {
        loop {
            let grown = self.grown.notified();
            if let Some(event) = self.event(run, seq) {
                return event;
            }
            grown.await;
        }
    }
}

/// Gives a sign when it goes.
struct LetGo(Arc<Semaphore>);

impl Drop for LetGo {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

/// Run 13 of a `Memory` never ends and says a lot.
pub(crate) const ENDLESS: i64 = 13;

/// A run whose number is 500 ends everything in a panic.
pub(crate) const PANICS: i64 = 500;

struct Handle(Arc<Memory>);

#[async_trait]
impl Control for Handle {
    async fn health(&self) -> HealthFacts {
        self.0.looks.fetch_add(1, Ordering::SeqCst);
        let facts = self.0.health.lock().unwrap().clone();
        if facts.schema == 0 {
            std::future::pending::<()>().await;
        }
        facts
    }

    async fn metrics(&self) -> Vec<Metric> {
        vec![Metric::with(&metrics::QUEUE_DEPTH, [(vec!["a\"b".to_owned()], 3.0)])]
    }

    async fn perform(&self, verb: Verb) -> Result<Answer, Refusal> {
        self.0.begun.add_permits(1);
        self.0.gate.acquire().await.unwrap().forget();
        self.0.performed.lock().unwrap().push(verb.clone());
        self.0.done.add_permits(1);
        match verb {
            Verb::Run(run) if run.select.chosen == ["sale"] => Err(unknown_node()),
            Verb::Run(_) => Ok(Answer::of(Answered::RunQueued { run: 1 }).with_follow(Target::Run(1))),
            Verb::CancelRun { run: PANICS } => panic!("as the test wants it"),
            Verb::CancelRun { run } => Ok(Answer::of(Answered::RunCancelled {
                run,
                state: RunState::Running,
            })),
            _ => Ok(Answer::of(Answered::NothingDue {})),
        }
    }

    async fn follow(&self, target: Target, from: u64) -> Result<EventStream, Fault> {
        let (Target::Run(run) | Target::Backfill(run)) = target;
        let let_go = LetGo(Arc::clone(&self.0.let_go));
        if run == ENDLESS {
            let endless = stream::unfold((from, let_go), async |(seq, let_go)| {
                let text = "x".repeat(60_000);
                let what = Happened::Said { text };
                Some((Ok(Event { seq, at: NOW, what }), (seq + 1, let_go)))
            });
            return Ok(endless.boxed());
        }
        if !self.0.runs.lock().unwrap().contains_key(&run) {
            let fault = Diagnostic::error(codes::NOT_FOUND, format!("there is no run {run}"));
            return Err(Box::new(fault));
        }
        let memory = Arc::clone(&self.0);
        let events = stream::unfold((from, let_go, false), move |(seq, let_go, is_over)| {
            let memory = Arc::clone(&memory);
            async move {
                if is_over {
                    return None;
                }
                let event = memory.wait_for(run, seq).await;
                let is_over = matches!(event.what, Happened::Ended(_));
                Some((Ok(event), (seq + 1, let_go, is_over)))
            }
        });
        Ok(events.boxed())
    }

    async fn log_tail(&self, attempt: i64, from: u64, wait: Duration) -> Result<LogChunk, Fault> {
        let read = || {
            let log = self.0.log.lock().unwrap();
            let text = log.get(usize::try_from(from).unwrap()..).unwrap_or_default().to_owned();
            LogChunk {
                from,
                next: from + text.len() as u64,
                ended: attempt == 2,
                text,
            }
        };
        if read().text.is_empty() && !wait.is_zero() {
            self.0.begun.add_permits(1);
            let _ = tokio::time::timeout(wait, self.0.grown.notified()).await;
        }
        Ok(read())
    }
}

/// The program, as a server takes it.
pub(crate) fn control(memory: &Arc<Memory>) -> Arc<dyn Control> {
    Arc::new(Handle(Arc::clone(memory)))
}

/// A refusal with everything that a refusal can have.
pub(crate) fn unknown_node() -> Refusal {
    let fault = Diagnostic::error(codes::NOT_FOUND, "there is no node `sale` in this project")
        .at(Place::at("models/a.sql", 3, 19))
        .with_related(Place::file("models/b.sql"), "here too")
        .with_remedy("did you mean `sales`?");
    let mut refusal = Refusal::from(fault);
    refusal.others = vec![Diagnostic::warning(codes::BAD_CRON, "and this")];
    refusal
}

pub(crate) fn well() -> HealthFacts {
    HealthFacts {
        database: Database::Answers {
            after: Duration::from_millis(3),
        },
        migrations_pending: 0,
        schema: 7,
        heartbeat_at: Some(Instant(NOW.0 - 1_000_000)),
        disk_free_bytes: 50,
        disk_total_bytes: 100,
        disk_free_files: 0,
        disk_total_files: 0,
        workers: Workers { alive: 1, lost: 0 },
        schedule_lag: Duration::from_millis(20),
        oldest_queued: None,
        wal_bytes: 4096,
        draining: false,
    }
}

pub(crate) fn ended() -> Happened {
    Happened::Ended(RunEnd {
        state: RunState::Success,
        exit: 0,
        intervals: 1,
        rows: 2,
        tests_passed: 0,
        tests_failed: 0,
        stopped: None,
    })
}

/// A server that runs until it is told not to.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) memory: Arc<Memory>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<Drained, Fault>>,
}

impl Server {
    pub(crate) async fn start(folder: &Path, memory: &Arc<Memory>, limits: Limits) -> Self {
        let listener = mulgil_server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = Config {
            data_dir: folder.to_owned(),
            environment: "dev".to_owned(),
            version: VERSION.to_owned(),
            clock: || NOW,
            limits,
        };
        let (stop, stopped) = oneshot::channel();
        let control = control(memory);
        let task = tokio::spawn(mulgil_server::serve(listener, control, None, config, async {
            let _ = stopped.await;
        }));
        let server = Self {
            address,
            memory: Arc::clone(memory),
            stop,
            task,
        };
        // An answer says that the token and the address are written.
        assert!(server.raw(&server.get("/livez", "")).await.starts_with("HTTP/1.1 200"));
        server
    }

    pub(crate) fn token(folder: &Path) -> String {
        std::fs::read_to_string(folder.join("dev.token"))
            .unwrap()
            .trim()
            .to_owned()
    }

    /// A request without a body; headers end with a line break each.
    pub(crate) fn get(&self, path: &str, headers: &str) -> String {
        format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\r\n",
            self.address
        )
    }

    pub(crate) fn post(&self, headers: &str, body: &str) -> String {
        format!(
            "POST /api/v1/verbs HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n{headers}\r\n{body}",
            self.address,
            body.len()
        )
    }

    /// Sends bytes and reads all that comes back.
    pub(crate) async fn raw(&self, request: &str) -> String {
        let mut socket = self.connect().await;
        // What is refused early is not read to its end.
        let _ = socket.write_all(request.as_bytes()).await;
        read_all(&mut socket).await
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub(crate) async fn stop(self) -> Drained {
        self.stop.send(()).unwrap();
        tokio::time::timeout(FOREVER, self.task)
            .await
            .unwrap()
            .unwrap()
            .unwrap()
    }

    /// Ends it as `kill -9` would: nothing is cleaned up.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    /// Tells it to stop without waiting for that.
    pub(crate) fn begin_to_stop(self) -> JoinHandle<Result<Drained, Fault>> {
        self.stop.send(()).unwrap();
        self.task
    }
}

/// A server with its folder and the header that lets in.
pub(crate) struct Serving {
    pub(crate) folder: TempDir,
    pub(crate) server: Server,
    pub(crate) bearer: String,
}

pub(crate) async fn serving(memory: &Arc<Memory>, limits: Limits) -> Serving {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), memory, limits).await;
    let bearer = format!("Authorization: Bearer {}\r\n", Server::token(folder.path()));
    Serving { folder, server, bearer }
}

/// Reads until the other side closes; a reset counts as closed.
pub(crate) async fn read_all(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(FOREVER, socket.read_to_end(&mut bytes))
        .await
        .expect("the socket is closed");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads until something stands in what was read.
pub(crate) async fn read_until(socket: &mut TcpStream, wanted: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.contains(wanted) {
        let read = tokio::time::timeout(FOREVER, socket.read(&mut buffer))
            .await
            .expect("something comes");
        let count = read.unwrap();
        assert!(count > 0, "closed before `{wanted}`: {text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    text
}

/// Waits for a sign.
pub(crate) async fn sign(semaphore: &Semaphore) {
    tokio::time::timeout(FOREVER, semaphore.acquire())
        .await
        .expect("the sign comes")
        .unwrap()
        .forget();
}

/// The status of an answer.
pub(crate) fn status(answer: &str) -> u16 {
    answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

/// The JSON of an answer's body.
pub(crate) fn json(answer: &str) -> serde_json::Value {
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// The code of a fault, and that it is told in the right form.
pub(crate) fn code(answer: &str) -> String {
    assert!(
        answer.contains("content-type: application/problem+json\r\n"),
        "{answer}"
    );
    let problem = json(answer);
    assert_eq!(problem["status"], status(answer));
    assert_eq!(problem["detail"], problem["message"]);
    let code = problem["code"].as_str().unwrap().to_owned();
    assert_eq!(problem["type"], format!("urn:mulgil:error:{code}"));
    code
}
