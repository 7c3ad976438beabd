//! What the loop does with backfills over flows.

use std::{sync::atomic::Ordering, time::Duration};

use mulgil_core::{
    backfill::{Backfill, BackfillState, Change, Order, Terms},
    codes,
    flow::{Flow, Param, ParamType},
    grid::{Grid, Zone},
    interval::{Interval, RangeSet},
    name::Instance,
    port::Fault,
    run::{RunState, Trigger},
};
use mulgil_scheduler::service::{Ask, Happening};
use mulgil_store::{MadeBackfill, NewBackfill};
use serde_json::json;
use tokio::sync::oneshot;

use crate::world::{Ending, HOUR_US, Script, Server, World, flow, hourly, step, succeed};

const SECOND: Duration = Duration::from_secs(1);

/// A flow by hours that only a person starts.
fn history(max_active: u32) -> Flow {
    let mut flow = hourly(flow("history", "", vec![step("load", &[])]));
    flow.max_active = max_active;
    flow
}

fn terms(order: Order, parallel: u32, share: u8) -> Terms {
    Terms {
        order,
        parallel,
        share,
        ..Terms::new("flow:history", "mina")
    }
}

pub(crate) async fn make(server: &Server, flow: &str, terms: Terms, ranges: RangeSet) -> Result<MadeBackfill, Fault> {
    let (answer, told) = oneshot::channel();
    let instance = Instance::of(format!("flow:{flow}").as_str().into());
    let new = NewBackfill {
        terms,
        takes: vec![(instance, Grid::whole(Zone::UTC), ranges)],
    };
    server.asks.send(Ask::Backfill { new, answer }).await.unwrap();
    told.await.unwrap()
}

pub(crate) async fn change(server: &Server, backfill: i64, change: Change) -> Result<Backfill, Fault> {
    let (answer, told) = oneshot::channel();
    let ask = Ask::ChangeBackfill {
        backfill,
        change,
        by: "mina".to_owned(),
        answer,
    };
    server.asks.send(ask).await.unwrap();
    told.await.unwrap()
}

async fn known(world: &World) -> Backfill {
    world.store.backfill(1).await.unwrap().unwrap()
}

/// Intervals of runs of the flow as they began, as hours from the beginning of the test's time.
fn began(world: &World) -> Vec<i64> {
    let first = hourly(flow("any", "", Vec::new())).grid.begin.unwrap().0;
    let happenings = world.seen.happenings.lock().unwrap();
    let began = happenings.iter().filter_map(|(_, what)| match what {
        Happening::RunBegan { flow, interval, .. } if flow == "history" => Some((interval.start.0 - first) / HOUR_US),
        _ => None,
    });
    began.collect()
}

#[tokio::test(start_paused = true)]
async fn a_backfill_goes_in_its_order_and_never_above_its_parallelism() {
    for (order, expected) in [
        (Order::OldestFirst, (0..20).collect::<Vec<i64>>()),
        (Order::NewestFirst, (0..20).rev().collect()),
    ] {
        let world = World::new().await;
        world.skew(20 * HOUR_US + HOUR_US / 2);
        let server = world.server(&[history(9)], 9, succeed(1_500));
        let made = make(&server, "history", terms(order, 3, 100), RangeSet::whole())
            .await
            .unwrap();
        // What is over of all of time, in the grid of the flow.
        assert_eq!((made.backfill.id, made.backfill.progress().total), (1, 20));
        world.pass(SECOND * 30).await;
        server.drain(&world).await;
        assert_eq!(began(&world), expected);
        assert_eq!(world.seen.most_live.load(Ordering::SeqCst), 3);
        assert_eq!(world.runs("history").await, [RunState::Success; 20]);
        let done = known(&world).await;
        assert_eq!((done.state, done.progress().filled), (BackfillState::Done, 20));
        let runs = world.store.runs(100).await.unwrap();
        assert!(runs.iter().all(|run| run.trigger == Trigger::Backfill));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_over_any_more_since_the_clock_was_set_back_waits_until_it_is() {
    let world = World::new().await;
    world.skew(5 * HOUR_US + HOUR_US / 2);
    let server = world.server(&[history(1)], 4, succeed(60_000));
    make(&server, "history", terms(Order::OldestFirst, 5, 100), RangeSet::whole())
        .await
        .unwrap();
    world.pass(SECOND * 30).await;
    world.skew(-3 * HOUR_US);
    world.pass(SECOND * 600).await;
    assert_eq!(began(&world), [0, 1], "the others are not over");
    world.pass(Duration::from_hours(3)).await;
    server.drain(&world).await;
    assert_eq!(began(&world), [0, 1, 2, 3, 4]);
    assert_eq!(known(&world).await.state, BackfillState::Done);
}

#[tokio::test(start_paused = true)]
async fn an_interval_whose_tick_had_its_run_before_the_clock_was_set_back_stands_in_nobodys_way() {
    let world = World::new().await;
    let mut flow = hourly(flow("history", "0 * * * *", vec![step("load", &[])]));
    flow.lookback = 1;
    let server = world.server(&[flow], 4, succeed(1_000));
    world.pass(Duration::from_hours(5) + SECOND * 60).await;
    world.skew(-HOUR_US);
    let hour = |index: i64| {
        let begin = hourly(crate::world::flow("any", "", Vec::new())).grid.begin.unwrap().0;
        let start = mulgil_core::interval::Instant(begin + index * HOUR_US);
        let end = mulgil_core::interval::Instant(start.0 + HOUR_US);
        RangeSet::from(Interval { start, end })
    };
    // Filled before the tick of five o'clock, by the clock of today; that tick looked back at it already.
    make(&server, "history", terms(Order::OldestFirst, 1, 100), hour(3))
        .await
        .unwrap();
    world.pass(Duration::from_hours(1) + SECOND * 60).await;
    let before = began(&world).len();
    make(&server, "history", terms(Order::OldestFirst, 1, 100), hour(0))
        .await
        .unwrap();
    world.pass(SECOND * 60).await;
    assert_eq!(began(&world)[before..].last(), Some(&0), "{:?}", began(&world));
    server.drain(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_backfill_holds_its_share_of_the_slots_and_the_rest_stays_free() {
    let world = World::new().await;
    world.skew(50 * HOUR_US);
    let flows = [history(20), flow("today", "* * * * *", vec![step("report", &[])])];
    let server = world.server(&flows, 4, succeed(90_000));
    make(&server, "history", terms(Order::OldestFirst, 20, 50), RangeSet::whole())
        .await
        .unwrap();
    world.pass(SECOND * 30).await;
    assert_eq!(world.seen.most_live.load(Ordering::SeqCst), 2);
    server.kill(&world).await;
    // The next server counts what goes on, too.
    world.seen.most_live.store(0, Ordering::SeqCst);
    let server = world.server(&flows, 4, succeed(90_000));
    world.pass(SECOND * 20).await;
    assert_eq!(world.seen.most_live.load(Ordering::SeqCst), 2);
    // A slot is free for each tick at once, however many intervals wait.
    world.pass(SECOND * 20).await;
    assert_eq!(world.seen.most_live.load(Ordering::SeqCst), 3);
    server.kill(&world).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_held_back_begins_nothing_more_until_it_goes_on() {
    let world = World::new().await;
    world.skew(12 * HOUR_US);
    let server = world.server(&[history(2)], 4, succeed(10_000));
    make(&server, "history", terms(Order::OldestFirst, 8, 100), RangeSet::whole())
        .await
        .unwrap();
    world.pass(SECOND * 5).await;
    let paused = change(&server, 1, Change::Pause).await.unwrap();
    assert_eq!((paused.state, paused.progress().open), (BackfillState::Paused, 2));
    world.pass(SECOND * 60).await;
    assert_eq!(began(&world), [0, 1]);
    // A server that begins anew does not either.
    server.kill(&world).await;
    let server = world.server(&[history(2)], 4, succeed(10_000));
    world.pass(SECOND * 60).await;
    assert_eq!(began(&world), [0, 1]);
    change(&server, 1, Change::Resume).await.unwrap();
    world.pass(SECOND * 60).await;
    server.drain(&world).await;
    assert_eq!(began(&world), (0..12).collect::<Vec<_>>());
    assert_eq!(known(&world).await.state, BackfillState::Done);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_ended_ends_its_runs_and_leaves_those_of_others() {
    let world = World::new().await;
    world.skew(12 * HOUR_US);
    let server = world.server(&[history(4)], 4, succeed(100_000));
    let hour = |n: i64| {
        let begin = history(1).grid.begin.unwrap();
        history(1)
            .grid
            .intervals(Interval {
                start: begin,
                end: world.now(),
            })
            .nth(n as usize)
            .unwrap()
    };
    let (answer, told) = oneshot::channel();
    let ask = Ask::Start {
        flow: "history".to_owned(),
        interval: hour(11),
        params: std::collections::BTreeMap::new(),
        answer,
    };
    server.asks.send(ask).await.unwrap();
    told.await.unwrap().unwrap();
    make(&server, "history", terms(Order::OldestFirst, 2, 100), RangeSet::whole())
        .await
        .unwrap();
    world.pass(SECOND * 5).await;
    let cancelled = change(&server, 1, Change::Cancel).await.unwrap();
    assert_eq!(
        (cancelled.state, cancelled.progress().open),
        (BackfillState::Cancelled, 2)
    );
    world.pass(SECOND * 200).await;
    assert_eq!(
        world.runs("history").await,
        [RunState::Success, RunState::Cancelled, RunState::Cancelled]
    );
    let over = known(&world).await;
    assert!(over.ended_at.is_some());
    assert_eq!(over.progress().withdrawn, 10);
    let fault = change(&server, 1, Change::Resume).await.unwrap_err();
    assert_eq!(fault.code, codes::BACKFILL_NOT_OPEN);
    server.drain(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_killed_again_and_again_loses_no_interval_and_fills_none_twice() {
    let world = World::new().await;
    world.skew(60 * HOUR_US);
    let script: Script = std::sync::Arc::new(|_, context, _| {
        let fails = context
            .interval
            .is_some_and(|interval| interval.start.0 / HOUR_US % 7 == 0);
        let ending = if fails { Ending::Fatal } else { Ending::Success };
        (SECOND * 2, ending)
    });
    let flows = [history(3)];
    let server = world.server(&flows, 4, script.clone());
    make(&server, "history", terms(Order::NewestFirst, 5, 100), RangeSet::whole())
        .await
        .unwrap();
    // Whoever dies at a moment of rest leaves no request on its way to the ledger, as a killed process does.
    world.pass(Duration::ZERO).await;
    server.kill(&world).await;
    for round in 0..8 {
        let server = world.server(&flows, 4, script.clone());
        // Long enough that no step is lost three times, which would be its end.
        world.pass(SECOND * (5 + round % 3)).await;
        server.kill(&world).await;
    }
    let server = world.server(&flows, 4, script);
    world.pass(SECOND * 120).await;
    server.drain(&world).await;
    let done = known(&world).await;
    let progress = done.progress();
    assert_eq!((done.state, progress.total), (BackfillState::Done, 60));
    assert_eq!(progress.filled + progress.failed, 60);
    assert!((8..=9).contains(&progress.failed), "{progress:?}");
    let mut begun = began(&world);
    begun.sort_unstable();
    assert_eq!(begun, (0..60).collect::<Vec<_>>(), "each has one run");
}

#[tokio::test(start_paused = true)]
async fn its_runs_have_its_parameters_and_what_cannot_be_is_refused() {
    let world = World::new().await;
    world.skew(2 * HOUR_US);
    let mut flow_with = history(1);
    flow_with.params = vec![Param {
        name: "country".to_owned(),
        kind: ParamType::String,
        default: Some(json!("jp")),
        required: false,
        allowed: Vec::new(),
        description: None,
        place: flow_with.place.clone(),
    }];
    let script: Script = std::sync::Arc::new(|_, context, _| {
        let is_kr = context.params["country"] == json!("kr");
        (
            Duration::from_millis(10),
            if is_kr { Ending::Success } else { Ending::Fatal },
        )
    });
    let flows = [flow_with, flow("tidy", "0 5 * * *", vec![step("a", &[])])];
    let server = world.server(&flows, 4, script);
    let with = |params: serde_json::Value| Terms {
        params: serde_json::from_value(params).unwrap(),
        ..terms(Order::OldestFirst, 1, 100)
    };
    let share = Terms {
        share: 0,
        ..terms(Order::OldestFirst, 1, 100)
    };
    for (flow, terms, code) in [
        ("nobody", with(json!({})), codes::NOT_FOUND),
        ("tidy", with(json!({})), codes::BAD_INTERVAL),
        ("history", with(json!({"country": 7})), codes::BAD_PARAM),
        ("history", with(json!({"colour": "red"})), codes::UNKNOWN_PARAM),
        ("history", share, codes::BAD_BACKFILL),
    ] {
        let fault = make(&server, flow, terms, RangeSet::whole()).await.unwrap_err();
        assert_eq!(fault.code, code, "{fault}");
        assert!(fault.remedy.is_some(), "{fault}");
    }
    let future = RangeSet::from(Interval {
        start: world.now(),
        end: mulgil_core::interval::Instant(world.now().0 + 9 * HOUR_US),
    });
    let fault = make(&server, "history", with(json!({})), future).await.unwrap_err();
    assert_eq!(fault.code, codes::EMPTY_BACKFILL);
    assert_eq!(
        change(&server, 1, Change::Pause).await.unwrap_err().code,
        codes::NOT_FOUND
    );
    make(&server, "history", with(json!({"country": "kr"})), RangeSet::whole())
        .await
        .unwrap();
    let second = make(&server, "history", with(json!({})), RangeSet::whole()).await;
    assert_eq!(
        second.unwrap_err().code,
        codes::EMPTY_BACKFILL,
        "the first has all of it"
    );
    world.pass(SECOND * 5).await;
    server.drain(&world).await;
    assert_eq!(world.runs("history").await, [RunState::Success; 2]);
}
