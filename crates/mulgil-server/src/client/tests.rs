//! What only a server of another version, or one that breaks off, can show.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use mulgil_core::interval::Instant as Moment;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::*;
use crate::event::Answered;

const INSTANCE: &str = "start";

/// A server of another version that knows the token: proves itself, and answers what comes then as
/// it is told, one after the other; an empty answer closes the connection.
struct Newer {
    folder: tempfile::TempDir,
    heard: Arc<Mutex<Vec<String>>>,
    _work: JoinSet<()>,
}

impl Newer {
    async fn that_says(answers: Vec<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let token = Token::load_or_make(folder.path(), "dev").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let presence = Presence {
            address,
            pid: 1,
            started_at: Moment(0).to_timestamp(),
            version: "9.0.0".to_owned(),
            instance: INSTANCE.to_owned(),
        };
        presence.write(folder.path(), "dev").unwrap();
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let told = Arc::clone(&heard);
        let mut work = JoinSet::new();
        work.spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let proof = prove(&mut socket, &token, address).await;
                socket.write_all(proof.as_bytes()).await.unwrap();
                let request = request(&mut socket).await;
                if request.is_empty() {
                    continue;
                }
                let count = {
                    let mut told = told.lock().unwrap();
                    told.push(request);
                    told.len()
                };
                let answer = answers.get(count - 1).cloned().unwrap_or_default();
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self {
            folder,
            heard,
            _work: work,
        }
    }

    async fn client(&self) -> Client {
        let found = Client::find(self.folder.path(), "dev", "0.1.0").await;
        found.unwrap().unwrap()
    }
}

async fn prove(socket: &mut TcpStream, token: &Token, address: SocketAddr) -> String {
    let asked = request(socket).await;
    let challenge = asked
        .lines()
        .find_map(|line| line.strip_prefix("mulgil-challenge: "))
        .unwrap();
    let proof = token.proof(address, INSTANCE, challenge);
    format!("HTTP/1.1 200 OK\r\nmulgil-proof: {proof}\r\nContent-Length: 0\r\n\r\n")
}

async fn request(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .split("content-length: ")
                .nth(1)
                .and_then(|rest| rest.lines().next()?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => return String::new(),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

fn answer(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nmulgil-version: 9.0.0\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn what_a_newer_server_says_and_is_not_known_here_is_said_so() {
    let newer = Newer::that_says(vec![
        answer("200 OK", r#"{"what":{"kind":"danced"}}"#),
        answer(
            "200 OK",
            r#"{"what":{"kind":"nothing_due","colour":"red"},"mood":"good"}"#,
        ),
        answer("418 I'm a teapot", "short and stout"),
        answer("200 OK", "{\"seq\":1,\"at\":0,\"event\":\"danced\"}\n"),
    ])
    .await;
    let client = newer.client().await;
    let verb = Verb::ListBackfills {};
    let fault = client.send(&verb).await.unwrap_err().fault;
    assert_eq!(fault.code, codes::OTHER_VERSION);
    assert!(
        fault
            .message
            .starts_with("the server is mulgil 9.0.0, the command line is mulgil 0.1.0,")
    );
    // More than is known about what is known is no matter.
    assert_eq!(client.send(&verb).await.unwrap().what, Answered::NothingDue {});
    let fault = client.send(&verb).await.unwrap_err().fault;
    assert_eq!(fault.code, codes::OTHER_VERSION);
    let mut follow = client.follow(Target::Run(1), 1);
    assert_eq!(follow.next().await.unwrap().unwrap_err().code, codes::OTHER_VERSION);
    assert!(follow.next().await.is_none());
}

#[tokio::test]
async fn a_verb_is_sent_again_under_its_id_when_the_connection_breaks() {
    let done = answer("200 OK", r#"{"what":{"kind":"nothing_due"}}"#);
    let newer = Newer::that_says(vec![String::new(), String::new(), done]).await;
    let client = newer.client().await;
    let verb = Verb::ListBackfills {};
    assert_eq!(client.send(&verb).await.unwrap().what, Answered::NothingDue {});
    let heard = newer.heard.lock().unwrap().clone();
    let ids: Vec<_> = heard
        .iter()
        .map(|request| {
            request
                .lines()
                .find_map(|line| line.strip_prefix("mulgil-request: "))
                .unwrap()
        })
        .collect();
    assert_eq!((ids.len(), ids[0], ids[1]), (3, ids[1], ids[2]));
    // It does not go on for ever.
    let fault = client.send(&verb).await.unwrap_err().fault;
    assert_eq!(fault.code, codes::OUTCOME_UNKNOWN);
    assert_eq!(newer.heard.lock().unwrap().len(), 3 + 1 + RESENT as usize);
}
