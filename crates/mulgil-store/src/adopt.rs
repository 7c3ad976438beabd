//! The table is the truth. What its log holds and the ledger does not is made up for: our own
//! commits become fills, others' commits make stale what they touched, a table that is gone takes
//! its fills with it. Doing so twice changes nothing.

use std::collections::BTreeMap;

use mulgil_core::{
    due::has_blocking_tests,
    grid::Grid,
    interval::{Instant, Interval, RangeSet},
    mapping::Mapping,
    name::{Instance, Relation},
    port::{CommitTag, Fault, Filled, RestoreTag, TableLog},
    project::{Materialization, Node, Project, Upstream},
    publish::is_after_tests,
};

use crate::{
    KnownTable, Store, apply, attempt,
    chunk::{self, Cover},
    error::Error,
    fact::{Fact, FillRecord, ForeignCommit, IntervalRow, Mark, Outdated, TargetChanged, TargetVanished},
    fill::{filled, filled_in, record_changes},
    log_walk::{ForeignChange, Owner, Standing},
    readers::Readers,
    rollback,
    sql::{self, Conn},
    text,
};

/// What looking at a table's log has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// Our commits that are recorded now: whose, and which range.
    pub adopted: Vec<(Instance, Interval)>,
    /// The commits of others.
    pub foreign: Vec<ForeignCommit>,
    /// Instances with new stale ranges, of this node and of its readers.
    pub dirtied: Vec<Instance>,
    /// Instances whose rows are gone.
    pub vanished: Vec<Instance>,
}

impl Store {
    /// Makes the ledger agree with one table's log, as [`Self::adopt_all`] does with many.
    pub async fn adopt(
        &self,
        project: &Project,
        node: &Node,
        log: Option<&TableLog>,
        now: Instant,
    ) -> Result<Adopted, Fault> {
        self.adopt_all(project, &[(node, log)], now).await
    }

    /// Makes the ledger agree with the logs of tables, upstream first: the commits after
    /// the version in [`Self::known_tables`], or none where there is no table.
    ///
    /// Numbers are raised above those of every table before anything is recorded. What others did
    /// is judged when all of ours is recorded, because it matters who has read it.
    pub async fn adopt_all(
        &self,
        project: &Project,
        tables: &[(&Node, Option<&TableLog>)],
        now: Instant,
    ) -> Result<Adopted, Fault> {
        let cut = |(node, log): &(&Node, Option<&TableLog>)| (Table::of(project, node, self.ledger()), log.cloned());
        let tables: Vec<(Table, Option<TableLog>)> = tables.iter().map(cut).collect();
        self.write(move |conn| Box::pin(async move { agree(conn, &tables, now).await }))
            .await
    }
}

impl Store {
    /// Records that a table or a view was removed because a person asked for it. The table has to be
    /// gone by then.
    pub async fn drop_relation(&self, relation: &Relation, now: Instant) -> Result<(), Fault> {
        let relation = relation.clone();
        self.write(move |conn| {
            Box::pin(async move {
                let instances = filled_in(&mut *conn, &relation).await?;
                let fact = TargetVanished { relation, instances };
                apply::record(conn, &Fact::Dropped(fact), now).await?;
                Ok(())
            })
        })
        .await
    }
}

async fn agree(conn: &mut Conn, tables: &[(Table, Option<TableLog>)], now: Instant) -> Result<Adopted, Error> {
    let mut adopted = Adopted::default();
    for (table, log) in tables {
        table.leave(&mut *conn, &mut adopted, now).await?;
        let highest = log.as_ref().map_or(0, |log| log.highest_seq);
        table.raise_sequence(&mut *conn, highest, now).await?;
    }
    let mut looked_at = Vec::with_capacity(tables.len());
    for (table, log) in tables {
        // Adopting moves the version on.
        let known = known(&mut *conn, &table.node).await?;
        match log {
            Some(log) => {
                table.adopt_ours(&mut *conn, log, &mut adopted, now).await?;
                looked_at.push((table, log, known));
            }
            None => table.vanish(&mut *conn, &known, &mut adopted, now).await?,
        }
    }
    for (table, log, known) in looked_at {
        table.look_at_others(&mut *conn, log, &known, &mut adopted, now).await?;
    }
    Ok(adopted)
}

/// What has to be known of a node's table, cut out of the project.
struct Table {
    node: Node,
    instances: Vec<Own>,
    ledger: String,
}

/// An instance of the node.
struct Own {
    instance: Instance,
    readers: Readers,
    reads: Vec<Read>,
}

/// What an instance reads and is stale by.
struct Read {
    upstream: Instance,
    grid: Grid,
    mapping: Mapping,
}

impl Table {
    fn of(project: &Project, node: &Node, ledger: &str) -> Self {
        let own = |instance: Instance| Own {
            readers: Readers::of_instance(project, &instance),
            reads: reads(project, node, &instance),
            instance,
        };
        Self {
            node: node.clone(),
            instances: node.instances().into_iter().map(own).collect(),
            ledger: ledger.to_owned(),
        }
    }

    fn owner(&self) -> Owner<'_> {
        Owner {
            ledger: &self.ledger,
            grid: &self.node.grid,
            instances: self.instances.iter().map(|own| own.instance.clone()).collect(),
        }
    }

    /// What was filled into another table is not in this one. Its own log still tells it, should the
    /// node go back there.
    async fn leave(&self, conn: &mut Conn, adopted: &mut Adopted, now: Instant) -> Result<(), Error> {
        let mut left: BTreeMap<String, Vec<Instance>> = BTreeMap::new();
        for (instance, relation) in covered(&mut *conn).await? {
            if instance.node == self.node.name && relation != text::of_relation(&self.node.relation) {
                left.entry(relation).or_default().push(instance);
            }
        }
        for (relation, instances) in left {
            adopted.vanished.extend(instances.iter().cloned());
            let fact = TargetVanished {
                relation: relation_of(&mut *conn, &relation).await?,
                instances,
            };
            apply::record(&mut *conn, &Fact::TargetVanished(fact), now).await?;
        }
        Ok(())
    }

    /// A view has no table that could be gone.
    async fn vanish(
        &self,
        conn: &mut Conn,
        known: &KnownTable,
        adopted: &mut Adopted,
        now: Instant,
    ) -> Result<(), Error> {
        let vanished = filled_in(&mut *conn, &self.node.relation).await?;
        if self.node.materialization == Materialization::View || (vanished.is_empty() && known.version.is_none()) {
            return Ok(());
        }
        adopted.vanished.extend(vanished.iter().cloned());
        let fact = TargetVanished {
            relation: self.node.relation.clone(),
            instances: vanished,
        };
        apply::record(conn, &Fact::TargetVanished(fact), now).await?;
        Ok(())
    }

    /// Records our commits like the fills that they were.
    async fn adopt_ours(
        &self,
        conn: &mut Conn,
        log: &TableLog,
        adopted: &mut Adopted,
        now: Instant,
    ) -> Result<(), Error> {
        let owner = self.owner();
        let mut restores = owner.restores(log).into_iter().peekable();
        for standing in owner.standing(log).into_iter().rev() {
            while let Some((version, tag)) = restores.next_if(|(version, _)| *version < standing.commit.version) {
                self.adopt_restore(&mut *conn, version, tag, adopted, now).await?;
            }
            self.adopt_commit(&mut *conn, standing, adopted, now).await?;
        }
        for (version, tag) in restores {
            self.adopt_restore(&mut *conn, version, tag, adopted, now).await?;
        }
        Ok(())
    }

    /// Records that a commit of ours took the table back.
    async fn adopt_restore(
        &self,
        conn: &mut Conn,
        version: i64,
        tag: &RestoreTag,
        adopted: &mut Adopted,
        now: Instant,
    ) -> Result<(), Error> {
        if rollback::is_recorded(&mut *conn, &self.node.relation, tag.seq).await? {
            return Ok(());
        }
        let own = self.instances.iter();
        let readers = own.map(|own| (own.instance.clone(), own.readers.clone())).collect();
        let dirtied = rollback::record(conn, &self.node, &readers, version, tag, now).await?;
        adopted.dirtied.extend(dirtied);
        Ok(())
    }

    /// Records what others did, and whom that touches.
    async fn look_at_others(
        &self,
        conn: &mut Conn,
        log: &TableLog,
        known: &KnownTable,
        adopted: &mut Adopted,
        now: Instant,
    ) -> Result<(), Error> {
        let foreign = self.owner().foreign(log, known);
        let mut changed = TargetChanged {
            relation: self.node.relation.clone(),
            node: self.node.name.clone(),
            materialization: self.node.materialization,
            version: log.version,
            table_id: log.table_id.clone(),
            waits: is_after_tests(&self.node),
            bytes: log.bytes,
            files: log.files,
            commits: foreign.iter().map(|change| change.commit.clone()).collect(),
            marks: Vec::new(),
            read_by: Vec::new(),
        };
        for own in &self.instances {
            changed
                .marks
                .extend(self.mark(&mut *conn, &own.instance, &foreign).await?);
            changed.read_by.extend(self.read_by(&mut *conn, own, &foreign).await?);
        }
        adopted.foreign.extend(changed.commits.iter().cloned());
        let touched = changed.marks.iter().chain(&changed.read_by);
        adopted.dirtied.extend(touched.map(|mark| mark.instance.clone()));
        if !changed.commits.is_empty() || !self.is_known(&mut *conn, log).await? {
            apply::record(conn, &Fact::TargetChanged(changed), now).await?;
        }
        Ok(())
    }

    /// The next number is above all that the table has seen, so that no commit is refused as old.
    async fn raise_sequence(&self, conn: &mut Conn, highest: i64, now: Instant) -> Result<(), Error> {
        let (seq,): (i64,) = sql::query_as("select coalesce(max(seq), 0) from fact")
            .fetch_one(&mut *conn)
            .await?;
        if highest <= seq {
            return Ok(());
        }
        let raised = Fact::SequenceRaised {
            relation: self.node.relation.clone(),
            highest_seq: highest,
        };
        apply::record_as(conn, highest.saturating_add(1), &raised, now).await
    }

    /// Records a commit of ours like the fill that it was, but for what a later one has filled again.
    async fn adopt_commit(
        &self,
        conn: &mut Conn,
        standing: Standing<'_>,
        adopted: &mut Adopted,
        now: Instant,
    ) -> Result<(), Error> {
        let Standing {
            commit,
            tag,
            ranges,
            kept,
        } = standing;
        let Some(own) = self.instances.iter().find(|own| own.instance == tag.instance) else {
            return Ok(());
        };
        if is_recorded(&mut *conn, &self.node, tag.seq).await? {
            return Ok(());
        }
        let claimed_at = attempt::claimed_at(&mut *conn, tag.attempt, tag.seq).await?;
        let made_at = claimed_at.unwrap_or(Instant(commit.committed_at_us).min(now));
        for range in ranges.iter() {
            let mut record = self.record_of(tag, commit.version, made_at, range);
            record.outdated = self.outdated(&mut *conn, own, tag.seq, range).await?;
            if !record.outdated.is_empty() {
                adopted.dirtied.push(tag.instance.clone());
            }
            if record.hooks_left {
                adopted.dirtied.push(tag.instance.clone());
            }
            let recorded = record_changes(&mut *conn, &own.readers, record, &kept, now).await?;
            adopted.adopted.push((tag.instance.clone(), range));
            adopted.dirtied.extend(recorded.dirtied);
        }
        Ok(())
    }

    /// What of a range was made from rows that were filled anew after its claim. A change of an
    /// upstream marks whoever has filled something; what is adopted later was nobody then.
    async fn outdated(
        &self,
        conn: &mut Conn,
        own: &Own,
        claim_seq: i64,
        range: Interval,
    ) -> Result<Vec<Outdated>, Error> {
        let mut outdated = Vec::new();
        for read in &own.reads {
            let Some(needs) = read.mapping.needs(&self.node.grid, &read.grid, range) else {
                continue;
            };
            let covers: Vec<Cover> = chunk::read(&mut *conn, &text::of_instance(&read.upstream), needs).await?;
            let newer = covers.iter().filter(|cover| cover.claim_seq > claim_seq);
            let touched = newer.filter_map(|cover| {
                let touched = read.mapping.touches(&self.node.grid, &read.grid, cover.range)?;
                touched.intersect(range)
            });
            let ranges: RangeSet = touched.collect();
            if !ranges.is_empty() {
                outdated.push(Outdated {
                    upstream: read.upstream.clone(),
                    ranges,
                });
            }
        }
        Ok(outdated)
    }

    fn record_of(&self, tag: &CommitTag, version: i64, made_at: Instant, range: Interval) -> FillRecord {
        let inside = |filled: &&Filled| range.contains(filled.interval);
        FillRecord {
            attempt: tag.attempt,
            claim_seq: tag.seq,
            instance: tag.instance.clone(),
            relation: self.node.relation.clone(),
            materialization: self.node.materialization,
            range,
            fingerprint: tag.fingerprint,
            made_at,
            version: Some(version),
            table_id: None,
            columns: None,
            untested: has_blocking_tests(&self.node),
            waits: is_after_tests(&self.node),
            hooks_left: tag.then_hooks,
            adopted: true,
            replaces_all: tag.replaces_all,
            growth: None,
            removed: Vec::new(),
            intervals: tag.intervals.iter().filter(inside).map(IntervalRow::from).collect(),
            changed: Vec::new(),
            marks: Vec::new(),
            outdated: Vec::new(),
        }
    }

    async fn mark(
        &self,
        conn: &mut Conn,
        instance: &Instance,
        foreign: &[ForeignChange],
    ) -> Result<Option<Mark>, Error> {
        let filled = filled(conn, instance).await?;
        let mut mark = Mark {
            instance: instance.clone(),
            ranges: RangeSet::new(),
            released: RangeSet::new(),
            because: Vec::new(),
        };
        for (place, change) in (0..).zip(foreign) {
            let Some(touched) = change.touched.get(instance) else {
                continue;
            };
            let stale = filled.intersect(touched);
            mark.ranges.extend(stale.iter());
            mark.because.extend(stale.iter().map(|range| (place, range)));
        }
        Ok((!mark.ranges.is_empty()).then_some(mark))
    }

    /// Readers that were filled after such a commit have read what is not ours.
    async fn read_by(&self, conn: &mut Conn, own: &Own, foreign: &[ForeignChange]) -> Result<Vec<Mark>, Error> {
        let touched = (0..)
            .zip(foreign)
            .filter_map(|(place, change)| Some((place, change.touched.get(&own.instance)?)));
        let changes: Vec<(u32, Interval)> = touched
            .flat_map(|(place, ranges)| ranges.iter().map(move |range| (place, range)))
            .collect();
        let since: Vec<Instant> = foreign.iter().map(|change| change.at).collect();
        let read_after = move |place: u32, cover: &Cover| cover.filled_at > since[place as usize];
        own.readers.marks_where(conn, &changes, read_after).await
    }

    async fn is_known(&self, conn: &mut Conn, log: &TableLog) -> Result<bool, Error> {
        let row: Option<(Option<i64>, Option<String>, i64, i64)> =
            sql::query_as("select version, table_id, bytes, files from relation where relation = $1")
                .bind(text::of_relation(&self.node.relation))
                .fetch_optional(conn)
                .await?;
        let now = (
            Some(log.version),
            Some(log.table_id.clone()),
            log.bytes.cast_signed(),
            log.files.cast_signed(),
        );
        Ok(row == Some(now))
    }
}

/// A mapping that does not restate makes nothing stale.
fn reads(project: &Project, node: &Node, instance: &Instance) -> Vec<Read> {
    let inputs = node.inputs.iter().filter(|input| input.mapping.restates());
    let reads = inputs.flat_map(|input| {
        let upstream = match &input.from {
            Upstream::Node(name) => project.node(name),
            Upstream::Source(_) => None,
        };
        let read = upstream.map(|upstream| {
            let instances = project.read_instances(instance, input).into_iter();
            instances.map(|of| Read {
                upstream: of,
                grid: upstream.grid.clone(),
                mapping: input.mapping,
            })
        });
        read.into_iter().flatten()
    });
    reads.collect()
}

/// Every instance that has anything filled, with the table that it is filled in.
async fn covered(conn: &mut Conn) -> Result<Vec<(Instance, String)>, Error> {
    let rows: Vec<(String, String)> =
        sql::query_as("select instance, relation from node where relation is not null order by instance")
            .fetch_all(conn)
            .await?;
    let named = rows.into_iter();
    named
        .map(|(instance, relation)| Ok((text::known_instance(&instance)?, relation)))
        .collect()
}

/// The name of a table that was filled.
async fn relation_of(conn: &mut Conn, relation: &str) -> Result<Relation, Error> {
    let (schema, name): (String, String) = sql::query_as("select schema_name, name from relation where relation = $1")
        .bind(relation)
        .fetch_one(conn)
        .await?;
    Ok(Relation { schema, name })
}

async fn known(conn: &mut Conn, node: &Node) -> Result<KnownTable, Error> {
    let row: Option<(Option<i64>, Option<String>)> =
        sql::query_as("select version, table_id from relation where relation = $1")
            .bind(text::of_relation(&node.relation))
            .fetch_optional(conn)
            .await?;
    let (version, id) = row.unwrap_or_default();
    Ok(KnownTable { version, id })
}

/// Whether a commit is recorded, and was not forgotten since because the table was gone.
async fn is_recorded(conn: &mut Conn, node: &Node, claim_seq: i64) -> Result<bool, Error> {
    let row: Option<(i64,)> = sql::query_as(
        "select f.seq from fill f join relation r on r.relation = f.relation
         where f.relation = $1 and f.claim_seq = $2 and f.seq > r.gone_seq limit 1",
    )
    .bind(text::of_relation(&node.relation))
    .bind(claim_seq)
    .fetch_optional(conn)
    .await?;
    Ok(row.is_some())
}
