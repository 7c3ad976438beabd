//! What can go wrong in here, and how it is told: every fault that leaves the crate has a code.

use std::{io, path::Path};

use mulgil_core::{
    codes,
    diagnostic::{Code, Diagnostic, Place, Retry},
    port::Fault,
};

/// A failure inside the crate, before the ledger's path is added to it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The database refused or failed.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    /// A fact or a document that cannot be read back.
    #[error("{0}")]
    Damaged(String),
    /// A refusal that is already worded for people.
    #[error("{0}")]
    Refused(Fault),
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Damaged(format!("a stored document cannot be read: {error}"))
    }
}

impl From<Diagnostic> for Error {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Refused(Box::new(diagnostic))
    }
}

impl Error {
    /// Something in the ledger that nothing of ours has written.
    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }

    /// Whether the transaction around it cannot be trusted any more.
    pub(crate) fn ends_transaction(&self) -> bool {
        match self {
            Self::Sql(error) => matches!(
                trouble(error),
                Trouble::Full | Trouble::Io | Trouble::Corrupt | Trouble::ReadOnly
            ),
            Self::Damaged(_) | Self::Refused(_) => false,
        }
    }

    /// As people are told.
    pub(crate) fn into_fault(self, ledger: &Path) -> Fault {
        match self {
            Self::Refused(fault) => fault,
            Self::Damaged(what) => corrupt(ledger, &what),
            Self::Sql(error) => sql_fault(&error, ledger),
        }
    }
}

/// What an I/O error on the data folder means.
pub(crate) fn io_fault(error: &io::Error, doing: &str, path: &Path) -> Fault {
    let fault = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            return read_only(path, &error.to_string());
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => return full(path, &error.to_string()),
        _ => Diagnostic::error(codes::DISK_FAILED, format!("cannot {doing}: {error}"))
            .with_remedy("look at what the system says about this path, mend it and start again; nothing was changed"),
    };
    boxed(fault, path)
}

/// A ledger that was opened for reading was asked to write.
pub(crate) fn not_a_writer(ledger: &Path) -> Fault {
    boxed(
        Diagnostic::error(
            codes::BUG,
            "a ledger that was opened for reading only was asked to write",
        )
        .with_remedy("report this with the command that you typed"),
        ledger,
    )
}

/// The ledger's schema is not the one that this program knows.
pub(crate) fn schema(ledger: &Path, message: String, remedy: &str) -> Fault {
    coded(codes::LEDGER_SCHEMA, message, remedy, ledger)
}

/// The ledger holds what we did not write.
pub(crate) fn corrupt(ledger: &Path, what: &str) -> Fault {
    let message = format!("the ledger is damaged: {what}");
    let remedy = "put a backup in its place, or move it away together with its `-wal` and `-shm` files and start \
                  again: a new ledger adopts what the tables record of themselves";
    coded(codes::LEDGER_CORRUPT, message, remedy, ledger)
}

/// The SQLite library is one that can damage a ledger.
pub(crate) fn sqlite_too_old(found: &str, least: &str, ledger: &Path) -> Fault {
    let message = format!("SQLite {found} is linked in, and versions below {least} can damage a ledger");
    let remedy = "build with the bundled SQLite (the `libsqlite3-sys` that the lock file pins)";
    coded(codes::SQLITE_TOO_OLD, message, remedy, ledger)
}

enum Trouble {
    Full,
    Io,
    ReadOnly,
    Corrupt,
    Busy,
    Other,
}

// Primary result codes of SQLite: the low byte of what it returns.
const SQLITE_BUSY: i32 = 5;
const SQLITE_READONLY: i32 = 8;
const SQLITE_IOERR: i32 = 10;
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_FULL: i32 = 13;
const SQLITE_CANTOPEN: i32 = 14;
const SQLITE_NOTADB: i32 = 26;
// Extended ones that a full disk gives instead of SQLITE_FULL.
const SQLITE_IOERR_WRITE: i32 = 778;
const SQLITE_IOERR_FSYNC: i32 = 1034;
const SQLITE_IOERR_TRUNCATE: i32 = 1546;
const SQLITE_IOERR_SHMSIZE: i32 = 4874;

fn trouble(error: &sqlx::Error) -> Trouble {
    let Some(code) = sqlite_code(error) else {
        return Trouble::Other;
    };
    match code {
        SQLITE_IOERR_WRITE | SQLITE_IOERR_FSYNC | SQLITE_IOERR_TRUNCATE | SQLITE_IOERR_SHMSIZE => Trouble::Full,
        extended => match extended & 0xff {
            SQLITE_FULL => Trouble::Full,
            SQLITE_IOERR | SQLITE_CANTOPEN => Trouble::Io,
            SQLITE_READONLY => Trouble::ReadOnly,
            SQLITE_CORRUPT | SQLITE_NOTADB => Trouble::Corrupt,
            SQLITE_BUSY => Trouble::Busy,
            _ => Trouble::Other,
        },
    }
}

/// SQLite's extended result code.
pub(crate) fn sqlite_code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

fn sql_fault(error: &sqlx::Error, ledger: &Path) -> Fault {
    match trouble(error) {
        Trouble::Full => full(ledger, &error.to_string()),
        Trouble::ReadOnly => read_only(ledger, &error.to_string()),
        Trouble::Corrupt => corrupt(ledger, &error.to_string()),
        Trouble::Io => failed(error, ledger),
        Trouble::Busy => coded(
            codes::LEDGER_BUSY,
            format!("another program has locked the ledger: {error}"),
            "end the program that has this file open (a database browser, a backup) and start again",
            ledger,
        ),
        Trouble::Other if matches!(error, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut) => failed(error, ledger),
        Trouble::Other => boxed(
            Diagnostic::error(codes::BUG, format!("the ledger did not take our SQL: {error}"))
                .with_remedy("report this with the command that you typed; nothing was changed"),
            ledger,
        ),
    }
}

fn failed(error: &sqlx::Error, ledger: &Path) -> Fault {
    let message = format!("the ledger cannot be read or written: {error}");
    let remedy = "mend the disk or the rights on this path, then start again";
    coded(codes::DISK_FAILED, message, remedy, ledger)
}

fn full(path: &Path, why: &str) -> Fault {
    let message = format!("the disk of the data folder took no more bytes ({why}); the ledger is as it was before");
    let remedy = "make room on that disk, then run the same command again: it goes on where it stopped";
    coded(codes::DISK_FULL, message, remedy, path)
}

fn read_only(path: &Path, why: &str) -> Fault {
    let message = format!("the data folder cannot be written ({why})");
    let remedy = "give yourself the right to write there, or name another folder; reading commands work as it is";
    coded(codes::READ_ONLY, message, remedy, path)
}

fn coded(code: Code, message: String, remedy: &str, path: &Path) -> Fault {
    boxed(Diagnostic::error(code, message).with_remedy(remedy), path)
}

fn boxed(diagnostic: Diagnostic, path: &Path) -> Fault {
    Box::new(diagnostic.at(Place::file(path)).with_retry(Retry::AfterHumanFix))
}
