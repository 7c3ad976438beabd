//! The list of flows: each with when it comes next, and its newest run. One query.

use mulgil_core::{interval::Instant, project::Project};
use mulgil_server::{ListQuery, Page};
use mulgil_store::Store;
use mulgil_web::view::{
    Paging,
    list::{FlowRow, Flows, ROWS_SHOWN},
};

use super::{
    counted,
    names::{encoded, flow_link},
    picture::Picture,
};
use crate::wire::Opened;

/// The flows whose names have what is looked for.
pub(super) async fn flows(opened: &Opened, store: &Store, _: &Picture, now: Instant, query: ListQuery) -> Page<Flows> {
    let making = async {
        let (names, has_more) = named(&opened.project, &query);
        let newest = store.newest_runs_of(&names).await?;
        let rows = names
            .iter()
            .filter_map(|name| opened.project.flow(name))
            .map(|flow| FlowRow {
                name: flow_link(&flow.name),
                schedule: flow.schedule.as_ref().map(|schedule| schedule.cron.as_str().to_owned()),
                next_at: flow.next_tick(now),
                last: newest.get(&flow.name).map(|run| (run.id, run.state, run.started_at)),
            });
        let view = Flows {
            rows: rows.collect(),
            paging: paging(&query, names.last().filter(|_| has_more)),
            search: query.search.clone(),
        };
        Ok((view, vec!["today".to_owned()]))
    };
    counted(making).await
}

/// The names of one page, and whether there are more behind them.
fn named<'a>(project: &'a Project, query: &ListQuery) -> (Vec<&'a str>, bool) {
    let wanted = query.search.to_lowercase();
    let after = query.after.as_deref().unwrap_or_default();
    let names = project.flows.iter().map(|flow| flow.name.as_str());
    let mut names: Vec<&str> = names
        .filter(|name| *name > after && name.to_lowercase().contains(&wanted))
        .collect();
    names.sort_unstable();
    let has_more = names.len() > ROWS_SHOWN;
    names.truncate(ROWS_SHOWN);
    (names, has_more)
}

fn paging(query: &ListQuery, last: Option<&&str>) -> Paging {
    let search = encoded(&query.search);
    Paging {
        newer: query.after.is_some().then(|| format!("/flows?q={search}")),
        older: last.map(|name| format!("/flows?q={search}&after={}", encoded(name))),
    }
}
