//! Where things are: the program, the example, folders to work in.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

/// The program under test: it stands beside this one.
pub(crate) fn program() -> Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name("mulgil");
    if !program.exists() {
        bail!("{} is not built; start this through `cargo xtask`", program.display());
    }
    Ok(program)
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

/// A Python that has `duckdb`: the tests' own, or the machine's.
pub(crate) fn python() -> String {
    std::env::var("MULGIL_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}
