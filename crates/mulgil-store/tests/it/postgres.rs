//! A PostgreSQL server for tests: started from the machine's programs on a socket of its own, gone when
//! the test process is, however that ends.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, OnceLock, PoisonError},
};

/// Names the folder of the programs `initdb`, `pg_ctl` and `postgres`.
const VARIABLE: &str = "MULGIL_TEST_POSTGRES";
/// A server that survives no power loss, which no test brings about.
const FAST: &str = "-c fsync=off -c full_page_writes=off -c shared_buffers=16MB";

/// Where a database that was just made is kept, because making one takes longer than copying it.
const KEPT: &str = env!("CARGO_TARGET_TMPDIR");

/// A server.
pub(crate) struct Server {
    folder: PathBuf,
    /// Its input is held open: the server ends with it.
    supervisor: Mutex<Child>,
}

impl Server {
    /// The server that all tests of this process share.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A server of one's own, to be stopped and started.
    pub(crate) fn start() -> Self {
        Self::with(FAST)
    }

    /// A server with settings of one's own.
    #[expect(clippy::disallowed_methods, reason = "the one place where tests start a database")]
    pub(crate) fn with(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap().keep();
        let mut supervisor = Command::new("sh")
            .arg("-c")
            .arg(include_str!("postgres.sh"))
            .arg("postgres.sh")
            .args([folder.as_path(), &programs(), Path::new(settings), Path::new(KEPT)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // What ends a test that hangs ends its group; this one has to live on for the clean-up.
            .process_group(0)
            .spawn()
            .unwrap();
        let started = answer(&mut supervisor);
        assert_eq!(started, "started 0", "{}", log(&folder));
        Self {
            folder,
            supervisor: Mutex::new(supervisor),
        }
    }

    /// The URL of its database, with a schema.
    pub(crate) fn url(&self, schema: &str) -> String {
        let host = self.folder.display();
        format!("postgres://mulgil@localhost/postgres?host={host}&schema={schema}")
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join(".s.PGSQL.5432")
    }

    /// `stop`, `kill`, `pause`, `resume` or `start`; returns when that is done.
    pub(crate) fn tell(&self, word: &str) {
        let mut supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(supervisor.stdin.as_mut().unwrap(), "{word}").unwrap();
        assert_eq!(answer(&mut supervisor), format!("{word} 0"), "{}", log(&self.folder));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let supervisor = self.supervisor.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(supervisor.stdin.take());
        // Its end is that of the server.
        let _ = supervisor.wait();
    }
}

/// One line of what the supervisor says.
fn answer(supervisor: &mut Child) -> String {
    let mut line = String::new();
    let mut out = BufReader::with_capacity(1, supervisor.stdout.as_mut().unwrap());
    out.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).unwrap_or_default()
}

/// The folder of PostgreSQL's programs.
#[expect(clippy::disallowed_methods, reason = "tests are told by it where the server is")]
fn programs() -> PathBuf {
    if let Ok(folder) = std::env::var(VARIABLE) {
        return folder.into();
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut debian: Vec<PathBuf> = debian.flatten().map(|version| version.path().join("bin")).collect();
    debian.sort();
    let folders = debian.into_iter().rev().chain(path.split(':').map(PathBuf::from));
    folders
        .into_iter()
        .find(|folder| folder.join("initdb").exists() && folder.join("pg_ctl").exists())
        .unwrap_or_else(|| panic!("no PostgreSQL on this machine; {VARIABLE} names the folder of its programs"))
}
