//! Processes that use one table at once: writers, readers, and what puts its files in order, each with a ledger
//! of its own. The same in a folder and in a bucket.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::{
    bucket::{Store, World, is_long},
    harness::Place,
};

fn world<'a>(bucket: Option<&'a Store>, name: &str) -> World<'a> {
    World::new(Place::of(""), bucket.map(|store| (store, name)))
}

/// Readers see one version or the next, never a gap, never a mixture.
fn replaced_while_it_is_read(bucket: Option<&Store>) {
    const AT_ONCE: usize = 50;
    let world = world(bucket, "replaced");
    let replace = |version: usize| {
        format!("create or replace table t as select {version} as version, x from generate_series(1, 50) as g(x);\n")
    };
    world.script(&replace(0), None).ends_with(0);
    let reads = if is_long() { 1_000 } else { 100 };
    let question = "select count(*), min(version) = max(version), min(version) from t;\n".repeat(AT_ONCE);
    let done = AtomicBool::new(false);
    let (versions, replaced) = std::thread::scope(|scope| {
        let replacing = scope.spawn(|| {
            let mut version = 0;
            while !done.load(Ordering::Relaxed) {
                let script: String = (1..=10).map(|step| replace(version + step)).collect();
                world.script(&script, None).ends_with(0);
                version += 10;
            }
            version
        });
        let mut versions = std::collections::BTreeSet::new();
        for _ in 0..reads / AT_ONCE {
            let seen = world.script(&question, None).ends_with(0).stdout;
            let rows: Vec<&str> = seen.lines().filter(|line| line.starts_with(char::is_numeric)).collect();
            assert_eq!(rows.len(), AT_ONCE, "{seen}");
            for row in rows {
                let version = row.strip_prefix("50,true,");
                versions.insert(
                    version
                        .unwrap_or_else(|| panic!("a mixture or a gap: {row}"))
                        .to_owned(),
                );
            }
        }
        done.store(true, Ordering::Relaxed);
        (versions.len(), replacing.join().unwrap())
    });
    assert!(
        versions > 1 && replaced > 1,
        "hardly anything was replaced: {versions} of {replaced}"
    );
}

#[test]
fn a_table_is_replaced_without_a_gap() {
    replaced_while_it_is_read(None);
}

#[test]
fn a_table_in_a_bucket_is_replaced_without_a_gap_with_python() {
    replaced_while_it_is_read(Some(&Store::start()));
}

/// Of two writers each row that was acknowledged is there once, and no other.
fn written_by_two(bucket: Option<&Store>) {
    let world = world(bucket, "two");
    world.script("create table t (writer int, n int)", None).ends_with(0);
    let rounds = if is_long() { 40 } else { 6 };
    let beside = world.beside();
    let write = |writer: i32, world: &World<'_>| {
        let insert = |n: &i32| world.script(&format!("insert into t values ({writer}, {n})"), None);
        let acknowledged = (0..rounds).filter(|n| {
            let done = insert(n);
            assert!(done.code == Some(0) || done.stderr.contains("MG4102"), "{done:?}");
            done.code == Some(0)
        });
        acknowledged.map(|n| format!("{writer},{n}")).collect::<Vec<String>>()
    };
    let written = std::thread::scope(|scope| {
        let other = scope.spawn(|| write(1, &beside));
        let mut written = write(0, &world);
        written.extend(other.join().unwrap());
        written
    });
    assert_eq!(
        world.rows("select writer, n from t order by writer, n"),
        sorted(written)
    );
}

/// By writer, then by number.
fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort_by_key(|row| {
        let (writer, n) = row.split_once(',').unwrap();
        (writer.to_owned(), n.parse::<i32>().unwrap())
    });
    rows
}

#[test]
fn two_processes_that_write_lose_nothing() {
    written_by_two(None);
}

#[test]
fn two_processes_that_write_into_a_bucket_lose_nothing_with_python() {
    written_by_two(Some(&Store::start()));
}

/// Putting files together takes no row back that an overwrite took away, and loses none that it brought.
fn compacted_while_it_is_overwritten(bucket: Option<&Store>) {
    let world = world(bucket, "compacted");
    let beside = world.beside();
    let small: String = (0..8).map(|n| format!("insert into t values (0, {n});\n")).collect();
    let rounds = if is_long() { 20 } else { 3 };
    for round in 1..=rounds {
        world
            .script(&format!("create or replace table t (round int, n int);\n{small}"), None)
            .ends_with(0);
        let overwrite = format!("insert overwrite t select {round}, x from generate_series(1, 5) as g(x)");
        let (optimized, overwritten) = std::thread::scope(|scope| {
            let optimizing = scope.spawn(|| beside.script("optimize t", None));
            let overwritten = world.script(&overwrite, None);
            (optimizing.join().unwrap(), overwritten)
        });
        for done in [&optimized, &overwritten] {
            assert!(done.code == Some(0) || done.stderr.contains("MG4102"), "{done:?}");
        }
        assert!(
            optimized.code == Some(0) || overwritten.code == Some(0),
            "each was refused for the other"
        );
        let expected: Vec<String> = match overwritten.code {
            Some(0) => (1..=5).map(|n| format!("{round},{n}")).collect(),
            _ => (0..8).map(|n| format!("0,{n}")).collect(),
        };
        assert_eq!(
            world.rows("select round, n from t order by n"),
            expected,
            "round {round}"
        );
    }
}

#[test]
fn compaction_and_overwriting_keep_to_themselves() {
    compacted_while_it_is_overwritten(None);
}

#[test]
fn compaction_and_overwriting_keep_to_themselves_in_a_bucket_with_python() {
    compacted_while_it_is_overwritten(Some(&Store::start()));
}
