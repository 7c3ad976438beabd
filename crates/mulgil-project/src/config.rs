//! The configuration of models and seeds: layers of settings, each with its place, merged and read
//! into values. Where it contradicts the rest of the project is not known here.

use std::{collections::BTreeMap, path::Path};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place},
    grid::{Cut, Unit, Zone},
    interval::Instant,
    project::{Incremental, KeyColumn, Missed, Publish, SchemaChange, Strategy},
    schedule::Schedule,
};
use serde_json::Value as Json;

use crate::{
    hooks,
    settings::Reader,
    snapshot::{SCD_ID, Snapshot},
    yaml::Node,
};

/// One setting and where it is written.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) value: Json,
    pub(crate) place: Place,
}

impl Setting {
    /// The value of a node of a YAML file.
    pub(crate) fn read(file: &Path, node: &Node) -> Self {
        Self {
            value: node.to_json(),
            place: node.spot.of(file),
        }
    }
}

/// Settings by key: what one place says of a model.
pub(crate) type Layer = BTreeMap<String, Setting>;

/// What models may set.
pub(crate) const MODEL_KEYS: &[&str] = &[
    "materialized",
    "incremental_strategy",
    "batch_size",
    "interval",
    "event_time",
    "begin",
    "end",
    "lookback",
    "schedule",
    "timezone",
    "settle",
    "partial",
    "missed",
    "batch",
    "keys",
    "reads",
    "restate_on",
    "unique_key",
    "on_schema_change",
    "full_refresh",
    "merge_update_columns",
    "merge_exclude_columns",
    "incremental_predicates",
    "predicates",
    "schema",
    "alias",
    "enabled",
    "tags",
    "owner",
    "description",
    "publish",
    "meta",
    "pre_hook",
    "pre-hook",
    "post_hook",
    "post-hook",
];

/// What snapshots may set.
pub(crate) const SNAPSHOT_KEYS: &[&str] = &[
    "unique_key",
    "strategy",
    "updated_at",
    "check_cols",
    "hard_deletes",
    "invalidate_hard_deletes",
    "target_schema",
    "schema",
    "alias",
    "schedule",
    "enabled",
    "tags",
    "owner",
    "description",
    "event_time",
    "timezone",
    "publish",
    "meta",
    "pre_hook",
    "pre-hook",
    "post_hook",
    "post-hook",
];

/// What seeds may set.
pub(crate) const SEED_KEYS: &[&str] = &[
    "schema",
    "alias",
    "enabled",
    "tags",
    "owner",
    "description",
    "event_time",
    "timezone",
    "publish",
    "meta",
    "pre_hook",
    "pre-hook",
    "post_hook",
    "post-hook",
    "column_types",
    "delimiter",
];

/// How a model is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Table,
    View,
    Ephemeral,
    Interval,
    Incremental,
    Snapshot,
    Seed,
}

impl Kind {
    /// Whether its query is put in the place of its name.
    pub(crate) fn is_query(self) -> bool {
        match self {
            Self::View | Self::Ephemeral => true,
            Self::Table | Self::Interval | Self::Incremental | Self::Snapshot | Self::Seed => false,
        }
    }

    /// Whether its table keeps what it has, so that `is_incremental()` may be true.
    pub(crate) fn keeps_rows(self) -> bool {
        match self {
            Self::Interval | Self::Incremental | Self::Snapshot => true,
            Self::Table | Self::View | Self::Ephemeral | Self::Seed => false,
        }
    }
}

/// A window that a model reads of one of its inputs.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    pub(crate) count: u32,
    pub(crate) unit: Unit,
    pub(crate) place: Place,
}

/// A text that is run before or after a fill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hook {
    /// The template.
    pub(crate) sql: String,
    pub(crate) place: Place,
}

/// The hooks of one model, in the order in which they run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Around {
    pub(crate) before: Vec<Hook>,
    pub(crate) after: Vec<Hook>,
}

/// A value and where it is written.
pub(crate) type Placed<T> = (T, Place);

/// The configuration of one model or seed, read.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) kind: Kind,
    pub(crate) incremental: Option<Incremental>,
    pub(crate) snapshot: Option<Snapshot>,
    pub(crate) cut: Cut,
    pub(crate) zone: Zone,
    pub(crate) event_time: Option<String>,
    pub(crate) begin: Option<Placed<Instant>>,
    pub(crate) end: Option<Placed<Instant>>,
    pub(crate) lookback: u32,
    pub(crate) schedule: Option<Placed<Schedule>>,
    pub(crate) settle_us: i64,
    pub(crate) partial: bool,
    pub(crate) missed: Missed,
    pub(crate) batch: Option<u32>,
    pub(crate) keys: Vec<KeyColumn>,
    pub(crate) reads: BTreeMap<String, Window>,
    pub(crate) restate_on: Vec<Placed<String>>,
    pub(crate) schema: Option<String>,
    /// The whole name of the schema, whatever the target's is.
    pub(crate) target_schema: Option<String>,
    pub(crate) alias: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) owner: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) publish: Publish,
    pub(crate) hooks: Around,
    /// Where the interval is set, if it is.
    pub(crate) interval_place: Option<Place>,
    /// Whether a setting could not be read, so that its absence is not worth a word.
    pub(crate) has_unreadable: bool,
}

/// The one spelling under which a setting is kept.
pub(crate) fn spelled(key: &str) -> &str {
    match key {
        "pre-hook" => "pre_hook",
        "post-hook" => "post_hook",
        key => key,
    }
}

/// Lays a nearer layer over a farther one. Tags, hooks and types of columns add up, as in dbt; everything
/// else is replaced.
pub(crate) fn overlay(under: &mut Layer, over: &Layer) {
    for (key, setting) in over {
        let mut setting = setting.clone();
        let adds_up = ["tags", "pre_hook", "post_hook"].contains(&key.as_str());
        if let Some(below) = under.get(key).filter(|_| adds_up) {
            let mut all = as_list(&below.value);
            all.extend(as_list(&setting.value));
            if key == "tags" {
                all.dedup();
            }
            setting.value = Json::Array(all);
        }
        if key == "column_types"
            && let Some(Json::Object(below)) = under.get(key).map(|below| &below.value)
            && let Json::Object(nearer) = &setting.value
        {
            let mut all = below.clone();
            all.extend(nearer.clone());
            setting.value = Json::Object(all);
        }
        under.insert(key.clone(), setting);
    }
}

/// A model or seed that is switched off.
pub(crate) fn is_enabled(layer: &Layer, faults: &mut Vec<Diagnostic>) -> bool {
    Reader { layer, faults }.flag("enabled").unwrap_or(true)
}

/// Reads the merged settings of a model. `own` tells which keys the model's own file or its entry
/// in a YAML file set; what only comes from a folder may not fit every model in it.
pub(crate) fn model(layer: &Layer, zone: &Zone, own: &Layer, faults: &mut Vec<Diagnostic>) -> Config {
    let told = faults.len();
    let mut reader = Reader { layer, faults };
    let zone = reader.zone("timezone").unwrap_or_else(|| zone.clone());
    let (kind, cut) = reader.kind();
    let begin = reader.instant("begin", &zone);
    let end = reader.instant("end", &zone);
    let schedule = reader.schedule(&zone);
    let mut config = Config {
        interval_place: ["interval", "batch_size", "materialized"]
            .into_iter()
            .find_map(|key| Some(reader.get(key)?.place.clone())),
        has_unreadable: false,
        event_time: reader.text("event_time"),
        begin,
        end,
        lookback: reader.count("lookback", 0).unwrap_or(0),
        schedule,
        settle_us: reader.duration("settle").unwrap_or(0),
        partial: reader.flag("partial").unwrap_or(false),
        missed: reader.missed(&cut),
        batch: reader.count("batch", 1),
        keys: reader.keys(),
        reads: reader.reads(),
        restate_on: reader.placed_texts("restate_on"),
        schema: reader.name("schema"),
        target_schema: None,
        alias: reader.name("alias"),
        tags: reader.placed_texts("tags").into_iter().map(|(tag, _)| tag).collect(),
        owner: reader.text("owner"),
        description: reader.text("description"),
        publish: reader.publish(),
        hooks: reader.around(),
        incremental: (kind == Kind::Incremental).then(|| reader.incremental()),
        snapshot: None,
        kind,
        cut,
        zone,
    };
    config.has_unreadable = faults.len() > told;
    check_fit(&config, layer, own, faults);
    config
}

/// Reads the merged settings of a seed.
pub(crate) fn seed(layer: &Layer, zone: &Zone, faults: &mut Vec<Diagnostic>) -> Config {
    let mut reader = Reader { layer, faults };
    Config {
        kind: Kind::Seed,
        incremental: None,
        snapshot: None,
        cut: Cut::Whole,
        zone: reader.zone("timezone").unwrap_or_else(|| zone.clone()),
        event_time: reader.text("event_time"),
        begin: None,
        end: None,
        lookback: 0,
        schedule: None,
        settle_us: 0,
        partial: false,
        missed: Missed::Latest,
        batch: None,
        keys: Vec::new(),
        reads: BTreeMap::new(),
        restate_on: Vec::new(),
        schema: reader.name("schema"),
        target_schema: None,
        alias: reader.name("alias"),
        tags: reader.placed_texts("tags").into_iter().map(|(tag, _)| tag).collect(),
        owner: reader.text("owner"),
        description: reader.text("description"),
        publish: reader.publish(),
        hooks: reader.around(),
        interval_place: None,
        has_unreadable: false,
    }
}

/// Reads the merged settings of a snapshot: those of a seed, a schedule, and what it compares.
pub(crate) fn snapshot(layer: &Layer, zone: &Zone, faults: &mut Vec<Diagnostic>) -> Config {
    let told = faults.len();
    let plain = seed(layer, zone, faults);
    let mut reader = Reader { layer, faults };
    let schedule = reader.schedule(&plain.zone);
    let snapshot = reader.snapshot();
    let target_schema = reader.name("target_schema");
    Config {
        kind: Kind::Snapshot,
        incremental: Some(Incremental {
            strategy: Strategy::Merge {
                unique_key: vec![SCD_ID.to_owned()],
            },
            on_schema_change: SchemaChange::AppendNewColumns,
            full_refresh: None,
            names_things: snapshot
                .as_ref()
                .map(|snapshot| snapshot.unique_key.clone())
                .unwrap_or_default(),
        }),
        snapshot,
        schedule,
        target_schema,
        has_unreadable: faults.len() > told,
        ..plain
    }
}

/// The items of a list; anything else is a list of one.
pub(crate) fn as_list(value: &Json) -> Vec<Json> {
    match value {
        Json::Array(items) => items.clone(),
        Json::Null => Vec::new(),
        Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_) => vec![value.clone()],
    }
}

/// Settings that do nothing for this kind of model are a mistake, unless a folder gave them.
fn check_fit(config: &Config, layer: &Layer, own: &Layer, faults: &mut Vec<Diagnostic>) {
    const INTERVAL_ONLY: &[&str] = &["begin", "end", "lookback", "settle", "partial", "batch", "batch_size"];
    if config.kind != Kind::Interval {
        for (key, setting) in own.iter().filter(|(key, _)| INTERVAL_ONLY.contains(&key.as_str())) {
            faults.push(
                Diagnostic::error(
                    codes::NEEDS_INTERVAL,
                    format!("`{key}` has a meaning only for a model that is filled by intervals"),
                )
                .at(setting.place.clone())
                .with_remedy(format!("add `interval='day'`, or remove `{key}`")),
            );
        }
    }
    check_incremental(config, layer, own, faults);
    if config.kind == Kind::Ephemeral {
        let hooks = ["pre_hook", "post_hook"].into_iter().filter_map(|key| own.get(key));
        faults.extend(hooks.map(|hook| hooks::without_fill(hook.place.clone())));
    }
    if config.kind.is_query() {
        let useless = ["keys", "schedule", "publish"]
            .into_iter()
            .filter_map(|key| Some((key, own.get(key)?)));
        for (key, setting) in useless {
            let code = if key == "keys" {
                codes::KEYS_MISUSED
            } else {
                codes::CONFLICTING_CONFIG
            };
            faults.push(
                Diagnostic::error(
                    code,
                    format!("`{key}` has no meaning for a view or an ephemeral model: it stores nothing"),
                )
                .at(setting.place.clone())
                .with_remedy(format!(
                    "write `materialized='table'` or `interval='day'`, or remove `{key}`"
                )),
            );
        }
    }
}

/// What is said of how rows are taken in, where it has no meaning or is not done.
fn check_incremental(config: &Config, layer: &Layer, own: &Layer, faults: &mut Vec<Diagnostic>) {
    const OTHER_ROWS: [&str; 4] = [
        "merge_update_columns",
        "merge_exclude_columns",
        "incremental_predicates",
        "predicates",
    ];
    if !config.kind.keeps_rows() {
        let useless = ["unique_key", "on_schema_change"]
            .into_iter()
            .filter_map(|key| Some((key, own.get(key)?)));
        for (key, setting) in useless {
            faults.push(
                Diagnostic::warning(
                    codes::CONFLICTING_CONFIG,
                    format!("`{key}` has a meaning only for an incremental model: others are made anew as a whole"),
                )
                .at(setting.place.clone())
                .with_remedy(format!("write `materialized='incremental'`, or remove `{key}`")),
            );
        }
    }
    for key in OTHER_ROWS.into_iter().filter(|_| config.kind == Kind::Incremental) {
        if let Some(setting) = layer.get(key).filter(|setting| !as_list(&setting.value).is_empty()) {
            faults.push(
                Diagnostic::error(
                    codes::UNSUPPORTED_CONFIG,
                    format!("`{key}` is not done: without it the table would get other rows"),
                )
                .at(setting.place.clone())
                .with_remedy("write the rows as they are to stand in the table, and remove it"),
            );
        }
    }
    if config.kind == Kind::Incremental
        && let Some(setting) = own.get("keys")
    {
        faults.push(
            Diagnostic::error(codes::KEYS_MISUSED, "an incremental model has no `keys` of its own")
                .at(setting.place.clone())
                .with_remedy("write `unique_key` for the columns by which rows are replaced, or fill it by intervals: `interval='day'`"),
        );
    }
}
