//! Bytes become lines of the log, and lines a file.

use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use mulgil_core::interval::Instant;

use super::{LogStream, tail};
use crate::folder;

/// A longer line is written in parts.
pub(super) const MAX_LINE_BYTES: usize = 64 * 1024;

/// Bytes that a line has beside its text: its time and its stream.
pub(super) const LINE_COST: u64 = 36;

/// Bytes that so many bytes of output may have on disk: short lines cost more than they hold.
pub(super) fn on_disk(bytes: u64) -> u64 {
    bytes.saturating_mul(2).saturating_add(MAX_LINE_BYTES as u64)
}

/// Turns bytes into lines of the log.
pub(super) struct Lines {
    pub(super) file: Sink,
    partial: [Partial; 4],
    stamp: (Instant, String),
}

#[derive(Default)]
struct Partial {
    bytes: Vec<u8>,
    continues: bool,
}

/// A file that is made when the first byte comes.
pub(super) struct Sink {
    path: PathBuf,
    file: Option<File>,
    buffer: Vec<u8>,
    written: u64,
    pub(super) error: Option<io::Error>,
}

impl Lines {
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            file: Sink::new(dir.join(folder::LOG)),
            partial: Default::default(),
            stamp: (Instant::MIN, String::new()),
        }
    }

    pub(super) fn add(&mut self, stream: LogStream, at: Instant, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = MAX_LINE_BYTES - self.partial[stream as usize].bytes.len();
            let end = memchr::memchr(b'\n', &bytes[..bytes.len().min(room + 1)]);
            let taken = end.unwrap_or(bytes.len().min(room));
            self.partial[stream as usize].bytes.extend_from_slice(&bytes[..taken]);
            match end {
                Some(_) => self.write_line(stream, at, false),
                None if taken == room => self.write_line(stream, at, true),
                None => {}
            }
            bytes = &bytes[taken + usize::from(end.is_some())..];
        }
    }

    /// Writes lines that have no end.
    pub(super) fn end(&mut self) {
        for stream in LogStream::ALL {
            if !self.partial[stream as usize].bytes.is_empty() {
                let at = self.stamp.0;
                self.write_line(stream, at, false);
            }
            self.partial[stream as usize].continues = false;
        }
    }

    fn write_line(&mut self, stream: LogStream, at: Instant, goes_on: bool) {
        if self.stamp.0 != at || self.stamp.1.is_empty() {
            self.stamp = (at, format!("{:.6}", at.to_timestamp()));
        }
        let partial = &mut self.partial[stream as usize];
        let buffer = &mut self.file.buffer;
        buffer.extend_from_slice(self.stamp.1.as_bytes());
        buffer.push(b' ');
        buffer.extend_from_slice(stream.name().as_bytes());
        buffer.extend_from_slice(if partial.continues { b"+ " } else { b" " });
        buffer.extend_from_slice(&partial.bytes);
        buffer.push(b'\n');
        partial.bytes.clear();
        partial.continues = goes_on;
        if self.file.buffer.len() >= MAX_LINE_BYTES {
            self.file.flush();
        }
    }

    /// Adds the last bytes of the two tail files as lines and removes them. Gives what is left out.
    pub(super) fn append_tail(&mut self, dir: &Path, tail_bytes: u64) -> io::Result<u64> {
        let mut sizes = Vec::new();
        for name in folder::LOG_TAILS {
            if let Some((first, bytes)) = tail::measure(&dir.join(name))? {
                sizes.push((first, bytes, name));
            }
        }
        sizes.sort_unstable();
        let Some((first, ..)) = sizes.first() else {
            return Ok(0);
        };
        let held: u64 = sizes.iter().map(|(_, bytes, _)| bytes).sum();
        let mut skip = held.saturating_sub(tail_bytes);
        skip += too_much(dir, &sizes, skip, on_disk(tail_bytes))?;
        let left_out = first + skip;
        self.end();
        if left_out > 0 {
            let at = self.stamp.0;
            self.add(
                LogStream::System,
                at,
                format!("{left_out} bytes are left out here\n").as_bytes(),
            );
        }
        for (_, _, name) in &sizes {
            tail::for_each_piece(&dir.join(name), |_, at, stream, bytes| {
                let skipped = skip.min(bytes.len() as u64);
                skip -= skipped;
                self.add(stream, at, &bytes[skipped as usize..]);
            })?;
        }
        self.end();
        self.file.flush();
        if self.file.error.is_none() {
            folder::LOG_TAILS
                .iter()
                .try_for_each(|name| tail::remove(&dir.join(name)))?;
        }
        Ok(left_out)
    }
}

/// Of tail files, how many bytes more are passed over so that the rest is no larger as lines than so many bytes.
fn too_much(dir: &Path, files: &[(u64, u64, &str)], skip: u64, most: u64) -> io::Result<u64> {
    let cost = |byte: u8| 1 + if byte == b'\n' { LINE_COST } else { 0 };
    let mut total = 0;
    let mut passed = skip;
    for (_, _, name) in files {
        tail::for_each_piece(&dir.join(name), |_, _, _, bytes| {
            let skipped = passed.min(bytes.len() as u64);
            passed -= skipped;
            let kept = &bytes[skipped as usize..];
            total += kept.len() as u64 + LINE_COST * memchr::memchr_iter(b'\n', kept).count() as u64;
        })?;
    }
    let (mut excess, mut passed, mut more) = (total.saturating_sub(most), skip, 0);
    for (_, _, name) in files {
        if excess == 0 {
            break;
        }
        tail::for_each_piece(&dir.join(name), |_, _, _, bytes| {
            let skipped = passed.min(bytes.len() as u64);
            passed -= skipped;
            for byte in &bytes[skipped as usize..] {
                if excess == 0 {
                    return;
                }
                excess = excess.saturating_sub(cost(*byte));
                more += 1;
            }
        })?;
    }
    Ok(more)
}

impl Sink {
    /// Whether there is anything of it on disk.
    pub(super) fn is_empty(&self) -> bool {
        self.file.is_none() && self.error.is_none()
    }

    /// Bytes of it, with those that are still to be written.
    pub(super) fn size(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn new(path: PathBuf) -> Self {
        Self {
            path,
            file: None,
            buffer: Vec::new(),
            written: 0,
            error: None,
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    pub(super) fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        let buffer = std::mem::take(&mut self.buffer);
        // Half a line before a gap would be read as a whole one, so after a failure nothing follows.
        if self.error.is_none()
            && let Err(error) = self.try_write(&buffer)
        {
            self.error = Some(error);
        }
        self.buffer = buffer;
        self.buffer.clear();
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(folder::append_to(&self.path)?);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.flush();
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        match &self.file {
            Some(file) => file.sync_data(),
            None => Ok(()),
        }
    }
}
