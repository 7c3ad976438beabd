//! Walks as text: what starts, what ends by itself, and how the whole ends.

use super::*;
use crate::{
    diagnostic::Place,
    flow::{Retry, StepKind, Template},
};

/// `name`, `name <- a b`, with words behind `:`: `always`, `failed`, `any_success`, `allow_failure`,
/// `finally`, `retry=N`, `at_most_once`, `within=SECONDS`.
fn flow(lines: &[&str]) -> Flow {
    let place = || Place::file("flows/test.yml");
    let step = |line: &&str| {
        let (line, words) = line.split_once(':').unwrap_or((line, ""));
        let (name, needs) = line.split_once("<-").unwrap_or((line, ""));
        let word = |word: &str| words.split_whitespace().any(|said| said == word);
        let number = |key: &str| -> Option<i64> {
            let mut values = words.split_whitespace().filter_map(|said| said.strip_prefix(key));
            values.next()?.parse().ok()
        };
        let kind = StepKind::Sql {
            script: Template {
                text: "select 1".to_owned(),
                place: place(),
            },
            content: Fingerprint::default(),
        };
        Step {
            needs: needs.split_whitespace().map(str::to_owned).collect(),
            run_if: match () {
                () if word("always") || word("finally") => RunIf::Always,
                () if word("failed") => RunIf::Failed,
                () if word("any_success") => RunIf::AnySuccess,
                () => RunIf::Success,
            },
            retry: Retry {
                max: number("retry=").unwrap_or(0) as u32,
                ..Retry::default()
            },
            total_timeout_us: number("within=").map(|seconds| seconds * 1_000_000),
            allow_failure: word("allow_failure"),
            is_finally: word("finally"),
            on_lost: if word("at_most_once") {
                OnLost::Fail
            } else {
                OnLost::Retry
            },
            ..Step::new(name.trim(), kind, place())
        }
    };
    Flow {
        steps: lines.iter().map(step).collect(),
        ..Flow::new("test", "flows/test.yml")
    }
}

fn at(seconds: i64) -> Instant {
    Instant(seconds * 1_000_000)
}

/// Walks to the end: each step that starts ends as `ends` says (success where it says nothing), one try
/// each. Gives what happened, and the result.
fn walked(flow: &Flow, ends: &[(&str, RunState)]) -> (String, RunState) {
    let mut walk = Walk::new(1, Interval::WHOLE);
    let mut told = Vec::new();
    for turn in 0..100 {
        let next = walk.next(flow, at(turn));
        for (step, state) in &next.end {
            walk.end(step, *state);
            told.push(format!("{step} {}", state.as_str()));
        }
        for step in &next.start {
            walk.began(step, at(turn));
            let state = ends
                .iter()
                .find(|(name, _)| name == step)
                .map_or(RunState::Success, |(_, state)| *state);
            walk.end(step, state);
            told.push(if state == RunState::Success {
                step.clone()
            } else {
                format!("{step} {}", state.as_str())
            });
        }
        if let Some(result) = next.result {
            assert!(next.start.is_empty());
            return (told.join(", "), result);
        }
    }
    panic!("the walk does not end: {told:?}");
}

#[test]
fn steps_start_when_what_they_need_has_ended() {
    let diamond = flow(&["a", "b <- a", "c <- a", "d <- b c"]);
    assert_eq!(walked(&diamond, &[]), ("a, b, c, d".to_owned(), RunState::Success));
    let next = Walk::new(1, Interval::WHOLE).next(&diamond, at(0));
    assert_eq!((next.start, next.result), (vec!["a".to_owned()], None));
}

#[test]
fn a_failure_ends_what_needs_it_and_nothing_else() {
    let diamond = flow(&["a", "b <- a", "c <- a", "d <- b c", "e <- d", "f <- c"]);
    assert_eq!(
        walked(&diamond, &[("b", RunState::Failed)]),
        (
            "a, b failed, c, d upstream_failed, e upstream_failed, f".to_owned(),
            RunState::Failed
        )
    );
}

#[test]
fn a_skip_goes_along_a_line_and_ends_at_a_join() {
    let branches = flow(&[
        "a",
        "left <- a",
        "far <- left",
        "right <- a",
        "join <- far right",
        "last <- join",
    ]);
    assert_eq!(
        walked(&branches, &[("left", RunState::Skipped)]),
        (
            "a, left skipped, right, far skipped, join, last".to_owned(),
            RunState::Success
        )
    );
    let both = walked(&branches, &[("left", RunState::Skipped), ("right", RunState::Skipped)]);
    assert_eq!(
        both.0,
        "a, left skipped, right skipped, far skipped, join skipped, last skipped"
    );
    assert_eq!(both.1, RunState::Success);
}

#[test]
fn run_if_says_how_what_it_needs_must_have_ended() {
    let flow = flow(&[
        "a",
        "b",
        "clean <- a b: always",
        "mend <- a b: failed",
        "some <- a b: any_success",
        "good <- a b",
    ]);
    let told = |ends: &[(&str, RunState)]| walked(&flow, ends).0;
    assert_eq!(told(&[]), "a, b, mend skipped, clean, some, good");
    assert_eq!(
        told(&[("a", RunState::Failed)]),
        "a failed, b, good upstream_failed, clean, mend, some"
    );
    assert_eq!(
        told(&[("a", RunState::Failed), ("b", RunState::Crashed)]),
        "a failed, b crashed, some upstream_failed, good upstream_failed, clean, mend"
    );
}

#[test]
fn what_may_fail_leaves_the_run_a_success_and_its_readers_go_on() {
    let flow = flow(&["a: allow_failure", "b <- a"]);
    assert_eq!(
        walked(&flow, &[("a", RunState::Failed)]),
        ("a failed, b".to_owned(), RunState::Success)
    );
}

#[test]
fn what_is_done_in_any_case_is_done_last_and_counts() {
    let flow = flow(&["a", "b <- a", "tidy: finally"]);
    assert_eq!(
        walked(&flow, &[("a", RunState::Failed)]),
        ("a failed, b upstream_failed, tidy".to_owned(), RunState::Failed)
    );
    assert_eq!(walked(&flow, &[("tidy", RunState::Failed)]).1, RunState::Failed);
}

#[test]
fn a_cancelled_walk_begins_nothing_but_what_is_done_in_any_case() {
    let flow = flow(&["a", "b <- a: always", "tidy: finally"]);
    let mut walk = Walk::new(1, Interval::WHOLE);
    walk.began("a", at(0));
    walk.is_cancelled = true;
    assert_eq!(walk.next(&flow, at(1)).end, [("b".to_owned(), RunState::Cancelled)]);
    walk.end("a", RunState::Cancelled);
    walk.end("b", RunState::Cancelled);
    assert_eq!(walk.next(&flow, at(1)).start, ["tidy"]);
    walk.end("tidy", RunState::Success);
    assert_eq!(walk.next(&flow, at(1)).result, Some(RunState::Cancelled));
}

const LATER: Lost = Lost::Failed {
    retry: diagnostic::Retry::Later,
};

#[test]
fn a_failure_is_tried_again_as_often_as_it_says_and_not_where_it_would_fail_the_same() {
    let flow = flow(&["a: retry=2"]);
    let step = flow.step("a").unwrap();
    let mut walk = Walk::new(7, Interval::WHOLE);
    let mut now = at(0);
    for _ in 0..2 {
        walk.began("a", now);
        let Stage::Retrying { at } = walk.lose(step, LATER, now) else {
            panic!("it is not tried again");
        };
        assert!(walk.next(&flow, now).start.is_empty() || at == now);
        let wait = walk.next(&flow, Instant(at.0 - 1));
        assert_eq!((wait.wake_at, wait.result), (Some(at), None));
        now = at;
        assert_eq!(walk.next(&flow, now).start, ["a"]);
    }
    walk.began("a", now);
    let state = RunState::Failed;
    assert_eq!(walk.lose(step, LATER, now), Stage::Ended { state });
    assert_eq!(walk.next(&flow, now).result, Some(RunState::Failed));

    let mut walk = Walk::new(7, Interval::WHOLE);
    walk.began("a", now);
    let never = Lost::Failed {
        retry: diagnostic::Retry::Never,
    };
    assert_eq!(walk.lose(step, never, now), Stage::Ended { state });
}

#[test]
fn a_lost_worker_uses_up_no_retry_and_has_a_bound_of_its_own() {
    let flow = flow(&["a", "once: at_most_once"]);
    let step = flow.step("a").unwrap();
    let mut walk = Walk::new(7, Interval::WHOLE);
    for crash in 1..=MAX_CRASHES {
        walk.began("a", at(0));
        let stage = walk.lose(step, Lost::Crashed, at(0));
        let is_over = stage.ended() == Some(RunState::Crashed);
        assert_eq!(is_over, crash == MAX_CRASHES, "{stage:?}");
    }
    assert_eq!(walk.progress("a").failures, 0);
    walk.began("once", at(0));
    let lost = walk.lose(flow.step("once").unwrap(), Lost::Crashed, at(0));
    assert_eq!(lost.ended(), Some(RunState::Crashed));
}

#[test]
fn no_retry_begins_after_the_time_of_all_of_them() {
    let flow = flow(&["a: retry=50 within=1"]);
    let step = flow.step("a").unwrap();
    let mut walk = Walk::new(7, Interval::WHOLE);
    walk.began("a", at(0));
    let mut now = at(0);
    for _ in 0..50 {
        match walk.lose(step, LATER, now) {
            Stage::Retrying { at: next } => {
                assert!(next < at(1));
                now = next;
                walk.began("a", now);
            }
            stage => {
                assert_eq!(stage.ended(), Some(RunState::Failed));
                return;
            }
        }
    }
    panic!("it is tried for ever");
}

proptest::proptest! {
    /// Whatever the flow and whatever happens: each step ends once, none starts before what it waits
    /// for has ended, and the walk ends.
    #[test]
    fn every_walk_ends_and_no_step_starts_before_its_needs(
        needs in proptest::collection::vec((proptest::prelude::any::<u8>(), 0..7_u8, proptest::prelude::any::<bool>()), 1..9),
        ends in proptest::collection::vec(0..5_u8, 40),
        cancel_at in 0..60_u8,
    ) {
        let lines: Vec<String> = needs.iter().enumerate().map(|(index, (bits, how, finally))| {
            let named: Vec<String> = (0..index).filter(|one| bits >> one & 1 == 1).map(|one| format!("s{one}")).collect();
            let how = ["", "always", "failed", "any_success", "allow_failure", "retry=2", "at_most_once"][usize::from(*how)];
            if *finally && index + 1 == needs.len() {
                format!("s{index}: finally")
            } else {
                format!("s{index} <- {}: {how}", named.join(" "))
            }
        }).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let flow = flow(&lines);
        let mut walk = Walk::new(3, Interval::WHOLE);
        let mut front = Front::new(&flow, &walk);
        let mut ends = ends.into_iter().cycle();
        let mut now = at(0);
        for turn in 0..400_u32 {
            if turn == u32::from(cancel_at) {
                walk.is_cancelled = true;
                front.look_at_all();
            }
            let next = walk.next(&flow, now);
            // Who looks only where something changed sees the same.
            proptest::prop_assert_eq!(&walk.next_at(&flow, &mut front, now), &next);
            for (step, state) in &next.end {
                proptest::prop_assert!(walk.ended(step).is_none());
                walk.end(step, *state);
            }
            for name in &next.start {
                let step = flow.step(name).unwrap();
                proptest::prop_assert!(flow.waits_for(step).all(|need| walk.ended(&need.name).is_some()));
                proptest::prop_assert!(!walk.is_cancelled || step.is_finally);
                walk.began(name, now);
                match ends.next().unwrap() {
                    0 | 1 => walk.end(name, RunState::Success),
                    2 => walk.end(name, RunState::Skipped),
                    3 => { walk.lose(step, LATER, now); }
                    _ => { walk.lose(step, Lost::Crashed, now); }
                }
            }
            for step in next.end.iter().map(|(step, _)| step).chain(&next.start) {
                front.changed(&flow, step, walk.progress(step).stage);
            }
            if let Some(result) = next.result {
                proptest::prop_assert!(result.is_terminal());
                proptest::prop_assert!(flow.steps.iter().all(|step| walk.ended(&step.name).is_some()));
                return Ok(());
            }
            now = next.wake_at.unwrap_or(Instant(now.0 + 1));
        }
        proptest::prop_assert!(false, "it does not end: {walk:?}");
    }
}

#[test]
fn a_walk_that_is_begun_again_does_what_is_not_done_and_tidies_up_again() {
    let flow = flow(&[
        "load",
        "when <- load",
        "check <- load",
        "sums <- check: retry=1",
        "report <- sums",
        "alarm <- sums: failed",
        "calm <- load: failed",
        "tidy: finally",
    ]);
    let mut walk = Walk::new(1, Interval::WHOLE);
    for (step, state) in [
        ("load", RunState::Success),
        ("when", RunState::Skipped),
        ("check", RunState::Cancelled),
        ("sums", RunState::Failed),
        ("report", RunState::UpstreamFailed),
        ("alarm", RunState::Success),
        ("calm", RunState::Skipped),
        ("tidy", RunState::Success),
    ] {
        if !matches!(state, RunState::Skipped | RunState::UpstreamFailed) {
            walk.began(step, at(1));
        }
        walk.end(step, state);
    }
    let sums = walk.steps.get_mut("sums").unwrap();
    (sums.failures, sums.crashes) = (2, 1);
    walk.is_cancelled = true;
    assert_eq!(walk.reopen(&flow), ["check", "sums", "report", "tidy"]);
    assert!(!walk.is_cancelled);
    assert_eq!(walk.next(&flow, at(2)).start, ["check"]);
    // A fresh count of tries; the numbers go on.
    let told = |step: &str| {
        let progress = walk.progress(step);
        (progress.failures + progress.crashes, progress.next_attempt())
    };
    assert_eq!(
        ["check", "sums", "report", "tidy"].map(told),
        [(0, 2), (0, 4), (0, 1), (0, 2)]
    );
    for step in ["check", "sums", "report", "tidy"] {
        walk.began(step, at(3));
        walk.end(step, RunState::Success);
    }
    assert_eq!(walk.next(&flow, at(4)).result, Some(RunState::Success));
    assert!(walk.reopen(&flow).is_empty(), "nothing is left to do");
}

#[test]
fn what_was_skipped_because_of_a_failure_is_looked_at_again() {
    let flow = flow(&[
        "load",
        "some <- load: any_success",
        "alarm <- load: failed",
        "next <- alarm",
    ]);
    let mut walk = Walk::new(1, Interval::WHOLE);
    for (step, state) in [
        ("load", RunState::Failed),
        ("some", RunState::UpstreamFailed),
        ("alarm", RunState::Skipped),
        ("next", RunState::Skipped),
    ] {
        walk.end(step, state);
    }
    assert_eq!(walk.reopen(&flow), ["load", "some", "alarm", "next"]);
}

#[test]
fn templates_may_ask_of_all_that_is_behind_a_step() {
    let flow = flow(&["a", "b <- a", "c", "d <- b", "e <- d c", "tidy: finally"]);
    let front = Front::new(&flow, &Walk::new(1, Interval::WHOLE));
    let before = |name: &str| -> Vec<&str> {
        let step = front.step(&flow, name).unwrap();
        front.before(&flow, step).into_iter().collect()
    };
    assert_eq!(before("a"), Vec::<&str>::new());
    assert_eq!(before("d"), ["a", "b"]);
    assert_eq!(before("e"), ["a", "b", "c", "d"]);
    assert_eq!(before("tidy"), ["a", "b", "c", "d", "e"]);
}
