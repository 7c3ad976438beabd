//! The values of a table's page: what it is, what it holds, which of its intervals are there.

use std::collections::BTreeMap;

use mulgil_core::{
    grid::{Cut, Grid},
    interval::{Instant, Interval},
    interval_text::format_instant,
    name::Instance,
    project::{Materialization, Node, Source, Upstream},
    task,
};
use mulgil_server::TableQuery;
use mulgil_store::{LastTest, page::Grown};
use mulgil_web::view::{
    self, Link, Mark,
    table::{COLUMNS_SHOWN, Column, NEIGHBOURS_SHOWN, Size, Table, Test},
};

use super::{
    Made, Sight,
    cells::{self, shape_of},
    faults,
    names::{self, gravity},
    sample::sample,
    tables::kind,
};
use crate::sql_type;

/// Instances of a node with keys that are linked.
const INSTANCES_SHOWN: usize = 60;
/// Sizes that are told, the newest.
const SIZES_SHOWN: u32 = 60;
/// Intervals of a table whose rows are summed up; of a larger one they are not known at a glance.
const INTERVALS_SUMMED: u64 = 5_000;

pub(super) async fn table(sight: Sight<'_>, name: &str, query: TableQuery) -> Made<Table> {
    let view = match (sight.picture.node(name), sight.picture.project.source(&name.into())) {
        (Some(node), _) => of_node(sight, node, &query).await?,
        (None, Some(source)) => of_source(sight, source, &query).await?,
        (None, None) => return Err(faults::no_table(&sight.picture.project, name)),
    };
    Ok((view, vec![format!("table:{name}")]))
}

async fn of_node(sight: Sight<'_>, node: &Node, query: &TableQuery) -> Result<Table, mulgil_server::NoPage> {
    let Sight {
        store, picture, now, ..
    } = sight;
    let instance = instance_of(sight, node, query.keys.as_deref());
    let known = picture.catalog.relations.get(&node.relation);
    let made = known.map_or(&[][..], |known| &known.columns);
    let last = store.last_tests(&node.name).await?;
    let is_view = node.materialization == Materialization::View;
    // A view holds nothing that could grow.
    let grown = if is_view {
        Vec::new()
    } else {
        store.growth_of(&node.relation, SIZES_SHOWN).await?
    };
    let (columns, more_columns) = columns(node, made);
    let names: Vec<String> = made.iter().map(|column| column.name.clone()).collect();
    let is_there = known.is_some();
    let sample = if query.with_sample && is_there {
        // What a view reads may be files; a table is there by itself.
        let seen = if is_view {
            store.sources_seen().await?
        } else {
            BTreeMap::new()
        };
        Some(sample(sight, &[&node.relation.schema, &node.relation.name], &names, &seen).await)
    } else {
        None
    };
    let rows = if query.with_sample {
        None
    } else {
        rows(sight, node, &instance).await?
    };
    let bytes = picture.catalog.sizes.get(&node.relation);
    let size = bytes.filter(|size| size.version.is_some()).map(|size| Size {
        rows,
        bytes: size.bytes,
        files: size.files,
        version: picture
            .state
            .tables
            .get(&node.relation)
            .and_then(|table| table.published),
        changed_at: grown.first().map(|grown| grown.at),
    });
    let flow = picture.project.flow_of(&node.name);
    let next_at = match &node.schedule {
        Some(schedule) => schedule.next_tick(now),
        None => flow.and_then(|flow| flow.next_tick(now)),
    };
    Ok(Table {
        name: node.name.to_string(),
        keys: (!instance.key.is_empty()).then(|| instance.key.to_string()),
        instances: instances(sight, node, &instance),
        kind: kind(node),
        materialization: Some(materialization(node.materialization)),
        relation: Some(node.relation.to_string()),
        path: Some(node.file.display().to_string()),
        description: node.description.clone(),
        owner: node.owner.clone(),
        tags: node.tags.clone(),
        grid: grid(&node.grid),
        schedule: filled_by(sight, node),
        next_at,
        columns,
        more_columns,
        upstream: links(sight, node.reads.iter().map(Upstream::name)),
        downstream: links(sight, picture.readers.get(&node.name).into_iter().flatten()),
        tests: tests(node, &last),
        sizes: size.as_ref().map_or_else(Vec::new, |size| sizes(size.bytes, &grown)),
        size,
        sample_href: is_there.then(|| with_sample(&instance)),
        sample,
        heat: cells::heat(picture, &instance, picture.standing(&instance), query.before, now),
        backfill_href: shape_of(picture, &instance).backfill_href(&instance, &[]),
    })
}

async fn of_source(sight: Sight<'_>, source: &Source, query: &TableQuery) -> Result<Table, mulgil_server::NoPage> {
    let Sight {
        store, picture, now, ..
    } = sight;
    let instance = Instance::of(source.name.clone());
    let all = store.sources_seen().await?;
    let seen = all.get(&source.name).cloned().unwrap_or_default();
    let names: Vec<String> = seen.columns.iter().map(|column| column.name.clone()).collect();
    let is_there = !seen.files.is_empty();
    let sample = if query.with_sample && is_there {
        let parts: Vec<&str> = source.name.as_str().split('.').collect();
        Some(sample(sight, &parts, &names, &all).await)
    } else {
        None
    };
    let columns = seen.columns.iter().map(|column| told(column, None, Vec::new()));
    Ok(Table {
        name: source.name.to_string(),
        keys: None,
        instances: Vec::new(),
        kind: "source",
        materialization: None,
        relation: None,
        path: Some(source.place.file.display().to_string()),
        description: source.description.clone(),
        owner: None,
        tags: Vec::new(),
        grid: grid(&source.grid),
        schedule: None,
        next_at: None,
        columns: columns.take(COLUMNS_SHOWN).collect(),
        more_columns: seen.columns.len().saturating_sub(COLUMNS_SHOWN) as u64,
        upstream: Vec::new(),
        downstream: links(sight, picture.readers.get(&source.name).into_iter().flatten()),
        tests: Vec::new(),
        size: is_there.then(|| Size {
            rows: None,
            bytes: seen.files.iter().map(|file| file.size).sum(),
            files: seen.files.len() as u64,
            version: None,
            changed_at: None,
        }),
        sizes: Vec::new(),
        sample_href: is_there.then(|| with_sample(&instance)),
        sample,
        heat: cells::heat(picture, &instance, picture.standing(&instance), query.before, now),
        backfill_href: None,
    })
}

/// The instance that is asked for; of a node with keys else the one that needs somebody most.
fn instance_of(sight: Sight<'_>, node: &Node, keys: Option<&str>) -> Instance {
    let mut all = node.instances();
    let asked = keys.and_then(names::key);
    let worst = |instance: &Instance| {
        let standing = sight.picture.standing(instance);
        standing.map_or(0, |standing| gravity(standing.worst))
    };
    let place = all
        .iter()
        .position(|instance| Some(&instance.key) == asked.as_ref())
        // Of several the first, which is the last of the reversed.
        .or_else(|| {
            all.iter()
                .enumerate()
                .rev()
                .max_by_key(|(_, one)| worst(one))
                .map(|(place, _)| place)
        });
    place.map_or_else(|| Instance::of(node.name.clone()), |place| all.swap_remove(place))
}

fn instances(sight: Sight<'_>, node: &Node, shown: &Instance) -> Vec<(Link, Mark)> {
    if node.keys.is_empty() {
        return Vec::new();
    }
    let mut others: Vec<(Link, Mark)> = sight
        .picture
        .of_node(&node.name)
        .filter(|(instance, _)| *instance != shown)
        .map(|(instance, standing)| {
            let link = Link {
                text: instance.key.to_string(),
                href: Some(names::table_href(instance)),
            };
            (link, standing.worst)
        })
        .collect();
    others.sort_by_key(|(_, mark)| std::cmp::Reverse(gravity(*mark)));
    others.truncate(INSTANCES_SHOWN);
    others
}

/// The rows of all that is filled, where that is quickly summed up.
async fn rows(sight: Sight<'_>, node: &Node, instance: &Instance) -> Result<Option<u64>, mulgil_server::NoPage> {
    let filled = sight.picture.state.nodes.get(instance).map(|state| state.filled.keys());
    let count: u64 = filled
        .iter()
        .flat_map(mulgil_core::interval::RangeSet::iter)
        .map(|range| node.grid.count(range))
        .sum();
    if count == 0 || count > INTERVALS_SUMMED || !node.keys.is_empty() {
        return Ok(None);
    }
    let contents = sight.store.contents(instance, Interval::WHOLE).await?;
    Ok(contents.iter().map(|filled| filled.rows).reduce(|sum, rows| sum + rows))
}

/// When it is filled by itself: its schedule, or the flows that fill it.
fn filled_by(sight: Sight<'_>, node: &Node) -> Option<String> {
    if let Some(schedule) = &node.schedule {
        return Some(schedule.to_string());
    }
    let flows = sight.picture.project.flows.iter();
    let fills = flows.filter(|flow| flow.schedule.is_some() && flow.selected().any(|name| *name == node.name));
    let told: Vec<String> = fills
        .filter_map(|flow| Some(format!("flow:{} ({})", flow.name, flow.schedule.as_ref()?)))
        .collect();
    (!told.is_empty()).then(|| told.join(", "))
}

fn links<'a>(sight: Sight<'_>, names: impl Iterator<Item = &'a mulgil_core::name::NodeName>) -> Vec<(Link, Mark)> {
    let mut links: Vec<(Link, Mark)> = names
        .map(|name| {
            (
                names::table_link(&Instance::of(name.clone())),
                sight.picture.worst(name),
            )
        })
        .collect();
    links.sort_by_key(|(_, mark)| std::cmp::Reverse(gravity(*mark)));
    links.truncate(NEIGHBOURS_SHOWN);
    links
}

/// Those that the table has, with what the project says of them; before the first fill only the latter. And how
/// many are not shown.
fn columns(node: &Node, made: &[task::Column]) -> (Vec<Column>, u64) {
    let tests = |name: &str| {
        let about = node.tests.iter().filter(|test| test.kind.column() == Some(name));
        about.map(|test| test.name.clone()).collect::<Vec<_>>()
    };
    let described = |name: &str| node.columns.get(name).cloned();
    let mut all: Vec<Column> = made
        .iter()
        .take(COLUMNS_SHOWN)
        .map(|column| told(column, described(&column.name), tests(&column.name)))
        .collect();
    let declared = node.columns.iter();
    let not_made = declared.filter(|(name, _)| !made.iter().any(|column| column.name == **name));
    let not_made: Vec<Column> = not_made
        .map(|(name, description)| Column {
            name: name.clone(),
            kind: String::new(),
            description: Some(description.clone()),
            tests: tests(name),
        })
        .collect();
    let count = made.len() + not_made.len();
    all.extend(not_made);
    all.truncate(COLUMNS_SHOWN);
    let more = count.saturating_sub(all.len()) as u64;
    (all, more)
}

fn told(column: &task::Column, description: Option<String>, tests: Vec<String>) -> Column {
    Column {
        name: column.name.clone(),
        kind: sql_type::of_arrow(&column.data_type),
        description,
        tests,
    }
}

fn tests(node: &Node, last: &[LastTest]) -> Vec<Test> {
    let last: BTreeMap<&str, &LastTest> = last.iter().map(|last| (last.name.as_str(), last)).collect();
    let told = |test: &mulgil_core::project::DataTest| {
        let last = last.get(test.name.as_str());
        Test {
            name: test.name.clone(),
            last: last.map(|last| (last.failures, last.at)),
            has_changed: last.is_some_and(|last| last.fingerprint != test.fingerprint),
            warns: test.severity == mulgil_core::diagnostic::Severity::Warning,
            sample: last.map_or_else(Vec::new, |last| last.sample.iter().map(ToString::to_string).collect()),
        }
    };
    node.tests.iter().map(told).collect()
}

/// How large it was after each of its newest fills, oldest first: from what it is now back to where somebody
/// else's commit hides what it was.
fn sizes(now: u64, grown: &[Grown]) -> Vec<(Instant, u64)> {
    let mut sizes = Vec::with_capacity(grown.len());
    let mut bytes = i64::try_from(now).unwrap_or(i64::MAX);
    for grown in grown {
        sizes.push((grown.at, bytes.max(0).unsigned_abs()));
        let Some(by) = grown.by else { break };
        bytes = bytes.saturating_sub(by.bytes);
        if bytes < 0 {
            break;
        }
    }
    sizes.reverse();
    sizes
}

fn grid(grid: &Grid) -> Option<view::table::Grid> {
    let unit = match &grid.cut {
        Cut::Whole => return None,
        Cut::Unit(unit) => unit.as_str().to_owned(),
        Cut::Cron(cron) => cron.as_str().to_owned(),
    };
    Some(view::table::Grid {
        unit,
        zone: grid.zone.name().to_owned(),
        begin: grid.begin.map_or_else(String::new, |begin| {
            let first = grid.interval_at(begin);
            if first.start == begin {
                mulgil_core::interval_text::format(first, grid)
            } else {
                format_instant(begin, &grid.zone)
            }
        }),
    })
}

fn materialization(materialization: Materialization) -> &'static str {
    match materialization {
        Materialization::Table => "table",
        Materialization::View => "view",
        Materialization::Interval => "interval",
        Materialization::Incremental => "incremental",
        Materialization::Snapshot => "snapshot",
        Materialization::Seed => "seed",
    }
}

fn with_sample(instance: &Instance) -> String {
    let href = names::table_href(instance);
    let sign = if href.contains('?') { '&' } else { '?' };
    format!("{href}{sign}sample=1")
}

#[cfg(test)]
mod tests_of_values {
    use mulgil_core::port::Growth;

    use super::*;

    #[test]
    fn sizes_go_back_as_far_as_the_ledger_tells() {
        let grown = |at: i64, bytes: Option<i64>| Grown {
            at: Instant(at),
            by: bytes.map(|bytes| Growth { bytes, files: 1 }),
        };
        let all = [
            grown(3, Some(50)),
            grown(2, Some(-10)),
            grown(1, None),
            grown(0, Some(5)),
        ];
        assert_eq!(
            sizes(100, &all),
            [(Instant(1), 60), (Instant(2), 50), (Instant(3), 100)]
        );
        assert!(sizes(100, &[]).is_empty());
    }
}
