//! A run that a person has done again goes on where it is not done, with what the rest gave.

use std::collections::BTreeMap;

use mulgil_core::{
    codes,
    diagnostic::Place,
    flow::{Flow, Step, StepKind, Template},
    grid::Unit,
    interval::{Instant, RangeSet},
    project::Fingerprint,
    run::{RunState, Trigger},
    walk::{Stage, StepProgress},
};
use mulgil_store::{Begun, EndedStep, NewWalk, StepStart, Store};
use serde_json::json;

use super::support::*;

fn step(name: &str, needs: &[&str]) -> Step {
    let place = Place::file("flows/sales.yml");
    let script = Template {
        text: "select 1".to_owned(),
        place: place.clone(),
    };
    let content = Fingerprint::default();
    Step {
        needs: needs.iter().map(|need| (*need).to_owned()).collect(),
        ..Step::new(name, StepKind::Sql { script, content }, place)
    }
}

fn flow() -> Flow {
    Flow {
        grid: by(Unit::Day),
        steps: vec![step("load", &[]), step("sums", &["load"]), step("report", &["sums"])],
        fingerprint: Fingerprint::of_text("sales 1"),
        ..Flow::new("sales", "flows/sales.yml")
    }
}

async fn begin_walk(store: &Store) -> Begun {
    let new = NewWalk {
        flow: flow(),
        trigger: Trigger::Schedule,
        scheduled_at: Some(minute(0)),
        interval: day(90),
        params: BTreeMap::from([("country".to_owned(), json!("kr"))]),
        backfill: None,
    };
    store.begin_walk(new, minute(0)).await.unwrap()
}

/// One attempt of a step; gives its number.
async fn tried(store: &Store, run: i64, step: &str, state: RunState) -> i64 {
    let progress = StepProgress {
        began_at: Some(minute(1)),
        ..StepProgress::default()
    };
    let start = StepStart {
        step: step.to_owned(),
        progress: StepProgress {
            stage: Stage::Running,
            ..progress.clone()
        },
    };
    let attempts = store.begin_steps(run, "sales", day(90), vec![start], minute(1)).await;
    let attempt = attempts.unwrap()[0];
    let ended = EndedStep {
        step: step.to_owned(),
        attempt: Some(attempt),
        state,
        rows: None,
        fault: None,
        output: json!({ "of": step }),
        progress: StepProgress {
            stage: Stage::Ended { state },
            failures: u32::from(state == RunState::Failed),
            ..progress
        },
    };
    store
        .end_steps(run, "sales", day(90), vec![ended], minute(2))
        .await
        .unwrap();
    attempt.0
}

async fn passed_over(store: &Store, run: i64, step: &str, state: RunState) {
    let ended = EndedStep {
        step: step.to_owned(),
        attempt: None,
        state,
        rows: None,
        fault: None,
        output: json!(null),
        progress: StepProgress {
            stage: Stage::Ended { state },
            ..StepProgress::default()
        },
    };
    store
        .end_steps(run, "sales", day(90), vec![ended], minute(2))
        .await
        .unwrap();
}

async fn end(store: &Store, run: i64, state: RunState) {
    store
        .end_walk(run, &flow(), state, Instant::MAX, minute(3))
        .await
        .unwrap();
}

/// A run that failed in the middle.
async fn failed(store: &Store) -> i64 {
    let Begun::Run(run) = begin_walk(store).await else {
        panic!("it begins");
    };
    tried(store, run, "load", RunState::Success).await;
    tried(store, run, "sums", RunState::Failed).await;
    passed_over(store, run, "report", RunState::UpstreamFailed).await;
    end(store, run, RunState::Failed).await;
    run
}

async fn rebuilds(store: &Store) {
    let before = store.derived().await.unwrap();
    store.rebuild().await.unwrap();
    assert_eq!(store.derived().await.unwrap(), before);
}

#[tokio::test]
async fn it_goes_on_as_the_same_run_with_what_was_given_and_is_filled_in_the_end() {
    let store = scratch().await;
    let run = failed(&store).await;
    let open = store.reopen_walk(run, "mina", minute(10)).await.unwrap();
    assert_eq!((open.walk.run, &open.flow), (run, &flow()));
    assert_eq!((open.started_at, open.reopened_at), (minute(0), Some(minute(10))));
    assert_eq!(
        open.outputs,
        BTreeMap::from([("load".to_owned(), json!({"of": "load"}))])
    );
    assert_eq!(open.walk.next(&flow(), minute(10)).start, ["sums"]);
    assert_eq!(open.walk.progress("sums").next_attempt(), 2);
    assert_eq!(open.walk.ended("report"), None);
    // Whoever begins anew finds it as it is.
    assert_eq!(store.open_walks().await.unwrap(), [open]);
    let (told, tasks) = store.run(run).await.unwrap().unwrap();
    assert_eq!((told.state, told.ended_at), (RunState::Running, None));
    let states: Vec<_> = tasks.iter().map(|task| task.state).collect();
    assert_eq!(states, [RunState::Success, RunState::Waiting, RunState::Waiting]);
    assert_eq!(begin_walk(&store).await, Begun::Ran(run), "its tick has had its run");
    rebuilds(&store).await;
    tried(&store, run, "sums", RunState::Success).await;
    tried(&store, run, "report", RunState::Success).await;
    end(&store, run, RunState::Success).await;
    let (told, tasks) = store.run(run).await.unwrap().unwrap();
    assert_eq!(told.state, RunState::Success);
    let attempts: Vec<Vec<i64>> = tasks
        .iter()
        .map(|task| task.attempts.iter().map(|attempt| attempt.id).collect())
        .collect();
    assert_eq!(attempts, [vec![1], vec![2, 3], vec![4]]);
    let states = store.flow_states(&[flow()]).await.unwrap();
    let state = &states[&flow().instance()];
    assert_eq!(state.filled.keys(), RangeSet::from(day(90)));
    assert!(state.failing.is_empty());
    rebuilds(&store).await;
}

#[tokio::test]
async fn what_goes_on_has_succeeded_or_is_no_run_of_a_flow_is_refused() {
    let store = scratch().await;
    let run = failed(&store).await;
    let of_models = begin(&store, Vec::new()).await;
    let refused = |run| {
        let store = &store;
        async move { store.reopen_walk(run, "mina", minute(10)).await.unwrap_err() }
    };
    assert_eq!(refused(of_models).await.code, codes::RUN_NOT_RETRIED);
    assert_eq!(refused(99).await.code, codes::NOT_FOUND);
    store.reopen_walk(run, "mina", minute(10)).await.unwrap();
    let fault = refused(run).await;
    assert_eq!(fault.code, codes::RUN_NOT_RETRIED);
    assert!(fault.message.contains("goes on") && fault.remedy.is_some(), "{fault}");
    tried(&store, run, "sums", RunState::Success).await;
    tried(&store, run, "report", RunState::Success).await;
    end(&store, run, RunState::Success).await;
    let fault = refused(run).await;
    assert_eq!(fault.code, codes::RUN_NOT_RETRIED);
    assert!(fault.message.contains("success"), "{fault}");
}

#[tokio::test]
async fn another_run_that_is_busy_with_the_interval_stands_in_the_way() {
    let store = scratch().await;
    let run = failed(&store).await;
    let new = NewWalk {
        flow: flow(),
        trigger: Trigger::Manual,
        scheduled_at: None,
        interval: day(90),
        params: BTreeMap::new(),
        backfill: None,
    };
    let Begun::Run(other) = store.begin_walk(new, minute(9)).await.unwrap() else {
        panic!("the first one has ended");
    };
    let fault = store.reopen_walk(run, "mina", minute(10)).await.unwrap_err();
    assert_eq!(fault.code, codes::CLAIM_HELD);
    assert!(fault.message.contains(&format!("run {other} is busy")), "{fault}");
    store.cancel_walk(other, "mina", minute(11)).await.unwrap();
    end(&store, other, RunState::Cancelled).await;
    store.reopen_walk(run, "mina", minute(12)).await.unwrap();
    let past = store.past_walk(run).await.unwrap();
    assert_eq!(
        (past.flow, past.interval, past.state),
        (flow(), day(90), RunState::Running)
    );
    assert_eq!(past.params["country"], json!("kr"));
    rebuilds(&store).await;
}
