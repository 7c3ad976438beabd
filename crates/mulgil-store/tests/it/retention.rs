//! Runs of flows and ticks are forgotten after a while. What is left is whole: a rebuild derives it, nothing of what
//! stays is another, no tick comes again, and no number is given twice.

use std::collections::{BTreeMap, BTreeSet};

use mulgil_core::{
    backfill::Terms,
    diagnostic::Diagnostic,
    flow::Flow,
    grid::Unit,
    interval::{Instant, Interval, RangeSet},
    name::Instance,
    port::Fault,
    project::Fingerprint,
    run::{RunState, TaskRun, Trigger},
    state::NodeState,
    tick::{Fate, Tick},
    walk::{Stage, StepProgress},
};
use mulgil_store::{
    Begun, DecidedTicks, EndedStep, Forgotten, LedgerPlace, NewBackfill, NewWalk, ScheduleKey, StepStart, Store,
};
use serde_json::json;

use super::support::*;

/// How many runs of each flow stay.
pub(super) const RUNS_KEPT: usize = 10;

pub(super) fn whole(edition: u32) -> Flow {
    Flow {
        fingerprint: Fingerprint::of_text(&format!("tidy {edition}")),
        description: Some(format!("edition {edition}")),
        ..Flow::new("tidy", "flows/tidy.yml")
    }
}

pub(super) fn daily(edition: u32) -> Flow {
    Flow {
        grid: by(Unit::Day),
        fingerprint: Fingerprint::of_text(&format!("sales {edition}")),
        description: Some(format!("edition {edition}")),
        ..Flow::new("sales", "flows/sales.yml")
    }
}

fn with_intervals() -> BTreeSet<String> {
    BTreeSet::from(["sales".to_owned()])
}

pub(super) fn tick(at: Instant, fate: Fate) -> Tick {
    Tick {
        scheduled_at: at,
        first_at: at,
        fate,
    }
}

pub(super) async fn decided(store: &Store, owner: &str, schedule: &str, ticks: Vec<Tick>, now: i64) {
    let of = ScheduleKey {
        owner: owner.to_owned(),
        schedule: schedule.to_owned(),
    };
    let decided = DecidedTicks { of, ticks };
    store.tick(vec![decided], minute(now)).await.unwrap();
}

/// A walk begins, where nothing stands in its way.
pub(super) async fn begun(
    store: &Store,
    flow: &Flow,
    at: Option<Instant>,
    interval: Interval,
    now: i64,
) -> Option<i64> {
    begun_by(store, flow, at, interval, None, now).await
}

pub(super) async fn begun_by(
    store: &Store,
    flow: &Flow,
    scheduled_at: Option<Instant>,
    interval: Interval,
    backfill: Option<i64>,
    now: i64,
) -> Option<i64> {
    let new = NewWalk {
        flow: flow.clone(),
        trigger: Trigger::Schedule,
        scheduled_at,
        interval,
        params: BTreeMap::from([("country".to_owned(), json!("kr"))]),
        backfill,
    };
    match store.begin_walk(new, minute(now)).await.unwrap() {
        Begun::Run(run) => Some(run),
        Begun::Active(_) | Begun::Ran(_) => None,
    }
}

/// One attempt of a step, which says a line, and another step that is passed over.
pub(super) async fn stepped(
    store: &Store,
    run: i64,
    flow: &Flow,
    interval: Interval,
    state: RunState,
    now: i64,
) -> i64 {
    let start = StepStart {
        step: "load".to_owned(),
        progress: StepProgress {
            stage: Stage::Running,
            ..StepProgress::default()
        },
    };
    let began = store
        .begin_steps(run, &flow.name, interval, vec![start], minute(now))
        .await;
    let attempt = began.unwrap()[0];
    store
        .append_log(attempt.0, vec!["said".to_owned()], minute(now))
        .await
        .unwrap();
    let ended = |step: &str, attempt, state| EndedStep {
        step: step.to_owned(),
        attempt,
        state,
        rows: None,
        fault: (state == RunState::Failed).then(|| Diagnostic::error(mulgil_core::codes::RUN_FAILED, "it broke: \0")),
        output: json!({"said": "\0"}),
        progress: StepProgress {
            stage: Stage::Ended { state },
            ..StepProgress::default()
        },
    };
    let ends = vec![
        ended("load", Some(attempt), state),
        ended("report", None, RunState::Skipped),
    ];
    store
        .end_steps(run, &flow.name, interval, ends, minute(now))
        .await
        .unwrap();
    attempt.0
}

pub(super) async fn ended(store: &Store, run: i64, flow: &Flow, state: RunState, now: i64) {
    store
        .end_walk(run, flow, state, minute(now + 5), minute(now))
        .await
        .unwrap();
}

/// A minutely tick of the flow without intervals with its run, all in one minute.
async fn ran(store: &Store, edition: u32, n: i64) -> i64 {
    let flow = whole(edition);
    decided(
        store,
        "flow:tidy",
        "* * * * * UTC",
        vec![tick(minute(n), Fate::Runs)],
        n,
    )
    .await;
    let run = begun(store, &flow, Some(minute(n)), Interval::WHOLE, n).await.unwrap();
    stepped(store, run, &flow, Interval::WHOLE, RunState::Success, n).await;
    ended(store, run, &flow, RunState::Success, n).await;
    run
}

pub(super) async fn forget(store: &Store, before: i64, now: i64) -> Forgotten {
    let forgotten = store.forget_runs(minute(before), with_intervals(), minute(now)).await;
    forgotten.unwrap()
}

pub(super) async fn open_ticks(store: &Store) -> BTreeMap<String, Vec<Instant>> {
    store.open_ticks(vec![("tidy".to_owned(), 1_000)]).await.unwrap()
}

pub(super) async fn rebuilds(store: &Store) {
    let before = store.derived().await.unwrap();
    store.rebuild().await.unwrap();
    assert_eq!(store.derived().await.unwrap(), before);
}

async fn kinds(store: &Store) -> BTreeMap<&'static str, usize> {
    let mut kinds = BTreeMap::new();
    for (_, _, fact) in store.facts().await.unwrap() {
        *kinds.entry(fact.kind()).or_default() += 1;
    }
    kinds
}

#[tokio::test]
async fn what_is_old_goes_with_all_that_was_said_of_it() {
    let store = scratch().await;
    let mut runs = Vec::new();
    for n in 0..130 {
        runs.push(ran(&store, 1, n).await);
    }
    assert_eq!(forget(&store, 0, 130).await, Forgotten::default());
    assert_eq!(forget(&store, 60, 130).await, Forgotten { runs: 60, ticks: 60 });
    rebuilds(&store).await;
    assert_eq!(forget(&store, 1_000, 131).await, Forgotten { runs: 60, ticks: 60 });
    let kept = [
        ("flow_began", 10),
        ("flow_defined", 1),
        ("flow_ended", 10),
        ("steps_began", 10),
        ("steps_ended", 10),
        ("ticked", 10),
    ];
    assert_eq!(kinds(&store).await, BTreeMap::from(kept));
    for (n, run) in (1..).zip(runs) {
        let is_kept = n > 120;
        assert_eq!(store.run(run).await.unwrap().is_some(), is_kept);
        assert_eq!(store.run_facts(run).await.unwrap().len(), if is_kept { 4 } else { 0 });
        assert_eq!(store.log(n).await.unwrap().len(), usize::from(is_kept));
    }
    let walk = store.past_walk(130).await.unwrap();
    assert_eq!(walk.flow, whole(1), "the run that brought it is gone");
    assert!(open_ticks(&store).await.is_empty());
    rebuilds(&store).await;
    assert!(open_ticks(&store).await.is_empty());
}

#[tokio::test]
async fn a_definition_stays_as_long_as_a_run_goes_by_it() {
    let store = scratch().await;
    for n in 0..20 {
        ran(&store, 1, n).await;
    }
    for n in 20..25 {
        ran(&store, 2, n).await;
    }
    let definitions = || async {
        let derived = store.derived().await.unwrap();
        derived.iter().filter(|line| line.starts_with("flow_version ")).count()
    };
    forget(&store, 1_000, 30).await;
    assert_eq!((definitions().await, kinds(&store).await["flow_defined"]), (2, 1));
    assert_eq!(store.past_walk(16).await.unwrap().flow, whole(1));
    assert_eq!(store.past_walk(25).await.unwrap().flow, whole(2));
    rebuilds(&store).await;
    for n in 40..55 {
        ran(&store, 2, n).await;
    }
    forget(&store, 1_000, 60).await;
    // The first one went; of the second one it is the newest fact that holds it.
    assert_eq!((definitions().await, kinds(&store).await["flow_defined"]), (1, 1));
    rebuilds(&store).await;
    for n in 70..85 {
        ran(&store, 3, n).await;
    }
    forget(&store, 1_000, 90).await;
    assert_eq!((definitions().await, kinds(&store).await["flow_defined"]), (1, 1));
    // One that comes back is brought again.
    for n in 100..112 {
        ran(&store, 1, n).await;
    }
    forget(&store, 1_000, 120).await;
    for run in store.runs(100).await.unwrap() {
        assert_eq!(store.past_walk(run.id).await.unwrap().flow, whole(1));
    }
    rebuilds(&store).await;
}

pub(super) async fn state_of_sales(store: &Store) -> Option<NodeState> {
    let flow = daily(1);
    store.flow_states([&flow]).await.unwrap().remove(&flow.instance())
}

#[tokio::test]
async fn what_is_known_of_intervals_outlives_their_runs() {
    let (store, mut failed) = (scratch().await, 0);
    for n in 0..40 {
        let flow = daily(1);
        let run = begun(&store, &flow, None, day(n), n).await.unwrap();
        let state = [
            RunState::Success,
            RunState::Failed,
            RunState::Cancelled,
            RunState::Skipped,
        ][n as usize % 4];
        ended(&store, run, &flow, state, n).await;
        if state == RunState::Failed && n < 20 {
            failed = run;
        }
    }
    let reopened = store.reopen_walk(failed, "mina", minute(50)).await.unwrap();
    ended(&store, failed, &reopened.flow, RunState::Success, 51).await;
    let known = state_of_sales(&store).await;
    assert!(known.as_ref().unwrap().filled.keys().covers(day(17)), "{known:?}");
    // What was begun again ended late.
    assert_eq!(forget(&store, 50, 60).await.runs, 29);
    assert!(store.run(failed).await.unwrap().is_some());
    assert_eq!(state_of_sales(&store).await, known);
    rebuilds(&store).await;
    // Nor had it the newest fact any more.
    assert_eq!(forget(&store, 1_000, 60).await.runs, 1);
    let left = kinds(&store).await["flow_ended"];
    assert_eq!(
        left,
        30 + 1 + 3,
        "30 that leave something, the other end of one, and skipped ones that stay"
    );
    assert_eq!(state_of_sales(&store).await, known);
}

#[tokio::test]
async fn ticks_that_wait_stay_and_those_that_only_told_of_time_go() {
    let store = scratch().await;
    let owners = ["flow:tidy", "flow:sales", "flow:gone", "orders"];
    for n in 0..20 {
        for owner in owners {
            let fate = if n == 3 { Fate::Missed } else { Fate::Runs };
            decided(&store, owner, "* * * * * UTC", vec![tick(minute(n), fate)], n).await;
        }
    }
    let waiting = open_ticks(&store).await;
    assert_eq!(waiting["tidy"].len(), 19);
    let newest = store.newest_ticks().await.unwrap();
    // Of two owners all but the newest, of the others what was missed.
    assert_eq!(
        forget(&store, 15, 30).await,
        Forgotten {
            runs: 0,
            ticks: 15 + 15 + 2
        }
    );
    assert_eq!(forget(&store, 1_000, 30).await.ticks, 4 + 4);
    assert_eq!(open_ticks(&store).await, waiting);
    assert_eq!(store.newest_ticks().await.unwrap(), newest);
    let told = |owner| {
        let ticks = store.ticks(Some(owner), 100);
        async move { ticks.await.unwrap().len() }
    };
    assert_eq!((told("flow:tidy").await, told("orders").await), (19, 1));
    rebuilds(&store).await;
    assert_eq!(open_ticks(&store).await, waiting);
    // Whoever comes with a forgotten one again changes nothing.
    let facts = store.facts().await.unwrap();
    for owner in owners {
        for n in [0, 3, 19] {
            decided(&store, owner, "* * * * * UTC", vec![tick(minute(n), Fate::Runs)], 40).await;
        }
    }
    assert_eq!(store.facts().await.unwrap(), facts);
}

#[tokio::test]
async fn what_one_fact_tells_goes_as_a_whole() {
    let (store, flow) = (scratch().await, whole(1));
    let night: Vec<Tick> = (0..20).map(|n| tick(minute(n), Fate::Runs)).collect();
    decided(&store, "flow:tidy", "* * * * * UTC", night, 20).await;
    decided(&store, "flow:tidy", "@daily UTC", vec![tick(minute(5), Fate::Runs)], 20).await;
    let mut runs = Vec::new();
    for n in 0..20 {
        let run = begun(&store, &flow, Some(minute(n)), Interval::WHOLE, 20 + n)
            .await
            .unwrap();
        let state = if n == 5 { RunState::Success } else { RunState::Failed };
        ended(&store, run, &flow, state, 20 + n).await;
        runs.push(run);
    }
    for n in 100..112 {
        decided(
            &store,
            "flow:tidy",
            "* * * * * UTC",
            vec![tick(minute(n), Fate::Runs)],
            n,
        )
        .await;
        let run = begun(&store, &flow, Some(minute(n)), Interval::WHOLE, n).await.unwrap();
        ended(&store, run, &flow, RunState::Failed, n).await;
    }
    // The newest success is one of twenty that one fact tells of.
    assert_eq!(forget(&store, 90, 200).await, Forgotten::default());
    let run = begun(&store, &flow, None, Interval::WHOLE, 120).await.unwrap();
    ended(&store, run, &flow, RunState::Success, 120).await;
    // The same run was for the newest tick of another schedule.
    assert_eq!(forget(&store, 90, 200).await, Forgotten::default());
    decided(
        &store,
        "flow:tidy",
        "@daily UTC",
        vec![tick(minute(130), Fate::Missed)],
        130,
    )
    .await;
    assert_eq!(forget(&store, 90, 200).await, Forgotten { runs: 20, ticks: 21 });
    assert!(open_ticks(&store).await.is_empty());
    rebuilds(&store).await;
}

#[tokio::test]
async fn the_run_that_is_the_newest_of_anything_stays() {
    let store = scratch().await;
    let (old, flow) = (ran(&store, 1, 0).await, whole(1));
    let quiet = begun(&store, &flow, None, Interval::WHOLE, 1).await.unwrap();
    for n in 2..30 {
        let run = begun(&store, &flow, None, Interval::WHOLE, n).await.unwrap();
        ended(&store, run, &flow, RunState::Success, n).await;
    }
    let missed = vec![tick(minute(35), Fate::Missed)];
    decided(&store, "flow:tidy", "* * * * * UTC", missed, 35).await;
    let attempts = store.last_attempt().await.unwrap();
    forget(&store, 1_000, 40).await;
    let has = |run| {
        let run = store.run(run);
        async move { run.await.unwrap().is_some() }
    };
    assert!(has(old).await, "it has the highest attempt and task run");
    assert!(has(quiet).await, "it goes on");
    assert_eq!(store.last_attempt().await.unwrap(), attempts);
    let task_run = |tasks: &[TaskRun]| tasks.iter().map(|task| task.id).max();
    let highest = task_run(&store.run(old).await.unwrap().unwrap().1);
    let next = stepped(&store, quiet, &flow, Interval::WHOLE, RunState::Success, 50).await;
    assert_eq!(next, attempts + 1);
    assert!(task_run(&store.run(quiet).await.unwrap().unwrap().1) > highest);
    assert_eq!(begin(&store, Vec::new()).await, 31);
    rebuilds(&store).await;
    // Once another has them, it can go.
    forget(&store, 1_000, 60).await;
    assert!(!has(old).await);
    rebuilds(&store).await;
}

#[tokio::test]
async fn runs_of_an_open_backfill_and_those_of_models_stay() {
    let (store, project, flow) = (scratch().await, shop(), daily(1));
    let of_models = begin(&store, Vec::new()).await;
    fill(&store, &project, "flights", days(0, 3), 1, 1).await;
    store.end_run(of_models, RunState::Success, minute(2)).await.unwrap();
    let takes = vec![(flow.instance(), by(Unit::Day), RangeSet::from(days(90, 93)))];
    let terms = Terms {
        parallel: 3,
        ..Terms::new("flow:sales", "mina")
    };
    store
        .make_backfill(
            NewBackfill {
                terms,
                takes: takes.clone(),
            },
            minute(3),
        )
        .await
        .unwrap();
    let slice: Vec<(Instance, RangeSet)> = vec![(flow.instance(), days(90, 93).into())];
    store.ask_backfill(1, slice, minute(3)).await.unwrap();
    let mut asked = Vec::new();
    for n in 90..92 {
        let run = begun_by(&store, &flow, None, day(n), Some(1), 4).await.unwrap();
        ended(&store, run, &flow, RunState::Success, 4).await;
        asked.push(run);
    }
    for n in 0..15 {
        let run = begun(&store, &flow, None, day(n), 5 + n).await.unwrap();
        ended(&store, run, &flow, RunState::Success, 5 + n).await;
    }
    assert_eq!(forget(&store, 1_000, 40).await.runs, 5);
    for run in &asked {
        assert!(store.run(*run).await.unwrap().is_some());
    }
    let run = begun_by(&store, &flow, None, day(92), Some(1), 50).await.unwrap();
    ended(&store, run, &flow, RunState::Success, 50).await;
    let backfill = store.backfill(1).await.unwrap();
    assert!(backfill.as_ref().unwrap().ended_at.is_some());
    assert_eq!(forget(&store, 1_000, 60).await.runs, 3);
    assert_eq!(store.backfill(1).await.unwrap(), backfill);
    assert!(store.run(of_models).await.unwrap().is_some());
    assert_eq!(filled_days(&store, &project, "flights").await, "0..3");
    rebuilds(&store).await;
    assert_eq!(store.backfill(1).await.unwrap(), backfill);
}

/// Names the ledger of which a process that is to be killed forgets, and when it is killed.
const TOLD: &str = "MULGIL_TEST_FORGETS";

/// What a process does that the next test starts, and kills.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "it is told by it what to do")]
async fn a_process_that_is_told_forgets() {
    let Ok(told) = std::env::var(TOLD) else {
        return;
    };
    let (kill, place) = told.split_once(' ').unwrap();
    let store = Store::open(&place_of(place), LEDGER).await.unwrap();
    mulgil_core::crash::arm(mulgil_core::crash::parse(kill).unwrap());
    forget(&store, 1_000, 200).await;
    store.close().await;
}

fn place_of(text: &str) -> LedgerPlace {
    if is_on_server() {
        LedgerPlace::postgres(text, LEDGER).unwrap()
    } else {
        LedgerPlace::folder(text, "dev")
    }
}

#[expect(clippy::disallowed_methods, reason = "what is killed is a process")]
fn forgets_until(kill: &str, place: &str) -> bool {
    let (_, module) = module_path!().split_once("::").unwrap();
    let done = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{module}::a_process_that_is_told_forgets")])
        .env(TOLD, format!("{kill} {place}"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(said.contains("running 1 test"), "{said}");
    done.status.success()
}

#[tokio::test]
async fn a_kill_between_two_requests_leaves_a_whole_ledger() -> Result<(), Fault> {
    let folder = tempfile::tempdir().unwrap();
    let place = if is_on_server() {
        crate::postgres::Server::shared().url(&format!("killed{}", std::process::id()))
    } else {
        folder.path().display().to_string()
    };
    let store = Store::open(&place_of(&place), LEDGER).await?;
    for n in 0..100 {
        let flow = whole(1 + n as u32 / 60);
        decided(
            &store,
            "flow:tidy",
            "* * * * * UTC",
            vec![tick(minute(n), Fate::Runs)],
            n,
        )
        .await;
        let run = begun(&store, &flow, Some(minute(n)), Interval::WHOLE, n).await.unwrap();
        ended(&store, run, &flow, RunState::Success, n).await;
    }
    let mut left = store.runs(1_000).await?.len();
    store.close().await;
    // Before the first commit, after it, and before the one after that; then to the end.
    for (kill, goes) in [("write:1", 0), ("forgotten:1", 25), ("write:2", 25), ("count", 40)] {
        assert_eq!(forgets_until(kill, &place), kill == "count", "{kill}");
        let store = Store::open(&place_of(&place), LEDGER).await?;
        left -= goes;
        let runs = store.runs(1_000).await?;
        assert_eq!(runs.len(), left, "{kill}");
        for run in &runs {
            store.past_walk(run.id).await?;
        }
        assert_eq!(store.ticks(None, 1_000).await?.len(), left);
        assert!(open_ticks(&store).await.is_empty());
        rebuilds(&store).await;
        assert!(open_ticks(&store).await.is_empty());
        store.close().await;
    }
    assert_eq!(left, RUNS_KEPT);
    Ok(())
}
