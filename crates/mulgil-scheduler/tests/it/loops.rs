//! What the loop does with flows: ticks, slots, stops, and beginning again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use mulgil_core::{
    codes,
    flow::OnFull,
    interval::{Instant, Interval, RangeSet},
    run::{RunState, Trigger},
    tick::Fate,
};
use mulgil_scheduler::service::{Ask, Happening};
use mulgil_store::NewRun;
use tokio::sync::oneshot;

use crate::world::{Ending, HOUR_US, Script, World, flow, hourly, step, succeed};

const HOUR: Duration = Duration::from_hours(1);
const SECOND: Duration = Duration::from_secs(1);

async fn start(server: &crate::world::Server, name: &str) -> Result<i64, mulgil_core::port::Fault> {
    let (answer, told) = oneshot::channel();
    let ask = Ask::Start {
        flow: name.to_owned(),
        interval: Interval::WHOLE,
        params: BTreeMap::new(),
        answer,
    };
    server.asks.send(ask).await.unwrap();
    told.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn each_tick_runs_once_on_time() {
    let world = World::new().await;
    let flows = [flow("tidy", "15 * * * *", vec![step("a", &[]), step("b", &["a"])])];
    let server = world.server(&flows, 4, succeed(500));
    world.pass(HOUR * 5).await;
    server.drain(&world).await;
    assert_eq!(world.runs("tidy").await, [RunState::Success; 5]);
    let ticks = world.store.ticks(Some("flow:tidy"), 100).await.unwrap();
    assert_eq!(ticks.len(), 6);
    assert_eq!(ticks[5].tick.fate, Fate::Before);
    for tick in &ticks[..5] {
        assert_eq!(tick.tick.fate, Fate::Runs);
        assert!(tick.run.is_some());
        assert!(tick.decided_at.0 - tick.tick.scheduled_at.0 < 1_100_000, "{tick:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_person_begins_no_more_runs_of_a_flow_than_may_be_active() {
    let world = World::new().await;
    let mut narrow = flow("narrow", "0 0 1 1 *", vec![step("a", &[])]);
    narrow.max_active = 2;
    let server = world.server(&[narrow], 8, succeed(60_000));
    let first = start(&server, "narrow").await.unwrap();
    start(&server, "narrow").await.unwrap();
    let refused = start(&server, "narrow").await.unwrap_err();
    assert_eq!(refused.code, codes::CLAIM_HELD, "{refused}");
    assert!(refused.message.contains("max_active: 2"), "{refused}");
    world.pass(SECOND * 61).await;
    let third = start(&server, "narrow").await.unwrap();
    assert!(third > first);
    server.drain(&world).await;
    assert_eq!(world.runs("narrow").await, [RunState::Success; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_night_without_a_server_is_made_up_for_and_every_tick_has_a_row() {
    let world = World::new().await;
    let flows = [
        flow("tidy", "15 * * * *", vec![step("a", &[])]),
        hourly(flow("sales", "20 * * * *", vec![step("load", &[])])),
    ];
    let server = world.server(&flows, 4, succeed(10));
    world.pass(HOUR * 2).await;
    server.kill(&world).await;
    world.skew(8 * HOUR_US);
    let server = world.server(&flows, 4, succeed(10));
    world.pass(HOUR).await;
    server.drain(&world).await;
    // Without intervals the newest of eight makes up for all; with them each hole is filled.
    assert_eq!(world.runs("tidy").await.len(), 4);
    assert_eq!(world.runs("sales").await, [RunState::Success; 10]);
    let mut fates: Vec<_> = world.store.ticks(Some("flow:tidy"), 100).await.unwrap();
    fates.reverse();
    let fates: Vec<_> = fates.iter().map(|row| row.tick.fate.as_str()).collect();
    let expected = [
        vec!["before", "runs", "runs"],
        vec!["coalesced"; 7],
        vec!["runs", "runs"],
    ]
    .concat();
    assert_eq!(fates, expected);
}

#[tokio::test(start_paused = true)]
async fn what_was_forgotten_does_not_come_again() {
    let world = World::new().await;
    let flows = [
        flow("tidy", "15 * * * *", vec![step("a", &[])]),
        hourly(flow("sales", "20 * * * *", vec![step("load", &[])])),
    ];
    let server = world.server(&flows, 4, succeed(10));
    world.pass(HOUR * 30).await;
    server.kill(&world).await;
    let newest = world.store.newest_ticks().await.unwrap();
    let before = Instant(world.now().0 - 2 * HOUR_US);
    let with_intervals = BTreeSet::from(["sales".to_owned()]);
    let forgotten = world
        .store
        .forget_runs(before, with_intervals, world.now())
        .await
        .unwrap();
    // Of thirty runs and of twenty-nine ten each stay: at its first tick `sales` had no hour that was over. The tick
    // by which each schedule was first seen goes with the rest.
    assert_eq!((forgotten.runs, forgotten.ticks), (39, 42));
    assert_eq!(world.store.newest_ticks().await.unwrap(), newest);
    let last = world.store.runs(1).await.unwrap()[0].id;
    world.store.rebuild().await.unwrap();
    let server = world.server(&flows, 4, succeed(10));
    world.pass(HOUR * 5).await;
    server.drain(&world).await;
    for flow in ["tidy", "sales"] {
        assert_eq!(world.runs(flow).await, [RunState::Success; 15]);
    }
    let runs = world.store.runs(10).await.unwrap();
    let began: Vec<i64> = runs.iter().rev().map(|run| run.id - last).collect();
    assert_eq!(began, (1..=10).collect::<Vec<_>>(), "five hours, two flows");
}

#[tokio::test(start_paused = true)]
async fn a_step_that_died_with_its_server_is_tried_again_and_the_rest_goes_on() {
    let world = World::new().await;
    let flows = [flow(
        "tidy",
        "",
        vec![step("a", &[]), step("b", &["a"]), step("c", &["b"])],
    )];
    let server = world.server(&flows, 4, succeed(10_000));
    let run = start(&server, "tidy").await.unwrap();
    world.pass(SECOND * 15).await;
    server.kill(&world).await;
    let server = world.server(&flows, 4, succeed(10_000));
    world.pass(SECOND * 90).await;
    server.drain(&world).await;
    let (told, tasks) = world.store.run(run).await.unwrap().unwrap();
    assert_eq!(told.state, RunState::Success);
    let attempts: Vec<Vec<_>> = tasks
        .iter()
        .map(|task| task.attempts.iter().map(|attempt| attempt.state).collect())
        .collect();
    assert_eq!(
        attempts,
        [
            vec![RunState::Success],
            vec![RunState::Crashed, RunState::Success],
            vec![RunState::Success]
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_run_ends_what_is_live_and_still_tidies_up() {
    let world = World::new().await;
    let mut tidy = step("tidy", &[]);
    tidy.is_finally = true;
    let flows = [flow("slow", "", vec![step("a", &[]), step("b", &["a"]), tidy])];
    let server = world.server(&flows, 4, succeed(100_000));
    let run = start(&server, "slow").await.unwrap();
    world.pass(SECOND).await;
    let (answer, told) = oneshot::channel();
    let by = "mina".to_owned();
    server.asks.send(Ask::Cancel { run, by, answer }).await.unwrap();
    told.await.unwrap().unwrap();
    world.pass(SECOND * 200).await;
    let (answer, told) = oneshot::channel();
    let by = "mina".to_owned();
    server.asks.send(Ask::Cancel { run, by, answer }).await.unwrap();
    assert_eq!(told.await.unwrap().unwrap_err().code, codes::RUN_NOT_ACTIVE);
    server.drain(&world).await;
    let (told, tasks) = world.store.run(run).await.unwrap().unwrap();
    assert_eq!(told.state, RunState::Cancelled);
    let states: Vec<_> = tasks
        .iter()
        .map(|task| (task.instance.to_string(), task.state))
        .collect();
    assert_eq!(
        states,
        [
            ("flow:slow/a".to_owned(), RunState::Cancelled),
            ("flow:slow/b".to_owned(), RunState::Cancelled),
            ("flow:slow/tidy".to_owned(), RunState::Success)
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn slots_are_never_exceeded_and_a_full_pool_holds_up_nobody_else() {
    let world = World::new().await;
    let mut steps: Vec<_> = (0..6).map(|n| step(&format!("narrow{n}"), &[])).collect();
    for step in &mut steps {
        step.pool = Some("narrow".to_owned());
    }
    steps.extend((0..6).map(|n| step(&format!("wide{n}"), &[])));
    let flows = [flow("many", "", steps)];
    let server = world.server(&flows, 3, succeed(1_000));
    let run = start(&server, "many").await.unwrap();
    world.pass(SECOND * 20).await;
    server.drain(&world).await;
    assert_eq!(world.seen.most_live.load(Ordering::SeqCst), 3);
    let (told, tasks) = world.store.run(run).await.unwrap().unwrap();
    assert_eq!(told.state, RunState::Success);
    // One of the narrow ones at a time; the wide ones go on beside them, two at a time.
    let mut spans: Vec<_> = tasks
        .iter()
        .filter(|task| task.instance.to_string().contains("narrow"))
        .map(|task| (task.attempts[0].started_at, task.attempts[0].ended_at.unwrap()))
        .collect();
    spans.sort();
    assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{spans:?}");
    assert!(spans[5].1.0 - spans[0].0.0 < 6_900_000, "{spans:?}");
}

#[tokio::test(start_paused = true)]
async fn a_backfill_of_a_thousand_hours_delays_no_tick_by_more_than_one_claim() {
    let world = World::new().await;
    world.skew(1_000 * HOUR_US);
    let mut history = hourly(flow("history", "", vec![step("load", &[])]));
    history.max_active = 50;
    let flows = [history, flow("today", "*/5 * * * *", vec![step("report", &[])])];
    let server = world.server(&flows, 2, succeed(60_000));
    let asked = NewRun {
        trigger: Trigger::Backfill,
        selector: "flow:history".to_owned(),
        manual: vec![(flows[0].instance(), RangeSet::whole())],
        again: Vec::new(),
        named: Vec::new(),
        backfill: None,
    };
    let asking = world.store.begin_run(asked, world.now()).await.unwrap();
    world
        .store
        .end_run(asking.id, RunState::Success, world.now())
        .await
        .unwrap();
    server
        .asks
        .send(Ask::Look {
            flow: "history".to_owned(),
        })
        .await
        .unwrap();
    world.pass(HOUR).await;
    server.kill(&world).await;
    assert_eq!(world.seen.most_live.load(Ordering::SeqCst), 2);
    let happenings = world.seen.happenings.lock().unwrap();
    let mut waits = Vec::new();
    for (at, what) in happenings.iter() {
        if let Happening::StepBegan { step, run, .. } = what
            && step == "report"
        {
            let began = happenings.iter().find_map(|(_, what)| match what {
                Happening::RunBegan {
                    run: other,
                    scheduled_at,
                    ..
                } if other == run => *scheduled_at,
                _ => None,
            });
            waits.push(at.0 - began.unwrap().0);
        }
    }
    assert!(waits.len() >= 11, "{waits:?}");
    // A slot is free once a minute at the latest, and the tick is the next to have it.
    assert!(waits.iter().all(|wait| *wait <= 61_500_000), "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn what_finds_all_its_runs_taken_waits_or_goes_as_the_flow_says() {
    for (on_full, expected) in [
        (OnFull::Queue, vec![RunState::Success; 4]),
        (
            OnFull::Skip,
            vec![
                RunState::Success,
                RunState::Skipped,
                RunState::Skipped,
                RunState::Success,
            ],
        ),
        (
            OnFull::Fail,
            vec![RunState::Success, RunState::Failed, RunState::Failed, RunState::Success],
        ),
        (
            OnFull::CancelOld,
            vec![
                RunState::Cancelled,
                RunState::Cancelled,
                RunState::Cancelled,
                RunState::Success,
            ],
        ),
    ] {
        let world = World::new().await;
        let mut slow = flow("slow", "* * * * *", vec![step("a", &[])]);
        slow.on_full = on_full;
        let server = world.server(&[slow], 4, succeed(150_000));
        world.pass(SECOND * 245).await;
        let ticks = world.store.ticks(Some("flow:slow"), 100).await.unwrap();
        assert_eq!(ticks.iter().filter(|row| row.tick.fate == Fate::Runs).count(), 4);
        world.pass(SECOND * 10).await;
        let slow_ones = world.runs("slow").await;
        if on_full == OnFull::Queue {
            assert_eq!(slow_ones.len(), 2, "{slow_ones:?}");
            server.kill(&world).await;
        } else {
            server.drain(&world).await;
            assert_eq!(world.runs("slow").await, expected, "{on_full:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_tried_again_and_what_would_fail_again_is_not() {
    let world = World::new().await;
    let mut again = step("again", &[]);
    again.retry.max = 3;
    let mut never = step("never", &[]);
    never.retry.max = 3;
    never.allow_failure = true;
    let flows = [flow("shaky", "", vec![again, never])];
    let script: Script = Arc::new(|step, context, _| {
        let ending = match (step, context.attempt) {
            ("again", 1..=2) => Ending::Failure,
            ("never", _) => Ending::Fatal,
            _ => Ending::Success,
        };
        (Duration::from_millis(10), ending)
    });
    let server = world.server(&flows, 4, script);
    let run = start(&server, "shaky").await.unwrap();
    world.pass(SECOND * 120).await;
    server.drain(&world).await;
    let (told, tasks) = world.store.run(run).await.unwrap().unwrap();
    assert_eq!(told.state, RunState::Success);
    let counts: Vec<_> = tasks.iter().map(|task| (task.state, task.attempts.len())).collect();
    assert_eq!(counts, [(RunState::Success, 3), (RunState::Failed, 1)]);
    let happenings = world.seen.happenings.lock().unwrap();
    let told: Vec<_> = happenings
        .iter()
        .filter_map(|(_, what)| match what {
            Happening::RunEnded { faults, .. } => Some(faults.keys().cloned().collect::<Vec<_>>()),
            _ => None,
        })
        .collect();
    // Who succeeds in the end has not failed.
    assert_eq!(told, [["never"]]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_takes_too_long_is_ended() {
    let world = World::new().await;
    let mut late = flow("late", "", vec![step("a", &[])]);
    late.timeout_us = Some(30_000_000);
    let server = world.server(&[late], 4, succeed(3_600_000));
    let run = start(&server, "late").await.unwrap();
    world.pass(SECOND * 40).await;
    let (told, _) = world.store.run(run).await.unwrap().unwrap();
    assert_eq!(told.state, RunState::Cancelled);
    let lasted = told.ended_at.unwrap().0 - told.started_at.0;
    assert!((30_000_000..32_000_000).contains(&lasted), "{lasted}");
    server.drain(&world).await;
}

#[tokio::test(start_paused = true)]
async fn who_drains_begins_nothing_more() {
    let world = World::new().await;
    let flows = [flow("tidy", "* * * * *", vec![step("a", &[]), step("b", &["a"])])];
    let server = world.server(&flows, 4, succeed(20_000));
    world.pass(SECOND * 65).await;
    server.drain(&world).await;
    // What was live has ended; what would follow it waits for the next server.
    let open = world.store.open_walks().await.unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].walk.ended("a"), Some(RunState::Success));
    assert_eq!(open[0].walk.ended("b"), None);
    let server = world.server(&flows, 4, succeed(20_000));
    world.pass(SECOND * 25).await;
    assert_eq!(world.runs("tidy").await, [RunState::Success]);
    server.drain(&world).await;
}

#[tokio::test(start_paused = true)]
async fn an_interval_whose_run_always_takes_too_long_is_tried_at_ticks_and_then_held() {
    let world = World::new().await;
    let mut late = hourly(flow("late", "20 * * * *", vec![step("a", &[])]));
    late.timeout_us = Some(30_000_000);
    let begin = world.now();
    let server = world.server(&[late], 4, succeed(3_600_000));
    world.pass(HOUR * 9).await;
    server.kill(&world).await;
    let runs = world.runs("late").await;
    // Each interval once at each of three ticks: the first hour is over at 01:00.
    let mut expected = 0;
    for hour in 1..=8 {
        expected += 3.min(9 - hour);
    }
    assert_eq!(runs.len(), expected, "{begin:?} {runs:?}");
    assert!(runs.iter().all(|state| *state == RunState::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_crons_of_one_minute_fire_once_each() {
    let world = World::new().await;
    let flows: Vec<_> = (0..1_000)
        .map(|number| flow(&format!("f{number:03}"), "* * * * *", vec![step("only", &[])]))
        .collect();
    let server = world.server(&flows, 250, succeed(10));
    world.pass(SECOND * 150).await;
    server.drain(&world).await;
    let minutes = world.store.ticks(Some("flow:f000"), 10).await.unwrap().len() - 1;
    assert_eq!(minutes, 2);
    let mut runs = BTreeMap::new();
    for run in world.store.runs(10_000).await.unwrap() {
        assert_eq!(run.state, RunState::Success);
        *runs.entry(run.selector).or_insert(0) += 1;
    }
    assert_eq!(runs.len(), 1_000);
    assert!(runs.values().all(|count| *count == minutes), "{runs:?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_of_many_steps_is_looked_at_where_something_changed_and_ends_the_same() {
    let world = World::new().await;
    let names: Vec<String> = (0..2_000).map(|number| format!("s{number:04}")).collect();
    let mut steps = vec![step("first", &[])];
    steps.extend(names.iter().map(|name| step(name, &["first"])));
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    steps.push(step("last", &all));
    let server = world.server(&[flow("wide", "", steps)], 64, succeed(1));
    let run = start(&server, "wide").await.unwrap();
    world.pass(SECOND * 60).await;
    server.drain(&world).await;
    let (told, tasks) = world.store.run(run).await.unwrap().unwrap();
    assert_eq!(told.state, RunState::Success);
    assert_eq!(tasks.len(), 2_002);
    assert!(tasks.iter().all(|task| task.attempts.len() == 1));
    assert_eq!(world.seen.most_live.load(Ordering::SeqCst), 64);
}
