//! A table's history as the ledger reads it: which commits are ours, by the tag that they carry, and
//! which rows a foreign one may have changed. It reads the log as it was written, entry by entry.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use bytes::Bytes;
use deltalake::kernel::{Action, CommitInfo};
use jiff::{Timestamp, civil::Date};
use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    grid::Zone,
    interval::{Instant, Interval},
    name::{Key, Relation},
    port::{Author, Commit, CommitTag, Fault, RestoreTag, TableLog, Touched},
};

use crate::{
    commit, fault,
    hidden::{DAY, INTERVAL},
    materialize::target::{TAG, ZONE_PROPERTY, instant},
    warehouse::Warehouse,
};

/// How the app ids of all ledgers begin.
const APP_PREFIX: &str = "mulgil/";

/// Entries of a log that are held at once while they are read.
const READ_AT_ONCE: usize = 128;

/// Entries that are read at once where mostly the newest tells all.
const READ_BACK_AT_ONCE: usize = 4;

/// The commits of a table after a version, oldest first; nothing when there is no table.
pub(crate) async fn commits_after(
    warehouse: &Warehouse,
    relation: &Relation,
    after: Option<i64>,
) -> Result<Option<TableLog>, Fault> {
    let Some(table) = warehouse.open(relation).await? else {
        return Ok(None);
    };
    let folder = warehouse.folder(relation);
    let state = table.snapshot().map_err(|error| fault::delta(&error, &folder))?;
    let version = state.version() as i64;
    let layout = Layout::of(state.metadata());
    let table_id = state.metadata().id().to_owned();
    let bytes = state.log_data().iter().map(|file| file.size() as u64).sum();
    let files = state.log_data().num_files() as u64;
    let log = Log { warehouse, relation };
    let first = after.map_or(0, |after| after + 1);
    let mut commits = Vec::new();
    let (mut gap, mut highest_seq) = (false, 0);
    let versions: Vec<i64> = (first..=version).collect();
    for some in versions.chunks(READ_AT_ONCE) {
        for (number, actions) in log.read(some.to_vec()).await? {
            match actions {
                Some(actions) => {
                    let commit = describe(number, actions, &layout);
                    highest_seq = highest_seq.max(commit.seq);
                    commits.push(commit.commit);
                }
                None => gap = true,
            }
        }
    }
    if highest_seq == 0 {
        highest_seq = log.seq_before(first).await?;
    }
    Ok(Some(TableLog {
        table_id,
        version,
        highest_seq,
        commits,
        gap,
        bytes,
        files,
    }))
}

/// The log of one table.
struct Log<'a> {
    warehouse: &'a Warehouse,
    relation: &'a Relation,
}

impl Log<'_> {
    /// The actions of versions; nothing for one whose entry was cleaned away.
    async fn read(&self, versions: Vec<i64>) -> Result<Vec<(i64, Option<Vec<Action>>)>, Fault> {
        let entries = self.warehouse.read_entries(self.relation, versions.clone()).await?;
        let parsed = |(version, entry): (i64, Option<Bytes>)| {
            let actions = entry.map(|bytes| actions(&bytes)).transpose();
            let to_fault = |error| unreadable(&self.warehouse.entry(self.relation, version), &error);
            actions.map(|actions| (version, actions)).map_err(to_fault)
        };
        versions.into_iter().zip(entries).map(parsed).collect()
    }

    /// The sequence number of our newest commit before a version; 0 where none is left in the log.
    async fn seq_before(&self, version: i64) -> Result<i64, Fault> {
        let versions: Vec<i64> = (0..version).rev().collect();
        for some in versions.chunks(READ_BACK_AT_ONCE) {
            for (_, actions) in self.read(some.to_vec()).await? {
                let Some(actions) = actions else { return Ok(0) };
                let seqs = actions.iter().filter_map(|action| match action {
                    Action::Txn(txn) if txn.app_id.starts_with(APP_PREFIX) => Some(txn.version),
                    _ => None,
                });
                if let Some(seq) = seqs.max() {
                    return Ok(seq);
                }
            }
        }
        Ok(0)
    }
}

fn actions(entry: &[u8]) -> Result<Vec<Action>, serde_json::Error> {
    serde_json::Deserializer::from_slice(entry)
        .into_iter::<Action>()
        .collect()
}

/// The newest version of a table that was there at a moment.
pub(crate) async fn version_at(warehouse: &Warehouse, relation: &Relation, at: Instant) -> Result<i64, Fault> {
    let log = commits_after(warehouse, relation, None).await?.unwrap_or_default();
    let before = log.commits.iter().rev().find(|commit| commit.committed_at_us <= at.0);
    before.map(|commit| commit.version).ok_or_else(|| {
        Box::new(
            Diagnostic::error(
                codes::VERSION_GONE,
                format!("the table `{relation}` was not there at {}", at.to_timestamp()),
            )
            .with_remedy(format!("`show history for {relation}` lists its versions"))
            .with_retry(Retry::AfterHumanFix),
        )
    })
}

/// One version of a table, as people look at it.
pub(crate) struct Entry {
    /// Its number.
    pub(crate) version: i64,
    /// When it was committed, in microseconds since 1970.
    pub(crate) committed_at_us: i64,
    /// What it was, in Delta's words.
    pub(crate) operation: String,
    /// What a fill filled with it.
    pub(crate) filled: Option<String>,
}

/// The versions of a table, as far as its log goes back.
pub(crate) async fn history(warehouse: &Warehouse, relation: &Relation) -> Result<Vec<Entry>, Fault> {
    let Some(log) = commits_after(warehouse, relation, None).await? else {
        return Ok(Vec::new());
    };
    let reader = Log { warehouse, relation };
    let mut entries = Vec::with_capacity(log.commits.len());
    for commits in log.commits.chunks(READ_AT_ONCE) {
        let versions = commits.iter().map(|commit| commit.version).collect();
        for (commit, (version, actions)) in commits.iter().zip(reader.read(versions).await?) {
            let operation = actions.unwrap_or_default().into_iter().find_map(|action| match action {
                Action::CommitInfo(info) => info.operation,
                _ => None,
            });
            entries.push(Entry {
                version,
                committed_at_us: commit.committed_at_us,
                operation: operation.unwrap_or_default(),
                filled: match &commit.author {
                    Author::Ours(tag) => Some(tag.instance.to_string()),
                    Author::Restored(_) | Author::Foreign => None,
                },
            });
        }
    }
    Ok(entries)
}

/// When files of old versions were last removed, among the newest versions.
pub(crate) async fn last_vacuum(
    warehouse: &Warehouse,
    relation: &Relation,
    versions: i64,
) -> Result<Option<Instant>, Fault> {
    let Some(newest) = commits_after(warehouse, relation, Some(i64::MAX - 1)).await? else {
        return Ok(None);
    };
    let first = (newest.version - versions).max(0);
    let reader = Log { warehouse, relation };
    let mut last = None;
    for some in (first..=newest.version).collect::<Vec<_>>().chunks(READ_AT_ONCE) {
        for (_, actions) in reader.read(some.to_vec()).await? {
            last = actions
                .unwrap_or_default()
                .into_iter()
                .fold(last, |last, action| match action {
                    Action::CommitInfo(info) if info.operation.as_deref() == Some("VACUUM END") => {
                        info.timestamp.map(|at| Instant(at * 1_000)).or(last)
                    }
                    _ => last,
                });
        }
    }
    Ok(last)
}

/// How a table is partitioned.
struct Layout {
    keys: Vec<String>,
    time: Option<&'static str>,
    zone: Zone,
}

impl Layout {
    fn of(metadata: &deltalake::kernel::Metadata) -> Self {
        let columns = metadata.partition_columns();
        let zone = metadata.configuration().get(ZONE_PROPERTY);
        Self {
            keys: columns
                .iter()
                .filter(|column| *column != INTERVAL && *column != DAY)
                .cloned()
                .collect(),
            time: [INTERVAL, DAY]
                .into_iter()
                .find(|time| columns.iter().any(|column| column == time)),
            zone: zone.and_then(|name| Zone::named(name)).unwrap_or(Zone::UTC),
        }
    }

    /// What a change of a file touches; everything where it cannot tell.
    fn touched<'a>(&self, values: impl Fn(&str) -> Option<&'a str>) -> Touched {
        let everything = Touched {
            instance_key: Key::default(),
            at: Interval::WHOLE,
        };
        let mut key = BTreeMap::new();
        for column in &self.keys {
            match values(column) {
                Some(value) => key.insert(column.clone(), value.to_owned()),
                None => return everything,
            };
        }
        let at = match self.time {
            None => Some(Interval::WHOLE),
            Some(INTERVAL) => values(INTERVAL).and_then(instant).and_then(moment),
            Some(_) => values(DAY).and_then(|day| self.day(day)),
        };
        match at {
            Some(at) => Touched {
                instance_key: Key(key),
                at,
            },
            None => everything,
        }
    }

    fn day(&self, text: &str) -> Option<Interval> {
        let date: Date = text.parse().ok()?;
        let start = |date: Date| -> Option<Timestamp> {
            let zoned = date.to_zoned(self.zone.tz().clone()).ok()?;
            Some(zoned.start_of_day().ok()?.timestamp())
        };
        let (from, to) = (start(date)?, start(date.tomorrow().ok()?)?);
        Interval::new(Instant::from_timestamp(from), Instant::from_timestamp(to))
    }
}

/// The shortest range that holds an instant.
fn moment(at: Instant) -> Option<Interval> {
    Interval::new(at, Instant(at.0.checked_add(1)?))
}

/// A commit with the highest sequence number that it records for any ledger; 0 for none.
struct Described {
    commit: Commit,
    seq: i64,
}

fn describe(version: i64, actions: Vec<Action>, layout: &Layout) -> Described {
    let (mut seq, mut committed_at_us, mut tag, mut is_hook) = (0, 0, None, false);
    let mut touched = BTreeSet::new();
    for action in actions {
        match action {
            Action::CommitInfo(info) => {
                committed_at_us = info.timestamp.unwrap_or_default() * 1_000;
                tag = tag_of(&info);
                is_hook = info.info.contains_key(commit::HOOK);
            }
            Action::Txn(txn) if txn.app_id.starts_with(APP_PREFIX) => seq = seq.max(txn.version),
            Action::Add(add) if add.data_change => {
                touched.insert(order(
                    layout.touched(|column| add.partition_values.get(column)?.as_deref()),
                ));
            }
            Action::Remove(remove) if remove.data_change => {
                let values = remove.partition_values.unwrap_or_default();
                touched.insert(order(layout.touched(|column| values.get(column)?.as_deref())));
            }
            Action::Add(_)
            | Action::Remove(_)
            | Action::Txn(_)
            | Action::Cdc(_)
            | Action::Metadata(_)
            | Action::Protocol(_)
            | Action::DomainMetadata(_) => {}
        }
    }
    if is_hook {
        // What a hook does to rows is a part of the fill around it.
        touched.clear();
    }
    let touched = touched
        .into_iter()
        .map(|(instance_key, at)| Touched { instance_key, at });
    Described {
        commit: Commit {
            version,
            committed_at_us,
            author: tag.unwrap_or(Author::Foreign),
            touched: touched.collect(),
        },
        seq,
    }
}

fn order(touched: Touched) -> (Key, Interval) {
    (touched.instance_key, touched.at)
}

fn tag_of(info: &CommitInfo) -> Option<Author> {
    let tag = info.info.get(TAG)?;
    let filled = serde_json::from_value::<CommitTag>(tag.clone()).map(Author::Ours);
    let restored = || serde_json::from_value::<RestoreTag>(tag.clone()).map(Author::Restored);
    filled.or_else(|_| restored()).ok()
}

fn unreadable(path: &Path, error: &serde_json::Error) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::TABLE_UNREADABLE,
            format!("the log entry {} cannot be read: {error}", path.display()),
        )
        .with_remedy(format!("compare it with a backup, or {}", fault::FILL_ANEW))
        .with_retry(Retry::AfterHumanFix),
    )
}
