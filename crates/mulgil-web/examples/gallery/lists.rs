//! The lists, full, empty, and with names that nobody wants.

use std::time::Duration;

use mulgil_core::run::{RunState, Trigger};
use mulgil_web::{
    address,
    look::Look,
    page,
    view::{
        Link, Mark, Paging,
        list::{FlowRow, Flows, ROWS_SHOWN, RunRow, Runs, TableRow, Tables},
    },
};

use super::world::{Shown, ago, at, day, hostile, link, shown};

pub(crate) fn pages(look: &Look) -> Vec<Shown> {
    vec![
        shown("flows", "/flows", look, |frame| page::flows(frame, &flows())),
        shown("flows-empty", "/flows?case=empty", look, |frame| {
            page::flows(frame, &no_flows(""))
        }),
        shown("flows-none", "/flows?q=nowhere", look, |frame| {
            page::flows(frame, &no_flows(&hostile()[0]))
        }),
        shown("runs", "/runs", look, |frame| page::runs(frame, &runs())),
        shown("runs-empty", "/runs?case=empty", look, |frame| {
            page::runs(frame, &no_runs(None))
        }),
        shown("runs-none", "/runs?state=crashed", look, |frame| {
            page::runs(frame, &no_runs(Some(RunState::Crashed)))
        }),
        shown("tables", "/tables", look, |frame| page::tables(frame, &tables())),
        shown("tables-empty", "/tables?case=empty", look, |frame| {
            page::tables(frame, &no_tables())
        }),
        shown("tables-hostile", "/tables?case=hostile", look, |frame| {
            page::tables(frame, &unwanted_tables())
        }),
    ]
}

fn flows() -> Flows {
    let row = |name: &str, schedule: Option<&str>, last: Option<(i64, RunState)>| FlowRow {
        name: link(name, address::flow(name)),
        schedule: schedule.map(str::to_owned),
        next_at: schedule.map(|_| at("2026-11-21T20:00:00Z")),
        last: last.map(|(run, state)| (run, state, ago(109))),
    };
    Flows {
        search: String::new(),
        rows: vec![
            row("ad_cost", Some("0 5 * * * Asia/Seoul"), Some((415, RunState::Running))),
            row(
                "daily_sales",
                Some("0 5 * * * Asia/Seoul"),
                Some((412, RunState::Failed)),
            ),
            row(
                "events_hourly",
                Some("5 * * * * Asia/Seoul"),
                Some((423, RunState::Success)),
            ),
            row("한번만", None, Some((17, RunState::Cancelled))),
            row(
                "settlement_of_creators_by_country_and_month",
                Some("0 9 2 * * Asia/Seoul"),
                Some((390, RunState::Success)),
            ),
            row("주간_보고", Some("0 9 * * 1 Asia/Seoul"), None),
        ],
        paging: Paging::default(),
    }
}

fn no_flows(search: &str) -> Flows {
    Flows {
        search: search.into(),
        rows: Vec::new(),
        paging: Paging::default(),
    }
}

/// As many as a page has.
fn runs() -> Runs {
    let states = [
        RunState::Running,
        RunState::Success,
        RunState::Failed,
        RunState::Success,
        RunState::Success,
        RunState::Crashed,
        RunState::Cancelled,
        RunState::Queued,
    ];
    let rows = (0..ROWS_SHOWN as i64)
        .map(|place| {
            let flow = ["daily_sales", "events_hourly", "ad_cost"][place as usize % 3];
            RunRow {
                id: 423 - place,
                what: if place % 7 == 4 {
                    Link {
                        text: [
                            "",
                            "tag:daily+",
                            "source:firebase.events+ reads_daily+1 sales_by_country_and_payment_method",
                        ][place as usize / 7 % 3]
                            .into(),
                        href: None,
                    }
                } else {
                    link(flow, address::flow(flow))
                },
                interval: (place % 7 != 4).then(|| day(1 + place / 8)),
                trigger: [Trigger::Schedule, Trigger::Manual, Trigger::Backfill][place as usize % 3],
                state: states[place as usize % states.len()],
                started_at: ago(5 + place * 37),
                took: Duration::from_millis(8_300 + (place as u64 * 7_919) % 400_000),
            }
        })
        .collect();
    Runs {
        only: None,
        rows,
        paging: Paging {
            newer: Some("/runs?before=500".into()),
            older: Some("/runs?after=323".into()),
        },
    }
}

fn no_runs(only: Option<RunState>) -> Runs {
    Runs {
        only,
        rows: Vec::new(),
        paging: Paging::default(),
    }
}

fn tables() -> Tables {
    let row = |name: &str, kind, description: Option<&str>, counts: Vec<(Mark, u64)>, bytes: u64| TableRow {
        name: link(name, address::table(name)),
        kind,
        description: description.map(str::to_owned),
        mark: counts.first().map_or(Mark::NotExpected, |(mark, _)| *mark),
        counts,
        bytes: Some(bytes),
    };
    let ok = Mark::Run(RunState::Success);
    Tables {
        search: String::new(),
        rows: vec![
            row(
                "ad_cost",
                "model",
                Some("광고 비용, 캠페인별"),
                vec![(Mark::Run(RunState::Running), 1), (ok, 323)],
                8_200_000,
            ),
            row(
                "billing.invoices",
                "source",
                None,
                vec![(Mark::Waiting, 1), (ok, 88)],
                0,
            ),
            row(
                "billing_daily",
                "model",
                Some("Invoices a day"),
                vec![(Mark::Waiting, 1), (ok, 88)],
                41_000,
            ),
            row("country_codes", "seed", None, vec![(ok, 1)], 9_412),
            row(
                "creator_settlement_by_country_and_month",
                "model",
                Some("정산, 작가와 나라와 달별. 환율은 그달의 마지막 날 것을 씁니다"),
                vec![(Mark::Run(RunState::Failed), 1), (ok, 23)],
                77_000,
            ),
            row(
                "dau_weekly",
                "model",
                Some("주간 활성 독자"),
                vec![(Mark::Stale, 14), (Mark::Provisional, 1), (ok, 238)],
                612_000,
            ),
            row(
                "episodes",
                "snapshot",
                Some("회차가 시각마다 어떠했는가"),
                vec![(Mark::Held, 1)],
                220_000_000,
            ),
            row(
                "reads_daily",
                "model",
                Some("회차별 하루 읽음 수"),
                vec![(Mark::Missing, 3), (Mark::Provisional, 2), (ok, 1_781)],
                1_930_000_000,
            ),
        ],
        paging: Paging {
            newer: None,
            older: Some("/tables?after=reads_daily".into()),
        },
    }
}

fn no_tables() -> Tables {
    Tables {
        search: String::new(),
        rows: Vec::new(),
        paging: Paging::default(),
    }
}

fn unwanted_tables() -> Tables {
    let names = hostile();
    Tables {
        search: names[0].clone(),
        rows: (0..ROWS_SHOWN)
            .map(|place| TableRow {
                name: link(&names[place % 4], address::table(&names[place % 2])),
                kind: "model",
                description: Some(names[(place + 1) % 4].clone()),
                mark: Mark::Run(RunState::UpstreamFailed),
                counts: vec![
                    (Mark::Run(RunState::UpstreamFailed), u64::MAX),
                    (Mark::Retrying, 4),
                    (Mark::Waived, 1),
                ],
                bytes: Some(u64::MAX),
            })
            .collect(),
        paging: Paging::default(),
    }
}
