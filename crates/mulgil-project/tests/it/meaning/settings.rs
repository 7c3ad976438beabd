//! What is said of models, and where it may be said.

use insta::assert_snapshot;
use mulgil_core::{
    name::NodeName,
    project::{Batch, Materialization},
};
use mulgil_project::LoadOptions;

use super::unprinted;
use crate::{Folder, json, loaded, node, printed};

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
      "incremental": null,
      "keys": [],
      "reads": [
        {
          "source": "raw.events"
        }
      ],
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
      "incremental": null,
      "keys": [],
      "reads": [
        {
          "source": "raw.events"
        }
      ],
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
      "incremental": null,
      "keys": [],
      "reads": [],
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
        ..LoadOptions::default()
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
fn a_model_without_words_is_a_view() {
    let project = loaded("== models/a.sql\nselect 1 as x\n");
    let a = node(&project, "a");
    assert_eq!(a.materialization, Materialization::View);
    assert_eq!(a.batch, Batch::AtMost(1));
    let b = loaded("== models/a.sql\nselect 1 as x\n== models/b.sql\nselect * from {{ ref('a') }}\n");
    assert_eq!(node(&b, "b").inputs, []);
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
        "name": "accepted_values_a_n__False__1__2",
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
