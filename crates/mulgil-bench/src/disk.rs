//! Full disks: the warehouse, the ledger, or the whole project on a file system with too little room.
//! The run must end with a coded error; with room again the next one must finish, and every table must
//! equal the one of an undisturbed run.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    chaos::spine::{self, Options, Tables},
    place::{self, Span},
    synthetic::Random,
};

/// What lies on the small file system.
#[derive(Clone, Copy, Debug)]
enum Small {
    Warehouse,
    Ledger,
    Project,
}

/// What an undisturbed run needs, in bytes.
struct Needs {
    warehouse: u64,
    ledger: u64,
}

/// What a file system needs beside the bytes of its files: whole pages for each, and directories.
const SLACK: u64 = 1 << 20;

/// The exit code of what an operator has to mend.
const OPERATION: i32 = 6;

/// Rounds of full disks, by seed; needs the right to mount.
pub(crate) fn chaos(options: Options) -> Result<()> {
    let began = Instant::now();
    let undisturbed = place::example(Span::Month)?;
    spine::finish(undisturbed.path())?;
    let expected = spine::tables(undisturbed.path())?;
    let needs = Needs {
        warehouse: size_of(&undisturbed.path().join("warehouse"))?,
        ledger: size_of(&undisturbed.path().join(".mulgil"))?,
    };
    if let Some(seed) = options.only_seed {
        return round(seed, &needs, &expected).map(|what| println!("seed {seed}: {what}; all tables equal"));
    }
    let mut full = 0;
    for seed in options.seeds() {
        let what = round(seed, &needs, &expected)
            .with_context(|| format!("replay with: cargo xtask chaos disk --only-seed {seed}"))?;
        println!("seed {seed}: {what}");
        full += u64::from(what.contains("MG"));
    }
    let mut text = String::from("# Chaos: full disks\n\n");
    writeln!(text, "{}; January of the flights.\n", jiff::Zoned::now().date())?;
    writeln!(
        text,
        "- {} rounds, seeds {:?}: the warehouse, the ledger or the whole project on a file system with less room than \
         the run needs; {full} of them ran out of it and ended with a coded error and exit code {OPERATION}. With room \
         again the next run finished, every table was equal, nothing was due after it",
        options.rounds,
        options.seeds(),
    )?;
    writeln!(
        text,
        "- {} s in all; a round is replayed by `cargo xtask chaos disk --only-seed SEED`",
        began.elapsed().as_secs()
    )?;
    println!("{text}");
    spine::write_figures("chaos-disk.md", &text)
}

fn round(seed: u64, needs: &Needs, expected: &Tables) -> Result<String> {
    let mut random = Random::new(seed);
    let project = place::example(Span::Month)?;
    let (small, needed, folder) = match random.below(3) {
        0 => (Small::Warehouse, needs.warehouse, project.path().join("warehouse")),
        1 => (Small::Ledger, needs.ledger, project.path().join(".mulgil")),
        _ => {
            let needed = needs.warehouse + needs.ledger + size_of(project.path())?;
            (Small::Project, needed, project.path().to_owned())
        }
    };
    let before = match small {
        Small::Warehouse | Small::Ledger => 0,
        Small::Project => size_of(project.path())? + SLACK,
    };
    let room = before + 4096 + random.below(needed - before.min(needed) + 1);
    let mounted = Mounted::over(&folder, room)?;
    let work = match small {
        Small::Warehouse | Small::Ledger => project.path().to_owned(),
        Small::Project => {
            place::example_into(Span::Month, &folder)?;
            folder.clone()
        }
    };
    let output = place::mulgil(&work)?.arg("run").output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let what = match output.status.code() {
        Some(0) => "had room enough".to_owned(),
        Some(OPERATION) => {
            let code = said.split("error[").nth(1).and_then(|rest| rest.split(']').next());
            code.with_context(|| format!("no code in: {said}"))?.to_owned()
        }
        _ => anyhow::bail!(
            "the run on {room} bytes for {small:?} ended with {}: {said}",
            output.status
        ),
    };
    mounted.grow()?;
    spine::check(&work, expected)?;
    Ok(format!("{small:?} with {room} bytes: {what}"))
}

/// The bytes below a folder, each file in whole pages.
fn size_of(folder: &Path) -> Result<u64> {
    const PAGE: u64 = 4096;
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() {
            PAGE + size_of(&entry.path())?
        } else {
            entry.metadata()?.len().next_multiple_of(PAGE)
        };
    }
    Ok(bytes)
}

/// A small file system; it goes when this goes.
struct Mounted(PathBuf);

impl Mounted {
    fn over(folder: &Path, bytes: u64) -> Result<Self> {
        fs::create_dir_all(folder)?;
        mount(&["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"], folder)?;
        Ok(Self(folder.to_owned()))
    }

    fn grow(&self) -> Result<()> {
        mount(&["-o", "remount,size=1g"], &self.0)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // A mount that stays is seen: removing the folder under it fails aloud.
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn mount(words: &[&str], folder: &Path) -> Result<()> {
    let status = Command::new("mount").args(words).arg(folder).status()?;
    ensure!(
        status.success(),
        "mount over {} failed; it needs root",
        folder.display()
    );
    Ok(())
}
