//! Copies of whole ledgers between a file and a server, there and back.

use std::{collections::BTreeSet, path::Path, time::Duration};

use mulgil_core::{backfill::Terms, codes, grid::Unit};
use mulgil_store::{DataLock, Holder, LedgerPlace, NewBackfill, Store};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, sqlite::SqliteConnectOptions};

use crate::{on_file::support::*, postgres::Server, with_postgres::support::fresh_schema};

fn holder() -> Holder {
    Holder {
        pid: std::process::id(),
        host: "host-1".to_owned(),
        command: "mulgil db copy".to_owned(),
        since: minute(0),
    }
}

/// A ledger with something in most tables.
async fn filled_ledger(folder: &Path) -> (LedgerPlace, Store) {
    let place = LedgerPlace::folder(folder, "dev");
    let (store, project) = (Store::open(&place, LEDGER).await.unwrap(), shop());
    begin(&store, vec![(instance("sales[country=kr]"), set([day(3)]))]).await;
    for (of, content) in [("flights", 1), ("windows", 1), ("months", 1), ("flights", 2)] {
        fill(&store, &project, of, days(0, 200), content, 1).await;
    }
    let files = (0..150).map(|n| file(n, "aa"));
    let seen = seen(files);
    store
        .record_source(&project, &project.sources[0], &seen, minute(2))
        .await
        .unwrap();
    let takes = vec![(instance("months"), by(Unit::Day), set([days(0, 9)]))];
    let new = NewBackfill {
        terms: Terms::new("months", "mina"),
        takes,
    };
    store.make_backfill(new, minute(3)).await.unwrap();
    let lines = vec!["한국 \0 'quoted'\\".to_owned(), String::new()];
    store.append_log(1, lines, minute(3)).await.unwrap();
    let lease = store.take_lease("clock", "a", Duration::from_mins(1)).await.unwrap();
    store.release_lease(&lease.unwrap()).await.unwrap();
    (place, store)
}

#[tokio::test]
async fn a_ledger_goes_to_a_server_and_back_with_every_row() {
    let (from, back) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_, source) = filled_ledger(from.path()).await;
    let server = Store::open(&fresh_schema(), LEDGER).await.unwrap();
    let there = source.copy_to(&server, holder()).await.unwrap();
    assert!(there.tables.iter().all(|table| table.source == table.target));
    let rows = |name: &str| there.tables.iter().find(|table| table.table == name).unwrap().rows;
    assert_eq!((rows("fact"), rows("attempt_log"), rows("lease")), (11, 2, 1));
    assert_eq!((rows("backfill"), rows("backfill_part")), (1, 1));
    assert_eq!(rows("source_file"), 150, "more than are read at once");
    let returned = Store::open(&LedgerPlace::folder(back.path(), "dev"), LEDGER)
        .await
        .unwrap();
    let and_back = server.copy_to(&returned, holder()).await.unwrap();
    assert_eq!(and_back, there, "the same tables, rows and hashes");
    let derived = source.derived().await.unwrap();
    for store in [&server, &returned] {
        assert_eq!(store.derived().await.unwrap(), derived);
        store.rebuild().await.unwrap();
        assert_eq!(store.derived().await.unwrap(), derived);
        assert_eq!(store.facts().await.unwrap(), source.facts().await.unwrap());
        assert_eq!(store.log(1).await.unwrap(), source.log(1).await.unwrap());
        assert_eq!(store.run_facts(1).await.unwrap(), source.run_facts(1).await.unwrap());
        assert_eq!(begin(store, Vec::new()).await, 2, "it goes on where it was");
    }
}

#[tokio::test]
async fn a_copy_is_refused_while_somebody_works_with_the_ledger_or_where_something_lies() {
    let from = tempfile::tempdir().unwrap();
    let (place, source) = filled_ledger(from.path()).await;
    let server = Store::open(&fresh_schema(), LEDGER).await.unwrap();
    let lock = DataLock::acquire(from.path(), "dev", holder()).unwrap();
    let fault = source.copy_to(&server, holder()).await.unwrap_err();
    assert_eq!(fault.code, codes::DATA_HELD);
    drop(lock);
    let lease = source
        .take_lease("clock", "server 1", Duration::from_mins(10))
        .await
        .unwrap();
    let fault = source.copy_to(&server, holder()).await.unwrap_err();
    assert_eq!(fault.code, codes::LEDGER_IN_USE);
    assert!(fault.message.contains("`server 1` is working"), "{fault}");
    assert!(server.facts().await.unwrap().is_empty());
    source.release_lease(&lease.unwrap()).await.unwrap();
    // One that only reads can be copied as well.
    let reader = Store::open_read_only(&place, LEDGER).await.unwrap().unwrap();
    reader.copy_to(&server, holder()).await.unwrap();
    let fault = source.copy_to(&server, holder()).await.unwrap_err();
    assert_eq!(fault.code, codes::COPY_NOT_EMPTY);
}

#[tokio::test]
async fn a_copy_that_the_target_changes_is_refused_and_leaves_nothing() {
    let from = tempfile::tempdir().unwrap();
    let (_, source) = filled_ledger(from.path()).await;
    let place = fresh_schema();
    let server = Store::open(&place, LEDGER).await.unwrap();
    let LedgerPlace::Postgres(postgres) = &place else {
        unreachable!("it is on a server");
    };
    let mut conn = connection().await;
    conn.execute(AssertSqlSafe(format!(
        "set search_path to {};
         create function tidy() returns trigger language plpgsql as
             $$ begin new.text := rtrim(new.text, '\\'); return new; end $$;
         create trigger tidy before insert on attempt_log for each row execute function tidy()",
        postgres.schema()
    )))
    .await
    .unwrap();
    let fault = source.copy_to(&server, holder()).await.unwrap_err();
    assert_eq!(fault.code, codes::COPY_DIFFERS);
    assert!(fault.message.contains("table `attempt_log`"), "{fault}");
    assert!(server.facts().await.unwrap().is_empty());
}

async fn connection() -> PgConnection {
    let url = Server::shared().url("x").replace("&schema=x", "");
    PgConnection::connect(&url).await.unwrap()
}

/// Table, column, type, and whether it may be nothing.
type Described = BTreeSet<(String, String, String, bool)>;

#[tokio::test]
async fn both_databases_have_the_same_tables_and_columns() {
    let folder = tempfile::tempdir().unwrap();
    let place = LedgerPlace::folder(folder.path(), "dev");
    Store::open(&place, LEDGER).await.unwrap().close().await;
    let mut file = SqliteConnectOptions::new()
        .filename(place.file().unwrap())
        .connect()
        .await
        .unwrap();
    let in_file: Vec<(String, String, String, bool)> = sqlx::query_as(
        "select t.name, c.name, lower(c.type), c.\"notnull\" = 0 from sqlite_master t, pragma_table_info(t.name) c
         where t.type = 'table' and t.name not in ('_sqlx_migrations')",
    )
    .fetch_all(&mut file)
    .await
    .unwrap();
    let place = fresh_schema();
    Store::open(&place, LEDGER).await.unwrap().close().await;
    let LedgerPlace::Postgres(postgres) = &place else {
        unreachable!("it is on a server");
    };
    let on_server: Vec<(String, String, String, bool)> = sqlx::query_as(
        "select table_name::text, column_name::text,
             case data_type when 'bigint' then 'integer' when 'bytea' then 'blob'
                 else data_type || case collation_name when 'C' then '' else ' without collate \"C\"' end end,
             is_nullable = 'YES'
         from information_schema.columns
         where table_schema = $1 and table_name not in ('migration', 'ledger', 'writer')",
    )
    .bind(postgres.schema())
    .fetch_all(&mut connection().await)
    .await
    .unwrap();
    let (in_file, on_server): (Described, Described) = (in_file.into_iter().collect(), on_server.into_iter().collect());
    assert_eq!(on_server, in_file);
}
