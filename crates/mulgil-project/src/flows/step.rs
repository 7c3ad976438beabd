//! One step: its kind, which is the key that says what it does, and what holds for every kind.

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place},
    flow::{OnLost, RunIf, Step, StepKind, Template},
};

use super::{
    Places, at,
    file::{FlowFile, Written, not_yet},
    is_template, name_fault,
};
use crate::{
    config::Layer,
    text,
    yaml::{self, Entry, Node, Value},
};

/// What every step may say.
pub(crate) const COMMON: &[&str] = &[
    "name",
    "description",
    "needs",
    "when",
    "run_if",
    "retry",
    "timeout",
    "total_timeout",
    "allow_failure",
    "pool",
    "priority",
    "on_lost",
];
/// The kinds, each with what only it and some others may say.
pub(crate) const KINDS: &[(&str, &[&str])] = &[
    ("sql", &["on", "params"]),
    ("models", &["exclude", "full"]),
    ("command", &["cwd", "env", "params"]),
    ("python", &["args", "cwd", "env", "interpreter", "params", "warm"]),
];
/// Kinds that are known and not done yet.
const LATER_KINDS: [&str; 8] = [
    "notebook", "http", "export", "load", "wait", "flow", "notify", "approve",
];
/// What is known of steps and not done yet.
const LATER_KEYS: [&str; 4] = ["worker", "for_each", "max_parallel", "keys"];

type Needs = Vec<(String, Place)>;

impl FlowFile<'_> {
    /// A step and what it needs; nothing where it cannot be told what it does.
    pub(super) fn step(&mut self, written: &Written<'_>, places: &mut Places) -> Option<(Step, Needs)> {
        self.faults
            .extend(name_fault("a step", &written.name, written.spot.clone()));
        let what = format!("the step `{}`", written.name);
        let entries = yaml::map(self.file, written.node, &what, self.faults);
        written.node.entries()?;
        let kind_key = self.kind_key(entries, &what, &written.spot)?;
        self.check_keys(entries, &kind_key.key, &what);
        let layer = self.layer(entries);
        let needs = self.needs(written, &layer);
        for key in ["models", "params"] {
            if let Some(node) = written.node.get(key) {
                places.insert((written.name.clone(), key), at(node, self.file));
            }
        }
        let kind = self.kind(kind_key, written.node, &layer)?;
        let step = Step {
            name: written.name.clone(),
            description: self.settings(&layer).text("description"),
            kind,
            needs: Vec::new(),
            when: written.node.get("when").and_then(|node| self.when(node)),
            run_if: self.run_if(written, &layer),
            retry: written
                .node
                .get("retry")
                .map(|node| self.retry(node))
                .unwrap_or_default(),
            timeout_us: self.span(&layer, "timeout"),
            total_timeout_us: self.span(&layer, "total_timeout"),
            allow_failure: self.settings(&layer).flag("allow_failure").unwrap_or(false),
            is_finally: written.is_finally,
            pool: self.pool(&layer),
            priority: self.priority(written.node),
            on_lost: self
                .word(&layer, "on_lost", &[("retry", OnLost::Retry), ("fail", OnLost::Fail)])
                .unwrap_or_default(),
            params: self.own_params(written.node),
            env: self.env(written.node),
            reads: Vec::new(),
            place: written.spot.clone(),
        };
        Some((step, needs))
    }

    /// The entry that says what the step does.
    fn kind_key<'a>(&mut self, entries: &'a [Entry], what: &str, spot: &Place) -> Option<&'a Entry> {
        let words = || KINDS.iter().map(|(word, _)| *word);
        let mut found = entries.iter().filter(|entry| words().any(|word| word == entry.key));
        let later = entries.iter().find(|entry| LATER_KINDS.contains(&entry.key.as_str()));
        let (first, second) = (found.next(), found.next());
        match (first, second.or(later)) {
            (Some(first), None) => Some(first),
            (Some(first), Some(second)) => {
                self.faults.push(
                    Diagnostic::error(
                        codes::BAD_STEP_KIND,
                        format!(
                            "{what} is both `{}` and `{}`, but a step does one thing",
                            first.key, second.key
                        ),
                    )
                    .at(second.spot.of(self.file))
                    .with_related(first.spot.of(self.file), format!("`{}`", first.key))
                    .with_remedy("make two steps of it"),
                );
                None
            }
            (None, Some(later)) => {
                self.faults.push(
                    not_yet(
                        format!("steps of the kind `{}` are not done yet", later.key),
                        later.spot.of(self.file),
                    )
                    .with_remedy(format!("use one of {}", text::listed(words()))),
                );
                None
            }
            (None, None) => {
                self.faults.push(no_kind(entries, what, spot, self.file));
                None
            }
        }
    }

    fn check_keys(&mut self, entries: &[Entry], kind: &str, what: &str) {
        let own = KINDS
            .iter()
            .find(|(word, _)| *word == kind)
            .map_or(&[][..], |(_, keys)| keys);
        let known: Vec<&str> = COMMON.iter().chain(own).copied().chain([kind]).collect();
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let key = entry.key.as_str();
            let place = entry.spot.of(self.file);
            let others: Vec<&str> = KINDS
                .iter()
                .filter(|(_, keys)| keys.contains(&key))
                .map(|(word, _)| *word)
                .collect();
            self.faults.push(if LATER_KEYS.contains(&key) {
                not_yet(format!("`{key}` of a step is not done yet"), place).with_remedy("leave it out")
            } else if others.is_empty() {
                yaml::unknown_key(place, key, &known, what)
            } else {
                Diagnostic::error(
                    codes::KEY_MISPLACED,
                    format!("`{key}` has no meaning for {what}, which is `{kind}`"),
                )
                .at(place)
                .with_remedy(format!(
                    "remove it; it is for steps of the kind {}",
                    text::listed(others)
                ))
            });
        }
    }

    fn needs(&mut self, written: &Written<'_>, layer: &Layer) -> Needs {
        let Some(node) = written.node.get("needs") else {
            return Vec::new();
        };
        if written.is_finally {
            let place = layer
                .get("needs")
                .map_or_else(|| written.spot.clone(), |setting| setting.place.clone());
            self.faults.push(
                Diagnostic::error(
                    codes::KEY_MISPLACED,
                    format!(
                        "the step `{}` of `finally` cannot have `needs`: it runs after all others",
                        written.name
                    ),
                )
                .at(place)
                .with_remedy("remove `needs`, or move the step to `steps:`"),
            );
            return Vec::new();
        }
        let items: &[Node] = match &node.value {
            Value::List(items) => items,
            Value::Null => &[],
            Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Map(_) => {
                std::slice::from_ref(node)
            }
        };
        let file = self.file;
        items
            .iter()
            .filter_map(|item| {
                Some((
                    yaml::text(file, item, "the name of a step", self.faults)?,
                    at(item, file),
                ))
            })
            .collect()
    }

    fn when(&mut self, node: &Node) -> Option<Template> {
        if matches!(node.value, Value::Null) {
            return None;
        }
        let template = self.template(node, "`when`")?;
        if !is_template(&template.text) && super::render::truth(&template.text).is_none() {
            self.faults.push(
                Diagnostic::error(
                    codes::BAD_VALUE,
                    format!(
                        "`when` is the text `{}`, which is neither true nor false",
                        template.text.trim()
                    ),
                )
                .at(template.place)
                .with_remedy(format!(
                    "write it as a template: `when: \"{{{{ {} }}}}\"`",
                    template.text.trim()
                )),
            );
            return None;
        }
        Some(template)
    }

    fn run_if(&mut self, written: &Written<'_>, layer: &Layer) -> RunIf {
        let words = [
            ("success", RunIf::Success),
            ("always", RunIf::Always),
            ("failed", RunIf::Failed),
            ("any_success", RunIf::AnySuccess),
        ];
        let said = self.word(layer, "run_if", &words);
        if !written.is_finally {
            return said.unwrap_or_default();
        }
        if said.is_some_and(|said| said != RunIf::Always)
            && let Some(setting) = layer.get("run_if")
        {
            self.faults.push(
                Diagnostic::error(
                    codes::KEY_MISPLACED,
                    format!("the step `{}` of `finally` runs however the others ended", written.name),
                )
                .at(setting.place.clone())
                .with_remedy(
                    "remove `run_if`, or ask how a step ended: `when: \"{{ steps.load.state == 'failed' }}\"`",
                ),
            );
        }
        RunIf::Always
    }

    /// A text that is rendered for a run.
    pub(super) fn template(&mut self, node: &Node, what: &str) -> Option<Template> {
        let text = yaml::text(self.file, node, what, self.faults)?;
        Some(Template {
            text,
            place: at(node, self.file),
        })
    }

    fn kind(&mut self, key: &Entry, step: &Node, layer: &Layer) -> Option<StepKind> {
        match key.key.as_str() {
            "sql" => self.sql(&key.node, layer),
            "models" => self.models(&key.node, step, layer),
            "command" => self.command(&key.node, step),
            _ => self.python(&key.node, step, layer),
        }
    }
}

/// The fault of a step that does not say what it does.
fn no_kind(entries: &[Entry], what: &str, spot: &Place, file: &std::path::Path) -> Diagnostic {
    let words = || KINDS.iter().map(|(word, _)| *word);
    let known = |key: &str| {
        let own = KINDS.iter().flat_map(|(_, keys)| keys.iter());
        COMMON.iter().chain(own).chain(&LATER_KEYS).any(|word| *word == key)
    };
    let all = || words().chain(LATER_KINDS);
    let unknown = entries.iter().filter(|entry| !known(&entry.key));
    let near = unknown
        .clone()
        .find_map(|entry| Some((entry, text::nearest(&entry.key, all())?)));
    match (near, unknown.clone().next()) {
        (Some((entry, near)), _) => Diagnostic::error(
            codes::BAD_STEP_KIND,
            format!("{what} does not say what it does: there is no kind `{}`", entry.key),
        )
        .at(entry.spot.of(file))
        .with_remedy(format!("write `{near}`")),
        (None, Some(entry)) => Diagnostic::error(
            codes::BAD_STEP_KIND,
            format!("{what} does not say what it does: there is no kind `{}`", entry.key),
        )
        .at(entry.spot.of(file))
        .with_remedy(format!("write one of {}", text::listed(words()))),
        (None, None) => Diagnostic::error(codes::BAD_STEP_KIND, format!("{what} does not say what it does"))
            .at(spot.clone())
            .with_remedy(format!(
                "add one of {}, such as `sql: sql/load.sql`",
                text::listed(words())
            )),
    }
}
