//! A sign that whoever started a task still may: a file that is renewed, by the clock that also counts while
//! the machine sleeps.
//!
//! Where several machines can work on one ledger, the right to do so passes on when it was not renewed. A
//! server that is stopped cannot end its tasks then, so their supervisors do.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    path::PathBuf,
    time::{Duration, Instant as Clock},
};

use serde::{Deserialize, Serialize};

/// The file of the sign, and how long it may stay as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifeline {
    /// Twenty digits: microseconds since this machine started.
    pub file: PathBuf,
    /// After this long without a renewal tasks are ended.
    pub patience: Duration,
}

impl Lifeline {
    /// Says that the right was held at a moment. The file keeps its size, so that this works on a full disk
    /// too.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn renew(&self, held_at: Clock) -> io::Result<()> {
        let at = since_boot()?.saturating_sub(held_at.elapsed());
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&self.file)?;
        write!(file, "{:020}", at.as_micros())
    }

    /// When it was renewed last, as [`since_boot`] tells time; nothing where that cannot be read.
    pub(crate) fn renewed_at(&self) -> Option<Duration> {
        let text = std::fs::read_to_string(&self.file).ok()?;
        Some(Duration::from_micros(text.trim().parse().ok()?))
    }
}

/// How long ago this machine started, with the time that it slept.
///
/// # Errors
/// Where the system does not say.
pub(crate) fn since_boot() -> io::Result<Duration> {
    let text = std::fs::read_to_string("/proc/uptime")?;
    let seconds = text.split(' ').next().and_then(|seconds| seconds.parse::<f64>().ok());
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| io::Error::other("/proc/uptime is no number"))
}
