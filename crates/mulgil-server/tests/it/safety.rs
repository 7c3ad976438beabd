//! Who is let in.

use mulgil_server::{Limits, routes};

use crate::support::{Memory, code, serving, status};

#[tokio::test]
async fn every_address_but_the_four_about_health_needs_the_token() {
    let place = serving(&Memory::new(), Limits::default()).await;
    let server = &place.server;
    server.memory.happens(1, crate::support::ended());
    let open: Vec<&str> = routes()
        .iter()
        .filter(|route| route.is_open)
        .map(|route| route.path)
        .collect();
    assert_eq!(open, ["/livez", "/readyz", "/health", "/api/v2/monitor/health"]);
    let wrong = "0".repeat(64);
    let short = &Server::of(&place.bearer)[..63];
    for route in routes() {
        let path = route.path.replace("{id}", "1");
        let ask = async |headers: &str| {
            let request = server.get(&path, headers).replacen("GET", route.method.as_str(), 1);
            server.raw(&request).await
        };
        for bad in [
            String::new(),
            format!("Authorization: Bearer {wrong}\r\n"),
            format!("Authorization: Bearer {short}\r\n"),
            "Authorization: Bearer\r\n".to_owned(),
            format!("Authorization: Basic {}\r\n", Server::of(&place.bearer)),
            format!("X-Authorization: Bearer {}\r\n", Server::of(&place.bearer)),
            format!("Cookie: token={}\r\n", Server::of(&place.bearer)),
        ] {
            let answer = ask(&bad).await;
            if route.is_open {
                assert_eq!(status(&answer), 200, "{path}: {answer}");
            } else {
                assert_eq!(status(&answer), 401, "{path} {bad}: {answer}");
                assert_eq!(code(&answer), "MG0044");
                assert!(answer.contains("www-authenticate: Bearer\r\n"), "{answer}");
            }
        }
        let twice = ask(&format!("{0}{0}", place.bearer)).await;
        assert_eq!(status(&twice), 401, "{path}: {twice}");
        let answer = ask(&place.bearer).await;
        assert!(!matches!(status(&answer), 401 | 403 | 404 | 405), "{path}: {answer}");
    }
}

/// The token out of the header that bears it.
struct Server;

impl Server {
    fn of(bearer: &str) -> &str {
        bearer.trim().rsplit(' ').next().unwrap()
    }
}

#[tokio::test]
async fn a_path_that_only_looks_like_an_open_one_is_not_open() {
    let place = serving(&Memory::new(), Limits::default()).await;
    let server = &place.server;
    for path in [
        "/",
        "/nowhere",
        "/livez/",
        "//livez",
        "/LIVEZ",
        "/%6civez",
        "/livez;a=b",
        "/x/livez",
        "/x/../livez",
        "/api/v1/x-health",
        "/metrics/health",
        "/metrics?/health",
        "/api/v1/verbs/../../livez",
    ] {
        let answer = server.raw(&server.get(path, "")).await;
        assert_eq!(status(&answer), 401, "{path}: {answer}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let request = server.get("/livez", "").replacen("GET", method, 1);
        assert_eq!(status(&server.raw(&request).await), 401, "{method}");
    }
    assert_eq!(status(&server.raw(&server.get("/livez?x=1", "")).await), 200);
    let head = server.get("/livez", "").replacen("GET", "HEAD", 1);
    assert_eq!(status(&server.raw(&head).await), 200);
}

#[tokio::test]
async fn only_our_own_host_is_answered() {
    let place = serving(&Memory::new(), Limits::default()).await;
    let server = &place.server;
    let port = server.address.port();
    let ask = async |host: &str| {
        let request = format!("GET /livez HTTP/1.1\r\n{host}Connection: close\r\n{}\r\n", place.bearer);
        server.raw(&request).await
    };
    for good in [
        format!("Host: 127.0.0.1:{port}\r\n"),
        format!("Host: localhost:{port}\r\n"),
        format!("Host: LocalHost:{port}\r\n"),
        format!("Host: [::1]:{port}\r\n"),
    ] {
        assert_eq!(status(&ask(&good).await), 200, "{good}");
    }
    for bad in [
        String::new(),
        "Host: \r\n".to_owned(),
        "Host: localhost\r\n".to_owned(),
        format!("Host: evil.example:{port}\r\n"),
        format!("Host: localhost.evil.example:{port}\r\n"),
        format!("Host: localhost:{port}.evil.example\r\n"),
        format!("Host: user@localhost:{port}\r\n"),
        format!("Host: localhost:{}\r\n", port.wrapping_add(1)),
        format!("Host: localhost:{port}\r\nHost: localhost:{port}\r\n"),
        format!("Host: evil.example\r\nX-Forwarded-Host: localhost:{port}\r\n"),
    ] {
        let answer = ask(&bad).await;
        assert_eq!(status(&answer), 403, "{bad}: {answer}");
        assert_eq!(code(&answer), "MG0045");
    }
    let absolute =
        format!("GET http://evil.example/livez HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    assert_eq!(status(&server.raw(&absolute).await), 403);
    let old = format!("GET /livez HTTP/1.0\r\n{}\r\n", place.bearer);
    assert_eq!(status(&server.raw(&old).await), 403);
}

#[tokio::test]
async fn pages_of_others_are_not_answered() {
    let place = serving(&Memory::new(), Limits::default()).await;
    let server = &place.server;
    let port = server.address.port();
    let ask = async |headers: &str| {
        let headers = format!("{headers}{}", place.bearer);
        let read = status(&server.raw(&server.get("/livez", &headers)).await);
        let write = status(&server.raw(&server.post(&headers, r#"{"verb":"list_backfills"}"#)).await);
        assert_eq!(read, write, "{headers}");
        read
    };
    for good in [
        String::new(),
        format!("Origin: http://localhost:{port}\r\n"),
        format!("Origin: http://127.0.0.1:{port}\r\nSec-Fetch-Site: same-origin\r\n"),
        "Sec-Fetch-Site: none\r\n".to_owned(),
    ] {
        assert_eq!(ask(&good).await, 200, "{good}");
    }
    for bad in [
        "Origin: null\r\n".to_owned(),
        "Origin: http://evil.example\r\n".to_owned(),
        format!("Origin: https://localhost:{port}\r\n"),
        format!("Origin: http://localhost:{}\r\n", port.wrapping_add(1)),
        format!("Origin: http://localhost:{port}\r\nOrigin: http://evil.example\r\n"),
        "Sec-Fetch-Site: cross-site\r\n".to_owned(),
        "Sec-Fetch-Site: same-site\r\n".to_owned(),
        "Sec-Fetch-Site: new-word\r\n".to_owned(),
    ] {
        assert_eq!(ask(&bad).await, 403, "{bad}");
    }
    assert_eq!(server.memory.performed().len(), 4);
}

#[tokio::test]
async fn every_answer_is_protected_and_none_invites_other_origins() {
    let place = serving(&Memory::new(), Limits::default()).await;
    let server = &place.server;
    let with_token = server.get("/nowhere", &place.bearer);
    for request in [
        server.get("/livez", ""),
        server.get("/metrics", ""),
        with_token.clone(),
        server.get("/metrics", "Origin: http://evil.example\r\n"),
    ] {
        let answer = server.raw(&request).await.to_ascii_lowercase();
        for header in [
            "content-security-policy: default-src 'self';",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff\r\n",
            "referrer-policy: same-origin\r\n",
            "cache-control: no-store\r\n",
        ] {
            assert!(answer.contains(header), "{header}: {answer}");
        }
        assert!(!answer.contains("access-control-"), "{answer}");
        // The version is not for strangers.
        assert_eq!(
            answer.contains("mulgil-version: 0.1.0\r\n"),
            request == with_token,
            "{answer}"
        );
        assert!(!answer.contains(Server::of(&place.bearer)), "the token is never told");
    }
}
