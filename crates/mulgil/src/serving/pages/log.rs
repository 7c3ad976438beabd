//! What a try has said: of its folder where it has one, else of the ledger. Lines have places in bytes, and those
//! are the places in the text of a download, wherever it lies.

use std::path::Path;

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    port::Fault,
};
use mulgil_runner::{LogPlace, LogSlice, LogStream, PlacedLine, SliceBounds, log_path, read_slice, search_log};
use mulgil_server::{LogQuery, NoPage, WholeLog};
use mulgil_store::{
    Store,
    page::{LedgerLine, LedgerLog, LogFrom, TriedAttempt, ledger_text},
};
use mulgil_web::view::attempt::{
    HITS_SHOWN, LINE_BYTES_SHOWN, LINES_SHOWN, LOG_BYTES_SHOWN, Line, Log, SEARCH_BYTES, Search,
};

use super::{
    attempt::{Place, no_attempt},
    names::attempt_href,
};
use crate::wire::Opened;

/// How lines of the ledger begin that say that something went wrong.
const WRONG: [&str; 2] = ["error[", "error: "];
/// How a line begins that a task said by an event of a grave level.
const GRAVE: [&str; 4] = ["error: ", "critical: ", "fatal: ", "exception: "];

/// Some of what a try has said: its end, if nothing else is asked for.
pub(super) async fn shown(store: &Store, place: &Place, tried: &TriedAttempt, query: &LogQuery) -> Result<Log, Fault> {
    let query = query.clone();
    let dir = place.dir.clone();
    let mut log = if tokio::fs::try_exists(&place.dir).await.unwrap_or(false) {
        let read = tokio::task::spawn_blocking(move || of_folder(&dir, &query));
        read.await.map_err(|error| panicked(&error))??
    } else {
        of_ledger(store, tried.id, &query).await?
    };
    log.href = format!("{}/log", attempt_href(place.run, place.task, place.number));
    log.has_ended = tried.state.is_terminal();
    Ok(log)
}

/// All that a try has said.
pub(super) async fn whole_log(
    opened: &Opened,
    store: &Store,
    run: i64,
    task: i64,
    number: u32,
) -> Result<WholeLog, NoPage> {
    let attempt = store
        .attempt_of(run, task, number)
        .await?
        .ok_or_else(|| no_attempt(run, task, number))?;
    let path = log_path(&opened.attempts_dir().join(attempt.to_string()));
    if tokio::fs::try_exists(&path).await.unwrap_or(false) {
        return Ok(WholeLog::File(path));
    }
    Ok(WholeLog::Text(ledger_text(&store.log(attempt).await?)))
}

fn of_folder(dir: &Path, query: &LogQuery) -> Result<Log, Fault> {
    let bounds = SliceBounds {
        lines: LINES_SHOWN,
        bytes: LOG_BYTES_SHOWN,
        line_bytes: LINE_BYTES_SHOWN,
    };
    let failed = |error: std::io::Error| unreadable(dir, &error);
    if let Some(words) = &query.search {
        let hits = SliceBounds {
            lines: HITS_SHOWN,
            ..bounds
        };
        let from = query.from.unwrap_or(0);
        let (slice, next) = search_log(dir, from, words, SEARCH_BYTES, hits).map_err(failed)?;
        let mut log = of_slice(slice);
        log.search = Some(Search {
            text: words.clone(),
            next,
        });
        return Ok(log);
    }
    let place = match (query.from, query.before) {
        (Some(from), _) => LogPlace::From(from),
        (None, before) => LogPlace::Before(before.unwrap_or(u64::MAX)),
    };
    read_slice(dir, place, bounds).map(of_slice).map_err(failed)
}

fn of_slice(slice: LogSlice) -> Log {
    Log {
        lines: slice.lines.into_iter().map(of_placed).collect(),
        from: slice.from,
        next: slice.next,
        bytes: slice.bytes,
        ..Log::default()
    }
}

fn of_placed(line: PlacedLine) -> Line {
    let is_grave = |text: &str| GRAVE.iter().any(|grave| text.starts_with(grave));
    let is_error = match line.stream {
        LogStream::Err => true,
        LogStream::Log => is_grave(&line.text),
        LogStream::Out | LogStream::System => false,
    };
    Line {
        at_byte: line.from,
        at: line.at,
        is_error,
        text: line.text,
        cut_bytes: line.cut_bytes,
    }
}

async fn of_ledger(store: &Store, attempt: i64, query: &LogQuery) -> Result<Log, Fault> {
    if let Some(words) = query.search.as_ref().filter(|words| !words.is_empty()) {
        let from = query.from.unwrap_or(0);
        let found = store
            .ledger_search(attempt, from, words, HITS_SHOWN + 1, LINE_BYTES_SHOWN)
            .await?;
        let has_more = found.lines.len() > HITS_SHOWN;
        let mut log = of_found(found, Keep::First, HITS_SHOWN, from);
        log.search = Some(Search {
            text: words.clone(),
            next: has_more.then_some(log.next),
        });
        return Ok(log);
    }
    let (from, keep) = match (query.from, query.before) {
        (Some(from), _) => (LogFrom::Byte(from), Keep::First),
        (None, before) => (LogFrom::Before(before.unwrap_or(u64::MAX)), Keep::Last),
    };
    let found = store.ledger_log(attempt, from, LINES_SHOWN, LINE_BYTES_SHOWN).await?;
    let place = match from {
        LogFrom::Byte(place) | LogFrom::Before(place) => place.min(found.bytes),
    };
    Ok(of_found(found, keep, LINES_SHOWN, place))
}

/// Which lines stay where there are too many.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    First,
    Last,
}

/// Lines of the ledger, as many as a page shows and as few bytes as it reads. `place` is where it would begin if
/// there were none.
fn of_found(found: LedgerLog, keep: Keep, most: usize, place: u64) -> Log {
    let bytes = found.bytes;
    let mut lines = found.lines;
    let room = |lines: &mut dyn Iterator<Item = &LedgerLine>| {
        let mut left = LOG_BYTES_SHOWN;
        lines
            .take(most)
            .take_while(|line| {
                let fits = line.text.len() <= left;
                left = left.saturating_sub(line.text.len());
                fits
            })
            .count()
    };
    match keep {
        Keep::First => {
            let count = room(&mut lines.iter());
            lines.truncate(count);
        }
        Keep::Last => {
            let count = room(&mut lines.iter().rev());
            drop(lines.drain(..lines.len() - count));
        }
    }
    Log {
        from: lines.first().map_or(place, |line| line.from),
        next: lines.last().map_or(place, |line| line.next),
        bytes,
        lines: lines.into_iter().map(of_line).collect(),
        ..Log::default()
    }
}

fn of_line(line: LedgerLine) -> Line {
    let mut text = line.text;
    text.truncate(text.floor_char_boundary(LINE_BYTES_SHOWN));
    Line {
        at_byte: line.from,
        at: Some(line.at),
        is_error: WRONG.iter().any(|wrong| text.starts_with(wrong)) || is_failed_test(&text),
        cut_bytes: line.bytes.saturating_sub(text.len() as u64),
        text,
    }
}

/// `test NAME: failed: 3 rows`.
fn is_failed_test(text: &str) -> bool {
    text.starts_with("test ") && text.contains(": failed: ")
}

fn unreadable(dir: &Path, error: &std::io::Error) -> Fault {
    let message = format!("the log in {} cannot be read: {error}", dir.display());
    Box::new(
        Diagnostic::error(codes::DISK_FAILED, message)
            .with_remedy("look at the disk and at the rights of the data folder")
            .with_retry(Retry::AfterHumanFix),
    )
}

fn panicked(error: &tokio::task::JoinError) -> Fault {
    Box::new(Diagnostic::error(
        codes::BUG,
        format!("reading a log panicked: {error}"),
    ))
}

#[cfg(test)]
mod tests {
    use mulgil_core::interval::Instant;

    use super::*;

    fn line(from: u64, text: &str) -> LedgerLine {
        LedgerLine {
            from,
            next: from + text.len() as u64 + 33,
            at: Instant(0),
            text: text.to_owned(),
            bytes: text.len() as u64,
        }
    }

    #[test]
    fn a_page_of_the_ledger_has_no_more_than_it_may() {
        let text = "x".repeat(LINE_BYTES_SHOWN);
        let all: Vec<LedgerLine> = (0..100).map(|n| line(n * 2_033, &text)).collect();
        let found = || LedgerLog {
            lines: all.clone(),
            bytes: 203_300,
        };
        let last = of_found(found(), Keep::Last, LINES_SHOWN, 203_300);
        assert_eq!((last.lines.len(), last.next), (65, 203_300));
        assert_eq!(last.from, last.lines[0].at_byte);
        let first = of_found(found(), Keep::First, 10, 0);
        assert_eq!((first.lines.len(), first.from, first.next), (10, 0, 20_330));
        let none = of_found(LedgerLog::default(), Keep::First, 10, 7);
        assert_eq!((none.from, none.next), (7, 7));
    }

    #[test]
    fn what_went_wrong_is_seen_in_the_ledger_too() {
        for (text, wrong) in [
            ("error[MG3001]: no column", true),
            ("test not_null_id: failed: 3 rows", true),
            ("test not_null_id: passed", false),
            ("sql: select 'error'", false),
        ] {
            assert_eq!(of_line(line(0, text)).is_error, wrong, "{text}");
        }
        let long = of_line(LedgerLine {
            bytes: 5_000,
            ..line(0, &"한".repeat(1_000))
        });
        assert_eq!((long.text.len(), long.cut_bytes), (1_998, 3_002));
    }
}
