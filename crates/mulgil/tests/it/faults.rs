//! Bad input: each a coded error at its place, with what to do and its exit code; the ledger unharmed.

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::harness::{Done, Place};

const GOOD: &str = "\
=== mulgil.yml
name: shop
timezone: Asia/Seoul
models: {shop: {+begin: 2026-01-01, +end: 2026-01-03}}
sources:
  raw:
    orders: {files: 'data/orders_{YYYYMMDD}.csv', event_time: at, columns: {at: timestamptz}}
=== models/orders.sql
{{ config(interval='day', event_time='at') }}
select at, shop, amount from {{ source('raw', 'orders') }}
=== models/daily.sql
{{ config(interval='day', event_time='at') }}
select at, sum(amount) as amount from {{ ref('orders') }} group by 1
=== data/orders_20260101.csv
at,shop,amount
2026-01-01T10:00:00+09:00,a,10
=== data/orders_20260102.csv
at,shop,amount
2026-01-02T10:00:00+09:00,a,20
";

/// Every fault has a code, a `do:` line, and the exit code of its group.
#[track_caller]
fn is_fault(done: Done, exit: i32, parts: &[&str]) {
    let done = done.ends_with(exit);
    assert!(done.stderr.contains("error[MG"), "{}", done.stderr);
    assert!(done.stderr.contains("\ndo: "), "{}", done.stderr);
    for part in parts {
        assert!(done.stderr.contains(part), "no `{part}` in:\n{}", done.stderr);
    }
}

/// After a fault is mended, the same folder fills to the end.
#[track_caller]
fn is_unharmed(place: &Place) {
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(place.plan(), Vec::<String>::new());
    assert_eq!(place.rows("select sum(amount) from daily"), ["30"]);
}

#[test]
fn faults_of_project_files_come_at_their_place() {
    let place = Place::of(GOOD);
    is_unharmed(&place);
    let check = |edit: (&str, &str, &str), parts: &[&str]| {
        let (file, from, to) = edit;
        place.edit(file, from, to);
        is_fault(place.mulgil(&["check"]), 3, parts);
        is_fault(place.mulgil(&["run"]), 3, parts);
        place.edit(file, to, from);
    };
    check(
        ("models/daily.sql", "ref('orders')", "ref('orderz')"),
        &["orderz", "models/daily.sql:2:", "orders"],
    );
    check(
        ("models/orders.sql", "source('raw', 'orders')", "ref('daily')"),
        &["daily", "orders", "models/"],
    );
    check(
        (
            "models/daily.sql",
            "interval='day'",
            "interval='day', schedule='61 * * * *'",
        ),
        &["61", "models/daily.sql:1"],
    );
    check(
        ("mulgil.yml", "Asia/Seoul", "Asia/Soul"),
        &["Asia/Soul", "Asia/Seoul", "mulgil.yml:2"],
    );
    check(
        ("mulgil.yml", "sources:\n  raw", "sources:\n\traw"),
        &["tab", "mulgil.yml:5"],
    );
    check(
        ("mulgil.yml", "timezone:", "timezon:"),
        &["timezon", "timezone", "mulgil.yml:2"],
    );
    check(
        ("models/daily.sql", "event_time='at'", "event_tim='at'"),
        &["event_tim", "event_time", "models/daily.sql:1"],
    );
    check(
        ("models/daily.sql", "group by 1", "group by by 1"),
        &["models/daily.sql:2"],
    );
    is_unharmed(&place);
}

#[test]
fn duplicate_names_two_schedules_and_missing_files_name_both_places() {
    let place = Place::of(GOOD);
    place.write("models/more/daily.sql", "select 1 as n");
    is_fault(
        place.mulgil(&["check"]),
        3,
        &["daily", "models/daily.sql", "models/more/daily.sql"],
    );
    place.remove("models/more/daily.sql");
    place.edit(
        "models/daily.sql",
        "interval='day'",
        "interval='day', schedule='0 5 * * *'",
    );
    place.write(
        "models/schema.yml",
        "models:\n  - name: daily\n    config: {schedule: '0 6 * * *'}\n",
    );
    is_fault(
        place.mulgil(&["check"]),
        3,
        &["schedule", "models/daily.sql:1", "models/schema.yml:3"],
    );
    place.edit("models/daily.sql", ", schedule='0 5 * * *'", "");
    place.write("models/schema.yml", "models: []\n");
    place.write("seeds/properties.yml", "seeds:\n  - name: shops\n");
    is_fault(place.mulgil(&["check"]), 3, &["shops", "seeds/properties.yml:2"]);
    place.remove("seeds/properties.yml");
    place.edit(
        "mulgil.yml",
        "sources:\n  raw:\n",
        "sources:\n  raw:\n    rates: {files: data/rates.csv}\n",
    );
    place.write("models/rates.sql", "select * from {{ source('raw', 'rates') }}");
    is_fault(place.mulgil(&["check"]), 3, &["data/rates.csv", "mulgil.yml:6"]);
    place.remove("models/rates.sql");
    place.edit("mulgil.yml", "    rates: {files: data/rates.csv}\n", "");
    is_unharmed(&place);
}

#[test]
fn all_faults_come_at_once() {
    let place = Place::of(GOOD);
    place.edit("models/daily.sql", "ref('orders')", "ref('orderz')");
    place.edit("models/orders.sql", "event_time='at'", "event_tim='at'");
    place.edit("mulgil.yml", "Asia/Seoul", "Asia/Soul");
    let done = place.mulgil(&["check"]).ends_with(3);
    assert!(done.stderr.matches("error[MG").count() >= 3, "{}", done.stderr);
}

#[test]
fn broken_rows_are_named_with_file_line_and_column_and_mended_rows_fill() {
    let place = Place::of(GOOD);
    let file = "data/orders_20260102.csv";
    let good = fs::read_to_string(place.path().join(file)).unwrap();
    place.write(file, "at,shop,amount\n2026-01-02T10:00:00+09:00,a\n");
    is_fault(place.mulgil(&["run"]), 1, &["data/orders_20260102.csv:2"]);
    place.write(file, "at,shop,amount\n2026-01-02T10:00:00+09:00,a,twenty\n");
    is_fault(
        place.mulgil(&["run"]),
        1,
        &["data/orders_20260102.csv:2", "twenty", "amount"],
    );
    // The row lies outside the interval of its file.
    place.write(file, "at,shop,amount\n2026-01-05T10:00:00+09:00,a,20\n");
    is_fault(place.mulgil(&["run"]), 1, &["data/orders_20260102.csv:2", "2026-01-05"]);
    place.write(file, &good);
    is_unharmed(&place);
    // A type that fitted once and does not any more.
    place.write(file, "at,shop,amount\n2026-01-02T10:00:00+09:00,a,20.5\n");
    is_fault(
        place.mulgil(&["run"]),
        1,
        &["data/orders_20260102.csv:2", "20.5", "amount"],
    );
    assert_eq!(place.rows("select sum(amount) from daily"), ["30"]);
    place.write(file, &good);
    is_unharmed(&place);
}

#[test]
fn a_model_whose_rows_leave_its_interval_fails_and_loses_nothing() {
    let place = Place::of(GOOD);
    is_unharmed(&place);
    place.edit("models/daily.sql", "select at,", "select at + interval '2 days' as at,");
    is_fault(place.mulgil(&["run"]), 1, &["daily", "outside"]);
    assert_eq!(place.rows("select sum(amount) from daily"), ["30"]);
    place.edit("models/daily.sql", "select at + interval '2 days' as at,", "select at,");
    is_unharmed(&place);
}

#[test]
fn a_type_that_no_longer_fits_is_refused_where_rows_of_the_old_type_stay() {
    let place = Place::of(GOOD);
    place.mulgil(&["run", "orders@2026-01-01"]).ends_with(0);
    place.edit(
        "models/orders.sql",
        "amount from",
        "cast(amount as varchar) as amount from",
    );
    let done = place.mulgil(&["run", "orders@2026-01-02"]);
    is_fault(done, 1, &["amount", "--full"]);
    place.edit(
        "models/orders.sql",
        "cast(amount as varchar) as amount from",
        "amount from",
    );
    is_unharmed(&place);
}

#[test]
fn three_equal_failures_hold_an_interval_until_somebody_names_it() {
    let place = Place::of(GOOD);
    let file = "data/orders_20260102.csv";
    let good = fs::read_to_string(place.path().join(file)).unwrap();
    // The types are fixed by the first run.
    is_unharmed(&place);
    place.write(file, "at,shop,amount\n2026-01-02T10:00:00+09:00,a,twenty\n");
    for _ in 0..3 {
        place.mulgil(&["run"]).ends_with(1);
    }
    let status = place.mulgil(&["status", "orders"]).ends_with(0).stdout;
    assert!(status.contains("held"), "{status}");
    place.mulgil(&["run", "orders"]).ends_with(1);
    // A changed input lets go of it, too.
    place.write(file, &good);
    is_unharmed(&place);
}

#[test]
fn a_folder_that_may_not_be_written_is_said_and_reading_goes_on() {
    let place = Place::of(GOOD);
    if is_root() {
        // Root may write everywhere; a file in the folder's place is as good an obstacle.
        place.write(".mulgil", "not a folder");
        is_fault(place.mulgil(&["run"]), 6, &[".mulgil"]);
        place.remove(".mulgil");
    } else {
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o555)).unwrap();
        is_fault(place.mulgil(&["run"]), 6, &[".mulgil"]);
        place.mulgil(&["plan"]).ends_with(0);
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    }
    is_unharmed(&place);
}

/// Whether this process ignores permissions.
fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
}
