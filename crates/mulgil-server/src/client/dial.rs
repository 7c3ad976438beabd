//! A connection to a server that has proven who it is.

use std::{path::Path, time::Duration};

use axum::http::{HeaderValue, Method, Request, Response, header};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use mulgil_core::port::Fault;
use tokio::net::TcpStream;

use crate::{
    app::{CHALLENGE_HEADER, PROOF_HEADER, PROTOCOL_HEADER, VERSION_HEADER},
    exchange::{self, Exchange},
    presence::Presence,
    random,
    token::Token,
    verb::PROTOCOL,
};

/// Bytes of the answer that bears the proof.
const PROOF_ANSWER_BYTES: usize = 4096;

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missed {
    /// Nobody is there, or somebody else.
    Nobody,
    /// Somebody is there and does not answer.
    Silent,
}

/// A connection to a server that knows the token.
#[derive(Debug)]
pub(crate) struct Dialled {
    exchange: Exchange,
    host: String,
    bearer: HeaderValue,
    version: String,
}

/// What a server left in the data folder, where that is enough to reach one.
pub(crate) fn traces(data_dir: &Path, environment: &str) -> Result<Option<(Presence, Token)>, Fault> {
    let Some(presence) = Presence::read(data_dir, environment)? else {
        return Ok(None);
    };
    if !presence.address.ip().is_loopback() {
        return Ok(None);
    }
    Ok(Token::load(data_dir, environment)?.map(|token| (presence, token)))
}

/// Connects, and has the other side prove that it is the server that wrote where it is.
pub(crate) async fn dial(
    presence: &Presence,
    token: &Token,
    version: &str,
    within: Duration,
) -> Result<Dialled, Missed> {
    let connected = tokio::time::timeout(within, TcpStream::connect(presence.address)).await;
    let socket = connected.map_err(|_| Missed::Silent)?.map_err(|_| Missed::Nobody)?;
    let _ = socket.set_nodelay(true);
    let exchange = Exchange::over(socket).await.map_err(|_| Missed::Nobody)?;
    let bearer = HeaderValue::from_str(&format!("Bearer {}", token.hex())).map_err(|_| Missed::Nobody)?;
    let mut dialled = Dialled {
        exchange,
        host: presence.address.to_string(),
        bearer,
        version: version.to_owned(),
    };
    let proven = dialled.is_proven(presence, token);
    match tokio::time::timeout(within, proven).await {
        Err(_) => Err(Missed::Silent),
        Ok(Some(true)) => Ok(dialled),
        Ok(Some(false) | None) => Err(Missed::Nobody),
    }
}

impl Dialled {
    /// Asks as the bearer of the token.
    pub(crate) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        extra: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Response<Incoming>, Missed> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.host)
            .header(header::AUTHORIZATION, self.bearer.clone())
            .header(VERSION_HEADER, &self.version)
            .header(PROTOCOL_HEADER, PROTOCOL);
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in extra {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).map_err(|_| Missed::Nobody)?;
        self.exchange.ask(request).await.map_err(|_| Missed::Nobody)
    }

    async fn is_proven(&mut self, presence: &Presence, token: &Token) -> Option<bool> {
        let challenge = random::hex(&random::secret().ok()?);
        let request = Request::get("/livez")
            .header(header::HOST, &self.host)
            .header(CHALLENGE_HEADER, &challenge)
            .body(Full::default())
            .ok()?;
        let response = self.exchange.ask(request).await.ok()?;
        let proof = response.headers().get(PROOF_HEADER).cloned();
        exchange::all_of(response.into_body(), PROOF_ANSWER_BYTES).await?;
        let expected = token.proof(presence.address, &presence.instance, &challenge);
        Some(proof?.as_bytes() == expected.as_bytes())
    }
}
