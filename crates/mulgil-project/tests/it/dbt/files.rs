//! Which files of a dbt project are read, and what its YAML may hold.

use insta::assert_snapshot;

use super::told;
use crate::Folder;

#[test]
fn folders_are_those_that_the_project_names() {
    assert_snapshot!(
        told(
            "== dbt_project.yml
name: shop
model-paths: [transform, transform/core]
seed-paths: [data/fixed/]
macro-paths: [lib]
models:
  shop:
    core: {+materialized: table}
== .dbtignore
drafts/
== transform/core/a.sql
select {{ one() }} as x
== transform/drafts/b.sql
select broken from
== lib/one.sql
{% macro one() %}1{% endmacro %}
== data/fixed/codes.csv
code
kr
== models/ignored.sql
select broken from
"
        ),
        @"
    codes Seed shop.codes
    a Table shop.a
    "
    );
}

#[test]
fn it_is_found_from_a_folder_in_it() {
    let folder = Folder::new("== dbt_project.yml\nname: shop\n== models/deep/a.sql\nselect 1 as x\n");
    let deep = folder.path().join("models/deep");
    assert_eq!(mulgil_project::find_root(&deep).as_deref(), Some(folder.path()));
}

#[test]
fn yaml_beside_models_is_what_dbt_takes() {
    assert_snapshot!(
        told(
            "== dbt_project.yml
name: shop
== models/a.sql
select 1 as id
== models/schema.yml
version: 2
anchors:
  - &documented {meta: {owner: ann}, docs: {show: true}}
models:
  - name: a
    <<: *documented
    description: \"{{ doc('a') }}\"
    access: public
    group: finance
    constraints: [{type: not_null}]
    latest_version: 1
    config:
      tags: ['nightly', \"{{ target.name }}\"]
      materialized: \"{{ 'view' if target.name != 'dev' else 'table' }}\"
      contract: {enforced: true}
      surprise: 1
    colums: []
    columns:
      - name: id
        data_type: integer
        quote: true
        config: {meta: {pii: false}}
        constraints: []
        tets: [unique]
  - name: gone
seeds: []
sources:
  - name: raw
    schema: landing
    database: db
    loader: fivetran
    quoting: {identifier: true}
    freshness: {warn_after: {count: 1, period: day}}
    tables:
      - {name: events, identifier: EVENTS, columns: [{name: id}]}
exposures: [{name: x}]
unit_tests: [{name: y}]
unknown: 1
"
        ),
        @"
    warning[MG1302]: `constraints` of `a` has no effect here yet
      --> models/schema.yml:10:5
    do: leave it for dbt, or remove it

    warning[MG1302]: `contract` of `config` has no effect here yet
      --> models/schema.yml:15:7
    do: leave it for dbt, or remove it

    warning[MG1005]: `config` has no key `surprise`
      --> models/schema.yml:16:7
    do: remove it; known here are `materialized`, `incremental_strategy`, `batch_size`, `interval`, `event_time`, `begin`, `end`, `lookback` and 28 more

    warning[MG1005]: `a` has no key `colums`
      --> models/schema.yml:17:5
    do: write `columns`, or remove it

    warning[MG1302]: `constraints` of the column `id` has no effect here yet
      --> models/schema.yml:23:9
    do: leave it for dbt, or remove it

    warning[MG1005]: the column `id` has no key `tets`
      --> models/schema.yml:24:9
    do: write `tests`, or remove it

    warning[MG1015]: there is no model `gone` to describe
      --> models/schema.yml:25:11
    do: write the file of the model, or remove the description

    warning[MG1302]: `freshness` of the source `raw` has no effect here yet
      --> models/schema.yml:33:5
    do: leave it for dbt, or remove it

    warning[MG1302]: `unit_tests` of this file has no effect here yet
      --> models/schema.yml:37:1
    do: leave it for dbt, or remove it

    warning[MG1005]: this file has no key `unknown`
      --> models/schema.yml:38:1
    do: remove it; known here are `version`, `models`, `seeds`, `snapshots`, `sources`, `data_tests` and `macros`
    a Table shop.a nightly,dev
    "
    );
}

#[test]
fn a_source_of_dbt_has_to_have_files_where_it_is_read() {
    assert_snapshot!(
        told(
            "== dbt_project.yml
name: shop
== models/a.sql
select * from {{ source('raw', 'events') }}
== models/sources.yml
sources: [{name: raw, tables: [{name: events}]}]
"
        ),
        @"
    error[MG1105]: model `a` reads the source `raw.events`, which is not declared
      --> models/a.sql:1:18
    do: declare it under `sources:` in `mulgil.yml`, with its `files:`
    "
    );
}
