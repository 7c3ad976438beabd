//! What can only be checked with the whole project in hand: circles, windows, grids, schedules,
//! relations, SQL, data tests.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place},
    grid::{Grid, Zone},
    interval::Instant,
    name::{NodeName, Relation},
    project::{DataTest, TestKind},
};

use crate::{
    catalog::{Catalog, Model},
    config::Kind,
    dialect::Dialect,
    mentions::Known,
    sql,
    template::{Mention, Templates},
    text,
};

/// The fault of a circle, at the reference by which the first of it reads the second.
pub(crate) fn cycle_fault(catalog: &Catalog, templates: &Templates, circle: &[usize]) -> Diagnostic {
    let models: Vec<&Model> = circle.iter().map(|index| &catalog.models[*index]).collect();
    let mut path: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
    path.push(path[0]);
    let mut places = models
        .iter()
        .zip(models.iter().cycle().skip(1))
        .map(|(reader, upstream)| {
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
    for one in reader.renderings() {
        let at = one
            .rendered
            .mentions
            .iter()
            .position(|mention| matches!(mention, Mention::Ref { name, .. } if name == upstream.as_str()));
        if let Some(at) = at {
            return templates.locate(&reader.file, &one.facts, at);
        }
    }
    Place::file(&reader.file)
}

/// `reads` and `restate_on`: whether they are of something that the model reads, and that has
/// intervals.
pub(crate) fn reading(model: &Model, catalog: &Catalog, faults: &mut Vec<Diagnostic>) {
    let config = &model.config;
    let windows = config.reads.iter().map(|(name, window)| ("reads", name, &window.place));
    let restates = config
        .restate_on
        .iter()
        .map(|(name, place)| ("restate_on", name, place));
    for (key, name, place) in windows.chain(restates) {
        let bases: Vec<_> = model
            .bases
            .iter()
            .filter(|base| base.via.as_str() == name || base.from.name().as_str() == name)
            .collect();
        if model.config.kind != Kind::Interval {
            faults.push(
                Diagnostic::error(
                    codes::NEEDS_INTERVAL,
                    format!("`{key}` has a meaning only for a model that is filled by intervals"),
                )
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
                Diagnostic::error(
                    codes::NOT_READ,
                    format!("`{key}` names `{name}`, which the model `{}` does not read", model.name),
                )
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
                    format!(
                        "`{key}` of `{}` is {}, where no interval begins",
                        model.name,
                        shown(*at, &grid.zone)
                    ),
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
        let place = config
            .end
            .as_ref()
            .or(config.begin.as_ref())
            .map(|(_, place)| place.clone());
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
    let interval_place = config.interval_place.as_ref().filter(|place| place.file == model.file);
    let place = interval_place.map_or_else(|| Place::file(&model.file), Clone::clone);
    if grid.begin.is_none() && !model.reads_broken && !config.has_unreadable {
        faults.push(
            Diagnostic::error(
                codes::NO_BEGIN,
                format!(
                    "the model `{}` has no `begin`, and reads no model by interval to take it from",
                    model.name
                ),
            )
            .at(place.clone())
            .with_remedy("add the first day that you want, such as `begin='2022-01-01'`"),
        );
    }
    if config.event_time.is_none() && !config.has_unreadable {
        faults.push(
            Diagnostic::error(
                codes::NO_EVENT_TIME,
                format!(
                    "the model `{}` does not say which column tells a row's time",
                    model.name
                ),
            )
            .at(place)
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
            .with_remedy(
                "make the interval or the schedule match, or set `partial=true` to fill the open interval too",
            ),
        );
    }
}

/// Two nodes that would write one table.
pub(crate) fn relations(catalog: &Catalog, faults: &mut Vec<Diagnostic>) {
    let mut taken: HashMap<Relation, &Model> = HashMap::new();
    for model in catalog
        .models
        .iter()
        .filter(|model| model.config.kind != Kind::Ephemeral)
    {
        let folded = Relation {
            schema: model.relation.schema.to_lowercase(),
            name: model.relation.name.to_lowercase(),
        };
        if let Some(first) = taken.insert(folded, model) {
            faults.push(
                Diagnostic::error(
                    codes::DUPLICATE_NAME,
                    format!(
                        "`{}` and `{}` would both be the table `{}`",
                        first.name, model.name, model.relation
                    ),
                )
                .at(Place::file(&model.file))
                .with_related(Place::file(&first.file), "the other one")
                .with_remedy("give one of them another `alias` or `schema`"),
            );
        }
    }
}

/// SQL that is not one query. Where a value is missing the SQL has a hole, which is told already.
pub(crate) fn sql(catalog: &Catalog, templates: &Templates, faults: &mut Vec<Diagnostic>) {
    let models = catalog.models.iter().filter(|model| model.seed.is_none());
    faults.extend(models.filter_map(|model| sql_of(model, templates)));
}

/// What is wrong with the SQL of one model, if anything.
pub(crate) fn sql_of(model: &Model, templates: &Templates) -> Option<Diagnostic> {
    if model.mentions(|mention| matches!(mention, Mention::MissingVar(_) | Mention::MissingEnvVar(_))) {
        return None;
    }
    let (rendered, fault) = model
        .renderings()
        .find_map(|one| Some((&one.rendered, sql::parse(&one.rendered.sql).err()?)))?;
    let remedy = if fault.is_syntax {
        "mend the SQL; look at it as it is rendered if the template makes it"
    } else {
        "write one SELECT: its rows are the table's"
    };
    Some(
        Diagnostic::error(
            codes::SQL_SYNTAX,
            format!("the SQL of `{}` cannot be read: {}", model.name, fault.message),
        )
        .at(place_in_source(templates, &model.file, &rendered.sql, fault.at))
        .with_remedy(remedy),
    )
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
    let mut same = source
        .lines()
        .enumerate()
        .filter(|(_, other)| *other == content && !content.trim().is_empty());
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
    dialect: Dialect,
    faults: &mut Vec<Diagnostic>,
) {
    if let (Some(test), Kind::Ephemeral) = (tests.first(), model.config.kind) {
        let fault = Diagnostic::error(
            codes::BAD_DATA_TEST,
            format!(
                "the model `{}` is ephemeral: it has no rows of its own to test",
                model.name
            ),
        )
        .at(test.place.clone())
        .with_remedy("make it a view, or test the models that read it");
        faults.push(dialect.softened(fault));
    }
    for test in tests {
        if let Some(first) = names.insert(test.name.clone(), test.place.clone()) {
            faults.push(
                Diagnostic::error(
                    codes::DUPLICATE_NAME,
                    format!("there are two data tests named `{}`", test.name),
                )
                .at(test.place.clone())
                .with_related(first, "the other one")
                .with_remedy("remove one of them, or give it a `name:`"),
            );
        }
        let TestKind::Relationships { to, .. } = &test.kind else {
            continue;
        };
        if known.disabled.contains(to) {
            faults.push(
                Diagnostic::error(
                    codes::UNKNOWN_REF,
                    format!(
                        "a data test of `{}` refers to `{to}`, which is switched off",
                        model.name
                    ),
                )
                .at(test.place.clone())
                .with_remedy(format!("set `enabled: true` for `{to}`, or remove the test")),
            );
        } else if !known.names.contains(to) {
            let remedy = text::nearest(to.as_str(), known.names.iter().map(NodeName::as_str)).map_or_else(
                || "write the name of a model or seed".to_owned(),
                |near| format!("write `to: ref('{near}')`"),
            );
            faults.push(
                Diagnostic::error(
                    codes::UNKNOWN_REF,
                    format!(
                        "a data test of `{}` refers to `{to}`, which is not in this project",
                        model.name
                    ),
                )
                .at(test.place.clone())
                .with_remedy(remedy),
            );
        }
    }
}

/// An instant as it is written in configuration.
pub(crate) fn shown(at: Instant, zone: &Zone) -> String {
    let zoned = at.to_timestamp().to_zoned(zone.tz().clone());
    if zoned.time() == jiff::civil::Time::midnight() {
        zoned.strftime("%Y-%m-%d").to_string()
    } else {
        zoned.strftime("%Y-%m-%d %H:%M").to_string()
    }
}
