//! What the scheduler asks of an interval, predicate by predicate, with what it was answered by: the terms of
//! `due` in words. Read from the same forecast that decides, so an explanation cannot differ from what is done.

mod ask;

use serde::{Deserialize, Serialize};

pub use self::ask::{checks, flow_checks};
use crate::{
    diagnostic::{Code, Retry},
    due::Reason,
    interval::{Instant, Interval, RangeSet},
    name::Instance,
    tick::{Fate, Tick},
};

/// A heartbeat that is older than this, in microseconds, has stopped.
pub const HEARTBEAT_US: i64 = 30_000_000;

/// What an answer is made of beside the forecast. What is not known is left out, and not told of.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// The newest tick of the schedule that was decided, with its run.
    pub tick: Option<(Tick, Option<i64>)>,
    /// When the newest fill was, and how many rows it gave.
    pub fill: Option<(Instant, Option<u64>)>,
    /// The run of the attempt that is at it.
    pub run: Option<i64>,
    /// Attempts that are live, and how many may be.
    pub slots: Option<(u64, u64)>,
    /// Runs of the flow that go on.
    pub active_runs: u64,
    /// The scheduler's last heartbeat, where it is known whether there is one.
    pub heartbeat: Option<Option<Instant>>,
}

/// What an answer means for the scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Says {
    /// As it should be.
    Fine,
    /// Something is to be done, and this is why.
    Due,
    /// Nothing is done yet; it goes on by itself.
    Waits,
    /// Nothing is done before something changes.
    Stops,
}

impl Says {
    /// Whether the scheduler begins nothing because of it.
    pub fn keeps(self) -> bool {
        match self {
            Self::Fine | Self::Due => false,
            Self::Waits | Self::Stops => true,
        }
    }
}

/// One predicate and its evidence. In this order they are asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "check")]
pub enum Check {
    /// Is it part of what the node's grid and begin name?
    Named {
        /// The grid's unit or cron.
        unit: String,
        /// From when on; nothing where it has no beginning.
        begin: Option<Instant>,
        /// Up to when; nothing where it goes on.
        end: Option<Instant>,
        /// Whether all of the interval lies in it.
        is_named: bool,
    },
    /// Has the clock, or the schedule, asked for it?
    Wanted {
        /// Its schedule, as written with its zone; nothing where each interval is wanted as soon as it has ended.
        schedule: Option<String>,
        /// The last tick.
        last_tick: Option<Instant>,
        /// The next one.
        next_tick: Option<Instant>,
        /// Whether all of it is wanted, or a person asked for it.
        is_wanted: bool,
    },
    /// What became of the newest tick of its schedule?
    Tick {
        /// When it was due.
        scheduled_at: Instant,
        /// What became of it.
        fate: Fate,
        /// Its run, where it has one.
        run: Option<i64>,
    },
    /// Was it given up?
    Waived {
        /// What of it.
        ranges: RangeSet,
    },
    /// Is it filled?
    Filled {
        /// What of it is.
        filled: RangeSet,
        /// What of it is not.
        missing: RangeSet,
        /// When the newest fill was.
        at: Option<Instant>,
        /// Its rows, where they are known.
        rows: Option<u64>,
    },
    /// Is it still right?
    Right {
        /// What of it is not, and why.
        stale: Vec<(Interval, Reason)>,
    },
    /// Is one thing that it reads there?
    Input {
        /// What is read.
        from: Instance,
        /// Whether it is a source: files that others write.
        is_source: bool,
        /// Which time of it; nothing where it is read as it stands.
        needs: Option<Interval>,
        /// What of that is not there.
        absent: RangeSet,
        /// What of that is due again itself, or being filled.
        due: RangeSet,
        /// What of that had files once and has none now.
        gone: RangeSet,
        /// Whether its data tests have to pass, or to run, before it is read.
        waits_for_tests: bool,
    },
    /// Did it fail before, and when is it tried again?
    Failing {
        /// What of it.
        range: Interval,
        /// The last failure's code.
        code: Code,
        /// How often in a row; 0 where it, or what it reads, has changed since.
        count: u32,
        /// When it failed last.
        failed_at: Instant,
        /// When it is tried again at the earliest.
        next_try_at: Instant,
        /// Whether it is tried again by itself.
        retry: Retry,
        /// Whether it is held until something changes.
        is_held: bool,
    },
    /// Did its table go back to an earlier version?
    RolledBack {
        /// What of it.
        range: Interval,
        /// To which.
        to: i64,
    },
    /// Have its data tests passed?
    Tested {
        /// Those that failed, by name.
        failed: Vec<String>,
        /// What of the interval nobody reads until they pass.
        untested: RangeSet,
    },
    /// Is somebody at it now?
    InFlight {
        /// What of it.
        ranges: RangeSet,
        /// The attempt.
        attempt: Option<i64>,
        /// Its run.
        run: Option<i64>,
    },
    /// Is there room for it: a slot of the server, of its own flow, its table, which one attempt writes at a time?
    Room {
        /// What has the room: `slots`, `max_active`, or the table, `shop.sales`.
        of: String,
        /// In use.
        used: u64,
        /// There are.
        limit: u64,
    },
    /// Is a server there that keeps time?
    Server {
        /// The scheduler's last heartbeat; nothing where none is heard of.
        heartbeat_at: Option<Instant>,
    },
}

impl Check {
    /// What it means for the scheduler at a moment.
    pub fn says(&self, now: Instant) -> Says {
        let stops_unless = |is_fine: bool| if is_fine { Says::Fine } else { Says::Stops };
        let waits_if = |waits: bool| if waits { Says::Waits } else { Says::Fine };
        match self {
            Self::Named { is_named, .. } => stops_unless(*is_named),
            Self::Wanted {
                is_wanted, next_tick, ..
            } => match (is_wanted, next_tick) {
                (true, _) => Says::Fine,
                (false, Some(_)) => Says::Waits,
                (false, None) => Says::Stops,
            },
            Self::Tick { fate, run, .. } => match fate {
                Fate::Runs if run.is_none() => Says::Due,
                Fate::Runs | Fate::Coalesced { .. } | Fate::Missed | Fate::Before => Says::Fine,
            },
            Self::Waived { ranges } => stops_unless(ranges.is_empty()),
            Self::Filled { missing, .. } => {
                if missing.is_empty() {
                    Says::Fine
                } else {
                    Says::Due
                }
            }
            Self::Right { stale } => {
                if stale.is_empty() {
                    Says::Fine
                } else {
                    Says::Due
                }
            }
            Self::Input {
                absent,
                due,
                waits_for_tests,
                ..
            } => waits_if(!absent.is_empty() || !due.is_empty() || *waits_for_tests),
            Self::Failing {
                is_held, next_try_at, ..
            } => match (is_held, *next_try_at > now) {
                (true, _) => Says::Stops,
                (false, true) => Says::Waits,
                (false, false) => Says::Due,
            },
            Self::RolledBack { .. } => Says::Stops,
            Self::Tested { failed, untested } => {
                if !failed.is_empty() {
                    Says::Stops
                } else if untested.is_empty() {
                    Says::Fine
                } else {
                    Says::Due
                }
            }
            Self::InFlight { ranges, .. } => waits_if(!ranges.is_empty()),
            Self::Room { used, limit, .. } => waits_if(used >= limit),
            Self::Server { heartbeat_at } => {
                let is_heard = heartbeat_at.is_some_and(|at| now.0.saturating_sub(at.0) <= HEARTBEAT_US);
                stops_unless(is_heard)
            }
        }
    }
}
