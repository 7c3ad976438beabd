//! What pages read. A page takes at most four statements; each walks an index from a place on and is bounded by a
//! limit, so that what it costs does not grow with what the ledger holds. Lists go on from the last row that was
//! given, never from a count of rows.

mod attempt;
mod flow;
mod run;
mod runs;
mod today;
mod told;

use mulgil_core::{
    interval::{Instant, Interval},
    run::{RunState, Trigger},
};

pub use self::{
    attempt::{
        LOG_LINE_COST, LedgerLine, LedgerLog, LogFrom, STAMP_BYTES, StepRow, TaskHead, TriedAttempt, TriesShown,
        ledger_text,
    },
    flow::{CellRow, CellsOf, FlowOrder, FlowRuns, Toward},
    run::{RunPage, TaskCounts, TaskPage, TaskRow, TryRow},
    today::{FailedRow, FlowRunRow, OpenTicks},
    told::Grown,
};
use crate::error::Error;

/// A run, as lists have it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunHead {
    /// Its number.
    pub id: i64,
    /// What started it.
    pub trigger: Trigger,
    /// What was selected, as typed.
    pub selector: String,
    /// How it stands.
    pub state: RunState,
    /// When it began.
    pub started_at: Instant,
    /// When it ended.
    pub ended_at: Option<Instant>,
    /// Its flow; none of a run of models.
    pub flow: Option<String>,
    /// The interval that it is for: [`Interval::WHOLE`] for a flow without any, none of a run of models.
    pub interval: Option<Interval>,
    /// The tick that it is for.
    pub scheduled_at: Option<Instant>,
}

/// The columns of a [`RunHead`], of `run r` and `flow_run f`.
macro_rules! head_columns {
    () => {
        "r.id, r.\"trigger\", r.selector, r.state, r.started_at, r.ended_at, f.flow, f.start_at, f.end_at, f.scheduled_at"
    };
}
use head_columns;

/// Those columns.
type HeadRow = (
    i64,
    String,
    String,
    String,
    i64,
    Option<i64>,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
);

fn head(
    (id, trigger, selector, state, started_at, ended_at, flow, start, end, scheduled_at): HeadRow,
) -> Result<RunHead, Error> {
    Ok(RunHead {
        id,
        trigger: serde_json::from_str(&trigger)?,
        selector,
        state: state_of(&state)?,
        started_at: Instant(started_at),
        ended_at: ended_at.map(Instant),
        flow,
        interval: start.zip(end).map(|(start, end)| Interval {
            start: Instant(start),
            end: Instant(end),
        }),
        scheduled_at: scheduled_at.map(Instant),
    })
}

fn state_of(text: &str) -> Result<RunState, Error> {
    RunState::parse(text).ok_or_else(|| Error::damaged(format!("`{text}` is not a state")))
}
