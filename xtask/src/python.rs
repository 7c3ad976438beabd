//! The Python that tests may use: a virtual environment outside the checkout with the packages of
//! `tests/requirements.txt`, made once and made again when that file changes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::shell::{Shell, root};

/// The variable in which tests find the interpreter.
pub(crate) const VARIABLE: &str = "MULGIL_TEST_PYTHON";

/// The part of the names of tests that need it.
pub(crate) const TESTS: &str = "with_python";

/// The interpreter of the environment under `target`, made where it is missing or out of date.
pub(crate) fn prepare(target: &Path) -> Result<PathBuf> {
    let wanted = fs::read_to_string(root().join("tests/requirements.txt"))?;
    let environment = target.join("test-python");
    let interpreter = environment.join("bin").join("python");
    let stamp = environment.join("requirements.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(interpreter);
    }
    Shell::new("python3")
        .args(["-m", "venv", "--clear"])
        .args([&environment])
        .run()
        .context("no virtual environment (Debian: apt install python3-venv)")?;
    Shell::new(&interpreter)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(["--only-binary", ":all:", "-r", "tests/requirements.txt"])
        .run()
        .context("the packages of tests/requirements.txt cannot be installed")?;
    // Written last: an installation that was cut off is not taken for a whole one.
    fs::write(&stamp, wanted)?;
    Ok(interpreter)
}
