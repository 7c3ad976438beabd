//! What the editor of the prompt knows of SQL: when an entry is whole, and how a word goes on.

use std::collections::{BTreeMap, BTreeSet};

use mulgil_core::{statements::Splitter, task::Column};
use rustyline::{
    Context, Helper,
    completion::{Completer, Pair},
    highlight::Highlighter,
    hint::Hinter,
    validate::{ValidationContext, ValidationResult, Validator},
};

use super::dot;
use crate::wire::Names;

const KEYWORDS: [&str; 62] = [
    "all",
    "and",
    "as",
    "asc",
    "between",
    "by",
    "case",
    "cast",
    "count",
    "cross",
    "current_date",
    "date",
    "date_trunc",
    "desc",
    "describe",
    "distinct",
    "else",
    "end",
    "except",
    "exists",
    "explain",
    "extract",
    "false",
    "filter",
    "from",
    "full",
    "group",
    "having",
    "in",
    "inner",
    "intersect",
    "interval",
    "is",
    "join",
    "lateral",
    "left",
    "like",
    "limit",
    "max",
    "min",
    "not",
    "null",
    "nulls",
    "offset",
    "on",
    "or",
    "order",
    "outer",
    "over",
    "partition",
    "right",
    "select",
    "show",
    "sum",
    "then",
    "true",
    "union",
    "using",
    "values",
    "when",
    "where",
    "with",
];

/// Completes names and keeps an entry open until its `;`.
#[derive(Default)]
pub(super) struct Words {
    /// Columns by the names of their tables; a name with a schema is `schema.name`.
    tables: BTreeMap<String, Vec<String>>,
}

impl Words {
    /// Learns what a query may name now.
    pub(super) fn learn(&mut self, names: &Names) {
        let of = |columns: &[Column]| columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
        self.tables.clear();
        for binding in &names.bindings {
            let name = match &binding.schema {
                Some(schema) => format!("{schema}.{}", binding.name),
                None => binding.name.clone(),
            };
            self.tables.insert(name, Vec::new());
        }
        for entry in &names.relations {
            let full = format!("{}.{}", entry.relation.schema, entry.relation.name);
            for name in [entry.node.to_string(), full] {
                self.tables
                    .entry(name)
                    .and_modify(|columns| *columns = of(&entry.columns));
            }
        }
        for (name, seen) in &names.seen {
            self.tables.insert(name.to_string(), of(&seen.columns));
        }
    }

    /// The ways in which the word before the cursor may go on, and where it begins.
    fn ways(&self, text: &str) -> (usize, Vec<String>) {
        let start = text
            .rfind(|letter: char| !(letter.is_alphanumeric() || matches!(letter, '_' | '.')))
            .map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
        let word = text[start..].to_lowercase();
        let ways: BTreeSet<String> = if start == 0 && word.starts_with('.') {
            dot::names()
                .map(str::to_owned)
                .filter(|name| name.starts_with(&word))
                .collect()
        } else if word.is_empty() {
            BTreeSet::new()
        } else if wants_table(&text[..start]) {
            let tables = self.tables.keys();
            tables
                .filter(|name| name.to_lowercase().starts_with(&word))
                .cloned()
                .collect()
        } else {
            self.all(text)
                .filter(|way| way.to_lowercase().starts_with(&word))
                .collect()
        };
        (start, ways.into_iter().collect())
    }

    /// Every word: names, the columns of the tables that the text mentions (of all tables where it
    /// mentions none), and keywords.
    fn all(&self, text: &str) -> impl Iterator<Item = String> {
        let mentioned: BTreeSet<&str> = text
            .split(|letter: char| !(letter.is_alphanumeric() || matches!(letter, '_' | '.')))
            .collect();
        let named: Vec<_> = self
            .tables
            .iter()
            .filter(|(name, _)| mentioned.contains(name.as_str()))
            .collect();
        let read = if named.is_empty() {
            self.tables.iter().collect()
        } else {
            named
        };
        let mut words: Vec<String> = self.tables.keys().cloned().collect();
        for (table, columns) in read {
            let short = table.rsplit('.').next().unwrap_or(table);
            for column in columns {
                words.push(column.clone());
                words.push(format!("{short}.{column}"));
            }
        }
        words.extend(KEYWORDS.map(str::to_owned));
        words.into_iter()
    }
}

/// Whether a table has to follow a text.
fn wants_table(before: &str) -> bool {
    let last = before.split_whitespace().next_back().unwrap_or_default();
    ["from", "join", "describe"]
        .iter()
        .any(|word| last.eq_ignore_ascii_case(word))
}

/// Whether an entry can be run: a command of the shell, nothing, or statements that all end.
pub(super) fn is_whole(entry: &str) -> bool {
    if entry.trim().is_empty() || entry.trim_start().starts_with('.') {
        return true;
    }
    let mut splitter = Splitter::default();
    splitter.push(entry);
    splitter.push("\n");
    while splitter.next_statement().is_some() {}
    !splitter.is_open()
}

impl Helper for Words {}
impl Highlighter for Words {}

impl Hinter for Words {
    type Hint = String;
}

impl Validator for Words {
    fn validate(&self, entry: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        Ok(if is_whole(entry.input()) {
            ValidationResult::Valid(None)
        } else {
            ValidationResult::Incomplete
        })
    }
}

impl Completer for Words {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, ways) = self.ways(&line[..at]);
        let pair = |way: String| Pair {
            display: way.clone(),
            replacement: way,
        };
        Ok((start, ways.into_iter().map(pair).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Words {
        let columns = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Words {
            tables: BTreeMap::from([
                ("orders".to_owned(), columns(&["order_id", "amount"])),
                ("dev.orders".to_owned(), columns(&["order_id", "amount"])),
                ("customers".to_owned(), columns(&["id", "name"])),
            ]),
        }
    }

    #[test]
    fn words_go_on_as_names_columns_and_keywords() {
        let words = words();
        let ways = |text: &str| words.ways(text).1;
        assert_eq!(ways("sel"), ["select"]);
        assert_eq!(ways("select * from cust"), ["customers"]);
        assert_eq!(ways("select * from ord"), ["orders"]);
        assert_eq!(
            ways("select * from orders ord"),
            ["order", "order_id", "orders", "orders.amount", "orders.order_id"]
        );
        assert_eq!(ways("select * from dev.o"), ["dev.orders"]);
        assert_eq!(
            ways("select * from customers where n"),
            ["name", "not", "null", "nulls"]
        );
        assert_eq!(ways("select * from orders where orders.a"), ["orders.amount"]);
        assert_eq!(ways("select am"), ["amount"]);
        assert_eq!(ways(".t"), [".tables", ".timing"]);
        assert_eq!(words.ways("select '서울', am").0, "select '서울', ".len());
        assert!(ways("select ").is_empty());
    }

    #[test]
    fn an_entry_is_open_until_its_semicolon() {
        for (entry, whole) in [
            ("", true),
            (".tables", true),
            ("select 1", false),
            ("select 1;", true),
            ("select ';", false),
            ("select 1; -- done", true),
            ("select 1; select", false),
        ] {
            assert_eq!(is_whole(entry), whole, "{entry}");
        }
    }
}
