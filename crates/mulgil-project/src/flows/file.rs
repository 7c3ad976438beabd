//! One file of `flows/`: what stands at its top, and its steps in the order in which they are written.

use std::{collections::BTreeMap, path::Path};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place},
    flow::{Flow, Notify, OnFull, Step},
    grid::{Cut, Grid, Zone},
    project::{Fingerprint, Missed},
};

use super::{Draft, MAX_FAULTS, MAX_STEPS, Places, at, is_full, name_fault, params};
use crate::{
    check,
    config::{Layer, Placed, Setting},
    settings, text,
    yaml::{self, Entry, Node, Value},
};

/// What may stand at the top of a flow.
pub(crate) const KEYS: &[&str] = &[
    "name",
    "description",
    "owner",
    "tags",
    "schedule",
    "timezone",
    "missed",
    "interval",
    "begin",
    "end",
    "lookback",
    "partial",
    "params",
    "max_active",
    "on_full",
    "timeout",
    "deadline",
    "on_failure",
    "on_success",
    "on_recovery",
    "steps",
    "finally",
];
/// What has a meaning only for a flow by interval.
const INTERVAL_KEYS: [&str; 4] = ["begin", "end", "lookback", "partial"];
/// Runs of a flow that may be active at once.
pub(crate) const MAX_ACTIVE: u32 = 10_000;

/// Reads one file.
pub(super) struct FlowFile<'a> {
    pub(super) file: &'a Path,
    /// The project folder.
    pub(super) root: &'a Path,
    /// The project's zone.
    pub(super) zone: &'a Zone,
    pub(super) faults: &'a mut Vec<Diagnostic>,
}

/// A step as it is written: its name, where that stands, and the rest.
pub(super) struct Written<'a> {
    pub(super) name: String,
    pub(super) spot: Place,
    pub(super) node: &'a Node,
    pub(super) is_finally: bool,
}

impl FlowFile<'_> {
    /// The flow, with its steps as they are written; nothing where the file is no mapping.
    pub(super) fn read(&mut self, tree: &Node) -> Option<Draft> {
        let entries = yaml::map(self.file, tree, "a flow", self.faults);
        tree.entries()?;
        let unknown = entries.iter().filter(|entry| !KEYS.contains(&entry.key.as_str()));
        let unknown = unknown.map(|entry| yaml::unknown_key(entry.spot.of(self.file), &entry.key, KEYS, "a flow"));
        self.faults.extend(unknown.take(MAX_FAULTS + 1));
        let layer = self.layer(entries);
        let (name, named) = self.name(tree);
        let zone = self
            .settings(&layer)
            .zone("timezone")
            .unwrap_or_else(|| self.zone.clone());
        let grid = self.grid(&layer, zone);
        let schedule = self.settings(&layer).schedule(&grid.zone);
        let partial = self.settings(&layer).flag("partial").unwrap_or(false);
        self.check_schedule(schedule.as_ref(), &grid, partial);
        let mut channels = Vec::new();
        let params = params::read(tree.get("params"), self.file, &grid.zone, self.faults);
        let mut draft = Draft {
            flow: Flow {
                name,
                description: self.settings(&layer).text("description"),
                owner: self.settings(&layer).text("owner"),
                tags: self
                    .settings(&layer)
                    .placed_texts("tags")
                    .into_iter()
                    .map(|(tag, _)| tag)
                    .collect(),
                schedule: schedule.as_ref().map(|(schedule, _)| schedule.clone()),
                missed: self.missed(&layer, &grid.cut),
                lookback: self.settings(&layer).count("lookback", 0).unwrap_or(0),
                partial,
                params,
                max_active: self.max_active(&layer),
                on_full: self.on_full(&layer),
                timeout_us: self.span(&layer, "timeout"),
                deadline: self.deadline(tree.get("deadline"), &grid.zone),
                notify: Notify {
                    on_failure: self.channels(tree.get("on_failure"), &mut channels),
                    on_success: self.channels(tree.get("on_success"), &mut channels),
                    on_recovery: self.channels(tree.get("on_recovery"), &mut channels),
                },
                steps: Vec::new(),
                grid,
                fingerprint: Fingerprint::default(),
                file: self.file.to_path_buf(),
                place: entries
                    .first()
                    .map_or_else(|| Place::file(self.file), |entry| entry.spot.of(self.file)),
            },
            schedule: schedule.map(|(_, place)| place),
            named,
            channels,
            needs: Vec::new(),
            places: Places::new(),
        };
        self.add_steps(tree, &mut draft);
        Some(draft)
    }

    /// The settings of some entries that are no mappings of their own.
    pub(super) fn layer(&self, entries: &[Entry]) -> Layer {
        let apart = ["steps", "finally", "params"];
        let plain = entries.iter().filter(|entry| !apart.contains(&entry.key.as_str()));
        plain
            .map(|entry| (entry.key.clone(), Setting::read(self.file, &entry.node)))
            .collect()
    }

    pub(super) fn settings<'b>(&'b mut self, layer: &'b Layer) -> settings::Reader<'b> {
        settings::Reader {
            layer,
            faults: self.faults,
        }
    }

    /// A span of time that is longer than nothing, in microseconds.
    pub(super) fn span(&mut self, layer: &Layer, key: &str) -> Option<i64> {
        let span = self.settings(layer).duration(key)?;
        if span > 0 {
            return Some(span);
        }
        let setting = layer.get(key)?;
        self.settings(layer)
            .bad(key, setting, "write a span that is longer than nothing, such as `20m`")
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(&mut self, layer: &Layer, key: &str, words: &[(&str, T)]) -> Option<T> {
        let setting = layer.get(key).filter(|setting| !setting.value.is_null())?;
        let found = words.iter().find(|(word, _)| setting.value == *word);
        if let Some((_, value)) = found {
            return Some(*value);
        }
        let known = || words.iter().map(|(word, _)| *word);
        let near = setting.value.as_str().and_then(|word| text::nearest(word, known()));
        let remedy = near.map_or_else(
            || format!("write one of {}", text::listed(known())),
            |near| format!("write `{near}`"),
        );
        self.settings(layer).bad(key, setting, remedy)
    }

    fn name(&mut self, tree: &Node) -> (String, Place) {
        let stem = self.file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let (name, place) = match tree.get("name") {
            Some(node) => (
                yaml::text(self.file, node, "`name`", self.faults).unwrap_or_default(),
                at(node, self.file),
            ),
            None => (stem.to_owned(), Place::file(self.file)),
        };
        self.faults.extend(name_fault("a flow", &name, place.clone()));
        (name, place)
    }

    fn grid(&mut self, layer: &Layer, zone: Zone) -> Grid {
        let told = self.faults.len();
        let Some(cut) = self.settings(layer).cut("interval") else {
            let has_interval = layer.contains_key("interval");
            for key in INTERVAL_KEYS.into_iter().filter(|_| !has_interval) {
                let Some(setting) = layer.get(key) else { continue };
                self.faults.push(
                    Diagnostic::error(
                        codes::NEEDS_INTERVAL,
                        format!("`{key}` has a meaning only for a flow with an `interval`"),
                    )
                    .at(setting.place.clone())
                    .with_remedy(format!("add `interval: day`, or remove `{key}`")),
                );
            }
            return Grid::whole(zone);
        };
        let begin = self.settings(layer).instant("begin", &zone);
        let end = self.settings(layer).instant("end", &zone);
        let grid = Grid {
            cut,
            zone,
            begin: begin.as_ref().map(|(at, _)| *at),
            end: end.as_ref().map(|(at, _)| *at),
        };
        if grid.begin.is_none() && self.faults.len() == told {
            let place = layer
                .get("interval")
                .map_or_else(|| Place::file(self.file), |setting| setting.place.clone());
            self.faults.push(
                Diagnostic::error(
                    codes::NO_BEGIN,
                    "a flow with an `interval` has to say from when on it runs",
                )
                .at(place)
                .with_remedy("add the first day that you want, such as `begin: 2026-01-01`"),
            );
        }
        self.check_edges(&grid, begin.map(|begin| ("begin", begin)), end.map(|end| ("end", end)));
        grid
    }

    fn check_edges(
        &mut self,
        grid: &Grid,
        begin: Option<(&str, Placed<mulgil_core::interval::Instant>)>,
        end: Option<(&str, Placed<mulgil_core::interval::Instant>)>,
    ) {
        let place_of_end = end.as_ref().map(|(_, (_, place))| place.clone());
        for (key, (edge, place)) in begin.into_iter().chain(end) {
            if grid.is_cut_at(edge) {
                continue;
            }
            let shown = |edge| check::shown(edge, &grid.zone);
            self.faults.push(
                Diagnostic::error(
                    codes::OFF_GRID,
                    format!("`{key}` is {}, where no interval begins", shown(edge)),
                )
                .at(place)
                .with_remedy(format!(
                    "write `{}` or `{}`",
                    shown(grid.floor(edge)),
                    shown(grid.next_cut(edge))
                )),
            );
        }
        if let (Some(begin), Some(end), Some(place)) = (grid.begin, grid.end, place_of_end)
            && begin >= end
        {
            self.faults.push(
                Diagnostic::error(codes::OFF_GRID, "the flow ends before it begins")
                    .at(place)
                    .with_remedy("write a `begin` before the `end`"),
            );
        }
    }

    fn check_schedule(
        &mut self,
        schedule: Option<&Placed<mulgil_core::schedule::Schedule>>,
        grid: &Grid,
        partial: bool,
    ) {
        if let Some((schedule, place)) = schedule
            && !partial
            && schedule.finer_than(grid)
        {
            self.faults.push(
                Diagnostic::error(
                    codes::SCHEDULE_TOO_FINE,
                    "the schedule ticks more often than the flow's intervals end, so most ticks would do nothing",
                )
                .at(place.clone())
                .with_remedy(
                    "make the interval or the schedule match, or set `partial: true` to run the open interval too",
                ),
            );
        }
    }

    fn missed(&mut self, layer: &Layer, cut: &Cut) -> Missed {
        let words = [("latest", Missed::Latest), ("all", Missed::All), ("none", Missed::None)];
        self.word(layer, "missed", &words).unwrap_or(match cut {
            Cut::Whole => Missed::Latest,
            Cut::Unit(_) | Cut::Cron(_) => Missed::All,
        })
    }

    fn max_active(&mut self, layer: &Layer) -> u32 {
        let count = self.settings(layer).count("max_active", 1).unwrap_or(1);
        if count > MAX_ACTIVE
            && let Some(setting) = layer.get("max_active")
        {
            let remedy = format!("write a whole number from 1 to {MAX_ACTIVE}");
            self.settings(layer).bad::<()>("max_active", setting, remedy);
        }
        count
    }

    fn on_full(&mut self, layer: &Layer) -> OnFull {
        let words = [
            ("queue", OnFull::Queue),
            ("skip", OnFull::Skip),
            ("cancel_old", OnFull::CancelOld),
            ("fail", OnFull::Fail),
        ];
        self.word(layer, "on_full", &words).unwrap_or_default()
    }

    fn add_steps(&mut self, tree: &Node, draft: &mut Draft) {
        let mut written = Vec::new();
        for (key, is_finally) in [("steps", false), ("finally", true)] {
            if let Some(node) = tree.get(key) {
                self.written(node, key, is_finally, &mut written);
            }
        }
        if written.len() > MAX_STEPS {
            self.faults.push(
                Diagnostic::error(
                    codes::FLOW_TOO_LARGE,
                    format!("the flow has {} steps, and may have {MAX_STEPS}", written.len()),
                )
                .at(Place::file(self.file))
                .with_remedy("divide the flow, or let one step do more"),
            );
            return;
        }
        let has_steps = tree.get("steps").is_some_and(|node| !matches!(node.value, Value::Null));
        if !written.iter().any(|step| !step.is_finally) && (!has_steps || self.faults.is_empty()) {
            let place = tree
                .get("steps")
                .map_or_else(|| Place::file(self.file), |node| at(node, self.file));
            self.faults.push(
                Diagnostic::error(codes::EMPTY_FLOW, "the flow has no steps, so it would do nothing")
                    .at(place)
                    .with_remedy("add one: `steps: {load: {sql: sql/load.sql}}`"),
            );
        }
        let mut taken: BTreeMap<String, Place> = BTreeMap::new();
        for step in written {
            if is_full(self.faults) {
                return;
            }
            if let Some(first) = taken.insert(step.name.clone(), step.spot.clone()) {
                self.faults.push(
                    Diagnostic::error(
                        codes::DUPLICATE_NAME,
                        format!("there are two steps named `{}`", step.name),
                    )
                    .at(step.spot)
                    .with_related(first, "the other one")
                    .with_remedy("rename one of them"),
                );
                continue;
            }
            let read: Option<(Step, Vec<(String, Place)>)> = self.step(&step, &mut draft.places);
            if let Some((step, needs)) = read {
                draft.flow.steps.push(step);
                draft.needs.push(needs);
            }
        }
    }

    /// The steps of a mapping by their names, or of a list in which each has a `name`.
    fn written<'a>(&mut self, node: &'a Node, key: &str, is_finally: bool, steps: &mut Vec<Written<'a>>) {
        let file = self.file;
        if let Value::List(items) = &node.value {
            for item in items {
                let named = item.get("name").and_then(|name| {
                    let text = yaml::text(file, name, "`name`", self.faults)?;
                    Some((text, at(name, file)))
                });
                match named {
                    Some((name, spot)) => steps.push(Written {
                        name,
                        spot,
                        node: item,
                        is_finally,
                    }),
                    None => self.faults.push(
                        Diagnostic::error(
                            codes::MISSING_KEY,
                            format!("a step in the list of `{key}` has no `name`"),
                        )
                        .at(at(item, file))
                        .with_remedy(format!("add `name:`, or write `{key}:` as a mapping of names to steps")),
                    ),
                }
            }
            return;
        }
        for entry in yaml::map(file, node, &format!("`{key}`"), self.faults) {
            if let Some(name) = entry.node.get("name") {
                self.faults.push(
                    Diagnostic::error(
                        codes::KEY_MISPLACED,
                        format!(
                            "the step `{}` has its name in front of it, and a `name` besides",
                            entry.key
                        ),
                    )
                    .at(at(name, file))
                    .with_remedy("remove `name`"),
                );
            }
            steps.push(Written {
                name: entry.key.clone(),
                spot: entry.spot.of(file),
                node: &entry.node,
                is_finally,
            });
        }
    }
}

/// The fault of what is known and not done yet.
pub(super) fn not_yet(message: impl Into<String>, place: Place) -> Diagnostic {
    Diagnostic::error(codes::FLOW_NOT_YET, message).at(place)
}
