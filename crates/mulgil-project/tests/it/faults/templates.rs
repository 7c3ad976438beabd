//! Templates, their words, and their SQL.

use insta::assert_snapshot;

use super::with;
use crate::faults;

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
