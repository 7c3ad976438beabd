//! What begins: ticks that have come, intervals that are due, and runs that a person asks for.

use std::{collections::BTreeMap, sync::Arc};

use mulgil_core::{
    backfill::Backfill,
    codes, crash,
    diagnostic::{Diagnostic, Retry},
    flow::{Class, DueRun, Flow, OnFull, name},
    interval::{Instant, Interval, RangeSet},
    port::Fault,
    run::{RunState, Trigger},
    state::NodeState,
};
use mulgil_store::{Begun, NewWalk};
use serde_json::Value as Json;

use super::{
    Mind, Service, all,
    backfills::{asking, in_turn, over_at},
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
        mind.flag_later(now);
        let mut flagged = std::mem::take(&mut mind.flagged);
        let backfills = self.ask_backfills(&mut flagged, now).await?;
        let active = active_runs(mind);
        let flows = flagged.iter().filter_map(|name| self.flows.get(name)).map(|flow| {
            let active = active.get(flow.name.as_str()).copied().unwrap_or(0);
            let free = (flow.max_active as usize).saturating_sub(active);
            (flow, free)
        });
        let (cut, whole): (Vec<_>, Vec<_>) = flows.partition(|(flow, _)| flow.grid.is_cut());
        let mut begins = self.due_intervals(cut, &backfills, &mut mind.later, now).await?;
        let (due, beyond) = self.due_ticks(whole).await?;
        begins.extend(due);
        self.begin_walks(mind, begins, now).await?;
        for one in beyond {
            self.begin_beyond(mind, one, now).await?;
        }
        Ok(())
    }

    /// The intervals of flows that are due, of each as far as there may be more active runs. `later` is told of flows
    /// of which more was asked for than is over.
    async fn due_intervals(
        &self,
        mut flows: Vec<(&Arc<Flow>, usize)>,
        backfills: &[Backfill],
        later: &mut BTreeMap<String, Instant>,
        now: Instant,
    ) -> Result<Vec<Begins>, Fault> {
        flows.retain(|(_, free)| *free > 0);
        if flows.is_empty() {
            return Ok(Vec::new());
        }
        let states = self
            .store
            .flow_states(flows.iter().map(|(flow, _)| flow.as_ref()))
            .await?;
        let active = self.store.active_intervals().await?;
        let (unknown, idle) = (NodeState::default(), RangeSet::new());
        let mut begins = Vec::new();
        for (flow, free) in flows {
            let state = states.get(&flow.instance()).unwrap_or(&unknown);
            let active = active.get(&flow.name).unwrap_or(&idle);
            later.extend(over_at(flow, state, now).map(|at| (flow.name.clone(), at)));
            let tick = flow.schedule.as_ref().and_then(|schedule| schedule.last_tick(now));
            let turn = in_turn(backfills, flow);
            for DueRun { interval, class } in flow.due(state, active, &turn, now, free) {
                let (trigger, scheduled_at) = match class {
                    Class::Scheduled => (Trigger::Schedule, tick),
                    Class::Healing => (Trigger::Schedule, None),
                    Class::Interactive => (Trigger::Manual, None),
                    Class::Backfill => (Trigger::Backfill, None),
                };
                let asking = asking(backfills, flow, interval).filter(|_| class == Class::Backfill);
                let asking = asking.map(|backfill| (backfill.id, backfill.terms.clone()));
                let params = asking.as_ref().map(|(_, terms)| terms.params.clone());
                begins.push(Begins {
                    flow: Arc::clone(flow),
                    trigger,
                    class,
                    scheduled_at,
                    interval,
                    params: params_of(flow, &params.unwrap_or_default()),
                    backfill: asking,
                });
            }
        }
        Ok(begins)
    }

    /// The ticks of flows without intervals whose runs have not begun: those that there is room for, and those
    /// beyond it that do not wait.
    async fn due_ticks(&self, flows: Vec<(&Arc<Flow>, usize)>) -> Result<(Vec<Begins>, Vec<Begins>), Fault> {
        let limits = flows
            .iter()
            .filter(|(flow, _)| flow.schedule.is_some())
            .map(|(flow, free)| {
                let limit = match flow.on_full {
                    OnFull::Queue => *free,
                    OnFull::Skip | OnFull::CancelOld | OnFull::Fail => free + MAX_PASSED_OVER,
                };
                (flow.name.clone(), u32::try_from(limit).unwrap_or(u32::MAX))
            })
            .filter(|(_, limit)| *limit > 0)
            .collect::<Vec<_>>();
        if limits.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let open = self.store.open_ticks(limits).await?;
        let (mut due, mut beyond) = (Vec::new(), Vec::new());
        for (flow, free) in flows {
            let ticks = open.get(&flow.name).map(Vec::as_slice).unwrap_or_default();
            for (index, at) in ticks.iter().enumerate() {
                let begins = Begins {
                    flow: Arc::clone(flow),
                    trigger: Trigger::Schedule,
                    class: Class::Scheduled,
                    scheduled_at: Some(*at),
                    interval: Interval::WHOLE,
                    params: params_of(flow, &BTreeMap::new()),
                    backfill: None,
                };
                if index < free {
                    due.push(begins);
                } else {
                    beyond.push(begins);
                }
            }
        }
        Ok((due, beyond))
    }

    /// A tick for which there is no room, and which does not wait for any.
    async fn begin_beyond(&self, mind: &mut Mind, begins: Begins, now: Instant) -> Result<(), Fault> {
        match begins.flow.on_full {
            OnFull::Queue => Ok(()),
            OnFull::Skip => self.pass_over(mind, begins, RunState::Skipped, now).await,
            OnFull::Fail => self.pass_over(mind, begins, RunState::Failed, now).await,
            OnFull::CancelOld => {
                let name = &begins.flow.name;
                let oldest = mind.walks.iter().find(|(_, walk)| walk.flow.name == *name);
                if let Some(run) = oldest.map(|(run, _)| *run) {
                    self.cancel(mind, run, "on_full: cancel_old").await?;
                }
                self.begin_walk(mind, begins, now).await.map(drop)
            }
        }
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
            self.end_walk(run, &walk, state, now).await?;
        }
        Ok(())
    }

    /// Begins a walk; gives its run, or nothing where its tick had one or another is busy with its interval.
    pub(super) async fn begin_walk(&self, mind: &mut Mind, begins: Begins, now: Instant) -> Result<Option<i64>, Fault> {
        Ok(self.begin_walks(mind, vec![begins], now).await?.pop())
    }

    /// Begins walks, in this order, committed together; gives the runs of those that began. An interval may be due by
    /// a tick that had its run for it, where the clock was set back since: then it runs without a tick, or it would
    /// stand in the way of others until the next one.
    async fn begin_walks(&self, mind: &mut Mind, begins: Vec<Begins>, now: Instant) -> Result<Vec<i64>, Fault> {
        let asked = begins.iter().map(|begins| {
            let new = NewWalk {
                flow: begins.flow.as_ref().clone(),
                trigger: begins.trigger,
                scheduled_at: begins.scheduled_at,
                interval: begins.interval,
                params: begins.params.clone(),
                backfill: begins.backfill.as_ref().map(|(id, _)| *id),
            };
            self.store.begin_walk(new, now)
        });
        let begun = all(asked).await?;
        if !begun.is_empty() {
            crash::point("flow_began");
        }
        let (mut runs, mut without_tick) = (Vec::with_capacity(begun.len()), Vec::new());
        for (begins, begun) in begins.into_iter().zip(begun) {
            let run = match begun {
                Begun::Run(run) => run,
                Begun::Ran(_) if begins.flow.grid.is_cut() => {
                    without_tick.push(Begins {
                        scheduled_at: None,
                        ..begins
                    });
                    continue;
                }
                Begun::Ran(_) | Begun::Active(_) => continue,
            };
            self.witness.saw(&Happening::RunBegan {
                run,
                flow: begins.flow.name.clone(),
                scheduled_at: begins.scheduled_at,
                interval: begins.interval,
            });
            mind.walks.insert(run, LiveWalk::begun_as(run, begins, now));
            mind.touched.insert(run);
            runs.push(run);
        }
        if !without_tick.is_empty() {
            runs.extend(Box::pin(self.begin_walks(mind, without_tick, now)).await?);
        }
        Ok(runs)
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
        has_room(mind, flow)?;
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

/// How many runs of each flow are active.
fn active_runs(mind: &Mind) -> BTreeMap<&str, usize> {
    let mut active = BTreeMap::new();
    for walk in mind.walks.values() {
        *active.entry(walk.flow.name.as_str()).or_default() += 1;
    }
    active
}

/// Whether a flow may have one more run by a person's word: nothing waits in their place, so they are told.
pub(super) fn has_room(mind: &Mind, flow: &Flow) -> Result<(), Fault> {
    let active = active_runs(mind).get(flow.name.as_str()).copied().unwrap_or(0);
    if active < flow.max_active as usize {
        return Ok(());
    }
    let has = match active {
        1 => "a run".to_owned(),
        _ => format!("{active} runs"),
    };
    Err(Box::new(
        Diagnostic::error(
            codes::CLAIM_HELD,
            format!(
                "the flow `{}` has {has} going on, and may have no more (max_active: {})",
                flow.name, flow.max_active
            ),
        )
        .with_remedy("wait until it has ended, or end it: `mulgil runs ls`, `mulgil runs cancel RUN`")
        .with_retry(Retry::Later),
    ))
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
