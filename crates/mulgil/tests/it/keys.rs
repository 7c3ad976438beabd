//! Two keys in one table: each is filled by itself, and restates its own readers alone.

use crate::harness::Place;

const SHOP: &str = "\
=== mulgil.yml
name: shop
timezone: Asia/Seoul
models: {shop: {+begin: 2026-01-01, +end: 2026-01-04}}
sources:
  raw:
    orders: {files: 'data/orders_{YYYYMMDD}.csv', event_time: ordered_at, columns: {ordered_at: timestamptz}}
=== models/sales.sql
{{ config(interval='day', event_time='ordered_at', keys={'country': ['kr', 'jp']}) }}
select ordered_at, shop, amount from {{ source('raw', 'orders') }} where market = '{{ key.country }}'
=== models/margin.sql
{{ config(interval='day', event_time='ordered_at', keys={'country': ['kr', 'jp']}) }}
select ordered_at, shop, amount * 0.5 as margin from {{ ref('sales') }}
=== models/total.sql
{{ config(interval='day', event_time='ordered_at') }}
select ordered_at, country, amount from {{ ref('sales') }}
=== data/orders_20260101.csv
ordered_at,market,shop,amount
2026-01-01T10:00:00+09:00,kr,a,10
2026-01-01T11:00:00+09:00,jp,b,20
=== data/orders_20260102.csv
ordered_at,market,shop,amount
2026-01-02T10:00:00+09:00,kr,a,30
=== data/orders_20260103.csv
ordered_at,market,shop,amount
2026-01-03T10:00:00+09:00,jp,b,40
";

#[test]
fn each_key_is_filled_by_itself_and_both_lie_in_one_table() {
    let place = Place::of(SHOP);
    place.mulgil(&["run", "sales[country=kr]"]).ends_with(0);
    assert_eq!(
        place.plan(),
        [
            "margin[country=jp] 2026-01-01..2026-01-04 3 missing",
            "margin[country=kr] 2026-01-01..2026-01-04 3 missing",
            "sales[country=jp] 2026-01-01..2026-01-04 3 missing",
            "total 2026-01-01..2026-01-04 3 missing",
        ]
    );
    assert_eq!(
        place.rows("select country, sum(amount) from sales group by 1"),
        ["kr,40"]
    );
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(place.plan(), Vec::<String>::new());
    assert_eq!(
        place.rows("select country, sum(amount) from sales group by 1 order by 1"),
        ["jp,60", "kr,40"]
    );
    assert_eq!(
        place.rows("select country, sum(margin) from margin group by 1 order by 1"),
        ["jp,30.0", "kr,20.0"]
    );
    assert_eq!(place.rows("select sum(amount) from total"), ["100"]);
}

#[test]
fn a_change_of_one_key_restates_only_its_own_readers() {
    let place = Place::of(SHOP);
    place.mulgil(&["run"]).ends_with(0);
    place.write(
        "data/orders_20260101.csv",
        "ordered_at,market,shop,amount\n2026-01-01T10:00:00+09:00,kr,a,11\n2026-01-01T11:00:00+09:00,jp,b,20\n",
    );
    let done = place.mulgil(&["run"]).ends_with(0);
    let filled: Vec<&str> = done
        .stderr
        .lines()
        .filter_map(|line| line.trim().strip_prefix("filled "))
        .map(|line| line.split("  ").next().unwrap())
        .collect();
    assert!(filled.contains(&"margin[country=kr]@2026-01-01"), "{filled:?}");
    assert!(
        !filled.iter().any(|what| what.starts_with("margin[country=jp]")),
        "{filled:?}"
    );
    assert_eq!(
        place.rows("select country, sum(margin) from margin group by 1 order by 1"),
        ["jp,30.0", "kr,20.5"]
    );
}

#[test]
fn an_unknown_key_value_is_named_with_those_that_there_are() {
    let place = Place::of(SHOP);
    place
        .mulgil(&["run", "sales[country=xx]"])
        .ends_with(2)
        .says("error[MG0005]: `sales` has no `country=xx`")
        .says("kr, jp");
    place.mulgil(&["why", "sales@2026-01-01"]).ends_with(2).says("name one");
    place
        .mulgil(&["run", "sale"])
        .ends_with(5)
        .says("did you mean `sales`?");
}
