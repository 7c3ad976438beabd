//! Who may write, and what is known of failures.

use mulgil_core::{
    codes,
    diagnostic::{Code, Diagnostic, Retry},
    run::{RunState, TaskKind, Trigger},
};
use mulgil_store::{Failure, NewRun};

use super::support::*;

fn broken(code: Code) -> Diagnostic {
    Diagnostic::error(code, "it broke").with_retry(Retry::Later)
}

#[tokio::test]
async fn a_table_has_one_writer_and_a_second_one_is_told_which() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    let first = claim(&store, &project, "sales[country=kr]", days(0, 5), 1).await;
    let second = request(&project, 1, &instance("sales[country=jp]"), days(0, 5));
    let fault = store.claim(second.clone(), minute(2)).await.unwrap_err();
    assert_eq!(
        fault.to_string(),
        "error[MG5005]: table `dev_shop.sales` is being written by attempt 1 of run 1 since 2026-04-11T00:01:00Z\n\
         do: wait until attempt 1 has ended; `mulgil runs show 1` says how far it is"
    );
    let tests = mulgil_store::ClaimRequest {
        kind: TaskKind::Test,
        ..second.clone()
    };
    store.claim(tests, minute(2)).await.expect("tests do not write");
    record(&store, &project, &first, "sales[country=kr]", days(0, 5), (1, 0), 3).await;
    store.claim(second, minute(4)).await.expect("the table is free");
}

#[tokio::test]
async fn equal_failures_are_counted_until_the_code_changes_or_it_is_filled() {
    let (store, project) = (scratch().await, shop());
    let of = instance("flights");
    begin(&store, Vec::new()).await;
    let mut counts = Vec::new();
    for (at, failure, with) in [
        (1, codes::BAD_QUERY, 1),
        (2, codes::BAD_QUERY, 1),
        (3, codes::BUG, 1),
        (4, codes::BUG, 1),
        (5, codes::BUG, 2),
    ] {
        let claim = claim(&store, &project, "flights", days(0, 5), at).await;
        store
            .record_failure(
                &claim,
                days(0, 5),
                &broken(failure),
                Failure::Counted,
                code(with),
                minute(at),
            )
            .await
            .unwrap();
        let state = store.load_state(&project).await.unwrap();
        let (range, failing) = state.nodes[&of].failing.iter().next().unwrap();
        assert_eq!(range, days(0, 5));
        let longest = 30_000_000 << (failing.equal_count - 1);
        assert!((0..=longest).contains(&(failing.next_try_at.0 - minute(at).0)));
        assert_eq!(
            (failing.failed_at, failing.code, failing.retry),
            (minute(at), failure, Retry::Later)
        );
        counts.push(failing.equal_count);
    }
    assert_eq!(counts, [1, 2, 1, 2, 1]);
    fill(&store, &project, "flights", days(0, 2), 1, 6).await;
    let state = store.load_state(&project).await.unwrap();
    assert_eq!(in_days(&state.nodes[&of].failing.keys()), "2..5");
}

#[tokio::test]
async fn crashes_cancels_and_failed_tests_are_not_counted() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    let crashed = claim(&store, &project, "flights", days(0, 5), 1).await;
    store
        .record_failure(
            &crashed,
            days(0, 5),
            &broken(codes::BUG),
            Failure::Crashed,
            code(1),
            minute(2),
        )
        .await
        .unwrap();
    let cancelled = claim(&store, &project, "flights", days(0, 5), 3).await;
    store.record_cancelled(&cancelled, minute(4)).await.unwrap();
    let tests = mulgil_store::ClaimRequest {
        kind: TaskKind::Test,
        ..request(&project, 1, &instance("flights"), days(0, 5))
    };
    let tested = store.claim(tests, minute(5)).await.unwrap();
    store
        .record_failure(
            &tested,
            days(0, 5),
            &broken(codes::BUG),
            Failure::Counted,
            code(1),
            minute(6),
        )
        .await
        .unwrap();
    let state = store.load_state(&project).await.unwrap();
    assert!(
        state
            .nodes
            .get(&instance("flights"))
            .is_none_or(|node| node.failing.is_empty())
    );
    let (_, task_runs) = store.run(1).await.unwrap().unwrap();
    let states: Vec<_> = task_runs
        .iter()
        .flat_map(|task| &task.attempts)
        .map(|attempt| attempt.state)
        .collect();
    assert_eq!(states, [RunState::Crashed, RunState::Cancelled, RunState::Failed]);
}

#[tokio::test]
async fn a_changed_input_lets_go_of_what_had_failed() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    fill(&store, &project, "flights", days(0, 10), 1, 1).await;
    let failed = claim(&store, &project, "windows", days(0, 10), 2).await;
    store
        .record_failure(
            &failed,
            days(0, 10),
            &broken(codes::BAD_QUERY),
            Failure::Counted,
            code(1),
            minute(3),
        )
        .await
        .unwrap();
    let recorded = fill(&store, &project, "flights", day(4), 2, 4).await;
    assert_eq!(recorded.dirtied, [instance("windows")]);
    let state = store.load_state(&project).await.unwrap();
    let failing = &state.nodes[&instance("windows")].failing;
    assert_eq!(
        in_days(&failing.keys()),
        "0..10",
        "what failed is told until it is filled"
    );
    let released = failing.keys_where(|failing| failing.equal_count == 0 && failing.next_try_at == minute(3));
    assert_eq!(in_days(&released), "4..7");
    assert!(
        stale(&store, &project, "windows").await.is_empty(),
        "what is not filled cannot be stale"
    );
}

#[tokio::test]
async fn naming_a_node_lets_go_of_what_is_held_and_asking_lifts_a_waiver() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    let of = instance("flights");
    let failed = claim(&store, &project, "flights", days(0, 10), 1).await;
    store
        .record_failure(
            &failed,
            days(0, 10),
            &broken(codes::BAD_QUERY),
            Failure::Counted,
            code(1),
            minute(2),
        )
        .await
        .unwrap();
    store
        .waive(&of, &set([days(0, 4)]), "mina", "the source lost them", minute(3))
        .await
        .unwrap();
    let named = NewRun {
        trigger: Trigger::Backfill,
        selector: "flights".to_owned(),
        manual: vec![(of.clone(), set([day(1)]))],
        again: Vec::new(),
        named: vec![of.clone()],
        backfill: None,
    };
    let run = store.begin_run(named, minute(4)).await.unwrap();
    assert_eq!(
        (run.id, run.trigger, run.state),
        (2, Trigger::Backfill, RunState::Running)
    );
    let state = store.load_state(&project).await.unwrap();
    assert!(state.nodes[&of].failing.is_empty());
    assert_eq!(in_days(&state.nodes[&of].waived), "0..1, 2..4");
}

#[tokio::test]
async fn a_run_comes_back_to_its_task_run() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    let failed = claim(&store, &project, "flights", days(0, 5), 1).await;
    store
        .record_failure(
            &failed,
            days(0, 5),
            &broken(codes::BAD_QUERY),
            Failure::Counted,
            code(1),
            minute(2),
        )
        .await
        .unwrap();
    let retried = claim(&store, &project, "flights", days(0, 5), 3).await;
    let state = store.load_state(&project).await.unwrap();
    let live: Vec<_> = state.nodes[&instance("flights")]
        .live
        .iter()
        .map(|(range, live)| (range, live.attempt))
        .collect();
    assert_eq!(live, [(days(0, 5), retried.attempt)]);
    record(&store, &project, &retried, "flights", days(0, 5), (1, 0), 4).await;
    store.end_run(1, RunState::Success, minute(5)).await.unwrap();
    let (run, task_runs) = store.run(1).await.unwrap().unwrap();
    assert_eq!((run.state, run.ended_at), (RunState::Success, Some(minute(5))));
    assert_eq!(task_runs.len(), 1);
    assert_eq!(
        (task_runs[0].state, task_runs[0].attempts.len()),
        (RunState::Success, 2)
    );
    assert_eq!(
        task_runs[0].attempts[0].fault.as_ref().map(|fault| fault.code),
        Some(codes::BAD_QUERY)
    );
    assert_eq!(task_runs[0].reason, serde_json::json!({"kind": "missing"}));
}

#[tokio::test]
async fn what_is_live_at_the_start_has_crashed() {
    let (store, project) = (scratch().await, shop());
    begin(&store, Vec::new()).await;
    let lost = claim(&store, &project, "flights", days(0, 5), 1).await;
    assert_eq!(store.crash_live(minute(2)).await.unwrap(), 1);
    assert_eq!(store.crash_live(minute(3)).await.unwrap(), 0);
    let (run, task_runs) = store.run(1).await.unwrap().unwrap();
    assert_eq!((run.state, run.ended_at), (RunState::Crashed, Some(minute(2))));
    assert_eq!(
        (task_runs[0].state, task_runs[0].attempts[0].state),
        (RunState::Crashed, RunState::Crashed)
    );
    assert_eq!(task_runs[0].attempts[0].id, lost.attempt);
    let state = store.load_state(&project).await.unwrap();
    assert!(
        state
            .nodes
            .get(&instance("flights"))
            .is_none_or(|node| node.live.is_empty())
    );
}

#[tokio::test]
async fn lines_of_attempts_that_ended_long_ago_are_forgotten() {
    let store = scratch().await;
    let project = shop();
    begin(&store, Vec::new()).await;
    let claim = claim(&store, &project, "flights", days(0, 5), 1).await;
    let lines = vec!["said".to_owned()];
    store.append_log(claim.attempt, lines, minute(2)).await.unwrap();
    assert_eq!(store.forget_logs(minute(100)).await.unwrap(), 0, "it is live");
    assert_eq!(store.crash_live(minute(10)).await.unwrap(), 1);
    assert_eq!(store.forget_logs(minute(10)).await.unwrap(), 0, "it ended just now");
    assert_eq!(store.log(claim.attempt).await.unwrap().len(), 1);
    assert_eq!(store.forget_logs(minute(11)).await.unwrap(), 1);
    assert!(store.log(claim.attempt).await.unwrap().is_empty());
}
