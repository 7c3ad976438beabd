//! Runs as a gallery shows them: one that failed, one that goes on, one of many models, one full of hostile names.

use mulgil_core::{
    diagnostic::{Code, Diagnostic, Place},
    due::Reason,
    interval::Instant,
    run::{RunState, TaskKind, Trigger},
};
use mulgil_web::{
    look::Look,
    page,
    view::{
        Fix, Here, Link, Mark, Paging,
        run::{Event, Run, Tab, Task, Try},
    },
};

use super::{
    flow::Random,
    world::{Shown, day, now, shown},
};

const SECOND: i64 = 1_000_000;

/// The pages: each run in each of its parts.
pub(crate) fn pages(look: &Look) -> Vec<Shown> {
    let mut pages = Vec::new();
    for tab in [Tab::Graph, Tab::Gantt, Tab::List, Tab::Events] {
        let word = page::word(tab);
        for (name, view) in [
            ("run", failed(tab)),
            ("run-running", running(tab)),
            ("run-models", models(tab)),
            ("run-hostile", hostile(tab)),
        ] {
            let address = format!("/runs/{}?tab={word}", view.id);
            pages.push(shown(&format!("{name}-{word}"), &address, look, |frame| {
                page::run(frame, &view)
            }));
        }
    }
    pages
}

/// When the run began: two hours ago, at its tick.
fn began() -> i64 {
    now().0 - 7_272 * SECOND
}

/// The fault of the run that failed.
pub(crate) fn refused() -> Diagnostic {
    Diagnostic::error(Code(2003), "cannot reach `billing` (db2:5432): connection refused")
        .at(Place::at("mulgil.yml", 14, 5))
        .with_remedy("look whether the database runs and lets this machine in: mulgil connections test billing")
}

/// A run that failed.
pub(crate) fn failed(tab: Tab) -> Run {
    let ok = |seconds| vec![(RunState::Success, seconds)];
    let tasks = vec![
        task(
            0,
            "extract_events",
            "sql",
            Mark::Run(RunState::Success),
            (0, 1),
            ok(44),
            &[],
        ),
        task(
            1,
            "extract_orders",
            "sql",
            Mark::Run(RunState::Success),
            (0, 2),
            vec![(RunState::Failed, 12), (RunState::Success, 31)],
            &[],
        ),
        task(
            2,
            "extract_billing",
            "sql",
            Mark::Run(RunState::Failed),
            (0, 2),
            vec![(RunState::Failed, 12), (RunState::Failed, 12), (RunState::Failed, 13)],
            &[],
        ),
        task(3, "load", "sql", Mark::Run(RunState::Success), (78, 9), ok(58), &[0, 1]),
        task(
            4,
            "sales",
            "models",
            Mark::Run(RunState::Success),
            (145, 1),
            ok(36),
            &[3],
        ),
        task(
            5,
            "정산_보고서",
            "python",
            Mark::Run(RunState::UpstreamFailed),
            (0, 0),
            vec![],
            &[2, 4],
        ),
        task(
            6,
            "export_to_sheets",
            "command",
            Mark::Run(RunState::UpstreamFailed),
            (0, 0),
            vec![],
            &[5],
        ),
        task(
            7,
            "notify",
            "command",
            Mark::Run(RunState::Success),
            (182, 0),
            ok(1),
            &[0, 4],
        ),
    ];
    Run {
        id: 1_022,
        flow: Some(Link {
            text: "daily_sales".into(),
            href: Some("/flows/daily_sales".into()),
        }),
        selector: String::new(),
        trigger: Trigger::Schedule,
        scheduled_at: Some(Instant(began())),
        backfill: None,
        interval: Some(day(1)),
        state: RunState::Failed,
        started_at: Instant(began()),
        ended_at: Some(Instant(began() + 190 * SECOND)),
        fault: Some((
            Link {
                text: "extract_billing".into(),
                href: Some("/runs/1022/tasks/7156/attempts/3".into()),
            },
            Box::new(refused()),
        )),
        params: vec![("country".into(), "\"kr\"".into())],
        version: Some("9f3c1a7e".into()),
        tab,
        counts: vec![
            (Mark::Run(RunState::Success), 5),
            (Mark::Run(RunState::Failed), 1),
            (Mark::Run(RunState::UpstreamFailed), 2),
        ],
        tasks,
        tasks_paging: Paging::default(),
        events: events(),
        events_paging: Paging::default(),
        cancel_href: None,
        commands: vec![
            Fix {
                command: "mulgil runs retry 1022".into(),
                here: None,
            },
            Fix {
                command: "mulgil logs 1022 extract_billing".into(),
                here: None,
            },
        ],
    }
}

/// A run that goes on.
pub(crate) fn running(tab: Tab) -> Run {
    let mut run = failed(tab);
    let since = |seconds: i64| Instant(now().0 - seconds * SECOND);
    (run.id, run.state, run.started_at, run.ended_at, run.fault) = (1_025, RunState::Running, since(130), None, None);
    run.scheduled_at = Some(since(130));
    run.interval = Some(day(0));
    run.cancel_href = Some("/runs/1025/cancel".into());
    run.commands = vec![Fix {
        command: "mulgil runs cancel 1025".into(),
        here: Some(Here::Form("/runs/1025/cancel".into())),
    }];
    for task in &mut run.tasks {
        for one in &mut task.attempts {
            one.started_at = Instant(one.started_at.0 - began() + run.started_at.0);
            one.ended_at = one.ended_at.map(|at| Instant(at.0 - began() + run.started_at.0));
        }
        task.ready_at = task.ready_at.map(|at| Instant(at.0 - began() + run.started_at.0));
    }
    let tasks = &mut run.tasks;
    tasks[2].mark = Mark::Retrying;
    tasks[2].fault = None;
    tasks[3].mark = Mark::Run(RunState::Running);
    tasks[3].attempts[0].ended_at = None;
    tasks[3].attempts[0].state = RunState::Running;
    for task in [4, 5, 6, 7] {
        tasks[task].mark = Mark::Run(RunState::Planned);
        tasks[task].attempts.clear();
        tasks[task].ready_at = None;
        tasks[task].rows = None;
    }
    tasks[7].mark = Mark::Run(RunState::Queued);
    tasks[7].ready_at = Some(since(20));
    run.counts = vec![
        (Mark::Run(RunState::Success), 2),
        (Mark::Run(RunState::Running), 1),
        (Mark::Retrying, 1),
        (Mark::Run(RunState::Queued), 1),
        (Mark::Run(RunState::Planned), 3),
    ];
    run
}

/// A run of models, more than a graph draws.
pub(crate) fn models(tab: Tab) -> Run {
    let mut random = Random(3);
    let named = |at: usize| {
        format!(
            "{}_{}_{at}",
            ["stg", "int", "fct", "dim", "mart"][at / 40],
            ["orders", "reads", "users", "payments_by_country_and_method"][at % 4]
        )
    };
    let tasks = (0..180_usize).map(|at| {
        let needs: Vec<_> = if at < 24 {
            Vec::new()
        } else {
            (0..=random.below(3))
                .map(|_| (at - 24 + random.below(20) as usize).min(at - 1))
                .collect()
        };
        let start = (at / 6) as i64 * 9;
        let mut task = task(
            at,
            &named(at),
            "models",
            Mark::Run(RunState::Success),
            (start, at as i64 % 4),
            vec![(RunState::Success, 2 + random.below(9) as i64)],
            &needs,
        );
        (task.step, task.kind, task.interval, task.reason) = (
            None,
            TaskKind::Fill,
            Some(day(at as i64 % 5 + 1)),
            Some(Reason::Lookback),
        );
        task.rows = Some(random.below(9_000_000));
        if at % 12 == 11 {
            // What the fill before it wrote is tested.
            (task.name, task.kind, task.interval) = (named(at - 1), TaskKind::Test, None);
            (task.reason, task.rows, task.needs) = (None, None, vec![at - 1]);
        }
        task
    });
    let tasks: Vec<_> = tasks.collect();
    Run {
        id: 880,
        flow: None,
        selector: "tag:daily+".into(),
        trigger: Trigger::Manual,
        scheduled_at: None,
        interval: None,
        state: RunState::Success,
        ended_at: Some(Instant(began() + 290 * SECOND)),
        fault: None,
        params: Vec::new(),
        counts: vec![(Mark::Run(RunState::Success), 180)],
        tasks,
        ..failed(tab)
    }
}

/// Names and texts that want to be something else.
pub(crate) fn hostile(tab: Tab) -> Run {
    let evil = "</text><script>alert(1)</script>\u{202e}live\u{202c} \"'&".repeat(200);
    let mut run = failed(tab);
    run.id = 1_023;
    run.selector.clone_from(&evil);
    run.params = vec![(evil.clone(), evil.clone())];
    run.version = Some(evil.clone());
    for task in &mut run.tasks {
        task.name.clone_from(&evil);
        task.href = Some("javascript:alert(1)".into());
        task.needs.push(usize::MAX);
    }
    for event in &mut run.events {
        (event.kind, event.detail) = (evil.clone(), evil.clone());
    }
    run.flow = Some(Link {
        text: evil,
        href: Some("javascript:alert(1)".into()),
    });
    run
}

/// A step whose tries follow each other, after so many seconds and so much waiting.
fn task(
    at: usize,
    name: &str,
    kind: &'static str,
    mark: Mark,
    (ready, waited): (i64, i64),
    tries: Vec<(RunState, i64)>,
    needs: &[usize],
) -> Task {
    let id = 1_022 * 7 + at as i64;
    let mut from = ready + waited;
    let attempts: Vec<_> = (tries.iter().enumerate())
        .map(|(number, &(state, seconds))| {
            let started_at = Instant(began() + from * SECOND + 137_000);
            from += seconds + 10;
            let ended_at = Some(Instant(started_at.0 + seconds * SECOND - 260_000));
            Try {
                state,
                started_at,
                ended_at,
                href: format!("/runs/1022/tasks/{id}/attempts/{}", number + 1),
            }
        })
        .collect();
    Task {
        id: (!attempts.is_empty()).then_some(id),
        name: name.into(),
        kind: TaskKind::Step,
        step: Some(kind),
        interval: None,
        reason: None,
        mark,
        ready_at: (!attempts.is_empty()).then_some(Instant(began() + ready * SECOND)),
        rows: (mark == Mark::Run(RunState::Success) && kind == "sql").then_some(41_220),
        fault: (mark == Mark::Run(RunState::Failed)).then(|| Box::new(refused())),
        href: attempts.last().map(|last| last.href.clone()),
        attempts,
        needs: needs.to_vec(),
    }
}

fn events() -> Vec<Event> {
    let event = |seq: i64, seconds: i64, kind: &str, subject: Option<&str>, detail: &str| Event {
        seq,
        at: Instant(began() + seconds * SECOND),
        kind: kind.into(),
        subject: subject.map(|name| Link {
            text: name.into(),
            href: Some("/runs/1022?tab=list".into()),
        }),
        detail: detail.into(),
    };
    vec![
        event(90_211, 0, "run_began", None, "schedule 0 5 * * *"),
        event(90_212, 0, "step_ready", Some("extract_events"), ""),
        event(90_213, 1, "claimed", Some("extract_events"), "slot 1 of 4"),
        event(90_214, 2, "claimed", Some("extract_billing"), "slot 3 of 4"),
        event(
            90_219,
            14,
            "attempt_failed",
            Some("extract_billing"),
            "MG2003 connection refused; again in 10 s",
        ),
        event(
            90_228,
            60,
            "attempt_failed",
            Some("extract_billing"),
            "MG2003 connection refused; no more tries",
        ),
        event(90_240, 190, "run_ended", None, "failed"),
    ]
}
