//! What goes on: steps that may start get their slots, what ends is recorded, and walks come to their end.

use std::{collections::BTreeMap, sync::Arc};

use mulgil_core::{
    codes, crash,
    diagnostic::{Diagnostic, Retry},
    flow::Late,
    interval::Instant,
    port::Fault,
    run::RunState,
    slots::{self, Candidate, Free},
    walk::{Lost, Stage},
};
use mulgil_store::{EndedStep, StepStart};
use tokio::sync::watch;

use super::{
    Done, Mind, Service,
    live_walk::{LiveAttempt, LiveWalk},
    port::{Happening, StepAttempt, StepEnd, Stop},
};

/// Slots of a pool of which nobody says how many it has.
const USUAL_POOL: usize = 1;

/// A step that has ended, or an attempt of it.
pub(super) struct Ending {
    step: String,
    /// The attempt and its epoch; none for a step that is passed over.
    attempt: Option<(i64, i64)>,
    end: StepEnd,
}

impl Ending {
    fn without_attempt(step: String, state: RunState) -> Self {
        Self {
            step,
            attempt: None,
            end: StepEnd::passed_over(state),
        }
    }
}

impl Service {
    /// Records that attempts are lost: nobody knows how they ended.
    pub(super) async fn lose(
        &self,
        walk: &mut LiveWalk,
        lost: Vec<(String, i64, i64)>,
        now: Instant,
    ) -> Result<(), Fault> {
        let ends = lost.into_iter().map(|(step, attempt, epoch)| Ending {
            step,
            attempt: Some((attempt, epoch)),
            end: StepEnd::lost(),
        });
        self.record_ends(walk, ends.collect(), now).await
    }

    /// Ends what is passed over, starts what may start, and ends walks that are at their end.
    pub(super) async fn advance(&self, mind: &mut Mind, now: Instant) -> Result<(), Fault> {
        let touched = std::mem::take(&mut mind.touched);
        let mut waits = false;
        for run in touched {
            let Some(mut walk) = mind.walks.remove(&run) else {
                continue;
            };
            let is_over = self.advance_walk(mind, &mut walk, now).await?;
            if let Some(state) = is_over {
                self.end_walk(mind, run, &walk, state, now).await?;
                mind.flagged.insert(walk.flow.name.clone());
            } else {
                waits |= !walk.waiting.is_empty();
                mind.walks.insert(run, walk);
            }
        }
        if waits || mind.walks.values().any(|walk| !walk.waiting.is_empty()) {
            self.hand_over(mind, now).await?;
        }
        Ok(())
    }

    /// Looks at one walk: gives how it ended, if it has.
    pub(super) async fn advance_walk(
        &self,
        mind: &mut Mind,
        walk: &mut LiveWalk,
        now: Instant,
    ) -> Result<Option<RunState>, Fault> {
        if let Some(ends_by) = walk.ends_by() {
            if ends_by <= now && !walk.walk.is_cancelled {
                self.store.cancel_walk(walk.walk.run, "timeout", now).await?;
                walk.cancel();
            } else if ends_by > now {
                mind.wake_by(ends_by);
            }
        }
        if let Some((at, then)) = walk.deadline().filter(|_| !walk.is_late) {
            if at <= now {
                walk.is_late = true;
                self.witness.saw(&Happening::Late {
                    run: walk.walk.run,
                    flow: Arc::clone(&walk.flow),
                    scheduled_at: walk.scheduled_at,
                    started_at: walk.started_at,
                    interval: walk.walk.interval,
                });
                if then == Late::Cancel && !walk.walk.is_cancelled {
                    self.store.cancel_walk(walk.walk.run, "deadline", now).await?;
                    walk.cancel();
                }
            } else {
                mind.wake_by(at);
            }
        }
        loop {
            let next = walk.next(now);
            if !next.end.is_empty() {
                let ends = next
                    .end
                    .into_iter()
                    .map(|(step, state)| Ending::without_attempt(step, state));
                self.record_ends(walk, ends.collect(), now).await?;
                continue;
            }
            if let Some(at) = next.wake_at {
                mind.wake_by(at);
            }
            if next.result.is_some() {
                return Ok(next.result);
            }
            walk.wait_for_slots(next.start, now);
            return Ok(None);
        }
    }

    /// Gives slots to steps that wait for them.
    pub(super) async fn hand_over(&self, mind: &mut Mind, now: Instant) -> Result<(), Fault> {
        let free = self.free(mind);
        if free.slots == 0 || mind.is_draining {
            return Ok(());
        }
        let mut chosen: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        {
            let mut busy: BTreeMap<&str, usize> = BTreeMap::new();
            let mut waiting = Vec::new();
            let mut named = Vec::new();
            for (run, walk) in &mind.walks {
                *busy.entry(&walk.flow.name).or_default() += walk.attempts.len();
                for (step, since) in walk.first_waiting(&free) {
                    waiting.push(Candidate {
                        flow: &walk.flow.name,
                        class: walk.class,
                        priority: step.priority,
                        since,
                        pool: step.pool.as_deref(),
                        share: walk
                            .backfill
                            .as_ref()
                            .map(|(_, terms)| terms.share_of(self.limits.slots)),
                    });
                    named.push((*run, &step.name));
                }
            }
            for index in slots::choose(&waiting, free, &busy, now) {
                let (run, step) = named[index];
                chosen.entry(run).or_default().push(step.clone());
            }
        }
        for (run, steps) in chosen {
            let Some(mut walk) = mind.walks.remove(&run) else {
                continue;
            };
            self.start(mind, &mut walk, steps, now).await?;
            mind.walks.insert(run, walk);
        }
        Ok(())
    }

    /// The free slots: those that no live attempt has.
    pub(super) fn free(&self, mind: &Mind) -> Free {
        let mut free = Free {
            slots: self.limits.slots,
            pools: self.limits.pools.clone(),
            backfilling: 0,
        };
        for walk in mind.walks.values() {
            for pool in walk.flow.steps.iter().filter_map(|step| step.pool.as_ref()) {
                free.pools.entry(pool.clone()).or_insert(USUAL_POOL);
            }
        }
        for walk in mind.walks.values() {
            free.slots = free.slots.saturating_sub(walk.attempts.len());
            if walk.backfill.is_some() {
                free.backfilling += walk.attempts.len();
            }
            for step in walk.attempts.keys().filter_map(|step| walk.flow.step(step)) {
                if let Some(left) = step.pool.as_ref().and_then(|pool| free.pools.get_mut(pool)) {
                    *left = left.saturating_sub(1);
                }
            }
        }
        free
    }

    /// Claims attempts of steps of one walk and starts them. A step whose `when` says no is passed over.
    pub(super) async fn start(
        &self,
        mind: &mut Mind,
        walk: &mut LiveWalk,
        steps: Vec<String>,
        now: Instant,
    ) -> Result<(), Fault> {
        let (mut starts, mut works, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
        for name in steps {
            walk.waiting.remove(&name);
            let Some(step) = walk.flow.step(&name) else {
                continue;
            };
            let context = walk.context(step);
            let work = match self.executor.render(&walk.flow, step, &context).await {
                Ok(None) => {
                    skipped.push(Ending::without_attempt(name, RunState::Skipped));
                    continue;
                }
                Ok(Some(work)) => Ok(work),
                Err(fault) => Err(fault),
            };
            starts.push(StepStart {
                progress: walk.begun(&name, now),
                step: name.clone(),
            });
            works.push((name, work, context));
        }
        if !skipped.is_empty() {
            self.record_ends(walk, skipped, now).await?;
            mind.touched.insert(walk.walk.run);
        }
        if starts.is_empty() {
            return Ok(());
        }
        let (run, interval) = (walk.walk.run, walk.walk.interval);
        let claims = self
            .store
            .begin_steps(run, &walk.flow.name, interval, starts, now)
            .await?;
        crash::point("step_claimed");
        for ((name, work, context), (attempt, epoch)) in works.into_iter().zip(claims) {
            walk.walk.began(&name, now);
            self.witness.saw(&Happening::StepBegan {
                run,
                step: name.clone(),
                attempt,
            });
            let (stop, stopped) = watch::channel(false);
            walk.attempts.insert(name.clone(), LiveAttempt { attempt, epoch, stop });
            let timeout = walk.flow.step(&name).and_then(|step| step.timeout_us);
            let attempt = StepAttempt {
                run,
                attempt,
                epoch,
                started_at: now,
            };
            let executor = Arc::clone(&self.executor);
            mind.work.spawn(async move {
                let end = match work {
                    Ok(work) => executor.perform(work, context, attempt, timeout, Stop(stopped)).await,
                    Err(fault) => StepEnd::failed(fault),
                };
                (run, name, end)
            });
        }
        Ok(())
    }

    /// Records attempts that ended; those of one walk together.
    pub(super) async fn ended(&self, mind: &mut Mind, all: Vec<Done>) -> Result<(), Fault> {
        let now = self.now();
        let mut ended: BTreeMap<i64, Vec<Ending>> = BTreeMap::new();
        for one in all {
            let (run, step, end) = one.map_err(|error| bug(&format!("a step's task panicked: {error}")))?;
            let walk = mind.walks.get_mut(&run);
            if let Some(live) = walk.and_then(|walk| walk.attempts.remove(&step)) {
                ended.entry(run).or_default().push(Ending {
                    step,
                    attempt: Some((live.attempt, live.epoch)),
                    end,
                });
            }
        }
        for (run, ends) in ended {
            if let Some(mut walk) = mind.walks.remove(&run) {
                self.record_ends(&mut walk, ends, now).await?;
                mind.touched.insert(run);
                mind.walks.insert(run, walk);
            }
        }
        Ok(())
    }

    /// Records how attempts of a walk ended and what is passed over, then knows it.
    pub(super) async fn record_ends(&self, walk: &mut LiveWalk, ends: Vec<Ending>, now: Instant) -> Result<(), Fault> {
        if ends.is_empty() {
            return Ok(());
        }
        let mut next = walk.walk.only(ends.iter().map(|one| one.step.as_str()));
        let mut records = Vec::with_capacity(ends.len());
        for Ending {
            step: name,
            attempt,
            end,
        } in &ends
        {
            let step = walk.flow.step(name);
            match (end.state, step) {
                (RunState::Failed, Some(step)) => {
                    let retry = end.fault.as_ref().map_or(Retry::Later, |fault| fault.retry);
                    next.lose(step, Lost::Failed { retry }, now);
                }
                (RunState::Crashed, Some(step)) => {
                    next.lose(step, Lost::Crashed, now);
                }
                (state, _) => next.end(name, state),
            }
            records.push(EndedStep {
                step: name.clone(),
                attempt: *attempt,
                state: end.state,
                rows: end.rows,
                fault: end.fault.as_deref().cloned(),
                output: end.output.clone(),
                progress: next.progress(name),
            });
        }
        let run = walk.walk.run;
        let fenced = self
            .store
            .end_steps(run, &walk.flow.name, walk.walk.interval, records, now)
            .await?;
        crash::point("step_ended");
        for Ending {
            step: name,
            attempt,
            end,
        } in ends
        {
            if attempt.is_some_and(|(attempt, _)| fenced.contains(&attempt)) {
                continue;
            }
            let progress = next.progress(&name);
            self.witness.saw(&Happening::StepEnded {
                run,
                step: name.clone(),
                attempt: attempt.map(|(attempt, _)| attempt),
                state: end.state,
                fault: end.fault.clone(),
                next_try_at: match progress.stage {
                    Stage::Retrying { at } => Some(at),
                    Stage::Waiting | Stage::Running | Stage::Ended { .. } => None,
                },
            });
            walk.walk.steps.insert(name.clone(), progress);
            walk.waiting.remove(&name);
            if !end.output.is_null() {
                walk.outputs.insert(name.clone(), end.output);
            }
            walk.rows.extend(end.rows.map(|rows| (name.clone(), rows)));
            // Of a step that succeeds in the end nobody says that it failed.
            match end.fault {
                Some(fault) => walk.faults.insert(name, fault),
                None => walk.faults.remove(&name),
            };
        }
        Ok(())
    }

    pub(super) async fn end_walk(
        &self,
        mind: &mut Mind,
        run: i64,
        walk: &LiveWalk,
        state: RunState,
        now: Instant,
    ) -> Result<(), Fault> {
        let flow = &walk.flow;
        let next_tick = flow.schedule.as_ref().and_then(|schedule| schedule.next_tick(now));
        let before = self.store.state_before(&flow.name, run).await?;
        self.store
            .end_walk(run, flow, state, next_tick.unwrap_or(Instant::MAX), now)
            .await?;
        crash::point("flow_ended");
        mind.touched.remove(&run);
        self.witness.saw(&Happening::RunEnded {
            run,
            flow: Arc::clone(flow),
            scheduled_at: walk.scheduled_at,
            started_at: walk.started_at,
            interval: walk.walk.interval,
            state,
            before,
            faults: walk
                .faults
                .iter()
                .map(|(step, fault)| (step.clone(), fault.clone()))
                .collect(),
        });
        Ok(())
    }
}

fn bug(message: &str) -> Fault {
    Box::new(
        Diagnostic::error(codes::BUG, message.to_owned())
            .with_remedy("please report it with the output of `mulgil runs ls`"),
    )
}
