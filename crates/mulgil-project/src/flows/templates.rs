//! The templates of a flow's steps, tried while the project is loaded: with a day that stands for any, with
//! the parameters' defaults, and with values that nobody knows yet for what steps will give. What fails
//! only because of such a value is no fault.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place},
    flow::{Flow, Program, Step, StepKind, Template},
    project::Upstream,
};
use serde_json::{Value as Json, json};

use super::{Draft, bind, inline, is_full, is_template, order, params::TAKEN};
use crate::{
    assemble::Assembly,
    config::Kind,
    mentions,
    rendering::Rendering,
    template::{Facts, FlowFacts, Mention, Rendered},
    test_query, text,
};

/// A template of a step, by the name under which it is kept.
struct Part {
    name: PathBuf,
    text: String,
    place: Place,
    is_sql: bool,
    /// Whether the step's own values are not there yet: in these themselves, and in `when`.
    is_value: bool,
}

/// Tries all templates of a flow, and writes down what its SQL reads.
pub(super) fn check(assembly: &mut Assembly<'_>, draft: &mut Draft, faults: &mut Vec<Diagnostic>) {
    let parts = all_parts(draft);
    each(draft, &parts, faults, |trial| trial.run(assembly));
}

/// Does the same for a flow that has no template; false where it has one, and nothing was done.
#[expect(
    clippy::redundant_closure_for_method_calls,
    reason = "the method itself is not general enough in the lifetime of what it tries"
)]
pub(super) fn check_plain(draft: &mut Draft, faults: &mut Vec<Diagnostic>) -> bool {
    let parts = all_parts(draft);
    if parts.iter().flatten().any(|part| is_template(&part.text)) {
        return false;
    }
    each(draft, &parts, faults, |trial| trial.run_plain());
    true
}

/// The parts of each step.
fn all_parts(draft: &Draft) -> Vec<Vec<Part>> {
    let place = |step: &Step| draft.places.get(&(step.name.clone(), "params"));
    let steps = draft.flow.steps.iter();
    steps.map(|step| parts(&draft.flow, step, place(step))).collect()
}

fn each(draft: &mut Draft, parts: &[Vec<Part>], faults: &mut Vec<Diagnostic>, mut run: impl FnMut(&mut Trial<'_>)) {
    for (index, parts) in parts.iter().enumerate() {
        if is_full(faults) {
            return;
        }
        let mut reads = BTreeSet::new();
        for part in parts {
            let mut trial = Trial {
                flow: &draft.flow,
                step: &draft.flow.steps[index],
                part,
                faults: Vec::new(),
                reads: BTreeSet::new(),
            };
            run(&mut trial);
            faults.append(&mut trial.faults);
            reads.append(&mut trial.reads);
        }
        draft.flow.steps[index].reads = reads.into_iter().collect();
    }
}

fn parts(flow: &Flow, step: &Step, params: Option<&Place>) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut add = |what: String, template: &Template, is_sql: bool| {
        let name = match template.place.line {
            None => template.place.file.clone(),
            Some(_) => inline(&flow.file, &step.name, &what),
        };
        parts.push(Part {
            name,
            text: template.text.clone(),
            place: template.place.clone(),
            is_sql,
            is_value: false,
        });
    };
    let mut list = |what: &str, templates: &[Template]| {
        for (number, template) in templates.iter().enumerate() {
            add(format!("{what}.{number}"), template, false);
        }
    };
    match &step.kind {
        StepKind::Sql { script, .. } => add("sql".to_owned(), script, true),
        StepKind::Models { .. } => {}
        StepKind::Command { program, cwd } => {
            match program {
                Program::Words(words) => list("command", words),
                Program::Shell(text) => list("command", std::slice::from_ref(text)),
            }
            list("cwd", cwd.as_slice());
        }
        StepKind::Python { args, cwd, .. } => {
            list("args", args);
            list("cwd", cwd.as_slice());
        }
    }
    for (name, template) in &step.env {
        add(format!("env.{name}"), template, false);
    }
    parts.extend(step.when.iter().map(|when| Part {
        name: inline(&flow.file, &step.name, "when"),
        text: when.text.clone(),
        place: when.place.clone(),
        is_sql: false,
        is_value: true,
    }));
    let mut texts = Vec::new();
    step.params.values().for_each(|value| texts_in(value, &mut texts));
    parts.extend(texts.into_iter().enumerate().map(|(number, text)| Part {
        name: inline(&flow.file, &step.name, &format!("params.{number}")),
        text,
        place: params.unwrap_or(&step.place).clone(),
        is_sql: false,
        is_value: true,
    }));
    parts
}

fn texts_in(value: &Json, texts: &mut Vec<String>) {
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
        Json::String(text) => texts.push(text.clone()),
        Json::Array(items) => items.iter().for_each(|item| texts_in(item, texts)),
        Json::Object(fields) => fields.values().for_each(|item| texts_in(item, texts)),
    }
}

/// One template, tried.
struct Trial<'a> {
    flow: &'a Flow,
    step: &'a Step,
    part: &'a Part,
    faults: Vec<Diagnostic>,
    reads: BTreeSet<Upstream>,
}

impl Trial<'_> {
    fn run_plain(&mut self) {
        if self.part.is_sql {
            self.check_names(&self.part.text);
        }
    }

    fn run(&mut self, assembly: &mut Assembly<'_>) {
        if !is_template(&self.part.text) {
            return self.run_plain();
        }
        let facts = self.facts();
        if let Err(fault) = assembly.templates.add(&self.part.name, self.part.text.clone()) {
            return self.told(fault);
        }
        match assembly.templates.render_told(&self.part.name, &facts) {
            Ok(rendered) => {
                self.check_mentions(assembly, &rendered.mentions, &facts);
                if self.part.is_sql {
                    self.check_names(&rendered.sql);
                }
                self.resolve(assembly, facts, rendered);
            }
            Err(refused) => {
                let (fault, mentions) = *refused;
                self.check_mentions(assembly, &mentions, &facts);
                let hangs_on_a_run =
                    fault.code == codes::TEMPLATE_FAILED && mentions.iter().any(|mention| self.is_unknown(mention));
                if !hangs_on_a_run {
                    self.told(fault);
                }
                let named = Rendered {
                    mentions,
                    ..Rendered::default()
                };
                self.resolve(assembly, facts, named);
            }
        }
    }

    /// Values that stand for those of any run.
    fn facts(&self) -> Facts {
        let declared = self.flow.params.iter();
        let mut params: BTreeMap<String, Option<Json>> = declared
            .map(|param| (param.name.clone(), param.default.clone()))
            .collect();
        if !self.part.is_value {
            params.extend(self.step.params.keys().map(|name| (name.clone(), None)));
        }
        Facts {
            zone: self.flow.grid.zone.clone(),
            words: BTreeMap::from([
                ("flow".to_owned(), json!({"name": self.flow.name, "version": ""})),
                ("step".to_owned(), json!({"name": self.step.name})),
                (
                    "run".to_owned(),
                    json!({"id": "run", "started_at": SENTINEL, "scheduled_at": SENTINEL, "attempt": 1, "idempotency_id": "id"}),
                ),
            ]),
            flow: Some(FlowFacts { params, steps: None }),
            ..Facts::sentinels(&self.step.name, false)
        }
    }

    fn is_unknown(&self, mention: &Mention) -> bool {
        match mention {
            Mention::Step(_) => true,
            Mention::Param(name) => {
                let declared = self.flow.params.iter().find(|param| param.name == *name);
                let is_own = !self.part.is_value && self.step.params.contains_key(name);
                is_own || declared.is_none_or(|param| param.default.is_none())
            }
            Mention::Config(_)
            | Mention::Ref { .. }
            | Mention::Source { .. }
            | Mention::Key(_)
            | Mention::Interval(_)
            | Mention::This
            | Mention::MissingVar(_)
            | Mention::MissingEnvVar(_) => false,
        }
    }

    fn check_mentions(&mut self, assembly: &Assembly<'_>, mentions: &[Mention], facts: &Facts) {
        let mut told = BTreeSet::new();
        for (index, mention) in mentions.iter().enumerate() {
            let Some(fault) = self.mention(mention) else { continue };
            let place = assembly.templates.locate(&self.part.name, facts, index);
            if told.insert((place.clone(), fault.message.clone())) {
                self.told(fault.at(place));
            }
        }
    }

    fn mention(&self, mention: &Mention) -> Option<Diagnostic> {
        match mention {
            Mention::Interval(word) => (!self.flow.grid.is_cut()).then(|| no_interval(&self.step.name, word)),
            Mention::Param(name) => (!self.has_param(name)).then(|| self.undeclared(name, "params.")),
            Mention::Step(name) => self.unknown_step(name),
            Mention::This | Mention::Config(_) => {
                let word = if *mention == Mention::This { "this" } else { "config()" };
                Some(
                    Diagnostic::error(
                        codes::TEMPLATE_FAILED,
                        format!("`{word}` belongs to a model, and the step `{}` is none", self.step.name),
                    )
                    .with_remedy("name the table by `ref`, or remove it"),
                )
            }
            Mention::Ref { .. }
            | Mention::Source { .. }
            | Mention::Key(_)
            | Mention::MissingVar(_)
            | Mention::MissingEnvVar(_) => None,
        }
    }

    fn has_param(&self, name: &str) -> bool {
        let is_own = !self.part.is_value && self.step.params.contains_key(name);
        is_own || self.flow.params.iter().any(|param| param.name == name)
    }

    fn undeclared(&self, name: &str, before: &str) -> Diagnostic {
        let declared = self.flow.params.iter().map(|param| param.name.as_str());
        let own = self.step.params.keys().filter(|_| !self.part.is_value);
        let known: BTreeSet<&str> = declared.chain(own.map(String::as_str)).collect();
        let taken = TAKEN.iter().copied().filter(|_| before == ":");
        let near = text::nearest(name, known.iter().copied().chain(taken));
        let remedy = near.map_or_else(
            || {
                format!(
                    "declare it: `params: {{{name}: string}}`; there are {}",
                    text::listed(known.iter().copied())
                )
            },
            |near| format!("write `{before}{near}`"),
        );
        Diagnostic::error(
            codes::UNDECLARED_PARAM,
            format!(
                "the step `{}` names `{before}{name}`, which the flow does not declare",
                self.step.name
            ),
        )
        .with_remedy(remedy)
    }

    fn unknown_step(&self, name: &str) -> Option<Diagnostic> {
        let step = &self.step.name;
        if self.flow.step(name).is_none() {
            let known = || self.flow.steps.iter().map(|step| step.name.as_str());
            let remedy = text::nearest(name, known()).map_or_else(
                || format!("there are {}", text::listed(known())),
                |near| format!("write `steps.{near}`"),
            );
            return Some(
                Diagnostic::error(
                    codes::UNKNOWN_STEP,
                    format!("the step `{step}` names the step `{name}`, which the flow does not have"),
                )
                .with_remedy(remedy),
            );
        }
        (!order::ends_before(self.flow, name, self.step)).then(|| {
            Diagnostic::error(
                codes::UNKNOWN_STEP,
                format!("the step `{step}` names the step `{name}`, but does not wait for it"),
            )
            .with_remedy(format!("add it: `needs: [{name}]`"))
        })
    }

    /// What SQL names as `:name`.
    fn check_names(&mut self, sql: &str) {
        let mut told = BTreeSet::new();
        for (_, name) in bind::names(sql) {
            let fault = if TAKEN.contains(&name) {
                (!self.flow.grid.is_cut()).then(|| no_interval(&self.step.name, &format!(":{name}")))
            } else {
                (!self.has_param(name)).then(|| self.undeclared(name, ":"))
            };
            if let Some(fault) = fault
                && told.insert(name.to_owned())
            {
                let place = self.place_of_name(name);
                self.told(fault.at(place));
            }
        }
    }

    fn place_of_name(&self, name: &str) -> Place {
        let own = bind::names(&self.part.text);
        let found = own.iter().find(|(_, own)| *own == name);
        match (self.part.place.line, found) {
            (None, Some((range, _))) => text::place_of(&self.part.place.file, &self.part.text, range.start),
            (_, _) => self.part.place.clone(),
        }
    }

    /// What it reads by `ref` and `source`; what is not there is told.
    fn resolve(&mut self, assembly: &Assembly<'_>, facts: Facts, rendered: Rendered) {
        let name = format!("{}.{}", self.flow.name, self.step.name);
        let mut probe = test_query::unresolved(&name, self.part.name.clone(), Rendering::plain(facts, rendered));
        probe.noun = "step";
        // Whether the flow has an interval is looked at already.
        probe.config.kind = Kind::Interval;
        let mut found = Vec::new();
        let Assembly {
            catalog,
            known,
            templates,
            ..
        } = assembly;
        let (reads, _) = mentions::resolve_one(&probe, catalog, known, templates, &mut found);
        for fault in found {
            self.told(fault);
        }
        self.reads.extend(reads.into_iter().map(|read| read.from));
    }

    /// Tells a fault; one of a text that stands in the flow's file is where that text is.
    fn told(&mut self, fault: Diagnostic) {
        let is_own = |place: &Place| place.file == self.part.name;
        let is_inline = self.part.place.line.is_some();
        let fault = match &fault.place {
            Some(place) if !(is_inline && is_own(place)) => fault,
            Some(_) | None => fault.at(self.part.place.clone()),
        };
        self.faults.push(fault);
    }
}

/// A moment that stands for any.
const SENTINEL: &str = "2000-01-01T00:00:00+00:00";

/// The fault of naming the interval where there is none.
pub(super) fn no_interval(step: &str, word: &str) -> Diagnostic {
    Diagnostic::error(
        codes::NO_INTERVAL_HERE,
        format!("the step `{step}` names `{word}`, but its flow has no interval"),
    )
    .with_remedy("add `interval: day` and `begin:` to the flow, or use `run.scheduled_at` or a parameter")
}
