//! The configuration of whole folders: `models:`, `seeds:` and the like in `mulgil.yml` and
//! `dbt_project.yml`. The nearer folder wins; tags add up.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place},
};

use crate::{
    config::{self, Layer, Setting},
    dialect::{Dialect, Words},
    text,
    yaml::{self, Entry, Node, Value},
};

/// Keys whose value is a mapping, so that a mapping under them is no folder.
const MAPPING_KEYS: &[&str] = &[
    "keys",
    "reads",
    "meta",
    "docs",
    "grants",
    "contract",
    "persist_docs",
    "quoting",
    "column_types",
    "partition_by",
    "labels",
    "properties",
    "tblproperties",
    "pre-hook",
    "pre_hook",
    "post-hook",
    "post_hook",
];

/// The configuration of a folder and of those in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Folder {
    /// The folders that it begins at, from the project folder; of the outermost alone.
    tops: Vec<PathBuf>,
    settings: Layer,
    folders: BTreeMap<String, Folder>,
}

impl Folder {
    /// What holds for a file: the settings of each folder above it, the nearer over the farther.
    pub(crate) fn layer_of(&self, file: &Path) -> Layer {
        let mut layer = self.settings.clone();
        let mut folder = self;
        let inside = self.tops.iter().find_map(|top| file.strip_prefix(top).ok());
        // The last part is the file, by its stem.
        for part in &inside.unwrap_or(file).with_extension("") {
            let Some(below) = part.to_str().and_then(|part| folder.folders.get(part)) else {
                break;
            };
            config::overlay(&mut layer, &below.settings);
            folder = below;
        }
        layer
    }

    /// Lays what another file says of the same folders over this.
    pub(crate) fn lay_over(&mut self, over: Self) {
        config::overlay(&mut self.settings, &over.settings);
        for (name, folder) in over.folders {
            self.folders.entry(name).or_default().lay_over(folder);
        }
        for top in over.tops {
            if !self.tops.contains(&top) {
                self.tops.push(top);
            }
        }
    }
}

/// Reads the configuration of folders.
pub(crate) struct FolderReader<'a> {
    pub(crate) file: &'a Path,
    /// The project folder.
    pub(crate) root: &'a Path,
    pub(crate) dialect: Dialect,
    /// The project's name: a level of that name is the top itself, as in dbt.
    pub(crate) project: &'a str,
    pub(crate) words: Words,
    pub(crate) faults: &'a mut Vec<Diagnostic>,
}

impl FolderReader<'_> {
    /// What stands under `models:` or the like, for folders that begin at one of `tops`.
    pub(crate) fn read(&mut self, node: Option<&Node>, key: &str, tops: &[String]) -> Folder {
        let paths: Vec<PathBuf> = tops.iter().map(|top| self.root.join(top)).collect();
        let mut folder = Folder::default();
        if let Some(node) = node {
            folder = self.folder(node, &paths, &format!("`{key}:`"), Some(self.project));
        }
        if let Some(inner) = folder.folders.remove(self.project) {
            folder.lay_over(inner);
        }
        folder.tops = tops.iter().map(PathBuf::from).collect();
        folder
    }

    fn folder(&mut self, node: &Node, paths: &[PathBuf], what: &str, project: Option<&str>) -> Folder {
        let mut folder = Folder::default();
        for entry in yaml::map(self.file, node, what, self.faults) {
            let (key, marked) = entry
                .key
                .strip_prefix('+')
                .map_or((entry.key.as_str(), false), |key| (key, true));
            let is_map = matches!(entry.node.value, Value::Map(_));
            let is_folder = || paths.iter().any(|path| path.join(key).is_dir());
            // A folder may have the name of a setting; then `+` tells the setting.
            let may_be_setting = marked || !is_map || MAPPING_KEYS.contains(&key) && !is_folder();
            if may_be_setting && self.words.known.contains(&key) {
                folder
                    .settings
                    .insert(config::spelled(key).to_owned(), Setting::read(self.file, &entry.node));
                continue;
            }
            if marked || !is_map || may_be_setting && (self.is_dbts(key)) {
                self.faults
                    .extend(self.words.fault(key, entry.spot.of(self.file), what, self.dialect));
                continue;
            }
            let is_top = project == Some(key);
            let below: Vec<PathBuf> = paths
                .iter()
                .map(|path| if is_top { path.clone() } else { path.join(key) })
                .collect();
            if !is_top && !below.iter().any(|path| is_there(path)) {
                self.unknown_folder(entry, paths);
            }
            let inner = self.folder(&entry.node, &below, &format!("the folder `{key}`"), None);
            folder.folders.insert(key.to_owned(), inner);
        }
        folder
    }

    fn is_dbts(&self, key: &str) -> bool {
        self.words.quiet.contains(&key) || self.words.idle.contains(&key)
    }

    fn unknown_folder(&mut self, entry: &Entry, paths: &[PathBuf]) {
        let mut folders: Vec<String> = paths
            .iter()
            .filter_map(|path| path.read_dir().ok())
            .flatten()
            .filter_map(Result::ok)
            .filter(|found| found.path().is_dir())
            .filter_map(|found| found.file_name().into_string().ok())
            .collect();
        folders.sort();
        let known = folders.iter().map(String::as_str);
        let remedy = text::nearest(&entry.key, known.chain(self.words.known.iter().copied())).map_or_else(
            || "remove it, or make the folder".to_owned(),
            |near| format!("write `{near}`, or remove it"),
        );
        let place: Place = entry.spot.of(self.file);
        let fault = Diagnostic::error(
            codes::UNKNOWN_KEY,
            format!("`{}` is neither a setting nor a folder here", entry.key),
        );
        self.faults
            .push(self.dialect.softened(fault.at(place).with_remedy(remedy)));
    }
}

/// Whether a folder is there, or a file of that stem.
fn is_there(path: &Path) -> bool {
    let is_file = |extension: &str| path.with_extension(extension).is_file();
    path.is_dir() || ["sql", "csv", "yml", "yaml"].iter().any(|extension| is_file(extension))
}
