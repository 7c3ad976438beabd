//! The document in Markdown.

use super::{Handover, duty::Duty};
use crate::say;

pub(super) const START: &str = "mulgil serve";
pub(super) const STOP: &str = "Ctrl-C, or SIGTERM to its process: what goes on ends, nothing more begins";
pub(super) const LOOK: [&str; 4] = ["mulgil status", "mulgil plan", "mulgil runs ls", "mulgil doctor"];

impl Handover<'_> {
    pub(super) fn as_text(&self) -> String {
        let project = &self.opened.project;
        let mut lines = vec![
            format!("# Handover: {} ({})", project.name, project.environment),
            String::new(),
            format!(
                "As of {}, by mulgil {}. Times are those of {} unless they say otherwise.",
                say::moment(self.now, &project.zone),
                env!("CARGO_PKG_VERSION"),
                project.zone
            ),
        ];
        let parts = [
            ("What needs a person now", self.attention()),
            ("What runs", self.duties()),
            ("On whose keys", self.keys()),
            ("Where things lie", self.places()),
            ("How to run it", self.commands()),
        ];
        for (title, part) in parts {
            lines.extend([String::new(), format!("## {title}"), String::new()]);
            lines.extend(part);
        }
        lines.join("\n")
    }

    fn attention(&self) -> Vec<String> {
        if self.attention.is_empty() {
            return vec!["Nothing.".to_owned()];
        }
        self.attention
            .iter()
            .map(|one| format!("- {}. Do: {}", one.what, one.fix))
            .collect()
    }

    fn duties(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.duties.iter().flat_map(duty).collect();
        if self.duties.is_empty() {
            lines.extend(["Nothing has a schedule or is a flow.".to_owned(), String::new()]);
        }
        lines.push(match self.unscheduled.as_slice() {
            [] => "Every node has a schedule, its own or that of a flow.".to_owned(),
            free => format!(
                "Without a schedule, filled as soon as what they read is there (while a server runs, or by `mulgil run`): {}.",
                free.join(", ")
            ),
        });
        lines
    }

    fn keys(&self) -> Vec<String> {
        if self.keys.is_empty() {
            return vec!["No secrets and no connections are named.".to_owned()];
        }
        let mut lines = vec![
            "| name | what | used by | set here |".to_owned(),
            "|---|---|---|---|".to_owned(),
        ];
        lines.extend(self.keys.iter().map(|key| {
            let is_set = match key.is_set {
                Some(true) => "yes",
                Some(false) => "no",
                None => "",
            };
            format!(
                "| {} | {} | {} | {is_set} |",
                cell(&key.name),
                key.kind,
                cell(&key.used_by.join(", "))
            )
        }));
        lines.extend([
            String::new(),
            "Names only: this document never holds a value.".to_owned(),
        ]);
        lines
    }

    fn places(&self) -> Vec<String> {
        let places = &self.places;
        vec![
            format!("- project: `{}`", places.project),
            format!("- tables: `{}` (Delta tables, one folder each)", places.tables),
            format!("- data folder: `{}` (ledger, logs, the server's token)", places.data),
            format!("- ledger: `{}`", places.ledger),
            format!("- logs: `{}`, kept for {}", places.logs, days(places.keep_logs_days)),
            format!(
                "- runs of flows with their ticks are kept for {}; what is filled and why, for good",
                days(places.keep_runs_days)
            ),
        ]
    }

    fn commands(&self) -> Vec<String> {
        let mut lines = vec![
            format!("- start: `{START}` in the project folder; it goes on where the ledger says that it was"),
            format!("- stop: {STOP}"),
            format!("- look: {}", LOOK.map(|command| format!("`{command}`")).join(", ")),
            "- a backup, with the server stopped:".to_owned(),
            String::new(),
            "```sh".to_owned(),
        ];
        lines.extend(self.places.backup.iter().cloned());
        lines.push("```".to_owned());
        lines
    }
}

fn duty(duty: &Duty) -> Vec<String> {
    let mut lines = vec![format!("### {} `{}`", duty.kind, duty.name), String::new()];
    if let Some(description) = &duty.description {
        lines.extend([description.trim().to_owned(), String::new()]);
    }
    lines.push(format!("- when: {}", duty.schedule_text()));
    let next = duty.next_texts();
    if !next.is_empty() {
        lines.push(format!("- next: {}", next.join(", ")));
    }
    lines.push(format!(
        "- owner: {}",
        duty.owner.as_deref().unwrap_or("nobody is named")
    ));
    match duty.does.as_slice() {
        [one] => lines.push(format!("- does: {one}")),
        steps => {
            lines.push("- does:".to_owned());
            lines.extend((1..).zip(steps).map(|(number, step)| format!("  {number}. {step}")));
        }
    }
    if let Some(deadline) = &duty.deadline {
        lines.push(format!("- has to be done {deadline}"));
    }
    if duty.told.iter().all(|(when, _)| *when != "on failure") {
        lines.push("- told on failure: nobody".to_owned());
    }
    lines.extend(
        duty.told
            .iter()
            .map(|(when, channels)| format!("- told {when}: {}", channels.join(", "))),
    );
    lines.extend([format!("- declared in: `{}`", duty.file), String::new()]);
    lines
}

fn days(count: i64) -> String {
    say::count(count.unsigned_abs(), "day")
}

/// A cell of a table: its own lines stay outside.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
