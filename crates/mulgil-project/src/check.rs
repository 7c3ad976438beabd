//! What can only be checked with the whole project in hand: names that models use, circles,
//! windows, grids, keys, tests.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place},
    grid::{Grid, Zone},
    interval::Instant,
    name::{NodeName, Relation},
    project::{DataTest, TestKind, Upstream},
};

use crate::{
    catalog::{Catalog, Model, Read},
    config::Kind,
    sql,
    template::{Facts, Mention, Templates},
    text,
};

/// The names that files gave, whether they can be used or not.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// By the lower case of the name.
    pub(crate) files: HashMap<String, PathBuf>,
    pub(crate) names: BTreeSet<NodeName>,
    pub(crate) broken: BTreeSet<NodeName>,
    pub(crate) disabled: BTreeSet<NodeName>,
}

/// Resolves what the models mention, and writes down what they read.
pub(crate) fn mentions(catalog: &mut Catalog, known: &Known, templates: &Templates, faults: &mut Vec<Diagnostic>) {
    for index in 0..catalog.models.len() {
        let mut found = Found {
            catalog,
            known,
            model: &catalog.models[index],
            reads: Vec::new(),
            reads_broken: false,
            told: BTreeSet::new(),
            faults: Vec::new(),
        };
        let model = found.model;
        for (incremental, rendered) in model.renderings() {
            let facts = Facts::sentinels(model.name.as_str(), incremental);
            for (at, mention) in rendered.mentions.iter().enumerate() {
                if let Some(fault) = found.mention(mention) {
                    let place = templates.locate(&model.file, &facts, at);
                    // The second rendering repeats the faults of the first.
                    if found.told.insert((place.to_string(), fault.message.clone())) {
                        found.faults.push(fault.at(place));
                    }
                }
            }
        }
        let (reads, reads_broken) = (found.reads, found.reads_broken);
        faults.append(&mut found.faults);
        let model = &mut catalog.models[index];
        model.reads = reads;
        model.reads_broken = reads_broken;
    }
}

struct Found<'a> {
    catalog: &'a Catalog,
    known: &'a Known,
    model: &'a Model,
    reads: Vec<Read>,
    reads_broken: bool,
    told: BTreeSet<(String, String)>,
    faults: Vec<Diagnostic>,
}

impl Found<'_> {
    fn mention(&mut self, mention: &Mention) -> Option<Diagnostic> {
        match mention {
            Mention::Config(_) | Mention::This => None,
            Mention::Ref {
                package,
                name,
                unscoped,
            } => self.reference(package.as_deref(), name, *unscoped),
            Mention::Source { group, table, unscoped } => self.source(group, table, *unscoped),
            Mention::Key(column) => self.key(column),
            Mention::Interval(word) => self.interval(word),
            Mention::MissingVar(name) => Some(missing(codes::UNKNOWN_VAR, "the variable", name, "var", "add it under `vars:` in `mulgil.yml`")),
            Mention::MissingEnvVar(name) => {
                Some(missing(codes::UNKNOWN_ENV_VAR, "the environment variable", name, "env_var", "set it"))
            }
        }
    }

    fn read(&mut self, from: Upstream, unscoped: bool) {
        match self.reads.iter_mut().find(|read| read.from == from) {
            Some(read) => read.unscoped &= unscoped,
            None => self.reads.push(Read { from, unscoped }),
        }
    }

    fn reference(&mut self, package: Option<&str>, name: &str, unscoped: bool) -> Option<Diagnostic> {
        let node = NodeName::new(name);
        let model = &self.model.name;
        if self.catalog.by_name.contains_key(&node) {
            self.read(Upstream::Node(node), unscoped);
            return package.and_then(|package| self.package(package, name));
        }
        self.reads_broken = true;
        if self.known.broken.contains(&node) {
            return None;
        }
        let message = format!("model `{model}` refers to `{name}`, which is not in this project");
        if self.known.disabled.contains(&node) {
            return Some(
                Diagnostic::error(codes::UNKNOWN_REF, format!("model `{model}` refers to `{name}`, which is switched off"))
                    .with_remedy(format!("set `enabled: true` for `{name}`, or remove the reference")),
            );
        }
        let source = self.catalog.sources.keys().find_map(|source| {
            let (group, table) = source.as_str().split_once('.')?;
            (table == name).then(|| format!("write `source('{group}', '{table}')`"))
        });
        let near = text::nearest(name, self.known.names.iter().map(NodeName::as_str));
        let remedy = source.or_else(|| near.map(|near| format!("write `ref('{near}')`"))).unwrap_or_else(|| {
            format!("write the model in `models/{name}.sql`, or declare a source in `mulgil.yml` and write `source('…', '{name}')`")
        });
        Some(Diagnostic::error(codes::UNKNOWN_REF, message).with_remedy(remedy))
    }

    fn package(&self, package: &str, name: &str) -> Option<Diagnostic> {
        let own = self.catalog.project.as_str();
        (package != own).then(|| {
            Diagnostic::error(
                codes::UNKNOWN_REF,
                format!("`ref` names the project `{package}`, but only `{own}` is loaded"),
            )
            .with_remedy(format!("write `ref('{name}')`"))
        })
    }

    fn source(&mut self, group: &str, table: &str, unscoped: bool) -> Option<Diagnostic> {
        let name = NodeName::new(format!("{group}.{table}"));
        if self.catalog.sources.contains_key(&name) {
            self.read(Upstream::Source(name), unscoped);
            return None;
        }
        self.reads_broken = true;
        let known = self.catalog.sources.keys().map(NodeName::as_str);
        let remedy = text::nearest(name.as_str(), known).and_then(|near| near.split_once('.')).map_or_else(
            || "declare it under `sources:` in `mulgil.yml`, with its `files:`".to_owned(),
            |(group, table)| format!("write `source('{group}', '{table}')`"),
        );
        let message = format!("model `{}` reads the source `{name}`, which is not declared", self.model.name);
        Some(Diagnostic::error(codes::UNKNOWN_SOURCE, message).with_remedy(remedy))
    }

    fn key(&self, column: &str) -> Option<Diagnostic> {
        let keys = &self.model.config.keys;
        if keys.iter().any(|key| key.name == column) {
            return None;
        }
        let known = keys.iter().map(|key| key.name.as_str());
        let remedy = text::nearest(column, known.clone()).map_or_else(
            || format!("add `keys={{'{column}': ['…']}}` to `config()`; it has the keys: {}", text::listed(known)),
            |near| format!("write `key.{near}`"),
        );
        let message = format!("model `{}` has no key `{column}`", self.model.name);
        Some(Diagnostic::error(codes::KEYS_MISUSED, message).with_remedy(remedy))
    }

    fn interval(&self, word: &str) -> Option<Diagnostic> {
        (self.model.config.kind != Kind::Interval).then(|| {
            Diagnostic::error(
                codes::NO_INTERVAL_HERE,
                format!(
                    "model `{}` names `{word}`, but it is not filled by intervals, so there is none",
                    self.model.name
                ),
            )
            .with_remedy("add `interval='day'` and `event_time` to `config()`, or remove the word")
        })
    }
}

fn missing(code: mulgil_core::diagnostic::Code, what: &str, name: &str, function: &str, how: &str) -> Diagnostic {
    Diagnostic::error(code, format!("{what} `{name}` has no value"))
        .with_remedy(format!("{how}, or give a default: `{function}('{name}', '…')`"))
}

/// The fault of a circle, at the reference by which the first of it reads the second.
pub(crate) fn cycle_fault(catalog: &Catalog, templates: &Templates, circle: &[usize]) -> Diagnostic {
    let models: Vec<&Model> = circle.iter().map(|index| &catalog.models[*index]).collect();
    let mut path: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
    path.push(path[0]);
    let mut places = models.iter().zip(models.iter().cycle().skip(1)).map(|(reader, upstream)| {
        let what = format!("`{}` reads `{}`", reader.name, upstream.name);
        (place_of_ref(templates, reader, &upstream.name), what)
    });
    let mut fault = Diagnostic::error(
        codes::CYCLE,
        format!("these models read each other in a circle: {}", path.join(" → ")),
    )
    .with_remedy("remove one of these references, or move the shared part into a model of its own");
    if let Some((place, _)) = places.next() {
        fault = fault.at(place);
    }
    for (place, what) in places {
        fault = fault.with_related(place, what);
    }
    fault
}

fn place_of_ref(templates: &Templates, reader: &Model, upstream: &NodeName) -> Place {
    for (incremental, rendered) in reader.renderings() {
        let at = rendered
            .mentions
            .iter()
            .position(|mention| matches!(mention, Mention::Ref { name, .. } if name == upstream.as_str()));
        if let Some(at) = at {
            let facts = Facts::sentinels(reader.name.as_str(), incremental);
            return templates.locate(&reader.file, &facts, at);
        }
    }
    Place::file(&reader.file)
}

/// `reads` and `restate_on`: whether they are of something that the model reads, and that has
/// intervals.
pub(crate) fn reading(model: &Model, catalog: &Catalog, faults: &mut Vec<Diagnostic>) {
    let config = &model.config;
    let windows = config.reads.iter().map(|(name, window)| ("reads", name, &window.place));
    let restates = config.restate_on.iter().map(|(name, place)| ("restate_on", name, place));
    for (key, name, place) in windows.chain(restates) {
        let bases: Vec<_> = model
            .bases
            .iter()
            .filter(|base| base.via.as_str() == name || base.from.name().as_str() == name)
            .collect();
        if model.config.kind != Kind::Interval {
            faults.push(
                Diagnostic::error(codes::NEEDS_INTERVAL, format!("`{key}` has a meaning only for a model that is filled by intervals"))
                    .at(place.clone())
                    .with_remedy(format!("add `interval='day'`, or remove `{key}`")),
            );
        } else if bases.is_empty() && !model.reads_broken {
            let known: BTreeSet<&str> = model.bases.iter().map(|base| base.via.as_str()).collect();
            let remedy = text::nearest(name, known.iter().copied()).map_or_else(
                || format!("remove it; the model reads {}", text::listed(known.iter().copied())),
                |near| format!("write `{near}`"),
            );
            faults.push(
                Diagnostic::error(codes::NOT_READ, format!("`{key}` names `{name}`, which the model `{}` does not read", model.name))
                    .at(place.clone())
                    .with_remedy(remedy),
            );
        } else if key == "reads" && !bases.is_empty() && !bases.iter().any(|base| catalog.has_intervals(&base.from)) {
            faults.push(
                Diagnostic::error(
                    codes::WINDOW_WITHOUT_INTERVALS,
                    format!("`reads` asks for a window of `{name}`, which has no intervals: it is read as a whole"),
                )
                .at(place.clone())
                .with_remedy(format!("remove it, or give `{name}` an interval or an event time")),
            );
        }
    }
}

/// The grid of a model by interval, and what hangs on it.
pub(crate) fn grid(model: &Model, grid: &Grid, faults: &mut Vec<Diagnostic>) {
    let config = &model.config;
    for (key, edge) in [("begin", &config.begin), ("end", &config.end)] {
        if let Some((at, place)) = edge
            && !grid.is_cut_at(*at)
        {
            faults.push(
                Diagnostic::error(
                    codes::OFF_GRID,
                    format!("`{key}` of `{}` is {}, where no interval begins", model.name, shown(*at, &grid.zone)),
                )
                .at(place.clone())
                .with_remedy(format!(
                    "write `{}` or `{}`",
                    shown(grid.floor(*at), &grid.zone),
                    shown(grid.next_cut(*at), &grid.zone)
                )),
            );
        }
    }
    if let (Some(begin), Some(end)) = (grid.begin, grid.end)
        && begin >= end
    {
        let place = config.end.as_ref().or(config.begin.as_ref()).map(|(_, place)| place.clone());
        faults.push(
            Diagnostic::error(
                codes::OFF_GRID,
                format!(
                    "the model `{}` ends at {}, before it begins at {}",
                    model.name,
                    shown(end, &grid.zone),
                    shown(begin, &grid.zone)
                ),
            )
            .at(place.unwrap_or_else(|| Place::file(&model.file)))
            .with_remedy("write a `begin` before the `end`"),
        );
    }
    if grid.begin.is_none() && !model.reads_broken {
        faults.push(
            Diagnostic::error(
                codes::NO_BEGIN,
                format!("the model `{}` has no `begin`, and reads no model by interval to take it from", model.name),
            )
            .at(Place::file(&model.file))
            .with_remedy("add the first day that you want, such as `begin='2022-01-01'`"),
        );
    }
    if config.event_time.is_none() {
        faults.push(
            Diagnostic::error(
                codes::NO_EVENT_TIME,
                format!("the model `{}` does not say which column tells a row's time", model.name),
            )
            .at(Place::file(&model.file))
            .with_remedy("add the column, such as `event_time='event_at'`"),
        );
    }
    if let Some((schedule, place)) = &config.schedule
        && !config.partial
        && schedule.finer_than(grid)
    {
        faults.push(
            Diagnostic::error(
                codes::SCHEDULE_TOO_FINE,
                format!(
                    "the schedule of `{}` ticks more often than its intervals end, so most ticks would do nothing",
                    model.name
                ),
            )
            .at(place.clone())
            .with_remedy("make the interval or the schedule match, or set `partial=true` to fill the open interval too"),
        );
    }
}

/// Two nodes that would write one table.
pub(crate) fn relations(catalog: &Catalog, faults: &mut Vec<Diagnostic>) {
    let mut taken: HashMap<Relation, &Model> = HashMap::new();
    for model in catalog.models.iter().filter(|model| model.config.kind != Kind::Ephemeral) {
        let folded = Relation {
            schema: model.relation.schema.to_lowercase(),
            name: model.relation.name.to_lowercase(),
        };
        if let Some(first) = taken.insert(folded, model) {
            faults.push(
                Diagnostic::error(
                    codes::DUPLICATE_NAME,
                    format!("`{}` and `{}` would both be the table `{}`", first.name, model.name, model.relation),
                )
                .at(Place::file(&model.file))
                .with_related(Place::file(&first.file), "the other one")
                .with_remedy("give one of them another `alias` or `schema`"),
            );
        }
    }
}

/// SQL that is not one query.
pub(crate) fn sql(catalog: &Catalog, templates: &Templates, faults: &mut Vec<Diagnostic>) {
    for model in catalog.models.iter().filter(|model| model.seed.is_none()) {
        for (_, rendered) in model.renderings() {
            if let Err(fault) = sql::parse(&rendered.sql) {
                let place = place_in_source(templates, &model.file, &rendered.sql, fault.at);
                faults.push(
                    Diagnostic::error(codes::SQL_SYNTAX, format!("the SQL of `{}` does not parse: {}", model.name, fault.message))
                        .at(place)
                        .with_remedy("mend the SQL; `mulgil check` names what else is wrong"),
                );
                break;
            }
        }
    }
}

/// Where a place in rendered SQL lies in the file: the same line, if the template left the lines
/// as they are, or the one line that reads the same; without one, the file.
fn place_in_source(templates: &Templates, file: &Path, rendered: &str, at: Option<(usize, usize)>) -> Place {
    let source = templates.source(file).unwrap_or_default();
    let Some((line, column)) = at.filter(|(line, _)| *line > 0) else {
        return Place::file(file);
    };
    let content = rendered.lines().nth(line - 1).unwrap_or_default();
    if source.lines().nth(line - 1) == Some(content) {
        return Place::at(file, line as u32, column as u32);
    }
    let mut same = source.lines().enumerate().filter(|(_, other)| *other == content && !content.trim().is_empty());
    match (same.next(), same.next()) {
        (Some((index, _)), None) => Place::at(file, index as u32 + 1, column as u32),
        _ if source.lines().count() == rendered.lines().count() => text::place_of_line(file, &source, line),
        _ => Place::file(file),
    }
}

/// The data tests of a node.
pub(crate) fn tests(
    tests: &[DataTest],
    model: &Model,
    known: &Known,
    names: &mut BTreeMap<String, Place>,
    faults: &mut Vec<Diagnostic>,
) {
    if let (Some(test), Kind::Ephemeral) = (tests.first(), model.config.kind) {
        faults.push(
            Diagnostic::error(
                codes::BAD_DATA_TEST,
                format!("the model `{}` is ephemeral: it has no rows of its own to test", model.name),
            )
            .at(test.place.clone())
            .with_remedy("make it a view, or test the models that read it"),
        );
    }
    for test in tests {
        if let Some(first) = names.insert(test.name.clone(), test.place.clone()) {
            faults.push(
                Diagnostic::error(codes::DUPLICATE_NAME, format!("there are two data tests named `{}`", test.name))
                    .at(test.place.clone())
                    .with_related(first, "the other one")
                    .with_remedy("remove one of them, or give it a `name:`"),
            );
        }
        if let TestKind::Relationships { to, .. } = &test.kind
            && !known.names.contains(to)
        {
            let remedy = text::nearest(to.as_str(), known.names.iter().map(NodeName::as_str)).map_or_else(
                || "write the name of a model or seed".to_owned(),
                |near| format!("write `to: ref('{near}')`"),
            );
            faults.push(
                Diagnostic::error(
                    codes::UNKNOWN_REF,
                    format!("a data test of `{}` refers to `{to}`, which is not in this project", model.name),
                )
                .at(test.place.clone())
                .with_remedy(remedy),
            );
        }
    }
}

/// An instant as it is written in configuration.
fn shown(at: Instant, zone: &Zone) -> String {
    let zoned = at.to_timestamp().to_zoned(zone.tz().clone());
    if zoned.time() == jiff::civil::Time::midnight() {
        zoned.strftime("%Y-%m-%d").to_string()
    } else {
        zoned.strftime("%Y-%m-%d %H:%M").to_string()
    }
}
