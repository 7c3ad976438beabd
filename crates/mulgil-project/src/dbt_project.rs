//! `dbt_project.yml`, read as it is: name, folders, variables, the profile, and the configuration of
//! whole folders. What dbt would do and this version does not is a warning at its place.

use std::{collections::BTreeMap, path::Path};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place},
};
use serde_json::Value as Json;

use crate::{
    LoadOptions,
    dialect::{Dialect, OF_MODELS, OF_SEEDS, OF_SNAPSHOTS, OF_TESTS, Words, no_effect},
    files::{DBT_MANIFEST, Paths},
    folder::{Folder, FolderReader},
    hooks::OnRun,
    profiles::{self, Aim, Target},
    rendered,
    template::{Globals, Templates},
    values,
    yaml::{self, Node, Value},
};

/// What the file may hold.
const WORDS: Words = Words {
    known: &[
        "name",
        "profile",
        "model-paths",
        "seed-paths",
        "macro-paths",
        "test-paths",
        "snapshot-paths",
        "models",
        "seeds",
        "snapshots",
        "data_tests",
        "tests",
        "vars",
        "on-run-start",
        "on-run-end",
    ],
    quiet: &[
        "version",
        "config-version",
        "require-dbt-version",
        "target-path",
        "log-path",
        "clean-targets",
        "packages-install-path",
        "analysis-paths",
        "docs-paths",
        "asset-paths",
        "function-paths",
        "query-comment",
        "flags",
        "restrict-access",
        "dbt-cloud",
        "sources",
        "exposures",
        "analyses",
        // The names that earlier versions of dbt had.
        "source-paths",
        "data-paths",
    ],
    idle: &[
        "quoting",
        "dispatch",
        "metrics",
        "semantic-models",
        "saved-queries",
        "unit_tests",
        "functions",
    ],
    refused: &[],
};

/// What `dbt_project.yml` says.
#[derive(Debug)]
pub(crate) struct DbtProject {
    pub(crate) name: String,
    pub(crate) paths: Paths,
    pub(crate) models: Folder,
    pub(crate) seeds: Folder,
    pub(crate) snapshots: Folder,
    pub(crate) tests: Folder,
    pub(crate) vars: BTreeMap<String, Json>,
    pub(crate) target: Option<Target>,
    pub(crate) on_run: OnRun,
}

/// Reads the file. Without a readable tree there is no project; other faults leave defaults.
pub(crate) fn read(
    root: &Path,
    source: &str,
    options: &LoadOptions,
    aim: Aim<'_>,
    faults: &mut Vec<Diagnostic>,
) -> Option<DbtProject> {
    let file = Path::new(DBT_MANIFEST);
    let tree = yaml::parse_dbt(file, source, faults)?;
    let what = "`dbt_project.yml`";
    let entries = yaml::map(file, &tree, what, faults);
    let told = |entry: &&yaml::Entry| !(WORDS.idle.contains(&entry.key.as_str()) && is_empty(&entry.node));
    let entries: Vec<yaml::Entry> = entries.iter().filter(told).cloned().collect();
    WORDS.check(file, &entries, what, Dialect::Dbt, faults);
    let mut reader = Reader { file, root, faults };
    let name = reader.name(&tree);
    let vars = reader.vars(tree.get("vars"), &name);
    let mut globals = Globals {
        vars: options.vars.clone(),
        env: options.env.clone(),
        project: name.clone(),
        ..Globals::default()
    };
    let target = reader.target(&tree, options, aim, &Templates::new(globals.copy()));
    if let Some(target) = &target {
        globals.aim_at(target);
    }
    let templates = Templates::new(globals);
    let paths = reader.paths(&tree, &templates);
    let all: Vec<String> = [&paths.tests, &paths.models, &paths.seeds, &paths.snapshots]
        .into_iter()
        .flatten()
        .cloned()
        .collect();
    let mut tests = reader.folder(&tree, "tests", OF_TESTS, &all, &name, &templates);
    tests.lay_over(reader.folder(&tree, "data_tests", OF_TESTS, &all, &name, &templates));
    Some(DbtProject {
        models: reader.folder(&tree, "models", OF_MODELS, &paths.models, &name, &templates),
        seeds: reader.folder(&tree, "seeds", OF_SEEDS, &paths.seeds, &name, &templates),
        snapshots: reader.folder(&tree, "snapshots", OF_SNAPSHOTS, &paths.snapshots, &name, &templates),
        tests,
        on_run: OnRun {
            start: reader.on_run(&tree, "on-run-start"),
            end: reader.on_run(&tree, "on-run-end"),
        },
        name,
        paths,
        vars,
        target,
    })
}

fn is_empty(node: &Node) -> bool {
    match &node.value {
        Value::Null => true,
        Value::Text(text) => text.trim().is_empty(),
        Value::List(items) => items.iter().all(is_empty),
        Value::Map(entries) => entries.is_empty(),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => false,
    }
}

struct Reader<'a> {
    file: &'a Path,
    root: &'a Path,
    faults: &'a mut Vec<Diagnostic>,
}

impl Reader<'_> {
    fn name(&mut self, tree: &Node) -> String {
        let Some(node) = tree.get("name") else {
            self.faults.push(
                Diagnostic::error(codes::MISSING_KEY, "the project has no name")
                    .at(Place::file(self.file))
                    .with_remedy("add a line such as `name: shop`"),
            );
            return "project".to_owned();
        };
        let name = yaml::text(self.file, node, "`name`", self.faults).unwrap_or_default();
        self.faults
            .extend(values::bad_project_name(&name, &node.spot.of(self.file)));
        name
    }

    fn target(&mut self, tree: &Node, options: &LoadOptions, aim: Aim<'_>, templates: &Templates) -> Option<Target> {
        let node = rendered::tree(tree.get("profile")?, self.file, templates, self.faults);
        let profile = yaml::text(self.file, &node, "`profile`", self.faults)?;
        profiles::read(
            self.root,
            options,
            aim,
            (&profile, node.spot.of(self.file)),
            self.faults,
        )
    }

    fn vars(&mut self, node: Option<&Node>, project: &str) -> BTreeMap<String, Json> {
        let Some(node) = node else { return BTreeMap::new() };
        let entries = yaml::map(self.file, node, "`vars`", self.faults);
        let own = entries
            .iter()
            .filter(|entry| entry.key == project)
            .filter_map(|entry| entry.node.entries())
            .flatten();
        // What stands under the project's name goes over what holds for all.
        entries
            .iter()
            .filter(|entry| entry.key != project)
            .chain(own)
            .map(|entry| (entry.key.clone(), entry.node.to_json()))
            .collect()
    }

    /// SQL that stands around a run: a text, or a list of texts. It is rendered when it is run.
    fn on_run(&mut self, tree: &Node, key: &str) -> Vec<(String, Place)> {
        let Some(node) = tree.get(key).filter(|node| !is_empty(node)) else {
            return Vec::new();
        };
        let items = match &node.value {
            Value::List(items) => items.iter().collect(),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Map(_) => {
                vec![node]
            }
        };
        let mut hooks = Vec::new();
        for item in items.into_iter().filter(|item| !is_empty(item)) {
            let text = yaml::text(self.file, item, &format!("`{key}`"), self.faults);
            hooks.extend(text.map(|text| (text, item.spot.of(self.file))));
        }
        hooks
    }

    fn paths(&mut self, tree: &Node, templates: &Templates) -> Paths {
        let usual = Paths::default();
        let mut read = |keys: [&str; 2], usual: Vec<String>| {
            let node = keys.iter().find_map(|key| tree.get(key));
            node.map_or(usual, |node| self.folders(node, keys[0], templates))
        };
        Paths {
            models: read(["model-paths", "source-paths"], usual.models),
            seeds: read(["seed-paths", "data-paths"], usual.seeds),
            macros: read(["macro-paths", "macro-paths"], usual.macros),
            tests: read(["test-paths", "test-paths"], usual.tests),
            snapshots: read(["snapshot-paths", "snapshot-paths"], usual.snapshots),
        }
    }

    fn folders(&mut self, node: &Node, key: &str, templates: &Templates) -> Vec<String> {
        let node = rendered::tree(node, self.file, templates, self.faults);
        let mut folders = Vec::new();
        for folder in yaml::texts(self.file, &node, &format!("`{key}`"), self.faults) {
            let plain = folder.trim_start_matches("./").trim_end_matches('/').to_owned();
            let parts = Path::new(&plain).components();
            let is_inside = parts.clone().count() > 0
                && parts
                    .into_iter()
                    .all(|part| matches!(part, std::path::Component::Normal(_)));
            if is_inside {
                folders.push(plain);
            } else {
                self.faults.push(
                    Diagnostic::error(codes::BAD_VALUE, format!("`{key}` cannot be `{folder}`"))
                        .at(node.spot.of(self.file))
                        .with_remedy("name a folder inside the project folder, such as `models`"),
                );
            }
        }
        folders
    }

    fn folder(
        &mut self,
        tree: &Node,
        key: &str,
        words: Words,
        tops: &[String],
        project: &str,
        templates: &Templates,
    ) -> Folder {
        let node = tree
            .get(key)
            .map(|node| rendered::tree(node, self.file, templates, self.faults));
        let mut reader = FolderReader {
            file: self.file,
            root: self.root,
            dialect: Dialect::Dbt,
            project,
            words,
            faults: self.faults,
        };
        reader.read(node.as_ref(), key, tops)
    }
}

/// The macros by which a project names schemas and tables itself: their bodies are not asked yet.
pub(crate) fn unasked_macros(macros: &[String], faults: &mut Vec<Diagnostic>) {
    const NAMING: [&str; 3] = ["generate_schema_name", "generate_alias_name", "generate_database_name"];
    for name in NAMING.iter().filter(|name| macros.iter().any(|known| known == *name)) {
        faults.push(no_effect(&format!("the macro `{name}`")).at(Place::file(DBT_MANIFEST)));
    }
}
