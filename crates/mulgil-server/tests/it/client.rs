//! The command line's side against real servers.

use std::{os::unix::fs::PermissionsExt as _, time::Duration};

use mulgil_server::{
    Answered, Event, Happened, Limits, Run, Select, Target, Verb,
    client::{Client, Patience},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::support::{FOREVER, Memory, Server, VERSION, ended, serving, sign, unknown_node};

fn quick() -> Patience {
    Patience {
        connect: Duration::from_millis(200),
        pause: Duration::from_millis(10),
        lost: Duration::from_millis(300),
        ..Patience::default()
    }
}

fn run(selector: &str) -> Verb {
    Verb::Run(Run {
        select: Select {
            chosen: vec![selector.to_owned()],
            exclude: Vec::new(),
        },
        ..Run::default()
    })
}

async fn find(folder: &std::path::Path) -> Option<Client> {
    Client::find_with(folder, "dev", VERSION, quick()).await.unwrap()
}

#[tokio::test]
async fn a_verb_goes_over_and_what_comes_back_is_as_it_was() {
    let place = serving(&Memory::new(), Limits::default()).await;
    let client = find(place.folder.path()).await.unwrap();
    assert_eq!(client.presence().address, place.server.address);
    let answer = client.send(&run("+sales")).await.unwrap();
    assert_eq!(answer.what, Answered::RunQueued { run: 1 });
    assert_eq!(answer.follow, Some(Target::Run(1)));
    assert_eq!(place.server.memory.performed(), [run("+sales")]);
    assert_eq!(client.send(&run("sale")).await.unwrap_err(), unknown_node());
    let readiness = client.readiness().await.unwrap();
    assert!(readiness.is_ready());
    place.server.memory.health.lock().unwrap().draining = true;
    place.server.memory.log.lock().unwrap().push_str("a line\n");
    let chunk = client.log_tail(2, 2, Duration::ZERO).await.unwrap();
    assert_eq!((chunk.text.as_str(), chunk.next, chunk.ended), ("line\n", 7, true));
}

#[tokio::test]
async fn where_no_server_is_none_is_found() {
    let folder = tempfile::tempdir().unwrap();
    assert!(find(folder.path()).await.is_none());
    assert!(find(&folder.path().join("nowhere")).await.is_none());
    let server = Server::start(folder.path(), &Memory::new(), Limits::default()).await;
    assert!(find(folder.path()).await.is_some());
    assert!(Client::find(folder.path(), "prod", VERSION).await.unwrap().is_none());
    server.kill().await;
    assert!(folder.path().join("dev.server.json").exists());
    assert!(
        find(folder.path()).await.is_none(),
        "what a killed server left behind is no server"
    );
    std::fs::write(folder.path().join("dev.server.json"), "{").unwrap();
    assert!(find(folder.path()).await.is_none());
}

#[tokio::test]
async fn the_token_is_not_told_to_somebody_else_at_the_same_port() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &Memory::new(), Limits::default()).await;
    let address = server.address;
    server.kill().await;
    let token = Server::token(folder.path());
    let stranger = TcpListener::bind(address).await.unwrap();
    let heard = tokio::spawn(async move {
        let (mut socket, _) = stranger.accept().await.unwrap();
        let mut heard = vec![0; 4096];
        let count = socket.read(&mut heard).await.unwrap();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nmulgil-proof: {}\r\nContent-Length: 0\r\n\r\n",
            "0".repeat(64)
        );
        socket.write_all(answer.as_bytes()).await.unwrap();
        let _ = socket.read_to_end(&mut heard).await;
        String::from_utf8_lossy(&heard[..count]).into_owned()
    });
    assert!(find(folder.path()).await.is_none());
    let heard = tokio::time::timeout(FOREVER, heard).await.unwrap().unwrap();
    assert!(heard.starts_with("GET /livez HTTP/1.1\r\n"), "{heard}");
    assert!(
        !heard.contains(&token) && !heard.to_ascii_lowercase().contains("authorization"),
        "{heard}"
    );
}

#[tokio::test]
async fn a_proof_is_of_one_address_and_one_start() {
    let place = serving(&Memory::new(), Limits::default()).await;
    let folder = place.folder.path();
    // Somebody else's server, with a token of its own, in a folder that says it is ours.
    let other = serving(&Memory::new(), Limits::default()).await;
    let ours = std::fs::read_to_string(folder.join("dev.server.json")).unwrap();
    let theirs = ours.replace(&place.server.address.to_string(), &other.server.address.to_string());
    std::fs::write(folder.join("dev.server.json"), &theirs).unwrap();
    assert!(find(folder).await.is_none());
    // The same server under another name of a start.
    let instance = mulgil_server::Presence::read(folder, "dev").unwrap().unwrap().instance;
    std::fs::write(folder.join("dev.server.json"), ours.replace(&instance, &"0".repeat(64))).unwrap();
    assert!(find(folder).await.is_none());
    // One that passes on what it is asked to the real one: the proof is of the real one's address.
    let middle = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let between = ours.replace(
        &place.server.address.to_string(),
        &middle.local_addr().unwrap().to_string(),
    );
    std::fs::write(folder.join("dev.server.json"), between).unwrap();
    let real = place.server.address;
    let relay = tokio::spawn(async move {
        let (mut near, _) = middle.accept().await.unwrap();
        let mut heard = vec![0; 4096];
        let count = near.read(&mut heard).await.unwrap();
        let heard = String::from_utf8_lossy(&heard[..count])
            .replace(&middle.local_addr().unwrap().to_string(), &real.to_string());
        let mut far = tokio::net::TcpStream::connect(real).await.unwrap();
        far.write_all(heard.as_bytes()).await.unwrap();
        let mut answer = vec![0; 4096];
        let count = far.read(&mut answer).await.unwrap();
        near.write_all(&answer[..count]).await.unwrap();
        let _ = near.read(&mut [0; 1]).await;
        String::from_utf8_lossy(&answer[..count]).into_owned()
    });
    assert!(find(folder).await.is_none());
    let passed_on = tokio::time::timeout(FOREVER, relay).await.unwrap().unwrap();
    assert!(passed_on.starts_with("HTTP/1.1 200 OK\r\n") && passed_on.contains("mulgil-proof: "));
}

#[tokio::test]
async fn a_server_that_hangs_is_told_from_none() {
    let place = serving(&Memory::new(), Limits::default()).await;
    let folder = place.folder.path();
    let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let file = folder.join("dev.server.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let hangs = text.replace(
        &place.server.address.to_string(),
        &hanging.local_addr().unwrap().to_string(),
    );
    std::fs::write(&file, hangs).unwrap();
    let fault = Client::find_with(folder, "dev", VERSION, quick()).await.unwrap_err();
    assert_eq!(fault.code.to_string(), "MG5245");
    assert!(fault.message.contains(&std::process::id().to_string()));
    // An address that is not of this machine is no server of ours.
    std::fs::write(&file, text.replace("127.0.0.1", "192.0.2.1")).unwrap();
    assert!(find(folder).await.is_none());
}

#[tokio::test]
async fn a_token_that_others_may_read_is_not_used() {
    let place = serving(&Memory::new(), Limits::default()).await;
    let token = place.folder.path().join("dev.token");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).unwrap();
    let fault = Client::find(place.folder.path(), "dev", VERSION).await.unwrap_err();
    assert_eq!(fault.code.to_string(), "MG5243");
}

#[tokio::test]
async fn a_verb_that_takes_long_is_waited_for() {
    let limits = Limits {
        verb_wait: Duration::from_millis(20),
        ..Limits::default()
    };
    let memory = Memory::gated();
    let place = serving(&memory, limits).await;
    let client = find(place.folder.path()).await.unwrap();
    let sending = tokio::spawn(async move { client.send(&run("sales")).await });
    sign(&memory.begun).await;
    // It was told to ask again before the gate opens: besides these questions and those that were asked
    // before, there are answers.
    let before = 2 + 1;
    let pending = async {
        let mut asked = 0.0;
        loop {
            let answer = place.server.raw(&place.server.get("/metrics", &place.bearer)).await;
            let of_class = |line: &&str| line.starts_with("mulgil_http_responses_total{class=\"2xx\"}");
            let count = answer.lines().find(of_class).unwrap().rsplit(' ').next().unwrap();
            let answered = count.parse::<f64>().unwrap() - asked - f64::from(before);
            asked += 1.0;
            if answered >= 4.0 {
                break;
            }
        }
    };
    tokio::time::timeout(FOREVER, pending).await.unwrap();
    memory.gate.add_permits(1);
    let answer = sending.await.unwrap().unwrap();
    assert_eq!(answer.what, Answered::RunQueued { run: 1 });
    assert_eq!(memory.performed().len(), 1);
}

#[tokio::test]
async fn what_became_of_a_verb_is_not_guessed() {
    let memory = Memory::gated();
    let place = serving(&memory, Limits::default()).await;
    let client = find(place.folder.path()).await.unwrap();
    let asker = client.clone();
    let sending = tokio::spawn(async move { asker.send(&run("sales")).await });
    sign(&memory.begun).await;
    place.server.kill().await;
    let refusal = sending.await.unwrap().unwrap_err();
    assert_eq!(refusal.fault.code.to_string(), "MG5246");
    // Another server may be there by now; it is not asked for what the first one may have done.
    let second = Memory::new();
    let server = Server::start(place.folder.path(), &second, Limits::default()).await;
    let refusal = client.send(&run("sales")).await.unwrap_err();
    assert_eq!(refusal.fault.code.to_string(), "MG5245");
    assert!(second.performed().is_empty());
    server.stop().await;
}

/// The texts of events, in their order.
fn told(event: &Event) -> String {
    match &event.what {
        Happened::Said { text } => format!("{} {text}", event.seq),
        Happened::Ended(end) => format!("{} ended {}", event.seq, end.exit),
        Happened::Draining {} => "draining".to_owned(),
        other => format!("{} {other:?}", event.seq),
    }
}

#[tokio::test]
async fn a_run_is_followed_over_restarts_without_a_gap_or_a_double() {
    let memory = Memory::new();
    memory.says(1, "one");
    memory.says(1, "two");
    let place = serving(&memory, Limits::default()).await;
    let folder = place.folder.path();
    let patience = Patience {
        lost: FOREVER,
        ..quick()
    };
    let client = Client::find_with(folder, "dev", VERSION, patience)
        .await
        .unwrap()
        .unwrap();
    let mut follow = client.follow(Target::Run(1), 1);
    let mut all = Vec::new();
    let next = async |follow: &mut mulgil_server::client::Follow| {
        let next = tokio::time::timeout(FOREVER, follow.next())
            .await
            .expect("an event comes");
        next.map(|event| told(&event.unwrap()))
    };
    all.push(next(&mut follow).await.unwrap());
    all.push(next(&mut follow).await.unwrap());
    // It stops, and comes back at another port.
    place.server.stop().await;
    all.push(next(&mut follow).await.unwrap());
    memory.says(1, "three");
    let second = Server::start(folder, &memory, Limits::default()).await;
    all.push(next(&mut follow).await.unwrap());
    // It is killed, and comes back.
    second.kill().await;
    let third = Server::start(folder, &memory, Limits::default()).await;
    memory.says(1, "four");
    memory.happens(1, ended());
    while let Some(event) = next(&mut follow).await {
        all.push(event);
    }
    assert_eq!(all, ["1 one", "2 two", "draining", "3 three", "4 four", "5 ended 0"]);
    assert!(follow.next().await.is_none());
    third.stop().await;
}

#[tokio::test]
async fn following_ends_with_a_fault_where_it_cannot_go_on() {
    let memory = Memory::new();
    memory.says(1, "one");
    let place = serving(&memory, Limits::default()).await;
    let client = find(place.folder.path()).await.unwrap();
    let mut nowhere = client.follow(Target::Run(99), 1);
    assert_eq!(nowhere.next().await.unwrap().unwrap_err().code.to_string(), "MG0002");
    assert!(nowhere.next().await.is_none());
    let mut follow = client.follow(Target::Run(1), 1);
    assert_eq!(told(&follow.next().await.unwrap().unwrap()), "1 one");
    place.server.kill().await;
    let fault = follow.next().await.unwrap().unwrap_err();
    assert_eq!(fault.code.to_string(), "MG5245");
    assert!(fault.remedy.unwrap().contains("mulgil runs show 1"));
    assert!(follow.next().await.is_none());
}

#[tokio::test]
async fn a_command_line_of_another_version_hears_so() {
    let place = serving(&Memory::new(), Limits::default()).await;
    let newer = Client::find(place.folder.path(), "dev", "9.9.9")
        .await
        .unwrap()
        .unwrap();
    // What both know is done.
    assert!(newer.send(&run("sales")).await.is_ok());
}
