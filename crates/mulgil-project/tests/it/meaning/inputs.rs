//! Sources, and what a model reads.

use std::path::Path;

use insta::assert_snapshot;
use mulgil_project::LoadOptions;

use super::table;
use crate::{json, loaded, node, printed};

#[test]
fn the_example_of_flights() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/flights");
    let loaded = mulgil_project::load(&root, &LoadOptions::default());
    assert_snapshot!(printed(&loaded), @"");
    let project = loaded.project.expect("it has no faults");
    assert_snapshot!(table(&project.nodes), @r#"
    flights.airlines Seed "whole" -inf..+inf AtMost(1) <- 
    flights.flights Interval {"unit":"day"} 2013-01-01T05:00:00Z..2014-01-01T05:00:00Z Unbounded <- raw.flights Overlap
    flights.delays_daily Interval {"unit":"day"} 2013-01-01T05:00:00Z..2014-01-01T05:00:00Z Unbounded <- flights Overlap
    flights.delays_28d Interval {"unit":"day"} 2013-01-01T05:00:00Z..2014-01-01T05:00:00Z AtMost(1) <- delays_daily Window { count: 28, unit: Day }
    flights.delays_monthly Interval {"unit":"month"} 2013-01-01T05:00:00Z..2014-01-01T05:00:00Z Unbounded <- delays_daily Overlap
    flights.weather Interval {"unit":"day"} 2013-01-01T05:00:00Z..2014-01-01T05:00:00Z Unbounded <- raw.weather Overlap
    flights.flights_weather Interval {"unit":"day"} 2013-01-01T05:00:00Z..2014-01-01T05:00:00Z Unbounded <- flights Overlap, weather Overlap
    "#);
}

#[test]
fn sources_as_they_are_declared() {
    let project = loaded(
        "== mulgil.yml
name: shop
timezone: Asia/Seoul
memory: 2GB
threads: 4
query_timeout: 30m
sources:
  raw:
    events: {files: 'data/{YYYY}/{MM}/{DD}/{HH}.json.gz', event_time: event_at, timezone: America/New_York}
    days: {files: 'data/days_{YYYYMMDD}.csv', nulls: [NA, '-'], delimiter: ';', columns: {n: bigint}}
    one: {files: one.data, format: parquet, event_time: at, description: One file.}
== one.data
== models/a.sql
select 1 as x
== models/schema.yml
sources:
  - name: raw
    tables:
      - {name: days, description: A file a day.}
",
    );
    assert_snapshot!(json(&project.project.as_ref().expect("it has no faults").sources), @r#"
    [
      {
        "name": "raw.days",
        "files": {
          "per_interval": {
            "template": "data/days_{YYYYMMDD}.csv",
            "unit": "day"
          }
        },
        "format": "csv",
        "delimiter": ";",
        "null_words": [
          "NA",
          "-"
        ],
        "grid": {
          "cut": {
            "unit": "day"
          },
          "zone": "Asia/Seoul",
          "begin": null,
          "end": null
        },
        "event_time": null,
        "zone": "UTC",
        "columns": {
          "n": "bigint"
        },
        "description": "A file a day.",
        "place": {
          "file": "mulgil.yml",
          "line": 9,
          "column": 5
        }
      },
      {
        "name": "raw.events",
        "files": {
          "per_interval": {
            "template": "data/{YYYY}/{MM}/{DD}/{HH}.json.gz",
            "unit": "hour"
          }
        },
        "format": "json_lines",
        "grid": {
          "cut": {
            "unit": "hour"
          },
          "zone": "America/New_York",
          "begin": null,
          "end": null
        },
        "event_time": "event_at",
        "zone": "America/New_York",
        "columns": {},
        "description": null,
        "place": {
          "file": "mulgil.yml",
          "line": 8,
          "column": 5
        }
      },
      {
        "name": "raw.one",
        "files": {
          "single": "one.data"
        },
        "format": "parquet",
        "grid": {
          "cut": "whole",
          "zone": "Asia/Seoul",
          "begin": null,
          "end": null
        },
        "event_time": "at",
        "zone": "UTC",
        "columns": {},
        "description": "One file.",
        "place": {
          "file": "mulgil.yml",
          "line": 10,
          "column": 5
        }
      }
    ]
    "#);
    assert_eq!(project.settings.memory_bytes, Some(2 << 30));
    assert_eq!(project.settings.threads, Some(4));
    assert_eq!(project.settings.query_timeout_ms, Some(1_800_000));
}

#[test]
fn an_environment_has_its_ledger_and_pools_have_slots() {
    let project = loaded(
        "== mulgil.yml
name: shop
pools: {bigquery: 4, api: 1}
retention: {logs: 2w, runs: 90d}
ledger: \"{{ var('db', '') }}\"
environments:
  dev: {ledger: 'postgres://mina:pw@db/ops'}
",
    );
    assert_eq!(project.settings.ledger.as_deref(), Some("postgres://mina:pw@db/ops"));
    assert_eq!(project.settings.keep_logs_us, Some(14 * 86_400_000_000));
    assert_eq!(project.settings.keep_runs_us, Some(90 * 86_400_000_000));
    let pools: Vec<_> = project.settings.pools.into_iter().collect();
    assert_eq!(pools, [("api".to_owned(), 1), ("bigquery".to_owned(), 4)]);
    let project = loaded("== mulgil.yml\nname: shop\nledger: \"{{ var('db', '') }}\"\n");
    assert_eq!(project.settings.ledger, None, "an empty one is none");
    assert_eq!(project.settings.keep_runs_us, None, "the program says how long");
}

#[test]
fn what_queries_may_hold_and_spill() {
    let project = loaded("== mulgil.yml\nname: shop\nmemory: 512MB\nspill: 20GB\n");
    assert_eq!(project.settings.memory_bytes, Some(512 << 20));
    assert_eq!(project.settings.spill_bytes, Some(20 << 30));
}

#[test]
fn what_a_model_reads_is_seen_through_views() {
    let project = loaded(
        "== mulgil.yml
name: shop
sources:
  raw:
    events: {files: 'data/events_{YYYYMMDD}.csv', event_time: event_at}
    rates: {files: rates.csv}
    weather: {files: weather.csv, event_time: at}
== rates.csv
== weather.csv
== seeds/countries.csv
code
== models/daily.sql
{{ config(interval='day', event_time='event_at', begin='2022-01-02', end='2023-01-01') }}
select e.* from {{ source('raw', 'events') }} e join {{ source('raw', 'weather') }} w on w.at = e.event_at
== models/latest.sql
select * from {{ ref('daily') }} join {{ ref('countries') }} using (code)
== models/inner_view.sql
{{ config(materialized='ephemeral') }}
select * from {{ ref('latest') }} join {{ source('raw', 'rates') }} using (code)
== models/monthly.sql
{{ config(interval='month', event_time='event_at', restate_on=['countries']) }}
select * from {{ ref('inner_view') }}
== models/rolling.sql
{{ config(interval='day', event_time='event_at', reads={'latest': 'last 7 days'}) }}
select '{{ interval.start }}', * from {{ ref('latest') }}
== models/totals.sql
{{ config(materialized='table') }}
select * from {{ ref('monthly') }}, {{ source('raw', 'weather') }}
== models/unscoped.sql
{{ config(interval='day', event_time='event_at') }}
select * from {{ ref('rolling') }} where x in (select x from {{ ref('daily').render() }})
== models/whole.sql
{{ config(materialized='table') }}
select * from {{ ref('daily').render() }}
== models/short.sql
{{ config(materialized='view') }}
select * from {{ ref('daily') }}
== models/twice.sql
{{ config(interval='day', event_time='event_at', reads={'short': 'last 3 days', 'latest': 'last 4 weeks'}) }}
select '{{ interval.start }}', * from {{ ref('short') }} join {{ ref('latest') }} using (code)
",
    );
    assert_snapshot!(table(&project.project.as_ref().expect("it has no faults").nodes), @r#"
    shop.countries Seed "whole" -inf..+inf AtMost(1) <- 
    shop.daily Interval {"unit":"day"} 2022-01-02T00:00:00Z..2023-01-01T00:00:00Z Unbounded <- raw.events Overlap, raw.weather Overlap
    shop.latest View "whole" -inf..+inf AtMost(1) <- daily Whole { restates: true }, countries Whole { restates: true }
    shop.monthly Interval {"unit":"month"} 2022-01-01T00:00:00Z..2023-01-01T00:00:00Z Unbounded <- daily Overlap, countries Whole { restates: true }, raw.rates Whole { restates: false }
    shop.rolling Interval {"unit":"day"} 2022-01-02T00:00:00Z..2023-01-01T00:00:00Z AtMost(1) <- daily Window { count: 7, unit: Day }, countries Whole { restates: false }
    shop.short View "whole" -inf..+inf AtMost(1) <- daily Whole { restates: true }
    shop.totals Table "whole" -inf..+inf AtMost(1) <- monthly Whole { restates: true }, raw.weather Whole { restates: true }
    shop.twice Interval {"unit":"day"} 2022-01-02T00:00:00Z..2023-01-01T00:00:00Z AtMost(1) <- daily Window { count: 4, unit: Week }, countries Whole { restates: false }
    shop.unscoped Interval {"unit":"day"} 2022-01-02T00:00:00Z..2023-01-01T00:00:00Z AtMost(1) <- rolling Overlap, daily Whole { restates: false }
    shop.whole Table "whole" -inf..+inf AtMost(1) <- daily Whole { restates: true }
    "#);
    // Selectors follow what is named: views as themselves, ephemeral models looked through.
    let reads = |name| {
        let reads = node(&project, name).reads;
        let names: Vec<&str> = reads.iter().map(|read| read.name().as_str()).collect();
        names.join(", ")
    };
    assert_snapshot!(reads("latest"), @"daily, countries");
    assert_snapshot!(reads("monthly"), @"latest, raw.rates");
    assert_snapshot!(reads("twice"), @"short, latest");
}

#[test]
fn keys_make_instances_and_are_shared_by_name() {
    let project = loaded(
        "== mulgil.yml
name: shop
sources: {raw: {events: {files: 'data/events_{YYYYMMDD}.csv', event_time: event_at}}}
== models/sales.sql
{{ config(interval='day', event_time='event_at', begin='2022-01-01', keys={'country': ['kr', 'jp'], 'shop': [1, 2]}) }}
select * from {{ source('raw', 'events') }} where country = '{{ key.country }}' and shop = {{ key.shop }}
== models/by_country.sql
{{ config(interval='day', event_time='event_at', keys={'country': ['kr', 'jp']}) }}
select * from {{ ref('sales') }}
== models/all_countries.sql
{{ config(interval='day', event_time='event_at') }}
select * from {{ ref('by_country') }}
",
    );
    assert_snapshot!(table(&project.project.as_ref().expect("it has no faults").nodes), @r#"
    shop.sales Interval {"unit":"day"} 2022-01-01T00:00:00Z..+inf Unbounded <- raw.events Overlap
    shop.by_country Interval {"unit":"day"} 2022-01-01T00:00:00Z..+inf Unbounded <- sales[country] Overlap
    shop.all_countries Interval {"unit":"day"} 2022-01-01T00:00:00Z..+inf Unbounded <- by_country Overlap
    "#);
    let names: Vec<String> = node(&project, "sales")
        .instances()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        names,
        [
            "sales[country=kr,shop=1]",
            "sales[country=kr,shop=2]",
            "sales[country=jp,shop=1]",
            "sales[country=jp,shop=2]"
        ]
    );
}
