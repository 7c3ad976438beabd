//! What fails: it keeps to itself, it is told again until it is mended, and it can be ended.

use std::{process::Stdio, time::Duration};

use crate::harness::Place;

/// Seven days, of which one file has a broken row.
fn week() -> Place {
    let place = Place::of(
        "\
=== mulgil.yml
name: shop
models: {shop: {+begin: 2026-03-01, +end: 2026-03-08}}
sources:
  raw:
    orders: {files: 'data/orders_{YYYYMMDD}.csv', event_time: at, columns: {at: timestamptz, amount: bigint}}
=== models/orders.sql
{{ config(interval='day', event_time='at') }}
select at, amount from {{ source('raw', 'orders') }}
=== models/revenue.sql
{{ config(interval='day', event_time='day') }}
select cast(at as date) as day, sum(amount) as revenue from {{ ref('orders') }} group by 1
",
    );
    for day in 1..=7 {
        place.write(
            &format!("data/orders_2026030{day}.csv"),
            &format!("at,amount\n2026-03-0{day}T10:00:00Z,{day}\n"),
        );
    }
    place
}

#[test]
fn a_bad_day_keeps_to_itself_and_is_told_until_it_is_mended() {
    let place = week();
    place.write("data/orders_20260305.csv", "at,amount\n2026-03-05T10:00:00Z\n");
    let first = place.mulgil(&["run"]).ends_with(1).says("MG3104").says("smaller parts");
    assert!(first.stderr.contains("FAILED orders@2026-03-05"), "{}", first.stderr);
    assert_eq!(place.rows("select sum(revenue), count(*) from revenue"), ["23,6"]);
    for _ in 0..2 {
        place.mulgil(&["run"]).ends_with(1).says("FAILED orders@2026-03-05");
    }
    // Three equal failures hold it; a run that leaves it out does not say that all is well.
    place
        .mulgil(&["run"])
        .ends_with(1)
        .says("held after 3 equal failures: orders@2026-03-05");
    place.write("data/orders_20260305.csv", "at,amount\n2026-03-05T10:00:00Z,5\n");
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(place.rows("select sum(revenue), count(*) from revenue"), ["28,7"]);
    assert_eq!(place.plan(), Vec::<String>::new());
}

#[test]
fn a_source_that_cannot_be_looked_at_stops_nobody_else() {
    let place = week();
    place.edit(
        "mulgil.yml",
        "sources:\n  raw:\n",
        "sources:\n  raw:\n    other: {files: data/other.csv}\n",
    );
    place.write("data/other.csv", "a,b\n1\n");
    place.write(
        "models/other.sql",
        "{{ config(materialized='table') }}\nselect a, b from {{ source('raw', 'other') }}\n",
    );
    for words in [["plan"], ["status"]] {
        place.mulgil(&words).ends_with(0).says("data/other.csv:2");
    }
    let run = place.mulgil(&["run"]).ends_with(1).says("MG3104");
    assert!(run.stderr.contains("waiting: other for raw.other"), "{}", run.stderr);
    assert_eq!(place.rows("select sum(revenue), count(*) from revenue"), ["28,7"]);
    place.mulgil(&["run"]).ends_with(1).says("MG3104");
    place.write("data/other.csv", "a,b\n1,2\n");
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(place.rows("select a + b from other"), ["3"]);
}

#[test]
fn a_data_test_that_failed_is_told_by_every_run() {
    let place = week();
    place.write(
        "models/schema.yml",
        "models:\n  - name: orders\n    columns:\n      - {name: amount, data_tests: [{accepted_values: {values: ['1', '2', '3', '4', '5', '6']}}]}\n",
    );
    let first = place.mulgil(&["run"]).ends_with(1);
    assert!(
        first.stderr.contains("FAILED accepted_values_orders_amount"),
        "{}",
        first.stderr
    );
    let told = "of orders failed: its rows are kept from those who read it";
    place.mulgil(&["run"]).ends_with(1).says(told);
    let plan = place.mulgil(&["plan"]).ends_with(0);
    assert!(plan.stdout.contains(told), "{}", plan.stdout);
    place.write("data/orders_20260307.csv", "at,amount\n2026-03-07T10:00:00Z,6\n");
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(place.rows("select sum(revenue) from revenue"), ["27"]);
}

#[test]
fn a_data_test_that_cannot_run_is_a_failure_of_the_run() {
    let place = week();
    place.write(
        "models/broken.sql",
        "{{ config(materialized='view') }}\nselect 1 / (amount - amount) as amount from {{ source('raw', 'orders') }}\n",
    );
    place.write(
        "models/schema.yml",
        "models:\n  - name: orders\n    columns:\n      - {name: amount, data_tests: [{relationships: {to: ref('broken'), field: amount}}]}\n",
    );
    for _ in 0..2 {
        let run = place.mulgil(&["run"]).ends_with(1).says("MG3005");
        assert!(run.stderr.contains("FAILED data tests of orders"), "{}", run.stderr);
    }
}

#[test]
fn what_a_killed_run_left_is_due_and_not_running() {
    let place = week();
    assert_eq!(place.run_killed_at("claimed:1").code, None);
    assert_eq!(
        place.plan().first().map(String::as_str),
        Some("orders 2026-03-01..2026-03-08 7 missing")
    );
    let status = place.mulgil(&["status"]).ends_with(0);
    assert!(!status.stdout.contains("running"), "{}", status.stdout);
}

#[test]
fn a_query_that_computes_without_a_pause_ends_at_its_limit_and_when_it_is_asked_to() {
    const ENDLESS: &str = "select count(*) from generate_series(1, 2000000) a cross join generate_series(1, 200000) b \
        where (a.value * b.value) % 7 = 3";
    let place = week();
    place
        .mulgil(&["query", "--timeout", "1", ENDLESS])
        .ends_with(6)
        .says("MG5105");
    let asked = place
        .command(&["query", ENDLESS])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Asked before it listens it would just be killed.
    let began = std::time::Instant::now();
    while !listens(asked.id()) {
        assert!(began.elapsed() < Duration::from_mins(1), "it never listens");
        std::thread::yield_now();
    }
    let kill = std::process::Command::new("kill")
        .arg(asked.id().to_string())
        .status()
        .unwrap();
    assert!(kill.success());
    let ended = asked.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130));
}

/// Whether a process catches SIGTERM.
fn listens(pid: u32) -> bool {
    const SIGTERM: u32 = 15;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(caught.trim(), 16).unwrap() & (1 << (SIGTERM - 1)) != 0
}
