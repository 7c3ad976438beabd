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

#[test]
fn a_view_or_a_table_that_becomes_incremental_goes_on_from_what_is_there() {
    let place = shop("");
    place.edit("models/fact.sql", "'incremental'", "'view'");
    place.edit(
        "models/fact.sql",
        "{% if is_incremental() %}\nwhere id > (select max(id) from {{ this }})\n{% endif %}\n",
        "",
    );
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
    place.edit("models/fact.sql", "'incremental'", "'view'");
    place.edit(
        "models/fact.sql",
        "{% if is_incremental() %}\nwhere id > (select max(id) from {{ this }})\n{% endif %}\n",
        "",
    );
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
