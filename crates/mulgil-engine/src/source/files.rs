//! Where a source's files are: in folders of this machine, or in a bucket. Lists them, tells whether
//! they are as they were, and opens them. Blocking; callers give it a thread.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use mulgil_core::{
    location::ObjectUrl,
    port::Fault,
    project::{FilePattern, Fingerprint, Source},
    task::FileSeen,
};
use object_store::{Error, ObjectMeta, ObjectStore as _, ObjectStoreExt as _, path::Path as ObjectPath};
use tokio::runtime::Handle;

use super::{fault::Origin, object::Object, reader::bug};
use crate::store::{RemoteStore, Stores};

/// The files of one source.
#[derive(Clone, Debug)]
pub(crate) enum Files {
    /// On this machine; paths start in a folder.
    Folder(PathBuf),
    /// In a bucket; paths are URLs.
    Bucket(Bucket),
}

/// A bucket, and threads that wait for its answers.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    pub(super) store: RemoteStore,
    pub(super) runtime: Handle,
}

/// What tells the states of a file apart without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Bytes.
    pub(super) size: u64,
    /// When it was written, in nanoseconds since 1970.
    pub(super) modified_ns: i64,
    /// The hash of the tag that an object store gives to its bytes.
    pub(super) tag: Option<Fingerprint>,
}

impl Stamp {
    /// Whether a file of this stamp is the one that was seen.
    pub(super) fn is_of(&self, seen: &FileSeen) -> bool {
        match self.tag {
            Some(tag) => self.size == seen.size && tag.to_string() == seen.content,
            None => (self.size, self.modified_ns) == (seen.size, seen.modified_ns),
        }
    }
}

/// A name in a folder.
pub(super) struct Entry {
    /// The name.
    pub(super) name: String,
    /// What it is, if listing told that: surely a file then.
    pub(super) stamp: Option<Stamp>,
}

/// A file that is open.
pub(super) enum Input {
    /// On this machine.
    File(File),
    /// In a bucket.
    Object(Object),
}

impl Input {
    /// Its bytes from the first.
    pub(super) fn reader(self) -> Box<dyn Read + Send> {
        match self {
            Self::File(file) => Box::new(file),
            Self::Object(object) => Box::new(object.reader()),
        }
    }

    /// Whether what is read is surely all of the state that was opened.
    pub(super) fn is_pinned(&self) -> bool {
        match self {
            Self::File(_) => false,
            Self::Object(object) => object.is_pinned(),
        }
    }
}

impl Files {
    /// Where a source's files are.
    pub(crate) fn of(root: &Path, stores: &Stores, source: &Source) -> Result<Self, Fault> {
        let text = match &source.files {
            FilePattern::Single(path) => path.to_str().unwrap_or_default(),
            FilePattern::PerInterval { template, .. } => template,
        };
        if !ObjectUrl::is_meant(text) {
            return Ok(Self::Folder(root.to_owned()));
        }
        let url = ObjectUrl::parse(text).map_err(|why| bug(&format!("{text} is no URL: {why}")))?;
        Ok(Self::Bucket(Bucket {
            store: stores.of(&url, &source.store)?,
            runtime: Handle::try_current().map_err(|error| bug(&error.to_string()))?,
        }))
    }

    /// The state of a file; nothing where there is none. What has its name and is no file would be
    /// waited for in silence, so it is a fault.
    pub(super) fn stamp(&self, origin: &Origin) -> Result<Option<Stamp>, Fault> {
        match self {
            Self::Folder(root) => stamp_on_disk(&root.join(&origin.file), origin),
            Self::Bucket(bucket) => Ok(bucket.head(origin)?.map(|object| stamp_of(&object))),
        }
    }

    /// Whether a file is as it was seen.
    pub(super) fn is_still(&self, origin: &Origin, seen: &FileSeen) -> bool {
        let stamp = self.stamp(origin);
        stamp.is_ok_and(|stamp| stamp.is_some_and(|stamp| stamp.is_of(seen)))
    }

    /// Opens a file that should be there.
    pub(super) fn open(&self, origin: &Origin) -> Result<(Input, Stamp), Fault> {
        match self {
            Self::Folder(root) => match File::open(root.join(&origin.file)) {
                Ok(file) => {
                    let metadata = file.metadata().map_err(|error| origin.unreachable(&error))?;
                    Ok((Input::File(file), stamp(&metadata)))
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => Err(origin.missing()),
                Err(error) => Err(origin.unreachable(&error)),
            },
            Self::Bucket(bucket) => {
                let object = bucket.head(origin)?.ok_or_else(|| origin.missing())?;
                let stamp = stamp_of(&object);
                Ok((Input::Object(Object::new(bucket.clone(), object)), stamp))
            }
        }
    }

    /// The names in a folder, in order; none where it is not there.
    pub(super) fn list(&self, origin: &Origin) -> Result<Vec<Entry>, Fault> {
        let mut entries = match self {
            Self::Folder(root) => list_on_disk(&root.join(&origin.file)).map_err(|error| origin.unreachable(&error))?,
            Self::Bucket(bucket) => bucket.list(origin)?,
        };
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }
}

impl Bucket {
    fn path_of(&self, origin: &Origin) -> Result<ObjectPath, Fault> {
        self.store
            .path_of(&origin.file)
            .map_err(|error| origin.unreachable(&error))
    }

    fn head(&self, origin: &Origin) -> Result<Option<ObjectMeta>, Fault> {
        let path = self.path_of(origin)?;
        match self.runtime.block_on(self.store.head(&path)) {
            Ok(object) => Ok(Some(object)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.store.fault(&path, &error)),
        }
    }

    fn list(&self, origin: &Origin) -> Result<Vec<Entry>, Fault> {
        let folder = self.path_of(origin)?;
        let listed = self.runtime.block_on(self.store.list_with_delimiter(Some(&folder)));
        let listed = listed.map_err(|error| self.store.fault(&folder, &error))?;
        let name = |path: &ObjectPath| path.filename().map(str::to_owned);
        let folders = listed.common_prefixes.iter().filter_map(|path| {
            Some(Entry {
                name: name(path)?,
                stamp: None,
            })
        });
        let files = listed.objects.iter().filter_map(|object| {
            Some(Entry {
                name: name(&object.location)?,
                stamp: Some(stamp_of(object)),
            })
        });
        Ok(folders.chain(files).collect())
    }
}

/// An object's state. A store without tags has at least sizes and times.
fn stamp_of(object: &ObjectMeta) -> Stamp {
    Stamp {
        size: object.size,
        modified_ns: object.last_modified.timestamp_nanos_opt().unwrap_or_default(),
        tag: Some(match &object.e_tag {
            Some(tag) => Fingerprint::of_text(tag),
            None => Fingerprint::of_text(&format!("{} {}", object.size, object.last_modified.timestamp_millis())),
        }),
    }
}

fn stamp_on_disk(path: &Path, origin: &Origin) -> Result<Option<Stamp>, Fault> {
    let what = match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => return Ok(Some(stamp(&metadata))),
        Ok(metadata) if metadata.is_dir() => "it is a folder",
        Ok(_) => "it is no plain file",
        Err(error) if is_absent(&error) && path.is_symlink() => "it is a link to nothing",
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(origin.unreachable(&error)),
    };
    Err(origin.unreachable(&io::Error::other(what)))
}

fn list_on_disk(folder: &Path) -> io::Result<Vec<Entry>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name().into_string().ok();
        names.extend(name.map(|name| Entry { name, stamp: None }));
    }
    Ok(names)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// A file's size and its modification time.
pub(super) fn stamp(metadata: &Metadata) -> Stamp {
    let modified = metadata.modified().unwrap_or(UNIX_EPOCH);
    let modified_ns = match modified.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
    };
    Stamp {
        size: metadata.len(),
        modified_ns,
        tag: None,
    }
}
