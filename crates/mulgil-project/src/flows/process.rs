//! What a process of a step is given: its words, its folder, its environment, and the one object that says all.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use mulgil_core::{codes, diagnostic::Diagnostic, flow::Template, port::Fault};
use serde_json::{Map, Value as Json, json};

use super::render::Renderer;
use crate::template::rfc3339;

/// Bytes of the object that a process is given.
const MAX_INPUT_BYTES: usize = 4 << 20;

impl Renderer<'_> {
    pub(super) fn words(&self, words: &[Template]) -> Result<Vec<String>, Fault> {
        words.iter().map(|word| self.word(word)).collect()
    }

    /// A word that a process is started with.
    pub(super) fn word(&self, word: &Template) -> Result<String, Fault> {
        let text = self.text(word)?;
        if text.contains('\0') {
            return Err(Box::new(
                Diagnostic::error(
                    codes::UNBINDABLE,
                    format!(
                        "a word of the step `{}` holds a NUL, which no process can be given",
                        self.step.name
                    ),
                )
                .at(word.place.clone())
                .with_remedy("remove it from the value"),
            ));
        }
        Ok(text)
    }

    pub(super) fn cwd(&self, cwd: Option<&Template>) -> Result<PathBuf, Fault> {
        cwd.map_or_else(
            || Ok(PathBuf::new()),
            |cwd| Ok(Path::new(&self.word(cwd)?).to_path_buf()),
        )
    }

    /// What a process finds in its environment: facts of the run, and what the step says.
    pub(super) fn env(&self) -> Result<BTreeMap<String, String>, Fault> {
        let zone = &self.flow.grid.zone;
        let context = self.context;
        let mut env = BTreeMap::from(
            [
                ("MULGIL_FLOW", self.flow.name.clone()),
                ("MULGIL_STEP", self.step.name.clone()),
                ("MULGIL_RUN_ID", context.run_id.clone()),
                ("MULGIL_ATTEMPT", context.attempt.to_string()),
                ("MULGIL_IDEMPOTENCY_ID", context.idempotency_id.clone()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        let moments = [
            ("MULGIL_SCHEDULED_AT", context.scheduled_at),
            ("MULGIL_INTERVAL_START", context.interval.map(|interval| interval.start)),
            ("MULGIL_INTERVAL_END", context.interval.map(|interval| interval.end)),
        ];
        env.extend(
            moments
                .into_iter()
                .filter_map(|(name, at)| Some((name.to_owned(), rfc3339(at?, zone)))),
        );
        for (name, value) in &self.step.env {
            env.insert(name.clone(), self.word(value)?);
        }
        Ok(env)
    }

    /// The one object that a process is given.
    pub(super) fn input(&self) -> Result<Json, Fault> {
        let zone = &self.flow.grid.zone;
        let context = self.context;
        let known = self.flow.waits_for(self.step).filter_map(|step| {
            let ended = context.steps.get(&step.name)?;
            let mut told = json!({"state": ended.state.as_str(), "rows": ended.rows});
            // After all others there may be any number; what it needs of them it names in a template.
            if !self.step.is_finally {
                told["output"] = ended.output.clone();
            }
            Some((step.name.clone(), told))
        });
        let input = json!({
            "flow": self.flow.name,
            "step": self.step.name,
            "run_id": context.run_id,
            "attempt": context.attempt,
            "idempotency_id": context.idempotency_id,
            "scheduled_at": context.scheduled_at.map(|at| rfc3339(at, zone)),
            "started_at": rfc3339(context.started_at, zone),
            "timezone": zone.name(),
            "interval": context.interval.map(|interval| json!({
                "start": rfc3339(interval.start, zone),
                "end": rfc3339(interval.end, zone),
            })),
            "params": self.params,
            "steps": known.collect::<Map<_, _>>(),
        });
        let size = input.to_string().len();
        if size > MAX_INPUT_BYTES {
            return Err(Box::new(
                Diagnostic::error(
                    codes::TEMPLATE_LIMIT,
                    format!(
                        "what the step `{}` would be given has {size} bytes, and may have {MAX_INPUT_BYTES}",
                        self.step.name
                    ),
                )
                .at(self.step.place.clone())
                .with_remedy("have the steps before it give names of files or tables, and not what these hold"),
            ));
        }
        Ok(input)
    }
}
