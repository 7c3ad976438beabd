//! What states, marks, verdicts, triggers, reasons and kinds are called.

use mulgil_core::{
    due::Reason,
    run::{RunState, TaskKind, Trigger},
    why::Status,
};

use super::{Text, text};
use crate::{
    look::Language,
    view::{Mark, Verdict},
};

/// The word for a run's, a task's or an attempt's state.
pub const fn run_state(state: RunState) -> Text {
    match state {
        RunState::Planned => text("예정", "planned"),
        RunState::Queued => text("대기", "queued"),
        RunState::Running => text("실행 중", "running"),
        RunState::Waiting => text("기다림", "waiting"),
        RunState::Success => text("성공", "success"),
        RunState::Failed => text("실패", "failed"),
        RunState::Crashed => text("중단", "crashed"),
        RunState::Cancelled => text("취소", "cancelled"),
        RunState::Skipped => text("건너뜀", "skipped"),
        RunState::UpstreamFailed => text("상위 실패", "upstream failed"),
    }
}

/// The word for a mark.
pub const fn mark(mark: Mark) -> Text {
    match mark {
        Mark::Run(state) => run_state(state),
        Mark::Retrying => text("재시도", "retrying"),
        Mark::Missing => text("구멍", "missing"),
        Mark::Stale => text("낡음", "stale"),
        Mark::Waiting => text("입력 대기", "waiting"),
        Mark::Held => text("보류", "held"),
        Mark::Provisional => text("잠정", "provisional"),
        Mark::Waived => text("면제", "waived"),
        Mark::NotExpected => text("예정 없음", "not expected"),
    }
}

/// The word for a mark of a table's interval, where done means filled.
pub const fn interval_mark(it: Mark) -> Text {
    match it {
        Mark::Run(RunState::Success) => text("채워짐", "filled"),
        Mark::Run(RunState::Running) => text("채우는 중", "filling"),
        Mark::Run(
            RunState::Planned
            | RunState::Queued
            | RunState::Waiting
            | RunState::Failed
            | RunState::Crashed
            | RunState::Cancelled
            | RunState::Skipped
            | RunState::UpstreamFailed,
        )
        | Mark::Retrying
        | Mark::Missing
        | Mark::Stale
        | Mark::Waiting
        | Mark::Held
        | Mark::Provisional
        | Mark::Waived
        | Mark::NotExpected => mark(it),
    }
}

/// The word for how good something is.
pub const fn verdict(verdict: Verdict) -> Text {
    match verdict {
        Verdict::Good => text("정상", "good"),
        Verdict::Warning => text("주의", "warning"),
        Verdict::Bad => text("이상", "bad"),
        Verdict::Unknown => text("모름", "unknown"),
    }
}

/// What started a run.
pub const fn trigger(trigger: Trigger) -> Text {
    match trigger {
        Trigger::Manual => text("사람", "by hand"),
        Trigger::Backfill => text("백필", "backfill"),
        Trigger::Schedule => text("일정", "schedule"),
    }
}

/// What a task does.
pub const fn task_kind(kind: TaskKind) -> Text {
    match kind {
        TaskKind::Fill => text("채우기", "fill"),
        TaskKind::Test => text("데이터 테스트", "data test"),
        TaskKind::Step => text("단계", "step"),
    }
}

/// Why something is filled, or filled again: a sentence without a full stop.
pub fn reason(reason: &Reason, language: Language) -> String {
    let fixed = match reason {
        Reason::Missing => text("채워진 적이 없음", "it was never filled"),
        Reason::Code => text("SQL이나 설정이 바뀜", "its SQL or configuration changed"),
        Reason::Schema => text("읽는 소스의 열이 바뀜", "the columns of a source changed"),
        Reason::Upstream { node } => {
            return match language {
                Language::Korean => format!("상위 {node}의 행이 바뀜"),
                Language::English => format!("rows of {node} changed"),
            };
        }
        Reason::Source { source } => {
            return match language {
                Language::Korean => format!("소스 {source}의 파일이 바뀜"),
                Language::English => format!("files of {source} changed"),
            };
        }
        Reason::Target => text("다른 프로그램이 테이블에 씀", "somebody else wrote into the table"),
        Reason::Rollback => text(
            "테이블이 이전 버전으로 돌아감",
            "the table went back to an earlier version",
        ),
        Reason::Hooks => text("훅이 끝까지 실행되지 않음", "its hooks did not run to their end"),
        Reason::Lookback => text("틱마다 되짚는 구간", "it is filled again at each tick (lookback)"),
        Reason::Settle => text("아직 굳지 않은 구간", "it is still settling"),
        Reason::Tick => text("일정의 틱", "its schedule ticked"),
        Reason::Again => text("선택한 것을 모두 다시 채움", "a run takes all that it selects"),
        Reason::Manual => text("사람이 요청함", "a person asked for it"),
    };
    fixed.of(language).to_owned()
}

/// How an interval stands, with what belongs to it.
pub fn status(status: &Status, language: Language) -> String {
    let fixed = match status {
        Status::Running => text("채우는 중", "being filled"),
        Status::Held { rolled_back_to: None } => {
            text("같은 실패가 되풀이되어 보류", "held: it failed the same way too often")
        }
        Status::Held {
            rolled_back_to: Some(version),
        } => {
            return match language {
                Language::Korean => format!("버전 {version}(으)로 되돌려 보류"),
                Language::English => format!("held: its table went back to version {version}"),
            };
        }
        Status::Failed => text("실패", "failed"),
        Status::Waiting { on } => {
            return match language {
                Language::Korean => format!("{on} 기다림"),
                Language::English => format!("waits for {on}"),
            };
        }
        Status::Missing => text("구멍: 채워진 적이 없음", "missing: never filled"),
        Status::Stale { reason: why } => {
            let why = reason(why, language);
            return match language {
                Language::Korean => format!("낡음: {why}"),
                Language::English => format!("stale: {why}"),
            };
        }
        Status::Untested => text(
            "채워짐, 데이터 테스트 전",
            "untested: filled, its data tests have not passed",
        ),
        Status::Provisional => text(
            "잠정: 채워짐, 굳을 때까지 다시 채움",
            "provisional: filled, and again until it settles",
        ),
        Status::Fresh => text("최신: 채워졌고 옳음", "fresh: filled and right"),
        Status::Sealed => text("확정: 채워졌고 굳음", "sealed: filled and settled"),
        Status::Waived => text("면제", "waived"),
        Status::NotExpected => text("예정 없음", "not expected"),
    };
    fixed.of(language).to_owned()
}

/// What a node is, by the word of the project.
pub fn node_kind(kind: &'static str, language: Language) -> &'static str {
    let known = match kind {
        "model" => text("모델", "model"),
        "seed" => text("시드", "seed"),
        "snapshot" => text("스냅샷", "snapshot"),
        "source" => text("소스", "source"),
        other => text(other, other),
    };
    known.of(language)
}

/// What a step is, by its key in the flow's file.
pub fn step_kind(kind: &'static str, language: Language) -> &'static str {
    let known = match kind {
        "sql" => text("SQL", "SQL"),
        "models" => text("모델", "models"),
        "python" => text("파이썬", "Python"),
        "command" => text("명령", "command"),
        "table" => text("테이블", "table"),
        other => text(other, other),
    };
    known.of(language)
}
