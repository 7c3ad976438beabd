//! `mulgil why NODE@INTERVAL`: how one interval stands, and everything that makes it so.

use mulgil_core::{
    checks::{Context, checks},
    flow::name,
    grid::Grid,
    interval::Interval,
    interval_text::{self, format_instant},
    name::Instance,
    plan::Forecast,
    project::{Materialization, Node, Project},
    select,
    state::Cause,
    why::Why,
};
use mulgil_store::{Evidence, FillFact};
use serde_json::{Value, json};

use crate::{
    cli::{self, Global},
    command::{
        Outcome,
        plan::{range_json, reason_text},
        status::status_text,
        why_checks::{self, Subject},
        why_flow,
    },
    say, wire,
};

/// Fills and changes that are told, newest first.
const MAX_FACTS: usize = 5;

pub(crate) async fn why(global: &Global, flags: &cli::Why) -> Outcome {
    let opened = wire::open(global)?;
    if let Some(flow) = name::flow_in(&flags.target) {
        return why_flow::why(&opened, flow, flags.json).await;
    }
    let (instance, range) = select::one(&opened.project, &flags.target)?;
    let view = opened.view().await?;
    let forecast = Forecast::new(&opened.project, &view.state, view.now);
    let node = select::node(&opened.project, instance.node.as_str())?;
    let Some(why) = mulgil_core::why::why(&forecast, &instance, range) else {
        return Ok(5);
    };
    let fills = view.store.fills(&instance, range).await?;
    let evidence = view.store.evidence(&instance, range).await?;
    let contents = view.store.contents(&instance, range).await?;
    // A view keeps no rows.
    let rows = (node.materialization != Materialization::View).then(|| contents.iter().map(|filled| filled.rows).sum());
    let live = view.state.nodes.get(&instance);
    let live = live.and_then(|state| state.live.within(range).next().map(|(_, live)| live.attempt));
    let context = Context {
        fill: fills.first().map(|fill| (fill.filled_at, rows)),
        run: match live {
            Some(attempt) => view.store.run_of_attempt(attempt).await?,
            None => None,
        },
        heartbeat: why_checks::is_nobody_there(&opened).then_some(None),
        ..Context::default()
    };
    let subject = Subject {
        project: &opened.project,
        instance: &instance,
        range,
        grid: &node.grid,
        now: view.now,
    };
    let asked = checks(&forecast, &instance, range, &context);
    if flags.json {
        let mut told = as_json(&opened.project, node, &why, &fills, &evidence, rows);
        why_checks::add_json(&mut told, &asked, subject);
        say::json(&told);
    } else {
        let waits = forecast.waits_for_tests(node);
        let mut lines = as_text(node, &why, waits, &fills, &evidence, rows);
        lines.extend(why_checks::lines(&asked, subject));
        say::print(&lines.join("\n"));
    }
    Ok(0)
}

fn as_text(
    node: &Node,
    why: &Why,
    waits: bool,
    fills: &[FillFact],
    evidence: &[Evidence],
    rows: Option<u64>,
) -> Vec<String> {
    let zone = &node.grid.zone;
    let mut out = vec![headline(node, why, waits)];
    out.extend(span(&node.grid, why.range));
    for (range, reason, maybe) in &why.due {
        let only = if *maybe { ", only if its rows change" } else { "" };
        out.push(format!(
            "  due{}: {}{only}",
            part(node, why, *range),
            reason_text(reason)
        ));
    }
    out.extend(differences(node, why));
    if !fills.is_empty() {
        out.push(rows.map_or_else(
            || "  made as a view".to_owned(),
            |rows: u64| format!("  filled: {}", say::count(rows, "row")),
        ));
        for fill in fills.iter().take(MAX_FACTS) {
            let range = interval_text::format(fill.range, &node.grid);
            let at = say::moment(fill.filled_at, zone);
            let run = fill
                .run
                .map_or_else(|| "adopted from the table's log".to_owned(), |run| format!("run {run}"));
            let version = fill
                .version
                .map_or_else(String::new, |version| format!(", table version {version}"));
            out.push(format!("    {at} by {run} (with {range}){version}"));
        }
    }
    if !evidence.is_empty() {
        out.push("  changed since:".to_owned());
        out.extend(
            evidence
                .iter()
                .take(MAX_FACTS)
                .map(|one| format!("    {}", evidence_text(node, one))),
        );
    }
    out
}

/// From when to when an interval is, and how long that is.
pub(super) fn span(grid: &Grid, range: Interval) -> Option<String> {
    let zone = &grid.zone;
    let (start, end) = (format_instant(range.start, zone), format_instant(range.end, zone));
    let count = grid.count(range);
    let many = if count > 1 {
        format!(", {}", say::count(count, "interval"))
    } else {
        String::new()
    };
    let length = interval_text::format_length(range);
    grid.is_cut()
        .then(|| format!("  from {start} to {end} ({zone}): {length}{many}"))
}

fn headline(node: &Node, why: &Why, waits: bool) -> String {
    let name = if node.grid.is_cut() {
        format!("{}@{}", why.instance, interval_text::format(why.range, &node.grid))
    } else {
        why.instance.to_string()
    };
    match why.status.as_slice() {
        [(_, status)] => format!("{name}: {}", status_text(status, waits)),
        parts => {
            let lines = parts.iter().map(|(range, status)| {
                format!(
                    "  {}: {}",
                    interval_text::format(*range, &node.grid),
                    status_text(status, waits)
                )
            });
            std::iter::once(format!("{name}:"))
                .chain(lines)
                .collect::<Vec<_>>()
                .join("\n")
        }
    }
}

/// Both values where what an interval was made with is not what it would be made with today.
fn differences(node: &Node, why: &Why) -> Vec<String> {
    let mut out = Vec::new();
    for (range, fp) in &why.filled {
        if fp.code != why.fingerprint.code {
            let (was, is) = (fp.code.short(), why.fingerprint.code.short());
            out.push(format!(
                "  code{}: was {was}, is {is} ({})",
                part(node, why, *range),
                node.file.display()
            ));
        }
        if fp.schema != why.fingerprint.schema {
            let (was, is) = (fp.schema.short(), why.fingerprint.schema.short());
            out.push(format!(
                "  declared columns{}: were {was}, are {is}",
                part(node, why, *range)
            ));
        }
    }
    out
}

/// ` (2013-03-10)` where a line speaks of a part of what was asked.
fn part(node: &Node, why: &Why, range: Interval) -> String {
    if range == why.range {
        String::new()
    } else {
        format!(" ({})", interval_text::format(range, &node.grid))
    }
}

/// One change with both sides of it.
fn evidence_text(node: &Node, evidence: &Evidence) -> String {
    let at = say::moment(evidence.at, &node.grid.zone);
    let detail = &evidence.detail;
    let text = |name: &str| detail[name].as_str().unwrap_or_default();
    let what = match &evidence.cause {
        Cause::Upstream(upstream) if detail["kind"] == "newer" => {
            format!("{upstream}: filled again after this was made from it")
        }
        Cause::Upstream(upstream) if detail["kind"] == "rollback" => {
            format!("{upstream}: its table went back to version {}", detail["to"])
        }
        Cause::Rollback => format!(
            "the table went back to version {} (as version {})",
            detail["to"], detail["version"]
        ),
        Cause::Upstream(upstream) if detail["new"].is_null() => {
            format!("{upstream}: somebody else wrote into it before this was filled from it")
        }
        Cause::Upstream(upstream) => {
            format!(
                "{upstream}: {} → {}",
                content_text(&detail["old"]),
                content_text(&detail["new"])
            )
        }
        Cause::Source(source) if detail["gone"] == true => {
            format!(
                "{source}: {} is gone; the rows that were read from it stay",
                text("file")
            )
        }
        Cause::Source(source) => {
            let side = |name: &str| {
                detail[name]
                    .as_str()
                    .map_or("not there", |content| &content[..content.len().min(8)])
            };
            format!("{source}: {} was {}, is {}", text("file"), side("old"), side("new"))
        }
        Cause::Target => match detail["version"].as_i64() {
            Some(version) => format!("somebody else committed version {version} of the table"),
            None => "the table's log does not reach back to what was recorded".to_owned(),
        },
        Cause::Hooks if detail["adopted"] == true => {
            "the process that filled it was gone before it could say that the hooks had run".to_owned()
        }
        Cause::Hooks => format!("a hook failed after attempt {} had filled it", detail["attempt"]),
        Cause::Again => format!("taken by run {} ({})", detail["run"], text("selector")),
        Cause::Manual => format!(
            "asked for by run {} ({} {})",
            detail["run"],
            text("trigger"),
            text("selector")
        ),
    };
    format!("{at}  {}", what.trim_end())
}

/// `842 rows, 1a2b3c4d`.
fn content_text(side: &Value) -> String {
    match (side["rows"].as_u64(), side["content"].as_str()) {
        (Some(rows), Some(content)) => format!("{}, {}", say::count(rows, "row"), &content[..content.len().min(8)]),
        _ => "nothing".to_owned(),
    }
}

fn as_json(
    project: &Project,
    node: &Node,
    why: &Why,
    fills: &[FillFact],
    evidence: &[Evidence],
    rows: Option<u64>,
) -> Value {
    let range = |range: Interval| range_json(project, &why.instance, range, node.grid.count(range));
    let of = |instance: &Instance, interval: Interval| range_json(project, instance, interval, 1);
    json!({
        "node": why.instance.to_string(),
        "interval": range(why.range),
        "length": interval_text::format_length(why.range),
        "status": why.status.iter().map(|(part, status)| json!({ "interval": range(*part), "is": status })).collect::<Vec<_>>(),
        "due": why.due.iter().map(|(part, reason, maybe)| json!({ "interval": range(*part), "reason": reason, "if_changed": maybe })).collect::<Vec<_>>(),
        "rows": rows,
        "fingerprint": why.fingerprint,
        "fills": fills.iter().map(|fill| json!({ "interval": range(fill.range), "run": fill.run, "attempt": fill.attempt,
            "at": format_instant(fill.filled_at, &node.grid.zone), "version": fill.version, "fingerprint": fill.fingerprint })).collect::<Vec<_>>(),
        "evidence": evidence.iter().map(|one| json!({ "cause": one.cause, "interval": range(one.range),
            "at": format_instant(one.at, &node.grid.zone), "detail": one.detail })).collect::<Vec<_>>(),
        "inputs": why.inputs.iter().map(|input| json!({ "from": input.from.to_string(), "needs": input.needs.map(|needs| of(&input.from, needs)),
            "is_there": input.absent.is_empty(), "is_gone": !input.gone.is_empty(), "is_due": !input.due.is_empty() })).collect::<Vec<_>>(),
        "failing": why.failing.iter().map(|(part, failing)| json!({ "interval": range(*part), "code": failing.code, "times": failing.equal_count, "rolled_back_to": failing.rolled_back_to })).collect::<Vec<_>>(),
    })
}
