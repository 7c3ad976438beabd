//! Grids, schedules and windows.

use insta::assert_snapshot;

use super::with;

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
