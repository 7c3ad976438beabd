//! The one place where everything is put together, and the only one that reads the clock and the
//! environment.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use mulgil_core::{
    codes, crash,
    diagnostic::{Diagnostic, Severity},
    environment::Environment,
    grid::Zone,
    interval::Instant,
    name::NodeName,
    port::{EngineConfig, Fault, SessionSpec, SharedEngine, SourceSeen},
    project::{Fingerprint, Project},
    publish::ReadVersions,
    select::{self, Selection},
    state::State,
    task::Binding,
};
use mulgil_engine::EmbeddedEngine;
use mulgil_project::{Compiler, LoadOptions, Settings};
use mulgil_runner::Lifeline;
use mulgil_scheduler::{Known, Runner};
use mulgil_store::{DataLock, Holder, LEAD, LeadTimes, LedgerPlace, RelationEntry, Store};

use crate::{
    cli::{Global, Select, dbt::Aim},
    command::Faults,
    right::Right,
    say,
};

/// The folder of ledgers, spill files and logs inside a project.
const DATA_DIR: &str = ".mulgil";

/// Attempts at once, when nobody says: tables are written by several threads already.
const DEFAULT_PARALLEL: usize = 2;

/// The environment, when nobody says.
const DEFAULT_ENVIRONMENT: &str = "dev";

/// Bytes that queries may spill to disk, when nobody says.
const SPILL_BYTES: u64 = 100 << 30;

/// Milliseconds after which a query is ended, when nobody says: half an hour.
const QUERY_TIMEOUT_MS: u64 = 30 * 60 * 1000;

/// Microseconds for which logs are kept, when nobody says: 30 days.
const KEEP_LOGS_US: i64 = 30 * 86_400_000_000;

/// Microseconds for which runs of flows and ticks are kept, when nobody says: 180 days.
const KEEP_RUNS_US: i64 = 180 * 86_400_000_000;

/// Memory for queries where the machine does not say how much it has.
const MEMORY_BYTES: u64 = 2 << 30;

/// A project, opened for one environment.
#[derive(Clone)]
pub(crate) struct Opened {
    /// What is declared.
    pub(crate) project: Arc<Project>,
    /// Its SQL.
    pub(crate) compiler: Compiler,
    /// What was said while it was loaded; warnings only.
    pub(crate) warnings: Vec<Diagnostic>,
    settings: Settings,
    data_dir: PathBuf,
}

/// The ledger as a reading command sees it: with what changed outside since it was written.
pub(crate) struct View {
    /// What decisions read.
    pub(crate) state: State,
    /// The ledger, or a copy of it in which the changes are recorded.
    pub(crate) store: Store,
    /// The moment.
    pub(crate) now: Instant,
}

/// What a query may name.
pub(crate) struct Names {
    /// The names.
    pub(crate) bindings: Vec<Binding>,
    /// The tables and views that were ever filled.
    pub(crate) relations: Vec<RelationEntry>,
    /// The sources, as they were last seen.
    pub(crate) seen: BTreeMap<NodeName, SourceSeen>,
}

/// The time, now.
#[expect(clippy::disallowed_methods, reason = "this is the one home of the clock")]
pub(crate) fn now() -> Instant {
    Instant::from_timestamp(jiff::Timestamp::now())
}

/// The name of this machine's time zone; UTC where it has none that everybody knows.
pub(crate) fn zone_here() -> String {
    let here = jiff::tz::TimeZone::system();
    let known = here.iana_name().filter(|name| Zone::named(name).is_some());
    match known {
        Some("Etc/UTC") | None => "UTC".to_owned(),
        Some(name) => name.to_owned(),
    }
}

/// The date of now in a zone of the bundled database.
pub(crate) fn today(zone: &str) -> jiff::civil::Date {
    let zone = Zone::named(zone).unwrap_or(Zone::UTC);
    now().to_timestamp().to_zoned(zone.tz().clone()).date()
}

/// A moment as people type it: RFC 3339, or a date or time of a zone.
pub(crate) fn moment(text: &str, zone: &Zone) -> Result<Instant, Fault> {
    let in_zone = || {
        let time = text.parse::<jiff::civil::DateTime>().or_else(|_| {
            text.parse::<jiff::civil::Date>()
                .map(|date| date.to_datetime(jiff::civil::Time::midnight()))
        });
        Some(time.ok()?.to_zoned(zone.tz().clone()).ok()?.timestamp())
    };
    text.parse::<jiff::Timestamp>()
        .ok()
        .or_else(in_zone)
        .map(Instant::from_timestamp)
        .ok_or_else(|| {
            let fault = Diagnostic::error(codes::USAGE, format!("`{text}` is no moment in time"));
            Box::new(fault.with_remedy("write a date or a time: `--as-of 2026-11-01T09:00`"))
        })
}

/// Arms the places at which crash tests kill this process: `MULGIL_CRASH_TEST=write:17`.
#[expect(clippy::disallowed_methods, reason = "this is the one home of the environment")]
pub(crate) fn arm_crash_tests() {
    if let Some(kill) = std::env::var("MULGIL_CRASH_TEST")
        .ok()
        .and_then(|text| crash::parse(&text))
    {
        crash::arm(kill);
    }
}

/// Says how many durable writes there were, when a crash test counts them (`MULGIL_CRASH_TEST=count`).
pub(crate) fn tell_counted_writes() {
    if let Some(writes) = crash::counted() {
        say::talk(&format!("writes: {writes}"));
    }
}

/// The exit code of a command that a person ended.
pub(crate) const INTERRUPTED: u8 = 130;

/// The runtime that everything waits in; the engine computes on threads of its own.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("threads can be started")
}

/// Reads the project around a folder. Every fault comes at once; warnings are said on stderr.
pub(crate) fn open(global: &Global) -> Result<Opened, Faults> {
    open_as(global, &Aim::default())
}

/// Reads the project as dbt's flags have it.
pub(crate) fn open_as(global: &Global, aim: &Aim) -> Result<Opened, Faults> {
    outline_as(global, aim)?.opened
}

/// A project folder as far as it can be read, for whoever looks at what is wrong with it.
pub(crate) struct Outline {
    /// The project folder.
    pub(crate) root: PathBuf,
    /// The folder of ledgers, logs and what belongs to this machine.
    pub(crate) data_dir: PathBuf,
    /// The environment.
    pub(crate) environment: String,
    /// Whether the ledger lies on a server.
    pub(crate) is_on_server: bool,
    /// The project, or everything that is wrong with it.
    pub(crate) opened: Result<Opened, Faults>,
}

impl Outline {
    /// Where the ledger lies; nothing where only a project that cannot be read could say it.
    pub(crate) fn place(&self) -> Option<Result<LedgerPlace, Fault>> {
        match &self.opened {
            Ok(opened) => Some(opened.place()),
            Err(_) if self.is_on_server => None,
            Err(_) => Some(Ok(LedgerPlace::folder(&self.data_dir, &self.environment))),
        }
    }

    /// Whose facts the ledger holds.
    pub(crate) fn ledger(&self) -> String {
        self.opened.as_ref().map(Opened::ledger).unwrap_or_default()
    }
}

/// Looks at the project around a folder, whatever is wrong with it.
///
/// # Errors
/// There is no project, or a variable that was typed cannot be read.
pub(crate) fn outline(global: &Global) -> Result<Outline, Faults> {
    outline_as(global, &Aim::default())
}

fn outline_as(global: &Global, aim: &Aim) -> Result<Outline, Faults> {
    let root = mulgil_project::find_root(&global.project_dir).ok_or_else(|| no_project(global))?;
    let target = aim.target.clone().or_else(|| global.env.clone());
    let mut vars = vars(&global.vars)?;
    if let Some(text) = &aim.variables {
        vars.extend(mulgil_project::parse_vars(text)?);
    }
    let mut env = environment();
    if let Some(folder) = &aim.profiles_dir {
        env.insert("DBT_PROFILES_DIR".to_owned(), folder.clone());
    }
    let options = LoadOptions {
        environment: target.clone().unwrap_or_else(|| DEFAULT_ENVIRONMENT.to_owned()),
        vars,
        env,
        target,
        home: std::env::home_dir(),
    };
    let loaded = mulgil_project::load(&root, &options);
    let data_dir = root.join(DATA_DIR);
    let is_on_server = loaded.settings.ledger.is_some();
    let has_error = loaded.diagnostics.iter().any(|fault| fault.severity == Severity::Error);
    let opened = match (loaded.project, loaded.compiler) {
        (Some(project), Some(compiler)) if !has_error => Ok(Opened {
            project: Arc::new(project),
            compiler,
            warnings: loaded.diagnostics,
            settings: loaded.settings,
            data_dir: data_dir.clone(),
        }),
        _ => Err(Faults(loaded.diagnostics)),
    };
    let environment = opened.as_ref().map(|opened| opened.project.environment.clone());
    Ok(Outline {
        root,
        data_dir,
        environment: environment.unwrap_or(options.environment),
        is_on_server,
        opened,
    })
}

fn no_project(global: &Global) -> Diagnostic {
    let folder = std::path::absolute(&global.project_dir).unwrap_or_else(|_| global.project_dir.clone());
    Diagnostic::error(
        codes::NOT_FOUND,
        format!(
            "there is no mulgil.yml and no dbt_project.yml in {} or above it",
            folder.display()
        ),
    )
    .with_remedy("go to a project folder, name one with `-C DIR`, or make one with `mulgil init` or `mulgil demo`")
}

impl Opened {
    /// What of the project was named; what selects nothing beside it is said on stderr.
    pub(crate) fn select(&self, flags: &Select, interval: Option<&str>) -> Result<Selection, Faults> {
        let selection = select::select(&self.project, &flags.chosen(), &flags.exclude, interval)?;
        selection.warnings.iter().for_each(say::fault);
        Ok(selection)
    }

    /// The warehouse.
    pub(crate) fn engine(&self) -> Result<SharedEngine, Fault> {
        Ok(Arc::new(self.embedded()?))
    }

    /// The warehouse as the engine in this process, for whoever tries out where it lies.
    pub(crate) fn embedded(&self) -> Result<EmbeddedEngine, Fault> {
        let config = EngineConfig {
            root: self.project.root.clone(),
            warehouse: self.project.warehouse.clone(),
            environment: Environment::new(environment(), std::env::home_dir()),
            memory_bytes: self.settings.memory_bytes.unwrap_or_else(default_memory),
            spill_dir: self.data_dir.join("spill"),
            spill_bytes: self.settings.spill_bytes.unwrap_or(SPILL_BYTES),
            partitions: self.settings.threads.unwrap_or_else(cores),
        };
        EmbeddedEngine::new(config)
    }

    /// Milliseconds after which a query is ended, with what was typed.
    pub(crate) fn query_timeout_ms(&self, seconds: Option<u64>) -> u64 {
        let typed = seconds.map(|seconds| seconds.saturating_mul(1000));
        typed.or(self.settings.query_timeout_ms).unwrap_or(QUERY_TIMEOUT_MS)
    }

    /// What statements may name, now or as of a moment.
    pub(crate) async fn session_spec(&self, as_of: Option<Instant>) -> Result<SessionSpec, Fault> {
        Ok(SessionSpec {
            bindings: self.names().await?.bindings,
            zone: self.project.zone.clone(),
            schema: self.project.schema.clone(),
            as_of,
        })
    }

    /// What a query may name now, with what the ledger knows of it.
    pub(crate) async fn names(&self) -> Result<Names, Fault> {
        let (seen, relations, versions) = match self.ledger_to_read().await? {
            Some(store) => (
                store.sources_seen().await?,
                store.catalog().await?,
                store.versions().await?,
            ),
            None => Default::default(),
        };
        let exists = |name: &_| relations.iter().any(|entry| entry.node == *name);
        let mut bindings = self.compiler.query_bindings(&exists, &seen);
        let published = |relation: &_| Some(versions.get(relation)?.published);
        ReadVersions::of(&self.project, published).pin(&mut bindings, None);
        Ok(Names {
            bindings,
            relations,
            seen,
        })
    }

    /// The folder of ledgers, logs and what belongs to this machine.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Where attempts of steps have their folders.
    pub(crate) fn attempts_dir(&self) -> PathBuf {
        self.data_dir.join("attempts").join(&self.project.environment)
    }

    /// Where the prompt remembers what was typed.
    pub(crate) fn history(&self) -> PathBuf {
        self.data_dir.join("sql_history")
    }

    /// The right to write the warehouse and its ledger, without a runner: for statements that are typed.
    pub(crate) async fn right(&self, command: &str) -> Result<Right, Fault> {
        let lock = self.lock(command)?;
        let right = match self.place()? {
            LedgerPlace::Folder { .. } => Right::of_folder(lock),
            place @ LedgerPlace::Postgres(_) => {
                let store = Arc::new(Store::open(&place, &self.ledger()).await?);
                Right::of_server(lock, store, &holder(command), self.lifeline())?
            }
        };
        right.take().await
    }

    /// Everything for a run, with the right to write.
    pub(crate) async fn runner(&self, command: &str, parallel: Option<usize>) -> Result<(Runner, Right), Fault> {
        let (runner, right) = self.runner_in_waiting(command, self.lock(command)?, parallel).await?;
        Ok((runner, right.take().await?))
    }

    /// The lock on the data folder, for a command.
    ///
    /// # Errors
    /// `DATA_HELD` where another process has it.
    pub(crate) fn lock(&self, command: &str) -> Result<Arc<DataLock>, Fault> {
        DataLock::acquire(&self.data_dir, &self.project.environment, holder(command)).map(Arc::new)
    }

    /// Everything for a run, under a lock. Where the ledger lies on a server the right to write it is still to be taken.
    pub(crate) async fn runner_in_waiting(
        &self,
        command: &str,
        lock: Arc<DataLock>,
        parallel: Option<usize>,
    ) -> Result<(Runner, Right), Fault> {
        let place = self.place()?;
        let store = Arc::new(Store::open(&place, &self.ledger()).await?);
        let right = match place {
            LedgerPlace::Folder { .. } => Right::of_folder(lock),
            LedgerPlace::Postgres(_) => Right::of_server(lock, Arc::clone(&store), &holder(command), self.lifeline())?,
        };
        let runner = Runner {
            project: Arc::clone(&self.project),
            compiler: self.compiler.clone(),
            store,
            engine: self.engine()?,
            parallel: parallel.or(self.settings.parallel).unwrap_or(DEFAULT_PARALLEL).max(1),
            clock: now,
        };
        Ok((runner, right))
    }

    /// Where the ledger lies.
    pub(crate) fn place(&self) -> Result<LedgerPlace, Fault> {
        match &self.settings.ledger {
            Some(url) => LedgerPlace::postgres(url, &self.ledger()),
            None => Ok(self.folder()),
        }
    }

    /// Where the ledger lies when nobody says where.
    pub(crate) fn folder(&self) -> LedgerPlace {
        LedgerPlace::folder(&self.data_dir, &self.project.environment)
    }

    /// What says to the supervisors of tasks that this machine still leads.
    pub(crate) fn lifeline(&self) -> Lifeline {
        Lifeline {
            file: self.data_dir.join(format!("{}.lifeline", self.project.environment)),
            patience: LeadTimes::default().give_up,
        }
    }

    /// Changes when a file does that the project is read from.
    pub(crate) fn stamp(&self) -> Fingerprint {
        let root = &self.project.root;
        let tables = self.project.warehouse.folder().map(|folder| root.join(folder));
        mulgil_project::stamp(root, tables.as_slice())
    }

    /// For how many microseconds logs are kept.
    pub(crate) fn keep_logs_us(&self) -> i64 {
        self.settings.keep_logs_us.unwrap_or(KEEP_LOGS_US)
    }

    /// For how many microseconds runs of flows and ticks are kept.
    pub(crate) fn keep_runs_us(&self) -> i64 {
        self.settings.keep_runs_us.unwrap_or(KEEP_RUNS_US)
    }

    /// Slots of pools, by name.
    pub(crate) fn pools(&self) -> BTreeMap<String, usize> {
        self.settings.pools.clone()
    }

    /// The ledger alone, to read; nothing where there is none yet.
    pub(crate) async fn ledger_to_read(&self) -> Result<Option<Store>, Fault> {
        Store::open_read_only(&self.place()?, &self.ledger()).await
    }

    /// The ledger with what changed outside since, without writing a byte into it and without a lock.
    pub(crate) async fn view(&self) -> Result<View, Fault> {
        let (engine, now) = (self.engine()?, now());
        let ledger = self.ledger_to_read().await?;
        let known = match &ledger {
            Some(store) => Known::load(&self.project, store).await?,
            None => Known::default(),
        };
        let seen = mulgil_scheduler::gather(&self.project, engine.as_ref(), &known).await?;
        // What a killed process left live is over, although no run has said so yet.
        let has_dead = match &ledger {
            Some(store) => store.has_live().await? && !self.is_led(store).await?,
            None => false,
        };
        let store = match ledger {
            Some(store) if seen.news.is_empty() && !has_dead => store,
            _ => {
                let copy = Store::scratch(&self.place()?, &self.ledger()).await?;
                if has_dead {
                    copy.crash_live(now).await?;
                }
                mulgil_scheduler::record(&self.project, &copy, &seen.news, now).await?;
                copy
            }
        };
        let state = store.load_state(&self.project).await?;
        for fault in &seen.faults {
            say::fault(fault);
        }
        Ok(View { state, store, now })
    }

    /// Whether a process writes the ledger now.
    async fn is_led(&self, store: &Store) -> Result<bool, Fault> {
        Ok(match store.place() {
            LedgerPlace::Folder { .. } => DataLock::is_held(&self.data_dir, &self.project.environment),
            LedgerPlace::Postgres(_) => store.lease(LEAD).await?.is_some_and(|state| state.is_live),
        })
    }

    /// Whose facts: `<project>/<environment>`.
    pub(crate) fn ledger(&self) -> String {
        format!("{}/{}", self.project.name, self.project.environment)
    }
}

/// This process, as others are told of it.
pub(crate) fn holder(command: &str) -> Holder {
    Holder {
        pid: std::process::id(),
        host: host(),
        command: command.to_owned(),
        since: now(),
    }
}

/// Resolves when a person presses Ctrl-C, or the process is asked to end. Asked once more, the process
/// ends where it is; the next one mends what it leaves, as after any kill.
pub(crate) async fn interrupt() {
    asked_to_end().await;
    say::talk("stopping; once more ends at once");
    tokio::spawn(async {
        asked_to_end().await;
        std::process::exit(INTERRUPTED.into());
    });
}

async fn asked_to_end() {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
    match &mut terminate {
        Ok(terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}

/// The environment's variables; what is not text cannot be named in a project and is left out.
pub(crate) fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Where a program lies that is called by its name alone; nothing where the path does not lead to it.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

fn vars(pairs: &[String]) -> Result<BTreeMap<String, serde_json::Value>, Faults> {
    let mut out = BTreeMap::new();
    for pair in pairs {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(Diagnostic::error(codes::USAGE, format!("`--var {pair}` has no `=`"))
                .with_remedy("write `--var name=value`")
                .into());
        };
        let value = match serde_json::from_str(value) {
            // `1.10` is no number to whoever typed it as a version.
            Ok(serde_json::Value::Number(number)) if number.to_string() != value => {
                serde_json::Value::String(value.to_owned())
            }
            Ok(value) => value,
            Err(_) => serde_json::Value::String(value.to_owned()),
        };
        out.insert(name.trim().to_owned(), value);
    }
    Ok(out)
}

/// Six tenths of the memory that this process may use: what writers and readers of files hold is not
/// counted.
fn default_memory() -> u64 {
    let machine = machine_memory();
    let allowed = std::fs::read_to_string("/sys/fs/cgroup/memory.max")
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok());
    let usable = allowed.into_iter().chain(machine).min();
    usable.map_or(MEMORY_BYTES, |bytes| bytes / 10 * 6)
}

fn machine_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?
            .trim()
            .strip_suffix("kB")?
            .trim()
            .parse::<u64>()
            .ok()
    });
    total.map(|kib| kib * 1024)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get)
}

fn host() -> String {
    std::fs::read_to_string(Path::new("/proc/sys/kernel/hostname"))
        .map_or_else(|_| "this machine".to_owned(), |name| name.trim().to_owned())
}
