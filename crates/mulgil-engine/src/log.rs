//! A table's history as the ledger reads it: which commits are ours, by the tag that they carry, and
//! which rows a foreign one may have changed. It reads the log as it lies on the disk.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

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
    fault,
    hidden::{DAY, INTERVAL},
    materialize::target::{TAG, ZONE_PROPERTY, instant},
    store::LOG_DIR,
    warehouse::Warehouse,
};

/// How the app ids of all ledgers begin.
const APP_PREFIX: &str = "mulgil/";

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
    tokio::task::spawn_blocking(move || {
        let log = folder.join(LOG_DIR);
        let first = after.map_or(0, |after| after + 1);
        let mut commits = Vec::new();
        let (mut gap, mut highest_seq) = (false, 0);
        for number in first..=version {
            match read_commit(&log, number)? {
                Some(actions) => {
                    let commit = describe(number, actions, &layout);
                    highest_seq = highest_seq.max(commit.seq);
                    commits.push(commit.commit);
                }
                None => gap = true,
            }
        }
        if highest_seq == 0 {
            highest_seq = seq_before(&log, first)?;
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
    })
    .await
    .map_err(|error| -> Fault {
        Box::new(Diagnostic::error(
            codes::BUG,
            format!("reading a table's log broke: {error}"),
        ))
    })?
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
    let (mut seq, mut committed_at_us, mut tag) = (0, 0, None);
    let mut touched = BTreeSet::new();
    for action in actions {
        match action {
            Action::CommitInfo(info) => {
                committed_at_us = info.timestamp.unwrap_or_default() * 1_000;
                tag = tag_of(&info);
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

/// The actions of a version; nothing when its entry was cleaned away.
fn read_commit(log: &Path, version: i64) -> Result<Option<Vec<Action>>, Fault> {
    let path = commit_path(log, version);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault::io(&error, &path)),
    };
    serde_json::Deserializer::from_slice(&bytes)
        .into_iter::<Action>()
        .collect::<Result<Vec<_>, _>>()
        .map(Some)
        .map_err(|error| unreadable(&path, &error))
}

/// The sequence number of our newest commit before a version; 0 where none is left in the log.
fn seq_before(log: &Path, version: i64) -> Result<i64, Fault> {
    for number in (0..version).rev() {
        let Some(actions) = read_commit(log, number)? else {
            break;
        };
        let seqs = actions.iter().filter_map(|action| match action {
            Action::Txn(txn) if txn.app_id.starts_with(APP_PREFIX) => Some(txn.version),
            _ => None,
        });
        if let Some(seq) = seqs.max() {
            return Ok(seq);
        }
    }
    Ok(0)
}

fn commit_path(log: &Path, version: i64) -> PathBuf {
    log.join(format!("{version:020}.json"))
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
