//! One attempt, from its order to its exit record.

use std::{
    io::{self, PipeReader, Read as _},
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::net::UnixListener,
    },
    path::PathBuf,
    time::{Duration, Instant as Clock},
};

use mulgil_core::{diagnostic::Diagnostic, interval::Instant};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        resource::{Usage, UsageWho, getrusage},
        signal::{Signal, killpg},
        time::TimeValLike as _,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use super::{
    control::Control,
    events::Events,
    host::{self, Host},
    record,
    warm::{News, Warm},
};
use crate::{
    clock,
    exit::{Exit, Why},
    folder,
    kin::{self, Groups},
    lifeline::{self, Lifeline},
    log::{LogStream, LogWriter},
    mask::Forms,
    process,
    python::{self, PythonStep},
    spec::{Order, Program, State, Task, VERSION},
};

/// A task that lives longer than this gets a control group; for shorter ones making it would cost more
/// than they do.
const GROUP_AFTER: Duration = Duration::from_millis(50);

/// How often the memory of a task is looked at.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// How often SIGKILL is repeated, for what the kernel cannot end at once.
const KILL_AGAIN: Duration = Duration::from_secs(1);

/// How long a task may tidy up when nobody has the right to run it any more: another server may start it
/// again soon.
const LAST_GRACE: Duration = Duration::from_secs(5);

/// Bytes that are read from a pipe at once, and how often before others have their turn.
const READ_BYTES: usize = 64 * 1024;
const READS_IN_A_ROW: usize = 16;

/// The log of an attempt, and what must not be in it.
pub(crate) struct Outputs {
    pub(crate) forms: Forms,
    log: LogWriter,
    streams: [Option<PipeReader>; 2],
}

/// The first process of the task.
struct Main {
    pid: u32,
    started: u64,
    /// Whether a warm worker is its parent, and not we.
    is_forked: bool,
}

/// How the first process ended.
#[derive(Clone, Copy)]
struct End {
    code: Option<i32>,
    signal: Option<i32>,
    at: Instant,
}

struct Attempt<'h> {
    host: &'h mut Host,
    task: Task,
    token: String,
    dir: PathBuf,
    control: Control,
    outputs: Outputs,
    events: Events,
    groups: Groups,
    main: Option<Main>,
    end: Option<End>,
    /// Why we end it, once we do.
    ending: Option<Why>,
    /// Why it could not start, where that turned out late.
    failure: Option<Box<Diagnostic>>,
    kill_at: Option<Clock>,
    timeout_at: Option<Clock>,
    look_at: Clock,
    /// When the right to run it was last renewed, since the machine started.
    renewed_at: Duration,
    peak: Option<u64>,
    measured: Measured,
}

/// What was used before, to tell what this task used.
struct Measured {
    started_at: Instant,
    usage: Option<Usage>,
    machine_oom_kills: u64,
    /// As a warm worker counted it: peak, user, system.
    forked: Option<(u64, u64, u64)>,
}

/// The most memory that any child ever held, in bytes.
pub(crate) fn peak_of_children() -> u64 {
    getrusage(UsageWho::RUSAGE_CHILDREN).map_or(0, |usage| usage.max_rss() as u64 * 1024)
}

/// Runs an attempt to its end. False when its record could not be kept: then no other may follow, since
/// whoever finds this attempt has to find its supervisor gone.
pub(crate) fn run(host: &mut Host, order: Order, listener: UnixListener) -> bool {
    let started_at = clock::now();
    let Ok(mut control) = Control::new(listener) else {
        return false;
    };
    let dir = order.dir.clone();
    let groups = {
        let task = &order.task;
        host.groups
            .groups(&order.token, task.memory_bytes.is_some(), task.process_count.is_some())
    };
    let events = match prepare(host, &order, &groups, started_at) {
        Ok(events) => events,
        Err(error) => {
            let mut exit = Exit::new(&order.task, started_at, clock::now(), Why::CouldNotStart);
            exit.faults.push(*folder::fault(&dir, "cannot be written to", &error));
            control.attend();
            control.tell(&exit);
            return false;
        }
    };
    // Who waits is told before it begins: a connection that ends without a word means that nothing began.
    control.attend();
    let now = Clock::now();
    let renewed_at = order.task.lifeline.as_ref().and_then(Lifeline::renewed_at);
    // Where nothing can be read it is renewed now.
    let renewed_at = renewed_at.unwrap_or_else(|| lifeline::since_boot().unwrap_or_default());
    let mut attempt = Attempt {
        outputs: Outputs {
            forms: Forms::new(&order.task.secrets),
            log: LogWriter::new(&dir, order.task.log),
            streams: [None, None],
        },
        timeout_at: order.task.timeout.and_then(|timeout| now.checked_add(timeout)),
        task: order.task,
        token: order.token,
        measured: Measured {
            started_at,
            usage: getrusage(UsageWho::RUSAGE_CHILDREN).ok(),
            machine_oom_kills: kin::machine_oom_kills(),
            forked: None,
        },
        host,
        dir,
        control,
        events,
        groups,
        main: None,
        end: None,
        ending: None,
        failure: None,
        kill_at: None,
        look_at: now + GROUP_AFTER,
        renewed_at,
        peak: None,
    };
    // Who was stopped between its claim and this moment may have lost the right to run it meanwhile.
    if attempt.is_cut() {
        attempt.ending = Some(Why::Abandoned);
        return attempt.finish(None);
    }
    let begun = attempt.begin();
    if begun.is_ok() {
        attempt.watch();
    }
    attempt.finish(begun.err())
}

/// Writes what an adoption needs, and makes the pipe of events.
fn prepare(host: &Host, order: &Order, groups: &Groups, started_at: Instant) -> io::Result<Events> {
    let state = State {
        version: VERSION,
        attempt: order.task.attempt.clone(),
        epoch: order.task.epoch,
        token: order.token.clone(),
        boot: host.boot.clone(),
        supervisor: host.own.pid,
        supervisor_started: host.own.started,
        groups: groups.paths.clone(),
        tail_bytes: order.task.log.tail_bytes,
        started_at,
    };
    folder::put(&order.dir, folder::STATE, &serde_json::to_vec(&state)?)?;
    Events::open(&order.dir)
}

impl Outputs {
    /// Adds a line that is masked already.
    pub(crate) fn line(&mut self, stream: LogStream, text: &str) {
        self.log.line(stream, clock::now(), text);
    }

    /// Adds a line of the supervisor.
    pub(crate) fn note(&mut self, text: &str) {
        self.line(LogStream::System, text);
    }

    /// Takes what the task printed. A stream that has ended is closed.
    fn read(&mut self) {
        let mut bytes = vec![0; READ_BYTES];
        for (slot, name) in [(0, LogStream::Out), (1, LogStream::Err)] {
            for _ in 0..READS_IN_A_ROW {
                let Some(pipe) = &mut self.streams[slot] else { break };
                match pipe.read(&mut bytes) {
                    Ok(0) => self.streams[slot] = None,
                    Ok(count) => self.log.feed(&self.forms, name, clock::now(), &bytes[..count]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => self.streams[slot] = None,
                }
            }
        }
        self.log.flush();
    }

    /// Takes what is left when nobody of the tree lives: until the end, or until nothing is there, where
    /// somebody else holds the pipe.
    fn drain(&mut self) {
        loop {
            let before = self.log.output_bytes;
            self.read();
            if self.log.output_bytes == before {
                return;
            }
        }
    }
}

impl Attempt<'_> {
    fn begin(&mut self) -> Result<(), Box<Diagnostic>> {
        let unusable = |error: io::Error| folder::fault(&self.dir, "gives no pipes", &error);
        let (out, out_end) = io::pipe().map_err(unusable)?;
        let (err, err_end) = io::pipe().map_err(unusable)?;
        for pipe in [&out, &err] {
            fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(|error| unusable(error.into()))?;
        }
        let stdin = process::in_memory(self.task.stdin.as_bytes()).map_err(unusable)?;
        self.outputs.streams = [Some(out), Some(err)];
        let mut environment = self.task.environment.clone();
        let events = self.dir.join(folder::EVENTS_PIPE);
        environment.insert("MULGIL_EVENTS".to_owned(), events.to_string_lossy().into_owned());
        environment.insert("MULGIL_TOKEN".to_owned(), self.token.clone());
        let files = [stdin, out_end.into(), err_end.into()];
        match self.task.program.clone() {
            Program::Command { argv } => self.spawn(&argv, &environment, files),
            Program::Python(step) if step.is_warm => self.fork(&step, environment, files),
            Program::Python(step) => {
                step.check(&environment, &self.task.directory)?;
                self.spawn(&step.argv(), &environment, files)
            }
        }
    }

    fn spawn(
        &mut self,
        argv: &[String],
        environment: &std::collections::BTreeMap<String, String>,
        [stdin, stdout, stderr]: [OwnedFd; 3],
    ) -> Result<(), Box<Diagnostic>> {
        let child = process::start(process::Start {
            argv,
            environment,
            directory: &self.task.directory,
            stdin: stdin.into(),
            stdout: stdout.into(),
            stderr: stderr.into(),
        })?;
        self.began(child.id(), false);
        Ok(())
    }

    fn fork(
        &mut self,
        step: &PythonStep,
        environment: std::collections::BTreeMap<String, String>,
        files: [OwnedFd; 3],
    ) -> Result<(), Box<Diagnostic>> {
        // Nothing of this attempt ran on one that ended meanwhile.
        self.host.warm.take_if(|warm| warm.has_ended());
        if self.host.warm.is_none() {
            self.host.warm = Some(Warm::start(step, &self.task)?);
        }
        match &mut self.host.warm {
            Some(warm) => warm.fork(step, &environment, &self.task.directory, &files),
            None => Ok(()),
        }
    }

    fn began(&mut self, pid: u32, is_forked: bool) {
        self.main = Some(Main {
            pid,
            started: kin::stat(pid).map_or(0, |stat| stat.started),
            is_forked,
        });
        if self.task.memory_bytes.is_some() || self.task.process_count.is_some() {
            self.gather();
        }
        if self.ending.is_some() {
            self.send(Signal::SIGTERM);
        }
    }

    /// Waits until the first process has ended.
    fn watch(&mut self) {
        while self.end.is_none() {
            self.wait();
            self.outputs.read();
            self.events.read(&mut self.outputs);
            self.outputs.log.flush();
            if let Some(grace) = self.control.attend() {
                self.stop(Why::Cancelled, grace);
            }
            if self.host.is_terminated() && self.ending.is_none() {
                self.stop(Why::Cancelled, self.task.grace);
            }
            self.hear();
            self.reap();
            self.keep_time();
        }
    }

    /// Sleeps until something happens.
    fn wait(&mut self) {
        let until = [self.kill_at, self.timeout_at, Some(self.look_at)]
            .into_iter()
            .flatten()
            .min();
        let left = until.map_or(SAMPLE_EVERY, |until| until.saturating_duration_since(Clock::now()));
        // Up to the next millisecond, lest it wakes before the time and turns in place.
        let millis = u16::try_from(left.as_micros().div_ceil(1000)).unwrap_or(u16::MAX);
        let woken = {
            let mut fds: Vec<BorrowedFd<'_>> = vec![self.host.signals.as_fd(), self.events.as_fd()];
            fds.extend(self.outputs.streams.iter().flatten().map(|pipe| pipe.as_fd()));
            fds.extend(self.host.warm.iter().map(Warm::as_fd));
            fds.extend(self.control.files());
            let mut fds: Vec<PollFd<'_>> = fds.into_iter().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
            poll(&mut fds, PollTimeout::from(millis))
        };
        match woken {
            Ok(_) | Err(Errno::EINTR) => host::drain(&self.host.signals),
            // Nothing here can make it fail; if it does, we look again a little later.
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }

    /// Takes note of every process of ours that has ended.
    fn reap(&mut self) {
        while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            let (pid, code, signal) = match status {
                WaitStatus::Exited(pid, code) => (pid, Some(code), None),
                WaitStatus::Signaled(pid, signal, _) => (pid, None, Some(signal as i32)),
                WaitStatus::StillAlive => return,
                _ => continue,
            };
            let pid = pid.as_raw() as u32;
            let at = clock::now();
            if self
                .main
                .as_ref()
                .is_some_and(|main| main.pid == pid && !main.is_forked)
            {
                self.end = Some(End { code, signal, at });
            }
            if self.host.warm.as_ref().is_some_and(|warm| warm.pid() == pid) {
                self.lose_worker();
            }
        }
    }

    /// Takes what the warm worker says.
    fn hear(&mut self) {
        let news = self.host.warm.as_mut().map(Warm::hear).unwrap_or_default();
        for news in news {
            match news {
                News::Forked(pid) => self.began(pid, true),
                News::Ended {
                    code,
                    signal,
                    peak_bytes,
                    user_us,
                    system_us,
                } => {
                    self.measured.forked = Some((peak_bytes, user_us, system_us));
                    let at = clock::now();
                    self.end = Some(End { code, signal, at });
                }
                News::Gone => self.lose_worker(),
            }
        }
    }

    fn lose_worker(&mut self) {
        let Some(mut worker) = self.host.warm.take().filter(|_| self.end.is_none()) else {
            return;
        };
        let words = self.outputs.forms.text(&worker.last_words());
        words.lines().for_each(|line| self.outputs.note(line));
        if self.main.is_none() && !worker.has_worked() {
            // It never worked: too old, or no Python at all.
            self.failure = Some(python::unusable(words.lines().last().unwrap_or("it ended at once")));
            self.ending.get_or_insert(Why::CouldNotStart);
        }
        self.ending.get_or_insert(Why::WorkerCrashed);
        self.end = Some(End {
            code: None,
            signal: None,
            at: clock::now(),
        });
    }

    fn keep_time(&mut self) {
        let now = Clock::now();
        if self.timeout_at.is_some_and(|at| at <= now) {
            self.timeout_at = None;
            self.stop(Why::Timeout, self.task.grace);
        }
        if self.kill_at.is_some_and(|at| at <= now) {
            self.kill_at = Some(now + KILL_AGAIN);
            self.groups.kill();
            self.send(Signal::SIGKILL);
            // A worker that does not even fork is what hangs.
            if let Some(warm) = self.host.warm.as_ref().filter(|_| self.main.is_none()) {
                kin::signal(warm.pid(), Signal::SIGKILL);
            }
        }
        if self.look_at <= now {
            self.look_at = now + SAMPLE_EVERY;
            self.gather();
            self.hold_lifeline();
            let peak = self.main.as_ref().and_then(|main| kin::peak_of(main.pid));
            self.peak = self.peak.max(peak);
        }
    }

    /// Ends the task where nobody renews the right to run it.
    fn hold_lifeline(&mut self) {
        if let Some(lifeline) = &self.task.lifeline {
            self.renewed_at = lifeline.renewed_at().unwrap_or_default().max(self.renewed_at);
        }
        if self.is_cut() {
            self.stop(Why::Abandoned, self.task.grace.min(LAST_GRACE));
        }
    }

    /// Whether nobody has renewed the right to run it for too long.
    fn is_cut(&self) -> bool {
        let for_long = |lifeline: &Lifeline| {
            lifeline::since_boot().is_ok_and(|now| now.saturating_sub(self.renewed_at) > lifeline.patience)
        };
        self.task.lifeline.as_ref().is_some_and(for_long)
    }

    /// Puts the tree into its control group, once.
    fn gather(&mut self) {
        if let Some(main) = &self.main
            && !self.groups.is_made()
        {
            let tree = kin::descendants(main.pid);
            self.groups.take(&tree, self.task.memory_bytes, self.task.process_count);
        }
    }

    /// Asks the task to end, and remembers when it is to be killed. A later request may only hasten that.
    fn stop(&mut self, why: Why, grace: Duration) {
        let at = Clock::now() + grace;
        self.kill_at = Some(self.kill_at.map_or(at, |before| before.min(at)));
        if self.ending.is_none() {
            self.ending = Some(why);
            self.send(Signal::SIGTERM);
        }
    }

    /// Signals the group of the first process.
    fn send(&self, signal: Signal) {
        if let Some(main) = &self.main
            && kin::stat(main.pid).is_some_and(|now| now.started == main.started)
        {
            let _ = killpg(Pid::from_raw(main.pid as i32), signal);
            kin::signal(main.pid, signal);
        }
    }

    /// Ends what is left of the tree, and the attempt.
    fn finish(mut self, fault: Option<Box<Diagnostic>>) -> bool {
        let fault = fault.or(self.failure.take());
        self.groups.kill();
        let (killed_count, is_stuck) = kin::kill_children(self.host.warm.as_ref().map(Warm::pid));
        self.outputs.drain();
        self.events.finish(&mut self.outputs);
        let end = self.end.unwrap_or(End {
            code: None,
            signal: None,
            at: clock::now(),
        });
        let mut exit = Exit::new(
            &self.task,
            self.measured.started_at,
            end.at,
            self.why(end, fault.is_some()),
        );
        (exit.code, exit.signal) = (end.code, end.signal);
        exit.killed_count = killed_count;
        exit.result = self.events.result.take();
        exit.error = self.events.error.take();
        exit.faults = fault
            .into_iter()
            .map(|fault| *fault)
            .chain(self.events.faults.drain(..))
            .collect();
        self.measure(&mut exit);
        // The count is the machine's, so it is a hint and no more.
        let was_killed = end.signal == Some(Signal::SIGKILL as i32) && exit.why == Why::Exited;
        if was_killed && kin::machine_oom_kills() > self.measured.machine_oom_kills {
            self.outputs
                .note("the machine killed a process for want of memory while this task ran; it may have been this one");
        }
        if is_stuck {
            self.outputs.note("some processes of this task could not be killed");
        }
        self.groups.remove();
        let Outputs { log, forms, .. } = self.outputs;
        record::keep(&self.dir, exit, log, &forms, self.events, self.control)
    }

    fn why(&self, end: End, could_not_start: bool) -> Why {
        if could_not_start {
            return Why::CouldNotStart;
        }
        match self.ending {
            Some(why) => why,
            None if end.code != Some(0) && self.groups.ran_out_of_memory() => Why::OutOfMemory,
            None => Why::Exited,
        }
    }

    /// What the task used.
    fn measure(&self, exit: &mut Exit) {
        exit.peak_memory_bytes = self.groups.peak_memory_bytes().max(self.peak);
        if let Some((peak, user, system)) = self.measured.forked {
            exit.peak_memory_bytes = exit.peak_memory_bytes.max(Some(peak));
            (exit.user_us, exit.system_us) = (user, system);
        } else if let (Some(before), Ok(now)) = (self.measured.usage, getrusage(UsageWho::RUSAGE_CHILDREN)) {
            exit.user_us = (now.user_time() - before.user_time()).num_microseconds() as u64;
            exit.system_us = (now.system_time() - before.system_time()).num_microseconds() as u64;
            let grown = (now.max_rss() > before.max_rss()).then(|| now.max_rss() as u64 * 1024);
            exit.peak_memory_bytes = exit.peak_memory_bytes.max(grown);
        }
    }
}

impl Exit {
    fn new(task: &Task, started_at: Instant, ended_at: Instant, why: Why) -> Self {
        Self {
            version: VERSION,
            attempt: task.attempt.clone(),
            epoch: task.epoch,
            why,
            code: None,
            signal: None,
            started_at,
            ended_at,
            peak_memory_bytes: None,
            user_us: 0,
            system_us: 0,
            output_bytes: 0,
            left_out_bytes: 0,
            killed_count: 0,
            result: None,
            error: None,
            faults: Vec::new(),
        }
    }
}
