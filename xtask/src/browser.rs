//! The browser that tests drive: Chromium as the machine has it, else as Debian's package where this may
//! be installed.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::shell::{Shell, cargo};

/// The variable that names the browser's program.
const VARIABLE: &str = "MULGIL_TEST_CHROMIUM";

/// Programs that are Chromium, on the path.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Debian's package of it.
const PACKAGE: &str = "chromium";

/// The browser's program.
pub(crate) fn prepare() -> Result<PathBuf> {
    if let Some(found) = of_machine() {
        return Ok(found);
    }
    if !Path::new("/usr/bin/apt-get").exists() || !is_root() {
        bail!("there is no Chromium (Debian: apt install chromium; elsewhere name one by {VARIABLE})");
    }
    let install = || {
        Shell::new("apt-get")
            .args(["install", "--yes", "--quiet", "--no-install-recommends", PACKAGE])
            .env("DEBIAN_FRONTEND", "noninteractive")
            .run()
    };
    if install().is_err() {
        // The machine's lists of packages may be old.
        Shell::new("apt-get").args(["update", "--quiet"]).run()?;
        install()?;
    }
    match of_machine() {
        Some(found) => Ok(found),
        None => bail!("Debian's package `{PACKAGE}` is installed, and there is no Chromium on the path"),
    }
}

/// Drives the browser through the pages of the demo, as a person would, and through the gallery's.
pub(crate) fn pages(interpreter: &Path, chromium: &Path, built: &Path) -> Result<()> {
    let (program, gallery) = (built.join("mulgil"), built.join("examples/gallery"));
    cargo()
        .args(["build", "--quiet", "--workspace", "--example", "gallery"])
        .run()?;
    Shell::new(interpreter)
        .args(["-B", "tests/browser/main.py"])
        .args(["--program".as_ref(), program.as_os_str()])
        .args(["--chromium".as_ref(), chromium.as_os_str()])
        .args(["--gallery".as_ref(), gallery.as_os_str()])
        .run()
}

fn of_machine() -> Option<PathBuf> {
    let given = std::env::var_os(VARIABLE).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let on_path = NAMES
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    given.into_iter().chain(on_path).find(|program| program.is_file())
}

fn is_root() -> bool {
    Shell::new("id").args(["-u"]).stdout().is_ok_and(|id| id.trim() == "0")
}
