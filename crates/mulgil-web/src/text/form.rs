//! Words of the forms.

use super::{Text, plural, text};
use crate::{look::Language, number, view::form::Label};

/// How an interval is written, in a field that is empty; the same in both languages.
pub const INTERVAL_EXAMPLE: &str = "2026-11-20";
/// Before what is filled in.
pub const FIELDS: Text = text("무엇을", "What");
/// Shows again what is going to be done.
pub const PREVIEW: Text = text("미리 보기", "Preview");
/// What is going to be done.
pub const GOING_TO: Text = text("이렇게 합니다", "This is going to be done");
/// The steps.
pub const STEPS: Text = text("단계", "Steps");
/// What goes on.
pub const LIVE: Text = text("지금 하고 있어 멈출 것", "Goes on now and is stopped");
/// The ranges.
pub const RANGES: Text = text("범위", "Ranges");
/// The intervals.
pub const INTERVALS: Text = text("구간", "Intervals");
/// Who becomes stale.
pub const READERS: Text = text("행이 바뀌면 낡게 되는 것", "Becomes stale where rows change");
/// The command that does the same.
pub const COMMAND: Text = text("같은 일을 하는 명령", "The command that does the same");
/// Back, without a deed.
pub const BACK: Text = text("하지 않고 돌아가기", "Back without doing it");
/// The preview is older than the fields.
pub const PREVIEW_FIRST: Text = text(
    "바꾼 값은 미리 보기를 누른 뒤에 쓰입니다.",
    "What you changed counts after a preview.",
);
/// Nothing would be done.
pub const NOTHING: Text = text("할 일이 없습니다.", "There is nothing to do.");
/// Yes.
pub const YES: Text = text("예", "yes");
/// No.
pub const NO: Text = text("아니요", "no");

/// The title of running a flow.
pub fn run(flow: &str, language: Language) -> String {
    match language {
        Language::Korean => format!("플로 실행: {flow}"),
        Language::English => format!("Run flow {flow}"),
    }
}

/// The title of cancelling a run.
pub fn cancel(run: i64, language: Language) -> String {
    match language {
        Language::Korean => format!("실행 취소: #{run}"),
        Language::English => format!("Cancel run #{run}"),
    }
}

/// The title of filling intervals.
pub fn backfill(node: &str, language: Language) -> String {
    match language {
        Language::Korean => format!("백필: {node}"),
        Language::English => format!("Backfill {node}"),
    }
}

/// The button that runs a flow.
pub fn do_run(steps: u64, language: Language) -> String {
    match language {
        Language::Korean => format!("단계 {}개 실행", number::count(steps)),
        Language::English => format!("Run {}", plural(steps, "step", "steps")),
    }
}

/// The button that cancels a run.
pub const DO_CANCEL: Text = text("이 실행 취소", "Cancel this run");

/// The button that fills intervals.
pub fn do_backfill(count: u64, language: Language) -> String {
    match language {
        Language::Korean => format!("구간 {}개 백필", number::count(count)),
        Language::English => format!("Backfill {}", plural(count, "interval", "intervals")),
    }
}

/// What has not begun and is not going to.
pub fn not_begun(count: u64, language: Language) -> String {
    match language {
        Language::Korean => format!("아직 시작하지 않은 작업 {}개도 하지 않습니다", number::count(count)),
        Language::English => format!("{} that has not begun is left out", plural(count, "task", "tasks")),
    }
}

/// Nothing goes on.
pub const NOTHING_LIVE: Text = text("지금 하고 있는 작업은 없습니다", "No task goes on now");

/// Filled ones among them.
pub fn filled(count: u64, language: Language) -> String {
    match language {
        Language::Korean => format!("이 가운데 {}개는 이미 채워져 있고, 새로 만듭니다", number::count(count)),
        Language::English => format!(
            "{} filled already and made anew",
            plural(count, "of them is", "of them are")
        ),
    }
}

/// For which interval.
pub fn for_interval(interval: &str, language: Language) -> String {
    match language {
        Language::Korean => format!("구간 {interval}"),
        Language::English => format!("for {interval}"),
    }
}

/// What is written beside a field.
pub fn label(label: &Label, language: Language) -> String {
    let fixed = match label {
        Label::Param(name) => return name.clone(),
        Label::Interval => text("구간", "Interval"),
        Label::From => text("처음", "From"),
        Label::To => text("끝(포함하지 않음)", "To (not part of it)"),
        Label::Only => text("어떤 구간", "Which of them"),
    };
    fixed.of(language).to_owned()
}

/// Which intervals of a range, by the word of the form.
pub fn only(word: &str, language: Language) -> &'static str {
    let known = match word {
        "missing" => text("구멍만", "only missing ones"),
        "failed" => text("실패한 것만", "only failed ones"),
        "stale" => text("낡은 것만", "only stale ones"),
        _ => text("모두", "all of them"),
    };
    known.of(language)
}
