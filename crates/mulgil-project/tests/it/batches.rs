//! Which SQL may fill many intervals at once.

use mulgil_core::project::Batch;

use crate::{loaded, node};

/// The batch of a model by day with this SQL and these further settings.
fn batch_with(settings: &str, sql: &str) -> Batch {
    let text = format!(
        "== mulgil.yml
name: shop
sources:
  raw:
    events: {{files: 'data/events_{{YYYYMMDD}}.csv', event_time: event_at}}
== models/events.sql
{{{{ config(interval='day', event_time='event_at', begin='2022-01-01') }}}}
select * from {{{{ source('raw', 'events') }}}}
== models/clicks.sql
{{{{ config(interval='hour', event_time='clicked_at', begin='2022-01-01') }}}}
select * from {{{{ source('raw', 'events') }}}}
== models/monthly.sql
{{{{ config(interval='month', event_time='month', begin='2022-01-01') }}}}
select * from {{{{ source('raw', 'events') }}}}
== models/users.sql
{{{{ config(materialized='table') }}}}
select 1 as user_id
== models/paid.sql
select event_at, user_id from {{{{ ref('events') }}}} where amount > 0
== models/firsts.sql
select user_id, min(event_at) as event_at from {{{{ ref('events') }}}} group by user_id
== models/m.sql
{{{{ config(interval='day', event_time='day', begin='2022-01-01'{settings}) }}}}
{sql}
"
    );
    node(&loaded(&text), "m").batch
}

fn many(sql: &str) {
    assert_eq!(batch_with("", sql), Batch::Unbounded, "{sql}");
}

fn one(sql: &str) {
    assert_eq!(batch_with("", sql), Batch::AtMost(1), "{sql}");
}

#[test]
fn row_by_row() {
    many("select event_at as day, upper(name) as name from {{ ref('events') }} where amount > 1");
    many("select *, event_at as day from {{ ref('events') }} order by 1");
    many("select *, date_trunc('day', event_at) as day from {{ source('raw', 'events') }}");
    many("select cast(date_trunc('hour', event_at) as timestamp) as day from {{ ref('events') }}");
    many("with a as (select * from {{ ref('events') }}) select event_at as day from a");
    many("select day from (select event_at as day from {{ ref('events') }}) as inside");
    many("select event_at as day from {{ ref('paid') }}");
    many("select clicked_at as day from {{ ref('clicks') }}");
    many("select event_at as day from {{ ref('events') }} union all select clicked_at from {{ ref('clicks') }}");
}

#[test]
fn what_looks_beyond_a_row() {
    one("select distinct event_at as day from {{ ref('events') }}");
    one("select event_at as day from {{ ref('events') }} limit 10");
    one("select max(event_at) as day from {{ ref('events') }}");
    one("select event_at as day, row_number() over (order by event_at) as n from {{ ref('events') }}");
    one("select event_at as day from {{ ref('events') }} where x > (select avg(x) from {{ ref('events') }})");
    one("select event_at as day from {{ ref('events') }} union select event_at from {{ ref('paid') }}");
    one("select user_id, event_at as day from {{ ref('firsts') }}");
    one("select day from (select event_at as day from {{ ref('events') }} limit 1) as inside");
    one("select current_date as day");
    one("select event_at as day from elsewhere");
}

#[test]
fn groups_by_the_event_time() {
    many("select date_trunc('day', event_at) as day, user_id, count(*) as n from {{ ref('events') }} group by 1, 2");
    many("select cast(event_at as date) as day, count(*) as n from {{ ref('events') }} group by day");
    many(
        "select date_trunc('day', event_at) as day, count(*) as n from {{ ref('events') }} group by date_trunc('day', event_at)",
    );
    many(
        "with a as (select date_trunc('hour', event_at) as hour, sum(x) as x from {{ ref('events') }} group by 1) select hour as day, x from a",
    );
    one("select user_id, min(event_at) as day from {{ ref('events') }} group by user_id");
    one(
        "with a as (select date_trunc('month', event_at) as month, sum(x) as x from {{ ref('events') }} group by 1) select month as day, x from a",
    );
    one("select date_trunc('day', event_at) as day, count(*) from {{ ref('events') }} group by rollup (1)");
}

#[test]
fn the_event_time_of_a_row_has_to_be_its_inputs() {
    // All rows of a month would lie in the first day, and no other day would have any.
    one("select date_trunc('month', event_at) as day, amount from {{ ref('events') }}");
    one("select date_trunc('week', event_at) as day, amount from {{ ref('events') }}");
    one("select date_trunc('month', event_at) as day, count(*) as n from {{ ref('events') }} group by 1");
    one("select event_at + interval '1 day' as day from {{ ref('events') }}");
    one("select created_at as day, count(*) as n from {{ ref('events') }} group by 1");
    one("select date_trunc('day', event_at) as shown, created_at as day from {{ ref('events') }}");
    one("select * from {{ ref('events') }}");
    one("select event_at as day from {{ ref('events') }} union all select created_at from {{ ref('clicks') }}");
    // Columns of the halves are matched by position, not by name.
    one(
        "select event_at as day, created_at from {{ ref('events') }} union all select created_at, clicked_at as day from {{ ref('clicks') }}",
    );
    many("select date_trunc('day', event_at) as day, amount from {{ ref('events') }}");
}

#[test]
fn a_sub_query_looks_beyond_a_row_wherever_it_stands() {
    // `seen` names no table by interval in its own FROM, but it is smaller for a smaller range.
    one(
        "with seen as (select * from {{ ref('users') }} where user_id in (select user_id from {{ ref('events') }})) select e.event_at as day from {{ ref('events') }} e join seen s on s.user_id = e.user_id",
    );
    one(
        "with seen as (select (select count(*) from {{ ref('events') }}) as n from {{ ref('users') }}) select e.event_at as day, s.n from {{ ref('events') }} e, seen s",
    );
    one(
        "select e.event_at as day from {{ ref('events') }} e join {{ ref('users') }} u on u.user_id in (select user_id from {{ ref('events') }})",
    );
    one(
        "select e.event_at as day from {{ ref('events') }} e left join {{ ref('users') }} u on u.user_id = e.user_id and exists (select 1 from {{ ref('events') }})",
    );
    one("select event_at as day from {{ ref('events') }} where x > all (select x from {{ ref('events') }})");
}

#[test]
fn joins_by_the_event_time() {
    many(
        "select e.event_at as day from {{ ref('events') }} e join {{ ref('paid') }} p on e.event_at = p.event_at and e.user_id = p.user_id",
    );
    many(
        "select e.event_at as day from {{ ref('events') }} e left join {{ ref('clicks') }} c on c.clicked_at = e.event_at",
    );
    many("select event_at as day from {{ ref('events') }} join {{ ref('paid') }} using (event_at, user_id)");
    many("select e.event_at as day from {{ ref('events') }} e left join {{ ref('users') }} u on u.user_id = e.user_id");
    many("select e.event_at as day from {{ ref('events') }} e, {{ ref('users') }} u where u.user_id = e.user_id");
    one("select e.event_at as day from {{ ref('events') }} e join {{ ref('paid') }} p on e.user_id = p.user_id");
    one("select e.event_at as day from {{ ref('events') }} e join {{ ref('paid') }} p on e.event_at >= p.event_at");
    one("select e.event_at as day from {{ ref('events') }} e, {{ ref('paid') }} p where e.event_at = p.event_at");
    one("select e.event_at as day from {{ ref('users') }} u left join {{ ref('events') }} e on u.user_id = e.user_id");
    one("select e.event_at as day from {{ ref('events') }} e join {{ ref('monthly') }} m on e.event_at = m.month");
    // The time of a row without a partner is NULL, and such rows of all days are one group.
    one(
        "with a as (select p.event_at, e.user_id from {{ ref('events') }} e left join {{ ref('paid') }} p on e.event_at = p.event_at), b as (select event_at, count(*) as n from a group by event_at) select event_at as day, n from b",
    );
}

#[test]
fn sql_that_names_the_interval_runs_for_each() {
    one("select event_at as day from {{ ref('events') }} where event_at >= '{{ interval.start }}'");
    one("select date '{{ ds }}' as day from {{ ref('events') }}");
    one("select date '{{ model.batch.event_time_start | date }}' as day from {{ ref('events') }}");
    one(
        "select event_at as day from {{ ref('events') }}{% if is_incremental() %} where event_at > (select max(day) from {{ this }}){% endif %}",
    );
    assert_eq!(
        batch_with(", batch=7", "select date '{{ ds }}' as day from {{ ref('events') }}"),
        Batch::AtMost(1)
    );
}

#[test]
fn settings_decide_where_they_may() {
    assert_eq!(
        batch_with(", batch=7", "select event_at as day from {{ ref('events') }}"),
        Batch::AtMost(7)
    );
    assert_eq!(
        batch_with(", batch=7", "select max(event_at) as day from {{ ref('events') }}"),
        Batch::AtMost(7)
    );
    assert_eq!(
        batch_with(
            ", reads={'events': 'last 7 days'}",
            "select event_at as day from {{ ref('events') }}"
        ),
        Batch::AtMost(1)
    );
    assert_eq!(
        batch_with(
            ", reads={'paid': 'last 7 days'}",
            "select event_at as day from {{ ref('paid') }}"
        ),
        Batch::AtMost(1)
    );
}
