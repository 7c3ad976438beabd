//! Statements for either database: one text, `$1` for its values, rows as tuples.
//!
//! The forms are those of `sqlx` (`query`, `query_as`, `query_scalar`, `bind`, `fetch_all`), with
//! [`Conn`] in place of a connection to one database. They are our own instead of `sqlx::Any`, which
//! opens by URL alone (no journal mode, no file that never changes), reads no truth value from SQLite,
//! and builds a table of names for every row. It knows nothing of what the statements mean.

use std::{borrow::Cow, io, marker::PhantomData, sync::Arc, time::Duration};

use mulgil_core::interval::Instant;
use sqlx::{
    AssertSqlSafe, Column, ColumnIndex, Connection, Database, Decode, Executor, FromRow, PgConnection, Row, SqlSafeStr,
    SqlStr, SqliteConnection, Type, TypeInfo,
    postgres::{PgArguments, PgDatabaseError, PgRow, PgSeverity},
    sqlite::{SqliteArguments, SqliteRow},
};

use crate::{
    connect::Session,
    counted,
    value::{Value, arguments},
};

/// What PostgreSQL says where it only reads: a standby, or one that was a primary before.
const READ_ONLY_SERVER: &str = "25006";

/// A connection to the ledger's database.
#[derive(Debug)]
pub(crate) enum Conn {
    /// To a file.
    Sqlite(SqliteConnection),
    /// To a server.
    Postgres(PgConn),
}

/// A connection to a server, which may stop to answer.
#[derive(Debug)]
pub(crate) struct PgConn {
    conn: PgConnection,
    session: Arc<Session>,
    /// An answer is still owed, so what comes next on the line is not known.
    lost: bool,
}

/// A row that either database gives.
pub(crate) trait Record: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

impl<T> Record for T where T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

/// A statement and its values.
#[derive(Debug)]
pub(crate) struct Query<'q> {
    sql: SqlStr,
    values: Vec<Value<'q>>,
}

/// A statement whose rows are read as `T`.
#[derive(Debug)]
pub(crate) struct QueryAs<'q, T> {
    query: Query<'q>,
    row: PhantomData<fn() -> T>,
}

/// A statement whose rows have one column.
#[derive(Debug)]
pub(crate) struct QueryScalar<'q, T>(QueryAs<'q, (T,)>);

/// How many rows a statement changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Changed(u64);

/// A statement that gives no rows.
pub(crate) fn query<'q>(sql: impl SqlSafeStr) -> Query<'q> {
    Query {
        sql: sql.into_sql_str(),
        values: Vec::new(),
    }
}

/// A statement whose rows are tuples.
pub(crate) fn query_as<'q, T: Record>(sql: impl SqlSafeStr) -> QueryAs<'q, T> {
    QueryAs {
        query: query(sql),
        row: PhantomData,
    }
}

/// A statement whose rows have one column.
pub(crate) fn query_scalar<'q, T>(sql: impl SqlSafeStr) -> QueryScalar<'q, T>
where
    (T,): Record,
{
    QueryScalar(query_as(sql))
}

/// Carries a statement out on whichever database there is.
macro_rules! send {
    ($query:expr, $conn:expr, $typed:ident, $method:ident) => {{
        counted::sent();
        let Query { sql, values } = $query;
        match $conn {
            Conn::Sqlite(conn) => {
                sqlx::$typed(sql, arguments::<SqliteArguments>(values)?)
                    .$method(conn)
                    .await
            }
            Conn::Postgres(PgConn { conn, session, lost }) => {
                let asked = sqlx::$typed(sql, arguments::<PgArguments>(values)?).$method(conn);
                answer(session.patience, lost, asked).await
            }
        }
    }};
}

impl<'q> Query<'q> {
    /// Binds the next value.
    pub(crate) fn bind(mut self, value: impl Into<Value<'q>>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Carries it out.
    pub(crate) async fn execute(self, conn: &mut Conn) -> Result<Changed, sqlx::Error> {
        let Query { sql, values } = self;
        counted::sent();
        match conn {
            Conn::Sqlite(conn) => {
                let asked = sqlx::query_with(sql, arguments::<SqliteArguments>(values)?);
                Ok(Changed(asked.execute(conn).await?.rows_affected()))
            }
            Conn::Postgres(PgConn { conn, session, lost }) => {
                let asked = sqlx::query_with(sql, arguments::<PgArguments>(values)?);
                Ok(Changed(
                    answer(session.patience, lost, asked.execute(conn))
                        .await?
                        .rows_affected(),
                ))
            }
        }
    }
}

/// A row with the names of its columns.
pub(crate) type Named = Vec<(String, Value<'static>)>;

impl Query<'_> {
    /// All rows, whatever their columns are.
    pub(crate) async fn fetch_named(self, conn: &mut Conn) -> Result<Vec<Named>, sqlx::Error> {
        let Query { sql, values } = self;
        counted::sent();
        match conn {
            Conn::Sqlite(conn) => {
                let asked = sqlx::query_with(sql, arguments::<SqliteArguments>(values)?);
                asked.fetch_all(conn).await?.iter().map(named).collect()
            }
            Conn::Postgres(PgConn { conn, session, lost }) => {
                let asked = sqlx::query_with(sql, arguments::<PgArguments>(values)?);
                answer(session.patience, lost, asked.fetch_all(conn))
                    .await?
                    .iter()
                    .map(named)
                    .collect()
            }
        }
    }
}

impl<'q, T: Record> QueryAs<'q, T> {
    /// Binds the next value.
    pub(crate) fn bind(mut self, value: impl Into<Value<'q>>) -> Self {
        self.query = self.query.bind(value);
        self
    }

    /// All rows.
    pub(crate) async fn fetch_all(self, conn: &mut Conn) -> Result<Vec<T>, sqlx::Error> {
        send!(self.query, conn, query_as_with, fetch_all)
    }

    /// The first row, if there is one.
    pub(crate) async fn fetch_optional(self, conn: &mut Conn) -> Result<Option<T>, sqlx::Error> {
        send!(self.query, conn, query_as_with, fetch_optional)
    }

    /// The first row.
    pub(crate) async fn fetch_one(self, conn: &mut Conn) -> Result<T, sqlx::Error> {
        send!(self.query, conn, query_as_with, fetch_one)
    }
}

impl<T> QueryScalar<'_, T>
where
    (T,): Record,
{
    /// The first row's value.
    pub(crate) async fn fetch_one(self, conn: &mut Conn) -> Result<T, sqlx::Error> {
        let (value,) = self.0.fetch_one(conn).await?;
        Ok(value)
    }
}

impl Changed {
    /// As a number.
    pub(crate) fn rows_affected(self) -> u64 {
        self.0
    }
}

impl Conn {
    /// Carries out statements without values; several are parted by `;`.
    pub(crate) async fn execute(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(conn) => conn.execute(sql).await.map(drop),
            Self::Postgres(PgConn { conn, session, lost }) => {
                answer(session.patience, lost, conn.execute(sql)).await.map(drop)
            }
        }
    }

    /// Ends it.
    pub(crate) async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(conn) => conn.close().await,
            Self::Postgres(PgConn {
                conn,
                session,
                mut lost,
            }) => answer(session.patience, &mut lost, conn.close()).await,
        }
    }

    /// As [`Self::execute`], with a text that was put together here.
    pub(crate) async fn execute_text(&mut self, sql: String) -> Result<(), sqlx::Error> {
        let sql = AssertSqlSafe(sql);
        match self {
            Self::Sqlite(conn) => conn.execute(sql).await.map(drop),
            Self::Postgres(PgConn { conn, session, lost }) => {
                answer(session.patience, lost, conn.execute(sql)).await.map(drop)
            }
        }
    }

    /// Begins a snapshot.
    pub(crate) async fn begin_read(&mut self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(_) => self.execute("begin").await,
            Self::Postgres(PgConn { session, .. }) => {
                let begin = session.begin_read.clone();
                self.execute_text(begin).await
            }
        }
    }

    /// Begins a transaction that writes, when no other one does any more.
    pub(crate) async fn begin_write(&mut self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(_) => self.execute("begin immediate").await,
            Self::Postgres(PgConn { session, .. }) => {
                let begin = session.begin_write.clone();
                self.execute_text(begin).await
            }
        }
    }

    /// Whether nothing more can be asked on it.
    pub(crate) fn is_lost(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgres(conn) => conn.lost,
        }
    }

    /// What the database says the time is, in microseconds since 1970.
    pub(crate) async fn now(&mut self) -> Result<Instant, sqlx::Error> {
        let now = match self {
            Self::Sqlite(_) => "select cast(unixepoch('now', 'subsec') * 1000000 as integer)",
            Self::Postgres(_) => "select cast(extract(epoch from clock_timestamp()) * 1000000 as bigint)",
        };
        query_scalar(now).fetch_one(self).await.map(Instant)
    }
}

impl PgConn {
    /// A connection that was just made.
    pub(crate) fn new(conn: PgConnection, session: Arc<Session>) -> Self {
        Self {
            conn,
            session,
            lost: false,
        }
    }

    /// The server's version: 150018 for 15.18.
    pub(crate) fn version(&self) -> Option<u32> {
        self.conn.server_version_num()
    }
}

/// What a server that says nothing any more is told as.
pub(crate) fn no_answer(patience: Duration) -> sqlx::Error {
    let why = format!("no answer within {} s", patience.as_secs_f32());
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, why))
}

/// Waits for what was asked; a connection on which something stays unanswered is of no more use.
async fn answer<T>(
    patience: Duration,
    lost: &mut bool,
    asked: impl Future<Output = Result<T, sqlx::Error>> + Send,
) -> Result<T, sqlx::Error> {
    // It stays so where nobody waits for the answer any more.
    *lost = true;
    let answer = tokio::time::timeout(patience, asked).await;
    let answer = answer.unwrap_or_else(|_| Err(no_answer(patience)));
    *lost = answer.as_ref().is_err_and(is_lost);
    answer
}

/// Whether nothing more can be asked after this.
fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
        // The server says it and hangs up, or it has become one that only reads.
        sqlx::Error::Database(error) => error.try_downcast_ref::<PgDatabaseError>().is_some_and(|error| {
            matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic) || error.code() == READ_ONLY_SERVER
        }),
        _ => false,
    }
}

fn named<R: Row>(row: &R) -> Result<Named, sqlx::Error>
where
    usize: ColumnIndex<R>,
    i64: for<'r> Decode<'r, R::Database> + Type<R::Database>,
    String: for<'r> Decode<'r, R::Database> + Type<R::Database>,
    Vec<u8>: for<'r> Decode<'r, R::Database> + Type<R::Database>,
{
    let value = |column: &<R::Database as Database>::Column| -> Result<_, sqlx::Error> {
        let at = column.ordinal();
        Ok(match column.type_info().name() {
            "INTEGER" | "INT8" => Value::Int(row.try_get(at)?),
            "BLOB" | "BYTEA" => Value::Bytes(row.try_get::<Option<Vec<u8>>, _>(at)?.map(Cow::Owned)),
            _ => Value::Text(row.try_get::<Option<String>, _>(at)?.map(Cow::Owned)),
        })
    };
    let columns = row.columns().iter();
    columns
        .map(|column| Ok((column.name().to_owned(), value(column)?)))
        .collect()
}
