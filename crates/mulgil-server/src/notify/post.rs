//! One try to deliver a notice.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::http::{HeaderMap, Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::Full;
use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    interval::Instant,
    port::Fault,
};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{NotifyConfig, WebhookUrl, tls};
use crate::exchange::{self, Exchange};

/// Bytes of a webhook's answer that are read.
const ANSWER_BYTES: usize = 64 << 10;

/// What is posted.
pub(super) struct Letter {
    /// The notice's id, the same at every try.
    pub(super) id: String,
    /// What it is about.
    pub(super) event: &'static str,
    /// The notice as JSON.
    pub(super) body: Bytes,
}

/// How a try failed.
#[derive(Debug)]
pub(super) struct Failed {
    /// Why, and whether it may be tried again.
    pub(super) fault: Fault,
    /// How long the webhook asks to be left alone.
    pub(super) after: Option<Duration>,
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self { fault, after: None }
    }
}

/// Sends letters to one webhook.
pub(super) struct Poster {
    webhook: WebhookUrl,
    config: Arc<NotifyConfig>,
    /// Made at the first https.
    tls: Option<Arc<ClientConfig>>,
}

impl Poster {
    pub(super) fn new(webhook: WebhookUrl, config: Arc<NotifyConfig>) -> Self {
        Self {
            webhook,
            config,
            tls: None,
        }
    }

    /// Posts once, redirects within the host included.
    pub(super) async fn post(&mut self, letter: &Letter) -> Result<(), Failed> {
        let within = self.config.limits.one_try;
        let late = self.failed(&format!("did not answer within {within:.0?}"), Retry::Later);
        match tokio::time::timeout(within, self.follow(letter)).await {
            Ok(done) => done,
            Err(_) => Err(late.into()),
        }
    }

    async fn follow(&mut self, letter: &Letter) -> Result<(), Failed> {
        let mut url = self.webhook.clone();
        for _ in 0..=self.config.limits.redirects {
            let (status, headers) = self.ask(&url, letter).await?;
            match status.as_u16() {
                200..=299 => return Ok(()),
                307 | 308 => {
                    let location = headers
                        .get(header::LOCATION)
                        .and_then(|location| location.to_str().ok());
                    let Some(next) = location.and_then(|location| url.redirected(location)) else {
                        return Err(self.failed("redirects to another host", Retry::AfterHumanFix).into());
                    };
                    url = next;
                }
                _ => return Err(self.refused(status, &headers)),
            }
        }
        Err(self.failed("redirects again and again", Retry::AfterHumanFix).into())
    }

    async fn ask(&mut self, url: &WebhookUrl, letter: &Letter) -> Result<(StatusCode, HeaderMap), Failed> {
        let addresses = url.resolve(&self.config).await?;
        let socket = self.connect(&addresses).await?;
        let request = Request::post(url.target())
            .header(header::HOST, url.host())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, format!("mulgil/{}", self.config.version))
            .header("mulgil-event", letter.event)
            .header("mulgil-notice", &letter.id)
            .body(Full::new(letter.body.clone()))
            .map_err(|_| self.failed("cannot be asked for at this address", Retry::AfterHumanFix))?;
        let exchange = if url.is_https() {
            let tls = self.tls().await?;
            let name = ServerName::try_from(url.name())
                .map_err(|_| self.failed("has no name that https knows", Retry::AfterHumanFix))?;
            let socket = TlsConnector::from(tls).connect(name, socket).await;
            let socket = socket.map_err(|error| self.failed(&format!("cannot be trusted: {error}"), Retry::Later))?;
            Exchange::over(socket).await
        } else {
            Exchange::over(socket).await
        };
        let broke = |_| self.failed("closed the connection without an answer", Retry::Later);
        let response = exchange.map_err(broke)?.ask(request).await.map_err(broke)?;
        let (parts, body) = response.into_parts();
        // What it says is no matter; read, so that it is not cut off while it speaks.
        let _ = exchange::all_of(body, ANSWER_BYTES).await;
        Ok((parts.status, parts.headers))
    }

    async fn connect(&self, addresses: &[SocketAddr]) -> Result<TcpStream, Failed> {
        let mut last = None;
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(socket) => return Ok(socket),
                Err(error) => last = Some(error),
            }
        }
        let why = last.map_or_else(String::new, |error| format!(": {}", error.kind()));
        Err(self.failed(&format!("cannot be reached{why}"), Retry::Later).into())
    }

    async fn tls(&mut self) -> Result<Arc<ClientConfig>, Fault> {
        if let Some(tls) = &self.tls {
            return Ok(Arc::clone(tls));
        }
        let roots = self.config.roots.clone();
        let made = tokio::task::spawn_blocking(move || tls::client(&roots)).await;
        let made = made.unwrap_or_else(|_| Err(self.failed("cannot be asked over https", Retry::Never)))?;
        self.tls = Some(Arc::clone(&made));
        Ok(made)
    }

    fn refused(&self, status: StatusCode, headers: &HeaderMap) -> Failed {
        let retry = match status.as_u16() {
            408 | 425 | 429 | 500..=599 => Retry::Later,
            _ => Retry::AfterHumanFix,
        };
        Failed {
            fault: self.failed(&format!("answered {status}"), retry),
            after: headers
                .get(header::RETRY_AFTER)
                .and_then(|after| retry_after(after.to_str().ok()?, (self.config.clock)())),
        }
    }

    fn failed(&self, what: &str, retry: Retry) -> Fault {
        let fault = Diagnostic::error(codes::WEBHOOK_FAILED, format!("the webhook {} {what}", self.webhook));
        let remedy = match retry {
            Retry::Later => {
                "nothing at first: it is tried again by itself, for a while; if it stays so, look at the webhook"
            }
            Retry::Never | Retry::AfterHumanFix => {
                "look at the webhook's address in the project, and at what it expects"
            }
        };
        Box::new(fault.with_remedy(remedy).with_retry(retry))
    }
}

/// Seconds, or a date of HTTP.
fn retry_after(text: &str, now: Instant) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_microsecond();
    Some(Duration::from_micros(u64::try_from(at - now.0).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = Instant(784_111_777_000_000);
        assert_eq!(retry_after(" 120", now), Some(Duration::from_mins(2)));
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:50:07 GMT", now),
            Some(Duration::from_secs(30))
        );
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
        assert_eq!(retry_after("-5", now), None);
    }
}
