//! The A/B test of a shop, a dbt project as it is: its tables are those that dbt makes of it, through
//! all that changes under it. `compare.py` of the example writes the figures, from dbt's tables.

use std::fs;

use crate::harness::{Place, ab_test};

const BY_VARIANT: &str = "select variant, count(distinct user_id), count(*), sum(items), sum(clicked_items), \
    sum(purchases), sum(revenue) from main_analytics.analytics_variant_user_daily group by 1 order by 1";
const BY_AGE_BAND: &str = "select age_band, gender, sum(purchases), sum(revenue) \
    from main_analytics.analytics_variant_user_daily group by 1, 2 order by 1, 2";
const HISTORY: &str = "select user_id, age_band, gender, dbt_valid_from, dbt_valid_to from user_metadata_snapshot \
    where user_id in (select user_id from user_metadata_snapshot \
    where dbt_valid_from >= timestamp '2026-11-01 00:00:00') order by 1, 4";

/// A committed file of figures, without its header.
fn figures(name: &str) -> Vec<String> {
    let text = fs::read_to_string(ab_test().join("expected").join(name)).unwrap();
    text.lines().skip(1).map(str::to_owned).collect()
}

/// Runs; after it nothing is due.
fn run(place: &Place) {
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(place.plan(), Vec::<String>::new());
}

/// The sums over the days are those of dbt at a moment of the story.
fn equals_dbt(place: &Place, moment: &str) {
    assert_eq!(place.rows(BY_VARIANT), figures(&format!("by_variant_{moment}.csv")));
    assert_eq!(place.rows(BY_AGE_BAND), figures(&format!("by_age_band_{moment}.csv")));
}

/// Every table has as many rows as in dbt after a step of the story.
fn counts_as_dbt(place: &Place, step: &str) {
    let rows = figures("rows_by_table.csv");
    let of_step: Vec<&str> = rows.iter().filter_map(|row| row.strip_prefix(step)).collect();
    assert!(!of_step.is_empty(), "no step `{step}`");
    for row in of_step {
        let (table, count) = row.trim_start_matches(',').split_once(',').unwrap();
        assert_eq!(
            place.rows(&format!("select count(*) from {table}")),
            [count],
            "rows of {table}"
        );
    }
}

fn append_events(place: &Place) {
    let read = |path: &str| fs::read_to_string(place.path().join(path)).unwrap();
    let events = read("seeds/user_event.csv") + &read("changes/more_events.csv");
    place.write("seeds/user_event.csv", &events);
}

fn change_answers(place: &Place, number: u8) {
    let changed = place.path().join(format!("changes/user_metadata_{number}.csv"));
    fs::copy(changed, place.path().join("seeds/user_metadata.csv")).unwrap();
}

#[test]
fn a_dbt_project_as_it_is_has_the_tables_that_dbt_makes() {
    let place = Place::ab_test();
    let first = place.mulgil(&["run"]).ends_with(0);
    // Some events are of users in no variant; that test only tells.
    assert!(first.stderr.contains("23 of 24 data tests passed"), "{}", first.stderr);
    assert!(first.stderr.contains("158 rows"), "{}", first.stderr);
    assert_eq!(place.plan(), Vec::<String>::new());
    equals_dbt(&place, "first");
    counts_as_dbt(&place, "1 first build");

    append_events(&place);
    for _ in 0..2 {
        run(&place);
        equals_dbt(&place, "more_events");
        assert_eq!(
            place.rows("select count(*), count(distinct event_id), max(event_id) from fact_user_event"),
            ["3840,3840,3840"]
        );
    }

    for number in 1..=3 {
        change_answers(&place, number);
        run(&place);
    }
    equals_dbt(&place, "answers");
    assert_eq!(place.rows(HISTORY), figures("history_answers.csv"));
    counts_as_dbt(&place, "3 answers changed 3");

    place.edit("dbt_project.yml", "+materialized: view", "+materialized: ephemeral");
    let plan = place.mulgil(&["plan", "--json"]).ends_with(0).json();
    assert_eq!(plan["steps"], serde_json::json!([]));
    assert_eq!(
        plan["undeclared"],
        serde_json::json!([
            {"relation": "main.src_user_event", "kind": "view"},
            {"relation": "main.src_user_metadata", "kind": "view"},
            {"relation": "main.src_user_variant", "kind": "view"},
        ])
    );
    run(&place);
    equals_dbt(&place, "answers");
    counts_as_dbt(&place, "4 src ephemeral");
}
