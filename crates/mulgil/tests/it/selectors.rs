//! What is selected on the command line is what is planned and run.

use serde_json::Value;

use crate::harness::Place;

fn chain() -> Place {
    Place::of(
        "\
=== mulgil.yml
name: shop
=== models/staging/events.sql
{{ config(materialized='table', tags=['raw']) }}
select 1 as id
=== models/marts/daily.sql
{{ config(materialized='table') }}
select id from {{ ref('events') }}
=== models/marts/monthly.sql
{{ config(materialized='table', tags=['slow']) }}
select id from {{ ref('daily') }}
",
    )
}

/// The nodes of the plan's steps.
fn planned(place: &Place, words: &[&str]) -> Vec<String> {
    let words: Vec<&str> = ["plan", "--json"].iter().chain(words).copied().collect();
    let plan = place.mulgil(&words).ends_with(0).json();
    let name = |step: &Value| step["node"].as_str().unwrap().to_owned();
    plan["steps"].as_array().unwrap().iter().map(name).collect()
}

#[test]
fn a_plan_and_a_run_take_the_same_selection() {
    let place = chain();
    assert_eq!(planned(&place, &["-s", "+daily"]), ["events", "daily"]);
    assert_eq!(
        planned(&place, &["--select", "path:models/marts", "--exclude", "tag:slow"]),
        ["daily"]
    );
    assert_eq!(planned(&place, &["events+1"]), ["events", "daily"]);
    place
        .mulgil(&["run", "-s", "@events", "--exclude", "monthly"])
        .ends_with(0);
    assert_eq!(planned(&place, &[]), ["monthly"]);
    let status = place.mulgil(&["status", "models/marts", "--json"]).ends_with(0);
    assert!(!status.stdout.contains("\"events\""), "{}", status.stdout);
}

#[test]
fn a_selector_that_names_nothing_says_so() {
    let place = chain();
    place
        .mulgil(&["run", "-s", "dayly"])
        .ends_with(5)
        .says("did you mean `daily`?");
    place.mulgil(&["plan", "-s", "tag:slwo"]).ends_with(5).says("slow");
    place
        .mulgil(&["plan", "-s", "state:modified"])
        .ends_with(2)
        .says("MG0004");
    // Where another part was found, the rest goes on.
    let plan = place.mulgil(&["plan", "-s", "daily", "path:models/none"]).ends_with(0);
    assert!(plan.stderr.contains("models/none"), "{}", plan.stderr);
    assert!(plan.stdout.contains("daily"), "{}", plan.stdout);
}
