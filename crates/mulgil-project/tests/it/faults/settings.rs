//! Settings, of the project and of models.

use insta::assert_snapshot;
use mulgil_project::LoadOptions;

use super::with;
use crate::{Folder, faults, printed};

#[test]
fn unknown_keys_everywhere() {
    assert_snapshot!(
        faults(
            "== mulgil.yml
name: shop
timezon: UTC
warehouse: {kind: cloud, paht: x}
environments: {prod: {prefix: x, schema_prefix: prod_}}
models:
  shop:
    +materialised: table
    marts: {+tags: [x]}
    bogus: 1
  stagin: {+tags: [x]}
sources:
  raw:
    events: {file: data/x.csv}
== models/staging/a.sql
{{ config(matrialized='table', tags=['x']) }}
select 1 as x
== models/schema.yml
models:
  - name: a
    colums: []
    config: {lokback: 2}
    columns:
      - name: x
        descripton: y
"
        ),
        @"
        error[MG1005]: `a` has no key `colums`
          --> models/schema.yml:3:5
        do: write `columns`, or remove it

        error[MG1005]: `config` has no key `lokback`
          --> models/schema.yml:4:14
        do: write `lookback`, or remove it

        error[MG1005]: the column `x` has no key `descripton`
          --> models/schema.yml:7:9
        do: write `description`, or remove it

        error[MG1005]: `config()` has no key `matrialized`
          --> models/staging/a.sql:1:11
        do: write `materialized`, or remove it

        error[MG1005]: `mulgil.yml` has no key `timezon`
          --> mulgil.yml:2:1
        do: write `timezone`, or remove it

        error[MG1006]: `cloud` is no kind of warehouse
          --> mulgil.yml:3:19
        do: write `local`: Delta tables on disk; or `s3`, `gcs`, `azure` with a `url`

        error[MG1005]: `warehouse` has no key `paht`
          --> mulgil.yml:3:26
        do: write `path`, or remove it

        error[MG1005]: the environment `prod` has no key `prefix`
          --> mulgil.yml:4:23
        do: remove it; known here are `schema_prefix` and `ledger`

        error[MG1005]: the folder `shop` has no key `materialised`
          --> mulgil.yml:7:5
        do: write `materialized`, or remove it

        error[MG1005]: `marts` is neither a setting nor a folder here
          --> mulgil.yml:8:5
        do: remove it, or make the folder

        error[MG1005]: the folder `shop` has no key `bogus`
          --> mulgil.yml:9:5
        do: remove it; known here are `materialized`, `incremental_strategy`, `batch_size`, `interval`, `event_time`, `begin`, `end`, `lookback` and 28 more

        error[MG1005]: `stagin` is neither a setting nor a folder here
          --> mulgil.yml:10:3
        do: write `staging`, or remove it

        error[MG1007]: the source `raw.events` does not say where its files are
          --> mulgil.yml:13:5
        do: add `files: data/events_{YYYYMMDD}.csv`, or the path of a single file

        error[MG1005]: the source `raw.events` has no key `file`
          --> mulgil.yml:13:14
        do: write `files`, or remove it
        "
    );
}

#[test]
fn bad_values_of_every_setting() {
    assert_snapshot!(
        faults(
            "== mulgil.yml
name: shop
memory: lots
threads: 0
query_timeout: soon
ledger: sqlite.db
pools: {small: 0, 'a b': 2}
retention: {logs: 0d, runs: half a year, ticks: 9d}
== models/a.sql
{{ config(
    interval='daily',
    event_time=1.5,
    begin='yesterday',
    end=7,
    lookback=-1,
    settle='three days',
    partial='yes',
    missed='some',
    batch=0,
    tags={'a': 1},
    schema='my schema',
    alias='1st',
    enabled='no',
    reads={'events': 'the last week'},
    timezone='Asia/Soul',
    schedule='every day'
) }}
select 1 as x
== models/b.sql
{{ config(materialized='tabel') }}
select 1 as x
"
        ),
        @r#"
        error[MG1006]: `interval` cannot be `daily`
          --> models/a.sql:2:5
        do: write `day`

        error[MG1006]: `event_time` cannot be `1.5`
          --> models/a.sql:3:5
        do: write a text, in quotes

        error[MG1006]: `begin` cannot be `yesterday`
          --> models/a.sql:4:5
        do: write a date such as `2022-01-01`, or a time such as `2022-01-01 05:00`

        error[MG1006]: `end` cannot be `7`
          --> models/a.sql:5:5
        do: write a date such as `2022-01-01`, or a time such as `2022-01-01 05:00`

        error[MG1006]: `lookback` cannot be `-1`
          --> models/a.sql:6:5
        do: write a whole number from 0

        error[MG1006]: `settle` cannot be `three days`
          --> models/a.sql:7:5
        do: write a number and a unit: `3d`, `12h`, `30m`

        error[MG1006]: `partial` cannot be `yes`
          --> models/a.sql:8:5
        do: write `true` or `false`

        error[MG1006]: `missed` cannot be `some`
          --> models/a.sql:9:5
        do: write `latest`, `all` or `none`

        error[MG1006]: `batch` cannot be `0`
          --> models/a.sql:10:5
        do: write a whole number from 1

        error[MG1006]: `tags` cannot be `{"a":1}`
          --> models/a.sql:11:5
        do: write a list of texts

        error[MG1009]: `schema` cannot be `my schema`: a name has letters of the Latin alphabet, digits and `_`, and begins with a letter
          --> models/a.sql:12:5
        do: use letters, digits and `_`, beginning with a letter

        error[MG1009]: `alias` cannot be `1st`: a name has letters of the Latin alphabet, digits and `_`, and begins with a letter
          --> models/a.sql:13:5
        do: use letters, digits and `_`, beginning with a letter

        error[MG1006]: `enabled` cannot be `no`
          --> models/a.sql:14:5
        do: write `true` or `false`

        error[MG1006]: `reads` of `events` cannot be `the last week`
          --> models/a.sql:15:5
        do: write what is read and how much of it: `reads={'events': 'last 7 days'}`

        error[MG1013]: there is no time zone `Asia/Soul`
          --> models/a.sql:16:5
        do: write `Asia/Seoul`

        error[MG1014]: `every day` is not a cron: a cron has five fields (minute, hour, day of month, month, day of week), and `every day` has 2
          --> models/a.sql:17:5
        do: write five fields: minute, hour, day of month, month, day of week; `0 5 * * *` is 05:00 every day

        error[MG1006]: `materialized` cannot be `tabel`
          --> models/b.sql:1:11
        do: write `table`, `view`, `ephemeral` or `incremental`; with `interval` it is not needed

        error[MG1006]: `memory` cannot be `lots`
          --> mulgil.yml:2:9
        do: write a number and a unit: `2GB`, `512MB`

        error[MG1006]: `threads` is not a count of threads
          --> mulgil.yml:3:10
        do: write a whole number from 1 to 1024

        error[MG1006]: `query_timeout` cannot be `soon`
          --> mulgil.yml:4:16
        do: write a number and a unit: `30m`, `2h`

        error[MG1006]: `ledger` is no URL of a PostgreSQL database
          --> mulgil.yml:5:9
        do: write `ledger: "{{ env_var('LEDGER_URL') }}"` with a URL such as `postgres://user:password@host/database`; without the key the ledger is a file in `.mulgil`

        error[MG1006]: the pool `small` needs a count of slots
          --> mulgil.yml:6:16
        do: write a whole number from 1 to 10000: so many of its steps run at once

        error[MG1009]: `a b` cannot name a pool
          --> mulgil.yml:6:19
        do: use at most 63 letters, digits and `_`

        error[MG1006]: `logs` cannot be `0d`
          --> mulgil.yml:7:19
        do: write a number and a unit: `30d`, `12w`

        error[MG1006]: `runs` cannot be `half a year`
          --> mulgil.yml:7:29
        do: write a number and a unit: `30d`, `12w`

        error[MG1005]: `retention` has no key `ticks`
          --> mulgil.yml:7:42
        do: remove it; known here are `logs` and `runs`
        "#
    );
}

#[test]
fn a_bad_limit_of_what_is_spilled() {
    assert_snapshot!(
        faults("== mulgil.yml\nname: shop\nspill: a lot\n"),
        @"
    error[MG1006]: `spill` cannot be `a lot`
      --> mulgil.yml:2:8
    do: write a number and a unit: `2GB`, `512MB`
    "
    );
}

#[test]
fn a_bad_cron_and_an_unknown_zone() {
    assert_snapshot!(
        faults(
            "== mulgil.yml
name: shop
timezone: Asia/Seol
== models/a.sql
{{ config(materialized='table', schedule='0 25 * * *') }}
select 1 as x
== models/b.sql
{{ config(materialized='table', schedule={'cron': '0 5 * * *', 'timezone': 'Mars/Olympus', 'at': 1}) }}
select 1 as x
"
        ),
        @"
        error[MG1014]: `0 25 * * *` is not a cron: the hour field `25` is wrong: `25` is not a number from 0 to 23
          --> models/a.sql:1:33
        do: write five fields: minute, hour, day of month, month, day of week; `0 5 * * *` is 05:00 every day

        error[MG1005]: `schedule` has no key `at`
          --> models/b.sql:1:33
        do: remove it; known here are `cron` and `timezone`

        error[MG1013]: there is no time zone `Mars/Olympus`
          --> models/b.sql:1:33
        do: write a name of the IANA database, such as `Asia/Seoul` or `UTC`

        error[MG1013]: there is no time zone `Asia/Seol`
          --> mulgil.yml:2:11
        do: write `Asia/Seoul`
        "
    );
}

#[test]
fn an_unknown_environment() {
    let folder = Folder::new(
        "== mulgil.yml\nname: shop\nenvironments:\n  prod: {schema_prefix: prod_}\n== models/a.sql\nselect 1 as x\n",
    );
    let options = LoadOptions {
        environment: "pord".to_owned(),
        ..LoadOptions::default()
    };
    assert_snapshot!(printed(&mulgil_project::load(folder.path(), &options)), @"
    error[MG1008]: the project has no environment `pord`
      --> mulgil.yml:3:3
    do: write `--env prod`
    ");
}

#[test]
fn environments_that_write_the_same_tables() {
    assert_snapshot!(faults("== mulgil.yml
name: shop
environments:
  prod: {}
  test: {schema_prefix: test_}
  more: {schema_prefix: test_}
"), @"
        error[MG1006]: the environments `dev` and `prod` would write the same tables
          --> mulgil.yml:3:3
        do: give each its own prefix: `prod: {schema_prefix: prod_}`

        error[MG1006]: the environments `test` and `more` would write the same tables
          --> mulgil.yml:5:3
        do: give each its own prefix: `more: {schema_prefix: more_}`
        ");
}

#[test]
fn incremental_models_and_their_keys() {
    assert_snapshot!(
        with(
            "== models/a.sql
{{ config(materialized='incremental', incremental_strategy='merge') }}
select 1 as x
== models/b.sql
{{ config(materialized='incremental', incremental_strategy='upsert', keys={'country': ['kr']}) }}
select 1 as x
== models/c.sql
{{ config(materialized='table', unique_key='x') }}
select 1 as x
== models/d.sql
{{ config(materialized='incremental', unique_key=['x', 2]) }}
select 1 as x
"
        ),
        @"
        error[MG1007]: `merge` needs a `unique_key`: by which columns rows are the same
          --> models/a.sql:1:39
        do: add `unique_key='id'`, or a list of columns; or write `incremental_strategy='append'`

        error[MG1006]: `incremental_strategy` cannot be `upsert`
          --> models/b.sql:1:39
        do: write `append`, `merge`, `delete+insert` or `microbatch`

        error[MG1112]: an incremental model has no `keys` of its own
          --> models/b.sql:1:70
        do: write `unique_key` for the columns by which rows are replaced, or fill it by intervals: `interval='day'`

        warning[MG1210]: `unique_key` has a meaning only for an incremental model: others are made anew as a whole
          --> models/c.sql:1:33
        do: write `materialized='incremental'`, or remove `unique_key`

        error[MG1006]: `unique_key` cannot be `[\"x\",2]`
          --> models/d.sql:1:39
        do: write a list of texts
        "
    );
}

#[test]
fn incremental_without_intervals() {
    assert_snapshot!(
        with(
            "== models/a.sql
{{ config(materialized='incremental', incremental_strategy='insert_overwrite', on_schema_change='add') }}
select 1 as x
== models/b.sql
{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='x', begin='2022-01-01') }}
select 1 as x
== models/c.sql
{{ config(materialized='table', interval='day', batch_size='hour', event_time='x', begin='2022-01-01') }}
select 1 as x
"
        ),
        @"
        error[MG1209]: partitions are not overwritten here: a table is filled by intervals, each replaced as a whole
          --> models/a.sql:1:39
        do: write `interval='day'` and the `event_time` by which the table is partitioned

        error[MG1006]: `on_schema_change` cannot be `add`
          --> models/a.sql:1:80
        do: write `ignore`, `fail`, `append_new_columns` or `sync_all_columns`

        error[MG1007]: a microbatch model has to say its `batch_size`: how its time is cut
          --> models/b.sql:1:39
        do: add `batch_size='day'`, or write the short form `interval='day'`

        error[MG1210]: `interval` is `day` and `materialized` is `table`: a model with an interval is a table filled by intervals
          --> models/c.sql:1:33
          --> models/c.sql:1:11  `materialized`
        do: remove one of them

        error[MG1210]: `interval` is `day` and `batch_size` is `hour`: both say how the time is cut, and differ
          --> models/c.sql:1:33
          --> models/c.sql:1:49  `batch_size`
        do: remove one of them
        "
    );
}

#[test]
fn sources_that_cannot_be() {
    assert_snapshot!(
        faults(
            "== mulgil.yml
name: shop
sources:
  raw:
    a: {files: data/missing.csv}
    b: {files: 'data/{YYYYDD}.csv'}
    c: {event_time: x}
    d: {files: data/x}
    e: {files: 'data/{YYYY}.parquet', nulls: [NA], timezone: Asia/Soul}
    f: {files: 'data/{YYYY}.csv', delimiter: '||', format: exel}
    g: {files: 'data/{YYYY}.csv', delimiter: '||'}
    h: nothing
== models/a.sql
select 1 as x
"
        ),
        @"
        error[MG1012]: the file `data/missing.csv` of the source `raw.a` is not there
          --> mulgil.yml:4:16
        do: put the file there, or write its path from the project folder

        error[MG1006]: `files` of the source `raw.b` cannot be read: a date field is missing: an hour needs its day, a day its month, a month its year
          --> mulgil.yml:5:16
        do: write date fields as `{YYYY}`, `{MM}`, `{DD}`, `{HH}` or together as `{YYYYMMDD}`

        error[MG1007]: the source `raw.c` does not say where its files are
          --> mulgil.yml:6:5
        do: add `files: data/events_{YYYYMMDD}.csv`, or the path of a single file

        error[MG1012]: the file `data/x` of the source `raw.d` is not there
          --> mulgil.yml:7:16
        do: put the file there, or write its path from the project folder

        error[MG1006]: the file's name does not tell its format
          --> mulgil.yml:7:16
        do: write `format: csv`, `format: json` or `format: parquet`

        error[MG1006]: `delimiter` and `nulls` have a meaning only for CSV
          --> mulgil.yml:8:46
        do: remove it

        error[MG1013]: there is no time zone `Asia/Soul`
          --> mulgil.yml:8:62
        do: write `Asia/Seoul`

        error[MG1006]: `format` cannot be `exel`
          --> mulgil.yml:9:60
        do: write `format: csv`, `format: json` or `format: parquet`

        error[MG1006]: `delimiter` cannot be `||`
          --> mulgil.yml:10:46
        do: write one ASCII character

        error[MG1006]: the source `raw.h` is text, but has to be a mapping (`key: value`)
          --> mulgil.yml:11:8
        do: write a mapping (`key: value`)
        "
    );
}
