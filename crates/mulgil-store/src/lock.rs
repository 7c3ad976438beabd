//! One writer per environment: an advisory lock of the operating system on a file in the data
//! folder. It is gone when its process is, however that died. Reading verbs never take it.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::Write,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place, Retry},
    interval::Instant,
    port::Fault,
};
use serde::{Deserialize, Serialize};

use crate::error::io_fault;

/// Tells one boot of a machine from another.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Who holds a data folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// The machine it runs on.
    pub host: String,
    /// The command as typed: `mulgil run`.
    pub command: String,
    /// Since when.
    pub since: Instant,
}

/// The right to write one environment's ledger and tables, for as long as it lives.
#[derive(Debug)]
pub struct DataLock {
    /// Held open, because closing it gives the lock up.
    file: File,
    facts: PathBuf,
}

impl DataLock {
    /// Takes the lock, and writes beside it who has it.
    ///
    /// # Errors
    /// [`codes::DATA_HELD`] when another process has it, naming that one; a coded MG5 fault when
    /// the folder cannot be written.
    pub fn acquire(data_dir: &Path, environment: &str, holder: Holder) -> Result<Self, Fault> {
        fs::create_dir_all(data_dir).map_err(|error| io_fault(&error, "make the data folder", data_dir))?;
        let path = lock_path(data_dir, environment);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| io_fault(&error, "open the lock file", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(held(data_dir, environment, Self::holder(data_dir, environment)));
            }
            Err(TryLockError::Error(error)) => return Err(io_fault(&error, "lock the data folder", &path)),
        }
        let facts = facts_path(data_dir, environment);
        write_facts(&facts, &holder).map_err(|error| io_fault(&error, "write who holds the data folder", &facts))?;
        Ok(Self { file, facts })
    }

    /// What no other process that lives has: this boot of this machine, and the file that is locked. A lease
    /// of that name in the ledger's database is of a process that died, once the lock is taken.
    ///
    /// # Errors
    /// A coded MG5 fault: the lock's file cannot be read.
    pub fn identity(&self) -> Result<String, Fault> {
        let path = Path::new(BOOT_ID);
        let boot = fs::read_to_string(path).map_err(|error| io_fault(&error, "read which boot this is", path))?;
        let file = self.file.metadata();
        let file = file.map_err(|error| io_fault(&error, "look at the lock file", &self.facts))?;
        Ok(format!("{}:{}:{}", boot.trim(), file.dev(), file.ino()))
    }

    /// Who wrote that it holds the folder. Only a conflict of [`Self::acquire`] proves that it
    /// still does: a killed process leaves its facts behind.
    pub fn holder(data_dir: &Path, environment: &str) -> Option<Holder> {
        let text = fs::read(facts_path(data_dir, environment)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Whether a living process holds the folder. To know it of one that a killed process left, the
    /// lock is shared for a moment; where nobody left anything it is not touched.
    pub fn is_held(data_dir: &Path, environment: &str) -> bool {
        Self::holder(data_dir, environment).is_some()
            && File::open(lock_path(data_dir, environment))
                .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

impl Drop for DataLock {
    fn drop(&mut self) {
        // Whoever finds no facts knows no less than the lock itself says, so a failure is no matter.
        let _ = fs::remove_file(&self.facts);
    }
}

fn lock_path(data_dir: &Path, environment: &str) -> PathBuf {
    data_dir.join(format!("{environment}.lock"))
}

fn facts_path(data_dir: &Path, environment: &str) -> PathBuf {
    data_dir.join(format!("{environment}.holder.json"))
}

/// Written aside and renamed, so that a reader sees a whole file or none.
fn write_facts(path: &Path, holder: &Holder) -> std::io::Result<()> {
    let aside = path.with_extension("json.new");
    let mut file = File::create(&aside)?;
    file.write_all(&serde_json::to_vec(holder)?)?;
    drop(file);
    fs::rename(&aside, path)
}

fn held(data_dir: &Path, environment: &str, holder: Option<Holder>) -> Fault {
    let (who, remedy) = match &holder {
        Some(holder) => (
            format!(
                "`{}` (process {} on {}) since {:?}",
                holder.command, holder.pid, holder.host, holder.since
            ),
            format!(
                "wait until process {} ends, or end it; reading commands work meanwhile",
                holder.pid
            ),
        ),
        None => (
            "another process, which is just starting or ending".to_owned(),
            "try again in a moment; reading commands work meanwhile".to_owned(),
        ),
    };
    let message = format!("environment `{environment}` is held by {who}");
    Box::new(
        Diagnostic::error(codes::DATA_HELD, message)
            .at(Place::file(data_dir))
            .with_remedy(remedy)
            .with_retry(Retry::Later),
    )
}
