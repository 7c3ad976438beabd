//! Forms before a deed.

use mulgil_core::diagnostic::{Code, Diagnostic};
use mulgil_web::{
    address,
    look::Look,
    page,
    view::form::{Confirm, Deed, Field, FieldKind, Label, PREVIEW_SHOWN},
};

use super::world::{Shown, day, hostile, link, refused, shown};

pub(crate) fn pages(look: &Look) -> Vec<Shown> {
    let show = |name, address, view: &Confirm| shown(name, address, look, |frame| page::confirm(frame, view));
    vec![
        show("form-backfill", "/tables/reads_daily/backfill", &backfill()),
        show(
            "form-wrong-date",
            "/tables/reads_daily/backfill?from=2026-03-99",
            &wrong_date(),
        ),
        show("form-run", "/flows/daily_sales/run", &run()),
        show("form-cancel", "/runs/415/cancel", &cancel()),
        show("form-refused", "/flows/daily_sales/run?case=refused", &refused_run()),
        show("form-hostile", "/flows/hostile/backfill", &unwanted()),
    ]
}

fn field(name: &str, label: Label, value: &str, kind: FieldKind) -> Field {
    Field {
        name: name.into(),
        label,
        value: value.into(),
        kind,
        fault: None,
    }
}

fn backfill() -> Confirm {
    Confirm {
        deed: Deed::Backfill {
            node: "reads_daily".into(),
            count: 3,
            ranges: vec!["2026-11-18..2026-11-21".into()],
            intervals: (1..=3).rev().map(|before| day(before).name).collect(),
            filled: 1,
            readers: vec!["dau_weekly".into(), "episodes_ranking".into()],
        },
        action: address::backfill_table("reads_daily"),
        hidden: vec![("seen".into(), "9f2c".into())],
        fields: vec![
            field("from", Label::From, "2026-11-18", FieldKind::Text),
            field("to", Label::To, "2026-11-21", FieldKind::Text),
            field("only", Label::Only, "missing", FieldKind::Only),
        ],
        faults: Vec::new(),
        back: link("reads_daily", address::table("reads_daily")),
        command: "mulgil backfill reads_daily --from 2026-11-18 --to 2026-11-21 --missing".into(),
    }
}

/// A date that there is not: nothing is known of what would be done.
fn wrong_date() -> Confirm {
    Confirm {
        deed: Deed::Backfill {
            node: "reads_daily".into(),
            count: 0,
            ranges: Vec::new(),
            intervals: Vec::new(),
            filled: 0,
            readers: Vec::new(),
        },
        hidden: vec![("ranges".into(), String::new())],
        fields: vec![
            field("from", Label::From, "2026-03-99", FieldKind::Text),
            field("to", Label::To, "", FieldKind::Text),
            field("only", Label::Only, "all", FieldKind::Only),
        ],
        faults: vec![Diagnostic::error(Code(3), "`2026-03-99` is no day").with_remedy("write it as 2026-03-09")],
        command: "mulgil backfill reads_daily --from 2026-03-99".into(),
        ..backfill()
    }
}

fn run() -> Confirm {
    Confirm {
        deed: Deed::Run {
            flow: "daily_sales".into(),
            interval: Some(day(1)),
            steps: ["load", "models", "report"].map(str::to_owned).to_vec(),
        },
        action: address::run_flow("daily_sales"),
        hidden: Vec::new(),
        fields: vec![
            field("interval", Label::Interval, "2026-11-20", FieldKind::Text),
            field(
                "country",
                Label::Param("country".into()),
                "kr",
                FieldKind::Choice(vec!["kr".into(), "jp".into()]),
            ),
            field("limit", Label::Param("limit".into()), "1000", FieldKind::Number),
            field("full", Label::Param("full".into()), "false", FieldKind::Flag),
        ],
        faults: Vec::new(),
        back: link("daily_sales", address::flow("daily_sales")),
        command: "mulgil run flow:daily_sales --interval 2026-11-20 --param country=kr --param limit=1000".into(),
    }
}

fn cancel() -> Confirm {
    Confirm {
        deed: Deed::Cancel {
            run: 415,
            live: vec!["load".into(), "reads_daily@2026-11-20".into()],
            rest: 7,
        },
        action: address::cancel_run(415),
        hidden: Vec::new(),
        fields: Vec::new(),
        faults: Vec::new(),
        back: link("#415", address::run(415)),
        command: "mulgil runs cancel 415".into(),
    }
}

fn refused_run() -> Confirm {
    let mut view = run();
    view.faults = vec![refused()];
    view.fields[2].value = "many".into();
    view.fields[2].fault = Some("`many` is not a number".into());
    view
}

fn unwanted() -> Confirm {
    let names = hostile();
    Confirm {
        deed: Deed::Backfill {
            node: names[2].clone(),
            count: u64::MAX,
            ranges: names.to_vec(),
            intervals: (0..PREVIEW_SHOWN).map(|place| names[place % 4].clone()).collect(),
            filled: 4,
            readers: names.to_vec(),
        },
        action: address::backfill_flow(&names[1]),
        hidden: vec![(names[0].clone(), names[1].clone())],
        fields: vec![
            field(
                &names[0],
                Label::Param(names[0].clone()),
                &names[1],
                FieldKind::Choice(names[..2].to_vec()),
            ),
            field(&names[1], Label::Param(names[3].clone()), &names[2], FieldKind::Text),
        ],
        faults: Vec::new(),
        back: link(&names[0], address::flow(&names[0])),
        command: names[3].clone(),
    }
}
