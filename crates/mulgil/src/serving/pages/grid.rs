//! The grid of a flow: which columns it has, and how each step stands in each of them. Pure.

use std::{collections::BTreeMap, time::Duration};

use mulgil_core::{
    flow::{Flow, Step, StepKind},
    interval::{Instant, Interval, RangeMap},
    name::{Instance, NodeName},
    project::Project,
    run::RunState,
    why::Status,
};
use mulgil_store::page::{CellRow, FlowRuns, RunHead, Toward};
use mulgil_web::view::{
    Link, Mark, Paging,
    flow::{Cell, Column, Order, ROWS_SHOWN, RUNS_SHOWN, Row},
};

use super::{
    names::{attempt_href, mark, named, run_href, table_href},
    runs::took,
};

/// The columns of a page, oldest first, and the places at which it goes on.
pub(super) struct Columns {
    /// Them.
    pub(super) all: Vec<Column>,
    /// Where what is older begins.
    pub(super) older: Option<i64>,
    /// Where what is newer begins.
    pub(super) newer: Option<i64>,
}

/// What was asked for.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// By what columns stand.
    pub(super) order: Order,
    /// From where on.
    pub(super) toward: Toward,
    /// Whether it is the page that nobody paged to.
    pub(super) is_first: bool,
    /// How intervals stand; nothing where only runs are wanted.
    pub(super) expected: Option<&'a RangeMap<Status>>,
}

/// How a table stands in the interval of a column.
pub(super) struct TableCell {
    /// How.
    pub(super) mark: Mark,
    /// The page that says why.
    pub(super) href: String,
}

impl Columns {
    /// The addresses at which it goes on; `page` is the page up to its place.
    pub(super) fn paging(&self, page: &str) -> Paging {
        Paging {
            newer: self.newer.map(|place| format!("{page}after={place}")),
            older: self.older.map(|place| format!("{page}before={place}")),
        }
    }
}

/// The columns of some runs, with intervals between them that have none.
pub(super) fn columns(flow: &Flow, found: FlowRuns, asked: Asked<'_>, now: Instant) -> Columns {
    let place_of = |run: &RunHead| match asked.order {
        Order::Start => run.id,
        Order::Interval => run.interval.map_or(run.id, |interval| interval.start.0),
    };
    let runs = found.runs.iter().map(|run| (place_of(run), of_run(flow, run, now)));
    let expected = asked
        .expected
        .map(|statuses| expected(flow, statuses, asked.toward, now))
        .unwrap_or_default();
    let mut all: BTreeMap<i64, Column> = expected.into_iter().collect();
    // Where an interval has a run, that is shown.
    all.extend(runs);
    let mut all: Vec<(i64, Column)> = all.into_iter().collect();
    let count = all.len();
    let has_more = count > RUNS_SHOWN || found.next.is_some();
    let is_newer = match asked.toward {
        Toward::Older(_) => {
            all.drain(..count.saturating_sub(RUNS_SHOWN));
            false
        }
        Toward::Newer(_) => {
            all.truncate(RUNS_SHOWN);
            true
        }
    };
    let (first, last) = (
        all.first().map(|(place, _)| *place),
        all.last().map(|(place, _)| *place),
    );
    // A page of few runs of a state goes on where it was looked up to.
    let (far_older, far_newer) = match asked.toward {
        Toward::Older(place) => (
            found.next.filter(|_| count <= RUNS_SHOWN).or(first),
            last.or(Some(place - 1)),
        ),
        Toward::Newer(place) => (
            first.or(Some(place + 1)),
            found.next.filter(|_| count <= RUNS_SHOWN).or(last),
        ),
    };
    Columns {
        all: all.into_iter().map(|(_, column)| column).collect(),
        older: far_older.filter(|_| has_more || is_newer),
        newer: far_newer.filter(|_| if is_newer { has_more } else { !asked.is_first }),
    }
}

/// The rows: steps in their order, tables behind the steps that fill them, then steps that only older runs have.
/// With them comes how many are not shown.
pub(super) fn rows(
    project: &Project,
    flow: &Flow,
    columns: &[Column],
    cells: &[CellRow],
    tables: &dyn Fn(&NodeName, Interval) -> Option<TableCell>,
) -> (Vec<Row>, u64) {
    let mut by_step: BTreeMap<&str, BTreeMap<i64, &CellRow>> = BTreeMap::new();
    for cell in cells {
        by_step.entry(&cell.step).or_default().insert(cell.run, cell);
    }
    let nothing = BTreeMap::new();
    let mut rows = Vec::new();
    let mut count = 0;
    let mut put = |row: &dyn Fn() -> Row| {
        count += 1;
        if rows.len() < ROWS_SHOWN {
            rows.push(row());
        }
    };
    for step in &flow.steps {
        let own = by_step.remove(step.name.as_str());
        let own = own.as_ref().unwrap_or(&nothing);
        put(&|| of_step(&step.name, step.kind.word(), columns, own, true));
        for node in filled_by(step) {
            put(&|| of_table(project, node, columns, tables));
        }
    }
    for (step, own) in &by_step {
        put(&|| of_step(step, "step", columns, own, false));
    }
    let more = count - rows.len();
    (rows, more as u64)
}

fn of_run(flow: &Flow, run: &RunHead, now: Instant) -> Column {
    Column {
        interval: run
            .interval
            .filter(|range| *range != Interval::WHOLE)
            .map(|range| named(range, &flow.grid)),
        run: Some(run.id),
        mark: Mark::Run(run.state),
        started_at: Some(run.started_at),
        took: Some(took(run.started_at, run.ended_at, now)),
    }
}

/// Intervals of which something is expected or known, from a place on: as many as a page has, and one more.
fn expected(flow: &Flow, statuses: &RangeMap<Status>, toward: Toward, now: Instant) -> Vec<(i64, Column)> {
    let grid = &flow.grid;
    let column = |interval: Interval, status: &Status| {
        let column = Column {
            interval: Some(named(interval, grid)),
            run: None,
            mark: mark(status),
            started_at: None,
            took: None,
        };
        (interval.start.0, column)
    };
    let known = statuses
        .iter()
        .filter(|(_, status)| !matches!(status, Status::NotExpected));
    match toward {
        Toward::Older(place) => {
            // Nothing is expected of a time to come, whatever was given up of it.
            let until = if place > now.0 {
                grid.next_cut(now)
            } else {
                grid.ceil(Instant(place))
            };
            let within = |range: Interval| Interval::new(range.start, range.end.min(until));
            let newest = known.rev().filter_map(|(range, status)| Some((within(range)?, status)));
            let each = newest.flat_map(|(range, status)| {
                let ends = std::iter::successors(Some(range.end), |end| Some(grid.prev_cut(*end)));
                let starts = ends.skip(1).take_while(move |start| *start >= range.start);
                starts.map(move |start| column(grid.interval_at(start), status))
            });
            each.filter(|(start, _)| *start < place).take(RUNS_SHOWN + 1).collect()
        }
        Toward::Newer(place) => {
            let behind = Instant(place.saturating_add(1));
            let until = grid.next_cut(now);
            let within = |range: Interval| Interval::new(range.start.max(grid.floor(behind)), range.end.min(until));
            let oldest = known.filter_map(|(range, status)| Some((within(range)?, status)));
            let each =
                oldest.flat_map(|(range, status)| grid.intervals(range).map(move |interval| column(interval, status)));
            each.filter(|(start, _)| *start > place).take(RUNS_SHOWN + 1).collect()
        }
    }
}

fn of_step(
    step: &str,
    kind: &'static str,
    columns: &[Column],
    cells: &BTreeMap<i64, &CellRow>,
    is_declared: bool,
) -> Row {
    let cell = |column: &Column| {
        let run = column.run?;
        match cells.get(&run) {
            Some(cell) => Some(of_cell(cell)),
            // A run that goes on comes to what is declared today, or has another definition.
            None => (is_declared && column.mark == Mark::Run(RunState::Running)).then_some(Cell {
                mark: Mark::Run(RunState::Planned),
                attempts: 0,
                took: None,
                href: None,
            }),
        }
    };
    Row {
        name: Link {
            text: step.to_owned(),
            href: None,
        },
        kind,
        depth: 0,
        cells: columns.iter().map(cell).collect(),
    }
}

fn of_cell(cell: &CellRow) -> Cell {
    let has_begun = cell.attempts > 0;
    Cell {
        mark: mark_of(cell.state, has_begun),
        attempts: cell.attempts,
        took: has_begun.then(|| Duration::from_micros(cell.took_us.max(0).unsigned_abs())),
        href: Some(if has_begun {
            attempt_href(cell.run, cell.task_run, cell.attempts)
        } else {
            format!("{}?tab=list", run_href(cell.run))
        }),
    }
}

/// How a task stands: one that waits and was tried is going to be tried again.
pub(super) fn mark_of(state: RunState, has_begun: bool) -> Mark {
    match state {
        RunState::Waiting if has_begun => Mark::Retrying,
        RunState::Waiting
        | RunState::Planned
        | RunState::Queued
        | RunState::Running
        | RunState::Success
        | RunState::Failed
        | RunState::Crashed
        | RunState::Cancelled
        | RunState::Skipped
        | RunState::UpstreamFailed => Mark::Run(state),
    }
}

/// The models that a step fills.
fn filled_by(step: &Step) -> &[NodeName] {
    match &step.kind {
        StepKind::Models { selected, .. } => selected,
        StepKind::Sql { .. } | StepKind::Command { .. } | StepKind::Python { .. } => &[],
    }
}

fn of_table(
    project: &Project,
    name: &NodeName,
    columns: &[Column],
    tables: &dyn Fn(&NodeName, Interval) -> Option<TableCell>,
) -> Row {
    let cell = |column: &Column| {
        let standing = tables(name, column.interval.as_ref()?.range)?;
        Some(Cell {
            mark: standing.mark,
            attempts: 0,
            took: None,
            href: Some(standing.href),
        })
    };
    let href = project.node(name).map(|_| table_href(&Instance::of(name.clone())));
    Row {
        name: Link {
            text: name.to_string(),
            href,
        },
        kind: "table",
        depth: 1,
        cells: columns.iter().map(cell).collect(),
    }
}

#[cfg(test)]
mod tests {
    use mulgil_core::{
        grid::{Cut, Grid, Unit, Zone},
        interval_text,
        run::Trigger,
    };

    use super::*;

    fn flow() -> Flow {
        let grid = Grid {
            cut: Cut::Unit(Unit::Day),
            ..Grid::whole(Zone::UTC)
        };
        Flow {
            grid,
            ..Flow::new("sales", "flows/sales.yml")
        }
    }

    /// 2026-11-22.
    const NOW: Instant = Instant(1_795_305_600_000_000);

    fn range(text: &str) -> Interval {
        interval_text::parse(text, &flow().grid).unwrap()
    }

    fn run(id: i64, day: &str, state: RunState) -> RunHead {
        RunHead {
            id,
            trigger: Trigger::Schedule,
            selector: "flow:sales".to_owned(),
            state,
            started_at: Instant(0),
            ended_at: Some(Instant(5_000_000)),
            flow: Some("sales".to_owned()),
            interval: Some(range(day)),
            scheduled_at: None,
        }
    }

    fn statuses(of: &[(&str, Status)]) -> RangeMap<Status> {
        let mut statuses = RangeMap::new();
        for (text, status) in of {
            statuses.insert(range(text), status.clone());
        }
        statuses
    }

    fn told(columns: &Columns) -> Vec<(String, Option<i64>, Mark)> {
        let told = columns.all.iter();
        told.map(|column| (column.interval.clone().unwrap().name, column.run, column.mark))
            .collect()
    }

    #[test]
    fn intervals_without_runs_stand_between_those_that_have_them() {
        let statuses = statuses(&[
            ("2026-11-01..2026-11-03", Status::Fresh),
            ("2026-11-03", Status::Missing),
            ("2026-11-04", Status::Waived),
            ("2026-11-05", Status::Running),
        ]);
        let found = FlowRuns {
            runs: vec![
                run(9, "2026-11-05", RunState::Running),
                run(4, "2026-11-02", RunState::Success),
            ],
            next: None,
        };
        let asked = Asked {
            order: Order::Interval,
            toward: Toward::Older(i64::MAX),
            is_first: true,
            expected: Some(&statuses),
        };
        let columns = columns(&flow(), found, asked, NOW);
        let ok = Mark::Run(RunState::Success);
        assert_eq!(
            told(&columns),
            [
                ("2026-11-01".to_owned(), None, ok),
                ("2026-11-02".to_owned(), Some(4), ok),
                ("2026-11-03".to_owned(), None, Mark::Missing),
                ("2026-11-04".to_owned(), None, Mark::Waived),
                ("2026-11-05".to_owned(), Some(9), Mark::Run(RunState::Running)),
            ]
        );
        assert_eq!((columns.older, columns.newer), (None, None));
    }

    #[test]
    fn ten_years_of_intervals_are_paged_in_either_direction() {
        let statuses = statuses(&[("2016..2026", Status::Missing)]);
        let nothing = || FlowRuns {
            runs: Vec::new(),
            next: None,
        };
        let of = |toward, is_first| {
            let asked = Asked {
                order: Order::Interval,
                toward,
                is_first,
                expected: Some(&statuses),
            };
            columns(&flow(), nothing(), asked, NOW)
        };
        let ends = |columns: &Columns| {
            let told = told(columns);
            (told[0].0.clone(), told[told.len() - 1].0.clone())
        };
        let newest = of(Toward::Older(i64::MAX), true);
        assert_eq!(ends(&newest), ("2025-12-07".to_owned(), "2025-12-31".to_owned()));
        assert_eq!(newest.newer, None);
        let older = of(Toward::Older(newest.older.unwrap()), false);
        assert_eq!(ends(&older), ("2025-11-12".to_owned(), "2025-12-06".to_owned()));
        let back = of(Toward::Newer(older.newer.unwrap()), false);
        assert_eq!(told(&back), told(&newest));
        assert_eq!((back.newer, back.older), (None, newest.older));
        assert_eq!(
            newest.paging("/flows/sales?").older.unwrap(),
            format!("/flows/sales?before={}", range("2025-12-07").start.0)
        );
    }

    #[test]
    fn few_runs_of_a_state_go_on_where_it_was_looked_up_to() {
        let found = FlowRuns {
            runs: vec![run(90, "2026-11-05", RunState::Failed)],
            next: Some(17),
        };
        let asked = Asked {
            order: Order::Start,
            toward: Toward::Older(i64::MAX),
            is_first: true,
            expected: None,
        };
        let columns = columns(&flow(), found, asked, NOW);
        assert_eq!((columns.older, columns.newer), (Some(17), None));
    }

    #[test]
    fn a_cell_leads_to_its_newest_attempt() {
        let cell = |state, attempts| {
            of_cell(&CellRow {
                run: 7,
                task_run: 3,
                step: "load".to_owned(),
                state,
                attempts,
                took_us: 1_500_000,
            })
        };
        let failed = cell(RunState::Failed, 2);
        assert_eq!(failed.href.as_deref(), Some("/runs/7/tasks/3/attempts/2"));
        assert_eq!(failed.took, Some(Duration::from_millis(1_500)));
        assert_eq!(cell(RunState::Waiting, 1).mark, Mark::Retrying);
        let skipped = cell(RunState::Skipped, 0);
        assert_eq!(
            (skipped.took, skipped.href.as_deref()),
            (None, Some("/runs/7?tab=list"))
        );
    }
}
