//! Starting the first process of a task.

use std::{
    fs, io,
    io::Write as _,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt as _, process::CommandExt as _},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
};
use nix::{
    sys::memfd::{MFdFlags, memfd_create},
    unistd::{AccessFlags, access},
};

/// What a process is started with.
pub(crate) struct Start<'a> {
    pub(crate) argv: &'a [String],
    pub(crate) environment: &'a std::collections::BTreeMap<String, String>,
    pub(crate) directory: &'a Path,
    pub(crate) stdin: Stdio,
    pub(crate) stdout: Stdio,
    pub(crate) stderr: Stdio,
}

/// Starts a process in a group of its own.
pub(crate) fn start(start: Start<'_>) -> Result<Child, Box<Diagnostic>> {
    let name = start
        .argv
        .first()
        .ok_or_else(|| not_started("the command is empty".to_owned()))?;
    if !start.directory.is_dir() {
        return Err(not_started(format!(
            "the working directory {} is not there",
            start.directory.display()
        )));
    }
    let path = start.environment.get("PATH").map_or("", String::as_str);
    let program = find(name, path, start.directory).ok_or_else(|| missing(name, path))?;
    // Found here and not by the child, so that it is started without a copy of this process.
    #[expect(clippy::disallowed_methods, reason = "the one place where tasks are started")]
    let mut command = Command::new(&program);
    let started = command
        .arg0(name)
        .args(&start.argv[1..])
        .env_clear()
        .envs(start.environment)
        .current_dir(start.directory)
        .stdin(start.stdin)
        .stdout(start.stdout)
        .stderr(start.stderr)
        .process_group(0)
        .spawn();
    started.map_err(|error| not_started(format!("`{}` cannot be started: {error}", program.display())))
}

/// A file without a name that holds these bytes, to be read from its beginning.
pub(crate) fn in_memory(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = fs::File::from(memfd_create(c"mulgil", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(bytes)?;
    io::Seek::rewind(&mut file)?;
    Ok(file.into())
}

/// Whether a program is found, and where: as a shell would, with paths taken from the working directory.
pub(crate) fn find(name: &str, path: &str, directory: &Path) -> Option<PathBuf> {
    let is_program = |file: &PathBuf| file.is_file() && access(file, AccessFlags::X_OK).is_ok();
    if name.contains('/') {
        return Some(directory.join(name)).filter(|file| file.exists());
    }
    let folders = path.as_bytes().split(|byte| *byte == b':');
    let files = folders.map(|folder| directory.join(std::ffi::OsStr::from_bytes(folder)).join(name));
    files.into_iter().find(is_program)
}

fn missing(name: &str, path: &str) -> Box<Diagnostic> {
    not_started(if name.contains('/') {
        format!("the program `{name}` is not there")
    } else {
        format!("the program `{name}` is not in PATH ({path})")
    })
}

fn not_started(message: String) -> Box<Diagnostic> {
    Box::new(
        Diagnostic::error(codes::TASK_NOT_STARTED, message)
            .with_remedy(
                "install it where the server runs, or write the right path; a shell's syntax needs `[sh, -c, …]`",
            )
            .with_retry(Retry::AfterHumanFix),
    )
}
