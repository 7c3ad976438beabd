//! The queries of a loaded project: SQL rendered for an interval, with what its names mean. Pure:
//! the files that a source has are told, nothing is looked at.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::PathBuf,
    sync::Arc,
};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place},
    grid::Grid,
    interval::{Instant, Interval},
    location::StoreOptions,
    name::{Instance, Key, NodeName},
    port::Fault,
    project::{Batch, DataTest, FilePattern, Source},
    task::{Binding, BoundTest, FileSeen, FillQuery, Reads},
};

use crate::{
    catalog::{Catalog, Model, SeedFile},
    config::Kind,
    hooks::RunHooks,
    reader::{self, Reader, Seen},
    rendering::Rendering,
    snapshot,
    template::{Facts, Mention, Rendered, RunFacts, Templates},
    test_query,
    test_sql::{limited, row_breaks_if, test_sql},
};

/// Renders the queries of a project. Cheap to clone, and shared between threads.
#[derive(Clone)]
pub struct Compiler {
    pub(crate) inner: Arc<Inner>,
    run: Option<RunFacts>,
}

/// What a compiler holds.
pub(crate) struct Inner {
    pub(crate) templates: Templates,
    pub(crate) catalog: Catalog,
    pub(crate) run_hooks: RunHooks,
    pub(crate) batches: HashMap<NodeName, Batch>,
}

impl fmt::Debug for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiler").finish_non_exhaustive()
    }
}

impl Compiler {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        Self { inner, run: None }
    }

    /// The same compiler for one run: `run_started_at` and `invocation_id` have values then.
    #[must_use]
    pub fn for_run(&self, run: RunFacts) -> Self {
        Self {
            inner: self.inner.clone(),
            run: Some(run),
        }
    }

    /// The queries of a fill, in the order of time: one for the whole range, or one for each batch
    /// of intervals that may be filled together. `seen` is what the ledger knows of sources.
    pub fn fill_queries(
        &self,
        instance: &Instance,
        range: Interval,
        is_incremental: bool,
        seen: &Seen,
    ) -> Result<Vec<FillQuery>, Fault> {
        let model = self.model(&instance.node)?;
        if let Some(seed) = &model.seed {
            return Ok(vec![seed_query(model, seed, range)]);
        }
        self.parts(model, range)
            .into_iter()
            .map(|part| {
                let rendered = self.render(model, &instance.key, part, is_incremental)?;
                let reader = Reader {
                    catalog: &self.inner.catalog,
                    model,
                    key: &instance.key,
                    range: Some(part),
                    seen,
                };
                Ok(FillQuery {
                    range: part,
                    bindings: reader.bindings(&rendered.mentions, None, false),
                    sql: rendered.sql,
                })
            })
            .collect()
    }

    /// What the names in a person's query mean: every node that exists by its name and by
    /// `schema.name`, and every source as `"group"."table"`.
    pub fn query_bindings(&self, exists: &dyn Fn(&NodeName) -> bool, seen: &Seen) -> Vec<Binding> {
        let catalog = &self.inner.catalog;
        let mut bindings = Vec::new();
        let stored = catalog
            .models
            .iter()
            .filter(|model| model.config.kind != Kind::Ephemeral);
        for model in stored.filter(|model| exists(&model.name)) {
            let reads = self.whole(model, seen);
            bindings.push(Binding {
                schema: Some(model.relation.schema.clone()),
                name: model.relation.name.clone(),
                reads: reads.clone(),
            });
            bindings.push(Binding {
                schema: None,
                name: model.name.to_string(),
                reads,
            });
        }
        bindings.extend(
            catalog
                .sources
                .values()
                .map(|source| reader::source_binding(source, None, seen)),
        );
        bindings
    }

    /// A data test's query, over the whole relation: the rows that it returns are failures. `seen`
    /// is what the ledger knows of sources, which a view may read.
    pub fn bound_test(&self, node: &NodeName, test: &DataTest, seen: &Seen) -> Result<BoundTest, Fault> {
        let rows = self
            .inner
            .catalog
            .test_rows
            .get(&test.name)
            .cloned()
            .unwrap_or_default();
        let Some(sql) = test_sql(node, &test.kind, &rows) else {
            return self.bound_query(test, rows.limit, seen);
        };
        let mut bindings = vec![Binding {
            schema: None,
            name: node.to_string(),
            reads: self.whole(self.model(node)?, seen),
        }];
        for other in test.kind.looks_into().iter().filter(|other| *other != node) {
            bindings.push(Binding {
                schema: None,
                name: other.to_string(),
                reads: self.whole(self.model(other)?, seen),
            });
        }
        Ok(BoundTest {
            row_breaks_if: row_breaks_if(&test.kind, &rows),
            test: test.clone(),
            sql,
            bindings,
        })
    }

    /// A data test whose query the project writes itself.
    fn bound_query(&self, test: &DataTest, limit: Option<u32>, seen: &Seen) -> Result<BoundTest, Fault> {
        let catalog = &self.inner.catalog;
        let query = catalog.tests.get(&test.name).ok_or_else(|| {
            Diagnostic::error(
                codes::NOT_FOUND,
                format!("the project has no data test `{}`", test.name),
            )
        })?;
        let rendered = self.render(query, &Key::default(), Interval::WHOLE, false)?;
        let reader = Reader {
            catalog,
            model: query,
            key: &Key::default(),
            range: None,
            seen,
        };
        Ok(BoundTest {
            row_breaks_if: None,
            test: test.clone(),
            bindings: reader.bindings(&rendered.mentions, None, true),
            sql: limited(rendered.sql, limit),
        })
    }

    /// The values of the environment that its SQL holds because `env_var` gave them. They are to be
    /// kept out of whatever is written to disk.
    pub fn secrets(&self) -> Vec<String> {
        self.inner.templates.globals().secrets()
    }

    /// A model's SQL as it was written.
    pub fn written(&self, node: &NodeName) -> Result<String, Fault> {
        let model = self.model(node)?;
        Ok(self.inner.templates.source(&model.file).unwrap_or_default())
    }

    /// A model's SQL as it is rendered for a range, as on a table that has rows already.
    pub fn rendered(&self, instance: &Instance, range: Interval) -> Result<String, Fault> {
        let model = self.model(&instance.node)?;
        if let Some(seed) = &model.seed {
            return Ok(seed_query(model, seed, range).sql);
        }
        let is_incremental = model.config.kind.keeps_rows();
        Ok(self.render(model, &instance.key, range, is_incremental)?.sql)
    }

    pub(crate) fn model(&self, name: &NodeName) -> Result<&Model, Fault> {
        self.inner.catalog.model(name).ok_or_else(|| {
            Box::new(
                Diagnostic::error(codes::NOT_FOUND, format!("the project has no model or seed `{name}`"))
                    .with_remedy("look at `mulgil status` for the names"),
            )
        })
    }

    /// The range in parts that one query each may fill.
    fn parts(&self, model: &Model, range: Interval) -> Vec<Interval> {
        match self.inner.batches.get(&model.name) {
            Some(Batch::AtMost(count)) if model.grid.is_cut() => {
                let intervals: Vec<Interval> = model.grid.intervals(range).collect();
                intervals
                    .chunks((*count).max(1) as usize)
                    .map(|chunk| Interval {
                        start: chunk[0].start,
                        end: chunk[chunk.len() - 1].end,
                    })
                    .collect()
            }
            Some(Batch::AtMost(_) | Batch::Unbounded) | None => vec![range],
        }
    }

    /// What a template of a model is told.
    pub(crate) fn facts(&self, model: &Model, key: &Key, range: Interval, is_incremental: bool) -> Facts {
        Facts {
            model: model.name.to_string(),
            this: format!("\"{}\".\"{}\"", model.relation.schema, model.relation.name),
            zone: model.grid.zone.clone(),
            interval: range,
            is_incremental: is_incremental && model.config.kind.keeps_rows(),
            key: Some(key.clone()),
            prints_key_words: false,
            run: self.run.clone(),
            sentinels: false,
            words: BTreeMap::new(),
            flow: None,
        }
    }

    fn render(&self, model: &Model, key: &Key, range: Interval, is_incremental: bool) -> Result<Rendered, Fault> {
        let facts = self.facts(model, key, range, is_incremental);
        let mut rendered = self.inner.templates.render(&model.file, &facts).map_err(Box::new)?;
        if let Some(snapshot) = &model.config.snapshot {
            let this = facts.is_incremental.then_some(facts.this.as_str());
            let now = self.run.as_ref().map_or(Instant(0), |run| run.started_at);
            rendered.sql = snapshot::sql(&rendered.sql, snapshot, this, now);
            rendered.mentions.extend(this.map(|_| Mention::This));
        }
        Ok(rendered)
    }

    /// A text as dbt's `--inline` has it: the query that it becomes, and what its names mean.
    ///
    /// # Errors
    /// When the template fails, or names what is not there.
    pub fn inline(&self, text: &str, seen: &Seen) -> Result<(String, Vec<Binding>), Fault> {
        let bad = |why: String| {
            Box::new(
                Diagnostic::error(codes::TEMPLATE_FAILED, why)
                    .with_remedy("look at the names in `ref` and `source`; `mulgil dbt ls` lists them"),
            )
        };
        let (sql, mentions) = self.inner.templates.render_text(text).map_err(bad)?;
        let catalog = &self.inner.catalog;
        for mention in &mentions {
            if let Some(what) = missing(catalog, mention) {
                return Err(bad(format!("the query names {what}, which is not in this project")));
            }
        }
        let nobody = test_query::unresolved(
            "inline",
            PathBuf::from("--inline"),
            Rendering::plain(Facts::sentinels("", false), Rendered::default()),
        );
        let reader = Reader {
            catalog,
            model: &nobody,
            key: &Key::default(),
            range: None,
            seen,
        };
        Ok((sql, reader.bindings(&mentions, None, true)))
    }

    /// A relation as a whole: a table without a scope, a view as its query.
    fn whole(&self, model: &Model, seen: &Seen) -> Reads {
        let reader = Reader {
            catalog: &self.inner.catalog,
            model,
            key: &Key::default(),
            range: None,
            seen,
        };
        reader.node(model, None, true)
    }
}

/// A variable that a text names and that has no value.
pub(crate) fn missing_value(mention: &Mention) -> Option<String> {
    match mention {
        Mention::MissingVar(name) => Some(format!("the variable `{name}`")),
        Mention::MissingEnvVar(name) => Some(format!("the environment variable `{name}`")),
        Mention::Ref { .. }
        | Mention::Source { .. }
        | Mention::Config(_)
        | Mention::Key(_)
        | Mention::Interval(_)
        | Mention::This
        | Mention::Param(_)
        | Mention::Step(_) => None,
    }
}

/// What a text names and the project does not have.
fn missing(catalog: &Catalog, mention: &Mention) -> Option<String> {
    match mention {
        Mention::Ref { name, .. } => {
            let is_there = catalog.by_name.contains_key(&NodeName::new(name));
            (!is_there).then(|| format!("`ref('{name}')`"))
        }
        Mention::Source { group, table, .. } => {
            let is_there = catalog.sources.contains_key(&NodeName::new(format!("{group}.{table}")));
            (!is_there).then(|| format!("`source('{group}', '{table}')`"))
        }
        Mention::MissingVar(_) | Mention::MissingEnvVar(_) => missing_value(mention),
        Mention::Config(_)
        | Mention::Key(_)
        | Mention::Interval(_)
        | Mention::This
        | Mention::Param(_)
        | Mention::Step(_) => None,
    }
}

/// A seed is filled from its file, which is read as a source of that one file.
fn seed_query(model: &Model, seed: &SeedFile, range: Interval) -> FillQuery {
    let source = Source {
        name: model.name.clone(),
        files: FilePattern::Single(model.file.clone()),
        format: seed.format.clone(),
        grid: Grid::whole(model.grid.zone.clone()),
        store: StoreOptions::default(),
        event_time: None,
        zone: model.config.zone.clone(),
        columns: seed.columns.clone(),
        description: None,
        place: Place::file(&model.file),
    };
    FillQuery {
        range,
        sql: format!("select * from \"{}\"", model.name),
        bindings: vec![Binding {
            schema: None,
            name: model.name.to_string(),
            reads: Reads::Seed {
                source,
                file: FileSeen {
                    path: model.file.clone(),
                    size: seed.size,
                    modified_ns: seed.modified_ns,
                    content: seed.content.to_string(),
                    interval: None,
                },
            },
        }],
    }
}
