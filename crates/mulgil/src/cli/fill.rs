//! What fills tables, or says what would be filled.

use clap::{Args, Subcommand};

use super::{Select, at_least_one};

/// Flags of `plan`.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// Which nodes
    #[command(flatten)]
    pub(crate) select: Select,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of `run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Which nodes
    #[command(flatten)]
    pub(crate) select: Select,
    /// Only this interval: `2013`, `2013-03`, `2013-03-10`, or `A..B` without B
    #[arg(long, value_name = "INTERVAL")]
    pub(crate) interval: Option<String>,
    /// Then drop the tables and views that the project no longer declares; `plan` lists them
    #[arg(long, conflicts_with_all = ["selectors", "more", "exclude", "interval"])]
    pub(crate) prune: bool,
    /// A parameter of the flow that is run (`mulgil run flow:NAME`); may be given again
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub(crate) params: Vec<String>,
    /// Fill all of it, due or not
    #[arg(long)]
    pub(crate) full: bool,
    /// How many attempts may run at once
    #[arg(long, short = 'j', value_name = "N", value_parser = at_least_one)]
    pub(crate) parallel: Option<usize>,
}

/// `backfill`: makes one, or does something with those that there are.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Backfill {
    /// What is done with those that a server has.
    #[command(subcommand)]
    pub(crate) command: Option<Backfills>,
    /// What is filled.
    #[command(flatten)]
    pub(crate) make: MakeBackfill,
}

/// Backfills that a server has.
#[derive(Debug, Subcommand)]
pub(crate) enum Backfills {
    /// List backfills, newest first, and how far they are
    Ls {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Hold a backfill back: what runs ends, nothing more of it begins
    Pause {
        /// Its number
        #[arg(value_name = "BACKFILL")]
        backfill: i64,
    },
    /// Let a backfill go on that is held back
    Resume {
        /// Its number
        #[arg(value_name = "BACKFILL")]
        backfill: i64,
    },
    /// End a backfill; what of it runs is ended too
    Cancel {
        /// Its number
        #[arg(value_name = "BACKFILL")]
        backfill: i64,
    },
}

/// Flags of `backfill`, which has to be told what to fill.
#[derive(Debug, Args)]
pub(crate) struct MakeBackfill {
    /// Which nodes, or one flow: `flow:NAME`
    #[command(flatten)]
    pub(crate) select: Select,
    /// The first interval
    #[arg(long, value_name = "INTERVAL")]
    pub(crate) from: Option<String>,
    /// The first interval that is not filled any more
    #[arg(long, value_name = "INTERVAL")]
    pub(crate) to: Option<String>,
    /// Only what was never filled
    #[arg(long, conflicts_with_all = ["failed", "stale"])]
    pub(crate) missing: bool,
    /// Only what failed
    #[arg(long, conflicts_with = "stale")]
    pub(crate) failed: bool,
    /// Only what is filled and no longer right
    #[arg(long)]
    pub(crate) stale: bool,
    /// The newest intervals first
    #[arg(long)]
    pub(crate) newest_first: bool,
    /// Percent of the server's slots that backfills of flows may hold together, 1 to 100; 50 when absent
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) share: Option<u8>,
    /// A parameter of the flow; may be given again
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub(crate) params: Vec<String>,
    /// Only say what would be filled
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not wait until the server has filled them
    #[arg(long)]
    pub(crate) detach: bool,
    /// How many intervals may be filled at once; without a server, how many attempts
    #[arg(long, short = 'j', value_name = "N", value_parser = at_least_one)]
    pub(crate) parallel: Option<usize>,
}

/// Flags of `rollback`.
#[derive(Debug, Args)]
pub(crate) struct Rollback {
    /// The node whose table it is
    #[arg(value_name = "NODE")]
    pub(crate) node: String,
    /// The version that the table is to hold again
    #[arg(long, value_name = "VERSION", required_unless_present = "list")]
    pub(crate) to: Option<i64>,
    /// Only show the versions that the table has
    #[arg(long, conflicts_with = "to")]
    pub(crate) list: bool,
    /// Print JSON
    #[arg(long, requires = "list")]
    pub(crate) json: bool,
}
