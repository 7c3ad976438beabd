//! Incremental models: rows come once, take each other's places, and tell those who read them.

use crate::harness::Place;

/// Raw events in a seed, and an incremental fact over them.
fn shop(config: &str) -> Place {
    Place::of(&format!(
        "\
=== mulgil.yml
name: shop
=== seeds/raw_events.csv
id,user_id,amount
1,kim,10
2,lee,20
=== models/fact.sql
{{{{ config(materialized='incremental'{config}) }}}}
select id, user_id, amount from {{{{ ref('raw_events') }}}}
{{% if is_incremental() %}}
where id > (select max(id) from {{{{ this }}}})
{{% endif %}}
=== models/per_user.sql
{{{{ config(materialized='table') }}}}
select user_id, sum(amount) as amount from {{{{ ref('fact') }}}} group by 1
"
    ))
}

#[test]
fn an_added_row_appears_once() {
    let place = shop("");
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(place.rows("select count(*) from fact"), ["2"]);
    place.write(
        "seeds/raw_events.csv",
        "id,user_id,amount\n1,kim,10\n2,lee,20\n3,kim,5\n",
    );
    for _ in 0..2 {
        place.mulgil(&["run"]).ends_with(0);
        assert_eq!(place.plan(), Vec::<String>::new());
        assert_eq!(
            place.rows("select id, user_id from fact order by 1"),
            ["1,kim", "2,lee", "3,kim"]
        );
        assert_eq!(
            place.rows("select user_id, amount from per_user order by 1"),
            ["kim,15", "lee,20"]
        );
    }
    // A fill that brings nothing tells nobody.
    place.write(
        "seeds/raw_events.csv",
        "id,user_id,amount\n1,kim,10\n2,lee,21\n3,kim,5\n",
    );
    let run = place.mulgil(&["run"]).ends_with(0);
    assert!(run.stderr.contains("filled fact  0 rows"), "{}", run.stderr);
    assert!(!run.stderr.contains("filled per_user"), "{}", run.stderr);
    // What was taken in before an edit stays; only `--full` makes the table anew.
    place.mulgil(&["run", "fact", "--full"]).ends_with(0);
    assert_eq!(place.rows("select amount from fact where id = 2"), ["21"]);
}

#[test]
fn a_changed_row_takes_the_place_of_the_old_one() {
    let place = shop(", unique_key='id'");
    place.edit(
        "models/fact.sql",
        "where id > (select max(id) from {{ this }})",
        "where id >= (select max(id) from {{ this }})",
    );
    place.mulgil(&["run"]).ends_with(0);
    place.write(
        "seeds/raw_events.csv",
        "id,user_id,amount\n1,kim,10\n2,lee,22\n3,kim,5\n",
    );
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(
        place.rows("select id, user_id, amount from fact order by 1"),
        ["1,kim,10", "2,lee,22", "3,kim,5"]
    );
    assert_eq!(
        place.rows("select user_id, amount from per_user order by 1"),
        ["kim,15", "lee,22"]
    );
}

#[test]
fn two_rows_of_one_key_fail_and_change_nothing() {
    let place = shop(", unique_key='user_id', incremental_strategy='merge'");
    place.mulgil(&["run"]).ends_with(0);
    place.write(
        "seeds/raw_events.csv",
        "id,user_id,amount\n1,kim,10\n2,lee,20\n3,kim,5\n4,kim,6\n",
    );
    place
        .mulgil(&["run"])
        .ends_with(1)
        .says("MG3013")
        .says("(user_id): kim");
    assert_eq!(place.rows("select count(*) from fact"), ["2"]);
    place.write(
        "seeds/raw_events.csv",
        "id,user_id,amount\n1,kim,10\n2,lee,20\n3,kim,5\n",
    );
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(
        place.rows("select id, user_id from fact order by 1"),
        ["2,lee", "3,kim"]
    );
}

/// The fact stores nothing any more.
fn becomes_a_view(place: &Place) {
    place.edit("models/fact.sql", "'incremental'", "'view'");
    place.edit(
        "models/fact.sql",
        "{% if is_incremental() %}\nwhere id > (select max(id) from {{ this }})\n{% endif %}\n",
        "",
    );
}

#[test]
fn a_view_or_a_table_that_becomes_incremental_goes_on_from_what_is_there() {
    let place = shop("");
    becomes_a_view(&place);
    place.mulgil(&["run"]).ends_with(0);
    place.edit("models/fact.sql", "'view'", "'table'");
    place.mulgil(&["run"]).ends_with(0);
    place.write(
        "models/fact.sql",
        "{{ config(materialized='incremental') }}\nselect id, user_id, amount from {{ ref('raw_events') }}\n\
         {% if is_incremental() %}\nwhere id > (select max(id) from {{ this }})\n{% endif %}\n",
    );
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(place.rows("select count(*) from fact"), ["2"]);
    becomes_a_view(&place);
    place.mulgil(&["run"]).ends_with(0);
}

#[test]
fn a_kill_at_every_write_neither_loses_nor_doubles_a_row() {
    let place = shop("");
    place.mulgil(&["run"]).ends_with(0);
    let mut rows = String::from("id,user_id,amount\n1,kim,10\n2,lee,20\n");
    for (id, write) in (3..).zip((1..=60).step_by(4)) {
        rows.push_str(&format!("{id},kim,1\n"));
        place.write("seeds/raw_events.csv", &rows);
        let killed = place.run_killed_at(&format!("write:{write}"));
        place.mulgil(&["run"]).ends_with(0);
        let counted = place.rows("select count(*), count(distinct id), max(id) from fact");
        assert_eq!(
            counted,
            [format!("{id},{id},{id}")],
            "killed at write {write}: {:?}",
            killed.code
        );
        assert_eq!(place.plan(), Vec::<String>::new());
        if killed.code == Some(0) {
            return;
        }
    }
}

/// The source forgets its first row; what the fact has of it is nowhere else.
fn forgotten(config: &str) -> Place {
    let place = shop(config);
    place.mulgil(&["run"]).ends_with(0);
    place.write("seeds/raw_events.csv", "id,user_id,amount\n2,lee,20\n3,kim,5\n");
    place
}

#[test]
fn only_who_asks_for_all_of_it_makes_it_anew() {
    let kept = ["1", "2", "3"];
    let ids = "select id from fact order by 1";
    let place = forgotten("");
    place.write(
        "models/daily.sql",
        "{{ config(interval='day', event_time='at', begin='2026-03-01', end='2026-03-03', tags=['x']) }}\n\
         select timestamptz '2026-03-01T10:00:00Z' as at where {{ interval.start | epoch }} = 1772323200\n",
    );
    place.edit(
        "models/fact.sql",
        "materialized='incremental'",
        "materialized='incremental', tags=['x']",
    );
    place.mulgil(&["run"]).ends_with(0);
    for words in [
        &["backfill", "tag:x@2026-03-01"][..],
        &["run", "-s", "tag:x", "--interval", "2026-03-01", "--full"],
    ] {
        place.mulgil(words).ends_with(0).says("fact keeps what it has");
        assert_eq!(place.rows(ids), kept, "{words:?}");
    }
    // Another ledger, as another environment has, goes on with what is there.
    std::fs::remove_dir_all(place.path().join(".mulgil")).unwrap();
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(place.rows(ids), kept);
    place.mulgil(&["run", "fact", "--full"]).ends_with(0);
    assert_eq!(place.rows(ids), ["2", "3"]);
}

#[test]
fn one_that_is_never_made_anew_is_not() {
    let place = forgotten(", full_refresh=false");
    place.mulgil(&["run", "--full"]).ends_with(0);
    assert_eq!(place.rows("select id from fact order by 1"), ["1", "2", "3"]);
}

#[test]
fn what_was_a_view_meanwhile_is_made_anew() {
    let place = shop("");
    place.mulgil(&["run"]).ends_with(0);
    let fact = "select id, user_id, amount from {{ ref('raw_events') }}\n";
    place.write("models/fact.sql", fact);
    place.write("seeds/raw_events.csv", "id,user_id,amount\n1,kim,11\n2,lee,22\n");
    place.mulgil(&["run"]).ends_with(0);
    place.write(
        "models/fact.sql",
        &format!("{{{{ config(materialized='incremental') }}}}\n{fact}"),
    );
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(place.rows("select id, amount from fact order by 1"), ["1,11", "2,22"]);
}

#[test]
fn the_time_of_the_query_is_known() {
    let place = shop("");
    place.write("models/when.sql", "{{ config(materialized='table') }}\nselect id, now() as at, current_date as day from {{ ref('raw_events') }}\n");
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(
        place.rows("select count(distinct at), count(day) from \"when\" where at <= now()"),
        ["1,2"]
    );
}

#[test]
fn data_tests_run_again_when_what_they_look_at_has_other_rows() {
    let place = shop("");
    place.write("models/shown.sql", "select id, user_id from {{ ref('raw_events') }}\n");
    place.write("seeds/users.csv", "user_id\nkim\nlee\n");
    place.write(
        "models/schema.yml",
        "models:\n  - name: shown\n    columns:\n      - {name: id, data_tests: [unique]}\n  \
         - name: fact\n    columns:\n      - {name: user_id, data_tests: [{relationships: {to: ref('users'), field: user_id}}]}\n",
    );
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(place.plan(), Vec::<String>::new());
    place.write("seeds/raw_events.csv", "id,user_id,amount\n1,kim,10\n1,lee,20\n");
    let run = place.mulgil(&["run"]).ends_with(1);
    assert!(run.stderr.contains("FAILED unique_shown_id"), "{}", run.stderr);
    place.write("seeds/raw_events.csv", "id,user_id,amount\n1,kim,10\n2,lee,20\n");
    place.mulgil(&["run"]).ends_with(0);
    place.write("seeds/users.csv", "user_id\nkim\n");
    let run = place.mulgil(&["run"]).ends_with(1);
    assert!(
        run.stderr.contains("FAILED relationships_fact_user_id"),
        "{}",
        run.stderr
    );
}
