//! What decisions read of the ledger: ranges only. Built by the store from facts.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    codes,
    diagnostic::{Code, Retry},
    interval::{Instant, RangeMap, RangeSet},
    name::{Instance, NodeName, Relation},
    project::{CodeFp, Fingerprint, Materialization},
};

/// Why filled intervals are no longer right, as the store found it when something changed. What
/// the plan can see by itself (code, schema, lookback, settle, tick) is not here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "of")]
pub enum Cause {
    /// An upstream's rows changed.
    Upstream(NodeName),
    /// A source's files changed.
    Source(NodeName),
    /// Somebody else wrote into the table.
    Target,
    /// A person took the table back to an earlier version, over a newer fill.
    Rollback,
    /// A person asked for it.
    Manual,
    /// A person's run took it, right or not; what its table keeps is kept.
    Again,
    /// The hooks that belong to the fill have not run to their end.
    Hooks,
}

/// The failures of a range since it was last filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// How many in a row had the same code; 0 where what it reads has changed since.
    pub equal_count: u32,
    /// The last one's code.
    pub code: Code,
    /// When the last one ended.
    pub failed_at: Instant,
    /// The earliest moment of the next try.
    pub next_try_at: Instant,
    /// Whether to try by itself.
    pub retry: Retry,
    /// The code that failed; another code is tried at once.
    pub code_fp: CodeFp,
    /// The version to which a person took the table back, where that is what holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back_to: Option<i64>,
}

/// Equal failures in a row after which a range is held.
pub const HELD_AFTER_FAILURES: u32 = 3;

impl Failing {
    /// What holds a table that went back to an earlier version, as if it had failed too often.
    pub fn rolled_back(to: i64, code_fp: CodeFp, at: Instant) -> Self {
        Self {
            equal_count: HELD_AFTER_FAILURES,
            code: codes::ROLLED_BACK,
            failed_at: at,
            next_try_at: at,
            retry: Retry::AfterHumanFix,
            code_fp,
            rolled_back_to: Some(to),
        }
    }

    /// The same failure after something that the range reads has changed: it is still to be told, and neither
    /// holds the range nor makes it wait, for the next try may well end otherwise. Nothing is left of a table
    /// that went back: it is filled again.
    pub fn released(self) -> Option<Self> {
        let released = Self {
            equal_count: 0,
            next_try_at: self.failed_at,
            retry: Retry::Later,
            ..self
        };
        self.rolled_back_to.is_none().then_some(released)
    }
}

/// An attempt that holds a range now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// Which.
    pub attempt: i64,
    /// Its fencing number.
    pub epoch: i64,
}

/// The last result of a data test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestState {
    /// What was asserted.
    pub fingerprint: Fingerprint,
    /// The rows that broke it.
    pub failures: u64,
    /// The sequence number of the newest fill that it saw.
    pub fill_seq: i64,
}

/// One instance of a node, as far as decisions need it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodeState {
    /// What is filled, by what it was made with.
    pub filled: RangeMap<CodeFp>,
    /// What changed under it, by cause. Always inside `filled`, but for `Manual`.
    pub dirty: BTreeMap<Cause, RangeSet>,
    /// What was filled since its blocking data tests last passed; readers wait for it.
    pub untested: RangeSet,
    /// What is wanted by the grid but given up, with a name and a reason in the ledger.
    pub waived: RangeSet,
    /// What failed since it was last filled.
    pub failing: RangeMap<Failing>,
    /// What is being filled.
    pub live: RangeMap<Live>,
    /// When what it was made from was read at the earliest: its claim's time. Kept for the reach of
    /// lookback and settle at least.
    pub made_at: RangeMap<Instant>,
    /// The sequence number of the newest fill; 0 for none.
    pub fill_seq: i64,
    /// Data tests by name.
    pub tests: BTreeMap<String, TestState>,
}

/// A source, as far as decisions need it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SourceState {
    /// Where there are files now.
    pub available: RangeSet,
    /// Where there were files once and are none now; a reader's rows stay.
    pub gone: RangeSet,
}

/// A table, as far as decisions need it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TableState {
    /// The instances that have anything filled in it, those of keys that are no longer declared among
    /// them.
    pub holds: BTreeSet<Instance>,
    /// Whether it was there when its log was last read.
    #[serde(default)]
    pub is_there: bool,
    /// What was last made under its name.
    #[serde(default)]
    pub kind: Option<Materialization>,
    /// Its newest version, as far as it is recorded.
    #[serde(default)]
    pub version: Option<i64>,
    /// The newest version that readers may see.
    #[serde(default)]
    pub published: Option<i64>,
    /// Whether it may hold rows that nothing here counts: its log does not tell of all that was done
    /// to it, or of nothing that is known.
    pub uncounted: bool,
}

/// The ledger, as far as decisions need it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct State {
    /// By instance; what has no facts yet may be absent.
    pub nodes: BTreeMap<Instance, NodeState>,
    /// By source.
    pub sources: BTreeMap<NodeName, SourceState>,
    /// By table; one that was never filled may be absent.
    pub tables: BTreeMap<Relation, TableState>,
}
