//! The configuration of models and seeds: layers of settings, each with its place, merged and read
//! into values. Where it contradicts the rest of the project is not known here.

use std::collections::BTreeMap;

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place},
    grid::{Cut, Unit, Zone},
    interval::Instant,
    project::{KeyColumn, Missed},
    schedule::Schedule,
};
use serde_json::Value as Json;

use crate::{
    text,
    values::{bad_name, key_values, parse_cron, parse_duration, parse_instant, parse_window, parse_zone},
};

/// One setting and where it is written.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) value: Json,
    pub(crate) place: Place,
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
    "schema",
    "alias",
    "enabled",
    "tags",
    "owner",
    "description",
    "meta",
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
    "meta",
];

/// Keys whose value is a mapping, so that a mapping under them is no folder.
pub(crate) const MAPPING_KEYS: &[&str] = &["keys", "reads", "meta"];

/// How a model is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Table,
    View,
    Ephemeral,
    Interval,
    Seed,
}

impl Kind {
    /// Whether its query is put in the place of its name.
    pub(crate) fn is_query(self) -> bool {
        match self {
            Self::View | Self::Ephemeral => true,
            Self::Table | Self::Interval | Self::Seed => false,
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

/// A value and where it is written.
pub(crate) type Placed<T> = (T, Place);

/// The configuration of one model or seed, read.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) kind: Kind,
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
    pub(crate) alias: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) owner: Option<String>,
    pub(crate) description: Option<String>,
    /// Where the interval is set, if it is.
    pub(crate) interval_place: Option<Place>,
    /// Whether a setting could not be read, so that its absence is not worth a word.
    pub(crate) has_unreadable: bool,
}

/// Lays a nearer layer over a farther one. Tags add up, as in dbt; everything else is replaced.
pub(crate) fn overlay(under: &mut Layer, over: &Layer) {
    for (key, setting) in over {
        let mut setting = setting.clone();
        if let Some(below) = under.get(key).filter(|_| key == "tags") {
            let mut tags = as_list(&below.value);
            tags.extend(as_list(&setting.value));
            tags.dedup();
            setting.value = Json::Array(tags);
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
        missed: reader
            .missed()
            .unwrap_or(if cut == Cut::Whole { Missed::Latest } else { Missed::All }),
        batch: reader.count("batch", 1),
        keys: reader.keys(),
        reads: reader.reads(),
        restate_on: reader.placed_texts("restate_on"),
        schema: reader.name("schema"),
        alias: reader.name("alias"),
        tags: reader.placed_texts("tags").into_iter().map(|(tag, _)| tag).collect(),
        owner: reader.text("owner"),
        description: reader.text("description"),
        kind,
        cut,
        zone,
    };
    config.has_unreadable = faults.len() > told;
    check_fit(&config, own, faults);
    config
}

/// Reads the merged settings of a seed.
pub(crate) fn seed(layer: &Layer, zone: &Zone, faults: &mut Vec<Diagnostic>) -> Config {
    let mut reader = Reader { layer, faults };
    Config {
        kind: Kind::Seed,
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
        alias: reader.name("alias"),
        tags: reader.placed_texts("tags").into_iter().map(|(tag, _)| tag).collect(),
        owner: reader.text("owner"),
        description: reader.text("description"),
        interval_place: None,
        has_unreadable: false,
    }
}

fn as_list(value: &Json) -> Vec<Json> {
    match value {
        Json::Array(items) => items.clone(),
        Json::Null => Vec::new(),
        Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_) => vec![value.clone()],
    }
}

/// What a value is, for messages: the value itself, cut to a readable length.
fn shown(value: &Json) -> String {
    const SHOWN: usize = 60;
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if text.chars().count() <= SHOWN {
        return text;
    }
    text.chars().take(SHOWN).chain(['…']).collect()
}

struct Reader<'a> {
    layer: &'a Layer,
    faults: &'a mut Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    fn get(&self, key: &str) -> Option<&'a Setting> {
        self.layer.get(key).filter(|setting| !setting.value.is_null())
    }

    fn bad<T>(&mut self, key: &str, setting: &Setting, remedy: impl Into<String>) -> Option<T> {
        self.faults.push(
            Diagnostic::error(
                codes::BAD_VALUE,
                format!("`{key}` cannot be `{}`", shown(&setting.value)),
            )
            .at(setting.place.clone())
            .with_remedy(remedy),
        );
        None
    }

    fn text(&mut self, key: &str) -> Option<String> {
        let setting = self.get(key)?;
        match &setting.value {
            Json::String(text) => Some(text.clone()),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
                self.bad(key, setting, "write a text, in quotes")
            }
        }
    }

    fn name(&mut self, key: &str) -> Option<String> {
        let name = self.text(key)?;
        let setting = self.get(key)?;
        match bad_name(&name) {
            None => Some(name),
            Some(why) => {
                self.faults.push(
                    Diagnostic::error(codes::BAD_NAME, format!("`{key}` cannot be `{name}`: {why}"))
                        .at(setting.place.clone())
                        .with_remedy("use letters, digits and `_`, beginning with a letter"),
                );
                None
            }
        }
    }

    fn flag(&mut self, key: &str) -> Option<bool> {
        let setting = self.get(key)?;
        match setting.value.as_bool() {
            Some(flag) => Some(flag),
            None => self.bad(key, setting, "write `true` or `false`"),
        }
    }

    fn count(&mut self, key: &str, least: u32) -> Option<u32> {
        let setting = self.get(key)?;
        match setting.value.as_u64().and_then(|count| u32::try_from(count).ok()) {
            Some(count) if count >= least => Some(count),
            _ => self.bad(key, setting, format!("write a whole number from {least}")),
        }
    }

    fn duration(&mut self, key: &str) -> Option<i64> {
        let setting = self.get(key)?;
        match setting.value.as_str().and_then(parse_duration) {
            Some(span) => Some(span),
            None => self.bad(key, setting, "write a number and a unit: `3d`, `12h`, `30m`"),
        }
    }

    fn zone(&mut self, key: &str) -> Option<Zone> {
        let setting = self.get(key)?;
        let name = self.text(key)?;
        parse_zone(&name, &setting.place)
            .map_err(|fault| self.faults.push(fault))
            .ok()
    }

    fn instant(&mut self, key: &str, zone: &Zone) -> Option<Placed<Instant>> {
        let setting = self.get(key)?;
        match setting.value.as_str().and_then(|text| parse_instant(text, zone)) {
            Some(instant) => Some((instant, setting.place.clone())),
            None => self.bad(
                key,
                setting,
                "write a date such as `2022-01-01`, or a time such as `2022-01-01 05:00`",
            ),
        }
    }

    fn placed_texts(&mut self, key: &str) -> Vec<Placed<String>> {
        let Some(setting) = self.get(key) else {
            return Vec::new();
        };
        let mut texts = Vec::new();
        for item in as_list(&setting.value) {
            match item.as_str() {
                Some(text) => texts.push((text.to_owned(), setting.place.clone())),
                None => self.bad(key, setting, "write a list of texts").unwrap_or(()),
            }
        }
        texts
    }

    fn missed(&mut self) -> Option<Missed> {
        let setting = self.get("missed")?;
        match setting.value.as_str() {
            Some("latest") => Some(Missed::Latest),
            Some("all") => Some(Missed::All),
            Some("none") => Some(Missed::None),
            _ => self.bad("missed", setting, "write `latest`, `all` or `none`"),
        }
    }

    fn schedule(&mut self, zone: &Zone) -> Option<Placed<Schedule>> {
        let setting = self.get("schedule")?;
        let place = setting.place.clone();
        let (cron, zone) = match &setting.value {
            Json::String(cron) => (cron.clone(), zone.clone()),
            Json::Object(fields) => {
                for key in fields
                    .keys()
                    .filter(|key| !["cron", "timezone"].contains(&key.as_str()))
                {
                    self.faults.push(crate::yaml::unknown_key(
                        place.clone(),
                        key,
                        &["cron", "timezone"],
                        "`schedule`",
                    ));
                }
                let zone = match fields.get("timezone").and_then(Json::as_str) {
                    Some(name) => parse_zone(name, &place).map_err(|fault| self.faults.push(fault)).ok()?,
                    None => zone.clone(),
                };
                let Some(cron) = fields.get("cron").and_then(Json::as_str) else {
                    return self.bad(
                        "schedule",
                        setting,
                        "write `{cron: \"0 5 * * *\", timezone: Asia/Seoul}`",
                    );
                };
                (cron.to_owned(), zone)
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) => {
                return self.bad("schedule", setting, "write a cron such as `0 5 * * *`");
            }
        };
        let cron = parse_cron(&cron, &place)
            .map_err(|fault| self.faults.push(fault))
            .ok()?;
        Some((Schedule { cron, zone }, place))
    }

    fn kind(&mut self) -> (Kind, Cut) {
        let interval = self.cut("interval");
        let batch_size = self.cut("batch_size");
        let materialized = self
            .get("materialized")
            .and_then(|setting| match setting.value.as_str() {
                Some("table") => Some(Kind::Table),
                Some("view") => Some(Kind::View),
                Some("ephemeral") => Some(Kind::Ephemeral),
                Some("incremental") => Some(Kind::Interval),
                _ => self.bad(
                    "materialized",
                    setting,
                    "write `table`, `view`, `ephemeral` or `incremental`; with `interval` it is not needed",
                ),
            });
        if let (Some(_), Some(Kind::Table | Kind::View | Kind::Ephemeral)) = (&interval, materialized) {
            self.contradiction(
                "interval",
                "materialized",
                "a model with an interval is a table filled by intervals",
            );
        }
        if let (Some(one), Some(other)) = (&interval, &batch_size)
            && one != other
        {
            self.contradiction("interval", "batch_size", "both say how the time is cut, and differ");
        }
        match (interval, materialized) {
            (Some(cut), _) => (Kind::Interval, cut),
            // An interval that cannot be read is told already; it is taken for a day, so that the
            // settings beside it are not told to be without meaning.
            (None, _) if self.get("interval").is_some() => (Kind::Interval, Cut::Unit(Unit::Day)),
            (None, Some(Kind::Interval)) => self.incremental(batch_size),
            (None, Some(kind)) => (kind, Cut::Whole),
            // What dbt does where nothing is said.
            (None, None) => (Kind::View, Cut::Whole),
        }
    }

    fn incremental(&mut self, batch_size: Option<Cut>) -> (Kind, Cut) {
        let strategy = self.get("incremental_strategy");
        let place = strategy
            .or_else(|| self.get("materialized"))
            .map(|setting| setting.place.clone());
        let is_microbatch = strategy.is_some_and(|setting| setting.value == "microbatch");
        let fault = match (&batch_size, is_microbatch) {
            (Some(cut), true) => return (Kind::Interval, cut.clone()),
            (None, true) => Diagnostic::error(
                codes::MISSING_KEY,
                "a microbatch model has to say its `batch_size`: how its time is cut",
            )
            .with_remedy("add `batch_size='day'`, or write the short form `interval='day'`"),
            (_, false) => Diagnostic::error(
                codes::UNSUPPORTED_CONFIG,
                "an incremental model is filled by intervals here; other strategies are not done",
            )
            .with_remedy("write `interval='day'`, or `incremental_strategy='microbatch', batch_size='day'`"),
        };
        self.faults.push(match place {
            Some(place) => fault.at(place),
            None => fault,
        });
        // Goes on as if it said day, so that its other faults are found too.
        (Kind::Interval, batch_size.unwrap_or(Cut::Unit(Unit::Day)))
    }

    fn contradiction(&mut self, one: &str, other: &str, why: &str) {
        let (Some(first), Some(second)) = (self.get(one), self.get(other)) else {
            return;
        };
        self.faults.push(
            Diagnostic::error(
                codes::CONFLICTING_CONFIG,
                format!(
                    "`{one}` is `{}` and `{other}` is `{}`: {why}",
                    shown(&first.value),
                    shown(&second.value)
                ),
            )
            .at(first.place.clone())
            .with_related(second.place.clone(), format!("`{other}`"))
            .with_remedy("remove one of them"),
        );
    }

    fn cut(&mut self, key: &str) -> Option<Cut> {
        let setting = self.get(key)?;
        let Some(text) = setting.value.as_str() else {
            return self.bad(key, setting, "write `hour`, `day`, `week`, `month`, `year` or a cron");
        };
        if let Ok(unit) = text.parse::<Unit>() {
            return Some(Cut::Unit(unit));
        }
        if text.split_whitespace().count() > 1 {
            let cron = parse_cron(text, &setting.place)
                .map_err(|fault| self.faults.push(fault))
                .ok()?;
            return Some(Cut::Cron(cron));
        }
        let units = ["hour", "day", "week", "month", "year"];
        let meant = if text == "daily" {
            "day"
        } else {
            text.trim_end_matches("ly")
        };
        let near = units.into_iter().find(|unit| *unit == meant);
        let remedy = near.or_else(|| text::nearest(text, units)).map_or_else(
            || "write `hour`, `day`, `week`, `month`, `year` or a cron".to_owned(),
            |near| format!("write `{near}`"),
        );
        self.bad(key, setting, remedy)
    }

    fn keys(&mut self) -> Vec<KeyColumn> {
        const REMEDY: &str = "write each key column with its values: `keys={'country': ['kr', 'jp']}`";
        let Some(setting) = self.get("keys") else {
            return Vec::new();
        };
        let Some(columns) = setting.value.as_object() else {
            self.bad::<()>("keys", setting, REMEDY);
            return Vec::new();
        };
        let mut keys = Vec::new();
        for (name, values) in columns {
            match key_values(name, values) {
                Ok(values) => keys.push(KeyColumn {
                    name: name.clone(),
                    values,
                }),
                Err(why) => self.faults.push(
                    Diagnostic::error(codes::KEYS_MISUSED, format!("the key `{name}` {why}"))
                        .at(setting.place.clone())
                        .with_remedy(REMEDY),
                ),
            }
        }
        keys
    }

    fn reads(&mut self) -> BTreeMap<String, Window> {
        const REMEDY: &str = "write what is read and how much of it: `reads={'events': 'last 7 days'}`";
        let Some(setting) = self.get("reads") else {
            return BTreeMap::new();
        };
        let Some(windows) = setting.value.as_object() else {
            self.bad::<()>("reads", setting, REMEDY);
            return BTreeMap::new();
        };
        let mut reads = BTreeMap::new();
        for (name, text) in windows {
            match text.as_str().and_then(parse_window) {
                Some((count, unit)) => {
                    let place = setting.place.clone();
                    reads.insert(name.clone(), Window { count, unit, place });
                }
                None => self.faults.push(
                    Diagnostic::error(
                        codes::BAD_VALUE,
                        format!("`reads` of `{name}` cannot be `{}`", shown(text)),
                    )
                    .at(setting.place.clone())
                    .with_remedy(REMEDY),
                ),
            }
        }
        reads
    }
}

/// Settings that do nothing for this kind of model are a mistake, unless a folder gave them.
fn check_fit(config: &Config, own: &Layer, faults: &mut Vec<Diagnostic>) {
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
    if config.kind.is_query() {
        let useless = ["keys", "schedule"]
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
