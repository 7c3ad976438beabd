//! Why there is no page, with names that are close to what was asked for.

use mulgil_core::{
    codes,
    diagnostic::{Code, Diagnostic},
    name::Instance,
    port::Fault,
    project::Project,
    run::RunState,
};
use mulgil_server::NoPage;
use mulgil_web::view::Link;

use super::names;
use crate::command::explain;

/// Names that are told in place of one that is not there.
const NEAR: usize = 5;

/// There is no such table.
pub(super) fn no_table(project: &Project, name: &str) -> NoPage {
    let nodes = project.nodes.iter().map(|node| node.name.as_str());
    let names = nodes.chain(project.sources.iter().map(|source| source.name.as_str()));
    let near = near(name, names).map(|name| names::table_link(&Instance::of(name.into())));
    NoPage::NotFound {
        fault: fault(format!("there is no table `{name}`"), "`mulgil nodes ls` shows all"),
        near: near.collect(),
    }
}

/// There is no such flow.
pub(super) fn no_flow(project: &Project, name: &str) -> NoPage {
    let near = near(name, project.flows.iter().map(|flow| flow.name.as_str())).map(names::flow_link);
    NoPage::NotFound {
        fault: fault(format!("there is no flow `{name}`"), "`mulgil flows ls` shows all"),
        near: near.collect(),
    }
}

/// What was asked for cannot be read.
pub(super) fn unreadable(fault: Diagnostic) -> NoPage {
    match fault.code {
        codes::NOT_FOUND => NoPage::NotFound {
            fault: Box::new(fault),
            near: Vec::new(),
        },
        _ => NoPage::Fault(Box::new(fault)),
    }
}

/// A failure of which the ledger tells the code alone: what that means, in its words.
pub(super) fn of_code(code: Code) -> Fault {
    let title = explain::title_of(code).unwrap_or("it failed");
    Box::new(Diagnostic::error(code, title).with_remedy(format!("`mulgil explain {code}`")))
}

/// There is no such run.
pub(super) fn no_run(run: i64) -> NoPage {
    NoPage::NotFound {
        fault: fault(
            format!("there is no run {run}"),
            "`mulgil runs ls` shows the newest runs",
        ),
        near: vec![Link {
            text: "/runs".to_owned(),
            href: Some("/runs".to_owned()),
        }],
    }
}

/// A run that has ended already.
pub(super) fn over(run: i64, state: RunState) -> Diagnostic {
    Diagnostic::error(codes::CLAIM_STALE, format!("run {run} has ended: {}", state.as_str()))
        .with_remedy("there is nothing to cancel")
}

fn fault(message: String, remedy: &str) -> Fault {
    Box::new(Diagnostic::error(codes::NOT_FOUND, message).with_remedy(remedy))
}

/// The nearest name, if one is near enough for a slip of the pen, and those that have the text in them.
fn near<'a>(wrong: &str, names: impl Iterator<Item = &'a str> + Clone) -> impl Iterator<Item = &'a str> {
    let nearest = mulgil_core::select::nearest(wrong, names.clone());
    let part = wrong.to_lowercase();
    let others = names.filter(move |name| Some(*name) != nearest && name.to_lowercase().contains(&part));
    nearest.into_iter().chain(others).take(NEAR)
}
