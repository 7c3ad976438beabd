//! The life of a supervisor: wait for an order, run it, wait again.

use std::{
    fs::File,
    io::{self, Read as _},
    os::{
        fd::AsFd as _,
        unix::net::{UnixListener, UnixStream},
    },
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::prctl::set_child_subreaper,
    unistd::setsid,
};

use super::{attempt, warm::Warm};
use crate::{
    files,
    kin::{self, GroupRoots, Stat},
    spec::{Order, VERSION},
};

/// A supervisor whose tasks held more than this is not used again: the kernel tells only the most that
/// any child ever held.
const SMALL_PEAK_BYTES: u64 = 64 << 20;

/// How long a new supervisor waits for its first order at least: that one is on its way.
const FIRST_PATIENCE: Duration = Duration::from_secs(10);

/// How long a supervisor goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) idle: Duration,
    pub(crate) tasks: u32,
}

/// What a supervisor keeps from one task to the next.
pub(crate) struct Host {
    pub(crate) signals: UnixStream,
    pub(crate) groups: GroupRoots,
    pub(crate) boot: String,
    pub(crate) own: Stat,
    pub(crate) warm: Option<Warm>,
    terminated: Arc<AtomicBool>,
}

impl Limits {
    /// As [`Self::args`] writes them.
    pub(crate) fn read(mut args: impl Iterator<Item = String>) -> Self {
        let mut number = || args.next().and_then(|arg| arg.parse().ok());
        Self {
            idle: Duration::from_millis(number().unwrap_or(0)),
            tasks: number().and_then(|tasks| tasks.try_into().ok()).unwrap_or(1),
        }
    }

    pub(crate) fn args(self) -> [String; 2] {
        [self.idle.as_millis().to_string(), self.tasks.to_string()]
    }
}

impl Host {
    /// Whether somebody asked this process to end by a signal: the machine, as a rule, when it stops.
    pub(crate) fn is_terminated(&self) -> bool {
        self.terminated.load(Ordering::SeqCst)
    }
}

/// Runs until there is nothing more to do.
pub(crate) fn run(limits: &Limits) -> ExitCode {
    let ended = start().and_then(|(mut host, control)| serve(&mut host, &control, limits));
    // Nobody reads it as a rule; a person who starts it by hand does.
    if let Err(error) = &ended {
        eprintln!("mulgil supervisor: {error}");
    }
    ended.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}

fn start() -> io::Result<(Host, UnixStream)> {
    // A terminal's signals no longer come here, and a task cannot ask a person for a password.
    setsid()?;
    set_child_subreaper(true)?;
    let control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (signals, sent) = UnixStream::pair()?;
    signals.set_nonblocking(true)?;
    for signal in [signal_hook::consts::SIGCHLD, signal_hook::consts::SIGTERM] {
        signal_hook::low_level::pipe::register(signal, sent.try_clone()?)?;
    }
    let terminated = Arc::default();
    signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&terminated))?;
    let own = kin::stat(std::process::id()).ok_or_else(|| io::Error::other("/proc cannot be read"))?;
    let host = Host {
        signals,
        groups: GroupRoots::find(),
        boot: kin::boot_id(),
        own,
        warm: None,
        terminated,
    };
    Ok((host, control))
}

fn serve(host: &mut Host, control: &UnixStream, limits: &Limits) -> io::Result<()> {
    for count in 0..limits.tasks {
        let idle = if count == 0 {
            limits.idle.max(FIRST_PATIENCE)
        } else {
            limits.idle
        };
        let Some((order, listener)) = next(host, control, idle)? else {
            break;
        };
        let recorded = attempt::run(host, order, listener);
        let is_small = attempt::peak_of_children() < SMALL_PEAK_BYTES;
        if !recorded || !is_small || host.is_terminated() {
            break;
        }
    }
    host.warm = None;
    kin::kill_children(None);
    Ok(())
}

/// Waits for the next order; none when there will be none.
fn next(host: &mut Host, control: &UnixStream, idle: Duration) -> io::Result<Option<(Order, UnixListener)>> {
    loop {
        let timeout = PollTimeout::try_from(idle).unwrap_or(PollTimeout::MAX);
        let mut fds = [
            PollFd::new(control.as_fd(), PollFlags::POLLIN),
            PollFd::new(host.signals.as_fd(), PollFlags::POLLIN),
        ];
        let ready = match poll(&mut fds, timeout) {
            Err(Errno::EINTR) => continue,
            ready => ready?,
        };
        if fds[0].any().unwrap_or(false) {
            return receive(control);
        }
        drain(&host.signals);
        if ready == 0 || host.is_terminated() {
            return Ok(None);
        }
        // A warm Python that ended while it had nothing to do.
        if host.warm.is_some() {
            kin::kill_children(host.warm.as_ref().map(Warm::pid));
        }
    }
}

/// Empties the pipe that wakes us.
pub(crate) fn drain(signals: &UnixStream) {
    let mut bytes = [0; 64];
    while matches!((&*signals).read(&mut bytes), Ok(count) if count > 0) {}
}

/// An order: one byte, with a file that holds it and the socket on which this attempt is asked for.
fn receive(control: &UnixStream) -> io::Result<Option<(Order, UnixListener)>> {
    let mut files = files::receive(control)?;
    let (Some(listener), Some(order)) = (files.pop(), files.pop()) else {
        return Ok(None);
    };
    let mut text = String::new();
    File::from(order).read_to_string(&mut text)?;
    let order: Order = serde_json::from_str(&text)?;
    match order.version {
        VERSION => Ok(Some((order, UnixListener::from(listener)))),
        other => Err(io::Error::other(format!("an order of version {other}"))),
    }
}
