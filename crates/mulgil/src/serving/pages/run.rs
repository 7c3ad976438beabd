//! A run: its tasks with what they wait for, its faults, what happened. At most four queries: the run, its definition
//! where that is not the one of today, its tasks with their tries, and how many stand how where they are not one page.

use mulgil_core::{
    codes, diagnostic::Diagnostic, flow::Flow, interval::Instant, port::Fault, project::Project, run::RunState,
};
use mulgil_server::{NoPage, Page, RunQuery};
use mulgil_store::{
    Store,
    page::{RunPage, TaskCounts, TaskPage},
};
use mulgil_web::view::{
    Fix, Here, Link, Mark, Paging,
    run::{self as view, EVENTS_SHOWN, TASKS_SHOWN, Tab, Task},
};

use super::{
    counted,
    names::{flow_link, run_href},
    picture::Picture,
    run_events,
    runs::interval_of,
    tasks::{Told, tasks},
};
use crate::wire::Opened;

/// A run, with the part of it that is asked for.
pub(super) async fn run(
    opened: &Opened,
    store: &Store,
    _: &Picture,
    _: Instant,
    number: i64,
    query: RunQuery,
) -> Page<view::Run> {
    let making = async {
        let page = store.run_page(number).await?.ok_or_else(|| no_run(number))?;
        let project = &opened.project;
        let mut view = head(project, &page, query.tab);
        let after = query.after.unwrap_or(0);
        if query.tab == Tab::Events {
            let facts = store.facts_after(number, after, EVENTS_SHOWN + 1).await?;
            view.events_paging = paging(
                number,
                query.tab,
                after,
                (facts.len() > EVENTS_SHOWN).then(|| facts[EVENTS_SHOWN - 1].0),
            );
            view.events = run_events::events(&facts[..facts.len().min(EVENTS_SHOWN)]);
        } else {
            let flow = definition(project, store, &page).await?;
            let is_failed = matches!(page.head.state, RunState::Failed | RunState::Crashed);
            let found = store.tasks_after(number, after, TASKS_SHOWN, is_failed).await?;
            // All of them are known already where they are one page.
            let counts = match (after, found.has_more) {
                (0, false) => None,
                (_, has_more) => Some(store.task_counts(number, flow.is_some() && !has_more).await?),
            };
            let last = found.tasks.last().map(|task| task.id).filter(|_| found.has_more);
            view.tasks_paging = paging(number, query.tab, after, last);
            fill(&mut view, project, flow.as_ref(), &page, found, counts);
        }
        let topics = vec![format!("run:{number}")];
        Ok((view, topics))
    };
    counted(Box::pin(making)).await
}

/// There is no such run.
pub(super) fn no_run(run: i64) -> NoPage {
    let fault = Diagnostic::error(codes::NOT_FOUND, format!("there is no run {run}"))
        .with_remedy("`mulgil runs ls` shows the newest runs; old ones are forgotten after a while");
    NoPage::NotFound {
        fault: Box::new(fault),
        near: vec![Link {
            text: "runs".to_owned(),
            href: Some("/runs".to_owned()),
        }],
    }
}

/// The definition that a run of a flow goes by: that of today, if it is still the same.
async fn definition(project: &Project, store: &Store, page: &RunPage) -> Result<Option<Flow>, Fault> {
    let (Some(flow), Some(version)) = (&page.head.flow, page.version) else {
        return Ok(None);
    };
    match project.flow(flow).filter(|flow| flow.fingerprint == version) {
        Some(flow) => Ok(Some(flow.clone())),
        None => store.flow_version(version).await,
    }
}

/// What is told of a run on each of its parts.
fn head(project: &Project, page: &RunPage, tab: Tab) -> view::Run {
    let RunPage { head, params, .. } = page;
    let is_open = !head.state.is_terminal();
    let param = |(name, value): (&String, &serde_json::Value)| (name.clone(), value.to_string());
    view::Run {
        id: head.id,
        flow: head.flow.as_deref().map(flow_link),
        selector: head.selector.clone(),
        trigger: head.trigger,
        scheduled_at: head.scheduled_at,
        backfill: page.backfill,
        interval: interval_of(project, head),
        state: head.state,
        started_at: head.started_at,
        ended_at: head.ended_at,
        fault: None,
        params: params.iter().map(param).collect(),
        version: page.version.map(|version| version.to_string()),
        tab,
        counts: Vec::new(),
        tasks: Vec::new(),
        tasks_paging: Paging::default(),
        events: Vec::new(),
        events_paging: Paging::default(),
        // Runs of models end with who started them.
        cancel_href: (is_open && head.flow.is_some() && !page.is_cancelled)
            .then(|| format!("{}/cancel", run_href(head.id))),
        commands: commands(page),
    }
}

fn commands(page: &RunPage) -> Vec<Fix> {
    let RunPage { head, .. } = page;
    let fix = |command: String, form: Option<String>| Fix {
        command,
        here: form.map(Here::Form),
    };
    let mut commands = Vec::new();
    let is_of_flow = head.flow.is_some();
    match head.state {
        RunState::Planned | RunState::Queued | RunState::Running | RunState::Waiting => {
            if is_of_flow {
                let href = (!page.is_cancelled).then(|| format!("{}/cancel", run_href(head.id)));
                commands.push(fix(format!("mulgil runs cancel {}", head.id), href));
            }
            commands.push(fix(format!("mulgil logs {} --follow", head.id), None));
        }
        RunState::Failed | RunState::Crashed | RunState::Cancelled | RunState::UpstreamFailed => {
            if is_of_flow {
                commands.push(fix(format!("mulgil runs retry {}", head.id), None));
            }
            commands.push(fix(format!("mulgil logs {}", head.id), None));
        }
        RunState::Success | RunState::Skipped => commands.push(fix(format!("mulgil logs {}", head.id), None)),
    }
    commands
}

/// Puts the tasks into the page, with what follows from them.
fn fill(
    view: &mut view::Run,
    project: &Project,
    flow: Option<&Flow>,
    page: &RunPage,
    found: TaskPage,
    counts: Option<TaskCounts>,
) {
    let told = Told {
        project,
        flow,
        run: &page.head,
    };
    let TaskPage {
        tasks: rows,
        has_more,
        first_failed,
    } = found;
    let mut known: Vec<String> = counts
        .as_ref()
        .map(|counts| counts.instances.clone())
        .unwrap_or_default();
    known.extend(rows.iter().map(|row| row.instance.clone()));
    view.tasks = tasks(&told, rows, (!has_more).then_some(known.as_slice()));
    let failed = first_failed.map(|row| tasks(&told, vec![row], None));
    let first = failed.iter().flatten().chain(&view.tasks).find(|task| is_failed(task));
    view.fault = first.and_then(|task| {
        let link = Link {
            text: task.name.clone(),
            href: task.href.clone(),
        };
        Some((link, task.fault.clone()?))
    });
    view.counts = match counts {
        None => counted_marks(&view.tasks),
        Some(counts) => counts
            .by_state
            .into_iter()
            .map(|(state, count)| (Mark::Run(state), count))
            .collect(),
    };
    if let (Some((_, fault)), true) = (&view.fault, view.state.is_terminal()) {
        view.commands.push(Fix {
            command: format!("mulgil explain {}", fault.code),
            here: None,
        });
    }
}

fn is_failed(task: &Task) -> bool {
    task.fault.is_some() && matches!(task.mark, Mark::Run(RunState::Failed | RunState::Crashed))
}

fn counted_marks(tasks: &[Task]) -> Vec<(Mark, u64)> {
    let mut counts: Vec<(Mark, u64)> = Vec::new();
    for task in tasks {
        match counts.iter_mut().find(|(mark, _)| *mark == task.mark) {
            Some((_, count)) => *count += 1,
            None => counts.push((task.mark, 1)),
        }
    }
    counts
}

/// Where a part of a run goes on: from its beginning, and behind its last row.
fn paging(run: i64, tab: Tab, after: i64, last: Option<i64>) -> Paging {
    let tab = match tab {
        Tab::Graph => "graph",
        Tab::Gantt => "gantt",
        Tab::List => "list",
        Tab::Events => "events",
    };
    let page = format!("{}?tab={tab}", run_href(run));
    Paging {
        // What happened later is newer: a run is read forwards.
        newer: last.map(|last| format!("{page}&after={last}")),
        older: (after > 0).then_some(page),
    }
}
