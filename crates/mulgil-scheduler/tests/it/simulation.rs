//! Nights by seed: flows that are made up, steps that are slow, fail and are lost, servers that are killed,
//! clocks that jump, days without a server. Afterwards the ledger is read, and nothing that a team relies on
//! may be broken. `MULGIL_SIM_SEEDS=2000` runs as many seeds, `MULGIL_SIM_SEED=17` runs that one.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use mulgil_core::{
    backfill::{Backfill, BackfillState, Change, Order, Terms},
    flow::{Flow, OnFull, OnLost, RunIf},
    interval::{Instant, Interval, RangeSet},
    project::{Fingerprint, Missed},
    run::{RunState, TaskRun},
    tick::Fate,
};
use mulgil_scheduler::service::Retried;
use mulgil_store::{Store, TickRow, fact::Fact};

use crate::{
    backfills, retries,
    world::{Ending, HOUR_US, Script, Server, World, flow, hourly, step},
};

/// Seeds that are run where nobody says how many.
const SEEDS: u64 = 10;
/// Slots of every server.
const SLOTS: usize = 3;
/// Kills, jumps and pauses of one night.
const EVENTS: u64 = 4;

/// Numbers that look random and follow from a seed.
struct Dice {
    seed: u64,
    thrown: u64,
}

impl Dice {
    fn throw(&mut self, below: u64) -> u64 {
        self.thrown += 1;
        drawn(&[&self.seed.to_le_bytes(), &self.thrown.to_le_bytes()]) % below
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.throw(100) < percent
    }
}

fn drawn(parts: &[&[u8]]) -> u64 {
    Fingerprint::of(parts.iter().copied()).0 as u64
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the seeds of a long run")]
fn nights_by_seed_break_nothing_that_a_team_relies_on() {
    let number = |name| {
        std::env::var(name)
            .ok()
            .and_then(|text: String| text.parse::<u64>().ok())
    };
    let (only, count) = (number("MULGIL_SIM_SEED"), number("MULGIL_SIM_SEEDS"));
    let seeds = match only {
        Some(seed) => seed..seed + 1,
        None => 0..count.unwrap_or(SEEDS),
    };
    let (mut runs, mut backfills) = (0, 0);
    for seed in seeds {
        let night = std::panic::catch_unwind(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .start_paused(true)
                .build()
                .unwrap();
            runtime.block_on(night(seed))
        });
        let Ok(made) = night else {
            panic!("seed {seed} breaks: MULGIL_SIM_SEED={seed} runs it alone");
        };
        runs += made.runs;
        backfills += made.backfills;
    }
    assert!(runs > 0, "nothing ran");
    assert!(backfills > 0 || only.is_some(), "nobody asked for a backfill");
}

/// What there was in a night.
struct Made {
    runs: usize,
    backfills: usize,
}

async fn night(seed: u64) -> Made {
    let world = World::new().await;
    let mut dice = Dice { seed, thrown: 0 };
    let flows = flows(&mut dice);
    let script = script(seed);
    // The flows were seen once, and then there is something of the past to ask for.
    let server = world.server(&flows, SLOTS, Arc::clone(&script));
    world.pass(Duration::from_secs(1)).await;
    server.kill(&world).await;
    world.skew(dice.throw(30) as i64 * HOUR_US);
    for _ in 0..EVENTS {
        let server = world.server(&flows, SLOTS, Arc::clone(&script));
        world.pass(Duration::from_secs(60 + dice.throw(900))).await;
        say_something_of_backfills(&world, &server, &flows, &mut dice).await;
        do_some_again(&world, &server, &mut dice).await;
        world.pass(Duration::from_secs(dice.throw(60))).await;
        match dice.throw(4) {
            // The wall clock is set, forth or back, while it runs.
            0 => {
                let hours = dice.throw(2) as i64 + 1;
                world.skew(if dice.chance(50) { hours } else { -hours } * HOUR_US);
                world.pass(Duration::from_secs(60 + dice.throw(600))).await;
                server.kill(&world).await;
            }
            // Nobody is there for up to three days.
            1 => {
                server.kill(&world).await;
                world.skew(dice.throw(60) as i64 * HOUR_US);
            }
            2 => server.kill(&world).await,
            _ => server.drain(&world).await,
        }
    }
    // A last server has all the time that it needs; no step fails any more.
    let server = world.server(
        &flows,
        SLOTS,
        Arc::new(|_, _, _| (Duration::from_millis(10), Ending::Success)),
    );
    world.skew(2 * HOUR_US + HOUR_US / 2);
    for backfill in world.store.open_backfills().await.unwrap() {
        if backfill.state == BackfillState::Paused {
            backfills::change(&server, backfill.id, Change::Resume).await.unwrap();
        }
    }
    for _ in 0..400 {
        world.pass(Duration::from_secs(10)).await;
        let is_idle = world.store.open_walks().await.unwrap().is_empty();
        if is_idle && world.store.open_backfills().await.unwrap().is_empty() {
            break;
        }
    }
    server.drain(&world).await;
    check(&world, &flows, seed).await
}

/// A person makes a backfill, or holds one back, lets it go on or ends it.
async fn say_something_of_backfills(world: &World, server: &Server, flows: &[Flow], dice: &mut Dice) {
    for flow in flows.iter().filter(|flow| flow.grid.is_cut()) {
        let known = world.store.open_backfills().await.unwrap();
        match dice.throw(10) {
            0..=4 => {
                let begin = flow.grid.begin.unwrap();
                let over = (world.now().0 - begin.0).max(0) / HOUR_US;
                let from = flow.grid.ahead(begin, dice.throw(over as u64 + 2) as u32);
                let to = flow.grid.ahead(from, 1 + dice.throw(30) as u32);
                let terms = Terms {
                    order: [Order::OldestFirst, Order::NewestFirst][dice.throw(2) as usize],
                    parallel: 1 + dice.throw(6) as u32,
                    share: [1, 50, 100][dice.throw(3) as usize],
                    ..Terms::new(format!("flow:{}", flow.name), "mina")
                };
                let range = Interval { start: from, end: to };
                // It may be that nothing of it is over, or that others have it.
                let _ = backfills::make(server, &flow.name, terms, range.into()).await;
            }
            said @ 5..=8 => {
                let change = [Change::Pause, Change::Pause, Change::Resume, Change::Cancel][said as usize - 5];
                if let Some(backfill) = known.get(dice.throw(known.len().max(1) as u64) as usize) {
                    // One that was cancelled may still have live runs.
                    let _ = backfills::change(server, backfill.id, change).await;
                }
            }
            _ => {}
        }
    }
}

/// A person has some of the newest runs done again, whatever came of them; those that go on are refused.
async fn do_some_again(world: &World, server: &Server, dice: &mut Dice) {
    for run in world.store.runs(12).await.unwrap() {
        if dice.chance(25) {
            let what = [Retried::Unfinished, Retried::Unfinished, Retried::All, Retried::Latest];
            let _ = retries::retry(server, run.id, what[dice.throw(4) as usize]).await;
        }
    }
}

fn flows(dice: &mut Dice) -> Vec<Flow> {
    let count = 1 + dice.throw(4);
    (0..count).map(|index| one(index, dice)).collect()
}

fn one(index: u64, dice: &mut Dice) -> Flow {
    let crons = ["*/20 * * * *", "7 * * * *", "0 5 * * *", "*/30 * * * *"];
    let steps = (0..=dice.throw(5)).map(|number| {
        let needs: Vec<String> = (0..number)
            .filter(|_| dice.chance(40))
            .map(|need| format!("s{need}"))
            .collect();
        let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
        let mut step = step(&format!("s{number}"), &needs);
        step.retry.max = dice.throw(3) as u32;
        step.allow_failure = dice.chance(10);
        step.run_if = [
            RunIf::Success,
            RunIf::Success,
            RunIf::Always,
            RunIf::Failed,
            RunIf::AnySuccess,
        ][dice.throw(5) as usize];
        step.on_lost = if dice.chance(15) { OnLost::Fail } else { OnLost::Retry };
        step.pool = dice.chance(20).then(|| "narrow".to_owned());
        step.timeout_us = dice.chance(20).then_some(30_000_000);
        step.priority = dice.throw(3) as i32;
        step
    });
    let steps = steps.collect();
    let mut flow = flow(&format!("f{index}"), crons[dice.throw(4) as usize], steps);
    flow.missed = [Missed::Latest, Missed::All, Missed::None][dice.throw(3) as usize];
    flow.max_active = 1 + dice.throw(3) as u32;
    flow.on_full = [OnFull::Queue, OnFull::Queue, OnFull::Skip, OnFull::CancelOld][dice.throw(4) as usize];
    flow.timeout_us = dice.chance(15).then_some(600_000_000);
    if dice.chance(40) {
        flow = hourly(flow);
        flow.lookback = dice.throw(3) as u32;
    }
    flow
}

fn script(seed: u64) -> Script {
    Arc::new(move |step, context, attempt| {
        let parts: [&[u8]; 4] = [
            &seed.to_le_bytes(),
            step.as_bytes(),
            context.run_id.as_bytes(),
            &attempt.attempt.to_le_bytes(),
        ];
        let drawn = drawn(&parts);
        let takes = match drawn % 10 {
            0 => Duration::from_mins(2),
            1..=3 => Duration::from_secs(10 + drawn % 37),
            _ => Duration::from_millis(drawn % 3_000),
        };
        let ending = match drawn / 16 % 20 {
            0..=2 => Ending::Failure,
            3 => Ending::Fatal,
            4 => Ending::Lost,
            _ => Ending::Success,
        };
        (takes, ending)
    })
}

/// What holds of every ledger, whatever happened.
async fn check(world: &World, flows: &[Flow], seed: u64) -> Made {
    let store = &world.store;
    let runs = store.runs(1_000_000).await.unwrap();
    let again = begun_again(store, seed).await;
    let mut attempts = Vec::new();
    for run in &runs {
        let (run, tasks) = store.run(run.id).await.unwrap().unwrap();
        let name = run.selector.strip_prefix("flow:").unwrap();
        let flow = flows.iter().find(|flow| flow.name == name).unwrap();
        assert!(
            run.state.is_terminal(),
            "seed {seed}: run {} is {:?}",
            run.id,
            run.state
        );
        // A run is over when all of its steps are, and no sooner.
        for task in &tasks {
            assert!(
                task.state.is_terminal(),
                "seed {seed}: {} of run {}",
                task.instance,
                run.id
            );
        }
        if run.state == RunState::Success {
            assert_eq!(tasks.len(), flow.steps.len(), "seed {seed}: run {}", run.id);
        }
        for task in &tasks {
            check_attempts(task, again.contains(&run.id), seed);
            let own = task.attempts.iter();
            attempts.extend(own.map(|attempt| (attempt.started_at, attempt.ended_at.unwrap())));
        }
        // In a run that was begun again steps follow failures that are mended since.
        if !again.contains(&run.id) {
            check_order(flow, &tasks, seed);
        }
    }
    check_ticks(store, flows, seed).await;
    for flow in flows {
        check_intervals(world, flow, seed).await;
    }
    let backfills = check_backfills(world, flows, seed).await;
    assert!(
        world.seen.most_live.load(Ordering::SeqCst) <= SLOTS as i64,
        "seed {seed}: slots"
    );
    // All of it follows from the facts.
    let before = store.derived().await.unwrap();
    store.rebuild().await.unwrap();
    assert_eq!(store.derived().await.unwrap(), before, "seed {seed}: rebuilt");
    Made {
        runs: runs.len(),
        backfills,
    }
}

/// The runs that a person had begun again: each of them had ended, and each end is told once.
async fn begun_again(store: &Store, seed: u64) -> BTreeSet<i64> {
    let mut again = BTreeSet::new();
    let mut open = BTreeSet::new();
    for (seq, _, fact) in store.facts().await.unwrap() {
        match fact {
            Fact::FlowBegan(began) => assert!(open.insert(began.run), "seed {seed}: fact {seq}"),
            Fact::FlowEnded(ended) => assert!(open.remove(&ended.run), "seed {seed}: fact {seq}"),
            Fact::FlowReopened(reopened) => {
                assert!(open.insert(reopened.run), "seed {seed}: run {} went on", reopened.run);
                again.insert(reopened.run);
            }
            _ => {}
        }
    }
    again
}

/// Only the last attempt may have succeeded, and none begins before the one before it has ended.
fn check_attempts(task: &TaskRun, is_again: bool, seed: u64) {
    for pair in task.attempts.windows(2) {
        let [before, after] = pair else { unreachable!() };
        assert!(before.id < after.id);
        assert!(
            matches!(before.state, RunState::Failed | RunState::Crashed)
                || (is_again && before.state == RunState::Cancelled),
            "seed {seed}: an attempt follows one that is {:?}",
            before.state
        );
    }
    for attempt in &task.attempts {
        assert!(attempt.state.is_terminal(), "seed {seed}: attempt {}", attempt.id);
    }
}

/// No step begins before those that it waits for have ended. Attempts are numbered as they were claimed.
fn check_order(flow: &Flow, tasks: &[TaskRun], seed: u64) {
    let task = |name: &str| {
        let instance = format!("flow:{}/{name}", flow.name);
        tasks.iter().find(|task| task.instance.to_string() == instance)
    };
    for step in &flow.steps {
        let Some(first) = task(&step.name).and_then(|task| task.attempts.first()) else {
            continue;
        };
        for need in flow.waits_for(step) {
            let need =
                task(&need.name).unwrap_or_else(|| panic!("seed {seed}: {} began before {}", step.name, need.name));
            if let Some(last) = need.attempts.last() {
                assert!(
                    last.id < first.id,
                    "seed {seed}: {} began before {}",
                    step.name,
                    need.instance
                );
            }
        }
    }
}

/// Every tick has a row, and one run at most.
async fn check_ticks(store: &Store, flows: &[Flow], seed: u64) {
    for flow in flows {
        let owner = flow.instance().to_string();
        let mut rows = store.ticks(Some(&owner), 1_000_000).await.unwrap();
        rows.reverse();
        let schedule = flow.schedule.as_ref().unwrap();
        let mut runs = BTreeSet::new();
        for pair in rows.windows(2) {
            let [before, after] = pair else { unreachable!() };
            assert_eq!(
                schedule.next_tick(before.tick.scheduled_at),
                Some(after.tick.first_at),
                "seed {seed}: {owner} has a tick without a row"
            );
        }
        for TickRow { tick, run, .. } in &rows {
            match tick.fate {
                Fate::Runs if !flow.grid.is_cut() => {
                    assert!(run.is_some_and(|run| runs.insert(run)), "seed {seed}: {owner} {tick:?}");
                }
                Fate::Runs => {}
                Fate::Coalesced { into } => {
                    assert!(
                        rows.iter().any(|row| row.tick.scheduled_at == into),
                        "seed {seed}: {owner} {tick:?}"
                    );
                }
                Fate::Missed | Fate::Before => assert_eq!(*run, None, "seed {seed}: {owner} {tick:?}"),
            }
        }
    }
}

/// Every wanted interval is filled, or is seen to have failed.
async fn check_intervals(world: &World, flow: &Flow, seed: u64) {
    if !flow.grid.is_cut() {
        return;
    }
    let states = world.store.flow_states(std::slice::from_ref(flow)).await.unwrap();
    let state = states.get(&flow.instance()).cloned().unwrap_or_default();
    let wanted = mulgil_core::due::wanted(&flow.as_node(), &state, world.now());
    let told: RangeSet = state.filled.keys().union(&state.failing.keys());
    let open = wanted.subtract(&told);
    let left: Vec<Interval> = open.iter().collect();
    assert!(
        left.is_empty(),
        "seed {seed}: nobody knows of {left:?} of {}",
        flow.name
    );
}

/// A backfill is over, and each of its intervals is filled, failing or was ended by somebody; none was
/// filled for it twice.
async fn check_backfills(world: &World, flows: &[Flow], seed: u64) -> usize {
    let backfills = world.store.backfills(1_000).await.unwrap();
    let facts = world.store.facts().await.unwrap();
    for backfill in &backfills {
        let now = world.now();
        assert!(backfill.ended_at.is_some(), "seed {seed}: at {now:?} {backfill:?}");
        let told = backfill.progress();
        assert_eq!((told.left, told.open), (0, 0), "seed {seed}: {told:?}");
        if backfill.state == BackfillState::Done {
            assert_eq!(
                told.filled + told.failed,
                told.total,
                "seed {seed}: backfill {}",
                backfill.id
            );
        }
        for part in &backfill.parts {
            let flow = flows.iter().find(|flow| flow.instance() == part.instance).unwrap();
            let states = world.store.flow_states(std::slice::from_ref(flow)).await.unwrap();
            let state = &states[&flow.instance()];
            assert!(state.filled.keys().is_superset(&part.filled), "seed {seed}: {part:?}");
            let known = state.filled.keys().union(&state.failing.keys());
            let ended = runs_of(backfill, &facts, Some(RunState::Cancelled));
            let left = part.failed.subtract(&known.union(&ended.into_iter().collect()));
            assert!(
                left.is_empty(),
                "seed {seed}: nobody knows of {left:?} of {}",
                part.instance
            );
            let mut filled = runs_of(backfill, &facts, Some(RunState::Success));
            let count = filled.len();
            filled.sort_by_key(|interval| interval.start);
            filled.dedup();
            assert_eq!(filled.len(), count, "seed {seed}: backfill {} fills twice", backfill.id);
            assert!(
                runs_of(backfill, &facts, None)
                    .into_iter()
                    .all(|interval| part.all.covers(interval)),
                "seed {seed}: a run of what backfill {} does not name",
                backfill.id
            );
        }
    }
    backfills.len()
}

/// The intervals of runs that a backfill began, of those that ended so.
fn runs_of(backfill: &Backfill, facts: &[(i64, Instant, Fact)], how: Option<RunState>) -> Vec<Interval> {
    let began = facts.iter().filter_map(|(_, _, fact)| match fact {
        Fact::FlowBegan(began) if began.backfill == Some(backfill.id) => Some((began.run, began.interval)),
        _ => None,
    });
    let ended_so = |run: i64| {
        facts
            .iter()
            .any(|(_, _, fact)| matches!(fact, Fact::FlowEnded(ended) if ended.run == run && Some(ended.state) == how))
    };
    began
        .filter(|(run, _)| how.is_none() || ended_so(*run))
        .map(|(_, interval)| interval)
        .collect()
}
