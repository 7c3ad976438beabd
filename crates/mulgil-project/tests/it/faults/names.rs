//! Names, and what is named and not there.

use insta::assert_snapshot;

use super::with;
use crate::faults;

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
fn names_that_are_too_long() {
    let long = "n".repeat(64);
    let shown = faults(&format!(
        "== mulgil.yml
name: {long}
environments: {{{long}: {{schema_prefix: x}}}}
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
