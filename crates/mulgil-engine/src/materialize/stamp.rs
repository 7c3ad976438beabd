//! Gives each row its interval.

use std::ops::Range;

use datafusion::arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array},
    compute::take_record_batch,
    datatypes::{DataType, Date32Type, Field, SchemaRef, TimestampMicrosecondType},
};
use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    grid::Zone,
    interval::{Instant, Interval},
    name::Instance,
    port::Fault,
};

use crate::zone::{self, CivilClock};

/// The intervals of a fill, each a slot, and how rows find theirs.
#[derive(Clone)]
pub(crate) struct Slots {
    intervals: Vec<Interval>,
    time: Option<EventTime>,
    instance: Instance,
}

/// The column that says when a row happened.
#[derive(Clone)]
struct EventTime {
    column: String,
    zone: Zone,
}

impl Slots {
    /// One slot: all rows belong to it.
    pub(crate) fn whole(instance: &Instance) -> Self {
        Self {
            intervals: vec![Interval::WHOLE],
            time: None,
            instance: instance.clone(),
        }
    }

    /// A slot for each interval, in order and without gaps.
    pub(crate) fn by_event_time(intervals: Vec<Interval>, column: &str, zone: &Zone, instance: &Instance) -> Self {
        Self {
            intervals,
            time: Some(EventTime {
                column: column.to_owned(),
                zone: zone.clone(),
            }),
            instance: instance.clone(),
        }
    }

    /// The intervals.
    pub(crate) fn intervals(&self) -> &[Interval] {
        &self.intervals
    }

    /// Whether the columns have the event time, as a time.
    pub(crate) fn check(&self, output: &SchemaRef) -> Result<(), Fault> {
        let Some(EventTime { column, .. }) = &self.time else {
            return Ok(());
        };
        let instance = &self.instance;
        match output.field_with_name(column).map(Field::data_type) {
            Ok(DataType::Timestamp(..) | DataType::Date32) => Ok(()),
            Ok(other) => Err(bad_event_time(&format!(
                "`{instance}` has the event time `{column}`, which is {other} and no time"
            ))),
            Err(_) => Err(bad_event_time(&format!(
                "`{instance}` has the event time `{column}`, which its SQL does not give"
            ))),
        }
    }

    /// Cuts a batch into the parts of its intervals. A row that is not in `range` is a fault.
    pub(crate) fn split(&self, batch: &RecordBatch, range: Interval) -> Result<Vec<(usize, RecordBatch)>, Fault> {
        let Some(time) = &self.time else {
            return Ok(vec![(0, batch.clone())]);
        };
        let Some(column) = batch.column_by_name(&time.column) else {
            return Ok(Vec::new());
        };
        let times = instants(column, &time.zone);
        let mut runs: Vec<(usize, Range<usize>)> = Vec::new();
        for row in 0..batch.num_rows() {
            let at = times
                .is_valid(row)
                .then(|| Instant(times.value(row)))
                .filter(|at| range.contains_instant(*at));
            let slot = match (at, runs.last_mut()) {
                (None, _) => return Err(self.outside(time, column, row, range)),
                (Some(at), Some((slot, rows))) if self.intervals[*slot].contains_instant(at) => {
                    rows.end = row + 1;
                    continue;
                }
                (Some(at), _) => self.slot_of(at),
            };
            match slot {
                Some(slot) => runs.push((slot, row..row + 1)),
                None => return Err(self.outside(time, column, row, range)),
            }
        }
        gather(batch, runs)
    }

    fn slot_of(&self, at: Instant) -> Option<usize> {
        let slot = self.intervals.partition_point(|interval| interval.end <= at);
        self.intervals
            .get(slot)
            .is_some_and(|interval| interval.contains_instant(at))
            .then_some(slot)
    }

    fn outside(&self, time: &EventTime, column: &ArrayRef, row: usize, range: Interval) -> Fault {
        let shown = |at: Instant| match at {
            Instant::MIN | Instant::MAX => format!("{at:?}"),
            at => zone::moment_text(at, &time.zone),
        };
        let (instance, name) = (&self.instance, &time.column);
        let what = match instants(&column.slice(row, 1), &time.zone) {
            times if times.is_valid(0) => format!("the event time {} in `{name}`", shown(Instant(times.value(0)))),
            _ if column.is_null(row) => format!("NULL in its event time `{name}`"),
            _ => format!("an event time in `{name}` beyond what a calendar has"),
        };
        Box::new(
            Diagnostic::error(
                codes::ROW_OUTSIDE_RANGE,
                format!(
                    "a row of `{instance}` has {what}, outside {} to {}, which is being filled",
                    shown(range.start),
                    shown(range.end)
                ),
            )
            .with_remedy(format!(
                "filter such rows out in the SQL (`where {name} is not null`), or set `{name}` from the event time of what is read"
            )),
        )
    }
}

/// Puts the rows of each slot together; one run of rows is a slice, no copy.
fn gather(batch: &RecordBatch, runs: Vec<(usize, Range<usize>)>) -> Result<Vec<(usize, RecordBatch)>, Fault> {
    let mut by_slot: Vec<(usize, Vec<Range<usize>>)> = Vec::new();
    let mut sorted = runs;
    sorted.sort_by_key(|(slot, rows)| (*slot, rows.start));
    for (slot, rows) in sorted {
        match by_slot.last_mut() {
            Some((last, ranges)) if *last == slot => ranges.push(rows),
            _ => by_slot.push((slot, vec![rows])),
        }
    }
    by_slot
        .into_iter()
        .map(|(slot, ranges)| match ranges.as_slice() {
            [rows] => Ok((slot, batch.slice(rows.start, rows.len()))),
            ranges => {
                let rows: UInt32Array = ranges.iter().cloned().flatten().map(|row| row as u32).collect();
                take_record_batch(batch, &rows)
                    .map(|part| (slot, part))
                    .map_err(|error| {
                        Box::new(Diagnostic::error(
                            codes::BUG,
                            format!("rows could not be gathered: {error}"),
                        ))
                    })
            }
        })
        .collect()
}

/// An event-time column as instants; NULL where it is NULL or beyond what a calendar has.
fn instants(column: &ArrayRef, zone: &Zone) -> Int64Array {
    match column.data_type() {
        DataType::Timestamp(_, Some(_)) => {
            let times = column.as_primitive::<TimestampMicrosecondType>();
            Int64Array::new(times.values().clone(), times.nulls().cloned())
        }
        DataType::Timestamp(_, None) => {
            let mut clock = CivilClock::new(zone);
            column
                .as_primitive::<TimestampMicrosecondType>()
                .iter()
                .map(|time| time.and_then(|time| clock.instant_us(time)))
                .collect()
        }
        DataType::Date32 => {
            let mut clock = CivilClock::new(zone);
            column
                .as_primitive::<Date32Type>()
                .iter()
                .map(|date| date.and_then(|date| clock.day_us(date)))
                .collect()
        }
        _ => Int64Array::new_null(column.len()),
    }
}

fn bad_event_time(message: &str) -> Fault {
    Box::new(
        Diagnostic::error(codes::BAD_EVENT_TIME, message)
            .with_remedy("select a timestamp or date column of that name, or name another column as `event_time`"),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::TimestampMicrosecondArray;
    use mulgil_core::{
        grid::{Cut, Grid, Unit},
        name::NodeName,
    };

    use super::*;

    fn slots(zone: &str, from: &str, to: &str) -> (Slots, Interval) {
        let grid = Grid {
            cut: Cut::Unit(Unit::Day),
            zone: Zone::named(zone).unwrap(),
            begin: None,
            end: None,
        };
        let at = |text: &str| Instant::from_timestamp(text.parse().unwrap());
        let range = Interval::new(at(from), at(to)).unwrap();
        let intervals = grid.intervals(range).collect();
        let instance = Instance::of(NodeName::new("m"));
        (Slots::by_event_time(intervals, "at", &grid.zone, &instance), range)
    }

    fn batch(times: &[Option<i64>], zone: Option<&str>) -> RecordBatch {
        let times = TimestampMicrosecondArray::from(times.to_vec()).with_timezone_opt(zone.map(str::to_owned));
        RecordBatch::try_from_iter([("at", Arc::new(times) as ArrayRef)]).unwrap()
    }

    #[test]
    fn rows_find_their_days_whatever_their_order() {
        let (slots, range) = slots("America/New_York", "2013-03-09T05:00:00Z", "2013-03-12T04:00:00Z");
        assert_eq!(slots.intervals().len(), 3);
        let hour = 3_600_000_000;
        let start = range.start.0;
        let mixed = batch(
            &[
                Some(start),
                Some(start + 25 * hour),
                Some(start + 2 * hour),
                Some(start + 47 * hour),
            ],
            Some("UTC"),
        );
        let parts = slots.split(&mixed, range).unwrap();
        let rows: Vec<_> = parts.iter().map(|(slot, part)| (*slot, part.num_rows())).collect();
        assert_eq!(rows, [(0, 2), (1, 1), (2, 1)], "10 March has 23 hours");
    }

    #[test]
    fn null_and_strangers_are_shown_with_the_range() {
        let (slots, range) = slots("America/New_York", "2013-03-09T05:00:00Z", "2013-03-10T05:00:00Z");
        let null = slots.split(&batch(&[None], Some("UTC")), range).unwrap_err();
        assert!(null.message.contains("NULL in its event time `at`"), "{null}");
        let late = slots
            .split(&batch(&[Some(range.end.0)], Some("UTC")), range)
            .unwrap_err();
        assert_eq!(late.code, codes::ROW_OUTSIDE_RANGE);
        assert!(late.message.contains("2013-03-10T00:00:00-05:00"), "{late}");
        assert!(late.message.contains("`m`"), "{late}");
    }

    #[test]
    fn naive_times_are_those_of_the_zone() {
        let (slots, range) = slots("Asia/Seoul", "2013-01-01T15:00:00Z", "2013-01-02T15:00:00Z");
        let midnight = "2013-01-02T00:00:00Z"
            .parse::<jiff::Timestamp>()
            .unwrap()
            .as_microsecond();
        assert_eq!(slots.split(&batch(&[Some(midnight)], None), range).unwrap().len(), 1);
        assert!(slots.split(&batch(&[Some(midnight - 1)], None), range).is_err());
    }
}
