//! `mulgil.yml`: name, zone, warehouse, environments, sources, variables, and the configuration of
//! whole folders.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place},
    grid::Zone,
    project::Source,
};
use serde_json::Value as Json;

use crate::{
    Settings,
    config::{self, Layer, MAPPING_KEYS, MODEL_KEYS, SEED_KEYS, Setting},
    files::MANIFEST,
    text, values,
    yaml::{self, Entry, Node, Value},
};

const KEYS: &[&str] = &[
    "name",
    "version",
    "description",
    "timezone",
    "warehouse",
    "environments",
    "models",
    "seeds",
    "sources",
    "vars",
    "memory",
    "threads",
    "query_timeout",
];
/// The environment that exists without being listed.
const DEFAULT_ENVIRONMENT: &str = "dev";

/// What `mulgil.yml` says.
pub(crate) struct Manifest {
    pub(crate) name: String,
    pub(crate) zone: Zone,
    pub(crate) warehouse: PathBuf,
    pub(crate) schema_prefix: String,
    pub(crate) models: Folder,
    pub(crate) seeds: Folder,
    pub(crate) sources: Vec<Source>,
    pub(crate) vars: BTreeMap<String, Json>,
    pub(crate) settings: Settings,
}

/// The configuration of a folder and of those in it.
#[derive(Debug, Default)]
pub(crate) struct Folder {
    settings: Layer,
    folders: BTreeMap<String, Folder>,
}

impl Folder {
    /// What holds for a file: the settings of each folder above it, the nearer over the farther.
    pub(crate) fn layer_of(&self, file: &Path) -> Layer {
        let mut layer = self.settings.clone();
        let mut folder = self;
        // The first part is `models` or `seeds` itself; the last is the file, by its stem.
        for part in file.with_extension("").iter().skip(1) {
            let Some(below) = part.to_str().and_then(|part| folder.folders.get(part)) else {
                break;
            };
            config::overlay(&mut layer, &below.settings);
            folder = below;
        }
        layer
    }
}

/// Reads the file. Without a readable tree there is no manifest; other faults leave defaults.
pub(crate) fn read(root: &Path, source: &str, environment: &str, faults: &mut Vec<Diagnostic>) -> Option<Manifest> {
    let file = Path::new(MANIFEST);
    let tree = yaml::parse(file, source, faults)?;
    let entries = yaml::map(file, &tree, "`mulgil.yml`", faults);
    yaml::check_keys(file, entries, KEYS, "`mulgil.yml`", faults);
    let mut reader = Reader { file, root, faults };
    let name = reader.name(&tree);
    let zone = reader.zone(tree.get("timezone")).unwrap_or(Zone::UTC);
    Some(Manifest {
        warehouse: reader.warehouse(tree.get("warehouse")),
        schema_prefix: reader.environment(tree.get("environments"), environment),
        models: reader.folder(tree.get("models"), &name, "models", MODEL_KEYS),
        seeds: reader.folder(tree.get("seeds"), &name, "seeds", SEED_KEYS),
        sources: reader.sources(tree.get("sources"), &zone),
        vars: reader.vars(tree.get("vars"), &name),
        settings: reader.settings(&tree),
        name,
        zone,
    })
}

/// Reads the parts of `mulgil.yml`; those of its sources are in `sources.rs`.
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

    fn name(&mut self, tree: &Node) -> String {
        let Some(node) = tree.get("name") else {
            self.faults.push(
                Diagnostic::error(codes::MISSING_KEY, "the project has no name")
                    .at(Place::file(self.file))
                    .with_remedy("add a line such as `name: shop`; it is the schema of the project's tables"),
            );
            return "project".to_owned();
        };
        let name = yaml::text(self.file, node, "`name`", self.faults).unwrap_or_default();
        if let Some(why) = values::bad_name(&name) {
            self.faults.push(
                Diagnostic::error(codes::BAD_NAME, format!("the project cannot be named `{name}`: {why}"))
                    .at(node.spot.of(self.file))
                    .with_remedy("use letters, digits and `_`, beginning with a letter"),
            );
        }
        name
    }

    fn zone(&mut self, node: Option<&Node>) -> Option<Zone> {
        let node = node?;
        let name = yaml::text(self.file, node, "`timezone`", self.faults)?;
        values::parse_zone(&name, &node.spot.of(self.file))
            .map_err(|fault| self.faults.push(fault))
            .ok()
    }

    fn warehouse(&mut self, node: Option<&Node>) -> PathBuf {
        let default = self.root.join("warehouse");
        let Some(node) = node else { return default };
        let entries = yaml::map(self.file, node, "`warehouse`", self.faults);
        yaml::check_keys(self.file, entries, &["kind", "path"], "`warehouse`", self.faults);
        if let Some(kind) = node.get("kind") {
            let word = yaml::text(self.file, kind, "`kind`", self.faults).unwrap_or_default();
            if word != "local" {
                self.bad(
                    kind,
                    format!("`{word}` is no kind of warehouse"),
                    "write `local`: Delta tables on disk",
                );
            }
        }
        match node.get("path") {
            Some(path) => {
                yaml::text(self.file, path, "`path`", self.faults).map_or(default, |path| self.root.join(path))
            }
            None => default,
        }
    }

    fn environment(&mut self, node: Option<&Node>, wanted: &str) -> String {
        let entries = node.map_or(&[][..], |node| {
            yaml::map(self.file, node, "`environments`", self.faults)
        });
        for entry in entries {
            let what = format!("the environment `{}`", entry.key);
            let fields = yaml::map(self.file, &entry.node, &what, self.faults);
            yaml::check_keys(self.file, fields, &["schema_prefix"], &what, self.faults);
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
        if wanted != DEFAULT_ENVIRONMENT {
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

    fn folder(&mut self, node: Option<&Node>, project: &str, top: &str, keys: &[&str]) -> Folder {
        let Some(node) = node else {
            return Folder::default();
        };
        let mut folder = self.folder_at(node, &self.root.join(top), keys, &format!("`{top}:`"), Some(project));
        // A level with the project's name is the top itself, as in dbt.
        if let Some(inner) = folder.folders.remove(project) {
            config::overlay(&mut folder.settings, &inner.settings);
            folder.folders.extend(inner.folders);
        }
        folder
    }

    fn folder_at(&mut self, node: &Node, path: &Path, keys: &[&str], what: &str, project: Option<&str>) -> Folder {
        let mut folder = Folder::default();
        for entry in yaml::map(self.file, node, what, self.faults) {
            let (key, marked) = entry
                .key
                .strip_prefix('+')
                .map_or((entry.key.as_str(), false), |key| (key, true));
            let is_map = matches!(entry.node.value, Value::Map(_));
            // A folder may have the name of a setting; then `+` tells the setting.
            let is_setting =
                keys.contains(&key) && (marked || !is_map || MAPPING_KEYS.contains(&key) && !path.join(key).is_dir());
            if is_setting {
                folder
                    .settings
                    .insert(key.to_owned(), Setting::read(self.file, &entry.node));
                continue;
            }
            if marked || !is_map {
                self.faults
                    .push(yaml::unknown_key(entry.spot.of(self.file), key, keys, what));
                continue;
            }
            let is_top = project == Some(key);
            let below = if is_top { path.to_path_buf() } else { path.join(key) };
            let is_file = ["sql", "csv"]
                .iter()
                .any(|extension| below.with_extension(extension).is_file());
            if !below.is_dir() && !is_file && !is_top {
                self.unknown_folder(entry, path, keys);
            }
            let what = format!("the folder `{key}`");
            let inner = self.folder_at(&entry.node, &below, keys, &what, None);
            folder.folders.insert(key.to_owned(), inner);
        }
        folder
    }

    fn unknown_folder(&mut self, entry: &Entry, path: &Path, keys: &[&str]) {
        let mut folders: Vec<String> = path
            .read_dir()
            .into_iter()
            .flatten()
            .filter_map(Result::ok)
            .filter(|found| found.path().is_dir())
            .filter_map(|found| found.file_name().into_string().ok())
            .collect();
        folders.sort();
        let known = folders.iter().map(String::as_str).chain(keys.iter().copied());
        let remedy = text::nearest(&entry.key, known).map_or_else(
            || "remove it, or make the folder".to_owned(),
            |near| format!("write `{near}`, or remove it"),
        );
        self.faults.push(
            Diagnostic::error(
                codes::UNKNOWN_KEY,
                format!("`{}` is neither a setting nor a folder here", entry.key),
            )
            .at(entry.spot.of(self.file))
            .with_remedy(remedy),
        );
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

    fn settings(&mut self, tree: &Node) -> Settings {
        let mut settings = Settings::default();
        if let Some(node) = tree.get("memory") {
            let text = yaml::text(self.file, node, "`memory`", self.faults).unwrap_or_default();
            settings.memory_bytes = parse_bytes(&text);
            if settings.memory_bytes.is_none() {
                self.bad(
                    node,
                    format!("`memory` cannot be `{text}`"),
                    "write a number and a unit: `2GB`, `512MB`",
                );
            }
        }
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
        settings
    }
}

fn parse_bytes(text: &str) -> Option<u64> {
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
