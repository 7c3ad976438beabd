//! The facts: all that is ever recorded, in the form in which it stays readable for ever.
//!
//! A fact says what happened together with what followed from it under the project of that day
//! (which readers became stale). So what is derived can be rebuilt without any project. A variant
//! or a field that was once written is never renamed or given another meaning; new fields have a
//! default.

mod backfill;
mod flow;
mod target;

use std::path::PathBuf;

use mulgil_core::{
    diagnostic::Diagnostic,
    interval::{Instant, Interval, RangeSet},
    name::{Instance, NodeName, Relation},
    port::{Filled, Growth},
    project::{CodeFp, Fingerprint, Materialization},
    run::{RunState, TaskKind, Trigger},
    state::Failing,
    task::{Column, FileSeen},
};
use serde::{Deserialize, Serialize};

pub use self::{
    backfill::{BackfillAsked, BackfillCancelled, BackfillMade, BackfillPaused, BackfillTakes},
    flow::{
        FlowBegan, FlowDefined, FlowEnded, FlowReopened, Leaves, StepBegan, StepEnded, StepWaits, StepsBegan,
        StepsEnded, Ticked,
    },
    target::{ForeignCommit, TargetChanged, TargetVanished},
};

/// Something that happened. Its place in the ledger is its number, its time stands beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// A run began.
    RunBegan(RunBegan),
    /// A run ended.
    RunEnded {
        /// Which.
        run: i64,
        /// How.
        state: RunState,
    },
    /// An attempt took a range.
    Claimed(Claimed),
    /// A range was filled.
    Filled(FillRecord),
    /// An attempt ended without having filled anything.
    Failed(Failed),
    /// Data tests ran.
    Tested(Tested),
    /// A source's files are not what they were.
    SourceChanged(SourceChanged),
    /// Readers see a newer version of a table.
    Published(Published),
    /// A person took a table back to an earlier version.
    RolledBack(RolledBack),
    /// A table is not as we left it.
    TargetChanged(TargetChanged),
    /// A table is not there any more.
    TargetVanished(TargetVanished),
    /// A person had a table or a view removed that the project no longer declares.
    Dropped(TargetVanished),
    /// A table records higher numbers than this ledger had given out; the number of this fact is
    /// above them.
    SequenceRaised {
        /// The table.
        relation: Relation,
        /// The highest number found in it.
        highest_seq: i64,
    },
    /// The process that did this was gone when the next one started.
    Crashed {
        /// Attempts that were live.
        attempts: Vec<i64>,
        /// Task runs that were open.
        task_runs: Vec<i64>,
        /// Runs that were open.
        runs: Vec<i64>,
    },
    /// Wanted intervals were given up.
    Waived {
        /// Whose.
        instance: Instance,
        /// Which.
        ranges: RangeSet,
        /// Who said so.
        by: String,
        /// Why.
        reason: String,
    },
    /// Ticks of a schedule have come.
    Ticked(Ticked),
    /// A walk over a flow began.
    FlowBegan(FlowBegan),
    /// The definition of walks whose first one is forgotten.
    FlowDefined(FlowDefined),
    /// Attempts of steps began.
    StepsBegan(StepsBegan),
    /// Attempts of steps ended, or steps ended without one.
    StepsEnded(StepsEnded),
    /// A person ended a walk.
    FlowCancelled {
        /// The run.
        run: i64,
        /// Who.
        by: String,
    },
    /// A walk over a flow ended.
    FlowEnded(FlowEnded),
    /// A person had an ended walk begun again.
    FlowReopened(FlowReopened),
    /// A backfill was made.
    BackfillMade(BackfillMade),
    /// A slice of a backfill was asked for.
    BackfillAsked(BackfillAsked),
    /// A person held a backfill back.
    BackfillPaused(BackfillPaused),
    /// A person let a backfill go on.
    BackfillResumed {
        /// Its number.
        backfill: i64,
        /// Who.
        by: String,
    },
    /// A person ended a backfill.
    BackfillCancelled(BackfillCancelled),
}

impl Fact {
    /// Its kind, as it stands beside the payload.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RunBegan(_) => "run_began",
            Self::RunEnded { .. } => "run_ended",
            Self::Claimed(_) => "claimed",
            Self::Filled(_) => "filled",
            Self::Failed(_) => "failed",
            Self::Tested(_) => "tested",
            Self::SourceChanged(_) => "source_changed",
            Self::Published(_) => "published",
            Self::RolledBack(_) => "rolled_back",
            Self::TargetChanged(_) => "target_changed",
            Self::TargetVanished(_) => "target_vanished",
            Self::Dropped(_) => "dropped",
            Self::SequenceRaised { .. } => "sequence_raised",
            Self::Crashed { .. } => "crashed",
            Self::Waived { .. } => "waived",
            Self::Ticked(_) => "ticked",
            Self::FlowBegan(_) => "flow_began",
            Self::FlowDefined(_) => "flow_defined",
            Self::StepsBegan(_) => "steps_began",
            Self::StepsEnded(_) => "steps_ended",
            Self::FlowCancelled { .. } => "flow_cancelled",
            Self::FlowEnded(_) => "flow_ended",
            Self::FlowReopened(_) => "flow_reopened",
            Self::BackfillMade(_) => "backfill_made",
            Self::BackfillAsked(_) => "backfill_asked",
            Self::BackfillPaused(_) => "backfill_paused",
            Self::BackfillResumed { .. } => "backfill_resumed",
            Self::BackfillCancelled(_) => "backfill_cancelled",
        }
    }

    /// The run that it names; none where it names none.
    pub fn run(&self) -> Option<i64> {
        match self {
            Self::RunBegan(began) => Some(began.run),
            Self::RunEnded { run, .. } => Some(*run),
            Self::Claimed(claimed) => Some(claimed.run),
            Self::FlowBegan(began) => Some(began.run),
            Self::StepsBegan(began) => Some(began.run),
            Self::StepsEnded(ended) => Some(ended.run),
            Self::FlowCancelled { run, .. } => Some(*run),
            Self::FlowEnded(ended) => Some(ended.run),
            Self::FlowReopened(reopened) => Some(reopened.run),
            Self::Filled(_)
            | Self::Failed(_)
            | Self::Tested(_)
            | Self::SourceChanged(_)
            | Self::Published(_)
            | Self::RolledBack(_)
            | Self::TargetChanged(_)
            | Self::TargetVanished(_)
            | Self::Dropped(_)
            | Self::SequenceRaised { .. }
            | Self::Crashed { .. }
            | Self::Waived { .. }
            | Self::Ticked(_)
            | Self::FlowDefined(_)
            | Self::BackfillMade(_)
            | Self::BackfillAsked(_)
            | Self::BackfillPaused(_)
            | Self::BackfillResumed { .. }
            | Self::BackfillCancelled(_) => None,
        }
    }

    /// The attempt whose end it tells, where it names that and no run. None of an adopted fill: its attempt may
    /// be another ledger's.
    pub fn attempt(&self) -> Option<i64> {
        match self {
            Self::Filled(filled) => (!filled.adopted).then_some(filled.attempt),
            Self::Failed(failed) => Some(failed.attempt),
            Self::Tested(tested) => Some(tested.attempt),
            Self::RunBegan(_)
            | Self::RunEnded { .. }
            | Self::Claimed(_)
            | Self::SourceChanged(_)
            | Self::Published(_)
            | Self::RolledBack(_)
            | Self::TargetChanged(_)
            | Self::TargetVanished(_)
            | Self::Dropped(_)
            | Self::SequenceRaised { .. }
            | Self::Crashed { .. }
            | Self::Waived { .. }
            | Self::Ticked(_)
            | Self::FlowBegan(_)
            | Self::FlowDefined(_)
            | Self::StepsBegan(_)
            | Self::StepsEnded(_)
            | Self::FlowCancelled { .. }
            | Self::FlowEnded(_)
            | Self::FlowReopened(_)
            | Self::BackfillMade(_)
            | Self::BackfillAsked(_)
            | Self::BackfillPaused(_)
            | Self::BackfillResumed { .. }
            | Self::BackfillCancelled(_) => None,
        }
    }
}

/// A run began; what a person named is stale from here on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunBegan {
    /// Its number.
    pub run: i64,
    /// What started it.
    pub trigger: Trigger,
    /// What was selected, as typed.
    pub selector: String,
    /// The ranges that a person asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manual: Vec<(Instance, RangeSet)>,
    /// The ranges that a person's run takes as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<(Instance, RangeSet)>,
    /// Instances that a person named: what is held of them is let go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub named: Vec<Instance>,
    /// The backfill of which `manual` is a slice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backfill: Option<i64>,
}

/// An attempt took a range. The number of this fact is the claim's sequence number and epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claimed {
    /// Of which run.
    pub run: i64,
    /// Of which task run.
    pub task_run: i64,
    /// The attempt.
    pub attempt: i64,
    /// Whose range.
    pub instance: Instance,
    /// What is written, or tested.
    pub relation: Relation,
    /// Which range.
    pub range: Interval,
    /// To fill it or to test it.
    pub kind: TaskKind,
    /// Why, as `plan` says it.
    pub reason: serde_json::Value,
    /// With what it is to be made.
    pub fingerprint: CodeFp,
}

/// A range was filled, by an attempt of ours or by a commit that was adopted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FillRecord {
    /// The attempt.
    pub attempt: i64,
    /// The claim's sequence number: what was stale before it is fresh now.
    pub claim_seq: i64,
    /// Whose range.
    pub instance: Instance,
    /// The table or view.
    pub relation: Relation,
    /// How its rows are kept.
    pub materialization: Materialization,
    /// Which range.
    pub range: Interval,
    /// With what.
    pub fingerprint: CodeFp,
    /// When its inputs were read at the earliest: the claim's time, or an adopted commit's where no
    /// claim is known. A tick after it has not been made up for.
    pub made_at: Instant,
    /// The version that it committed.
    pub version: Option<i64>,
    /// The table's own id, where the attempt said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_id: Option<String>,
    /// Its columns; none where an adopted commit does not say them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<Column>>,
    /// Whether blocking data tests have to pass before readers may read it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untested: bool,
    /// Whether they have to pass before anybody sees its version.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waits: bool,
    /// Whether hooks that belong to it did not run to their end, as far as is known: it is stale from the
    /// start, and its attempt goes on to its failure.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hooks_left: bool,
    /// Whether the table's log showed it to us, not the attempt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
    /// Whether it replaced all that the table held.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replaces_all: bool,
    /// What its commit added to the table's size; an adopted one does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth: Option<Growth>,
    /// What else was filled in the table and is not there any more, because all was replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<(Instance, RangeSet)>,
    /// What each interval holds.
    pub intervals: Vec<IntervalRow>,
    /// Those of them, by place, that do not hold what they held before, with what that was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<(u32, Option<Was>)>,
    /// Readers that became stale; a mark's reasons are places in `intervals`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
    /// What of an adopted fill was made from rows that are others by now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outdated: Vec<Outdated>,
}

/// An upstream that was filled anew after a fill had read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outdated {
    /// Which.
    pub upstream: Instance,
    /// What was made from it.
    pub ranges: RangeSet,
}

/// What an interval held before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Was(
    /// Its rows.
    pub u64,
    /// Their hash.
    pub Fingerprint,
);

/// A filled interval as a short row: start, end, rows, hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntervalRow(Instant, Instant, u64, Fingerprint);

impl FillRecord {
    /// Rows of all its intervals.
    pub fn rows(&self) -> u64 {
        self.intervals.iter().map(|row| row.2).sum()
    }
}

impl From<&Filled> for IntervalRow {
    fn from(filled: &Filled) -> Self {
        Self(filled.interval.start, filled.interval.end, filled.rows, filled.content)
    }
}

impl From<IntervalRow> for Filled {
    fn from(row: IntervalRow) -> Self {
        Self {
            interval: Interval {
                start: row.0,
                end: row.1,
            },
            rows: row.2,
            content: row.3,
        }
    }
}

/// What a change did to one instance that reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Whom.
    pub instance: Instance,
    /// What it has filled and is stale now.
    pub ranges: RangeSet,
    /// Where it had failed and may try anew, because an input changed.
    #[serde(default, skip_serializing_if = "RangeSet::is_empty")]
    pub released: RangeSet,
    /// Which of the changes touched which range.
    pub because: Vec<(u32, Interval)>,
}

/// An attempt failed or was lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failed {
    /// The attempt.
    pub attempt: i64,
    /// Whose range.
    pub instance: Instance,
    /// Which range.
    pub range: Interval,
    /// Why; none where a person ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Diagnostic>,
    /// `failed`, `crashed` or `cancelled`.
    pub state: RunState,
    /// What is known of the range's failures with this one; none where it does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<Failing>,
}

/// Data tests of a node ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tested {
    /// The attempt.
    pub attempt: i64,
    /// The node.
    pub node: NodeName,
    /// The newest fact that they saw.
    pub saw_seq: i64,
    /// How each ended.
    pub results: Vec<TestResult>,
    /// What was filled up to that fact may be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clears_through: Option<i64>,
    /// The node's instances.
    pub instances: Vec<Instance>,
    /// How the attempt ended.
    pub state: RunState,
}

/// Readers see a newer version of a table: its data tests have passed, or it has none any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The table.
    pub relation: Relation,
    /// Its node.
    pub node: NodeName,
    /// The table's own id, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_id: Option<String>,
    /// The version.
    pub version: i64,
}

/// A person took a table back to an earlier version. All that was filled up to it is filled, the rest is
/// not; nothing is filled by itself until something changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolledBack {
    /// The table.
    pub relation: Relation,
    /// Its node.
    pub node: NodeName,
    /// The number in the commit.
    pub claim_seq: i64,
    /// The version that the commit made.
    pub version: i64,
    /// The version that it holds again.
    pub to: i64,
    /// The node's code then: with another it is not held any more.
    pub fingerprint: CodeFp,
    /// Whether data tests have to pass before readers may read what came back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untested: bool,
    /// Its columns, where a fill has told them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<Column>>,
    /// The node's instances, which are held.
    pub instances: Vec<Instance>,
    /// What was filled since, and is not any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undone: Vec<Undone>,
    /// Readers that became stale; reasons are places in `undone`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
}

/// What an instance lost, or got back, when its table went back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undone {
    /// Which.
    pub instance: Instance,
    /// What the earlier version does not have.
    #[serde(default, skip_serializing_if = "RangeSet::is_empty")]
    pub lost: RangeSet,
    /// What it has, as earlier fills had made it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restored: Vec<Restored>,
}

/// A range as an earlier fill had made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// Which.
    pub range: Interval,
    /// With what.
    pub fingerprint: CodeFp,
    /// The number of that fill's claim.
    pub claim_seq: i64,
    /// When its inputs were read at the earliest.
    pub made_at: Instant,
    /// When that was recorded.
    pub filled_at: Instant,
    /// What each interval holds.
    pub intervals: Vec<IntervalRow>,
}

/// How a data test ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestResult {
    /// Its name.
    pub name: String,
    /// What was asserted.
    pub fingerprint: Fingerprint,
    /// Rows that break it.
    pub failures: u64,
    /// A few of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sample: Vec<serde_json::Value>,
}

/// A source's files are not what they were.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceChanged {
    /// The source.
    pub source: NodeName,
    /// Its columns, where they were fixed by this look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<Column>>,
    /// What it was read as, where that is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_as: Option<Fingerprint>,
    /// Files that are new or different.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileSeen>,
    /// Files that are gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<PathBuf>,
    /// Hours of a single file that are new or different.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<IntervalRow>,
    /// Hours of a single file that have no rows any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hours_gone: Vec<Interval>,
    /// What changed where, one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<SourceChange>,
    /// Readers that became stale; reasons are places in `changes`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
    /// Readers whose rows have lost their file: stale but not due. Reasons as above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<Mark>,
}

/// One change of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceChange {
    /// Over which time.
    pub over: Interval,
    /// In which file.
    pub file: PathBuf,
    /// The hash of what was there; none where nothing was.
    pub old: Option<String>,
    /// The hash of what is there now; none where nothing is.
    pub new: Option<String>,
}
