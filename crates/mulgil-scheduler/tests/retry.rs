//! What fails for a while is tried again within its run.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod told;

use mulgil_core::run::{RunState, Trigger};
use mulgil_scheduler::RunRequest;

use crate::told::World;

const SHOP: [(&str, &str); 2] = [
    ("dbt_project.yml", "name: shop\n"),
    (
        "models/days.sql",
        "{{ config(interval='day', event_time='at', begin='2026-01-01', end='2026-01-02') }}\nselect 1 as at",
    ),
];

#[tokio::test(start_paused = true)]
async fn a_run_in_which_all_was_filled_in_the_end_has_succeeded() {
    let world = World::new(&SHOP).await;
    *world.told.outages.lock().unwrap() = 2;
    let summary = world.run(&RunRequest::of_all(Trigger::Schedule)).await;
    assert_eq!(world.told.asked(), ["fill days", "fill days", "fill days"]);
    assert!(summary.is_success(), "{summary:?}");
    let (run, tasks) = world.runner.store.run(1).await.unwrap().unwrap();
    assert_eq!(run.state, RunState::Success);
    let states: Vec<RunState> = tasks
        .iter()
        .flat_map(|task| &task.attempts)
        .map(|attempt| attempt.state)
        .collect();
    assert_eq!(states, [RunState::Failed, RunState::Failed, RunState::Success]);
    assert_eq!(world.due().await, Vec::<String>::new());
}
