//! The page of a flow: its runs as a grid of steps by intervals.

use std::time::Duration;

use mulgil_core::{
    flow::{After, By},
    run::RunState,
};

use super::{Text, plural, text};
use crate::{look::Language, number, time, view::flow::Order};

/// Leads to the form that runs it.
pub const RUN: Text = text("실행…", "Run…");
/// What stands before the file.
pub const FILE: Text = text("파일", "File");
/// What stands before whom to ask.
pub const OWNER: Text = text("담당", "Owner");
/// What stands before the schedule.
pub const SCHEDULE: Text = text("일정", "Schedule");
/// There is no schedule.
pub const NO_SCHEDULE: Text = text(
    "없음: 사람이나 백필이 시작합니다",
    "none: a person or a backfill starts it",
);
/// What stands before the next ticks.
pub const NEXT: Text = text("다음 틱", "Next ticks");
/// There are no more ticks.
pub const NO_NEXT: Text = text("더 없음", "none to come");
/// What stands before the newest tick.
pub const LAST: Text = text("지난 틱", "Last tick");
/// A tick is going to have a run.
pub const TICK_QUEUED: Text = text("실행 대기", "its run is queued");
/// What stands before how soon it has to be over.
pub const DEADLINE: Text = text("기한", "Deadline");
/// What stands before the intervals' unit.
pub const UNIT: Text = text("구간", "Intervals");
/// Holes: heading.
pub const HOLES: Text = text("구멍", "Holes");
/// Names the grid.
pub const GRID: Text = text("단계별 실행", "Runs by step");
/// Names the list for small screens.
pub const LATEST: Text = text("최근 실행", "Latest runs");
/// Names the links that order columns.
pub const ORDER: Text = text("차례", "Order");
/// Names the links that choose a state.
pub const ONLY: Text = text("상태", "State");
/// Every state.
pub const ALL: Text = text("모두", "all");
/// Heading of the steps' column.
pub const STEP: Text = text("단계", "Step");
/// Names the legend.
pub const LEGEND: Text = text("기호", "Legend");
/// What the dot in the corner of a cell means.
pub const LEGEND_ATTEMPTS: Text = text("모서리 점: 두 번 이상 시도", "dot in the corner: more than one attempt");
/// What the bars above the columns are.
pub const LEGEND_BARS: Text = text("막대: 걸린 시간", "bars: how long each took");
/// An interval without a run.
pub const NO_RUN: Text = text("실행 없음", "no run");
/// There is no run yet.
pub const NO_RUNS: Text = text("아직 실행이 없습니다.", "No run yet.");
/// No run has the state that was chosen.
pub const NO_SUCH_RUNS: Text = text("이 상태인 실행이 없습니다.", "No run has this state.");
/// The states that can be chosen.
pub const STATES: [RunState; 4] = [
    RunState::Failed,
    RunState::Running,
    RunState::Success,
    RunState::Cancelled,
];

/// By what columns stand.
pub const fn order(order: Order) -> Text {
    match order {
        Order::Interval => text("구간순", "by interval"),
        Order::Start => text("시작순", "by start"),
    }
}

/// What a unit of intervals is called.
pub fn unit(unit: &str, language: Language) -> String {
    let known = match unit {
        "hour" => text("한 시간", "hour"),
        "day" => text("하루", "day"),
        "week" => text("한 주", "week"),
        "month" => text("한 달", "month"),
        "quarter" => text("한 분기", "quarter"),
        "year" => text("한 해", "year"),
        other => return other.to_owned(),
    };
    known.of(language).to_owned()
}

/// By when a run has to be over.
pub fn deadline(by: &By, language: Language) -> String {
    match by {
        By::Within { after, within_us } => {
            let within = time::took(Duration::from_micros(within_us.unsigned_abs()), language);
            let after = match after {
                After::Scheduled => text("틱", "the tick"),
                After::Queued => text("요청", "it was asked for"),
                After::Started => text("첫 단계 시작", "its first step began"),
            };
            let after = after.of(language);
            match language {
                Language::Korean => format!("{after} 뒤 {within} 안"),
                Language::English => format!("within {within} after {after}"),
            }
        }
        By::Clock { at, timezone } => format!("{} ({})", at.strftime("%H:%M"), timezone.name()),
    }
}

/// That its next run comes after it.
pub const COMES_LATE: Text = text("다음 실행이 이보다 늦게 옵니다", "the next run comes after it");

/// That a tick was missed, before the reason as the ledger has it.
pub fn tick_missed(language: Language) -> &'static str {
    match language {
        Language::Korean => "놓침:",
        Language::English => "missed:",
    }
}

/// How many intervals have no run.
pub fn holes(count: u64, language: Language) -> String {
    match language {
        Language::Korean => format!("채워진 적 없는 구간 {}개:", number::count(count)),
        Language::English => format!("{} never filled:", plural(count, "interval was", "intervals were")),
    }
}

/// That a flow has more steps than the grid shows.
pub fn more_rows(count: u64, language: Language) -> String {
    match language {
        Language::Korean => format!(
            "단계 {}개가 더 있습니다. 실행의 목록에서 모두 볼 수 있습니다.",
            number::count(count)
        ),
        Language::English => {
            format!(
                "{} not shown here; the list of a run has all.",
                plural(count, "more step is", "more steps are")
            )
        }
    }
}
