//! A bucket for tests, in a store that heeds conditional puts, and projects whose tables lie in it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
};

use crate::harness::{Done, Place, copy_but};

/// What no message, ledger or table may hold.
pub(crate) const SECRET: &str = "hunter2hunter2";

/// Who owns the bucket; moto looks at the name and not at the signature.
const OWNER: &str = "Authorization: AWS4-HMAC-SHA256 \
                     Credential=AKIDTEST/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";

/// Moto, until the test ends.
pub(crate) struct Store {
    child: Child,
    pub(crate) port: u16,
}

impl Store {
    /// Starts it on a free port and waits until it answers.
    pub(crate) fn start() -> Self {
        let python = std::env::var("MULGIL_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        // The server tells the port that it was given, so no other test can take it in between.
        let script = "import sys, threading\n\
                      from moto.server import ThreadedMotoServer\n\
                      server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)\n\
                      server.start()\n\
                      print(server.get_host_and_port()[1], flush=True)\n\
                      sys.stdin.read()\n";
        let mut child = Command::new(python)
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let port = line.trim().parse().unwrap();
        let store = Self { child, port };
        store.ask("PUT", "/lake", "");
        store
    }

    /// One request in the name of the bucket's owner; gives the whole answer.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> String {
        self.ask_with(method, path, "", body)
    }

    /// The same with headers, each with its line's end.
    fn ask_with(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n{OWNER}\r\n{headers}Content-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("HTTP/1.1 2"), "{method} {path}: {answer}");
        answer
    }

    pub(crate) fn put(&self, path: &str, body: &str) {
        self.ask("PUT", &format!("/lake/{path}"), body);
    }

    /// Copies all objects below a prefix to another one.
    pub(crate) fn copy(&self, from: &str, to: &str) {
        for name in self.names(&format!("{from}/")) {
            let copy = name.replacen(from, to, 1);
            let source = format!("x-amz-copy-source: /lake/{name}\r\n");
            self.ask_with("PUT", &format!("/lake/{copy}"), &source, "");
        }
    }

    /// The names of all objects below a prefix.
    pub(crate) fn names(&self, prefix: &str) -> Vec<String> {
        let listed = self.ask("GET", &format!("/lake?list-type=2&prefix={prefix}"), "");
        listed
            .split("<Key>")
            .skip(1)
            .map(|part| part.split("</Key>").next().unwrap().to_owned())
            .collect()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program with credentials for the store, and none of whoever runs the tests.
pub(crate) fn command(place: &Place, words: &[&str]) -> Command {
    let mut command = place.command(words);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("AWS_") || name.to_ascii_lowercase().ends_with("_proxy") {
            command.env_remove(name);
        }
    }
    command
        .env("HOME", place.path())
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_ACCESS_KEY_ID", "AKIDTEST")
        .env("AWS_SECRET_ACCESS_KEY", SECRET);
    command
}

/// A project whose tables lie in its folder, or in a bucket.
pub(crate) struct World<'a> {
    pub(crate) place: Place,
    bucket: Option<(&'a Store, String)>,
}

impl<'a> World<'a> {
    /// A project over a bucket's prefix, or over its own folder.
    pub(crate) fn new(place: Place, bucket: Option<(&'a Store, &str)>) -> Self {
        let warehouse = bucket.map(|(store, prefix)| {
            let port = store.port;
            format!("{{url: 's3://lake/{prefix}', endpoint: 'http://127.0.0.1:{port}', allow_http: true}}")
        });
        settle(&place, warehouse.as_deref().unwrap_or("warehouse"));
        let bucket = bucket.map(|(store, prefix)| (store, prefix.to_owned()));
        Self { place, bucket }
    }

    /// Another one with the same files and tables; in the bucket they get a prefix of that name.
    pub(crate) fn again(&self, name: &str) -> Self {
        let place = Place::of("");
        copy_but(&[], self.place.path(), place.path());
        match &self.bucket {
            Some((store, prefix)) => {
                store.copy(prefix, name);
                Self::new(place, Some((*store, name)))
            }
            None => Self::new(place, None),
        }
    }

    /// Another project over the same tables, of which this one's ledger knows nothing.
    pub(crate) fn beside(&self) -> Self {
        let place = Place::of("");
        if let Some((store, prefix)) = &self.bucket {
            return Self::new(place, Some((*store, prefix)));
        }
        let folder = self.place.path().join("warehouse");
        settle(&place, &folder.display().to_string());
        Self { place, bucket: None }
    }

    /// The program, not started yet.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        match self.bucket {
            Some(_) => command(&self.place, words),
            None => self.place.command(words),
        }
    }

    /// Starts the program and waits for its end.
    pub(crate) fn mulgil(&self, words: &[&str]) -> Done {
        Done::of(self.command(words).output().unwrap())
    }

    /// Runs a script, to be killed at a place where there is one.
    pub(crate) fn script(&self, sql: &str, kill: Option<&str>) -> Done {
        // Scripts that run side by side have files of their own.
        let file = tempfile::Builder::new().suffix(".sql").tempfile().unwrap();
        std::fs::write(file.path(), sql).unwrap();
        let mut command = self.command(&["sql", "-o", "csv", "-f"]);
        command.arg(file.path());
        if let Some(kill) = kill {
            command.env("MULGIL_CRASH_TEST", kill);
        }
        Done::of(command.output().unwrap())
    }

    /// A query's rows as CSV without the header.
    #[track_caller]
    pub(crate) fn rows(&self, sql: &str) -> Vec<String> {
        self.mulgil(&["query", sql, "-o", "csv"]).ends_with(0).rows()
    }
}

/// Says where a project's tables lie.
fn settle(place: &Place, warehouse: &str) {
    let is_dbt = place.path().join("dbt_project.yml").exists();
    let name = if is_dbt { "" } else { "name: world\n" };
    place.write("mulgil.yml", &format!("{name}warehouse: {warehouse}\n"));
}

/// Whether the tests are to kill at every write, and to read a thousand times.
pub(crate) fn is_long() -> bool {
    std::env::var_os("MULGIL_LONG_TESTS").is_some()
}
