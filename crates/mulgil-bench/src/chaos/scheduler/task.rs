//! The tasks of the flows under chaos: this program again, started by a supervisor of the program under
//! test. Each writes the journal, takes its time, and fails where its seed says so.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::journal::{self, Entry, Moment};
use crate::synthetic::Random;

/// The variable that names the journal.
pub(crate) const JOURNAL: &str = "CHAOS_JOURNAL";

/// The variable that holds the seed.
pub(crate) const SEED: &str = "CHAOS_SEED";

/// How a task ends that its seed lets fail.
const FAILED: u8 = 3;

/// The longest that a task waits for its file.
const PATIENCE: Duration = Duration::from_mins(5);

/// What a task does between its lines.
enum Does {
    /// Takes between so many milliseconds, and fails in so many of a hundred tries, never in the fourth.
    Work { from_ms: u64, to_ms: u64, fails: u64 },
    /// Waits until a file is there.
    Wait { file: PathBuf },
}

/// Does `work FROM TO FAILS TRY` or `wait FILE TRY`.
pub(crate) fn run(words: &[&str]) -> Result<ExitCode> {
    let (does, number) = match words {
        ["work", from, to, fails, number] => {
            let does = Does::Work {
                from_ms: from.parse()?,
                to_ms: to.parse()?,
                fails: fails.parse()?,
            };
            (does, number)
        }
        ["wait", file, number] => {
            let file = PathBuf::from(*file);
            (Does::Wait { file }, number)
        }
        other => bail!("no task does `{}`", other.join(" ")),
    };
    let path = PathBuf::from(variable(JOURNAL)?);
    let begun = Entry {
        run: variable("MULGIL_RUN_ID")?.parse()?,
        step: variable("MULGIL_STEP")?,
        attempt: variable("MULGIL_ATTEMPT")?.parse()?,
        number: number.parse()?,
        pid: std::process::id(),
        at_ns: journal::boottime_ns()?,
        moment: Moment::Begin,
    };
    let said = |moment| -> Result<()> {
        let at_ns = journal::boottime_ns()?;
        let entry = Entry {
            at_ns,
            moment,
            ..begun.clone()
        };
        journal::append(&path, &entry)
    };
    if is_beside_another(&path, &begun)? {
        said(Moment::Overlap)?;
    }
    journal::append(&path, &begun)?;
    let is_failed = does.perform(&begun)?;
    said(Moment::End)?;
    Ok(if is_failed {
        ExitCode::from(FAILED)
    } else {
        ExitCode::SUCCESS
    })
}

impl Does {
    /// Gives whether it failed.
    fn perform(self, of: &Entry) -> Result<bool> {
        match self {
            Self::Work { from_ms, to_ms, fails } => {
                let seed: u64 = variable(SEED)?.parse()?;
                let named: u64 = of.step.bytes().map(u64::from).sum();
                let drawn = seed
                    .wrapping_mul(31)
                    .wrapping_add(of.run as u64 * 1009 + named * 17 + u64::from(of.number));
                let mut random = Random::new(drawn);
                std::thread::sleep(Duration::from_millis(from_ms + random.below(to_ms - from_ms + 1)));
                Ok(of.number < 4 && random.below(100) < fails)
            }
            Self::Wait { file } => {
                let began = Instant::now();
                while !file.exists() {
                    if began.elapsed() > PATIENCE {
                        bail!("{} never came", file.display());
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
                Ok(false)
            }
        }
    }
}

/// Whether the process of an earlier attempt of the same step lives while this one begins.
fn is_beside_another(path: &Path, begun: &Entry) -> Result<bool> {
    let entries = journal::read(path)?;
    let earlier = entries.iter().filter(|entry| {
        (entry.run, &entry.step) == (begun.run, &begun.step)
            && entry.attempt != begun.attempt
            && entry.moment == Moment::Begin
    });
    Ok(earlier.clone().any(|entry| {
        let variables = fs::read(format!("/proc/{}/environ", entry.pid)).unwrap_or_default();
        let own = format!("MULGIL_ATTEMPT={}", entry.attempt);
        variables
            .split(|byte| *byte == 0)
            .any(|variable| variable == own.as_bytes())
    }))
}

fn variable(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set"))
}
