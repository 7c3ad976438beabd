//! How a server ends.

use std::time::Duration;

use mulgil_server::{Drained, Limits};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::support::{FOREVER, Memory, read_all, read_until, serving, sign, status};

#[tokio::test]
async fn streams_end_with_a_last_event_and_the_door_is_closed() {
    let memory = Memory::new();
    memory.says(1, "begun");
    let place = serving(&memory, Limits::default()).await;
    let address = place.server.address;
    let mut reader = place.server.connect().await;
    let request = place.server.get("/api/v1/runs/1/events", &place.bearer);
    reader.write_all(request.as_bytes()).await.unwrap();
    read_until(&mut reader, "begun").await;
    let mut idle = place.server.connect().await;
    let drained = place.server.stop().await;
    assert_eq!(drained, Drained::default());
    let rest = read_all(&mut reader).await;
    assert!(
        rest.contains(r#""seq":1,"at":1795170000000000,"event":"draining"}"#),
        "{rest}"
    );
    assert!(rest.ends_with("0\r\n\r\n"), "the stream ends whole: {rest:?}");
    assert_eq!(read_all(&mut idle).await, "");
    assert!(TcpStream::connect(address).await.is_err());
    assert!(!place.folder.path().join("dev.server.json").exists());
    assert!(place.folder.path().join("dev.token").exists());
}

#[tokio::test]
async fn what_was_begun_is_finished() {
    let memory = Memory::gated();
    let place = serving(&memory, Limits::default()).await;
    let mut asker = place.server.connect().await;
    let request = place.server.post(&place.bearer, r#"{"verb":"run"}"#);
    asker.write_all(request.as_bytes()).await.unwrap();
    sign(&memory.begun).await;
    let ending = place.server.begin_to_stop();
    memory.gate.add_permits(1);
    assert_eq!(status(&read_all(&mut asker).await), 200);
    let drained = tokio::time::timeout(FOREVER, ending).await.unwrap().unwrap().unwrap();
    assert_eq!(drained, Drained::default());
}

#[tokio::test]
async fn what_does_not_end_is_cut_off_after_a_while() {
    let limits = Limits {
        drain: Duration::from_millis(100),
        ..Limits::default()
    };
    let memory = Memory::gated();
    let place = serving(&memory, limits).await;
    let mut asker = place.server.connect().await;
    let request = place.server.post(&place.bearer, r#"{"verb":"run"}"#);
    asker.write_all(request.as_bytes()).await.unwrap();
    sign(&memory.begun).await;
    let drained = place.server.stop().await;
    let cut = Drained {
        cut_connections: 1,
        cut_verbs: 1,
    };
    assert_eq!(drained, cut);
    assert_eq!(read_all(&mut asker).await, "");
    assert!(!place.folder.path().join("dev.server.json").exists());
}

#[tokio::test]
async fn who_waits_for_more_of_a_log_does_not_hold_the_end_up() {
    let memory = Memory::new();
    let place = serving(&memory, Limits::default()).await;
    let mut reader = place.server.connect().await;
    let request = place.server.get("/api/v1/attempts/1/log?wait=20", &place.bearer);
    reader.write_all(request.as_bytes()).await.unwrap();
    sign(&memory.begun).await;
    assert_eq!(place.server.stop().await, Drained::default());
    assert_eq!(status(&read_all(&mut reader).await), 200);
}
