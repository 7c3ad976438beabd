//! A PostgreSQL of this machine for the ledger, as tests start one, but durable.

use std::{
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

/// Names the folder of the programs `initdb`, `pg_ctl` and `postgres`.
const VARIABLE: &str = "MULGIL_TEST_POSTGRES";

/// Starts and ends it; it is gone with its files when its input ends.
const SUPERVISOR: &str = include_str!("../../../mulgil-store/tests/it/postgres.sh");

/// A server.
pub(crate) struct Postgres {
    folder: PathBuf,
    supervisor: Child,
}

impl Postgres {
    /// Starts one, with all that it syncs.
    pub(crate) fn start() -> Result<Self> {
        let programs = programs().context("there is no PostgreSQL on this machine")?;
        let folder = tempfile::Builder::new().prefix("mulgil-bench-").tempdir()?.keep();
        let kept = tempfile::tempdir()?;
        let mut supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR, "postgres.sh"])
            .args([&folder, &programs, Path::new("-c shared_buffers=128MB"), kept.path()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // An interrupt ends this program; the supervisor then cleans up.
            .process_group(0)
            .spawn()?;
        let out = supervisor.stdout.take().context("stdout is piped")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        let server = Self { folder, supervisor };
        ensure!(
            line.trim() == "started 0",
            "PostgreSQL does not start: `{}`",
            line.trim()
        );
        Ok(server)
    }

    /// The URL of its database.
    pub(crate) fn url(&self) -> String {
        format!("postgres://mulgil@localhost/postgres?host={}", self.folder.display())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        // Its end is that of the server.
        let _ = self.supervisor.wait();
    }
}

/// The folder of its programs: the one that is named, else Debian's newest.
fn programs() -> Option<PathBuf> {
    let given = std::env::var_os(VARIABLE).map(PathBuf::from);
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut debian: Vec<PathBuf> = debian.flatten().map(|version| version.path().join("bin")).collect();
    debian.sort();
    let mut folders = given.into_iter().chain(debian.into_iter().rev());
    folders.find(|folder| {
        ["initdb", "pg_ctl", "postgres"]
            .iter()
            .all(|name| folder.join(name).exists())
    })
}
