//! The rows of a table, each with a number of its own: what a statement finds by a query it can then
//! take out of the files that hold it, without asking again what the query meant.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use datafusion::{
    arrow::{
        array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt64Array},
        datatypes::{DataType, Field, Schema, SchemaRef},
    },
    catalog::{Session, TableProvider, streaming::StreamingTable},
    error::{DataFusionError, Result as DataFusionResult},
    execution::{SendableRecordBatchStream, SessionState, SessionStateBuilder, TaskContext},
    logical_expr::{Expr, TableType},
    physical_plan::{ExecutionPlan, execute_stream, stream::RecordBatchStreamAdapter, streaming::PartitionStream},
};
use deltalake::{
    delta_datafusion::{DeltaScanConfig, DeltaScanNext, FileSelection},
    kernel::EagerSnapshot,
};
use futures::{StreamExt, TryStreamExt, stream};

/// The column of the numbers.
pub(crate) const ROW: &str = "@row";
/// The bits of a number that count the rows of a file; the others count files.
const ROW_BITS: u32 = 40;

/// Which row of which file a number means.
pub(crate) fn place_of(number: u64) -> (usize, u64) {
    ((number >> ROW_BITS) as usize, number & ((1 << ROW_BITS) - 1))
}

/// A table at one version, with numbered rows.
#[derive(Clone)]
pub(crate) struct NumberedTable {
    snapshot: Arc<EagerSnapshot>,
    /// The files' names; a row's number begins with its file's place here.
    files: Arc<[String]>,
    /// The numbers, then the columns.
    schema: SchemaRef,
    /// Where the files are read: one after the other, in order.
    session: Arc<SessionState>,
}

impl fmt::Debug for NumberedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NumberedTable({} files)", self.files.len())
    }
}

impl NumberedTable {
    /// A table's files in their order.
    pub(crate) fn new(
        snapshot: Arc<EagerSnapshot>,
        files: Arc<[String]>,
        base: &SessionState,
    ) -> DataFusionResult<Self> {
        let scan = DeltaScanNext::new(Arc::clone(&snapshot), scan_config())?;
        let columns = scan.schema();
        let number = Arc::new(Field::new(ROW, DataType::UInt64, false));
        let fields: Vec<_> = std::iter::once(number)
            .chain(columns.fields().iter().cloned())
            .collect();
        let config = base.config().clone().with_target_partitions(1);
        let session = SessionStateBuilder::new_from_existing(base.clone())
            .with_config(config)
            .build();
        Ok(Self {
            snapshot,
            files,
            schema: Arc::new(Schema::new(fields)),
            session: Arc::new(session),
        })
    }

    /// All columns of one file's rows, numbered.
    pub(crate) async fn file(&self, file: usize) -> DataFusionResult<SendableRecordBatchStream> {
        let projection: Arc<[usize]> = (0..self.schema.fields().len()).collect();
        self.read(file, projection).await
    }

    /// Some columns of one file's rows, in the order of the file.
    async fn read(&self, file: usize, projection: Arc<[usize]>) -> DataFusionResult<SendableRecordBatchStream> {
        let selection = FileSelection::from_file_paths([self.files[file].clone()]);
        let scan = DeltaScanNext::new(Arc::clone(&self.snapshot), scan_config())?.with_file_selection(selection);
        let inner: Vec<usize> = projection.iter().filter_map(|column| column.checked_sub(1)).collect();
        // No filter and no limit: they would leave rows out before they are counted.
        let plan = scan.scan(self.session.as_ref(), Some(&inner), &[], None).await?;
        if plan.properties().output_partitioning().partition_count() > 1 {
            return Err(DataFusionError::Internal("a file was read in parts".to_owned()));
        }
        let rows = execute_stream(plan, self.session.task_ctx())?;
        let schema: SchemaRef = Arc::new(self.schema.project(&projection)?);
        let (form, first) = (Arc::clone(&schema), (file as u64) << ROW_BITS);
        let mut next = first;
        let numbered = rows.map(move |batch| {
            let batch = batch?;
            let numbers = next..next + batch.num_rows() as u64;
            next = numbers.end;
            with_numbers(&batch, numbers, &projection, &form)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, numbered)))
    }
}

fn scan_config() -> DeltaScanConfig {
    DeltaScanConfig::new().with_wrap_partition_values(false)
}

fn with_numbers(
    batch: &RecordBatch,
    numbers: std::ops::Range<u64>,
    projection: &[usize],
    form: &SchemaRef,
) -> DataFusionResult<RecordBatch> {
    let rows = batch.num_rows();
    let mut columns = batch.columns().iter();
    let numbers: ArrayRef = Arc::new(UInt64Array::from_iter_values(numbers));
    let columns: Vec<ArrayRef> = projection
        .iter()
        .filter_map(|column| match column {
            0 => Some(Arc::clone(&numbers)),
            _ => columns.next().cloned(),
        })
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(form), columns, &options)?)
}

#[async_trait]
impl TableProvider for NumberedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let projection: Arc<[usize]> = match projection {
            Some(columns) => columns.as_slice().into(),
            None => (0..self.schema.fields().len()).collect(),
        };
        let schema: SchemaRef = Arc::new(self.schema.project(&projection)?);
        let count = state.config().target_partitions().clamp(1, self.files.len().max(1));
        let parts = (0..count).map(|part| {
            Arc::new(Files {
                table: self.clone(),
                own: (part..self.files.len()).step_by(count).collect(),
                projection: Arc::clone(&projection),
                schema: Arc::clone(&schema),
            }) as Arc<dyn PartitionStream>
        });
        let table = StreamingTable::try_new(Arc::clone(&schema), parts.collect())?;
        table.scan(state, None, &[], None).await
    }
}

/// Some files of a numbered table, read one after the other.
#[derive(Debug)]
struct Files {
    table: NumberedTable,
    own: Arc<[usize]>,
    projection: Arc<[usize]>,
    schema: SchemaRef,
}

impl PartitionStream for Files {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (table, projection) = (self.table.clone(), Arc::clone(&self.projection));
        let files: Vec<usize> = self.own.to_vec();
        let rows = stream::iter(files)
            .then(move |file| {
                let (table, projection) = (table.clone(), Arc::clone(&projection));
                async move { table.read(file, projection).await }
            })
            .try_flatten();
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows))
    }
}
