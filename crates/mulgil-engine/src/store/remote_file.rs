//! A data file on its way into a bucket: small ones go in one request, large ones in parts, a few of
//! them at once. Written by a thread that may wait.

use std::io::{self, Write};

use object_store::{ObjectStoreExt as _, WriteMultipart, path::Path};
use tokio::runtime::Handle;

use super::{RemoteStore, Written};

/// Bytes of a part. Fewer make more requests, and S3 takes none below 5 MiB.
const PART_BYTES: usize = 8 << 20;
/// Parts of one file that are on their way at once.
const PARTS_AT_ONCE: usize = 2;

/// The file.
pub(crate) struct RemoteFile {
    store: RemoteStore,
    path: Path,
    runtime: Handle,
    waiting: Vec<u8>,
    upload: Option<WriteMultipart>,
    size: u64,
}

impl RemoteFile {
    /// Sends nothing yet.
    pub(super) fn new(store: RemoteStore, path: Path, runtime: Handle) -> Self {
        Self {
            store,
            path,
            runtime,
            waiting: Vec::new(),
            upload: None,
            size: 0,
        }
    }

    /// Bytes that it holds in memory.
    pub(super) fn held_bytes(&self) -> usize {
        let sent = if self.upload.is_some() {
            PARTS_AT_ONCE * PART_BYTES
        } else {
            0
        };
        self.waiting.len() + sent
    }

    /// Sends what waits; the file is there and durable then. When it was written is asked of the store,
    /// unless somebody knows it nearly.
    pub(super) fn finish(&mut self, nearly_ms: Option<i64>) -> io::Result<Written> {
        let rest = std::mem::take(&mut self.waiting);
        let (store, path) = (&self.store, &self.path);
        let sent = match self.upload.take() {
            None => self.runtime.block_on(store.put(path, rest.into())),
            Some(mut upload) => self.runtime.block_on(async {
                upload.put(rest.into());
                upload.finish().await
            }),
        };
        sent.map_err(io::Error::other)?;
        let modified_ms = if let Some(nearly) = nearly_ms {
            nearly
        } else {
            let found = self.runtime.block_on(store.head(path)).map_err(io::Error::other)?;
            found.last_modified.timestamp_millis()
        };
        Ok(Written {
            size: self.size,
            modified_ms,
        })
    }

    fn send_part(&mut self) -> io::Result<()> {
        let part = std::mem::take(&mut self.waiting);
        let (store, path) = (&self.store, &self.path);
        let upload = self.runtime.block_on(async {
            let mut upload = match self.upload.take() {
                Some(upload) => upload,
                None => WriteMultipart::new_with_chunk_size(store.put_multipart(path).await?, PART_BYTES),
            };
            match upload.wait_for_capacity(PARTS_AT_ONCE).await {
                Ok(()) => {
                    upload.put(part.into());
                    Ok(upload)
                }
                Err(error) => {
                    let _ = upload.abort().await;
                    Err(error)
                }
            }
        });
        self.upload = Some(upload.map_err(io::Error::other)?);
        Ok(())
    }
}

impl Write for RemoteFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PART_BYTES - self.waiting.len());
        self.waiting.extend_from_slice(&bytes[..taken]);
        self.size += taken as u64;
        if self.waiting.len() == PART_BYTES {
            self.send_part()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for RemoteFile {
    /// Parts of a file that was given up are taken back; a bucket's own rule removes what a kill leaves.
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take() {
            self.store
                .leave(async move { drop(upload.abort().await) }, &self.runtime);
        }
    }
}
