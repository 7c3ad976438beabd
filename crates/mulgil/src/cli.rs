//! What can be typed. These comments are the manual: `mulgil help` and the reference print them.

pub(crate) mod dbt;
mod fill;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::fill::{Backfill, Backfills, MakeBackfill, Plan, Rollback, Run};

/// Mulgil keeps intervals filled: it schedules and transforms tables, fills their holes, and says why.
#[derive(Debug, Parser)]
#[command(
    name = "mulgil",
    version,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    /// What applies to every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// A count of things that cannot be none.
fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("write a number from 1".to_owned()),
        Ok(count) => Ok(count),
        Err(_) => Err("it is no whole number".to_owned()),
    }
}

/// What applies to every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// The project folder, or any folder inside it
    #[arg(short = 'C', long, global = true, value_name = "DIR", default_value = ".")]
    pub(crate) project_dir: PathBuf,
    /// The environment: each has its own ledger and its own schema prefix or warehouse; without it `dev`, or the target of a dbt project
    #[arg(long, global = true, value_name = "NAME", env = "MULGIL_ENV")]
    pub(crate) env: Option<String>,
    /// A variable for `var('name')`, over the one in mulgil.yml; may be given again
    #[arg(long = "var", global = true, value_name = "NAME=VALUE")]
    pub(crate) vars: Vec<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a small team's project in a new folder, fill it, say what is wrong with it on purpose, and serve it
    Demo(Demo),
    /// Make a small project that runs at once, with comments that tell what is what
    Init(Init),
    /// Read the project and say everything that is wrong with it
    Check(Json),
    /// Show what is due, and why; changes nothing
    Plan(Plan),
    /// Fill what is due, then run its data tests
    #[command(visible_alias = "build")]
    Run(Run),
    /// Fill the intervals that are named, filled or not
    Backfill(Backfill),
    /// Take a table back to an earlier version; nothing fills it again by itself then
    Rollback(Rollback),
    /// Show how every node stands; or those that are named, range by range
    Status(Status),
    /// Say how one interval stands and why
    Why(Why),
    /// Run a query over the project's tables
    Query(Query),
    /// What the project's tables and views are
    #[command(subcommand)]
    Nodes(Nodes),
    /// The flows: schedules and the steps that they start
    #[command(subcommand)]
    Flows(Flows),
    /// Serve while you work on the project: what you save is loaded at once
    Dev(Serve),
    /// Keep time: run flows, fill what is due, and answer on this machine, until it is told to end
    Serve(Serve),
    /// The ledger's database: bring it up to date, copy it to another
    #[command(subcommand)]
    Db(Db),
    /// Type statements and see their results; or run those of a script
    Sql(Sql),
    /// What ran, and ending what does
    #[command(subcommand)]
    Runs(Runs),
    /// Print what a run, or one attempt, said
    Logs(Logs),
    /// Do what one of dbt's commands does, with its flags
    #[command(subcommand)]
    Dbt(dbt::Dbt),
    /// Look at all that the project needs of this machine: what is wrong, and how to mend it; changes nothing
    Doctor(Doctor),
    /// Explain an error code
    Explain(Explain),
    /// Print the JSON Schema of the project's files, by which editors complete and check them
    Schema(Schema),
    /// Write one document: what runs, when, why, for whom, on whose keys, and what needs a person now
    Handover(Json),
    /// Say how a command is written: `mulgil help backfill`
    Help(Help),
    /// Print the script that completes names of this project on the command line
    Completions(Completions),
    /// Print the manual page, or write that of each command into a folder
    Man(Man),
    /// Say what may stand next on a command line; for the scripts of `completions`
    #[command(hide = true)]
    Complete(Complete),
    /// Print the reference of all commands as Markdown
    #[command(hide = true)]
    GenDocs,
}

/// Flags of `help`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Help {
    /// The command; all of them when absent
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// `--json` of the reading commands.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Json {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which nodes: what `plan`, `run`, `backfill` and `status` take.
#[derive(Clone, Debug, Args)]
pub(crate) struct Select {
    /// Nodes: `sales`, `sales[country=kr]`, `sales@2013-03`, `+sales`, `2+sales+1`, `@sales`,
    /// `staging`, `models/staging`, `tag:daily`, `tag:daily,sales+`; all when absent (`backfill` has to be told).
    /// `run` and `backfill` also take a flow alone: `flow:NAME`
    #[arg(value_name = "SELECTOR")]
    pub(crate) selectors: Vec<String>,
    /// Further selectors, as dbt takes them
    #[arg(long = "select", short = 's', value_name = "SELECTOR", num_args = 1..)]
    pub(crate) more: Vec<String>,
    /// Selectors of what is left out
    #[arg(long, value_name = "SELECTOR", num_args = 1..)]
    pub(crate) exclude: Vec<String>,
}

impl Select {
    /// All selectors, wherever they stand.
    pub(crate) fn chosen(&self) -> Vec<String> {
        [self.selectors.as_slice(), self.more.as_slice()].concat()
    }

    /// Whether anything was named, or left out.
    pub(crate) fn is_narrow(&self) -> bool {
        !(self.selectors.is_empty() && self.more.is_empty() && self.exclude.is_empty())
    }

    /// As a run remembers it.
    pub(crate) fn text(&self) -> String {
        let mut words = self.chosen();
        words.extend(self.exclude.iter().map(|left_out| format!("--exclude {left_out}")));
        words.join(" ")
    }
}

/// Flags of `demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// The folder to make; it must not exist
    #[arg(value_name = "DIR", default_value = "mulgil-demo")]
    pub(crate) dir: PathBuf,
    /// The day after the last one that there is data of, for the same demo at any time; today in Seoul when absent
    #[arg(long, value_name = "DATE")]
    pub(crate) until: Option<jiff::civil::Date>,
    /// Only fill the tables; serve nothing
    #[arg(long)]
    pub(crate) no_serve: bool,
    /// The port on this machine; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = PORT)]
    pub(crate) port: u16,
    /// How many attempts may run at once
    #[arg(long, short = 'j', value_name = "N", value_parser = at_least_one)]
    pub(crate) parallel: Option<usize>,
}

/// Flags of `init`.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The folder, which is made if it is not there; without a project in it
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
}

/// Flags of `status`.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Which nodes
    #[command(flatten)]
    pub(crate) select: Select,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of `why`.
#[derive(Debug, Args)]
pub(crate) struct Why {
    /// The node or flow and its interval: `flights@2013-03-10`, `sales[country=kr]@2013-03`, `flow:daily@2013-03-10`
    #[arg(value_name = "NODE@INTERVAL")]
    pub(crate) target: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// How a result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns
    Table,
    /// Comma-separated, with a header line
    Csv,
    /// One array of objects
    Json,
    /// A Parquet file
    Parquet,
    /// An Excel workbook
    Xlsx,
}

/// How a result is written where it is read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TextFormat {
    /// Aligned columns
    Table,
    /// Comma-separated, with a header line
    Csv,
    /// One array of objects
    Json,
}

/// Flags of `query`.
#[derive(Debug, Args)]
pub(crate) struct Query {
    /// The statements, with `;` between them; `-` reads them from standard input
    #[arg(value_name = "SQL")]
    pub(crate) sql: String,
    /// How the result is written; as the file's ending says when absent, else `table`
    #[arg(long, short = 'o', value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
    /// A new file for the result; it is there when it is whole
    #[arg(long, short = 'f', value_name = "PATH")]
    pub(crate) output_file: Option<PathBuf>,
    /// Write over the file if it is there
    #[arg(long, requires = "output_file")]
    pub(crate) force: bool,
    /// Rows to print at most
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// Seconds after which a statement is ended
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// Read all tables as they were at this moment
    #[arg(long, value_name = "TIME")]
    pub(crate) as_of: Option<String>,
}

/// Flags of `sql`.
#[derive(Debug, Args)]
pub(crate) struct Sql {
    /// A script to run, up to its first failing statement; standard input when absent
    #[arg(long, short = 'f', value_name = "PATH")]
    pub(crate) file: Option<PathBuf>,
    /// How results are written
    #[arg(long, short = 'o', value_name = "FORMAT", default_value = "table")]
    pub(crate) output: TextFormat,
    /// Seconds after which a statement is ended
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
}

/// What the project's tables and views are.
#[derive(Debug, Subcommand)]
pub(crate) enum Nodes {
    /// List every node: what it is, where it lies, how large it is
    Ls {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one node: its versions, columns, readers, and its data tests with rows that break them
    Show {
        /// The node
        #[arg(value_name = "NODE")]
        node: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// The flows.
#[derive(Debug, Subcommand)]
pub(crate) enum Flows {
    /// List every flow: when it starts, how its time is cut, whom to ask
    Ls {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one flow: its parameters and steps
    Show {
        /// The flow
        #[arg(value_name = "FLOW")]
        flow: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// The port of a server, when nobody says.
const PORT: u16 = 4455;

/// Flags of `serve`.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The port on this machine; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = PORT)]
    pub(crate) port: u16,
    /// How many steps of flows may run at once
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) slots: Option<usize>,
    /// How many tables may be filled at once
    #[arg(long, short = 'j', value_name = "N", value_parser = at_least_one)]
    pub(crate) parallel: Option<usize>,
}

/// The ledger's database.
#[derive(Debug, Subcommand)]
pub(crate) enum Db {
    /// Make the ledger, or bring it up to date; every command that writes does so too
    Migrate,
    /// Copy the ledger into an empty database and compare both; then change `ledger:` in mulgil.yml
    Copy {
        /// Where to: `postgres://user:password@host/database`, or `file` for the one in `.mulgil`
        #[arg(long, value_name = "URL", env = "MULGIL_DB_TO", hide_env_values = true)]
        to: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// What ran.
#[derive(Debug, Subcommand)]
pub(crate) enum Runs {
    /// End a run of a flow that goes on in a server; what it does `finally` is still done
    Cancel {
        /// Its number
        #[arg(value_name = "RUN")]
        run: i64,
    },
    /// Do a run of a flow again: what failed in it, and what did not begin because of that
    Retry {
        /// Its number
        #[arg(value_name = "RUN")]
        run: i64,
        /// All of it, as a new run
        #[arg(long)]
        all: bool,
        /// All of it, as a new run, by the flow as it is now
        #[arg(long)]
        latest: bool,
    },
    /// List runs, newest first
    Ls {
        /// How many
        #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one run with its task runs and attempts
    Show {
        /// Its number; the newest when absent
        run: Option<i64>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Flags of `logs`.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The run's number; the newest when absent
    #[arg(value_name = "RUN")]
    pub(crate) run: Option<i64>,
    /// One attempt of it
    #[arg(long, value_name = "ATTEMPT")]
    pub(crate) attempt: Option<i64>,
    /// Then print what is said until the run has ended
    #[arg(long, short = 'f')]
    pub(crate) follow: bool,
}

/// Files that have a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    /// `mulgil.yml`
    Project,
    /// The files of `flows`
    Flow,
}

/// Flags of `schema`.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Schema {
    /// Of which files
    #[arg(value_name = "WHAT", default_value = "project")]
    pub(crate) of: SchemaOf,
}

/// Flags of `explain`.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The code, as an error prints it: MG1104; all codes when absent
    #[arg(value_name = "CODE")]
    pub(crate) code: Option<String>,
}

/// Flags of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// The port that a server would take
    #[arg(long, value_name = "PORT", default_value_t = PORT)]
    pub(crate) port: u16,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// Bash 4 or newer: `source <(mulgil completions bash)`
    Bash,
    /// Zsh: `source <(mulgil completions zsh)`, after `compinit`
    Zsh,
    /// fish: `mulgil completions fish | source`
    Fish,
}

/// Flags of `completions`.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

/// Flags of `complete`.
#[derive(Debug, Args)]
pub(crate) struct Complete {
    /// The shell that asks
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
    /// The signs at which the shell divides words besides spaces
    #[arg(long, value_name = "SIGNS", default_value = "", allow_hyphen_values = true)]
    pub(crate) breaks: String,
    /// The words so far, the one to be completed last; for bash the line in one
    #[arg(value_name = "WORDS", last = true)]
    pub(crate) words: Vec<String>,
}

/// Flags of `man`.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The folder for the pages of all commands; it is made where it is not there
    #[arg(value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}
