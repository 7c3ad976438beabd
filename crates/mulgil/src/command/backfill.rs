//! `mulgil backfill`: fills the intervals that a person names.

use mulgil_core::{
    codes,
    decide::Scope,
    diagnostic::Diagnostic,
    interval::{Interval, RangeSet},
    interval_text,
    name::Instance,
    plan::Forecast,
    run::Trigger,
    state::State,
};
use mulgil_scheduler::RunRequest;

use crate::{
    cli::{self, Global},
    command::{Faults, Outcome, plan::range_text, run},
    say,
    wire::{self, Opened},
};

pub(crate) async fn backfill(global: &Global, flags: &cli::Backfill) -> Outcome {
    if flags.select.chosen().is_empty() {
        return Err(Diagnostic::error(codes::USAGE, "`backfill` is not told what to fill")
            .with_remedy("name nodes: `mulgil backfill sales@2013-03`; `*` is all of them")
            .into());
    }
    let opened = wire::open(global)?;
    opened.warnings.iter().for_each(say::fault);
    let mut selection = opened.select(&flags.select, None)?;
    for (instance, ranges) in &mut selection.ranges {
        if let Some(between) = between(&opened, instance, flags)? {
            *ranges = ranges.within(between);
        }
    }
    let view = opened.view().await?;
    let manual = filtered(&opened, &view.state, run::nameable(&opened, &selection), flags);
    if manual.is_empty() {
        say::talk("nothing to fill: no interval that is over is in that range");
        return Ok(0);
    }
    if flags.dry_run {
        tell(&opened, &manual);
        return Ok(0);
    }
    drop(view);
    let scope = Scope::Only(manual.iter().cloned().collect());
    let named = manual.iter().map(|(instance, _)| instance.clone()).collect();
    let request = RunRequest {
        selector: selector(flags),
        scope,
        manual,
        named,
        ..RunRequest::of_all(Trigger::Backfill)
    };
    run::perform(&opened, request, flags.parallel, run::After::Nothing).await
}

/// `--from` and `--to` on the node's grid; a node without a grid takes neither.
fn between(opened: &Opened, instance: &Instance, flags: &cli::Backfill) -> Result<Option<Interval>, Faults> {
    let Some(node) = opened.project.node(&instance.node) else {
        return Ok(None);
    };
    if flags.from.is_none() && flags.to.is_none() {
        return Ok(None);
    }
    if !node.grid.is_cut() {
        return Err(
            Diagnostic::error(codes::BAD_INTERVAL, format!("`{instance}` is not filled by intervals"))
                .with_remedy("leave `--from` and `--to` away, or select other nodes")
                .into(),
        );
    }
    let edge = |text: &Option<String>| -> Result<Option<Interval>, Diagnostic> {
        text.as_deref()
            .map(|text| interval_text::parse(text, &node.grid))
            .transpose()
    };
    let (from, to) = (edge(&flags.from)?, edge(&flags.to)?);
    let extent = node.grid.extent();
    let start = from.map_or(extent.start, |from| from.start);
    let end = to.map_or(extent.end, |to| to.start);
    Interval::new(start, end).map(Some).ok_or_else(|| {
        Diagnostic::error(
            codes::BAD_INTERVAL,
            "`--to` is not after `--from`, so nothing lies between them",
        )
        .with_remedy("`--to` is the first interval that is not filled any more")
        .into()
    })
}

fn filtered(
    opened: &Opened,
    state: &State,
    named: Vec<(Instance, RangeSet)>,
    flags: &cli::Backfill,
) -> Vec<(Instance, RangeSet)> {
    let forecast = Forecast::new(&opened.project, state, wire::now());
    let keep = |instance: &Instance, ranges: RangeSet| {
        let Some(terms) = forecast.terms(instance) else {
            return RangeSet::new();
        };
        if flags.missing {
            ranges.subtract(&terms.filled)
        } else if flags.failed {
            let failing = state
                .nodes
                .get(instance)
                .map(|state| state.failing.keys())
                .unwrap_or_default();
            ranges.intersect(&failing)
        } else if flags.stale {
            ranges.intersect(&terms.stale.keys())
        } else {
            ranges
        }
    };
    let kept = named.into_iter().map(|(instance, ranges)| {
        let ranges = keep(&instance, ranges);
        (instance, ranges)
    });
    kept.filter(|(_, ranges)| !ranges.is_empty()).collect()
}

fn tell(opened: &Opened, manual: &[(Instance, RangeSet)]) {
    let mut total = 0;
    for (instance, ranges) in manual {
        for range in ranges.iter() {
            let count = opened
                .project
                .node(&instance.node)
                .map_or(1, |node| node.grid.count(range));
            total += count;
            let text = range_text(&opened.project, instance, range);
            say::print(&format!(
                "would fill {instance}{text}  {}",
                say::count(count, "interval")
            ));
        }
    }
    say::talk(&format!(
        "{} in all; nothing was filled (--dry-run)",
        say::count(total, "interval")
    ));
}

fn selector(flags: &cli::Backfill) -> String {
    let mut text = flags.select.text();
    for (name, value) in [("--from", &flags.from), ("--to", &flags.to)] {
        if let Some(value) = value {
            text = format!("{text} {name} {value}");
        }
    }
    for (name, is_set) in [
        ("--missing", flags.missing),
        ("--failed", flags.failed),
        ("--stale", flags.stale),
    ] {
        if is_set {
            text = format!("{text} {name}");
        }
    }
    text
}
