//! A cron as a person would say it: `every day at 05:00`. Only what can be said in one short sentence is;
//! the rest stays a cron.

const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// Times of a day that are told one by one.
const MAX_TIMES: usize = 4;

/// The sentence for five fields, or for one of the short names; nothing where there is none.
pub(super) fn of(text: &str) -> Option<String> {
    let text = match text.to_ascii_lowercase().as_str() {
        "@hourly" => "0 * * * *".to_owned(),
        "@daily" => "0 0 * * *".to_owned(),
        "@weekly" => "0 0 * * 0".to_owned(),
        "@monthly" => "0 0 1 * *".to_owned(),
        "@yearly" => "0 0 1 1 *".to_owned(),
        _ => text.to_owned(),
    };
    let fields: Vec<&str> = text.split_whitespace().collect();
    let &[minute, hour, day, month, weekday] = fields.as_slice() else {
        return None;
    };
    let days = match (any(day), any(month), any(weekday)) {
        (None, None, None) => None,
        (day, month, weekday) => Some(days(day, month, weekday)?),
    };
    match (any(minute), any(hour)) {
        (None, None) => among(days, "every minute".to_owned()),
        (Some(minute), None) => {
            let often = match step(minute) {
                Some(1) => "every minute".to_owned(),
                Some(step) => format!("every {step} minutes"),
                None => hourly("every hour", minute)?,
            };
            among(days, often)
        }
        (Some(minute), Some(hour)) => match step(hour) {
            Some(1) => among(days, hourly("every hour", minute)?),
            Some(step) => among(days, hourly(&format!("every {step} hours"), minute)?),
            None => Some(format!(
                "{} at {}",
                days.unwrap_or("every day".to_owned()),
                times(hour, minute)?
            )),
        },
        (None, Some(_)) => None,
    }
}

/// A field that leaves something out.
fn any(field: &str) -> Option<&str> {
    (!matches!(field, "*" | "?")).then_some(field)
}

/// Which days; nothing where no sentence says it.
fn days(day: Option<&str>, month: Option<&str>, weekday: Option<&str>) -> Option<String> {
    match (day, month, weekday) {
        (None, None, Some(weekday)) => weekdays(weekday),
        (Some("L" | "l"), None, None) => Some("on the last day of every month".to_owned()),
        (Some(day), None, None) => Some(format!("on day {} of every month", number(day, 1, 31)?)),
        (Some(day), Some(month), None) => {
            let month = MONTHS.get(number(month, 1, 12)? - 1)?;
            Some(format!("every year on {} {month}", number(day, 1, 31)?))
        }
        _ => None,
    }
}

fn weekdays(field: &str) -> Option<String> {
    if let Some((from, to)) = field.split_once('-') {
        return Some(format!("from {} to {}", weekday(from)?, weekday(to)?));
    }
    let named: Option<Vec<&str>> = field.split(',').map(weekday).collect();
    Some(format!("every {}", listed(&named?)))
}

fn weekday(text: &str) -> Option<&'static str> {
    if let Some(number) = number(text, 0, 7) {
        return Some(WEEKDAYS[number % 7]);
    }
    let is_named = |day: &&&str| text.len() == 3 && day.to_ascii_lowercase().starts_with(&text.to_ascii_lowercase());
    WEEKDAYS.iter().find(is_named).copied()
}

/// `every hour`, `every hour at 15 minutes past`.
fn hourly(often: &str, minute: &str) -> Option<String> {
    Some(match number(minute, 0, 59)? {
        0 => format!("{often} on the hour"),
        1 => format!("{often} at 1 minute past"),
        minute => format!("{often} at {minute} minutes past"),
    })
}

/// What happens often, on all days or on some.
fn among(days: Option<String>, often: String) -> Option<String> {
    Some(match days {
        None => often,
        Some(days) => format!("{days}, {often}"),
    })
}

/// `05:00`, `05:00 and 17:00`.
fn times(hour: &str, minute: &str) -> Option<String> {
    let minute = number(minute, 0, 59)?;
    let hours: Option<Vec<usize>> = hour.split(',').map(|hour| number(hour, 0, 23)).collect();
    let times: Vec<String> = hours?.iter().map(|hour| format!("{hour:02}:{minute:02}")).collect();
    let times: Vec<&str> = times.iter().map(String::as_str).collect();
    (times.len() <= MAX_TIMES).then(|| listed(&times))
}

/// The steps of `*/5`.
fn step(field: &str) -> Option<usize> {
    field.strip_prefix("*/")?.parse().ok()
}

fn number(text: &str, low: usize, high: usize) -> Option<usize> {
    text.parse().ok().filter(|number| (low..=high).contains(number))
}

/// `a`, `a and b`, `a, b and c`.
fn listed(words: &[&str]) -> String {
    match words {
        [all @ .., last] if !all.is_empty() => format!("{} and {last}", all.join(", ")),
        _ => words.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_crons_are_said_in_words() {
        for (cron, words) in [
            ("0 5 * * *", "every day at 05:00"),
            ("@daily", "every day at 00:00"),
            ("30 6,18 * * *", "every day at 06:30 and 18:30"),
            ("* * * * *", "every minute"),
            ("*/15 * * * *", "every 15 minutes"),
            ("0 * * * *", "every hour on the hour"),
            ("5 * * * *", "every hour at 5 minutes past"),
            ("0 */6 * * *", "every 6 hours on the hour"),
            ("0 9 * * 1", "every Monday at 09:00"),
            ("0 9 * * SUN", "every Sunday at 09:00"),
            ("0 9 * * 7", "every Sunday at 09:00"),
            ("0 9 * * 1-5", "from Monday to Friday at 09:00"),
            ("0 9 * * mon,wed,fri", "every Monday, Wednesday and Friday at 09:00"),
            ("*/10 * * * 1-5", "from Monday to Friday, every 10 minutes"),
            ("0 4 1 * *", "on day 1 of every month at 04:00"),
            ("0 4 L * *", "on the last day of every month at 04:00"),
            ("@yearly", "every year on 1 January at 00:00"),
        ] {
            assert_eq!(of(cron).as_deref(), Some(words), "{cron}");
        }
    }

    #[test]
    fn what_no_short_sentence_says_stays_a_cron() {
        for cron in [
            "0-10 5 * * *",
            "0 5 1 * 1",
            "0 5 * * 1#2",
            "* 5 * * *",
            "0 0-23/2 * * *",
            "0 1,2,3,4,5 * * *",
        ] {
            assert_eq!(of(cron), None, "{cron}");
        }
    }
}
