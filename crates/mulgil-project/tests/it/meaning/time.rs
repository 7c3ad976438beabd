//! How the time of a model is cut.

use insta::assert_snapshot;
use mulgil_core::interval::Instant;

use super::table;
use crate::{loaded, node};

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
