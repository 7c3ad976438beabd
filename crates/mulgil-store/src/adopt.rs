//! The table is the truth. What its log holds and the ledger does not is made up for: our own
//! commits become fills, others' commits make stale what they touched, a table that is gone takes
//! its fills with it. Doing so twice changes nothing.

use std::collections::BTreeMap;

use mulgil_core::{
    grid::Grid,
    interval::{Instant, Interval, RangeSet},
    name::{Instance, Relation},
    port::{Author, Commit, CommitTag, Fault, Filled, TableLog, Touched},
    project::{Materialization, Node, Project},
};
use sqlx::SqliteConnection;

use crate::{
    Store, apply, attempt,
    chunk::Cover,
    error::Error,
    fact::{Fact, FillRecord, ForeignCommit, IntervalRow, Mark, TargetChanged, TargetVanished},
    fill::{filled, filled_in, is_guarded, record_changes},
    readers::Readers,
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
    /// Makes the ledger agree with a table's log: the commits after [`Self::recorded_version`], or
    /// none where there is no table.
    pub async fn adopt(
        &self,
        project: &Project,
        node: &Node,
        log: Option<&TableLog>,
        now: Instant,
    ) -> Result<Adopted, Fault> {
        let table = Table::of(project, node, self.ledger());
        let log = log.cloned();
        self.write(move |conn| {
            Box::pin(async move {
                let left = table.leave(&mut *conn, now).await?;
                let mut adopted = match log {
                    Some(log) => table.agree(conn, &log, now).await?,
                    None => table.vanish(conn, now).await?,
                };
                adopted.vanished.extend(left);
                Ok(adopted)
            })
        })
        .await
    }
}

/// What has to be known of a node's table, cut out of the project.
struct Table {
    node: Node,
    instances: Vec<(Instance, Readers)>,
    ledger: String,
}

impl Table {
    fn of(project: &Project, node: &Node, ledger: &str) -> Self {
        let with_readers = |instance: Instance| {
            let readers = Readers::of_instance(project, &instance);
            (instance, readers)
        };
        Self {
            node: node.clone(),
            instances: node.instances().into_iter().map(with_readers).collect(),
            ledger: ledger.to_owned(),
        }
    }

    /// What was filled into another table is not in this one. Its own log still tells it, should the
    /// node go back there. Gives the instances.
    async fn leave(&self, conn: &mut SqliteConnection, now: Instant) -> Result<Vec<Instance>, Error> {
        let mut left: BTreeMap<String, Vec<Instance>> = BTreeMap::new();
        for (instance, relation) in covered(&mut *conn).await? {
            if instance.node == self.node.name && relation != text::of_relation(&self.node.relation) {
                left.entry(relation).or_default().push(instance);
            }
        }
        let mut vanished = Vec::new();
        for (relation, instances) in left {
            vanished.extend(instances.iter().cloned());
            let fact = TargetVanished {
                relation: relation_of(&mut *conn, &relation).await?,
                instances,
            };
            apply::record(&mut *conn, &Fact::TargetVanished(fact), now).await?;
        }
        Ok(vanished)
    }

    /// A view has no table that could be gone.
    async fn vanish(&self, conn: &mut SqliteConnection, now: Instant) -> Result<Adopted, Error> {
        let vanished = filled_in(&mut *conn, &self.node.relation).await?;
        let recorded = recorded(&mut *conn, &self.node).await?;
        if self.node.materialization == Materialization::View || (vanished.is_empty() && recorded.is_none()) {
            return Ok(Adopted::default());
        }
        let fact = TargetVanished {
            relation: self.node.relation.clone(),
            instances: vanished.clone(),
        };
        apply::record(conn, &Fact::TargetVanished(fact), now).await?;
        Ok(Adopted {
            vanished,
            ..Adopted::default()
        })
    }

    async fn agree(&self, conn: &mut SqliteConnection, log: &TableLog, now: Instant) -> Result<Adopted, Error> {
        self.raise_sequence(&mut *conn, log.highest_seq, now).await?;
        let recorded = recorded(&mut *conn, &self.node).await?;
        let ours = self.ours(log);
        let mut adopted = Adopted::default();
        for (place, (commit, tag)) in ours.iter().enumerate() {
            self.adopt_commit(&mut *conn, (commit, tag), &ours[place + 1..], &mut adopted, now)
                .await?;
        }
        let mut changed = TargetChanged {
            relation: self.node.relation.clone(),
            node: self.node.name.clone(),
            materialization: self.node.materialization,
            version: log.version,
            bytes: log.bytes,
            files: log.files,
            commits: Vec::new(),
            marks: Vec::new(),
            read_by: Vec::new(),
        };
        let foreign = self.foreign(log, recorded, &ours);
        changed.commits = foreign.iter().map(|change| change.commit.clone()).collect();
        for (instance, readers) in &self.instances {
            changed.marks.extend(self.mark(&mut *conn, instance, &foreign).await?);
            let read_by = self.read_by(&mut *conn, instance, readers, &foreign).await?;
            changed.read_by.extend(read_by);
        }
        adopted.foreign.clone_from(&changed.commits);
        let touched = changed.marks.iter().chain(&changed.read_by);
        adopted.dirtied.extend(touched.map(|mark| mark.instance.clone()));
        if !changed.commits.is_empty() || !self.is_known(&mut *conn, log).await? {
            apply::record(conn, &Fact::TargetChanged(changed), now).await?;
        }
        Ok(adopted)
    }

    /// The next number is above all that the table has seen, so that no commit is refused as old.
    async fn raise_sequence(&self, conn: &mut SqliteConnection, highest: i64, now: Instant) -> Result<(), Error> {
        let (seq,): (i64,) = sqlx::query_as("select coalesce(max(seq), 0) from fact")
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

    /// The commits of this ledger for instances that the node still has.
    fn ours<'a>(&self, log: &'a TableLog) -> Vec<(&'a Commit, &'a CommitTag)> {
        let tagged = log.commits.iter().filter_map(|commit| match &commit.author {
            Author::Ours(tag) if tag.ledger == self.ledger => Some((commit, tag)),
            Author::Ours(_) | Author::Foreign => None,
        });
        tagged
            .filter(|(_, tag)| self.readers(&tag.instance).is_some())
            .collect()
    }

    fn readers(&self, instance: &Instance) -> Option<&Readers> {
        let known = self.instances.iter().find(|(known, _)| known == instance);
        known.map(|(_, readers)| readers)
    }

    /// Records a commit of ours like the fill that it was, but for what a later one has filled again.
    async fn adopt_commit(
        &self,
        conn: &mut SqliteConnection,
        (commit, tag): (&Commit, &CommitTag),
        later: &[(&Commit, &CommitTag)],
        adopted: &mut Adopted,
        now: Instant,
    ) -> Result<(), Error> {
        let Some(readers) = self.readers(&tag.instance).filter(|_| !tag.intervals.is_empty()) else {
            return Ok(());
        };
        if is_recorded(&mut *conn, &self.node, tag.seq).await? {
            return Ok(());
        }
        let claimed_at = attempt::claimed_at(&mut *conn, tag.attempt, tag.seq).await?;
        let made_at = claimed_at.unwrap_or(Instant(commit.committed_at_us).min(now));
        let again = later.iter().filter(|(_, other)| other.instance == tag.instance);
        let again: RangeSet = again.map(|(_, other)| other.range).collect();
        for range in RangeSet::from(tag.range).subtract(&again).iter() {
            let record = self.record_of(tag, commit.version, made_at, range);
            let recorded = record_changes(&mut *conn, readers, record, &BTreeMap::new(), now).await?;
            adopted.adopted.push((tag.instance.clone(), range));
            adopted.dirtied.extend(recorded.dirtied);
        }
        Ok(())
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
            columns: None,
            untested: is_guarded(&self.node),
            adopted: true,
            replaces_all: tag.replaces_all,
            removed: Vec::new(),
            intervals: tag.intervals.iter().filter(inside).map(IntervalRow::from).collect(),
            changed: Vec::new(),
            marks: Vec::new(),
        }
    }

    /// What others did, each with what it touched and nobody of us has filled again since.
    fn foreign(&self, log: &TableLog, recorded: Option<i64>, ours: &[(&Commit, &CommitTag)]) -> Vec<ForeignChange> {
        let mut changes = Vec::new();
        let all = self.touched_everywhere();
        if let Some(recorded) = recorded.filter(|recorded| log.version < *recorded) {
            let version = log.version;
            let commit = ForeignCommit::Older { version, recorded };
            changes.push(ForeignChange {
                commit,
                at: Instant::MIN,
                touched: all.clone(),
            });
        } else if log.gap && recorded != Some(log.version) {
            let version = log.version;
            changes.push(ForeignChange {
                commit: ForeignCommit::Gap { version, recorded },
                at: Instant::MIN,
                touched: without(&all, ours.iter().map(|(_, tag)| *tag)),
            });
        }
        let is_new = |commit: &&Commit| {
            let is_recorded = recorded.is_some_and(|recorded| commit.version <= recorded && recorded <= log.version);
            !is_recorded && !ours.iter().any(|(our, _)| our.version == commit.version)
        };
        for commit in log.commits.iter().filter(is_new) {
            let later = ours.iter().filter(|(our, _)| our.version > commit.version);
            let touched = without(&self.touched(&commit.touched), later.map(|(_, tag)| *tag));
            let at = Instant(commit.committed_at_us);
            changes.push(ForeignChange {
                commit: ForeignCommit::Commit {
                    version: commit.version,
                    committed_at: at,
                },
                at,
                touched,
            });
        }
        changes.retain(|change| !change.touched.is_empty());
        changes
    }

    fn touched_everywhere(&self) -> BTreeMap<Instance, RangeSet> {
        let whole = |(instance, _): &(Instance, Readers)| (instance.clone(), RangeSet::whole());
        self.instances.iter().map(whole).collect()
    }

    /// A commit that does not say a key touched all that agree with what it says.
    fn touched(&self, touched: &[Touched]) -> BTreeMap<Instance, RangeSet> {
        let mut by_instance: BTreeMap<Instance, RangeSet> = BTreeMap::new();
        for one in touched {
            let agrees = |instance: &Instance| {
                one.instance_key
                    .0
                    .iter()
                    .all(|(column, value)| instance.key.0.get(column).is_none_or(|own| own == value))
            };
            let range = widened(&self.node.grid, one.at);
            for (instance, _) in self.instances.iter().filter(|(instance, _)| agrees(instance)) {
                by_instance.entry(instance.clone()).or_default().insert(range);
            }
        }
        by_instance
    }

    async fn mark(
        &self,
        conn: &mut SqliteConnection,
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
    async fn read_by(
        &self,
        conn: &mut SqliteConnection,
        instance: &Instance,
        readers: &Readers,
        foreign: &[ForeignChange],
    ) -> Result<Vec<Mark>, Error> {
        let touched = (0..)
            .zip(foreign)
            .filter_map(|(place, change)| Some((place, change.touched.get(instance)?)));
        let changes: Vec<(u32, Interval)> = touched
            .flat_map(|(place, ranges)| ranges.iter().map(move |range| (place, range)))
            .collect();
        let since: Vec<Instant> = foreign.iter().map(|change| change.at).collect();
        let read_after = move |place: u32, cover: &Cover| {
            let at = since[place as usize];
            at > Instant::MIN && cover.filled_at > at
        };
        readers.marks_where(conn, &changes, read_after).await
    }

    async fn is_known(&self, conn: &mut SqliteConnection, log: &TableLog) -> Result<bool, Error> {
        let row: Option<(Option<i64>, i64, i64)> =
            sqlx::query_as("select version, bytes, files from relation where relation = $1")
                .bind(text::of_relation(&self.node.relation))
                .fetch_optional(conn)
                .await?;
        Ok(row == Some((Some(log.version), log.bytes.cast_signed(), log.files.cast_signed())))
    }
}

/// A commit of somebody else, with what is still as it left it.
struct ForeignChange {
    commit: ForeignCommit,
    /// When; [`Instant::MIN`] where nobody knows.
    at: Instant,
    touched: BTreeMap<Instance, RangeSet>,
}

/// What is touched and nobody of us has filled again.
fn without<'a>(
    touched: &BTreeMap<Instance, RangeSet>,
    filled_again: impl Iterator<Item = &'a CommitTag>,
) -> BTreeMap<Instance, RangeSet> {
    let mut left = touched.clone();
    for tag in filled_again {
        if let Some(ranges) = left.get_mut(&tag.instance) {
            ranges.remove(tag.range);
        }
    }
    left.retain(|_, ranges| !ranges.is_empty());
    left
}

fn widened(grid: &Grid, at: Interval) -> Interval {
    if grid.is_cut() {
        grid.snap_out(at)
    } else {
        Interval::WHOLE
    }
}

/// Every instance that has anything filled, with the table that it is filled in.
async fn covered(conn: &mut SqliteConnection) -> Result<Vec<(Instance, String)>, Error> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("select instance, relation from node where relation is not null order by instance")
            .fetch_all(conn)
            .await?;
    let named = rows.into_iter().map(|(instance, relation)| {
        let instance = text::instance(&instance).ok_or_else(|| Error::damaged("an instance's name cannot be read"))?;
        Ok((instance, relation))
    });
    named.collect()
}

/// The name of a table that was filled.
async fn relation_of(conn: &mut SqliteConnection, relation: &str) -> Result<Relation, Error> {
    let (schema, name): (String, String) = sqlx::query_as("select schema_name, name from relation where relation = $1")
        .bind(relation)
        .fetch_one(conn)
        .await?;
    Ok(Relation { schema, name })
}

async fn recorded(conn: &mut SqliteConnection, node: &Node) -> Result<Option<i64>, Error> {
    let row: Option<(Option<i64>,)> = sqlx::query_as("select version from relation where relation = $1")
        .bind(text::of_relation(&node.relation))
        .fetch_optional(conn)
        .await?;
    Ok(row.and_then(|(version,)| version))
}

/// Whether a commit is recorded, and was not forgotten since because the table was gone.
async fn is_recorded(conn: &mut SqliteConnection, node: &Node, claim_seq: i64) -> Result<bool, Error> {
    let row: Option<(i64,)> = sqlx::query_as(
        "select f.seq from fill f join relation r on r.relation = f.relation
         where f.relation = $1 and f.claim_seq = $2 and f.seq > r.gone_seq limit 1",
    )
    .bind(text::of_relation(&node.relation))
    .bind(claim_seq)
    .fetch_optional(conn)
    .await?;
    Ok(row.is_some())
}
