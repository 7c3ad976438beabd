//! What a table's log tells, without the ledger: which of our commits still stand, and what others
//! have changed that nobody of us has filled again. Read from the newest commit backwards.

use std::collections::BTreeMap;

use mulgil_core::{
    grid::Grid,
    interval::{Instant, Interval, RangeSet},
    name::Instance,
    port::{Author, Commit, CommitTag, RestoreTag, TableLog, Touched},
};

use crate::{KnownTable, fact::ForeignCommit};

/// Whose log is read.
pub(crate) struct Owner<'a> {
    /// `<project>/<environment>`.
    pub(crate) ledger: &'a str,
    /// The node's grid.
    pub(crate) grid: &'a Grid,
    /// The instances that the node has today.
    pub(crate) instances: Vec<Instance>,
}

/// A commit of somebody else, with what is still as it left it.
pub(crate) struct ForeignChange {
    pub(crate) commit: ForeignCommit,
    /// When; [`Instant::MIN`] where nobody knows, so that everybody has read it since.
    pub(crate) at: Instant,
    pub(crate) touched: BTreeMap<Instance, RangeSet>,
}

/// A commit of ours of which something still stands.
pub(crate) struct Standing<'a> {
    pub(crate) commit: &'a Commit,
    pub(crate) tag: &'a CommitTag,
    /// What nobody of us has filled again since.
    pub(crate) ranges: RangeSet,
    /// Where it replaced all: what it cannot have removed, as it came with it or later.
    pub(crate) kept: BTreeMap<Instance, RangeSet>,
}

impl Owner<'_> {
    /// Our commits of which anything still stands, newest first.
    pub(crate) fn standing<'a>(&self, log: &'a TableLog) -> Vec<Standing<'a>> {
        let mut standing = Vec::new();
        let mut later = Later::default();
        for commit in self.path(log) {
            let Some(tag) = self.ours(commit) else {
                continue;
            };
            let ranges = later.leaves(&tag.instance, &tag.range.into());
            later.add(tag);
            if !ranges.is_empty() && !tag.intervals.is_empty() {
                standing.push(Standing {
                    commit,
                    tag,
                    ranges,
                    kept: if tag.replaces_all {
                        later.ranges.clone()
                    } else {
                        BTreeMap::new()
                    },
                });
            }
        }
        standing
    }

    /// The commits that have made what the table holds, newest first: what was undone by going back to an
    /// earlier version is not among them, the commit that went back is.
    fn path<'a>(&self, log: &'a TableLog) -> Vec<&'a Commit> {
        let mut up_to = i64::MAX;
        let stands = |commit: &&Commit| {
            let stands = commit.version <= up_to;
            if let Some(tag) = self.restored(commit).filter(|_| stands) {
                up_to = tag.to;
            }
            stands
        };
        log.commits.iter().rev().filter(stands).collect()
    }

    /// Our commits of today's table that took it back to an earlier version, oldest first.
    pub(crate) fn restores<'a>(&self, log: &'a TableLog) -> Vec<(i64, &'a RestoreTag)> {
        let path = self.path(log).into_iter().rev();
        path.filter_map(|commit| Some((commit.version, self.restored(commit)?)))
            .collect()
    }

    /// What a commit of this ledger that took the table back says.
    fn restored<'a>(&self, commit: &'a Commit) -> Option<&'a RestoreTag> {
        match &commit.author {
            Author::Restored(tag) => (tag.ledger == self.ledger).then_some(tag),
            Author::Ours(_) | Author::Foreign => None,
        }
    }

    /// A commit of this ledger for an instance that the node still has.
    fn ours<'a>(&self, commit: &'a Commit) -> Option<&'a CommitTag> {
        match &commit.author {
            Author::Ours(tag) if tag.ledger == self.ledger => self.instances.contains(&tag.instance).then_some(tag),
            Author::Ours(_) | Author::Restored(_) | Author::Foreign => None,
        }
    }

    /// What others did, oldest first, each with what it touched and nobody of us has filled again
    /// since.
    pub(crate) fn foreign(&self, log: &TableLog, known: &KnownTable) -> Vec<ForeignChange> {
        let is_other = known.is_other(log);
        let up_to = known.version.filter(|version| *version <= log.version);
        let is_known = |version: i64| is_other || up_to.is_some_and(|recorded| version <= recorded);
        let mut changes = Vec::new();
        let mut later = Later::default();
        for commit in self.path(log) {
            if let Some(tag) = self.ours(commit) {
                later.add(tag);
            } else if self.restored(commit).is_none() && !is_known(commit.version) {
                let at = Instant(commit.committed_at_us);
                changes.push(ForeignChange {
                    commit: ForeignCommit::Commit {
                        version: commit.version,
                        committed_at: at,
                    },
                    at,
                    touched: without(self.touched(&commit.touched), &later),
                });
            }
        }
        changes.extend(self.untold(log, known, &later));
        changes.retain(|change| !change.touched.is_empty());
        changes.reverse();
        changes
    }

    /// What the log does not tell, but shows to have happened.
    fn untold(&self, log: &TableLog, known: &KnownTable, ours: &Later) -> Option<ForeignChange> {
        let (version, recorded) = (log.version, known.version);
        let everywhere = || {
            let whole = |own: &Instance| (own.clone(), RangeSet::whole());
            self.instances.iter().map(whole).collect()
        };
        let (commit, touched) = match recorded {
            recorded if known.is_other(log) => {
                let commit = ForeignCommit::Replaced { version, recorded };
                (commit, without(everywhere(), ours))
            }
            Some(recorded) if version < recorded => (ForeignCommit::Older { version, recorded }, everywhere()),
            recorded if log.gap && recorded != Some(version) => {
                let commit = ForeignCommit::Gap { version, recorded };
                (commit, without(everywhere(), ours))
            }
            Some(_) | None => return None,
        };
        Some(ForeignChange {
            commit,
            at: Instant::MIN,
            touched,
        })
    }

    /// A commit that does not say a key touched all that agree with what it says.
    fn touched(&self, touched: &[Touched]) -> BTreeMap<Instance, RangeSet> {
        let mut by_instance: BTreeMap<Instance, RangeSet> = BTreeMap::new();
        for one in touched {
            let agrees = |instance: &Instance| {
                one.instance_key
                    .0
                    .iter()
                    .all(|(column, value)| instance.key.0.get(column).is_none_or(|own| own == value))
            };
            let range = widened(self.grid, one.at);
            for own in self.instances.iter().filter(|own| agrees(own)) {
                by_instance.entry(own.clone()).or_default().insert(range);
            }
        }
        by_instance
    }
}

/// What our commits have filled, read from the newest backwards.
#[derive(Default)]
struct Later {
    ranges: BTreeMap<Instance, RangeSet>,
    /// Nothing that is older stands any more.
    replaces_all: bool,
}

impl Later {
    fn add(&mut self, tag: &CommitTag) {
        self.ranges.entry(tag.instance.clone()).or_default().insert(tag.range);
        self.replaces_all |= tag.replaces_all;
    }

    /// What of an older commit's ranges still stands.
    fn leaves(&self, instance: &Instance, ranges: &RangeSet) -> RangeSet {
        match self.ranges.get(instance) {
            _ if self.replaces_all => RangeSet::new(),
            Some(later) => {
                let again = ranges
                    .iter()
                    .flat_map(|range| later.within(range).iter().collect::<Vec<_>>());
                ranges.subtract(&again.collect())
            }
            None => ranges.clone(),
        }
    }
}

/// What is touched and nobody of us has filled again.
fn without(touched: BTreeMap<Instance, RangeSet>, later: &Later) -> BTreeMap<Instance, RangeSet> {
    let left = touched.into_iter().map(|(instance, ranges)| {
        let left = later.leaves(&instance, &ranges);
        (instance, left)
    });
    left.filter(|(_, ranges)| !ranges.is_empty()).collect()
}

fn widened(grid: &Grid, at: Interval) -> Interval {
    if grid.is_cut() {
        grid.snap_out(at)
    } else {
        Interval::WHOLE
    }
}
