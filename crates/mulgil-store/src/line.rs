//! The writer's connection: made again where it is lost, and asked what became of a commit.
//!
//! Each group that is committed to a server carries its number in the row of this writer in `writer`.
//! If the connection breaks while it commits, the writer connects again, waits for the ledger's lock,
//! which the broken session holds until it is over, and reads that row: the number says whether the
//! group is there. So nobody is told of a failure that was none, and nothing is recorded twice.

use std::time::Duration;

use mulgil_core::{crash, port::Fault};

use crate::{
    LedgerPlace,
    connect::{Connect, Pauses, random},
    error::{self, Error},
    sql::{self, Conn},
};

/// A database that does not come back for so many times its patience is asked no more what became of a
/// commit.
const RESOLVE_PATIENCES: u32 = 4;
/// How long the rows of writers that are gone stay.
const WRITERS_KEPT: Duration = Duration::from_hours(7 * 24);

/// The connection that writes.
#[derive(Debug)]
pub(crate) struct Line {
    /// None while it is lost.
    conn: Option<Conn>,
    connect: Connect,
    pauses: Pauses,
    /// This writer among all that ever wrote.
    id: String,
    /// The number of the last group.
    group: i64,
    ledger: LedgerPlace,
}

impl Line {
    /// On a connection that nothing else uses, and the way to make it again.
    pub(crate) fn new(conn: Conn, connect: Connect, ledger: &LedgerPlace) -> Self {
        Self {
            conn: Some(conn),
            connect,
            pauses: Pauses::default(),
            id: format!("{:016x}{:016x}", random(), random()),
            group: 0,
            ledger: ledger.clone(),
        }
    }

    /// Begins a group, on a new connection where the old one is lost.
    pub(crate) async fn begin(&mut self) -> Result<&mut Conn, Fault> {
        if let Some(mut conn) = self.conn.take() {
            match conn.begin_write().await {
                Ok(()) => return Ok(self.conn.insert(conn)),
                // It was stopped while nothing was asked; nothing is lost by asking once more.
                Err(_) if conn.is_lost() => {}
                Err(error) => {
                    self.end(conn).await;
                    return Err(Error::from(error).into_fault(&self.ledger));
                }
            }
        }
        let begun = self.connect().await;
        let conn = begun.map_err(|error| Error::from(error).into_fault(&self.ledger))?;
        Ok(self.conn.insert(conn))
    }

    /// Ends a group so that it stands.
    ///
    /// # Errors
    /// None of it stands; or, as `LEDGER_UNCERTAIN`, the database did not come back to be asked.
    pub(crate) async fn commit(&mut self) -> Result<(), Fault> {
        crash::write();
        self.group += 1;
        let Some(mut conn) = self.conn.take() else {
            return Err(error::uncertain(&self.ledger));
        };
        let committed = match conn {
            Conn::Sqlite(_) => conn.execute("commit").await,
            Conn::Postgres(_) => conn.execute_text(self.mark_and_commit()).await,
        };
        match committed {
            Ok(()) => {
                self.conn = Some(conn);
                Ok(())
            }
            Err(error) if conn.is_lost() => self.resolve(error).await,
            Err(error) => {
                self.end(conn).await;
                Err(Error::from(error).into_fault(&self.ledger))
            }
        }
    }

    /// Ends a group so that nothing of it stands.
    pub(crate) async fn undo(&mut self) {
        if let Some(conn) = self.conn.take() {
            self.end(conn).await;
        }
    }

    /// Ends the connection.
    pub(crate) async fn close(self) {
        if let Some(conn) = self.conn {
            // Nothing is open on it.
            let _ = conn.close().await;
        }
    }

    /// Rolls back and keeps the connection, if it is of any more use.
    async fn end(&mut self, mut conn: Conn) {
        if !conn.is_lost() {
            // SQLite may have rolled back by itself already; then this fails, and nothing is open.
            let _ = conn.execute("rollback").await;
            self.conn = (!conn.is_lost()).then_some(conn);
        }
    }

    /// A new connection with a transaction on it.
    async fn connect(&mut self) -> Result<Conn, sqlx::Error> {
        self.pauses.wait().await;
        let begun = async {
            let mut conn = self.connect.open().await?;
            conn.begin_write().await?;
            Ok(conn)
        };
        let begun: Result<_, sqlx::Error> = begun.await;
        self.pauses.note(&begun);
        begun
    }

    /// What became of a commit whose answer never came.
    async fn resolve(&mut self, lost: sqlx::Error) -> Result<(), Fault> {
        let Connect::Postgres(session) = &self.connect else {
            return Err(Error::from(lost).into_fault(&self.ledger));
        };
        let until = session.patience * RESOLVE_PATIENCES;
        match tokio::time::timeout(until, self.last_group()).await {
            Ok(stands) if stands >= self.group => Ok(()),
            Ok(_) => Err(Error::from(lost).into_fault(&self.ledger)),
            Err(_) => Err(error::uncertain(&self.ledger)),
        }
    }

    /// The number of the last group of ours that stands. Asks until there is an answer.
    async fn last_group(&mut self) -> i64 {
        loop {
            let Ok(mut conn) = self.connect().await else {
                continue;
            };
            let stands: Result<Option<(i64,)>, _> = sql::query_as("select last_group from writer where id = $1")
                .bind(&self.id)
                .fetch_optional(&mut conn)
                .await;
            self.pauses.note(&stands);
            self.end(conn).await;
            if let Ok(row) = stands {
                return row.map_or(0, |(group,)| group);
            }
        }
    }

    fn mark_and_commit(&self) -> String {
        const NOW: &str = "cast(extract(epoch from clock_timestamp()) * 1000000 as bigint)";
        let (id, group) = (&self.id, self.group);
        let mark = format!(
            "insert into writer (id, last_group, at) values ('{id}', {group}, {NOW})
             on conflict (id) do update set last_group = excluded.last_group, at = excluded.at; commit"
        );
        if group > 1 {
            return mark;
        }
        let kept = WRITERS_KEPT.as_micros();
        format!("delete from writer where at < {NOW} - {kept}; {mark}")
    }
}
