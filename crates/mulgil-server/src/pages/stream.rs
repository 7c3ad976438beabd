//! `GET /events`: what changes, as server-sent events. A message has the topics of one moment, and the
//! number of the state that came of them; who came too late for some is told `*`, which is everything. The beats
//! between have that number too: whoever holds a page of another state missed a change.

use std::{convert::Infallible, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use futures::{Stream, stream};
use serde_json::json;
use tokio::{
    sync::{OwnedSemaphorePermit, broadcast, watch},
    time::{Interval, MissedTickBehavior},
};

use super::{Asked, NoPage, Pages};
use crate::{
    app::{App, stopped},
    connection::{Busy, Connection},
    problem, verb_route,
};

/// What somebody is told who has to look at everything again.
const ALL: &str = "*";

pub(super) async fn events(State(app): State<Arc<App>>, request: Request) -> Response {
    let asked = Asked::of(app, request.into_parts().0);
    let pages = match asked.pages() {
        Ok(pages) => pages,
        Err(NoPage::Fault(fault) | NoPage::NotFound { fault, .. }) => return problem::of(fault),
    };
    if asked.app.is_stopping() {
        return problem::of(verb_route::stopping());
    }
    let Ok(room) = Arc::clone(&asked.app.streams).try_acquire_owned() else {
        return problem::of(verb_route::busy(
            "as many streams of events are read as the server writes at once",
        ));
    };
    let mut beat = tokio::time::interval(asked.app.config.limits.stream_beat);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let told = Told {
        changes: pages.changes(),
        pages,
        stopping: asked.app.stopping.clone(),
        beat,
        _room: room,
        _busy: asked.parts.extensions.get::<Arc<Connection>>().map(Connection::busy),
    };
    let mut response = Response::new(Body::from_stream(messages(told)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A stream that is being read.
struct Told {
    pages: Arc<dyn Pages>,
    changes: broadcast::Receiver<Arc<[String]>>,
    stopping: watch::Receiver<bool>,
    beat: Interval,
    _room: OwnedSemaphorePermit,
    _busy: Option<Busy>,
}

fn messages(told: Told) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    stream::unfold(told, async |mut told| {
        let next = tokio::select! {
            biased;
            () = stopped(&mut told.stopping) => return None,
            change = told.changes.recv() => match change {
                Ok(topics) => message(told.pages.serial(), &topics),
                Err(broadcast::error::RecvError::Lagged(_)) => message(told.pages.serial(), &[ALL.to_owned()]),
                Err(broadcast::error::RecvError::Closed) => return None,
            },
            // The first beat comes at once: the reader sees that the stream is open, and whether it missed a change.
            _ = told.beat.tick() => beat(told.pages.serial()),
        };
        Some((Ok(next), told))
    })
}

fn beat(serial: u64) -> Bytes {
    Bytes::from(format!("event: beat\ndata: {serial}\n\n"))
}

fn message(serial: u64, topics: &[String]) -> Bytes {
    Bytes::from(format!("data: {}\n\n", json!({ "serial": serial, "topics": topics })))
}
