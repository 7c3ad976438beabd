//! `POST /api/v1/verbs`: the command line hands a verb over. What was asked once is done once, also
//! where the connection broke before the answer and the same request comes again.

use std::{
    collections::VecDeque,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use futures::FutureExt as _;
use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    port::Fault,
};
use serde_json::json;
use tokio::sync::{Semaphore, watch};

use crate::{
    app::{App, DIGITS, PROTOCOL_HEADER, REQUEST_HEADER, VERSION_HEADER, bug},
    body,
    control::Refusal,
    event::Answer,
    health, problem,
    verb::{PROTOCOL, Verb},
};

/// Requests whose answers are remembered.
const REMEMBERED: usize = 1024;

type Outcome = Result<Answer, Refusal>;

/// Verbs that are being done or were done lately.
pub(crate) struct Recent {
    kept: Mutex<VecDeque<Kept>>,
    room: Arc<Semaphore>,
}

struct Kept {
    request: String,
    verb: Verb,
    outcome: watch::Receiver<Option<Outcome>>,
}

impl Recent {
    /// With room for so many at once.
    pub(crate) fn new(at_once: usize) -> Self {
        Self {
            kept: Mutex::default(),
            room: Arc::new(Semaphore::new(at_once)),
        }
    }
}

pub(crate) async fn perform(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if let Err(fault) = same_protocol(&app, &parts.headers) {
        return problem::of(fault);
    }
    let bytes = match body::json_bytes(&parts, body, app.config.limits.body_bytes).await {
        Ok(bytes) => bytes,
        Err(response) => return *response,
    };
    let started = request_id(&parts.headers)
        .and_then(|id| Ok((id, read(&app, &parts.headers, &bytes)?)))
        .and_then(|(id, verb)| start(&app, id, verb));
    let mut outcome = match started {
        Ok(outcome) => outcome,
        Err(fault) => return problem::of(fault),
    };
    let done = tokio::time::timeout(app.config.limits.verb_wait, outcome.wait_for(Option::is_some)).await;
    match done {
        Err(_) => health::answer(StatusCode::ACCEPTED, &json!({"status": "pending"})),
        Ok(Err(_)) => problem::of(bug("a verb ended without an outcome")),
        Ok(Ok(outcome)) => match outcome.clone() {
            Some(Ok(answer)) => health::answer(StatusCode::OK, &json!(answer)),
            Some(Err(refusal)) => problem::of_refusal(refusal),
            None => problem::of(bug("a verb ended without an outcome")),
        },
    }
}

/// Begins a verb, or finds the one that this request began before.
fn start(app: &Arc<App>, request: Option<String>, verb: Verb) -> Result<watch::Receiver<Option<Outcome>>, Fault> {
    let mut kept = app.recent.kept.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(id) = &request
        && let Some(before) = kept.iter().find(|kept| kept.request == *id)
    {
        return if before.verb == verb {
            Ok(before.outcome.clone())
        } else {
            Err(body::bad("the same request asked for something else before"))
        };
    }
    if app.is_stopping() {
        return Err(stopping());
    }
    let Ok(room) = Arc::clone(&app.recent.room).try_acquire_owned() else {
        return Err(busy("as many verbs are being done as the server does at once"));
    };
    let (tell, outcome) = watch::channel(None);
    if let Some(request) = request {
        if kept.len() >= REMEMBERED {
            kept.pop_front();
        }
        kept.push_back(Kept {
            request,
            verb: verb.clone(),
            outcome: outcome.clone(),
        });
    }
    drop(kept);
    let control = Arc::clone(&app.control);
    app.spawn(async move {
        let _room = room;
        let done = AssertUnwindSafe(control.perform(verb)).catch_unwind().await;
        let done = done.unwrap_or_else(|_| Err(bug("doing the verb ended in a panic").into()));
        // Who asked may have gone, and need not be remembered.
        let _ = tell.send(Some(done));
    });
    Ok(outcome)
}

fn read(app: &App, headers: &HeaderMap, bytes: &[u8]) -> Result<Verb, Fault> {
    serde_json::from_slice(bytes).map_err(|error| {
        let theirs = header(headers, VERSION_HEADER);
        match theirs.filter(|theirs| error.is_data() && *theirs != app.config.version) {
            Some(theirs) => other_version(app, theirs, &format!("does not understand what it was asked: {error}")),
            None => body::bad(&format!("the verb cannot be read: {error}")),
        }
    })
}

fn same_protocol(app: &App, headers: &HeaderMap) -> Result<(), Fault> {
    match header(headers, PROTOCOL_HEADER) {
        Some(theirs) if theirs != PROTOCOL.to_string() => {
            let version = header(headers, VERSION_HEADER).unwrap_or("unknown");
            Err(other_version(app, version, "speaks another wire format"))
        }
        Some(_) | None => Ok(()),
    }
}

fn other_version(app: &App, theirs: &str, what: &str) -> Fault {
    let (ours, theirs) = (&app.config.version, body::shown(theirs));
    let fault = Diagnostic::error(
        codes::OTHER_VERSION,
        format!("the server is mulgil {ours}, the command line is mulgil {theirs}, and the server {what}"),
    );
    Box::new(fault.with_remedy("use the version of the server, or start the server with this version"))
}

fn request_id(headers: &HeaderMap) -> Result<Option<String>, Fault> {
    let Some(id) = header(headers, REQUEST_HEADER) else {
        return Ok(None);
    };
    let is_id = id.len() == DIGITS && id.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_id
        .then(|| Some(id.to_owned()))
        .ok_or_else(|| body::bad("the request's id is not 64 hex digits"))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// There is no room now.
pub(crate) fn busy(message: &str) -> Fault {
    let fault = Diagnostic::error(codes::SERVER_BUSY, message);
    Box::new(fault.with_remedy("try again in a moment").with_retry(Retry::Later))
}

/// Nothing new is taken.
pub(crate) fn stopping() -> Fault {
    let fault = Diagnostic::error(
        codes::SERVER_STOPPING,
        "the server is about to stop and takes nothing new",
    );
    Box::new(
        fault
            .with_remedy("try again when it is back; what runs goes on then")
            .with_retry(Retry::Later),
    )
}
