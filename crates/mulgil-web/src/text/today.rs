//! Words of the page of today.

use std::time::Duration;

use super::{Text, plural, text};
use crate::{look::Language, number, time, view::today::TroubleKind};

/// Its title.
pub const TITLE: Text = text("오늘", "Today");
/// The last day of each flow.
pub const LAST_DAY: Text = text("플로별 24시간", "Flows, last 24 hours");
/// The server.
pub const SERVER: Text = text("서버", "Server");
/// A flow's name.
pub const FLOW: Text = text("플로", "Flow");
/// The runs of a day.
pub const RUNS: Text = text("실행", "Runs");
/// The next tick.
pub const NEXT: Text = text("다음", "Next");
/// Nothing ran.
pub const NO_RUNS: Text = text("실행 없음", "no runs");
/// No trouble at all.
pub const ALL_WELL: Text = text("이상 없음", "All is well");
/// There is neither a table nor a flow.
pub const EMPTY: Text = text(
    "이 페이지는 잘못된 것과 지난 하루의 실행, 서버의 상태를 보여 줍니다. 아직 테이블도 플로도 없습니다. models 폴더에 SQL 파일을 두거나, 예제 프로젝트로 시작하세요.",
    "This page tells what is wrong, what ran in the last day, and how the server is. There is neither a table nor a flow yet: put a SQL file into the folder models, or begin with the example.",
);
/// Since when something is wrong; the moment is written already.
pub fn since(moment: &str, language: Language) -> String {
    match language {
        Language::Korean => format!("{moment}부터"),
        Language::English => format!("since {moment}"),
    }
}

/// Name of a kind of trouble.
pub const fn kind(kind: TroubleKind) -> Text {
    match kind {
        TroubleKind::Failed => text("실패", "Failed"),
        TroubleKind::Late => text("늦음", "Late"),
        TroubleKind::Missing => text("구멍", "Missing"),
        TroubleKind::Stale => text("낡음", "Stale"),
        TroubleKind::Waiting => text("입력 대기", "Waiting"),
    }
}

/// How many tables are as they should be.
pub fn tables(all: u64, right: u64, language: Language) -> String {
    let (all_text, right_text) = (number::count(all), number::count(right));
    match language {
        Language::Korean if all == right => format!("테이블 {all_text}개가 모두 제대로 채워져 있습니다"),
        Language::Korean => format!("테이블 {all_text}개 가운데 {right_text}개가 제대로 채워져 있습니다"),
        Language::English if all == right => format!("all {} are as they should be", plural(all, "table", "tables")),
        Language::English => format!(
            "{right_text} of {} as they should be",
            plural(all, "table is", "tables are")
        ),
    }
}

/// A data test found rows.
pub fn test_failed(test: &str, failures: u64, language: Language) -> String {
    match language {
        Language::Korean => format!("데이터 테스트 {test}: 어긋난 행 {}개", number::count(failures)),
        Language::English => format!("data test {test} found {}", plural(failures, "row", "rows")),
    }
}

/// It should have ended by then; the moments are written already.
pub fn deadline(due: &str, began: Option<&str>, language: Language) -> String {
    match (language, began) {
        (Language::Korean, Some(began)) => format!("기한 {due}, {began}에 시작해 아직 끝나지 않음"),
        (Language::Korean, None) => format!("기한 {due}, 아직 시작하지 않음"),
        (Language::English, Some(began)) => format!("was to be over by {due}; began {began} and goes on"),
        (Language::English, None) => format!("was to be over by {due}; has not begun"),
    }
}

/// Its schedule comes too late for its deadline.
pub fn comes_late(next: &str, due: &str, language: Language) -> String {
    match language {
        Language::Korean => format!("기한은 {due}인데 일정은 {next}에 옵니다"),
        Language::English => format!("has to be over by {due}, and its schedule comes {next}"),
    }
}

/// Its tick came and nothing began.
pub fn not_begun(scheduled: &str, language: Language) -> String {
    match language {
        Language::Korean => format!("{scheduled} 예정, 아직 시작하지 않음"),
        Language::English => format!("was due {scheduled}; has not begun"),
    }
}

/// Never filled, and nothing stands against it.
pub const CAN_BE_FILLED: Text = text(
    "채워진 적이 없고, 읽을 것은 모두 있음",
    "never filled; all that it reads is there",
);

/// Something that it reads is not there.
pub fn waits_for(node: &str, language: Language) -> String {
    match language {
        Language::Korean => format!("{node}에 읽을 것이 아직 없음"),
        Language::English => format!("{node} has nothing to read yet"),
    }
}

/// The scheduler's last heartbeat.
pub fn scheduler(age: Option<Duration>, language: Language) -> String {
    match (age.map(|age| time::took(age, language)), language) {
        (Some(age), Language::Korean) => format!("{age} 전에 움직임"),
        (Some(age), Language::English) => format!("moved {age} ago"),
        (None, Language::Korean) => "소식 없음".to_owned(),
        (None, Language::English) => "nothing heard of it".to_owned(),
    }
}

/// The scheduler.
pub const SCHEDULER: Text = text("스케줄러", "Scheduler");
/// The ledger.
pub const LEDGER: Text = text("원장", "Ledger");
/// The disk.
pub const DISK: Text = text("디스크", "Disk");
/// How late ticks are.
pub const LAG: Text = text("틱 지연", "Lag of ticks");
/// The slots.
pub const SLOTS: Text = text("슬롯", "Slots");
/// Taking nothing new.
pub const DRAINING: Text = text("비우는 중", "Draining");
/// The project on disk.
pub const PROJECT: Text = text("프로젝트", "Project");

/// How the ledger answers.
pub fn answers(took: &str, language: Language) -> String {
    match language {
        Language::Korean => format!("{took} 만에 대답"),
        Language::English => format!("answers in {took}"),
    }
}

/// Room on the disk.
pub fn disk(free: u64, total: u64, language: Language) -> String {
    let (free_text, percent) = (number::bytes(free), number::percent(free, total));
    match language {
        Language::Korean => format!("{free_text} 남음 ({percent} %)"),
        Language::English => format!("{free_text} free ({percent} %)"),
    }
}

/// Slots in use.
pub fn slots(used: u64, of: u64, language: Language) -> String {
    let (used, of) = (number::count(used), number::count(of));
    match language {
        Language::Korean => format!("{of}개 중 {used}개 사용"),
        Language::English => format!("{used} of {of} in use"),
    }
}

/// It takes nothing new.
pub const DRAINING_TOLD: Text = text(
    "새 일을 받지 않고, 하던 일을 마치는 중",
    "takes nothing new and ends what goes on",
);

/// The project on disk has faults.
pub fn project_faults(count: u64, language: Language) -> String {
    match language {
        Language::Korean => format!(
            "디스크의 프로젝트에 오류 {}개: 앞서 읽은 것으로 계속합니다",
            number::count(count)
        ),
        Language::English => format!(
            "{} on disk: what was loaded before goes on",
            plural(count, "fault", "faults")
        ),
    }
}

/// What a strip of runs is, for those who cannot see it.
pub fn strip(flow: &str, count: u64, language: Language) -> String {
    match language {
        Language::Korean => format!("{flow}: 지난 24시간의 실행 {}개", number::count(count)),
        Language::English => format!("{flow}: {} of the last 24 hours", plural(count, "run", "runs")),
    }
}
