//! Notices to webhooks that answer, refuse, hang, lie and close.

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

use crate::support::{FOREVER, sign};

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

#[tokio::test]
async fn a_notice_is_one_post_of_json() {
    let webhook = Webhook::that(vec![Does::status("204 No Content")]).await;
    let (notifier, mut told) = notifier(config(quick()));
    notifier.send(&webhook.url("/services/T0?key=k"), notice("7"));
    assert_eq!(delivered(&next(&mut told).await), ("7".to_owned(), 1));
    let heard = webhook.heard();
    let (head, body) = heard[0].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /services/T0?key=k HTTP/1.1\r\n"), "{head}");
    for header in [
        &format!("host: {}", webhook.address),
        "content-type: application/json",
        "user-agent: mulgil/0.1.0",
        "mulgil-event: failure",
        "mulgil-notice: 7",
    ] {
        assert!(
            head.lines().any(|line| line.eq_ignore_ascii_case(header)),
            "{header}: {head}"
        );
    }
    assert_eq!(serde_json::from_str::<Notice>(body).unwrap(), notice("7"));
    assert_eq!(heard.len(), 1);
}

#[tokio::test]
async fn what_may_pass_is_tried_again_under_the_same_id() {
    let script = ["500 Internal Server Error", "429 Too Many Requests"].map(Does::status);
    let mut script = script.to_vec();
    script.extend([Does::Closes, Does::status("200 OK")]);
    let webhook = Webhook::that(script).await;
    let limits = NotifyLimits { tries: 6, ..quick() };
    let (notifier, mut told) = notifier(config(limits));
    notifier.send(&webhook.url("/"), notice("7"));
    assert_eq!(delivered(&next(&mut told).await), ("7".to_owned(), 4));
    assert!(
        webhook
            .heard()
            .iter()
            .all(|request| request.contains("mulgil-notice: 7\r\n"))
    );
}

#[tokio::test]
async fn an_hour_of_500_holds_nothing_up() {
    let broken = Webhook::that(vec![Does::status("500 Internal Server Error")]).await;
    let hanging = Webhook::that(vec![Does::Hangs]).await;
    let well = Webhook::that(vec![Does::status("200 OK")]).await;
    let (notifier, mut told) = notifier(config(quick()));
    notifier.send(&hanging.url("/"), notice("hangs"));
    sign(&hanging.asked).await;
    for id in ["1", "2", "3"] {
        notifier.send(&broken.url("/"), notice(id));
    }
    // The one that hangs is still hanging.
    let first = given_up(&next(&mut told).await);
    assert_eq!((first.0.as_str(), first.2), ("1", Retry::Later));
    let text = format!(
        "the webhook http://{}/… answered 500 Internal Server Error; the notice was given up after 3 tries",
        broken.address
    );
    assert_eq!(first.1, text);
    // From then on each is tried once.
    for id in ["2", "3"] {
        let next = given_up(&next(&mut told).await);
        assert_eq!(next.0, id);
        assert!(next.1.ends_with("given up after one try"), "{}", next.1);
    }
    assert_eq!(broken.heard().len(), 5);
    notifier.send(&well.url("/"), notice("well"));
    assert_eq!(delivered(&next(&mut told).await).0, "well");
    assert_eq!(hanging.heard().len(), 1);
}

#[tokio::test]
async fn a_webhook_that_recovers_has_all_its_tries_again() {
    let mut script = vec![Does::status("500 Internal Server Error"); 3];
    script.extend([Does::status("200 OK"), Does::Closes, Does::status("200 OK")]);
    let webhook = Webhook::that(script).await;
    let (notifier, mut told) = notifier(config(quick()));
    for id in ["1", "2", "3"] {
        notifier.send(&webhook.url("/"), notice(id));
    }
    assert_eq!(given_up(&next(&mut told).await).0, "1");
    assert_eq!(delivered(&next(&mut told).await), ("2".to_owned(), 1));
    assert_eq!(delivered(&next(&mut told).await), ("3".to_owned(), 2));
}

#[tokio::test]
async fn one_that_hangs_or_never_ends_is_left_within_the_time_of_a_try() {
    let limits = NotifyLimits {
        tries: 2,
        one_try: Duration::from_millis(150),
        ..quick()
    };
    let hanging = Webhook::that(vec![Does::Hangs]).await;
    let (notifier, mut told) = notifier(config(limits));
    notifier.send(&hanging.url("/"), notice("7"));
    let (_, message, _) = given_up(&next(&mut told).await);
    assert!(
        message.contains("did not answer within 150ms; the notice was given up after 2 tries"),
        "{message}"
    );
    // An answer without an end is an answer: no more of it is read than it takes.
    let flood = Webhook::that(vec![Does::Floods]).await;
    notifier.send(&flood.url("/"), notice("8"));
    assert_eq!(delivered(&next(&mut told).await), ("8".to_owned(), 1));
}

#[tokio::test]
async fn what_will_not_pass_is_not_tried_again() {
    for status in [
        "400 Bad Request",
        "401 Unauthorized",
        "404 Not Found",
        "410 Gone",
        "302 Found",
    ] {
        let webhook = Webhook::that(vec![Does::status(status)]).await;
        let (notifier, mut told) = notifier(config(quick()));
        notifier.send(&webhook.url("/"), notice("7"));
        let (_, message, retry) = given_up(&next(&mut told).await);
        assert!(
            message.contains(&format!("answered {status}; the notice was given up after one try")),
            "{message}"
        );
        assert_eq!(retry, Retry::AfterHumanFix);
        assert_eq!(webhook.heard().len(), 1);
    }
}

#[tokio::test]
async fn the_time_that_a_webhook_asks_for_is_given_or_the_notice_given_up() {
    let later = |after: &str| {
        Does::Answers(format!(
            "HTTP/1.1 503 Service Unavailable\r\nRetry-After: {after}\r\nContent-Length: 0\r\n\r\n"
        ))
    };
    let limits = NotifyLimits {
        // Without the header, the test would wait for this long.
        pause: Duration::from_mins(5),
        longest_pause: Duration::from_mins(5),
        ..quick()
    };
    let script = vec![
        later("0"),
        later("Sun, 06 Nov 1994 08:49:37 GMT"),
        Does::status("200 OK"),
    ];
    let webhook = Webhook::that(script).await;
    let (notifier, mut told) = notifier(config(limits));
    notifier.send(&webhook.url("/"), notice("7"));
    assert_eq!(delivered(&next(&mut told).await), ("7".to_owned(), 3));
    let never = Webhook::that(vec![later("86400")]).await;
    notifier.send(&never.url("/"), notice("8"));
    assert_eq!(given_up(&next(&mut told).await).0, "8");
    assert_eq!(never.heard().len(), 1);
}

#[tokio::test]
async fn redirects_are_followed_within_the_host_alone() {
    let other = Webhook::that(vec![Does::status("200 OK")]).await;
    let script = vec![
        Does::redirects("307 Temporary Redirect", "/b?c=1"),
        Does::status("200 OK"),
    ];
    let same = Webhook::that(script).await;
    let (notifier, mut told) = notifier(config(quick()));
    notifier.send(&same.url("/a"), notice("1"));
    assert_eq!(delivered(&next(&mut told).await), ("1".to_owned(), 1));
    assert!(same.heard()[1].starts_with("POST /b?c=1 HTTP/1.1\r\n"));
    assert!(same.heard()[1].contains("a cast failed"));
    for to in [
        format!("http://{}/SECRET", other.address),
        format!("http://localhost:{}/", other.address.port()),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        let away = Webhook::that(vec![Does::redirects("308 Permanent Redirect", &to)]).await;
        notifier.send(&away.url("/"), notice("2"));
        let (_, message, retry) = given_up(&next(&mut told).await);
        assert!(
            message.contains("redirects to another host; the notice was given up after one try"),
            "{message}"
        );
        assert!(!message.contains("SECRET") && retry == Retry::AfterHumanFix);
    }
    assert!(other.heard().is_empty());
    let round = Webhook::that(vec![Does::redirects("307 Temporary Redirect", "/")]).await;
    notifier.send(&round.url("/"), notice("3"));
    let (_, message, _) = given_up(&next(&mut told).await);
    assert!(message.contains("redirects again and again"), "{message}");
    assert_eq!(round.heard().len(), 4);
}

#[tokio::test]
async fn what_does_not_fit_is_dropped_and_said_and_nobody_waits() {
    let hanging = Webhook::that(vec![Does::Hangs]).await;
    let limits = NotifyLimits { waiting: 5, ..quick() };
    let (notifier, mut told) = notifier(config(limits));
    notifier.send(&hanging.url("/"), notice("first"));
    sign(&hanging.asked).await;
    // One is being sent, five wait, twenty do not fit.
    for id in 0..25 {
        notifier.send(&hanging.url("/"), notice(&id.to_string()));
    }
    for expected in [1, 2, 4, 8, 16] {
        match next(&mut told).await {
            Delivery::Dropped { dropped, fault } => {
                assert_eq!((dropped, fault.code.to_string().as_str()), (expected, "MG5250"));
                assert!(
                    fault
                        .message
                        .starts_with(&format!("{expected} notices to http://{}/…", hanging.address))
                );
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(told.try_recv().is_err());
    let counts: Vec<f64> = notifier
        .metrics()
        .series
        .iter()
        .map(|series| match series.value {
            mulgil_server::metrics::Value::Number(number) => number,
            mulgil_server::metrics::Value::Buckets { .. } => panic!("a histogram"),
        })
        .collect();
    assert_eq!(counts, [0.0, 0.0, 20.0]);
    // At the end it is not waited for longer than was said.
    assert_eq!(notifier.finish(Duration::from_millis(50)).await, 6);
}

#[tokio::test]
async fn webhooks_have_a_bound_and_those_with_nothing_to_do_make_room() {
    let webhook = Webhook::that(vec![Does::status("200 OK")]).await;
    let hanging = Webhook::that(vec![Does::Hangs]).await;
    let limits = NotifyLimits { webhooks: 2, ..quick() };
    let (notifier, mut told) = notifier(config(limits));
    for path in ["/a", "/b", "/c", "/d"] {
        notifier.send(&webhook.url(path), notice(path));
        assert_eq!(delivered(&next(&mut told).await).0, path);
    }
    for path in ["/e", "/f"] {
        notifier.send(&hanging.url(path), notice(path));
        sign(&hanging.asked).await;
    }
    notifier.send(&webhook.url("/g"), notice("g"));
    assert!(matches!(next(&mut told).await, Delivery::Dropped { dropped: 1, .. }));
}

#[tokio::test]
async fn the_end_does_not_wait_for_pauses() {
    let webhook = Webhook::that(vec![Does::status("500 Internal Server Error"), Does::status("200 OK")]).await;
    let limits = NotifyLimits {
        pause: Duration::from_mins(5),
        longest_pause: Duration::from_mins(5),
        ..quick()
    };
    let (notifier, mut told) = notifier(config(limits));
    notifier.send(&webhook.url("/"), notice("1"));
    sign(&webhook.asked).await;
    notifier.send(&webhook.url("/"), notice("2"));
    assert_eq!(notifier.finish(FOREVER).await, 0);
    // The first is tried once more, or was in its first try when the end came; the second is sent.
    let first = next(&mut told).await;
    assert!(matches!(&first, Delivery::Delivered { id, .. } | Delivery::GaveUp { id, .. } if id == "1"));
    assert_eq!(delivered(&next(&mut told).await), ("2".to_owned(), 1));
}

#[tokio::test]
async fn this_machine_and_link_local_addresses_are_denied_before_anything_is_connected() {
    let webhook = Webhook::that(vec![Does::status("200 OK")]).await;
    let port = webhook.address.port();
    let denied = NotifyConfig {
        loopback: Loopback::Denied,
        ..config(quick())
    };
    let own = NotifyConfig {
        own_ports: vec![port],
        ..config(quick())
    };
    let deny = async |config: NotifyConfig, url: String| {
        let (notifier, mut told) = notifier(config);
        notifier.send(&WebhookUrl::parse(&url).unwrap(), notice("7"));
        match next(&mut told).await {
            Delivery::GaveUp { fault, .. } => assert_eq!(fault.code.to_string(), "MG5251", "{url}"),
            other => panic!("{url}: {other:?}"),
        }
    };
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "2130706433",
        "0x7f.1",
        "[::ffff:7f00:1]",
        "0.0.0.0",
        "[::]",
    ] {
        deny(denied.clone(), format!("http://{host}:{port}/")).await;
    }
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        deny(own.clone(), format!("http://{host}:{port}/")).await;
    }
    for host in [
        "169.254.169.254",
        "[fd00:ec2::254]",
        "[::ffff:169.254.169.254]",
        "[fe80::1]",
    ] {
        deny(config(quick()), format!("http://{host}/latest/meta-data/")).await;
    }
    assert!(webhook.heard().is_empty());
}

#[tokio::test]
async fn a_name_or_a_port_with_nobody_behind_it_is_said_without_the_secret() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let (notifier, mut told) = notifier(config(quick()));
    notifier.send(
        &WebhookUrl::parse(&format!("http://{address}/SECRET?k=SECRET")).unwrap(),
        notice("7"),
    );
    let delivery = next(&mut told).await;
    let (_, message, _) = given_up(&delivery);
    assert!(message.contains("cannot be reached: connection refused"), "{message}");
    assert!(!format!("{delivery:?}").contains("SECRET"));
}

fn pem(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls").join(name)
}

async fn https(script: Vec<Does>) -> Webhook {
    let chain = CertificateDer::pem_file_iter(pem("localhost.pem"))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let key = PrivateKeyDer::from_pem_file(pem("localhost.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Webhook::listening("127.0.0.1:0", script, Some(Arc::new(tls))).await
}

#[tokio::test]
async fn https_is_checked_against_the_roots_and_the_name() {
    let webhook = https(vec![Does::status("200 OK")]).await;
    let port = webhook.address.port();
    let ours = NotifyConfig {
        roots: Roots::File(pem("ca.pem")),
        ..config(NotifyLimits { tries: 1, ..quick() })
    };
    let (good, mut told) = notifier(ours.clone());
    let url = WebhookUrl::parse(&format!("https://localhost:{port}/SECRET")).unwrap();
    good.send(&url, notice("7"));
    assert_eq!(delivered(&next(&mut told).await), ("7".to_owned(), 1));
    assert!(webhook.heard()[0].starts_with("POST /SECRET HTTP/1.1\r\n"));
    // The certificate is for another name.
    good.send(
        &WebhookUrl::parse(&format!("https://127.0.0.1:{port}/SECRET")).unwrap(),
        notice("8"),
    );
    let (_, message, _) = given_up(&next(&mut told).await);
    assert!(
        message.contains("cannot be trusted: invalid peer certificate"),
        "{message}"
    );
    // Nobody vouches for it.
    let others = NotifyConfig {
        roots: Roots::File(pem("localhost.pem")),
        ..ours.clone()
    };
    let (bad, mut told) = notifier(others);
    bad.send(&url, notice("9"));
    let delivery = next(&mut told).await;
    assert!(given_up(&delivery).1.contains("cannot be trusted"));
    assert!(!format!("{delivery:?}").contains("SECRET"));
    assert_eq!(webhook.heard().len(), 1);
    // What speaks no https.
    let (good, mut told) = notifier(ours);
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/", plain.local_addr().unwrap().port());
    good.send(&WebhookUrl::parse(&url).unwrap(), notice("10"));
    let (mut socket, _) = plain.accept().await.unwrap();
    socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    let (id, message, _) = given_up(&next(&mut told).await);
    assert!(id == "10" && message.contains("cannot be trusted"), "{message}");
}
