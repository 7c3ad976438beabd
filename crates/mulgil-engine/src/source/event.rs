//! The event time of a row: which rows of a file are wanted, and which are a fault (a row must
//! belong to the interval of its file, or it would be lost in silence).

use datafusion::arrow::datatypes::DataType;
use mulgil_core::{
    grid::Zone,
    interval::{Instant, Interval},
    port::Fault,
};

use super::{
    cell::{Cell, parse_instant},
    fault::{Misfit, Origin, RowPlace},
    time,
};
use crate::zone::{self, CivilClock};

/// The event-time column of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EventTime {
    /// Its place among the source's columns.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: EventKind,
    /// The zone of times without an offset and of dates.
    pub zone: Zone,
}

/// What an event-time column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventKind {
    /// Instants in microseconds.
    Instant,
    /// Dates in days since 1970.
    Date,
}

impl EventKind {
    /// Of a column's type; nothing for a type that is no time.
    pub(super) fn of(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::Timestamp(..) => Some(Self::Instant),
            DataType::Date32 => Some(Self::Date),
            _ => None,
        }
    }
}

/// Which rows of a file are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowRule {
    /// All of them, whatever their time.
    All,
    /// Those inside; the others are passed over.
    Only(Interval),
    /// All; one that lies outside is a fault.
    Within(Interval),
}

/// What is done with one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is read.
    Take,
    /// It is passed over.
    Pass,
    /// It is a fault.
    Outside,
}

/// A rule made ready for the values of a column.
#[derive(Clone, Debug)]
pub(super) struct EventCheck {
    /// The column.
    pub event: EventTime,
    rule: RowRule,
    /// What the rule's interval is in the column's own unit: `[from, until)`.
    from: i64,
    until: i64,
    clock: CivilClock,
}

impl EventCheck {
    /// The check that a rule asks for; nothing where every row is read.
    pub(super) fn new(event: &EventTime, rule: RowRule) -> Option<Self> {
        let (from, until) = match (event.kind, rule) {
            (_, RowRule::All) => return None,
            (EventKind::Instant, RowRule::Only(interval) | RowRule::Within(interval)) => {
                (interval.start.0, interval.end.0)
            }
            // A date belongs to the interval that its first instant lies in, so that each row is
            // read once; in the file of an hour it only has to be the date of that hour.
            (EventKind::Date, RowRule::Only(interval)) => widen(time::days_starting_in(interval, &event.zone)),
            (EventKind::Date, RowRule::Within(interval)) => widen(time::days_touching(interval, &event.zone)),
        };
        Some(Self {
            clock: CivilClock::new(&event.zone),
            event: event.clone(),
            rule,
            from,
            until,
        })
    }

    /// A value of the column from its text; `None` for NULL.
    pub(super) fn value(&mut self, cell: Cell<'_>) -> Result<Option<i64>, Misfit> {
        let text = match cell {
            Cell::Null => return Ok(None),
            Cell::Text(text) | Cell::Plain(text) => text,
        };
        let value = match self.event.kind {
            EventKind::Instant => parse_instant(text, Some(&mut self.clock)),
            EventKind::Date => time::parse_date(text).map(i64::from),
        };
        value.map(Some).ok_or(Misfit)
    }

    /// What becomes of a row with that value.
    pub(super) fn verdict(&self, value: i64) -> Verdict {
        let inside = self.from <= value && value < self.until;
        match self.rule {
            RowRule::All => Verdict::Take,
            RowRule::Only(_) | RowRule::Within(_) if inside => Verdict::Take,
            RowRule::Only(_) => Verdict::Pass,
            RowRule::Within(_) => Verdict::Outside,
        }
    }

    /// The fault of a row with that value (`None` for NULL); `written` is how the file writes it.
    pub(super) fn fault(&self, origin: &Origin, row: RowPlace, value: Option<i64>, written: Option<&str>) -> Fault {
        let Some(value) = value else {
            return origin.null_event_time(row, &self.event.name);
        };
        let value = written.map_or_else(|| self.show(value), str::to_owned);
        let interval = match self.rule {
            RowRule::All => Interval::WHOLE,
            RowRule::Only(interval) | RowRule::Within(interval) => interval,
        };
        let interval = time::show_interval(interval, &self.event.zone);
        origin.outside(row, &self.event.name, &value, &interval)
    }

    fn show(&self, value: i64) -> String {
        match self.event.kind {
            EventKind::Instant => zone::moment_text(Instant(value), &self.event.zone),
            EventKind::Date => zone::date_text(value as i32),
        }
    }
}

fn widen((from, until): (i32, i32)) -> (i64, i64) {
    (i64::from(from), i64::from(until))
}
