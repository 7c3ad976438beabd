//! Words of a table's page.

use super::{Text, plural, text};
use crate::{look::Language, number, view::table::Shape};

/// The form that fills intervals anew.
pub const BACKFILL: Text = text("백필…", "Backfill…");
/// Its intervals.
pub const INTERVALS: Text = text("구간", "Intervals");
/// Its columns.
pub const COLUMNS: Text = text("열", "Columns");
/// A column's name.
pub const COLUMN: Text = text("열", "Column");
/// A column's type.
pub const TYPE: Text = text("자료형", "Type");
/// What it is.
pub const DESCRIPTION: Text = text("설명", "Description");
/// Opens a long description.
pub const WHOLE_DESCRIPTION: Text = text("설명 모두 보기", "The whole description");
/// Its tests.
pub const TESTS: Text = text("데이터 테스트", "Data tests");
/// Its size over time.
pub const SIZES: Text = text("크기 변화", "Size over time");
/// A few rows.
pub const SAMPLE: Text = text("맛보기", "Sample");
/// Asks for a few rows.
pub const SAMPLE_SHOW: Text = text("처음 몇 행 보기", "Show the first rows");
/// There are no rows.
pub const SAMPLE_EMPTY: Text = text("행이 없습니다.", "It has no rows.");
/// What it reads.
pub const UPSTREAM: Text = text("읽는 것", "Reads");
/// Who reads it.
pub const DOWNSTREAM: Text = text("읽는 곳", "Read by");
/// Nobody, or nothing.
pub const NONE: Text = text("없음", "nothing");
/// What it is.
pub const KIND: Text = text("종류", "Kind");
/// Where it lies.
pub const RELATION: Text = text("테이블", "Table");
/// Its file.
pub const FILE: Text = text("파일", "File");
/// Whom to ask.
pub const OWNER: Text = text("담당", "Owner");
/// Its tags.
pub const TAGS: Text = text("태그", "Tags");
/// How its time is cut.
pub const GRID: Text = text("격자", "Grid");
/// When it is filled.
pub const SCHEDULE: Text = text("일정", "Schedule");
/// The next tick.
pub const NEXT: Text = text("다음", "Next");
/// How large it is.
pub const SIZE: Text = text("크기", "Size");
/// The version that readers see.
pub const VERSION: Text = text("버전", "Version");
/// When it last changed.
pub const CHANGED: Text = text("바뀐 때", "Changed");
/// Its other instances.
pub const INSTANCES: Text = text("다른 키", "Other keys");
/// A moment.
pub const AT: Text = text("시각", "At");
/// Ranges.
pub const RANGES: Text = text("구간별로", "In words");
/// A test passed.
pub const PASSED: Text = text("통과", "passed");
/// A test never ran.
pub const NEVER_RAN: Text = text("아직 실행하지 않음", "not run yet");
/// What it asks is another now.
pub const TEST_CHANGED: Text = text("그 뒤 바뀜", "changed since");
/// Broken rows only warn.
pub const ONLY_WARNS: Text = text("경고만", "warns only");
/// It has no interval yet.
pub const HEAT_EMPTY: Text = text(
    "아직 있어야 할 구간이 없습니다. 격자의 시작과 일정이 정하며, 아래 명령이 무엇이 채울 차례인지 말해 줍니다.",
    "No interval is wanted yet: its grid's begin and its schedule decide. This command says what is due.",
);
/// Numbers as a table, for the chart.
pub const AS_TABLE: Text = text("표로 보기", "As a table");
/// NULL.
pub const NULL: &str = "NULL";

/// `day` as a word.
pub fn unit(unit: &str, language: Language) -> String {
    let known = match unit {
        "hour" => text("시간", "hour"),
        "day" => text("날", "day"),
        "week" => text("주", "week"),
        "month" => text("달", "month"),
        "year" => text("해", "year"),
        other => return other.to_owned(),
    };
    known.of(language).to_owned()
}

/// A grid in one line.
pub fn grid(unit: &str, zone: &str, begin: &str, language: Language) -> String {
    let unit = self::unit(unit, language);
    match language {
        _ if begin.is_empty() => format!("{unit} · {zone}"),
        Language::Korean => format!("{unit} · {zone} · {begin}부터"),
        Language::English => format!("{unit} · {zone} · since {begin}"),
    }
}

/// What the picture is, for those who cannot see it.
pub fn heat(shape: Shape, cells: u64, language: Language) -> String {
    let by = match shape {
        Shape::Days => text("주별 달력", "a calendar by week"),
        Shape::Hours => text("하루가 한 줄, 한 시간이 한 칸", "a row a day, a column an hour"),
        Shape::Years => text("한 해가 한 줄", "a row a year"),
        Shape::Line => text("차례대로", "one after the other"),
        Shape::Whole => text("전체가 한 구간", "all of time is one"),
    };
    match language {
        Language::Korean => format!("구간 {}개: {}", number::count(cells), by.of(language)),
        Language::English => format!("{}: {}", plural(cells, "interval", "intervals"), by.of(language)),
    }
}

/// The rows that broke a test.
pub fn test_failures(rows: u64, language: Language) -> String {
    match language {
        Language::Korean => format!("어긋난 행 {}개", number::count(rows)),
        Language::English => format!("{} broke it", plural(rows, "row", "rows")),
    }
}

/// Columns that are not shown.
pub fn more_columns(count: u64, language: Language) -> String {
    match language {
        Language::Korean => format!("외 열 {}개", number::count(count)),
        Language::English => format!("and {} more", plural(count, "column", "columns")),
    }
}

/// How many files.
pub fn files(count: u64, language: Language) -> String {
    match language {
        Language::Korean => format!("파일 {}개", number::count(count)),
        Language::English => plural(count, "file", "files"),
    }
}

/// What the chart tells in one sentence.
pub fn sizes(first: &str, last: &str, most: &str, language: Language) -> String {
    match language {
        Language::Korean => format!("{first}에서 {last}(으)로, 가장 클 때 {most}"),
        Language::English => format!("from {first} to {last}, at most {most}"),
    }
}
