//! A bucket of an object store: what a put has acknowledged is durable, and a commit is a put on the
//! condition that nothing has its name. Whether the store heeds that condition is tried out before the
//! first write; answers become coded faults where they arise.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    io,
    ops::Range,
    path::{Path as FsPath, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use deltalake::logstore::{
    LogStore, LogStoreFactory, ObjectStoreRef, StorageConfig, default_logstore, logstore_factories,
};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use mulgil_core::{
    crash,
    location::{ObjectUrl, StoreKind},
    port::Fault,
};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
    path::Path,
};
use tokio::{runtime::Handle, sync::OnceCell, task::JoinSet};
use url::Url;

use super::{
    LOG_DIR,
    fault::{self, Asked},
    remote_file::RemoteFile,
};

/// The folder of what is no table's: no schema has such a name.
const OWN_DIR: &str = ".mulgil";

/// The schemes of tables in buckets, as Delta and DataFusion know them inside this process.
const SCHEMES: [&str; 3] = ["s3://", "gs://", "az://"];

/// The bucket. Cheap to clone; clones share what was found out about it.
#[derive(Clone)]
pub(crate) struct RemoteStore(Arc<Shared>);

struct Shared {
    store: Arc<dyn ObjectStore>,
    root: ObjectUrl,
    endpoint: Option<String>,
    /// Whether it was tried out, and is safe to commit to.
    probed: OnceCell<()>,
    /// Removals under way.
    leaving: Mutex<JoinSet<()>>,
}

impl RemoteStore {
    /// Over a connection to the bucket; `endpoint` is named in faults.
    pub(super) fn new(store: Arc<dyn ObjectStore>, root: ObjectUrl, endpoint: Option<String>) -> Self {
        let registered = logstore_factories();
        for scheme in SCHEMES {
            if let Ok(scheme) = Url::parse(scheme) {
                registered.entry(scheme).or_insert_with(|| Arc::new(LogStores));
            }
        }
        Self(Arc::new(Shared {
            store,
            root,
            endpoint,
            probed: OnceCell::new(),
            leaving: Mutex::default(),
        }))
    }

    /// The bucket as Delta and DataFusion know it inside this process.
    pub(crate) fn bucket_url(&self) -> Result<Url, Fault> {
        let scheme = match self.0.root.kind {
            StoreKind::S3 => SCHEMES[0],
            StoreKind::Gcs => SCHEMES[1],
            StoreKind::Azure => SCHEMES[2],
        };
        let text = format!("{scheme}{}", self.0.root.bucket);
        Url::parse(&text).map_err(|_| crate::fault::no_url(FsPath::new(&text)))
    }

    /// A folder of the bucket as Delta knows it.
    pub(crate) fn folder_url(&self, folder: &FsPath) -> Result<Url, Fault> {
        let mut url = self.bucket_url()?;
        let path = self.path_of(folder).map_err(|error| crate::fault::io(&error, folder))?;
        url.set_path(&format!("/{path}/"));
        Ok(url)
    }

    /// The name of an object, of the URL that people know it by.
    pub(crate) fn path_of(&self, place: &FsPath) -> io::Result<Path> {
        let url = place
            .to_str()
            .and_then(|text| ObjectUrl::parse(text).ok())
            .filter(|url| url.root() == self.0.root)
            .ok_or_else(|| io::Error::other(format!("{} is no place in {}", place.display(), self.0.root)))?;
        Path::parse(&url.path).map_err(io::Error::other)
    }

    /// An object as people name it.
    pub(crate) fn name_of(&self, path: &Path) -> PathBuf {
        self.0.root.join(path.as_ref()).to_string().into()
    }

    /// Tries out, once in a process, whether the store refuses to write over what is there. Writes
    /// below a place that is to be written anyway, and takes it away again.
    pub(crate) async fn check_conditions(&self, below: &Path) -> Result<(), Fault> {
        self.0.probed.get_or_try_init(|| self.probe(below)).await.copied()
    }

    /// Tries out all that tables need of the store: to put on a condition, to read, to remove. Leaves nothing
    /// behind where it may remove.
    pub(crate) async fn try_out(&self, below: &Path) -> Result<(), Fault> {
        let path = probe_path(below);
        let tried = async {
            self.probe_at(&path).await?;
            let found = self.0.store.get(&path).await;
            found.map_err(|error| self.fault(&path, &error)).map(drop)
        };
        let tried = tried.await;
        crash::write();
        let removed = self.0.store.delete(&path).await;
        tried?;
        removed.map_err(|error| self.fault(&path, &error))
    }

    async fn probe(&self, below: &Path) -> Result<(), Fault> {
        let path = probe_path(below);
        let outcome = self.probe_at(&path).await;
        // What stays behind is a few bytes that nobody reads.
        let _ = self.delete(&path).await;
        outcome
    }

    async fn probe_at(&self, path: &Path) -> Result<(), Fault> {
        let folder = self.name_of(path);
        let place = folder.ancestors().nth(2).unwrap_or(&folder).display().to_string();
        for (turn, text) in ["first", "second"].into_iter().enumerate() {
            crash::write();
            let put = self.0.store.put_opts(path, text.into(), PutMode::Create.into()).await;
            match (turn, put) {
                (0, Ok(_)) => {}
                // The name is random: a first put that is refused was heeded the second time it was sent.
                (_, Err(Error::AlreadyExists { .. })) => return Ok(()),
                (_, Ok(_)) => return Err(fault::unsafe_store(&place)),
                (_, Err(error)) if fault::is_unknown_request(&error) => return Err(fault::unsafe_store(&place)),
                (_, Err(error)) => return Err(self.fault(path, &error)),
            }
        }
        Err(fault::unsafe_store(&place))
    }

    /// The fault of a failed request.
    pub(crate) fn fault(&self, path: &Path, error: &Error) -> Fault {
        let place = self.name_of(path);
        crate::fault::told_inside(error)
            .or_else(|| self.coded(&place.display().to_string(), error))
            .unwrap_or_else(|| crate::fault::io(&io::Error::other(error.to_string()), &place))
    }

    fn coded(&self, place: &str, error: &Error) -> Option<Fault> {
        fault::of(
            error,
            Asked {
                kind: self.0.root.kind,
                bucket: &self.0.root.bucket,
                place,
                endpoint: self.0.endpoint.as_deref(),
            },
        )
    }

    /// An error with its coded fault inside, so that it comes out below Delta and DataFusion.
    fn told(&self, path: Option<&Path>, error: Error) -> Error {
        if crate::fault::told_inside(&error).is_some() {
            return error;
        }
        let place = self.name_of(path.unwrap_or(&Path::default()));
        match self.coded(&place.display().to_string(), &error) {
            Some(fault) => Error::Generic {
                store: self.0.root.kind.title(),
                source: fault,
            },
            None => error,
        }
    }

    /// Begins a data file that no commit names yet; durable when it is finished.
    pub(super) fn create_data(&self, path: &FsPath) -> io::Result<RemoteFile> {
        let runtime = Handle::try_current().map_err(io::Error::other)?;
        Ok(RemoteFile::new(self.clone(), self.path_of(path)?, runtime))
    }

    /// Begins to remove data files that no commit names; [`Self::settle`] waits for the end.
    pub(super) fn discard(&self, paths: &[PathBuf]) {
        let paths: Vec<Path> = paths.iter().filter_map(|path| self.path_of(path).ok()).collect();
        // What stays behind is an unreferenced file: it costs space, and never a wrong row.
        let Some(runtime) = Handle::try_current().ok().filter(|_| !paths.is_empty()) else {
            return;
        };
        let store = self.clone();
        let removal = async move {
            let paths = futures::stream::iter(paths.into_iter().map(Ok)).boxed();
            store.delete_stream(paths).for_each(|_| std::future::ready(())).await;
        };
        self.leave(removal, &runtime);
    }

    /// Begins work that takes something back.
    pub(super) fn leave(&self, work: impl Future<Output = ()> + Send + 'static, runtime: &Handle) {
        self.leaving().spawn_on(work, runtime);
    }

    /// Waits for removals that have begun.
    pub(super) async fn settle(&self) {
        let leaving = std::mem::take(&mut *self.leaving());
        leaving.join_all().await;
    }

    fn leaving(&self) -> std::sync::MutexGuard<'_, JoinSet<()>> {
        self.0.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an object on the condition that nothing has its name. A request whose answer was lost is
    /// sent again, and may then be refused for what it did itself: so whatever is there is compared.
    async fn create(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let refused = match self.0.store.put_opts(path, payload.clone(), options).await {
            Err(error @ (Error::AlreadyExists { .. } | Error::Generic { .. })) => error,
            other => return other.map_err(|error| self.told(Some(path), error)),
        };
        match (self.holds(path, &payload).await, refused) {
            (Ok(true), _) => Ok(PutResult {
                e_tag: None,
                version: None,
            }),
            // Nobody can tell whether it is ours, so nobody may take it for another's.
            (Err(error), Error::AlreadyExists { .. }) => Err(error),
            (Ok(false) | Err(_), refused) => Err(self.told(Some(path), refused)),
        }
    }

    /// Whether an object has exactly these bytes.
    async fn holds(&self, path: &Path, payload: &PutPayload) -> Result<bool> {
        match self.get(path).await {
            Ok(found) => Ok(found.bytes().await? == Bytes::from(payload.clone())),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl fmt::Debug for RemoteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteStore({})", self.0.root)
    }
}

impl fmt::Display for RemoteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.root)
    }
}

#[async_trait]
impl ObjectStore for RemoteStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let is_create = matches!(options.mode, PutMode::Create);
        if is_create {
            self.check_conditions(&folder_of(path))
                .await
                .map_err(|fault| Error::Generic {
                    store: self.0.root.kind.title(),
                    source: fault,
                })?;
            if is_commit(path) {
                crash::point("files_written");
            }
        }
        crash::write();
        if is_create {
            return self.create(path, payload, options).await;
        }
        let put = self.0.store.put_opts(path, payload, options).await;
        put.map_err(|error| self.told(Some(path), error))
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        crash::write();
        match self.0.store.put_multipart_opts(path, options).await {
            Ok(upload) => Ok(Box::new(Parts {
                sent_to: upload,
                store: self.clone(),
                path: path.clone(),
            })),
            Err(error) => Err(self.told(Some(path), error)),
        }
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let found = self.0.store.get_opts(path, options).await;
        let mut found = found.map_err(|error| self.told(Some(path), error))?;
        if let GetResultPayload::Stream(bytes) = found.payload {
            let (store, path) = (self.clone(), path.clone());
            let told = bytes.map_err(move |error| store.told(Some(&path), error));
            found.payload = GetResultPayload::Stream(told.boxed());
        }
        Ok(found)
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let found = self.0.store.get_ranges(path, ranges).await;
        found.map_err(|error| self.told(Some(path), error))
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let counted = paths.inspect(|_| crash::write()).boxed();
        let deleted = self.0.store.delete_stream(counted);
        deleted.map_err(move |error| store.told(None, error)).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, place) = (self.clone(), prefix.cloned());
        let found = self.0.store.list(prefix);
        found.map_err(move |error| store.told(place.as_ref(), error)).boxed()
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, place) = (self.clone(), prefix.cloned());
        let found = self.0.store.list_with_offset(prefix, offset);
        found.map_err(move |error| store.told(place.as_ref(), error)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let found = self.0.store.list_with_delimiter(prefix).await;
        found.map_err(|error| self.told(prefix, error))
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        crash::write();
        let copied = self.0.store.copy_opts(from, to, options).await;
        copied.map_err(|error| self.told(Some(to), error))
    }
}

/// An upload in parts, each of which counts as a write.
#[derive(Debug)]
struct Parts {
    sent_to: Box<dyn MultipartUpload>,
    store: RemoteStore,
    path: Path,
}

#[async_trait]
impl MultipartUpload for Parts {
    fn put_part(&mut self, part: PutPayload) -> UploadPart {
        let (store, path) = (self.store.clone(), self.path.clone());
        crash::write();
        let put = self.sent_to.put_part(part);
        Box::pin(async move { put.await.map_err(|error| store.told(Some(&path), error)) })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        crash::write();
        let completed = self.sent_to.complete().await;
        completed.map_err(|error| self.store.told(Some(&self.path), error))
    }

    async fn abort(&mut self) -> Result<()> {
        self.sent_to.abort().await
    }
}

/// Delta asks for the log of a table by the scheme of its URL; the store comes with the table.
struct LogStores;

impl LogStoreFactory for LogStores {
    fn with_options(
        &self,
        table: ObjectStoreRef,
        bucket: ObjectStoreRef,
        location: &Url,
        options: &StorageConfig,
    ) -> deltalake::DeltaResult<Arc<dyn LogStore>> {
        Ok(default_logstore(table, bucket, location, options))
    }
}

/// A name that no other probe has.
fn probe_path(below: &Path) -> Path {
    let random = RandomState::new().hash_one(std::process::id());
    below.clone().join(OWN_DIR).join(format!("probe-{random:016x}"))
}

/// The folder that an object lies in.
fn folder_of(path: &Path) -> Path {
    let text = path.as_ref().rsplit_once('/').map_or("", |(folder, _)| folder);
    Path::parse(text).unwrap_or_default()
}

/// Whether it is the entry of a version in a table's log.
fn is_commit(path: &Path) -> bool {
    path.extension() == Some("json") && folder_of(path).filename() == Some(LOG_DIR)
}
