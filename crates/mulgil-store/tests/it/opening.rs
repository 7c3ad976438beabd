//! Opening a ledger, whatever lies in its place.

use std::{fs, path::Path};

use mulgil_core::{codes, interval::Instant};
use mulgil_store::{DataLock, Holder, LedgerPlace, Store};
use sqlx::{ConnectOptions, Executor, sqlite::SqliteConnectOptions};

use crate::on_file::support::*;

async fn open(folder: &Path) -> Store {
    Store::open(&LedgerPlace::folder(folder, "dev"), LEDGER).await.unwrap()
}

async fn open_to_read(folder: &Path) -> Option<Store> {
    Store::open_read_only(&LedgerPlace::folder(folder, "dev"), LEDGER)
        .await
        .unwrap()
}

async fn edit(folder: &Path, sql: &'static str) {
    let mut conn = SqliteConnectOptions::new()
        .filename(folder.join("dev.db"))
        .connect()
        .await
        .unwrap();
    conn.execute(sql).await.unwrap();
}

#[tokio::test]
async fn a_ledger_is_made_once_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("project/.mulgil");
    assert!(open_to_read(&deep).await.is_none(), "reading makes nothing");
    assert!(!deep.exists());
    let store = open(&deep).await;
    assert_eq!(begin(&store, Vec::new()).await, 1);
    store.close().await;
    let store = open(&deep).await;
    assert_eq!(begin(&store, Vec::new()).await, 2);
    assert_eq!(store.runs(9).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_reader_sees_what_a_writer_beside_it_has_committed() {
    let folder = tempfile::tempdir().unwrap();
    let writer = open(folder.path()).await;
    let project = shop();
    begin(&writer, Vec::new()).await;
    let reader = open_to_read(folder.path()).await.unwrap();
    assert_eq!(reader.runs(9).await.unwrap().len(), 1);
    fill(&writer, &project, "flights", days(0, 3), 1, 1).await;
    assert_eq!(filled_days(&reader, &project, "flights").await, "0..3");
    let fault = reader.crash_live(minute(1)).await.unwrap_err();
    assert_eq!(fault.code, codes::BUG, "{fault}");
}

#[tokio::test]
async fn a_scratch_copy_takes_what_is_written_and_leaves_the_ledger_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (writer, project) = (open(folder.path()).await, shop());
    begin(&writer, Vec::new()).await;
    fill(&writer, &project, "flights", days(0, 3), 1, 1).await;
    let scratch = Store::scratch(&LedgerPlace::folder(folder.path(), "dev"), LEDGER)
        .await
        .unwrap();
    fill(&scratch, &project, "flights", days(3, 9), 1, 1).await;
    assert_eq!(filled_days(&scratch, &project, "flights").await, "0..9");
    assert_eq!(filled_days(&writer, &project, "flights").await, "0..3");
    assert_eq!(
        scratch.derived().await.unwrap().len(),
        writer.derived().await.unwrap().len() + 3
    );
}

#[tokio::test]
async fn what_a_killed_process_left_is_read_by_those_who_may_not_write() {
    let (folder, left) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, project) = (open(folder.path()).await, shop());
    begin(&store, Vec::new()).await;
    fill(&store, &project, "flights", days(0, 3), 1, 1).await;
    // The files as they lie there now, without the shared memory that dies with its processes.
    for file in ["dev.db", "dev.db-wal"] {
        fs::copy(folder.path().join(file), left.path().join(file)).unwrap();
    }
    let reader = open_to_read(left.path()).await.unwrap();
    assert_eq!(filled_days(&reader, &project, "flights").await, "0..3");
}

#[tokio::test]
async fn an_empty_file_is_no_ledger_yet() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("dev.db"), "").unwrap();
    assert!(open_to_read(folder.path()).await.is_none());
    assert_eq!(begin(&open(folder.path()).await, Vec::new()).await, 1);
}

#[tokio::test]
async fn a_newer_ledger_is_refused_to_writers_and_readers() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).await.close().await;
    edit(
        folder.path(),
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (9999, 'tomorrow', true, x'00', 0)",
    )
    .await;
    for fault in [
        Store::open(&LedgerPlace::folder(folder.path(), "dev"), LEDGER)
            .await
            .unwrap_err(),
        Store::open_read_only(&LedgerPlace::folder(folder.path(), "dev"), LEDGER)
            .await
            .unwrap_err(),
    ] {
        assert_eq!(fault.code, codes::LEDGER_SCHEMA);
        assert!(
            fault.message.contains("schema 9999, and this version knows up to "),
            "{fault}"
        );
    }
}

#[tokio::test]
async fn a_file_that_is_no_ledger_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dev.db");
    let garbage = "these are somebody's notes, and not a database at all\n".repeat(100);
    fs::write(&path, &garbage).unwrap();
    for fault in [
        Store::open(&LedgerPlace::folder(folder.path(), "dev"), LEDGER)
            .await
            .unwrap_err(),
        Store::open_read_only(&LedgerPlace::folder(folder.path(), "dev"), LEDGER)
            .await
            .unwrap_err(),
    ] {
        assert_eq!(fault.code, codes::LEDGER_CORRUPT, "{fault}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), garbage);
}

#[tokio::test]
async fn a_fact_that_cannot_be_read_stops_a_rebuild_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (store, project) = (open(folder.path()).await, shop());
    begin(&store, Vec::new()).await;
    fill(&store, &project, "flights", days(0, 3), 1, 1).await;
    let before = store.derived().await.unwrap();
    edit(
        folder.path(),
        "update fact set payload = '{\"of_another_world\": 1}' where seq = 3",
    )
    .await;
    let fault = store.rebuild().await.unwrap_err();
    assert_eq!(fault.code, codes::LEDGER_CORRUPT, "{fault}");
    assert_eq!(store.derived().await.unwrap(), before);
}

fn holder(command: &str) -> Holder {
    Holder {
        pid: 4711,
        host: "host-1".to_owned(),
        command: command.to_owned(),
        since: Instant(1_767_225_600_000_000),
    }
}

#[test]
fn a_second_holder_is_told_who_has_the_folder_and_since_when() {
    let folder = tempfile::tempdir().unwrap();
    let first = DataLock::acquire(folder.path(), "dev", holder("mulgil run")).unwrap();
    let fault = DataLock::acquire(folder.path(), "dev", holder("mulgil backfill")).unwrap_err();
    assert_eq!(fault.code, codes::DATA_HELD);
    assert_eq!(
        fault.message,
        "environment `dev` is held by `mulgil run` (process 4711 on host-1) since 2026-01-01T00:00:00Z"
    );
    assert_eq!(fault.code.exit(), 6);
    DataLock::acquire(folder.path(), "prod", holder("mulgil run")).expect("each environment has its own");
    assert_eq!(DataLock::holder(folder.path(), "dev"), Some(holder("mulgil run")));
    drop(first);
    assert_eq!(DataLock::holder(folder.path(), "dev"), None);
    DataLock::acquire(folder.path(), "dev", holder("mulgil backfill")).expect("it is free");
}

#[test]
fn a_folder_that_cannot_be_made_is_a_coded_fault() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    fs::write(&file, "").unwrap();
    let fault = DataLock::acquire(&file, "dev", holder("mulgil run")).unwrap_err();
    assert_eq!(fault.code, codes::DISK_FAILED, "{fault}");
}
