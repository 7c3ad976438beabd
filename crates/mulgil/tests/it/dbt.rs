//! dbt's commands: what they fill and test, what they print, and how they end.

use crate::harness::{Done, Place};

const SHOP: &str = "\
=== dbt_project.yml
name: shop
models:
  shop:
    +materialized: table
=== seeds/raw.csv
id,amount
1,10
2,20
=== models/staging/stg.sql
{{ config(materialized='view') }}
select id, amount from {{ ref('raw') }} where id >= {{ var('least', 1) }}
=== models/orders.sql
select * from {{ ref('stg') }}
=== models/log.sql
{{ config(materialized='incremental') }}
select max(id) as id from {{ ref('orders') }}
{% if is_incremental() %}union all select -1{% endif %}
=== models/report.sql
select count(*) as n from {{ ref('orders') }}
=== models/schema.yml
models:
  - name: orders
    columns:
      - name: id
        data_tests: [not_null, unique]
      - name: amount
        data_tests:
          - accepted_values: {arguments: {values: [10, 20], quote: false}}
=== snapshots/kept.sql
{% snapshot kept %}{{ config(unique_key='id', strategy='check', check_cols='all') }}select * from {{ ref('raw') }}{% endsnapshot %}
";

fn count(done: &Done) -> &str {
    done.stderr
        .lines()
        .last()
        .unwrap_or_default()
        .split_once(". ")
        .map_or("", |(_, count)| count)
}

#[test]
fn run_runs_all_models_due_or_not_and_nothing_else() {
    let place = Place::of(SHOP);
    let refused = place.mulgil(&["dbt", "run"]).ends_with(1);
    assert!(refused.stderr.contains("raw"), "{}", refused.stderr);
    place.mulgil(&["dbt", "seed"]).ends_with(0);
    for rows in [1, 3, 5] {
        let run = place.mulgil(&["dbt", "run"]).ends_with(0);
        assert_eq!(count(&run), "PASS=4 WARN=0 ERROR=0 SKIP=0 TOTAL=4", "{}", run.stderr);
        assert!(run.stderr.contains("of 4 OK model report: 1 row"), "{}", run.stderr);
        assert_eq!(place.rows("select count(*) from log"), [rows.to_string()]);
    }
    // Made anew, it has what its query gives at first.
    place
        .mulgil(&["dbt", "run", "-s", "log", "--full-refresh"])
        .ends_with(0);
    assert_eq!(place.rows("select count(*) from log"), ["1"]);
    place
        .mulgil(&["dbt", "run", "-s", "report", "--vars", "{least: 2}"])
        .ends_with(0);
    assert_eq!(
        place.rows("select n from report"),
        ["2"],
        "only what is selected is run"
    );
    place
        .mulgil(&["dbt", "run", "-s", "stg+", "--exclude", "log", "--vars", "{least: 2}"])
        .ends_with(0);
    assert_eq!(place.rows("select n from report"), ["1"]);
    place.mulgil(&["query", "select * from kept"]).ends_with(2);
}

#[test]
fn build_tests_what_it_fills_and_skips_what_follows_a_failure() {
    let place = Place::of(SHOP);
    let built = place.mulgil(&["dbt", "build"]).ends_with(0);
    assert_eq!(
        count(&built),
        "PASS=9 WARN=0 ERROR=0 SKIP=0 TOTAL=9",
        "{}",
        built.stderr
    );
    assert_eq!(place.plan(), Vec::<String>::new());

    place.write("seeds/raw.csv", "id,amount\n1,10\n2,20\n3,30\n");
    let built = place.mulgil(&["dbt", "build"]).ends_with(1);
    assert!(
        built
            .stderr
            .contains("FAIL 1 test accepted_values_orders_amount__False__10__20"),
        "{}",
        built.stderr
    );
    assert_eq!(
        count(&built),
        "PASS=6 WARN=0 ERROR=1 SKIP=2 TOTAL=9",
        "{}",
        built.stderr
    );
    assert_eq!(place.rows("select n from report"), ["2"]);

    // `run` waits for no data test, and `test` fills nothing.
    let run = place.mulgil(&["dbt", "run"]).ends_with(0);
    assert_eq!(count(&run), "PASS=4 WARN=0 ERROR=0 SKIP=0 TOTAL=4", "{}", run.stderr);
    assert_eq!(place.rows("select n from report"), ["3"]);
    let tested = place.mulgil(&["dbt", "test"]).ends_with(1);
    assert_eq!(
        count(&tested),
        "PASS=2 WARN=0 ERROR=1 SKIP=0 TOTAL=3",
        "{}",
        tested.stderr
    );
}

#[test]
fn test_runs_the_data_tests_that_are_named_or_belong_to_what_is() {
    let place = Place::of(SHOP);
    place.mulgil(&["dbt", "build"]).ends_with(0);
    for (words, total) in [
        (&["-s", "orders"][..], 3),
        (&["-s", "not_null_orders_id"], 1),
        (&["-s", "test_type:generic,orders"], 3),
        (&["-s", "test_name:unique"], 1),
        (&["--exclude", "unique_orders_id"], 2),
        (&["-s", "report"], 0),
    ] {
        let words = [&["dbt", "test"], words].concat();
        let tested = place.mulgil(&words).ends_with(0);
        let expected = if total == 0 {
            "nothing to do: nothing is selected".to_owned()
        } else {
            format!("PASS={total} WARN=0 ERROR=0 SKIP=0 TOTAL={total}")
        };
        assert!(tested.stderr.contains(&expected), "{words:?}: {}", tested.stderr);
    }
}

#[test]
fn lists_and_sql_and_rows_are_data() {
    let place = Place::of(SHOP);
    let ls = |words: &[&str]| {
        let done = place.mulgil(&[&["dbt", "ls"], words].concat()).ends_with(0);
        done.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        ls(&["--resource-type", "model", "snapshot", "seed"]),
        [
            "shop.log",
            "shop.orders",
            "shop.report",
            "shop.staging.stg",
            "shop.raw",
            "shop.kept"
        ]
    );
    assert_eq!(
        ls(&["-s", "stg+1", "--output", "path"]),
        [
            "models/orders.sql",
            "models/staging/stg.sql",
            "models/schema.yml",
            "models/schema.yml",
            "models/schema.yml"
        ]
    );
    assert_eq!(
        ls(&[
            "-s",
            "orders,config.materialized:table",
            "--resource-type",
            "model",
            "--output",
            "json",
            "--output-keys",
            "name",
            "depends_on"
        ]),
        [r#"{"depends_on":{"nodes":["model.shop.stg"]},"name":"orders"}"#]
    );
    assert_eq!(ls(&["-s", "nowhere"]), Vec::<String>::new());

    let compiled = place
        .mulgil(&["dbt", "compile", "-s", "stg", "--vars", "{least: 7}"])
        .ends_with(0);
    assert_eq!(compiled.stdout.trim(), "select id, amount from \"raw\" where id >= 7");
    let inline = [
        "dbt",
        "show",
        "--inline",
        "select sum(amount) as s from {{ ref('raw') }}",
        "--output",
        "json",
    ];
    assert_eq!(
        place.mulgil(&inline).ends_with(0).json(),
        serde_json::json!([{"s": 30}])
    );
    let shown = place
        .mulgil(&["dbt", "show", "-s", "stg", "--limit", "1", "--output", "json"])
        .ends_with(0);
    assert_eq!(shown.json(), serde_json::json!([{"id": 1, "amount": 10}]));
}

#[test]
fn models_by_interval_are_filled_as_far_as_dbt_fills_them() {
    let place = Place::of(
        "\
=== dbt_project.yml
name: shop
=== seeds/events.csv
at,n
2024-01-01T00:00:00Z,1
2024-01-02T00:00:00Z,2
2024-01-03T00:00:00Z,3
=== seeds/events.yml
seeds:
  - {name: events, config: {event_time: at}}
=== models/days.sql
{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='at', batch_size='day', begin='2024-01-01', end='2024-01-04', lookback=1) }}
select * from {{ ref('events') }}
",
    );
    place.mulgil(&["dbt", "build"]).ends_with(0);
    assert_eq!(place.rows("select count(*) from days"), ["3"]);
    let run = place.mulgil(&["dbt", "run"]).ends_with(0);
    assert!(
        run.stderr.contains("OK model days@2024-01-02..2024-01-04"),
        "{}",
        run.stderr
    );
    let times = ["--event-time-start", "2024-01-01", "--event-time-end", "2024-01-02"];
    let run = place.mulgil(&[&["dbt", "run"], &times[..]].concat()).ends_with(0);
    assert!(run.stderr.contains("OK model days@2024-01-01:"), "{}", run.stderr);
    assert_eq!(place.plan(), Vec::<String>::new());
}

#[test]
fn failures_end_with_one_and_what_cannot_begin_with_two() {
    let place = Place::of(SHOP);
    place
        .mulgil(&["dbt", "docs", "generate"])
        .ends_with(2)
        .says("`mulgil dbt docs` is not there");
    place.mulgil(&["dbt", "run", "--vars", "7"]).ends_with(2).says("MG0001");
    place
        .mulgil(&["dbt", "run", "-s", "nowhere"])
        .ends_with(0)
        .says("nothing is selected");
    place.mulgil(&["dbt", "seed"]).ends_with(0);
    place.edit("models/orders.sql", "select *", "select 1 / 0 as x, *");
    let run = place.mulgil(&["dbt", "run"]).ends_with(1).says("ERROR model orders");
    assert_eq!(count(&run), "PASS=1 WARN=0 ERROR=1 SKIP=2 TOTAL=4", "{}", run.stderr);
    place.write("models/bad.sql", "select {{ nothing");
    place.mulgil(&["dbt", "run"]).ends_with(2).says("MG1101");
}
