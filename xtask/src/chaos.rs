//! `cargo xtask chaos scheduler`: rounds of chaos against a server. They live in `mulgil-bench`, which may
//! compile what xtask must not; here it is only built and started.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::{
    postgres,
    shell::{Shell, cargo, target_dir},
};

/// Runs the rounds that are asked for. Without `--binary` the program under test is built, optimized.
pub(crate) fn scheduler(words: &[&str]) -> Result<()> {
    let database = postgres::prepare(&target_dir())
        .map_err(|error| eprintln!("{error:#}"))
        .ok();
    if words.contains(&"--binary") {
        return start(&bench()?, words, database.as_deref());
    }
    cargo().args(["build", "--release", "-p", "mulgil"]).run()?;
    let program = target_dir().join("release/mulgil");
    let program = program.to_string_lossy();
    start(
        &bench()?,
        &[words, &["--binary", &program]].concat(),
        database.as_deref(),
    )
}

/// Runs so many seeds of the faults that need nothing but a program, `/proc` and the folder of PostgreSQL's programs.
/// What else this machine could not do is named by the rounds and fails nothing.
///
/// # Errors
/// Where a round breaks an invariant.
pub(crate) fn seeds(program: &Path, first: u64, count: u64, database: Option<&Path>) -> Result<()> {
    let (first, count, program) = (first.to_string(), count.to_string(), program.to_string_lossy());
    let words = ["--seed", &first, "--seeds", &count, "--binary", &program];
    start(&bench()?, &words, database)
}

/// Builds what does the rounds, with the features that the tests of the workspace build it with.
fn bench() -> Result<PathBuf> {
    cargo().args(["build", "--workspace", "--bin", "mulgil-bench"]).run()?;
    Ok(target_dir().join("debug/mulgil-bench"))
}

fn start(bench: &Path, words: &[&str], database: Option<&Path>) -> Result<()> {
    let mut shell = Shell::new(bench)
        .args(["chaos", "scheduler"])
        .args(words.iter().copied());
    if let Some(folder) = database {
        shell = shell.env(postgres::VARIABLE, folder);
    }
    shell.run()
}
