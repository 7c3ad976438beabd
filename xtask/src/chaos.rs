//! `cargo xtask chaos scheduler`: rounds of chaos against a server. They live in `mulgil-bench`, which may
//! compile what xtask must not; here it is only built and started.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::shell::{Shell, cargo, target_dir};

/// Runs the rounds that are asked for. Without `--binary` the program under test is built, optimized.
pub(crate) fn scheduler(words: &[&str]) -> Result<()> {
    if words.contains(&"--binary") {
        return start(&bench()?, words);
    }
    cargo().args(["build", "--release", "-p", "mulgil"]).run()?;
    let program = target_dir().join("release/mulgil");
    start(&bench()?, &[words, &["--binary", &program.to_string_lossy()]].concat())
}

/// Runs so many seeds of the faults that need nothing but a program and `/proc`. What else this machine could
/// not do is named by the rounds and fails nothing.
///
/// # Errors
/// Where a round breaks an invariant.
pub(crate) fn seeds(program: &Path, count: u64) -> Result<()> {
    let (count, program) = (count.to_string(), program.to_string_lossy());
    start(&bench()?, &["--seeds", &count, "--binary", &program])
}

/// Builds what does the rounds, with the features that the tests of the workspace build it with.
fn bench() -> Result<PathBuf> {
    cargo().args(["build", "--workspace", "--bin", "mulgil-bench"]).run()?;
    Ok(target_dir().join("debug/mulgil-bench"))
}

fn start(bench: &Path, words: &[&str]) -> Result<()> {
    Shell::new(bench)
        .args(["chaos", "scheduler"])
        .args(words.iter().copied())
        .run()
}
