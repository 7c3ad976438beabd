//! Intervals as people write them after `@`, and instants as they are printed.
//!
//! [`parse`] reads what [`format`] writes and a little more: years, months, weeks, dates, hours and
//! RFC 3339 instants in the grid's zone, and `A..B`, which excludes B. Nothing is widened or cut
//! to fit: what does not begin and end on cuts of the grid is an error that names the nearest
//! range which does.

use std::fmt::Write as _;

use jiff::civil::{Date, ISOWeekDate, Weekday};

use crate::{
    clock::{HOUR, MINUTE, SECOND, Span, civil_of, wall_of},
    codes::BAD_INTERVAL,
    diagnostic::Diagnostic,
    grid::{Cut, Grid, Unit, Zone},
    interval::{Instant, Interval},
};

/// Reads an interval or a range of them, whole ones of the grid.
///
/// `all` is [`Interval::WHOLE`] on every grid; `A..` and `..B` are open to one side.
///
/// # Errors
/// `MG0003` where the text cannot be read, names a time that the zone does not have or has twice,
/// does not lie on the grid's cuts, or names an interval where the grid has none.
pub fn parse(text: &str, grid: &Grid) -> Result<Interval, Diagnostic> {
    if text == ALL {
        return Ok(Interval::WHOLE);
    }
    if !grid.is_cut() {
        return Err(
            Diagnostic::error(BAD_INTERVAL, format!("`{text}` names an interval of what has none"))
                .with_remedy("leave out what follows the `@`: without an interval it is filled as a whole"),
        );
    }
    let range = match text.split_once("..") {
        Some((from, to)) => between(text, from, to, grid)?,
        None => Named::read(text)?.span(text, grid)?,
    };
    if grid.is_cut_at(range.start) && grid.is_cut_at(range.end) {
        Ok(range)
    } else {
        Err(off_the_cuts(text, range, grid))
    }
}

/// The shortest text that [`parse`] reads back on the same grid: `2013`, `2013-03`, `2013-03-10`,
/// `2013-11-03T01-04:00`, `2013-03-10..2013-03-14`, `all`.
pub fn format(interval: Interval, grid: &Grid) -> String {
    match interval {
        Interval::WHOLE => ALL.to_owned(),
        Interval {
            start: Instant::MIN,
            end,
        } => format!("..{}", edge(end, grid)),
        Interval {
            start,
            end: Instant::MAX,
        } => format!("{}..", edge(start, grid)),
        Interval { start, end } => {
            one_name(interval, grid).unwrap_or_else(|| format!("{}..{}", edge(start, grid), edge(end, grid)))
        }
    }
}

/// An instant in RFC 3339 with the zone's offset: `2013-03-10T00:00:00-05:00`. The ends of time
/// are `-infinity` and `infinity`.
pub fn format_instant(at: Instant, zone: &Zone) -> String {
    match at {
        Instant::MIN => return "-infinity".to_owned(),
        Instant::MAX => return "infinity".to_owned(),
        Instant(_) => {}
    }
    let stretch = zone.stretch_at(at);
    let wall = stretch.wall(at);
    let civil = civil_of(wall);
    let mut text = format!(
        "{}T{:02}:{:02}:{:02}",
        civil.date(),
        civil.hour(),
        civil.minute(),
        civil.second()
    );
    let fraction = wall.rem_euclid(SECOND);
    if fraction != 0 {
        let digits = format!(".{fraction:06}");
        text.push_str(digits.trim_end_matches('0'));
    }
    text + &format_offset(stretch.offset)
}

/// How long an interval lasts, to the microsecond: `23 h`, `23 h 30 min`, `1 s`; `for ever`.
pub fn format_length(interval: Interval) -> String {
    let length = match interval.end.0.checked_sub(interval.start.0) {
        Some(length) if interval.start > Instant::MIN && interval.end < Instant::MAX => length,
        Some(_) | None => return "for ever".to_owned(),
    };
    let parts = [
        (length / HOUR, "h"),
        (length % HOUR / MINUTE, "min"),
        (length % MINUTE / SECOND, "s"),
        (length % SECOND, "µs"),
    ];
    let mut text = String::new();
    for (count, unit) in parts.into_iter().filter(|(count, _)| *count != 0) {
        let gap = if text.is_empty() { "" } else { " " };
        // Writing to a String does not fail.
        let _ = write!(text, "{gap}{count} {unit}");
    }
    text
}

const ALL: &str = "all";

/// A time as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Year(i64),
    Month(i64),
    Week(Date),
    Date(Date),
    Hour(Clock),
    Moment(Clock),
}

/// What a clock shows, with the offset where it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Clock {
    wall: i64,
    offset: Option<i64>,
}

impl Named {
    fn read(text: &str) -> Result<Self, Diagnostic> {
        Self::scan(text).ok_or_else(|| {
            Diagnostic::error(BAD_INTERVAL, format!("`{text}` is not an interval")).with_remedy(
                "write a year, month, week, date, hour or instant: `2013`, `2013-03`, `2013-W10`, `2013-03-10`, \
                 `2013-03-10T01-05:00`, `2013-03-10T01:00:00-05:00`; or `A..B`, which excludes B",
            )
        })
    }

    fn scan(text: &str) -> Option<Self> {
        let Some((date, time)) = text.split_once('T') else {
            return Self::scan_date(text);
        };
        let Self::Date(date) = Self::scan_date(date)? else {
            return None;
        };
        let (time, offset) = match time.find(['Z', '+', '-']) {
            Some(at) => (&time[..at], Some(scan_offset(&time[at..])?)),
            None => (time, None),
        };
        let midnight = wall_of(date.to_datetime(jiff::civil::Time::midnight()));
        let clock = Clock {
            wall: midnight + scan_time(time)?,
            offset,
        };
        Some(if time.contains(':') {
            Self::Moment(clock)
        } else {
            Self::Hour(clock)
        })
    }

    fn scan_date(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let year = number(parts.next()?, 4)?;
        let (second, third) = (parts.next(), parts.next());
        if parts.next().is_some() {
            return None;
        }
        match (second, third) {
            (None, _) => Some(Self::Year(year)),
            (Some(week), None) if week.starts_with('W') => {
                let week = number(&week[1..], 2)?;
                let monday = ISOWeekDate::new(year as i16, week as i8, Weekday::Monday).ok()?;
                Some(Self::Week(monday.date()))
            }
            (Some(month), None) => {
                let month = number(month, 2).filter(|month| (1..=12).contains(month))?;
                Some(Self::Month(year * 12 + month - 1))
            }
            (Some(month), Some(day)) => {
                let date = Date::new(year as i16, number(month, 2)? as i8, number(day, 2)? as i8);
                date.ok().map(Self::Date)
            }
        }
    }

    /// From its first instant to the first one after it, in the grid's zone.
    fn span(self, text: &str, grid: &Grid) -> Result<Interval, Diagnostic> {
        let (span, index) = match self {
            Self::Year(year) => (Span::Year, year),
            Self::Month(month) => (Span::Month, month),
            Self::Week(monday) => (Span::Week, Span::Week.index_of(wall_of(monday.into()))),
            Self::Date(date) => (Span::Day, Span::Day.index_of(wall_of(date.into()))),
            Self::Hour(clock) => {
                let start = clock.instant(text, &grid.zone)?;
                return Ok(Interval {
                    start,
                    end: grid.zone.stretch_at(start).hour_after(start),
                });
            }
            Self::Moment(clock) => {
                let start = clock.instant(text, &grid.zone)?;
                return Ok(Interval {
                    start,
                    end: grid.next_cut(start),
                });
            }
        };
        let edge = |index| grid.zone.first_reaching(span.start_of(index));
        Interval::new(edge(index), edge(index + 1)).ok_or_else(|| {
            let message = format!("there was no `{text}` in {}: the clock skipped it", grid.zone);
            Diagnostic::error(BAD_INTERVAL, message).with_remedy("name a date before or after it")
        })
    }

    /// Its first instant: what a side of `A..B` means.
    fn start(self, text: &str, grid: &Grid) -> Result<Instant, Diagnostic> {
        Ok(match self {
            Self::Hour(clock) | Self::Moment(clock) => clock.instant(text, &grid.zone)?,
            Self::Year(_) | Self::Month(_) | Self::Week(_) | Self::Date(_) => self.span(text, grid)?.start,
        })
    }
}

impl Clock {
    fn instant(self, text: &str, zone: &Zone) -> Result<Instant, Diagnostic> {
        if let Some(offset) = self.offset {
            return Ok(Instant(self.wall - offset));
        }
        match zone.showing(self.wall).as_slice() {
            [only] => Ok(*only),
            [] => {
                let after = format_instant(zone.first_reaching(self.wall), zone);
                let message = format!("there was no `{text}` in {zone}: the clock was put forward to {after}");
                Err(Diagnostic::error(BAD_INTERVAL, message).with_remedy("name an hour before or after it"))
            }
            several => {
                let spellings: Vec<String> = several
                    .iter()
                    .map(|at| format!("`{text}{}`", format_offset(zone.stretch_at(*at).offset)))
                    .collect();
                let message = format!(
                    "`{text}` came {} times in {zone}: the clock was set back",
                    several.len()
                );
                let remedy = format!("write which one is meant: {}", spellings.join(" or "));
                Err(Diagnostic::error(BAD_INTERVAL, message).with_remedy(remedy))
            }
        }
    }
}

fn between(text: &str, from: &str, to: &str, grid: &Grid) -> Result<Interval, Diagnostic> {
    let side = |side: &str, open: Instant| match side {
        "" => Ok(open),
        named => Named::read(named)?.start(named, grid),
    };
    let (start, end) = (side(from, Instant::MIN)?, side(to, Instant::MAX)?);
    Interval::new(start, end).ok_or_else(|| {
        Diagnostic::error(
            BAD_INTERVAL,
            format!("`{text}` holds nothing: `{to}` does not come after `{from}`"),
        )
        .with_remedy("write the earlier side first; the later one is not part of the range")
    })
}

fn off_the_cuts(text: &str, range: Interval, grid: &Grid) -> Diagnostic {
    let zone = &grid.zone;
    let cut = match &grid.cut {
        Cut::Whole => "not cut".to_owned(),
        Cut::Unit(unit) => format!("one {} of {zone} each", unit.as_str()),
        Cut::Cron(cron) => format!("cut by the cron `{cron}` in {zone}"),
    };
    let message = if grid.count(range) == 1 {
        format!("`{text}` is finer than the intervals, which are {cut}")
    } else {
        format!("`{text}` does not begin and end where intervals do; they are {cut}")
    };
    let around = grid.snap_out(range);
    Diagnostic::error(BAD_INTERVAL, message)
        .with_remedy(format!("write `{}` for all that it touches", format(around, grid)))
}

/// The name of exactly this range, if one of the forms without `..` says it.
fn one_name(interval: Interval, grid: &Grid) -> Option<String> {
    let zone = &grid.zone;
    let stretch = zone.stretch_at(interval.start);
    let wall = stretch.wall(interval.start);
    let spans: &[Span] = match grid.cut {
        Cut::Unit(Unit::Week) => &[Span::Year, Span::Month, Span::Week],
        Cut::Unit(Unit::Hour | Unit::Day | Unit::Month | Unit::Year) | Cut::Cron(_) | Cut::Whole => {
            &[Span::Year, Span::Month, Span::Day]
        }
    };
    let span = spans.iter().find(|span| {
        let index = span.index_of(wall);
        let edge = |index| zone.first_reaching(span.start_of(index));
        has_four_digits(wall) && edge(index) == interval.start && edge(index + 1) == interval.end
    });
    if let Some(span) = span {
        return Some(name_of(*span, wall));
    }
    if has_four_digits(wall) && wall.rem_euclid(HOUR) == 0 && stretch.hour_after(interval.start) == interval.end {
        return Some(hour_name(wall, stretch.offset));
    }
    (interval.end == grid.next_cut(interval.start)).then(|| format_instant(interval.start, zone))
}

/// One side of `A..B`.
fn edge(at: Instant, grid: &Grid) -> String {
    let stretch = grid.zone.stretch_at(at);
    let wall = stretch.wall(at);
    let span = match grid.cut {
        Cut::Unit(Unit::Year) => Span::Year,
        Cut::Unit(Unit::Month) => Span::Month,
        Cut::Unit(Unit::Week) => Span::Week,
        Cut::Unit(Unit::Hour | Unit::Day) | Cut::Cron(_) | Cut::Whole => Span::Day,
    };
    if !has_four_digits(wall) {
        return format_instant(at, &grid.zone);
    }
    if grid.zone.first_reaching(span.start_of(span.index_of(wall))) == at {
        return name_of(span, wall);
    }
    if wall.rem_euclid(HOUR) == 0 {
        return hour_name(wall, stretch.offset);
    }
    format_instant(at, &grid.zone)
}

fn name_of(span: Span, wall: i64) -> String {
    let date = civil_of(wall).date();
    match span {
        Span::Day => date.to_string(),
        Span::Week => {
            let week = date.iso_week_date();
            format!("{:04}-W{:02}", week.year(), week.week())
        }
        Span::Month => format!("{:04}-{:02}", date.year(), date.month()),
        Span::Year => format!("{:04}", date.year()),
    }
}

fn hour_name(wall: i64, offset: i64) -> String {
    let civil = civil_of(wall);
    format!("{}T{:02}{}", civil.date(), civil.hour(), format_offset(offset))
}

fn format_offset(offset: i64) -> String {
    let sign = if offset < 0 { '-' } else { '+' };
    let offset = offset.abs();
    let mut text = format!("{sign}{:02}:{:02}", offset / HOUR, offset % HOUR / MINUTE);
    let seconds = offset % MINUTE / SECOND;
    if seconds != 0 {
        let _ = write!(text, ":{seconds:02}");
    }
    text
}

/// Whether the year is one that people write with four digits.
fn has_four_digits(wall: i64) -> bool {
    (0..=9998).contains(&Span::Year.index_of(wall))
}

/// `01`, `01:30`, `01:30:15` or `01:30:15.25`, as time since midnight.
fn scan_time(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let hour = number(parts.next()?, 2).filter(|hour| *hour < 24)?;
    let minute = parts
        .next()
        .map_or(Some(0), |minute| number(minute, 2))
        .filter(|minute| *minute < 60)?;
    let (second, fraction) = match parts.next() {
        None => (0, 0),
        Some(second) => match second.split_once('.') {
            None => (number(second, 2)?, 0),
            Some((second, fraction)) => (number(second, 2)?, scan_fraction(fraction)?),
        },
    };
    (parts.next().is_none() && second < 60).then_some(hour * HOUR + minute * MINUTE + second * SECOND + fraction)
}

/// One to six digits after the point, in microseconds.
fn scan_fraction(text: &str) -> Option<i64> {
    let digits = text.len();
    let scale = 6u32.checked_sub(u32::try_from(digits).ok()?)?;
    Some(number(text, digits).filter(|_| digits > 0)? * 10i64.pow(scale))
}

/// `Z`, `-04:00` or `+08:27:52`.
fn scan_offset(text: &str) -> Option<i64> {
    if text == "Z" {
        return Some(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    Some(sign * scan_time(text.strip_prefix(['+', '-'])?)?)
}

/// A number of exactly so many ASCII digits.
fn number(text: &str, digits: usize) -> Option<i64> {
    (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}
