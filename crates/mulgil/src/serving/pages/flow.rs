//! A flow: its runs by interval or by start, steps × runs; when it comes, and what of it was never filled. Three
//! queries: its runs, their cells, its newest tick.

use std::fmt::Write as _;

use mulgil_core::{
    flow::{Flow, name},
    grid::Cut,
    interval::{Instant, Interval, RangeMap, RangeSet},
    interval_text,
    run::RunState,
    schedule::Schedule,
    tick::Fate,
    why::Status,
};
use mulgil_server::{FlowQuery, Page};
use mulgil_store::{
    ScheduleKey, Store, TickRow,
    page::{CellsOf, FlowOrder, Toward},
};
use mulgil_web::view::{
    Fix, Here, Mark,
    flow::{self as view, Order, ROWS_SHOWN, RUNS_SHOWN, TickFate},
};

use super::{
    cells::in_words,
    counted, faults,
    grid::{Asked, Columns, TableCell, columns, rows},
    names::{self, encoded, flow_href, gravity},
    picture::Picture,
};
use crate::wire::Opened;

/// Ticks to come that are told.
const NEXT_TICKS: usize = 5;

/// A flow's runs.
pub(super) async fn flow(
    opened: &Opened,
    store: &Store,
    picture: &Picture,
    now: Instant,
    name: &str,
    query: FlowQuery,
) -> Page<view::Flow> {
    let making = async {
        let project = &opened.project;
        let flow = project.flow(name).ok_or_else(|| faults::no_flow(project, name))?;
        let nothing = RangeMap::new();
        let statuses = picture
            .standing(&flow.instance())
            .map_or(&nothing, |standing| &standing.statuses);
        let columns = shown(store, flow, statuses, &query, now).await?;
        let runs: Vec<i64> = columns.all.iter().filter_map(|column| column.run).collect();
        let steps: Vec<&str> = flow
            .steps
            .iter()
            .map(|step| step.name.as_str())
            .take(ROWS_SHOWN)
            .collect();
        let of = if flow.steps.len() > ROWS_SHOWN {
            CellsOf::Steps(&steps)
        } else {
            CellsOf::All
        };
        let cells = store.flow_cells(name, &runs, of, now).await?;
        let tables = |node: &_, interval| table_cell(picture, node, interval);
        let (rows, more_rows) = rows(project, flow, &columns.all, &cells, &tables);
        let last = match &flow.schedule {
            Some(schedule) => store.newest_tick(key(flow, schedule)).await?,
            None => None,
        };
        let running = columns
            .all
            .iter()
            .filter(|column| column.mark == Mark::Run(RunState::Running));
        let running = running.filter_map(|column| Some(format!("run:{}", column.run?)));
        let topics = std::iter::once(format!("flow:{name}")).chain(running).collect();
        let view = view::Flow {
            name: flow.name.clone(),
            description: flow.description.clone(),
            path: flow.file.display().to_string(),
            owner: flow.owner.clone(),
            schedule: flow.schedule.as_ref().map(|schedule| comes(flow, schedule, last, now)),
            unit: unit(flow),
            order: order_of(flow, &query),
            only: query.only,
            paging: columns.paging(&page_of(flow, &query)),
            columns: columns.all,
            rows,
            more_rows,
            holes: holes(flow, statuses),
            run_href: Some(format!("{}/run", flow_href(name))),
        };
        Ok((view, topics))
    };
    counted(Box::pin(making)).await
}

/// The columns that are asked for.
async fn shown(
    store: &Store,
    flow: &Flow,
    statuses: &RangeMap<Status>,
    query: &FlowQuery,
    now: Instant,
) -> Result<Columns, mulgil_core::port::Fault> {
    let order = order_of(flow, query);
    let toward = match (query.before, query.after) {
        (Some(before), _) => Toward::Older(before),
        (None, Some(after)) => Toward::Newer(after),
        (None, None) => Toward::Older(i64::MAX),
    };
    let by = match order {
        Order::Interval => FlowOrder::Interval,
        Order::Start => FlowOrder::Start,
    };
    let found = store.flow_runs(&flow.name, by, query.only, toward, RUNS_SHOWN).await?;
    // Whoever asks for runs of a state does not ask for intervals without runs.
    let wants_holes = order == Order::Interval && query.only.is_none();
    let asked = Asked {
        order,
        toward,
        is_first: query.before.is_none() && query.after.is_none(),
        expected: wants_holes.then_some(statuses),
    };
    Ok(columns(flow, found, asked, now))
}

/// A flow without intervals has its runs by start.
fn order_of(flow: &Flow, query: &FlowQuery) -> Order {
    if query.by_start || !flow.grid.is_cut() {
        Order::Start
    } else {
        Order::Interval
    }
}

/// The page without its place, for what is asked besides.
fn page_of(flow: &Flow, query: &FlowQuery) -> String {
    let mut page = format!("{}?", flow_href(&flow.name));
    // It is a text: nothing can fail.
    if query.by_start {
        page.push_str("order=start&");
    }
    if let Some(state) = query.only {
        let _ = write!(page, "state={}&", state.as_str());
    }
    page
}

fn key(flow: &Flow, schedule: &Schedule) -> ScheduleKey {
    ScheduleKey {
        owner: name::of_flow(&flow.name),
        schedule: schedule.to_string(),
    }
}

fn unit(flow: &Flow) -> Option<String> {
    match &flow.grid.cut {
        Cut::Whole => None,
        Cut::Unit(unit) => Some(unit.as_str().to_owned()),
        Cut::Cron(cron) => Some(cron.as_str().to_owned()),
    }
}

/// When it comes, and what became of its newest tick.
fn comes(flow: &Flow, schedule: &Schedule, last: Option<TickRow>, now: Instant) -> view::Schedule {
    let next = flow.next_ticks(now);
    let fate = |row: &TickRow| match (row.tick.fate, row.run) {
        (Fate::Runs, Some(run)) => Some(TickFate::Ran(run)),
        (Fate::Runs, None) => Some(TickFate::Queued),
        (Fate::Coalesced { into }, _) => {
            let into = interval_text::format_instant(into, &schedule.zone);
            Some(TickFate::Missed(format!("coalesced into {into}")))
        }
        (Fate::Missed, _) => Some(TickFate::Missed(Fate::Missed.as_str().to_owned())),
        // Nobody kept time for it yet.
        (Fate::Before, _) => None,
    };
    view::Schedule {
        cron: schedule.cron.as_str().to_owned(),
        zone: schedule.zone.name().to_owned(),
        next: next.take(NEXT_TICKS).collect(),
        last: last.and_then(|row| Some((row.tick.scheduled_at, fate(&row)?))),
        deadline: flow.deadline.as_ref().map(|deadline| deadline.by.clone()),
        comes_late: flow.comes_late(now).is_some(),
    }
}

/// What is wanted and was never filled, and what fills it.
fn holes(flow: &Flow, statuses: &RangeMap<Status>) -> Option<(String, u64, Fix)> {
    let missing: RangeSet = statuses.keys_where(|status| *status == Status::Missing);
    let span = missing.span()?;
    let grid = &flow.grid;
    let edge = |at| interval_text::format(grid.interval_at(at), grid);
    let (from, to) = (edge(span.start), edge(span.end));
    let fix = Fix {
        command: format!("mulgil backfill flow:{} --from {from} --to {to} --missing", flow.name),
        here: Some(Here::Form(format!(
            "{}/backfill?from={}&to={}&only=missing",
            flow_href(&flow.name),
            encoded(&from),
            encoded(&to)
        ))),
    };
    Some((
        in_words(&missing, grid),
        missing.iter().map(|range| grid.count(range)).sum(),
        fix,
    ))
}

/// How a table stands for the interval of a run: the gravest of its instances.
fn table_cell(picture: &Picture, name: &mulgil_core::name::NodeName, interval: Interval) -> Option<TableCell> {
    let node = picture.project.node(name).filter(|node| node.grid.is_cut())?;
    let of = |standing: &super::standing::Standing| -> Option<Mark> {
        let marks = standing
            .statuses
            .within(interval)
            .map(|(_, status)| names::mark(status));
        marks.max_by_key(|mark| gravity(*mark))
    };
    let (instance, mark) = picture
        .of_node(name)
        .filter_map(|(instance, standing)| Some((instance, of(standing)?)))
        .max_by_key(|(_, mark)| gravity(*mark))?;
    let first = node.grid.interval_at(interval.start);
    Some(TableCell {
        mark,
        href: names::why_href(&names::target(instance, first, &node.grid)),
    })
}

#[cfg(test)]
mod tests {
    use mulgil_core::grid::{Grid, Unit, Zone};

    use super::*;

    #[test]
    fn what_was_never_filled_is_told_with_what_fills_it() {
        let grid = Grid {
            cut: Cut::Unit(Unit::Day),
            ..Grid::whole(Zone::UTC)
        };
        let flow = Flow {
            grid,
            ..Flow::new("sales", "flows/sales.yml")
        };
        let day = |text: &str| interval_text::parse(text, &flow.grid).unwrap();
        let mut statuses = RangeMap::new();
        statuses.insert(day("2026-11-01..2026-11-10"), Status::Fresh);
        statuses.insert(day("2026-11-03"), Status::Missing);
        statuses.insert(day("2026-11-05..2026-11-07"), Status::Missing);
        let (words, count, fix) = holes(&flow, &statuses).unwrap();
        assert_eq!((words.as_str(), count), ("2026-11-03, 2026-11-05..2026-11-07", 3));
        assert_eq!(
            fix.command,
            "mulgil backfill flow:sales --from 2026-11-03 --to 2026-11-07 --missing"
        );
        statuses.insert(day("2026-11-01..2026-11-10"), Status::Fresh);
        assert!(holes(&flow, &statuses).is_none());
    }
}
