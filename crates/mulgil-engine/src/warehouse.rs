//! The folder in which the tables lie: `<warehouse>/<schema>/<name>`, each a Delta table. Opens them
//! anew each time, which costs less than keeping one open does after many commits.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use deltalake::{DeltaTable, DeltaTableBuilder, logstore::LogStoreRef};
use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    name::Relation,
    port::{EngineConfig, Fault},
};
use url::Url;

use crate::{
    fault,
    store::{Disk, DurableStore, LOG_DIR},
};

/// Where tables lie that were dropped and are not removed yet; no schema has such a name.
const DROPPED: &str = ".dropped";

/// The warehouse folder and the store that writes to it.
pub(crate) struct Warehouse {
    root: PathBuf,
    folder: PathBuf,
    store: DurableStore,
    partitions: usize,
    memory_bytes: u64,
}

impl Warehouse {
    /// Over a disk. Nothing is created before the first table is written.
    pub(crate) fn new(config: &EngineConfig, disk: Box<dyn Disk>) -> Result<Self, Fault> {
        let folder = std::path::absolute(&config.warehouse).map_err(|error| fault::io(&error, &config.warehouse))?;
        Ok(Self {
            root: config.root.clone(),
            folder,
            store: DurableStore::new(disk),
            partitions: config.partitions.max(1),
            memory_bytes: config.memory_bytes,
        })
    }

    /// The project folder, where sources' paths start.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The store that all tables are written through.
    pub(crate) fn store(&self) -> &DurableStore {
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

    /// The folder in which the schemas lie.
    pub(crate) fn root_folder(&self) -> PathBuf {
        self.folder.clone()
    }

    /// Writes a small object, at once and durably, in place of what is there.
    pub(crate) fn put(&self, path: &Path, bytes: &[u8]) -> Result<(), Fault> {
        self.store
            .put_small(path, bytes)
            .map_err(|error| fault::io(&error, path))
    }

    /// Removes a small object; nothing where there is none.
    pub(crate) fn remove(&self, path: &Path) -> Result<(), Fault> {
        match self.store.remove_small(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(fault::io(&error, path)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The folder of a relation's table.
    pub(crate) fn folder(&self, relation: &Relation) -> PathBuf {
        self.folder.join(&relation.schema).join(&relation.name)
    }

    /// The log of a relation's table, whether or not it is there.
    pub(crate) fn log_store(&self, relation: &Relation) -> Result<LogStoreRef, Fault> {
        let folder = self.folder(relation);
        let url = Url::from_directory_path(&folder).map_err(|()| no_url(&folder))?;
        DeltaTableBuilder::from_url(url.clone())
            .and_then(|builder| {
                builder
                    .with_storage_backend(Arc::new(self.store.clone()), url)
                    .build_storage()
            })
            .map_err(|error| fault::delta(&error, &folder))
    }

    /// Whether there is a table: whether its log has a commit.
    pub(crate) fn has_table(&self, relation: &Relation) -> Result<bool, Fault> {
        let log = self.folder(relation).join(LOG_DIR);
        let entries = match std::fs::read_dir(&log) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(fault::io(&error, &log)),
        };
        for entry in entries {
            let name = entry.map_err(|error| fault::io(&error, &log))?.file_name();
            let name = Path::new(&name);
            if name.extension().is_some_and(|kind| kind == "json" || kind == "parquet") {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes a relation's table: it is gone at once, its files a little later. A folder that is no
    /// table is left alone.
    pub(crate) fn drop_table(&self, relation: &Relation) -> Result<(), Fault> {
        let aside = self.folder.join(DROPPED);
        let to_fault = |error: std::io::Error| fault::io(&error, &aside);
        if self.has_table(relation)? {
            self.store.set_aside(&self.folder(relation), &aside).map_err(to_fault)?;
        }
        match std::fs::remove_dir_all(&aside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(to_fault(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Gives a relation's table another name, at once and durably.
    pub(crate) fn rename_table(&self, from: &Relation, to: &Relation) -> Result<(), Fault> {
        let (old, new) = (self.folder(from), self.folder(to));
        self.store
            .rename_folder(&old, &new)
            .map_err(|error| fault::io(&error, &new))
    }

    /// A relation's table with all its files known; nothing when there is none.
    pub(crate) async fn open(&self, relation: &Relation) -> Result<Option<DeltaTable>, Fault> {
        if !self.has_table(relation)? {
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

fn no_url(folder: &Path) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::DISK_FAILED,
            format!("the folder {} cannot be named by a URL", folder.display()),
        )
        .with_remedy("choose a warehouse folder whose name is plain text")
        .with_retry(Retry::AfterHumanFix),
    )
}
