//! The project's own chores: `cargo xtask test` and its parts. It starts cargo and reads files; it
//! never holds logic of Mulgil itself, so that it compiles in seconds.

mod browser;
mod chaos;
mod generate;
mod metadata;
mod postgres;
mod python;
mod shell;
mod test;
mod tidy;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
cargo xtask <what>

  test             every check and test that this machine can run
  tidy             the rules that no compiler knows: crate edges, error pages, words
  gen [--check]    writes what is generated, or says what is out of date
  deny             licences, advisories and sources of dependencies (needs cargo-deny)
  sim [--seeds N] [--seed N]  the service's nights by seed
  chaos NAME …     kills and full disks, by seed: chaos spine|disk --rounds 100 --seed 1
  chaos scheduler [--seed N] [--rounds R] [--jobs N] [--only FAULT] [--binary PATH] [--write]
                   a running server, broken in every way that we know
  bench NAME       benchmarks beside their peers: bench spine|sql|tpch|tpcds|memory|ga4|pages|
                   orchestrator [PART…] [PROGRAM…];
                   MULGIL_BENCH_PROGRAM names another program, MULGIL_BENCH_DIR the folder for data
";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["test"] => return Ok(test::run()),
        ["tidy"] => tidy::run(),
        ["gen"] => generate::run(generate::Mode::Write),
        ["gen", "--check"] => generate::run(generate::Mode::Check),
        ["deny"] => deny(),
        ["sim", rest @ ..] => simulate(rest),
        ["chaos", "scheduler", rest @ ..] => chaos::scheduler(rest),
        [verb @ ("chaos" | "bench"), rest @ ..] => long_run(verb, rest),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        [] => bail!("say what to do\n\n{USAGE}"),
        unknown => bail!("`{}` is not known here\n\n{USAGE}", unknown.join(" ")),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// Runs cargo-deny over `deny.toml`; where it is not installed it says so and how to get it.
fn deny() -> Result<()> {
    if !shell::cargo().args(["deny", "--version"]).succeeds() {
        let missing = "not run: cargo-deny is not installed\ndo: cargo install cargo-deny --locked";
        if shell::is_ci() {
            bail!("{missing}");
        }
        eprintln!("{missing}");
        return Ok(());
    }
    // Apart, because only the advisories need the network.
    let check = |what: &[&str]| shell::cargo().args(["deny", "--workspace", "check"]).args(what).run();
    check(&["bans", "licenses", "sources"])?;
    check(&["advisories"])
}

/// The simulation is a test of the scheduler, run over as many seeds as one likes, optimized.
fn simulate(flags: &[&str]) -> Result<()> {
    let (name, value) = match flags {
        [] => ("MULGIL_SIM_SEEDS", "200"),
        ["--seeds", count] => ("MULGIL_SIM_SEEDS", *count),
        ["--seed", seed] => ("MULGIL_SIM_SEED", *seed),
        unknown => bail!("`{}` is not known here\n\n{USAGE}", unknown.join(" ")),
    };
    shell::cargo()
        .args([
            "test",
            "--release",
            "-p",
            "mulgil-scheduler",
            "--test",
            "it",
            "simulation",
        ])
        .env(name, value)
        .run()
}

/// Long runs live in `mulgil-bench`, which may compile what xtask must not.
fn long_run(verb: &str, rest: &[&str]) -> Result<()> {
    // The bench program starts the program itself, which stands beside it, or which is named.
    if std::env::var_os("MULGIL_BENCH_PROGRAM").is_none() {
        shell::cargo().args(["build", "--release", "-p", "mulgil"]).run()?;
    }
    let mut bench = shell::cargo()
        .args(["run", "--release", "-p", "mulgil-bench", "--", verb])
        .args(rest.iter().copied());
    // Where there is none, what needs it is named as not run.
    if let Ok(folder) = postgres::prepare(&shell::target_dir()) {
        bench = bench.env(postgres::VARIABLE, folder);
    }
    bench.run()
}
