//! Files to [`Project`]: `mulgil.yml`, a dbt project as it is, models, macros, seeds and the YAML beside them, resolved,
//! checked and fingerprinted, with every fault at its place; and the [`Compiler`], which renders
//! the queries of a project that was loaded.
//!
//! Reading the files under the project's folder is the only I/O. Nothing here runs SQL, knows what
//! is filled, or asks for the time.

mod assemble;
mod batching;
mod branches;
mod catalog;
mod check;
mod compile;
mod config;
mod data_test;
mod dbt_project;
mod descriptions;
mod dialect;
mod files;
mod fingerprint;
mod flows;
mod folder;
mod generic;
mod graph;
mod hooks;
mod ignore;
mod manifest;
mod mentions;
mod names;
mod parallel;
mod pattern;
mod profiles;
mod properties;
mod reader;
mod rendered;
mod rendering;
pub mod schema;
mod seeds;
mod settings;
mod snapshot;
mod snapshots;
mod sources;
mod sql;
mod stamp;
mod template;
mod test_assembly;
mod test_query;
mod test_sql;
mod text;
mod values;
mod warehouse;
mod yaml;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use mulgil_core::{diagnostic::Diagnostic, project::Project};

pub use crate::{
    compile::Compiler,
    hooks::RunResult,
    names::{Names, names},
    stamp::stamp,
    template::RunFacts,
};

/// What a project is loaded for.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadOptions {
    /// The environment: `dev`, or one that `mulgil.yml` lists. In a dbt project with a profile the
    /// target takes its place.
    pub environment: String,
    /// Variables that go over those of `mulgil.yml`, for `var()`.
    pub vars: BTreeMap<String, serde_json::Value>,
    /// The environment of the process, for `env_var()`.
    pub env: BTreeMap<String, String>,
    /// The target of a dbt project; absent: the one that its profile names.
    pub target: Option<String>,
    /// The person's home folder, whose `.dbt` may hold `profiles.yml`.
    pub home: Option<PathBuf>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            environment: "dev".to_owned(),
            vars: BTreeMap::new(),
            env: BTreeMap::new(),
            target: None,
            home: None,
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Loaded {
    /// The project; absent when there is an error among the diagnostics.
    pub project: Option<Project>,
    /// What renders its queries; there when the project is.
    pub compiler: Option<Compiler>,
    /// The limits that `mulgil.yml` sets.
    pub settings: Settings,
    /// Everything that is wrong, in the order of files and lines.
    pub diagnostics: Vec<Diagnostic>,
}

/// The limits that `mulgil.yml` sets; what is absent is chosen by the program.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Settings {
    /// Bytes that queries together may hold before they spill (`memory: 2GB`).
    pub memory_bytes: Option<u64>,
    /// Bytes that they may spill to disk (`spill: 20GB`).
    pub spill_bytes: Option<u64>,
    /// Threads (`threads: 4`).
    pub threads: Option<usize>,
    /// Tables that are filled at once: `threads:` of a dbt target.
    pub parallel: Option<usize>,
    /// Milliseconds after which a query is ended (`query_timeout: 30m`).
    pub query_timeout_ms: Option<u64>,
    /// The database of the ledger, as a URL with its password (`ledger: postgres://…`); absent: a file in
    /// the data folder.
    pub ledger: Option<String>,
    /// For how many microseconds the logs of attempts are kept (`retention: {logs: 30d}`).
    pub keep_logs_us: Option<i64>,
    /// For how many microseconds runs of flows and ticks are kept (`retention: {runs: 180d}`).
    pub keep_runs_us: Option<i64>,
    /// Slots of pools by name (`pools: {bigquery: 4}`): so many steps of a pool run at once.
    pub pools: BTreeMap<String, usize>,
}

/// Reads variables as dbt's `--vars` has them: a mapping in YAML.
///
/// # Errors
/// When the text is no mapping.
pub fn parse_vars(text: &str) -> Result<BTreeMap<String, serde_json::Value>, Diagnostic> {
    let mut faults = Vec::new();
    let tree = yaml::parse_dbt(Path::new("--vars"), text, &mut faults);
    let entries = tree
        .as_ref()
        .and_then(yaml::Node::entries)
        .filter(|_| faults.is_empty());
    let entries = entries.ok_or_else(|| {
        Diagnostic::error(mulgil_core::codes::USAGE, format!("`--vars {text}` is no mapping"))
            .with_remedy("write it in YAML: `--vars '{start: 2024-01-01, limit: 10}'`")
    })?;
    let pairs = entries.iter().map(|entry| (entry.key.clone(), entry.node.to_json()));
    Ok(pairs.collect())
}

/// Loads the project in a folder. It does not stop at the first fault: the diagnostics name all
/// that could be found.
pub fn load(root: &Path, options: &LoadOptions) -> Loaded {
    assemble::load(root, options)
}

/// Whether a project may be called so.
pub fn is_project_name(name: &str) -> bool {
    values::bad_name(name).is_none()
}

/// The nearest folder, from here upwards, that holds a `mulgil.yml` or a `dbt_project.yml`.
pub fn find_root(from: &Path) -> Option<PathBuf> {
    files::find_root(from)
}
