//! What happens, said in lines, counted, and passed on to notices and to whoever follows a run.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use mulgil_core::{
    flow::name, grid::Zone, interval::Interval, interval_text, project::Project, run::RunState, tick::Fate,
};
use mulgil_scheduler::service::{Happening, Witness};
use tokio::sync::watch;

use super::{notices::Notices, warn};
use crate::{
    say,
    wire::{self, Opened},
};

/// Runs whose end is remembered for those who wait for it.
const MAX_REMEMBERED: usize = 1_000;

/// Told whenever anything is recorded: whoever follows looks again.
#[derive(Clone, Debug)]
pub(crate) struct Changes(Arc<watch::Sender<u64>>);

impl Default for Changes {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Changes {
    /// Something is recorded.
    pub(crate) fn tell(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    /// To wait for what comes.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

/// Looks on.
pub(crate) struct Onlooker {
    project: Arc<Project>,
    zone: Zone,
    changes: Changes,
    notices: Option<Notices>,
    is_quiet: bool,
    ended: Mutex<BTreeMap<i64, Ended>>,
    pub(crate) counts: Counts,
}

/// What is counted since the start.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Ticks that nobody was there for.
    pub(crate) missed: AtomicU64,
    /// By how much the last tick came too late, in microseconds.
    pub(crate) lag_us: AtomicI64,
    /// Attempts that ended, by state.
    pub(crate) attempts: Mutex<BTreeMap<&'static str, u64>>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended(RunState);

impl Ended {
    pub(crate) fn is_success(self) -> bool {
        matches!(self.0, RunState::Success | RunState::Skipped)
    }
}

impl Onlooker {
    pub(crate) fn new(opened: &Opened, changes: Changes, notices: Option<Notices>) -> Self {
        Self {
            project: Arc::clone(&opened.project),
            zone: opened.project.zone.clone(),
            changes,
            notices,
            is_quiet: false,
            ended: Mutex::default(),
            counts: Counts::default(),
        }
    }

    /// One that says nothing in lines.
    pub(crate) fn quiet(self) -> Self {
        Self { is_quiet: true, ..self }
    }

    /// Waits until a run of a flow has ended.
    pub(crate) async fn ended(&self, run: i64) -> Ended {
        let mut changes = self.changes.watch();
        loop {
            let ended = self
                .ended
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get(&run)
                .copied();
            match ended {
                Some(ended) => return ended,
                None => {
                    // The sender lives as long as the onlooker.
                    let _ = changes.changed().await;
                }
            }
        }
    }

    fn named(&self, flow: &str, interval: Interval) -> String {
        match self.project.flow(flow) {
            Some(declared) if interval != Interval::WHOLE => {
                format!("{flow}@{}", interval_text::format(interval, &declared.grid))
            }
            _ => flow.to_owned(),
        }
    }

    fn count(&self, what: &Happening) {
        match what {
            Happening::Ticked { ticks, .. } => {
                let missed = ticks
                    .iter()
                    .filter(|tick| matches!(tick.fate, Fate::Missed | Fate::Coalesced { .. }));
                self.counts.missed.fetch_add(missed.count() as u64, Ordering::Relaxed);
                if let Some(last) = ticks.last() {
                    let lag = wire::now().0.saturating_sub(last.scheduled_at.0);
                    self.counts.lag_us.store(lag, Ordering::Relaxed);
                }
            }
            Happening::StepEnded {
                state,
                attempt: Some(_),
                ..
            } => {
                let mut attempts = self.counts.attempts.lock().unwrap_or_else(PoisonError::into_inner);
                *attempts.entry(state.as_str()).or_default() += 1;
            }
            Happening::StepEnded { attempt: None, .. }
            | Happening::RunBegan { .. }
            | Happening::StepBegan { .. }
            | Happening::Late { .. }
            | Happening::RunEnded { .. }
            | Happening::LedgerFailed { .. } => {}
        }
    }

    fn say(&self, what: &Happening) {
        match what {
            Happening::Ticked { owner, ticks } => {
                let missed = ticks
                    .iter()
                    .filter(|tick| !matches!(tick.fate, Fate::Runs | Fate::Before))
                    .count();
                if missed > 0 {
                    let owner = name::flow_in(owner).unwrap_or(owner);
                    say::talk(&format!("{owner}: {} missed", say::count(missed as u64, "tick")));
                }
            }
            Happening::RunBegan {
                run,
                flow,
                interval,
                scheduled_at,
            } => {
                let due = scheduled_at.map_or_else(String::new, |at| format!(", due {}", say::moment(at, &self.zone)));
                say::talk(&format!("run {run}: {}{due}", self.named(flow, *interval)));
            }
            Happening::StepBegan { .. } => {}
            Happening::StepEnded {
                run,
                step,
                state,
                fault,
                next_try_at,
                ..
            } => {
                let again = next_try_at.map_or_else(String::new, |at| {
                    format!(", tried again at {}", say::moment(at, &self.zone))
                });
                let why = fault
                    .as_ref()
                    .map_or_else(String::new, |fault| format!(": {}: {}", fault.code, fault.message));
                say::talk(&format!("run {run}: {step} {}{why}{again}", state.as_str()));
            }
            Happening::RunEnded {
                run,
                flow,
                interval,
                state,
                started_at,
                ..
            } => {
                let took = say::span(*started_at, wire::now());
                say::talk(&format!(
                    "run {run}: {} {} after {took}",
                    self.named(&flow.name, *interval),
                    state.as_str()
                ));
            }
            Happening::Late {
                run, flow, interval, ..
            } => {
                say::talk(&format!("run {run}: {} is late", self.named(&flow.name, *interval)));
            }
            Happening::LedgerFailed { fault } => warn(fault),
        }
    }
}

impl Witness for Onlooker {
    fn saw(&self, what: &Happening) {
        self.count(what);
        if !self.is_quiet {
            self.say(what);
        }
        if let Happening::RunEnded { run, state, .. } = what {
            let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            ended.insert(*run, Ended(*state));
            while ended.len() > MAX_REMEMBERED {
                ended.pop_first();
            }
        }
        if let Some(notices) = &self.notices {
            notices.tell(what);
        }
        self.changes.tell();
    }
}
