//! What a server says: the answer to a verb, and the events of what it does then. What is added to
//! these types later is passed over by an older command line; a kind that it does not know is not.

use mulgil_core::{
    backfill::{self, Backfill},
    diagnostic::Diagnostic,
    interval::{Instant, Interval},
    name::Instance,
    run::{RunState, TaskKind},
};
use serde::{Deserialize, Serialize};

use crate::verb::{Order, Target};

/// The answer to a verb that was taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// What came of it.
    pub what: Answered,
    /// What can be followed to its end, where the verb lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow: Option<Target>,
    /// What should be known besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Diagnostic>,
}

impl Answer {
    /// An answer with nothing to follow.
    pub fn of(what: Answered) -> Self {
        Self {
            what,
            follow: None,
            warnings: Vec::new(),
        }
    }

    /// Says what can be followed.
    #[must_use]
    pub fn with_follow(mut self, target: Target) -> Self {
        self.follow = Some(target);
        self
    }
}

/// What came of a verb.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Answered {
    /// There is nothing to do.
    NothingDue {},
    /// A run was queued, or the one that was asked for is queued already.
    RunQueued {
        /// Its number.
        run: i64,
    },
    /// A run is told to end.
    RunCancelled {
        /// Its number.
        run: i64,
        /// How it stood.
        state: RunState,
    },
    /// A backfill as it stands after what was asked.
    Backfill(BackfillRow),
    /// All backfills, newest first.
    Backfills {
        /// They.
        backfills: Vec<BackfillRow>,
    },
    /// What a backfill would fill.
    Preview {
        /// Ranges, in the order in which they would be filled.
        ranges: Vec<Named>,
    },
    /// A decision was recorded.
    Approved {
        /// The run that waited.
        run: i64,
        /// Its step.
        step: String,
    },
}

/// A range of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Named {
    /// The node.
    pub instance: Instance,
    /// The unbroken range.
    pub range: Interval,
    /// The intervals in it.
    pub count: u64,
}

/// A backfill, as a person sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackfillRow {
    /// Its number.
    pub backfill: i64,
    /// What was selected, as typed.
    pub selector: String,
    /// How it stands.
    pub state: BackfillState,
    /// Intervals of it.
    pub intervals: u64,
    /// Intervals that are filled.
    pub filled: u64,
    /// Intervals that failed.
    pub failed: u64,
    /// When it was made.
    pub made_at: Instant,
    /// When it ended.
    #[serde(default)]
    pub ended_at: Option<Instant>,
    /// Intervals that were not asked for yet.
    #[serde(default)]
    pub left: u64,
    /// Intervals that were asked for and are neither filled nor failed.
    #[serde(default)]
    pub open: u64,
    /// Who made it.
    #[serde(default)]
    pub by: String,
    /// In which order it goes.
    #[serde(default)]
    pub order: Order,
    /// Intervals that may be open at once.
    #[serde(default)]
    pub parallel: u32,
    /// Percent of the slots that backfills may hold together.
    #[serde(default)]
    pub share: u8,
}

impl From<&Backfill> for BackfillRow {
    fn from(backfill: &Backfill) -> Self {
        let progress = backfill.progress();
        let state = match backfill.state {
            backfill::BackfillState::Open => BackfillState::Running,
            backfill::BackfillState::Paused => BackfillState::Paused,
            backfill::BackfillState::Cancelled => BackfillState::Cancelled,
            backfill::BackfillState::Done if progress.failed > 0 => BackfillState::Failed,
            backfill::BackfillState::Done => BackfillState::Done,
        };
        Self {
            backfill: backfill.id,
            selector: backfill.terms.selector.clone(),
            state,
            intervals: progress.total,
            filled: progress.filled,
            failed: progress.failed,
            made_at: backfill.made_at,
            ended_at: backfill.ended_at,
            left: progress.left,
            open: progress.open,
            by: backfill.terms.by.clone(),
            order: backfill.terms.order.into(),
            parallel: backfill.terms.parallel,
            share: backfill.terms.share,
        }
    }
}

/// How a backfill stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackfillState {
    /// Going on.
    Running,
    /// A person holds it back.
    Paused,
    /// At its end, all filled.
    Done,
    /// At its end, with failures.
    Failed,
    /// A person ended it.
    Cancelled,
}

/// One thing that happened to what is followed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its number, growing from 1 within what is followed and the same whenever it is read: a reader
    /// goes on after the last one it has.
    pub seq: u64,
    /// When.
    pub at: Instant,
    /// What.
    #[serde(flatten)]
    pub what: Happened,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Happened {
    /// What is to be done is known, or known better.
    Planned {
        /// Intervals that will surely be filled.
        intervals: u64,
    },
    /// It stands otherwise.
    State {
        /// How.
        state: RunState,
        /// Why, where it waits: in words for people.
        #[serde(default)]
        reason: Option<String>,
        /// When that is looked at again.
        #[serde(default)]
        next_check_at: Option<Instant>,
    },
    /// An attempt began.
    Started {
        /// It.
        attempt: i64,
        /// What is filled or tested.
        instance: Instance,
        /// Which range.
        range: Interval,
        /// A fill or data tests.
        kind: TaskKind,
    },
    /// An attempt is further.
    Progress {
        /// It.
        attempt: i64,
        /// Rows written so far.
        rows: u64,
    },
    /// An attempt said something.
    Log {
        /// It.
        attempt: i64,
        /// A line, masked.
        text: String,
    },
    /// An attempt ended well.
    Finished {
        /// It.
        attempt: i64,
        /// What was filled or tested.
        instance: Instance,
        /// Which range.
        range: Interval,
        /// A fill or data tests.
        kind: TaskKind,
        /// Intervals filled, or tests that ran.
        done: u64,
        /// Rows written.
        rows: u64,
    },
    /// An attempt failed and is tried again in smaller parts.
    Narrowed {
        /// It.
        attempt: i64,
        /// Of what.
        instance: Instance,
        /// Which range.
        range: Interval,
        /// Why it failed.
        fault: Diagnostic,
    },
    /// An attempt failed.
    Failed {
        /// It.
        attempt: i64,
        /// Of what.
        instance: Instance,
        /// Which range.
        range: Interval,
        /// A fill or data tests.
        kind: TaskKind,
        /// Why.
        fault: Diagnostic,
    },
    /// A line for people, that no other event says.
    Said {
        /// It.
        text: String,
    },
    /// A fault or a warning that belongs to no attempt.
    Fault {
        /// It.
        fault: Diagnostic,
    },
    /// The server stops; what is followed goes on when it is back. The server adds this one; it bears
    /// the number of the event before it.
    Draining {},
    /// The events cannot be told further; what is followed may go on. The server adds this one too.
    Broken {
        /// Why.
        fault: Diagnostic,
    },
    /// It is over: the last event.
    Ended(RunEnd),
}

/// How a run or a backfill ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunEnd {
    /// How.
    pub state: RunState,
    /// The exit code for a command that followed it.
    pub exit: u8,
    /// Intervals that were filled.
    pub intervals: u64,
    /// Rows that were written.
    pub rows: u64,
    /// Data tests that held.
    pub tests_passed: u64,
    /// Data tests that did not.
    pub tests_failed: u64,
    /// A fault that ended it before its end.
    #[serde(default)]
    pub stopped: Option<Diagnostic>,
}

#[cfg(test)]
mod tests {
    use mulgil_core::{
        backfill::{Part, Terms},
        codes,
        diagnostic::Place,
        grid::{Cut, Grid, Unit, Zone},
        interval::RangeSet,
    };

    use super::*;

    #[test]
    fn a_backfill_is_told_as_it_stands_and_an_older_row_is_still_read() {
        let grid = Grid {
            cut: Cut::Unit(Unit::Hour),
            ..Grid::whole(Zone::UTC)
        };
        let hours = |from: i64, to: i64| Interval {
            start: Instant(from * 3_600_000_000),
            end: Instant(to * 3_600_000_000),
        };
        let mut part = Part::new(Instance::of("sales".into()), grid, &RangeSet::from(hours(0, 9)));
        part.ask(2, &hours(0, 4).into());
        part.fill(hours(0, 2), 3, 1);
        part.fail(hours(2, 3), i64::MAX);
        let mut backfill = Backfill {
            id: 3,
            terms: Terms::new("sales", "mina"),
            state: backfill::BackfillState::Open,
            seq: 1,
            made_at: Instant(5),
            ended_at: None,
            parts: vec![part],
        };
        let row = BackfillRow::from(&backfill);
        assert_eq!(
            serde_json::to_string(&row).unwrap(),
            r#"{"backfill":3,"selector":"sales","state":"running","intervals":9,"filled":2,"failed":1,"made_at":5,"ended_at":null,"left":5,"open":1,"by":"mina","order":"oldest_first","parallel":16,"share":50}"#
        );
        backfill.state = backfill::BackfillState::Done;
        assert_eq!(BackfillRow::from(&backfill).state, BackfillState::Failed);
        let older =
            r#"{"backfill":3,"selector":"sales","state":"done","intervals":9,"filled":2,"failed":1,"made_at":5}"#;
        assert_eq!(serde_json::from_str::<BackfillRow>(older).unwrap().left, 0);
    }

    #[test]
    fn an_event_is_one_flat_object_and_comes_back_as_it_was() {
        let fault = Diagnostic::error(codes::SQL_FAILED, "a cast failed")
            .at(Place::at("models/a.sql", 3, 19))
            .with_remedy("look at line 3");
        let event = Event {
            seq: 7,
            at: Instant(1_000_000),
            what: Happened::Failed {
                attempt: 4,
                instance: Instance::of("sales".into()),
                range: Interval::WHOLE,
                kind: TaskKind::Fill,
                fault,
            },
        };
        let text = serde_json::to_string(&event).unwrap();
        assert!(
            text.starts_with(r#"{"seq":7,"at":1000000,"event":"failed","attempt":4,"#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
        let newer = r#"{"seq":1,"at":0,"event":"said","text":"hi","colour":"red"}"#;
        assert_eq!(
            serde_json::from_str::<Event>(newer).unwrap().what,
            Happened::Said { text: "hi".to_owned() }
        );
    }
}
