//! A look at a source: which files there are, what is in them by hash or tag, which columns, and for a
//! single file with an event time which hours changed. What is as it was is not read again, unless it
//! is now to be read in another way.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use datafusion::arrow::array::RecordBatch;
use mulgil_core::{
    interval::{Instant, Interval},
    port::{Fault, Filled, SourceSeen},
    project::{FilePattern, Fingerprint, Source},
    task::{Column, FileSeen},
};

use super::{
    event::{EventKind, EventTime, RowRule},
    fault::Origin,
    files::{Files, Stamp, stamp},
    infer,
    parquet::event_values,
    reader::SourceShape,
    template::{Named, Template},
};
use crate::{
    content::{Content, RowHasher},
    zone::CivilClock,
};

/// How often a file that changes under our eyes is looked at again.
const HASH_TRIES: u32 = 3;

/// Microseconds of an hour.
const HOUR_US: i64 = 3_600_000_000;

/// Looks at a source's files; blocking.
pub(super) fn look(place: &Files, source: &Source, known: &SourceSeen) -> Result<SourceSeen, Fault> {
    let files = hash_all(place, source, list(place, source)?, known)?;
    if files.is_empty() {
        return Ok(SourceSeen {
            files,
            columns: known.columns.clone(),
            hours: Vec::new(),
            read_as: known.read_as,
        });
    }
    let read_as = Some(read_as(source));
    let nothing = SourceSeen::default();
    let known = if known.read_as == read_as { known } else { &nothing };
    let columns = infer::columns(place, source, &files, &known.columns)?;
    let hours = hours(place, source, &files, &columns, known)?;
    Ok(SourceSeen {
        files,
        columns,
        hours,
        read_as,
    })
}

/// What decides which columns and hours are found in the same bytes.
fn read_as(source: &Source) -> Fingerprint {
    let zone = source.zone.name();
    Fingerprint::of_text(&format!("{:?} {:?} {zone}", source.format, source.event_time))
}

/// A file that is there.
struct Listed {
    path: PathBuf,
    interval: Option<Interval>,
    stamp: Stamp,
}

fn list(place: &Files, source: &Source) -> Result<Vec<Listed>, Fault> {
    match &source.files {
        FilePattern::Single(path) => {
            let file = |stamp| Listed {
                path: path.clone(),
                interval: None,
                stamp,
            };
            let found = place.stamp(&Origin::new(source, path))?;
            Ok(found.map(file).into_iter().collect())
        }
        FilePattern::PerInterval { template, unit } => {
            let found = Template::parse(source, template, *unit)?.find(place, source)?;
            let listed = |Named { path, interval, stamp }| Listed {
                path,
                interval: Some(interval),
                stamp,
            };
            Ok(found.into_iter().map(listed).collect())
        }
    }
}

/// What became of one file: nothing when it was gone.
type Hashed = Result<Option<FileSeen>, Fault>;

/// Gives each file its hash, on all cores. A file that is gone by then was not there.
fn hash_all(place: &Files, source: &Source, listed: Vec<Listed>, known: &SourceSeen) -> Result<Vec<FileSeen>, Fault> {
    let known: HashMap<&Path, &FileSeen> = known.files.iter().map(|file| (file.path.as_path(), file)).collect();
    let next = AtomicUsize::new(0);
    let seen: Mutex<Vec<(usize, Hashed)>> = Mutex::new(Vec::new());
    let work = || {
        while let Some((index, file)) = take(&next, &listed) {
            let known = known.get(file.path.as_path()).copied();
            let result = hash_one(place, source, file, known);
            seen.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((index, result));
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(listed.len());
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    let mut seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    seen.sort_by_key(|(index, _)| *index);
    seen.into_iter().filter_map(|(_, result)| result.transpose()).collect()
}

fn take<'a, T>(next: &AtomicUsize, items: &'a [T]) -> Option<(usize, &'a T)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    items.get(index).map(|item| (index, item))
}

fn hash_one(place: &Files, source: &Source, file: &Listed, known: Option<&FileSeen>) -> Hashed {
    let origin = Origin::new(source, &file.path);
    let root = match place {
        Files::Folder(root) => root,
        // Its store tells what is in it.
        Files::Bucket(_) => return Ok(Some(as_tagged(file))),
    };
    let path = root.join(&file.path);
    for _ in 0..HASH_TRIES {
        match hash_once(&path, file, known) {
            Ok(Some(seen)) => return Ok(Some(seen)),
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(origin.unreachable(&error)),
        }
    }
    Err(origin.changed())
}

/// The file as it is; nothing when it changed meanwhile.
fn hash_once(path: &Path, file: &Listed, known: Option<&FileSeen>) -> io::Result<Option<FileSeen>> {
    let found = stamp(&fs::metadata(path)?);
    let content = match known {
        Some(known) if found.is_of(known) => known.content.clone(),
        _ => {
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(File::open(path)?)?;
            if stamp(&fs::metadata(path)?) != found {
                return Ok(None);
            }
            cut(hasher.finalize()).to_string()
        }
    };
    Ok(Some(seen_as(file, &found, content)))
}

/// A file of a bucket: what is in it is told by its tag, without reading it.
fn as_tagged(file: &Listed) -> FileSeen {
    let tag = file.stamp.tag.unwrap_or_default();
    seen_as(file, &file.stamp, tag.to_string())
}

fn seen_as(file: &Listed, stamp: &Stamp, content: String) -> FileSeen {
    FileSeen {
        path: file.path.clone(),
        size: stamp.size,
        modified_ns: stamp.modified_ns,
        content,
        interval: file.interval,
    }
}

/// The first 128 bits of a hash.
fn cut(hash: blake3::Hash) -> Fingerprint {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_bytes()[..16]);
    Fingerprint(u128::from_be_bytes(bytes))
}

/// The rows and content of each UTC hour of a single file with an event time; the known ones when
/// neither the file nor its columns nor the way to read them changed.
fn hours(
    place: &Files,
    source: &Source,
    files: &[FileSeen],
    columns: &[Column],
    known: &SourceSeen,
) -> Result<Vec<Filled>, Fault> {
    let (FilePattern::Single(_), [file]) = (&source.files, files) else {
        return Ok(Vec::new());
    };
    let shape = SourceShape::new(place, source, columns)?;
    let Some(event) = &shape.event else {
        return Ok(Vec::new());
    };
    let is_known = known.files.iter().any(|known| known.content == file.content) && known.columns == columns;
    if is_known && !known.hours.is_empty() {
        return Ok(known.hours.clone());
    }
    hours_of(&shape, event, file)
}

fn hours_of(shape: &SourceShape, event: &EventTime, file: &FileSeen) -> Result<Vec<Filled>, Fault> {
    let projection: Vec<usize> = (0..shape.schema.fields().len()).collect();
    // All of time: nothing lies outside, but a row without a time is a fault.
    let mut reader = shape.open(file, &projection, RowRule::Within(Interval::WHOLE))?;
    let hasher = RowHasher::new(&shape.schema)?;
    let mut clock = CivilClock::new(&event.zone);
    let mut hours = BTreeMap::new();
    while let Some(batch) = reader.next()? {
        add_rows(&mut hours, &batch, &hasher, event, &mut clock)?;
    }
    let filled = |(hour, content): (i64, Content)| {
        let start = hour.checked_mul(HOUR_US)?;
        let interval = Interval::new(Instant(start), Instant(start.checked_add(HOUR_US)?))?;
        Some(content.filled(interval, &shape.schema))
    };
    Ok(hours.into_iter().filter_map(filled).collect())
}

fn add_rows(
    hours: &mut BTreeMap<i64, Content>,
    batch: &RecordBatch,
    hasher: &RowHasher,
    event: &EventTime,
    clock: &mut CivilClock,
) -> Result<(), Fault> {
    let times = event_values(batch.column(event.index), event.kind);
    for (hash, time) in hasher.hashes(batch)?.zip(times) {
        let at = match event.kind {
            EventKind::Instant => time,
            EventKind::Date => time.and_then(|day| clock.day_us(day as i32)),
        };
        // The reader has let no row without a time pass.
        if let Some(at) = at {
            hours.entry(at.div_euclid(HOUR_US)).or_default().add_row(hash);
        }
    }
    Ok(())
}
