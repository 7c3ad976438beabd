//! A table: by day, by hour, by month, whole, as large as pages show, new, and with names that nobody wants.

use mulgil_core::{
    due::Reason,
    interval::{Instant, Interval},
    name::NodeName,
    run::RunState,
    why::Status,
};
use mulgil_web::{
    address,
    look::Look,
    page,
    view::{
        Link, Mark, Named, Paging,
        table::{
            CELLS_SHOWN, COLUMNS_SHOWN, Column, Grid, Heat, HeatCell, NEIGHBOURS_SHOWN, RANGES_SHOWN, Range,
            SAMPLE_COLUMNS, SAMPLE_ROWS, Sample, Shape, Size, Table, Test,
        },
    },
};

use super::world::{Shown, ago, at, day, fix, hostile, link, refused, shown};

const OK: Mark = Mark::Run(RunState::Success);

pub(crate) fn pages(look: &Look) -> Vec<Shown> {
    let show = |name, address, view: &Table| shown(name, address, look, |frame| page::table(frame, view));
    vec![
        show("table", "/tables/reads_daily", &reads_daily()),
        show("table-hours", "/tables/events_hourly", &by_hour()),
        show("table-months", "/tables/royalties", &by_month()),
        show("table-whole", "/tables/country_codes", &whole()),
        show("table-new", "/tables/new", &new()),
        show("table-large", "/tables/large", &large()),
        show("table-hostile", "/tables/hostile", &unwanted()),
    ]
}

fn reads_daily() -> Table {
    Table {
        name: "reads_daily".into(),
        keys: None,
        instances: Vec::new(),
        kind: "model",
        materialization: Some("incremental"),
        relation: Some("shop.reads_daily".into()),
        path: Some("models/reads_daily.sql".into()),
        description: Some("회차별 하루 읽음 수. 한 사람이 같은 회차를 여러 번 읽으면 여러 번 셉니다.".into()),
        owner: Some("data@shop.example".into()),
        tags: vec!["daily".into(), "core".into()],
        grid: Some(Grid {
            unit: "day".into(),
            zone: "Asia/Seoul".into(),
            begin: "2025-11-01".into(),
        }),
        schedule: Some("0 5 * * * Asia/Seoul".into()),
        next_at: Some(at("2026-11-21T20:00:00Z")),
        columns: vec![
            column("event_at", "TIMESTAMP", Some("그날의 시작"), &["not_null"]),
            column("user_id", "VARCHAR", None, &["not_null"]),
            column(
                "episode_id",
                "BIGINT",
                Some("회차"),
                &["not_null", "relationships_episodes"],
            ),
            column(
                "reads",
                "BIGINT",
                Some("읽은 횟수, 1 이상"),
                &["expression_is_true_reads_1"],
            ),
        ],
        more_columns: 0,
        upstream: vec![(link("firebase.events", address::table("firebase.events")), OK)],
        downstream: vec![
            (link("dau_weekly", address::table("dau_weekly")), Mark::Stale),
            (
                link("episodes_ranking", address::table("episodes_ranking")),
                Mark::Waiting,
            ),
        ],
        tests: vec![
            test("not_null_reads_daily_user_id", Some(0), false),
            test("relationships_episodes", Some(12), false),
            test("expression_is_true_reads_1", Some(3), true),
            test("unique_reads_daily_key", None, false),
        ],
        size: Some(Size {
            rows: Some(184_220_113),
            bytes: 1_930_000_000,
            files: 391,
            version: Some(1_204),
            changed_at: Some(at("2026-11-20T20:03:11Z")),
        }),
        sizes: (0..90_i64)
            .map(|place| (ago((90 - place) * 1440), 900_000_000 + (place * place) as u64 * 120_000))
            .collect(),
        sample: None,
        sample_href: Some("/tables/reads_daily?sample=1".into()),
        heat: by_day(385),
        backfill_href: Some(address::backfill_table("reads_daily")),
    }
}

fn column(name: &str, kind: &str, description: Option<&str>, tests: &[&str]) -> Column {
    Column {
        name: name.into(),
        kind: kind.into(),
        description: description.map(str::to_owned),
        tests: tests.iter().map(|test| (*test).to_owned()).collect(),
    }
}

fn test(name: &str, broken: Option<u64>, warns: bool) -> Test {
    Test {
        name: name.into(),
        last: broken.map(|rows| (rows, at("2026-11-20T20:03:20Z"))),
        has_changed: broken == Some(0),
        warns,
        sample: if broken.unwrap_or(0) > 0 {
            vec![r#"{"user_id":"u-7712","episode_id":991,"reads":2}"#.into(); 2]
        } else {
            Vec::new()
        },
    }
}

/// So many days up to yesterday, in a calendar whose rows begin on Monday.
fn by_day(days: i64) -> Heat {
    let oldest = civil(&day(days));
    let monday = i64::from(oldest.date().weekday().to_monday_zero_offset());
    let cells: Vec<HeatCell> = (0..days)
        .map(|place| {
            let interval = day(days - place);
            let mark = match days - place {
                2..=4 => Mark::Missing,
                30..=43 => Mark::Stale,
                1 => Mark::Provisional,
                77 => Mark::Run(RunState::Failed),
                100 => Mark::Waived,
                5 => Mark::Run(RunState::Running),
                _ => OK,
            };
            cell(
                interval,
                mark,
                ((place + monday) % 7) as u32,
                ((place + monday) / 7) as u32,
                "reads_daily",
            )
        })
        .collect();
    Heat {
        shape: Shape::Days,
        counts: counted(&cells),
        cells,
        paging: Paging {
            newer: None,
            older: Some("/tables/reads_daily?before=1700000000000000".into()),
        },
        ranges: vec![
            range(
                "2026-11-17..2026-11-20",
                3,
                Status::Missing,
                Mark::Missing,
                Some("mulgil backfill reads_daily --from 2026-11-17 --to 2026-11-20 --missing"),
            ),
            range(
                "2026-09-05",
                1,
                Status::Failed,
                Mark::Run(RunState::Failed),
                Some("mulgil run reads_daily --interval 2026-09-05"),
            ),
            range(
                "2026-10-09..2026-10-23",
                14,
                Status::Stale {
                    reason: Reason::Source {
                        source: NodeName::new("firebase.events"),
                    },
                },
                Mark::Stale,
                None,
            ),
            range("2026-11-16", 1, Status::Running, Mark::Run(RunState::Running), None),
            range("2026-11-20", 1, Status::Provisional, Mark::Provisional, None),
            range("2025-11-01..2026-10-09", 342, Status::Sealed, OK, None),
        ],
        more_ranges: 0,
    }
}

fn civil(interval: &Named) -> jiff::civil::DateTime {
    mulgil_web::time::civil(interval.range.start, &super::world::seoul())
}

fn cell(interval: Named, mark: Mark, row: u32, column: u32, table: &str) -> HeatCell {
    HeatCell {
        href: address::why(&format!("{table}@{}", interval.name)),
        interval,
        mark,
        row,
        column,
    }
}

fn range(name: &str, count: u64, status: Status, mark: Mark, command: Option<&str>) -> Range {
    Range {
        name: name.into(),
        count,
        status,
        mark,
        href: address::why(&format!("reads_daily@{name}")),
        fix: command.map(|command| {
            fix(
                command,
                Some("/tables/reads_daily/backfill?from=2026-11-17&to=2026-11-20"),
            )
        }),
    }
}

fn counted(cells: &[HeatCell]) -> Vec<(Mark, u64)> {
    let mut counts: Vec<(Mark, u64)> = Vec::new();
    for cell in cells {
        match counts.iter_mut().find(|(mark, _)| *mark == cell.mark) {
            Some((_, count)) => *count += 1,
            None => counts.push((cell.mark, 1)),
        }
    }
    counts.sort_by_key(|(_, count)| *count);
    counts
}

fn by_hour() -> Table {
    let cells: Vec<HeatCell> = (0..24 * 62_i64)
        .map(|place| {
            let (row, column) = (place / 24, place % 24);
            let date = day(62 - row);
            let start = Instant(date.range.start.0 + column * 3_600_000_000);
            let interval = Named {
                name: format!("{}T{column:02}", date.name),
                range: Interval::new(start, Instant(start.0 + 3_600_000_000)).unwrap_or(Interval::WHOLE),
            };
            let mark = match place {
                700..=711 => Mark::Missing,
                1_480.. => Mark::NotExpected,
                1_479 => Mark::Waiting,
                1_478 => Mark::Run(RunState::Queued),
                300 => Mark::Held,
                _ => OK,
            };
            cell(interval, mark, row as u32, column as u32, "events_hourly")
        })
        .collect();
    Table {
        name: "events_hourly".into(),
        grid: Some(Grid {
            unit: "hour".into(),
            zone: "Asia/Seoul".into(),
            begin: "2026-01-01T00".into(),
        }),
        heat: Heat {
            shape: Shape::Hours,
            counts: counted(&cells),
            cells,
            paging: Paging::default(),
            ranges: vec![range(
                "2026-10-20T04..2026-10-20T16",
                12,
                Status::Missing,
                Mark::Missing,
                Some("mulgil backfill events_hourly --missing"),
            )],
            more_ranges: 0,
        },
        ..plain("events_hourly")
    }
}

fn by_month() -> Table {
    let cells: Vec<HeatCell> = (0..58_u32)
        .map(|place| {
            let (year, month) = (2022 + place / 12, place % 12 + 1);
            let start = at(&format!("{year}-{month:02}-01T00:00:00Z"));
            let interval = Named {
                name: format!("{year}-{month:02}"),
                range: Interval::new(start, Instant(start.0 + 2_592_000_000_000)).unwrap_or(Interval::WHOLE),
            };
            let mark = if place == 40 { Mark::Run(RunState::Crashed) } else { OK };
            cell(interval, mark, place / 12, place % 12, "royalties")
        })
        .collect();
    Table {
        grid: Some(Grid {
            unit: "month".into(),
            zone: "UTC".into(),
            begin: "2022-01".into(),
        }),
        heat: Heat {
            shape: Shape::Years,
            counts: counted(&cells),
            cells,
            paging: Paging::default(),
            ranges: vec![range(
                "2025-05",
                1,
                Status::Held {
                    rolled_back_to: Some(31),
                },
                Mark::Held,
                None,
            )],
            more_ranges: 0,
        },
        ..plain("royalties")
    }
}

fn whole() -> Table {
    let all = Named {
        name: "all".into(),
        range: Interval::WHOLE,
    };
    let cells = vec![cell(all, OK, 0, 0, "country_codes")];
    Table {
        kind: "seed",
        materialization: None,
        heat: Heat {
            shape: Shape::Whole,
            counts: counted(&cells),
            cells,
            paging: Paging::default(),
            ranges: vec![range("all", 1, Status::Fresh, OK, None)],
            more_ranges: 0,
        },
        sample: Some(Sample::Rows {
            columns: ["code", "name", "rate"].map(str::to_owned).to_vec(),
            rows: vec![
                vec![Some("KR".into()), Some("대한민국".into()), Some("1".into())],
                vec![Some("JP".into()), Some("日本".into()), Some("9.1204".into())],
                vec![Some("US".into()), None, Some("1388.5".into())],
            ],
            more_columns: 0,
        }),
        ..plain("country_codes")
    }
}

fn new() -> Table {
    Table {
        sample: Some(Sample::Fault(Box::new(refused()))),
        ..plain("new")
    }
}

fn plain(name: &str) -> Table {
    Table {
        name: name.into(),
        grid: None,
        schedule: None,
        next_at: None,
        columns: Vec::new(),
        tests: Vec::new(),
        sizes: Vec::new(),
        size: None,
        description: None,
        upstream: Vec::new(),
        downstream: Vec::new(),
        sample_href: None,
        heat: Heat {
            shape: Shape::Days,
            cells: Vec::new(),
            paging: Paging::default(),
            counts: Vec::new(),
            ranges: Vec::new(),
            more_ranges: 0,
        },
        ..reads_daily()
    }
}

/// All that a page shows at most, with names of a common length.
fn large() -> Table {
    let near = |place: usize| {
        let name = format!("mart_finance_revenue_by_country_{place:03}");
        (
            link(&name, address::table(&name)),
            if place.is_multiple_of(9) { Mark::Stale } else { OK },
        )
    };
    let mut heat = by_day(CELLS_SHOWN as i64);
    // No two cells alike beside each other, so that nothing packs well.
    for (place, cell) in heat.cells.iter_mut().enumerate() {
        cell.mark = [OK, Mark::Missing, Mark::Stale, Mark::Provisional, OK, Mark::Waived][place * place % 6];
    }
    heat.ranges = (0..RANGES_SHOWN as i64)
        .map(|place| {
            let name = day(place * 3 + 2).name;
            let command = format!(
                "mulgil backfill large --from {name} --to {} --missing",
                day(place * 3 + 1).name
            );
            range(&name, 1, Status::Missing, Mark::Missing, Some(&command))
        })
        .collect();
    heat.more_ranges = 441;
    Table {
        name: "large".into(),
        keys: Some("country=kr,channel=ios".into()),
        instances: (0..60).map(near).collect(),
        columns: (0..COLUMNS_SHOWN)
            .map(|place| {
                let tests: &[&str] = if place % 5 == 0 {
                    &["not_null", "accepted_values"]
                } else {
                    &[]
                };
                column(
                    &format!("measure_{place:03}_{}", place * 7919 % 1000),
                    "DECIMAL(38, 9)",
                    Some("합계, 원화로 바꾼 값"),
                    tests,
                )
            })
            .collect(),
        more_columns: 212,
        upstream: (0..NEIGHBOURS_SHOWN).map(near).collect(),
        downstream: (0..NEIGHBOURS_SHOWN).map(near).collect(),
        sizes: (0..120_i64)
            .map(|place| (ago((120 - place) * 1440), (place * 7_919 % 911) as u64 * 1_000_000))
            .collect(),
        sample: Some(Sample::Rows {
            columns: (0..SAMPLE_COLUMNS).map(|place| format!("measure_{place:03}")).collect(),
            rows: (0..SAMPLE_ROWS)
                .map(|row| {
                    (0..SAMPLE_COLUMNS)
                        .map(|place| Some(format!("{}.{}", row * 7_919 + place, place * 37 % 100)))
                        .collect()
                })
                .collect(),
            more_columns: 672,
        }),
        heat,
        ..reads_daily()
    }
}

fn unwanted() -> Table {
    let names = hostile();
    let name = |place: usize| names[place % 4].clone();
    let near = |place: usize| (link(&name(place), address::table(&name(place))), Mark::Held);
    let mut heat = by_day(40);
    for (place, cell) in heat.cells.iter_mut().enumerate() {
        cell.interval.name = name(place);
    }
    for (place, range) in heat.ranges.iter_mut().enumerate() {
        range.name = name(place);
        range.fix = Some(fix(&name(place + 1), Some("javascript:alert(1)")));
    }
    Table {
        name: name(0),
        keys: Some(name(1)),
        instances: (0..8).map(near).collect(),
        relation: Some(name(2)),
        path: Some(name(3)),
        description: Some(names.concat()),
        owner: Some(name(1)),
        tags: names.to_vec(),
        schedule: Some(name(0)),
        columns: (0..COLUMNS_SHOWN)
            .map(|place| {
                column(
                    &name(place),
                    &name(place + 1),
                    Some(&name(place + 2)),
                    &[&name(place + 3)],
                )
            })
            .collect(),
        more_columns: u64::MAX - 500,
        upstream: (0..NEIGHBOURS_SHOWN).map(near).collect(),
        downstream: vec![(
            Link {
                text: name(0),
                href: Some("https://evil.example".into()),
            },
            OK,
        )],
        tests: vec![Test {
            sample: names.to_vec(),
            ..test(&names[0], Some(u64::MAX), true)
        }],
        sample: Some(Sample::Rows {
            columns: names.to_vec(),
            rows: vec![names.iter().cloned().map(Some).collect(); SAMPLE_ROWS],
            more_columns: 0,
        }),
        heat,
        ..reads_daily()
    }
}
