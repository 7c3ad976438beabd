//! What has changed since a fact: of whom somebody who keeps the ledger's state in memory reads anew.

use std::collections::BTreeSet;

use mulgil_core::{
    flow::name,
    interval::RangeSet,
    name::{Instance, NodeName},
    port::Fault,
};

use crate::{
    Store,
    error::Error,
    fact::{Fact, Mark},
    sql::{self, Conn},
};

/// Facts that are read one by one; where more have come all is read anew.
const FACTS_READ: i64 = 500;

/// Of what facts tell that came after a number.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct News {
    /// The number of the newest fact; 0 where there is none.
    pub newest: i64,
    /// Whether anything may have changed: there are too many, or one of them reaches far.
    pub is_of_all: bool,
    /// Nodes, sources and flows (`flow:NAME`) of which they tell.
    pub instances: BTreeSet<Instance>,
    /// Runs of which they tell.
    pub runs: BTreeSet<i64>,
}

impl Store {
    /// What has changed since the fact of that number.
    pub async fn news_after(&self, seq: i64) -> Result<News, Fault> {
        self.read(move |conn| Box::pin(async move { news(conn, seq).await }))
            .await
    }
}

async fn news(conn: &mut Conn, seq: i64) -> Result<News, Error> {
    let rows: Vec<(i64, Option<i64>, String)> =
        sql::query_as("select seq, run, payload from fact where seq > $1 order by seq limit $2")
            .bind(seq)
            .bind(FACTS_READ)
            .fetch_all(&mut *conn)
            .await?;
    let mut news = News {
        newest: rows.last().map_or(seq, |(seq, ..)| *seq),
        ..News::default()
    };
    if rows.len() as i64 == FACTS_READ {
        let newest: Option<(i64,)> = sql::query_as("select seq from fact order by seq desc limit 1")
            .fetch_optional(conn)
            .await?;
        news.newest = newest.map_or(news.newest, |(seq,)| seq);
        news.is_of_all = true;
    }
    for (_, run, payload) in rows {
        news.runs.extend(run);
        let fact: Fact = serde_json::from_str(&payload)?;
        news.runs.extend(fact.run());
        news.hear(&fact);
    }
    Ok(news)
}

impl News {
    fn hear(&mut self, fact: &Fact) {
        match fact {
            Fact::RunBegan(began) => {
                self.ranges(&began.manual);
                self.ranges(&began.again);
                self.instances.extend(began.named.iter().cloned());
            }
            Fact::Claimed(claimed) => self.instance(&claimed.instance),
            Fact::Filled(filled) => {
                self.instance(&filled.instance);
                self.ranges(&filled.removed);
                self.marks(&filled.marks);
            }
            Fact::Failed(failed) => self.instance(&failed.instance),
            Fact::Tested(tested) => {
                self.node(&tested.node);
                self.instances.extend(tested.instances.iter().cloned());
            }
            Fact::SourceChanged(changed) => {
                self.node(&changed.source);
                self.marks(&changed.marks);
                self.marks(&changed.left);
            }
            Fact::Published(published) => self.node(&published.node),
            Fact::Waived { instance, .. } => self.instance(instance),
            Fact::Ticked(ticked) => self.node(&NodeName::new(&ticked.owner)),
            Fact::FlowBegan(began) => self.flow(&began.flow),
            Fact::StepsBegan(began) => self.flow(&began.flow),
            Fact::StepsEnded(ended) => self.flow(&ended.flow),
            Fact::FlowEnded(ended) => self.instance(&ended.instance),
            Fact::FlowReopened(reopened) => self.flow(&reopened.flow),
            Fact::BackfillAsked(asked) => self.ranges(&asked.ranges),
            Fact::BackfillPaused(paused) => self.ranges(&paused.given_back),
            Fact::BackfillCancelled(cancelled) => {
                self.ranges(&cancelled.withdrawn);
                self.runs.extend(&cancelled.runs);
            }
            Fact::Crashed { runs, .. } => {
                self.runs.extend(runs);
                self.is_of_all = true;
            }
            Fact::RolledBack(_) | Fact::TargetChanged(_) | Fact::TargetVanished(_) | Fact::Dropped(_) => {
                self.is_of_all = true;
            }
            Fact::RunEnded { .. }
            | Fact::SequenceRaised { .. }
            | Fact::FlowDefined(_)
            | Fact::FlowCancelled { .. }
            | Fact::BackfillMade(_)
            | Fact::BackfillResumed { .. } => {}
        }
    }

    fn instance(&mut self, instance: &Instance) {
        self.instances.insert(instance.clone());
    }

    fn node(&mut self, node: &NodeName) {
        self.instances.insert(Instance::of(node.clone()));
    }

    fn flow(&mut self, flow: &str) {
        self.node(&NodeName::new(name::of_flow(flow)));
    }

    fn ranges(&mut self, ranges: &[(Instance, RangeSet)]) {
        let instances = ranges.iter().map(|(instance, _)| instance.clone());
        self.instances.extend(instances);
    }

    fn marks(&mut self, marks: &[Mark]) {
        self.instances.extend(marks.iter().map(|mark| mark.instance.clone()));
    }
}
