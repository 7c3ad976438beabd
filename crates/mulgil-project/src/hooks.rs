//! Hooks: SQL that is run around the fill of a model, and around a whole run. Each is a template of its
//! own, rendered with what the model is rendered with; what it names is resolved like a model's SQL, so
//! that it is there when the hook runs. A hook changes no row of its own model's query, so nothing that
//! is filled becomes stale by it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use mulgil_core::{
    diagnostic::{Diagnostic, Place},
    interval::Interval,
    name::{Instance, Key, NodeName},
    port::Fault,
    project::Upstream,
    task::{Hooks, ScriptSpec},
};
use serde_json::{Value as Json, json};

use crate::{
    assemble::Assembly,
    catalog::{Catalog, Model},
    compile::Compiler,
    config::{Hook, Kind},
    dialect::no_effect,
    files::DBT_MANIFEST,
    mentions,
    reader::{Reader, Seen},
    rendering::Rendering,
    template::Facts,
    test_query,
};

/// What `this` is while a project is loaded, as text that a hook may have got from a macro.
const SENTINEL_THIS: &str = "\"__this\"";

/// At which end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edge {
    Before,
    After,
}

impl Edge {
    fn word(self) -> &'static str {
        match self {
            Self::Before => "pre_hook",
            Self::After => "post_hook",
        }
    }
}

/// The hooks of a project, as they are written.
#[derive(Clone, Debug, Default)]
pub(crate) struct OnRun {
    /// `on-run-start`.
    pub(crate) start: Vec<(String, Place)>,
    /// `on-run-end`.
    pub(crate) end: Vec<(String, Place)>,
}

/// The hooks of a project, resolved: models that nothing reads.
#[derive(Debug, Default)]
pub(crate) struct RunHooks {
    start: Vec<Model>,
    end: Vec<Model>,
}

/// How one node, or one of its data tests, ended in a run: an item of `results` in `on-run-end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunResult {
    /// Which.
    pub node: NodeName,
    /// The data test, if it is one.
    pub test: Option<String>,
    /// In dbt's words: `success`, `error`, `skipped`, `pass`, `fail`, `warn`.
    pub status: &'static str,
    /// What was said.
    pub message: Option<String>,
    /// Rows that broke a data test.
    pub failures: Option<u64>,
}

impl Assembly<'_> {
    /// Takes up the hooks of all models and of the project, and what they read.
    pub(crate) fn add_hooks(&mut self, faults: &mut Vec<Diagnostic>) {
        for index in 0..self.catalog.models.len() {
            let reads = self.add_hooks_of(index, faults);
            self.catalog.models[index].hook_reads = reads;
        }
        let on_run = std::mem::take(&mut self.manifest.on_run);
        self.run_hooks = RunHooks {
            start: self.add_run_hooks("on-run-start", on_run.start, faults),
            end: self.add_run_hooks("on-run-end", on_run.end, faults),
        };
    }

    fn add_hooks_of(&mut self, index: usize, faults: &mut Vec<Diagnostic>) -> Vec<Upstream> {
        let model = &self.catalog.models[index];
        let hooks: Vec<(PathBuf, Hook)> = hooks_of(model).map(|(file, hook)| (file, hook.clone())).collect();
        if model.config.kind == Kind::Ephemeral {
            // Nothing is ever run for it; a folder's hooks are not meant for it.
            return Vec::new();
        }
        let mut reads: BTreeSet<Upstream> = BTreeSet::new();
        for (file, hook) in hooks {
            let text = hook.sql.replace(SENTINEL_THIS, "{{ this }}");
            let model = &self.catalog.models[index];
            let facts = Facts::sentinels(model.name.as_str(), model.config.kind.keeps_rows());
            let added = self.templates.add(&file, text);
            let found = added.and_then(|()| self.templates.render(&file, &facts));
            let rendered = match found {
                Ok(rendered) => rendered,
                Err(fault) => {
                    faults.push(of_hook(fault, &hook.place));
                    continue;
                }
            };
            let probe = probe(model, file, Rendering::plain(facts, rendered));
            let found = self.resolved(probe, &hook.place, faults);
            reads.extend(found.reads.into_iter().map(|read| read.from));
        }
        let own = Upstream::Node(self.catalog.models[index].name.clone());
        reads.into_iter().filter(|read| *read != own).collect()
    }

    fn add_run_hooks(
        &mut self,
        word: &'static str,
        texts: Vec<(String, Place)>,
        faults: &mut Vec<Diagnostic>,
    ) -> Vec<Model> {
        let mut hooks = Vec::new();
        for (number, (text, place)) in texts.into_iter().enumerate() {
            let file = PathBuf::from(format!("{DBT_MANIFEST}#{word}.{number}"));
            let facts = Facts {
                words: words_of_end(&[], &[]),
                ..Facts::sentinels(word, false)
            };
            let added = self.templates.add(&file, text);
            match added.and_then(|()| self.templates.render(&file, &facts)) {
                Ok(rendered) => {
                    let hook = test_query::unresolved(word, file, Rendering::plain(facts, rendered));
                    hooks.push(self.resolved(hook, &place, faults));
                }
                Err(fault) => faults.push(of_hook(fault, &place)),
            }
        }
        hooks
    }

    /// A hook with what it reads; what it names and what is not there is told.
    fn resolved(&self, mut hook: Model, place: &Place, faults: &mut Vec<Diagnostic>) -> Model {
        let mut found = Vec::new();
        let (reads, is_broken) = mentions::resolve_one(&hook, &self.catalog, &self.known, &self.templates, &mut found);
        faults.extend(found.into_iter().map(|fault| of_hook(fault, place)));
        hook.reads = reads;
        hook.reads_broken = is_broken;
        hook
    }
}

impl Compiler {
    /// What is run around a fill; hooks that are empty here are left out.
    pub fn hooks(
        &self,
        instance: &Instance,
        range: Interval,
        is_incremental: bool,
        seen: &Seen,
    ) -> Result<Hooks, Fault> {
        let model = self.model(&instance.node)?;
        let mut hooks = Hooks::default();
        for edge in [Edge::Before, Edge::After] {
            for (file, _) in hooks_at(model, edge) {
                let facts = self.facts(model, &instance.key, range, is_incremental);
                let script = self.script(model, &file, &facts, &instance.key, seen)?;
                match edge {
                    Edge::Before => hooks.before.extend(script),
                    Edge::After => hooks.after.extend(script),
                }
            }
        }
        Ok(hooks)
    }

    /// `on-run-start`.
    pub fn run_start(&self, seen: &Seen) -> Result<Vec<ScriptSpec>, Fault> {
        self.around_run(&self.inner.run_hooks.start, BTreeMap::new(), seen)
    }

    /// `on-run-end`, which may look at how each node ended.
    pub fn run_end(&self, results: &[RunResult], seen: &Seen) -> Result<Vec<ScriptSpec>, Fault> {
        let catalog = &self.inner.catalog;
        let results: Vec<(&RunResult, &Model)> = results
            .iter()
            .filter_map(|result| Some((result, catalog.model(&result.node)?)))
            .collect();
        let schemas: BTreeSet<&str> = results
            .iter()
            .map(|(_, model)| model.relation.schema.as_str())
            .collect();
        let results: Vec<Json> = results
            .iter()
            .map(|(result, model)| result_json(catalog, result, model))
            .collect();
        let schemas: Vec<&str> = schemas.into_iter().collect();
        self.around_run(&self.inner.run_hooks.end, words_of_end(&schemas, &results), seen)
    }

    fn around_run(
        &self,
        hooks: &[Model],
        words: BTreeMap<String, Json>,
        seen: &Seen,
    ) -> Result<Vec<ScriptSpec>, Fault> {
        let mut scripts = Vec::new();
        for hook in hooks {
            let facts = Facts {
                words: words.clone(),
                ..self.facts(hook, &Key::default(), Interval::WHOLE, false)
            };
            scripts.extend(self.script(hook, &hook.file, &facts, &Key::default(), seen)?);
        }
        let schema = &self.inner.templates.globals().schema;
        let in_schema = |script| ScriptSpec {
            schema: schema.clone(),
            ..script
        };
        Ok(scripts.into_iter().map(in_schema).collect())
    }

    fn script(
        &self,
        model: &Model,
        file: &Path,
        facts: &Facts,
        key: &Key,
        seen: &Seen,
    ) -> Result<Option<ScriptSpec>, Fault> {
        let rendered = self.inner.templates.render(file, facts).map_err(Box::new)?;
        let reader = Reader {
            catalog: &self.inner.catalog,
            model,
            key,
            range: None,
            seen,
        };
        Ok((!rendered.sql.trim().is_empty()).then(|| ScriptSpec {
            bindings: reader.bindings(&rendered.mentions, None, true),
            sql: rendered.sql,
            zone: model.grid.zone.clone(),
            schema: model.relation.schema.clone(),
            claim: None,
        }))
    }
}

/// The hooks of a model with the names under which their templates are kept.
fn hooks_of(model: &Model) -> impl Iterator<Item = (PathBuf, &Hook)> {
    hooks_at(model, Edge::Before).chain(hooks_at(model, Edge::After))
}

fn hooks_at(model: &Model, edge: Edge) -> impl Iterator<Item = (PathBuf, &Hook)> {
    let hooks = match edge {
        Edge::Before => &model.config.hooks.before,
        Edge::After => &model.config.hooks.after,
    };
    hooks.iter().enumerate().map(move |(number, hook)| {
        let file = hook.place.file.display();
        let name = format!("{file}#{}.{}.{number}", model.name, edge.word());
        (PathBuf::from(name), hook)
    })
}

/// The hook as a model that nothing reads, with the keys and the grid of its own.
fn probe(model: &Model, file: PathBuf, first: Rendering) -> Model {
    Model {
        name: model.name.clone(),
        noun: model.noun,
        file,
        config: model.config.clone(),
        relation: model.relation.clone(),
        grid: model.grid.clone(),
        first,
        others: Vec::new(),
        branches: None,
        reads: Vec::new(),
        hook_reads: Vec::new(),
        bases: Vec::new(),
        reads_broken: false,
        seed: None,
    }
}

/// A fault of a hook's own text, at the setting that holds it.
fn of_hook(fault: Diagnostic, place: &Place) -> Diagnostic {
    let is_own = |at: &Place| at.file.to_string_lossy().contains('#');
    match &fault.place {
        Some(at) if !is_own(at) => fault,
        Some(_) | None => {
            let message = format!("in a hook: {}", fault.message);
            Diagnostic {
                message,
                ..fault.at(place.clone())
            }
        }
    }
}

/// The words that `on-run-end` has beside those of every template.
fn words_of_end(schemas: &[&str], results: &[Json]) -> BTreeMap<String, Json> {
    BTreeMap::from([
        ("schemas".to_owned(), json!(schemas)),
        ("results".to_owned(), json!(results)),
    ])
}

fn result_json(catalog: &Catalog, result: &RunResult, model: &Model) -> Json {
    let (kind, name) = match (&result.test, model.config.kind) {
        (Some(test), _) => ("test", test.as_str()),
        (None, Kind::Seed) => ("seed", model.name.as_str()),
        (None, Kind::Snapshot) => ("snapshot", model.name.as_str()),
        (None, Kind::Table | Kind::View | Kind::Ephemeral | Kind::Interval | Kind::Incremental) => {
            ("model", model.name.as_str())
        }
    };
    let unique_id = format!("{kind}.{}.{name}", catalog.project);
    json!({
        "status": result.status,
        "message": result.message,
        "failures": result.failures,
        "unique_id": unique_id,
        "node": {
            "name": name,
            "unique_id": unique_id,
            "resource_type": kind,
            "package_name": catalog.project,
            "schema": model.relation.schema,
            "alias": model.relation.name,
            "relation_name": model.relation.to_string(),
            "original_file_path": model.file,
        },
    })
}

/// The warning about hooks of an ephemeral model.
pub(crate) fn without_fill(place: Place) -> Diagnostic {
    no_effect("a hook of an ephemeral model, which is never made,")
        .at(place)
        .with_remedy("give the hook to a model that is a table or a view, or remove it")
}
