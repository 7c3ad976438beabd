//! A step for a run: its templates rendered, its values bound, and the work that comes of it. Pure: nothing is
//! looked at and nothing is started.

use std::{collections::BTreeMap, sync::Arc};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place},
    flow::{Flow, ModelsSpec, ProcessSpec, Program, PythonSpec, Step, StepContext, StepKind, StepWork, Template},
    interval::{Instant, Interval},
    name::{Key, NodeName},
    port::Fault,
    task::{Binding, ScriptSpec},
};
use serde_json::{Map, Value as Json, json};

use super::{
    bind::{self, Bound},
    is_template,
    templates::no_interval,
};
use crate::{
    compile::Compiler,
    config::Kind,
    reader::{self, Reader, Seen},
    rendering::Rendering,
    sql,
    template::{Facts, FlowFacts, Mention, Rendered, RunFacts, rfc3339},
    test_query,
};

impl Compiler {
    /// Whether a step runs, as its `when` says; true where it says nothing.
    ///
    /// # Errors
    /// When the template fails, or gives neither true nor false.
    pub fn render_when(&self, flow: &Flow, step: &Step, context: &StepContext) -> Result<bool, Fault> {
        let Some(when) = &step.when else { return Ok(true) };
        // The step's own values may only be there when it runs.
        let text = Renderer::bare(self, flow, step, context).text(when)?;
        truth(&text).ok_or_else(|| {
            Box::new(
                Diagnostic::error(
                    codes::BAD_CONDITION,
                    format!(
                        "`when` of the step `{}` gives `{}`, which is neither true nor false",
                        step.name,
                        cut(&text)
                    ),
                )
                .at(when.place.clone())
                .with_remedy("compare something, so that it gives `true` or `false`: `{{ steps.load.rows > 0 }}`"),
            )
        })
    }

    /// What one attempt of a step does. `seen` is what the ledger knows of sources.
    ///
    /// # Errors
    /// When a template fails or goes beyond its limits, or a value cannot stand where it is to stand.
    pub fn render_step(&self, flow: &Flow, step: &Step, context: &StepContext, seen: &Seen) -> Result<StepWork, Fault> {
        let renderer = Renderer::new(self, flow, step, context)?;
        match &step.kind {
            StepKind::Sql { script, .. } => renderer.script(script, seen).map(StepWork::Script),
            StepKind::Models {
                select, exclude, full, ..
            } => Ok(StepWork::Models(ModelsSpec {
                select: select.clone(),
                exclude: exclude.clone(),
                full: *full,
                interval: context.interval,
            })),
            StepKind::Command { program, cwd } => {
                let argv = match program {
                    Program::Words(words) => renderer.words(words)?,
                    Program::Shell(text) => vec!["sh".to_owned(), "-c".to_owned(), renderer.word(text)?],
                };
                Ok(StepWork::Process(ProcessSpec {
                    argv,
                    env: renderer.env()?,
                    cwd: renderer.cwd(cwd.as_ref())?,
                    input: renderer.input()?,
                }))
            }
            StepKind::Python {
                entry,
                interpreter,
                args,
                cwd,
                warm,
                ..
            } => Ok(StepWork::Python(PythonSpec {
                entry: entry.clone(),
                interpreter: interpreter.clone(),
                args: renderer.words(args)?,
                warm: *warm,
                env: renderer.env()?,
                cwd: renderer.cwd(cwd.as_ref())?,
                input: renderer.input()?,
            })),
        }
    }
}

/// True or false, as a template prints it or a person writes it.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => Some(true),
        "false" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// The templates of one step with the values of one run.
pub(super) struct Renderer<'a> {
    compiler: &'a Compiler,
    pub(super) flow: &'a Flow,
    pub(super) step: &'a Step,
    pub(super) context: &'a StepContext,
    pub(super) params: BTreeMap<String, Json>,
    facts: Facts,
}

impl<'a> Renderer<'a> {
    /// With the flow's parameters alone.
    fn bare(compiler: &'a Compiler, flow: &'a Flow, step: &'a Step, context: &'a StepContext) -> Self {
        Self {
            compiler,
            flow,
            step,
            context,
            params: context.params.clone(),
            facts: facts(flow, step, context),
        }
    }

    /// With the step's own values over them.
    fn new(compiler: &'a Compiler, flow: &'a Flow, step: &'a Step, context: &'a StepContext) -> Result<Self, Fault> {
        let mut renderer = Self::bare(compiler, flow, step, context);
        let own: Result<Vec<(String, Json)>, Fault> = step
            .params
            .iter()
            .map(|(name, value)| Ok((name.clone(), renderer.value(value)?)))
            .collect();
        renderer.params.extend(own?);
        if let Some(facts) = &mut renderer.facts.flow {
            let known = renderer.params.iter();
            facts.params = known.map(|(name, value)| (name.clone(), Some(value.clone()))).collect();
        }
        Ok(renderer)
    }

    pub(super) fn text(&self, template: &Template) -> Result<String, Fault> {
        if !is_template(&template.text) {
            return Ok(template.text.clone());
        }
        Ok(self.rendered(template)?.sql)
    }

    fn rendered(&self, template: &Template) -> Result<Rendered, Fault> {
        let templates = &self.compiler.inner.templates;
        let rendered = templates.render_at(&template.text, &template.place, &self.facts)?;
        self.check(&rendered.mentions, &template.place)?;
        Ok(rendered)
    }

    /// What was named has to be there in this run.
    fn check(&self, mentions: &[Mention], place: &Place) -> Result<(), Fault> {
        let is_time = |mention: &Mention| matches!(mention, Mention::Interval(_));
        if let (None, Some(Mention::Interval(word))) = (self.context.interval, mentions.iter().find(|one| is_time(one)))
        {
            return Err(Box::new(no_interval(&self.step.name, word).at(place.clone())));
        }
        match mentions.iter().find_map(crate::compile::missing_value) {
            Some(what) => Err(Box::new(
                Diagnostic::error(
                    codes::TEMPLATE_FAILED,
                    format!("the step `{}` names {what}, which has no value", self.step.name),
                )
                .at(place.clone())
                .with_remedy("give it a value, or a default"),
            )),
            None => Ok(()),
        }
    }

    /// A value with its texts rendered; a text that is one expression gives the expression's value.
    fn value(&self, value: &Json) -> Result<Json, Fault> {
        Ok(match value {
            Json::Null | Json::Bool(_) | Json::Number(_) => value.clone(),
            Json::String(text) if !is_template(text) => value.clone(),
            Json::String(text) => {
                if let Some(expression) = expression(text) {
                    return self.expression(expression);
                }
                let template = Template {
                    text: text.clone(),
                    place: self.step.place.clone(),
                };
                self.rendered(&template)?.sql.into()
            }
            Json::Array(items) => {
                let items: Result<Vec<Json>, Fault> = items.iter().map(|item| self.value(item)).collect();
                items?.into()
            }
            Json::Object(fields) => {
                let fields: Result<Map<String, Json>, Fault> = fields
                    .iter()
                    .map(|(name, item)| Ok((name.clone(), self.value(item)?)))
                    .collect();
                fields?.into()
            }
        })
    }

    fn expression(&self, expression: &str) -> Result<Json, Fault> {
        let place = &self.step.place;
        let templates = &self.compiler.inner.templates;
        let (value, mentions) = templates.value_at(expression, place, &self.facts)?;
        self.check(&mentions, place)?;
        Ok(value)
    }

    fn script(&self, script: &Template, seen: &Seen) -> Result<ScriptSpec, Fault> {
        let rendered = if is_template(&script.text) {
            self.rendered(script)?
        } else {
            Rendered {
                sql: script.text.clone(),
                ..Rendered::default()
            }
        };
        let bound = bind::bind(&rendered.sql, |name| self.bound(name)).map_err(|fault| {
            // A literal that cannot be is told where the script is.
            Box::new(if fault.place.is_none() {
                fault.at(script.place.clone())
            } else {
                fault
            })
        })?;
        Ok(ScriptSpec {
            bindings: self.bindings(&rendered, seen),
            sql: bound,
            zone: self.flow.grid.zone.clone(),
            schema: self.compiler.inner.templates.globals().schema.clone(),
            claim: None,
        })
    }

    fn bound(&self, name: &str) -> Result<Bound, Diagnostic> {
        let zone = &self.flow.grid.zone;
        let edge = |of: fn(Interval) -> Instant| {
            let interval = self.context.interval;
            interval
                .map(of)
                .ok_or_else(|| no_interval(&self.step.name, &format!(":{name}")))
        };
        match name {
            "interval_start" => Ok(Bound::Moment(rfc3339(edge(|interval| interval.start)?, zone))),
            "interval_end" => Ok(Bound::Moment(rfc3339(edge(|interval| interval.end)?, zone))),
            "ds" => {
                let start = edge(|interval| interval.start)?
                    .to_timestamp()
                    .to_zoned(zone.tz().clone());
                Ok(Bound::Date(start.strftime("%Y-%m-%d").to_string()))
            }
            _ => {
                let value = self.params.get(name).ok_or_else(|| {
                    Diagnostic::error(
                        codes::UNDECLARED_PARAM,
                        format!(
                            "the step `{}` names `:{name}`, which has no value in this run",
                            self.step.name
                        ),
                    )
                    .with_remedy("declare it under `params:` of the flow")
                })?;
                Ok(self.typed(name, value))
            }
        }
    }

    /// A parameter's value as its type has it; one of the step's own as it is.
    fn typed(&self, name: &str, value: &Json) -> Bound {
        use mulgil_core::flow::ParamType;
        let declared = self.flow.params.iter().find(|param| param.name == name);
        let kind = declared
            .filter(|_| !self.step.params.contains_key(name))
            .map(|param| param.kind);
        match (kind, value) {
            (Some(ParamType::Date), Json::String(text)) => Bound::Date(text.clone()),
            (Some(ParamType::Timestamp), Json::String(text)) => Bound::Moment(text.clone()),
            (_, value) => Bound::Plain(value.clone()),
        }
    }

    /// What the names in the SQL mean: those of `ref` and `source`, and plain ones.
    fn bindings(&self, rendered: &Rendered, seen: &Seen) -> Vec<Binding> {
        let nothing = Rendering::plain(Facts::sentinels("", false), Rendered::default());
        let nobody = test_query::unresolved(&self.step.name, self.flow.file.clone(), nothing);
        let catalog = &self.compiler.inner.catalog;
        let reader = Reader {
            catalog,
            model: &nobody,
            key: &Key::default(),
            range: None,
            seen,
        };
        let mut bindings = reader.bindings(&rendered.mentions, None, true);
        for parts in sql::relations(&rendered.sql) {
            let found = match parts.as_slice() {
                [name] => catalog
                    .model(&NodeName::new(name))
                    .map(|model| (None, name.clone(), reader.node(model, None, true))),
                [schema, name] => {
                    let source = catalog.sources.get(&NodeName::new(format!("{schema}.{name}")));
                    let mut models = catalog.models.iter();
                    let model = models.find(|model| model.relation.schema == *schema && model.relation.name == *name);
                    source
                        .map(|source| reader::source_binding(source, None, seen).reads)
                        .or_else(|| {
                            let stored = model.filter(|model| model.config.kind != Kind::Ephemeral)?;
                            Some(reader.node(stored, None, true))
                        })
                        .map(|reads| (Some(schema.clone()), name.clone(), reads))
                }
                _ => None,
            };
            let Some((schema, name, reads)) = found else { continue };
            if !bindings.iter().any(|own| own.schema == schema && own.name == name) {
                bindings.push(Binding { schema, name, reads });
            }
        }
        bindings
    }
}

fn facts(flow: &Flow, step: &Step, context: &StepContext) -> Facts {
    let zone = &flow.grid.zone;
    let asks = has_template(step);
    // Their outputs may be large, and most steps ask for none.
    let ended = context.steps.iter().filter(|_| asks).map(|(name, ended)| {
        let told = json!({"state": ended.state.as_str(), "rows": ended.rows, "output": ended.output});
        (name.clone(), told)
    });
    let params = context.params.iter();
    Facts {
        model: step.name.clone(),
        this: String::new(),
        zone: zone.clone(),
        interval: context.interval.unwrap_or(Interval::WHOLE),
        is_incremental: false,
        key: None,
        prints_key_words: false,
        run: Some(RunFacts {
            started_at: context.started_at,
            invocation_id: context.run_id.clone(),
        }),
        sentinels: false,
        words: BTreeMap::from([
            (
                "flow".to_owned(),
                json!({"name": flow.name, "version": flow.fingerprint.to_string()}),
            ),
            ("step".to_owned(), json!({"name": step.name})),
            (
                "run".to_owned(),
                json!({
                    "id": context.run_id,
                    "started_at": rfc3339(context.started_at, zone),
                    "scheduled_at": context.scheduled_at.map(|at| rfc3339(at, zone)),
                    "attempt": context.attempt,
                    "idempotency_id": context.idempotency_id,
                }),
            ),
        ]),
        flow: Some(FlowFacts {
            params: params
                .map(|(name, value)| (name.clone(), Some(value.clone())))
                .collect(),
            steps: Some(Arc::new(ended.collect())),
        }),
    }
}

/// Whether any text of a step is rendered.
fn has_template(step: &Step) -> bool {
    let holds = |template: &Template| is_template(&template.text);
    let kind = match &step.kind {
        StepKind::Sql { script, .. } => holds(script),
        StepKind::Models { .. } => false,
        StepKind::Command { program, cwd } => {
            let program = match program {
                Program::Words(words) => words.iter().any(holds),
                Program::Shell(text) => holds(text),
            };
            program || cwd.iter().any(holds)
        }
        StepKind::Python { args, cwd, .. } => args.iter().chain(cwd).any(holds),
    };
    let mut values = step.params.values();
    kind || step.when.iter().any(holds)
        || step.env.values().any(holds)
        || values.any(|value| is_template(&value.to_string()))
}

/// The one expression that a text is.
fn expression(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let is_one = ["{{", "}}", "{%", "{#"].iter().all(|mark| !inner.contains(mark));
    is_one.then(|| inner.trim_matches(['-', '+']).trim())
}

fn cut(text: &str) -> String {
    const SHOWN: usize = 60;
    let text = text.trim();
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    text.chars().take(SHOWN).chain(['…']).collect()
}
