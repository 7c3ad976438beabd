//! Which civil times a cron matches, as sets of bits, and the search for the next and the last of them: month by
//! month, so that what fires once a year is found in as many steps as there are months between.

use crate::clock::{MINUTE, first_day_of, month_of};

/// Minutes of a day.
const DAY_MINUTES: i64 = 1_440;
/// After so many months the calendar is the same again: 400 years are whole weeks.
const CALENDAR_MONTHS: i64 = 400 * 12;
/// The days of one weekday in a month, from the first of them.
const EACH_WEEK: u64 = 1 | 1 << 7 | 1 << 14 | 1 << 21 | 1 << 28;

/// What the fields pick. A set of days has a bit for each number, a set of weekdays one from Sunday on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matches {
    pub(super) minutes: u64,
    pub(super) hours: u32,
    pub(super) days: u32,
    /// January is bit 1.
    pub(super) months: u16,
    pub(super) weekdays: u8,
    /// Days whose nearest working day in the month is meant: `15W`.
    pub(super) near: u32,
    /// The last day of the month: `L`. Where `LW` stands beside it, that alone holds.
    pub(super) has_last: bool,
    /// The last working day of the month: `LW`.
    pub(super) has_last_working: bool,
    /// The first to the fifth of some weekdays: `FRI#2`.
    pub(super) nth: [u8; 5],
    /// The last of some weekdays: `5L`.
    pub(super) last: u8,
    /// Whether the day of the month is `*`; then the weekday alone decides.
    pub(super) is_any_day: bool,
    /// Whether the weekday is `*`; then the day of the month alone decides.
    pub(super) is_any_weekday: bool,
}

impl Matches {
    /// The first matching wall from `wall` to `latest`.
    pub(super) fn first_from(&self, wall: i64, latest: i64) -> Option<i64> {
        let minute = wall.div_euclid(MINUTE) + i64::from(wall.rem_euclid(MINUTE) > 0);
        let (date, time) = (minute.div_euclid(DAY_MINUTES), minute.rem_euclid(DAY_MINUTES));
        let this_month = month_of(date);
        let day = date - first_day_of(this_month) + 1;
        let days = self.days_of(this_month);
        if days & 1 << day != 0
            && let Some(time) = self.time_from(time)
        {
            return Some(wall_at(date, time)).filter(|wall| *wall <= latest);
        }
        let rest = (this_month, days & u32::MAX << day << 1);
        let later = (1..=CALENDAR_MONTHS).map(|months| this_month + months);
        let mut months = std::iter::once(rest).chain(later.map(|month| (month, self.days_of(month))));
        let (month, days) = months.find(|(_, days)| *days != 0)?;
        let date = first_day_of(month) + lowest(days.into()) - 1;
        Some(wall_at(date, self.time_from(0)?)).filter(|wall| *wall <= latest)
    }

    /// The last matching wall from `earliest` to `wall`.
    pub(super) fn last_to(&self, wall: i64, earliest: i64) -> Option<i64> {
        let minute = wall.div_euclid(MINUTE);
        let (date, time) = (minute.div_euclid(DAY_MINUTES), minute.rem_euclid(DAY_MINUTES));
        let this_month = month_of(date);
        let day = date - first_day_of(this_month) + 1;
        let days = self.days_of(this_month);
        if days & 1 << day != 0
            && let Some(time) = self.time_to(time)
        {
            return Some(wall_at(date, time)).filter(|wall| *wall >= earliest);
        }
        let rest = (this_month, days & !(u32::MAX << day));
        let before = (1..=CALENDAR_MONTHS).map(|months| this_month - months);
        let mut months = std::iter::once(rest).chain(before.map(|month| (month, self.days_of(month))));
        let (month, days) = months.find(|(_, days)| *days != 0)?;
        let date = first_day_of(month) + highest(days.into()) - 1;
        Some(wall_at(date, self.time_to(DAY_MINUTES - 1)?)).filter(|wall| *wall >= earliest)
    }

    /// The first matching minute of a day, from one on.
    fn time_from(&self, time: i64) -> Option<i64> {
        let (hour, minute) = (time / 60, time % 60);
        let minutes = self.minutes & u64::MAX << minute;
        if self.hours & 1 << hour != 0 && minutes != 0 {
            return Some(hour * 60 + lowest(minutes));
        }
        let hours = self.hours & u32::MAX << hour << 1;
        (hours != 0).then(|| lowest(hours.into()) * 60 + lowest(self.minutes))
    }

    /// The last matching minute of a day, up to one.
    fn time_to(&self, time: i64) -> Option<i64> {
        let (hour, minute) = (time / 60, time % 60);
        let minutes = self.minutes & !(u64::MAX << minute << 1);
        if self.hours & 1 << hour != 0 && minutes != 0 {
            return Some(hour * 60 + highest(minutes));
        }
        let hours = self.hours & !(u32::MAX << hour);
        (hours != 0).then(|| highest(hours.into()) * 60 + highest(self.minutes))
    }

    /// The matching days of a month, which counts from January of the year 0.
    fn days_of(&self, month: i64) -> u32 {
        if self.months & 1 << (month.rem_euclid(12) + 1) == 0 {
            return 0;
        }
        let first = first_day_of(month);
        let shape = Month {
            length: (first_day_of(month + 1) - first) as u32,
            // Day 0 was a Thursday.
            first_weekday: (first + 4).rem_euclid(7) as u32,
        };
        let days = match (self.is_any_day, self.is_any_weekday) {
            (_, true) => self.by_date(shape),
            (true, false) => self.by_weekday(shape),
            (false, false) => self.by_date(shape) | self.by_weekday(shape),
        };
        days & shape.all()
    }

    fn by_date(&self, month: Month) -> u32 {
        let mut days = self.days;
        if self.has_last_working {
            days |= 1 << month.last_working();
        } else if self.has_last {
            days |= 1 << month.length;
        }
        let mut near = self.near & month.all();
        while near != 0 {
            days |= 1 << month.working_near(near.trailing_zeros());
            near &= near - 1;
        }
        days
    }

    fn by_weekday(&self, month: Month) -> u32 {
        let mut days = 0;
        for weekday in 0..7 {
            let is_in = |set: u8| set & 1 << weekday != 0;
            let first = 1 + (weekday + 7 - month.first_weekday) % 7;
            let each = (EACH_WEEK << first) as u32 & month.all();
            if is_in(self.weekdays) {
                days |= each;
            }
            for (week, nth) in (0..).zip(self.nth) {
                if is_in(nth) {
                    days |= (1_u64 << (first + 7 * week)) as u32;
                }
            }
            if is_in(self.last) {
                days |= 1 << each.ilog2();
            }
        }
        days
    }
}

/// What of a month the matching days hang on.
#[derive(Clone, Copy)]
struct Month {
    /// Its days.
    length: u32,
    /// The weekday of its first, from Sunday on.
    first_weekday: u32,
}

const SUNDAY: u32 = 0;
const SATURDAY: u32 = 6;

impl Month {
    fn all(self) -> u32 {
        u32::MAX >> (31 - self.length) & !1
    }

    fn weekday(self, day: u32) -> u32 {
        (self.first_weekday + day - 1) % 7
    }

    fn last_working(self) -> u32 {
        match self.weekday(self.length) {
            SATURDAY => self.length - 1,
            SUNDAY => self.length - 2,
            _ => self.length,
        }
    }

    /// The working day of the month that is nearest to a day.
    fn working_near(self, day: u32) -> u32 {
        match self.weekday(day) {
            SATURDAY if day > 1 => day - 1,
            SATURDAY => day + 2,
            SUNDAY if day < self.length => day + 1,
            SUNDAY => day - 2,
            _ => day,
        }
    }
}

fn wall_at(date: i64, time: i64) -> i64 {
    (date * DAY_MINUTES + time) * MINUTE
}

/// The lowest of a set that is not empty.
fn lowest(set: u64) -> i64 {
    i64::from(set.trailing_zeros())
}

/// The highest of a set that is not empty.
fn highest(set: u64) -> i64 {
    i64::from(set.ilog2())
}
