//! Snapshots: what is kept of rows that change.

use crate::harness::Place;

/// Users in a seed, and a snapshot of them.
fn users(config: &str) -> Place {
    Place::of(&format!(
        "\
=== mulgil.yml
name: shop
=== seeds/users.csv
id,name,city,updated_at
1,kim,Seoul,2026-01-01T00:00:00Z
2,lee,Busan,2026-01-01T00:00:00Z
=== snapshots/users_snapshot.sql
{{% snapshot users_snapshot %}}
{{{{ config(unique_key='id', {config}) }}}}
select * from {{{{ ref('users') }}}}
{{% endsnapshot %}}
"
    ))
}

fn change(place: &Place, rows: &str) {
    place.write("seeds/users.csv", &format!("id,name,city,updated_at\n{rows}"));
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(place.plan(), Vec::<String>::new());
}

#[test]
fn three_changes_by_time_leave_their_marks() {
    let place = users("strategy='timestamp', updated_at='updated_at'");
    place.mulgil(&["run"]).ends_with(0);
    change(
        &place,
        "1,kim,Daegu,2026-02-01T00:00:00Z\n2,lee,Busan,2026-01-01T00:00:00Z\n",
    );
    change(
        &place,
        "1,kim,Daegu,2026-02-01T00:00:00Z\n2,lee,Jeju,2026-03-01T00:00:00Z\n3,park,Seoul,2026-03-01T00:00:00Z\n",
    );
    change(
        &place,
        "1,kim,Seoul,2026-04-01T00:00:00Z\n2,lee,Jeju,2026-03-01T00:00:00Z\n",
    );
    let history = "select id, city, cast(dbt_valid_from as date) as since, cast(dbt_valid_to as date) as until from users_snapshot \
        order by id, dbt_valid_from";
    assert_eq!(
        place.rows(history),
        [
            "1,Seoul,2026-01-01,2026-02-01",
            "1,Daegu,2026-02-01,2026-04-01",
            "1,Seoul,2026-04-01,",
            "2,Busan,2026-01-01,2026-03-01",
            "2,Jeju,2026-03-01,",
            "3,Seoul,2026-03-01,",
        ]
    );
    // It is the only place where the past stands, so nothing makes it anew.
    place.mulgil(&["run", "users_snapshot", "--full"]).ends_with(0);
    assert_eq!(
        place.rows("select count(*), count(distinct dbt_scd_id) from users_snapshot"),
        ["6,6"]
    );
    let listed = place.mulgil(&["plan", "-s", "resource_type:snapshot"]).ends_with(0);
    assert!(listed.stdout.contains("nothing"), "{}", listed.stdout);
}

#[test]
fn changes_are_found_by_values_and_what_is_gone_is_closed() {
    for columns in ["'all'", "['city']"] {
        let place = users(&format!(
            "strategy='check', check_cols={columns}, hard_deletes='invalidate'"
        ));
        place.mulgil(&["run"]).ends_with(0);
        change(&place, "1,kim,,2026-01-01T00:00:00Z\n");
        let current = "select id, city from users_snapshot where dbt_valid_to is null order by id";
        assert_eq!(place.rows(current), ["1,"]);
        let closed = "select id, city from users_snapshot where dbt_valid_to is not null order by id";
        assert_eq!(place.rows(closed), ["1,Seoul", "2,Busan"]);
        // Nothing changed, so nothing is written.
        let run = place.mulgil(&["run", "users_snapshot", "--full"]).ends_with(0);
        assert!(run.stderr.contains("filled users_snapshot  0 rows"), "{}", run.stderr);
        change(
            &place,
            "1,kim,,2026-01-01T00:00:00Z\n2,lee,Busan,2026-01-01T00:00:00Z\n",
        );
        assert_eq!(place.rows(current), ["1,", "2,Busan"]);
    }
}

#[test]
fn a_thing_that_is_gone_may_have_a_row_that_says_so() {
    let place = users("strategy='check', check_cols=['name', 'city'], hard_deletes='new_record'");
    place.mulgil(&["run"]).ends_with(0);
    change(&place, "1,kim,Seoul,2026-01-01T00:00:00Z\n");
    let of_lee = "select dbt_is_deleted, dbt_valid_to is null from users_snapshot where id = 2 order by dbt_valid_from";
    assert_eq!(place.rows(of_lee), ["False,false", "True,true"]);
    change(
        &place,
        "1,kim,Seoul,2026-01-01T00:00:00Z\n2,lee,Busan,2026-01-01T00:00:00Z\n",
    );
    assert_eq!(place.rows(of_lee), ["False,false", "True,false", "False,true"]);
}

#[test]
fn a_snapshot_may_stand_in_yaml_and_have_new_columns() {
    let place = users("strategy='check', check_cols='all'");
    place.remove("snapshots/users_snapshot.sql");
    place.write(
        "snapshots/users.yml",
        "snapshots:\n  - name: kept_users\n    relation: ref('users')\n    config:\n      {schema: kept, unique_key: [id, name], strategy: timestamp, updated_at: updated_at}\n    columns:\n      - {name: id, data_tests: [not_null]}\n",
    );
    place.mulgil(&["run"]).ends_with(0).says("1 test");
    place.write(
        "seeds/users.csv",
        "id,name,city,updated_at,age\n1,kim,Daegu,2026-02-01T00:00:00Z,31\n2,lee,Busan,2026-01-01T00:00:00Z,40\n",
    );
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(
        place.rows("select id, city, age from kept.kept_users order by id, dbt_valid_from"),
        ["1,Seoul,", "1,Daegu,31", "2,Busan,"]
    );
}

#[test]
fn what_a_snapshot_lacks_is_told_at_its_place() {
    let place = users("strategy='timestamp'");
    let told = place.mulgil(&["check"]).ends_with(3);
    assert!(
        told.stderr.contains("MG1007") && told.stderr.contains("`updated_at`"),
        "{}",
        told.stderr
    );
    assert!(
        told.stderr.contains("snapshots/users_snapshot.sql:2"),
        "{}",
        told.stderr
    );
    place.write("snapshots/users_snapshot.sql", "select * from {{ ref('users') }}\n");
    place.mulgil(&["check"]).ends_with(3).says("{% snapshot name %}");
    place.write(
        "snapshots/users_snapshot.sql",
        "{% snapshot a %}\n{{ config(unique_key='idd', strategy='check', check_cols='all') }}\nselect * from {{ ref('users') }}\n{% endsnapshot %}\n\
         {% snapshot b %}\n{{ config(strategy='check', check_cols='all') }}\nselect * from {{ ref('users') }}\n{% endsnapshot %}\n",
    );
    let told = place.mulgil(&["check"]).ends_with(3);
    assert!(
        told.stderr.contains("snapshots/users_snapshot.sql#b:6"),
        "{}",
        told.stderr
    );
    place.edit(
        "snapshots/users_snapshot.sql",
        "config(strategy='check'",
        "config(unique_key='id', strategy='check'",
    );
    place.mulgil(&["run"]).ends_with(1).says("MG3003").says("idd");
}

#[test]
fn a_kill_at_every_write_leaves_one_history() {
    let place = users("strategy='timestamp', updated_at='updated_at'");
    place.mulgil(&["run"]).ends_with(0);
    for (month, write) in (2..=11).zip((1..).step_by(4)) {
        place.write(
            "seeds/users.csv",
            &format!("id,name,city,updated_at\n1,kim,{month},2026-{month:02}-01T00:00:00Z\n2,lee,Busan,2026-01-01T00:00:00Z\n"),
        );
        place.run_killed_at(&format!("write:{write}"));
        place.mulgil(&["run"]).ends_with(0);
        let counted =
            "select count(*), count(distinct dbt_scd_id), sum(cast(dbt_valid_to is null as int)) from users_snapshot";
        assert_eq!(
            place.rows(counted),
            [format!("{0},{0},2", month + 1)],
            "killed at write {write}"
        );
        assert_eq!(place.plan(), Vec::<String>::new());
    }
}

#[test]
fn what_comes_back_with_its_old_time_has_a_row_of_its_own() {
    let rows = [
        "1,kim,Seoul,2026-01-01T00:00:00Z\n",
        "2,lee,Busan,2026-01-01T00:00:00Z\n",
    ];
    for deletes in ["invalidate", "new_record"] {
        let place = users(&format!(
            "strategy='timestamp', updated_at='updated_at', hard_deletes='{deletes}'"
        ));
        place.mulgil(&["run"]).ends_with(0);
        change(&place, rows[0]);
        change(&place, &rows.concat());
        let of_lee = "select dbt_valid_to is null, dbt_valid_from < coalesce(dbt_valid_to, now()) from users_snapshot \
            where id = 2 order by dbt_valid_from";
        let expected: &[&str] = if deletes == "invalidate" {
            &["false,true", "true,true"]
        } else {
            &["false,true", "false,true", "true,true"]
        };
        assert_eq!(place.rows(of_lee), expected, "{deletes}");
    }
}

#[test]
fn columns_are_compared_by_their_names() {
    let place = users("strategy='check', check_cols='all'");
    place.mulgil(&["run"]).ends_with(0);
    let count = "select count(*) from users_snapshot";
    // In another order nothing has changed.
    place.write(
        "seeds/users.csv",
        "id,city,name,updated_at\n1,Seoul,kim,2026-01-01T00:00:00Z\n2,Busan,lee,2026-01-01T00:00:00Z\n",
    );
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(place.rows(count), ["2"]);
    // A column that comes changes what has a value there; one that goes leaves its place empty.
    place.write(
        "seeds/users.csv",
        "id,city,name,updated_at,age\n1,Seoul,kim,2026-01-01T00:00:00Z,31\n2,Busan,lee,2026-01-01T00:00:00Z,\n",
    );
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(place.rows(count), ["3"]);
    place.write(
        "seeds/users.csv",
        "id,name,updated_at\n1,kim,2026-01-01T00:00:00Z\n2,lee,2026-01-01T00:00:00Z\n",
    );
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(
        place.rows("select id, city from users_snapshot where dbt_valid_to is null order by 1"),
        ["1,", "2,"]
    );
    assert_eq!(place.plan(), Vec::<String>::new());
}

#[test]
fn a_change_without_a_later_time_begins_with_the_run() {
    let place = users("strategy='check', check_cols=['city'], updated_at='updated_at'");
    place.mulgil(&["run"]).ends_with(0);
    change(
        &place,
        "1,kim,Daegu,2026-01-01T00:00:00Z\n2,lee,Busan,2026-01-01T00:00:00Z\n",
    );
    let of_kim = "select city, dbt_valid_to is null from users_snapshot where id = 1 order by dbt_valid_from";
    assert_eq!(place.rows(of_kim), ["Seoul,false", "Daegu,true"]);
}

#[test]
fn a_thing_has_one_current_row_and_a_name() {
    let place = users("strategy='timestamp', updated_at='updated_at'");
    place.write(
        "seeds/users.csv",
        "id,name,city,updated_at\n1,kim,Seoul,2026-01-01T00:00:00Z\n1,kim,Busan,2026-02-01T00:00:00Z\n",
    );
    place.mulgil(&["run"]).ends_with(1).says("MG3013").says("(id): 1");
    place.write(
        "seeds/users.csv",
        "id,name,city,updated_at\n1,kim,Seoul,2026-01-01T00:00:00Z\n,lee,Busan,2026-02-01T00:00:00Z\n",
    );
    place
        .mulgil(&["run"])
        .ends_with(1)
        .says("MG3016")
        .says("id is not null");
    place.write(
        "seeds/users.csv",
        "id,name,city,updated_at\n1,kim,Seoul,2026-01-01T00:00:00Z\n",
    );
    place.mulgil(&["run"]).ends_with(0);
    assert_eq!(place.rows("select count(*) from users_snapshot"), ["1"]);
}

#[test]
fn nothing_takes_the_place_of_a_snapshot_by_the_way() {
    let place = users("strategy='timestamp', updated_at='updated_at'");
    place.mulgil(&["run"]).ends_with(0);
    change(
        &place,
        "1,kim,Daegu,2026-02-01T00:00:00Z\n2,lee,Busan,2026-01-01T00:00:00Z\n",
    );
    place.remove("snapshots/users_snapshot.sql");
    place.write(
        "models/users_snapshot.sql",
        "{{ config(materialized='table') }}\nselect id from {{ ref('users') }}\n",
    );
    place.mulgil(&["run"]).ends_with(1).says("MG3011").says("history");
    assert_eq!(place.rows("select count(*) from users_snapshot"), ["3"]);
    place.mulgil(&["run", "users_snapshot", "--full"]).ends_with(0);
    assert_eq!(place.rows("select count(*) from users_snapshot"), ["2"]);
}
