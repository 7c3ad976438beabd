//! The page of today: on a bad morning, on a good one, of an empty project, and with names that nobody wants.

use std::time::Duration;

use mulgil_core::{due::Reason, interval::Instant, name::NodeName, run::RunState};
use mulgil_web::{
    address,
    look::Look,
    page,
    view::{
        Frame, Verdict,
        today::{
            FLOWS_SHOWN, FlowDay, Light, LightKind, RunMark, TROUBLES_SHOWN, Today, Trouble, TroubleCause, TroubleKind,
            Troubles,
        },
    },
};

use super::world::{Shown, ago, at, fix, hostile, refused, shown};

pub(crate) fn pages(look: &Look) -> Vec<Shown> {
    let show = |name, address, view: &Today| shown(name, address, look, |frame| page::today(frame, view));
    vec![
        show("today", "/", &bad_morning()),
        show("today-well", "/?case=well", &good_morning()),
        shown("today-not-loaded", "/?case=not-loaded", look, |frame| {
            let frame = Frame {
                faults: 2,
                ..frame.clone()
            };
            page::today(&frame, &good_morning())
        }),
        show("today-empty", "/?case=empty", &nothing_yet()),
        show("today-hostile", "/?case=hostile", &unwanted_names()),
    ]
}

fn bad_morning() -> Today {
    Today {
        troubles: vec![
            troubles(TroubleKind::Failed, 2, vec![failed(), tested()]),
            troubles(TroubleKind::Late, 1, vec![late()]),
            troubles(TroubleKind::Missing, 1, vec![missing()]),
            troubles(TroubleKind::Stale, 1, vec![stale()]),
            troubles(TroubleKind::Waiting, 1, vec![waiting()]),
        ],
        flows: vec![
            flow("daily_sales", 1, Some(RunState::Failed)),
            flow("ad_cost", 4, Some(RunState::Running)),
            flow("events_hourly", 24, None),
            flow("주간_보고", 0, None),
        ],
        more_flows: 0,
        tables: (48, 41),
        lights: lights(Verdict::Warning),
    }
}

fn good_morning() -> Today {
    Today {
        troubles: Vec::new(),
        tables: (48, 48),
        lights: lights(Verdict::Good),
        flows: vec![
            flow("daily_sales", 1, None),
            flow("ad_cost", 4, None),
            flow("events_hourly", 24, None),
        ],
        more_flows: 0,
    }
}

fn nothing_yet() -> Today {
    Today {
        troubles: Vec::new(),
        flows: Vec::new(),
        more_flows: 0,
        tables: (0, 0),
        lights: vec![
            light(LightKind::Scheduler(None), Verdict::Unknown),
            light(LightKind::Ledger(Err(Box::new(refused()))), Verdict::Bad),
            light(LightKind::Draining, Verdict::Warning),
            light(LightKind::Project(vec![refused()]), Verdict::Bad),
        ],
    }
}

/// Every list as long as it may be, and every name one of the worst.
fn unwanted_names() -> Today {
    let names = hostile();
    let name = |place: usize| names[place % names.len()].clone();
    let rows = |kind: TroubleKind| {
        (0..TROUBLES_SHOWN)
            .map(|place| Trouble {
                name: name(place),
                href: address::table(&name(place)),
                intervals: name(place + 1),
                cause: TroubleCause::Test {
                    test: name(place + 2),
                    failures: u64::MAX,
                },
                fix: Some(fix(&name(place), Some("//evil.example/"))),
                ..failed()
            })
            .collect::<Vec<_>>()
            .into_iter()
            .fold(troubles(kind, u64::MAX, Vec::new()), |mut all, row| {
                all.rows.push(row);
                all
            })
    };
    Today {
        troubles: [
            TroubleKind::Failed,
            TroubleKind::Late,
            TroubleKind::Missing,
            TroubleKind::Stale,
            TroubleKind::Waiting,
        ]
        .map(rows)
        .to_vec(),
        flows: (0..FLOWS_SHOWN)
            .map(|place| flow(&name(place), 48, Some(RunState::Crashed)))
            .collect(),
        more_flows: 470,
        tables: (500, 0),
        lights: lights(Verdict::Bad),
    }
}

fn troubles(kind: TroubleKind, count: u64, rows: Vec<Trouble>) -> Troubles {
    Troubles { kind, count, rows }
}

fn failed() -> Trouble {
    Trouble {
        name: "daily_sales".into(),
        href: address::flow("daily_sales"),
        intervals: "2026-11-20".into(),
        count: 1,
        cause: TroubleCause::Fault {
            place: Some("load".into()),
            fault: Box::new(refused()),
        },
        since: Some(at("2026-11-20T20:12:40Z")),
        why: Some(address::why("flow:daily_sales@2026-11-20")),
        fix: Some(fix("mulgil runs retry 412", None)),
    }
}

fn tested() -> Trouble {
    Trouble {
        name: "episodes".into(),
        href: address::table("episodes"),
        intervals: String::new(),
        count: 0,
        cause: TroubleCause::Test {
            test: "unique_episodes_episode_id".into(),
            failures: 12,
        },
        since: Some(at("2026-11-20T20:14:03Z")),
        why: None,
        fix: None,
    }
}

fn late() -> Trouble {
    Trouble {
        name: "ad_cost".into(),
        href: address::flow("ad_cost"),
        intervals: "2026-11-20".into(),
        count: 1,
        cause: TroubleCause::Deadline {
            due_at: at("2026-11-20T21:00:00Z"),
            began_at: Some(at("2026-11-20T20:00:04Z")),
        },
        since: Some(at("2026-11-20T21:00:00Z")),
        why: Some(address::why("flow:ad_cost@2026-11-20")),
        fix: None,
    }
}

fn missing() -> Trouble {
    Trouble {
        name: "reads_daily".into(),
        href: address::table("reads_daily"),
        intervals: "2026-11-18..2026-11-21".into(),
        count: 3,
        cause: TroubleCause::CanBeFilled,
        since: Some(at("2026-11-18T20:00:00Z")),
        why: Some(address::why("reads_daily@2026-11-18..2026-11-21")),
        fix: Some(fix(
            "mulgil backfill reads_daily --from 2026-11-18 --to 2026-11-21 --missing",
            Some("/tables/reads_daily/backfill?from=2026-11-18&to=2026-11-21&only=missing"),
        )),
    }
}

fn stale() -> Trouble {
    Trouble {
        name: "dau_weekly".into(),
        href: address::table("dau_weekly"),
        intervals: "2026-08-17..2026-11-23".into(),
        count: 14,
        cause: TroubleCause::Stale(Reason::Upstream {
            node: NodeName::new("reads_daily"),
        }),
        since: Some(at("2026-11-20T20:03:11Z")),
        why: Some(address::why("dau_weekly@2026-08-17..2026-11-23")),
        fix: Some(fix("mulgil run dau_weekly", None)),
    }
}

fn waiting() -> Trouble {
    Trouble {
        name: "billing_daily".into(),
        href: address::table("billing_daily"),
        intervals: "2026-11-20".into(),
        count: 1,
        cause: TroubleCause::WaitsFor(NodeName::new("billing.invoices")),
        since: Some(at("2026-11-20T15:00:00Z")),
        why: Some(address::why("billing_daily@2026-11-20")),
        fix: None,
    }
}

/// The runs of a day, of which the last one stands as said.
fn flow(name: &str, count: i64, last: Option<RunState>) -> FlowDay {
    let runs = (0..count)
        .map(|place| {
            let started_at = ago((count - place) * 1440 / count.max(1) - 20);
            let state = last.filter(|_| place == count - 1).unwrap_or(RunState::Success);
            RunMark {
                run: 400 + place,
                interval: format!("2026-11-20T{:02}", place % 24),
                state,
                started_at,
                ended_at: (state != RunState::Running).then_some(Instant(started_at.0 + 74_200_000)),
            }
        })
        .collect();
    FlowDay {
        name: name.into(),
        runs,
        more: u64::from(count == 48) * 12,
        next_at: (count > 0).then(|| at("2026-11-21T20:00:00Z")),
    }
}

fn lights(disk: Verdict) -> Vec<Light> {
    vec![
        light(LightKind::Scheduler(Some(Duration::from_millis(1_900))), Verdict::Good),
        light(LightKind::Ledger(Ok(Duration::from_millis(4))), Verdict::Good),
        light(
            LightKind::Disk {
                free_bytes: 61_400_000_000,
                total_bytes: 512_000_000_000,
            },
            disk,
        ),
        light(LightKind::Lag(Duration::from_millis(210)), Verdict::Good),
        light(LightKind::Slots { used: 3, of: 8 }, Verdict::Good),
    ]
}

fn light(what: LightKind, verdict: Verdict) -> Light {
    Light { what, verdict }
}
