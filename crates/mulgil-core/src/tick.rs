//! Ticks that have come: which of them start a run, which were missed, and what is said of those.
//! Nothing here waits or reads a clock; a tick that was decided once is never decided again, because
//! the newest one that was is handed in.

use serde::{Deserialize, Serialize};

use crate::{
    clock::MINUTE,
    interval::{Instant, Interval},
    project::Missed,
    schedule::Schedule,
};

/// A tick that is older than this when it is decided was missed, in microseconds: nobody was there for it.
pub const LATE_AFTER_US: i64 = MINUTE;

/// Missed ticks that are told one by one, the newest ones; those before them are told together.
pub const MAX_TOLD: usize = 100;

/// Ticks that are decided at once where each starts a run.
pub const MAX_AT_ONCE: usize = 1_000;

/// One tick, or a row of them that have the same fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// When it was due; of several, the last.
    pub scheduled_at: Instant,
    /// The first of several; the same moment where it is one.
    pub first_at: Instant,
    /// What becomes of it.
    pub fate: Fate,
}

/// What becomes of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Fate {
    /// It starts a run.
    Runs,
    /// It was missed, and a later one makes up for it.
    Coalesced {
        /// Which.
        into: Instant,
    },
    /// It was missed, and nothing makes up for it.
    Missed,
    /// It came before anybody kept time for this schedule; those after it count.
    Before,
}

impl Fate {
    /// As it is stored and printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::Coalesced { .. } => "coalesced",
            Self::Missed => "missed",
            Self::Before => "before",
        }
    }

    /// Reads what [`Self::as_str`] writes, with the tick that makes up for it, if one does.
    pub fn parse(text: &str, into: Option<Instant>) -> Option<Self> {
        match (text, into) {
            ("runs", None) => Some(Self::Runs),
            ("coalesced", Some(into)) => Some(Self::Coalesced { into }),
            ("missed", None) => Some(Self::Missed),
            ("before", None) => Some(Self::Before),
            _ => None,
        }
    }
}

impl Tick {
    fn one(at: Instant, fate: Fate) -> Self {
        Self {
            scheduled_at: at,
            first_at: at,
            fate,
        }
    }
}

/// What is told of a schedule that nobody has kept time for: its last tick, or this moment where it never
/// ticked, from which on its ticks count.
pub fn first_seen(schedule: &Schedule, now: Instant) -> Tick {
    Tick::one(schedule.last_tick(now).unwrap_or(now), Fate::Before)
}

/// What becomes of the ticks after `decided`, the newest that was decided before, up to `now`; oldest
/// first. Nothing where the clock stands before that tick: it was set back, and what has ticked does not
/// tick again. Where each tick runs, there may be more than [`MAX_AT_ONCE`]: ask again after the last.
pub fn come(schedule: &Schedule, missed: Missed, decided: Instant, now: Instant) -> Vec<Tick> {
    let Some(newest) = schedule.last_tick(now).filter(|tick| *tick > decided) else {
        return Vec::new();
    };
    let is_late = |tick: Instant| now.0.saturating_sub(tick.0) > LATE_AFTER_US;
    match missed {
        Missed::All => after(schedule, decided, now)
            .take(MAX_AT_ONCE)
            .map(|tick| Tick::one(tick, Fate::Runs))
            .collect(),
        Missed::Latest => {
            let mut told = earlier(schedule, decided, newest, Fate::Coalesced { into: newest });
            told.push(Tick::one(newest, Fate::Runs));
            told
        }
        Missed::None => {
            let on_time: Vec<Instant> = before(schedule, decided, newest)
                .take_while(|tick| !is_late(*tick))
                .collect();
            let first = on_time.last().copied().unwrap_or(newest);
            let mut told = earlier(schedule, decided, first, Fate::Missed);
            if on_time.is_empty() {
                told.push(Tick::one(newest, Fate::Missed));
            }
            told.extend(on_time.into_iter().rev().map(|tick| Tick::one(tick, Fate::Runs)));
            told
        }
    }
}

/// The ticks after `decided` and before `tick`, oldest first: the newest of them each for itself, those
/// before together.
fn earlier(schedule: &Schedule, decided: Instant, tick: Instant, fate: Fate) -> Vec<Tick> {
    let mut told: Vec<Tick> = before(schedule, decided, tick)
        .skip(1)
        .take(MAX_TOLD)
        .map(|tick| Tick::one(tick, fate))
        .collect();
    let oldest = told.last().map_or(tick, |oldest| oldest.scheduled_at);
    let first = schedule.next_tick(decided);
    let last = schedule.last_tick(Instant(oldest.0.saturating_sub(1)));
    if let (Some(first_at), Some(scheduled_at)) = (first, last)
        && decided < scheduled_at
    {
        told.push(Tick {
            scheduled_at,
            first_at,
            fate,
        });
    }
    told.reverse();
    told
}

/// The ticks from `newest` backwards, down to the one after `decided`.
fn before(schedule: &Schedule, decided: Instant, newest: Instant) -> impl Iterator<Item = Instant> + '_ {
    std::iter::successors(Some(newest), |tick| {
        schedule.last_tick(Instant(tick.0.saturating_sub(1)))
    })
    .take_while(move |tick| *tick > decided)
}

/// The ticks after `decided` up to `now`.
fn after(schedule: &Schedule, decided: Instant, now: Instant) -> impl Iterator<Item = Instant> + '_ {
    let window = Interval::new(Instant(decided.0.saturating_add(1)), Instant(now.0.saturating_add(1)));
    window.into_iter().flat_map(|window| schedule.ticks(window))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
mod tests {
    use super::*;
    use crate::{cron::Cron, grid::Zone};

    fn at(text: &str) -> Instant {
        Instant::from_timestamp(text.parse().unwrap())
    }

    fn schedule(cron: &str, zone: &str) -> Schedule {
        Schedule {
            cron: Cron::parse(cron).unwrap(),
            zone: Zone::named(zone).unwrap(),
        }
    }

    fn told(ticks: &[Tick]) -> Vec<String> {
        let line = |tick: &Tick| {
            let first = if tick.first_at == tick.scheduled_at {
                String::new()
            } else {
                format!("{:?} to ", tick.first_at)
            };
            format!("{first}{:?} {}", tick.scheduled_at, tick.fate.as_str())
        };
        ticks.iter().map(line).collect()
    }

    #[test]
    fn three_days_of_downtime_are_made_up_for_as_the_flow_says() {
        let hourly = schedule("0 * * * *", "UTC");
        let (decided, now) = (at("2026-03-01T00:00:00Z"), at("2026-03-04T00:30:00Z"));
        let latest = come(&hourly, Missed::Latest, decided, now);
        assert_eq!(latest.len(), 72);
        assert_eq!(latest.last().unwrap().fate, Fate::Runs);
        assert_eq!(latest.last().unwrap().scheduled_at, at("2026-03-04T00:00:00Z"));
        let into = at("2026-03-04T00:00:00Z");
        assert!(latest[..71].iter().all(|tick| tick.fate == Fate::Coalesced { into }));

        let all = come(&hourly, Missed::All, decided, now);
        assert_eq!(all.len(), 72);
        assert!(all.iter().all(|tick| tick.fate == Fate::Runs));

        let none = come(&hourly, Missed::None, decided, now);
        assert_eq!(none.len(), 72);
        assert!(none.iter().all(|tick| tick.fate == Fate::Missed));
        assert!(come(&hourly, Missed::All, now, now).is_empty());
    }

    #[test]
    fn a_tick_that_is_there_on_time_runs_and_those_before_it_were_missed() {
        let minutely = schedule("* * * * *", "UTC");
        let (decided, now) = (at("2026-03-01T00:00:00Z"), at("2026-03-01T00:04:00.5Z"));
        assert_eq!(
            told(&come(&minutely, Missed::None, decided, now)),
            [
                "2026-03-01T00:01:00Z missed",
                "2026-03-01T00:02:00Z missed",
                "2026-03-01T00:03:00Z missed",
                "2026-03-01T00:04:00Z runs",
            ]
        );
    }

    #[test]
    fn many_missed_ticks_are_told_together_but_for_the_newest() {
        let minutely = schedule("* * * * *", "UTC");
        let (decided, now) = (at("2026-03-01T00:00:00Z"), at("2026-03-03T00:00:10Z"));
        let ticks = come(&minutely, Missed::Latest, decided, now);
        assert_eq!(ticks.len(), MAX_TOLD + 2);
        assert_eq!(ticks[0].first_at, at("2026-03-01T00:01:00Z"));
        assert_eq!(ticks[0].scheduled_at, at("2026-03-02T22:19:00Z"));
        assert_eq!(ticks[1].scheduled_at, at("2026-03-02T22:20:00Z"));
        assert_eq!(ticks[1].first_at, ticks[1].scheduled_at);
    }

    #[test]
    fn a_clock_that_is_set_back_ticks_nothing_a_second_time() {
        let minutely = schedule("* * * * *", "UTC");
        let decided = at("2026-03-01T02:00:00Z");
        for missed in [Missed::All, Missed::Latest, Missed::None] {
            assert!(come(&minutely, missed, decided, at("2026-03-01T00:00:00Z")).is_empty());
            assert_eq!(come(&minutely, missed, decided, at("2026-03-01T02:01:00Z")).len(), 1);
        }
    }

    #[test]
    fn catching_up_is_bounded_and_goes_on_where_it_stopped() {
        let minutely = schedule("* * * * *", "UTC");
        let (mut decided, now) = (at("2026-03-01T00:00:00Z"), at("2026-03-04T00:00:00Z"));
        let mut count = 0;
        loop {
            let ticks = come(&minutely, Missed::All, decided, now);
            assert!(ticks.len() <= MAX_AT_ONCE);
            let Some(last) = ticks.last() else { break };
            decided = last.scheduled_at;
            count += ticks.len();
        }
        assert_eq!(count, 3 * 24 * 60);
    }

    /// Moments are looked at each minute as a server does; what runs is what rule 10 says.
    fn fired(cron: &str, zone: &str, from: &str, to: &str) -> Vec<String> {
        let schedule = schedule(cron, zone);
        let (mut decided, mut now, to) = (at(from), at(from), at(to));
        let mut fired = Vec::new();
        while now < to {
            now = Instant(now.0 + MINUTE);
            for tick in come(&schedule, Missed::None, decided, now) {
                assert_eq!(tick.fate, Fate::Runs);
                assert!(tick.scheduled_at > decided);
                decided = tick.scheduled_at;
                let shown = tick.scheduled_at.to_timestamp().to_zoned(schedule.zone.tz().clone());
                fired.push(shown.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string());
            }
        }
        fired
    }

    #[test]
    fn on_nights_when_the_clock_changes_each_fires_as_it_should() {
        // New York, 2026-03-08: 02:00 to 03:00 is not there; 2026-11-01: 01:00 to 02:00 is there twice.
        assert_eq!(
            fired(
                "30 2 * * *",
                "America/New_York",
                "2026-03-08T05:00:00Z",
                "2026-03-09T12:00:00Z"
            ),
            ["2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"]
        );
        assert_eq!(
            fired(
                "30 1 * * *",
                "America/New_York",
                "2026-11-01T04:00:00Z",
                "2026-11-02T12:00:00Z"
            ),
            ["2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"]
        );
        assert_eq!(
            fired(
                "30 * * * *",
                "America/New_York",
                "2026-11-01T04:45:00Z",
                "2026-11-01T07:45:00Z"
            ),
            [
                "2026-11-01T01:30:00-04:00",
                "2026-11-01T01:30:00-05:00",
                "2026-11-01T02:30:00-05:00"
            ]
        );
        // Lord Howe, half an hour: 2026-10-04 02:00 to 02:30 is not there; 2026-04-05 01:30 to 02:00 twice.
        assert_eq!(
            fired(
                "15 2 * * *",
                "Australia/Lord_Howe",
                "2026-10-03T14:00:00Z",
                "2026-10-04T18:00:00Z"
            ),
            ["2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"]
        );
        assert_eq!(
            fired(
                "45 1 * * *",
                "Australia/Lord_Howe",
                "2026-04-04T12:00:00Z",
                "2026-04-05T20:00:00Z"
            ),
            ["2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"]
        );
        // Casablanca sets its clock back for Ramadan: 2026-02-15, 03:00 becomes 02:00; on 2026-03-22 forth.
        assert_eq!(
            fired(
                "30 2 * * *",
                "Africa/Casablanca",
                "2026-02-14T23:00:00Z",
                "2026-02-16T12:00:00Z"
            ),
            ["2026-02-15T02:30:00+01:00", "2026-02-16T02:30:00+00:00"]
        );
        assert_eq!(
            fired(
                "30 2 * * *",
                "Africa/Casablanca",
                "2026-03-21T23:00:00Z",
                "2026-03-23T12:00:00Z"
            ),
            ["2026-03-22T03:00:00+01:00", "2026-03-23T02:30:00+01:00"]
        );
    }
}
