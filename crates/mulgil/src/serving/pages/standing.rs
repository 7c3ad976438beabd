//! How everything stands, worked out as the scheduler does.

use std::{collections::BTreeMap, sync::Arc};

use mulgil_core::{
    checks::{Check, Context, checks},
    interval::{Interval, RangeMap, RangeSet},
    name::{Instance, NodeName},
    plan::Forecast,
    project::Node,
    state::NodeState,
    why::{Status, statuses},
};
use mulgil_web::view::Mark;

use super::{
    names::{self, gravity},
    picture::Picture,
};

/// How one instance stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Standing {
    /// Every interval, as ranges.
    pub(super) statuses: RangeMap<Status>,
    /// How many intervals stand how, the gravest first.
    pub(super) counts: Vec<(Mark, u64)>,
    /// The gravest of them.
    pub(super) worst: Mark,
    /// What the first interval that was never filled reads, and that has to be filled before.
    pub(super) waits_on: Option<NodeName>,
}

/// How everything stands. What stands as before is the same value, so that it is seen at once.
pub(super) fn standings(picture: &Picture) -> BTreeMap<Instance, Arc<Standing>> {
    let project = &*picture.project;
    let forecast = picture.forecast(picture.now);
    let mut all = BTreeMap::new();
    let mut put = |instance: Instance,
                   statuses: RangeMap<Status>,
                   waits_on: Option<NodeName>,
                   count: &dyn Fn(Interval) -> u64| {
        let known = picture.standings.get(&instance);
        let is_same = |known: &&Arc<Standing>| known.statuses == statuses && known.waits_on == waits_on;
        let standing = match known.filter(is_same) {
            Some(known) => Arc::clone(known),
            None => Arc::new(Standing {
                waits_on,
                ..Standing::of(statuses, count)
            }),
        };
        all.insert(instance, standing);
    };
    for instance in forecast.instances() {
        if let Some(node) = forecast.node(&instance.node) {
            let statuses = statuses(&forecast, instance);
            let waits_on = waits_on(&forecast, node, instance, &statuses);
            put(instance.clone(), statuses, waits_on, &|range| node.grid.count(range));
        }
    }
    for source in &project.sources {
        if let Some(state) = picture.state.sources.get(&source.name) {
            let there = state.available.iter().map(|range| (range, Status::Fresh));
            let gone = state.gone.iter().map(|range| (range, Status::Missing));
            let files = there.chain(gone).collect();
            put(Instance::of(source.name.clone()), files, None, &|range| {
                source.grid.count(range)
            });
        }
    }
    let (unknown, idle) = (NodeState::default(), RangeSet::new());
    for flow in project.flows.iter().filter(|flow| flow.grid.is_cut()) {
        let instance = flow.instance();
        let state = picture.flows.get(&instance).unwrap_or(&unknown);
        let active = picture.active.get(&flow.name).unwrap_or(&idle);
        let statuses = flow.statuses(state, active, picture.now);
        put(instance, statuses, None, &|range| flow.grid.count(range));
    }
    all
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            statuses: RangeMap::new(),
            counts: Vec::new(),
            worst: Mark::NotExpected,
            waits_on: None,
        }
    }
}

impl Standing {
    /// What follows from the ranges.
    pub(super) fn of(statuses: RangeMap<Status>, count: &dyn Fn(Interval) -> u64) -> Self {
        let mut counts: Vec<(Mark, u64)> = Vec::new();
        for (range, status) in statuses.iter() {
            let mark = names::mark(status);
            match counts.iter_mut().find(|(known, _)| *known == mark) {
                Some((_, sum)) => *sum += count(range),
                None => counts.push((mark, count(range))),
            }
        }
        counts.sort_by_key(|(mark, _)| std::cmp::Reverse(gravity(*mark)));
        let worst = counts.first().map_or(Mark::NotExpected, |(mark, _)| *mark);
        Self {
            statuses,
            counts,
            worst,
            waits_on: None,
        }
    }
}

/// What the first interval of an instance that was never filled reads, and that has to be filled before: as the
/// scheduler asks it.
fn waits_on(
    forecast: &Forecast<'_>,
    node: &Node,
    instance: &Instance,
    statuses: &RangeMap<Status>,
) -> Option<NodeName> {
    let (range, _) = statuses.iter().find(|(_, status)| **status == Status::Missing)?;
    let first = if node.grid.is_cut() {
        node.grid.interval_at(range.start)
    } else {
        range
    };
    let asked = checks(forecast, instance, first, &Context::default());
    let mut kept_by = asked.into_iter().filter(|check| check.says(forecast.now).keeps());
    kept_by.find_map(|check| {
        if let Check::Input { from, .. } = check {
            Some(from.node)
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use mulgil_core::{interval::Instant, project::CodeFp, timeline::Timeline};

    use super::*;

    /// Tables by day over a year, one of which has as many pieces as it has hours.
    fn picture(tables: usize, hours: i64) -> Picture {
        let mut text = "begin 2026-01-01\nmodel hours by hour\n".to_owned();
        for n in 0..tables {
            let reads = if n == 0 {
                String::new()
            } else {
                format!(" reads t{}", n / 2)
            };
            let _ = writeln!(text, "model t{n} by day{}", if n < 2 { "" } else { &reads });
            let _ = writeln!(text, "filled t{n} 2026-01-01..2026-12-31");
        }
        let Timeline {
            project,
            mut state,
            now,
            ..
        } = Timeline::parse(&format!("{text}now 2027-01-01T00:00Z"));
        let own = state.nodes.entry(Instance::of("hours".into())).or_default();
        for hour in 0..hours {
            let start = Instant(now.0 - (hours - hour) * 3_600_000_000);
            let Some(range) = Interval::new(start, Instant(start.0 + 3_600_000_000)) else {
                continue;
            };
            // Each was filled by itself, and every thousandth is not there.
            if hour % 1_000 != 0 {
                own.filled.insert(range, CodeFp::default());
                own.made_at.insert(range, start);
            }
        }
        Picture {
            readers: Arc::default(),
            project: Arc::new(project),
            now,
            serial: 0,
            seq: 1,
            state: Arc::new(state),
            flows: Arc::default(),
            active: Arc::default(),
            live: 0,
            standings: BTreeMap::new(),
            catalog: Arc::default(),
            health: None,
            project_faults: Arc::default(),
            fault: None,
        }
    }

    #[test]
    fn what_stands_as_before_is_the_same_value() {
        let mut picture = picture(20, 2_000);
        picture.standings = standings(&picture);
        let days = picture.standing(&Instance::of("t3".into())).unwrap();
        assert_eq!(
            days.counts,
            [
                (Mark::Missing, 1),
                (Mark::Run(mulgil_core::run::RunState::Success), 364)
            ]
        );
        assert_eq!(picture.worst(&"t3".into()), Mark::Missing);
        // An hour later the table by hours wants one more, and the others are as they were.
        picture.now = Instant(picture.now.0 + 3_600_000_000);
        let later = standings(&picture);
        let same = |name: &str| {
            let instance = Instance::of(name.into());
            Arc::ptr_eq(&picture.standings[&instance], &later[&instance])
        };
        assert!(same("t3") && !same("hours"));
    }

    #[test]
    fn five_hundred_tables_and_a_hundred_thousand_hours_are_a_handful_of_ranges_each() {
        let picture = picture(500, 100_000);
        let all = standings(&picture);
        assert_eq!(all.len(), 501);
        let pieces: usize = all.values().map(|standing| standing.statuses.iter().count()).sum();
        // Ranges and not intervals: a table of a year is a handful, whatever it was filled by.
        assert!(pieces < 2_000, "{pieces} pieces");
    }
}
