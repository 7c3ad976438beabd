//! One HTTP connection as seen from who asks: over a socket that the caller opened, so that no proxy
//! and no other address comes between.

use axum::http::{Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    body::Incoming,
    client::conn::http1::{Builder, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinSet,
};

/// Bytes of an answer's headers at most.
const HEADER_BYTES: usize = 64 << 10;

/// A connection on which something is asked; it is closed with the value.
#[derive(Debug)]
pub(crate) struct Exchange {
    sender: SendRequest<Full<Bytes>>,
    /// What moves the bytes; ended with the value.
    _driver: JoinSet<()>,
}

impl Exchange {
    /// Over an open socket.
    pub(crate) async fn over<Io>(socket: Io) -> hyper::Result<Self>
    where
        Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = Builder::new()
            .max_buf_size(HEADER_BYTES)
            .handshake(TokioIo::new(socket))
            .await?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // What breaks it is told to who waits for the answer.
            let _ = connection.await;
        });
        Ok(Self {
            sender,
            _driver: driver,
        })
    }

    /// Asks.
    pub(crate) async fn ask(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }
}

/// All of an answer's body, unless it is larger than the limit or breaks off.
pub(crate) async fn all_of(body: Incoming, limit: usize) -> Option<Bytes> {
    Some(Limited::new(body, limit).collect().await.ok()?.to_bytes())
}
