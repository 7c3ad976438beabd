//! Every fault that people can make, exactly as it is printed, by where it is made.

mod files;
mod names;
mod places;
mod settings;
mod templates;
mod time;

use crate::faults;

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
