//! What the scheduler asks of an interval: a timeline in, predicates with their evidence out.

use std::fmt::Write as _;

use insta::assert_snapshot;
use mulgil_core::{
    checks::{Check, Context, checks, flow_checks},
    cron::Cron,
    flow::Flow,
    grid::{Cut, Grid, Unit, Zone},
    interval::{Instant, Interval, RangeSet},
    interval_text,
    name::Instance,
    schedule::Schedule,
    select,
    state::{Cause, NodeState},
    tick::{Fate, Tick},
    timeline::Timeline,
};

const SHOP: &str = "
zone Asia/Seoul
begin 2026-11-10
source raw by day
model orders by day reads raw
model weekly by day reads orders last 7 days
model report reads orders
now 2026-11-20T06:00+09:00
available raw 2026-11-10..2026-11-20
";

/// The checks of `NODE@INTERVAL` in a timeline, one a line.
fn told(facts: &str, target: &str) -> String {
    told_with(facts, target, &Context::default())
}

fn told_with(facts: &str, target: &str, context: &Context) -> String {
    let timeline = Timeline::parse(&format!("{SHOP}{facts}"));
    let (instance, range) = select::one(&timeline.project, target).expect("the tests write it rightly");
    let forecast = timeline.forecast();
    let day = &timeline
        .project
        .node(&"orders".into())
        .expect("the tests write it rightly")
        .grid;
    lines(&checks(&forecast, &instance, range, context), day, timeline.now)
}

fn lines(checks: &[Check], grid: &Grid, now: Instant) -> String {
    let set = |set: &RangeSet| {
        let names: Vec<String> = set.iter().map(|range| interval_text::format(range, grid)).collect();
        names.join(", ")
    };
    let at =
        |at: &Option<Instant>| at.map_or_else(|| "-".to_owned(), |at| interval_text::format_instant(at, &grid.zone));
    let mut out = String::new();
    for check in checks {
        let says = format!("{:?}", check.says(now)).to_lowercase();
        let told = match check {
            Check::Named { unit, begin, .. } => format!("named: {unit} since {}", at(begin)),
            Check::Wanted {
                schedule,
                last_tick,
                next_tick,
                is_wanted,
            } => format!(
                "wanted: {is_wanted}, {}, last {}, next {}",
                schedule.as_deref().unwrap_or("no schedule"),
                at(last_tick),
                at(next_tick)
            ),
            Check::Tick {
                scheduled_at,
                fate,
                run,
            } => {
                format!("tick: {} {} run {run:?}", at(&Some(*scheduled_at)), fate.as_str())
            }
            Check::Waived { ranges } => format!("waived: {}", set(ranges)),
            Check::Filled {
                filled, missing, rows, ..
            } => {
                format!("filled: [{}] missing [{}] rows {rows:?}", set(filled), set(missing))
            }
            Check::Right { stale } => {
                let stale: Vec<String> = stale
                    .iter()
                    .map(|(range, reason)| format!("{} {}", interval_text::format(*range, grid), reason.kind()))
                    .collect();
                format!("right: stale [{}]", stale.join(", "))
            }
            Check::Input {
                from,
                needs,
                absent,
                due,
                gone,
                waits_for_tests,
                ..
            } => {
                let needs = needs.map_or_else(|| "as it stands".to_owned(), |needs| interval_text::format(needs, grid));
                let tests = if *waits_for_tests { " waits for tests" } else { "" };
                format!(
                    "input: {from} {needs} absent [{}] due [{}] gone [{}]{tests}",
                    set(absent),
                    set(due),
                    set(gone)
                )
            }
            Check::Failing {
                range,
                code,
                count,
                is_held,
                ..
            } => {
                format!(
                    "failing: {} {code} {count} times, held {is_held}",
                    interval_text::format(*range, grid)
                )
            }
            Check::RolledBack { range, to } => format!("rolled back: {} to {to}", interval_text::format(*range, grid)),
            Check::Tested { failed, untested } => format!("tested: failed {failed:?} untested [{}]", set(untested)),
            Check::InFlight { ranges, .. } => format!("in flight: {}", set(ranges)),
            Check::Room { of, used, limit } => format!("room: {of} {used}/{limit}"),
            Check::Server { heartbeat_at } => format!("server: {}", at(heartbeat_at)),
        };
        let _ = writeln!(out, "{says:5} {told}");
    }
    out
}

#[test]
fn a_hole_that_can_be_filled_has_nothing_that_keeps_it() {
    assert_snapshot!(told("", "orders@2026-11-15"), @"
    fine  named: day since 2026-11-10T00:00:00+09:00
    fine  wanted: true, no schedule, last -, next -
    due   filled: [] missing [2026-11-15] rows None
    fine  right: stale []
    fine  input: raw 2026-11-15 absent [] due [] gone []
    ");
}

#[test]
fn a_missing_file_keeps_its_day_and_the_windows_over_it() {
    assert_snapshot!(told("gone raw 2026-11-15", "orders@2026-11-15"), @"
    fine  named: day since 2026-11-10T00:00:00+09:00
    fine  wanted: true, no schedule, last -, next -
    due   filled: [] missing [2026-11-15] rows None
    fine  right: stale []
    waits input: raw 2026-11-15 absent [2026-11-15] due [] gone [2026-11-15]
    ");
    assert_snapshot!(told("filled orders 2026-11-10..2026-11-15\nfilled orders 2026-11-16..2026-11-20\ngone raw 2026-11-15", "weekly@2026-11-18"), @"
    fine  named: day since 2026-11-10T00:00:00+09:00
    fine  wanted: true, no schedule, last -, next -
    due   filled: [] missing [2026-11-18] rows None
    fine  right: stale []
    waits input: orders 2026-11-12..2026-11-19 absent [2026-11-15] due [] gone []
    ");
}

#[test]
fn what_is_read_and_due_again_comes_first() {
    let facts = "filled orders 2026-11-10..2026-11-20 code 7\nfilled weekly 2026-11-10..2026-11-20\nfilled report all";
    assert_snapshot!(told(facts, "weekly@2026-11-15"), @"
    fine  named: day since 2026-11-10T00:00:00+09:00
    fine  wanted: true, no schedule, last -, next -
    fine  filled: [2026-11-15] missing [] rows None
    fine  right: stale []
    waits input: orders 2026-11-10..2026-11-16 absent [] due [2026-11-10..2026-11-16] gone []
    ");
    assert_snapshot!(told(facts, "report"), @"
    fine  named: whole since -
    fine  wanted: true, no schedule, last -, next -
    fine  filled: [all] missing [] rows None
    fine  right: stale []
    waits input: orders as it stands absent [] due [2026-11-10..2026-11-20] gone []
    ");
    assert_snapshot!(told(facts, "orders@2026-11-15"), @"
    fine  named: day since 2026-11-10T00:00:00+09:00
    fine  wanted: true, no schedule, last -, next -
    fine  filled: [2026-11-15] missing [] rows None
    due   right: stale [2026-11-15 code]
    fine  input: raw 2026-11-15 absent [] due [] gone []
    ");
}

#[test]
fn three_equal_failures_stop_it_and_one_is_tried_again() {
    assert_snapshot!(told("failing orders 2026-11-15 times 3", "orders@2026-11-15"), @"
    fine  named: day since 2026-11-10T00:00:00+09:00
    fine  wanted: true, no schedule, last -, next -
    due   filled: [] missing [2026-11-15] rows None
    fine  right: stale []
    fine  input: raw 2026-11-15 absent [] due [] gone []
    stops failing: 2026-11-15 MG9001 3 times, held true
    ");
    assert_snapshot!(told("failing orders 2026-11-15 times 1", "orders@2026-11-15"), @"
    fine  named: day since 2026-11-10T00:00:00+09:00
    fine  wanted: true, no schedule, last -, next -
    due   filled: [] missing [2026-11-15] rows None
    fine  right: stale []
    fine  input: raw 2026-11-15 absent [] due [] gone []
    due   failing: 2026-11-15 MG9001 1 times, held false
    ");
}

#[test]
fn what_is_at_its_table_is_named() {
    let context = Context {
        run: Some(9),
        slots: Some((4, 4)),
        heartbeat: Some(None),
        ..Context::default()
    };
    assert_snapshot!(told_with("live orders 2026-11-15", "orders@2026-11-15", &context), @"
    fine  named: day since 2026-11-10T00:00:00+09:00
    fine  wanted: true, no schedule, last -, next -
    due   filled: [] missing [2026-11-15] rows None
    fine  right: stale []
    waits in flight: 2026-11-15
    fine  input: raw 2026-11-15 absent [] due [] gone []
    waits room: slots 4/4
    stops server: -
    ");
    assert_snapshot!(told_with("live orders 2026-11-15", "orders@2026-11-16", &context), @"
    fine  named: day since 2026-11-10T00:00:00+09:00
    fine  wanted: true, no schedule, last -, next -
    due   filled: [] missing [2026-11-16] rows None
    fine  right: stale []
    fine  input: raw 2026-11-16 absent [] due [] gone []
    waits room: shop.orders 1/1
    waits room: slots 4/4
    stops server: -
    ");
}

#[test]
fn what_is_not_over_not_named_or_given_up_is_not_wanted() {
    assert_snapshot!(told("", "orders@2026-11-20"), @"
    fine  named: day since 2026-11-10T00:00:00+09:00
    waits wanted: false, no schedule, last -, next 2026-11-21T00:00:00+09:00
    due   filled: [] missing [2026-11-20] rows None
    fine  right: stale []
    waits input: raw 2026-11-20 absent [2026-11-20] due [] gone []
    ");
    assert_snapshot!(told("", "orders@2026-11-09"), @"
    stops named: day since 2026-11-10T00:00:00+09:00
    stops wanted: false, no schedule, last -, next -
    due   filled: [] missing [2026-11-09] rows None
    fine  right: stale []
    waits input: raw 2026-11-09 absent [2026-11-09] due [] gone []
    ");
    assert_snapshot!(told("waived orders 2026-11-15", "orders@2026-11-15"), @"
    fine  named: day since 2026-11-10T00:00:00+09:00
    fine  wanted: true, no schedule, last -, next -
    stops waived: 2026-11-15
    due   filled: [] missing [2026-11-15] rows None
    fine  right: stale []
    fine  input: raw 2026-11-15 absent [] due [] gone []
    ");
}

#[test]
fn a_failed_data_test_keeps_what_it_looks_at_from_readers() {
    let facts = "model checked by day reads raw test positive\nmodel reader by day reads checked
        filled checked 2026-11-10..2026-11-20\nuntested checked 2026-11-19\ntested checked positive 3";
    assert_snapshot!(told(facts, "checked@2026-11-19"), @r#"
    fine  named: day since 2026-11-10T00:00:00+09:00
    fine  wanted: true, no schedule, last -, next -
    fine  filled: [2026-11-19] missing [] rows None
    fine  right: stale []
    fine  input: raw 2026-11-19 absent [] due [] gone []
    stops tested: failed ["positive"] untested [2026-11-19]
    "#);
    assert_snapshot!(told(facts, "reader@2026-11-19"), @"
    fine  named: day since 2026-11-10T00:00:00+09:00
    fine  wanted: true, no schedule, last -, next -
    due   filled: [] missing [2026-11-19] rows None
    fine  right: stale []
    waits input: checked 2026-11-19 absent [2026-11-19] due [] gone []
    ");
}

#[test]
fn a_table_that_went_back_stays_so() {
    let facts = "filled orders 2026-11-10..2026-11-20\nrolled-back orders 2026-11-10..2026-11-20 4";
    assert_snapshot!(told(facts, "orders@2026-11-15"), @"
    fine  named: day since 2026-11-10T00:00:00+09:00
    fine  wanted: true, no schedule, last -, next -
    fine  filled: [2026-11-15] missing [] rows None
    fine  right: stale []
    fine  input: raw 2026-11-15 absent [] due [] gone []
    stops rolled back: 2026-11-15 to 4
    ");
}

/// A flow by day from the tenth of November.
fn flow() -> Flow {
    let zone = Zone::named("Asia/Seoul").expect("the tests write it rightly");
    let mut flow = Flow::new("daily", "flows/daily.yml");
    flow.schedule = Some(Schedule {
        cron: Cron::parse("0 5 * * *").expect("the tests write it rightly"),
        zone: zone.clone(),
    });
    flow.grid = Grid {
        cut: Cut::Unit(Unit::Day),
        zone,
        begin: Some(at("2026-11-10T00:00:00+09:00")),
        end: None,
    };
    flow
}

fn at(text: &str) -> Instant {
    Instant::from_timestamp(text.parse().expect("the tests write it rightly"))
}

#[test]
fn a_flow_is_asked_the_same() {
    let flow = flow();
    let now = at("2026-11-20T06:00:00+09:00");
    let day = |text: &str| interval_text::parse(text, &flow.grid).unwrap();
    let mut state = NodeState::default();
    state
        .filled
        .insert(day("2026-11-10..2026-11-18"), mulgil_core::project::CodeFp::default());
    let tick = Tick {
        scheduled_at: at("2026-11-20T05:00:00+09:00"),
        first_at: at("2026-11-20T05:00:00+09:00"),
        fate: Fate::Runs,
    };
    let context = Context {
        tick: Some((tick, None)),
        active_runs: 1,
        ..Context::default()
    };
    let active = RangeSet::from(day("2026-11-18"));
    let told = |range: &str| {
        lines(
            &flow_checks(&flow, &state, &active, day(range), now, &context),
            &flow.grid,
            now,
        )
    };
    assert_snapshot!(told("2026-11-19"), @"
    fine  named: day since 2026-11-10T00:00:00+09:00
    fine  wanted: true, 0 5 * * * Asia/Seoul, last 2026-11-20T05:00:00+09:00, next 2026-11-21T05:00:00+09:00
    due   tick: 2026-11-20T05:00:00+09:00 runs run None
    due   filled: [] missing [2026-11-19] rows None
    fine  right: stale []
    waits room: max_active 1/1
    ");
    assert_snapshot!(told("2026-11-18"), @"
    fine  named: day since 2026-11-10T00:00:00+09:00
    fine  wanted: true, 0 5 * * * Asia/Seoul, last 2026-11-20T05:00:00+09:00, next 2026-11-21T05:00:00+09:00
    due   tick: 2026-11-20T05:00:00+09:00 runs run None
    due   filled: [] missing [2026-11-18] rows None
    fine  right: stale []
    waits in flight: 2026-11-18
    waits room: max_active 1/1
    ");
    assert_snapshot!(told("2026-11-12"), @"
    fine  named: day since 2026-11-10T00:00:00+09:00
    fine  wanted: true, 0 5 * * * Asia/Seoul, last 2026-11-20T05:00:00+09:00, next 2026-11-21T05:00:00+09:00
    due   tick: 2026-11-20T05:00:00+09:00 runs run None
    fine  filled: [2026-11-12] missing [] rows None
    fine  right: stale []
    waits room: max_active 1/1
    ");
}

#[test]
fn what_a_person_asked_of_a_flow_is_wanted_whatever_failed() {
    let mut flow = flow();
    flow.schedule = None;
    let now = at("2026-11-20T06:00:00+09:00");
    let day: Interval = interval_text::parse("2026-11-12", &flow.grid).unwrap();
    let mut state = NodeState::default();
    let idle = RangeSet::new();
    let context = Context::default();
    let told = |state: &NodeState| lines(&flow_checks(&flow, state, &idle, day, now, &context), &flow.grid, now);
    assert_snapshot!(told(&state), @"
    fine  named: day since 2026-11-10T00:00:00+09:00
    stops wanted: false, no schedule, last -, next -
    due   filled: [] missing [2026-11-12] rows None
    fine  right: stale []
    fine  room: max_active 0/1
    ");
    state.dirty.insert(Cause::Manual, day.into());
    assert_snapshot!(told(&state), @"
    fine  named: day since 2026-11-10T00:00:00+09:00
    fine  wanted: true, no schedule, last -, next -
    due   filled: [] missing [2026-11-12] rows None
    due   right: stale [2026-11-12 manual]
    fine  room: max_active 0/1
    ");
    assert_eq!(flow.instance(), Instance::of("flow:daily".into()));
}
