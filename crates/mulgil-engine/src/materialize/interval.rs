//! Interval tables: rows are stamped with their interval, and a fill replaces the intervals of its
//! range and no others. Days and coarser swap whole partitions. Hours and crons lie many to a day's
//! partition: the rows of a file that lie outside the range are written once more.

use std::sync::Arc;

use datafusion::{
    common::ScalarValue,
    logical_expr::{Expr, lit},
};
use futures::StreamExt;
use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    interval::{Instant, Interval},
    port::{Fault, FillOutcome},
};

use super::{
    Fill, broke, file,
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
        let mut rows = file::rows(fill, target, file, &work.file, Some(outside(fill.spec.range))).await?;
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

/// What lies outside the range.
fn outside(range: Interval) -> Expr {
    let instant = |at: Instant| lit(ScalarValue::TimestampMicrosecond(Some(at.0), Some("UTC".into())));
    file::column(INTERVAL)
        .lt(instant(range.start))
        .or(file::column(INTERVAL).gt_eq(instant(range.end)))
        .or(file::column(INTERVAL).is_null())
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
