//! Where things are: the program, the example, folders to work in.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

/// The program under test: the one that `MULGIL_BENCH_PROGRAM` names, else the one beside this one.
pub(crate) fn program() -> Result<PathBuf> {
    let program = match std::env::var_os("MULGIL_BENCH_PROGRAM") {
        Some(given) => std::path::absolute(given)?,
        None => std::env::current_exe()?.with_file_name("mulgil"),
    };
    if !program.exists() {
        bail!("{} is not there; start this through `cargo xtask`", program.display());
    }
    Ok(program)
}

/// The folder for data that is made once and kept between runs, and for projects that are measured:
/// `MULGIL_BENCH_DIR`, else one among the machine's temporary files.
pub(crate) fn scratch() -> Result<PathBuf> {
    let folder = match std::env::var_os("MULGIL_BENCH_DIR") {
        Some(given) => std::path::absolute(given)?,
        None => std::env::temp_dir().join("mulgil-bench"),
    };
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}

/// A folder below [`scratch`] that is made once: when it is not there, or was left half made, `make`
/// fills it.
pub(crate) fn kept(name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let folder = scratch()?.join(name);
    if !folder.exists() {
        let half = folder.with_extension("half");
        remove(&half)?;
        fs::create_dir_all(&half)?;
        make(&half)?;
        fs::rename(&half, &folder)?;
    }
    Ok(folder)
}

/// A folder below [`scratch`], empty.
pub(crate) fn empty(name: &str) -> Result<PathBuf> {
    let folder = scratch()?.join(name);
    remove(&folder)?;
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Removes a folder with all in it, where there is one.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| folder.display().to_string())
        }
        _ => Ok(()),
    }
}

/// Writes files into a folder, each by its path in it; folders between are made.
pub(crate) fn write_all<'a>(folder: &Path, files: impl IntoIterator<Item = (&'a str, String)>) -> Result<()> {
    for (path, text) in files {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// The bytes of all files below a folder.
pub(crate) fn bytes_of(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() {
            bytes_of(&entry.path())?
        } else {
            entry.metadata()?.len()
        };
    }
    Ok(bytes)
}

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).map_or(manifest.clone(), Path::to_path_buf)
}

/// How much of the example's year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    /// January: 31 days.
    Month,
    /// All of it.
    Year,
}

/// A copy of the example in a new folder.
pub(crate) fn example(span: Span) -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    example_into(span, folder.path())?;
    Ok(folder)
}

/// A copy of the example in a folder that is there.
pub(crate) fn example_into(span: Span, folder: &Path) -> Result<()> {
    const END: &str = "+end: 2014-01-01";
    copy(&repository().join("examples/flights"), folder)?;
    if span == Span::Month {
        let file = folder.join("mulgil.yml");
        let text = fs::read_to_string(&file)?;
        if !text.contains(END) {
            bail!("the example's mulgil.yml has no `{END}` any more");
        }
        fs::write(&file, text.replace(END, "+end: 2013-02-01"))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        if name == ".mulgil" || name == "warehouse" {
            continue;
        }
        if path.is_dir() {
            copy(&path, &to.join(name))?;
        } else {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

/// The program, in a project's folder.
pub(crate) fn mulgil(project: &Path) -> Result<Command> {
    let mut command = Command::new(program()?);
    command.current_dir(project);
    Ok(command)
}
