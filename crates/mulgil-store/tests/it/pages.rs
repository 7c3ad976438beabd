//! What pages read: lists that go on from their last row, in few statements, each along an index.

use std::collections::BTreeMap;

use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    flow::Flow,
    grid::Unit,
    interval::Interval,
    project::Fingerprint,
    run::{RunState, TaskKind, Trigger},
    tick::Fate,
    walk::{Stage, StepProgress},
};
use mulgil_store::{
    Begun, EndedStep, NewWalk, ScheduleKey, StepStart, Store, counted,
    page::{CellsOf, FlowOrder, LOG_LINE_COST, LogFrom, Toward, ledger_text},
};
use serde_json::json;

use super::{
    retention::{decided, tick},
    support::*,
};

fn flow() -> Flow {
    Flow {
        grid: by(Unit::Day),
        fingerprint: Fingerprint::of_text("pages"),
        ..Flow::new("sales", "flows/sales.yml")
    }
}

async fn began(store: &Store, flow: &Flow, interval: Interval, at: i64) -> i64 {
    let new = NewWalk {
        flow: flow.clone(),
        trigger: Trigger::Schedule,
        scheduled_at: None,
        interval,
        params: BTreeMap::from([("country".to_owned(), json!("kr"))]),
        backfill: None,
    };
    match store.begin_walk(new, minute(at)).await.unwrap() {
        Begun::Run(run) => run,
        Begun::Active(run) | Begun::Ran(run) => panic!("run {run} stands in the way"),
    }
}

/// One attempt of a step; gives its number.
async fn tried(store: &Store, run: i64, interval: Interval, step: &str, state: RunState, stage: Stage, at: i64) -> i64 {
    let progress = |stage| StepProgress {
        stage,
        ..StepProgress::default()
    };
    let start = StepStart {
        step: step.to_owned(),
        progress: progress(Stage::Running),
    };
    let began = store
        .begin_steps(run, "sales", interval, vec![start], minute(at))
        .await
        .unwrap();
    let end = EndedStep {
        step: step.to_owned(),
        attempt: Some(began[0]),
        state,
        rows: Some(7),
        fault: (state == RunState::Failed).then(|| Diagnostic::error(codes::RUN_FAILED, "it broke")),
        output: json!({"step": step}),
        progress: progress(stage),
    };
    store
        .end_steps(run, "sales", interval, vec![end], minute(at + 1))
        .await
        .unwrap();
    began[0].0
}

async fn ended(store: &Store, run: i64, flow: &Flow, state: RunState, at: i64) {
    store
        .end_walk(run, flow, state, minute(at + 60), minute(at))
        .await
        .unwrap();
}

/// A run of one step for an interval; gives its number.
pub(super) async fn ran(store: &Store, interval: Interval, state: RunState, at: i64) -> i64 {
    let flow = flow();
    let run = began(store, &flow, interval, at).await;
    tried(store, run, interval, "load", state, Stage::Ended { state }, at).await;
    ended(store, run, &flow, state, at + 2).await;
    run
}

fn ids(runs: &[mulgil_store::page::RunHead]) -> Vec<i64> {
    runs.iter().map(|run| run.id).collect()
}

#[tokio::test]
async fn a_flow_has_its_runs_by_interval_and_by_start_in_either_direction() {
    let store = scratch().await;
    let (ok, bad) = (RunState::Success, RunState::Failed);
    // Days 0 to 5; day 2 failed first and was run again last.
    for (n, (at, state)) in [(0, ok), (1, ok), (2, bad), (3, ok), (4, bad), (5, ok), (2, ok)]
        .iter()
        .enumerate()
    {
        ran(&store, day(*at), *state, n as i64 * 10).await;
    }
    let of = async |order, only, toward, limit| store.flow_runs("sales", order, only, toward, limit).await.unwrap();
    let newest = of(FlowOrder::Interval, None, Toward::Older(i64::MAX), 3).await;
    assert_eq!(ids(&newest.runs), [6, 5, 4]);
    assert_eq!(newest.next, Some(day(3).start.0));
    let older = of(FlowOrder::Interval, None, Toward::Older(day(3).start.0), 3).await;
    assert_eq!(
        (ids(&older.runs), older.next),
        (vec![7, 2, 1], None),
        "of day 2 the newest run"
    );
    let newer = of(FlowOrder::Interval, None, Toward::Newer(day(0).start.0), 3).await;
    assert_eq!((ids(&newer.runs), newer.next), (vec![2, 7, 4], Some(day(3).start.0)));

    let newest = of(FlowOrder::Start, None, Toward::Older(i64::MAX), 5).await;
    assert_eq!((ids(&newest.runs), newest.next), (vec![7, 6, 5, 4, 3], Some(3)));
    let newer = of(FlowOrder::Start, None, Toward::Newer(5), 5).await;
    assert_eq!((ids(&newer.runs), newer.next), (vec![6, 7], None));
    let failed = of(FlowOrder::Start, Some(bad), Toward::Older(i64::MAX), 1).await;
    assert_eq!((ids(&failed.runs), failed.next), (vec![5], Some(5)));
    let failed = of(FlowOrder::Start, Some(bad), Toward::Older(5), 1).await;
    assert_eq!((ids(&failed.runs), failed.next), (vec![3], None));
    let failed = of(FlowOrder::Interval, Some(bad), Toward::Older(i64::MAX), 9).await;
    assert_eq!(ids(&failed.runs), [5], "day 2 was run again since");
    assert_eq!(newest.runs[0].interval, Some(day(2)));
    assert!(
        of(FlowOrder::Start, None, Toward::Older(i64::MAX), 9)
            .await
            .next
            .is_none()
    );
}

#[tokio::test]
async fn the_cells_of_a_grid_are_one_statement() {
    let (store, flow) = (scratch().await, flow());
    let run = began(&store, &flow, day(0), 0).await;
    let retrying = Stage::Retrying { at: minute(9) };
    tried(&store, run, day(0), "load", RunState::Failed, retrying, 0).await;
    tried(
        &store,
        run,
        day(0),
        "load",
        RunState::Success,
        Stage::Ended {
            state: RunState::Success,
        },
        4,
    )
    .await;
    tried(&store, run, day(0), "report", RunState::Failed, retrying, 6).await;
    let other = ran(&store, day(1), RunState::Success, 20).await;
    for of in [CellsOf::All, CellsOf::Steps(&["load", "report"])] {
        let (cells, queries) = counted(store.flow_cells("sales", &[run, other], of, minute(30))).await;
        assert_eq!(queries, 1);
        let told: Vec<(i64, String, RunState, u32, i64)> = cells
            .unwrap()
            .into_iter()
            .map(|cell| {
                (
                    cell.run,
                    cell.step,
                    cell.state,
                    cell.attempts,
                    cell.took_us / 60_000_000,
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                (other, "load".to_owned(), RunState::Success, 1, 1),
                (run, "load".to_owned(), RunState::Success, 2, 2),
                (run, "report".to_owned(), RunState::Waiting, 1, 1),
            ]
        );
    }
    let one = store
        .flow_cells("sales", &[run], CellsOf::Steps(&["report"]), minute(30))
        .await
        .unwrap();
    assert_eq!(one.len(), 1);
    assert!(
        store
            .flow_cells("sales", &[], CellsOf::All, minute(30))
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn lists_of_runs_go_on_from_their_last_row() {
    let store = scratch().await;
    for n in 0..5 {
        let state = if n % 2 == 0 {
            RunState::Success
        } else {
            RunState::Failed
        };
        ran(&store, day(n), state, n * 10).await;
    }
    let models = begin(&store, Vec::new()).await;
    let newest = store.runs_before(None, i64::MAX, 2).await.unwrap();
    assert_eq!(ids(&newest), [models, 5]);
    assert_eq!(
        (newest[0].flow.as_deref(), newest[1].flow.as_deref()),
        (None, Some("sales"))
    );
    let failed = store.runs_before(Some(RunState::Failed), 4, 2).await.unwrap();
    assert_eq!(ids(&failed), [2]);
    let (of, queries) = counted(store.newest_runs_of(&["sales", "nobody"])).await;
    let of = of.unwrap();
    assert_eq!((of.len(), of["sales"].id, queries), (1, 5, 1));
    assert!(store.newest_runs_of(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_newest_tick_of_a_schedule_is_told() {
    let store = scratch().await;
    decided(
        &store,
        "flow:sales",
        "0 5 * * * UTC",
        vec![tick(minute(0), Fate::Runs)],
        0,
    )
    .await;
    decided(
        &store,
        "flow:sales",
        "0 5 * * * UTC",
        vec![tick(minute(9), Fate::Missed)],
        10,
    )
    .await;
    let of = |schedule: &str| ScheduleKey {
        owner: "flow:sales".to_owned(),
        schedule: schedule.to_owned(),
    };
    let newest = store.newest_tick(of("0 5 * * * UTC")).await.unwrap().unwrap();
    assert_eq!((newest.tick.scheduled_at, newest.tick.fate), (minute(9), Fate::Missed));
    assert!(store.newest_tick(of("0 6 * * * UTC")).await.unwrap().is_none());
}

#[tokio::test]
async fn a_runs_tasks_come_with_their_tries_and_the_first_that_failed() {
    let (store, flow) = (scratch().await, flow());
    let run = began(&store, &flow, day(0), 0).await;
    let ok = |step: &'static str, at| {
        let store = &store;
        async move {
            tried(
                store,
                run,
                day(0),
                step,
                RunState::Success,
                Stage::Ended {
                    state: RunState::Success,
                },
                at,
            )
            .await
        }
    };
    for (n, step) in ["a", "b", "c"].into_iter().enumerate() {
        ok(step, n as i64 * 2).await;
    }
    tried(
        &store,
        run,
        day(0),
        "d",
        RunState::Failed,
        Stage::Retrying { at: minute(9) },
        8,
    )
    .await;
    tried(
        &store,
        run,
        day(0),
        "d",
        RunState::Failed,
        Stage::Ended {
            state: RunState::Failed,
        },
        10,
    )
    .await;
    ok("e", 12).await;
    let names = |page: &mulgil_store::page::TaskPage| -> Vec<String> {
        page.tasks.iter().map(|task| task.instance.clone()).collect()
    };
    let first = store.tasks_after(run, 0, 2, true).await.unwrap();
    assert_eq!(names(&first), ["flow:sales/a", "flow:sales/b"]);
    assert!(first.has_more);
    let failed = first.first_failed.unwrap();
    assert_eq!(
        (failed.instance.as_str(), failed.kind),
        ("flow:sales/d", TaskKind::Step)
    );
    let tries: Vec<(u32, RunState, bool)> = failed
        .tries
        .iter()
        .map(|one| (one.number, one.state, one.fault.is_some()))
        .collect();
    assert_eq!(tries, [(1, RunState::Failed, true), (2, RunState::Failed, true)]);
    let exact = store.tasks_after(run, 0, 3, true).await.unwrap();
    assert_eq!(
        exact.first_failed.unwrap().id,
        failed.id,
        "the one that says that there is more"
    );
    let rest = store.tasks_after(run, first.tasks[1].id, 9, true).await.unwrap();
    assert_eq!(names(&rest), ["flow:sales/c", "flow:sales/d", "flow:sales/e"]);
    assert!(!rest.has_more && rest.first_failed.is_none());
    let behind = store.tasks_after(run, rest.tasks[1].id, 9, true).await.unwrap();
    assert_eq!(
        (names(&behind), behind.first_failed.unwrap().id),
        (vec!["flow:sales/e".to_owned()], failed.id)
    );
    assert!(
        store
            .tasks_after(run, 0, 2, false)
            .await
            .unwrap()
            .first_failed
            .is_none()
    );

    let counts = store.task_counts(run, false).await.unwrap();
    assert_eq!(
        counts.by_state,
        BTreeMap::from([(RunState::Success, 4), (RunState::Failed, 1)])
    );
    let with_names = store.task_counts(run, true).await.unwrap();
    assert_eq!((with_names.by_state, with_names.instances.len()), (counts.by_state, 5));

    let page = store.run_page(run).await.unwrap().unwrap();
    assert_eq!(
        (page.head.flow.as_deref(), page.params["country"].as_str()),
        (Some("sales"), Some("kr"))
    );
    assert_eq!(store.flow_version(page.version.unwrap()).await.unwrap(), Some(flow));
    assert!(store.run_page(run + 1).await.unwrap().is_none());

    let facts = store.facts_after(run, 0, 3).await.unwrap();
    assert_eq!(facts.len(), 3);
    let more = store.facts_after(run, facts[2].0, 100).await.unwrap();
    assert_eq!(more.len(), 10);
    assert!(more[0].0 > facts[2].0);
}

#[tokio::test]
async fn a_task_has_its_tries_by_number() {
    let (store, flow) = (scratch().await, flow());
    let run = began(&store, &flow, day(0), 0).await;
    let mut attempts = Vec::new();
    for n in 0..5 {
        let stage = Stage::Retrying { at: minute(50) };
        attempts.push(tried(&store, run, day(0), "load", RunState::Failed, stage, n * 2).await);
    }
    let task = store.tasks_after(run, 0, 1, false).await.unwrap().tasks[0].id;
    let head = store.task_head(run, task).await.unwrap().unwrap();
    assert_eq!(
        (head.instance.as_str(), head.interval),
        ("flow:sales/load", Some(day(0)))
    );
    assert_eq!(head.progress.unwrap().stage, Stage::Retrying { at: minute(50) });
    assert_eq!(head.output, Some(json!({"step": "load"})));
    assert!(
        store.task_head(run + 1, task).await.unwrap().is_none(),
        "of another run"
    );
    let (shown, queries) = counted(store.tries(task, 2, Some(flow.fingerprint), 2)).await;
    let shown = shown.unwrap();
    let numbers: Vec<u32> = shown.tries.iter().map(|(number, _)| *number).collect();
    assert_eq!((numbers, shown.count, queries), (vec![2, 4, 5], 5, 1));
    let asked = shown.asked.unwrap();
    assert_eq!((asked.id, asked.rows), (attempts[1], Some(7)));
    assert!(asked.fault.is_some() && asked.fingerprint.is_none());
    assert_eq!(asked.definition, Some(flow));
    assert!(store.tries(task, 6, None, 2).await.unwrap().asked.is_none());
    assert_eq!(store.attempt_of(run, task, 3).await.unwrap(), Some(attempts[2]));
    assert_eq!(store.attempt_of(run, task, 6).await.unwrap(), None);
    let steps = store.steps_of(run).await.unwrap();
    assert_eq!(steps["load"].rows, Some(7));
}

#[tokio::test]
async fn a_claim_says_with_what_a_table_was_to_be_filled() {
    let (store, project) = (scratch().await, shop());
    let run = begin(&store, Vec::new()).await;
    let of = instance("flights");
    store
        .claim(request(&project, run, &of, day(0)), minute(1))
        .await
        .unwrap();
    let task = store.tasks_after(run, 0, 1, false).await.unwrap().tasks[0].clone();
    assert_eq!(
        (task.instance.as_str(), task.kind, task.range),
        ("flights", TaskKind::Fill, day(0))
    );
    let head = store.task_head(run, task.id).await.unwrap().unwrap();
    assert_eq!((head.flow, head.progress), (None, None));
    let shown = store.tries(task.id, 1, None, 10).await.unwrap();
    assert_eq!(shown.asked.unwrap().fingerprint, Some(code(1)));
}

#[tokio::test]
async fn lines_in_the_ledger_have_the_places_that_a_download_has() {
    let (store, attempt) = (scratch().await, 17);
    let lines = ["sql: select 1", "plain", "세 번째 줄", "sql: from two", "Last WORDS"];
    for (n, line) in lines.iter().enumerate() {
        store
            .append_log(attempt, vec![(*line).to_owned()], minute(n as i64))
            .await
            .unwrap();
    }
    let text = ledger_text(&store.log(attempt).await.unwrap());
    let (all, queries) = counted(store.ledger_log(attempt, LogFrom::Byte(0), 100, 2_000)).await;
    let all = all.unwrap();
    assert_eq!((all.lines.len(), all.bytes, queries), (5, text.len() as u64, 1));
    for (line, said) in all.lines.iter().zip(lines) {
        let placed = &text[line.from as usize..line.next as usize];
        assert_eq!(placed, format!("{:.6} log {said}\n", line.at.to_timestamp()));
        assert_eq!(line.bytes + LOG_LINE_COST, placed.len() as u64);
    }
    let last = store
        .ledger_log(attempt, LogFrom::Before(u64::MAX), 2, 4)
        .await
        .unwrap();
    assert_eq!((last.lines[0].from, last.lines[1].next), (all.lines[3].from, all.bytes));
    assert_eq!(last.lines[0].text, "sql:", "its first letters");
    let before = store
        .ledger_log(attempt, LogFrom::Before(last.lines[0].from), 2, 40)
        .await
        .unwrap();
    assert_eq!(before.lines[..], all.lines[1..3]);
    let behind = store
        .ledger_log(attempt, LogFrom::Byte(all.bytes), 2, 40)
        .await
        .unwrap();
    assert_eq!((behind.lines.len(), behind.bytes), (0, all.bytes));
    let found = store.ledger_search(attempt, 0, "last words", 10, 40).await.unwrap();
    assert_eq!(found.lines[..], all.lines[4..]);
    assert!(
        store
            .ledger_search(attempt, 0, "log", 10, 40)
            .await
            .unwrap()
            .lines
            .is_empty()
    );
    let found = store
        .ledger_search(attempt, all.lines[1].from, "SQL", 10, 40)
        .await
        .unwrap();
    assert_eq!(found.lines[..], all.lines[3..4]);
    let sql = store.lines_behind(attempt, "sql: ", 10).await.unwrap();
    assert_eq!(sql, ["select 1", "from two"]);
    let nothing = store.ledger_log(99, LogFrom::Byte(0), 10, 40).await.unwrap();
    assert_eq!((nothing.lines.len(), nothing.bytes), (0, 0));
}

#[tokio::test]
async fn a_long_log_in_the_ledger_is_paged_to_either_end() {
    let (store, attempt) = (scratch().await, 18);
    let line = |n: usize| format!("{n} {}", "줄".repeat(n % 7));
    store
        .append_log(attempt, (1..=1_100).map(line).collect(), minute(0))
        .await
        .unwrap();
    let text = ledger_text(&store.log(attempt).await.unwrap());
    for size in [1, 7, 500] {
        let (mut before, mut said) = (text.len() as u64, Vec::new());
        while before > 0 && said.len() < 1_100 {
            let page = store
                .ledger_log(attempt, LogFrom::Before(before), size, 100)
                .await
                .unwrap();
            assert_eq!(page.lines.last().unwrap().next, before);
            before = page.lines[0].from;
            said.extend(page.lines.iter().rev().map(|line| line.text.clone()));
            if size == 1 && said.len() > 300 {
                break;
            }
        }
        assert!(said.iter().zip((1..=1_100).rev()).all(|(text, n)| *text == line(n)));
        let (mut from, mut count) = (0, 0);
        while size > 1 && from < text.len() as u64 {
            let page = store.ledger_log(attempt, LogFrom::Byte(from), size, 100).await.unwrap();
            assert_eq!((page.lines[0].from, page.bytes), (from, text.len() as u64));
            for line in &page.lines {
                assert!(text[line.from as usize..line.next as usize].ends_with(&format!(" log {}\n", line.text)));
            }
            count += page.lines.len();
            from = page.lines.last().unwrap().next;
        }
        assert!(size == 1 || count == 1_100, "{count}");
    }
    let found = store.ledger_search(attempt, 0, "99 ", 50, 10).await.unwrap();
    let numbers: Vec<&str> = found
        .lines
        .iter()
        .map(|line| line.text.split(' ').next().unwrap())
        .collect();
    assert_eq!(
        numbers,
        [
            "99", "199", "299", "399", "499", "599", "699", "799", "899", "999", "1099"
        ]
    );
    assert!(
        found
            .lines
            .iter()
            .all(|line| text[line.from as usize..].contains(&line.text))
    );
    let on = store
        .ledger_search(attempt, found.lines[4].next, "99 ", 2, 10)
        .await
        .unwrap();
    assert_eq!(on.lines[..], found.lines[5..7]);
}

#[tokio::test]
async fn what_is_nested_is_counted_by_both() {
    let store = scratch().await;
    let work = async {
        Box::pin(store.runs_before(None, i64::MAX, 1)).await.unwrap();
        counted(Box::pin(store.run_page(1))).await.1
    };
    assert_eq!(counted(work).await, (1, 2));
}
