//! Starting other programs. The only place in xtask that does.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// The root of the checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the checkout")
}

/// Where builds go: `CARGO_TARGET_DIR`, else a cache outside the checkout, so that a fresh checkout
/// starts warm; else `target`.
pub(crate) fn target_dir() -> PathBuf {
    if let Some(given) = std::env::var_os("CARGO_TARGET_DIR") {
        return root().join(given);
    }
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .filter(|path| Path::new(path).is_absolute())
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
    cache
        .map(|cache| cache.join("mulgil").join("target"))
        .filter(|target| is_writable(target))
        .unwrap_or_else(|| root().join("target"))
}

fn is_writable(folder: &Path) -> bool {
    let probe = folder.join(format!(".probe-{}", std::process::id()));
    std::fs::create_dir_all(folder).is_ok()
        && std::fs::write(&probe, "").is_ok()
        && std::fs::remove_file(&probe).is_ok()
}

/// Whether this is a machine that checks a change, where a part that cannot run is a failure.
pub(crate) fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true" || value == "1")
}

/// A program to be started in the root of the checkout.
pub(crate) struct Shell {
    command: Command,
}

/// The cargo that started us, with builds going to [`target_dir`].
pub(crate) fn cargo() -> Shell {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut shell = Shell::new(cargo).env("CARGO_TARGET_DIR", target_dir());
    // What cargo told us of ourselves is not for it: build scripts that look at it would build half of
    // the dependencies anew, once for us and once for those who call cargo by hand.
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("CARGO_PKG_")
            || name_text.starts_with("CARGO_MANIFEST_")
            || name_text == "CARGO_CRATE_NAME"
        {
            shell.command.env_remove(&name);
        }
    }
    shell
}

impl Shell {
    /// A program by its name or path.
    #[expect(clippy::disallowed_methods, reason = "the one place where xtask starts processes")]
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.current_dir(root());
        Self { command }
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Whether it can be started and ends well; its words are dropped.
    pub(crate) fn succeeds(mut self) -> bool {
        self.command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Runs it with our own output; fails when it does.
    pub(crate) fn run(mut self) -> Result<()> {
        let status = self
            .command
            .status()
            .with_context(|| format!("cannot start {}", self.name()))?;
        if !status.success() {
            bail!("{} ended with {status}", self.name());
        }
        Ok(())
    }

    /// What it prints to stdout; its stderr is ours.
    pub(crate) fn stdout(mut self) -> Result<String> {
        let output = self
            .command
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("cannot start {}", self.name()))?;
        if !output.status.success() {
            bail!("{} ended with {}", self.name(), output.status);
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs it and shows each line of stdout and stderr to `line` as it comes, after printing it.
    pub(crate) fn watch(mut self, mut line: impl FnMut(&str)) -> Result<()> {
        let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
        self.command
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer);
        let mut child = self
            .command
            .spawn()
            .with_context(|| format!("cannot start {}", self.name()))?;
        let name = self.name();
        // The command holds the pipe's other end; while it lives the reader would never see an end.
        drop(self);
        for bytes in BufReader::new(reader).split(b'\n') {
            let text = String::from_utf8_lossy(&bytes?).into_owned();
            eprintln!("{text}");
            line(&text);
        }
        let status = child.wait()?;
        if !status.success() {
            bail!("{name} ended with {status}");
        }
        Ok(())
    }

    fn name(&self) -> String {
        let program = Path::new(self.command.get_program());
        let first = self.command.get_args().next().unwrap_or_default();
        format!(
            "`{} {}`",
            program.file_name().unwrap_or_default().display(),
            first.display()
        )
    }
}
