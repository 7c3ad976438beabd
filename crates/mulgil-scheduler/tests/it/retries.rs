//! What the loop does with runs that a person has done again.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use mulgil_core::{
    codes,
    flow::{After, By, Deadline, Flow},
    grid::Zone,
    interval::Interval,
    port::Fault,
    project::Fingerprint,
    run::RunState,
};
use mulgil_scheduler::service::{Ask, Retried};
use tokio::sync::oneshot;

use crate::world::{Ending, HOUR_US, Script, Server, World, flow, hourly, step, succeed};

const SECOND: Duration = Duration::from_secs(1);

pub(crate) async fn retry(server: &Server, run: i64, what: Retried) -> Result<i64, Fault> {
    let (answer, told) = oneshot::channel();
    let by = "mina".to_owned();
    server.asks.send(Ask::Retry { run, what, by, answer }).await.unwrap();
    told.await.unwrap()
}

async fn start(server: &Server, flow: &str, interval: Interval) -> Result<i64, Fault> {
    let (answer, told) = oneshot::channel();
    let ask = Ask::Start {
        flow: flow.to_owned(),
        interval,
        params: BTreeMap::new(),
        answer,
    };
    server.asks.send(ask).await.unwrap();
    told.await.unwrap()
}

/// Steps take a second; those named `bad` fail until the switch is turned.
fn until(is_mended: &Arc<AtomicBool>) -> Script {
    let is_mended = Arc::clone(is_mended);
    Arc::new(move |step, _, _| {
        let fails = step == "bad" && !is_mended.load(Ordering::SeqCst);
        (SECOND, if fails { Ending::Fatal } else { Ending::Success })
    })
}

fn shaky() -> Flow {
    let mut tidy = step("tidy", &[]);
    tidy.is_finally = true;
    flow(
        "shaky",
        "",
        vec![
            step("load", &[]),
            step("bad", &["load"]),
            step("report", &["bad"]),
            tidy,
        ],
    )
}

/// How a run stands, and of each step how its attempts ended.
async fn told(world: &World, run: i64) -> (RunState, Vec<(String, Vec<RunState>)>) {
    let (run, tasks) = world.store.run(run).await.unwrap().unwrap();
    let steps = tasks.iter().map(|task| {
        let name = task.instance.to_string();
        let attempts = task.attempts.iter().map(|attempt| attempt.state).collect();
        (name.split('/').next_back().unwrap().to_owned(), attempts)
    });
    (run.state, steps.collect())
}

#[tokio::test(start_paused = true)]
async fn a_failed_run_goes_on_where_it_is_not_done() {
    let world = World::new().await;
    let is_mended = Arc::new(AtomicBool::new(false));
    let server = world.server(&[shaky()], 4, until(&is_mended));
    let run = start(&server, "shaky", Interval::WHOLE).await.unwrap();
    assert_eq!(
        retry(&server, run, Retried::Unfinished).await.unwrap_err().code,
        codes::RUN_NOT_RETRIED,
        "it goes on"
    );
    world.pass(SECOND * 10).await;
    assert_eq!(world.runs("shaky").await, [RunState::Failed]);
    // It fails again, and may be done again once more.
    assert_eq!(retry(&server, run, Retried::Unfinished).await.unwrap(), run);
    world.pass(SECOND * 10).await;
    is_mended.store(true, Ordering::SeqCst);
    assert_eq!(retry(&server, run, Retried::Unfinished).await.unwrap(), run);
    world.pass(SECOND * 10).await;
    let steps = [
        ("load", vec![RunState::Success]),
        ("bad", vec![RunState::Failed, RunState::Failed, RunState::Success]),
        ("report", vec![RunState::Success]),
        ("tidy", vec![RunState::Success; 3]),
    ];
    let mut found = told(&world, run).await;
    found.1.sort();
    let mut expected: Vec<_> = steps.map(|(step, states)| (step.to_owned(), states)).into();
    expected.sort();
    assert_eq!(found, (RunState::Success, expected));
    let fault = retry(&server, run, Retried::Unfinished).await.unwrap_err();
    assert_eq!(fault.code, codes::RUN_NOT_RETRIED, "it has succeeded");
    assert_eq!(
        retry(&server, 99, Retried::All).await.unwrap_err().code,
        codes::NOT_FOUND
    );
    server.drain(&world).await;
    assert_eq!(world.runs("shaky").await, [RunState::Success], "it is one run");
}

#[tokio::test(start_paused = true)]
async fn whatever_ends_after_the_word_the_run_goes_on() {
    let world = World::new().await;
    let is_mended = Arc::new(AtomicBool::new(false));
    let server = world.server(&[shaky()], 4, until(&is_mended));
    let run = start(&server, "shaky", Interval::WHOLE).await.unwrap();
    world.pass(SECOND * 10).await;
    server.kill(&world).await;
    is_mended.store(true, Ordering::SeqCst);
    // It was recorded, and then the process died before anything of it began.
    world.store.reopen_walk(run, "mina", world.now()).await.unwrap();
    // The next one dies while a step goes on.
    let server = world.server(&[shaky()], 4, until(&is_mended));
    world.pass(Duration::ZERO).await;
    server.kill(&world).await;
    let server = world.server(&[shaky()], 4, until(&is_mended));
    world.pass(SECOND * 30).await;
    server.drain(&world).await;
    let (state, mut steps) = told(&world, run).await;
    steps.sort();
    assert_eq!(state, RunState::Success);
    let expected = [
        ("bad", vec![RunState::Failed, RunState::Crashed, RunState::Success]),
        ("load", vec![RunState::Success]),
        ("report", vec![RunState::Success]),
        ("tidy", vec![RunState::Success; 2]),
    ];
    assert_eq!(steps, expected.map(|(step, states)| (step.to_owned(), states)));
}

#[tokio::test(start_paused = true)]
async fn all_of_a_run_is_a_new_run_by_its_own_or_the_newest_definition() {
    let world = World::new().await;
    let is_mended = Arc::new(AtomicBool::new(false));
    let mut flow = shaky();
    flow.max_active = 2;
    let server = world.server(&[flow.clone()], 4, until(&is_mended));
    let run = start(&server, "shaky", Interval::WHOLE).await.unwrap();
    world.pass(SECOND * 10).await;
    server.drain(&world).await;
    is_mended.store(true, Ordering::SeqCst);
    let mut edited = flow;
    edited.steps.truncate(1);
    edited.fingerprint = Fingerprint::of_text("shaky 2");
    let server = world.server(&[edited], 4, until(&is_mended));
    let all = retry(&server, run, Retried::All).await.unwrap();
    let latest = retry(&server, run, Retried::Latest).await.unwrap();
    world.pass(SECOND * 20).await;
    let count = |told: (RunState, Vec<(String, Vec<RunState>)>)| (told.0, told.1.len());
    assert_eq!(count(told(&world, all).await), (RunState::Success, 4));
    assert_eq!(count(told(&world, latest).await), (RunState::Success, 1));
    // The same run goes by its own definition too, and one that succeeded may be done anew.
    assert_eq!(retry(&server, run, Retried::Unfinished).await.unwrap(), run);
    let anew = retry(&server, all, Retried::All).await.unwrap();
    world.pass(SECOND * 20).await;
    assert_eq!(count(told(&world, run).await), (RunState::Success, 4));
    assert_eq!(count(told(&world, anew).await), (RunState::Success, 4));
    server.drain(&world).await;
    let server = world.server(&[], 4, until(&is_mended));
    assert_eq!(
        retry(&server, run, Retried::Latest).await.unwrap_err().code,
        codes::NOT_FOUND,
        "there is no such flow any more"
    );
    server.drain(&world).await;
}

#[tokio::test(start_paused = true)]
async fn an_interval_that_another_run_is_busy_with_stands_in_the_way() {
    let world = World::new().await;
    world.skew(HOUR_US);
    let is_mended = Arc::new(AtomicBool::new(false));
    let mut flow = hourly(flow("sales", "", vec![step("bad", &[])]));
    flow.max_active = 5;
    let hour = flow.grid.interval_at(flow.grid.begin.unwrap());
    let flows = [flow];
    let server = world.server(&flows, 4, until(&is_mended));
    let run = start(&server, "sales", hour).await.unwrap();
    world.pass(SECOND * 5).await;
    server.kill(&world).await;
    let server = world.server(&flows, 4, succeed(60_000));
    let other = start(&server, "sales", hour).await.unwrap();
    for what in [Retried::Unfinished, Retried::All, Retried::Latest] {
        assert_eq!(retry(&server, run, what).await.unwrap_err().code, codes::CLAIM_HELD);
    }
    world.pass(SECOND * 65).await;
    assert_eq!(told(&world, other).await.0, RunState::Success);
    retry(&server, run, Retried::Unfinished).await.unwrap();
    world.pass(SECOND * 65).await;
    assert_eq!(world.runs("sales").await, [RunState::Success; 2]);
    server.drain(&world).await;
    // Cut by days since, the hour is no interval any more.
    let mut edited = flows[0].clone();
    edited.grid.cut = mulgil_core::grid::Cut::Unit(mulgil_core::grid::Unit::Day);
    let server = world.server(&[edited], 4, succeed(10));
    assert_eq!(
        retry(&server, run, Retried::Latest).await.unwrap_err().code,
        codes::BAD_INTERVAL
    );
    retry(&server, run, Retried::All).await.unwrap();
    server.drain(&world).await;
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_run_counts_from_when_it_was_begun_again() {
    let world = World::new().await;
    let is_mended = Arc::new(AtomicBool::new(false));
    let mut slow = shaky();
    slow.timeout_us = Some(60_000_000);
    slow.deadline = Some(Deadline {
        by: By::Within {
            after: After::Scheduled,
            within_us: 60_000_000,
        },
        then: mulgil_core::flow::Late::Cancel,
    });
    let server = world.server(&[slow.clone()], 4, until(&is_mended));
    let run = start(&server, "shaky", Interval::WHOLE).await.unwrap();
    world.pass(SECOND * 600).await;
    assert_eq!(told(&world, run).await.0, RunState::Failed);
    is_mended.store(true, Ordering::SeqCst);
    retry(&server, run, Retried::Unfinished).await.unwrap();
    server.kill(&world).await;
    let server = world.server(&[slow], 4, until(&is_mended));
    world.pass(SECOND * 20).await;
    assert_eq!(told(&world, run).await.0, RunState::Success);
    server.drain(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_begun_again_has_no_deadline_by_the_clock_of_a_day_that_is_over() {
    let world = World::new().await;
    let is_mended = Arc::new(AtomicBool::new(false));
    // The first tick is at 01:00, and its run has to be done two minutes after.
    let mut late = hourly(flow("late", "0 * * * *", vec![step("bad", &[])]));
    late.deadline = Some(Deadline {
        by: By::Clock {
            at: jiff::civil::time(1, 2, 0, 0),
            timezone: Zone::UTC,
        },
        then: mulgil_core::flow::Late::Cancel,
    });
    let server = world.server(&[late], 4, until(&is_mended));
    world.pass(SECOND * 3_610).await;
    let run = world.store.runs(1).await.unwrap()[0].id;
    assert_eq!(told(&world, run).await.0, RunState::Failed);
    world.pass(SECOND * 600).await;
    is_mended.store(true, Ordering::SeqCst);
    retry(&server, run, Retried::Unfinished).await.unwrap();
    world.pass(SECOND * 20).await;
    assert_eq!(told(&world, run).await.0, RunState::Success);
    server.drain(&world).await;
}
