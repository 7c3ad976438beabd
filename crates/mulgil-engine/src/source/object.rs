//! A file in a bucket, read in ranges of one state: a range of another state is refused by the store.
//! The next range comes while the one before it is being read.

use std::{
    io::{self, Read},
    ops::Range,
    sync::Arc,
};

use bytes::Bytes;
use datafusion::{
    arrow::{array::RecordBatch, error::ArrowError},
    parquet::{
        arrow::{
            arrow_reader::ArrowReaderOptions,
            async_reader::{AsyncFileReader, ParquetRecordBatchStream},
        },
        errors::{ParquetError, Result as ParquetResult},
        file::metadata::{ParquetMetaData, ParquetMetaDataReader},
    },
};
use futures::{FutureExt, StreamExt, future::BoxFuture};
use object_store::{
    GetOptions, GetRange, OBJECT_STORE_COALESCE_DEFAULT, ObjectMeta, ObjectStore as _, coalesce_ranges,
};
use tokio::{runtime::Handle, task::JoinHandle};

use super::files::Bucket;

/// Bytes of a range.
const RANGE_BYTES: u64 = 8 << 20;

/// The file, in the state in which it was opened. Cheap to clone.
#[derive(Clone)]
pub(super) struct Object {
    bucket: Bucket,
    found: Arc<ObjectMeta>,
}

impl Object {
    /// Of a bucket, as it was found.
    pub(super) fn new(bucket: Bucket, found: ObjectMeta) -> Self {
        Self {
            bucket,
            found: Arc::new(found),
        }
    }

    /// Whether the store tells its states apart by itself.
    pub(super) fn is_pinned(&self) -> bool {
        self.found.e_tag.is_some()
    }

    /// What waits for its bytes.
    pub(super) fn runtime(&self) -> &Handle {
        &self.bucket.runtime
    }

    /// Its bytes from the first.
    pub(super) fn reader(self) -> ObjectReader {
        ObjectReader {
            object: self,
            asked: 0,
            next: None,
            now: Bytes::new(),
        }
    }

    async fn range(&self, range: Range<u64>) -> object_store::Result<Bytes> {
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            if_match: self.found.e_tag.clone(),
            ..GetOptions::default()
        };
        let found = self.bucket.store.get_opts(&self.found.location, options).await?;
        found.bytes().await
    }
}

/// Its bytes, one after the other.
pub(super) struct ObjectReader {
    object: Object,
    /// How far ranges were asked for.
    asked: u64,
    next: Option<JoinHandle<object_store::Result<Bytes>>>,
    now: Bytes,
}

impl ObjectReader {
    /// Asks for the range after those that were asked for, if there is one.
    fn ask(&mut self) {
        let range = self.asked..(self.asked + RANGE_BYTES).min(self.object.found.size);
        if range.is_empty() {
            return;
        }
        self.asked = range.end;
        let object = self.object.clone();
        let coming = async move { object.range(range).await };
        self.next = Some(self.object.runtime().spawn(coming));
    }
}

impl Read for ObjectReader {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        while self.now.is_empty() && !bytes.is_empty() {
            if self.next.is_none() {
                self.ask();
            }
            let Some(next) = self.next.take() else { return Ok(0) };
            let came = self.object.runtime().block_on(next).map_err(io::Error::other)?;
            self.now = came.map_err(io::Error::other)?;
            self.ask();
        }
        let count = bytes.len().min(self.now.len());
        bytes[..count].copy_from_slice(&self.now.split_to(count));
        Ok(count)
    }
}

impl Drop for ObjectReader {
    fn drop(&mut self) {
        if let Some(next) = &self.next {
            next.abort();
        }
    }
}

impl AsyncFileReader for Object {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.range(range).map(|bytes| bytes.map_err(external)).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        async move {
            coalesce_ranges(&ranges, |range| self.range(range), OBJECT_STORE_COALESCE_DEFAULT)
                .await
                .map_err(external)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            let size = self.found.size;
            let reader = ParquetMetaDataReader::new().with_arrow_reader_options(options);
            reader.load_and_finish(self, size).await.map(Arc::new)
        }
        .boxed()
    }
}

fn external(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

/// The rows of a Parquet file in a bucket, for whoever may wait for them.
pub(super) struct ObjectRows {
    /// The rows as they come.
    pub(super) rows: ParquetRecordBatchStream<Object>,
    /// What waits for them.
    pub(super) runtime: Handle,
}

impl Iterator for ObjectRows {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.runtime.block_on(self.rows.next());
        next.map(|batch| batch.map_err(|error| ArrowError::ExternalError(Box::new(error))))
    }
}
