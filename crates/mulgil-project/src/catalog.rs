//! The models, seeds and sources of a project while it is put together and when its queries are
//! rendered, and how one reads another: views and ephemeral models are looked through.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
};

use mulgil_core::{
    grid::{Grid, Unit},
    mapping::Mapping,
    name::{NodeName, Relation},
    project::{FileFormat, FilePattern, Fingerprint, Input, Source, Upstream},
};

use crate::{
    config::{Config, Kind},
    data_test::Rows,
    rendering::Rendering,
    template::Mention,
};

/// A model or a seed.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) name: NodeName,
    /// What it is, for messages.
    pub(crate) noun: &'static str,
    /// From the project folder.
    pub(crate) file: PathBuf,
    pub(crate) config: Config,
    pub(crate) relation: Relation,
    pub(crate) grid: Grid,
    /// Its SQL with sentinels, first without `is_incremental()`: the only text of most models and
    /// of every view. Empty for a seed.
    pub(crate) first: Rendering,
    /// The other texts that it can be.
    pub(crate) others: Vec<Rendering>,
    /// The template's own text, where it does more with the interval than print it.
    pub(crate) branches: Option<String>,
    /// What it reads directly, in all renderings, each once.
    pub(crate) reads: Vec<Read>,
    /// What its hooks read, each once: it has to be there, and its rows are no part of this one's.
    pub(crate) hook_reads: Vec<Upstream>,
    /// What it reads, with views and ephemeral models looked through.
    pub(crate) bases: Vec<Base>,
    /// Whether something that it reads is broken, so that a consequence is not worth a word.
    pub(crate) reads_broken: bool,
    /// The file's facts, for a seed.
    pub(crate) seed: Option<SeedFile>,
}

impl Model {
    /// All texts that its SQL can be.
    pub(crate) fn renderings(&self) -> impl Iterator<Item = &Rendering> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Whether its SQL names what the test looks for.
    pub(crate) fn mentions(&self, test: impl Fn(&Mention) -> bool) -> bool {
        self.renderings().any(|one| one.rendered.mentions.iter().any(&test))
    }
}

/// The file of a seed, as it was read.
#[derive(Clone, Debug)]
pub(crate) struct SeedFile {
    pub(crate) content: Fingerprint,
    pub(crate) size: u64,
    pub(crate) modified_ns: i64,
    pub(crate) format: FileFormat,
    /// Types that are given, in the words of SQL.
    pub(crate) columns: BTreeMap<String, String>,
}

/// Something that a model's SQL names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) from: Upstream,
    /// Named only as `.render()`: without a filter.
    pub(crate) unscoped: bool,
}

/// Something stored, or a source, that a model's rows come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) from: Upstream,
    pub(crate) unscoped: bool,
    /// The name in the SQL: the view's, where it was looked through.
    pub(crate) via: NodeName,
}

/// Everything by name.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    /// The project's name.
    pub(crate) project: String,
    /// Upstream first, once they are in order.
    pub(crate) models: Vec<Model>,
    pub(crate) by_name: HashMap<NodeName, usize>,
    pub(crate) sources: BTreeMap<NodeName, Source>,
    /// The data tests that are queries of the project, as models that nothing reads; by their names.
    pub(crate) tests: BTreeMap<String, Model>,
    /// Which rows data tests look at, by their names; those that look at all of them are left out.
    pub(crate) test_rows: BTreeMap<String, Rows>,
}

impl Catalog {
    pub(crate) fn model(&self, name: &NodeName) -> Option<&Model> {
        self.by_name.get(name).and_then(|index| self.models.get(*index))
    }

    /// Looks through the views and ephemeral models that a model reads. Their own bases have to
    /// be there already.
    pub(crate) fn bases_of(&self, model: &Model) -> Vec<Base> {
        let mut bases: Vec<Base> = Vec::new();
        for read in &model.reads {
            let through = match &read.from {
                Upstream::Node(name) => self.model(name).filter(|upstream| upstream.config.kind.is_query()),
                Upstream::Source(_) => None,
            };
            let via = read.from.name().clone();
            match through {
                None => merge(&mut bases, read.from.clone(), read.unscoped, via),
                Some(view) => {
                    for base in &view.bases {
                        merge(
                            &mut bases,
                            base.from.clone(),
                            read.unscoped || base.unscoped,
                            via.clone(),
                        );
                    }
                }
            }
        }
        bases
    }

    /// What a model's SQL names, ephemeral models looked through, each once: what selectors follow.
    pub(crate) fn reads_of(&self, model: &Model) -> Vec<Upstream> {
        let mut named: Vec<&Upstream> = Vec::new();
        let mut left: Vec<&Upstream> = model.hook_reads.iter().rev().collect();
        left.extend(model.reads.iter().rev().map(|read| &read.from));
        while let Some(from) = left.pop() {
            if named.contains(&from) {
                continue;
            }
            named.push(from);
            if let Some(ephemeral) = self.ephemeral(from) {
                left.extend(ephemeral.reads.iter().rev().map(|read| &read.from));
            }
        }
        let kept = named.into_iter().filter(|from| self.ephemeral(from).is_none());
        kept.cloned().collect()
    }

    fn ephemeral(&self, upstream: &Upstream) -> Option<&Model> {
        match upstream {
            Upstream::Node(name) => self.model(name).filter(|model| model.config.kind == Kind::Ephemeral),
            Upstream::Source(_) => None,
        }
    }

    /// The inputs of a model, as the plan sees them.
    pub(crate) fn inputs_of(&self, model: &Model) -> Vec<Input> {
        let mut inputs: Vec<Input> = Vec::new();
        for base in &model.bases {
            let mapping = self.mapping(&model.config, base);
            match inputs.iter_mut().find(|input| input.from == base.from) {
                // Of two ways to read one thing, the plan follows the one that reads more of it.
                Some(input) => input.mapping = wider(input.mapping, mapping),
                None => inputs.push(Input {
                    from: base.from.clone(),
                    mapping,
                    shared_keys: self.shared_keys(&model.config, &base.from),
                }),
            }
        }
        for from in self.hook_bases(model) {
            if !inputs.iter().any(|input| input.from == from) {
                inputs.push(Input {
                    from,
                    mapping: Mapping::Whole { restates: false },
                    shared_keys: Vec::new(),
                });
            }
        }
        inputs
    }

    /// What is stored of all that the hooks of a model read.
    fn hook_bases(&self, model: &Model) -> Vec<Upstream> {
        let through = |from: &Upstream| match from {
            Upstream::Node(name) => match self.model(name) {
                Some(view) if view.config.kind.is_query() => view.bases.iter().map(|base| base.from.clone()).collect(),
                Some(_) | None => vec![from.clone()],
            },
            Upstream::Source(_) => vec![from.clone()],
        };
        model.hook_reads.iter().flat_map(through).collect()
    }

    /// How much of a base one interval of the reader reads.
    pub(crate) fn mapping(&self, reader: &Config, base: &Base) -> Mapping {
        if reader.kind != Kind::Interval {
            return Mapping::Whole { restates: true };
        }
        if base.unscoped {
            return Mapping::Whole { restates: false };
        }
        let names = [base.from.name().as_str(), base.via.as_str()];
        if !self.has_intervals(&base.from) {
            let restates = reader.restate_on.iter().any(|(name, _)| names.contains(&name.as_str()));
            return Mapping::Whole { restates };
        }
        names
            .iter()
            .find_map(|name| reader.reads.get(*name))
            .map_or(Mapping::Overlap, |window| Mapping::Window {
                count: window.count,
                unit: window.unit,
            })
    }

    /// Whether what is read has parts by time that a plan can tell apart.
    pub(crate) fn has_intervals(&self, upstream: &Upstream) -> bool {
        match upstream {
            Upstream::Node(name) => self
                .model(name)
                .is_some_and(|model| model.config.kind == Kind::Interval),
            Upstream::Source(name) => self.sources.get(name).is_some_and(|source| match &source.files {
                FilePattern::PerInterval { .. } => true,
                FilePattern::Single(_) => source.event_time.is_some(),
            }),
        }
    }

    fn shared_keys(&self, reader: &Config, upstream: &Upstream) -> Vec<String> {
        let Upstream::Node(name) = upstream else {
            return Vec::new();
        };
        let Some(upstream) = self.model(name) else {
            return Vec::new();
        };
        reader
            .keys
            .iter()
            .filter(|column| upstream.config.keys.iter().any(|other| other.name == column.name))
            .map(|column| column.name.clone())
            .collect()
    }
}

fn merge(bases: &mut Vec<Base>, from: Upstream, unscoped: bool, via: NodeName) {
    match bases.iter_mut().find(|base| base.from == from && base.via == via) {
        Some(base) => base.unscoped &= unscoped,
        None => bases.push(Base { from, unscoped, via }),
    }
}

fn wider(one: Mapping, other: Mapping) -> Mapping {
    // Windows of other units by their usual length, to compare them.
    let hours = |unit| match unit {
        Unit::Hour => 1,
        Unit::Day => 24,
        Unit::Week => 24 * 7,
        Unit::Month => 24 * 30,
        Unit::Year => 24 * 365,
    };
    let rank = |mapping| match mapping {
        Mapping::Whole { restates: false } => (0, 0),
        Mapping::Overlap => (1, 0),
        Mapping::Window { count, unit } => (2, u64::from(count) * hours(unit)),
        Mapping::Whole { restates: true } => (3, 0),
    };
    if rank(other) > rank(one) { other } else { one }
}
