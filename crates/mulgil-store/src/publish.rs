//! Which version of a table is published: the newest one, once the data tests over all of it have passed.

use std::collections::BTreeMap;

use mulgil_core::{
    interval::Instant,
    name::{Instance, NodeName, Relation},
    port::Fault,
    project::{Materialization, Node, Project},
    publish::is_after_tests,
    state::Cause,
};

use crate::{
    Store, apply, document,
    error::Error,
    fact::{Fact, Published},
    sql::{self, Conn},
    text,
};

/// The versions of one table: what is there, and what of it is seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    /// The newest that is known.
    pub newest: Option<i64>,
    /// The one that readers see.
    pub published: Option<i64>,
    /// Since when a newer one waits for its data tests.
    pub waits_since: Option<Instant>,
}

/// A node as far as publishing asks about it; cut out of the project so that it can wait in the writer's
/// queue.
#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    node: NodeName,
    relation: Relation,
    instances: Vec<Instance>,
    pub(crate) is_after_tests: bool,
}

impl Publisher {
    pub(crate) fn of(node: &Node) -> Self {
        Self {
            node: node.name.clone(),
            relation: node.relation.clone(),
            instances: node.instances(),
            is_after_tests: is_after_tests(node),
        }
    }

    /// Publishes the newest version, if nothing of the table waits for a data test any more.
    pub(crate) async fn publish(&self, conn: &mut Conn, now: Instant) -> Result<Option<i64>, Error> {
        let Some((version, table_id)) = self.waiting(&mut *conn).await? else {
            return Ok(None);
        };
        if self.is_after_tests && self.has_untested(&mut *conn, i64::MIN).await? {
            return Ok(None);
        }
        let published = Published {
            relation: self.relation.clone(),
            node: self.node.clone(),
            table_id,
            version,
        };
        apply::record(conn, &Fact::Published(published), now).await?;
        Ok(Some(version))
    }

    /// Whether anything that was filled after a fact waits for data tests.
    pub(crate) async fn has_untested(&self, conn: &mut Conn, after: i64) -> Result<bool, Error> {
        for instance in &self.instances {
            let document = document::load(&mut *conn, &text::of_instance(instance)).await?;
            if document.untested.iter().any(|(_, seq)| *seq > after) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether somebody else has written into it and nobody of us has filled that again.
    async fn is_foreign(&self, conn: &mut Conn) -> Result<bool, Error> {
        for instance in &self.instances {
            let document = document::load(&mut *conn, &text::of_instance(instance)).await?;
            if document.dirty().contains_key(&Cause::Target) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The newest version with the table's id, if readers see another.
    async fn waiting(&self, conn: &mut Conn) -> Result<Option<(i64, Option<String>)>, Error> {
        let row: Option<(Option<i64>, Option<i64>, Option<String>)> =
            sql::query_as("select newest, published, table_id from relation where relation = $1")
                .bind(text::of_relation(&self.relation))
                .fetch_optional(conn)
                .await?;
        Ok(row.and_then(|(newest, published, id)| (newest != published).then_some((newest?, id))))
    }
}

type VersionsRow = (String, String, Option<i64>, Option<i64>, Option<i64>);

impl Store {
    /// Publishes what nothing holds back any more: the newest versions of nodes that publish at once again,
    /// and those in which nothing waits for a data test. What somebody else wrote waits until it is filled
    /// again. Gives whose, and which version.
    pub async fn publish_tested(&self, project: &Project, now: Instant) -> Result<Vec<(NodeName, i64)>, Fault> {
        let tables = project
            .nodes
            .iter()
            .filter(|node| node.materialization != Materialization::View);
        let tables: Vec<Publisher> = tables.map(Publisher::of).collect();
        if !self.is_behind(&tables).await? {
            return Ok(Vec::new());
        }
        self.write(move |conn| {
            Box::pin(async move {
                let mut published = Vec::new();
                for table in tables {
                    if table.is_after_tests && table.is_foreign(&mut *conn).await? {
                        continue;
                    }
                    let version = table.publish(&mut *conn, now).await?;
                    published.extend(version.map(|version| (table.node, version)));
                }
                Ok(published)
            })
        })
        .await
    }

    /// What of each table is there, and what of it is seen.
    pub async fn versions(&self) -> Result<BTreeMap<Relation, Versions>, Fault> {
        self.read(|conn| {
            Box::pin(async move {
                let rows: Vec<VersionsRow> = sql::query_as(
                    "select schema_name, name, newest, published, waits_since from relation where newest is not null",
                )
                .fetch_all(conn)
                .await?;
                let versions = |(schema, name, newest, published, since): VersionsRow| {
                    let versions = Versions {
                        newest,
                        published,
                        waits_since: since.map(Instant),
                    };
                    (Relation { schema, name }, versions)
                };
                Ok(rows.into_iter().map(versions).collect())
            })
        })
        .await
    }

    async fn is_behind(&self, tables: &[Publisher]) -> Result<bool, Fault> {
        let versions = self.versions().await?;
        let behind = |table: &Publisher| {
            let versions = versions.get(&table.relation);
            versions.is_some_and(|versions| versions.newest != versions.published)
        };
        Ok(tables.iter().any(behind))
    }
}
