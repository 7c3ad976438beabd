//! What stands around every page, and the words of its parts.

use super::{Text, plural, text};
use crate::look::Language;

/// Name of the first page.
pub const TODAY: Text = text("오늘", "Today");
/// Name of the list of flows.
pub const FLOWS: Text = text("플로", "Flows");
/// Name of the list of runs.
pub const RUNS: Text = text("실행", "Runs");
/// Name of the list of tables.
pub const TABLES: Text = text("테이블", "Tables");
/// Name of the main menu.
pub const MENU: Text = text("주 메뉴", "Main menu");
/// Name of the path above a page.
pub const TRAIL: Text = text("현재 위치", "Where you are");
/// What leads past the frame.
pub const SKIP: Text = text("본문으로 건너뛰기", "Skip to the content");
/// The menu of zones.
pub const ZONE: Text = text("시간대", "Time zone");
/// The project's own zone.
pub const ZONE_PROJECT: Text = text("프로젝트 시간대", "The project's");
/// The reader's machine's zone; only a script knows it.
pub const ZONE_MINE: Text = text("내 컴퓨터 시간대", "This computer's");
/// The zone that needs no translation.
pub const ZONE_UTC: Text = text("협정 세계시", "Universal time");
/// What the switch of languages is for: said in the language that it is not.
pub const LANGUAGE: Text = text("English", "한국어");
/// The theme that follows the machine.
pub const THEME_AUTO: Text = text("화면: 자동", "Colours: automatic");
/// The light theme.
pub const THEME_LIGHT: Text = text("화면: 밝게", "Colours: light");
/// The dark theme.
pub const THEME_DARK: Text = text("화면: 어둡게", "Colours: dark");
/// What the dot of health stands for.
pub const SERVER: Text = text("서버", "Server");
/// The environment.
pub const ENVIRONMENT: Text = text("환경", "Environment");
/// To what is newer.
pub const NEWER: Text = text("더 최근", "Newer");
/// To what is older.
pub const OLDER: Text = text("더 이전", "Older");
/// To the next names.
pub const NEXT: Text = text("다음", "Next");
/// To the names before.
pub const PREVIOUS: Text = text("이전", "Previous");
/// What is said while the stream of changes is broken.
pub const STREAM_LOST: Text = text("연결 끊김 · 다시 잇는 중", "Connection lost · reconnecting");
/// Name of links that go through a list.
pub const PAGES: Text = text("목록 이동", "Through the list");
/// The button beside a command.
pub const COPY: Text = text("복사", "Copy");
/// After the button was used.
pub const COPIED: Text = text("복사함", "Copied");
/// What stands before a remedy.
pub const DO: Text = text("할 일", "Do");
/// What stands before a place.
pub const WHERE: Text = text("위치", "Where");
/// What stands before a code's command.
pub const EXPLAIN: Text = text("설명", "More");
/// Leads to the form that does what a command does.
pub const OPEN_FORM: Text = text("여기서 하기", "Do it here");
/// Leads to the page that shows what a command prints.
pub const OPEN_PAGE: Text = text("여기서 보기", "See it here");
/// Leads to the page that says why.
pub const WHY: Text = text("왜?", "Why?");
/// The button of a search.
pub const SEARCH: Text = text("찾기", "Search");
/// What leads back to a whole list.
pub const SHOW_ALL: Text = text("모두 보기", "Show all");

/// What the page cost, without its moment.
pub fn queries(count: u32, language: Language) -> String {
    match language {
        Language::Korean => format!("질의 {count}번"),
        Language::English => plural(u64::from(count), "query", "queries"),
    }
}

/// The moment of which the page tells.
pub fn as_of(clock: &str, language: Language) -> String {
    match language {
        Language::Korean => format!("{clock} 기준"),
        Language::English => format!("as of {clock}"),
    }
}

/// That there is more than is shown.
pub fn and_more(count: u64, language: Language) -> String {
    let count = crate::number::count(count);
    match language {
        Language::Korean => format!("외 {count}개"),
        Language::English => format!("and {count} more"),
    }
}

/// Opens what is folded.
pub fn show_more(count: u64, language: Language) -> String {
    let count = crate::number::count(count);
    match language {
        Language::Korean => format!("{count}개 더 보기"),
        Language::English => format!("Show {count} more"),
    }
}

/// How many intervals.
pub fn intervals(count: u64, language: Language) -> String {
    match language {
        Language::Korean => format!("구간 {}개", crate::number::count(count)),
        Language::English => plural(count, "interval", "intervals"),
    }
}

/// How many rows.
pub fn rows(count: u64, language: Language) -> String {
    match language {
        Language::Korean => format!("{}행", crate::number::count(count)),
        Language::English => plural(count, "row", "rows"),
    }
}

/// That pages show an older project, because the one in the folder cannot be loaded.
pub fn not_loaded(faults: u64, language: Language) -> String {
    let count = super::plural(faults, "fault", "faults");
    match language {
        Language::Korean => format!(
            "폴더의 프로젝트를 읽을 수 없습니다(오류 {faults}개). 고칠 때까지 마지막으로 읽은 것으로 돌아가고, 페이지도 그것을 보여 줍니다."
        ),
        Language::English => format!(
            "The project in the folder cannot be loaded ({count}). Until it is mended, what was loaded last goes on, and the pages show that."
        ),
    }
}
