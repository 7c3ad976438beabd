//! One file per command: what it does with a project, and what it prints.

pub(crate) mod backfill;
mod check;
mod completions;
mod db;
mod dbt;
mod demo;
mod doctor;
pub(crate) mod explain;
mod flows;
mod gen_docs;
mod handed;
mod handover;
mod help;
mod init;
mod logs;
mod man;
mod nodes;
mod plan;
mod query;
mod rollback;
pub(crate) mod run;
mod runs;
mod schema;
mod serve;
mod sql;
mod status;
mod why;
pub(crate) mod why_checks;
mod why_flow;

use mulgil_core::{diagnostic::Diagnostic, port::Fault};

use crate::cli::{Cli, Command};

/// What ended a command, everything at once. The first one's code gives the exit code.
#[derive(Debug)]
pub(crate) struct Faults(pub(crate) Vec<Diagnostic>);

impl From<Diagnostic> for Faults {
    fn from(fault: Diagnostic) -> Self {
        Self(vec![fault])
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![*fault])
    }
}

/// The exit code of a command, or what ended it.
pub(crate) type Outcome = Result<u8, Faults>;

/// Does what was typed.
pub(crate) async fn perform(cli: Cli) -> Outcome {
    let global = &cli.global;
    match cli.command {
        Command::Demo(flags) => demo::demo(global, &flags).await,
        Command::Init(flags) => init::init(global, &flags),
        Command::Check(flags) => check::check(global, flags),
        Command::Plan(flags) => plan::plan(global, &flags).await,
        Command::Run(flags) => run::run(global, &flags).await,
        Command::Backfill(flags) => backfill::backfill(global, &flags).await,
        Command::Rollback(flags) => rollback::rollback(global, &flags).await,
        Command::Status(flags) => status::status(global, &flags).await,
        Command::Why(flags) => why::why(global, &flags).await,
        Command::Query(flags) => query::query(global, &flags).await,
        Command::Nodes(flags) => nodes::nodes(global, &flags).await,
        Command::Flows(command) => flows::flows(global, &command),
        Command::Dev(flags) => serve::dev(global, &flags).await,
        Command::Serve(flags) => serve::serve(global, &flags).await,
        Command::Db(command) => db::db(global, &command).await,
        Command::Sql(flags) => sql::sql(global, &flags).await,
        Command::Runs(flags) => runs::runs(global, &flags).await,
        Command::Logs(flags) => logs::logs(global, &flags).await,
        Command::Dbt(verb) => dbt::dbt(global, &verb).await,
        Command::Doctor(flags) => doctor::doctor(global, &flags).await,
        Command::Explain(flags) => explain::explain(&flags),
        Command::Schema(flags) => schema::schema(flags),
        Command::Handover(flags) => handover::handover(global, flags).await,
        Command::Help(flags) => help::help(&flags),
        Command::Completions(flags) => completions::completions(&flags),
        Command::Man(flags) => man::man(&flags),
        Command::Complete(flags) => completions::complete(&flags),
        Command::GenDocs => gen_docs::gen_docs(),
    }
}
