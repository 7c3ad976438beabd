//! What runs by itself or is started by hand: each flow, and each node with a schedule of its own.

use mulgil_core::{
    flow::{After, By, Channel, Deadline, Flow, StepKind},
    grid::Zone,
    interval::{Instant, Interval},
    interval_text::{format_instant, format_length},
    project::{Node, Project},
    schedule::Schedule,
};
use serde_json::{Value, json};

/// Ticks that are told.
const TICKS: usize = 3;

/// One thing that runs.
pub(super) struct Duty {
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) file: String,
    pub(super) description: Option<String>,
    pub(super) owner: Option<String>,
    schedule: Option<Schedule>,
    zone: Zone,
    next: Vec<Instant>,
    /// Its steps, or how its table is filled.
    pub(super) does: Vec<String>,
    /// The nodes that it fills.
    pub(super) fills: Vec<String>,
    /// Channels, by when they are told.
    pub(super) told: Vec<(&'static str, Vec<String>)>,
    pub(super) deadline: Option<String>,
}

/// Flows first, each in the project's order.
pub(super) fn all(project: &Project, now: Instant) -> Vec<Duty> {
    let flows = project.flows.iter().map(|flow| Duty::of_flow(flow, now));
    let nodes = project.nodes.iter();
    let nodes = nodes.filter_map(|node| Some(Duty::of_node(node, node.schedule.as_ref()?, now)));
    flows.chain(nodes).collect()
}

impl Duty {
    fn of_flow(flow: &Flow, now: Instant) -> Self {
        let schedule = flow.schedule.clone();
        let told = [
            ("on failure", &flow.notify.on_failure),
            ("on success", &flow.notify.on_success),
            ("on recovery", &flow.notify.on_recovery),
        ];
        let mut fills: Vec<String> = Vec::new();
        for node in flow.selected().map(ToString::to_string) {
            if !fills.contains(&node) {
                fills.push(node);
            }
        }
        let step = |step: &mulgil_core::flow::Step| match &step.kind {
            StepKind::Models { selected, .. } => {
                let selected: Vec<&str> = selected.iter().map(mulgil_core::name::NodeName::as_str).collect();
                format!("{}: models {}", step.name, selected.join(", "))
            }
            StepKind::Sql { .. } | StepKind::Command { .. } | StepKind::Python { .. } => {
                format!("{}: {}", step.name, step.in_words())
            }
        };
        Self {
            kind: "flow",
            name: flow.name.clone(),
            file: flow.file.display().to_string(),
            description: flow.description.clone(),
            owner: flow.owner.clone(),
            zone: schedule
                .as_ref()
                .map_or_else(|| flow.grid.zone.clone(), |schedule| schedule.zone.clone()),
            next: flow.next_ticks(now).take(TICKS).collect(),
            schedule,
            does: flow.steps.iter().map(step).collect(),
            fills,
            told: told
                .into_iter()
                .filter(|(_, channels)| !channels.is_empty())
                .map(|(when, channels)| (when, channels.iter().map(Channel::in_words).collect()))
                .collect(),
            deadline: flow.deadline.as_ref().map(deadline),
        }
    }

    fn of_node(node: &Node, schedule: &Schedule, now: Instant) -> Self {
        Self {
            kind: "node",
            name: node.name.to_string(),
            file: node.file.display().to_string(),
            description: node.description.clone(),
            owner: node.owner.clone(),
            zone: schedule.zone.clone(),
            next: std::iter::successors(schedule.next_tick(now), |tick| schedule.next_tick(*tick))
                .take(TICKS)
                .collect(),
            schedule: Some(schedule.clone()),
            does: vec![format!("fills the table {}", node.relation)],
            fills: vec![node.name.to_string()],
            told: Vec::new(),
            deadline: None,
        }
    }

    /// `every day at 05:00 (Asia/Seoul)`.
    pub(super) fn schedule_text(&self) -> String {
        self.schedule
            .as_ref()
            .map_or_else(|| "only when somebody starts it".to_owned(), Schedule::in_words)
    }

    pub(super) fn next_texts(&self) -> Vec<String> {
        self.next.iter().map(|tick| format_instant(*tick, &self.zone)).collect()
    }

    pub(super) fn as_json(&self) -> Value {
        let channels = |when: &str| {
            self.told
                .iter()
                .find(|(told, _)| *told == when)
                .map(|(_, channels)| channels.clone())
        };
        json!({
            "kind": self.kind, "name": self.name, "file": self.file, "description": self.description,
            "owner": self.owner,
            "schedule": self.schedule.as_ref().map(|_| self.schedule_text()),
            "cron": self.schedule.as_ref().map(|schedule| schedule.cron.as_str()),
            "timezone": self.schedule.as_ref().map(|schedule| schedule.zone.name()),
            "next": self.next_texts(),
            "does": self.does, "fills": self.fills,
            "on_failure": channels("on failure").unwrap_or_default(),
            "on_success": channels("on success").unwrap_or_default(),
            "on_recovery": channels("on recovery").unwrap_or_default(),
            "deadline": self.deadline,
        })
    }
}

/// `2 h after its tick`, or `by 07:30 (Asia/Seoul)`.
fn deadline(deadline: &Deadline) -> String {
    match &deadline.by {
        By::Within { after, within_us } => {
            let within = Interval {
                start: Instant(0),
                end: Instant(*within_us),
            };
            let after = match after {
                After::Scheduled => "its tick",
                After::Queued => "it was asked for",
                After::Started => "its first step began",
            };
            format!("{} after {after}", format_length(within))
        }
        By::Clock { at, timezone } => format!("by {} ({})", at.strftime("%H:%M"), timezone.name()),
    }
}
