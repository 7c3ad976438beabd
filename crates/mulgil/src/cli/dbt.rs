//! dbt's commands with dbt's flags, as far as they have a meaning here.

use clap::{Args, Subcommand, ValueEnum};

/// dbt's commands, with dbt's flags, meaning and exit codes.
#[derive(Debug, Subcommand)]
pub(crate) enum Dbt {
    /// Run all models that are selected, due or not; no seeds, snapshots or data tests
    Run(Fill),
    /// Run seeds, models, snapshots and data tests; what follows a failed test is skipped
    Build(Fill),
    /// Run data tests alone
    Test(Test),
    /// Load all seeds that are selected
    Seed(Fill),
    /// Run all snapshots that are selected
    Snapshot(Fill),
    /// List what is selected
    #[command(alias = "list")]
    Ls(Ls),
    /// Print the SQL that models become
    Compile(Compile),
    /// Print some rows of a model or of a query, without making a table
    Show(Show),
    /// Any other of dbt's commands
    #[command(external_subcommand)]
    Other(Vec<String>),
}

/// What names the project's target and variables.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Aim {
    /// The target of the profile
    #[arg(long, short = 't', value_name = "NAME")]
    pub(crate) target: Option<String>,
    /// The folder of profiles.yml
    #[arg(long, value_name = "DIR")]
    pub(crate) profiles_dir: Option<String>,
    /// Variables as a YAML mapping: `'{start: 2024-01-01}'`
    #[arg(long, value_name = "YAML")]
    pub(crate) vars: Option<String>,
}

/// What is selected.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Choice {
    /// Nodes and data tests, in dbt's selectors; all when absent
    #[arg(long, short = 's', aliases = ["models", "model"], short_alias = 'm', value_name = "SELECTOR", num_args = 1..)]
    pub(crate) select: Vec<String>,
    /// Selectors of what is left out
    #[arg(long, value_name = "SELECTOR", num_args = 1..)]
    pub(crate) exclude: Vec<String>,
    /// Which data tests belong to what is selected
    #[arg(long, value_name = "MODE", default_value = "eager")]
    pub(crate) indirect_selection: Indirect,
}

impl Choice {
    /// As a run remembers it.
    pub(crate) fn text(&self) -> String {
        let selected = self.select.iter().map(|word| format!("-s {word}"));
        let excluded = self.exclude.iter().map(|word| format!("--exclude {word}"));
        selected.chain(excluded).collect::<Vec<_>>().join(" ")
    }
}

/// Which data tests belong to what is selected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Indirect {
    /// Those that look at any of it
    #[default]
    Eager,
    /// Those that look at nothing else
    Cautious,
    /// Those that look at nothing else but what it is made of
    Buildable,
    /// Only those that are named
    Empty,
}

/// A kind of thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Resource {
    /// Models
    Model,
    /// Seeds
    Seed,
    /// Snapshots
    Snapshot,
    /// Sources
    Source,
    /// Data tests
    #[value(aliases = ["data_test", "all_tests"])]
    Test,
    /// All of them
    All,
}

/// Flags of what fills tables.
#[derive(Debug, Args)]
pub(crate) struct Fill {
    /// What of the project.
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// Target and variables.
    #[command(flatten)]
    pub(crate) aim: Aim,
    /// Only these kinds (`build`)
    #[arg(long, value_name = "KIND", num_args = 1..)]
    pub(crate) resource_type: Vec<Resource>,
    /// Make incremental models anew
    #[arg(long, short = 'f')]
    pub(crate) full_refresh: bool,
    /// How many attempts may run at once
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Begin nothing more after a failure
    #[arg(long, short = 'x')]
    pub(crate) fail_fast: bool,
    /// Of models by interval: the first time that is filled
    #[arg(long, value_name = "TIME", requires = "event_time_end")]
    pub(crate) event_time_start: Option<String>,
    /// Of models by interval: the time before which is filled
    #[arg(long, value_name = "TIME", requires = "event_time_start")]
    pub(crate) event_time_end: Option<String>,
}

/// Flags of `dbt test`.
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// What of the project.
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// Target and variables.
    #[command(flatten)]
    pub(crate) aim: Aim,
    /// How many nodes are tested at once
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Begin nothing more after a failure
    #[arg(long, short = 'x')]
    pub(crate) fail_fast: bool,
}

/// How a list is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListAs {
    /// As selectors: `shop.marts.orders`
    Selector,
    /// Names
    Name,
    /// Files
    Path,
    /// One object per line
    Json,
}

/// Flags of `dbt ls`.
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// What of the project.
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// Target and variables.
    #[command(flatten)]
    pub(crate) aim: Aim,
    /// Only these kinds
    #[arg(long, value_name = "KIND", num_args = 1..)]
    pub(crate) resource_type: Vec<Resource>,
    /// How they are printed
    #[arg(long, value_name = "FORM", default_value = "selector")]
    pub(crate) output: ListAs,
    /// The keys of each object
    #[arg(long, value_name = "KEY", num_args = 1..)]
    pub(crate) output_keys: Vec<String>,
}

/// Flags of `dbt compile`.
#[derive(Debug, Args)]
pub(crate) struct Compile {
    /// What of the project.
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// Target and variables.
    #[command(flatten)]
    pub(crate) aim: Aim,
    /// SQL to compile in the place of models
    #[arg(long, value_name = "SQL", conflicts_with_all = ["select", "exclude"])]
    pub(crate) inline: Option<String>,
}

/// How rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShowAs {
    /// Aligned columns
    Text,
    /// One array of objects
    Json,
}

/// Flags of `dbt show`.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// What of the project.
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// Target and variables.
    #[command(flatten)]
    pub(crate) aim: Aim,
    /// A query to run in the place of models
    #[arg(long, value_name = "SQL", conflicts_with_all = ["select", "exclude"])]
    pub(crate) inline: Option<String>,
    /// Rows to print at most; -1 for all
    #[arg(long, value_name = "N", default_value_t = 5, allow_negative_numbers = true)]
    pub(crate) limit: i64,
    /// How they are printed
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub(crate) output: ShowAs,
}
