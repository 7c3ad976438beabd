//! `schema.yml` and the other YAML files beside models and seeds: descriptions, configuration and
//! data tests, by the names they are for. Whether those names exist is not known here.

use std::{collections::BTreeMap, path::Path};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place, Severity},
    name::NodeName,
    project::{DataTest, Fingerprint, TestKind},
};

use crate::{
    config::{Layer, MODEL_KEYS, SEED_KEYS, Setting},
    text,
    yaml::{self, Entry, Node, Value},
};

/// What a YAML file says of a model or a seed.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) place: Place,
    pub(crate) settings: Layer,
    pub(crate) columns: BTreeMap<String, String>,
    pub(crate) tests: Vec<DataTest>,
}

/// What a YAML file says of a source.
#[derive(Debug)]
pub(crate) struct DescribedSource {
    pub(crate) place: Place,
    pub(crate) description: Option<String>,
}

/// All that the YAML files say, by name.
#[derive(Debug, Default)]
pub(crate) struct Properties {
    pub(crate) models: BTreeMap<String, Described>,
    pub(crate) seeds: BTreeMap<String, Described>,
    pub(crate) sources: BTreeMap<String, DescribedSource>,
}

impl Properties {
    /// Adds one file.
    pub(crate) fn read(&mut self, file: &Path, source: &str, faults: &mut Vec<Diagnostic>) {
        let Some(tree) = yaml::parse(file, source, faults) else {
            return;
        };
        let what = "this file";
        let entries = yaml::map(file, &tree, what, faults);
        yaml::check_keys(
            file,
            entries,
            &["version", "models", "seeds", "sources", "macros"],
            what,
            faults,
        );
        let mut reader = Reader { file, faults };
        for (key, keys) in [("models", MODEL_KEYS), ("seeds", SEED_KEYS)] {
            let described = reader.described(tree.get(key), key, keys);
            let all = if key == "models" {
                &mut self.models
            } else {
                &mut self.seeds
            };
            for (name, one) in described {
                if let Some(first) = all.get(&name) {
                    reader.faults.push(
                        Diagnostic::error(codes::DUPLICATE_NAME, format!("`{name}` is described twice"))
                            .at(one.place)
                            .with_related(first.place.clone(), "the first description")
                            .with_remedy("put both into one entry"),
                    );
                } else {
                    all.insert(name, one);
                }
            }
        }
        self.sources.extend(reader.sources(tree.get("sources")));
    }
}

struct Reader<'a> {
    file: &'a Path,
    faults: &'a mut Vec<Diagnostic>,
}

impl Reader<'_> {
    fn described(&mut self, node: Option<&Node>, key: &str, keys: &[&str]) -> Vec<(String, Described)> {
        const KEYS: &[&str] = &[
            "name",
            "description",
            "config",
            "columns",
            "data_tests",
            "tests",
            "tags",
            "meta",
            "docs",
        ];
        let Some(node) = node else { return Vec::new() };
        let mut all = Vec::new();
        for item in yaml::list(self.file, node, &format!("`{key}`"), self.faults) {
            let Some(name) = self.item_name(item, key) else {
                continue;
            };
            let what = format!("`{name}`");
            let entries = yaml::map(self.file, item, &what, self.faults);
            yaml::check_keys(self.file, entries, KEYS, &what, self.faults);
            let mut columns = BTreeMap::new();
            let mut tests = self.tests(item, &name, None);
            if let Some(node) = item.get("columns") {
                for column in yaml::list(self.file, node, "`columns`", self.faults) {
                    self.column(column, &name, &mut columns, &mut tests);
                }
            }
            let described = Described {
                place: item.get("name").unwrap_or(item).spot.of(self.file),
                settings: self.settings(item, keys),
                columns,
                tests,
            };
            all.push((name, described));
        }
        all
    }

    fn item_name(&mut self, item: &Node, what: &str) -> Option<String> {
        if let Some(node) = item.get("name") {
            return yaml::text(self.file, node, "`name`", self.faults);
        }
        self.faults.push(
            Diagnostic::error(codes::MISSING_KEY, format!("an item of `{what}` has no name"))
                .at(item.spot.of(self.file))
                .with_remedy("add `name: …`"),
        );
        None
    }

    fn settings(&mut self, item: &Node, keys: &[&str]) -> Layer {
        let mut layer = Layer::new();
        for key in ["description", "tags", "meta"] {
            if let Some(node) = item.get(key) {
                layer.insert(key.to_owned(), Setting::read(self.file, node));
            }
        }
        if let Some(config) = item.get("config") {
            for entry in yaml::map(self.file, config, "`config`", self.faults) {
                let key = entry.key.strip_prefix('+').unwrap_or(&entry.key);
                if keys.contains(&key) {
                    layer.insert(key.to_owned(), Setting::read(self.file, &entry.node));
                } else {
                    self.faults
                        .push(yaml::unknown_key(entry.spot.of(self.file), key, keys, "`config`"));
                }
            }
        }
        layer
    }

    fn column(&mut self, node: &Node, model: &str, columns: &mut BTreeMap<String, String>, tests: &mut Vec<DataTest>) {
        const KEYS: &[&str] = &[
            "name",
            "description",
            "data_tests",
            "tests",
            "data_type",
            "meta",
            "tags",
            "quote",
        ];
        let Some(name) = self.item_name(node, "columns") else {
            return;
        };
        let what = format!("the column `{name}`");
        let entries = yaml::map(self.file, node, &what, self.faults);
        yaml::check_keys(self.file, entries, KEYS, &what, self.faults);
        if let Some(description) = node.get("description") {
            let text = yaml::text(self.file, description, "`description`", self.faults).unwrap_or_default();
            columns.insert(name.clone(), text);
        }
        tests.extend(self.tests(node, model, Some(&name)));
    }

    fn tests(&mut self, owner: &Node, model: &str, column: Option<&str>) -> Vec<DataTest> {
        let mut tests = Vec::new();
        for key in ["data_tests", "tests"] {
            let Some(node) = owner.get(key) else { continue };
            for item in yaml::list(self.file, node, &format!("`{key}`"), self.faults) {
                tests.extend(self.test(item, model, column));
            }
        }
        tests
    }

    fn test(&mut self, item: &Node, model: &str, column: Option<&str>) -> Option<DataTest> {
        let place = item.spot.of(self.file);
        let (word, fields): (&str, &[Entry]) = match &item.value {
            Value::Text(word) => (word, &[]),
            Value::Map(entries) => match entries.as_slice() {
                [entry] => (
                    &entry.key,
                    yaml::map(self.file, &entry.node, "a data test", self.faults),
                ),
                _ => return self.bad_test(place, "a data test is one word, or one word with its arguments"),
            },
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::List(_) => {
                return self.bad_test(place, "a data test is one word, or one word with its arguments");
            }
        };
        let arguments = Arguments { fields };
        let column = match (column, arguments.text("column_name")) {
            (Some(column), _) => column.to_owned(),
            (None, Some(column)) => column,
            (None, None) => return self.bad_test(place, "the data test does not say its column"),
        };
        let own: &[&str] = match word {
            "not_null" | "unique" => &[],
            "accepted_values" => &["values", "quote"],
            "relationships" => &["to", "field"],
            _ => return self.unknown_test(place, word),
        };
        self.check_arguments(&arguments, own, word);
        let kind = match word {
            "not_null" => TestKind::NotNull { column },
            "unique" => TestKind::Unique { column },
            "accepted_values" => TestKind::AcceptedValues {
                column,
                values: self.accepted_values(&arguments, &place)?,
                quote: arguments
                    .get("quote")
                    .is_none_or(|node| !matches!(node.value, Value::Bool(false))),
            },
            _ => self.relationships(&arguments, &place, column)?,
        };
        Some(DataTest {
            name: arguments.text("name").unwrap_or_else(|| test_name(model, &kind)),
            fingerprint: fingerprint(&kind),
            severity: self.severity(&arguments)?,
            kind,
            place,
        })
    }

    fn bad_test<T>(&mut self, place: Place, message: &str) -> Option<T> {
        self.faults.push(
            Diagnostic::error(codes::BAD_DATA_TEST, message)
                .at(place)
                .with_remedy("write `- not_null`, or `- accepted_values: {values: [a, b]}`"),
        );
        None
    }

    fn unknown_test<T>(&mut self, place: Place, word: &str) -> Option<T> {
        let known = ["not_null", "unique", "accepted_values", "relationships"];
        let remedy = text::nearest(word, known).map_or_else(
            || format!("write one of {}", text::listed(known)),
            |near| format!("write `{near}`"),
        );
        self.faults.push(
            Diagnostic::error(codes::BAD_DATA_TEST, format!("there is no data test `{word}`"))
                .at(place)
                .with_remedy(remedy),
        );
        None
    }

    fn check_arguments(&mut self, arguments: &Arguments<'_>, own: &[&str], word: &str) {
        const COMMON: &[&str] = &["arguments", "config", "severity", "name", "description", "column_name"];
        let known: Vec<&str> = own.iter().chain(COMMON).copied().collect();
        let what = format!("the data test `{word}`");
        yaml::check_keys(self.file, arguments.fields, &known, &what, self.faults);
        if let Some(inner) = arguments.inner("arguments") {
            yaml::check_keys(self.file, inner, own, &what, self.faults);
        }
        if let Some(inner) = arguments.inner("config") {
            yaml::check_keys(self.file, inner, &["severity"], &what, self.faults);
        }
    }

    fn accepted_values(&mut self, arguments: &Arguments<'_>, place: &Place) -> Option<Vec<String>> {
        match arguments.get("values") {
            Some(node) if matches!(&node.value, Value::List(items) if !items.is_empty()) => {
                Some(yaml::texts(self.file, node, "`values`", self.faults))
            }
            _ => self.bad_test(place.clone(), "`accepted_values` needs its list of `values`"),
        }
    }

    fn relationships(&mut self, arguments: &Arguments<'_>, place: &Place, column: String) -> Option<TestKind> {
        let to = arguments.text("to").and_then(|text| read_ref(&text));
        match (to, arguments.text("field")) {
            (Some(to), Some(field)) => Some(TestKind::Relationships {
                column,
                to: NodeName::new(to),
                field,
            }),
            _ => self.bad_test(place.clone(), "`relationships` needs `to: ref('…')` and `field:`"),
        }
    }

    fn severity(&mut self, arguments: &Arguments<'_>) -> Option<Severity> {
        let Some(node) = arguments.get("severity") else {
            return Some(Severity::Error);
        };
        match &node.value {
            Value::Text(word) if word == "error" => Some(Severity::Error),
            Value::Text(word) if word == "warn" => Some(Severity::Warning),
            _ => self.bad_test(node.spot.of(self.file), "`severity` is `error` or `warn`"),
        }
    }

    fn sources(&mut self, node: Option<&Node>) -> Vec<(String, DescribedSource)> {
        let mut all = Vec::new();
        let Some(node) = node else { return all };
        for group in yaml::list(self.file, node, "`sources`", self.faults) {
            let Some(group_name) = self.item_name(group, "sources") else {
                continue;
            };
            let Some(tables) = group.get("tables") else { continue };
            for table in yaml::list(self.file, tables, "`tables`", self.faults) {
                let Some(name) = self.item_name(table, "tables") else {
                    continue;
                };
                let description = table
                    .get("description")
                    .and_then(|node| yaml::text(self.file, node, "`description`", self.faults));
                let place = table.get("name").unwrap_or(table).spot.of(self.file);
                all.push((format!("{group_name}.{name}"), DescribedSource { place, description }));
            }
        }
        all
    }
}

/// The arguments of a data test: flat, or under `arguments:` and `config:`.
struct Arguments<'a> {
    fields: &'a [Entry],
}

impl<'a> Arguments<'a> {
    fn get(&self, key: &str) -> Option<&'a Node> {
        let find = |fields: &'a [Entry]| fields.iter().find(|entry| entry.key == key).map(|entry| &entry.node);
        find(self.fields)
            .or_else(|| find(self.inner("arguments")?))
            .or_else(|| find(self.inner("config")?))
    }

    fn inner(&self, key: &str) -> Option<&'a [Entry]> {
        self.fields.iter().find(|entry| entry.key == key)?.node.entries()
    }

    fn text(&self, key: &str) -> Option<String> {
        match &self.get(key)?.value {
            Value::Text(text) => Some(text.clone()),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::List(_) | Value::Map(_) => None,
        }
    }
}

/// The name in `ref('name')`, or the bare name.
fn read_ref(text: &str) -> Option<String> {
    let text = text.trim().trim_start_matches("{{").trim_end_matches("}}").trim();
    let name = match text.strip_prefix("ref(").and_then(|rest| rest.strip_suffix(')')) {
        Some(inner) => inner.trim().trim_matches(['\'', '"']),
        None => text,
    };
    text::is_name(name).then(|| name.to_owned())
}

fn test_name(model: &str, kind: &TestKind) -> String {
    match kind {
        TestKind::NotNull { column } => format!("not_null_{model}_{column}"),
        TestKind::Unique { column } => format!("unique_{model}_{column}"),
        TestKind::AcceptedValues { column, values, .. } => {
            format!("accepted_values_{model}_{column}__{}", values.join("__"))
        }
        TestKind::Relationships { column, to, field } => {
            format!("relationships_{model}_{column}__{field}__ref_{to}_")
        }
    }
}

fn fingerprint(kind: &TestKind) -> Fingerprint {
    match kind {
        TestKind::NotNull { column } => Fingerprint::of([b"not_null".as_slice(), column.as_bytes()]),
        TestKind::Unique { column } => Fingerprint::of([b"unique".as_slice(), column.as_bytes()]),
        TestKind::AcceptedValues { column, values, quote } => Fingerprint::of(
            [b"accepted_values".as_slice(), column.as_bytes(), &[u8::from(*quote)]]
                .into_iter()
                .chain(values.iter().map(String::as_bytes)),
        ),
        TestKind::Relationships { column, to, field } => Fingerprint::of([
            b"relationships".as_slice(),
            column.as_bytes(),
            to.as_str().as_bytes(),
            field.as_bytes(),
        ]),
    }
}
