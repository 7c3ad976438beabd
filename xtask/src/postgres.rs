//! The PostgreSQL that tests may start: the machine's own, else the programs of a Python package, which
//! are unpacked once into the folder of builds and never installed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::shell::Shell;

/// The variable in which tests find the folder of its programs.
pub(crate) const VARIABLE: &str = "MULGIL_TEST_POSTGRES";

/// The part of the names of tests that need it.
pub(crate) const TESTS: &str = "with_postgres";

/// A package that holds the programs, and the Python that its file is made for; none is run.
const PACKAGE: &str = "pgserver==0.1.4";
const PYTHON: &str = "3.12";

/// The programs that tests start.
const PROGRAMS: [&str; 3] = ["initdb", "pg_ctl", "postgres"];

/// The folder of the programs: the machine's, or one under `target`.
pub(crate) fn prepare(target: &Path) -> Result<PathBuf> {
    match of_machine() {
        Some(folder) => Ok(folder),
        None => unpacked(target),
    }
}

/// Where the variable says, where Debian puts them, or on the path; the newest first.
fn of_machine() -> Option<PathBuf> {
    let given = std::env::var_os(VARIABLE).map(PathBuf::from);
    let mut debian: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"))
        .collect();
    debian.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    given
        .into_iter()
        .chain(debian.into_iter().rev())
        .chain(std::env::split_paths(&path).collect::<Vec<_>>())
        .find(|folder| has_programs(folder))
}

fn unpacked(target: &Path) -> Result<PathBuf> {
    let folder = target.join("test-postgres");
    let programs = folder.join("pgserver/pginstall/bin");
    let stamp = folder.join("package.txt");
    if fs::read_to_string(&stamp).is_ok_and(|unpacked| unpacked == PACKAGE) {
        return Ok(programs);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    Shell::new("python3")
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
        ])
        .args([
            "--only-binary",
            ":all:",
            "--implementation",
            "cp",
            "--python-version",
            PYTHON,
        ])
        .args(["--root-user-action", "ignore", "--target"])
        .args([&folder])
        .args([PACKAGE])
        .run()
        .with_context(|| format!("no PostgreSQL (Debian: apt install postgresql), and {PACKAGE} cannot be had"))?;
    if !has_programs(&programs) {
        bail!("{PACKAGE} does not hold PostgreSQL's programs for this machine");
    }
    // Written last: what was cut off is not taken for the whole.
    fs::write(&stamp, PACKAGE)?;
    Ok(programs)
}

fn has_programs(folder: &Path) -> bool {
    PROGRAMS.iter().all(|program| folder.join(program).exists())
}
