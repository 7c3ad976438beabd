//! What goes on: steps that may start get their slots, what ends is recorded, and walks come to their end.

use std::{collections::BTreeMap, sync::Arc};

use futures::future::join_all;
use mulgil_core::{
    codes, crash,
    diagnostic::{Diagnostic, Retry},
    flow::{Late, StepContext, StepWork},
    interval::Instant,
    port::Fault,
    run::RunState,
    slots::{self, Candidate, Free},
    walk::{Lost, Stage},
};
use mulgil_store::{EndedStep, OpenStep, StepStart, StepsTurn};
use tokio::sync::watch;

use super::{
    Done, Mind, Service, all,
    live_walk::{LiveAttempt, LiveWalk},
    port::{Happening, StepAttempt, StepEnd, Stop},
    sooner,
};

/// Slots of a pool of which nobody says how many it has.
const USUAL_POOL: usize = 1;

/// A step that has ended, or an attempt of it.
struct Ending {
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

/// What a look at a walk found.
#[derive(Default)]
struct Look {
    /// How it ended; nothing where it has not.
    result: Option<RunState>,
    /// When to look again at the latest.
    wake_at: Option<Instant>,
}

/// What of a walk is to start.
#[derive(Default)]
struct Ready {
    /// Whether steps were passed over, so that others may begin.
    is_touched: bool,
    /// As it is recorded.
    starts: Vec<StepStart>,
    /// As it is done; in the same order.
    works: Vec<ReadyStep>,
}

/// A step of which an attempt begins when that is recorded.
struct ReadyStep {
    name: String,
    work: Result<StepWork, Fault>,
    context: StepContext,
    timeout_us: Option<i64>,
}

impl Service {
    /// Ends what is passed over, starts what may start, and ends walks that are at their end.
    pub(super) async fn advance(&self, mind: &mut Mind, now: Instant) -> Result<(), Fault> {
        let touched = std::mem::take(&mut mind.touched);
        let walks: Vec<(i64, LiveWalk)> = touched
            .into_iter()
            .filter_map(|run| mind.walks.remove_entry(&run))
            .collect();
        // What is recorded of several walks is committed together; where that fails, the mind is made anew.
        let looks = walks.into_iter().map(|(run, mut walk)| async move {
            let look = self.look(&mut walk, now).await?;
            Ok::<_, Fault>((run, walk, look))
        });
        let mut over = Vec::new();
        for (run, walk, look) in all(looks).await? {
            if let Some(at) = look.wake_at {
                sooner(&mut mind.wake_at, at);
            }
            match look.result {
                Some(state) => over.push((run, walk, state)),
                None => {
                    mind.walks.insert(run, walk);
                }
            }
        }
        if !over.is_empty() {
            // Its steps have ended before it does.
            let steps = over.iter_mut().map(|(_, walk, _)| (walk, Vec::new()));
            self.save(steps.collect(), now).await?;
            let ends = over
                .iter()
                .map(|(run, walk, state)| self.end_walk(*run, walk, *state, now));
            all(ends).await?;
            mind.flagged
                .extend(over.into_iter().map(|(_, walk, _)| walk.flow.name.clone()));
        }
        // What begins has begun now, however long the turn was until here.
        self.hand_over(mind, self.now()).await
    }

    /// Looks at one walk: how it ended, if it has, and when to look again at the latest.
    async fn look(&self, walk: &mut LiveWalk, now: Instant) -> Result<Look, Fault> {
        let mut look = Look::default();
        if let Some(ends_by) = walk.ends_by() {
            if ends_by <= now && !walk.walk.is_cancelled {
                self.store.cancel_walk(walk.walk.run, "timeout", now).await?;
                walk.cancel();
            } else if ends_by > now {
                sooner(&mut look.wake_at, ends_by);
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
                sooner(&mut look.wake_at, at);
            }
        }
        loop {
            let next = walk.next(now);
            if next.end.is_empty() {
                if let Some(at) = next.wake_at {
                    sooner(&mut look.wake_at, at);
                }
                look.result = next.result;
                return Ok(look);
            }
            for (step, state) in next.end {
                settle(walk, Ending::without_attempt(step, state), now);
            }
        }
    }

    /// Gives slots to steps that wait for them, and records them together with what has ended.
    async fn hand_over(&self, mind: &mut Mind, now: Instant) -> Result<(), Fault> {
        let unsaid = mind.walks.iter().filter(|(_, walk)| !walk.unsaid.is_empty());
        let mut chosen: BTreeMap<i64, Vec<String>> = unsaid.map(|(run, _)| (*run, Vec::new())).collect();
        let waits = mind.walks.values().any(|walk| !walk.waiting.is_empty());
        let free = self.free(mind);
        if waits && free.slots > 0 && !mind.is_draining {
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
        if chosen.is_empty() {
            return Ok(());
        }
        let walks = chosen
            .into_iter()
            .filter_map(|(run, steps)| Some((mind.walks.remove(&run)?, steps)));
        let walks = walks
            .collect::<Vec<_>>()
            .into_iter()
            .map(|(mut walk, steps)| async move {
                let ready = self.ready(&mut walk, steps, now).await;
                (walk, ready)
            });
        let mut walks = join_all(walks).await;
        let steps = walks
            .iter_mut()
            .map(|(walk, ready)| (walk, std::mem::take(&mut ready.starts)));
        let claims = self.save(steps.collect(), now).await?;
        if claims.iter().any(|claims| !claims.is_empty()) {
            crash::point("step_claimed");
        }
        for ((mut walk, ready), claims) in walks.into_iter().zip(claims) {
            if ready.is_touched {
                mind.touched.insert(walk.walk.run);
            }
            for (step, claim) in ready.works.into_iter().zip(claims) {
                self.set_going(mind, &mut walk, step, claim, now);
            }
            mind.walks.insert(walk.walk.run, walk);
        }
        Ok(())
    }

    /// An attempt is recorded, by its number and epoch: it begins.
    fn set_going(&self, mind: &mut Mind, walk: &mut LiveWalk, step: ReadyStep, claim: (i64, i64), now: Instant) {
        let ReadyStep {
            name,
            work,
            context,
            timeout_us,
        } = step;
        let (run, (attempt, epoch)) = (walk.walk.run, claim);
        walk.began(&name, now);
        let (stop, stopped) = watch::channel(false);
        walk.attempts.insert(name.clone(), LiveAttempt { attempt, epoch, stop });
        self.witness.saw(&Happening::StepBegan {
            run,
            step: name.clone(),
            attempt,
        });
        let attempt = StepAttempt {
            run,
            attempt,
            epoch,
            started_at: now,
        };
        let executor = Arc::clone(&self.executor);
        mind.work.spawn(async move {
            let end = match work {
                Ok(work) => {
                    let stop = Stop(stopped);
                    executor.perform(work, context, attempt, timeout_us, stop).await
                }
                Err(fault) => StepEnd::failed(fault),
            };
            (run, name, end)
        });
    }

    /// The free slots: those that no live attempt has.
    fn free(&self, mind: &Mind) -> Free {
        let mut free = Free {
            slots: self.limits.slots,
            pools: self.limits.pools.clone(),
            backfilling: 0,
        };
        for walk in mind.walks.values() {
            for pool in &walk.pools {
                free.pools.entry(pool.clone()).or_insert(USUAL_POOL);
            }
        }
        for walk in mind.walks.values() {
            free.slots = free.slots.saturating_sub(walk.attempts.len());
            if walk.backfill.is_some() {
                free.backfilling += walk.attempts.len();
            }
            for step in walk.attempts.keys().filter_map(|step| walk.step(step)) {
                if let Some(left) = step.pool.as_ref().and_then(|pool| free.pools.get_mut(pool)) {
                    *left = left.saturating_sub(1);
                }
            }
        }
        free
    }

    /// Renders steps that have slots. A step whose `when` says no is passed over.
    async fn ready(&self, walk: &mut LiveWalk, steps: Vec<String>, now: Instant) -> Ready {
        let mut ready = Ready::default();
        for name in steps {
            let Some(step) = walk.step(&name) else {
                continue;
            };
            let context = walk.context(step);
            let work = match self.executor.render(&walk.flow, step, &context).await {
                Ok(None) => {
                    settle(walk, Ending::without_attempt(name, RunState::Skipped), now);
                    ready.is_touched = true;
                    continue;
                }
                Ok(Some(work)) => Ok(work),
                Err(fault) => Err(fault),
            };
            let timeout_us = step.timeout_us;
            ready.starts.push(StepStart {
                progress: walk.begun(&name, now),
                step: name.clone(),
            });
            ready.works.push(ReadyStep {
                name,
                work,
                context,
                timeout_us,
            });
        }
        ready
    }

    /// Attempts have ended. It is recorded at the end of the turn, together with what begins because of it.
    pub(super) fn ended(&self, mind: &mut Mind, done: Vec<Done>) -> Result<(), Fault> {
        let now = self.now();
        for one in done {
            let (run, step, end) = one.map_err(|error| bug(&format!("a step's task panicked: {error}")))?;
            let Some(walk) = mind.walks.get_mut(&run) else {
                continue;
            };
            if let Some(live) = walk.attempts.remove(&step) {
                let attempt = Some((live.attempt, live.epoch));
                settle(walk, Ending { step, attempt, end }, now);
                mind.touched.insert(run);
            }
        }
        Ok(())
    }

    /// Records what has ended of walks and was not recorded yet, and claims attempts that begin with that; gives the
    /// number and the epoch of each, walk by walk. What has ended is told when it is durable.
    async fn save(
        &self,
        walks: Vec<(&mut LiveWalk, Vec<StepStart>)>,
        now: Instant,
    ) -> Result<Vec<Vec<(i64, i64)>>, Fault> {
        let mut happenings = Vec::new();
        let mut turns = Vec::with_capacity(walks.len());
        for (walk, starts) in walks {
            let (run, ended) = (walk.walk.run, std::mem::take(&mut walk.unsaid));
            happenings.extend(ended.iter().map(|ended| step_ended(run, ended)));
            turns.push(StepsTurn {
                run,
                flow: walk.flow.name.clone(),
                interval: walk.walk.interval,
                ended,
                starts,
            });
        }
        let taken = self.store.take_steps(turns, now).await?;
        if taken.iter().any(|taken| !taken.fenced.is_empty()) {
            return Err(taken_over());
        }
        if !happenings.is_empty() {
            crash::point("step_ended");
        }
        for what in &happenings {
            self.witness.saw(what);
        }
        Ok(taken.into_iter().map(|taken| taken.claims).collect())
    }

    pub(super) async fn end_walk(&self, run: i64, walk: &LiveWalk, state: RunState, now: Instant) -> Result<(), Fault> {
        let flow = &walk.flow;
        let next_tick = flow.schedule.as_ref().and_then(|schedule| schedule.next_tick(now));
        let before = self.store.state_before(&flow.name, run).await?;
        self.store
            .end_walk(run, flow, state, next_tick.unwrap_or(Instant::MAX), now)
            .await?;
        crash::point("flow_ended");
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

/// An attempt is lost: nobody knows how it ended.
pub(super) fn lose(walk: &mut LiveWalk, lost: OpenStep, now: Instant) {
    let ending = Ending {
        step: lost.step,
        attempt: Some((lost.attempt, lost.epoch)),
        end: StepEnd::lost(),
    };
    settle(walk, ending, now);
}

/// A walk knows how an attempt of it ended, or that a step is passed over, before that is recorded: until then nobody
/// is told, and nothing begins because of it.
fn settle(walk: &mut LiveWalk, ending: Ending, now: Instant) {
    let Ending {
        step: name,
        attempt,
        end,
    } = ending;
    let mut next = walk.walk.only([name.as_str()]);
    match (end.state, walk.step(&name)) {
        (RunState::Failed, Some(step)) => {
            let retry = end.fault.as_ref().map_or(Retry::Later, |fault| fault.retry);
            next.lose(step, Lost::Failed { retry }, now);
        }
        (RunState::Crashed, Some(step)) => {
            next.lose(step, Lost::Crashed, now);
        }
        (state, _) => next.end(&name, state),
    }
    let progress = next.progress(&name);
    walk.put(&name, progress.clone());
    walk.unsaid.push(EndedStep {
        step: name.clone(),
        attempt,
        state: end.state,
        rows: end.rows,
        fault: end.fault.as_deref().cloned(),
        output: end.output.clone(),
        progress,
    });
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

fn step_ended(run: i64, ended: &EndedStep) -> Happening {
    Happening::StepEnded {
        run,
        step: ended.step.clone(),
        attempt: ended.attempt.map(|(attempt, _)| attempt),
        state: ended.state,
        fault: ended.fault.clone().map(Box::new),
        next_try_at: match ended.progress.stage {
            Stage::Retrying { at } => Some(at),
            Stage::Waiting | Stage::Running | Stage::Ended { .. } => None,
        },
    }
}

fn taken_over() -> Fault {
    let message = "attempts that have ended are not live any more".to_owned();
    let stale = Diagnostic::error(codes::CLAIM_STALE, message);
    Box::new(stale.with_remedy("nothing: it is read again").with_retry(Retry::Later))
}

fn bug(message: &str) -> Fault {
    Box::new(
        Diagnostic::error(codes::BUG, message.to_owned())
            .with_remedy("please report it with the output of `mulgil runs ls`"),
    )
}
