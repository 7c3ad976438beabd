//! The bytes of a text file, unpacked, through a window that only grows as long as one record.

use std::io::{self, BufRead as _, Read};

use flate2::bufread::GzDecoder;
use mulgil_core::port::Fault;

use super::{
    fault::{Origin, Spot},
    files::Input,
};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// Bytes of gzip data unpacked at a time: few, so that damage is found near its line.
const PACKED_BYTES: usize = 32 * 1024;

/// What gzip data begins with.
const GZIP_MARK: &[u8] = &[0x1f, 0x8b];

/// Said where something else follows a file's gzip data.
const NO_GZIP_BEHIND: &str = "bytes that are no gzip data follow the gzip data of the file";

/// The longest record; more means a quote that is never closed, or no text file at all.
const MAX_RECORD_BYTES: usize = 16 * 1024 * 1024;

/// The unpacked bytes of gzip data, which may be several pieces one after the other.
struct Unpacked(Option<GzDecoder<io::BufReader<Box<dyn Read + Send>>>>);

impl Read for Unpacked {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(decoder) = &mut self.0 else { return Ok(0) };
            let count = decoder.read(bytes)?;
            if count > 0 || bytes.is_empty() {
                return Ok(count);
            }
            // This piece is whole; the next one begins with its mark.
            match decoder.get_mut().fill_buf()?.first() {
                None => self.0 = None,
                Some(first) if GZIP_MARK.first() == Some(first) => {
                    self.0 = self.0.take().map(|decoder| GzDecoder::new(decoder.into_inner()));
                }
                Some(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, NO_GZIP_BEHIND)),
            }
        }
    }
}

/// A moving window over a file's bytes.
pub(super) struct Window {
    reader: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    is_at_end: bool,
    /// The line on which the window starts, from 1.
    pub line: u32,
    /// Whose bytes.
    pub origin: Origin,
}

impl Window {
    /// Over an open file; unpacks when its name ends in `.gz`. A byte order mark is passed over.
    pub(super) fn open(file: Input, origin: Origin) -> Result<Self, Fault> {
        let is_packed = origin
            .file
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
        let reader: Box<dyn Read + Send> = if is_packed {
            let mut packed = io::BufReader::with_capacity(PACKED_BYTES, file.reader());
            let first = packed.fill_buf().map_err(|error| origin.unreachable(&error))?;
            if !first.is_empty() && !first.starts_with(GZIP_MARK) {
                return Err(not_gzip(&origin));
            }
            Box::new(Unpacked(Some(GzDecoder::new(packed))))
        } else {
            file.reader()
        };
        let mut window = Self {
            reader,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            is_at_end: false,
            line: 1,
            origin,
        };
        while !window.is_at_end && window.bytes().len() < 3 {
            window.grow()?;
        }
        if window.bytes().starts_with(b"\xEF\xBB\xBF") {
            window.start += 3;
        }
        Ok(window)
    }

    /// What is in the window.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Whether the window reaches to the end of the file.
    pub(super) fn is_at_end(&self) -> bool {
        self.is_at_end
    }

    /// Moves the window's start forward over bytes that end with a line.
    pub(super) fn pass(&mut self, bytes: usize) {
        let passed = &self.buffer[self.start..self.start + bytes];
        self.line = self.line.saturating_add(newlines(passed));
        self.start += bytes;
    }

    /// Reads on.
    pub(super) fn grow(&mut self) -> Result<(), Fault> {
        if self.end - self.start > MAX_RECORD_BYTES {
            return Err(self.origin.broken_row(
                Spot {
                    line: self.line,
                    column: 1,
                },
                format!("a row is longer than {} MiB", MAX_RECORD_BYTES >> 20),
                "look for a quote that is not closed, or for a file that is no text",
            ));
        }
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        // Doubling keeps the reading of one long record linear.
        let room = CHUNK_BYTES.max(self.end);
        if self.buffer.len() < self.end + room {
            self.buffer.resize(self.end + room, 0);
        }
        match self.reader.read(&mut self.buffer[self.end..]) {
            Ok(0) => self.is_at_end = true,
            Ok(count) => self.end += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(self.broken(&error)),
        }
        Ok(())
    }

    fn broken(&self, error: &io::Error) -> Fault {
        let (what, remedy) = match error.kind() {
            io::ErrorKind::UnexpectedEof => (
                "the file ends in the middle of its gzip data, so it is not whole",
                "wait until it is written, or copy it again",
            ),
            _ if error.to_string() == NO_GZIP_BEHIND => (NO_GZIP_BEHIND, "cut them off, or copy the file again"),
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                ("the gzip data of the file is damaged", "copy the file again")
            }
            _ => return self.origin.unreachable(error),
        };
        let line = self.line.saturating_add(newlines(self.bytes()));
        self.origin.broken_file(Some(line), what, remedy)
    }
}

fn not_gzip(origin: &Origin) -> Fault {
    origin.broken_file(
        None,
        "the file is named .gz, but its bytes are not gzip data",
        "pack it, or take the .gz off its name and out of `files`",
    )
}

/// The line and column of a byte of a record that starts on `line`; both from 1.
pub(super) fn spot_in(record: &[u8], line: u32, at: usize) -> Spot {
    let before = &record[..at.min(record.len())];
    let line_start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |index| index + 1);
    let characters = String::from_utf8_lossy(&before[line_start..]).chars().count() as u32;
    Spot {
        line: line.saturating_add(newlines(before)),
        column: characters + 1,
    }
}

fn newlines(bytes: &[u8]) -> u32 {
    bytes.iter().map(|byte| u32::from(*byte == b'\n')).sum()
}
