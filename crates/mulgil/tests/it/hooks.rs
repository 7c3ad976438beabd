//! Hooks: SQL around fills and runs.

use crate::harness::Place;

const SHOP: &str = "\
=== dbt_project.yml
name: shop
on-run-start: select 1
on-run-end: \"select count(*) from {{ ref('orders') }}\"
=== models/orders.sql
{{ config(materialized='table', pre_hook='select 1', post_hook='select 1 / (count(*) - 1) from {{ this }}') }}
select id from (values (1), (2)) t(id)
=== models/report.sql
{{ config(materialized='table') }}
select count(*) as n from {{ ref('orders') }}
";

fn nothing_is_due(place: &Place) {
    assert_eq!(place.plan(), Vec::<String>::new());
}

#[test]
fn a_hook_runs_after_the_commit_and_sees_the_new_rows() {
    let place = Place::of(SHOP);
    place.mulgil(&["run"]).ends_with(0).says("filled report");
    nothing_is_due(&place);
    // Hooks change no row, so another one makes nothing due.
    place.edit("models/orders.sql", "pre_hook='select 1', ", "");
    nothing_is_due(&place);
    let logs = place.mulgil(&["logs"]).ends_with(0).stdout;
    assert!(
        logs.contains("post-hook: select 1 / (count(*) - 1) from \"shop\".\"orders\""),
        "{logs}"
    );
}

#[test]
fn a_hook_that_fails_fails_the_attempt_the_rows_stay_and_are_due_again() {
    let place = Place::of(SHOP);
    place.edit("models/orders.sql", "(values (1), (2)) t(id)", "(values (1)) t(id)");
    place.mulgil(&["run"]).ends_with(1).says("MG3005").says("FAILED orders");
    assert_eq!(place.rows("select id from orders"), ["1"]);
    assert_eq!(place.plan(), ["orders all hooks", "report all missing"]);
    let why = place.mulgil(&["why", "orders"]).ends_with(0).stdout;
    assert!(why.contains("a hook failed after attempt 1 had filled it"), "{why}");
    place.edit(
        "models/orders.sql",
        "(values (1)) t(id)",
        "(values (1), (2), (3)) t(id)",
    );
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(place.rows("select n from report"), ["3"]);
    nothing_is_due(&place);
}

#[test]
fn a_process_that_dies_before_a_hook_leaves_the_fill_to_be_repeated() {
    let place = Place::of(SHOP);
    let killed = place.run_killed_at("hooks:1");
    assert_eq!(killed.code, None, "{killed:?}");
    assert_eq!(place.plan(), ["orders all hooks", "report all missing"]);
    place.mulgil(&["run"]).ends_with(0).says("filled orders");
    nothing_is_due(&place);
}

#[test]
fn hooks_around_a_run_stop_it_or_fail_it() {
    let place = Place::of(SHOP);
    place.edit(
        "dbt_project.yml",
        "on-run-start: select 1",
        "on-run-start: select * from nowhere",
    );
    place.mulgil(&["run"]).ends_with(1).says("MG3002");
    assert_eq!(place.plan(), ["orders all missing", "report all missing"]);
    place.edit(
        "dbt_project.yml",
        "on-run-start: select * from nowhere",
        "on-run-start: select 1; drop table x",
    );
    place.mulgil(&["run"]).ends_with(1).says("MG3004");
    place.edit("dbt_project.yml", "select 1; drop table x", "select 1");
    place.edit("dbt_project.yml", "count(*) from", "1 / (count(*) - 2) from");
    place.mulgil(&["run"]).ends_with(1).says("MG3005");
    nothing_is_due(&place);
}
