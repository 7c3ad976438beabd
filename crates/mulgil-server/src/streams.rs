//! `GET /api/v1/runs/{id}/events?from=`: one JSON object per line, from a number on, until the end.
//! An empty line now and then says that the server is there.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderValue, header, request::Parts},
    response::Response,
};
use bytes::Bytes;
use futures::{FutureExt as _, Stream, StreamExt as _, stream};
use mulgil_core::{codes, diagnostic::Diagnostic, port::Fault};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{Interval, MissedTickBehavior},
};

use crate::{
    app::{App, bug, stopped},
    body,
    connection::{Busy, Connection},
    control::EventStream,
    event::{Event, Happened},
    problem,
    verb::Target,
    verb_route,
};

/// Bytes of one event at most; what is longer is left out and said.
const EVENT_BYTES: usize = 1 << 20;

/// Bytes of events after which they are written, although more are there.
const BATCH_BYTES: usize = 64 << 10;

/// The media type of events.
const NDJSON: &str = "application/x-ndjson";

pub(crate) async fn events(app: &App, id: &str, target: fn(i64) -> Target, parts: &Parts) -> Response {
    let asked = body::number(id).and_then(|id| Ok((id, body::numbers(parts, ["from"])?)));
    let (id, [from]) = match asked {
        Ok(asked) => asked,
        Err(fault) => return problem::of(fault),
    };
    if app.is_stopping() {
        return problem::of(verb_route::stopping());
    }
    let Ok(room) = Arc::clone(&app.streams).try_acquire_owned() else {
        return problem::of(verb_route::busy(
            "as many streams of events are read as the server writes at once",
        ));
    };
    let from = from.unwrap_or(1).max(1);
    let events = match app.control.follow(target(id), from).await {
        Ok(events) => events,
        Err(fault) => return problem::of(fault),
    };
    let mut beat = tokio::time::interval(app.config.limits.stream_beat);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let followed = Followed {
        events,
        clock: app.config.clock,
        last: from.saturating_sub(1),
        is_over: false,
        stopping: app.stopping.clone(),
        beat,
        _room: room,
        _busy: parts.extensions.get::<Arc<Connection>>().map(Connection::busy),
    };
    let mut response = Response::new(Body::from_stream(lines(followed)));
    let kind = HeaderValue::from_static(NDJSON);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// A stream that is being read.
struct Followed {
    events: EventStream,
    clock: fn() -> mulgil_core::interval::Instant,
    /// The number of the last event that was written.
    last: u64,
    is_over: bool,
    stopping: watch::Receiver<bool>,
    beat: Interval,
    _room: OwnedSemaphorePermit,
    _busy: Option<Busy>,
}

/// What came first.
#[expect(clippy::large_enum_variant, reason = "there is one at a time, for a moment")]
enum Next {
    Stopped,
    Beat,
    Event(Result<Event, Fault>),
}

fn lines(followed: Followed) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> + Send {
    stream::unfold(followed, async |mut followed| {
        if followed.is_over {
            return None;
        }
        let line = followed.next_line().await?;
        Some((Ok(line), followed))
    })
}

impl Followed {
    /// The next line; nothing at the end.
    async fn next_line(&mut self) -> Option<Bytes> {
        let next = tokio::select! {
            biased;
            () = stopped(&mut self.stopping) => Next::Stopped,
            next = self.events.next() => Next::Event(next?),
            _ = self.beat.tick() => Next::Beat,
        };
        Some(match next {
            Next::Stopped => self.last_word(Happened::Draining {}),
            Next::Beat => Bytes::from_static(b"\n"),
            Next::Event(event) => self.batch(event),
        })
    }

    /// The lines of an event and of those that follow it without waiting.
    fn batch(&mut self, first: Result<Event, Fault>) -> Bytes {
        let mut lines = Vec::new();
        let mut next = Some(first);
        while let Some(event) = next.take() {
            match event {
                Ok(event) => {
                    self.last = event.seq;
                    self.is_over = matches!(event.what, Happened::Ended(_));
                    lines.extend_from_slice(&line(&event));
                }
                Err(fault) => lines.extend_from_slice(&self.last_word(Happened::Broken { fault: *fault })),
            }
            if !self.is_over && lines.len() < BATCH_BYTES {
                match self.events.next().now_or_never() {
                    Some(Some(event)) => next = Some(event),
                    Some(None) => self.is_over = true,
                    None => {}
                }
            }
        }
        Bytes::from(lines)
    }

    fn last_word(&mut self, what: Happened) -> Bytes {
        self.is_over = true;
        line(&Event {
            seq: self.last,
            at: (self.clock)(),
            what,
        })
    }
}

fn line(event: &Event) -> Bytes {
    let mut text = serde_json::to_vec(event).unwrap_or_default();
    if text.is_empty() || text.len() >= EVENT_BYTES {
        let fault = if text.is_empty() {
            *bug("an event cannot be written")
        } else {
            Diagnostic::warning(codes::REQUEST_TOO_LARGE, "an event was left out because it is too long")
                .with_remedy("look at what happened with `mulgil runs show` and `mulgil logs`")
        };
        let what = Happened::Fault { fault };
        text = serde_json::to_vec(&Event { what, ..event.clone() }).unwrap_or_default();
    }
    text.push(b'\n');
    Bytes::from(text)
}
