//! Values of YAML files that are templates: `"{{ env_var('SCHEMA') }}"`. Each is rendered by itself
//! and read again as a value, so that `"{{ target.name == 'prod' }}"` is true or false.

use std::path::Path;

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place},
};

use crate::{
    template::{Mention, Templates},
    text::nearest,
    yaml::{self, Node, Value},
};

/// Keys whose values are rendered later, when something is run.
const LATER: &[&str] = &[
    "pre-hook",
    "pre_hook",
    "post-hook",
    "post_hook",
    "+pre-hook",
    "+pre_hook",
    "+post-hook",
    "+post_hook",
    "description",
    "where",
    "+where",
];

/// The tree with its templates rendered. Where one fails its text stays, and the fault is told.
pub(crate) fn tree(node: &Node, file: &Path, templates: &Templates, faults: &mut Vec<Diagnostic>) -> Node {
    let value = match &node.value {
        Value::Text(written) if is_template(written) => {
            yaml::scalar_of(&text(written, &node.spot.of(file), templates, faults))
        }
        Value::List(items) => Value::List(items.iter().map(|item| tree(item, file, templates, faults)).collect()),
        Value::Map(entries) => Value::Map(
            entries
                .iter()
                .map(|entry| {
                    let mut entry = entry.clone();
                    if !LATER.contains(&entry.key.as_str()) {
                        entry.node = tree(&entry.node, file, templates, faults);
                    }
                    entry
                })
                .collect(),
        ),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) => node.value.clone(),
    };
    Node { value, spot: node.spot }
}

/// One text, rendered. Where it fails it stays, and the fault is told at that place.
pub(crate) fn text(written: &str, place: &Place, templates: &Templates, faults: &mut Vec<Diagnostic>) -> String {
    if !is_template(written) {
        return written.to_owned();
    }
    match templates.render_text(written) {
        Ok((rendered, mentions)) => {
            let missing = mentions.iter().filter_map(|mention| missing(mention, templates));
            faults.extend(missing.map(|fault| fault.at(place.clone())));
            rendered
        }
        Err(why) => {
            faults.push(
                Diagnostic::error(codes::TEMPLATE_FAILED, format!("the template fails: {why}"))
                    .at(place.clone())
                    .with_remedy("`var`, `env_var` and `target` have values here"),
            );
            written.to_owned()
        }
    }
}

fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

fn missing(mention: &Mention, templates: &Templates) -> Option<Diagnostic> {
    let globals = templates.globals();
    match mention {
        Mention::MissingVar(name) => Some(of_missing(
            Diagnostic::error(codes::UNKNOWN_VAR, format!("the variable `{name}` has no value")),
            "var",
            nearest(name, globals.vars.keys().map(String::as_str)),
            name,
        )),
        Mention::MissingEnvVar(name) => Some(of_missing(
            Diagnostic::error(
                codes::UNKNOWN_ENV_VAR,
                format!("the environment variable `{name}` has no value"),
            ),
            "env_var",
            nearest(name, globals.env.keys().map(String::as_str)),
            name,
        )),
        Mention::Config(_)
        | Mention::Ref { .. }
        | Mention::Source { .. }
        | Mention::Key(_)
        | Mention::Interval(_)
        | Mention::Param(_)
        | Mention::Step(_)
        | Mention::This => None,
    }
}

fn of_missing(fault: Diagnostic, function: &str, near: Option<&str>, name: &str) -> Diagnostic {
    let remedy = near.map_or_else(
        || format!("set it, or give a default: `{function}('{name}', '…')`"),
        |near| format!("write `{function}('{near}')`"),
    );
    fault.with_remedy(remedy)
}
