//! Going back: a table holds again what an earlier version held, and is held there.

use crate::harness::Place;

/// A table by days of one file a day, one that reads it day by day, and a total.
const DAYS: &str = "
=== mulgil.yml
name: shop
sources:
  raw:
    orders: {files: 'data/orders_{YYYYMMDD}.csv'}
=== models/orders.sql
{{ config(interval='day', event_time='day', begin='2026-01-01', end='2026-01-05') }}
select day, amount from {{ source('raw', 'orders') }}
=== models/daily.sql
{{ config(interval='day', event_time='day') }}
select day, sum(amount) as amount from {{ ref('orders') }} group by day
=== models/total.sql
{{ config(materialized='table') }}
select sum(amount) as amount from {{ ref('daily') }}
=== models/recent.sql
{{ config(materialized='view') }}
select * from {{ ref('orders') }}
";

fn day(place: &Place, day: u32, amount: u32) {
    place.write(
        &format!("data/orders_202601{day:02}.csv"),
        &format!("day,amount\n2026-01-{day:02},{amount}\n"),
    );
}

/// Version 0 has days 1 and 2; version 1 has day 2 anew; version 2 has day 3 besides.
fn three_versions() -> Place {
    let place = Place::of(DAYS);
    day(&place, 1, 10);
    day(&place, 2, 20);
    place.mulgil(&["run"]).ends_with(0);
    day(&place, 2, 21);
    place.mulgil(&["run"]).ends_with(0);
    day(&place, 3, 30);
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(amounts(&place), "10 21 30");
    assert_eq!(place.rows("select amount from total"), ["61"]);
    place
}

fn amounts(place: &Place) -> String {
    place.rows("select amount from orders order by day").join(" ")
}

#[test]
fn a_table_goes_back_is_held_there_and_its_readers_follow() {
    let place = three_versions();
    place
        .mulgil(&["rollback", "orders", "--to", "0"])
        .ends_with(0)
        .says("orders holds again what version 0 held, as version 3: 2 of 4 intervals are filled");
    assert_eq!(amounts(&place), "10 20");
    let all = place.mulgil(&["status"]).ends_with(0).stdout;
    let orders = all.lines().find(|line| line.starts_with("orders")).unwrap();
    assert!(orders.contains(" 2/4 "), "{all}");
    let status = place.mulgil(&["status", "orders"]).ends_with(0).stdout;
    assert!(status.contains("held: rolled back to version 0"), "{status}");
    let why = place.mulgil(&["why", "orders@2026-01-02"]).ends_with(0).stdout;
    assert!(
        why.contains("orders@2026-01-02: held: rolled back to version 0"),
        "{why}"
    );
    assert!(why.contains("the table went back to version 0 (as version 3)"), "{why}");

    // Readers take what came back; day 3 of theirs waits, and nothing fills the table itself.
    place.mulgil(&["run"]).ends_with(1).says("rolled back to version 0");
    assert_eq!(amounts(&place), "10 20");
    assert_eq!(
        place.rows("select amount from daily where day < '2026-01-03' order by day"),
        ["10", "20"]
    );

    // An input that changes lets go of what it touches, and of that alone.
    day(&place, 4, 40);
    place.mulgil(&["run"]).ends_with(1);
    assert_eq!(amounts(&place), "10 20 40");

    // Named by a person, all of it is filled from what there is today.
    place.mulgil(&["run", "orders"]).ends_with(0);
    assert_eq!(amounts(&place), "10 21 30 40");
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(place.rows("select amount from total"), ["101"]);
    assert_eq!(place.plan(), Vec::<String>::new());
}

#[test]
fn an_edit_of_the_model_lets_it_go() {
    let place = three_versions();
    place.mulgil(&["rollback", "orders", "--to", "1"]).ends_with(0);
    assert_eq!(amounts(&place), "10 21");
    place.edit(
        "models/orders.sql",
        "select day, amount",
        "select day, amount * 2 as amount",
    );
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(amounts(&place), "20 42 60");
    assert_eq!(place.rows("select amount from total"), ["122"]);
    assert_eq!(place.plan(), Vec::<String>::new());
}

#[test]
fn it_may_go_back_again_and_forward_and_the_list_says_who_made_what() {
    let place = three_versions();
    place.mulgil(&["rollback", "orders", "--to", "0"]).ends_with(0);
    place.mulgil(&["rollback", "orders", "--to", "2"]).ends_with(0);
    assert_eq!(amounts(&place), "10 21 30");
    place.mulgil(&["rollback", "orders", "--to", "3"]).ends_with(0);
    assert_eq!(amounts(&place), "10 20", "version 3 held what version 0 held");
    place
        .mulgil(&["rollback", "orders", "--to", "5"])
        .ends_with(0)
        .says("is at version 5 already");
    let list = place
        .mulgil(&["rollback", "orders", "--list", "--json"])
        .ends_with(0)
        .json();
    let who: Vec<&str> = list["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| version["who"].as_str().unwrap())
        .collect();
    assert_eq!(
        who,
        [
            "rollback to version 3",
            "rollback to version 2",
            "rollback to version 0",
            "fill of orders@2026-01-03",
            "fill of orders@2026-01-02",
            "fill of orders@2026-01-01..2026-01-03",
        ]
    );
    let plain = place.mulgil(&["rollback", "orders", "--list"]).ends_with(0).stdout;
    assert!(
        plain.contains("rollback to version 3") && plain.contains("newest"),
        "{plain}"
    );
    place.mulgil(&["run", "orders"]).ends_with(0);
    assert_eq!(amounts(&place), "10 21 30");
}

#[test]
fn a_commit_that_was_not_recorded_is_taken_for_what_it_is() {
    for point in ["restored:1", "write:1", "write:2", "write:3"] {
        let place = three_versions();
        let mut command = place.command(&["rollback", "orders", "--to", "0"]);
        let killed = command.env("MULGIL_CRASH_TEST", point).output().unwrap();
        assert_eq!(killed.status.code(), None, "{point}");
        place.mulgil(&["rollback", "orders", "--to", "0"]).ends_with(0);
        assert_eq!(amounts(&place), "10 20", "{point}");
        place.mulgil(&["run"]).ends_with(1).says("rolled back to version 0");
        assert_eq!(amounts(&place), "10 20", "{point}");
        place.mulgil(&["run", "orders"]).ends_with(0);
        assert_eq!(amounts(&place), "10 21 30", "{point}");
    }
    let place = three_versions();
    let mut command = place.command(&["rollback", "orders", "--to", "0"]);
    command.env("MULGIL_CRASH_TEST", "restored:1").output().unwrap();
    place.mulgil(&["run"]).ends_with(1).says("rolled back to version 0");
    assert_eq!(amounts(&place), "10 20");
}

#[test]
fn a_lost_ledger_finds_what_the_table_holds() {
    let place = three_versions();
    let daily = || place.rows("select amount from daily order by day").join(" ");
    place.mulgil(&["rollback", "daily", "--to", "0"]).ends_with(0);
    std::fs::remove_dir_all(place.path().join(".mulgil")).unwrap();
    place.mulgil(&["run"]).ends_with(1).says("rolled back to version 0");
    assert_eq!(daily(), "10 20");
    place.mulgil(&["run", "daily"]).ends_with(0);
    assert_eq!(daily(), "10 21 30");
}

#[test]
fn what_cannot_be_gone_back_to_is_refused() {
    let place = three_versions();
    let refused = |words: &[&str], code: i32, says: &str| {
        place.mulgil(words).ends_with(code).says(says);
    };
    refused(&["rollback", "orders", "--to", "9"], 2, "MG0013");
    refused(&["rollback", "orders", "--to=-1"], 2, "MG0013");
    refused(&["rollback", "recent", "--to", "0"], 2, "MG0014");
    refused(&["rollback", "order", "--to", "0"], 5, "MG0002");
    refused(&["rollback", "orders"], 2, "--to");
}

#[test]
fn a_version_whose_files_are_gone_is_refused_and_nothing_changes() {
    let place = Place::of(DAYS);
    day(&place, 1, 10);
    place.mulgil(&["run"]).ends_with(0);
    let first = walk(&place.path().join("warehouse/shop/orders"));
    day(&place, 1, 11);
    place.mulgil(&["run"]).ends_with(0);
    for file in &first {
        std::fs::remove_file(file).unwrap();
    }
    place
        .mulgil(&["rollback", "orders", "--to", "0"])
        .ends_with(2)
        .says("MG0012");
    assert_eq!(amounts(&place), "11");
    place.mulgil(&["run"]).ends_with(0);
}

/// The data files of a table.
fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("_delta_log") {
            files.extend(walk(&path));
        } else if path.extension().is_some_and(|kind| kind == "parquet") {
            files.push(path);
        }
    }
    files
}

#[test]
fn incremental_tables_go_back_with_their_columns() {
    let place = Place::of(
        "
=== mulgil.yml
name: shop
=== seeds/raw.csv
id,v
1,1
=== models/kept.sql
{{ config(materialized='incremental', unique_key='id', on_schema_change='append_new_columns') }}
select id, v from {{ ref('raw') }}
",
    );
    place.mulgil(&["run"]).ends_with(0);
    place.edit("models/kept.sql", "select id, v", "select id, v, v * 2 as w");
    place.write("seeds/raw.csv", "id,v\n2,2\n");
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(place.rows("select * from kept order by id"), ["1,1,", "2,2,4"]);
    place.mulgil(&["rollback", "kept", "--to", "0"]).ends_with(0);
    assert_eq!(place.rows("select * from kept"), ["1,1"]);
    place.mulgil(&["run", "kept"]).ends_with(0);
    assert_eq!(place.rows("select * from kept order by id"), ["1,1,", "2,2,4"]);
}
