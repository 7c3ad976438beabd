//! Nested JSON from files to figures: events with parameters and items, as web analytics exports them.

use crate::harness::Place;

/// Two days of events. Whole numbers are text, what is NULL is left out, so that objects of one array
/// have different keys.
fn web() -> Place {
    let place = Place::of(
        "\
=== mulgil.yml
name: web
models: {web: {+begin: 2026-03-20, +end: 2026-03-23}}
sources:
  ga4:
    events: {files: 'data/events_{YYYYMMDD}.json'}
=== models/events.sql
{{ config(interval='day', event_time='day') }}
select date '{{ interval.start | date }}' as day, user_id, event_name, event_params, items, device
from {{ source('ga4', 'events') }}
=== models/traffic.sql
{{ config(interval='day', event_time='day') }}
with parameters as (
    select user_id, event_name, device['category'] as category, unnest(event_params) as parameter
    from {{ source('ga4', 'events') }}
),
events as (
    select user_id, event_name, category,
        max(case when parameter['key'] = 'session' then parameter['value']['int_value'] end) as session,
        max(case when parameter['key'] = 'source' then parameter['value']['string_value'] end) as source
    from parameters
    group by user_id, event_name, category
)
select date '{{ interval.start | date }}' as day, category, source,
    count(*) as events, max(cast(session as bigint)) as last_session
from events
group by category, source
=== models/sold.sql
{{ config(interval='day', event_time='day') }}
select day, item['name'] as name, sum(cast(item['quantity'] as bigint)) as quantity, sum(item['revenue']) as revenue
from (select day, unnest(items) as item from {{ ref('events') }} where event_name = 'purchase')
group by day, item['name']
",
    );
    place.write(
        "data/events_20260320.json",
        r#"{"user_id":"u1","event_name":"page_view","event_params":[{"key":"session","value":{"int_value":"7"}},{"key":"source","value":{"string_value":"naver"}}],"device":{"category":"mobile"},"items":[]}
{"user_id":"u1","event_name":"purchase","event_params":[{"key":"session","value":{"int_value":"8"}},{"key":"source","value":{"string_value":"naver"}},{"key":"value","value":{"double_value":12.5}}],"device":{"category":"mobile","web":{"browser":"Chrome"}},"items":[{"name":"bag","quantity":"2","revenue":20},{"name":"cup","quantity":"1","revenue":4.5}]}
"#,
    );
    place.write(
        "data/events_20260321.json",
        r#"{"user_id":"u2","event_name":"purchase","event_params":[{"key":"source","value":{"string_value":"google"}}],"device":null,"items":[{"name":"bag","quantity":"1","coupon":"AUTUMN"}]}
{"user_id":"u3","event_name":"scroll","event_params":[{"key":"session","value":{"int_value":"9"}}]}
"#,
    );
    place
}

#[test]
fn parameters_and_items_become_figures() {
    let place = web();
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(
        place.rows("select t['key'], t['value']['int_value'] from (select unnest(event_params) as t from ga4.events) order by 1, 2"),
        ["session,7", "session,8", "session,9", "source,", "source,", "source,", "value,"]
    );
    assert_eq!(
        place.rows("select * from traffic order by day, source"),
        [
            "2026-03-20,mobile,naver,2,8",
            "2026-03-21,,google,1,",
            "2026-03-21,,,1,9"
        ]
    );
    assert_eq!(
        place.rows("select * from sold order by day, name"),
        ["2026-03-20,bag,2,20.0", "2026-03-20,cup,1,4.5", "2026-03-21,bag,1,"]
    );
    // The table keeps what is nested as it is.
    let kept = place
        .mulgil(&[
            "query",
            "select user_id, items, device from events where day = date '2026-03-21' order by user_id",
            "-o",
            "json",
        ])
        .ends_with(0)
        .json();
    assert_eq!(
        kept,
        serde_json::json!([
            {"user_id": "u2", "items": [{"name": "bag", "quantity": "1", "revenue": null, "coupon": "AUTUMN"}], "device": null},
            {"user_id": "u3", "items": null, "device": null},
        ])
    );
    place.mulgil(&["run"]).ends_with(0);
    assert!(place.plan().is_empty(), "{:?}", place.plan());
}

#[test]
fn a_later_value_of_another_form_is_told_with_the_way_to_it() {
    let place = web();
    place.mulgil(&["run"]).ends_with(0);
    place.write(
        "data/events_20260322.json",
        "{\"user_id\":\"u4\",\"event_name\":\"purchase\",\"items\":[{\"name\":\"cup\"},{\"name\":\"bag\",\"revenue\":\"4\"}]}\n",
    );
    place
        .mulgil(&["run"])
        .ends_with(1)
        .says("`\"4\"` in `items[2].revenue` is not a number: the type there is double")
        .says("data/events_20260322.json:1:89");
}
