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
                let spec = test_spec(node, &tests, compiler)?;
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
        replaces_all: replaces_all(forecast, node, instance, range),
    })
}

/// Whether a fill replaces all that its table has, so that columns and partitions may change.
fn replaces_all(forecast: &Forecast<'_>, node: &Node, instance: &Instance, range: Interval) -> bool {
    match node.materialization {
        Materialization::View => false,
        Materialization::Table | Materialization::Seed if node.keys.is_empty() => true,
        Materialization::Table | Materialization::Seed | Materialization::Interval => {
            is_all_there_is(forecast, node, instance, range)
        }
    }
}

/// Whether a range holds all that is in the table, as far as anybody can know.
fn is_all_there_is(forecast: &Forecast<'_>, node: &Node, instance: &Instance, range: Interval) -> bool {
    let is_alone = match forecast.state.tables.get(&node.relation) {
        Some(table) => !table.uncounted && table.holds.iter().all(|other| other == instance),
        None => true,
    };
    let terms = forecast.terms(instance);
    is_alone && terms.is_none_or(|terms| RangeSet::from(range).is_superset(&terms.filled))
}

fn test_spec(node: &Node, names: &[String], compiler: &Compiler) -> Result<TestSpec, Fault> {
    let due = node.tests.iter().filter(|test| names.contains(&test.name));
    let tests = due
        .map(|test| compiler.bound_test(&node.name, test))
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

#[cfg(test)]
mod tests {
    use mulgil_core::{interval_text, state::TableState, timeline::Timeline};

    use super::*;

    /// Whether a fill of `m` over a range replaces all, when its table is as told.
    fn replaces(text: &str, of: &str, range: &str, table: &TableState) -> bool {
        let mut timeline = Timeline::parse(&format!("begin 2026-11-01\n{text}\nnow 2026-11-11T00:00Z"));
        let instance = Instance::parse(of).expect("an instance");
        let node = timeline.project.node(&instance.node).expect("a node").clone();
        timeline.state.tables.insert(node.relation.clone(), table.clone());
        let range = interval_text::parse(range, &node.grid).expect("a range");
        replaces_all(&timeline.forecast(), &node, &instance, range)
    }

    fn holding(instances: &[&str]) -> TableState {
        let named = instances.iter().filter_map(|text| Instance::parse(text));
        TableState {
            holds: named.collect(),
            uncounted: false,
        }
    }

    #[test]
    fn a_fill_replaces_all_where_it_holds_all_that_is_filled() {
        let text = "model m by day\nfilled m 2026-11-02..2026-11-04";
        assert!(replaces(text, "m", "2026-11-02..2026-11-05", &holding(&["m"])));
        assert!(!replaces(text, "m", "2026-11-03..2026-11-05", &holding(&["m"])));
        assert!(replaces("model m by day", "m", "2026-11-03", &TableState::default()));
    }

    #[test]
    fn rows_of_a_key_that_is_no_longer_declared_are_in_the_table_too() {
        let text = "model m by day keys country=kr";
        let kr = "m[country=kr]";
        assert!(!replaces(
            text,
            kr,
            "2026-11-01..2026-11-11",
            &holding(&["m[country=jp]"])
        ));
        assert!(replaces(text, kr, "2026-11-01..2026-11-11", &holding(&[kr])));
    }

    #[test]
    fn rows_that_nothing_counts_are_not_replaced_by_the_way() {
        let uncounted = TableState {
            uncounted: true,
            ..holding(&["m"])
        };
        assert!(!replaces("model m by day", "m", "2026-11-01..2026-11-11", &uncounted));
        assert!(
            replaces("model m", "m", "all", &uncounted),
            "a table is made by one query"
        );
    }
}
