//! `schema.yml` and the other YAML files beside models and seeds: descriptions, configuration and
//! data tests, by the names they are for. Whether those names exist is not known here.

use std::{collections::BTreeMap, path::Path};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place},
};

use crate::{
    config::{self, Layer, Setting},
    data_test::{Test, TestReader},
    dialect::{
        Dialect, OF_COLUMNS, OF_ENTRIES, OF_MODELS, OF_PROPERTIES, OF_SEEDS, OF_SNAPSHOT_ENTRIES, OF_SNAPSHOTS,
        OF_SOURCES, OF_TABLES, OF_TESTS, Words, no_effect,
    },
    folder::Folder,
    rendered,
    template::Templates,
    yaml::{self, Node, Value},
};

/// What a YAML file says of a model or a seed.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) place: Place,
    pub(crate) settings: Layer,
    pub(crate) columns: BTreeMap<String, String>,
    pub(crate) tests: Vec<Test>,
    /// What a snapshot without a file of its own looks at: `ref('orders')`.
    pub(crate) relation: Option<String>,
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
    pub(crate) snapshots: BTreeMap<String, Described>,
    pub(crate) sources: BTreeMap<String, DescribedSource>,
    pub(crate) tests: BTreeMap<String, DescribedTest>,
}

/// What a YAML file says of a data test that is a query of its own.
#[derive(Debug)]
pub(crate) struct DescribedTest {
    pub(crate) place: Place,
    pub(crate) settings: Layer,
}

/// What has to be known to read the YAML files.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) dialect: Dialect,
    /// The project's name.
    pub(crate) project: &'a str,
    /// What is set for the tests of a folder.
    pub(crate) tests: &'a Folder,
    /// The tests that the project writes itself.
    pub(crate) own_tests: &'a [String],
    pub(crate) templates: &'a Templates,
}

impl Properties {
    /// Adds one file.
    pub(crate) fn read(&mut self, file: &Path, source: &str, context: Context<'_>, faults: &mut Vec<Diagnostic>) {
        let tree = match context.dialect {
            Dialect::Own => yaml::parse(file, source, faults),
            Dialect::Dbt => yaml::parse_dbt(file, source, faults),
        };
        let Some(tree) = tree else { return };
        let what = "this file";
        let entries = yaml::map(file, &tree, what, faults);
        OF_PROPERTIES.check(file, entries, what, context.dialect, faults);
        let folder = context.tests.layer_of(file);
        let mut reader = Reader {
            file,
            context,
            folder: &folder,
            faults,
        };
        let groups = [
            ("models", OF_MODELS, &mut self.models),
            ("seeds", OF_SEEDS, &mut self.seeds),
            ("snapshots", OF_SNAPSHOTS, &mut self.snapshots),
        ];
        for (key, words, all) in groups {
            let described = reader.described(tree.get(key), key, words);
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
        self.tests.extend(reader.described_tests(tree.get("data_tests")));
    }
}

struct Reader<'a> {
    file: &'a Path,
    context: Context<'a>,
    /// What is set for the tests of the file.
    folder: &'a Layer,
    faults: &'a mut Vec<Diagnostic>,
}

impl Reader<'_> {
    fn described(&mut self, node: Option<&Node>, key: &str, words: Words) -> Vec<(String, Described)> {
        let Some(node) = node else { return Vec::new() };
        let mut all = Vec::new();
        for item in yaml::list(self.file, node, &format!("`{key}`"), self.faults) {
            let Some(name) = self.item_name(item, key) else {
                continue;
            };
            let what = format!("`{name}`");
            let entries = yaml::map(self.file, item, &what, self.faults);
            let relation = item.get("relation").filter(|_| key == "snapshots");
            let words_of_entry = if relation.is_some() {
                OF_SNAPSHOT_ENTRIES
            } else {
                OF_ENTRIES
            };
            words_of_entry.check(self.file, entries, &what, self.context.dialect, self.faults);
            let relation = relation.and_then(|node| yaml::text(self.file, node, "`relation`", self.faults));
            let mut columns = BTreeMap::new();
            let mut tests = self.tests(item, &name, None);
            if let Some(node) = item.get("columns") {
                for column in yaml::list(self.file, node, "`columns`", self.faults) {
                    self.column(column, &name, &mut columns, &mut tests);
                }
            }
            let described = Described {
                place: item.get("name").unwrap_or(item).spot.of(self.file),
                settings: self.settings(item, words),
                columns,
                tests,
                relation,
            };
            all.push((name, described));
        }
        all
    }

    fn tests(&mut self, owner: &Node, model: &str, column: Option<&str>) -> Vec<Test> {
        let mut reader = TestReader {
            file: self.file,
            dialect: self.context.dialect,
            project: self.context.project,
            own: self.context.own_tests,
            folder: self.folder,
            templates: self.context.templates,
            faults: self.faults,
        };
        reader.tests(owner, model, column)
    }

    /// Data tests that are queries in files of their own.
    fn described_tests(&mut self, node: Option<&Node>) -> Vec<(String, DescribedTest)> {
        const KEYS: Words = Words {
            known: &["name", "config"],
            quiet: &["description", "meta", "tags", "docs"],
            idle: &[],
            refused: &[],
        };
        let Some(node) = node else { return Vec::new() };
        let mut all = Vec::new();
        for item in yaml::list(self.file, node, "`data_tests`", self.faults) {
            let Some(name) = self.item_name(item, "data_tests") else {
                continue;
            };
            let what = format!("`{name}`");
            let entries = yaml::map(self.file, item, &what, self.faults);
            KEYS.check(self.file, entries, &what, self.context.dialect, self.faults);
            let described = DescribedTest {
                place: item.get("name").unwrap_or(item).spot.of(self.file),
                settings: self.settings(item, OF_TESTS),
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

    fn settings(&mut self, item: &Node, words: Words) -> Layer {
        let mut layer = Layer::new();
        for key in ["description", "tags", "meta"] {
            if let Some(node) = item.get(key).filter(|_| words.known.contains(&key)) {
                layer.insert(key.to_owned(), Setting::read(self.file, node));
            }
        }
        let Some(config) = item.get("config") else {
            return layer;
        };
        let config = rendered::tree(config, self.file, self.context.templates, self.faults);
        let mut own = Layer::new();
        for entry in yaml::map(self.file, &config, "`config`", self.faults) {
            let key = entry.key.strip_prefix('+').unwrap_or(&entry.key);
            if words.known.contains(&key) {
                own.insert(config::spelled(key).to_owned(), Setting::read(self.file, &entry.node));
            } else {
                let place = entry.spot.of(self.file);
                self.faults
                    .extend(words.fault(key, place, "`config`", self.context.dialect));
            }
        }
        config::overlay(&mut layer, &own);
        layer
    }

    fn column(&mut self, node: &Node, model: &str, columns: &mut BTreeMap<String, String>, tests: &mut Vec<Test>) {
        let Some(name) = self.item_name(node, "columns") else {
            return;
        };
        let what = format!("the column `{name}`");
        let entries = yaml::map(self.file, node, &what, self.faults);
        OF_COLUMNS.check(self.file, entries, &what, self.context.dialect, self.faults);
        if let Some(description) = node.get("description") {
            let text = yaml::text(self.file, description, "`description`", self.faults).unwrap_or_default();
            columns.insert(name.clone(), text);
        }
        tests.extend(self.tests(node, model, Some(&name)));
    }

    /// Data tests of a source's columns, which are not run yet.
    fn tests_of_source(&mut self, table: &Node, what: &str) {
        let Some(Value::List(columns)) = table.get("columns").map(|node| &node.value) else {
            return;
        };
        let mut tests = columns
            .iter()
            .filter_map(|column| column.get("data_tests").or_else(|| column.get("tests")));
        if let Some(first) = tests.next() {
            let fault = no_effect(&format!("a data test of {what}"));
            self.faults.push(fault.at(first.spot.of(self.file)));
        }
    }

    fn sources(&mut self, node: Option<&Node>) -> Vec<(String, DescribedSource)> {
        let mut all = Vec::new();
        let Some(node) = node else { return all };
        for group in yaml::list(self.file, node, "`sources`", self.faults) {
            let Some(group_name) = self.item_name(group, "sources") else {
                continue;
            };
            let dialect = self.context.dialect;
            let what = format!("the source `{group_name}`");
            let entries = yaml::map(self.file, group, &what, self.faults);
            OF_SOURCES.check(self.file, entries, &what, dialect, self.faults);
            let Some(tables) = group.get("tables") else { continue };
            for table in yaml::list(self.file, tables, "`tables`", self.faults) {
                let Some(name) = self.item_name(table, "tables") else {
                    continue;
                };
                let what = format!("the source `{group_name}.{name}`");
                let entries = yaml::map(self.file, table, &what, self.faults);
                OF_TABLES.check(self.file, entries, &what, dialect, self.faults);
                self.tests_of_source(table, &what);
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
