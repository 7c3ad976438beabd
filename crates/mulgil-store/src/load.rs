//! The ledger as decisions read it. One snapshot, a few scans, no query per instance when all is
//! loaded.

use std::collections::{BTreeMap, BTreeSet};

use mulgil_core::{
    due::has_blocking_tests,
    interval::{Instant, Interval, RangeSet},
    name::{Instance, NodeName, Relation},
    port::Fault,
    project::{Fingerprint, Node, Project},
    state::{Live, NodeState, State, TableState, TestState},
};

use crate::{
    Store,
    chunk::{self, Cover},
    document::Document,
    error::Error,
    source,
    sql::{self, Conn},
    text,
};

impl Store {
    /// What decisions need of all that the project declares.
    pub async fn load_state(&self, project: &Project) -> Result<State, Fault> {
        let wanted: BTreeMap<String, Wanted> = project.nodes.iter().flat_map(wanted).collect();
        let sources: BTreeSet<NodeName> = project.sources.iter().map(|source| source.name.clone()).collect();
        self.read(move |conn| {
            Box::pin(async move {
                let mut state = State {
                    nodes: nodes(&mut *conn, wanted, None).await?,
                    ..State::default()
                };
                for (name, known) in source::load_all(&mut *conn).await? {
                    if sources.contains(&name) {
                        state.sources.insert(name, known.state());
                    }
                }
                state.tables = tables(conn, None).await?;
                Ok(state)
            })
        })
        .await
    }

    /// Loads these instances anew, sources among them, and leaves the others as they are.
    pub async fn refresh(&self, project: &Project, state: &mut State, instances: &[Instance]) -> Result<(), Fault> {
        let mut wanted = BTreeMap::new();
        let mut relations = BTreeSet::new();
        let mut sources = Vec::new();
        for instance in instances {
            match project.node(&instance.node) {
                Some(node) => {
                    let own = Wanted::of(node, instance.clone());
                    wanted.insert(text::of_instance(instance), own);
                    relations.insert(node.relation.clone());
                }
                None => sources.extend(project.source(&instance.node).map(|source| source.name.clone())),
            }
        }
        let names: Vec<String> = wanted.keys().cloned().collect();
        let (nodes, sources, tables) = self
            .read(move |conn| {
                Box::pin(async move {
                    let nodes = nodes(&mut *conn, wanted, Some(&names)).await?;
                    let mut seen = Vec::new();
                    for name in sources {
                        seen.extend(
                            source::load(&mut *conn, &name)
                                .await?
                                .map(|known| (name, known.state())),
                        );
                    }
                    Ok((nodes, seen, tables(conn, Some(&relations)).await?))
                })
            })
            .await?;
        for instance in instances {
            state.nodes.remove(instance);
        }
        state.nodes.extend(nodes);
        state.sources.extend(sources);
        state.tables.extend(tables);
        Ok(())
    }
}

/// Instances that have no data tests, without what is being filled of them.
pub(crate) async fn instances(
    conn: &mut Conn,
    instances: Vec<Instance>,
) -> Result<BTreeMap<Instance, NodeState>, Error> {
    let names: Vec<String> = instances.iter().map(text::of_instance).collect();
    let named = |(name, instance)| {
        let guarded = false;
        (name, Wanted { instance, guarded })
    };
    let wanted = names.iter().cloned().zip(instances).map(named).collect();
    let only = Some(names.as_slice()).filter(|names| names.len() <= MANY_INSTANCES);
    nodes(conn, wanted, only).await
}

/// More instances than these are found by reading all, rather than one after the other.
const MANY_INSTANCES: usize = 1_000;

/// An instance to load.
struct Wanted {
    instance: Instance,
    guarded: bool,
}

impl Wanted {
    fn of(node: &Node, instance: Instance) -> Self {
        Self {
            instance,
            guarded: has_blocking_tests(node),
        }
    }
}

/// A node's instances; the one without a key too, because data tests stand there.
fn wanted(node: &Node) -> Vec<(String, Wanted)> {
    let instances = node.instances().into_iter().chain([Instance::of(node.name.clone())]);
    instances
        .map(|instance| (text::of_instance(&instance), Wanted::of(node, instance)))
        .collect()
}

/// The instances that have facts; of `only`, or of all.
async fn nodes(
    conn: &mut Conn,
    wanted: BTreeMap<String, Wanted>,
    only: Option<&[String]>,
) -> Result<BTreeMap<Instance, NodeState>, Error> {
    let mut states: BTreeMap<String, NodeState> = BTreeMap::new();
    for (instance, bytes) in blobs(&mut *conn, only).await? {
        if wanted.contains_key(&instance) {
            let state = states.entry(instance).or_default();
            for cover in chunk::unpack::<Cover>(&bytes)? {
                state.filled.insert(cover.range, cover.made_with);
                state.made_at.insert(cover.range, cover.made_at);
            }
        }
    }
    for (instance, document) in documents(&mut *conn, only).await? {
        if let Some(known) = wanted.get(&instance) {
            let document: Document = serde_json::from_str(&document)?;
            let state = states.entry(instance).or_default();
            document.describe(state);
            if !known.guarded {
                // Tests that are not declared any more keep nobody waiting.
                state.untested = RangeSet::new();
            }
        }
    }
    for (instance, range, live) in live(&mut *conn).await? {
        if wanted.contains_key(&instance) {
            states.entry(instance).or_default().live.insert(range, live);
        }
    }
    for (node, tests) in tests(conn).await? {
        if wanted.contains_key(&node) {
            states.entry(node).or_default().tests = tests;
        }
    }
    let named = |(name, state)| Some((wanted.get(&name)?.instance.clone(), state));
    Ok(states.into_iter().filter_map(named).collect())
}

macro_rules! scan {
    ($name:ident, $type:ty, $columns:literal, $table:literal, $order:literal) => {
        async fn $name(conn: &mut Conn, only: Option<&[String]>) -> Result<Vec<(String, $type)>, Error> {
            const ALL: &str = concat!(
                "select instance, ",
                $columns,
                " from ",
                $table,
                " order by instance",
                $order
            );
            const ONE: &str = concat!(
                "select instance, ",
                $columns,
                " from ",
                $table,
                " where instance = $1 order by instance",
                $order
            );
            let Some(only) = only else {
                return Ok(sql::query_as(ALL).fetch_all(conn).await?);
            };
            let mut rows = Vec::new();
            for instance in only {
                let more: Vec<(String, $type)> = sql::query_as(ONE).bind(instance).fetch_all(&mut *conn).await?;
                rows.extend(more);
            }
            Ok(rows)
        }
    };
}

scan!(blobs, Vec<u8>, "entries", "cover", ", start_at");
scan!(documents, String, "document", "node", "");

/// What is being filled; there are as many as slots.
async fn live(conn: &mut Conn) -> Result<Vec<(String, Interval, Live)>, Error> {
    let rows: Vec<(i64, i64, String, i64, i64)> = sql::query_as(
        "select a.id, a.seq, t.instance, t.start_at, t.end_at
         from attempt a join task_run t on t.id = a.task_run
         where a.state = 'running' and t.kind = 'fill' order by a.id",
    )
    .fetch_all(conn)
    .await?;
    let described = |(attempt, epoch, instance, start, end)| {
        let range = Interval::new(Instant(start), Instant(end))?;
        Some((instance, range, Live { attempt, epoch }))
    };
    Ok(rows.into_iter().filter_map(described).collect())
}

/// What is filled in the tables that were ever filled; in `only` these, or in all.
async fn tables(conn: &mut Conn, only: Option<&BTreeSet<Relation>>) -> Result<BTreeMap<Relation, TableState>, Error> {
    type Row = (
        String,
        String,
        bool,
        Option<i64>,
        Option<i64>,
        bool,
        String,
        Option<String>,
    );
    let rows: Vec<Row> = sql::query_as(
        "select r.schema_name, r.name, r.version is not null, r.newest, r.published, r.uncounted <> 0, r.kind, n.instance
         from relation r left join node n on n.relation = r.relation",
    )
    .fetch_all(conn)
    .await?;
    let mut tables: BTreeMap<Relation, TableState> = BTreeMap::new();
    for (schema, name, is_there, newest, published, uncounted, kind, instance) in rows {
        let relation = Relation { schema, name };
        if only.is_some_and(|only| !only.contains(&relation)) {
            continue;
        }
        let table = tables.entry(relation).or_default();
        table.is_there |= is_there;
        (table.version, table.published) = (newest, published);
        table.kind = Some(serde_json::from_str(&kind)?);
        table.uncounted = uncounted || (is_there && instance.is_none());
        table.holds.extend(instance.as_deref().and_then(text::instance));
    }
    Ok(tables)
}

/// By node.
async fn tests(conn: &mut Conn) -> Result<BTreeMap<String, BTreeMap<String, TestState>>, Error> {
    let rows: Vec<(String, String, String, i64, i64)> =
        sql::query_as("select node, name, fingerprint, failures, fill_seq from test")
            .fetch_all(conn)
            .await?;
    let mut tests: BTreeMap<String, BTreeMap<String, TestState>> = BTreeMap::new();
    for (node, name, fingerprint, failures, fill_seq) in rows {
        let fingerprint =
            Fingerprint::parse(&fingerprint).ok_or_else(|| Error::damaged("a test's fingerprint cannot be read"))?;
        let result = TestState {
            fingerprint,
            failures: failures.cast_unsigned(),
            fill_seq,
        };
        tests.entry(node).or_default().insert(name, result);
    }
    Ok(tests)
}
