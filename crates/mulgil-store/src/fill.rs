//! What attempts made: fills and the results of data tests, each recorded in one transaction with
//! all that follows from it.

use std::collections::BTreeMap;

use mulgil_core::{
    data_test::{Verdict, judge},
    diagnostic::Severity,
    due::has_blocking_tests,
    interval::{Instant, Interval, RangeSet},
    name::{Instance, Relation},
    port::{Fault, FillOutcome, Filled, TestOutcome},
    project::{DataTest, Node, Project},
    publish::is_after_tests,
    run::RunState,
    task::{Claim, FillSpec, TestSpec},
};

use crate::{
    Store, apply, attempt,
    chunk::{self, Cover},
    error::Error,
    fact::{Fact, FillRecord, IntervalRow, TestResult, Tested, Was},
    publish::Publisher,
    readers::Readers,
    sql::{self, Conn},
    text,
};

/// What recording a fill changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The filled intervals that do not hold what they held before, new ones among them.
    pub changed: RangeSet,
    /// The instances that have other ranges to fill now: readers that became stale or may try again,
    /// and whose rows were removed because all of the table was replaced.
    pub dirtied: Vec<Instance>,
}

impl Store {
    /// Records a fill under its claim. What was stale when the claim was made is fresh; what became
    /// stale since stays so. Readers become stale over what changed; where rows and content are as
    /// they were, nothing does.
    ///
    /// # Errors
    /// `CLAIM_STALE` when the attempt is not live any more or has another epoch.
    pub async fn record_fill(
        &self,
        project: &Project,
        claim: &Claim,
        spec: &FillSpec,
        outcome: &FillOutcome,
        now: Instant,
    ) -> Result<Recorded, Fault> {
        self.record_as(project, claim, (spec, outcome), false, now).await
    }

    /// Records a fill whose hooks failed after its commit: its rows are there, and it is stale. The
    /// attempt stays live until its failure is recorded.
    ///
    /// # Errors
    /// `CLAIM_STALE` when the attempt is not live any more or has another epoch.
    pub async fn record_unfinished_fill(
        &self,
        project: &Project,
        claim: &Claim,
        spec: &FillSpec,
        outcome: &FillOutcome,
        now: Instant,
    ) -> Result<Recorded, Fault> {
        self.record_as(project, claim, (spec, outcome), true, now).await
    }

    async fn record_as(
        &self,
        project: &Project,
        claim: &Claim,
        (spec, outcome): (&FillSpec, &FillOutcome),
        hooks_left: bool,
        now: Instant,
    ) -> Result<Recorded, Fault> {
        let readers = Readers::of_instance(project, &spec.instance);
        let claim = claim.clone();
        let mut record = FillRecord {
            attempt: claim.attempt,
            claim_seq: claim.seq,
            instance: spec.instance.clone(),
            relation: spec.relation.clone(),
            materialization: spec.materialization,
            range: spec.range,
            fingerprint: spec.fingerprint,
            made_at: now,
            version: outcome.version,
            table_id: outcome.table_id.clone(),
            columns: Some(outcome.columns.clone()),
            untested: project.node(&spec.instance.node).is_some_and(has_blocking_tests),
            waits: project.node(&spec.instance.node).is_some_and(is_after_tests),
            hooks_left,
            adopted: false,
            replaces_all: outcome.replaced_all,
            growth: Some(outcome.growth),
            removed: Vec::new(),
            intervals: outcome.intervals.iter().map(IntervalRow::from).collect(),
            changed: Vec::new(),
            marks: Vec::new(),
            outdated: Vec::new(),
        };
        self.write(move |conn| {
            Box::pin(async move {
                record.made_at = attempt::live(&mut *conn, &claim).await?.started_at;
                record_changes(conn, &readers, record, &BTreeMap::new(), now).await
            })
        })
        .await
    }

    /// Records the results of data tests under their claim. Where all blocking tests of the node
    /// hold, readers may read what was filled before the claim, and the newest version is published.
    ///
    /// # Errors
    /// `CLAIM_STALE` when the attempt is not live any more or has another epoch.
    pub async fn record_tests(
        &self,
        project: &Project,
        claim: &Claim,
        spec: &TestSpec,
        outcomes: &[TestOutcome],
        now: Instant,
    ) -> Result<(), Fault> {
        let claim = claim.clone();
        let node = project.node(&spec.instance.node);
        let publisher = node.map(Publisher::of).filter(|publisher| publisher.is_after_tests);
        let declared: Vec<DataTest> = node.map(|node| node.tests.clone()).unwrap_or_default();
        let tested = Tested {
            attempt: claim.attempt,
            node: spec.instance.node.clone(),
            saw_seq: claim.seq,
            results: results(spec, outcomes),
            clears_through: None,
            instances: node.map_or_else(|| vec![spec.instance.clone()], Node::instances),
            state: ending(&declared, outcomes),
        };
        self.write(move |conn| {
            Box::pin(async move {
                attempt::live(&mut *conn, &claim).await?;
                let mut clears_through = clears_through(&mut *conn, &declared, &tested).await?;
                if let (Some(publisher), Some(through)) = (&publisher, clears_through)
                    && publisher.has_untested(&mut *conn, through).await?
                {
                    // Readers see all of a version or nothing of it.
                    clears_through = None;
                }
                let tested = Tested {
                    clears_through,
                    ..tested
                };
                apply::record(&mut *conn, &Fact::Tested(tested), now).await?;
                if let (Some(publisher), Some(_)) = (publisher, clears_through) {
                    publisher.publish(conn, now).await?;
                }
                Ok(())
            })
        })
        .await
    }
}

/// Finds what a fill changed and whom that touches, and records it. `later` is what commits after it
/// have filled, which it cannot have removed.
pub(crate) async fn record_changes(
    conn: &mut Conn,
    readers: &Readers,
    mut record: FillRecord,
    later: &BTreeMap<Instance, RangeSet>,
    now: Instant,
) -> Result<Recorded, Error> {
    let before: Vec<Filled> = chunk::read(&mut *conn, &text::of_instance(&record.instance), record.range).await?;
    let before: BTreeMap<Interval, Filled> = before.into_iter().map(|filled| (filled.interval, filled)).collect();
    let mut over = Vec::new();
    for (place, row) in (0..).zip(&record.intervals) {
        let filled = Filled::from(*row);
        let was = before.get(&filled.interval);
        if was != Some(&filled) {
            record.changed.push((place, was.map(|was| Was(was.rows, was.content))));
            over.push((place, filled.interval));
        }
    }
    record.marks = readers.marks(&mut *conn, &over).await?;
    if record.replaces_all {
        record.removed = removed(&mut *conn, &record, later).await?;
    }
    let stale = record.marks.iter().map(|mark| &mark.instance);
    let missing = record.removed.iter().map(|(instance, _)| instance);
    let recorded = Recorded {
        changed: over.into_iter().map(|(_, interval)| interval).collect(),
        dirtied: stale.chain(missing).cloned().collect(),
    };
    apply::record(conn, &Fact::Filled(record), now).await?;
    Ok(recorded)
}

/// What was filled in a table beside a fill that replaced all of it.
async fn removed(
    conn: &mut Conn,
    record: &FillRecord,
    later: &BTreeMap<Instance, RangeSet>,
) -> Result<Vec<(Instance, RangeSet)>, Error> {
    let mut removed = Vec::new();
    for instance in filled_in(&mut *conn, &record.relation).await? {
        let mut gone = filled(&mut *conn, &instance).await?;
        if instance == record.instance {
            gone.remove(record.range);
        }
        if let Some(later) = later.get(&instance) {
            gone = gone.subtract(later);
        }
        if !gone.is_empty() {
            removed.push((instance, gone));
        }
    }
    Ok(removed)
}

/// The instances that have anything filled in a table.
pub(crate) async fn filled_in(conn: &mut Conn, relation: &Relation) -> Result<Vec<Instance>, Error> {
    let rows: Vec<(String,)> = sql::query_as("select instance from node where relation = $1 order by instance")
        .bind(text::of_relation(relation))
        .fetch_all(conn)
        .await?;
    rows.iter().map(|(name,)| text::known_instance(name)).collect()
}

/// What an instance has filled.
pub(crate) async fn filled(conn: &mut Conn, instance: &Instance) -> Result<RangeSet, Error> {
    let cover: Vec<Cover> = chunk::read(conn, &text::of_instance(instance), Interval::WHOLE).await?;
    Ok(cover.into_iter().map(|cover| cover.range).collect())
}

fn results(spec: &TestSpec, outcomes: &[TestOutcome]) -> Vec<TestResult> {
    let asserted = |outcome: &TestOutcome| {
        let bound = spec.tests.iter().find(|bound| bound.test.name == outcome.name)?;
        Some(TestResult {
            name: outcome.name.clone(),
            fingerprint: bound.test.fingerprint,
            failures: outcome.failures,
            sample: outcome.sample.clone(),
        })
    };
    outcomes.iter().filter_map(asserted).collect()
}

fn ending(declared: &[DataTest], outcomes: &[TestOutcome]) -> RunState {
    let fails = |outcome: &TestOutcome| judge(declared, &outcome.name, outcome.failures) == Verdict::Failed;
    if outcomes.iter().any(fails) {
        RunState::Failed
    } else {
        RunState::Success
    }
}

/// Up to which fact all blocking tests have passed, these results included; nothing where one of
/// them has not, or was never asked what it asserts today.
async fn clears_through(conn: &mut Conn, declared: &[DataTest], tested: &Tested) -> Result<Option<i64>, Error> {
    let mut through = tested.saw_seq;
    for test in declared.iter().filter(|test| test.severity == Severity::Error) {
        let asserted = match tested.results.iter().find(|result| result.name == test.name) {
            Some(result) => Some((
                result.fingerprint.to_string(),
                result.failures.cast_signed(),
                tested.saw_seq,
            )),
            None => {
                sql::query_as("select fingerprint, failures, fill_seq from test where node = $1 and name = $2")
                    .bind(tested.node.as_str())
                    .bind(&test.name)
                    .fetch_optional(&mut *conn)
                    .await?
            }
        };
        match asserted {
            Some((fingerprint, failures, saw))
                if fingerprint == test.fingerprint.to_string()
                    && test.judge(failures.cast_unsigned()) != Verdict::Failed =>
            {
                through = through.min(saw);
            }
            Some(_) | None => return Ok(None),
        }
    }
    Ok(Some(through))
}
