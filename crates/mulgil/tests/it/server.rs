//! A server of a project, and what is seen of its runs.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::harness::Place;

/// A server of a project; it is killed with the test.
pub(crate) struct Server {
    child: Child,
    address: String,
}

impl Server {
    pub(crate) fn start(place: &Place) -> Self {
        Self::start_as(place, &["serve", "--port", "0"])
    }

    /// By another command, or with other flags.
    pub(crate) fn start_as(place: &Place, command: &[&str]) -> Self {
        Self::start_in(place, "", command)
    }

    /// Of a project in a folder of the place.
    pub(crate) fn start_in(place: &Place, folder: &str, command: &[&str]) -> Self {
        let mut command = place.command(command);
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(place.path().join("serve.log"))
            .unwrap();
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let presence = place.path().join(folder).join(".mulgil/dev.server.json");
        let address = until("the server says where it is", || {
            let told: Value = serde_json::from_slice(&fs::read(&presence).ok()?).ok()?;
            (told["pid"] == child.id()).then(|| told["address"].as_str().unwrap().to_owned())
        });
        Self { child, address }
    }

    /// Waits until it is ready.
    pub(crate) fn is_ready(&self) {
        until("it is ready", || (self.get("/readyz", None).0 == 200).then_some(()));
    }

    /// Sends it a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = std::process::Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Where it is.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The status and the body of an answer.
    pub(crate) fn get(&self, path: &str, token: Option<&str>) -> (u16, String) {
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

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// As a service manager ends it.
    pub(crate) fn end(mut self) -> Option<i32> {
        self.signal("TERM");
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
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_mins(1), "not in a minute: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// A file of the project folder.
pub(crate) fn read(place: &Place, path: &str) -> String {
    fs::read_to_string(place.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// How the steps of the newest run ended.
pub(crate) fn steps(place: &Place) -> Vec<String> {
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
pub(crate) fn newest(place: &Place, flow: &str) -> Option<Value> {
    let runs = place.mulgil(&["runs", "ls", "--json"]).ends_with(0).json();
    let selector = format!("flow:{flow}");
    runs.as_array()
        .unwrap()
        .iter()
        .find(|run| run["selector"] == selector.as_str())
        .cloned()
}
