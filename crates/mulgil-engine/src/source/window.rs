//! The bytes of a text file, unpacked, through a window that only grows as long as one record.

use std::{
    fs::File,
    io::{self, BufRead as _, Read, Seek as _, SeekFrom},
    path::Path,
};

use flate2::bufread::GzDecoder;
use mulgil_core::port::Fault;

use super::{
    fault::{Origin, Spot},
    files::Input,
    reader::bug,
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

/// What a file begins with that says its byte order; no part of its text.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A part of a file, in bytes from its start: the records whose first byte lies in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// The first byte.
    pub start: u64,
    /// The byte behind the last one.
    pub end: u64,
}

impl Span {
    /// The whole file, however long it is.
    pub(super) const WHOLE: Self = Self {
        start: 0,
        end: u64::MAX,
    };
}

/// Where a window's bytes come from.
enum Bytes {
    Plain(File),
    Streamed(Box<dyn Read + Send>),
    Packed(Box<Unpacked>),
}

impl Read for Bytes {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.read(bytes),
            Self::Streamed(bytes_of) => bytes_of.read(bytes),
            Self::Packed(unpacked) => unpacked.read(bytes),
        }
    }
}

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
    reader: Bytes,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    is_at_end: bool,
    /// Where the window starts in the file's text.
    offset: u64,
    /// Where the first line is that counts.
    first: u64,
    /// The line on which the window starts, from 1 for the first that counts.
    pub line: u32,
    /// Whose bytes.
    pub origin: Origin,
}

impl Window {
    /// Over an open file; unpacks when its name ends in `.gz`. A byte order mark is passed over.
    pub(super) fn open(file: Input, origin: Origin) -> Result<Self, Fault> {
        let reader = if is_packed(&origin.file) {
            let mut packed = io::BufReader::with_capacity(PACKED_BYTES, file.reader());
            let first = packed.fill_buf().map_err(|error| origin.unreachable(&error))?;
            if !first.is_empty() && !first.starts_with(GZIP_MARK) {
                return Err(not_gzip(&origin));
            }
            Bytes::Packed(Box::new(Unpacked(Some(GzDecoder::new(packed)))))
        } else {
            match file {
                Input::File(file) => Bytes::Plain(file),
                other @ Input::Object(_) => Bytes::Streamed(other.reader()),
            }
        };
        let mut window = Self {
            reader,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            is_at_end: false,
            offset: 0,
            first: 0,
            line: 1,
            origin,
        };
        window.skip_mark()?;
        Ok(window)
    }

    /// Where the window starts in the file's text, in bytes.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Moves to the first line that begins at or behind a byte of the file, and counts lines from
    /// there. Only for a file that is not packed.
    pub(super) fn begin_at_line(&mut self, from: u64) -> Result<(), Fault> {
        // A line begins behind the end of another one.
        self.jump(from.saturating_sub(1))?;
        loop {
            let newline = self.bytes().iter().position(|byte| *byte == b'\n');
            let passed = newline.map_or(self.bytes().len(), |at| at + 1);
            self.skip(passed);
            if newline.is_some() || self.is_at_end {
                self.count_from_here();
                return Ok(());
            }
            self.grow()?;
        }
    }

    /// As [`Self::begin_at_line`], where a line end between quotes ends no record: as many quotes
    /// before it as open one. That is so as far as all before is well formed.
    pub(super) fn begin_at_record(&mut self, from: u64) -> Result<(), Fault> {
        self.jump(0)?;
        let mut is_quoted = false;
        loop {
            let bytes = self.bytes();
            let before = from.saturating_sub(1).saturating_sub(self.offset);
            let (before, behind) = bytes.split_at(bytes.len().min(usize::try_from(before).unwrap_or(usize::MAX)));
            for byte in before {
                is_quoted ^= *byte == b'"';
            }
            let end = behind.iter().position(|byte| {
                is_quoted ^= *byte == b'"';
                *byte == b'\n' && !is_quoted
            });
            let passed = end.map_or(bytes.len(), |at| before.len() + at + 1);
            self.skip(passed);
            if end.is_some() || self.is_at_end {
                self.count_from_here();
                return Ok(());
            }
            self.grow()?;
        }
    }

    /// Back to the start of the file, as it was opened. Only for a file that is not packed.
    pub(super) fn rewind(&mut self) -> Result<(), Fault> {
        self.jump(0)?;
        self.line = 1;
        self.skip_mark()
    }

    /// The lines before the first that counts; the window is of no use afterwards.
    pub(super) fn lines_before(&mut self) -> Result<u32, Fault> {
        let mut lines = 0_u32;
        if self.first == 0 {
            return Ok(lines);
        }
        self.jump(0)?;
        while !self.is_at_end && self.offset < self.first {
            let left = usize::try_from(self.first - self.offset).unwrap_or(usize::MAX);
            let bytes = self.bytes();
            let passed = &bytes[..bytes.len().min(left)];
            lines = lines.saturating_add(newlines(passed));
            let passed = passed.len();
            self.skip(passed);
            self.grow()?;
        }
        Ok(lines)
    }

    fn skip_mark(&mut self) -> Result<(), Fault> {
        while !self.is_at_end && self.bytes().len() < BYTE_ORDER_MARK.len() {
            self.grow()?;
        }
        if self.bytes().starts_with(BYTE_ORDER_MARK) {
            self.skip(BYTE_ORDER_MARK.len());
        }
        Ok(())
    }

    fn jump(&mut self, to: u64) -> Result<(), Fault> {
        let Bytes::Plain(file) = &mut self.reader else {
            return Err(bug("a packed file was to be read from its middle"));
        };
        file.seek(SeekFrom::Start(to))
            .map_err(|error| self.origin.unreachable(&error))?;
        (self.start, self.end, self.is_at_end) = (0, 0, false);
        self.offset = to;
        Ok(())
    }

    fn skip(&mut self, bytes: usize) {
        self.start += bytes;
        self.offset += bytes as u64;
    }

    fn count_from_here(&mut self) {
        self.first = self.offset;
        self.line = 1;
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
        self.skip(bytes);
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

/// Whether a file's name says that it is packed, so that it can only be read from its start.
pub(super) fn is_packed(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("gz"))
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
