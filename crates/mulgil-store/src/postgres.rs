//! A ledger's schema in a PostgreSQL database: whose it is, and which migrations it has.
//!
//! All migrations that are missing run in one transaction under the lock of the ledger's writers. They
//! have the numbers of the file's migrations, so that both kinds of ledger have one schema number.

use std::sync::Arc;

use mulgil_core::{crash, port::Fault, project::Fingerprint};

use crate::{
    LedgerPlace,
    connect::{Connect, Session},
    error::{self, Error},
    sql::{self, Conn},
};

/// The oldest server that the ledger is made for.
const LEAST_SERVER: u32 = 120_000;

/// The migrations, oldest first: number, name, text. A file that was released is never edited.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (4, "ledger", include_str!("../migrations/postgres/0004_ledger.sql")),
    (5, "flows", include_str!("../migrations/postgres/0005_flows.sql")),
    (10, "lease", include_str!("../migrations/postgres/0010_lease.sql")),
    (12, "backfill", include_str!("../migrations/postgres/0012_backfill.sql")),
    (13, "reopened", include_str!("../migrations/postgres/0013_reopened.sql")),
    (
        14,
        "retention",
        include_str!("../migrations/postgres/0014_retention.sql"),
    ),
    (15, "page", include_str!("../migrations/postgres/0015_page.sql")),
];

/// Tables that say of the schema what it is. They are never copied.
pub(crate) const OWN_TABLES: &[&str] = &["migration", "ledger", "writer"];

/// A connection, and the number of the newest migration; none where there is no ledger yet.
///
/// # Errors
/// A coded fault: no connection, a server that is too old, the ledger of another project.
pub(crate) async fn open(
    session: &Arc<Session>,
    place: &LedgerPlace,
    ledger: &str,
) -> Result<(Conn, Option<i64>), Fault> {
    let told = |error: sqlx::Error| Error::from(error).into_fault(place);
    let mut conn = Connect::Postgres(Arc::clone(session)).open().await.map_err(told)?;
    if let Conn::Postgres(server) = &conn
        && let Some(version) = server.version().filter(|version| *version < LEAST_SERVER)
    {
        return Err(error::postgres_too_old(version, LEAST_SERVER, place));
    }
    conn.begin_read().await.map_err(told)?;
    let found = schema_of(&mut conn, session).await.map_err(told)?;
    conn.execute("rollback").await.map_err(told)?;
    let Some((owner, version)) = found else {
        return Ok((conn, None));
    };
    if owner != ledger {
        return Err(error::of_another(&owner, ledger, place));
    }
    Ok((conn, Some(version)))
}

/// Makes the schema and what is missing in it.
///
/// # Errors
/// A coded fault; then nothing was changed.
pub(crate) async fn migrate(
    conn: &mut Conn,
    session: &Session,
    place: &LedgerPlace,
    ledger: &str,
) -> Result<i64, Fault> {
    crash::write();
    let migrated: Result<_, sqlx::Error> = async {
        conn.begin_write().await?;
        // Another server may have been first.
        let found = schema_of(&mut *conn, session).await?;
        if found.is_none() {
            make(&mut *conn, session, ledger).await?;
        }
        let found = found.map_or(0, |(_, version)| version);
        for (version, name, text) in MIGRATIONS.iter().filter(|(version, ..)| *version > found) {
            conn.execute(text).await?;
            sql::query("insert into migration (version, name, checksum) values ($1, $2, $3)")
                .bind(version)
                .bind(*name)
                .bind(Fingerprint::of_text(text).to_string())
                .execute(&mut *conn)
                .await?;
        }
        conn.execute("commit").await?;
        Ok(found)
    }
    .await;
    match migrated {
        Ok(found) => Ok(found),
        Err(error) => {
            if !conn.is_lost() {
                // The fault is told; what else fails now has the same cause.
                let _ = conn.execute("rollback").await;
            }
            Err(Error::from(error).into_fault(place))
        }
    }
}

/// Whose ledger it is, and its newest migration.
async fn schema_of(conn: &mut Conn, session: &Session) -> Result<Option<(String, i64)>, sqlx::Error> {
    // Asked of the catalog by name: a search path does not see a schema at once that another session made
    // while this one waited for the lock.
    let (tables,): (i64,) = sql::query_as(
        "select count(*) from pg_catalog.pg_tables where schemaname = $1 and tablename in ('migration', 'ledger')",
    )
    .bind(&session.schema)
    .fetch_one(&mut *conn)
    .await?;
    if tables < 2 {
        return Ok(None);
    }
    let (owner, version): (String, Option<i64>) =
        sql::query_as("select name, (select max(version) from migration) from ledger")
            .fetch_one(conn)
            .await?;
    Ok(Some((owner, version.unwrap_or(0))))
}

async fn make(conn: &mut Conn, session: &Session, ledger: &str) -> Result<(), sqlx::Error> {
    let schema = &session.schema;
    let (schemas,): (i64,) = sql::query_as("select count(*) from pg_catalog.pg_namespace where nspname = $1")
        .bind(schema)
        .fetch_one(&mut *conn)
        .await?;
    if schemas == 0 {
        // `if not exists` asks for the right to make schemas even where there is nothing to make.
        conn.execute_text(format!("create schema \"{schema}\"")).await?;
    }
    conn.execute(
        "create table migration (
             version bigint primary key not null,
             name text collate \"C\" not null,
             checksum text collate \"C\" not null
         );
         create table ledger (name text collate \"C\" not null)",
    )
    .await?;
    sql::query("insert into ledger (name) values ($1)")
        .bind(ledger)
        .execute(conn)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store;

    #[test]
    fn both_databases_have_the_same_migrations() {
        let first = MIGRATIONS[0].0;
        let file: Vec<i64> = store::migrations().filter(|version| *version >= first).collect();
        let server: Vec<i64> = MIGRATIONS.iter().map(|(version, ..)| *version).collect();
        assert_eq!(server, file);
    }
}
