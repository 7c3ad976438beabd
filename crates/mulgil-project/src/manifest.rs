//! `mulgil.yml`: name, zone, warehouse, environments, sources, variables, and the configuration of
//! whole folders; and how it goes together with a `dbt_project.yml` beside it.

use std::{collections::BTreeMap, path::Path};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place},
    grid::Zone,
    location::Location,
    project::Source,
};
use serde_json::Value as Json;

use crate::{
    LoadOptions, Settings,
    dbt_project::{self, DbtProject},
    dialect::{Dialect, OF_MODELS, OF_SEEDS, OF_SNAPSHOTS, Words},
    files::{MANIFEST, Manifests, Paths},
    folder::{Folder, FolderReader},
    hooks::OnRun,
    profiles::{Aim, Target},
    text, values,
    yaml::{self, Entry, Node, Value},
};

pub(crate) const KEYS: &[&str] = &[
    "name",
    "version",
    "description",
    "timezone",
    "warehouse",
    "environments",
    "models",
    "seeds",
    "snapshots",
    "sources",
    "vars",
    "memory",
    "spill",
    "threads",
    "query_timeout",
    "notifications",
    "ledger",
    "pools",
    "retention",
];
/// What an environment may say.
pub(crate) const ENVIRONMENT_KEYS: &[&str] = &["schema_prefix", "ledger"];
/// What is kept for some time.
pub(crate) const RETENTION_KEYS: &[&str] = &["logs", "runs"];
/// Slots that a pool may have.
pub(crate) const MAX_POOL_SLOTS: i64 = 10_000;
/// The environment that exists without being listed.
pub(crate) const DEFAULT_ENVIRONMENT: &str = "dev";

/// What `mulgil.yml` and `dbt_project.yml` say together.
pub(crate) struct Manifest {
    pub(crate) name: String,
    pub(crate) dialect: Dialect,
    pub(crate) zone: Zone,
    pub(crate) warehouse: Location,
    /// The environment that the project is loaded for: the target's name, where a profile has one.
    pub(crate) environment: String,
    /// The schema of what names none, prefix included.
    pub(crate) schema: String,
    pub(crate) schema_prefix: String,
    pub(crate) target: Option<Target>,
    pub(crate) paths: Paths,
    pub(crate) models: Folder,
    pub(crate) seeds: Folder,
    pub(crate) snapshots: Folder,
    pub(crate) tests: Folder,
    pub(crate) sources: Vec<Source>,
    pub(crate) vars: BTreeMap<String, Json>,
    pub(crate) settings: Settings,
    pub(crate) on_run: OnRun,
    /// `notifications:`, as it is written: its values may be templates.
    pub(crate) notifications: Node,
    /// `ledger:` of the environment, else of the project, as it is written: it may be a template.
    pub(crate) ledger: Option<Node>,
}

impl Manifest {
    /// The schema of a node that names one.
    pub(crate) fn schema_of(&self, own: Option<&str>) -> String {
        match (own, self.dialect) {
            (None, _) => self.schema.clone(),
            (Some(own), Dialect::Own) => format!("{}{own}", self.schema_prefix),
            // dbt puts the target's schema before it, so that the tables of two people stay apart.
            (Some(own), Dialect::Dbt) => format!("{}_{own}", self.schema),
        }
    }
}

/// Reads the files that make the folder a project. Without a readable tree there is no manifest;
/// other faults leave defaults.
pub(crate) fn read(
    root: &Path,
    manifests: &Manifests,
    options: &LoadOptions,
    faults: &mut Vec<Diagnostic>,
) -> Option<Manifest> {
    let file = Path::new(MANIFEST);
    let tree = match &manifests.own {
        Some(text) => yaml::parse(file, text, faults)?,
        None => yaml::nothing(),
    };
    let dbt = match &manifests.dbt {
        Some(text) => {
            let environments = tree.get("environments").and_then(Node::entries).unwrap_or_default();
            // An environment of our own needs no target of its name.
            let is_own = |target: &String| environments.iter().any(|entry| entry.key == *target);
            let target = options.target.as_ref();
            let aim = Aim {
                target: target.map(String::as_str),
                is_bound: target.is_none_or(|target| !is_own(target)),
            };
            Some(dbt_project::read(root, text, options, aim, faults)?)
        }
        None => None,
    };
    let entries = yaml::map(file, &tree, "`mulgil.yml`", faults);
    yaml::check_keys(file, entries, KEYS, "`mulgil.yml`", faults);
    let paths = dbt.as_ref().map(|dbt| dbt.paths.clone()).unwrap_or_default();
    let mut reader = Reader { file, root, faults };
    let name = reader.name(&tree, dbt.as_ref());
    let zone = reader.zone(tree.get("timezone")).unwrap_or(Zone::UTC);
    let mut manifest = Manifest {
        dialect: Dialect::Own,
        warehouse: reader.warehouse(tree.get("warehouse")),
        environment: options.environment.clone(),
        schema: String::new(),
        schema_prefix: reader.environment(tree.get("environments"), options, dbt.as_ref()),
        target: None,
        models: reader.folder(&tree, "models", OF_MODELS, &paths.models, &name),
        seeds: reader.folder(&tree, "seeds", OF_SEEDS, &paths.seeds, &name),
        snapshots: reader.folder(&tree, "snapshots", OF_SNAPSHOTS, &paths.snapshots, &name),
        tests: Folder::default(),
        paths,
        sources: reader.sources(tree.get("sources"), &zone),
        vars: reader.vars(tree.get("vars"), &name),
        settings: reader.settings(&tree),
        on_run: OnRun::default(),
        ledger: ledger_of(&tree, &options.environment),
        notifications: tree.get("notifications").cloned().unwrap_or_else(yaml::nothing),
        name,
        zone,
    };
    manifest.schema = format!("{}{}", manifest.schema_prefix, manifest.name);
    if let Some(dbt) = dbt {
        manifest.lies_over(dbt, tree.get("environments"));
    }
    Some(manifest)
}

impl Manifest {
    /// Takes what `dbt_project.yml` says, under what `mulgil.yml` says of the same.
    fn lies_over(&mut self, dbt: DbtProject, environments: Option<&Node>) {
        self.dialect = Dialect::Dbt;
        let own = std::mem::replace(&mut self.models, dbt.models);
        self.models.lay_over(own);
        let own = std::mem::replace(&mut self.seeds, dbt.seeds);
        self.seeds.lay_over(own);
        let own = std::mem::replace(&mut self.snapshots, dbt.snapshots);
        self.snapshots.lay_over(own);
        self.tests = dbt.tests;
        self.on_run = dbt.on_run;
        let own = std::mem::replace(&mut self.vars, dbt.vars);
        self.vars.extend(own);
        let Some(target) = dbt.target else { return };
        let schema = target.schema.as_ref().unwrap_or(&self.name);
        self.schema = format!("{}{schema}", self.schema_prefix);
        self.settings.parallel = target.threads;
        if environments.is_none_or(|listed| listed.get(&self.environment).is_none()) {
            self.environment.clone_from(&target.name);
        }
        // Each target has a ledger of its own, so each has tables of its own, whatever the schemas of the
        // others are.
        self.warehouse = self.warehouse.join(&target.name);
        self.target = Some(target);
    }
}

/// Reads the parts of `mulgil.yml`; those of its sources are in `sources.rs`, the warehouse in
/// `warehouse.rs`.
pub(crate) struct Reader<'a> {
    pub(crate) file: &'a Path,
    /// The folder that paths start from.
    pub(crate) root: &'a Path,
    pub(crate) faults: &'a mut Vec<Diagnostic>,
}

impl Reader<'_> {
    pub(crate) fn bad(&mut self, node: &Node, message: impl Into<String>, remedy: impl Into<String>) {
        self.faults.push(
            Diagnostic::error(codes::BAD_VALUE, message)
                .at(node.spot.of(self.file))
                .with_remedy(remedy),
        );
    }

    fn name(&mut self, tree: &Node, dbt: Option<&DbtProject>) -> String {
        let Some(node) = tree.get("name") else {
            if let Some(dbt) = dbt {
                return dbt.name.clone();
            }
            self.faults.push(
                Diagnostic::error(codes::MISSING_KEY, "the project has no name")
                    .at(Place::file(self.file))
                    .with_remedy("add a line such as `name: shop`; it is the schema of the project's tables"),
            );
            return "project".to_owned();
        };
        let name = yaml::text(self.file, node, "`name`", self.faults).unwrap_or_default();
        if let Some(dbt) = dbt.filter(|dbt| dbt.name != name) {
            self.faults.push(
                Diagnostic::error(
                    codes::CONFLICTING_CONFIG,
                    format!(
                        "the project is named `{name}` here and `{}` in `dbt_project.yml`",
                        dbt.name
                    ),
                )
                .at(node.spot.of(self.file))
                .with_remedy("remove the name here"),
            );
            return dbt.name.clone();
        }
        self.faults
            .extend(values::bad_project_name(&name, &node.spot.of(self.file)));
        name
    }

    fn zone(&mut self, node: Option<&Node>) -> Option<Zone> {
        let node = node?;
        let name = yaml::text(self.file, node, "`timezone`", self.faults)?;
        values::parse_zone(&name, &node.spot.of(self.file))
            .map_err(|fault| self.faults.push(fault))
            .ok()
    }

    fn environment(&mut self, node: Option<&Node>, options: &LoadOptions, dbt: Option<&DbtProject>) -> String {
        let wanted = options.environment.as_str();
        let entries = node.map_or(&[][..], |node| {
            yaml::map(self.file, node, "`environments`", self.faults)
        });
        for entry in entries {
            let what = format!("the environment `{}`", entry.key);
            let fields = yaml::map(self.file, &entry.node, &what, self.faults);
            yaml::check_keys(self.file, fields, ENVIRONMENT_KEYS, &what, self.faults);
            if !text::is_name(&entry.key) || entry.key.len() > values::MAX_NAME_BYTES {
                self.faults.push(
                    Diagnostic::error(codes::BAD_NAME, format!("`{}` cannot name an environment", entry.key))
                        .at(entry.spot.of(self.file))
                        .with_remedy("use at most 63 letters, digits and `_`"),
                );
            }
        }
        self.check_prefixes(entries);
        if let Some(entry) = entries.iter().find(|entry| entry.key == wanted) {
            return self.schema_prefix(&entry.node);
        }
        let is_target = dbt
            .and_then(|dbt| dbt.target.as_ref())
            .is_some_and(|target| target.name == wanted)
            || self.faults.iter().any(|fault| fault.code == codes::UNKNOWN_PROFILE);
        if wanted != DEFAULT_ENVIRONMENT && !is_target {
            let known = entries
                .iter()
                .map(|entry| entry.key.as_str())
                .chain([DEFAULT_ENVIRONMENT]);
            let remedy = text::nearest(wanted, known.clone()).map_or_else(
                || format!("add it under `environments:`; there are {}", text::listed(known)),
                |near| format!("write `--env {near}`"),
            );
            self.faults.push(
                Diagnostic::error(
                    codes::UNKNOWN_ENVIRONMENT,
                    format!("the project has no environment `{wanted}`"),
                )
                .at(node.map_or_else(|| Place::file(self.file), |node| node.spot.of(self.file)))
                .with_remedy(remedy),
            );
        }
        String::new()
    }

    /// Two environments whose tables lie in one place would fill over each other, each by its own ledger.
    fn check_prefixes(&mut self, entries: &[Entry]) {
        let mut taken: BTreeMap<String, &str> = BTreeMap::new();
        if entries.iter().all(|entry| entry.key != DEFAULT_ENVIRONMENT) {
            taken.insert(String::new(), DEFAULT_ENVIRONMENT);
        }
        for entry in entries {
            let prefix = entry.node.get("schema_prefix").map(Node::to_json);
            let prefix = prefix.as_ref().and_then(Json::as_str).unwrap_or_default().to_owned();
            if let Some(other) = taken.insert(prefix, &entry.key) {
                self.faults.push(
                    Diagnostic::error(
                        codes::BAD_VALUE,
                        format!(
                            "the environments `{other}` and `{}` would write the same tables",
                            entry.key
                        ),
                    )
                    .at(entry.spot.of(self.file))
                    .with_remedy(format!(
                        "give each its own prefix: `{0}: {{schema_prefix: {0}_}}`",
                        entry.key
                    )),
                );
            }
        }
    }

    fn schema_prefix(&mut self, environment: &Node) -> String {
        let Some(node) = environment.get("schema_prefix") else {
            return String::new();
        };
        let prefix = yaml::text(self.file, node, "`schema_prefix`", self.faults).unwrap_or_default();
        if !prefix.is_empty() && values::bad_name(&prefix).is_some() {
            self.bad(
                node,
                format!("`schema_prefix` cannot be `{prefix}`"),
                "use letters, digits and `_`: `dev_`",
            );
        }
        prefix
    }

    fn folder(&mut self, tree: &Node, key: &str, words: Words, tops: &[String], project: &str) -> Folder {
        let mut reader = FolderReader {
            file: self.file,
            root: self.root,
            dialect: Dialect::Own,
            project,
            words,
            faults: self.faults,
        };
        reader.read(tree.get(key), key, tops)
    }

    fn vars(&mut self, node: Option<&Node>, project: &str) -> BTreeMap<String, Json> {
        let Some(node) = node else {
            return BTreeMap::new();
        };
        let mut vars = BTreeMap::new();
        for entry in yaml::map(self.file, node, "`vars`", self.faults) {
            match entry.node.entries() {
                // dbt allows the project's name between.
                Some(inner) if entry.key == project => {
                    vars.extend(inner.iter().map(|entry| (entry.key.clone(), entry.node.to_json())));
                }
                _ => {
                    vars.insert(entry.key.clone(), entry.node.to_json());
                }
            }
        }
        vars
    }

    /// A size, if it is given: `2GB`.
    fn bytes(&mut self, tree: &Node, key: &str) -> Option<u64> {
        let node = tree.get(key)?;
        let text = yaml::text(self.file, node, &format!("`{key}`"), self.faults).unwrap_or_default();
        let bytes = parse_bytes(&text);
        if bytes.is_none() {
            self.bad(
                node,
                format!("`{key}` cannot be `{text}`"),
                "write a number and a unit: `2GB`, `512MB`",
            );
        }
        bytes
    }

    fn settings(&mut self, tree: &Node) -> Settings {
        let mut settings = Settings {
            memory_bytes: self.bytes(tree, "memory"),
            spill_bytes: self.bytes(tree, "spill"),
            ..Settings::default()
        };
        if let Some(node) = tree.get("threads") {
            match node.value {
                Value::Int(count @ 1..=1024) => settings.threads = usize::try_from(count).ok(),
                _ => self.bad(
                    node,
                    "`threads` is not a count of threads",
                    "write a whole number from 1 to 1024",
                ),
            }
        }
        if let Some(node) = tree.get("query_timeout") {
            let text = yaml::text(self.file, node, "`query_timeout`", self.faults).unwrap_or_default();
            settings.query_timeout_ms = values::parse_duration(&text)
                .filter(|span| *span > 0)
                .map(|span| span.unsigned_abs() / 1000);
            if settings.query_timeout_ms.is_none() {
                self.bad(
                    node,
                    format!("`query_timeout` cannot be `{text}`"),
                    "write a number and a unit: `30m`, `2h`",
                );
            }
        }
        if let Some(node) = tree.get("retention") {
            let fields = yaml::map(self.file, node, "`retention`", self.faults);
            yaml::check_keys(self.file, fields, RETENTION_KEYS, "`retention`", self.faults);
            settings.keep_logs_us = node.get("logs").and_then(|node| self.span(node, "logs"));
            settings.keep_runs_us = node.get("runs").and_then(|node| self.span(node, "runs"));
        }
        if let Some(node) = tree.get("pools") {
            settings.pools = self.pools(node);
        }
        settings
    }

    /// A span of time that is not nothing, in microseconds.
    fn span(&mut self, node: &Node, key: &str) -> Option<i64> {
        let text = yaml::text(self.file, node, &format!("`{key}`"), self.faults)?;
        let span = values::parse_duration(&text).filter(|span| *span > 0);
        if span.is_none() {
            self.bad(
                node,
                format!("`{key}` cannot be `{text}`"),
                "write a number and a unit: `30d`, `12w`",
            );
        }
        span
    }

    fn pools(&mut self, node: &Node) -> BTreeMap<String, usize> {
        let mut pools = BTreeMap::new();
        for entry in yaml::map(self.file, node, "`pools`", self.faults) {
            if !text::is_name(&entry.key) || entry.key.len() > values::MAX_NAME_BYTES {
                self.faults.push(
                    Diagnostic::error(codes::BAD_NAME, format!("`{}` cannot name a pool", entry.key))
                        .at(entry.spot.of(self.file))
                        .with_remedy("use at most 63 letters, digits and `_`"),
                );
                continue;
            }
            match entry.node.value {
                Value::Int(slots @ 1..=MAX_POOL_SLOTS) => {
                    pools.insert(entry.key.clone(), usize::try_from(slots).unwrap_or(1));
                }
                _ => self.bad(
                    &entry.node,
                    format!("the pool `{}` needs a count of slots", entry.key),
                    format!("write a whole number from 1 to {MAX_POOL_SLOTS}: so many of its steps run at once"),
                ),
            }
        }
        pools
    }
}

fn ledger_of(tree: &Node, environment: &str) -> Option<Node> {
    let own = tree
        .get("environments")
        .and_then(|all| all.get(environment)?.get("ledger"));
    own.or_else(|| tree.get("ledger")).cloned()
}

pub(crate) fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let count: u64 = text[..digits].parse().ok()?;
    let shift = match text[digits..].trim().to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        "T" | "TB" | "TIB" => 40,
        _ => return None,
    };
    count.checked_mul(1 << shift).filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read() {
        assert_eq!(parse_bytes("2GB"), Some(2 << 30));
        assert_eq!(parse_bytes("512 MiB"), Some(512 << 20));
        assert_eq!(parse_bytes("100"), Some(100));
        assert_eq!(parse_bytes("0GB"), None);
        assert_eq!(parse_bytes("much"), None);
    }
}
