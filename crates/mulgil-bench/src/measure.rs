//! Time and memory of a program, from outside.

use std::{
    io::Read as _,
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};

/// What one run of a program took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    /// From start to exit.
    pub(crate) seconds: f64,
    /// The largest resident set that was seen, in MiB.
    pub(crate) peak_mib: f64,
}

/// How often the resident set is read; a peak shorter than that may be missed, but the kernel keeps
/// the high-water mark until the program ends, so only its last moments are.
const SAMPLE: Duration = Duration::from_millis(2);

/// What became of a program that was watched.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    /// What it took, whether it ended well or not.
    pub(crate) taken: Taken,
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// What it said on stderr.
    pub(crate) said: String,
}

/// Runs a program to its end; it must succeed. What it prints is dropped.
pub(crate) fn run(command: &mut Command) -> Result<Taken> {
    let watched = watch(command.stdout(Stdio::null()))?;
    if !watched.status.success() {
        bail!("{command:?} ended with {}: {}", watched.status, watched.said);
    }
    Ok(watched.taken)
}

/// Runs a program to its end, however that is. Its stdout is the caller's to set.
pub(crate) fn watch(command: &mut Command) -> Result<Watched> {
    watch_while(command, || true)
}

/// As [`watch`], but ends the program when `is_fine` says at one of the looks that it must not go on.
pub(crate) fn watch_while(command: &mut Command, mut is_fine: impl FnMut() -> bool) -> Result<Watched> {
    let began = Instant::now();
    let mut child = command.stderr(Stdio::piped()).spawn()?;
    let mut stderr = child.stderr.take().context("stderr is piped")?;
    // Read beside, so that one that says much is not held up by a full pipe.
    let said = thread::spawn(move || {
        let mut said = Vec::new();
        stderr.read_to_end(&mut said).map(|_| said)
    });
    let status_file = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        peak_kib = peak_kib.max(high_water(&status_file).unwrap_or(0));
        if !is_fine() {
            child.kill()?;
        }
        thread::sleep(SAMPLE);
    };
    let taken = Taken {
        seconds: began.elapsed().as_secs_f64(),
        peak_mib: peak_kib as f64 / 1024.0,
    };
    let said = said.join().map_err(|_| anyhow!("the reader of stderr broke"))??;
    Ok(Watched {
        taken,
        status,
        said: String::from_utf8_lossy(&said).into_owned(),
    })
}

/// Of several runs the fastest.
pub(crate) fn best(runs: usize, mut one: impl FnMut() -> Result<Taken>) -> Result<Taken> {
    let taken = (0..runs).map(|_| one()).collect::<Result<Vec<_>>>()?;
    let fastest = taken.into_iter().min_by(|a, b| a.seconds.total_cmp(&b.seconds));
    fastest.context("no run at all")
}

/// Of several runs the one in the middle by time.
pub(crate) fn median(runs: usize, mut one: impl FnMut() -> Result<Taken>) -> Result<Taken> {
    let mut taken = (0..runs).map(|_| one()).collect::<Result<Vec<_>>>()?;
    taken.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    Ok(taken[taken.len() / 2])
}

/// Seconds of the middle one of several calls.
pub(crate) fn median_call<T>(runs: usize, mut one: impl FnMut() -> T) -> f64 {
    let mut seconds: Vec<f64> = (0..runs)
        .map(|_| {
            let began = Instant::now();
            std::hint::black_box(one());
            began.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

fn high_water(status_file: &str) -> Option<u64> {
    let text = std::fs::read_to_string(status_file).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
