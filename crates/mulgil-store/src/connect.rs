//! How a connection to the ledger is made, and how transactions begin on it.
//!
//! On PostgreSQL all that a transaction needs is set inside of it (`set local`), and what has to be
//! one at a time is held by a lock of the transaction: so it also works through a pooler that hands
//! out connections by the transaction. It knows nothing of what is read and written.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use mulgil_core::{port::Fault, project::Fingerprint};
use sqlx::{ConnectOptions, postgres::PgConnectOptions, sqlite::SqliteConnectOptions};

use crate::{
    PostgresPlace,
    sql::{Conn, PgConn},
};

/// The first pause between two tries to connect; it doubles.
const PAUSE_BASE: Duration = Duration::from_millis(50);
/// The longest.
const PAUSE_LIMIT: Duration = Duration::from_secs(2);

/// How to connect.
#[derive(Clone, Debug)]
pub(crate) enum Connect {
    /// To a file.
    Sqlite(Box<SqliteConnectOptions>),
    /// To a server.
    Postgres(Arc<Session>),
}

/// What every connection to a server is made with.
pub(crate) struct Session {
    options: PgConnectOptions,
    /// How long one answer may take.
    pub(crate) patience: Duration,
    /// Begins a snapshot.
    pub(crate) begin_read: String,
    /// Begins a transaction that writes, when no other one does.
    pub(crate) begin_write: String,
    /// The schema's name; it has no sign that ends a quoted name.
    pub(crate) schema: String,
}

/// Tries that failed, and so how long to wait before the next.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    failed: u32,
}

impl Connect {
    /// Connects.
    pub(crate) async fn open(&self) -> Result<Conn, sqlx::Error> {
        match self {
            Self::Sqlite(options) => Ok(Conn::Sqlite(options.connect().await?)),
            Self::Postgres(session) => {
                let connected = tokio::time::timeout(session.patience, session.options.connect()).await;
                let conn = connected.unwrap_or_else(|_| Err(crate::sql::no_answer(session.patience)))?;
                Ok(Conn::Postgres(PgConn::new(conn, Arc::clone(session))))
            }
        }
    }
}

impl Session {
    /// For a place.
    pub(crate) fn new(place: &PostgresPlace) -> Result<Self, Fault> {
        let schema = place.schema().to_owned();
        // The server gives up a little before we do, and so says why. One that says nothing inside of a
        // transaction has been stopped; its session ends before the patience of those who wait for it does. No
        // statement of ours takes as long as it would take to compile it.
        let local = format!(
            "set local search_path to \"{schema}\"; \
             set local jit to off; \
             set local statement_timeout to {statement}; \
             set local idle_in_transaction_session_timeout to {idle}",
            statement = place.patience().as_millis() * 9 / 10,
            idle = place.patience().as_millis() / 2,
        );
        Ok(Self {
            options: place.options()?,
            patience: place.patience(),
            begin_read: format!("begin isolation level repeatable read read only; {local}"),
            begin_write: format!(
                "begin isolation level read committed; {local}; \
                 set local synchronous_commit to on; \
                 select pg_advisory_xact_lock({key})",
                key = lock_key(place.schema()),
            ),
            schema,
        })
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The options hold a password.
        f.debug_struct("Session")
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

impl Pauses {
    /// Waits: not at all before the first try, then anything up to a pause that doubles.
    pub(crate) async fn wait(&self) {
        if self.failed > 0 {
            let longest = PAUSE_LIMIT.min(PAUSE_BASE * 2_u32.pow(self.failed.min(10)));
            let share = random() % (longest.as_micros() as u64 + 1);
            tokio::time::sleep(Duration::from_micros(share)).await;
        }
    }

    /// What came of the try.
    pub(crate) fn note<T, E>(&mut self, result: &Result<T, E>) {
        self.failed = if result.is_ok() {
            0
        } else {
            self.failed.saturating_add(1)
        };
    }
}

/// Anything, without a meaning.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// The lock of a ledger's writers among all locks of the database.
fn lock_key(schema: &str) -> i64 {
    Fingerprint::of_text(&format!("mulgil ledger {schema}")).0 as i64
}
