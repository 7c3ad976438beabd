//! What a node is made with: the canonical text of its SQL, and the configuration that its rows
//! depend on. Comments, layout, schedules, tests and descriptions do not count.

use std::collections::{BTreeMap, BTreeSet};

use mulgil_core::{
    grid::{Cut, Grid},
    name::NodeName,
    project::{CodeFp, FileFormat, Fingerprint, Source, Strategy, Upstream},
};

use crate::{
    catalog::{Catalog, Model, SeedFile},
    config::{Config, Kind},
    snapshot, sql,
};

/// The version of the form; a new one makes everything stale.
const FORM: &str = "1";

/// The hashes of the canonical texts of views and ephemeral models so far: what their readers put
/// in. Hashes, because the text of a view over views could double with each of them.
#[derive(Debug, Default)]
pub(crate) struct Canonical(BTreeMap<NodeName, Fingerprint>);

impl Canonical {
    /// The fingerprint of a model. What it reads has to have been asked before.
    pub(crate) fn fingerprint(&mut self, model: &Model, catalog: &Catalog) -> CodeFp {
        if let Some(seed) = &model.seed {
            return CodeFp {
                code: Fingerprint::of_text(&format!("{FORM} seed {}{}", seed.content, seed_word(seed))),
                schema: Fingerprint::default(),
            };
        }
        let text = self.text(model, catalog);
        let parts = [
            FORM.to_owned(),
            kind_word(model.config.kind).to_owned(),
            cut_word(&model.grid),
            model.config.zone.to_string(),
            model.config.event_time.clone().unwrap_or_default(),
            keys_word(&model.config),
            windows_word(&model.config),
            strategy_word(&model.config),
            model.config.snapshot.as_ref().map(snapshot::word).unwrap_or_default(),
            text,
        ];
        if model.config.kind.is_query() {
            let text = &parts[parts.len() - 1];
            self.0.insert(model.name.clone(), Fingerprint::of_text(text));
        }
        CodeFp {
            code: Fingerprint::of(parts.iter().map(String::as_bytes)),
            schema: schema(model, catalog),
        }
    }

    /// The SQL in all renderings, and that of the views and ephemeral models that it names: in
    /// the same form for either, so that turning one into the other changes nothing.
    fn text(&self, model: &Model, catalog: &Catalog) -> String {
        let first = of_all_keys(model, false);
        let again = Some(of_all_keys(model, true)).filter(|again| *again != first);
        let mut text = format!("{first}\n{}\n", again.unwrap_or_default());
        text.extend(model.branches.as_deref());
        let parents: BTreeSet<&NodeName> = model
            .reads
            .iter()
            .filter_map(|read| match &read.from {
                Upstream::Node(name) => Some(name),
                Upstream::Source(_) => None,
            })
            .filter(|name| catalog.model(name).is_some_and(|parent| parent.config.kind.is_query()))
            .collect();
        for parent in parents {
            let inner = self.0.get(parent).copied().unwrap_or_default();
            text.extend([parent.as_str(), " ", &inner.to_string(), "\n"]);
        }
        text
    }
}

/// The one text of all keys; or each text with its keys, so that a new key makes all of them stale,
/// as it may have changed any.
fn of_all_keys(model: &Model, is_incremental: bool) -> String {
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for one in model
        .renderings()
        .filter(|one| one.facts.is_incremental == is_incremental)
    {
        let keys = texts.entry(sql::canonical(&one.form)).or_default();
        keys.extend(one.keys.iter().map(ToString::to_string));
    }
    match texts.len() {
        0 | 1 => texts.into_keys().collect(),
        _ => texts
            .into_iter()
            .map(|(text, keys)| format!("{}: {text}\n", keys.join(";")))
            .collect(),
    }
}

fn schema(model: &Model, catalog: &Catalog) -> Fingerprint {
    let sources: BTreeSet<&NodeName> = model
        .bases
        .iter()
        .filter_map(|base| match &base.from {
            Upstream::Source(name) => Some(name),
            Upstream::Node(_) => None,
        })
        .collect();
    let shapes: Vec<String> = sources
        .into_iter()
        .filter_map(|name| catalog.sources.get(name))
        .map(shape)
        .collect();
    Fingerprint::of(shapes.iter().map(String::as_bytes))
}

fn shape(source: &Source) -> String {
    format!(
        "{} {:?} {:?} {:?} {}",
        source.name, source.format, source.columns, source.event_time, source.zone
    )
}

fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Table => "table",
        Kind::View => "view",
        Kind::Ephemeral => "ephemeral",
        Kind::Interval => "interval",
        Kind::Incremental => "incremental",
        Kind::Snapshot => "snapshot",
        Kind::Seed => "seed",
    }
}

/// How a seed's file is read; nothing where it is as without any setting.
fn seed_word(seed: &SeedFile) -> String {
    let plain = FileFormat::Csv {
        delimiter: ',',
        null_words: Vec::new(),
    };
    if seed.format == plain && seed.columns.is_empty() {
        return String::new();
    }
    format!(" {:?} {:?}", seed.format, seed.columns)
}

fn cut_word(grid: &Grid) -> String {
    match &grid.cut {
        Cut::Whole => "whole".to_owned(),
        Cut::Unit(unit) => unit.as_str().to_owned(),
        Cut::Cron(cron) => cron.as_str().to_owned(),
    }
}

fn keys_word(config: &Config) -> String {
    let names: Vec<&str> = config.keys.iter().map(|key| key.name.as_str()).collect();
    names.join(",")
}

/// What becomes of rows; the rule for columns changes none.
fn strategy_word(config: &Config) -> String {
    match config.incremental.as_ref().map(|incremental| &incremental.strategy) {
        None => String::new(),
        Some(Strategy::Append) => "append".to_owned(),
        Some(Strategy::Merge { unique_key }) => format!("merge {}", unique_key.join(",")),
        Some(Strategy::DeleteInsert { unique_key }) => format!("delete+insert {}", unique_key.join(",")),
    }
}

fn windows_word(config: &Config) -> String {
    let windows: Vec<String> = config
        .reads
        .iter()
        .map(|(name, window)| format!("{name} {} {}", window.count, window.unit.as_str()))
        .collect();
    windows.join(",")
}
