//! Words of the lists of flows, runs and tables, and of an address at which there is nothing.

use super::{Text, text};
use crate::look::Language;

/// A name.
pub const NAME: Text = text("이름", "Name");
/// A schedule.
pub const SCHEDULE: Text = text("일정", "Schedule");
/// The next tick.
pub const NEXT: Text = text("다음", "Next");
/// The newest run.
pub const LAST_RUN: Text = text("마지막 실행", "Last run");
/// A run's number.
pub const RUN: Text = text("실행", "Run");
/// What a run runs.
pub const WHAT: Text = text("대상", "What");
/// An interval.
pub const INTERVAL: Text = text("구간", "Interval");
/// What started it.
pub const TRIGGER: Text = text("시작한 것", "Started by");
/// How it stands.
pub const STATE: Text = text("상태", "State");
/// When it began.
pub const BEGAN: Text = text("시작", "Began");
/// How long it took.
pub const TOOK: Text = text("걸린 시간", "Took");
/// What a table is.
pub const KIND: Text = text("종류", "Kind");
/// How its intervals stand.
pub const INTERVALS: Text = text("구간", "Intervals");
/// How large it is.
pub const SIZE: Text = text("크기", "Size");
/// No schedule.
pub const NO_SCHEDULE: Text = text("일정 없음", "none");
/// Never run.
pub const NEVER: Text = text("실행한 적 없음", "never");
/// Every state.
pub const ANY_STATE: Text = text("모두", "All");
/// Name of the choice of states.
pub const BY_STATE: Text = text("상태로 고르기", "Choose by state");
/// Everything, where nothing was selected.
pub const EVERYTHING: Text = text("전체", "everything");
/// What a search of flows looks for.
pub const SEARCH_FLOWS: Text = text("플로 이름", "Name of a flow");
/// What a search of tables looks for.
pub const SEARCH_TABLES: Text = text("이름, 열, 설명", "Name, column, description");

/// What a flow is.
pub const FLOWS_EMPTY: Text = text(
    "플로는 일정과 그 일정에 시작할 단계를 적은 파일입니다. flows 폴더에 파일을 두면 여기에 나타납니다. 모델은 플로 없이도 자기 일정으로 채워집니다.",
    "A flow is a file that names a schedule and the steps that it starts. Put one into the folder flows and it is listed here. Models need none: they are filled by schedules of their own.",
);
/// What a table is.
pub const TABLES_EMPTY: Text = text(
    "테이블은 모델, 시드, 스냅샷, 소스에서 생깁니다. models 폴더에 SQL 파일을 두면 여기에 나타납니다.",
    "Tables come from models, seeds, snapshots and sources. Put a SQL file into the folder models and it is listed here.",
);
/// What a run is.
pub const RUNS_EMPTY: Text = text(
    "실행은 채울 차례인 구간을 한 번 훑어 채우는 일입니다. 일정이 시작하거나 사람이 시작합니다.",
    "A run is one walk over what is due. A schedule starts it, or a person.",
);
/// Nothing of that state.
pub const RUNS_NONE_OF_STATE: Text = text("이 상태의 실행이 없습니다.", "There are no runs of this state.");

/// Nothing has what was looked for.
pub fn not_found(search: &str, language: Language) -> String {
    match language {
        Language::Korean => format!("찾은 것 없음: {search}"),
        Language::English => format!("Nothing has this: {search}"),
    }
}

/// Title of the page of an address at which there is nothing.
pub const TROUBLE: Text = text("이 페이지를 보여 줄 수 없습니다", "This page cannot be shown");
/// Before names that are close.
pub const NEAR: Text = text("혹시 이것인가요?", "Did you mean one of these?");
/// Back to the first page.
pub const TO_TODAY: Text = text("오늘 페이지로", "To the page of today");
