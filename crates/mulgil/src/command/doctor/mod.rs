//! `mulgil doctor`: looks at all that a project needs of its machine, and says what is wrong and how to mend it.
//! It changes nothing, takes no lock and stops at no fault: what cannot be looked at is said to be so.

mod ledger;
mod machine;
mod project;

use std::path::{Path, PathBuf};

use mulgil_core::{
    codes,
    diagnostic::{Code, Diagnostic},
    interval::Instant,
};
use serde_json::{Value, json};

use crate::{
    cli::{self, Global},
    command::Outcome,
    say,
    wire::{self, Outline},
};

/// The exit code of a fault without a code: something of the machine's operation.
const OPERATION: u8 = 6;

pub(crate) async fn doctor(global: &Global, flags: &cli::Doctor) -> Outcome {
    let mut report = Report::default();
    let outline = match wire::outline(global) {
        Ok(outline) => Some(outline),
        Err(faults) if faults.0.iter().any(|fault| fault.code == codes::NOT_FOUND) => {
            faults.0.iter().for_each(|fault| report.fault("project", fault));
            None
        }
        Err(faults) => return Err(faults),
    };
    let patient = Patient {
        folder: outline
            .as_ref()
            .map_or(global.project_dir.clone(), |outline| outline.root.clone()),
        outline,
        port: flags.port,
        now: wire::now(),
    };
    let mut served_at = None;
    if let Some(outline) = &patient.outline {
        project::look(outline, patient.now, &mut report);
        served_at = ledger::look(outline, patient.now, &mut report).await;
    }
    machine::look(&patient, served_at, &mut report).await;
    project::look_at_git(&patient.folder, &mut report).await;
    if flags.json {
        say::json(&report.as_json(patient.name()));
    } else {
        say::print(&report.as_text());
        say::talk(&report.summary());
    }
    Ok(report.exit())
}

/// What is looked at.
struct Patient {
    /// The project folder, or where one was looked for.
    folder: PathBuf,
    /// Its project; nothing where there is none.
    outline: Option<Outline>,
    /// The port that a server would take.
    port: u16,
    now: Instant,
}

impl Patient {
    fn name(&self) -> Option<&str> {
        let opened = self.outline.as_ref()?.opened.as_ref().ok()?;
        Some(&opened.project.name)
    }
}

/// How something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Ok,
    Warning,
    Fault,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Fault => "fault",
        }
    }

    /// Beside the word, never in its place.
    fn sign(self) -> &'static str {
        match self {
            Self::Ok => "✓",
            Self::Warning => "!",
            Self::Fault => "✗",
        }
    }
}

/// One finding.
#[derive(Clone, Debug)]
struct Check {
    name: &'static str,
    verdict: Verdict,
    what: String,
    fix: Option<String>,
    code: Option<Code>,
}

/// All findings, in the order in which they were made.
#[derive(Default)]
struct Report(Vec<Check>);

impl Report {
    fn ok(&mut self, name: &'static str, what: impl Into<String>) {
        self.0.push(Check {
            name,
            verdict: Verdict::Ok,
            what: what.into(),
            fix: None,
            code: None,
        });
    }

    fn warning(&mut self, name: &'static str, what: impl Into<String>, fix: impl Into<String>) {
        self.0.push(Check {
            name,
            verdict: Verdict::Warning,
            what: what.into(),
            fix: Some(fix.into()),
            code: None,
        });
    }

    /// What a command would end with, as it would say it.
    fn fault(&mut self, name: &'static str, fault: &Diagnostic) {
        // A place that is a part of the sentence is not said twice.
        let place = fault.place.as_ref().map(ToString::to_string);
        let place = place.filter(|place| !fault.message.contains(place.as_str()));
        self.0.push(Check {
            name,
            verdict: Verdict::Fault,
            what: match place {
                Some(place) => format!("{} ({place})", fault.message),
                None => fault.message.clone(),
            },
            fix: fault.remedy.clone(),
            code: Some(fault.code),
        });
    }

    /// Of what has no fault, and cannot be looked at for one that is told elsewhere.
    fn unseen(&mut self, name: &'static str, why: &str) {
        self.warning(
            name,
            format!("not looked at: {why}"),
            "mend what is named above, and ask again",
        );
    }

    fn count(&self, verdict: Verdict) -> u64 {
        self.0.iter().filter(|check| check.verdict == verdict).count() as u64
    }

    /// That of the first fault.
    fn exit(&self) -> u8 {
        let first = self.0.iter().find(|check| check.verdict == Verdict::Fault);
        first.map_or(0, |check| check.code.map_or(OPERATION, Code::exit))
    }

    fn as_text(&self) -> String {
        let wide = self.0.iter().map(|check| check.name.len()).max().unwrap_or(0);
        let mut lines = Vec::new();
        for check in &self.0 {
            let Check {
                name, verdict, what, ..
            } = check;
            let code = check.code.map_or_else(String::new, |code| format!(" ({code})"));
            lines.push(format!(
                "{} {:<7}  {name:<wide$}  {what}{code}",
                verdict.sign(),
                verdict.word()
            ));
            if let Some(fix) = &check.fix {
                lines.push(format!("{:width$}do: {fix}", "", width = 2 + 7 + 2 + wide + 2));
            }
        }
        lines.join("\n")
    }

    fn summary(&self) -> String {
        let all = say::count(self.0.len() as u64, "check");
        let (warnings, faults) = (self.count(Verdict::Warning), self.count(Verdict::Fault));
        if warnings + faults == 0 {
            return format!("{all}: all is well");
        }
        let (warnings, faults) = (say::count(warnings, "warning"), say::count(faults, "fault"));
        format!("{all}: {warnings}, {faults}; `mulgil explain CODE` says more about each code")
    }

    fn as_json(&self, project: Option<&str>) -> Value {
        let check = |check: &Check| {
            json!({
                "name": check.name, "verdict": check.verdict.word(), "what": check.what,
                "fix": check.fix, "code": check.code,
            })
        };
        json!({
            "project": project,
            "version": env!("CARGO_PKG_VERSION"),
            "checks": self.0.iter().map(check).collect::<Vec<_>>(),
        })
    }
}

/// A folder's whole path, for people.
fn whole(folder: &Path) -> String {
    let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    whole.display().to_string()
}
