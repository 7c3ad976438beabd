//! Time and memory of a program, from outside.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

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

/// Runs a program to its end; it must succeed.
pub(crate) fn run(command: &mut Command) -> Result<Taken> {
    let began = Instant::now();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let status_file = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        peak_kib = peak_kib.max(high_water(&status_file).unwrap_or(0));
        std::thread::sleep(SAMPLE);
    };
    let seconds = began.elapsed().as_secs_f64();
    if !status.success() {
        let output = child.wait_with_output()?;
        bail!(
            "{command:?} ended with {status}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(Taken {
        seconds,
        peak_mib: peak_kib as f64 / 1024.0,
    })
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
