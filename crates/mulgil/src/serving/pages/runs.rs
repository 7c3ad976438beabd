//! The list of runs, newest first. One query.

use std::time::Duration;

use mulgil_core::{
    grid::Grid,
    interval::{Instant, Interval},
    project::Project,
    run::RunState,
};
use mulgil_server::{ListQuery, Page};
use mulgil_store::{Store, page::RunHead};
use mulgil_web::view::{
    Link, Named, Paging,
    list::{ROWS_SHOWN, RunRow, Runs},
};

use super::{
    counted,
    names::{flow_link, named},
    picture::Picture,
};
use crate::wire::Opened;

/// The newest runs: all, or those of a state.
pub(super) async fn runs(opened: &Opened, store: &Store, _: &Picture, now: Instant, query: ListQuery) -> Page<Runs> {
    let making = async {
        let before = query.after.as_deref().and_then(|after| after.parse().ok());
        let runs = store
            .runs_before(query.only, before.unwrap_or(i64::MAX), ROWS_SHOWN + 1)
            .await?;
        let has_more = runs.len() > ROWS_SHOWN;
        let rows: Vec<RunRow> = runs
            .iter()
            .take(ROWS_SHOWN)
            .map(|run| row(&opened.project, run, now))
            .collect();
        let view = Runs {
            only: query.only,
            paging: Paging {
                newer: before.map(|_| href(query.only, None)),
                older: rows
                    .last()
                    .filter(|_| has_more)
                    .map(|row| href(query.only, Some(row.id))),
            },
            rows,
        };
        Ok((view, vec!["today".to_owned()]))
    };
    counted(making).await
}

/// A run's interval, as its flow names it; none of a flow without intervals.
pub(super) fn interval_of(project: &Project, run: &RunHead) -> Option<Named> {
    let range = run.interval.filter(|range| *range != Interval::WHOLE)?;
    let grid = run
        .flow
        .as_deref()
        .and_then(|flow| project.flow(flow))
        .map(|flow| flow.grid.clone());
    // Of a flow that is gone nobody knows the grid: the ends are told.
    Some(named(range, &grid.unwrap_or_else(|| Grid::whole(project.zone.clone()))))
}

/// How long a run took, or takes so far.
pub(super) fn took(started_at: Instant, ended_at: Option<Instant>, now: Instant) -> Duration {
    let micros = ended_at.unwrap_or(now).0.saturating_sub(started_at.0);
    Duration::from_micros(micros.max(0).unsigned_abs())
}

fn row(project: &Project, run: &RunHead, now: Instant) -> RunRow {
    RunRow {
        id: run.id,
        what: match &run.flow {
            Some(flow) => flow_link(flow),
            None => Link {
                text: run.selector.clone(),
                href: None,
            },
        },
        interval: interval_of(project, run),
        trigger: run.trigger,
        state: run.state,
        started_at: run.started_at,
        took: took(run.started_at, run.ended_at, now),
    }
}

fn href(only: Option<RunState>, before: Option<i64>) -> String {
    let fields = [
        only.map(|state| format!("state={}", state.as_str())),
        before.map(|run| format!("after={run}")),
    ];
    let fields: Vec<String> = fields.into_iter().flatten().collect();
    match fields.as_slice() {
        [] => "/runs".to_owned(),
        fields => format!("/runs?{}", fields.join("&")),
    }
}
