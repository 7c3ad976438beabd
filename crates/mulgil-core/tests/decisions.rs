//! Decisions: a timeline in, what is due out.

use std::collections::BTreeSet;

use insta::assert_snapshot;
use mulgil_core::{
    decide::{Action, Limits, Scope, decide},
    interval::Instant,
    project::TestKind,
    timeline::Timeline,
};

/// What the plan of a timeline says.
fn told(text: &str) -> String {
    Timeline::parse(text).told()
}

/// What may start at a timeline's moment.
fn started(text: &str) -> String {
    Timeline::parse(text).started(4)
}

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

fn shop(facts: &str) -> String {
    format!("{SHOP}{facts}")
}

#[test]
fn nothing_filled_is_missing_and_follows_its_upstream() {
    assert_snapshot!(told(&shop("")), @"
    fill orders 2026-11-10..2026-11-20  (missing)
    fill weekly 2026-11-10..2026-11-20  (missing)
    fill report all  (missing)
    ");
    assert_snapshot!(started(&shop("")), @"start orders 2026-11-10..2026-11-20");
}

#[test]
fn all_filled_is_an_empty_plan() {
    let filled = "filled orders 2026-11-10..2026-11-20\nfilled weekly 2026-11-10..2026-11-20\nfilled report all";
    assert_snapshot!(told(&shop(filled)), @"");
}

#[test]
fn a_changed_file_restates_its_day_and_may_restate_the_windows_that_hold_it() {
    let facts = "filled orders 2026-11-10..2026-11-20\nfilled weekly 2026-11-10..2026-11-20\nfilled report all
        changed orders 2026-11-12 source raw";
    assert_snapshot!(told(&shop(facts)), @"
    fill orders 2026-11-12  (source raw)
    fill weekly 2026-11-12..2026-11-19  (upstream orders)?
    fill report all  (upstream orders)?
    ");
    assert_snapshot!(started(&shop(facts)), @"start orders 2026-11-12");
}

#[test]
fn a_missing_file_is_not_ready_and_only_its_day_waits() {
    let facts = "gone raw 2026-11-15";
    assert_snapshot!(told(&shop(facts)), @"
    fill orders 2026-11-10..2026-11-15  (missing)
    fill orders 2026-11-16..2026-11-20  (missing)
    fill weekly 2026-11-10..2026-11-15  (missing)
    fill report all  (missing)
    wait orders 2026-11-15 on raw
    wait weekly 2026-11-15..2026-11-20 on orders
    ");
}

#[test]
fn rows_of_a_file_that_went_stay() {
    let facts = "filled orders 2026-11-10..2026-11-20\nfilled weekly 2026-11-10..2026-11-20\nfilled report all
        gone raw 2026-11-15\nchanged orders 2026-11-15 source raw";
    assert_snapshot!(told(&shop(facts)), @"wait orders 2026-11-15 on raw");
}

#[test]
fn an_edited_model_is_due_where_it_is_filled_with_the_old_text() {
    let facts = "filled orders 2026-11-10..2026-11-18 code 7\nfilled orders 2026-11-18..2026-11-20
        filled weekly 2026-11-10..2026-11-20\nfilled report all";
    assert_snapshot!(told(&shop(facts)), @"
    fill orders 2026-11-10..2026-11-18  (code)
    fill weekly 2026-11-10..2026-11-20  (upstream orders)?
    fill report all  (upstream orders)?
    ");
}

#[test]
fn lookback_fills_the_newest_and_those_before_it_again_at_each_tick() {
    let text = |filled_at: &str| {
        format!(
            "zone Asia/Seoul\nbegin 2026-11-10\nsource raw by day
            model orders by day reads raw lookback 2 every '0 6 * * *'
            available raw 2026-11-01..2026-11-21
            now 2026-11-20T06:00+09:00
            filled orders 2026-11-10..2026-11-19 at {filled_at}"
        )
    };
    assert_snapshot!(told(&text("2026-11-19T06:01+09:00")), @"
    fill orders 2026-11-17..2026-11-19  (lookback)
    fill orders 2026-11-19  (missing)
    ");
    // What was filled at or after the tick is not filled again by it.
    assert_snapshot!(told(&text("2026-11-20T06:00+09:00")), @"fill orders 2026-11-19  (missing)");
}

#[test]
fn before_its_tick_a_scheduled_node_wants_nothing_new() {
    let text = "zone Asia/Seoul\nbegin 2026-11-10\nmodel orders by day every '0 6 * * *'
        now 2026-11-20T05:59+09:00\nfilled orders 2026-11-10..2026-11-19";
    assert_snapshot!(told(text), @"");
}

#[test]
fn partial_fills_the_open_interval_again_at_each_tick() {
    let text = "begin 2026-11-18\nmodel orders by day partial every '0 * * * *'
        now 2026-11-20T06:30+00:00\nfilled orders 2026-11-18..2026-11-21 at 2026-11-20T05:00+00:00";
    assert_snapshot!(told(text), @"fill orders 2026-11-20  (tick)");
}

#[test]
fn what_settles_is_filled_again_unless_its_source_is_watched() {
    let unwatched = "begin 2026-11-10\nmodel orders by day settle 3d every '0 6 * * *'
        now 2026-11-20T07:00+00:00\nfilled orders 2026-11-10..2026-11-20 at 2026-11-20T01:00+00:00";
    assert_snapshot!(told(unwatched), @"fill orders 2026-11-17..2026-11-20  (settle)");
    let watched = "begin 2026-11-10\nsource raw by day\nmodel orders by day reads raw settle 3d every '0 6 * * *'
        available raw 2026-11-10..2026-11-20
        now 2026-11-20T07:00+00:00\nfilled orders 2026-11-10..2026-11-20 at 2026-11-20T01:00+00:00";
    assert_snapshot!(told(watched), @"");
}

#[test]
fn three_equal_failures_hold_a_range_and_those_who_read_it() {
    let facts = "failing orders 2026-11-12 times 3";
    assert_snapshot!(told(&shop(facts)), @"
    fill orders 2026-11-10..2026-11-12  (missing)
    fill orders 2026-11-13..2026-11-20  (missing)
    fill weekly 2026-11-10..2026-11-12  (missing)
    fill weekly 2026-11-19  (missing)
    wait weekly 2026-11-12..2026-11-19 on orders
    wait report all on orders
    hold orders 2026-11-12
    ");
}

#[test]
fn what_is_live_is_not_due_and_its_readers_do_not_start() {
    let facts = "live orders 2026-11-10..2026-11-20";
    assert_snapshot!(started(&shop(facts)), @"");
}

#[test]
fn a_backfill_fills_what_it_names_filled_or_not() {
    let facts = "filled orders 2026-11-10..2026-11-20\nfilled weekly 2026-11-10..2026-11-20\nfilled report all
        asked orders 2026-11-11..2026-11-13";
    assert_snapshot!(told(&shop(facts)), @"
    fill orders 2026-11-11..2026-11-13  (manual)
    fill weekly 2026-11-11..2026-11-19  (upstream orders)?
    fill report all  (upstream orders)?
    ");
}

#[test]
fn what_was_given_up_is_not_due() {
    assert_snapshot!(told(&shop("waived orders 2026-11-10..2026-11-19")), @"
    fill orders 2026-11-19  (missing)
    fill report all  (missing)
    wait weekly 2026-11-10..2026-11-20 on orders
    ");
}

#[test]
fn keys_fill_each_on_its_own_and_restate_their_own_readers_alone() {
    let text =
        "begin 2026-11-18\nmodel sales by day keys country=kr|jp\nmodel margin by day keys country=kr|jp reads sales
        model total by day reads sales
        now 2026-11-20T00:00+00:00
        filled sales[country=kr] 2026-11-18..2026-11-20\nfilled margin[country=kr] 2026-11-18..2026-11-20
        filled margin[country=jp] 2026-11-18..2026-11-20\nfilled total 2026-11-18..2026-11-20
        filled sales[country=jp] 2026-11-18..2026-11-20\nasked sales[country=kr] 2026-11-18";
    assert_snapshot!(told(text), @"
    fill sales[country=kr] 2026-11-18  (manual)
    fill margin[country=kr] 2026-11-18  (upstream sales)?
    fill total 2026-11-18  (upstream sales)?
    ");
}

#[test]
fn readers_wait_for_data_tests_that_block() {
    let facts = "begin 2026-11-18\nmodel orders by day test not_null\nmodel weekly by day reads orders
        now 2026-11-20T00:00+00:00\nfilled orders 2026-11-18..2026-11-20\nuntested orders 2026-11-18..2026-11-20";
    assert_snapshot!(told(facts), @"
    fill weekly 2026-11-18..2026-11-20  (missing)
    test orders all  (code)
    ");
    assert_snapshot!(started(facts), @"start tests of orders");
}

#[test]
fn an_upstream_without_a_grid_restates_nothing_unless_asked() {
    let text = "begin 2026-11-18\nmodel rates\nmodel orders by day reads rates
        now 2026-11-20T00:00+00:00\nfilled rates all\nfilled orders 2026-11-18..2026-11-20\nasked rates all";
    assert_snapshot!(told(text), @"fill rates all  (manual)");
}

#[test]
fn each_input_that_changes_adds_its_own_range() {
    let text = "begin 2026-11-10\nmodel first by day\nmodel second by day\nmodel both by day reads first, second
        model end by day reads both
        now 2026-11-20T00:00+00:00
        filled first 2026-11-10..2026-11-20\nfilled second 2026-11-10..2026-11-20\nfilled both 2026-11-10..2026-11-20
        asked first 2026-11-12\nasked second 2026-11-12..2026-11-15";
    assert_snapshot!(told(text), @"
    fill first 2026-11-12  (manual)
    fill second 2026-11-12..2026-11-15  (manual)
    fill both 2026-11-12  (upstream first)?
    fill both 2026-11-13..2026-11-15  (upstream second)?
    fill end 2026-11-10..2026-11-20  (missing)
    ");
}

#[test]
fn what_will_surely_change_is_cut_out_of_what_may() {
    let text = "begin 2026-11-10\nmodel first by day\nmodel second by day\nmodel both by day reads first, second
        now 2026-11-20T00:00+00:00
        filled first 2026-11-10..2026-11-13\nfilled first 2026-11-14..2026-11-20
        filled second 2026-11-10..2026-11-20\nfilled both 2026-11-10..2026-11-20
        asked second 2026-11-12..2026-11-16";
    assert_snapshot!(told(text), @"
    fill first 2026-11-13  (missing)
    fill second 2026-11-12..2026-11-16  (manual)
    fill both 2026-11-12  (upstream second)?
    fill both 2026-11-13  (upstream first)
    fill both 2026-11-14..2026-11-16  (upstream second)?
    ");
}

#[test]
fn an_open_interval_is_closed_however_late_the_next_tick_is_seen() {
    let text = "begin 2026-11-18\nmodel orders by day partial every '0 * * * *'
        now 2026-11-22T06:30+00:00
        filled orders 2026-11-18..2026-11-20 at 2026-11-19T05:00+00:00
        filled orders 2026-11-20..2026-11-22 at 2026-11-22T00:00+00:00
        filled orders 2026-11-22 at 2026-11-22T06:00+00:00";
    assert_snapshot!(told(text), @"fill orders 2026-11-19  (tick)");
}

#[test]
fn settling_ends_by_what_is_wanted_also_while_the_newest_waits() {
    let text = "begin 2026-11-10\nsource raw by day\nmodel loose by day\nmodel orders by day reads raw, loose settle 3d
        available raw 2026-11-10..2026-11-19
        now 2026-11-20T07:00+00:00
        filled loose 2026-11-10..2026-11-20
        filled orders 2026-11-10..2026-11-19 at 2026-11-19T12:00+00:00";
    assert_snapshot!(told(text), @"
    fill orders 2026-11-17..2026-11-19  (settle)
    wait orders 2026-11-19 on raw
    ");
}

#[test]
fn a_test_of_a_relationship_waits_for_what_it_looks_into() {
    let text = "begin 2026-11-18\nmodel orders by day test of_customers\nmodel customers
        now 2026-11-20T00:00+00:00
        filled orders 2026-11-18..2026-11-20\nlive customers all";
    let mut timeline = Timeline::parse(text);
    assert_snapshot!(timeline.started(4), @"start tests of orders");
    timeline.project.nodes[0].tests[0].kind = TestKind::Relationships {
        column: "customer".to_owned(),
        to: "customers".into(),
        field: "id".to_owned(),
    };
    assert_snapshot!(timeline.started(4), @"");
}

/// A table by days whose newest version waits for a test that failed, and three who read it.
const WAITING: &str = "begin 2026-11-01
    model a by day published test t
    model days by day reads a
    model all reads a
    model loose by day reads a whole
    filled a 2026-11-01..2026-11-05
    untested a 2026-11-04
    tested a t 3
    versions a 7 6
    now 2026-11-05T00:00Z";

#[test]
fn readers_wait_for_a_version_whose_tests_failed_and_go_on_with_what_did_not_change() {
    let timeline = Timeline::parse(WAITING);
    assert_snapshot!(timeline.told(), @"
    fill days 2026-11-01..2026-11-04  (missing)
    fill loose 2026-11-01..2026-11-05  (missing)
    wait days 2026-11-04 on a
    wait all all on a
    ");
    assert_snapshot!(timeline.started(9), @"
    start days 2026-11-01..2026-11-04
    start loose 2026-11-01..2026-11-05
    ");
}

#[test]
fn a_version_that_has_passed_or_is_published_at_once_is_read_as_it_stands() {
    for other in [
        WAITING.replace("published test t", "test t"),
        WAITING.replace("versions a 7 6", "versions a 7 7"),
    ] {
        let started = Timeline::parse(&other).started(9);
        assert!(started.contains("start all all"), "{started}");
    }
}

#[test]
fn of_a_table_that_never_passed_its_tests_readers_take_nothing() {
    let text = WAITING.replace("versions a 7 6", "versions a 0 -");
    assert_snapshot!(Timeline::parse(&text).told(), @"
    wait days 2026-11-01..2026-11-05 on a
    wait all all on a
    wait loose 2026-11-01..2026-11-05 on a
    ");
}

#[test]
fn when_the_test_that_failed_is_gone_those_that_are_left_say_what_may_be_read() {
    let text = WAITING
        .replace("test t", "test u")
        .replace("tested a t 3", "tested a u 0");
    assert_eq!(
        Timeline::parse(&text).started(9).lines().next_back(),
        Some("start tests of a")
    );
}

#[test]
fn nothing_is_filled_in_a_table_while_its_tests_decide_about_a_version() {
    let text = "begin 2026-11-01\nmodel a by day published test t\nmodel b by day test t\nnow 2026-11-05T00:00Z";
    let timeline = Timeline::parse(text);
    let mut limits = Limits::new(9, Scope::All, Instant(i64::MAX));
    limits.testing = BTreeSet::from(["a".into(), "b".into()]);
    let actions = decide(&timeline.forecast(), &limits).actions;
    let filled: Vec<&str> = actions
        .iter()
        .map(|action| match action {
            Action::Fill { instance, .. } => instance.node.as_str(),
            Action::Test { .. } => "tests",
        })
        .collect();
    assert_eq!(filled, ["b"]);
}

#[test]
fn what_is_filled_and_whose_hooks_have_not_run_is_due_and_nothing_reads_it_before() {
    let facts = "filled orders 2026-11-10..2026-11-20\nfilled weekly 2026-11-10..2026-11-20
        unfinished orders 2026-11-12";
    assert_snapshot!(told(&shop(facts)), @"
    fill orders 2026-11-12  (hooks)
    fill weekly 2026-11-12..2026-11-19  (upstream orders)?
    fill report all  (missing)
    ");
    assert_snapshot!(started(&shop(facts)), @"start orders 2026-11-12");
}
