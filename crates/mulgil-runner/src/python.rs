//! Python steps: which interpreter runs what, and our SDK, which the program carries.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    port::Fault,
};
use serde::{Deserialize, Serialize};

use crate::{ask, folder, process};

/// The oldest Python that runs steps; `python/__main__.py` says so too.
const LEAST_PYTHON: [u32; 2] = [3, 9];

/// How long an interpreter may take to say its version: it may be read from a slow disk.
const PATIENCE: Duration = Duration::from_secs(20);

/// The files of the SDK. `__main__.py` runs a step; `mulgil` is what steps import.
const FILES: [(&str, &str); 4] = [
    ("__main__.py", include_str!("../../../python/__main__.py")),
    ("mulgil/__init__.py", include_str!("../../../python/mulgil/__init__.py")),
    ("mulgil/_step.py", include_str!("../../../python/mulgil/_step.py")),
    ("mulgil/_worker.py", include_str!("../../../python/mulgil/_worker.py")),
];

/// A Python script or function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PythonStep {
    /// The interpreter: a path, or a name that is looked up in `PATH`.
    pub interpreter: String,
    /// Where the SDK is: [`PythonSdk::dir`].
    pub sdk: PathBuf,
    /// A script's path (`load.py`), or a function (`package.module:function`), from the working directory.
    pub target: String,
    /// Arguments of a script.
    pub args: Vec<String>,
    /// Whether it runs on a warm worker, or in a process that is started for it.
    pub is_warm: bool,
}

/// Our SDK as it lies in the data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PythonSdk {
    /// Its folder, named by its content.
    pub dir: PathBuf,
}

impl PythonSdk {
    /// Writes the SDK to `python/<hash of its content>` of the data folder, unless it is there.
    ///
    /// # Errors
    /// A folder that cannot be written to (MG5202).
    pub fn install(data: &Path) -> Result<Self, Fault> {
        let mut hasher = blake3::Hasher::new();
        for (name, text) in FILES {
            hasher
                .update(name.as_bytes())
                .update(&[0])
                .update(text.as_bytes())
                .update(&[0]);
        }
        let dir = data.join("python").join(&hasher.finalize().to_hex()[..16]);
        let fault = |error: io::Error| folder::fault(&dir, "cannot hold the Python SDK", &error);
        if !dir.is_dir() {
            write(&dir).map_err(fault)?;
        }
        let dir = dir.canonicalize().map_err(fault)?;
        Ok(Self { dir })
    }
}

/// Written beside its place and moved there whole, since several processes may do it at once.
fn write(dir: &Path) -> io::Result<()> {
    let staged = dir.with_extension(std::process::id().to_string());
    for (name, text) in FILES {
        let file = staged.join(name);
        fs::create_dir_all(file.parent().unwrap_or(&staged))?;
        fs::write(file, text)?;
    }
    match fs::rename(&staged, dir) {
        Err(_) if dir.is_dir() => fs::remove_dir_all(&staged),
        renamed => renamed,
    }
}

impl PythonStep {
    /// What is run where the process is started for the step.
    pub(crate) fn argv(&self) -> Vec<String> {
        let mut argv = vec![
            self.interpreter.clone(),
            self.sdk.to_string_lossy().into_owned(),
            self.target.clone(),
        ];
        argv.extend(self.args.iter().cloned());
        argv
    }

    /// Whether the interpreter is there at all.
    pub(crate) fn check(&self, environment: &BTreeMap<String, String>, directory: &Path) -> Result<(), Fault> {
        let path = environment.get("PATH").map_or("", String::as_str);
        match process::find(&self.interpreter, path, directory) {
            Some(_) => Ok(()),
            None => Err(unusable(&format!("`{}` is not there", self.interpreter))),
        }
    }

    /// What two steps must have in common to be run by one warm worker.
    pub(crate) fn worker_key(&self, environment: &BTreeMap<String, String>) -> String {
        let environment = environment_of_worker(environment);
        format!("{:?}", (&self.interpreter, &self.sdk, environment))
    }
}

/// The version of an interpreter, a path or a name that is looked up in `PATH`, where it can run steps.
///
/// # Errors
/// [`codes::PYTHON_UNUSABLE`]: it is not there, does not start, or is too old.
pub async fn python_version(
    interpreter: &str,
    environment: &BTreeMap<String, String>,
    directory: &Path,
) -> Result<String, Fault> {
    let path = environment.get("PATH").map_or("", String::as_str);
    if process::find(interpreter, path, directory).is_none() {
        return Err(unusable(&format!("`{interpreter}` is not there")));
    }
    let argv = [
        interpreter,
        "-c",
        "import sys; print('%d.%d.%d' % sys.version_info[:3])",
    ];
    let said = ask(&argv, environment, directory, PATIENCE).await;
    let said = said.map_err(|fault| unusable(&fault.message))?;
    let version = said.text.trim();
    let numbers: Vec<u32> = version.split('.').filter_map(|number| number.parse().ok()).collect();
    if !said.is_success || numbers.len() != 3 {
        return Err(unusable(&format!("`{interpreter}` does not say its version")));
    }
    if numbers.as_slice() < LEAST_PYTHON.as_slice() {
        return Err(unusable(&format!("`{interpreter}` is Python {version}")));
    }
    Ok(version.to_owned())
}

/// What is said of an interpreter that cannot run steps.
pub(crate) fn unusable(why: &str) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::PYTHON_UNUSABLE,
            format!("the Python of this step cannot be used: {why}"),
        )
        .with_remedy("name another one with `python:` at the step, or install Python 3.9 or newer")
        .with_retry(Retry::AfterHumanFix),
    )
}

/// The environment without what belongs to one attempt.
pub(crate) fn environment_of_worker(environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let lasting = environment.iter().filter(|(name, _)| !name.starts_with("MULGIL_"));
    lasting.map(|(name, value)| (name.clone(), value.clone())).collect()
}
