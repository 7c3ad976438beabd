//! Flows as a gallery shows them: a busy one, one without runs, one full of hostile names, the largest there is.

use std::time::Duration;

use mulgil_core::{
    flow::{After, By},
    interval::Instant,
    run::RunState,
};
use mulgil_web::{
    look::Look,
    page,
    view::{
        Fix, Here, Link, Mark, Paging,
        flow::{Cell, Column, Flow, Order, ROWS_SHOWN, RUNS_SHOWN, Row, Schedule, TickFate},
    },
};

use super::world::{Shown, day, now, shown};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// The pages.
pub(crate) fn pages(look: &Look) -> Vec<Shown> {
    let shown = |name: &str, address: &str, view: Flow| shown(name, address, look, |frame| page::flow(frame, &view));
    vec![
        shown("flow", "/flows/daily_sales", daily()),
        shown("flow-empty", "/flows/new", new()),
        shown("flow-largest", "/flows/largest", largest()),
        shown("flow-hostile", "/flows/hostile", hostile()),
    ]
}

/// 2026-11-21 00:00 in Seoul.
fn midnight() -> i64 {
    now().0 - (7 * 3_600 + 72) * SECOND
}

/// The flow that most teams have: nightly, with a failure, a hole, tries and one run that goes on.
pub(crate) fn daily() -> Flow {
    let steps = [
        "extract_events",
        "extract_orders",
        "load",
        "sales",
        "report",
        "export_to_sheets",
        "notify",
    ];
    let columns: Vec<_> = (0..RUNS_SHOWN as i64)
        .rev()
        .map(|before| column(before, seven_marks(before)[2]))
        .collect();
    let mut rows: Vec<_> = (steps.iter().enumerate())
        .map(|(at, name)| {
            row(
                name,
                ["sql", "sql", "sql", "models", "python", "command", "command"][at],
                &columns,
                at,
            )
        })
        .collect();
    for (at, table) in ["reads_daily", "sales_daily"].into_iter().enumerate() {
        let mut inner = row(table, "table", &columns, 3);
        inner.depth = 1;
        inner.name.href = Some(format!("/tables/{table}"));
        rows.insert(4 + at, inner);
    }
    Flow {
        name: "daily_sales".into(),
        description: Some("매출과 읽은 수를 밤마다 모읍니다. 늦게 도착하는 파일 때문에 사흘을 되짚습니다.".into()),
        path: "flows/daily_sales.yml".into(),
        owner: Some("data@shop.example".into()),
        schedule: Some(Schedule {
            cron: "0 5 * * *".into(),
            zone: "Asia/Seoul".into(),
            next: (0..5)
                .map(|days| Instant(midnight() + (days + 1) * DAY + 5 * 3_600 * SECOND))
                .collect(),
            last: Some((Instant(midnight() + 5 * 3_600 * SECOND), TickFate::Ran(1_025))),
            deadline: Some(By::Within {
                after: After::Scheduled,
                within_us: 7_200_000_000,
            }),
            comes_late: false,
        }),
        unit: Some("day".into()),
        order: Order::Interval,
        only: None,
        columns,
        rows,
        more_rows: 0,
        paging: Paging {
            newer: None,
            older: Some("/flows/daily_sales?before=1001".into()),
        },
        holes: Some((
            "2026-11-11, 2026-11-12".into(),
            2,
            Fix {
                command: "mulgil backfill flow:daily_sales --from 2026-11-11 --to 2026-11-13 --missing".into(),
                here: Some(Here::Form(
                    "/flows/daily_sales/backfill?from=2026-11-11&to=2026-11-13".into(),
                )),
            },
        )),
        run_href: Some("/flows/daily_sales/run".into()),
    }
}

/// A flow that never ran.
pub(crate) fn new() -> Flow {
    Flow {
        columns: Vec::new(),
        rows: Vec::new(),
        holes: None,
        schedule: None,
        unit: None,
        description: None,
        name: "새_플로".into(),
        paging: Paging::default(),
        ..daily()
    }
}

/// Names and texts that want to be something else.
pub(crate) fn hostile() -> Flow {
    let evil = "<script>alert(1)</script>\u{202e}live\u{202c} \"quotes\" & 아주긴이름".repeat(20);
    let mut flow = daily();
    flow.name.clone_from(&evil);
    flow.description = Some(evil.repeat(200));
    flow.owner = Some(evil.clone());
    for row in &mut flow.rows {
        row.name = Link {
            text: evil.clone(),
            href: Some("javascript:alert(1)".into()),
        };
        for cell in row.cells.iter_mut().flatten() {
            cell.href = Some("//evil.example/|^\"".into());
        }
    }
    flow
}

/// As many steps and runs as a page shows, with tries, failures and times as they come.
pub(crate) fn largest() -> Flow {
    let mut flow = daily();
    let mut random = Random(7);
    flow.rows = (0..ROWS_SHOWN)
        .map(|at| {
            let cells = (0..flow.columns.len()).map(|run| {
                let mark = match random.below(40) {
                    0 => RunState::Failed,
                    1 => RunState::UpstreamFailed,
                    2 => RunState::Skipped,
                    _ => RunState::Success,
                };
                let attempts = if random.below(25) == 0 { 2 } else { 1 };
                let (run, task) = (1_001 + run as i64, 48_211 + (run * ROWS_SHOWN + at) as i64);
                Some(Cell {
                    mark: Mark::Run(mark),
                    attempts,
                    took: Some(Duration::from_millis(1_300 + random.below(240_000))),
                    href: Some(format!("/runs/{run}/tasks/{task}/attempts/{attempts}")),
                })
            });
            Row {
                name: Link {
                    text: format!("load_{at:03}_of_region"),
                    href: None,
                },
                kind: "sql",
                depth: 0,
                cells: cells.collect(),
            }
        })
        .collect();
    flow.more_rows = 140;
    flow
}

/// The marks of the seven steps in the run of a day.
fn seven_marks(before: i64) -> [Mark; 7] {
    use RunState::{Failed, Queued, Running, Skipped, Success, UpstreamFailed};
    let run = Mark::Run;
    let up = run(UpstreamFailed);
    match before {
        0 => [
            run(Success),
            run(Success),
            run(Running),
            run(Queued),
            Mark::Run(RunState::Planned),
            Mark::Run(RunState::Planned),
            Mark::Run(RunState::Planned),
        ],
        3 => [run(Success), Mark::Retrying, run(Failed), up, up, up, run(Success)],
        9 | 10 => [Mark::Missing; 7],
        14 => [
            run(Success),
            run(Success),
            run(Success),
            run(Success),
            run(Failed),
            up,
            run(Success),
        ],
        17 => [
            run(Success),
            run(Success),
            run(Success),
            run(Success),
            run(Skipped),
            run(Skipped),
            run(Success),
        ],
        20 => [
            run(Success),
            run(Success),
            run(RunState::Crashed),
            up,
            up,
            up,
            run(Success),
        ],
        21 => [
            run(Success),
            run(Success),
            run(RunState::Cancelled),
            run(RunState::Cancelled),
            run(RunState::Cancelled),
            run(RunState::Cancelled),
            run(RunState::Cancelled),
        ],
        _ => [run(Success); 7],
    }
}

fn column(before: i64, mark: Mark) -> Column {
    let is_hole = mark == Mark::Missing;
    let mut random = Random(before as u64 + 1);
    Column {
        interval: Some(day(before)),
        run: (!is_hole).then_some(1_025 - before),
        mark,
        started_at: (!is_hole).then_some(Instant(midnight() - before * DAY + 5 * 3_600 * SECOND)),
        took: (!is_hole).then(|| Duration::from_secs(140 + random.below(120) + if before == 7 { 400 } else { 0 })),
    }
}

fn row(name: &str, kind: &'static str, columns: &[Column], at: usize) -> Row {
    let cells = (columns.iter().enumerate()).map(|(place, column)| {
        let run = column.run?;
        let before = columns.len() as i64 - 1 - place as i64;
        let mark = seven_marks(before)[at];
        let attempts = if mark == Mark::Retrying || mark == Mark::Run(RunState::Failed) {
            3
        } else {
            1
        };
        let mut random = Random(run as u64 * 31 + at as u64);
        Some(Cell {
            mark,
            attempts,
            took: (mark == Mark::Run(RunState::Success)).then(|| Duration::from_millis(800 + random.below(60_000))),
            href: Some(format!("/runs/{run}/tasks/{}/attempts/{attempts}", run * 7 + at as i64)),
        })
    });
    Row {
        name: Link {
            text: name.into(),
            href: None,
        },
        kind,
        depth: 0,
        cells: cells.collect(),
    }
}

/// Numbers that are the same each time.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// One below a limit.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}
