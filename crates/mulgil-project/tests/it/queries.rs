//! The queries that are handed to the engine.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

use insta::assert_snapshot;
use mulgil_core::{
    interval::{Instant, Interval},
    name::{Instance, NodeName},
    port::SourceSeen,
    task::{Binding, Column, FileSeen, FillQuery, Reads},
};
use mulgil_project::{LoadOptions, Loaded, RunFacts};

use crate::{Folder, json, loaded, node};

const TEXT: &str = "== mulgil.yml
name: shop
sources:
  raw:
    events: {files: 'data/events_{YYYYMMDD}.csv', event_time: event_at}
    weather: {files: weather.csv, event_time: at}
== weather.csv
== seeds/countries.csv
code
kr
== models/events.sql
{{ config(interval='day', event_time='event_at', begin='2022-01-01', keys={'country': ['kr', 'jp']}) }}
select * from {{ source('raw', 'events') }} where country = '{{ key.country }}'
== models/paid.sql
select * from {{ ref('events') }} where amount > 0
== models/users.sql
{{ config(materialized='table') }}
select distinct user_id from {{ ref('paid') }}
== models/monthly.sql
{{ config(interval='month', event_time='month', begin='2022-01-01') }}
select date_trunc('month', event_at) as month, count(*) as n from {{ ref('paid') }} group by 1
== models/daily.sql
{{ config(interval='day', event_time='day', begin='2022-01-01', keys={'country': ['kr', 'jp']}, reads={'events': 'last 3 days'}) }}
select date '{{ ds }}' as day, '{{ interval.start }}' as a, {{ interval.end | epoch }} as b, '{{ interval.start | date('%d.%m.%Y') }}' as c,
  '{{ ds_nodash }}' as d, '{{ model.batch.event_time_end }}' as e
from {{ ref('paid') }}, {{ ref('users') }}, {{ ref('monthly') }}, {{ ref('countries') }}, {{ ref('events').render() }}, {{ source('raw', 'weather') }}
{% if is_incremental() %}where x > (select max(x) from {{ this }}){% endif %}
";

fn range(from: &str, to: &str) -> Interval {
    let at = |text: &str| Instant::from_timestamp(format!("{text}T00:00:00Z").parse().expect("is a timestamp"));
    Interval::new(at(from), at(to)).expect("it is not empty")
}

fn seen() -> BTreeMap<NodeName, SourceSeen> {
    let file = |day: u32| FileSeen {
        path: PathBuf::from(format!("data/events_202201{day:02}.csv")),
        size: 1,
        modified_ns: 0,
        content: format!("{day:032}"),
        interval: Some(range(&format!("2022-01-{day:02}"), &format!("2022-01-{:02}", day + 1))),
    };
    let events = SourceSeen {
        files: (1..20).map(file).collect(),
        columns: vec![Column {
            name: "event_at".to_owned(),
            data_type: "Timestamp(Microsecond, Some(\"UTC\"))".to_owned(),
        }],
        hours: Vec::new(),
        read_as: None,
    };
    [(NodeName::new("raw.events"), events)].into()
}

fn fill(project: &Loaded, instance: &str, range: Interval, is_incremental: bool) -> Vec<FillQuery> {
    let compiler = project.compiler.as_ref().expect("it has no faults");
    compiler
        .fill_queries(
            &Instance::parse(instance).expect("is an instance"),
            range,
            is_incremental,
            &seen(),
        )
        .expect("it can be rendered")
}

/// Queries as text: the SQL, and what each name reads.
fn shown(queries: &[FillQuery]) -> String {
    let mut out = String::new();
    for query in queries {
        let _ = writeln!(out, "-- {:?}\n{}", query.range, query.sql.trim());
        bindings(&query.bindings, 1, &mut out);
    }
    out
}

fn bindings(all: &[Binding], depth: usize, out: &mut String) {
    for binding in all {
        let schema = binding
            .schema
            .as_ref()
            .map(|schema| format!("{schema}."))
            .unwrap_or_default();
        let _ = write!(out, "{}{schema}{} = ", "  ".repeat(depth), binding.name);
        match &binding.reads {
            Reads::Table {
                relation,
                event_time,
                scope,
                key,
                ..
            } => {
                let _ = writeln!(out, "{relation} {event_time:?} {scope:?} [{key}]");
            }
            Reads::Source {
                source,
                columns,
                scope,
                files,
            } => {
                let files: Vec<String> = files.iter().map(|file| file.path.display().to_string()).collect();
                let _ = writeln!(out, "{} {scope:?} {} columns {files:?}", source.name, columns.len());
            }
            Reads::Seed { source, file } => {
                let _ = writeln!(out, "{} seed {}", source.name, file.path.display());
            }
            Reads::Query { sql, bindings: inner } => {
                let _ = writeln!(out, "({})", sql.trim());
                bindings(inner, depth + 1, out);
            }
        }
    }
}

#[test]
fn row_by_row_sql_is_one_query_over_all() {
    let project = loaded(TEXT);
    let queries = fill(&project, "events[country=kr]", range("2022-01-03", "2022-01-06"), true);
    assert_snapshot!(shown(&queries), @r#"
    -- 2022-01-03T00:00:00Z..2022-01-06T00:00:00Z
    select * from "raw"."events" where country = 'kr'
      raw.events = raw.events Some(2022-01-03T00:00:00Z..2022-01-06T00:00:00Z) 1 columns ["data/events_20220103.csv", "data/events_20220104.csv", "data/events_20220105.csv"]
    "#);
}

#[test]
fn a_window_is_one_query_for_each_interval() {
    let project = loaded(TEXT);
    let queries = fill(&project, "daily[country=jp]", range("2022-01-03", "2022-01-05"), true);
    assert_snapshot!(shown(&queries), @r#"
    -- 2022-01-03T00:00:00Z..2022-01-04T00:00:00Z
    select date '2022-01-03' as day, '2022-01-03T00:00:00+00:00' as a, 1641254400 as b, '03.01.2022' as c,
      '20220103' as d, '2022-01-04T00:00:00+00:00' as e
    from "paid", "users", "monthly", "countries", "__all"."events", "raw"."weather"
    where x > (select max(x) from "shop"."daily")
      paid = (select * from "events" where amount > 0)
        events = shop.events Some("event_at") Some(2022-01-01T00:00:00Z..2022-01-04T00:00:00Z) [country=jp]
      users = shop.users None None []
      monthly = shop.monthly Some("month") Some(2022-01-01T00:00:00Z..2022-02-01T00:00:00Z) []
      countries = shop.countries None None []
      __all.events = shop.events Some("event_at") None [country=jp]
      raw.weather = raw.weather Some(2022-01-03T00:00:00Z..2022-01-04T00:00:00Z) 0 columns []
      shop.daily = shop.daily Some("day") None [country=jp]
    -- 2022-01-04T00:00:00Z..2022-01-05T00:00:00Z
    select date '2022-01-04' as day, '2022-01-04T00:00:00+00:00' as a, 1641340800 as b, '04.01.2022' as c,
      '20220104' as d, '2022-01-05T00:00:00+00:00' as e
    from "paid", "users", "monthly", "countries", "__all"."events", "raw"."weather"
    where x > (select max(x) from "shop"."daily")
      paid = (select * from "events" where amount > 0)
        events = shop.events Some("event_at") Some(2022-01-02T00:00:00Z..2022-01-05T00:00:00Z) [country=jp]
      users = shop.users None None []
      monthly = shop.monthly Some("month") Some(2022-01-01T00:00:00Z..2022-02-01T00:00:00Z) []
      countries = shop.countries None None []
      __all.events = shop.events Some("event_at") None [country=jp]
      raw.weather = raw.weather Some(2022-01-04T00:00:00Z..2022-01-05T00:00:00Z) 0 columns []
      shop.daily = shop.daily Some("day") None [country=jp]
    "#);
}

#[test]
fn the_first_fill_is_not_incremental() {
    let project = loaded(TEXT);
    let queries = fill(&project, "daily[country=jp]", range("2022-01-03", "2022-01-04"), false);
    assert!(!queries[0].sql.contains("where"), "{}", queries[0].sql);
    assert!(queries[0].bindings.iter().all(|binding| binding.name != "daily"));
}

#[test]
fn a_table_and_a_month_read_through_a_view() {
    let project = loaded(TEXT);
    assert_snapshot!(shown(&fill(&project, "users", Interval::WHOLE, true)), @r#"
    -- -inf..+inf
    select distinct user_id from "paid"
      paid = (select * from "events" where amount > 0)
        events = shop.events Some("event_at") None []
    "#);
    assert_snapshot!(shown(&fill(&project, "monthly", range("2022-01-01", "2022-03-01"), true)), @r#"
    -- 2022-01-01T00:00:00Z..2022-03-01T00:00:00Z
    select date_trunc('month', event_at) as month, count(*) as n from "paid" group by 1
      paid = (select * from "events" where amount > 0)
        events = shop.events Some("event_at") Some(2022-01-01T00:00:00Z..2022-03-01T00:00:00Z) []
    "#);
    assert_snapshot!(shown(&fill(&project, "paid", Interval::WHOLE, true)), @r#"
    -- -inf..+inf
    select * from "events" where amount > 0
      events = shop.events Some("event_at") None []
    "#);
}

#[test]
fn a_seed_reads_its_file() {
    let project = loaded(TEXT);
    let mut queries = fill(&project, "countries", Interval::WHOLE, false);
    if let Reads::Seed { file, .. } = &mut queries[0].bindings[0].reads {
        file.modified_ns = 0;
    }
    assert_snapshot!(json(&queries), @r#"
    [
      {
        "range": {
          "start": -9223372036854775808,
          "end": 9223372036854775807
        },
        "sql": "select * from \"countries\"",
        "bindings": [
          {
            "schema": null,
            "name": "countries",
            "reads": {
              "kind": "seed",
              "source": {
                "name": "countries",
                "files": {
                  "single": "seeds/countries.csv"
                },
                "format": "csv",
                "delimiter": ",",
                "null_words": [],
                "grid": {
                  "cut": "whole",
                  "zone": "UTC",
                  "begin": null,
                  "end": null
                },
                "event_time": null,
                "zone": "UTC",
                "columns": {},
                "description": null,
                "place": {
                  "file": "seeds/countries.csv"
                }
              },
              "file": {
                "path": "seeds/countries.csv",
                "size": 8,
                "modified_ns": 0,
                "content": "7938fad82a03b9c2fe535b59c026e996",
                "interval": null
              }
            }
          }
        ]
      }
    ]
    "#);
}

#[test]
fn explicit_batches_cut_the_range() {
    let text = TEXT.replace(
        "keys={'country': ['kr', 'jp']}) }}\nselect * from",
        "keys={'country': ['kr', 'jp']}, batch=2) }}\nselect * from",
    );
    let project = loaded(&text);
    let ranges: Vec<Interval> = fill(&project, "events[country=kr]", range("2022-01-03", "2022-01-08"), true)
        .iter()
        .map(|query| query.range)
        .collect();
    assert_eq!(
        ranges,
        [
            range("2022-01-03", "2022-01-05"),
            range("2022-01-05", "2022-01-07"),
            range("2022-01-07", "2022-01-08")
        ]
    );
}

#[test]
fn a_person_may_name_whatever_exists() {
    let project = loaded(TEXT);
    let compiler = project.compiler.as_ref().expect("it has no faults");
    let all = compiler.query_bindings(&|name| name.as_str() != "monthly", &seen());
    let mut out = String::new();
    bindings(&all, 0, &mut out);
    assert_snapshot!(out, @r#"
    shop.countries = shop.countries None None []
    countries = shop.countries None None []
    shop.events = shop.events Some("event_at") None []
    events = shop.events Some("event_at") None []
    shop.paid = (select * from "events" where amount > 0)
      events = shop.events Some("event_at") None []
    paid = (select * from "events" where amount > 0)
      events = shop.events Some("event_at") None []
    shop.users = shop.users None None []
    users = shop.users None None []
    shop.daily = shop.daily Some("day") None []
    daily = shop.daily Some("day") None []
    raw.events = raw.events None 1 columns ["data/events_20220101.csv", "data/events_20220102.csv", "data/events_20220103.csv", "data/events_20220104.csv", "data/events_20220105.csv", "data/events_20220106.csv", "data/events_20220107.csv", "data/events_20220108.csv", "data/events_20220109.csv", "data/events_20220110.csv", "data/events_20220111.csv", "data/events_20220112.csv", "data/events_20220113.csv", "data/events_20220114.csv", "data/events_20220115.csv", "data/events_20220116.csv", "data/events_20220117.csv", "data/events_20220118.csv", "data/events_20220119.csv"]
    raw.weather = raw.weather None 0 columns []
    "#);
}

#[test]
fn data_tests_are_queries_whose_rows_are_failures() {
    let project = loaded(&format!(
        "{TEXT}== models/schema.yml
models:
  - name: paid
    columns:
      - name: code
        data_tests:
          - not_null
          - unique
          - accepted_values: {{values: [kr, \"it's\"]}}
          - accepted_values: {{values: [1, 2], quote: false}}
          - relationships: {{to: ref('countries'), field: code}}
"
    ));
    let compiler = project.compiler.as_ref().expect("it has no faults");
    let paid = node(&project, "paid");
    let mut out = String::new();
    for test in &paid.tests {
        let bound = compiler
            .bound_test(&paid.name, test, &seen())
            .expect("the test can be bound");
        let _ = writeln!(out, "{}: {}", test.name, bound.sql);
        bindings(&bound.bindings, 1, &mut out);
    }
    assert_snapshot!(out, @r#"
    not_null_paid_code: select * from "paid" where "code" is null
      paid = (select * from "events" where amount > 0)
        events = shop.events Some("event_at") None []
    unique_paid_code: select "code", count(*) as __rows from "paid" where "code" is not null group by "code" having count(*) > 1
      paid = (select * from "events" where amount > 0)
        events = shop.events Some("event_at") None []
    accepted_values_paid_code__kr__it_s: select "code", count(*) as __rows from "paid" where cast("code" as varchar) not in ('kr', 'it''s') group by "code"
      paid = (select * from "events" where amount > 0)
        events = shop.events Some("event_at") None []
    accepted_values_paid_code__False__1__2: select "code", count(*) as __rows from "paid" where "code" not in (1, 2) group by "code"
      paid = (select * from "events" where amount > 0)
        events = shop.events Some("event_at") None []
    relationships_paid_code__code__ref_countries_: select child.* from "paid" as child left join (select distinct "code" as parent_key from "countries") as parent on child."code" = parent.parent_key where child."code" is not null and parent.parent_key is null
      paid = (select * from "events" where amount > 0)
        events = shop.events Some("event_at") None []
      countries = shop.countries None None []
    "#);
}

#[test]
fn a_data_test_over_a_view_reads_the_files_of_its_sources() {
    let project = loaded(
        "== mulgil.yml
name: shop
sources: {raw: {events: {files: 'data/events_{YYYYMMDD}.csv', event_time: event_at}}}
== models/shown.sql
{{ config(materialized='view') }}
select * from {{ source('raw', 'events') }}
== models/schema.yml
models:
  - {name: shown, columns: [{name: id, data_tests: [not_null]}]}
",
    );
    let compiler = project.compiler.as_ref().expect("it has no faults");
    let view = node(&project, "shown");
    let bound = compiler
        .bound_test(&view.name, &view.tests[0], &seen())
        .expect("the test can be bound");
    let Reads::Query { bindings, .. } = &bound.bindings[0].reads else {
        panic!("a view is a query");
    };
    assert!(matches!(&bindings[0].reads, Reads::Source { files, .. } if files.len() == 19));
}

#[test]
fn a_run_has_a_start_and_an_id() {
    let project = loaded(
        "== models/a.sql\n{{ config(materialized='table') }}\nselect '{{ run_started_at }}' as a, '{{ invocation_id }}' as b\n",
    );
    let compiler = project.compiler.as_ref().expect("it has no faults");
    let a = Instance::of(NodeName::new("a"));
    let fault = compiler.rendered(&a, Interval::WHOLE).expect_err("there is no run");
    assert_snapshot!(fault.to_string(), @"
    error[MG1113]: `run_started_at` has a value only in a run
      --> models/a.sql:2:12
    do: run the model, or use `interval.start` or the function `now()` of SQL
    ");
    let in_run = compiler.for_run(RunFacts {
        started_at: range("2022-01-03", "2022-01-04").start,
        invocation_id: "run-7".to_owned(),
    });
    assert_snapshot!(in_run.rendered(&a, Interval::WHOLE).expect("it can be rendered"), @"

    select '2022-01-03T00:00:00+00:00' as a, 'run-7' as b
    ");
}

#[test]
fn what_the_environment_gave_is_known() {
    let folder = Folder::new(
        "== models/a.sql
{{ config(materialized='table') }}
select '{{ env_var('DB_PASSWORD') }}' as a, '{{ env_var('REGION', 'seoul') }}' as b, '{{ env_var('ABSENT', 'written') }}' as c
",
    );
    let values = [("DB_PASSWORD", "hunter22"), ("REGION", "seoul"), ("OTHER", "unused")];
    let options = LoadOptions {
        env: values.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ..LoadOptions::default()
    };
    let project = mulgil_project::load(folder.path(), &options);
    let compiler = project.compiler.expect("it has no faults");
    assert_eq!(compiler.secrets(), ["hunter22"]);
}

#[test]
fn a_node_that_is_not_there() {
    let project = loaded(TEXT);
    let compiler = project.compiler.as_ref().expect("it has no faults");
    let fault = compiler
        .rendered(&Instance::of(NodeName::new("nothing")), Interval::WHOLE)
        .expect_err("it is not there");
    assert_snapshot!(fault.to_string(), @"
    error[MG0002]: the project has no model or seed `nothing`
    do: look at `mulgil status` for the names
    ");
}
