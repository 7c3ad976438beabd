//! What lies in the warehouse beside what a project declares: schemas, tables and views that people
//! made. Nothing is kept of it elsewhere: a schema is a folder, a table is a folder in it with a log,
//! and a view is one small object under the schema's `.views`.

use std::{collections::BTreeMap, path::PathBuf};

use futures::{StreamExt, TryStreamExt, stream};
use mulgil_core::{codes, diagnostic::Diagnostic, name::Relation, port::Fault};
use serde::{Deserialize, Serialize};

use crate::{names::Meaning, warehouse::Warehouse};

/// What says that a schema was made, and what for.
const SCHEMA_FILE: &str = ".schema.json";
/// The folder of a schema's views.
const VIEWS: &str = ".views";

/// Tables that are looked for at once.
const TABLES_AT_ONCE: usize = 16;

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
    pub(crate) async fn load(warehouse: &Warehouse, default_schema: &str) -> Result<Self, Fault> {
        let mut schemas = BTreeMap::from([(default_schema.to_owned(), BTreeMap::new())]);
        for schema in visible(warehouse.names_in(warehouse.root_folder()).await?.folders) {
            let found = entries(warehouse, &schema).await?;
            if found.is_made || schema == default_schema {
                schemas.insert(schema, found.entries);
            }
        }
        Ok(Self {
            default_schema: default_schema.to_owned(),
            schemas,
        })
    }

    /// As of a warehouse in which nothing lies, for what names nothing of it.
    pub(crate) fn empty(default_schema: &str) -> Self {
        Self {
            default_schema: default_schema.to_owned(),
            schemas: BTreeMap::from([(default_schema.to_owned(), BTreeMap::new())]),
        }
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

/// What lies in a schema's folder.
struct Found {
    entries: BTreeMap<String, Entry>,
    /// Whether anybody made the schema, or something in it.
    is_made: bool,
}

async fn entries(warehouse: &Warehouse, schema: &str) -> Result<Found, Fault> {
    let folder = warehouse.root_folder().join(schema);
    let names = warehouse.names_in(&folder).await?;
    let has_views = names.folders.iter().any(|name| name == VIEWS);
    let is_made = names.files.iter().any(|name| name == SCHEMA_FILE);
    let tables: Vec<Option<String>> = stream::iter(visible(names.folders))
        .map(|name| async {
            let relation = Relation {
                schema: schema.to_owned(),
                name,
            };
            let is_table = warehouse.has_table(&relation).await?;
            Ok::<_, Fault>(is_table.then_some(relation.name))
        })
        .buffered(TABLES_AT_ONCE)
        .try_collect()
        .await?;
    let mut entries: BTreeMap<String, Entry> = tables.into_iter().flatten().map(|name| (name, Entry::Table)).collect();
    if has_views {
        for (name, view) in views(warehouse, schema).await? {
            entries.insert(name, Entry::View(view));
        }
    }
    Ok(Found {
        is_made: is_made || !entries.is_empty(),
        entries,
    })
}

/// Names that are not the warehouse's own.
fn visible(names: Vec<String>) -> Vec<String> {
    names.into_iter().filter(|name| !name.starts_with('.')).collect()
}

/// Makes a schema.
pub(crate) async fn create_schema(warehouse: &Warehouse, schema: &str, comment: Option<String>) -> Result<(), Fault> {
    let path = warehouse.root_folder().join(schema).join(SCHEMA_FILE);
    warehouse.put(&path, to_json(&StoredSchema { comment })?).await
}

/// Removes a schema in which nothing lies any more.
pub(crate) async fn drop_schema(warehouse: &Warehouse, schema: &str) -> Result<(), Fault> {
    let path = warehouse.root_folder().join(schema).join(SCHEMA_FILE);
    warehouse.remove(&path).await
}

/// Makes or replaces a view.
pub(crate) async fn put_view(warehouse: &Warehouse, relation: &Relation, view: &StoredView) -> Result<(), Fault> {
    warehouse.put(&view_path(warehouse, relation), to_json(view)?).await
}

/// Removes a view.
pub(crate) async fn drop_view(warehouse: &Warehouse, relation: &Relation) -> Result<(), Fault> {
    warehouse.remove(&view_path(warehouse, relation)).await
}

fn view_path(warehouse: &Warehouse, relation: &Relation) -> PathBuf {
    let folder = warehouse.root_folder().join(&relation.schema).join(VIEWS);
    folder.join(format!("{}.json", relation.name))
}

async fn views(warehouse: &Warehouse, schema: &str) -> Result<Vec<(String, StoredView)>, Fault> {
    let folder = warehouse.root_folder().join(schema).join(VIEWS);
    let mut views = Vec::new();
    for name in warehouse.names_in(&folder).await?.files {
        let Some(view) = name.strip_suffix(".json") else {
            continue;
        };
        let path = folder.join(&name);
        let bytes = warehouse.get(&path).await?;
        let stored = serde_json::from_slice(&bytes).map_err(|error| damaged(&path, &error))?;
        views.push((view.to_owned(), stored));
    }
    Ok(views)
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
