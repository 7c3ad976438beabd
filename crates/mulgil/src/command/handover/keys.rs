//! On whose keys a project works: the names of secrets and connections, and who uses them. Never a value.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use mulgil_core::flow::StepKind;
use mulgil_store::LedgerPlace;
use serde_json::{Value, json};

use crate::wire::{self, Opened};

/// The files of the project as a whole.
const OF_PROJECT: [&str; 3] = ["mulgil.yml", "dbt_project.yml", "profiles.yml"];

/// What asks the environment in a template.
const CALL: &str = "env_var(";

/// Bytes of a file that are looked through.
const MAX_BYTES: usize = 4 << 20;

/// One name.
pub(super) struct Key {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) used_by: Vec<String>,
    /// Of a variable of the environment: whether this process has it.
    pub(super) is_set: Option<bool>,
}

impl Key {
    pub(super) fn as_json(&self) -> Value {
        json!({ "name": self.name, "kind": self.kind, "used_by": self.used_by, "is_set": self.is_set })
    }
}

pub(super) fn all(opened: &Opened) -> Vec<Key> {
    let environment = wire::environment();
    let used = variables(opened).into_iter();
    let mut keys: Vec<Key> = used
        .map(|(name, used_by)| Key {
            is_set: Some(environment.contains_key(&name)),
            name,
            kind: "variable of the environment",
            used_by: used_by.into_iter().collect(),
        })
        .collect();
    keys.extend(webhooks(opened));
    keys.extend(connections(opened));
    keys
}

/// The names that templates ask the environment for, each with the flows, nodes and files that do.
fn variables(opened: &Opened) -> BTreeMap<String, BTreeSet<String>> {
    let project = &opened.project;
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut look = |file: &Path, user: String| {
        for name in asked_in(&read(&project.root.join(file))) {
            used.entry(name).or_default().insert(user.clone());
        }
    };
    for file in OF_PROJECT {
        look(Path::new(file), file.to_owned());
    }
    for flow in &project.flows {
        let scripts = flow.steps.iter().filter_map(|step| match &step.kind {
            StepKind::Sql { script, .. } => Some(&script.place.file),
            StepKind::Models { .. } | StepKind::Command { .. } | StepKind::Python { .. } => None,
        });
        let files: BTreeSet<&PathBuf> = scripts.chain([&flow.file]).collect();
        for file in files {
            look(file, format!("flow:{}", flow.name));
        }
    }
    for node in &project.nodes {
        look(&node.file, node.name.to_string());
    }
    used
}

fn read(file: &Path) -> String {
    // What cannot be read was a fault when the project was loaded, or is a part of a file (`a.sql#name`).
    let bytes = fs::read(file).unwrap_or_default();
    String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_BYTES)]).into_owned()
}

/// The names in `env_var('NAME')`.
fn asked_in(text: &str) -> BTreeSet<String> {
    let calls = text.split(CALL).skip(1);
    let named = calls.filter_map(|rest| {
        let rest = rest.trim_start();
        let quote = rest.chars().next().filter(|sign| matches!(sign, '\'' | '"'))?;
        let (name, _) = rest[1..].split_once(quote)?;
        (!name.is_empty()).then(|| name.to_owned())
    });
    named.collect()
}

fn webhooks(opened: &Opened) -> impl Iterator<Item = Key> {
    let project = &opened.project;
    project.webhooks.keys().map(|name| {
        let channel = format!("webhook:{name}");
        let tells = |flow: &&mulgil_core::flow::Flow| {
            let notify = &flow.notify;
            let mut told = notify
                .on_failure
                .iter()
                .chain(&notify.on_success)
                .chain(&notify.on_recovery);
            told.any(|told| told.in_words() == channel)
        };
        let used_by = project
            .flows
            .iter()
            .filter(tells)
            .map(|flow| format!("flow:{}", flow.name));
        Key {
            used_by: used_by.collect(),
            name: channel,
            kind: "webhook",
            is_set: None,
        }
    })
}

/// What is logged in to: the database of the ledger, the store of the tables.
fn connections(opened: &Opened) -> Vec<Key> {
    let key = |name: String, kind, user: &str| Key {
        name,
        kind,
        used_by: vec![user.to_owned()],
        is_set: None,
    };
    let mut keys = Vec::new();
    if let Ok(place @ LedgerPlace::Postgres(_)) = opened.place() {
        keys.push(key(place.to_string(), "database", "the ledger"));
    }
    let warehouse = &opened.project.warehouse;
    if warehouse.folder().is_none() {
        keys.push(key(warehouse.to_string(), "object store", "the tables"));
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_templates_and_no_defaults() {
        let text = "a: \"{{ env_var('LEDGER_URL') }}\"\nb: {{ env_var( \"TOKEN\", 'hunter2') }} {{ env_var(name) }} env_var('')";
        let names: Vec<String> = asked_in(text).into_iter().collect();
        assert_eq!(names, ["LEDGER_URL", "TOKEN"]);
    }
}
