//! Who asks for an attempt: the server that launched it, or one that adopts it.
//!
//! A client gets `hello` when the supervisor has taken the attempt, before it begins, and the exit record
//! as one line of JSON when it has ended. It may write `stop <milliseconds of grace>`. That the other side
//! lives is told by the connection itself: the kernel closes it with its process.

use std::{
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::{UnixListener, UnixStream},
    },
    time::Duration,
};

use crate::exit::Exit;

/// The line that says that an attempt was taken.
pub(crate) const HELLO: &str = "hello\n";

/// Clients at once; one is the rule.
const MAX_CLIENTS: usize = 16;

/// Bytes that a client may write.
const MAX_REQUEST_BYTES: usize = 256;

/// How long a client may take to read what it is told.
const CLIENT_PATIENCE: Duration = Duration::from_secs(2);

pub(crate) struct Control {
    listener: UnixListener,
    clients: Vec<Client>,
}

struct Client {
    stream: UnixStream,
    request: Vec<u8>,
}

impl Control {
    pub(crate) fn new(listener: UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            clients: Vec::new(),
        })
    }

    /// What wakes us: a new client, or what one wrote.
    pub(crate) fn files(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(self.listener.as_fd()).chain(self.clients.iter().map(|client| client.stream.as_fd()))
    }

    /// Greets who is new and gives the grace of the last request to stop.
    pub(crate) fn attend(&mut self) -> Option<Duration> {
        while let Ok((stream, _)) = self.listener.accept() {
            self.greet(stream);
        }
        let mut grace = None;
        self.clients.retain_mut(|client| {
            let is_there = client.read();
            grace = client.take_stop().or(grace);
            is_there
        });
        grace
    }

    /// Tells how it ended. Gives how many clients know.
    pub(crate) fn tell(&mut self, exit: &Exit) -> usize {
        // Nothing in it can fail to be written as JSON.
        let mut line = serde_json::to_vec(exit).unwrap_or_default();
        line.push(b'\n');
        let told = |client: &mut Client| {
            let sent = client
                .stream
                .set_nonblocking(false)
                .and_then(|()| client.stream.write_all(&line));
            sent.is_ok()
        };
        self.clients.iter_mut().map(told).filter(|told| *told).count()
    }

    fn greet(&mut self, mut stream: UnixStream) {
        if self.clients.len() >= MAX_CLIENTS {
            return;
        }
        let greeted = stream
            .set_write_timeout(Some(CLIENT_PATIENCE))
            .and_then(|()| stream.write_all(HELLO.as_bytes()))
            .and_then(|()| stream.set_nonblocking(true));
        if greeted.is_ok() {
            let request = Vec::new();
            self.clients.push(Client { stream, request });
        }
    }
}

impl Client {
    /// Takes what was written; false when it is gone.
    fn read(&mut self) -> bool {
        let mut bytes = [0; MAX_REQUEST_BYTES];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return false,
                Ok(count) if self.request.len() + count > MAX_REQUEST_BYTES => return false,
                Ok(count) => self.request.extend_from_slice(&bytes[..count]),
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }

    fn take_stop(&mut self) -> Option<Duration> {
        let end = self.request.iter().rposition(|byte| *byte == b'\n')?;
        let lines: Vec<u8> = self.request.drain(..=end).collect();
        let text = String::from_utf8(lines).ok()?;
        let millis = text
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("stop ")?.parse().ok())?;
        Some(Duration::from_millis(millis))
    }
}
