//! Flows: what their files mean, what is wrong with them, and the work of their steps for a run.

mod faults;
mod meaning;
mod render;
mod steps;

use mulgil_core::flow::Flow;
use mulgil_project::Loaded;

/// A project with something to select, to read and to run.
const SHOP: &str = "== mulgil.yml
name: shop
timezone: Asia/Seoul
sources:
  raw:
    events: {files: 'data/events_{YYYYMMDD}.csv', event_time: event_at}
notifications:
  webhook:
    alerts: {url: 'https://alerts.example/x'}
== models/sales.sql
{{ config(materialized='table', tags=['daily']) }}
select 1 as id
== models/report.sql
{{ config(materialized='table', tags=['daily', 'late']) }}
select * from {{ ref('sales') }}
== models/loud.sql
select * from {{ ref('report') }}
== sql/load.sql
delete from sales where id = :n;
insert into sales select {{ params.n }} as id
== tasks/load.py
print('{}')
";

/// The one flow of a project without faults.
fn flow(loaded: &Loaded) -> Flow {
    let project = loaded.project.as_ref().expect("it has no faults");
    project.flows.first().expect("it has a flow").clone()
}
