//! Opening a ledger: the file, its schema, the one writer and the readers beside it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use mulgil_core::{codes, crash, port::Fault};
use sqlx::{
    ConnectOptions, Connection, SqlSafeStr, SqliteConnection,
    migrate::{Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use crate::{
    DataLock,
    error::{self, Error, io_fault},
    pool::Readers,
    sql::Conn,
    writer::{Work, Writer},
};

/// Versions below can corrupt a database in WAL mode that several connections use.
const LEAST_SQLITE: [u32; 3] = [3, 51, 3];
/// How long a statement waits for a lock that somebody else holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How often, and after which time, a ledger is looked at again that its holder is bringing up to date.
const MIGRATION_WAITS: u32 = 40;
const MIGRATION_WAIT: Duration = Duration::from_millis(50);

/// The migrations, oldest first: number, name, text. A file that was released is never edited.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "ledger", include_str!("../migrations/0001_ledger.sql")),
    (2, "dropped", include_str!("../migrations/0002_dropped.sql")),
    (3, "published", include_str!("../migrations/0003_published.sql")),
    (4, "rollback", include_str!("../migrations/0004_rollback.sql")),
    (5, "flows", include_str!("../migrations/0005_flows.sql")),
];

/// One environment's ledger. Whoever writes it holds the [`crate::DataLock`] of its folder.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    ledger: String,
    readers: Readers,
    writer: Option<Writer>,
    /// The folder of a scratch copy, removed with it.
    _scratch: Option<tempfile::TempDir>,
}

impl Store {
    /// Opens the ledger `<data_dir>/<environment>.db` to read and write, and makes what is missing.
    /// `ledger` says whose facts these are: `<project>/<environment>`.
    ///
    /// # Errors
    /// A coded MG5 fault: the folder cannot be written, the disk is full, the ledger is damaged or
    /// of a newer version.
    pub async fn open(data_dir: &Path, environment: &str, ledger: &str) -> Result<Self, Fault> {
        fs::create_dir_all(data_dir).map_err(|error| io_fault(&error, "make the data folder", data_dir))?;
        let path = path_of(data_dir, environment);
        // SQLite only says that it cannot open the file; the system says why.
        fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| io_fault(&error, "open the ledger", &path))?;
        Self::open_file(path, ledger, SqliteSynchronous::Full, None).await
    }

    /// Opens the ledger to read, beside a writer or without one; nothing where there is none yet.
    /// Changes nothing, so it works in a folder that cannot be written.
    ///
    /// # Errors
    /// A coded MG5 fault: the ledger cannot be read, is damaged, or has another version's schema.
    pub async fn open_read_only(data_dir: &Path, environment: &str, ledger: &str) -> Result<Option<Self>, Fault> {
        for _ in 0..MIGRATION_WAITS {
            match Self::open_as_it_is(data_dir, environment, ledger).await {
                // Whoever holds it brings it up to date at this moment.
                Err(fault) if fault.code == codes::LEDGER_SCHEMA && DataLock::is_held(data_dir, environment) => {
                    tokio::time::sleep(MIGRATION_WAIT).await;
                }
                opened => return opened,
            }
        }
        Self::open_as_it_is(data_dir, environment, ledger).await
    }

    async fn open_as_it_is(data_dir: &Path, environment: &str, ledger: &str) -> Result<Option<Self>, Fault> {
        let path = path_of(data_dir, environment);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.len() > 0 => {}
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_fault(&error, "read the ledger", &path)),
        }
        let (readers, schema) = match read_with(read_only(&path)).await {
            Err(error) if leaves_no_room_for_wal(&error, &path) => read_with(read_only(&path).immutable(true)).await,
            other => other,
        }
        .map_err(|error| error.into_fault(&path))?;
        match schema {
            None => Ok(None),
            Some(found) => {
                check_schema(found, &path)?;
                if found < newest_migration() {
                    let message = format!(
                        "the ledger has schema {found}, and this version reads {}",
                        newest_migration()
                    );
                    return Err(error::schema(
                        &path,
                        message,
                        "run a command that writes, such as `mulgil run`: it brings the ledger up to date",
                    ));
                }
                Ok(Some(Self {
                    path,
                    ledger: ledger.to_owned(),
                    readers,
                    writer: None,
                    _scratch: None,
                }))
            }
        }
    }

    /// A copy of the ledger as it is now, to write into and throw away: what-if for reading commands.
    /// An empty ledger where there is none yet.
    pub async fn scratch(data_dir: &Path, environment: &str, ledger: &str) -> Result<Self, Fault> {
        let folder = tempfile::tempdir().map_err(|error| io_fault(&error, "make a temporary folder", data_dir))?;
        let copy = path_of(folder.path(), environment);
        if let Some(original) = Self::open_read_only(data_dir, environment, ledger).await? {
            let target = copy.to_string_lossy().into_owned();
            let copied: Result<_, sqlx::Error> = async {
                let mut conn = read_only(&original.path).connect().await?;
                sqlx::query("vacuum into $1").bind(target).execute(&mut conn).await?;
                conn.close().await
            }
            .await;
            copied.map_err(|error| Error::from(error).into_fault(&original.path))?;
            original.close().await;
        }
        Self::open_file(copy, ledger, SqliteSynchronous::Off, Some(folder)).await
    }

    /// Whose facts these are: `<project>/<environment>`.
    pub fn ledger(&self) -> &str {
        &self.ledger
    }

    /// The ledger's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Requests written and commits made since it was opened; many requests share a commit.
    pub fn writes(&self) -> (u64, u64) {
        self.writer.as_ref().map_or((0, 0), Writer::counts)
    }

    /// Writes what waits and closes the file.
    pub async fn close(self) {
        if let Some(writer) = self.writer {
            writer.close().await;
        }
        self.readers.close().await;
    }

    /// Runs a request on the writing connection; see [`Writer::write`].
    pub(crate) async fn write<T, F>(&self, request: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Conn) -> Work<'c, Result<T, Error>> + Send + 'static,
    {
        match &self.writer {
            Some(writer) => writer.write(request).await,
            None => Err(error::not_a_writer(&self.path)),
        }
    }

    /// Runs queries on one snapshot.
    pub(crate) async fn read<T, F>(&self, queries: F) -> Result<T, Fault>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> Work<'c, Result<T, Error>>,
    {
        let result = async {
            let mut snapshot = self.readers.begin().await?;
            let value = queries(&mut snapshot.conn).await?;
            snapshot.end().await?;
            Ok(value)
        };
        result.await.map_err(|error: Error| error.into_fault(&self.path))
    }

    async fn open_file(
        path: PathBuf,
        ledger: &str,
        synchronous: SqliteSynchronous,
        scratch: Option<tempfile::TempDir>,
    ) -> Result<Self, Fault> {
        let mut conn = writing(&path, synchronous)
            .await
            .map_err(|error| Error::from(error).into_fault(&path))?;
        check_sqlite(&mut conn, &path).await?;
        migrate(&mut conn, &path).await?;
        Ok(Self {
            ledger: ledger.to_owned(),
            readers: Readers::new(read_only(&path)),
            writer: Some(Writer::start(Conn::Sqlite(conn), &path)),
            _scratch: scratch,
            path,
        })
    }
}

fn path_of(data_dir: &Path, environment: &str) -> PathBuf {
    data_dir.join(format!("{environment}.db"))
}

async fn writing(path: &Path, synchronous: SqliteSynchronous) -> Result<SqliteConnection, sqlx::Error> {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
        .connect()
        .await
}

fn read_only(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}

/// Connects, and reads which schema is there.
async fn read_with(options: SqliteConnectOptions) -> Result<(Readers, Option<i64>), Error> {
    let mut conn = options.connect().await?;
    let schema = schema_of(&mut conn).await?;
    conn.close().await?;
    Ok((Readers::new(options), schema))
}

/// SQLite wants to make its `-wal` and `-shm` files even to read. In a folder that cannot be written
/// nobody writes, so where there is no log either, the file can be read as one that never changes.
fn leaves_no_room_for_wal(error: &Error, path: &Path) -> bool {
    const CANTOPEN: i32 = 14;
    const READONLY: i32 = 8;
    let Error::Sql(error) = error else {
        return false;
    };
    let code = error::sqlite_code(error).map(|code| code & 0xff);
    let log = path.with_extension("db-wal");
    matches!(code, Some(CANTOPEN | READONLY)) && fs::metadata(log).map_or(true, |log| log.len() == 0)
}

/// The newest migration that was applied; none in a file without a schema.
async fn schema_of(conn: &mut SqliteConnection) -> Result<Option<i64>, Error> {
    let (tables,): (i64,) = sqlx::query_as("select count(*) from sqlite_master where name = '_sqlx_migrations'")
        .fetch_one(&mut *conn)
        .await?;
    if tables == 0 {
        return Ok(None);
    }
    let (newest,): (Option<i64>,) = sqlx::query_as("select max(version) from _sqlx_migrations where success")
        .fetch_one(conn)
        .await?;
    Ok(newest)
}

/// The number of the schema that this program makes.
pub fn schema() -> u32 {
    u32::try_from(newest_migration()).unwrap_or(u32::MAX)
}

fn newest_migration() -> i64 {
    MIGRATIONS.last().map_or(0, |(version, ..)| *version)
}

fn check_schema(found: i64, path: &Path) -> Result<(), Fault> {
    let known = newest_migration();
    if found <= known {
        return Ok(());
    }
    let message =
        format!("the ledger has schema {found}, and this version knows up to {known}: a newer mulgil made it");
    Err(error::schema(
        path,
        message,
        "use the newer mulgil, or another data folder",
    ))
}

async fn check_sqlite(conn: &mut SqliteConnection, path: &Path) -> Result<(), Fault> {
    let row: Result<(String,), _> = sqlx::query_as("select sqlite_version()").fetch_one(conn).await;
    let (found,) = row.map_err(|error| Error::from(error).into_fault(path))?;
    let numbers: Vec<u32> = found.split('.').filter_map(|number| number.parse().ok()).collect();
    if numbers.as_slice() < LEAST_SQLITE.as_slice() {
        let least = LEAST_SQLITE.map(|number| number.to_string()).join(".");
        return Err(error::sqlite_too_old(&found, &least, path));
    }
    Ok(())
}

async fn migrate(conn: &mut SqliteConnection, path: &Path) -> Result<(), Fault> {
    let found = schema_of(&mut *conn).await.map_err(|error| error.into_fault(path))?;
    check_schema(found.unwrap_or(0), path)?;
    if found == Some(newest_migration()) {
        return Ok(());
    }
    let migrations = MIGRATIONS.iter().map(|&(version, name, sql)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    crash::write();
    match Migrator::with_migrations(migrations.collect())
        .run_direct(None, conn, false)
        .await
    {
        Ok(()) => Ok(()),
        Err(sqlx::migrate::MigrateError::Execute(error) | sqlx::migrate::MigrateError::ExecuteMigration(error, _)) => {
            Err(Error::from(error).into_fault(path))
        }
        Err(error) => {
            let message = format!("the ledger cannot be brought up to date: {error}");
            Err(error::schema(
                path,
                message,
                "use the mulgil that made it, or put a backup in its place",
            ))
        }
    }
}
