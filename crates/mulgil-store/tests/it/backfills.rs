//! Backfills: what was asked for is due, what was not is left, and whatever ends between two requests, each
//! interval is one of these until it is filled.

use std::collections::BTreeMap;

use mulgil_core::{
    backfill::{Backfill, BackfillState, Change, Order, Progress, Ranges, Terms, preview},
    codes,
    diagnostic::Diagnostic,
    flow::Flow,
    grid::{Grid, Unit},
    interval::{Interval, RangeSet},
    name::Instance,
    run::{RunState, Trigger},
    state::Cause,
};
use mulgil_store::{Begun, Failure, MadeBackfill, NewBackfill, NewRun, NewWalk, Store};

use super::support::*;

fn flow() -> Flow {
    Flow {
        grid: by(Unit::Day),
        max_active: 9,
        ..Flow::new("sales", "flows/sales.yml")
    }
}

fn sales() -> Instance {
    flow().instance()
}

fn new(takes: Vec<(Instance, Grid, RangeSet)>) -> NewBackfill {
    NewBackfill {
        terms: Terms {
            parallel: 3,
            ..Terms::new("flow:sales", "mina")
        },
        takes,
    }
}

async fn make(store: &Store, range: Interval) -> MadeBackfill {
    let takes = vec![(sales(), by(Unit::Day), range.into())];
    store.make_backfill(new(takes), minute(0)).await.unwrap()
}

async fn known(store: &Store, backfill: i64) -> Backfill {
    store.backfill(backfill).await.unwrap().unwrap()
}

/// Asks for the next slice as the one who drives it does, and gives it.
async fn ask(store: &Store, backfill: i64) -> Ranges {
    let known = known(store, backfill).await;
    let slice = known.next_slice(known.room(100, |_| true), |_| true);
    store.ask_backfill(backfill, slice.clone(), minute(1)).await.unwrap();
    slice
}

async fn begin_walk(store: &Store, n: i64, backfill: Option<i64>) -> i64 {
    let new = NewWalk {
        flow: flow(),
        trigger: Trigger::Backfill,
        scheduled_at: None,
        interval: day(n),
        params: BTreeMap::new(),
        backfill,
    };
    match store.begin_walk(new, minute(2)).await.unwrap() {
        Begun::Run(run) => run,
        Begun::Active(run) | Begun::Ran(run) => panic!("run {run} stands in the way"),
    }
}

async fn end_walk(store: &Store, run: i64, how: RunState) {
    store.end_walk(run, &flow(), how, minute(90), minute(3)).await.unwrap();
}

async fn walked(store: &Store, n: i64, how: RunState) {
    let run = begin_walk(store, n, Some(1)).await;
    end_walk(store, run, how).await;
}

/// What is asked for of the flow, as its document says it.
async fn asked(store: &Store) -> String {
    let states = store.flow_states(&[flow()]).await.unwrap();
    let dirty = states
        .get(&sales())
        .map(|state| state.dirty.clone())
        .unwrap_or_default();
    in_days(dirty.get(&Cause::Manual).unwrap_or(&RangeSet::new()))
}

fn counts(backfill: &Backfill) -> (u64, u64, u64, u64, u64) {
    let Progress {
        total,
        left,
        open,
        filled,
        failed,
        ..
    } = backfill.progress();
    (total, left, open, filled, failed)
}

/// All of it follows from the facts.
async fn rebuilds(store: &Store) {
    let before = store.derived().await.unwrap();
    store.rebuild().await.unwrap();
    assert_eq!(store.derived().await.unwrap(), before);
}

#[tokio::test]
async fn a_slice_is_due_until_it_is_filled_or_has_failed_and_at_the_end_the_backfill_is_done() {
    let store = scratch().await;
    let made = make(&store, days(90, 95)).await;
    assert_eq!((made.backfill.id, made.left_out), (1, 0));
    assert_eq!(asked(&store).await, "", "nothing is due of it yet");
    ask(&store, 1).await;
    assert_eq!(asked(&store).await, "90..93");
    assert_eq!(counts(&known(&store, 1).await), (5, 2, 3, 0, 0));
    walked(&store, 90, RunState::Success).await;
    walked(&store, 91, RunState::Failed).await;
    // Somebody ended that run: it is not begun again by itself.
    walked(&store, 92, RunState::Cancelled).await;
    assert_eq!(asked(&store).await, "");
    assert_eq!(counts(&known(&store, 1).await), (5, 2, 0, 1, 2));
    rebuilds(&store).await;
    assert_eq!(ask(&store, 1).await, [(sales(), days(93, 95).into())]);
    walked(&store, 93, RunState::Success).await;
    assert_eq!(known(&store, 1).await.state, BackfillState::Open);
    walked(&store, 94, RunState::Success).await;
    let done = known(&store, 1).await;
    assert_eq!((done.state, done.ended_at), (BackfillState::Done, Some(minute(3))));
    assert_eq!(counts(&done), (5, 0, 0, 3, 2));
    assert!(store.open_backfills().await.unwrap().is_empty());
    assert_eq!(store.backfills(10).await.unwrap(), [done]);
    rebuilds(&store).await;
}

#[tokio::test]
async fn what_the_clock_fills_meanwhile_is_not_asked_for_again_and_what_began_before_does_not_count() {
    let store = scratch().await;
    let early = begin_walk(&store, 90, None).await;
    make(&store, days(90, 94)).await;
    let clock = begin_walk(&store, 93, None).await;
    ask(&store, 1).await;
    end_walk(&store, early, RunState::Success).await;
    end_walk(&store, clock, RunState::Success).await;
    assert_eq!(asked(&store).await, "90..93");
    assert_eq!(counts(&known(&store, 1).await), (4, 0, 3, 1, 0));
    for n in 90..93 {
        walked(&store, n, RunState::Success).await;
    }
    assert_eq!(known(&store, 1).await.state, BackfillState::Done);
    rebuilds(&store).await;
}

#[tokio::test]
async fn a_second_backfill_takes_only_what_the_first_does_not_have() {
    let store = scratch().await;
    make(&store, days(90, 95)).await;
    ask(&store, 1).await;
    walked(&store, 90, RunState::Success).await;
    // What the first one is done with may be asked for again.
    let takes = vec![(sales(), by(Unit::Day), days(90, 97).into())];
    let facts = store.facts().await.unwrap();
    let would = store.preview_backfill(takes).await.unwrap();
    assert_eq!((would.left_out, would.others), (4, vec![1]));
    let ranges = |order| preview(&would.parts, order);
    assert_eq!(
        ranges(Order::OldestFirst),
        [(sales(), day(90), 1), (sales(), days(95, 97), 2)]
    );
    assert_eq!(
        ranges(Order::NewestFirst),
        [(sales(), days(95, 97), 2), (sales(), day(90), 1)]
    );
    assert_eq!(store.facts().await.unwrap(), facts, "a look changes nothing");
    let second = make(&store, days(90, 97)).await;
    assert_eq!((second.left_out, second.others), (4, vec![1]));
    let part = second.backfill.part(&sales()).unwrap();
    assert_eq!(in_days(&part.left), "90..91, 95..97");
    let takes = vec![(sales(), by(Unit::Day), days(91, 94).into())];
    let fault = store.make_backfill(new(takes), minute(0)).await.unwrap_err();
    assert_eq!(fault.code, codes::EMPTY_BACKFILL);
    assert!(fault.message.contains("all 3 intervals are in backfill 1"), "{fault}");
    // One that is over has nothing any more.
    for backfill in [1, 2] {
        store
            .change_backfill(backfill, Change::Cancel, "mina", minute(4))
            .await
            .unwrap();
    }
    assert_eq!(make(&store, days(90, 97)).await.left_out, 0);
}

#[tokio::test]
async fn one_that_is_held_back_gives_back_what_has_not_begun() {
    let store = scratch().await;
    make(&store, days(90, 95)).await;
    ask(&store, 1).await;
    let live = begin_walk(&store, 91, Some(1)).await;
    let pause = |store| change(store, Change::Pause);
    let (paused, runs) = pause(&store).await;
    assert_eq!((paused.state, runs), (BackfillState::Paused, vec![]));
    assert_eq!(asked(&store).await, "91..92");
    assert_eq!(counts(&paused), (5, 4, 1, 0, 0));
    assert!(paused.next_slice(9, |_| true).is_empty());
    assert_eq!(pause(&store).await.0, paused, "once more changes nothing");
    let slice = vec![(sales(), day(90).into())];
    let fault = store.ask_backfill(1, slice.clone(), minute(3)).await.unwrap_err();
    assert_eq!(fault.code, codes::BACKFILL_NOT_OPEN);
    end_walk(&store, live, RunState::Success).await;
    rebuilds(&store).await;
    assert_eq!(change(&store, Change::Resume).await.0.state, BackfillState::Open);
    assert_eq!(ask(&store, 1).await, [(sales(), set([day(90), days(92, 94)]))]);
    let fault = store.ask_backfill(1, slice, minute(3)).await.unwrap_err();
    assert_eq!(fault.code, codes::BACKFILL_NOT_OPEN, "it is asked for already");
    rebuilds(&store).await;
}

async fn change(store: &Store, change: Change) -> (Backfill, Vec<i64>) {
    store.change_backfill(1, change, "mina", minute(4)).await.unwrap()
}

#[tokio::test]
async fn one_that_is_ended_withdraws_what_has_not_begun_and_ends_its_runs() {
    let store = scratch().await;
    make(&store, days(90, 96)).await;
    ask(&store, 1).await;
    walked(&store, 90, RunState::Success).await;
    let (own, stranger) = (
        begin_walk(&store, 91, Some(1)).await,
        begin_walk(&store, 95, None).await,
    );
    let (cancelled, runs) = change(&store, Change::Cancel).await;
    assert_eq!((cancelled.state, runs), (BackfillState::Cancelled, vec![own]));
    assert_eq!(asked(&store).await, "91..92");
    assert_eq!(cancelled.progress().withdrawn, 4);
    assert_eq!(cancelled.ended_at, None, "a run of it goes on");
    let is_cancelled: Vec<_> = store
        .open_walks()
        .await
        .unwrap()
        .iter()
        .map(|open| {
            (
                open.walk.run,
                open.walk.is_cancelled,
                open.backfill.clone().map(|(id, _)| id),
            )
        })
        .collect();
    assert_eq!(is_cancelled, [(own, true, Some(1)), (stranger, false, None)]);
    end_walk(&store, own, RunState::Cancelled).await;
    assert_eq!(asked(&store).await, "");
    let over = known(&store, 1).await;
    assert_eq!((over.state, over.ended_at), (BackfillState::Cancelled, Some(minute(3))));
    rebuilds(&store).await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_code() {
    let store = scratch().await;
    let takes = || vec![(sales(), by(Unit::Day), RangeSet::from(day(90)))];
    let mut share = new(takes());
    share.terms.share = 101;
    let mut nothing = new(takes());
    // Half a day is no interval.
    nothing.takes[0].2 = hour(90 * 24).into();
    for (refused, code) in [
        (share, codes::BAD_BACKFILL),
        (nothing, codes::EMPTY_BACKFILL),
        (new(Vec::new()), codes::EMPTY_BACKFILL),
    ] {
        let fault = store.make_backfill(refused, minute(0)).await.unwrap_err();
        assert_eq!(fault.code, code);
        assert!(fault.remedy.is_some(), "{fault}");
    }
    assert!(store.facts().await.unwrap().is_empty());
    make(&store, day(90)).await;
    for (backfill, change, code) in [
        (7, Change::Pause, codes::NOT_FOUND),
        (1, Change::Cancel, codes::BUG),
        (1, Change::Pause, codes::BACKFILL_NOT_OPEN),
        (1, Change::Resume, codes::BACKFILL_NOT_OPEN),
        (1, Change::Cancel, codes::BACKFILL_NOT_OPEN),
    ] {
        match store.change_backfill(backfill, change, "mina", minute(1)).await {
            Ok(_) => assert_eq!(code, codes::BUG, "{change:?}"),
            Err(fault) => assert_eq!((fault.code, fault.remedy.is_some()), (code, true), "{fault}"),
        }
    }
}

#[tokio::test]
async fn an_interval_that_is_named_twice_is_taken_once_and_another_grid_takes_whole_intervals() {
    let store = scratch().await;
    let takes = vec![
        (sales(), by(Unit::Day), days(90, 92).into()),
        (sales(), by(Unit::Day), days(91, 94).into()),
    ];
    let made = store.make_backfill(new(takes), minute(0)).await.unwrap();
    assert_eq!(counts(&made.backfill), (4, 4, 0, 0, 0));
    // By hours now: the first has their days.
    let takes = vec![(sales(), by(Unit::Hour), days(93, 95).into())];
    let made = store.make_backfill(new(takes), minute(0)).await.unwrap();
    assert_eq!((made.left_out, counts(&made.backfill).0), (24, 24));
}

/// The run of a slice over a model.
fn slice_run(of: &str, ranges: RangeSet) -> NewRun {
    NewRun {
        trigger: Trigger::Backfill,
        selector: "flights (backfill 1)".to_owned(),
        manual: vec![(instance(of), ranges)],
        again: Vec::new(),
        named: Vec::new(),
        backfill: Some(1),
    }
}

#[tokio::test]
async fn a_run_over_models_asks_for_its_slice() {
    let (store, project) = (scratch().await, shop());
    let flights = instance("flights");
    let takes = vec![(flights.clone(), by(Unit::Day), days(60, 84).into())];
    let mut backfill = new(takes);
    backfill.terms.order = Order::NewestFirst;
    store.make_backfill(backfill, minute(0)).await.unwrap();
    let first = 60;
    let slice = known(&store, 1).await.next_slice(12, |_| true);
    assert_eq!(slice, [(flights.clone(), days(first + 12, first + 24).into())]);
    let run = slice_run("flights", slice[0].1.clone());
    store.begin_run(run.clone(), minute(1)).await.unwrap();
    let state = store.load_state(&project).await.unwrap();
    assert_eq!(state.nodes[&flights].dirty[&Cause::Manual], slice[0].1);
    assert_eq!(counts(&known(&store, 1).await), (24, 12, 12, 0, 0));
    let fault = store.begin_run(run, minute(1)).await.unwrap_err();
    assert_eq!(fault.code, codes::BACKFILL_NOT_OPEN, "no slice is asked for twice");
    fill(&store, &project, "flights", days(first + 12, first + 18), 1, 2).await;
    let failed = claim(&store, &project, "flights", days(first + 18, first + 24), 3).await;
    let fault = Diagnostic::error(codes::SQL_FAILED, "it broke");
    store
        .record_failure(
            &failed,
            days(first + 18, first + 24),
            &fault,
            Failure::Counted,
            code(1),
            minute(4),
        )
        .await
        .unwrap();
    assert_eq!(counts(&known(&store, 1).await), (24, 12, 0, 6, 6));
    // It is tried again by itself, and then it is filled.
    fill(&store, &project, "flights", days(first + 18, first + 20), 1, 5).await;
    assert_eq!(counts(&known(&store, 1).await), (24, 12, 0, 8, 4));
    rebuilds(&store).await;
    change(&store, Change::Cancel).await;
    let state = store.load_state(&project).await.unwrap();
    assert!(!state.nodes[&flights].dirty.contains_key(&Cause::Manual));
    let run = slice_run("flights", days(first, first + 12).into());
    let fault = store.begin_run(run, minute(6)).await.unwrap_err();
    assert_eq!(fault.code, codes::BACKFILL_NOT_OPEN);
    assert_eq!(known(&store, 1).await.ended_at, Some(minute(4)));
    rebuilds(&store).await;
}

#[tokio::test]
async fn what_failed_of_one_and_is_asked_for_by_another_stays_so_when_the_first_is_cancelled() {
    let store = scratch().await;
    make(&store, days(90, 93)).await;
    ask(&store, 1).await;
    walked(&store, 92, RunState::Failed).await;
    assert_eq!(counts(&known(&store, 1).await), (3, 0, 2, 0, 1));
    let other = make(&store, day(92)).await.backfill.id;
    ask(&store, other).await;
    store
        .change_backfill(1, Change::Cancel, "mina", minute(4))
        .await
        .unwrap();
    assert_eq!(asked(&store).await, "92..93");
    let run = begin_walk(&store, 92, Some(other)).await;
    end_walk(&store, run, RunState::Success).await;
    assert_eq!(known(&store, other).await.state, BackfillState::Done);
    assert_eq!(asked(&store).await, "");
    rebuilds(&store).await;
}
