//! What models name, resolved: other models, sources, keys, variables. What cannot be resolved is
//! a fault at its place.

use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
};

use mulgil_core::{codes, diagnostic::Diagnostic, name::NodeName, project::Upstream};

use crate::{
    catalog::{Catalog, Model, Read},
    config::Kind,
    template::{Globals, Mention, Templates},
    text,
};

/// The names that files gave, whether they can be used or not.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// By the lower case of the name.
    pub(crate) files: HashMap<String, PathBuf>,
    pub(crate) names: BTreeSet<NodeName>,
    pub(crate) broken: BTreeSet<NodeName>,
    pub(crate) disabled: BTreeSet<NodeName>,
}

/// Resolves what the models mention, and writes down what they read.
pub(crate) fn resolve(catalog: &mut Catalog, known: &Known, templates: &Templates, faults: &mut Vec<Diagnostic>) {
    for index in 0..catalog.models.len() {
        let (reads, reads_broken) = resolve_one(&catalog.models[index], catalog, known, templates, faults);
        let model = &mut catalog.models[index];
        model.reads = reads;
        model.reads_broken = reads_broken;
    }
}

/// What one model reads, and whether some of it is broken.
pub(crate) fn resolve_one(
    model: &Model,
    catalog: &Catalog,
    known: &Known,
    templates: &Templates,
    faults: &mut Vec<Diagnostic>,
) -> (Vec<Read>, bool) {
    let mut found = Found {
        catalog,
        known,
        globals: templates.globals(),
        model,
        reads: Vec::new(),
        reads_broken: false,
        told: BTreeSet::new(),
        faults: Vec::new(),
    };
    for one in model.renderings() {
        for (at, mention) in one.rendered.mentions.iter().enumerate() {
            if let Some(fault) = found.mention(mention) {
                let place = templates.locate(&model.file, &one.facts, at);
                // The other renderings repeat the faults of the first.
                if found.told.insert((place.to_string(), fault.message.clone())) {
                    found.faults.push(fault.at(place));
                }
            }
        }
    }
    faults.append(&mut found.faults);
    (found.reads, found.reads_broken)
}

struct Found<'a> {
    catalog: &'a Catalog,
    known: &'a Known,
    globals: &'a Globals,
    model: &'a Model,
    reads: Vec<Read>,
    reads_broken: bool,
    told: BTreeSet<(String, String)>,
    faults: Vec<Diagnostic>,
}

impl Found<'_> {
    fn mention(&mut self, mention: &Mention) -> Option<Diagnostic> {
        match mention {
            // What a step of a flow names of its flow is looked at where flows are.
            Mention::Config(_) | Mention::This | Mention::Param(_) | Mention::Step(_) => None,
            Mention::Ref {
                package,
                name,
                unscoped,
            } => self.reference(package.as_deref(), name, *unscoped),
            Mention::Source { group, table, unscoped } => self.source(group, table, *unscoped),
            Mention::Key(column) => self.key(column),
            Mention::Interval(word) => self.interval(word),
            Mention::MissingVar(name) => {
                let near = text::nearest(name, self.globals.vars.keys().map(String::as_str));
                let how = "add it under `vars:` in `mulgil.yml`, or give a default";
                let message = format!("the variable `{name}` has no value");
                Some(Diagnostic::error(codes::UNKNOWN_VAR, message).with_remedy(missing_remedy("var", name, near, how)))
            }
            Mention::MissingEnvVar(name) => {
                let near = text::nearest(name, self.globals.env.keys().map(String::as_str));
                let how = "set it, or give a default";
                let message = format!("the environment variable `{name}` has no value");
                let remedy = missing_remedy("env_var", name, near, how);
                Some(Diagnostic::error(codes::UNKNOWN_ENV_VAR, message).with_remedy(remedy))
            }
        }
    }

    fn read(&mut self, from: Upstream, unscoped: bool) {
        match self.reads.iter_mut().find(|read| read.from == from) {
            Some(read) => read.unscoped &= unscoped,
            None => self.reads.push(Read { from, unscoped }),
        }
    }

    fn reference(&mut self, package: Option<&str>, name: &str, unscoped: bool) -> Option<Diagnostic> {
        let node = NodeName::new(name);
        let Model { name: model, noun, .. } = self.model;
        if self.catalog.by_name.contains_key(&node) {
            self.read(Upstream::Node(node), unscoped);
            return package.and_then(|package| self.package(package, name));
        }
        self.reads_broken = true;
        if self.known.broken.contains(&node) {
            return None;
        }
        let message = format!("{noun} `{model}` refers to `{name}`, which is not in this project");
        if self.known.disabled.contains(&node) {
            return Some(
                Diagnostic::error(
                    codes::UNKNOWN_REF,
                    format!("{noun} `{model}` refers to `{name}`, which is switched off"),
                )
                .with_remedy(format!("set `enabled: true` for `{name}`, or remove the reference")),
            );
        }
        let source = self.catalog.sources.keys().find_map(|source| {
            let (group, table) = source.as_str().split_once('.')?;
            (table == name).then(|| format!("write `source('{group}', '{table}')`"))
        });
        let near = text::nearest(name, self.known.names.iter().map(NodeName::as_str));
        let remedy = source.or_else(|| near.map(|near| format!("write `ref('{near}')`"))).unwrap_or_else(|| {
            format!("write the model in `models/{name}.sql`, or declare a source in `mulgil.yml` and write `source('…', '{name}')`")
        });
        Some(Diagnostic::error(codes::UNKNOWN_REF, message).with_remedy(remedy))
    }

    fn package(&self, package: &str, name: &str) -> Option<Diagnostic> {
        let own = self.catalog.project.as_str();
        (package != own).then(|| {
            Diagnostic::error(
                codes::UNKNOWN_REF,
                format!("`ref` names the project `{package}`, but only `{own}` is loaded"),
            )
            .with_remedy(format!("write `ref('{name}')`"))
        })
    }

    fn source(&mut self, group: &str, table: &str, unscoped: bool) -> Option<Diagnostic> {
        let name = NodeName::new(format!("{group}.{table}"));
        if self.catalog.sources.contains_key(&name) {
            self.read(Upstream::Source(name), unscoped);
            return None;
        }
        self.reads_broken = true;
        let known = self.catalog.sources.keys().map(NodeName::as_str);
        let remedy = text::nearest(name.as_str(), known)
            .and_then(|near| near.split_once('.'))
            .map_or_else(
                || "declare it under `sources:` in `mulgil.yml`, with its `files:`".to_owned(),
                |(group, table)| format!("write `source('{group}', '{table}')`"),
            );
        let message = format!(
            "{} `{}` reads the source `{name}`, which is not declared",
            self.model.noun, self.model.name
        );
        Some(Diagnostic::error(codes::UNKNOWN_SOURCE, message).with_remedy(remedy))
    }

    fn key(&self, column: &str) -> Option<Diagnostic> {
        let keys = &self.model.config.keys;
        if keys.iter().any(|key| key.name == column) {
            return None;
        }
        let known = keys.iter().map(|key| key.name.as_str());
        let remedy = text::nearest(column, known.clone()).map_or_else(
            || {
                format!(
                    "add `keys={{'{column}': ['…']}}` to `config()`; it has the keys: {}",
                    text::listed(known)
                )
            },
            |near| format!("write `key.{near}`"),
        );
        let message = format!("{} `{}` has no key `{column}`", self.model.noun, self.model.name);
        Some(Diagnostic::error(codes::KEYS_MISUSED, message).with_remedy(remedy))
    }

    fn interval(&self, word: &str) -> Option<Diagnostic> {
        (self.model.config.kind != Kind::Interval).then(|| {
            Diagnostic::error(
                codes::NO_INTERVAL_HERE,
                format!(
                    "{} `{}` names `{word}`, but it is not filled by intervals, so there is none",
                    self.model.noun, self.model.name
                ),
            )
            .with_remedy("add `interval='day'` and `event_time` to `config()`, or remove the word")
        })
    }
}

fn missing_remedy(function: &str, name: &str, near: Option<&str>, how: &str) -> String {
    near.map_or_else(
        || format!("{how}: `{function}('{name}', '…')`"),
        |near| format!("write `{function}('{near}')`"),
    )
}
