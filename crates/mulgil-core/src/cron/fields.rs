//! The five fields of a cron as they are written: what each may hold, and what it picks.

use super::{CronError, matches::Matches};

/// What one of the five fields may hold.
struct Field {
    name: &'static str,
    low: u32,
    high: u32,
    names: &'static [&'static str],
    /// The number of the first name.
    first: u32,
    marks: Marks,
}

/// Which of `L`, `W` and `#` a field knows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Marks {
    None,
    DayOfMonth,
    DayOfWeek,
}

const MONTHS: &[&str] = &[
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const FIELDS: [Field; 5] = [
    Field {
        name: "minute",
        low: 0,
        high: 59,
        names: &[],
        first: 0,
        marks: Marks::None,
    },
    Field {
        name: "hour",
        low: 0,
        high: 23,
        names: &[],
        first: 0,
        marks: Marks::None,
    },
    Field {
        name: "day of month",
        low: 1,
        high: 31,
        names: &[],
        first: 0,
        marks: Marks::DayOfMonth,
    },
    Field {
        name: "month",
        low: 1,
        high: 12,
        names: MONTHS,
        first: 1,
        marks: Marks::None,
    },
    Field {
        name: "day of week",
        low: 0,
        high: 7,
        names: WEEKDAYS,
        first: 0,
        marks: Marks::DayOfWeek,
    },
];

/// Reads the fields: what they match, and how they are written.
pub(super) fn read(text: &str) -> Result<(Matches, [&str; 5]), CronError> {
    let written = split(text)?;
    let mut picked = [Picked::default(); 5];
    for ((field, written), picked) in FIELDS.iter().zip(written).zip(&mut picked) {
        *picked = field.read(written)?;
    }
    let [minute, hour, day, month, weekday] = picked;
    let weekday = weekday.with_one_sunday();
    let is_any = |written: &str| matches!(written, "*" | "?");
    let matches = Matches {
        minutes: minute.values,
        hours: hour.values as u32,
        days: day.values as u32,
        months: month.values as u16,
        weekdays: weekday.values as u8,
        near: day.near,
        has_last: day.has_last,
        has_last_working: day.has_last_working,
        nth: weekday.nth,
        last: weekday.last,
        is_any_day: is_any(written[2]),
        is_any_weekday: is_any(written[4]),
    };
    Ok((matches, written))
}

/// What a field picks: bits of its numbers, and what its marks say.
#[derive(Clone, Copy, Default)]
struct Picked {
    values: u64,
    near: u32,
    has_last: bool,
    has_last_working: bool,
    nth: [u8; 5],
    last: u8,
}

impl Picked {
    /// Sunday is both 0 and 7; here it is 0.
    fn with_one_sunday(mut self) -> Self {
        let folded = |days: u8| (days | days >> 7) & 0x7f;
        self.values = folded(self.values as u8).into();
        self.nth = self.nth.map(folded);
        self.last = folded(self.last);
        self
    }
}

fn split(text: &str) -> Result<[&str; 5], CronError> {
    if text.starts_with('@') {
        let known = match text.to_ascii_lowercase().as_str() {
            "@hourly" => ["0", "*", "*", "*", "*"],
            "@daily" | "@midnight" => ["0", "0", "*", "*", "*"],
            "@weekly" => ["0", "0", "*", "*", "SUN"],
            "@monthly" => ["0", "0", "1", "*", "*"],
            "@yearly" | "@annually" => ["0", "0", "1", "1", "*"],
            _ => {
                return Err(CronError(format!(
                    "`{text}` is not known; there are @hourly, @daily, @weekly, @monthly and @yearly"
                )));
            }
        };
        return Ok(known);
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    if let Ok(fields) = <[&str; 5]>::try_from(fields.as_slice()) {
        return Ok(fields);
    }
    let seconds = if fields.len() > FIELDS.len() {
        "; there is none for seconds or years"
    } else {
        ""
    };
    Err(CronError(format!(
        "a cron has five fields (minute, hour, day of month, month, day of week), and `{text}` has {}{seconds}",
        fields.len()
    )))
}

impl Field {
    fn read(&self, written: &str) -> Result<Picked, CronError> {
        let is_list = written.contains(',');
        let mut picked = Picked::default();
        for item in written.split(',') {
            let read = if is_list && matches!(item, "*" | "?") {
                Err(format!("`{item}` means all and cannot be one of a list"))
            } else {
                self.read_item(item, &mut picked)
            };
            read.map_err(|why| CronError(format!("the {} field `{written}` is wrong: {why}", self.name)))?;
        }
        Ok(picked)
    }

    fn read_item(&self, item: &str, picked: &mut Picked) -> Result<(), String> {
        if item.is_empty() {
            return Err("it has an empty place in its list".to_owned());
        }
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (item, None),
        };
        let by = step.map_or(Ok(1), |step| self.step(range, step))?;
        if range == "*" || (range == "?" && self.marks != Marks::None) {
            picked.values |= every(self.low, self.high, by);
            return Ok(());
        }
        if step.is_none() && self.read_marked(range, picked)? {
            return Ok(());
        }
        let Some((from, to)) = range.split_once('-') else {
            let value = self.value(range)?;
            picked.values |= every(value, value, 1);
            return Ok(());
        };
        if from.is_empty() || to.is_empty() {
            return Err(format!("`{range}` lacks one side of its range"));
        }
        let (low, high) = (self.value(from)?, self.value(to)?);
        // Sunday ends a week as well as it begins one.
        let high = if to.eq_ignore_ascii_case("SUN") { 7 } else { high };
        if low > high {
            return Err(format!("the range `{range}` runs backwards"));
        }
        picked.values |= every(low, high, by);
        Ok(())
    }

    fn step(&self, range: &str, step: &str) -> Result<u32, String> {
        let count: u32 = step.parse().map_err(|_| format!("`{step}` is not a step"))?;
        if count == 0 || count > self.high {
            return Err(format!(
                "a step of {step} does not fit between {} and {}",
                self.low, self.high
            ));
        }
        if range != "*" && !range.contains('-') {
            return Err(format!(
                "a step needs a range before it; write `{range}-{}/{step}` or `*/{step}`",
                self.high
            ));
        }
        Ok(count)
    }

    /// Reads a form with `L`, `W` or `#` that this field knows; false where it is none.
    fn read_marked(&self, item: &str, picked: &mut Picked) -> Result<bool, String> {
        if self.marks == Marks::None {
            return Ok(false);
        }
        let upper = item.to_ascii_uppercase();
        match self.marks {
            Marks::None => return Ok(false),
            Marks::DayOfMonth if upper == "L" => picked.has_last = true,
            Marks::DayOfMonth if upper == "LW" => picked.has_last_working = true,
            Marks::DayOfMonth => match upper.strip_suffix('W') {
                Some(day) => picked.near |= 1 << self.value(day)?,
                None => return Ok(false),
            },
            Marks::DayOfWeek => {
                if let Some((day, nth)) = upper.split_once('#') {
                    let days = match nth {
                        "1" => &mut picked.nth[0],
                        "2" => &mut picked.nth[1],
                        "3" => &mut picked.nth[2],
                        "4" => &mut picked.nth[3],
                        "5" => &mut picked.nth[4],
                        "L" => &mut picked.last,
                        _ => return Err(format!("`#{nth}` is not one of #1 to #5 and #L")),
                    };
                    *days |= 1 << self.value(day)?;
                    return Ok(true);
                }
                match upper.strip_suffix('L').filter(|day| !day.is_empty()) {
                    Some(day) => picked.last |= 1 << self.value(day)?,
                    None => return Ok(false),
                }
            }
        }
        Ok(true)
    }

    fn value(&self, written: &str) -> Result<u32, String> {
        if let Some(index) = self.names.iter().position(|name| name.eq_ignore_ascii_case(written)) {
            return Ok(self.first + index as u32);
        }
        let named = match self.names {
            [] => String::new(),
            [first, .., last] => format!(" or a name from {first} to {last}"),
            [only] => format!(" or {only}"),
        };
        let wanted = format!("a number from {} to {}{named}", self.low, self.high);
        match written.parse::<u32>() {
            Ok(value) if (self.low..=self.high).contains(&value) => Ok(value),
            Ok(_) | Err(_) => Err(format!("`{written}` is not {wanted}")),
        }
    }
}

/// The bits of each `by`th number from `low` to `high`.
fn every(low: u32, high: u32, by: u32) -> u64 {
    (low..=high)
        .step_by(by as usize)
        .fold(0, |bits, value| bits | 1 << value)
}
