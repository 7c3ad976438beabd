//! What goes wrong with a fill, and that nothing is left of it.

use std::{io, sync::Mutex};

use mulgil_core::{codes, diagnostic::Retry};

use super::*;
use crate::store::testing::FailingDisk;

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_a_place_are_refused_with_their_time_and_range() {
    let world = World::new();
    let range = days("2013-03-10", "2013-03-11");
    let wider = days("2013-03-10", "2013-03-12");
    let fault = world.fill(&fill_days(range, &hours_sql(wider))).await.unwrap_err();
    assert_eq!((fault.code, fault.retry), (codes::ROW_OUTSIDE_RANGE, Retry::Never));
    for part in ["`t`", "2013-03-11T00:00:00-04:00", "2013-03-10T00:00:00-05:00"] {
        assert!(fault.message.contains(part), "{fault}");
    }
    let null = format!("select nullif(at, at) as at, n from ({})", hours_sql(range));
    let fault = world.fill(&fill_days(range, &null)).await.unwrap_err();
    assert!(fault.message.contains("NULL in its event time `at`"), "{fault}");
    for sql in ["select 1 as n", "select 1 as at"] {
        assert_eq!(
            world.fill(&fill_days(range, sql)).await.unwrap_err().code,
            codes::BAD_EVENT_TIME
        );
    }
    assert!(!world.folder("t").join("_delta_log").exists());
    let left = std::fs::read_dir(world.folder("t")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "the files of failed fills are removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_that_fails_names_its_model() {
    let world = World::new();
    for (sql, code) in [
        ("select cast('x' as int) as a", codes::SQL_FAILED),
        (
            "select cast(label as int) as a from (values ('1'), ('x')) t(label)",
            codes::SQL_FAILED,
        ),
        ("select 1 / (a - 1) as b from (values (1)) t(a)", codes::SQL_FAILED),
        ("select a from nowhere", codes::UNKNOWN_RELATION),
        ("select nofunction(1) as a", codes::SQL_INVALID),
        ("select 1 +", codes::SQL_INVALID),
        ("drop table t", codes::NOT_A_QUERY),
        ("select count(*) from (values (1)) t(a)", codes::BAD_COLUMN_NAME),
        ("select cast('10:00:00' as time) as a", codes::BAD_COLUMN_TYPE),
    ] {
        let fault = world.fill(&fill_table("m", sql, Vec::new())).await.unwrap_err();
        assert_eq!(fault.code, code, "{sql}: {fault}");
        assert!(fault.message.contains("`m`"), "{sql}: {fault}");
        assert!(fault.remedy.is_some(), "{sql}: {fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_claim_is_fenced() {
    let world = World::new();
    let range = days("2013-01-01", "2013-01-02");
    let spec = fill_days(range, &hours_sql(range));
    let (old, new) = (world.claim(), world.claim());
    world.engine.fill(&spec, &new, &NoProgress).await.unwrap();
    for claim in [&old, &new] {
        let fault = world.engine.fill(&spec, claim, &NoProgress).await.unwrap_err();
        assert_eq!(fault.code, codes::FENCED);
    }
    let other_ledger = Claim {
        ledger: "other/dev".to_owned(),
        ..old
    };
    assert!(world.engine.fill(&spec, &other_ledger, &NoProgress).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_fills_that_race_one_is_refused_and_may_try_again() {
    let world = World::new();
    let range = days("2013-01-01", "2013-01-03");
    for round in 0..10 {
        let spec = fill_days(range, &hours_sql(range));
        let (first, second) = tokio::join!(world.fill(&spec), world.fill(&spec));
        let refused: Vec<_> = [first, second].into_iter().filter_map(Result::err).collect();
        assert!(refused.len() <= 1);
        for fault in refused {
            let is_expected =
                fault.code == codes::FENCED || fault.code == codes::TABLE_CHANGED && fault.retry == Retry::Later;
            assert!(is_expected, "round {round}: {fault}");
        }
        assert_eq!(world.rows("select count(*) from t").await, ["48"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_or_read_only_disk_is_named_and_can_be_mended() {
    for (kind, code) in [
        (io::ErrorKind::StorageFull, codes::DISK_FULL),
        (io::ErrorKind::ReadOnlyFilesystem, codes::READ_ONLY),
        (io::ErrorKind::PermissionDenied, codes::READ_ONLY),
    ] {
        for files in 0..4 {
            let disk = FailingDisk {
                files_left: Mutex::new(files),
                kind,
            };
            let world = World::over(tempfile::tempdir().unwrap(), Box::new(disk));
            let range = days("2013-01-01", "2013-01-04");
            let fault = world.fill(&fill_days(range, &hours_sql(range))).await.unwrap_err();
            assert_eq!(
                (fault.code, fault.retry),
                (code, Retry::AfterHumanFix),
                "after {files} files: {fault}"
            );
            let mended = World::over(world.dir, Box::new(OsDisk));
            mended.fill(&fill_days(range, &hours_sql(range))).await.unwrap();
            assert_eq!(mended.rows("select count(*) from t").await, ["72"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_that_is_dropped_leaves_no_commit() {
    let world = World::new();
    let range = days("2013-01-01", "2013-01-02");
    let endless = "with recursive n as (select timestamptz '2013-01-01T12:00:00Z' as at union all select at from n) \
                   select at from n";
    let spec = fill_days(range, endless);
    let dropped = tokio::time::timeout(std::time::Duration::from_millis(300), world.fill(&spec)).await;
    assert!(dropped.is_err());
    world.fill(&fill_days(range, &hours_sql(range))).await.unwrap();
    assert_eq!(world.rows("select count(*) from t").await, ["24"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_file_that_is_gone_or_emptied_is_the_tables_fault_and_a_full_fill_mends_it() {
    let world = World::new();
    let range = days("2013-01-01", "2013-01-02");
    let mut spec = fill_days(range, &hours_sql(range));
    let data_file = || {
        let files = std::fs::read_dir(world.folder("t"))
            .unwrap()
            .map(|entry| entry.unwrap().path());
        files.max_by_key(|path| path.extension().map(|_| path.metadata().unwrap().modified().unwrap()))
    };
    for spoil in [
        |path: PathBuf| std::fs::remove_file(path).unwrap(),
        |path: PathBuf| std::fs::write(path, "").unwrap(),
        |path: PathBuf| std::fs::write(path, [7; 4_000]).unwrap(),
    ] {
        world.fill(&spec).await.unwrap();
        spoil(data_file().unwrap());
        let typed = world.lines("UTC", vec![days_table(None)], "select n from t").await;
        let reader = fill_table("r", "select n from t", vec![days_table(None)]);
        for fault in [typed.unwrap_err(), world.fill(&reader).await.unwrap_err()] {
            assert_eq!(
                (fault.code, fault.retry),
                (codes::TABLE_UNREADABLE, Retry::AfterHumanFix),
                "{fault}"
            );
            assert!(fault.message.contains(".parquet"), "{fault}");
            assert!(
                fault
                    .remedy
                    .as_ref()
                    .is_some_and(|text| text.contains("`mulgil run NODE --full`")),
                "{fault}"
            );
        }
        spec.replaces_all = true;
        world.fill(&spec).await.unwrap();
        assert_eq!(world.rows("select count(*) from t").await, ["24"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_runs_its_queries_in_order_up_to_the_one_that_fails() {
    let world = World::new();
    let run = async |sql: &str| {
        let spec = ScriptSpec {
            sql: sql.to_owned(),
            bindings: Vec::new(),
            zone: Zone::UTC,
            schema: "shop".to_owned(),
            claim: None,
        };
        world.engine.script(&spec).await.map_err(|fault| fault.code)
    };
    assert_eq!(run("select 1; select 'a;b' -- c;\n;").await, Ok(()));
    assert_eq!(run("").await, Ok(()));
    let fails = "select cast(x as int) from (values ('1'), ('x')) t(x)";
    assert_eq!(
        run(&format!("select 1; {fails}; select nofunction(1)")).await,
        Err(codes::SQL_FAILED)
    );
    assert_eq!(run("select 1; insert into t values (1)").await, Err(codes::SQL_FAILED));
    assert_eq!(
        run("create table t as select 1 as a; insert into t values (2)").await,
        Ok(())
    );
    assert_eq!(
        run("insert into t select 1 / (a - 2) from t where a = 2").await,
        Err(codes::SQL_FAILED)
    );
    assert_eq!(run("grant select on t to everybody").await, Err(codes::UNSUPPORTED_SQL));
    assert_eq!(run("select * from nowhere").await, Err(codes::UNKNOWN_RELATION));
}
