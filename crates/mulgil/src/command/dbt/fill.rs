//! `mulgil dbt run`, `build`, `seed`, `snapshot` and `test`: what is selected is filled or tested, due or
//! not.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mulgil_core::{
    codes,
    decide::{Scope, Tasks},
    diagnostic::Diagnostic,
    due,
    interval::{Interval, RangeSet},
    interval_text,
    name::{Instance, NodeName},
    project::{Materialization, Node},
    run::Trigger,
    select::choose::{Chosen, TestOf},
    state::NodeState,
};
use mulgil_scheduler::{OnFailure, RunRequest};

use super::{
    chosen,
    console::{self, Told},
    is_asked, resource,
};
use crate::{
    cli::{
        Global,
        dbt::{Fill, Resource, Test},
    },
    command::{Faults, Outcome},
    say,
    wire::{self, Opened},
};

/// Which of dbt's commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Run,
    Build,
    Seed,
    Snapshot,
}

impl Verb {
    fn word(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Build => "build",
            Self::Seed => "seed",
            Self::Snapshot => "snapshot",
        }
    }

    /// The kinds of nodes that it fills; all where there are none.
    fn kinds(self, asked: &[Resource]) -> Vec<Resource> {
        match self {
            Self::Run => vec![Resource::Model],
            Self::Seed => vec![Resource::Seed],
            Self::Snapshot => vec![Resource::Snapshot],
            Self::Build => asked.to_vec(),
        }
    }

    fn tasks(self, kinds: &[Resource]) -> Tasks {
        match self {
            Self::Build if is_asked(kinds, Resource::Test) => Tasks::FillsAndTests,
            Self::Build | Self::Run | Self::Seed | Self::Snapshot => Tasks::Fills,
        }
    }
}

pub(crate) async fn fill(global: &Global, flags: &Fill, verb: Verb) -> Outcome {
    let opened = wire::open_as(global, &flags.aim)?;
    opened.warnings.iter().for_each(say::fault);
    let mut chosen = chosen(&opened, &flags.choice)?;
    let kinds = verb.kinds(&flags.resource_type);
    let is_of_kind = |instance: &Instance| {
        let node = opened.project.node(&instance.node);
        node.is_some_and(|node| is_asked(&kinds, resource(node)))
    };
    chosen.ranges.retain(|instance, _| is_of_kind(instance));
    if chosen.ranges.is_empty() && verb == Verb::Build && is_asked(&kinds, Resource::Test) {
        return run_tests(&opened, chosen.tests, request_of(verb.word(), flags), flags.threads).await;
    }
    let tasks = verb.tasks(&kinds);
    chosen.tests = match tasks {
        Tasks::FillsAndTests => tests_of(&opened, &chosen),
        Tasks::Fills | Tasks::Tests(_) => BTreeSet::new(),
    };
    let asked = asked(&opened, &mut chosen, flags)?;
    let named = chosen.ranges.keys().cloned().collect();
    let request = RunRequest {
        scope: Scope::Only(chosen.ranges.clone()),
        named,
        tasks,
        manual: asked.anew,
        again: asked.again,
        ..request_of(verb.word(), flags)
    };
    perform(&opened, verb.word(), request, &chosen, flags.threads).await
}

pub(crate) async fn test(global: &Global, flags: &Test) -> Outcome {
    let opened = wire::open_as(global, &flags.aim)?;
    opened.warnings.iter().for_each(say::fault);
    let chosen = chosen(&opened, &flags.choice)?;
    let request = RunRequest {
        selector: format!("dbt test {}", flags.choice.text()).trim().to_owned(),
        on_failure: on_failure(flags.fail_fast),
        ..RunRequest::of_all(Trigger::Manual)
    };
    run_tests(&opened, chosen.tests, request, flags.threads).await
}

async fn run_tests(opened: &Opened, tests: BTreeSet<TestOf>, request: RunRequest, threads: Option<usize>) -> Outcome {
    let mut asked: BTreeMap<NodeName, BTreeSet<String>> = BTreeMap::new();
    for (node, test) in &tests {
        asked.entry(node.clone()).or_default().insert(test.clone());
    }
    let chosen = Chosen {
        tests,
        ..Chosen::default()
    };
    let request = RunRequest {
        tasks: Tasks::Tests(asked),
        ..request
    };
    perform(opened, "test", request, &chosen, threads).await
}

async fn perform(opened: &Opened, verb: &str, request: RunRequest, chosen: &Chosen, threads: Option<usize>) -> Outcome {
    if chosen.ranges.is_empty() && chosen.tests.is_empty() {
        say::talk("nothing to do: nothing is selected");
        return Ok(0);
    }
    let (runner, right) = opened.runner(&format!("mulgil dbt {verb}"), threads).await?;
    let told = Arc::new(Told::new(Arc::clone(&opened.project), chosen));
    let began = wire::now();
    let summary = runner.run(&request, told.clone(), wire::interrupt()).await?;
    right.give_back().await;
    Ok(console::end(opened, &summary, chosen, began))
}

fn request_of(verb: &str, flags: &Fill) -> RunRequest {
    let mut selector = format!("dbt {verb} {}", flags.choice.text()).trim().to_owned();
    if flags.full_refresh {
        selector.push_str(" --full-refresh");
    }
    RunRequest {
        selector,
        on_failure: on_failure(flags.fail_fast),
        ..RunRequest::of_all(Trigger::Manual)
    }
}

fn on_failure(is_fast: bool) -> OnFailure {
    if is_fast { OnFailure::Stop } else { OnFailure::GoOn }
}

/// The data tests of the nodes that are filled.
fn tests_of(opened: &Opened, chosen: &Chosen) -> BTreeSet<TestOf> {
    let nodes = opened.project.nodes.iter().filter(|node| chosen.has_node(&node.name));
    let tests = nodes.flat_map(|node| node.tests.iter().map(|test| (node.name.clone(), test.name.clone())));
    tests.collect()
}

/// What is asked for beside what is due.
#[derive(Default)]
struct Asked {
    /// What is made anew as a whole.
    anew: Vec<(Instance, RangeSet)>,
    /// What is filled once more, as it is.
    again: Vec<(Instance, RangeSet)>,
}

/// What dbt would run. Where times are given, the scope is narrowed to them.
fn asked(opened: &Opened, chosen: &mut Chosen, flags: &Fill) -> Result<Asked, Faults> {
    let mut asked = Asked::default();
    for (instance, scope) in &mut chosen.ranges {
        let Some(node) = opened.project.node(&instance.node) else {
            continue;
        };
        if let Some(times) = times(node, flags)? {
            *scope = scope.within(times);
            let inside = due::nameable(node, wire::now()).intersect(scope);
            asked.again.push((instance.clone(), inside));
        } else if flags.full_refresh && node.materialization != Materialization::Snapshot {
            asked.anew.push((instance.clone(), due::nameable(node, wire::now())));
        } else {
            asked.again.push((instance.clone(), newest(node)));
        }
    }
    asked.anew.retain(|(_, ranges)| !ranges.is_empty());
    asked.again.retain(|(_, ranges)| !ranges.is_empty());
    Ok(asked)
}

/// What is filled once more: of a model by interval the newest one and those that it looks back at; all
/// of any other.
fn newest(node: &Node) -> RangeSet {
    if !node.grid.is_cut() {
        return RangeSet::whole();
    }
    let wanted = due::wanted(node, &NodeState::default(), wire::now());
    let reach = wanted.span().and_then(|span| {
        let newest = node.grid.prev_cut(span.end);
        Interval::new(node.grid.back(newest, node.lookback), span.end)
    });
    reach.map_or_else(RangeSet::new, |reach| wanted.within(reach))
}

/// `--event-time-start` and `--event-time-end` on the grid of a node; a node without one has no times.
fn times(node: &Node, flags: &Fill) -> Result<Option<Interval>, Faults> {
    let (Some(start), Some(end)) = (&flags.event_time_start, &flags.event_time_end) else {
        return Ok(None);
    };
    if !node.grid.is_cut() {
        return Ok(None);
    }
    let edge = |text: &str| interval_text::parse(text.trim(), &node.grid).map(|interval| interval.start);
    Interval::new(edge(start)?, edge(end)?).map(Some).ok_or_else(|| {
        Diagnostic::error(
            codes::BAD_INTERVAL,
            "`--event-time-end` is not after `--event-time-start`",
        )
        .with_remedy("the end is the first time that is not filled")
        .into()
    })
}
