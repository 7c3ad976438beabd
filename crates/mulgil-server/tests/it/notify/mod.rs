//! Notices to webhooks that answer, refuse, hang, lie and close.

mod delivery;
mod safety;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use mulgil_core::{diagnostic::Retry, interval::Instant, run::RunState};
use mulgil_server::notify::{
    Delivery, Loopback, NOTICE_VERSION, Notice, Notifier, NotifyConfig, NotifyLimits, Occasion, Roots, Span, WebhookUrl,
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    sync::{Semaphore, mpsc},
    task::JoinSet,
};

use crate::support::FOREVER;

/// What a webhook does with one request.
#[derive(Clone, Debug)]
enum Does {
    /// Answers with a status line and headers.
    Answers(String),
    /// Reads, and says nothing.
    Hangs,
    /// Closes without an answer.
    Closes,
    /// Answers for ever.
    Floods,
}

impl Does {
    fn status(status: &str) -> Self {
        Self::Answers(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"))
    }

    fn redirects(status: &str, to: &str) -> Self {
        Self::Answers(format!(
            "HTTP/1.1 {status}\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"
        ))
    }
}

/// A webhook: what it was sent, in order.
struct Webhook {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
    /// Told at each request that was read.
    asked: Arc<Semaphore>,
    _work: JoinSet<()>,
}

impl Webhook {
    /// Does one thing after the other, and the last one from then on.
    async fn that(script: Vec<Does>) -> Self {
        Self::listening("127.0.0.1:0", script, None).await
    }

    async fn listening(at: &str, script: Vec<Does>, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let asked = Arc::new(Semaphore::new(0));
        let mut work = JoinSet::new();
        let (told, sign) = (Arc::clone(&heard), Arc::clone(&asked));
        work.spawn(async move {
            let mut busy = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (told, sign, script) = (Arc::clone(&told), Arc::clone(&sign), script.clone());
                let tls = tls.clone();
                busy.spawn(async move {
                    match tls {
                        None => one_request(socket, &told, &sign, &script).await,
                        Some(tls) => {
                            if let Ok(socket) = tokio_rustls::TlsAcceptor::from(tls).accept(socket).await {
                                one_request(socket, &told, &sign, &script).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            heard,
            asked,
            _work: work,
        }
    }

    fn url(&self, path: &str) -> WebhookUrl {
        WebhookUrl::parse(&format!("http://{}{path}", self.address)).unwrap()
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

async fn one_request<Io: AsyncRead + AsyncWrite + Unpin>(
    mut socket: Io,
    told: &Mutex<Vec<String>>,
    sign: &Semaphore,
    script: &[Does],
) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    while !is_whole(&bytes) {
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
    let does = {
        let mut told = told.lock().unwrap();
        told.push(String::from_utf8(bytes).unwrap());
        script[(told.len() - 1).min(script.len() - 1)].clone()
    };
    sign.add_permits(1);
    match does {
        Does::Answers(answer) => {
            let _ = socket.write_all(answer.as_bytes()).await;
        }
        Does::Closes => {}
        Does::Hangs => {
            let _ = socket.read(&mut buffer).await;
        }
        Does::Floods => {
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while socket.write_all(&[b'x'; 4096]).await.is_ok() {}
        }
    }
}

fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.to_ascii_lowercase();
    let length = length
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.lines().next()?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

fn notice(id: &str) -> Notice {
    Notice {
        version: NOTICE_VERSION,
        id: id.to_owned(),
        event: Occasion::Failure,
        project: "shop".to_owned(),
        environment: "prod".to_owned(),
        flow: Some("daily".to_owned()),
        run: Some(4),
        interval: Some(Span {
            start: "2026-11-19T00:00:00+09:00".to_owned(),
            end: "2026-11-20T00:00:00+09:00".to_owned(),
        }),
        scheduled_at: "2026-11-19T20:00:00Z".parse().ok(),
        started_at: None,
        ended_at: None,
        state: RunState::Failed,
        step: Some("load".to_owned()),
        code: Some("MG3005".to_owned()),
        message: "a cast failed".to_owned(),
        link: None,
    }
}

fn quick() -> NotifyLimits {
    NotifyLimits {
        tries: 3,
        one_try: Duration::from_secs(10),
        pause: Duration::from_millis(20),
        longest_pause: Duration::from_millis(20),
        ..NotifyLimits::default()
    }
}

fn config(limits: NotifyLimits) -> NotifyConfig {
    NotifyConfig {
        version: "0.1.0".to_owned(),
        clock: || Instant(784_111_777_000_000),
        loopback: Loopback::Allowed,
        own_ports: Vec::new(),
        roots: Roots::System,
        limits,
    }
}

/// A sender, and what it reports.
fn notifier(config: NotifyConfig) -> (Notifier, mpsc::UnboundedReceiver<Delivery>) {
    let (tell, told) = mpsc::unbounded_channel();
    let report = move |delivery| {
        // The test may be over.
        let _ = tell.send(delivery);
    };
    (Notifier::new(config, Arc::new(report)), told)
}

async fn next(told: &mut mpsc::UnboundedReceiver<Delivery>) -> Delivery {
    tokio::time::timeout(FOREVER, told.recv())
        .await
        .expect("a report comes")
        .unwrap()
}

fn delivered(delivery: &Delivery) -> (String, u32) {
    match delivery {
        Delivery::Delivered { id, tries, .. } => (id.clone(), *tries),
        other => panic!("not delivered: {other:?}"),
    }
}

/// The id, the message and when it may be tried again, of a notice that was given up.
fn given_up(delivery: &Delivery) -> (String, String, Retry) {
    match delivery {
        Delivery::GaveUp { id, fault } => (id.clone(), fault.message.clone(), fault.retry),
        other => panic!("not given up: {other:?}"),
    }
}
