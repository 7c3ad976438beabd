//! Edits of models: what is due after each, and how far it goes.

use crate::harness::Place;

fn january() -> Place {
    let place = Place::january();
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(place.plan(), Vec::<String>::new());
    place
}

#[test]
fn an_edit_is_due_a_comment_is_not_and_equal_rows_go_no_further() {
    let place = january();

    // Only a comment, and layout.
    place.edit(
        "models/flights.sql",
        "-- Every scheduled departure.",
        "-- Each departure that was planned.",
    );
    place.edit("models/flights.sql", "select\n", "SELECT\n\n  ");
    assert_eq!(place.plan(), Vec::<String>::new());

    // Other text, the same rows: filled again, and nothing follows.
    place.edit(
        "models/flights.sql",
        "dep_time is null as cancelled",
        "not (dep_time is not null) as cancelled",
    );
    assert_eq!(
        place.plan(),
        [
            "delays_28d 2013-01-01..2013-02-01 31 upstream?",
            "delays_daily 2013-01-01..2013-02-01 31 upstream?",
            "delays_monthly 2013-01-01..2013-02-01 1 upstream?",
            "flights 2013-01-01..2013-02-01 31 code",
            "flights_weather 2013-01-01..2013-02-01 31 upstream?",
        ]
    );
    let done = place.mulgil(&["run"]).ends_with(0);
    assert!(done.stderr.contains("filled flights@"), "{}", done.stderr);
    assert!(
        !done.stderr.contains("delays_daily"),
        "nothing follows from equal rows:\n{}",
        done.stderr
    );
    assert_eq!(place.plan(), Vec::<String>::new());

    // Another value: everything that reads it follows.
    place.edit(
        "models/delays_daily.sql",
        "count(*) as flights",
        "2 * count(*) as flights",
    );
    place.mulgil(&["run"]).ends_with(0).says("filled delays_28d@2013-01 ");
    assert_eq!(place.plan(), Vec::<String>::new());
    assert_eq!(
        place.rows("select sum(flights) / 2 from delays_monthly"),
        place.rows("select count(*) from flights")
    );
}

#[test]
fn a_new_column_is_there_for_all_days_and_a_removed_one_is_gone() {
    let place = january();
    place.edit(
        "models/delays_daily.sql",
        "count(*) as flights,",
        "count(*) as flights, max(dep_delay) as worst,",
    );
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(
        place.rows("select count(*) from delays_daily where worst is null and departed > 0"),
        ["0"]
    );
    place.edit("models/delays_daily.sql", "max(dep_delay) as worst,", "");
    place.mulgil(&["run"]).ends_with(0);
    place.mulgil(&["query", "select worst from delays_daily"]).says("worst");
}

#[test]
fn a_backfill_fills_what_it_names_and_says_so_before() {
    let place = january();
    let dry = place
        .mulgil(&[
            "backfill",
            "flights",
            "--from",
            "2013-01-10",
            "--to",
            "2013-01-13",
            "--dry-run",
        ])
        .ends_with(0);
    assert_eq!(dry.stdout, "would fill flights@2013-01-10..2013-01-13  3 intervals\n");
    assert_eq!(place.plan(), Vec::<String>::new());
    place
        .mulgil(&[
            "backfill",
            "flights",
            "--from",
            "2013-01-10",
            "--to",
            "2013-01-13",
            "--missing",
        ])
        .ends_with(0)
        .says("nothing to fill");
    place
        .mulgil(&["backfill", "flights", "--from", "2013-01-10", "--to", "2013-01-13"])
        .ends_with(0)
        .says("filled flights@2013-01-10..2013-01-13  3 intervals");
    assert_eq!(place.plan(), Vec::<String>::new());
    let runs = place.mulgil(&["runs", "ls", "--json"]).ends_with(0).json();
    assert_eq!(runs[0]["trigger"], "backfill");
    assert_eq!(runs[0]["state"], "success");
}

#[test]
fn a_failing_data_test_keeps_readers_from_new_rows() {
    let place = Place::january();
    place.edit(
        "models/schema.yml",
        "accepted_values: {values: [EWR, JFK, LGA]}",
        "accepted_values: {values: [EWR, JFK]}",
    );
    let done = place.mulgil(&["run"]).ends_with(1);
    assert!(done.stderr.contains("FAILED accepted_values"), "{}", done.stderr);
    assert!(!done.stderr.contains("filled flights_weather"), "{}", done.stderr);
    // An edited test makes only the test due; it passes, and the readers follow.
    place.edit(
        "models/schema.yml",
        "accepted_values: {values: [EWR, JFK]}",
        "accepted_values: {values: [EWR, JFK, LGA]}",
    );
    let done = place.mulgil(&["run"]).ends_with(0);
    assert!(!done.stderr.contains("filled flights@"), "{}", done.stderr);
    assert!(done.stderr.contains("filled flights_weather@"), "{}", done.stderr);
    assert_eq!(place.plan(), Vec::<String>::new());
}
