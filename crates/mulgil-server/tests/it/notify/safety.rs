//! Where notices do not go, and what is not said of where they go.

use super::*;

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
