//! What lies in the warehouse beside what a project declares: schemas, tables and views that people
//! made. Nothing is kept of it elsewhere: a schema is a folder, a table is a folder in it with a log,
//! and a view is one small object under the schema's `.views`.

use std::{collections::BTreeMap, io, path::PathBuf};

use mulgil_core::{codes, diagnostic::Diagnostic, name::Relation, port::Fault};
use serde::{Deserialize, Serialize};

use crate::{fault, names::Meaning, store::LOG_DIR, warehouse::Warehouse};

/// What says that a schema was made, and what for.
const SCHEMA_FILE: &str = ".schema.json";
/// The folder of a schema's views.
const VIEWS: &str = ".views";

/// A view that a person made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredView {
    /// Its query, as it was typed.
    pub(crate) sql: String,
    /// The tables and views that it reads, by themselves.
    pub(crate) reads: Vec<Relation>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) comment: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct StoredSchema {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

/// What lies in one place of a schema.
#[derive(Clone, Debug)]
enum Entry {
    Table,
    View(StoredView),
}

/// All schemas of a warehouse with their tables and views, at one moment.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    default_schema: String,
    schemas: BTreeMap<String, BTreeMap<String, Entry>>,
}

impl Catalog {
    /// Looks into a warehouse. The default schema is there even if nothing lies in it.
    pub(crate) fn load(warehouse: &Warehouse, default_schema: &str) -> Result<Self, Fault> {
        let mut schemas = BTreeMap::from([(default_schema.to_owned(), BTreeMap::new())]);
        for schema in folders(&warehouse.root_folder())? {
            let folder = warehouse.root_folder().join(&schema);
            let mut entries = BTreeMap::new();
            for name in folders(&folder)? {
                if folder.join(&name).join(LOG_DIR).is_dir() {
                    entries.insert(name, Entry::Table);
                }
            }
            for (name, view) in views(warehouse, &schema)? {
                entries.insert(name, Entry::View(view));
            }
            let is_made = !entries.is_empty() || folder.join(SCHEMA_FILE).is_file();
            if is_made || schema == default_schema {
                schemas.insert(schema, entries);
            }
        }
        Ok(Self {
            default_schema: default_schema.to_owned(),
            schemas,
        })
    }

    /// The schema of names that are written without one.
    pub(crate) fn default_schema(&self) -> &str {
        &self.default_schema
    }

    /// All schemas.
    pub(crate) fn schemas(&self) -> impl Iterator<Item = &str> {
        self.schemas.keys().map(String::as_str)
    }

    /// Whether there is such a schema.
    pub(crate) fn has_schema(&self, schema: &str) -> bool {
        self.schemas.contains_key(schema)
    }

    /// What the names of a schema mean.
    pub(crate) fn of<'a>(&'a self, schema: &'a str) -> impl Iterator<Item = (&'a str, Meaning)> {
        self.schemas
            .get(schema)
            .into_iter()
            .flatten()
            .map(move |(name, entry)| {
                let meaning = match entry {
                    Entry::Table => Meaning::Stored(Relation {
                        schema: schema.to_owned(),
                        name: name.clone(),
                    }),
                    Entry::View(view) => Meaning::View(view.clone()),
                };
                (name.as_str(), meaning)
            })
    }

    /// A view.
    pub(crate) fn view(&self, relation: &Relation) -> Option<&StoredView> {
        match self.schemas.get(&relation.schema)?.get(&relation.name)? {
            Entry::View(view) => Some(view),
            Entry::Table => None,
        }
    }

    /// The views that read a relation by themselves.
    pub(crate) fn readers(&self, relation: &Relation) -> Vec<Relation> {
        let all = self.schemas.iter().flat_map(|(schema, entries)| {
            entries.iter().filter_map(move |(name, entry)| match entry {
                Entry::View(view) if view.reads.contains(relation) => Some(Relation {
                    schema: schema.clone(),
                    name: name.clone(),
                }),
                Entry::View(_) | Entry::Table => None,
            })
        });
        all.collect()
    }

    /// The way on which a view would read itself, if it read these: from it and back to it.
    pub(crate) fn circle(&self, view: &Relation, reads: &[Relation]) -> Option<Vec<Relation>> {
        let mut ways: Vec<Vec<Relation>> = reads.iter().map(|read| vec![view.clone(), read.clone()]).collect();
        let mut seen = std::collections::BTreeSet::new();
        while let Some(way) = ways.pop() {
            let last = way.last()?.clone();
            if last == *view {
                return Some(way);
            }
            if !seen.insert(last.clone()) {
                continue;
            }
            for next in self.view(&last).map(|view| view.reads.clone()).unwrap_or_default() {
                let mut longer = way.clone();
                longer.push(next);
                ways.push(longer);
            }
        }
        None
    }
}

/// Makes a schema.
pub(crate) fn create_schema(warehouse: &Warehouse, schema: &str, comment: Option<String>) -> Result<(), Fault> {
    let path = warehouse.root_folder().join(schema).join(SCHEMA_FILE);
    warehouse.put(&path, &to_json(&StoredSchema { comment })?)
}

/// Removes a schema in which nothing lies any more.
pub(crate) fn drop_schema(warehouse: &Warehouse, schema: &str) -> Result<(), Fault> {
    warehouse.remove(&warehouse.root_folder().join(schema).join(SCHEMA_FILE))
}

/// Makes or replaces a view.
pub(crate) fn put_view(warehouse: &Warehouse, relation: &Relation, view: &StoredView) -> Result<(), Fault> {
    warehouse.put(&view_path(warehouse, relation), &to_json(view)?)
}

/// Removes a view.
pub(crate) fn drop_view(warehouse: &Warehouse, relation: &Relation) -> Result<(), Fault> {
    warehouse.remove(&view_path(warehouse, relation))
}

fn view_path(warehouse: &Warehouse, relation: &Relation) -> PathBuf {
    let folder = warehouse.root_folder().join(&relation.schema).join(VIEWS);
    folder.join(format!("{}.json", relation.name))
}

fn views(warehouse: &Warehouse, schema: &str) -> Result<Vec<(String, StoredView)>, Fault> {
    let folder = warehouse.root_folder().join(schema).join(VIEWS);
    let mut views = Vec::new();
    for name in entries(&folder)? {
        let Some(view) = name.strip_suffix(".json") else {
            continue;
        };
        let path = folder.join(&name);
        let bytes = std::fs::read(&path).map_err(|error| fault::io(&error, &path))?;
        let stored = serde_json::from_slice(&bytes).map_err(|error| damaged(&path, &error))?;
        views.push((view.to_owned(), stored));
    }
    Ok(views)
}

/// The folders in a folder, but for those that are ours.
fn folders(folder: &std::path::Path) -> Result<Vec<String>, Fault> {
    let names = entries(folder)?.into_iter();
    Ok(names
        .filter(|name| !name.starts_with('.') && folder.join(name).is_dir())
        .collect())
}

fn entries(folder: &std::path::Path) -> Result<Vec<String>, Fault> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(fault::io(&error, folder)),
    };
    entries
        .map(|entry| Ok(entry.map_err(|error| fault::io(&error, folder))?.file_name()))
        .filter_map(|name: Result<std::ffi::OsString, Fault>| match name {
            Ok(name) => name.into_string().ok().map(Ok),
            Err(fault) => Some(Err(fault)),
        })
        .collect()
}

fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec_pretty(value)
        .map_err(|error| Box::new(Diagnostic::error(codes::BUG, format!("the catalog broke: {error}"))))
}

fn damaged(path: &std::path::Path, error: &serde_json::Error) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::TABLE_UNREADABLE,
            format!("the view in {} cannot be read: {error}", path.display()),
        )
        .with_remedy("put the file back from a backup, or remove it and make the view again"),
    )
}
