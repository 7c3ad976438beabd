//! Kills inside of statements, and of every kind of materialization: what is there afterwards is all of
//! it or nothing of it, and doing it again gives what an undisturbed one gives.

use std::{fs, path::Path};

use crate::harness::{Done, Place};

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
fn look(place: &Place) -> String {
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
        place.write("look.sql", sql);
        let done = place.mulgil(&["sql", "-f", "look.sql", "-o", "csv"]);
        let first_line = done.stderr.lines().find(|line| line.starts_with("error"));
        format!("{}{}", done.stdout, first_line.unwrap_or_default())
    });
    answers.join("\n")
}

fn script(place: &Place, file: &str, kill: Option<&str>) -> Done {
    let mut command = place.command(&["sql", "-f", file]);
    if let Some(kill) = kill {
        command.env("MULGIL_CRASH_TEST", kill);
    }
    Done::of(command.output().unwrap())
}

/// A folder with all that is in it, tables and ledger too.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn prepared() -> Place {
    let place = Place::of("=== mulgil.yml\nname: kills\n");
    place.write("tables.sql", TABLES);
    script(&place, "tables.sql", None).ends_with(0);
    place
}

/// A place with the same files.
fn again(prepared: &Place, statement: &str) -> Place {
    let place = Place::of("=== mulgil.yml\nname: kills\n");
    copy(prepared.path(), place.path());
    place.write("one.sql", statement);
    place
}

/// The writes that are killed at: some, spread over all; with `MULGIL_LONG_TESTS` each.
fn chosen(writes: u64) -> Vec<u64> {
    const SOME: u64 = 3;
    if writes <= SOME || std::env::var_os("MULGIL_LONG_TESTS").is_some() {
        return (1..=writes).collect();
    }
    (0..SOME).map(|place| 1 + place * (writes - 1) / (SOME - 1)).collect()
}

/// Kills a statement at its durable writes.
#[track_caller]
fn survives(prepared: &Place, statement: &str) {
    let before = look(prepared);
    let undisturbed = again(prepared, statement);
    let counted = script(&undisturbed, "one.sql", Some("count")).ends_with(0);
    let after = look(&undisturbed);
    let writes: u64 = counted
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("writes: "))
        .unwrap()
        .parse()
        .unwrap();
    assert!(writes > 0, "{statement}: nothing was written");
    for write in chosen(writes) {
        let place = again(prepared, statement);
        let killed = script(&place, "one.sql", Some(&format!("write:{write}")));
        assert!(
            killed.code.is_none() || killed.code == Some(0),
            "{statement}: {killed:?}"
        );
        let left = look(&place);
        assert!(
            left == before || left == after,
            "{statement}: killed at write {write} of {writes}, it left\n{left}\nbefore\n{before}\nafter\n{after}"
        );
        if left == before {
            script(&place, "one.sql", None).ends_with(0);
            assert_eq!(look(&place), after, "{statement}: again after a kill at write {write}");
        }
    }
}

#[test]
fn rows_are_changed_whole_or_not_at_all() {
    let prepared = prepared();
    for statement in [
        "insert into t values (7, 'd', 8)",
        "insert into t select k, 'new', n from s",
        "insert overwrite t select k, 'new', n from s",
        "update t set n = n + 1 where g = 'a'",
        "update t set n = s.n from s where t.k = s.k",
        "delete from t where k in (select k from s) or n is null",
        "truncate table t",
    ] {
        survives(&prepared, statement);
    }
}

#[test]
fn rows_are_merged_whole_or_not_at_all() {
    let prepared = prepared();
    for statement in [
        "merge into t using s on t.k = s.k when matched and s.n is null then delete \
         when matched then update set n = s.n when not matched then insert (k, n) values (s.k, s.n)",
        "insert into t select k, 'new', n from s on conflict (k) do update set n = excluded.n",
        "insert overwrite p select date '2026-01-02', 20",
        "delete from p where day = date '2026-01-02'",
        "copy t from 'rows.csv'",
    ] {
        survives(&prepared, statement);
    }
}

#[test]
fn tables_and_views_are_defined_whole_or_not_at_all() {
    let prepared = prepared();
    for statement in [
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
    ] {
        survives(&prepared, statement);
    }
}

/// Kills of a run over seeds, views, tables, an incremental model and a snapshot.
const STRIDES: u64 = 6;

#[test]
fn every_materialization_survives_kills() {
    let relations = [
        "src_user_event",
        "dim_user",
        "fact_user_event",
        "analytics_variant_user_daily",
    ];
    let look = |place: &Place| -> Vec<Vec<String>> {
        let counted = relations.iter().map(|relation| {
            let mut rows = place.rows(&format!("select * from {relation}"));
            rows.sort();
            rows
        });
        counted
            .chain([place.rows("select user_id, age_band, gender from user_metadata_snapshot order by 1")])
            .collect()
    };
    let undisturbed = Place::ab_test();
    let counted = undisturbed.run_killed_at("count").ends_with(0);
    let writes = counted
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("writes: "))
        .unwrap();
    let writes: u64 = writes.parse().unwrap();
    let expected = look(&undisturbed);
    for stride in 0..STRIDES {
        let at = format!("write:{}", 1 + stride * (writes - 1) / (STRIDES - 1));
        let place = Place::ab_test();
        let killed = place.run_killed_at(&at);
        assert!(killed.code.is_none() || killed.code == Some(0), "{at}: {killed:?}");
        place.mulgil(&["run"]).ends_with(0);
        assert_eq!(place.plan(), Vec::<String>::new(), "{at}");
        assert!(
            look(&place) == expected,
            "{at}: a table differs from the undisturbed one"
        );
    }
}
