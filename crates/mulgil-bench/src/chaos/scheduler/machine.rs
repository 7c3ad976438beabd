//! What this machine has of what faults need.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::postgres;

/// Something that a fault needs and not every machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// `strace`, with the right to trace.
    Strace,
    /// libfaketime, and a program that is linked so that it can be lied to.
    Faketime,
    /// The right to mount in a namespace of one's own.
    Mount,
    /// The programs of PostgreSQL.
    Postgres,
}

impl Need {
    /// What to do where it is not there.
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::Strace => "install strace, and be allowed to trace (ptrace)",
            Self::Faketime => "install faketime (libfaketime.so.1)",
            Self::Mount => "be root, so that `unshare -m` may mount a tmpfs",
            Self::Postgres => "install PostgreSQL, or name the folder of its programs in MULGIL_TEST_POSTGRES",
        }
    }

    /// Whether this machine has it.
    pub(crate) fn is_there(self) -> bool {
        match self {
            Self::Strace => succeeds("strace", &["-f", "-o", "/dev/null", "true"]),
            Self::Faketime => faketime().is_some(),
            Self::Postgres => postgres::programs().is_some(),
            Self::Mount => succeeds(
                "unshare",
                &["-m", "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/mnt"],
            ),
        }
    }
}

/// The library that lies about the time.
pub(crate) fn faketime() -> Option<PathBuf> {
    let machine = std::env::consts::ARCH;
    let places = [
        format!("/usr/lib/{machine}-linux-gnu/faketime/libfaketime.so.1"),
        "/usr/lib64/faketime/libfaketime.so.1".to_owned(),
        "/usr/lib/faketime/libfaketime.so.1".to_owned(),
        "/usr/local/lib/faketime/libfaketime.so.1".to_owned(),
    ];
    places.into_iter().map(PathBuf::from).find(|place| place.exists())
}

/// Where memory control groups of version 1 are made, if this process may.
pub(crate) fn memory_groups() -> Option<PathBuf> {
    let parent = Path::new("/sys/fs/cgroup/memory");
    let probe = parent.join(format!("mulgil-chaos-probe-{}", std::process::id()));
    std::fs::create_dir(&probe).ok()?;
    std::fs::remove_dir(&probe).ok()?;
    Some(parent.to_owned())
}

/// Whether steps in Python can run.
pub(crate) fn has_python() -> bool {
    succeeds("python3", &["-c", "import time; time.CLOCK_BOOTTIME"])
}

fn succeeds(program: &str, words: &[&str]) -> bool {
    let status = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}
