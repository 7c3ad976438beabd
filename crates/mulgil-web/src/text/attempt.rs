//! The page of an attempt: how it ended, what it said, what it asked.

use super::{Text, text};
use crate::{look::Language, number};

/// What stands before the run.
pub const RUN: Text = text("실행", "Run");
/// What stands before how its process ended.
pub const EXIT: Text = text("종료", "Exit");
/// What stands before its memory.
pub const MEMORY: Text = text("최대 메모리", "Peak memory");
/// What stands before the version that it committed.
pub const VERSION: Text = text("테이블 버전", "Table version");
/// What stands before the moment of the next attempt.
pub const RETRY: Text = text("다음 시도", "Next attempt");
/// Names the links between attempts.
pub const ATTEMPTS: Text = text("시도", "Attempts");
/// Names the links to the parts of the page.
pub const PARTS: Text = text("이 쪽에서", "On this page");
/// Heading: what it said.
pub const LOG: Text = text("로그", "Log");
/// Heading: what it asked.
pub const SQL: Text = text("SQL", "SQL");
/// Heading: what it gave.
pub const OUTPUT: Text = text("출력 값", "Output");
/// The SQL as it was asked.
pub const RENDERED: Text = text("렌더링된 SQL", "Rendered SQL");
/// It cannot be rendered any more.
pub const NOT_RENDERED: Text = text(
    "이 시도의 정의로는 더는 렌더링할 수 없습니다.",
    "It cannot be rendered any more by the definition of this attempt.",
);
/// The file is another one by now.
pub const SOURCE_CHANGED: Text = text(
    "이 시도 뒤에 파일이 바뀌었습니다. 아래는 지금의 파일입니다.",
    "The file has changed since this attempt; this is the file as it is now.",
);
/// Name of a mark in a text: here is the fault.
pub const FAULT_HERE: Text = text("오류 위치", "the fault is here");
/// Fetches the whole log.
pub const DOWNLOAD: Text = text("내려받기", "Download");
/// Breaks long lines.
pub const WRAP: Text = text("줄 바꿈", "Wrap lines");
/// Copies what is shown.
pub const COPY: Text = text("보이는 줄 복사", "Copy lines shown");
/// The button of the search.
pub const SEARCH: Text = text("로그에서 찾기", "Search the log");
/// Leads back from a search.
pub const ALL_LINES: Text = text("찾기 끝내기", "Back to the log");
/// Goes on with a search.
pub const SEARCH_ON: Text = text("이어서 찾기", "Search on");
/// Lines before those that are shown.
pub const EARLIER: Text = text("↑ 더 앞의 줄", "↑ Earlier lines");
/// Lines after those that are shown.
pub const LATER: Text = text("↓ 더 뒤의 줄", "↓ Later lines");
/// The end of the log.
pub const TO_END: Text = text("끝으로", "To the end");
/// The log is empty, and more may come.
pub const WAITS: Text = text(
    "첫 줄을 기다리고 있습니다. 작업이 표준 출력이나 표준 오류에 쓰는 줄은 쓰는 대로 여기에 보입니다.",
    "Waiting for its first line. What the task writes to standard output or standard error shows here as it is written.",
);
/// The log is empty, and stays so.
pub const NO_OUTPUT: Text = text(
    "출력이 없습니다. 작업이 표준 출력이나 표준 오류에 아무것도 쓰지 않고 끝났습니다.",
    "No output. The task ended without writing to standard output or standard error.",
);
/// Nothing was found.
pub const NO_HITS: Text = text("찾는 말이 있는 줄이 없습니다.", "No line has it.");
/// There is nothing at this place of the log.
pub const NOTHING_HERE: Text = text(
    "로그의 이 자리에는 줄이 없습니다.",
    "There are no lines at this place of the log.",
);
/// More will follow.
pub const STILL_WRITTEN: Text = text("계속 쓰는 중", "still being written");

/// How much of a log is shown.
pub fn shown(from: u64, next: u64, all: u64, language: Language) -> String {
    let [from, next, all] = [from, next, all].map(number::bytes);
    match language {
        Language::Korean => format!("전체 {all} 중 {from}부터 {next}까지"),
        Language::English => format!("{from} to {next} of {all}"),
    }
}

/// What was found.
pub fn hits(count: usize, language: Language) -> String {
    let count = number::count(count as u64);
    match language {
        Language::Korean => format!("{count}줄 찾음"),
        Language::English => format!("{count} found"),
    }
}

/// That a line goes on.
pub fn line_cut(bytes: u64, language: Language) -> String {
    let bytes = number::bytes(bytes);
    match language {
        Language::Korean => format!("… 이 줄은 {bytes} 더 있음"),
        Language::English => format!("… {bytes} more of this line"),
    }
}

/// That a text goes on.
pub fn lines_cut(count: usize, language: Language) -> String {
    let count = number::count(count as u64);
    match language {
        Language::Korean => format!("… {count}줄 더 있음"),
        Language::English => format!("… {count} more lines"),
    }
}
