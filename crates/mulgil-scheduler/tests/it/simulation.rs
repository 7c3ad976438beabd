//! Nights by seed: flows that are made up, steps that are slow, fail and are lost, servers that are killed,
//! clocks that jump, days without a server. Afterwards the ledger is read, and nothing that a team relies on
//! may be broken. `MULGIL_SIM_SEEDS=2000` runs as many seeds, `MULGIL_SIM_SEED=17` runs that one.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use mulgil_core::{
    flow::{Flow, OnFull, OnLost, RunIf},
    interval::{Interval, RangeSet},
    project::{Fingerprint, Missed},
    run::{RunState, TaskRun},
    tick::Fate,
};
use mulgil_store::{Store, TickRow};

use crate::world::{Ending, HOUR_US, Script, World, flow, hourly, step};

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
    let mut runs = 0;
    for seed in seeds {
        let night = std::panic::catch_unwind(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .start_paused(true)
                .build()
                .unwrap();
            runtime.block_on(night(seed))
        });
        let Ok(count) = night else {
            panic!("seed {seed} breaks: MULGIL_SIM_SEED={seed} runs it alone");
        };
        runs += count;
    }
    assert!(runs > 0, "nothing ran");
}

/// Gives how many runs there were.
async fn night(seed: u64) -> usize {
    let world = World::new().await;
    let mut dice = Dice { seed, thrown: 0 };
    let flows = flows(&mut dice);
    let script = script(seed);
    for _ in 0..EVENTS {
        let server = world.server(&flows, SLOTS, Arc::clone(&script));
        world.pass(Duration::from_secs(60 + dice.throw(900))).await;
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
    for _ in 0..400 {
        world.pass(Duration::from_secs(10)).await;
        if world.store.open_walks().await.unwrap().is_empty() {
            break;
        }
    }
    server.drain(&world).await;
    check(&world, &flows, seed).await
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
async fn check(world: &World, flows: &[Flow], seed: u64) -> usize {
    let store = &world.store;
    let runs = store.runs(1_000_000).await.unwrap();
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
            check_attempts(task, seed);
            let own = task.attempts.iter();
            attempts.extend(own.map(|attempt| (attempt.started_at, attempt.ended_at.unwrap())));
        }
        check_order(flow, &tasks, seed);
    }
    check_ticks(store, flows, seed).await;
    for flow in flows {
        check_intervals(world, flow, seed).await;
    }
    assert!(
        world.seen.most_live.load(Ordering::SeqCst) <= SLOTS as i64,
        "seed {seed}: slots"
    );
    // All of it follows from the facts.
    let before = store.derived().await.unwrap();
    store.rebuild().await.unwrap();
    assert_eq!(store.derived().await.unwrap(), before, "seed {seed}: rebuilt");
    runs.len()
}

/// Only the last attempt may have succeeded, and none begins before the one before it has ended.
fn check_attempts(task: &TaskRun, seed: u64) {
    for pair in task.attempts.windows(2) {
        let [before, after] = pair else { unreachable!() };
        assert!(before.id < after.id);
        assert!(
            matches!(before.state, RunState::Failed | RunState::Crashed),
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
