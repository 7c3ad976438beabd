//! Data tests: queries whose rows are failures. All rows are counted, a few are shown.

use std::sync::Arc;

use datafusion::arrow::{
    array::{AsArray, RecordBatch},
    json::{WriterBuilder, writer::JsonArray},
};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    grid::Zone,
    port::{Fault, TestOutcome},
    task::{BoundTest, TestSpec},
};
use serde_json::Value;

use crate::{
    cpu,
    fault::{self, Author},
    session::Sessions,
    table::Snapshots,
};

/// Failing rows that are shown.
const SHOWN_ROWS: usize = 5;

/// Tests that run at once: one plans while the other reads.
const TESTS_AT_ONCE: usize = 2;

/// Runs the tests of a spec, all at the same versions of what they read. Those that look at each row by
/// itself are asked together, in one pass over the table; only what breaks is asked again alone.
pub(crate) async fn run(sessions: &Arc<Sessions>, spec: &TestSpec) -> Result<Vec<TestOutcome>, Fault> {
    let snapshots = Arc::<Snapshots>::default();
    let (by_row, others): (Vec<&BoundTest>, Vec<&BoundTest>) =
        spec.tests.iter().partition(|test| test.row_breaks_if.is_some());
    let alone = |test: &BoundTest| {
        let (sessions, snapshots) = (Arc::clone(sessions), Arc::clone(&snapshots));
        let (test, zone) = (test.clone(), spec.zone.clone());
        cpu::beside(async move { run_one(&sessions, &snapshots, &test, &zone).await.map(|one| vec![one]) }).boxed()
    };
    let together = {
        let (sessions, snapshots) = (Arc::clone(sessions), Arc::clone(&snapshots));
        let (tests, zone) = (by_row.into_iter().cloned().collect::<Vec<_>>(), spec.zone.clone());
        cpu::beside(async move { run_together(&sessions, &snapshots, &tests, &zone).await }).boxed()
    };
    let mut parts = vec![together];
    parts.extend(others.into_iter().map(alone));
    let outcomes: Vec<Vec<TestOutcome>> = stream::iter(parts).buffered(TESTS_AT_ONCE).try_collect().await?;
    let mut outcomes: Vec<TestOutcome> = outcomes.into_iter().flatten().collect();
    let place = |outcome: &TestOutcome| spec.tests.iter().position(|test| test.test.name == outcome.name);
    outcomes.sort_by_key(place);
    Ok(outcomes)
}

/// Tests that look at each row by itself. Where the pass itself fails, each is run alone, so that the
/// fault is that of the test which has it.
async fn run_together(
    sessions: &Arc<Sessions>,
    snapshots: &Arc<Snapshots>,
    tests: &[BoundTest],
    zone: &Zone,
) -> Result<Vec<TestOutcome>, Fault> {
    let holds = match tests {
        [] | [_] => vec![false; tests.len()],
        tests => all_hold(sessions, snapshots, tests, zone)
            .await
            .unwrap_or_else(|_| vec![false; tests.len()]),
    };
    let mut outcomes = Vec::with_capacity(tests.len());
    for (test, holds) in tests.iter().zip(holds) {
        outcomes.push(if holds {
            TestOutcome {
                name: test.test.name.clone(),
                failures: 0,
                sample: Vec::new(),
            }
        } else {
            run_one(sessions, snapshots, test, zone).await?
        });
    }
    Ok(outcomes)
}

/// Which of the tests no row breaks.
async fn all_hold(
    sessions: &Arc<Sessions>,
    snapshots: &Arc<Snapshots>,
    tests: &[BoundTest],
    zone: &Zone,
) -> Result<Vec<bool>, Fault> {
    let author = Author::Node(tests[0].test.name.clone());
    let own = tests[0]
        .bindings
        .first()
        .ok_or_else(|| unshown("a test over nothing"))?;
    let breaks = tests.iter().flat_map(|test| &test.row_breaks_if).enumerate();
    let any: Vec<String> = breaks
        .map(|(number, breaks)| format!("coalesce(bool_or({breaks}), false) as b{number}"))
        .collect();
    let sql = format!("select {} from \"{}\"", any.join(", "), own.name);
    let ready = sessions
        .plan(&sql, std::slice::from_ref(own), zone, snapshots, &author)
        .await?;
    let mut rows = ready.rows(&author)?;
    let mut holds = vec![true; tests.len()];
    while let Some(batch) = rows.next().await {
        let batch = batch.map_err(|error| fault::sql(&error, &author))?;
        for (number, holds) in holds.iter_mut().enumerate() {
            *holds &= batch.column(number).as_boolean().true_count() == 0;
        }
    }
    Ok(holds)
}

async fn run_one(
    sessions: &Arc<Sessions>,
    snapshots: &Arc<Snapshots>,
    test: &BoundTest,
    zone: &Zone,
) -> Result<TestOutcome, Fault> {
    let author = Author::Node(test.test.name.clone());
    let ready = sessions
        .plan(&test.sql, &test.bindings, zone, snapshots, &author)
        .await?;
    let mut rows = ready.rows(&author)?;
    let (mut failures, mut sample) = (0_u64, Vec::new());
    while let Some(batch) = rows.next().await {
        let batch = batch.map_err(|error| fault::sql(&error, &author))?;
        let wanted = SHOWN_ROWS.saturating_sub(sample.len()).min(batch.num_rows());
        if wanted > 0 {
            sample.extend(as_json(&batch.slice(0, wanted))?);
        }
        failures += batch.num_rows() as u64;
    }
    Ok(TestOutcome {
        name: test.test.name.clone(),
        failures,
        sample,
    })
}

/// The rows as objects; NULL is a value too, often the very one that a test is about.
fn as_json(rows: &RecordBatch) -> Result<Vec<Value>, Fault> {
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, JsonArray>(Vec::new());
    writer
        .write(rows)
        .and_then(|()| writer.finish())
        .map_err(|error| unshown(&error.to_string()))?;
    serde_json::from_slice(&writer.into_inner()).map_err(|error| unshown(&error.to_string()))
}

fn unshown(error: &str) -> Fault {
    Box::new(Diagnostic::error(
        codes::BUG,
        format!("failing rows could not be shown: {error}"),
    ))
}
