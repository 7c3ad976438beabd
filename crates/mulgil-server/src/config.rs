//! What a server is told, and every bound that it keeps.

use std::{path::PathBuf, time::Duration};

use mulgil_core::interval::Instant;

/// What a server is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder of ledgers: the token and the server's address are kept there.
    pub data_dir: PathBuf,
    /// The environment; its name was checked when the project was read.
    pub environment: String,
    /// The version of the program.
    pub version: String,
    /// The time, now.
    pub clock: fn() -> Instant,
    /// Its bounds.
    pub limits: Limits,
}

/// The bounds of a server. Those that are not here are constants beside what they bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once. Past it the one that has been idle for longest is closed; one more than that
    /// is told to come back.
    pub connections: usize,
    /// Streams of events at once, so that they never take all connections.
    pub streams: usize,
    /// Verbs that are being done at once.
    pub verbs: usize,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Bytes of a request's line and headers after which no more are read; what one more read brings is
    /// looked at.
    pub header_bytes: usize,
    /// Headers of a request.
    pub headers: usize,
    /// How long a request's headers may take; also how long a connection may be idle.
    pub header_time: Duration,
    /// How long a request may take from its headers to its answer.
    pub request_time: Duration,
    /// How long a verb is waited for before the asker is told to ask again.
    pub verb_wait: Duration,
    /// How long a reader may leave what is written to it lying.
    pub write_stall: Duration,
    /// How often a stream with nothing to say says that it is there.
    pub stream_beat: Duration,
    /// How long facts of health are waited for.
    pub health: Duration,
    /// How long connections may go on when the server stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            streams: 64,
            verbs: 32,
            body_bytes: 1 << 20,
            header_bytes: 64 << 10,
            headers: 64,
            header_time: Duration::from_secs(10),
            request_time: Duration::from_secs(30),
            verb_wait: Duration::from_secs(20),
            write_stall: Duration::from_secs(30),
            stream_beat: Duration::from_secs(10),
            health: Duration::from_secs(3),
            drain: Duration::from_secs(10),
        }
    }
}
