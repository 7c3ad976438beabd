//! One attempt: from its claim to what it gave, without the record.

use std::{collections::BTreeMap, sync::Arc};

use mulgil_core::{
    decide::Action,
    due::Reason,
    interval::{Interval, RangeSet},
    name::{Instance, NodeName},
    plan::Forecast,
    port::{Engine, Fault, FillOutcome, Progress, SourceSeen, TestOutcome},
    project::{Materialization, Node},
    task::{BoundTest, Claim, FillSpec, TASK_SPEC_VERSION, TaskSpec, TestSpec, Work},
};
use mulgil_project::Compiler;

/// What an attempt gave.
pub(crate) enum Outcome {
    /// Its range is filled and durable in the table.
    Filled(FillOutcome),
    /// Its tests ran.
    Tested(Vec<TestOutcome>),
}

/// What is asked of an attempt, before it has a claim.
pub(crate) struct Task {
    /// Why, part by part.
    pub(crate) reasons: Vec<(Interval, Reason)>,
    /// What to do.
    pub(crate) work: Work,
}

impl Task {
    /// Renders what an action needs: queries for a fill, assertions for tests.
    pub(crate) fn compile(
        action: Action,
        forecast: &Forecast<'_>,
        compiler: &Compiler,
        seen: &BTreeMap<NodeName, SourceSeen>,
    ) -> Result<Self, Fault> {
        match action {
            Action::Fill {
                instance,
                range,
                reasons,
            } => {
                let node = forecast.node(&instance.node).ok_or_else(|| unknown(&instance.node))?;
                let spec = fill_spec(node, &instance, range, forecast, compiler, seen)?;
                Ok(Self {
                    reasons,
                    work: Work::Fill(spec),
                })
            }
            Action::Test { node, tests } => {
                let node = forecast.node(&node).ok_or_else(|| unknown(&node))?;
                let spec = test_spec(node, &tests, compiler, seen)?;
                Ok(Self {
                    reasons: Vec::new(),
                    work: Work::Test(spec),
                })
            }
        }
    }
}

/// Performs one attempt. Dropping the future stops the work and leaves no commit.
pub(crate) async fn perform(engine: &dyn Engine, spec: &TaskSpec, progress: &dyn Progress) -> Result<Outcome, Fault> {
    match &spec.work {
        Work::Fill(fill) => engine.fill(fill, &spec.claim, progress).await.map(Outcome::Filled),
        Work::Test(test) => engine.test(test).await.map(Outcome::Tested),
    }
}

/// The task of a claim.
pub(crate) fn task_spec(claim: Claim, work: Work) -> Arc<TaskSpec> {
    Arc::new(TaskSpec {
        version: TASK_SPEC_VERSION,
        claim,
        work,
    })
}

fn fill_spec(
    node: &Node,
    instance: &Instance,
    range: Interval,
    forecast: &Forecast<'_>,
    compiler: &Compiler,
    seen: &BTreeMap<NodeName, SourceSeen>,
) -> Result<FillSpec, Fault> {
    let filled = forecast
        .terms(instance)
        .map(|terms| terms.filled.clone())
        .unwrap_or_default();
    let others_empty = node
        .instances()
        .iter()
        .filter(|other| *other != instance)
        .all(|other| forecast.terms(other).is_none_or(|terms| terms.filled.is_empty()));
    let is_incremental = node.materialization == Materialization::Interval && !filled.is_empty();
    Ok(FillSpec {
        instance: instance.clone(),
        relation: node.relation.clone(),
        materialization: node.materialization,
        grid: node.grid.clone(),
        event_time: node.event_time.clone(),
        range,
        queries: compiler.fill_queries(instance, range, is_incremental, seen)?,
        fingerprint: node.fingerprint,
        replaces_all: others_empty && RangeSet::from(range).is_superset(&filled),
    })
}

fn test_spec(
    node: &Node,
    names: &[String],
    compiler: &Compiler,
    seen: &BTreeMap<NodeName, SourceSeen>,
) -> Result<TestSpec, Fault> {
    let due = node.tests.iter().filter(|test| names.contains(&test.name));
    let tests = due
        .map(|test| compiler.bound_test(&node.name, test, seen))
        .collect::<Result<Vec<BoundTest>, Fault>>()?;
    Ok(TestSpec {
        instance: Instance::of(node.name.clone()),
        relation: node.relation.clone(),
        zone: node.grid.zone.clone(),
        tests,
    })
}

fn unknown(name: &NodeName) -> Fault {
    Box::new(mulgil_core::diagnostic::Diagnostic::error(
        mulgil_core::codes::BUG,
        format!("an action names `{name}`, which is not in the project"),
    ))
}
