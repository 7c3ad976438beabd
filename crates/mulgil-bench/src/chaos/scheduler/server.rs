//! A server of the program under test: started, asked, signalled, waited for.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::processes;
use crate::wait;

/// How often a server is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// How long a server may take until it is ready.
const START: Duration = Duration::from_secs(45);

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(20);

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Start {
    /// Variables beside those that it always has.
    pub(crate) variables: Vec<(String, String)>,
    /// What starts it, before its own words: `strace …`.
    pub(crate) before: Vec<String>,
}

/// A server that was started.
pub(crate) struct Server {
    child: Child,
    /// The server's own process, which is not the child's where something stands before it.
    pub(crate) pid: u32,
    /// How long it took to be ready.
    pub(crate) ready_after: Duration,
}

/// Where a project has its server, its token and what the server says.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    project: PathBuf,
}

impl Door {
    /// The door of a project.
    pub(crate) fn of(project: &Path) -> Self {
        Self {
            project: project.to_owned(),
        }
    }

    pub(crate) fn presence(&self) -> Option<Value> {
        serde_json::from_slice(&fs::read(self.project.join(".mulgil/dev.server.json")).ok()?).ok()
    }

    /// The status and the body of an answer.
    pub(crate) fn get(&self, path: &str) -> Result<(u16, String)> {
        self.ask("GET", path, None)
    }

    /// Whether the server does its work. That the disk of this machine is rather full is no matter here.
    pub(crate) fn is_ready(&self) -> bool {
        self.get("/readyz").is_ok_and(|(status, body)| {
            let body: Value = serde_json::from_str(&body).unwrap_or(Value::Null);
            let reasons = body["reasons"].as_array().map_or(&[][..], Vec::as_slice);
            status == 200 || !reasons.is_empty() && reasons.iter().all(|reason| reason == "disk")
        })
    }

    /// Hands a verb over.
    pub(crate) fn verb(&self, verb: &Value) -> Result<(u16, Value)> {
        let (status, body) = self.ask("POST", "/api/v1/verbs", Some(&verb.to_string()))?;
        Ok((status, serde_json::from_str(&body).unwrap_or(Value::Null)))
    }

    fn ask(&self, method: &str, path: &str, body: Option<&str>) -> Result<(u16, String)> {
        let presence = self.presence().context("no server says where it is")?;
        let address = presence["address"].as_str().context("a server without an address")?;
        let version = presence["version"].as_str().unwrap_or_default();
        let token = fs::read_to_string(self.project.join(".mulgil/dev.token"))?;
        let mut stream = TcpStream::connect_timeout(&address.parse()?, ANSWER)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(ANSWER))?;
        let body = body.unwrap_or_default();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             mulgil-protocol: 1\r\nmulgil-version: {version}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            token.trim(),
            body.len(),
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer.get(9..12).and_then(|status| status.parse().ok());
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        Ok((status.context("no status")?, body.context("no body")?))
    }
}

impl Server {
    /// Starts one without waiting for anything.
    pub(crate) fn spawn(program: &Path, project: &Path, slots: usize, start: &Start) -> Result<Self> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(project.with_extension("log"))?;
        let mut words: Vec<&str> = start.before.iter().map(String::as_str).collect();
        let own = program.to_str().context("the program's path is no text")?;
        let slots = slots.to_string();
        words.extend([own, "serve", "--port", "0", "--slots", &slots]);
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .current_dir(project)
            .env_clear()
            .envs(start.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0);
        for name in ["PATH", "HOME", "LANG"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        let child = command.spawn().with_context(|| format!("{words:?}"))?;
        let pid = child.id();
        Ok(Self {
            child,
            pid,
            ready_after: Duration::ZERO,
        })
    }

    /// Waits until it is ready; gives false where it ended before that.
    ///
    /// # Errors
    /// Where it does neither in time.
    pub(crate) fn ready(&mut self, project: &Path) -> Result<bool> {
        let door = Door::of(project);
        let began = Instant::now();
        let ready = wait::until(START, LOOK, || {
            if self.has_ended()?.is_some() {
                return Ok(Some(false));
            }
            let told = door.presence().and_then(|presence| presence["pid"].as_u64());
            if let Some(pid) = told.map(|pid| pid as u32).filter(|pid| self.is_of_this(*pid)) {
                self.pid = pid;
                if door.is_ready() {
                    self.ready_after = began.elapsed();
                    return Ok(Some(true));
                }
            }
            Ok(None)
        })?;
        ready.with_context(|| {
            let (start, said) = (START.as_secs(), door.get("/readyz"));
            format!("the server was not ready in {start} s: {said:?}")
        })
    }

    /// Whether a process is the child or stands directly behind it.
    fn is_of_this(&self, pid: u32) -> bool {
        let own = self.child.id();
        let parent = fs::read_to_string(format!("/proc/{pid}/stat"))
            .ok()
            .and_then(|stat| stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok());
        pid == own || parent == Some(own)
    }

    /// How it ended; nothing where it has not.
    pub(crate) fn has_ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        processes::signal(self.pid, signal);
    }

    /// Kills it without a warning.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.signal(Signal::SIGKILL);
        if self.pid != self.child.id() {
            // Who stands before it ends with it, or is ended.
            self.wait(Duration::from_secs(2))?;
            let _ = self.child.kill();
        }
        self.child.wait()?;
        Ok(())
    }

    /// Waits for its end, so long; nothing where it goes on.
    pub(crate) fn wait(&mut self, patience: Duration) -> Result<Option<ExitStatus>> {
        wait::until(patience, LOOK, || Ok(self.child.try_wait()?))
    }

    /// Ends it as a service manager does; gives its exit code.
    ///
    /// # Errors
    /// Where it does not end in time; then it is killed.
    pub(crate) fn end(mut self, patience: Duration) -> Result<Option<i32>> {
        self.signal(Signal::SIGTERM);
        if let Some(status) = self.wait(patience)? {
            return Ok(status.code());
        }
        self.kill()?;
        bail!("the server did not end in {} s after SIGTERM", patience.as_secs())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended cannot be killed.
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.signal(Signal::SIGKILL);
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
