//! A source's files as a table of the engine: files, and parts of large ones, spread over partitions,
//! each read on its own thread into a short queue, so that memory stays bounded by a few batches per
//! partition.

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

use super::{event::RowRule, reader::SourceShape, window::Span};

/// Batches that wait between a file's thread and its reader.
const QUEUED_BATCHES: usize = 2;

/// Bytes of a part of a file at least: fewer are not worth a thread of their own.
const PART_BYTES: u64 = 8 * 1024 * 1024;

/// A source in a session.
#[derive(Debug)]
pub(super) struct SourceTable {
    shape: Arc<SourceShape>,
    files: Vec<FileToRead>,
}

/// A file or a part of it, and which of its rows.
#[derive(Clone, Debug)]
struct FileToRead {
    seen: FileSeen,
    rule: RowRule,
    span: Span,
    may_be_cut: bool,
}

impl SourceTable {
    /// Of the files of a scope, as they were seen.
    pub(super) fn new(shape: SourceShape, scope: Option<Interval>, files: &[FileSeen]) -> Self {
        let files = files
            .iter()
            .map(|seen| FileToRead {
                seen: seen.clone(),
                rule: rule(&shape.source.files, scope, seen),
                span: Span::WHOLE,
                may_be_cut: shape.may_be_cut(&seen.path),
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
        let groups = spread(&self.files, state.config().target_partitions(), PART_BYTES);
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
        let parts = self.groups.iter().map(Vec::len).sum::<usize>();
        let files = self.groups.iter().flatten().filter(|file| file.span.start == 0).count();
        write!(
            f,
            "SourceScan: source={}, files={files}, parts={parts}",
            self.shape.source.name
        )
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
    let mut reader = shape.open_span(&file.seen, file.span, projection, file.rule)?;
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

/// The files in at most `most` groups of neighbours with about the same bytes, those that may be cut
/// in parts, as long as a part has about `least` bytes; one empty group for no files.
fn spread(files: &[FileToRead], most: usize, least: u64) -> Vec<Vec<FileToRead>> {
    let total: u64 = files.iter().map(|file| file.seen.size).sum();
    let parts_of = |file: &FileToRead| {
        if file.may_be_cut {
            (file.seen.size / least).max(1)
        } else {
            1
        }
    };
    let parts: u64 = files.iter().map(parts_of).sum();
    let count = most.clamp(1, usize::try_from(parts.max(1)).unwrap_or(usize::MAX));
    // Where a group begins among all bytes.
    let begins = |group: usize| (u128::from(total) * group as u128 / count as u128) as u64;
    let mut groups = vec![Vec::new(); count];
    let mut before = 0_u64;
    for file in files {
        for span in spans(
            file,
            (1..count).map(|group| begins(group).saturating_sub(before)),
            least,
        ) {
            // A part goes where its middle falls.
            let middle = u128::from(before + span.start.midpoint(span.end.min(file.seen.size)));
            let group = (middle * count as u128 / u128::from(total.max(1))) as usize;
            groups[group.min(count - 1)].push(FileToRead { span, ..file.clone() });
        }
        before += file.seen.size;
    }
    groups
}

/// The parts of a file: cut there, where it may be cut and both sides keep half of `least` bytes.
fn spans(file: &FileToRead, cuts: impl Iterator<Item = u64>, least: u64) -> Vec<Span> {
    let mut spans = vec![Span::WHOLE];
    for cut in cuts.filter(|_| file.may_be_cut) {
        let is_wide = |last: &&mut Span| cut >= last.start + least / 2 && cut + least / 2 <= file.seen.size;
        if let Some(last) = spans.last_mut().filter(is_wide) {
            last.end = cut;
            spans.push(Span {
                start: cut,
                end: Span::WHOLE.end,
            });
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups of files of these sizes as `file:start..end`; those of an odd number may be cut.
    fn groups(sizes: &[u64], most: usize, least: u64) -> String {
        let file = |(number, size): (usize, &u64)| FileToRead {
            seen: FileSeen {
                path: number.to_string().into(),
                size: *size,
                modified_ns: 0,
                content: String::new(),
                interval: None,
            },
            rule: RowRule::All,
            span: Span::WHOLE,
            may_be_cut: number % 2 == 1,
        };
        let files: Vec<FileToRead> = sizes.iter().enumerate().map(file).collect();
        let part = |file: &FileToRead| match file.span {
            Span::WHOLE => file.seen.path.display().to_string(),
            Span { start, end } if end == u64::MAX => format!("{}:{start}..", file.seen.path.display()),
            Span { start, end } => format!("{}:{start}..{end}", file.seen.path.display()),
        };
        let group = |group: &Vec<FileToRead>| group.iter().map(part).collect::<Vec<_>>().join(" ");
        let groups: Vec<String> = spread(&files, most, least).iter().map(group).collect();
        groups.join(" | ")
    }

    #[test]
    fn files_and_their_parts_are_spread_evenly() {
        for (sizes, most, expected) in [
            (&[][..], 4, ""),
            (&[0], 4, "0"),
            (&[100], 4, "0"),
            (&[0, 100], 4, "0 1:0..25 | 1:25..50 | 1:50..75 | 1:75.."),
            (&[0, 100], 1, "0 1"),
            // Parts of about ten bytes.
            (&[0, 19], 4, "0 1:0..9 | 1:9.."),
            (&[0, 25], 9, "0 1:0..8 | 1:8..16 | 1:16.."),
            (&[50, 50], 2, "0 | 1"),
            (&[30, 70], 2, "0 1:0..20 | 1:20.."),
            (&[48, 52], 2, "0 | 1"),
            (&[10, 10, 10, 10], 2, "0 1 | 2 3"),
        ] {
            assert_eq!(groups(sizes, most, 10), expected, "{sizes:?} in {most}");
        }
    }
}
