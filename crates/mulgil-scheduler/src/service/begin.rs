//! What begins: ticks that have come, intervals that are due, and runs that a person asks for.

use std::{collections::BTreeMap, sync::Arc};

use mulgil_core::{
    backfill::Backfill,
    codes, crash,
    diagnostic::{Diagnostic, Retry},
    flow::{Class, DueRun, Flow, OnFull, name},
    interval::{Instant, Interval},
    port::Fault,
    run::{RunState, Trigger},
    state::NodeState,
};
use mulgil_store::{Begun, NewWalk};
use serde_json::Value as Json;

use super::{
    Mind, Service,
    backfills::{asking, in_turn},
    live_walk::LiveWalk,
    port::{Begins, Happening},
};

/// Schedules whose ticks are taken in one turn.
const MAX_OWNERS_A_TURN: usize = 1_000;

/// Ticks beyond the free runs that one turn passes over.
const MAX_PASSED_OVER: usize = 100;

impl Service {
    /// Records the ticks that have come.
    pub(super) async fn tick(&self, mind: &mut Mind, now: Instant) -> Result<(), Fault> {
        loop {
            let came = mind.timers.come(now, MAX_OWNERS_A_TURN);
            if came.is_empty() {
                return Ok(());
            }
            let decided = came.iter().map(|came| came.decided.clone()).collect();
            self.store.tick(decided, now).await?;
            crash::point("ticked");
            for came in &came {
                let owner = &mind.timers.owner(came.owner).name;
                self.witness.saw(&Happening::Ticked {
                    owner: owner.clone(),
                    ticks: came.decided.ticks.clone(),
                });
                mind.flagged.extend(name::flow_in(owner).map(str::to_owned));
            }
        }
    }

    /// Begins the walks that are due.
    pub(super) async fn begin(&self, mind: &mut Mind, now: Instant) -> Result<(), Fault> {
        let mut flagged = std::mem::take(&mut mind.flagged);
        let backfills = self.ask_backfills(&mut flagged, now).await?;
        for flow in flagged.iter().filter_map(|name| self.flows.get(name)) {
            if flow.grid.is_cut() {
                self.begin_intervals(mind, flow, &backfills, now).await?;
            } else if flow.schedule.is_some() {
                self.begin_ticks(mind, flow, now).await?;
            }
        }
        Ok(())
    }

    /// The intervals of a flow that are due, as far as there may be more active runs.
    pub(super) async fn begin_intervals(
        &self,
        mind: &mut Mind,
        flow: &Arc<Flow>,
        backfills: &[Backfill],
        now: Instant,
    ) -> Result<(), Fault> {
        let free = free_runs(mind, flow);
        if free == 0 {
            return Ok(());
        }
        let states = self.store.flow_states(std::slice::from_ref(flow.as_ref())).await?;
        let state = states.get(&flow.instance()).cloned().unwrap_or_else(NodeState::default);
        let active = self.store.active_intervals(&flow.name).await?;
        let tick = flow.schedule.as_ref().and_then(|schedule| schedule.last_tick(now));
        let turn = in_turn(backfills, flow);
        for DueRun { interval, class } in flow.due(&state, &active, &turn, now, free) {
            let (trigger, scheduled_at) = match class {
                Class::Scheduled => (Trigger::Schedule, tick),
                Class::Healing => (Trigger::Schedule, None),
                Class::Interactive => (Trigger::Manual, None),
                Class::Backfill => (Trigger::Backfill, None),
            };
            let asking = asking(backfills, flow, interval).filter(|_| class == Class::Backfill);
            let asking = asking.map(|backfill| (backfill.id, backfill.terms.clone()));
            let params = asking.as_ref().map(|(_, terms)| terms.params.clone());
            let begins = Begins {
                flow: Arc::clone(flow),
                trigger,
                class,
                scheduled_at,
                interval,
                params: params_of(flow, &params.unwrap_or_default()),
                backfill: asking,
            };
            self.begin_walk(mind, begins, now).await?;
        }
        Ok(())
    }

    /// The ticks of a flow without intervals whose runs have not begun.
    pub(super) async fn begin_ticks(&self, mind: &mut Mind, flow: &Arc<Flow>, now: Instant) -> Result<(), Fault> {
        let free = free_runs(mind, flow);
        let limit = match flow.on_full {
            OnFull::Queue => free,
            OnFull::Skip | OnFull::CancelOld | OnFull::Fail => free + MAX_PASSED_OVER,
        };
        if limit == 0 {
            return Ok(());
        }
        let ticks = self
            .store
            .open_ticks(&flow.name, u32::try_from(limit).unwrap_or(u32::MAX))
            .await?;
        for (index, at) in ticks.into_iter().enumerate() {
            let begins = Begins {
                flow: Arc::clone(flow),
                trigger: Trigger::Schedule,
                class: Class::Scheduled,
                scheduled_at: Some(at),
                interval: Interval::WHOLE,
                params: params_of(flow, &BTreeMap::new()),
                backfill: None,
            };
            if index < free {
                self.begin_walk(mind, begins, now).await?;
                continue;
            }
            match flow.on_full {
                OnFull::Queue => return Ok(()),
                OnFull::Skip => self.pass_over(mind, begins, RunState::Skipped, now).await?,
                OnFull::Fail => self.pass_over(mind, begins, RunState::Failed, now).await?,
                OnFull::CancelOld => {
                    let oldest = mind.walks.iter().find(|(_, walk)| walk.flow.name == flow.name);
                    if let Some(run) = oldest.map(|(run, _)| *run) {
                        self.cancel(mind, run, "on_full: cancel_old").await?;
                    }
                    self.begin_walk(mind, begins, now).await?;
                }
            }
        }
        Ok(())
    }

    /// A run that does nothing, so that its tick has a row that says why.
    pub(super) async fn pass_over(
        &self,
        mind: &mut Mind,
        begins: Begins,
        state: RunState,
        now: Instant,
    ) -> Result<(), Fault> {
        if let Some(run) = self.begin_walk(mind, begins, now).await?
            && let Some(walk) = mind.walks.remove(&run)
        {
            mind.touched.remove(&run);
            self.end_walk(mind, run, &walk, state, now).await?;
        }
        Ok(())
    }

    pub(super) async fn begin_walk(&self, mind: &mut Mind, begins: Begins, now: Instant) -> Result<Option<i64>, Fault> {
        let new = NewWalk {
            flow: begins.flow.as_ref().clone(),
            trigger: begins.trigger,
            scheduled_at: begins.scheduled_at,
            interval: begins.interval,
            params: begins.params.clone(),
            backfill: begins.backfill.as_ref().map(|(id, _)| *id),
        };
        let run = match self.store.begin_walk(new, now).await? {
            Begun::Run(run) => run,
            Begun::Active(_) | Begun::Ran(_) => return Ok(None),
        };
        crash::point("flow_began");
        self.witness.saw(&Happening::RunBegan {
            run,
            flow: begins.flow.name.clone(),
            scheduled_at: begins.scheduled_at,
            interval: begins.interval,
        });
        mind.walks.insert(run, LiveWalk::begun_as(run, begins, now));
        mind.touched.insert(run);
        Ok(Some(run))
    }

    pub(super) async fn start_now(
        &self,
        mind: &mut Mind,
        flow: &str,
        interval: Interval,
        params: BTreeMap<String, Json>,
        now: Instant,
    ) -> Result<i64, Fault> {
        let Some(flow) = self.flows.get(flow) else {
            return Err(not_found(flow));
        };
        if mind.is_draining {
            return Err(draining());
        }
        let begins = Begins {
            flow: Arc::clone(flow),
            trigger: Trigger::Manual,
            class: Class::Interactive,
            scheduled_at: None,
            interval,
            params,
            backfill: None,
        };
        self.begin_walk(mind, begins, now)
            .await?
            .ok_or_else(|| busy(&flow.name))
    }
}

/// How many more runs of a flow may be active.
fn free_runs(mind: &Mind, flow: &Flow) -> usize {
    let active = mind.walks.values().filter(|walk| walk.flow.name == flow.name).count();
    (flow.max_active as usize).saturating_sub(active)
}

/// The parameters of a run that nobody waits for: what was given, with the flow's defaults. What is given does
/// not fit any more where the flow was edited since; then its steps say what they miss.
fn params_of(flow: &Flow, given: &BTreeMap<String, Json>) -> BTreeMap<String, Json> {
    flow.params(given).unwrap_or_else(|_| given.clone())
}

pub(super) fn not_found(flow: &str) -> Fault {
    Box::new(
        Diagnostic::error(codes::NOT_FOUND, format!("there is no flow `{flow}`"))
            .with_remedy("`mulgil flows ls` shows the flows of this project"),
    )
}

pub(super) fn busy(flow: &str) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::CLAIM_HELD,
            format!("another run of the flow `{flow}` is busy with that interval"),
        )
        .with_remedy("wait until it has ended, or end it: `mulgil runs ls`, `mulgil runs cancel RUN`")
        .with_retry(Retry::Later),
    )
}

pub(super) fn draining() -> Fault {
    Box::new(
        Diagnostic::error(codes::DATA_HELD, "the server is about to stop, and begins nothing more")
            .with_remedy("try again when it has started anew")
            .with_retry(Retry::Later),
    )
}
