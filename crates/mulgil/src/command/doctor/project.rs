//! The project itself: whether it can be read, its zones, and whether its folder is kept by Git.

use std::{collections::BTreeSet, path::Path, time::Duration};

use mulgil_core::{codes, diagnostic::Diagnostic, grid::Zone, interval::Instant, project::Project};

use super::{Report, whole};
use crate::{
    say,
    wire::{self, Outline},
};

/// Faults of the project that are told one by one.
const MAX_TOLD: usize = 5;

/// Zones that are named.
const MAX_ZONES: usize = 4;

/// How long Git may take: a large folder on a slow disk is looked through.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn look(outline: &Outline, now: Instant, report: &mut Report) {
    match &outline.opened {
        Ok(opened) => {
            let project = &opened.project;
            let parts = [
                (project.nodes.len(), "node"),
                (project.sources.len(), "source"),
                (project.flows.len(), "flow"),
            ];
            let parts: Vec<String> = parts
                .iter()
                .map(|(count, what)| say::count(*count as u64, what))
                .collect();
            let what = format!("{} ({}): {}", project.name, project.environment, parts.join(", "));
            match opened.warnings.len() as u64 {
                0 => report.ok("project", what),
                count => {
                    let said = say::count(count, "warning");
                    report.warning("project", format!("{what}; {said}"), "`mulgil check` says them");
                }
            }
            report.ok("zone", zones(project, now));
        }
        Err(faults) => look_at_faults(&faults.0, report),
    }
}

/// Those of zones stand by themselves: they say when everything runs.
fn look_at_faults(faults: &[Diagnostic], report: &mut Report) {
    let is_of_zone = |fault: &&Diagnostic| fault.code == codes::UNKNOWN_ZONE;
    let (of_zones, others): (Vec<&Diagnostic>, Vec<&Diagnostic>) = faults.iter().partition(is_of_zone);
    for fault in others.iter().take(MAX_TOLD) {
        report.fault("project", fault);
    }
    if others.len() > MAX_TOLD {
        let more = say::count((others.len() - MAX_TOLD) as u64, "further fault");
        report.warning("project", more, "`mulgil check` says them all");
    }
    for fault in &of_zones {
        report.fault("zone", fault);
    }
    if others.is_empty() {
        report.unseen("project", "it cannot be read before its zones are known");
    }
}

/// `Asia/Seoul, where it is 2026-11-20T09:00:00+09:00; also UTC`.
fn zones(project: &Project, now: Instant) -> String {
    let schedules = project.nodes.iter().filter_map(|node| node.schedule.as_ref());
    let schedules = schedules.chain(project.flows.iter().filter_map(|flow| flow.schedule.as_ref()));
    let grids = project.nodes.iter().map(|node| &node.grid);
    let grids = grids.chain(project.flows.iter().map(|flow| &flow.grid));
    let named = schedules
        .map(|schedule| &schedule.zone)
        .chain(grids.map(|grid| &grid.zone));
    let named = named.chain(project.sources.iter().map(|source| &source.zone));
    let others: BTreeSet<&str> = named
        .map(Zone::name)
        .filter(|name| *name != project.zone.name())
        .collect();
    let mut text = format!("{}, where it is {}", project.zone, say::moment(now, &project.zone));
    if !others.is_empty() {
        let shown: Vec<&str> = others.iter().copied().take(MAX_ZONES).collect();
        let more = if others.len() > MAX_ZONES { ", …" } else { "" };
        text = format!("{text}; also {}{more}", shown.join(", "));
    }
    // The machine's zone and its files of zones count for nothing.
    format!("{text}; the zones of the world are a part of the program")
}

/// Whether the folder is kept by Git: a remark, whatever is found.
pub(super) async fn look_at_git(folder: &Path, report: &mut Report) {
    let Ok(folder) = std::path::absolute(folder) else {
        return;
    };
    let Some(top) = folder.ancestors().find(|above| above.join(".git").exists()) else {
        return report.ok("git", format!("{} is in no Git repository", whole(&folder)));
    };
    let top = top.display();
    let mut environment = wire::environment();
    // To look changes nothing, not even what Git remembers of the files.
    environment.insert("GIT_OPTIONAL_LOCKS".to_owned(), "0".to_owned());
    let asked = ["git", "status", "--porcelain", "--", "."];
    let said = mulgil_runner::ask(&asked, &environment, &folder, PATIENCE).await;
    report.ok(
        "git",
        match said {
            Ok(said) if said.is_success && said.text.is_empty() => format!("{top}: nothing is uncommitted here"),
            Ok(said) if said.is_success => {
                let files = say::count(said.text.lines().count() as u64, "file");
                format!("{top}: {files} here changed since the last commit, or not in Git")
            }
            Ok(_) | Err(_) => format!("{top}: Git does not say how it stands"),
        },
    );
}
