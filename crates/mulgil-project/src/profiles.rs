//! `profiles.yml`: which target a dbt project is made for. Of a target its schema, its type and its
//! threads are read; whatever its type, the tables lie in the warehouse of the project.

use std::path::Path;

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place},
};

use crate::{
    LoadOptions, files, rendered,
    template::{Globals, Templates},
    text, values,
    yaml::{self, Entry, Node, Value},
};

/// The types that need no word: ours, and the one whose SQL and layout are nearest.
const NATIVE: &[&str] = &["mulgil", "duckdb"];
/// The target that dbt takes where a profile names none.
const DEFAULT_TARGET: &str = "default";
/// Threads that a profile may ask for.
const MAX_THREADS: i64 = 1024;

/// Which target is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aim<'a> {
    /// Its name; absent: the one that the profile names.
    pub(crate) target: Option<&'a str>,
    /// Whether it has to be there.
    pub(crate) is_bound: bool,
}

/// The target that a dbt project is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) profile: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    /// Absent: the project's name.
    pub(crate) schema: Option<String>,
    pub(crate) threads: Option<usize>,
}

/// The target of a profile. Nothing where there is no `profiles.yml`, and where what is asked for
/// is not in it, which is told.
pub(crate) fn read(
    root: &Path,
    options: &LoadOptions,
    aim: Aim<'_>,
    (profile, place): (&str, Place),
    faults: &mut Vec<Diagnostic>,
) -> Option<Target> {
    let (file, source) = files::read_profiles(root, options, faults)?;
    let tree = yaml::parse_dbt(&file, &source, faults)?;
    let templates = Templates::new(Globals {
        vars: options.vars.clone(),
        env: options.env.clone(),
        ..Globals::default()
    });
    let profiles = yaml::map(&file, &tree, "`profiles.yml`", faults);
    let Some(entry) = profiles.iter().find(|entry| entry.key == profile) else {
        let known = profiles
            .iter()
            .map(|entry| entry.key.as_str())
            .filter(|key| *key != "config");
        let remedy = remedy("profile", profile, known, &file);
        faults.push(
            Diagnostic::error(
                codes::UNKNOWN_PROFILE,
                format!("there is no profile `{profile}` in {}", file.display()),
            )
            .at(place)
            .with_remedy(remedy),
        );
        return None;
    };
    let mut reader = Reader {
        file: &file,
        templates: &templates,
        faults,
    };
    reader.target(entry, aim)
}

struct Reader<'a> {
    file: &'a Path,
    templates: &'a Templates,
    faults: &'a mut Vec<Diagnostic>,
}

impl Reader<'_> {
    fn target(&mut self, profile: &Entry, aim: Aim<'_>) -> Option<Target> {
        let what = format!("the profile `{}`", profile.key);
        yaml::map(self.file, &profile.node, &what, self.faults);
        let said = profile.node.get("target");
        let default = said.and_then(|node| self.text(node, "`target`"));
        let outputs = match profile.node.get("outputs") {
            Some(node) => yaml::map(self.file, node, "`outputs`", self.faults),
            None => &[],
        };
        let is_there = |target: &&str| outputs.iter().any(|output| output.key == **target);
        let asked = aim.target.filter(|target| aim.is_bound || is_there(target));
        let name = asked
            .map(str::to_owned)
            .or(default)
            .unwrap_or_else(|| DEFAULT_TARGET.to_owned());
        let Some(output) = outputs.iter().find(|output| output.key == name) else {
            let known = outputs.iter().map(|output| output.key.as_str());
            let place = said.filter(|_| asked.is_none()).map_or(profile.spot, |node| node.spot);
            let remedy = remedy("target", &name, known, self.file);
            self.faults.push(
                Diagnostic::error(codes::UNKNOWN_PROFILE, format!("{what} has no target `{name}`"))
                    .at(place.of(self.file))
                    .with_remedy(remedy),
            );
            return None;
        };
        self.check_name(output);
        yaml::map(self.file, &output.node, &format!("the target `{name}`"), self.faults);
        let kind = self.kind(output);
        let schema = self.schema(output, &kind);
        Some(Target {
            profile: profile.key.clone(),
            threads: self.threads(output),
            name,
            kind,
            schema,
        })
    }

    /// The environment has the target's name, and its ledger is a file of that name.
    fn check_name(&mut self, output: &Entry) {
        let plain = output.key.replace('-', "_");
        if !text::is_name(&plain) || plain.len() > values::MAX_NAME_BYTES {
            self.faults.push(
                Diagnostic::error(codes::BAD_NAME, format!("`{}` cannot name a target", output.key))
                    .at(output.spot.of(self.file))
                    .with_remedy("use at most 63 letters, digits, `_` and `-`"),
            );
        }
    }

    fn kind(&mut self, output: &Entry) -> String {
        let Some(node) = output.node.get("type") else {
            self.faults.push(
                Diagnostic::error(
                    codes::MISSING_KEY,
                    format!("the target `{}` does not say its `type`", output.key),
                )
                .at(output.spot.of(self.file))
                .with_remedy("add `type: duckdb`, or the type that dbt uses"),
            );
            return String::new();
        };
        let kind = self.text(node, "`type`").unwrap_or_default();
        if !NATIVE.contains(&kind.as_str()) {
            self.faults.push(
                Diagnostic::warning(
                    codes::OTHER_DATABASE,
                    format!(
                        "the target `{}` is of type `{kind}`, but its tables are made in the warehouse of the project",
                        output.key
                    ),
                )
                .at(node.spot.of(self.file))
                .with_remedy("nothing, if that is meant; a target of type `duckdb` or `mulgil` says so"),
            );
        }
        kind
    }

    fn schema(&mut self, output: &Entry, kind: &str) -> Option<String> {
        let node = ["schema", "dataset"].iter().find_map(|key| output.node.get(key));
        let Some(node) = node else {
            return match kind {
                "duckdb" => Some("main".to_owned()),
                "mulgil" | "" => None,
                _ => {
                    self.faults.push(
                        Diagnostic::error(
                            codes::MISSING_KEY,
                            format!("the target `{}` does not say its `schema`", output.key),
                        )
                        .at(output.spot.of(self.file))
                        .with_remedy("add `schema: …`; the tables lie in it"),
                    );
                    None
                }
            };
        };
        let schema = self.text(node, "`schema`")?;
        if let Some(why) = values::bad_name(&schema).filter(|_| !schema.is_empty()) {
            self.faults.push(
                Diagnostic::error(codes::BAD_NAME, format!("`schema` cannot be `{schema}`: {why}"))
                    .at(node.spot.of(self.file))
                    .with_remedy("use letters, digits and `_`, beginning with a letter"),
            );
        }
        Some(schema).filter(|schema| !schema.is_empty())
    }

    fn threads(&mut self, output: &Entry) -> Option<usize> {
        let node = rendered::tree(output.node.get("threads")?, self.file, self.templates, self.faults);
        if let Value::Int(count @ 1..=MAX_THREADS) = node.value {
            return usize::try_from(count).ok();
        }
        self.faults.push(
            Diagnostic::error(codes::BAD_VALUE, "`threads` is not a count of threads")
                .at(node.spot.of(self.file))
                .with_remedy(format!("write a whole number from 1 to {MAX_THREADS}")),
        );
        None
    }

    fn text(&mut self, node: &Node, what: &str) -> Option<String> {
        let node = rendered::tree(node, self.file, self.templates, self.faults);
        match node.value {
            Value::Null => Some(String::new()),
            Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => {
                yaml::text(self.file, &node, what, self.faults)
            }
        }
    }
}

fn remedy<'a>(what: &str, wanted: &str, known: impl Iterator<Item = &'a str> + Clone, file: &Path) -> String {
    text::nearest(wanted, known.clone()).map_or_else(
        || {
            format!(
                "add it to {}, or name another {what}; there are {}",
                file.display(),
                text::listed(known)
            )
        },
        |near| format!("write `{near}`"),
    )
}
