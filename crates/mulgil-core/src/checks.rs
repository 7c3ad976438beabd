//! What the scheduler asks of an interval, predicate by predicate, with what it was answered by: the terms of
//! `due` in words. Read from the same forecast that decides, so an explanation cannot differ from what is done.

use serde::{Deserialize, Serialize};

use crate::{
    diagnostic::{Code, Retry},
    due::Reason,
    interval::{Instant, Interval, RangeSet},
    name::Instance,
    tick::Fate,
};

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
        /// Whether all of it is wanted.
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
        /// What of that is due again itself.
        due: RangeSet,
        /// What of that had files once and has none now.
        gone: RangeSet,
    },
    /// Did it fail before, and when is it tried again?
    Failing {
        /// What of it.
        range: Interval,
        /// The last failure's code.
        code: Code,
        /// How often in a row.
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
    /// Is there room for it: a slot of the server, of a pool, of its own flow?
    Room {
        /// The name of what is full: `slots`, a pool, `max_active`.
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
