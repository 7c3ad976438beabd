//! The page of a run: its graph, its times, its list, its events.

use super::{Text, plural, text};
use crate::{look::Language, number, view::run::Tab};

/// Leads to the form that cancels it.
pub const CANCEL: Text = text("취소…", "Cancel…");
/// What stands before the flow.
pub const FLOW: Text = text("플로", "Flow");
/// What stands before what was selected.
pub const SELECTED: Text = text("선택", "Selected");
/// All of the project was selected.
pub const EVERYTHING: Text = text("모두", "everything");
/// What stands before an interval.
pub const INTERVAL: Text = text("구간", "Interval");
/// What stands before what started a run.
pub const TRIGGER: Text = text("시작한 것", "Started by");
/// What stands before the tick.
pub const TICK: Text = text("틱", "Tick");
/// What stands before a backfill's number.
pub const BACKFILL: Text = text("백필", "Backfill");
/// What stands before the moment at which something began.
pub const STARTED: Text = text("시작", "Began");
/// What stands before the moment at which something ended.
pub const ENDED: Text = text("끝", "Ended");
/// What stands before how long something took.
pub const TOOK: Text = text("걸린 시간", "Took");
/// What stands before parameters.
pub const PARAMS: Text = text("매개변수", "Parameters");
/// What stands before the definition's fingerprint.
pub const VERSION: Text = text("정의", "Definition");
/// What stands before the commands.
pub const COMMANDS: Text = text("명령줄에서", "On the command line");
/// Names the tabs.
pub const TABS: Text = text("보기", "Views");
/// Heading of a column: tasks.
pub const TASK: Text = text("작업", "Task");
/// Heading of a column: states.
pub const STATE: Text = text("상태", "State");
/// Heading of a column: how long something waited for its first attempt.
pub const WAITED: Text = text("대기", "Waited");
/// Heading of a column: how long it ran.
pub const RAN: Text = text("실행", "Ran");
/// Heading of a column: attempts.
pub const ATTEMPTS: Text = text("시도", "Attempts");
/// Heading of a column: rows.
pub const ROWS: Text = text("행", "Rows");
/// Heading of a column: reasons.
pub const REASON: Text = text("까닭", "Reason");
/// Heading of a column: moments.
pub const WHEN: Text = text("시각", "When");
/// Heading of a column: what happened.
pub const WHAT: Text = text("일", "What");
/// Heading of a column: to what it happened.
pub const SUBJECT: Text = text("대상", "To what");
/// Heading of a column: more of it.
pub const DETAIL: Text = text("내용", "Detail");
/// What the graph is, for who does not see it.
pub const GRAPH: Text = text("작업과 기다리는 관계", "Tasks and what they wait for");
/// Opens the graph as text.
pub const AS_TEXT: Text = text("글로 보기", "As text");
/// What stands before what a task waits for.
pub const WAITS_FOR: Text = text("기다리는 작업", "waits for");
/// Names the picture of times.
pub const TIMES: Text = text("시간에 따른 작업", "Tasks over time");
/// What the hatched part of a bar is.
pub const LEGEND_WAIT: Text = text("빗금: 기다림", "hatched: waited");
/// What the line across all bars is.
pub const LEGEND_NOW: Text = text("선: 지금", "line: now");
/// There is no task yet.
pub const NO_TASKS: Text = text("아직 시작한 작업이 없습니다.", "No task has begun yet.");
/// There will be none.
pub const NO_TASKS_EVER: Text = text(
    "할 일이 없어 작업 없이 끝났습니다.",
    "There was nothing to do: it ended without a task.",
);
/// There are no events here.
pub const NO_EVENTS: Text = text("여기에 기록된 일이 없습니다.", "Nothing is recorded here.");

/// The name of a tab.
pub const fn tab(tab: Tab) -> Text {
    match tab {
        Tab::Graph => text("그래프", "Graph"),
        Tab::Gantt => text("시간", "Times"),
        Tab::List => text("목록", "List"),
        Tab::Events => text("이력", "Events"),
    }
}

/// `실행 42`, `Run 42`.
pub fn name(id: i64, language: Language) -> String {
    match language {
        Language::Korean => format!("실행 {id}"),
        Language::English => format!("Run {id}"),
    }
}

/// The same where a link has no other words: `실행 42`, `run 42`.
pub fn named(id: i64, language: Language) -> String {
    match language {
        Language::Korean => format!("실행 {id}"),
        Language::English => format!("run {id}"),
    }
}

/// How many attempts, where there was more than one.
pub fn attempts(count: u32, language: Language) -> String {
    match language {
        Language::Korean => format!("{count}회 시도"),
        Language::English => plural(u64::from(count), "attempt", "attempts"),
    }
}

/// `2회차`, `attempt 2`.
pub fn attempt_number(number: impl std::fmt::Display, language: Language) -> String {
    match language {
        Language::Korean => format!("{number}회차"),
        Language::English => format!("attempt {number}"),
    }
}

/// That the graph draws some of the tasks only.
pub fn not_drawn(drawn: usize, all: usize, language: Language) -> String {
    let (drawn, all) = (number::count(drawn as u64), number::count(all as u64));
    match language {
        Language::Korean => {
            format!(
                "작업 {all}개 가운데 {drawn}개를 그렸습니다. 실패했거나 실행 중인 작업은 언제나 그립니다. 나머지는 목록에 있습니다."
            )
        }
        Language::English => format!(
            "{drawn} of {all} tasks are drawn; those that failed or are running always are. The others are in the list."
        ),
    }
}

/// In which zone the times of a picture are.
pub fn times_in(zone: &str, language: Language) -> String {
    match language {
        Language::Korean => format!("시각은 {zone}"),
        Language::English => format!("times in {zone}"),
    }
}
