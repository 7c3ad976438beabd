//! Where the tables lie: `<warehouse>/<schema>/<name>`, each a Delta table, in a folder or in a bucket.
//! Opens them anew each time, which costs less than keeping one open does after many commits.

use std::{
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use deltalake::{DeltaTable, DeltaTableBuilder, logstore::LogStoreRef};
use futures::{StreamExt, TryStreamExt, stream};
use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    location::Location,
    name::Relation,
    port::{EngineConfig, Fault},
    project::Source,
};
use object_store::{Error, ObjectStore as _, ObjectStoreExt as _, path::Path as ObjectPath};
use url::Url;

use crate::{
    fault,
    materialize::parts,
    source::Files,
    store::{Disk, DurableStore, LOG_DIR, RemoteStore, Store, Stores},
};

/// Where tables lie that were dropped and are not removed yet; no schema has such a name.
const DROPPED: &str = ".dropped";

/// Entries of a log that are asked for at once.
const ENTRIES_AT_ONCE: usize = 16;

/// Objects that one request removes at most.
const REMOVED_AT_ONCE: usize = 1_000;

/// The warehouse and the store that writes to it.
pub(crate) struct Warehouse {
    root: PathBuf,
    /// As people name it: a path on disk, or a URL.
    folder: PathBuf,
    store: Store,
    stores: Stores,
    partitions: usize,
    memory_bytes: u64,
}

impl Warehouse {
    /// Over a disk, or over a bucket. Nothing is created before the first table is written, and nobody
    /// is spoken to.
    pub(crate) fn new(config: &EngineConfig, disk: Box<dyn Disk>) -> Result<Self, Fault> {
        let own = match &config.warehouse {
            Location::Folder(_) => None,
            Location::Bucket { url, options } => Some((url.kind, options.clone())),
        };
        let stores = Stores::new(config.environment.clone(), own);
        let (folder, store) = match &config.warehouse {
            Location::Folder(folder) => (
                std::path::absolute(folder).map_err(|error| fault::io(&error, folder))?,
                Store::Local(DurableStore::new(disk)),
            ),
            Location::Bucket { url, options } => (url.to_string().into(), Store::Remote(stores.of(url, options)?)),
        };
        Ok(Self {
            root: config.root.clone(),
            folder,
            store,
            stores,
            partitions: config.partitions.max(1),
            memory_bytes: config.memory_bytes,
        })
    }

    /// Where the files of a source are: paths start in the project folder.
    pub(crate) fn files(&self, source: &Source) -> Result<Files, Fault> {
        Files::of(&self.root, &self.stores, source)
    }

    /// The store that all tables are written through.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Threads that one fill may use.
    pub(crate) fn partitions(&self) -> usize {
        self.partitions
    }

    /// Bytes that files being written may hold in memory together.
    pub(crate) fn writer_bytes(&self) -> usize {
        const LEAST: u64 = 64 << 20;
        (self.memory_bytes / 4).max(LEAST) as usize
    }

    /// The project folder, where the paths of files start.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where the schemas lie, as people name it: a path on disk, or a URL.
    pub(crate) fn root_folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a small object, at once and durably, in place of what is there.
    pub(crate) async fn put(&self, path: &Path, bytes: Vec<u8>) -> Result<(), Fault> {
        match &self.store {
            Store::Local(store) => store.put_small(path, &bytes).map_err(|error| fault::io(&error, path)),
            Store::Remote(store) => {
                let place = place_of(store, path)?;
                let put = store.put(&place, bytes.into()).await;
                put.map(|_| ()).map_err(|error| store.fault(&place, &error))
            }
        }
    }

    /// A small object.
    pub(crate) async fn get(&self, path: &Path) -> Result<Vec<u8>, Fault> {
        match &self.store {
            Store::Local(_) => std::fs::read(path).map_err(|error| fault::io(&error, path)),
            Store::Remote(store) => {
                let place = place_of(store, path)?;
                let bytes = match store.get(&place).await {
                    Ok(object) => object.bytes().await,
                    Err(error) => Err(error),
                };
                let bytes = bytes.map_err(|error| store.fault(&place, &error))?;
                Ok(bytes.to_vec())
            }
        }
    }

    /// Removes a small object; nothing where there is none.
    pub(crate) async fn remove(&self, path: &Path) -> Result<(), Fault> {
        match &self.store {
            Store::Local(store) => match store.remove_small(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(fault::io(&error, path)),
                Ok(()) | Err(_) => Ok(()),
            },
            Store::Remote(store) => {
                let place = place_of(store, path)?;
                match store.delete(&place).await {
                    Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
                    Err(error) => Err(store.fault(&place, &error)),
                }
            }
        }
    }

    /// The names in a folder; none where there is no such folder.
    pub(crate) async fn names_in(&self, folder: &Path) -> Result<NamesIn, Fault> {
        match &self.store {
            Store::Local(_) => names_on_disk(folder),
            Store::Remote(store) => {
                let place = place_of(store, folder)?;
                let listed = store.list_with_delimiter(Some(&place)).await;
                let listed = listed.map_err(|error| store.fault(&place, &error))?;
                let last = |path: &ObjectPath| path.filename().map(str::to_owned);
                Ok(NamesIn {
                    folders: listed.common_prefixes.iter().filter_map(last).collect(),
                    files: listed
                        .objects
                        .iter()
                        .filter_map(|object| last(&object.location))
                        .collect(),
                })
            }
        }
    }

    /// The folder of a relation's table as people name it: a path on disk, or a URL.
    pub(crate) fn folder(&self, relation: &Relation) -> PathBuf {
        self.folder.join(&relation.schema).join(&relation.name)
    }

    /// Makes sure, before anything is written, that two writers cannot write over each other.
    pub(crate) async fn check_writes(&self) -> Result<(), Fault> {
        match &self.store {
            // A hard link is refused where its name is taken.
            Store::Local(_) => Ok(()),
            Store::Remote(store) => {
                let below = store.path_of(&self.folder);
                let below = below.map_err(|error| fault::io(&error, &self.folder))?;
                store.check_conditions(&below).await
            }
        }
    }

    /// Tries out whether the store of the tables can be written, read and removed from; leaves nothing.
    pub(crate) async fn try_out(&self) -> Result<(), Fault> {
        match &self.store {
            Store::Local(_) => Ok(()),
            Store::Remote(store) => {
                let below = store.path_of(&self.folder);
                let below = below.map_err(|error| fault::io(&error, &self.folder))?;
                store.try_out(&below).await
            }
        }
    }

    /// The log of a relation's table, whether or not it is there.
    pub(crate) fn log_store(&self, relation: &Relation) -> Result<LogStoreRef, Fault> {
        let folder = self.folder(relation);
        let url = match &self.store {
            Store::Local(_) => Url::from_directory_path(&folder).map_err(|()| fault::no_url(&folder))?,
            Store::Remote(store) => store.folder_url(&folder)?,
        };
        DeltaTableBuilder::from_url(url.clone())
            .and_then(|builder| builder.with_storage_backend(self.store.objects(), url).build_storage())
            .map_err(|error| fault::delta(&error, &folder))
    }

    /// Whether there is a table: whether its log has a commit.
    pub(crate) async fn has_table(&self, relation: &Relation) -> Result<bool, Fault> {
        let log = self.folder(relation).join(LOG_DIR);
        match &self.store {
            Store::Local(_) => has_entry_on_disk(&log),
            Store::Remote(store) => {
                let log = place_of(store, &log)?;
                let mut found = store.list(Some(&log));
                while let Some(object) = found.next().await {
                    let object = object.map_err(|error| store.fault(&log, &error))?;
                    if object.location.filename().is_some_and(is_entry) {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }

    /// The entries of a table's log for these versions, as they were written; nothing for one that was
    /// cleaned away.
    pub(crate) async fn read_entries(
        &self,
        relation: &Relation,
        versions: Vec<i64>,
    ) -> Result<Vec<Option<Bytes>>, Fault> {
        let log = self.folder(relation).join(LOG_DIR);
        match &self.store {
            Store::Local(_) => {
                let read = move || {
                    versions
                        .into_iter()
                        .map(|version| read_on_disk(&log, version))
                        .collect()
                };
                let read = tokio::task::spawn_blocking(read).await;
                read.map_err(|error| broke(&format!("reading a table's log broke: {error}")))?
            }
            Store::Remote(store) => {
                let log = &place_of(store, &log)?;
                stream::iter(versions)
                    .map(|version| read_object(store, log.clone().join(entry_name(version))))
                    .buffered(ENTRIES_AT_ONCE)
                    .try_collect()
                    .await
            }
        }
    }

    /// The entry of a version as people name it.
    pub(crate) fn entry(&self, relation: &Relation, version: i64) -> PathBuf {
        self.folder(relation).join(LOG_DIR).join(entry_name(version))
    }

    /// Removes a relation's table: it is gone at once, its files a little later. A folder that is no
    /// table is left alone, but for what a removal that was killed left of one.
    pub(crate) async fn drop_table(&self, relation: &Relation) -> Result<(), Fault> {
        let is_table = self.has_table(relation).await?;
        let folder = self.folder(relation);
        match &self.store {
            Store::Local(store) => self.drop_on_disk(store, is_table.then_some(&*folder)),
            Store::Remote(store) => drop_objects(store, &place_of(store, &folder)?, is_table).await,
        }
    }

    fn drop_on_disk(&self, store: &DurableStore, folder: Option<&Path>) -> Result<(), Fault> {
        let aside = self.folder.join(DROPPED);
        let to_fault = |error: io::Error| fault::io(&error, &aside);
        if let Some(folder) = folder {
            store.set_aside(folder, &aside).map_err(to_fault)?;
        }
        match std::fs::remove_dir_all(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(to_fault(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Gives a relation's table another name, at once and durably. A bucket has no folders that could.
    pub(crate) fn rename_table(&self, from: &Relation, to: &Relation) -> Result<(), Fault> {
        let (old, new) = (self.folder(from), self.folder(to));
        match &self.store {
            Store::Local(store) => store.rename_folder(&old, &new).map_err(|error| fault::io(&error, &new)),
            Store::Remote(_) => Err(Box::new(
                Diagnostic::error(
                    codes::UNSUPPORTED_SQL,
                    "a table in a bucket cannot be given another name",
                )
                .with_remedy(format!("make it anew: `create table {to} as select * from {from}`")),
            )),
        }
    }

    /// A relation's table with all its files known; nothing when there is none.
    pub(crate) async fn open(&self, relation: &Relation) -> Result<Option<DeltaTable>, Fault> {
        if !self.has_table(relation).await? {
            return Ok(None);
        }
        let mut table = DeltaTable::new(self.log_store(relation)?);
        table
            .load()
            .await
            .map_err(|error| fault::delta(&error, &self.folder(relation)))?;
        Ok(Some(table))
    }
}

/// What lies in a folder.
#[derive(Debug, Default)]
pub(crate) struct NamesIn {
    /// Folders.
    pub(crate) folders: Vec<String>,
    /// Files.
    pub(crate) files: Vec<String>,
}

fn names_on_disk(folder: &Path) -> Result<NamesIn, Fault> {
    let to_fault = |error: io::Error| fault::io(&error, folder);
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(NamesIn::default());
        }
        Err(error) => return Err(to_fault(error)),
    };
    let mut names = NamesIn::default();
    for entry in entries {
        let entry = entry.map_err(to_fault)?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if entry.path().is_dir() {
            names.folders.push(name);
        } else {
            names.files.push(name);
        }
    }
    Ok(names)
}

fn has_entry_on_disk(log: &Path) -> Result<bool, Fault> {
    let entries = match std::fs::read_dir(log) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(fault::io(&error, log)),
    };
    for entry in entries {
        let name = entry.map_err(|error| fault::io(&error, log))?.file_name();
        if name.to_str().is_some_and(is_entry) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_entry(name: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|kind| kind == "json" || kind == "parquet")
}

fn entry_name(version: i64) -> String {
    format!("{version:020}.json")
}

fn read_on_disk(log: &Path, version: i64) -> Result<Option<Bytes>, Fault> {
    let path = log.join(entry_name(version));
    match std::fs::read(&path) {
        Ok(bytes) => Ok(Some(bytes.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(fault::io(&error, &path)),
    }
}

async fn read_object(store: &RemoteStore, path: ObjectPath) -> Result<Option<Bytes>, Fault> {
    let read = async { store.get(&path).await?.bytes().await };
    match read.await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(store.fault(&path, &error)),
    }
}

fn place_of(store: &RemoteStore, folder: &Path) -> Result<ObjectPath, Fault> {
    store.path_of(folder).map_err(|error| fault::io(&error, folder))
}

/// Removes all that lies in a table's folder. Its log goes first and from its newest entry, so that a
/// kill leaves an older version of the table, or no table and files that nobody reads.
async fn drop_objects(store: &RemoteStore, folder: &ObjectPath, is_table: bool) -> Result<(), Fault> {
    let to_fault = |error: &Error| store.fault(folder, error);
    let found: Vec<ObjectPath> = store
        .list(Some(folder))
        .map_ok(|object| object.location)
        .try_collect()
        .await
        .map_err(|error| to_fault(&error))?;
    let log = folder.clone().join(LOG_DIR);
    let (mut entries, files): (Vec<_>, Vec<_>) = found
        .into_iter()
        .filter(|path| is_table || path.filename().is_some_and(parts::is_ours))
        .partition(|path| path.prefix_matches(&log));
    entries.sort_by_cached_key(order_of_removal);
    for some in entries.chunks(REMOVED_AT_ONCE).chain(files.chunks(REMOVED_AT_ONCE)) {
        let paths: Vec<_> = some.iter().cloned().map(Ok).collect();
        let removed = store.delete_stream(stream::iter(paths).boxed());
        let removed: Result<Vec<_>, _> = removed.try_collect().await;
        removed.map_err(|error| to_fault(&error))?;
    }
    Ok(())
}

/// First what tells of checkpoints and what they are, then commits from the newest.
fn order_of_removal(path: &ObjectPath) -> (bool, std::cmp::Reverse<String>) {
    let name = path.filename().unwrap_or_default();
    let is_commit = Path::new(name).extension().is_some_and(|kind| kind == "json");
    (is_commit, std::cmp::Reverse(name.to_owned()))
}

fn broke(what: &str) -> Fault {
    Box::new(Diagnostic::error(codes::BUG, what))
}
