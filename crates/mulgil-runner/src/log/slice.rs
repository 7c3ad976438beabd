//! A part of a log by its place in bytes, and where words stand in it. However long the log is, only what is asked
//! for is read: it is sought, and never held as a whole.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
};

use memchr::{memchr, memchr_iter, memmem, memrchr};
use mulgil_core::interval::Instant;

use super::{LogStream, MAX_LINE_BYTES, parse};
use crate::folder;

/// Bytes that a search takes at once; a line is never longer.
const SEARCHED_AT_ONCE: usize = 16 * MAX_LINE_BYTES;

/// From where a part is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogPlace {
    /// From this byte on; where it stands inside of a line, from the next line on.
    From(u64),
    /// The last lines that end at this byte or before it.
    Before(u64),
}

/// How much of a log a part is at most.
#[derive(Clone, Copy, Debug)]
pub struct SliceBounds {
    /// Lines.
    pub lines: usize,
    /// Bytes that are read.
    pub bytes: usize,
    /// Bytes of the text of one line.
    pub line_bytes: usize,
}

/// A line with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedLine {
    /// Its first byte.
    pub from: u64,
    /// The byte behind its end.
    pub next: u64,
    /// When it was read from the task; nothing where the line is damaged.
    pub at: Option<Instant>,
    /// Where it comes from.
    pub stream: LogStream,
    /// Its text, as far as the bounds let it.
    pub text: String,
    /// Bytes of its text that are left out.
    pub cut_bytes: u64,
}

/// A part of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSlice {
    /// Whole lines, oldest first.
    pub lines: Vec<PlacedLine>,
    /// Where it begins.
    pub from: u64,
    /// Where it ends.
    pub next: u64,
    /// Bytes of the whole log, as far as it was written.
    pub bytes: u64,
}

/// Reads a part of an attempt's log; an empty one where there is none yet.
///
/// # Errors
/// What the file system says.
pub fn read_slice(dir: &Path, place: LogPlace, bounds: SliceBounds) -> io::Result<LogSlice> {
    let Some((mut file, bytes)) = opened(dir)? else {
        return Ok(LogSlice::default());
    };
    match place {
        LogPlace::From(at) => forward(&mut file, at, bytes, bounds),
        LogPlace::Before(at) => backward(&mut file, at, bytes, bounds),
    }
}

/// The lines from a byte on that hold these words, in whatever case; what stands before a line's text does not
/// count. No more is read once `most` bytes were. With them comes where the search goes on, if it did not reach the end.
///
/// # Errors
/// What the file system says.
pub fn search_log(
    dir: &Path,
    from: u64,
    words: &str,
    most: u64,
    bounds: SliceBounds,
) -> io::Result<(LogSlice, Option<u64>)> {
    let Some((mut file, bytes)) = opened(dir)? else {
        return Ok((LogSlice::default(), None));
    };
    let mut at = forward(&mut file, from, bytes, SliceBounds { lines: 0, ..bounds })?.from;
    let mut slice = LogSlice {
        from: at,
        next: at,
        bytes,
        ..LogSlice::default()
    };
    let words = words.to_ascii_lowercase();
    let finder = memmem::Finder::new(words.as_bytes());
    let end = bytes.min(at.saturating_add(most));
    let mut buffer = vec![0; SEARCHED_AT_ONCE];
    while at < end && !words.is_empty() {
        let read = read_at(&mut file, at, &mut buffer)?;
        // What has no end yet is a line that is being written; only a damaged log has one that fills the buffer.
        let whole = match memrchr(b'\n', read) {
            Some(last) => last + 1,
            None if read.len() == SEARCHED_AT_ONCE => read.len(),
            None => break,
        };
        let taken = bounds.lines - slice.lines.len();
        for (start, end) in hits(&read[..whole], &finder).take(taken) {
            slice.lines.push(placed(&read[start..end], at + start as u64, bounds));
        }
        if slice.lines.len() == bounds.lines {
            slice.next = slice.lines.last().map_or(at, |line| line.next);
            let next = (slice.next < bytes).then_some(slice.next);
            return Ok((slice, next));
        }
        at += whole as u64;
        slice.next = at;
    }
    let next = (at < bytes && at >= end).then_some(at);
    Ok((slice, next))
}

/// The log and its size; none where nothing was written.
fn opened(dir: &Path) -> io::Result<Option<(File, u64)>> {
    match File::open(dir.join(folder::LOG)) {
        Ok(file) => {
            let bytes = file.metadata()?.len();
            Ok(Some((file, bytes)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_at<'b>(file: &mut File, at: u64, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
    file.seek(SeekFrom::Start(at))?;
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(&buffer[..filled])
}

fn forward(file: &mut File, at: u64, bytes: u64, bounds: SliceBounds) -> io::Result<LogSlice> {
    let at = at.min(bytes);
    // The byte before says whether a line begins here.
    let first = at.saturating_sub(1);
    let mut buffer = vec![0; bounds.bytes + 1];
    let read = read_at(file, first, &mut buffer)?;
    let skipped = match at {
        0 => 0,
        _ => memchr(b'\n', read).map_or(read.len(), |end| end + 1),
    };
    let (from, rest) = (first + skipped as u64, &read[skipped..]);
    let is_full = read.len() == bounds.bytes + 1;
    Ok(slice_of(rest, from, bytes, bounds, Keep::First, is_full))
}

fn backward(file: &mut File, at: u64, bytes: u64, bounds: SliceBounds) -> io::Result<LogSlice> {
    let at = at.min(bytes);
    let first = at.saturating_sub(bounds.bytes as u64 + 1);
    let mut buffer = vec![0; (at - first) as usize];
    let read = read_at(file, first, &mut buffer)?;
    // A line that goes on behind the place is none of those before it.
    let whole = memrchr(b'\n', read).map_or(0, |end| end + 1);
    let skipped = match first {
        0 => 0,
        // A line that fills all of it is shown as far as it was read.
        _ => memchr(b'\n', read).map_or(0, |end| if end + 1 < whole { end + 1 } else { 0 }),
    };
    let rest = &read[skipped..whole];
    Ok(slice_of(rest, first + skipped as u64, bytes, bounds, Keep::Last, false))
}

/// Which lines stay where there are too many.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    First,
    Last,
}

/// The whole lines of what was read; the part of one that fills all of it, where nothing else was.
fn slice_of(read: &[u8], from: u64, bytes: u64, bounds: SliceBounds, keep: Keep, is_full: bool) -> LogSlice {
    let mut ends: Vec<usize> = memchr_iter(b'\n', read).map(|end| end + 1).collect();
    if ends.is_empty() && is_full && !read.is_empty() {
        ends.push(read.len());
    }
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let mut places: Vec<(usize, usize)> = starts.zip(ends.iter().copied()).collect();
    match keep {
        Keep::First => places.truncate(bounds.lines),
        Keep::Last => drop(places.drain(..places.len().saturating_sub(bounds.lines))),
    }
    let end = ends.last().copied().unwrap_or(0);
    let (first, next) = match (places.first(), places.last(), keep) {
        (Some((first, _)), Some((_, last)), _) => (*first, *last),
        (_, _, Keep::First) => (0, 0),
        (_, _, Keep::Last) => (end, end),
    };
    let lines = places
        .iter()
        .map(|(start, end)| placed(&read[*start..*end], from + *start as u64, bounds));
    LogSlice {
        lines: lines.collect(),
        from: from + first as u64,
        next: from + next as u64,
        bytes,
    }
}

/// The places of the lines that have what is looked for in their texts.
fn hits<'r>(read: &'r [u8], finder: &'r memmem::Finder<'_>) -> impl Iterator<Item = (usize, usize)> + 'r {
    let lower = read.to_ascii_lowercase();
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let hit = from + finder.find(&lower[from..])?;
            let start = memrchr(b'\n', &lower[..hit]).map_or(0, |end| end + 1);
            let end = memchr(b'\n', &lower[hit..]).map_or(lower.len(), |end| hit + end + 1);
            // The time and the stream are no words of the task.
            let text = memchr_iter(b' ', &lower[start..end])
                .nth(1)
                .map_or(start, |space| start + space + 1);
            if hit >= text || finder.find(&lower[text.min(end)..end]).is_some() {
                from = end;
                return Some((start, end));
            }
            from = end;
        }
    })
}

fn placed(bytes: &[u8], from: u64, bounds: SliceBounds) -> PlacedLine {
    let next = from + bytes.len() as u64;
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let (at, stream, mut text) = match parse(bytes) {
        Some(line) => (Some(line.at), line.stream, line.text),
        None => (None, LogStream::System, String::from_utf8_lossy(bytes).into_owned()),
    };
    let whole = text.len();
    text.truncate(text.floor_char_boundary(bounds.line_bytes));
    PlacedLine {
        from,
        next,
        at,
        stream,
        cut_bytes: (whole - text.len()) as u64,
        text,
    }
}

#[cfg(test)]
mod tests {
    use std::{fmt::Write as _, fs};

    use super::*;

    const BOUNDS: SliceBounds = SliceBounds {
        lines: 500,
        bytes: 128 * 1024,
        line_bytes: 2_000,
    };

    fn log(text: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(folder::LOG), text).unwrap();
        dir
    }

    fn line(number: usize) -> String {
        format!("2026-03-10T05:00:00.{:06}Z out line {number}\n", number % 1_000_000)
    }

    fn texts(slice: &LogSlice) -> Vec<&str> {
        slice.lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn a_log_is_read_forwards_and_backwards_by_lines() {
        let text: String = (1..=9).map(line).collect();
        let dir = log(&text);
        let few = SliceBounds { lines: 2, ..BOUNDS };
        let last = read_slice(dir.path(), LogPlace::Before(u64::MAX), few).unwrap();
        assert_eq!(texts(&last), ["line 8", "line 9"]);
        assert_eq!((last.next, last.bytes), (text.len() as u64, text.len() as u64));
        let before = read_slice(dir.path(), LogPlace::Before(last.from), few).unwrap();
        assert_eq!(texts(&before), ["line 6", "line 7"]);
        assert_eq!(before.next, last.from);
        let behind = read_slice(dir.path(), LogPlace::From(before.next), few).unwrap();
        assert_eq!(behind, last);
        let first = read_slice(dir.path(), LogPlace::From(0), few).unwrap();
        assert_eq!(texts(&first), ["line 1", "line 2"]);
        assert_eq!(first.from, 0);
        let inside = read_slice(dir.path(), LogPlace::From(3), few).unwrap();
        assert_eq!(texts(&inside), ["line 2", "line 3"], "from the next line on");
        let inside = read_slice(dir.path(), LogPlace::Before(first.next + 3), few).unwrap();
        assert_eq!(texts(&inside), ["line 1", "line 2"], "only what has ended before");
        let nothing = read_slice(dir.path(), LogPlace::From(last.next), few).unwrap();
        assert_eq!((texts(&nothing).len(), nothing.next), (0, last.next));
    }

    #[test]
    fn what_is_being_written_waits_for_its_end() {
        let whole = line(1);
        let dir = log(&format!("{whole}2026-03-10T05:00:00.0"));
        for place in [LogPlace::From(0), LogPlace::Before(u64::MAX)] {
            let slice = read_slice(dir.path(), place, BOUNDS).unwrap();
            assert_eq!(texts(&slice), ["line 1"]);
            assert_eq!(slice.next, whole.len() as u64);
        }
        let none = tempfile::tempdir().unwrap();
        let nothing = read_slice(none.path(), LogPlace::From(7), BOUNDS).unwrap();
        assert_eq!(nothing, LogSlice::default());
    }

    #[test]
    fn a_long_line_is_cut_and_says_by_how_much() {
        let dir = log(&format!("2026-03-10T05:00:00.000000Z err {}한\n", "x".repeat(1_999)));
        let slice = read_slice(dir.path(), LogPlace::From(0), BOUNDS).unwrap();
        assert_eq!(slice.lines[0].text.len(), 1_999);
        assert_eq!(slice.lines[0].cut_bytes, 3);
        assert_eq!(slice.lines[0].stream, LogStream::Err);
    }

    #[test]
    fn one_line_that_is_larger_than_a_part_is_gone_through_all_the_same() {
        let dir = log(&"y".repeat(1_000));
        let small = SliceBounds { bytes: 100, ..BOUNDS };
        let mut at = 0;
        for _ in 0..20 {
            at = read_slice(dir.path(), LogPlace::From(at), small).unwrap().next;
        }
        assert!(at > 100, "{at}");
        let text = format!("{}\n{}", "y".repeat(1_000), line(1));
        let dir = log(&text);
        let last = read_slice(dir.path(), LogPlace::Before(1_001), small).unwrap();
        assert_eq!(last.next, 1_001);
        assert!(last.from < 1_001 && last.lines.len() == 1, "{last:?}");
    }

    #[test]
    fn words_are_found_in_texts_alone_and_the_search_goes_on() {
        let text: String = (1..=1_000).map(line).collect();
        let dir = log(&text);
        let few = SliceBounds { lines: 2, ..BOUNDS };
        let (found, next) = search_log(dir.path(), 0, "LINE 99", u64::MAX, few).unwrap();
        assert_eq!(texts(&found), ["line 99", "line 990"]);
        let (found, next) = search_log(dir.path(), next.unwrap(), "line 99", u64::MAX, BOUNDS).unwrap();
        assert_eq!((found.lines.len(), next), (9, None));
        assert_eq!(&text[found.lines[0].from as usize..][..11], "2026-03-10T");
        let (found, _) = search_log(dir.path(), 0, "2026-03", u64::MAX, BOUNDS).unwrap();
        assert!(found.lines.is_empty(), "a line's time is no word of the task");
        let (found, next) = search_log(dir.path(), 0, "out", u64::MAX, BOUNDS).unwrap();
        assert_eq!((found.lines.len(), next), (0, None));
    }

    #[test]
    fn a_search_reads_no_more_than_it_may() {
        let mut text = String::new();
        while text.len() < 3 * SEARCHED_AT_ONCE {
            let _ = write!(text, "{}", line(text.len()));
        }
        text.push_str("2026-03-10T05:00:00.000000Z out the needle\n");
        let dir = log(&text);
        let most = SEARCHED_AT_ONCE as u64;
        let (mut from, mut searches) = (0, 0);
        loop {
            let (found, next) = search_log(dir.path(), from, "needle", most, BOUNDS).unwrap();
            searches += 1;
            let Some(next) = next else {
                assert_eq!(texts(&found), ["the needle"]);
                break;
            };
            assert!(found.lines.is_empty() && next > from);
            from = next;
        }
        assert!(searches > 1, "{searches}");
    }

    #[test]
    fn a_million_lines_are_read_as_quickly_as_ten() {
        let text: String = (0..1_000_000).map(line).collect();
        let dir = log(&text);
        let slice = read_slice(dir.path(), LogPlace::Before(u64::MAX), BOUNDS).unwrap();
        assert_eq!(slice.lines.len(), BOUNDS.lines);
        assert_eq!(slice.lines[BOUNDS.lines - 1].text, "line 999999");
        assert!(slice.next - slice.from <= BOUNDS.bytes as u64);
        let middle = read_slice(dir.path(), LogPlace::From(text.len() as u64 / 2), BOUNDS).unwrap();
        assert_eq!(middle.lines.len(), BOUNDS.lines);
    }
}
