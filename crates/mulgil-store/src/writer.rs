//! The one writer: a task that owns the only writing connection and commits in groups.
//!
//! Requests that wait together share one transaction, each in a savepoint of its own, and each is
//! answered after the commit. So a refused request undoes only itself, and nobody is told of a fact
//! that is not durable. Where several servers write one ledger, a group is the only one from its begin
//! to its end, so what it reads is what it writes on. It knows nothing of what the requests write.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use mulgil_core::{codes, diagnostic::Diagnostic, port::Fault};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::{
    Lease, LedgerPlace,
    error::Error,
    lease::{self, Fence},
    line::Line,
    sql::Conn,
};

/// Requests that may wait; whoever comes then waits to be let in.
const QUEUE_LIMIT: usize = 1024;
/// Requests that one commit may carry.
const GROUP_LIMIT: usize = 128;

/// A boxed future that borrows the writing connection.
pub(crate) type Work<'c, T> = Pin<Box<dyn Future<Output = T> + Send + 'c>>;

/// The way in.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Box<dyn Job>>,
    task: JoinHandle<()>,
    counts: Arc<Counts>,
    fence: Arc<Mutex<Fence>>,
    ledger: LedgerPlace,
}

/// Whether a request is held back by the fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fenced {
    Yes,
    /// It is about leases themselves and looks at them, or changes nothing.
    No,
}

/// How much was written since the start.
#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    commits: AtomicU64,
}

impl Writer {
    /// Starts the task on a connection that nothing else uses.
    pub(crate) fn start(line: Line, ledger: &LedgerPlace) -> Self {
        let (queue, requests) = mpsc::channel(QUEUE_LIMIT);
        let counts = Arc::new(Counts::default());
        let fence: Arc<Mutex<Fence>> = Arc::default();
        let group = Group {
            counts: Arc::clone(&counts),
            fence: Arc::clone(&fence),
            ledger: ledger.clone(),
        };
        Self {
            queue,
            task: tokio::spawn(serve(line, requests, group)),
            counts,
            fence,
            ledger: ledger.clone(),
        }
    }

    /// From the next group on only that is written which the fence lets through.
    pub(crate) fn fence(&self, fence: Fence) {
        *self.fence.lock().unwrap_or_else(PoisonError::into_inner) = fence;
    }

    /// Runs a request in the next group; returns when it is durable, or undone.
    pub(crate) async fn write<T, F>(&self, fenced: Fenced, work: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Conn) -> Work<'c, Result<T, Error>> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let request = Request {
            fenced,
            work,
            answer,
            ledger: self.ledger.clone(),
        };
        if self.queue.send(Box::new(request)).await.is_err() {
            return Err(gone());
        }
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Requests served and commits made since the start.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (
            self.counts.requests.load(Ordering::Relaxed),
            self.counts.commits.load(Ordering::Relaxed),
        )
    }

    /// Serves what waits, then closes the connection.
    pub(crate) async fn close(self) {
        drop(self.queue);
        // A task that panicked has nothing left to close.
        let _ = self.task.await;
    }
}

/// A request whose type is forgotten.
trait Job: Send {
    fn fenced(&self) -> Fenced;
    /// Does the work inside the group's transaction.
    fn run(self: Box<Self>, conn: &mut Conn) -> Work<'_, Done>;
    /// Answers without having done it.
    fn refuse(self: Box<Self>, fault: Fault);
}

struct Request<T, F> {
    fenced: Fenced,
    work: F,
    answer: oneshot::Sender<Result<T, Fault>>,
    ledger: LedgerPlace,
}

/// A request that was worked on: what becomes of its writes, and how to answer it.
struct Done {
    outcome: Outcome,
    /// Told the group's fault, where the group's commit failed.
    answer: Box<dyn FnOnce(Option<Fault>) + Send>,
}

enum Outcome {
    /// Its writes stand.
    Keep,
    /// It was refused: its own writes are undone.
    Undo,
    /// The database failed under it: the whole group is undone.
    Abort(Fault),
}

impl<T, F> Job for Request<T, F>
where
    T: Send + 'static,
    F: for<'c> FnOnce(&'c mut Conn) -> Work<'c, Result<T, Error>> + Send + 'static,
{
    fn fenced(&self) -> Fenced {
        self.fenced
    }

    fn run(self: Box<Self>, conn: &mut Conn) -> Work<'_, Done> {
        Box::pin(async move {
            let Self {
                work, answer, ledger, ..
            } = *self;
            // Whoever asked may have gone meanwhile: a failed send is no matter in any branch.
            match work(conn).await {
                Ok(value) => Done {
                    outcome: Outcome::Keep,
                    answer: Box::new(move |fault| {
                        let _ = answer.send(fault.map_or(Ok(value), Err));
                    }),
                },
                Err(error) => {
                    let ends = error.ends_transaction();
                    let own = error.into_fault(&ledger);
                    Done {
                        outcome: if ends {
                            Outcome::Abort(own.clone())
                        } else {
                            Outcome::Undo
                        },
                        answer: Box::new(move |_| {
                            let _ = answer.send(Err(own));
                        }),
                    }
                }
            }
        })
    }

    fn refuse(self: Box<Self>, fault: Fault) {
        let _ = self.answer.send(Err(fault));
    }
}

/// What groups are committed with.
struct Group {
    counts: Arc<Counts>,
    fence: Arc<Mutex<Fence>>,
    ledger: LedgerPlace,
}

async fn serve(mut line: Line, mut requests: mpsc::Receiver<Box<dyn Job>>, group: Group) {
    let mut waiting = Vec::new();
    while requests.recv_many(&mut waiting, GROUP_LIMIT).await > 0 {
        group.counts.requests.fetch_add(waiting.len() as u64, Ordering::Relaxed);
        group.commit(&mut line, &mut waiting).await;
    }
    // All that was answered is durable already; closing only folds SQLite's log into its file.
    line.close().await;
}

type Answer = Box<dyn FnOnce(Option<Fault>) + Send>;

impl Group {
    /// One transaction for all that wait. Every request is answered, whatever happens.
    async fn commit(&self, line: &mut Line, waiting: &mut Vec<Box<dyn Job>>) {
        let mut answers = Vec::with_capacity(waiting.len());
        let mut waiting = waiting.drain(..);
        let done = match line.begin().await {
            Ok(conn) => self.work(conn, &mut waiting, &mut answers).await,
            Err(fault) => Err(fault),
        };
        let fault = match done {
            Ok(()) => line.commit().await.err(),
            Err(fault) => {
                line.undo().await;
                Some(fault)
            }
        };
        if fault.is_none() {
            self.counts.commits.fetch_add(1, Ordering::Relaxed);
        }
        for answer in answers {
            answer(fault.clone());
        }
        for (job, fault) in waiting.zip(std::iter::repeat_with(|| fault.clone())) {
            job.refuse(fault.unwrap_or_else(gone));
        }
    }

    /// Works on those who wait, each in a savepoint so that refusing one undoes it alone; up to a fault
    /// that undoes them all.
    async fn work(
        &self,
        conn: &mut Conn,
        waiting: &mut std::vec::Drain<'_, Box<dyn Job>>,
        answers: &mut Vec<Answer>,
    ) -> Result<(), Fault> {
        let lost = |error: sqlx::Error| Error::from(error).into_fault(&self.ledger);
        let refused = self.refused(&mut *conn).await?;
        // The savepoint of one is given up together with the next one's beginning, and the last by the
        // commit.
        let mut savepoint = "savepoint request";
        for job in waiting {
            if let Some(fault) = refused.as_ref().filter(|_| job.fenced() == Fenced::Yes) {
                job.refuse(fault.clone());
                continue;
            }
            if let Err(error) = conn.execute(savepoint).await {
                let fault = lost(error);
                job.refuse(fault.clone());
                return Err(fault);
            }
            savepoint = "release request; savepoint request";
            let Done { outcome, answer } = job.run(&mut *conn).await;
            answers.push(answer);
            match outcome {
                Outcome::Keep => {}
                Outcome::Undo => conn.execute("rollback to request").await.map_err(lost)?,
                Outcome::Abort(fault) => return Err(fault),
            }
        }
        Ok(())
    }

    /// Why nothing may be written now but what is about leases. It is looked at inside of the group's
    /// transaction, so nobody can take the lease between this look and the commit.
    async fn refused(&self, conn: &mut Conn) -> Result<Option<Fault>, Fault> {
        let fence = self.fence.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match fence {
            Fence::Open => Ok(None),
            Fence::Closed => Ok(Some(lease::not_held())),
            Fence::Lease(held) => self.still(conn, &held).await,
        }
    }

    async fn still(&self, conn: &mut Conn, held: &Lease) -> Result<Option<Fault>, Fault> {
        match lease::check_now(conn, held).await {
            Ok(()) => Ok(None),
            Err(error) if error.ends_transaction() => Err(error.into_fault(&self.ledger)),
            Err(error) => Ok(Some(error.into_fault(&self.ledger))),
        }
    }
}

fn gone() -> Fault {
    Box::new(
        Diagnostic::error(codes::BUG, "the ledger's writer has ended before its time")
            .with_remedy("start again, and report this with the command that you typed"),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
mod tests {
    use std::path::Path;

    use sqlx::sqlite::SqliteConnectOptions;

    use super::*;
    use crate::{connect::Connect, sql};

    async fn writer(folder: &Path) -> Writer {
        let place = LedgerPlace::folder(folder, "test");
        let file = SqliteConnectOptions::new().filename(place.file().unwrap());
        let connect = Connect::Sqlite(Box::new(file.create_if_missing(true)));
        let mut conn = connect.open().await.unwrap();
        conn.execute("create table line (text text not null)").await.unwrap();
        Writer::start(Line::new(conn, connect, &place), &place)
    }

    async fn insert(writer: &Writer, text: String) -> Result<(), Fault> {
        writer
            .write(Fenced::Yes, move |conn| {
                Box::pin(async move {
                    sql::query("insert into line (text) values ($1)")
                        .bind(text)
                        .execute(conn)
                        .await?;
                    Ok(())
                })
            })
            .await
    }

    async fn run(writer: &Writer, sql: &'static str) {
        let ran = writer.write(Fenced::Yes, move |conn| {
            Box::pin(async move {
                conn.execute(sql).await?;
                Ok(())
            })
        });
        ran.await.unwrap();
    }

    async fn count(writer: &Writer) -> i64 {
        let counted = writer.write(Fenced::Yes, |conn| {
            Box::pin(async move {
                let (count,): (i64,) = sql::query_as("select count(*) from line").fetch_one(conn).await?;
                Ok(count)
            })
        });
        counted.await.unwrap()
    }

    #[tokio::test]
    async fn a_full_disk_is_told_to_all_that_shared_the_transaction_and_the_next_one_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(folder.path()).await;
        insert(&writer, "before".to_owned()).await.unwrap();
        run(&writer, "pragma max_page_count = 8").await;
        let large = || "x".repeat(100_000);
        let (small, full, after) = tokio::join!(
            insert(&writer, "small".to_owned()),
            insert(&writer, large()),
            insert(&writer, "after".to_owned())
        );
        for fault in [small, full, after].map(Result::unwrap_err) {
            assert_eq!(fault.code, codes::DISK_FULL, "{fault}");
            assert_eq!(fault.retry, mulgil_core::diagnostic::Retry::AfterHumanFix);
        }
        assert_eq!(count(&writer).await, 1);
        run(&writer, "pragma max_page_count = 1000").await;
        insert(&writer, large()).await.unwrap();
        assert_eq!(count(&writer).await, 2);
        writer.close().await;
    }
}
