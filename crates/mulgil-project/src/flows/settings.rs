//! What a step says beside its kind: how it is tried again, which slots it takes, which values it has; and
//! what a `models` step selects.

use std::collections::{BTreeMap, BTreeSet};

use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    flow::{Retry, StepKind, Template},
};
use serde_json::Value as Json;

use super::{at, file::FlowFile, is_template, name_fault};
use crate::{
    config::{Layer, Setting},
    text,
    yaml::{self, Node, Value},
};

/// What a step says of its retries.
pub(crate) const RETRY_KEYS: &[&str] = &["max", "delay", "cap", "factor"];
/// Attempts after the first.
pub(crate) const MAX_RETRIES: u32 = 1_000;
/// By how much a pause may grow each time.
pub(crate) const MAX_FACTOR: u32 = 10;
/// How far from 0 a priority may be.
pub(crate) const MAX_PRIORITY: u64 = 1_000;

impl FlowFile<'_> {
    pub(super) fn retry(&mut self, node: &Node) -> Retry {
        let usual = Retry::default();
        if let Value::Int(_) = node.value {
            let layer = Layer::from([("retry".to_owned(), Setting::read(self.file, node))]);
            return Retry {
                max: self.at_most(&layer, "retry", 0, MAX_RETRIES).unwrap_or(0),
                ..usual
            };
        }
        let entries = yaml::map(self.file, node, "`retry`", self.faults);
        yaml::check_keys(self.file, entries, RETRY_KEYS, "`retry`", self.faults);
        let layer = self.layer(entries);
        if !entries.is_empty() && !layer.contains_key("max") {
            self.faults.push(
                Diagnostic::error(codes::MISSING_KEY, "`retry` does not say how many times")
                    .at(at(node, self.file))
                    .with_remedy("add `max: 3`"),
            );
        }
        let delay_us = self.span(&layer, "delay").unwrap_or(usual.delay_us);
        let cap_us = self.span(&layer, "cap");
        if cap_us.is_some_and(|cap| cap < delay_us)
            && let Some(setting) = layer.get("cap")
        {
            self.settings(&layer)
                .bad::<()>("cap", setting, "write a span that is not shorter than `delay`");
        }
        Retry {
            max: self.at_most(&layer, "max", 0, MAX_RETRIES).unwrap_or(0),
            delay_us,
            cap_us: cap_us.unwrap_or(usual.cap_us.max(delay_us)),
            factor: self.at_most(&layer, "factor", 1, MAX_FACTOR).unwrap_or(usual.factor),
        }
    }

    fn at_most(&mut self, layer: &Layer, key: &str, least: u32, most: u32) -> Option<u32> {
        let count = self.settings(layer).count(key, least)?;
        if count <= most {
            return Some(count);
        }
        let setting = layer.get(key)?;
        let remedy = format!("write a whole number from {least} to {most}");
        self.settings(layer).bad(key, setting, remedy)
    }

    pub(super) fn pool(&mut self, layer: &Layer) -> Option<String> {
        let name = self.settings(layer).text("pool")?;
        let place = layer.get("pool")?.place.clone();
        self.faults.extend(name_fault("a pool", &name, place));
        Some(name)
    }

    pub(super) fn priority(&mut self, step: &Node) -> i32 {
        let Some(node) = step.get("priority") else { return 0 };
        match node.value {
            Value::Null => 0,
            Value::Int(value) if value.unsigned_abs() <= MAX_PRIORITY => value as i32,
            Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => {
                self.faults.push(
                    Diagnostic::error(codes::BAD_VALUE, "`priority` is no whole number that it can be")
                        .at(at(node, self.file))
                        .with_remedy(format!("write a whole number from -{MAX_PRIORITY} to {MAX_PRIORITY}")),
                );
                0
            }
        }
    }

    pub(super) fn own_params(&mut self, step: &Node) -> BTreeMap<String, Json> {
        let Some(node) = step.get("params") else {
            return BTreeMap::new();
        };
        let entries = yaml::map(self.file, node, "`params`", self.faults);
        for entry in entries.iter().filter(|entry| !text::is_name(&entry.key)) {
            self.faults.push(
                Diagnostic::error(codes::BAD_NAME, format!("a parameter cannot be named `{}`", entry.key))
                    .at(entry.spot.of(self.file))
                    .with_remedy("use letters, digits and `_`, beginning with a letter"),
            );
        }
        entries
            .iter()
            .map(|entry| (entry.key.clone(), entry.node.to_json()))
            .collect()
    }

    pub(super) fn env(&mut self, step: &Node) -> BTreeMap<String, Template> {
        let Some(node) = step.get("env") else {
            return BTreeMap::new();
        };
        let mut env = BTreeMap::new();
        for entry in yaml::map(self.file, node, "`env`", self.faults) {
            let why = if entry.key.starts_with("MULGIL_") {
                Some("names that begin with `MULGIL_` are the program's own")
            } else {
                (!text::is_name(&entry.key)).then_some("a name has letters, digits and `_`")
            };
            if let Some(why) = why {
                self.faults.push(
                    Diagnostic::error(
                        codes::BAD_NAME,
                        format!("an environment variable cannot be named `{}`: {why}", entry.key),
                    )
                    .at(entry.spot.of(self.file))
                    .with_remedy("rename it"),
                );
            }
            if let Some(template) = self.template(&entry.node, &format!("`{}`", entry.key)) {
                env.insert(entry.key.clone(), template);
            }
        }
        env
    }

    pub(super) fn models(&mut self, node: &Node, step: &Node, layer: &Layer) -> Option<StepKind> {
        let told = self.faults.len();
        let select = self.selectors(node, "`models`");
        if select.is_empty() && self.faults.len() == told {
            self.faults.push(
                Diagnostic::error(codes::MISSING_KEY, "`models` selects nothing")
                    .at(at(node, self.file))
                    .with_remedy("name some: `models: \"tag:daily+\"`; `\"*\"` is all of them"),
            );
        }
        let exclude = step
            .get("exclude")
            .map(|node| self.selectors(node, "`exclude`"))
            .unwrap_or_default();
        let full = self.settings(layer).flag("full").unwrap_or(false);
        (!select.is_empty()).then_some(StepKind::Models {
            select,
            exclude,
            full,
            selected: Vec::new(),
        })
    }

    fn selectors(&mut self, node: &Node, what: &str) -> Vec<String> {
        let texts = yaml::texts(self.file, node, what, self.faults);
        let (templates, selectors): (Vec<String>, Vec<String>) = texts.into_iter().partition(|text| is_template(text));
        if !templates.is_empty() {
            self.faults.push(
                Diagnostic::error(
                    codes::BAD_FLOW_SELECTOR,
                    format!("{what} is no template: whose schedule a model has is decided before any run"),
                )
                .at(at(node, self.file))
                .with_remedy("write the selector itself, or two steps with a `when`"),
            );
        }
        let mut seen = BTreeSet::new();
        selectors
            .into_iter()
            .filter(|text| !text.trim().is_empty() && seen.insert(text.clone()))
            .collect()
    }
}
