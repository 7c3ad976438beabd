//! Data tests as YAML files and `config()` declare them: what they assert, of which rows, and how
//! many may break it. Whether what they name exists is not known here.

use std::path::Path;

use mulgil_core::{
    codes,
    data_test::{Threshold, Thresholds},
    diagnostic::{Diagnostic, Place, Severity},
    name::NodeName,
    project::{DataTest, Fingerprint, TestKind},
};
use serde_json::Value as Json;

use crate::{
    config::{self, Layer, Setting},
    dialect::{Dialect, OF_TESTS, no_effect},
    generic, rendered,
    settings::Reader,
    template::Templates,
    text,
    yaml::{self, Entry, Node, Value},
};

/// The tests that need no query of the project.
const BUILT_IN: &[&str] = &["not_null", "unique", "accepted_values", "relationships"];
/// What every declared test may have beside its arguments.
const COMMON: &[&str] = &["arguments", "config", "name", "description", "column_name"];

/// A data test and what its query is made of.
#[derive(Clone, Debug)]
pub(crate) struct Test {
    pub(crate) declared: DataTest,
    pub(crate) rows: Rows,
    /// The text that renders to its query, where the project writes it.
    pub(crate) template: Option<String>,
}

impl Test {
    /// What tells this test from another one of its name: its arguments and what is set of it.
    pub(crate) fn identity(&self) -> Fingerprint {
        let template = self.template.as_deref().unwrap_or_default();
        let parts = [self.declared.fingerprint.to_string(), template.to_owned()];
        Fingerprint::of(parts.iter().map(String::as_bytes))
    }
}

/// Which rows a test looks at, and how many it reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    /// A condition on the rows of the node.
    pub(crate) filter: Option<String>,
    /// How many failures are counted at most.
    pub(crate) limit: Option<u32>,
}

/// The configuration of a data test, read.
#[derive(Clone, Debug)]
pub(crate) struct TestConfig {
    pub(crate) severity: Severity,
    pub(crate) thresholds: Thresholds,
    pub(crate) rows: Rows,
    pub(crate) enabled: bool,
}

impl TestConfig {
    /// The hash of what a test asserts, with what is set of it.
    pub(crate) fn fingerprint(&self, asserted: Fingerprint) -> Fingerprint {
        if self.rows == Rows::default() && self.thresholds.is_default() {
            return asserted;
        }
        let texts = [
            asserted.to_string(),
            self.rows.filter.clone().unwrap_or_default(),
            self.rows.limit.map(|limit| limit.to_string()).unwrap_or_default(),
            self.thresholds.warn_if.to_string(),
            self.thresholds.error_if.to_string(),
        ];
        Fingerprint::of(texts.iter().map(String::as_bytes))
    }
}

/// Reads the settings of a data test; nothing where it cannot be run as they say.
pub(crate) fn config(layer: &Layer, faults: &mut Vec<Diagnostic>) -> Option<TestConfig> {
    let told = faults.len();
    let mut reader = Reader { layer, faults };
    let filter = reader.text("where").filter(|filter| !filter.trim().is_empty());
    let limit = reader.count("limit", 1);
    let enabled = reader.flag("enabled").unwrap_or(true);
    let severity = layer.get("severity").map_or(Some(Severity::Error), |setting| {
        match setting.value.as_str().map(str::to_lowercase).as_deref() {
            Some("error") => Some(Severity::Error),
            Some("warn") => Some(Severity::Warning),
            _ => bad(setting.place.clone(), "`severity` is `error` or `warn`", faults),
        }
    });
    let thresholds = Thresholds {
        warn_if: threshold("warn_if", layer, faults),
        error_if: threshold("error_if", layer, faults),
    };
    if let Some(setting) = layer.get("fail_calc")
        && !counts_rows(&setting.value)
    {
        faults.push(
            Diagnostic::error(
                codes::UNSUPPORTED_CONFIG,
                "a data test counts the rows that break it; another `fail_calc` is not done",
            )
            .at(setting.place.clone())
            .with_remedy("remove it, and let the query of the test return one row for each failure"),
        );
    }
    let severity = severity.filter(|_| faults.len() == told)?;
    Some(TestConfig {
        severity,
        thresholds,
        rows: Rows { filter, limit },
        enabled,
    })
}

fn threshold(key: &str, layer: &Layer, faults: &mut Vec<Diagnostic>) -> Threshold {
    let Some(setting) = layer.get(key) else {
        return Threshold::ANY;
    };
    let read = setting.value.as_str().and_then(Threshold::parse);
    read.unwrap_or_else(|| {
        faults.push(
            Diagnostic::error(
                codes::BAD_DATA_TEST,
                format!("`{key}` is a comparison with a count of rows"),
            )
            .at(setting.place.clone())
            .with_remedy(format!(
                "write `{key}: '> 10'`, with one of `=`, `!=`, `>`, `>=`, `<`, `<=`"
            )),
        );
        Threshold::ANY
    })
}

fn counts_rows(value: &Json) -> bool {
    let text = value.as_str().unwrap_or_default().to_lowercase();
    text.split_whitespace().collect::<String>() == "count(*)"
}

fn bad<T>(place: Place, message: &str, faults: &mut Vec<Diagnostic>) -> Option<T> {
    faults.push(
        Diagnostic::error(codes::BAD_DATA_TEST, message)
            .at(place)
            .with_remedy("write `- not_null`, or `- accepted_values: {values: [a, b]}`"),
    );
    None
}

/// Reads the data tests of one YAML file.
pub(crate) struct TestReader<'a> {
    pub(crate) file: &'a Path,
    pub(crate) dialect: Dialect,
    /// The project's name, which may stand before a test of its own.
    pub(crate) project: &'a str,
    /// The tests that the project writes itself.
    pub(crate) own: &'a [String],
    /// What is set for the tests of the file.
    pub(crate) folder: &'a Layer,
    pub(crate) templates: &'a Templates,
    pub(crate) faults: &'a mut Vec<Diagnostic>,
}

impl TestReader<'_> {
    /// The tests of a node or of one of its columns; those that are switched off are left out.
    pub(crate) fn tests(&mut self, owner: &Node, model: &str, column: Option<&str>) -> Vec<Test> {
        let mut tests = Vec::new();
        for key in ["data_tests", "tests"] {
            let Some(node) = owner.get(key) else { continue };
            for item in yaml::list(self.file, node, &format!("`{key}`"), self.faults) {
                tests.extend(self.test(item, model, column));
            }
        }
        tests
    }

    fn test(&mut self, item: &Node, model: &str, column: Option<&str>) -> Option<Test> {
        let place = item.spot.of(self.file);
        let (word, fields) = self.word(item, &place)?;
        let arguments = Arguments { fields: &fields };
        let mut config = self.config(&arguments, word)?;
        let column = column.map(str::to_owned).or_else(|| arguments.text("column_name"));
        let own_word = word.strip_prefix(&format!("{}.", self.project)).unwrap_or(word);
        if self.own.iter().any(|own| own == own_word) {
            return own_test(own_word, &arguments, model, column, &config, place);
        }
        if !BUILT_IN.contains(&word) {
            return self.unknown_test(place, word);
        }
        let Some(column) = column else {
            return bad(place, "the data test does not say its column", self.faults);
        };
        self.check_arguments(&arguments, word);
        config.rows.filter = config
            .rows
            .filter
            .map(|filter| rendered::text(&filter, &place, self.templates, self.faults));
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
        let name = arguments.name().unwrap_or_else(|| {
            let column = kind.column().map(str::to_owned);
            generic::name(word, model, arguments.given(column))
        });
        config.enabled.then(|| Test {
            declared: DataTest {
                name,
                fingerprint: config.fingerprint(fingerprint(&kind)),
                severity: config.severity,
                thresholds: config.thresholds,
                kind,
                place,
            },
            rows: config.rows,
            template: None,
        })
    }

    /// The word of a test, and its fields.
    fn word<'n>(&mut self, item: &'n Node, place: &Place) -> Option<(&'n str, Vec<&'n Entry>)> {
        const SHAPE: &str = "a data test is one word, or one word with its arguments";
        match &item.value {
            Value::Text(word) => Some((word, Vec::new())),
            Value::Map(entries) => {
                // dbt's other form: the word is a field like the others.
                let word = item.get("test_name").map(|node| &node.value);
                match (word, entries.as_slice()) {
                    (Some(Value::Text(word)), _) => {
                        Some((word, entries.iter().filter(|entry| entry.key != "test_name").collect()))
                    }
                    (None, [entry]) => {
                        let fields = yaml::map(self.file, &entry.node, "a data test", self.faults);
                        Some((&entry.key, fields.iter().collect()))
                    }
                    _ => bad(place.clone(), SHAPE, self.faults),
                }
            }
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::List(_) => {
                bad(place.clone(), SHAPE, self.faults)
            }
        }
    }

    fn config(&mut self, arguments: &Arguments<'_>, word: &str) -> Option<TestConfig> {
        let what = format!("the data test `{word}`");
        let mut layer = self.folder.clone();
        let mut own = Layer::new();
        let flat = arguments.fields.iter().copied();
        for entry in flat.filter(|entry| !COMMON.contains(&entry.key.as_str())) {
            if OF_TESTS.known.contains(&entry.key.as_str()) {
                own.insert(entry.key.clone(), Setting::read(self.file, &entry.node));
            } else if OF_TESTS.idle.contains(&entry.key.as_str()) {
                let fault = no_effect(&format!("`{}` of {what}", entry.key));
                self.faults.push(fault.at(entry.spot.of(self.file)));
            }
        }
        for entry in arguments.inner("config").unwrap_or_default() {
            self.faults
                .extend(OF_TESTS.fault(&entry.key, entry.spot.of(self.file), &what, self.dialect));
            own.insert(entry.key.clone(), Setting::read(self.file, &entry.node));
        }
        config::overlay(&mut layer, &own);
        config(&layer, self.faults)
    }

    fn unknown_test<T>(&mut self, place: Place, word: &str) -> Option<T> {
        if let Some((package, _)) = word.split_once('.') {
            self.faults.push(
                Diagnostic::error(
                    codes::UNSUPPORTED_CONFIG,
                    format!("the data test `{word}` is of the package `{package}`, and packages are not read yet"),
                )
                .at(place)
                .with_remedy("write the test in a file under `macros/`, or as a query under `tests/`"),
            );
            return None;
        }
        let known = || BUILT_IN.iter().copied().chain(self.own.iter().map(String::as_str));
        let remedy = text::nearest(word, known()).map_or_else(
            || format!("write one of {}", text::listed(known())),
            |near| format!("write `{near}`"),
        );
        self.faults.push(
            Diagnostic::error(codes::BAD_DATA_TEST, format!("there is no data test `{word}`"))
                .at(place)
                .with_remedy(remedy),
        );
        None
    }

    fn check_arguments(&mut self, arguments: &Arguments<'_>, word: &str) {
        let own: &[&str] = match word {
            "accepted_values" => &["values", "quote"],
            "relationships" => &["to", "field"],
            _ => &[],
        };
        let what = format!("the data test `{word}`");
        let is_common = |key: &str| {
            COMMON.contains(&key)
                || [OF_TESTS.known, OF_TESTS.quiet, OF_TESTS.idle]
                    .iter()
                    .any(|words| words.contains(&key))
        };
        let flat = arguments.fields.iter().copied();
        let flat = flat.filter(|entry| !is_common(&entry.key));
        let inner = arguments.inner("arguments").unwrap_or_default().iter();
        for entry in flat.chain(inner).filter(|entry| !own.contains(&entry.key.as_str())) {
            let known: Vec<&str> = own.iter().chain(COMMON).copied().collect();
            let fault = yaml::unknown_key(entry.spot.of(self.file), &entry.key, &known, &what);
            self.faults.push(self.dialect.softened(fault));
        }
    }

    fn accepted_values(&mut self, arguments: &Arguments<'_>, place: &Place) -> Option<Vec<String>> {
        match arguments.get("values") {
            Some(node) if matches!(&node.value, Value::List(items) if !items.is_empty()) => {
                Some(yaml::texts(self.file, node, "`values`", self.faults))
            }
            _ => bad(
                place.clone(),
                "`accepted_values` needs its list of `values`",
                self.faults,
            ),
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
            _ => bad(
                place.clone(),
                "`relationships` needs `to: ref('…')` and `field:`",
                self.faults,
            ),
        }
    }
}

/// A test that the project writes itself: a call of its macro.
fn own_test(
    word: &str,
    arguments: &Arguments<'_>,
    model: &str,
    column: Option<String>,
    config: &TestConfig,
    place: Place,
) -> Option<Test> {
    let given = arguments.given(column);
    let name = arguments
        .name()
        .unwrap_or_else(|| generic::name(word, model, given.clone()));
    let template = generic::call(word, model, config.rows.filter.as_deref(), &given);
    config.enabled.then(|| Test {
        declared: DataTest {
            name,
            kind: TestKind::Query { reads: Vec::new() },
            severity: config.severity,
            thresholds: config.thresholds,
            // Of the query, once it is rendered.
            fingerprint: config.fingerprint(Fingerprint::default()),
            place,
        },
        // The condition stands in the call already.
        rows: Rows {
            filter: None,
            limit: config.rows.limit,
        },
        template: Some(template),
    })
}

/// The arguments of a data test: flat, or under `arguments:` and `config:`.
struct Arguments<'a> {
    fields: &'a [&'a Entry],
}

impl<'a> Arguments<'a> {
    fn get(&self, key: &str) -> Option<&'a Node> {
        let flat = self.fields.iter().find(|entry| entry.key == key);
        let inner = || self.inner("arguments")?.iter().find(|entry| entry.key == key);
        flat.copied().or_else(inner).map(|entry| &entry.node)
    }

    fn inner(&self, key: &str) -> Option<&'a [Entry]> {
        self.fields.iter().find(|entry| entry.key == key)?.node.entries()
    }

    /// The name that the test is given; an argument of that name is none.
    fn name(&self) -> Option<String> {
        let field = self.fields.iter().find(|entry| entry.key == "name")?;
        as_text(&field.node)
    }

    fn text(&self, key: &str) -> Option<String> {
        as_text(self.get(key)?)
    }

    /// What the test is called with: its arguments without its settings, and the column.
    fn given(&self, column: Option<String>) -> Vec<(String, Json)> {
        let is_setting = |key: &str| {
            COMMON.contains(&key)
                || [OF_TESTS.known, OF_TESTS.idle, OF_TESTS.quiet]
                    .iter()
                    .any(|words| words.contains(&key))
        };
        let flat = self.fields.iter().copied().filter(|entry| !is_setting(&entry.key));
        let inner = self.inner("arguments").unwrap_or_default().iter();
        flat.chain(inner)
            .map(|entry| (entry.key.clone(), entry.node.to_json()))
            .chain(column.map(|column| ("column_name".to_owned(), Json::String(column))))
            .collect()
    }
}

fn as_text(node: &Node) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.clone()),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::List(_) | Value::Map(_) => None,
    }
}

/// The name in `ref('name')`, or the bare name.
fn read_ref(text: &str) -> Option<String> {
    let text = text.trim().trim_start_matches("{{").trim_end_matches("}}").trim();
    let name = match text.strip_prefix("ref(").and_then(|rest| rest.strip_suffix(')')) {
        // The project's name may stand before.
        Some(inner) => inner.rsplit(',').next()?.trim().trim_matches(['\'', '"']),
        None => text,
    };
    text::is_name(name).then(|| name.to_owned())
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
        TestKind::Query { .. } => Fingerprint::default(),
    }
}
