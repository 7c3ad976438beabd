//! A flow as `flows ls` and `flows show` give it, and the form of it that its version is the hash of: both
//! in the words of its file.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};

use super::{
    After, By, Channel, Deadline, Entry, Flow, Late, OnFull, OnLost, Param, Program, Retry, RunIf, Step, StepKind,
    Template,
};
use crate::{
    grid::{Cut, Zone},
    interval::Instant,
    project::{Fingerprint, Missed},
};

impl Flow {
    /// All of it, for `flows show --json`.
    pub fn view(&self) -> Json {
        let mut view = self.definition();
        view.insert("name".to_owned(), self.name.as_str().into());
        view.insert("version".to_owned(), self.fingerprint.to_string().into());
        view.insert("file".to_owned(), self.file.display().to_string().into());
        let selected: Vec<&str> = self.selected().map(crate::name::NodeName::as_str).collect();
        view.insert("selected".to_owned(), json!(selected));
        // The text of a script inside of the flow is no part of the definition, its hash is.
        for (step, view) in self
            .steps
            .iter()
            .zip(view["steps"].as_array_mut().into_iter().flatten())
        {
            if let StepKind::Sql { script, .. } = &step.kind
                && script_file(script).is_none()
            {
                view["sql"] = script.text.as_str().into();
            }
        }
        Json::Object(view)
    }

    /// The columns of [`Flow::row`].
    pub const COLUMNS: [&'static str; 5] = ["flow", "schedule", "interval", "steps", "owner"];

    /// It in one line, for `flows ls`.
    pub fn row(&self) -> [String; 5] {
        [
            self.name.clone(),
            self.schedule.as_ref().map_or_else(String::new, |schedule| {
                format!("{} {}", schedule.cron.as_str(), schedule.zone)
            }),
            self.cut_word().to_owned(),
            self.steps.len().to_string(),
            self.owner.clone().unwrap_or_default(),
        ]
    }

    /// It in lines for people, for `flows show`.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{}  {}", self.name, self.file.display())];
        lines.extend(self.description.iter().map(|text| format!("  {text}")));
        let [_, schedule, interval, _, owner] = self.row();
        let facts = [
            ("schedule", schedule),
            (
                "deadline",
                self.deadline.as_ref().map_or_else(String::new, deadline_line),
            ),
            ("interval", interval),
            ("owner", owner),
            ("version", self.fingerprint.short()),
        ];
        let told = facts.into_iter().filter(|(_, value)| !value.is_empty());
        lines.extend(told.map(|(word, value)| format!("  {word}: {value}")));
        lines.extend(self.params.iter().map(param_line));
        lines.push("  steps:".to_owned());
        lines.extend(self.steps.iter().map(step_line));
        lines
    }

    /// The hash of the definition: what [`Flow::fingerprint`] has to be.
    #[must_use]
    pub fn version(&self) -> Fingerprint {
        let mut definition = self.definition();
        definition.insert("name".to_owned(), self.name.as_str().into());
        let mut text = String::new();
        write_sorted(&Json::Object(definition), &mut text);
        Fingerprint::of_text(&text)
    }

    /// What the file says, in its words; scripts by their hashes.
    fn definition(&self) -> Map<String, Json> {
        let zone = &self.grid.zone;
        object([
            ("description", json!(self.description)),
            ("owner", json!(self.owner)),
            ("tags", json!(self.tags)),
            ("schedule", json!(self.schedule)),
            ("missed", missed_word(self.missed).into()),
            ("interval", json!(self.grid.is_cut().then(|| self.cut_word()))),
            ("timezone", zone.name().into()),
            ("begin", json!(self.grid.begin.map(|at| moment(at, zone)))),
            ("end", json!(self.grid.end.map(|at| moment(at, zone)))),
            ("lookback", self.lookback.into()),
            ("partial", self.partial.into()),
            ("params", self.params.iter().map(param_view).collect()),
            ("max_active", self.max_active.into()),
            ("on_full", on_full_word(self.on_full).into()),
            ("timeout_us", json!(self.timeout_us)),
            ("deadline", json!(self.deadline.as_ref().map(deadline_view))),
            ("on_failure", channels(&self.notify.on_failure)),
            ("on_success", channels(&self.notify.on_success)),
            ("on_recovery", channels(&self.notify.on_recovery)),
            ("steps", self.steps.iter().map(step_view).collect()),
        ])
    }

    fn cut_word(&self) -> &str {
        match &self.grid.cut {
            Cut::Whole => "",
            Cut::Unit(unit) => unit.as_str(),
            Cut::Cron(cron) => cron.as_str(),
        }
    }
}

impl Step {
    /// What it does, in a few words: its kind, and what of it.
    pub fn in_words(&self) -> String {
        format!("{} {}", self.kind.word(), what(&self.kind))
    }
}

impl Channel {
    /// As a flow names it: `webhook:NAME`.
    pub fn in_words(&self) -> String {
        match self {
            Self::Webhook(name) => format!("webhook:{name}"),
        }
    }
}

fn object<const N: usize>(entries: [(&str, Json); N]) -> Map<String, Json> {
    let told = entries.into_iter().filter(|(_, value)| !value.is_null());
    told.map(|(key, value)| (key.to_owned(), value)).collect()
}

fn moment(at: Instant, zone: &Zone) -> String {
    let zoned = at.to_timestamp().to_zoned(zone.tz().clone());
    zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

fn param_view(param: &Param) -> Json {
    Json::Object(object([
        ("name", param.name.as_str().into()),
        ("type", param.kind.as_str().into()),
        ("default", json!(param.default)),
        ("required", param.required.into()),
        ("allowed", json!((!param.allowed.is_empty()).then_some(&param.allowed))),
        ("description", json!(param.description)),
    ]))
}

fn param_line(param: &Param) -> String {
    let mut line = format!("  param {}: {}", param.name, param.kind.as_str());
    if let Some(default) = &param.default {
        // Writing to a text does not fail.
        let _ = write!(line, " = {default}");
    }
    if param.required {
        line.push_str(", required");
    }
    line
}

fn step_line(step: &Step) -> String {
    let mut line = format!("    {}: {}", step.name, step.in_words());
    if step.is_finally {
        line.push_str("  finally");
    } else if !step.needs.is_empty() {
        let _ = write!(line, "  after {}", step.needs.join(", "));
    }
    line
}

/// `2h after scheduled, then cancel`.
fn deadline_line(deadline: &Deadline) -> String {
    let then = late_word(deadline.then);
    match &deadline.by {
        By::Within { after, within_us } => {
            format!("{} after {}, then {then}", span(*within_us), after_word(*after))
        }
        By::Clock { at, timezone } => format!("{} {}, then {then}", at.strftime("%H:%M"), timezone.name()),
    }
}

/// In the largest unit that it is a whole number of.
fn span(us: i64) -> String {
    let units = [
        (86_400_000_000, "d"),
        (3_600_000_000, "h"),
        (60_000_000, "m"),
        (1_000_000, "s"),
    ];
    let fits = units.iter().find(|(unit, _)| us % unit == 0);
    fits.map_or_else(String::new, |(unit, word)| format!("{}{word}", us / unit))
}

/// What a step does, in a few words.
fn what(kind: &StepKind) -> String {
    match kind {
        StepKind::Sql { script, .. } => script_file(script).unwrap_or_else(|| first_line(&script.text)),
        StepKind::Models { select, .. } => select.join(" "),
        StepKind::Command { program, .. } => match program {
            Program::Words(words) => {
                let words: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
                first_line(&words.join(" "))
            }
            Program::Shell(text) => first_line(&text.text),
        },
        StepKind::Python { entry, .. } => entry_word(entry),
    }
}

/// The file of a script that has one of its own.
fn script_file(script: &Template) -> Option<String> {
    let file = &script.place.file;
    script.place.line.is_none().then(|| file.display().to_string())
}

fn first_line(text: &str) -> String {
    text.trim().lines().next().unwrap_or_default().to_owned()
}

fn entry_word(entry: &Entry) -> String {
    match entry {
        Entry::Script(path) => path.display().to_string(),
        Entry::Function { module, function } => format!("{module}:{function}"),
    }
}

fn step_view(step: &Step) -> Json {
    let mut view = object([
        ("name", step.name.as_str().into()),
        ("description", json!(step.description)),
        ("needs", json!(step.needs)),
        ("when", text_of(step.when.as_ref())),
        ("run_if", run_if_word(step.run_if).into()),
        ("retry", retry_view(&step.retry)),
        ("timeout_us", json!(step.timeout_us)),
        ("total_timeout_us", json!(step.total_timeout_us)),
        ("allow_failure", step.allow_failure.into()),
        ("finally", step.is_finally.into()),
        ("pool", json!(step.pool)),
        ("priority", step.priority.into()),
        ("on_lost", on_lost_word(step.on_lost).into()),
        ("params", json!(step.params)),
        (
            "env",
            step.env
                .iter()
                .map(|(name, value)| (name.clone(), Json::from(value.text.as_str())))
                .collect::<Map<_, _>>()
                .into(),
        ),
    ]);
    view.extend(kind_view(&step.kind));
    Json::Object(view)
}

fn kind_view(kind: &StepKind) -> Map<String, Json> {
    match kind {
        StepKind::Sql { script, content } => object([
            ("sql", json!(script_file(script))),
            ("content", content.to_string().into()),
        ]),
        StepKind::Models {
            select, exclude, full, ..
        } => object([
            ("models", json!(select)),
            ("exclude", json!(exclude)),
            ("full", (*full).into()),
        ]),
        StepKind::Command { program, cwd } => {
            let command = match program {
                Program::Words(words) => words.iter().map(|word| Json::from(word.text.as_str())).collect(),
                Program::Shell(text) => text.text.as_str().into(),
            };
            object([("command", command), ("cwd", text_of(cwd.as_ref()))])
        }
        StepKind::Python {
            entry,
            interpreter,
            args,
            cwd,
            warm,
            content,
        } => object([
            ("python", entry_word(entry).into()),
            ("interpreter", json!(interpreter)),
            ("args", args.iter().map(|word| Json::from(word.text.as_str())).collect()),
            ("cwd", text_of(cwd.as_ref())),
            ("warm", (*warm).into()),
            ("content", json!(content)),
        ]),
    }
}

fn text_of(template: Option<&Template>) -> Json {
    json!(template.map(|template| &template.text))
}

fn retry_view(retry: &Retry) -> Json {
    json!({"max": retry.max, "delay_us": retry.delay_us, "cap_us": retry.cap_us, "factor": retry.factor})
}

fn deadline_view(deadline: &Deadline) -> Json {
    let then = late_word(deadline.then);
    match &deadline.by {
        By::Within { after, within_us } => {
            json!({"after": after_word(*after), "within_us": within_us, "then": then})
        }
        By::Clock { at, timezone } => {
            json!({"after": "clock", "at": at.strftime("%H:%M").to_string(), "timezone": timezone.name(), "then": then})
        }
    }
}

fn after_word(after: After) -> &'static str {
    match after {
        After::Scheduled => "scheduled",
        After::Queued => "queued",
        After::Started => "started",
    }
}

fn late_word(late: Late) -> &'static str {
    match late {
        Late::Notify => "notify",
        Late::Cancel => "cancel",
    }
}

fn channels(channels: &[Channel]) -> Json {
    channels.iter().map(Channel::in_words).map(Json::from).collect()
}

fn missed_word(missed: Missed) -> &'static str {
    match missed {
        Missed::Latest => "latest",
        Missed::All => "all",
        Missed::None => "none",
    }
}

fn on_full_word(on_full: OnFull) -> &'static str {
    match on_full {
        OnFull::Queue => "queue",
        OnFull::Skip => "skip",
        OnFull::CancelOld => "cancel_old",
        OnFull::Fail => "fail",
    }
}

fn run_if_word(run_if: RunIf) -> &'static str {
    match run_if {
        RunIf::Success => "success",
        RunIf::Always => "always",
        RunIf::Failed => "failed",
        RunIf::AnySuccess => "any_success",
    }
}

fn on_lost_word(on_lost: OnLost) -> &'static str {
    match on_lost {
        OnLost::Retry => "retry",
        OnLost::Fail => "fail",
    }
}

/// JSON whose keys are in order, however a mapping keeps them.
fn write_sorted(value: &Json, out: &mut String) {
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {
            let _ = write!(out, "{value}");
        }
        Json::Array(items) => {
            out.push('[');
            for item in items {
                write_sorted(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Json::Object(entries) => {
            let mut keys: Vec<&String> = entries.keys().collect();
            keys.sort();
            out.push('{');
            for key in keys {
                let _ = write!(out, "{}:", Json::from(key.as_str()));
                write_sorted(&entries[key], out);
                out.push(',');
            }
            out.push('}');
        }
    }
}
