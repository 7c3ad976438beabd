//! Every fault that people can make, exactly as it is printed.

use insta::assert_snapshot;
use mulgil_project::LoadOptions;

use crate::{Folder, faults, printed};

/// A model by day that has nothing wrong.
const DAILY: &str = "== mulgil.yml
name: shop
sources:
  raw:
    events: {files: 'data/events_{YYYYMMDD}.csv', event_time: event_at}
== models/daily.sql
{{ config(interval='day', event_time='event_at', begin='2022-01-01') }}
select event_at, user_id from {{ source('raw', 'events') }}
";

fn with(text: &str) -> String {
    faults(&format!("{DAILY}{text}"))
}

#[test]
fn a_good_project_has_no_faults() {
    assert_snapshot!(with(""), @"");
}

#[test]
fn no_project() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let loaded = mulgil_project::load(folder.path(), &LoadOptions::default());
    let text = printed(&loaded).replace(&folder.path().display().to_string(), "[folder]");
    assert_snapshot!(text, @"
    error[MG1001]: the folder [folder] has no `mulgil.yml`, so it is no project
    do: go to a project folder, or write a `mulgil.yml` with a `name:`
    ");
}

#[test]
fn an_empty_project_is_a_warning() {
    let loaded = Folder::new("== mulgil.yml\nname: shop\n").load();
    assert_snapshot!(printed(&loaded), @"
    warning[MG1011]: the project has no models and no seeds, so nothing is to do
      --> mulgil.yml
    do: write a SELECT into a file such as `models/first.sql`
    ");
    assert!(loaded.project.is_some());
}

#[test]
fn a_file_that_is_not_utf8() {
    let folder = Folder::new(DAILY);
    folder.write("models/bad.sql", b"select 1\n-- \xff\xfe".as_slice());
    assert_snapshot!(printed(&folder.load()), @"
    error[MG1002]: the file is not UTF-8 text
      --> models/bad.sql:2
    do: save the file as UTF-8
    ");
}

#[test]
fn yaml_with_a_tab() {
    assert_snapshot!(faults("== mulgil.yml\nname: shop\nsources:\n\traw: {}\n"), @"
    error[MG1003]: a tab is used to indent, which YAML does not allow
      --> mulgil.yml:3:1
    do: replace the tab by spaces
    ");
}

#[test]
fn yaml_with_a_key_twice() {
    assert_snapshot!(faults("== mulgil.yml\nname: shop\ntimezone: UTC\nname: store\n== models/a.sql\nselect 1 as x"), @"
    error[MG1004]: the key `name` stands twice in one mapping, so one value would be lost
      --> mulgil.yml:3:1
      --> mulgil.yml:1:1  the first one
    do: keep one of them
    ");
}

#[test]
fn unknown_keys_everywhere() {
    assert_snapshot!(
        faults(
            "== mulgil.yml
name: shop
timezon: UTC
warehouse: {kind: cloud, paht: x}
environments: {prod: {prefix: x}}
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
        do: write `local`: Delta tables on disk

        error[MG1005]: `warehouse` has no key `paht`
          --> mulgil.yml:3:26
        do: write `path`, or remove it

        error[MG1005]: the environment `prod` has no key `prefix`
          --> mulgil.yml:4:23
        do: remove it; known here are `schema_prefix`

        error[MG1005]: the folder `shop` has no key `materialised`
          --> mulgil.yml:7:5
        do: write `materialized`, or remove it

        error[MG1005]: `marts` is neither a setting nor a folder here
          --> mulgil.yml:8:5
        do: remove it, or make the folder

        error[MG1005]: the folder `shop` has no key `bogus`
          --> mulgil.yml:9:5
        do: remove it; known here are `materialized`, `incremental_strategy`, `batch_size`, `interval`, `event_time`, `begin`, `end`, `lookback` and 16 more

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
        "#
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
    let folder = Folder::new("== mulgil.yml\nname: shop\nenvironments:\n  prod: {}\n== models/a.sql\nselect 1 as x\n");
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
fn names_that_cannot_be() {
    assert_snapshot!(
        faults(
            "== mulgil.yml
name: my-shop
sources:
  raw data: {events: {files: a.csv}}
  raw: {2nd: {files: 'x_{YYYY}.csv'}}
== models/order-items.sql
select 1 as x
== models/system.sql
select 1 as x
== models/_hidden.sql
select 1 as x
"
        ),
        @"
        error[MG1009]: a model or seed cannot be named `_hidden`: names that begin with `_` are the program's own
          --> models/_hidden.sql
        do: rename the file; its name is the table's name

        error[MG1009]: a model or seed cannot be named `order-items`: a name has letters of the Latin alphabet, digits and `_`, and begins with a letter
          --> models/order-items.sql
        do: rename the file; its name is the table's name

        error[MG1009]: a model or seed cannot be named `system`: the program uses it
          --> models/system.sql
        do: rename the file; its name is the table's name

        error[MG1009]: the project cannot be named `my-shop`: a name has letters of the Latin alphabet, digits and `_`, and begins with a letter
          --> mulgil.yml:1:7
        do: use letters, digits and `_`, beginning with a letter

        error[MG1009]: a source cannot be named `raw data`: a name has letters of the Latin alphabet, digits and `_`, and begins with a letter
          --> mulgil.yml:3:3
        do: use letters, digits and `_`, beginning with a letter

        error[MG1012]: the file `a.csv` of the source `raw data.events` is not there
          --> mulgil.yml:3:30
        do: put the file there, or write its path from the project folder

        error[MG1009]: a source cannot be named `2nd`: a name has letters of the Latin alphabet, digits and `_`, and begins with a letter
          --> mulgil.yml:4:9
        do: use letters, digits and `_`, beginning with a letter
        "
    );
}

#[test]
fn names_twice() {
    assert_snapshot!(
        faults(
            "== models/a/orders.sql
select 1 as x
== models/b/Orders.sql
select 1 as x
== seeds/orders.csv
x
1
== models/one.sql
{{ config(alias='same', materialized='table') }} select 1 as x
== models/two.sql
{{ config(alias='SAME', materialized='table') }} select 1 as x
== models/schema.yml
models:
  - name: one
    columns:
      - {name: x, data_tests: [not_null, not_null]}
  - name: one
"
        ),
        @"
        error[MG1010]: there are two models or seeds named `orders`
          --> models/a/orders.sql
          --> seeds/orders.csv  the other one
        do: rename one of the files

        error[MG1010]: there are two models or seeds named `Orders`
          --> models/b/Orders.sql
          --> seeds/orders.csv  the other one
        do: rename one of the files

        error[MG1010]: there are two data tests named `not_null_one_x`
          --> models/schema.yml:4:42
          --> models/schema.yml:4:32  the other one
        do: remove one of them, or give it a `name:`

        error[MG1010]: `one` is described twice
          --> models/schema.yml:5:11
          --> models/schema.yml:2:11  the first description
        do: put both into one entry

        error[MG1010]: `one` and `two` would both be the table `shop.SAME`
          --> models/two.sql
          --> models/one.sql  the other one
        do: give one of them another `alias` or `schema`
        "
    );
}

#[test]
fn unknown_references() {
    assert_snapshot!(
        with(
            "== models/orders.sql
select 1 as x
== models/a.sql
select *
from {{ ref('orderz') }}
join {{ ref('events') }} using (x)
join {{ source('raw', 'event') }} using (x)
join {{ source('app', 'users') }} using (x)
join {{ ref('store', 'orders') }} using (x)
join {{ ref('off') }} using (x)
{% for name in ['nowhere'] %}join {{ ref(name) }} using (x){% endfor %}
== models/off.sql
{{ config(enabled=false) }}
select 1 as x
"
        ),
        @"
        error[MG1104]: model `a` refers to `orderz`, which is not in this project
          --> models/a.sql:2:9
        do: write `ref('orders')`

        error[MG1104]: model `a` refers to `events`, which is not in this project
          --> models/a.sql:3:9
        do: write `source('raw', 'events')`

        error[MG1105]: model `a` reads the source `raw.event`, which is not declared
          --> models/a.sql:4:9
        do: write `source('raw', 'events')`

        error[MG1105]: model `a` reads the source `app.users`, which is not declared
          --> models/a.sql:5:9
        do: declare it under `sources:` in `mulgil.yml`, with its `files:`

        error[MG1104]: `ref` names the project `store`, but only `shop` is loaded
          --> models/a.sql:6:9
        do: write `ref('orders')`

        error[MG1104]: model `a` refers to `off`, which is switched off
          --> models/a.sql:7:9
        do: set `enabled: true` for `off`, or remove the reference

        error[MG1104]: model `a` refers to `nowhere`, which is not in this project
          --> models/a.sql:8:38
        do: write the model in `models/nowhere.sql`, or declare a source in `mulgil.yml` and write `source('…', 'nowhere')`
        "
    );
}

#[test]
fn unknown_macros_variables_and_words() {
    assert_snapshot!(
        faults(
            "== macros/money.sql
{% macro to_won(x) %}({{ x }} * 1300){% endmacro %}
{% macro broken(x) %}
  {{ ref('nothing') }} {{ var('rate') }}
{% endmacro %}
== models/a.sql
select {{ to_wom('x') }} as x
== models/b.sql
select {{ var('rat') }}, {{ env_var('RATE') }}, '{{ var('rate', 1) }}' as x
== models/c.sql
select {{ intervall.start }} as x
== models/d.sql
select {{ broken(1) }} as x
== models/e.sql
select '{{ run_started_at }}' as x, {{ 1 / 0 }} as y
== models/f.sql
select {{ 'x' | money }} as x
"
        ),
        @"
        error[MG1104]: model `d` refers to `nothing`, which is not in this project
          --> macros/money.sql:3:6
        do: write the model in `models/nothing.sql`, or declare a source in `mulgil.yml` and write `source('…', 'nothing')`

        error[MG1107]: the variable `rate` has no value
          --> macros/money.sql:3:27
        do: add it under `vars:` in `mulgil.yml`, or give a default: `var('rate', '…')`

        error[MG1106]: there is no macro or function `to_wom`
          --> models/a.sql:1:11
        do: write `to_won(…)`

        error[MG1107]: the variable `rat` has no value
          --> models/b.sql:1:11
        do: add it under `vars:` in `mulgil.yml`, or give a default: `var('rat', '…')`

        error[MG1108]: the environment variable `RATE` has no value
          --> models/b.sql:1:29
        do: set it, or give a default: `env_var('RATE', '…')`

        error[MG1102]: `intervall` is not defined
          --> models/c.sql:1:11
        do: write `interval`

        error[MG1102]: the template fails: invalid operation: unable to calculate 1 / 0
          --> models/e.sql:1:40
        do: look at the expression at this place

        error[MG1102]: the template fails: unknown filter: filter money is unknown
          --> models/f.sql:1:17
        do: look at the expression at this place
        "
    );
}

#[test]
fn templates_that_do_not_parse() {
    assert_snapshot!(
        faults(
            "== models/a.sql
select 1
from {{ ref('b')
== models/b.sql
{% if true %} select 1 as x
== macros/m.sql
{% macro m(x %}{{ x }}{% endmacro %}
== models/c.sql
select {{ m(1) }} as x
== models/d.sql
select * from {{ ref('a') }}
"
        ),
        @"
        error[MG1101]: the template does not parse: unexpected `%`, expected `,`
          --> macros/m.sql:1:14
        do: look for a `{{`, `{%` or `{#` that is not closed, or a block without its end

        error[MG1101]: the template does not parse: unexpected end of input, expected end of variable block
          --> models/a.sql:2:16
        do: look for a `{{`, `{%` or `{#` that is not closed, or a block without its end

        error[MG1101]: the template does not parse: unexpected end of input, expected end of block
          --> models/b.sql:1:14
        do: look for a `{{`, `{%` or `{#` that is not closed, or a block without its end

        error[MG1106]: there is no macro or function `m`
          --> models/c.sql:1:11
        do: mend the macro files first: the macro may be in one of them
        "
    );
}

#[test]
fn templates_have_limits() {
    assert_snapshot!(
        faults(
            "== macros/m.sql
{% macro again(n) %}{{ again(n) }}{% endmacro %}
{% macro twice(n) %}{% if n > 0 %}{{ twice(n - 1) }}{{ twice(n - 1) }}{% endif %}{% endmacro %}
== models/a.sql
select {{ again(1) }} as x
== models/b.sql
select 1 as x {% for i in range(2000) %}{% for j in range(2000) %}{% set x = i * j %}{% endfor %}{% endfor %}
== models/c.sql
select '{% for i in range(2000) %}{{ 'x' * 10000 }}{% endfor %}' as x
== models/d.sql
select 1 as x {{ twice(22) }}
"
        ),
        @"
        error[MG1103]: macros or blocks are nested deeper than 400 steps
          --> macros/m.sql:1:24
        do: make the loop or the macro smaller; what is large belongs into a seed or into SQL

        error[MG1103]: the template takes more than 1000000 steps
          --> macros/m.sql:2:1
        do: make the loop or the macro smaller; what is large belongs into a seed or into SQL

        error[MG1103]: the template takes more than 1000000 steps
          --> models/b.sql:1:1
        do: make the loop or the macro smaller; what is large belongs into a seed or into SQL

        error[MG1103]: the template writes more than 4 MiB
          --> models/c.sql
        do: make the loop or the macro smaller; what is large belongs into a seed or into SQL
        "
    );
}

#[test]
fn circles() {
    assert_snapshot!(
        faults(
            "== models/a.sql
select * from {{ ref('c') }}
== models/b.sql
select *
from {{ ref('a') }}
== models/c.sql
select * from {{ ref('b') }}
== models/d.sql
select * from {{ ref('a') }}
== models/e.sql
select * from {{ ref('e') }}
"
        ),
        @"
        error[MG1109]: these models read each other in a circle: a → c → b → a
          --> models/a.sql:1:18
          --> models/c.sql:1:18  `c` reads `b`
          --> models/b.sql:2:9  `b` reads `a`
        do: remove one of these references, or move the shared part into a model of its own

        error[MG1109]: these models read each other in a circle: e → e
          --> models/e.sql:1:18
        do: remove one of these references, or move the shared part into a model of its own
        "
    );
}

#[test]
fn sql_that_does_not_parse() {
    assert_snapshot!(
        faults(
            "== models/a.sql
{{ config(materialized='table') }}
select x
from t
where (x = 1
== models/b.sql
select 1 as x; select 2 as x
== models/c.sql
delete from t
== models/d.sql
-- nothing yet
== models/e.sql
{% set columns = ['a', 'b'] %}
select
{% for column in columns %}
  {{ column }} {{ column }} {{ column }},
{% endfor %}
from t
"
        ),
        @"
        error[MG1110]: the SQL of `a` cannot be read: expected ), found its end
          --> models/a.sql
        do: mend the SQL; look at it as it is rendered if the template makes it

        error[MG1110]: the SQL of `b` cannot be read: a model is one SELECT, and here are several statements
          --> models/b.sql
        do: write one SELECT: its rows are the table's

        error[MG1110]: the SQL of `c` cannot be read: a model is one SELECT, and this is another statement
          --> models/c.sql
        do: write one SELECT: its rows are the table's

        error[MG1110]: the SQL of `d` cannot be read: the file holds no SQL
          --> models/d.sql
        do: write one SELECT: its rows are the table's

        error[MG1110]: the SQL of `e` cannot be read: expected end of statement, found a
          --> models/e.sql
        do: mend the SQL; look at it as it is rendered if the template makes it
        "
    );
}

#[test]
fn an_interval_where_there_is_none() {
    assert_snapshot!(
        with(
            "== models/a.sql
{{ config(materialized='table') }}
select * from {{ ref('daily') }}
where event_at >= '{{ interval.start }}' and d = '{{ ds }}'
  and e < '{{ interval.end | date }}' and f = {{ interval.end | epoch }}
== models/b.sql
select '{{ model.batch.event_time_start }}' as x
"
        ),
        @"
        error[MG1111]: model `a` names `interval`, but it is not filled by intervals, so there is none
          --> models/a.sql:3:23
        do: add `interval='day'` and `event_time` to `config()`, or remove the word

        error[MG1111]: model `a` names `ds`, but it is not filled by intervals, so there is none
          --> models/a.sql:3:54
        do: add `interval='day'` and `event_time` to `config()`, or remove the word

        error[MG1111]: model `a` names `interval`, but it is not filled by intervals, so there is none
          --> models/a.sql:4:30
        do: add `interval='day'` and `event_time` to `config()`, or remove the word

        error[MG1111]: model `a` names `interval`, but it is not filled by intervals, so there is none
          --> models/a.sql:4:65
        do: add `interval='day'` and `event_time` to `config()`, or remove the word

        error[MG1111]: model `b` names `model.batch`, but it is not filled by intervals, so there is none
          --> models/b.sql:1:17
        do: add `interval='day'` and `event_time` to `config()`, or remove the word
        "
    );
}

#[test]
fn a_model_by_interval_needs_begin_and_event_time() {
    assert_snapshot!(
        with(
            "== models/a.sql
{{ config(interval='day') }}
select event_at from {{ source('raw', 'events') }}
== models/b.sql
{{ config(interval='month') }}
select event_at from {{ ref('daily') }}
"
        ),
        @"
        error[MG1201]: the model `a` has no `begin`, and reads no model by interval to take it from
          --> models/a.sql:1:11
        do: add the first day that you want, such as `begin='2022-01-01'`

        error[MG1202]: the model `a` does not say which column tells a row's time
          --> models/a.sql:1:11
        do: add the column, such as `event_time='event_at'`

        error[MG1202]: the model `b` does not say which column tells a row's time
          --> models/b.sql:1:11
        do: add the column, such as `event_time='event_at'`
        "
    );
}

#[test]
fn edges_that_are_not_on_the_grid() {
    assert_snapshot!(
        with(
            "== models/a.sql
{{ config(interval='month', event_time='event_at', begin='2022-01-15', end='2022-03-01 12:00') }}
select event_at from {{ ref('daily') }}
== models/b.sql
{{ config(interval='day', event_time='event_at', end='2021-01-01') }}
select event_at from {{ ref('daily') }}
"
        ),
        @"
        error[MG1205]: `begin` of `a` is 2022-01-15, where no interval begins
          --> models/a.sql:1:52
        do: write `2022-01-01` or `2022-02-01`

        error[MG1205]: `end` of `a` is 2022-03-01 12:00, where no interval begins
          --> models/a.sql:1:72
        do: write `2022-03-01` or `2022-04-01`

        error[MG1205]: the model `b` ends at 2021-01-01, before it begins at 2022-01-01
          --> models/b.sql:1:50
        do: write a `begin` before the `end`
        "
    );
}

#[test]
fn schedules_that_cannot_be() {
    assert_snapshot!(
        with(
            "== models/a.sql
{{ config(interval='day', event_time='event_at', schedule='0 5 * * *') }}
select event_at from {{ ref('daily') }}
== models/b.sql
{{ config(interval='day', event_time='event_at', schedule='0 * * * *') }}
select event_at from {{ ref('daily') }}
== models/c.sql
{{ config(interval='day', event_time='event_at', schedule='0 * * * *', partial=true) }}
select event_at from {{ ref('daily') }}
== models/v.sql
{{ config(schedule='0 * * * *') }}
select event_at from {{ ref('daily') }}
== models/schema.yml
models:
  - name: a
    config:
      schedule: '0 6 * * *'
"
        ),
        @"
        error[MG1203]: the model `a` has two schedules that differ
          --> models/a.sql:1:50
          --> models/schema.yml:4:17  the other schedule
        do: remove one of them

        error[MG1204]: the schedule of `b` ticks more often than its intervals end, so most ticks would do nothing
          --> models/b.sql:1:50
        do: make the interval or the schedule match, or set `partial=true` to fill the open interval too

        error[MG1210]: `schedule` has no meaning for a view or an ephemeral model: it stores nothing
          --> models/v.sql:1:11
        do: write `materialized='table'` or `interval='day'`, or remove `schedule`
        "
    );
}

#[test]
fn windows_and_restate_on_of_what_cannot_have_them() {
    assert_snapshot!(
        with(
            "== seeds/countries.csv
code
kr
== models/users.sql
{{ config(materialized='table') }}
select 1 as id
== models/a.sql
{{ config(
    interval='day', event_time='event_at',
    reads={'users': 'last 7 days', 'dayly': 'last 7 days', 'daily': 'last 7 days'},
    restate_on=['countries', 'country']
) }}
select event_at from {{ ref('daily') }}, {{ ref('users') }}, {{ ref('countries') }}
== models/b.sql
{{ config(materialized='table', reads={'daily': 'last 7 days'}, lookback=2) }}
select event_at from {{ ref('daily') }}
"
        ),
        @"
        error[MG1207]: `reads` names `dayly`, which the model `a` does not read
          --> models/a.sql:3:5
        do: write `daily`

        error[MG1206]: `reads` asks for a window of `users`, which has no intervals: it is read as a whole
          --> models/a.sql:3:5
        do: remove it, or give `users` an interval or an event time

        error[MG1207]: `restate_on` names `country`, which the model `a` does not read
          --> models/a.sql:4:5
        do: remove it; the model reads `countries`, `daily` and `users`

        error[MG1208]: `reads` has a meaning only for a model that is filled by intervals
          --> models/b.sql:1:33
        do: add `interval='day'`, or remove `reads`

        error[MG1208]: `lookback` has a meaning only for a model that is filled by intervals
          --> models/b.sql:1:65
        do: add `interval='day'`, or remove `lookback`
        "
    );
}

#[test]
fn keys_that_cannot_be() {
    assert_snapshot!(
        with(
            "== models/a.sql
{{ config(interval='day', event_time='event_at', keys={'country': 'select code from countries'}) }}
select event_at from {{ ref('daily') }}
== models/b.sql
{{ config(interval='day', event_time='event_at', keys={'country': ['kr', 'jp']}) }}
select event_at from {{ ref('daily') }} where country = '{{ key.contry }}'
== models/c.sql
select '{{ key.country }}' as x
== models/d.sql
{{ config(materialized='view', keys={'country': ['kr']}) }}
select 1 as x
== models/e.sql
{{ config(materialized='table', keys={'country': ['kr', 'kr'], '_day': ['x'], 'city': [], 'place': ['a=b'], 'n': [none]}) }}
select 1 as x
== models/f.sql
{{ config(materialized='table', keys=['kr']) }}
select 1 as x
"
        ),
        @r#"
        error[MG1112]: the key `country` is given by a query, but a list is needed here
          --> models/a.sql:1:50
        do: write each key column with its values: `keys={'country': ['kr', 'jp']}`

        error[MG1112]: model `b` has no key `contry`
          --> models/b.sql:2:61
        do: write `key.country`

        error[MG1112]: model `c` has no key `country`
          --> models/c.sql:1:12
        do: add `keys={'country': ['…']}` to `config()`; it has the keys: none

        error[MG1112]: `keys` has no meaning for a view or an ephemeral model: it stores nothing
          --> models/d.sql:1:32
        do: write `materialized='table'` or `interval='day'`, or remove `keys`

        error[MG1112]: the key `_day` is no name for a column
          --> models/e.sql:1:33
        do: write each key column with its values: `keys={'country': ['kr', 'jp']}`

        error[MG1112]: the key `city` has no values
          --> models/e.sql:1:33
        do: write each key column with its values: `keys={'country': ['kr', 'jp']}`

        error[MG1112]: the key `country` has the same value twice
          --> models/e.sql:1:33
        do: write each key column with its values: `keys={'country': ['kr', 'jp']}`

        error[MG1112]: the key `n` has a value that is no text
          --> models/e.sql:1:33
        do: write each key column with its values: `keys={'country': ['kr', 'jp']}`

        error[MG1112]: the key `place` has a value that is empty or holds one of `[ ] , = /`
          --> models/e.sql:1:33
        do: write each key column with its values: `keys={'country': ['kr', 'jp']}`

        error[MG1006]: `keys` cannot be `["kr"]`
          --> models/f.sql:1:33
        do: write each key column with its values: `keys={'country': ['kr', 'jp']}`
        "#
    );
}

#[test]
fn incremental_without_intervals() {
    assert_snapshot!(
        with(
            "== models/a.sql
{{ config(materialized='incremental', unique_key='id') }}
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
        error[MG1209]: an incremental model is filled by intervals here; other strategies are not done
          --> models/a.sql:1:11
        do: write `interval='day'`, or `incremental_strategy='microbatch', batch_size='day'`

        error[MG1005]: `config()` has no key `unique_key`
          --> models/a.sql:1:39
        do: remove it; known here are `materialized`, `incremental_strategy`, `batch_size`, `interval`, `event_time`, `begin`, `end`, `lookback` and 16 more

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

#[test]
fn descriptions_and_tests_of_what_is_not_there() {
    assert_snapshot!(
        with(
            "== seeds/countries.csv
code
kr
== models/gentle.sql
{{ config(materialized='ephemeral') }}
select 1 as x
== models/schema.yml
models:
  - name: dayly
  - name: countries
  - description: nameless
  - name: gentle
    columns: [{name: x, tests: [unique]}]
  - name: daily
    data_tests:
      - unique
    columns:
      - name: user_id
        data_tests:
          - nott_null
          - accepted_values
          - accepted_values: {value: [a]}
          - relationships: {to: ref('countrys'), field: code}
          - relationships: {to: ref('countries')}
          - not_null: {config: {severity: fatal}}
          - 7
seeds:
  - name: daily
sources:
  - name: raw
    tables: [{name: event}]
"
        ),
        @"
        error[MG1015]: there is no model `dayly` to describe
          --> models/schema.yml:2:11
        do: write `daily`, or remove the description

        error[MG1015]: there is no model `countries` to describe
          --> models/schema.yml:3:11
        do: move it under `seeds:`

        error[MG1007]: an item of `models` has no name
          --> models/schema.yml:4:5
        do: add `name: …`

        error[MG1016]: the model `gentle` is ephemeral: it has no rows of its own to test
          --> models/schema.yml:6:33
        do: make it a view, or test the models that read it

        error[MG1016]: the data test does not say its column
          --> models/schema.yml:9:9
        do: write `- not_null`, or `- accepted_values: {values: [a, b]}`

        error[MG1016]: there is no data test `nott_null`
          --> models/schema.yml:13:13
        do: write `not_null`

        error[MG1016]: `accepted_values` needs its list of `values`
          --> models/schema.yml:14:13
        do: write `- not_null`, or `- accepted_values: {values: [a, b]}`

        error[MG1016]: `accepted_values` needs its list of `values`
          --> models/schema.yml:15:13
        do: write `- not_null`, or `- accepted_values: {values: [a, b]}`

        error[MG1005]: the data test `accepted_values` has no key `value`
          --> models/schema.yml:15:31
        do: write `values`, or remove it

        error[MG1104]: a data test of `daily` refers to `countrys`, which is not in this project
          --> models/schema.yml:16:13
        do: write `to: ref('countries')`

        error[MG1016]: `relationships` needs `to: ref('…')` and `field:`
          --> models/schema.yml:17:13
        do: write `- not_null`, or `- accepted_values: {values: [a, b]}`

        error[MG1016]: `severity` is `error` or `warn`
          --> models/schema.yml:18:43
        do: write `- not_null`, or `- accepted_values: {values: [a, b]}`

        error[MG1016]: a data test is one word, or one word with its arguments
          --> models/schema.yml:19:13
        do: write `- not_null`, or `- accepted_values: {values: [a, b]}`

        error[MG1015]: there is no seed `daily` to describe
          --> models/schema.yml:21:11
        do: move it under `models:`

        error[MG1015]: there is no source `raw.event` to describe
          --> models/schema.yml:24:21
        do: write `raw.events`, or declare it in `mulgil.yml`
        "
    );
}

#[test]
fn keys_with_more_values_than_can_be_rendered() {
    let values: Vec<String> = (0..40).map(|value| format!("'{value}'")).collect();
    let values = values.join(", ");
    let shown = faults(&format!(
        "== models/m.sql\n{{{{ config(materialized='table', keys={{'a': [{values}], 'b': [{values}]}}) }}}}\nselect '{{{{ key.a }}}}' as x\n"
    ));
    assert_snapshot!(shown, @"
    error[MG1103]: the keys have more than 1000 values together, each with SQL of its own
      --> models/m.sql:1:33
    do: group by the column instead of having it as a key, or make several models
    ");
}

#[cfg(unix)]
#[test]
fn links_that_lead_back() {
    let folder = Folder::new("== models/a.sql\nselect 1 as a\n== models/deep/b.sql\nselect 1 as b\n== macros/m.sql\n");
    let link = |to: &str, at: &str| {
        std::os::unix::fs::symlink(to, folder.path().join(at)).expect("links can be made");
    };
    link(".", "models/self");
    link(".", "models/self2");
    link("..", "models/deep/up");
    link("../..", "models/deep/out");
    link("deep", "models/beside");
    assert_snapshot!(printed(&folder.load()), @"
    error[MG1002]: the folder is a link to `models/deep`, whose files are read already
      --> models/beside
    do: remove the link, or keep it out with `.mulgilignore`

    error[MG1002]: the folder is a link to `.`, whose files are read already
      --> models/deep/out
    do: remove the link, or keep it out with `.mulgilignore`

    error[MG1002]: the folder is a link to `models`, whose files are read already
      --> models/deep/up
    do: remove the link, or keep it out with `.mulgilignore`

    error[MG1002]: the folder is a link to `models`, whose files are read already
      --> models/self
    do: remove the link, or keep it out with `.mulgilignore`

    error[MG1002]: the folder is a link to `models`, whose files are read already
      --> models/self2
    do: remove the link, or keep it out with `.mulgilignore`
    ");
    folder.write(
        ".mulgilignore",
        "models/self*\nmodels/deep/up\nmodels/deep/out\nmodels/beside\n",
    );
    assert_eq!(printed(&folder.load()), "");
}

#[cfg(unix)]
#[test]
fn a_link_to_a_folder_elsewhere_is_followed_once() {
    let elsewhere = Folder::new("== shared/c.sql\nselect 1 as c\n");
    let folder = Folder::new("== models/a.sql\nselect 1 as a\n");
    let target = elsewhere.path().join("shared");
    std::os::unix::fs::symlink(&target, folder.path().join("models/shared")).expect("links can be made");
    std::os::unix::fs::symlink(&target, target.join("again")).expect("links can be made");
    let shown = printed(&folder.load());
    assert!(shown.contains("--> models/shared/again"), "{shown}");
    assert_eq!(shown.matches("error[").count(), 1, "{shown}");
}

#[test]
fn a_relationship_to_what_is_switched_off() {
    let shown = faults(
        "== models/off.sql
{{ config(enabled=false) }}
select 1 as id
== models/a.sql
{{ config(materialized='table') }}
select 1 as id
== models/schema.yml
models:
  - name: a
    columns:
      - {name: id, data_tests: [{relationships: {to: ref('off'), field: id}}]}
",
    );
    assert_snapshot!(shown, @"
    error[MG1104]: a data test of `a` refers to `off`, which is switched off
      --> models/schema.yml:4:33
    do: set `enabled: true` for `off`, or remove the test
    ");
}

#[test]
fn a_manifest_that_is_a_folder() {
    let folder = Folder::new("== mulgil.yml/inside.txt\n");
    assert_eq!(
        mulgil_project::find_root(&folder.path().join("mulgil.yml")).as_deref(),
        Some(folder.path())
    );
    assert_snapshot!(printed(&folder.load()), @"
    error[MG1002]: `mulgil.yml` is a folder, but a file is needed
      --> mulgil.yml
    do: rename the folder, and write a file `mulgil.yml` with a `name:`
    ");
}

#[test]
fn names_that_are_too_long() {
    let long = "n".repeat(64);
    let shown = faults(&format!(
        "== mulgil.yml
name: {long}
environments: {{{long}: {{}}}}
== models/{long}.sql
select 1 as a
== models/b.sql
{{{{ config(schema='{long}', alias='{long}') }}}}
select 1 as b
"
    ));
    assert_snapshot!(shown.replace(&long, "<64 letters>"), @"
    error[MG1009]: `schema` cannot be `<64 letters>`: it is longer than 63 letters
      --> models/b.sql:1:11
    do: use letters, digits and `_`, beginning with a letter

    error[MG1009]: `alias` cannot be `<64 letters>`: it is longer than 63 letters
      --> models/b.sql:1:86
    do: use letters, digits and `_`, beginning with a letter

    error[MG1009]: a model or seed cannot be named `<64 letters>`: it is longer than 63 letters
      --> models/<64 letters>.sql
    do: rename the file; its name is the table's name

    error[MG1009]: the project cannot be named `<64 letters>`: it is longer than 63 letters
      --> mulgil.yml:1:7
    do: use letters, digits and `_`, beginning with a letter

    error[MG1009]: `<64 letters>` cannot name an environment
      --> mulgil.yml:2:16
    do: use at most 63 letters, digits and `_`
    ");
    let shown = faults(&format!(
        "== mulgil.yml\nname: {}\n== models/a.sql\nselect 1 as a\n",
        "n".repeat(63)
    ));
    assert_eq!(shown, "");
}
