//! By when a run has to be done.

use jiff::civil::Time;
use serde::{Deserialize, Serialize};

use super::{Flow, Late};
use crate::{grid::Zone, interval::Instant};

/// By when a run has to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadline {
    /// When that is.
    #[serde(flatten)]
    pub by: By,
    /// What happens when it has passed.
    pub then: Late,
}

/// What a deadline counts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum By {
    /// A time after something that happens to the run.
    Within {
        /// From when on the time counts.
        after: After,
        /// How long, in microseconds; more than 0.
        within_us: i64,
    },
    /// A time of the clock, on the day on which the run was due: a run that is due after it is late when it begins.
    Clock {
        /// That time.
        at: Time,
        /// Whose clock, and whose days.
        timezone: Zone,
    },
}

/// From when on a deadline counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum After {
    /// When the run was due; for one that somebody started, when it was asked for.
    Scheduled,
    /// When it was asked for.
    Queued,
    /// When its first step started.
    Started,
}

impl Deadline {
    /// By when a run has to be done that was due, was asked for and began then; nothing while the time does not
    /// count yet.
    pub fn due_at(
        &self,
        scheduled_at: Option<Instant>,
        queued_at: Instant,
        started_at: Option<Instant>,
    ) -> Option<Instant> {
        match &self.by {
            By::Within { after, within_us } => {
                let from = match after {
                    After::Scheduled => scheduled_at.unwrap_or(queued_at),
                    After::Queued => queued_at,
                    After::Started => started_at?,
                };
                Some(Instant(from.0.saturating_add(*within_us)))
            }
            // What somebody starts by hand is early or late by nobody's clock.
            By::Clock { at, timezone } => clock(scheduled_at?, *at, timezone),
        }
    }
}

/// A time of the clock on the day of a moment. One that the clock leaves out is the moment at which it goes on.
fn clock(day_of: Instant, at: Time, timezone: &Zone) -> Option<Instant> {
    let day = day_of.to_timestamp().to_zoned(timezone.tz().clone()).date();
    let zoned = day.to_datetime(at).to_zoned(timezone.tz().clone()).ok()?;
    Some(Instant(zoned.timestamp().as_microsecond()))
}

impl Flow {
    /// The next tick and by when its run has to be done, where that is earlier: a schedule that always comes late.
    pub fn comes_late(&self, now: Instant) -> Option<(Instant, Instant)> {
        let next = self.next_tick(now)?;
        let deadline = self
            .deadline
            .as_ref()
            .filter(|deadline| matches!(deadline.by, By::Clock { .. }))?;
        let due_at = deadline.due_at(Some(next), next, None)?;
        (due_at < next).then_some((next, due_at))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
mod tests {
    use super::*;

    fn by_clock(at: &str, zone: &str) -> Deadline {
        Deadline {
            by: By::Clock {
                at: at.parse().unwrap(),
                timezone: Zone::named(zone).unwrap(),
            },
            then: Late::Notify,
        }
    }

    fn moment(text: &str) -> Instant {
        Instant(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
    }

    #[test]
    fn a_time_of_the_clock_is_that_of_the_day_on_which_the_run_was_due() {
        let due = |deadline: &Deadline, at: &str| deadline.due_at(Some(moment(at)), moment(at), None).unwrap();
        let morning = by_clock("07:30", "Asia/Seoul");
        // Seven in Seoul, and seven in Greenwich, which is four in the afternoon in Seoul.
        assert_eq!(due(&morning, "2026-03-14T22:00:00Z"), moment("2026-03-14T22:30:00Z"));
        assert_eq!(due(&morning, "2026-03-15T07:00:00Z"), moment("2026-03-14T22:30:00Z"));
        // The clocks of New York leave out this time, and show the other twice, of which the first counts.
        let night = by_clock("02:30", "America/New_York");
        assert_eq!(due(&night, "2026-03-08T05:00:00Z"), moment("2026-03-08T07:30:00Z"));
        let night = by_clock("01:30", "America/New_York");
        assert_eq!(due(&night, "2026-11-01T04:00:00Z"), moment("2026-11-01T05:30:00Z"));
        assert_eq!(morning.due_at(None, moment("2026-03-15T07:00:00Z"), None), None);
    }

    #[test]
    fn both_kinds_are_read_as_they_were_written() {
        let within = r#"{"after":"started","within_us":5,"then":"cancel"}"#;
        let clock = r#"{"at":"07:30:00","timezone":"Asia/Seoul","then":"notify"}"#;
        for text in [within, clock] {
            let deadline: Deadline = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&deadline).unwrap(), text);
        }
    }
}
