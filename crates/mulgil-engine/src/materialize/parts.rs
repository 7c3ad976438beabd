//! Writes the data files of a fill: one Parquet file for each partition, many open at once, within
//! a bound of memory. The files are named by no commit yet; unless they are kept, they are removed.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    path::{Path, PathBuf},
    sync::Arc,
};

use datafusion::{
    arrow::{
        array::{Array, RecordBatch},
        compute::concat_batches,
        datatypes::SchemaRef,
    },
    parquet::{
        arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
        basic::{Compression, ZstdLevel},
        errors::ParquetError,
        file::properties::{EnabledStatistics, WriterProperties},
        schema::types::ColumnPath,
    },
};
use mulgil_core::{codes, diagnostic::Diagnostic, port::Fault};
use tokio::{sync::mpsc, task::JoinSet};

use super::stats;
use crate::{
    fault,
    store::{DataFile, Store},
    warehouse::Warehouse,
};

/// Rows that are gathered for a partition before they are encoded together.
const GATHERED_ROWS: usize = 8_192;
/// Bytes after which a file is closed and the next one of its partition begun.
const FILE_BYTES: usize = 256 << 20;
/// Batches that may wait for each encoder.
const WAITING_BATCHES: usize = 8;

/// What the names of data files end with.
const ENDING: &str = ".parquet";

/// Whether a file has a name that only our data files have: `part-<claim>-<random>-<encoder>-<number>`.
pub(crate) fn is_ours(name: &str) -> bool {
    let Some(name) = name.strip_suffix(ENDING) else {
        return false;
    };
    let has_digits = |text: &str, least: usize| text.len() >= least && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_hex = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match name.split('-').collect::<Vec<_>>().as_slice() {
        ["part", claim, random, encoder, number] => {
            has_digits(claim, 8) && is_hex(random) && has_digits(encoder, 1) && has_digits(number, 5)
        }
        _ => false,
    }
}

/// One data file, closed.
#[derive(Debug)]
pub(crate) struct Part {
    /// Its name in the table's folder.
    pub(crate) name: String,
    /// The partition that it belongs to, as the caller counts them.
    pub(crate) partition: usize,
    /// Bytes.
    pub(crate) size: u64,
    /// When it was written, in milliseconds since 1970.
    pub(crate) modified_ms: i64,
    /// Delta's statistics of it.
    pub(crate) stats: String,
}

/// Data files that no commit names: removed when dropped, unless kept.
pub(crate) struct NewFiles {
    store: Store,
    paths: Vec<PathBuf>,
}

impl NewFiles {
    fn none(store: &Store) -> Self {
        Self {
            store: store.clone(),
            paths: Vec::new(),
        }
    }

    fn adopt(&mut self, mut other: Self) {
        self.paths.append(&mut other.paths);
    }

    /// A commit may name them from now on.
    pub(crate) fn keep(mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.paths)
    }
}

impl Drop for NewFiles {
    fn drop(&mut self) {
        self.store.discard(&self.paths);
    }
}

enum Message {
    Rows(usize, RecordBatch),
    Finish,
}

/// Where rows are handed over to be written; cheap to clone.
#[derive(Clone)]
pub(crate) struct PartSink {
    encoders: Vec<mpsc::Sender<Message>>,
}

impl PartSink {
    /// Hands over rows of a partition; waits while the encoders are behind.
    pub(crate) async fn write(&self, partition: usize, rows: RecordBatch) -> Result<(), Fault> {
        self.encoders[partition % self.encoders.len()]
            .send(Message::Rows(partition, rows))
            .await
            .map_err(|_| stopped())
    }
}

/// What an encoder gives: its files, or the fault that ended it; none where another one's did.
type Encoded = Result<(Vec<Part>, NewFiles), Option<Fault>>;

/// The encoders of one fill, each on a thread of its own.
pub(crate) struct Parts {
    sink: PartSink,
    tasks: JoinSet<Encoded>,
    store: Store,
}

impl Parts {
    /// Starts encoders for files of one form in a table's folder: a path on disk, or a URL.
    pub(crate) fn start(warehouse: &Warehouse, folder: &Path, schema: &SchemaRef, seq: i64) -> Self {
        let count = warehouse.partitions();
        let random = RandomState::new().hash_one(seq);
        let mut tasks = JoinSet::new();
        let mut encoders = Vec::with_capacity(count);
        for number in 0..count {
            let (sender, receiver) = mpsc::channel(WAITING_BATCHES);
            let encoder = Encoder {
                folder: folder.to_owned(),
                prefix: format!("part-{seq:08}-{random:016x}-{number}"),
                schema: Arc::clone(schema),
                budget: warehouse.writer_bytes() / count,
                open: HashMap::new(),
                closed: Vec::new(),
                files: NewFiles::none(warehouse.store()),
            };
            tasks.spawn_blocking(move || encoder.run(receiver));
            encoders.push(sender);
        }
        Self {
            sink: PartSink { encoders },
            tasks,
            store: warehouse.store().clone(),
        }
    }

    /// Where rows are handed over.
    pub(crate) fn sink(&self) -> PartSink {
        self.sink.clone()
    }

    /// Closes all files.
    pub(crate) async fn finish(self) -> Result<(Vec<Part>, NewFiles), Fault> {
        for encoder in &self.sink.encoders {
            // An encoder that is gone has failed; its own result says why.
            let _ = encoder.send(Message::Finish).await;
        }
        self.collect().await
    }

    /// Why writing stopped, if it did: the reason that the encoders have, else the one given.
    pub(crate) async fn failure(self, other: Fault) -> Fault {
        match self.collect().await {
            Err(fault) if fault.code != codes::BUG => fault,
            Err(_) | Ok(_) => other,
        }
    }

    async fn collect(self) -> Result<(Vec<Part>, NewFiles), Fault> {
        let Self { sink, mut tasks, store } = self;
        drop(sink);
        let (mut parts, mut files) = (Vec::new(), NewFiles::none(&store));
        let mut failed = None;
        while let Some(result) = tasks.join_next().await {
            match result {
                Ok(Ok((mut more, new))) => {
                    parts.append(&mut more);
                    files.adopt(new);
                }
                Ok(Err(fault)) => failed = fault.or(failed).or_else(|| Some(stopped())),
                Err(error) => {
                    failed = Some(Box::new(Diagnostic::error(
                        codes::BUG,
                        format!("an encoder broke: {error}"),
                    )));
                }
            }
        }
        match failed {
            Some(fault) => Err(fault),
            None => Ok((parts, files)),
        }
    }
}

fn stopped() -> Fault {
    Box::new(Diagnostic::error(
        codes::BUG,
        "the writing of data files stopped before all rows were there",
    ))
}

/// Encodes the partitions that fall to it.
struct Encoder {
    folder: PathBuf,
    prefix: String,
    schema: SchemaRef,
    budget: usize,
    open: HashMap<usize, Open>,
    closed: Vec<Part>,
    files: NewFiles,
}

/// A partition's rows that wait, and its file.
#[derive(Default)]
struct Open {
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
    waiting_bytes: usize,
    file: Option<OpenFile>,
}

struct OpenFile {
    writer: ArrowWriter<DataFile>,
    name: String,
    path: PathBuf,
}

impl OpenFile {
    fn held_bytes(&self) -> usize {
        self.writer.memory_size() + self.writer.inner().held_bytes()
    }
}

impl Encoder {
    /// Takes rows until it is told to finish. Without that its caller is gone, and so are its files.
    fn run(mut self, mut messages: mpsc::Receiver<Message>) -> Result<(Vec<Part>, NewFiles), Option<Fault>> {
        while let Some(message) = messages.blocking_recv() {
            match message {
                Message::Rows(partition, rows) => self.take(partition, rows).map_err(Some)?,
                Message::Finish => {
                    let partitions: Vec<usize> = self.open.keys().copied().collect();
                    for partition in partitions {
                        self.close(partition).map_err(Some)?;
                    }
                    return Ok((self.closed, self.files));
                }
            }
        }
        Err(None)
    }

    fn take(&mut self, partition: usize, rows: RecordBatch) -> Result<(), Fault> {
        let open = self.open.entry(partition).or_default();
        open.waiting_rows += rows.num_rows();
        open.waiting_bytes += bytes_of(&rows);
        open.waiting.push(rows);
        if open.waiting_rows >= GATHERED_ROWS {
            self.encode(partition)?;
        }
        if self.held_bytes() > self.budget {
            self.relieve()?;
        }
        Ok(())
    }

    /// Bytes that all open files hold in memory.
    fn held_bytes(&self) -> usize {
        self.open
            .values()
            .map(|open| open.waiting_bytes + open.file.as_ref().map_or(0, OpenFile::held_bytes))
            .sum()
    }

    /// Moves what the largest half of the open files hold to where they are written, as row groups of
    /// their own. A file that then still holds much, as it is sent in large pieces, is ended.
    fn relieve(&mut self) -> Result<(), Fault> {
        let mut sizes: Vec<(usize, usize)> = self
            .open
            .iter()
            .map(|(partition, open)| {
                let encoded = open.file.as_ref().map_or(0, OpenFile::held_bytes);
                (open.waiting_bytes + encoded, *partition)
            })
            .collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        let largest: Vec<usize> = sizes.iter().map(|(_, partition)| *partition).collect();
        let largest = &largest[..largest.len().div_ceil(2)];
        for partition in largest {
            self.encode(*partition)?;
            if let Some(file) = self.open.get_mut(partition).and_then(|open| open.file.as_mut()) {
                file.writer.flush().map_err(|error| write_fault(&error, &file.path))?;
            }
        }
        for partition in largest {
            if self.held_bytes() > self.budget / 2 {
                self.close(*partition)?;
            }
        }
        Ok(())
    }

    /// Encodes the rows of a partition that wait.
    fn encode(&mut self, partition: usize) -> Result<(), Fault> {
        let Some(open) = self.open.get_mut(&partition).filter(|open| !open.waiting.is_empty()) else {
            return Ok(());
        };
        let waiting = std::mem::take(&mut open.waiting);
        (open.waiting_rows, open.waiting_bytes) = (0, 0);
        let mut file = match open.file.take() {
            Some(file) => file,
            None => self.create()?,
        };
        concat_batches(&self.schema, &waiting)
            .map_err(ParquetError::from)
            .and_then(|rows| file.writer.write(&rows))
            .map_err(|error| write_fault(&error, &file.path))?;
        let is_full = file.writer.bytes_written() + file.writer.in_progress_size() >= FILE_BYTES;
        if let Some(open) = self.open.get_mut(&partition) {
            open.file = Some(file);
        }
        if is_full { self.close(partition) } else { Ok(()) }
    }

    fn create(&mut self) -> Result<OpenFile, Fault> {
        let name = format!("{}-{:05}{ENDING}", self.prefix, self.files.paths.len());
        let path = self.folder.join(&name);
        let file = self
            .files
            .store
            .create_data(&path)
            .map_err(|error| fault::io(&error, &path))?;
        self.files.paths.push(path.clone());
        let options = ArrowWriterOptions::new()
            .with_properties(properties(&self.schema))
            .with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(file, Arc::clone(&self.schema), options)
            .map_err(|error| write_fault(&error, &path))?;
        Ok(OpenFile { writer, name, path })
    }

    /// Ends the file of a partition.
    fn close(&mut self, partition: usize) -> Result<(), Fault> {
        self.encode(partition)?;
        let Some(mut file) = self.open.remove(&partition).and_then(|open| open.file) else {
            return Ok(());
        };
        let path = file.path;
        let metadata = file.writer.finish().map_err(|error| write_fault(&error, &path))?;
        let nearly_ms = self.closed.first().map(|part| part.modified_ms);
        let written = file.writer.inner_mut().finish(nearly_ms);
        let written = written.map_err(|error| fault::io(&error, &path))?;
        self.closed.push(Part {
            name: file.name,
            partition,
            size: written.size,
            modified_ms: written.modified_ms,
            stats: stats::of(&metadata, &self.schema),
        });
        Ok(())
    }
}

/// Small files of a day's rows are the rule: no page indexes, and the cheapest level of zstd. The bounds of
/// floating numbers leave NaN out, which is greater than all others, so they would hide its rows.
fn properties(schema: &SchemaRef) -> WriterProperties {
    let level = ZstdLevel::try_new(1).unwrap_or_default();
    let builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_created_by("mulgil".to_owned());
    let floating = schema.fields().iter().filter(|field| field.data_type().is_floating());
    let without_bounds = floating.fold(builder, |builder, field| {
        let column = ColumnPath::new(vec![field.name().clone()]);
        builder.set_column_statistics_enabled(column, EnabledStatistics::None)
    });
    without_bounds.build()
}

/// The bytes of a batch's own rows, also where they are a slice of something larger.
fn bytes_of(rows: &RecordBatch) -> usize {
    rows.columns()
        .iter()
        .map(|column| {
            column
                .to_data()
                .get_slice_memory_size()
                .unwrap_or_else(|_| column.get_array_memory_size())
        })
        .sum()
}

fn write_fault(error: &ParquetError, path: &Path) -> Fault {
    fault::parquet(error, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_files_are_told_from_those_of_others() {
        assert!(is_ours("part-00000003-e2aac3ac2bcd85b3-0-00001.parquet"));
        for other in [
            "part-00000-0f1b2c3d-1111-2222-3333-444455556666-c000.snappy.parquet",
            "part-00000003-e2aac3ac2bcd85b3-0-00001.csv",
            "part-00000003-e2aac3ac2bcd85b3-0.parquet",
            "orders.parquet",
        ] {
            assert!(!is_ours(other), "{other}");
        }
    }
}
