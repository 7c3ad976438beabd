//! What can go wrong in here, and how it is told: every fault that leaves the crate has a code.

use std::{io, path::Path};

use mulgil_core::{
    codes,
    diagnostic::{Code, Diagnostic, Place, Retry},
    port::Fault,
};
use sqlx::{postgres::PgDatabaseError, sqlite::SqliteError};

use crate::LedgerPlace;

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
                Trouble::Full | Trouble::Io | Trouble::Corrupt | Trouble::ReadOnly | Trouble::Gone
            ),
            Self::Damaged(_) | Self::Refused(_) => false,
        }
    }

    /// As people are told.
    pub(crate) fn into_fault(self, ledger: &LedgerPlace) -> Fault {
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
            return read_only(&Place::file(path), &error.to_string());
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            return disk_full(Place::file(path), "data folder", &error.to_string());
        }
        _ => Diagnostic::error(codes::DISK_FAILED, format!("cannot {doing}: {error}"))
            .with_remedy("look at what the system says about this path, mend it and start again; nothing was changed"),
    };
    boxed(fault, Place::file(path))
}

/// A ledger that was opened for reading was asked to write.
pub(crate) fn not_a_writer(ledger: &LedgerPlace) -> Fault {
    boxed(
        Diagnostic::error(
            codes::BUG,
            "a ledger that was opened for reading only was asked to write",
        )
        .with_remedy("report this with the command that you typed"),
        ledger.as_place(),
    )
}

/// The ledger's schema is not the one that this program knows.
pub(crate) fn schema(ledger: &LedgerPlace, message: String, remedy: &str) -> Fault {
    coded(codes::LEDGER_SCHEMA, message, remedy, ledger.as_place())
}

/// The ledger holds what we did not write.
pub(crate) fn corrupt(ledger: &LedgerPlace, what: &str) -> Fault {
    let message = format!("the ledger is damaged: {what}");
    let remedy = match ledger {
        LedgerPlace::Folder { .. } => {
            "put a backup in its place, or move it away together with its `-wal` and `-shm` files and start again: a \
             new ledger adopts what the tables record of themselves"
        }
        LedgerPlace::Postgres(_) => {
            "restore the schema from a backup, or drop it and start again: a new ledger adopts what the tables record \
             of themselves"
        }
    };
    coded(codes::LEDGER_CORRUPT, message, remedy, ledger.as_place())
}

/// The SQLite library is one that can damage a ledger.
pub(crate) fn sqlite_too_old(found: &str, least: &str, ledger: &LedgerPlace) -> Fault {
    let message = format!("SQLite {found} is linked in, and versions below {least} can damage a ledger");
    let remedy = "build with the bundled SQLite (the `libsqlite3-sys` that the lock file pins)";
    coded(codes::SQLITE_TOO_OLD, message, remedy, ledger.as_place())
}

/// The server is older than what the ledger is tested with.
pub(crate) fn postgres_too_old(found: u32, least: u32, ledger: &LedgerPlace) -> Fault {
    let message = format!(
        "the database is PostgreSQL {}, and the ledger needs {} or newer",
        found / 10_000,
        least / 10_000
    );
    let remedy = "use a newer server, or a ledger in a folder";
    coded(codes::POSTGRES_TOO_OLD, message, remedy, ledger.as_place())
}

/// The schema holds another project's ledger.
pub(crate) fn of_another(found: &str, wanted: &str, ledger: &LedgerPlace) -> Fault {
    let message = format!("this schema holds the ledger of {found}, not of {wanted}");
    let remedy = "name another schema at the end of the URL: `?schema=…`";
    coded(codes::LEDGER_OF_ANOTHER, message, remedy, ledger.as_place())
}

/// The connection broke while the transaction was being committed, and the database did not come back
/// in time to be asked.
pub(crate) fn uncertain(ledger: &LedgerPlace) -> Fault {
    let message = "the ledger's database went away during a commit and has not come back, so it is not known whether \
                   the last step was recorded";
    let remedy = "start the database, then look (`mulgil status`, `mulgil runs`) before doing it again; a fill that was \
                  committed is adopted from its table either way";
    later(codes::LEDGER_UNCERTAIN, message.to_owned(), remedy, ledger)
}

enum Trouble {
    Full,
    Io,
    ReadOnly,
    Corrupt,
    Busy,
    /// The database was stopped, or does not answer.
    Gone,
    /// It did not let us in.
    Login,
    /// It does not let us make or change what we need.
    Rights,
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
    match error {
        sqlx::Error::Database(database) => match database.try_downcast_ref::<PgDatabaseError>() {
            Some(error) => postgres_trouble(error),
            None => sqlite_code(error).map_or(Trouble::Other, sqlite_trouble),
        },
        // So a certificate is told that is not for this host, or signed by nobody whom we know.
        sqlx::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => Trouble::Login,
        // SQLite's errors of the system have codes; these come from a socket.
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::PoolClosed => Trouble::Gone,
        // The server or its certificate is not what the URL asks for.
        sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) => Trouble::Login,
        _ => Trouble::Other,
    }
}

fn sqlite_trouble(code: i32) -> Trouble {
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

/// By the class of the state, and by the state where the class says too little.
fn postgres_trouble(error: &PgDatabaseError) -> Trouble {
    match error.code() {
        "53100" => Trouble::Full,
        // Too long in the queue for the lock, or a statement that took too long.
        "55P03" | "57014" | "40001" | "40P01" => Trouble::Busy,
        // Idle for too long inside a transaction: this process was stopped. A standby only reads.
        "25P03" | "25006" => Trouble::Gone,
        "3D000" => Trouble::Login,
        "42501" => Trouble::Rights,
        code => match code.get(..2) {
            Some("08" | "53" | "57" | "58") => Trouble::Gone,
            Some("28") => Trouble::Login,
            Some("XX") if code != "XX000" => Trouble::Corrupt,
            _ => Trouble::Other,
        },
    }
}

/// SQLite's extended result code.
pub(crate) fn sqlite_code(error: &sqlx::Error) -> Option<i32> {
    let error = error.as_database_error()?;
    error.try_downcast_ref::<SqliteError>()?;
    error.code()?.parse().ok()
}

fn sql_fault(error: &sqlx::Error, ledger: &LedgerPlace) -> Fault {
    let why = error.to_string();
    match trouble(error) {
        Trouble::Full => full(ledger, &why),
        Trouble::ReadOnly => read_only(&ledger.as_place(), &why),
        Trouble::Corrupt => corrupt(ledger, &why),
        Trouble::Io => failed(error, ledger),
        Trouble::Gone if ledger.file().is_some() => failed(error, ledger),
        Trouble::Busy => busy(ledger, &why),
        Trouble::Gone => later(
            codes::LEDGER_GONE,
            format!("the ledger's database cannot be reached or was stopped: {why}"),
            "nothing at first: it is connected to again by itself, and nothing of this step was recorded; if it stays \
             so, start the database or look at the network on the way to it",
            ledger,
        ),
        Trouble::Login => coded(
            codes::LEDGER_LOGIN,
            format!("the ledger's database did not let us in: {why}"),
            "mend user, password, database or `sslmode` in the ledger's URL, or let this user in (`pg_hba.conf`)",
            ledger.as_place(),
        ),
        Trouble::Rights => coded(
            codes::LEDGER_RIGHTS,
            format!("the ledger's database does not allow what the ledger needs: {why}"),
            "let the user make its schema (`grant create on database … to …`), or make the schema for it \
             (`create schema … authorization …`)",
            ledger.as_place(),
        ),
        Trouble::Other => boxed(
            Diagnostic::error(codes::BUG, format!("the ledger did not take our SQL: {why}"))
                .with_remedy("report this with the command that you typed; nothing was changed"),
            ledger.as_place(),
        ),
    }
}

fn busy(ledger: &LedgerPlace, why: &str) -> Fault {
    match ledger {
        LedgerPlace::Folder { .. } => coded(
            codes::LEDGER_BUSY,
            format!("another program has locked the ledger: {why}"),
            "end the program that has this file open (a database browser, a backup) and start again",
            ledger.as_place(),
        ),
        LedgerPlace::Postgres(_) => later(
            codes::LEDGER_BUSY,
            format!("the ledger was locked by another server for too long, or its database is too busy: {why}"),
            "nothing at first: it is tried again, and nothing of this step was recorded; if it stays so, \
             `pg_stat_activity` says who holds the lock",
            ledger,
        ),
    }
}

fn failed(error: &sqlx::Error, ledger: &LedgerPlace) -> Fault {
    let message = format!("the ledger cannot be read or written: {error}");
    let remedy = "mend the disk or the rights on this path, then start again";
    coded(codes::DISK_FAILED, message, remedy, ledger.as_place())
}

fn full(ledger: &LedgerPlace, why: &str) -> Fault {
    let whose = match ledger {
        LedgerPlace::Folder { .. } => "data folder",
        LedgerPlace::Postgres(_) => "database",
    };
    disk_full(ledger.as_place(), whose, why)
}
fn disk_full(place: Place, whose: &str, why: &str) -> Fault {
    let message = format!("the disk of the {whose} took no more bytes ({why}); the ledger is as it was before");
    let remedy = "make room on that disk, then run the same command again: it goes on where it stopped";
    coded(codes::DISK_FULL, message, remedy, place)
}

fn read_only(place: &Place, why: &str) -> Fault {
    let message = format!("the data folder cannot be written ({why})");
    let remedy = "give yourself the right to write there, or name another folder; reading commands work as it is";
    coded(codes::READ_ONLY, message, remedy, place.clone())
}

fn later(code: Code, message: String, remedy: &str, ledger: &LedgerPlace) -> Fault {
    let fault = Diagnostic::error(code, message).with_remedy(remedy);
    Box::new(fault.at(ledger.as_place()).with_retry(Retry::Later))
}

fn coded(code: Code, message: String, remedy: &str, place: Place) -> Fault {
    boxed(Diagnostic::error(code, message).with_remedy(remedy), place)
}

fn boxed(diagnostic: Diagnostic, place: Place) -> Fault {
    Box::new(diagnostic.at(place).with_retry(Retry::AfterHumanFix))
}
