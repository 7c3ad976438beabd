//! The connections of a server: how many there are, which one goes when there are too many, and that
//! none of them holds what it has for ever.

use std::{
    collections::BTreeMap,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Notify,
    time::{Instant, Sleep},
};

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Its number, growing.
    id: u64,
    /// Requests that are being answered, streams among them.
    requests: AtomicUsize,
    /// The turn in which it fell idle; the lowest has been idle for longest.
    idle_since: AtomicU64,
    turns: Arc<AtomicU64>,
    /// Told when it has to make room.
    closed: Notify,
}

impl Connection {
    /// Says that it is answering, for as long as the value lives.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.requests.fetch_add(1, Ordering::SeqCst);
        Busy(Arc::clone(self))
    }

    /// Waits until it has to make room.
    pub(crate) async fn closed(&self) {
        self.closed.notified().await;
    }

    fn is_idle(&self) -> bool {
        self.requests.load(Ordering::SeqCst) == 0
    }

    fn falls_idle(&self) {
        let turn = self.turns.fetch_add(1, Ordering::SeqCst);
        self.idle_since.store(turn, Ordering::SeqCst);
    }
}

/// A connection that is answering.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Connection>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.falls_idle();
        self.0.requests.fetch_sub(1, Ordering::SeqCst);
    }
}

/// All connections that are open.
#[derive(Debug)]
pub(crate) struct Connections {
    limit: usize,
    open: Mutex<BTreeMap<u64, Arc<Connection>>>,
    turns: Arc<AtomicU64>,
}

/// What becomes of a new connection.
pub(crate) enum Admitted {
    /// It is taken.
    Taken(Arc<Connection>),
    /// It is taken, and one that was idle had to go.
    InPlaceOf(Arc<Connection>),
    /// Every other one is at work.
    Full,
}

impl Connections {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            open: Mutex::default(),
            turns: Arc::default(),
        }
    }

    /// Takes a connection. Whoever opens many and asks nothing loses the oldest of them, so that they
    /// never keep others out.
    pub(crate) fn admit(&self) -> Admitted {
        let mut open = self.open();
        let is_full = open.len() >= self.limit;
        if is_full {
            let idle = open.values().filter(|connection| connection.is_idle());
            let oldest = idle.min_by_key(|connection| connection.idle_since.load(Ordering::SeqCst));
            let Some(oldest) = oldest.cloned() else {
                return Admitted::Full;
            };
            oldest.closed.notify_one();
            open.remove(&oldest.id);
        }
        let id = self.turns.fetch_add(1, Ordering::SeqCst);
        let connection = Arc::new(Connection {
            id,
            requests: AtomicUsize::new(0),
            idle_since: AtomicU64::new(id),
            turns: Arc::clone(&self.turns),
            closed: Notify::new(),
        });
        open.insert(id, Arc::clone(&connection));
        if is_full {
            Admitted::InPlaceOf(connection)
        } else {
            Admitted::Taken(connection)
        }
    }

    /// Takes note that a connection is closed.
    pub(crate) fn leave(&self, connection: &Connection) {
        self.open().remove(&connection.id);
    }

    pub(crate) fn count(&self) -> usize {
        self.open().len()
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket whose other side has to read what is written to it.
#[derive(Debug)]
pub(crate) struct Moving {
    socket: TcpStream,
    stall: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Moving {
    /// A socket, and how long a write may wait.
    pub(crate) fn new(socket: TcpStream, stall: Duration) -> Self {
        Self {
            socket,
            stall,
            waiting: None,
        }
    }

    /// Passes on what a write gave, unless it waits for too long.
    fn unless_stalled<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let until = Instant::now() + self.stall;
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        ready!(waiting.as_mut().poll(cx));
        self.waiting = None;
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Moving {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for Moving {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.unless_stalled(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        self.unless_stalled(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.socket).poll_shutdown(cx);
        self.unless_stalled(cx, shut)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, parts);
        self.unless_stalled(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(connections: &Connections) -> Arc<Connection> {
        match connections.admit() {
            Admitted::Taken(connection) | Admitted::InPlaceOf(connection) => connection,
            Admitted::Full => panic!("full"),
        }
    }

    #[test]
    fn the_one_that_is_idle_for_longest_makes_room() {
        let connections = Connections::new(3);
        let [first, second, third] = [0; 3].map(|_| taken(&connections));
        let working = third.busy();
        // The first asked something in the meantime, so the second is idle for longer.
        drop(first.busy());
        let fourth = taken(&connections);
        assert_eq!(connections.count(), 3);
        assert!(!connections.open().contains_key(&second.id));
        let fifth = taken(&connections);
        assert!(!connections.open().contains_key(&first.id));
        let both = (fourth.busy(), fifth.busy());
        assert!(matches!(connections.admit(), Admitted::Full));
        drop(working);
        assert!(matches!(connections.admit(), Admitted::InPlaceOf(_)));
        assert!(!connections.open().contains_key(&third.id));
        drop(both);
        connections.leave(&fourth);
        assert_eq!(connections.count(), 2);
    }
}
