//! The events of a run or a backfill, to its end, over as many connections and servers as that takes.

use axum::http::{Method, StatusCode};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    port::Fault,
};
use std::time::Duration;
use tokio::time::Instant;

use super::{
    Client,
    dial::{self, Dialled},
};
use crate::{
    app::VERSION_HEADER,
    event::{Event, Happened},
    verb::Target,
};

/// Bytes of one event at most: more than any server writes.
const LINE_BYTES: usize = 2 << 20;

/// The longest pause between two tries to reach a server again.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What is being followed.
#[derive(Debug)]
pub struct Follow {
    client: Client,
    target: Target,
    /// The number of the next event.
    next: u64,
    reading: Option<Reading>,
    /// When the server was last heard of.
    heard: Instant,
    pause: Duration,
    /// Whether a connection was there before, so that the next try waits for a moment.
    is_again: bool,
    is_over: bool,
}

/// A stream that is open.
#[derive(Debug)]
struct Reading {
    /// Ended with the value.
    _dialled: Dialled,
    body: Incoming,
    buffer: BytesMut,
    /// The version of the server.
    version: String,
}

/// Why a stream could not be opened.
enum Unopened {
    /// The server may come back.
    Lost,
    /// It says no.
    Refused(Fault),
}

impl Follow {
    pub(super) fn new(client: Client, target: Target, from: u64) -> Self {
        Self {
            target,
            next: from.max(1),
            reading: None,
            heard: Instant::now(),
            pause: client.patience.pause,
            is_again: false,
            is_over: false,
            client,
        }
    }

    /// The next event, each once and in order; nothing after the last one. A server that stops says so
    /// with [`Happened::Draining`], and is waited for.
    ///
    /// # Errors
    /// [`codes::NOT_FOUND`] where there is no such thing to follow, [`codes::SERVER_GONE`] where the
    /// server did not come back in time, [`codes::OTHER_VERSION`] where it says what is not known here.
    /// Nothing follows a fault.
    pub async fn next(&mut self) -> Option<Result<Event, Fault>> {
        while !self.is_over {
            let Some(reading) = &mut self.reading else {
                if let Err(fault) = self.open().await {
                    return self.end(fault);
                }
                continue;
            };
            let line = tokio::time::timeout(self.client.patience.silence, reading.line()).await;
            let Ok(Some(line)) = line else {
                self.reading = None;
                continue;
            };
            self.heard = Instant::now();
            if line.is_empty() {
                continue;
            }
            let event = match serde_json::from_slice(&line) {
                Ok(event) => event,
                Err(error) => {
                    let fault = self.client.not_understood(&reading.version, &error);
                    return self.end(fault);
                }
            };
            if let Some(told) = self.take(event) {
                return Some(told);
            }
        }
        None
    }

    /// What an event that arrived is to who follows.
    fn take(&mut self, event: Event) -> Option<Result<Event, Fault>> {
        match &event.what {
            Happened::Draining {} => {
                self.reading = None;
                return Some(Ok(event));
            }
            Happened::Broken { fault } => {
                let fault = Box::new(fault.clone());
                return self.end(fault);
            }
            Happened::Ended(_) => self.is_over = true,
            Happened::Planned { .. }
            | Happened::State { .. }
            | Happened::Started { .. }
            | Happened::Progress { .. }
            | Happened::Log { .. }
            | Happened::Finished { .. }
            | Happened::Narrowed { .. }
            | Happened::Failed { .. }
            | Happened::Said { .. }
            | Happened::Fault { .. } => {}
        }
        self.pause = self.client.patience.pause;
        if event.seq < self.next {
            return None;
        }
        self.next = event.seq + 1;
        Some(Ok(event))
    }

    fn end(&mut self, fault: Fault) -> Option<Result<Event, Fault>> {
        self.is_over = true;
        self.reading = None;
        Some(Err(fault))
    }

    /// Opens the stream where it was left, or waits for a moment.
    async fn open(&mut self) -> Result<(), Fault> {
        if self.is_again {
            tokio::time::sleep(self.pause).await;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
        self.is_again = true;
        match self.try_open().await {
            Ok(reading) => {
                self.reading = Some(reading);
                Ok(())
            }
            Err(Unopened::Refused(fault)) => Err(fault),
            Err(Unopened::Lost) if self.heard.elapsed() < self.client.patience.lost => Ok(()),
            Err(Unopened::Lost) => Err(self.gone()),
        }
    }

    async fn try_open(&mut self) -> Result<Reading, Unopened> {
        // Another server may be there by now, at another port.
        let traces = dial::traces(&self.client.data_dir, &self.client.environment).map_err(Unopened::Refused)?;
        let Some((presence, token)) = traces else {
            return Err(Unopened::Lost);
        };
        (self.client.presence, self.client.token) = (presence, token);
        let mut dialled = self.client.dial().await.map_err(|_| Unopened::Lost)?;
        let (kind, id) = match self.target {
            Target::Run(id) => ("runs", id),
            Target::Backfill(id) => ("backfills", id),
        };
        let path = format!("/api/v1/{kind}/{id}/events?from={}", self.next);
        let asked = dialled.ask(Method::GET, &path, &[], Bytes::new());
        let answered = tokio::time::timeout(self.client.patience.answer, asked).await;
        let Ok(Ok(response)) = answered else {
            return Err(Unopened::Lost);
        };
        if response.status() != StatusCode::OK {
            let refused = self.client.read::<Event>(response).await;
            let fault = refused.map_or_else(|refusal| refusal.fault, |_| self.gone());
            return Err(match fault.code {
                codes::SERVER_STOPPING | codes::SERVER_BUSY | codes::SERVER_GONE => Unopened::Lost,
                _ => Unopened::Refused(fault),
            });
        }
        let version = response
            .headers()
            .get(VERSION_HEADER)
            .and_then(|version| version.to_str().ok());
        Ok(Reading {
            version: version.unwrap_or("unknown").to_owned(),
            _dialled: dialled,
            body: response.into_body(),
            buffer: BytesMut::new(),
        })
    }

    fn gone(&self) -> Fault {
        let (what, remedy) = match self.target {
            Target::Run(id) => (
                format!("run {id}"),
                format!("`mulgil runs show {id}` says how it stands"),
            ),
            Target::Backfill(id) => (
                format!("backfill {id}"),
                "`mulgil backfill ls` says how it stands".to_owned(),
            ),
        };
        let fault = Diagnostic::error(
            codes::SERVER_GONE,
            format!("the server is gone, and {what} could not be followed to its end"),
        );
        Box::new(fault.with_remedy(remedy).with_retry(Retry::Later))
    }
}

impl Reading {
    /// The next line without its end; nothing where the stream is over or makes no sense.
    async fn line(&mut self) -> Option<Bytes> {
        let mut seen = 0;
        loop {
            if let Some(at) = self.buffer[seen..].iter().position(|byte| *byte == b'\n') {
                let mut line = self.buffer.split_to(seen + at + 1);
                line.truncate(seen + at);
                return Some(line.freeze());
            }
            seen = self.buffer.len();
            if seen > LINE_BYTES {
                return None;
            }
            let frame = self.body.frame().await?.ok()?;
            if let Ok(bytes) = frame.into_data() {
                self.buffer.extend_from_slice(&bytes);
            }
        }
    }
}
