//! What is answered, and how faults are told.

use mulgil_server::Limits;

use crate::support::{Memory, Server, code, ended, json, serving, status};

#[tokio::test]
async fn faults_of_http_have_codes_too() {
    let place = serving(&Memory::new(), Limits::default()).await;
    let (server, bearer) = (&place.server, &place.bearer);
    let check = async |request: String, wanted: u16, wanted_code: &str| {
        let answer = server.raw(&request).await;
        assert_eq!(status(&answer), wanted, "{request}: {answer}");
        assert_eq!(code(&answer), wanted_code, "{request}");
        answer
    };
    check(server.get("/nowhere", bearer), 404, "MG0043").await;
    check(server.get("/api/v1/runs/7", bearer), 404, "MG0043").await;
    let answer = check(server.get("/api/v1/verbs", bearer), 405, "MG0043").await;
    assert!(answer.contains("allow: POST\r\n"), "{answer}");
    let text = server.post(bearer, "{}").replace("application/json", "text/plain");
    check(text, 415, "MG0042").await;
    let no_type = server
        .post(bearer, "{}")
        .replace("Content-Type: application/json\r\n", "");
    check(no_type, 415, "MG0042").await;
    check(server.post(bearer, "{"), 400, "MG0042").await;
    check(server.post(bearer, "[]"), 400, "MG0042").await;
    check(server.post(bearer, r#"{"verb":"dance"}"#), 400, "MG0042").await;
    let odd = format!("{bearer}mulgil-request: 7\r\n");
    check(server.post(&odd, r#"{"verb":"list_backfills"}"#), 400, "MG0042").await;
    for path in [
        "/api/v1/runs/x/events",
        "/api/v1/runs/-1/events",
        "/api/v1/runs/+1/events",
        "/api/v1/runs/99999999999999999999/events",
        "/api/v1/runs/..%2f..%2fetc/events",
        "/api/v1/runs/1/events?from=x",
        "/api/v1/runs/1/events?from=1&from=2",
        "/api/v1/runs/1/events?until=1",
        "/api/v1/attempts/1/log?from=-1",
    ] {
        check(server.get(path, bearer), 400, "MG0042").await;
    }
    check(server.get("/api/v1/runs/99/events", bearer), 404, "MG0002").await;
    assert!(server.memory.performed().is_empty());
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_read_and_while_it_is() {
    let limits = Limits {
        body_bytes: 1000,
        ..Limits::default()
    };
    let place = serving(&Memory::new(), limits).await;
    let (server, bearer) = (&place.server, &place.bearer);
    let head = format!(
        "POST /api/v1/verbs HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n{bearer}",
        server.address
    );
    let told = format!("{head}Content-Length: 1001\r\n\r\n");
    let answer = server.raw(&told).await;
    assert_eq!((status(&answer), code(&answer).as_str()), (413, "MG0046"));
    let chunk = format!("3e8\r\n{}\r\n", " ".repeat(1000));
    let untold = format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}{chunk}");
    let answer = server.raw(&untold).await;
    assert_eq!((status(&answer), code(&answer).as_str()), (413, "MG0046"));
    let verb = r#"{"verb":"list_backfills"}"#;
    let fits = format!("{verb}{}", " ".repeat(1000 - verb.len()));
    assert_eq!(status(&server.raw(&server.post(bearer, &fits)).await), 200);
}

#[tokio::test]
async fn events_are_lines_from_a_number_on() {
    let memory = Memory::new();
    memory.says(1, "one");
    memory.says(1, "two");
    memory.happens(1, ended());
    let place = serving(&memory, Limits::default()).await;
    let server = &place.server;
    for kind in ["runs", "backfills"] {
        let answer = server
            .raw(&server.get(&format!("/api/v1/{kind}/1/events?from=2"), &place.bearer))
            .await;
        assert!(answer.contains("content-type: application/x-ndjson\r\n"), "{answer}");
        assert!(!answer.contains("\"one\""), "{answer}");
        let lines: Vec<&str> = answer.lines().filter(|line| line.starts_with('{')).collect();
        assert_eq!(lines.len(), 2, "{answer}");
        assert!(lines[0].contains(r#""seq":2,"#) && lines[0].contains(r#""event":"said","text":"two""#));
        assert!(lines[1].contains(r#""seq":3,"#) && lines[1].contains(r#""event":"ended""#));
    }
}

#[tokio::test]
async fn an_event_that_is_too_long_is_left_out_and_said() {
    let memory = Memory::new();
    memory.says(1, &"x".repeat(2 << 20));
    memory.happens(1, ended());
    let place = serving(&memory, Limits::default()).await;
    let server = &place.server;
    let answer = server.raw(&server.get("/api/v1/runs/1/events", &place.bearer)).await;
    assert!(answer.len() < 10_000);
    assert!(answer.contains(r#""seq":1,"#) && answer.contains("MG0046") && answer.contains(r#""event":"ended""#));
}

#[tokio::test]
async fn a_log_is_read_from_a_byte_on() {
    let memory = Memory::new();
    memory.log.lock().unwrap().push_str("first\nsecond\n");
    let place = serving(&memory, Limits::default()).await;
    let server = &place.server;
    let answer = server
        .raw(&server.get("/api/v1/attempts/2/log?from=6", &place.bearer))
        .await;
    let chunk = json(&answer);
    assert_eq!(chunk["text"], "second\n");
    assert_eq!((chunk["from"].as_u64(), chunk["next"].as_u64()), (Some(6), Some(13)));
    assert_eq!(chunk["ended"], true);
}

#[tokio::test]
async fn measurements_are_text_for_prometheus() {
    let place = serving(&Memory::new(), Limits::default()).await;
    let server = &place.server;
    assert_eq!(status(&server.raw(&server.get("/metrics", "")).await), 401);
    assert_eq!(
        status(&server.raw(&server.get("/livez", "Origin: null\r\n")).await),
        403
    );
    let answer = server.raw(&server.get("/metrics", &place.bearer)).await;
    assert!(
        answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"),
        "{answer}"
    );
    for line in [
        "# TYPE mulgil_queue_depth gauge",
        "mulgil_queue_depth{pool=\"a\\\"b\"} 3",
        "mulgil_auth_failures_total 1",
        "mulgil_foreign_requests_total 1",
        "mulgil_http_responses_total{class=\"2xx\"} 1",
        "mulgil_http_responses_total{class=\"4xx\"} 2",
        "mulgil_http_connections 1",
    ] {
        assert!(answer.lines().any(|found| found == line), "{line}: {answer}");
    }
}

#[tokio::test]
async fn an_address_that_others_could_reach_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for address in ["0.0.0.0:0", "[::]:0", "10.0.0.1:0"] {
        let fault = mulgil_server::bind(address.parse().unwrap()).await.unwrap_err();
        assert_eq!(fault.code.to_string(), "MG5241", "{address}");
    }
    let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let config = mulgil_server::Config {
        data_dir: folder.path().to_owned(),
        environment: "dev".to_owned(),
        version: "0.1.0".to_owned(),
        clock: || crate::support::NOW,
        limits: Limits::default(),
    };
    let fault = mulgil_server::serve(listener, crate::support::control(&Memory::new()), None, config, async {
    })
    .await
    .unwrap_err();
    assert_eq!(fault.code.to_string(), "MG5241");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let memory = Memory::new();
    let place = serving(&memory, Limits::default()).await;
    let fault = mulgil_server::bind(place.server.address).await.unwrap_err();
    assert_eq!(fault.code.to_string(), "MG5242");
    assert_eq!(fault.code.exit(), 6);
}

#[tokio::test]
async fn where_it_is_stands_in_a_private_file_and_a_new_server_takes_over_an_old_word() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = serving(&Memory::new(), Limits::default()).await;
    let folder = place.folder.path();
    let file = folder.join("dev.server.json");
    let first = mulgil_server::Presence::read(folder, "dev").unwrap().unwrap();
    assert_eq!((first.address, first.pid), (place.server.address, std::process::id()));
    assert_eq!(
        (first.version.as_str(), first.started_at),
        ("0.1.0", crate::support::NOW.to_timestamp())
    );
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    place.server.kill().await;
    assert!(file.exists());
    let token = Server::token(folder);
    let second = Server::start(folder, &Memory::new(), Limits::default()).await;
    let now = mulgil_server::Presence::read(folder, "dev").unwrap().unwrap();
    assert_eq!(now.address, second.address);
    assert_ne!(now.instance, first.instance);
    assert_eq!(Server::token(folder), token, "a restart keeps the token");
    second.stop().await;
    assert!(!file.exists());
    let mut left: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["dev.token"]);
}
