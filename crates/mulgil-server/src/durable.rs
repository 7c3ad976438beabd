//! Small files of the data folder that only their owner reads: written aside, made durable and then
//! named, so that a reader sees a whole file or none.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use mulgil_core::{
    codes, crash,
    diagnostic::{Diagnostic, Place, Retry},
    port::Fault,
};

/// Read and written by its owner alone.
const PRIVATE: u32 = 0o600;

/// Puts a file in place, durably.
pub(crate) fn put(path: &Path, bytes: &[u8], doing: &str) -> Result<(), Fault> {
    crash::write();
    write(path, bytes).map_err(|error| fault(&error, doing, path))
}

/// What an error of the file system means.
pub(crate) fn fault(error: &io::Error, doing: &str, path: &Path) -> Fault {
    let (code, remedy) = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => (
            codes::READ_ONLY,
            "give the user that runs mulgil the right to write there, and start again",
        ),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            (codes::DISK_FULL, "make room on the disk, and start again")
        }
        _ => (
            codes::DISK_FAILED,
            "look at what the system says about this path, mend it and start again",
        ),
    };
    let fault = Diagnostic::error(code, format!("cannot {doing}: {error}"))
        .at(Place::file(path))
        .with_remedy(remedy)
        .with_retry(Retry::AfterHumanFix);
    Box::new(fault)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let aside = Path::new(&aside);
    // What a killed process left there may have other rights; one holder of the folder writes at a time.
    match fs::remove_file(aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(PRIVATE)
        .open(aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(aside, path)?;
    File::open(folder)?.sync_all()
}
