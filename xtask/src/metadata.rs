//! What `cargo metadata` says, as far as the rules of [`crate::tidy`] ask.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::shell::{Shell, cargo};

/// The graph of packages. Edges of dev-dependencies are kept apart: they are not in a closure.
pub(crate) struct Metadata {
    /// Package names by id.
    names: BTreeMap<String, String>,
    /// The ids that each id is built from.
    builds_on: BTreeMap<String, BTreeSet<String>>,
    /// Names of members of the workspace, with those that each names as a dependency of any kind.
    pub(crate) members: BTreeMap<String, Vec<Edge>>,
    /// Where each package comes from, by id; nothing for our own.
    pub(crate) sources: BTreeMap<String, String>,
}

/// One line of a member's dependency table.
pub(crate) struct Edge {
    pub(crate) to: String,
    pub(crate) is_dev: bool,
}

impl Metadata {
    pub(crate) fn read() -> Result<Self> {
        // Without the filter cargo would fetch what only other systems need.
        let platform = ["--filter-platform", &host()?];
        let text = cargo()
            .args(["metadata", "--format-version", "1"])
            .args(platform)
            .stdout()?;
        Self::parse(&serde_json::from_str(&text)?).context("cargo metadata has a form that is not known")
    }

    /// The names of all packages that a member is built from, itself included.
    pub(crate) fn closure(&self, member: &str) -> BTreeSet<&str> {
        let is_member = |id: &&String| self.names[*id] == member && !self.sources.contains_key(*id);
        let mut open: Vec<&String> = self.names.keys().filter(is_member).collect();
        let mut seen: BTreeSet<&String> = open.iter().copied().collect();
        while let Some(id) = open.pop() {
            open.extend(
                self.builds_on
                    .get(id)
                    .into_iter()
                    .flatten()
                    .filter(|next| seen.insert(next)),
            );
        }
        seen.into_iter().map(|id| self.names[id].as_str()).collect()
    }

    fn parse(value: &Value) -> Option<Self> {
        let mut metadata = Self {
            names: BTreeMap::new(),
            builds_on: BTreeMap::new(),
            members: BTreeMap::new(),
            sources: BTreeMap::new(),
        };
        let ours: BTreeSet<&str> = value["workspace_members"]
            .as_array()?
            .iter()
            .filter_map(Value::as_str)
            .collect();
        for package in value["packages"].as_array()? {
            let (id, name) = (package["id"].as_str()?, package["name"].as_str()?);
            metadata.names.insert(id.to_owned(), name.to_owned());
            if let Some(source) = package["source"].as_str() {
                metadata.sources.insert(id.to_owned(), source.to_owned());
            }
            if ours.contains(id) {
                let edges = package["dependencies"].as_array()?.iter().filter_map(edge).collect();
                metadata.members.insert(name.to_owned(), edges);
            }
        }
        for node in value["resolve"]["nodes"].as_array()? {
            let built = node["deps"].as_array()?.iter().filter(|dep| is_built(dep));
            let built = built.filter_map(|dep| Some(dep["pkg"].as_str()?.to_owned()));
            metadata
                .builds_on
                .insert(node["id"].as_str()?.to_owned(), built.collect());
        }
        Some(metadata)
    }
}

/// The system that we build for: `x86_64-unknown-linux-gnu`.
fn host() -> Result<String> {
    let version = Shell::new("rustc").args(["-vV"]).stdout()?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .context("rustc does not say for which system it builds")
}

fn edge(dependency: &Value) -> Option<Edge> {
    Some(Edge {
        to: dependency["name"].as_str()?.to_owned(),
        is_dev: dependency["kind"].as_str() == Some("dev"),
    })
}

/// Whether a package is needed to build another, and not only to test it.
fn is_built(dep: &Value) -> bool {
    dep["dep_kinds"]
        .as_array()
        .is_none_or(|kinds| kinds.iter().any(|kind| kind["kind"].as_str() != Some("dev")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_closure_leaves_out_what_only_tests_need() {
        let node = |id: &str, deps: Value| json!({"id": id, "deps": deps});
        let value = json!({
            "workspace_members": ["a"],
            "packages": [
                {"id": "a", "name": "a", "source": null, "dependencies": [
                    {"name": "b", "kind": null}, {"name": "d", "kind": "dev"}]},
                {"id": "b", "name": "b", "source": "registry", "dependencies": []},
                {"id": "c", "name": "c", "source": "registry", "dependencies": []},
                {"id": "d", "name": "d", "source": "registry", "dependencies": []},
            ],
            "resolve": {"nodes": [
                node("a", json!([
                    {"pkg": "b", "dep_kinds": [{"kind": null}]}, {"pkg": "d", "dep_kinds": [{"kind": "dev"}]}])),
                node("b", json!([{"pkg": "c", "dep_kinds": [{"kind": "build"}]}])),
                node("c", json!([])), node("d", json!([])),
            ]},
        });
        let metadata = Metadata::parse(&value).expect("a known form");
        assert_eq!(metadata.closure("a"), BTreeSet::from(["a", "b", "c"]));
        let dev: Vec<_> = metadata.members["a"]
            .iter()
            .map(|edge| (edge.to.as_str(), edge.is_dev))
            .collect();
        assert_eq!(dev, [("b", false), ("d", true)]);
    }
}
