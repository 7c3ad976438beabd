//! Hooks: what an engine is asked in which order, and what becomes of a fill whose hook fails.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod told;

use mulgil_core::{
    codes,
    run::{RunState, Trigger},
};
use mulgil_scheduler::{RunRequest, RunSummary};

use crate::told::World;

const SHOP: [(&str, &str); 3] = [
    (
        "dbt_project.yml",
        "name: shop\non-run-start: start\non-run-end: \"{% for result in results %}{{ result.node.name }} {{ result.status }} {% endfor %}\"\n",
    ),
    (
        "models/days.sql",
        "{{ config(interval='day', event_time='at', begin='2026-01-01', end='2026-01-04', pre_hook='before {{ this }}', post_hook=['after', 'last']) }}\n\
         select 1 as at",
    ),
    (
        "models/report.sql",
        "{{ config(materialized='table') }}\nselect * from {{ ref('days') }}",
    ),
];

async fn run_all(world: &World) -> RunSummary {
    world.run(&RunRequest::of_all(Trigger::Manual)).await
}

#[tokio::test]
async fn hooks_stand_around_fills_and_runs() {
    let world = World::new(&SHOP).await;
    assert!(run_all(&world).await.is_success());
    assert_eq!(
        world.told.asked(),
        [
            "run: start",
            "attempt: before \"shop\".\"days\"",
            "fill days",
            "attempt: after",
            "attempt: last",
            "fill report",
            "run: days success report success ",
        ]
    );
    assert_eq!(world.due().await, Vec::<String>::new());
    // A run that has nothing to do runs nothing.
    assert!(run_all(&world).await.is_success());
    assert_eq!(world.told.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_hook_that_fails_after_a_fill_fails_the_attempt_and_the_range_is_due_again() {
    let world = World::new(&SHOP).await;
    *world.told.failing.lock().unwrap() = Some("last");
    let summary = run_all(&world).await;
    assert_eq!(summary.failed.len(), 1);
    assert_eq!(
        world.told.asked(),
        [
            "run: start",
            "attempt: before \"shop\".\"days\"",
            "fill days",
            "attempt: after",
            "attempt: last",
            "run: days error report skipped ",
        ],
        "it is not tried in smaller parts, and nothing reads it"
    );
    assert_eq!(world.due().await, ["days 3 hooks", "report 1 missing"]);
    let (_, tasks) = world.runner.store.run(1).await.unwrap().unwrap();
    let attempt = &tasks[0].attempts[0];
    assert_eq!(
        (attempt.state, attempt.rows, attempt.version),
        (RunState::Failed, Some(3), Some(0))
    );
    assert_eq!(attempt.fault.as_ref().unwrap().code, codes::SQL_FAILED);

    *world.told.failing.lock().unwrap() = None;
    assert!(run_all(&world).await.is_success());
    assert_eq!(world.due().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_hook_that_fails_before_a_fill_leaves_it_undone() {
    let world = World::new(&SHOP).await;
    *world.told.failing.lock().unwrap() = Some("before");
    let summary = run_all(&world).await;
    assert_eq!(summary.failed.len(), 1);
    assert_eq!(summary.filled, []);
    let asked = world.told.asked();
    assert_eq!(
        asked.iter().filter(|line| line.contains("before")).count(),
        1,
        "{asked:?}"
    );
    assert_eq!(world.due().await, ["days 3 missing", "report 1 missing"]);
}

#[tokio::test]
async fn a_run_does_not_begin_after_a_hook_of_its_own_failed() {
    let world = World::new(&SHOP).await;
    *world.told.failing.lock().unwrap() = Some("start");
    let summary = run_all(&world).await;
    assert_eq!(summary.stopped.as_ref().unwrap().code, codes::SQL_FAILED);
    assert_eq!(world.told.asked(), ["run: start"]);
    let (run, _) = world.runner.store.run(1).await.unwrap().unwrap();
    assert_eq!(run.state, RunState::Failed);
    *world.told.failing.lock().unwrap() = Some("success");
    let summary = run_all(&world).await;
    assert_eq!(summary.filled.len(), 2);
    assert!(!summary.is_success(), "what stands behind the run failed");
}
