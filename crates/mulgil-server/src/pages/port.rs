//! The port behind the pages: what the program tells of its ledger, as values that pages are made of.
//!
//! Each answer is made of at most four queries to the ledger, and nothing in it grows with what the ledger
//! holds: every list has a limit and goes on at another address.

use async_trait::async_trait;
use mulgil_core::{diagnostic::Diagnostic, grid::Zone, interval::Instant, port::Fault, run::RunState};
use mulgil_web::view::{Verdict, attempt, flow, form, list, run, table, today, why};

/// The topic of what concerns the server itself, of which every page tells in its bar.
pub const HEALTH_TOPIC: &str = "health";

/// What a page is made of, and what it took.
#[derive(Clone, Debug)]
pub struct Seen<T> {
    /// Its values.
    pub view: T,
    /// Queries to the ledger.
    pub queries: u32,
    /// What the page wants to hear of: `today`, `run:42`, `flow:daily`, `table:reads_daily`.
    pub topics: Vec<String>,
}

/// What stands on every page.
#[derive(Clone, Debug)]
pub struct Site {
    /// The project's name.
    pub project: String,
    /// The environment.
    pub environment: String,
    /// The project's zone.
    pub zone: Zone,
    /// How the server is, as it was last looked at.
    pub health: Verdict,
    /// Faults of the project in its folder, where it cannot be loaded and an older one is served.
    pub faults: u64,
}

impl Site {
    /// Of a server without pages, which has to say so on one.
    pub(crate) fn nameless() -> Self {
        Self {
            project: String::new(),
            environment: String::new(),
            zone: Zone::named("UTC").unwrap_or_else(|| unreachable!("UTC is bundled")),
            health: Verdict::Unknown,
            faults: 0,
        }
    }
}

/// Why there is no page.
#[derive(Clone, Debug)]
pub enum NoPage {
    /// There is nothing of that name; these are close.
    NotFound {
        /// What is said of it.
        fault: Fault,
        /// Names that are close, with their pages.
        near: Vec<mulgil_web::view::Link>,
    },
    /// It cannot be told.
    Fault(Fault),
}

impl From<Fault> for NoPage {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A page, or why there is none.
pub type Page<T> = Result<Seen<T>, NoPage>;

/// What is asked of a flow's grid.
#[derive(Clone, Debug, Default)]
pub struct FlowQuery {
    /// By start instead of by interval.
    pub by_start: bool,
    /// Only runs of this state.
    pub only: Option<RunState>,
    /// Only what is older than this place: a run, or the start of an interval in microseconds.
    pub before: Option<i64>,
    /// Only what is newer.
    pub after: Option<i64>,
}

/// What is asked of a run.
#[derive(Clone, Debug)]
pub struct RunQuery {
    /// Which part.
    pub tab: run::Tab,
    /// Tasks or events after this number.
    pub after: Option<i64>,
}

/// What is asked of an attempt's log.
#[derive(Clone, Debug, Default)]
pub struct LogQuery {
    /// From this byte on.
    pub from: Option<u64>,
    /// What ends before this byte.
    pub before: Option<u64>,
    /// Only lines that have this.
    pub search: Option<String>,
}

/// What is asked of a table.
#[derive(Clone, Debug, Default)]
pub struct TableQuery {
    /// An instance of a node with keys.
    pub keys: Option<String>,
    /// Cells that end before this moment.
    pub before: Option<Instant>,
    /// With a few rows.
    pub with_sample: bool,
}

/// What is asked of a list.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// What names have to contain.
    pub search: String,
    /// After this name or before this run.
    pub after: Option<String>,
    /// Only runs of this state.
    pub only: Option<RunState>,
}

/// All that a try has said.
#[derive(Clone, Debug)]
pub enum WholeLog {
    /// It lies in a file.
    File(std::path::PathBuf),
    /// It is this.
    Text(String),
}

/// What a person wants to change, as a form says it: the address's name and the fields, all of them text.
#[derive(Clone, Debug)]
pub enum Wish {
    /// Run a flow.
    Run {
        /// Which.
        flow: String,
    },
    /// End a run.
    Cancel {
        /// Which.
        run: i64,
    },
    /// Fill intervals of a table or a flow anew.
    Backfill {
        /// Its node, or `flow:NAME`.
        node: String,
    },
}

/// The fields of a form, by name.
pub type Fields = std::collections::BTreeMap<String, String>;

/// What the pages are made of: implemented by the program.
#[async_trait]
pub trait Pages: Send + Sync + 'static {
    /// What stands on every page; no query.
    fn site(&self) -> Site;
    /// What is wrong, what ran, how the server is.
    async fn today(&self) -> Page<today::Today>;
    /// The flows.
    async fn flows(&self, query: ListQuery) -> Page<list::Flows>;
    /// A flow's runs.
    async fn flow(&self, name: &str, query: FlowQuery) -> Page<flow::Flow>;
    /// The newest runs.
    async fn runs(&self, query: ListQuery) -> Page<list::Runs>;
    /// A run.
    async fn run(&self, run: i64, query: RunQuery) -> Page<run::Run>;
    /// A try of a task: the run, the task's number, the try's number from 1.
    async fn attempt(&self, run: i64, task: i64, number: u32, query: LogQuery) -> Page<attempt::Attempt>;
    /// The whole log of a try, to be sent as it is.
    async fn whole_log(&self, run: i64, task: i64, number: u32) -> Result<WholeLog, NoPage>;
    /// The tables.
    async fn tables(&self, query: ListQuery) -> Page<list::Tables>;
    /// A table.
    async fn table(&self, name: &str, query: TableQuery) -> Page<table::Table>;
    /// Why an interval stands as it does: `NODE@INTERVAL`, as the command line has it.
    async fn why(&self, target: &str) -> Page<why::Why>;
    /// What a deed is going to do, exactly, with what is filled in so far.
    async fn preview(&self, wish: &Wish, fields: &Fields) -> Page<form::Confirm>;
    /// Does what a form says, and gives the address to go to. Faults of what was filled in come back in a
    /// [`form::Confirm`].
    async fn perform(&self, wish: &Wish, fields: &Fields) -> Result<Performed, NoPage>;
    /// Which state of all that pages tell of is the newest: another number after each change.
    fn serial(&self) -> u64;
    /// Tells what changes: each message is the topics of one moment. It ends with the server.
    fn changes(&self) -> tokio::sync::broadcast::Receiver<std::sync::Arc<[String]>>;
}

/// What became of a form.
#[derive(Clone, Debug)]
pub enum Performed {
    /// It is done, or queued; this page tells of it.
    Done(String),
    /// It cannot be done as it was filled in.
    Refused(Vec<Diagnostic>),
}
