//! Where the files of tables are: a folder of this machine or a bucket, with one promise, that what was
//! acknowledged survives a power loss. A bucket is in `remote.rs`; here is the local object store.
//!
//! Small objects (the entries of a table's log) are staged, written, synced, linked to their name,
//! and their folder is synced with every ancestor that had to be created. Data files are written
//! without a sync and remembered; before anything is put into a table's log, every remembered file
//! below that table is synced: durable data first, then the commit that names it. It never reads
//! by itself: reads and lists are those of object_store's local file system.

mod connect;
mod disk;
mod fault;
mod profile;
mod remote;
mod remote_file;
#[cfg(test)]
pub(crate) mod testing;
mod upload;

use std::{
    collections::BTreeSet,
    fmt,
    io::{self, Write},
    ops::Range,
    path::{Path as FsPath, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use mulgil_core::crash;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, RenameTargetMode, Result,
    local::LocalFileSystem, path::Path,
};

pub(crate) use connect::Stores;
pub(crate) use disk::{Disk, DiskFile, OsDisk};
pub(crate) use remote::RemoteStore;

use remote_file::RemoteFile;

/// The folder of a Delta table that holds its log.
pub(crate) const LOG_DIR: &str = "_delta_log";

/// Threads that sync the files of one commit: they wait for the disk, not for a processor, and the
/// file system gathers what they ask for into few writes of its journal.
const SYNC_THREADS: usize = 16;

/// A store of either kind. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) enum Store {
    /// A folder of this machine.
    Local(DurableStore),
    /// A bucket.
    Remote(RemoteStore),
}

impl Store {
    /// The same for Delta.
    pub(crate) fn objects(&self) -> Arc<dyn ObjectStore> {
        match self {
            Self::Local(store) => Arc::new(store.clone()),
            Self::Remote(store) => Arc::new(store.clone()),
        }
    }

    /// Begins a data file that no commit names yet: a path on disk, or a URL. It is durable once a log
    /// entry of its table has been put.
    pub(crate) fn create_data(&self, path: &FsPath) -> io::Result<DataFile> {
        match self {
            Self::Local(store) => store.create_data(path),
            Self::Remote(store) => store.create_data(path).map(DataFile::Remote),
        }
    }

    /// Removes data files that no commit names, as far as they can be removed.
    pub(crate) fn discard(&self, paths: &[PathBuf]) {
        match self {
            Self::Local(store) => store.discard(paths),
            Self::Remote(store) => store.discard(paths),
        }
    }

    /// Waits until what is being removed is gone.
    pub(crate) async fn settle(&self) {
        match self {
            Self::Local(_) => {}
            Self::Remote(store) => store.settle().await,
        }
    }
}

/// The local store. Cheap to clone; clones share what is remembered.
#[derive(Clone)]
pub(crate) struct DurableStore {
    reads: Arc<LocalFileSystem>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    disk: Box<dyn Disk>,
    unsynced: Mutex<Unsynced>,
    staged: AtomicU64,
}

/// What was written and is not yet known to be durable.
#[derive(Debug, Default)]
struct Unsynced {
    files: BTreeSet<PathBuf>,
    /// Folders with new names in them.
    dirs: BTreeSet<PathBuf>,
}

impl DurableStore {
    /// A store over a disk; its paths start at the root of the file system.
    pub(crate) fn new(disk: Box<dyn Disk>) -> Self {
        Self {
            reads: Arc::new(LocalFileSystem::new()),
            shared: Arc::new(Shared {
                disk,
                unsynced: Mutex::default(),
                staged: AtomicU64::new(0),
            }),
        }
    }

    /// Begins a data file that no commit names yet. It is durable once a log entry of its table has
    /// been put.
    pub(crate) fn create_data(&self, path: &FsPath) -> io::Result<DataFile> {
        let parent = parent(path)?;
        for created in self.shared.create_dirs(parent)? {
            self.shared.remember_dir(&created);
        }
        let file = self.shared.disk.create(path)?;
        self.shared.remember_dir(parent);
        self.shared.remember_file(path);
        Ok(DataFile::Local {
            file: io::BufWriter::with_capacity(1 << 18, file),
            path: path.to_owned(),
        })
    }

    /// Removes data files that no commit names, as far as they can be removed.
    pub(crate) fn discard(&self, paths: &[PathBuf]) {
        for path in paths {
            self.shared.forget(path);
            // What stays behind is an unreferenced file: it costs space, and never a wrong row.
            let _ = self.shared.disk.remove(path);
        }
    }

    /// Gives a folder another name, inside a folder that is made for it: at once and durably.
    pub(crate) fn set_aside(&self, folder: &FsPath, into: &FsPath) -> io::Result<()> {
        let shared = &self.shared;
        shared.create_dirs(into)?;
        let mut number = 0_u32;
        while into.join(number.to_string()).exists() {
            number += 1;
        }
        shared.disk.rename(folder, &into.join(number.to_string()))?;
        if let Some(above) = folder.parent() {
            shared.disk.sync_dir(above)?;
        }
        shared.disk.sync_dir(into)
    }

    /// Gives a folder another name, whose own folder is made for it: at once and durably.
    pub(crate) fn rename_folder(&self, from: &FsPath, to: &FsPath) -> io::Result<()> {
        let shared = &self.shared;
        let above = parent(to)?;
        for changed in shared.create_dirs(above)? {
            shared.disk.sync_dir(&changed)?;
        }
        shared.disk.rename(from, to)?;
        shared.disk.sync_dir(above)?;
        shared.disk.sync_dir(parent(from)?)
    }

    /// Writes a small object durably, in place of what is there.
    pub(crate) fn put_small(&self, path: &FsPath, bytes: &[u8]) -> io::Result<()> {
        self.shared.put(path, &[Bytes::copy_from_slice(bytes)], false)
    }

    /// Removes a small object durably.
    pub(crate) fn remove_small(&self, path: &FsPath) -> io::Result<()> {
        self.shared.disk.remove(path)?;
        self.shared.disk.sync_dir(parent(path)?)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        location: &Path,
        work: impl FnOnce(&Shared, &FsPath) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let path = self.reads.path_to_filesystem(location)?;
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || work(&shared, &path).map_err(|error| store_error(&path, error))).await?
    }
}

/// A data file being written.
pub(crate) enum DataFile {
    /// Its bytes go to the disk as they come.
    Local {
        file: io::BufWriter<Box<dyn DiskFile>>,
        path: PathBuf,
    },
    /// Its bytes go into a bucket, many at a time.
    Remote(RemoteFile),
}

/// A data file that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// Bytes.
    pub(crate) size: u64,
    /// When, in milliseconds since 1970.
    pub(crate) modified_ms: i64,
}

impl DataFile {
    /// Bytes that it holds in memory.
    pub(crate) fn held_bytes(&self) -> usize {
        match self {
            Self::Local { .. } => 0,
            Self::Remote(file) => file.held_bytes(),
        }
    }

    /// Ends the file; nothing is written to it after that. `nearly_ms` is when another file of the same
    /// fill was written: near enough where asking costs a request.
    pub(crate) fn finish(&mut self, nearly_ms: Option<i64>) -> io::Result<Written> {
        match self {
            Self::Local { file, path } => {
                file.flush()?;
                let on_disk = std::fs::metadata(path)?;
                let modified = on_disk.modified().ok();
                let since = modified.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
                Ok(Written {
                    size: on_disk.len(),
                    modified_ms: since.map_or(0, |since| since.as_millis() as i64),
                })
            }
            Self::Remote(file) => file.finish(nearly_ms),
        }
    }
}

impl Write for DataFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Local { file, .. } => file.write(bytes),
            Self::Remote(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Local { file, .. } => file.flush(),
            Self::Remote(file) => file.flush(),
        }
    }
}

impl Shared {
    fn remember_file(&self, path: &FsPath) {
        self.unsynced().files.insert(path.to_owned());
    }

    fn remember_dir(&self, path: &FsPath) {
        self.unsynced().dirs.insert(path.to_owned());
    }

    fn forget(&self, path: &FsPath) {
        self.unsynced().files.remove(path);
    }

    fn unsynced(&self) -> std::sync::MutexGuard<'_, Unsynced> {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates a folder with its ancestors; returns the folders that got a new name in them,
    /// outermost first.
    fn create_dirs(&self, path: &FsPath) -> io::Result<Vec<PathBuf>> {
        let missing: Vec<_> = path.ancestors().take_while(|dir| !dir.exists()).collect();
        let mut changed = Vec::with_capacity(missing.len());
        for dir in missing.into_iter().rev() {
            match self.disk.create_dir(dir) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                Ok(()) | Err(_) => changed.push(parent(dir)?.to_owned()),
            }
        }
        Ok(changed)
    }

    /// Writes an object durably: staged beside its name, synced, then linked or renamed to it.
    fn put(&self, path: &FsPath, payload: &[Bytes], create: bool) -> io::Result<()> {
        self.sync_below_log(path)?;
        let staged = self.stage(path, payload)?;
        if is_commit(path) {
            crash::point("files_written");
        }
        self.publish(&staged, path, create)
    }

    fn stage(&self, path: &FsPath, payload: &[Bytes]) -> io::Result<PathBuf> {
        let folder = parent(path)?;
        for changed in self.create_dirs(folder)? {
            self.disk.sync_dir(&changed)?;
        }
        let (staged, mut file) = self.open_staged(path)?;
        let written = payload
            .iter()
            .try_for_each(|bytes| file.write_all(bytes))
            .and_then(|()| file.sync());
        match written {
            Ok(()) => Ok(staged),
            Err(error) => {
                let _ = self.disk.remove(&staged);
                Err(error)
            }
        }
    }

    /// A fresh file beside the object. Names of the form `object#number` are invisible to lists.
    fn open_staged(&self, path: &FsPath) -> io::Result<(PathBuf, Box<dyn DiskFile>)> {
        loop {
            let number = self.staged.fetch_add(1, Ordering::Relaxed);
            let mut name = path.as_os_str().to_owned();
            name.push(format!("#{}{number:06}", std::process::id()));
            let staged = PathBuf::from(name);
            match self.disk.create(&staged) {
                Ok(file) => return Ok((staged, file)),
                // A process of the same number died here before us.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives a staged file its name and makes the name durable.
    fn publish(&self, staged: &FsPath, path: &FsPath, create: bool) -> io::Result<()> {
        let named = if create {
            self.disk.link(staged, path)
        } else {
            self.disk.rename(staged, path)
        };
        if create || named.is_err() {
            // A staged name that stays behind is invisible to lists.
            let _ = self.disk.remove(staged);
        }
        named?;
        self.disk.sync_dir(parent(path)?)
    }

    /// Before anything enters a table's log: makes every remembered file of the table durable.
    fn sync_below_log(&self, path: &FsPath) -> io::Result<()> {
        let Some(table) = path
            .parent()
            .filter(|folder| folder.file_name().is_some_and(|name| name == LOG_DIR))
            .and_then(FsPath::parent)
        else {
            return Ok(());
        };
        let (files, dirs) = {
            let unsynced = self.unsynced();
            let below = |set: &BTreeSet<PathBuf>| -> Vec<PathBuf> {
                set.iter().filter(|path| path.starts_with(table)).cloned().collect()
            };
            // The folders above a new table hold its name; they are few.
            let above = unsynced.dirs.iter().filter(|dir| table.starts_with(dir)).cloned();
            (
                below(&unsynced.files),
                above.chain(below(&unsynced.dirs)).collect::<BTreeSet<_>>(),
            )
        };
        self.sync_files(&files)?;
        for dir in dirs.iter().rev() {
            self.disk.sync_dir(dir)?;
        }
        let mut unsynced = self.unsynced();
        for file in &files {
            unsynced.files.remove(file);
        }
        for dir in &dirs {
            unsynced.dirs.remove(dir);
        }
        Ok(())
    }

    fn sync_files(&self, files: &[PathBuf]) -> io::Result<()> {
        let share = files.len().div_ceil(SYNC_THREADS).max(1);
        thread::scope(|scope| {
            let parts: Vec<_> = files
                .chunks(share)
                .map(|part| scope.spawn(|| part.iter().try_for_each(|file| self.disk.sync_file(file))))
                .collect();
            parts
                .into_iter()
                .try_for_each(|part| part.join().unwrap_or_else(|_| Err(io::Error::other("a sync panicked"))))
        })
    }
}

impl fmt::Debug for DurableStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DurableStore")
    }
}

impl fmt::Display for DurableStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("durable local file system")
    }
}

#[async_trait]
impl ObjectStore for DurableStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let create = match options.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => return Err(unsupported("put_opts with PutMode::Update")),
        };
        self.blocking(location, move |shared, path| {
            let parts: Vec<Bytes> = payload.into_iter().collect();
            shared.put(path, &parts, create)
        })
        .await?;
        Ok(PutResult {
            e_tag: None,
            version: None,
        })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let path = self.reads.path_to_filesystem(location)?;
        Ok(Box::new(upload::Upload::begin(Arc::clone(&self.shared), path)))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.reads.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.reads.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        locations
            .then(move |location| {
                let store = store.clone();
                async move {
                    let location = location?;
                    store
                        .blocking(&location, |shared, path| shared.disk.remove(path))
                        .await?;
                    Ok(location)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.reads.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.reads.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.reads.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let source = self.reads.path_to_filesystem(from)?;
        let create = matches!(options.mode, CopyMode::Create);
        self.blocking(to, move |shared, target| {
            let bytes = Bytes::from(std::fs::read(source)?);
            shared.put(target, &[bytes], create)
        })
        .await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let source = self.reads.path_to_filesystem(from)?;
        let create = matches!(options.target_mode, RenameTargetMode::Create);
        self.blocking(to, move |shared, target| {
            shared.sync_below_log(target)?;
            shared.disk.sync_file(&source)?;
            for changed in shared.create_dirs(parent(target)?)? {
                shared.disk.sync_dir(&changed)?;
            }
            shared.publish(&source, target, create)?;
            shared.disk.sync_dir(parent(&source)?)
        })
        .await
    }
}

/// The folder of a file; everything here has one.
fn parent(path: &FsPath) -> io::Result<&FsPath> {
    path.parent()
        .ok_or_else(|| io::Error::other("the root of the file system has no parent"))
}

/// Whether it is the entry of a version in a table's log.
fn is_commit(path: &FsPath) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
        && path
            .parent()
            .and_then(FsPath::file_name)
            .is_some_and(|name| name == LOG_DIR)
}

fn store_error(path: &FsPath, error: io::Error) -> Error {
    let (path, source) = (path.display().to_string(), Box::new(error));
    match source.kind() {
        io::ErrorKind::NotFound => Error::NotFound { path, source },
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source },
        io::ErrorKind::PermissionDenied => Error::PermissionDenied { path, source },
        _ => Error::Generic {
            store: "local",
            source: Box::new(FileError { path, source: *source }),
        },
    }
}

/// An I/O error with the file that it is about.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
struct FileError {
    path: String,
    source: io::Error,
}

fn unsupported(operation: &str) -> Error {
    Error::NotImplemented {
        operation: operation.to_owned(),
        implementer: "durable local file system".to_owned(),
    }
}
