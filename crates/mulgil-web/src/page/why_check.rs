//! One predicate of the scheduler as a question and its answer.

use mulgil_core::{
    checks::Check,
    grid::Zone,
    interval::{Instant, Interval, RangeSet},
};

use crate::{
    part::link,
    text::{
        Text,
        state::reason,
        why::{self as words, Input, Part},
    },
    time::{Clock, civil},
};

/// Ranges that an answer names.
const RANGES_SHOWN: usize = 5;
/// Stale ranges that an answer names.
const REASONS_SHOWN: usize = 8;

/// A predicate as a person asks it.
pub(super) fn question(check: &Check) -> Text {
    match check {
        Check::Named { .. } => words::Q_NAMED,
        Check::Wanted { .. } => words::Q_WANTED,
        Check::Tick { .. } => words::Q_TICK,
        Check::Waived { .. } => words::Q_WAIVED,
        Check::Filled { .. } => words::Q_FILLED,
        Check::Right { .. } => words::Q_RIGHT,
        Check::Input { .. } => words::Q_INPUT,
        Check::Failing { .. } => words::Q_FAILING,
        Check::RolledBack { .. } => words::Q_ROLLED_BACK,
        Check::Tested { .. } => words::Q_TESTED,
        Check::InFlight { .. } => words::Q_IN_FLIGHT,
        Check::Room { .. } => words::Q_ROOM,
        Check::Server { .. } => words::Q_SERVER,
    }
}

/// What it was answered, a sentence a line.
pub(super) fn answer(check: &Check, zone: &Zone, clock: &Clock<'_>) -> Vec<String> {
    let language = clock.language;
    let set = |ranges: &RangeSet| written(ranges, zone);
    let one = match check {
        Check::Named {
            unit,
            begin,
            end,
            is_named,
        } => {
            let [begin, end] = [begin, end].map(|at| at.map(|at| edge(at, zone)));
            words::named(unit, begin.as_deref(), end.as_deref(), *is_named, language)
        }
        Check::Wanted { .. } => return wanted(check, clock),
        Check::Tick {
            scheduled_at,
            fate,
            run,
            ..
        } => {
            let into = match fate {
                mulgil_core::tick::Fate::Coalesced { into } => Some(clock.text(*into)),
                mulgil_core::tick::Fate::Runs | mulgil_core::tick::Fate::Missed | mulgil_core::tick::Fate::Before => {
                    None
                }
            };
            words::tick(&clock.text(*scheduled_at), fate, into.as_deref(), *run, language)
        }
        Check::Waived { ranges, .. } => words::waived(set(ranges).as_deref(), language),
        Check::Filled {
            filled, missing, rows, ..
        } => {
            let part = match set(filled) {
                None => Part::Nothing,
                Some(_) if missing.is_empty() => Part::All,
                Some(_) => Part::Some,
            };
            words::filled(part, &set(filled).unwrap_or_default(), *rows, language)
        }
        Check::Right { stale, .. } if stale.is_empty() => words::RIGHT.of(language).to_owned(),
        Check::Right { stale, .. } => {
            return stale
                .iter()
                .take(REASONS_SHOWN)
                .map(|(range, why)| words::stale(&name(*range, zone), &reason(why, language), language))
                .collect();
        }
        Check::Input { .. } => input(check, zone, clock),
        Check::Failing {
            code,
            count,
            next_try_at,
            retry,
            is_held,
            ..
        } => words::failing(
            &code.to_string(),
            *count,
            &clock.text(*next_try_at),
            *retry,
            *is_held,
            language,
        ),
        Check::RolledBack { range, to, .. } => words::rolled_back(&name(*range, zone), *to, language),
        Check::Tested { failed, untested, .. } => words::tested(failed, set(untested).as_deref(), language),
        Check::InFlight { ranges, run, .. } => words::in_flight(set(ranges).as_deref(), *run, language),
        Check::Room { of, used, limit, .. } => words::room(of, *used, *limit, language),
        Check::Server { heartbeat_at, .. } => {
            words::server(heartbeat_at.map(|at| clock.distance(at)).as_deref(), language)
        }
    };
    vec![one]
}

/// An interval as it is called behind `@`: dates where it lies between midnights, else hours or moments. The end
/// is excluded, as it is on the command line.
pub(super) fn name(range: Interval, zone: &Zone) -> String {
    if range == Interval::WHOLE {
        return "all".to_owned();
    }
    let (start, end) = (edge(range.start, zone), edge(range.end, zone));
    let is_one = |span: jiff::Span| {
        civil(range.start, zone)
            .checked_add(span)
            .is_ok_and(|next| !matches!(range.end, Instant::MAX) && next == civil(range.end, zone))
    };
    let is_day = start.len() == "2026-11-20".len() && is_one(jiff::Span::new().days(1));
    let is_hour = start.len() == "2026-11-20T05".len() && is_one(jiff::Span::new().hours(1));
    if is_day || is_hour {
        start
    } else {
        format!("{start}..{end}")
    }
}

fn edge(at: Instant, zone: &Zone) -> String {
    if matches!(at, Instant::MIN | Instant::MAX) {
        return String::new();
    }
    let at = civil(at, zone);
    let format = match (at.hour(), at.minute(), at.second()) {
        (0, 0, 0) => "%Y-%m-%d",
        (_, 0, 0) => "%Y-%m-%dT%H",
        (_, _, 0) => "%Y-%m-%dT%H:%M",
        (_, _, _) => "%Y-%m-%dT%H:%M:%S",
    };
    at.strftime(format).to_string()
}

fn written(ranges: &RangeSet, zone: &Zone) -> Option<String> {
    if ranges.is_empty() {
        return None;
    }
    let all = ranges.ranges();
    let mut text: Vec<String> = all.iter().take(RANGES_SHOWN).map(|range| name(*range, zone)).collect();
    if all.len() > RANGES_SHOWN {
        text.push(format!("… (+{})", all.len() - RANGES_SHOWN));
    }
    Some(text.join(", "))
}

fn wanted(check: &Check, clock: &Clock<'_>) -> Vec<String> {
    let Check::Wanted {
        schedule,
        last_tick,
        next_tick,
        is_wanted,
        ..
    } = check
    else {
        return Vec::new();
    };
    let language = clock.language;
    let mut told = vec![words::wanted(*is_wanted, schedule.as_deref(), language)];
    for (what, at) in [(words::LAST_TICK, last_tick), (words::NEXT_TICK, next_tick)] {
        if let Some(at) = at {
            told.push(format!("{} {}", what.of(language), clock.text(*at)));
        }
    }
    told
}

fn input(check: &Check, zone: &Zone, clock: &Clock<'_>) -> String {
    let Check::Input {
        from,
        is_source,
        needs,
        absent,
        due,
        gone,
        waits_for_tests,
        ..
    } = check
    else {
        return String::new();
    };
    let from = from.to_string();
    words::input(
        Input {
            from: &link::cut(&from, link::NAME_SHOWN),
            is_source: *is_source,
            needs: needs.map(|needs| name(needs, zone)).as_deref(),
            absent: written(absent, zone).as_deref(),
            due: written(due, zone).as_deref(),
            gone: written(gone, zone).as_deref(),
            waits_for_tests: *waits_for_tests,
        },
        clock.language,
    )
}

#[cfg(test)]
mod tests {
    use mulgil_core::{
        grid::Zone,
        interval::{Instant, Interval},
    };

    use super::name;

    #[test]
    fn ranges_are_called_as_on_the_command_line() {
        let seoul = Zone::named("Asia/Seoul").unwrap();
        let at = |text: &str| Instant::from_timestamp(text.parse().unwrap());
        let called = |start: &str, end: &str| name(Interval::new(at(start), at(end)).unwrap(), &seoul);
        assert_eq!(called("2026-11-19T15:00:00Z", "2026-11-20T15:00:00Z"), "2026-11-20");
        assert_eq!(
            called("2026-11-19T15:00:00Z", "2026-11-22T15:00:00Z"),
            "2026-11-20..2026-11-23"
        );
        assert_eq!(called("2026-11-19T20:00:00Z", "2026-11-19T21:00:00Z"), "2026-11-20T05");
        assert_eq!(
            called("2026-11-19T20:30:00Z", "2026-11-19T21:00:00Z"),
            "2026-11-20T05:30..2026-11-20T06"
        );
        assert_eq!(name(Interval::WHOLE, &seoul), "all");
        let open = Interval {
            start: at("2026-11-19T15:00:00Z"),
            end: Instant::MAX,
        };
        assert_eq!(name(open, &seoul), "2026-11-20..");
    }
}
