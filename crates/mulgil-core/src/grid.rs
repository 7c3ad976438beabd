//! How a node's time is cut: into hours, days, weeks, months, years or by a cron, in a time zone.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    clock::{HOUR, Span, Stretches},
    cron::Cron,
    interval::{Instant, Interval},
};

/// A time zone of the bundled IANA database, named. Equal where the names are.
#[derive(Clone)]
pub struct Zone {
    tz: jiff::tz::TimeZone,
    /// Its stretches of one offset; none for UTC, which is one.
    stretches: Option<Stretches>,
}

impl Zone {
    /// UTC.
    pub const UTC: Self = Self {
        tz: jiff::tz::TimeZone::UTC,
        stretches: None,
    };

    /// The zone of that IANA name, any letter case; nothing when there is none.
    pub fn named(name: &str) -> Option<Self> {
        let tz = jiff::tz::TimeZoneDatabase::bundled().get(name).ok()?;
        let stretches = (tz != jiff::tz::TimeZone::UTC).then(|| Stretches::of(&tz));
        Some(Self { tz, stretches })
    }

    /// Its IANA name.
    pub fn name(&self) -> &str {
        self.tz.iana_name().unwrap_or("UTC")
    }

    /// The zone as jiff knows it.
    pub fn tz(&self) -> &jiff::tz::TimeZone {
        &self.tz
    }

    pub(crate) fn stretches(&self) -> Option<&Stretches> {
        self.stretches.as_ref()
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Zone {}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Zone {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::named(&name).ok_or_else(|| serde::de::Error::custom(format!("no time zone `{name}`")))
    }
}

/// A calendar unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// By the clock of the zone; a repeated hour is two intervals.
    Hour,
    /// From the first instant of a civil date to the first of the next.
    Day,
    /// From Monday to Monday.
    Week,
    /// Calendar month.
    Month,
    /// Calendar year.
    Year,
}

impl Unit {
    /// As it is written in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }
}

impl FromStr for Unit {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text {
            "hour" => Self::Hour,
            "day" => Self::Day,
            "week" => Self::Week,
            "month" => Self::Month,
            "year" => Self::Year,
            _ => return Err(()),
        })
    }
}

/// Where the cuts fall.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// Nowhere: one interval, [`Interval::WHOLE`].
    Whole,
    /// At each calendar unit.
    Unit(Unit),
    /// At each firing of a cron.
    Cron(Cron),
}

/// A node's grid: its cut in its zone, from `begin` to `end`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grid {
    /// Where the cuts fall.
    pub cut: Cut,
    /// The zone they are taken in.
    pub zone: Zone,
    /// The first instant wanted; on a cut. Absent: nothing is wanted before the first upstream's.
    pub begin: Option<Instant>,
    /// The first instant no longer wanted; on a cut. Absent: for ever.
    pub end: Option<Instant>,
}

impl Grid {
    /// The grid of a node that is not cut.
    pub fn whole(zone: Zone) -> Self {
        Self {
            cut: Cut::Whole,
            zone,
            begin: None,
            end: None,
        }
    }

    /// Whether time is cut at all.
    pub fn is_cut(&self) -> bool {
        self.cut != Cut::Whole
    }

    /// Whether two grids have the same cuts, whatever their `begin` and `end`.
    pub fn same_cuts(&self, other: &Self) -> bool {
        self.cut == other.cut && (!self.is_cut() || self.zone == other.zone)
    }

    /// From `begin` to `end`; all of time for what is not cut.
    pub fn extent(&self) -> Interval {
        Interval {
            start: self.begin.unwrap_or(Instant::MIN),
            end: self.end.unwrap_or(Instant::MAX),
        }
    }
}

/// Where the cuts lie. [`Instant::MIN`] and [`Instant::MAX`] are cuts of every grid. `begin` and
/// `end` play no part here: every grid cuts all of time.
impl Grid {
    /// The last cut at or before an instant.
    pub fn floor(&self, at: Instant) -> Instant {
        if at == Instant::MAX {
            return at;
        }
        match self.cutter() {
            Cutter::Whole => Instant::MIN,
            Cutter::Hours => self.zone.stretch_at(at).hour_floor(at),
            Cutter::Dates(span) => self.date_cut(span, at, 0),
            Cutter::Cron(cron) => cron.last_at_or_before(&self.zone, at).unwrap_or(Instant::MIN),
        }
    }

    /// The first cut after an instant; [`Instant::MAX`] stays.
    pub fn next_cut(&self, at: Instant) -> Instant {
        match self.cutter() {
            Cutter::Whole => Instant::MAX,
            Cutter::Hours => self.zone.stretch_at(at).hour_after(at),
            Cutter::Dates(span) => self.date_cut(span, at, 1),
            Cutter::Cron(cron) => cron.next_after(&self.zone, at).unwrap_or(Instant::MAX),
        }
    }

    /// The last cut before an instant; [`Instant::MIN`] stays.
    pub fn prev_cut(&self, at: Instant) -> Instant {
        self.floor(Instant(at.0.saturating_sub(1)))
    }

    /// The first cut at or after an instant.
    pub fn ceil(&self, at: Instant) -> Instant {
        if self.is_cut_at(at) { at } else { self.next_cut(at) }
    }

    /// Whether a cut falls on an instant.
    pub fn is_cut_at(&self, at: Instant) -> bool {
        at == Instant::MIN || self.floor(at) == at
    }

    /// The one interval that holds an instant; the last one for [`Instant::MAX`].
    pub fn interval_at(&self, at: Instant) -> Interval {
        let at = at.min(Instant(i64::MAX - 1));
        Interval {
            start: self.floor(at),
            end: self.next_cut(at),
        }
    }

    /// The smallest range of whole intervals that holds a range.
    #[must_use]
    pub fn snap_out(&self, range: Interval) -> Interval {
        Interval {
            start: self.floor(range.start),
            end: self.ceil(range.end),
        }
    }

    /// The largest range of whole intervals inside a range; nothing when not one fits.
    pub fn snap_in(&self, range: Interval) -> Option<Interval> {
        Interval::new(self.ceil(range.start), self.floor(range.end))
    }

    /// The `n`-th cut before the last cut at or before an instant: it itself for 0.
    pub fn back(&self, at: Instant, n: u32) -> Instant {
        let (mut cut, mut left) = (self.floor(at), u64::from(n));
        while left > 0 && cut > Instant::MIN {
            let guess = self.guess(cut, left, Direction::Back);
            let mut passed = self.count(Interval { start: guess, end: cut });
            cut = guess;
            while passed > left {
                cut = self.next_cut(cut);
                passed -= 1;
            }
            left -= passed;
        }
        cut
    }

    /// The `n`-th cut after the first cut at or after an instant: it itself for 0.
    pub fn ahead(&self, at: Instant, n: u32) -> Instant {
        let (mut cut, mut left) = (self.ceil(at), u64::from(n));
        while left > 0 && cut < Instant::MAX {
            let guess = self.guess(cut, left, Direction::Ahead);
            let mut passed = self.count(Interval { start: cut, end: guess });
            cut = guess;
            while passed > left {
                cut = self.prev_cut(cut);
                passed -= 1;
            }
            left -= passed;
        }
        cut
    }

    /// How many intervals a range touches: for a range that ends on cuts, how many it holds.
    /// Units are counted by arithmetic between the zone's changes of offset, crons one by one.
    pub fn count(&self, range: Interval) -> u64 {
        let last = Instant(range.end.0 - 1);
        match self.cutter() {
            Cutter::Whole => 1,
            Cutter::Hours => {
                1 + self
                    .zone
                    .stretches_from(range.start)
                    .take_while(|stretch| stretch.start < range.end)
                    .map(|stretch| stretch.hours_within(range))
                    .sum::<u64>()
            }
            Cutter::Dates(span) => {
                let index_at = |at| span.index_of(self.zone.highest_wall(at));
                let spans = 1 + index_at(last).abs_diff(index_at(range.start));
                match span {
                    Span::Day => spans - self.skipped_days(range),
                    Span::Week | Span::Month | Span::Year => spans,
                }
            }
            Cutter::Cron(_) => self.intervals(range).count() as u64,
        }
    }

    /// The intervals that a range touches, in order: those it holds, where it ends on cuts.
    pub fn intervals(&self, range: Interval) -> impl Iterator<Item = Interval> + '_ {
        let mut cuts = self.cuts_from(self.floor(range.start)).peekable();
        std::iter::from_fn(move || {
            let start = cuts.next().filter(|start| *start < range.end)?;
            Some(Interval {
                start,
                end: cuts.peek().copied().unwrap_or(Instant::MAX),
            })
        })
    }

    /// Every cut in `[start, end)` of a range, in order.
    pub fn cuts(&self, range: Interval) -> Vec<Instant> {
        self.cuts_from(self.ceil(range.start))
            .take_while(|cut| *cut < range.end)
            .collect()
    }

    /// The cuts from one of them on, [`Instant::MAX`] left out.
    fn cuts_from(&self, cut: Instant) -> Box<dyn Iterator<Item = Instant> + '_> {
        let cuts: Box<dyn Iterator<Item = Instant> + '_> = match self.cutter() {
            Cutter::Whole => Box::new(std::iter::once(cut)),
            Cutter::Hours => Box::new(self.hour_cuts_from(cut)),
            Cutter::Dates(span) => Box::new(self.date_cuts_from(span, cut)),
            Cutter::Cron(cron) => Box::new(std::iter::successors(Some(cut), |last| {
                cron.next_after(&self.zone, *last)
            })),
        };
        Box::new(cuts.take_while(|cut| *cut < Instant::MAX))
    }

    fn hour_cuts_from(&self, cut: Instant) -> impl Iterator<Item = Instant> + '_ {
        let mut stretches = self.zone.stretches_from(cut);
        let mut stretch = stretches.next();
        let mut next = cut;
        std::iter::from_fn(move || {
            let current = stretch?;
            let cut = next;
            next = current.hour_after(cut);
            if next == current.end {
                stretch = stretches.next();
            }
            Some(cut)
        })
    }

    fn date_cuts_from(&self, span: Span, cut: Instant) -> impl Iterator<Item = Instant> + '_ {
        let mut index = span.index_of(self.zone.highest_wall(cut));
        let mut walker = self.zone.walker(span.start_of(index));
        std::iter::successors(Some(cut), move |last| {
            // A date that the zone skipped would begin where the one after it begins.
            loop {
                index += 1;
                let next = walker.first_reaching(span.start_of(index));
                if next > *last {
                    return Some(next);
                }
                if next == Instant::MAX {
                    return None;
                }
            }
        })
    }

    /// The beginning of the date, week, month or year that holds an instant, or of one `n` later.
    fn date_cut(&self, span: Span, at: Instant, n: i64) -> Instant {
        let index = span.index_of(self.zone.highest_wall(at)).saturating_add(n);
        self.zone
            .first_reaching_near(self.zone.stretch_at(at), span.start_of(index))
    }

    /// Another cut, about `n` cuts away: an hour's interval is never longer than an hour, so it may
    /// be too far; a date may have been skipped, so it may be too near.
    fn guess(&self, cut: Instant, n: u64, direction: Direction) -> Instant {
        let n = i64::try_from(n).unwrap_or(i64::MAX);
        let n = match direction {
            Direction::Back => -n,
            Direction::Ahead => n,
        };
        let guess = match self.cutter() {
            Cutter::Whole | Cutter::Cron(_) => cut,
            Cutter::Hours => self.floor(Instant(cut.0.saturating_add(n.saturating_mul(HOUR)))),
            Cutter::Dates(span) => self.date_cut(span, cut, n),
        };
        // One date back it does not move when that date was skipped.
        match direction {
            _ if guess != cut => guess,
            Direction::Back => self.prev_cut(cut),
            Direction::Ahead => self.next_cut(cut),
        }
    }

    /// How many civil dates inside a range the zone skipped by changing its side of the date line.
    fn skipped_days(&self, range: Interval) -> u64 {
        self.zone
            .stretches_from(range.start)
            .skip(1)
            .take_while(|stretch| stretch.start < range.end)
            .map(|stretch| {
                let before = Span::Day.index_of(self.zone.highest_wall(Instant(stretch.start.0 - 1)));
                let after = Span::Day.index_of(self.zone.highest_wall(stretch.start));
                // The next date is always a new one; what lies between begins and ends here.
                after.abs_diff(before).saturating_sub(1)
            })
            .sum()
    }

    fn cutter(&self) -> Cutter<'_> {
        match &self.cut {
            Cut::Whole => Cutter::Whole,
            Cut::Unit(Unit::Hour) => Cutter::Hours,
            Cut::Unit(Unit::Day) => Cutter::Dates(Span::Day),
            Cut::Unit(Unit::Week) => Cutter::Dates(Span::Week),
            Cut::Unit(Unit::Month) => Cutter::Dates(Span::Month),
            Cut::Unit(Unit::Year) => Cutter::Dates(Span::Year),
            Cut::Cron(cron) => Cutter::Cron(cron),
        }
    }
}

/// The four ways of finding cuts.
enum Cutter<'grid> {
    Whole,
    Hours,
    Dates(Span),
    Cron(&'grid Cron),
}

#[derive(Clone, Copy)]
enum Direction {
    Back,
    Ahead,
}
