//! What happens to each batch of a fill: brought into the table's form, given its interval, hashed,
//! and handed over to be written.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use datafusion::{
    arrow::{
        array::{ArrayRef, RecordBatch, TimestampMicrosecondArray, new_null_array},
        datatypes::SchemaRef,
    },
    execution::SendableRecordBatchStream,
};
use futures::StreamExt;
use mulgil_core::{
    interval::{Instant, Interval},
    name::Instance,
    port::Fault,
};
use tokio::sync::mpsc;

use super::{
    broke,
    keys::Keys,
    parts::PartSink,
    shape::Shape,
    stamp::Slots,
    target::{PartitionValues, Target},
};
use crate::{
    content::{Content, RowHasher},
    fault::{self, Author},
    hidden::INTERVAL,
};

/// What every batch of a fill needs.
pub(super) struct Work {
    /// The columns.
    pub(super) shape: Shape,
    /// The columns of a data file.
    pub(super) file: SchemaRef,
    /// The intervals.
    pub(super) slots: Slots,
    /// The partitions.
    pub(super) places: Places,
    /// Whether `_interval` is a column of the files.
    pub(super) has_interval_column: bool,
    /// What is filled.
    pub(super) instance: Instance,
    /// The unique key whose values take the place of rows that are there.
    pub(super) keys: Option<Keys>,
    /// The things that a snapshot tells of.
    pub(super) things: Option<Keys>,
}

/// The partitions that a fill writes, and which interval lies in which.
pub(super) struct Places {
    values: Vec<PartitionValues>,
    by_values: BTreeMap<PartitionValues, usize>,
    of_slots: Vec<usize>,
}

impl Places {
    /// The partitions of a target for intervals.
    pub(super) fn of(target: &Target, intervals: &[Interval]) -> Self {
        let mut places = Self {
            values: Vec::new(),
            by_values: BTreeMap::new(),
            of_slots: Vec::with_capacity(intervals.len()),
        };
        for interval in intervals {
            let values = target.partition_of(interval.start);
            let place = match places.by_values.entry(values) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => {
                    places.values.push(new.key().clone());
                    *new.insert(places.values.len() - 1)
                }
            };
            places.of_slots.push(place);
        }
        places
    }

    /// The values of a partition.
    pub(super) fn values(&self, place: usize) -> PartitionValues {
        self.values[place].clone()
    }

    /// The partition of each interval.
    pub(super) fn of_slots(&self) -> &[usize] {
        &self.of_slots
    }

    /// The partition of those values.
    pub(super) fn find(&self, values: &PartitionValues) -> Option<usize> {
        self.by_values.get(values).copied()
    }
}

impl Work {
    /// Takes a stream to its end; returns what each interval got.
    pub(super) async fn write_all(
        &self,
        mut stream: SendableRecordBatchStream,
        range: Interval,
        sink: &PartSink,
        counted: &mpsc::UnboundedSender<u64>,
        author: &Author,
    ) -> Result<Vec<Content>, Fault> {
        let mut contents = vec![Content::default(); self.slots.intervals().len()];
        let hasher = RowHasher::new(&self.shape.output)?;
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(|error| fault::sql(&error, author))?;
            let rows = self.shape.conform(&batch, &self.instance)?;
            if let Some(things) = &self.things {
                things.add_current(&rows)?;
            }
            if let Some(keys) = &self.keys {
                keys.add(&rows)?;
            }
            for (slot, part) in self.slots.split(&rows, range)? {
                contents[slot].add(hasher.content(&part)?);
                let start = self.slots.intervals()[slot].start;
                sink.write(self.places.of_slots[slot], self.widen(&part, start)?)
                    .await?;
            }
            // Nobody listening means that the fill is over; the next write says so.
            let _ = counted.send(rows.num_rows() as u64);
        }
        Ok(contents)
    }

    /// The rows of one interval with all columns of a file: those that the output lacks are NULL.
    fn widen(&self, rows: &RecordBatch, start: Instant) -> Result<RecordBatch, Fault> {
        let count = rows.num_rows();
        let columns = self
            .file
            .fields()
            .iter()
            .map(|field| match rows.column_by_name(field.name()) {
                Some(column) => Arc::clone(column),
                None if self.has_interval_column && field.name() == INTERVAL => {
                    Arc::new(TimestampMicrosecondArray::from_value(start.0, count).with_timezone("UTC")) as ArrayRef
                }
                None => new_null_array(field.data_type(), count),
            });
        RecordBatch::try_new(Arc::clone(&self.file), columns.collect()).map_err(|error| broke(&error.to_string()))
    }
}
