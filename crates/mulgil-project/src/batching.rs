//! How many neighbouring intervals one query of a model may fill: what its settings say, or what
//! its SQL lets us infer.

use mulgil_core::{
    grid::{Cut, Grid, Unit},
    mapping::Mapping,
    name::NodeName,
    project::{Batch, Upstream},
};

use crate::{
    catalog::{Base, Catalog, Model},
    config::Kind,
    sql::{self, Names, Scoping},
    template::{Mention, UNSCOPED},
};

/// How many neighbouring intervals one query of each model may fill, in the catalog's order.
pub(crate) fn batches(catalog: &Catalog) -> Vec<Batch> {
    catalog.models.iter().map(|model| batch(model, catalog)).collect()
}

fn batch(model: &Model, catalog: &Catalog) -> Batch {
    let names_time = model.mentions(|mention| matches!(mention, Mention::Interval(_)));
    match model.config.kind {
        Kind::Table | Kind::View | Kind::Ephemeral | Kind::Incremental | Kind::Snapshot | Kind::Seed => {
            Batch::AtMost(1)
        }
        Kind::Interval if names_time => Batch::AtMost(1),
        Kind::Interval => match model.config.batch {
            Some(count) => Batch::AtMost(count),
            None if infers_many(model, catalog) => Batch::Unbounded,
            None => Batch::AtMost(1),
        },
    }
}

fn infers_many(model: &Model, catalog: &Catalog) -> bool {
    if model.mentions(|mention| *mention == Mention::This) {
        return false;
    }
    let unit = match &model.grid.cut {
        Cut::Unit(unit) => Some(*unit),
        Cut::Whole | Cut::Cron(_) => None,
    };
    model.renderings().all(|one| {
        let names = names(model, catalog, &one.rendered.mentions, None, false);
        sql::parse(&one.rendered.sql)
            .is_ok_and(|query| sql::fills_many(&query, &names, model.config.event_time.as_deref(), unit))
    })
}

fn names(reader: &Model, catalog: &Catalog, mentions: &[Mention], via: Option<&NodeName>, unscoped: bool) -> Names {
    let mut names = Names::new();
    for mention in mentions {
        match mention {
            Mention::Ref {
                name, unscoped: own, ..
            } => {
                let Some(upstream) = catalog.model(&NodeName::new(name)) else {
                    continue;
                };
                let schema = own.then(|| UNSCOPED.to_owned());
                let scoping = scoping_of_model(reader, catalog, upstream, via, unscoped || *own);
                names.insert((schema, name.clone()), scoping);
            }
            Mention::Source {
                group,
                table,
                unscoped: own,
            } => {
                let name = NodeName::new(format!("{group}.{table}"));
                let base = Base {
                    via: via.unwrap_or(&name).clone(),
                    from: Upstream::Source(name.clone()),
                    unscoped: unscoped || *own,
                };
                let scoping = scoping_of_source(reader, catalog, &base);
                let key = if *own {
                    (Some(UNSCOPED.to_owned()), name.to_string())
                } else {
                    (Some(group.clone()), table.clone())
                };
                names.insert(key, scoping);
            }
            Mention::Config(_)
            | Mention::This
            | Mention::Key(_)
            | Mention::Interval(_)
            | Mention::Param(_)
            | Mention::Step(_)
            | Mention::MissingVar(_)
            | Mention::MissingEnvVar(_) => {}
        }
    }
    names
}

fn scoping_of_model(
    reader: &Model,
    catalog: &Catalog,
    upstream: &Model,
    via: Option<&NodeName>,
    unscoped: bool,
) -> Scoping {
    let via = via.unwrap_or(&upstream.name);
    if upstream.config.kind.is_query() {
        let names = names(reader, catalog, &upstream.first.rendered.mentions, Some(via), unscoped);
        return match sql::parse(&upstream.first.rendered.sql) {
            Ok(query) => Scoping::Query(Box::new(query), names),
            Err(_) => Scoping::Mixed,
        };
    }
    let base = Base {
        from: Upstream::Node(upstream.name.clone()),
        unscoped,
        via: via.clone(),
    };
    let event_time = upstream.config.event_time.clone();
    match catalog.mapping(&reader.config, &base) {
        Mapping::Whole { .. } if unscoped || event_time.is_none() => Scoping::Static,
        // Read as a whole by the plan, and filtered by its event time in the query.
        Mapping::Whole { .. } => Scoping::Interval { event_time },
        Mapping::Overlap if nests(&upstream.grid, &reader.grid) => Scoping::Interval { event_time },
        Mapping::Overlap | Mapping::Window { .. } => Scoping::Mixed,
    }
}

fn scoping_of_source(reader: &Model, catalog: &Catalog, base: &Base) -> Scoping {
    let Some(source) = catalog.sources.get(base.from.name()) else {
        return Scoping::Mixed;
    };
    match catalog.mapping(&reader.config, base) {
        Mapping::Whole { .. } => Scoping::Static,
        Mapping::Overlap if !source.grid.is_cut() || nests(&source.grid, &reader.grid) => Scoping::Interval {
            event_time: source.event_time.clone(),
        },
        Mapping::Overlap | Mapping::Window { .. } => Scoping::Mixed,
    }
}

/// Whether each interval of the upstream lies inside one of the reader.
fn nests(upstream: &Grid, reader: &Grid) -> bool {
    if upstream.same_cuts(reader) {
        return true;
    }
    match (&upstream.cut, &reader.cut) {
        // Weeks do not lie inside months; everything else that is shorter lies inside the longer.
        (Cut::Unit(inner), Cut::Unit(outer)) => *inner != Unit::Week && inner < outer && upstream.zone == reader.zone,
        (Cut::Whole | Cut::Cron(_), _) | (_, Cut::Whole | Cut::Cron(_)) => false,
    }
}
