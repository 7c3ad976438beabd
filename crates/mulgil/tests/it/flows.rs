//! Flows as a person has them: run by hand, kept by a server, and gone on with after it was killed.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::harness::{Done, Place};

const SHOP: &str = r#"
=== mulgil.yml
name: shop
=== models/orders.sql
select 1 as id, 'kr' as country union all select 2, 'jp'
=== flows/daily.yml
description: What the shop does each morning
params:
  country: {type: string, default: kr, allowed: [kr, jp]}
steps:
  models: {models: orders}
  count:
    needs: [models]
    sql: "create or replace table shop.counted as select count(*) as orders from {{ ref('orders') }} where country = :country"
  tell:
    needs: [count]
    command: [sh, -c, "echo country $COUNTRY; cat; echo '{\"type\": \"result\", \"value\": {\"told\": 3}}' >> $MULGIL_EVENTS"]
    env: {COUNTRY: "{{ params.country }}"}
  after:
    needs: [tell]
    when: "{{ steps.tell.output.told > 2 }}"
    command: "echo told {{ steps.tell.output.told }} > after.txt"
  never:
    needs: [tell]
    when: "{{ steps.tell.output.told > 3 }}"
    command: "false"
finally:
  tidy: {command: "echo tidied > tidy.txt"}
=== flows/broken.yml
steps:
  fails:  {command: [sh, -c, "echo before; exit 3"], retry: {max: 1, delay: 1s}}
  behind: {needs: [fails], command: "true"}
=== flows/slow.yml
steps:
  sleeps: {command: "echo $$ >> pids.txt; while [ ! -e go ]; do sleep 0.1; done; echo done"}
"#;

fn shop() -> Place {
    Place::of(SHOP)
}

fn read(place: &Place, path: &str) -> String {
    fs::read_to_string(place.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// How the steps of the newest run ended.
fn steps(place: &Place) -> Vec<String> {
    let run = place.mulgil(&["runs", "show", "--json"]).ends_with(0).json();
    let tasks = run["task_runs"].as_array().unwrap().iter();
    let told = |task: &Value| {
        let name = task["node"].as_str().unwrap();
        let tries = task["attempts"].as_array().unwrap().len();
        format!(
            "{} {} {tries}",
            name.rsplit('/').next().unwrap(),
            task["state"].as_str().unwrap()
        )
    };
    tasks.filter(|task| task["kind"] == "step").map(told).collect()
}

/// The newest run of a flow, with its number.
fn newest(place: &Place, flow: &str) -> Option<Value> {
    let runs = place.mulgil(&["runs", "ls", "--json"]).ends_with(0).json();
    let selector = format!("flow:{flow}");
    runs.as_array()
        .unwrap()
        .iter()
        .find(|run| run["selector"] == selector.as_str())
        .cloned()
}

#[test]
fn a_flow_is_shown_and_run_step_by_step() {
    let place = shop();
    let listed = place.mulgil(&["flows", "ls"]).ends_with(0);
    assert!(
        listed.stdout.contains("daily") && listed.stdout.contains("slow"),
        "{}",
        listed.stdout
    );
    let shown = place.mulgil(&["flows", "show", "daily"]).ends_with(0);
    assert!(
        shown.stdout.contains("What the shop does each morning"),
        "{}",
        shown.stdout
    );

    place
        .mulgil(&["run", "flow:daily", "--param", "country=jp"])
        .ends_with(0);
    let run = newest(&place, "daily").unwrap()["run"].as_i64().unwrap().to_string();
    let told = place.mulgil(&["runs", "show", &run, "--json"]).ends_with(0).json();
    assert_eq!(told["state"], "success");
    assert_eq!(place.rows("select orders from shop.counted"), ["1"]);
    assert_eq!(read(&place, "after.txt"), "told 3\n");
    assert_eq!(read(&place, "tidy.txt"), "tidied\n");
    let log = place.mulgil(&["logs", &run]).ends_with(0).stdout;
    assert!(log.contains("country jp"), "{log}");
    assert!(log.contains(r#""params":{"country":"jp"}"#), "{log}");
    let states: Vec<String> = told["task_runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| format!("{} {}", task["node"].as_str().unwrap(), task["state"].as_str().unwrap()))
        .collect();
    assert!(states.contains(&"flow:daily/never skipped".to_owned()), "{states:?}");
}

#[test]
fn a_step_that_fails_is_tried_again_and_ends_the_run() {
    let place = shop();
    place.mulgil(&["run", "flow:broken"]).ends_with(1).says("MG4201");
    assert_eq!(steps(&place), ["fails failed 2", "behind upstream_failed 0"]);
    let log = place.mulgil(&["logs"]).ends_with(0).stdout;
    assert_eq!(log.matches("before").count(), 2, "{log}");
}

#[test]
fn what_is_wrong_is_told_before_anything_runs() {
    let place = shop();
    place.mulgil(&["run", "flow:dayly"]).ends_with(5).says("write `daily`");
    place
        .mulgil(&["run", "flow:daily", "--param", "country=de"])
        .ends_with(1)
        .says("MG4221");
    place
        .mulgil(&["run", "flow:daily", "--param", "land=kr"])
        .ends_with(1)
        .says("MG4222");
    place
        .mulgil(&["run", "flow:daily", "--interval", "2026-01-01"])
        .ends_with(2)
        .says("MG0003");
    place
        .mulgil(&["run", "orders", "--param", "a=b"])
        .ends_with(2)
        .says("models have no parameters");
    place.mulgil(&["runs", "cancel", "1"]).ends_with(1).says("MG4235");
    place.edit("flows/slow.yml", "command:", "comand:");
    place.mulgil(&["check"]).ends_with(3).says("flows/slow.yml:2");
    assert!(!place.path().join(".mulgil/dev.db").exists());
}

/// A server of a project; it is killed with the test.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(place: &Place) -> Self {
        let mut command = place.command(&["serve", "--port", "0"]);
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(place.path().join("serve.log"))
            .unwrap();
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let presence = place.path().join(".mulgil/dev.server.json");
        let address = until("the server says where it is", || {
            let told: Value = serde_json::from_slice(&fs::read(&presence).ok()?).ok()?;
            (told["pid"] == child.id()).then(|| told["address"].as_str().unwrap().to_owned())
        });
        Self { child, address }
    }

    /// The status and the body of an answer.
    fn get(&self, path: &str, token: Option<&str>) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let login = token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
        let host = &self.address;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {host}\r\n{login}Connection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer[9..12].parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// As a service manager ends it.
    fn end(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(std::process::Command::new("kill").arg(&pid).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for something that another process does.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_mins(1), "not in a minute: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn a_server_is_healthy_takes_work_over_and_ends_when_it_is_told_to() {
    let place = shop();
    let server = Server::start(&place);
    assert_eq!(server.get("/livez", None).0, 200);
    until("it is ready", || (server.get("/readyz", None).0 == 200).then_some(()));
    let health: Value = serde_json::from_str(&server.get("/health", None).1).unwrap();
    assert_eq!(health["metadatabase"]["status"], "healthy");
    assert_eq!(health["scheduler"]["status"], "healthy");
    assert!(health["scheduler"]["latest_scheduler_heartbeat"].is_string());
    assert_eq!(server.get("/metrics", None).0, 401);
    let token = read(&place, ".mulgil/dev.token");
    let (status, metrics) = server.get("/metrics", Some(token.trim()));
    assert_eq!(status, 200);
    assert!(
        metrics.contains("\nmulgil_scheduler_heartbeat_age_seconds "),
        "{metrics}"
    );

    // What a person types is done by the server, and followed.
    place
        .mulgil(&["run", "flow:daily"])
        .ends_with(0)
        .says("in the server")
        .says("success");
    place.mulgil(&["run", "flow:broken"]).ends_with(1).says("MG4201");
    place
        .mulgil(&["run", "orders", "--full"])
        .ends_with(0)
        .says("in the server");
    place.mulgil(&["run"]).ends_with(0).says("nothing is due");

    let slow = place
        .command(&["run", "flow:slow"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let run = until("the slow flow runs", || {
        let run = newest(&place, "slow")?;
        place
            .path()
            .join("pids.txt")
            .exists()
            .then(|| run["run"].as_i64().unwrap().to_string())
    });
    place.mulgil(&["runs", "cancel", &run]).ends_with(0).says("told to end");
    Done::of(slow.wait_with_output().unwrap())
        .ends_with(1)
        .says("cancelled");
    assert_eq!(steps(&place), ["sleeps cancelled 1"]);
    assert_eq!(server.end(), Some(0));
    assert!(!place.path().join(".mulgil/dev.server.json").exists());
}

#[test]
fn a_process_outlives_its_killed_server_and_the_next_one_goes_on_with_it() {
    let place = shop();
    let server = Server::start(&place);
    until("it is ready", || (server.get("/readyz", None).0 == 200).then_some(()));
    let mut followed = place
        .command(&["run", "flow:slow"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("the process runs", || {
        place.path().join("pids.txt").exists().then_some(())
    });
    server.kill();
    followed.kill().unwrap();
    followed.wait().unwrap();
    let server = Server::start(&place);
    until("it is ready", || (server.get("/readyz", None).0 == 200).then_some(()));
    assert_eq!(newest(&place, "slow").unwrap()["state"], "running");
    place.write("go", "");
    until("the run has ended", || {
        (newest(&place, "slow")?["state"] == "success").then_some(())
    });
    // The same process, one attempt.
    assert_eq!(read(&place, "pids.txt").lines().count(), 1);
    assert_eq!(steps(&place), ["sleeps success 1"]);
    let log = place.mulgil(&["logs"]).ends_with(0).stdout;
    assert!(log.contains("done"), "{log}");
    assert_eq!(server.end(), Some(0));
}
