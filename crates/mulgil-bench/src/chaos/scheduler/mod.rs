//! `chaos scheduler`: a running server is broken in every way that we know, by seed, and afterwards the
//! ledger, the tables and the processes are held against what a team relies on.

mod checker;
mod faults;
mod figures;
mod journal;
mod machine;
pub(crate) mod processes;
mod project;
pub(crate) mod record;
mod round;
pub(crate) mod server;
pub(crate) mod task;
mod world;

use std::{
    fs,
    io::Read as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::signal::unix::{SignalKind, signal};

use self::{
    faults::{ALL, Fault, PLAIN},
    machine::Need,
    round::Outcome,
};
use crate::{place, wait};

/// No round takes longer; one that would is ended and counts as broken.
const ROUND: Duration = Duration::from_mins(6);

/// Rounds where nobody says how many.
const ROUNDS: u64 = 20;

/// Whether a signal ends this program: then nothing more is said of rounds.
static IS_INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// What is asked.
#[derive(Debug)]
struct Options {
    /// The first seed, and how many.
    seed: u64,
    rounds: u64,
    /// Rounds at once.
    jobs: usize,
    /// Only this fault.
    only: Option<Fault>,
    /// Only faults that need nothing but this program and `/proc`.
    is_plain: bool,
    /// The program under test.
    binary: PathBuf,
    /// Whether the figures are written into the repository.
    writes: bool,
    /// Whether folders stay also where nothing broke.
    keeps: bool,
}

impl Options {
    fn parse(words: &[&str]) -> Result<Self> {
        const USAGE: &str = "write --seed N, --rounds R, --seeds N, --jobs N, --only FAULT, --binary PATH, --write or \
                             --keep";
        let mut options = Self {
            seed: 1,
            rounds: 0,
            jobs: 1,
            only: None,
            is_plain: false,
            binary: PathBuf::new(),
            writes: false,
            keeps: false,
        };
        let mut is_one = false;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("`{word}` needs a value; {USAGE}"));
            match *word {
                "--seed" => (options.seed, is_one) = (value()?.parse()?, true),
                "--jobs" => options.jobs = value()?.parse()?,
                "--rounds" => options.rounds = value()?.parse()?,
                "--seeds" => (options.rounds, options.is_plain) = (value()?.parse()?, true),
                "--only" => {
                    let name = value()?;
                    let known = || ALL.map(Fault::name).join(", ");
                    options.only =
                        Some(Fault::named(name).with_context(|| format!("no fault `{name}`; there are {}", known()))?);
                }
                "--binary" => options.binary = std::path::absolute(value()?)?,
                "--write" => options.writes = true,
                "--keep" => options.keeps = true,
                other => bail!("`{other}` is not known; {USAGE}"),
            }
        }
        if options.rounds == 0 {
            options.rounds = if is_one { 1 } else { ROUNDS };
        }
        if options.binary.as_os_str().is_empty() {
            options.binary = place::program()?;
        }
        Ok(options)
    }

    fn fault(&self, seed: u64) -> Fault {
        let faults: &[Fault] = if self.is_plain { &PLAIN } else { &ALL };
        self.only.unwrap_or(faults[(seed % faults.len() as u64) as usize])
    }
}

/// Rounds by seed. Every fault is told; that any broke an invariant is the error.
pub(crate) fn chaos(words: &[&str]) -> Result<()> {
    let done = rounds(words);
    wait_where_interrupted();
    done
}

fn rounds(words: &[&str]) -> Result<()> {
    let options = Options::parse(words)?;
    let began = Instant::now();
    let scratch = tempfile::Builder::new().prefix("mulgil-chaos-").tempdir()?;
    clean_up_when_interrupted(scratch.path())?;
    // A copy, so that all rounds break one program even where another one is built meanwhile.
    let program = scratch.path().join("mulgil");
    fs::copy(&options.binary, &program).with_context(|| options.binary.display().to_string())?;
    // The rounds and their tasks are this program.
    let own = scratch.path().join("mulgil-bench");
    fs::copy(std::env::current_exe()?, &own)?;
    let missing = missing();
    let mut not_run: Vec<String> = ALL.into_iter().filter_map(|fault| unmet(fault, &missing)).collect();
    let outcomes = all(&options, scratch.path(), &missing)?;
    if let Some(only) = options.only {
        not_run.retain(|unmet| unmet.starts_with(only.name()));
    }
    print!("{}", figures::table(&outcomes, &not_run, began.elapsed()));
    if options.writes {
        figures::write(&outcomes, &not_run, began.elapsed())?;
    }
    fs::remove_file(&program)?;
    fs::remove_file(&own)?;
    let broken = outcomes.iter().filter(|outcome| figures::is_broken(outcome)).count();
    if broken > 0 || options.keeps {
        // What is kept is told with its round.
        let _ = scratch.keep();
    }
    if broken > 0 {
        bail!("{broken} of {} rounds broke something", outcomes.len());
    }
    Ok(())
}

/// All rounds that can be done here, by seed; so many at once as are wanted.
fn all(options: &Options, scratch: &Path, missing: &[Need]) -> Result<Vec<Outcome>> {
    let next = AtomicU64::new(options.seed);
    let worker = || -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::SeqCst);
            if seed >= options.seed + options.rounds {
                return Ok(outcomes);
            }
            let fault = options.fault(seed);
            if let Some(unmet) = unmet(fault, missing) {
                println!("seed {seed}: not run: {unmet}");
                continue;
            }
            let outcome = one(scratch, fault, seed, options.keeps)?;
            println!("{}", figures::line(&outcome));
            outcomes.push(outcome);
        }
    };
    let mut outcomes = Vec::new();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..options.jobs.max(1)).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            let done = worker
                .join()
                .map_err(|_| anyhow!("a thread that does rounds panicked"))?;
            outcomes.extend(done?);
        }
        anyhow::Ok(())
    })?;
    outcomes.sort_by_key(|outcome| outcome.seed);
    Ok(outcomes)
}

/// `chaos-round FOLDER FAULT SEED`: what [`one`] starts. Its outcome is the file `outcome.json` of the folder.
pub(crate) fn round(folder: &str, fault: &str, seed: &str) -> Result<()> {
    let fault = Fault::named(fault).context("no such fault")?;
    let folder = Path::new(folder);
    let outcome = round::run(folder, fault, seed.parse()?)?;
    Ok(fs::write(
        folder.join("outcome.json"),
        serde_json::to_vec_pretty(&outcome)?,
    )?)
}

/// Does not return where a signal ends this program: what fails from then on fails because of that.
fn wait_where_interrupted() {
    while IS_INTERRUPTED.load(Ordering::SeqCst) {
        // The other thread ends all.
        std::thread::park();
    }
}

/// Has whoever ends this program with a signal leave nothing behind either.
fn clean_up_when_interrupted(scratch: &Path) -> Result<()> {
    const INTERRUPTED: i32 = 130;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut end) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let scratch = scratch.to_owned();
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = end.recv() => {}
            }
        });
        IS_INTERRUPTED.store(true, Ordering::SeqCst);
        processes::sweep(&scratch);
        // What stays is a folder among the temporary ones.
        let _ = fs::remove_dir_all(&scratch);
        std::process::exit(INTERRUPTED);
    });
    Ok(())
}

/// What this machine does not have of what faults need.
fn missing() -> Vec<Need> {
    let mut needs: Vec<Need> = ALL.into_iter().flat_map(Fault::needs).copied().collect();
    needs.sort_unstable();
    needs.dedup();
    needs.retain(|need| !need.is_there());
    needs
}

/// A fault that cannot be done here, and what to do for it.
fn unmet(fault: Fault, missing: &[Need]) -> Option<String> {
    let unmet = fault.needs().iter().filter(|need| missing.contains(need));
    let remedies: Vec<&str> = unmet.map(|need| need.remedy()).collect();
    (!remedies.is_empty()).then(|| format!("{} (do: {})", fault.name(), remedies.join("; ")))
}

/// One round in a process of its own, so that whatever becomes of it nothing stays behind.
fn one(scratch: &Path, fault: Fault, seed: u64, keeps: bool) -> Result<Outcome> {
    let folder = scratch.join(format!("{}-{seed}", fault.name()));
    fs::create_dir_all(folder.join("bin"))?;
    fs::hard_link(scratch.join("mulgil"), folder.join("bin/mulgil"))?;
    let own = scratch.join("mulgil-bench");
    let mut command = if fault.needs().contains(&Need::Mount) {
        let mut command = Command::new("unshare");
        command.arg("-m").arg(own);
        command
    } else {
        Command::new(own)
    };
    let began = Instant::now();
    let mut child = command
        .arg("chaos-round")
        .arg(&folder)
        .args([fault.name(), &seed.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        // Ctrl-C is for this program alone.
        .process_group(0)
        .spawn()?;
    let ended = wait::until(ROUND, Duration::from_millis(50), || Ok(child.try_wait()?))?;
    let mut said = String::new();
    if ended.is_none() {
        child.kill()?;
        said = format!("it took longer than {} s, and was ended\n", ROUND.as_secs());
    }
    let left = processes::sweep(&folder);
    child.wait()?;
    wait_where_interrupted();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut said)?;
    }
    if !left.is_empty() {
        bail!("processes of {} cannot be killed: {left:?}", folder.display());
    }
    let outcome = fs::read(folder.join("outcome.json"))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let mut outcome = outcome.unwrap_or_else(|| figures::unfinished(fault, seed, began.elapsed(), &said));
    fs::remove_dir_all(folder.join("bin"))?;
    if figures::is_broken(&outcome) || keeps {
        outcome.notes.push(format!("kept: {}", folder.display()));
    } else {
        fs::remove_dir_all(&folder)?;
    }
    Ok(outcome)
}
