//! The log of an attempt: each line with its time and stream, masked, with the middle of a long one left out.
//!
//! ```text
//! 2026-03-10T05:00:00.123456Z out one line
//! 2026-03-10T05:00:00.123460Z err+ the next part of a line that was too long for one
//! 2026-03-10T05:00:01.000000Z sys 1000000 bytes are left out here
//! ```
//!
//! Streams are `out`, `err`, `log` (events of that type) and `sys` (the supervisor). When the first
//! [`LogLimits::head_bytes`] are full, what follows goes in raw pieces to two files that take turns, so that
//! memory and disk stay small and a flood costs no work per line; at the end its last bytes become lines.

mod lines;
mod slice;
mod tail;

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use mulgil_core::interval::Instant;

pub use self::slice::{LogPlace, LogSlice, PlacedLine, SliceBounds, read_slice, search_log};
use self::{
    lines::{Lines, MAX_LINE_BYTES, on_disk},
    tail::Tail,
};
use crate::{
    folder,
    mask::{Forms, Masker},
    spec::LogLimits,
};

/// Bytes that are taken at once before it is looked at how large the file is.
const HEAD_PIECE_BYTES: usize = 4096;

/// The log in the folder of an attempt, as it is downloaded.
pub fn log_path(dir: &Path) -> PathBuf {
    dir.join(folder::LOG)
}

/// Bytes that [`read_log`] takes at once.
const MAX_PAGE_BYTES: usize = 4 << 20;

/// Where a line comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
    /// An event of type `log`.
    Log,
    /// The supervisor.
    System,
}

/// One line, or a part of a very long one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was read from the task.
    pub at: Instant,
    /// Where it comes from.
    pub stream: LogStream,
    /// Whether it goes on where the last line of this stream was cut.
    pub continues: bool,
    /// Its text; what is no UTF-8 is replaced.
    pub text: String,
}

/// A part of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPage {
    /// Whole lines.
    pub lines: Vec<LogLine>,
    /// The offset in bytes from which to read on.
    pub next: u64,
}

/// Reads whole lines of an attempt's log from an offset in bytes, at most about 4 MiB of them. Nothing
/// where there is none yet.
///
/// # Errors
/// What the file system says.
pub fn read_log(dir: &Path, offset: u64) -> io::Result<LogPage> {
    let mut lines = Vec::new();
    let next = read_lines(&dir.join(folder::LOG), offset, |line| lines.extend(parse(line)))?;
    Ok(LogPage { lines, next })
}

/// Gives each whole line from an offset, and says where the next one begins.
pub(crate) fn read_lines(path: &Path, offset: u64, mut take: impl FnMut(&[u8])) -> io::Result<u64> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(offset),
        file => file?,
    };
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(MAX_PAGE_BYTES as u64).read_to_end(&mut bytes)?;
    let whole = memchr::memrchr(b'\n', &bytes).map_or(0, |at| at + 1);
    bytes[..whole]
        .split_inclusive(|byte| *byte == b'\n')
        .for_each(|line| take(&line[..line.len() - 1]));
    Ok(offset + whole as u64)
}

fn parse(line: &[u8]) -> Option<LogLine> {
    let text = String::from_utf8_lossy(line);
    let mut parts = text.splitn(3, ' ');
    let (at, stream, rest) = (parts.next()?, parts.next()?, parts.next().unwrap_or_default());
    let (name, continues) = stream.strip_suffix('+').map_or((stream, false), |name| (name, true));
    Some(LogLine {
        at: Instant::from_timestamp(at.parse().ok()?),
        stream: LogStream::ALL.into_iter().find(|stream| stream.name() == name)?,
        continues,
        text: rest.to_owned(),
    })
}

impl LogStream {
    const ALL: [Self; 4] = [Self::Out, Self::Err, Self::Log, Self::System];

    /// As it stands in the log: `out`, `err`, `log`, `sys`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::Err => "err",
            Self::Log => "log",
            Self::System => "sys",
        }
    }
}

/// Writes a log. A disk that fails is remembered and told at the end; the task goes on.
pub(crate) struct LogWriter {
    dir: std::path::PathBuf,
    lines: Lines,
    maskers: [Masker; 2],
    head_bytes: u64,
    head_left: u64,
    tail: Option<Tail>,
    tail_bytes: u64,
    /// Bytes that the task wrote.
    pub(crate) output_bytes: u64,
}

impl LogWriter {
    pub(crate) fn new(dir: &Path, limits: LogLimits) -> Self {
        Self {
            dir: dir.to_path_buf(),
            lines: Lines::new(dir),
            maskers: [Masker::default(), Masker::default()],
            head_bytes: limits.head_bytes,
            head_left: limits.head_bytes,
            tail: None,
            tail_bytes: limits.tail_bytes,
            output_bytes: 0,
        }
    }

    /// Takes what a stream of the task gave.
    pub(crate) fn feed(&mut self, forms: &Forms, stream: LogStream, at: Instant, bytes: &[u8]) {
        self.output_bytes += bytes.len() as u64;
        let mut masked = Vec::with_capacity(bytes.len());
        self.maskers[usize::from(stream == LogStream::Err)].feed(forms, bytes, &mut masked);
        self.add(stream, at, &masked);
    }

    /// Takes a line that is masked already.
    pub(crate) fn line(&mut self, stream: LogStream, at: Instant, text: &str) {
        self.add(stream, at, format!("{}\n", text.replace('\n', " ")).as_bytes());
    }

    /// Writes out what is buffered, so that readers see it.
    pub(crate) fn flush(&mut self) {
        self.lines.file.flush();
    }

    /// Ends the log: nothing follows. Gives the bytes that are left out.
    pub(crate) fn finish(&mut self, forms: &Forms, at: Instant) -> io::Result<u64> {
        for (index, stream) in [LogStream::Out, LogStream::Err].into_iter().enumerate() {
            let mut rest = Vec::new();
            std::mem::take(&mut self.maskers[index]).finish(forms, &mut rest);
            self.add(stream, at, &rest);
        }
        let left_out = match self.tail.take() {
            Some(tail) => {
                drop(tail);
                self.lines.append_tail(&self.dir, self.tail_bytes)
            }
            None => Ok(0),
        };
        self.lines.end();
        self.lines.file.flush();
        left_out
    }

    /// Waits until it is on disk.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.lines.file.sync()
    }

    /// Whether there is anything of it on disk.
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.file.is_empty()
    }

    fn add(&mut self, stream: LogStream, at: Instant, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if let Some(tail) = &mut self.tail {
            if let Err(error) = tail.add(self.tail_bytes, stream, at, bytes) {
                self.lines.file.error.get_or_insert(error);
            }
            return;
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let left = usize::try_from(self.head_left).unwrap_or(usize::MAX);
            let fits = left.min(rest.len()).min(HEAD_PIECE_BYTES);
            if fits == 0 || self.lines.file.size() > on_disk(self.head_bytes) {
                self.begin_tail(at);
                self.add(stream, at, rest);
                return;
            }
            self.lines.add(stream, at, &rest[..fits]);
            self.head_left -= fits as u64;
            rest = &rest[fits..];
        }
    }

    fn begin_tail(&mut self, at: Instant) {
        self.lines.end();
        self.lines.add(
            LogStream::System,
            at,
            b"the log is long: from here only its end is kept, and it is shown when the task has ended\n",
        );
        match Tail::open(&self.dir) {
            Ok(tail) => self.tail = Some(tail),
            Err(error) => {
                self.lines.file.error.get_or_insert(error);
                (self.head_left, self.head_bytes) = (u64::MAX, u64::MAX);
            }
        }
    }
}

/// Ends the log of an attempt whose supervisor is gone: the last bytes of a long one become lines.
pub(crate) fn recover(dir: &Path, tail_bytes: u64, note: &str, at: Instant) -> io::Result<()> {
    let mut lines = Lines::new(dir);
    // A line that was cut by the kill must not run into the next.
    if let Ok(bytes) = fs::read(dir.join(folder::LOG))
        && bytes.last().is_some_and(|byte| *byte != b'\n')
    {
        lines.file.write(b"\n");
    }
    lines.append_tail(dir, tail_bytes)?;
    lines.end();
    lines.add(LogStream::System, at, format!("{note}\n").as_bytes());
    lines.file.sync()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::{lines::LINE_COST, *};

    fn written(limits: LogLimits, pieces: &[(LogStream, &[u8])]) -> (Vec<(LogStream, bool, String)>, u64) {
        let dir = tempfile::tempdir().expect("a folder");
        let forms = Forms::new(&[]);
        let mut log = LogWriter::new(dir.path(), limits);
        for (stream, bytes) in pieces {
            log.feed(&forms, *stream, Instant(1_000_000), bytes);
        }
        let left_out = log.finish(&forms, Instant(2_000_000)).expect("a disk");
        log.sync().expect("a disk");
        let page = read_log(dir.path(), 0).expect("a log");
        assert!(folder::LOG_TAILS.iter().all(|name| !dir.path().join(name).exists()));
        let lines = page
            .lines
            .into_iter()
            .map(|line| (line.stream, line.continues, line.text));
        (lines.collect(), left_out)
    }

    #[test]
    fn lines_of_two_streams_are_not_mixed() {
        let pieces: [(LogStream, &[u8]); 3] = [
            (LogStream::Out, b"one\ntw"),
            (LogStream::Err, b"oops\n"),
            (LogStream::Out, b"o\nlast"),
        ];
        let (lines, left_out) = written(LogLimits::default(), &pieces);
        let texts: Vec<_> = lines
            .iter()
            .map(|(stream, _, text)| (stream.name(), text.as_str()))
            .collect();
        assert_eq!(
            texts,
            [("out", "one"), ("err", "oops"), ("out", "two"), ("out", "last")]
        );
        assert_eq!(left_out, 0);
    }

    #[test]
    fn a_long_line_is_written_in_parts() {
        let long = vec![b'x'; MAX_LINE_BYTES + 10];
        let (lines, _) = written(
            LogLimits::default(),
            &[(LogStream::Out, &long), (LogStream::Out, b"\nnext\n")],
        );
        let shape: Vec<_> = lines
            .iter()
            .map(|(_, continues, text)| (*continues, text.len()))
            .collect();
        assert_eq!(shape, [(false, MAX_LINE_BYTES), (true, 10), (false, 4)]);
    }

    #[test]
    fn the_middle_of_a_long_log_is_left_out_and_counted() {
        let text: String = (0..1000).map(|number| format!("{number:03}\n")).collect();
        let limits = LogLimits {
            head_bytes: 8,
            tail_bytes: 12,
        };
        let pieces: Vec<(LogStream, &[u8])> = text.as_bytes().chunks(8).map(|piece| (LogStream::Out, piece)).collect();
        let (lines, left_out) = written(limits, &pieces);
        let texts: Vec<_> = lines.iter().map(|(_, _, text)| text.as_str()).collect();
        assert_eq!(texts[..2], ["000", "001"]);
        assert!(texts[2].starts_with("the log is long"));
        assert_eq!(
            texts[3..],
            [
                format!("{left_out} bytes are left out here").as_str(),
                "997",
                "998",
                "999"
            ]
        );
        assert_eq!(left_out, 4000 - 8 - 12);
    }

    #[test]
    fn a_cut_off_log_is_ended_by_whoever_finds_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let forms = Forms::new(&[]);
        let mut log = LogWriter::new(
            dir.path(),
            LogLimits {
                head_bytes: 4,
                tail_bytes: 100,
            },
        );
        log.feed(&forms, LogStream::Out, Instant(1), b"one\ntwo\nthree\n");
        log.flush();
        // Its supervisor is killed here: nothing is finished, and half a piece is on disk.
        fs::OpenOptions::new()
            .append(true)
            .open(dir.path().join("log.tail.0"))
            .and_then(|mut file| file.write_all(b"half"))
            .expect("a file");
        recover(dir.path(), 100, "it was lost", Instant(2)).expect("a log");
        let texts: Vec<String> = read_log(dir.path(), 0)
            .expect("a log")
            .lines
            .into_iter()
            .map(|line| line.text)
            .collect();
        assert_eq!(texts[0], "one");
        assert_eq!(texts[2..], ["two", "three", "it was lost"]);
    }

    #[test]
    fn a_reader_gets_whole_lines_and_goes_on() {
        let dir = tempfile::tempdir().expect("a folder");
        let forms = Forms::new(&[]);
        let mut log = LogWriter::new(dir.path(), LogLimits::default());
        log.feed(&forms, LogStream::Out, Instant(1), b"one\ntw");
        log.flush();
        let page = read_log(dir.path(), 0).expect("a log");
        assert_eq!(page.lines.len(), 1);
        log.feed(&forms, LogStream::Out, Instant(3), b"o \xff\n");
        log.flush();
        let next = read_log(dir.path(), page.next).expect("a log");
        assert_eq!(next.lines[0].text, "two \u{fffd}");
        assert_eq!(next.lines[0].at, Instant(3));
        assert!(read_log(dir.path(), next.next).expect("a log").lines.is_empty());
    }

    #[test]
    fn a_flood_of_short_lines_is_bounded_on_disk_too() {
        let dir = tempfile::tempdir().expect("a folder");
        let forms = Forms::new(&[]);
        let limits = LogLimits {
            head_bytes: 200_000,
            tail_bytes: 100_000,
        };
        let mut log = LogWriter::new(dir.path(), limits);
        let lines: Vec<u8> = b"a\n".repeat(500_000);
        for piece in lines.chunks(7_000) {
            log.feed(&forms, LogStream::Out, Instant(1_000_000), piece);
        }
        let left_out = log.finish(&forms, Instant(2_000_000)).expect("a disk");
        log.sync().expect("a disk");
        let bytes = fs::read(dir.path().join(folder::LOG)).expect("a log");
        let most = on_disk(limits.head_bytes) + on_disk(limits.tail_bytes) + 2 * HEAD_PIECE_BYTES as u64 * LINE_COST;
        assert!((bytes.len() as u64) < most, "{} bytes", bytes.len());
        let text = String::from_utf8(bytes).expect("text");
        assert!(text.contains(&format!("{left_out} bytes are left out here")));
        let kept = text.matches(" out a\n").count() as u64;
        assert_eq!(kept * 2 + left_out, 1_000_000);
        assert!(text.ends_with(" out a\n"));
    }
}
