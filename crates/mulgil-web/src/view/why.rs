//! Why an interval stands as it does: the scheduler's own predicates, in order.

use mulgil_core::{checks::Check, interval::Instant, why::Status};

use super::{Fix, Link, Mark, Named, Verdict};

/// The page.
#[derive(Clone, Debug)]
pub struct Why {
    /// The table or flow, with its page.
    pub node: Link,
    /// The interval.
    pub interval: Named,
    /// In the zone in which it is cut.
    pub zone: mulgil_core::grid::Zone,
    /// How many intervals it is, where a person asked for more than one.
    pub count: u64,
    /// How it stands, part by part.
    pub status: Vec<(Named, Status, Mark)>,
    /// The predicates, in the order in which the scheduler asks them.
    pub checks: Vec<Row>,
    /// The neighbours: the interval before and the one after.
    pub before: Option<Link>,
    /// The one after.
    pub after: Option<Link>,
    /// The one command that helps most, where one does.
    pub fix: Option<Fix>,
    /// What it was filled with, newest first, at most five.
    pub fills: Vec<Fill>,
    /// The command that says the same.
    pub command: String,
}

/// One predicate, with what it was decided by.
#[derive(Clone, Debug)]
pub struct Row {
    /// The predicate and its evidence.
    pub check: Check,
    /// What it means for the interval.
    pub verdict: Verdict,
    /// Since when.
    pub since: Option<Instant>,
    /// Where to look further.
    pub links: Vec<Link>,
    /// The command that changes it.
    pub fix: Option<Fix>,
}

/// One fill.
#[derive(Clone, Debug)]
pub struct Fill {
    /// When.
    pub at: Instant,
    /// By which run; nothing where it was adopted from the table's log.
    pub run: Option<Link>,
    /// With which range.
    pub with: String,
    /// The version that it committed.
    pub version: Option<i64>,
    /// Rows, where they are known.
    pub rows: Option<u64>,
}
