//! What a task is given, and what it may say.
//!
//! # What a task is given
//!
//! **Environment.** It is built from empty: `PATH`, `HOME`, `LANG` and `TZ` of the server, what the step
//! declares, and
//!
//! | variable | |
//! |---|---|
//! | `MULGIL_RUN_ID` | the run |
//! | `MULGIL_STEP` | the step, as `flow.step` |
//! | `MULGIL_ATTEMPT` | the attempt; another one for each try |
//! | `MULGIL_IDEMPOTENCY_ID` | the same for every try of the same work: give it to systems that refuse repeats |
//! | `MULGIL_INTERVAL_START`, `MULGIL_INTERVAL_END` | the half-open interval in RFC 3339, where there is one |
//! | `MULGIL_EVENTS` | the path of a pipe that takes events |
//! | `MULGIL_TOKEN` | marks the processes of the attempt; of no use to the task |
//!
//! **Standard input** is one JSON object:
//!
//! ```json
//! {"run": "42", "step": "load.orders", "attempt": "77", "idempotency_id": "01h…",
//!  "interval": {"start": "2026-03-10T00:00:00+09:00", "end": "2026-03-11T00:00:00+09:00"},
//!  "params": {"country": "kr"},
//!  "outputs": {"extract": {"rows": 3}}}
//! ```
//!
//! `interval` is null where there is none; `outputs` holds the results of steps before, by their names.
//!
//! # What a task may say
//!
//! What it prints is its log. Its exit code says whether it went well: 0 did. Besides, it may write lines of
//! JSON to the path in `MULGIL_EVENTS`, by opening it to append, from any of its processes:
//!
//! ```sh
//! echo '{"type": "result", "value": {"rows": 3}}' >> "$MULGIL_EVENTS"
//! ```
//!
//! | type | fields | |
//! |---|---|---|
//! | `log` | `message`, `level` (`info` where absent) | a line of the log |
//! | `result` | `value` | the output of the step, at most 64 KiB of JSON; the last one counts |
//! | `rows` | `count`, `table` | rows written |
//! | `metadata` | `values` | an object to show beside the attempt |
//! | `progress` | `done`, `total`, `message` | how far it is |
//! | `error` | `message`, `kind`, `place` | why it is going to fail; shown instead of the exit code |
//!
//! Lines up to 4 KiB from several processes never mix; longer ones may, as with any pipe. A line that cannot be
//! read is named by a fault (MG4208, MG4209) and changes nothing else. At most 10,000 are taken.

use std::{collections::BTreeMap, io, path::Path};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    interval::Instant,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{folder, log};

/// Bytes of JSON that a result may have.
pub const MAX_RESULT_BYTES: usize = 64 * 1024;

/// Bytes that a line of events may have: a result and what stands around it.
pub const MAX_EVENT_BYTES: usize = MAX_RESULT_BYTES + 1024;

/// Events that one attempt may write.
pub const MAX_EVENTS: usize = 10_000;

/// Variables of the server that a task inherits; no other is.
pub const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];

/// What a task is told about its work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskInput {
    /// The run.
    pub run: String,
    /// The step, as `flow.step`.
    pub step: String,
    /// The attempt.
    pub attempt: String,
    /// The same for every try of the same work.
    pub idempotency_id: String,
    /// The data interval, where there is one.
    pub interval: Option<TaskInterval>,
    /// The parameters of the run.
    pub params: Map<String, Value>,
    /// Results of steps before, by their names.
    pub outputs: Map<String, Value>,
}

/// A half-open interval as tasks see it: RFC 3339 with the offset of the node's zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskInterval {
    /// Its start.
    pub start: String,
    /// Its end, which is no part of it.
    pub end: String,
}

impl TaskInput {
    /// The environment of the task: what is inherited of the server's, what the step declares, and our own
    /// variables, which win.
    pub fn environment(
        &self,
        server: &BTreeMap<String, String>,
        step: &BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        let inherited = INHERITED.iter().filter_map(|name| server.get_key_value(*name));
        let declared = inherited.chain(step).map(|(name, value)| (name.clone(), value.clone()));
        let mut environment: BTreeMap<String, String> = declared.collect();
        let mut set = |name: &str, value: &str| environment.insert(name.to_owned(), value.to_owned());
        set("MULGIL_RUN_ID", &self.run);
        set("MULGIL_STEP", &self.step);
        set("MULGIL_ATTEMPT", &self.attempt);
        set("MULGIL_IDEMPOTENCY_ID", &self.idempotency_id);
        if let Some(interval) = &self.interval {
            set("MULGIL_INTERVAL_START", &interval.start);
            set("MULGIL_INTERVAL_END", &interval.end);
        }
        environment
    }

    /// What the task reads on its standard input.
    pub fn stdin(&self) -> String {
        // Strings and maps of strings: it cannot fail.
        let mut text = serde_json::to_string(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// What a task said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Event {
    /// A line of the log.
    Log {
        /// The line.
        message: String,
        /// `debug`, `info`, `warning`, `error`, or a word of its own.
        #[serde(default = "info")]
        level: String,
    },
    /// The output of the step.
    Result {
        /// Any JSON.
        value: Value,
    },
    /// Rows that it wrote.
    Rows {
        /// How many.
        count: u64,
        /// Where to, in its own words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        table: Option<String>,
    },
    /// Facts to show beside the attempt.
    Metadata {
        /// By name.
        values: Map<String, Value>,
    },
    /// How far it is.
    Progress {
        /// Units that are done.
        done: f64,
        /// Of how many.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        total: Option<f64>,
        /// In words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// Why it is going to fail.
    Error(TaskError),
}

/// Why a task failed, in its own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskError {
    /// One sentence.
    pub message: String,
    /// What kind of failure it is; `python`, `python_target` are our SDK's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Where, as `file:line`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

impl TaskError {
    /// What is said of a task that failed with it.
    pub(crate) fn diagnostic(&self, code: i32) -> Diagnostic {
        let place = self
            .place
            .as_ref()
            .map_or_else(String::new, |place| format!(" ({place})"));
        match self.kind.as_deref() {
            Some("python") => Diagnostic::error(codes::PYTHON_UNUSABLE, self.message.clone())
                .with_remedy("name another one with `python:` at the step, or install Python 3.9 or newer")
                .with_retry(Retry::AfterHumanFix),
            Some("python_target") => Diagnostic::error(codes::PYTHON_TARGET, self.message.clone())
                .with_remedy("write a script's path from the project folder, or `module:function`, and give its parameters under `params:`")
                .with_retry(Retry::AfterHumanFix),
            _ => Diagnostic::error(codes::TASK_FAILED, format!("the task failed: {}{place} (exit code {code})", self.message))
                .with_remedy("its log says more; `mulgil logs` shows it")
                .with_retry(Retry::Later),
        }
    }
}

/// An event, or what was wrong with a line, with its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventRecord {
    /// When it was read from the task.
    pub at: Instant,
    /// What it said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Event>,
    /// Why the line was not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Diagnostic>,
}

/// A part of an attempt's events.
#[derive(Clone, Debug, PartialEq)]
pub struct EventsPage {
    /// In the order in which they came.
    pub events: Vec<EventRecord>,
    /// The offset in bytes from which to read on.
    pub next: u64,
}

/// Reads an attempt's events from an offset in bytes. Nothing where there are none yet.
///
/// # Errors
/// What the file system says.
pub fn read_events(dir: &Path, offset: u64) -> io::Result<EventsPage> {
    let mut events = Vec::new();
    let next = log::read_lines(&dir.join(folder::EVENTS), offset, |line| {
        events.extend(serde_json::from_slice::<EventRecord>(line).ok());
    })?;
    Ok(EventsPage { events, next })
}

/// Reads a line that a task wrote.
pub(crate) fn parse_event(line: &[u8], forms: &crate::mask::Forms) -> Result<Event, Box<Diagnostic>> {
    let mut value: Value = serde_json::from_slice(line).map_err(|error| invalid(line, forms, &error.to_string()))?;
    forms.json(&mut value);
    let event = serde_json::from_value(value).map_err(|error| invalid(line, forms, &error.to_string()))?;
    match &event {
        Event::Result { value } if value.to_string().len() > MAX_RESULT_BYTES => Err(too_large("a result")),
        _ => Ok(event),
    }
}

/// A line that the task did not finish before it ended.
pub(crate) fn half(line: &[u8], forms: &crate::mask::Forms) -> Box<Diagnostic> {
    invalid(line, forms, "the task ended in the middle of it")
}

/// A line, or a result, that is longer than may be.
pub(crate) fn too_large(what: &str) -> Box<Diagnostic> {
    let message = format!(
        "{what} of this task's events has more than {} KiB, so it was not taken",
        MAX_RESULT_BYTES / 1024
    );
    Box::new(
        Diagnostic::error(codes::EVENT_TOO_LARGE, message)
            .with_remedy("write large results to a table or a file and give only where they are"),
    )
}

/// More events than are kept.
pub(crate) fn too_many() -> Box<Diagnostic> {
    let message = format!("the task wrote more than {MAX_EVENTS} events; the others were not taken");
    Box::new(Diagnostic::error(codes::EVENT_TOO_LARGE, message).with_remedy("tell progress less often"))
}

fn invalid(line: &[u8], forms: &crate::mask::Forms, why: &str) -> Box<Diagnostic> {
    const SHOWN: usize = 80;
    let text = forms.text(&String::from_utf8_lossy(line));
    let shown: String = text.chars().take(SHOWN).collect();
    let dots = if text.chars().count() > SHOWN { "…" } else { "" };
    // What the parser says may quote the line, and so a secret.
    let message = format!(
        "a line of this task's events cannot be read: {}: `{shown}{dots}`",
        forms.text(why)
    );
    Box::new(
        Diagnostic::error(codes::EVENT_INVALID, message)
            .with_remedy("write one JSON object with a `type` on each line; prints belong on standard output"),
    )
}

fn info() -> String {
    "info".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::Forms;

    fn parse(line: &str) -> Result<Event, String> {
        parse_event(line.as_bytes(), &Forms::new(&["hunter2-long".to_owned()])).map_err(|fault| fault.to_string())
    }

    #[test]
    fn events_are_read_and_masked() {
        assert_eq!(
            parse(r#"{"type":"log","message":"with hunter2-long"}"#),
            Ok(Event::Log {
                message: "with ***".to_owned(),
                level: "info".to_owned()
            })
        );
        assert_eq!(
            parse(r#"{"type":"rows","count":3}"#),
            Ok(Event::Rows { count: 3, table: None })
        );
        assert_eq!(
            parse(r#"{"type":"result","value":[1]}"#),
            Ok(Event::Result {
                value: serde_json::json!([1])
            })
        );
    }

    #[test]
    fn what_cannot_be_read_is_said_without_secrets() {
        let half = parse(r#"{"type":"result","value":"hunter2-lo"#).expect_err("half a line");
        assert!(half.starts_with("error[MG4208]"), "{half}");
        let unknown = parse(r#"{"type":"hunter2-long"}"#).expect_err("an unknown type");
        assert!(
            unknown.starts_with("error[MG4208]") && !unknown.contains("hunter2"),
            "{unknown}"
        );
        let large = format!(r#"{{"type":"result","value":"{}"}}"#, "x".repeat(MAX_RESULT_BYTES));
        assert!(parse(&large).expect_err("a large result").starts_with("error[MG4209]"));
    }

    #[test]
    fn an_environment_has_what_is_named_and_nothing_else() {
        let input = TaskInput {
            run: "42".to_owned(),
            step: "load.orders".to_owned(),
            attempt: "77".to_owned(),
            idempotency_id: "id".to_owned(),
            interval: Some(TaskInterval {
                start: "a".to_owned(),
                end: "b".to_owned(),
            }),
            params: Map::new(),
            outputs: Map::new(),
        };
        let map = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        let server = map(&[("PATH", "/bin"), ("SECRET_OF_SERVER", "x"), ("TZ", "UTC")]);
        let environment = input.environment(&server, &map(&[("TZ", "Asia/Seoul"), ("MULGIL_RUN_ID", "forged")]));
        let text: Vec<String> = environment
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            text.join(" "),
            "MULGIL_ATTEMPT=77 MULGIL_IDEMPOTENCY_ID=id MULGIL_INTERVAL_END=b MULGIL_INTERVAL_START=a \
             MULGIL_RUN_ID=42 MULGIL_STEP=load.orders PATH=/bin TZ=Asia/Seoul"
        );
    }
}
