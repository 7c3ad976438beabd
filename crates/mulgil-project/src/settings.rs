//! Settings of a model or seed, one by one: from what was written to a value, or a fault at its
//! place.

use std::collections::BTreeMap;

use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    grid::{Cut, Unit, Zone},
    interval::Instant,
    project::{Incremental, KeyColumn, Missed, Publish, SchemaChange, Strategy},
    schedule::Schedule,
};
use serde_json::Value as Json;

use crate::{
    config::{Around, Hook, Kind, Layer, Placed, Setting, Window, as_list},
    snapshot::{self, CheckColumns, HardDeletes, Snapshot},
    text,
    values::{bad_name, key_values, parse_cron, parse_duration, parse_instant, parse_window, parse_zone},
    yaml,
};

/// What a schedule in a zone of its own says.
pub(crate) const SCHEDULE_KEYS: &[&str] = &["cron", "timezone"];

/// What a value is, for messages: the value itself, cut to a readable length.
fn shown(value: &Json) -> String {
    const SHOWN: usize = 60;
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if text.chars().count() <= SHOWN {
        return text;
    }
    text.chars().take(SHOWN).chain(['…']).collect()
}

/// A hook as dbt takes it: a text; a mapping with `sql`; or such a mapping as JSON, which dbt's own
/// macros write.
fn hook_of(value: &Json) -> Option<(bool, String)> {
    match value {
        Json::String(text) => {
            let written = serde_json::from_str::<Json>(text).ok();
            let mapping = written.filter(|written| written.get("sql").is_some());
            mapping.map_or_else(|| Some((true, text.clone())), |mapping| hook_of(&mapping))
        }
        Json::Object(fields) => {
            let is_inside = match fields.get("transaction") {
                None | Some(Json::Null) => true,
                Some(Json::Bool(is_inside)) => *is_inside,
                Some(Json::Number(_) | Json::String(_) | Json::Array(_) | Json::Object(_)) => return None,
            };
            Some((is_inside, fields.get("sql")?.as_str()?.to_owned()))
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) => None,
    }
}

/// Reads the settings of one model or seed, and tells what cannot be read.
pub(crate) struct Reader<'a> {
    pub(crate) layer: &'a Layer,
    pub(crate) faults: &'a mut Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    pub(crate) fn get(&self, key: &str) -> Option<&'a Setting> {
        self.layer.get(key).filter(|setting| !setting.value.is_null())
    }

    pub(crate) fn bad<T>(&mut self, key: &str, setting: &Setting, remedy: impl Into<String>) -> Option<T> {
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

    pub(crate) fn text(&mut self, key: &str) -> Option<String> {
        let setting = self.get(key)?;
        match &setting.value {
            Json::String(text) => Some(text.clone()),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
                self.bad(key, setting, "write a text, in quotes")
            }
        }
    }

    pub(crate) fn name(&mut self, key: &str) -> Option<String> {
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

    pub(crate) fn flag(&mut self, key: &str) -> Option<bool> {
        let setting = self.get(key)?;
        match setting.value.as_bool() {
            Some(flag) => Some(flag),
            None => self.bad(key, setting, "write `true` or `false`"),
        }
    }

    pub(crate) fn count(&mut self, key: &str, least: u32) -> Option<u32> {
        let setting = self.get(key)?;
        match setting.value.as_u64().and_then(|count| u32::try_from(count).ok()) {
            Some(count) if count >= least => Some(count),
            _ => self.bad(key, setting, format!("write a whole number from {least}")),
        }
    }

    pub(crate) fn duration(&mut self, key: &str) -> Option<i64> {
        let setting = self.get(key)?;
        match setting.value.as_str().and_then(parse_duration) {
            Some(span) => Some(span),
            None => self.bad(key, setting, "write a number and a unit: `3d`, `12h`, `30m`"),
        }
    }

    pub(crate) fn zone(&mut self, key: &str) -> Option<Zone> {
        let setting = self.get(key)?;
        let name = self.text(key)?;
        parse_zone(&name, &setting.place)
            .map_err(|fault| self.faults.push(fault))
            .ok()
    }

    pub(crate) fn instant(&mut self, key: &str, zone: &Zone) -> Option<Placed<Instant>> {
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

    /// The hooks. Those outside of dbt's transaction stand outside of the others.
    pub(crate) fn around(&mut self) -> Around {
        let (mut before, mut after) = (self.hooks("pre_hook"), self.hooks("post_hook"));
        before.sort_by_key(|(is_inside, _)| *is_inside);
        after.sort_by_key(|(is_inside, _)| !*is_inside);
        let texts = |hooks: Vec<(bool, Hook)>| hooks.into_iter().map(|(_, hook)| hook).collect();
        Around {
            before: texts(before),
            after: texts(after),
        }
    }

    /// The hooks of a setting, each with whether dbt runs it inside of the model's transaction.
    fn hooks(&mut self, key: &str) -> Vec<(bool, Hook)> {
        let Some(setting) = self.get(key) else {
            return Vec::new();
        };
        let mut hooks = Vec::new();
        for item in as_list(&setting.value) {
            let Some((is_inside, sql)) = hook_of(&item) else {
                self.bad(
                    key,
                    setting,
                    "write SQL, a list of SQL, or `{sql: …, transaction: false}`",
                )
                .unwrap_or(());
                continue;
            };
            let place = setting.place.clone();
            hooks.push((is_inside, Hook { sql, place }));
        }
        hooks
    }

    pub(crate) fn placed_texts(&mut self, key: &str) -> Vec<Placed<String>> {
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

    /// What is done with missed ticks. To give ticks up somebody has to be there when they pass, so
    /// that without a server each node has what its kind has by itself.
    pub(crate) fn missed(&mut self, cut: &Cut) -> Missed {
        let usual = if *cut == Cut::Whole {
            Missed::Latest
        } else {
            Missed::All
        };
        let Some(setting) = self.get("missed") else {
            return usual;
        };
        let said = match setting.value.as_str() {
            Some("latest") => Some(Missed::Latest),
            Some("all") => Some(Missed::All),
            Some("none") => Some(Missed::None),
            _ => self.bad("missed", setting, "write `latest`, `all` or `none`"),
        };
        if said.is_some_and(|said| said != usual) {
            let remedy = match usual {
                Missed::Latest => "leave it out: a node without intervals is made once for all ticks that were missed",
                Missed::All | Missed::None => "leave it out: every interval that was missed is filled by the next run",
            };
            self.bad::<Missed>("missed", setting, remedy);
        }
        usual
    }

    pub(crate) fn publish(&mut self) -> Publish {
        let Some(setting) = self.get("publish") else {
            return Publish::default();
        };
        match setting.value.as_str() {
            Some("at_once") => Publish::AtOnce,
            Some("after_tests") => Publish::AfterTests,
            _ => self
                .bad("publish", setting, "write `at_once` or `after_tests`")
                .unwrap_or_default(),
        }
    }

    pub(crate) fn schedule(&mut self, zone: &Zone) -> Option<Placed<Schedule>> {
        let setting = self.get("schedule")?;
        let place = setting.place.clone();
        let (cron, zone) = match &setting.value {
            Json::String(cron) => (cron.clone(), zone.clone()),
            Json::Object(fields) => {
                for key in fields.keys().filter(|key| !SCHEDULE_KEYS.contains(&key.as_str())) {
                    self.faults
                        .push(yaml::unknown_key(place.clone(), key, SCHEDULE_KEYS, "`schedule`"));
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

    pub(crate) fn kind(&mut self) -> (Kind, Cut) {
        let interval = self.cut("interval");
        let batch_size = self.cut("batch_size");
        let materialized = self
            .get("materialized")
            .and_then(|setting| match setting.value.as_str() {
                Some("table") => Some(Kind::Table),
                Some("view") => Some(Kind::View),
                Some("ephemeral") => Some(Kind::Ephemeral),
                Some("incremental") => Some(Kind::Incremental),
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
            (None, Some(Kind::Incremental)) => self.incremental_kind(batch_size),
            (None, Some(kind)) => (kind, Cut::Whole),
            // What dbt does where nothing is said.
            (None, None) => (Kind::View, Cut::Whole),
        }
    }

    /// An incremental model in dbt's words: by intervals with the strategy microbatch, else as its
    /// strategy says.
    fn incremental_kind(&mut self, batch_size: Option<Cut>) -> (Kind, Cut) {
        let strategy = self.get("incremental_strategy");
        let is_microbatch = strategy.is_some_and(|setting| setting.value == "microbatch");
        match (batch_size, is_microbatch, strategy) {
            (Some(cut), true, _) => (Kind::Interval, cut),
            (None, true, Some(setting)) => {
                self.faults.push(
                    Diagnostic::error(
                        codes::MISSING_KEY,
                        "a microbatch model has to say its `batch_size`: how its time is cut",
                    )
                    .at(setting.place.clone())
                    .with_remedy("add `batch_size='day'`, or write the short form `interval='day'`"),
                );
                // Goes on as if it said day, so that its other faults are found too.
                (Kind::Interval, Cut::Unit(Unit::Day))
            }
            (Some(_) | None, _, _) => (Kind::Incremental, Cut::Whole),
        }
    }

    /// How an incremental table takes in rows. Without a strategy as in dbt: by its key where it has
    /// one, else they are added.
    pub(crate) fn incremental(&mut self) -> Incremental {
        let unique_key: Vec<String> = self
            .placed_texts("unique_key")
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        let strategy = match self.get("incremental_strategy") {
            None => None,
            Some(setting) => match setting.value.as_str() {
                Some("default") => None,
                Some(known @ ("append" | "merge" | "delete+insert")) => Some((known, setting)),
                Some("insert_overwrite") => {
                    self.faults.push(
                        Diagnostic::error(
                            codes::UNSUPPORTED_CONFIG,
                            "partitions are not overwritten here: a table is filled by intervals, each replaced as a whole",
                        )
                        .at(setting.place.clone())
                        .with_remedy("write `interval='day'` and the `event_time` by which the table is partitioned"),
                    );
                    None
                }
                _ => self.bad(
                    "incremental_strategy",
                    setting,
                    "write `append`, `merge`, `delete+insert` or `microbatch`",
                ),
            },
        };
        let strategy = match strategy {
            Some(("append", _)) => Strategy::Append,
            Some(("delete+insert", _)) if !unique_key.is_empty() => Strategy::DeleteInsert { unique_key },
            Some((_, setting)) if unique_key.is_empty() => {
                self.faults.push(
                    Diagnostic::error(
                        codes::MISSING_KEY,
                        format!(
                            "`{}` needs a `unique_key`: by which columns rows are the same",
                            shown(&setting.value)
                        ),
                    )
                    .at(setting.place.clone())
                    .with_remedy(
                        "add `unique_key='id'`, or a list of columns; or write `incremental_strategy='append'`",
                    ),
                );
                Strategy::Append
            }
            Some(_) => Strategy::Merge { unique_key },
            None if unique_key.is_empty() => Strategy::Append,
            None => Strategy::DeleteInsert { unique_key },
        };
        Incremental {
            strategy,
            on_schema_change: self.on_schema_change(),
            full_refresh: self.flag("full_refresh"),
            names_things: Vec::new(),
        }
    }

    /// What a snapshot compares; nothing where it cannot be told.
    pub(crate) fn snapshot(&mut self) -> Option<Snapshot> {
        let unique_key = self.required_columns("unique_key", "by which columns rows are the same thing")?;
        let updated_at = self.text("updated_at");
        let Some(setting) = self.get("strategy") else {
            self.missing(
                "strategy",
                "write `strategy='timestamp'` with `updated_at`, or `strategy='check'` with `check_cols`",
            );
            return None;
        };
        let strategy = match setting.value.as_str() {
            Some("timestamp") => {
                let Some(updated_at) = updated_at else {
                    self.missing("updated_at", "name the column that says when a row last changed");
                    return None;
                };
                snapshot::Strategy::Timestamp { updated_at }
            }
            Some("check") => {
                let is_all = self.get("check_cols").is_some_and(|setting| setting.value == "all");
                let columns = if is_all {
                    CheckColumns::All
                } else {
                    CheckColumns::Some(self.required_columns("check_cols", "which columns are compared, or `all`")?)
                };
                snapshot::Strategy::Check { columns, updated_at }
            }
            _ => return self.bad("strategy", setting, "write `timestamp` or `check`"),
        };
        Some(Snapshot {
            unique_key,
            strategy,
            hard_deletes: self.hard_deletes(),
        })
    }

    fn hard_deletes(&mut self) -> HardDeletes {
        let is_old = self.flag("invalidate_hard_deletes").unwrap_or(false);
        let Some(setting) = self.get("hard_deletes") else {
            return if is_old {
                HardDeletes::Invalidate
            } else {
                HardDeletes::Ignore
            };
        };
        match setting.value.as_str() {
            Some("ignore") => HardDeletes::Ignore,
            Some("invalidate") => HardDeletes::Invalidate,
            Some("new_record") => HardDeletes::NewRecord,
            _ => self
                .bad("hard_deletes", setting, "write `ignore`, `invalidate` or `new_record`")
                .unwrap_or_default(),
        }
    }

    fn required_columns(&mut self, key: &str, what: &str) -> Option<Vec<String>> {
        let columns: Vec<String> = self.placed_texts(key).into_iter().map(|(name, _)| name).collect();
        if columns.is_empty() {
            if self.get(key).is_none() {
                self.missing(key, &format!("say {what}"));
            }
            return None;
        }
        Some(columns)
    }

    fn missing(&mut self, key: &str, remedy: &str) {
        let fault = Diagnostic::error(codes::MISSING_KEY, format!("a snapshot needs `{key}`")).with_remedy(remedy);
        // Beside what is there, where anything is.
        let place = self.layer.values().next().map(|setting| setting.place.clone());
        self.faults.push(match place {
            Some(place) => fault.at(place),
            None => fault,
        });
    }

    fn on_schema_change(&mut self) -> SchemaChange {
        let Some(setting) = self.get("on_schema_change") else {
            return SchemaChange::default();
        };
        match setting.value.as_str() {
            Some("ignore") => SchemaChange::Ignore,
            Some("fail") => SchemaChange::Fail,
            Some("append_new_columns") => SchemaChange::AppendNewColumns,
            Some("sync_all_columns") => SchemaChange::SyncAllColumns,
            _ => self
                .bad(
                    "on_schema_change",
                    setting,
                    "write `ignore`, `fail`, `append_new_columns` or `sync_all_columns`",
                )
                .unwrap_or_default(),
        }
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

    pub(crate) fn cut(&mut self, key: &str) -> Option<Cut> {
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

    pub(crate) fn keys(&mut self) -> Vec<KeyColumn> {
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

    pub(crate) fn reads(&mut self) -> BTreeMap<String, Window> {
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
