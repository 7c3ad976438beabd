//! Backfills over models: each run takes one slice, and what is read goes before its readers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod told;

use mulgil_core::{
    backfill::{BackfillState, Change, Order, Terms},
    codes,
    interval::{Interval, RangeSet},
    name::Instance,
    run::Trigger,
};
use mulgil_scheduler::{BackfillTurn, RunRequest, backfill_turn};
use mulgil_store::NewBackfill;

use crate::told::World;

const SHOP: [(&str, &str); 3] = [
    ("dbt_project.yml", "name: shop\n"),
    (
        "models/hours.sql",
        "{{ config(interval='hour', event_time='at', begin='2026-01-01', end='2026-01-04', batch=1) }}\nselect 1 as at",
    ),
    (
        "models/days.sql",
        "{{ config(interval='day', event_time='at', begin='2026-01-01', end='2026-01-04') }}\n\
         select at from {{ ref('hours') }}",
    ),
];

async fn make(world: &World, order: Order, parallel: u32) {
    let takes = ["hours", "days"].map(|name| {
        let node = world.runner.project.node(&name.into()).unwrap();
        (
            Instance::of(name.into()),
            node.grid.clone(),
            RangeSet::from(node.grid.extent()),
        )
    });
    let new = NewBackfill {
        terms: Terms {
            order,
            parallel,
            ..Terms::new("hours days", "mina")
        },
        takes: takes.into(),
    };
    world
        .runner
        .store
        .make_backfill(new, (world.runner.clock)())
        .await
        .unwrap();
}

async fn slice(world: &World) -> Option<RunRequest> {
    match backfill_turn(&world.runner.store, 1).await.unwrap() {
        BackfillTurn::Slice(request) => Some(request),
        BackfillTurn::Waits(_) | BackfillTurn::Paused | BackfillTurn::Over => None,
    }
}

fn named(request: &RunRequest) -> Vec<(String, Vec<Interval>)> {
    let told = |(instance, ranges): &(Instance, RangeSet)| (instance.to_string(), ranges.iter().collect());
    request.manual.iter().map(told).collect()
}

#[tokio::test]
async fn slice_after_slice_is_one_run_each_until_all_is_filled() {
    for order in [Order::OldestFirst, Order::NewestFirst] {
        let world = World::new(&SHOP).await;
        make(&world, order, 25).await;
        let mut slices = Vec::new();
        while let Some(request) = slice(&world).await {
            slices.push(named(&request));
            let summary = world.run(&request).await;
            assert!(summary.is_success(), "{summary:?}");
            assert!(!world.told.asked().is_empty());
        }
        assert_eq!(slices.len(), 3, "{slices:?}");
        let known = world.runner.store.backfill(1).await.unwrap().unwrap();
        assert_eq!((known.state, known.progress().filled), (BackfillState::Done, 75));
        let runs = world.runner.store.runs(10).await.unwrap();
        assert!(runs.iter().all(|run| run.trigger == Trigger::Backfill));
        assert_eq!(runs[0].selector, "hours days (backfill 1)");
        assert_eq!(world.due().await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn what_waits_for_what_it_reads_is_filled_by_a_later_slice() {
    let world = World::new(&SHOP).await;
    // Against time and by one: a day comes right after its first hour, and never waits for ever.
    make(&world, Order::NewestFirst, 20).await;
    while let Some(request) = slice(&world).await {
        world.run(&request).await;
    }
    let known = world.runner.store.backfill(1).await.unwrap().unwrap();
    assert_eq!((known.state, known.progress().filled), (BackfillState::Done, 75));
}

#[tokio::test]
async fn a_run_that_never_came_leaves_its_slice_due_and_the_next_ones_fill_it() {
    let world = World::new(&SHOP).await;
    make(&world, Order::OldestFirst, 60).await;
    let first = slice(&world).await.unwrap();
    let store = &world.runner.store;
    let new = mulgil_store::NewRun {
        trigger: first.trigger,
        selector: first.selector.clone(),
        manual: first.manual.clone(),
        again: Vec::new(),
        named: Vec::new(),
        backfill: first.backfill,
    };
    // It was asked for, and then the process died.
    store.begin_run(new, (world.runner.clock)()).await.unwrap();
    let fault = world
        .runner
        .run(&first, std::sync::Arc::new(told::Silent), std::future::pending())
        .await
        .unwrap_err();
    assert_eq!(fault.code, codes::BACKFILL_NOT_OPEN);
    let second = slice(&world).await.unwrap();
    assert_eq!(
        second
            .manual
            .iter()
            .map(|(_, ranges)| ranges.ranges().len())
            .sum::<usize>(),
        2
    );
    assert!(world.run(&second).await.is_success());
    let known = store.backfill(1).await.unwrap().unwrap();
    assert_eq!((known.state, known.progress().filled), (BackfillState::Done, 75));
    assert!(matches!(backfill_turn(store, 1).await.unwrap(), BackfillTurn::Over));
}

#[tokio::test]
async fn who_is_held_back_or_waits_is_told_so() {
    let world = World::new(&SHOP).await;
    make(&world, Order::OldestFirst, 75).await;
    let store = &world.runner.store;
    let at = (world.runner.clock)();
    store.change_backfill(1, Change::Pause, "mina", at).await.unwrap();
    assert!(matches!(backfill_turn(store, 1).await.unwrap(), BackfillTurn::Paused));
    store.change_backfill(1, Change::Resume, "mina", at).await.unwrap();
    let request = slice(&world).await.unwrap();
    let new = mulgil_store::NewRun {
        trigger: request.trigger,
        selector: request.selector.clone(),
        manual: request.manual.clone(),
        again: Vec::new(),
        named: Vec::new(),
        backfill: request.backfill,
    };
    store.begin_run(new, at).await.unwrap();
    let BackfillTurn::Waits(request) = backfill_turn(store, 1).await.unwrap() else {
        panic!("all of it is asked for");
    };
    assert_eq!((request.backfill, request.manual.len()), (None, 0));
    assert!(world.run(&request).await.is_success());
    assert!(matches!(backfill_turn(store, 1).await.unwrap(), BackfillTurn::Over));
    assert_eq!(backfill_turn(store, 9).await.unwrap_err().code, codes::NOT_FOUND);
}
