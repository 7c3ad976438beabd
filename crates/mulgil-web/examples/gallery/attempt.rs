//! Attempts as a gallery shows them: one that failed with SQL, a Python step that goes on, one without output,
//! one that was searched, one full of hostile text.

use mulgil_core::{
    diagnostic::{Code, Diagnostic, Place},
    interval::Instant,
    run::{RunState, TaskKind},
};
use mulgil_web::{
    look::Look,
    page,
    view::{
        Fix, Here, Link,
        attempt::{Attempt, LINES_SHOWN, Line, Log, Search, Source, Sql},
    },
};

use super::world::{Shown, day, now, shown};

const SECOND: i64 = 1_000_000;
const SOURCE: &str = "{{ config(interval='day', event_time='event_at') }}\nselect date_trunc('day', event_at) as event_at,\n       user_id,\n       sum(amont) as amount,\n       count(*) as orders\nfrom {{ ref('orders') }}\nwhere status = 'paid'\ngroup by 1, 2\n";
const RENDERED: &str = "select date_trunc('day', event_at) as event_at,\n       user_id,\n       sum(amont) as amount,\n       count(*) as orders\nfrom (\n  select * from shop.orders\n  where event_at >= '2026-11-20 00:00:00+09:00'\n    and event_at < '2026-11-21 00:00:00+09:00'\n) as orders\nwhere status = 'paid'\ngroup by 1, 2\n";

/// The pages.
pub(crate) fn pages(look: &Look) -> Vec<Shown> {
    let all = [
        ("attempt", failed()),
        ("attempt-running", running()),
        ("attempt-retrying", retrying()),
        ("attempt-silent", silent(false)),
        ("attempt-without-output", silent(true)),
        ("attempt-searched", searched()),
        ("attempt-hostile", hostile()),
    ];
    let numbered = all.into_iter().enumerate();
    let page = |(at, (name, view)): (usize, (&str, Attempt))| {
        shown(
            name,
            &format!("/runs/1022/tasks/7158/attempts/{}", at + 1),
            look,
            |frame| page::attempt(frame, &view),
        )
    };
    numbered.map(page).collect()
}

/// A fill whose SQL has a fault.
pub(crate) fn failed() -> Attempt {
    let fault = Diagnostic::error(Code(1110), "no column `amont` in `orders`; there is `amount`")
        .at(Place::at("models/sales_daily.sql", 4, 12))
        .with_remedy("write `sum(amount)`");
    Attempt {
        id: 7_312,
        number: 2,
        tries: vec![
            (1, RunState::Failed, "/runs/1022/tasks/7158/attempts/1".into()),
            (2, RunState::Failed, "/runs/1022/tasks/7158/attempts/2".into()),
        ],
        run: Link {
            text: "1022".into(),
            href: Some("/runs/1022".into()),
        },
        flow: Some(Link {
            text: "daily_sales".into(),
            href: Some("/flows/daily_sales".into()),
        }),
        task: Link {
            text: "sales_daily".into(),
            href: Some("/tables/sales_daily".into()),
        },
        kind: TaskKind::Fill,
        step: None,
        interval: Some(day(1)),
        why: Some("/why/sales_daily@2026-11-20".into()),
        state: RunState::Failed,
        started_at: Instant(now().0 - 7_200 * SECOND),
        ended_at: Some(Instant(now().0 - 7_199 * SECOND)),
        fault: Some(Box::new(fault)),
        retry_at: None,
        exit: None,
        memory_bytes: Some(212_000_000),
        rows: None,
        version: None,
        output: None,
        sql: Some(Sql {
            source: Some(Source {
                path: "models/sales_daily.sql".into(),
                text: SOURCE.into(),
                at: Some((4, 12)),
                has_changed: false,
            }),
            rendered: Some(RENDERED.into()),
            rendered_at: Some((3, 12)),
        }),
        log: Log {
            href: "/runs/1022/tasks/7158/attempts/2/log".into(),
            lines: lines(&[
                "planning",
                "\u{1b}[1;31merror\u{1b}[0m[MG1110]: no column `amont` in `orders`",
            ]),
            from: 0,
            next: 96,
            bytes: 96,
            has_ended: true,
            search: None,
        },
        commands: vec![Fix {
            command: "mulgil run sales_daily --interval 2026-11-20".into(),
            here: Some(Here::Form("/tables/sales_daily/backfill?interval=2026-11-20".into())),
        }],
    }
}

/// A Python step that goes on and says much.
pub(crate) fn running() -> Attempt {
    let said: Vec<_> = (0..LINES_SHOWN)
        .map(|at| match at % 7 {
            0 => format!("\u{1b}[36mINFO\u{1b}[0m page {at} of 4,811: 200 OK, 1,000 rows in 0.31 s"),
            3 => format!("\u{1b}[33mWARNING\u{1b}[0m the answer has no `cost` for campaign 봄맞이-{at}; taken as 0"),
            5 => "\u{1b}[2m  retry-after: 2; waiting\u{1b}[0m".to_owned(),
            _ => format!("  wrote part-{at:05}.parquet (2.1 MB) to s3://lake/ads/day=2026-11-20/"),
        })
        .collect();
    let said: Vec<_> = said.iter().map(String::as_str).collect();
    let mut attempt = failed();
    (attempt.number, attempt.state, attempt.ended_at, attempt.fault) = (1, RunState::Running, None, None);
    attempt.started_at = Instant(now().0 - 312 * SECOND);
    attempt.task = Link {
        text: "ad_cost".into(),
        href: None,
    };
    attempt.tries.truncate(1);
    (attempt.kind, attempt.step, attempt.why, attempt.sql) = (TaskKind::Step, Some("python"), None, None);
    attempt.log.lines = lines(&said);
    attempt.log.lines[40].is_error = true;
    attempt.log.lines[41].text = format!("{} and so on", "x".repeat(1_900));
    attempt.log.lines[41].cut_bytes = 3_200_000;
    (
        attempt.log.from,
        attempt.log.next,
        attempt.log.bytes,
        attempt.log.has_ended,
    ) = (1_200_000, 1_240_000, 1_240_000, false);
    attempt.commands = vec![Fix {
        command: "mulgil logs 1025 ad_cost -f".into(),
        here: None,
    }];
    attempt
}

/// One that waits for its next try and gave something.
pub(crate) fn retrying() -> Attempt {
    let mut attempt = running();
    (attempt.state, attempt.ended_at) = (RunState::Failed, Some(Instant(now().0 - 4 * SECOND)));
    attempt.fault = Some(Box::new(super::run::refused()));
    attempt.retry_at = Some(Instant(now().0 + 56 * SECOND));
    (attempt.exit, attempt.output) = (
        Some("exit code 3".into()),
        Some("{\n  \"rows\": 41220,\n  \"campaigns\": [\"봄맞이\", \"black-friday\"]\n}".into()),
    );
    attempt.log.has_ended = true;
    attempt
}

/// One that says nothing: not yet, or not at all.
pub(crate) fn silent(has_ended: bool) -> Attempt {
    let mut attempt = running();
    (attempt.log.lines, attempt.log.from, attempt.log.next, attempt.log.bytes) = (Vec::new(), 0, 0, 0);
    attempt.log.has_ended = has_ended;
    if has_ended {
        (attempt.state, attempt.ended_at) = (RunState::Success, Some(now()));
    }
    attempt
}

/// What a search found.
pub(crate) fn searched() -> Attempt {
    let mut attempt = running();
    attempt.log.lines.retain(|line| line.text.contains("WARNING"));
    attempt.log.search = Some(Search {
        text: "WARNING & \"cost\"".into(),
        next: Some(268_435_456),
    });
    attempt
}

/// Text that wants to be something else.
pub(crate) fn hostile() -> Attempt {
    let evil = "</div><script>alert(1)</script>\u{1b}]8;;javascript:alert(1)\u{7}link\u{1b}[31m\u{202e}evil\r\u{0}\"'&"
        .repeat(60);
    let mut attempt = failed();
    for line in &mut attempt.log.lines {
        line.text.clone_from(&evil);
    }
    attempt.log.href = "javascript:alert(1)".into();
    attempt.task = Link {
        text: evil.clone(),
        href: Some("javascript:alert(1)".into()),
    };
    attempt.exit = Some(evil.clone());
    attempt.output = Some(evil.clone());
    attempt.tries[0].2 = "javascript:alert(1)".into();
    attempt.log.search = Some(Search {
        text: "\"><script>alert(1)</script>".into(),
        next: Some(1),
    });
    if let Some(sql) = &mut attempt.sql {
        sql.rendered = Some(evil.clone());
        sql.rendered_at = Some((1, 4));
        if let Some(source) = &mut sql.source {
            source.text = evil;
        }
    }
    attempt
}

fn lines(said: &[&str]) -> Vec<Line> {
    let mut at_byte = 1_200_000;
    let line = |(at, text): (usize, &&str)| {
        let line = Line {
            at_byte,
            at: Some(Instant(now().0 - (500 - at as i64 / 2) * SECOND)),
            is_error: false,
            text: (*text).into(),
            cut_bytes: 0,
        };
        at_byte += text.len() as u64 + 1;
        line
    };
    said.iter().enumerate().map(line).collect()
}
