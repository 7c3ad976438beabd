//! One attempt: from its claim to what it gave, without the record.

use std::{collections::BTreeMap, sync::Arc};

use mulgil_core::{
    codes, crash,
    decide::{Action, Scope},
    diagnostic::Diagnostic,
    due::{self, Reason},
    interval::{Instant, Interval, RangeSet},
    name::{Instance, NodeName},
    plan::Forecast,
    port::{Engine, Fault, FillOutcome, Progress, SourceSeen, TestOutcome},
    project::{Materialization, Node},
    publish::ReadVersions,
    state::Cause,
    task::{BoundTest, Claim, FillQuery, FillSpec, ScriptSpec, TASK_SPEC_VERSION, TaskSpec, TestSpec, Work},
};
use mulgil_project::Compiler;

/// What an attempt gave.
pub(crate) enum Outcome {
    /// Its range is filled and durable in the table.
    Filled(FillOutcome),
    /// A hook has failed: one that follows the fill, whose rows are durable in the table; or one before
    /// it.
    HookFailed(Option<FillOutcome>, Fault),
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
        scope: &Scope,
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
                let spec = fill_spec(node, &instance, range, forecast, scope, compiler, seen)?;
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
        Work::Fill(fill) => filled(engine, fill, &spec.claim, progress).await,
        Work::Test(test) => engine.test(test).await.map(Outcome::Tested),
    }
}

/// A fill between its hooks.
async fn filled(
    engine: &dyn Engine,
    fill: &FillSpec,
    claim: &Claim,
    progress: &dyn Progress,
) -> Result<Outcome, Fault> {
    if let Err(fault) = run_hooks(engine, &fill.hooks.before, claim).await {
        return Ok(Outcome::HookFailed(None, fault));
    }
    let filled = engine.fill(fill, claim, progress).await?;
    if fill.hooks.after.is_empty() {
        return Ok(Outcome::Filled(filled));
    }
    crash::point("hooks");
    match run_hooks(engine, &fill.hooks.after, claim).await {
        Ok(()) => Ok(Outcome::Filled(filled)),
        Err(fault) => Ok(Outcome::HookFailed(Some(filled), fault)),
    }
}

async fn run_hooks(engine: &dyn Engine, hooks: &[ScriptSpec], claim: &Claim) -> Result<(), Fault> {
    for hook in hooks {
        let hook = ScriptSpec {
            claim: Some(claim.clone()),
            ..hook.clone()
        };
        engine.script(&hook).await?;
    }
    Ok(())
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
    scope: &Scope,
    compiler: &Compiler,
    seen: &BTreeMap<NodeName, SourceSeen>,
) -> Result<FillSpec, Fault> {
    let filled = forecast
        .terms(instance)
        .map(|terms| terms.filled.clone())
        .unwrap_or_default();
    keep_snapshot(forecast, node, instance)?;
    let replaces_all = replaces_all(forecast, node, instance, range);
    let is_incremental = match node.materialization {
        Materialization::Interval => !filled.is_empty(),
        Materialization::Incremental | Materialization::Snapshot => !replaces_all,
        Materialization::Table | Materialization::View | Materialization::Seed => false,
    };
    Ok(FillSpec {
        instance: instance.clone(),
        relation: node.relation.clone(),
        materialization: node.materialization,
        grid: node.grid.clone(),
        event_time: node.event_time.clone(),
        incremental: node.incremental.clone(),
        range,
        queries: queries_seen(
            forecast,
            node,
            compiler.fill_queries(instance, range, is_incremental, seen)?,
        ),
        hooks: compiler.hooks(instance, range, is_incremental, seen)?,
        fingerprint: node.fingerprint,
        replaces_all,
        may_replace_all: may_replace_all(forecast, scope, node),
    })
}

/// The queries of a fill, each table at the version that its readers see.
fn queries_seen(forecast: &Forecast<'_>, node: &Node, mut queries: Vec<FillQuery>) -> Vec<FillQuery> {
    let tables = &forecast.state.tables;
    let versions = ReadVersions::of(forecast.project, |relation| {
        let table = tables.get(relation).filter(|table| table.is_there)?;
        Some(table.published)
    });
    for query in &mut queries {
        versions.pin(&mut query.bindings, Some(&node.relation));
    }
    queries
}

/// Whether a fill replaces all that its table has, so that columns and partitions may change.
fn replaces_all(forecast: &Forecast<'_>, node: &Node, instance: &Instance, range: Interval) -> bool {
    match node.materialization {
        Materialization::View => false,
        Materialization::Table | Materialization::Seed if node.keys.is_empty() => true,
        Materialization::Incremental => is_made_anew(forecast, node, instance),
        // What it tells of the past is nowhere else.
        Materialization::Snapshot => !forecast
            .state
            .tables
            .get(&node.relation)
            .is_some_and(|table| table.is_there),
        Materialization::Table | Materialization::Seed | Materialization::Interval => {
            is_all_there_is(forecast, node, instance, range)
        }
    }
}

/// Whether an incremental table is made of its query alone: it is not there, a view stood in its place
/// since, or a person asked for all of it. A table that is there and that nothing is known of is gone on
/// with, as dbt does: what it holds may be nowhere else.
fn is_made_anew(forecast: &Forecast<'_>, node: &Node, instance: &Instance) -> bool {
    let table = forecast.state.tables.get(&node.relation);
    let is_there = table.is_some_and(|table| table.is_there && table.kind != Some(Materialization::View));
    let full_refresh = node.incremental.as_ref().and_then(|how| how.full_refresh);
    !is_there || full_refresh.unwrap_or_else(|| is_asked(forecast, instance))
}

fn is_asked(forecast: &Forecast<'_>, instance: &Instance) -> bool {
    let state = forecast.state.nodes.get(instance);
    state.is_some_and(|state| state.dirty.contains_key(&Cause::Manual))
}

/// A snapshot tells what is nowhere else, so nothing takes its place unless a person asks for it.
fn keep_snapshot(forecast: &Forecast<'_>, node: &Node, instance: &Instance) -> Result<(), Fault> {
    let table = forecast.state.tables.get(&node.relation);
    let is_snapshot = table.is_some_and(|table| table.is_there && table.kind == Some(Materialization::Snapshot));
    let stays = matches!(node.materialization, Materialization::Snapshot | Materialization::View);
    if !is_snapshot || stays || is_asked(forecast, instance) {
        return Ok(());
    }
    let (relation, name) = (&node.relation, &node.name);
    Err(Box::new(
        Diagnostic::error(
            codes::LAYOUT_MISFIT,
            format!("`{relation}` holds a snapshot, and `{name}` is another thing now: its history would be lost"),
        )
        .with_remedy(format!(
            "give `{name}` another name; or, if the history may go: `mulgil run {name} --full`"
        )),
    ))
}

/// Whether a fill of a part may replace all where the rest cannot stay beside it.
fn may_replace_all(forecast: &Forecast<'_>, scope: &Scope, node: &Node) -> bool {
    let instances = node.instances();
    node.materialization != Materialization::Snapshot
        && instances.iter().all(|own| is_asked_whole(forecast, scope, node, own))
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

/// Whether a person asked for all of an instance that can be named, the run may fill all of it, and
/// nothing of it is done yet: then the first commit may replace the table, and what it removes is
/// missing and follows. What cannot be filled now, because its file is gone, would not follow; so it
/// stays.
fn is_asked_whole(forecast: &Forecast<'_>, scope: &Scope, node: &Node, instance: &Instance) -> bool {
    let state = forecast.state.nodes.get(instance);
    let asked = state.and_then(|state| state.dirty.get(&Cause::Manual));
    let asked = asked
        .zip(scope.of(instance))
        .map(|(asked, scope)| asked.intersect(&scope));
    let Some((terms, asked)) = forecast.terms(instance).zip(asked) else {
        return false;
    };
    let Some(span) = asked.span() else {
        return false;
    };
    // Intervals that have ended since the person asked are of no account.
    let nameable = due::nameable(node, forecast.now);
    let named = nameable.intersect(
        &Interval {
            start: Instant::MIN,
            ..span
        }
        .into(),
    );
    let filled = terms.filled.intersect(&nameable);
    // Rows that were made without a grid cannot stay in part.
    let is_whole = terms.filled.covers(Interval::WHOLE);
    asked.is_superset(&named) && asked.is_superset(&filled) && (is_whole || terms.due.keys().is_superset(&filled))
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
    Box::new(Diagnostic::error(
        codes::BUG,
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
        let forecast = timeline.forecast();
        replaces_all(&forecast, &node, &instance, range) || may_replace_all(&forecast, &Scope::All, &node)
    }

    fn holding(instances: &[&str]) -> TableState {
        let named = instances.iter().filter_map(|text| Instance::parse(text));
        TableState {
            holds: named.collect(),
            is_there: true,
            ..TableState::default()
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

    #[test]
    fn the_first_fill_of_all_that_can_be_named_replaces_all_and_the_next_ones_do_not() {
        let whole = "model m by hour\nfilled m 2026-11-01..2026-11-11\nasked m 2026-11-01..2026-11-11";
        let first = "2026-11-01..2026-11-03";
        assert!(replaces(whole, "m", first, &holding(&["m", "m[country=jp]"])));
        let rest = "model m by hour\nfilled m 2026-11-01..2026-11-03\nasked m 2026-11-03..2026-11-11";
        assert!(!replaces(rest, "m", "2026-11-03..2026-11-05", &holding(&["m"])));
        let part = "model m by hour\nfilled m 2026-11-01..2026-11-11\nasked m 2026-11-02..2026-11-11";
        assert!(!replaces(part, "m", "2026-11-02..2026-11-05", &holding(&["m"])));
    }

    #[test]
    fn all_keys_have_to_be_asked_for() {
        let keyed = "model m by day keys country=kr|jp\nfilled m[country=kr] 2026-11-01..2026-11-11\n\
                     filled m[country=jp] 2026-11-01..2026-11-11\nasked m[country=kr] 2026-11-01..2026-11-11";
        let (kr, table) = ("m[country=kr]", holding(&["m[country=kr]", "m[country=jp]"]));
        assert!(!replaces(keyed, kr, "2026-11-01..2026-11-03", &table));
        let both = format!("{keyed}\nasked m[country=jp] 2026-11-01..2026-11-11");
        assert!(replaces(&both, kr, "2026-11-01..2026-11-03", &table));
    }

    #[test]
    fn rows_whose_file_is_gone_are_not_replaced_because_they_could_not_be_made_again() {
        let text = "source raw by day\nmodel m by day reads raw\navailable raw 2026-11-01..2026-11-11\n\
                    filled m 2026-11-01..2026-11-11\nasked m 2026-11-01..2026-11-11";
        let first = "2026-11-01..2026-11-03";
        assert!(replaces(text, "m", first, &holding(&["m"])));
        let lost = format!("{text}\ngone raw 2026-11-05");
        assert!(!replaces(&lost, "m", first, &holding(&["m"])));
    }

    #[test]
    fn a_model_that_had_no_grid_and_rows_beyond_what_can_be_named_are_replaced() {
        let table = holding(&["m"]);
        let mut timeline = Timeline::parse(
            "begin 2026-11-01\nmodel m by week\nfilled m 2026-11-02..2026-11-09\n\
             asked m 2026-11-02..2026-11-09\nnow 2026-11-11T00:00Z",
        );
        let node = timeline.project.nodes[0].clone();
        let instance = Instance::of(node.name.clone());
        timeline.state.tables.insert(node.relation.clone(), table);
        let week = Interval {
            start: node.grid.extent().start,
            end: node.grid.floor(timeline.now),
        };
        let asked: RangeSet = week.into();
        let state = timeline.state.nodes.get_mut(&instance).expect("a state");
        state.dirty.insert(Cause::Manual, asked);
        for filled in [
            Interval::WHOLE,
            Interval {
                end: timeline.now,
                ..week
            },
        ] {
            let state = timeline.state.nodes.get_mut(&instance).expect("a state");
            state.filled.insert(filled, node.fingerprint);
            let forecast = Forecast::new(&timeline.project, &timeline.state, timeline.now);
            assert!(
                replaces_all(&forecast, &node, &instance, week) || may_replace_all(&forecast, &Scope::All, &node),
                "{filled:?}"
            );
        }
    }

    #[test]
    fn a_run_that_may_not_fill_the_rest_does_not_remove_it() {
        let timeline = Timeline::parse(
            "begin 2026-11-01\nmodel m by day\nfilled m 2026-11-01..2026-11-11\n\
             asked m 2026-11-01..2026-11-11\nnow 2026-11-11T00:00Z",
        );
        let node = &timeline.project.nodes[0];
        let instance = Instance::of(node.name.clone());
        let range = interval_text::parse("2026-11-01..2026-11-03", &node.grid).expect("a range");
        let narrow = Scope::Only(BTreeMap::from([(instance.clone(), range.into())]));
        let forecast = timeline.forecast();
        assert!(!may_replace_all(&forecast, &narrow, node));
        assert!(may_replace_all(&forecast, &Scope::All, node));
    }
}
