//! One walk over the steps of a flow: what of it may start now, what is passed over, what is tried
//! again and when, and how the whole ends. Pure: it is told what happened, and says what is next.

mod front;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::front::Front;
use crate::{
    backoff::BackOff,
    diagnostic,
    flow::{Flow, OnLost, RunIf, Step},
    interval::{Instant, Interval},
    project::Fingerprint,
    run::RunState,
};

/// Attempts of a step that may be lost to what they run on; their failures are not the step's.
pub const MAX_CRASHES: u32 = 3;

/// The pauses after an attempt was lost.
const CRASH_BACK_OFF: BackOff = BackOff {
    base_us: 1_000_000,
    cap_us: 30_000_000,
    factor: 2,
};

/// A walk as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Walk {
    /// Its run.
    pub run: i64,
    /// The interval that it is for; [`Interval::WHOLE`] for a flow without any.
    pub interval: Interval,
    /// How each step stands. One that is not named here has not begun.
    pub steps: BTreeMap<String, StepProgress>,
    /// Whether somebody ended it: nothing more begins but what is done in any case.
    pub is_cancelled: bool,
}

/// How a step of a walk stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepProgress {
    /// Its stage.
    pub stage: Stage,
    /// Attempts that failed by themselves.
    pub failures: u32,
    /// Attempts that were lost.
    pub crashes: u32,
    /// When its first attempt began.
    pub began_at: Option<Instant>,
    /// Attempts that it had before the walk was begun again; their failures do not count any more.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub before: u32,
}

impl StepProgress {
    /// The number of its next attempt in this run, from 1.
    pub fn next_attempt(&self) -> u32 {
        self.before + self.failures + self.crashes + 1
    }

    /// It waits again, with a fresh count of tries.
    fn again(&self) -> Self {
        // Of an ended one the last attempt did not fail where it succeeded or was cancelled.
        let last = match self.stage {
            Stage::Ended {
                state: RunState::Success | RunState::Cancelled,
            } if self.began_at.is_some() => 1,
            Stage::Ended { .. } | Stage::Waiting | Stage::Running | Stage::Retrying { .. } => 0,
        };
        Self {
            before: self.before + self.failures + self.crashes + last,
            ..Self::default()
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// How far a step of a walk is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Stage {
    /// It has not begun.
    #[default]
    Waiting,
    /// An attempt of it is live.
    Running,
    /// An attempt ended, and the next one may begin at that moment.
    Retrying {
        /// When.
        at: Instant,
    },
    /// It is over.
    Ended {
        /// How.
        state: RunState,
    },
}

impl Stage {
    /// How it ended; nothing where it has not.
    pub fn ended(self) -> Option<RunState> {
        match self {
            Self::Ended { state } => Some(state),
            Self::Waiting | Self::Running | Self::Retrying { .. } => None,
        }
    }
}

/// What is to be done next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Next {
    /// Steps of which an attempt may begin, in the flow's order.
    pub start: Vec<String>,
    /// Steps that end without one, and how.
    pub end: Vec<(String, RunState)>,
    /// When to ask again at the latest, if nothing happens before.
    pub wake_at: Option<Instant>,
    /// How the walk ended, once every step has.
    pub result: Option<RunState>,
}

/// How an attempt ended that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// By its own fault.
    Failed {
        /// Whether another attempt may do better.
        retry: diagnostic::Retry,
    },
    /// By the death of what it ran on.
    Crashed,
}

impl Walk {
    /// A walk of which nothing has begun.
    pub fn new(run: i64, interval: Interval) -> Self {
        Self {
            run,
            interval,
            steps: BTreeMap::new(),
            is_cancelled: false,
        }
    }

    /// The walk as far as these steps go: to try what would become of them.
    #[must_use]
    pub fn only<'a>(&self, steps: impl IntoIterator<Item = &'a str>) -> Self {
        let known = |step: &str| Some((step.to_owned(), self.steps.get(step)?.clone()));
        Self {
            steps: steps.into_iter().filter_map(known).collect(),
            ..*self
        }
    }

    /// How a step stands.
    pub fn progress(&self, step: &str) -> StepProgress {
        self.steps.get(step).cloned().unwrap_or_default()
    }

    /// How a step ended; nothing where it has not.
    pub fn ended(&self, step: &str) -> Option<RunState> {
        self.steps.get(step)?.stage.ended()
    }

    /// What is next. Steps that end without an attempt are ended in the answer and counted as such for
    /// those that wait for them; the walk itself is not changed.
    pub fn next(&self, flow: &Flow, now: Instant) -> Next {
        self.next_at(flow, &mut Front::new(flow, self), now)
    }

    /// What is next, where the front says to look. What is to start is told once, until something changes; so is
    /// what ends.
    pub fn next_at(&self, flow: &Flow, front: &mut Front, now: Instant) -> Next {
        let mut next = Next::default();
        let mut seen = Seen {
            walk: self,
            ends: BTreeMap::new(),
        };
        // Each step stands after what it needs, so that one pass sees every end.
        let mut places = front.take();
        while let Some(place) = places.pop_first() {
            let step = &flow.steps[place];
            let stage = self.steps.get(&step.name).map_or(Stage::Waiting, |step| step.stage);
            let end = match stage {
                Stage::Waiting | Stage::Retrying { .. } if self.refuses(step) => Some(RunState::Cancelled),
                Stage::Waiting => match seen.verdict(flow, step) {
                    Verdict::Wait => None,
                    Verdict::Start => {
                        next.start.push(step.name.clone());
                        None
                    }
                    Verdict::End(state) => Some(state),
                },
                Stage::Retrying { at } if at <= now || self.is_too_far(step, at, now) => {
                    next.start.push(step.name.clone());
                    None
                }
                Stage::Retrying { at } => {
                    next.wake_at = Some(next.wake_at.map_or(at, |earlier| earlier.min(at)));
                    None
                }
                Stage::Running | Stage::Ended { .. } => None,
            };
            if let Some(state) = end {
                seen.ends.insert(&step.name, state);
                next.end.push((step.name.clone(), state));
                places.extend(front.behind(place));
                places.extend(front.finally());
            }
        }
        if next.start.is_empty() && next.wake_at.is_none() && front.has_at_most(next.end.len()) {
            next.result = seen.result(flow);
        }
        next
    }

    /// An attempt of a step began.
    pub fn began(&mut self, step: &str, now: Instant) {
        let progress = self.steps.entry(step.to_owned()).or_default();
        progress.stage = Stage::Running;
        progress.began_at.get_or_insert(now);
    }

    /// A step is over.
    pub fn end(&mut self, step: &str, state: RunState) {
        self.steps.entry(step.to_owned()).or_default().stage = Stage::Ended { state };
    }

    /// Begins an ended walk again: what failed, was lost, was cancelled, or did not begin because of that
    /// waits with a fresh count of tries; so does what is done at the end in any case. The rest keeps what it
    /// gave. Gives the steps that wait again.
    pub fn reopen(&mut self, flow: &Flow) -> Vec<String> {
        self.is_cancelled = false;
        let mut again: Vec<String> = Vec::new();
        let mut has_more = false;
        // Each step stands after what it needs, and those of `finally` are last.
        for step in &flow.steps {
            let waits = match self.ended(&step.name) {
                Some(RunState::Failed | RunState::Crashed | RunState::Cancelled | RunState::UpstreamFailed) => true,
                Some(RunState::Skipped) if !step.is_finally => step.needs.iter().any(|need| again.contains(need)),
                Some(_) => step.is_finally && has_more,
                None => {
                    has_more = true;
                    false
                }
            };
            if waits {
                has_more = true;
                let progress = self.progress(&step.name).again();
                self.steps.insert(step.name.clone(), progress);
                again.push(step.name.clone());
            }
        }
        again
    }

    /// An attempt of a step was lost; gives how the step stands now.
    pub fn lose(&mut self, step: &Step, lost: Lost, now: Instant) -> Stage {
        let mut progress = self.progress(&step.name);
        let seed = |count: u32| {
            Fingerprint::of([
                self.run.to_le_bytes().as_slice(),
                step.name.as_bytes(),
                count.to_le_bytes().as_slice(),
            ])
        };
        let over = |state| Stage::Ended { state };
        progress.stage = match lost {
            Lost::Failed { retry } => {
                progress.failures += 1;
                let pause = step
                    .retry
                    .back_off()
                    .pause_us(progress.failures, seed(progress.failures));
                let at = Instant(now.0.saturating_add(pause));
                let has_time = match (step.total_timeout_us, progress.began_at) {
                    (Some(total), Some(began)) => at.0 < began.0.saturating_add(total),
                    _ => true,
                };
                let may = retry == diagnostic::Retry::Later && progress.failures <= step.retry.max;
                if may && has_time && !self.refuses(step) {
                    Stage::Retrying { at }
                } else {
                    over(RunState::Failed)
                }
            }
            Lost::Crashed => {
                progress.crashes += 1;
                let pause = CRASH_BACK_OFF.pause_us(progress.crashes, seed(progress.crashes));
                let may = step.on_lost == OnLost::Retry && progress.crashes < MAX_CRASHES;
                if may && !self.refuses(step) {
                    Stage::Retrying {
                        at: Instant(now.0.saturating_add(pause)),
                    }
                } else {
                    over(RunState::Crashed)
                }
            }
        };
        let stage = progress.stage;
        self.steps.insert(step.name.clone(), progress);
        stage
    }

    /// Whether a moment is further away than any pause of the step: then the clock was set back meanwhile.
    fn is_too_far(&self, step: &Step, at: Instant, now: Instant) -> bool {
        let progress = self.progress(&step.name);
        let failed = step.retry.back_off().longest_us(progress.failures);
        let crashed = CRASH_BACK_OFF.longest_us(progress.crashes);
        at.0.saturating_sub(now.0) > failed.max(crashed)
    }

    /// Whether the step may not begin any more because the walk was cancelled.
    fn refuses(&self, step: &Step) -> bool {
        self.is_cancelled && !step.is_finally
    }
}

/// A walk with the ends that one look at it finds.
struct Seen<'a> {
    walk: &'a Walk,
    ends: BTreeMap<&'a str, RunState>,
}

impl Seen<'_> {
    fn ended(&self, step: &str) -> Option<RunState> {
        self.ends.get(step).copied().or_else(|| self.walk.ended(step))
    }

    fn verdict(&self, flow: &Flow, step: &Step) -> Verdict {
        let mut needs = Needs::default();
        if step.is_finally {
            let is_over = |other: &Step| other.is_finally || self.ended(&other.name).is_some();
            return if flow.steps.iter().all(is_over) {
                Verdict::Start
            } else {
                Verdict::Wait
            };
        }
        for need in &step.needs {
            let Some(state) = self.ended(need) else {
                return Verdict::Wait;
            };
            let fails = matches!(
                state,
                RunState::Failed | RunState::Crashed | RunState::UpstreamFailed | RunState::Cancelled
            );
            let is_allowed = fails && flow.step(need).is_some_and(|need| need.allow_failure);
            needs.count(state, is_allowed);
        }
        needs.verdict(step.run_if)
    }

    /// The worst end of all steps but those that may fail.
    fn result(&self, flow: &Flow) -> Option<RunState> {
        let mut worst = RunState::Success;
        for step in &flow.steps {
            let state = self.ended(&step.name)?;
            if !step.allow_failure && badness(state) > badness(worst) {
                worst = state;
            }
        }
        Some(worst)
    }
}

/// What a step that has not begun does.
enum Verdict {
    Wait,
    Start,
    End(RunState),
}

/// How what a step needs has ended.
#[derive(Default)]
struct Needs {
    all: u32,
    success: u32,
    skipped: u32,
    failed: u32,
}

impl Needs {
    fn count(&mut self, state: RunState, is_allowed: bool) {
        self.all += 1;
        match state {
            RunState::Success => self.success += 1,
            RunState::Skipped => self.skipped += 1,
            RunState::Failed | RunState::Crashed | RunState::UpstreamFailed | RunState::Cancelled if is_allowed => {
                self.success += 1;
            }
            RunState::Failed | RunState::Crashed | RunState::UpstreamFailed | RunState::Cancelled => self.failed += 1,
            RunState::Planned | RunState::Queued | RunState::Running | RunState::Waiting => {}
        }
    }

    /// A skip goes on along a line of steps, and ends where another branch that was taken joins it.
    fn verdict(&self, run_if: RunIf) -> Verdict {
        let is_passed_over = self.all > 0 && self.skipped == self.all;
        match run_if {
            RunIf::Always => Verdict::Start,
            RunIf::Success if self.failed > 0 => Verdict::End(RunState::UpstreamFailed),
            RunIf::AnySuccess if self.success == 0 && self.failed > 0 => Verdict::End(RunState::UpstreamFailed),
            RunIf::Success | RunIf::AnySuccess if is_passed_over => Verdict::End(RunState::Skipped),
            RunIf::Success | RunIf::AnySuccess => Verdict::Start,
            RunIf::Failed if self.failed > 0 => Verdict::Start,
            RunIf::Failed => Verdict::End(RunState::Skipped),
        }
    }
}

/// How bad an end is for the whole.
fn badness(state: RunState) -> u8 {
    match state {
        RunState::Success | RunState::Skipped => 0,
        RunState::Planned | RunState::Queued | RunState::Running | RunState::Waiting => 0,
        RunState::UpstreamFailed => 1,
        RunState::Failed => 3,
        RunState::Crashed => 2,
        RunState::Cancelled => 4,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
mod tests;
