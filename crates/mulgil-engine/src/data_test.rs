//! Data tests: queries whose rows are failures. All rows are counted, a few are shown.

use std::sync::Arc;

use datafusion::arrow::{
    array::RecordBatch,
    json::{WriterBuilder, writer::JsonArray},
};
use futures::{StreamExt, TryStreamExt, stream};
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

/// Runs the tests of a spec, all at the same versions of what they read.
pub(crate) async fn run(sessions: &Arc<Sessions>, spec: &TestSpec) -> Result<Vec<TestOutcome>, Fault> {
    let snapshots = Arc::<Snapshots>::default();
    let outcomes = spec.tests.iter().map(|test| {
        let (sessions, snapshots) = (Arc::clone(sessions), Arc::clone(&snapshots));
        let (test, zone) = (test.clone(), spec.zone.clone());
        cpu::beside(async move { run_one(&sessions, &snapshots, &test, &zone).await })
    });
    let outcomes: Vec<_> = outcomes.collect();
    stream::iter(outcomes).buffered(TESTS_AT_ONCE).try_collect().await
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
