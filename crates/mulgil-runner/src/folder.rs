//! The folder of an attempt: the names in it, and how small files get there safely.
//!
//! ```text
//! ctl            the supervisor listens here while the attempt lives
//! state.json     who supervises and what belongs to it; read by whoever adopts
//! events.pipe    where the task writes its events (`MULGIL_EVENTS`)
//! events         the events as they were taken, masked
//! log            the log, masked and bounded; `log.tail.0` and `.1` while a long one is written
//! exit.json      how it ended; there only once the log is safe on disk
//! ```

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::{
        fd::AsRawFd as _,
        unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place, Retry},
    port::Fault,
};

pub(crate) const CONTROL: &str = "ctl";
pub(crate) const STATE: &str = "state.json";
pub(crate) const EVENTS_PIPE: &str = "events.pipe";
pub(crate) const EVENTS: &str = "events";
pub(crate) const LOG: &str = "log";
pub(crate) const LOG_TAILS: [&str; 2] = ["log.tail.0", "log.tail.1"];
pub(crate) const EXIT: &str = "exit.json";

/// A small file of a folder is read up to here; none of ours is larger.
const SMALL_FILE_BYTES: u64 = 1 << 20;

/// Makes a folder that nobody else may look into, with those above it.
pub(crate) fn create(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Opens a file to append to it, for its owner alone.
pub(crate) fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Puts a small file in place at once, without waiting for the disk: it survives every end of a process,
/// and after a loss of power nobody asks for it.
pub(crate) fn put(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let staged = stage(dir, name, bytes)?.1;
    fs::rename(staged, dir.join(name))
}

/// Writes a small file beside its place.
pub(crate) fn stage(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<(File, PathBuf)> {
    let path = dir.join(format!("{name}.new"));
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)?;
    file.write_all(bytes)?;
    Ok((file, path))
}

/// Puts a staged file, which is on disk already, durably in its place.
pub(crate) fn unstage(dir: &Path, staged: &Path, name: &str) -> io::Result<()> {
    fs::rename(staged, dir.join(name))?;
    File::open(dir)?.sync_all()
}

/// Reads a small file; none where it is not there.
pub(crate) fn read(dir: &Path, name: &str) -> io::Result<Option<Vec<u8>>> {
    let path = dir.join(name);
    match fs::metadata(&path) {
        Ok(meta) if meta.len() > SMALL_FILE_BYTES => Err(io::Error::other(format!("{name} is too large to be ours"))),
        Ok(_) => fs::read(path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A short path of the control socket, whatever the folder's length: addresses of sockets end at 108 bytes.
pub(crate) fn control_address(dir: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{CONTROL}", dir.as_raw_fd()))
}

/// What is said when the folder cannot be used.
pub(crate) fn fault(dir: &Path, what: &str, error: &io::Error) -> Fault {
    let remedy = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space; it is tried again then",
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            "let the user who runs Mulgil write into the data folder"
        }
        _ => "look at the disk and at the rights of the data folder",
    };
    let message = format!("the attempt's folder {} {what}: {error}", dir.display());
    Box::new(
        Diagnostic::error(codes::ATTEMPT_FOLDER, message)
            .at(Place::file(dir))
            .with_remedy(remedy)
            .with_retry(Retry::AfterHumanFix),
    )
}
