//! That nobody can keep the server from others.

use std::time::Duration;

use mulgil_server::Limits;
use tokio::io::AsyncWriteExt as _;

use crate::support::{ENDLESS, FOREVER, Memory, code, json, read_all, read_until, serving, sign, status};

#[tokio::test]
async fn headers_that_never_end_and_silence_are_cut_off() {
    let limits = Limits {
        header_time: Duration::from_millis(150),
        ..Limits::default()
    };
    let place = serving(&Memory::new(), limits).await;
    for begun in ["", "GET /livez HT", "GET /livez HTTP/1.1\r\nHost: localhost\r\nX-A: "] {
        let mut socket = place.server.connect().await;
        socket.write_all(begun.as_bytes()).await.unwrap();
        let answer = read_all(&mut socket).await;
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    // A connection that was used is cut off too when it falls silent.
    let mut socket = place.server.connect().await;
    let request = place.server.get("/livez", "").replace("Connection: close\r\n", "");
    socket.write_all(request.as_bytes()).await.unwrap();
    let answer = read_all(&mut socket).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn many_who_say_nothing_do_not_keep_one_out_who_asks() {
    let limits = Limits {
        connections: 8,
        ..Limits::default()
    };
    let place = serving(&Memory::new(), limits).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        let mut socket = place.server.connect().await;
        socket.write_all(b"GET /livez HTTP/1.1\r\nX-Slow: ").await.unwrap();
        silent.push(socket);
        if silent.len() % 20 == 0 {
            assert_eq!(status(&place.server.raw(&place.server.get("/livez", "")).await), 200);
        }
    }
    // Those that had to go were closed, oldest first.
    assert_eq!(read_all(&mut silent[0]).await, "");
    let answer = place.server.raw(&place.server.get("/metrics", &place.bearer)).await;
    assert!(answer.contains("\nmulgil_http_connections 8\n"), "{answer}");
}

#[tokio::test]
async fn where_every_connection_is_at_work_a_further_one_is_told_to_come_back() {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let memory = Memory::new();
    memory.says(1, "begun");
    let place = serving(&memory, limits).await;
    let mut readers = Vec::new();
    for _ in 0..2 {
        let mut socket = place.server.connect().await;
        let request = place.server.get("/api/v1/runs/1/events", &place.bearer);
        socket.write_all(request.as_bytes()).await.unwrap();
        read_until(&mut socket, "begun").await;
        readers.push(socket);
    }
    let mut turned_away = place.server.connect().await;
    let answer = read_all(&mut turned_away).await;
    assert_eq!(status(&answer), 503);
    assert!(answer.contains("Retry-After: 1\r\n"), "{answer}");
    drop(readers.pop());
    sign(&memory.let_go).await;
    assert_eq!(status(&place.server.raw(&place.server.get("/livez", "")).await), 200);
}

#[tokio::test]
async fn streams_have_a_bound_of_their_own() {
    let limits = Limits {
        streams: 1,
        ..Limits::default()
    };
    let memory = Memory::new();
    memory.says(1, "begun");
    let place = serving(&memory, limits).await;
    let request = place.server.get("/api/v1/runs/1/events", &place.bearer);
    let mut first = place.server.connect().await;
    first.write_all(request.as_bytes()).await.unwrap();
    read_until(&mut first, "begun").await;
    let answer = place.server.raw(&request).await;
    assert_eq!((status(&answer), code(&answer).as_str()), (503, "MG5247"));
    assert_eq!(json(&answer)["retry"], "later");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    drop(first);
    sign(&memory.let_go).await;
    let mut second = place.server.connect().await;
    second.write_all(request.as_bytes()).await.unwrap();
    read_until(&mut second, "begun").await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_waited_for_within_a_bound() {
    let limits = Limits {
        request_time: Duration::from_millis(150),
        ..Limits::default()
    };
    let place = serving(&Memory::new(), limits).await;
    let request = place.server.post(&place.bearer, r#"{"verb":"list_backfills"}"#);
    let mut socket = place.server.connect().await;
    socket
        .write_all(&request.as_bytes()[..request.len() - 5])
        .await
        .unwrap();
    let answer = read_all(&mut socket).await;
    assert_eq!((status(&answer), code(&answer).as_str()), (408, "MG0047"));
    assert!(place.server.memory.performed().is_empty());
}

#[tokio::test]
async fn headers_have_bounds() {
    let place = serving(&Memory::new(), Limits::default()).await;
    let long = format!("X-Long: {}\r\n", "x".repeat(400_000));
    let many: String = (0..100).map(|number| format!("X-{number}: y\r\n")).collect();
    for headers in [long, many] {
        let answer = place.server.raw(&place.server.get("/livez", &headers)).await;
        // What was not read any more may take the answer with it.
        assert!(answer.is_empty() || status(&answer) == 431, "{answer}");
    }
    for nonsense in [
        "\r\n\r\n\r\nhello\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00",
        "GET /livez HTTP/9.9\r\n\r\n",
    ] {
        let answer = place.server.raw(nonsense).await;
        assert!(answer.is_empty() || status(&answer) == 400, "{answer}");
    }
    assert_eq!(status(&place.server.raw(&place.server.get("/livez", "")).await), 200);
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_cut_off() {
    let limits = Limits {
        write_stall: Duration::from_millis(150),
        ..Limits::default()
    };
    let memory = Memory::new();
    let place = serving(&memory, limits).await;
    let mut socket = place.server.connect().await;
    let request = place
        .server
        .get(&format!("/api/v1/runs/{ENDLESS}/events"), &place.bearer);
    socket.write_all(request.as_bytes()).await.unwrap();
    // The stream is let go although this side keeps the connection open.
    sign(&memory.let_go).await;
    drop(socket);
}

#[tokio::test]
async fn a_reader_that_hangs_up_is_noticed_in_a_stream_with_nothing_to_say() {
    let limits = Limits {
        stream_beat: Duration::from_millis(20),
        ..Limits::default()
    };
    let memory = Memory::new();
    memory.says(1, "begun");
    let place = serving(&memory, limits).await;
    let mut socket = place.server.connect().await;
    let request = place.server.get("/api/v1/runs/1/events", &place.bearer);
    socket.write_all(request.as_bytes()).await.unwrap();
    read_until(&mut socket, "begun").await;
    read_until(&mut socket, "1\r\n\n\r\n").await;
    drop(socket);
    tokio::time::timeout(FOREVER, sign(&memory.let_go)).await.unwrap();
}

#[tokio::test]
async fn noise_does_no_harm() {
    let place = serving(&Memory::new(), Limits::default()).await;
    let request = place.server.post(&place.bearer, r#"{"verb":"list_backfills"}"#);
    for seed in 0_u64..150 {
        // Noise alone, and a good request with some of its bytes changed.
        let mut noise = vec![0; 200];
        blake3::Hasher::new()
            .update(&seed.to_le_bytes())
            .finalize_xof()
            .fill(&mut noise);
        let mut bytes = request.clone().into_bytes();
        for change in noise.chunks_exact(20).take(usize::try_from(seed % 5).unwrap()) {
            let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
            bytes[at] = change[2];
        }
        let bytes = if seed % 3 == 0 { noise } else { bytes };
        let mut socket = place.server.connect().await;
        let _ = socket.write_all(&bytes).await;
        // A body that is shorter than it was said to be ends here too.
        let _ = socket.shutdown().await;
        let answer = read_all(&mut socket).await;
        assert!(
            answer.is_empty() || (200..500).contains(&status(&answer)),
            "{seed}: {answer}"
        );
    }
    assert_eq!(status(&place.server.raw(&place.server.get("/livez", "")).await), 200);
}
