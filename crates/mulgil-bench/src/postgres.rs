//! A PostgreSQL of this machine that holds a ledger, and is stopped, killed and made to hang. The script that makes
//! it and ends it is the one of the tests.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

const SCRIPT: &str = include_str!("../../mulgil-store/tests/it/postgres.sh");

/// Names the folder of the programs that are started, as `cargo xtask` has found or unpacked them.
const VARIABLE: &str = "MULGIL_TEST_POSTGRES";

/// What it is started with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settings {
    /// All is synced, as where data matters.
    Durable,
    /// It survives no power loss, which no round brings about.
    Small,
}

impl Settings {
    fn flags(self) -> &'static str {
        match self {
            Self::Durable => "-c shared_buffers=128MB",
            Self::Small => "-c fsync=off -c full_page_writes=off -c shared_buffers=16MB",
        }
    }
}

/// A PostgreSQL; it goes with its files when this value does, or this process.
pub(crate) struct Postgres {
    folder: PathBuf,
    /// Its input is held open: the database ends with it.
    script: Child,
}

impl Postgres {
    /// Starts a fresh one in a folder that is made. The folder above keeps what it is copied from.
    pub(crate) fn start(folder: PathBuf, settings: Settings) -> Result<Self> {
        /// Who runs it may be somebody else, who has to pass through the folder above.
        const PASSABLE: u32 = 0o711;
        let above = folder.parent().context("a folder without one above it")?;
        fs::set_permissions(above, fs::Permissions::from_mode(PASSABLE))?;
        fs::create_dir(&folder)?;
        let programs = programs().context("there is no PostgreSQL on this machine")?;
        let script = Command::new("sh")
            .args(["-c", SCRIPT, "postgres.sh"])
            .args([&folder, &programs, Path::new(settings.flags()), above])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // It tidies up after whoever started it was interrupted.
            .process_group(0)
            .spawn()?;
        let mut started = Self { folder, script };
        started.expect("started")?;
        Ok(started)
    }

    /// The URL of its database.
    pub(crate) fn url(&self) -> String {
        format!("postgres://mulgil@localhost/postgres?host={}", self.folder.display())
    }

    /// What it has said.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// `stop`, `kill`, `pause`, `resume` or `start`; returns when that is done.
    pub(crate) fn tell(&mut self, word: &str) -> Result<()> {
        writeln!(self.script.stdin.as_mut().context("no input")?, "{word}")?;
        self.expect(word)
    }

    fn expect(&mut self, word: &str) -> Result<()> {
        let mut line = String::new();
        // Nothing is read ahead: there is one line for each word.
        BufReader::with_capacity(1, self.script.stdout.as_mut().context("no output")?).read_line(&mut line)?;
        ensure!(
            line.trim_end() == format!("{word} 0"),
            "PostgreSQL: `{}` for {word}: {}",
            line.trim_end(),
            fs::read_to_string(self.log()).unwrap_or_default()
        );
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        // Its end is that of the database.
        let _ = self.script.wait();
    }
}

/// The folder of its programs.
pub(crate) fn programs() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os(VARIABLE)?);
    folder.join("initdb").exists().then_some(folder)
}
