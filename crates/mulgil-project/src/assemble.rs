//! From files to a project: reads, renders with sentinels, resolves, checks, and puts the nodes
//! together. A model that is broken is left out of the later steps, and so are the faults that
//! would only follow from it.

mod nodes;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place, Severity},
    grid::Grid,
    name::{NodeName, Relation},
    project::{DataTest, Fingerprint, Node, Project},
};

use crate::{
    LoadOptions, Loaded, Settings, branches,
    catalog::{Catalog, Model, SeedFile},
    check,
    compile::{self, Compiler},
    config::{self, Config, Kind, Layer, Setting},
    dbt_project,
    dialect::{Dialect, OF_MODELS, Words, no_effect},
    files::{self, DataFile, Files, TextFile},
    generic,
    hooks::RunHooks,
    manifest::{self, Manifest},
    mentions::{self, Known},
    properties::{Context, Described, Properties},
    rendered,
    rendering::{self, Rendering},
    seeds,
    template::{Facts, Globals, Mention, Rendered, Templates},
    values, yaml,
};

/// Loads the project in a folder.
pub(crate) fn load(root: &Path, options: &LoadOptions) -> Loaded {
    let mut faults = Vec::new();
    let mut settings = Settings::default();
    let loaded = files::read_manifests(root, &mut faults)
        .and_then(|texts| manifest::read(root, &texts, options, &mut faults))
        .map(|manifest| {
            settings = manifest.settings.clone();
            let mut assembly = Assembly::new(root, options, manifest, &mut faults);
            settings.ledger = assembly.ledger(&mut faults);
            assembly.run(&mut faults)
        });
    faults.sort_by(|one, other| one.place.cmp(&other.place));
    let usable = !faults.iter().any(|fault| fault.severity == Severity::Error);
    let (project, compiler) = loaded.filter(|_| usable).unzip();
    Loaded {
        project,
        compiler,
        settings,
        diagnostics: faults,
    }
}

/// A project while it is put together.
pub(crate) struct Assembly<'a> {
    pub(crate) root: &'a Path,
    pub(crate) manifest: Manifest,
    pub(crate) templates: Templates,
    pub(crate) properties: Properties,
    pub(crate) files: Files,
    pub(crate) known: Known,
    pub(crate) catalog: Catalog,
    /// What is run around a run.
    pub(crate) run_hooks: RunHooks,
    /// The data tests of files of their own, by the nodes that they belong to.
    pub(crate) own_tests: BTreeMap<NodeName, Vec<DataTest>>,
}

impl<'a> Assembly<'a> {
    fn new(root: &'a Path, options: &LoadOptions, mut manifest: Manifest, faults: &mut Vec<Diagnostic>) -> Self {
        let mut vars = std::mem::take(&mut manifest.vars);
        vars.extend(options.vars.clone());
        let mut globals = Globals {
            vars,
            env: options.env.clone(),
            environment: options.environment.clone(),
            kind: "mulgil".to_owned(),
            threads: 1,
            project: manifest.name.clone(),
            ..Globals::default()
        };
        if let Some(target) = &manifest.target {
            globals.aim_at(target);
        }
        globals.schema.clone_from(&manifest.schema);
        let templates = Templates::new(globals);
        let catalog = Catalog {
            project: manifest.name.clone(),
            ..Catalog::default()
        };
        Self {
            files: files::read(root, &manifest.paths, faults),
            root,
            manifest,
            templates,
            properties: Properties::default(),
            known: Known::default(),
            catalog,
            run_hooks: RunHooks::default(),
            own_tests: BTreeMap::new(),
        }
    }

    /// The URL of the ledger's database. It holds a password, so no fault shows it.
    fn ledger(&mut self, faults: &mut Vec<Diagnostic>) -> Option<String> {
        let node = self.manifest.ledger.take()?;
        let file = Path::new(files::MANIFEST);
        let written = yaml::text(file, &node, "`ledger`", faults)?;
        let place = node.spot.of(file);
        let url = rendered::text(&written, &place, &self.templates, faults);
        if url.trim().is_empty() {
            return None;
        }
        if !["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| url.starts_with(scheme))
        {
            faults.push(
                Diagnostic::error(codes::BAD_VALUE, "`ledger` is no URL of a PostgreSQL database")
                    .at(place)
                    .with_remedy(
                        "write `ledger: \"{{ env_var('LEDGER_URL') }}\"` with a URL such as `postgres://user:password@host/database`; \
                         without the key the ledger is a file in `.mulgil`",
                    ),
            );
            return None;
        }
        Some(url)
    }

    fn run(mut self, faults: &mut Vec<Diagnostic>) -> (Project, Compiler) {
        self.parse(faults);
        self.add_seeds(faults);
        self.add_models(faults);
        self.add_snapshots(faults);
        self.describe(faults);
        mentions::resolve(&mut self.catalog, &self.known, &self.templates, faults);
        self.add_hooks(faults);
        self.sort(faults);
        self.cut_time(faults);
        check::relations(&self.catalog, faults);
        check::sql(&self.catalog, &self.templates, faults);
        self.add_tests(faults);
        let nodes = self.nodes(faults);
        if self.catalog.models.is_empty() && self.files.flows.is_empty() && faults.is_empty() {
            faults.push(
                Diagnostic::warning(
                    codes::EMPTY_PROJECT,
                    "the project has no models and no seeds, so nothing is to do",
                )
                .at(Place::file(match self.manifest.dialect {
                    Dialect::Own => files::MANIFEST,
                    Dialect::Dbt => files::DBT_MANIFEST,
                }))
                .with_remedy("write a SELECT into a file such as `models/first.sql`"),
            );
        }
        let mut project = self.project(nodes);
        self.add_flows(&mut project, faults);
        let compiler = self.compiler(&project);
        (project, compiler)
    }

    /// Reads all texts, so that everything is known before anything is asked for.
    fn parse(&mut self, faults: &mut Vec<Diagnostic>) {
        let mut of_macros = Vec::new();
        for TextFile { path, text } in std::mem::take(&mut self.files.macros) {
            self.templates.add_macros(&path, text, &mut of_macros);
        }
        let dialect = self.manifest.dialect;
        // Many macros of a dbt project are never asked here; a model that asks a broken one fails.
        faults.extend(of_macros.into_iter().map(|fault| dialect.softened(fault)));
        let macros = self.templates.macros();
        if dialect == Dialect::Dbt {
            dbt_project::unasked_macros(&macros, faults);
        }
        let own_tests: Vec<String> = macros
            .iter()
            .filter_map(|name| name.strip_prefix(generic::PREFIX))
            .map(str::to_owned)
            .collect();
        for TextFile { path, text } in std::mem::take(&mut self.files.properties) {
            let context = Context {
                dialect,
                project: &self.manifest.name,
                tests: &self.manifest.tests,
                own_tests: &own_tests,
                templates: &self.templates,
            };
            self.properties.read(&path, &text, context, faults);
        }
        for (path, what) in std::mem::take(&mut self.files.unread) {
            faults.push(no_effect(what).at(Place::file(path)));
        }
        for mut source in std::mem::take(&mut self.manifest.sources) {
            if let Some(described) = self.properties.sources.get(source.name.as_str()) {
                source.description = source.description.or_else(|| described.description.clone());
            }
            self.catalog.sources.insert(source.name.clone(), source);
        }
    }

    fn add_seeds(&mut self, faults: &mut Vec<Diagnostic>) {
        for DataFile {
            path,
            bytes,
            modified_ns,
        } in std::mem::take(&mut self.files.seeds)
        {
            let Some(name) = self.claim_name(&path, faults) else {
                continue;
            };
            let mut layer = self.manifest.seeds.layer_of(&path);
            let own = self.properties.seeds.get(name.as_str()).map(|one| &one.settings);
            if let Some(own) = own {
                config::overlay(&mut layer, own);
            }
            if !config::is_enabled(&layer, faults) {
                self.known.disabled.insert(name);
                continue;
            }
            let reading = seeds::Reading {
                dialect: self.manifest.dialect,
                layer: &layer,
                own,
            };
            let (format, columns) = reading.read(&bytes, faults);
            let config = config::seed(&layer, &self.manifest.zone, faults);
            let seed = SeedFile {
                format,
                columns,
                content: Fingerprint::of([bytes.as_slice()]),
                size: bytes.len() as u64,
                modified_ns,
            };
            let nothing = Rendering::plain(Facts::sentinels(name.as_str(), false), Rendered::default());
            self.add(name, path, config, vec![nothing], Some(seed));
        }
    }

    fn add_models(&mut self, faults: &mut Vec<Diagnostic>) {
        for TextFile { path, text } in std::mem::take(&mut self.files.models) {
            let Some(name) = self.claim_name(&path, faults) else {
                continue;
            };
            if let Err(fault) = self.templates.add(&path, text) {
                faults.push(fault);
                self.known.broken.insert(name);
                continue;
            }
            self.add_model(name, path, faults);
        }
    }

    fn add_model(&mut self, name: NodeName, path: PathBuf, faults: &mut Vec<Diagnostic>) {
        let facts = Facts::sentinels(name.as_str(), false);
        let first = match self.templates.render(&path, &facts) {
            Ok(rendered) => rendered,
            Err(fault) => {
                faults.push(fault);
                self.known.broken.insert(name);
                return;
            }
        };
        let described = self.properties.models.get(name.as_str());
        let in_file = self.settings_in_file(&path, &first, OF_MODELS, faults);
        check_one_schedule(&name, &in_file, described, faults);
        let mut own = described
            .map(|described| described.settings.clone())
            .unwrap_or_default();
        config::overlay(&mut own, &in_file);
        let mut layer = self.manifest.models.layer_of(&path);
        config::overlay(&mut layer, &own);
        if !config::is_enabled(&layer, faults) {
            self.known.disabled.insert(name);
            return;
        }
        let config = config::model(&layer, &self.manifest.zone, &own, faults);
        let first = Rendering::plain(facts, first);
        let renderings = rendering::all(&self.templates, &path, first.clone(), &config).unwrap_or_else(|fault| {
            faults.push(fault);
            vec![first]
        });
        self.add(name, path, config, renderings, None);
    }

    pub(crate) fn add(
        &mut self,
        name: NodeName,
        file: PathBuf,
        config: Config,
        mut renderings: Vec<Rendering>,
        seed: Option<SeedFile>,
    ) {
        let schema = match &config.target_schema {
            Some(whole) => whole.clone(),
            None => self.manifest.schema_of(config.schema.as_deref()),
        };
        let branches = self.branches(&file, &renderings);
        self.catalog.by_name.insert(name.clone(), self.catalog.models.len());
        self.catalog.models.push(Model {
            relation: Relation {
                schema,
                name: config.alias.clone().unwrap_or_else(|| name.to_string()),
            },
            grid: Grid {
                cut: config.cut.clone(),
                zone: config.zone.clone(),
                begin: None,
                end: None,
            },
            name,
            noun: if config.kind == Kind::Snapshot {
                "snapshot"
            } else {
                "model"
            },
            file,
            config,
            first: renderings.remove(0),
            others: renderings,
            branches,
            reads: Vec::new(),
            hook_reads: Vec::new(),
            bases: Vec::new(),
            reads_broken: false,
            seed,
        });
    }

    /// The text of the template and of its macros, where one of them branches on the interval.
    fn branches(&self, file: &Path, renderings: &[Rendering]) -> Option<String> {
        let is_time = |mention: &Mention| matches!(mention, Mention::Interval(_));
        let mut mentions = renderings.iter().flat_map(|one| &one.rendered.mentions);
        if !mentions.any(is_time) {
            return None;
        }
        let macros = renderings.iter().flat_map(|one| &one.rendered.macro_files);
        let files: BTreeSet<&Path> = macros.map(PathBuf::as_path).chain([file]).collect();
        let sources: Vec<String> = files
            .into_iter()
            .filter_map(|file| self.templates.source(file))
            .collect();
        let branches = sources.iter().any(|source| branches::on_interval(source));
        branches.then(|| {
            sources
                .iter()
                .map(|source| branches::canonical(source) + "\n")
                .collect()
        })
    }

    /// The name that a file gives, if it is one and is free.
    fn claim_name(&mut self, path: &Path, faults: &mut Vec<Diagnostic>) -> Option<NodeName> {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        self.claim(stem, path, faults)
    }

    /// A name, if it is one and is free.
    pub(crate) fn claim(&mut self, stem: &str, path: &Path, faults: &mut Vec<Diagnostic>) -> Option<NodeName> {
        if let Some(why) = values::bad_name(stem) {
            faults.push(
                Diagnostic::error(
                    codes::BAD_NAME,
                    format!("a model or seed cannot be named `{stem}`: {why}"),
                )
                .at(Place::file(path))
                .with_remedy("rename the file; its name is the table's name"),
            );
            return None;
        }
        let name = NodeName::new(stem);
        // Names that differ in case alone would be one folder on some disks and one word in SQL.
        if let Some(first) = self.known.files.get(&stem.to_lowercase()) {
            faults.push(
                Diagnostic::error(
                    codes::DUPLICATE_NAME,
                    format!("there are two models or seeds named `{stem}`"),
                )
                .at(Place::file(path))
                .with_related(Place::file(first), "the other one")
                .with_remedy("rename one of the files"),
            );
            return None;
        }
        self.known.files.insert(stem.to_lowercase(), path.to_path_buf());
        self.known.names.insert(name.clone());
        Some(name)
    }

    pub(crate) fn settings_in_file(
        &self,
        path: &Path,
        first: &Rendered,
        words: Words,
        faults: &mut Vec<Diagnostic>,
    ) -> Layer {
        let mut layer = Layer::new();
        for mention in &first.mentions {
            let Mention::Config(settings) = mention else { continue };
            let mut of_call = Layer::new();
            for (key, value) in settings {
                let place = self.templates.locate_setting(path, key);
                if words.known.contains(&key.as_str()) {
                    let value = value.clone();
                    of_call.insert(config::spelled(key).to_owned(), Setting { value, place });
                } else {
                    faults.extend(words.fault(key, place, "`config()`", self.manifest.dialect));
                }
            }
            config::overlay(&mut layer, &of_call);
        }
        layer
    }

    fn project(&self, nodes: Vec<Node>) -> Project {
        Project {
            name: self.manifest.name.clone(),
            environment: self.manifest.environment.clone(),
            zone: self.manifest.zone.clone(),
            schema: self.manifest.schema.clone(),
            root: self.root.to_path_buf(),
            warehouse: self.manifest.warehouse.clone(),
            sources: self.catalog.sources.values().cloned().collect(),
            nodes,
            flows: Vec::new(),
            webhooks: BTreeMap::new(),
        }
    }

    fn compiler(self, project: &Project) -> Compiler {
        Compiler::new(Arc::new(compile::Inner {
            templates: self.templates,
            catalog: self.catalog,
            run_hooks: self.run_hooks,
            batches: project
                .nodes
                .iter()
                .map(|node| (node.name.clone(), node.batch))
                .collect(),
        }))
    }
}

/// A schedule has one owner: a file and its description that differ name two.
fn check_one_schedule(name: &NodeName, in_file: &Layer, described: Option<&Described>, faults: &mut Vec<Diagnostic>) {
    let in_yaml = described.and_then(|described| described.settings.get("schedule"));
    if let (Some(one), Some(other)) = (in_file.get("schedule"), in_yaml)
        && one.value != other.value
    {
        faults.push(
            Diagnostic::error(
                codes::TWO_SCHEDULES,
                format!("the model `{name}` has two schedules that differ"),
            )
            .at(one.place.clone())
            .with_related(other.place.clone(), "the other schedule")
            .with_remedy("remove one of them"),
        );
    }
}
