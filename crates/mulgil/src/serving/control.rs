//! What a server of this program can be asked, over HTTP.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, Instant as Clock},
};

use async_trait::async_trait;
use futures::stream;
use mulgil_core::{
    backfill::Change,
    codes,
    diagnostic::Diagnostic,
    flow::Flow,
    interval::Interval,
    interval_text::{self, format_instant},
    port::Fault,
    project::Fingerprint,
    run::Trigger,
};
use mulgil_runner::read_log;
use mulgil_scheduler::{
    RunRequest, Runner,
    service::{self, Ask, Pulse},
};
use mulgil_server::{
    Answer, Answered, Control, Database, Definitions, Event, EventStream, Happened, HealthFacts, LogChunk, Refusal,
    Retried, Run, Target, Verb, Workers,
    metrics::{self, Metric},
};
use serde_json::Value as Json;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    backfills, events,
    models::Models,
    notices::Notices,
    onlooker::{Changes, Onlooker},
    reload::{Asked, Reload},
};
use crate::{
    cli,
    command::run as run_command,
    room,
    wire::{self, Opened},
};

/// How long the ledger may take to answer before it counts as failing.
const PING: Duration = Duration::from_secs(2);

/// Bytes of a log that one answer carries.
const LOG_CHUNK: usize = 256 * 1024;

/// How often a log is looked at while somebody waits for more of it.
const LOG_LOOK: Duration = Duration::from_millis(200);

/// The program behind the server.
pub(crate) struct Program {
    pub(crate) opened: Opened,
    pub(crate) runner: Arc<Runner>,
    pub(crate) models: Arc<Models>,
    pub(crate) asks: mpsc::Sender<Ask>,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) changes: Changes,
    pub(crate) onlooker: Arc<Onlooker>,
    pub(crate) notices: Notices,
    pub(crate) stopping: watch::Receiver<bool>,
    /// The project's files when they were loaded.
    pub(crate) loaded: Fingerprint,
    /// Where it begins anew whenever its project changes.
    pub(crate) reload: Option<Arc<Reload>>,
}

#[async_trait]
impl Control for Program {
    async fn health(&self) -> HealthFacts {
        let data_dir = self.opened.data_dir();
        let warehouse = self.opened.project.warehouse.folder();
        let warehouse = warehouse.map(|folder| self.opened.project.root.join(folder));
        let disk = room::fuller(room::of(data_dir), warehouse.as_deref().and_then(room::of));
        HealthFacts {
            database: self.ping().await,
            migrations_pending: 0,
            schema: mulgil_store::schema(),
            heartbeat_at: self.pulse.beat_at(),
            disk_free_bytes: disk.free_bytes,
            disk_total_bytes: disk.total_bytes,
            disk_free_files: disk.free_files,
            disk_total_files: disk.total_files,
            workers: Workers { alive: 1, lost: 0 },
            schedule_lag: micros(self.onlooker.counts.lag_us.load(Ordering::Relaxed)),
            oldest_queued: None,
            wal_bytes: wal_bytes(&self.opened),
            draining: *self.stopping.borrow(),
        }
    }

    async fn metrics(&self) -> Vec<Metric> {
        let counts = &self.onlooker.counts;
        let attempts = counts.attempts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let by_state = attempts
            .into_iter()
            .map(|(state, count)| (vec![state.to_owned(), String::new()], count as f64));
        let age = self
            .pulse
            .beat_at()
            .map_or(f64::INFINITY, |at| wire::now().0.saturating_sub(at.0) as f64 / 1e6);
        vec![
            Metric::of(&metrics::SCHEDULER_HEARTBEAT_AGE, age),
            Metric::of(
                &metrics::SCHEDULE_LAG,
                counts.lag_us.load(Ordering::Relaxed) as f64 / 1e6,
            ),
            Metric::of(&metrics::SCHEDULE_MISSED, counts.missed.load(Ordering::Relaxed) as f64),
            Metric::with(&metrics::ATTEMPTS, by_state),
            self.notices.metrics(),
        ]
    }

    async fn perform(&self, verb: Verb) -> Result<Answer, Refusal> {
        let begins = matches!(verb, Verb::Run(_) | Verb::Backfill(_) | Verb::RetryRun { .. });
        let asked = match &self.reload {
            Some(reload) if begins => Some(reload.begin(&self.opened)?),
            _ => None,
        };
        let mut answer = self.done(verb, asked).await?;
        if begins && self.reload.is_none() && self.opened.stamp() != self.loaded {
            answer.warnings.push(older());
        }
        Ok(answer)
    }

    async fn follow(&self, target: Target, from: u64) -> Result<EventStream, Fault> {
        let Target::Run(run) = target else {
            return Err(Box::new(not_here()));
        };
        if self.runner.store.run(run).await?.is_none() {
            return Err(Box::new(
                Diagnostic::error(codes::NOT_FOUND, format!("there is no run {run}"))
                    .with_remedy("`mulgil runs ls` shows the newest runs"),
            ));
        }
        let following = Following {
            runner: Arc::clone(&self.runner),
            changes: self.changes.watch(),
            run,
            next: from,
            waiting: Vec::new(),
            is_over: false,
        };
        let told = stream::unfold(following, |mut following| async move {
            let event = following.next().await?;
            Some((event, following))
        });
        Ok(Box::pin(told))
    }

    async fn log_tail(&self, attempt: i64, from: u64, wait: Duration) -> Result<LogChunk, Fault> {
        let until = Clock::now() + wait;
        loop {
            let chunk = self.chunk(attempt, from).await?;
            if !chunk.text.is_empty() || chunk.ended || Clock::now() >= until {
                return Ok(chunk);
            }
            tokio::time::sleep(LOG_LOOK).await;
        }
    }
}

impl Program {
    /// Does a verb; one that begins runs of models hands on that somebody has asked for them.
    async fn done(&self, verb: Verb, asked: Option<Asked>) -> Result<Answer, Refusal> {
        match verb {
            Verb::Run(run) => match run.flow.clone() {
                Some(flow) => self.run_flow(&flow, &run).await,
                None => self.run_models(&run, asked).await,
            },
            Verb::CancelRun { run } => {
                if !self.models.cancel(run)? {
                    cancel(&self.asks, run, "mulgil runs cancel").await?;
                }
                let state = mulgil_core::run::RunState::Running;
                Ok(Answer::of(Answered::RunCancelled { run, state }).with_follow(Target::Run(run)))
            }
            Verb::Backfill(asked) => {
                let made = backfills::make(&self.opened, &self.runner.store, &self.asks, asked).await;
                // Whoever fills its models looks at once.
                self.changes.tell();
                made
            }
            Verb::ListBackfills {} => backfills::list(&self.runner.store).await,
            Verb::PauseBackfill { backfill } => backfills::change(&self.asks, backfill, Change::Pause).await,
            Verb::ResumeBackfill { backfill } => backfills::change(&self.asks, backfill, Change::Resume).await,
            Verb::CancelBackfill { backfill } => backfills::change(&self.asks, backfill, Change::Cancel).await,
            Verb::RetryRun { run, what, definitions } => {
                let run = retry(&self.asks, run, retried(what, definitions), "mulgil runs retry").await?;
                Ok(Answer::of(Answered::RunQueued { run }).with_follow(Target::Run(run)))
            }
            Verb::Approve { .. } => Err(not_here().into()),
        }
    }

    async fn ping(&self) -> Database {
        let began = Clock::now();
        match tokio::time::timeout(PING, self.runner.store.ping()).await {
            Ok(Ok(())) => Database::Answers { after: began.elapsed() },
            Ok(Err(fault)) => Database::Fails { fault },
            Err(_) => Database::Answers { after: began.elapsed() },
        }
    }

    async fn run_flow(&self, name: &str, asked: &Run) -> Result<Answer, Refusal> {
        let flow = flow(&self.opened, name).map_err(|fault| {
            Diagnostic::error(
                fault.code,
                format!("{} in the project as the server loaded it", fault.message),
            )
            .with_remedy("start the server again to load the project as it is now, or use `mulgil dev`")
        })?;
        let params = flow.params(&asked.params).map_err(refusal)?;
        let interval = interval(flow, asked.interval.as_deref())?;
        let run = start(&self.asks, name, interval, params).await?;
        Ok(Answer::of(Answered::RunQueued { run }).with_follow(Target::Run(run)))
    }

    async fn run_models(&self, asked: &Run, going_on: Option<Asked>) -> Result<Answer, Refusal> {
        let flags = cli::Select {
            selectors: asked.select.chosen.clone(),
            more: Vec::new(),
            exclude: asked.select.exclude.clone(),
        };
        if !asked.vars.is_empty() || asked.prune {
            return Err(not_here().into());
        }
        let selection = self
            .opened
            .select(&flags, asked.interval.as_deref())
            .map_err(|faults| refusal(faults.0))?;
        let manual = if asked.full {
            run_command::nameable(&self.opened, &selection)
        } else {
            Vec::new()
        };
        let request = RunRequest {
            selector: run_command::selector(&flags, asked.interval.as_deref(), asked.full),
            scope: run_command::scope(&selection, flags.is_narrow()),
            manual,
            named: selection.named.iter().cloned().collect(),
            ..RunRequest::of_all(Trigger::Manual)
        };
        let (began, number) = oneshot::channel();
        let models = Arc::clone(&self.models);
        let mut stopping = self.stopping.clone();
        let running = tokio::spawn(async move {
            let interrupt = async move {
                // Whoever could tell is gone where this fails.
                let _ = stopping.wait_for(|stop| *stop).await;
            };
            let ended = models.run(&request, Some(began), interrupt).await;
            drop(going_on);
            ended
        });
        // Where nothing is due there is no run, and its number never comes.
        if let Ok(run) = number.await {
            return Ok(Answer::of(Answered::RunQueued { run }).with_follow(Target::Run(run)));
        }
        let ended = running.await.map_err(|error| {
            Diagnostic::error(codes::BUG, format!("the run panicked: {error}"))
                .with_remedy("please report it with what the server said")
        })?;
        ended?;
        Ok(Answer::of(Answered::NothingDue {}))
    }

    /// Some of an attempt's log: of its folder where it has one, else of the ledger.
    async fn chunk(&self, attempt: i64, from: u64) -> Result<LogChunk, Fault> {
        let dir = self.opened.attempts_dir().join(attempt.to_string());
        let ended = !self.runner.store.is_live(attempt).await?;
        if !dir.is_dir() {
            let lines = self.runner.store.log(attempt).await?;
            let text: String = lines.into_iter().map(|line| line.text + "\n").collect();
            let start = usize::try_from(from).unwrap_or(usize::MAX).min(text.len());
            let rest = text.get(start..).unwrap_or_default();
            return Ok(LogChunk {
                from,
                next: from + rest.len() as u64,
                text: rest.to_owned(),
                ended,
            });
        }
        let page = read_log(&dir, from).map_err(|error| unreadable(&dir, &error))?;
        let mut text = String::new();
        for line in &page.lines {
            text.push_str(&line.text);
            text.push('\n');
            if text.len() > LOG_CHUNK {
                break;
            }
        }
        Ok(LogChunk {
            from,
            next: page.next,
            text,
            ended,
        })
    }
}

/// That a server which is not `mulgil dev` does what is asked by the files that it loaded.
fn older() -> Diagnostic {
    Diagnostic::warning(
        codes::PROJECT_CHANGED,
        "the project's files have changed since the server loaded them, and this goes by what it loaded",
    )
    .with_remedy("start the server again, or use `mulgil dev` while you work")
}

/// One who follows a run.
struct Following {
    runner: Arc<Runner>,
    changes: watch::Receiver<u64>,
    run: i64,
    next: u64,
    /// Events that were read and not told, newest first.
    waiting: Vec<Event>,
    is_over: bool,
}

/// The pause before a run is read again, for each event that it had, so that following a long one costs little.
const FOLLOW_PAUSE: Duration = Duration::from_micros(100);
const LONGEST_FOLLOW_PAUSE: Duration = Duration::from_millis(500);

impl Following {
    async fn next(&mut self) -> Option<Result<Event, Fault>> {
        while self.waiting.is_empty() {
            if self.is_over {
                return None;
            }
            self.changes.mark_unchanged();
            match self.read().await {
                Ok(events) => self.waiting = events,
                Err(fault) => {
                    self.is_over = true;
                    return Some(Err(fault));
                }
            }
            if self.waiting.is_empty() {
                if self.changes.changed().await.is_err() {
                    return None;
                }
                // All that was told is read again with what is new.
                tokio::time::sleep(FOLLOW_PAUSE.saturating_mul(self.next as u32).min(LONGEST_FOLLOW_PAUSE)).await;
            }
        }
        let event = self.waiting.pop()?;
        self.next = event.seq + 1;
        self.is_over = matches!(event.what, Happened::Ended(_));
        Some(Ok(event))
    }

    async fn read(&self) -> Result<Vec<Event>, Fault> {
        let store = &self.runner.store;
        let known = store.run(self.run).await?;
        let ended = known.and_then(|(run, _)| Some((run.ended_at?, run.state)));
        let facts = store.run_facts(self.run).await?;
        let mut events = events::of(&facts, ended);
        events.retain(|event| event.seq >= self.next);
        events.reverse();
        Ok(events)
    }
}

/// Has the scheduler begin a walk now.
pub(crate) async fn start(
    asks: &mpsc::Sender<Ask>,
    flow: &str,
    interval: Interval,
    params: BTreeMap<String, Json>,
) -> Result<i64, Fault> {
    let (answer, told) = oneshot::channel();
    let ask = Ask::Start {
        flow: flow.to_owned(),
        interval,
        params,
        answer,
    };
    if asks.send(ask).await.is_err() {
        return Err(stopped());
    }
    told.await.unwrap_or_else(|_| Err(stopped()))
}

/// Has the scheduler end a walk.
pub(crate) async fn cancel(asks: &mpsc::Sender<Ask>, run: i64, by: &str) -> Result<(), Fault> {
    let (answer, told) = oneshot::channel();
    let by = by.to_owned();
    if asks.send(Ask::Cancel { run, by, answer }).await.is_err() {
        return Err(stopped());
    }
    told.await.unwrap_or_else(|_| Err(stopped()))
}

/// Has the scheduler do a run again; gives the run that does.
pub(crate) async fn retry(asks: &mpsc::Sender<Ask>, run: i64, what: service::Retried, by: &str) -> Result<i64, Fault> {
    let (answer, told) = oneshot::channel();
    let by = by.to_owned();
    if asks.send(Ask::Retry { run, what, by, answer }).await.is_err() {
        return Err(stopped());
    }
    told.await.unwrap_or_else(|_| Err(stopped()))
}

/// What of a run is done again, as it was typed.
pub(crate) fn retried(what: Retried, definitions: Definitions) -> service::Retried {
    match (definitions, what) {
        (Definitions::Latest, _) => service::Retried::Latest,
        (Definitions::Same, Retried::All) => service::Retried::All,
        (Definitions::Same, Retried::Unfinished) => service::Retried::Unfinished,
    }
}

/// The flow of that name.
pub(crate) fn flow<'a>(opened: &'a Opened, name: &str) -> Result<&'a Flow, Diagnostic> {
    opened.project.flow(name).ok_or_else(|| {
        let names = opened.project.flows.iter().map(|flow| flow.name.as_str());
        let remedy = match mulgil_core::select::nearest(name, names) {
            Some(near) => format!("write `{near}`; `mulgil flows ls` shows all"),
            None => "`mulgil flows ls` shows the flows of this project".to_owned(),
        };
        Diagnostic::error(codes::NOT_FOUND, format!("there is no flow `{name}`")).with_remedy(remedy)
    })
}

/// The one interval that is named; all of time for a flow without any.
pub(crate) fn interval(flow: &Flow, text: Option<&str>) -> Result<Interval, Diagnostic> {
    let name = &flow.name;
    match (flow.grid.is_cut(), text) {
        (false, None) => Ok(Interval::WHOLE),
        (false, Some(_)) => Err(Diagnostic::error(
            codes::BAD_INTERVAL,
            format!("the flow `{name}` is not run by intervals"),
        )
        .with_remedy("leave `--interval` away")),
        (true, None) => Err(Diagnostic::error(
            codes::BAD_INTERVAL,
            format!("the flow `{name}` is run by intervals, and none is named"),
        )
        .with_remedy(format!("name one: `mulgil run flow:{name} --interval 2026-03-10`"))),
        (true, Some(text)) => {
            let named = interval_text::parse(text, &flow.grid)?;
            if flow.grid.count(named) != 1 {
                return Err(Diagnostic::error(
                    codes::BAD_INTERVAL,
                    format!(
                        "`{text}` is {} intervals of the flow `{name}`, and a run is for one",
                        flow.grid.count(named)
                    ),
                )
                .with_remedy("name one interval"));
            }
            if !flow.grid.extent().contains(named) {
                let edge = |at: Option<mulgil_core::interval::Instant>, word: &str| {
                    at.map_or_else(String::new, |at| {
                        format!(" {word} {}", format_instant(at, &flow.grid.zone))
                    })
                };
                let (begin, end) = (edge(flow.grid.begin, "from"), edge(flow.grid.end, "up to"));
                return Err(Diagnostic::error(
                    codes::BAD_INTERVAL,
                    format!("`{text}` lies outside of the intervals of the flow `{name}`, which go{begin}{end}"),
                )
                .with_remedy("name one inside, or change `begin` or `end` in its file"));
            }
            Ok(named)
        }
    }
}

pub(super) fn refusal(mut faults: Vec<Diagnostic>) -> Refusal {
    let first = faults.remove(0);
    Refusal {
        fault: Box::new(first),
        others: faults,
    }
}

fn not_here() -> Diagnostic {
    Diagnostic::error(codes::USAGE, "a running server does not take this yet")
        .with_remedy("end the server (Ctrl-C), do it, and start the server again")
}

pub(super) fn stopped() -> Fault {
    Box::new(
        Diagnostic::error(codes::DATA_HELD, "the scheduler has stopped")
            .with_remedy("look at what the server said; start it again"),
    )
}

fn unreadable(dir: &Path, error: &std::io::Error) -> Fault {
    Box::new(
        Diagnostic::error(codes::DISK_FAILED, format!("the log cannot be read: {error}"))
            .at(mulgil_core::diagnostic::Place::file(dir)),
    )
}

fn micros(micros: i64) -> Duration {
    Duration::from_micros(micros.max(0).unsigned_abs())
}

/// Bytes of the write-ahead log of a ledger that is a file.
fn wal_bytes(opened: &Opened) -> u64 {
    let file = opened.place().ok().and_then(|place| place.file());
    file.and_then(|file| std::fs::metadata(file.with_extension("db-wal")).ok())
        .map_or(0, |log| log.len())
}
