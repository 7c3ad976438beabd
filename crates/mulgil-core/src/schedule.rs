//! When a node ticks: a cron in a zone.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    cron::Cron,
    grid::{Cut, Grid, Zone},
    interval::{Instant, Interval},
};

/// A schedule: at each firing T the intervals that end at or before T are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// When.
    pub cron: Cron,
    /// In which zone.
    pub zone: Zone,
}

/// The time over which [`Schedule::finer_than`] looks at ticks: the leap year 2024 in UTC, so that
/// a 29 February and both changes of the clock are in it.
const SAMPLED: Interval = Interval {
    start: Instant(1_704_067_200_000_000),
    end: Instant(1_735_689_600_000_000),
};

/// How many ticks [`Schedule::finer_than`] looks at.
const MAX_SAMPLED_TICKS: usize = 20_000;

/// As it is kept: the cron as written, and the zone. An edited schedule is another one.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.cron.as_str(), self.zone.name())
    }
}

impl Schedule {
    /// As a person would say it: `every day at 05:00 (Asia/Seoul)`; a cron that no short sentence says
    /// stays one.
    pub fn in_words(&self) -> String {
        match self.cron.in_words() {
            Some(words) => format!("{words} ({})", self.zone.name()),
            None => format!("by the cron `{}` ({})", self.cron.as_str(), self.zone.name()),
        }
    }

    /// The last tick at or before an instant.
    pub fn last_tick(&self, at: Instant) -> Option<Instant> {
        self.cron.last_at_or_before(&self.zone, at)
    }

    /// The first tick after an instant.
    pub fn next_tick(&self, after: Instant) -> Option<Instant> {
        self.cron.next_after(&self.zone, after)
    }

    /// The ticks inside a window, in order: those that somebody should have been there for.
    pub fn ticks(&self, window: Interval) -> impl Iterator<Item = Instant> + '_ {
        let before = Instant(window.start.0.saturating_sub(1));
        std::iter::successors(self.next_tick(before), |last| self.next_tick(*last))
            .take_while(move |tick| *tick < window.end)
    }

    /// Whether some interval of the grid holds two ticks. Decided by the ticks of one year.
    /// A grid that is not cut has no intervals that a schedule could be finer than.
    pub fn finer_than(&self, grid: &Grid) -> bool {
        match &grid.cut {
            Cut::Whole => false,
            Cut::Cron(cron) if *cron == self.cron && grid.zone == self.zone => false,
            Cut::Unit(unit) if grid.zone == self.zone && self.cron.fires_once_per(*unit) => false,
            Cut::Cron(_) | Cut::Unit(_) => {
                let mut holds_one = Instant::MIN;
                self.ticks(SAMPLED).take(MAX_SAMPLED_TICKS).any(|tick| {
                    let second = tick < holds_one;
                    holds_one = grid.next_cut(tick);
                    second
                })
            }
        }
    }
}
