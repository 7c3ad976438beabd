//! Lists of runs.

use std::collections::BTreeMap;

use mulgil_core::{port::Fault, run::RunState};
use sqlx::AssertSqlSafe;

use super::{HeadRow, RunHead, head, head_columns};
use crate::{Store, sql};

/// Flows that one statement names are filled up to a multiple of this, so that there are few such statements.
const FLOWS_STEP: usize = 20;

impl Store {
    /// Runs with numbers below `before`, newest first: all, or those of a state.
    pub async fn runs_before(&self, only: Option<RunState>, before: i64, limit: usize) -> Result<Vec<RunHead>, Fault> {
        self.read(move |conn| {
            Box::pin(async move {
                let query = match only {
                    None => sql::query_as(concat!(
                        "select ",
                        head_columns!(),
                        " from run r left join flow_run f on f.run = r.id
                         where r.id < $1 order by r.id desc limit $2"
                    )),
                    Some(_) => sql::query_as(concat!(
                        "select ",
                        head_columns!(),
                        " from run r left join flow_run f on f.run = r.id
                         where r.state = $3 and r.id < $1 order by r.id desc limit $2"
                    )),
                };
                let query = query.bind(before).bind(limit as i64);
                let query = match only {
                    None => query,
                    Some(state) => query.bind(state.as_str()),
                };
                let rows: Vec<HeadRow> = query.fetch_all(conn).await?;
                rows.into_iter().map(head).collect()
            })
        })
        .await
    }

    /// The newest run of each of these flows, which are as many as a page shows.
    pub async fn newest_runs_of(&self, flows: &[&str]) -> Result<BTreeMap<String, RunHead>, Fault> {
        let Some(first) = flows.first() else {
            return Ok(BTreeMap::new());
        };
        let asked = flows.len().next_multiple_of(FLOWS_STEP);
        let mut names: Vec<String> = flows.iter().map(|flow| (*flow).to_owned()).collect();
        names.resize(asked, (*first).to_owned());
        // One look into the index for each; to group by flow would read all of their runs.
        let newest: Vec<String> = (1..=asked)
            .map(|at| format!("select (select max(run) from flow_run where flow = ${at}) as run"))
            .collect();
        let select = format!(
            "select {} from ({}) n join run r on r.id = n.run join flow_run f on f.run = n.run",
            head_columns!(),
            newest.join(" union ")
        );
        self.read(move |conn| {
            Box::pin(async move {
                let mut query = sql::query_as(AssertSqlSafe(select));
                for name in names {
                    query = query.bind(name);
                }
                let rows: Vec<HeadRow> = query.fetch_all(conn).await?;
                let mut heads = BTreeMap::new();
                for row in rows {
                    let newest = head(row)?;
                    heads.extend(newest.flow.clone().map(|flow| (flow, newest)));
                }
                Ok(heads)
            })
        })
        .await
    }
}
