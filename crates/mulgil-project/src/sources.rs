//! The `sources:` of `mulgil.yml`: where files are, what they hold, and how their time is cut.

use std::collections::BTreeMap;

use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    grid::{Cut, Grid, Zone},
    location::{ObjectUrl, StoreOptions},
    name::NodeName,
    project::{FileFormat, FilePattern, Source},
};

use crate::{
    manifest::Reader,
    pattern, values,
    yaml::{self, Entry, Node},
};

pub(crate) const KEYS: &[&str] = &[
    "files",
    "format",
    "event_time",
    "timezone",
    "columns",
    "nulls",
    "delimiter",
    "description",
    "endpoint",
    "region",
    "allow_http",
];

impl Reader<'_> {
    /// Reads all sources.
    pub(crate) fn sources(&mut self, node: Option<&Node>, project_zone: &Zone) -> Vec<Source> {
        let Some(node) = node else { return Vec::new() };
        let mut sources = Vec::new();
        for group in yaml::map(self.file, node, "`sources`", self.faults) {
            self.source_name(group);
            for table in yaml::map(
                self.file,
                &group.node,
                &format!("the source `{}`", group.key),
                self.faults,
            ) {
                self.source_name(table);
                sources.extend(self.source(&group.key, table, project_zone));
            }
        }
        sources
    }

    fn source_name(&mut self, entry: &Entry) {
        if let Some(why) = values::bad_name(&entry.key) {
            self.faults.push(
                Diagnostic::error(
                    codes::BAD_NAME,
                    format!("a source cannot be named `{}`: {why}", entry.key),
                )
                .at(entry.spot.of(self.file))
                .with_remedy("use letters, digits and `_`, beginning with a letter"),
            );
        }
    }

    fn source(&mut self, group: &str, entry: &Entry, project_zone: &Zone) -> Option<Source> {
        let node = &entry.node;
        let what = format!("the source `{group}.{}`", entry.key);
        let fields = yaml::map(self.file, node, &what, self.faults);
        yaml::check_keys(self.file, fields, KEYS, &what, self.faults);
        node.entries()?;
        let zone = self
            .text_of(node, "timezone")
            .zip(node.get("timezone"))
            .and_then(|(name, node)| {
                values::parse_zone(&name, &node.spot.of(self.file))
                    .map_err(|fault| self.faults.push(fault))
                    .ok()
            });
        let (files, path) = self.source_files(entry, &what)?;
        let format = self.source_format(node, &path)?;
        let cut = match &files {
            FilePattern::Single(_) => Cut::Whole,
            FilePattern::PerInterval { unit, .. } => Cut::Unit(*unit),
        };
        Some(Source {
            name: NodeName::new(format!("{group}.{}", entry.key)),
            grid: Grid {
                cut,
                // Without a zone of its own, files are named after the project's days, but times
                // without an offset are UTC.
                zone: zone.clone().unwrap_or_else(|| project_zone.clone()),
                begin: None,
                end: None,
            },
            zone: zone.unwrap_or(Zone::UTC),
            store: self.source_store(node, &path),
            files,
            format,
            event_time: self.text_of(node, "event_time"),
            columns: self.source_columns(node, &what),
            description: self.text_of(node, "description"),
            place: entry.spot.of(self.file),
        })
    }

    pub(crate) fn text_of(&mut self, node: &Node, key: &str) -> Option<String> {
        yaml::text(self.file, node.get(key)?, &format!("`{key}`"), self.faults)
    }

    fn source_files(&mut self, entry: &Entry, what: &str) -> Option<(FilePattern, String)> {
        let Some(node) = entry.node.get("files") else {
            self.faults.push(
                Diagnostic::error(codes::MISSING_KEY, format!("{what} does not say where its files are"))
                    .at(entry.spot.of(self.file))
                    .with_remedy("add `files: data/events_{YYYYMMDD}.csv`, or the path of a single file"),
            );
            return None;
        };
        let path = yaml::text(self.file, node, "`files`", self.faults)?;
        let is_url = ObjectUrl::is_meant(&path);
        if is_url {
            self.object_url(node, &path)?;
        }
        match pattern::parse(&path) {
            Ok(files) => {
                if let FilePattern::Single(single) = &files
                    && !is_url
                    && !self.root.join(single).is_file()
                {
                    self.faults.push(
                        Diagnostic::error(codes::MISSING_FILE, format!("the file `{path}` of {what} is not there"))
                            .at(node.spot.of(self.file))
                            .with_remedy("put the file there, or write its path from the project folder"),
                    );
                }
                Some((files, path))
            }
            Err(why) => {
                self.bad(
                    node,
                    format!("`files` of {what} cannot be read: {why}"),
                    "write date fields as `{YYYY}`, `{MM}`, `{DD}`, `{HH}` or together as `{YYYYMMDD}`",
                );
                None
            }
        }
    }

    /// How the object store of a source is reached.
    fn source_store(&mut self, node: &Node, path: &str) -> StoreOptions {
        if ObjectUrl::is_meant(path) {
            return self.store_options(node);
        }
        for key in ["endpoint", "region", "allow_http"] {
            if let Some(node) = node.get(key) {
                self.bad(
                    node,
                    format!("`{key}` has a meaning only for files in an object store"),
                    "remove it, or write `files` as a URL: `s3://bucket/events_{YYYYMMDD}.csv`",
                );
            }
        }
        StoreOptions::default()
    }

    fn source_format(&mut self, node: &Node, path: &str) -> Option<FileFormat> {
        let (format, place, message) = if let Some(word_node) = node.get("format") {
            let word = yaml::text(self.file, word_node, "`format`", self.faults)?;
            let message = format!("`format` cannot be `{word}`");
            (pattern::format_named(&word), word_node, message)
        } else {
            let message = "the file's name does not tell its format".to_owned();
            (pattern::format_of(path), node.get("files")?, message)
        };
        let Some(format) = format else {
            self.bad(
                place,
                message,
                "write `format: csv`, `format: json` or `format: parquet`",
            );
            return None;
        };
        Some(self.csv_words(node, format))
    }

    fn csv_words(&mut self, node: &Node, format: FileFormat) -> FileFormat {
        let (delimiter_node, nulls_node) = (node.get("delimiter"), node.get("nulls"));
        match format {
            FileFormat::Csv { mut delimiter, .. } => {
                if let Some(node) = delimiter_node {
                    let word = yaml::text(self.file, node, "`delimiter`", self.faults).unwrap_or_default();
                    match word.replace("\\t", "\t").chars().collect::<Vec<_>>().as_slice() {
                        [one] if one.is_ascii() => delimiter = *one,
                        _ => self.bad(
                            node,
                            format!("`delimiter` cannot be `{word}`"),
                            "write one ASCII character",
                        ),
                    }
                }
                let null_words = nulls_node
                    .map(|node| yaml::texts(self.file, node, "`nulls`", self.faults))
                    .unwrap_or_default();
                FileFormat::Csv { delimiter, null_words }
            }
            format @ (FileFormat::DbtSeed { .. } | FileFormat::JsonLines | FileFormat::Parquet) => {
                for node in [delimiter_node, nulls_node].into_iter().flatten() {
                    self.bad(node, "`delimiter` and `nulls` have a meaning only for CSV", "remove it");
                }
                format
            }
        }
    }

    fn source_columns(&mut self, node: &Node, what: &str) -> BTreeMap<String, String> {
        let Some(columns) = node.get("columns") else {
            return BTreeMap::new();
        };
        yaml::map(self.file, columns, &format!("`columns` of {what}"), self.faults)
            .iter()
            .filter_map(|entry| {
                let word = yaml::text(self.file, &entry.node, "a column's type", self.faults)?;
                Some((entry.key.clone(), word))
            })
            .collect()
    }
}
