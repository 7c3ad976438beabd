//! What a project that has no faults means.

use std::path::Path;

use insta::assert_snapshot;
use mulgil_core::{
    interval::Instant,
    name::NodeName,
    project::{Batch, CodeFp, Fingerprint, Materialization, Node},
};
use mulgil_project::LoadOptions;

use crate::{Folder, json, loaded, node, printed};

/// A node without its fingerprints, which say nothing to a reader.
fn unprinted(mut node: Node) -> Node {
    node.fingerprint = CodeFp::default();
    for test in &mut node.tests {
        test.fingerprint = Fingerprint::default();
    }
    node
}

/// Nodes as a table: what matters of them in one line each.
fn table(nodes: &[Node]) -> String {
    let lines: Vec<String> = nodes
        .iter()
        .map(|node| {
            let inputs: Vec<String> = node
                .inputs
                .iter()
                .map(|input| {
                    let keys = if input.shared_keys.is_empty() {
                        String::new()
                    } else {
                        format!("[{}]", input.shared_keys.join(","))
                    };
                    format!("{}{keys} {:?}", input.from.name(), input.mapping)
                })
                .collect();
            format!(
                "{} {:?} {} {:?} {:?} <- {}",
                node.relation,
                node.materialization,
                serde_json::to_string(&node.grid.cut).expect("a cut can be written"),
                node.grid.extent(),
                node.batch,
                inputs.join(", ")
            )
        })
        .collect();
    lines.join("\n")
}

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
fn dbts_words_and_the_short_form_mean_the_same() {
    let project = loaded(
        "== mulgil.yml
name: shop
sources: {raw: {events: {files: 'data/events_{YYYYMMDD}.csv', event_time: event_at}}}
== models/long.sql
{{ config(materialized='incremental', incremental_strategy='microbatch', batch_size='day', event_time='event_at', begin='2022-01-01', lookback=2) }}
select * from {{ source('raw', 'events') }}
== models/short.sql
{{ config(interval='day', event_time='event_at', begin='2022-01-01', lookback=2) }}
select * from {{ source('raw', 'events') }}
",
    );
    let (long, mut short) = (node(&project, "long"), node(&project, "short"));
    short.name = long.name.clone();
    short.relation = long.relation.clone();
    short.file = long.file.clone();
    assert_eq!(long, short);
}

#[test]
fn folders_configure_what_is_in_them_and_the_nearest_wins() {
    let project = loaded(
        "== mulgil.yml
name: shop
timezone: Asia/Seoul
environments: {dev: {schema_prefix: dev_}}
sources: {raw: {events: {files: 'data/events_{YYYYMMDD}.csv', event_time: event_at}}}
models:
  +owner: data
  shop:
    +tags: [all]
    +event_time: event_at
    reads:
      +interval: day
      +begin: 2022-01-01
      +schema: marts
      +tags: [reads]
      special: {tags: special, owner: ann, timezone: UTC}
seeds: {+tags: fixed}
== models/reads/plain.sql
select * from {{ source('raw', 'events') }}
== models/reads/special.sql
{{ config(schedule='0 5 * * *', settle='3d', partial=true, missed='all', batch=7) }}
select * from {{ source('raw', 'events') }}
== models/schema.yml
models:
  - name: plain
    description: What was read.
    config: {lookback: 1}
    columns:
      - {name: event_at, description: When.}
== seeds/countries.csv
code,name
kr,Korea
",
    );
    assert_snapshot!(json(&unprinted(node(&project, "plain"))), @r#"
    {
      "name": "plain",
      "materialization": "interval",
      "relation": {
        "schema": "dev_marts",
        "name": "plain"
      },
      "grid": {
        "cut": {
          "unit": "day"
        },
        "zone": "Asia/Seoul",
        "begin": 1640962800000000,
        "end": null
      },
      "event_time": "event_at",
      "keys": [],
      "inputs": [
        {
          "from": {
            "source": "raw.events"
          },
          "mapping": "overlap",
          "shared_keys": []
        }
      ],
      "fingerprint": {
        "code": "00000000000000000000000000000000",
        "schema": "00000000000000000000000000000000"
      },
      "batch": "unbounded",
      "schedule": null,
      "missed": "all",
      "lookback": 1,
      "settle_us": 0,
      "partial": false,
      "tests": [],
      "tags": [
        "all",
        "reads"
      ],
      "description": "What was read.",
      "columns": {
        "event_at": "When."
      },
      "owner": "data",
      "file": "models/reads/plain.sql"
    }
    "#);
    assert_snapshot!(json(&unprinted(node(&project, "special"))), @r#"
    {
      "name": "special",
      "materialization": "interval",
      "relation": {
        "schema": "dev_marts",
        "name": "special"
      },
      "grid": {
        "cut": {
          "unit": "day"
        },
        "zone": "UTC",
        "begin": 1640995200000000,
        "end": null
      },
      "event_time": "event_at",
      "keys": [],
      "inputs": [
        {
          "from": {
            "source": "raw.events"
          },
          "mapping": "overlap",
          "shared_keys": []
        }
      ],
      "fingerprint": {
        "code": "00000000000000000000000000000000",
        "schema": "00000000000000000000000000000000"
      },
      "batch": {
        "at_most": 7
      },
      "schedule": {
        "cron": "0 5 * * *",
        "zone": "UTC"
      },
      "missed": "all",
      "lookback": 0,
      "settle_us": 259200000000,
      "partial": true,
      "tests": [],
      "tags": [
        "all",
        "reads",
        "special"
      ],
      "description": null,
      "columns": {},
      "owner": "ann",
      "file": "models/reads/special.sql"
    }
    "#);
    assert_snapshot!(json(&unprinted(node(&project, "countries"))), @r#"
    {
      "name": "countries",
      "materialization": "seed",
      "relation": {
        "schema": "dev_shop",
        "name": "countries"
      },
      "grid": {
        "cut": "whole",
        "zone": "Asia/Seoul",
        "begin": null,
        "end": null
      },
      "event_time": null,
      "keys": [],
      "inputs": [],
      "fingerprint": {
        "code": "00000000000000000000000000000000",
        "schema": "00000000000000000000000000000000"
      },
      "batch": {
        "at_most": 1
      },
      "schedule": null,
      "missed": "latest",
      "lookback": 0,
      "settle_us": 0,
      "partial": false,
      "tests": [],
      "tags": [
        "fixed"
      ],
      "description": null,
      "columns": {},
      "owner": null,
      "file": "seeds/countries.csv"
    }
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

#[test]
fn data_tests_in_both_ways_of_writing() {
    let project = loaded(
        "== seeds/countries.csv
code
kr
== models/a.sql
select 'kr' as code, 1 as n
== models/schema.yml
models:
  - name: a
    tests:
      - not_null: {column_name: n}
    columns:
      - name: code
        data_tests:
          - unique: {config: {severity: warn}}
          - accepted_values: {values: [kr, jp], name: codes}
          - relationships: {arguments: {to: ref('countries'), field: code}}
      - name: n
        tests:
          - accepted_values: {arguments: {values: [1, 2], quote: false}}
",
    );
    assert_snapshot!(json(&unprinted(node(&project, "a")).tests), @r#"
    [
      {
        "name": "not_null_a_n",
        "kind": {
          "kind": "not_null",
          "column": "n"
        },
        "severity": "error",
        "fingerprint": "00000000000000000000000000000000",
        "place": {
          "file": "models/schema.yml",
          "line": 4,
          "column": 9
        }
      },
      {
        "name": "unique_a_code",
        "kind": {
          "kind": "unique",
          "column": "code"
        },
        "severity": "warning",
        "fingerprint": "00000000000000000000000000000000",
        "place": {
          "file": "models/schema.yml",
          "line": 8,
          "column": 13
        }
      },
      {
        "name": "codes",
        "kind": {
          "kind": "accepted_values",
          "column": "code",
          "values": [
            "kr",
            "jp"
          ],
          "quote": true
        },
        "severity": "error",
        "fingerprint": "00000000000000000000000000000000",
        "place": {
          "file": "models/schema.yml",
          "line": 9,
          "column": 13
        }
      },
      {
        "name": "relationships_a_code__code__ref_countries_",
        "kind": {
          "kind": "relationships",
          "column": "code",
          "to": "countries",
          "field": "code"
        },
        "severity": "error",
        "fingerprint": "00000000000000000000000000000000",
        "place": {
          "file": "models/schema.yml",
          "line": 10,
          "column": 13
        }
      },
      {
        "name": "accepted_values_a_n__1__2",
        "kind": {
          "kind": "accepted_values",
          "column": "n",
          "values": [
            "1",
            "2"
          ],
          "quote": false
        },
        "severity": "error",
        "fingerprint": "00000000000000000000000000000000",
        "place": {
          "file": "models/schema.yml",
          "line": 13,
          "column": 13
        }
      }
    ]
    "#);
}

#[test]
fn begin_and_end_come_from_what_is_read() {
    let project = loaded(
        "== mulgil.yml
name: shop
timezone: America/New_York
sources: {raw: {events: {files: 'data/events_{YYYYMMDD}.csv', event_time: event_at}}}
== models/a.sql
{{ config(interval='day', event_time='event_at', begin='2022-01-02', end='2023-01-02') }}
select * from {{ source('raw', 'events') }}
== models/b.sql
{{ config(interval='day', event_time='event_at', begin='2022-03-05') }}
select * from {{ source('raw', 'events') }}
== models/c.sql
{{ config(interval='month', event_time='month') }}
select * from {{ ref('a') }} join {{ ref('b') }} on a.event_at = b.event_at
",
    );
    let at = |text: &str| Some(Instant::from_timestamp(text.parse().expect("is a timestamp")));
    let grid = node(&project, "c").grid;
    assert_eq!(grid.begin, at("2022-03-01T05:00:00Z"));
    assert_eq!(grid.end, at("2023-02-01T05:00:00Z"));
}

#[test]
fn a_cron_may_cut_the_time() {
    let project = loaded(
        "== mulgil.yml
name: shop
timezone: Asia/Seoul
sources: {raw: {events: {files: 'data/events_{YYYYMMDD}.csv', event_time: event_at}}}
== models/shifts.sql
{{ config(interval='0 6,14,22 * * *', event_time='event_at', begin='2022-01-01 06:00') }}
select * from {{ source('raw', 'events') }}
== models/off.sql
{{ config(interval='day', event_time='event_at', batch=1) }}
select * from {{ ref('shifts') }}
",
    );
    assert_snapshot!(table(&project.project.as_ref().expect("it has no faults").nodes), @r#"
    shop.shifts Interval {"cron":"0 6,14,22 * * *"} 2021-12-31T21:00:00Z..+inf AtMost(1) <- raw.events Overlap
    shop.off Interval {"unit":"day"} 2021-12-31T15:00:00Z..+inf AtMost(1) <- shifts Overlap
    "#);
}

#[test]
fn variables_environments_and_macros_are_rendered() {
    let folder = Folder::new(
        "== mulgil.yml
name: shop
vars: {rate: 1300, shop: {deep: 1}}
environments: {prod: {schema_prefix: prod_}}
== macros/a.sql
{% macro won(x) %}({{ x }} * {{ var('rate') }}){% endmacro %}
== macros/deep/b.sql
{% macro total(x) -%} sum({{ won(x) }}) {%- endmacro %}
{%- macro both(x) %}{{ total(x) }}, {{ won(x) }}{% endmacro %}
== models/a.sql
{{ config(materialized='table') }}
select {{ both('amount') }}, '{{ target.name }}' as t, '{{ target.schema }}' as s, {{ var('deep') }} as d,
  '{{ env_var('HOME_TOWN') }}' as h, '{{ env_var('NONE', 'x') }}' as n, '{{ this }}' as me, '{{ project_name }}' as p
from {{ ref('shop', 'b') }}
== models/b.sql
select 1 as amount
",
    );
    let options = LoadOptions {
        environment: "prod".to_owned(),
        vars: [("rate".to_owned(), 1400.into())].into(),
        env: [("HOME_TOWN".to_owned(), "Seoul".to_owned())].into(),
    };
    let loaded = mulgil_project::load(folder.path(), &options);
    assert_snapshot!(printed(&loaded), @"");
    let compiler = loaded.compiler.expect("it has no faults");
    let instance = mulgil_core::name::Instance::of(NodeName::new("a"));
    let sql = compiler
        .rendered(&instance, mulgil_core::interval::Interval::WHOLE)
        .expect("it can be rendered");
    assert_snapshot!(sql, @r#"

    select sum((amount * 1400)), (amount * 1400), 'prod' as t, 'prod_shop' as s, 1 as d,
      'Seoul' as h, 'x' as n, '"prod_shop"."a"' as me, 'shop' as p
    from "b"
    "#);
}

#[test]
fn files_are_left_alone_where_the_project_says_so() {
    let project = loaded(
        "== .mulgilignore
drafts/
*.bak.sql
== models/a.sql
select 1 as x
== models/a.bak.sql
select broken from
== models/drafts/b.sql
select broken from
",
    );
    let names: Vec<&str> = project
        .project
        .as_ref()
        .expect("it has no faults")
        .nodes
        .iter()
        .map(|node| node.name.as_str())
        .collect();
    assert_eq!(names, ["a"]);
}

#[test]
fn a_project_is_found_from_a_folder_in_it() {
    let folder = Folder::new("== models/deep/a.sql\nselect 1 as x\n");
    let deep = folder.path().join("models/deep");
    assert_eq!(mulgil_project::find_root(&deep).as_deref(), Some(folder.path()));
    assert_eq!(mulgil_project::find_root(Path::new("/")), None);
}

#[test]
fn a_model_without_words_is_a_view() {
    let project = loaded("== models/a.sql\nselect 1 as x\n");
    let a = node(&project, "a");
    assert_eq!(a.materialization, Materialization::View);
    assert_eq!(a.batch, Batch::AtMost(1));
    let b = loaded("== models/a.sql\nselect 1 as x\n== models/b.sql\nselect * from {{ ref('a') }}\n");
    assert_eq!(node(&b, "b").inputs, []);
}
