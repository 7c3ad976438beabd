//! The supervisor: a small process that runs one task after the other, each as if it were the only one.
//!
//! It is started by the server, leads a session of its own, and gets its orders over a socket. When that
//! socket closes, because the server ended or does not need it any more, it finishes what it runs and
//! ends. Between two tasks nothing is left of the first: no process, no open file.
//!
//! One process serves many tasks because starting the program anew costs more than most small tasks: a
//! large binary has to be placed in memory first. It has one thread, no runtime and no allocator of its own.

mod attempt;
mod control;
mod events;
mod host;
mod record;
mod warm;

use std::process::ExitCode;

pub(crate) use control::HELLO;
pub(crate) use host::Limits;

/// The word by which the program knows that it is to be a supervisor.
pub(crate) const WORD: &str = "__supervise";

/// Supervises, if this process was started for that. Has to be called before anything else: before a
/// runtime, the command line or a thread is there.
pub fn supervise_if_asked() -> Option<ExitCode> {
    let mut args = std::env::args().skip(1);
    (args.next()? == WORD).then(|| host::run(&Limits::read(args)))
}
