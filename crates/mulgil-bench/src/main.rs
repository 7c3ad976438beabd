//! Long runs: benchmarks beside their peers, and kills at random moments. Started by `cargo xtask
//! bench NAME` and `cargo xtask chaos NAME`; what they print is committed under docs/bench.
#![expect(
    clippy::disallowed_methods,
    reason = "this program measures programs: it starts them and reads the clock"
)]

mod answers;
mod chaos;
mod disk;
mod ga4;
mod measure;
mod memory;
mod orchestrator;
mod pages;
mod peers;
mod place;
mod postgres;
mod report;
mod spine;
mod sql;
mod synthetic;
mod tpc;
mod wait;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::{ga4::Form, tpc::Suite};

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["bench", "spine"] => spine::bench(),
        ["bench", "tpch", scales @ ..] => tpc::compare(Suite::H, scales),
        ["bench", "tpcds", scales @ ..] => tpc::compare(Suite::Ds, scales),
        ["bench", "sql", parts @ ..] => sql::bench(parts),
        ["bench", "orchestrator", words @ ..] => orchestrator::bench(words),
        ["bench", "pages", words @ ..] => pages::bench(words),
        ["bench", "memory", rows @ ..] => memory::bench(rows.first().copied()),
        ["bench", "ga4"] => ga4::bench(Form::Json, None),
        ["bench", "ga4", "json", mib] => ga4::bench(Form::Json, Some(mib)),
        ["bench", "ga4", "parquet", mib @ ..] => ga4::bench(Form::Parquet, mib.first().copied()),
        ["chaos", "spine", options @ ..] => chaos::spine::chaos(chaos::spine::Options::parse(options)?),
        ["chaos", "disk", options @ ..] => disk::chaos(chaos::spine::Options::parse(options)?),
        ["chaos", "scheduler", options @ ..] => chaos::scheduler::chaos(options),
        // What a round of `chaos scheduler` starts: itself, and the tasks of its flows.
        ["chaos-round", folder, fault, seed] => chaos::scheduler::round(folder, fault, seed),
        ["task", words @ ..] => return chaos::scheduler::task::run(words),
        _ => bail!(
            "write `bench spine|sql|tpch|tpcds|memory|ga4|orchestrator|pages`, `chaos spine|disk [--rounds N] [--seed N] [--only-seed N]`, \
             or `chaos scheduler [--seed N] [--rounds R] [--only FAULT] [--binary PATH]`"
        ),
    }?;
    Ok(ExitCode::SUCCESS)
}
