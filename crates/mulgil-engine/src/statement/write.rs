//! What every statement that changes rows has in common: new rows become data files, rows that go are
//! taken out of the files that hold them, and one commit says both. A statement that changes no row
//! commits nothing.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use datafusion::{
    arrow::{
        array::{Array, AsArray, BooleanArray, Int64Array, RecordBatch, UInt64Array},
        compute::{filter_record_batch, take_record_batch},
        datatypes::{DataType, Fields, Int64Type, Schema, SchemaRef, UInt64Type},
        util::display::{ArrayFormatter, FormatOptions},
    },
    execution::SendableRecordBatchStream,
    physical_plan::execute_stream_partitioned,
};
use deltalake::{
    DeltaTable,
    kernel::{Action, LogicalFileView, engine::arrow_conversion::TryIntoArrow},
    logstore::LogStoreRef,
    protocol::DeltaOperation,
};
use futures::StreamExt;
use mulgil_core::{codes, diagnostic::Diagnostic, name::Relation, port::Fault};
use roaring::RoaringTreemap;
use tokio::task::JoinSet;

use super::numbered::{self, NumberedTable};
use crate::{
    commit::{self, Commit},
    fault::{self, Author},
    materialize::{
        parts::{PartSink, Parts},
        target::PartitionValues,
    },
    session::{Ready, Sessions},
    warehouse::Warehouse,
};

/// What a row of a change's query asks for.
pub(crate) const UPDATE: i64 = 1;
/// The row goes.
pub(crate) const DELETE: i64 = 2;
/// The row comes.
pub(crate) const INSERT: i64 = 3;
/// The row would come a second time.
pub(crate) const REPEATED: i64 = 4;

/// The columns of a change's query that stand before those of the table: which row, and what to do.
pub(crate) const LEADING: usize = 2;

/// What a statement did to the rows of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Rows that came.
    pub(crate) inserted: u64,
    /// Rows with other values.
    pub(crate) updated: u64,
    /// Rows that went.
    pub(crate) deleted: u64,
}

/// Whether one row of the table may be asked for more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// It goes all the same.
    Allowed,
    /// It could not be said which values it gets.
    Refused,
}

/// A table that a statement writes, as it was looked at.
pub(crate) struct Written {
    /// Which.
    pub(crate) relation: Relation,
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// Its log.
    pub(crate) log_store: LogStoreRef,
    /// It; nothing for one that is made.
    pub(crate) table: Option<DeltaTable>,
    /// All of its columns, in order.
    pub(crate) columns: Fields,
    /// Those by which its files are parted.
    pub(crate) partition_by: Vec<String>,
}

impl Written {
    /// Opens a table that is there.
    pub(crate) async fn open(warehouse: &Warehouse, relation: &Relation) -> Result<Option<Self>, Fault> {
        let Some(table) = warehouse.open(relation).await? else {
            return Ok(None);
        };
        let folder = warehouse.folder(relation);
        let state = table.snapshot().map_err(|error| fault::delta(&error, &folder))?;
        let schema: Result<Schema, _> = state.schema().as_ref().try_into_arrow();
        let columns = schema.map_err(|error| broken(&error.to_string()))?.fields().clone();
        Ok(Some(Self {
            relation: relation.clone(),
            partition_by: state.metadata().partition_columns().to_vec(),
            log_store: warehouse.log_store(relation)?,
            table: Some(table),
            folder,
            columns,
        }))
    }

    /// A table that is made, or made anew in place of one that is there.
    pub(crate) async fn create(
        warehouse: &Warehouse,
        relation: &Relation,
        columns: Fields,
        partition_by: Vec<String>,
    ) -> Result<Self, Fault> {
        Ok(Self {
            relation: relation.clone(),
            folder: warehouse.folder(relation),
            log_store: warehouse.log_store(relation)?,
            table: warehouse.open(relation).await?,
            columns,
            partition_by,
        })
    }

    /// The files of the table.
    pub(crate) fn files(&self) -> Result<Vec<LogicalFileView>, Fault> {
        let Some(table) = &self.table else {
            return Ok(Vec::new());
        };
        let state = table.snapshot().map_err(|error| fault::delta(&error, &self.folder))?;
        Ok(state.log_data().iter().collect())
    }

    /// The table with numbered rows.
    pub(crate) fn numbered(&self, files: &[LogicalFileView], sessions: &Sessions) -> Result<NumberedTable, Fault> {
        let table = self.table.as_ref().ok_or_else(|| broken("no table to read"))?;
        let state = table.snapshot().map_err(|error| fault::delta(&error, &self.folder))?;
        let names: Arc<[String]> = files.iter().map(|file| file.path().into_owned()).collect();
        NumberedTable::new(Arc::new(state.snapshot().clone()), names, sessions.base())
            .map_err(|error| fault::sql(&error, &Author::Typed))
    }

    /// The columns of a data file.
    fn file_schema(&self) -> SchemaRef {
        let in_file = |name: &String| !self.partition_by.contains(name);
        let fields = self.columns.iter().filter(|field| in_file(field.name())).cloned();
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.columns.clone()))
    }
}

/// A change under way.
pub(crate) struct Change<'a> {
    /// The table.
    pub(crate) written: &'a Written,
    /// Its files, as they are numbered.
    pub(crate) files: Vec<LogicalFileView>,
    /// Its rows; nothing where rows only come.
    pub(crate) numbered: Option<NumberedTable>,
    /// Whether a row may be asked for twice.
    pub(crate) again: Again,
    /// Whether all rows that were there go.
    pub(crate) replaces_all: bool,
    /// Metadata of a table that is made or gets other columns.
    pub(crate) metadata: Vec<Action>,
}

impl Change<'_> {
    /// Runs the query, writes what comes, takes out what goes, and commits. Gives what was done, and the
    /// version of the table then.
    pub(crate) async fn carry_out(
        self,
        warehouse: &Warehouse,
        ready: Option<Ready>,
        operation: DeltaOperation,
        properties: deltalake::kernel::transaction::CommitProperties,
    ) -> Result<(Counts, Option<u64>), Fault> {
        let work = Arc::new(Work::new(self.written, self.again)?);
        let parts = Parts::start(warehouse, &self.written.folder, &work.file, 0);
        let sink = parts.sink();
        let done = self.write(&work, ready, &sink).await;
        drop(sink);
        let removed = match done {
            Ok(removed) => removed,
            Err(fault) => return Err(parts.failure(fault).await),
        };
        let (parts, files) = parts.finish().await?;
        let counts = work.counts();
        let mut actions = self.metadata.clone();
        actions.extend(removed.iter().map(|file| Action::Remove(file.remove_action(true))));
        actions.extend(parts.into_iter().map(|part| {
            let values = work.values(part.partition);
            Action::Add(commit::add(part, values))
        }));
        if actions.is_empty() {
            return Ok((counts, None));
        }
        // From here on a commit may name the new files, even if we are not told of it.
        let new_files = files.keep();
        let commit = Commit {
            actions,
            operation,
            properties,
        };
        let made = commit
            .make(
                &self.written.log_store,
                self.written.table.as_ref(),
                &self.written.folder,
            )
            .await;
        match made {
            Ok(version) => Ok((counts, Some(version))),
            Err(fault) => {
                if fault.code == codes::TABLE_CHANGED {
                    warehouse.store().discard(&new_files);
                }
                Err(fault)
            }
        }
    }

    /// Writes what comes and what stays of the files that lose rows. Gives the files that go.
    async fn write(
        &self,
        work: &Arc<Work>,
        ready: Option<Ready>,
        sink: &PartSink,
    ) -> Result<Vec<&LogicalFileView>, Fault> {
        if let Some(Ready { plan, task }) = ready {
            let to_fault = |error| fault::sql(&error, &Author::Typed);
            let mut tasks = JoinSet::new();
            for rows in execute_stream_partitioned(plan, task).map_err(to_fault)? {
                let (work, sink) = (Arc::clone(work), sink.clone());
                tasks.spawn(async move { work.take_all(rows, &sink).await });
            }
            while let Some(part) = tasks.join_next().await {
                part.map_err(|error| broken(&error.to_string()))??;
            }
        }
        if self.replaces_all {
            return Ok(self.files.iter().collect());
        }
        let mut removed = Vec::new();
        for (number, gone) in work.gone() {
            let file = self.files.get(number).ok_or_else(|| broken("a row of no file"))?;
            if file.num_records().is_none_or(|rows| gone.len() < rows as u64) {
                self.write_rest(work, number, file, &gone, sink).await?;
            }
            removed.push(file);
        }
        Ok(removed)
    }

    /// Writes a file once more without the rows that go.
    async fn write_rest(
        &self,
        work: &Work,
        number: usize,
        file: &LogicalFileView,
        gone: &RoaringTreemap,
        sink: &PartSink,
    ) -> Result<(), Fault> {
        let to_fault = |error| fault::sql(&error, &Author::Typed);
        let numbered = self.numbered.as_ref().ok_or_else(|| broken("rows without numbers"))?;
        let place = work.place(file.partition_values_map().into_iter().collect());
        let mut rows = numbered.file(number).await.map_err(to_fault)?;
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(to_fault)?;
            let stays = stays(&batch, gone)?;
            if stays.num_rows() > 0 {
                sink.write(place, work.in_file(&stays)?).await?;
            }
        }
        Ok(())
    }
}

/// The rows of a numbered batch that are not among those that go.
fn stays(batch: &RecordBatch, gone: &RoaringTreemap) -> Result<RecordBatch, Fault> {
    let numbers = batch.column(0).as_primitive::<UInt64Type>();
    let mask: BooleanArray = numbers
        .values()
        .iter()
        .map(|number| Some(!gone.contains(numbered::place_of(*number).1)))
        .collect();
    filter_record_batch(batch, &mask).map_err(|error| broken(&error.to_string()))
}

/// What all tasks of a change share.
struct Work {
    relation: Relation,
    /// All columns of the table.
    form: SchemaRef,
    /// Those of a data file.
    file: SchemaRef,
    partition_by: Vec<String>,
    again: Again,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    counts: Counts,
    /// The rows that go, by file.
    gone: BTreeMap<usize, RoaringTreemap>,
    places: HashMap<PartitionValues, usize>,
    values: Vec<PartitionValues>,
}

impl Work {
    fn new(written: &Written, again: Again) -> Result<Self, Fault> {
        let file = written.file_schema();
        if file.fields().is_empty() {
            return Err(broken("a table of partition columns alone"));
        }
        Ok(Self {
            relation: written.relation.clone(),
            form: written.schema(),
            file,
            partition_by: written.partition_by.clone(),
            again,
            found: Mutex::default(),
        })
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counts(&self) -> Counts {
        self.found().counts
    }

    fn gone(&self) -> BTreeMap<usize, RoaringTreemap> {
        std::mem::take(&mut self.found().gone)
    }

    fn values(&self, place: usize) -> PartitionValues {
        self.found().values.get(place).cloned().unwrap_or_default()
    }

    /// The place of a partition.
    fn place(&self, values: PartitionValues) -> usize {
        let mut found = self.found();
        if let Some(place) = found.places.get(&values) {
            return *place;
        }
        let place = found.values.len();
        found.values.push(values.clone());
        found.places.insert(values, place);
        place
    }

    async fn take_all(&self, mut rows: SendableRecordBatchStream, sink: &PartSink) -> Result<(), Fault> {
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(|error| fault::sql(&error, &Author::Typed))?;
            let comes = self.note(&batch)?;
            if batch.num_columns() > LEADING {
                self.write(&filter(&batch, &comes)?, sink).await?;
            }
        }
        Ok(())
    }

    /// Notes what a batch asks for. Gives which of its rows come with new values.
    fn note(&self, batch: &RecordBatch) -> Result<BooleanArray, Fault> {
        let numbers: &UInt64Array = batch.column(0).as_primitive::<UInt64Type>();
        let actions: &Int64Array = batch.column(1).as_primitive::<Int64Type>();
        let mut found = self.found();
        let mut comes = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let action = if actions.is_null(row) { 0 } else { actions.value(row) };
            let is_new = match action {
                UPDATE | DELETE => {
                    let (file, place) = numbered::place_of(numbers.value(row));
                    let is_first = found.gone.entry(file).or_default().insert(place);
                    if !is_first && self.again == Again::Refused {
                        return Err(self.twice());
                    }
                    is_first
                }
                INSERT => true,
                REPEATED => return Err(self.repeated()),
                _ => false,
            };
            let counts = &mut found.counts;
            match action {
                UPDATE => counts.updated += u64::from(is_new),
                DELETE => counts.deleted += u64::from(is_new),
                INSERT => counts.inserted += 1,
                _ => {}
            }
            comes.push(is_new && action != DELETE);
        }
        Ok(comes.into())
    }

    /// Writes new rows to their partitions.
    async fn write(&self, batch: &RecordBatch, sink: &PartSink) -> Result<(), Fault> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let columns = batch.columns()[LEADING..].to_vec();
        for (column, field) in columns.iter().zip(self.form.fields()) {
            if !field.is_nullable() && column.null_count() > 0 {
                return Err(self.null_in(field.name()));
            }
        }
        let rows = RecordBatch::try_new(Arc::clone(&self.form), columns).map_err(|error| broken(&error.to_string()))?;
        for (place, rows) in self.parted(&rows)? {
            sink.write(place, self.in_file(&rows)?).await?;
        }
        Ok(())
    }

    /// The rows of each partition.
    fn parted(&self, rows: &RecordBatch) -> Result<Vec<(usize, RecordBatch)>, Fault> {
        if self.partition_by.is_empty() {
            return Ok(vec![(self.place(PartitionValues::new()), rows.clone())]);
        }
        let mut by_place: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        let formatters = self
            .partition_by
            .iter()
            .map(|name| Texts::of(rows, name))
            .collect::<Result<Vec<_>, Fault>>()?;
        for row in 0..rows.num_rows() {
            let values = self.partition_by.iter().zip(&formatters);
            let values = values
                .map(|(name, texts)| Ok((name.clone(), texts.at(row, name, &self.relation)?)))
                .collect::<Result<PartitionValues, Fault>>()?;
            by_place.entry(self.place(values)).or_default().push(row as u64);
        }
        let take = |(place, indices): (usize, Vec<u64>)| {
            let rows = take_record_batch(rows, &UInt64Array::from(indices));
            Ok((place, rows.map_err(|error| broken(&error.to_string()))?))
        };
        by_place.into_iter().map(take).collect()
    }

    /// The columns of a data file, in its types.
    fn in_file(&self, rows: &RecordBatch) -> Result<RecordBatch, Fault> {
        let to_fault = |error: datafusion::arrow::error::ArrowError| broken(&error.to_string());
        let columns = self
            .file
            .fields()
            .iter()
            .map(|field| {
                let column = rows
                    .column_by_name(field.name())
                    .ok_or_else(|| broken(&format!("no column `{}`", field.name())))?;
                if column.data_type() == field.data_type() {
                    return Ok(Arc::clone(column));
                }
                datafusion::arrow::compute::cast(column, field.data_type()).map_err(to_fault)
            })
            .collect::<Result<Vec<_>, Fault>>()?;
        RecordBatch::try_new(Arc::clone(&self.file), columns).map_err(to_fault)
    }

    fn twice(&self) -> Fault {
        Box::new(
            Diagnostic::error(
                codes::MATCHED_TWICE,
                format!(
                    "more than one row of the source matches one row of `{}`: it cannot be said which one it becomes",
                    self.relation
                ),
            )
            .with_remedy("keep one row of each key in the source: `qualify row_number() over (partition by …) = 1`"),
        )
    }

    fn repeated(&self) -> Fault {
        Box::new(
            Diagnostic::error(
                codes::MATCHED_TWICE,
                format!("two rows that come into `{}` have the same key", self.relation),
            )
            .with_remedy("keep one row of each key in the source: `qualify row_number() over (partition by …) = 1`"),
        )
    }

    fn null_in(&self, column: &str) -> Fault {
        Box::new(
            Diagnostic::error(
                codes::NULL_NOT_ALLOWED,
                format!(
                    "a row for `{}` has NULL in `{column}`, which is NOT NULL",
                    self.relation
                ),
            )
            .with_remedy("give a value, or leave such rows out: `where … is not null`"),
        )
    }
}

fn filter(batch: &RecordBatch, mask: &BooleanArray) -> Result<RecordBatch, Fault> {
    filter_record_batch(batch, mask).map_err(|error| broken(&error.to_string()))
}

/// The values of a partition column as Delta writes them.
struct Texts<'a> {
    column: &'a dyn Array,
    formatter: ArrayFormatter<'a>,
}

impl<'a> Texts<'a> {
    fn of(rows: &'a RecordBatch, name: &str) -> Result<Self, Fault> {
        const OPTIONS: FormatOptions<'static> = FormatOptions::new();
        let column = rows
            .column_by_name(name)
            .ok_or_else(|| broken(&format!("no partition column `{name}`")))?;
        let formatter = ArrayFormatter::try_new(column, &OPTIONS).map_err(|error| broken(&error.to_string()))?;
        Ok(Self {
            column: column.as_ref(),
            formatter,
        })
    }

    fn at(&self, row: usize, name: &str, relation: &Relation) -> Result<Option<String>, Fault> {
        if self.column.is_null(row) {
            return Ok(None);
        }
        let text = self.formatter.value(row).to_string();
        match self.column.data_type() {
            DataType::Timestamp(_, None) => Ok(Some(text.replace('T', " "))),
            _ if text.is_empty() => Err(empty_partition(name, relation)),
            _ => Ok(Some(text)),
        }
    }
}

fn empty_partition(name: &str, relation: &Relation) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::NULL_NOT_ALLOWED,
            format!("a row for `{relation}` has the empty text in `{name}`, by which the table is partitioned"),
        )
        .with_remedy("Delta cannot tell it from NULL there: write NULL, or another word for it (`nullif(…, '')`)"),
    )
}

pub(crate) fn broken(error: &str) -> Fault {
    Box::new(Diagnostic::error(codes::BUG, format!("a statement broke: {error}")))
}
