//! `params:` of a flow: what a start may be given.

use std::path::Path;

use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    flow::{Param, ParamType},
    grid::Zone,
};
use serde_json::Value as Json;

use super::{MAX_PARAMS, at};
use crate::{
    text,
    values::MAX_NAME_BYTES,
    yaml::{self, Entry, Node, Value},
};

pub(crate) const KEYS: &[&str] = &["type", "default", "required", "allowed", "description"];
pub(crate) const TYPES: [&str; 8] = [
    "string",
    "integer",
    "number",
    "boolean",
    "date",
    "timestamp",
    "list",
    "object",
];
/// Names that mean something else in SQL already.
pub(super) const TAKEN: [&str; 3] = ["interval_start", "interval_end", "ds"];

/// Reads the parameters.
pub(super) fn read(node: Option<&Node>, file: &Path, zone: &Zone, faults: &mut Vec<Diagnostic>) -> Vec<Param> {
    let Some(node) = node else { return Vec::new() };
    let entries = yaml::map(file, node, "`params`", faults);
    if entries.len() > MAX_PARAMS {
        faults.push(
            Diagnostic::error(
                codes::FLOW_TOO_LARGE,
                format!("the flow has {} parameters, and may have {MAX_PARAMS}", entries.len()),
            )
            .at(at(node, file))
            .with_remedy("take some of them together into one of type `object`"),
        );
        return Vec::new();
    }
    let mut reader = Reader { file, zone, faults };
    let mut params: Vec<Param> = entries.iter().filter_map(|entry| reader.param(entry)).collect();
    params.sort_by(|one, other| one.name.cmp(&other.name));
    params
}

struct Reader<'a> {
    file: &'a Path,
    zone: &'a Zone,
    faults: &'a mut Vec<Diagnostic>,
}

impl Reader<'_> {
    fn param(&mut self, entry: &Entry) -> Option<Param> {
        self.check_name(entry);
        let what = format!("the parameter `{}`", entry.key);
        // `country: string` is short for `country: {type: string}`.
        let kind = if let Value::Text(_) = &entry.node.value {
            self.kind(&entry.node, &what)
        } else {
            let fields = yaml::map(self.file, &entry.node, &what, self.faults);
            yaml::check_keys(self.file, fields, KEYS, &what, self.faults);
            if entry.node.get("type").is_none() {
                self.faults.push(
                    Diagnostic::error(codes::MISSING_KEY, format!("{what} has no `type`"))
                        .at(entry.spot.of(self.file))
                        .with_remedy(format!("add one of {}", text::listed(TYPES))),
                );
            }
            self.kind(entry.node.get("type")?, &what)
        }?;
        let mut param = Param {
            name: entry.key.clone(),
            kind,
            default: None,
            required: false,
            allowed: Vec::new(),
            description: self.text(entry, "description"),
            place: entry.spot.of(self.file),
        };
        if let Some(node) = entry.node.get("allowed") {
            let items = yaml::list(self.file, node, "`allowed`", self.faults);
            param.allowed = items.iter().filter_map(|item| self.value(&param, item)).collect();
        }
        let default = entry
            .node
            .get("default")
            .filter(|node| !matches!(node.value, Value::Null));
        param.default = default.and_then(|node| self.value(&param, node));
        param.required = self.required(entry, default.is_some());
        Some(param)
    }

    fn check_name(&mut self, entry: &Entry) {
        let why = if !text::is_name(&entry.key) || entry.key.starts_with('_') {
            "a name has letters of the Latin alphabet, digits and `_`, and begins with a letter"
        } else if entry.key.len() > MAX_NAME_BYTES {
            "it is longer than 63 letters"
        } else if TAKEN.contains(&entry.key.as_str()) {
            "in SQL it is the interval's"
        } else {
            return;
        };
        self.faults.push(
            Diagnostic::error(
                codes::BAD_NAME,
                format!("a parameter cannot be named `{}`: {why}", entry.key),
            )
            .at(entry.spot.of(self.file))
            .with_remedy("rename it"),
        );
    }

    fn kind(&mut self, node: &Node, what: &str) -> Option<ParamType> {
        let word = yaml::text(self.file, node, &format!("`type` of {what}"), self.faults)?;
        let kind = ParamType::named(&word);
        if kind.is_none() {
            let meant = match word.as_str() {
                "str" | "text" => Some("string"),
                "int" | "bigint" => Some("integer"),
                "float" | "double" | "decimal" => Some("number"),
                "bool" => Some("boolean"),
                "datetime" => Some("timestamp"),
                "array" => Some("list"),
                "dict" | "map" | "json" => Some("object"),
                other => text::nearest(other, TYPES),
            };
            let remedy = meant.map_or_else(
                || format!("write one of {}", text::listed(TYPES)),
                |near| format!("write `{near}`"),
            );
            self.faults.push(
                Diagnostic::error(codes::BAD_VALUE, format!("{what} cannot be of the type `{word}`"))
                    .at(at(node, self.file))
                    .with_remedy(remedy),
            );
        }
        kind
    }

    fn value(&mut self, param: &Param, node: &Node) -> Option<Json> {
        param
            .value(&node.to_json(), self.zone)
            .map_err(|fault| {
                self.faults.push(Diagnostic {
                    code: codes::BAD_VALUE,
                    related: Vec::new(),
                    ..fault.at(at(node, self.file))
                });
            })
            .ok()
    }

    fn required(&mut self, entry: &Entry, has_default: bool) -> bool {
        let Some(node) = entry.node.get("required") else {
            return false;
        };
        match node.value {
            Value::Bool(true) if has_default => self.bad(
                node,
                "a parameter with a default is never missing",
                "remove `required` or `default`",
            ),
            Value::Bool(required) => return required,
            Value::Null | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => {
                self.bad(node, "`required` is neither true nor false", "write `true` or `false`");
            }
        }
        false
    }

    fn bad(&mut self, node: &Node, message: &str, remedy: &str) {
        let fault = Diagnostic::error(codes::BAD_VALUE, message);
        self.faults.push(fault.at(at(node, self.file)).with_remedy(remedy));
    }

    fn text(&mut self, entry: &Entry, key: &str) -> Option<String> {
        let node = entry.node.get(key)?;
        yaml::text(self.file, node, &format!("`{key}`"), self.faults)
    }
}
