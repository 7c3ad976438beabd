//! Sources: their files as they were last seen, and what it means when they are not like that now.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::{Path, PathBuf},
};

use mulgil_core::{
    interval::{Instant, Interval, RangeSet},
    name::{Instance, NodeName},
    port::{Fault, Filled, SourceSeen},
    project::{FilePattern, Fingerprint, Project, Source},
    state::{Cause, SourceState},
    task::{Column, FileSeen},
};
use serde_json::json;

use crate::{
    Evidence, Store, apply, chunk,
    error::Error,
    fact::{Fact, IntervalRow, Mark, SourceChange, SourceChanged},
    readers::Readers,
    sql::{self, Conn},
};

/// A source as the ledger has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    columns: Vec<Column>,
    /// Every file there ever was, with whether it is gone.
    files: BTreeMap<PathBuf, KnownFile>,
    /// Kept while the single file is gone, to compare with when it comes back.
    hours: Vec<Filled>,
    read_as: Option<Fingerprint>,
}

/// A file as it last was.
#[derive(Clone, Debug)]
struct KnownFile {
    file: FileSeen,
    gone: bool,
    changed_at: Instant,
}

impl Known {
    /// As an engine's observation is compared with it.
    pub(crate) fn seen(&self) -> SourceSeen {
        let present = self.files.values().filter(|known| !known.gone);
        let mut files: Vec<FileSeen> = present.map(|known| known.file.clone()).collect();
        files.sort_by(|a, b| (a.interval, &a.path).cmp(&(b.interval, &b.path)));
        SourceSeen {
            hours: if files.is_empty() {
                Vec::new()
            } else {
                self.hours.clone()
            },
            columns: self.columns.clone(),
            read_as: self.read_as,
            files,
        }
    }

    /// As decisions read it.
    pub(crate) fn state(&self) -> SourceState {
        let over = |wanted: bool| -> RangeSet {
            let files = self.files.values().filter(|known| known.gone == wanted);
            files.map(|known| over(&known.file)).collect()
        };
        let available = over(false);
        SourceState {
            gone: over(true).subtract(&available),
            available,
        }
    }

    /// The files that are gone, over an interval.
    pub(crate) fn losses(&self, source: &NodeName, interval: Interval) -> Vec<Evidence> {
        let gone = self.files.values().filter(|known| known.gone);
        let loss = |known: &KnownFile| {
            let file = &known.file;
            Some(Evidence {
                cause: Cause::Source(source.clone()),
                range: over(file).intersect(interval)?,
                at: known.changed_at,
                detail: json!({
                    "file": file.path, "interval": over(file), "old": file.content, "new": null, "gone": true,
                }),
            })
        };
        gone.filter_map(loss).collect()
    }

    /// Whether a file was there once and is not now.
    pub(crate) fn is_gone(&self, file: &Path) -> bool {
        self.files.get(file).is_some_and(|known| known.gone)
    }
}

impl Store {
    /// Records a look at a source: what changed makes stale what readers have filled of it; what is
    /// gone leaves their rows as they are. Gives the readers whose state changed; nothing is written
    /// where all is as it was.
    pub async fn record_source(
        &self,
        project: &Project,
        source: &Source,
        seen: &SourceSeen,
        now: Instant,
    ) -> Result<Vec<Instance>, Fault> {
        let (source, seen) = (source.clone(), seen.clone());
        let name = source.name.clone();
        let known = self
            .read(|conn| Box::pin(async move { load(conn, &name).await }))
            .await?;
        if compare(known.as_ref(), &source, &seen).is_none() {
            return Ok(Vec::new());
        }
        let readers = Readers::of_source(project, &source.name);
        self.write(move |conn| {
            Box::pin(async move {
                let known = load(&mut *conn, &source.name).await?;
                let Some(changed) = compare(known.as_ref(), &source, &seen) else {
                    return Ok(Vec::new());
                };
                let changed = with_marks(conn, &readers, changed).await?;
                let touched = changed.marks.iter().chain(&changed.left);
                let touched = touched.map(|mark| mark.instance.clone()).collect();
                apply::record(conn, &Fact::SourceChanged(changed), now).await?;
                Ok(touched)
            })
        })
        .await
    }

    /// Every source as it was last seen.
    pub async fn sources_seen(&self) -> Result<BTreeMap<NodeName, SourceSeen>, Fault> {
        self.read(|conn| {
            Box::pin(async move {
                let known = load_all(conn).await?;
                Ok(known.into_iter().map(|(name, known)| (name, known.seen())).collect())
            })
        })
        .await
    }

    /// The files of a source that were there once and are gone, by path, each with the time that it
    /// held.
    pub async fn files_gone(&self, source: &NodeName) -> Result<Vec<(PathBuf, Interval)>, Fault> {
        let source = source.clone();
        self.read(move |conn| {
            Box::pin(async move {
                let Some(known) = load(conn, &source).await? else {
                    return Ok(Vec::new());
                };
                let gone = known.files.values().filter(|known| known.gone);
                Ok(gone.map(|known| (known.file.path.clone(), over(&known.file))).collect())
            })
        })
        .await
    }
}

/// The source, if it was ever seen.
pub(crate) async fn load(conn: &mut Conn, name: &NodeName) -> Result<Option<Known>, Error> {
    let row: Option<(String, Vec<u8>, Option<String>)> =
        sql::query_as("select columns, hours, read_as from source where name = $1")
            .bind(name.as_str())
            .fetch_optional(&mut *conn)
            .await?;
    let Some((columns, hours, read_as)) = row else {
        return Ok(None);
    };
    let files: Vec<FileRow> = sql::query_as(
        "select path, start_at, end_at, size, modified_ns, content, gone, changed_at from source_file where source = $1",
    )
    .bind(name.as_str())
    .fetch_all(conn)
    .await?;
    Ok(Some(Known {
        columns: serde_json::from_str(&columns)?,
        files: files.into_iter().map(file).collect(),
        hours: chunk::unpack(&hours)?,
        read_as: read_as.as_deref().and_then(Fingerprint::parse),
    }))
}

/// Every source that was ever seen.
pub(crate) async fn load_all(conn: &mut Conn) -> Result<BTreeMap<NodeName, Known>, Error> {
    let names: Vec<(String,)> = sql::query_as("select name from source").fetch_all(&mut *conn).await?;
    let mut all = BTreeMap::new();
    for (name,) in names {
        let name = NodeName::new(name);
        if let Some(known) = load(&mut *conn, &name).await? {
            all.insert(name, known);
        }
    }
    Ok(all)
}

/// Writes what a fact says of a source.
pub(crate) async fn put(conn: &mut Conn, at: Instant, changed: &SourceChanged) -> Result<(), Error> {
    let known = load(&mut *conn, &changed.source).await?.unwrap_or_default();
    let mut hours: BTreeMap<Instant, Filled> = known
        .hours
        .into_iter()
        .map(|hour| (hour.interval.start, hour))
        .collect();
    for gone in &changed.hours_gone {
        hours.remove(&gone.start);
    }
    hours.extend(
        changed
            .hours
            .iter()
            .map(|row| Filled::from(*row))
            .map(|hour| (hour.interval.start, hour)),
    );
    let hours: Vec<Filled> = hours.into_values().collect();
    sql::query(
        "insert into source (name, columns, hours, read_as) values ($1, $2, $3, $4)
         on conflict (name) do update set
             columns = excluded.columns, hours = excluded.hours, read_as = excluded.read_as",
    )
    .bind(changed.source.as_str())
    .bind(serde_json::to_string(
        changed.columns.as_ref().unwrap_or(&known.columns),
    )?)
    .bind(chunk::pack(&hours))
    .bind(changed.read_as.or(known.read_as).map(|read_as| read_as.to_string()))
    .execute(&mut *conn)
    .await?;
    for file in &changed.files {
        put_file(&mut *conn, at, &changed.source, file).await?;
    }
    for path in &changed.gone {
        sql::query("update source_file set gone = 1, changed_at = $3 where source = $1 and path = $2")
            .bind(changed.source.as_str())
            .bind(path.to_string_lossy())
            .bind(at.0)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

async fn put_file(conn: &mut Conn, at: Instant, source: &NodeName, file: &FileSeen) -> Result<(), Error> {
    sql::query(
        "insert into source_file (source, path, start_at, end_at, size, modified_ns, content, gone, changed_at)
         values ($1, $2, $3, $4, $5, $6, $7, 0, $8)
         on conflict (source, path) do update set
             start_at = excluded.start_at, end_at = excluded.end_at, size = excluded.size,
             modified_ns = excluded.modified_ns, content = excluded.content,
             gone = 0, changed_at = excluded.changed_at",
    )
    .bind(source.as_str())
    .bind(file.path.to_string_lossy())
    .bind(file.interval.map(|interval| interval.start.0))
    .bind(file.interval.map(|interval| interval.end.0))
    .bind(file.size.cast_signed())
    .bind(file.modified_ns)
    .bind(&file.content)
    .bind(at.0)
    .execute(conn)
    .await?;
    Ok(())
}

type FileRow = (String, Option<i64>, Option<i64>, i64, i64, String, i64, i64);

fn file((path, start, end, size, modified_ns, content, gone, changed_at): FileRow) -> (PathBuf, KnownFile) {
    let path = PathBuf::from(path);
    let interval = start
        .zip(end)
        .and_then(|(start, end)| Interval::new(Instant(start), Instant(end)));
    let file = FileSeen {
        path: path.clone(),
        size: size.cast_unsigned(),
        modified_ns,
        content,
        interval,
    };
    let known = KnownFile {
        file,
        gone: gone != 0,
        changed_at: Instant(changed_at),
    };
    (path, known)
}

fn over(file: &FileSeen) -> Interval {
    file.interval.unwrap_or(Interval::WHOLE)
}

/// What a look says beyond what is known; nothing where it says nothing new. Its `changes` are all
/// that changed, whether or not anybody has read it.
fn compare(known: Option<&Known>, source: &Source, seen: &SourceSeen) -> Option<SourceChanged> {
    let first_look = known.is_none();
    let nothing = Known::default();
    let known = known.unwrap_or(&nothing);
    let mut changed = SourceChanged {
        source: source.name.clone(),
        columns: (!seen.columns.is_empty() && seen.columns != known.columns).then(|| seen.columns.clone()),
        read_as: seen.read_as.filter(|_| seen.read_as != known.read_as),
        files: Vec::new(),
        gone: Vec::new(),
        hours: Vec::new(),
        hours_gone: Vec::new(),
        changes: Vec::new(),
        marks: Vec::new(),
        left: Vec::new(),
    };
    let by_hour = matches!(source.files, FilePattern::Single(_)) && source.event_time.is_some();
    for file in &seen.files {
        let before = known.files.get(&file.path);
        // The same bytes have other hours once they are read in another way.
        let same_hours = !by_hour || seen.hours == known.hours;
        if same_hours && before.is_some_and(|before| before.file == *file && !before.gone) {
            continue;
        }
        changed.files.push(file.clone());
        let before = before.map(|before| &before.file);
        if by_hour {
            compare_hours(known, seen, file, &mut changed);
        } else {
            compare_file(before, file, &mut changed.changes);
        }
    }
    let there: BTreeSet<&Path> = seen.files.iter().map(|file| file.path.as_path()).collect();
    for (path, before) in known.files.iter().filter(|(_, before)| !before.gone) {
        if !there.contains(path.as_path()) {
            changed.gone.push(path.clone());
            changed
                .changes
                .push(change(&before.file, Some(&before.file.content), None));
        }
    }
    let reads_anew = changed.columns.is_some() || changed.read_as.is_some();
    let is_news = first_look || reads_anew || !changed.files.is_empty() || !changed.gone.is_empty();
    is_news.then_some(changed)
}

/// A file that another name pattern gives another interval has left the one and come to the other.
fn compare_file(before: Option<&FileSeen>, file: &FileSeen, changes: &mut Vec<SourceChange>) {
    match before {
        Some(before) if before.interval == file.interval => {
            if before.content != file.content {
                changes.push(change(file, Some(&before.content), Some(&file.content)));
            }
        }
        before => {
            changes.extend(before.map(|before| change(before, Some(&before.content), None)));
            changes.push(change(file, None, Some(&file.content)));
        }
    }
}

fn compare_hours(known: &Known, seen: &SourceSeen, file: &FileSeen, changed: &mut SourceChanged) {
    let old: BTreeMap<Interval, &Filled> = known.hours.iter().map(|hour| (hour.interval, hour)).collect();
    let new: BTreeMap<Interval, &Filled> = seen.hours.iter().map(|hour| (hour.interval, hour)).collect();
    let mut push = |over: Interval, old: Option<&Filled>, new: Option<&Filled>| {
        changed.changes.push(SourceChange {
            over,
            file: file.path.clone(),
            old: old.map(|hour| hour.content.to_string()),
            new: new.map(|hour| hour.content.to_string()),
        });
    };
    for (interval, hour) in &new {
        let before = old.get(interval).copied();
        if before != Some(hour) {
            changed.hours.push(IntervalRow::from(*hour));
            push(*interval, before, Some(hour));
        }
    }
    for (interval, hour) in old.iter().filter(|(interval, _)| !new.contains_key(interval)) {
        changed.hours_gone.push(*interval);
        push(*interval, Some(hour), None);
    }
}

fn change(file: &FileSeen, old: Option<&String>, new: Option<&String>) -> SourceChange {
    SourceChange {
        over: over(file),
        file: file.path.clone(),
        old: old.cloned(),
        new: new.cloned(),
    }
}

/// Adds what the changes do to readers, and forgets those that nobody has read.
async fn with_marks(conn: &mut Conn, readers: &Readers, mut changed: SourceChanged) -> Result<SourceChanged, Error> {
    let gone: HashSet<&Path> = changed.gone.iter().map(PathBuf::as_path).collect();
    let places = |is_gone: bool| -> Vec<(u32, Interval)> {
        let all = changed.changes.iter().enumerate();
        let is_loss = |change: &SourceChange| change.new.is_none() && gone.contains(change.file.as_path());
        let these = all.filter(|(_, change)| is_loss(change) == is_gone);
        these.map(|(place, change)| (place as u32, change.over)).collect()
    };
    let (news, losses) = (places(false), places(true));
    changed.marks = readers.marks(&mut *conn, &news).await?;
    changed.left = readers.marks(conn, &losses).await?;
    for left in &mut changed.left {
        left.released = RangeSet::new();
    }
    changed.left.retain(|left| !left.ranges.is_empty());
    keep_reasons(&mut changed);
    Ok(changed)
}

fn keep_reasons(changed: &mut SourceChanged) {
    let mut kept: BTreeMap<u32, u32> = BTreeMap::new();
    let reasons = |mark: &Mark| mark.because.iter().map(|(place, _)| *place).collect::<Vec<_>>();
    for place in changed.marks.iter().chain(&changed.left).flat_map(reasons) {
        kept.insert(place, 0);
    }
    for (new, (_, place)) in (0..).zip(kept.iter_mut()) {
        *place = new;
    }
    let mut place = 0;
    changed.changes.retain(|_| {
        place += 1;
        kept.contains_key(&(place - 1))
    });
    for mark in changed.marks.iter_mut().chain(&mut changed.left) {
        for (place, _) in &mut mark.because {
            *place = kept[place];
        }
    }
}
