//! What the reading commands print, and what they leave alone.

use std::{fs, io::Read as _, process::Stdio, time::Duration};

use crate::harness::Place;

#[test]
fn a_second_run_says_who_holds_the_ledger_and_nothing_is_filled_twice() {
    let place = Place::january();
    let mut first = place
        .command(&["run"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lock = place.path().join(".mulgil");
    let waited = std::time::Instant::now();
    let second = loop {
        // The first needs a moment to take the lock; until then there is no ledger.
        if lock.exists() {
            let second = place.mulgil(&["run"]);
            if second.code == Some(6) || waited.elapsed() > Duration::from_mins(1) {
                break second;
            }
        }
        assert!(
            first.try_wait().unwrap().is_none() || waited.elapsed() < Duration::from_mins(1),
            "the first ended too soon"
        );
    };
    let second = second.ends_with(6);
    assert!(second.stderr.contains(&first.id().to_string()), "{}", second.stderr);
    assert!(second.stderr.contains("since"), "{}", second.stderr);
    // Reading takes no lock.
    place.mulgil(&["status"]).ends_with(0);
    assert!(first.wait().unwrap().success());
    let mut told = String::new();
    first.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    let runs = place.mulgil(&["runs", "ls", "--json"]).ends_with(0).json();
    assert_eq!(runs.as_array().unwrap().len(), 1, "{runs}");
    let shown = place.mulgil(&["runs", "show", "--json"]).ends_with(0).json();
    let fills: Vec<&str> = shown["task_runs"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|task| task["kind"] == "fill")
        .map(|task| task["node"].as_str().unwrap())
        .collect();
    let mut once = fills.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(fills.len(), once.len(), "{fills:?}");
}

#[test]
fn reading_commands_write_nothing() {
    let place = Place::january();
    place.mulgil(&["plan"]).ends_with(0);
    place.mulgil(&["status"]).ends_with(0);
    place.mulgil(&["why", "flights@2013-01-05"]).ends_with(0);
    place.mulgil(&["runs", "ls"]).ends_with(0).says("nothing ran yet");
    assert!(!place.path().join(".mulgil/dev.db").exists());
    assert!(!place.path().join("warehouse").exists());
}

const SMALL: &str = "\
=== mulgil.yml
name: small
models: {small: {+begin: 2026-01-01, +end: 2026-01-03}}
sources:
  raw:
    events: {files: 'data/events_{YYYYMMDD}.csv', event_time: at, columns: {at: timestamptz}}
=== models/events.sql
{{ config(interval='day', event_time='at') }}
select at, name, n from {{ source('raw', 'events') }}
=== models/names.sql
{{ config(materialized='view') }}
select distinct name from {{ ref('events') }}
=== models/sums.sql
{{ config(materialized='table') }}
select name, sum(n) as n from {{ ref('events') }} where name in (select name from {{ ref('names') }}) group by 1
=== data/events_20260101.csv
at,name,n
2026-01-01T01:00:00+00:00,물길,1
2026-01-01T02:00:00+00:00,\"a \"\"b\"\", c\",2
=== data/events_20260102.csv
at,name,n
2026-01-02T01:00:00Z,,3
";

#[test]
fn a_query_comes_as_a_table_csv_or_json() {
    let place = Place::of(SMALL);
    place.mulgil(&["run"]).ends_with(0);
    let sql = "select at, name, n from events order by at";
    let csv = place.mulgil(&["query", sql, "-o", "csv"]).ends_with(0).stdout;
    assert_eq!(
        csv,
        "at,name,n\n2026-01-01T01:00:00+00:00,물길,1\n2026-01-01T02:00:00+00:00,\"a \"\"b\"\", c\",2\n2026-01-02T01:00:00+00:00,,3\n"
    );
    let json = place.mulgil(&["query", sql, "-o", "json"]).ends_with(0).json();
    assert_eq!(
        json,
        serde_json::json!([
            {"at": "2026-01-01T01:00:00+00:00", "name": "물길", "n": 1},
            {"at": "2026-01-01T02:00:00+00:00", "name": "a \"b\", c", "n": 2},
            {"at": "2026-01-02T01:00:00+00:00", "name": null, "n": 3},
        ])
    );
    let table = place
        .mulgil(&["query", "select * from sums order by n", "-o", "table"])
        .ends_with(0)
        .says("2 rows");
    assert!(table.stdout.contains("물길"), "{}", table.stdout);
    // Hidden columns are not in `*`, and may be named.
    assert!(
        !place
            .mulgil(&["query", "select * from events", "-o", "csv"])
            .stdout
            .contains("_interval")
    );
    assert_eq!(place.rows("select count(distinct _interval) from events"), ["2"]);
    assert_eq!(place.rows("select count(*) from names"), ["3"]);
    place
        .mulgil(&["query", "select nam from events"])
        .ends_with(2)
        .says("nam");
    place.mulgil(&["query", "selec 1"]).ends_with(2);
    place.mulgil(&["query", "drop table events"]).ends_with(2);
    assert_eq!(place.rows("select count(*) from events"), ["3"]);
}

#[test]
fn views_and_ephemerals_are_one_to_what_reads_them() {
    let place = Place::of(SMALL);
    place.mulgil(&["run"]).ends_with(0);
    place.edit("models/names.sql", "materialized='view'", "materialized='ephemeral'");
    let plan = place.mulgil(&["plan", "--json"]).ends_with(0).json();
    assert_eq!(plan["steps"], serde_json::json!([]));
    assert_eq!(
        plan["undeclared"],
        serde_json::json!([{"relation": "small.names", "kind": "view"}])
    );
}

#[test]
fn what_ran_is_listed_and_every_code_explained() {
    let place = Place::of(SMALL);
    place.mulgil(&["run"]).ends_with(0);
    let shown = place.mulgil(&["runs", "show"]).ends_with(0).stdout;
    assert!(
        shown.contains("events@2026-01-01..2026-01-03") && shown.contains("success"),
        "{shown}"
    );
    place
        .mulgil(&["runs", "show", "99"])
        .ends_with(5)
        .says("there is no run 99");
    let logs = place.mulgil(&["logs"]).ends_with(0).stdout;
    assert!(logs.contains("events attempt 1"), "{logs}");
    let all = place.mulgil(&["explain"]).ends_with(0).stdout;
    for (code, _) in mulgil_core::codes::ALL {
        assert!(all.contains(&code.to_string()), "{code} has no page");
    }
    let one = place.mulgil(&["explain", "mg0002"]).ends_with(0).stdout;
    assert!(one.starts_with("# MG0002"), "{one}");
    place.mulgil(&["explain", "MG7777"]).ends_with(5);
    place.mulgil(&["explain", "nonsense"]).ends_with(2);
}

#[test]
fn check_says_what_there_is_and_json_is_json() {
    let place = Place::of(SMALL);
    assert_eq!(
        place.mulgil(&["check"]).ends_with(0).stdout,
        "ok: small (dev): 3 nodes, 1 source, 0 data tests\n"
    );
    assert_eq!(place.mulgil(&["check", "--json"]).ends_with(0).json()["ok"], true);
    place.mulgil(&["status", "--json"]).ends_with(0).json();
    place.mulgil(&["nonsense"]).ends_with(2);
    fs::remove_file(place.path().join("mulgil.yml")).unwrap();
    place
        .mulgil(&["check"])
        .ends_with(5)
        .says("there is no mulgil.yml and no dbt_project.yml");
}

#[test]
fn status_tells_how_large_tables_are() {
    let place = Place::of(
        "\
=== mulgil.yml
name: shop
=== models/numbers.sql
{{ config(materialized='table') }}
select x from generate_series(1, 1000) as g(x)
=== models/some.sql
select * from {{ ref('numbers') }}
",
    );
    let bytes = |node: usize| {
        let status = place.mulgil(&["status", "--json"]).ends_with(0).json();
        status["nodes"][node]["bytes"].as_u64()
    };
    let newest_file = || {
        let files = std::fs::read_dir(place.path().join("warehouse/shop/numbers")).unwrap();
        let data = files.map(|file| file.unwrap()).filter(|file| file.path().is_file());
        let newest = data.max_by_key(|file| file.metadata().unwrap().modified().unwrap());
        newest.map(|file| file.metadata().unwrap().len())
    };
    assert_eq!(bytes(0), None, "nothing is filled yet");
    place.mulgil(&["run"]).ends_with(0);
    let first = bytes(0);
    assert!(first.is_some() && first == newest_file(), "{first:?}");
    assert_eq!(bytes(1), None, "a view has no size");
    place.edit("models/numbers.sql", "1000", "5000");
    place.mulgil(&["run"]).ends_with(0);
    let second = bytes(0);
    assert!(second > first && second == newest_file(), "{first:?} {second:?}");
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(bytes(0), second, "what the log says is the same");
}
