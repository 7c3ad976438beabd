//! Kills inside of statements, and of every kind of materialization: what is there afterwards is all of
//! it or nothing of it, and doing it again gives what an undisturbed one gives.

use crate::{
    bucket::{Store, World, is_long},
    harness::{Done, Place},
};

/// What every statement finds.
const TABLES: &str = "
create table t (k bigint, g varchar, n decimal(10, 2));
insert into t values (1, 'a', 1.5), (2, 'b', null), (3, 'a', 3), (null, null, 4);
insert into t values (4, 'c', 5), (5, 'c', 6);
create table s (k bigint, n decimal(10, 2));
insert into s values (2, 20), (5, null), (9, 90);
create table p (day date, n bigint) partition by (day);
insert into p values (date '2026-01-01', 1), (date '2026-01-02', 2), (date '2026-01-03', 3);
create view v as select g, sum(n) as n from t group by g;
copy t to 'rows.csv';
";

/// Whatever a statement may have changed, in one text; an error is a text, too.
fn look(world: &World<'_>) -> String {
    // A script ends at its first error, so what may be gone stands alone.
    let asked = [
        "select table_schema, table_name, table_type from information_schema.tables \
         where table_schema <> 'information_schema' order by 1, 2; \
         select table_name, column_name, data_type from information_schema.columns \
         where table_schema <> 'information_schema' order by 1, ordinal_position; \
         select * from t order by 1, 2, 3; select * from p order by 1, 2; \
         select * from t for version as of 2 order by 1",
        "select * from s order by 1, 2",
        "select * from v order by 1; select * from made order by 1",
    ];
    let answers = asked.map(|sql| {
        let done = world.script(sql, None);
        let first_line = done.stderr.lines().find(|line| line.starts_with("error"));
        format!("{}{}", done.stdout, first_line.unwrap_or_default())
    });
    answers.join("\n")
}

fn prepared(bucket: Option<&Store>) -> World<'_> {
    let world = World::new(Place::of(""), bucket.map(|store| (store, "kills")));
    world.script(TABLES, None).ends_with(0);
    world
}

/// The writes that are killed at: some, spread over all; in a long test each.
fn chosen(writes: u64) -> Vec<u64> {
    const SOME: u64 = 3;
    if writes <= SOME || is_long() {
        return (1..=writes).collect();
    }
    (0..SOME).map(|place| 1 + place * (writes - 1) / (SOME - 1)).collect()
}

/// Kills a statement at its durable writes.
#[track_caller]
fn survives(prepared: &World<'_>, number: usize, statement: &str) {
    let before = look(prepared);
    let undisturbed = prepared.again(&format!("undisturbed-{number}"));
    let counted = undisturbed.script(statement, Some("count")).ends_with(0);
    let after = look(&undisturbed);
    let writes = counted.writes();
    assert!(writes > 0, "{statement}: nothing was written");
    for write in chosen(writes) {
        let world = prepared.again(&format!("killed-{number}-{write}"));
        let killed = world.script(statement, Some(&format!("write:{write}")));
        assert!(
            killed.code.is_none() || killed.code == Some(0),
            "{statement}: {killed:?}"
        );
        let left = look(&world);
        assert!(
            left == before || left == after,
            "{statement}: killed at write {write} of {writes}, it left\n{left}\nbefore\n{before}\nafter\n{after}"
        );
        if left == before {
            world.script(statement, None).ends_with(0);
            assert_eq!(look(&world), after, "{statement}: again after a kill at write {write}");
        }
    }
}

fn all_survive(bucket: Option<&Store>, statements: &[&str]) {
    let prepared = prepared(bucket);
    for (number, statement) in statements.iter().enumerate() {
        survives(&prepared, number, statement);
    }
}

const CHANGES: [&str; 7] = [
    "insert into t values (7, 'd', 8)",
    "insert into t select k, 'new', n from s",
    "insert overwrite t select k, 'new', n from s",
    "update t set n = n + 1 where g = 'a'",
    "update t set n = s.n from s where t.k = s.k",
    "delete from t where k in (select k from s) or n is null",
    "truncate table t",
];

#[test]
fn rows_are_changed_whole_or_not_at_all() {
    all_survive(None, &CHANGES);
}

const MERGES: [&str; 5] = [
    "merge into t using s on t.k = s.k when matched and s.n is null then delete \
     when matched then update set n = s.n when not matched then insert (k, n) values (s.k, s.n)",
    "insert into t select k, 'new', n from s on conflict (k) do update set n = excluded.n",
    "insert overwrite p select date '2026-01-02', 20",
    "delete from p where day = date '2026-01-02'",
    "copy t from 'rows.csv'",
];

#[test]
fn rows_are_merged_whole_or_not_at_all() {
    all_survive(None, &MERGES);
}

const DEFINITIONS: [&str; 12] = [
    "create table made (a bigint)",
    "create table made as select k, n from t",
    "create table made partition by (g) as select * from t",
    "create or replace table s as select 1 as only",
    "create view made as select k from s",
    "create or replace view v as select g, count(*) as n from t group by g",
    "alter table t add column more bigint",
    "alter table s rename to made",
    "comment on table t is 'numbers'",
    "drop view v",
    "drop table s",
    "optimize t",
];

#[test]
fn tables_and_views_are_defined_whole_or_not_at_all() {
    all_survive(None, &DEFINITIONS);
}

#[test]
fn what_lies_in_a_bucket_is_changed_whole_or_not_at_all_with_python() {
    let store = Store::start();
    if is_long() {
        let mut all = [&CHANGES[..], &MERGES, &DEFINITIONS].concat();
        // A folder is given another name by one step; what lies in a bucket is not.
        all.retain(|statement| !statement.contains("rename to"));
        all_survive(Some(&store), &all);
    } else {
        all_survive(Some(&store), &[CHANGES[3], MERGES[0], DEFINITIONS[3]]);
    }
}

#[test]
fn a_file_is_copied_to_whole_or_not_at_all() {
    const COPY: &str = "copy t to 'out.csv'";
    let prepared = prepared(None);
    let file = |world: &World<'_>| std::fs::read(world.place.path().join("out.csv")).ok();
    let undisturbed = prepared.again("");
    let writes = undisturbed.script(COPY, Some("count")).ends_with(0).writes();
    let whole = file(&undisturbed);
    assert!(whole.is_some() && writes > 2, "{writes} writes");
    for write in 1..=writes {
        let world = prepared.again("");
        world.script(COPY, Some(&format!("write:{write}")));
        let left = file(&world);
        assert!(left.is_none() || left == whole, "killed at write {write} of {writes}");
        world.script(COPY, None).ends_with(0);
        assert_eq!(file(&world), whole, "again after a kill at write {write}");
    }
}

/// Kills of a run over seeds, views, tables, an incremental model and a snapshot: some, or each.
fn kills_of_a_run(writes: u64) -> Vec<u64> {
    const STRIDES: u64 = 6;
    if is_long() {
        return (1..=writes).collect();
    }
    (0..STRIDES)
        .map(|stride| 1 + stride * (writes - 1) / (STRIDES - 1))
        .collect()
}

fn every_materialization_survives(bucket: Option<&Store>) {
    let fresh = |name: &str| World::new(Place::ab_test(), bucket.map(|store| (store, name)));
    let relations = [
        "src_user_event",
        "dim_user",
        "fact_user_event",
        "analytics_variant_user_daily",
    ];
    let look = |world: &World<'_>| -> Vec<Vec<String>> {
        let counted = relations.iter().map(|relation| {
            let mut rows = world.rows(&format!("select * from {relation}"));
            rows.sort();
            rows
        });
        let history = world.rows("select user_id, age_band, gender from user_metadata_snapshot order by 1");
        counted.chain([history]).collect()
    };
    let run_killed_at =
        |world: &World<'_>, at: &str| Done::of(world.command(&["run"]).env("MULGIL_CRASH_TEST", at).output().unwrap());
    let undisturbed = fresh("undisturbed");
    let counted = run_killed_at(&undisturbed, "count").ends_with(0);
    let expected = look(&undisturbed);
    for write in kills_of_a_run(counted.writes()) {
        let (world, at) = (fresh(&format!("killed-{write}")), format!("write:{write}"));
        let killed = run_killed_at(&world, &at);
        assert!(killed.code.is_none() || killed.code == Some(0), "{at}: {killed:?}");
        world.mulgil(&["run"]).ends_with(0);
        world.mulgil(&["plan", "--json"]).ends_with(0).is_empty_plan(&at);
        assert!(
            look(&world) == expected,
            "{at}: a table differs from the undisturbed one"
        );
    }
}

#[test]
fn every_materialization_survives_kills() {
    every_materialization_survives(None);
}

#[test]
fn every_materialization_survives_kills_in_a_bucket_with_python() {
    every_materialization_survives(Some(&Store::start()));
}
