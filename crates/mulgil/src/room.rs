//! The room where a folder lies, and whether files can be written into it.

use std::{
    io::{ErrorKind, Write as _},
    path::Path,
};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place, Retry},
    port::Fault,
};
use mulgil_server::Room;

/// Bytes that are written on trial: a disk that has no room for a page has none.
const TRIAL: [u8; 4096] = [0x6d; 4096];

/// The room where a folder lies; nothing of one that is not there.
pub(crate) fn of(dir: &Path) -> Option<Room> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(Room {
        free_bytes: stat.f_bavail * stat.f_frsize,
        total_bytes: stat.f_blocks * stat.f_frsize,
        free_files: stat.f_favail,
        total_files: stat.f_files,
    })
}

/// Of two the one with less room; nothing is known of one that is not there yet.
pub(crate) fn fuller(one: Option<Room>, other: Option<Room>) -> Room {
    let free = |room: &Room| room.free_bytes;
    one.into_iter().chain(other).min_by_key(free).unwrap_or_default()
}

/// The folder itself, or the nearest one above it that is there.
pub(crate) fn nearest(dir: &Path) -> &Path {
    dir.ancestors().find(|above| above.is_dir()).unwrap_or(dir)
}

/// Writes a file without a name and forgets it: whether the folder takes files and bytes.
///
/// # Errors
/// `READ_ONLY`, `DISK_FULL` or `DISK_FAILED`.
pub(crate) fn try_out(dir: &Path) -> Result<(), Fault> {
    let written = tempfile::tempfile_in(dir).and_then(|mut file| {
        file.write_all(&TRIAL)?;
        file.sync_all()
    });
    written.map_err(|error| fault(dir, &error))
}

/// What it means that a file cannot be written in a folder.
pub(crate) fn fault(dir: &Path, error: &std::io::Error) -> Fault {
    let at = dir.display();
    let (code, message, remedy) = match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => (
            codes::READ_ONLY,
            format!("{at} cannot be written ({error})"),
            "give yourself the right to write there, mount it for writing, or name another folder",
        ),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (
            codes::DISK_FULL,
            format!("the disk of {at} takes no more bytes ({error})"),
            "make room on that disk; a server goes on by itself then",
        ),
        _ => (
            codes::DISK_FAILED,
            format!("no file can be written in {at}: {error}"),
            "look at what the system says about this path, and mend it",
        ),
    };
    Box::new(
        Diagnostic::error(code, message)
            .at(Place::file(dir))
            .with_remedy(remedy)
            .with_retry(Retry::AfterHumanFix),
    )
}
