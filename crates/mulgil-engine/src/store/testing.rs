//! Disks for tests: one that forgets what was never synced when its power is lost, one that is full.

use std::{
    collections::BTreeMap,
    fs, io,
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use super::{Disk, DiskFile, OsDisk};

/// A disk that loses its power at its n-th operation, and with it everything that was not synced.
#[derive(Clone, Debug)]
pub(crate) struct ForgetfulDisk(Arc<Mutex<Memory>>);

#[derive(Debug)]
struct Memory {
    /// Where what was removed or overwritten is kept until that is durable.
    attic: PathBuf,
    lies: bool,
    operations_left: u64,
    is_off: bool,
    /// Decides which folders lose their new names.
    random: u64,
    /// Files by name, as long as their bytes are not durable.
    files: BTreeMap<PathBuf, u64>,
    /// How many bytes of each file are durable.
    durable_bytes: BTreeMap<u64, u64>,
    /// Changes of names by folder, in order.
    names: BTreeMap<PathBuf, Vec<NameChange>>,
    next: u64,
}

#[derive(Debug)]
enum NameChange {
    Made(PathBuf),
    MadeDir(PathBuf),
    /// Removed or overwritten: what was there, in the attic.
    Lost(PathBuf, PathBuf),
}

impl ForgetfulDisk {
    /// A disk that lasts for some operations; `attic` is a folder on the same file system.
    /// One that `lies` says that the bytes of files are durable, and they are not.
    pub(crate) fn new(attic: &Path, operations: u64, seed: u64, lies: bool) -> Self {
        Self(Arc::new(Mutex::new(Memory {
            attic: attic.to_owned(),
            lies,
            operations_left: operations,
            is_off: false,
            random: seed | 1,
            files: BTreeMap::new(),
            durable_bytes: BTreeMap::new(),
            names: BTreeMap::new(),
            next: 0,
        })))
    }

    /// Loses the power now, if it is still there.
    pub(crate) fn lose_power(&self) {
        self.memory().lose_power();
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap()
    }
}

impl Memory {
    fn operate(&mut self) -> io::Result<()> {
        if self.operations_left == 0 {
            self.lose_power();
        }
        if self.is_off {
            return Err(io::Error::other("the power is off"));
        }
        self.operations_left -= 1;
        Ok(())
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn change(&mut self, path: &Path, change: NameChange) {
        let folder = path.parent().unwrap().to_owned();
        self.names.entry(folder).or_default().push(change);
    }

    /// Puts what has a name away, so that a loss of power can bring it back.
    fn put_away(&mut self, path: &Path) -> io::Result<()> {
        let number = self.number();
        let kept = self.attic.join(number.to_string());
        fs::hard_link(path, &kept)?;
        if let Some(file) = self.files.remove(path) {
            self.files.insert(kept.clone(), file);
        }
        self.change(path, NameChange::Lost(path.to_owned(), kept));
        Ok(())
    }

    fn coin(&mut self) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random.is_multiple_of(2)
    }

    fn lose_power(&mut self) {
        if std::mem::replace(&mut self.is_off, true) {
            return;
        }
        for (path, file) in &self.files {
            let durable = self.durable_bytes.get(file).copied().unwrap_or_default();
            if path.exists() && path.metadata().unwrap().len() > durable {
                fs::OpenOptions::new()
                    .write(true)
                    .open(path)
                    .unwrap()
                    .set_len(durable)
                    .unwrap();
            }
        }
        for (_, changes) in std::mem::take(&mut self.names) {
            // New names may have reached the disk by themselves; nobody promised it.
            if self.coin() {
                continue;
            }
            for change in changes.into_iter().rev() {
                match change {
                    NameChange::Made(path) => drop(fs::remove_file(path)),
                    NameChange::MadeDir(path) => drop(fs::remove_dir_all(path)),
                    NameChange::Lost(path, kept) => drop(fs::rename(kept, path)),
                }
            }
        }
    }
}

impl Disk for ForgetfulDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut memory = self.memory();
        memory.operate()?;
        let file = fs::OpenOptions::new().write(true).create_new(true).open(path)?;
        let number = memory.number();
        memory.files.insert(path.to_owned(), number);
        memory.change(path, NameChange::Made(path.to_owned()));
        Ok(Box::new(ForgetfulFile {
            disk: self.clone(),
            file,
            number,
            written: 0,
        }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut memory = self.memory();
        memory.operate()?;
        fs::create_dir(path)?;
        memory.change(path, NameChange::MadeDir(path.to_owned()));
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut memory = self.memory();
        memory.operate()?;
        fs::hard_link(from, to)?;
        if let Some(file) = memory.files.get(from).copied() {
            memory.files.insert(to.to_owned(), file);
        }
        memory.change(to, NameChange::Made(to.to_owned()));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut memory = self.memory();
        memory.operate()?;
        if to.exists() {
            memory.put_away(to)?;
        }
        memory.put_away(from)?;
        fs::rename(from, to)?;
        memory.change(to, NameChange::Made(to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut memory = self.memory();
        memory.operate()?;
        memory.put_away(path)?;
        fs::remove_file(path)
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        let mut memory = self.memory();
        memory.operate()?;
        let bytes = path.metadata()?.len();
        if let Some(file) = memory.files.get(path).copied().filter(|_| !memory.lies) {
            memory.durable_bytes.insert(file, bytes);
        }
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut memory = self.memory();
        memory.operate()?;
        memory.names.remove(path);
        Ok(())
    }
}

struct ForgetfulFile {
    disk: ForgetfulDisk,
    file: fs::File,
    number: u64,
    written: u64,
}

impl Write for ForgetfulFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.disk.memory().operate()?;
        let count = self.file.write(bytes)?;
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for ForgetfulFile {
    fn sync(&mut self) -> io::Result<()> {
        let mut memory = self.disk.memory();
        memory.operate()?;
        memory.durable_bytes.insert(self.number, self.written);
        Ok(())
    }
}

/// A disk on which every operation fails in the same way after the first few writes.
#[derive(Debug)]
pub(crate) struct FailingDisk {
    /// Files that may still be created.
    pub(crate) files_left: Mutex<u32>,
    /// How it fails then.
    pub(crate) kind: io::ErrorKind,
}

impl Disk for FailingDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut left = self.files_left.lock().unwrap();
        if *left == 0 {
            return Err(self.kind.into());
        }
        *left -= 1;
        OsDisk.create(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        OsDisk.create_dir(path)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsDisk.link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        OsDisk.remove(path)
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        OsDisk.sync_file(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        OsDisk.sync_dir(path)
    }
}
