//! An upload in parts to the durable store: staged in order, synced and named when it completes.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use futures::FutureExt;
use object_store::{Error, MultipartUpload, PutPayload, PutResult, Result, UploadPart};

use super::{Shared, parent, store_error};
use crate::store::DiskFile;

/// An upload under way. Its parts are written in the order in which they were handed over.
pub(super) struct Upload {
    shared: Arc<Shared>,
    path: PathBuf,
    staged: Arc<Mutex<Staged>>,
}

/// The staged file, made at the first part.
#[derive(Default)]
struct Staged {
    open: Option<(PathBuf, Box<dyn DiskFile>)>,
    /// Parts that came before their turn, by number.
    early: std::collections::BTreeMap<u64, PutPayload>,
    next: u64,
    handed: u64,
}

impl Upload {
    /// Begins an upload to a path.
    pub(super) fn begin(shared: Arc<Shared>, path: PathBuf) -> Self {
        Self {
            shared,
            path,
            staged: Arc::default(),
        }
    }

    /// Runs work on the staged file where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared, &std::path::Path, &mut Staged) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (shared, path, staged) = (Arc::clone(&self.shared), self.path.clone(), Arc::clone(&self.staged));
        tokio::task::spawn_blocking(move || {
            let mut staged = staged.lock().unwrap_or_else(PoisonError::into_inner);
            work(&shared, &path, &mut staged).map_err(|error| store_error(&path, error))
        })
        .await?
    }
}

impl Staged {
    fn file(&mut self, shared: &Shared, path: &std::path::Path) -> io::Result<&mut Box<dyn DiskFile>> {
        if self.open.is_none() {
            for changed in shared.create_dirs(parent(path)?)? {
                shared.disk.sync_dir(&changed)?;
            }
            self.open = Some(shared.open_staged(path)?);
        }
        self.open
            .as_mut()
            .map(|(_, file)| file)
            .ok_or_else(|| io::Error::other("the staged file is gone"))
    }

    /// Takes a part; writes every part whose turn has come.
    fn take(&mut self, shared: &Shared, path: &std::path::Path, number: u64, part: PutPayload) -> io::Result<()> {
        self.early.insert(number, part);
        while let Some(part) = self.early.remove(&self.next) {
            let file = self.file(shared, path)?;
            part.iter().try_for_each(|bytes| file.write_all(bytes))?;
            self.next += 1;
        }
        Ok(())
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let number = {
            let mut staged = self.staged.lock().unwrap_or_else(PoisonError::into_inner);
            staged.handed += 1;
            staged.handed - 1
        };
        let (shared, path, staged) = (Arc::clone(&self.shared), self.path.clone(), Arc::clone(&self.staged));
        async move {
            tokio::task::spawn_blocking(move || {
                let mut staged = staged.lock().unwrap_or_else(PoisonError::into_inner);
                staged
                    .take(&shared, &path, number, data)
                    .map_err(|error| store_error(&path, error))
            })
            .await
            .map_err(Error::from)?
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.blocking(|shared, path, staged| {
            staged.file(shared, path)?.sync()?;
            let Some((name, _)) = staged.open.take() else {
                return Err(io::Error::other("the staged file is gone"));
            };
            shared.sync_below_log(path)?;
            shared.publish(&name, path, false)
        })
        .await?;
        Ok(PutResult {
            e_tag: None,
            version: None,
        })
    }

    async fn abort(&mut self) -> Result<()> {
        self.blocking(|shared, _, staged| match staged.open.take() {
            Some((name, _)) => shared.disk.remove(&name),
            None => Ok(()),
        })
        .await
    }
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
