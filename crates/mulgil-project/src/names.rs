//! The names of a project, as far as its files alone tell them: for a command line that is being typed. Nothing is
//! rendered and nothing resolved, so that it takes no time, and what is wrong with the project is passed over.

use std::{collections::BTreeSet, path::Path};

use crate::{
    LoadOptions, files,
    manifest::{self, DEFAULT_ENVIRONMENT},
    snapshots,
    yaml::{self, Node},
};

/// What a project has names for, each in order and once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Models, seeds and snapshots. Ephemeral models are among them.
    pub nodes: BTreeSet<String>,
    /// Sources: `group.table`.
    pub sources: BTreeSet<String>,
    /// Flows.
    pub flows: BTreeSet<String>,
    /// Environments, and the targets of a dbt project.
    pub environments: BTreeSet<String>,
}

/// The names of the project in a folder.
pub fn names(root: &Path, options: &LoadOptions) -> Names {
    // Whoever types wants names, and no faults.
    let mut faults = Vec::new();
    let Some(texts) = files::read_manifests(root, &mut faults) else {
        return Names::default();
    };
    let manifest = manifest::read(root, &texts, options, &mut faults);
    let paths = manifest
        .as_ref()
        .map(|manifest| manifest.paths.clone())
        .unwrap_or_default();
    let listed = files::list(root, &paths, &mut faults);
    let mut names = Names {
        environments: environments(root, &texts, options),
        flows: listed.flows.iter().filter_map(|path| flow(root, path)).collect(),
        ..Names::default()
    };
    names
        .nodes
        .extend(listed.models.iter().chain(&listed.seeds).filter_map(|path| stem(path)));
    for path in &listed.snapshots {
        let text = files::read_text(root, path, &mut faults).unwrap_or_default();
        names.nodes.extend(snapshots::names(&text));
    }
    let sources = manifest.iter().flat_map(|manifest| &manifest.sources);
    names.sources.extend(sources.map(|source| source.name.to_string()));
    names
}

fn stem(path: &Path) -> Option<String> {
    path.file_stem()?.to_str().map(str::to_owned)
}

/// The file's name, or what the file says at its outermost level.
fn flow(root: &Path, path: &Path) -> Option<String> {
    let text = files::read_text(root, path, &mut Vec::new()).unwrap_or_default();
    let said = text.lines().find_map(|line| line.strip_prefix("name:"));
    let said = said.map(|name| name.split(" #").next().unwrap_or(name).trim().trim_matches(['"', '\'']));
    said.filter(|name| !name.is_empty())
        .map(str::to_owned)
        .or_else(|| stem(path))
}

fn environments(root: &Path, texts: &files::Manifests, options: &LoadOptions) -> BTreeSet<String> {
    let mut faults = Vec::new();
    let own = texts
        .own
        .as_ref()
        .and_then(|text| yaml::parse(Path::new(files::MANIFEST), text, &mut faults));
    let mut names = keys(own.as_ref().and_then(|tree| tree.get("environments")));
    let dbt = texts.dbt.as_ref();
    let Some(dbt) = dbt.and_then(|text| yaml::parse_dbt(Path::new(files::DBT_MANIFEST), text, &mut faults)) else {
        names.insert(DEFAULT_ENVIRONMENT.to_owned());
        return names;
    };
    let profiles = files::read_profiles(root, options, &mut faults);
    let profiles = profiles.and_then(|(path, text)| yaml::parse_dbt(&path, &text, &mut faults));
    let profile = dbt.get("profile").or(dbt.get("name")).map(Node::to_json);
    let profile = profile.as_ref().and_then(|profile| profile.as_str());
    let outputs = profiles
        .as_ref()
        .zip(profile)
        .and_then(|(tree, profile)| tree.get(profile)?.get("outputs"));
    names.extend(keys(outputs));
    names
}

fn keys(node: Option<&Node>) -> BTreeSet<String> {
    let entries = node.and_then(Node::entries).unwrap_or_default();
    entries.iter().map(|entry| entry.key.clone()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
mod tests {
    use std::fs;

    use super::*;

    fn named(files: &[(&str, &str)]) -> Names {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        names(folder.path(), &LoadOptions::default())
    }

    fn words(names: &BTreeSet<String>) -> Vec<&str> {
        names.iter().map(String::as_str).collect()
    }

    #[test]
    fn names_come_from_files_whatever_is_wrong_in_them() {
        let names = named(&[
            (
                "mulgil.yml",
                "name: shop\ntimezone: Asia/Soul\nenvironments: {prod: {}}\nsources: {raw: {orders: {files: 'a_{YYYYMMDD}.csv'}}}\n",
            ),
            ("models/staging/reads.sql", "select {{ broken"),
            ("models/schema.yml", "models: []"),
            ("seeds/shops.csv", "id\n1\n"),
            (
                "snapshots/prices.sql",
                "{% snapshot prices_seen %}select 1{% endsnapshot %}",
            ),
            ("flows/daily.yml", "steps: {}\n"),
            ("flows/other.yml", "name: nightly # at night\n"),
            ("models/left_out.sql", "select 1"),
            (".mulgilignore", "models/left_out.sql\n"),
        ]);
        assert_eq!(words(&names.nodes), ["prices_seen", "reads", "shops"]);
        assert_eq!(words(&names.flows), ["daily", "nightly"]);
        assert_eq!(words(&names.sources), ["raw.orders"]);
        assert_eq!(words(&names.environments), ["dev", "prod"]);
    }

    #[test]
    fn a_dbt_project_has_its_own_folders_and_targets() {
        let names = named(&[
            (
                "dbt_project.yml",
                "name: shop\nprofile: stage\nmodel-paths: [transform]\n",
            ),
            (
                "profiles.yml",
                "stage:\n  target: ci\n  outputs:\n    ci: {type: duckdb}\n    prod: {type: duckdb}\n",
            ),
            ("transform/orders.sql", "select 1"),
            ("models/not_here.sql", "select 1"),
        ]);
        assert_eq!(words(&names.nodes), ["orders"]);
        assert_eq!(words(&names.environments), ["ci", "prod"]);
    }

    #[test]
    fn a_folder_without_a_project_has_no_names() {
        assert_eq!(named(&[("models/orders.sql", "select 1")]), Names::default());
    }
}
