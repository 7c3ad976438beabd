//! Ticks and walks: each tick has one run, each step one live attempt, and what was recorded is where the
//! next server goes on.

use std::collections::BTreeMap;

use mulgil_core::{
    codes,
    cron::Cron,
    diagnostic::Place,
    flow::{Class, DueRun, Flow, Step, StepKind, Template},
    grid::{Grid, Unit, Zone},
    interval::{Instant, Interval, RangeSet},
    name::Instance,
    project::Fingerprint,
    run::{RunState, TaskKind, Trigger},
    schedule::Schedule,
    state::NodeState,
    tick::{Fate, Tick},
    walk::{Stage, StepProgress},
};
use mulgil_store::{
    Begun, DecidedTicks, EndedStep, NewRun, NewWalk, ScheduleKey, StepStart, Store,
    fact::{Fact, Ticked},
};
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

fn flow(grid: Grid) -> Flow {
    Flow {
        schedule: Some(Schedule {
            cron: Cron::parse("0 5 * * *").unwrap(),
            zone: Zone::UTC,
        }),
        grid,
        steps: vec![step("load", &[]), step("report", &["load"])],
        fingerprint: Fingerprint::of_text("sales 1"),
        ..Flow::new("sales", "flows/sales.yml")
    }
}

fn whole() -> Flow {
    flow(Grid::whole(Zone::UTC))
}

/// From day 95 on.
fn daily() -> Flow {
    let begin = Some(day(95).start);
    flow(Grid { begin, ..by(Unit::Day) })
}

fn walk(flow: &Flow, scheduled_at: Option<Instant>, interval: Interval) -> NewWalk {
    NewWalk {
        flow: flow.clone(),
        trigger: Trigger::Schedule,
        scheduled_at,
        interval,
        params: BTreeMap::from([("country".to_owned(), json!("kr"))]),
        backfill: None,
    }
}

fn runs(at: Instant) -> Tick {
    Tick {
        scheduled_at: at,
        first_at: at,
        fate: Fate::Runs,
    }
}

fn decided(ticks: Vec<Tick>) -> DecidedTicks {
    let of = ScheduleKey {
        owner: "flow:sales".to_owned(),
        schedule: "0 5 * * * UTC".to_owned(),
    };
    DecidedTicks { of, ticks }
}

fn start(step: &str) -> StepStart {
    let progress = StepProgress {
        stage: Stage::Running,
        ..StepProgress::default()
    };
    StepStart {
        step: step.to_owned(),
        progress,
    }
}

fn end(step: &str, attempt: Option<(i64, i64)>, state: RunState) -> EndedStep {
    EndedStep {
        step: step.to_owned(),
        attempt,
        state,
        rows: Some(3),
        fault: None,
        output: json!({"rows": 3}),
        progress: StepProgress {
            stage: Stage::Ended { state },
            ..StepProgress::default()
        },
    }
}

async fn state(store: &Store, flow: &Flow) -> NodeState {
    let mut states = store.flow_states(std::slice::from_ref(flow)).await.unwrap();
    states.remove(&flow.instance()).unwrap_or_default()
}

fn begun(begun: Begun) -> i64 {
    match begun {
        Begun::Run(run) => run,
        Begun::Active(run) | Begun::Ran(run) => panic!("run {run} stands in the way"),
    }
}

#[tokio::test]
async fn a_tick_has_one_run_whoever_comes_with_it_again() {
    let (store, flow) = (scratch().await, whole());
    let at = minute(0);
    for _ in 0..2 {
        store.tick(vec![decided(vec![runs(at)])], minute(0)).await.unwrap();
    }
    let of = decided(Vec::new()).of;
    assert_eq!(store.newest_ticks().await.unwrap(), BTreeMap::from([(of, at)]));
    let open = || store.open_ticks(vec![("sales".to_owned(), 10), ("other".to_owned(), 10)]);
    assert_eq!(open().await.unwrap(), BTreeMap::from([("sales".to_owned(), vec![at])]));
    let first = store
        .begin_walk(walk(&flow, Some(at), Interval::WHOLE), minute(0))
        .await
        .unwrap();
    assert_eq!(first, Begun::Run(1));
    assert!(open().await.unwrap().is_empty());
    let again = store
        .begin_walk(walk(&flow, Some(at), Interval::WHOLE), minute(1))
        .await
        .unwrap();
    assert_eq!(again, Begun::Ran(1));
    store
        .end_walk(1, &flow, RunState::Success, minute(9), minute(2))
        .await
        .unwrap();
    let later = store
        .begin_walk(walk(&flow, Some(at), Interval::WHOLE), minute(3))
        .await
        .unwrap();
    assert_eq!(later, Begun::Ran(1));
    let fault = store
        .end_walk(1, &flow, RunState::Failed, minute(9), minute(4))
        .await
        .unwrap_err();
    assert_eq!(fault.code, codes::CLAIM_STALE);
}

#[tokio::test]
async fn many_schedules_that_tick_at_once_are_a_fact_each_in_their_order() {
    let store = scratch().await;
    let of = |index: usize| ScheduleKey {
        owner: format!("flow:f{index:03}"),
        schedule: "0 5 * * * UTC".to_owned(),
    };
    let missed = Tick {
        scheduled_at: minute(1),
        first_at: minute(-50),
        fate: Fate::Coalesced { into: minute(2) },
    };
    // More than one statement takes; of some nothing is told, of some several ticks.
    let all = (0..200).map(|index| DecidedTicks {
        of: of(index),
        ticks: vec![runs(minute(0)), missed, runs(minute(2))][..index % 4].to_vec(),
    });
    let all: Vec<DecidedTicks> = all.collect();
    let alone = vec![decided(vec![runs(minute(0))])];
    store.tick(alone.clone(), minute(0)).await.unwrap();
    store.tick(all.clone(), minute(2)).await.unwrap();
    // Who comes with them again changes nothing of them.
    let again = all.iter().cloned().map(|mut again| {
        again.ticks.iter_mut().for_each(|tick| tick.fate = Fate::Missed);
        again
    });
    store.tick(again.collect(), minute(3)).await.unwrap();

    let told = all.iter().filter(|one| !one.ticks.is_empty()).cloned();
    let wanted = alone.into_iter().chain(told);
    let wanted: Vec<(i64, DecidedTicks)> = (1..).zip(wanted).collect();
    let facts = store.facts().await.unwrap().into_iter().map(|(seq, _, fact)| {
        let Fact::Ticked(Ticked { owner, schedule, ticks }) = fact else {
            panic!("nothing else happened");
        };
        let of = ScheduleKey { owner, schedule };
        (seq, DecidedTicks { of, ticks })
    });
    assert_eq!(facts.collect::<Vec<_>>(), wanted);
    let rows = store.ticks(None, 1_000).await.unwrap();
    assert_eq!(rows.len(), 1 + all.iter().map(|one| one.ticks.len()).sum::<usize>());
    assert!(
        rows.iter()
            .all(|row| row.tick.fate != Fate::Missed && row.decided_at < minute(3))
    );
    let newest = store.newest_ticks().await.unwrap();
    assert_eq!([newest.get(&of(0)), newest.get(&of(3))], [None, Some(&minute(2))]);
    let before = store.derived().await.unwrap();
    store.rebuild().await.unwrap();
    assert_eq!(store.derived().await.unwrap(), before);
}

#[tokio::test]
async fn what_is_known_of_a_flow_does_not_hang_on_how_many_are_asked_for() {
    let (store, flow) = (scratch().await, daily());
    let run = begun(store.begin_walk(walk(&flow, None, day(90)), minute(0)).await.unwrap());
    let ended = store.end_walk(run, &flow, RunState::Success, minute(9), minute(1));
    ended.await.unwrap();
    let others = (0..2_000).map(|index| Flow {
        name: format!("other_{index}"),
        ..flow.clone()
    });
    let all: Vec<Flow> = others.chain([flow.clone()]).collect();
    let few = store.flow_states([&flow]).await.unwrap();
    assert_eq!(few.len(), 1);
    assert_eq!(store.flow_states(&all).await.unwrap(), few);
    assert!(store.flow_states(&all[..2_000]).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_interval_has_one_run_at_a_time_and_is_filled_when_it_succeeds() {
    let (store, flow) = (scratch().await, daily());
    let first = begun(store.begin_walk(walk(&flow, None, day(97)), minute(0)).await.unwrap());
    let second = store.begin_walk(walk(&flow, None, day(97)), minute(0)).await.unwrap();
    assert_eq!(second, Begun::Active(first));
    begun(store.begin_walk(walk(&flow, None, day(98)), minute(0)).await.unwrap());
    assert_eq!(
        store.active_intervals().await.unwrap()["sales"],
        RangeSet::from(days(97, 99))
    );
    store
        .end_walk(first, &flow, RunState::Success, minute(9), minute(2))
        .await
        .unwrap();
    assert_eq!(in_days(&state(&store, &flow).await.filled.keys()), "97..98");
    assert_eq!(
        store.active_intervals().await.unwrap()["sales"],
        RangeSet::from(day(98))
    );
    assert_eq!(store.state_before("sales", 9).await.unwrap(), Some(RunState::Success));
}

#[tokio::test]
async fn only_the_live_attempt_of_a_step_says_how_it_ended() {
    let (store, flow) = (scratch().await, whole());
    let run = begun(
        store
            .begin_walk(walk(&flow, None, Interval::WHOLE), minute(0))
            .await
            .unwrap(),
    );
    let first = store
        .begin_steps(run, "sales", Interval::WHOLE, vec![start("load")], minute(1))
        .await
        .unwrap()[0];
    let stranger = (first.0, first.1 + 1);
    for (attempt, fenced) in [(stranger, vec![first.0]), (first, vec![]), (first, vec![first.0])] {
        let said = vec![end("load", Some(attempt), RunState::Success)];
        let told = store
            .end_steps(run, "sales", Interval::WHOLE, said, minute(2))
            .await
            .unwrap();
        assert_eq!(told, fenced);
    }
    // What is passed over has a task run, and no attempt.
    let said = vec![end("report", None, RunState::Skipped)];
    store
        .end_steps(run, "sales", Interval::WHOLE, said, minute(3))
        .await
        .unwrap();
    store
        .end_walk(run, &flow, RunState::Success, minute(9), minute(4))
        .await
        .unwrap();
    let (told, task_runs) = store.run(run).await.unwrap().unwrap();
    assert_eq!((told.selector.as_str(), told.state), ("flow:sales", RunState::Success));
    let told: Vec<_> = task_runs
        .iter()
        .map(|task| (task.instance.to_string(), task.kind, task.state, task.attempts.len()))
        .collect();
    assert_eq!(
        told,
        [
            ("flow:sales/load".to_owned(), TaskKind::Step, RunState::Success, 1),
            ("flow:sales/report".to_owned(), TaskKind::Step, RunState::Skipped, 0),
        ]
    );
    let late = store
        .begin_steps(run, "sales", Interval::WHOLE, vec![start("load")], minute(5))
        .await;
    assert_eq!(late.unwrap_err().code, codes::CLAIM_STALE);
}

#[tokio::test]
async fn the_next_server_goes_on_where_the_last_one_stopped() {
    let (store, flow) = (scratch().await, whole());
    let run = begun(
        store
            .begin_walk(walk(&flow, Some(minute(0)), Interval::WHOLE), minute(0))
            .await
            .unwrap(),
    );
    let load = store
        .begin_steps(run, "sales", Interval::WHOLE, vec![start("load")], minute(1))
        .await
        .unwrap()[0];
    let said = vec![end("load", Some(load), RunState::Success)];
    store
        .end_steps(run, "sales", Interval::WHOLE, said, minute(2))
        .await
        .unwrap();
    let report = store
        .begin_steps(run, "sales", Interval::WHOLE, vec![start("report")], minute(3))
        .await
        .unwrap()[0];
    // A `run` beside it ends what killed ones left; walks are not its business.
    begin(&store, Vec::new()).await;
    assert_eq!(store.crash_live(minute(4)).await.unwrap(), 0);
    assert!(store.cancel_walk(run, "mina", minute(5)).await.unwrap());
    assert!(!store.cancel_walk(run, "mina", minute(5)).await.unwrap());
    let open = store.open_walks().await.unwrap();
    assert_eq!(open.len(), 1);
    let open = &open[0];
    assert_eq!((open.walk.run, &open.flow), (run, &flow));
    assert_eq!((open.scheduled_at, open.started_at), (Some(minute(0)), minute(0)));
    assert_eq!(open.params["country"], json!("kr"));
    assert_eq!(open.outputs, BTreeMap::from([("load".to_owned(), json!({"rows": 3}))]));
    assert_eq!(open.walk.ended("load"), Some(RunState::Success));
    assert!(open.walk.is_cancelled);
    let live: Vec<_> = open
        .live
        .iter()
        .map(|live| (live.step.as_str(), live.attempt, live.epoch))
        .collect();
    assert_eq!(live, [("report", report.0, report.1)]);
}

#[tokio::test]
async fn a_walk_goes_by_the_definition_that_it_began_with() {
    let (store, flow) = (scratch().await, whole());
    begun(
        store
            .begin_walk(walk(&flow, None, Interval::WHOLE), minute(0))
            .await
            .unwrap(),
    );
    let mut edited = flow.clone();
    edited.fingerprint = Fingerprint::of_text("sales 2");
    edited.steps.truncate(1);
    begun(
        store
            .begin_walk(walk(&edited, None, Interval::WHOLE), minute(1))
            .await
            .unwrap(),
    );
    begun(
        store
            .begin_walk(walk(&flow, None, Interval::WHOLE), minute(2))
            .await
            .unwrap(),
    );
    let steps: Vec<_> = store
        .open_walks()
        .await
        .unwrap()
        .iter()
        .map(|open| open.flow.steps.len())
        .collect();
    assert_eq!(steps, [2, 1, 2]);
}

fn due(flow: &Flow, state: &NodeState, active: &RangeSet, now: Instant) -> Vec<(String, Class)> {
    let told = |run: DueRun| (in_days(&run.interval.into()), run.class);
    flow.due(state, active, &[], now, 5).into_iter().map(told).collect()
}

#[tokio::test]
async fn what_is_due_of_a_flow_is_what_is_wanted_and_not_filled() {
    let (store, mut flow) = (scratch().await, daily());
    // The tick of day 100 wants all days up to the 99th.
    let now = Instant(day(100).start.0 + 6 * 3_600_000_000);
    let days_of = |class, days: &[&str]| days.iter().map(|day| ((*day).to_owned(), class)).collect::<Vec<_>>();
    let expected = [
        days_of(Class::Scheduled, &["99..100"]),
        days_of(Class::Healing, &["95..96", "96..97", "97..98", "98..99"]),
    ]
    .concat();
    assert_eq!(due(&flow, &state(&store, &flow).await, &RangeSet::new(), now), expected);
    for n in [95, 96, 98, 99] {
        let run = begun(store.begin_walk(walk(&flow, None, day(n)), now).await.unwrap());
        let how = if n == 98 { RunState::Failed } else { RunState::Success };
        store.end_walk(run, &flow, how, minute(60 * 24), now).await.unwrap();
    }
    // The failed one waits for its next try; what is active is not due a second time.
    let known = state(&store, &flow).await;
    assert_eq!(
        due(&flow, &known, &RangeSet::new(), now),
        days_of(Class::Healing, &["97..98"])
    );
    assert!(due(&flow, &known, &RangeSet::from(day(97)), now).is_empty());
    // The next tick makes the new day due, those that are looked back at, and what failed.
    flow.lookback = 1;
    let now = Instant(day(101).start.0 + 6 * 3_600_000_000);
    let expected = [
        days_of(Class::Scheduled, &["99..100", "100..101"]),
        days_of(Class::Healing, &["97..98", "98..99"]),
    ]
    .concat();
    assert_eq!(due(&flow, &known, &RangeSet::new(), now), expected);
}

#[tokio::test]
async fn what_a_person_asks_for_is_due_until_it_was_tried() {
    let (store, flow) = (scratch().await, daily());
    let now = Instant(day(100).start.0 + 6 * 3_600_000_000);
    for n in 95..100 {
        let run = begun(store.begin_walk(walk(&flow, None, day(n)), now).await.unwrap());
        store.end_walk(run, &flow, RunState::Success, now, now).await.unwrap();
    }
    let asked = NewRun {
        trigger: Trigger::Backfill,
        selector: "flow:sales".to_owned(),
        manual: vec![(Instance::of("flow:sales".into()), RangeSet::from(days(96, 98)))],
        again: Vec::new(),
        named: Vec::new(),
        backfill: None,
    };
    let asking = store.begin_run(asked, now).await.unwrap();
    store.end_run(asking.id, RunState::Success, now).await.unwrap();
    let known = state(&store, &flow).await;
    let expected = [
        ("96..97".to_owned(), Class::Backfill),
        ("97..98".to_owned(), Class::Backfill),
    ];
    assert_eq!(due(&flow, &known, &RangeSet::new(), now), expected);
    for (n, how) in [(96, RunState::Success), (97, RunState::Failed)] {
        let run = begun(store.begin_walk(walk(&flow, None, day(n)), now).await.unwrap());
        store.end_walk(run, &flow, how, now, now).await.unwrap();
    }
    assert!(due(&flow, &state(&store, &flow).await, &RangeSet::new(), now).is_empty());
}

#[tokio::test]
async fn three_failures_in_a_row_hold_an_interval() {
    let (store, flow) = (scratch().await, daily());
    let now = Instant(day(96).start.0 + 6 * 3_600_000_000);
    for _ in 0..3 {
        assert_eq!(due(&flow, &state(&store, &flow).await, &RangeSet::new(), now).len(), 1);
        let run = begun(store.begin_walk(walk(&flow, None, day(95)), now).await.unwrap());
        store.end_walk(run, &flow, RunState::Failed, now, now).await.unwrap();
    }
    assert!(due(&flow, &state(&store, &flow).await, &RangeSet::new(), now).is_empty());
}

#[tokio::test]
async fn all_of_it_can_be_made_anew_from_the_facts() {
    let store = scratch().await;
    let (whole, mut daily) = (whole(), daily());
    daily.name = "visits".to_owned();
    let missed = Tick {
        scheduled_at: minute(0),
        first_at: minute(-50),
        fate: Fate::Coalesced { into: minute(1) },
    };
    store
        .tick(vec![decided(vec![missed, runs(minute(1))])], minute(1))
        .await
        .unwrap();
    let run = begun(
        store
            .begin_walk(walk(&whole, Some(minute(1)), Interval::WHOLE), minute(1))
            .await
            .unwrap(),
    );
    let load = store
        .begin_steps(run, "sales", Interval::WHOLE, vec![start("load")], minute(2))
        .await
        .unwrap()[0];
    let mut lost = end("load", Some(load), RunState::Crashed);
    lost.progress.stage = Stage::Retrying { at: minute(3) };
    let said = vec![lost, end("report", None, RunState::Skipped)];
    store
        .end_steps(run, "sales", Interval::WHOLE, said, minute(2))
        .await
        .unwrap();
    store
        .begin_steps(run, "sales", Interval::WHOLE, vec![start("load")], minute(3))
        .await
        .unwrap();
    store.cancel_walk(run, "mina", minute(4)).await.unwrap();
    for (n, how) in [
        (95, RunState::Success),
        (96, RunState::Failed),
        (97, RunState::Cancelled),
    ] {
        let run = begun(store.begin_walk(walk(&daily, None, day(n)), minute(5)).await.unwrap());
        store.end_walk(run, &daily, how, minute(9), minute(6)).await.unwrap();
    }
    let before = store.derived().await.unwrap();
    store.rebuild().await.unwrap();
    assert_eq!(store.derived().await.unwrap(), before);
    assert!(
        before
            .iter()
            .any(|line| line.starts_with("tick ") && line.contains("coalesced"))
    );
    assert!(
        before
            .iter()
            .any(|line| line.starts_with("flow_step ") && line.contains("\"running\""))
    );
}
