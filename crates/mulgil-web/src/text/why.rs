//! Words of the Why page: each predicate of the scheduler as a question, and its answer as a sentence.

use mulgil_core::{diagnostic::Retry, tick::Fate};

use super::{Text, plural, text};
use crate::{look::Language, number};

/// What fills it.
pub const CHECKS: Text = text("스케줄러가 묻는 것", "What the scheduler asks");
/// What it was filled with.
pub const FILLS: Text = text("채운 기록", "How it was filled");
/// When.
pub const AT: Text = text("시각", "At");
/// By which run.
pub const RUN: Text = text("실행", "Run");
/// With which range.
pub const WITH: Text = text("함께 채운 구간", "Filled together");
/// The version that it committed.
pub const VERSION: Text = text("버전", "Version");
/// Its rows.
pub const ROWS: Text = text("행", "Rows");
/// It was found in the table's log.
pub const ADOPTED: Text = text("테이블 기록에서 인수", "adopted from the table's log");
/// The same on the command line.
pub const COMMAND: Text = text("명령줄에서", "On the command line");
/// Since.
pub const SINCE: Text = text("시점", "Since");
/// What helps most.
pub const HELPS: Text = text("지금 할 수 있는 일", "What helps");
/// Nothing has to be done.
pub const BEFORE: Text = text("앞 구간", "Interval before");
/// The one after.
pub const AFTER: Text = text("뒤 구간", "Interval after");

/// Is it named?
pub const Q_NAMED: Text = text("격자에 있는 구간인가?", "Is it an interval of its grid?");
/// Is it wanted?
pub const Q_WANTED: Text = text("있어야 할 때가 되었나?", "Is it wanted by now?");
/// What became of the tick?
pub const Q_TICK: Text = text("일정의 틱은 어떻게 되었나?", "What became of the tick?");
/// Was it given up?
pub const Q_WAIVED: Text = text("면제했나?", "Was it given up?");
/// Is it filled?
pub const Q_FILLED: Text = text("채워져 있나?", "Is it filled?");
/// Is it right?
pub const Q_RIGHT: Text = text("채운 것이 아직 맞나?", "Is it still right?");
/// Is an input there?
pub const Q_INPUT: Text = text("읽을 것이 있나?", "Is what it reads there?");
/// Did it fail?
pub const Q_FAILING: Text = text("앞서 실패했나?", "Did it fail before?");
/// Did it go back?
pub const Q_ROLLED_BACK: Text = text("이전 버전으로 되돌렸나?", "Did its table go back?");
/// Is it tested?
pub const Q_TESTED: Text = text("데이터 테스트를 통과했나?", "Have its data tests passed?");
/// Is somebody at it?
pub const Q_IN_FLIGHT: Text = text("지금 채우는 중인가?", "Is it being filled now?");
/// Is there room?
pub const Q_ROOM: Text = text("자리가 있나?", "Is there room for it?");
/// Is a server there?
pub const Q_SERVER: Text = text("시각을 지키는 서버가 있나?", "Does a server keep time?");

/// How many intervals were asked for.
pub fn count(count: u64, language: Language) -> String {
    match language {
        Language::Korean => format!("구간 {}개", number::count(count)),
        Language::English => plural(count, "interval", "intervals"),
    }
}

/// Whether the grid names it.
pub fn named(unit: &str, begin: Option<&str>, end: Option<&str>, is_named: bool, language: Language) -> String {
    if unit == "whole" {
        return match language {
            Language::Korean => "있습니다. 시간 전체가 한 구간입니다".to_owned(),
            Language::English => "Yes: all of time is one interval".to_owned(),
        };
    }
    let unit = super::table::unit(unit, language);
    let span = match (language, begin, end) {
        (Language::Korean, Some(begin), Some(end)) => format!("이고 {begin}에 시작해 {end} 앞에서 끝납니다"),
        (Language::Korean, Some(begin), None) => format!("이고 {begin}에 시작합니다"),
        (Language::Korean, None, Some(end)) => format!("이고 {end} 앞에서 끝납니다"),
        (Language::Korean, None, None) => "이고 시작이 따로 없습니다".to_owned(),
        (Language::English, Some(begin), Some(end)) => format!("from {begin} up to {end}"),
        (Language::English, Some(begin), None) => format!("from {begin} on"),
        (Language::English, None, Some(end)) => format!("up to {end}"),
        (Language::English, None, None) => "without a beginning".to_owned(),
    };
    match (language, is_named) {
        (Language::Korean, true) => format!("있습니다. 격자는 {unit} 단위{span}"),
        (Language::Korean, false) => format!("모두 들어 있지는 않습니다. 격자는 {unit} 단위{span}"),
        (Language::English, true) => format!("Yes: its time is cut by {unit}, {span}"),
        (Language::English, false) => format!("Not all of it: its time is cut by {unit}, {span}"),
    }
}

/// Whether the clock or the schedule has asked for it.
pub fn wanted(is_wanted: bool, schedule: Option<&str>, language: Language) -> String {
    match (language, is_wanted, schedule) {
        (Language::Korean, true, Some(schedule)) => format!("되었습니다. 일정 {schedule}"),
        (Language::Korean, true, None) => "되었습니다. 구간이 끝나면 바로 있어야 합니다".to_owned(),
        (Language::Korean, false, Some(schedule)) => format!("아직입니다. 일정 {schedule}의 다음 틱을 기다립니다"),
        (Language::Korean, false, None) => "아직입니다. 구간이 끝나야 합니다".to_owned(),
        (Language::English, true, Some(schedule)) => format!("Yes, by its schedule {schedule}"),
        (Language::English, true, None) => "Yes: each interval is wanted as soon as it has ended".to_owned(),
        (Language::English, false, Some(schedule)) => format!("Not yet: the next tick of {schedule} wants it"),
        (Language::English, false, None) => "Not yet: it has not ended".to_owned(),
    }
}

/// The last tick.
pub const LAST_TICK: Text = text("지난 틱", "Last tick");
/// The next tick.
pub const NEXT_TICK: Text = text("다음 틱", "Next tick");

/// What became of a tick; the moments are written already.
pub fn tick(scheduled: &str, fate: &Fate, into: Option<&str>, run: Option<i64>, language: Language) -> String {
    let into = into.unwrap_or("…");
    match (language, fate, run) {
        (Language::Korean, Fate::Runs, Some(run)) => format!("{scheduled} 틱이 실행 #{run}을 시작했습니다"),
        (Language::Korean, Fate::Runs, None) => format!("{scheduled} 틱의 실행이 곧 시작합니다"),
        (Language::Korean, Fate::Coalesced { .. }, _) => format!("{scheduled} 틱은 놓쳤고, {into} 틱이 대신합니다"),
        (Language::Korean, Fate::Missed, _) => format!("{scheduled} 틱은 놓쳤고, 대신할 틱이 없습니다"),
        (Language::Korean, Fate::Before, _) => {
            format!("{scheduled} 틱은 이 일정을 지켜보기 전이라 세지 않습니다")
        }
        (Language::English, Fate::Runs, Some(run)) => format!("The tick of {scheduled} began run #{run}"),
        (Language::English, Fate::Runs, None) => format!("The tick of {scheduled} is about to begin its run"),
        (Language::English, Fate::Coalesced { .. }, _) => {
            format!("The tick of {scheduled} was missed; the one of {into} makes up for it")
        }
        (Language::English, Fate::Missed, _) => {
            format!("The tick of {scheduled} was missed, and nothing makes up for it")
        }
        (Language::English, Fate::Before, _) => {
            format!("The tick of {scheduled} came before anybody kept time for this schedule")
        }
    }
}

/// Whether it was given up.
pub fn waived(ranges: Option<&str>, language: Language) -> String {
    match (language, ranges) {
        (Language::Korean, None) => "아닙니다".to_owned(),
        (Language::Korean, Some(ranges)) => format!("면제했습니다: {ranges}"),
        (Language::English, None) => "No".to_owned(),
        (Language::English, Some(ranges)) => format!("Yes: {ranges}"),
    }
}

/// How much of an interval is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    All,
    /// Some.
    Some,
    /// Nothing.
    Nothing,
}

/// Whether it is filled.
pub fn filled(part: Part, ranges: &str, rows: Option<u64>, language: Language) -> String {
    let rows = rows.map(|rows| super::frame::rows(rows, language));
    let with_rows = |text: String| match rows {
        Some(rows) => format!("{text} · {rows}"),
        None => text,
    };
    match (language, part) {
        (Language::Korean, Part::All) => with_rows("채워져 있습니다".to_owned()),
        (Language::Korean, Part::Some) => with_rows(format!("일부만 채워져 있습니다: {ranges}")),
        (Language::Korean, Part::Nothing) => "채워진 적이 없습니다".to_owned(),
        (Language::English, Part::All) => with_rows("Yes".to_owned()),
        (Language::English, Part::Some) => with_rows(format!("Only a part: {ranges}")),
        (Language::English, Part::Nothing) => "It was never filled".to_owned(),
    }
}

/// Nothing of it is stale.
pub const RIGHT: Text = text("바뀐 것이 없습니다", "Nothing changed since");

/// A part of it is stale; the reason is a sentence already.
pub fn stale(range: &str, reason: &str, language: Language) -> String {
    match language {
        Language::Korean | Language::English => format!("{range}: {reason}"),
    }
}

/// What is read, and how much of that is there.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Whose.
    pub from: &'a str,
    /// Files that others write.
    pub is_source: bool,
    /// Which time of it.
    pub needs: Option<&'a str>,
    /// What is not there.
    pub absent: Option<&'a str>,
    /// What is due again.
    pub due: Option<&'a str>,
    /// What had files once.
    pub gone: Option<&'a str>,
    /// Its data tests come first.
    pub waits_for_tests: bool,
}

/// Whether an input is there.
pub fn input(input: Input<'_>, language: Language) -> String {
    let Input { from, is_source, .. } = input;
    let of = match (language, input.needs) {
        (Language::Korean, Some(needs)) => format!("{from}의 {needs}"),
        (Language::English, Some(needs)) => format!("{needs} of {from}"),
        (Language::Korean, None) => format!("{from} 전체"),
        (Language::English, None) => format!("{from} as it stands"),
    };
    let mut told = Vec::new();
    if let Some(absent) = input.absent {
        told.push(match (language, is_source) {
            (Language::Korean, true) => format!("아직 파일이 없는 구간 {absent}"),
            (Language::Korean, false) => format!("아직 채워지지 않은 구간 {absent}"),
            (Language::English, true) => format!("there are no files yet for {absent}"),
            (Language::English, false) => format!("{absent} is not filled yet"),
        });
    }
    if let Some(gone) = input.gone {
        told.push(match language {
            Language::Korean => format!("파일이 사라진 구간 {gone}"),
            Language::English => format!("the files of {gone} are gone"),
        });
    }
    if let Some(due) = input.due {
        told.push(match language {
            Language::Korean => format!("다시 채울 차례인 구간 {due}"),
            Language::English => format!("{due} is due again itself"),
        });
    }
    if input.waits_for_tests {
        told.push(match language {
            Language::Korean => "데이터 테스트를 통과해야 읽음".to_owned(),
            Language::English => "its data tests have to pass first".to_owned(),
        });
    }
    match language {
        Language::Korean if told.is_empty() => format!("{of}: 있습니다"),
        Language::English if told.is_empty() => format!("{of}: there"),
        Language::Korean | Language::English => format!("{of}: {}", told.join(", ")),
    }
}

/// How it failed; moments are written already.
pub fn failing(code: &str, count: u32, next: &str, retry: Retry, is_held: bool, language: Language) -> String {
    let then = match (language, is_held, retry) {
        (Language::Korean, true, _) => "바뀌는 것이 있거나 사람이 지정할 때까지 보류합니다".to_owned(),
        (Language::English, true, _) => "it is held until something changes or a person names it".to_owned(),
        (Language::Korean, false, Retry::Later) => format!("{next} 뒤에 다시 합니다"),
        (Language::English, false, Retry::Later) => format!("it is tried again after {next}"),
        (Language::Korean, false, Retry::Never | Retry::AfterHumanFix) => {
            "고치지 않으면 다음에도 같습니다. 차례가 되면 다시 하고, 연달아 3번 같으면 보류합니다".to_owned()
        }
        (Language::English, false, Retry::Never | Retry::AfterHumanFix) => {
            "unless somebody mends it, it fails the same way when it is its turn again; after three times it is held"
                .to_owned()
        }
    };
    match (language, count) {
        (Language::Korean, 0) => {
            format!("{code}(으)로 실패했습니다. 그 뒤로 정의나 읽는 것이 바뀌었으니, 차례가 되면 다시 합니다")
        }
        (Language::English, 0) => {
            format!("Yes, with {code}; it or what it reads has changed since, so it is tried again when it is its turn")
        }
        (Language::Korean, _) => format!("{code}(으)로 연달아 {count}번 실패했습니다. {then}"),
        (Language::English, _) => format!(
            "Yes, {} in a row with {code}; {then}",
            plural(u64::from(count), "time", "times")
        ),
    }
}

/// To which version it went back.
pub fn rolled_back(range: &str, to: i64, language: Language) -> String {
    match language {
        Language::Korean => format!("{range}: 버전 {to}(으)로 되돌렸습니다. 사람이 지정해야 다시 채웁니다"),
        Language::English => format!("{range}: back to version {to}; it is filled again when a person names it"),
    }
}

/// Whether its tests passed.
pub fn tested(failed: &[String], untested: Option<&str>, language: Language) -> String {
    let names = failed.iter().take(8).map(String::as_str).collect::<Vec<_>>().join(", ");
    match (language, failed.is_empty(), untested) {
        (Language::Korean, true, None) => "통과했습니다".to_owned(),
        (Language::Korean, true, Some(ranges)) => format!("아직 테스트하지 않아 아무도 읽지 않는 구간 {ranges}"),
        (Language::Korean, false, None) => format!("실패한 테스트: {names}"),
        (Language::Korean, false, Some(ranges)) => {
            format!("실패한 테스트: {names}. 통과할 때까지 읽지 않는 구간 {ranges}")
        }
        (Language::English, true, None) => "Yes".to_owned(),
        (Language::English, true, Some(ranges)) => format!("Nobody reads {ranges} until they have run"),
        (Language::English, false, None) => format!("These failed: {names}"),
        (Language::English, false, Some(ranges)) => {
            format!("These failed: {names}; nobody reads {ranges} until they pass")
        }
    }
}

/// Whether somebody is at it.
pub fn in_flight(ranges: Option<&str>, run: Option<i64>, language: Language) -> String {
    match (language, ranges, run) {
        (Language::Korean, None, _) => "아닙니다".to_owned(),
        (Language::Korean, Some(ranges), Some(run)) => format!("실행 #{run}이 {ranges} 구간을 채우고 있습니다"),
        (Language::Korean, Some(ranges), None) => format!("{ranges} 구간을 채우고 있습니다"),
        (Language::English, None, _) => "No".to_owned(),
        (Language::English, Some(ranges), Some(run)) => format!("Run #{run} is filling {ranges}"),
        (Language::English, Some(ranges), None) => format!("{ranges} is being filled"),
    }
}

/// Whether there is room.
pub fn room(of: &str, used: u64, limit: u64, language: Language) -> String {
    let is_full = used >= limit;
    let (used, limit) = (number::count(used), number::count(limit));
    match (language, is_full) {
        (Language::Korean, true) => format!("꽉 찼습니다. {of}: {limit}개 중 {used}개 사용"),
        (Language::Korean, false) => format!("있습니다. {of}: {limit}개 중 {used}개 사용"),
        (Language::English, true) => format!("No, {of} is full: {used} of {limit} in use"),
        (Language::English, false) => format!("Yes, in {of}: {used} of {limit} in use"),
    }
}

/// Whether a server keeps time; the age is written already.
pub fn server(age: Option<&str>, language: Language) -> String {
    match (language, age) {
        (Language::Korean, Some(age)) => format!("스케줄러의 마지막 움직임: {age}"),
        (Language::Korean, None) => "움직이는 스케줄러가 없습니다. 일정은 서버가 있어야 시작합니다".to_owned(),
        (Language::English, Some(age)) => format!("The scheduler moved {age}"),
        (Language::English, None) => "No scheduler is heard of: schedules begin only beside a server".to_owned(),
    }
}
