//! Interval tables: rows are stamped with their interval, and a fill replaces the intervals of its
//! range and no others. Days and coarser swap whole partitions. Hours and crons lie many to a day's
//! partition: the rows of a file that lie outside the range are written once more.

use std::sync::Arc;

use datafusion::{
    common::{Column, ScalarValue},
    datasource::provider_as_source,
    execution::SendableRecordBatchStream,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, lit},
    physical_plan::execute_stream,
};
use deltalake::{
    delta_datafusion::{DeltaScanConfig, DeltaScanNext, FileSelection},
    kernel::LogicalFileView,
};
use futures::StreamExt;
use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    interval::{Instant, Interval},
    port::{Fault, FillOutcome},
};

use super::{
    Fill, broke,
    parts::PartSink,
    stamp::Slots,
    target::{PartitionValues, Replaces, Target, Touched},
    work::Work,
};
use crate::{
    fault,
    hidden::{INTERVAL, TimePartition},
};

/// Fills the intervals of the spec's range.
pub(super) async fn fill(fill: &Fill<'_>) -> Result<FillOutcome, Fault> {
    let spec = fill.spec;
    let event_time = spec.event_time.as_deref().ok_or_else(|| no_event_time(fill))?;
    let replaces = if spec.replaces_all {
        Replaces::All
    } else {
        Replaces::Range(spec.range)
    };
    let time = TimePartition::of(&spec.grid);
    let intervals = spec.grid.intervals(spec.range).collect();
    let slots = Slots::by_event_time(intervals, event_time, &spec.grid.zone, &spec.instance);
    let target = Target::open(fill.warehouse, spec, fill.claim, time, replaces).await?;
    fill.run(target, slots).await
}

/// Writes the rows of files that are cut and that lie outside the range once more.
pub(super) async fn write_rest(
    fill: &Fill<'_>,
    target: &Target,
    touched: &Touched,
    work: &Arc<Work>,
    sink: &PartSink,
) -> Result<(), Fault> {
    for file in &touched.cut {
        let values: PartitionValues = file.partition_values_map().into_iter().collect();
        let place = work
            .places
            .find(&values)
            .ok_or_else(|| broke("a file lies in a partition that is not filled"))?;
        let mut rows = rest_of(fill, target, file, work).await?;
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(|error| fault::sql(&error, &fill.author))?;
            let batch = batch
                .with_schema(Arc::clone(&work.file))
                .map_err(|error| broke(&error.to_string()))?;
            if batch.num_rows() > 0 {
                sink.write(place, batch).await?;
            }
        }
    }
    Ok(())
}

/// The rows of a file that lie outside the range, in the form of a new file.
async fn rest_of(
    fill: &Fill<'_>,
    target: &Target,
    file: &LogicalFileView,
    work: &Work,
) -> Result<SendableRecordBatchStream, Fault> {
    let table = target.table().ok_or_else(|| broke("files without a table"))?;
    let state = table
        .snapshot()
        .map_err(|error| fault::delta(&error, target.folder()))?;
    let to_fault = |error| fault::sql(&error, &fill.author);
    let config = DeltaScanConfig::new().with_wrap_partition_values(false);
    let scan = DeltaScanNext::new(Arc::new(state.snapshot().clone()), config)
        .map_err(to_fault)?
        .with_file_selection(FileSelection::from_file_paths([file.path().into_owned()]));
    let plan = outside(scan, fill.spec.range, work).map_err(to_fault)?;
    let session = fill.sessions.base();
    let plan = session.create_physical_plan(&plan).await.map_err(to_fault)?;
    execute_stream(plan, session.task_ctx()).map_err(to_fault)
}

fn outside(scan: DeltaScanNext, range: Interval, work: &Work) -> datafusion::error::Result<LogicalPlan> {
    use datafusion::catalog::TableProvider as _;
    let column = |name: &str| Expr::Column(Column::from_name(name));
    let instant = |at: Instant| lit(ScalarValue::TimestampMicrosecond(Some(at.0), Some("UTC".into())));
    let schema = scan.schema();
    let columns: Vec<Expr> = work
        .file
        .fields()
        .iter()
        .map(|field| match schema.field_with_name(field.name()) {
            Ok(_) => cast(column(field.name()), field.data_type().clone()).alias(field.name()),
            Err(_) => cast(lit(ScalarValue::Null), field.data_type().clone()).alias(field.name()),
        })
        .collect();
    let stays = column(INTERVAL)
        .lt(instant(range.start))
        .or(column(INTERVAL).gt_eq(instant(range.end)))
        .or(column(INTERVAL).is_null());
    LogicalPlanBuilder::scan("file", provider_as_source(Arc::new(scan)), None)?
        .filter(stays)?
        .project(columns)?
        .build()
}

fn no_event_time(fill: &Fill<'_>) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::BAD_EVENT_TIME,
            format!("`{}` is filled by interval and has no `event_time`", fill.spec.instance),
        )
        .with_remedy("name the column that says when a row happened: `event_time='…'`"),
    )
}
