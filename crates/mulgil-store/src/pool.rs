//! The connections that read: a few, opened when they are needed, one snapshot at a time on each.
//!
//! A connection whose reading was given up half-way is dropped with it; only one that is known to be
//! clean is used again.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{connect::Connect, sql::Conn};

/// Connections that read at the same time; whoever comes then waits.
const READERS: usize = 4;

/// Connections to read with.
#[derive(Debug)]
pub(crate) struct Readers {
    connect: Connect,
    permits: Semaphore,
    idle: Mutex<Vec<Conn>>,
}

/// A connection inside its snapshot.
pub(crate) struct Snapshot<'p> {
    /// To read with.
    pub(crate) conn: Conn,
    readers: &'p Readers,
    _permit: SemaphorePermit<'p>,
}

impl Readers {
    /// Connects to nothing yet.
    pub(crate) fn new(connect: Connect) -> Self {
        Self {
            connect,
            permits: Semaphore::new(READERS),
            idle: Mutex::default(),
        }
    }

    /// Begins a snapshot, on a connection that is at rest or a new one.
    pub(crate) async fn begin(&self) -> Result<Snapshot<'_>, sqlx::Error> {
        let permit = self.permits.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
        let conn = if let Some(conn) = self.resume().await? {
            conn
        } else {
            let mut conn = self.connect.open().await?;
            conn.begin_read().await?;
            conn
        };
        Ok(Snapshot {
            conn,
            readers: self,
            _permit: permit,
        })
    }

    /// A snapshot on a connection that is at rest. Where one was lost meanwhile the others are too: the
    /// database was stopped.
    async fn resume(&self) -> Result<Option<Conn>, sqlx::Error> {
        let idle = self.lock_idle().pop();
        let Some(mut conn) = idle else {
            return Ok(None);
        };
        match conn.begin_read().await {
            Ok(()) => Ok(Some(conn)),
            Err(_) if conn.is_lost() => {
                self.lock_idle().clear();
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes a connection on which nothing is open.
    pub(crate) fn keep(&self, conn: Conn) {
        self.lock_idle().push(conn);
    }

    /// Ends the connections; nobody reads any more.
    pub(crate) async fn close(self) {
        let idle = std::mem::take(&mut *self.lock_idle());
        for conn in idle {
            // Nothing was written on it.
            let _ = conn.close().await;
        }
    }

    fn lock_idle(&self) -> std::sync::MutexGuard<'_, Vec<Conn>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Snapshot<'_> {
    /// Ends the snapshot, and keeps the connection for the next one.
    pub(crate) async fn end(mut self) -> Result<(), sqlx::Error> {
        self.conn.execute("rollback").await?;
        self.readers.keep(self.conn);
        Ok(())
    }
}
