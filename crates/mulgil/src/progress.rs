//! What a person sees while a run is going on: a bar on a terminal, a line per attempt elsewhere.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use mulgil_core::{
    diagnostic::Diagnostic,
    interval::Interval,
    interval_text,
    name::Instance,
    plan::{Step, StepAction},
    project::Project,
    run::TaskKind,
};
use mulgil_scheduler::{FailedAttempt, Watch};

use crate::say;

/// Says how a run goes.
pub(crate) struct Talk {
    project: std::sync::Arc<Project>,
    bars: Option<MultiProgress>,
    total: ProgressBar,
    has_lines: bool,
    tasks: Mutex<BTreeMap<i64, (ProgressBar, std::time::Instant)>>,
}

impl Talk {
    /// Bars on a terminal, lines elsewhere.
    pub(crate) fn new(project: std::sync::Arc<Project>) -> Self {
        let bars = say::is_terminal().then(MultiProgress::new);
        let total = match &bars {
            Some(bars) => bars.add(ProgressBar::no_length().with_style(total_style())),
            None => ProgressBar::hidden(),
        };
        Self {
            project,
            bars,
            total,
            has_lines: true,
            tasks: Mutex::default(),
        }
    }

    /// Bars on a terminal, and not a word: what came of it is told afterwards.
    pub(crate) fn bars_alone(project: std::sync::Arc<Project>) -> Self {
        Self {
            has_lines: false,
            ..Self::new(project)
        }
    }

    /// Takes the bars away, so that what follows stands on clean lines.
    pub(crate) fn clear(&self) {
        self.total.finish_and_clear();
    }

    fn line(&self, text: &str) {
        if !self.has_lines {
            return;
        }
        match &self.bars {
            Some(bars) => {
                let _ = bars.println(text);
            }
            None => say::talk(text),
        }
    }

    fn named(&self, instance: &Instance, range: Interval) -> String {
        match self.project.node(&instance.node) {
            Some(node) if node.grid.is_cut() && range != Interval::WHOLE => {
                format!("{instance}@{}", interval_text::format(range, &node.grid))
            }
            _ => instance.to_string(),
        }
    }

    fn task(&self, instance: &Instance, range: Interval, kind: TaskKind) -> String {
        match kind {
            TaskKind::Fill => self.named(instance, range),
            TaskKind::Test => format!("data tests of {instance}"),
            TaskKind::Step => instance.to_string(),
        }
    }

    fn end(&self, attempt: i64) -> String {
        let ended = self
            .tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&attempt);
        ended.map_or_else(String::new, |(bar, began)| {
            bar.finish_and_clear();
            format!("{:.2} s", began.elapsed().as_secs_f64())
        })
    }
}

impl Watch for Talk {
    fn planned(&self, steps: &[Step]) {
        let sure = steps
            .iter()
            .filter(|step| !step.if_changed && step.action == StepAction::Fill);
        self.total.set_length(sure.map(|step| step.count).sum());
    }

    fn started(&self, attempt: i64, instance: &Instance, range: Interval, kind: TaskKind) {
        let bar = match &self.bars {
            Some(bars) => bars.add(ProgressBar::new_spinner().with_style(task_style())),
            None => ProgressBar::hidden(),
        };
        bar.set_prefix(self.task(instance, range, kind));
        bar.enable_steady_tick(std::time::Duration::from_millis(120));
        let began = std::time::Instant::now();
        self.tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(attempt, (bar, began));
    }

    fn rows(&self, attempt: i64, rows: u64) {
        if let Some((bar, _)) = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).get(&attempt) {
            bar.set_message(say::count(rows, "row"));
        }
    }

    fn finished(&self, attempt: i64, instance: &Instance, range: Interval, kind: TaskKind, done: u64, rows: u64) {
        let took = self.end(attempt);
        match kind {
            TaskKind::Fill => {
                self.total.inc(done);
                let what = self.named(instance, range);
                let many = if done > 1 {
                    format!("{}, ", say::count(done, "interval"))
                } else {
                    String::new()
                };
                self.line(&format!("  filled {what}  {many}{}  {took}", say::count(rows, "row")));
            }
            TaskKind::Test => self.line(&format!("  tested {instance}  {}  {took}", say::count(done, "test"))),
            TaskKind::Step => self.line(&format!("  {instance}  {took}")),
        }
    }

    fn narrowed(&self, attempt: i64, instance: &Instance, range: Interval, fault: &Diagnostic) {
        let took = self.end(attempt);
        self.line(&format!(
            "  {}  {}  {took}: tried again in smaller parts",
            self.named(instance, range),
            fault.code
        ));
    }

    fn failed(&self, attempt: i64, failed: &FailedAttempt) {
        let took = self.end(attempt);
        let what = self.task(&failed.instance, failed.range, failed.kind);
        self.line(&format!("  FAILED {what}  {}  {took}", failed.fault.code));
    }
}

fn total_style() -> ProgressStyle {
    ProgressStyle::with_template("{bar:30.cyan/dim} {pos}/{len} intervals  {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn task_style() -> ProgressStyle {
    ProgressStyle::with_template("  {spinner} {prefix}  {msg:.dim}  {elapsed:.dim}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}
