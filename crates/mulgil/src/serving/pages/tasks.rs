//! The tasks of a run as its page has them: what each waits for, since when it could have begun, why it failed or
//! does not begin. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mulgil_core::{
    diagnostic::Diagnostic,
    due::Reason,
    flow::{Flow, Step, name},
    interval::{Instant, Interval},
    name::{Instance, NodeName},
    project::Project,
    run::{RunState, TaskKind},
};
use mulgil_store::page::{RunHead, TaskRow};
use mulgil_web::view::{
    Mark,
    run::{TASKS_SHOWN, Task, Try},
};

use super::{
    grid::mark_of,
    names::{attempt_href, named, table_href},
};

/// What tasks are told by.
#[derive(Clone, Copy)]
pub(super) struct Told<'a> {
    /// What is declared.
    pub(super) project: &'a Project,
    /// The definition that the run goes by; nothing for a run of models.
    pub(super) flow: Option<&'a Flow>,
    /// The run.
    pub(super) run: &'a RunHead,
}

/// The tasks of some rows, with what they wait for among each other. `known` are the instances of all rows that
/// the run has, where these are its last ones: behind them stand the steps that never began.
pub(super) fn tasks(told: &Told<'_>, rows: Vec<TaskRow>, known: Option<&[String]>) -> Vec<Task> {
    match told.flow {
        Some(flow) => of_flow(told, flow, rows, known),
        None => of_models(told, rows),
    }
}

fn of_flow(told: &Told<'_>, flow: &Flow, rows: Vec<TaskRow>, known: Option<&[String]>) -> Vec<Task> {
    let prefix = name::of_step(&flow.name, "");
    let mut tasks: Vec<Task> = rows
        .into_iter()
        .map(|row| {
            let step = row.instance.strip_prefix(&prefix).unwrap_or(&row.instance).to_owned();
            let kind = flow.step(&step).map(|step| step.kind.word());
            of_row(told, row, step, kind)
        })
        .collect();
    if let Some(known) = known {
        let known: BTreeSet<&str> = known
            .iter()
            .map(|instance| instance.strip_prefix(&prefix).unwrap_or(instance))
            .collect();
        let open = flow.steps.iter().filter(|step| !known.contains(step.name.as_str()));
        let room = TASKS_SHOWN.saturating_sub(tasks.len());
        tasks.extend(open.take(room).map(|step| never_began(told, step)));
    }
    let waits = Waits::of(flow);
    let places: HashMap<String, usize> = tasks
        .iter()
        .enumerate()
        .map(|(at, task)| (task.name.clone(), at))
        .collect();
    let by_name: HashMap<&str, &Step> = flow.steps.iter().map(|step| (step.name.as_str(), step)).collect();
    for task in &mut tasks {
        let needs = by_name
            .get(task.name.as_str())
            .map(|step| waits.needs(step))
            .unwrap_or_default();
        task.needs = needs.iter().filter_map(|need| places.get(*need).copied()).collect();
    }
    let began = first_moment(told.run);
    let mut over: BTreeMap<String, Option<Instant>> = BTreeMap::new();
    // Each step stands after what it needs, those of `finally` last.
    for step in &flow.steps {
        let needs = waits.needs(step);
        let ready = needs.iter().try_fold(began, |latest, need| {
            let over = over.get(*need).copied().flatten()?;
            Some(latest.max(over))
        });
        let Some(task) = places.get(&step.name).map(|at| &mut tasks[*at]) else {
            over.insert(step.name.clone(), None);
            continue;
        };
        over.insert(step.name.clone(), ended(task, ready));
        task.ready_at = ready;
        if task.mark == Mark::Run(RunState::Planned) && ready.is_some() && !told.run.state.is_terminal() {
            task.mark = Mark::Run(RunState::Queued);
        }
    }
    blame(&mut tasks);
    tasks
}

/// What steps wait for, as far as it is worth a line: one of `finally` waits for those that nobody else waits for.
struct Waits<'a> {
    last: Vec<&'a str>,
}

impl<'a> Waits<'a> {
    fn of(flow: &'a Flow) -> Self {
        let needed: BTreeSet<&str> = flow
            .steps
            .iter()
            .filter(|step| !step.is_finally)
            .flat_map(|step| step.needs.iter().map(String::as_str))
            .collect();
        let last = flow
            .steps
            .iter()
            .filter(|step| !step.is_finally && !needed.contains(step.name.as_str()));
        Self {
            last: last.map(|step| step.name.as_str()).collect(),
        }
    }

    fn needs<'s>(&self, step: &'s Step) -> Vec<&'s str>
    where
        'a: 's,
    {
        if step.is_finally {
            return self.last.clone();
        }
        step.needs.iter().map(String::as_str).collect()
    }
}

/// When a run could begin its first task.
fn first_moment(run: &RunHead) -> Instant {
    run.started_at
}

/// When a task was over; one that was passed over was so as soon as it could have begun.
fn ended(task: &Task, ready: Option<Instant>) -> Option<Instant> {
    let is_over = matches!(task.mark, Mark::Run(state) if state.is_terminal());
    match task.attempts.last() {
        _ if !is_over => None,
        Some(last) => last.ended_at,
        None => ready,
    }
}

/// What does not begin because something before it failed, says what that was.
fn blame(tasks: &mut [Task]) {
    let failed = |task: &Task| match task.mark {
        Mark::Run(RunState::Failed | RunState::Crashed | RunState::UpstreamFailed) => task.fault.clone(),
        _ => None,
    };
    // Those before it have their faults already: rows are in the order of their beginning.
    for at in 0..tasks.len() {
        if tasks[at].mark == Mark::Run(RunState::UpstreamFailed) && tasks[at].fault.is_none() {
            let fault: Option<Box<Diagnostic>> = tasks[at].needs.iter().find_map(|need| failed(&tasks[*need]));
            tasks[at].fault = fault;
        }
    }
}

fn never_began(told: &Told<'_>, step: &Step) -> Task {
    Task {
        id: None,
        name: step.name.clone(),
        kind: TaskKind::Step,
        step: Some(step.kind.word()),
        interval: None,
        reason: None,
        mark: if told.run.state.is_terminal() {
            Mark::NotExpected
        } else {
            Mark::Run(RunState::Planned)
        },
        ready_at: None,
        attempts: Vec::new(),
        rows: None,
        fault: None,
        href: None,
        needs: Vec::new(),
    }
}

fn of_models(told: &Told<'_>, rows: Vec<TaskRow>) -> Vec<Task> {
    let instances: Vec<Option<Instance>> = rows.iter().map(|row| Instance::parse(&row.instance)).collect();
    let mut tasks: Vec<Task> = rows
        .into_iter()
        .map(|row| {
            let name = row.instance.clone();
            of_row(told, row, name, None)
        })
        .collect();
    // The last fill of each node so far, by instance.
    let mut filled: BTreeMap<NodeName, BTreeMap<Instance, usize>> = BTreeMap::new();
    for (at, instance) in instances.iter().enumerate() {
        let Some(instance) = instance else { continue };
        let of = |node: &NodeName| filled.get(node).into_iter().flat_map(BTreeMap::values).copied();
        let mut needs: Vec<usize> = match tasks[at].kind {
            TaskKind::Fill => {
                let reads = told
                    .project
                    .node(&instance.node)
                    .map(|node| node.reads.as_slice())
                    .unwrap_or_default();
                reads.iter().flat_map(|read| of(read.name())).collect()
            }
            TaskKind::Test => of(&instance.node).collect(),
            TaskKind::Step => Vec::new(),
        };
        needs.sort_unstable();
        let over = needs
            .iter()
            .map(|need| tasks[*need].attempts.last().and_then(|last| last.ended_at));
        tasks[at].ready_at = over
            .clone()
            .collect::<Option<Vec<_>>>()
            .map(|over| over.into_iter().fold(first_moment(told.run), Instant::max));
        tasks[at].needs = needs;
        if tasks[at].kind == TaskKind::Fill {
            filled
                .entry(instance.node.clone())
                .or_default()
                .insert(instance.clone(), at);
        }
    }
    tasks
}

/// A task of a row, without what it waits for.
fn of_row(told: &Told<'_>, row: TaskRow, name: String, step: Option<&'static str>) -> Task {
    let run = told.run.id;
    let attempts: Vec<Try> = row
        .tries
        .iter()
        .map(|one| Try {
            state: one.state,
            started_at: one.started_at,
            ended_at: one.ended_at,
            href: attempt_href(run, row.id, one.number),
        })
        .collect();
    let instance = Instance::parse(&row.instance);
    let node = instance.as_ref().and_then(|instance| told.project.node(&instance.node));
    let grid = node
        .map(|node| &node.grid)
        .filter(|grid| row.kind == TaskKind::Fill && grid.is_cut());
    let last = row.tries.last();
    let href = attempts.last().map(|last| last.href.clone());
    // Where nothing was tried a table still has a page.
    let page = || instance.as_ref().filter(|_| node.is_some()).map(table_href);
    Task {
        id: Some(row.id),
        name,
        kind: row.kind,
        step,
        interval: grid.map(|grid| named(row.range, grid)),
        reason: reason(row.reason),
        mark: mark_of(row.state, !attempts.is_empty()),
        ready_at: None,
        rows: last.and_then(|last| last.rows),
        fault: last.and_then(|last| last.fault.clone()).map(Box::new),
        href: href.or_else(page),
        needs: Vec::new(),
        attempts,
    }
}

/// The first of the reasons with which a range was claimed: `[[range, reason], …]`, as a plan has them.
fn reason(told: serde_json::Value) -> Option<Reason> {
    let reasons: Vec<(Interval, Reason)> = serde_json::from_value(told).ok()?;
    reasons.into_iter().next().map(|(_, reason)| reason)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use mulgil_core::{
        codes,
        diagnostic::Place,
        flow::{StepKind, Template},
        grid::Zone,
        interval::Interval,
        location::Location,
        project::Fingerprint,
        run::Trigger,
    };
    use mulgil_store::page::TryRow;
    use serde_json::json;

    use super::*;

    fn project() -> Project {
        Project {
            name: "shop".to_owned(),
            environment: "dev".to_owned(),
            zone: Zone::UTC,
            schema: "shop".to_owned(),
            root: PathBuf::from("/shop"),
            warehouse: Location::Folder(PathBuf::from("/shop/warehouse")),
            nodes: Vec::new(),
            sources: Vec::new(),
            flows: Vec::new(),
            webhooks: BTreeMap::new(),
        }
    }

    fn step(name: &str, needs: &[&str], is_finally: bool) -> Step {
        let place = Place::file("flows/daily.yml");
        let script = Template {
            text: "select 1".to_owned(),
            place: place.clone(),
        };
        let content = Fingerprint::default();
        Step {
            needs: needs.iter().map(|need| (*need).to_owned()).collect(),
            is_finally,
            ..Step::new(name, StepKind::Sql { script, content }, place)
        }
    }

    fn flow() -> Flow {
        Flow {
            steps: vec![
                step("load", &[], false),
                step("check", &["load"], false),
                step("report", &["check"], false),
                step("tidy", &[], true),
            ],
            ..Flow::new("daily", "flows/daily.yml")
        }
    }

    fn run(state: RunState) -> RunHead {
        RunHead {
            id: 7,
            trigger: Trigger::Manual,
            selector: "flow:daily".to_owned(),
            state,
            started_at: Instant(10),
            ended_at: None,
            flow: Some("daily".to_owned()),
            interval: Some(Interval::WHOLE),
            scheduled_at: None,
        }
    }

    fn row(id: i64, step: &str, state: RunState, tries: &[(i64, Option<i64>, RunState)]) -> TaskRow {
        let tries = tries.iter().zip(1..).map(|((from, to, state), number)| TryRow {
            id: i64::from(number),
            number,
            state: *state,
            started_at: Instant(*from),
            ended_at: to.map(Instant),
            rows: None,
            fault: (*state == RunState::Failed).then(|| Diagnostic::error(codes::TASK_FAILED, "it broke")),
        });
        TaskRow {
            id,
            instance: format!("flow:daily/{step}"),
            kind: TaskKind::Step,
            range: Interval::WHOLE,
            reason: json!({}),
            state,
            tries: tries.collect(),
        }
    }

    fn shown(run: &RunHead, rows: Vec<TaskRow>, known: Option<&[String]>) -> Vec<Task> {
        let (project, flow) = (project(), flow());
        let told = Told {
            project: &project,
            flow: Some(&flow),
            run,
        };
        tasks(&told, rows, known)
    }

    #[test]
    fn a_step_is_ready_when_what_it_needs_is_over() {
        let ok = RunState::Success;
        let rows = vec![
            row(1, "load", ok, &[(12, Some(20), RunState::Failed), (25, Some(30), ok)]),
            row(2, "check", RunState::Running, &[(33, None, RunState::Running)]),
        ];
        let tasks = shown(
            &run(RunState::Running),
            rows,
            Some(&["flow:daily/load".to_owned(), "flow:daily/check".to_owned()]),
        );
        let told: Vec<_> = tasks
            .iter()
            .map(|task| {
                (
                    task.name.as_str(),
                    task.mark,
                    task.ready_at.map(|at| at.0),
                    task.needs.clone(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("load", Mark::Run(ok), Some(10), vec![]),
                ("check", Mark::Run(RunState::Running), Some(30), vec![0]),
                ("report", Mark::Run(RunState::Planned), None, vec![1]),
                ("tidy", Mark::Run(RunState::Planned), None, vec![2]),
            ]
        );
        assert_eq!(tasks[0].attempts.len(), 2);
        assert_eq!(tasks[0].href.as_deref(), Some("/runs/7/tasks/1/attempts/2"));
        assert!(tasks[0].fault.is_none(), "its last try did well");
    }

    #[test]
    fn what_waits_for_a_slot_is_queued_and_what_never_began_says_so() {
        let waiting = shown(
            &run(RunState::Running),
            vec![row(1, "load", RunState::Success, &[(12, Some(20), RunState::Success)])],
            Some(&["flow:daily/load".to_owned()]),
        );
        assert_eq!(waiting[1].mark, Mark::Run(RunState::Queued));
        let over = shown(&run(RunState::Cancelled), Vec::new(), Some(&[]));
        assert!(
            over.iter()
                .all(|task| task.mark == Mark::NotExpected && task.id.is_none())
        );
        let elsewhere = shown(&run(RunState::Running), Vec::new(), None);
        assert!(
            elsewhere.is_empty(),
            "the steps of other pages are not those that never began"
        );
    }

    #[test]
    fn what_failed_first_is_the_fault_of_all_behind_it() {
        let rows = vec![
            row(1, "load", RunState::Failed, &[(12, Some(20), RunState::Failed)]),
            row(2, "check", RunState::UpstreamFailed, &[]),
            row(3, "report", RunState::UpstreamFailed, &[]),
            row(4, "tidy", RunState::Success, &[(21, Some(22), RunState::Success)]),
        ];
        let tasks = shown(
            &run(RunState::Failed),
            rows,
            Some(&["load", "check", "report", "tidy"].map(|step| format!("flow:daily/{step}"))),
        );
        assert_eq!(tasks.len(), 4);
        for task in &tasks[..3] {
            assert_eq!(
                task.fault.as_ref().map(|fault| fault.message.as_str()),
                Some("it broke"),
                "{}",
                task.name
            );
        }
        assert_eq!(
            tasks[3].ready_at,
            Some(Instant(20)),
            "what was passed over ended when it could have begun"
        );
        let retrying = shown(
            &run(RunState::Running),
            vec![row(1, "load", RunState::Waiting, &[(12, Some(20), RunState::Failed)])],
            None,
        );
        assert_eq!(retrying[0].mark, Mark::Retrying);
    }
}
