//! A source's files as a table of the engine: files spread over partitions, each read on its own
//! thread into a short queue, so that memory stays bounded by a few batches per partition.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use datafusion::{
    arrow::datatypes::SchemaRef,
    catalog::{Session, TableProvider},
    common::tree_node::TreeNodeRecursion,
    datasource::TableType,
    error::{DataFusionError, Result as DataFusionResult},
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::Expr,
    physical_expr::EquivalenceProperties,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr, PlanProperties,
        ReplaceChildrenOptions,
        execution_plan::{Boundedness, EmissionType},
        stream::RecordBatchReceiverStream,
    },
};
use mulgil_core::{interval::Interval, port::Fault, project::FilePattern, task::FileSeen};
use tokio::sync::mpsc::Sender;

use super::{event::RowRule, reader::SourceShape};

/// Batches that wait between a file's thread and its reader.
const QUEUED_BATCHES: usize = 2;

/// A source in a session.
#[derive(Debug)]
pub(super) struct SourceTable {
    shape: Arc<SourceShape>,
    files: Vec<FileToRead>,
}

/// A file, and which of its rows.
#[derive(Clone, Debug)]
struct FileToRead {
    seen: FileSeen,
    rule: RowRule,
}

impl SourceTable {
    /// Of the files of a scope, as they were seen.
    pub(super) fn new(shape: SourceShape, scope: Option<Interval>, files: &[FileSeen]) -> Self {
        let files = files
            .iter()
            .map(|seen| FileToRead {
                seen: seen.clone(),
                rule: rule(&shape.source.files, scope, seen),
            })
            .collect();
        Self {
            shape: Arc::new(shape),
            files,
        }
    }
}

#[async_trait]
impl TableProvider for SourceTable {
    fn schema(&self) -> SchemaRef {
        self.shape.schema.clone()
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
        let projection = match projection {
            Some(columns) => columns.clone(),
            None => (0..self.shape.schema.fields().len()).collect(),
        };
        let schema = Arc::new(self.shape.schema.project(&projection)?);
        let groups = spread(&self.files, state.config().target_partitions());
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(groups.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Arc::new(SourceScan {
            shape: self.shape.clone(),
            schema,
            projection: projection.into(),
            groups,
            properties: Arc::new(properties),
        }))
    }
}

/// The reading of a source's files.
#[derive(Debug)]
struct SourceScan {
    shape: Arc<SourceShape>,
    schema: SchemaRef,
    projection: Arc<[usize]>,
    /// The files of each partition.
    groups: Vec<Vec<FileToRead>>,
    properties: Arc<PlanProperties>,
}

impl DisplayAs for SourceScan {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: usize = self.groups.iter().map(Vec::len).sum();
        write!(f, "SourceScan: source={}, files={files}", self.shape.source.name)
    }
}

impl ExecutionPlan for SourceScan {
    fn name(&self) -> &'static str {
        "SourceScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    // The trait still asks for the older form beside the newer one.
    fn with_new_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, _context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        let files = self.groups.get(partition).cloned().unwrap_or_default();
        let (shape, projection) = (self.shape.clone(), self.projection.clone());
        let mut stream = RecordBatchReceiverStream::builder(self.schema.clone(), QUEUED_BATCHES);
        let queue = stream.tx();
        stream.spawn_blocking(move || {
            for file in &files {
                match read(&shape, file, &projection, &queue) {
                    Ok(Reading::Whole) => {}
                    Ok(Reading::Unwanted) => break,
                    Err(fault) => return Err(DataFusionError::External(fault)),
                }
            }
            Ok(())
        });
        Ok(stream.build())
    }
}

/// How the reading of a file ended.
enum Reading {
    Whole,
    /// Nobody waits for more.
    Unwanted,
}

fn read(
    shape: &SourceShape,
    file: &FileToRead,
    projection: &[usize],
    queue: &Sender<DataFusionResult<datafusion::arrow::array::RecordBatch>>,
) -> Result<Reading, Fault> {
    let mut reader = shape.open(&file.seen, projection, file.rule)?;
    while let Some(batch) = reader.next()? {
        if queue.blocking_send(Ok(batch)).is_err() {
            return Ok(Reading::Unwanted);
        }
    }
    Ok(Reading::Whole)
}

/// A single file is cut by its rows' times; a file of an interval was chosen by its name, and its
/// rows have to agree with it.
fn rule(files: &FilePattern, scope: Option<Interval>, seen: &FileSeen) -> RowRule {
    match files {
        FilePattern::Single(_) => scope.map_or(RowRule::All, RowRule::Only),
        FilePattern::PerInterval { .. } => seen.interval.map_or(RowRule::All, RowRule::Within),
    }
}

/// The files in at most `most` groups of neighbours with about the same bytes; one empty group for
/// no files.
fn spread(files: &[FileToRead], most: usize) -> Vec<Vec<FileToRead>> {
    let total: u64 = files.iter().map(|file| file.seen.size).sum();
    let count = most.clamp(1, files.len().max(1));
    let mut groups = vec![Vec::new(); count];
    let mut before = 0_u64;
    for file in files {
        // A file goes where its middle falls.
        let middle = u128::from(before + file.seen.size / 2);
        let group = (middle * count as u128 / u128::from(total.max(1))) as usize;
        groups[group.min(count - 1)].push(file.clone());
        before += file.seen.size;
    }
    groups
}
