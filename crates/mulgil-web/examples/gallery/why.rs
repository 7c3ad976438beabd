//! Why an interval stands as it does: every predicate, in every mood.

use mulgil_core::{
    checks::Check,
    diagnostic::{Code, Retry},
    due::Reason,
    interval::RangeSet,
    name::{Instance, NodeName},
    run::RunState,
    tick::Fate,
    why::Status,
};
use mulgil_web::{
    address,
    look::Look,
    page,
    view::{
        Mark, Named, Verdict,
        why::{Fill, Row, Why},
    },
};

use super::world::{Shown, ago, at, day, fix, hostile, link, now, seoul, shown};

pub(crate) fn pages(look: &Look) -> Vec<Shown> {
    let show = |name, address: &str, view: &Why| shown(name, address, look, |frame| page::why(frame, view));
    vec![
        show("why", "/why/reads_daily@2026-11-20", &missing()),
        show("why-well", "/why/reads_daily@2026-11-19", &well()),
        show("why-all", "/why/all", &every_answer()),
        show("why-hostile", "/why/hostile", &unwanted()),
    ]
}

fn missing() -> Why {
    let asked = day(1);
    Why {
        node: link("reads_daily", address::table("reads_daily")),
        zone: seoul(),
        count: 1,
        status: vec![(
            asked.clone(),
            Status::Waiting {
                on: NodeName::new("firebase.events"),
            },
            Mark::Waiting,
        )],
        checks: vec![
            row(
                Check::Named {
                    unit: "day".into(),
                    begin: Some(day(385).range.start),
                    end: None,
                    is_named: true,
                },
                Verdict::Good,
            ),
            row(wanted(true), Verdict::Good),
            row(
                Check::Waived {
                    ranges: RangeSet::new(),
                },
                Verdict::Good,
            ),
            row(
                Check::Filled {
                    filled: RangeSet::new(),
                    missing: RangeSet::from(asked.range),
                    at: None,
                    rows: None,
                },
                Verdict::Warning,
            ),
            Row {
                since: Some(at("2026-11-20T15:00:00Z")),
                links: vec![link("firebase.events", address::table("firebase.events"))],
                ..row(input(&asked), Verdict::Bad)
            },
            row(
                Check::InFlight {
                    ranges: RangeSet::new(),
                    attempt: None,
                    run: None,
                },
                Verdict::Good,
            ),
            row(
                Check::Server {
                    heartbeat_at: Some(ago(0)),
                },
                Verdict::Good,
            ),
        ],
        interval: asked,
        before: Some(link("2026-11-19", address::why("reads_daily@2026-11-19"))),
        after: Some(link("2026-11-21", address::why("reads_daily@2026-11-21"))),
        fix: Some(fix(
            "mulgil why firebase.events@2026-11-20",
            Some("/tables/reads_daily/backfill"),
        )),
        fills: Vec::new(),
        command: "mulgil why reads_daily@2026-11-20".into(),
    }
}

fn well() -> Why {
    let asked = day(2);
    let whole = RangeSet::from(asked.range);
    Why {
        status: vec![(asked.clone(), Status::Provisional, Mark::Provisional)],
        checks: vec![
            row(
                Check::Named {
                    unit: "day".into(),
                    begin: Some(day(385).range.start),
                    end: None,
                    is_named: true,
                },
                Verdict::Good,
            ),
            row(wanted(true), Verdict::Good),
            row(
                Check::Filled {
                    filled: whole,
                    missing: RangeSet::new(),
                    at: Some(ago(1_500)),
                    rows: Some(41_220),
                },
                Verdict::Good,
            ),
            row(Check::Right { stale: Vec::new() }, Verdict::Good),
            row(
                Check::Tested {
                    failed: Vec::new(),
                    untested: RangeSet::new(),
                },
                Verdict::Good,
            ),
        ],
        fills: vec![
            Fill {
                at: ago(1_500),
                run: Some(link("398", address::run(398))),
                with: "2026-11-17..2026-11-20".into(),
                version: Some(1_203),
                rows: Some(41_220),
            },
            Fill {
                at: ago(2_940),
                run: None,
                with: "2026-11-19".into(),
                version: Some(1_198),
                rows: None,
            },
        ],
        interval: asked,
        fix: None,
        ..missing()
    }
}

/// Every predicate with the answer that is not "all is well".
fn every_answer() -> Why {
    let asked = Named {
        name: "2026-11-14..2026-11-21".into(),
        range: mulgil_core::interval::Interval {
            start: day(7).range.start,
            end: day(1).range.end,
        },
    };
    let part = RangeSet::from(day(3).range);
    let many: RangeSet = [7, 5, 3, 1].into_iter().map(|before| day(before).range).collect();
    let reasons = [
        Reason::Missing,
        Reason::Code,
        Reason::Schema,
        Reason::Upstream {
            node: NodeName::new("a"),
        },
        Reason::Source {
            source: NodeName::new("raw.b"),
        },
        Reason::Target,
        Reason::Rollback,
        Reason::Lookback,
    ];
    let failing = |retry, is_held| Check::Failing {
        range: day(3).range,
        code: Code(3004),
        count: 3,
        failed_at: ago(90),
        next_try_at: ago(-30),
        retry,
        is_held,
    };
    let tick = |fate, run| Check::Tick {
        scheduled_at: at("2026-11-20T20:00:00Z"),
        fate,
        run,
    };
    let checks = vec![
        Check::Named {
            unit: "0 5 * * 1".into(),
            begin: Some(day(5).range.start),
            end: None,
            is_named: false,
        },
        Check::Named {
            unit: "hour".into(),
            begin: None,
            end: None,
            is_named: true,
        },
        wanted(false),
        Check::Wanted {
            schedule: None,
            last_tick: None,
            next_tick: None,
            is_wanted: false,
        },
        tick(Fate::Runs, Some(412)),
        tick(Fate::Runs, None),
        tick(
            Fate::Coalesced {
                into: at("2026-11-21T20:00:00Z"),
            },
            None,
        ),
        tick(Fate::Missed, None),
        tick(Fate::Before, None),
        Check::Waived { ranges: part.clone() },
        Check::Filled {
            filled: many.clone(),
            missing: part.clone(),
            at: Some(ago(60)),
            rows: Some(1),
        },
        Check::Right {
            stale: reasons.into_iter().map(|reason| (day(3).range, reason)).collect(),
        },
        Check::Input {
            from: Instance::parse("sales[country=kr]").unwrap_or_else(|| Instance::of(NodeName::new("sales"))),
            is_source: false,
            needs: Some(asked.range),
            absent: part.clone(),
            due: many.clone(),
            gone: part.clone(),
            waits_for_tests: true,
        },
        failing(Retry::Later, false),
        failing(Retry::Never, false),
        failing(Retry::AfterHumanFix, false),
        failing(Retry::Never, true),
        Check::RolledBack {
            range: day(3).range,
            to: 31,
        },
        Check::Tested {
            failed: vec!["not_null_a".into(), "unique_b".into()],
            untested: part.clone(),
        },
        Check::InFlight {
            ranges: part,
            attempt: Some(981),
            run: Some(415),
        },
        Check::Room {
            of: "slots".into(),
            used: 8,
            limit: 8,
        },
        Check::Room {
            of: "pg_main".into(),
            used: 1,
            limit: 4,
        },
        Check::Server { heartbeat_at: None },
    ];
    let verdicts = [Verdict::Bad, Verdict::Warning, Verdict::Unknown, Verdict::Good];
    Why {
        checks: checks
            .into_iter()
            .enumerate()
            .map(|(place, check)| Row {
                fix: Some(fix("mulgil run reads_daily", Some("/tables/reads_daily/backfill"))),
                ..row(check, verdicts[place % 4])
            })
            .collect(),
        status: vec![
            (day(7), Status::Sealed, Mark::Run(RunState::Success)),
            (day(3), Status::Stale { reason: Reason::Code }, Mark::Stale),
            (day(1), Status::Held { rolled_back_to: None }, Mark::Held),
        ],
        count: 7,
        interval: asked,
        ..missing()
    }
}

fn unwanted() -> Why {
    let names = hostile();
    let interval = Named {
        name: names[0].clone(),
        range: day(1).range,
    };
    Why {
        node: link(&names[2], address::table(&names[2])),
        status: names
            .iter()
            .map(|name| {
                (
                    interval.clone(),
                    Status::Waiting {
                        on: NodeName::new(name),
                    },
                    Mark::Waiting,
                )
            })
            .collect(),
        checks: names
            .iter()
            .map(|name| Row {
                links: vec![link(name, name.clone())],
                fix: Some(fix(name, None)),
                ..row(
                    Check::Tested {
                        failed: names.to_vec(),
                        untested: RangeSet::new(),
                    },
                    Verdict::Bad,
                )
            })
            .chain(names.iter().map(|name| {
                row(
                    Check::Wanted {
                        schedule: Some(name.clone()),
                        last_tick: None,
                        next_tick: Some(now()),
                        is_wanted: false,
                    },
                    Verdict::Warning,
                )
            }))
            .collect(),
        before: Some(link(&names[1], address::why(&names[1]))),
        command: names[3].clone(),
        interval,
        ..missing()
    }
}

fn row(check: Check, verdict: Verdict) -> Row {
    Row {
        check,
        verdict,
        since: None,
        links: Vec::new(),
        fix: None,
    }
}

fn wanted(is_wanted: bool) -> Check {
    Check::Wanted {
        schedule: Some("0 5 * * * Asia/Seoul".into()),
        last_tick: Some(at("2026-11-20T20:00:00Z")),
        next_tick: Some(at("2026-11-21T20:00:00Z")),
        is_wanted,
    }
}

fn input(asked: &Named) -> Check {
    Check::Input {
        from: Instance::of(NodeName::new("firebase.events")),
        is_source: true,
        needs: Some(asked.range),
        absent: RangeSet::from(asked.range),
        due: RangeSet::new(),
        gone: RangeSet::new(),
        waits_for_tests: false,
    }
}
