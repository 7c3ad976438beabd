//! `mulgil backfill`: fills the intervals that a person names. In a server it is a row, which is held back, goes on
//! and is ended by `pause`, `resume` and `cancel`; without one it is a run.

use std::collections::BTreeMap;

use mulgil_core::{
    backfill::{Change, Order},
    codes,
    decide::Scope,
    diagnostic::Diagnostic,
    due,
    flow::Flow,
    grid::Grid,
    interval::{Interval, RangeSet},
    interval_text::{self, format_instant},
    name::Instance,
    plan::Forecast,
    run::Trigger,
    state::{NodeState, State},
};
use mulgil_scheduler::RunRequest;
use mulgil_server::{BackfillRow, Filter, Verb};
use serde_json::json;

use crate::{
    cli::{self, Global},
    command::{Faults, Outcome, handed, plan::range_text, run},
    say, serving,
    wire::{self, Opened},
};

/// Backfills that are listed.
const MAX_LISTED: u32 = 100;

pub(crate) async fn backfill(global: &Global, flags: &cli::Backfill) -> Outcome {
    match &flags.command {
        None => make(global, &flags.make).await,
        Some(cli::Backfills::Ls { json }) => list(&wire::open(global)?, *json).await,
        Some(cli::Backfills::Pause { backfill }) => {
            let backfill = *backfill;
            change(global, Change::Pause, backfill, Verb::PauseBackfill { backfill }).await
        }
        Some(cli::Backfills::Resume { backfill }) => {
            let backfill = *backfill;
            change(global, Change::Resume, backfill, Verb::ResumeBackfill { backfill }).await
        }
        Some(cli::Backfills::Cancel { backfill }) => {
            let backfill = *backfill;
            change(global, Change::Cancel, backfill, Verb::CancelBackfill { backfill }).await
        }
    }
}

/// What a backfill is made of, wherever that was typed.
pub(crate) struct Named {
    pub(crate) select: cli::Select,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) only: Filter,
}

impl Named {
    fn of(flags: &cli::MakeBackfill) -> Self {
        let only = match (flags.missing, flags.failed, flags.stale) {
            (true, _, _) => Filter::Missing,
            (_, true, _) => Filter::Failed,
            (_, _, true) => Filter::Stale,
            (false, false, false) => Filter::All,
        };
        Self {
            select: flags.select.clone(),
            from: flags.from.clone(),
            to: flags.to.clone(),
            only,
        }
    }

    /// The flow that is named instead of nodes.
    pub(crate) fn flow(&self) -> Result<Option<String>, Diagnostic> {
        run::flow_named(&self.select)
    }

    /// As a person typed it.
    pub(crate) fn words(&self) -> String {
        let mut text = self.select.text();
        for (name, value) in [("--from", &self.from), ("--to", &self.to)] {
            if let Some(value) = value {
                text = format!("{text} {name} {value}");
            }
        }
        match self.only {
            Filter::All => text,
            Filter::Missing => format!("{text} --missing"),
            Filter::Failed => format!("{text} --failed"),
            Filter::Stale => format!("{text} --stale"),
        }
    }

    /// The intervals of models that it names, and that are over.
    pub(crate) fn of_models(&self, opened: &Opened, state: &State) -> Result<Vec<(Instance, RangeSet)>, Faults> {
        let mut selection = opened.select(&self.select, None)?;
        for (instance, ranges) in &mut selection.ranges {
            let Some(node) = opened.project.node(&instance.node) else {
                continue;
            };
            if let Some(between) = self.between(&instance.to_string(), &node.grid)? {
                *ranges = ranges.within(between);
            }
        }
        Ok(self.filtered(opened, state, run::nameable(opened, &selection)))
    }

    /// The intervals of a flow that it names, and that are over.
    pub(crate) fn of_flow(&self, flow: &Flow, state: &NodeState) -> Result<RangeSet, Faults> {
        let node = flow.as_node();
        if !flow.grid.is_cut() {
            return Err(Diagnostic::error(
                codes::BAD_INTERVAL,
                format!("the flow `{}` is not run by intervals", flow.name),
            )
            .with_remedy(format!("run it: `mulgil run flow:{}`", flow.name))
            .into());
        }
        let mut ranges = due::nameable(&node, wire::now());
        if let Some(between) = self.between(&flow.name, &flow.grid)? {
            ranges = ranges.within(between);
        }
        Ok(match self.only {
            Filter::All => ranges,
            Filter::Missing => ranges.subtract(&state.filled.keys()),
            Filter::Failed => ranges.intersect(&state.failing.keys()),
            Filter::Stale => {
                let stale = due::stale(&node, state, &ranges, false, wire::now());
                ranges.intersect(&stale.keys())
            }
        })
    }
}

async fn make(global: &Global, flags: &cli::MakeBackfill) -> Outcome {
    let named = Named::of(flags);
    if named.select.chosen().is_empty() {
        return Err(Diagnostic::error(codes::USAGE, "`backfill` is not told what to fill")
            .with_remedy("name nodes: `mulgil backfill sales@2013-03`; `*` is all of them; or a flow: `flow:NAME`")
            .into());
    }
    let opened = wire::open(global)?;
    opened.warnings.iter().for_each(say::fault);
    let flow = named.flow()?;
    let params = run::params(&flags.params)?;
    if flow.is_none() && !params.is_empty() {
        return Err(run::no_params().into());
    }
    let verb = Verb::Backfill(mulgil_server::Backfill {
        select: mulgil_server::Select {
            chosen: named.select.chosen(),
            exclude: named.select.exclude.clone(),
        },
        flow: flow.clone(),
        params: params.clone(),
        from: named.from.clone(),
        to: named.to.clone(),
        only: named.only,
        order: if flags.newest_first {
            mulgil_server::Order::NewestFirst
        } else {
            mulgil_server::Order::OldestFirst
        },
        parallel: flags
            .parallel
            .map(|parallel| u32::try_from(parallel).unwrap_or(u32::MAX)),
        share: flags.share,
        preview: flags.dry_run,
    });
    // What would be filled can be said here too, without disturbing anybody.
    if !flags.dry_run
        && let Some(outcome) = handed::backfill(&opened, &verb, flags.detach).await?
    {
        return Ok(outcome);
    }
    match flow {
        Some(flow) => flow_here(&opened, &named, &flow, params, flags).await,
        None => models_here(&opened, &named, flags).await,
    }
}

/// Fills models where no server runs: as one run.
async fn models_here(opened: &Opened, named: &Named, flags: &cli::MakeBackfill) -> Outcome {
    let view = opened.view().await?;
    let manual = named.of_models(opened, &view.state)?;
    if manual.is_empty() {
        say::talk("nothing to fill: there is no such interval that is over");
        return Ok(0);
    }
    if flags.dry_run {
        tell(opened, &manual);
        return Ok(0);
    }
    drop(view);
    let scope = Scope::Only(manual.iter().cloned().collect());
    let request = RunRequest {
        selector: named.words(),
        scope,
        named: manual.iter().map(|(instance, _)| instance.clone()).collect(),
        manual,
        ..RunRequest::of_all(Trigger::Backfill)
    };
    run::perform(opened, request, flags.parallel, run::After::Nothing).await
}

/// Runs a flow's intervals where no server is, one after the other.
async fn flow_here(
    opened: &Opened,
    named: &Named,
    name: &str,
    params: BTreeMap<String, serde_json::Value>,
    flags: &cli::MakeBackfill,
) -> Outcome {
    let flow = serving::flow(opened, name)?;
    let params = flow.params(&params).map_err(Faults)?;
    let view = opened.view().await?;
    let states = view.store.flow_states([flow]).await?;
    let state = states.get(&flow.instance()).cloned().unwrap_or_default();
    let ranges = named.of_flow(flow, &state)?;
    drop(view);
    if ranges.is_empty() {
        say::talk("nothing to run: there is no such interval that is over");
        return Ok(0);
    }
    let order = if flags.newest_first {
        Order::NewestFirst
    } else {
        Order::OldestFirst
    };
    let intervals: Vec<Interval> = order.intervals(&flow.grid, &ranges).collect();
    if flags.dry_run {
        for interval in &intervals {
            say::print(&format!(
                "would run {name}@{}",
                interval_text::format(*interval, &flow.grid)
            ));
        }
        say::talk(&format!(
            "{} in all; nothing was run (--dry-run)",
            say::count(intervals.len() as u64, "interval")
        ));
        return Ok(0);
    }
    let asked = serving::FlowAsked {
        flow: flow.clone(),
        intervals,
        params,
        is_quiet: false,
    };
    serving::run_flow(opened, &asked, flags.parallel).await
}

/// Backfills as the ledger has them.
async fn list(opened: &Opened, json: bool) -> Outcome {
    let all = match opened.ledger_to_read().await? {
        Some(store) => store.backfills(MAX_LISTED).await?,
        None => Vec::new(),
    };
    let rows: Vec<BackfillRow> = all.iter().map(BackfillRow::from).collect();
    if json {
        let rows: Vec<_> = rows.iter().map(|row| row_json(opened, row)).collect();
        say::json(&json!(rows));
        return Ok(0);
    }
    if rows.is_empty() {
        say::talk("no backfill was made in a server yet");
        return Ok(0);
    }
    let cells = rows.iter().map(|row| {
        vec![
            row.backfill.to_string(),
            state_word(row.state).to_owned(),
            row.filled.to_string(),
            row.failed.to_string(),
            row.open.to_string(),
            row.left.to_string(),
            say::moment(row.made_at, &opened.project.zone),
            row.selector.clone(),
        ]
    });
    let heads = ["backfill", "state", "filled", "failed", "open", "left", "made", "what"];
    let cells: Vec<Vec<String>> = cells.collect();
    say::print(&say::table(&heads, &cells, &[0, 2, 3, 4, 5]));
    Ok(0)
}

/// A backfill as other programs read it: its times as everywhere.
fn row_json(opened: &Opened, row: &BackfillRow) -> serde_json::Value {
    let at = |at| format_instant(at, &opened.project.zone);
    let mut told = json!(row);
    told["made_at"] = json!(at(row.made_at));
    told["ended_at"] = json!(row.ended_at.map(at));
    told
}

fn state_word(state: mulgil_server::BackfillState) -> &'static str {
    use mulgil_server::BackfillState as State;
    match state {
        State::Running => "running",
        State::Paused => "paused",
        State::Done => "done",
        State::Failed => "failed",
        State::Cancelled => "cancelled",
    }
}

/// Holds one back, lets it go on or ends it: in the server, or in the ledger where none runs.
async fn change(global: &Global, change: Change, backfill: i64, verb: Verb) -> Outcome {
    let opened = wire::open(global)?;
    if let Some(outcome) = handed::over(&opened, &verb).await? {
        return Ok(outcome);
    }
    let (runner, right) = opened.runner("mulgil backfill", None).await?;
    let changed = runner
        .store
        .change_backfill(backfill, change, "mulgil backfill", wire::now())
        .await;
    right.give_back().await;
    let (changed, _) = changed?;
    handed::tell_backfill(&BackfillRow::from(&changed));
    Ok(0)
}

impl Named {
    /// `--from` and `--to` on a grid; what has no grid takes neither.
    fn between(&self, of: &str, grid: &Grid) -> Result<Option<Interval>, Faults> {
        if self.from.is_none() && self.to.is_none() {
            return Ok(None);
        }
        if !grid.is_cut() {
            return Err(
                Diagnostic::error(codes::BAD_INTERVAL, format!("`{of}` is not filled by intervals"))
                    .with_remedy("leave `--from` and `--to` away, or select other nodes")
                    .into(),
            );
        }
        let edge = |text: &Option<String>| -> Result<Option<Interval>, Diagnostic> {
            text.as_deref().map(|text| interval_text::parse(text, grid)).transpose()
        };
        let (from, to) = (edge(&self.from)?, edge(&self.to)?);
        let extent = grid.extent();
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

    fn filtered(&self, opened: &Opened, state: &State, named: Vec<(Instance, RangeSet)>) -> Vec<(Instance, RangeSet)> {
        let forecast = Forecast::new(&opened.project, state, wire::now());
        let keep = |instance: &Instance, ranges: RangeSet| {
            let Some(terms) = forecast.terms(instance) else {
                return RangeSet::new();
            };
            match self.only {
                Filter::All => ranges,
                Filter::Missing => ranges.subtract(&terms.filled),
                Filter::Failed => {
                    let failing = state.nodes.get(instance).map(|state| state.failing.keys());
                    ranges.intersect(&failing.unwrap_or_default())
                }
                Filter::Stale => ranges.intersect(&terms.stale.keys()),
            }
        };
        let kept = named.into_iter().map(|(instance, ranges)| {
            let ranges = keep(&instance, ranges);
            (instance, ranges)
        });
        kept.filter(|(_, ranges)| !ranges.is_empty()).collect()
    }
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
