//! One request, from its headers to its answer: who may ask, what answers it, and in which time.

use std::{
    net::SocketAddr,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Request, request::Parts},
    response::Response,
};
use futures::FutureExt as _;
use hyper::body::Incoming;
use mulgil_core::{codes, diagnostic::Diagnostic, port::Fault};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tower_service::Service as _;

use crate::{
    config::Config,
    connection::Connection,
    control::Control,
    guard::{Caller, Guard, protect},
    health::Checkup,
    metrics::Counts,
    pages::{self, Pages, Sessions},
    problem,
    verb_route::Recent,
};

/// The header that names the version of who speaks.
pub(crate) const VERSION_HEADER: &str = "mulgil-version";
/// The header that names the number of the wire format.
pub(crate) const PROTOCOL_HEADER: &str = "mulgil-protocol";
/// The header with digits that the server is to prove itself on.
pub(crate) const CHALLENGE_HEADER: &str = "mulgil-challenge";
/// The header with that proof.
pub(crate) const PROOF_HEADER: &str = "mulgil-proof";
/// The header that names one request, however often it is sent.
pub(crate) const REQUEST_HEADER: &str = "mulgil-request";

/// The digits of a challenge, an instance or a request.
pub(crate) const DIGITS: usize = 64;

/// All that the answers of a server are made of.
pub(crate) struct App {
    pub(crate) control: Arc<dyn Control>,
    /// What pages are made of, where they are served.
    pub(crate) pages: Option<Arc<dyn Pages>>,
    pub(crate) sessions: Sessions,
    pub(crate) config: Config,
    pub(crate) address: SocketAddr,
    pub(crate) instance: String,
    pub(crate) guard: Guard,
    /// Whether the server is about to stop.
    pub(crate) stopping: watch::Receiver<bool>,
    pub(crate) checkup: Checkup,
    pub(crate) counts: Counts,
    pub(crate) recent: Recent,
    pub(crate) streams: Arc<Semaphore>,
    /// Verbs that are being done; who asked may have gone.
    pub(crate) verbs: Mutex<JoinSet<()>>,
}

impl App {
    /// Answers a request; every answer goes through here.
    pub(crate) async fn answer(
        self: Arc<Self>,
        mut router: Router,
        connection: Arc<Connection>,
        request: Request<Incoming>,
    ) -> Response {
        let _busy = connection.busy();
        let (mut parts, body) = request.into_parts();
        let admitted = self.guard.admit(&parts);
        let is_bearer = matches!(admitted, Ok(Caller::Bearer));
        let mut response = match admitted {
            Err(fault) => {
                self.counts.refused(fault.code);
                // Whoever types an address wrong is told so, not that a token is missing.
                if fault.code == codes::NO_TOKEN && self.guard.seeks_page(&parts) {
                    pages::nowhere(Arc::clone(&self), parts)
                } else {
                    problem::of(fault)
                }
            }
            Ok(caller) => {
                let proof = self.proof(&parts);
                parts.extensions.insert(caller);
                parts.extensions.insert(Arc::clone(&connection));
                let answer = router.call(Request::from_parts(parts, Body::new(body)));
                let mut response = self.in_time(answer).await;
                if let Some(proof) = proof {
                    response.headers_mut().insert(PROOF_HEADER, proof);
                }
                response
            }
        };
        self.counts.answered(response.status());
        protect(response.headers_mut());
        if is_bearer {
            self.sign(&mut response);
        }
        response
    }

    /// Whether the server is about to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Does something that goes on when who asked hangs up.
    pub(crate) fn spawn(&self, verb: impl Future<Output = ()> + Send + 'static) {
        let mut verbs = self.verbs.lock().unwrap_or_else(PoisonError::into_inner);
        while verbs.try_join_next().is_some() {}
        verbs.spawn(verb);
    }

    async fn in_time<E>(&self, answer: impl Future<Output = Result<Response, E>>) -> Response {
        let answer = AssertUnwindSafe(answer).catch_unwind();
        match tokio::time::timeout(self.config.limits.request_time, answer).await {
            Ok(Ok(Ok(response))) => response,
            Ok(Ok(Err(_)) | Err(_)) => problem::of(bug("an answer of the server was not finished")),
            Err(_) => {
                let fault = Diagnostic::error(
                    codes::REQUEST_TOO_SLOW,
                    format!(
                        "the request was not there, or not answered, within {} s",
                        self.config.limits.request_time.as_secs()
                    ),
                );
                problem::of(Box::new(
                    fault.with_remedy("send it again; if it stays so, look at `/readyz`"),
                ))
            }
        }
    }

    fn proof(&self, parts: &Parts) -> Option<HeaderValue> {
        let challenge = parts.headers.get(CHALLENGE_HEADER)?.to_str().ok()?;
        let is_challenge = challenge.len() == DIGITS && challenge.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_challenge
            .then(|| self.guard.proof(self.address, &self.instance, challenge))
            .and_then(|proof| HeaderValue::from_str(&proof).ok())
    }

    /// Says which version this is: nothing for strangers.
    fn sign(&self, response: &mut Response) {
        let headers = response.headers_mut();
        if let Ok(version) = HeaderValue::from_str(&self.config.version) {
            headers.insert(VERSION_HEADER, version);
        }
        headers.insert(PROTOCOL_HEADER, HeaderValue::from(crate::verb::PROTOCOL));
    }
}

/// Waits until the server is to stop.
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // Where the sender is gone, the server is too.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Whether whoever asks presented the token.
pub(crate) fn is_bearer(parts: &Parts) -> bool {
    parts.extensions.get::<Caller>() == Some(&Caller::Bearer)
}

/// Something of ours that cannot happen.
pub(crate) fn bug(message: &str) -> Fault {
    let fault = Diagnostic::error(codes::BUG, message);
    Box::new(fault.with_remedy("report this with the command that you typed and the server's log"))
}
