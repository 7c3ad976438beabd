//! What is handed over is done once, by a server that understands it.

use std::time::Duration;

use mulgil_server::{Limits, Verb};
use tokio::io::AsyncWriteExt as _;

use crate::support::{Memory, PANICS, code, json, serving, sign, status};

const RUN: &str = r#"{"verb":"run","select":{"chosen":["+sales"]}}"#;

#[tokio::test]
async fn a_verb_is_answered_and_a_refusal_tells_all_its_faults() {
    let place = serving(&Memory::new(), Limits::default()).await;
    let server = &place.server;
    let answer = server.raw(&server.post(&place.bearer, RUN)).await;
    assert_eq!(status(&answer), 200, "{answer}");
    let body = json(&answer);
    assert_eq!(body["what"], serde_json::json!({"kind": "run_queued", "run": 1}));
    assert_eq!(body["follow"], serde_json::json!({"kind": "run", "id": 1}));
    let refused = server
        .raw(&server.post(&place.bearer, &RUN.replace("+sales", "sale")))
        .await;
    assert_eq!((status(&refused), code(&refused).as_str()), (404, "MG0002"));
    let problem = json(&refused);
    assert_eq!(
        problem["place"],
        serde_json::json!({"file": "models/a.sql", "line": 3, "column": 19})
    );
    assert_eq!(problem["do"], "did you mean `sales`?");
    assert_eq!(problem["others"][0]["code"], "MG1014");
    assert_eq!(server.memory.performed().len(), 2);
}

#[tokio::test]
async fn the_same_request_over_another_connection_is_done_once() {
    let memory = Memory::gated();
    let place = serving(&memory, Limits::default()).await;
    let server = &place.server;
    let id = format!("{}mulgil-request: {}\r\n", place.bearer, "a".repeat(64));
    let mut first = server.connect().await;
    first.write_all(server.post(&id, RUN).as_bytes()).await.unwrap();
    sign(&memory.begun).await;
    // Who asked hangs up, and asks again while it is being done and after.
    drop(first);
    let mut second = server.connect().await;
    second.write_all(server.post(&id, RUN).as_bytes()).await.unwrap();
    memory.gate.add_permits(1);
    let answer = crate::support::read_all(&mut second).await;
    assert_eq!(json(&answer)["what"]["run"], 1);
    let again = server.raw(&server.post(&id, RUN)).await;
    assert_eq!(json(&again), json(&answer));
    assert_eq!(memory.performed().len(), 1);
    let other = server.raw(&server.post(&id, r#"{"verb":"list_backfills"}"#)).await;
    assert_eq!((status(&other), code(&other).as_str()), (400, "MG0042"));
    assert_eq!(memory.performed().len(), 1);
}

#[tokio::test]
async fn a_verb_goes_on_when_who_asked_hangs_up() {
    let memory = Memory::gated();
    let place = serving(&memory, Limits::default()).await;
    let mut socket = place.server.connect().await;
    let request = place.server.post(&place.bearer, RUN);
    socket.write_all(request.as_bytes()).await.unwrap();
    sign(&memory.begun).await;
    drop(socket);
    memory.gate.add_permits(1);
    sign(&memory.done).await;
    assert!(matches!(&memory.performed()[..], [Verb::Run(_)]));
}

#[tokio::test]
async fn a_verb_that_takes_long_is_asked_for_again() {
    let limits = Limits {
        verb_wait: Duration::from_millis(50),
        ..Limits::default()
    };
    let memory = Memory::gated();
    let place = serving(&memory, limits).await;
    let server = &place.server;
    let id = format!("{}mulgil-request: {}\r\n", place.bearer, "b".repeat(64));
    let answer = server.raw(&server.post(&id, RUN)).await;
    assert_eq!(
        (status(&answer), json(&answer)["status"].as_str()),
        (202, Some("pending"))
    );
    memory.gate.add_permits(1);
    sign(&memory.done).await;
    let answer = server.raw(&server.post(&id, RUN)).await;
    assert_eq!((status(&answer), memory.performed().len()), (200, 1));
}

#[tokio::test]
async fn verbs_at_once_have_a_bound() {
    let limits = Limits {
        verbs: 1,
        ..Limits::default()
    };
    let memory = Memory::gated();
    let place = serving(&memory, limits).await;
    let server = &place.server;
    let mut first = server.connect().await;
    first
        .write_all(server.post(&place.bearer, RUN).as_bytes())
        .await
        .unwrap();
    sign(&memory.begun).await;
    let answer = server.raw(&server.post(&place.bearer, RUN)).await;
    assert_eq!((status(&answer), code(&answer).as_str()), (503, "MG5247"));
    memory.gate.add_permits(2);
    assert_eq!(status(&crate::support::read_all(&mut first).await), 200);
    assert_eq!(memory.performed().len(), 1);
}

#[tokio::test]
async fn a_panic_ends_one_request_and_not_the_server() {
    let place = serving(&Memory::new(), Limits::default()).await;
    let server = &place.server;
    let verb = format!(r#"{{"verb":"cancel_run","run":{PANICS}}}"#);
    let answer = server.raw(&server.post(&place.bearer, &verb)).await;
    assert_eq!((status(&answer), code(&answer).as_str()), (500, "MG9001"));
    assert_eq!(status(&server.raw(&server.post(&place.bearer, RUN)).await), 200);
}

#[tokio::test]
async fn other_versions_are_named_where_they_do_not_understand_each_other() {
    let place = serving(&Memory::new(), Limits::default()).await;
    let server = &place.server;
    let newer = format!("{}mulgil-version: 0.2.0\r\nmulgil-protocol: 1\r\n", place.bearer);
    // What both know is done, whatever the versions.
    assert_eq!(status(&server.raw(&server.post(&newer, RUN)).await), 200);
    let unknown = server.raw(&server.post(&newer, r#"{"verb":"run","priority":5}"#)).await;
    assert_eq!((status(&unknown), code(&unknown).as_str()), (400, "MG0041"));
    let said = json(&unknown)["message"].as_str().unwrap().to_owned();
    assert!(
        said.starts_with("the server is mulgil 0.1.0, the command line is mulgil 0.2.0,"),
        "{said}"
    );
    assert!(said.contains("unknown field `priority`"), "{said}");
    let unknown = server.raw(&server.post(&newer, r#"{"verb":"dance"}"#)).await;
    assert_eq!(code(&unknown), "MG0041");
    let same = newer.replace("0.2.0", "0.1.0");
    let unknown = server.raw(&server.post(&same, r#"{"verb":"run","priority":5}"#)).await;
    assert_eq!(code(&unknown), "MG0042");
    let protocol = newer.replace("protocol: 1", "protocol: 2");
    let refused = server.raw(&server.post(&protocol, RUN)).await;
    assert_eq!(code(&refused), "MG0041");
    assert_eq!(server.memory.performed().len(), 1);
}
