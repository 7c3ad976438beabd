//! Data tests before publish: readers see a new version of a table when its tests have passed.

use crate::harness::Place;

const SHOP: &str = "
=== mulgil.yml
name: shop
=== seeds/orders.csv
id,amount
1,10
2,20
=== models/sales.sql
{{ config(materialized='table', publish='after_tests') }}
select id, amount from {{ ref('orders') }}
=== models/large.sql
{{ config(materialized='view') }}
select id, amount from {{ ref('sales') }}
=== models/report.sql
{{ config(materialized='table') }}
select sum(amount) as total from {{ ref('large') }}
=== models/schema.yml
models:
  - name: sales
    columns:
      - name: amount
        data_tests: [not_null]
";

const BROKEN: &str = "id,amount\n1,10\n2,20\n3,\n";
const MENDED: &str = "id,amount\n1,10\n2,20\n3,30\n";

/// What a query of each sees: the rows of the table, those of the view over it, the total made of them.
#[track_caller]
fn seen(place: &Place) -> (String, String, String) {
    let one = |sql: &str| place.rows(sql).join(" ");
    (
        one("select count(*) from sales"),
        one("select count(*) from large"),
        one("select total from report"),
    )
}

fn texts(sales: &str, large: &str, report: &str) -> (String, String, String) {
    (sales.to_owned(), large.to_owned(), report.to_owned())
}

#[test]
fn a_version_that_breaks_a_test_waits_beside_the_one_that_readers_see() {
    let place = Place::of(SHOP);
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(seen(&place), texts("2", "2", "30"));

    place.write("seeds/orders.csv", BROKEN);
    place
        .mulgil(&["run"])
        .ends_with(1)
        .says("sales: version 1 waits for its data tests; readers see version 0");
    assert_eq!(seen(&place), texts("2", "2", "30"));
    let status = place.mulgil(&["status"]).ends_with(0).stdout;
    assert!(status.contains("waiting: tests"), "{status}");
    let why = place.mulgil(&["why", "sales"]).ends_with(0).stdout;
    assert!(why.contains("sales: waiting: tests"), "{why}");

    // A second broken version waits in its place; the tests decide about the newest.
    place.write("seeds/orders.csv", &format!("{BROKEN}4,\n"));
    place.mulgil(&["run"]).ends_with(1).says("version 2 waits");
    assert_eq!(seen(&place), texts("2", "2", "30"));

    place.write("seeds/orders.csv", MENDED);
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(seen(&place), texts("3", "3", "60"));
    assert_eq!(place.plan(), Vec::<String>::new());
}

#[test]
fn of_a_table_that_never_passed_nothing_is_seen_until_it_does_or_publishes_at_once() {
    let place = Place::of(SHOP);
    place.write("seeds/orders.csv", BROKEN);
    place
        .mulgil(&["run"])
        .ends_with(1)
        .says("readers see nothing of the table yet");
    place
        .mulgil(&["query", "select * from sales"])
        .ends_with(1)
        .says("MG3020")
        .says("nodes show");
    place.edit("models/sales.sql", "after_tests", "at_once");
    assert_eq!(place.rows("select count(*) from sales"), ["3"]);
    place.mulgil(&["run"]).ends_with(1);
    place.edit("models/sales.sql", "at_once", "after_tests");
    assert_eq!(
        place.rows("select count(*) from sales"),
        ["3"],
        "what was seen once stays seen"
    );
}

#[test]
fn a_folder_may_say_it_and_tables_without_tests_publish_at_once() {
    let place = Place::of(SHOP);
    place.edit(
        "mulgil.yml",
        "name: shop",
        "name: shop\nmodels:\n  +publish: after_tests",
    );
    place.edit("models/sales.sql", ", publish='after_tests'", "");
    place.mulgil(&["run"]).ends_with(0);
    place.write("seeds/orders.csv", BROKEN);
    place.mulgil(&["run"]).ends_with(1);
    assert_eq!(seen(&place), texts("2", "2", "30"));
    place.edit("models/schema.yml", "[not_null]", "[]");
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(seen(&place), texts("3", "3", "30"));
}

#[test]
fn a_warning_publishes_and_an_edited_test_decides_about_the_version_that_waits() {
    let place = Place::of(SHOP);
    place.mulgil(&["run"]).ends_with(0);
    place.write("seeds/orders.csv", BROKEN);
    place.mulgil(&["run"]).ends_with(1);
    place.edit(
        "models/schema.yml",
        "[not_null]",
        "[{not_null: {config: {warn_if: '> 0', error_if: '> 5'}}}]",
    );
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(seen(&place), texts("3", "3", "30"));
}

#[test]
fn wherever_a_run_dies_the_next_one_ends_right() {
    for (rows, code, after) in [(BROKEN, 1, texts("2", "2", "30")), (MENDED, 0, texts("3", "3", "60"))] {
        for point in ["claimed:2", "committed:2", "recorded:2", "claimed:3", "recorded:3"] {
            let place = Place::of(SHOP);
            place.mulgil(&["run"]).ends_with(0);
            place.write("seeds/orders.csv", rows);
            let killed = place.run_killed_at(point);
            assert!(
                killed.code.is_none() || killed.code == Some(code),
                "{point}: {killed:?}"
            );
            assert_ne!(seen(&place).0, "4", "{point}");
            place.mulgil(&["run"]).ends_with(code);
            assert_eq!(seen(&place), after, "{point}");
            if code == 0 {
                assert_eq!(place.plan(), Vec::<String>::new(), "{point}");
            }
        }
    }
}

#[test]
fn a_version_whose_files_were_removed_is_told_of() {
    let place = Place::of(SHOP);
    place.mulgil(&["run"]).ends_with(0);
    place.write("seeds/orders.csv", BROKEN);
    place.mulgil(&["run"]).ends_with(1);
    let folder = place.path().join("warehouse");
    let first = files(&folder.join("shop/sales"));
    assert_eq!(first.len(), 2, "one file of each version: {first:?}");
    // The file of version 0, as a vacuum would remove it.
    let oldest = first
        .iter()
        .min_by_key(|path| path.metadata().unwrap().modified().unwrap());
    std::fs::remove_file(oldest.unwrap()).unwrap();
    place
        .mulgil(&["query", "select * from sales"])
        .ends_with(2)
        .says("MG0012")
        .says("version 0");
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.extension().is_some_and(|kind| kind == "parquet"))
        .collect()
}
