//! What the tasks themselves saw: each appends a line when it begins and one when it ends, past the
//! program under test, so that its ledger can be held against what really ran.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
};

use anyhow::{Context as _, Result};
use nix::time::{ClockId, clock_gettime};

/// What a task said of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// It began.
    Begin,
    /// It is about to end.
    End,
    /// When it began, the process of an earlier attempt of the same step was still alive.
    Overlap,
}

impl Moment {
    fn as_str(self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::End => "end",
            Self::Overlap => "overlap",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Begin, Self::End, Self::Overlap]
            .into_iter()
            .find(|moment| moment.as_str() == text)
    }
}

/// One line: `run,flow.step,attempt,try,pid,boottime_ns,begin`. Tasks are not told the epoch of their claim; the
/// ledger knows it by the attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The run.
    pub(crate) run: i64,
    /// The step, as `flow.step`.
    pub(crate) step: String,
    /// The attempt.
    pub(crate) attempt: i64,
    /// Which try of the step it is, from 1.
    pub(crate) number: u32,
    /// The process that wrote the line.
    pub(crate) pid: u32,
    /// When, in nanoseconds since the machine started.
    pub(crate) at_ns: i64,
    /// What happened.
    pub(crate) moment: Moment,
}

impl Entry {
    /// The step's own name.
    pub(crate) fn name(&self) -> &str {
        self.step.split_once('.').map_or(&self.step, |(_, step)| step)
    }

    fn line(&self) -> String {
        let Self {
            run,
            step,
            attempt,
            number,
            pid,
            at_ns,
            moment,
        } = self;
        format!("{run},{step},{attempt},{number},{pid},{at_ns},{}\n", moment.as_str())
    }

    fn parse(line: &str) -> Option<Self> {
        let [run, step, attempt, number, pid, at_ns, moment] = line.split(',').collect::<Vec<_>>().try_into().ok()?;
        Some(Self {
            run: run.parse().ok()?,
            step: step.to_owned(),
            attempt: attempt.parse().ok()?,
            number: number.parse().ok()?,
            pid: pid.parse().ok()?,
            at_ns: at_ns.parse().ok()?,
            moment: Moment::parse(moment)?,
        })
    }
}

/// Appends a line at once, however many processes write.
pub(crate) fn append(path: &Path, entry: &Entry) -> Result<()> {
    let mut file = File::options().create(true).append(true).open(path)?;
    Ok(file.write_all(entry.line().as_bytes())?)
}

/// Every line, in the order in which they were written; none where no task has run.
pub(crate) fn read(path: &Path) -> Result<Vec<Entry>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    text.lines()
        .map(|line| Entry::parse(line).with_context(|| format!("a line of the journal cannot be read: `{line}`")))
        .collect()
}

/// Nanoseconds since the machine started; no clock that anybody sets changes it.
pub(crate) fn boottime_ns() -> Result<i64> {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME)?;
    Ok(now.tv_sec() * 1_000_000_000 + now.tv_nsec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written_and_half_a_line_is_refused() {
        let line = "7,night.load,12,2,4242,99,begin\n";
        let entry = Entry::parse(line.trim_end()).unwrap();
        assert_eq!((entry.name(), entry.moment), ("load", Moment::Begin));
        assert_eq!(entry.line(), line);
        assert_eq!(Entry::parse("7,night.load,12,2,42"), None);
        assert_eq!(Entry::parse("7,night.load,12,2,4242,99,began"), None);
    }
}
